//! A device's store with its link, and what the tests wait with.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use agentd::command::{self, Outcome, Route, Status};
use agentd::feed::Feed;
use agentd::health::Health;
use agentd::link::broker::EmbeddedBroker;
use agentd::link::config::MqttConfig;
use agentd::link::{Device, Link};
use agentd::metrics::Metrics;
use agentd::store::{Broker, Destination, Ending, OutboxRow, Store, StoreConfig};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Map, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, interval};
use tokio_util::sync::CancellationToken;

/// Longer than anything here takes on a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A device's store and what its link needs.
pub(crate) struct Board {
    pub(crate) folder: TempDir,
    pub(crate) store: Store,
    pub(crate) health: Health,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) model: watch::Sender<Option<String>>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) tasks: JoinSet<()>,
    pub(crate) config: MqttConfig,
}

impl Board {
    pub(crate) fn new(config: MqttConfig) -> Self {
        Self::with_bound(config, 256)
    }

    pub(crate) fn with_bound(config: MqttConfig, most_waiting: u32) -> Self {
        let folder = tempfile::tempdir().expect("tempdir");
        let path = folder.path().join("agentd.db");
        let feed = Feed::default();
        let store = StoreConfig { path, ..StoreConfig::default() };
        let opened = Store::open(&store, most_waiting, feed.clone()).expect("store");
        Self {
            folder,
            store: opened.store,
            health: Health::new(feed),
            metrics: Arc::default(),
            model: watch::Sender::new(Some("smollm2".into())),
            shutdown: CancellationToken::new(),
            tasks: JoinSet::new(),
            config,
        }
    }

    /// Starts the link; the handle ends it as `kill -9` would.
    pub(crate) fn link(&mut self) -> AbortHandle {
        self.link_to(Broker::Upstream, &self.config.clone())
    }

    pub(crate) fn link_to(&mut self, broker: Broker, config: &MqttConfig) -> AbortHandle {
        let device = Device {
            id: "bench".into(),
            capabilities: json!({"tools": ["set_output"]}),
            model: self.model.subscribe(),
            started_at: "2026-11-23T04:45:00Z".parse().expect("time"),
        };
        let (store, health) = (self.store.clone(), self.health.clone());
        let link = Link::new(config, broker, device, store, health, self.metrics.clone());
        self.tasks.spawn(link.expect("config").run(self.shutdown.clone()))
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.folder.path().join("agentd.db")
    }

    pub(crate) fn is_lost(&self, component: &str) -> bool {
        self.health.is_lost(component)
    }

    /// Why a component is lost.
    pub(crate) fn cause(&self, component: &str) -> String {
        let lost = self.health.degraded().into_iter().find(|lost| lost.component == component);
        lost.unwrap_or_else(|| panic!("{component} is well")).cause
    }

    pub(crate) async fn until_up(&self) {
        until("the link is up", async || self.metrics.link_up.get() == 1).await;
    }

    pub(crate) async fn until_stored(&self, id: &str) {
        until("the command is stored", async || {
            let next = self.store.next(Vec::new()).await.expect("next");
            next.is_some_and(|waiting| waiting.command.id == id)
        })
        .await;
    }

    pub(crate) async fn until_empty(&self) {
        until("the outbox is empty", async || self.pending().await == 0).await;
    }

    pub(crate) async fn pending(&self) -> u64 {
        self.store.outbox_stats().await.expect("stats").pending
    }

    /// The device's own topics of the rows in the outbox.
    pub(crate) async fn left(&self) -> Vec<String> {
        let rows = self.store.pending(Broker::Upstream, Vec::new(), 100).await.expect("pending");
        let topic = |row: OutboxRow| match row.destination {
            Destination::Own(topic) => topic,
            Destination::Reply { topic, .. } => topic,
        };
        rows.into_iter().map(topic).collect()
    }

    pub(crate) async fn events(&self, n: u64) {
        self.events_from(0, n).await;
    }

    pub(crate) async fn events_from(&self, first: u64, n: u64) {
        for n in first..first + n {
            let fields = Map::from_iter([("n".to_owned(), json!(n))]);
            self.store.event("reading", fields).await.expect("event");
        }
    }
}

/// Waits for a condition, looking every few milliseconds.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    let mut looks = interval(Duration::from_millis(5));
    while !holds().await {
        assert!(Instant::now() < deadline, "did not come true: {what}");
        looks.tick().await;
    }
}

pub(crate) async fn broker() -> (TempDir, EmbeddedBroker) {
    let folder = tempfile::tempdir().expect("tempdir");
    let broker = EmbeddedBroker::start(folder.path(), 0).await.expect("mosquitto");
    (folder, broker)
}

pub(crate) fn config(broker: &EmbeddedBroker, protocol: u8) -> MqttConfig {
    MqttConfig { url: Some(broker.url()), protocol, ..MqttConfig::default() }
}

/// A port that nothing listens on.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    listener.local_addr().expect("address").port()
}

/// Starts mosquitto with settings of the test's own.
pub(crate) fn mosquitto(folder: &TempDir, settings: &str) -> Child {
    let conf = folder.path().join("conf");
    std::fs::write(&conf, format!("user root\nallow_anonymous true\n{settings}")).expect("write");
    let program = Path::new("/usr/sbin/mosquitto");
    let program = if program.is_file() { program } else { Path::new("mosquitto") };
    let mut command = Command::new(program);
    command.arg("-c").arg(conf).kill_on_drop(true).spawn().expect("mosquitto")
}

/// Sends a signal to the embedded broker in a folder.
pub(crate) fn signal(folder: &TempDir, signal: Signal) {
    let conf = folder.path().join("mosquitto.conf");
    let is_it = |pid: i32| {
        let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        arguments.split(|byte| *byte == 0).any(|argument| argument == conf.as_os_str().as_bytes())
    };
    let entries = std::fs::read_dir("/proc").expect("/proc");
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let pid = pids.filter(|pid| is_it(*pid)).find_map(Pid::from_raw).expect("the broker runs");
    kill_process(pid, signal).expect("a signal");
}

pub(crate) fn done(id: &str) -> Ending {
    let now = command::now();
    let outcome = Outcome {
        id: id.into(),
        status: Status::Done,
        text: "The pump is now on.".into(),
        route: Route::Reflex,
        model: None,
        confidence: None,
        calls: Vec::new(),
        error: None,
        ms: 1,
        received_at: now,
        finished_at: now,
    };
    Ending { outcome, traces: Vec::new(), plan: None, feedback: None }
}
