//! A second client that listens to everything and says things.

use std::collections::BTreeSet;
use std::time::Duration;

use agentd::link::broker::EmbeddedBroker;
use rumqttc_v5 as mqtt;
use rumqttc_v5::mqttbytes::v5::{Packet, Publish, PublishProperties};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

use crate::board::PATIENCE;

/// A second client that listens to everything and says things.
pub(crate) struct Peer {
    pub(crate) client: mqtt::AsyncClient,
    seen: watch::Receiver<Vec<Publish>>,
    _tasks: JoinSet<()>,
}

impl Peer {
    pub(crate) async fn new(broker: &EmbeddedBroker, id: &str) -> Self {
        Self::at(broker.port(), id).await
    }

    pub(crate) async fn at(port: u16, id: &str) -> Self {
        let server = mqtt::Broker::tcp("127.0.0.1", port);
        let mut options = mqtt::MqttOptions::new(id, server);
        // The broker keeps what comes while the two are apart.
        options.set_clean_start(false).set_session_expiry_interval(Some(3600));
        options.set_keep_alive(5).set_max_packet_size(Some(1 << 20));
        let (client, mut eventloop) = mqtt::AsyncClient::builder(options).capacity(256).build();
        let (tell, seen) = watch::channel(Vec::new());
        let (subscribed, mut is_subscribed) = watch::channel(false);
        let again = client.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut looks = interval(Duration::from_millis(50));
            loop {
                match eventloop.poll().await {
                    Ok(mqtt::Event::Incoming(Packet::ConnAck(_))) => {
                        again.try_subscribe("#", mqtt::QoS::AtLeastOnce).expect("subscribe");
                    }
                    Ok(mqtt::Event::Incoming(Packet::SubAck(_))) => {
                        subscribed.send_replace(true);
                    }
                    Ok(mqtt::Event::Incoming(Packet::Publish(publish))) => {
                        tell.send_modify(|seen: &mut Vec<Publish>| seen.push(publish));
                    }
                    Ok(_) => {}
                    // The broker is away; it is looked for again.
                    Err(_) => drop(looks.tick().await),
                }
            }
        });
        let listens = timeout(PATIENCE, is_subscribed.wait_for(|yes| *yes)).await;
        listens.expect("in time").expect("the peer's task");
        Self { client, seen, _tasks: tasks }
    }

    pub(crate) async fn say(&self, topic: &str, payload: &str) {
        self.say_with(topic, payload, false, None).await;
    }

    pub(crate) async fn say_with(
        &self,
        topic: &str,
        payload: &str,
        retain: bool,
        properties: Option<PublishProperties>,
    ) {
        let mut options = mqtt::PublishOptions::new(mqtt::QoS::AtLeastOnce).retain(retain);
        if let Some(properties) = properties {
            options = options.properties(properties);
        }
        let notice = self.client.publish_tracked(topic, payload.to_owned(), options).await;
        let answer = notice.expect("publish").wait_async();
        timeout(PATIENCE, answer).await.expect("in time").expect("PUBACK");
    }

    /// The first message that fits, seen already or still to come.
    pub(crate) async fn expect(&self, what: &str, fits: impl Fn(&Publish) -> bool) -> Publish {
        let mut seen = self.seen.clone();
        let Ok(found) = timeout(PATIENCE, seen.wait_for(|seen| seen.iter().any(&fits))).await
        else {
            panic!("never came: {what}");
        };
        let found = found.expect("the peer's task");
        found.iter().find(|publish| fits(publish)).cloned().expect("it fits")
    }

    pub(crate) async fn expect_topic(&self, topic: &str) -> Publish {
        self.expect(topic, |publish| publish.topic == topic).await
    }

    pub(crate) async fn expect_status(&self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let fits =
            |publish: &Publish| publish.topic == "agentd/bench/status" && fits(&body(publish));
        body(&self.expect(what, fits).await)
    }

    pub(crate) fn on(&self, topic_begin: &str) -> Vec<Publish> {
        let begins = |publish: &&Publish| publish.topic.starts_with(topic_begin.as_bytes());
        self.seen.borrow().iter().filter(begins).cloned().collect()
    }

    /// The `n` of each event that came, once by its `event_id`.
    pub(crate) fn arrived(&self) -> Vec<u64> {
        let mut known = BTreeSet::new();
        let mut events: Vec<Value> = self.on("agentd/bench/event/").iter().map(body).collect();
        events.retain(|event| known.insert(event["event_id"].to_string()));
        let mut numbers: Vec<u64> =
            events.iter().map(|event| event["n"].as_u64().expect("n")).collect();
        numbers.sort_unstable();
        numbers
    }
}

pub(crate) fn body(publish: &Publish) -> Value {
    serde_json::from_slice(&publish.payload).expect("JSON")
}
