//! Sentences of a config, and what people say to them.

use agentd::agent::reflex::Reflex;
use agentd_tools::ToolSpec;
use serde_json::{Value, json};

use super::driver::{Target, Verdict, texts};

const DEVICES: [&str; 4] = ["pump", "fan", "fan_two", "Deckenlüfter"];

/// Two tools: one whose sentence is under test, and one without parameters with the same.
fn tools(sentence: &str) -> [ToolSpec; 2] {
    let params = json!({
        "device": {"enum": DEVICES, "default": "pump"},
        "minutes": {"type": "integer", "default": 5},
        "degrees": {"type": "number", "default": 5},
        "gently": {"type": "boolean", "default": false},
        "why": {"default": ""},
    });
    [("with", params), ("without", json!({}))].map(|(name, params)| {
        let spec = json!({"name": name, "description": "d", "kind": "note", "params": params,
            "sentences": [sentence]});
        serde_json::from_value(spec).expect("a tool")
    })
}

#[test]
fn a_sentence_is_refused_or_finds_only_what_was_declared() {
    let target = Target {
        name: "sentence",
        corpus: texts(&[
            "(turn|switch) [the] {device} on [for {minutes} minutes]\nturn the fan two on for 7 minutes",
            "keep it at {degrees} degrees [because {why}]\nKeep it at -2.5 degrees because of the frost!",
            "{gently} please\nyes please",
            "how warm is it?\nHow warm is it?",
            "ΠΟΣΟ ΖΕΣΤΟΣ ΕΙΝΑΙ\nποσο ζεστος ειναι",
        ]),
        words: &[
            "(", "|", ")", "[", "]", "{device}", "{why}", "{", "}", "?", ".", "*", "\\", "^$",
            "(?i)", "Σ", "İ", "ß", "fan_two", "fan two", "ON", " ", "\u{a0}",
        ],
        one_in: 2,
    };
    target.run(|text| {
        let text = String::from_utf8_lossy(text);
        let (sentence, said) = text.split_once('\n').unwrap_or((&text, &text));
        let [with, without] = tools(sentence);
        let Ok(reflex) = Reflex::new(std::slice::from_ref(&with)) else { return Verdict::Refused };
        let found = reflex.find(said);
        for around in [format!("  {said} "), format!("{said}.")] {
            assert_eq!(reflex.find(&around), found, "{around:?}");
        }
        if let Some(call) = &found {
            assert_eq!(call.tool, "with");
            for (name, value) in &call.args {
                assert!(with.params.contains_key(name), "{name}");
                let declared = |v: &Value| v.as_str().is_some_and(|v| DEVICES.contains(&v));
                assert!(name != "device" || declared(value), "{value}");
            }
        }
        // A sentence of nothing but words is known when it is said as it is written.
        let plain = !sentence.contains(['(', ')', '[', ']', '{', '}', '|']);
        let empty =
            sentence.trim_matches(|c: char| c.is_whitespace() || ".!?,;".contains(c)).is_empty();
        if plain
            && !empty
            && let Ok(reflex) = Reflex::new(&[without])
        {
            assert!(reflex.find(sentence).is_some(), "{sentence:?} is not known");
        }
        if found.is_some() { Verdict::Accepted } else { Verdict::Refused }
    });
}
