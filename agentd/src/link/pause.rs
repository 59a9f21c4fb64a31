//! When the link stops sending rows because the broker takes none for now.
//!
//! ```text
//!            refused: the broker's fault            the wait is over
//!  sending ──────────────────────────────> waiting ──────────────────> trying one row ──refused──> waiting
//!     ^                                                                      │                 (twice as long)
//!     └──────────────────────────────────taken──────────────────────────────┘
//! ```
//!
//! A broker that is over its quota refuses whatever it is sent. To put back row after row would count
//! against rows that nothing is wrong with. But a broker may also blame itself for one message that it
//! stumbles over, and that one must not hold up the others for ever: what is tried first after a wait is
//! therefore *another* row, if there is one. If that is taken, sending goes on, and the first row is put
//! back for a while.
//!
//! A plain value: it does no I/O, and time is an argument. Bounds: a wait lasts [`FIRST`] to [`LAST`]; one
//! row is tried after it.

use std::time::{Duration, Instant};

/// The first wait. A quota that is counted by the second has room again after it.
pub(super) const FIRST: Duration = Duration::from_secs(1);
/// The longest wait.
pub(super) const LAST: Duration = Duration::from_secs(60);

/// Whether rows are sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Pause {
    episode: Option<Episode>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Episode {
    /// The row whose refusal began it.
    first: i64,
    waits: u32,
    until: Instant,
}

impl Pause {
    /// The broker has refused a row and says that the fault is its own. Returns when one is tried again.
    pub(super) fn refused(&mut self, id: i64, now: Instant) -> Instant {
        let wait = |waits: u32| FIRST.saturating_mul(1 << waits.min(16)).min(LAST);
        match &mut self.episode {
            None => {
                self.episode = Some(Episode { first: id, waits: 1, until: now + wait(0) });
                now + wait(0)
            }
            // The rows that were under way when it began are refused too, which says nothing new.
            Some(episode) if now < episode.until => episode.until,
            Some(episode) => {
                episode.until = now + wait(episode.waits);
                episode.waits += 1;
                episode.until
            }
        }
    }

    /// The broker has taken a row: it takes others too. Returns the row that it stumbled over, which is
    /// none where that one is taken now.
    pub(super) fn taken(&mut self, id: i64) -> Option<i64> {
        let episode = self.episode.take()?;
        (episode.first != id).then_some(episode.first)
    }

    /// How many rows may be sent now, of as many as there is `room` for.
    pub(super) fn room(&self, room: usize, under_way: usize, now: Instant) -> usize {
        match &self.episode {
            None => room,
            Some(episode) if now < episode.until => 0,
            Some(_) => room.min(1_usize.saturating_sub(under_way)),
        }
    }

    /// The row that is tried only if there is no other.
    pub(super) fn blamed(&self) -> Option<i64> {
        self.episode.as_ref().map(|episode| episode.first)
    }

    /// When a row may be tried, if none may now.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        self.episode.as_ref().map(|episode| episode.until).filter(|until| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_after_a_wait_doubles_it_up_to_a_minute() {
        let (mut pause, mut now) = (Pause::default(), Instant::now());
        let mut wait = FIRST;
        for _ in 0..50 {
            assert_eq!(pause.refused(1, now), now + wait);
            assert_eq!(pause.due(now), Some(now + wait));
            now += wait;
            assert_eq!(pause.due(now), None);
            wait = (wait * 2).min(LAST);
        }
        assert_eq!(wait, LAST);
    }

    #[test]
    fn rows_that_were_under_way_do_not_make_the_wait_longer() {
        let (mut pause, now) = (Pause::default(), Instant::now());
        let until = pause.refused(1, now);
        let late = until - Duration::from_millis(1);
        assert_eq!(pause.refused(2, late), until);
        assert_eq!(pause.refused(2, until), until + FIRST * 2);
    }

    #[test]
    fn no_row_is_sent_while_it_waits_and_one_alone_after_it() {
        let (mut pause, now) = (Pause::default(), Instant::now());
        assert_eq!(pause.room(16, 3, now), 16);
        let until = pause.refused(1, now);
        assert_eq!(pause.room(16, 0, until - Duration::from_millis(1)), 0);
        assert_eq!(pause.room(16, 0, until), 1);
        assert_eq!(pause.room(16, 1, until), 0);
        assert_eq!(pause.room(0, 0, until), 0);
    }

    #[test]
    fn the_first_row_that_is_taken_ends_it_and_names_the_one_to_be_put_back() {
        let (mut pause, now) = (Pause::default(), Instant::now());
        assert_eq!(pause.taken(7), None, "nothing was refused");
        pause.refused(1, now);
        assert_eq!(pause.blamed(), Some(1));
        assert_eq!(pause.taken(1), None, "it is taken now");
        assert_eq!((pause.room(16, 0, now), pause.blamed()), (16, None));
        pause.refused(1, now);
        assert_eq!(pause.taken(2), Some(1), "the broker stumbled over the first");
        assert_eq!(pause, Pause::default());
    }
}
