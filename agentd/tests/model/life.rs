//! When a model is loaded, unloaded, left alone, or passed over for the next one.

use std::path::Path;
use std::time::{Duration, Instant};

use agentd::model::config::{ModelConfig, Source};
use agentd::model::manager::Ladder;
use agentd::model::{Ask, ModelError, QUEUE, State, grammar};
use rustix::process::Signal;

use super::support::{
    PATIENCE, ask, executable, file, real_model, signal, start, start_agents, start_manager,
    workers,
};

const CRASHES: &str = "[[reply]]\nwhen = \"crash\"\nthen = \"crash\"\n";
const ANSWERS: &str = "[[reply]]\nwhen = \".*\"\nsay = \"none()\"\n";
const ANY: &str = grammar::FREE_TEXT;

fn script(folder: &Path, name: &str, text: &str) -> Source {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("the script is written");
    Source::Script(path)
}

async fn until(what: &str, mut is_it: impl FnMut() -> bool) {
    let patience = Instant::now() + PATIENCE;
    while !is_it() {
        assert!(Instant::now() < patience, "never {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_model_that_nobody_asks_gives_its_memory_back_and_is_loaded_for_the_next_ask() {
    let folder = tempfile::tempdir().unwrap();
    let config = ModelConfig { idle_seconds: 1, ..ModelConfig::default() };
    let running = start(&config, &script(folder.path(), "s.toml", ANSWERS), executable());
    running.ready().await;
    running.wait_for("Asleep", |state| matches!(state, State::Asleep { .. })).await;
    assert!(workers("--scripted").is_empty(), "its process is gone");
    assert_eq!(running.metrics.model_ready.get(), 0);
    assert!(running.health.degraded().is_empty(), "nothing is wrong");
    assert!(running.ask("pump", ANY).await.is_ok());
    assert_eq!(running.metrics.worker_starts_total.get(), 2);
    running.stop().await;
}

#[tokio::test]
async fn a_model_that_crashes_three_times_is_left_alone_until_its_file_is_another_one() {
    let folder = tempfile::tempdir().unwrap();
    let source = script(folder.path(), "s.toml", CRASHES);
    let running = start(&ModelConfig::default(), &source, executable());
    for _ in 0..3 {
        running.ready().await;
        let error = running.ask("crash", ANY).await.unwrap_err();
        assert!(matches!(error, ModelError::Crashed(_)), "{error}");
    }
    let cause = running.down().await;
    for part in ["crashed 3 times", "left alone for 60 min", "signal 6"] {
        assert!(cause.contains(part), "{cause}");
    }
    assert!(running.health.degraded()[0].cause.contains("left alone"));
    let refused = running.ask("pump", ANY).await.unwrap_err();
    assert!(matches!(&refused, ModelError::Unavailable(why) if *why == cause), "{refused}");
    script(folder.path(), "s.toml", ANSWERS);
    running.ready().await;
    assert!(running.ask("crash", ANY).await.is_ok());
    assert!(running.health.degraded().is_empty());
    running.stop().await;
}

#[tokio::test]
async fn a_model_whose_file_is_replaced_before_its_last_crash_is_not_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let source = script(folder.path(), "s.toml", CRASHES);
    let running = start(&ModelConfig::default(), &source, executable());
    for last in [false, false, true] {
        running.ready().await;
        if last {
            // The worker has read the old one.
            script(folder.path(), "s.toml", ANSWERS);
        }
        // Where it is noticed in time, the new one answers.
        let _ = running.ask("crash", ANY).await;
    }
    running.ready().await;
    assert!(running.ask("crash", ANY).await.is_ok(), "it is another model");
    running.stop().await;
}

#[tokio::test]
async fn whose_time_is_over_while_the_model_loads_takes_nobodys_place() {
    let config = ModelConfig::default();
    let running = start(&config, &file(real_model()), executable());
    until("a worker", || !workers("--model").is_empty()).await;
    signal(workers("--model")[0], Signal::STOP);
    for n in 0..=config.parallel.get() as usize + QUEUE {
        let deadline = Instant::now() + Duration::from_millis(20);
        let late = running.model.ask(Ask { deadline, ..ask("hi", ANY) }).await;
        assert_eq!(late, Err(ModelError::TooLate), "ask {n}");
    }
    running.stop().await;
}

#[tokio::test]
async fn the_idle_time_is_counted_from_the_answer_and_not_from_the_ask() {
    let folder = tempfile::tempdir().unwrap();
    let slow = ANSWERS.replace("say = ", "delay_ms = 1500\nsay = ");
    let source = script(folder.path(), "s.toml", &slow);
    let config = ModelConfig { idle_seconds: 1, ..ModelConfig::default() };
    let running = start(&config, &source, executable());
    running.ready().await;
    running.ask("pump", ANY).await.expect("an answer");
    let answered = Instant::now();
    running.wait_for("Asleep", |state| matches!(state, State::Asleep { .. })).await;
    assert!(answered.elapsed() > Duration::from_millis(900), "{:?}", answered.elapsed());
    running.stop().await;
}

#[tokio::test]
async fn a_model_whose_file_is_replaced_is_loaded_again_and_nobody_is_turned_away() {
    let folder = tempfile::tempdir().unwrap();
    let source = script(folder.path(), "s.toml", ANSWERS);
    let running = start(&ModelConfig::default(), &source, executable());
    running.ready().await;
    assert_eq!(running.ask("pump", ANY).await.unwrap().text, "none()");
    // As an installation does it: whole, by a rename.
    let new = ANSWERS.replace("none()", "go()");
    let Source::Script(new) = script(folder.path(), "new.toml", &new) else { unreachable!() };
    std::fs::rename(new, source.path()).expect("renamed");
    let patience = Instant::now() + PATIENCE;
    while running.ask("pump", ANY).await.expect("it is always answered").text != "go()" {
        assert!(Instant::now() < patience, "the old one still answers");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(running.metrics.worker_starts_total.get(), 2);
    assert!(running.health.degraded().is_empty(), "nothing is wrong");
    running.stop().await;
}

#[tokio::test]
async fn a_model_that_needs_more_than_it_may_have_is_refused_before_it_is_loaded() {
    let config = ModelConfig { memory_mib: 100, ..ModelConfig::default() };
    let running = start(&config, &file(real_model()), executable());
    let cause = running.down().await;
    // 94 MiB of weights, 45 of context, 64 beside.
    for part in
        ["it needs 203 MiB (94 of weights, 45 of context", "model.memory_mib allows 100 MiB"]
    {
        assert!(cause.contains(part), "{cause}");
    }
    running.stop().await;
    let config = ModelConfig { memory_mib: 203, threads: 1, ..ModelConfig::default() };
    let running = start(&config, &file(real_model()), executable());
    running.ready().await;
    running.stop().await;
    // A context of 1.5 TiB is more than any machine has that runs this.
    let config = ModelConfig { context: 1 << 26, ..ModelConfig::default() };
    let running = start(&config, &file(real_model()), executable());
    let cause = running.down().await;
    assert!(cause.contains("this board has") && cause.contains("lower model.context"), "{cause}");
    running.stop().await;
}

#[tokio::test]
async fn a_worker_that_is_stopped_while_it_loads_holds_nobody_up() {
    let running = start(&ModelConfig::default(), &file(real_model()), executable());
    until("a worker", || !workers("--model").is_empty()).await;
    let worker = workers("--model")[0];
    signal(worker, Signal::STOP);
    assert!(matches!(running.model.state(), State::Loading { .. }));
    let deadline = Instant::now() + Duration::from_millis(200);
    let late = running.model.ask(Ask { deadline, ..ask("hi", ANY) }).await;
    assert_eq!(late, Err(ModelError::TooLate));
    running.stop().await;
    assert!(!Path::new(&format!("/proc/{worker}")).exists());
}

#[tokio::test]
async fn where_the_first_model_cannot_be_loaded_the_next_one_answers() {
    let folder = tempfile::tempdir().unwrap();
    let sources = [file("/nowhere/large.gguf"), script(folder.path(), "s.toml", ANSWERS)];
    let running = start_manager(&ModelConfig::default(), &sources);
    let lost = || running.health.degraded().into_iter().map(|lost| lost.component);
    until("the first one lost", || lost().any(|component| component == "model")).await;
    running
        .wait_for("the next one", |state| *state == State::Asleep { name: "scripted".into() })
        .await;
    assert!(workers("--scripted").is_empty(), "it is loaded once it is asked");
    assert!(running.ask("pump", ANY).await.is_ok());
    let is_it = |state: &State| matches!(state, State::Ready { name, .. } if name == "scripted");
    running.wait_for("the next one ready", is_it).await;
    running.stop().await;
}

#[tokio::test]
async fn what_one_model_crashed_over_the_next_one_answers_and_memory_is_taken_from_who_was_asked_first()
 {
    let folder = tempfile::tempdir().unwrap();
    let sources =
        [script(folder.path(), "first.toml", CRASHES), script(folder.path(), "next.toml", ANSWERS)];
    // Nobody is pinned, and two processes have more than a MiB.
    let config = ModelConfig { idle_seconds: 3600, memory_mib: 1, ..ModelConfig::default() };
    let running = start_manager(&config, &sources);
    running.ready().await;
    let answer = running.ask("crash", ANY).await.unwrap();
    assert_eq!((answer.text.as_str(), answer.model.as_str()), ("none()", "scripted"));
    // The first one comes back, and has to leave: the other one was asked after it.
    until("two workers", || workers("--scripted").len() == 2).await;
    until("one worker", || workers("--scripted").len() == 1).await;
    assert_eq!(workers("next.toml").len(), 1);
    let lost = || running.health.degraded().into_iter().map(|lost| lost.component);
    until("told that it is too much", || lost().any(|component| component == "model:memory")).await;
    running.stop().await;
}

#[tokio::test]
async fn agents_that_ask_the_same_model_have_one_worker_and_others_are_loaded_once_they_are_asked()
{
    let folder = tempfile::tempdir().unwrap();
    let (first, other) = (
        script(folder.path(), "first.toml", ANSWERS),
        script(folder.path(), "other.toml", ANSWERS),
    );
    let ladder = |sources: &[&Source]| Ladder {
        config: ModelConfig::default(),
        sources: sources.iter().copied().cloned().collect(),
        larger: None,
    };
    let ladders = [ladder(&[&first]), ladder(&[&first]), ladder(&[&other, &first]), ladder(&[])];
    let (running, models) = start_agents(&ladders);
    running.ready().await;
    assert!(models[1].ask(ask("pump", ANY)).await.is_ok());
    assert_eq!((workers("first.toml").len(), workers("other.toml").len()), (1, 0));
    assert_eq!(models[2].state(), State::Asleep { name: "scripted".into() });
    assert!(models[2].ask(ask("pump", ANY)).await.is_ok());
    assert_eq!((workers("first.toml").len(), workers("other.toml").len()), (1, 1));
    let none = models[3].ask(ask("pump", ANY)).await;
    assert!(matches!(none, Err(ModelError::Unavailable(_))), "{none:?}");
    assert_eq!(models[3].state(), State::Off);
    running.stop().await;
    assert!(models.iter().all(|model| model.state() == State::Off));
}

#[tokio::test]
async fn a_larger_model_is_one_of_the_others_and_is_loaded_once_it_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let (small, large) = (
        script(folder.path(), "small.toml", ANSWERS),
        script(folder.path(), "large.toml", ANSWERS),
    );
    let ladder = |sources: &[&Source], larger: Option<&Source>| Ladder {
        config: ModelConfig::default(),
        sources: sources.iter().copied().cloned().collect(),
        larger: larger.cloned(),
    };
    let ladders = [
        ladder(&[&small], Some(&large)),
        ladder(&[&small, &large], Some(&large)),
        ladder(&[&small], Some(&small)),
        ladder(&[&small], None),
        ladder(&[], Some(&large)),
    ];
    let (running, models) = start_agents(&ladders);
    running.ready().await;
    let has_larger: Vec<bool> =
        models.iter().map(|model| model.has_larger_than("another")).collect();
    assert_eq!(has_larger, [true, true, false, false, false]);
    assert!(models[0].ask(ask("pump", ANY)).await.is_ok());
    assert!(workers("large.toml").is_empty());
    for model in &models[..2] {
        let answer = model.ask_larger(ask("pump", ANY)).await.unwrap();
        assert_eq!(answer.model, "scripted");
    }
    assert_eq!((workers("small.toml").len(), workers("large.toml").len()), (1, 1));
    for model in &models[2..] {
        let none = model.ask_larger(ask("pump", ANY)).await;
        assert!(matches!(none, Err(ModelError::Unavailable(_))), "{none:?}");
    }
    running.stop().await;
}

/// Where the default agent has no model, another one's is neither told as its own nor loaded at once.
#[tokio::test]
async fn the_model_of_another_agent_does_not_stand_in_for_that_of_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let other = script(folder.path(), "other.toml", CRASHES);
    let ladder = |sources| Ladder { config: ModelConfig::default(), sources, larger: None };
    let (running, models) = start_agents(&[ladder(Vec::new()), ladder(vec![other])]);
    assert_eq!(models[1].state(), State::Asleep { name: "scripted".into() });
    assert!(workers("--scripted").is_empty());
    assert!(models[1].ask(ask("crash", ANY)).await.is_err());
    let lost = || running.health.degraded().into_iter().map(|lost| lost.component);
    until("it is lost by its own name", || lost().any(|what| what == "model:scripted")).await;
    assert!(lost().all(|component| component != "model"));
    running.stop().await;
}
