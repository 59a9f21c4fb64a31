//! Outbox rows: sent, refused, lost and sent again.

use agentd::link::broker::EmbeddedBroker;
use agentd::store::dead;
use serde_json::{Map, json};

use crate::board::{Board, broker, config, until};
use crate::peer::Peer;
use crate::scripted::{CONNACK_3, CONNACK_5, Listener, Message};

const UNSPECIFIED_ERROR: u8 = 0x80;
const NOT_AUTHORIZED: u8 = 0x87;
const QUOTA_EXCEEDED: u8 = 0x97;

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

#[tokio::test]
async fn a_row_that_is_larger_than_the_broker_takes_does_not_hold_up_the_others() {
    let listener = Listener::new(true).await;
    let mut board = Board::new(listener.config());
    let large = Map::from_iter([("text".to_owned(), json!("x".repeat(2000)))]);
    board.store.event("note", large).await.expect("event");
    board.events(3).await;
    board.link();
    let mut broker = listener.accept().await;
    // Maximum Packet Size 1000.
    let connack = [0x20, 8, 0, 0, 5, 0x27, 0, 0, 0x03, 0xe8];
    let events = broker.until_events(3, &connack, true).await;
    assert!(events.iter().all(|event| event.topic.ends_with("/reading")), "{events:?}");
    until("the large one is put aside", async || {
        board.store.outbox_stats().await.expect("stats").dead == 1
    })
    .await;
    let gap = broker.until_events(1, &connack, true).await;
    let gap = &gap[0].topic;
    assert_eq!(gap, "agentd/bench/event/gap", "the fleet is told what does not come");
    until("nothing else is left", async || board.left().await.is_empty()).await;
    assert!(board.is_lost("outbox"));
}

#[tokio::test]
async fn more_rows_than_the_window_that_are_all_too_large_do_not_hold_up_the_next_one() {
    let listener = Listener::new(true).await;
    let mut board = Board::new(listener.config());
    for _ in 0..200 {
        let large = Map::from_iter([("text".to_owned(), json!("x".repeat(2000)))]);
        board.store.event("note", large).await.expect("event");
    }
    board.events(1).await;
    board.link();
    let mut broker = listener.accept().await;
    // Maximum Packet Size 1000.
    let connack = [0x20, 8, 0, 0, 5, 0x27, 0, 0, 0x03, 0xe8];
    let mut topic = String::new();
    // What is put aside is told in between.
    while !topic.ends_with("/reading") {
        topic.clone_from(&broker.until_events(1, &connack, true).await[0].topic);
    }
}

#[tokio::test]
async fn rows_that_a_person_removes_are_not_sent_though_they_were_read_ahead() {
    let listener = Listener::new(true).await;
    let mut board = Board::new(listener.config());
    board.events(600).await;
    board.link();
    let mut broker = listener.accept().await;
    assert_eq!(broker.until_events(128, &CONNACK_5, false).await.len(), 128);
    assert_eq!(board.store.purge_outbox(dead::Which::All).await.expect("purged"), 600);
    broker.puback(0).await;
    board.store.event("note", Map::new()).await.expect("event");
    let after = broker.until_events(2, &CONNACK_5, true).await;
    let mut topics: Vec<&str> = after.iter().map(|event| event.topic.as_str()).collect();
    topics.sort_unstable();
    assert_eq!(topics, ["agentd/bench/event/gap", "agentd/bench/event/note"]);
    board.until_empty().await;
}

#[tokio::test]
async fn a_row_that_the_broker_refuses_is_kept_and_not_sent_again_at_once() {
    let listener = Listener::new(true).await;
    let mut board = Board::new(listener.config());
    board.events(1).await;
    board.link();
    let mut broker = listener.accept().await;
    assert_eq!(broker.until_events(1, &CONNACK_5, false).await.len(), 1);
    broker.puback(NOT_AUTHORIZED).await;
    // The next row that comes is the new one, though the refused one is older.
    board.store.event("note", Map::new()).await.expect("event");
    let next = broker.until_events(1, &CONNACK_5, true).await;
    assert_eq!(next[0].topic, "agentd/bench/event/note");
    until("only the refused one is left", async || board.left().await == ["event/reading"]).await;
    assert!(!board.is_lost("link:rows"), "it is this row's fault alone");
}

#[tokio::test]
async fn a_broker_over_its_quota_is_asked_with_one_row_at_a_time_and_then_gets_them_all() {
    let listener = Listener::new(true).await;
    let mut board = Board::new(listener.config());
    board.events(140).await;
    board.link();
    let mut broker = listener.accept().await;
    // As many as the window has room for.
    let sent = broker.until_events(128, &CONNACK_5, false).await;
    assert_eq!(sent.iter().map(Message::n).collect::<Vec<_>>(), Vec::from_iter(0..128));
    broker.puback(QUOTA_EXCEEDED).await;
    // Twice one row alone is tried, and never the one that began it.
    for _ in 0..2 {
        let tried = broker.until_events(1, &CONNACK_5, false).await;
        assert_eq!(tried[0].n(), 1);
        assert!(board.cause("link:rows").contains("QuotaExceeded"));
        assert_eq!(board.pending().await, 140);
        broker.puback(QUOTA_EXCEEDED).await;
    }
    let mut rest = broker.until_events(140, &CONNACK_5, true).await;
    rest.sort_by_key(Message::n);
    assert_eq!(rest.iter().map(Message::n).collect::<Vec<_>>(), Vec::from_iter(0..140));
    board.until_empty().await;
    assert!(!board.is_lost("link:rows"));
}

#[tokio::test]
async fn one_row_that_the_broker_stumbles_over_does_not_hold_up_the_others() {
    let listener = Listener::new(true).await;
    let mut board = Board::new(listener.config());
    board.events(1).await;
    board.link();
    let mut broker = listener.accept().await;
    broker.until_events(1, &CONNACK_5, false).await;
    board.events_from(1, 3).await;
    broker.puback(UNSPECIFIED_ERROR).await;
    let others = broker.until_events(3, &CONNACK_5, true).await;
    assert_eq!(others.iter().map(Message::n).collect::<Vec<_>>(), [1, 2, 3]);
    // It comes again after them, and is taken now.
    assert_eq!(broker.until_events(1, &CONNACK_5, true).await[0].n(), 0);
    board.until_empty().await;
}

#[tokio::test]
async fn a_broker_that_takes_rows_and_hangs_up_before_it_acknowledges_them_loses_none() {
    let listener = Listener::new(false).await;
    let port = listener.port();
    let mut board = Board::new(listener.config());
    board.events(3).await;
    board.link();
    for _ in 0..2 {
        let mut broker = listener.accept().await;
        let published = broker.until_events(3, &CONNACK_3, false).await;
        assert_eq!(published.len(), 3, "all rows are sent once on each connection");
        assert_eq!(board.pending().await, 3, "nothing is removed without a PUBACK");
    }
    drop(listener);
    // A good broker on the same address gets them all.
    let folder = tempfile::tempdir().expect("tempdir");
    let broker = EmbeddedBroker::start(folder.path(), port).await.expect("mosquitto");
    let peer = Peer::new(&broker, "peer").await;
    until("all came", async || peer.arrived() == [0, 1, 2]).await;
    board.until_empty().await;
}
