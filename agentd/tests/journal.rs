//! What the daemon logs under systemd, read from the other end of the journal's socket.
//!
//! The socket's path is part of journald's protocol and cannot be chosen, so the test runs itself again
//! in a mount namespace of its own, with an empty `/run`. There it listens in journald's place, or starts
//! a journald of its own and asks `journalctl`. It needs `unshare`, the right to make user namespaces,
//! and the package systemd (not a running one); without them it fails, and does not pass.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use agentd::journal::{self, Destination};
use log::{LevelFilter, debug, info, warn};

const SOCKET: &str = "/run/systemd/journal/socket";
const INSIDE: &str = "AGENTD_TEST_INSIDE";

/// Runs `test` of this file again, with standard error in a file that `JOURNAL_STREAM` may name.
fn run_inside(test: &str, under_systemd: bool, log: Option<&str>) -> (Output, String) {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let status = File::metadata(file.as_file()).expect("its metadata");
    let stream = if under_systemd {
        format!("{}:{}", status.dev(), status.ino())
    } else {
        format!("{}:{}", status.dev(), status.ino() + 1)
    };
    let mut command = Command::new("unshare");
    command
        .args(["--map-root-user", "--mount", "--", "sh", "-c"])
        .arg("mount -t tmpfs tmpfs /run && exec \"$@\"")
        .arg("sh")
        .arg(std::env::current_exe().expect("this test's path"))
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .env("JOURNAL_STREAM", stream)
        .env_remove(journal::LOG_VARIABLE)
        .stderr(file.reopen().expect("the same file"));
    if let Some(log) = log {
        command.env(journal::LOG_VARIABLE, log);
    }
    let output = command.output().expect("unshare runs (package util-linux)");
    let stderr = std::fs::read_to_string(file.path()).expect("what was written to standard error");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "inside: {stdout}\n{stderr}");
    assert!(stdout.contains("1 passed"), "the test ran inside: {stdout}");
    (output, stderr)
}

fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// A journald that only listens.
struct Journald(UnixDatagram);

impl Journald {
    fn start() -> Self {
        std::fs::create_dir_all("/run/systemd/journal").expect("a folder in the namespace's /run");
        let socket = UnixDatagram::bind(SOCKET).expect("nobody else listens in the namespace");
        socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a deadline");
        Self(socket)
    }

    /// The next entry by field; datagrams without fields, which journald drops, are passed over.
    #[track_caller]
    fn next(&self) -> BTreeMap<String, String> {
        let mut datagram = [0; 16 * 1024];
        loop {
            let length = self.0.recv(&mut datagram).expect("an entry within the deadline");
            if length > 0 {
                return fields(&datagram[..length]);
            }
        }
    }
}

/// The fields of one datagram: `NAME=value\n`, or `NAME\n`, the value's length as eight bytes with the
/// lowest first, the value, `\n`. Source: systemd.io, "Native Journal Protocol".
#[track_caller]
fn fields(mut datagram: &[u8]) -> BTreeMap<String, String> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    let mut fields = BTreeMap::new();
    while !datagram.is_empty() {
        let end = datagram.iter().position(|b| *b == b'\n').expect("a line ends");
        let (line, rest) = (&datagram[..end], &datagram[end + 1..]);
        let (name, value);
        if let Some(equals) = line.iter().position(|b| *b == b'=') {
            (name, value) = (text(&line[..equals]), text(&line[equals + 1..]));
            datagram = rest;
        } else {
            let (length, rest) = rest.split_first_chunk::<8>().expect("a length");
            let (bytes, rest) = rest.split_at(u64::from_le_bytes(*length) as usize);
            (name, value) = (text(line), text(bytes));
            datagram = rest.strip_prefix(b"\n").expect("a value ends its line");
        }
        assert!(
            !name.starts_with('_') && name.len() <= 64,
            "journald would drop the field {name:?}"
        );
        assert_eq!(fields.insert(name.clone(), value), None, "{name} is given once");
    }
    fields
}

#[test]
fn a_line_under_systemd_is_an_entry_that_is_found_by_its_command_id() {
    if !is_inside() {
        let name = "a_line_under_systemd_is_an_entry_that_is_found_by_its_command_id";
        let (_, stderr) = run_inside(name, true, None);
        assert!(!stderr.contains("command admitted"), "nothing is written twice: {stderr}");
        return;
    }
    let journald = Journald::start();
    let destination = journal::init("agentd-test", LevelFilter::Info).unwrap();
    assert_eq!(destination, Destination::Journal);

    let (id, waiting) = ("0198-7f", 3);
    info!(command_id:% = id, waiting = waiting; "command admitted");
    debug!("this is below the level and must not arrive");
    warn!(cause:% = "first line\nMESSAGE=forged\nlast line"; "degraded");

    let entry = journald.next();
    assert_eq!(entry["COMMAND_ID"], "0198-7f");
    assert_eq!(entry["WAITING"], "3");
    assert_eq!(entry["MESSAGE"], "command admitted");
    assert_eq!(entry["SYSLOG_IDENTIFIER"], "agentd-test");
    assert_eq!(entry["PRIORITY"], "5", "notice");
    let entry = journald.next();
    assert_eq!(entry["MESSAGE"], "degraded", "a value cannot forge a field");
    assert_eq!(entry["CAUSE"], "first line\nMESSAGE=forged\nlast line");
    assert_eq!(entry["PRIORITY"], "4", "warning");
}

#[test]
fn the_variable_filters_the_journal_by_module() {
    if !is_inside() {
        let name = "the_variable_filters_the_journal_by_module";
        run_inside(name, true, Some("warn,agentd::link=debug"));
        return;
    }
    let journald = Journald::start();
    journal::init("agentd-test", LevelFilter::Info).unwrap();
    info!(target: "agentd::store", "below its level");
    debug!(target: "agentd::link", "within its level");
    let entry = journald.next();
    assert_eq!((&*entry["MESSAGE"], &*entry["TARGET"]), ("within its level", "agentd::link"));
}

#[test]
fn a_daemon_started_by_hand_logs_to_its_terminal_with_the_keys_shown() {
    if !is_inside() {
        let name = "a_daemon_started_by_hand_logs_to_its_terminal_with_the_keys_shown";
        let (_, stderr) = run_inside(name, false, None);
        assert!(stderr.contains("command admitted command_id=0198-7f said=20 °C\n"), "{stderr}");
        assert!(stderr.contains(r"degraded cause=it broke\n[ERROR] forged\u{1b}[2J"), "{stderr}");
        assert!(!stderr.contains('\u{1b}'), "a value cannot drive the terminal: {stderr}");
        return;
    }
    // JOURNAL_STREAM is inherited from the session and names another stream than standard error.
    let _journald = Journald::start();
    assert_eq!(journal::init("agentd-test", LevelFilter::Info).unwrap(), Destination::Stderr);
    info!(command_id:% = "0198-7f", said:% = "20 °C"; "command admitted");
    warn!(cause:% = "it broke\n[ERROR] forged\u{1b}[2J"; "degraded");
}

#[test]
fn where_journald_does_not_answer_the_lines_go_to_the_stream_and_say_so() {
    if !is_inside() {
        let name = "where_journald_does_not_answer_the_lines_go_to_the_stream_and_say_so";
        let (_, stderr) = run_inside(name, true, None);
        assert!(stderr.contains("the journal's socket does not answer"), "{stderr}");
        assert!(stderr.contains("command admitted command_id=0198-7f"), "{stderr}");
        return;
    }
    assert_eq!(journal::init("agentd-test", LevelFilter::Info).unwrap(), Destination::Stderr);
    info!(command_id:% = "0198-7f"; "command admitted");
}

/// A program that is ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is gone after this.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn journalctl_finds_the_lines_of_one_command() {
    if !is_inside() {
        run_inside("journalctl_finds_the_lines_of_one_command", true, None);
        return;
    }
    std::fs::create_dir_all("/run/log/journal").unwrap();
    std::fs::create_dir_all("/run/systemd/journal").unwrap();
    let journald = Command::new("/lib/systemd/systemd-journald").spawn();
    let _journald = Running(journald.expect("journald starts (package systemd)"));
    let deadline = Instant::now() + Duration::from_secs(20);
    while UnixDatagram::unbound().and_then(|s| s.send_to(&[], SOCKET)).is_err() {
        assert!(Instant::now() < deadline, "journald listens");
        std::thread::yield_now();
    }

    assert_eq!(journal::init("agentd", LevelFilter::Info).unwrap(), Destination::Journal);
    info!(command_id:% = "0198-80"; "of another command");
    info!(command_id:% = "0198-7f"; "command admitted");

    // `--follow` prints the line when journald has written it, however long that takes.
    let mut follow = Command::new("journalctl")
        .args(["--directory=/run/log/journal", "--follow", "--no-tail", "--merge"])
        .args(["--output=short", "COMMAND_ID=0198-7f"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("journalctl starts (package systemd)");
    let lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    let _follow = Running(follow);
    let (found, finds) = mpsc::channel();
    // The thread ends with the pipe, when journalctl is ended.
    std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| found.send(line)));
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let line = finds.recv_timeout(left).expect("journalctl finds the line by the deadline");
        // journalctl puts lines of its own between dashes, such as "-- Journal begins at ... --".
        if !line.starts_with("--") {
            assert!(line.contains(" agentd[") && line.ends_with(": command admitted"), "{line}");
            break;
        }
    }
}
