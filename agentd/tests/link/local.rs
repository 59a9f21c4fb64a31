//! A broker on the board beside the one of the fleet.

use agentd::link::broker::EmbeddedBroker;
use agentd::link::config::MqttConfig;
use agentd::link::local::LocalConfig;
use agentd::store::Broker;
use rumqttc_v5::mqttbytes::v5::PublishProperties;
use serde_json::json;

use crate::board::{Board, broker, done, until};
use crate::peer::{Peer, body};

/// A board with both links.
fn board(upstream_url: String, local: &EmbeddedBroker) -> Board {
    let local = LocalConfig { url: local.url(), ..LocalConfig::default() };
    let url = Some(upstream_url);
    let config = MqttConfig { url, local: Some(local), ..MqttConfig::default() };
    let mut board = Board::new(config);
    board.link();
    let section = board.config.on_board().expect("a section");
    board.link_to(Broker::OnBoard, &section);
    board
}

#[tokio::test]
async fn a_command_from_the_board_is_answered_there_and_the_fleet_gets_its_result_and_the_events() {
    let (_upstream_folder, upstream) = broker().await;
    let (_local_folder, local) = broker().await;
    let board = board(upstream.url(), &local);
    let fleet = Peer::new(&upstream, "fleet").await;
    let kiosk = Peer::new(&local, "kiosk").await;
    fleet.expect_topic("agentd/bench/capabilities").await;
    kiosk.expect_topic("agentd/bench/capabilities").await;
    let properties = PublishProperties {
        response_topic: Some("kiosk/replies".into()),
        correlation_data: Some(vec![7_u8].into()),
        ..PublishProperties::default()
    };
    let command = r#"{"id":"here","text":"pump on"}"#;
    kiosk.say_with("agentd/bench/command", command, false, Some(properties)).await;
    board.until_stored("here").await;
    let waiting = board.store.next(Vec::new()).await.expect("next").expect("waits");
    assert_eq!(waiting.source, "mqtt-local");
    board.store.finish(done("here")).await.expect("finish");
    board.events(3).await;
    assert_eq!(body(&kiosk.expect_topic("agentd/bench/result/here").await)["status"], "done");
    let reply = kiosk.expect_topic("kiosk/replies").await;
    let correlation = reply.properties.expect("properties").correlation_data;
    assert_eq!(correlation.as_deref(), Some(&[7_u8][..]));
    fleet.expect_topic("agentd/bench/result/here").await;

    fleet.say("agentd/bench/command", r#"{"id":"there","text":"pump on"}"#).await;
    board.until_stored("there").await;
    board.store.finish(done("there")).await.expect("finish");
    fleet.expect_topic("agentd/bench/result/there").await;
    until("the events came", async || fleet.arrived() == [0, 1, 2]).await;
    until("nothing waits on the board", async || {
        board.store.pending(Broker::OnBoard, Vec::new(), 1).await.expect("pending").is_empty()
    })
    .await;
    assert!(kiosk.on("agentd/bench/event/").is_empty(), "events go to the fleet alone");
    assert!(kiosk.on("agentd/bench/result/there").is_empty(), "the fleet's result is the fleet's");
    assert!(fleet.on("kiosk/").is_empty(), "the kiosk's reply is the kiosk's");
}

#[tokio::test]
async fn without_the_fleets_broker_the_board_is_commanded_answered_and_told_that_it_is_alone() {
    let (folder, upstream) = broker().await;
    let (_local_folder, local) = broker().await;
    let (url, port) = (upstream.url(), upstream.port());
    upstream.stop().await;
    let board = board(url, &local);
    let kiosk = Peer::new(&local, "kiosk").await;
    kiosk
        .expect_status("the link is lost", |status| status["degraded"][0]["component"] == "link")
        .await;
    assert_eq!((board.metrics.link_up.get(), board.metrics.local_up.get()), (0, 1));
    kiosk.say("agentd/bench/command", r#"{"id":"c1","text":"pump on"}"#).await;
    board.until_stored("c1").await;
    board.store.finish(done("c1")).await.expect("finish");
    kiosk.expect_topic("agentd/bench/result/c1").await;
    assert_eq!(board.pending().await, 1, "the fleet's copy waits");

    let upstream = EmbeddedBroker::start(folder.path(), port).await.expect("again");
    let fleet = Peer::new(&upstream, "fleet").await;
    fleet.expect_topic("agentd/bench/result/c1").await;
    board.until_empty().await;
    kiosk.expect_status("all is well", |status| status["degraded"] == json!([])).await;
}

#[tokio::test]
async fn the_loss_of_the_boards_broker_is_its_own_and_the_fleet_goes_on() {
    let (_upstream_folder, upstream) = broker().await;
    let (_local_folder, local) = broker().await;
    let board = board(upstream.url(), &local);
    let fleet = Peer::new(&upstream, "fleet").await;
    until("both are up", async || {
        board.metrics.link_up.get() == 1 && board.metrics.local_up.get() == 1
    })
    .await;
    local.stop().await;
    until("the loss is known", async || board.is_lost("local")).await;
    assert!(!board.is_lost("link"));
    board.events(2).await;
    until("the events came", async || fleet.arrived() == [0, 1]).await;
}
