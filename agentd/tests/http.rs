//! The HTTP side as its callers see it: real sockets, the real store, an agent that knows a few
//! sentences.

mod support;

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use agentd::client::{Client, ClientError, Events, Target};
use agentd::command::{Command, MAX_PAYLOAD_BYTES, Status, fresh_id};
use agentd::feed::Notice;
use agentd::http::{HttpConfig, HttpError, MAX_CONNECTIONS, MAX_WATCHERS};
use agentd::store::recent::MAX_RECENT;
use serde_json::{Value, json};
use support::Board;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(20);
const TOKEN: &str = "0123456789abcdef";

/// What a test talks to.
struct Front {
    address: SocketAddr,
    socket: Client,
    tcp: Client,
    shutdown: CancellationToken,
}

/// Runs a test against a served board. The agent works only where it is asked for.
async fn served<F: Future>(
    board: &Board,
    agent: bool,
    change: impl FnOnce(&mut HttpConfig),
    test: impl FnOnce(Front) -> F,
) -> F::Output {
    let http = board.http(change).await;
    let address = http.address().expect("a TCP address");
    let shutdown = CancellationToken::new();
    let front = Front {
        address,
        socket: Client::new(Target::Socket(board.folder.path().join("agentd.sock"))),
        tcp: Client::new(format!("http://{address}").parse().expect("a target")),
        shutdown: shutdown.clone(),
    };
    let agent = async {
        if agent {
            board.agent().await;
        }
        std::future::pending::<()>().await;
    };
    tokio::time::timeout(PATIENCE, async {
        tokio::select! {
            () = async { http.run(shutdown).await; std::future::pending::<()>().await } => unreachable!(),
            () = agent => unreachable!(),
            result = test(front) => result,
        }
    })
    .await
    .expect("the test ends in time")
}

fn unchanged(_: &mut HttpConfig) {}

/// A request by hand: status, head and body of the answer.
async fn raw(address: SocketAddr, head: &str, body: &[u8]) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    let request = format!("{head}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(request.as_bytes()).await.expect("sent");
    // A server that has said no already need not read the rest.
    let _ = stream.write_all(body).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).expect("text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("head and body");
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
    (status, head.to_ascii_lowercase(), body.to_owned())
}

async fn get(address: SocketAddr, path: &str) -> (u16, String, String) {
    raw(address, &format!("GET {path} HTTP/1.1\r\nhost: {address}"), b"").await
}

async fn post(address: SocketAddr, path: &str, body: &[u8]) -> (u16, Value) {
    let head = format!("POST {path} HTTP/1.1\r\nhost: {address}");
    let (status, _, body) = raw(address, &head, body).await;
    (status, serde_json::from_str(&body).expect("JSON"))
}

/// Events up to the end of a command, as names.
async fn names_until_end(events: &mut Events, id: &str) -> Vec<String> {
    let mut names = Vec::new();
    loop {
        let event = events.next().await.expect("the stream lives").expect("an event");
        let data: Value = serde_json::from_str(&event.data).expect("JSON");
        assert_eq!(data["notice"], event.name);
        names.push(event.name);
        if data["outcome"]["id"] == id {
            return names;
        }
    }
}

#[tokio::test]
async fn a_command_over_either_way_in_waits_for_its_outcome() {
    let board = Board::new(8);
    served(&board, true, unchanged, async |front| {
        for client in [&front.socket, &front.tcp] {
            let command = Command::from_text("turn on the pump");
            let outcome = client.command(&command).await.expect("an outcome");
            assert_eq!((outcome.id.as_str(), outcome.status), (&*command.id, Status::Done));
            assert_eq!(outcome.text, "The pump is now on.");
            let again = client.command(&command).await.expect("the stored outcome");
            assert_eq!(again, outcome);
            assert_eq!(client.outcome(&command.id).await.expect("known"), Some(outcome));
        }
        assert_eq!(board.metrics.commands_accepted_total.get(), 2);
        assert_eq!(board.metrics.commands_repeated_total.get(), 2);
        let failed = front.socket.command(&Command::from_text("fail")).await.expect("an outcome");
        assert_eq!(failed.status, Status::Failed);
    })
    .await;
}

#[tokio::test]
async fn plain_words_and_json_are_both_commands() {
    let board = Board::new(8);
    served(&board, true, unchanged, async |front| {
        let (status, outcome) = post(front.address, "/api/command", b"turn on the pump").await;
        assert_eq!((status, outcome["status"].as_str()), (200, Some("done")));
        let body = br#"{"id": "a 1", "text": "turn on the pump"}"#;
        let (status, outcome) = post(front.address, "/api/command", body).await;
        assert_eq!((status, outcome["id"].as_str()), (200, Some("a 1")));
        assert!(front.tcp.outcome("a 1").await.expect("asked").is_some());
    })
    .await;
}

#[tokio::test]
async fn a_sender_who_does_not_wait_gets_the_id_and_asks_later() {
    let board = Board::new(8);
    served(&board, false, unchanged, async |front| {
        let body = br#"{"id": "b1", "text": "turn on the pump"}"#;
        let (status, answer) = post(front.address, "/api/command?wait=0", body).await;
        assert_eq!((status, answer), (202, json!({"id": "b1"})));
        let (status, _, body) = get(front.address, "/api/command/b1").await;
        assert_eq!(status, 404, "nothing has become of it yet: {body}");
        let mut events = front.socket.events().await.expect("events");
        tokio::select! {
            () = board.agent() => unreachable!(),
            _ = names_until_end(&mut events, "b1") => {}
        }
        let (status, _, body) = get(front.address, "/api/command/b1").await;
        assert_eq!(status, 200);
        assert!(body.contains("The pump is now on."), "{body}");
        let (status, answer) =
            post(front.address, "/api/command?wait=0", b"{\"id\":\"b1\",\"text\":\"x\"}").await;
        assert_eq!((status, answer["status"].as_str()), (200, Some("done")), "a repeat");
    })
    .await;
}

#[tokio::test]
async fn a_command_that_outlasts_its_time_is_answered_with_its_id() {
    let board = Board::new(8);
    served(&board, true, unchanged, async |front| {
        let mut command = Command::from_text("never end");
        command.timeout_ms = Some(1);
        let error = front.socket.command(&command).await.expect_err("no outcome");
        let ClientError::NotYet { id, so_far: None } = error else { panic!("{error:?}") };
        assert_eq!(id, command.id);
        let mut command = Command::from_text("open the roof");
        command.timeout_ms = Some(1);
        command.session = Some("another lane".into());
        let error = front.socket.command(&command).await.expect_err("no final outcome");
        let ClientError::NotYet { so_far: Some(outcome), .. } = error else { panic!("{error:?}") };
        assert_eq!(outcome.status, Status::WaitingApproval);
    })
    .await;
}

#[tokio::test]
async fn a_refused_command_gets_an_outcome_that_says_why() {
    let board = Board::new(1);
    served(&board, false, unchanged, async |front| {
        let refusals: [(&[u8], u16, &str); 4] = [
            (b"", 400, "empty"),
            (b"\xff", 400, "not_utf8"),
            (br#"{"text": "#, 400, "not_json"),
            (br#"{"text": "x", "colour": 1}"#, 400, "unknown_field"),
        ];
        for (body, expected, code) in refusals {
            let (status, outcome) = post(front.address, "/api/command", body).await;
            assert_eq!((status, outcome["error"]["code"].as_str()), (expected, Some(code)));
            assert_eq!(outcome["status"], "denied");
        }
        let (status, outcome) = post(front.address, "/api/command?wait=2", b"x").await;
        assert_eq!((status, outcome["error"]["code"].as_str()), (400, Some("bad_arguments")));
        assert_eq!(post(front.address, "/api/command?wait=0", b"one").await.0, 202);
        let (status, outcome) = post(front.address, "/api/command?wait=0", b"two").await;
        assert_eq!((status, outcome["error"]["code"].as_str()), (429, Some("busy")));
        let denied = front.socket.command(&Command::from_text("three")).await.expect("an outcome");
        assert_eq!(denied.status, Status::Denied);
        assert_eq!(board.metrics.commands_refused_total.get(), 7);
    })
    .await;
}

#[tokio::test]
async fn a_payload_is_taken_at_its_bound_and_refused_one_over() {
    let board = Board::new(8);
    served(&board, false, unchanged, async |front| {
        let path = "/api/command?wait=0";
        assert_eq!(post(front.address, path, &vec![b'a'; MAX_PAYLOAD_BYTES]).await.0, 202);
        let (status, outcome) = post(front.address, path, &vec![b'a'; MAX_PAYLOAD_BYTES + 1]).await;
        assert_eq!((status, outcome["error"]["code"].as_str()), (413, Some("too_large")));
        let approve = |bytes: usize| {
            let mut body = br#"{"approve": true}"#.to_vec();
            body.resize(bytes, b' ');
            body
        };
        let path = "/api/command/x/approve";
        assert_eq!(post(front.address, path, &approve(4096)).await.0, 409);
        assert_eq!(post(front.address, path, &approve(4097)).await.0, 400);
    })
    .await;
}

#[tokio::test]
async fn a_command_that_cannot_be_recorded_is_refused_and_not_done() {
    let board = Board::new(8);
    let path = board.folder.path().join("a.db");
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE;
    let db = rusqlite::Connection::open_with_flags(path, flags).expect("the database");
    db.execute("DROP TABLE inbox", []).expect("dropped");
    served(&board, false, unchanged, async |front| {
        let (status, outcome) = post(front.address, "/api/command", b"turn on the pump").await;
        assert_eq!((status, outcome["error"]["code"].as_str()), (503, Some("store")));
        let error = front.socket.outcome("x").await.expect_err("refused");
        assert!(matches!(error, ClientError::Refused { ref code, .. } if code == "store"));
        db.execute("DROP TABLE outbox_totals", []).expect("dropped");
        let (status, _, body) = get(front.address, "/health").await;
        assert_eq!(status, 200, "the daemon is there and says what it lacks");
        let health: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(health["status"], "degraded");
        assert_eq!(health["degraded"][0]["component"], "store");
    })
    .await;
}

#[tokio::test]
async fn a_call_waits_for_a_person_who_approves_or_denies_it() {
    let board = Board::new(8);
    served(&board, true, unchanged, async |front| {
        for (yes, expected) in [(true, Status::Done), (false, Status::Denied)] {
            let command = Command::from_text("open the roof");
            let mut events = front.socket.events().await.expect("events");
            let answer = front.socket.command(&command);
            let person = async {
                names_until_end(&mut events, &command.id).await;
                front.tcp.approve(&command.id, yes, "Ada").await.expect("heard");
            };
            let (outcome, ()) = tokio::join!(answer, person);
            let outcome = outcome.expect("the final outcome");
            assert_eq!(outcome.status, expected);
            let late = front.tcp.approve(&command.id, yes, "Ada").await.expect_err("too late");
            assert!(matches!(late, ClientError::Refused { ref code, .. } if code == "not_waiting"));
        }
        let denied = front.tcp.command(&Command::from_text("do harm")).await.expect("an outcome");
        assert_eq!(denied.status, Status::Denied);
    })
    .await;
}

#[tokio::test]
async fn an_approval_must_be_said_plainly_and_by_somebody_with_a_name() {
    let board = Board::new(8);
    served(&board, false, unchanged, async |front| {
        let name = |chars: usize| json!({"approve": true, "by": "é".repeat(chars)}).to_string();
        let path = "/api/command/x/approve";
        for bad in ["", "yes", "{}", r#"{"approve":true,"who":"x"}"#, &name(0), &name(201)] {
            let (status, answer) = post(front.address, path, bad.as_bytes()).await;
            assert_eq!(
                (status, answer["error"]["code"].as_str()),
                (400, Some("bad_field")),
                "{bad}"
            );
        }
        assert_eq!(post(front.address, path, name(200).as_bytes()).await.0, 409);
    })
    .await;
}

#[tokio::test]
async fn the_last_commands_are_listed_newest_first_up_to_their_bound() {
    let board = Board::new(64);
    served(&board, true, unchanged, async |front| {
        let mut command = Command::from_text("open the roof");
        command.timeout_ms = Some(1);
        front.socket.command(&command).await.expect_err("it waits for approval");
        for n in 1..MAX_RECENT {
            let command = Command::from_text(format!("number {n}"));
            front.socket.command(&command).await.expect("an outcome");
        }
        let all = front.tcp.get("/api/commands").await.expect("commands");
        let all = all.as_array().expect("a list");
        assert_eq!(all.len(), MAX_RECENT);
        assert_eq!(all[0]["text"], format!("number {}", MAX_RECENT - 1));
        assert_eq!(all[0]["outcome"]["status"], "done");
        assert_eq!(all[0]["source"], "local");
        assert_eq!(all[MAX_RECENT - 1]["outcome"]["status"], "waiting_approval");
        front.tcp.command(&Command::from_text("one more")).await.expect("an outcome");
        let all = front.tcp.get("/api/commands").await.expect("commands");
        assert_eq!(all.as_array().map(Vec::len), Some(MAX_RECENT));
        assert_eq!((&all[0]["text"], &all[0]["source"]), (&json!("one more"), &json!("http")));
        assert_eq!(all[MAX_RECENT - 1]["text"], "number 1");
    })
    .await;
}

#[tokio::test]
async fn a_waiting_command_can_be_taken_back_once() {
    let board = Board::new(8);
    served(&board, false, unchanged, async |front| {
        let command = Command::from_text("turn on the pump");
        let mut events = front.socket.events().await.expect("events");
        let person = async {
            let first = events.next().await.expect("the stream lives").expect("an event");
            assert_eq!(first.name, "accepted");
            front.tcp.cancel(&command.id).await.expect("taken back")
        };
        let (outcome, cancelled) = tokio::join!(front.socket.command(&command), person);
        let outcome = outcome.expect("an outcome");
        assert_eq!(outcome.status, Status::Cancelled);
        assert_eq!(outcome, cancelled);
        let late = front.tcp.cancel(&command.id).await.expect_err("it has ended");
        assert!(matches!(late, ClientError::Refused { ref code, .. } if code == "too_late"));
    })
    .await;
}

#[tokio::test]
async fn events_come_in_the_order_in_which_things_happened() {
    let board = Board::new(8);
    served(&board, true, unchanged, async |front| {
        let mut events = front.tcp.events().await.expect("events");
        let command = Command::from_text("turn on the pump");
        let (outcome, names) =
            tokio::join!(front.tcp.command(&command), names_until_end(&mut events, &command.id));
        outcome.expect("an outcome");
        assert_eq!(names, ["accepted", "routed", "call_started", "call_ended", "finished"]);
        board.store.readings(vec![("temperature".into(), 21.5)]).await.expect("stored");
        let event = events.next().await.expect("lives").expect("an event");
        let expected = r#"{"notice":"reading","sensor":"temperature","value":21.5}"#;
        assert_eq!((event.name.as_str(), event.data.as_str()), ("reading", expected));
    })
    .await;
}

#[tokio::test]
async fn a_watcher_that_fell_behind_is_told_how_much_it_missed() {
    let board = Board::new(8);
    served(&board, false, unchanged, async |front| {
        let mut events = front.socket.events().await.expect("events");
        // Told without a pause, so that the stream is not polled before the feed is over its bound.
        for n in 0..1500 {
            board.store.feed().tell(Notice::Token { id: "x".into(), text: n.to_string() });
        }
        let event = events.next().await.expect("lives").expect("an event");
        assert_eq!((event.name.as_str(), event.data.as_str()), ("missed", r#"{"missed":476}"#));
        let event = events.next().await.expect("lives").expect("an event");
        assert!(event.data.contains("\"476\""), "{}", event.data);
    })
    .await;
}

#[tokio::test]
async fn one_watcher_over_the_bound_is_busy_until_another_leaves() {
    let board = Board::new(8);
    served(&board, false, unchanged, async |front| {
        let mut watchers = Vec::new();
        for _ in 0..MAX_WATCHERS {
            watchers.push(front.socket.events().await.expect("events"));
        }
        let Err(ClientError::Refused { code, .. }) = front.socket.events().await else {
            panic!("one too many was let in");
        };
        assert_eq!(code, "busy");
        front.tcp.events().await.expect("TCP has its own bound");
        watchers.pop();
        while front.socket.events().await.is_err() {}
    })
    .await;
}

#[tokio::test]
async fn one_connection_over_the_bound_is_told_so_and_commands_on_the_socket_still_pass() {
    let board = Board::new(8);
    served(&board, true, unchanged, async |front| {
        let request = format!("GET /health HTTP/1.1\r\nhost: {}\r\n\r\n", front.address);
        let mut connections = Vec::new();
        for _ in 0..MAX_CONNECTIONS {
            let mut stream = TcpStream::connect(front.address).await.expect("connected");
            stream.write_all(request.as_bytes()).await.expect("sent");
            let mut answer = [0; 15];
            stream.read_exact(&mut answer).await.expect("answered");
            assert_eq!(&answer, b"HTTP/1.1 200 OK");
            connections.push(stream);
        }
        let mut stream = TcpStream::connect(front.address).await.expect("connected");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("told and closed");
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.contains("too many connections"), "{answer}");
        let command = Command::from_text("turn on the pump");
        assert_eq!(front.socket.command(&command).await.expect("an outcome").status, Status::Done);
        connections.pop();
        while front.tcp.health().await.is_err() {}
    })
    .await;
}

#[tokio::test]
async fn health_says_what_is_lost_and_what_waits() {
    let board = Board::new(8);
    served(&board, true, unchanged, async |front| {
        let health = front.tcp.health().await.expect("health");
        assert_eq!(health["status"], "ok");
        assert_eq!(health["device"], "greenhouse-1");
        assert_eq!(health["model"]["state"], "ready");
        assert_eq!(health["outbox"], json!({"pending": 0, "oldest_seconds": 0, "dropped": 0}));
        front.tcp.command(&Command::from_text("turn on the pump")).await.expect("an outcome");
        board.health.lose("link", "no route");
        let health = front.socket.health().await.expect("health");
        assert_eq!(health["status"], "degraded");
        assert_eq!(health["degraded"][0]["component"], "link");
        assert_eq!(health["degraded"][0]["cause"], "no route");
        assert_eq!(health["outbox"]["pending"], 2, "the result and the action");
        board.health.regain("link", None);
        assert_eq!(front.tcp.health().await.expect("health")["status"], "ok");
    })
    .await;
}

#[tokio::test]
async fn metrics_readings_and_capabilities_can_be_read() {
    let board = Board::new(8);
    served(&board, false, unchanged, async |front| {
        let (status, head, body) = get(front.address, "/metrics").await;
        assert_eq!(status, 200);
        assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
        assert!(body.contains("\nagentd_outbox_pending 0\n"), "{body}");
        let readings = vec![("temperature".to_owned(), 21.5), ("humidity".to_owned(), 60.0)];
        board.store.readings(readings).await.expect("stored");
        let all = front.tcp.get("/api/readings").await.expect("readings");
        assert_eq!(all["hours"], 24);
        assert_eq!(all["sensors"][1]["sensor"], "temperature");
        assert_eq!(all["sensors"][1]["last"][1], 21.5);
        let one = front.tcp.get("/api/readings?hours=168&sensor=humidity").await.expect("readings");
        assert_eq!(one["sensors"].as_array().map(Vec::len), Some(1));
        for bad in ["hours=0", "hours=169", "hours=x", "days=1"] {
            let (status, _, body) = get(front.address, &format!("/api/readings?{bad}")).await;
            assert_eq!(status, 400, "{bad}: {body}");
        }
        let capabilities = front.tcp.get("/api/capabilities").await.expect("capabilities");
        assert_eq!(capabilities["tools"][0]["name"], "set_output");
        assert_eq!(get(front.address, "/nothing").await.0, 404);
        assert_eq!(get(front.address, "/api/command").await.0, 405);
    })
    .await;
}

#[tokio::test]
async fn the_page_takes_nothing_from_elsewhere() {
    let board = Board::new(8);
    served(&board, false, unchanged, async |front| {
        for (path, kind) in
            [("/", "text/html"), ("/kiosk.css", "text/css"), ("/kiosk.js", "text/javascript")]
        {
            let (status, head, body) = get(front.address, path).await;
            assert_eq!(status, 200);
            assert!(head.contains(&format!("content-type: {kind}; charset=utf-8")), "{head}");
            assert!(head.contains("content-security-policy: default-src 'none';"), "{head}");
            assert!(head.contains("x-content-type-options: nosniff"), "{head}");
            assert!(!head.contains("access-control-allow"), "{head}");
            // A name that is never looked up.
            let body = body.replace("http://www.w3.org/2000/svg", "");
            for elsewhere in ["http://", "https://", "src=\"//", "href=\"//", "url(", "@import"] {
                assert!(!body.contains(elsewhere), "{path} has {elsewhere}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_page_of_another_site_can_neither_command_nor_listen() {
    let board = Board::new(8);
    served(&board, true, unchanged, async |front| {
        let own = format!("host: {}", front.address);
        for (path, headers) in [
            ("POST /api/command", format!("{own}\r\norigin: https://evil.example")),
            ("POST /api/command", format!("{own}\r\norigin: null")),
            ("POST /api/command", format!("{own}\r\nsec-fetch-site: cross-site")),
            ("DELETE /api/command/x", format!("{own}\r\nsec-fetch-site: same-site")),
            ("GET /api/events", format!("{own}\r\nsec-fetch-site: cross-site")),
            ("POST /api/command", "host: evil.example".to_owned()),
            ("GET /", format!("host: evil.example:{}", front.address.port())),
        ] {
            let (status, _, body) =
                raw(front.address, &format!("{path} HTTP/1.1\r\n{headers}"), b"turn on the pump")
                    .await;
            assert_eq!(status, 403, "{path} {headers}: {body}");
        }
        assert_eq!(board.metrics.commands_accepted_total.get(), 0);
        let same =
            format!("{own}\r\norigin: http://{}\r\nsec-fetch-site: same-origin", front.address);
        let head = format!("POST /api/command HTTP/1.1\r\n{same}");
        assert_eq!(raw(front.address, &head, b"turn on the pump").await.0, 200);
    })
    .await;
}

#[tokio::test]
async fn with_a_token_only_the_page_is_shown_to_those_without() {
    let board = Board::new(8);
    let file = board.folder.path().join("token");
    std::fs::write(&file, TOKEN).expect("written");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&file, mode).expect("mode");
    let with_token = |config: &mut HttpConfig| {
        config.token_file = Some(file);
        config.listen = Some(([0, 0, 0, 0], 0).into());
    };
    served(&board, true, with_token, async |front| {
        let address = SocketAddr::from(([127, 0, 0, 1], front.address.port()));
        assert_eq!(get(address, "/").await.0, 200);
        for path in ["/health", "/metrics", "/api/events", "/api/readings", "/nothing"] {
            let (status, head, _) = get(address, path).await;
            assert_eq!(status, 401, "{path}");
            assert!(head.contains("www-authenticate: bearer"), "{head}");
        }
        assert_eq!(post(address, "/api/command", b"turn on the pump").await.0, 401);
        let tcp = Client::new(format!("http://{address}").parse().expect("a target"));
        let wrong = tcp.clone().with_token("0123456789abcdeg").health().await;
        assert!(matches!(wrong, Err(ClientError::Refused { ref code, .. }) if code == "no_token"));
        let command = Command::from_text("turn on the pump");
        let outcome = tcp.with_token(TOKEN).command(&command).await.expect("an outcome");
        assert_eq!(outcome.status, Status::Done);
        front.socket.health().await.expect("whoever may open the socket needs no token");
    })
    .await;
}

#[tokio::test]
async fn shutdown_ends_streams_and_waits_and_removes_the_socket() {
    let board = Board::new(8);
    let socket = board.folder.path().join("agentd.sock");
    served(&board, true, unchanged, async |front| {
        let mut events = front.socket.events().await.expect("events");
        let mut command = Command::from_text("never end");
        command.id = fresh_id();
        let stop = async {
            let first = events.next().await.expect("lives").expect("an event");
            assert_eq!(first.name, "accepted");
            front.shutdown.cancel();
            while events.next().await.expect("ended in order").is_some() {}
        };
        let (error, ()) = tokio::join!(front.tcp.command(&command), stop);
        let Err(ClientError::Refused { code, message }) = error else { panic!("{error:?}") };
        assert_eq!(code, "stopping");
        assert!(message.contains(&command.id), "{message}");
        while socket.exists() {
            tokio::task::yield_now().await;
        }
        let error = front.socket.health().await.expect_err("nobody is there").to_string();
        assert!(error.contains("start it with `agentd run`"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn a_second_daemon_is_told_of_the_first() {
    let board = Board::new(8);
    let config = |board: &Board| HttpConfig {
        listen: Some(([127, 0, 0, 1], 0).into()),
        socket: Some(board.folder.path().join("agentd.sock")),
        token_file: None,
    };
    let first = agentd::http::Http::bind(&config(&board), board.app()).await.expect("bound");
    let second = agentd::http::Http::bind(&config(&board), board.app()).await.err();
    assert!(matches!(second, Some(HttpError::AnotherRuns { .. })), "{second:?}");
    let taken = HttpConfig { listen: first.address(), socket: None, token_file: None };
    let third = agentd::http::Http::bind(&taken, board.app()).await.err();
    assert!(matches!(third, Some(HttpError::Listen { .. })), "{third:?}");
}
