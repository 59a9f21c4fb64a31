//! Words become actions, answers, or an honest no.

use agentd::command::{Route, Status};
use agentd_tests::{Machine, NO_MODEL, Setting};

async fn machine(protocol: u8) -> Machine {
    Machine::start(Setting { mqtt: Some(protocol), config: NO_MODEL.into(), ..Setting::default() })
        .await
}

#[tokio::test]
async fn words_over_mqtt_5_and_3_become_bytes_on_the_port_a_result_and_an_event() {
    for protocol in [5, 4] {
        let machine = machine(protocol).await;
        let outcome = machine.say("turn on the pump").await;
        assert_eq!((outcome.status, outcome.route), (Status::Done, Route::Reflex));
        assert_eq!(outcome.text, "The pump is now on.");
        let actions = machine.greenhouse.actions();
        assert_eq!(actions.len(), 1);
        assert_eq!(actions[0].request, "SET pump on");
        let observer = machine.observer.as_ref().unwrap();
        let ids = [outcome.id.clone()];
        assert_eq!(observer.events_of(&ids, agentd_tests::PATIENCE).await, 1);
        assert_eq!(observer.doubled_and_missing(), (0, 0));
    }
}

#[tokio::test]
async fn a_question_is_answered_from_polled_readings() {
    let machine = machine(5).await;
    machine
        .until("readings are stored", async |m| m.metric("agentd_readings_total").await >= 4)
        .await;
    let outcome = machine.say("average temperature over 1 hours").await;
    assert_eq!(outcome.status, Status::Done, "{}", outcome.text);
    let mean = outcome.calls[0].result.as_ref().unwrap()["mean"].as_f64().unwrap();
    assert!((20.5..=22.5).contains(&mean), "the board's wave is around 21.5: {mean}");
}

#[tokio::test]
async fn arguments_out_of_range_are_refused_and_nothing_is_sent() {
    let machine = machine(5).await;
    let outcome = machine.say("set the fan speed to 101 percent").await;
    assert_eq!(outcome.status, Status::Denied);
    assert!(outcome.text.contains("0 to 100") && outcome.text.contains("101"), "{}", outcome.text);
    assert!(outcome.text.ends_with("Nothing was done."), "{}", outcome.text);
    assert!(machine.greenhouse.actions().is_empty());
    assert_eq!(machine.say("set the fan speed to 100 percent").await.status, Status::Done);
}

#[tokio::test]
async fn an_unknown_sentence_without_a_model_is_refused_with_a_hint() {
    let machine = machine(5).await;
    let outcome = machine.say("make the plants happy").await;
    assert_eq!(outcome.status, Status::Failed);
    assert!(outcome.text.contains("no model is installed"), "{}", outcome.text);
    assert!(outcome.text.ends_with("Nothing was done."), "{}", outcome.text);
}

#[tokio::test]
async fn a_technician_is_called_and_a_note_is_kept() {
    let machine = machine(5).await;
    let called = machine.say("call a technician because the pump leaks").await;
    let noted = machine.say("note the left vent is stuck").await;
    assert_eq!((called.status, noted.status), (Status::Done, Status::Done));
    let observer = machine.observer.as_ref().unwrap();
    assert_eq!(observer.events_of(&[called.id, noted.id], agentd_tests::PATIENCE).await, 2);
}

#[tokio::test]
async fn a_call_that_needs_a_person_waits_for_one() {
    let machine = machine(5).await;
    let observer = machine.observer.as_ref().unwrap();
    observer.command("warm-1", "keep it at 20 degrees").await.unwrap();
    machine
        .until("it waits", async |m| {
            let outcome = m.client.outcome("warm-1").await.ok().flatten();
            outcome.is_some_and(|outcome| outcome.status == Status::WaitingApproval)
        })
        .await;
    assert!(machine.greenhouse.actions().is_empty(), "nothing is sent before");
    observer.approve("warm-1", "anna").await.unwrap();
    let outcome = observer.outcome("warm-1", agentd_tests::PATIENCE).await.expect("an outcome");
    assert_eq!(outcome.status, Status::Done);
    assert_eq!(machine.greenhouse.output("target").as_deref(), Some("20"));
}

#[tokio::test]
async fn an_unplugged_board_gets_an_honest_reply_and_works_again_when_plugged_in() {
    let mut machine = machine(5).await;
    assert_eq!(machine.say("turn on the lamp").await.status, Status::Done);
    machine.greenhouse.unplug();
    let outcome = machine.say("turn off the lamp").await;
    assert_eq!(outcome.status, Status::Failed);
    assert!(outcome.text.contains("board"), "{}", outcome.text);
    assert!(outcome.text.ends_with("Nothing was done."), "{}", outcome.text);
    machine.until("health tells", async |m| m.degraded("port:board").await.is_some()).await;
    machine.greenhouse.replug().unwrap();
    assert_eq!(machine.say("turn off the lamp").await.status, Status::Done);
    machine.until("health is well", async |m| m.degraded("port:board").await.is_none()).await;
    assert!(machine.log().contains("calls that found it away: 1"), "{}", machine.log());
}
