//! Marks: what was answered beside what was right, and shares with their intervals.

use agentd_tools::args::check_args;
use agentd_tools::spec::Param;
use agentd_tools::{Args, ToolSpec};
use serde_json::{Value, json};

use crate::command::Call;

/// Whether the same calls were given, in the same order, after what production puts right.
pub fn is_same(right: &[Call], given: &[Call], tools: &[ToolSpec]) -> bool {
    right.len() == given.len()
        && right.iter().zip(given).all(|(right, given)| is_same_call(right, given, tools))
}

/// The same call after what production puts right: defaults filled in, words as declared.
fn is_same_call(right: &Call, given: &Call, tools: &[ToolSpec]) -> bool {
    let spec = tools.iter().find(|spec| spec.name == right.tool && spec.name == given.tool);
    let Some(spec) = spec else { return false };
    let (Ok(right), Ok(given)) = (check_args(spec, &right.args), check_args(spec, &given.args))
    else {
        return false;
    };
    let is_same = |(name, param): (&String, &Param)| is_same_value(name, param, &right, &given);
    spec.params.iter().all(is_same)
}

fn is_same_value(name: &str, param: &Param, right: &Args, given: &Args) -> bool {
    match (right.get(name), given.get(name)) {
        (Some(Value::Number(right)), Some(Value::Number(given))) => {
            let difference =
                right.as_f64().unwrap_or(f64::NAN) - given.as_f64().unwrap_or(f64::NAN);
            difference.abs() < 1e-6
        }
        // A person's own words are the same without the signs around them.
        (Some(Value::String(right)), Some(Value::String(given))) if param.verbatim => {
            bare(right) == bare(given)
        }
        (right, given) => right == given,
    }
}

fn bare(text: &str) -> String {
    text.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase()
}

/// A share with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// How many hit.
    pub hits: usize,
    /// Of how many.
    pub of: usize,
}

impl Share {
    /// In percent; 0 of 0 are 0.
    pub fn percent(self) -> f64 {
        100.0 * self.hits as f64 / self.of.max(1) as f64
    }

    /// Wilson's interval, in percent: it stays within 0 to 100 and is honest for few cases.
    pub fn interval(self) -> (f64, f64) {
        const Z: f64 = 1.959_964;
        let (n, p) = (self.of.max(1) as f64, self.hits as f64 / self.of.max(1) as f64);
        let centre = (p + Z * Z / (2.0 * n)) / (1.0 + Z * Z / n);
        let half = Z / (1.0 + Z * Z / n) * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
        // None of none is as far as it goes, and not a rounding error below that.
        (100.0 * (centre - half).max(0.0), 100.0 * (centre + half).min(1.0))
    }

    /// As `84.2 % (78.1 to 88.9, n 190)`.
    pub fn text(self) -> String {
        let (low, high) = self.interval();
        format!("{:5.1} % ({low:.1} to {high:.1}, n {})", self.percent(), self.of)
    }

    /// As `{"percent", "low", "high", "n"}`, with one decimal.
    pub fn json(self) -> Value {
        // A zero is added because it may be a negative one.
        let round = |value: f64| (value * 10.0).round() / 10.0 + 0.0;
        let (low, high) = self.interval();
        json!({"percent": round(self.percent()), "low": round(low), "high": round(high), "n": self.of})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tools() -> Vec<ToolSpec> {
        let tool = json!({
            "name": "run", "description": "d", "kind": "serial",
            "params": {
                "device": {"enum": ["pump", "fan"]},
                "minutes": {"type": "integer", "default": 5},
                "text": {"verbatim": true, "default": ""},
            },
        });
        vec![serde_json::from_value(tool).expect("a tool")]
    }

    fn call(args: Value) -> Call {
        Call { tool: "run".into(), args: args.as_object().expect("an object").clone() }
    }

    #[test]
    fn a_call_counts_after_what_production_puts_right_and_not_by_its_spelling() {
        let right = [call(json!({"device": "pump"}))];
        let exact = |args| is_same(&right, &[call(args)], &tools());
        assert!(exact(json!({"device": "Pump", "minutes": 5})));
        assert!(!exact(json!({"device": "fan"})));
        assert!(!exact(json!({"device": "pump", "minutes": 6})));
        assert!(!is_same(&right, &[], &tools()));
        assert!(is_same(&[], &[], &tools()));
        let twice = [right[0].clone(), right[0].clone()];
        assert!(!is_same(&right, &twice, &tools()), "one call too many");
    }

    #[test]
    fn verbatim_words_are_the_same_without_the_signs_around_them() {
        let right = [call(json!({"device": "fan", "text": "The motor hums"}))];
        let exact =
            |text: &str| is_same(&right, &[call(json!({"device": "fan", "text": text}))], &tools());
        assert!(exact("the motor hums."));
        assert!(!exact("motor hums"));
    }

    #[test]
    fn the_interval_holds_its_share_and_is_narrower_for_more_cases() {
        let (few, many) = (Share { hits: 8, of: 10 }, Share { hits: 800, of: 1000 });
        let (low, high) = many.interval();
        assert!(low > 77.0 && low < 80.0 && high > 80.0 && high < 83.0, "{low} {high}");
        assert!(few.interval().0 < low && few.interval().1 > high);
        let all = Share { hits: 10, of: 10 }.interval();
        assert!(all.0 < 100.0 && all.1 <= 100.0, "{all:?}");
        for of in 0..50 {
            let none = Share { hits: 0, of }.json().to_string();
            assert!(none.contains(r#""low":0.0"#) && none.contains(r#""percent":0.0"#), "{none}");
        }
        assert_eq!(Share { hits: 0, of: 0 }.percent(), 0.0);
    }
}
