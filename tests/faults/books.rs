//! What the daemon has written down, read from its database by somebody else.

use std::path::Path;

use agentd::command::{Command, Outcome};
use anyhow::{Context as _, Result};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};

/// A command of the inbox.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) id: String,
    /// The number that its words carry.
    pub(crate) number: u32,
    pub(crate) state: String,
    /// Whether it has ended.
    pub(crate) ended: bool,
    pub(crate) outcome: Option<Outcome>,
}

/// A record of the audit log.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) command_id: String,
    pub(crate) text: String,
    pub(crate) hash: Vec<u8>,
}

/// All of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Books {
    pub(crate) inbox: Vec<Entry>,
    /// Ids of commands with an acting call whose intent was recorded.
    pub(crate) intents: Vec<String>,
    /// Topics and payloads that wait for the broker.
    pub(crate) outbox: Vec<(String, String)>,
    /// The last `seq` that an event was given.
    pub(crate) event_seq: u64,
    /// Rows that fell to the outbox's bound.
    pub(crate) dropped: u64,
    pub(crate) audit: Vec<Record>,
}

impl Books {
    /// Reads the database, whether the daemon runs or not.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags)
            .with_context(|| format!("{} cannot be opened", path.display()))?;
        // One transaction, so that all of it is of one moment.
        let db = connection.transaction()?;
        let meta = |key: &str| -> Result<u64> {
            let row =
                db.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0));
            let value: Option<i64> = row.optional()?;
            Ok(u64::try_from(value.unwrap_or(0))?)
        };
        let mut inbox = Vec::new();
        let mut statement =
            db.prepare("SELECT id, command, state, finished_ms, outcome FROM inbox ORDER BY seq")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let command: Command = serde_json::from_str(&row.get::<_, String>(1)?)?;
            let outcome: Option<String> = row.get(4)?;
            inbox.push(Entry {
                id: row.get(0)?,
                number: number(&command.summary()),
                state: row.get(2)?,
                ended: row.get::<_, Option<i64>>(3)?.is_some(),
                outcome: outcome.as_deref().map(serde_json::from_str).transpose()?,
            });
        }
        let mut outbox = Vec::new();
        let mut statement = db.prepare("SELECT topic, payload FROM outbox ORDER BY id")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            outbox.push((row.get(0)?, row.get(1)?));
        }
        let mut audit = Vec::new();
        let mut statement =
            db.prepare("SELECT command_id, record, hash FROM audit ORDER BY seq")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            audit.push(Record { command_id: row.get(0)?, text: row.get(1)?, hash: row.get(2)? });
        }
        let mut statement = db.prepare("SELECT command_id FROM calls WHERE acts = 1")?;
        let intents = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        let (event_seq, dropped) = (meta("event_seq")?, meta("outbox_dropped")?);
        Ok(Self { inbox, intents, outbox, event_seq, dropped, audit })
    }
}

/// The number at the end of a command's words; 0 where there is none.
pub(crate) fn number(words: &str) -> u32 {
    let digits = words.rsplit(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    digits.parse().unwrap_or(0)
}
