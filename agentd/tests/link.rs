//! The MQTT link against real brokers: mosquitto, started as the daemon starts it, and a scripted one
//! that misbehaves.

#![expect(clippy::disallowed_methods, reason = "the tests are the daemon that spawns")]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use agentd::command::{self, Command, Outcome, Route, Status};
use agentd::feed::Feed;
use agentd::health::Health;
use agentd::link::broker::EmbeddedBroker;
use agentd::link::config::MqttConfig;
use agentd::link::{Device, Link};
use agentd::metrics::Metrics;
use agentd::store::{Broker, Destination, Ending, Origin, OutboxRow, Store, StoreConfig};
use rumqttc_v5 as mqtt;
use rumqttc_v5::mqttbytes::v5::{Packet, Publish, PublishProperties};
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, interval, timeout};
use tokio_util::sync::CancellationToken;

/// Longer than anything here takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A device's store and what its link needs.
struct Board {
    folder: TempDir,
    store: Store,
    health: Health,
    metrics: Arc<Metrics>,
    model: watch::Sender<Option<String>>,
    shutdown: CancellationToken,
    tasks: JoinSet<()>,
    config: MqttConfig,
}

impl Board {
    fn new(config: MqttConfig) -> Self {
        Self::with_bound(config, 256)
    }

    fn with_bound(config: MqttConfig, most_waiting: u32) -> Self {
        let folder = tempfile::tempdir().expect("tempdir");
        let path = folder.path().join("agentd.db");
        let feed = Feed::default();
        let store = StoreConfig { path, ..StoreConfig::default() };
        let opened = Store::open(&store, most_waiting, feed.clone()).expect("store");
        Self {
            folder,
            store: opened.store,
            health: Health::new(feed),
            metrics: Arc::default(),
            model: watch::Sender::new(Some("smollm2".into())),
            shutdown: CancellationToken::new(),
            tasks: JoinSet::new(),
            config,
        }
    }

    /// Starts the link; the handle ends it as `kill -9` would.
    fn link(&mut self) -> AbortHandle {
        let device = Device {
            id: "bench".into(),
            capabilities: json!({"tools": ["set_output"]}),
            model: self.model.subscribe(),
            started_at: "2026-11-23T04:45:00Z".parse().expect("time"),
        };
        let (store, health) = (self.store.clone(), self.health.clone());
        let link = Link::new(&self.config, device, store, health, self.metrics.clone());
        self.tasks.spawn(link.expect("config").run(self.shutdown.clone()))
    }

    fn database(&self) -> PathBuf {
        self.folder.path().join("agentd.db")
    }

    async fn until_up(&self) {
        until("the link is up", async || self.metrics.link_up.get() == 1).await;
    }

    async fn until_stored(&self, id: &str) {
        until("the command is stored", async || {
            let next = self.store.next(Vec::new()).await.expect("next");
            next.is_some_and(|waiting| waiting.command.id == id)
        })
        .await;
    }

    async fn until_empty(&self) {
        until("the outbox is empty", async || self.pending().await == 0).await;
    }

    async fn pending(&self) -> u64 {
        self.store.outbox_stats().await.expect("stats").pending
    }

    /// The device's own topics of the rows in the outbox.
    async fn left(&self) -> Vec<String> {
        let rows = self.store.pending(Broker::Upstream, Vec::new(), 100).await.expect("pending");
        let topic = |row: OutboxRow| match row.destination {
            Destination::Own(topic) => topic,
            Destination::Reply { topic, .. } => topic,
        };
        rows.into_iter().map(topic).collect()
    }

    async fn events(&self, n: u64) {
        for n in 0..n {
            let fields = Map::from_iter([("n".to_owned(), json!(n))]);
            self.store.event("reading", fields).await.expect("event");
        }
    }
}

/// A second client that listens to everything and says things.
struct Peer {
    client: mqtt::AsyncClient,
    seen: watch::Receiver<Vec<Publish>>,
    _tasks: JoinSet<()>,
}

impl Peer {
    async fn new(broker: &EmbeddedBroker, id: &str) -> Self {
        let server = mqtt::Broker::tcp("127.0.0.1", broker.port());
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

    async fn say(&self, topic: &str, payload: &str) {
        self.say_with(topic, payload, false, None).await;
    }

    async fn say_with(
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
    async fn expect(&self, what: &str, fits: impl Fn(&Publish) -> bool) -> Publish {
        let mut seen = self.seen.clone();
        let Ok(found) = timeout(PATIENCE, seen.wait_for(|seen| seen.iter().any(&fits))).await
        else {
            panic!("never came: {what}");
        };
        let found = found.expect("the peer's task");
        found.iter().find(|publish| fits(publish)).cloned().expect("it fits")
    }

    async fn expect_topic(&self, topic: &str) -> Publish {
        self.expect(topic, |publish| publish.topic == topic).await
    }

    async fn expect_status(&self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let fits =
            |publish: &Publish| publish.topic == "agentd/bench/status" && fits(&body(publish));
        body(&self.expect(what, fits).await)
    }

    fn on(&self, topic_begin: &str) -> Vec<Publish> {
        let begins = |publish: &&Publish| publish.topic.starts_with(topic_begin.as_bytes());
        self.seen.borrow().iter().filter(begins).cloned().collect()
    }

    /// The `n` of each event that came, once by its `event_id`.
    fn arrived(&self) -> Vec<u64> {
        let mut known = BTreeSet::new();
        let mut events: Vec<Value> = self.on("agentd/bench/event/").iter().map(body).collect();
        events.retain(|event| known.insert(event["event_id"].to_string()));
        let mut numbers: Vec<u64> =
            events.iter().map(|event| event["n"].as_u64().expect("n")).collect();
        numbers.sort_unstable();
        numbers
    }
}

fn body(publish: &Publish) -> Value {
    serde_json::from_slice(&publish.payload).expect("JSON")
}

/// Waits for a condition, looking every few milliseconds.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    let mut looks = interval(Duration::from_millis(5));
    while !holds().await {
        assert!(Instant::now() < deadline, "did not come true: {what}");
        looks.tick().await;
    }
}

async fn broker() -> (TempDir, EmbeddedBroker) {
    let folder = tempfile::tempdir().expect("tempdir");
    let broker = EmbeddedBroker::start(folder.path(), 0).await.expect("mosquitto");
    (folder, broker)
}

fn config(broker: &EmbeddedBroker, protocol: u8) -> MqttConfig {
    MqttConfig { url: Some(broker.url()), protocol, ..MqttConfig::default() }
}

fn done(id: &str) -> Ending {
    let now = command::now();
    let outcome = Outcome {
        id: id.into(),
        status: Status::Done,
        text: "The pump is now on.".into(),
        route: Route::Reflex,
        model: None,
        calls: Vec::new(),
        error: None,
        ms: 1,
        received_at: now,
        finished_at: now,
    };
    Ending { outcome, traces: Vec::new(), plan: None }
}

async fn a_command_goes_in_and_its_outcome_comes_out(protocol: u8) {
    let (_folder, broker) = broker().await;
    let mut board = Board::new(config(&broker, protocol));
    let peer = Peer::new(&broker, "peer").await;
    board.link();
    peer.expect_topic("agentd/bench/capabilities").await;
    peer.say("agentd/bench/command", r#"{"id":"c1","text":"pump on","user":"ada"}"#).await;
    board.until_stored("c1").await;
    let waiting = board.store.next(Vec::new()).await.expect("next").expect("waits");
    assert_eq!(waiting.source, "mqtt");
    assert!(board.store.finish(done("c1")).await.expect("finish"));
    let result = peer.expect_topic("agentd/bench/result/c1").await;
    assert_eq!(body(&result)["status"], "done");
    assert!(!result.retain);
    board.until_empty().await;
    until("it is counted", async || board.metrics.outbox_delivered_total.get() == 1).await;
    assert_eq!(board.metrics.commands_accepted_total.get(), 1);
    assert_eq!(board.metrics.link_connects_total.get(), 1);
}

#[tokio::test]
async fn over_mqtt_5_a_command_is_stored_and_its_outcome_leaves_the_outbox_once_acknowledged() {
    a_command_goes_in_and_its_outcome_comes_out(5).await;
}

#[tokio::test]
async fn over_mqtt_3_a_command_is_stored_and_its_outcome_leaves_the_outbox_once_acknowledged() {
    a_command_goes_in_and_its_outcome_comes_out(4).await;
}

async fn rows_that_waited_while_the_broker_was_away_all_arrive(protocol: u8) {
    let (folder, broker) = broker().await;
    let port = broker.port();
    let mut board = Board::new(config(&broker, protocol));
    let peer = Peer::new(&broker, "peer").await;
    board.link();
    peer.expect_topic("agentd/bench/capabilities").await;
    broker.stop().await;
    until("the loss is known", async || !board.health.degraded().is_empty()).await;
    assert_eq!(board.health.degraded()[0].component, "link");
    board.events(100).await;
    assert_eq!(board.pending().await, 100);
    until("the gauge follows", async || board.metrics.outbox_pending.get() == 100).await;

    let broker = EmbeddedBroker::start(folder.path(), port).await.expect("again");
    board.until_empty().await;
    until("all came", async || peer.arrived() == Vec::from_iter(0..100)).await;
    until("the counts agree", async || board.metrics.outbox_delivered_total.get() == 100).await;
    until("the link is well", async || board.health.degraded().is_empty()).await;
    drop(broker);
}

#[tokio::test]
async fn over_mqtt_5_rows_that_waited_while_the_broker_was_away_all_arrive() {
    rows_that_waited_while_the_broker_was_away_all_arrive(5).await;
}

#[tokio::test]
async fn over_mqtt_3_rows_that_waited_while_the_broker_was_away_all_arrive() {
    rows_that_waited_while_the_broker_was_away_all_arrive(4).await;
}

async fn a_command_sent_while_the_device_was_away_is_found_when_it_is_back(protocol: u8) {
    let (_folder, broker) = broker().await;
    let mut board = Board::new(config(&broker, protocol));
    let peer = Peer::new(&broker, "peer").await;
    let link = board.link();
    peer.expect_topic("agentd/bench/capabilities").await;
    link.abort();
    peer.expect_status("the last will", |status| *status == json!({"state": "offline"})).await;
    peer.say("agentd/bench/command", r#"{"id":"c1","text":"pump on"}"#).await;
    // A link that remembers nothing meets a broker that remembers the session.
    board.link();
    board.until_stored("c1").await;
    board.events(40).await;
    board.until_empty().await;
    until("rows go out on the kept session", async || peer.arrived().len() == 40).await;
}

#[tokio::test]
async fn over_mqtt_5_a_command_sent_while_the_device_was_away_is_found_when_it_is_back() {
    a_command_sent_while_the_device_was_away_is_found_when_it_is_back(5).await;
}

#[tokio::test]
async fn over_mqtt_3_a_command_sent_while_the_device_was_away_is_found_when_it_is_back() {
    a_command_sent_while_the_device_was_away_is_found_when_it_is_back(4).await;
}

#[tokio::test]
async fn the_response_topic_gets_the_outcome_with_its_correlation_data() {
    let (_folder, broker) = broker().await;
    let mut board = Board::new(config(&broker, 5));
    let peer = Peer::new(&broker, "peer").await;
    board.link();
    peer.expect_topic("agentd/bench/capabilities").await;
    let properties = PublishProperties {
        response_topic: Some("fleet/replies".into()),
        correlation_data: Some(vec![0_u8, 255, 7].into()),
        ..PublishProperties::default()
    };
    let command = r#"{"id":"c1","text":"pump on","reply_to":"fleet/unused"}"#;
    peer.say_with("agentd/bench/command", command, false, Some(properties)).await;
    board.until_stored("c1").await;
    board.store.finish(done("c1")).await.expect("finish");
    let reply = peer.expect_topic("fleet/replies").await;
    assert_eq!(body(&reply)["id"], "c1");
    let properties = reply.properties.expect("properties");
    assert_eq!(properties.correlation_data.as_deref(), Some(&[0_u8, 255, 7][..]));
    assert_eq!(properties.content_type.as_deref(), Some("application/json"));
    peer.expect_topic("agentd/bench/result/c1").await;
    assert!(peer.on("fleet/unused").is_empty(), "the Response Topic takes precedence");

    // The same through the fields of the object, for senders that know only MQTT 3.1.1.
    let command = r#"{"id":"c2","text":"x","reply_to":"fleet/old","correlation_id":"\u00e97"}"#;
    peer.say("agentd/bench/command", command).await;
    board.until_stored("c2").await;
    board.store.finish(done("c2")).await.expect("finish");
    let reply = peer.expect_topic("fleet/old").await;
    let correlation = reply.properties.expect("properties").correlation_data;
    assert_eq!(correlation.as_deref(), Some("\u{e9}7".as_bytes()));
}

#[tokio::test]
async fn a_command_with_the_retain_flag_is_refused_at_once_and_when_it_is_found_stored() {
    let (_folder, broker) = broker().await;
    let mut board = Board::new(config(&broker, 5));
    let peer = Peer::new(&broker, "peer").await;
    peer.say_with("agentd/bench/command", r#"{"id":"old","text":"pump on"}"#, true, None).await;
    board.link();
    let refused = body(&peer.expect_topic("agentd/bench/result/old").await);
    assert_eq!(refused["status"], "denied");
    assert_eq!(refused["error"]["code"], "retained");
    peer.say_with("agentd/bench/command", r#"{"id":"new","text":"pump on"}"#, true, None).await;
    let refused = body(&peer.expect_topic("agentd/bench/result/new").await);
    assert_eq!(refused["error"]["code"], "retained");
    assert!(board.store.next(Vec::new()).await.expect("next").is_none());
    assert_eq!(board.metrics.commands_refused_total.get(), 2);
}

#[tokio::test]
async fn over_mqtt_3_a_stored_command_with_the_retain_flag_is_refused() {
    let (_folder, broker) = broker().await;
    let mut board = Board::new(config(&broker, 4));
    let peer = Peer::new(&broker, "peer").await;
    peer.say_with("agentd/bench/command", r#"{"id":"old","text":"pump on"}"#, true, None).await;
    board.link();
    let refused = body(&peer.expect_topic("agentd/bench/result/old").await);
    assert_eq!(refused["error"]["code"], "retained");
    assert!(board.store.next(Vec::new()).await.expect("next").is_none());
}

#[tokio::test]
async fn every_payload_that_cannot_be_obeyed_gets_a_denial() {
    let (_folder, broker) = broker().await;
    let mut board = Board::new(config(&broker, 5));
    let peer = Peer::new(&broker, "peer").await;
    board.link();
    peer.expect_topic("agentd/bench/capabilities").await;
    let own = "agentd/bench/command";
    let too_large = format!(r#"{{"id":"large","text":"{}"}}"#, "x".repeat(64 * 1024));
    let looping = format!(r#"{{"id":"loop","text":"x","reply_to":"{own}"}}"#);
    let cases = [
        ("{", "not_json"),
        (r#"{"id":"u1","text":"x","colour":"red"}"#, "unknown_field"),
        ("  ", "empty"),
        (too_large.as_str(), "too_large"),
        (looping.as_str(), "bad_reply_to"),
        (r#"{"id":"b1","text":"x","priority":"urgent"}"#, "bad_field"),
    ];
    for (n, (payload, code)) in cases.into_iter().enumerate() {
        peer.say(own, payload).await;
        until("a denial came", async || peer.on("agentd/bench/result/").len() == n + 1).await;
        let denied = body(&peer.on("agentd/bench/result/")[n]);
        assert_eq!(denied["status"], "denied", "{denied}");
        assert_eq!(denied["error"]["code"], code, "{denied}");
    }
    let options = mqtt::PublishOptions::new(mqtt::QoS::AtLeastOnce);
    peer.client.publish(own, vec![0xff_u8, 0xfe], options).await.expect("publish");
    peer.expect("a denial of what is not UTF-8", |publish| {
        publish.topic.starts_with(b"agentd/bench/result/")
            && body(publish)["error"]["code"] == "not_utf8"
    })
    .await;
    assert_eq!(peer.on("agentd/bench/result/u1").len(), 1, "the id is kept where it can be read");
    assert_eq!(peer.on(own).len(), 7, "no outcome came back as a command");
    assert!(board.store.next(Vec::new()).await.expect("next").is_none());
}

#[tokio::test]
async fn when_too_many_commands_wait_the_next_sender_is_told() {
    let (_folder, broker) = broker().await;
    let mut board = Board::with_bound(config(&broker, 5), 2);
    let peer = Peer::new(&broker, "peer").await;
    board.link();
    peer.expect_topic("agentd/bench/capabilities").await;
    for id in ["a", "b", "c"] {
        peer.say("agentd/bench/command", &format!(r#"{{"id":"{id}","text":"x"}}"#)).await;
    }
    let busy = body(&peer.expect_topic("agentd/bench/result/c").await);
    assert_eq!((&busy["status"], &busy["error"]["code"]), (&json!("denied"), &json!("busy")));
    assert_eq!(board.metrics.commands_accepted_total.get(), 2);
}

#[tokio::test]
async fn a_repeated_id_adds_no_command_and_gets_the_stored_outcome() {
    let (_folder, broker) = broker().await;
    let mut board = Board::new(config(&broker, 5));
    let peer = Peer::new(&broker, "peer").await;
    board.link();
    peer.expect_topic("agentd/bench/capabilities").await;
    let command = r#"{"id":"c1","text":"pump on"}"#;
    peer.say("agentd/bench/command", command).await;
    board.until_stored("c1").await;
    board.store.finish(done("c1")).await.expect("finish");
    peer.say("agentd/bench/command", command).await;
    until("the outcome came again", async || peer.on("agentd/bench/result/c1").len() == 2).await;
    assert!(board.store.next(Vec::new()).await.expect("next").is_none());
    assert_eq!(board.metrics.commands_accepted_total.get(), 1);
    assert_eq!(board.metrics.commands_repeated_total.get(), 1);
}

#[tokio::test]
async fn a_queued_command_can_be_cancelled_and_a_bad_approval_changes_nothing() {
    let (_folder, broker) = broker().await;
    let mut board = Board::new(config(&broker, 5));
    let peer = Peer::new(&broker, "peer").await;
    board.link();
    peer.expect_topic("agentd/bench/capabilities").await;
    peer.say("agentd/bench/command", r#"{"id":"c1","text":"pump on"}"#).await;
    peer.say("agentd/bench/approve/c1", "certainly").await;
    peer.say("agentd/bench/approve/c1", r#"{"approve":true,"by":"ada"}"#).await;
    peer.say("agentd/bench/cancel/c1", "").await;
    let result = body(&peer.expect_topic("agentd/bench/result/c1").await);
    assert_eq!(result["status"], "cancelled");
    assert!(board.store.next(Vec::new()).await.expect("next").is_none());
}

#[tokio::test]
async fn an_approval_lets_a_waiting_command_go_on() {
    let (_folder, broker) = broker().await;
    let mut board = Board::new(config(&broker, 5));
    let peer = Peer::new(&broker, "peer").await;
    let command = Command::from_text("open the valve");
    let id = command.id.clone();
    board.store.accept(command, Origin::default()).await.expect("accept");
    let mut waits = done(&id);
    waits.outcome.status = Status::WaitingApproval;
    board.store.finish(waits).await.expect("finish");
    assert!(board.store.next(Vec::new()).await.expect("next").is_none());
    board.link();
    peer.expect_topic("agentd/bench/capabilities").await;
    let topic = format!("agentd/bench/approve/{id}");
    // A retained approval would approve whatever waits under that id at each connection.
    peer.say_with(&topic, r#"{"approve":true,"by":"nobody"}"#, true, None).await;
    peer.say(&topic, r#"{"approve":true,"by":"ada"}"#).await;
    board.until_stored(&id).await;
    let next = board.store.next(Vec::new()).await.expect("next").expect("goes on");
    assert_eq!(next.approved_by.as_deref(), Some("ada"));
}

#[tokio::test]
async fn the_retained_status_is_the_contracts_and_follows_the_device() {
    let (_folder, broker) = broker().await;
    let mut board = Board::new(config(&broker, 5));
    board.link();
    board.until_up().await;
    let peer = Peer::new(&broker, "peer").await;
    let online = peer.expect_status("online", |status| status["state"] == "online").await;
    assert_eq!(
        online,
        json!({
            "state": "online", "version": env!("CARGO_PKG_VERSION"),
            "since": "2026-11-23T04:45:00Z", "model": "smollm2", "link": broker.url(),
            "outbox": {"pending": 0, "oldest_seconds": 0, "dropped": 0},
            "audit": {"seq": 0, "hash": "0".repeat(64)}, "degraded": [],
        })
    );
    let capabilities = peer.expect_topic("agentd/bench/capabilities").await;
    assert_eq!(body(&capabilities), json!({"tools": ["set_output"]}));
    board.health.lose("port:board", "it is not plugged in");
    board.model.send_replace(None);
    let degraded = peer
        .expect_status("degraded", |status| {
            status["model"].is_null() && status["degraded"][0]["component"] == "port:board"
        })
        .await;
    assert_eq!(degraded["degraded"][0]["cause"], "it is not plugged in");
    let said = peer.on("agentd/bench/status").len();
    assert_eq!(said, 2, "two changes within a second are one publication");

    // Both are retained: a peer that comes later finds them.
    let late = Peer::new(&broker, "late").await;
    assert!(late.expect_topic("agentd/bench/status").await.retain);
    assert!(late.expect_topic("agentd/bench/capabilities").await.retain);
}

#[tokio::test]
async fn a_link_that_is_killed_leaves_its_last_will() {
    let (_folder, broker) = broker().await;
    let mut board = Board::new(config(&broker, 5));
    let peer = Peer::new(&broker, "peer").await;
    let link = board.link();
    peer.expect_status("online", |status| status["state"] == "online").await;
    link.abort();
    peer.expect_status("offline", |status| *status == json!({"state": "offline"})).await;
    let late = Peer::new(&broker, "late").await;
    let found = late.expect_topic("agentd/bench/status").await;
    assert!(found.retain, "the last will is retained");
}

async fn a_clean_shutdown_sends_what_waits_and_says_goodbye(protocol: u8) {
    let (_folder, broker) = broker().await;
    let mut board = Board::new(config(&broker, protocol));
    let peer = Peer::new(&broker, "peer").await;
    board.link();
    peer.expect_topic("agentd/bench/capabilities").await;
    board.events(50).await;
    board.shutdown.cancel();
    let begun = Instant::now();
    let ended = timeout(PATIENCE, board.tasks.join_next()).await.expect("in time");
    ended.expect("the link's task").expect("no panic");
    assert!(begun.elapsed() < Duration::from_secs(3), "took {:?}", begun.elapsed());
    assert_eq!(board.pending().await, 0);
    peer.expect_status("offline", |status| *status == json!({"state": "offline"})).await;
    until("all came", async || peer.arrived().len() == 50).await;
}

#[tokio::test]
async fn over_mqtt_5_a_clean_shutdown_sends_what_waits_and_says_goodbye() {
    a_clean_shutdown_sends_what_waits_and_says_goodbye(5).await;
}

#[tokio::test]
async fn over_mqtt_3_a_clean_shutdown_sends_what_waits_and_says_goodbye() {
    a_clean_shutdown_sends_what_waits_and_says_goodbye(4).await;
}

#[tokio::test]
async fn figures_are_published_at_their_interval() {
    let (_folder, broker) = broker().await;
    let config = MqttConfig { telemetry_seconds: 1, ..config(&broker, 5) };
    let mut board = Board::new(config);
    let peer = Peer::new(&broker, "peer").await;
    board.link();
    let figures = body(&peer.expect_topic("agentd/bench/telemetry").await);
    assert_eq!(figures["link_up"], 1);
    assert!(figures["resident_memory_bytes"].as_u64().is_some_and(|bytes| bytes > 0));
}

#[tokio::test]
async fn a_row_that_is_larger_than_the_broker_takes_does_not_hold_up_the_others() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    let url = Some(format!("mqtt://{address}"));
    let mut board = Board::new(MqttConfig { url, ..MqttConfig::default() });
    let large = Map::from_iter([("text".to_owned(), json!("x".repeat(2000)))]);
    board.store.event("note", large).await.expect("event");
    board.events(3).await;
    board.link();
    let (stream, _) = timeout(PATIENCE, listener.accept()).await.expect("in time").expect("accept");
    let mut broker = ScriptedBroker::new(stream, true);
    // Maximum Packet Size 1000.
    let connack = [0x20, 8, 0, 0, 5, 0x27, 0, 0, 0x03, 0xe8];
    let events = broker.until_events(3, &connack, true).await;
    assert!(events.iter().all(|topic| topic.ends_with("/reading")), "{events:?}");
    until("the large one is put aside", async || {
        board.store.outbox_stats().await.expect("stats").dead == 1
    })
    .await;
    let gap = broker.until_events(1, &connack, true).await;
    assert_eq!(gap, ["agentd/bench/event/gap"], "the fleet is told what does not come");
    until("nothing else is left", async || board.left().await.is_empty()).await;
    assert!(board.health.degraded().iter().any(|lost| lost.component == "outbox"));
}

#[tokio::test]
async fn a_row_that_the_broker_refuses_is_kept_and_not_sent_again_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    let url = Some(format!("mqtt://{address}"));
    let mut board = Board::new(MqttConfig { url, ..MqttConfig::default() });
    board.events(1).await;
    board.link();
    let (stream, _) = timeout(PATIENCE, listener.accept()).await.expect("in time").expect("accept");
    let mut broker = ScriptedBroker::new(stream, true);
    let connack = [0x20, 3, 0, 0, 0];
    assert_eq!(broker.until_events(1, &connack, false).await.len(), 1);
    let packet_id = broker.last_event.expect("an event");
    // PUBACK 0x97, Quota exceeded.
    broker.say(&[0x40, 3, packet_id[0], packet_id[1], 0x97]).await;
    // The next row that comes is the new one, though the refused one is older.
    board.store.event("note", Map::new()).await.expect("event");
    let next = broker.until_events(1, &connack, true).await;
    assert_eq!(next, ["agentd/bench/event/note"]);
    until("only the refused one is left", async || board.left().await == ["event/reading"]).await;
}

#[tokio::test]
async fn a_broker_that_takes_rows_and_hangs_up_before_it_acknowledges_them_loses_none() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    let url = Some(format!("mqtt://{address}"));
    let mut board = Board::new(MqttConfig { url, protocol: 4, ..MqttConfig::default() });
    board.events(3).await;
    board.link();
    for _ in 0..2 {
        let (stream, _) =
            timeout(PATIENCE, listener.accept()).await.expect("in time").expect("accept");
        let mut broker = ScriptedBroker::new(stream, false);
        let published = broker.until_events(3, &[0x20, 2, 0, 0], false).await;
        assert_eq!(published.len(), 3, "all rows are sent once on each connection");
        assert_eq!(board.pending().await, 3, "nothing is removed without a PUBACK");
    }
    drop(listener);
    // A good broker on the same address gets them all.
    let folder = tempfile::tempdir().expect("tempdir");
    let broker = EmbeddedBroker::start(folder.path(), address.port()).await.expect("mosquitto");
    let peer = Peer::new(&broker, "peer").await;
    until("all came", async || peer.arrived() == [0, 1, 2]).await;
    board.until_empty().await;
}

/// A command without an id, so that only its delivery tells a repeat, with packet id 7.
fn command_packet(duplicate: bool) -> Vec<u8> {
    let (topic, payload) = ("agentd/bench/command", "turn on the pump");
    let mut body = (topic.len() as u16).to_be_bytes().to_vec();
    body.extend_from_slice(topic.as_bytes());
    body.extend_from_slice(&[0, 7]);
    body.extend_from_slice(payload.as_bytes());
    let kind = if duplicate { 0x3a } else { 0x32 };
    [vec![kind, body.len() as u8], body].concat()
}

#[tokio::test]
async fn a_command_is_acknowledged_only_once_it_is_stored_and_its_redelivery_adds_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    let url = Some(format!("mqtt://{address}"));
    let mut board = Board::new(MqttConfig { url, protocol: 4, ..MqttConfig::default() });
    board.link();
    let (stream, _) = timeout(PATIENCE, listener.accept()).await.expect("in time").expect("accept");
    let mut broker = ScriptedBroker::new(stream, false);
    broker.until_online(&[0x20, 2, 0, 0]).await;

    // Somebody else holds the database, so that the store cannot commit.
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE;
    let other = rusqlite::Connection::open_with_flags(board.database(), flags).expect("open");
    other.execute_batch("BEGIN IMMEDIATE").expect("lock");
    broker.say(&command_packet(false)).await;
    until("the failure is known", async || board.store.trouble().borrow().is_some()).await;
    assert_eq!(board.metrics.commands_accepted_total.get(), 0);
    assert!(!broker.has_acknowledged(), "a PUBACK without a row");

    other.execute_batch("ROLLBACK").expect("unlock");
    broker.until_acknowledged(7).await;
    assert!(board.store.next(Vec::new()).await.expect("next").is_some(), "stored by then");
    until("the store is well", async || board.store.trouble().borrow().is_none()).await;

    broker.say(&command_packet(true)).await;
    broker.until_acknowledged(7).await;
    assert_eq!(board.metrics.commands_accepted_total.get(), 1);
    assert_eq!(board.metrics.commands_repeated_total.get(), 1);
}

/// A broker that does what the test says.
struct ScriptedBroker {
    stream: TcpStream,
    mqtt_5: bool,
    last_event: Option<[u8; 2]>,
}

impl ScriptedBroker {
    fn new(stream: TcpStream, mqtt_5: bool) -> Self {
        Self { stream, mqtt_5, last_event: None }
    }

    /// Answers CONNECT with `connack`, grants subscriptions, acknowledges what is not an event, and
    /// events if `take`, until `count` events have come. Returns their topics.
    async fn until_events(&mut self, count: usize, connack: &[u8], take: bool) -> Vec<String> {
        let mut topics = Vec::new();
        while topics.len() < count {
            let (kind, packet) = timeout(PATIENCE, self.read()).await.expect("in time");
            let topic = self.answer(kind, &packet, connack, take).await;
            if topic.contains("/event/") {
                topics.push(topic);
            }
        }
        topics
    }

    /// Answers one packet. Returns its topic, where it has one.
    async fn answer(&mut self, kind: u8, packet: &[u8], connack: &[u8], take: bool) -> String {
        match kind >> 4 {
            1 => self.say(connack).await,
            8 if self.mqtt_5 => self.say(&[0x90, 6, packet[0], packet[1], 0, 1, 1, 1]).await,
            8 => self.say(&[0x90, 5, packet[0], packet[1], 1, 1, 1]).await,
            3 => {
                let length = usize::from(u16::from_be_bytes([packet[0], packet[1]]));
                let topic = String::from_utf8_lossy(&packet[2..2 + length]).into_owned();
                let packet_id = [packet[2 + length], packet[3 + length]];
                let is_event = topic.contains("/event/");
                if take || !is_event {
                    self.say(&[0x40, 2, packet_id[0], packet_id[1]]).await;
                }
                if is_event {
                    self.last_event = Some(packet_id);
                }
                return topic;
            }
            _ => {}
        }
        String::new()
    }

    /// Connects the link and waits for what it says first.
    async fn until_online(&mut self, connack: &[u8]) {
        loop {
            let (kind, packet) = timeout(PATIENCE, self.read()).await.expect("in time");
            if self.answer(kind, &packet, connack, true).await.ends_with("/capabilities") {
                return;
            }
        }
    }

    /// Reads on until a PUBACK.
    async fn until_acknowledged(&mut self, packet_id: u16) {
        loop {
            let (kind, packet) = timeout(PATIENCE, self.read()).await.expect("in time");
            if kind >> 4 == 4 {
                assert_eq!(packet[..2], packet_id.to_be_bytes());
                return;
            }
            self.answer(kind, &packet, &[], true).await;
        }
    }

    /// Whether something that can be a PUBACK is in what the link has sent by now and nobody has read.
    fn has_acknowledged(&self) -> bool {
        let mut unread = [0_u8; 4096];
        let mut waiting = std::task::Context::from_waker(std::task::Waker::noop());
        let mut unread = tokio::io::ReadBuf::new(&mut unread);
        let peeked = self.stream.poll_peek(&mut waiting, &mut unread);
        peeked.is_ready() && unread.filled().windows(4).any(|bytes| bytes == [0x40, 2, 0, 7])
    }

    async fn say(&mut self, packet: &[u8]) {
        self.stream.write_all(packet).await.expect("the link listens");
    }

    async fn read(&mut self) -> (u8, Vec<u8>) {
        let kind = self.stream.read_u8().await.expect("a packet");
        let (mut length, mut shift) = (0_usize, 0);
        loop {
            let byte = self.stream.read_u8().await.expect("its length");
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let mut packet = vec![0; length];
        self.stream.read_exact(&mut packet).await.expect("its body");
        (kind, packet)
    }
}

fn run(program: &str, arguments: &str, folder: &TempDir) {
    let mut command = std::process::Command::new(program);
    let output = command.args(arguments.split(' ')).current_dir(folder.path()).output();
    let output = output.unwrap_or_else(|e| panic!("{program} is needed for this test: {e}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// An authority, a certificate of a broker and one of a device, in PEM files.
fn certificates(folder: &TempDir) {
    let names = "subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n";
    std::fs::write(folder.path().join("names"), names).expect("write");
    run(
        "openssl",
        "req -x509 -newkey ed25519 -nodes -days 2 -subj /CN=test-ca -keyout ca.key -out ca.pem",
        folder,
    );
    for name in ["broker", "device"] {
        run(
            "openssl",
            &format!(
                "req -newkey ed25519 -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr"
            ),
            folder,
        );
        run(
            "openssl",
            &format!(
                "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out {name}.pem"
            ),
            folder,
        );
    }
}

async fn over_tls_the_link_connects_with_its_certificate_and_not_to_a_stranger(protocol: u8) {
    let folder = tempfile::tempdir().expect("tempdir");
    certificates(&folder);
    let path = |name: &str| folder.path().join(name);
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    let port = free.local_addr().expect("address").port();
    drop(free);
    let at = folder.path().display();
    let settings = format!(
        "listener {port} 127.0.0.1\nuser root\nallow_anonymous true\ncafile {at}/ca.pem\n\
         certfile {at}/broker.pem\nkeyfile {at}/broker.key\nrequire_certificate true\n"
    );
    std::fs::write(path("conf"), settings).expect("write");
    let mosquitto = if PathBuf::from("/usr/sbin/mosquitto").is_file() {
        "/usr/sbin/mosquitto"
    } else {
        "mosquitto"
    };
    let mut command = tokio::process::Command::new(mosquitto);
    let _broker =
        command.arg("-c").arg(path("conf")).kill_on_drop(true).spawn().expect("mosquitto");
    let config = MqttConfig {
        url: Some(format!("mqtts://localhost:{port}")),
        protocol,
        ca_file: Some(path("ca.pem")),
        client_cert_file: Some(path("device.pem")),
        client_key_file: Some(path("device.key")),
        ..MqttConfig::default()
    };
    let mut board = Board::new(config.clone());
    board.events(3).await;
    board.link();
    board.until_empty().await;
    until("it is counted", async || board.metrics.outbox_delivered_total.get() == 3).await;

    let others = tempfile::tempdir().expect("tempdir");
    certificates(&others);
    let stranger = MqttConfig { ca_file: Some(others.path().join("ca.pem")), ..config };
    let mut board = Board::new(stranger);
    board.link();
    until("the loss is known", async || !board.health.degraded().is_empty()).await;
    let cause = board.health.degraded().remove(0).cause;
    assert!(cause.contains("mqtt.ca_file"), "{cause}");
    assert_eq!(board.metrics.link_connects_total.get(), 0);
}

#[tokio::test]
async fn over_mqtt_5_and_tls_the_link_connects_with_its_certificate_and_not_to_a_stranger() {
    over_tls_the_link_connects_with_its_certificate_and_not_to_a_stranger(5).await;
}

#[tokio::test]
async fn over_mqtt_3_and_tls_the_link_connects_with_its_certificate_and_not_to_a_stranger() {
    over_tls_the_link_connects_with_its_certificate_and_not_to_a_stranger(4).await;
}

#[tokio::test]
async fn the_embedded_broker_says_why_it_cannot_start() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    let port = taken.local_addr().expect("address").port();
    let folder = tempfile::tempdir().expect("tempdir");
    let error = EmbeddedBroker::start(folder.path(), port).await.expect_err("taken").to_string();
    assert!(error.contains(&port.to_string()) && error.contains("in use"), "{error}");
    let file = folder.path().join("file");
    std::fs::write(&file, "").expect("write");
    let error = EmbeddedBroker::start(&file, 0).await.expect_err("no folder").to_string();
    assert!(error.contains("cannot be written"), "{error}");
}
