//! Somebody else on the broker, who sends commands and counts what comes back.
//!
//! The broker keeps what comes while the observer is away: after an outage the device may well be back before
//! it, and what it missed would look as if it had been lost.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rumqttc_v5::mqttbytes::QoS;
use rumqttc_v5::mqttbytes::v5::Packet;
use rumqttc_v5::{AsyncClient, Event, MqttOptions, NetworkOptions, PublishOptions};
use serde_json::Value;
use tokio::sync::Notify;

use crate::command::{Outcome, fresh_id};

/// How long the broker keeps what comes while the observer is away.
const SESSION_EXPIRY_SECONDS: u32 = 3600;

/// The largest packet. What is larger the broker keeps to itself, where it would else be sent again and again.
const MAX_PACKET_BYTES: u32 = 1 << 20;

/// What was seen.
#[derive(Debug, Default)]
struct Seen {
    connected: bool,
    /// `online` or `offline`, as the retained status says.
    state: Option<String>,
    outcomes: Vec<Outcome>,
    /// By `event_id`: the event, and how many times it came.
    events: BTreeMap<String, (Value, usize)>,
}

/// The handle; [`Observer::watch`] is the future that does the work.
#[derive(Debug, Clone)]
pub struct Observer {
    client: AsyncClient,
    root: String,
    seen: Arc<Mutex<Seen>>,
    changed: Arc<Notify>,
}

impl Observer {
    /// A client of the broker at this port of the loopback, for the device of this name.
    pub fn new(port: u16, device: &str) -> (Self, impl Future<Output = ()> + use<>) {
        // Its own name: what the broker still keeps for an observer before it is not for this one.
        let id = format!("agentd-demo-observer-{}", fresh_id());
        let mut options = MqttOptions::new(id, ("127.0.0.1", port));
        options.set_clean_start(false).set_session_expiry_interval(Some(SESSION_EXPIRY_SECONDS));
        options.set_keep_alive(5).set_max_packet_size(Some(MAX_PACKET_BYTES));
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        options.set_network_options(network);
        let (client, mut events) = AsyncClient::builder(options).capacity(64).build();
        let observer = Self {
            client,
            root: format!("agentd/{device}"),
            seen: Arc::default(),
            changed: Arc::default(),
        };
        let watching = observer.clone();
        let work = async move {
            loop {
                match events.poll().await {
                    Ok(Event::Incoming(Packet::ConnAck(_))) => {
                        let all = format!("{}/#", watching.root);
                        let _ = watching.client.try_subscribe(all, QoS::AtLeastOnce);
                    }
                    Ok(Event::Incoming(Packet::SubAck(_))) => watching.see(|s| s.connected = true),
                    Ok(Event::Incoming(Packet::Publish(publish))) => {
                        watching.take(&String::from_utf8_lossy(&publish.topic), &publish.payload);
                    }
                    Ok(_) => {}
                    Err(_) => {
                        watching.see(|s| s.connected = false);
                        // The broker is away, on purpose; asking more often finds it no sooner.
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
            }
        };
        (observer, work)
    }

    /// Sends a command; its outcome carries this id.
    pub async fn command(&self, id: &str, text: &str) -> anyhow::Result<()> {
        let payload = serde_json::json!({"id": id, "text": text}).to_string();
        self.publish("command", payload.as_bytes(), false).await
    }

    /// Publishes anything below the device's root.
    pub async fn publish(&self, below: &str, payload: &[u8], retain: bool) -> anyhow::Result<()> {
        let topic = format!("{}/{below}", self.root);
        let options = PublishOptions::at_least_once().retain(retain);
        self.client.publish(topic, payload.to_vec(), options).await?;
        Ok(())
    }

    /// Approves a command that waits for a person.
    pub async fn approve(&self, id: &str, by: &str) -> anyhow::Result<()> {
        let payload = serde_json::json!({"approve": true, "by": by}).to_string();
        self.publish(&format!("approve/{id}"), payload.as_bytes(), false).await
    }

    /// Waits until the device's retained state is this one.
    pub async fn status(&self, state: &str, within: Duration) -> Option<String> {
        self.wait(within, |seen| seen.state.clone().filter(|seen| seen == state)).await
    }

    /// Waits until it is subscribed.
    pub async fn connected(&self, within: Duration) -> bool {
        self.wait(within, |seen| seen.connected.then_some(())).await.is_some()
    }

    /// Waits for the final outcome of a command.
    pub async fn outcome(&self, id: &str, within: Duration) -> Option<Outcome> {
        self.wait(within, |seen| {
            seen.outcomes.iter().find(|o| o.id == id && o.status.is_final()).cloned()
        })
        .await
    }

    /// Waits for the events that a command caused.
    pub async fn events_of(&self, ids: &[String], within: Duration) -> usize {
        let all = |seen: &Seen| {
            let caused = |id: &String| {
                seen.events.values().any(|(event, _)| event["command_id"] == id.as_str())
            };
            ids.iter().filter(|id| caused(id)).count()
        };
        self.wait(within, |seen| (all(seen) == ids.len()).then_some(())).await;
        all(&self.lock())
    }

    /// How many events came more than once, and how many numbers of their sequence are missing.
    pub fn doubled_and_missing(&self) -> (usize, usize) {
        let seen = self.lock();
        let doubled = seen.events.values().filter(|(_, times)| *times > 1).count();
        let numbers: Vec<u64> =
            seen.events.values().filter_map(|(event, _)| event["seq"].as_u64()).collect();
        let span = match (numbers.iter().min(), numbers.iter().max()) {
            (Some(min), Some(max)) => max - min + 1,
            _ => 0,
        };
        (doubled, usize::try_from(span).unwrap_or(usize::MAX).saturating_sub(numbers.len()))
    }

    async fn wait<T>(&self, within: Duration, find: impl Fn(&Seen) -> Option<T>) -> Option<T> {
        let search = async {
            loop {
                let changed = self.changed.notified();
                if let Some(found) = find(&self.lock()) {
                    return found;
                }
                changed.await;
            }
        };
        tokio::time::timeout(within, search).await.ok()
    }

    fn take(&self, topic: &str, payload: &[u8]) {
        let below = topic.strip_prefix(&self.root).unwrap_or(topic);
        let Ok(value) = serde_json::from_slice::<Value>(payload) else { return };
        if below.starts_with("/result/") {
            if let Ok(outcome) = serde_json::from_value(value) {
                self.see(|seen| seen.outcomes.push(outcome));
            }
        } else if below == "/status" {
            let state = value["state"].as_str().map(str::to_owned);
            self.see(|seen| seen.state = state);
        } else if below.starts_with("/event/")
            && let Some(id) = value["event_id"].as_str()
        {
            let id = id.to_owned();
            self.see(|seen| seen.events.entry(id).or_insert((value, 0)).1 += 1);
        }
    }

    fn see(&self, note: impl FnOnce(&mut Seen)) {
        note(&mut self.lock());
        self.changed.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
