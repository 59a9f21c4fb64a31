//! The broker goes and comes; nothing is lost and nothing is done twice.

use agentd::command::Status;
use agentd_tests::{Machine, NO_MODEL, PATIENCE, Setting, watch};
use rustix::process::Signal;

async fn machine() -> Machine {
    Machine::start(Setting { mqtt: Some(5), config: NO_MODEL.into(), ..Setting::default() }).await
}

#[tokio::test]
async fn what_happens_without_a_broker_arrives_when_it_is_back_and_once() {
    let mut machine = machine().await;
    machine.stop_broker().await;
    machine.until("the loss is noticed", async |m| m.metric("agentd_link_up").await == 0).await;
    assert!(machine.degraded("link").await.is_some());
    let mut ids = Vec::new();
    for n in 0..20 {
        let state = if n % 2 == 0 { "on" } else { "off" };
        let outcome = machine.ask(&format!("turn {state} the pump")).await;
        assert_eq!(outcome.status, Status::Done, "{}", outcome.text);
        ids.push(outcome.id);
    }
    assert_eq!(machine.greenhouse.actions().len(), 20, "it acts all the same");
    machine.start_broker().await;
    let observer = machine.observer.as_ref().unwrap();
    assert_eq!(observer.events_of(&ids, PATIENCE).await, 20);
    machine.until("the outbox drains", async |m| m.health().await["outbox"]["pending"] == 0).await;
    let (_, missing) = observer.doubled_and_missing();
    assert_eq!(missing, 0);
    assert!(machine.degraded("link").await.is_none());
    assert!(machine.log().contains("messages waited and are being sent"), "{}", machine.log());
}

#[tokio::test]
async fn a_command_that_comes_twice_acts_once() {
    let machine = machine().await;
    let observer = machine.observer.as_ref().unwrap();
    for _ in 0..3 {
        observer.command("same-id", "turn on the pump").await.unwrap();
    }
    let outcome = observer.outcome("same-id", PATIENCE).await.expect("an outcome");
    assert_eq!(outcome.status, Status::Done);
    machine
        .until("all were taken", async |m| {
            m.metric("agentd_commands_accepted_total").await
                + m.metric("agentd_commands_repeated_total").await
                >= 3
        })
        .await;
    assert_eq!(machine.greenhouse.actions().len(), 1);
}

#[tokio::test]
async fn a_stop_says_offline_and_ends_in_order() {
    let mut machine = machine().await;
    assert_eq!(machine.say("turn on the pump").await.status, Status::Done);
    let status = machine.end_daemon(Signal::TERM).await;
    assert!(status.success(), "{status:?}\n{}", machine.log());
    let observer = machine.observer.as_ref().unwrap();
    let state = observer.status("offline", PATIENCE).await;
    assert_eq!(state.as_deref(), Some("offline"));
}

#[tokio::test]
async fn a_killed_daemon_is_told_as_offline_by_its_last_will() {
    let mut machine = machine().await;
    machine.end_daemon(Signal::KILL).await;
    let observer = machine.observer.clone().unwrap();
    assert_eq!(observer.status("offline", PATIENCE).await.as_deref(), Some("offline"));
    machine.start_daemon().await;
    assert_eq!(observer.status("online", PATIENCE).await.as_deref(), Some("online"));
}

#[tokio::test]
async fn a_command_on_the_boards_own_broker_is_answered_without_the_fleets_which_hears_of_it_later()
{
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let config = format!("[mqtt.local]\nembedded_port = {port}\n{NO_MODEL}");
    let mut machine = Machine::start(Setting { mqtt: Some(5), config, ..Setting::default() }).await;
    let kiosk = watch(port);
    assert_eq!(kiosk.status("online", PATIENCE).await.as_deref(), Some("online"));
    machine.stop_broker().await;
    machine.until("the loss is noticed", async |m| m.metric("agentd_link_up").await == 0).await;
    kiosk.command("here", "turn on the pump").await.unwrap();
    let outcome = kiosk.outcome("here", PATIENCE).await.expect("an outcome on the board");
    assert_eq!(outcome.status, Status::Done, "{}", outcome.text);
    assert_eq!(machine.greenhouse.actions().len(), 1);
    machine.start_broker().await;
    let fleet = machine.observer.as_ref().unwrap();
    assert!(fleet.outcome("here", PATIENCE).await.is_some(), "the fleet hears of it");
    assert_eq!(fleet.events_of(&["here".to_owned()], PATIENCE).await, 1);
}
