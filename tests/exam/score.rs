//! Marks: what was answered beside what was right.

use std::collections::BTreeMap;

use agentd::command::Call;
use agentd::tune::mark::{Share, is_same};
use agentd_tools::ToolSpec;
use serde_json::{Map, Value, json};

use super::cases::Case;

/// Thresholds of confidence that are told.
const THRESHOLDS: [f32; 6] = [0.5, 0.7, 0.8, 0.9, 0.95, 0.99];

/// What it is less sure of is asked back by default, with what it may be.
const DOUBTFUL: f32 = 0.5;

/// What became of one question.
#[derive(Debug, Clone)]
pub(crate) struct Mark {
    /// The tools that were right, for the table of what is taken for what.
    pub(crate) wanted: String,
    pub(crate) got: String,
    pub(crate) is_exact: bool,
    pub(crate) is_right_tool: bool,
    /// Whether another answer that it thought of is right.
    pub(crate) is_named: bool,
    /// The model's own, 0 to 1.
    pub(crate) confidence: f32,
    pub(crate) ms: u32,
}

/// Marks one answer; how sure and how fast it was is left to be filled in.
pub(crate) fn mark(case: &Case, tools: &[ToolSpec], answer: &[Call]) -> Mark {
    let ways = || std::iter::once(&case.expect).chain(&case.accept);
    let names = |calls: &[Call]| match calls {
        [] => "(refused)".to_owned(),
        calls => calls.iter().map(|call| call.tool.as_str()).collect::<Vec<_>>().join(" + "),
    };
    let same_tools = |right: &Vec<Call>| names(right) == names(answer);
    Mark {
        wanted: names(&case.expect),
        got: names(answer),
        is_exact: match &case.possible {
            Some(possible) => possible.is_met_by(answer, tools),
            None => ways().any(|right| is_same(right, answer, tools)),
        },
        is_right_tool: ways().any(same_tools),
        is_named: false,
        confidence: 0.0,
        ms: 0,
    }
}

/// Marks of one set, counted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    marks: Vec<Mark>,
}

impl Tally {
    pub(crate) fn add(&mut self, mark: Mark) {
        self.marks.push(mark);
    }

    pub(crate) fn extend(&mut self, other: &Self) {
        self.marks.extend_from_slice(&other.marks);
    }

    fn share(&self, of: impl Fn(&Mark) -> bool, hit: impl Fn(&Mark) -> bool) -> Share {
        let of: Vec<&Mark> = self.marks.iter().filter(|mark| of(mark)).collect();
        Share { hits: of.iter().filter(|mark| hit(mark)).count(), of: of.len() }
    }

    /// The shares that are told, each with its name; those that the set says nothing of are left out.
    pub(crate) fn shares(&self) -> Vec<(&'static str, Share)> {
        let refused = |calls: &str| calls == "(refused)";
        let all = vec![
            ("exact", self.share(|_| true, |mark| mark.is_exact)),
            ("right tool", self.share(|mark| !refused(&mark.wanted), |mark| mark.is_right_tool)),
            (
                "right arguments, of right tools",
                self.share(|m| m.is_right_tool && !refused(&m.got), |m| m.is_exact),
            ),
            ("refused, of what must be", self.share(|m| refused(&m.wanted), |m| refused(&m.got))),
            (
                "must be refused, of what was",
                self.share(|m| refused(&m.got), |m| refused(&m.wanted)),
            ),
            (
                "right or named, of commands it is less than 50 % sure of",
                self.share(
                    |m| m.confidence < DOUBTFUL && !refused(&m.wanted),
                    |m| m.is_exact || m.is_named,
                ),
            ),
        ];
        all.into_iter().filter(|(_, share)| share.of > 0).collect()
    }

    /// For each threshold: how many answers are at least so sure, and how many of those are right.
    pub(crate) fn calibration(&self) -> Vec<(f32, Share, Share)> {
        let row = |&least: &f32| {
            let sure = |mark: &Mark| mark.confidence >= least;
            (least, self.share(|_| true, sure), self.share(sure, |mark| mark.is_exact))
        };
        THRESHOLDS.iter().map(row).collect()
    }

    /// The median time and that of which one in ten takes longer, in milliseconds.
    pub(crate) fn times(&self) -> (u32, u32) {
        let mut times: Vec<u32> = self.marks.iter().map(|mark| mark.ms).collect();
        times.sort_unstable();
        let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or(0);
        (at(50), at(90))
    }

    /// What is taken for what, the most frequent first.
    pub(crate) fn confusions(&self, most: usize) -> Vec<(String, usize)> {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for mark in self.marks.iter().filter(|mark| !mark.is_right_tool) {
            *counts.entry(format!("{} -> {}", mark.wanted, mark.got)).or_default() += 1;
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        counts.truncate(most);
        counts
    }

    pub(crate) fn json(&self) -> Value {
        let (p50, p90) = self.times();
        let mut map: Map<String, Value> = self
            .shares()
            .into_iter()
            .map(|(name, share)| (name.replace(' ', "_"), share.json()))
            .collect();
        map.insert("ms".into(), json!({"p50": p50, "p90": p90}));
        let calibration = self.calibration().into_iter().map(|(least, sure, right)| {
            json!({"confidence": least, "answered": sure.json(), "exact": right.json()})
        });
        map.insert("calibration".into(), calibration.collect());
        map.insert("confusions".into(), json!(self.confusions(30)));
        Value::Object(map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tools() -> Vec<ToolSpec> {
        let params = json!({"device": {}, "minutes": {"type": "integer", "default": 5}});
        let tool = json!({"name": "run", "description": "d", "kind": "note", "params": params});
        vec![serde_json::from_value(tool).expect("a tool")]
    }

    fn call(args: Value) -> Call {
        serde_json::from_value(json!({"tool": "run", "args": args})).expect("a call")
    }

    fn case(expect: Vec<Call>) -> Case {
        serde_json::from_value(json!({
            "id": "a", "machine": "m", "say": "go", "expect": expect, "why": null,
        }))
        .expect("a case")
    }

    #[test]
    fn a_refusal_and_a_call_too_many_are_wrong_tools_and_a_wrong_value_is_not() {
        let pump = || call(json!({"device": "pump"}));
        let mark = |answer: &[Call]| mark(&case(vec![pump()]), &tools(), answer);
        let refused = mark(&[]);
        assert!(!refused.is_exact && !refused.is_right_tool);
        assert_eq!((refused.wanted.as_str(), refused.got.as_str()), ("run", "(refused)"));
        assert!(!mark(&[pump(), pump()]).is_right_tool);
        let fan = mark(&[call(json!({"device": "fan"}))]);
        assert!(fan.is_right_tool && !fan.is_exact);
        assert!(mark(&[pump()]).is_exact);
    }

    #[test]
    fn where_values_are_possible_the_leaderboards_rules_mark_and_not_ours() {
        let mut case = case(vec![call(json!({"device": "pump"}))]);
        let possible = json!({"tool": "run", "args": {"device": ["pump"], "minutes": [5, ""]}});
        case.possible = Some(serde_json::from_value(possible).expect("possible values"));
        let exact = |args| mark(&case, &tools(), &[call(args)]).is_exact;
        assert!(exact(json!({"device": "P.U.M.P"})));
        assert!(!exact(json!({"device": "pump", "minutes": "5"})), "which production puts right");
    }
}
