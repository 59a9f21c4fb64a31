//! How many commands a second are stored, and how fast a long outbox drains: beside mosquitto's own bridge,
//! which moves as many messages of the same size, from the same kind of queue, in the same run.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use agentd::command::Command;
use agentd::feed::Feed;
use agentd::link::broker::EmbeddedBroker;
use agentd::store::{Origin, Store, StoreConfig};
use agentd_tests::{DEVICE, Machine, NO_MODEL, Setting};
use futures_util::future::join_all;
use serde_json::{Map, Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command as Process};

use super::latency::memory;

/// Senders at a time: about what two links and a few front-ends make.
const SENDERS: usize = 32;
/// The most messages that mosquitto's bridge is given. Of more than 65 535 that wait it loses all but those of the
/// last turn of its 16-bit packet ids (2.0.21: 68 934 of 200 000 arrived).
const BRIDGED: usize = 60_000;
/// The longest that anything here may take.
const LIMIT: Duration = Duration::from_secs(1800);

fn store(path: &Path, rows: usize) -> Store {
    let config = StoreConfig {
        path: path.into(),
        outbox_rows: u32::try_from(rows + 1000).unwrap_or(u32::MAX),
        outbox_mib: 4096,
        ..StoreConfig::default()
    };
    let waiting = u32::try_from(rows).unwrap_or(u32::MAX);
    Store::open(&config, waiting, Feed::default()).expect("a store").store
}

/// Durable accepts a second: each is committed before it is answered. One sender at a time is what every
/// commit costs alone; many share it.
pub(super) async fn accepts(commands: usize) -> Map<String, Value> {
    let folder = on_disk();
    let store = store(&folder.path().join("agentd.db"), commands * 2);
    let accept = async || {
        let origin = Origin { source: "bench".into(), ..Origin::default() };
        store.accept(Command::from_text("turn on the pump"), origin).await.expect("stored");
    };
    let begun = Instant::now();
    for _ in 0..commands / 10 {
        accept().await;
    }
    let alone = (commands / 10) as f64 / begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    let sender = async || {
        for _ in 0..commands / SENDERS {
            accept().await;
        }
    };
    join_all((0..SENDERS).map(|_| sender())).await;
    let together = (commands / SENDERS * SENDERS) as f64 / begun.elapsed().as_secs_f64();
    Map::from_iter([(
        "durable_accepts_per_second".to_owned(),
        json!({"one_sender": alone.round(), "senders_32": together.round()}),
    )])
}

/// A folder on a disk: that of temporary files may be in memory.
fn on_disk() -> tempfile::TempDir {
    let program = std::env::current_exe().expect("this program has a path");
    tempfile::tempdir_in(program.parent().expect("it is in a folder")).expect("a folder")
}

/// A long outbox: how soon the daemon starts with it, how fast it drains and what memory it takes, beside
/// the bridge.
pub(super) async fn measure(rows: usize) -> Map<String, Value> {
    let ours = ours(rows).await;
    let bridge = bridge(rows.min(BRIDGED)).await;
    let ratio = |key: &str| {
        ours[key].as_f64().unwrap_or(0.0) / bridge["per_second"].as_f64().unwrap_or(1.0)
    };
    let ratio = (ratio("per_second") * 100.0).round() / 100.0;
    Map::from_iter([
        ("outbox_drain".to_owned(), ours),
        ("mosquitto_bridge".to_owned(), bridge),
        ("drain_ratio".to_owned(), json!({"ours_to_bridge": ratio})),
    ])
}

async fn ours(rows: usize) -> Value {
    let folder = on_disk();
    let disk = folder.path().join("disk");
    std::fs::create_dir_all(&disk).expect("a folder");
    let (database, size) = (disk.join("agentd.db"), payload().len());
    {
        let store = store(&database, rows);
        let event = async || {
            for _ in 0..rows / SENDERS {
                let fields = Map::from_iter([("text".to_owned(), Value::from(payload()))]);
                store.event("bench", fields).await.expect("stored");
            }
        };
        join_all((0..SENDERS).map(|_| event())).await;
    }
    let rows = rows / SENDERS * SENDERS;
    let broker = EmbeddedBroker::start(&folder.path().join("sink"), 0).await.expect("mosquitto");
    let topic = format!("agentd/{DEVICE}/event/bench");
    let sink = Sink::listen(folder.path(), broker.port(), &topic, rows).await;
    let config = format!("{NO_MODEL}[mqtt]\nurl = \"mqtt://127.0.0.1:{}\"\n", broker.port());
    let store = format!("outbox_rows = {}\noutbox_mib = 4096\n", rows + 1000);
    let setting = Setting { folder: Some(folder), config, store, ..Setting::default() };
    let machine = Machine::start(setting).await;
    let mut most = 0.0_f64;
    let mut arrived = Box::pin(sink.all());
    let took = loop {
        tokio::select! {
            took = &mut arrived => break took,
            // Seldom, because the kernel walks all its pages for it.
            () = tokio::time::sleep(Duration::from_secs(1)) => {
                most = most.max(memory(machine.daemon_pid()).1);
            }
        }
    };
    let ready = machine.ready_after.as_secs_f64() * 1e3;
    json!({
        "rows": rows, "payload_bytes": size, "per_second": (rows as f64 / took.as_secs_f64()).round(),
        "start_to_ready_ms": (ready * 10.0).round() / 10.0, "peak_pss_mib": most,
    })
}

/// mosquitto's bridge with as many messages queued for a broker that comes back.
async fn bridge(rows: usize) -> Value {
    let rows = rows / SENDERS * SENDERS;
    let folder = on_disk();
    let target = EmbeddedBroker::start(&folder.path().join("target"), 0).await.expect("mosquitto");
    let port = target.port();
    let sink = Sink::listen(folder.path(), port, "bench", rows).await;
    // It is away while the messages come in, so that all of them are queued.
    target.stop().await;
    let source = folder.path().join("source.conf");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let from = listener.local_addr().expect("its address").port();
    drop(listener);
    let text = format!(
        "listener {from} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\npersistence true\n\
         persistence_location {}/\nmax_queued_messages 0\nuser root\nconnection up\n\
         address 127.0.0.1:{port}\ntopic bench out 1\ncleansession false\nrestart_timeout 1\n",
        folder.path().display(),
    );
    std::fs::write(&source, text).expect("written");
    let mosquitto = Process::new("mosquitto")
        .env("PATH", path())
        .arg("-c")
        .arg(&source)
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("mosquitto starts");
    publish(from, rows).await;
    let back = EmbeddedBroker::start(&folder.path().join("target"), port).await;
    let took = sink.all().await;
    drop((mosquitto, back));
    json!({"rows": rows, "per_second": (rows as f64 / took.as_secs_f64()).round()})
}

fn path() -> String {
    format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default())
}

fn payload() -> String {
    "x".repeat(100)
}

/// Publishes messages of the size that ours have on the wire.
async fn publish(port: u16, rows: usize) {
    let event = json!({
        "event_id": agentd::command::fresh_id(), "seq": rows, "at": agentd::command::now(),
        "text": payload(),
    });
    let connected = async || tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok();
    while !connected().await {
        tokio::task::yield_now().await;
    }
    let mut child = Process::new("mosquitto_pub")
        .args(["-p", &port.to_string(), "-q", "1", "-t", "bench", "-l"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("mosquitto_pub starts");
    let mut lines = child.stdin.take().expect("its input");
    let line = format!("{event}\n");
    for _ in 0..rows {
        lines.write_all(line.as_bytes()).await.expect("written");
    }
    drop(lines);
    child.wait().await.expect("it ends");
}

/// Somebody who counts messages: mosquitto's own client, which knows nothing of us. It writes when each came
/// to a file, in large pieces, so that counting takes little from what is measured.
struct Sink {
    child: Child,
    arrivals: PathBuf,
}

impl Sink {
    async fn listen(folder: &Path, port: u16, topic: &str, rows: usize) -> Self {
        let (port, rows) = (port.to_string(), rows.to_string());
        let client = || {
            let mut client = Process::new("mosquitto_sub");
            client.args(["-p", &port, "-q", "1", "-c", "-i", "bench-sink", "-t", topic]);
            client
        };
        // From here on the broker keeps for it what it has not got.
        let subscribed = client().arg("-E").status().await.expect("mosquitto_sub runs");
        assert!(subscribed.success(), "{subscribed}");
        let arrivals = folder.join("arrivals");
        let file = std::fs::File::create(&arrivals).expect("a file");
        let child = client()
            .args(["-C", &rows, "-F", "%U"])
            .stdout(file)
            .kill_on_drop(true)
            .spawn()
            .expect("mosquitto_sub starts");
        Self { child, arrivals }
    }

    /// Waits for the last message. Returns the time from the first to the last.
    async fn all(mut self) -> Duration {
        let ended = tokio::time::timeout(LIMIT, self.child.wait()).await;
        assert!(ended.expect("all messages come").expect("it ends").success());
        let arrivals = std::fs::read_to_string(&self.arrivals).expect("its file");
        let mut times = arrivals.lines().filter_map(|line| line.parse::<f64>().ok());
        let first = times.next().expect("one message came");
        Duration::from_secs_f64((times.next_back().unwrap_or(first) - first).max(1e-6))
    }
}
