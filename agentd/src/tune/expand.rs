//! Sentences of a pattern: each bracket decided, each parameter given a value.

use std::collections::BTreeMap;

use agentd_tools::ToolSpec;
use serde_json::{Map, Value};

use super::random::Random;
use super::values;
use crate::agent::pattern::Part;
use crate::command::Call;

/// A piece of a sentence. A space among its letters is one before a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Words as they stand in the pattern.
    Words(String),
    /// The value of a parameter.
    Value {
        /// The parameter.
        name: String,
        /// What is said for it, with the space before it.
        said: String,
    },
}

/// A sentence in pieces, and the arguments that it means.
#[derive(Debug, Clone, PartialEq)]
pub struct Phrase {
    /// The sentence.
    pub pieces: Vec<Piece>,
    /// The arguments.
    pub args: Map<String, Value>,
}

impl Phrase {
    /// The sentence.
    pub fn say(&self) -> String {
        let texts = self.pieces.iter().map(|piece| match piece {
            Piece::Words(text) | Piece::Value { said: text, .. } => text.as_str(),
        });
        texts.collect::<String>().trim().to_owned()
    }

    /// The call, with its arguments in declared order, as the grammar has them written.
    pub fn call(&self, tool: &ToolSpec) -> Call {
        let args = tool
            .params
            .keys()
            .filter_map(|name| Some((name.clone(), self.args.get(name)?.clone())));
        Call { tool: tool.name.clone(), args: args.collect() }
    }
}

/// Texts that are known for parameters: by the names of tool and parameter.
pub type Texts = BTreeMap<(String, String), Vec<String>>;

/// One sentence of a pattern of a tool, drawn. A parameter that is named twice has one value.
pub fn expand(parts: &[Part], tool: &ToolSpec, texts: &Texts, random: &mut Random) -> Phrase {
    let mut phrase = Phrase { pieces: Vec::new(), args: Map::new() };
    let mut said = BTreeMap::new();
    add(parts, tool, texts, random, &mut phrase, &mut said);
    phrase
}

fn add(
    parts: &[Part],
    tool: &ToolSpec,
    texts: &Texts,
    random: &mut Random,
    phrase: &mut Phrase,
    said: &mut BTreeMap<String, String>,
) {
    for part in parts {
        match part {
            Part::Letters(letters) => phrase.pieces.push(Piece::Words(letters.clone())),
            Part::Choice(ways) => {
                let way = random.pick(ways).as_slice();
                add(way, tool, texts, random, phrase, said);
            }
            Part::Optional(ways) => {
                let way = random.pick(ways).as_slice();
                if random.one_in(2) {
                    add(way, tool, texts, random, phrase, said);
                }
            }
            Part::Slot { name, spaced } => {
                // A sentence that names no parameter of its tool does not compile, and is never expanded.
                let Some(param) = tool.params.get(name) else { continue };
                let words = said.entry(name.clone()).or_insert_with(|| {
                    let known = texts.get(&(tool.name.clone(), name.clone()));
                    let (value, words) =
                        values::draw(param, known.map_or(&[], Vec::as_slice), random);
                    phrase.args.insert(name.clone(), value);
                    words
                });
                let space = if *spaced { " " } else { "" };
                phrase
                    .pieces
                    .push(Piece::Value { name: name.clone(), said: format!("{space}{words}") });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use agentd_tools::args::check_args;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::agent::pattern;
    use crate::agent::reflex::Reflex;

    fn tool(sentence: &str) -> ToolSpec {
        serde_json::from_value(json!({
            "name": "set", "description": "d", "kind": "note",
            "params": {
                "device": {"enum": ["pump", "fan", "fan_two", "x-1"], "default": "pump"},
                "state": {"enum": ["up", "down"], "default": "up"},
                "minutes": {"type": "integer", "min": 1, "max": 240, "unit": "minutes", "default": 1},
                "level": {"type": "number", "min": -2.5, "max": 30, "default": 0},
                "quiet": {"type": "boolean", "default": false},
                "at": {"format": "time", "default": "12:00"},
                "text": {"verbatim": true, "default": ""},
            },
            "sentences": [sentence],
        }))
        .expect("a tool")
    }

    /// A sentence of a pattern is known by the pattern that it came from, as the call that it was made for.
    #[track_caller]
    fn comes_back(sentence: &str, seed: u64) {
        let tool = tool(sentence);
        let reflex = Reflex::new(std::slice::from_ref(&tool)).expect("a good sentence");
        let parts = pattern::parse(sentence).expect("a good sentence");
        let phrase = expand(&parts, &tool, &Texts::new(), &mut Random::new(seed, 0));
        let found = reflex.find(&phrase.say());
        let found =
            found.unwrap_or_else(|| panic!("{sentence:?} does not know {:?}", phrase.say()));
        let mut expected = phrase.call(&tool);
        if let Some(Value::String(text)) = expected.args.get_mut("text") {
            *text = text.to_lowercase();
        }
        let found = check_args(&tool, &found.args).expect("good arguments");
        assert_eq!(
            found,
            check_args(&tool, &expected.args).expect("good arguments"),
            "{:?}",
            phrase.say()
        );
    }

    /// A part of a pattern, as it is written. The words are none that a value could be taken for.
    fn part() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            "[A-Z]?[b-d]{3,6}",
            "[b-d]{3,5}'[b-d]",
            Just("{device}".to_owned()),
            Just("{state}".to_owned()),
            Just("{minutes} minutes".to_owned()),
            Just("{level}".to_owned()),
            Just("{quiet}".to_owned()),
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            let ways = prop::collection::vec(prop::collection::vec(inner, 1..3), 1..3);
            let ways = ways.prop_map(|ways| {
                ways.iter().map(|way| way.join(" zz ")).collect::<Vec<_>>().join("|")
            });
            (ways, any::<bool>()).prop_map(|(ways, optional)| {
                if optional { format!("[{ways}]") } else { format!("({ways})") }
            })
        })
    }

    proptest! {
        #[test]
        fn every_sentence_of_a_pattern_is_known_by_it_as_its_own_call(
            parts in prop::collection::vec(part(), 1..5),
            tail in prop_oneof![Just(""), Just(" at {at}"), Just(" that {text}"), Just("?")],
            seed in any::<u64>(),
        ) {
            // A word between two parts, so that no two values stand side by side.
            comes_back(&format!("qq {}{tail}", parts.join(" zz ")), seed);
        }
    }

    #[test]
    fn the_sentences_of_the_configs_are_known_by_their_patterns() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs");
        for file in ["demo.toml", "raspberry-pi.toml", "jetson.toml", "default.toml"] {
            let config = crate::config::Config::load(&folder.join(file)).expect(file);
            for tool in &config.tool {
                for sentence in &tool.sentences {
                    let alone = ToolSpec {
                        sentences: vec![sentence.clone()],
                        examples: Vec::new(),
                        ..tool.clone()
                    };
                    let reflex = Reflex::new(&[alone]).expect("a good sentence");
                    let parts = pattern::parse(sentence).expect("a good sentence");
                    for stream in 0..50 {
                        let phrase =
                            expand(&parts, tool, &Texts::new(), &mut Random::new(1, stream));
                        let found = reflex.find(&phrase.say()).expect("known");
                        let args = |args| {
                            let args = check_args(tool, args).expect("good arguments");
                            Value::Object(args).to_string().to_lowercase()
                        };
                        assert_eq!(args(&found.args), args(&phrase.args), "{}", phrase.say());
                    }
                }
            }
        }
    }

    #[test]
    fn a_seed_decides_the_sentence() {
        let parts = pattern::parse("(set|put) {device} [now] {level}").expect("a pattern");
        let say = |seed| {
            expand(&parts, &tool("set {level}"), &Texts::new(), &mut Random::new(seed, 0)).say()
        };
        assert_eq!(say(1), say(1));
        let all: std::collections::HashSet<String> = (0..50).map(say).collect();
        assert!(all.len() > 20, "{all:?}");
    }
}
