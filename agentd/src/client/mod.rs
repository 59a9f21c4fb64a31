//! The client of a running daemon, for `agentd ask` and for programs on the board.
//!
//! Each request has a connection of its own, which nothing but the request's future drives. Bounds: an
//! answer has [`MAX_ANSWER_BYTES`]; a connection is made within [`CONNECT_TIME`]. How long to wait for
//! an outcome is the daemon's to decide; drop the future to stop waiting.

pub mod sse;

use std::path::PathBuf;
use std::pin::Pin;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::command::{Command, Outcome};
pub use sse::Event;

/// The largest answer that is read.
pub const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;
/// How long a connection may take.
pub const CONNECT_TIME: Duration = Duration::from_secs(5);

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

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Neither a path nor an address.
    #[error(
        "`{text}` is neither the path of a socket nor an address such as http://127.0.0.1:8080"
    )]
    Target {
        /// What was given.
        text: String,
    },
    /// Nobody answers there.
    #[error("no agentd is listening on {target}: start it with `agentd run`, or name its socket")]
    NotListening {
        /// Where.
        target: Target,
    },
    /// The caller may not open the socket.
    #[error("you may not use {target}: run as root or as a member of the group that owns it")]
    NotAllowed {
        /// Where.
        target: Target,
    },
    /// The connection cannot be made.
    #[error("agentd on {target} cannot be reached")]
    Connect {
        /// Where.
        target: Target,
        /// The system's error.
        source: std::io::Error,
    },
    /// The connection broke. What became of a command is asked for by its id.
    #[error("the connection to agentd on {target} broke before the answer was complete")]
    Broken {
        /// Where.
        target: Target,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The command is stored and goes on, but the daemon no longer keeps the caller waiting.
    #[error("`{id}` has not ended yet; ask again with the same id")]
    NotYet {
        /// The command's id.
        id: String,
        /// The outcome so far.
        so_far: Option<Box<Outcome>>,
    },
    /// The daemon said no.
    #[error("agentd refused: {message} ({code})")]
    Refused {
        /// A stable code.
        code: String,
        /// Why, and what to do.
        message: String,
    },
    /// Something else than agentd answers there, or another version of it.
    #[error("what answers on {target} is not understood ({why}): is it this version of agentd?")]
    NotUnderstood {
        /// Where.
        target: Target,
        /// What was wrong.
        why: String,
    },
}

/// The client. It holds no connection.
#[derive(Debug, Clone)]
pub struct Client {
    target: Target,
    token: Option<String>,
}

type Driver = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

impl Client {
    /// A client of the daemon there.
    pub fn new(target: Target) -> Self {
        Self { target, token: None }
    }

    /// With the token of `http.token_file`, which only TCP asks for.
    #[must_use]
    pub fn with_token(self, token: impl Into<String>) -> Self {
        Self { token: Some(token.into()), ..self }
    }

    /// Hands a command in and waits for its final outcome, which may say that it was denied.
    pub async fn command(&self, command: &Command) -> Result<Outcome, ClientError> {
        let body = serde_json::to_vec(command).map_err(|e| self.not_understood(&e))?;
        let (status, body) = self.exchange(Method::POST, "/api/command", body).await?;
        let value = self.json(&body)?;
        if status == StatusCode::ACCEPTED {
            return Err(ClientError::NotYet {
                id: command.id.clone(),
                so_far: value.get("outcome").and_then(|o| serde_json::from_value(o.clone()).ok()),
            });
        }
        self.checked(status, value)
    }

    /// Hands a command in and does not wait: when this returns, it is stored.
    pub async fn submit(&self, command: &Command) -> Result<(), ClientError> {
        let body = serde_json::to_vec(command).map_err(|e| self.not_understood(&e))?;
        let (status, body) = self.exchange(Method::POST, "/api/command?wait=0", body).await?;
        self.checked::<Value>(status, self.json(&body)?).map(drop)
    }

    /// The outcome so far of a command; none where it is not known or nothing has become of it yet.
    pub async fn outcome(&self, id: &str) -> Result<Option<Outcome>, ClientError> {
        let path = format!("/api/command/{}", escape(id));
        let (status, body) = self.exchange(Method::GET, &path, Vec::new()).await?;
        if status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        self.checked(status, self.json(&body)?).map(Some)
    }

    /// A person's word on a command that waits for it.
    pub async fn approve(&self, id: &str, yes: bool, by: &str) -> Result<(), ClientError> {
        let path = format!("/api/command/{}/approve", escape(id));
        let body = serde_json::json!({"approve": yes, "by": by}).to_string();
        let (status, body) = self.exchange(Method::POST, &path, body.into()).await?;
        self.checked::<Value>(status, self.json(&body)?).map(drop)
    }

    /// Takes a command back and returns its outcome.
    pub async fn cancel(&self, id: &str) -> Result<Outcome, ClientError> {
        let path = format!("/api/command/{}", escape(id));
        let (status, body) = self.exchange(Method::DELETE, &path, Vec::new()).await?;
        self.checked(status, self.json(&body)?)
    }

    /// The body of `/health`.
    pub async fn health(&self) -> Result<Value, ClientError> {
        self.get("/health").await
    }

    /// The text of `/metrics`.
    pub async fn metrics(&self) -> Result<String, ClientError> {
        let (_, body) = self.exchange(Method::GET, "/metrics", Vec::new()).await?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    /// The JSON of any path.
    pub async fn get(&self, path: &str) -> Result<Value, ClientError> {
        let (status, body) = self.exchange(Method::GET, path, Vec::new()).await?;
        self.checked(status, self.json(&body)?)
    }

    /// Watches what happens. When this returns, everything from then on will be seen.
    pub async fn events(&self) -> Result<Events, ClientError> {
        let (response, driver) = self.open(Method::GET, "/api/events", Vec::new()).await?;
        let mut events = Events {
            target: self.target.clone(),
            body: response.1,
            driver,
            parser: sse::Parser::default(),
        };
        if response.0 != StatusCode::OK {
            let body = events.rest().await?;
            return self.checked::<()>(response.0, self.json(&body)?).map(|()| events);
        }
        Ok(events)
    }

    /// One request and its whole answer.
    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<(StatusCode, Bytes), ClientError> {
        let ((status, body), driver) = self.open(method, path, body).await?;
        let target = self.target.clone();
        let mut events = Events { target, body, driver, parser: sse::Parser::default() };
        Ok((status, events.rest().await?))
    }

    /// Sends a request; returns the head of the answer, its body, and what drives the connection.
    async fn open(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<((StatusCode, Incoming), Option<Driver>), ClientError> {
        let host = match &self.target {
            Target::Socket(_) => "localhost",
            Target::Tcp(authority) => authority,
        };
        let mut request = Request::builder().method(method).uri(path).header(HOST, host);
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Full::new(Bytes::from(body)));
        let request = request.map_err(|e| self.not_understood(&e))?;
        let (mut sender, driver) = match &self.target {
            Target::Socket(path) => {
                let stream = self.connect(UnixStream::connect(path)).await?;
                self.handshake(stream).await?
            }
            Target::Tcp(authority) => {
                let stream = self.connect(TcpStream::connect(authority)).await?;
                self.handshake(stream).await?
            }
        };
        let response = sender.send_request(request);
        let (response, driver) = match select(Box::pin(response), driver).await {
            Either::Left((response, driver)) => (response, Some(driver)),
            Either::Right((_, response)) => (response.await, None),
        };
        let (head, body) = response.map_err(|e| self.broken(e))?.into_parts();
        Ok(((head.status, body), driver))
    }

    async fn connect<S>(
        &self,
        connecting: impl Future<Output = std::io::Result<S>>,
    ) -> Result<S, ClientError> {
        use std::io::ErrorKind::{ConnectionRefused, NotFound, PermissionDenied, TimedOut};
        let target = || self.target.clone();
        let connected = tokio::time::timeout(CONNECT_TIME, connecting).await;
        connected.unwrap_or_else(|_| Err(TimedOut.into())).map_err(|source| match source.kind() {
            ConnectionRefused | NotFound => ClientError::NotListening { target: target() },
            PermissionDenied => ClientError::NotAllowed { target: target() },
            _ => ClientError::Connect { target: target(), source },
        })
    }

    async fn handshake<S>(
        &self,
        stream: S,
    ) -> Result<(http1::SendRequest<Full<Bytes>>, Driver), ClientError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|e| self.broken(e))?;
        Ok((sender, Box::pin(connection)))
    }

    fn checked<T: serde::de::DeserializeOwned>(
        &self,
        status: StatusCode,
        value: Value,
    ) -> Result<T, ClientError> {
        // A refused command has an outcome; every other refusal is an error with code and message.
        let field = |name: &str| value.get("error")?.get(name)?.as_str().map(str::to_owned);
        if !status.is_success() && value.get("status").is_none() {
            return Err(ClientError::Refused {
                code: field("code").unwrap_or_else(|| status.as_u16().to_string()),
                message: field("message").unwrap_or_else(|| status.to_string()),
            });
        }
        serde_json::from_value(value).map_err(|e| self.not_understood(&e))
    }

    fn json(&self, body: &[u8]) -> Result<Value, ClientError> {
        serde_json::from_slice(body).map_err(|e| self.not_understood(&e))
    }

    fn not_understood(&self, error: &dyn std::error::Error) -> ClientError {
        ClientError::NotUnderstood { target: self.target.clone(), why: error.to_string() }
    }

    fn broken(&self, error: hyper::Error) -> ClientError {
        ClientError::Broken { target: self.target.clone(), source: error.into() }
    }
}

/// What happens, one event after the other. Dropping it closes the connection.
pub struct Events {
    target: Target,
    body: Incoming,
    driver: Option<Driver>,
    parser: sse::Parser,
}

impl Events {
    /// The next event; none when the daemon has ended the stream. It may be dropped and called again
    /// without losing anything.
    pub async fn next(&mut self) -> Result<Option<Event>, ClientError> {
        loop {
            let event = self.parser.take().map_err(|e| self.broken(e.into()))?;
            if event.is_some() {
                return Ok(event);
            }
            match self.frame().await? {
                Some(bytes) => self.parser.push(&bytes),
                None => return Ok(None),
            }
        }
    }

    /// The whole body.
    async fn rest(&mut self) -> Result<Bytes, ClientError> {
        let whole = async {
            let limited = Limited::new(&mut self.body, MAX_ANSWER_BYTES);
            limited.collect().await.map(|body| body.to_bytes())
        };
        let whole = match &mut self.driver {
            None => whole.await,
            Some(driver) => match select(Box::pin(whole), driver).await {
                Either::Left((whole, _)) => whole,
                Either::Right((_, whole)) => whole.await,
            },
        };
        whole.map_err(|e| self.broken(e))
    }

    async fn frame(&mut self) -> Result<Option<Bytes>, ClientError> {
        let frame = match &mut self.driver {
            None => self.body.frame().await,
            Some(driver) => match select(self.body.frame(), driver).await {
                Either::Left((frame, _)) => frame,
                Either::Right((_, frame)) => {
                    // It has handed over all that it had; the body tells the rest.
                    let frame = frame.await;
                    self.driver = None;
                    frame
                }
            },
        };
        match frame {
            None => Ok(None),
            Some(Ok(frame)) => Ok(Some(frame.into_data().unwrap_or_default())),
            Some(Err(error)) => Err(self.broken(error.into())),
        }
    }

    fn broken(&self, source: Box<dyn std::error::Error + Send + Sync>) -> ClientError {
        ClientError::Broken { target: self.target.clone(), source }
    }
}

/// An id as one segment of a path.
fn escape(id: &str) -> String {
    let mut out = String::new();
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
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

    #[test]
    fn an_id_is_one_segment_of_a_path() {
        assert_eq!(escape("a-1_b.c~"), "a-1_b.c~");
        assert_eq!(escape("ü 1?%"), "%C3%BC%201%3F%25");
    }

    #[tokio::test]
    async fn where_nobody_listens_the_error_says_what_to_do() {
        let client = Client::new(Target::Socket("/nowhere/agentd.sock".into()));
        let error = client.health().await.expect_err("nobody is there").to_string();
        assert!(error.contains("/nowhere/agentd.sock: start it with `agentd run`"), "{error}");
    }
}
