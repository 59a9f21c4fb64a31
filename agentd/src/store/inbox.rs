//! The inbox: commands from acceptance to their one final outcome, and the intents of their calls.
//!
//! ```text
//!  accept ──> waiting ──begin_call──> waiting, with a calls row ──finish──> done | failed | ...
//!                │  hold                                          │ crash
//!                v                                                v
//!        waiting_approval ──approve──> waiting          reconcile: interrupted, or again if idempotent
//! ```

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::StoreError;
use super::outbox::{self, Destination, Limits};
use crate::command::{Call, CallRecord, Command, Denial, Outcome, Route};

/// A redelivery is matched with a command of at most this age. MQTT gives a packet id again only after
/// many others, so that a match within a day is the same message.
const REDELIVERY_MS: i64 = 86_400_000;

/// How a command came in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// The front-end: `mqtt`, `http`, `wyoming`, `local`.
    pub source: String,
    /// Where the outcome goes besides `result/<id>`.
    pub reply: Option<Destination>,
    /// The MQTT delivery, so that its redelivery is known although the sender gave no id.
    pub delivery: Option<Delivery>,
}

/// One MQTT delivery of QoS 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// The packet identifier.
    pub packet_id: u16,
    /// The DUP flag: the broker may have sent it before.
    pub duplicate: bool,
}

/// What became of an attempt to accept a command.
#[derive(Debug, Clone, PartialEq)]
pub enum Accepted {
    /// It is stored and will get an outcome.
    New(String),
    /// It was stored before; nothing acts again.
    Repeat {
        /// The id under which it is known.
        id: String,
        /// Its outcome so far.
        outcome: Option<Box<Outcome>>,
    },
    /// More commands wait than the bound allows. Nothing is stored.
    Busy(Denial),
}

/// What the words were turned into, and how far it has been carried out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Who turned the words into calls.
    pub route: Route,
    /// The model's name, where one was asked.
    pub model: Option<String>,
    /// The calls, in order.
    pub calls: Vec<Call>,
}

/// A command that waits for the agent.
#[derive(Debug, Clone, PartialEq)]
pub struct Waiting {
    /// What was asked.
    pub command: Command,
    /// The front-end it came from.
    pub source: String,
    /// Commands of one lane run in order.
    pub lane: String,
    /// When it was accepted.
    pub received_at: Timestamp,
    /// What it was turned into before, where it waited for approval or was interrupted.
    pub plan: Option<Plan>,
    /// Calls that ended before an interruption.
    pub records: Vec<CallRecord>,
    /// Who approved the plan.
    pub approved_by: Option<String>,
}

/// Stores a command, unless it is known or too many wait.
pub(super) fn accept(
    connection: &mut Connection,
    command: &Command,
    origin: &Origin,
    bounds: (i64, Limits),
    now: Timestamp,
) -> Result<Accepted, StoreError> {
    let (most_waiting, limits) = bounds;
    let transaction = connection.transaction()?;
    let hash = origin.delivery.map(|_| Sha256::digest(command.summary().as_bytes()).to_vec());
    if let Some(id) = known(&transaction, command, origin.delivery, hash.as_deref(), now)? {
        let outcome = outcome(&transaction, &id)?;
        if let Some(outcome) = &outcome {
            outbox::put_outcome(&transaction, limits, outcome, origin.reply.clone(), now)?;
        }
        transaction.commit()?;
        return Ok(Accepted::Repeat { id, outcome: outcome.map(Box::new) });
    }
    let waiting: i64 =
        transaction.query_row("SELECT count(*) FROM inbox WHERE state = 'waiting'", [], |row| {
            row.get(0)
        })?;
    if waiting >= most_waiting {
        return Ok(Accepted::Busy(Denial::new(
            "busy",
            format!("{waiting} commands are waiting already; try again later"),
        )));
    }
    let (topic, correlation) = match &origin.reply {
        Some(Destination::Reply { topic, correlation }) => (Some(topic), correlation.as_deref()),
        _ => (None, None),
    };
    let lane = command.session.as_ref().or(command.user.as_ref()).unwrap_or(&origin.source);
    transaction
        .prepare_cached(
            "INSERT INTO inbox (id, lane, priority, source, command, state, received_ms,
                                reply_topic, reply_correlation, packet_id, payload_hash)
             VALUES (?1, ?2, ?3, ?4, ?5, 'waiting', ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            command.id,
            lane,
            command.priority as i64,
            origin.source,
            json!(command).to_string(),
            now.as_millisecond(),
            topic,
            correlation,
            origin.delivery.map(|delivery| delivery.packet_id),
            hash,
        ])?;
    transaction.commit()?;
    Ok(Accepted::New(command.id.clone()))
}

/// The id under which this command is known already.
fn known(
    transaction: &Transaction<'_>,
    command: &Command,
    delivery: Option<Delivery>,
    hash: Option<&[u8]>,
    now: Timestamp,
) -> rusqlite::Result<Option<String>> {
    let by_id = transaction
        .prepare_cached("SELECT id FROM inbox WHERE id = ?1")?
        .query_row([&command.id], |row| row.get(0))
        .optional()?;
    let Some(delivery) = delivery.filter(|delivery| delivery.duplicate && by_id.is_none()) else {
        return Ok(by_id);
    };
    let last: Option<(String, Option<Vec<u8>>, i64)> = transaction
        .prepare_cached(
            "SELECT id, payload_hash, received_ms FROM inbox WHERE packet_id = ?1
             ORDER BY seq DESC LIMIT 1",
        )?
        .query_row([delivery.packet_id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    Ok(last
        .filter(|(_, known, at)| {
            known.as_deref() == hash && now.as_millisecond() - at < REDELIVERY_MS
        })
        .map(|(id, _, _)| id))
}

/// The first waiting command whose lane is free: by priority, then in the order of acceptance.
pub(super) fn next(
    connection: &Connection,
    busy_lanes: &[String],
) -> Result<Option<Waiting>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT command, source, lane, received_ms, plan, approved_by FROM inbox
         WHERE state = 'waiting' ORDER BY priority DESC, seq",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let lane: String = row.get(2)?;
        if !busy_lanes.contains(&lane) {
            return waiting(connection, row, lane).map(Some);
        }
    }
    Ok(None)
}

fn waiting(connection: &Connection, row: &Row<'_>, lane: String) -> Result<Waiting, StoreError> {
    let command: Command = from_json(&row.get::<_, String>(0)?)?;
    let plan: Option<String> = row.get(4)?;
    let mut statement = connection.prepare_cached(
        "SELECT record FROM calls WHERE command_id = ?1 AND record IS NOT NULL ORDER BY step",
    )?;
    let records = statement
        .query_map([&command.id], |row| row.get::<_, String>(0))?
        .map(|record| from_json(&record?))
        .collect::<Result<_, StoreError>>()?;
    Ok(Waiting {
        command,
        source: row.get(1)?,
        lane,
        received_at: timestamp(row.get(3)?),
        plan: plan.as_deref().map(from_json).transpose()?,
        records,
        approved_by: row.get(5)?,
    })
}

/// The outcome so far of a command.
pub(super) fn outcome(connection: &Connection, id: &str) -> Result<Option<Outcome>, StoreError> {
    let text: Option<Option<String>> = connection
        .prepare_cached("SELECT outcome FROM inbox WHERE id = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    text.flatten().as_deref().map(from_json).transpose()
}

/// A command that waits for approval may go on. `false` where none of that id does.
pub(super) fn approve(connection: &Connection, id: &str, by: &str) -> Result<bool, StoreError> {
    let changed = connection.execute(
        "UPDATE inbox SET state = 'waiting', approved_by = ?2
         WHERE id = ?1 AND state = 'waiting_approval'",
        params![id, by],
    )?;
    Ok(changed == 1)
}

/// What was asked and when, of a command that has not ended and has begun no call.
pub(super) fn untouched(
    connection: &Connection,
    id: &str,
) -> Result<Option<Timestamp>, StoreError> {
    let row = connection
        .query_row(
            "SELECT received_ms FROM inbox WHERE id = ?1 AND finished_ms IS NULL
               AND NOT EXISTS (SELECT 1 FROM calls WHERE command_id = ?1)",
            [id],
            |row| row.get(0),
        )
        .optional()?;
    Ok(row.map(timestamp))
}

pub(super) fn timestamp(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH)
}

pub(super) fn from_json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|e| StoreError::Row(e.to_string()))
}
