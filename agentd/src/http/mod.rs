//! HTTP on the board: the kiosk page, the API behind it, health and metrics.
//!
//! TCP and the Unix socket serve the same routes; over TCP the [`guard`] comes first, over the socket
//! the file's mode has decided.
//!
//! Bounds, for each of the two: [`MAX_CONNECTIONS`] at a time, of which [`MAX_WATCHERS`] may watch
//! events; the next one is told `busy`. A request's head has [`HEAD_BYTES`] and must arrive within
//! [`HEAD_TIME`], which also ends idle connections; a command has
//! [`MAX_PAYLOAD_BYTES`](crate::command::MAX_PAYLOAD_BYTES). At shutdown, streams end and the rest has
//! [`GRACE`].

mod command;
pub mod config;
mod events;
pub mod feedback;
pub mod guard;
pub mod outbox;
mod page;
mod routes;
mod serve;
mod socket;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::front::Front;
use crate::health::Health;
use crate::metrics::Metrics;
pub use config::{HttpConfig, HttpConfigError};
use guard::Guard;
use socket::Socket;

/// Connections at a time: a kiosk, a few people and a few programs on one board.
pub const MAX_CONNECTIONS: usize = 64;
/// Connections that may watch events; the rest stay for commands.
pub const MAX_WATCHERS: usize = 16;
/// The largest head of a request.
pub const HEAD_BYTES: usize = 16 * 1024;
/// How long a request's head may take to arrive.
pub const HEAD_TIME: Duration = Duration::from_secs(30);
/// What is under way at shutdown may take this long.
pub const GRACE: Duration = Duration::from_secs(2);

/// What the routes know of the daemon. Cheap to clone.
#[derive(Clone)]
pub struct AppState {
    /// The way to the store.
    pub front: Front,
    /// What is lost at the moment.
    pub health: Health,
    /// The figures.
    pub metrics: Arc<Metrics>,
    /// `[device] id`.
    pub device: String,
    /// The daemon's version.
    pub version: &'static str,
    /// When it started.
    pub started_at: Timestamp,
    /// As on the topic `capabilities`. The kiosk page uses two keys that may be absent: `examples`, a
    /// list of sentences, and `units`, an object from sensors to units.
    pub capabilities: Arc<Value>,
    /// The model's state now, as JSON.
    pub model: Arc<dyn Fn() -> Value + Send + Sync>,
}

/// The listeners, bound and not yet served.
pub struct Http {
    tcp: Option<TcpListener>,
    socket: Option<Socket>,
    guard: Guard,
    app: AppState,
}

/// Why the daemon cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The `[http]` section does not hold together.
    #[error(transparent)]
    Config(#[from] HttpConfigError),
    /// The TCP address cannot be bound.
    #[error(
        "`http.listen = \"{listen}\"` cannot be used: another program has it; choose another port, or \"off\""
    )]
    Listen {
        /// `http.listen`.
        listen: SocketAddr,
        /// The system's error.
        source: std::io::Error,
    },
    /// The Unix socket cannot be made.
    #[error(
        "the socket {path} cannot be made: set `http.socket` to a place that can be written, or to \"off\""
    )]
    Socket {
        /// `http.socket`.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// Another file has the socket's name.
    #[error("{path} is not a socket: remove it, or set `http.socket` to another place")]
    NotASocket {
        /// `http.socket`.
        path: PathBuf,
    },
    /// A daemon answers on the socket.
    #[error(
        "another agentd is running: it answers on {path}; stop it, or set `http.socket` to another place"
    )]
    AnotherRuns {
        /// `http.socket`.
        path: PathBuf,
    },
}

impl Http {
    /// Binds what the section names. The socket comes first: it tells whether another daemon runs.
    pub async fn bind(config: &HttpConfig, app: AppState) -> Result<Self, HttpError> {
        let token = config.check()?;
        let socket = config.socket.as_deref().map(Socket::bind).transpose()?;
        let tcp = match config.listen {
            Some(listen) => Some(
                TcpListener::bind(listen)
                    .await
                    .map_err(|source| HttpError::Listen { listen, source })?,
            ),
            None => None,
        };
        let guard = Guard { token, device: app.device.clone() };
        Ok(Self { tcp, socket, guard, app })
    }

    /// The TCP address, with the port that the system chose where 0 was asked for.
    pub fn address(&self) -> Option<SocketAddr> {
        self.tcp.as_ref().and_then(|tcp| tcp.local_addr().ok())
    }

    /// Serves until `shutdown`, and at most [`GRACE`] longer.
    pub async fn run(self, shutdown: CancellationToken) {
        let Self { tcp, socket, guard, app } = self;
        let router = |source| routes::router(app.clone(), source, shutdown.clone());
        let over_tcp = async {
            if let Some(tcp) = tcp {
                let router = routes::guarded(router("http"), guard);
                serve::serve(tcp, router, shutdown.clone()).await;
            }
        };
        let over_socket = async {
            if let Some(socket) = socket {
                serve::serve(socket, router("local"), shutdown.clone()).await;
            }
        };
        tokio::join!(over_tcp, over_socket);
    }
}
