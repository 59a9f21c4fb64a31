//! Other wordings of one and the same wish: polite, hasty, and as a speech recogniser writes it down.
//!
//! What is said verbatim changes with the sentence that it stands in: in lower case where that is.

use agentd_tools::ToolSpec;
use agentd_tools::spec::{Format, Param, ParamKind};
use serde_json::{Map, Value};

use super::expand::{Phrase, Piece};
use super::random::Random;
use super::values;

/// Begin a question.
const QUESTIONS: &[&str] = &[
    "how", "what", "what's", "when", "which", "who", "where", "why", "is", "are", "was", "were",
    "has", "have", "does", "do", "did", "will", "can",
];
/// Begin an order, so that "could you" can stand before it.
const ORDERS: &[&str] = &[
    "turn",
    "switch",
    "set",
    "put",
    "run",
    "start",
    "stop",
    "open",
    "close",
    "shut",
    "read",
    "show",
    "tell",
    "give",
    "call",
    "get",
    "send",
    "note",
    "remember",
    "write",
    "record",
    "log",
    "heat",
    "cool",
    "warm",
    "keep",
    "make",
    "move",
    "raise",
    "lower",
    "let",
    "bring",
    "go",
    "hold",
    "lock",
    "unlock",
    "water",
    "feed",
    "fill",
    "empty",
    "drain",
    "play",
    "dim",
    "check",
    "measure",
    "reset",
    "print",
    "order",
    "add",
    "take",
    "leave",
    "change",
    "increase",
    "decrease",
    "reduce",
    "blow",
    "pump",
    "spray",
    "press",
    "activate",
    "enable",
    "disable",
    "deactivate",
];
const BEFORE_ORDER: &[&str] = &[
    "please ",
    "please ",
    "could you ",
    "can you ",
    "could you please ",
    "would you ",
    "I'd like you to ",
    "I want you to ",
    "go ahead and ",
    "you should ",
    "we need to ",
    "just ",
];
const BEFORE_QUESTION: &[&str] =
    &["tell me, ", "please tell me, ", "quick question: ", "I'd like to know, ", "sorry, "];
const BEFORE_ANY: &[&str] = &["hey, ", "okay, ", "hello, ", "right, ", "excuse me, "];
const AFTER: &[&str] = &[" please", ", please", ", thanks", ", thank you"];
/// What a recogniser writes of somebody who hesitates.
const FILLERS: &[&str] = &["um ", "uh ", "so ", "okay so ", "well ", "er ", "yeah "];

/// How a sentence is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    /// As it stands.
    Bare,
    /// With a capital and a sign at the end.
    Written,
    /// In lower case and without signs.
    Heard,
}

/// Another wording of a phrase, drawn: the sentence, and the arguments that it means.
pub(super) fn reword(
    phrase: &Phrase,
    tool: &ToolSpec,
    random: &mut Random,
) -> (String, Map<String, Value>) {
    let mut sentence = phrase.clone();
    if random.percent(50) {
        revalue(&mut sentence.pieces, tool, random);
    }
    let ends_in_text = sentence.pieces.last().is_some_and(|piece| match piece {
        Piece::Value { name, .. } => tool.params.get(name).is_some_and(is_text),
        Piece::Words(_) => false,
    });
    let text = courteous(&sentence.say(), ends_in_text, random);
    let style =
        *random.pick(&[Style::Bare, Style::Written, Style::Written, Style::Heard, Style::Heard]);
    let text = styled(&text, style, random);
    let mut args = sentence.args;
    for (name, value) in &mut args {
        if let (Some(param), Value::String(said)) = (tool.params.get(name), &mut *value)
            && is_text(param)
            && style == Style::Heard
        {
            *said = heard(said);
        }
    }
    (text, args)
}

/// A sentence that is no pattern's, in another wording: an example, or one that must be refused.
pub(super) fn reword_text(text: &str, random: &mut Random) -> String {
    let style = *random.pick(&[Style::Bare, Style::Written, Style::Heard, Style::Heard]);
    let text = courteous(text.trim(), false, random);
    styled(&text, style, random)
}

/// Whether a parameter's value is a run of the person's words.
pub(super) fn is_text(param: &Param) -> bool {
    param.kind == ParamKind::String && param.choices.is_none() && param.format != Some(Format::Time)
}

/// Says some values in other words.
fn revalue(pieces: &mut [Piece], tool: &ToolSpec, random: &mut Random) {
    for at in 0..pieces.len() {
        let (head, tail) = pieces.split_at_mut(at + 1);
        let Some(Piece::Value { name, said }) = head.last_mut() else { continue };
        let Some(param) = tool.params.get(name) else { continue };
        let value = match param.format {
            Some(Format::Time) => Value::from(said.trim()),
            None if matches!(param.kind, ParamKind::Integer | ParamKind::Number) => {
                serde_json::from_str(said.trim()).unwrap_or(Value::Null)
            }
            None => continue,
        };
        let after = match tail.first() {
            Some(Piece::Words(words)) => words.clone(),
            _ => String::new(),
        };
        let words: Vec<&str> = after.split_whitespace().collect();
        if let Some((other, eaten)) = values::otherwise(param, &value, &words, random) {
            let space = if said.starts_with(' ') { " " } else { "" };
            *said = format!("{space}{other}");
            if let Some(Piece::Words(next)) = tail.first_mut().filter(|_| eaten > 0) {
                *next = words[eaten..].iter().map(|word| format!(" {word}")).collect();
            }
        }
    }
}

fn courteous(text: &str, ends_in_text: bool, random: &mut Random) -> String {
    let first = text.split_whitespace().next().unwrap_or_default().to_lowercase();
    let before = match random.between(0, 9) {
        0..4 => "",
        4 => random.pick(BEFORE_ANY),
        _ if QUESTIONS.contains(&first.as_str()) => random.pick(BEFORE_QUESTION),
        _ if ORDERS.contains(&first.as_str()) => random.pick(BEFORE_ORDER),
        _ => "",
    };
    let is_said = text.to_lowercase().contains("please") || before.contains("please");
    let after = match random.between(0, 9) {
        // It would be taken for a part of what is to be written down.
        _ if ends_in_text || is_said => "",
        0 if ORDERS.contains(&first.as_str()) => " for me",
        0 | 1 => random.pick(AFTER),
        _ => "",
    };
    format!("{before}{text}{after}")
}

fn styled(text: &str, style: Style, random: &mut Random) -> String {
    match style {
        Style::Bare => text.to_owned(),
        Style::Written => {
            let mut chars = text.chars();
            let first: String = chars.next().into_iter().flat_map(char::to_uppercase).collect();
            let asks = |text: &str| {
                let word = text.split([' ', ',']).next().unwrap_or_default().to_lowercase();
                QUESTIONS.contains(&word.as_str()) || matches!(word.as_str(), "could" | "would")
            };
            let mark = if text.ends_with(['.', '?', '!']) {
                ""
            } else if asks(text) {
                "?"
            } else {
                random.pick(&[".", ".", "", "!"])
            };
            format!("{first}{}{mark}", chars.as_str())
        }
        Style::Heard => {
            let filler = if random.percent(15) { random.pick(FILLERS) } else { "" };
            format!("{filler}{}", heard(text))
        }
    }
}

/// As a recogniser writes it: lower case, and no signs but those inside numbers and words.
pub(super) fn heard(text: &str) -> String {
    let words = text.split_whitespace().map(|word| {
        let word = word.trim_matches(['.', ',', '!', '?', ';', ':', '"', '(', ')']);
        word.to_lowercase()
    });
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::agent::pattern;
    use crate::tune::expand::{Texts, expand};

    fn tool() -> ToolSpec {
        serde_json::from_value(json!({
            "name": "run", "description": "d", "kind": "note",
            "params": {
                "minutes": {"type": "integer", "min": 1, "max": 90, "unit": "minutes", "default": 1},
                "text": {"verbatim": true, "default": ""},
            },
        }))
        .expect("a tool")
    }

    fn wordings(pattern: &str) -> Vec<(String, Map<String, Value>)> {
        let (tool, parts) = (tool(), pattern::parse(pattern).expect("a pattern"));
        (0..500)
            .map(|stream| {
                let mut random = Random::new(1, stream);
                reword(&expand(&parts, &tool, &Texts::new(), &mut random), &tool, &mut random)
            })
            .collect()
    }

    #[test]
    fn a_wish_is_said_politely_hastily_and_as_it_is_heard() {
        let said: Vec<String> =
            wordings("run for {minutes} minutes").into_iter().map(|(said, _)| said).collect();
        for part in
            ["Please ", "could you ", "half an hour", "twenty", ", thanks", "um ", "?", "run for "]
        {
            assert!(said.iter().any(|said| said.contains(part)), "{part}");
        }
        assert!(said.iter().any(|said| *said == heard(said)));
    }

    #[test]
    fn verbatim_words_are_a_run_of_the_sentence_in_every_wording() {
        for (said, args) in wordings("note that {text}") {
            let text = args["text"].as_str().expect("text");
            assert!(said.contains(text), "{said:?}: {text:?}");
            assert!(!said.contains("please") || said.find("please") < said.find(text), "{said:?}");
        }
    }

    #[test]
    fn a_question_is_not_ordered_and_an_order_is_not_asked_what_it_is() {
        for stream in 0..300 {
            let said = reword_text("how warm is it", &mut Random::new(2, stream)).to_lowercase();
            assert!(!said.contains("could you how") && !said.contains("go ahead"), "{said}");
        }
    }

    #[test]
    fn what_is_heard_has_no_signs_but_those_within_words() {
        assert_eq!(
            heard("Set it to 21.5, please! It's -3 (now)."),
            "set it to 21.5 please it's -3 now"
        );
    }
}
