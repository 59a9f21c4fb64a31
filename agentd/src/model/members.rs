//! The grammar of values: the arguments of a call, and the members of an object within it.
//!
//! ```text
//!             ours              JSON              Python            FunctionGemma
//!  argument   key=value         "key": value      key=value         key:value
//!  word       bare or "quoted"  "quoted"          "quoted"          <escape>word<escape>
//!  truth      true              true              True, within too   true
//! ```
//!
//! With grounds, numbers, times and verbatim texts are only what stands in the request. Bound: a free string has at most its
//! `max_length`, or [`MAX_TEXT_CHARS`], so that no answer is without end.

use std::fmt::Write as _;

use agentd_tools::spec::{Format, Param, ParamKind};
use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use crate::command::is_bare_word;
use crate::ground::Grounds;

/// The longest free string where a parameter declares no `max_length`, in characters.
pub const MAX_TEXT_CHARS: usize = 200;
/// A time of day.
const TIME: &str = "([01][0-9]|2[0-3]):[0-5][0-9]";
/// Stands before and behind the name of a token that may be a control token of the model's, and else is plain text
/// (`constrain` knows). No text of a grammar holds it: JSON would escape it.
pub(super) const MARK: char = '\u{1}';
/// Stands before and behind a text that FunctionGemma writes.
pub(super) const ESCAPE: &str = "<escape>";

/// How keys, words and truth are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// The compact call syntax; within lists and objects it is JSON.
    Ours,
    /// JSON.
    Json,
    /// Python's arguments by name; lists and objects within them are JSON but for truth.
    Python,
    /// FunctionGemma's.
    Escaped,
}

impl Style {
    fn key(self, key: &str, is_nested: bool) -> String {
        match self {
            Self::Json => format!("{}: ", quoted(key)),
            Self::Ours | Self::Python if is_nested => format!("{}: ", quoted(key)),
            Self::Ours | Self::Python => format!("{key}="),
            Self::Escaped => format!("{key}:"),
        }
    }

    pub(super) fn comma(self) -> &'static str {
        if self == Self::Escaped { "," } else { ", " }
    }

    /// A text as a rule.
    fn word(self, text: &str, is_nested: bool) -> String {
        match self {
            Self::Ours if !is_nested => literal(&written(text)),
            Self::Ours | Self::Json | Self::Python => literal(&quoted(text)),
            Self::Escaped => format!("{0} {1} {0}", marked(ESCAPE), literal(text)),
        }
    }

    /// What a regular expression matches, as a text.
    fn matching(self, regex: &str) -> String {
        match self {
            Self::Escaped => format!("{0} /{regex}/ {0}", marked(ESCAPE)),
            Self::Ours | Self::Json | Self::Python => format!("/\"{regex}\"/"),
        }
    }

    /// A run of the request's words.
    fn said(self) -> String {
        match self {
            Self::Escaped => format!("{0} {SAID} {0}", marked(ESCAPE)),
            Self::Ours | Self::Json | Self::Python => format!(r#""\"" {SAID} "\"""#),
        }
    }

    /// Any text of up to so many characters.
    fn free(self, most: usize) -> String {
        match self {
            Self::Escaped => format!("{0} {ESCAPED_FREE}{most}}}/ {0}", marked(ESCAPE)),
            Self::Ours | Self::Json | Self::Python => format!(r#"{FREE}{most},"type":"string"}}"#),
        }
    }

    fn truth(self) -> &'static str {
        if self == Self::Python { r#""True" | "False""# } else { r#""true" | "false""# }
    }
}

/// Whether a grammar of calls has a [free](Style::free) text.
pub(super) fn has_free_text(lark: &str) -> bool {
    lark.contains(FREE) || lark.contains(ESCAPED_FREE)
}

/// What begins the rule of a free text, and of one in which nothing is escaped.
const FREE: &str = r#"%json {"maxLength":"#;
const ESCAPED_FREE: &str = "/[^<]{0,";

/// The name of the terminal of the request's words.
const SAID: &str = "SAID";

/// A reference to a token by its name.
pub(super) fn marked(name: &str) -> String {
    format!("{MARK}{name}{MARK}")
}

/// Appends the terminal of what the person said, where something refers to it: a run of words, as it stands between
/// the quotes of a JSON string, or as it is where nothing is escaped, and then without what could spell an end of it. Its
/// automaton is worth compiling only then.
pub(super) fn said(lark: &mut String, grounds: Option<&Grounds>, style: Style) {
    let Some(grounds) = grounds.filter(|_| lark.contains(&format!(" {SAID} "))) else { return };
    let escaped = |chunk: &String| {
        let json = Value::from(chunk.as_str()).to_string();
        json.strip_prefix('"').and_then(|json| json.strip_suffix('"')).map(str::to_owned)
    };
    // Neither empty nor with a space at an end.
    let (chunks, text) = match style {
        Style::Escaped => (grounds.chunks().to_vec(), "[^ <]|[^ <][^<]*[^ <]"),
        _ => (grounds.chunks().iter().filter_map(escaped).collect(), "[^ ]|[^ ].*[^ ]"),
    };
    let chunks = json!({ "substring_chunks": chunks });
    let _ = writeln!(lark, "{SAID}: /{text}/ & %regex {chunks}");
}

/// What is written one after the other with commas between: the arguments of a call, or the members of an
/// object within it.
pub(super) struct Members<'a> {
    pub(super) params: &'a IndexMap<String, Param>,
    /// The rule of what stands before them.
    pub(super) open: &'a str,
    /// The rule of what stands behind them.
    pub(super) close: &'a str,
    pub(super) style: Style,
}

impl Members<'_> {
    /// The rule of a tool's call. A tool that needs values may be called without any too, openly, and only so where the
    /// request does not have them.
    pub(super) fn call(&self, lark: &mut String, rule: &str, grounds: Option<&Grounds>) {
        let Self { params, open, close, .. } = *self;
        if !needs_values(params) {
            self.rules(lark, rule, grounds);
            return;
        }
        let can_be_called = params.values().all(|p| !p.is_required() || has_value(p, grounds));
        // Writing to a String does not fail, here and below.
        let _ = if can_be_called {
            self.rules(lark, &format!("{rule}_call"), grounds);
            writeln!(lark, "{rule}: {rule}_call | {open} {close}")
        } else {
            writeln!(lark, "{rule}: {open} {close}")
        };
    }

    /// Their rules. For each parameter there are two states, "nothing is written yet" (`first`) and
    /// "something is" (`more`), which differ in the comma; so the commas come out right whichever
    /// optional parameters are left out, and the grammar grows linearly.
    fn rules(&self, lark: &mut String, rule: &str, grounds: Option<&Grounds>) {
        self.rules_at(lark, rule, grounds, self.style == Style::Json);
    }

    fn rules_at(&self, lark: &mut String, rule: &str, grounds: Option<&Grounds>, is_nested: bool) {
        let Self { params, open, close, style } = *self;
        let _ = writeln!(lark, "{rule}: {open} {rule}_first0");
        let mut reachable = (true, false);
        for (p, (key, param)) in params.iter().enumerate() {
            let next = p + 1;
            let (optional, has_value) = (!param.is_required(), has_value(param, grounds));
            let key = style.key(key, is_nested);
            let states = [("first", "", reachable.0), ("more", style.comma(), reachable.1)];
            for (state, comma, reached) in states {
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
                value_rules(lark, &format!("{rule}_p{p}"), param, (style, is_nested), grounds);
            }
        }
        let end = params.len();
        if reachable.0 {
            let _ = writeln!(lark, "{rule}_first{end}: {close}");
        }
        if reachable.1 {
            let _ = writeln!(lark, "{rule}_more{end}: {close}");
        }
    }
}

/// Whether a call with these parameters means nothing without arguments.
pub(super) fn needs_values(params: &IndexMap<String, Param>) -> bool {
    params.values().any(Param::is_required)
}

/// Whether the request has something that may be written for a parameter.
pub fn has_value(param: &Param, grounds: Option<&Grounds>) -> bool {
    match param.kind {
        ParamKind::Array => param.items.as_ref().is_some_and(|item| has_value(item, grounds)),
        ParamKind::Object => {
            param.properties.values().all(|m| !m.is_required() || has_value(m, grounds))
        }
        _ => plain_value(param, (Style::Ours, false), grounds).is_some(),
    }
}

/// The rules of a value that the request has. Within a list or an object words are always quoted.
fn value_rules(
    lark: &mut String,
    rule: &str,
    param: &Param,
    (style, is_nested): (Style, bool),
    grounds: Option<&Grounds>,
) {
    match (param.kind, &param.items) {
        (ParamKind::Array, Some(item)) => {
            let more = match param.most_items().saturating_sub(1) {
                0 => String::new(),
                more => format!(" ({} {rule}_i){{0,{more}}}", literal(style.comma())),
            };
            let _ = writeln!(lark, "{rule}: \"[\" {rule}_i{more} \"]\"");
            value_rules(lark, &format!("{rule}_i"), item, (style, true), grounds);
        }
        (ParamKind::Object, _) => {
            let (open, close) = (literal("{"), literal("}"));
            let members = Members { params: &param.properties, open: &open, close: &close, style };
            members.rules_at(lark, rule, grounds, true);
        }
        _ => {
            let value = plain_value(param, (style, is_nested), grounds).unwrap_or_default();
            let _ = writeln!(lark, "{rule}: {value}");
        }
    }
}

/// What may be written for a parameter that is neither a list nor an object; none where the request has
/// nothing for it.
fn plain_value(
    param: &Param,
    (style, is_nested): (Style, bool),
    grounds: Option<&Grounds>,
) -> Option<String> {
    let word = |text: &str| style.word(text, is_nested);
    if let Some(grounds) = grounds {
        let values = match param.kind {
            ParamKind::Integer | ParamKind::Number => {
                let numbers = grounds.numbers(param);
                Some(numbers.iter().map(|value| literal(&plain(json!(value)))).collect())
            }
            ParamKind::String if param.format == Some(Format::Time) => {
                Some(grounds.times().iter().map(|time| word(time)).collect::<Vec<_>>())
            }
            ParamKind::String if param.verbatim => {
                return (!grounds.chunks().is_empty()).then(|| style.said());
            }
            _ => None,
        };
        if let Some(values) = values {
            return (!values.is_empty()).then(|| values.join(" | "));
        }
    }
    Some(match param.kind {
        ParamKind::Boolean => style.truth().to_owned(),
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
                choices.iter().map(|choice| word(choice)).collect::<Vec<_>>().join(" | ")
            }
            _ if param.format == Some(Format::Time) => style.matching(TIME),
            _ => style.free(param.max_length.unwrap_or(MAX_TEXT_CHARS)),
        },
    })
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
pub(super) fn written(text: &str) -> String {
    if is_bare_word(text) { text.to_owned() } else { quoted(text) }
}

pub(super) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// A Lark literal: its escapes are JSON's, but it wants DEL escaped too.
pub(super) fn literal(text: &str) -> String {
    Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}
