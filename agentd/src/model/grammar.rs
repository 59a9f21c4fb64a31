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
use agentd_tools::spec::{Format, Param, ParamKind};
use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use crate::command::{Call, is_bare_word};
use crate::ground::Grounds;

/// The longest free string where a parameter declares no `max_length`, in characters.
pub const MAX_TEXT_CHARS: usize = 200;

/// What the model writes where no tool fits.
pub const NONE: &str = "none()";

/// A time of day, as the call syntax writes it.
const TIME: &str = r#"/"([01][0-9]|2[0-3]):[0-5][0-9]"/"#;

/// How an object begins; a call begins with its tool's name.
const OBJECT: &str = "{";

/// A run of the request's words, in quotes.
const SAID: &str = r#""\"" SAID "\"""#;

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
        let mut params = tool.params.values();
        let can_be_called = params.all(|param| !param.is_required() || has_value(param, grounds));
        let open = literal(&format!("{}()", tool.name));
        if !can_be_called {
            let _ = writeln!(lark, "t{t}: {open}");
            continue;
        }
        let rule = if needs_values(tool) {
            let _ = writeln!(lark, "t{t}: t{t}_call | {open}");
            format!("t{t}_call")
        } else {
            format!("t{t}")
        };
        let call = Members { params: &tool.params, open: &format!("{}(", tool.name), close: ")" };
        call.rules(&mut lark, &rule, grounds);
    }
    // Its automaton is worth compiling only where something refers to it.
    if let Some(grounds) = grounds.filter(|_| lark.contains(SAID)) {
        let _ = writeln!(lark, "{}", said(grounds));
    }
    lark
}

/// Whether a call of a tool means nothing without arguments.
fn needs_values(tool: &ToolSpec) -> bool {
    tool.params.values().any(Param::is_required)
}

/// Whether a call is an open one: of a tool that needs values, without any.
pub fn is_open<'a>(call: &Call, tools: impl IntoIterator<Item = &'a ToolSpec>) -> bool {
    call.args.is_empty()
        && tools.into_iter().any(|tool| tool.name == call.tool && needs_values(tool))
}

/// How the calls of some tools begin: what tells one from another.
pub fn openings<'a>(tools: impl IntoIterator<Item = &'a ToolSpec>) -> Vec<String> {
    let opening = |tool: &ToolSpec| match tool.params.is_empty() {
        true => format!("{}()", tool.name),
        false => format!("{}(", tool.name),
    };
    tools.into_iter().map(opening).collect()
}

/// The terminal of what the person said: a run of words, as it stands between the quotes of a JSON string.
fn said(grounds: &Grounds) -> String {
    let escaped = |chunk: &String| {
        let json = Value::from(chunk.as_str()).to_string();
        json.strip_prefix('"').and_then(|json| json.strip_suffix('"')).map(str::to_owned)
    };
    let chunks: Vec<String> = grounds.chunks().iter().filter_map(escaped).collect();
    // Neither empty nor with a space at an end.
    format!("SAID: /[^ ]|[^ ].*[^ ]/ & %regex {}", json!({ "substring_chunks": chunks }))
}

/// What is written one after the other with commas between: the arguments of a call, or the members of an
/// object within it.
struct Members<'a> {
    params: &'a IndexMap<String, Param>,
    open: &'a str,
    close: &'a str,
}

impl Members<'_> {
    /// Their rules. For each parameter there are two states, "nothing is written yet" (`first`) and
    /// "something is" (`more`), which differ in the comma; so the commas come out right whichever
    /// optional parameters are left out, and the grammar grows linearly.
    fn rules(&self, lark: &mut String, rule: &str, grounds: Option<&Grounds>) {
        let _ = writeln!(lark, "{rule}: {} {rule}_first0", literal(self.open));
        let is_object = self.open == OBJECT;
        let mut reachable = (true, false);
        for (p, (key, param)) in self.params.iter().enumerate() {
            let next = p + 1;
            let (optional, has_value) = (!param.is_required(), has_value(param, grounds));
            let key = if is_object { format!("{}: ", quoted(key)) } else { format!("{key}=") };
            for (state, comma, reached) in [("first", "", reachable.0), ("more", ", ", reachable.1)]
            {
                if !reached {
                    continue;
                }
                let given = literal(&format!("{comma}{key}"));
                let given = has_value.then(|| format!("{given} {rule}_p{p} {rule}_more{next}"));
                let left_out = optional.then(|| format!("{rule}_{state}{next}"));
                let ways: Vec<String> = given.into_iter().chain(left_out).collect();
                let _ = writeln!(lark, "{rule}_{state}{p}: {}", ways.join(" | "));
            }
            reachable = (reachable.0 && optional, has_value || (reachable.1 && optional));
            if has_value {
                value_rules(lark, &format!("{rule}_p{p}"), param, is_object, grounds);
            }
        }
        let (end, close) = (self.params.len(), literal(self.close));
        if reachable.0 {
            let _ = writeln!(lark, "{rule}_first{end}: {close}");
        }
        if reachable.1 {
            let _ = writeln!(lark, "{rule}_more{end}: {close}");
        }
    }
}

/// Whether the request has something that may be written for a parameter.
pub fn has_value(param: &Param, grounds: Option<&Grounds>) -> bool {
    match param.kind {
        ParamKind::Array => param.items.as_ref().is_some_and(|item| has_value(item, grounds)),
        ParamKind::Object => {
            param.properties.values().all(|m| !m.is_required() || has_value(m, grounds))
        }
        _ => plain_value(param, false, grounds).is_some(),
    }
}

/// The rules of a value that the request has. Within a list or an object words are always quoted.
fn value_rules(
    lark: &mut String,
    rule: &str,
    param: &Param,
    is_nested: bool,
    grounds: Option<&Grounds>,
) {
    match (param.kind, &param.items) {
        (ParamKind::Array, Some(item)) => {
            let more = match param.most_items().saturating_sub(1) {
                0 => String::new(),
                more => format!(" ({} {rule}_i){{0,{more}}}", literal(", ")),
            };
            let _ = writeln!(lark, "{rule}: \"[\" {rule}_i{more} \"]\"");
            value_rules(lark, &format!("{rule}_i"), item, true, grounds);
        }
        (ParamKind::Object, _) => {
            let members = Members { params: &param.properties, open: OBJECT, close: "}" };
            members.rules(lark, rule, grounds);
        }
        _ => {
            let value = plain_value(param, is_nested, grounds).unwrap_or_default();
            let _ = writeln!(lark, "{rule}: {value}");
        }
    }
}

/// What may be written for a parameter that is neither a list nor an object; none where the request has
/// nothing for it.
fn plain_value(param: &Param, is_nested: bool, grounds: Option<&Grounds>) -> Option<String> {
    let written = |text: &str| if is_nested { quoted(text) } else { written(text) };
    if let Some(grounds) = grounds {
        let values = match param.kind {
            ParamKind::Integer | ParamKind::Number => {
                Some(grounds.numbers(param).iter().map(|value| json!(value)).map(plain).collect())
            }
            ParamKind::String if param.format == Some(Format::Time) => {
                Some(grounds.times().iter().map(|time| written(time)).collect::<Vec<_>>())
            }
            ParamKind::String if param.verbatim => {
                return (!grounds.chunks().is_empty()).then(|| SAID.to_owned());
            }
            _ => None,
        };
        if let Some(values) = values {
            return (!values.is_empty()).then(|| alternatives(&values));
        }
    }
    Some(match param.kind {
        ParamKind::Boolean => r#""true" | "false""#.to_owned(),
        ParamKind::Integer => {
            let (min, max) = (param.min.map(f64::ceil), param.max.map(f64::floor));
            let bound = |bound: Option<f64>| {
                #[expect(clippy::cast_possible_truncation, reason = "saturates, and is whole")]
                bound.map(|bound| json!(bound as i64))
            };
            range_rule("integer", bound(min), bound(max))
        }
        ParamKind::Number => {
            range_rule("number", param.min.map(|n| json!(n)), param.max.map(|n| json!(n)))
        }
        ParamKind::Array | ParamKind::Object => return None,
        ParamKind::String => match param.choices.as_deref() {
            Some(choices) if !choices.is_empty() => {
                alternatives(&choices.iter().map(|choice| written(choice)).collect::<Vec<_>>())
            }
            _ if param.format == Some(Format::Time) => TIME.to_owned(),
            _ => {
                let max_length = param.max_length.unwrap_or(MAX_TEXT_CHARS);
                format!("%json {}", json!({ "type": "string", "maxLength": max_length }))
            }
        },
    })
}

fn alternatives(values: &[String]) -> String {
    values.iter().map(|value| literal(value)).collect::<Vec<_>>().join(" | ")
}

/// A number without the `.0` of a whole one.
fn plain(number: Value) -> String {
    let text = number.to_string();
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

fn range_rule(kind: &str, min: Option<Value>, max: Option<Value>) -> String {
    let mut schema = Map::new();
    schema.insert("type".into(), kind.into());
    schema.extend(min.map(|min| ("minimum".to_owned(), min)));
    schema.extend(max.map(|max| ("maximum".to_owned(), max)));
    format!("%json {}", Value::Object(schema))
}

/// A string as the call syntax writes it.
fn written(text: &str) -> String {
    if is_bare_word(text) { text.to_owned() } else { quoted(text) }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// A Lark literal: its escapes are JSON's, but it wants DEL escaped too.
fn literal(text: &str) -> String {
    Value::from(text).to_string().replace('\u{7f}', "\\u007f")
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
