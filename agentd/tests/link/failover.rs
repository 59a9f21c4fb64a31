//! Several brokers: which one is used, and the way back to a better one.

use std::collections::BTreeSet;

use agentd::link::broker::EmbeddedBroker;
use agentd::link::config::MqttConfig;
use serde_json::json;
use tempfile::TempDir;

use crate::board::{Board, broker, free_port, until};
use crate::peer::Peer;
use crate::scripted::{CONNACK_5, Listener};

fn brokers(urls: [String; 2], protocol: u8) -> MqttConfig {
    // As often as may be.
    MqttConfig { urls: urls.into(), protocol, failback_seconds: 5, ..MqttConfig::default() }
}

async fn broker_on(port: u16) -> (TempDir, EmbeddedBroker) {
    let folder = tempfile::tempdir().expect("tempdir");
    let broker = EmbeddedBroker::start(folder.path(), port).await.expect("mosquitto");
    (folder, broker)
}

#[tokio::test]
async fn when_the_preferred_broker_is_lost_the_next_one_is_used_and_health_says_so() {
    let (_first_folder, first) = broker().await;
    let (_second_folder, second) = broker().await;
    let mut board = Board::new(brokers([first.url(), second.url()], 5));
    board.link();
    board.until_up().await;
    let peer = Peer::new(&second, "peer").await;
    assert!(peer.on("agentd/").is_empty(), "the preferred one is used while it is there");
    let gone = first.url();
    first.stop().await;
    board.events(10).await;
    until("all came", async || peer.arrived() == Vec::from_iter(0..10)).await;
    let status = peer
        .expect_status("it says so", |status| {
            status["degraded"][0]["component"] == "link:preferred"
        })
        .await;
    assert_eq!(status["link"], second.url());
    let cause = board.cause("link:preferred");
    assert!(cause.starts_with(&gone) && cause.contains(&second.url()), "{cause}");
    assert!(!board.is_lost("link"), "the link works");
}

async fn back_to_the_preferred_broker_no_row_is_lost_and_the_old_one_gets_a_goodbye(protocol: u8) {
    let port = free_port();
    let (_second_folder, second) = broker().await;
    let urls = [format!("mqtt://127.0.0.1:{port}"), second.url()];
    let mut board = Board::new(brokers(urls, protocol));
    let there = Peer::new(&second, "there").await;
    board.link();
    there.expect_status("online", |status| status["state"] == "online").await;
    until("the lesser one is in use", async || board.is_lost("link:preferred")).await;
    let mut notices = board.store.feed().watch();

    let (_first_folder, first) = broker_on(port).await;
    let here = Peer::new(&first, "here").await;
    let mut sent = 0;
    until("the link has moved", async || {
        // Rows wait at every moment of the move.
        board.events_from(sent, 1).await;
        sent += 1;
        !here.on("agentd/bench/status").is_empty()
    })
    .await;
    there.expect_status("a goodbye", |status| *status == json!({"state": "offline"})).await;
    board.until_empty().await;
    until("every row came to one of the two", async || {
        let arrived = BTreeSet::from_iter(there.arrived().into_iter().chain(here.arrived()));
        arrived.len() as u64 == sent
    })
    .await;
    until("all is well", async || board.health.degraded().is_empty()).await;
    assert_eq!(board.metrics.link_connects_total.get(), 2);
    while let Ok(notice) = notices.try_recv() {
        let notice = serde_json::to_value(&*notice).expect("JSON");
        assert_ne!(notice["component"], "link", "the link was never lost: {notice}");
    }
    here.say("agentd/bench/command", r#"{"id":"c1","text":"pump on"}"#).await;
    board.until_stored("c1").await;
}

#[tokio::test]
async fn over_mqtt_5_back_to_the_preferred_broker_no_row_is_lost_and_the_old_one_gets_a_goodbye() {
    back_to_the_preferred_broker_no_row_is_lost_and_the_old_one_gets_a_goodbye(5).await;
}

#[tokio::test]
async fn over_mqtt_3_back_to_the_preferred_broker_no_row_is_lost_and_the_old_one_gets_a_goodbye() {
    back_to_the_preferred_broker_no_row_is_lost_and_the_old_one_gets_a_goodbye(4).await;
}

#[tokio::test]
async fn a_preferred_broker_that_accepts_no_login_does_not_cost_the_working_connection() {
    let preferred = Listener::new(true).await;
    let (_folder, second) = broker().await;
    let mut board = Board::new(brokers([preferred.url(), second.url()], 5));
    board.link();
    // Server busy.
    let busy = [0x20, 3, 0, 0x89, 0];
    preferred.accept().await.connect(&busy).await;
    board.until_up().await;
    until("the lesser one is in use", async || board.is_lost("link:preferred")).await;
    assert!(board.cause("link:preferred").contains("ServerBusy"));
    // It is looked for twice; the connection stays.
    for _ in 0..2 {
        preferred.accept().await.connect(&busy).await;
        board.events(1).await;
        board.until_empty().await;
    }
    assert_eq!(board.metrics.link_connects_total.get(), 1);
    assert!(!board.is_lost("link"));
}

#[tokio::test]
async fn a_preferred_broker_that_accepts_and_hangs_up_does_not_keep_the_link_from_the_next() {
    let preferred = Listener::new(true).await;
    let (_folder, second) = broker().await;
    let mut board = Board::new(brokers([preferred.url(), second.url()], 5));
    board.events(1).await;
    board.link();
    preferred.accept().await.connect(&CONNACK_5).await;
    board.until_empty().await;
    assert!(board.is_lost("link:preferred"));
}
