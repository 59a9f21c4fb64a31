//! The outbox: what waits for the network. A row leaves only when the broker has acknowledged it, when it
//! falls to a bound, or when a person removes it.
//!
//! ```text
//!  put ──> waiting ──delivered──> gone          refused too often ──> dead ──retry──> waiting
//!             └──full, old, expired──> gone, counted, and its seq told by event/gap      └─purge──> gone
//! ```
//!
//! Bounds: [`Limits`]; the victims are the rows of the lowest priority, the oldest first, and each is
//! counted in `dropped`. The table is read a window at a time, so a long one costs no memory.

use std::collections::HashSet;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::gap::{self, Cause};
use crate::command::{Outcome, Priority, elapsed_ms, fresh_id};

/// How many bytes of payloads are read at once: some of the largest, and more than enough small ones.
const MAX_READ_BYTES: usize = 256 * 1024;

// These walk along an index and stop early, however long the outbox is.
const PENDING: &str = "SELECT id, topic, own, correlation, payload, expires_ms FROM outbox
    WHERE broker = ?1 AND dead IS NULL ORDER BY priority DESC, id";
const VICTIM: &str =
    "SELECT id FROM outbox WHERE topic <> 'event/gap' ORDER BY priority, id LIMIT 1";
// The plus keeps SQLite from the index by broker, after which it would have to sort.
const OLDEST: &str =
    "SELECT created_ms FROM outbox WHERE dead IS NULL AND +broker = 0 ORDER BY id LIMIT 1";

/// How much may wait, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Rows.
    pub rows: i64,
    /// Bytes of topics and payloads together.
    pub bytes: i64,
    /// Days of the daemon's running time.
    pub days: i64,
    /// Refusals after which a row is not sent any more.
    pub attempts: u32,
    /// Rows of [feedback](super::feedback), which are written with a command's end as those of the outbox are.
    pub feedback: i64,
}

/// The broker that a row goes to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Broker {
    /// The fleet's.
    #[default]
    Upstream = 0,
    /// The one on the board, for front-ends that work without a network.
    OnBoard = 1,
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
    /// After this it is worth nothing to anybody.
    pub expires_at: Option<Timestamp>,
}

/// The outbox at a glance, as in the retained status.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct OutboxStats {
    /// Rows that wait for the upstream broker.
    pub pending: u64,
    /// Age of the oldest in seconds.
    pub oldest_seconds: u64,
    /// Rows that fell to the bounds since the database was made.
    pub dropped: u64,
    /// Rows that a broker refused so often that they are not sent any more.
    #[serde(skip)]
    pub dead: u64,
}

/// An event that is to be put into the outbox.
#[derive(Debug, Clone, PartialEq)]
pub struct Event<'a> {
    /// The last level of its topic.
    pub kind: &'a str,
    /// Its payload, besides `event_id`, `seq` and `at`.
    pub fields: Map<String, Value>,
    /// Which goes first.
    pub priority: Priority,
    /// How long it is worth anything, in seconds.
    pub ttl_seconds: Option<u32>,
}

impl<'a> Event<'a> {
    /// An event of normal priority that keeps its worth.
    pub fn new(kind: &'a str, fields: Map<String, Value>) -> Self {
        Self { kind, fields, priority: Priority::Normal, ttl_seconds: None }
    }
}

/// Puts an event; it gets its `event_id` and the next `seq` here.
pub fn put_event(
    connection: &Connection,
    limits: Limits,
    event: Event<'_>,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let seq: i64 = connection
        .prepare_cached(
            "INSERT INTO meta VALUES ('event_seq', 1)
             ON CONFLICT (key) DO UPDATE SET value = value + 1 RETURNING value",
        )?
        .query_row([], |row| row.get(0))?;
    let Event { kind, mut fields, priority, ttl_seconds } = event;
    let mut payload = Map::new();
    payload.insert("event_id".into(), fresh_id().into());
    payload.insert("seq".into(), seq.into());
    payload.insert("at".into(), json!(now));
    payload.append(&mut fields);
    let row = NewRow {
        broker: Broker::Upstream,
        destination: &Destination::Own(format!("event/{kind}")),
        payload: &Value::Object(payload).to_string(),
        priority,
        seq: Some(seq),
        expires_ms: ttl_seconds.map(|ttl| now.as_millisecond() + i64::from(ttl) * 1000),
    };
    put(connection, limits, &row, now)
}

/// An outcome, for `result/<id>` and for the address that the sender gave. A command that came in on the
/// board's own broker is answered there, and the fleet gets its result all the same.
pub fn put_outcome(
    connection: &Connection,
    limits: Limits,
    outcome: &Outcome,
    broker: Broker,
    reply: Option<Destination>,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let payload = json!(outcome).to_string();
    let own = Destination::Own(format!("result/{}", outcome.id));
    let local = (broker == Broker::OnBoard).then_some((broker, &own));
    let reply = reply.as_ref().map(|reply| (broker, reply));
    for (broker, destination) in [(Broker::Upstream, &own)].into_iter().chain(local).chain(reply) {
        // A person waits for the outcome, so it goes before what only is to be known some time.
        let row = NewRow {
            broker,
            destination,
            payload: &payload,
            priority: Priority::High,
            seq: None,
            expires_ms: None,
        };
        put(connection, limits, &row, now)?;
    }
    Ok(())
}

struct NewRow<'a> {
    broker: Broker,
    destination: &'a Destination,
    payload: &'a str,
    priority: Priority,
    seq: Option<i64>,
    expires_ms: Option<i64>,
}

fn put(
    connection: &Connection,
    limits: Limits,
    row: &NewRow<'_>,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let (topic, own, correlation) = match row.destination {
        Destination::Own(topic) => (topic, true, None),
        Destination::Reply { topic, correlation } => (topic, false, correlation.as_deref()),
    };
    connection
        .prepare_cached(
            "INSERT INTO outbox (topic, own, payload, correlation, priority, created_ms, broker, seq,
                                 expires_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            topic,
            own,
            row.payload,
            correlation,
            row.priority as i64,
            now.as_millisecond(),
            row.broker as i64,
            row.seq,
            row.expires_ms,
        ])?;
    make_room(connection, limits)
}

fn make_room(connection: &Connection, limits: Limits) -> rusqlite::Result<()> {
    loop {
        let (rows, bytes): (i64, i64) = connection
            .prepare_cached("SELECT rows, bytes FROM outbox_totals")?
            .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        if rows <= limits.rows && bytes <= limits.bytes {
            return Ok(());
        }
        // What tells of a gap is no victim: it stands for many rows, and there is one at a time.
        let victim: Option<i64> =
            connection.prepare_cached(VICTIM)?.query_row([], |row| row.get(0)).optional()?;
        match victim {
            Some(id) => drop_row(connection, id, Cause::Full)?,
            None => return Ok(()),
        }
    }
}

/// Removes a row that will not be sent, counts it, and notes its number.
pub(super) fn drop_row(connection: &Connection, id: i64, cause: Cause) -> rusqlite::Result<()> {
    let gone: Option<(Option<i64>, bool)> = connection
        .prepare_cached("DELETE FROM outbox WHERE id = ?1 RETURNING seq, dead IS NOT NULL")?
        .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((seq, dead)) = gone else { return Ok(()) };
    connection
        .prepare_cached(
            "INSERT INTO meta VALUES ('outbox_dropped', 1)
             ON CONFLICT (key) DO UPDATE SET value = value + 1",
        )?
        .execute([])?;
    match seq {
        // The number of a dead row was told when it died.
        Some(seq) if !dead => gap::add(connection, seq, cause),
        _ => Ok(()),
    }
}

/// The next rows to send to a broker, besides those that are under way: by priority, then by age, at most
/// [`MAX_READ_BYTES`] and one. Rows whose lifetime is over are among them.
pub fn pending(
    connection: &Connection,
    broker: Broker,
    under_way: &HashSet<i64>,
    limit: usize,
) -> rusqlite::Result<Vec<OutboxRow>> {
    let mut statement = connection.prepare_cached(PENDING)?;
    let mut rows = statement.query([broker as i64])?;
    let (mut found, mut bytes) = (Vec::new(), 0);
    while found.len() < limit && bytes < MAX_READ_BYTES {
        let Some(row) = rows.next()? else { break };
        if !under_way.contains(&row.get(0)?) {
            let row = read(row)?;
            bytes += row.payload.len();
            found.push(row);
        }
    }
    Ok(found)
}

fn read(row: &Row<'_>) -> rusqlite::Result<OutboxRow> {
    let topic: String = row.get(1)?;
    let destination = if row.get(2)? {
        Destination::Own(topic)
    } else {
        Destination::Reply { topic, correlation: row.get(3)? }
    };
    let expires_ms: Option<i64> = row.get(5)?;
    Ok(OutboxRow {
        id: row.get(0)?,
        destination,
        payload: row.get(4)?,
        expires_at: expires_ms.and_then(|ms| Timestamp::from_millisecond(ms).ok()),
    })
}

/// Removes rows that the broker has acknowledged. Returns how many there were.
pub fn delivered(connection: &Connection, ids: &[i64]) -> rusqlite::Result<usize> {
    let mut statement = connection.prepare_cached("DELETE FROM outbox WHERE id = ?1")?;
    let mut gone = 0;
    for id in ids {
        gone += statement.execute([id])?;
    }
    Ok(gone)
}

/// The outbox at a glance.
pub fn stats(connection: &Connection, now: Timestamp) -> rusqlite::Result<OutboxStats> {
    let count = |sql: &str| -> rusqlite::Result<i64> {
        Ok(connection.prepare_cached(sql)?.query_row([], |row| row.get(0)).optional()?.unwrap_or(0))
    };
    // Counting a long table would take long; the rows that do not wait for the upstream broker are few.
    let all = count("SELECT rows FROM outbox_totals")?;
    let dead = count("SELECT count(*) FROM outbox WHERE dead IS NOT NULL")?;
    let on_board = count("SELECT count(*) FROM outbox WHERE broker = 1 AND dead IS NULL")?;
    let dropped = count("SELECT value FROM meta WHERE key = 'outbox_dropped'")?;
    let oldest: Option<i64> =
        connection.prepare_cached(OLDEST)?.query_row([], |row| row.get(0)).optional()?;
    let oldest = oldest.and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let unsigned = |n: i64| u64::try_from(n).unwrap_or(0);
    Ok(OutboxStats {
        pending: unsigned(all - dead - on_board),
        oldest_seconds: oldest.map_or(0, |at| elapsed_ms(at, now) / 1000),
        dropped: unsigned(dropped),
        dead: unsigned(dead),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::schema;

    #[test]
    fn no_question_about_a_long_outbox_sorts_it() {
        let mut connection = Connection::open_in_memory().expect("a database");
        schema::migrate(&mut connection).expect("tables");
        for sql in [PENDING, VICTIM, OLDEST] {
            let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect(sql);
            let parameters: &[i64] = if sql == PENDING { &[0] } else { &[] };
            let steps: Vec<String> = plan
                .query_map(rusqlite::params_from_iter(parameters), |row| row.get(3))
                .expect("a plan")
                .collect::<Result<_, _>>()
                .expect("its steps");
            assert!(!steps.iter().any(|step| step.contains("B-TREE")), "{sql}: {steps:?}");
        }
    }
}
