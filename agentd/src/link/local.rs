//! `[mqtt.local]`: a broker on the board beside the one of the fleet, and what a link is called for which of
//! the two it serves.
//!
//! ```text
//!  fleet's broker ──command──> store <──command── broker on the board <── kiosk, voice, a script
//!        ^                       │                        ^
//!        └─result, event, status─┴─result, status─────────┘
//! ```
//!
//! Commands are taken from both. A command that came in on the board is answered there, network or not, and
//! its result goes to the fleet too. Events go to the fleet alone: they wait in the outbox for it.

use serde::Deserialize;

use super::config::{EMBEDDED, MqttConfig, MqttConfigError};
use super::server::Server;
use crate::store::Broker;

/// The `[mqtt.local]` section.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LocalConfig {
    /// `embedded` starts mosquitto for it; `mqtt://127.0.0.1:1883` is one that runs on the board already,
    /// and lets everybody on the board in.
    pub url: String,
    /// The port of the `embedded` broker, on 127.0.0.1. Set it where another broker has the usual one.
    pub embedded_port: u16,
}

impl Default for LocalConfig {
    fn default() -> Self {
        Self { url: EMBEDDED.into(), embedded_port: 1883 }
    }
}

impl LocalConfig {
    /// Refuses a broker that is not on the board, or that is the fleet's as well: two connections under one
    /// client id would push each other off for ever.
    pub(super) fn check(&self, upstream: &MqttConfig) -> Result<(), MqttConfigError> {
        let refuse = |why: &str| Err(MqttConfigError::Local(why.to_owned()));
        if upstream.is_embedded() {
            return refuse(
                "the broker of `mqtt.url` is on the board already; leave this section out",
            );
        }
        if self.url == EMBEDDED {
            return Ok(());
        }
        let server = Server::parse(&self.url)?;
        if server.tls || !is_loopback(&server.host) {
            return refuse("it is `embedded`, or on this board as in `mqtt://127.0.0.1:1883`");
        }
        let same = |other: &Server| is_loopback(&other.host) && other.port == server.port;
        if upstream.servers()?.iter().any(same) {
            return refuse("it is the broker of `mqtt.url`; leave this section out");
        }
        Ok(())
    }

    /// The section of a link to this broker alone.
    pub(super) fn section(&self, upstream: &MqttConfig) -> MqttConfig {
        MqttConfig {
            url: Some(self.url.clone()),
            embedded_port: self.embedded_port,
            protocol: upstream.protocol,
            client_id: upstream.client_id.clone(),
            // Whoever is on the board reads the figures under `/metrics`.
            telemetry_seconds: 0,
            ..MqttConfig::default()
        }
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

/// What a link is called in health and in the records of commands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names {
    /// The link itself, in health.
    pub(super) link: &'static str,
    /// In health: a better broker cannot be used, and another one is.
    pub(super) preferred: &'static str,
    /// In health: the broker takes no rows for now.
    pub(super) rows: &'static str,
}

impl Names {
    pub(super) fn of(broker: Broker) -> Self {
        match broker {
            Broker::Upstream => {
                Self { link: "link", preferred: "link:preferred", rows: "link:rows" }
            }
            Broker::OnBoard => {
                Self { link: "local", preferred: "local:preferred", rows: "local:rows" }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(upstream: &str, local: &str) -> Result<(), MqttConfigError> {
        let local = LocalConfig { url: local.into(), ..LocalConfig::default() };
        let url = Some(upstream.to_owned());
        MqttConfig { url, local: Some(local), ..MqttConfig::default() }.check()
    }

    #[test]
    fn it_is_on_the_board_and_not_the_fleets() {
        for url in ["embedded", "mqtt://127.0.0.1:1884", "mqtt://localhost", "ws://[::1]:9001/mqtt"]
        {
            assert!(with("mqtt://broker", url).is_ok(), "{url}");
        }
        assert!(with("mqtt://localhost:1884", "mqtt://127.0.0.1:1883").is_ok());
        for (upstream, url, hint) in [
            ("mqtt://broker", "mqtt://broker", "127.0.0.1"),
            ("mqtt://broker", "mqtts://localhost", "127.0.0.1"),
            ("mqtt://broker", "nowhere", "mqtt://host:1883"),
            ("mqtt://localhost", "mqtt://127.0.0.1:1883", "leave this section out"),
            ("embedded", "embedded", "leave this section out"),
        ] {
            let error = with(upstream, url).expect_err(url).to_string();
            assert!(error.contains(hint), "{url}: {error}");
        }
    }

    #[test]
    fn its_link_knows_no_secret_of_the_fleets_and_tells_no_figures() {
        let upstream = MqttConfig {
            urls: vec!["mqtts://a".into(), "mqtts://b".into()],
            username: Some("me".into()),
            password_file: Some("/secret".into()),
            ca_file: Some("/ca".into()),
            client_id: Some("press-7".into()),
            protocol: 4,
            ..MqttConfig::default()
        };
        let section = LocalConfig { embedded_port: 1884, ..Default::default() }.section(&upstream);
        let expected = MqttConfig {
            url: Some("embedded".into()),
            embedded_port: 1884,
            client_id: Some("press-7".into()),
            protocol: 4,
            telemetry_seconds: 0,
            ..MqttConfig::default()
        };
        assert_eq!(section, expected);
    }
}
