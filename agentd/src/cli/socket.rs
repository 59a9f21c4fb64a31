//! How a command of the command line finds the running daemon.

use std::path::PathBuf;
use std::process::ExitCode;

use super::{NO_INPUT, config_error, fail};
use crate::client::{Client, Target};
use crate::config::Config;
use crate::http::config::HttpConfig;

/// Where the daemon is.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct SocketArgs {
    /// The daemon's socket; default: the config's, or /run/agentd/agentd.sock
    #[arg(long, env = "AGENTD_SOCKET", value_name = "PATH")]
    socket: Option<PathBuf>,
    /// A config file to take the socket's path from
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl SocketArgs {
    /// A client of the daemon there. What is wrong has been said where there is none.
    pub(super) fn client(&self) -> Result<Client, ExitCode> {
        let socket = match (&self.socket, &self.config) {
            (Some(socket), _) => Some(socket.clone()),
            (None, Some(path)) => Config::load(path).map_err(|e| config_error(&e))?.http.socket,
            (None, None) => HttpConfig::default().socket,
        };
        let socket = socket.ok_or_else(|| {
            fail(NO_INPUT, "the config has no `http.socket`: give one with --socket")
        })?;
        Ok(Client::new(Target::Socket(socket)))
    }
}
