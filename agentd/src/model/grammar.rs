//! The compact call syntax, as a grammar for the model and as a parser for what it wrote.
//!
//! ```text
//!  answer = "none()" | call ("\n" call)*
//!  call   = name "(" [ key "=" value { ", " key "=" value } ] ")"
//!  value  = bare word | JSON value, with a space behind each comma and colon
//! ```
//!
//! A call without arguments, of a tool that needs some, is an open one: the tool is meant, and a value is not said. It is
//! never made; the person is asked for the value ([`is_open`]).
//!
//! Parameters stand in their declared order, and so do the members of an object; an optional one may be left out. The model's grammar
//! admits only the declared tools, words and ranges; the parser knows no tools and reads the syntax
//! alone, so that what it gives still has to be checked. Bound: a free string has at most its
//! `max_length`, or [`MAX_TEXT_CHARS`], so that no answer is without end.

use std::fmt::Write as _;

use agentd_tools::ToolSpec;
use serde_json::{Map, Value};

pub use super::members::{MAX_TEXT_CHARS, has_value};
use super::members::{Members, Style, literal, needs_values, said};
use crate::command::{Call, is_bare_word};
use crate::ground::Grounds;

/// What the model writes where no tool fits.
pub const NONE: &str = "none()";

/// The grammar of an answer in plain words, for an ask without tools.
pub const FREE_TEXT: &str = "start: TEXT\nTEXT: /(.|\\n)+/\n";
/// Any text, without an end: what would end it no model writes. So an answer has as many tokens as it may have, and is
/// then refused as not complete: a measure of decoding alone.
pub const ENDLESS: &str = "start: TEXT END\nTEXT: /[^\\x01]+/\nEND: /\\x01/\n";

/// The Lark grammar of 1 to `max_calls` calls, one a line, or of `none()`. With `grounds`, numbers, times and
/// verbatim texts are only what stands in the request; a tool that needs one and finds none can only be called openly.
pub fn calls(tools: &[&ToolSpec], max_calls: usize, grounds: Option<&Grounds>) -> String {
    let mut lark = format!("start: {}", literal(NONE));
    if !tools.is_empty() {
        let more = max_calls.saturating_sub(1);
        lark.push_str(" | call");
        if more > 0 {
            // Writing to a String does not fail, here and below.
            let _ = write!(lark, " ({} call){{0,{more}}}", literal("\n"));
        }
        let names: Vec<String> = (0..tools.len()).map(|t| format!("t{t}")).collect();
        let _ = write!(lark, "\ncall: {}", names.join(" | "));
    }
    lark.push('\n');
    for (t, tool) in tools.iter().enumerate() {
        let open = literal(&format!("{}(", tool.name));
        let call =
            Members { params: &tool.params, open: &open, close: &literal(")"), style: Style::Ours };
        call.call(&mut lark, &format!("t{t}"), grounds);
    }
    said(&mut lark, grounds, Style::Ours);
    lark
}

/// Whether a call is an open one: of a tool that needs values, without any.
pub fn is_open<'a>(call: &Call, tools: impl IntoIterator<Item = &'a ToolSpec>) -> bool {
    call.args.is_empty()
        && tools.into_iter().any(|tool| tool.name == call.tool && needs_values(&tool.params))
}

/// How the calls of some tools begin: what tells one from another.
pub fn openings<'a>(tools: impl IntoIterator<Item = &'a ToolSpec>) -> Vec<String> {
    let opening = |tool: &ToolSpec| match tool.params.is_empty() {
        true => format!("{}()", tool.name),
        false => format!("{}(", tool.name),
    };
    tools.into_iter().map(opening).collect()
}

/// How an answer of these calls is written.
pub fn answer(calls: &[Call]) -> String {
    match calls {
        [] => NONE.to_owned(),
        calls => calls.iter().map(Call::to_string).collect::<Vec<_>>().join("\n"),
    }
}

/// Reads an answer back: the calls in order, none of them for [`NONE`]. The error says what is wrong
/// and where.
pub fn parse_calls(text: &str) -> Result<Vec<Call>, String> {
    if text == NONE {
        return Ok(Vec::new());
    }
    let line =
        |(i, line): (usize, &str)| parse_call(line).map_err(|why| format!("line {}: {why}", i + 1));
    // No line break can stand within a call: JSON escapes it.
    text.split('\n').enumerate().map(line).collect()
}

fn parse_call(line: &str) -> Result<Call, String> {
    let (tool, rest) = line.split_once('(').ok_or_else(|| format!("no call in {line:?}"))?;
    if !is_name(tool) {
        return Err(format!("{tool:?} is not a tool's name"));
    }
    let rest = rest.strip_suffix(')').ok_or_else(|| format!("{line:?} does not end with )"))?;
    let mut args = Map::new();
    let mut rest = Some(rest).filter(|rest| !rest.is_empty());
    while let Some(argument) = rest {
        let (key, after) =
            argument.split_once('=').ok_or_else(|| format!("no = in {argument:?}"))?;
        if !is_name(key) {
            return Err(format!("{key:?} is not a parameter's name"));
        }
        let (value, after) = after.split_at(value_length(after));
        if args.insert(key.to_owned(), parse_value(value)?).is_some() {
            return Err(format!("{key} is given twice"));
        }
        rest = match after {
            "" => None,
            more => Some(more.strip_prefix(", ").ok_or_else(|| format!("no \", \" at {more:?}"))?),
        };
    }
    Ok(Call { tool: tool.to_owned(), args })
}

fn parse_value(text: &str) -> Result<Value, String> {
    if is_bare_word(text) {
        return Ok(Value::from(text));
    }
    // serde_json would take spaces around a value.
    if text.trim() != text {
        return Err(format!("a space around {:?}", text.trim()));
    }
    serde_json::from_str(text).map_err(|e| format!("{text:?} is not a value: {e}"))
}

/// How far a value reaches: to a comma outside of strings and brackets, or to the end.
fn value_length(text: &str) -> usize {
    let (mut depth, mut in_string, mut escaped) = (0_u32, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => return at,
            _ => {}
        }
    }
    text.len()
}

fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|c| c.is_alphabetic() || c == '_')
        && chars.all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

#[cfg(test)]
#[path = "grammar_tests.rs"]
mod tests;
