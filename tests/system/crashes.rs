//! `kill -9`, of the daemon and of the worker, in the middle of things.

use agentd::command::{Command, Status};
use agentd_tests::{Machine, NO_MODEL, Setting, scripted_model};
use rustix::process::Signal;

/// Sends a command that is not waited for.
async fn begin(machine: &Machine, id: &str, text: &str) {
    let command = Command { id: id.into(), ..Command::from_text(text) };
    machine.client.submit(&command).await.expect("it is accepted");
}

#[tokio::test]
async fn a_daemon_killed_in_the_middle_of_a_call_reports_it_and_does_not_repeat_it() {
    let mut machine =
        Machine::start(Setting { config: NO_MODEL.into(), ..Setting::default() }).await;
    machine.greenhouse.set_silent(true);
    begin(&machine, "cut", "set the fan to 40 percent").await;
    machine.until("the bytes are out", async |m| m.greenhouse.actions().len() == 1).await;
    machine.end_daemon(Signal::KILL).await;
    machine.greenhouse.set_silent(false);
    machine.start_daemon().await;
    let outcome = machine.client.outcome("cut").await.unwrap().expect("an outcome");
    assert_eq!(outcome.status, Status::Interrupted);
    assert!(outcome.text.contains("not known"), "{}", outcome.text);
    assert_eq!(machine.ask("turn on the pump").await.status, Status::Done);
    let sent: Vec<String> = machine.greenhouse.actions().into_iter().map(|l| l.request).collect();
    assert_eq!(sent, ["SPEED 40", "SET pump on"], "the first is not sent again");
}

#[tokio::test]
async fn a_daemon_killed_in_the_middle_of_an_idempotent_call_repeats_it() {
    let mut machine =
        Machine::start(Setting { config: NO_MODEL.into(), ..Setting::default() }).await;
    machine.greenhouse.set_silent(true);
    begin(&machine, "cut", "turn on the pump").await;
    machine.until("the bytes are out", async |m| m.greenhouse.actions().len() == 1).await;
    machine.end_daemon(Signal::KILL).await;
    machine.greenhouse.set_silent(false);
    machine.start_daemon().await;
    machine
        .until("it ends", async |m| m.client.outcome("cut").await.ok().flatten().is_some())
        .await;
    let outcome = machine.client.outcome("cut").await.unwrap().expect("an outcome");
    assert_eq!(outcome.status, Status::Done, "{}", outcome.text);
    assert_eq!(machine.greenhouse.actions().len(), 2);
}

#[tokio::test]
async fn a_daemon_killed_in_the_middle_of_a_call_asks_the_device_where_it_can_tell() {
    let mut machine =
        Machine::start(Setting { config: NO_MODEL.into(), ..Setting::default() }).await;
    for (id, celsius) in [("done", "21"), ("undone", "22")] {
        begin(&machine, id, &format!("keep it at {celsius} degrees")).await;
        machine
            .until("it waits for a person", async |m| {
                m.client.outcome(id).await.ok().flatten().is_some()
            })
            .await;
        let before = machine.greenhouse.actions().len();
        machine.greenhouse.set_silent(true);
        machine.client.approve(id, true, "ada").await.expect("approved");
        machine.until("the bytes are out", async |m| m.greenhouse.actions().len() > before).await;
        machine.end_daemon(Signal::KILL).await;
        machine.greenhouse.set_silent(false);
        if id == "undone" {
            // Somebody turned it back by hand while nobody looked.
            machine.greenhouse.set_output("target", "19");
        }
        machine.start_daemon().await;
        let is_final = |outcome: &agentd::command::Outcome| outcome.status.is_final();
        machine
            .until("it ends", async |m| {
                m.client.outcome(id).await.ok().flatten().is_some_and(|o| is_final(&o))
            })
            .await;
        let outcome = machine.client.outcome(id).await.unwrap().expect("an outcome");
        let settled = outcome.calls[0].settled;
        assert_eq!(settled, Some(agentd::command::Settled::ReadBack), "{}", outcome.text);
        let expected = if id == "done" { Status::Done } else { Status::Failed };
        assert_eq!(outcome.status, expected, "{}", outcome.text);
        assert_eq!(machine.greenhouse.actions().len(), before + 1, "it is not sent again");
    }
}

#[tokio::test]
async fn commands_that_waited_when_the_daemon_was_killed_are_carried_out_once() {
    let mut machine =
        Machine::start(Setting { config: NO_MODEL.into(), ..Setting::default() }).await;
    machine.greenhouse.set_silent(true);
    begin(&machine, "first", "set the fan to 10 percent").await;
    machine.until("the bytes are out", async |m| m.greenhouse.actions().len() == 1).await;
    for n in 0..5 {
        begin(&machine, &format!("next-{n}"), &format!("set the fan to {n} percent")).await;
    }
    machine.end_daemon(Signal::KILL).await;
    machine.greenhouse.set_silent(false);
    machine.start_daemon().await;
    for n in 0..5 {
        let id = format!("next-{n}");
        machine
            .until("it ends", async |m| m.client.outcome(&id).await.ok().flatten().is_some())
            .await;
        let outcome = machine.client.outcome(&id).await.unwrap().unwrap();
        assert_eq!(outcome.status, Status::Done, "{}", outcome.text);
    }
    let sent: Vec<String> = machine.greenhouse.actions().into_iter().map(|l| l.request).collect();
    assert_eq!(sent, ["SPEED 10", "SPEED 0", "SPEED 1", "SPEED 2", "SPEED 3", "SPEED 4"]);
}

#[tokio::test]
async fn a_worker_killed_in_the_middle_of_a_command_ends_it_honestly_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let script = "[[reply]]\nwhen = \"slow\"\nsay = \"set_output(device=pump, state=on)\"\ndelay_ms = 60000\n\
                  [[reply]]\nwhen = \"quick\"\nsay = \"set_output(device=fan, state=on)\"\n\
                  [[reply]]\nwhen = \"\"\nsay = \"none()\"\n";
    let config = scripted_model(folder.path(), script);
    let machine =
        Machine::start(Setting { config, folder: Some(folder), ..Setting::default() }).await;
    machine.until_model_ready().await;
    begin(&machine, "cut", "a slow thing").await;
    machine
        .until("the model thinks", async |m| m.metric("agentd_route_model_total").await == 1)
        .await;
    machine.kill_worker();
    machine
        .until("it ends", async |m| m.client.outcome("cut").await.ok().flatten().is_some())
        .await;
    let outcome = machine.client.outcome("cut").await.unwrap().unwrap();
    assert_eq!(outcome.status, Status::Failed);
    assert!(outcome.text.ends_with("Nothing was done."), "{}", outcome.text);
    assert!(machine.greenhouse.actions().is_empty());
    machine.until("health has told", async |m| m.log().contains("degraded")).await;
    // Known sentences work at any time; the model comes back by itself.
    assert_eq!(machine.ask("turn on the lamp").await.status, Status::Done);
    machine.until_model_ready().await;
    assert!(machine.degraded("model").await.is_none());
    assert!(machine.log().contains("commands that it was not there for: 1"), "{}", machine.log());
    let outcome = machine.ask("a quick thing").await;
    assert_eq!(outcome.text, "The fan is now on.");
    assert_eq!(machine.metric("agentd_worker_starts_total").await, 2);
}
