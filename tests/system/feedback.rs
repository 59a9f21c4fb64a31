//! What people think of the model's answers is kept, shown, learnt from and forgotten.

use agentd::command::{Command, Status};
use agentd_tests::{Machine, Setting, scripted_model};
use serde_json::{Value, json};

const SCRIPT: &str = r#"
[[reply]]
when = "other way"
say = "set_output(device=fan, state=on)"

[[reply]]
when = "stuffy"
say = "set_output(device=lamp, state=on)"

[[reply]]
when = "soggy"
say = "none()"

[[reply]]
when = "damp"
say = "none()"

[[reply]]
when = "cosy"
say = "set_target(celsius=21)"

[[reply]]
when = "sauna"
say = "set_target(celsius=35)"
"#;

/// A machine whose model answers by the script, and the folder that the script is in.
async fn scripted() -> (tempfile::TempDir, Machine) {
    let folder = tempfile::tempdir().expect("a folder");
    let config = scripted_model(folder.path(), SCRIPT);
    let machine = Machine::start(Setting { config, ..Setting::default() }).await;
    machine.until_model_ready().await;
    (folder, machine)
}

#[tokio::test]
async fn what_was_not_understood_is_learnt_from_the_correction_that_was() {
    let (_folder, machine) = scripted().await;
    let refused = machine.ask_in("hall", "it feels soggy").await;
    assert_eq!(refused.status, Status::Denied, "{}", refused.text);
    assert_eq!(machine.ask_in("hall", "no, i mean damp").await.status, Status::Denied);
    // Somebody else's words say nothing of it, and a sentence that corrects nothing says nothing either.
    assert_eq!(machine.ask_in("shed", "no, the other way to do it").await.status, Status::Done);
    assert_eq!(machine.ask_in("hall", "no, the other way to do it").await.status, Status::Done);
    assert_eq!(machine.ask_in("hall", "no, the other way to do it").await.status, Status::Done);
    let soggy = json!({"say": "it feels soggy", "answer": "none()"});
    let corrected = json!({"id": 1, "verdict": "corrected", "say": "no, the other way to do it",
        "answer": "set_output(device=fan, state=on)", "before": soggy});
    assert_eq!(listed(&machine).await, [corrected], "once, and then it is done");
    assert_eq!(machine.ask_in("attic", "it feels soggy").await.status, Status::Denied);
    assert_eq!(machine.ask_in("attic", "the other way to do it").await.status, Status::Done);
    assert_eq!(machine.ask_in("attic", "no, the other way to do it").await.status, Status::Done);
    assert_eq!(listed(&machine).await.len(), 1);
}

/// Has something asked that a person must approve, and decides.
async fn decide(machine: &Machine, id: &str, text: &str, yes: bool) -> Status {
    let command = Command { id: id.into(), ..Command::from_text(text) };
    machine.client.submit(&command).await.expect("it is accepted");
    let waits = async |m: &Machine| m.client.outcome(id).await.ok().flatten().is_some();
    machine.until("it waits for a person", waits).await;
    machine.client.approve(id, yes, "ada").await.expect("it is decided");
    let is_final = async |m: &Machine| {
        m.client.outcome(id).await.ok().flatten().is_some_and(|o| o.status.is_final())
    };
    machine.until("it ends", is_final).await;
    machine.client.outcome(id).await.expect("it answers").expect("an outcome").status
}

/// The lines of `agentd feedback list --json`, without when.
async fn listed(machine: &Machine) -> Vec<Value> {
    let output = machine.run(&["feedback", "list", "--json"]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).expect("UTF-8");
    let line = |line: &str| {
        let mut row: Value = serde_json::from_str(line).expect("JSON");
        row.as_object_mut().expect("an object").remove("at").expect("when");
        row
    };
    lines.lines().map(line).collect()
}

#[tokio::test]
async fn approvals_denials_and_corrections_are_kept_and_learnt_from_and_can_be_forgotten() {
    let (_folder, machine) = scripted().await;
    assert_eq!(decide(&machine, "a", "make it cosy, say 21", true).await, Status::Done);
    assert_eq!(decide(&machine, "b", "a sauna of 35 please", false).await, Status::Denied);
    machine.ask_in("hall", "it is stuffy in here").await;
    let corrected = machine.ask_in("hall", "no, the other way to do it").await;
    assert_eq!(corrected.status, Status::Done, "{}", corrected.text);
    let lamp =
        json!({"say": "it is stuffy in here", "answer": "set_output(device=lamp, state=on)"});
    let (fan, target) = ("set_output(device=fan, state=on)", |celsius: u32| {
        format!("set_target(celsius={celsius})")
    });
    assert_eq!(
        listed(&machine).await,
        [
            json!({"id": 1, "verdict": "approved", "say": "make it cosy, say 21", "answer": target(21)}),
            json!({"id": 2, "verdict": "denied", "say": "a sauna of 35 please", "answer": target(35)}),
            json!({"id": 3, "verdict": "corrected", "say": "no, the other way to do it", "answer": fan,
                   "before": lamp}),
        ]
    );
    let told = machine.run(&["tune", "--from-history", "--toolsets", "20", "--data-only"]).await;
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let data = String::from_utf8(told.stdout).expect("UTF-8");
    let heard = |words: &str| data.to_lowercase().contains(words);
    assert!(heard("cosy") && heard("stuffy"), "what was approved, and what was meant");
    assert!(!heard("sauna"), "a denial does not say what would have been right");
    let forgot = machine.run(&["feedback", "forget", "2"]).await;
    assert_eq!(String::from_utf8_lossy(&forgot.stdout), "1 forgotten\n");
    assert_eq!(listed(&machine).await.len(), 2);
    machine.run(&["feedback", "forget", "--all"]).await;
    assert!(listed(&machine).await.is_empty());
}
