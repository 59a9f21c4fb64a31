//! The prompt: what never changes first, so that its KV state is computed once and kept.
//!
//! Bound: at most [`MAX_EXAMPLES`] examples, two of a tool at first, so that no tool crowds out another.
//! Whether it all fits the context is checked by the worker, which refuses and never truncates.

use agentd_tools::spec::{Format, Param, ParamKind, ToolSpec};
use indexmap::IndexMap;

use crate::command::Call;
use crate::model::Message;

/// The most examples that a prompt shows.
pub const MAX_EXAMPLES: usize = 16;

const RULES: &str = "You control a machine. Answer each request with the one call that does it, with \
                     its name and () if a value is missing, or with none() if no tool fits.\nTools:\n";

/// The static part: rules, tools, examples.
pub fn preamble(tools: &[ToolSpec]) -> Vec<Message> {
    let mut system = RULES.to_owned();
    for tool in tools {
        system.push_str(&declaration(tool));
    }
    let mut messages = vec![message("system", system.trim_end().to_owned())];
    for (say, call) in examples(tools) {
        messages.extend(exchange(&say, &call));
    }
    messages
}

/// A whole prompt: the static part, then the request.
pub fn messages(preamble: &[Message], request: &str) -> Vec<Message> {
    let mut messages = preamble.to_vec();
    messages.push(message("user", request.trim().to_owned()));
    messages
}

/// A request that came before, and its answer.
pub fn exchange(say: &str, answer: &str) -> [Message; 2] {
    [message("user", say.trim().to_owned()), message("assistant", answer.to_owned())]
}

fn message(role: &str, content: String) -> Message {
    Message { role: role.into(), content }
}

/// One line: `- name(param: type, may_be_left_out?: type (what it means)): description`.
fn declaration(tool: &ToolSpec) -> String {
    format!("- {}({}): {}\n", tool.name, members(&tool.params), tool.description)
}

/// Parameters, or the members of an object, each with what its declaration says of it.
fn members(params: &IndexMap<String, Param>) -> String {
    let member = |(name, param): (&String, &Param)| {
        let mark = if param.is_required() { "" } else { "?" };
        let meaning = match one_line(param.description.as_deref().unwrap_or_default()) {
            text if text.is_empty() => text,
            text => format!(" ({text})"),
        };
        format!("{name}{mark}: {}{meaning}", kind(param))
    };
    params.iter().map(member).collect::<Vec<_>>().join(", ")
}

/// A description without line breaks, which would look like another tool, and without a full stop.
fn one_line(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    let text = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    text.trim_end_matches([' ', '.']).to_owned()
}

fn kind(param: &Param) -> String {
    if let Some(choices) = &param.choices {
        return choices.join("|");
    }
    // Lists and objects look like their values.
    match (param.kind, &param.items) {
        (ParamKind::Array, Some(items)) => return format!("[{}]", kind(items)),
        (ParamKind::Object, _) => return format!("{{{}}}", members(&param.properties)),
        _ => {}
    }
    let name = match param.kind {
        ParamKind::String if param.format == Some(Format::Time) => "time",
        ParamKind::String => "text",
        ParamKind::Integer => "int",
        ParamKind::Number => "number",
        ParamKind::Boolean => "true|false",
        ParamKind::Array | ParamKind::Object => "list",
    };
    let unit = param.unit.map_or_else(String::new, |unit| format!(" {}", unit.name()));
    match (param.min, param.max) {
        (Some(min), Some(max)) => format!("{name} {min}..{max}{unit}"),
        _ => format!("{name}{unit}"),
    }
}

/// Examples by turns: the first of each tool, then the second of each, and so on; one refusal last.
fn examples(tools: &[ToolSpec]) -> Vec<(String, String)> {
    let longest = tools.iter().map(|tool| tool.examples.len()).max().unwrap_or(0);
    let mut shown = Vec::new();
    for turn in 0..longest {
        for tool in tools {
            if let Some(example) = tool.examples.get(turn) {
                let call = Call { tool: tool.name.clone(), args: example.call.clone() };
                shown.push((example.say.clone(), call.to_string()));
            }
        }
    }
    shown.truncate(MAX_EXAMPLES - 1);
    shown.push(("tell me a joke".into(), "none()".into()));
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tool(name: &str, examples: usize) -> ToolSpec {
        let examples: Vec<_> = (0..examples)
            .map(|n| json!({"say": format!("{name} {n}"), "call": {"n": n}}))
            .collect();
        serde_json::from_value(json!({
            "name": name, "description": "does it", "kind": "note", "examples": examples,
            "params": {"n": {"type": "integer", "min": 0, "max": 9}, "to": {"enum": ["a", "b"]}},
        }))
        .expect("a tool")
    }

    #[test]
    fn the_static_part_is_a_prefix_of_every_prompt() {
        let preamble = preamble(&[tool("one", 1)]);
        let prompt = messages(&preamble, " go \n");
        assert_eq!(prompt[..preamble.len()], preamble[..]);
        assert_eq!(prompt.last().map(|m| m.content.as_str()), Some("go"));
        assert!(preamble[0].content.ends_with("- one(n: int 0..9, to: a|b): does it"));
    }

    #[test]
    fn lists_and_objects_are_shown_as_their_values_are_written() {
        let tool: ToolSpec = serde_json::from_value(json!({
            "name": "scene", "description": "sets it", "kind": "publish", "params": {
                "rooms": {"type": "array", "items": {"enum": ["hall", "attic"]}},
                "light": {"type": "object", "properties": {
                    "level": {"type": "integer", "min": 0, "max": 9},
                    "names": {"type": "array", "items": {}},
                }},
            },
        }))
        .expect("a tool");
        let line =
            "- scene(rooms: [hall|attic], light: {level: int 0..9, names: [text]}): sets it\n";
        assert_eq!(declaration(&tool), line);
    }

    #[test]
    fn what_a_parameter_means_and_whether_it_may_be_left_out_is_shown() {
        let tool: ToolSpec = serde_json::from_value(json!({
            "name": "stay", "description": "books it", "kind": "publish", "params": {
                "town": {"description": "Where to look. "},
                "nights": {"type": "integer", "min": 1, "max": 9, "default": 1, "description": "how\n\u{0}long ."},
                "filter": {"type": "object", "optional": true, "properties": {
                    "stars": {"type": "integer", "optional": true, "description": "at least"},
                }},
                "note": {"description": " "},
            },
        }))
        .expect("a tool");
        let line = "- stay(town: text (Where to look), nights?: int 1..9 (how long), \
                    filter?: {stars?: int (at least)}, note: text): books it\n";
        assert_eq!(declaration(&tool), line);
    }

    #[test]
    fn the_examples_take_turns_and_are_bounded() {
        let shown = examples(&[tool("one", 20), tool("two", 1)]);
        assert_eq!(shown.len(), MAX_EXAMPLES);
        assert_eq!(shown[1], ("two 0".into(), "two(n=0)".into()));
        assert_eq!(shown.last().map(|(_, call)| call.as_str()), Some("none()"));
    }
}
