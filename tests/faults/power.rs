//! Power cuts: a daemon works under strace, and from what it wrote and synced every disk is made that a
//! cut could have left. Each is opened as the daemon would open it, and must agree with what the world had
//! been told by then.
//!
//! ```text
//!  strace ──> Call, Call, Sync, Call ...       what the world knew, and when:
//!                        │                       acknowledged commands, the board's actions, PUBACKs
//!                        v  at every sync                        │
//!             Files::images ──> Store::open ──> Books ───────> judge
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use agentd::command::Command;
use agentd::feed::Feed;
use agentd::store::{Store, StoreConfig};
use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::books::{Books, number};
use crate::crash::{Files, Image};
use crate::disk::Disk;
use crate::machine::{Machine, until};
use crate::mqtt::Kind;
use crate::oracle::{self, Given};
use crate::plan::{Order, Plan, Step, Way, What};
use crate::proxy::Tapped;
use crate::random::Random;
use crate::trace::{self, Deed, Part};
use crate::traffic;

/// Images in which only some of what was written is there, at each sync.
const SOME: usize = 2;
/// What crosses the network takes so long, so that there is time between a PUBLISH and its PUBACK.
const NETWORK: Duration = Duration::from_millis(10);
/// Violations that are told in full.
const TOLD: usize = 20;
/// What the trace's files are called.
const TRACE: &str = "trace";

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct PowerReport {
    pub(crate) seed: u64,
    pub(crate) syncs: usize,
    pub(crate) images: usize,
    pub(crate) violations: Vec<String>,
    pub(crate) kept: Option<PathBuf>,
}

/// What the world knew, and since when.
#[derive(Debug, Default)]
struct World {
    /// Numbers of commands whose senders were told that they are stored.
    acknowledged: Vec<(Duration, u32)>,
    /// Numbers of the board's actions.
    acted: Vec<(Duration, u32)>,
    /// When the broker acknowledged each row, by topic and payload.
    delivered: BTreeMap<(String, String), Duration>,
}

/// Runs the workload and examines every image.
pub(crate) async fn run(seed: u64, commands: usize, folder: &Path) -> Result<PowerReport> {
    let mut random = Random::new(seed, u64::MAX);
    let world = work(&mut random, commands, folder).await?;
    let calls = trace::calls(folder, TRACE)?;
    let disk = Disk::mount(folder.join("image"))?;
    let mut files = Files::default();
    let mut report = PowerReport { seed, ..PowerReport::default() };
    for call in &calls {
        if call.deed == Deed::Sync {
            report.syncs += 1;
            for image in files.images(&mut random, SOME) {
                report.images += 1;
                let wrong = examine(&image, call.at, &world, disk.path()).await?;
                let (sync, how) = (report.syncs, image.how);
                let wrong = wrong.into_iter().map(|it| format!("sync {sync}, {how}: {it}"));
                report.violations.extend(wrong);
            }
        }
        files.take(call.part, &call.deed);
    }
    ensure!(report.syncs > commands, "the trace has only {} syncs", report.syncs);
    Ok(report)
}

/// Lets a daemon work under strace, and says what the world saw of it.
async fn work(random: &mut Random, commands: usize, folder: &Path) -> Result<World> {
    let orders: Vec<Order> = (1..=commands).map(|number| order(random, number as u32)).collect();
    let plan = Plan { steps: orders.iter().copied().map(Step::Send).collect() };
    let database = folder.join("disk/agentd.db");
    let before = trace::command(&folder.join(TRACE), &database);
    let mut machine = Machine::start(folder, &plan, &before).await?;
    machine.proxy.tap();
    machine.proxy.set_delay(NETWORK);
    let mut world = World::default();
    let mut given = Vec::new();
    for (at, order) in orders.into_iter().enumerate() {
        // In the middle third there is no broker, so that rows gather in the outbox.
        if at == commands / 3 {
            machine.stop_broker().await;
        } else if at == commands * 2 / 3 {
            machine.start_broker().await?;
        }
        let payload = json!({"id": order.id(), "text": order.text()}).to_string();
        if order.way == Way::Socket {
            let command = Command::parse(payload.as_bytes());
            let command = command.map_err(|refused| anyhow::anyhow!(refused.denial))?;
            machine.client.submit(&command).await?;
            world.acknowledged.push((now(), order.number));
        } else {
            machine.watcher.publish("command", payload.into_bytes(), false);
        }
        given.push(Given { order, sure: true });
    }
    machine.start_broker().await?;
    until("the workload ends", || async {
        let books = Books::read(&machine.database()).unwrap_or_default();
        oracle::is_settled(&given, &books)
    })
    .await?;
    machine.daemon.set_wanted(false);
    machine.daemon.signal(Signal::TERM);
    machine.daemon.ended().await;
    until("the trace is complete", || async { trace::is_complete(folder, TRACE) }).await?;
    world.take(&machine.proxy.tapped());
    for action in machine.board.actions() {
        world.acted.push((since_1970(action.wall), action.number));
    }
    Ok(world)
}

fn order(random: &mut Random, number: u32) -> Order {
    let what = random.weighted(&[
        (4, What::Mark),
        (2, What::Level),
        (1, What::Press),
        (1, What::Note),
        (1, What::Alert),
    ]);
    let way = random.weighted(&[(1, Way::Mqtt), (1, Way::Socket)]);
    Order { number, what, way, session: None }
}

impl World {
    /// What the network saw.
    fn take(&mut self, tapped: &[Tapped]) {
        let (mut rows, mut commands) = (BTreeMap::new(), BTreeMap::new());
        for Tapped { at, way, packet } in tapped {
            let at = since_1970(*at);
            match (way, packet.kind()) {
                (traffic::Way::Up, Kind::Publish) => {
                    if let Some(publish) = packet.publish() {
                        let payload = String::from_utf8_lossy(publish.payload).into_owned();
                        rows.insert(publish.id, (below(publish.topic), payload));
                    }
                }
                (traffic::Way::Down, Kind::PubAck) => {
                    if let Some(row) = packet.puback().and_then(|(id, _)| rows.remove(&id)) {
                        self.delivered.entry(row).or_insert(at);
                    }
                }
                (traffic::Way::Down, Kind::Publish) => {
                    if let Some(publish) = packet.publish() {
                        let command = Command::parse(publish.payload).ok();
                        commands.insert(publish.id, command.map(|it| number(&it.summary())));
                    }
                }
                (traffic::Way::Up, Kind::PubAck) => {
                    let id = packet.puback().map_or(0, |(id, _)| id);
                    if let Some(Some(number)) = commands.remove(&id) {
                        self.acknowledged.push((at, number));
                    }
                }
                _ => {}
            }
        }
    }

    fn was_delivered(&self, by: Duration, row: impl Fn(&str, &str) -> bool) -> bool {
        let mut rows = self.delivered.iter().filter(|(_, at)| **at <= by);
        rows.any(|((topic, payload), _)| row(topic, payload))
    }
}

/// The topic below the device's root.
fn below(topic: &str) -> String {
    topic.splitn(3, '/').nth(2).unwrap_or_default().to_owned()
}

/// What is wrong with an image, given what the world knew at that time.
async fn examine(image: &Image, by: Duration, world: &World, disk: &Path) -> Result<Vec<String>> {
    let path = disk.join("agentd.db");
    for entry in std::fs::read_dir(disk)? {
        std::fs::remove_file(entry?.path())?;
    }
    for part in Part::FILES {
        if let Some(content) = image.file(part) {
            std::fs::write(part.path(&path), content)?;
        }
    }
    let config = StoreConfig { path: path.clone(), ..StoreConfig::default() };
    let opened = match Store::open(&config, 256, Feed::default()) {
        Ok(opened) => opened,
        Err(error) => return Ok(vec![format!("it does not open: {error}")]),
    };
    drop(opened.store);
    let thread = opened.thread;
    // The thread ends with the last handle.
    tokio::task::spawn_blocking(move || thread.join()).await?.ok().context("the store panicked")?;
    if let Some(moved) = opened.moved_aside {
        return Ok(vec![format!("it was moved aside: {}", moved.why)]);
    }
    Ok(judge(&Books::read(&path)?, by, world))
}

fn judge(books: &Books, by: Duration, world: &World) -> Vec<String> {
    let mut wrong = Vec::new();
    let id_of = |number: u32| books.inbox.iter().find(|it| it.number == number).map(|it| &it.id);
    for (_, number) in world.acknowledged.iter().filter(|(at, _)| *at < by) {
        if id_of(*number).is_none() {
            wrong.push(format!("command {number} was acknowledged and is not known"));
        }
    }
    for (_, number) in world.acted.iter().filter(|(at, _)| *at < by) {
        if !id_of(*number).is_some_and(|id| books.intents.contains(id)) {
            wrong.push(format!("the board did {number}, and no intent is recorded"));
        }
    }
    let waits: Vec<Option<u64>> = books.outbox.iter().map(|(_, payload)| seq(payload)).collect();
    for number in 1..=books.event_seq {
        let delivered = || world.was_delivered(by, |_, payload| seq(payload) == Some(number));
        if !waits.contains(&Some(number)) && !delivered() {
            wrong.push(format!("event {number} of {} is gone", books.event_seq));
        }
    }
    for entry in books.inbox.iter().filter(|entry| entry.ended) {
        let topic = format!("result/{}", entry.id);
        let waits = books.outbox.iter().any(|(waiting, _)| *waiting == topic);
        if !waits && !world.was_delivered(by, |delivered, _| delivered == topic) {
            wrong.push(format!("the outcome of command {} is gone", entry.number));
        }
    }
    oracle::records(books, &mut |_, what| wrong.push(what));
    wrong
}

fn seq(payload: &str) -> Option<u64> {
    serde_json::from_str::<Value>(payload).ok()?["seq"].as_u64()
}

fn now() -> Duration {
    since_1970(SystemTime::now())
}

fn since_1970(at: SystemTime) -> Duration {
    at.duration_since(UNIX_EPOCH).unwrap_or_default()
}

impl PowerReport {
    pub(crate) fn json(&self) -> Value {
        json!({
            "syncs": self.syncs,
            "images": self.images,
            "violations_total": self.violations.len(),
            "violations": &self.violations[..self.violations.len().min(TOLD)],
        })
    }
}

impl fmt::Display for PowerReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, syncs, images, violations, kept } = self;
        write!(f, "power cuts: {syncs} syncs, {images} images, {} violations", violations.len())?;
        for violation in violations.iter().take(TOLD) {
            write!(f, "\n{violation}")?;
        }
        match kept {
            Some(kept) => {
                write!(f, "\n  again: make faults SEED={seed} N=0\n  kept: {}", kept.display())
            }
            None => Ok(()),
        }
    }
}
