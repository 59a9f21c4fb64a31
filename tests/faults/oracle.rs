//! The judge: what must never happen, looked for in what the board, the watcher and the books say.
//!
//! It does no I/O and believes nobody: an action is what the board counted, an event is what the watcher
//! got, and the daemon's own record has to agree with both.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Instant;

use agentd::command::{Outcome, Settled, Status};
use agentd::store::audit;
use serde_json::Value;

use crate::board::Action;
use crate::books::{Books, Entry};
use crate::plan::Order;

/// A command that was given.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Given {
    pub(crate) order: Order,
    /// Whether its sender was told that it was accepted. Otherwise it may be known or not.
    pub(crate) sure: bool,
}

/// All that was seen of one case.
#[derive(Debug, Clone, Default)]
pub(crate) struct Evidence {
    pub(crate) given: Vec<Given>,
    pub(crate) actions: Vec<Action>,
    /// When each life of the daemon began.
    pub(crate) lives: Vec<Instant>,
    /// Ends of the daemon that nobody asked for.
    pub(crate) deaths: Vec<String>,
    /// What came on `result/<id>`, in order, repeats included.
    pub(crate) results: Vec<Outcome>,
    /// What came on `event/<kind>`: the kind and the payload.
    pub(crate) events: Vec<(String, Value)>,
    pub(crate) books: Books,
    /// Databases that were moved aside.
    pub(crate) moved_aside: Vec<String>,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) kind: Kind,
    pub(crate) what: String,
}

/// The columns of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A command, an outcome or an event that was accepted and is gone.
    Lost,
    /// An action, an outcome or a `seq` that is there twice.
    Doubled,
    /// A command without an end, or a row that does not leave the outbox.
    Stuck,
    /// A record that does not agree with what happened.
    Untrue,
    /// An audit log that does not prove what it says.
    Chain,
    /// A daemon that ended without being told to.
    Died,
}

impl Kind {
    pub(crate) const ALL: [Self; 6] =
        [Self::Lost, Self::Doubled, Self::Stuck, Self::Untrue, Self::Chain, Self::Died];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Doubled => "doubled",
            Self::Stuck => "stuck",
            Self::Untrue => "untrue",
            Self::Chain => "chain",
            Self::Died => "died",
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.name(), self.what)
    }
}

/// Everything that is wrong.
pub(crate) fn examine(evidence: &Evidence) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut tell = |kind, what: String| found.push(Violation { kind, what });
    commands(evidence, &mut tell);
    actions(evidence, &mut tell);
    outcomes(evidence, &mut tell);
    events(evidence, &mut tell);
    records(&evidence.books, &mut tell);
    for status in &evidence.deaths {
        tell(Kind::Died, format!("the daemon ended by itself: {status}"));
    }
    for path in &evidence.moved_aside {
        tell(Kind::Lost, format!("the database was moved aside to {path}"));
    }
    found
}

/// Idempotent calls that were repeated, as they may be after a kill.
pub(crate) fn repeated(evidence: &Evidence) -> usize {
    let times = by_number(&evidence.actions);
    times.values().filter(|actions| actions[0].word == "LEVEL").map(|all| all.len() - 1).sum()
}

fn by_number(actions: &[Action]) -> BTreeMap<u32, Vec<&Action>> {
    let mut times: BTreeMap<u32, Vec<&Action>> = BTreeMap::new();
    for action in actions {
        times.entry(action.number).or_default().push(action);
    }
    times
}

pub(crate) type Tell<'a> = &'a mut dyn FnMut(Kind, String);

/// Every accepted command is known once and has ended.
fn commands(evidence: &Evidence, tell: Tell<'_>) {
    let books = &evidence.books;
    for Given { order, sure } in &evidence.given {
        let known = books.inbox.iter().filter(|entry| entry.number == order.number).count();
        let words = order.text();
        // One that was turned away at the door is in no book, and its sender has been told.
        let denied =
            evidence.results.iter().any(|outcome| Some(&outcome.id) == order.id().as_ref());
        if known == 0 && *sure && !denied {
            tell(Kind::Lost, format!("“{words}” was accepted and is not known"));
        } else if known > 1 {
            tell(Kind::Doubled, format!("“{words}” is known {known} times"));
        }
    }
    for Entry { id, number, state, .. } in books.inbox.iter().filter(|entry| !entry.ended) {
        tell(Kind::Stuck, format!("command {number} ({id}) is {state} and does not end"));
    }
    for (topic, payload) in &books.outbox {
        tell(Kind::Stuck, format!("a message to {topic} does not leave the outbox: {payload}"));
    }
}

/// Nothing is done twice, and nothing that nobody asked for.
fn actions(evidence: &Evidence, tell: Tell<'_>) {
    let life = |action: &Action| evidence.lives.partition_point(|began| *began <= action.at);
    for (number, actions) in by_number(&evidence.actions) {
        let (word, times) = (&actions[0].word, actions.len());
        let asked = evidence.given.iter().any(|given| given.order.number == number);
        if !asked {
            tell(Kind::Untrue, format!("the board did {word} {number}, which nobody asked for"));
        }
        if word != "LEVEL" {
            if times > 1 {
                tell(Kind::Doubled, format!("the board did {word} {number} {times} times"));
            }
        } else if actions.windows(2).any(|pair| life(pair[0]) == life(pair[1])) {
            let what = format!("{word} {number} was repeated in one life of the daemon");
            tell(Kind::Doubled, what);
        }
    }
}

/// Every command has one final outcome, its sender got it, and it agrees with the board.
fn outcomes(evidence: &Evidence, tell: Tell<'_>) {
    let done = by_number(&evidence.actions);
    for entry in evidence.books.inbox.iter().filter(|entry| entry.ended) {
        let Entry { id, number, outcome, .. } = entry;
        let Some(outcome) = outcome else {
            tell(Kind::Lost, format!("command {number} ({id}) has ended without an outcome"));
            continue;
        };
        let told = evidence.results.iter().filter(|it| it.id == *id && it.status.is_final());
        let (same, other): (Vec<_>, Vec<_>) = told.partition(|it| *it == outcome);
        if same.is_empty() {
            let status = outcome.status.as_str();
            tell(
                Kind::Lost,
                format!("the outcome of command {number} ({id}, {status}) never came"),
            );
        }
        if let Some(other) = other.first() {
            let (first, second) = (outcome.status.as_str(), other.status.as_str());
            let what = format!("command {number} ({id}) has two final outcomes: {first}, {second}");
            tell(Kind::Doubled, what);
        }
        let times = done.get(number).map_or(0, Vec::len);
        let acts = outcome.calls.iter().any(|call| on_board(&call.tool));
        if times > 0 && (!acts || outcome.text.contains("Nothing was done.")) {
            tell(Kind::Untrue, format!("command {number} acted, and is told: {}", outcome.text));
        }
        let without_effect = outcome.error.as_ref().is_some_and(|error| error.code == "no_effect");
        if times > 0 && without_effect {
            tell(Kind::Untrue, format!("command {number} acted, and is told: {}", outcome.text));
        }
        // What was interrupted again is told as not known, which is true.
        let told_twice = outcome.status == Status::Interrupted
            || outcome.calls.iter().any(|call| call.settled == Some(Settled::Repeated));
        let may_repeat = outcome.calls.iter().any(|call| call.tool == "level");
        if times > 1 && may_repeat && !told_twice {
            tell(Kind::Untrue, format!("command {number} was repeated, and no record says so"));
        }
        if times == 0 && acts && outcome.status == Status::Done {
            tell(
                Kind::Untrue,
                format!("command {number} did not act, and is told: {}", outcome.text),
            );
        }
    }
}

fn on_board(tool: &str) -> bool {
    matches!(tool, "mark" | "level" | "press" | "stamp")
}

/// Every `seq` from 1 on came, each with one event; and every command's events are among them.
fn events(evidence: &Evidence, tell: Tell<'_>) {
    let mut ids: BTreeMap<u64, BTreeSet<&str>> = BTreeMap::new();
    let mut seqs: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
    let mut caused: BTreeMap<(&str, &str), BTreeSet<u64>> = BTreeMap::new();
    for (kind, event) in &evidence.events {
        let (Some(seq), Some(id)) = (event["seq"].as_u64(), event["event_id"].as_str()) else {
            tell(Kind::Untrue, format!("an event has no seq or no event_id: {event}"));
            continue;
        };
        ids.entry(seq).or_default().insert(id);
        seqs.entry(id).or_default().insert(seq);
        let command = event["command_id"].as_str().unwrap_or_default();
        caused.entry((kind, command)).or_default().insert(seq);
    }
    for seq in (1..=evidence.books.event_seq).filter(|seq| !ids.contains_key(seq)) {
        tell(Kind::Lost, format!("event {seq} of {} never came", evidence.books.event_seq));
    }
    for seq in ids.keys().filter(|seq| **seq > evidence.books.event_seq) {
        tell(Kind::Untrue, format!("event {seq} came, and the books end before it"));
    }
    for (seq, ids) in ids.iter().filter(|(_, ids)| ids.len() > 1) {
        tell(Kind::Doubled, format!("{} events have the seq {seq}", ids.len()));
    }
    for (id, seqs) in seqs.iter().filter(|(_, seqs)| seqs.len() > 1) {
        tell(Kind::Doubled, format!("event {id} has {} numbers", seqs.len()));
    }
    if evidence.books.dropped > 0 {
        tell(Kind::Lost, format!("{} rows fell to the outbox's bound", evidence.books.dropped));
    }
    for entry in &evidence.books.inbox {
        for call in entry.outcome.iter().flat_map(|outcome| &outcome.calls).filter(|call| call.ok) {
            let kinds: &[&str] = match call.tool.as_str() {
                "note" => &["action", "note"],
                "call" => &["action", "call"],
                tool if on_board(tool) => &["action"],
                _ => &[],
            };
            for kind in kinds {
                let times = caused.get(&(*kind, entry.id.as_str())).map_or(0, BTreeSet::len);
                if times != 1 {
                    let kind = format!("{kind} event of command {}", entry.number);
                    let lost = if times == 0 { Kind::Lost } else { Kind::Doubled };
                    tell(lost, format!("the {kind} is there {times} times"));
                }
            }
        }
    }
}

/// The audit log's hashes follow from one another, and every ended command has one final record.
pub(crate) fn records(books: &Books, tell: Tell<'_>) {
    let mut before = vec![0; 32];
    for (at, record) in books.audit.iter().enumerate() {
        if audit::chain(&before, &record.text) != record.hash {
            tell(
                Kind::Chain,
                format!("audit record {} does not follow from the one before", at + 1),
            );
        }
        before.clone_from(&record.hash);
    }
    for entry in books.inbox.iter().filter(|entry| entry.ended) {
        let of_it = books.audit.iter().filter(|record| record.command_id == entry.id);
        let last = of_it.filter_map(|it| serde_json::from_str::<Outcome>(&it.text).ok());
        let last: Vec<_> = last.filter(|outcome| outcome.status.is_final()).collect();
        if last.len() != 1 || Some(&last[0]) != entry.outcome.as_ref() {
            let what = format!("command {} has {} final audit records", entry.number, last.len());
            tell(Kind::Chain, what);
        }
    }
}

/// Whether all that was surely accepted is known and has ended, and all that was written has left.
pub(crate) fn is_settled(given: &[Given], books: &Books) -> bool {
    let known: BTreeSet<u32> = books.inbox.iter().map(|entry| entry.number).collect();
    let all_known = given.iter().filter(|it| it.sure).all(|it| known.contains(&it.order.number));
    all_known && books.inbox.iter().all(|entry| entry.ended) && books.outbox.is_empty()
}

/// Whether the watcher has got all that the books say was written.
pub(crate) fn has_arrived(evidence: &Evidence) -> bool {
    !examine(evidence).iter().any(|violation| violation.kind == Kind::Lost)
}

#[cfg(test)]
#[path = "oracle_tests.rs"]
mod tests;
