//! The ways in which models were trained to be offered tools and to call them, for models that nobody tuned on ours.
//!
//! ```text
//!  Hermes (Qwen 2.5 and 3)  <tool_call>⏎{"name": "f", "arguments": {"a": 1}}⏎</tool_call>
//!  Llama 3.1 to 3.3         {"name": "f", "parameters": {"a": 1}}
//!  LFM2                     <|tool_call_start|>[f(a=1), g()]<|tool_call_end|>
//!  Phi-4-mini               <|tool_call|>[{"name": "f", "arguments": {"a": 1}}]<|/tool_call|>
//!  FunctionGemma            <start_function_call>call:f{a:1}<end_function_call><start_function_response>
//! ```
//!
//! Which one it is is read off the model's chat template, which renders the tools too ([`template`](super::template)). That
//! no tool fits is a call of a function of its own, [`REFUSAL`]; a tool whose value was not said is called without any, as in
//! ours. What the model wrote becomes the compact syntax at once, so that nothing else of the daemon knows of this.
//!
//! Sources: the models' chat templates; ai.google.dev/gemma/docs/functiongemma.

use std::fmt::Write as _;

use agentd_tools::ToolSpec;
use agentd_tools::schema::json_schema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::members::{ESCAPE, MARK, Members, Style, literal, marked, said};
use super::{native_read, pythonic};
use crate::command::Call;
use crate::ground::Grounds;

/// The function that stands for a refusal; no tool has this name.
pub const REFUSAL: &str = "none";

/// What the model is told before its tools.
pub const RULES: &str = "You control a machine. Answer each request with the call of the one function that does it. If a value \
                         that the function needs was not said, call it without arguments. If no function does it, call the \
                         function none.";

/// A way of calling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Native {
    /// A JSON object between `<tool_call>` and its end.
    Hermes,
    /// A JSON object alone.
    Llama,
    /// Python's calls in a list.
    Lfm,
    /// A list of JSON objects.
    Phi,
    /// Its own syntax.
    FunctionGemma,
}

/// How an answer is put together. Between two [`MARK`]s stands the name of a token; `NAME` is the function's.
pub(super) struct Form {
    /// Before and behind all calls.
    all: [&'static str; 2],
    /// Before and behind the arguments of each.
    each: [&'static str; 2],
    between: &'static str,
    /// The most calls of an answer.
    most: usize,
    style: Style,
}

impl Native {
    /// The way of a model with this chat template; none where it knows of no tools, or of a way that is not one of these.
    pub fn of(template: &str) -> Option<Self> {
        let has = |text: &str| template.contains(text);
        match () {
            () if !has("tools") => None,
            () if has("<start_function_call>") => Some(Self::FunctionGemma),
            () if has("<|tool_call_start|>") || has("<|tool_list_start|>") => Some(Self::Lfm),
            () if has("<|tool|>") => Some(Self::Phi),
            // The coders among Qwen's models, and GLM, write XML there.
            () if has("<tool_call>")
                && has("arguments")
                && !has("<function=")
                && !has("<arg_key>") =>
            {
                Some(Self::Hermes)
            }
            () if has("<|start_header_id|>") && has("\"parameters\"") => Some(Self::Llama),
            () => None,
        }
    }

    fn form(self) -> Form {
        match self {
            Self::Hermes => Form {
                all: ["", ""],
                each: [
                    "\u{1}<tool_call>\u{1}\n{\"name\": \"NAME\", \"arguments\": {",
                    "}}\n\u{1}</tool_call>\u{1}",
                ],
                between: "\n",
                most: usize::MAX,
                style: Style::Json,
            },
            Self::Llama => Form {
                all: ["", ""],
                each: ["{\"name\": \"NAME\", \"parameters\": {", "}}"],
                between: "",
                most: 1,
                style: Style::Json,
            },
            Self::Lfm => Form {
                all: ["\u{1}<|tool_call_start|>\u{1}[", "]\u{1}<|tool_call_end|>\u{1}"],
                each: ["NAME(", ")"],
                between: ", ",
                most: usize::MAX,
                style: Style::Python,
            },
            Self::Phi => Form {
                all: ["\u{1}<|tool_call|>\u{1}[", "]\u{1}<|/tool_call|>\u{1}"],
                each: ["{\"name\": \"NAME\", \"arguments\": {", "}}"],
                between: ", ",
                most: usize::MAX,
                style: Style::Json,
            },
            // The last token ends a turn of calls; llama.cpp does not take it for an end.
            Self::FunctionGemma => Form {
                all: ["", "\u{1}<start_function_response>\u{1}"],
                each: [
                    "\u{1}<start_function_call>\u{1}call:NAME{",
                    "}\u{1}<end_function_call>\u{1}",
                ],
                between: "",
                most: usize::MAX,
                style: Style::Escaped,
            },
        }
    }

    /// The Lark grammar of 1 to `max_calls` calls of these tools, or of a refusal. With `grounds`, numbers, times and verbatim
    /// texts are only what stands in the request; a tool that needs one and finds none can only be called openly.
    pub fn calls(self, tools: &[ToolSpec], max_calls: usize, grounds: Option<&Grounds>) -> String {
        let form = self.form();
        let [before, behind] = form.all.map(rule);
        let names: Vec<String> = (0..tools.len()).map(|t| format!("t{t}")).collect();
        let mut lark = format!("start: {before} answer {behind}\nanswer: refusal");
        if !tools.is_empty() {
            let more = max_calls.min(form.most).saturating_sub(1);
            // Writing to a String does not fail, here and below.
            let _ = write!(lark, " | call");
            if more > 0 {
                let _ = write!(lark, " ({} call){{0,{more}}}", rule(form.between));
            }
            let _ = write!(lark, "\ncall: {}", names.join(" | "));
        }
        let of = |name: &str| form.each.map(|part| rule(&part.replace("NAME", name)));
        let [open, close] = of(REFUSAL);
        let _ = writeln!(lark, "\nrefusal: {open} {close}");
        for (tool, name) in tools.iter().zip(&names) {
            let [open, close] = &of(&tool.name);
            let call = Members { params: &tool.params, open, close, style: form.style };
            call.call(&mut lark, name, grounds);
        }
        said(&mut lark, grounds, form.style);
        lark
    }

    /// An answer of these calls.
    pub fn written(self, calls: &[Call]) -> String {
        self.marked(calls).replace(MARK, "")
    }

    /// The same with the [`MARK`]s, as it stands in a conversation: a person's words within it spell no token.
    pub(super) fn marked(self, calls: &[Call]) -> String {
        let form = self.form();
        let none = [Call { tool: REFUSAL.into(), args: Default::default() }];
        let calls = if calls.is_empty() { &none } else { calls };
        let one = |call: &Call| {
            let [open, close] = form.each.map(|part| part.replace("NAME", &call.tool));
            let args = call.args.iter().map(|(key, value)| argument(form.style, key, value));
            format!("{open}{}{close}", args.collect::<Vec<_>>().join(form.style.comma()))
        };
        let calls = calls.iter().take(form.most).map(one).collect::<Vec<_>>().join(form.between);
        let [before, behind] = form.all;
        format!("{before}{calls}{behind}")
    }

    /// The calls of an answer, none of them for a refusal. Spaces, missing markers and words around the calls do no harm.
    /// The error says what cannot be read.
    pub fn read(self, text: &str) -> Result<Vec<Call>, String> {
        let calls = match self.form().style {
            Style::Json => native_read::objects(text),
            Style::Python => pythonic::calls(text),
            Style::Escaped | Style::Ours => pythonic::escaped(text),
        }?;
        match calls.as_slice() {
            [] => Err(format!("no call in {text:?}")),
            [refusal] if refusal.tool == REFUSAL => Ok(Vec::new()),
            _ => Ok(calls),
        }
    }
}

/// The tools and the refusal, as templates take them.
pub fn declared(tools: &[ToolSpec]) -> Value {
    let refusal = json!({
        "type": "function",
        "function": {
            "name": REFUSAL,
            "description": "no other function does what is asked",
            "parameters": {"type": "object", "properties": {}, "required": []},
        },
    });
    let one = |tool: &ToolSpec| {
        json!({
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description,
                "parameters": json_schema(tool),
            },
        })
    };
    tools.iter().map(one).chain([refusal]).collect()
}

/// A text with marked tokens as a rule of Lark.
fn rule(text: &str) -> String {
    let parts = text.split(MARK).enumerate().filter(|(_, part)| !part.is_empty());
    let parts = parts.map(|(i, part)| if i % 2 == 1 { marked(part) } else { literal(part) });
    parts.collect::<Vec<_>>().join(" ")
}

fn argument(style: Style, key: &str, value: &Value) -> String {
    match style {
        Style::Json => format!("{}: {}", json!(key), put(value, ["true", "false"])),
        Style::Escaped => format!("{key}:{}", escaped(value)),
        Style::Python | Style::Ours => format!("{key}={}", put(value, ["True", "False"])),
    }
}

fn escaped(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{0}{1}{0}", marked(ESCAPE), text.replace(MARK, " ")),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(escaped).collect::<Vec<_>>().join(","))
        }
        Value::Object(members) => {
            let members = members.iter().map(|(key, value)| format!("{key}:{}", escaped(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
        other => other.to_string(),
    }
}

/// A value with a space behind each comma and colon, and truth in these words.
fn put(value: &Value, truth: [&str; 2]) -> String {
    let all = |parts: Vec<String>| parts.join(", ");
    match value {
        Value::Bool(is) => truth[usize::from(!is)].to_owned(),
        Value::Array(items) => {
            format!("[{}]", all(items.iter().map(|item| put(item, truth)).collect()))
        }
        Value::Object(members) => {
            let members = members.iter();
            let members =
                members.map(|(key, value)| format!("{}: {}", json!(key), put(value, truth)));
            format!("{{{}}}", all(members.collect()))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
#[path = "native_tests.rs"]
mod tests;
