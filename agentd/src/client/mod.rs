//! The client of a running daemon, for `agentd ask` and for programs on the board.
//!
//! Each request has a connection of its own, which nothing but the request's future drives. Bounds: an
//! answer has [`MAX_ANSWER_BYTES`]; a connection is made within [`CONNECT_TIME`]. How long to wait for
//! an outcome is the daemon's to decide; drop the future to stop waiting.

mod error;
mod events;
pub mod sse;
mod target;

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::command::{Command, Denial, Outcome};
use crate::http::{self, outbox::Selection};
use crate::store::dead::{Listed, Which};
use crate::store::feedback::{self, Kept};
pub use error::ClientError;
pub use events::Events;
pub use sse::Event;
pub use target::Target;

/// The largest answer that is read.
pub const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;
/// How long a connection may take.
pub const CONNECT_TIME: Duration = Duration::from_secs(5);

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

    /// Hands a command in and does not wait: when this returns, it is stored. A command that is turned
    /// away is an error here.
    pub async fn submit(&self, command: &Command) -> Result<(), ClientError> {
        let body = serde_json::to_vec(command).map_err(|e| self.not_understood(&e))?;
        let (status, body) = self.exchange(Method::POST, "/api/command?wait=0", body).await?;
        let value = self.json(&body)?;
        if status.is_success() {
            return Ok(());
        }
        // Turned away at the door: an outcome with the reason in `error`, or the error alone.
        let denial = value.get("error").cloned().unwrap_or_default();
        match serde_json::from_value::<Denial>(denial) {
            Ok(Denial { code, message }) => Err(ClientError::Refused { code, message }),
            Err(error) => Err(self.not_understood(&error)),
        }
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

    /// The rows of the outbox, the dead ones first.
    pub async fn outbox(&self, limit: usize) -> Result<Vec<Listed>, ClientError> {
        let (status, body) =
            self.exchange(Method::GET, &format!("/api/outbox?limit={limit}"), Vec::new()).await?;
        self.checked(status, self.json(&body)?)
    }

    /// Has dead rows of the outbox sent again, or (`purge`) removes rows for good. Returns how many.
    pub async fn change_outbox(&self, purge: bool, which: Which) -> Result<usize, ClientError> {
        let path = if purge { "/api/outbox/purge" } else { "/api/outbox/retry" };
        self.change(path, &Selection { which }).await
    }

    /// Changes rows. Returns how many.
    async fn change(
        &self,
        path: &str,
        selection: &impl serde::Serialize,
    ) -> Result<usize, ClientError> {
        let body = serde_json::to_vec(selection).map_err(|e| self.not_understood(&e))?;
        let (status, body) = self.exchange(Method::POST, path, body).await?;
        let answer: Value = self.checked(status, self.json(&body)?)?;
        Ok(answer["rows"].as_u64().and_then(|rows| usize::try_from(rows).ok()).unwrap_or(0))
    }

    /// What people thought of the model's answers, the oldest first.
    pub async fn feedback(&self) -> Result<Vec<Kept>, ClientError> {
        let (status, body) = self.exchange(Method::GET, "/api/feedback", Vec::new()).await?;
        self.checked(status, self.json(&body)?)
    }

    /// Forgets feedback for good. Returns how much.
    pub async fn forget_feedback(&self, which: feedback::Which) -> Result<usize, ClientError> {
        let selection = http::feedback::Selection { which };
        self.change("/api/feedback/forget", &selection).await
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
