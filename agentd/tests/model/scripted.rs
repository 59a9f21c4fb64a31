//! What the supervisor does when its worker answers, dies, hangs, or is not wanted any more.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use agentd::model::config::ModelConfig;
use agentd::model::constraint::{Constraint, MAX_GRAMMAR_BYTES};
use agentd::model::frame::MAX_FRAME_BYTES;
use agentd::model::{Answer, Ask, Model, ModelError, QUEUE, State, grammar};
use agentd_tools::spec::Priority;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use rustix::process::Signal;
use tokio::sync::mpsc;

use super::support::{PATIENCE, Running, ask, executable, file, signal, start, workers};

const SCRIPT: &str = r#"
[[reply]]
when = "pump"
say = "set_output(device=pump, state=on)"
[[reply]]
when = "slow"
say = "none()"
delay_ms = 50000
[[reply]]
when = "crash"
then = "crash"
[[reply]]
when = "exit"
then = "exit"
[[reply]]
when = "hang"
then = "hang"
[[reply]]
when = "illegal"
say = "none("
[[reply]]
when = ".*"
say = "none()"
"#;

const ANY: &str = grammar::FREE_TEXT;

/// Asks that a worker has in hand at once, by default.
const PARALLEL: usize = 4;

#[tokio::test]
async fn an_ask_is_answered_piece_by_piece() {
    let running = Running::scripted(SCRIPT).await;
    let (pieces, mut heard) = mpsc::channel(64);
    let answer = running.ask_aloud("the pump please", ANY, 64, pieces).await.unwrap();
    assert_eq!(answer.text, "set_output(device=pump, state=on)");
    let mut text = String::new();
    while let Some(piece) = heard.recv().await {
        text.push_str(&piece);
    }
    assert_eq!(text, answer.text);
    assert_eq!(running.metrics.model_tokens_sampled_total.get(), u64::from(answer.usage.sampled));
    assert_eq!(running.metrics.model_ready.get(), 1);
    running.stop().await;
}

#[tokio::test]
async fn a_worker_that_dies_fails_the_ask_in_hand_and_is_started_again() {
    let running = Running::scripted(SCRIPT).await;
    for (words, cause) in [("crash", "signal 6"), ("exit", "exited with code 3")] {
        let error = running.ask(words, ANY).await.unwrap_err();
        assert!(matches!(&error, ModelError::Crashed(why) if why.contains(cause)), "{error}");
        assert!(running.down().await.contains(cause));
        let lost = running.health.degraded();
        assert!(lost[0].component == "model" && lost[0].cause.contains(cause), "{lost:?}");
        let refused = running.ask("pump", ANY).await.unwrap_err();
        assert!(matches!(refused, ModelError::Unavailable(_)), "while it is down: {refused}");
        running.ready().await;
        assert!(running.health.degraded().is_empty());
        assert!(running.ask("pump", ANY).await.is_ok());
    }
    assert_eq!(running.metrics.worker_starts_total.get(), 3);
    running.stop().await;
}

#[tokio::test]
async fn a_dropped_ask_is_cancelled_and_the_next_one_is_answered_by_the_same_worker() {
    let running = Running::scripted(SCRIPT).await;
    let cut = tokio::time::timeout(Duration::from_millis(100), running.ask("slow", ANY)).await;
    assert!(cut.is_err(), "the slow one takes 50 s");
    let asked = Instant::now();
    assert!(running.ask("pump", ANY).await.is_ok());
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    assert_eq!(running.metrics.worker_starts_total.get(), 1);
    running.stop().await;
}

#[tokio::test]
async fn an_ask_that_is_not_done_by_its_deadline_is_too_late() {
    let running = Running::scripted(SCRIPT).await;
    let deadline = Instant::now() + Duration::from_millis(200);
    let late = running.model.ask(Ask { deadline, ..ask("slow", ANY) }).await;
    assert_eq!(late, Err(ModelError::TooLate));
    assert!(running.ask("pump", ANY).await.is_ok());
    let past = Instant::now() - Duration::from_millis(1);
    let late = running.model.ask(Ask { deadline: past, ..ask("pump", ANY) }).await;
    assert_eq!(late, Err(ModelError::TooLate));
    running.stop().await;
}

#[tokio::test]
async fn a_worker_that_does_not_come_back_from_a_cancelled_ask_is_killed() {
    let running = Running::scripted(SCRIPT).await;
    let deadline = Instant::now() + Duration::from_millis(100);
    let hung = running.model.ask(Ask { deadline, ..ask("hang", ANY) }).await;
    assert_eq!(hung, Err(ModelError::TooLate));
    assert!(running.down().await.contains("was killed"));
    running.ready().await;
    assert!(running.ask("pump", ANY).await.is_ok());
    running.stop().await;
}

#[tokio::test]
async fn what_breaks_the_grammar_or_does_not_compile_is_refused_and_the_worker_lives_on() {
    let running = Running::scripted(SCRIPT).await;
    let calls = grammar::calls(&[], 1, None);
    for (words, grammar, why) in
        [("illegal", calls.as_str(), "byte 5"), ("pump", "start: x", "compile")]
    {
        let error = running.ask(words, grammar).await.unwrap_err();
        assert!(matches!(&error, ModelError::Refused(said) if said.contains(why)), "{error}");
    }
    let too_large = "x".repeat(MAX_FRAME_BYTES);
    let error = running.ask(&too_large, ANY).await.unwrap_err();
    assert!(matches!(&error, ModelError::Refused(said) if said.contains("bytes")), "{error}");
    assert!(running.ask("joke", &calls).await.is_ok());
    assert_eq!(running.metrics.worker_starts_total.get(), 1);
    running.stop().await;
}

#[tokio::test]
async fn a_constraint_that_a_worker_might_not_survive_does_not_reach_it() {
    let running = Running::scripted("[[reply]]\nwhen = 'number'\nsay = '1e999'\n").await;
    let ask = |grammar: Constraint| running.model.ask(Ask { grammar, ..ask("number", "") });
    let deep =
        (0..100).fold(serde_json::json!({}), |inner, _| serde_json::json!({ "items": inner }));
    for bad in [Constraint::JsonSchema(deep), Constraint::Regex("a".repeat(MAX_GRAMMAR_BYTES + 1))]
    {
        let error = ask(bad).await.unwrap_err();
        assert!(matches!(&error, ModelError::Refused(why) if why.contains("not taken")), "{error}");
    }
    // Where nothing is said of it a number may have any exponent, and no reader holds this one.
    let error = ask(Constraint::JsonSchema(true.into())).await.unwrap_err();
    assert!(matches!(&error, ModelError::Refused(why) if why.contains("JSON")), "{error}");
    running.stop().await;
}

/// So many asks that are on their way.
fn waiting<'a>(
    model: &'a Model,
    words: &str,
    count: usize,
) -> Vec<BoxFuture<'a, Result<Answer, ModelError>>> {
    let asks = (0..count).map(|_| {
        let mut asked = model.ask(ask(words, ANY)).boxed();
        assert!((&mut asked).now_or_never().is_none());
        asked
    });
    asks.collect()
}

#[tokio::test]
async fn the_queue_holds_its_bound_and_the_next_ask_is_told_busy() {
    let running = Running::scripted(SCRIPT).await;
    let slow = waiting(&running.model, "slow", PARALLEL);
    let queued = waiting(&running.model, "pump", QUEUE);
    assert_eq!(running.model.ask(ask("pump", ANY)).await, Err(ModelError::Busy), "one over");
    drop(slow);
    for ask in queued {
        assert!(ask.await.is_ok());
    }
    assert!(running.model.ask(ask("pump", ANY)).await.is_ok(), "all places are free again");
    running.stop().await;
}

#[tokio::test]
async fn several_asks_are_answered_at_once_and_a_quick_one_does_not_wait_for_a_slow_one() {
    let running = Running::scripted(SCRIPT).await;
    let slow = waiting(&running.model, "slow", PARALLEL - 1);
    let asked = Instant::now();
    assert!(running.ask("pump", ANY).await.is_ok());
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    // A crash takes along all that is in hand, and says so to each.
    let crashed = running.ask("crash", ANY).await;
    assert!(matches!(crashed, Err(ModelError::Crashed(_))), "{crashed:?}");
    for ask in slow {
        assert!(matches!(ask.await, Err(ModelError::Crashed(_))));
    }
    running.stop().await;
}

#[tokio::test]
async fn of_those_that_wait_the_urgent_goes_first_and_then_the_one_whose_time_is_short() {
    let running = Running::scripted(SCRIPT).await;
    let mut slow = waiting(&running.model, "slow", PARALLEL);
    let soon = Instant::now() + PATIENCE / 2;
    let asks = [
        ("low", Ask { priority: Priority::Low, ..ask("pump", ANY) }),
        ("normal", ask("pump", ANY)),
        ("soon", Ask { deadline: soon, ..ask("pump", ANY) }),
        ("high", Ask { priority: Priority::High, ..ask("pump", ANY) }),
    ];
    let named = asks.map(|(name, ask)| running.model.ask(ask).map(move |done| done.map(|_| name)));
    let mut all: FuturesUnordered<_> = named.into_iter().collect();
    assert!(futures_util::poll!(all.next()).is_pending());
    // One place is free: they go one after the other.
    drop(slow.pop());
    let order: Vec<_> = all.map(Result::unwrap).collect().await;
    assert_eq!(order, ["high", "soon", "normal", "low"]);
    drop(slow);
    running.stop().await;
}

#[tokio::test]
async fn a_stop_ends_the_worker_and_the_ask_in_hand() {
    let running = Running::scripted(SCRIPT).await;
    let worker = workers("--scripted")[0];
    let model = running.model.clone();
    let asked = model.ask(ask("slow", ANY));
    let (pieces, _) = mpsc::channel::<String>(1);
    drop(pieces);
    let stopping = async {
        tokio::task::yield_now().await;
        running.stop().await;
    };
    let (error, ()) = tokio::join!(asked, stopping);
    assert!(matches!(error, Err(ModelError::Unavailable(_))), "{error:?}");
    assert!(!std::path::Path::new(&format!("/proc/{worker}")).exists(), "its process is gone");
    let error = model.ask(ask("pump", ANY)).await;
    assert!(matches!(error, Err(ModelError::Unavailable(_))), "{error:?}");
}

#[tokio::test]
async fn a_worker_that_is_stopped_in_its_tracks_is_killed_at_a_stop() {
    let running = Running::scripted(SCRIPT).await;
    let worker = workers("--scripted")[0];
    signal(worker, Signal::STOP);
    let begun = Instant::now();
    running.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert!(!std::path::Path::new(&format!("/proc/{worker}")).exists());
}

#[tokio::test]
async fn a_worker_whose_daemon_is_gone_ends() {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let script = tempfile::NamedTempFile::new().unwrap();
    let mut worker = std::process::Command::new(executable())
        .args(["worker", "--scripted"])
        .arg(script.path())
        .stdin(std::os::fd::OwnedFd::from(theirs))
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut frames = agentd::model::frame::FrameReader::new(ours);
    let ready = frames.read::<agentd::model::frame::FromWorker>().unwrap();
    assert!(matches!(ready, Some(agentd::model::frame::FromWorker::Ready { .. })), "{ready:?}");
    drop(frames);
    let ended = tokio::task::spawn_blocking(move || worker.wait());
    tokio::time::timeout(PATIENCE, ended).await.expect("it ends").unwrap().unwrap();
}

#[test]
fn a_person_who_starts_the_worker_is_told_to_run_the_daemon() {
    let output = std::process::Command::new(executable())
        .args(["worker", "--model", "x.gguf"])
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&output.stderr).contains("agentd run"));
}

#[tokio::test]
async fn a_program_that_cannot_be_started_or_talks_nonsense_is_down_with_its_reason() {
    let running = start(&ModelConfig::default(), &file("m.gguf"), "/nowhere/agentd".into());
    assert!(running.down().await.contains("/nowhere/agentd cannot be started"));
    running.stop().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("babbler");
    std::fs::write(&path, "#!/bin/sh\necho error: babble >&2\necho xxxxxxxxxxxx >&0\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let running = start(&ModelConfig::default(), &file("m.gguf"), path);
    let cause = running.down().await;
    assert!(cause.contains("error: babble"), "{cause}");
    running.stop().await;
}

#[tokio::test]
async fn without_a_model_every_ask_is_refused() {
    let model = Model::off();
    assert_eq!(model.state(), State::Off);
    let refused = model.ask(ask("hi", ANY)).await;
    assert!(matches!(refused, Err(ModelError::Unavailable(_))), "{refused:?}");
}
