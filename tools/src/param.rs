//! One parameter of a tool, as it is declared: its type, and what a value of it may be.
//!
//! A list has items and an object has members, which are declared like parameters themselves. Both are for the
//! kinds `publish` and `sql`: a template's place takes one plain value. Bounds: a list has at most its
//! `max_items`, or [`DEFAULT_MAX_ITEMS`]; `check` bounds how deep a declaration goes.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::unit::Unit;

/// The most items of a list that declares no `max_items`.
pub const DEFAULT_MAX_ITEMS: usize = 16;

/// One declared parameter.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Param {
    /// Its type. Default: `string`.
    #[serde(default, rename = "type")]
    pub kind: ParamKind,
    /// The allowed words, for a `string`.
    #[serde(default, rename = "enum", skip_serializing_if = "Option::is_none")]
    pub choices: Option<Vec<String>>,
    /// The least value, inclusive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// The greatest value, inclusive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// What a number counts, as `minutes`. A model then gives what the person said in this unit: "half an
    /// hour" is 30.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
    /// The longest string, in characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_length: Option<usize>,
    /// The form of a string.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// Set it where a string is to be in the person's own words: a model may then only give a run of them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub verbatim: bool,
    /// What each item of an `array` is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<Box<Self>>,
    /// The most items of an `array`; the least is one. Default 16.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_items: Option<usize>,
    /// The members of an `object`, in the order in which the call syntax shows them.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub properties: IndexMap<String, Self>,
    /// The value where none is given; it makes the parameter optional.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// Set it where the parameter may be left out and no value is to stand for it then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
    /// What it means, for the model and the kiosk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// The form of a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A time of day, as `18:30`.
    Time,
}

/// A parameter's type.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ParamKind {
    /// Text.
    #[default]
    String,
    /// A whole number.
    Integer,
    /// Any number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// A list of `items`.
    Array,
    /// Named members, its `properties`.
    Object,
}

impl Param {
    /// Whether a call must give it.
    pub fn is_required(&self) -> bool {
        self.default.is_none() && !self.optional
    }

    /// The most items that a list of it has.
    pub fn most_items(&self) -> usize {
        self.max_items.unwrap_or(DEFAULT_MAX_ITEMS)
    }

    /// Why it cannot stand in a template's place, in words that go behind "which"; none where it can.
    pub(crate) fn no_place(&self) -> Option<&'static str> {
        match self.kind {
            ParamKind::Array => Some("is a list, and a place takes one plain value"),
            ParamKind::Object => Some("is an object, and a place takes one plain value"),
            _ if self.optional => {
                Some("may be left out: give it a `default` in place of `optional`")
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_declaration_of_lists_and_objects_is_the_same_when_it_was_written_and_read_again() {
        let declared = json!({
            "type": "object",
            "properties": {
                "rooms": {"type": "array", "items": {"type": "string", "enum": ["hall"]}, "max_items": 3},
                "level": {"type": "number", "optional": true},
            },
        });
        let param: Param = serde_json::from_value(declared.clone()).expect("a parameter");
        assert_eq!(json!(param), declared);
        assert!(param.is_required() && !param.properties["level"].is_required());
        assert_eq!(param.properties["rooms"].most_items(), 3);
        assert_eq!(param.most_items(), DEFAULT_MAX_ITEMS);
    }
}
