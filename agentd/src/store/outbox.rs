//! The outbox: what waits for the network. A row leaves only when the broker has acknowledged it.
//!
//! Bounds: [`Limits`]; the victims are the rows of the lowest priority, the oldest first, and each is
//! counted in `dropped`. The table is read a window at a time, so a long one costs no memory.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::command::{Outcome, Priority, elapsed_ms, fresh_id};

/// How much may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Rows.
    pub rows: i64,
    /// Bytes of topics and payloads together.
    pub bytes: i64,
}

/// Where a row goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// A topic below `agentd/<device>/`.
    Own(String),
    /// Another topic, with the correlation data that its reader asked for.
    Reply {
        /// The whole topic.
        topic: String,
        /// Returned as it came.
        correlation: Option<Vec<u8>>,
    },
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRow {
    /// Its id, ascending in the order of writing.
    pub id: i64,
    /// Where it goes.
    pub destination: Destination,
    /// JSON.
    pub payload: String,
}

/// The outbox at a glance, as in the retained status.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct OutboxStats {
    /// Rows that wait.
    pub pending: u64,
    /// Age of the oldest in seconds.
    pub oldest_seconds: u64,
    /// Rows that fell to the bounds since the database was made.
    pub dropped: u64,
}

/// An event of the given kind: it gets its `event_id` and the next `seq` here.
pub fn put_event(
    transaction: &Transaction<'_>,
    limits: Limits,
    kind: &str,
    mut fields: Map<String, Value>,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let seq: i64 = transaction.query_row(
        "INSERT INTO meta VALUES ('event_seq', 1)
         ON CONFLICT (key) DO UPDATE SET value = value + 1 RETURNING value",
        [],
        |row| row.get(0),
    )?;
    let mut event = Map::new();
    event.insert("event_id".into(), fresh_id().into());
    event.insert("seq".into(), seq.into());
    event.insert("at".into(), json!(now));
    event.append(&mut fields);
    let destination = Destination::Own(format!("event/{kind}"));
    put(transaction, limits, &destination, &Value::Object(event).to_string(), Priority::Normal, now)
}

/// An outcome, for `result/<id>` and for the address that the sender gave.
pub fn put_outcome(
    transaction: &Transaction<'_>,
    limits: Limits,
    outcome: &Outcome,
    reply: Option<Destination>,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let payload = json!(outcome).to_string();
    let own = Destination::Own(format!("result/{}", outcome.id));
    for destination in std::iter::once(own).chain(reply) {
        // A person waits for the outcome, so it goes before what only is to be known some time.
        put(transaction, limits, &destination, &payload, Priority::High, now)?;
    }
    Ok(())
}

fn put(
    transaction: &Transaction<'_>,
    limits: Limits,
    destination: &Destination,
    payload: &str,
    priority: Priority,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let (topic, own, correlation) = match destination {
        Destination::Own(topic) => (topic, true, None),
        Destination::Reply { topic, correlation } => (topic, false, correlation.as_deref()),
    };
    transaction
        .prepare_cached(
            "INSERT INTO outbox (topic, own, payload, correlation, priority, created_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            topic,
            own,
            payload,
            correlation,
            priority as i64,
            now.as_millisecond()
        ])?;
    make_room(transaction, limits)
}

fn make_room(transaction: &Transaction<'_>, limits: Limits) -> rusqlite::Result<()> {
    loop {
        let (rows, bytes): (i64, i64) =
            transaction.query_row("SELECT rows, bytes FROM outbox_totals", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
        if rows <= limits.rows && bytes <= limits.bytes {
            return Ok(());
        }
        let gone = transaction.execute(
            "DELETE FROM outbox WHERE id =
               (SELECT id FROM outbox ORDER BY priority, id LIMIT 1)",
            [],
        )?;
        if gone == 0 {
            return Ok(());
        }
        transaction.execute(
            "INSERT INTO meta VALUES ('outbox_dropped', 1)
             ON CONFLICT (key) DO UPDATE SET value = value + 1",
            [],
        )?;
    }
}

/// The next rows to send, besides those that are under way: by priority, then by age.
pub fn pending(
    connection: &Connection,
    under_way: &[i64],
    limit: usize,
) -> rusqlite::Result<Vec<OutboxRow>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, topic, own, correlation, payload FROM outbox ORDER BY priority DESC, id",
    )?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while found.len() < limit {
        let Some(row) = rows.next()? else { break };
        let id: i64 = row.get(0)?;
        if under_way.contains(&id) {
            continue;
        }
        let topic: String = row.get(1)?;
        let destination = if row.get(2)? {
            Destination::Own(topic)
        } else {
            Destination::Reply { topic, correlation: row.get(3)? }
        };
        found.push(OutboxRow { id, destination, payload: row.get(4)? });
    }
    Ok(found)
}

/// Removes rows that the broker has acknowledged. Returns how many there were.
pub fn delivered(connection: &mut Connection, ids: &[i64]) -> rusqlite::Result<usize> {
    let transaction = connection.transaction()?;
    let mut gone = 0;
    {
        let mut statement = transaction.prepare_cached("DELETE FROM outbox WHERE id = ?1")?;
        for id in ids {
            gone += statement.execute([id])?;
        }
    }
    transaction.commit()?;
    Ok(gone)
}

/// The outbox at a glance.
pub fn stats(connection: &Connection, now: Timestamp) -> rusqlite::Result<OutboxStats> {
    let pending: i64 =
        connection.query_row("SELECT rows FROM outbox_totals", [], |row| row.get(0))?;
    let oldest: Option<i64> = connection
        .query_row("SELECT created_ms FROM outbox ORDER BY id LIMIT 1", [], |row| row.get(0))
        .optional()?;
    let dropped: Option<i64> = connection
        .query_row("SELECT value FROM meta WHERE key = 'outbox_dropped'", [], |row| row.get(0))
        .optional()?;
    let oldest = oldest.and_then(|ms| Timestamp::from_millisecond(ms).ok());
    Ok(OutboxStats {
        pending: u64::try_from(pending).unwrap_or(0),
        oldest_seconds: oldest.map_or(0, |at| elapsed_ms(at, now) / 1000),
        dropped: u64::try_from(dropped.unwrap_or(0)).unwrap_or(0),
    })
}
