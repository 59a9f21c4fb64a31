//! Whatever schema is taken, whatever is written under it is valid: judged by a validator that is not ours.
//!
//! Schema number `i` is made from the seed `SEED + i` and nothing else, so that one that fails is repeated
//! alone: `AGENTD_FUZZ_N=1 AGENTD_FUZZ_SEED=<its seed> cargo nextest run --release -p agentd --lib valid`.
//! `AGENTD_FUZZ_N` is how many there are.

use llguidance::Matcher;
use llguidance::toktrie::ApproximateTokEnv;
use serde_json::{Map, Value, json};

use crate::model::constrain::Constrainer;

/// Schemas in `make test`.
const DEFAULT_SCHEMAS: u64 = 4000;
/// Instances of each schema.
const INSTANCES: usize = 2;
/// Bytes after which an instance is led to its end, and after which it is given up.
const LONG: usize = 40;
const TOO_LONG: usize = 1500;

/// SplitMix64, as in the fuzz driver: Steele, Lea and Flood, OOPSLA 2014.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }

    fn some<T>(&mut self, most: u64, mut of: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..=self.below(most)).map(|_| of(self)).collect()
    }
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

fn number(rng: &mut Rng) -> Value {
    let text: &&str = rng.pick(&NUMBERS);
    serde_json::from_str(text).unwrap()
}

fn value(rng: &mut Rng, depth: u32) -> Value {
    match rng.below(if depth == 0 { 5 } else { 7 }) {
        0 => Value::Null,
        1 => rng.one_in(2).into(),
        2 => number(rng),
        3 => (*rng.pick(&NAMES)).into(),
        4 => rng.below(300).into(),
        5 => rng.some(2, |rng| value(rng, depth - 1)).into(),
        _ => {
            let items = rng.some(2, |rng| ((*rng.pick(&NAMES)).to_owned(), value(rng, depth - 1)));
            Value::Object(items.into_iter().collect())
        }
    }
}

/// A regular expression, now and then one that cannot be held.
fn pattern(rng: &mut Rng, depth: u32) -> String {
    let items = rng.some(3, |rng| {
        let atoms = [
            "a", "b", ".", "\\d", "\\w", "\\s", "[a-c]", "[^b]", "é", "\\.", "\\S", "[\\d-]", "/",
            "-", "\\b",
        ];
        let item = match rng.below(5) {
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

fn text(rng: &mut Rng, out: &mut Map<String, Value>) {
    if rng.one_in(3) {
        out.insert("minLength".into(), rng.below(4).into());
    }
    if rng.one_in(2) {
        out.insert("maxLength".into(), (rng.below(5) + 1).into());
    }
    if rng.one_in(3) {
        out.insert("pattern".into(), pattern(rng, 2).into());
    }
    if rng.one_in(5) {
        out.insert("format".into(), (*rng.pick(&FORMATS)).into());
    }
}

fn numeric(rng: &mut Rng, out: &mut Map<String, Value>) {
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

fn object(rng: &mut Rng, depth: u32, out: &mut Map<String, Value>) {
    if !rng.one_in(6) {
        let parts = rng.some(3, |rng| ((*rng.pick(&NAMES)).to_owned(), schema(rng, depth)));
        out.insert("properties".into(), Value::Object(parts.into_iter().collect()));
    }
    if rng.one_in(2) {
        let mut names = rng.some(2, |rng| *rng.pick(&NAMES));
        names.sort_unstable();
        names.dedup();
        out.insert("required".into(), names.into());
    }
    if !rng.one_in(3) {
        let rest = if rng.one_in(3) { schema(rng, depth) } else { Value::Bool(rng.one_in(4)) };
        out.insert("additionalProperties".into(), rest);
    }
    if rng.one_in(6) {
        let key = (*rng.pick(&["^a", "[0-9]$", "^.$", "b|c", "^x.*1$", "\\d"])).to_owned();
        out.insert("patternProperties".into(), json!({ key: schema(rng, depth) }));
    }
    for key in ["minProperties", "maxProperties"] {
        if rng.one_in(8) {
            out.insert(key.into(), rng.below(4).into());
        }
    }
}

fn array(rng: &mut Rng, depth: u32, out: &mut Map<String, Value>) {
    if !rng.one_in(4) {
        out.insert("items".into(), schema(rng, depth));
    }
    if rng.one_in(4) {
        out.insert("prefixItems".into(), rng.some(2, |rng| schema(rng, depth)).into());
    }
    for key in ["minItems", "maxItems"] {
        if rng.one_in(3) {
            out.insert(key.into(), rng.below(4).into());
        }
    }
    if rng.one_in(12) {
        out.insert("uniqueItems".into(), rng.one_in(2).into());
    }
}

fn schema(rng: &mut Rng, depth: u32) -> Value {
    let mut out = Map::new();
    let depth = depth.saturating_sub(1);
    match rng.below(if depth == 0 { 9 } else { 17 }) {
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
        7 => drop(out.insert("enum".into(), rng.some(3, |rng| value(rng, 1)).into())),
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
                let mut names = rng.some(3, |rng| *rng.pick(&names));
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
        out.insert(key.into(), rng.some(2, |rng| schema(rng, depth)).into());
    }
    if rng.one_in(20) {
        let one = match rng.below(5) {
            0 => ("const", value(rng, 1)),
            1 => ("enum", rng.some(2, |rng| value(rng, 1)).into()),
            2 => ("$ref", "#/$defs/1".into()),
            3 => ("description", "text".into()),
            _ => ("allOf", json!([schema(rng, depth)])),
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
    for i in (1..items.len()).rev() {
        items.swap(i, rng.below(i as u64 + 1) as usize);
    }
    Value::Object(items.into_iter().collect())
}

fn whole(rng: &mut Rng) -> Value {
    let mut root = schema(rng, 4);
    let Value::Object(node) = &mut root else { return root };
    let definitions: Map<String, Value> =
        ["0", "1", "2", "/~"].iter().map(|name| ((*name).to_owned(), schema(rng, 3))).collect();
    node.insert("$defs".into(), definitions.into());
    if rng.one_in(8) {
        node.insert("$schema".into(), "http://json-schema.org/draft-07/schema#".into());
    }
    root
}

/// What a careless grammar lets through, and chance hardly writes.
const WISHES: [&str; 16] = [
    "\"a\"",
    "\"b\"",
    "\"x1\"",
    "\"\\u0061\"",
    "\"\\u0078\\u0031\"",
    "\"\\u00e9\"",
    "0",
    "-0",
    "-0.0",
    "0.5",
    "-1",
    "10",
    "9007199254740993",
    "02-29",
    ":60Z",
    "\\r",
];

/// Writes what the matcher allows, at random, and ends as soon as it may. None: it did not come to an end.
fn instance(rng: &mut Rng, matcher: &mut Matcher) -> Option<String> {
    let (mut written, mut wish) = (Vec::new(), Vec::new());
    while !matcher.is_stopped() && written.len() < TOO_LONG {
        let allowed = matcher.compute_mask().unwrap_or_else(|e| panic!("{e}"));
        let ends = matcher.is_accepting().unwrap();
        if ends && (written.len() > LONG || rng.one_in(3)) {
            break;
        }
        let bytes: Vec<u8> = allowed.iter().filter_map(|token| u8::try_from(token).ok()).collect();
        if bytes.is_empty() {
            assert!(ends, "a dead end after {:?}", String::from_utf8_lossy(&written));
            break;
        }
        if wish.is_empty() && rng.one_in(4) {
            wish = rng.pick(&WISHES).bytes().rev().collect();
        }
        let byte = match wish.pop() {
            Some(wished) if bytes.contains(&wished) => wished,
            _ => {
                wish.clear();
                any_of(rng, &bytes, written.len() > LONG)
            }
        };
        matcher.consume_token(u32::from(byte)).unwrap();
        written.push(byte);
    }
    let is_whole = matcher.is_accepting().unwrap_or(false) || matcher.is_stopped();
    assert_eq!(matcher.get_error(), None, "after {:?}", String::from_utf8_lossy(&written));
    is_whole.then(|| String::from_utf8(written).expect("whole characters"))
}

/// A byte, mostly none of white space; where it is to come to an end, one that closes something.
fn any_of(rng: &mut Rng, bytes: &[u8], to_the_end: bool) -> u8 {
    if to_the_end {
        let closing = ["]", "}", "\"", ","].map(|close| close.as_bytes()[0]);
        if let Some(close) = closing.into_iter().find(|close| bytes.contains(close))
            && !rng.one_in(5)
        {
            return close;
        }
    }
    let telling: Vec<u8> =
        bytes.iter().copied().filter(|byte| !b" \n\r\t".contains(byte)).collect();
    if telling.is_empty() || rng.one_in(8) { *rng.pick(bytes) } else { *rng.pick(&telling) }
}

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a whole number")))
}

#[test]
fn what_is_written_under_any_schema_that_is_taken_is_valid() {
    let schemas = setting("AGENTD_FUZZ_N").unwrap_or(DEFAULT_SCHEMAS);
    let first = setting("AGENTD_FUZZ_SEED").unwrap_or(1);
    let constrainer = Constrainer::new(&ApproximateTokEnv::single_byte_env()).unwrap();
    let (mut taken, mut finished, mut unreadable) = (0, 0, 0);
    for seed in (0..schemas).map(|i| first.wrapping_add(i)) {
        let mut rng = Rng(seed);
        let schema = whole(&mut rng);
        let told = format!("seed {seed}: {schema}");
        let matcher = match constrainer.compiled_or_refused(&schema) {
            Ok(matcher) => matcher,
            Err((pointer, why)) => {
                assert!(schema.pointer(&pointer).is_some(), "{pointer:?} ({why}) is not in {told}");
                continue;
            }
        };
        taken += 1;
        let judge = jsonschema::options().should_validate_formats(true).build(&schema);
        let judge = judge.unwrap_or_else(|e| panic!("{e}, says the validator of {told}"));
        for _ in 0..INSTANCES {
            let written = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                instance(&mut rng, &mut matcher.deep_clone())
            }));
            let Ok(written) = written else { panic!("it breaks off under {told}") };
            let Some(text) = written else { continue };
            finished += 1;
            match serde_json::from_str::<Value>(&text) {
                Ok(value) => {
                    let wrong = judge
                        .iter_errors(&value)
                        .next()
                        .map(|e| format!("{e} at {}", e.instance_path()));
                    assert_eq!(wrong, None, "{text} is not valid under {told}");
                }
                // Where a schema says nothing a number may have any exponent, and `Model::ask` refuses it.
                Err(e) if e.to_string().contains("out of range") => unreadable += 1,
                Err(e) => panic!("{text} is no JSON ({e}) under {told}"),
            }
        }
    }
    println!(
        "{schemas} schemas, {taken} taken, {finished} instances, {unreadable} with a number out of range"
    );
    assert!(
        schemas < 100 || taken * 3 > schemas,
        "the test hardly tests: {taken} of {schemas} are taken"
    );
    assert!(
        schemas < 100 || finished > taken,
        "the test hardly tests: {finished} instances of {taken}"
    );
}
