//! The driver: polls the MQTT crate until the connection ends, and says what came.
//!
//! It is never cancelled between polls while the connection lives: a poll that is dropped halfway loses
//! what it had read. It is the watchdog of the crate too: a poll that does not return, or a broker that
//! does not answer, ends the connection at the deadline of [`Pulse`], and the link builds a new one.
//!
//! Bounds: [`CONNECT`] from the first packet to the CONNACK; then those of [`super::pulse`].

use std::pin::pin;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::time::timeout_at;

use super::connection::Event;
use super::pulse::Pulse;
use super::{v4, v5};

/// How long a broker may take from the look-up of its name to the CONNACK. A TLS handshake over a poor
/// mobile link takes seconds; one that accepts and then says nothing must not hold the link for longer.
pub(super) const CONNECT: Duration = Duration::from_secs(10);

/// The MQTT crate's side of a connection.
pub(super) enum EventLoop {
    V4(Box<rumqttc_v4::EventLoop>),
    V5(Box<rumqttc_v5::EventLoop>),
}

/// What one poll came to.
pub(super) enum Polled {
    /// The broker has said something; where the session is to know it, as what.
    Heard(Option<Event>),
    /// Something went out that the broker has to answer.
    Asked,
    /// Something went out that it need not answer.
    Said,
    /// The connection is over, for this reason.
    Lost(String),
}

/// Drives a connection to its end. `keep_alive_seconds` is the longest silence before a ping.
pub(super) async fn drive(
    mut eventloop: EventLoop,
    keep_alive_seconds: u16,
    tell: mpsc::Sender<Event>,
) {
    let keep_alive = Duration::from_secs(keep_alive_seconds.into());
    // Until the CONNACK the crate has its own bound, which is shorter.
    let mut pulse = Pulse::new(Some(CONNECT + keep_alive), Instant::now());
    loop {
        // In place: the crates' futures have many kilobytes, and each packet is a poll.
        let mut poll = pin!(async {
            match &mut eventloop {
                EventLoop::V4(eventloop) => v4::poll(eventloop).await,
                EventLoop::V5(eventloop) => v5::poll(eventloop, keep_alive_seconds).await,
            }
        });
        let polled = match pulse.deadline() {
            Some(at) => timeout_at(at.into(), poll.as_mut()).await.unwrap_or_else(|_| {
                Polled::Lost("the broker has stopped answering: check the network".into())
            }),
            None => poll.await,
        };
        let event = match polled {
            Polled::Asked => {
                pulse.asked(Instant::now());
                continue;
            }
            Polled::Said => {
                pulse.said(Instant::now());
                continue;
            }
            Polled::Heard(event) => {
                if let Some(Event::Connected(limits)) = &event {
                    pulse = Pulse::new(limits.keep_alive, Instant::now());
                }
                event
            }
            Polled::Lost(cause) => Some(Event::Lost(cause)),
        };
        let over = matches!(event, Some(Event::Lost(_)));
        if let Some(event) = event
            && (tell.send(event).await.is_err() || over)
        {
            return;
        }
        // After the session has taken it: while it could not, nobody listened to the broker.
        pulse.heard(Instant::now());
    }
}
