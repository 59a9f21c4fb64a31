//! The daemon: what is started, in which order, and how it ends. The only module that spawns tasks.
//!
//! ```text
//!  start:  store ─> tools, ports ─> model ─> agent ─> polls ─> HTTP, Wyoming ─> link ─> READY
//!  stop:   front-ends and polls ─> agent ─> model and ports ─> link (drains) ─> store
//! ```
//!
//! Each stage of the stop is bounded by [`STAGE`]. Nothing that is cut off is lost: commands wait in the
//! inbox, intents in `calls`, and messages in the outbox.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use agentd_tools::Toolbox;
use agentd_tools::port::PortState;
use anyhow::{Context as _, Result};
use log::{error, info, warn};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::agent::config::AgentConfig;
use crate::agent::mind::Mind;
use crate::agent::{self, Agent};
use crate::capabilities::capabilities;
use crate::command;
use crate::config::Config;
use crate::feed::Feed;
use crate::footprint;
use crate::front::Front;
use crate::health::Health;
use crate::http::{AppState, Http};
use crate::link::broker::EmbeddedBroker;
use crate::link::config::MqttConfig;
use crate::link::{self, Link};
use crate::metrics::Metrics;
use crate::model::config::ModelConfig;
use crate::model::manager::{Ladder, Manager};
use crate::model::{self, Model};
use crate::policy::Policy;
use crate::poll::Poll;
use crate::store::{Broker, Opened, Store, StoreError};
use crate::watchdog::{self, Heartbeat};
use crate::wyoming::Wyoming;

/// How long one stage of the stop may take.
const STAGE: Duration = Duration::from_secs(6);
/// How often what is past its bound is removed.
const HOUSEKEEPING: Duration = Duration::from_secs(600);

/// Tasks that are stopped together.
#[derive(Default)]
struct Stage {
    tasks: JoinSet<&'static str>,
    stop: CancellationToken,
}

impl Stage {
    #[expect(clippy::disallowed_methods, reason = "the daemon is the one place that spawns")]
    fn start(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(async move {
            task.await;
            name
        });
    }

    /// The name of a task that ended although nobody asked it to.
    async fn ended(&mut self) -> String {
        match self.tasks.join_next().await {
            Some(Ok(name)) => name.to_owned(),
            Some(Err(error)) => error.to_string(),
            None => std::future::pending().await,
        }
    }

    async fn end(mut self, name: &str) {
        self.stop.cancel();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(STAGE, all).await.is_err() {
            warn!(stage = name; "did not stop in time and is cut off");
        }
    }
}

/// Runs until SIGTERM or SIGINT, or until a task ends that must not.
pub async fn run(config: Config) -> Result<()> {
    let (feed, metrics) = (Feed::default(), Arc::new(Metrics::default()));
    let health = Health::new(feed.clone());
    let started_at = command::now();
    let device = config.device_id();

    let (mut front, mut middle, mut base, mut last) =
        (Stage::default(), Stage::default(), Stage::default(), Stage::default());
    // Their workers take longest. Where the database then cannot be opened they end with the daemon.
    let agents = agent::config::all(&config.agent);
    let models = start_models(&agents, &config, &health, &metrics, &mut base)?;
    let opened = Store::open(&config.store, config.policy.commands_waiting, feed.clone())?;
    tell_of_the_past(&opened, &health).await?;
    let Opened { store, thread, .. } = opened;

    let (toolbox, ports) =
        Toolbox::open(config.tool.clone(), config.serial.clone(), &config.store.path)
            .context("the tools cannot be opened")?;
    for port in ports {
        base.start("port", port.run(base.stop.clone().cancelled_owned()));
    }
    for (name, state) in toolbox.port_states() {
        base.start("port state", watch_port(name, state, health.clone(), base.stop.clone()));
    }
    base.start("store state", watch_store(store.trouble(), health.clone(), base.stop.clone()));
    let model = models.first().cloned().unwrap_or_else(Model::off);
    let capabilities = capabilities(&toolbox, &config, &agents);

    let heartbeat = Heartbeat::default();
    let agent = Agent::new(agent::Parts {
        store: store.clone(),
        toolbox: toolbox.clone(),
        minds: minds(agents, models, &toolbox, &config.model)?,
        policy: Policy::new(config.policy.clone()),
        health: health.clone(),
        metrics: Arc::clone(&metrics),
        heartbeat: heartbeat.clone(),
    });
    middle.start("agent", agent.run(middle.stop.clone()));

    for poll in &config.poll {
        let poll = Poll {
            config: poll.clone(),
            toolbox: toolbox.clone(),
            store: store.clone(),
            health: health.clone(),
            metrics: Arc::clone(&metrics),
        };
        front.start("poll", poll.run(front.stop.clone()));
    }
    let timeout = Duration::from_millis(config.policy.timeout_ms);
    let entrance = Front::new(store.clone(), Arc::clone(&metrics), timeout);
    let told = model.clone();
    let app = AppState {
        front: entrance.clone(),
        health: health.clone(),
        metrics: Arc::clone(&metrics),
        device: device.clone(),
        version: env!("CARGO_PKG_VERSION"),
        started_at,
        capabilities: Arc::new(capabilities.clone()),
        model: Arc::new(move || json!(told.state())),
    };
    let http = Http::bind(&config.http, app).await?;
    front.start("http", http.run(front.stop.clone()));
    if let Some(wyoming) = &config.wyoming {
        let wyoming = Wyoming::bind(wyoming, entrance.clone()).await?;
        front.start("wyoming", wyoming.run(front.stop.clone()));
    }
    let (told, model_name) = watch::channel(None);
    base.start("model name", tell_model(model, told, base.stop.clone()));
    let upstream = config.mqtt.clone().map(|mqtt| (Broker::Upstream, "link", mqtt));
    let on_board = config.mqtt.as_ref().and_then(MqttConfig::on_board);
    let on_board = on_board.map(|mqtt| (Broker::OnBoard, "link on the board", mqtt));
    for (broker, name, mqtt) in upstream.into_iter().chain(on_board) {
        let (mqtt, started) = embedded_broker(&mqtt, &config.store.path).await?;
        if let Some(started) = started {
            last.start("broker", keep_broker(started, last.stop.clone()));
        }
        let device = link::Device {
            id: device.clone(),
            capabilities: capabilities.clone(),
            model: model_name.clone(),
            started_at,
        };
        let (store, health) = (store.clone(), health.clone());
        let link = Link::new(&mqtt, broker, device, store, health, Arc::clone(&metrics))?;
        last.start(name, link.run(last.stop.clone()));
    }
    last.start("housekeeping", housekeeping(store.clone(), last.stop.clone()));
    let beat = watchdog::run(store.clone(), heartbeat, metrics, last.stop.clone());
    last.start("watchdog", beat);

    // Without systemd there is nobody to tell, which is no error.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    info!(device:% = device, tools = config.tool.len(); "ready");
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let ended = tokio::select! {
        _ = term.recv() => None,
        _ = int.recv() => None,
        name = front.ended() => Some(name),
        name = middle.ended() => Some(name),
        name = base.ended() => Some(name),
        name = last.ended() => Some(name),
    };
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    info!("stopping");
    // Each holds what the stages wait for: the ports' tasks, and the store's thread.
    drop((toolbox, entrance));
    for (stage, name) in [(front, "front"), (middle, "agent"), (base, "base"), (last, "link")] {
        stage.end(name).await;
    }
    drop(store);
    // The thread ends with the last handle, after its last job.
    let joined = tokio::task::spawn_blocking(move || thread.join());
    if tokio::time::timeout(STAGE, joined).await.is_err() {
        warn!(stage = "store"; "did not stop in time and is cut off");
    }
    match ended {
        None => Ok(()),
        Some(name) => {
            error!(task:% = name; "a task ended that must not");
            anyhow::bail!("{name} ended unexpectedly; see the log")
        }
    }
}

/// Says what a crash, or a database that could not be used, left behind.
async fn tell_of_the_past(opened: &Opened, health: &Health) -> Result<()> {
    for outcome in &opened.interrupted {
        warn!(command_id:% = outcome.id; "a command was interrupted when the daemon stopped");
    }
    if let Some(moved) = &opened.moved_aside {
        let to = moved.to.display().to_string();
        error!(to:% = to, why:% = moved.why; "the database could not be used and was moved aside");
        health
            .lose("store:past", format!("{}; it is now {to}, and a new one was begun", moved.why));
        let fields = json!({"what": "database_moved_aside", "to": to, "why": moved.why});
        if let Value::Object(fields) = fields {
            opened.store.event("alert", fields).await?;
        }
    }
    Ok(())
}

/// Starts the broker inside where the config asks for it, and gives the section with its URL.
async fn embedded_broker(
    mqtt: &MqttConfig,
    database: &Path,
) -> Result<(MqttConfig, Option<EmbeddedBroker>)> {
    if !mqtt.is_embedded() {
        return Ok((mqtt.clone(), None));
    }
    let folder = database.with_file_name("broker");
    let broker = EmbeddedBroker::start(&folder, mqtt.embedded_port).await?;
    info!(url:% = broker.url(); "the broker inside has started");
    let mqtt = MqttConfig { url: Some(broker.url()), ..mqtt.clone() };
    Ok((mqtt, Some(broker)))
}

/// Keeps the broker inside until the stop. Its end before that ends the daemon, which is then restarted
/// with a new one: what was not delivered is in the outbox.
async fn keep_broker(mut broker: EmbeddedBroker, stop: CancellationToken) {
    tokio::select! {
        why = broker.ended() => error!(why:% = why; "the broker inside has ended"),
        () = stop.cancelled() => broker.stop().await,
    }
}

/// Tells the link the model's name while the model can be asked.
async fn tell_model(model: Model, told: watch::Sender<Option<String>>, stop: CancellationToken) {
    let mut state = model.watch();
    loop {
        let name = match &*state.borrow_and_update() {
            model::State::Ready { name, .. } | model::State::Asleep { name } => Some(name.clone()),
            _ => None,
        };
        told.send_replace(name);
        tokio::select! {
            changed = state.changed() => if changed.is_err() { return stop.cancelled().await },
            () = stop.cancelled() => return,
        }
    }
}

/// The program whose `worker` command holds the model: this one. Under an emulator `/proc/self/exe` is the
/// emulator, so `AGENTD_WORKER_EXE` may name another.
fn worker_program() -> Result<PathBuf> {
    match std::env::var_os("AGENTD_WORKER_EXE").filter(|path| !path.is_empty()) {
        Some(path) => Ok(path.into()),
        None => std::env::current_exe().context("this program cannot be found"),
    }
}

/// What the agents know, each with its model.
fn minds(
    agents: Vec<AgentConfig>,
    models: Vec<Model>,
    toolbox: &Toolbox,
    machine: &ModelConfig,
) -> Result<Vec<Mind>> {
    let mind = |(agent, model)| Mind::new(agent, toolbox, model, machine);
    agents.into_iter().zip(models).map(mind).collect::<Result<_, _>>().map_err(|errors| {
        anyhow::anyhow!("{}", errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    })
}

/// The handles to the agents' models, in their order.
fn start_models(
    agents: &[AgentConfig],
    config: &Config,
    health: &Health,
    metrics: &Arc<Metrics>,
    base: &mut Stage,
) -> Result<Vec<Model>> {
    let prefixes = config.store.path.with_file_name("prefixes");
    let machine = ModelConfig { prefixes: Some(prefixes), ..config.model.clone() };
    let ladders: Vec<Ladder> = agents
        .iter()
        .map(|agent| {
            let (config, sources) = (agent.model(&machine), agent.sources(&machine));
            let sources = sources.unwrap_or_else(|error| {
                // A machine whose model is wrong still obeys the sentences that it knows.
                health.lose(&agent.component("model"), error.to_string());
                Vec::new()
            });
            // What is wrong with it is told with the others.
            let larger = config.larger().ok().flatten();
            Ladder { config, sources, larger }
        })
        .collect();
    if ladders.iter().all(|ladder| ladder.sources.is_empty()) {
        info!("there is no model; known sentences work: `agentd model pull` gets one");
        return Ok(ladders.iter().map(|_| Model::off()).collect());
    }
    let (models, manager) = Manager::new(&ladders, &worker_program()?, health, metrics);
    base.start("model", manager.run(base.stop.clone()));
    Ok(models)
}

async fn watch_port(
    name: String,
    mut state: watch::Receiver<PortState>,
    health: Health,
    stop: CancellationToken,
) {
    let component = format!("port:{name}");
    let mut missed = 0;
    loop {
        match state.borrow_and_update().clone() {
            PortState::Unavailable { why, calls } => {
                missed = calls;
                health.lose(&component, why);
            }
            PortState::Open => {
                health.regain(&component, Some(format!("calls that found it away: {missed}")));
            }
            PortState::Unknown => {}
        }
        tokio::select! {
            changed = state.changed() => if changed.is_err() { return stop.cancelled().await },
            () = stop.cancelled() => return,
        }
    }
}

async fn watch_store(
    mut trouble: watch::Receiver<Option<StoreError>>,
    health: Health,
    stop: CancellationToken,
) {
    loop {
        match &*trouble.borrow_and_update() {
            Some(error) => health.lose("store", error.to_string()),
            None => health.regain("store", None),
        }
        tokio::select! {
            changed = trouble.changed() => if changed.is_err() { return stop.cancelled().await },
            () = stop.cancelled() => return,
        }
    }
}

async fn housekeeping(store: Store, stop: CancellationToken) {
    let mut beat = tokio::time::interval(HOUSEKEEPING);
    while !stop.is_cancelled() {
        tokio::select! {
            _ = beat.tick() => {
                match store.housekeep(command::now()).await {
                    Ok(0) => {}
                    Ok(gone) => info!(rows = gone; "rows past their bound were removed"),
                    Err(error) => warn!(error:% = error; "rows past their bound cannot be removed"),
                }
                footprint::trim();
            }
            () = stop.cancelled() => {}
        }
    }
}
