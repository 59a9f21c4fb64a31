//! MQTT in a WebSocket, to mosquitto's own listener for it.

use agentd::link::config::MqttConfig;

use crate::board::{Board, free_port, mosquitto, until};
use crate::peer::Peer;
use crate::tls::{certificates, secured};

async fn through_a_websocket_commands_come_in_and_rows_go_out(protocol: u8) {
    let folder = tempfile::tempdir().expect("tempdir");
    let (websocket, plain) = (free_port(), free_port());
    let settings = format!(
        "listener {plain} 127.0.0.1\nlistener {websocket} 127.0.0.1\nprotocol websockets\n"
    );
    let _broker = mosquitto(&folder, &settings);
    let url = Some(format!("ws://127.0.0.1:{websocket}/mqtt"));
    let mut board = Board::new(MqttConfig { url, protocol, ..MqttConfig::default() });
    board.link();
    board.until_up().await;
    let peer = Peer::at(plain, "peer").await;
    board.events(40).await;
    board.until_empty().await;
    until("all came", async || peer.arrived().len() == 40).await;
    peer.say("agentd/bench/command", r#"{"id":"c1","text":"pump on"}"#).await;
    board.until_stored("c1").await;
    let status = peer.expect_status("online", |status| status["state"] == "online").await;
    assert_eq!(status["link"], format!("ws://127.0.0.1:{websocket}/mqtt"));
}

#[tokio::test]
async fn over_mqtt_5_through_a_websocket_commands_come_in_and_rows_go_out() {
    through_a_websocket_commands_come_in_and_rows_go_out(5).await;
}

#[tokio::test]
async fn over_mqtt_3_through_a_websocket_commands_come_in_and_rows_go_out() {
    through_a_websocket_commands_come_in_and_rows_go_out(4).await;
}

#[tokio::test]
async fn through_an_encrypted_websocket_rows_go_out_with_the_devices_certificate() {
    let folder = tempfile::tempdir().expect("tempdir");
    certificates(&folder);
    let (port, plain) = (free_port(), free_port());
    // mosquitto 2.0.11 does not start without a listener that is no WebSocket.
    let listeners =
        format!("listener {plain} 127.0.0.1\nlistener {port} 127.0.0.1\nprotocol websockets\n");
    let _broker = mosquitto(&folder, &format!("{listeners}{}", secured(&folder)));
    let path = |name: &str| Some(folder.path().join(name));
    let mut board = Board::new(MqttConfig {
        url: Some(format!("wss://localhost:{port}/mqtt")),
        ca_file: path("ca.pem"),
        client_cert_file: path("device.pem"),
        client_key_file: path("device.key"),
        ..MqttConfig::default()
    });
    board.events(3).await;
    board.link();
    board.until_empty().await;
}

#[tokio::test]
async fn what_answers_a_websocket_and_speaks_no_http_is_told_with_what_to_look_at() {
    let listener = crate::scripted::Listener::new(true).await;
    let url = Some(format!("ws://127.0.0.1:{}/mqtt", listener.port()));
    let mut board = Board::new(MqttConfig { url, ..MqttConfig::default() });
    board.link();
    listener.accept().await.say(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await;
    until("the loss is known", async || board.is_lost("link")).await;
    let cause = board.cause("link");
    assert!(cause.contains("404") && cause.contains("mqtt.url"), "{cause}");
}
