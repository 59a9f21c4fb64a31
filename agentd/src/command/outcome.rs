//! What became of a command: the payload of `result`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Denial, elapsed_ms};

/// Why a call has no result where the daemon stopped in the middle of it.
pub const INTERRUPTED_WHY: &str =
    "the daemon stopped while this was under way; whether it took effect is not known";

/// What became of a command. `Deferred` and `WaitingApproval` are followed by another outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Done as asked.
    Done,
    /// Tried, and it did not work.
    Failed,
    /// Turned away; nothing was done.
    Denied,
    /// Its time had passed; nothing was done.
    Expired,
    /// Taken back; nothing was done.
    Cancelled,
    /// Only a remote model could do it and there is no network; it waits.
    Deferred,
    /// It waits for a person to approve.
    WaitingApproval,
    /// The daemon stopped in the middle of an acting call: whether it took effect is not known.
    Interrupted,
}

impl Status {
    /// Whether no other outcome follows.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Deferred | Self::WaitingApproval)
    }

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Deferred => "deferred",
            Self::WaitingApproval => "waiting_approval",
            Self::Interrupted => "interrupted",
        }
    }
}

/// Who turned the words into a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Route {
    /// A known sentence.
    Reflex,
    /// The model on the board.
    Model,
    /// A model elsewhere.
    Remote,
    /// Nobody: the sender spelled the call out, or nothing was routed.
    Direct,
}

impl Route {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reflex => "reflex",
            Self::Model => "model",
            Self::Remote => "remote",
            Self::Direct => "direct",
        }
    }
}

/// One call of an outcome.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallRecord {
    /// The tool's name.
    pub tool: String,
    /// The arguments it ran with.
    pub args: Map<String, Value>,
    /// Whether it did what it was asked.
    pub ok: bool,
    /// Its result fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Map<String, Value>>,
    /// Why it failed, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// How it became known what happened, where the call was cut off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled: Option<Settled>,
    /// How long it took, in milliseconds.
    pub ms: u64,
}

/// How it became known what happened to a call that was cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Settled {
    /// It was made again, because its tool is idempotent.
    Repeated,
    /// The device was asked.
    ReadBack,
}

/// What became of a command, as it goes to `result/<id>`, HTTP and the console.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The command's id.
    pub id: String,
    /// What became of it.
    pub status: Status,
    /// The reply to the person.
    pub text: String,
    /// Who turned the words into a call.
    pub route: Route,
    /// The model's name, where one was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// How sure the model was of its calls, 0 to 1, where one was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f32>,
    /// What ran, in order.
    pub calls: Vec<CallRecord>,
    /// Why it is not `done`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Denial>,
    /// From acceptance to the end, in milliseconds.
    pub ms: u64,
    /// When it was accepted.
    pub received_at: Timestamp,
    /// When it ended.
    pub finished_at: Timestamp,
}

impl Outcome {
    /// How sure the model was, for a person: ` (83 % sure)`, or nothing where no model was asked.
    pub fn certainty(&self) -> String {
        let percent = self.confidence.map(|confidence| confidence * 100.0);
        percent.map(|percent| format!(" ({percent:.0} % sure)")).unwrap_or_default()
    }

    /// The outcome of a command that was turned away.
    pub fn denied(id: &str, denial: Denial, received_at: Timestamp, now: Timestamp) -> Self {
        let text = format!("{} Nothing was done.", sentence(&denial.message));
        Self {
            id: id.to_owned(),
            status: if denial.code == "expired" { Status::Expired } else { Status::Denied },
            text,
            route: Route::Direct,
            model: None,
            confidence: None,
            calls: Vec::new(),
            error: Some(denial),
            ms: elapsed_ms(received_at, now),
            received_at,
            finished_at: now,
        }
    }
}

/// A clause as a sentence: a capital at its head, a full stop at its end.
pub fn sentence(clause: &str) -> String {
    let clause = clause.trim();
    let mut chars = clause.chars();
    let mut out: String = match chars.next() {
        Some(first) if !clause.starts_with('`') => first.to_uppercase().chain(chars).collect(),
        _ => clause.to_owned(),
    };
    if !out.ends_with(['.', '!', '?']) {
        out.push('.');
    }
    out
}
