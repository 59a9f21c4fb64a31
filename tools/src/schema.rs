//! A tool's parameters as JSON Schema, for `capabilities` and for models elsewhere.

use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use crate::ToolSpec;
use crate::args::{DEFAULT_MAX_CHARS, integer};
use crate::spec::{Format, Param, ParamKind};

/// The tool's parameters as a JSON Schema object.
pub fn json_schema(spec: &ToolSpec) -> Value {
    let mut schema = Map::new();
    schema.insert("type".into(), json!("object"));
    schema.extend(members(&spec.params));
    Value::Object(schema)
}

/// What a schema says of the members of an object: which there are, and which it must have.
fn members(params: &IndexMap<String, Param>) -> Map<String, Value> {
    let properties: Map<String, Value> =
        params.iter().map(|(name, param)| (name.clone(), param_schema(param))).collect();
    let required: Vec<&String> =
        params.iter().filter(|(_, p)| p.is_required()).map(|(name, _)| name).collect();
    let keys = [
        ("properties", Value::Object(properties)),
        ("required", json!(required)),
        ("additionalProperties", json!(false)),
    ];
    keys.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn param_schema(param: &Param) -> Value {
    let mut schema = Map::new();
    schema.insert("type".into(), json!(param.kind));
    match (param.kind, &param.items) {
        (ParamKind::Object, _) => schema.extend(members(&param.properties)),
        (ParamKind::Array, Some(items)) => {
            schema.insert("items".into(), param_schema(items));
            schema.insert("minItems".into(), json!(1));
            schema.insert("maxItems".into(), json!(param.most_items()));
        }
        _ => {}
    }
    if let Some(choices) = &param.choices {
        schema.insert("enum".into(), json!(choices));
    } else if param.format == Some(Format::Time) {
        schema.insert("pattern".into(), json!("^([01][0-9]|2[0-3]):[0-5][0-9]$"));
    } else if param.kind == ParamKind::String {
        let max = param.max_length.unwrap_or(DEFAULT_MAX_CHARS);
        schema.insert("maxLength".into(), json!(max));
    }
    for (key, bound) in [("minimum", param.min), ("maximum", param.max)] {
        if let Some(bound) = bound {
            schema.insert(key.into(), integer(&json!(bound)).map_or(json!(bound), Value::from));
        }
    }
    if let Some(default) = &param.default {
        schema.insert("default".into(), default.clone());
    }
    let unit = param.unit.map(|unit| format!("in {}", unit.name()));
    if let Some(description) = param.description.clone().or(unit) {
        schema.insert("description".into(), json!(description));
    }
    Value::Object(schema)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_says_what_the_check_takes() {
        let spec = ToolSpec::from_json(json!({
            "name": "fan", "description": "d", "kind": "serial",
            "params": {
                "device": {"enum": ["Fan", "pump"]},
                "speed": {"type": "integer", "min": 0, "max": 100, "unit": "rpm"},
                "level": {"type": "number", "min": 0.5, "default": 1},
                "at": {"format": "time"},
                "why": {"max_length": 4, "default": ""},
            },
        }));
        let schema = json_schema(&spec);
        assert_eq!(schema["required"], json!(["device", "speed", "at"]));
        assert_eq!(schema["additionalProperties"], json!(false));
        let properties = &schema["properties"];
        assert_eq!(
            properties["speed"],
            json!({"type": "integer", "minimum": 0, "maximum": 100, "description": "in rpm"})
        );
        assert_eq!(properties["device"], json!({"type": "string", "enum": ["Fan", "pump"]}));
        assert_eq!(properties["why"]["maxLength"], json!(4));
        assert_eq!(properties["level"]["minimum"], json!(0.5));
        let time = properties["at"]["pattern"].as_str().expect("a pattern");
        let time = regex::Regex::new(time).expect("it compiles");
        assert!(time.is_match("23:59") && !time.is_match("24:00") && !time.is_match("6:00"));
    }

    #[test]
    fn lists_and_objects_are_described_with_their_items_and_members() {
        let spec = ToolSpec::from_json(json!({
            "name": "scene", "description": "d", "kind": "publish",
            "params": {
                "rooms": {"type": "array", "items": {"enum": ["hall"]}, "max_items": 3},
                "light": {"type": "object", "optional": true, "properties": {
                    "level": {"type": "integer", "min": 0}, "fade": {"type": "number", "optional": true},
                }},
            },
        }));
        let schema = json_schema(&spec);
        assert_eq!(schema["required"], json!(["rooms"]));
        let rooms = json!({"type": "array", "items": {"type": "string", "enum": ["hall"]},
            "minItems": 1, "maxItems": 3});
        assert_eq!(schema["properties"]["rooms"], rooms);
        let light = json!({"type": "object", "required": ["level"], "additionalProperties": false,
            "properties": {"level": {"type": "integer", "minimum": 0}, "fade": {"type": "number"}}});
        assert_eq!(schema["properties"]["light"], light);
    }
}
