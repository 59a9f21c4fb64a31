//! Somebody else on the broker, who gives the commands and writes down all that comes back.
//!
//! It talks to the broker directly and its session outlives its connections, so that it misses nothing
//! that the broker has taken. What it publishes it publishes again until the broker has it, but for plain
//! words: those have no id, and sent twice they would be two commands.
//!
//! Bounds: [`UNDER_WAY`] messages wait for their PUBACK; between two attempts to connect [`PAUSE`].

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::mqtt::{self, Kind, Packet, Splitter};
use crate::spawn;

/// Half of what mosquitto lets a client have under way.
const UNDER_WAY: usize = 10;
const PAUSE: Duration = Duration::from_millis(50);
/// Longer than any case.
const SESSION_SECONDS: u32 = 24 * 3600;

/// A message that came.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    /// Below the device's root.
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
}

#[derive(Debug, Clone)]
struct Outgoing {
    id: u16,
    topic: String,
    payload: Vec<u8>,
    once: bool,
    sent: bool,
}

#[derive(Debug, Default)]
struct State {
    arrivals: Vec<Arrival>,
    outgoing: VecDeque<Outgoing>,
    /// Payloads of which it is not known whether the broker has them, and that were not sent again.
    unsure: Vec<Vec<u8>>,
    subscribed: bool,
    last_id: u16,
}

/// The watcher. Dropping it ends it.
pub(crate) struct Watcher {
    root: String,
    state: Arc<Mutex<State>>,
    changed: Arc<watch::Sender<()>>,
    task: JoinHandle<()>,
}

impl Watcher {
    /// Watches the device of this name over the broker at this port of the loopback.
    pub(crate) fn start(broker: u16, device: &str) -> Self {
        let root = format!("agentd/{device}/");
        let state: Arc<Mutex<State>> = Arc::default();
        let changed = Arc::new(watch::Sender::new(()));
        let life = Life {
            broker,
            client_id: format!("watcher-of-{device}"),
            root: root.clone(),
            state: Arc::clone(&state),
            changed: Arc::clone(&changed),
        };
        let task = spawn(life.run());
        Self { root, state, changed, task }
    }

    /// Publishes below the device's root. `once`: rather not at all than twice.
    pub(crate) fn publish(&self, below: &str, payload: Vec<u8>, once: bool) {
        let mut state = lock(&self.state);
        // 0 is no packet id. More than 65 535 are never under way.
        state.last_id = state.last_id.checked_add(1).unwrap_or(1);
        let (id, topic) = (state.last_id, format!("{}{below}", self.root));
        state.outgoing.push_back(Outgoing { id, topic, payload, once, sent: false });
        drop(state);
        self.changed.send_replace(());
    }

    /// Wakes when something came, went or changed.
    pub(crate) fn changed(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// What came from the index on.
    pub(crate) fn arrivals(&self, from: usize) -> Vec<Arrival> {
        lock(&self.state).arrivals.get(from..).unwrap_or_default().to_vec()
    }

    /// Whether it will see what comes from now on.
    pub(crate) fn is_subscribed(&self) -> bool {
        lock(&self.state).subscribed
    }

    /// `online` or `offline`, as the device's retained status said last.
    pub(crate) fn state(&self) -> String {
        let state = lock(&self.state);
        let status = state.arrivals.iter().rfind(|arrival| arrival.topic == "status");
        let status = status.and_then(|it| serde_json::from_slice::<Value>(&it.payload).ok());
        status.and_then(|it| it["state"].as_str().map(str::to_owned)).unwrap_or_default()
    }

    /// How many messages the broker has not acknowledged.
    pub(crate) fn under_way(&self) -> usize {
        lock(&self.state).outgoing.len()
    }

    /// Whether it is not known if the broker has this message.
    pub(crate) fn is_unsure_of(&self, payload: &[u8]) -> bool {
        lock(&self.state).unsure.iter().any(|unsure| unsure == payload)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the task works with.
struct Life {
    broker: u16,
    client_id: String,
    root: String,
    state: Arc<Mutex<State>>,
    changed: Arc<watch::Sender<()>>,
}

impl Life {
    async fn run(self) {
        loop {
            if let Ok(stream) = TcpStream::connect(("127.0.0.1", self.broker)).await {
                // Any end of a connection is the broker's being away, on purpose.
                let _ = self.serve(stream).await;
                self.lost();
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn serve(&self, mut stream: TcpStream) -> Result<()> {
        stream.set_nodelay(true)?;
        let mut splitter = Splitter::default();
        let connect = Packet::connect(&self.client_id, SESSION_SECONDS);
        stream.write_all(connect.bytes()).await?;
        let connack = mqtt::expect(&mut splitter, &mut stream, Kind::ConnAck).await?;
        let code = connack.connack().map(|(_, code)| code);
        ensure!(code == Some(0), "the broker refuses the watcher: {code:?}");
        let filters = ["event/#", "result/+", "status"].map(|it| format!("{}{it}", self.root));
        stream.write_all(Packet::subscribe(u16::MAX, &filters).bytes()).await?;
        let mut wake = self.changed.subscribe();
        loop {
            for packet in self.due() {
                stream.write_all(packet.bytes()).await?;
            }
            tokio::select! {
                packet = splitter.read(&mut stream) => {
                    let Some(packet) = packet? else { return Ok(()) };
                    if let Some(answer) = self.hear(&packet) {
                        stream.write_all(answer.bytes()).await?;
                    }
                }
                // The sender lives as long as this.
                _ = wake.changed() => {}
            }
        }
    }

    /// Messages that are to be sent now.
    fn due(&self) -> Vec<Packet> {
        let mut state = lock(&self.state);
        let due = state.outgoing.iter_mut().take(UNDER_WAY).filter(|message| !message.sent);
        due.map(|message| {
            message.sent = true;
            Packet::publish_of(message.id, &message.topic, &message.payload)
        })
        .collect()
    }

    fn hear(&self, packet: &Packet) -> Option<Packet> {
        let mut state = lock(&self.state);
        let mut answer = None;
        if let Some(publish) = packet.publish() {
            let topic = publish.topic.strip_prefix(&self.root).unwrap_or(publish.topic).to_owned();
            state.arrivals.push(Arrival { topic, payload: publish.payload.to_vec() });
            answer = (publish.id != 0).then(|| Packet::puback_of(publish.id, 0));
        } else if let Some((id, _)) = packet.puback() {
            state.outgoing.retain(|message| message.id != id);
        } else if packet.kind() == Kind::SubAck {
            state.subscribed = true;
        }
        drop(state);
        self.changed.send_replace(());
        answer
    }

    /// The connection is gone: what was sent and not acknowledged is sent again, or given up.
    fn lost(&self) {
        let mut state = lock(&self.state);
        let (given_up, kept): (VecDeque<_>, VecDeque<_>) =
            state.outgoing.drain(..).partition(|message| message.sent && message.once);
        state.unsure.extend(given_up.into_iter().map(|message| message.payload));
        state.outgoing = kept.into_iter().map(|it| Outgoing { sent: false, ..it }).collect();
        drop(state);
        self.changed.send_replace(());
    }
}
