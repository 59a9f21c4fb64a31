//! The audit log: one record for each command that ended, each carrying the hash of the one before.

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Transaction, params};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Appends a record. Its hash is SHA-256 over the previous hash and the record's text, so that a
/// record cannot be changed or taken out of the middle without breaking all that follow.
pub fn append(
    transaction: &Transaction<'_>,
    command_id: &str,
    record: &Value,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let before: Option<Vec<u8>> = transaction
        .query_row("SELECT hash FROM audit ORDER BY seq DESC LIMIT 1", [], |row| row.get(0))
        .optional()?;
    let record = record.to_string();
    let hash = chain(before.as_deref().unwrap_or(&[0; 32]), &record);
    transaction.execute(
        "INSERT INTO audit (at_ms, command_id, record, hash) VALUES (?1, ?2, ?3, ?4)",
        params![now.as_millisecond(), command_id, record, hash],
    )?;
    Ok(())
}

/// The hash of a record that follows one with the hash `before`.
pub fn chain(before: &[u8], record: &str) -> Vec<u8> {
    Sha256::new().chain_update(before).chain_update(record).finalize().to_vec()
}
