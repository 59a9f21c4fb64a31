//! The link to the fleet: MQTT in and out.
//!
//! ```text
//!  command ──> store.accept ──committed──> PUBACK        the broker keeps what is not acknowledged
//!  outbox row ──> publish ──PUBACK──> store.delivered    the store keeps what is not acknowledged
//! ```
//!
//! Offline is not a mode: the table is not being drained. The link knows the store and nothing of the
//! agent. One connection at a time ([`session`]); it is rebuilt from nothing after each loss, because all
//! that has to survive is in the store.
//!
//! Bounds: [`window::LIMIT`] rows under way; between attempts [`backoff::FIRST`] to [`backoff::LAST`]; at
//! shutdown 2 s.

mod backoff;
pub mod broker;
pub mod config;
mod connection;
mod drain;
mod incoming;
mod probe;
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
use crate::metrics::Metrics;
use crate::store::{Broker, Store};
use backoff::Backoff;
use config::{MqttConfig, MqttConfigError, Server};
use connection::{Settings, Version};
use incoming::Door;
pub use probe::probe;
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
    servers: Vec<Server>,
    settings: Settings,
    telemetry_every: Option<Duration>,
    device: Device,
    door: Door,
    health: Health,
    window: Window,
}

impl Link {
    /// Checks the section and reads the files that it names. `embedded` has to be replaced by the URL of
    /// the [`broker::EmbeddedBroker`] before.
    pub fn new(
        config: &MqttConfig,
        device: Device,
        store: Store,
        health: Health,
        metrics: Arc<Metrics>,
    ) -> Result<Self, MqttConfigError> {
        config.check()?;
        let servers = config.servers()?;
        let topics = Topics::new(&device.id);
        let settings = Settings {
            server: servers[0].clone(),
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
            door: Door { topics, broker: Broker::Upstream, store, metrics },
            health,
            window: Window::default(),
        })
    }

    /// Connects, and connects again, until `shutdown`. Dropping the
    /// future hangs up without a goodbye: the broker then publishes the last will.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut backoff = Backoff::default();
        loop {
            let turn = backoff.failures() as usize % self.servers.len();
            self.settings.server = self.servers[turn].clone();
            let mut connected_at = None;
            let end = {
                let open = connection::open(&self.settings);
                let session = Session::new(&mut self, open.client, open.events);
                tokio::select! {
                    end = session.run(&shutdown, &mut connected_at) => end,
                    // The driver ends when the connection does; the session hears of it as an event.
                    () = async { open.driver.await; std::future::pending().await } => End::Goodbye,
                }
            };
            self.door.metrics.link_up.set(0);
            let cause = match end {
                End::Goodbye => return,
                End::Lost(cause) => cause,
            };
            self.health.lose("link", format!("{}: {cause}", self.settings.server));
            let held = connected_at.map_or(Duration::ZERO, |at: Instant| at.elapsed());
            let wait = backoff.failed(held, backoff::random());
            debug!(wait_ms = wait.as_millis() as u64; "the link waits before it connects again");
            if self.stopped_within(wait, &shutdown).await {
                return;
            }
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
