//! Keeps a worker running, and gives it the asks one at a time.
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
//! Bounds: [`QUEUE`] asks wait; one is in hand; a load takes [`LOAD_TIMEOUT`] at most; a cancelled ask
//! and a stop have [`GRACE`], and then the worker is killed. While it is down no ask waits.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{debug, info};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::config::{ModelConfig, Source};
use super::frame::{FromWorker, ToWorker};
use super::process::{Process, Said};
use super::{Answer, Ask, Model, ModelError, QUEUE, State};
use crate::health::Health;
use crate::metrics::Metrics;

/// How long a worker may take to come back from a cancelled ask, or to stop.
pub const GRACE: Duration = Duration::from_secs(2);
/// How long a load may take: a model of some GiB from a slow card.
pub const LOAD_TIMEOUT: Duration = Duration::from_secs(300);

/// The component's name in [`Health`].
const COMPONENT: &str = "model";

/// The task that keeps a worker running. [`Supervisor::run`] is its whole life.
pub struct Supervisor {
    arguments: Vec<String>,
    executable: PathBuf,
    name: String,
    asks: mpsc::Receiver<Ask>,
    state: watch::Sender<State>,
    health: Health,
    metrics: Arc<Metrics>,
    last_id: u64,
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
        let (to_task, asks) = mpsc::channel(QUEUE);
        let name = source.name().to_owned();
        let (state, watcher) = watch::channel(State::Loading { name: name.clone() });
        let model = Model { asks: to_task, state: watcher };
        let arguments = arguments(config, source);
        let supervisor = Self {
            arguments,
            executable,
            name,
            asks,
            state,
            health,
            metrics,
            last_id: 0,
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
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return End::Shutdown,
                said = worker.next() => match said {
                    Said::Frame(frame) => debug!(frame:? = frame; "late frame of the model"),
                    Said::Gone(cause) => return End::Died(cause),
                },
                ask = self.asks.recv() => {
                    let Some(ask) = ask else { return End::Shutdown };
                    if let Some(end) = self.attend(ask, worker, shutdown).await {
                        return end;
                    }
                }
            }
        }
    }

    /// Sees one ask through. Gives an end where the worker did not survive it.
    async fn attend(
        &mut self,
        mut ask: Ask,
        worker: &mut Process,
        shutdown: &CancellationToken,
    ) -> Option<End> {
        let Some(left) = ask.deadline.checked_duration_since(Instant::now()) else {
            answer(ask, Err(ModelError::TooLate));
            return None;
        };
        if ask.reply.is_closed() {
            return None;
        }
        self.last_id += 1;
        let id = self.last_id;
        let frame = ToWorker::Ask {
            id,
            messages: std::mem::take(&mut ask.messages),
            grammar: std::mem::take(&mut ask.grammar),
            max_tokens: ask.max_tokens,
            deadline_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
        };
        if let Err(e) = worker.send(&frame, GRACE).await {
            if e.is_too_large() {
                answer(ask, Err(ModelError::Refused(e.to_string())));
                return None;
            }
            return Some(crash(ask, worker.post_mortem(&e.to_string()).await));
        }
        // Once the answer is not wanted any more: until when the worker may take to come back.
        let mut cancelled_until = None;
        loop {
            let cancel = tokio::select! {
                () = shutdown.cancelled() => {
                    answer(ask, Err(ModelError::Unavailable("the daemon stops".into())));
                    return Some(End::Shutdown);
                }
                said = worker.next() => {
                    match said {
                        Said::Gone(cause) => return Some(crash(ask, cause)),
                        Said::Frame(frame) => {
                            if let Some(result) = self.hear(frame, id, &ask) {
                                answer(ask, result);
                                return None;
                            }
                        }
                    }
                    false
                }
                () = ask.reply.closed(), if cancelled_until.is_none() => true,
                () = sleep_until(ask.deadline.into()), if cancelled_until.is_none() => true,
                () = wait_until(cancelled_until) => {
                    let cause = worker.kill(&format!("it did not leave an ask within {GRACE:?}")).await;
                    answer(ask, Err(ModelError::TooLate));
                    return Some(End::Died(cause));
                }
            };
            if cancel {
                cancelled_until = Some(Instant::now() + GRACE);
                if let Err(e) = worker.send(&ToWorker::Cancel { id }, GRACE).await {
                    return Some(crash(ask, worker.post_mortem(&e.to_string()).await));
                }
            }
        }
    }

    /// What a frame says about the ask in hand: its result, or nothing yet.
    fn hear(&self, frame: FromWorker, id: u64, ask: &Ask) -> Option<Result<Answer, ModelError>> {
        match frame {
            FromWorker::Piece { id: of, text } if of == id => {
                // Pieces are for show: who is too slow for them misses some, and gets the answer.
                if let Some(pieces) = &ask.pieces {
                    let _ = pieces.try_send(text);
                }
                None
            }
            FromWorker::Done { id: of, answer } if of == id => {
                let usage = &answer.usage;
                self.metrics.model_tokens_reused_total.add(usage.reused.into());
                self.metrics.model_tokens_prefilled_total.add(usage.prefilled.into());
                self.metrics.model_tokens_forced_total.add(usage.forced.into());
                self.metrics.model_tokens_sampled_total.add(usage.sampled.into());
                Some(Ok(answer))
            }
            FromWorker::Failed { id: of, error } if of == id => Some(Err(error)),
            FromWorker::Cancelled { id: of } if of == id => Some(Err(ModelError::TooLate)),
            late => {
                debug!(frame:? = late; "late frame of the model");
                None
            }
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

fn answer(ask: Ask, result: Result<Answer, ModelError>) {
    // An error only says that nobody waits for it any more.
    let _ = ask.reply.send(result);
}

fn crash(ask: Ask, cause: String) -> End {
    answer(ask, Err(ModelError::Crashed(cause.clone())));
    End::Died(cause)
}

async fn wait_until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

/// Refuses what slipped into the queue before its sender could see that the worker is down.
async fn refuse_all(asks: &mut mpsc::Receiver<Ask>, cause: &str) {
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
    let threads = config.threads.to_string();
    let path = path.to_string_lossy().into_owned();
    let fixed = ["worker", option, &path, "--context", &context, "--threads", &threads];
    let mut arguments = fixed.map(str::to_owned).to_vec();
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
        let expected =
            "worker --model /m.gguf --context 512 --threads 3 --adapter /a.gguf --prefixes /kept";
        assert_eq!(told, expected);
        let script = arguments(&config, &Source::Script("/s.toml".into()));
        assert!(!script.contains(&"--adapter".to_owned()));
    }
}
