//! Connections that end, go silent or forget, and what the link makes of it.

use std::time::Duration;

use agentd::link::broker::EmbeddedBroker;
use agentd::link::config::MqttConfig;
use rustix::process::Signal;
use serde_json::{Map, json};
use tokio::time::{Instant, timeout};

use crate::board::{Board, PATIENCE, broker, config, signal, until};
use crate::peer::Peer;
use crate::scripted::{CONNACK_5, Listener};

/// The contract: a dead link is noticed within this.
const NOTICED: Duration = Duration::from_secs(20);

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

/// A broker that is stopped keeps its sockets: the kernel takes what it is sent, and accepts for it.
async fn a_broker_that_goes_silent_is_noticed_in_time_and_found_again(protocol: u8) {
    let (folder, broker) = broker().await;
    let mut board = Board::new(config(&broker, protocol));
    board.link();
    board.until_up().await;
    until("the first messages are taken", async || !board.is_lost("link")).await;
    signal(&folder, Signal::STOP);
    // Nothing is under way: only its silence tells.
    let lost = until("the silence is noticed", async || board.is_lost("link"));
    timeout(NOTICED, lost).await.expect("within 20 s");
    assert!(board.cause("link").contains("stopped answering"), "{}", board.cause("link"));
    let deaf = async || board.cause("link").contains("does not answer");
    until("one that accepts and says nothing is given up", deaf).await;
    board.events(3).await;
    signal(&folder, Signal::CONT);
    board.until_empty().await;
    until("the link is well", async || !board.is_lost("link")).await;
}

#[tokio::test]
async fn over_mqtt_5_a_broker_that_goes_silent_is_noticed_in_time_and_found_again() {
    a_broker_that_goes_silent_is_noticed_in_time_and_found_again(5).await;
}

#[tokio::test]
async fn over_mqtt_3_a_broker_that_goes_silent_is_noticed_in_time_and_found_again() {
    a_broker_that_goes_silent_is_noticed_in_time_and_found_again(4).await;
}

#[tokio::test]
async fn a_broker_that_stops_reading_in_the_middle_of_a_write_is_noticed_in_time() {
    let listener = Listener::narrow();
    let mut board = Board::new(listener.config());
    let large = "x".repeat(60_000);
    for _ in 0..32 {
        let fields = Map::from_iter([("text".to_owned(), json!(large))]);
        board.store.event("note", fields).await.expect("event");
    }
    board.link();
    let mut stuck = listener.accept().await;
    stuck.connect(&CONNACK_5).await;
    // The subscription is answered, so that no question is open when the write gets stuck.
    stuck.until_subscribed().await;
    board.until_up().await;
    let again = timeout(NOTICED, listener.accept());
    let mut broker = again.await.expect("within 20 s");
    let events = timeout(PATIENCE, broker.until_events(32, &CONNACK_5, true));
    assert_eq!(events.await.expect("in time").len(), 32);
    board.until_empty().await;
}

#[tokio::test]
async fn a_broker_that_hangs_up_after_each_connack_is_not_hammered() {
    let listener = Listener::new(true).await;
    let mut board = Board::new(listener.config());
    board.link();
    let begun = Instant::now();
    for _ in 0..5 {
        listener.accept().await.connect(&CONNACK_5).await;
    }
    // At least half of 0.5, 1, 2 and 4 s.
    assert!(begun.elapsed() >= Duration::from_millis(3700), "took {:?}", begun.elapsed());
    assert_eq!(board.metrics.link_connects_total.get(), 4, "the fifth is not over yet");
}

#[tokio::test]
async fn a_broker_that_wishes_for_fewer_pings_is_pinged_as_configured() {
    let listener = Listener::new(true).await;
    let config = MqttConfig { keep_alive_seconds: 5, ..listener.config() };
    let mut board = Board::new(config);
    board.link();
    let mut broker = listener.accept().await;
    // Server Keep Alive 600 s.
    broker.until_online(&[0x20, 6, 0, 0, 3, 0x13, 0x02, 0x58]).await;
    let mut ping = async || loop {
        let (kind, packet) = broker.read().await;
        broker.answer(kind, &packet, &[], true).await;
        if kind >> 4 == 12 {
            return;
        }
    };
    timeout(PATIENCE, ping()).await.expect("a PINGREQ");
}

#[tokio::test]
async fn a_broker_that_answers_all_but_the_subscription_is_given_up() {
    let listener = Listener::new(true).await;
    let mut board = Board::new(listener.config());
    board.link();
    let mut broker = listener.accept().await;
    broker.connect(&CONNACK_5).await;
    let serve = async {
        while let Ok((kind, packet)) = broker.try_read().await {
            if kind >> 4 != 8 {
                broker.answer(kind, &packet, &[], true).await;
            }
        }
    };
    timeout(PATIENCE, serve).await.expect("the link hangs up");
    until("it is given up", async || board.is_lost("link")).await;
    assert!(board.cause("link").contains("subscription"), "{}", board.cause("link"));
}

#[tokio::test]
async fn after_a_broker_has_forgotten_the_session_commands_still_come() {
    let (folder, broker) = broker().await;
    let port = broker.port();
    let mut board = Board::new(config(&broker, 5));
    board.link();
    board.until_up().await;
    broker.stop().await;
    until("the loss is known", async || board.is_lost("link")).await;
    // As a broker without persistence would.
    std::fs::remove_file(folder.path().join("mosquitto.db")).expect("its store");
    let broker = EmbeddedBroker::start(folder.path(), port).await.expect("again");
    until("the link is well", async || !board.is_lost("link")).await;
    let peer = Peer::new(&broker, "peer").await;
    peer.say("agentd/bench/command", r#"{"id":"c1","text":"pump on"}"#).await;
    board.until_stored("c1").await;
}

#[tokio::test]
async fn when_the_link_is_back_it_says_what_waited() {
    let (folder, broker) = broker().await;
    let port = broker.port();
    let mut board = Board::new(config(&broker, 5));
    board.link();
    board.until_up().await;
    broker.stop().await;
    until("the loss is known", async || board.is_lost("link")).await;
    board.events(41).await;
    let mut notices = board.store.feed().watch();
    let _broker = EmbeddedBroker::start(folder.path(), port).await.expect("again");
    let told = async {
        loop {
            let notice = notices.recv().await.expect("the feed");
            let notice = serde_json::to_value(&*notice).expect("JSON");
            if notice["component"] == "link" && notice["cause"].is_null() {
                return notice["missed"].clone();
            }
        }
    };
    let missed = timeout(PATIENCE, told).await.expect("in time");
    assert_eq!(missed, "41 messages waited and are being sent");
}
