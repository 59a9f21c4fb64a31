use super::*;
use crate::line;
use serde_json::{Value, json};

fn base() -> Value {
    json!({
        "name": "set_output", "description": "switch", "kind": "serial", "port": "board",
        "params": {"device": {"enum": ["fan", "pump"]}, "speed": {"type": "integer", "max": 9}},
        "send": "SET {device} {speed}", "expect": "^OK (?P<took>\\d+)$", "fail": "^ERR",
        "reply": "{device}: {took:.1}",
        "examples": [{"say": "faster", "call": {"device": "fan", "speed": "9"}}],
    })
}

#[track_caller]
fn mistakes(change: impl FnOnce(&mut Value)) -> Vec<String> {
    let mut value = base();
    change(&mut value);
    let errors = ToolSpec::from_json(value).check(&["board", "meter"]);
    errors.iter().map(ToString::to_string).collect()
}

#[track_caller]
fn finds(change: impl FnOnce(&mut Value), begins: &str) {
    let found = mistakes(change);
    assert!(found.len() == 1 && found[0].starts_with(begins), "{begins:?} in {found:#?}");
}

#[test]
fn a_right_declaration_has_no_mistakes() {
    assert_eq!(mistakes(|_| ()), [] as [String; 0]);
    let note = json!({"name": "note", "description": "d", "kind": "note", "reply": "{text}."});
    assert_eq!(ToolSpec::from_json(note).check(&[]), []);
}

#[test]
fn names_are_lower_case_identifiers_up_to_the_bound() {
    for name in ["", "Set", "set output", "1st", "_a", "sét"] {
        finds(|v| v["name"] = json!(name), "`name` must be a lower-case name");
    }
    assert!(mistakes(|v| v["name"] = json!("a".repeat(MAX_NAME_CHARS))).is_empty());
    finds(|v| v["name"] = json!("a".repeat(MAX_NAME_CHARS + 1)), "`name`");
    finds(|v| v["params"]["Why"] = json!({"default": "x"}), "`params.Why` must be");
}

#[test]
fn each_kind_has_its_keys_and_no_others() {
    for key in ["port", "send", "expect"] {
        let begins = format!("`{key}` is missing: kind `serial` needs it");
        let found = mistakes(|v| drop(v.as_object_mut().unwrap().remove(key)));
        assert!(found.contains(&begins), "{found:?}");
    }
    finds(|v| v["sql"] = json!("SELECT 1"), "`sql` is for kind `sql`, and this tool is `serial`");
    finds(|v| v["event"] = json!("e"), "`event` is for kind `publish`");
    let sql = json!({"name": "a", "description": "d", "kind": "sql", "fail": "x"});
    let keys: Vec<String> =
        ToolSpec::from_json(sql).check(&[]).into_iter().map(|e| e.key).collect();
    assert_eq!(keys, ["fail", "sql"]);
    let event = json!({"name": "a", "description": "d", "kind": "publish", "event": "e",
        "reply_none": "x"});
    assert_eq!(ToolSpec::from_json(event).check(&[])[0].key, "reply_none");
}

#[test]
fn a_port_that_does_not_exist_is_named_with_its_nearest() {
    let message = "`port` names `bord`, and no [[serial]] section has that name \
                   (did you mean `board`?)";
    finds(|v| v["port"] = json!("bord"), message);
}

#[test]
fn templates_name_only_what_there_is() {
    let message = "`send` has the unknown place `{devise}` (did you mean `device`?)";
    finds(|v| v["send"] = json!("SET {devise}"), message);
    finds(|v| v["send"] = json!("SET {took}"), "`send` has the unknown place `{took}`");
    finds(|v| v["send"] = json!("SET {device"), "`send` is not a template");
    finds(|v| v["send"] = json!("A\nB"), "`send` has a line break");
    finds(|v| v["reply"] = json!("{tool}"), "`reply` has the unknown place `{tool}`");
    finds(|v| v["reply_none"] = json!("{x}"), "`reply_none` has the unknown place `{x}`");
}

#[test]
fn a_pattern_that_is_not_regular_is_told() {
    finds(|v| v["fail"] = json!("("), "`fail` is not a regular expression");
    let found = mistakes(|v| v["expect"] = json!("("));
    assert!(found[0].starts_with("`expect` is not a regular expression"), "{found:?}");
    assert_eq!(found.len(), 1, "the reply is not judged by a pattern that is wrong");
}

#[test]
fn parameters_hang_together() {
    for (param, begins) in [
        (json!({"type": "integer", "min": 2, "max": 1}), "`params.x.min` is 2, which is more"),
        (json!({"enum": []}), "`params.x.enum` is empty"),
        (json!({"enum": ["a", "a"]}), "`params.x.enum` has a word twice"),
        (json!({"enum": ["a "]}), "`params.x.enum` has a word that is empty, or begins"),
        (json!({"enum": ["a\nb"]}), "`params.x.enum` has a word with a control"),
        (json!({"enum": ["a"], "type": "integer"}), "`params.x.enum` is only for a string"),
        (json!({"enum": ["a"], "max_length": 3}), "`params.x.max_length` says nothing"),
        (json!({"min": 1}), "`params.x.min` is only for"),
        (json!({"type": "boolean", "max_length": 1}), "`params.x.max_length` is only for"),
        (json!({"max_length": 0}), "`params.x.max_length` must be 1 to 4096"),
        (json!({"max_length": 4097}), "`params.x.max_length` must be 1 to 4096"),
        (json!({"enum": ["a"], "default": "b"}), "`params.x.default` does not pass: it must be a"),
        (json!({"type": "number", "max": 1, "default": 2}), "`params.x.default` does not pass"),
    ] {
        let found = mistakes(|v| v["params"]["x"] = param.clone());
        assert!(found.iter().any(|e| e.starts_with(begins)), "{begins:?} in {found:?}");
    }
    let longest = json!({"max_length": line::MAX_LINE_BYTES, "default": ""});
    assert!(mistakes(|v| v["params"]["x"] = longest).is_empty());
    let same = json!({"type": "number", "min": 1, "max": 1, "default": 1});
    assert!(mistakes(|v| v["params"]["x"] = same).is_empty());
}

#[test]
fn lists_and_objects_say_what_is_in_them() {
    for (param, begins) in [
        (json!({"type": "array"}), "`params.x.items` is missing"),
        (json!({"items": {}}), "`params.x.items` is only for an `array`"),
        (json!({"type": "array", "items": {"default": "a"}}), "`params.x.items` can be neither"),
        (json!({"type": "array", "items": {"optional": true}}), "`params.x.items` can be neither"),
        (json!({"type": "array", "items": {"min": 1}}), "`params.x.items.min` is only for"),
        (
            json!({"type": "array", "items": {}, "max_items": 0}),
            "`params.x.max_items` must be 1 to 64",
        ),
        (
            json!({"type": "array", "items": {}, "max_items": 65}),
            "`params.x.max_items` must be 1 to",
        ),
        (json!({"max_items": 2}), "`params.x.max_items` is only for"),
        (json!({"type": "object"}), "`params.x.properties` is missing"),
        (json!({"properties": {"a": {}}}), "`params.x.properties` is only for"),
        (
            json!({"type": "object", "properties": {"A": {}}}),
            "`params.x.properties.A` must be a lower",
        ),
        (json!({"optional": true, "default": "a"}), "`params.x.optional` says nothing beside"),
        (
            json!({"type": "array", "items": {"type": "integer"}, "default": [1, "a"]}),
            "`params.x.default` does not pass: it[1] must be a whole number",
        ),
    ] {
        finds(|v| v["params"]["x"] = param, begins);
    }
    let most = json!({"type": "array", "items": {}, "max_items": 64, "optional": true});
    assert_eq!(mistakes(|v| v["params"]["x"] = most), [] as [String; 0]);
}

#[test]
fn a_declaration_is_three_deep_and_no_deeper() {
    let nested = |depth: usize| {
        let inner = (2..depth).fold(json!({}), |inner, _| json!({"type": "array", "items": inner}));
        json!({"type": "array", "items": inner, "optional": true})
    };
    assert_eq!(mistakes(|v| v["params"]["x"] = nested(3)), [] as [String; 0]);
    let message = "`params.x.items.items.items.type` is nested more than 3 deep";
    finds(|v| v["params"]["x"] = nested(4), message);
}

#[test]
fn a_template_has_no_place_for_a_list_an_object_or_what_may_be_left_out() {
    let list = json!({"type": "array", "items": {}, "optional": true});
    let object = json!({"type": "object", "properties": {"a": {}}, "optional": true});
    for (param, why) in [
        (list, "`send` has the place `{x}`, which is a list, and a place takes one plain value"),
        (object, "`send` has the place `{x}`, which is an object, and"),
        (json!({"optional": true}), "`send` has the place `{x}`, which may be left out: give it a"),
    ] {
        let with = |place: &str, v: &mut Value| {
            v["params"]["x"] = param.clone();
            v[place] = json!("{x}");
        };
        finds(|v| with("send", v), why);
        finds(|v| with("reply", v), &why.replace("send", "reply"));
        assert!(mistakes(|v| v["params"]["x"] = param.clone()).is_empty(), "it is not named");
    }
}

#[test]
fn an_example_must_be_a_call_that_would_pass() {
    let message =
        "`examples.0.call` is not a call that would pass: speed must be at most 9, not 10";
    finds(|v| v["examples"][0]["call"]["speed"] = json!(10), message);
}

#[test]
fn a_time_limit_is_within_its_bounds() {
    for (ms, ok) in [(0, false), (1, true), (MAX_TIMEOUT_MS, true), (MAX_TIMEOUT_MS + 1, false)] {
        assert_eq!(mistakes(|v| v["timeout_ms"] = json!(ms)).is_empty(), ok, "{ms}");
    }
}

#[test]
fn an_event_is_one_topic_level_and_not_the_daemons_own_record() {
    let longest = "e".repeat(MAX_NAME_CHARS);
    for (event, ok) in [
        ("call_technician", true),
        (longest.as_str(), true),
        (&format!("{longest}e"), false),
        ("", false),
        ("a/b", false),
        ("a+", false),
        ("#", false),
        ("a\u{0}", false),
        ("a\u{ffff}", false),
        ("audit", false),
        ("gap", false),
    ] {
        let spec = json!({"name": "a", "description": "d", "kind": "publish", "event": event});
        assert_eq!(ToolSpec::from_json(spec).check(&[]).is_empty(), ok, "{event:?}");
    }
}

#[test]
fn a_note_takes_one_string() {
    let spec = json!({"name": "a", "description": "d", "kind": "note",
        "params": {"n": {"type": "integer"}}});
    assert_eq!(ToolSpec::from_json(spec).check(&[])[0].key, "params");
}

#[test]
fn a_port_is_checked_too() {
    let port = |change: &dyn Fn(&mut Value)| {
        let mut value = json!({"name": "board", "path": "/dev/ttyACM0"});
        change(&mut value);
        let spec: SerialSpec = serde_json::from_value(value).unwrap();
        spec.check().into_iter().map(|e| e.key).collect::<Vec<_>>()
    };
    assert!(port(&|_| ()).is_empty());
    assert_eq!(port(&|v| v["name"] = json!("My board")), ["name"]);
    assert_eq!(port(&|v| v["path"] = json!("")), ["path"]);
    assert_eq!(port(&|v| v["baud"] = json!(0)), ["baud"]);
    for (ending, ok) in [("", false), (";", true), ("abcd", true), ("abcde", false)] {
        assert_eq!(port(&|v| v["line_ending"] = json!(ending)).is_empty(), ok, "{ending:?}");
    }
    for (ms, ok) in [(0, true), (MAX_TIMEOUT_MS, true), (MAX_TIMEOUT_MS + 1, false)] {
        assert_eq!(port(&|v| v["late_ms"] = json!(ms)).is_empty(), ok, "{ms}");
    }
}

#[test]
fn a_read_back_is_checked_as_a_request_and_as_patterns() {
    let verify = |verify: Value| move |v: &mut Value| v["verify"] = verify;
    let right =
        json!({"send": "GET {device}", "expect": "^{device} {speed}$", "otherwise": "^\\d{{2}}"});
    assert_eq!(mistakes(verify(right.clone())), [] as [String; 0]);
    finds(
        |v| {
            v["verify"] = right;
            v["idempotent"] = json!(true);
        },
        "`verify` says nothing beside `idempotent`",
    );
    finds(
        verify(json!({"send": "GET {devise}", "expect": "^1$"})),
        "`verify.send` has the unknown",
    );
    finds(verify(json!({"send": "GET", "expect": "^{sped}$"})), "`verify.expect` has the unknown");
    finds(verify(json!({"send": "GET", "expect": "(1"})), "`verify.expect` is not a regular");
    let wrong = json!({"send": "GET", "expect": "1", "otherwise": "[0"});
    finds(verify(wrong), "`verify.otherwise` is not a regular");
}
