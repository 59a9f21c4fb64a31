//! Templates for requests and replies: text with `{name}` and `{name:.1}` places.
//!
//! `{{` and `}}` stand for the braces themselves. A place that cannot be filled fails the whole
//! rendering: a request with a hole must not be sent, and a reply with a hole must not be spoken.
//!
//! Bounds: a template has at most [`MAX_BYTES`] bytes; a place shows at most [`MAX_DECIMALS`]
//! decimals.

use serde_json::{Map, Value};

/// The longest template, in bytes.
pub const MAX_BYTES: usize = 4096;
/// The most decimals that a place can ask for. An `f64` holds no more that mean anything.
pub const MAX_DECIMALS: usize = 15;

/// A parsed template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Place { name: String, decimals: Option<usize> },
}

/// Why a text is not a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A `{` without its `}`.
    #[error("the `{{` at character {at} has no `}}`; write `{{{{` for a brace itself")]
    Unclosed {
        /// Counted from 1.
        at: usize,
    },
    /// A `}` without its `{`.
    #[error("the `}}` at character {at} has no `{{`; write `}}}}` for a brace itself")]
    Unopened {
        /// Counted from 1.
        at: usize,
    },
    /// The place's name is not a name.
    #[error(
        "`{{{place}}}` is not a place: write `{{name}}` or `{{name:.1}}`, with letters, digits and `_`"
    )]
    BadName {
        /// What stands between the braces.
        place: String,
    },
    /// What follows the colon is not `.` and a number of decimals.
    #[error("`{{{place}}}` is not a place: after the colon stands `.` and 0 to {MAX_DECIMALS}")]
    BadFormat {
        /// What stands between the braces.
        place: String,
    },
    /// It has more than [`MAX_BYTES`] bytes.
    #[error("it has {bytes} bytes; at most {MAX_BYTES} are taken")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
}

/// Why a template could not be filled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// There is no value of that name.
    #[error("there is no value for `{{{name}}}`")]
    Missing {
        /// The place's name.
        name: String,
    },
    /// The value is null.
    #[error("the value for `{{{name}}}` is null")]
    Null {
        /// The place's name.
        name: String,
    },
    /// The place asks for decimals and the value is not a number.
    #[error("the value for `{{{name}}}` is not a number")]
    NotANumber {
        /// The place's name.
        name: String,
    },
    /// The value is a list or an object, which has no one way to be written.
    #[error("the value for `{{{name}}}` is a list or an object")]
    NotPlain {
        /// The place's name.
        name: String,
    },
}

impl Template {
    /// Reads a template.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        if text.len() > MAX_BYTES {
            return Err(TemplateError::TooLong { bytes: text.len() });
        }
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut chars = text.chars().enumerate().peekable();
        while let Some((i, c)) = chars.next() {
            let doubled = chars.peek().is_some_and(|(_, next)| *next == c);
            match c {
                '{' | '}' if doubled => {
                    chars.next();
                    literal.push(c);
                }
                '{' => {
                    let mut place = String::new();
                    loop {
                        match chars.next() {
                            Some((_, '}')) => break,
                            Some((_, '{')) | None => {
                                return Err(TemplateError::Unclosed { at: i + 1 });
                            }
                            Some((_, c)) => place.push(c),
                        }
                    }
                    if !literal.is_empty() {
                        pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                    }
                    pieces.push(parse_place(place)?);
                }
                '}' => return Err(TemplateError::Unopened { at: i + 1 }),
                c => literal.push(c),
            }
        }
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        Ok(Self(pieces))
    }

    /// The names of the places, in order, with repeats.
    pub fn places(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Literal(_) => None,
            Piece::Place { name, .. } => Some(name.as_str()),
        })
    }

    /// Fills the places. Strings stand bare, and a float without decimals to show stands without
    /// them: 21.0 is `21`.
    pub fn render(&self, values: &Map<String, Value>) -> Result<String, RenderError> {
        let mut out = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Literal(text) => out.push_str(text),
                Piece::Place { name, decimals } => {
                    let value = values
                        .get(name)
                        .ok_or_else(|| RenderError::Missing { name: name.clone() })?;
                    out.push_str(&show(name, value, *decimals)?);
                }
            }
        }
        Ok(out)
    }
}

fn parse_place(place: String) -> Result<Piece, TemplateError> {
    let (name, format) = match place.split_once(':') {
        Some((name, format)) => (name, Some(format)),
        None => (place.as_str(), None),
    };
    let named = name.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !named {
        return Err(TemplateError::BadName { place });
    }
    let decimals = match format {
        None => None,
        Some(format) => {
            let digits = format.strip_prefix('.').filter(|d| d.bytes().all(|b| b.is_ascii_digit()));
            let decimals = digits.and_then(|d| d.parse().ok()).filter(|n| *n <= MAX_DECIMALS);
            Some(decimals.ok_or_else(|| TemplateError::BadFormat { place: place.clone() })?)
        }
    };
    Ok(Piece::Place { name: name.to_owned(), decimals })
}

fn show(name: &str, value: &Value, decimals: Option<usize>) -> Result<String, RenderError> {
    let name = || name.to_owned();
    match value {
        Value::Null => return Err(RenderError::Null { name: name() }),
        Value::Array(_) | Value::Object(_) => return Err(RenderError::NotPlain { name: name() }),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    let Some(decimals) = decimals else { return Ok(plain(value)) };
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok().filter(|n: &f64| n.is_finite()),
        _ => None,
    };
    let number = number.ok_or_else(|| RenderError::NotANumber { name: name() })?;
    let text = format!("{number:.decimals$}");
    // A small negative number rounds to `-0.0`, which no person writes.
    let is_zero = text.bytes().all(|b| matches!(b, b'-' | b'0' | b'.'));
    Ok(if is_zero { text.trim_start_matches('-').to_owned() } else { text })
}

/// A value as a person writes it: strings bare, floats without a trailing `.0`.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_f64() {
            // Outside this range the digits of a float are mostly zeros, and the exponent is shorter.
            Some(n) if number.is_f64() && n != 0.0 && !(1e-6..1e16).contains(&n.abs()) => {
                format!("{n:e}")
            }
            Some(n) if number.is_f64() => (n + 0.0).to_string(),
            _ => number.to_string(),
        },
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[track_caller]
    fn render(template: &str, values: Value) -> Result<String, RenderError> {
        let values = values.as_object().expect("an object").clone();
        Template::parse(template).expect("a template").render(&values)
    }

    #[test]
    fn places_are_filled_and_doubled_braces_are_braces() {
        let text = render("SET {device} {{{state}}}", json!({"device": "fan", "state": "on"}));
        assert_eq!(text.as_deref(), Ok("SET fan {on}"));
    }

    #[test]
    fn numbers_are_written_as_a_person_writes_them() {
        for (template, value, text) in [
            ("{x}", json!(21.0), "21"),
            ("{x}", json!(-0.0), "0"),
            ("{x}", json!(21.5), "21.5"),
            ("{x}", json!(1e300), "1e300"),
            ("{x}", json!(i64::MAX), "9223372036854775807"),
            ("{x:.1}", json!(21.35), "21.4"),
            ("{x:.1}", json!(21), "21.0"),
            ("{x:.0}", json!(-0.2), "0"),
            ("{x:.2}", json!("3.14159"), "3.14"),
            ("{x}", json!(true), "true"),
        ] {
            assert_eq!(render(template, json!({"x": value})).as_deref(), Ok(text), "{template}");
        }
    }

    #[test]
    fn what_cannot_be_filled_fails_by_name() {
        let name = || "x".to_owned();
        for (template, values, error) in [
            ("{x}", json!({}), RenderError::Missing { name: name() }),
            ("{x}", json!({"x": null}), RenderError::Null { name: name() }),
            ("{x:.1}", json!({"x": "warm"}), RenderError::NotANumber { name: name() }),
            ("{x:.1}", json!({"x": "NaN"}), RenderError::NotANumber { name: name() }),
            ("{x:.1}", json!({"x": true}), RenderError::NotANumber { name: name() }),
            ("{x}", json!({"x": [1]}), RenderError::NotPlain { name: name() }),
        ] {
            assert_eq!(render(template, values), Err(error), "{template}");
        }
    }

    #[test]
    fn a_mistake_is_told_with_its_place() {
        for (text, message) in [
            ("SET {device", "the `{` at character 5 has no `}`; write `{{` for a brace itself"),
            ("a {b {c}", "the `{` at character 3 has no `}`; write `{{` for a brace itself"),
            ("on}", "the `}` at character 3 has no `{`; write `}}` for a brace itself"),
            ("{a:b}", "`{a:b}` is not a place: after the colon stands `.` and 0 to 15"),
            ("{a:.+1}", "`{a:.+1}` is not a place: after the colon stands `.` and 0 to 15"),
            ("{a:.}", "`{a:.}` is not a place: after the colon stands `.` and 0 to 15"),
        ] {
            assert_eq!(Template::parse(text).expect_err(text).to_string(), message);
        }
        for text in ["{}", "{ a}", "{1a}", "{größe}"] {
            assert!(matches!(Template::parse(text), Err(TemplateError::BadName { .. })), "{text}");
        }
    }

    #[test]
    fn the_bounds_hold_at_their_value_and_one_over() {
        assert!(Template::parse(&"a".repeat(MAX_BYTES)).is_ok());
        let error = TemplateError::TooLong { bytes: MAX_BYTES + 1 };
        assert_eq!(Template::parse(&"a".repeat(MAX_BYTES + 1)), Err(error));
        assert!(Template::parse(&format!("{{a:.{MAX_DECIMALS}}}")).is_ok());
        assert!(Template::parse(&format!("{{a:.{}}}", MAX_DECIMALS + 1)).is_err());
    }

    proptest! {
        #[test]
        fn the_parser_takes_any_text_without_a_panic(text in "[{}:.a-z0-9 \\PC]{0,40}") {
            let _ = Template::parse(&text);
        }

        #[test]
        fn escaped_text_comes_back_as_it_was(text in "\\PC{0,40}") {
            let escaped = text.replace('{', "{{").replace('}', "}}");
            let template = Template::parse(&escaped).expect("escaped text is a template");
            prop_assert_eq!(template.places().count(), 0);
            prop_assert_eq!(template.render(&Map::new()), Ok(text));
        }

        #[test]
        fn each_place_is_replaced_by_its_value(
            pieces in prop::collection::vec(("[ -z]{0,8}", "[a-z_][a-z0-9_]{0,6}"), 0..6),
            word in "[ -z]{0,8}",
        ) {
            let mut values = Map::new();
            let (mut text, mut expected) = (String::new(), String::new());
            for (literal, name) in &pieces {
                text.push_str(&format!("{literal}{{{name}}}"));
                expected.push_str(&format!("{literal}{word}"));
                values.insert(name.clone(), Value::String(word.clone()));
            }
            let template = Template::parse(&text).expect("a template");
            let names: Vec<&str> = pieces.iter().map(|(_, name)| name.as_str()).collect();
            prop_assert_eq!(template.places().collect::<Vec<_>>(), names);
            prop_assert_eq!(template.render(&values), Ok(expected));
        }
    }
}
