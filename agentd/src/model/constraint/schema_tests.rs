use llguidance::toktrie::ApproximateTokEnv;

use super::super::Constraint;
use super::super::keyword::MAX_MULTIPLE;
use super::*;
use crate::model::constrain::Constrainer;

#[path = "property.rs"]
mod property;

/// How many bytes of `text` are taken, and whether it may end there.
fn taken(schema: &Value, text: &str) -> (usize, bool) {
    let mut constrainer = Constrainer::new(&ApproximateTokEnv::single_byte_env());
    let constraint = Constraint::JsonSchema(schema.clone());
    let mut matcher =
        constrainer.matcher(&constraint).unwrap_or_else(|e| panic!("{e} in {schema}"));
    let bytes: Vec<u32> = text.bytes().map(u32::from).collect();
    let taken = matcher.try_consume_tokens(&bytes).unwrap();
    (taken, matcher.is_stopped() || matcher.is_accepting().unwrap())
}

#[track_caller]
fn holds(schema: Value, good: &[&str], bad: &[&str]) {
    for text in good {
        assert_eq!(taken(&schema, text), (text.len(), true), "{text} under {schema}");
    }
    for text in bad {
        assert_ne!(taken(&schema, text), (text.len(), true), "{text} under {schema}");
    }
}

/// The pointer that a schema is refused with.
#[track_caller]
fn refused(schema: Value) -> String {
    match built(&schema).err() {
        Some(Refusal::Schema { pointer, why }) => {
            assert!(!why.is_empty());
            pointer
        }
        other => panic!("{other:?} for {schema}"),
    }
}

#[test]
fn the_usual_schemas_hold_what_they_say() {
    let valve = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "a valve",
        "type": "object",
        "properties": {
            "name": { "type": "string", "pattern": "^[a-z]+$", "maxLength": 4 },
            "open": { "type": "boolean" },
            "percent": { "type": "integer", "minimum": 0, "maximum": 100, "multipleOf": 5 }
        },
        "required": ["name", "open"],
        "additionalProperties": false
    });
    let good = [r#"{"name":"ab","open":true}"#, r#"{"name":"abcd", "open":false, "percent":95}"#];
    let bad = [
        r#"{"name":"ab"}"#,
        r#"{"name":"abcde","open":true}"#,
        r#"{"name":"A","open":true}"#,
        r#"{"name":"a","open":true,"percent":7}"#,
        r#"{"name":"a","open":true,"percent":105}"#,
        r#"{"name":"a","open":true,"more":1}"#,
    ];
    holds(valve, &good, &bad);
    let tree = json!({
        "$ref": "#/$defs/node",
        "$defs": { "node": {
            "type": "object",
            "properties": { "value": { "type": "integer" }, "left": { "$ref": "#/$defs/node" } },
            "required": ["value"],
            "additionalProperties": false
        } }
    });
    holds(tree, &[r#"{"value":1,"left":{"value":2}}"#], &[r#"{"value":1,"left":{}}"#]);
    let either = json!({ "anyOf": [{ "const": "on" }, { "enum": [1, null, { "a": [true] }] }] });
    holds(either, &["\"on\"", "1", "null", r#"{"a":[true]}"#], &["\"off\"", "2", "{}"]);
    let list = json!({ "type": "array", "prefixItems": [{ "type": "null" }], "items": { "type": "integer" },
                       "minItems": 1, "maxItems": 3 });
    holds(list, &["[null]", "[null,1,2]"], &["[]", "[1]", "[null,1,2,3]"]);
    let either =
        json!({ "oneOf": [{ "type": "integer" }, { "type": "string", "format": "date" }] });
    holds(either, &["7", "\"2024-02-29\""], &["\"2023-02-29\"", "1.5"]);
}

/// A model that likes them would write spaces until its tokens are over.
#[test]
fn at_most_one_space_stands_after_a_comma_or_a_colon_and_none_elsewhere() {
    let schema = json!({ "type": "object", "properties": {
        "to": { "const": { "x": [1, 2] } },
        "n": { "type": "array", "items": { "type": "integer" } }
    }, "required": ["to", "n"], "additionalProperties": false });
    let good = [r#"{"to":{"x":[1,2]},"n":[]}"#, r#"{"to": {"x": [1, 2]}, "n": [3, 4,5]}"#];
    let bad = [
        "{\"to\":{\"x\":[1,2]},\"n\":[3,  4]}",
        "{\"to\":{\"x\":[1,2]},  \"n\":[]}",
        "{\"to\":  {\"x\":[1,2]},\"n\":[]}",
        "{\"to\":{\"x\":[1,2]},\"n\" :[]}",
        "{\"to\":{\"x\":[1,2]},\"n\":[ ]}",
        "{\"to\":{\"x\":[1,2]},\"n\":[3 ]}",
        "{\"to\":{\"x\":[1,2]},\n\"n\":[]}",
        "{ \"to\":{\"x\":[1,2]},\"n\":[]}",
        " {\"to\":{\"x\":[1,2]},\"n\":[]}",
        "{\"to\":{\"x\":[1,2]},\"n\":[]} ",
    ];
    holds(schema, &good, &bad);
    let free = json!({ "type": "object" });
    holds(
        free,
        &[r#"{"a":1, "b": [{"c": 2}, 3]}"#],
        &["{\"a\":  1}", "{\"a\":1,\n\"b\":2}", "{\n}"],
    );
}

#[test]
fn what_cannot_be_held_is_refused_with_the_pointer_of_the_keyword() {
    let of = |schema: Value| json!({ "properties": { "a/b~": { "items": schema } } });
    for (key, value) in [
        ("not", json!({ "type": "string" })),
        ("if", json!(true)),
        ("contains", json!({})),
        ("uniqueItems", json!(true)),
        ("dependentRequired", json!({})),
        ("dependentSchemas", json!({})),
        ("dependencies", json!({})),
        ("propertyNames", json!({})),
        ("unevaluatedProperties", json!(false)),
        ("unevaluatedItems", json!(false)),
        ("contentEncoding", json!("base64")),
        ("additionalItems", json!(false)),
        ("$dynamicRef", json!("#a")),
        ("$anchor", json!("a")),
        ("$id", json!("urn:a")),
        ("$schema", json!(DRAFTS[0])),
        ("nullable", json!(true)),
        ("x-guidance", json!({ "lenient": true })),
        ("format", json!("regex")),
        ("format", json!(1)),
        ("pattern", json!("(?=a)")),
        ("pattern", json!("^a|b^")),
        ("pattern", json!("a{1000}{1000}")),
        ("type", json!("text")),
        ("type", json!([])),
        ("minimum", json!("1")),
        ("exclusiveMinimum", json!(true)),
        ("multipleOf", json!(10_001)),
        ("multipleOf", json!(1.00001)),
        ("multipleOf", json!(0)),
        ("minLength", json!(-1)),
        ("maxItems", json!(1.5)),
        ("maxItems", json!(u64::MAX)),
        ("minProperties", json!(2)),
        ("required", json!("a")),
        ("enum", json!([])),
        ("anyOf", json!([])),
        ("properties", json!([])),
        ("items", json!([])),
        ("$ref", json!("#a")),
        ("$ref", json!("https://example.org/a")),
        ("$ref", json!("#/nothing")),
        ("$ref", json!("#/%zz")),
    ] {
        let pointer = refused(of(json!({ "description": "it stands deep", key: value })));
        let inner = pointer
            .strip_prefix("/properties/a~1b~0/items")
            .unwrap_or_else(|| panic!("{key}: {pointer}"));
        let inner = inner.strip_prefix('/').unwrap_or(inner);
        assert!(inner == key || key == "items" && inner == "items", "{key}: {pointer}");
    }
    assert_eq!(refused(json!(1)), "");
    assert_eq!(refused(json!({ "$schema": "urn:mine" })), "/$schema");
    assert_eq!(refused(json!({ "enum": [1, ["a", "\u{1}"]] })), "/enum/1/1");
    assert_eq!(refused(json!({ "const": 1e300 })), "/const");
    assert_eq!(refused(json!({ "anyOf": [{}, { "not": {} }] })), "/anyOf/1/not");
    assert_eq!(
        refused(json!({ "$ref": "#/$defs/a", "$defs": { "a": { "not": {} } } })),
        "/$defs/a/not"
    );
}

#[test]
fn what_only_the_compiler_refuses_gets_its_pointer_too() {
    let of = |schema: Value| json!({ "type": "object", "properties": { "b": { "type": "string" }, "a": schema }, "required": ["a"] });
    let overlap = json!({ "oneOf": [{ "type": "integer" }, { "type": "number" }] });
    assert_eq!(refused(of(overlap)), "/properties/a/oneOf");
    let impossible = json!({ "type": "string", "minLength": 3, "maxLength": 2 });
    assert_eq!(refused(of(impossible)), "/properties/a/maxLength");
    let impossible = json!({ "type": "integer", "minimum": 3, "maximum": 2 });
    assert_eq!(refused(of(impossible)), "/properties/a/maximum");
    let overlap = json!({ "type": "object", "patternProperties": { "^a": {}, "a$": {} } });
    assert_eq!(refused(of(overlap)), "/properties/a/patternProperties");
    let both = json!({ "allOf": [{ "$ref": "#/properties/a" }], "$defs": {} });
    assert_eq!(refused(of(both)), "/properties/a");
}

/// Each of these is taken by llguidance as it stands, and lets through what is not valid.
#[test]
fn what_llguidance_lets_through_by_mistake_is_not_let_through() {
    // A bound that is excluded is let through where both bounds have the same whole part.
    let fraction = json!({ "type": "number", "exclusiveMinimum": 0, "maximum": 0.5 });
    holds(fraction, &["0.1", "0.5"], &["0", "0.0", "0.51"]);
    let fraction = json!({ "type": "number", "minimum": -0.5, "exclusiveMaximum": 0 });
    holds(fraction, &["-0.1"], &["0", "-0", "-0.0"]);
    // A key that is escaped is taken for another key.
    let keys = json!({ "type": "object", "properties": { "a": { "type": "integer" } },
                       "additionalProperties": { "type": "null" } });
    holds(keys, &[r#"{"a":1}"#, r#"{"b":null}"#], &[r#"{"a":null}"#, r#"{"\u0061":null}"#]);
    // A key that is written twice counts twice.
    let least = json!({ "type": "object", "additionalProperties": {}, "minProperties": 2 });
    assert_eq!(refused(least), "/minProperties");
    // Not every year has a 29th of February, and not every minute a leap second.
    let date = json!({ "type": "string", "format": "date" });
    holds(date, &["\"2024-02-29\""], &["\"2023-02-29\""]);
    // Positional items are forgotten beside a keyword of older drafts.
    assert_eq!(
        refused(json!({ "prefixItems": [{}], "additionalItems": false })),
        "/additionalItems"
    );
    // The dot of ECMAScript takes no end of a line.
    holds(json!({ "type": "string", "pattern": "^.$" }), &["\"a\""], &[r#""\r""#]);
    // A number that is no double is rounded: 2^53 + 1 is read as 2^53.
    assert_eq!(refused(json!({ "const": 9_007_199_254_740_993_u64 })), "/const");
    // A schema can ask the compiler not to look closely.
    assert_eq!(refused(json!({ "x-guidance": { "lenient": true }, "not": {} })), "/x-guidance");
}

/// A format becomes a part of `allOf`; the schema's own parts are not to take its place.
#[test]
fn a_format_holds_beside_the_parts_of_the_schema_whatever_the_order() {
    let short = json!([{ "maxLength": 36 }, { "type": "string" }]);
    for schema in
        [json!({ "format": "uuid", "allOf": short }), json!({ "allOf": short, "format": "uuid" })]
    {
        holds(schema, &["\"0189c2ab-0000-7000-8000-00000000000f\""], &["\"abc\"", "1"]);
    }
}

#[test]
fn numbers_are_such_that_every_reader_holds_them() {
    for kind in ["integer", "number"] {
        let any = json!({ "type": kind });
        holds(any, &["9007199254740991", "-9007199254740991"], &["9007199254740992", "1e5"]);
    }
    let price = json!({ "type": "number", "multipleOf": 0.01, "minimum": 0 });
    holds(price, &["0.3", "12.50", "7", "9007199254740"], &["0.001", "9007199254741", "-1"]);
    let large = json!({ "type": "integer", "minimum": i64::MIN, "maximum": 1e300 });
    holds(large, &["9007199254740991"], &["9007199254740992"]);
}

#[test]
fn the_bound_on_multiples_holds_at_and_one_over() {
    let most = json!({ "type": "integer", "multipleOf": MAX_MULTIPLE });
    holds(most, &["20000", "0", "-10000"], &["10001", "5"]);
    assert_eq!(refused(json!({ "multipleOf": MAX_MULTIPLE + 1.0 })), "/multipleOf");
    let finest = json!({ "type": "number", "multipleOf": 0.9999 });
    holds(finest, &["0.9999", "1.9998"], &["1"]);
    assert_eq!(refused(json!({ "multipleOf": 1.0001 })), "/multipleOf");
}

#[test]
fn the_bound_on_schemas_holds_at_and_one_over() {
    let wide = |schemas: usize| json!({ "anyOf": vec![json!({ "type": "null" }); schemas - 1] });
    assert!(Walk::of(&wide(MAX_SCHEMAS), "").is_ok());
    assert!(Walk::of(&wide(MAX_SCHEMAS + 1), "").is_err());
    assert_eq!(refused(wide(MAX_SCHEMAS + 1)), format!("/anyOf/{}", MAX_SCHEMAS - 1));
}
