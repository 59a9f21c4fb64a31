//! The link to the fleet: MQTT in and out.
//!
//! ```text
//!  command ──> store.accept ──committed──> PUBACK        the broker keeps what is not acknowledged
//!  outbox row ──> publish ──PUBACK──> store.delivered    the store keeps what is not acknowledged
//! ```
//!
//! Offline is not a mode: the table is not being drained. The link knows the store and nothing of the
//! agent. One connection at a time ([`session`]); it is rebuilt from nothing after each loss, because all
//! that has to survive is in the store. Which broker is next is for [`servers`] to say; while a lesser one
//! is in use, [`failback`] looks for a better one. A second link may serve a broker on the board
//! ([`local`]): same code, same store, its own rows.
//!
//! Bounds: [`window::LIMIT`] rows under way; [`driver::CONNECT`] for a connection; a dead one is noticed
//! within 20 s ([`pulse`]); between attempts [`backoff::FIRST`] to [`backoff::LAST`]; a broker that takes
//! no rows is tried every [`pause::FIRST`] to [`pause::LAST`]; at shutdown 2 s.

mod ahead;
mod answers;
mod backoff;
pub mod broker;
pub mod config;
mod connection;
mod drain;
mod driver;
mod errand;
mod failback;
mod fault;
mod incoming;
pub mod local;
mod pause;
mod probe;
mod pulse;
pub mod server;
mod servers;
mod session;
mod status;
mod v4;
mod v5;
mod window;
pub mod wire;

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use log::debug;
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::health::Health;
use crate::metrics::{Figure, Metrics};
use crate::store::{Broker, Store};
use config::{MqttConfig, MqttConfigError};
use connection::{Connection, Settings, Version};
use incoming::Door;
use local::Names;
use pause::Pause;
pub use probe::probe;
use servers::Servers;
use session::{End, Session};
use window::Window;
use wire::{Presence, Topics};

/// Who the device is, as the link says it.
#[derive(Debug, Clone)]
pub struct Device {
    /// `[device] id`.
    pub id: String,
    /// The retained payload of `capabilities`.
    pub capabilities: Value,
    /// The model's name while it can be asked.
    pub model: watch::Receiver<Option<String>>,
    /// When the daemon started.
    pub started_at: Timestamp,
}

/// The link. [`Link::run`] is its life.
pub struct Link {
    servers: Servers,
    settings: Settings,
    telemetry_every: Option<Duration>,
    device: Device,
    door: Door,
    names: Names,
    health: Health,
    window: Window,
    pause: Pause,
}

impl Link {
    /// Checks the section and reads the files that it names. `embedded` has to be replaced by the URL of
    /// the [`broker::EmbeddedBroker`] before. The section of the broker on the board is
    /// [`MqttConfig::on_board`].
    pub fn new(
        config: &MqttConfig,
        broker: Broker,
        device: Device,
        store: Store,
        health: Health,
        metrics: Arc<Metrics>,
    ) -> Result<Self, MqttConfigError> {
        config.check()?;
        let servers = Servers::new(config.servers()?, config.failback());
        let topics = Topics::new(&device.id);
        let settings = Settings {
            server: servers.current().clone(),
            tls: config.tls()?,
            version: if config.protocol == 4 { Version::V4 } else { Version::V5 },
            client_id: config.client_id.clone().unwrap_or_else(|| format!("agentd-{}", device.id)),
            credentials: match &config.username {
                Some(name) => Some((name.clone(), config.password()?.unwrap_or_default())),
                None => None,
            },
            keep_alive_seconds: config.keep_alive_seconds,
            will: (topics.status(), Presence::Offline {}.payload()),
        };
        Ok(Self {
            servers,
            settings,
            telemetry_every: (config.telemetry_seconds > 0)
                .then(|| Duration::from_secs(config.telemetry_seconds)),
            device,
            door: Door { topics, broker, store, metrics },
            names: Names::of(broker),
            health,
            window: Window::default(),
            pause: Pause::default(),
        })
    }

    /// Connects, and connects again, until `shutdown`. Dropping the
    /// future hangs up without a goodbye: the broker then publishes the last will.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut next: Option<(usize, Connection)> = None;
        loop {
            self.turn_to_current();
            let connection = match next.take() {
                Some((_, connection)) => connection,
                None => connection::open(&self.settings),
            };
            let mut connected_at = None;
            let end = self.serve(connection, &mut next, &mut connected_at, &shutdown).await;
            self.up().set(0);
            if let Some((turn, _)) = &next {
                self.servers.moved(*turn);
            }
            let cause = match end {
                End::Goodbye => return,
                // A better broker has accepted: it does not matter how the old connection ended.
                _ if next.is_some() => continue,
                End::Moved => continue,
                End::Lost(cause) => cause,
            };
            let held = connected_at.map_or(Duration::ZERO, |at: Instant| at.elapsed());
            let wait = self.servers.lost(cause, held, backoff::random());
            self.health.lose(self.names.link, self.servers.why());
            debug!(wait_ms = wait.as_millis() as u64; "the link waits before it connects again");
            if self.stopped_within(wait, &shutdown).await {
                return;
            }
        }
    }

    /// Serves one connection to its end. Where a better broker accepts one meanwhile, it is put into
    /// `next`, and this one ends with a goodbye.
    async fn serve(
        &mut self,
        connection: Connection,
        next: &mut Option<(usize, Connection)>,
        connected_at: &mut Option<Instant>,
        shutdown: &CancellationToken,
    ) -> End {
        let Connection { client, events, driver, first } = connection;
        let better = failback::better(self.servers.clone(), self.settings.clone());
        let moves = CancellationToken::new();
        let session = Session::new(self, client, events, first);
        tokio::select! {
            end = session.run(shutdown, &moves, connected_at) => end,
            // The driver ends when the connection does; the session hears of it as an event.
            end = async { driver.await; std::future::pending().await } => end,
            end = async {
                *next = Some(better.await);
                moves.cancel();
                std::future::pending().await
            } => end,
        }
    }

    /// The gauge that says whether it is up.
    fn up(&self) -> &Figure {
        match self.door.broker {
            Broker::Upstream => &self.door.metrics.link_up,
            Broker::OnBoard => &self.door.metrics.local_up,
        }
    }

    /// Makes the broker whose turn it is the one that is connected to.
    fn turn_to_current(&mut self) {
        if self.settings.server != *self.servers.current() {
            self.settings.server = self.servers.current().clone();
            // What one broker takes says nothing of another.
            self.pause = Pause::default();
        }
    }

    /// Waits, and keeps the gauge of the outbox right meanwhile. `true`: the daemon is shutting down.
    async fn stopped_within(&self, wait: Duration, shutdown: &CancellationToken) -> bool {
        let wait = tokio::time::sleep(wait);
        tokio::pin!(wait);
        let mut outbox = self.door.store.outbox_changed();
        outbox.mark_changed();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return true,
                () = &mut wait => return false,
                Ok(()) = outbox.changed() => {
                    if let Ok(stats) = self.door.store.outbox_stats().await {
                        self.door.metrics.outbox_pending.set(stats.pending);
                    }
                }
            }
        }
    }
}
