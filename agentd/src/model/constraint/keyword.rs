//! What single keywords of a schema say, checked: types, bounds, counts, values.

use std::collections::HashSet;
use std::hash::Hash;

use serde_json::{Map, Value};

use super::Refusal;

/// The largest number that every reader of JSON holds exactly: RFC 8259, section 6.
const MAX_NUMBER: f64 = 9_007_199_254_740_991.0;
/// In the place of zero where zero itself is excluded.
const LEAST: f64 = 1e-15;
/// The largest `multipleOf`: llguidance has a state for each remainder, and multiplies two of them.
pub(super) const MAX_MULTIPLE: f64 = 10_000.0;

pub(super) const TYPES: [&str; 7] =
    ["null", "boolean", "integer", "number", "string", "array", "object"];

pub(super) fn refuse<T>(at: &str, key: &str, why: impl Into<String>) -> Result<T, Refusal> {
    let pointer = if key.is_empty() { at.to_owned() } else { below(at, key) };
    Err(Refusal::Schema { pointer, why: why.into() })
}

/// The pointer of a part: RFC 6901.
pub(super) fn below(at: &str, key: &str) -> String {
    format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// The types that a schema admits: all of them where it names none.
pub(super) fn types<'a>(node: &'a Map<String, Value>, at: &str) -> Result<Vec<&'a str>, Refusal> {
    let names: Option<Vec<&str>> = match node.get("type") {
        None => return Ok(TYPES.iter().filter(|name| **name != "integer").copied().collect()),
        Some(Value::String(name)) => Some(vec![name]),
        Some(Value::Array(names)) => names.iter().map(Value::as_str).collect(),
        Some(_) => None,
    };
    let are_types = |names: &Vec<&str>| {
        !names.is_empty() && names.iter().all(|name| TYPES.contains(name)) && are_distinct(names)
    };
    match names.filter(are_types) {
        Some(names) => Ok(names),
        None => refuse(at, "type", format!("it has to be of {}, each once", TYPES.join(", "))),
    }
}

pub(super) fn has_bounds(node: &Map<String, Value>) -> bool {
    let keys = ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"];
    keys.iter().any(|key| node.contains_key(*key))
}

/// The least and the largest number, both included. To exclude a number, the one beside it is included:
/// llguidance excludes nothing between two numbers with the same whole part, and a reader rounds.
pub(super) fn bounds(node: &Map<String, Value>) -> (f64, f64) {
    let number = |key: &str| node.get(key).and_then(Value::as_f64);
    let up = |n: f64| if n == 0.0 { LEAST } else { n.next_up() };
    let lower = [number("minimum"), number("exclusiveMinimum").map(up)];
    let upper = [number("maximum"), number("exclusiveMaximum").map(|n| -up(-n))];
    let most = most_of_multiples(node);
    let least = lower.into_iter().flatten().fold(-most, f64::max);
    (least, upper.into_iter().flatten().fold(most, f64::min))
}

pub(super) fn count(value: &Value, at: &str, key: &str) -> Result<u64, Refusal> {
    match value.as_f64().filter(|n| n.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(n)) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is whole and small"
        )]
        Some(n) => Ok(n as u64),
        None => refuse(at, key, "it has to be a whole number from 0"),
    }
}

pub(super) fn listed(node: &Map<String, Value>, key: &str) -> u64 {
    node.get(key).and_then(Value::as_array).map_or(0, Vec::len) as u64
}

pub(super) fn are_distinct<T: Eq + Hash>(items: &[T]) -> bool {
    items.iter().collect::<HashSet<_>>().len() == items.len()
}

pub(super) fn multiple(value: &Value, at: &str) -> Result<(), Refusal> {
    let Some(multiple) = value.as_f64().filter(|n| *n > 0.0) else {
        return refuse(at, "multipleOf", "it has to be a number over 0");
    };
    let digits: Option<f64> = format!("{multiple}").replace('.', "").parse().ok();
    match digits.filter(|digits| *digits <= MAX_MULTIPLE && multiple <= MAX_MULTIPLE) {
        Some(_) => Ok(()),
        None => {
            let why = format!("it can only be held up to {MAX_MULTIPLE}, the point left out");
            refuse(at, "multipleOf", why)
        }
    }
}

/// The largest number of which all multiples up to it are told apart: each decimal takes a digit.
fn most_of_multiples(node: &Map<String, Value>) -> f64 {
    let multiple = node.get("multipleOf").and_then(Value::as_f64).map(|n| format!("{n}"));
    let decimals = multiple
        .as_deref()
        .and_then(|text| text.split_once('.'))
        .map_or(0, |(_, decimals)| decimals.len());
    match decimals {
        0 => MAX_NUMBER,
        decimals => {
            (MAX_NUMBER / 10_f64.powi(i32::try_from(decimals).unwrap_or(i32::MAX) + 1)).floor()
        }
    }
}

/// Whether a value can be written as it is, and read again as itself.
pub(super) fn literal(value: &Value, at: &str) -> Result<(), Refusal> {
    let writable = |text: &str| {
        let has_escape = |c: char| matches!(c, '\n' | '\r' | '\t' | '\u{8}' | '\u{c}');
        text.chars().all(|c| !c.is_ascii_control() || has_escape(c))
    };
    match value {
        Value::Number(n) if n.as_f64().is_none_or(|n| n.abs() > MAX_NUMBER) => {
            refuse(at, "", "a number that not every reader holds")
        }
        Value::String(text) if !writable(text) => {
            refuse(at, "", "a control character cannot be written")
        }
        Value::Array(items) => {
            let mut each = items.iter().enumerate();
            each.try_for_each(|(i, item)| literal(item, &below(at, &i.to_string())))
        }
        Value::Object(map) => map.iter().try_for_each(|(key, item)| {
            literal(&Value::from(key.as_str()), &below(at, key))?;
            literal(item, &below(at, key))
        }),
        _ => Ok(()),
    }
}
