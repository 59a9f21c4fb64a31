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
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self { path: "/var/lib/agentd/agentd.db".into(), outbox_rows: 100_000, outbox_mib: 64 }
    }
}

impl StoreConfig {
    /// The outbox's bounds.
    pub fn limits(&self) -> Limits {
        Limits { rows: self.outbox_rows.into(), bytes: i64::from(self.outbox_mib) * 1024 * 1024 }
    }
}
