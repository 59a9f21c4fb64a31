//! One machine in a folder of its own, made so that everything about it can go wrong.
//!
//! ```text
//!  watcher ───────────────────────────> mosquitto <── proxy <── agentd ──pty──> board
//!     gives commands, gets outcomes                    the disk below it is a tmpfs of its own,
//!     and events                                       and its clock can jump
//! ```

use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use agentd::client::{Client, Target};
use agentd::link::broker::EmbeddedBroker;
use anyhow::{Context as _, Result, ensure};

use crate::board::Board;
use crate::clock::Clock;
use crate::daemon::{Daemon, Launch};
use crate::disk::Disk;
use crate::plan::{Plan, What};
use crate::proxy::Proxy;
use crate::watcher::Watcher;

/// How long a part may take to come up. Machines under test are shared and slow.
const SET_UP: Duration = Duration::from_secs(60);
/// How often a state is looked at that gives no sign.
pub(crate) const LOOK: Duration = Duration::from_millis(20);
/// The tools.
const TOOLS: &str = include_str!("machine.toml");
/// The device's name. Each machine has a broker of its own.
const DEVICE: &str = "faults";
/// Brokers listen below the ports that the kernel gives to connections: one that is stopped must find
/// its port free when it comes back, and not taken by another case's connection.
const PORTS: std::ops::Range<u16> = 10_000..30_000;

/// The parts.
pub(crate) struct Machine {
    pub(crate) board: Board,
    pub(crate) proxy: Proxy,
    pub(crate) watcher: Arc<Watcher>,
    pub(crate) daemon: Arc<Daemon>,
    pub(crate) client: Client,
    pub(crate) clock: Clock,
    pub(crate) disk: Disk,
    broker: Option<EmbeddedBroker>,
    broker_port: u16,
    folder: PathBuf,
}

impl Machine {
    /// Makes a machine for a plan and waits until its daemon answers and the watcher watches. `before`
    /// stands before the daemon's command line.
    pub(crate) async fn start(folder: &Path, plan: &Plan, before: &[String]) -> Result<Self> {
        let disk = Disk::mount(folder.join("disk"))?;
        let board = Board::plug_in(&folder.join("board"))?;
        let broker_port = free_port()?;
        let broker = EmbeddedBroker::start(&folder.join("broker"), broker_port).await?;
        let proxy = Proxy::start(broker_port).await?;
        let watcher = Arc::new(Watcher::start(broker_port, DEVICE));
        let clock = Clock::new(folder.join("clock"))?;
        let config = folder.join("agentd.toml");
        std::fs::write(folder.join("model.toml"), script(plan))?;
        std::fs::write(&config, configure(folder, disk.path(), proxy.port()))?;
        let watching = &watcher;
        until("the watcher watches", || async { watching.is_subscribed() }).await?;
        let binary = agentd_tests::binary().display().to_string();
        let run = [binary, "run".into(), "--config".into(), config.display().to_string()];
        let launch = Launch {
            command: before.iter().cloned().chain(run).collect(),
            // A traced daemon's clock is the one that the trace is told in.
            environment: if before.is_empty() { clock.environment() } else { Vec::new() },
            log: folder.join("agentd.log"),
        };
        let machine = Self {
            client: Client::new(Target::Socket(folder.join("agentd.sock"))),
            daemon: Arc::new(Daemon::start(launch)),
            board,
            proxy,
            watcher,
            clock,
            disk,
            broker: Some(broker),
            broker_port,
            folder: folder.into(),
        };
        machine.answers().await?;
        // What is published before the broker knows the device's session is nobody's.
        until("the link is up", || async { machine.watcher.state() == "online" }).await?;
        Ok(machine)
    }

    /// Waits until the daemon answers.
    pub(crate) async fn answers(&self) -> Result<()> {
        until("the daemon answers", || async { self.client.health().await.is_ok() }).await
    }

    pub(crate) async fn stop_broker(&mut self) -> bool {
        match self.broker.take() {
            Some(broker) => {
                broker.stop().await;
                true
            }
            None => false,
        }
    }

    pub(crate) async fn start_broker(&mut self) -> Result<()> {
        if self.broker.is_none() {
            let folder = self.folder.join("broker");
            self.broker = Some(EmbeddedBroker::start(&folder, self.broker_port).await?);
        }
        Ok(())
    }

    /// The database.
    pub(crate) fn database(&self) -> PathBuf {
        self.disk.path().join("agentd.db")
    }

    /// Copies what lies on the disk to where it stays when the disk goes.
    pub(crate) fn keep_disk(&self) -> Result<()> {
        let to = self.folder.join("disk-kept");
        std::fs::create_dir_all(&to)?;
        for entry in std::fs::read_dir(self.disk.path())?.flatten() {
            std::fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
        Ok(())
    }
}

/// Waits for a condition.
pub(crate) async fn until<F: Future<Output = bool>>(
    what: &str,
    condition: impl Fn() -> F,
) -> Result<()> {
    let begun = Instant::now();
    while !condition().await {
        ensure!(begun.elapsed() < SET_UP, "{what}: not within {SET_UP:?}");
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

fn configure(folder: &Path, disk: &Path, port: u16) -> String {
    let at = |name: &str| folder.join(name).display().to_string();
    format!(
        "[device]\nid = \"{DEVICE}\"\n[store]\npath = \"{}\"\n[http]\nlisten = \"off\"\nsocket = \"{}\"\n\
         [mqtt]\nurl = \"mqtt://127.0.0.1:{port}\"\nkeep_alive_seconds = 5\n\
         [model]\nscripted = \"{}\"\n[[serial]]\nname = \"board\"\npath = \"{}\"\n\n{TOOLS}",
        disk.join("agentd.db").display(),
        at("agentd.sock"),
        at("model.toml"),
        at("board"),
    )
}

/// What the model answers: the script knows the sentences of the plan.
fn script(plan: &Plan) -> String {
    let mut script = String::new();
    for order in plan.orders() {
        if let What::Think { ms } = order.what {
            let number = order.number;
            // Writing to a string does not fail.
            let _ = write!(
                script,
                "[[reply]]\nwhen = \"^think of {number}$\"\nsay = \"mark(number={number})\"\ndelay_ms = {ms}\n"
            );
        }
    }
    script + "[[reply]]\nwhen = \"\"\nsay = \"none()\"\n"
}

fn free_port() -> Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Campaigns that run beside one another begin at ports of their own.
    let first = std::process::id() as u16;
    for _ in PORTS {
        let offset = NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(first) % PORTS.len() as u16;
        let port = PORTS.start + offset;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    None.context("no port of 127.0.0.1 is free for a broker")
}
