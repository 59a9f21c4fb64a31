//! `[store]`: where the database is, and how much may wait in its outbox.

use std::path::PathBuf;

use serde::Deserialize;

use super::outbox::Limits;

/// The `[store]` section.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// The database file. Set it to a disk that survives a power cut.
    pub path: PathBuf,
    /// The most rows that wait for the network. Set it lower on a small disk.
    pub outbox_rows: u32,
    /// The most MiB that wait for the network.
    pub outbox_mib: u32,
    /// How many days of the daemon's running time a message waits for the network. Set it lower where old
    /// messages are of no use.
    pub outbox_days: u32,
    /// How often a broker may refuse a message before it is put aside (see `agentd outbox`). Set it higher
    /// where access rules are often wrong for a while.
    pub outbox_attempts: u32,
    /// How many approvals, denials and corrections of the model's answers are kept to learn from (see `agentd
    /// feedback`). Set it to 0 where what people say must not be kept.
    pub feedback_rows: u32,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            path: "/var/lib/agentd/agentd.db".into(),
            outbox_rows: 100_000,
            outbox_mib: 64,
            outbox_days: 30,
            outbox_attempts: 10,
            feedback_rows: 2000,
        }
    }
}

impl StoreConfig {
    /// The outbox's bounds.
    pub fn limits(&self) -> Limits {
        Limits {
            rows: self.outbox_rows.into(),
            bytes: i64::from(self.outbox_mib) * 1024 * 1024,
            days: self.outbox_days.into(),
            attempts: self.outbox_attempts,
            feedback: self.feedback_rows.into(),
        }
    }
}
