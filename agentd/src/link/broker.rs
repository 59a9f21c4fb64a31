//! The broker on the board, for `mqtt.url = "embedded"`: mosquitto, as a child process.
//!
//! Why not rumqttd inside the daemon: it keeps nothing on disk (its issue #967 asks for it), so that a
//! restart would lose the retained status and the commands that wait for a device that is away, which are
//! what a broker is for here. Its 0.20 reads MQTT 5 but honours neither Session Expiry nor Receive Maximum
//! nor Retain Handling. It would bring 193 crates with an older axum, config, rustls and x509-parser to
//! build, audit and hold in the daemon's memory, for all those who use another broker. mosquitto is
//! packaged by every distribution we ship on, gets their security updates, is what many fleets run anyway,
//! and as a process of its own cannot take the daemon with it.
//!
//! Bounds: it listens on the board only; it may take 20 s to start and 5 s to stop; its queues are
//! unbounded by intent, and its log is begun anew at each start.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use log::info;
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout, timeout_at};

/// How long mosquitto may take to listen: on a small board that reads a large store from an SD card.
const START: Duration = Duration::from_secs(20);
/// How long it may take to write its store and end; then it is killed.
const STOP: Duration = Duration::from_secs(5);
/// How often a port that was free is taken by somebody else before mosquitto binds it, before we give up.
const PORT_ATTEMPTS: usize = 5;
/// How much of mosquitto's log an error message shows, in bytes.
const SHOWN_LOG_BYTES: usize = 400;

/// Why there is no broker.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// mosquitto is not there.
    #[error(
        "mosquitto, the broker that `mqtt.url = \"embedded\"` starts, is not installed: `sudo apt \
         install mosquitto`, or set `mqtt.url` to a broker elsewhere"
    )]
    NotInstalled,
    /// Its folder cannot be used.
    #[error("the broker's folder {path} cannot be written")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// No port is free.
    #[error("no port of 127.0.0.1 is free for the broker")]
    Port(#[source] std::io::Error),
    /// The process cannot be started.
    #[error("{program} cannot be started")]
    Spawn {
        /// mosquitto's path.
        program: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// It ended at once.
    #[error("the broker on 127.0.0.1:{port} ended at its start; it said: {log}")]
    Ended {
        /// The port.
        port: u16,
        /// The end of its log.
        log: String,
    },
    /// It does not listen.
    #[error("the broker does not listen on 127.0.0.1:{port} after {} s; it said: {log}", START.as_secs())]
    Deaf {
        /// The port.
        port: u16,
        /// The end of its log.
        log: String,
    },
}

/// A running broker. Dropping it kills it; [`EmbeddedBroker::stop`] lets it write its store.
#[derive(Debug)]
pub struct EmbeddedBroker {
    child: Child,
    folder: PathBuf,
    port: u16,
}

impl EmbeddedBroker {
    /// Starts a broker that listens on 127.0.0.1 only and keeps its sessions and retained messages in
    /// `folder`. Port 0 takes a free one. Returns once it accepts connections.
    pub async fn start(folder: &Path, port: u16) -> Result<Self, BrokerError> {
        std::fs::create_dir_all(folder)
            .map_err(|source| BrokerError::Folder { path: folder.into(), source })?;
        let program = find().ok_or(BrokerError::NotInstalled)?;
        let mut attempt = 1;
        loop {
            let chosen = if port == 0 { free_port().map_err(BrokerError::Port)? } else { port };
            match Self::start_on(&program, folder, chosen).await {
                Err(BrokerError::Ended { .. }) if port == 0 && attempt < PORT_ATTEMPTS => {
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    async fn start_on(program: &Path, folder: &Path, port: u16) -> Result<Self, BrokerError> {
        let unwritable = |source| BrokerError::Folder { path: folder.into(), source };
        let settings = folder.join("mosquitto.conf");
        std::fs::write(&settings, config(folder, port)).map_err(unwritable)?;
        let log = std::fs::File::create(log_path(folder)).map_err(unwritable)?;
        let child = Command::new(program)
            .arg("-c")
            .arg(&settings)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| BrokerError::Spawn { program: program.into(), source })?;
        let mut broker = Self { child, folder: folder.into(), port };
        broker.listens().await?;
        info!(port = port, folder:% = folder.display(); "the embedded broker listens");
        Ok(broker)
    }

    /// The URL for `mqtt.url`.
    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Waits until the process has ended by itself, which it should not: for a supervisor, which would
    /// then call [`EmbeddedBroker::start`] again with the same folder and port. Returns the end of its log.
    pub async fn ended(&mut self) -> String {
        // Where it cannot be waited for, it is no child of ours any more.
        let _ = self.child.wait().await;
        self.log_end()
    }

    /// Lets it write its store, and ends it; kills it after 5 s.
    pub async fn stop(mut self) {
        let pid = self.child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        if let Some(pid) = pid {
            // An error says that it has ended already.
            let _ = kill_process(pid, Signal::TERM);
        }
        if timeout(STOP, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }

    /// Kills it as a power cut would; its sessions since the last autosave are gone.
    pub async fn kill(mut self) {
        let _ = self.child.kill().await;
    }

    async fn listens(&mut self) -> Result<(), BrokerError> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let deadline = Instant::now() + START;
        let mut looks = interval(Duration::from_millis(20));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            // The process first: another broker on this port would accept in its place.
            if !matches!(self.child.try_wait(), Ok(None)) {
                return Err(BrokerError::Ended { port: self.port, log: self.log_end() });
            }
            if let Ok(Ok(_)) = timeout_at(deadline, TcpStream::connect(address)).await
                && self.has_bound()
            {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(BrokerError::Deaf { port: self.port, log: self.log_end() });
            }
        }
    }

    /// mosquitto says `running` once all its listeners are bound.
    fn has_bound(&self) -> bool {
        std::fs::read_to_string(log_path(&self.folder)).is_ok_and(|log| log.contains(" running"))
    }

    fn log_end(&self) -> String {
        let log = std::fs::read(log_path(&self.folder)).unwrap_or_default();
        let end = &log[log.len().saturating_sub(SHOWN_LOG_BYTES)..];
        let lines: Vec<_> = String::from_utf8_lossy(end).lines().map(str::to_owned).collect();
        if lines.is_empty() { "nothing".into() } else { lines.join("; ") }
    }
}

fn log_path(folder: &Path) -> PathBuf {
    folder.join("mosquitto.log")
}

fn config(folder: &Path, port: u16) -> String {
    let folder = folder.display();
    // Anonymous, because only this board can reach it. Unlimited queues, because a device that is away
    // must find its commands; what is too large is refused by the receiver in words. `user root` counts
    // only where it is started as root: it would else become a user who may not write the folder.
    format!(
        "listener {port} 127.0.0.1\n\
         allow_anonymous true\n\
         set_tcp_nodelay true\n\
         user root\n\
         persistence true\n\
         persistence_location {folder}/\n\
         autosave_interval 60\n\
         max_queued_messages 0\n\
         max_queued_bytes 0\n\
         log_dest stderr\n\
         log_type error\n\
         log_type warning\n\
         log_type information\n\
         connection_messages false\n"
    )
}

/// Whether there is a mosquitto to start, and if not, what to do.
pub fn installed() -> Result<(), BrokerError> {
    find().map(|_| ()).ok_or(BrokerError::NotInstalled)
}

fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian installs it where only root's PATH looks.
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|folder| folder.join("mosquitto"))
        .find(|program| program.is_file())
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
