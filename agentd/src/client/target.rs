//! Where the daemon is found.

use std::path::PathBuf;
use std::str::FromStr;

use super::ClientError;

/// Where the daemon listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Its Unix socket.
    Socket(PathBuf),
    /// Host and port, over TCP without TLS.
    Tcp(String),
}

impl FromStr for Target {
    type Err = ClientError;

    /// Reads `http://HOST[:PORT]` or the path of a socket.
    fn from_str(text: &str) -> Result<Self, ClientError> {
        let Some(authority) = text.strip_prefix("http://") else {
            if text.contains("://") || text.is_empty() {
                return Err(ClientError::Target { text: text.to_owned() });
            }
            return Ok(Self::Socket(text.into()));
        };
        let authority = authority.trim_end_matches('/');
        let is_valid = authority.parse::<hyper::http::uri::Authority>().is_ok();
        if !is_valid || authority.contains('@') {
            return Err(ClientError::Target { text: text.to_owned() });
        }
        let has_port =
            authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        Ok(Self::Tcp(if has_port { authority.to_owned() } else { format!("{authority}:80") }))
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "{}", path.display()),
            Self::Tcp(authority) => write!(f, "http://{authority}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_path_or_an_address() {
        let target = |text: &str| text.parse::<Target>().map(|t| t.to_string()).ok();
        assert_eq!(target("/run/agentd/agentd.sock").as_deref(), Some("/run/agentd/agentd.sock"));
        assert_eq!(target("http://127.0.0.1:8080/").as_deref(), Some("http://127.0.0.1:8080"));
        assert_eq!(target("http://board").as_deref(), Some("http://board:80"));
        assert_eq!(target("http://[::1]").as_deref(), Some("http://[::1]:80"));
        for bad in ["https://board", "", "http://", "http://a b", "http://me@board", "http://b/x"] {
            assert_eq!(target(bad), None, "{bad}");
        }
    }
}
