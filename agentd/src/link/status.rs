//! When the retained status is published again.
//!
//! It is due [`DEBOUNCE`] after the first change since the last one, and is not published where nothing
//! changed by then that a watcher acts on: what is lost, the model, whether anything waits. An outbox that
//! fills and empties with each command is no news.

use std::time::{Duration, Instant};

use super::session::Session;
use super::wire::{Outbox, Presence, Status};

/// The least time between two publications.
pub(super) const DEBOUNCE: Duration = Duration::from_secs(1);

/// What was published, and when it is to be looked at again.
#[derive(Debug, Default)]
pub(super) struct Publisher {
    last: Option<Status>,
    due: Option<Instant>,
}

impl Publisher {
    /// Something may have changed.
    pub(super) fn changed(&mut self, now: Instant) {
        self.due.get_or_insert(now + DEBOUNCE);
    }

    /// When the status is to be looked at.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Whether anything waited when it was last published.
    pub(super) fn said_pending(&self) -> Option<bool> {
        self.last.as_ref().map(|status| status.outbox.pending > 0)
    }

    /// Looks at the status. Returns the payload where it is to be published.
    pub(super) fn look(&mut self, status: Status) -> Option<String> {
        self.due = None;
        if self.last.as_ref().is_some_and(|last| same(last, &status)) {
            return None;
        }
        self.last = Some(status.clone());
        Some(Presence::Online(status).payload())
    }
}

impl Session<'_> {
    /// Publishes the status if it is news.
    pub(super) async fn look_at_status(&mut self) -> Result<(), String> {
        let outbox: Outbox = match self.link.door.store.outbox_stats().await {
            Ok(stats) => stats.into(),
            Err(error) => {
                self.store_failed(&error, Instant::now());
                Outbox { pending: 0, oldest_seconds: 0, dropped: 0 }
            }
        };
        let audit = self.link.door.store.audit_head().await.ok();
        let status = Status {
            version: env!("CARGO_PKG_VERSION").into(),
            since: self.link.device.started_at,
            model: self.link.device.model.borrow().clone(),
            link: self.link.settings.server.to_string(),
            outbox,
            audit,
            degraded: self.link.health.degraded().into_iter().map(Into::into).collect(),
        };
        match self.publisher.look(status) {
            Some(payload) => self.publish("status", self.link.door.topics.status(), payload, true),
            None => Ok(()),
        }
    }
}

fn same(a: &Status, b: &Status) -> bool {
    a.link == b.link
        && a.model == b.model
        && a.degraded == b.degraded
        && (a.outbox.pending == 0) == (b.outbox.pending == 0)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::super::wire::{Degraded, Outbox};
    use super::*;

    fn status(pending: u64) -> Status {
        Status {
            version: "0".into(),
            since: Timestamp::UNIX_EPOCH,
            model: None,
            link: "mqtt://a:1883".into(),
            outbox: Outbox { pending, oldest_seconds: 0, dropped: 0 },
            audit: None,
            degraded: Vec::new(),
        }
    }

    #[test]
    fn changes_within_a_second_are_one_look() {
        let (mut publisher, now) = (Publisher::default(), Instant::now());
        assert_eq!(publisher.due(), None);
        publisher.changed(now);
        publisher.changed(now + Duration::from_millis(900));
        assert_eq!(publisher.due(), Some(now + DEBOUNCE));
        assert!(publisher.look(status(0)).is_some());
        assert_eq!(publisher.due(), None);
    }

    #[test]
    fn a_status_is_published_again_only_where_a_watcher_would_act() {
        let mut publisher = Publisher::default();
        assert!(publisher.look(status(0)).is_some());
        assert!(publisher.look(status(0)).is_none());
        assert!(publisher.look(status(1)).is_some());
        assert!(publisher.look(status(2)).is_none(), "one more row is no news");
        let mut other = status(2);
        other.model = Some("smollm2".into());
        assert!(publisher.look(other.clone()).is_some());
        other.degraded.push(Degraded {
            component: "port:board".into(),
            cause: "gone".into(),
            since: Timestamp::UNIX_EPOCH,
        });
        assert!(publisher.look(other).is_some());
    }
}
