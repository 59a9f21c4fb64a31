//! What `agentd check` says of the broker, without touching the session of a daemon that runs.
//!
//! Only the TCP connection is tried: to log in under the device's client id would throw the running
//! daemon out, and under another one would be refused where access rules name the client.

use std::time::Duration;

use tokio::net::TcpStream;

use super::config::{MqttConfig, MqttConfigError};

/// How long a broker may take to accept.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is wrong with the link.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The section is wrong: the daemon does not start.
    #[error(transparent)]
    Config(#[from] MqttConfigError),
    /// No broker accepts a connection: the daemon runs, and its messages wait.
    #[error("no broker answers: {0}")]
    Unreachable(String),
}

impl ProbeError {
    /// Whether the daemon does not start with it.
    pub fn is_config(&self) -> bool {
        matches!(self, Self::Config(_))
    }
}

/// Says which brokers accept a connection. One is enough.
pub async fn probe(config: &MqttConfig) -> Result<String, ProbeError> {
    config.check()?;
    if config.is_embedded() {
        super::broker::installed().map_err(|e| ProbeError::Unreachable(e.to_string()))?;
        return Ok(format!("the broker inside, on 127.0.0.1:{}", config.embedded_port));
    }
    let (mut told, mut accepts) = (Vec::new(), false);
    for server in config.servers()? {
        let connecting = TcpStream::connect((server.host.as_str(), server.port));
        told.push(match tokio::time::timeout(PATIENCE, connecting).await {
            Ok(Ok(_)) => {
                accepts = true;
                format!("{server} accepts connections")
            }
            Ok(Err(error)) => format!("{server}: {error}"),
            Err(_) => format!("{server}: no answer within {} s", PATIENCE.as_secs()),
        });
    }
    let told = told.join("; ");
    if accepts { Ok(told) } else { Err(ProbeError::Unreachable(told)) }
}
