//! Whether a sentence can mean the calls that it was made for, judged by the code that runs in production.

use agentd_tools::args::check_args;
use agentd_tools::spec::{Format, Param};
use agentd_tools::{Args, ToolSpec};
use serde_json::Value;

use super::expand::Phrase;
use super::reword::is_text;
use crate::agent::reflex::{Reflex, SentenceError};
use crate::command::Call;
use crate::ground::Grounds;

/// Judges sentences about these tools.
pub struct Judge<'a> {
    tools: &'a [ToolSpec],
    reflex: Reflex,
}

impl<'a> Judge<'a> {
    /// Compiles the sentences of the tools.
    pub fn new(tools: &'a [ToolSpec]) -> Result<Self, Vec<SentenceError>> {
        Ok(Self { tools, reflex: Reflex::new(tools)? })
    }

    /// Whether it is a known sentence, so that no model is asked in production.
    pub fn knows(&self, say: &str) -> bool {
        self.reflex.find(say).is_some()
    }

    /// Whether a sentence may mean these calls: their arguments are in order and stand in its words, and it is no
    /// known sentence that means another call.
    pub fn admits(&self, say: &str, calls: &[Call]) -> bool {
        let grounds = Grounds::of(say);
        let is_in_words = |call: &Call| {
            self.checked(call).is_some()
                && self.tool(call).is_some_and(|tool| is_grounded(call, tool, &grounds))
        };
        let agrees = match self.reflex.find(say) {
            None => true,
            Some(known) => calls.len() == 1 && self.is_same(&known, &calls[0]),
        };
        agrees && calls.iter().all(is_in_words)
    }

    /// Whether a call is one of the tools', with arguments that they take.
    pub fn is_in_order(&self, call: &Call) -> bool {
        self.checked(call).is_some()
    }

    /// Whether the sentence of a phrase, as it was made, is understood as the call that it was made for. A pattern
    /// in which a text stands before other words may be read in several ways.
    pub fn is_read_back(&self, phrase: &Phrase, tool: &ToolSpec) -> bool {
        let found = self.reflex.find(&phrase.say());
        found.is_some_and(|found| self.is_same(&found, &phrase.call(tool)))
    }

    fn tool(&self, call: &Call) -> Option<&'a ToolSpec> {
        self.tools.iter().find(|tool| tool.name == call.tool)
    }

    fn checked(&self, call: &Call) -> Option<Args> {
        check_args(self.tool(call)?, &call.args).ok()
    }

    /// The same call; what was said verbatim is the same without case, which known sentences do not keep.
    fn is_same(&self, one: &Call, other: &Call) -> bool {
        let plain = |call: &Call| {
            let args = self.checked(call)?;
            Some((call.tool.clone(), Value::Object(args).to_string().to_lowercase()))
        };
        plain(one).is_some_and(|one| Some(one) == plain(other))
    }
}

/// Whether the numbers, times and verbatim texts of a call stand in a request.
pub fn is_grounded(call: &Call, tool: &ToolSpec, grounds: &Grounds) -> bool {
    let stands = |name: &String, param: &Param| match call.args.get(name) {
        Some(Value::Number(value)) => value.as_f64().is_some_and(|value| {
            grounds.numbers(param).iter().any(|found| (found - value).abs() < 1e-6)
        }),
        Some(Value::String(time)) if param.format == Some(Format::Time) => {
            grounds.times().contains(time)
        }
        Some(Value::String(text)) if is_text(param) && param.verbatim => {
            grounds.chunks().concat().contains(text)
        }
        _ => true,
    };
    tool.params.iter().all(|(name, param)| stands(name, param))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_sentence_is_admitted_for_what_stands_in_it_and_what_no_known_sentence_contradicts() {
        let tools: Vec<ToolSpec> = serde_json::from_value(json!([{
            "name": "run", "description": "d", "kind": "note",
            "params": {
                "device": {"enum": ["pump", "fan"]},
                "minutes": {"type": "integer", "unit": "minutes", "default": 1},
                "at": {"format": "time", "default": "12:00"},
                "text": {"verbatim": true, "default": ""},
            },
            "sentences": ["run the {device}"],
        }]))
        .expect("tools");
        let judge = Judge::new(&tools).expect("good sentences");
        let call = |args: Value| Call {
            tool: "run".into(),
            args: args.as_object().expect("an object").clone(),
        };
        for (say, args, admitted) in [
            ("let it run", json!({"device": "pump"}), true),
            ("run the pump", json!({"device": "pump"}), true),
            ("run the pump", json!({"device": "fan"}), false),
            ("let it run", json!({"device": "lamp"}), false),
            ("half an hour", json!({"device": "pump", "minutes": 30}), true),
            ("half an hour", json!({"device": "pump", "minutes": 31}), false),
            ("at half past six am", json!({"device": "pump", "at": "06:30"}), true),
            ("at half past six am", json!({"device": "pump", "at": "06:31"}), false),
            ("say Ahoi, now", json!({"device": "pump", "text": "Ahoi"}), true),
            ("say Ahoi, now", json!({"device": "pump", "text": "ahoi"}), false),
        ] {
            assert_eq!(judge.admits(say, &[call(args.clone())]), admitted, "{say}: {args}");
        }
        assert!(judge.admits("sing", &[]), "a refusal");
        assert!(!judge.admits("run the fan", &[]), "a known sentence is no refusal");
    }
}
