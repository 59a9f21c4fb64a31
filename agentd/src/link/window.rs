//! The window: which outbox rows are under way to the broker, and what became of them.
//!
//! ```text
//!  outbox row ──sent──> under way ──acked──> acknowledged ──removed──> gone
//!       ^                   │  │
//!       └──new connection───┘  └──refused──> put back for a while ──> sent again
//! ```
//!
//! A plain value: it does no I/O, and time is an argument. Bounds: at most [`LIMIT`] rows, or the
//! broker's Receive Maximum, are under way; at most [`MOST_REFUSED`] are put back, and while that many
//! are, nothing is sent: then the fault lies with the broker and not with the rows.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// The most rows under way. It keeps a link of 100 ms round trip at 1280 rows a second, and is what is sent twice
/// at most after a loss of the connection. With the largest payloads it is 8 MiB of memory.
pub(super) const LIMIT: usize = 128;
/// Acknowledged rows that wait for their removal, before the store is asked for one: each removal costs the
/// disk a write. So many more rows may be sent twice after a kill of the daemon.
pub(super) const REMOVED_TOGETHER: usize = 512;
/// The most rows that are put back after a refusal.
pub(super) const MOST_REFUSED: usize = 64;
/// A row that is not acknowledged for so long makes the connection suspect. TCP alone would take minutes.
pub(super) const SUSPECT_AFTER: Duration = Duration::from_secs(20);
/// A row that was refused once is sent again after this; each refusal doubles it.
pub(super) const FIRST_RETRY: Duration = Duration::from_secs(5);
/// A row is never put back for longer than this.
pub(super) const LAST_RETRY: Duration = Duration::from_secs(300);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Refusal {
    times: u32,
    until: Instant,
}

/// The window.
#[derive(Debug, Clone)]
pub(super) struct Window {
    limit: usize,
    /// Since when each is.
    under_way: BTreeMap<i64, Instant>,
    acknowledged: BTreeSet<i64>,
    refused: BTreeMap<i64, Refusal>,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            limit: LIMIT,
            under_way: BTreeMap::new(),
            acknowledged: BTreeSet::new(),
            refused: BTreeMap::new(),
        }
    }
}

impl Window {
    /// A new connection: what was not acknowledged is sent again. The rows that were acknowledged stay,
    /// because they wait only for their removal, and so do those that the broker refused.
    pub(super) fn connected(&mut self, receive_maximum: u16) {
        self.limit = LIMIT.min(receive_maximum.into()).max(1);
        self.under_way.clear();
    }

    /// How many rows may be sent now.
    pub(super) fn room(&self, now: Instant) -> usize {
        if self.put_back(now).count() >= MOST_REFUSED {
            return 0;
        }
        self.limit.saturating_sub(self.under_way())
    }

    /// The rows that are not to be sent now, whatever room there is.
    pub(super) fn skip(&self, now: Instant) -> Vec<i64> {
        let known = self.under_way.keys().chain(&self.acknowledged).copied();
        known.chain(self.put_back(now)).collect()
    }

    /// A row has been handed to the connection.
    pub(super) fn sent(&mut self, id: i64, now: Instant) {
        self.under_way.insert(id, now);
    }

    /// The broker has taken a row. An answer to a row that is not under way is ignored.
    pub(super) fn acked(&mut self, id: i64) {
        if self.under_way.remove(&id).is_some() {
            self.acknowledged.insert(id);
            self.refused.remove(&id);
        }
    }

    /// The broker has refused a row, or it cannot be sent: it is put back. Returns for how long.
    pub(super) fn refused(&mut self, id: i64, now: Instant) -> Duration {
        self.under_way.remove(&id);
        let times = self.refused.get(&id).map_or(0, |refusal| refusal.times);
        let delay = FIRST_RETRY.saturating_mul(1 << times.min(16)).min(LAST_RETRY);
        self.make_room_for_refusal(id);
        self.refused.insert(id, Refusal { times: times + 1, until: now + delay });
        delay
    }

    /// The broker has refused a row through no fault of its own: it may be sent again at any time.
    pub(super) fn released(&mut self, id: i64) {
        self.under_way.remove(&id);
    }

    /// A row is not to be sent any more.
    pub(super) fn forget(&mut self, id: i64) {
        self.refused.remove(&id);
    }

    /// The rows that the broker has taken and that are still in the store.
    pub(super) fn acknowledged(&self) -> Vec<i64> {
        self.acknowledged.iter().copied().collect()
    }

    /// Whether their removal is due: they are many, or the last ones, of which nothing else would remind.
    pub(super) fn is_removal_due(&self) -> bool {
        let last = self.under_way.is_empty() && !self.acknowledged.is_empty();
        last || self.acknowledged.len() >= REMOVED_TOGETHER
    }

    /// Rows have been removed from the store.
    pub(super) fn removed(&mut self, ids: &[i64]) {
        for id in ids {
            self.acknowledged.remove(id);
        }
    }

    /// How many rows are under way.
    pub(super) fn under_way(&self) -> usize {
        self.under_way.len()
    }

    /// Whether a row has been under way for too long.
    pub(super) fn is_suspect(&self, now: Instant) -> bool {
        self.suspect_at().is_some_and(|at| now >= at)
    }

    /// When something is to be done, if nothing happens before: a row becomes suspect, or may be sent
    /// again.
    pub(super) fn next_due(&self, now: Instant) -> Option<Instant> {
        let retry = self.refused.values().map(|refusal| refusal.until).filter(|until| *until > now);
        self.suspect_at().into_iter().chain(retry).min()
    }

    fn suspect_at(&self) -> Option<Instant> {
        self.under_way.values().min().map(|since| *since + SUSPECT_AFTER)
    }

    fn put_back(&self, now: Instant) -> impl Iterator<Item = i64> {
        self.refused.iter().filter(move |(_, refusal)| refusal.until > now).map(|(id, _)| *id)
    }

    /// Refusals are remembered beyond their delay, to double it; the oldest is forgotten first. A row
    /// that fell to the outbox's bound meanwhile leaves the memory so, too.
    fn make_room_for_refusal(&mut self, id: i64) {
        while self.refused.len() >= MOST_REFUSED + LIMIT && !self.refused.contains_key(&id) {
            let Some(oldest) =
                self.refused.iter().min_by_key(|(_, refusal)| refusal.until).map(|(id, _)| *id)
            else {
                return;
            };
            self.refused.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_window_is_full_at_its_limit_and_at_the_brokers_if_that_is_less() {
        let (mut window, now) = (Window::default(), Instant::now());
        for (receive_maximum, limit) in [(u16::MAX, LIMIT), (3, 3), (0, 1)] {
            window.connected(receive_maximum);
            for id in 0..limit as i64 {
                assert_eq!(window.room(now), limit - id as usize);
                window.sent(id, now);
            }
            assert_eq!(window.room(now), 0);
        }
    }

    #[test]
    fn a_row_is_suspect_at_twenty_seconds_and_not_before() {
        let (mut window, now) = (Window::default(), Instant::now());
        assert_eq!(window.next_due(now), None);
        window.sent(1, now);
        assert_eq!(window.next_due(now), Some(now + SUSPECT_AFTER));
        assert!(!window.is_suspect(now + SUSPECT_AFTER - Duration::from_millis(1)));
        assert!(window.is_suspect(now + SUSPECT_AFTER));
        window.acked(1);
        assert!(!window.is_suspect(now + SUSPECT_AFTER));
    }

    #[test]
    fn a_refused_row_comes_back_after_a_delay_that_doubles_up_to_its_bound() {
        let (mut window, mut now) = (Window::default(), Instant::now());
        let mut last = Duration::ZERO;
        for _ in 0..20 {
            window.sent(1, now);
            let delay = window.refused(1, now);
            assert!(delay >= last && delay <= LAST_RETRY);
            assert_eq!(window.skip(now + delay - Duration::from_millis(1)), vec![1]);
            assert_eq!(window.next_due(now), Some(now + delay));
            now += delay;
            assert!(window.skip(now).is_empty());
            last = delay;
        }
        assert_eq!(last, LAST_RETRY);
        window.sent(1, now);
        window.acked(1);
        window.removed(&[1]);
        assert_eq!(window.refused(1, now), FIRST_RETRY, "an acknowledgement clears the record");
    }

    #[test]
    fn when_very_many_rows_are_refused_nothing_is_sent_until_one_is_due() {
        let (mut window, now) = (Window::default(), Instant::now());
        for id in 0..MOST_REFUSED as i64 - 1 {
            window.sent(id, now);
            window.refused(id, now);
        }
        assert_eq!(window.room(now), LIMIT);
        window.sent(1000, now);
        window.refused(1000, now);
        assert_eq!(window.room(now), 0);
        assert_eq!(window.room(now + FIRST_RETRY), LIMIT);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Fill,
        Ack(usize),
        Refuse(usize),
        Remove,
        Reconnect(u16),
        Wait(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            Just(Step::Fill),
            (0..LIMIT).prop_map(Step::Ack),
            (0..LIMIT).prop_map(Step::Refuse),
            Just(Step::Remove),
            (0..20_u16).prop_map(Step::Reconnect),
            (0..400_u64).prop_map(Step::Wait),
        ]
    }

    /// The store, the broker and the connection as plain sets.
    struct World {
        window: Window,
        now: Instant,
        stored: BTreeSet<i64>,
        on_the_wire: BTreeSet<i64>,
        taken: BTreeSet<i64>,
    }

    impl World {
        fn take(&mut self, step: &Step) {
            match step {
                Step::Fill => {
                    let (room, skip) = (self.window.room(self.now), self.window.skip(self.now));
                    let next: Vec<i64> = self
                        .stored
                        .iter()
                        .filter(|id| !skip.contains(id))
                        .take(room)
                        .copied()
                        .collect();
                    for id in next {
                        assert!(self.on_the_wire.insert(id), "{id} is sent twice on a connection");
                        self.window.sent(id, self.now);
                    }
                    assert!(self.on_the_wire.len() <= LIMIT);
                }
                Step::Ack(n) | Step::Refuse(n) => {
                    let Some(id) = self.on_the_wire.iter().nth(*n).copied() else { return };
                    self.on_the_wire.remove(&id);
                    if matches!(step, Step::Ack(_)) {
                        self.taken.insert(id);
                        self.window.acked(id);
                    } else {
                        self.window.refused(id, self.now);
                    }
                }
                Step::Remove => {
                    let ids = self.window.acknowledged();
                    for id in &ids {
                        assert!(self.taken.contains(id), "{id} goes without an acknowledgement");
                        assert!(self.stored.remove(id), "{id} is removed twice");
                    }
                    self.window.removed(&ids);
                }
                Step::Reconnect(receive_maximum) => {
                    self.on_the_wire.clear();
                    self.window.connected(*receive_maximum);
                }
                Step::Wait(seconds) => self.now += Duration::from_secs(*seconds),
            }
        }
    }

    proptest! {
        #[test]
        fn a_row_goes_only_after_its_acknowledgement_and_none_is_lost(
            steps in prop::collection::vec(step(), 0..200),
        ) {
            let mut world = World {
                window: Window::default(),
                now: Instant::now(),
                stored: (0..100).collect(),
                on_the_wire: BTreeSet::new(),
                taken: BTreeSet::new(),
            };
            for step in &steps {
                world.take(step);
            }
            // A broker that now behaves gets every row.
            for _ in 0..1000 {
                for step in [Step::Fill, Step::Ack(0), Step::Remove, Step::Wait(60)] {
                    world.take(&step);
                }
            }
            prop_assert!(world.stored.is_empty(), "left: {:?}", world.stored);
            prop_assert_eq!(world.taken.len(), 100);
        }
    }
}
