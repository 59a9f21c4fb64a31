//! What a person's next words, or their approval, say of what the model made of the words before. This decides and
//! does no I/O.

use super::memory::{Exchange, MAX_CHARS};
use crate::command::{Route, Status};
use crate::model::grammar;
use crate::store::Plan;
use crate::store::feedback::{Feedback, Said, Verdict};

/// First words of a sentence that says that the last one was not understood. A change of mind ("actually", "make that")
/// says no such thing.
const CORRECTS: &[&[&str]] = &[
    &["no"],
    &["nope"],
    &["wrong"],
    &["not", "that"],
    &["not", "the"],
    &["i", "meant"],
    &["i", "said"],
];

/// Whether a sentence says that the one before it was not understood.
pub(super) fn corrects(say: &str) -> bool {
    let lower = say.to_lowercase();
    let words: Vec<&str> =
        lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    CORRECTS.iter().any(|first| words.starts_with(first) && words.len() > first.len())
}

/// What is to be kept of a command that ends, or pauses, with this plan; `before` is what its session said before.
pub(super) fn of(
    status: Status,
    plan: &Plan,
    say: &str,
    before: Option<&Exchange>,
) -> Option<Feedback> {
    let by_model = plan.route == Route::Model && !plan.calls.is_empty();
    if !by_model || say.chars().count() > MAX_CHARS {
        return None;
    }
    let verdict = match status {
        Status::WaitingApproval => Verdict::Open,
        // What was done already was no misunderstanding.
        Status::Done
            if before.is_some_and(|before| before.calls != plan.calls) && corrects(say) =>
        {
            Verdict::Corrected
        }
        _ => return None,
    };
    let said =
        |say: &str, calls| Said { say: say.trim().to_owned(), answer: grammar::answer(calls) };
    let before = before.map(|before| said(&before.say, &before.calls));
    Some(Feedback { verdict, said: said(say, &plan.calls), before })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::command::Call;

    fn call(valve: u32) -> Call {
        let args = json!({"valve": valve}).as_object().cloned().expect("an object");
        Call { tool: "open".into(), args: args.into_iter().collect() }
    }

    fn plan(route: Route, valve: u32) -> Plan {
        Plan { route, model: None, confidence: None, calls: vec![call(valve)] }
    }

    fn exchange() -> Exchange {
        Exchange { say: "let the water run".into(), calls: vec![call(1)] }
    }

    #[test]
    fn a_correction_is_kept_with_what_it_corrects() {
        let kept =
            of(Status::Done, &plan(Route::Model, 2), "No, the other valve", Some(&exchange()));
        let kept = kept.expect("it corrects");
        assert_eq!(kept.verdict, Verdict::Corrected);
        assert_eq!(kept.said.answer, "open(valve=2)");
        let before = kept.before.expect("what it corrects");
        assert_eq!(
            (before.say.as_str(), before.answer.as_str()),
            ("let the water run", "open(valve=1)")
        );
    }

    #[test]
    fn what_says_nothing_of_the_sentence_before_is_not_kept() {
        let of = |status, route, valve, say: &str, before: Option<&Exchange>| {
            super::of(status, &plan(route, valve), say, before)
        };
        let before = exchange();
        let before = Some(&before);
        for (status, route, valve, say, before) in [
            (Status::Done, Route::Model, 2, "and the other one", before),
            (Status::Done, Route::Model, 2, "actually the other one", before),
            (Status::Done, Route::Model, 2, "no", before),
            (Status::Done, Route::Model, 2, "nobody is here, open valve two", before),
            (Status::Done, Route::Model, 1, "no, that valve", before),
            (Status::Done, Route::Model, 2, "no, the other valve", None),
            (Status::Done, Route::Reflex, 2, "no, the other valve", before),
            (Status::Failed, Route::Model, 2, "no, the other valve", before),
            (Status::WaitingApproval, Route::Direct, 2, "open it", None),
        ] {
            assert_eq!(of(status, route, valve, say, before), None, "{say}");
        }
        let long = |chars| format!("no, {}", "é".repeat(chars - 4));
        assert!(of(Status::Done, Route::Model, 2, &long(MAX_CHARS), before).is_some());
        assert!(of(Status::Done, Route::Model, 2, &long(MAX_CHARS + 1), before).is_none());
    }

    #[test]
    fn a_plan_that_waits_for_a_person_is_kept_for_what_they_decide() {
        let kept = of(Status::WaitingApproval, &plan(Route::Model, 2), " open two ", None);
        let kept = kept.expect("it waits");
        assert_eq!(
            (kept.verdict, kept.said.say.as_str(), kept.before),
            (Verdict::Open, "open two", None)
        );
    }
}
