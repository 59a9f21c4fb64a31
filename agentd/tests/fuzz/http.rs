//! Heads and bodies of HTTP, through the real server over its Unix socket.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::board::Board;
use super::driver::{Target, Verdict, texts};

/// How long the server is given to find a damaged request whole before the sender hangs up.
const WHOLE: Duration = Duration::from_millis(20);
/// The server must have answered, or hung up, by then.
const PATIENCE: Duration = Duration::from_secs(20);

fn request(method: &str, path: &str, body: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nhost: board\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Sends the bytes and gives all that comes back. After `whole` without an answer it hangs up.
fn exchange(socket: &Path, bytes: &[u8], whole: Duration) -> Vec<u8> {
    let mut stream = UnixStream::connect(socket).expect("the server listens");
    stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_read_timeout(Some(whole)).expect("a timeout");
    // A server that has said no already need not read the rest.
    let _ = stream.write_all(bytes);
    let (mut answer, mut chunk, mut open) = (Vec::new(), [0; 8192], true);
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => return answer,
            Ok(n) => answer.extend_from_slice(&chunk[..n]),
            Err(e) if e.kind() == ErrorKind::WouldBlock && open => {
                open = false;
                let _ = stream.shutdown(std::net::Shutdown::Write);
                stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
            }
            Err(e) if e.kind() == ErrorKind::ConnectionReset => return answer,
            Err(e) => panic!("it neither answers nor hangs up: {e}"),
        }
    }
}

#[test]
fn whatever_comes_over_http_is_answered_or_hung_up_on_and_the_server_lives() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let board = Board::new(100_000);
    let socket = board.folder.path().join("agentd.sock");
    let http = runtime.block_on(board.http(|config| config.listen = None));
    let server = runtime.spawn(http.run(CancellationToken::new()));
    let command = r#"{"id":"a1","text":"turn on the pump"}"#;
    let target = Target {
        name: "http",
        corpus: texts(&[
            &request("GET", "/health", ""),
            &request("GET", "/metrics", ""),
            &request("GET", "/", ""),
            &request("GET", "/api/readings?sensor=temperature&hours=24", ""),
            &request("POST", "/api/command?wait=0", command),
            &request("DELETE", "/api/command/a1", ""),
            &request("GET", "/api/command/a%2f1%00", ""),
            &request("POST", "/api/command/a1/approve", r#"{"approve":true,"by":"ada"}"#),
        ]),
        words: &[
            "transfer-encoding: chunked\r\n",
            "content-length: 99999999999999999999\r\n",
            "\r\n\r\n",
            "HTTP/1.0",
            "HTTP/9.9",
            "expect: 100-continue\r\n",
            "%",
            "%ff",
            "?wait=0",
            "?",
            "../",
            "upgrade: h2c\r\n",
            "ffffffffffffffff\r\n",
            "0\r\n\r\n",
            "POST ",
            "host:",
        ],
        one_in: 10,
    };
    target.run(|bytes| {
        let good = target.corpus.iter().any(|good| good == bytes);
        let answer = exchange(&socket, bytes, if good { PATIENCE } else { WHOLE });
        assert!(!server.is_finished(), "the server has ended");
        if answer.is_empty() {
            return Verdict::Refused;
        }
        let head = answer.strip_prefix(b"HTTP/1.").expect("an answer of HTTP");
        let status = head.get(2..5).expect("a status");
        assert_ne!(status, b"500", "{}", String::from_utf8_lossy(&answer));
        let understood = status[0] == b'2' || matches!(status, b"404" | b"409");
        if understood { Verdict::Accepted } else { Verdict::Refused }
    });
    let answer = exchange(&socket, request("GET", "/health", "").as_bytes(), PATIENCE);
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
}
