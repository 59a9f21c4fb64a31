//! What people's approvals and corrections teach ([`feedback`](crate::store::feedback)).
//!
//! What was approved is right. A correction is right where it stands, after the answer that it corrects; and it is what
//! the sentence before it should have been understood as, unless the person had said the wrong thing themselves. A denial
//! does not say what would have been right, and teaches nothing here.

use std::collections::{BTreeMap, HashSet};

use agentd_tools::ToolSpec;
use serde_json::Value;

use super::lessons::{Pair, Turn};
use super::sayable::Judge;
use crate::agent::reflex::normalise;
use crate::command::Call;
use crate::model::grammar;
use crate::store::feedback::{Feedback, Said, Verdict};

/// One in so many is held out.
const HELD_OUT: usize = 4;

/// What is learnt and what is asked of it, the oldest first.
#[derive(Debug, Clone, Default)]
pub(super) struct History {
    pub(super) learnt: Vec<Pair>,
    pub(super) held_out: Vec<Pair>,
}

impl History {
    /// Of feedback on these tools, the oldest first; what was said last of a sentence counts. What today's tools cannot
    /// do, or what does not stand in its sentence, is left out.
    pub(super) fn of(feedback: &[Feedback], tools: &[ToolSpec], judge: &Judge<'_>) -> Self {
        let mut said: BTreeMap<(String, bool), (usize, Pair)> = BTreeMap::new();
        let all = feedback.iter().flat_map(|one| pairs(one, tools));
        for (at, pair) in all.enumerate() {
            let calls = grammar::parse_calls(&pair.answer).unwrap_or_default();
            let is_whole = match pair.before.is_empty() {
                true => judge.admits(&pair.say, &calls),
                // Its values may stand in what was said before.
                false => calls.iter().all(|call| judge.is_in_order(call)),
            };
            if is_whole && !calls.is_empty() {
                said.insert((normalise(&pair.say), pair.before.is_empty()), (at, pair));
            }
        }
        let mut said: Vec<_> =
            said.into_iter().map(|((say, _), (at, pair))| (at, say, pair)).collect();
        said.sort_by_key(|(at, ..)| *at);
        let mut history = Self::default();
        let mut asked = HashSet::new();
        for (at, (_, say, pair)) in said.into_iter().enumerate() {
            // The same words in two contexts are learnt or asked, and not both.
            let is_asked = asked.contains(&say) || at % HELD_OUT == HELD_OUT - 1;
            if is_asked {
                asked.insert(say);
                history.held_out.push(pair);
            } else {
                history.learnt.push(pair);
            }
        }
        history.learnt.retain(|pair| !asked.contains(&normalise(&pair.say)));
        history
    }
}

fn pairs(feedback: &Feedback, tools: &[ToolSpec]) -> Vec<Pair> {
    let Feedback { verdict, said, before } = feedback;
    let turn = |said: &Said| Turn { say: said.say.clone(), answer: said.answer.clone() };
    // What was not understood is shown to nobody.
    let shown = before.iter().filter(|said| said.answer != grammar::NONE);
    let told = Pair {
        say: said.say.clone(),
        before: shown.map(turn).collect(),
        answer: said.answer.clone(),
    };
    match (verdict, before) {
        (Verdict::Approved, _) => vec![told],
        (Verdict::Corrected, Some(before)) if !was_said(before, &said.answer, tools) => {
            let meant =
                Pair { say: before.say.clone(), before: Vec::new(), answer: said.answer.clone() };
            vec![told, meant]
        }
        (Verdict::Corrected, _) => vec![told],
        (Verdict::Open | Verdict::Denied, _) => Vec::new(),
    }
}

/// Whether a person said what was done, and not what they meant: a choice that was corrected stands in their words, as
/// in "the lamp", "no, the fan".
fn was_said(before: &Said, meant: &str, tools: &[ToolSpec]) -> bool {
    let words = format!(" {} ", normalise(&before.say));
    let [done, meant] =
        [&before.answer, meant].map(|answer| grammar::parse_calls(answer).unwrap_or_default());
    let stands = |value: &Value| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        words.contains(&format!(" {} ", normalise(&text.replace('_', " "))))
    };
    let has_changed = |call: &Call, name: &str, value: &Value| {
        let same_tool = meant.iter().filter(|meant| meant.tool == call.tool);
        same_tool.filter_map(|meant| meant.args.get(name)).all(|now| now != value)
    };
    done.iter().any(|call| {
        let known = tools.iter().any(|tool| tool.name == call.tool);
        known
            && call.args.iter().any(|(name, value)| has_changed(call, name, value) && stands(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tools() -> Vec<ToolSpec> {
        serde_json::from_value(serde_json::json!([
            {"name": "switch", "description": "switches", "kind": "note", "params": {
                "device": {"enum": ["lamp", "fan", "pump"]}, "state": {"enum": ["on", "off"]}}},
            {"name": "water", "description": "waters", "kind": "note",
             "params": {"minutes": {"type": "integer", "min": 1, "max": 60}}},
        ]))
        .expect("tools")
    }

    fn said(say: &str, answer: &str) -> Said {
        Said { say: say.into(), answer: answer.into() }
    }

    fn corrected(before: Said, now: Said) -> Feedback {
        Feedback { verdict: Verdict::Corrected, said: now, before: Some(before) }
    }

    fn approved(say: &str, answer: &str) -> Feedback {
        Feedback { verdict: Verdict::Approved, said: said(say, answer), before: None }
    }

    fn history(feedback: &[Feedback]) -> History {
        let tools = tools();
        let judge = Judge::new(&tools).expect("no sentences");
        History::of(feedback, &tools, &judge)
    }

    fn all(history: History) -> Vec<(String, usize, String)> {
        let pairs = history.learnt.into_iter().chain(history.held_out);
        let mut all: Vec<_> =
            pairs.map(|pair| (pair.say, pair.before.len(), pair.answer)).collect();
        all.sort();
        all
    }

    #[test]
    fn a_correction_tells_what_the_sentence_before_meant_unless_it_said_something_else() {
        let meant = corrected(
            said("let some air in", "switch(device=lamp, state=on)"),
            said("no, the fan", "switch(device=fan, state=on)"),
        );
        let told = all(history(&[meant]));
        let fan = "switch(device=fan, state=on)".to_owned();
        assert_eq!(
            told,
            [
                ("let some air in".to_owned(), 0, fan.clone()),
                ("no, the fan".to_owned(), 1, fan.clone())
            ]
        );
        let slip = corrected(
            said("turn the lamp on", "switch(device=lamp, state=on)"),
            said("no, the fan", "switch(device=fan, state=on)"),
        );
        assert_eq!(all(history(&[slip])), [("no, the fan".to_owned(), 1, fan)]);
    }

    #[test]
    fn what_was_not_understood_is_learnt_from_the_words_that_were_and_those_alone() {
        let off = "switch(device=pump, state=off)";
        let meant =
            corrected(said("let the pump rest", "none()"), said("no, turn off the pump", off));
        assert_eq!(
            all(history(&[meant])),
            [
                ("let the pump rest".to_owned(), 0, off.to_owned()),
                ("no, turn off the pump".to_owned(), 0, off.to_owned())
            ]
        );
    }

    #[test]
    fn what_cannot_be_learnt_is_left_out_and_the_last_word_counts() {
        let denied = Feedback {
            verdict: Verdict::Denied,
            ..approved("dark", "switch(device=lamp, state=on)")
        };
        let feedback = [
            approved("it is dark", "switch(device=lamp, state=off)"),
            approved("It is dark!", "switch(device=lamp, state=on)"),
            approved("water for an hour and a half", "water(minutes=90)"),
            approved("water a bit", "water(minutes=5)"),
            approved("do it", "gone(x=1)"),
            denied,
        ];
        let lamp = "switch(device=lamp, state=on)".to_owned();
        assert_eq!(all(history(&feedback)), [("It is dark!".to_owned(), 0, lamp)]);
    }

    #[test]
    fn one_in_four_is_asked_and_none_of_those_is_learnt() {
        let feedback: Vec<Feedback> = (0..40)
            .map(|n| approved(&format!("water {n} please, for ten minutes"), "water(minutes=10)"))
            .collect();
        let history = history(&feedback);
        assert_eq!((history.learnt.len(), history.held_out.len()), (30, 10));
        let learnt: HashSet<_> = history.learnt.iter().map(|pair| &pair.say).collect();
        assert!(history.held_out.iter().all(|pair| !learnt.contains(&pair.say)));
    }
}
