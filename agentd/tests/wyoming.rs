//! The Wyoming service: against the protocol's own library, and against peers that misbehave.
//!
//! `AGENTD_TEST_PYTHON` names a Python that has the package `wyoming`.

#[expect(dead_code, reason = "some of the board is only for the HTTP tests")]
mod support;

use std::future::Future;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use agentd::wyoming::codec::{MAX_DATA_BYTES, MAX_LINE_BYTES, MAX_PAYLOAD_BYTES};
use agentd::wyoming::{MAX_CONNECTIONS, Wyoming, WyomingConfig, WyomingError};
use serde_json::{Value, json};
use support::Board;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(30);

async fn served<F: Future>(
    board: &Board,
    agent: bool,
    change: impl FnOnce(&mut WyomingConfig),
    test: impl FnOnce(SocketAddr, CancellationToken) -> F,
) -> F::Output {
    let mut config =
        WyomingConfig { listen: ([127, 0, 0, 1], 0).into(), ..WyomingConfig::default() };
    change(&mut config);
    let wyoming = Wyoming::bind(&config, board.front.clone()).await.expect("bound");
    let address = wyoming.address().expect("an address");
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    let agent = async {
        if agent {
            board.agent().await;
        }
        std::future::pending::<()>().await;
    };
    tokio::time::timeout(PATIENCE, async {
        tokio::select! {
            () = async { wyoming.run(shutdown).await; std::future::pending::<()>().await } => unreachable!(),
            () = agent => unreachable!(),
            result = test(address, stop) => result,
        }
    })
    .await
    .expect("the test ends in time")
}

/// Takes the peer through the steps and returns its answers.
async fn peer(address: SocketAddr, steps: &[Value]) -> Vec<Value> {
    let python = std::env::var("AGENTD_TEST_PYTHON").expect(
        "set AGENTD_TEST_PYTHON to a Python that has the package `wyoming`: \
         python3 -m venv /tmp/venv && /tmp/venv/bin/pip install wyoming, \
         then AGENTD_TEST_PYTHON=/tmp/venv/bin/python",
    );
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/wyoming/peer.py");
    let mut child = Command::new(python)
        .arg(script)
        .arg(address.port().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the peer starts");
    let mut stdin = child.stdin.take().expect("stdin");
    let mut answers = BufReader::new(child.stdout.take().expect("stdout")).lines();
    let mut found = Vec::new();
    for step in steps {
        stdin.write_all(format!("{step}\n").as_bytes()).await.expect("the peer listens");
        let answer = answers.next_line().await.expect("readable").expect("the peer answers");
        found.push(serde_json::from_str(&answer).expect("JSON"));
    }
    drop(stdin);
    assert!(child.wait().await.expect("the peer ends").success());
    found
}

#[tokio::test]
async fn the_protocols_own_library_is_served() {
    let board = Board::new(8);
    let mut watcher = board.store.feed().watch();
    let context = json!({"conversation_id": "kitchen", "mood": ["calm", null]});
    let steps = [
        json!({"do": "info"}),
        json!({"do": "ping", "text": "hällo"}),
        json!({"do": "say", "text": "turn on the pump", "language": "en", "context": context}),
        json!({"do": "say", "text": "turn on the pump", "noise": true}),
        json!({"do": "say", "text": "fail", "context": context}),
        json!({"do": "say", "text": "do harm"}),
        json!({"do": "say", "text": "open the roof"}),
        json!({"do": "say", "text": "  "}),
    ];
    let answers =
        served(&board, true, |_| {}, async |address, _| peer(address, &steps).await).await;
    assert_eq!(
        answers[0],
        json!({
            "name": "agentd", "installed": true, "version": env!("CARGO_PKG_VERSION"),
            "attribution": "agentd", "languages": ["en"], "home_control": true,
            "streaming": false, "others": 0,
        })
    );
    assert_eq!(answers[1], json!({"type": "pong", "text": "hällo"}));
    let said = |kind: &str, text: &str, context: Value| json!({"type": kind, "text": text, "context": context});
    assert_eq!(answers[2], said("handled", "The pump is now on.", context.clone()));
    assert_eq!(answers[3], said("handled", "The pump is now on.", Value::Null));
    let failed = "The board did not answer. Check its cable.";
    assert_eq!(answers[4], said("not-handled", failed, context));
    assert_eq!(answers[5]["type"], "not-handled");
    let waits = "Opening the roof needs somebody's approval.";
    assert_eq!(answers[6], said("not-handled", waits, Value::Null));
    assert_eq!(answers[7], said("not-handled", "I did not hear anything.", Value::Null));
    let first = watcher.recv().await.expect("the feed was told");
    assert_eq!(serde_json::to_value(&*first).expect("JSON")["source"], "wyoming");
}

#[tokio::test]
async fn a_conversation_is_one_session() {
    let board = Board::new(8);
    served(
        &board,
        false,
        |_| {},
        async |address, _| {
            let mut stream = TcpStream::connect(address).await.expect("connected");
            let mut changed = board.store.inbox_changed();
            changed.borrow_and_update();
            let data = json!({"text": "hi", "context": {"conversation_id": "kitchen"}});
            let event = json!({"type": "transcript", "data": data});
            stream.write_all(format!("{event}\n").as_bytes()).await.expect("sent");
            changed.changed().await.expect("accepted");
            let waiting = board.store.next(vec![]).await.expect("read").expect("a command");
            assert_eq!((waiting.source.as_str(), waiting.lane.as_str()), ("wyoming", "kitchen"));
            assert_eq!(waiting.command.text.as_deref(), Some("hi"));
        },
    )
    .await;
}

/// All that the server sends before it closes.
async fn until_closed(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).expect("text")
}

#[tokio::test]
async fn one_connection_over_the_bound_is_busy_until_another_leaves() {
    let board = Board::new(8);
    served(
        &board,
        false,
        |_| {},
        async |address, _| {
            let ping = async |mut stream: TcpStream| {
                stream.write_all(b"{\"type\":\"ping\"}\n").await.ok()?;
                let mut answer = [0; 14];
                stream.read_exact(&mut answer).await.ok()?;
                (&answer == b"{\"type\":\"pong\"").then_some(stream)
            };
            let connect = async || TcpStream::connect(address).await.expect("connected");
            let mut connections = Vec::new();
            for _ in 0..MAX_CONNECTIONS {
                connections.push(ping(connect().await).await.expect("answered"));
            }
            let answer = until_closed(connect().await).await;
            assert!(answer.contains("\"code\":\"busy\""), "{answer}");
            connections.pop();
            while ping(connect().await).await.is_none() {}
        },
    )
    .await;
}

#[tokio::test]
async fn a_frame_over_its_bound_ends_the_connection_with_the_reason() {
    let board = Board::new(8);
    served(
        &board,
        false,
        |_| {},
        async |address, _| {
            let data = format!("{{\"type\":\"x\",\"data_length\":{}}}\n", MAX_DATA_BYTES + 1);
            let payload =
                format!("{{\"type\":\"x\",\"payload_length\":{}}}\n", MAX_PAYLOAD_BYTES + 1);
            let line = "x".repeat(MAX_LINE_BYTES);
            for (frame, why) in [
                (data.as_str(), "announces 65537 bytes of data"),
                (&payload, "announces a payload of 1048577 bytes"),
                (&line, "header has more than"),
                ("GET / HTTP/1.1\r\n", "header cannot be read"),
            ] {
                let mut stream = TcpStream::connect(address).await.expect("connected");
                stream.write_all(frame.as_bytes()).await.expect("sent");
                let answer = until_closed(stream).await;
                assert!(answer.contains("bad_event") && answer.contains(why), "{answer}");
            }
        },
    )
    .await;
}

#[tokio::test]
async fn a_silent_connection_is_closed_after_its_time() {
    let board = Board::new(8);
    served(
        &board,
        false,
        |config| config.idle_seconds = 1,
        async |address, _| {
            let stream = TcpStream::connect(address).await.expect("connected");
            assert_eq!(until_closed(stream).await, "");
        },
    )
    .await;
}

#[tokio::test]
async fn a_busy_board_says_so_and_shutdown_ends_the_wait() {
    let board = Board::new(1);
    served(
        &board,
        false,
        |_| {},
        async |address, shutdown| {
            let say = b"{\"type\":\"transcript\",\"data\":{\"text\":\"never end\"}}\n";
            let mut changed = board.store.inbox_changed();
            changed.borrow_and_update();
            let mut first = TcpStream::connect(address).await.expect("connected");
            first.write_all(say).await.expect("sent");
            changed.changed().await.expect("accepted");
            let mut second = TcpStream::connect(address).await.expect("connected");
            second.write_all(say).await.expect("sent");
            let mut answer = Vec::new();
            while !String::from_utf8_lossy(&answer).contains("1 commands are waiting already") {
                assert_ne!(
                    second.read_buf(&mut answer).await.expect("readable"),
                    0,
                    "closed early"
                );
            }
            shutdown.cancel();
            assert!(until_closed(first).await.contains("I am being switched off."));
        },
    )
    .await;
}

#[tokio::test]
async fn a_taken_port_is_an_error_that_names_it() {
    let board = Board::new(8);
    served(
        &board,
        false,
        |_| {},
        async |address, _| {
            let config = WyomingConfig { listen: address, ..WyomingConfig::default() };
            let error = Wyoming::bind(&config, board.front.clone()).await.err().expect("taken");
            assert!(matches!(error, WyomingError::Listen { .. }));
            assert!(error.to_string().contains(&address.to_string()), "{error}");
        },
    )
    .await;
}
