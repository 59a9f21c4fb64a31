//! The model on the board: a worker process that holds llama.cpp, and the handle to it.
//!
//! ```text
//!  agent ──Ask──> Model (handle) ──> supervisor task ──frames──> `agentd worker` (llama.cpp)
//!        <─Answer─      │                 │ restarts with backoff, says so in health
//!                       └ where there are several models: the first one that can be asked
//! ```
//!
//! Bounds: [`QUEUE`] asks wait beside those in hand; an ask has a deadline and a token limit; a frame is at most
//! [`frame::MAX_FRAME_BYTES`].

pub mod adapter;
mod advance;
mod answers;
pub mod bar;
pub mod board;
pub mod built_in;
pub mod catalog;
mod choice;
pub mod config;
pub mod constrain;
pub mod constraint;
pub mod devices;
pub mod dialect;
pub mod digest;
mod draft;
mod factories;
pub mod fetch;
pub mod frame;
pub mod gguf;
pub mod grammar;
mod handle;
mod in_hand;
mod job;
mod jobs;
mod kept;
pub mod kernels;
pub mod ladder;
mod launch;
pub mod llama;
pub mod loaded;
mod lookup;
pub mod manager;
mod members;
pub mod merge;
pub mod native;
mod native_read;
pub mod needs;
pub mod offer;
mod path;
pub mod pieces;
pub mod prefix;
mod prior;
pub mod process;
pub mod pull;
mod pythonic;
pub mod quant;
mod recall;
pub mod restart;
pub mod scripted;
mod search;
pub mod second;
pub mod sequences;
pub mod share;
pub(crate) mod spelling;
mod stamp;
pub mod supervisor;
pub mod template;
pub mod thinker;
pub mod tuned;
pub mod variant;
pub mod vocabulary;
pub mod words;
pub mod worker;
mod writing;

use std::sync::Arc;
use std::time::Instant;

use agentd_tools::spec::Priority;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use self::constraint::Constraint;
pub use self::handle::Model;
use self::handle::{Posted, Rung};
use self::offer::Offer;

/// Asks that may wait while `model.parallel` others are in hand. A small board answers one in about a second, and a
/// person does not wait longer than this many; the next one is told `busy`.
pub const QUEUE: usize = 8;

/// One message of the conversation that the model continues.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// The text.
    pub content: String,
}

/// What is asked of the model. The messages that never change come first: their KV state is reused.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The prompt, rendered by the worker with the model's own chat template.
    pub messages: Vec<Message>,
    /// What the answer may be.
    pub grammar: Constraint,
    /// The same for a model that nobody tuned on our prompts, and that has a way of its own to be offered tools: it gets this
    /// in place of messages and grammar. The answer is in our syntax all the same.
    pub offer: Option<Arc<Offer>>,
    /// The most tokens that the answer may have. With 0 no answer is written: the state that the messages
    /// leave is computed, and kept for the asks that begin with them.
    pub max_tokens: u32,
    /// Who goes first.
    pub priority: Priority,
    /// The answer is not wanted after this.
    pub deadline: Instant,
    /// Gets the pieces of the answer as they are written; dropped when full.
    pub pieces: Option<mpsc::Sender<String>>,
}

/// What the model wrote, and what it took.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The text, complete by the grammar.
    pub text: String,
    /// How probable the model holds it among all that the grammar admits, 0 to 1: the product of its choices.
    #[serde(default)]
    pub confidence: f32,
    /// What else it may be, the likeliest first, where it looked for a likelier one.
    #[serde(default)]
    pub alternatives: Vec<Alternative>,
    /// Which model wrote it; empty in a worker, which knows its own file alone.
    #[serde(default)]
    pub model: String,
    /// What it took.
    pub usage: Usage,
}

/// Another answer that the grammar admits.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Alternative {
    /// The text.
    pub text: String,
    /// How probable the model holds it, as of an [`Answer`].
    pub confidence: f32,
}

/// What an answer took.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Prompt tokens taken from the KV cache, or restored from the disk.
    pub reused: u32,
    /// Prompt tokens decoded.
    pub prefilled: u32,
    /// Tokens that the grammar forced.
    pub forced: u32,
    /// Tokens that were sampled.
    pub sampled: u32,
    /// Tokens that were guessed, to be decoded along with those that were decided.
    #[serde(default)]
    pub guessed: u32,
    /// Tokens of the guesses that the model then chose, or the grammar forced.
    #[serde(default)]
    pub guessed_right: u32,
    /// Batches that its tokens were decoded in.
    #[serde(default)]
    pub decodes: u32,
    /// For the grammar: compiling it, or copying one that was kept; in microseconds.
    pub grammar_us: u32,
    /// From the worker's receipt to the first token of the answer, in milliseconds.
    pub first_token_ms: u32,
    /// From the worker's receipt to the end, in milliseconds.
    pub total_ms: u32,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "kind", content = "message", rename_all = "snake_case")]
pub enum ModelError {
    /// No model is configured, installed, or loaded yet.
    #[error("there is no model: {0}")]
    Unavailable(String),
    /// The worker died while it held the ask.
    #[error("the model's process ended while it was thinking: {0}")]
    Crashed(String),
    /// The deadline passed.
    #[error("the model did not finish in time")]
    TooLate,
    /// [`QUEUE`] asks wait already.
    #[error("the model is busy")]
    Busy,
    /// The worker refused the ask: a grammar that does not compile, a prompt that is too long.
    #[error("the model cannot be asked that: {0}")]
    Refused(String),
}

/// What the worker is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// No model is configured.
    Off,
    /// The worker loads the model.
    Loading {
        /// The model's name.
        name: String,
    },
    /// The worker waits for asks.
    Ready {
        /// The model's name.
        name: String,
        /// SHA-256 of the file, in hex.
        sha256: String,
    },
    /// Nobody asked it for `model.idle_seconds`, and its memory was given back; the next ask loads it again.
    Asleep {
        /// The model's name.
        name: String,
    },
    /// The worker is gone; it is started again.
    Down {
        /// The model's name.
        name: String,
        /// Why.
        cause: String,
    },
}
