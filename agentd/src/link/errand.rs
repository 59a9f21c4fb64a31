//! The errand to the store: acknowledged rows out, the next rows in. One at a time, while sending goes on:
//! a round trip to the disk then costs the broker no wait.
//!
//! Bounds: what is removed is at most [`super::window::REMOVED_TOGETHER`] and a window; what is read, [`super::ahead::MOST`].

use std::time::Instant;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::drain::Trouble;
use super::incoming::Door;
use super::session::Session;
use crate::store::{OutboxRow, OutboxStats, StoreError};

/// What an errand came back with.
pub(super) struct Brought {
    /// The rows that were to be removed.
    taken: Vec<i64>,
    /// How many there still were.
    gone: Result<usize, StoreError>,
    /// What was read, if something was to be.
    rows: Option<Result<Vec<OutboxRow>, StoreError>>,
    stats: Result<OutboxStats, StoreError>,
}

/// An errand under way.
pub(super) struct Errand {
    brought: BoxFuture<'static, Brought>,
    /// The outbox has changed since it left: what it read may not be what goes next.
    is_stale: bool,
}

impl Errand {
    /// What it read is not to be sent.
    pub(super) fn outdated(&mut self) {
        self.is_stale = true;
    }
}

impl Session<'_> {
    /// Sends somebody to the store, if there is something to do and nobody is on the way.
    pub(super) fn go_on_errand(&mut self, room: usize, now: Instant) {
        let reads = room > 0 && self.rows_wait && self.ahead.is_low();
        if self.errand.is_some() || !(reads || self.link.window.is_removal_due()) {
            return;
        }
        let blamed = self.link.pause.blamed();
        let depth = match blamed {
            // One at a time, and none beside it.
            Some(_) => room,
            None if reads => self.ahead.depth(room),
            None => 0,
        };
        let taken = self.link.window.acknowledged();
        let mut skip = self.link.window.skip(now);
        skip.extend(self.ahead.ids());
        let Door { store, broker, .. } = &self.link.door;
        let (store, broker) = (store.clone(), *broker);
        let brought = async move {
            let removal = async {
                if taken.is_empty() { Ok(0) } else { store.delivered(taken.clone()).await }
            };
            let rows = async {
                if !reads {
                    return None;
                }
                // The row that a broker stumbled over is tried only if there is no other.
                let others = skip.iter().copied().chain(blamed).collect();
                match store.pending(broker, others, depth).await {
                    Ok(rows) if rows.is_empty() && blamed.is_some() => {
                        Some(store.pending(broker, skip, depth).await)
                    }
                    rows => Some(rows),
                }
            };
            // Asked for together, they are one transaction of the store.
            let (gone, rows, stats) = tokio::join!(removal, rows, store.outbox_stats());
            Brought { taken, gone, rows, stats }
        };
        self.errand = Some(Errand { brought: brought.boxed(), is_stale: false });
    }

    /// Takes in what an errand came back with.
    pub(super) fn brought(&mut self, brought: Brought, is_stale: bool) -> Result<(), Trouble> {
        let Brought { taken, gone, rows, stats } = brought;
        self.link.door.metrics.outbox_delivered_total.add(gone? as u64);
        self.link.window.removed(&taken);
        self.tell_outbox(&stats?);
        if let Some(rows) = rows
            && !is_stale
        {
            let rows = rows?;
            // A store that gave none has none; how many it gives at once is its own bound.
            self.rows_wait = !rows.is_empty();
            self.ahead.read(rows);
        }
        Ok(())
    }
}

/// Waits for the errand that is under way; for ever where there is none. It may be dropped at any time.
pub(super) async fn back(errand: &mut Option<Errand>) -> (Brought, bool) {
    match errand {
        Some(Errand { brought, is_stale }) => {
            let back = (brought.await, *is_stale);
            *errand = None;
            back
        }
        None => std::future::pending().await,
    }
}
