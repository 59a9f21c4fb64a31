//! What the system tests and the figures stand on: a whole machine in a temporary folder.
//!
//! The board and the observer are the demo's; the broker is mosquitto; the daemon is the binary, as a
//! process of its own. Nothing here waits for a time: it waits for a condition, up to a deadline.

pub mod memory;
pub mod raw;
pub mod rude;

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use agentd::client::{Client, Target};
use agentd::command::{Command, Outcome, fresh_id};
use agentd::demo::greenhouse::Greenhouse;
use agentd::demo::observer::Observer;
use agentd::link::broker::EmbeddedBroker;
use rustix::process::{Pid, Signal};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Child;

/// How long any condition may take. Machines under test are shared and slow.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How often a condition is looked at that gives no sign.
const LOOK: Duration = Duration::from_millis(10);
/// The device's name in the tests.
pub const DEVICE: &str = "bench-1";

/// The tools of the tests: one of each kind, over the greenhouse board.
pub const TOOLS: &str = include_str!("machine.toml");

/// A machine: board, broker, daemon, and somebody on the broker who watches.
pub struct Machine {
    /// The board.
    pub greenhouse: Greenhouse,
    /// The broker, where there is one.
    pub broker: Option<EmbeddedBroker>,
    broker_port: u16,
    /// Who watches on the broker, where there is one.
    pub observer: Option<Observer>,
    /// The daemon's socket.
    pub client: Client,
    daemon: Option<Child>,
    folder: TempDir,
    disk_kib: Option<u32>,
    /// Figures read off the start.
    pub ready_after: Duration,
}

/// How a machine is to be.
#[derive(Default)]
pub struct Setting {
    /// MQTT 5 or 4 (3.1.1); none for no broker at all.
    pub mqtt: Option<u8>,
    /// More TOML, put before the tools.
    pub config: String,
    /// The tools in TOML, in the place of [`TOOLS`].
    pub tools: Option<String>,
    /// More keys of `[store]`.
    pub store: String,
    /// The folder to use, from a machine before.
    pub folder: Option<TempDir>,
    /// The size of a disk of its own for the database, in KiB, in a mount namespace of the daemon's.
    pub disk_kib: Option<u32>,
}

impl Machine {
    /// Starts a machine and waits until its daemon answers.
    pub async fn start(setting: Setting) -> Self {
        let folder = setting.folder.unwrap_or_else(|| tempfile::tempdir().expect("a folder"));
        let port = folder.path().join("board");
        let greenhouse = Greenhouse::plug_in(&port).expect("a pseudo-terminal");
        let disk = folder.path().join("disk");
        std::fs::create_dir_all(&disk).expect("a folder for the database");
        let mut text = base_config(folder.path(), &setting.store);
        let (mut broker, mut observer, mut broker_port) = (None, None, 0);
        if let Some(protocol) = setting.mqtt {
            let started = EmbeddedBroker::start(&folder.path().join("broker"), 0).await;
            let started = started.expect("mosquitto starts");
            broker_port = started.port();
            text.push_str(&mqtt_config(broker_port, protocol));
            observer = Some(watch(started.port()));
            broker = Some(started);
        }
        text.push_str(&setting.config);
        text.push_str(setting.tools.as_deref().unwrap_or(TOOLS));
        std::fs::write(folder.path().join("agentd.toml"), text).expect("the config is written");
        let client = Client::new(Target::Socket(folder.path().join("agentd.sock")));
        let mut machine = Self {
            greenhouse,
            broker,
            broker_port,
            observer,
            client,
            daemon: None,
            folder,
            disk_kib: setting.disk_kib,
            ready_after: Duration::ZERO,
        };
        machine.start_daemon().await;
        if let Some(observer) = &machine.observer {
            assert!(observer.connected(PATIENCE).await, "the observer reaches the broker");
            machine.until("the link is up", async |m| m.metric("agentd_link_up").await == 1).await;
        }
        machine
    }

    /// Starts the daemon, which must not be running, and waits until it answers.
    pub async fn start_daemon(&mut self) {
        let begun = Instant::now();
        let log = std::fs::File::options().create(true).append(true).open(self.log_path());
        let mut command = match self.disk_kib {
            None => tokio::process::Command::new(binary()),
            Some(kib) => {
                // Its own disk, which needs no privilege: a tmpfs that only this daemon sees.
                let mount =
                    format!("mount -t tmpfs -o size={kib}k none {} && exec \"$@\"", self.disk());
                let mut command = tokio::process::Command::new("unshare");
                command
                    .args(["--mount", "--map-root-user", "sh", "-c", &mount, "sh"])
                    .arg(binary());
                command
            }
        };
        let child = command
            .args(["run", "--config"])
            .arg(self.folder.path().join("agentd.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.expect("the log opens"))
            .kill_on_drop(true)
            .spawn()
            .expect("the daemon starts");
        self.daemon = Some(child);
        while self.client.health().await.is_err() {
            let ended = self.daemon.as_mut().and_then(|child| child.try_wait().ok()).flatten();
            assert!(ended.is_none(), "the daemon ended: {ended:?}\n{}", self.log());
            assert!(begun.elapsed() < PATIENCE, "the daemon does not answer\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.ready_after = begun.elapsed();
    }

    /// Stops the broker.
    pub async fn stop_broker(&mut self) {
        self.broker.take().expect("a broker runs").stop().await;
    }

    /// Starts the broker again where it was.
    pub async fn start_broker(&mut self) {
        let folder = self.folder.path().join("broker");
        let started = EmbeddedBroker::start(&folder, self.broker_port).await;
        self.broker = Some(started.expect("mosquitto starts again"));
    }

    /// Sends the daemon a signal and waits for its end.
    pub async fn end_daemon(&mut self, signal: Signal) -> ExitStatus {
        let mut child = self.daemon.take().expect("a daemon runs");
        let pid = child.id().and_then(|pid| Pid::from_raw(pid as i32)).expect("it has a pid");
        rustix::process::kill_process(pid, signal).expect("the signal is sent");
        let ended = tokio::time::timeout(PATIENCE, child.wait()).await;
        ended.expect("the daemon ends in time").expect("its status is known")
    }

    /// The daemon's process id.
    pub fn daemon_pid(&self) -> i32 {
        let pid = self.daemon.as_ref().and_then(Child::id).expect("a daemon runs");
        i32::try_from(pid).expect("a pid")
    }

    /// The process ids of the daemon's workers.
    pub fn worker_pids(&self) -> Vec<i32> {
        let pid = self.daemon_pid();
        let children = std::fs::read_dir(format!("/proc/{pid}/task")).expect("the daemon lives");
        let children = children
            .flatten()
            .filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
        let pids: String = children.collect::<Vec<_>>().join(" ");
        pids.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
    }

    /// Kills the worker as the kernel would when memory is short.
    pub fn kill_worker(&self) {
        let pids = self.worker_pids();
        assert_eq!(pids.len(), 1, "one worker runs: {pids:?}");
        let pid = Pid::from_raw(pids[0]).expect("a pid");
        rustix::process::kill_process(pid, Signal::KILL).expect("the signal is sent");
    }

    /// Gives a command over MQTT and waits for its final outcome.
    pub async fn say(&self, text: &str) -> Outcome {
        let id = fresh_id();
        let observer = self.observer.as_ref().expect("the machine has a broker");
        observer.command(&id, text).await.expect("the command is sent");
        match observer.outcome(&id, PATIENCE).await {
            Some(outcome) => outcome,
            None => panic!("no outcome for “{text}”\n{}", self.log()),
        }
    }

    /// Gives a command over the socket and waits for its final outcome.
    pub async fn ask(&self, text: &str) -> Outcome {
        match self.client.command(&Command::from_text(text)).await {
            Ok(outcome) => outcome,
            Err(error) => panic!("“{text}”: {error}\n{}", self.log()),
        }
    }

    /// The same, within a session.
    pub async fn ask_in(&self, session: &str, text: &str) -> Outcome {
        let command = Command { session: Some(session.into()), ..Command::from_text(text) };
        match self.client.command(&command).await {
            Ok(outcome) => outcome,
            Err(error) => panic!("“{text}”: {error}\n{}", self.log()),
        }
    }

    /// What the daemon says of itself.
    pub async fn health(&self) -> Value {
        match self.client.health().await {
            Ok(health) => health,
            Err(error) => panic!("no health: {error}\n{}", self.log()),
        }
    }

    /// Why a component is degraded, where it is.
    pub async fn degraded(&self, component: &str) -> Option<String> {
        let health = self.health().await;
        let entries = health["degraded"].as_array()?;
        let entry = entries.iter().find(|entry| entry["component"] == component)?;
        entry["cause"].as_str().map(str::to_owned)
    }

    /// A figure of `/metrics`.
    pub async fn metric(&self, name: &str) -> u64 {
        let text = self.client.metrics().await.unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.parse().ok()).unwrap_or(0)
    }

    /// Waits for a condition.
    pub async fn until(&self, what: &str, condition: impl AsyncFn(&Self) -> bool) {
        let begun = Instant::now();
        while !condition(self).await {
            assert!(begun.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}\n{}", self.log());
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until the model is ready.
    pub async fn until_model_ready(&self) {
        self.until("the model is ready", async |m| m.health().await["model"]["state"] == "ready")
            .await;
    }

    /// Runs another command of the binary with this machine's config.
    pub async fn run(&self, arguments: &[&str]) -> Output {
        run_with_config(&self.folder.path().join("agentd.toml"), arguments).await
    }

    fn disk(&self) -> String {
        self.folder.path().join("disk").display().to_string()
    }

    /// Fills the daemon's own disk.
    pub fn fill_disk(&self) {
        use std::io::Write as _;
        let mut file = std::fs::File::create(self.filler()).expect("a file on its disk");
        while file.write_all(&[0; 1024]).is_ok() {}
    }

    /// Makes room again.
    pub fn free_disk(&self) {
        std::fs::remove_file(self.filler()).expect("the file was there");
    }

    /// The file that fills the disk, seen through the daemon's mount namespace.
    fn filler(&self) -> String {
        format!("/proc/{}/root{}/filler", self.daemon_pid(), self.disk())
    }

    /// The machine's folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("agentd.log")
    }

    /// What the daemon logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Ends the daemon and keeps the folder for a machine after this one.
    pub async fn into_folder(mut self, signal: Signal) -> TempDir {
        if self.daemon.is_some() {
            self.end_daemon(signal).await;
        }
        self.folder
    }
}

/// Runs a command of the binary with a config.
pub async fn run_with_config(config: &Path, arguments: &[&str]) -> Output {
    let output = tokio::process::Command::new(binary())
        .args(arguments)
        .arg("--config")
        .arg(config)
        .stdin(Stdio::null())
        .output();
    tokio::time::timeout(PATIENCE, output).await.expect("it ends in time").expect("it runs")
}

/// Somebody who watches on a broker.
#[expect(
    clippy::disallowed_methods,
    reason = "the observer is a peer of the daemon, not part of it"
)]
pub fn watch(port: u16) -> Observer {
    let (observer, work) = Observer::new(port, DEVICE);
    tokio::spawn(work);
    observer
}

fn base_config(folder: &Path, store: &str) -> String {
    let at = |name: &str| folder.join(name).display().to_string();
    format!(
        "[device]\nid = \"{DEVICE}\"\n[store]\npath = \"{}\"\n{store}[http]\nlisten = \"off\"\nsocket = \"{}\"\n\
         [[serial]]\nname = \"board\"\npath = \"{}\"\n",
        at("disk/agentd.db"),
        at("agentd.sock"),
        at("board"),
    )
}

fn mqtt_config(port: u16, protocol: u8) -> String {
    format!("[mqtt]\nurl = \"mqtt://127.0.0.1:{port}\"\nprotocol = {protocol}\n")
}

/// The real model: `AGENTD_TEST_MODEL` names it, as `make test` does.
pub fn real_model() -> String {
    let path = std::env::var("AGENTD_TEST_MODEL");
    let path = path.expect("AGENTD_TEST_MODEL names the GGUF file: run the tests with `make test`");
    format!("[model]\npath = \"{path}\"\n")
}

/// A script in the model's place.
pub fn scripted_model(folder: &Path, script: &str) -> String {
    let path = folder.join("model.toml");
    std::fs::write(&path, script).expect("the script is written");
    format!("[model]\nscripted = \"{}\"\n", path.display())
}

/// No model at all.
pub const NO_MODEL: &str = "[model]\ndir = \"/nonexistent/agentd-models\"\n";

/// The daemon's binary: `AGENTD_BIN`, or the one built beside the tests.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("AGENTD_BIN") {
        return path.into();
    }
    let mut path = std::env::current_exe().expect("this program has a path");
    path.pop();
    if path.ends_with("deps") {
        path.pop();
    }
    let path = path.join("agentd");
    assert!(path.exists(), "{} is not built: cargo build --release --workspace", path.display());
    path
}
