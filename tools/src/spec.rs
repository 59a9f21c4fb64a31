//! What an integrator declares in `[[tool]]` and `[[serial]]`.

use std::fmt;
use std::time::Duration;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use crate::param::{Format, Param, ParamKind};

/// How long one call may take where `timeout_ms` is not given.
pub const DEFAULT_TIMEOUT_MS: u64 = 2000;

/// One `[[tool]]` section.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolSpec {
    /// Its name: a lower-case identifier. The model, MQTT and the records all use it.
    pub name: String,
    /// One line that says what it does; the model reads it.
    pub description: String,
    /// What carries it out.
    pub kind: Kind,
    /// Whether it changes the world. Default: `reads` for `sql`, else `acts`.
    pub effect: Option<EffectKind>,
    /// Set it where doing the call twice is as good as once: it may then be repeated after a crash.
    #[serde(default)]
    pub idempotent: bool,
    /// Set it where a person must approve each call before it runs.
    #[serde(default)]
    pub confirm: bool,
    /// The parameters, in the order in which the call syntax shows them.
    #[serde(default)]
    pub params: IndexMap<String, Param>,
    /// `serial`: the port's configured name.
    pub port: Option<String>,
    /// `serial`: the request, with `{param}` places. The line ending is added.
    pub send: Option<String>,
    /// `serial`: a regular expression that a good answer matches; named captures become result fields.
    pub expect: Option<String>,
    /// `serial`: a regular expression that a refusal matches; a capture `reason` says why.
    pub fail: Option<String>,
    /// `serial`: how to ask the device whether a call took effect. Set it where a call must not be made
    /// twice and the device can tell: a call that was cut off is then settled instead of reported.
    pub verify: Option<Verify>,
    /// `sql`: one statement that only reads, with `:param` places.
    pub sql: Option<String>,
    /// `publish`: the event's kind, the last level of its topic.
    pub event: Option<String>,
    /// `publish`: which events go first, and fall last when the outbox is full. Default: `normal`.
    pub priority: Option<Priority>,
    /// `publish`: how long the event is worth anything. Set it where a late one would only mislead.
    pub ttl_seconds: Option<u32>,
    /// The reply to the person, with `{param}` and `{field}` places; `{field:.1}` rounds.
    pub reply: Option<String>,
    /// `sql`: the reply where no row, or only nulls, came back.
    pub reply_none: Option<String>,
    /// Sentences that mean this call, as `(turn|switch) [the] {device} {state}`.
    #[serde(default)]
    pub sentences: Vec<String>,
    /// Sentences with the call that each means, for the model.
    #[serde(default)]
    pub examples: Vec<Example>,
    /// How long one call may take. Default 2000.
    pub timeout_ms: Option<u64>,
}

/// How to ask a device whether a call took effect. It must be a request that only reads.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verify {
    /// The request, with `{param}` places.
    pub send: String,
    /// A regular expression of the answer that shows that it took effect. `{param}` stands for the argument
    /// as it is written in the request; a brace of the expression itself is written twice.
    pub expect: String,
    /// As `expect`, of the answer that shows that it did not. Without it, any other answer leaves the call
    /// as interrupted.
    pub otherwise: Option<String>,
}

/// What may be made of a call that was cut off, so that it is not known whether it took effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// It is reported as interrupted.
    Report,
    /// It is made again: its tool is idempotent.
    Repeat,
    /// The device is asked whether it took effect.
    ReadBack,
}

/// Which of several goes first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// After all others.
    Low,
    /// The default.
    #[default]
    Normal,
    /// Before all others.
    High,
}

/// What carries a tool out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A request and an answer on a serial port.
    Serial,
    /// A declared statement over the daemon's database.
    Sql,
    /// An event for the outbox.
    Publish,
    /// A line in the device's log book.
    Note,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Serial => "serial",
            Self::Sql => "sql",
            Self::Publish => "publish",
            Self::Note => "note",
        })
    }
}

/// Whether a call changes the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EffectKind {
    /// It only looks.
    Reads,
    /// It changes something: it gets an intent row before it runs.
    Acts,
}

/// A sentence and the arguments it means.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// What a person might say.
    pub say: String,
    /// The arguments of the call that it means.
    pub call: Map<String, Value>,
}

/// One `[[serial]]` section.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SerialSpec {
    /// The name that tools use for it.
    pub name: String,
    /// The device, as `/dev/ttyACM0`.
    pub path: String,
    /// Bits a second. Default 115200.
    #[serde(default = "default_baud")]
    pub baud: u32,
    /// How bytes become frames.
    #[serde(default)]
    pub framing: Framing,
    /// What ends a line in both directions. Default `"\n"`; a carriage return before it is dropped.
    #[serde(default = "default_line_ending")]
    pub line_ending: String,
    /// How much later than a tool's `timeout_ms` the device may still answer. Until then, or until that
    /// answer has come, no other request is sent, or the late answer would be taken for the next one's.
    /// Default: as long again as the `timeout_ms`. Set it where the device may be slower than that; 0
    /// where a device that is busy drops what it hears.
    pub late_ms: Option<u64>,
}

/// How bytes become frames.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Framing {
    /// One line a frame.
    #[default]
    Line,
}

fn default_baud() -> u32 {
    115_200
}

fn default_line_ending() -> String {
    "\n".to_owned()
}

impl ToolSpec {
    /// How long one call may take.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms.unwrap_or(DEFAULT_TIMEOUT_MS))
    }

    /// Whether a call of it changes the world.
    pub fn effect(&self) -> EffectKind {
        self.effect.unwrap_or(match self.kind {
            Kind::Sql => EffectKind::Reads,
            Kind::Serial | Kind::Publish | Kind::Note => EffectKind::Acts,
        })
    }

    /// What may be made of a call of it that was cut off.
    pub fn recovery(&self) -> Recovery {
        match (self.idempotent, &self.verify) {
            (true, _) => Recovery::Repeat,
            (false, Some(_)) => Recovery::ReadBack,
            (false, None) => Recovery::Report,
        }
    }

    /// Whether a call of it reaches out of the daemon. What only leaves an [`Effect`](crate::Effect) has not
    /// happened before the store commits it, so that a call that was cut off can be made again.
    pub fn reaches_out(&self) -> bool {
        matches!(self.kind, Kind::Serial)
    }
}

#[cfg(test)]
impl ToolSpec {
    /// A declaration for a test, in the words of a config file.
    #[track_caller]
    pub(crate) fn from_json(value: Value) -> Self {
        serde_json::from_value(value).expect("a declaration")
    }
}

#[cfg(test)]
impl SerialSpec {
    /// A port for a test.
    pub(crate) fn for_test(name: &str, path: &std::path::Path) -> Self {
        Self {
            name: name.to_owned(),
            path: path.display().to_string(),
            baud: default_baud(),
            framing: Framing::Line,
            line_ending: default_line_ending(),
            late_ms: None,
        }
    }
}
