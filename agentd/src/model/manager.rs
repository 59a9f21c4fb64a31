//! The models of a machine: one supervisor each, and who watches over what they take together.
//!
//! ```text
//!  Model (handle) ──asks the one that `ladder` chooses──> supervisor ──> worker
//!        ^ state, hot                                         ^ leave
//!        └────────────── Manager: looks at memory and heat ───┘
//! ```
//!
//! The first model is loaded at once and stays, unless `model.idle_seconds` says otherwise. Those behind it are loaded
//! when they are asked, and unloaded after that time, or after [`FALLBACK_IDLE`].

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures_util::future::{join, join_all, select_all};
use log::{info, warn};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::board::Heat;
use super::config::{ModelConfig, Source};
use super::ladder::{Loaded, Standing, leavers};
use super::needs::budget;
use super::supervisor::Supervisor;
use super::{Model, State};
use crate::health::Health;
use crate::metrics::{Metrics, memory_bytes};

/// After how many seconds a model is unloaded that stands behind another one, where the config does not say.
pub const FALLBACK_IDLE: u32 = 300;
/// How often memory and temperature are looked at.
const LOOK: Duration = Duration::from_secs(5);
/// The component's name in [`Health`] while the models take more than they may.
const MEMORY: &str = "model:memory";

/// The task of all models. [`Manager::run`] is its whole life.
pub struct Manager {
    supervisors: Vec<Supervisor>,
    watcher: Watcher,
}

/// Looks after what the models take together.
struct Watcher {
    model: Model,
    told: watch::Sender<State>,
    hot: watch::Sender<bool>,
    /// The most that they may take, in bytes.
    budget: Option<u64>,
    hot_celsius: f32,
    /// Whether the first one stays whatever others need.
    pins_first: bool,
    health: Health,
    metrics: Arc<Metrics>,
}

impl Manager {
    /// The handle and the task, for the models of `sources`, the best one first. `executable` is the program whose
    /// `worker` command is started.
    pub fn new(
        config: &ModelConfig,
        sources: &[Source],
        executable: &Path,
        health: &Health,
        metrics: &Arc<Metrics>,
    ) -> (Model, Self) {
        let one = |(at, source): (usize, &Source)| {
            let behind = ModelConfig {
                // It is made for the first one.
                adapter: None,
                idle_seconds: if config.idle_seconds > 0 {
                    config.idle_seconds
                } else {
                    FALLBACK_IDLE
                },
                ..config.clone()
            };
            let config = if at == 0 { config } else { &behind };
            let (health, metrics) = (health.clone(), Arc::clone(metrics));
            let program = PathBuf::from(executable);
            let (model, supervisor) = Supervisor::new(config, source, program, health, metrics);
            (model, if at == 0 { supervisor } else { supervisor.behind() })
        };
        let (models, supervisors): (Vec<Model>, Vec<Supervisor>) =
            sources.iter().enumerate().map(one).unzip();
        let rungs: Vec<_> = models.iter().flat_map(|model| model.rungs.iter().cloned()).collect();
        let first = rungs.first().map(|rung| rung.state.borrow().clone());
        let (told, state) = watch::channel(first.unwrap_or(State::Off));
        let (hot, is_hot) = watch::channel(false);
        let model = Model::of(rungs, state, is_hot);
        let watcher = Watcher {
            model: model.clone(),
            told,
            hot,
            budget: budget(config.memory_mib),
            hot_celsius: config.hot_celsius,
            pins_first: config.idle_seconds == 0,
            health: health.clone(),
            metrics: Arc::clone(metrics),
        };
        (model, Self { supervisors, watcher })
    }

    /// Keeps the models until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        let supervisors = self.supervisors.into_iter().map(|one| one.run(shutdown.clone()));
        join(join_all(supervisors), self.watcher.run(shutdown.clone())).await;
    }
}

impl Watcher {
    async fn run(self, shutdown: CancellationToken) {
        let mut states: Vec<_> = self.model.rungs.iter().map(|rung| rung.state.clone()).collect();
        let mut look = tokio::time::interval(LOOK);
        loop {
            self.tell();
            let change = select_all(states.iter_mut().map(|state| Box::pin(state.changed())));
            tokio::select! {
                () = shutdown.cancelled() => break,
                _ = change => {}
                _ = look.tick() => {
                    self.look_at_heat();
                    self.look_at_memory();
                }
            }
        }
        self.told.send_replace(State::Off);
    }

    /// Tells what the model does that would be asked now.
    fn tell(&self) {
        let now = self.model.state();
        self.told.send_if_modified(|told| {
            let is_new = *told != now;
            if is_new {
                *told = now;
            }
            is_new
        });
        let is_ready = |state: &State| Standing::of(state) == Standing::Ready;
        let any = self.model.rungs.iter().any(|rung| is_ready(&rung.state.borrow()));
        self.metrics.model_ready.set(any.into());
    }

    fn look_at_heat(&self) {
        if self.model.rungs.len() < 2 {
            return;
        }
        let heat = Heat::read(Path::new("/sys"));
        let was_hot = *self.hot.borrow();
        let is_hot = heat.is_hot(was_hot, self.hot_celsius);
        if is_hot != was_hot {
            self.hot.send_replace(is_hot);
            match is_hot {
                true => warn!(board:% = heat; "the board is hot: the cheapest model is asked"),
                false => info!(board:% = heat; "the board is cool again: the best model is asked"),
            }
        }
    }

    fn look_at_memory(&self) {
        let Some(budget) = self.budget else { return };
        let rungs = self.model.rungs.iter().enumerate();
        let loaded = rungs.filter_map(|(at, rung)| {
            let pid = rung.tenant.pid.load(Relaxed);
            let (_, bytes) = memory_bytes(&pid.to_string());
            let is_pinned = at == 0 && self.pins_first;
            let used = rung.tenant.used.load(Relaxed);
            // Without a process there is none.
            (bytes > 0).then_some(Loaded { at, bytes, used, is_pinned })
        });
        match leavers(&loaded.collect::<Vec<_>>(), budget) {
            Ok(leaving) => {
                self.health.regain(MEMORY, None);
                for at in leaving {
                    self.model.rungs[at].tenant.leave.notify_one();
                }
            }
            Err(over) => self.health.lose(
                MEMORY,
                format!(
                    "the models take {} MiB more than model.memory_mib allows: raise it, or lower model.context",
                    over.div_ceil(1024 * 1024)
                ),
            ),
        }
    }
}
