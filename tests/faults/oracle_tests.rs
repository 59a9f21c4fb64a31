//! The judge catches each crime, and only that one.

use std::time::{Duration, SystemTime};

use agentd::command::{CallRecord, Denial, Route};
use jiff::Timestamp;
use serde_json::json;

use super::*;
use crate::books::Record;
use crate::plan::{Way, What};

fn order(number: u32, what: What, way: Way) -> Order {
    Order { number, what, way, session: None }
}

fn outcome(id: &str, tool: &str, number: u32, status: Status) -> Outcome {
    let at = Timestamp::UNIX_EPOCH;
    let call = CallRecord {
        tool: tool.into(),
        args: json!({"number": number}).as_object().cloned().unwrap_or_default(),
        ok: status == Status::Done,
        result: None,
        error: None,
        settled: (tool == "level").then_some(Settled::Repeated),
        ms: 1,
    };
    Outcome {
        id: id.into(),
        status,
        text: "Told.".into(),
        route: Route::Reflex,
        model: None,
        confidence: None,
        calls: vec![call],
        error: None,
        ms: 1,
        received_at: at,
        finished_at: at,
    }
}

fn action(word: &str, number: u32, at: Instant) -> Action {
    Action { word: word.into(), number, at, wall: SystemTime::UNIX_EPOCH }
}

/// Writes the audit log anew from the outcomes.
fn audited(evidence: &mut Evidence) {
    let mut before = vec![0; 32];
    evidence.books.audit = evidence
        .books
        .inbox
        .iter()
        .filter_map(|entry| entry.outcome.clone())
        .map(|outcome| {
            let text = json!(outcome).to_string();
            before = audit::chain(&before, &text);
            Record { command_id: outcome.id, text, hash: before.clone() }
        })
        .collect();
}

/// Three commands that went as they should, one of them repeated after a kill.
fn sound() -> Evidence {
    let began = Instant::now();
    let second = began + Duration::from_secs(10);
    let mut evidence = Evidence { lives: vec![began, second], ..Evidence::default() };
    let orders = [
        (order(1, What::Mark, Way::Mqtt), "mark"),
        (order(2, What::Level, Way::Socket), "level"),
        (order(3, What::Note, Way::Words), "note"),
    ];
    for (seq, (order, tool)) in (1..).zip(orders) {
        let id = order.id().unwrap_or_else(|| "made-by-the-daemon".into());
        let outcome = outcome(&id, tool, order.number, Status::Done);
        evidence.given.push(Given { order, sure: true });
        evidence.results.push(outcome.clone());
        let event = json!({"seq": seq, "event_id": format!("e{seq}"), "command_id": id});
        evidence.events.push(("action".into(), event));
        evidence.books.inbox.push(Entry {
            id,
            number: order.number,
            state: "done".into(),
            ended: true,
            outcome: Some(outcome),
        });
    }
    let note = json!({"seq": 4, "event_id": "e4", "command_id": "made-by-the-daemon"});
    evidence.events.push(("note".into(), note));
    // Repeats of what was delivered are what QoS 1 allows.
    evidence.events.push(evidence.events[0].clone());
    evidence.results.push(evidence.results[1].clone());
    evidence.books.event_seq = 4;
    evidence.actions = vec![
        action("MARK", 1, began + Duration::from_secs(1)),
        action("LEVEL", 2, began + Duration::from_secs(2)),
        action("LEVEL", 2, second + Duration::from_secs(1)),
    ];
    audited(&mut evidence);
    evidence
}

#[track_caller]
fn finds(crime: impl FnOnce(&mut Evidence), kind: Kind, about: &str) {
    let mut evidence = sound();
    crime(&mut evidence);
    let found = examine(&evidence);
    assert!(!found.is_empty(), "nothing is found");
    assert!(found.iter().all(|violation| violation.kind == kind), "{found:?}");
    assert!(found.iter().any(|violation| violation.what.contains(about)), "{found:?}");
}

#[test]
fn what_went_as_it_should_is_left_alone() {
    assert_eq!(examine(&sound()), []);
    assert_eq!(repeated(&sound()), 1);
    let evidence = sound();
    assert!(is_settled(&evidence.given, &evidence.books) && has_arrived(&evidence));
}

#[test]
fn an_action_that_was_done_twice_is_found() {
    finds(|it| it.actions.push(it.actions[0].clone()), Kind::Doubled, "MARK 1 2 times");
}

#[test]
fn a_repeat_of_an_idempotent_call_without_a_kill_in_between_is_found() {
    finds(|it| it.lives.truncate(1), Kind::Doubled, "in one life");
}

#[test]
fn an_action_that_nobody_asked_for_is_found() {
    let at = Instant::now();
    finds(move |it| it.actions.push(action("MARK", 9, at)), Kind::Untrue, "nobody asked");
}

#[test]
fn a_lost_event_is_found_whether_it_is_the_last_one_or_a_hole() {
    finds(|it| it.events.retain(|(_, e)| e["seq"] != 2), Kind::Lost, "event 2 of 4");
    finds(|it| it.events.retain(|(_, e)| e["seq"] != 4), Kind::Lost, "event 4 of 4");
    finds(|it| it.books.dropped = 1, Kind::Lost, "bound");
}

#[test]
fn an_event_that_was_never_written_is_found_although_seq_has_no_hole() {
    let crime = |it: &mut Evidence| {
        it.events.retain(|(kind, _)| kind != "note");
        it.books.event_seq = 3;
    };
    finds(crime, Kind::Lost, "note event of command 3");
}

#[test]
fn a_number_that_was_given_twice_is_found() {
    let twin = json!({"seq": 4, "event_id": "e9", "command_id": "other"});
    finds(|it| it.events.push(("alert".into(), twin)), Kind::Doubled, "seq 4");
}

#[test]
fn a_command_that_was_accepted_and_is_gone_is_found() {
    let order = order(7, What::Mark, Way::Mqtt);
    finds(|it| it.given.push(Given { order, sure: true }), Kind::Lost, "mark 7");
    let mut evidence = sound();
    evidence.given.push(Given { order, sure: false });
    assert_eq!(examine(&evidence), [], "one that was perhaps not accepted may be unknown");
    assert!(is_settled(&evidence.given, &evidence.books));
}

#[test]
fn words_that_were_taken_in_twice_are_found() {
    let crime = |it: &mut Evidence| {
        let mut again = it.books.inbox[2].clone();
        (again.id, again.outcome) = ("another".into(), None);
        again.ended = false;
        it.books.inbox.push(again);
    };
    let mut evidence = sound();
    crime(&mut evidence);
    let kinds: Vec<Kind> = examine(&evidence).iter().map(|violation| violation.kind).collect();
    assert_eq!(kinds, [Kind::Doubled, Kind::Stuck]);
}

#[test]
fn a_command_that_does_not_end_and_a_row_that_does_not_leave_are_found() {
    let crime = |it: &mut Evidence| {
        let entry = &mut it.books.inbox[0];
        (entry.ended, entry.state, entry.outcome) = (false, "waiting".into(), None);
        audited(it);
    };
    finds(crime, Kind::Stuck, "command 1");
    let mut evidence = sound();
    crime(&mut evidence);
    assert!(!is_settled(&evidence.given, &evidence.books));
    let row = ("result/x".to_owned(), "{}".to_owned());
    finds(|it| it.books.outbox.push(row), Kind::Stuck, "result/x");
}

#[test]
fn two_final_outcomes_are_found() {
    let crime = |it: &mut Evidence| {
        it.results.push(outcome("c1", "mark", 1, Status::Interrupted));
    };
    finds(crime, Kind::Doubled, "done, interrupted");
}

#[test]
fn an_outcome_that_never_came_is_found() {
    finds(|it| it.results.retain(|outcome| outcome.id != "c1"), Kind::Lost, "never came");
}

#[test]
fn a_record_that_does_not_agree_with_the_board_is_found() {
    finds(|it| it.actions.retain(|action| action.number != 1), Kind::Untrue, "did not act");
    let crime = |it: &mut Evidence| {
        let mut denied = outcome("c1", "mark", 1, Status::Failed);
        denied.calls.clear();
        it.results[0] = denied.clone();
        it.books.inbox[0].outcome = Some(denied);
        audited(it);
    };
    finds(crime, Kind::Untrue, "command 1 acted");
}

#[test]
fn a_repeat_that_no_record_tells_of_is_found() {
    let crime = |it: &mut Evidence| {
        let mut silent = it.results[1].clone();
        silent.calls[0].settled = None;
        it.results.retain(|outcome| outcome.id != silent.id);
        it.results.push(silent.clone());
        it.books.inbox[1].outcome = Some(silent);
        audited(it);
    };
    finds(crime, Kind::Untrue, "command 2 was repeated");
}

#[test]
fn an_action_that_is_told_as_without_effect_is_found() {
    let crime = |it: &mut Evidence| {
        let mut denied = outcome("c1", "press", 1, Status::Failed);
        denied.error = Some(Denial::new("no_effect", "it took no effect"));
        it.results[0] = denied.clone();
        it.results.retain(|outcome| outcome.id != "c1" || *outcome == denied);
        it.books.inbox[0].outcome = Some(denied);
        audited(it);
    };
    finds(crime, Kind::Untrue, "command 1 acted");
}

#[test]
fn a_broken_chain_and_a_missing_record_are_found() {
    finds(|it| it.books.audit[1].text.push(' '), Kind::Chain, "audit record 2");
    finds(|it| it.books.audit[0].hash[0] ^= 1, Kind::Chain, "audit record 2");
    finds(
        |it| {
            it.books.audit.pop();
        },
        Kind::Chain,
        "command 3 has 0",
    );
}

#[test]
fn a_daemon_that_ends_by_itself_and_a_database_that_is_moved_aside_are_found() {
    finds(|it| it.deaths.push("signal: 6".into()), Kind::Died, "signal: 6");
    finds(|it| it.moved_aside.push("agentd.db.unusable".into()), Kind::Lost, "moved aside");
}
