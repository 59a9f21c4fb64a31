//! `[wyoming]`: where voice front-ends find the daemon.

use std::net::SocketAddr;

use serde::Deserialize;

/// The `[wyoming]` section. Without it there is no voice.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WyomingConfig {
    /// The TCP address. Set it to `0.0.0.0:10500` (with `trust_network`) where the voice assistant
    /// runs on another machine.
    pub listen: SocketAddr,
    /// Set it to listen beyond loopback: the protocol knows no passwords, so that whoever reaches the
    /// port can then command the board.
    pub trust_network: bool,
    /// A connection that says nothing for so long is closed. Set it lower where satellites vanish often.
    pub idle_seconds: u32,
    /// The language of the commands, as an IETF tag.
    pub language: String,
    /// The agent that voices speak to. Default: the one that is asked where nobody names one.
    pub agent: Option<String>,
}

impl Default for WyomingConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 10500)),
            trust_network: false,
            idle_seconds: 300,
            language: "en".into(),
            agent: None,
        }
    }
}

/// Why there is no voice service.
#[derive(Debug, thiserror::Error)]
pub enum WyomingError {
    /// Anyone on the network could command the board.
    #[error(
        "`wyoming.listen = \"{listen}\"` can be reached from other machines, and the protocol knows no \
         passwords: listen on 127.0.0.1, or set `wyoming.trust_network = true`"
    )]
    OpenToNetwork {
        /// `wyoming.listen`.
        listen: SocketAddr,
    },
    /// A time that cannot be kept.
    #[error("`wyoming.idle_seconds` is 0: no connection would live; set 1 or more")]
    NoTime,
    /// The address cannot be bound.
    #[error(
        "`wyoming.listen = \"{listen}\"` cannot be used: another program has it; choose another port"
    )]
    Listen {
        /// `wyoming.listen`.
        listen: SocketAddr,
        /// The system's error.
        source: std::io::Error,
    },
}

impl WyomingConfig {
    /// Says whether the daemon could listen like this.
    pub fn check(&self) -> Result<(), WyomingError> {
        if !self.listen.ip().is_loopback() && !self.trust_network {
            return Err(WyomingError::OpenToNetwork { listen: self.listen });
        }
        if self.idle_seconds == 0 {
            return Err(WyomingError::NoTime);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listening_beyond_loopback_must_be_said_twice() {
        let wide = serde_json::json!({"listen": "0.0.0.0:10500"});
        let mut config: WyomingConfig = serde_json::from_value(wide).expect("config");
        assert!(matches!(config.check(), Err(WyomingError::OpenToNetwork { .. })));
        config.trust_network = true;
        assert!(config.check().is_ok());
        assert!(WyomingConfig::default().check().is_ok());
    }

    #[test]
    fn other_keys_and_no_time_at_all_are_refused() {
        let other = serde_json::from_value::<WyomingConfig>(serde_json::json!({"port": 1}));
        assert!(other.expect_err("refused").to_string().contains("port"));
        let config = WyomingConfig { idle_seconds: 0, ..WyomingConfig::default() };
        assert!(matches!(config.check(), Err(WyomingError::NoTime)));
        assert!(WyomingConfig { idle_seconds: 1, ..config }.check().is_ok());
    }
}
