//! One connection to a broker, whichever MQTT version it speaks.
//!
//! ```text
//!  session ──publish, acknowledge──> Client ──request channel──> driver ──TCP──> broker
//!          <──Event──────────────── events <───────────────────┘
//! ```
//!
//! The driver ([`super::driver`]) ends with the connection; nothing of it is used again. The crates would
//! send un-acknowledged messages again on their own, but the store is the queue, so each connection
//! begins without memory (`NoReplay` in both adapters) and no row is sent twice on it.
//!
//! Bounds: [`EVENTS`] events wait for the session, then the driver reads no more and TCP holds the
//! broker up; [`REQUESTS`] requests wait for the driver, which is more than the window and all retained
//! messages; a packet that comes in has at most [`MAX_INCOMING_BYTES`].

use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tokio::sync::mpsc;

use super::driver::{self, EventLoop};
use super::fault::Fault;
use super::server::Server;
use super::{v4, v5};
use crate::command::MAX_PAYLOAD_BYTES;

/// Events that wait for the session: more than the commands that a broker may have under way.
pub(super) const EVENTS: usize = 32;
/// Requests that wait for the driver. One that does not fit ends the connection: nothing is lost by it.
pub(super) const REQUESTS: usize = 256;
/// The largest packet taken. It is well above the largest command, so that a command that is too large is
/// refused in words; a broker with MQTT 5 drops what is larger still, one with 3.1.1 breaks the connection.
pub(super) const MAX_INCOMING_BYTES: u32 = 4 * MAX_PAYLOAD_BYTES as u32;
/// Commands that a broker with MQTT 5 may send before the first is acknowledged.
pub(super) const INCOMING_WINDOW: u16 = 16;
/// Requests that the driver writes with one system call. By default it makes one for each.
pub(super) const WRITTEN_TOGETHER: usize = 64;
/// In-flight limit of the crates: the window and the retained messages beside it.
pub(super) const IN_FLIGHT: u16 = 160;
/// How long a broker keeps the commands for a device that is away, with MQTT 5. Whoever wants less sets the
/// Message Expiry Interval; with 3.1.1 the broker's own limit counts.
pub(super) const SESSION_EXPIRY_SECONDS: u32 = 7 * 24 * 3600;

/// All that a connection needs to know.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) server: Server,
    pub(super) tls: Option<rumqttc_v5::TlsConfiguration>,
    pub(super) version: Version,
    pub(super) client_id: String,
    pub(super) credentials: Option<(String, String)>,
    pub(super) keep_alive_seconds: u16,
    /// Topic and payload of the retained last will.
    pub(super) will: (String, String),
}

/// Socket options. Without TCP_NODELAY a small packet waits for the acknowledgement of the one before,
/// which the other side delays: 40 ms for each command and again for its result.
pub(super) fn network() -> rumqttc_v5::NetworkOptions {
    let mut options = rumqttc_v5::NetworkOptions::new();
    options.set_tcp_nodelay(true);
    options.set_connection_timeout(driver::CONNECT.as_secs());
    options
}

/// The MQTT version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    V4,
    V5,
}

/// What happens on a connection.
#[derive(Debug)]
pub(super) enum Event {
    /// The broker has accepted the connection.
    Connected(Limits),
    /// A message has come in.
    Delivery(Delivery),
    /// The connection is over; nothing follows.
    Lost(String),
}

/// What the broker sets bounds to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// Whether the broker had kept the session.
    pub(super) session_present: bool,
    /// Messages that may be un-acknowledged.
    pub(super) receive_maximum: u16,
    /// The largest packet it takes.
    pub(super) max_packet_bytes: usize,
    /// A ping goes out after so long a silence of ours; none where the broker forbids pings.
    pub(super) keep_alive: Option<Duration>,
}

/// A message that came in.
#[derive(Debug, Clone)]
pub(super) struct Delivery {
    pub(super) topic: String,
    pub(super) payload: Bytes,
    pub(super) retain: bool,
    pub(super) duplicate: bool,
    /// 0 for QoS 0, which nobody acknowledges.
    pub(super) packet_id: u16,
    pub(super) response_topic: Option<String>,
    pub(super) correlation: Option<Vec<u8>>,
}

/// A message to be published with QoS 1.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) topic: String,
    pub(super) payload: String,
    pub(super) retain: bool,
    pub(super) correlation: Option<Vec<u8>>,
    /// After this it is worth nothing; a broker with MQTT 5 is told.
    pub(super) expires_at: Option<Timestamp>,
}

/// What the broker said to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// It has taken it.
    Taken,
    /// It refuses it.
    Refused {
        /// Whose fault that is.
        fault: Fault,
        /// What it said.
        why: String,
    },
    /// The connection ended before it said anything.
    None,
}

/// Why a request was not handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NotSent {
    /// The driver is behind.
    Full,
    /// The driver has ended with its connection, which is about to be heard of.
    Gone,
    /// It can never be sent as it is.
    Invalid(String),
}

/// To the driver.
pub(super) enum Client {
    V4(rumqttc_v4::AsyncClient),
    V5(rumqttc_v5::AsyncClient),
}

/// Both ends of a new connection. The driver has to be polled for anything to happen.
pub(super) struct Connection {
    pub(super) client: Client,
    pub(super) events: mpsc::Receiver<Event>,
    pub(super) driver: BoxFuture<'static, ()>,
    /// The first event, where somebody has waited for it before the session.
    pub(super) first: Option<Event>,
}

/// Prepares a connection. None of it blocks; the driver connects when it is polled.
pub(super) fn open(settings: &Settings) -> Connection {
    let (tell, events) = mpsc::channel(EVENTS);
    let (client, eventloop) = match settings.version {
        Version::V4 => {
            let (client, eventloop) = v4::open(settings);
            (Client::V4(client), EventLoop::V4(Box::new(eventloop)))
        }
        Version::V5 => {
            let (client, eventloop) = v5::open(settings);
            (Client::V5(client), EventLoop::V5(Box::new(eventloop)))
        }
    };
    let driver = driver::drive(eventloop, settings.keep_alive_seconds, tell).boxed();
    Connection { client, events, driver, first: None }
}

impl Client {
    /// Subscribes with QoS 1.
    pub(super) fn subscribe(
        &self,
        topics: &[String],
    ) -> Result<BoxFuture<'static, Answer>, NotSent> {
        match self {
            Self::V4(client) => v4::subscribe(client, topics),
            Self::V5(client) => v5::subscribe(client, topics),
        }
    }

    /// Publishes with QoS 1.
    pub(super) fn publish(&self, message: Message) -> Result<BoxFuture<'static, Answer>, NotSent> {
        match self {
            Self::V4(client) => v4::publish(client, message),
            Self::V5(client) => v5::publish(client, message),
        }
    }

    /// Acknowledges a delivery.
    pub(super) fn acknowledge(&self, packet_id: u16) -> Result<(), NotSent> {
        match self {
            Self::V4(client) => v4::acknowledge(client, packet_id),
            Self::V5(client) => v5::acknowledge(client, packet_id),
        }
    }

    /// Says goodbye once all that is under way has been acknowledged. The last will is not sent then.
    pub(super) fn disconnect(&self) -> Result<(), NotSent> {
        match self {
            Self::V4(client) => client.try_disconnect().map_err(|_| NotSent::Full),
            Self::V5(client) => client.try_disconnect().map_err(|_| NotSent::Full),
        }
    }
}

/// A system's error in words for a person.
pub(super) fn io_cause(error: &std::io::Error) -> String {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::ConnectionRefused => "nothing listens there: check that the broker runs".into(),
        ErrorKind::TimedOut => "it does not answer: check the network".into(),
        ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable => {
            "there is no way to it: check the network".into()
        }
        ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe
        | ErrorKind::UnexpectedEof => "the broker closed the connection".into(),
        _ if error.to_string().contains("lookup") => {
            format!("its name cannot be resolved ({error}): check `mqtt.url` and the network")
        }
        _ => error.to_string(),
    }
}

/// Why a broker refuses a login, in words for a person.
pub(super) fn login_cause(code: &impl std::fmt::Debug) -> String {
    let code = format!("{code:?}");
    match code.as_str() {
        "BadUserNamePassword" | "NotAuthorized" => {
            "the broker refuses the login: check `mqtt.username` and `mqtt.password_file`".into()
        }
        "BadClientId" | "ClientIdentifierNotValid" => {
            "the broker refuses the client id: set `mqtt.client_id`".into()
        }
        "RefusedProtocolVersion" | "UnsupportedProtocolVersion" => {
            "the broker does not know this MQTT version: set `mqtt.protocol = 4`".into()
        }
        "ServiceUnavailable" | "ServerUnavailable" | "ServerBusy" | "ConnectionRateExceeded" => {
            format!("the broker takes no connections for now ({code})")
        }
        _ => format!("the broker refuses the connection ({code})"),
    }
}
