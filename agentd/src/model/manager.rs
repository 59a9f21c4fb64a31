//! The models of a machine: one supervisor each, and who watches over what they take together.
//!
//! ```text
//!  Model (handle) ──asks the one that `ladder` chooses──> supervisor ──> worker
//!        ^ state, hot                                         ^ leave
//!        └────────────── Manager: looks at memory and heat ───┘
//! ```
//!
//! The first model of the first agent is loaded at once and stays, unless `model.idle_seconds` says otherwise. All others
//! are loaded when they are asked, and unloaded after that time, or after [`FALLBACK_IDLE`].

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
use super::handle::Rung;
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
    /// All models, each once.
    rungs: Vec<Rung>,
    /// Each agent's handle, and who watches what the model does that it would ask.
    told: Vec<(Model, watch::Sender<State>)>,
    hot: watch::Sender<bool>,
    /// The most that they may take, in bytes.
    budget: Option<u64>,
    hot_celsius: f32,
    /// Whether the first one stays whatever others need.
    pins_first: bool,
    health: Health,
    metrics: Arc<Metrics>,
}

/// The models of one agent, the best one first, and how they are to be used.
#[derive(Debug, Clone)]
pub struct Ladder {
    /// What the agent's `[model]` section would say; its adapter is for the first model.
    pub config: ModelConfig,
    /// The models; none where none is installed.
    pub sources: Vec<Source>,
    /// A larger one for what they are not sure of, where there is one.
    pub larger: Option<Source>,
}

/// The models of all agents, each once.
struct Registry<'a> {
    executable: &'a Path,
    health: &'a Health,
    metrics: &'a Arc<Metrics>,
    /// What tells them apart: the file and the adapter.
    keys: Vec<(PathBuf, Option<PathBuf>)>,
    names: Vec<String>,
    rungs: Vec<Rung>,
    supervisors: Vec<Supervisor>,
}

impl<'a> Registry<'a> {
    fn new(executable: &'a Path, health: &'a Health, metrics: &'a Arc<Metrics>) -> Self {
        let (keys, names, rungs, supervisors) = Default::default();
        Self { executable, health, metrics, keys, names, rungs, supervisors }
    }

    /// The number of a model, which is a new one unless there is one of that file and adapter. The first one of all is loaded at
    /// once.
    fn number(&mut self, config: &ModelConfig, source: &Source, is_first: bool) -> usize {
        let key = (source.path().to_owned(), config.adapter.clone());
        if let Some(known) = self.keys.iter().position(|known| *known == key) {
            return known;
        }
        let source = &unlike(source, &self.names);
        self.names.push(source.name().to_owned());
        let config = if is_first { config.clone() } else { behind(config) };
        let (program, health) = (self.executable.to_owned(), self.health.clone());
        let (model, supervisor) =
            Supervisor::new(&config, source, program, health, Arc::clone(self.metrics));
        self.rungs.extend(model.rungs.iter().cloned());
        self.supervisors.push(if is_first { supervisor } else { supervisor.behind() });
        self.keys.push(key);
        self.keys.len() - 1
    }
}

impl Manager {
    /// The handles and the task, for the models of some agents: a handle for each. A model that several of them ask with
    /// the same adapter has one worker. `executable` is the program whose `worker` command is started.
    pub fn new(
        ladders: &[Ladder],
        executable: &Path,
        health: &Health,
        metrics: &Arc<Metrics>,
    ) -> (Vec<Model>, Self) {
        let mut registry = Registry::new(executable, health, metrics);
        let (hot, is_hot) = watch::channel(false);
        let (mut models, mut told) = (Vec::new(), Vec::new());
        for (agent, Ladder { config, sources, larger }) in ladders.iter().enumerate() {
            let mut own: Vec<usize> = Vec::new();
            for (at, source) in sources.iter().enumerate() {
                let rung = match at {
                    0 => registry.number(config, source, agent == 0),
                    _ => registry.number(&config.with_nothing_of_its_own(), source, false),
                };
                if !own.contains(&rung) {
                    own.push(rung);
                }
            }
            let larger = larger.as_ref().filter(|_| !own.is_empty());
            let larger = larger
                .map(|larger| registry.number(&config.with_nothing_of_its_own(), larger, false));
            // The model itself would say the same again.
            let larger = larger.filter(|larger| own.first() != Some(larger));
            let first = own.first().map(|rung| registry.rungs[*rung].state.borrow().clone());
            let (tell, state) = watch::channel(first.unwrap_or(State::Off));
            let of = |rung: usize| registry.rungs[rung].clone();
            let own: Vec<Rung> = own.into_iter().map(of).collect();
            models.push(Model::of(own, larger.map(of), state, is_hot.clone()));
            told.push(tell);
        }
        let has_first = ladders.first().is_some_and(|ladder| !ladder.sources.is_empty());
        let first = ladders.first().map(|ladder| ladder.config.clone()).unwrap_or_default();
        let watcher = Watcher {
            rungs: registry.rungs,
            told: models.iter().cloned().zip(told).collect(),
            hot,
            budget: budget(first.memory_mib),
            hot_celsius: first.hot_celsius,
            pins_first: has_first && first.idle_seconds == 0,
            health: health.clone(),
            metrics: Arc::clone(metrics),
        };
        (models, Self { supervisors: registry.supervisors, watcher })
    }

    /// Keeps the models until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        let supervisors = self.supervisors.into_iter().map(|one| one.run(shutdown.clone()));
        join(join_all(supervisors), self.watcher.run(shutdown.clone())).await;
    }
}

/// A source whose name is none of these: what is degraded is told by it.
fn unlike(source: &Source, names: &[String]) -> Source {
    let mut source = source.clone();
    if let Source::File { name, .. } = &mut source {
        let plain = name.clone();
        for n in 2.. {
            if !names.contains(name) {
                break;
            }
            *name = format!("{plain} {n}");
        }
    }
    source
}

/// How a model is used that is not the first one: it is loaded once it is asked, and leaves after a while.
fn behind(config: &ModelConfig) -> ModelConfig {
    let idle_seconds = match config.idle_seconds {
        0 => FALLBACK_IDLE,
        seconds => seconds,
    };
    ModelConfig { idle_seconds, ..config.clone() }
}

impl Watcher {
    async fn run(self, shutdown: CancellationToken) {
        let mut states: Vec<_> = self.rungs.iter().map(|rung| rung.state.clone()).collect();
        let mut look = tokio::time::interval(LOOK);
        loop {
            self.tell();
            let change = async {
                if states.is_empty() {
                    return std::future::pending().await;
                }
                select_all(states.iter_mut().map(|state| Box::pin(state.changed()))).await
            };
            tokio::select! {
                () = shutdown.cancelled() => break,
                _ = change => {}
                _ = look.tick() => {
                    self.look_at_heat();
                    self.look_at_memory();
                }
            }
        }
        for (_, told) in &self.told {
            told.send_replace(State::Off);
        }
    }

    /// Tells what the model does that would be asked now.
    fn tell(&self) {
        for (model, told) in &self.told {
            let now = model.state();
            told.send_if_modified(|told| {
                let is_new = *told != now;
                if is_new {
                    *told = now;
                }
                is_new
            });
        }
        let is_ready = |state: &State| Standing::of(state) == Standing::Ready;
        let any = self.rungs.iter().any(|rung| is_ready(&rung.state.borrow()));
        self.metrics.model_ready.set(any.into());
    }

    fn look_at_heat(&self) {
        if self.told.iter().all(|(model, _)| !model.is_one_of_several()) {
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
        let rungs = self.rungs.iter().enumerate();
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
                    self.rungs[at].tenant.leave.notify_one();
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
