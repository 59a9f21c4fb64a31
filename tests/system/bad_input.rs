//! Bad input gets a clear error, and nothing is lost.

use agentd::command::{Command, Status};
use agentd_tests::{Machine, NO_MODEL, PATIENCE, Setting, run_with_config};
use serde_json::Value;

/// The findings of `agentd check --json`, and its exit code.
async fn check(machine: &Machine) -> (Vec<Value>, Option<i32>) {
    let output = machine.run(&["check", "--json"]).await;
    let findings = serde_json::from_slice(&output.stdout);
    (findings.expect("check prints JSON"), output.status.code())
}

#[track_caller]
fn level<'a>(findings: &'a [Value], what: &str) -> (&'a str, &'a str) {
    let finding = findings.iter().find(|finding| finding["what"] == what);
    let finding = finding.unwrap_or_else(|| panic!("nothing about {what}: {findings:?}"));
    (finding["level"].as_str().expect("a level"), finding["message"].as_str().expect("a message"))
}

#[tokio::test]
async fn an_unknown_key_ends_with_78_and_names_file_line_and_nearest_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.toml");
    std::fs::write(&path, "[device]\nid = \"a\"\n\n[store]\npaht = \"x\"\n").unwrap();
    for command in ["run", "check"] {
        let output = run_with_config(&path, &[command]).await;
        assert_eq!(output.status.code(), Some(78));
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        assert!(text.contains("bad.toml:5") && text.contains("did you mean `path`?"), "{text}");
    }
}

#[tokio::test]
async fn a_missing_config_ends_with_66() {
    let output = run_with_config("/nonexistent/agentd.toml".as_ref(), &["run"]).await;
    assert_eq!(output.status.code(), Some(66));
}

#[tokio::test]
async fn malformed_commands_are_refused_to_their_sender_and_the_daemon_lives_on() {
    let machine =
        Machine::start(Setting { mqtt: Some(5), config: NO_MODEL.into(), ..Setting::default() })
            .await;
    let observer = machine.observer.as_ref().unwrap();
    for (id, payload, code) in [
        (
            "u1",
            r#"{"id":"u1","text":"turn on the pump","colour":"red"}"#.to_owned(),
            "unknown_field",
        ),
        ("u2", r#"{"id":"u2"}"#.to_owned(), "bad_field"),
        (
            "u3",
            r#"{"id":"u3","text":"x","expires_at":"2020-01-01T00:00:00Z"}"#.to_owned(),
            "expired",
        ),
        ("u4", r#"{"id":"u4","call":{"tool":"set_outputs","args":{}}}"#.to_owned(), "no_such_tool"),
        (
            "u5",
            r#"{"id":"u5","call":{"tool":"set_output","args":{"device":"pump"}}}"#.to_owned(),
            "bad_arguments",
        ),
    ] {
        observer.publish("command", payload.as_bytes(), false).await.unwrap();
        let outcome = observer.outcome(id, PATIENCE).await.expect(id);
        assert!(matches!(outcome.status, Status::Denied | Status::Expired), "{id}");
        assert_eq!(outcome.error.expect(id).code, code);
    }
    for payload in [&[0xff, 0xfe][..], b"{", b"", &vec![b'a'; 65_537]] {
        observer.publish("command", payload, false).await.unwrap();
    }
    machine
        .until("all are refused", async |m| m.metric("agentd_commands_refused_total").await >= 5)
        .await;
    assert_eq!(machine.say("turn on the fan").await.status, Status::Done);
    assert_eq!(machine.greenhouse.actions().len(), 1, "only the last one acted");
}

#[tokio::test]
async fn a_retained_command_is_refused() {
    let machine =
        Machine::start(Setting { mqtt: Some(5), config: NO_MODEL.into(), ..Setting::default() })
            .await;
    let mut machine = machine;
    machine.end_daemon(rustix::process::Signal::TERM).await;
    let observer = machine.observer.as_ref().unwrap();
    let payload = br#"{"id":"old","text":"turn on the pump"}"#;
    // Retained and delivered at the next subscription, as a command from long ago would be.
    observer.publish("command", payload, true).await.unwrap();
    machine.start_daemon().await;
    let observer = machine.observer.as_ref().unwrap();
    let outcome = observer.outcome("old", PATIENCE).await.expect("an outcome");
    assert_eq!(outcome.error.expect("a reason").code, "retained");
    assert!(machine.greenhouse.actions().is_empty());
}

#[tokio::test]
async fn a_model_that_is_no_model_is_told_and_known_sentences_work() {
    for (name, bytes, why) in [
        ("empty", &b""[..], "empty"),
        ("page", &b"<!DOCTYPE html><html></html>"[..], "HTML"),
        ("cut", &b"GGUF\x03\0\0\0\x01\0\0\0\0\0\0\0"[..], "truncated"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.gguf");
        std::fs::write(&path, bytes).unwrap();
        let config = format!("[model]\npath = \"{}\"\n", path.display());
        let machine =
            Machine::start(Setting { config, folder: Some(folder), ..Setting::default() }).await;
        machine.until("health tells", async |m| m.degraded("model").await.is_some()).await;
        let cause = machine.degraded("model").await.unwrap_or_default();
        assert!(cause.contains(why), "{name}: {cause}");
        assert_eq!(machine.ask("turn on the pump").await.status, Status::Done);
        let (findings, code) = check(&machine).await;
        assert_eq!(level(&findings, "model").0, "warning");
        assert!(level(&findings, "model").1.contains(why), "{findings:?}");
        assert_eq!(code, Some(0), "it could run");
    }
}

#[tokio::test]
async fn a_damaged_database_is_moved_aside_and_told() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("disk")).unwrap();
    std::fs::write(folder.path().join("disk/agentd.db"), "this is not a database").unwrap();
    let config = NO_MODEL.to_owned();
    let machine =
        Machine::start(Setting { config, folder: Some(folder), ..Setting::default() }).await;
    let cause = machine.degraded("store:past").await.expect("health tells");
    assert!(cause.contains("damaged") && cause.contains("unusable-"), "{cause}");
    let kept = std::fs::read_dir(machine.path().join("disk"))
        .unwrap()
        .flatten()
        .any(|entry| entry.file_name().to_string_lossy().starts_with("agentd.db.unusable-"));
    assert!(kept, "it is never deleted");
    assert_eq!(machine.ask("turn on the pump").await.status, Status::Done);
}

#[tokio::test]
async fn check_finds_a_missing_board_and_a_missing_broker_and_says_that_it_could_run() {
    let config = format!("{NO_MODEL}[mqtt]\nurl = \"mqtt://127.0.0.1:1\"\n");
    let mut machine = Machine::start(Setting { config, ..Setting::default() }).await;
    machine.greenhouse.unplug();
    let (findings, code) = check(&machine).await;
    assert_eq!(level(&findings, "port:board").0, "warning");
    assert!(level(&findings, "port:board").1.contains("is not there"), "{findings:?}");
    assert_eq!(level(&findings, "mqtt").0, "warning");
    assert_eq!((level(&findings, "store").0, level(&findings, "tools").0), ("ok", "ok"));
    assert_eq!(code, Some(0));
}

#[tokio::test]
async fn a_full_disk_stops_what_cannot_be_recorded_and_nothing_else() {
    let config = NO_MODEL.to_owned();
    let machine =
        Machine::start(Setting { config, disk_kib: Some(2048), ..Setting::default() }).await;
    assert_eq!(machine.ask("turn on the pump").await.status, Status::Done);
    machine.fill_disk();
    // The log of the database may still have room for some; sooner or later one cannot be recorded.
    let (mut accepted, mut refused) = (Vec::new(), 0);
    for n in 0..400 {
        let id = format!("full-{n}");
        let text = format!("set the fan to {} percent", n % 100);
        let command = Command { id: id.clone(), ..Command::from_text(text) };
        match machine.client.submit(&command).await {
            Ok(()) => accepted.push(id),
            Err(error) => {
                assert!(error.to_string().contains("disk is full"), "{error}");
                refused += 1;
            }
        }
        if refused > 3 {
            break;
        }
    }
    assert!(refused > 0, "a disk of 2 MiB is full after {} commands", accepted.len());
    machine.until("health tells", async |m| m.degraded("store").await.is_some()).await;
    let before = machine.greenhouse.actions().len();
    let read = machine.ask("how warm is it").await;
    assert_eq!(read.status, Status::Done, "what only reads is served: {}", read.text);
    assert!(read.text.ends_with("This could not be recorded."), "{}", read.text);
    let acts = machine.ask("set the fan to 50 percent").await;
    assert_eq!(acts.status, Status::Failed, "{}", acts.text);
    assert!(acts.text.contains("disk is full") && acts.text.ends_with("Nothing was done."));
    assert_eq!(machine.greenhouse.actions().len(), before);
    machine.free_disk();
    let mut done = 0;
    for id in &accepted {
        machine
            .until("it ends", async |m| m.client.outcome(id).await.ok().flatten().is_some())
            .await;
        let outcome = machine.client.outcome(id).await.unwrap().unwrap();
        done += usize::from(outcome.status == Status::Done);
    }
    assert_eq!(machine.greenhouse.actions().len(), 1 + done, "what is not done was not sent");
    assert_eq!(machine.ask("turn off the pump").await.status, Status::Done);
    machine.until("health is well", async |m| m.degraded("store").await.is_none()).await;
}

#[tokio::test]
async fn a_disk_that_gives_errors_stops_what_acts_and_works_again_after_it() {
    let config = NO_MODEL.to_owned();
    let machine = Machine::start(Setting { config, ..Setting::default() }).await;
    assert_eq!(machine.ask("turn on the pump").await.status, Status::Done);
    let log = machine.path().join("disk/agentd.db-wal");
    // Each write of the database's log fails as on a worn-out card, for as long as this runs.
    let mut failing = std::process::Command::new("strace")
        .args(["-f", "-o", "/dev/null", "-e", "inject=pwrite64:error=EIO", "-P"])
        .arg(&log)
        .args(["-p", &machine.daemon_pid().to_string()])
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("strace starts");
    machine.until("the disk fails", async |m| m.degraded("store").await.is_some()).await;
    let before = machine.greenhouse.actions().len();
    let acts = machine.ask("set the fan to 50 percent").await;
    assert_eq!(acts.status, Status::Failed, "{}", acts.text);
    assert!(acts.text.contains("cannot be written"), "{}", acts.text);
    assert_eq!(machine.greenhouse.actions().len(), before, "nothing acts that cannot be recorded");
    let reads = machine.ask("how warm is it").await;
    assert_eq!(reads.status, Status::Done, "{}", reads.text);
    failing.kill().expect("it is ended");
    failing.wait().expect("it has ended");
    machine.until("health is well", async |m| m.degraded("store").await.is_none()).await;
    assert_eq!(machine.ask("turn off the pump").await.status, Status::Done);
}
