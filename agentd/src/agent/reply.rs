//! What the person is told. It is made of what ran and of nothing that a model wrote: where nothing ran,
//! it says that nothing was done.

use agentd_tools::ToolError;

use super::turn::Turn;
use crate::command::{Call, Status, sentence};

/// What is said where no tool has done anything.
const NOTHING: &str = "Nothing was done.";

/// The reply to a command that ended, or that pauses.
pub fn text(turn: &Turn) -> String {
    let (status, denial) = turn.ending();
    let mut parts: Vec<String> = turn.ran.iter().map(|ran| ran.reply.clone()).collect();
    if let [before @ .., last] = turn.ran.as_slice()
        && before.iter().any(|ran| ran.acted)
        && let Some(why) = last.reply.strip_suffix(NOTHING)
        && let Some(part) = parts.last_mut()
    {
        let call = Call { tool: last.record.tool.clone(), args: last.record.args.clone() };
        *part = format!("{why}{call} was not done.");
    }
    if status == Status::WaitingApproval {
        let calls: Vec<String> = turn.plan().calls.iter().map(Call::to_string).collect();
        return format!(
            "{} waits for a person to approve it. Nothing was done yet.",
            calls.join(", ")
        );
    }
    // A call that failed has said so in its own part.
    let told = turn.ran.last().is_some_and(|ran| !ran.record.ok);
    if let Some(denial) = denial.filter(|_| !told) {
        parts.push(sentence(&denial.message));
    }
    let left = turn.plan().calls.len().saturating_sub(turn.ran.len());
    if turn.ran.is_empty() {
        parts.push(NOTHING.into());
    } else if left > 0 && status != Status::Done {
        parts
            .push(format!("The other {left} of {} calls were not tried.", turn.plan().calls.len()));
    }
    parts.join(" ")
}

/// What the person is told of a call that was cut off and, as its device says, took effect.
pub fn confirmed(reply: &str) -> String {
    format!("{reply} The device was asked, because its answer was lost.")
}

/// What the person is told of a call that was cut off and, as its device says, took no effect.
pub fn without_effect(call: &Call) -> String {
    format!("{call} was cut off, and the device says that it took no effect. It is not repeated.")
}

/// What the person is told of a call that failed: of what was certainly not done where other calls were made before it,
/// [`text`] says that it is this one.
pub fn failure(error: &ToolError, call: &Call, acts: bool) -> String {
    let after = match (acts, error.effect_unknown()) {
        (true, true) => format!(" It is not known whether {call} took effect."),
        (true, false) => format!(" {NOTHING}"),
        (false, _) => " So there is no answer.".to_owned(),
    };
    format!("{}{after}", sentence(&error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::turn::{Event, Proposal, Ran, Turn};
    use crate::command::{CallRecord, Denial, Route};
    use crate::model::ModelError;
    use crate::store::Plan;

    #[test]
    fn where_no_tool_ran_the_reply_says_that_nothing_was_done() {
        let mut turn = Turn::ask(None, 4, 0.0);
        turn.on(Event::Proposed(Proposal { confidence: 1.0, ..Proposal::default() }));
        assert_eq!(text(&turn), "No tool here does that. Nothing was done.");
        let mut turn = Turn::ask(None, 4, 0.0);
        turn.on(Event::NoProposal(ModelError::TooLate));
        assert_eq!(text(&turn), "The model did not finish in time. Nothing was done.");
    }

    #[test]
    fn after_something_was_done_nothing_is_not_what_was_done() {
        let call = |tool: &str| Call { tool: tool.into(), args: serde_json::Map::new() };
        let ran = |tool: &str, reply: String, ok: bool| Ran {
            record: CallRecord {
                tool: tool.into(),
                args: serde_json::Map::new(),
                ok,
                result: None,
                error: (!ok).then(|| "unplugged".into()),
                settled: None,
                ms: 1,
            },
            acted: ok,
            reply,
            error: (!ok).then(|| Denial::new("unavailable", "unplugged")),
            effects: Vec::new(),
        };
        let gone = ToolError::Unavailable { what: "board".into(), why: "unplugged".into() };
        let failed = failure(&gone, &call("fan"), true);
        let told = |before: Option<bool>| {
            let calls = vec![call("pump"), call("fan")];
            let plan = Plan { route: Route::Reflex, model: None, confidence: None, calls };
            let before =
                before.map(|acts| Ran { acted: acts, ..ran("pump", "It is on.".into(), true) });
            let all = before.into_iter().chain([ran("fan", failed.clone(), false)]).collect();
            text(&Turn::resume(plan, all, None, 4))
        };
        let after = told(Some(true));
        assert!(
            after.starts_with("It is on. Board is not available: unplugged. fan() was not done."),
            "{after}"
        );
        assert!(!after.contains("Nothing was done"), "{after}");
        assert!(told(None).contains("unplugged. Nothing was done."), "{}", told(None));
        assert!(told(Some(false)).contains("Nothing was done."), "a reading changes nothing");
    }

    #[test]
    fn an_unknown_effect_is_told_as_unknown() {
        let call = Call { tool: "pump".into(), args: serde_json::Map::new() };
        let silent = ToolError::NoAnswer { what: "board".into(), ms: 2000 };
        assert_eq!(
            failure(&silent, &call, true),
            "Board did not answer within 2000 ms. It is not known whether pump() took effect."
        );
        let gone = ToolError::Unavailable { what: "board".into(), why: "unplugged".into() };
        assert!(failure(&gone, &call, true).ends_with("Nothing was done."));
        assert!(failure(&silent, &call, false).ends_with("So there is no answer."));
    }
}
