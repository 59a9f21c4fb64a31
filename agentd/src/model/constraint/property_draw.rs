//! Draws schemas: most can be held, some cannot, and all are made of what makes trouble.

use serde_json::{Map, Value, json};

use crate::tune::random::Random;

fn below(rng: &mut Random, n: u64) -> u64 {
    rng.between(0, n - 1)
}

/// One and at most `most` more.
fn some<T>(rng: &mut Random, most: u64, mut of: impl FnMut(&mut Random) -> T) -> Vec<T> {
    (0..=below(rng, most)).map(|_| of(rng)).collect()
}

const NAMES: [&str; 9] = ["a", "b", "c", "x1", "é", "a\"b", "/~", "\n", "\\"];
const NUMBERS: [&str; 18] = [
    "0",
    "1",
    "-1",
    "2",
    "5",
    "10",
    "99",
    "-100",
    "0.5",
    "-0.25",
    "0.3",
    "1.5",
    "0.001",
    "3.14159",
    "1e18",
    "-1e300",
    "12345.678",
    "-7",
];
const FORMATS: [&str; 12] = [
    "date",
    "time",
    "date-time",
    "duration",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "uuid",
    "uri",
    "int32",
    "regex",
];

fn number(rng: &mut Random) -> Value {
    let text: &&str = rng.pick(&NUMBERS);
    serde_json::from_str(text).unwrap()
}

fn value(rng: &mut Random, depth: u32) -> Value {
    match below(rng, if depth == 0 { 5 } else { 7 }) {
        0 => Value::Null,
        1 => rng.one_in(2).into(),
        2 => number(rng),
        3 => (*rng.pick(&NAMES)).into(),
        4 => below(rng, 300).into(),
        5 => some(rng, 2, |rng| value(rng, depth - 1)).into(),
        _ => {
            let items = some(rng, 2, |rng| ((*rng.pick(&NAMES)).to_owned(), value(rng, depth - 1)));
            Value::Object(items.into_iter().collect())
        }
    }
}

/// A regular expression, now and then one that cannot be held.
fn pattern(rng: &mut Random, depth: u32) -> String {
    let items = some(rng, 3, |rng| {
        let atoms = [
            "a", "b", ".", "\\d", "\\w", "\\s", "[a-c]", "[^b]", "é", "\\.", "\\S", "[\\d-]", "/",
            "-", "\\b",
        ];
        let item = match below(rng, 5) {
            0 if depth > 0 => format!("({})", pattern(rng, depth - 1)),
            1 if depth > 0 => {
                let either = pattern(rng, depth - 1);
                format!("(?:{either}|{})", pattern(rng, depth - 1))
            }
            _ => {
                // Few have the last one, which cannot be held.
                let held = atoms.len() - usize::from(!rng.one_in(9));
                (*rng.pick(&atoms[..held])).to_owned()
            }
        };
        item + *rng.pick(&["", "", "", "*", "+", "?", "{2}", "{1,3}", "*?"])
    });
    let (begin, end) = (rng.pick(&["", "^", "^"]).to_string(), *rng.pick(&["", "$", "$"]));
    begin + &items.concat() + end
}

fn text(rng: &mut Random, out: &mut Map<String, Value>) {
    if rng.one_in(3) {
        out.insert("minLength".into(), below(rng, 4).into());
    }
    if rng.one_in(2) {
        out.insert("maxLength".into(), (below(rng, 5) + 1).into());
    }
    if rng.one_in(3) {
        out.insert("pattern".into(), pattern(rng, 2).into());
    }
    if rng.one_in(5) {
        out.insert("format".into(), (*rng.pick(&FORMATS)).into());
    }
}

fn numeric(rng: &mut Random, out: &mut Map<String, Value>) {
    for key in ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"] {
        if rng.one_in(3) {
            out.insert(key.into(), number(rng));
        }
    }
    if rng.one_in(6) {
        let of = [
            json!(2),
            json!(3),
            json!(7),
            json!(0.5),
            json!(0.01),
            json!(0.3),
            json!(0.07),
            json!(0.1),
            json!(2.0),
            json!(1000),
        ];
        out.insert("multipleOf".into(), rng.pick(&of).clone());
    }
}

fn object(rng: &mut Random, depth: u32, out: &mut Map<String, Value>) {
    if !rng.one_in(6) {
        let parts = some(rng, 3, |rng| ((*rng.pick(&NAMES)).to_owned(), part(rng, depth)));
        out.insert("properties".into(), Value::Object(parts.into_iter().collect()));
    }
    if rng.one_in(2) {
        let mut names = some(rng, 2, |rng| *rng.pick(&NAMES));
        names.sort_unstable();
        names.dedup();
        out.insert("required".into(), names.into());
    }
    if !rng.one_in(3) {
        let rest = if rng.one_in(3) { part(rng, depth) } else { Value::Bool(rng.one_in(4)) };
        out.insert("additionalProperties".into(), rest);
    }
    if rng.one_in(6) {
        let key = (*rng.pick(&["^a", "[0-9]$", "^.$", "b|c", "^x.*1$", "\\d"])).to_owned();
        out.insert("patternProperties".into(), json!({ key: part(rng, depth) }));
    }
    for key in ["minProperties", "maxProperties"] {
        if rng.one_in(8) {
            out.insert(key.into(), below(rng, 4).into());
        }
    }
}

fn array(rng: &mut Random, depth: u32, out: &mut Map<String, Value>) {
    if !rng.one_in(4) {
        out.insert("items".into(), part(rng, depth));
    }
    if rng.one_in(4) {
        out.insert("prefixItems".into(), some(rng, 2, |rng| part(rng, depth)).into());
    }
    for key in ["minItems", "maxItems"] {
        if rng.one_in(3) {
            out.insert(key.into(), below(rng, 4).into());
        }
    }
    if rng.one_in(12) {
        out.insert("uniqueItems".into(), rng.one_in(2).into());
    }
}

fn part(rng: &mut Random, depth: u32) -> Value {
    let mut out = Map::new();
    let depth = depth.saturating_sub(1);
    match below(rng, if depth == 0 { 9 } else { 17 }) {
        0 => return Value::Bool(!rng.one_in(4)),
        1 => {
            drop(out.insert(
                "type".into(),
                (*rng.pick(&["null", "boolean", "number", "integer"])).into(),
            ))
        }
        2 | 3 => {
            out.insert("type".into(), "string".into());
            text(rng, &mut out);
        }
        4 | 5 => {
            out.insert("type".into(), (*rng.pick(&["number", "integer"])).into());
            numeric(rng, &mut out);
        }
        6 => drop(out.insert("const".into(), value(rng, 2))),
        7 => drop(out.insert("enum".into(), some(rng, 3, |rng| value(rng, 1)).into())),
        8 => {
            let to = [
                "#/$defs/0",
                "#/$defs/1",
                "#/$defs/2",
                "#",
                "#/properties/a",
                "#/$defs/%30",
                "#/$defs/~1~0",
            ];
            out.insert("$ref".into(), (*rng.pick(&to)).into());
        }
        9..=11 => {
            out.insert("type".into(), "object".into());
            object(rng, depth, &mut out);
        }
        12 | 13 => {
            out.insert("type".into(), "array".into());
            array(rng, depth, &mut out);
        }
        14 => {
            // Of all types, with what is said of each.
            if rng.one_in(2) {
                let names = ["null", "boolean", "number", "integer", "string", "array", "object"];
                let mut names = some(rng, 3, |rng| *rng.pick(&names));
                names.sort_unstable();
                names.dedup();
                out.insert("type".into(), names.into());
            }
            text(rng, &mut out);
            numeric(rng, &mut out);
            if rng.one_in(2) {
                object(rng, depth, &mut out);
            }
            if rng.one_in(2) {
                array(rng, depth, &mut out);
            }
        }
        _ => {}
    }
    if depth > 0 && (out.is_empty() || rng.one_in(12)) {
        let key = *rng.pick(&["anyOf", "anyOf", "oneOf", "allOf"]);
        out.insert(key.into(), some(rng, 2, |rng| part(rng, depth)).into());
    }
    if rng.one_in(20) {
        let one = match below(rng, 5) {
            0 => ("const", value(rng, 1)),
            1 => ("enum", some(rng, 2, |rng| value(rng, 1)).into()),
            2 => ("$ref", "#/$defs/1".into()),
            3 => ("description", "text".into()),
            _ => ("allOf", json!([part(rng, depth)])),
        };
        out.insert(one.0.into(), one.1);
    }
    if rng.one_in(150) {
        let bad = [
            "not",
            "if",
            "contains",
            "propertyNames",
            "unevaluatedProperties",
            "x-guidance",
            "nullable",
        ];
        out.insert((*rng.pick(&bad)).into(), json!({ "lenient": true }));
    }
    // The order of keys must not matter.
    let mut items: Vec<_> = out.into_iter().collect();
    rng.shuffle(&mut items);
    Value::Object(items.into_iter().collect())
}

/// A schema with definitions, to which it may refer.
pub(super) fn schema(rng: &mut Random) -> Value {
    let mut root = part(rng, 4);
    let Value::Object(node) = &mut root else { return root };
    let definitions: Map<String, Value> =
        ["0", "1", "2", "/~"].iter().map(|name| ((*name).to_owned(), part(rng, 3))).collect();
    node.insert("$defs".into(), definitions.into());
    if rng.one_in(8) {
        node.insert("$schema".into(), "http://json-schema.org/draft-07/schema#".into());
    }
    root
}
