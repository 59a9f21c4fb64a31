//! Several agents on one machine: each with its own tools, and with its own model where it has one.

use agentd::command::{Command, Outcome, Route, Status};
use agentd_tests::{Machine, Setting, real_model, scripted_model};

/// One that may only look.
const WATCHER: &str = "[[agent]]\nname = \"watcher\"\ntools = [\"read_climate\"]\n";

async fn ask(machine: &Machine, agent: &str, command: Command) -> Outcome {
    let command = Command { agent: Some(agent.into()), ..command };
    match machine.client.command(&command).await {
        Ok(outcome) => outcome,
        Err(error) => panic!("{agent}: {error}\n{}", machine.log()),
    }
}

fn code(outcome: &Outcome) -> Option<&str> {
    outcome.error.as_ref().map(|denial| denial.code.as_str())
}

#[tokio::test]
async fn an_agent_understands_and_may_do_only_what_its_tools_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = "[[reply]]\nwhen = \".*\"\nsay = \"none()\"\n";
    let config = format!("{}\n{WATCHER}", scripted_model(folder.path(), script));
    let machine = Machine::start(Setting { config, ..Setting::default() }).await;
    machine.until_model_ready().await;

    let read = ask(&machine, "watcher", Command::from_text("how warm is it")).await;
    assert_eq!((read.route, read.status), (Route::Reflex, Status::Done), "{}", read.text);

    // What is a known sentence to another agent goes to the model here, which has no tool for it.
    let pump = ask(&machine, "watcher", Command::from_text("turn on the pump")).await;
    assert_eq!((pump.route, code(&pump)), (Route::Model, Some("no_tool")), "{}", pump.text);
    let direct = br#"{"call": {"tool": "set_output", "args": {"device": "pump", "state": "on"}}}"#;
    // Each has an id of its own: a repeat would get the outcome of the first.
    let direct = || Command::parse(direct).expect("a command");
    let denied = ask(&machine, "watcher", direct()).await;
    assert_eq!(code(&denied), Some("not_allowed"), "{}", denied.text);
    assert!(machine.greenhouse.actions().is_empty());

    let done = ask(&machine, "default", direct()).await;
    assert_eq!(done.status, Status::Done, "{}", done.text);
    assert_eq!(machine.greenhouse.actions().len(), 1);
    let nobody = ask(&machine, "cook", Command::from_text("turn on the pump")).await;
    assert_eq!(code(&nobody), Some("no_such_agent"));
    assert!(nobody.text.contains("default, watcher"), "{}", nobody.text);
}

#[tokio::test]
async fn agents_share_a_worker_and_one_with_an_adapter_of_its_own_has_its_own() {
    let adapter =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../agentd/adapters/smollm2-135m-instruct.gguf");
    let own = format!("[[agent]]\nname = \"own\"\nadapter = \"{adapter}\"\n");
    let config = format!("{}{WATCHER}{own}", real_model());
    let machine = Machine::start(Setting { config, ..Setting::default() }).await;
    machine.until_model_ready().await;
    assert_eq!(machine.worker_pids().len(), 1, "the others are loaded once they are asked");

    let looked = ask(&machine, "watcher", Command::from_text("is it warm and damp in there")).await;
    assert_eq!(looked.route, Route::Model);
    assert_eq!(looked.model.as_deref(), Some("SmolLM2-135M-Instruct.Q4_1"), "{}", looked.text);
    assert_eq!(machine.worker_pids().len(), 1, "it has the same model with the same adapter");

    let did = ask(&machine, "own", Command::from_text("please get the fan going")).await;
    let named = "SmolLM2-135M-Instruct.Q4_1+smollm2-135m-instruct";
    assert_eq!(did.model.as_deref(), Some(named), "{}", did.text);
    assert_eq!(machine.worker_pids().len(), 2);
    let check = machine.run(&["check"]).await;
    let told = String::from_utf8_lossy(&check.stdout).into_owned();
    for part in ["ok       agent:watcher", "for read_climate", "ok       agent:own", adapter] {
        assert!(told.contains(part), "{part} is not in\n{told}");
    }
}
