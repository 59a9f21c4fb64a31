//! Sentences that are known without a model.
//!
//! `(turn|switch) [the] {device} {state}` becomes one regular expression, matched against the whole of
//! what was said: `(a|b)` is a choice, `[a]` may be left out, `{name}` stands for a parameter's value.
//! An example of a tool is a sentence too. Where sentences mean different calls, the one with more
//! fixed letters wins; where none has more, nobody knows what was meant and the model is asked.
//!
//! Bounds: a sentence has at most [`pattern::MAX_CHARS`]; what is said is matched in time linear in its
//! length, because the `regex` crate does not backtrack.

use std::fmt::Write as _;

use agentd_tools::spec::{Param, ParamKind, ToolSpec};
use regex::Regex;
use serde_json::{Map, Value};

use super::pattern::{self, Part};
use crate::command::Call;

/// All known sentences.
#[derive(Debug, Default)]
pub struct Reflex {
    sentences: Vec<Sentence>,
    examples: Vec<(String, Call)>,
}

#[derive(Debug)]
struct Sentence {
    tool: String,
    regex: Regex,
    /// How many fixed letters it has: the more, the more certain a match is.
    letters: usize,
    slots: Vec<(String, Param)>,
}

/// Why a sentence cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("tool `{tool}`: the sentence `{sentence}` {problem}")]
pub struct SentenceError {
    /// The tool's name.
    pub tool: String,
    /// The sentence as written.
    pub sentence: String,
    /// What is wrong with it.
    pub problem: String,
}

impl Reflex {
    /// Compiles the sentences and examples of all tools.
    pub fn new(tools: &[ToolSpec]) -> Result<Self, Vec<SentenceError>> {
        let (mut reflex, mut errors) = (Self::default(), Vec::new());
        for tool in tools {
            for text in &tool.sentences {
                match compile(tool, text) {
                    Ok(sentence) => reflex.sentences.push(sentence),
                    Err(problem) => errors.push(SentenceError {
                        tool: tool.name.clone(),
                        sentence: text.clone(),
                        problem,
                    }),
                }
            }
            for example in &tool.examples {
                let call = Call { tool: tool.name.clone(), args: example.call.clone() };
                reflex.examples.push((normalise(&example.say), call));
            }
        }
        if errors.is_empty() { Ok(reflex) } else { Err(errors) }
    }

    /// The call that the words mean, if it is known for certain. Its arguments are not yet checked.
    pub fn find(&self, text: &str) -> Option<Call> {
        let said = normalise(text);
        if let Some((_, call)) = self.examples.iter().find(|(example, _)| *example == said) {
            return Some(call.clone());
        }
        let said = format!(" {said}");
        let mut best: Option<(usize, Call)> = None;
        let mut tied = false;
        for sentence in &self.sentences {
            let Some(call) = sentence.read(&said) else { continue };
            match &best {
                Some((letters, known)) if *letters == sentence.letters => {
                    tied |= *known != call;
                }
                Some((letters, _)) if *letters > sentence.letters => {}
                _ => {
                    best = Some((sentence.letters, call));
                    tied = false;
                }
            }
        }
        best.filter(|_| !tied).map(|(_, call)| call)
    }
}

impl Sentence {
    fn read(&self, said: &str) -> Option<Call> {
        let captures = self.regex.captures(said)?;
        let mut args = Map::new();
        for (index, (name, param)) in self.slots.iter().enumerate() {
            let group = captures.name(&format!("s{index}"));
            // A slot inside an optional part may be missing; its default is filled in later.
            if let Some(heard) = group {
                args.insert(name.clone(), value(param, heard.as_str()));
            }
        }
        Some(Call { tool: self.tool.clone(), args })
    }
}

/// The value that was heard, in the parameter's type where it is one.
fn value(param: &Param, heard: &str) -> Value {
    match param.kind {
        ParamKind::Boolean => match heard {
            "true" | "yes" | "on" => Value::Bool(true),
            _ => Value::Bool(false),
        },
        // No slot takes these; what was heard would be refused as it is.
        ParamKind::Array | ParamKind::Object => Value::String(heard.to_owned()),
        ParamKind::Integer | ParamKind::Number => {
            serde_json::from_str(heard).unwrap_or_else(|_| Value::String(heard.to_owned()))
        }
        ParamKind::String => {
            // The very word goes before one that only sounds like it.
            let choices = || param.choices.iter().flatten();
            let declared = choices().find(|choice| lower(choice) == heard);
            let declared = declared.or_else(|| choices().find(|choice| spoken(choice) == heard));
            Value::String(declared.cloned().unwrap_or_else(|| heard.to_owned()))
        }
    }
}

/// What was said as sentences are matched with it: lower case, single spaces, no punctuation at the end.
pub fn normalise(text: &str) -> String {
    let words: Vec<&str> = pattern::without_end_marks(text).split_whitespace().collect();
    lower(&words.join(" "))
}

/// Lower case, character by character, so that a sentence and what is said agree wherever a word ends:
/// the lower case of a whole text knows two of the Greek sigma.
fn lower(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).map(|c| if c == 'ς' { 'σ' } else { c }).collect()
}

/// A declared word as people say it. A sign before a number is not a space: -5 is not 5.
pub fn spoken(choice: &str) -> String {
    let signed = choice.starts_with('-') && choice[1..].starts_with(|c: char| c.is_ascii_digit());
    let (sign, word) = choice.split_at(usize::from(signed));
    let words: Vec<&str> = word.split(['_', '-', ' ']).filter(|word| !word.is_empty()).collect();
    lower(&format!("{sign}{}", words.join(" ")))
}

fn compile(tool: &ToolSpec, text: &str) -> Result<Sentence, String> {
    let parts = pattern::parse(text)?;
    let mut compiler = Compiler { tool, letters: 0, slots: Vec::new() };
    let mut regex = String::from("^");
    compiler.sequence(&parts, &mut regex)?;
    regex.push('$');
    for (name, param) in &tool.params {
        if param.is_required() && !compiler.slots.iter().any(|(slot, _)| slot == name) {
            return Err(format!("does not say `{{{name}}}`, which has no default"));
        }
    }
    let regex = Regex::new(&regex).map_err(|e| format!("is too complex: {e}"))?;
    Ok(Sentence {
        tool: tool.name.clone(),
        regex,
        letters: compiler.letters,
        slots: compiler.slots,
    })
}

/// Writes the regular expression of a pattern.
struct Compiler<'a> {
    tool: &'a ToolSpec,
    letters: usize,
    slots: Vec<(String, Param)>,
}

impl Compiler<'_> {
    fn sequence(&mut self, parts: &[Part], out: &mut String) -> Result<(), String> {
        for part in parts {
            match part {
                Part::Letters(letters) => {
                    self.letters += letters.chars().filter(|c| *c != ' ').count();
                    out.push_str(&regex::escape(&lower(letters)));
                }
                Part::Choice(ways) => self.ways(ways, out)?,
                Part::Optional(ways) => {
                    // What may be left out does not make a match more certain.
                    let letters = self.letters;
                    self.ways(ways, out)?;
                    self.letters = letters;
                    out.push('?');
                }
                Part::Slot { name, spaced } => self.slot(name, *spaced, out)?,
            }
        }
        Ok(())
    }

    fn ways(&mut self, ways: &[Vec<Part>], out: &mut String) -> Result<(), String> {
        for (i, way) in ways.iter().enumerate() {
            out.push_str(if i == 0 { "(?:" } else { "|" });
            self.sequence(way, out)?;
        }
        out.push(')');
        Ok(())
    }

    fn slot(&mut self, name: &str, spaced: bool, out: &mut String) -> Result<(), String> {
        let Some(param) = self.tool.params.get(name) else {
            return Err(format!("names `{{{name}}}`, which is not a parameter"));
        };
        if spaced {
            out.push(' ');
        }
        let values = match (param.kind, &param.choices) {
            (_, Some(choices)) => {
                let said = choices.iter().flat_map(|choice| [spoken(choice), lower(choice)]);
                let mut words: Vec<String> = said.map(|word| regex::escape(&word)).collect();
                // The longest first, or "fan" would win over "fan two".
                words.sort_by_key(|word| std::cmp::Reverse(word.len()));
                words.join("|")
            }
            (ParamKind::Integer, None) => "-?[0-9]+".to_owned(),
            (ParamKind::Number, None) => r"-?[0-9]+(?:\.[0-9]+)?".to_owned(),
            (ParamKind::Boolean, None) => "true|false|on|off|yes|no".to_owned(),
            (ParamKind::String, None) => ".+".to_owned(),
            (ParamKind::Array | ParamKind::Object, None) => {
                return Err(format!(
                    "names `{{{name}}}`, a list or an object: no sentence says one"
                ));
            }
        };
        // Writing to a String does not fail.
        let _ = write!(out, "(?P<s{}>{values})", self.slots.len());
        self.slots.push((name.to_owned(), param.clone()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tool(sentences: &[&str]) -> ToolSpec {
        serde_json::from_value(json!({
            "name": "set_output", "description": "d", "kind": "serial",
            "params": {
                "device": {"enum": ["pump", "fan", "fan_two"]},
                "state": {"enum": ["on", "off"]},
                "minutes": {"type": "integer", "default": 5},
            },
            "sentences": sentences,
            "examples": [{"say": "Let some fresh air in", "call": {"device": "fan", "state": "on"}}],
        }))
        .expect("a tool")
    }

    #[track_caller]
    fn reflex(sentences: &[&str]) -> Reflex {
        Reflex::new(&[tool(sentences)]).expect("good sentences")
    }

    #[track_caller]
    fn means(reflex: &Reflex, text: &str, call: &str) {
        assert_eq!(reflex.find(text).map(|c| c.to_string()).as_deref(), Some(call), "{text}");
    }

    #[test]
    fn choices_optional_words_and_slots_are_understood() {
        let reflex = reflex(&[
            "(turn|switch) [the] {device} {state} [for {minutes} minutes]",
            "(turn|switch) {state} [the] {device}",
        ]);
        means(&reflex, "Turn on the PUMP!", "set_output(state=on, device=pump)");
        means(&reflex, "switch  fan two off", "set_output(device=fan_two, state=off)");
        means(
            &reflex,
            "turn the fan on for 10 minutes.",
            "set_output(device=fan, state=on, minutes=10)",
        );
        assert_eq!(reflex.find("turn on the toaster"), None);
        assert_eq!(reflex.find("please turn on the pump"), None, "the whole sentence must match");
        assert_eq!(reflex.find("turnon the pump"), None);
    }

    #[test]
    fn an_example_is_a_sentence_too() {
        means(&reflex(&[]), "let some fresh air in.", "set_output(device=fan, state=on)");
    }

    #[test]
    fn a_sentence_is_known_as_it_is_written() {
        let tool: ToolSpec = serde_json::from_value(json!({
            "name": "read", "description": "d", "kind": "note",
            "sentences": ["How warm is it?", "Πόσο ζεστός είναι ο χώρος;", "halt . !"],
        }))
        .expect("a tool");
        let reflex = Reflex::new(std::slice::from_ref(&tool)).expect("good sentences");
        for said in &tool.sentences {
            means(&reflex, said, "read()");
            means(&reflex, &said.to_uppercase(), "read()");
            means(&reflex, said.trim_end_matches(['?', ';', '!', '.', ' ']), "read()");
        }
    }

    #[test]
    fn a_word_is_heard_as_itself_before_it_is_heard_as_another() {
        let tool: ToolSpec = serde_json::from_value(json!({
            "name": "set", "description": "d", "kind": "note",
            "params": {"to": {"enum": ["-5", "5", "fan_two", "fan two", "a__b", "x-1"]}},
            "sentences": ["set {to}"],
        }))
        .expect("a tool");
        let reflex = Reflex::new(&[tool]).expect("a good sentence");
        for (said, to) in [
            ("set 5", "\"5\""),
            ("set -5", "\"-5\""),
            ("set fan two", "\"fan two\""),
            ("set fan_two", "fan_two"),
            ("set a b", "a__b"),
            ("set A__B", "a__b"),
            ("set x 1", "x-1"),
        ] {
            means(&reflex, said, &format!("set(to={to})"));
        }
    }

    #[test]
    fn the_sentence_with_more_fixed_letters_wins_and_a_tie_is_nobody() {
        let note: ToolSpec = serde_json::from_value(json!({
            "name": "note", "description": "d", "kind": "note",
            "params": {"text": {}}, "sentences": ["note {text}", "turn {text}"],
        }))
        .expect("a tool");
        let reflex =
            Reflex::new(&[tool(&["turn {state} the {device}"]), note.clone()]).expect("good");
        means(&reflex, "turn on the pump", "set_output(state=on, device=pump)");
        means(&reflex, "note the pump", r#"note(text="the pump")"#);
        let mut other = note.clone();
        other.name = "other".into();
        let tied = Reflex::new(&[note, other]).expect("good");
        assert_eq!(tied.find("note the pump"), None);
    }

    #[test]
    fn a_sentence_that_cannot_work_is_refused_with_its_reason() {
        for (sentence, problem) in [
            ("turn {devise} on", "names `{devise}`"),
            ("turn {device}", "does not say `{state}`"),
            ("(turn {device} {state}", "lacks a `)`"),
            ("turn {device} {state}]", "without its partner"),
            ("turn {device", "lacks a `}`"),
            ("turn {device} {state} in {rooms}", "names `{rooms}`, a list or an object"),
        ] {
            let mut tool = tool(&[sentence]);
            let rooms = json!({"type": "array", "items": {}, "optional": true});
            let rooms = serde_json::from_value(rooms).expect("a parameter");
            tool.params.insert("rooms".into(), rooms);
            let errors = Reflex::new(&[tool]).expect_err(sentence);
            assert!(errors[0].problem.contains(problem), "{}", errors[0]);
        }
        let long = format!("{} {{device}} {{state}}", "a".repeat(pattern::MAX_CHARS - 17));
        assert!(Reflex::new(&[tool(&[&long])]).is_ok(), "{}", long.len());
        assert!(Reflex::new(&[tool(&[&format!("a{long}")])]).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_sentence_and_no_words_bring_it_down(sentence in ".{0,60}", words in ".{0,60}") {
            if let Ok(reflex) = Reflex::new(&[tool(&[&sentence])]) {
                let _ = reflex.find(&words);
            }
        }
    }
}
