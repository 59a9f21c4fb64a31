//! Arguments as anyone proposes them, checked against a tool's declared parameters.
//!
//! A model, a sentence, a program and a person all write arguments a little differently: `"30"` for
//! 30, `Fan` for `fan`. What has one meaning is put right here; the rest is refused, all faults at
//! once, in words that say what would be right. Nothing that passes can break out of a request line.
//!
//! Bounds: a string has at most its declared `max_length`, else [`DEFAULT_MAX_CHARS`] characters; a list its
//! `max_items`; what is nested goes only as deep as it is declared. Of the faults [`SHOWN_FAULTS`] are told
//! and the others counted.

mod fault;

use indexmap::IndexMap;
use serde_json::{Number, Value};

pub use self::fault::{ArgError, ArgErrors, SHOWN_FAULTS};
use crate::near::nearest;
use crate::spec::{Format, Param, ParamKind};
use crate::{Args, ToolSpec};

/// The longest string where the parameter declares no `max_length`, in characters.
pub const DEFAULT_MAX_CHARS: usize = 512;
/// The largest whole number that a float holds exactly, 2^53.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;
/// How much of a wrong value a message repeats, in characters.
const SHOWN_CHARS: usize = 40;
/// How many of the allowed words a message lists.
const SHOWN_CHOICES: usize = 12;

/// Checks a call's arguments and puts them right: words as declared, numbers as numbers, defaults
/// filled in, all in declared order. A null is taken as not given.
pub fn check_args(spec: &ToolSpec, given: &Args) -> Result<Args, ArgErrors> {
    let mut errors = Vec::new();
    let args = check_members(&spec.name, "", &spec.params, given, &mut errors);
    if errors.is_empty() { Ok(args) } else { Err(ArgErrors(errors)) }
}

/// One value, put right, or what is wrong with it.
pub(crate) fn check_value(name: &str, param: &Param, value: &Value) -> Result<Value, ArgErrors> {
    let mut errors = Vec::new();
    let value = checked(name, param, value, &mut errors);
    value.filter(|_| errors.is_empty()).ok_or(ArgErrors(errors))
}

/// The arguments of a call, or the members of an object within it, whose names messages give with a `path`
/// before them. What is wrong is left out and told.
fn check_members(
    owner: &str,
    path: &str,
    params: &IndexMap<String, Param>,
    given: &Args,
    errors: &mut Vec<ArgError>,
) -> Args {
    for name in given.keys().filter(|name| !params.contains_key(*name)) {
        errors.push(ArgError::Unknown {
            tool: owner.to_owned(),
            name: shorten(name),
            nearest: nearest(name, params.keys().map(String::as_str)).map(str::to_owned),
        });
    }
    let mut args = Args::new();
    for (name, param) in params {
        let path = format!("{path}{name}");
        match given.get(name).filter(|value| !value.is_null()).or(param.default.as_ref()) {
            Some(value) => {
                if let Some(value) = checked(&path, param, value, errors) {
                    args.insert(name.clone(), value);
                }
            }
            None if param.optional => {}
            None => errors.push(ArgError::Missing { name: path, allowed: allowed(param) }),
        }
    }
    args
}

/// One value, put right; none where a fault was told.
fn checked(name: &str, param: &Param, value: &Value, errors: &mut Vec<ArgError>) -> Option<Value> {
    match (param.kind, value) {
        (ParamKind::Object, Value::Object(members)) => {
            let path = format!("{name}.");
            Some(check_members(name, &path, &param.properties, members, errors).into())
        }
        (ParamKind::Array, Value::Array(items)) => {
            let (count, max) = (items.len(), param.most_items());
            if !(1..=max).contains(&count) {
                errors.push(ArgError::Items { name: name.to_owned(), items: count, max });
                return None;
            }
            let item = param.items.as_deref()?;
            let items = items.iter().enumerate();
            let items =
                items.filter_map(|(i, v)| checked(&format!("{name}[{i}]"), item, v, errors));
            Some(items.collect())
        }
        _ => check_plain(name, param, value).map_err(|error| errors.push(error)).ok(),
    }
}

fn check_plain(name: &str, param: &Param, value: &Value) -> Result<Value, ArgError> {
    let not_allowed = || ArgError::NotAllowed {
        name: name.to_owned(),
        allowed: allowed(param),
        given: match value {
            Value::String(text) => format!("`{}`", shorten(text)),
            other => shorten(&other.to_string()),
        },
    };
    match param.kind {
        ParamKind::String => {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                _ => return Err(not_allowed()),
            };
            match &param.choices {
                Some(choices) => choice(choices, &text).map(Value::String).ok_or_else(not_allowed),
                None if param.format == Some(Format::Time) => {
                    time(&text).map(Value::String).ok_or_else(not_allowed)
                }
                None => check_text(name, param, text),
            }
        }
        ParamKind::Integer => {
            let number = integer(value).ok_or_else(not_allowed)?;
            check_range(name, param, Number::from(number))
        }
        ParamKind::Number => {
            let number = number(value).ok_or_else(not_allowed)?;
            check_range(name, param, number)
        }
        ParamKind::Boolean => match value {
            Value::Bool(_) => Ok(value.clone()),
            Value::String(text) if text.trim().eq_ignore_ascii_case("true") => Ok(true.into()),
            Value::String(text) if text.trim().eq_ignore_ascii_case("false") => Ok(false.into()),
            _ => Err(not_allowed()),
        },
        ParamKind::Array | ParamKind::Object => Err(not_allowed()),
    }
}

fn check_text(name: &str, param: &Param, text: String) -> Result<Value, ArgError> {
    let (chars, max) = (text.chars().count(), param.max_length.unwrap_or(DEFAULT_MAX_CHARS));
    if chars > max {
        return Err(ArgError::TooLong { name: name.to_owned(), chars, max });
    }
    if text.chars().any(char::is_control) {
        return Err(ArgError::ControlCharacter { name: name.to_owned() });
    }
    Ok(Value::String(text))
}

/// A time of day with two digits each: `6:05` is `06:05`.
fn time(text: &str) -> Option<String> {
    let (hour, minute) = text.trim().split_once(':')?;
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if !digits(hour) || !digits(minute) || hour.len() > 2 || minute.len() != 2 {
        return None;
    }
    let (hour, minute): (u8, u8) = (hour.parse().ok()?, minute.parse().ok()?);
    (hour < 24 && minute < 60).then(|| format!("{hour:02}:{minute:02}"))
}

/// The declared word that the text means. The very word goes before one that differs in case.
fn choice(choices: &[String], text: &str) -> Option<String> {
    let text = text.trim();
    let exact = choices.iter().find(|choice| *choice == text);
    let lower = text.to_lowercase();
    exact.or_else(|| choices.iter().find(|choice| choice.to_lowercase() == lower)).cloned()
}

pub(crate) fn integer(value: &Value) -> Option<i64> {
    let whole = |n: f64| (n.fract() == 0.0 && n.abs() <= MAX_EXACT).then_some(n as i64);
    match value {
        Value::Number(number) => number.as_i64().or_else(|| number.as_f64().and_then(whole)),
        Value::String(text) => {
            let text = text.trim();
            text.parse().ok().or_else(|| text.parse().ok().and_then(whole))
        }
        _ => None,
    }
}

fn number(value: &Value) -> Option<Number> {
    match value {
        Value::Number(number) => Some(number.clone()),
        Value::String(text) => {
            let text = text.trim();
            let whole = text.parse::<i64>().ok().map(Number::from);
            // `from_f64` gives none for `inf` and `NaN`, which Rust's parser takes.
            whole.or_else(|| text.parse().ok().and_then(Number::from_f64))
        }
        _ => None,
    }
}

fn check_range(name: &str, param: &Param, number: Number) -> Result<Value, ArgError> {
    let fits = number.as_f64().is_some_and(|n| {
        param.min.is_none_or(|min| n >= min) && param.max.is_none_or(|max| n <= max)
    });
    if fits {
        return Ok(Value::Number(number));
    }
    Err(ArgError::NotAllowed {
        name: name.to_owned(),
        allowed: range(param).unwrap_or_else(|| "finite".to_owned()),
        given: number.to_string(),
    })
}

/// The range in words, or none where there is no bound.
fn range(param: &Param) -> Option<String> {
    match (param.min, param.max) {
        (Some(min), Some(max)) => Some(format!("{min} to {max}")),
        (Some(min), None) => Some(format!("at least {min}")),
        (None, Some(max)) => Some(format!("at most {max}")),
        (None, None) => None,
    }
}

/// What a parameter may be, in words that go behind "must be".
pub fn allowed(param: &Param) -> String {
    if let Some(choices) = &param.choices {
        let listed = choices.iter().take(SHOWN_CHOICES).map(String::as_str);
        let listed = listed.collect::<Vec<_>>().join(", ");
        let more = choices.len().saturating_sub(SHOWN_CHOICES);
        return match (choices.len(), more) {
            (1, _) => listed,
            (_, 0) => format!("one of {listed}"),
            (_, more) => format!("one of {listed} and {more} others"),
        };
    }
    let what = match param.kind {
        ParamKind::String if param.format == Some(Format::Time) => {
            return "a time of day as 18:30".to_owned();
        }
        ParamKind::String => return "text".to_owned(),
        ParamKind::Boolean => return "true or false".to_owned(),
        ParamKind::Array => {
            let each = param.items.as_deref().map(allowed).unwrap_or_default();
            return format!("a list of 1 to {}, each {each}", param.most_items());
        }
        ParamKind::Object => {
            let names: Vec<&str> = param.properties.keys().map(String::as_str).collect();
            return format!("an object with {}", names.join(", "));
        }
        ParamKind::Integer => "a whole number",
        ParamKind::Number => "a number",
    };
    match range(param) {
        Some(range) => format!("{what}, {range}"),
        None => what.to_owned(),
    }
}

/// A value that anyone gave, short and without control characters, to be repeated in a message.
pub(crate) fn shorten(text: &str) -> String {
    let mut chars = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut out: String = chars.by_ref().take(SHOWN_CHARS).collect();
    if chars.next().is_some() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests;
