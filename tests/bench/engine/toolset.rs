//! The tools that both sides have, as our config declares them and as the model reads them.

use agentd::agent::prompt;
use agentd::command::Call;
use agentd::model::Message;
use agentd_tests::TOOLS;
use agentd_tools::ToolSpec;
use anyhow::{Context as _, Result, ensure};
use config::{Config, File, FileFormat};
use serde::Deserialize;
use serde_json::json;

/// Tools beyond those of the tests are one of these things ...
const THINGS: [&str; 8] =
    ["blind", "valve", "radio", "siren", "window", "sprinkler", "shutter", "door"];
/// ... at one of these places.
const PLACES: [&str; 8] =
    ["hall", "kitchen", "cellar", "attic", "garage", "porch", "shed", "bathroom"];

/// Tools.
pub(super) struct Toolset {
    /// As a config declares them.
    pub(super) toml: String,
    pub(super) specs: Vec<ToolSpec>,
}

/// How the two control tokens of our dialect are written, for a server that reads the prompt as text.
#[derive(Debug, Clone, Default)]
pub(super) struct Marks {
    pub(super) begin: String,
    pub(super) end: String,
}

/// A sentence and its answer.
#[derive(Debug, Clone)]
pub(super) struct Exchange {
    pub(super) say: String,
    pub(super) answer: String,
}

#[derive(Deserialize)]
struct Declared {
    tool: Vec<ToolSpec>,
}

impl Toolset {
    /// So many tools: those of the tests first, then made-up ones. None waits for a person's approval, which would
    /// take as long as the person does.
    pub(super) fn of(count: usize) -> Result<Self> {
        let declared = TOOLS.split("[[poll]]").next().unwrap_or_default();
        let declared = declared.replace("confirm = true\n", "");
        let own = declared.split("[[tool]]").skip(1).map(str::to_owned);
        let made_up = PLACES.iter().flat_map(|place| THINGS.map(|thing| another(place, thing)));
        let chosen: Vec<String> =
            own.chain(made_up).take(count).map(|tool| format!("[[tool]]{tool}")).collect();
        ensure!(chosen.len() == count, "there are at most {} tools", chosen.len());
        Self::read(chosen.concat())
    }

    /// The same where texts are the person's own words.
    pub(super) fn copying(&self) -> Result<Self> {
        Self::read(self.toml.replace("type = \"string\"", "type = \"string\", verbatim = true"))
    }

    fn read(toml: String) -> Result<Self> {
        let source = File::from_str(&toml, FileFormat::Toml);
        let read: Declared = Config::builder().add_source(source).build()?.try_deserialize()?;
        Ok(Self { toml, specs: read.tool })
    }

    /// The prompt that our worker makes of the same in its dialect `turns-3`, as text.
    pub(super) fn prompt(&self, marks: &Marks, before: &[Exchange], say: &str) -> String {
        let mut messages = prompt::preamble(&self.specs);
        for Exchange { say, answer } in before {
            messages.extend(prompt::exchange(say, answer));
        }
        let mut text = String::new();
        for Message { role, content } in prompt::messages(&messages, say) {
            if role != "assistant" {
                text.push_str(&marks.begin);
            }
            text.push_str(&content);
            text.push_str(&marks.end);
        }
        text
    }
}

fn another(place: &str, thing: &str) -> String {
    format!(
        "\nname = \"{place}_{thing}\"\ndescription = \"open or shut the {thing} in the {place}\"\n\
         kind = \"publish\"\nevent = \"{place}_{thing}\"\n\
         params.state = {{ enum = [\"open\", \"shut\"] }}\n\
         reply = \"The {thing} in the {place} is now {{state}}.\"\n\n"
    )
}

/// So many turns of a session, each a known sentence, so that ours gets through them at once.
pub(super) fn history(turns: usize) -> Result<Vec<Exchange>> {
    let devices = ["pump", "fan", "heater", "lamp"];
    let turn = |turn: usize| {
        let (device, state) = (devices[turn % 4], if turn % 8 < 4 { "on" } else { "off" });
        let args = json!({"device": device, "state": state});
        let args = args.as_object().cloned().context("an object")?;
        let answer = Call { tool: "set_output".into(), args }.to_string();
        Ok(Exchange { say: format!("turn {state} the {device}"), answer })
    };
    (0..turns).map(turn).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_count_up_to_the_most_is_a_toolset_and_one_more_is_none() {
        let most = 7 + THINGS.len() * PLACES.len();
        for count in [1, 4, 7, 64, most] {
            assert_eq!(Toolset::of(count).unwrap().specs.len(), count);
        }
        assert!(Toolset::of(most + 1).is_err());
        assert!(Toolset::of(7).unwrap().specs.iter().all(|tool| !tool.confirm));
    }

    #[test]
    fn a_prompt_is_written_in_turns() {
        let marks = Marks { begin: "<".into(), end: ">".into() };
        let prompt = Toolset::of(1).unwrap().prompt(&marks, &history(1).unwrap(), "go");
        assert!(prompt.starts_with("<You control a machine."), "{prompt}");
        let end = "<turn on the pump>set_output(device=pump, state=on)><go>";
        assert!(prompt.ends_with(end), "{prompt}");
    }
}
