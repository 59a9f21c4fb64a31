//! One case: a plan is carried out on a machine, everything is mended, and the evidence is judged.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agentd::command::{Command, Outcome, Status};
use anyhow::{Context as _, Result};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::books::Books;
use crate::fault::Fault;
use crate::inject::Begun;
use crate::machine::{LOOK, Machine};
use crate::oracle::{self, Evidence, Given, Violation};
use crate::plan::{Order, Plan, Step, Way};
use crate::spawn;
use crate::watcher::Watcher;

/// How long everything may take to come to rest once it is mended: the link's longest pause, twice.
const REST: Duration = Duration::from_secs(120);
/// How long a sender on the board waits to hear that its command is stored.
const ANSWER: Duration = Duration::from_secs(3);

/// What came of a case.
#[derive(Debug, Default)]
pub(crate) struct CaseReport {
    pub(crate) case: u64,
    /// Faults that happened, in order.
    pub(crate) faults: Vec<Fault>,
    pub(crate) commands: usize,
    pub(crate) actions: usize,
    pub(crate) events: usize,
    /// Idempotent actions that were repeated after a kill.
    pub(crate) repeated: usize,
    pub(crate) violations: Vec<Violation>,
    pub(crate) took: Duration,
}

/// Runs a case in a folder.
pub(crate) async fn run(seed: u64, case: u64, folder: &Path) -> Result<CaseReport> {
    let begun = Instant::now();
    let plan = Plan::new(seed, case);
    let machine = Machine::start(folder, &plan, &[]).await.context("the machine does not start")?;
    let approver = spawn(approve(Arc::clone(&machine.watcher)));
    let (given, faults, open) = (Vec::new(), Vec::new(), HashMap::new());
    let mut run = Run { machine, given, open, faults, story: String::new(), begun };
    for step in &plan.steps {
        run.tell(&format!("{step:?}"));
        run.step(*step).await.with_context(|| format!("at {step:?}"))?;
    }
    run.tell("everything is mended");
    run.come_to_rest().await?;
    run.tell("at rest");
    approver.abort();
    let evidence = run.evidence()?;
    let violations = oracle::examine(&evidence);
    run.machine.keep_disk()?;
    std::fs::write(folder.join("story.txt"), &run.story)?;
    std::fs::write(folder.join("evidence.txt"), format!("{evidence:#?}\n"))?;
    Ok(CaseReport {
        case,
        faults: run.faults,
        commands: evidence.given.len(),
        actions: evidence.actions.len(),
        events: usize::try_from(evidence.books.event_seq).unwrap_or(usize::MAX),
        repeated: oracle::repeated(&evidence),
        violations,
        took: begun.elapsed(),
    })
}

/// The person who approves whatever waits for it.
async fn approve(watcher: Arc<Watcher>) {
    let mut changed = watcher.changed();
    let (mut looked_at, mut approved) = (0, BTreeSet::new());
    loop {
        for arrival in watcher.arrivals(looked_at) {
            looked_at += 1;
            let Ok(outcome) = serde_json::from_slice::<Outcome>(&arrival.payload) else { continue };
            if outcome.status == Status::WaitingApproval && approved.insert(outcome.id.clone()) {
                let word = json!({"approve": true, "by": "anna"}).to_string();
                watcher.publish(&format!("approve/{}", outcome.id), word.into_bytes(), false);
            }
        }
        if changed.changed().await.is_err() {
            return;
        }
    }
}

struct Run {
    machine: Machine,
    given: Vec<Given>,
    open: HashMap<usize, (Fault, Begun)>,
    faults: Vec<Fault>,
    /// What was done when, for whoever looks into a case.
    story: String,
    begun: Instant,
}

impl Run {
    fn tell(&mut self, what: &str) {
        // Writing to a string does not fail.
        let _ = writeln!(self.story, "{:8.3} {what}", self.begun.elapsed().as_secs_f64());
    }

    async fn step(&mut self, step: Step) -> Result<()> {
        match step {
            Step::Send(order) => {
                let sure = self.send(order).await;
                self.given.push(Given { order, sure });
            }
            Step::Again(number) => {
                if let Some(given) = self.given.iter().find(|it| it.order.number == number) {
                    self.machine.watcher.publish("command", payload(given.order), false);
                }
            }
            Step::Cancel(number) => {
                let topic = format!("cancel/c{number}");
                self.machine.watcher.publish(&topic, Vec::new(), false);
            }
            Step::Begin(index, fault) => {
                let begun = self.machine.begin(fault).await?;
                self.open.insert(index, (fault, begun));
            }
            Step::End(index) => {
                if let Some((fault, begun)) = self.open.remove(&index)
                    && self.machine.end(fault, begun).await?
                {
                    self.faults.push(fault);
                    self.tell(&format!("it happened: {fault}"));
                }
            }
            // The plan's pauses are part of the case, not a wait for something.
            Step::Pause(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
        }
        Ok(())
    }

    /// Gives a command. `true`: it is, or will be, accepted.
    async fn send(&self, order: Order) -> bool {
        let once = order.way == Way::Words;
        if order.way != Way::Socket {
            self.machine.watcher.publish("command", payload(order), once);
            return true;
        }
        let Ok(command) = Command::parse(&payload(order)) else { return false };
        matches!(timeout(ANSWER, self.machine.client.submit(&command)).await, Ok(Ok(())))
    }

    /// All faults are over: waits until nothing is under way any more, and stops the daemon.
    async fn come_to_rest(&mut self) -> Result<()> {
        self.machine.answers().await?;
        // A sender who does not know whether he was heard asks again, under the same id.
        for at in 0..self.given.len() {
            let Given { order, sure } = self.given[at];
            self.given[at].sure = sure || self.send(order).await;
        }
        // Where it does not come to rest, the judge says what did not.
        let _ = timeout(REST, self.rests()).await;
        self.machine.daemon.set_wanted(false);
        self.machine.daemon.signal(Signal::TERM);
        self.machine.daemon.ended().await;
        // What the broker took last is on its way to the watcher.
        let _ = timeout(ANSWER, async {
            while !self.evidence().is_ok_and(|evidence| oracle::has_arrived(&evidence)) {
                tokio::time::sleep(LOOK).await;
            }
        })
        .await;
        Ok(())
    }

    async fn rests(&mut self) {
        loop {
            for given in &mut self.given {
                let words = payload(given.order);
                if given.order.way == Way::Words && self.machine.watcher.is_unsure_of(&words) {
                    given.sure = false;
                }
            }
            // The database may be locked at this moment.
            let books = Books::read(&self.machine.database()).unwrap_or_default();
            let sent = self.machine.watcher.under_way() == 0;
            if sent && oracle::is_settled(&self.given, &books) {
                return;
            }
            tokio::time::sleep(LOOK * 5).await;
        }
    }

    fn evidence(&self) -> Result<Evidence> {
        let machine = &self.machine;
        let (mut results, mut events) = (Vec::new(), Vec::new());
        for arrival in machine.watcher.arrivals(0) {
            match arrival.topic.split_once('/') {
                Some(("result", _)) => results.push(serde_json::from_slice(&arrival.payload)?),
                Some(("event", kind)) => {
                    let event: Value = serde_json::from_slice(&arrival.payload)?;
                    events.push((kind.to_owned(), event));
                }
                _ => {}
            }
        }
        Ok(Evidence {
            given: self.given.clone(),
            actions: machine.board.actions(),
            lives: machine.daemon.lives(),
            deaths: machine.daemon.deaths().into_iter().map(|death| death.status).collect(),
            results,
            events,
            books: Books::read(&machine.database())?,
            moved_aside: moved_aside(machine.disk.path()),
        })
    }
}

/// Databases that were moved aside, in this folder.
fn moved_aside(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.contains("unusable")).collect()
}

/// The command as it goes over MQTT.
fn payload(order: Order) -> Vec<u8> {
    let Some(id) = order.id() else { return order.text().into_bytes() };
    let mut command = json!({"id": id, "text": order.text()});
    if let Some(session) = order.session {
        command["session"] = format!("s{session}").into();
    }
    command.to_string().into_bytes()
}
