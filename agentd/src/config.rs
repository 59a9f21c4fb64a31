//! The one TOML file that describes a machine.
//!
//! Read through the `config` crate: the file, then `AGENTD__SECTION__KEY` from the environment. Strict:
//! a key that nobody knows is an error with its file, line and nearest name. Each section's type stands
//! next to the module that it belongs to. Bound: a file has at most [`MAX_FILE_BYTES`].

use std::path::{Path, PathBuf};

use agentd_tools::near::nearest;
use agentd_tools::{EffectKind, SerialSpec, ToolSpec};
use config::{Environment, File, FileFormat};
use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::agent::config::AgentConfig;
use crate::http::config::HttpConfig;
use crate::link::config::MqttConfig;
use crate::model::config::ModelConfig;
use crate::policy::PolicyConfig;
use crate::store::StoreConfig;
use crate::wyoming::config::WyomingConfig;

/// The largest config file, in bytes.
pub const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// A whole config.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Who this machine is.
    pub device: DeviceConfig,
    /// The database.
    pub store: StoreConfig,
    /// The broker. Leave the section out to work without a network.
    pub mqtt: Option<MqttConfig>,
    /// The local HTTP side.
    pub http: HttpConfig,
    /// The voice side. Leave the section out where there is none.
    pub wyoming: Option<WyomingConfig>,
    /// The model on the board.
    pub model: ModelConfig,
    /// What may be done.
    pub policy: PolicyConfig,
    /// Serial ports.
    pub serial: Vec<SerialSpec>,
    /// What the machine can do.
    pub tool: Vec<ToolSpec>,
    /// Who may be asked, where there is more than one.
    pub agent: Vec<AgentConfig>,
    /// Sensors that are read on a period.
    pub poll: Vec<PollConfig>,
}

/// The `[device]` section.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeviceConfig {
    /// The name of this machine in topics and records. Default: the host name. Set it where host names
    /// are not unique.
    pub id: Option<String>,
}

/// One `[[poll]]` section.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PollConfig {
    /// The tool that is called; it must only read.
    pub tool: String,
    /// Its arguments.
    #[serde(default)]
    pub args: Map<String, Value>,
    /// The period, in seconds.
    pub every_seconds: f64,
    /// For each sensor, the result field that is its value.
    pub readings: IndexMap<String, String>,
}

/// Why a config cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the config {path} cannot be read: give its path with --config")]
    Read {
        /// The path.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file is no TOML, or a key is wrong.
    #[error("{place}: {problem}")]
    Bad {
        /// File and line, as `file:12`, or what the key is called where no line is known.
        place: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// The parts do not fit together. One line each.
    #[error("{}", .0.join("\n"))]
    Parts(Vec<String>),
}

impl Config {
    /// Reads the file and the environment, and checks that the parts fit together.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let read = |source| ConfigError::Read { path: path.into(), source };
        if std::fs::metadata(path).map_err(read)?.len() > MAX_FILE_BYTES {
            return Err(ConfigError::Bad {
                place: path.display().to_string(),
                problem: format!("has more than {MAX_FILE_BYTES} bytes"),
            });
        }
        let text = std::fs::read_to_string(path).map_err(read)?;
        Self::parse(&text, path)
    }

    /// Reads a config text; `path` is its name in messages.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let document = toml_edit::Document::parse(text).map_err(|e| {
            let line = e.span().map_or(1, |span| line_of(text, span.start));
            let problem = e.message().to_owned();
            ConfigError::Bad { place: format!("{}:{line}", path.display()), problem }
        })?;
        let environment = Environment::with_prefix("AGENTD")
            .prefix_separator("__")
            .separator("__")
            .try_parsing(true);
        let merged = config::Config::builder()
            .add_source(File::from_str(text, FileFormat::Toml))
            .add_source(environment)
            .build()
            .map_err(|e| ConfigError::Bad {
                place: path.display().to_string(),
                problem: e.to_string(),
            })?;
        let config: Self = serde_path_to_error::deserialize(merged.clone()).map_err(|e| {
            // The config crate's own words for a wrong word do not say which words there are; serde's do.
            let again: Option<serde_json::Value> = merged.try_deserialize().ok();
            let again =
                again.and_then(|value| serde_path_to_error::deserialize::<_, Self>(value).err());
            let (key, message) = match again {
                Some(e) => (e.path().to_string(), e.into_inner().to_string()),
                None => (e.path().to_string(), e.into_inner().to_string()),
            };
            let problem = explain(&key, &message);
            let unknown = problem.strip_prefix("unknown key `").and_then(|p| p.split('`').next());
            let place = place_of(text, path, &document, &key, unknown);
            ConfigError::Bad { place, problem }
        })?;
        config.check(|key| place_of(text, path, &document, key, None))?;
        Ok(config)
    }

    /// The name of this machine.
    pub fn device_id(&self) -> String {
        self.device
            .id
            .clone()
            .unwrap_or_else(|| rustix::system::uname().nodename().to_string_lossy().into_owned())
    }

    /// Whether the parts fit together. `place` turns a key into where it stands.
    fn check(&self, place: impl Fn(&str) -> String) -> Result<(), ConfigError> {
        let mut problems = Vec::new();
        if !crate::command::valid_id(&self.device_id()) {
            problems.push("`device.id` must be one topic level: no `/`, `+`, `#`".to_owned());
        }
        let tools: Vec<&str> = self.tool.iter().map(|tool| tool.name.as_str()).collect();
        for mistake in agentd_tools::toolbox::check(&self.tool, &self.serial) {
            let key = format!("{}[{}].{}", mistake.section, mistake.index, mistake.error.key);
            problems.push(format!("{}: {mistake}", place(&key)));
        }
        if let Err(errors) = crate::agent::reflex::Reflex::new(&self.tool) {
            problems.extend(errors.iter().map(ToString::to_string));
        }
        for (key, share) in [
            ("model.min_confidence", self.model.min_confidence),
            ("model.second_opinion", self.model.second_opinion),
        ] {
            if !(0.0..=1.0).contains(&share) {
                problems.push(format!("{}: `{key}` must be 0 to 1", place(key)));
            }
        }
        for (at, problem) in crate::agent::config::check(&self.agent, &self.tool) {
            problems.push(format!("{}: {problem}", place(&format!("agent[{at}]"))));
        }
        let voices = self.wyoming.as_ref().and_then(|wyoming| wyoming.agent.as_deref());
        let agents = crate::agent::config::all(&self.agent);
        if let Some(named) = voices.filter(|named| agents.iter().all(|one| one.name != *named)) {
            let place = place("wyoming.agent");
            problems.push(format!("{place}: `wyoming.agent`: there is no agent `{named}`"));
        }
        for poll in &self.poll {
            self.check_poll(poll, &tools, &mut problems);
        }
        if problems.is_empty() { Ok(()) } else { Err(ConfigError::Parts(problems)) }
    }

    fn check_poll(&self, poll: &PollConfig, tools: &[&str], problems: &mut Vec<String>) {
        let place = format!("poll of `{}`", poll.tool);
        let Some(tool) = self.tool.iter().find(|tool| tool.name == poll.tool) else {
            let hint = nearest(&poll.tool, tools.iter().copied())
                .map(|n| format!("; did you mean `{n}`?"));
            problems.push(format!("{place}: there is no such tool{}", hint.unwrap_or_default()));
            return;
        };
        if tool.effect() == EffectKind::Acts {
            problems
                .push(format!("{place}: it acts; only a tool with effect = \"reads\" is polled"));
        }
        if !(0.1..=86_400.0).contains(&poll.every_seconds) {
            problems.push(format!("{place}: `every_seconds` must be 0.1 to 86400"));
        }
        if let Err(errors) = agentd_tools::args::check_args(tool, &poll.args) {
            problems.push(format!("{place}: {errors}"));
        }
    }
}

/// serde's words, with the nearest name where a key or a word is not known.
fn explain(key: &str, message: &str) -> String {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let Some((given, known)) = quoted.split_first() else {
        return format!("`{key}`: {message}");
    };
    let what = if message.starts_with("unknown field") {
        format!("unknown key `{given}`")
    } else if message.starts_with("unknown variant") {
        format!("`{key}` cannot be `{given}`")
    } else {
        return format!("`{key}`: {message}");
    };
    match nearest(given, known.iter().copied()) {
        Some(name) => format!("{what}; did you mean `{name}`?"),
        None if known.is_empty() => what,
        None => format!("{what}; it can be {}", known.join(", ")),
    }
}

/// Where a key stands: file and line, or what it is called where it came from the environment.
fn place_of(
    text: &str,
    path: &Path,
    document: &toml_edit::Document<&str>,
    key: &str,
    unknown: Option<&str>,
) -> String {
    match find_line(text, document, key, unknown) {
        Some(line) => format!("{}:{line}", path.display()),
        None => format!("{} (or the environment), `{key}`", path.display()),
    }
}

/// The line of a key, given as `tool[2].params.device`.
fn find_line(
    text: &str,
    document: &toml_edit::Document<&str>,
    key: &str,
    unknown: Option<&str>,
) -> Option<usize> {
    let mut item = document.as_item();
    let mut span = None;
    // serde names an unknown key in the message and not always in the path.
    let mut parts: Vec<&str> = key.split(['.', '[', ']']).filter(|p| !p.is_empty()).collect();
    if let Some(unknown) = unknown.filter(|unknown| parts.last() != Some(unknown)) {
        parts.push(unknown);
    }
    for part in parts {
        let next = match part.parse::<usize>() {
            Ok(index) => item.get(index),
            Err(_) => item.as_table_like().and_then(|table| {
                let (key, value) = table.get_key_value(part)?;
                span = key.span().or(span.take());
                Some(value)
            }),
        };
        let Some(next) = next else { break };
        if part.parse::<usize>().is_ok() {
            span = next.span().or(span);
        }
        item = next;
    }
    span.map(|span: std::ops::Range<usize>| line_of(text, span.start))
}

fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(text: &str, parts: &[&str]) {
        let error = Config::parse(text, Path::new("a.toml")).expect_err("must be refused");
        for part in parts {
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    #[test]
    fn an_unknown_key_is_refused_with_file_line_and_nearest_name() {
        refused("[device]\nid = \"a\"\nnaem = 1\n", &["a.toml:3", "unknown key `naem`"]);
        refused("\n[stoer]\n", &["a.toml:2", "did you mean `store`?"]);
        let tool = "[[tool]]\nname='t'\ndescription='d'\nkind='note'\n\nefect='acts'\n";
        refused(tool, &["a.toml:6", "did you mean `effect`?"]);
        refused("[[tool]]\nname='t'\ndescription='d'\nkind='serail'\n", &["a.toml:4", "serial"]);
    }

    #[test]
    fn an_agent_that_does_not_fit_is_refused_with_its_line() {
        let text = "[[tool]]\nname='note'\ndescription='d'\nkind='note'\nparams.text={}\n\
                    [[agent]]\nname='a'\ntools=['note']\n[[agent]]\nname='b'\ntools=['ntoe']\n";
        refused(text, &["a.toml:9", "agent `b`", "did you mean `note`?"]);
        refused("[wyoming]\nagent='cook'\n", &["a.toml:2", "no agent `cook`"]);
        refused("[[agent]]\nname='a'\ntool=['note']\n", &["a.toml:3", "did you mean `tools`?"]);
    }

    #[test]
    fn shares_are_0_to_1() {
        for key in ["min_confidence", "second_opinion"] {
            for beyond in ["1.01", "-0.01"] {
                let text = format!("[model]\n{key} = {beyond}\n");
                refused(&text, &["a.toml:2", &format!("`model.{key}` must be 0 to 1")]);
            }
            for bound in ["0", "1.0"] {
                let text = format!("[model]\n{key} = {bound}\n");
                assert!(Config::parse(&text, Path::new("a.toml")).is_ok(), "{text}");
            }
        }
    }

    #[test]
    fn text_that_is_no_toml_is_refused_with_its_line() {
        refused("[device]\nid = \n", &["a.toml:2"]);
    }

    #[test]
    fn names_that_do_not_exist_are_found() {
        let poll = "[[poll]]\ntool='raed'\nevery_seconds=1\nreadings={}\n\
                    [[tool]]\nname='read'\ndescription='d'\nkind='sql'\nsql='SELECT 1'\n";
        refused(poll, &["no such tool", "did you mean `read`?"]);
        let tool = "[[tool]]\nname='t'\ndescription='d'\nkind='serial'\nport='bord'\nsend='X'\n\
                    expect='^OK$'\n[[serial]]\nname='board'\npath='/dev/x'\n";
        refused(tool, &["bord", "board"]);
    }

    #[test]
    fn a_poll_of_a_tool_that_acts_is_refused() {
        let text = "[[poll]]\ntool='n'\nevery_seconds=1\nargs={text='x'}\nreadings={}\n\
                    [[tool]]\nname='n'\ndescription='d'\nkind='note'\nparams.text={}\n";
        refused(text, &["it acts"]);
    }

    #[test]
    fn an_empty_config_is_a_config() {
        let config = Config::parse("", Path::new("a.toml")).expect("defaults");
        assert_eq!(config.policy.commands_waiting, 256);
        assert!(config.mqtt.is_none());
    }
}
