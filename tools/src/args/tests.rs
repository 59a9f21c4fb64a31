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
        (json!({"rooms": ["hall", "cellar"]}), "rooms[1] must be one of Hall, attic, not `cellar`"),
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
    let free = Param { kind: ParamKind::Array, items: Some(Box::default()), ..Param::default() };
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
