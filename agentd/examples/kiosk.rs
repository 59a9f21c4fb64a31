//! The kiosk page on a board without hardware, for those who work on the page:
//! `cargo run --release --example kiosk [PORT]`. Its sentences are in `tests/support/mod.rs`.

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::Duration;

use support::Board;
use tokio_util::sync::CancellationToken;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(8080);
    let board = Board::new(64);
    past(&board);
    board.health.lose("link", "broker.example cannot be reached: check the network");
    let http = board.http(|config| config.listen = Some(([127, 0, 0, 1], port).into())).await;
    println!("open http://127.0.0.1:{port}");
    tokio::join!(http.run(CancellationToken::new()), board.agent(), sensors(&board));
}

/// A day of readings, written as if polls had taken them.
fn past(board: &Board) {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE;
    let path = board.folder.path().join("a.db");
    let mut db = rusqlite::Connection::open_with_flags(path, flags).expect("the database");
    let now = agentd::command::now().as_second();
    let rows = db.transaction().expect("a transaction");
    for ago in (60..86_400).step_by(60) {
        for (sensor, value) in values(now - ago) {
            rows.execute("INSERT INTO readings VALUES (?1, ?2, ?3)", (now - ago, sensor, value))
                .expect("a row");
        }
    }
    rows.commit().expect("committed");
}

async fn sensors(board: &Board) {
    let mut ticks = tokio::time::interval(Duration::from_secs(5));
    loop {
        ticks.tick().await;
        let now = values(agentd::command::now().as_second());
        let now = now.map(|(sensor, value)| (sensor.to_owned(), value));
        board.store.readings(now.to_vec()).await.expect("stored");
    }
}

fn values(at: i64) -> [(&'static str, f64); 3] {
    let day = at as f64 / 86_400.0 * std::f64::consts::TAU;
    let flutter = (at as f64 / 397.0).sin() + (at as f64 / 1013.0).cos() * 0.7;
    let round = |value: f64| (value * 10.0).round() / 10.0;
    [
        ("humidity", round(58.0 + 12.0 * day.cos() - flutter)),
        ("soil moisture", round(34.0 + 6.0 * (day * 2.0).sin() + flutter * 0.4)),
        ("temperature", round(21.0 - 6.0 * day.cos() + flutter * 0.5)),
    ]
}
