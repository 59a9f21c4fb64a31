//! What is happening right now, for those who watch: the console, the kiosk, `/api/events`.
//!
//! The feed is told only after the store has committed, and nothing depends on it being heard: a slow
//! watcher misses notices (it is told how many) and never holds anybody up. Bound: 1024 notices.

use std::sync::Arc;

use agentd_tools::WireFrame;
use serde::Serialize;
use tokio::sync::broadcast;

use crate::command::{CallRecord, Outcome, Route};

/// How many notices a watcher may fall behind before it misses some.
const CAPACITY: usize = 1024;

/// One thing that happened.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "notice", rename_all = "snake_case")]
pub enum Notice {
    /// A command was accepted and its row committed.
    Accepted {
        /// The command's id.
        id: String,
        /// What was asked, in one line.
        text: String,
        /// The front-end: `mqtt`, `http`, `wyoming`, ...
        source: String,
    },
    /// It was decided who answers.
    Routed {
        /// The command's id.
        id: String,
        /// Who.
        route: Route,
    },
    /// The model wrote some more of its first answer; what counts is told when it is done, and may be another one.
    Token {
        /// The command's id.
        id: String,
        /// The piece of text.
        text: String,
    },
    /// A call is about to run; its intent is committed where it acts.
    CallStarted {
        /// The command's id.
        id: String,
        /// The call in the compact syntax.
        call: String,
    },
    /// A call came back.
    CallEnded {
        /// The command's id.
        id: String,
        /// What ran and what came of it.
        record: CallRecord,
        /// The bytes that crossed the wire.
        wire: Vec<WireFrame>,
    },
    /// The outcome was committed.
    Finished {
        /// The outcome.
        outcome: Outcome,
    },
    /// A poll stored a reading.
    Reading {
        /// The sensor.
        sensor: String,
        /// Its value in the unit that the poll declares.
        value: f64,
    },
    /// A component was lost or came back, or the link went up or down.
    Health {
        /// The component: `link`, `model`, `port:board`, ...
        component: String,
        /// The cause while it is degraded; none once it is back.
        cause: Option<String>,
        /// Once it is back, what was missed without it, where that is counted.
        #[serde(skip_serializing_if = "Option::is_none")]
        missed: Option<String>,
    },
}

/// The handle: cheap to clone, both to tell and to watch.
#[derive(Debug, Clone)]
pub struct Feed(broadcast::Sender<Arc<Notice>>);

impl Default for Feed {
    fn default() -> Self {
        Self(broadcast::Sender::new(CAPACITY))
    }
}

impl Feed {
    /// Tells all who watch.
    pub fn tell(&self, notice: Notice) {
        // An error only says that nobody watches.
        let _ = self.0.send(Arc::new(notice));
    }

    /// Watches from now on.
    pub fn watch(&self) -> broadcast::Receiver<Arc<Notice>> {
        self.0.subscribe()
    }
}
