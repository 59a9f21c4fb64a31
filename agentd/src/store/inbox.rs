//! The inbox: commands from acceptance to their one final outcome, and the intents of their calls.
//!
//! ```text
//!  accept ──> waiting ──begin_call──> waiting, with a calls row ──finish──> done | failed | ...
//!                │  hold                                          │ crash
//!                v                                                v
//!        waiting_approval ──approve──> waiting          reconcile: interrupted, or waiting again where
//!                                                       its tool is idempotent or can be read back
//! ```

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::outbox::{self, Broker, Destination, Limits};
use super::{StoreError, retention};
use crate::command::{Call, CallRecord, Command, Denial, Outcome, Route};

/// How a command came in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// The front-end: `mqtt`, `http`, `wyoming`, `local`.
    pub source: String,
    /// The broker that it came from, or that its outcome goes to.
    pub broker: Broker,
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
    /// How sure the model is of the calls, 0 to 1, where one was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f32>,
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
    /// The call of the plan that was under way when the daemon stopped: its effect is not known.
    pub cut_off: Option<usize>,
    /// Who approved the plan.
    pub approved_by: Option<String>,
    /// Why it is in no table: nothing of it may act.
    pub unrecorded: Option<StoreError>,
}

impl Origin {
    /// The lane of a command: its session, its user, or its front-end.
    pub(super) fn lane(&self, command: &Command) -> String {
        let named = command.session.as_ref().or(command.user.as_ref());
        named.unwrap_or(&self.source).clone()
    }
}

/// Stores a command, unless it is known or too many wait.
pub(super) fn accept(
    connection: &Connection,
    command: &Command,
    origin: &Origin,
    bounds: (i64, Limits),
    now: Timestamp,
) -> Result<Accepted, StoreError> {
    let (most_waiting, limits) = bounds;
    let hash = origin.delivery.map(|_| Sha256::digest(command.summary().as_bytes()).to_vec());
    if let Some(id) = known(connection, command, origin, hash.as_deref())? {
        let outcome = outcome(connection, &id)?;
        if let Some(outcome) = &outcome {
            let reply = origin.reply.clone();
            outbox::put_outcome(connection, limits, outcome, origin.broker, reply, now)?;
        }
        return Ok(Accepted::Repeat { id, outcome: outcome.map(Box::new) });
    }
    let waiting: i64 = connection
        .prepare_cached("SELECT count(*) FROM inbox WHERE state = 'waiting'")?
        .query_row([], |row| row.get(0))?;
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
    connection
        .prepare_cached(
            "INSERT INTO inbox (id, lane, priority, source, command, state, received_ms,
                                reply_topic, reply_correlation, packet_id, payload_hash, broker)
             VALUES (?1, ?2, ?3, ?4, ?5, 'waiting', ?6, ?7, ?8, ?9, ?10, ?11)",
        )?
        .execute(params![
            command.id,
            origin.lane(command),
            command.priority as i64,
            origin.source,
            json!(command).to_string(),
            now.as_millisecond(),
            topic,
            correlation,
            origin.delivery.map(|delivery| delivery.packet_id),
            hash,
            origin.broker as i64,
        ])?;
    Ok(Accepted::New(command.id.clone()))
}

/// The id under which this command is known already. A redelivery is matched with the last command of its
/// packet id, of today or yesterday: MQTT gives an id again only after many others, so that with the same
/// payload it is the same message. Days are the daemon's own, whatever becomes of the clock.
fn known(
    connection: &Connection,
    command: &Command,
    origin: &Origin,
    hash: Option<&[u8]>,
) -> rusqlite::Result<Option<String>> {
    let by_id = connection
        .prepare_cached("SELECT id FROM inbox WHERE id = ?1")?
        .query_row([&command.id], |row| row.get(0))
        .optional()?;
    let again = |delivery: &Delivery| delivery.duplicate && by_id.is_none();
    let Some(delivery) = origin.delivery.filter(again) else { return Ok(by_id) };
    let last: Option<(String, Option<Vec<u8>>)> = connection
        .prepare_cached(
            "SELECT id, payload_hash FROM inbox WHERE packet_id = ?1 AND seq > ?2 AND broker = ?3
             ORDER BY seq DESC LIMIT 1",
        )?
        .query_row(
            params![delivery.packet_id, retention::yesterday(connection)?, origin.broker as i64],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    Ok(last.filter(|(_, known)| known.as_deref() == hash).map(|(id, _)| id))
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
    let cut_off: Option<i64> = connection
        .prepare_cached("SELECT step FROM calls WHERE command_id = ?1 AND record IS NULL")?
        .query_row([&command.id], |row| row.get(0))
        .optional()?;
    Ok(Waiting {
        cut_off: cut_off.and_then(|step| usize::try_from(step).ok()),
        command,
        source: row.get(1)?,
        lane,
        received_at: timestamp(row.get(3)?),
        plan: plan.as_deref().map(from_json).transpose()?,
        records,
        approved_by: row.get(5)?,
        unrecorded: None,
    })
}

/// The outcome so far of a command.
pub(super) fn outcome(connection: &Connection, id: &str) -> Result<Option<Outcome>, StoreError> {
    known_outcome(connection, id).map(Option::flatten)
}

/// As [`outcome`], and none at all where the command is not known.
pub(super) fn known_outcome(
    connection: &Connection,
    id: &str,
) -> Result<Option<Option<Outcome>>, StoreError> {
    let text: Option<Option<String>> = connection
        .prepare_cached("SELECT outcome FROM inbox WHERE id = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    text.map(|text| text.as_deref().map(from_json).transpose()).transpose()
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
