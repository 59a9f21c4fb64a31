//! What the device says of itself.

use std::time::Duration;

use agentd::link::config::MqttConfig;
use serde_json::json;
use tokio::time::{Instant, timeout};

use crate::board::{Board, PATIENCE, broker, config, until};
use crate::peer::{Peer, body};

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
