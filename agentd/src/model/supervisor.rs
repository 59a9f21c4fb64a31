//! Keeps a worker running, and gives it the asks, some at a time.
//!
//! ```text
//!            Ready                       ask            Done, Failed, Cancelled
//!  Loading ────────> Ready (idle) ──────────> Ready (busy) ──────────> Ready (idle)
//!   ^ ^  └───────┬─────┴─────│──────────────────┘
//!   │ │          │ the worker ends, breaks the protocol, or does not come back from a cancelled ask
//!   │ ├── Down <─┘           │ nobody asks for `model.idle_seconds`
//!   │ └── its file, or its adapter's, is another one
//!   └──ask── Asleep <────────┘
//! ```
//!
//! When one that died is started again, [`restart`](super::restart) says.
//!
//! Bounds: `model.parallel` asks are in hand; [`QUEUE`](super::QUEUE) more wait; a load takes [`LOAD_TIMEOUT`] at most; a
//! cancelled ask and a stop have [`GRACE`], and then the worker is killed. While it is down no ask waits.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use log::{debug, info};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::config::{ModelConfig, Source};
use super::frame::{FromWorker, ToWorker};
use super::handle::Tenant;
use super::in_hand::{Due, GRACE, InHand, answer};
use super::launch::arguments;
use super::process::{Process, Said};
use super::restart::{CRASHES, Death, Next, QUARANTINE, Restart};
use super::stamp::Stamps;
use super::{Model, ModelError, Posted, Rung, State};
use crate::health::Health;
use crate::metrics::Metrics;

/// How long a load may take: a model of some GiB from a slow card.
pub const LOAD_TIMEOUT: Duration = Duration::from_secs(300);

/// The component's name in [`Health`]; that of a model behind another one has its own behind it.
const COMPONENT: &str = "model";

/// The task that keeps a worker running. [`Supervisor::run`] is its whole life.
pub struct Supervisor {
    arguments: Vec<String>,
    executable: PathBuf,
    name: String,
    /// The model's file, or the script in its place, and its adapter's and its draft's where it has such.
    files: Vec<PathBuf>,
    asks: mpsc::UnboundedReceiver<Posted>,
    in_hand: InHand,
    /// After how long without an ask it is unloaded.
    idle: Option<Duration>,
    /// Whether it is loaded only once it is asked.
    begins_asleep: bool,
    tenant: Arc<Tenant>,
    component: String,
    restart: Restart,
    /// Its files as they were when the worker of now, or the last one, was started.
    loaded: Stamps,
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
    /// Nobody asked it anything for long.
    Idle,
    /// One of its files is another one.
    Changed,
    /// The worker is gone, or was killed because it had to be.
    Died(Death),
}

/// Whether there is a next life.
enum Then {
    Live,
    Stop,
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
        let (rung, asks) = Rung::new(&name, parallel, watcher);
        let idle =
            (config.idle_seconds > 0).then(|| Duration::from_secs(config.idle_seconds.into()));
        let supervisor = Self {
            arguments: arguments(config, source),
            executable,
            name,
            files: std::iter::once(source.path().to_owned())
                .chain(config.adapter.clone())
                .chain(config.draft_path().ok().flatten())
                .collect(),
            asks,
            in_hand: InHand::new(parallel),
            idle,
            begins_asleep: false,
            tenant: Arc::clone(&rung.tenant),
            component: COMPONENT.to_owned(),
            restart: Restart::default(),
            loaded: Stamps::default(),
            state,
            health,
            metrics,
            missed_before: 0,
        };
        (Model::one(rung), supervisor)
    }

    /// Of a model that stands behind another one: it is loaded only once it is asked.
    pub(super) fn behind(mut self) -> Self {
        self.begins_asleep = true;
        self.component = format!("{COMPONENT}:{}", self.name);
        self.state.send_replace(State::Asleep { name: self.name.clone() });
        self
    }

    /// Starts workers until `shutdown`, then stops the one that runs.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut then = Then::Live;
        if self.begins_asleep {
            then = self.sleep(&shutdown).await;
        }
        while matches!(then, Then::Live) {
            let mut ready_at = None;
            let end = self.one_life(&mut ready_at, &shutdown).await;
            self.metrics.model_ready.set(0);
            then = match end {
                End::Shutdown => Then::Stop,
                End::Idle => self.sleep(&shutdown).await,
                End::Changed => {
                    self.restart = Restart::default();
                    info!(model = self.name.as_str(); "the model's files have changed; it is loaded again");
                    Then::Live
                }
                End::Died(death) => {
                    let well_for = ready_at.map(|at: Instant| at.elapsed());
                    self.mourn(&death, well_for, &shutdown).await
                }
            };
        }
        self.state.send_replace(State::Off);
        self.in_hand.refuse("the daemon stops");
        self.asks.close();
        while let Ok(ask) = self.asks.try_recv() {
            answer(ask, Err(ModelError::Unavailable("the daemon stops".into())));
        }
    }

    /// From the start of a worker to its end.
    async fn one_life(
        &mut self,
        ready_at: &mut Option<Instant>,
        shutdown: &CancellationToken,
    ) -> End {
        self.state.send_replace(State::Loading { name: self.name.clone() });
        self.metrics.worker_starts_total.add_one();
        // What changes while it loads is loaded again.
        self.loaded = Stamps::of(&self.files);
        let mut worker = match Process::start(&self.executable, &self.arguments) {
            Ok(worker) => worker,
            Err(e) => {
                let cause = format!("{} cannot be started: {e}", self.executable.display());
                return End::Died(Death { cause, is_crash: false });
            }
        };
        self.tenant.pid.store(worker.pid().unwrap_or(0), Relaxed);
        let end = match self.load(&mut worker, shutdown).await {
            Ok(()) => {
                *ready_at = Some(Instant::now());
                self.attend(&mut worker, shutdown).await
            }
            Err(end) => end,
        };
        worker.stop(GRACE).await;
        self.tenant.pid.store(0, Relaxed);
        end
    }

    /// Waits until a worker has loaded its model.
    async fn load(
        &mut self,
        worker: &mut Process,
        shutdown: &CancellationToken,
    ) -> Result<(), End> {
        let timeout = Instant::now() + LOAD_TIMEOUT;
        let loaded = {
            let mut loading = std::pin::pin!(worker.loaded());
            loop {
                tokio::select! {
                    () = shutdown.cancelled() => return Err(End::Shutdown),
                    () = sleep_until(timeout.into()) => break None,
                    loaded = &mut loading => break Some(loaded),
                    // Who does not want to wait any longer gives the place back.
                    Some(posted) = self.asks.recv() => self.in_hand.wait(posted),
                    _ = self.in_hand.due() => {}
                }
            }
        };
        let (sha256, native) = match loaded {
            Some(loaded) => loaded.map_err(End::Died)?,
            None => {
                let why = format!("it had not loaded its model within {LOAD_TIMEOUT:?}");
                return Err(End::Died(worker.kill(&why).await));
            }
        };
        self.in_hand.offers(native);
        // The config's name is the one that people know; the file's own goes to the log.
        self.state.send_replace(State::Ready { name: self.name.clone(), sha256 });
        self.metrics.model_ready.set(1);
        // Since it was last well: the command that it had in hand when it died is one of them.
        let missed_total = self.metrics.model_missed_total.get();
        let missed = missed_total - std::mem::replace(&mut self.missed_before, missed_total);
        let missed = format!("commands that it was not there for: {missed}");
        self.health.regain(&self.component, Some(missed));
        Ok(())
    }

    /// Waits, without a worker, until somebody asks.
    async fn sleep(&mut self, shutdown: &CancellationToken) -> Then {
        self.state.send_replace(State::Asleep { name: self.name.clone() });
        info!(model = self.name.as_str(); "the model is not loaded until somebody asks it");
        tokio::select! {
            () = shutdown.cancelled() => Then::Stop,
            posted = self.asks.recv() => match posted {
                Some(posted) => {
                    self.in_hand.wait(posted);
                    Then::Live
                }
                None => Then::Stop,
            },
        }
    }

    /// Tells of a death, and waits until there is to be a next life. Whoever's ask was in hand is told, and who asks
    /// meanwhile is refused.
    async fn mourn(
        &mut self,
        death: &Death,
        well_for: Option<Duration>,
        shutdown: &CancellationToken,
    ) -> Then {
        let at_work = well_for.is_none() || self.in_hand.is_at_work();
        if self.loaded.have_changed() {
            // What crashed is not there any more, and nothing is known of what is in its place.
            self.restart = Restart::default();
        }
        let next = self.restart.after(death, well_for, at_work);
        let cause = match next {
            Next::Pause(_) => death.cause.clone(),
            Next::Quarantine => format!(
                "it is left alone for {} min, or until its file is another one, because it crashed {CRASHES} times without \
                 an answer in between; at last {}",
                QUARANTINE.as_secs() / 60,
                death.cause
            ),
        };
        self.state.send_replace(State::Down { name: self.name.clone(), cause: cause.clone() });
        self.health.lose(&self.component, cause.clone());
        self.in_hand.crash(&death.cause);
        let unusable = self.loaded.clone();
        let over = async move {
            match next {
                Next::Pause(pause) => sleep(pause).await,
                Next::Quarantine => tokio::select! {
                    () = sleep(QUARANTINE) => {}
                    () = unusable.changed() => {}
                },
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => Then::Stop,
            () = over => Then::Live,
            () = refuse_all(&mut self.asks, &cause) => Then::Stop,
        }
    }

    /// Gives asks to a worker that is ready and hears what it says, until its end.
    async fn attend(&mut self, worker: &mut Process, shutdown: &CancellationToken) -> End {
        let (mut asked, mut was_busy) = (Instant::now(), false);
        let mut changes = std::pin::pin!(self.loaded.clone().changed());
        let mut is_old = false;
        loop {
            // All that came, so that the most urgent is given out first.
            while let Ok(posted) = self.asks.try_recv() {
                self.in_hand.wait(posted);
            }
            if is_old && !self.in_hand.is_at_work() {
                // Who waits is answered by the new one.
                return End::Changed;
            }
            while !is_old && let Some((id, frame)) = self.in_hand.give_out() {
                if let Err(e) = worker.send(&frame, GRACE).await {
                    if !e.is_too_large() {
                        return End::Died(worker.post_mortem(&e.to_string()).await);
                    }
                    self.in_hand.end(id, Err(ModelError::Refused(e.to_string())));
                }
            }
            // What has just been answered was wanted until now.
            if !self.in_hand.is_empty() || was_busy {
                asked = Instant::now();
            }
            was_busy = !self.in_hand.is_empty();
            let idle = self.idle.filter(|_| self.in_hand.is_empty()).map(|idle| asked + idle);
            tokio::select! {
                () = shutdown.cancelled() => return End::Shutdown,
                () = &mut changes, if !is_old => is_old = true,
                () = until(idle) => return End::Idle,
                () = self.tenant.leave.notified(), if self.in_hand.is_empty() => return End::Idle,
                said = worker.next() => match said {
                    Said::Frame(frame) => self.hear(frame),
                    Said::Gone(death) => return End::Died(death),
                },
                posted = self.asks.recv() => match posted {
                    Some(posted) => self.in_hand.wait(posted),
                    None => return End::Shutdown,
                },
                due = self.in_hand.due() => match due {
                    Due::Dropped => {}
                    Due::Cancel(id) => {
                        if let Err(e) = worker.send(&ToWorker::Cancel { id }, GRACE).await {
                            return End::Died(worker.post_mortem(&e.to_string()).await);
                        }
                    }
                    Due::Overdue(_) => {
                        let why = format!("it did not leave an ask within {GRACE:?}");
                        // It is still in hand when what follows is decided.
                        return End::Died(worker.kill(&why).await);
                    }
                },
            }
        }
    }

    fn hear(&mut self, frame: FromWorker) {
        let is_ours = match frame {
            FromWorker::Piece { id, text } => return self.in_hand.show(id, text),
            FromWorker::Done { id, answer } => {
                let usage = answer.usage.clone();
                if !answer.text.is_empty() {
                    self.restart.answered();
                }
                let is_ours = self.in_hand.end(id, Ok(answer));
                if is_ours {
                    self.metrics.model_tokens_reused_total.add(usage.reused.into());
                    self.metrics.model_tokens_prefilled_total.add(usage.prefilled.into());
                    self.metrics.model_tokens_forced_total.add(usage.forced.into());
                    self.metrics.model_tokens_sampled_total.add(usage.sampled.into());
                    self.metrics.model_tokens_guessed_total.add(usage.guessed.into());
                    self.metrics.model_tokens_guessed_right_total.add(usage.guessed_right.into());
                    self.metrics.model_decodes_total.add(usage.decodes.into());
                }
                is_ours
            }
            FromWorker::Failed { id, error } => self.in_hand.end(id, Err(error)),
            FromWorker::Cancelled { id } => self.in_hand.end(id, Err(ModelError::TooLate)),
            FromWorker::Loading { .. } | FromWorker::Ready { .. } | FromWorker::Fatal { .. } => {
                false
            }
        };
        if !is_ours {
            debug!("the model's worker said something of no ask in hand");
        }
    }
}

/// Waits until a time, or for ever.
async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

/// Refuses what slipped into the queue before its sender could see that the worker is down.
async fn refuse_all(asks: &mut mpsc::UnboundedReceiver<Posted>, cause: &str) {
    while let Some(ask) = asks.recv().await {
        answer(ask, Err(ModelError::Unavailable(cause.to_owned())));
    }
    std::future::pending().await
}
