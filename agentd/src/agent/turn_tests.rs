//! What the turn decides, without any I/O.

use agentd_tools::Toolbox;

use super::*;
use crate::policy::{self, Asker, Role};

fn call(n: usize) -> Call {
    Call { tool: format!("tool{n}"), args: serde_json::Map::new() }
}

fn denied() -> Verdict {
    Verdict::Denied(Denial::new("bad_arguments", "out of range"))
}

fn turn(calls: usize) -> Turn {
    let mut turn = Turn::ask(Some("m".into()), 4, 0.5);
    turn.on(Event::Proposed(Proposal {
        calls: (0..calls).map(call).collect(),
        confidence: 0.5,
        others: vec![vec![call(9)]],
        missing: None,
        model: None,
    }));
    turn
}

#[test]
fn the_bound_on_steps_holds_at_and_one_over() {
    assert!(matches!(turn(4).next(), Step::Approve(calls) if calls.len() == 4));
    let over = turn(5);
    assert_eq!(over.next(), Step::Finish);
    assert_eq!(over.ending().1.map(|d| d.code.as_str()), Some("too_many_steps"));
}

#[test]
fn the_bound_on_confidence_holds_at_and_just_below() {
    let propose = |confidence| {
        let mut turn = Turn::ask(Some("m".into()), 4, 0.8);
        let others = vec![vec![call(2)], Vec::new()];
        let calls = vec![call(0), call(1)];
        turn.on(Event::Proposed(Proposal {
            calls,
            confidence,
            others,
            missing: None,
            model: Some("other".into()),
        }));
        turn
    };
    let sure = propose(0.8);
    assert!(matches!(sure.next(), Step::Approve(_)));
    assert_eq!(sure.plan().model.as_deref(), Some("other"), "the one that answered");
    let unsure = propose(0.7996);
    assert_eq!((unsure.next(), unsure.ending().0), (Step::Finish, Status::Denied));
    let denial = unsure.ending().1.expect("why");
    assert_eq!(denial.code, UNSURE);
    let all = format!("it may be {} and then {}, or {}. Please", call(0), call(1), call(2));
    assert!(denial.message.contains(&all), "{}", denial.message);
    assert_eq!(
        unsure.plan().confidence,
        Some(0.8),
        "rounded for people, and not before it is judged"
    );
}

#[test]
fn a_doubtful_no_asks_back_where_there_is_something_to_ask() {
    let propose = |confidence, others| {
        let mut turn = Turn::ask(Some("m".into()), 4, 0.8);
        turn.on(Event::Proposed(Proposal { confidence, others, ..Proposal::default() }));
        turn.ending().1.map(|denial| denial.code.clone())
    };
    let code = |code: &str| Some(code.to_owned());
    assert_eq!(propose(0.5, vec![vec![call(1)]]), code(UNSURE));
    assert_eq!(propose(0.5, Vec::new()), code("no_tool"));
    assert_eq!(propose(0.8, vec![vec![call(1)]]), code("no_tool"));
}

#[test]
fn a_value_that_is_missing_is_asked_for_and_no_call_of_the_plan_is_made() {
    let propose = |confidence, others| {
        let mut turn = Turn::ask(Some("m".into()), 4, 0.8);
        let (calls, missing) = (vec![call(0)], Some("a value is missing".to_owned()));
        let proposal = Proposal { calls, confidence, others, missing, model: None };
        turn.on(Event::Proposed(proposal));
        turn
    };
    let asked = propose(0.9, vec![vec![call(1)]]);
    assert_eq!((asked.next(), asked.ending().0), (Step::Finish, Status::Denied));
    assert_eq!(asked.ending().1.map(|denial| denial.code.as_str()), Some(VALUE_MISSING));
    assert_eq!(asked.plan().calls, [call(0)], "kept in mind");
    let code = |turn: &Turn| turn.ending().1.map(|denial| denial.code.clone());
    assert_eq!(code(&propose(0.5, vec![vec![call(1)]])).as_deref(), Some(UNSURE));
    let one_tool = propose(0.5, vec![vec![call(0)]]);
    assert_eq!(code(&one_tool).as_deref(), Some(VALUE_MISSING), "what else it may be is the same");
}

#[test]
fn no_tool_is_a_denial_and_no_model_is_a_failure() {
    assert_eq!(turn(0).ending().0, Status::Denied);
    let mut turn = Turn::ask(None, 4, 0.0);
    turn.on(Event::NoProposal(ModelError::Crashed("signal 9".into())));
    let (status, denial) = turn.ending();
    assert_eq!(status, Status::Failed);
    assert!(denial.is_some_and(|d| d.message.contains("signal 9")));
}

#[test]
fn one_denied_call_of_a_plan_stops_all_of_it() {
    let mut turn = turn(2);
    turn.on(Event::Judged(vec![Verdict::NeedsPerson, denied()]));
    assert_eq!((turn.next(), turn.ending().0), (Step::Finish, Status::Denied));
}

#[test]
fn a_call_that_needs_a_person_pauses_the_plan() {
    let mut turn = turn(1);
    turn.on(Event::Judged(vec![Verdict::NeedsPerson]));
    assert_eq!(turn.ending().0, Status::WaitingApproval);
    assert_eq!(turn.plan().calls, vec![call(0)]);
}

#[test]
fn time_that_is_up_ends_it_once() {
    let mut turn = turn(1);
    turn.on(Event::OutOfTime);
    turn.on(Event::Judged(vec![denied()]));
    assert_eq!(turn.ending().1.map(|d| d.code.as_str()), Some("too_late"));
}

/// Calls of a tool that is not idempotent, is, or can be read back, as policy approves them.
fn approved(tools: &[&str]) -> Vec<Verdict> {
    let specs = serde_json::json!([
        {"name": "plain", "description": "d", "kind": "serial", "port": "p", "send": "P", "expect": "^OK$"},
        {"name": "again", "description": "d", "kind": "serial", "port": "p", "send": "A", "expect": "^OK$",
         "idempotent": true},
        {"name": "asked", "description": "d", "kind": "serial", "port": "p", "send": "Q", "expect": "^OK$",
         "verify": {"send": "GET", "expect": "^1$", "otherwise": "^0$"}},
    ]);
    let ports = serde_json::json!([{"name": "p", "path": "/dev/null"}]);
    let specs = serde_json::from_value(specs).expect("declarations");
    let ports = serde_json::from_value(ports).expect("a port");
    let (toolbox, _) = Toolbox::open(specs, ports, "/nonexistent".as_ref()).expect("it opens");
    let asker = Asker { role: Role::Operator, tools: None, approved_by: None };
    let judge = |tool: &&str| policy::approve(&named(tool), &asker, &toolbox);
    tools.iter().map(judge).collect()
}

fn named(tool: &str) -> Call {
    Call { tool: tool.into(), args: serde_json::Map::new() }
}

fn plan(tools: &[&str]) -> Plan {
    let calls = tools.iter().map(|tool| named(tool)).collect();
    Plan { route: Route::Direct, model: None, confidence: None, calls }
}

/// A call that came back: as done, or with an error after which its effect is not known.
fn ran(tool: &str, error: Option<&str>) -> Ran {
    let record = CallRecord {
        tool: tool.into(),
        args: serde_json::Map::new(),
        ok: error.is_none(),
        result: None,
        error: error.map(str::to_owned),
        settled: None,
        ms: 1,
    };
    let error = error.map(|code| Denial::new(code, "it is not known"));
    Ran { record, acted: true, reply: format!("{tool}."), error, effects: Vec::new() }
}

/// A command in the middle of whose first call the daemon stopped, judged again.
fn resumed(tool: &str) -> Turn {
    let cut_off = Some(ran(tool, Some(INTERRUPTED)));
    let mut turn = Turn::resume(plan(&[tool, "plain"]), Vec::new(), cut_off, 4);
    turn.on(Event::Judged(approved(&[tool, "plain"])));
    turn
}

#[test]
fn a_call_that_was_cut_off_and_can_neither_be_repeated_nor_asked_for_is_interrupted() {
    let turn = resumed("plain");
    assert_eq!((turn.next(), turn.ending().0), (Step::Finish, Status::Interrupted));
    assert_eq!(turn.ran.len(), 1, "it is told with its record");
}

#[test]
fn an_idempotent_call_that_was_cut_off_is_made_again_and_its_record_says_so() {
    let mut turn = resumed("again");
    assert!(matches!(turn.next(), Step::Run(0, _)));
    turn.on(Event::Ran(Box::new(ran("again", None))));
    assert_eq!(turn.ran[0].record.settled, Some(Settled::Repeated));
    assert!(matches!(turn.next(), Step::Run(1, _)));
    turn.on(Event::Ran(Box::new(ran("plain", None))));
    assert_eq!((turn.ending().0, turn.ran[1].record.settled), (Status::Done, None));
}

#[test]
fn a_second_attempt_that_does_nothing_does_not_undo_the_first() {
    let mut turn = resumed("again");
    let unplugged = Ran { acted: false, ..ran("again", Some("unavailable")) };
    turn.on(Event::Ran(Box::new(unplugged)));
    assert_eq!((turn.next(), turn.ending().0), (Step::Finish, Status::Interrupted));
    let told = &turn.ran[0];
    assert!(told.acted && told.record.settled == Some(Settled::Repeated));
    assert!(told.reply.contains("tried again, and that failed"), "{}", told.reply);
}

#[test]
fn a_device_that_is_asked_settles_a_call_that_was_cut_off_both_ways() {
    let mut turn = resumed("asked");
    assert!(matches!(turn.next(), Step::ReadBack(_)));
    turn.on(Event::Told(Ok((true, "It is on.".into()))));
    assert!(turn.ran[0].record.ok && turn.ran[0].acted && turn.ran[0].record.error.is_none());
    assert_eq!(turn.ran[0].record.settled, Some(Settled::ReadBack));
    assert!(matches!(turn.next(), Step::Run(1, _)), "the plan goes on");

    let mut turn = resumed("asked");
    turn.on(Event::Told(Ok((false, "It took no effect.".into()))));
    assert_eq!((turn.next(), turn.ending().0), (Step::Finish, Status::Failed));
    assert!(!turn.ran[0].acted, "what took no effect is no action");

    let mut turn = resumed("asked");
    turn.on(Event::Told(Err("board did not answer".into())));
    assert_eq!((turn.next(), turn.ending().0), (Step::Finish, Status::Interrupted));
    assert!(turn.ran[0].reply.contains("did not answer"), "{}", turn.ran[0].reply);
}

#[test]
fn what_was_cut_off_is_told_as_not_known_whatever_else_ends_the_command() {
    for (what, event) in [
        ("denied now", Event::Judged(vec![denied()])),
        ("a person is needed now", Event::Judged(vec![Verdict::NeedsPerson])),
        ("time is up", Event::OutOfTime),
    ] {
        let cut_off = Some(ran("again", Some(INTERRUPTED)));
        let mut turn = Turn::resume(plan(&["again"]), Vec::new(), cut_off, 4);
        turn.on(event);
        assert_eq!((turn.next(), turn.ending().0), (Step::Finish, Status::Interrupted), "{what}");
        assert_eq!(turn.ran.len(), 1, "{what}");
    }
    let mut turn = resumed("again");
    turn.on(Event::NotRecorded(Denial::new("not_recorded", "the disk is full")));
    assert_eq!(
        turn.ending().0,
        Status::Interrupted,
        "the second attempt was not made, the first was"
    );
}

#[test]
fn a_call_whose_answer_was_lost_is_asked_for_at_once_where_its_device_can_tell() {
    let mut turn = Turn::carry_out(plan(&["asked"]), 4);
    turn.on(Event::Judged(approved(&["asked"])));
    turn.on(Event::Ran(Box::new(ran("asked", Some("no_answer")))));
    assert!(matches!(turn.next(), Step::ReadBack(_)));
    turn.on(Event::Told(Ok((true, "It is on.".into()))));
    assert_eq!(turn.ending().0, Status::Done);

    let mut turn = Turn::carry_out(plan(&["plain"]), 4);
    turn.on(Event::Judged(approved(&["plain"])));
    turn.on(Event::Ran(Box::new(ran("plain", Some("no_answer")))));
    assert_eq!((turn.next(), turn.ending().0), (Step::Finish, Status::Failed));
}
