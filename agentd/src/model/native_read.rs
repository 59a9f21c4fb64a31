//! Reads calls that are JSON objects out of a text: whatever stands around them, and however they are put together.

use serde_json::{Deserializer, Value};

use crate::command::Call;

/// The objects of a text that have a function's name, in order. Arguments may be called `arguments` or `parameters`, and
/// may be JSON within a string.
pub(super) fn objects(text: &str) -> Result<Vec<Call>, String> {
    let (mut calls, mut rest) = (Vec::new(), text);
    while let Some(at) = rest.find('{') {
        rest = &rest[at..];
        let mut values = Deserializer::from_str(rest).into_iter::<Value>();
        match values.next() {
            Some(Ok(value)) => {
                rest = &rest[values.byte_offset()..];
                calls.extend(call(value)?);
            }
            Some(Err(error)) => return Err(format!("{rest:?} cannot be read: {error}")),
            None => break,
        }
    }
    Ok(calls)
}

fn call(value: Value) -> Result<Option<Call>, String> {
    let Value::Object(mut object) = value else { return Ok(None) };
    let Some(Value::String(tool)) = object.remove("name") else { return Ok(None) };
    let args = ["arguments", "parameters"].iter().find_map(|key| object.remove(*key));
    let args = match args {
        Some(Value::String(text)) => serde_json::from_str(&text)
            .map_err(|error| format!("the arguments {text:?} cannot be read: {error}"))?,
        other => other.unwrap_or_default(),
    };
    match args {
        Value::Object(args) => Ok(Some(Call { tool, args })),
        Value::Null => Ok(Some(Call { tool, args: Default::default() })),
        other => Err(format!("the arguments of {tool} are {other} and no object")),
    }
}
