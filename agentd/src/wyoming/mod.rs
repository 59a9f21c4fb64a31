//! The Wyoming `handle` service: what a voice assistant heard comes in, what is to be said goes out.
//!
//! ```text
//!  describe ──> info          ping ──> pong
//!  transcript{text, context?} ──> store ──> handled{text, context} | not-handled{text, context}
//! ```
//!
//! Other events are passed over, as the protocol asks. Events of one connection are answered in turn.
//! A person who speaks wants to hear at once that somebody must approve, so that the first outcome is
//! the answer here.
//!
//! Bounds: [`MAX_CONNECTIONS`], the next one is told `busy` and closed; frames as in [`codec`]; a
//! connection that says nothing, or does not read, for `idle_seconds` is closed.

pub mod codec;
pub mod config;

use std::net::SocketAddr;
use std::time::Duration;

use axum::serve::Listener;
use bytes::BytesMut;
use futures_util::FutureExt as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use log::debug;
use serde_json::{Map, Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::tcp::WriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::codec::{Encoder as _, FramedRead};
use tokio_util::sync::CancellationToken;

use crate::command::{Command, Outcome, Status};
use crate::front::{Answer, Front, Until};
use codec::{Codec, CodecError, Event};
pub use config::{WyomingConfig, WyomingError};

/// Connections at a time: a few satellites, each of which makes one for a command.
pub const MAX_CONNECTIONS: usize = 32;
/// The longest conversation id that becomes a session, in characters.
pub const MAX_SESSION_CHARS: usize = 128;
/// What is under way at shutdown may take this long to be said.
const GRACE: Duration = Duration::from_secs(2);

/// The service, bound and not yet served.
pub struct Wyoming {
    listener: TcpListener,
    service: Service,
}

/// What a connection needs to know.
#[derive(Clone)]
struct Service {
    front: Front,
    idle: Duration,
    language: String,
    agent: Option<String>,
    shutdown: CancellationToken,
}

impl Wyoming {
    /// Binds the section's address.
    pub async fn bind(config: &WyomingConfig, front: Front) -> Result<Self, WyomingError> {
        config.check()?;
        let listen = config.listen;
        let listener = TcpListener::bind(listen)
            .await
            .map_err(|source| WyomingError::Listen { listen, source })?;
        let idle = Duration::from_secs(config.idle_seconds.into());
        let (language, agent) = (config.language.clone(), config.agent.clone());
        let service = Service { front, idle, language, agent, shutdown: CancellationToken::new() };
        Ok(Self { listener, service })
    }

    /// The address, with the port that the system chose where 0 was asked for.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `shutdown`, and at most two seconds longer.
    pub async fn run(self, shutdown: CancellationToken) {
        let Self { mut listener, service } = self;
        let service = Service { shutdown: shutdown.clone(), ..service };
        let mut connections = FuturesUnordered::new();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                // The trait's `accept` waits where the system is out of files.
                (stream, _) = Listener::accept(&mut listener) => {
                    if connections.len() < MAX_CONNECTIONS {
                        connections.push(service.clone().connection(stream));
                    } else {
                        turn_away(stream);
                    }
                }
                Some(()) = connections.next(), if !connections.is_empty() => {}
            }
        }
        drop(listener);
        let rest = async { while connections.next().await.is_some() {} };
        let _ = timeout(GRACE, rest).await;
    }
}

fn turn_away(mut stream: TcpStream) {
    let mut bytes = BytesMut::new();
    if Codec::default().encode(&busy(), &mut bytes).is_ok() {
        // A new socket has room for these few bytes; who does not read is not waited for.
        let _ = stream.write_all(&bytes).now_or_never();
    }
}

fn busy() -> Event {
    let text = "too many connections are open; try again later";
    Event::new("error", json!({"text": text, "code": "busy"}))
}

impl Service {
    async fn connection(self, mut stream: TcpStream) {
        let (reader, mut writer) = stream.split();
        let mut events = FramedRead::new(reader, Codec::default());
        loop {
            let next = tokio::select! {
                next = timeout(self.idle, events.next()) => next,
                () = self.shutdown.cancelled() => return,
            };
            let answer = match next {
                Ok(Some(Ok(event))) => self.answer(event).await,
                Ok(Some(Err(CodecError::Connection(_))) | None) | Err(_) => return,
                Ok(Some(Err(error))) => {
                    debug!(error:% = error; "a Wyoming connection is closed");
                    let data = json!({"text": error.to_string(), "code": "bad_event"});
                    let _ = self.send(&mut writer, &Event::new("error", data)).await;
                    return;
                }
            };
            if let Some(answer) = answer
                && self.send(&mut writer, &answer).await.is_none()
            {
                return;
            }
        }
    }

    /// `None`: the peer is gone, or does not read.
    async fn send(&self, writer: &mut WriteHalf<'_>, event: &Event) -> Option<()> {
        let mut bytes = BytesMut::new();
        Codec::default().encode(event, &mut bytes).ok()?;
        timeout(self.idle, writer.write_all(&bytes)).await.ok()?.ok()
    }

    async fn answer(&self, event: Event) -> Option<Event> {
        match event.kind.as_str() {
            "describe" => Some(self.info()),
            "ping" => Some(Event { kind: "pong".into(), data: event.data }),
            "transcript" => Some(self.transcript(event.data).await),
            _ => None,
        }
    }

    fn info(&self) -> Event {
        let version = env!("CARGO_PKG_VERSION");
        let artifact = |name: &str, description: &str| {
            json!({
                "name": name,
                "description": description,
                "attribution": {"name": "agentd", "url": ""},
                "installed": true,
                "version": version,
            })
        };
        let mut model = artifact("agentd", "the commands of this board");
        model["languages"] = json!([self.language]);
        let mut program = artifact("agentd", "acts on the hardware of this board");
        program["models"] = json!([model]);
        program["supports_handled_streaming"] = false.into();
        program["supports_home_control"] = true.into();
        let none: [Value; 0] = [];
        Event::new(
            "info",
            json!({
                "asr": none, "tts": none, "handle": [program], "intent": none,
                "wake": none, "mic": none, "snd": none,
            }),
        )
    }

    async fn transcript(&self, data: Map<String, Value>) -> Event {
        let context = data.get("context").filter(|context| context.is_object()).cloned();
        let text = data.get("text").and_then(Value::as_str).unwrap_or_default().trim();
        if text.is_empty() {
            return said(false, "I did not hear anything.", context);
        }
        let mut command = Command::from_text(text);
        command.session = context.as_ref().and_then(session);
        command.agent.clone_from(&self.agent);
        let answer = tokio::select! {
            answer = self.front.ask(command, "wyoming", Until::Any) => answer,
            () = self.shutdown.cancelled() => {
                return said(false, "I am being switched off.", context);
            }
        };
        match answer {
            Ok(Answer::Outcome(outcome)) => {
                let Outcome { status, text, .. } = *outcome;
                said(status == Status::Done, &text, context)
            }
            Ok(Answer::Later { .. }) => {
                said(false, "This takes longer than I can wait. It is still being done.", context)
            }
            Ok(Answer::Busy(denial)) => {
                said(false, &crate::command::sentence(&denial.message), context)
            }
            Err(error) => said(false, &crate::command::sentence(&error.to_string()), context),
        }
    }
}

/// Home Assistant's name for a conversation comes first.
fn session(context: &Value) -> Option<String> {
    let names = ["conversation_id", "session_id", "session"];
    let id = names.iter().find_map(|name| context.get(name)?.as_str())?;
    (1..=MAX_SESSION_CHARS).contains(&id.chars().count()).then(|| id.to_owned())
}

fn said(handled: bool, text: &str, context: Option<Value>) -> Event {
    let mut data = json!({"text": text});
    if let Some(context) = context {
        data["context"] = context;
    }
    Event::new(if handled { "handled" } else { "not-handled" }, data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_becomes_a_session_up_to_its_bound() {
        let session = |id: &str| session(&json!({"conversation_id": id}));
        assert_eq!(session("kitchen").as_deref(), Some("kitchen"));
        assert!(session(&"é".repeat(MAX_SESSION_CHARS)).is_some());
        assert!(session(&"é".repeat(MAX_SESSION_CHARS + 1)).is_none());
        assert!(session("").is_none());
    }
}
