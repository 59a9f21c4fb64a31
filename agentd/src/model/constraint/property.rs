//! Whatever schema is taken, whatever is written under it is valid: judged by a validator that is not ours.
//!
//! Schema number `i` is made from the seed `SEED + i` and nothing else, so that one that fails is repeated
//! alone: `AGENTD_FUZZ_N=1 AGENTD_FUZZ_SEED=<its seed> cargo nextest run --release -p agentd --lib valid`.
//! `AGENTD_FUZZ_N` is how many there are.

use llguidance::Matcher;
use llguidance::toktrie::ApproximateTokEnv;
use serde_json::Value;

use crate::model::constrain::Constrainer;
use crate::tune::random::Random;

#[path = "property_draw.rs"]
mod draw;

/// Schemas in `make test`.
const DEFAULT_SCHEMAS: u64 = 4000;
/// Instances of each schema.
const INSTANCES: usize = 2;
/// Bytes after which an instance is led to its end, and after which it is given up.
const LONG: usize = 40;
const TOO_LONG: usize = 1500;

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
fn instance(rng: &mut Random, matcher: &mut Matcher) -> Option<String> {
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
fn any_of(rng: &mut Random, bytes: &[u8], to_the_end: bool) -> u8 {
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
    let mut constrainer = Constrainer::new(&ApproximateTokEnv::single_byte_env());
    let (mut taken, mut finished, mut unreadable) = (0, 0, 0);
    for seed in (0..schemas).map(|i| first.wrapping_add(i)) {
        let mut rng = Random::new(seed, 0);
        let schema = draw::schema(&mut rng);
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
