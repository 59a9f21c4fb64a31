//! The agent: takes commands from the store and brings each to its one outcome.
//!
//! It knows neither MQTT nor HTTP. Its loop wakes on three things: a command may be waiting, a command
//! has ended, the daemon stops. Bounds: [`CONCURRENT`] commands run at once, one of a lane, so that one
//! person's commands keep their order and a slow model does not hold up another's known sentence.

mod execute;
mod feedback;
pub mod memory;
mod missing;
pub mod pattern;
pub mod prompt;
pub mod reflex;
pub mod reply;
mod route;
pub mod turn;
mod warm;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use agentd_tools::Toolbox;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use log::warn;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::ground::Grounds;
use crate::health::Health;
use crate::metrics::Metrics;
use crate::model::{Message, Model, grammar};
use crate::policy::Policy;
use crate::store::Store;
use crate::watchdog::{self, Heartbeat};
use memory::{Exchange, Memory};
use reflex::{Reflex, SentenceError};

/// Commands that run at once: those that wait for the model, one for each of a few slow ports, and room for known
/// sentences, which are done while the others wait.
const CONCURRENT: usize = 32;
/// Commands that are with the model at once, which writes several answers at once and has places for some more. Others
/// wait for one of these to end; what is urgent does not.
const THINKING: usize = 8;
/// How long commands under way may take to end when the daemon stops.
const STOP: Duration = Duration::from_secs(5);
/// How soon the store is asked again after it failed.
const STORE_RETRY: Duration = Duration::from_secs(1);

/// What the agent works with.
pub struct Parts {
    /// Where commands come from and outcomes go.
    pub store: Store,
    /// What can be done.
    pub toolbox: Toolbox,
    /// Who turns unknown words into calls.
    pub model: Model,
    /// What may be done.
    pub policy: Policy,
    /// Whom to tell when the store fails.
    pub health: Health,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The most tokens of one answer of the model.
    pub max_tokens: u32,
    /// The most calls of one answer of the model.
    pub max_calls: usize,
    /// What the model is less sure of is asked back, 0 to 1.
    pub min_confidence: f32,
    /// Whether the model may give only values that stand in the request.
    pub grounded: bool,
    /// The loop's sign of life.
    pub heartbeat: Heartbeat,
}

/// The agent.
pub struct Agent {
    store: Store,
    toolbox: Toolbox,
    model: Model,
    policy: Mutex<Policy>,
    health: Health,
    metrics: Arc<Metrics>,
    reflex: Reflex,
    preamble: Vec<Message>,
    memory: Mutex<Memory>,
    thinking: Semaphore,
    max_tokens: u32,
    max_calls: usize,
    min_confidence: f32,
    grounded: bool,
    /// A sentence that is understood without a model, to tell a person who is at a loss.
    hint: Option<String>,
    heartbeat: Heartbeat,
}

impl Agent {
    /// Compiles sentences and prompt.
    pub fn new(parts: Parts) -> Result<Self, Vec<SentenceError>> {
        let specs: Vec<_> = parts.toolbox.specs().cloned().collect();
        let hint = specs.iter().flat_map(|spec| &spec.examples).map(|e| e.say.clone()).next();
        Ok(Self {
            reflex: Reflex::new(&specs)?,
            preamble: prompt::preamble(&specs),
            memory: Mutex::default(),
            thinking: Semaphore::new(THINKING),
            hint,
            store: parts.store,
            toolbox: parts.toolbox,
            model: parts.model,
            policy: Mutex::new(parts.policy),
            health: parts.health,
            metrics: parts.metrics,
            max_tokens: parts.max_tokens,
            max_calls: parts.max_calls,
            min_confidence: parts.min_confidence,
            grounded: parts.grounded,
            heartbeat: parts.heartbeat,
        })
    }

    /// The grammar of the answer to a request, which may refer to what was said before.
    fn grammar(&self, request: &str, before: Option<&Exchange>) -> String {
        let earlier = before.map_or("", |exchange| exchange.say.as_str());
        let grounds = self.grounded.then(|| Grounds::of(request).and_before(earlier));
        let specs: Vec<_> = self.toolbox.specs().collect();
        grammar::calls(&specs, self.max_calls, grounds.as_ref())
    }

    /// Works until `stop` says so; then lets what is under way end, for at most [`STOP`].
    pub async fn run(self, stop: CancellationToken) {
        let mut changed = self.store.inbox_changed();
        let mut running: FuturesUnordered<BoxFuture<'_, String>> = FuturesUnordered::new();
        let mut busy_lanes: Vec<String> = Vec::new();
        let mut store_failed = false;
        let mut turn = tokio::time::interval(watchdog::TURN);
        let warming = self.keep_warm();
        tokio::pin!(warming);
        while !stop.is_cancelled() {
            changed.mark_unchanged();
            while running.len() < CONCURRENT {
                match self.store.next(busy_lanes.clone()).await {
                    Ok(Some(waiting)) => {
                        busy_lanes.push(waiting.lane.clone());
                        running.push(Box::pin(self.execute(waiting)));
                    }
                    Ok(None) => {
                        store_failed = false;
                        break;
                    }
                    Err(error) => {
                        warn!(error:% = error; "the inbox cannot be read");
                        store_failed = true;
                        break;
                    }
                }
            }
            tokio::select! {
                Some(lane) = running.next() => busy_lanes.retain(|busy| *busy != lane),
                result = changed.changed() => if result.is_err() { break },
                () = stop.cancelled() => {}
                _ = turn.tick() => self.heartbeat.beat(),
                () = &mut warming => {}
                () = tokio::time::sleep(STORE_RETRY), if store_failed => {}
            }
        }
        let rest = async { while running.next().await.is_some() {} };
        // What does not end in time is dropped. A call that acts has its intent row, so that the next
        // start ends the command as interrupted.
        let _ = tokio::time::timeout(STOP, rest).await;
    }
}
