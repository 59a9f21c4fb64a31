//! The broker on the board.

use std::pin::pin;

use agentd::demo::observer::Observer;
use agentd::link::broker::EmbeddedBroker;
use serde_json::json;
use tokio::select;

use crate::board::PATIENCE;
use crate::peer::Peer;

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

#[tokio::test]
async fn what_a_device_says_before_the_observer_is_back_reaches_it_all_the_same() {
    let folder = tempfile::tempdir().expect("tempdir");
    let broker = EmbeddedBroker::start(folder.path(), 0).await.expect("mosquitto");
    let port = broker.port();
    let (observer, work) = Observer::new(port, "greenhouse");
    // It is away whenever this future is not polled.
    let mut work = pin!(work);
    select! {
        connected = observer.connected(PATIENCE) => assert!(connected),
        () = &mut work => unreachable!("it works without an end"),
    }
    broker.stop().await;
    let broker = EmbeddedBroker::start(folder.path(), port).await.expect("mosquitto again");
    let device = Peer::new(&broker, "device").await;
    let event = json!({"event_id": "e1", "command_id": "c1", "seq": 1}).to_string();
    device.say("agentd/greenhouse/event/action", &event).await;
    let ids = ["c1".to_owned()];
    select! {
        seen = observer.events_of(&ids, PATIENCE) => assert_eq!(seen, 1),
        () = &mut work => unreachable!("it works without an end"),
    }
}
