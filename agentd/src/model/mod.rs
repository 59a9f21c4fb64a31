//! The model on the board: a worker process that holds llama.cpp, and the handle to it.
//!
//! ```text
//!  agent ──Ask──> Model (handle) ──> supervisor task ──frames──> `agentd worker` (llama.cpp)
//!        <─Answer─                        │ restarts with backoff, says so in health
//! ```
//!
//! Bounds: [`QUEUE`] asks wait beside those in hand; an ask has a deadline and a token limit; a frame is at most
//! [`frame::MAX_FRAME_BYTES`].

pub mod adapter;
pub mod bar;
pub mod built_in;
pub mod catalog;
pub mod config;
pub mod constrain;
pub mod constraint;
pub mod dialect;
pub mod digest;
pub mod fetch;
pub mod frame;
pub mod gguf;
pub mod grammar;
mod in_hand;
mod jobs;
pub mod llama;
pub mod loaded;
pub mod merge;
pub mod pieces;
pub mod prefix;
pub mod process;
pub mod pull;
pub mod quant;
pub mod scripted;
pub mod sequences;
pub mod share;
pub mod supervisor;
pub mod thinker;
pub mod tuned;
pub mod vocabulary;
pub mod worker;
mod writing;

use std::sync::Arc;
use std::time::Instant;

use agentd_tools::spec::Priority;
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use self::constraint::Constraint;

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
#[derive(Debug)]
pub struct Ask {
    /// The prompt, rendered by the worker with the model's own chat template.
    pub messages: Vec<Message>,
    /// What the answer may be.
    pub grammar: Constraint,
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

/// An ask on its way.
#[derive(Debug)]
pub(crate) struct Posted {
    pub(crate) ask: Ask,
    /// Gets the answer. Dropping the receiver cancels the ask.
    pub(crate) reply: oneshot::Sender<Result<Answer, ModelError>>,
    /// Its place among those that wait or are in hand.
    _place: OwnedSemaphorePermit,
}

/// What the model wrote, and what it took.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The text, complete by the grammar.
    pub text: String,
    /// How probable the model holds it among all that the grammar admits, 0 to 1: the product of its choices.
    #[serde(default)]
    pub confidence: f32,
    /// What it took.
    pub usage: Usage,
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
    /// The worker is gone; it is started again.
    Down {
        /// The model's name.
        name: String,
        /// Why.
        cause: String,
    },
}

/// The handle to the model. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Model {
    /// To the supervisor.
    asks: mpsc::UnboundedSender<Posted>,
    /// Bounds the asks that wait or are in hand.
    places: Arc<Semaphore>,
    /// From the supervisor.
    state: watch::Receiver<State>,
}

impl Model {
    /// The handle where no model is configured: every ask is refused.
    pub fn off() -> Self {
        let (_, state) = watch::channel(State::Off);
        Self::new(0, state).0
    }

    /// A handle for `parallel` asks in hand, and where they come out.
    fn new(
        parallel: usize,
        state: watch::Receiver<State>,
    ) -> (Self, mpsc::UnboundedReceiver<Posted>) {
        // The semaphore is what bounds it.
        let (asks, posted) = mpsc::unbounded_channel();
        let places = Arc::new(Semaphore::new(parallel + QUEUE));
        (Self { asks, places, state }, posted)
    }

    /// What the worker is doing now.
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Watches what the worker is doing.
    pub fn watch(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Has the worker compute or restore what these messages leave in its memory. Returns what that took.
    pub async fn prepare(
        &self,
        messages: Vec<Message>,
        deadline: Instant,
    ) -> Result<Usage, ModelError> {
        let grammar = Constraint::default();
        // Everybody's next ask is the faster for it.
        let priority = Priority::High;
        let ask = Ask { messages, grammar, max_tokens: 0, priority, deadline, pieces: None };
        Ok(self.ask(ask).await?.usage)
    }

    /// Asks, and waits for the answer. Dropping the future cancels the ask.
    pub async fn ask(&self, ask: Ask) -> Result<Answer, ModelError> {
        // Before it takes a place in the queue, and before it reaches a worker that might not survive it.
        let admitted = ask.grammar.admit();
        admitted.map_err(|why| ModelError::Refused(format!("its grammar is not taken: {why}")))?;
        if let State::Off = *self.state.borrow() {
            return Err(ModelError::Unavailable("none is configured".into()));
        }
        if let State::Down { cause, .. } = &*self.state.borrow() {
            return Err(ModelError::Unavailable(cause.clone()));
        }
        let is_json = matches!(ask.grammar, Constraint::JsonSchema(_)) && ask.max_tokens > 0;
        let (reply, answer) = oneshot::channel();
        let deadline = ask.deadline;
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| ModelError::Busy)?;
        let posted = Posted { ask, reply, _place: place };
        self.asks
            .send(posted)
            .map_err(|_| ModelError::Unavailable("it has been shut down".into()))?;
        match tokio::time::timeout_at(deadline.into(), answer).await {
            Ok(Ok(Ok(answer))) if is_json => readable(answer),
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(ModelError::Crashed("the supervisor dropped the ask".into())),
            Err(_) => Err(ModelError::TooLate),
        }
    }
}

/// An answer that is JSON, as far as it can be read. A schema that says nothing of a number admits every
/// exponent, and no reader holds 1e999.
fn readable(answer: Answer) -> Result<Answer, ModelError> {
    match serde_json::from_str::<serde_json::Value>(&answer.text) {
        Ok(_) => Ok(answer),
        Err(e) => Err(ModelError::Refused(format!("its answer cannot be read as JSON: {e}"))),
    }
}
