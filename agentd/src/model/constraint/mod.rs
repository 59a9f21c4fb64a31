//! What an answer may be, as whoever asks for it writes it down.
//!
//! ```text
//!  JSON Schema ─ schema (checked, made plain) ─┐
//!  GBNF ─ gbnf (translated) ─> Lark ───────────┼─> llguidance ─> a matcher, or a refusal that says where
//!  regular expression, Lark ───────────────────┘
//! ```
//!
//! Bounds: [`MAX_OWN_BYTES`], [`MAX_SCHEMA_BYTES`] and [`MAX_GRAMMAR_BYTES`] of text, [`MAX_DEPTH`] lists and
//! objects within one another in a schema, [`MAX_TEXTS`] texts to choose from; what passes is still bounded by the compiler's own limits
//! ([`constrain`](super::constrain)).

mod blame;
pub mod ecma;
pub mod formats;
pub mod gbnf;
pub mod gbnf_parser;
mod keyword;
pub mod schema;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The longest grammar that agentd itself writes: that of 64 large tools has some 200 KiB.
pub const MAX_OWN_BYTES: usize = 256 * 1024;
/// The longest schema, as compact JSON.
pub const MAX_SCHEMA_BYTES: usize = 64 * 1024;
/// The longest grammar or regular expression that others write. llguidance may need time and memory that grow
/// with the square: 4000 optional letters in a row, which fit in here, take a PC 0.4 s and 100 MiB.
pub const MAX_GRAMMAR_BYTES: usize = 8 * 1024;
/// The most texts of which one is chosen: the tools of the largest machine, and as many again.
pub const MAX_TEXTS: usize = 128;
/// Lists and objects within one another in a schema. Every reader behind this one goes down by recursion, and
/// serde_json gives up at 128, the frame to the worker included. In Lark, llguidance takes 28 brackets.
pub const MAX_DEPTH: usize = 64;

/// What an answer may be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "text", rename_all = "snake_case")]
pub enum Constraint {
    /// A grammar of agentd's own making, in Lark: as long as its tools need, and trusted not to be a bomb.
    Own(String),
    /// A grammar in llguidance's dialect of Lark.
    Lark(String),
    /// A JSON value that is valid by a schema of draft 2020-12 or 7; see [`schema`].
    JsonSchema(Value),
    /// A text that a regular expression in the syntax of the crate `regex` matches as a whole.
    Regex(String),
    /// A grammar in llama.cpp's notation; see [`gbnf`].
    Gbnf(String),
    /// One of these texts. Each of them is scored: what is not the answer comes with it as an alternative.
    OneOf(Vec<String>),
}

/// Why a constraint is not taken, for whoever wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The text is too long.
    #[error("it has {bytes} bytes; at most {most} are taken")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The bound.
        most: usize,
    },
    /// Lists and objects of a schema stand deeper than [`MAX_DEPTH`].
    #[error("lists and objects stand more than {MAX_DEPTH} deep in it")]
    TooDeep,
    /// A keyword of a schema cannot be held, or is wrong.
    #[error("{:?}: {why}", end_of(pointer))]
    Schema {
        /// The JSON pointer of the keyword; empty for the schema itself.
        pointer: String,
        /// What is wrong.
        why: String,
    },
    /// A GBNF grammar is wrong, or cannot be represented.
    #[error("at {line}({column}): {why}")]
    Gbnf {
        /// The line, from 1.
        line: usize,
        /// The character of the line, from 1.
        column: usize,
        /// What is wrong.
        why: String,
    },
    /// There are no texts to choose from, or too many.
    #[error("it is one of {count} texts; 1 to {MAX_TEXTS} are taken")]
    Texts {
        /// How many there are.
        count: usize,
    },
    /// The compiler does not take it. It says where, if it knows.
    #[error("{0}")]
    Compiler(String),
}

/// The most characters of a pointer that are told: a schema's keys may be as long as the schema.
const SHOWN_POINTER_CHARS: usize = 200;

/// A pointer, or its end where it is long.
fn end_of(pointer: &str) -> String {
    let chars = pointer.chars().count();
    match chars.checked_sub(SHOWN_POINTER_CHARS).filter(|over| *over > 0) {
        Some(over) => format!("...{}", pointer.chars().skip(over).collect::<String>()),
        None => pointer.to_owned(),
    }
}

impl Default for Constraint {
    fn default() -> Self {
        Self::Own(String::new())
    }
}

impl From<String> for Constraint {
    fn from(lark: String) -> Self {
        Self::Own(lark)
    }
}

impl From<&str> for Constraint {
    fn from(lark: &str) -> Self {
        Self::Own(lark.to_owned())
    }
}

impl Constraint {
    /// The text as it was written; a schema as compact JSON with its keys in their order.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Own(text) | Self::Lark(text) | Self::Regex(text) | Self::Gbnf(text) => {
                Cow::Borrowed(text)
            }
            Self::JsonSchema(schema) => Cow::Owned(schema.to_string()),
            Self::OneOf(texts) => Cow::Owned(texts.join("\n")),
        }
    }

    /// Refuses what is too large to be looked at. It is cheap and is done before the constraint is sent anywhere.
    pub fn admit(&self) -> Result<(), Refusal> {
        let most = match self {
            Self::OneOf(texts) if !(1..=MAX_TEXTS).contains(&texts.len()) => {
                return Err(Refusal::Texts { count: texts.len() });
            }
            Self::Own(_) | Self::OneOf(_) => MAX_OWN_BYTES,
            Self::Lark(_) | Self::Regex(_) | Self::Gbnf(_) => MAX_GRAMMAR_BYTES,
            // Before it is written down, which is a recursion too.
            Self::JsonSchema(schema) if is_deeper(schema, MAX_DEPTH) => {
                return Err(Refusal::TooDeep);
            }
            Self::JsonSchema(_) => MAX_SCHEMA_BYTES,
        };
        match self.text().len() {
            bytes if bytes > most => Err(Refusal::TooLong { bytes, most }),
            _ => Ok(()),
        }
    }
}

/// Whether lists and objects stand more than `most` deep in one another.
fn is_deeper(value: &Value, most: usize) -> bool {
    let Some(left) = most.checked_sub(1) else {
        return value.is_array() || value.is_object();
    };
    match value {
        Value::Array(items) => items.iter().any(|item| is_deeper(item, left)),
        Value::Object(map) => map.values().any(|item| is_deeper(item, left)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn of_a_pointer_the_end_is_told_where_it_is_longer_than_its_bound() {
        let at = format!("/{}", "é".repeat(SHOWN_POINTER_CHARS - 1));
        assert_eq!(end_of(&at), at);
        assert_eq!(end_of(&format!("/x{}", &at[1..])), format!("...x{}", &at[1..]));
    }

    #[test]
    fn a_constraint_is_the_same_after_it_was_sent() {
        let constraints = [
            Constraint::from("start: \"a\""),
            Constraint::JsonSchema(json!({"type": "integer", "maximum": 1.5, "minimum": -3})),
            Constraint::Regex("[a-z]+".to_owned()),
            Constraint::Gbnf("root ::= \"a\"".to_owned()),
            Constraint::OneOf(vec!["a(".to_owned(), "b()".to_owned()]),
        ];
        for constraint in constraints {
            let sent = serde_json::to_string(&constraint).unwrap();
            assert_eq!(serde_json::from_str::<Constraint>(&sent).unwrap(), constraint, "{sent}");
        }
    }

    #[test]
    fn the_bounds_on_texts_hold_at_and_one_over() {
        let of = |count: usize| Constraint::OneOf((0..count).map(|n| n.to_string()).collect());
        assert_eq!(of(0).admit(), Err(Refusal::Texts { count: 0 }));
        assert_eq!(of(1).admit(), Ok(()));
        assert_eq!(of(MAX_TEXTS).admit(), Ok(()));
        assert_eq!(of(MAX_TEXTS + 1).admit(), Err(Refusal::Texts { count: MAX_TEXTS + 1 }));
    }

    #[test]
    fn the_bounds_on_bytes_hold_at_and_one_over() {
        let text = |bytes| "a".repeat(bytes);
        let schema = |bytes| Constraint::JsonSchema(json!(text(bytes - 2)));
        let kinds: [(&dyn Fn(usize) -> Constraint, usize); 5] = [
            (&|bytes| Constraint::Own(text(bytes)), MAX_OWN_BYTES),
            (&|bytes| Constraint::Lark(text(bytes)), MAX_GRAMMAR_BYTES),
            (&|bytes| Constraint::Regex(text(bytes)), MAX_GRAMMAR_BYTES),
            (&|bytes| Constraint::Gbnf(text(bytes)), MAX_GRAMMAR_BYTES),
            (&schema, MAX_SCHEMA_BYTES),
        ];
        for (of, most) in kinds {
            assert_eq!(of(most).admit(), Ok(()));
            assert_eq!(of(most + 1).admit(), Err(Refusal::TooLong { bytes: most + 1, most }));
        }
    }

    #[test]
    fn the_bound_on_depth_holds_at_and_one_over() {
        let nested = |depth| (1..depth).fold(json!({}), |inner, _| json!({"items": inner}));
        let schema = |depth| Constraint::JsonSchema(nested(depth));
        assert_eq!(schema(MAX_DEPTH).admit(), Ok(()));
        assert_eq!(schema(MAX_DEPTH + 1).admit(), Err(Refusal::TooDeep));
    }
}
