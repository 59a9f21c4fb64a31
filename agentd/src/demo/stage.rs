//! Everything that the story is told with: broker, board, daemon, observer.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use futures_util::future::BoxFuture;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::console::{Console, time};
use super::greenhouse::{Greenhouse, Line};
use super::observer::Observer;
use crate::client::{Client, Target};
use crate::command::{self, Outcome, fresh_id};
use crate::link::broker::EmbeddedBroker;

const DEVICE: &str = "greenhouse";
const CONFIG: &str = include_str!("../../../configs/demo.toml");
/// How long the parts may take to come up. The model is read from a slow card in this.
const SET_UP: Duration = Duration::from_secs(120);
/// How often a state that has no notice of its own is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// What one command did.
#[derive(Debug)]
pub(super) struct Done {
    /// Its outcome.
    pub outcome: Outcome,
    /// What the board saw of it.
    pub wire: Vec<Line>,
}

/// The stage.
#[derive(Debug)]
pub(super) struct Stage {
    pub console: Console,
    pub greenhouse: Greenhouse,
    pub observer: Observer,
    client: Client,
    broker: Option<EmbeddedBroker>,
    broker_port: u16,
    daemon: Child,
    folder: TempDir,
    kiosk: String,
}

impl Stage {
    /// Starts everything, and says what it starts.
    pub(super) async fn set(console: Console) -> Result<(Self, BoxFuture<'static, ()>)> {
        let folder = tempfile::Builder::new().prefix("agentd-demo-").tempdir()?;
        let broker = EmbeddedBroker::start(&folder.path().join("broker"), 0).await?;
        console.field("broker", &format!("mosquitto on 127.0.0.1:{}", broker.port()));
        let port = folder.path().join("board");
        let greenhouse = Greenhouse::plug_in(&port)?;
        let terminal = std::fs::read_link(&port)?;
        console.field("board", &format!("a simulated controller on {}", terminal.display()));
        let http = free_port()?;
        let config = folder.path().join("agentd.toml");
        std::fs::write(&config, configure(folder.path(), &port, broker.port(), http)?)?;
        let begun = Instant::now();
        let daemon = start_daemon(&config, &folder.path().join("agentd.log"))?;
        let (observer, watching) = Observer::new(broker.port(), DEVICE);
        let mut stage = Self {
            console,
            greenhouse,
            observer,
            client: Client::new(Target::Socket(folder.path().join("agentd.sock"))),
            broker_port: broker.port(),
            broker: Some(broker),
            daemon,
            folder,
            kiosk: format!("http://127.0.0.1:{http}/"),
        };
        let mut watching: BoxFuture<'static, ()> = Box::pin(watching);
        tokio::select! {
            result = stage.come_up(begun) => result?,
            () = &mut watching => bail!("the observer ended"),
        }
        Ok((stage, watching))
    }

    async fn come_up(&mut self, begun: Instant) -> Result<()> {
        let deadline = begun + SET_UP;
        let mut ready = None;
        loop {
            if let Some(status) = self.daemon.try_wait()? {
                bail!("the daemon ended ({status}); its last words:\n{}", self.last_words());
            }
            if let Ok(health) = self.client.health().await {
                ready.get_or_insert_with(|| begun.elapsed());
                let state = health["model"]["state"].as_str().unwrap_or_default();
                if matches!(state, "ready" | "off" | "down") {
                    let took = ready.unwrap_or_default().as_secs_f64() * 1000.0;
                    let model = health["model"]["name"].as_str().unwrap_or("none");
                    self.console.field("daemon", &format!("ready in {}", time(took)));
                    if state == "ready" {
                        self.prompt_is_warm(deadline).await?;
                    }
                    let loaded = time(begun.elapsed().as_secs_f64() * 1000.0);
                    self.console.field("model", &format!("{model}: {state} after {loaded}"));
                    break;
                }
            }
            if Instant::now() > deadline {
                bail!(
                    "the daemon was not ready in {SET_UP:?}; its last words:\n{}",
                    self.last_words()
                );
            }
            tokio::time::sleep(LOOK).await;
        }
        if !self.observer.connected(SET_UP).await {
            bail!("nobody can reach the broker on 127.0.0.1:{}", self.broker_port);
        }
        Ok(())
    }

    /// Waits until the static part of the prompt is computed, as it is on a board that has been on for a
    /// few seconds.
    async fn prompt_is_warm(&self, deadline: Instant) -> Result<()> {
        while self.metric("agentd_model_tokens_prefilled_total").await? == 0 {
            if Instant::now() > deadline {
                bail!("the model has not read its prompt within {SET_UP:?}");
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// Gives a command over MQTT and shows everything about it.
    pub(super) async fn over_mqtt(&mut self, text: &str, within: Duration) -> Result<Done> {
        self.console.asked("over MQTT", text);
        let id = fresh_id();
        let before = self.greenhouse.actions().len();
        let begun = Instant::now();
        self.observer.command(&id, text).await?;
        let outcome = self.observer.outcome(&id, within).await;
        let Some(outcome) = outcome else {
            bail!("no outcome came for “{text}”; the daemon's last words:\n{}", self.last_words());
        };
        Ok(self.show(outcome, before, begun))
    }

    /// Gives a command over the local socket and shows everything about it.
    pub(super) async fn locally(&mut self, text: &str) -> Result<Done> {
        self.console.asked("agentd ask", text);
        let before = self.greenhouse.actions().len();
        let begun = Instant::now();
        let outcome = self.client.command(&command::Command::from_text(text)).await?;
        Ok(self.show(outcome, before, begun))
    }

    fn show(&self, outcome: Outcome, before: usize, begun: Instant) -> Done {
        let ms = begun.elapsed().as_secs_f64() * 1000.0;
        let wire = self.greenhouse.actions().split_off(before);
        self.console.outcome(&outcome, &wire, ms);
        Done { outcome, wire }
    }

    /// Waits until a poll has stored something.
    pub(super) async fn a_reading(&self, within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        while self.metric("agentd_readings_total").await? == 0 {
            if Instant::now() > deadline {
                bail!("no reading was stored in {within:?}");
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    async fn metric(&self, name: &str) -> Result<u64> {
        let text = self.client.metrics().await?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        line.with_context(|| format!("there is no figure {name}"))
    }

    /// Rows that wait for the network.
    pub(super) async fn outbox_pending(&self) -> Result<u64> {
        let health = self.client.health().await?;
        health["outbox"]["pending"].as_u64().context("health has no outbox")
    }

    /// Waits until no row waits.
    pub(super) async fn outbox_drained(&self, within: Duration) -> Result<bool> {
        let deadline = Instant::now() + within;
        while self.outbox_pending().await? > 0 {
            if Instant::now() > deadline {
                return Ok(false);
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(true)
    }

    /// Stops the broker, and waits until the daemon has noticed.
    pub(super) async fn stop_broker(&mut self) -> Result<()> {
        if let Some(broker) = self.broker.take() {
            broker.stop().await;
        }
        let deadline = Instant::now() + SET_UP;
        while self.metric("agentd_link_up").await? == 1 {
            if Instant::now() > deadline {
                bail!("the daemon has not noticed that the broker is gone");
            }
            tokio::time::sleep(LOOK).await;
        }
        self.console.aside("The broker has been stopped.");
        Ok(())
    }

    /// Starts the broker again.
    pub(super) async fn start_broker(&mut self) -> Result<()> {
        let folder = self.folder.path().join("broker");
        self.broker = Some(EmbeddedBroker::start(&folder, self.broker_port).await?);
        self.console.aside("The broker has been started again.");
        Ok(())
    }

    /// Lets the person type until they have had enough.
    pub(super) async fn type_away(&mut self) -> Result<()> {
        self.console.line("");
        self.console.field("now you", "type a command, or: unplug, plug, quit");
        self.console.field("kiosk", &self.kiosk);
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        while let Some(line) = lines.next_line().await? {
            match line.trim() {
                "" => {}
                "quit" | "exit" => break,
                "unplug" => self.greenhouse.unplug(),
                "plug" => self.greenhouse.replug()?,
                text => {
                    self.locally(text).await?;
                }
            }
        }
        Ok(())
    }

    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(self.folder.path().join("agentd.log"));
        let log = log.unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }

    /// Stops everything. The folder stays where it is to be kept.
    pub(super) async fn end(mut self, keep: bool) -> Option<PathBuf> {
        if let Some(pid) = self.daemon.id().and_then(|pid| i32::try_from(pid).ok())
            && let Some(pid) = rustix::process::Pid::from_raw(pid)
        {
            // A daemon that has ended already needs no signal.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            let _ = tokio::time::timeout(Duration::from_secs(10), self.daemon.wait()).await;
        }
        if let Some(broker) = self.broker.take() {
            broker.stop().await;
        }
        keep.then(|| self.folder.keep())
    }
}

fn start_daemon(config: &Path, log: &Path) -> Result<Child> {
    let log = std::fs::File::create(log)?;
    let this = std::env::current_exe().context("this program cannot be found")?;
    Command::new(this)
        .args(["run", "--config"])
        .arg(config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .context("the daemon cannot be started")
}

/// The demo's config with the paths and ports of this run.
fn configure(folder: &Path, board: &Path, broker: u16, http: u16) -> Result<String> {
    let mut config: toml_edit::DocumentMut = CONFIG.parse()?;
    let path = |path: PathBuf| toml_edit::value(path.display().to_string());
    config["device"]["id"] = toml_edit::value(DEVICE);
    config["store"]["path"] = path(folder.join("agentd.db"));
    config["mqtt"]["url"] = toml_edit::value(format!("mqtt://127.0.0.1:{broker}"));
    config["http"]["listen"] = toml_edit::value(format!("127.0.0.1:{http}"));
    config["http"]["socket"] = path(folder.join("agentd.sock"));
    let ports = config["serial"].as_array_of_tables_mut().context("demo.toml has no [[serial]]")?;
    let port = ports.get_mut(0).context("demo.toml has no [[serial]]")?;
    port["path"] = path(board.into());
    Ok(config.to_string())
}

/// A port of the loopback that nobody listens on at the moment.
fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
