//! Encrypted connections, and the files that they need.

use agentd::link::config::MqttConfig;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;

use crate::board::{Board, PATIENCE, free_port, mosquitto, until};
use crate::scripted::Listener;

fn run(program: &str, arguments: &str, folder: &TempDir) {
    let mut command = std::process::Command::new(program);
    let output = command.args(arguments.split(' ')).current_dir(folder.path()).output();
    let output = output.unwrap_or_else(|e| panic!("{program} is needed for this test: {e}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// An authority, a certificate of a broker and one of a device, in PEM files.
pub(crate) fn certificates(folder: &TempDir) {
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

/// Settings of a listener that asks for a certificate and shows its own.
pub(crate) fn secured(folder: &TempDir) -> String {
    let at = folder.path().display();
    format!(
        "cafile {at}/ca.pem\ncertfile {at}/broker.pem\nkeyfile {at}/broker.key\n\
         require_certificate true\n"
    )
}

async fn over_tls_the_link_connects_with_its_certificate_and_not_to_a_stranger(protocol: u8) {
    let folder = tempfile::tempdir().expect("tempdir");
    certificates(&folder);
    let path = |name: &str| folder.path().join(name);
    let port = free_port();
    let _broker = mosquitto(&folder, &format!("listener {port} 127.0.0.1\n{}", secured(&folder)));
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
async fn the_protocols_of_the_config_are_offered_in_the_handshake() {
    let folder = tempfile::tempdir().expect("tempdir");
    certificates(&folder);
    let listener = Listener::new(true).await;
    let offers = async |ca_file| {
        let mut board = Board::new(MqttConfig {
            url: Some(format!("mqtts://localhost:{}", listener.port())),
            ca_file,
            alpn: vec!["mqtt".into(), "x-amzn-mqtt-ca".into()],
            ..MqttConfig::default()
        });
        board.link();
        // The extension of the ClientHello: the length of the list, then each name with its own.
        let wanted = b"\x00\x14\x04mqtt\x0ex-amzn-mqtt-ca";
        let mut hello = Vec::new();
        let mut stream = listener.accept().await.stream;
        while !hello.windows(wanted.len()).any(|bytes| bytes == wanted) {
            let read = timeout(PATIENCE, stream.read_buf(&mut hello)).await.expect("in time");
            assert!(read.expect("readable") > 0, "the protocols are not offered: {hello:?}");
        }
    };
    offers(Some(folder.path().join("ca.pem"))).await;
    // With the system's certificates as well.
    offers(None).await;
}

/// What `agentd check` says of the broker.
fn check(folder: &TempDir, password_file: &str, credentials: Option<&std::path::Path>) -> Value {
    let config = folder.path().join("agentd.toml");
    let text = format!(
        "[store]\npath = {:?}\n[mqtt]\nurl = \"mqtt://127.0.0.1:{}\"\nusername = \"me\"\n\
         password_file = {password_file:?}\n",
        folder.path().join("agentd.db"),
        free_port(),
    );
    std::fs::write(&config, text).expect("write");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_agentd"));
    command.args(["check", "--json", "--config"]).arg(config).env_remove("CREDENTIALS_DIRECTORY");
    if let Some(credentials) = credentials {
        command.env("CREDENTIALS_DIRECTORY", credentials);
    }
    let output = command.output().expect("agentd");
    let findings: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let findings = findings.as_array().expect("findings");
    findings.iter().find(|finding| finding["what"] == "mqtt").expect("of mqtt").clone()
}

#[test]
fn a_secret_comes_from_a_credential_of_the_service_and_check_says_where_it_is_missing() {
    let folder = tempfile::tempdir().expect("tempdir");
    let given = tempfile::tempdir().expect("tempdir");
    std::fs::write(given.path().join("mqtt-password"), "s3cret\n").expect("write");
    let credential = "credential:mqtt-password";
    // The broker is not there, which is no mistake in the config.
    assert_eq!(check(&folder, credential, Some(given.path()))["level"], "warning");
    for (name, directory) in [(credential, None), ("credential:other", Some(given.path()))] {
        let finding = check(&folder, name, directory);
        assert_eq!(finding["level"], "error", "{finding}");
        let message = finding["message"].as_str().expect("words");
        assert!(message.contains("mqtt.password_file"), "{message}");
        assert!(message.contains("LoadCredential="), "{message}");
    }
}
