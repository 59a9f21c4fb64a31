//! Wishes in the words of a tool's own name and description, as people who have read them say them.

use agentd_tools::ToolSpec;
use agentd_tools::spec::{Format, ParamKind};
use serde_json::Map;

use super::expand::{Phrase, Piece, Texts};
use super::random::Random;
use super::reword::is_text;
use super::values;

/// The longest description that is said as it is, in words.
const SAYABLE: usize = 9;

/// A wish for a tool by its name and the values that it needs, or by its description where it needs none; drawn.
pub(super) fn named(tool: &ToolSpec, texts: &Texts, random: &mut Random) -> Phrase {
    // With values behind it a description is no sentence.
    let description = tool.description.trim().trim_end_matches('.');
    let is_sayable = tool.params.is_empty() && description.split_whitespace().count() <= SAYABLE;
    let head = if is_sayable && random.percent(70) {
        description.to_owned()
    } else {
        tool.name.split(['_', '-', '.']).collect::<Vec<_>>().join(" ")
    };
    let mut phrase = Phrase { pieces: vec![Piece::Words(head)], args: Map::new() };
    // A text comes last: whatever stood behind it would be taken for a part of it.
    let (texts_last, others): (Vec<_>, Vec<_>) = tool.params.iter().partition(|(_, p)| is_text(p));
    for (name, param) in others.into_iter().chain(texts_last.into_iter().take(1)) {
        if !param.is_required() && random.percent(70) {
            continue;
        }
        let known = texts.get(&(tool.name.clone(), name.clone()));
        let (value, said) = values::draw(param, known.map_or(&[], Vec::as_slice), random);
        let lead = match param.kind {
            ParamKind::Boolean => format!(" {}", name.replace('_', " ")),
            _ if param.format == Some(Format::Time) => " at".to_owned(),
            _ => String::new(),
        };
        phrase.pieces.push(Piece::Words(lead));
        phrase.pieces.push(Piece::Value { name: name.clone(), said: format!(" {said}") });
        if let Some(unit) = param.unit {
            phrase.pieces.push(Piece::Words(format!(" {}", unit.name().replace('_', " "))));
        }
        phrase.args.insert(name.clone(), value);
    }
    phrase
}

#[cfg(test)]
mod tests {
    use agentd_tools::args::check_args;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_tool_is_asked_for_by_its_name_with_all_that_it_needs() {
        let tool: ToolSpec = serde_json::from_value(json!({
            "name": "set_timer", "description": "run a device for a time.", "kind": "note",
            "params": {
                "text": {"verbatim": true},
                "device": {"enum": ["pump", "fan_two"]},
                "minutes": {"type": "integer", "min": 1, "max": 9, "unit": "minutes"},
                "quiet": {"type": "boolean", "default": false},
            },
        }))
        .expect("a tool");
        let mut said = Vec::new();
        for stream in 0..200 {
            let phrase = named(&tool, &Texts::new(), &mut Random::new(1, stream));
            check_args(&tool, &phrase.args).expect("all that it needs");
            said.push(phrase.say());
        }
        for part in ["set timer fan two ", " minutes ", " quiet on"] {
            assert!(said.iter().any(|said| said.contains(part)), "{part}: {said:?}");
        }
        assert!(said.iter().all(|said| said.starts_with("set timer ")), "{said:?}");
    }

    #[test]
    fn a_tool_that_needs_nothing_is_asked_for_by_its_description_if_that_is_short() {
        let said = |description: String| {
            let tool: ToolSpec = serde_json::from_value(json!({
                "name": "read_climate", "description": description, "kind": "note",
            }))
            .expect("a tool");
            let said = |stream| named(&tool, &Texts::new(), &mut Random::new(1, stream)).say();
            (0..50).map(said).collect::<std::collections::HashSet<String>>()
        };
        let words = |count: usize| vec!["go"; count].join(" ");
        assert_eq!(said(words(SAYABLE)), ["read climate".into(), words(SAYABLE)].into());
        assert_eq!(said(words(SAYABLE + 1)), ["read climate".into()].into());
    }
}
