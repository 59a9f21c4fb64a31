//! Commands in, outcomes out.

use agentd::command::{Command, Status};
use agentd::store::Origin;
use rumqttc_v5 as mqtt;
use rumqttc_v5::mqttbytes::v5::PublishProperties;
use serde_json::json;

use crate::board::{Board, broker, config, done, until};
use crate::peer::{Peer, body};
use crate::scripted::{CONNACK_3, Listener};

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
    let listener = Listener::new(false).await;
    let mut board = Board::new(listener.config());
    board.link();
    let mut broker = listener.accept().await;
    broker.until_online(&CONNACK_3).await;

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
