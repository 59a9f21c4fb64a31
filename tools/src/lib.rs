//! The tools of agentd: everything that reads from a board or acts on it.
//!
//! What this crate does not know: MQTT, the model, policy, who asked. It is given a checked call and
//! a deadline, and gives back what really happened. It opens the database read-only and never writes
//! it: what a call leaves behind ([`Effect`]) is written by the store, in the transaction that ends
//! the command.

pub mod args;
pub mod check;
mod connection;
pub mod device;
pub mod line;
pub mod near;
pub mod note;
mod owed;
pub mod param;
pub mod port;
pub mod publish;
pub mod schema;
pub mod serial;
pub mod spec;
pub mod sql;
pub mod template;
pub mod toolbox;
pub mod unit;

use std::time::Instant;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use args::{ArgError, ArgErrors};
pub use check::SpecError;
pub use port::{PortState, PortTask};
pub use spec::{EffectKind, Param, Priority, Recovery, SerialSpec, ToolSpec, Verify};
pub use toolbox::{Toolbox, ToolboxError};

/// Arguments by parameter name, already checked against the tool's declared parameters.
pub type Args = Map<String, Value>;

/// One thing the daemon can do. The only implementors are the kinds in this crate.
#[async_trait]
pub trait Tool: Send + Sync {
    /// The declaration this tool was made from.
    fn spec(&self) -> &ToolSpec;

    /// Runs one call and says what came back. It must return by `deadline`; a tool that cannot say
    /// whether its effect took place says so through [`ToolError::effect_unknown`].
    async fn run(&self, args: &Args, deadline: Instant) -> Result<Output, Failure>;

    /// Asks the device whether a call took effect, where the tool declares how. It changes nothing.
    async fn read_back(&self, _args: &Args, _deadline: Instant) -> Result<ReadBack, Failure> {
        let why = format!("`{}` declares no way to read it back", self.spec().name);
        Err(ToolError::BadRequest { why }.into())
    }
}

/// What a device says of a call that was cut off.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadBack {
    /// Whether the call took effect.
    pub took_effect: bool,
    /// What the device answered.
    pub answer: String,
    /// As in [`Output::wire`].
    pub wire: Vec<WireFrame>,
}

/// What a call gave back.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Output {
    /// Result fields by name: named captures of `expect`, columns of the one SQL row, ...
    pub fields: Map<String, Value>,
    /// The bytes that crossed the wire, in order. Empty for tools without a wire.
    pub wire: Vec<WireFrame>,
    /// What the store is to write when the command ends.
    pub effects: Vec<Effect>,
}

/// A failed call, with the bytes that crossed the wire before it failed.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct Failure {
    /// Why it failed.
    pub error: ToolError,
    /// As in [`Output::wire`].
    pub wire: Vec<WireFrame>,
}

impl From<ToolError> for Failure {
    fn from(error: ToolError) -> Self {
        Self { error, wire: Vec::new() }
    }
}

/// One frame on a wire, as text with control characters escaped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireFrame {
    /// `true` for what the daemon sent.
    pub sent: bool,
    /// The frame with its line ending, escaped as in a Rust string literal.
    pub text: String,
}

/// What a call leaves behind in the store.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// An event for the outbox: published on `event/<kind>`.
    Event {
        /// The last level of the topic.
        kind: String,
        /// A JSON object.
        payload: Map<String, Value>,
        /// Which goes first.
        priority: Priority,
        /// How long it is worth anything, in seconds.
        ttl_seconds: Option<u32>,
    },
    /// A line in the device's log book, also sent as `event/note`.
    Note {
        /// What was noted, in the words of the person.
        text: String,
    },
}

/// Why a call failed, in words for the person who asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ToolError {
    /// The device is not there or cannot be opened. Nothing was sent.
    #[error("{what} is not available: {why}")]
    Unavailable {
        /// The port by its configured name and path.
        what: String,
        /// The cause and what to do about it.
        why: String,
    },
    /// The device answered, and said no.
    #[error("{what} refused: {reason}")]
    Refused {
        /// The port by its configured name.
        what: String,
        /// What the device said.
        reason: String,
    },
    /// The request was sent and no answer came in time.
    #[error("{what} did not answer within {ms} ms")]
    NoAnswer {
        /// The port by its configured name.
        what: String,
        /// How long it was waited for, in milliseconds.
        ms: u64,
    },
    /// The device answered with something that neither `expect` nor `fail` describes.
    #[error("{what} gave an answer that is not understood: {answer:?}")]
    Unexpected {
        /// The port by its configured name.
        what: String,
        /// The answer, shortened to 200 characters.
        answer: String,
    },
    /// The connection broke while the request was under way.
    #[error("the connection to {what} broke: {why}")]
    Broken {
        /// The port by its configured name.
        what: String,
        /// The system's error.
        why: String,
    },
    /// The database did not answer the statement.
    #[error("the database could not answer: {why}")]
    Database {
        /// SQLite's error.
        why: String,
    },
    /// The arguments passed, and still make no request that can be sent. Nothing was sent.
    #[error("the request cannot be sent: {why}")]
    BadRequest {
        /// What is wrong with it.
        why: String,
    },
    /// More callers wait for the port than its queue holds, or the call's time passed while it
    /// waited for its turn. Nothing was sent.
    #[error("{what} is busy")]
    Busy {
        /// The port by its configured name.
        what: String,
    },
}

impl ToolError {
    /// The stable code that goes into an outcome's `error.code`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unavailable { .. } => "unavailable",
            Self::Refused { .. } => "refused",
            Self::NoAnswer { .. } => "no_answer",
            Self::Unexpected { .. } => "unexpected_answer",
            Self::Broken { .. } => "broken",
            Self::Database { .. } => "database",
            Self::BadRequest { .. } => "bad_request",
            Self::Busy { .. } => "busy",
        }
    }

    /// Whether the effect may have taken place although the call failed.
    pub fn effect_unknown(&self) -> bool {
        matches!(self, Self::NoAnswer { .. } | Self::Unexpected { .. } | Self::Broken { .. })
    }
}
