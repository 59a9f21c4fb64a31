//! The broker on the board.

use agentd::link::broker::EmbeddedBroker;

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
