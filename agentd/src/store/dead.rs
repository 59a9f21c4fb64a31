//! Rows that a broker refuses: each refusal is counted, and at [`Limits::attempts`] of them the row is dead.
//! It is kept, counts against the outbox's bounds, and waits for a person: `agentd outbox`.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::{Deserialize, Serialize};

use super::gap::{self, Cause};
use super::inbox::timestamp;
use super::outbox::{self, Limits};

/// The most rows that a listing shows.
pub const MAX_LISTED: usize = 1000;

/// How bad a refusal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It is tried again, up to the bound on attempts.
    Counted,
    /// The row can never be taken as it is.
    Final,
}

/// What a refusal made of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// Refusals so far.
    pub attempts: u32,
    /// Whether it is not sent any more.
    pub dead: bool,
}

/// Which rows are meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Which {
    /// All that are dead.
    Dead,
    /// All, dead or waiting.
    All,
    /// These.
    Ids(Vec<i64>),
}

/// One row as a person sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Its id, for `retry` and `purge`.
    pub id: i64,
    /// The topic, below `agentd/<device>/` where it begins with none of its own.
    pub topic: String,
    /// `low`, `normal` or `high`.
    pub priority: crate::command::Priority,
    /// When it was written.
    pub created_at: Timestamp,
    /// Payload bytes.
    pub bytes: u64,
    /// Refusals so far.
    pub attempts: u32,
    /// Why it is not sent any more, where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead: Option<String>,
}

/// Counts a refusal. `None`: there is no such row any more. What tells of a gap never dies: it stands for
/// the rows that fell.
pub(super) fn refused(
    connection: &Connection,
    limits: Limits,
    id: i64,
    why: &str,
    refusal: Refusal,
) -> rusqlite::Result<Option<Refused>> {
    let row: Option<(u32, bool, Option<i64>)> = connection
        .prepare_cached(
            "UPDATE outbox SET attempts = attempts + 1,
                    dead = CASE WHEN topic <> 'event/gap' AND (?3 OR attempts + 1 >= ?4) THEN ?2 END
             WHERE id = ?1 AND dead IS NULL RETURNING attempts, dead IS NOT NULL, seq",
        )?
        .query_row(params![id, why, refusal == Refusal::Final, limits.attempts], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    let Some((attempts, dead, seq)) = row else { return Ok(None) };
    if let Some(seq) = seq.filter(|_| dead) {
        gap::add(connection, seq, Cause::Refused)?;
    }
    Ok(Some(Refused { attempts, dead }))
}

/// The rows of the outbox, the dead ones first, then in the order in which they are sent.
pub(super) fn list(connection: &Connection, limit: usize) -> rusqlite::Result<Vec<Listed>> {
    use crate::command::Priority;
    let mut statement = connection.prepare_cached(
        "SELECT id, topic, priority, created_ms, octet_length(payload), attempts, dead FROM (
             SELECT * FROM (SELECT * FROM outbox WHERE dead IS NOT NULL ORDER BY id LIMIT ?1)
             UNION ALL
             SELECT * FROM (SELECT * FROM outbox WHERE dead IS NULL
                            ORDER BY broker, priority DESC, id LIMIT ?1)
         ) LIMIT ?1",
    )?;
    let rows = statement.query_map([limit.min(MAX_LISTED) as i64], |row| {
        Ok(Listed {
            id: row.get(0)?,
            topic: row.get(1)?,
            priority: match row.get::<_, i64>(2)? {
                0 => Priority::Low,
                1 => Priority::Normal,
                _ => Priority::High,
            },
            created_at: timestamp(row.get(3)?),
            bytes: row.get::<_, i64>(4)?.unsigned_abs(),
            attempts: row.get(5)?,
            dead: row.get(6)?,
        })
    })?;
    rows.collect()
}

/// Has rows sent again as if they had never been refused. Returns how many there were.
pub(super) fn retry(connection: &Connection, which: &Which) -> rusqlite::Result<usize> {
    const AGAIN: &str = "UPDATE outbox SET dead = NULL, attempts = 0";
    match which {
        Which::All | Which::Dead => {
            connection.execute(&format!("{AGAIN} WHERE dead IS NOT NULL"), [])
        }
        Which::Ids(ids) => {
            let mut statement =
                connection.prepare(&format!("{AGAIN} WHERE id = ?1 AND dead IS NOT NULL"))?;
            ids.iter().map(|id| statement.execute([id])).sum()
        }
    }
}

/// Removes rows for good, counted and told as a gap. Returns how many there were.
pub(super) fn purge(connection: &Connection, which: &Which) -> rusqlite::Result<usize> {
    let ids: Vec<i64> = match which {
        Which::Ids(ids) => ids.clone(),
        Which::Dead | Which::All => {
            let dead = if *which == Which::Dead { "AND dead IS NOT NULL" } else { "" };
            let sql =
                format!("SELECT id FROM outbox WHERE topic <> 'event/gap' {dead} ORDER BY id");
            connection.prepare(&sql)?.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?
        }
    };
    let rows = |connection: &Connection| -> rusqlite::Result<i64> {
        connection.query_row("SELECT rows FROM outbox_totals", [], |row| row.get(0))
    };
    let before = rows(connection)?;
    for id in ids {
        outbox::drop_row(connection, id, Cause::Purged)?;
    }
    Ok(usize::try_from(before - rows(connection)?).unwrap_or(0))
}
