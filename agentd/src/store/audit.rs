//! The audit log: one record for each command that ended, each carrying the hash of the one before.
//!
//! A record's hash is SHA-256 over the hash before it and the record's text, so that a record cannot be
//! changed or taken out of the middle without breaking all that follow. That the end was cut off shows
//! by [`Head`], which the device publishes. When old records are forgotten, the hash of the last of them is
//! kept, and the chain is verified from there.

use std::path::Path;

use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::StoreError;

/// The end of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The number of the last record; 0 where there is none.
    pub seq: i64,
    /// Its hash, in hexadecimal.
    pub hash: String,
}

/// What verifying found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Records that were read and are right.
    pub records: u64,
    /// The number of the first record that is kept.
    pub first_seq: i64,
    /// The end of the chain as it is in the file.
    pub head: Head,
    /// What is wrong; none where the chain holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broken: Option<String>,
}

/// Appends a record.
pub fn append(
    connection: &Connection,
    command_id: &str,
    record: &Value,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let before: Option<Vec<u8>> = connection
        .prepare_cached("SELECT hash FROM audit ORDER BY seq DESC LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()?;
    let record = record.to_string();
    let hash = chain(before.as_deref().unwrap_or(&NOTHING), &record);
    connection
        .prepare_cached(
            "INSERT INTO audit (at_ms, command_id, record, hash) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![now.as_millisecond(), command_id, record, hash])?;
    Ok(())
}

/// The hash before the first record.
const NOTHING: [u8; 32] = [0; 32];

/// The hash of a record that follows one with the hash `before`.
pub fn chain(before: &[u8], record: &str) -> Vec<u8> {
    Sha256::new().chain_update(before).chain_update(record).finalize().to_vec()
}

/// The end of the chain.
pub fn head(connection: &Connection) -> rusqlite::Result<Head> {
    let last = connection
        .prepare_cached("SELECT seq, lower(hex(hash)) FROM audit ORDER BY seq DESC LIMIT 1")?
        .query_row([], |row| Ok(Head { seq: row.get(0)?, hash: row.get(1)? }))
        .optional()?;
    Ok(last.unwrap_or_else(|| Head { seq: 0, hash: "0".repeat(2 * NOTHING.len()) }))
}

/// Forgets the oldest records past the bound, at most `round` of them, and keeps the hash that the first one
/// left follows.
pub(super) fn forget(connection: &Connection, keep: i64, round: i64) -> rusqlite::Result<usize> {
    let last: Option<i64> = connection
        .query_row(
            "SELECT max(seq) FROM (SELECT seq FROM audit
               WHERE seq <= (SELECT max(seq) FROM audit) - ?1 ORDER BY seq LIMIT ?2)",
            params![keep, round],
            |row| row.get(0),
        )
        .optional()?
        .flatten();
    let Some(last) = last else { return Ok(0) };
    connection.execute(
        "INSERT OR REPLACE INTO meta SELECT 'audit_before', hash FROM audit WHERE seq = ?1",
        [last],
    )?;
    connection.execute("DELETE FROM audit WHERE seq <= ?1", [last])
}

/// Verifies the chain of a database that a daemon may have open. Nothing is changed.
pub fn verify(path: &Path) -> Result<Verdict, StoreError> {
    Ok(verify_connection(&open(path)?)?)
}

pub(super) fn verify_connection(connection: &Connection) -> rusqlite::Result<Verdict> {
    // One view of both tables, whatever the daemon writes meanwhile.
    let view = connection.unchecked_transaction()?;
    let kept: Option<Vec<u8>> = view
        .query_row("SELECT value FROM meta WHERE key = 'audit_before'", [], |row| row.get(0))
        .optional()?;
    let mut before = kept.clone().unwrap_or(NOTHING.to_vec());
    let mut verdict = Verdict { records: 0, first_seq: 0, head: head(&view)?, broken: None };
    let mut statement = view.prepare("SELECT seq, record, hash FROM audit ORDER BY seq")?;
    let mut rows = statement.query([])?;
    let mut last = None;
    while let Some(row) = rows.next()? {
        let (seq, record, hash): (i64, String, Vec<u8>) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let broken = match last {
            None if kept.is_none() && seq != 1 => Some("the records before it are gone".to_owned()),
            Some(last) if seq != last + 1 => Some(format!("it follows record {last}")),
            _ if chain(&before, &record) != hash => {
                Some("it does not have the hash that follows from the one before it".to_owned())
            }
            _ => None,
        };
        if let Some(why) = broken {
            verdict.broken = Some(format!("record {seq}: {why}"));
            return Ok(verdict);
        }
        if last.is_none() {
            verdict.first_seq = seq;
        }
        (last, before) = (Some(seq), hash);
        verdict.records += 1;
    }
    // SQLite keeps the highest number that was ever given, so that a cut-off end shows even here.
    let given: i64 = view
        .query_row("SELECT seq FROM sqlite_sequence WHERE name = 'audit'", [], |row| row.get(0))
        .optional()?
        .unwrap_or(0);
    if given > last.unwrap_or(0) {
        verdict.broken = Some(format!(
            "{given} records were written, and the last one here is {}",
            verdict.head.seq
        ));
    }
    Ok(verdict)
}

/// Whether the chain holds the record that a device published as its head, or has forgotten it.
pub fn contains(path: &Path, published: &Head) -> Result<bool, StoreError> {
    let connection = open(path)?;
    let hash: Option<String> = connection
        .query_row("SELECT lower(hex(hash)) FROM audit WHERE seq = ?1", [published.seq], |row| {
            row.get(0)
        })
        .optional()?;
    let first: Option<i64> =
        connection.query_row("SELECT min(seq) FROM audit", [], |row| row.get(0))?;
    Ok(match hash {
        Some(hash) => hash.eq_ignore_ascii_case(&published.hash),
        None => first.is_some_and(|first| published.seq < first),
    })
}

/// A database that a daemon may have open, to be read.
pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(std::time::Duration::from_secs(2))?;
    Ok(connection)
}
