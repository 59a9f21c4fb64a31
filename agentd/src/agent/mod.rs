//! The agent: takes commands from the store and brings each to its one outcome.
//!
//! It knows neither MQTT nor HTTP. Its loop wakes on three things: a command may be waiting, a command
//! has ended, the daemon stops. Bounds: [`CONCURRENT`] commands run at once, one of a lane, so that one
//! person's commands keep their order and a slow model does not hold up another's known sentence.

pub mod config;
mod execute;
mod feedback;
pub mod memory;
pub mod mind;
mod missing;
pub mod pattern;
pub mod prompt;
pub mod reflex;
pub mod reply;
mod route;
mod session;
pub mod turn;
pub mod view;
mod warm;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use agentd_tools::Toolbox;
use futures_util::StreamExt as _;
use futures_util::future::{BoxFuture, join_all};
use futures_util::stream::FuturesUnordered;
use log::warn;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::command::Command;
use crate::health::Health;
use crate::metrics::Metrics;
use crate::policy::Policy;
use crate::store::Store;
use crate::watchdog::{self, Heartbeat};
use memory::Memory;
use mind::Mind;

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
    /// Whom commands can ask, the default one first.
    pub minds: Vec<Mind>,
    /// What may be done.
    pub policy: Policy,
    /// Whom to tell when the store fails.
    pub health: Health,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The loop's sign of life.
    pub heartbeat: Heartbeat,
}

/// The agent.
pub struct Agent {
    store: Store,
    toolbox: Toolbox,
    minds: Vec<Mind>,
    policy: Mutex<Policy>,
    health: Health,
    metrics: Arc<Metrics>,
    memory: Mutex<Memory>,
    /// What was said last in a session and not understood.
    not_understood: Mutex<Memory>,
    thinking: Semaphore,
    /// Held by the agent whose static part is being prepared.
    warming: tokio::sync::Mutex<()>,
    heartbeat: Heartbeat,
}

impl Agent {
    /// Of these parts.
    pub fn new(parts: Parts) -> Self {
        let names = parts.minds.iter().map(|mind| mind.name().to_owned());
        Self {
            memory: Mutex::default(),
            not_understood: Mutex::default(),
            thinking: Semaphore::new(THINKING),
            warming: tokio::sync::Mutex::default(),
            policy: Mutex::new(parts.policy.with_agents(names)),
            store: parts.store,
            toolbox: parts.toolbox,
            minds: parts.minds,
            health: parts.health,
            metrics: parts.metrics,
            heartbeat: parts.heartbeat,
        }
    }

    /// Who is asked by a command; policy has refused one that names nobody.
    fn mind(&self, command: &Command) -> &Mind {
        let named = command.agent.as_deref();
        let named = named.and_then(|name| self.minds.iter().find(|mind| mind.name() == name));
        named.unwrap_or(&self.minds[0])
    }

    /// Works until `stop` says so; then lets what is under way end, for at most [`STOP`].
    pub async fn run(self, stop: CancellationToken) {
        let mut changed = self.store.inbox_changed();
        let mut running: FuturesUnordered<BoxFuture<'_, String>> = FuturesUnordered::new();
        let mut busy_lanes: Vec<String> = Vec::new();
        let mut store_failed = false;
        let mut turn = tokio::time::interval(watchdog::TURN);
        let warming = join_all(self.minds.iter().map(|mind| self.keep_warm(mind)));
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
                _ = &mut warming => {}
                () = tokio::time::sleep(STORE_RETRY), if store_failed => {}
            }
        }
        let rest = async { while running.next().await.is_some() {} };
        // What does not end in time is dropped. A call that acts has its intent row, so that the next
        // start ends the command as interrupted.
        let _ = tokio::time::timeout(STOP, rest).await;
    }
}
