//! The last commands, for a page that has just been opened: what waits for approval must not be lost
//! from sight because somebody reloaded it. Bound: [`MAX_RECENT`]; the victims are the oldest.

use jiff::Timestamp;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use super::inbox::{from_json, timestamp};
use super::{Store, StoreError};
use crate::command::{Command, Outcome};

/// The most commands that come back.
pub const MAX_RECENT: usize = 20;

/// One command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recent {
    /// Its id.
    pub id: String,
    /// What was asked, in one line.
    pub text: String,
    /// The front-end it came from.
    pub source: String,
    /// When it was accepted.
    pub received_at: Timestamp,
    /// Its outcome so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
}

impl Store {
    /// The last commands, the newest first.
    pub async fn recent(&self) -> Result<Vec<Recent>, StoreError> {
        self.run(read).await
    }
}

fn read(connection: &Connection) -> Result<Vec<Recent>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT command, source, received_ms, outcome FROM inbox ORDER BY seq DESC LIMIT ?1",
    )?;
    let mut rows = statement.query([MAX_RECENT as i64])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let command: Command = from_json(&row.get::<_, String>(0)?)?;
        let outcome: Option<String> = row.get(3)?;
        found.push(Recent {
            text: command.summary(),
            id: command.id,
            source: row.get(1)?,
            received_at: timestamp(row.get(2)?),
            outcome: outcome.as_deref().map(from_json).transpose()?,
        });
    }
    Ok(found)
}
