//! JSON Schema that can be held, made plain for llguidance.
//!
//! llguidance takes keywords that it ignores, and some that it holds only nearly. So nothing of a schema is
//! handed on but what is written here, where each keyword is known, checked and said in the form that
//! llguidance holds exactly; the rest is refused with its JSON pointer. What is written down may allow less
//! than the schema does, never more:
//!
//! | keyword | as it is written down |
//! |---|---|
//! | bounds of numbers | inclusive, and within ±(2^53 - 1), which every reader holds |
//! | `pattern`, `format` | in the regular expressions of `regex`: [`ecma`](super::ecma), [`formats`](super::formats) |
//! | `$ref` | to a numbered definition; the original may point anywhere in the schema |
//! | spaces | at most one, after a comma or a colon |
//! | `minProperties` | only where no key is free: a free key may be written twice |
//!
//! Bounds: [`MAX_SCHEMAS`] schemas within one, and those of [`constraint`](super).

use indexmap::IndexMap;
use llguidance::api::{GrammarInit, TopLevelGrammar};
use serde_json::{Map, Value, json};

use super::keyword::{
    are_distinct, below, bounds, count, has_bounds, listed, literal, multiple, refuse, types,
};
use super::{Refusal, blame, ecma, formats};
use crate::model::constrain::build;

/// Schemas in a schema, each definition that is referred to included once.
pub const MAX_SCHEMAS: usize = 1000;

const DRAFTS: [&str; 2] =
    ["https://json-schema.org/draft/2020-12/schema", "http://json-schema.org/draft-07/schema"];
/// What says nothing about an instance.
const ANNOTATIONS: [&str; 9] = [
    "$comment",
    "$defs",
    "default",
    "definitions",
    "deprecated",
    "description",
    "examples",
    "readOnly",
    "title",
];

/// Compiles a schema as far as it goes without a vocabulary.
pub(in crate::model) fn built(schema: &Value) -> Result<GrammarInit, Refusal> {
    let (plain, places) = Walk::of(schema, "")?;
    compile(plain).map_err(|why| blame::refusal(schema, &places, why))
}

/// Compiles what [`Walk`] wrote down.
pub(super) fn compile(plain: Value) -> Result<GrammarInit, Refusal> {
    build(TopLevelGrammar::from_json_schema(plain), None)
}

/// Goes through a schema and writes it down anew.
pub(super) struct Walk<'a> {
    root: &'a Value,
    is_draft_7: bool,
    /// The pointers that are referred to, numbered by their order.
    definitions: IndexMap<String, ()>,
    /// The pointer of each schema, parents before their parts.
    places: Vec<String>,
}

type Written = Result<Value, Refusal>;

impl<'a> Walk<'a> {
    /// Writes down the part of `root` that `pointer` names, with the definitions that it needs. Returns it, and
    /// where schemas stand in it.
    pub(super) fn of(root: &'a Value, pointer: &str) -> Result<(Value, Vec<String>), Refusal> {
        let draft = root
            .get("$schema")
            .map(|draft| draft.as_str().unwrap_or_default().trim_end_matches('#'));
        if draft.is_some_and(|draft| !DRAFTS.contains(&draft)) {
            return refuse("", "$schema", format!("it has to be {} or {}", DRAFTS[0], DRAFTS[1]));
        }
        let is_draft_7 = draft == Some(DRAFTS[1]);
        let mut walk = Self { root, is_draft_7, definitions: IndexMap::new(), places: Vec::new() };
        walk.definitions.insert(pointer.to_owned(), ());
        let mut written = Map::new();
        // Definitions are found on the way, and none is gone down into: a chain of them may be long.
        for number in 0.. {
            let Some((at, ())) = walk.definitions.get_index(number) else { break };
            let at = at.clone();
            let Some(schema) = root.pointer(&at) else {
                return refuse(&at, "", "there is nothing to refer to");
            };
            let plain = walk.schema(schema, &at)?;
            written.insert(number.to_string(), plain);
        }
        if let Some(at) = walk.circle(&written) {
            return refuse(&at, "", "it only refers to itself");
        }
        let plain = json!({
            "x-guidance": {
                // Without `\u`, a key can be written in one way only, and what is excluded is.
                "json_allowed_escapes": "nrbtf\\\"",
                // A model that likes spaces would write them until its tokens are over.
                "whitespace_flexible": false,
                "item_separator": ", ?",
                "key_separator": ": ?",
            },
            "$ref": "#/$defs/0",
            "$defs": written,
        });
        Ok((plain, walk.places))
    }

    fn schema(&mut self, schema: &Value, at: &str) -> Written {
        self.places.push(at.to_owned());
        if self.places.len() > MAX_SCHEMAS {
            return refuse(at, "", format!("more than {MAX_SCHEMAS} schemas stand in it"));
        }
        let node = match schema {
            Value::Bool(_) => return Ok(schema.clone()),
            Value::Object(node) => node,
            _ => return refuse(at, "", "a schema is an object, true or false"),
        };
        let types = types(node, at)?;
        let has = |name: &str| types.contains(&name);
        let has_number = has("number") || has("integer");
        let (mut own, mut applied) = (Map::new(), Map::new());
        for (key, value) in node {
            match key.as_str() {
                "$schema" | "$id" if at.is_empty() => {}
                key if ANNOTATIONS.contains(&key) || key == "writeOnly" => {}
                "type" => {}
                "const" => {
                    literal(value, &below(at, key))?;
                    applied.insert(key.clone(), value.clone());
                }
                "enum" => {
                    let Some(values) = value.as_array().filter(|values| !values.is_empty()) else {
                        return refuse(at, key, "it has to be a list of values");
                    };
                    let at = below(at, key);
                    values
                        .iter()
                        .enumerate()
                        .try_for_each(|(i, value)| literal(value, &below(&at, &i.to_string())))?;
                    applied.insert(key.clone(), value.clone());
                }
                "anyOf" | "oneOf" => {
                    applied.insert(key.clone(), self.list(value, &below(at, key))?.into());
                }
                "allOf" => {
                    // A format may have begun it.
                    for way in self.list(value, &below(at, key))? {
                        push(&mut applied, key, way);
                    }
                }
                "$ref" => {
                    applied.insert(key.clone(), self.reference(value, at)?);
                }
                "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" => {
                    if !value.is_number() {
                        return refuse(at, key, "it has to be a number");
                    }
                }
                "multipleOf" => {
                    multiple(value, at)?;
                    own.insert(key.clone(), value.clone());
                }
                "minLength" | "maxLength" | "minItems" | "maxItems" | "maxProperties" => {
                    own.insert(key.clone(), count(value, at, key)?.into());
                }
                "minProperties" => {
                    let least = count(value, at, key)?;
                    if least > listed(node, "required") {
                        if node.get("additionalProperties") != Some(&Value::Bool(false))
                            || node.contains_key("patternProperties")
                        {
                            let why = "it can only be held where additionalProperties is false, without \
                                       patternProperties";
                            return refuse(at, key, why);
                        }
                        own.insert(key.clone(), least.into());
                    }
                }
                "pattern" => {
                    let Some(pattern) = value.as_str() else {
                        return refuse(at, key, "it has to be a text");
                    };
                    let pattern = ecma::to_rust(pattern).or_else(|why| refuse(at, key, why))?;
                    own.insert(key.clone(), pattern.into());
                }
                // Of numbers, a format says how they are stored.
                "format" if !has("string") => {}
                "format" => {
                    let Some(pattern) = value.as_str().and_then(formats::pattern) else {
                        return refuse(at, key, format!("the format {value} cannot be held"));
                    };
                    let of_text = json!({ "type": "string", "pattern": pattern });
                    let others: Vec<_> = types.iter().filter(|name| **name != "string").collect();
                    let way = json!({ "anyOf": [of_text, { "type": others }] });
                    let way = if others.is_empty() { of_text } else { way };
                    push(&mut applied, "allOf", way);
                }
                "items" => {
                    own.insert(key.clone(), self.schema(value, &below(at, key))?);
                }
                "additionalProperties" => {
                    own.insert(key.clone(), self.schema(value, &below(at, key))?);
                }
                "prefixItems" if !self.is_draft_7 => {
                    own.insert(key.clone(), self.list(value, &below(at, key))?.into());
                }
                "properties" => {
                    own.insert(key.clone(), self.map(value, &below(at, key), false)?);
                }
                "patternProperties" => {
                    own.insert(key.clone(), self.map(value, &below(at, key), true)?);
                }
                "required" => {
                    let are_names = |names: &&Vec<Value>| {
                        names.iter().all(Value::is_string) && are_distinct(names)
                    };
                    let Some(names) = value.as_array().filter(are_names) else {
                        return refuse(at, key, "it has to be a list of names, each once");
                    };
                    own.insert(key.clone(), names.clone().into());
                }
                "uniqueItems" if value == &Value::Bool(false) => {}
                _ => return refuse(at, key, "this keyword cannot be held"),
            }
        }
        if has_number && (node.contains_key("type") || !own.is_empty() || has_bounds(node)) {
            let (least, most) = bounds(node);
            own.insert("minimum".to_owned(), json!(least));
            own.insert("maximum".to_owned(), json!(most));
        }
        if node.contains_key("type") || !own.is_empty() {
            own.insert("type".to_owned(), types.into());
        }
        // What is said of the instance itself comes before what is said by other schemas, so that llguidance
        // takes each in one piece.
        own.extend(applied);
        Ok(if own.is_empty() { Value::Bool(true) } else { Value::Object(own) })
    }

    fn list(&mut self, value: &Value, at: &str) -> Result<Vec<Value>, Refusal> {
        let Some(schemas) = value.as_array().filter(|schemas| !schemas.is_empty()) else {
            return refuse(at, "", "it has to be a list of schemas");
        };
        let each = schemas.iter().enumerate();
        each.map(|(i, schema)| self.schema(schema, &below(at, &i.to_string()))).collect()
    }

    fn map(&mut self, value: &Value, at: &str, of_patterns: bool) -> Written {
        let Some(schemas) = value.as_object() else {
            return refuse(at, "", "it has to be an object of schemas");
        };
        let mut written = Map::new();
        for (key, schema) in schemas {
            let name = match of_patterns {
                true => ecma::to_rust(key).or_else(|why| refuse(at, key, why))?,
                false => key.clone(),
            };
            written.insert(name, self.schema(schema, &below(at, key))?);
        }
        Ok(Value::Object(written))
    }

    fn reference(&mut self, value: &Value, at: &str) -> Written {
        let pointer = value.as_str().and_then(|text| text.strip_prefix('#')).and_then(unescaped);
        let pointer = pointer.filter(|pointer| pointer.is_empty() || pointer.starts_with('/'));
        let Some(pointer) = pointer else {
            return refuse(at, "$ref", "it has to be # and a JSON pointer within this schema");
        };
        if self.root.pointer(&pointer).is_none() {
            return refuse(at, "$ref", "there is nothing that it refers to");
        }
        let (number, _) = self.definitions.insert_full(pointer, ());
        Ok(format!("#/$defs/{number}").into())
    }

    /// The pointer of a definition that refers to itself before an instance has gone on: it says nothing.
    fn circle(&self, written: &Map<String, Value>) -> Option<String> {
        let mut edges: Vec<Vec<usize>> = vec![Vec::new(); written.len()];
        for (from, plain) in written.values().enumerate() {
            in_place(plain, &mut edges[from]);
        }
        // Whoever leads nowhere, or only to such, is taken away, until nothing changes; the rest are circles.
        let mut open: Vec<bool> = vec![true; edges.len()];
        loop {
            let ends = (0..edges.len())
                .find(|from| open[*from] && edges[*from].iter().all(|to| !open[*to]));
            match ends {
                Some(end) => open[end] = false,
                None => break,
            }
        }
        let first = open.iter().position(|open| *open)?;
        self.definitions.get_index(first).map(|(pointer, ())| pointer.clone())
    }
}

/// The definitions that a schema refers to for the same instance.
fn in_place(plain: &Value, found: &mut Vec<usize>) {
    let number = |to: &Value| to.as_str()?.rsplit('/').next()?.parse::<usize>().ok();
    found.extend(plain.get("$ref").and_then(number));
    for key in ["allOf", "anyOf", "oneOf"] {
        let ways = plain.get(key).and_then(Value::as_array);
        ways.into_iter().flatten().for_each(|way| in_place(way, found));
    }
}

fn push(map: &mut Map<String, Value>, key: &str, value: Value) {
    match map.get_mut(key).and_then(Value::as_array_mut) {
        Some(list) => list.push(value),
        None => drop(map.insert(key.to_owned(), json!([value]))),
    }
}

/// A fragment of a URI without its percent signs.
fn unescaped(fragment: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::new(), fragment.as_bytes());
    while let [byte, after @ ..] = rest {
        rest = after;
        bytes.push(match (byte, after) {
            (b'%', [high, low, after @ ..]) => {
                rest = after;
                let digits = [*high, *low];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            (b'%', _) => return None,
            _ => *byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
#[path = "schema_tests.rs"]
mod tests;
