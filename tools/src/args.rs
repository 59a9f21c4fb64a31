//! Arguments as anyone proposes them, checked against a tool's declared parameters.
//!
//! A model, a sentence, a program and a person all write arguments a little differently: `"30"` for
//! 30, `Fan` for `fan`. What has one meaning is put right here; the rest is refused, all faults at
//! once, in words that say what would be right. Nothing that passes can break out of a request line.
//!
//! Bounds: a string has at most its declared `max_length`, else [`DEFAULT_MAX_CHARS`] characters; a list its
//! `max_items`; what is nested goes only as deep as it is declared. Of the faults [`SHOWN_FAULTS`] are told
//! and the others counted.

use indexmap::IndexMap;
use serde_json::{Number, Value};

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
/// How many faults a message lists. A call of 64 KiB can have ten thousand.
pub const SHOWN_FAULTS: usize = 8;

/// What is wrong with a call's arguments.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", listed(.0))]
pub struct ArgErrors(pub Vec<ArgError>);

fn listed(errors: &[ArgError]) -> String {
    let shown = errors.iter().take(SHOWN_FAULTS).map(ToString::to_string);
    let mut text = shown.collect::<Vec<_>>().join("; ");
    if errors.len() > SHOWN_FAULTS {
        text.push_str(&format!("; and {} more", errors.len() - SHOWN_FAULTS));
    }
    text
}

/// One fault of a call's arguments.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArgError {
    /// There is no such tool.
    #[error("there is no tool `{tool}`{}", did_you_mean(.nearest.as_deref()))]
    UnknownTool {
        /// As it was given.
        tool: String,
        /// The tool that was perhaps meant.
        nearest: Option<String>,
    },
    /// The tool has no such parameter.
    #[error("`{tool}` takes no `{name}`{}", did_you_mean(.nearest.as_deref()))]
    Unknown {
        /// The tool.
        tool: String,
        /// As it was given.
        name: String,
        /// The parameter that was perhaps meant.
        nearest: Option<String>,
    },
    /// A parameter without a default was not given.
    #[error("{name} is missing: it must be {allowed}")]
    Missing {
        /// The parameter.
        name: String,
        /// What it may be, in words.
        allowed: String,
    },
    /// The value is not one of those allowed.
    #[error("{name} must be {allowed}, not {given}")]
    NotAllowed {
        /// The parameter.
        name: String,
        /// What it may be, in words.
        allowed: String,
        /// The value, shortened.
        given: String,
    },
    /// The string has too many characters.
    #[error("{name} has {chars} characters; at most {max} are taken")]
    TooLong {
        /// The parameter.
        name: String,
        /// Its length.
        chars: usize,
        /// The bound.
        max: usize,
    },
    /// The list is empty or has too many items.
    #[error("{name} has {items} items; 1 to {max} are taken")]
    Items {
        /// The parameter.
        name: String,
        /// How many it has.
        items: usize,
        /// The bound.
        max: usize,
    },
    /// The string has a line break or another control character, which could end a request early.
    #[error("{name} has a line break or another control character")]
    ControlCharacter {
        /// The parameter.
        name: String,
    },
}

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
fn allowed(param: &Param) -> String {
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

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map(|name| format!(" (did you mean `{name}`?)")).unwrap_or_default()
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
mod tests {
    use serde_json::json;

    use super::*;
    use crate::param::DEFAULT_MAX_ITEMS;

    fn fan() -> ToolSpec {
        ToolSpec::from_json(json!({
            "name": "fan", "description": "d", "kind": "serial",
            "params": {
                "device": {"enum": ["Fan", "pump"]},
                "speed": {"type": "integer", "min": 0, "max": 100},
                "level": {"type": "number", "min": 0.5, "default": 1},
                "gentle": {"type": "boolean", "default": false},
                "why": {"max_length": 4, "default": ""},
            },
        }))
    }

    #[test]
    fn a_time_of_day_gets_two_digits_each_and_another_text_is_refused() {
        let spec = ToolSpec::from_json(json!({
            "name": "wake", "description": "d", "kind": "note", "params": {"at": {"format": "time"}},
        }));
        let check = |at: &str| {
            let args = check_args(&spec, json!({ "at": at }).as_object().expect("an object"));
            args.map(|args| args["at"].as_str().unwrap_or_default().to_owned())
        };
        assert_eq!(check("6:05").as_deref(), Ok("06:05"));
        assert_eq!(check(" 23:59 ").as_deref(), Ok("23:59"));
        for wrong in ["24:00", "23:60", "6", "6:5", "+6:05", "06:05:00", "noon", ""] {
            let error = check(wrong).expect_err(wrong).to_string();
            assert!(error.contains("at must be a time of day as 18:30"), "{error}");
        }
    }

    #[track_caller]
    fn check(given: Value) -> Result<String, String> {
        let given = given.as_object().expect("an object");
        let args = check_args(&fan(), given).map_err(|e| e.to_string())?;
        Ok(Value::Object(args).to_string())
    }

    #[test]
    fn what_has_one_meaning_is_put_right_in_declared_order() {
        let given = json!({"gentle": "TRUE", "why": 7, "speed": " 30 ", "level": "2.5",
            "device": "FAN"});
        let args = r#"{"device":"Fan","speed":30,"level":2.5,"gentle":true,"why":"7"}"#;
        assert_eq!(check(given).as_deref(), Ok(args));
        let args = r#"{"device":"pump","speed":30,"level":1,"gentle":false,"why":""}"#;
        let given = json!({"device": "pump", "speed": 30.0, "level": null});
        assert_eq!(check(given).as_deref(), Ok(args), "whole floats, and defaults for nulls");
    }

    #[test]
    fn each_fault_is_named_with_what_would_be_right() {
        for (args, message) in [
            (json!({"speed": 900}), "speed must be 0 to 100, not 900"),
            (json!({"speed": 101}), "speed must be 0 to 100, not 101"),
            (json!({"speed": -1}), "speed must be 0 to 100, not -1"),
            (json!({"speed": "fast"}), "speed must be a whole number, 0 to 100, not `fast`"),
            (json!({"speed": 1.5}), "speed must be a whole number, 0 to 100, not 1.5"),
            (json!({"speed": 1e300}), "speed must be a whole number, 0 to 100, not 1e+300"),
            (json!({"speed": [1]}), "speed must be a whole number, 0 to 100, not [1]"),
            (json!({"speed": null}), "speed is missing: it must be a whole number, 0 to 100"),
            (json!({"level": 0.4}), "level must be at least 0.5, not 0.4"),
            (json!({"level": "inf"}), "level must be a number, at least 0.5, not `inf`"),
            (json!({"device": "lamp"}), "device must be one of Fan, pump, not `lamp`"),
            (json!({"gentle": "yes"}), "gentle must be true or false, not `yes`"),
            (json!({"why": true}), "why must be text, not true"),
            (json!({"why": "a\nb"}), "why has a line break or another control character"),
            (json!({"why": "a\u{7f}"}), "why has a line break or another control character"),
            (json!({"sped": 1}), "`fan` takes no `sped` (did you mean `speed`?)"),
            (json!({"colour": 1}), "`fan` takes no `colour`"),
        ] {
            let mut given = json!({"device": "fan", "speed": 1});
            given.as_object_mut().unwrap().extend(args.as_object().unwrap().clone());
            assert_eq!(check(given), Err(message.to_owned()), "{args}");
        }
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let message = check(json!({"speed": 101, "x": 1})).expect_err("three faults");
        assert_eq!(message.split("; ").count(), 3, "{message}");
    }

    #[test]
    fn faults_at_the_bound_are_all_told_and_one_over_is_counted() {
        let given = |n: usize| -> Value {
            let unknown = (0..n).map(|n| (format!("key{n}"), json!(1)));
            let known = [("device".to_owned(), json!("fan")), ("speed".to_owned(), json!(1))];
            Value::Object(known.into_iter().chain(unknown).collect())
        };
        let message = |n: usize| check(given(n)).expect_err("unknown keys");
        assert!(!message(SHOWN_FAULTS).contains("more"), "{}", message(SHOWN_FAULTS));
        let one_over = message(SHOWN_FAULTS + 1);
        assert!(one_over.ends_with("`key7`; and 1 more"), "{one_over}");
        assert!(message(10_000).len() < 1000);
    }

    #[test]
    fn ranges_hold_at_their_ends() {
        for speed in [0, 100] {
            assert!(check(json!({"device": "fan", "speed": speed})).is_ok());
        }
        assert!(check(json!({"device": "fan", "speed": 1, "level": 0.5})).is_ok());
    }

    fn scene() -> ToolSpec {
        ToolSpec::from_json(json!({
            "name": "scene", "description": "d", "kind": "publish", "event": "scene",
            "params": {
                "rooms": {"type": "array", "items": {"enum": ["Hall", "attic"]}, "max_items": 3},
                "light": {"type": "object", "optional": true, "properties": {
                    "level": {"type": "integer", "min": 0, "max": 100},
                    "colour": {"default": "white"},
                    "fade": {"type": "number", "optional": true},
                }},
            },
        }))
    }

    #[track_caller]
    fn check_scene(given: Value) -> Result<String, String> {
        let args = check_args(&scene(), given.as_object().expect("an object"));
        args.map(|args| Value::Object(args).to_string()).map_err(|e| e.to_string())
    }

    #[test]
    fn items_and_members_are_put_right_like_arguments_and_what_is_optional_stays_out() {
        let given = json!({"light": {"fade": null, "level": "30"}, "rooms": ["hall", "ATTIC"]});
        let args = r#"{"rooms":["Hall","attic"],"light":{"level":30,"colour":"white"}}"#;
        assert_eq!(check_scene(given).as_deref(), Ok(args));
        let alone = check_scene(json!({"rooms": ["Hall"]}));
        assert_eq!(alone.as_deref(), Ok(r#"{"rooms":["Hall"]}"#));
    }

    #[test]
    fn a_fault_within_a_list_or_an_object_is_told_with_its_place() {
        for (args, message) in [
            (
                json!({"rooms": ["hall", "cellar"]}),
                "rooms[1] must be one of Hall, attic, not `cellar`",
            ),
            (
                json!({"rooms": "hall"}),
                "rooms must be a list of 1 to 3, each one of Hall, attic, not `hall`",
            ),
            (json!({"rooms": [["hall"]]}), r#"rooms[0] must be one of Hall, attic, not ["hall"]"#),
            (json!({"rooms": [null]}), "rooms[0] must be one of Hall, attic, not null"),
            (json!({"light": 5}), "light must be an object with level, colour, fade, not 5"),
            (
                json!({"light": {"levle": 5, "level": 1}}),
                "`light` takes no `levle` (did you mean `level`?)",
            ),
            (json!({"light": {}}), "light.level is missing: it must be a whole number, 0 to 100"),
            (json!({"light": {"level": 101}}), "light.level must be 0 to 100, not 101"),
            (
                json!({"light": {"level": 1, "colour": "a\nb"}}),
                "light.colour has a line break or another control character",
            ),
        ] {
            let mut given = json!({"rooms": ["hall"]});
            given.as_object_mut().unwrap().extend(args.as_object().unwrap().clone());
            assert_eq!(check_scene(given), Err(message.to_owned()), "{args}");
        }
        let two = check_scene(json!({"rooms": ["x", "y"]})).expect_err("two faults");
        assert_eq!(two.split("; ").count(), 2, "{two}");
    }

    #[test]
    fn a_list_has_one_item_and_at_most_its_bound() {
        let rooms = |n: usize| check_scene(json!({"rooms": vec!["hall"; n]}));
        assert!(rooms(1).is_ok() && rooms(3).is_ok());
        assert_eq!(rooms(0), Err("rooms has 0 items; 1 to 3 are taken".to_owned()));
        assert_eq!(rooms(4), Err("rooms has 4 items; 1 to 3 are taken".to_owned()));
        let free =
            Param { kind: ParamKind::Array, items: Some(Box::default()), ..Param::default() };
        let list = |n: usize| check_value("t", &free, &json!(vec!["a"; n]));
        assert!(list(DEFAULT_MAX_ITEMS).is_ok() && list(DEFAULT_MAX_ITEMS + 1).is_err());
    }

    #[test]
    fn strings_are_bounded_in_characters_and_not_in_bytes() {
        let given = |why: &str| json!({"device": "fan", "speed": 1, "why": why});
        assert!(check(given("äöüß")).is_ok());
        let message = "why has 5 characters; at most 4 are taken".to_owned();
        assert_eq!(check(given("äöüßa")), Err(message));
        let free = Param::default();
        let text = |n| Value::String("ä".repeat(n));
        assert!(check_value("t", &free, &text(DEFAULT_MAX_CHARS)).is_ok());
        assert!(check_value("t", &free, &text(DEFAULT_MAX_CHARS + 1)).is_err());
    }

    #[test]
    fn a_message_repeats_a_long_value_only_in_part() {
        let given = json!({"device": "x".repeat(60_000), "speed": 1});
        assert!(check(given).expect_err("not a device").len() < 200);
    }
}
