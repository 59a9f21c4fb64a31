//! The service manager's watchdog, fed only while the real loops turn.
//!
//! A beat is sent when the store's thread answered and the agent's loop has turned since the last beat.
//! A daemon whose disk hangs or whose loop is stuck is restarted by systemd; its inbox is not lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use log::error;
use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::store::Store;

/// How often a loop says that it turns.
pub const TURN: Duration = Duration::from_secs(1);

/// A loop's sign of life.
#[derive(Debug, Clone, Default)]
pub struct Heartbeat(Arc<AtomicU64>);

impl Heartbeat {
    /// Says that the loop turns.
    pub fn beat(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    fn count(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Feeds the watchdog until `stop` says so, and keeps the outbox's gauge true.
pub async fn run(store: Store, agent: Heartbeat, metrics: Arc<Metrics>, stop: CancellationToken) {
    // Twice in the time that systemd allows; every ten seconds where nobody watches.
    let allowed = sd_notify::watchdog_enabled();
    let period = allowed.map_or(Duration::from_secs(10), |allowed| allowed / 2).max(TURN * 2);
    let mut beat = tokio::time::interval(period);
    let mut last = None;
    while !stop.is_cancelled() {
        tokio::select! {
            _ = beat.tick() => {}
            () = stop.cancelled() => continue,
        }
        let answered = match tokio::time::timeout(period, store.outbox_stats()).await {
            Ok(Ok(stats)) => {
                metrics.outbox_pending.set(stats.pending);
                true
            }
            // A store that fails is told of in health; the thread is alive.
            Ok(Err(_)) => true,
            Err(_) => false,
        };
        let turned = last.replace(agent.count()) != Some(agent.count());
        if answered && turned {
            // Without systemd there is nobody to tell, which is no error.
            let _ = sd_notify::notify(&[NotifyState::Watchdog]);
        } else {
            error!(store_answered = answered, agent_turned = turned; "a loop is stuck");
        }
    }
}
