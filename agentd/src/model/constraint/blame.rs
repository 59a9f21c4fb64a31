//! Which keyword of a schema the compiler did not take, where it does not say.
//!
//! Each schema in the schema is compiled alone, the innermost first, and the first one that fails in the same
//! way is the one; then it is compiled without one keyword after another, and the one without which it
//! compiles is to blame. Bounds: [`TRIES`] compilations, and [`PATIENCE`]. What is not found within them is
//! blamed on the whole.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::Refusal;
use super::keyword::below;
use super::schema::{Walk, compile};

/// Compilations that are spent on it.
const TRIES: usize = 200;
/// A grammar that fails at a limit takes long to fail; the worker has other things to do.
const PATIENCE: Duration = Duration::from_millis(500);

/// The refusal of a schema that the compiler did not take, with the pointer of what is to blame.
pub(super) fn refusal(schema: &Value, places: &[String], why: Refusal) -> Refusal {
    let begun = Instant::now();
    let mut tries = 0;
    // What a part gives when it is compiled alone; nothing where no more can be tried.
    let mut compiled = |schema: &Value, at: &str| -> Option<Result<(), Refusal>> {
        tries += 1;
        if tries > TRIES || begun.elapsed() > PATIENCE {
            return None;
        }
        Some(Walk::of(schema, at).and_then(|(plain, _)| compile(plain)).map(drop))
    };
    let message = why.to_string();
    // An impossible part has a reason of its own, and another one for what it is needed for.
    let is_impossible = |message: &str| message.to_lowercase().contains("unsatisfiable");
    let is_same = |inner: &Refusal| {
        let inner = inner.to_string();
        inner == message || is_impossible(&inner) && is_impossible(&message)
    };
    // Parts stand behind their wholes.
    let found = places.iter().rev().find_map(|at| {
        let inner = compiled(schema, at)?.err().filter(is_same)?;
        Some((at.clone(), inner.to_string()))
    });
    let (at, message) = found.unwrap_or((String::new(), message));
    let keys: Vec<String> = match schema.pointer(&at) {
        Some(Value::Object(node)) => node.keys().cloned().collect(),
        _ => Vec::new(),
    };
    let culprit = keys.iter().rev().find(|key| {
        let mut without = schema.clone();
        if let Some(Value::Object(node)) = without.pointer_mut(&at) {
            node.shift_remove(key.as_str());
        }
        matches!(compiled(&without, &at), Some(Ok(())))
    });
    let pointer = culprit.map_or(at.clone(), |key| below(&at, key));
    let why = match message.strip_prefix("Unsatisfiable schema: ") {
        Some(why) => format!("nothing can be valid: {why}"),
        None => message,
    };
    Refusal::Schema { pointer, why }
}
