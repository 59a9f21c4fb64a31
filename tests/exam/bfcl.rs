//! Whether a call is right by the rules of the Berkeley Function Calling Leaderboard.
//!
//! They are those of `bfcl_eval/eval_checker/ast_eval/ast_checker.py` (`bfcl-eval` 2026.3.23, Apache-2.0), for Python,
//! written again with all their quirks; `bfcl_marks.py` compares the two. In short: one call; the tool's name is
//! equal; what is required is there and nothing unknown is; each value has the declared type and is among the possible
//! ones, where a possible `""` means that it may be left out. A whole number passes for a float, and texts are the
//! same without case, spaces and the signs ``,./-_*^``.

use std::collections::BTreeMap;

use agentd::command::Call;
use agentd_tools::spec::{Param, ParamKind};
use agentd_tools::{Args, ToolSpec};
use serde::Deserialize;
use serde_json::{Map, Value};

/// The right call, with the possible values of each of its arguments.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Possible {
    /// The tool.
    pub(crate) tool: String,
    args: BTreeMap<String, Vec<Value>>,
}

impl Possible {
    /// Whether an answer is right.
    pub(crate) fn is_met_by(&self, answer: &[Call], tools: &[ToolSpec]) -> bool {
        let ([call], Some(spec)) = (answer, tools.iter().find(|spec| spec.name == self.tool))
        else {
            return false;
        };
        call.tool == self.tool && self.allows(&call.args, spec)
    }

    fn allows(&self, args: &Args, spec: &ToolSpec) -> bool {
        let is_allowed =
            |(name, value): (&String, &Value)| match (spec.params.get(name), self.args.get(name)) {
                (Some(param), Some(possible)) => {
                    is_possible(&decoded(value, param), param, possible)
                }
                _ => false,
            };
        spec.params.iter().all(|(name, param)| !param.is_required() || args.contains_key(name))
            && args.iter().all(is_allowed)
            && self
                .args
                .iter()
                .all(|(name, possible)| args.contains_key(name) || has_empty(possible))
    }
}

/// A type of Python's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Str,
    Int,
    Float,
    Bool,
    List,
    Dict,
    None,
}

impl Type {
    fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::None,
            Value::Bool(_) => Self::Bool,
            Value::Number(number) if number.is_f64() => Self::Float,
            Value::Number(_) => Self::Int,
            Value::String(_) => Self::Str,
            Value::Array(_) => Self::List,
            Value::Object(_) => Self::Dict,
        }
    }

    fn declared(param: &Param) -> Self {
        match param.kind {
            ParamKind::String => Self::Str,
            ParamKind::Integer => Self::Int,
            ParamKind::Number => Self::Float,
            ParamKind::Boolean => Self::Bool,
            ParamKind::Array => Self::List,
            ParamKind::Object => Self::Dict,
        }
    }
}

/// The value that our call syntax means, as Python would have it. A `number` is a float though the syntax writes
/// a whole one without its `.0`: the leaderboard forgives that for an argument, and would not within a list.
fn decoded(value: &Value, param: &Param) -> Value {
    match (param.kind, value, &param.items) {
        (ParamKind::Number, Value::Number(number), _) => {
            number.as_f64().map_or_else(|| value.clone(), Value::from)
        }
        (ParamKind::Array, Value::Array(items), Some(item)) => {
            items.iter().map(|value| decoded(value, item)).collect()
        }
        _ => value.clone(),
    }
}

fn is_possible(value: &Value, param: &Param, possible: &[Value]) -> bool {
    let expected = Type::declared(param);
    let nested = param.items.as_deref().filter(|_| expected == Type::List).map(Type::declared);
    let Some(is_variable) = fits_type(value, possible, expected, nested) else { return false };
    match value {
        Value::Object(members) if !is_variable => is_possible_object(members, possible),
        Value::Array(items) if !is_variable && nested == Some(Type::Dict) => {
            possible.iter().any(|answer| are_possible_objects(items, answer))
        }
        Value::Array(items) if !is_variable => {
            let items: Vec<Value> = items.iter().map(standardised).collect();
            let is_same =
                |answer: &Value| elements(answer).is_some_and(|answer| all_equal(&items, &answer));
            possible.iter().any(is_same)
        }
        Value::String(_) if !is_variable => {
            let value = standardised(value);
            possible.iter().any(|answer| standardised(answer) == value)
        }
        _ => possible.iter().any(|answer| is_equal(value, answer)),
    }
}

/// Whether a value's type is right, and whether it is a "variable": then the possible answers are of another type than
/// the declared one, and are compared as they are. Of a list, some answer's items must have the types of its own.
fn fits_type(
    value: &Value,
    possible: &[Value],
    expected: Type,
    nested: Option<Type>,
) -> Option<bool> {
    let answers = possible.iter().find(|answer| **answer != "").map(Type::of);
    if Type::of(value) != expected {
        return (answers == Some(Type::of(value))).then_some(true);
    }
    let is_variable = answers.is_some_and(|answers| answers != expected);
    let (Some(nested), Value::Array(items)) = (nested, value) else { return Some(is_variable) };
    let fits = |answer: &Value| match answer {
        Value::Array(answer) => {
            items.iter().all(|item| fits_type(item, answer, nested, None).is_some())
        }
        _ => true,
    };
    possible.iter().any(fits).then_some(is_variable)
}

fn is_possible_object(members: &Map<String, Value>, possible: &[Value]) -> bool {
    let is_met = |answer: &Map<String, Value>| {
        let is_allowed = |(name, value): (&String, &Value)| {
            let allowed = answer.get(name).and_then(elements).unwrap_or_default();
            let value = standardised(value);
            allowed.iter().any(|allowed| is_equal(&value, allowed))
        };
        members.iter().all(is_allowed)
            && answer.iter().all(|(name, allowed)| {
                members.contains_key(name)
                    || allowed.as_array().is_some_and(|allowed| has_empty(allowed))
            })
    };
    possible.iter().filter_map(Value::as_object).any(is_met)
}

fn are_possible_objects(items: &[Value], answer: &Value) -> bool {
    let answer = elements(answer).unwrap_or_default();
    let is_met = |(item, answer): (&Value, &Value)| {
        item.as_object().is_some_and(|item| is_possible_object(item, std::slice::from_ref(answer)))
    };
    items.len() == answer.len() && items.iter().zip(&answer).all(is_met)
}

/// What Python would go through, texts standardised: the items of a list, the characters of a text.
fn elements(value: &Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(items) => Some(items.iter().map(standardised).collect()),
        Value::String(text) => {
            Some(text.chars().map(|c| standardised(&c.to_string().into())).collect())
        }
        _ => None,
    }
}

fn has_empty(possible: &[Value]) -> bool {
    possible.iter().any(|answer| answer == "")
}

/// A text without what does not count; any other value as it is.
fn standardised(value: &Value) -> Value {
    let Value::String(text) = value else { return value.clone() };
    let counts = |c: &char| !matches!(c, ' ' | ',' | '.' | '/' | '-' | '_' | '*' | '^');
    let text: String = text.chars().filter(counts).collect();
    text.to_lowercase().replace('\'', "\"").into()
}

/// Python's equality, to which 1, 1.0 and `True` are the same.
fn is_equal(a: &Value, b: &Value) -> bool {
    let number = |value: &Value| match value {
        Value::Bool(flag) => Some(f64::from(u8::from(*flag))),
        value => value.as_f64(),
    };
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => all_equal(a, b),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| is_equal(a, b)))
        }
        _ => a == b || matches!((number(a), number(b)), (Some(a), Some(b)) if a == b),
    }
}

fn all_equal(a: &[Value], b: &[Value]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_equal(a, b))
}

#[cfg(test)]
#[path = "bfcl_tests.rs"]
mod tests;
