//! What a person is asked where the tool is clear and a value is not. This decides and does no I/O.

use agentd_tools::ToolSpec;
use agentd_tools::args::allowed;
use agentd_tools::spec::{Param, ParamKind};
use agentd_tools::unit::Unit;

use super::memory::Exchange;
use super::pattern::without_end_marks;
use super::reflex::{normalise, spoken};
use crate::command::Call;
use crate::ground::Grounds;
use crate::model::grammar;

/// Words that may stand around a value which answers a question.
const FILLERS: &[&str] = &[
    "to", "at", "for", "the", "a", "an", "in", "of", "and", "one", "please", "half", "past",
    "quarter", "o'clock", "am", "pm", "minus", "point", "degrees", "percent", "number", "sorry",
    "i", "meant", "make", "it", "set",
];

/// What is to be asked for the first open call of a plan; none where no call is open. `request` is what was said.
pub(super) fn question(calls: &[Call], tools: &[ToolSpec], request: &str) -> Option<String> {
    let is_open = |call: &&Call| grammar::is_open(call, tools);
    let open = calls.iter().find(is_open)?;
    let tool = tools.iter().find(|tool| tool.name == open.tool)?;
    let mut unsaid = unsaid(tool, request);
    if unsaid.is_empty() {
        // The model says that something is not said, and code cannot tell what.
        unsaid.extend(needed(tool));
    }
    let named = unsaid.iter().map(|(name, param)| format!("{name} ({})", allowed(param)));
    let named: Vec<String> = named.collect();
    Some(format!("please say which value is meant: {} needs {}", tool.name, named.join(" and ")))
}

/// The request that `text` completes: where one before it could not be done for a value, and `text` is such a value and
/// nothing else, both together. Whoever asks, denies or tells something says another word.
pub(super) fn completed(before: &Exchange, tools: &[ToolSpec], text: &str) -> Option<String> {
    let open = before.calls.iter().find(|call| grammar::is_open(call, tools))?;
    let tool = tools.iter().find(|tool| tool.name == open.tool)?;
    let was_unsaid = unsaid(tool, &before.say);
    let names = was_unsaid.iter().flat_map(|(_, param)| param.choices.iter().flatten());
    let names: Vec<String> = names.map(|choice| spoken(choice)).collect();
    let is_name = |word: &str| names.iter().any(|name| name.split(' ').any(|part| part == word));
    let lower = text.to_lowercase();
    let mut words = lower.split(|c: char| c.is_whitespace() || ",;!".contains(c));
    let is_value = |word: &str| {
        let word = word.strip_suffix('.').unwrap_or(word);
        word.is_empty() || FILLERS.contains(&word) || is_name(word) || is_quantity(word)
    };
    let both = format!("{}, {}", without_end_marks(before.say.trim()), text.trim());
    (words.all(is_value) && unsaid(tool, &both).len() < was_unsaid.len()).then_some(both)
}

/// Whether a word is a number, a unit, or a part of a time of day.
fn is_quantity(word: &str) -> bool {
    let any = Param { kind: ParamKind::Number, ..Param::default() };
    word.starts_with(|c: char| c.is_ascii_digit())
        || Unit::of(word).is_some()
        || !Grounds::of(word).numbers(&any).is_empty()
}

/// The values that a tool needs and a request does not say, as far as it can be told.
fn unsaid<'a>(tool: &'a ToolSpec, request: &str) -> Vec<(&'a String, &'a Param)> {
    let grounds = Grounds::of(request);
    let words = normalise(&request.replace(". ", " ").replace([',', ';', ':', '?', '!'], " "));
    let words = format!(" {words} ");
    let is_named = |choice: &String| words.contains(&format!(" {} ", spoken(choice)));
    let is_unsaid = |param: &Param| match &param.choices {
        Some(choices) => !choices.iter().any(is_named),
        None => !grammar::has_value(param, Some(&grounds)),
    };
    needed(tool).filter(|(_, param)| is_unsaid(param)).collect()
}

fn needed(tool: &ToolSpec) -> impl Iterator<Item = (&String, &Param)> {
    tool.params.iter().filter(|(_, param)| param.is_required())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tools() -> Vec<ToolSpec> {
        serde_json::from_value(json!([
            {"name": "heat", "description": "d", "kind": "note", "params": {
                "room": {"enum": ["bath", "living_room"]},
                "celsius": {"type": "integer", "min": 5, "max": 30, "unit": "celsius"}}},
            {"name": "dim", "description": "d", "kind": "note",
                "params": {"percent": {"type": "integer", "min": 0, "max": 100, "default": 50}}},
        ]))
        .expect("tools")
    }

    fn calls(texts: &[&str]) -> Vec<Call> {
        let one = |text: &&str| grammar::parse_calls(text).expect("a call").swap_remove(0);
        texts.iter().map(one).collect()
    }

    fn asked(say: &str, texts: &[&str]) -> Option<String> {
        question(&calls(texts), &tools(), say)
    }

    #[test]
    fn a_short_answer_with_a_value_that_was_missing_completes_the_request() {
        let completed = |say: &str, call: &str, text: &str| {
            completed(&Exchange { say: say.into(), calls: calls(&[call]) }, &tools(), text)
        };
        let heat = |text: &str| completed("Heat the bath.", "heat()", text);
        assert_eq!(heat("20 degrees").as_deref(), Some("Heat the bath, 20 degrees"));
        assert_eq!(heat(" to 25, please ").as_deref(), Some("Heat the bath, to 25, please"));
        assert_eq!(
            completed("make it warmer", "heat()", "in the living room").as_deref(),
            Some("make it warmer, in the living room")
        );
        for no in [
            "90 degrees",
            "the living room",
            "what is it like",
            "is it 20?",
            "not 20",
            "20 is too much",
        ] {
            assert_eq!(heat(no), None, "{no}");
        }
        assert!(
            completed("make it warmer. Please.", "heat()", "the bath, twenty degrees").is_some()
        );
        assert_eq!(completed("dim it", "dim()", "to 20"), None, "it was done");
    }

    #[test]
    fn what_was_said_is_not_asked_for_again() {
        let room = "room (one of bath, living_room)";
        let celsius = "celsius (a whole number, 5 to 30)";
        let of = |what: &str| Some(format!("please say which value is meant: heat needs {what}"));
        assert_eq!(asked("Heat the living room!", &["heat()"]), of(celsius));
        assert_eq!(asked("Heat it to 20 degrees", &["heat()"]), of(room));
        assert_eq!(asked("Heat the bath to 90", &["heat()"]), of(celsius), "out of its range");
        assert_eq!(
            asked("make it warmer", &["dim()", "heat()"]),
            of(&format!("{room} and {celsius}"))
        );
        let both = format!("{room} and {celsius}");
        assert_eq!(asked("the bath or the living room to 20", &["heat()"]), of(&both));
    }

    #[test]
    fn a_call_that_needs_no_value_or_has_them_is_not_open() {
        assert_eq!(asked("dim it", &["dim()"]), None);
        assert_eq!(asked("heat the bath to 20", &["heat(room=bath, celsius=20)"]), None);
        assert_eq!(asked("heat", &[]), None);
    }
}
