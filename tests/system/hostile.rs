//! Devices, brokers and senders that do their worst: the daemon stays small, honest and ready.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use agentd::command::{Command, Outcome, Status};
use agentd_tests::memory::Memory;
use agentd_tests::raw::{self, Packet};
use agentd_tests::rude::RudeBoard;
use agentd_tests::{DEVICE, Machine, NO_MODEL, PATIENCE, Setting};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::time::timeout;

/// How much more memory the daemon may ever have taken than it had before something hostile began. The
/// messages that the link holds are at most 64 of 64 KiB; the rest is what the allocator keeps and SQLite's
/// caches.
const MOST_MORE_KIB: u64 = 12 * 1024;

#[track_caller]
fn stayed_small(what: &str, before: Memory, after: Memory) {
    println!("{what}: {before:?}, then {after:?}");
    let most = before.peak_kib + MOST_MORE_KIB;
    assert!(after.peak_kib <= most, "{what}: {before:?}, then {after:?}");
}

/// A machine with a valve on a rude board, beside its greenhouse.
async fn with_valve(
    late_ms: u64,
    answer: impl FnMut(&str) -> Vec<u8> + Send + 'static,
) -> (Machine, RudeBoard) {
    let folder = tempfile::tempdir().expect("a folder");
    let link = folder.path().join("rude");
    let board = RudeBoard::plug_in(&link, answer).expect("a pseudo-terminal");
    let setting =
        Setting { config: valve(&link, late_ms), folder: Some(folder), ..Setting::default() };
    (Machine::start(setting).await, board)
}

fn valve(link: &Path, late_ms: u64) -> String {
    format!(
        "{NO_MODEL}[[serial]]\nname = \"rude\"\npath = \"{}\"\nlate_ms = {late_ms}\n\
         [[tool]]\nname = \"set_valve\"\ndescription = \"open or shut the valve\"\n\
         kind = \"serial\"\nport = \"rude\"\neffect = \"acts\"\n\
         params.state = {{ enum = [\"open\", \"shut\"] }}\nsend = \"VALVE {{state}}\"\n\
         expect = \"^OK$\"\nfail = \"^ERR (?P<reason>.*)$\"\nreply = \"The valve is {{state}}.\"\n\
         sentences = [\"valve {{state}}\"]\ntimeout_ms = 2000\n",
        link.display()
    )
}

fn code(outcome: &Outcome) -> Option<&str> {
    outcome.error.as_ref().map(|error| error.code.as_str())
}

#[tokio::test]
async fn garbage_half_lines_and_megabytes_of_a_device_are_told_and_the_next_exchange_works() {
    let noise: Vec<u8> =
        (0..4096_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let answers = [
        ([noise.as_slice(), b"\n"].concat(), "unexpected_answer"),
        (b"O".to_vec(), "no_answer"),
        (vec![b'x'; 16 << 20], "no_answer"),
        (b"OK\n".repeat(1000), ""),
    ];
    let mut next = answers.clone().into_iter().flat_map(|(answer, _)| [answer, b"OK\n".to_vec()]);
    let (machine, board) = with_valve(0, move |_| next.next().unwrap_or_default()).await;
    let before = machine.memory();
    for (answer, expected) in answers {
        let what = format!("{} bytes of {:?}", answer.len(), &answer[..1]);
        let outcome = machine.ask("valve open").await;
        assert_eq!(code(&outcome).unwrap_or_default(), expected, "{what}: {}", outcome.text);
        if !expected.is_empty() {
            assert_eq!(outcome.status, Status::Failed);
            assert!(outcome.text.contains("not known"), "{what}: {}", outcome.text);
        }
        machine.until("the board has said all", async |_| board.has_said_all()).await;
        let outcome = machine.ask("valve shut").await;
        assert_eq!(outcome.status, Status::Done, "after {what}: {}", outcome.text);
        stayed_small(&what, before, machine.memory());
    }
    assert_eq!(board.heard().len(), 8, "each command was sent once");
}

#[tokio::test]
async fn a_late_ok_is_not_taken_for_the_answer_to_the_next_command() {
    let late = Arc::new(AtomicBool::new(false));
    let has_come = late.clone();
    // As a slow device would: it answers in turn, and refuses the second request.
    let (machine, board) = with_valve(600_000, move |line| match line {
        "VALVE open" => Vec::new(),
        _ if has_come.load(Ordering::Relaxed) => b"ERR stuck\n".to_vec(),
        _ => b"OK\nERR stuck\n".to_vec(),
    })
    .await;
    let opened = machine.ask("valve open").await;
    assert_eq!((opened.status, code(&opened)), (Status::Failed, Some("no_answer")));
    late.store(true, Ordering::Relaxed);
    let (shut, ()) = tokio::join!(machine.ask("valve shut"), async {
        machine.until("it is taken in", async |m| m.metric("agentd_calls_total").await >= 2).await;
        board.says(b"OK\n");
    });
    assert_eq!(code(&shut), Some("refused"), "{}", shut.text);
    assert!(shut.text.contains("stuck"), "{}", shut.text);
    assert_eq!(board.heard(), ["VALVE open", "VALVE shut"]);
}

#[tokio::test]
async fn names_over_which_a_broker_would_hang_up_are_refused_and_the_link_stays_up() {
    let setting = Setting { mqtt: Some(5), config: NO_MODEL.into(), ..Setting::default() };
    let machine = Machine::start(setting).await;
    let command = |id: &str, reply_to: Option<String>| {
        let reply_to = reply_to.unwrap_or_else(|| "replies/7".into());
        let text = Command::from_text("turn on the pump");
        Command { id: id.into(), reply_to: Some(reply_to), ..text }
    };
    for (what, bad) in [
        ("a noncharacter in the id", command("a\u{fffe}", None)),
        ("a noncharacter in the topic", command("b", Some("replies/\u{fdd0}".into()))),
        ("more levels than mosquitto takes", command("c", Some("/".repeat(250)))),
        (
            "where this device takes commands",
            command("d", Some(format!("agentd/{DEVICE}/command"))),
        ),
        ("where another device says how it is", command("e", Some("agentd/other/status".into()))),
    ] {
        let outcome = machine.client.command(&bad).await.expect(what);
        assert_eq!((outcome.status, code(&outcome)), (Status::Denied, Some("bad_field")), "{what}");
    }
    assert!(machine.greenhouse.actions().is_empty(), "nothing was done");
    let good = machine.client.command(&command("é 7", None)).await.expect("an outcome");
    assert_eq!(good.status, Status::Done, "{}", good.text);
    assert_eq!(machine.say("turn off the pump").await.status, Status::Done);
    machine.until("the outbox drains", async |m| m.health().await["outbox"]["pending"] == 0).await;
    assert_eq!(machine.metric("agentd_link_connects_total").await, 1, "it was never lost");
}

#[tokio::test]
async fn a_subscriber_that_never_acknowledges_does_not_hold_the_daemon_up() {
    let setting = Setting { mqtt: Some(5), config: NO_MODEL.into(), ..Setting::default() };
    let machine = Machine::start(setting).await;
    let port = machine.broker.as_ref().expect("a broker").port();
    let (mut reader, _writer) = raw::subscriber(port, &format!("agentd/{DEVICE}/#"), 1).await;
    let before = machine.memory();
    for n in 0..100 {
        let state = if n % 2 == 0 { "on" } else { "off" };
        assert_eq!(machine.say(&format!("turn {state} the pump")).await.status, Status::Done);
    }
    machine.until("the outbox drains", async |m| m.health().await["outbox"]["pending"] == 0).await;
    let packet = timeout(PATIENCE, Packet::read(&mut reader)).await.expect("in time");
    let packet = packet.expect("a packet");
    assert_eq!((packet.kind(), packet.head & 0x06), (raw::PUBLISH, 0x02), "it owes a PUBACK");
    assert!(machine.degraded("link").await.is_none());
    stayed_small("a deaf subscriber", before, machine.memory());
}

/// A broker that reads so many packets of a session, answers all but the last, and hangs up.
async fn serve_some(listener: &TcpListener, packets: usize) {
    let (mut stream, _) = listener.accept().await.expect("a connection");
    for n in 1..=packets {
        let packet = Packet::read(&mut stream).await.expect("a packet");
        let answer = match n {
            1 => raw::CONNACK.to_vec(),
            // SUBACK with the packet's id, and QoS 1 for each of the three topics.
            2 => [&[0x90, 5], &packet.body[..2], &[1, 1, 1]].concat(),
            _ => Vec::new(),
        };
        if n < packets {
            stream.write_all(&answer).await.expect("it is sent");
        }
    }
}

#[tokio::test]
async fn a_broker_that_hangs_up_after_each_packet_is_not_run_down_and_local_commands_act() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let config = format!("{NO_MODEL}[mqtt]\nurl = \"mqtt://127.0.0.1:{port}\"\nprotocol = 4\n");
    let started = Machine::start(Setting { config, ..Setting::default() });
    let broker = async {
        serve_some(&listener, 0).await;
        let begun = Instant::now();
        for packets in 1..5 {
            serve_some(&listener, packets).await;
        }
        begun.elapsed()
    };
    let local = async {
        let machine = started.await;
        let before = machine.memory();
        for n in 0..20 {
            let state = if n % 2 == 0 { "on" } else { "off" };
            let outcome = machine.ask(&format!("turn {state} the pump")).await;
            assert_eq!(outcome.status, Status::Done, "{}", outcome.text);
        }
        (machine, before)
    };
    let ((machine, before), took) = tokio::join!(local, timeout(PATIENCE, broker));
    let took = took.expect("it comes again");
    println!("four more connects took {took:?}");
    // The waits between them are at least half of 0.5, 1, 2 and 4 s.
    assert!(took >= Duration::from_millis(3750), "four more connects within {took:?}");
    machine.until("health tells", async |m| m.degraded("link").await.is_some()).await;
    assert_eq!(machine.greenhouse.actions().len(), 20);
    stayed_small("a broker that hangs up", before, machine.memory());
}

/// A payload of the flood: good commands, commands that are wrong, and noise.
fn flood_payload(n: u32) -> Vec<u8> {
    match n % 8 {
        0 | 1 => format!("{{\"id\":\"flood-{n}\",\"text\":\"turn off the pump\"}}").into_bytes(),
        2 => format!("{{\"id\":\"wrong-{n}\",\"text\":\"x\",\"colour{n}\":1}}").into_bytes(),
        3 => format!("{{\"id\":\"deep-{n}\",\"call\":{}", "[".repeat(300)).into_bytes(),
        4 => vec![0xff; 200],
        5 => vec![b'{'; 1000],
        6 => format!("{{\"id\":\"{n}/+\",\"text\":\"x\"}}").into_bytes(),
        _ => Vec::new(),
    }
}

/// Sends this many messages, ten thousand a second, and waits until the broker has them all.
async fn flood(port: u16, messages: u32) -> Duration {
    const EACH_TICK: u32 = 100;
    let (mut reader, mut writer) = raw::connect(port, "flood").await;
    let topic = format!("agentd/{DEVICE}/command");
    let begun = Instant::now();
    let send = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        for tick in 0..messages / EACH_TICK {
            ticks.tick().await;
            let numbers = tick * EACH_TICK..(tick + 1) * EACH_TICK;
            let packets = numbers.map(|n| {
                let id = u16::try_from(n % 60_000 + 1).expect("a packet id");
                Packet::publish(&topic, id, &flood_payload(n))
            });
            writer.write_all(&packets.collect::<Vec<_>>().concat()).await.expect("it is sent");
        }
    };
    let taken = async {
        for _ in 0..messages {
            let answer = Packet::read(&mut reader).await.expect("PUBACK");
            assert_eq!(answer.kind(), raw::PUBACK);
        }
    };
    tokio::join!(send, taken);
    begun.elapsed()
}

#[tokio::test]
async fn a_flood_is_refused_honestly_in_bounded_memory_and_leaves_nothing_behind() {
    const MESSAGES: u32 = 4000;
    const WAITING: u64 = 256;
    let setting = Setting { mqtt: Some(5), config: NO_MODEL.into(), ..Setting::default() };
    let machine = Machine::start(setting).await;
    let port = machine.broker.as_ref().expect("a broker").port();
    let observer = machine.observer.as_ref().expect("an observer");
    let count = async |name: &str| machine.metric(&format!("agentd_commands_{name}_total")).await;
    let taken = async || count("accepted").await + count("refused").await;
    let note = || Command { user: Some("ada".into()), ..Command::from_text("note a flood") };
    // What the flood's sender asks for waits behind a command whose device does not answer.
    machine.greenhouse.set_silent(true);
    observer.command("first", "turn on the pump").await.expect("it is sent");
    machine.until("it is sent", async |m| m.greenhouse.actions().len() == 1).await;
    let before = machine.memory();
    let (flooded, local) = tokio::join!(flood(port, MESSAGES), async {
        machine.until("it has begun", async |_| taken().await > 1).await;
        let begun = Instant::now();
        (machine.client.command(&note()).await.expect("an answer"), begun.elapsed())
    });
    let ended = Instant::now();
    let mut seen = taken().await;
    while seen < u64::from(MESSAGES) + 2 {
        machine.until("more is taken in", async |_| taken().await > seen).await;
        seen = taken().await;
    }
    let all_taken = ended.elapsed();
    // The last good one of the flood came when many waited.
    let last = format!("flood-{}", MESSAGES - 7);
    let refused = observer.outcome(&last, PATIENCE).await.expect("a refusal");
    assert_eq!((refused.status, code(&refused)), (Status::Denied, Some("busy")));
    let accepted = count("accepted").await;
    assert!(accepted - count("finished").await <= WAITING, "no more than may wait");
    machine.greenhouse.set_silent(false);
    machine
        .until("somebody else is served", async |m| {
            let outcome = m.client.command(&note()).await.expect("an answer");
            outcome.status == Status::Done
        })
        .await;
    let served = ended.elapsed();
    machine
        .until("all that was accepted has ended", async |_| {
            count("accepted").await == count("finished").await
        })
        .await;
    machine.until("the outbox drains", async |m| m.health().await["outbox"]["pending"] == 0).await;
    println!(
        "{MESSAGES} messages in {flooded:?}; {} accepted, {} refused; a local command meanwhile took \
         {:?}; after the flood's end all taken in at {all_taken:?}, a command done at {served:?}, the \
         outbox empty at {:?}",
        count("accepted").await,
        count("refused").await,
        local.1,
        ended.elapsed(),
    );
    let busy = local.0.status == Status::Denied && code(&local.0) == Some("busy");
    assert!(busy || local.0.status == Status::Done, "{}", local.0.text);
    stayed_small("a flood", before, machine.memory());
    assert!(machine.degraded("store").await.is_none());
    assert!(machine.degraded("link").await.is_none());
}
