//! Keeps a worker running, and gives it the asks, some at a time.
//!
//! ```text
//!            Ready                       ask            Done, Failed, Cancelled
//!  Loading ────────> Ready (idle) ──────────> Ready (busy) ──────────> Ready (idle)
//!     ^  └───────┬─────┴────────────────────────┘
//!     │          │ the worker ends, breaks the protocol, or does not come back from a cancelled ask
//!     └── Down <─┘
//!  backoff: 0.5 s, doubled up to 30 s, from the start again after 60 s of being well
//! ```
//!
//! Bounds: `model.parallel` asks are in hand; [`QUEUE`](super::QUEUE) more wait; a load takes [`LOAD_TIMEOUT`] at most; a
//! cancelled ask and a stop have [`GRACE`], and then the worker is killed. While it is down no ask waits.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{debug, info};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::config::{ModelConfig, Source};
use super::frame::{FromWorker, ToWorker};
use super::in_hand::{Due, GRACE, InHand, answer};
use super::process::{Process, Said};
use super::{Model, ModelError, Posted, State};
use crate::health::Health;
use crate::metrics::Metrics;

/// How long a load may take: a model of some GiB from a slow card.
pub const LOAD_TIMEOUT: Duration = Duration::from_secs(300);

/// The component's name in [`Health`].
const COMPONENT: &str = "model";

/// The task that keeps a worker running. [`Supervisor::run`] is its whole life.
pub struct Supervisor {
    arguments: Vec<String>,
    executable: PathBuf,
    name: String,
    asks: mpsc::UnboundedReceiver<Posted>,
    /// Asks that a worker has in hand at once.
    parallel: usize,
    state: watch::Sender<State>,
    health: Health,
    metrics: Arc<Metrics>,
    /// The count of missed commands when the model was last ready.
    missed_before: u64,
}

/// Why one worker's life ended.
enum End {
    /// The daemon stops.
    Shutdown,
    /// The worker is gone, or was killed because it had to be.
    Died(String),
}

impl Supervisor {
    /// The handle and the task. `executable` is the program whose `worker` command is started: the
    /// daemon's own, `std::env::current_exe()`.
    pub fn new(
        config: &ModelConfig,
        source: &Source,
        executable: PathBuf,
        health: Health,
        metrics: Arc<Metrics>,
    ) -> (Model, Self) {
        let name = source.name().to_owned();
        let (state, watcher) = watch::channel(State::Loading { name: name.clone() });
        let parallel = config.parallel.get() as usize;
        let (model, asks) = Model::new(parallel, watcher);
        let arguments = arguments(config, source);
        let supervisor = Self {
            arguments,
            executable,
            name,
            asks,
            parallel,
            state,
            health,
            metrics,
            missed_before: 0,
        };
        (model, supervisor)
    }

    /// Starts workers until `shutdown`, then stops the one that runs.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut backoff = Backoff::default();
        loop {
            self.state.send_replace(State::Loading { name: self.name.clone() });
            self.metrics.worker_starts_total.add_one();
            let mut ready_at = None;
            let end = match Process::start(&self.executable, &self.arguments) {
                Ok(mut worker) => {
                    let end = self.one_life(&mut worker, &mut ready_at, &shutdown).await;
                    worker.stop(GRACE).await;
                    end
                }
                Err(e) => {
                    End::Died(format!("{} cannot be started: {e}", self.executable.display()))
                }
            };
            self.metrics.model_ready.set(0);
            let End::Died(cause) = end else { break };
            self.state.send_replace(State::Down { name: self.name.clone(), cause: cause.clone() });
            self.health.lose(COMPONENT, cause.clone());
            let pause = backoff.next(ready_at.map(|at: Instant| at.elapsed()));
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = sleep(pause) => {}
                () = refuse_all(&mut self.asks, &cause) => {}
            }
        }
        self.state.send_replace(State::Off);
        self.asks.close();
        while let Ok(ask) = self.asks.try_recv() {
            answer(ask, Err(ModelError::Unavailable("the daemon stops".into())));
        }
    }

    /// From the start of a worker to its end. Whoever's ask is in hand at the end is told.
    async fn one_life(
        &mut self,
        worker: &mut Process,
        ready_at: &mut Option<Instant>,
        shutdown: &CancellationToken,
    ) -> End {
        let loaded = tokio::select! {
            () = shutdown.cancelled() => return End::Shutdown,
            () = sleep(LOAD_TIMEOUT) => Err(format!("not loaded within {LOAD_TIMEOUT:?}")),
            loaded = load(worker) => loaded,
        };
        match loaded {
            Ok(state) => {
                *ready_at = Some(Instant::now());
                // The config's name is the one that people know; the file's own goes to the log.
                self.state.send_replace(State::Ready { name: self.name.clone(), sha256: state });
            }
            Err(cause) => return End::Died(cause),
        }
        self.metrics.model_ready.set(1);
        // Since it was last well: the command that it had in hand when it died is one of them.
        let missed_total = self.metrics.model_missed_total.get();
        let missed = missed_total - std::mem::replace(&mut self.missed_before, missed_total);
        let missed = format!("commands that it was not there for: {missed}");
        self.health.regain(COMPONENT, Some(missed));
        let mut in_hand = InHand::new(self.parallel);
        let end = self.attend(&mut in_hand, worker, shutdown).await;
        match &end {
            End::Shutdown => in_hand.refuse("the daemon stops"),
            End::Died(cause) => in_hand.crash(cause),
        }
        end
    }

    /// Gives asks to a worker that is ready and hears what it says, until its end.
    async fn attend(
        &mut self,
        in_hand: &mut InHand,
        worker: &mut Process,
        shutdown: &CancellationToken,
    ) -> End {
        loop {
            // All that came, so that the most urgent is given out first.
            while let Ok(posted) = self.asks.try_recv() {
                in_hand.wait(posted);
            }
            while let Some((id, frame)) = in_hand.give_out() {
                if let Err(e) = worker.send(&frame, GRACE).await {
                    if !e.is_too_large() {
                        return End::Died(worker.post_mortem(&e.to_string()).await);
                    }
                    in_hand.end(id, Err(ModelError::Refused(e.to_string())));
                }
            }
            tokio::select! {
                () = shutdown.cancelled() => return End::Shutdown,
                said = worker.next() => match said {
                    Said::Frame(frame) => self.hear(frame, in_hand),
                    Said::Gone(cause) => return End::Died(cause),
                },
                posted = self.asks.recv() => match posted {
                    Some(posted) => in_hand.wait(posted),
                    None => return End::Shutdown,
                },
                due = in_hand.due() => match due {
                    Due::Dropped => {}
                    Due::Cancel(id) => {
                        if let Err(e) = worker.send(&ToWorker::Cancel { id }, GRACE).await {
                            return End::Died(worker.post_mortem(&e.to_string()).await);
                        }
                    }
                    Due::Overdue(id) => {
                        let why = format!("it did not leave an ask within {GRACE:?}");
                        let cause = worker.kill(&why).await;
                        in_hand.end(id, Err(ModelError::TooLate));
                        return End::Died(cause);
                    }
                },
            }
        }
    }

    fn hear(&self, frame: FromWorker, in_hand: &mut InHand) {
        let is_ours = match frame {
            FromWorker::Piece { id, text } => return in_hand.show(id, text),
            FromWorker::Done { id, answer } => {
                let usage = answer.usage.clone();
                let is_ours = in_hand.end(id, Ok(answer));
                if is_ours {
                    self.metrics.model_tokens_reused_total.add(usage.reused.into());
                    self.metrics.model_tokens_prefilled_total.add(usage.prefilled.into());
                    self.metrics.model_tokens_forced_total.add(usage.forced.into());
                    self.metrics.model_tokens_sampled_total.add(usage.sampled.into());
                    self.metrics.model_decodes_total.add(usage.decodes.into());
                }
                is_ours
            }
            FromWorker::Failed { id, error } => in_hand.end(id, Err(error)),
            FromWorker::Cancelled { id } => in_hand.end(id, Err(ModelError::TooLate)),
            FromWorker::Loading { .. } | FromWorker::Ready { .. } | FromWorker::Fatal { .. } => {
                false
            }
        };
        if !is_ours {
            debug!("the model's worker said something of no ask in hand");
        }
    }
}

/// Waits until the worker has loaded its model, and gives the file's hash.
async fn load(worker: &mut Process) -> Result<String, String> {
    loop {
        match worker.next().await {
            Said::Frame(FromWorker::Loading { percent }) => {
                debug!(percent = percent; "model loads")
            }
            Said::Frame(FromWorker::Ready { name, sha256, n_ctx, threads, load_ms }) => {
                info!(model = name.as_str(), n_ctx = n_ctx, threads = threads, load_ms = load_ms;
                      "model ready");
                return Ok(sha256);
            }
            Said::Frame(frame) => {
                return Err(worker.kill(&format!("it said {frame:?} before it was ready")).await);
            }
            Said::Gone(cause) => return Err(cause),
        }
    }
}

/// Refuses what slipped into the queue before its sender could see that the worker is down.
async fn refuse_all(asks: &mut mpsc::UnboundedReceiver<Posted>, cause: &str) {
    while let Some(ask) = asks.recv().await {
        answer(ask, Err(ModelError::Unavailable(cause.to_owned())));
    }
    std::future::pending().await
}

fn arguments(config: &ModelConfig, source: &Source) -> Vec<String> {
    let (option, path) = match source {
        Source::File { path, .. } => ("--model", path),
        Source::Script(path) => ("--scripted", path),
    };
    let context = config.context.to_string();
    let (threads, parallel) = (config.threads.to_string(), config.parallel.to_string());
    let path = path.to_string_lossy().into_owned();
    let mut arguments: Vec<String> = [
        ["worker", option, &path].as_slice(),
        &["--context", &context, "--threads", &threads, "--parallel", &parallel],
    ]
    .concat()
    .into_iter()
    .map(str::to_owned)
    .collect();
    if let (Some(adapter), Source::File { .. }) = (&config.adapter, source) {
        arguments.extend(["--adapter".to_owned(), adapter.to_string_lossy().into_owned()]);
    }
    if let Some(folder) = &config.prefixes {
        arguments.extend(["--prefixes".to_owned(), folder.to_string_lossy().into_owned()]);
    }
    arguments
}

/// How long to wait before the next start.
#[derive(Debug)]
struct Backoff(Duration);

impl Backoff {
    const LEAST: Duration = Duration::from_millis(500);
    const MOST: Duration = Duration::from_secs(30);
    /// Whoever was well for so long did not die of how it was started.
    const WELL: Duration = Duration::from_secs(60);

    /// The next pause, after a worker that was ready for `well_for`, if it ever was.
    fn next(&mut self, well_for: Option<Duration>) -> Duration {
        if well_for.is_some_and(|well| well >= Self::WELL) {
            *self = Self::default();
        }
        let pause = self.0;
        self.0 = (pause * 2).min(Self::MOST);
        pause
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self(Self::LEAST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_half_a_minute_and_begin_again_after_a_minute_of_being_well() {
        let mut backoff = Backoff::default();
        let pauses: Vec<u128> = (0..8).map(|_| backoff.next(None).as_millis()).collect();
        assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
        let just_not = Backoff::WELL - Duration::from_millis(1);
        assert_eq!(backoff.next(Some(just_not)), Backoff::MOST);
        assert_eq!(backoff.next(Some(Backoff::WELL)), Backoff::LEAST);
        assert_eq!(backoff.next(None), Backoff::LEAST * 2);
    }

    #[test]
    fn the_worker_is_told_what_the_config_says() {
        let prefixes = Some("/kept".into());
        let adapter = Some("/a.gguf".into());
        let config =
            ModelConfig { context: 512, threads: 3, adapter, prefixes, ..ModelConfig::default() };
        let source = Source::File { name: "m".into(), path: "/m.gguf".into() };
        let told = arguments(&config, &source).join(" ");
        let expected = "worker --model /m.gguf --context 512 --threads 3 --parallel 4 --adapter /a.gguf --prefixes /kept";
        assert_eq!(told, expected);
        let script = arguments(&config, &Source::Script("/s.toml".into()));
        assert!(!script.contains(&"--adapter".to_owned()));
    }
}
