//! Reads calls that look like a programming language's: `f(a=1, b="x")`, and FunctionGemma's `call:f{a:1,b:<escape>x<escape>}`.

use serde_json::{Map, Value};

use super::members::ESCAPE;
use crate::command::Call;

/// The calls of a text in Python's syntax, in order.
pub(super) fn calls(text: &str) -> Result<Vec<Call>, String> {
    read(text, "", ['(', ')'], '=')
}

/// The calls of a text in FunctionGemma's syntax, in order.
pub(super) fn escaped(text: &str) -> Result<Vec<Call>, String> {
    read(text, "call:", ['{', '}'], ':')
}

/// Calls whose name stands behind `before` and directly before the first bracket.
fn read(
    text: &str,
    before: &str,
    [open, close]: [char; 2],
    assigns: char,
) -> Result<Vec<Call>, String> {
    let (mut found, mut rest) = (Vec::new(), text);
    while let Some(at) = rest.find(open) {
        let (head, tail) = rest.split_at(at);
        let name_at = head
            .rfind(|c: char| !is_of_name(c))
            .map_or(0, |i| i + head[i..].chars().next().map_or(0, char::len_utf8));
        let name = &head[name_at..];
        rest = &tail[open.len_utf8()..];
        if name.is_empty() || !head[..name_at].ends_with(before) {
            continue;
        }
        let mut reader = Reader { text: rest };
        let args = reader.members(close, assigns)?;
        rest = reader.text;
        found.push(Call { tool: name.to_owned(), args });
    }
    Ok(found)
}

fn is_of_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.')
}

/// What is not read yet.
struct Reader<'t> {
    text: &'t str,
}

impl<'t> Reader<'t> {
    /// `key=value, key=value)` up to and with the bracket.
    fn members(&mut self, close: char, assigns: char) -> Result<Map<String, Value>, String> {
        let mut members = Map::new();
        loop {
            self.skip_space();
            if self.eat(close) {
                return Ok(members);
            }
            let key = match self.text.strip_prefix('"') {
                Some(_) => self.value()?.as_str().unwrap_or_default().to_owned(),
                None => self.word().to_owned(),
            };
            self.skip_space();
            if key.is_empty() || !self.eat(assigns) {
                return Err(format!("no {assigns} and value at {:?}", self.text));
            }
            self.skip_space();
            let value = self.value()?;
            if members.insert(key.clone(), value).is_some() {
                return Err(format!("{key} is given twice"));
            }
            self.skip_space();
            if !self.eat(',') && !self.text.starts_with(close) {
                return Err(format!("no comma and no {close} at {:?}", self.text));
            }
        }
    }

    fn value(&mut self) -> Result<Value, String> {
        if let Some(rest) = self.text.strip_prefix(ESCAPE) {
            let (text, rest) =
                rest.split_once(ESCAPE).ok_or_else(|| format!("no end of {:?}", self.text))?;
            self.text = rest;
            return Ok(text.into());
        }
        if let Some(quote) = self.text.chars().next().filter(|c| matches!(c, '"' | '\'')) {
            return self.quoted(quote);
        }
        if self.eat('[') {
            let mut items = Vec::new();
            loop {
                self.skip_space();
                if self.eat(']') {
                    return Ok(Value::Array(items));
                }
                items.push(self.value()?);
                self.skip_space();
                if !self.eat(',') && !self.text.starts_with(']') {
                    return Err(format!("no comma and no ] at {:?}", self.text));
                }
            }
        }
        if self.eat('{') {
            // Objects of Python are written as JSON's.
            return Ok(Value::Object(self.members('}', ':')?));
        }
        let word = self.word();
        Ok(match word {
            "" => return Err(format!("no value at {:?}", self.text)),
            "True" | "true" => true.into(),
            "False" | "false" => false.into(),
            "None" | "null" => Value::Null,
            number => serde_json::from_str(number).unwrap_or_else(|_| number.into()),
        })
    }

    /// A text in quotes, with JSON's escapes.
    fn quoted(&mut self, quote: char) -> Result<Value, String> {
        let (mut escaped, begun) = (false, self.text);
        for (at, c) in begun.char_indices().skip(1) {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                _ if c == quote => {
                    let inner = &begun[1..at];
                    self.text = &begun[at + 1..];
                    let json = match quote {
                        '"' => format!("\"{inner}\""),
                        _ => format!("\"{}\"", inner.replace("\\'", "'").replace('"', "\\\"")),
                    };
                    return serde_json::from_str(&json)
                        .map_err(|error| format!("{inner:?} cannot be read: {error}"));
                }
                _ => {}
            }
        }
        Err(format!("no end of {begun:?}"))
    }

    fn word(&mut self) -> &'t str {
        let ends = |c: char| !is_of_name(c) && c != '+';
        let (word, rest) = self.text.split_at(self.text.find(ends).unwrap_or(self.text.len()));
        self.text = rest;
        word
    }

    fn eat(&mut self, c: char) -> bool {
        let rest = self.text.strip_prefix(c);
        self.text = rest.unwrap_or(self.text);
        rest.is_some()
    }

    fn skip_space(&mut self) {
        self.text = self.text.trim_start();
    }
}
