//! When a broker that says nothing counts as gone.
//!
//! The MQTT crate notices an unanswered ping only when the next one is due, so that a dead link shows
//! after twice the keep-alive, and later still where other packets push the ping back. Here the silence
//! itself is measured: whatever was asked (a ping, a message, a subscription) must be followed by
//! anything at all from the broker.
//!
//! A plain value: it does no I/O, and time is an argument. Bounds: with a keep-alive of up to 10 s a dead
//! link is noticed [`NOTICED`] after the broker was last heard; with a longer one, [`ANSWER`] after the
//! ping.

use std::time::{Duration, Instant};

/// A broker that was asked something is gone when it was last heard so long ago. The contract says 20 s;
/// the rest is for a loaded board.
pub(super) const NOTICED: Duration = Duration::from_secs(18);
/// What a broker has at least to answer in, however long it was silent before: a poor mobile link with
/// one lost packet takes seconds.
pub(super) const ANSWER: Duration = Duration::from_secs(8);

/// The silence of one connection.
#[derive(Debug, Clone)]
pub(super) struct Pulse {
    /// How long after the last packet that went out a ping goes; none where none ever does.
    keep_alive: Option<Duration>,
    heard: Instant,
    moved: Instant,
    asked: Option<Instant>,
}

impl Pulse {
    /// A connection that begins.
    pub(super) fn new(keep_alive: Option<Duration>, now: Instant) -> Self {
        Self { keep_alive, heard: now, moved: now, asked: None }
    }

    /// The broker has said something: whatever was asked, it is there.
    pub(super) fn heard(&mut self, now: Instant) {
        (self.heard, self.moved, self.asked) = (now, now, None);
    }

    /// Something went out that the broker has to answer.
    pub(super) fn asked(&mut self, now: Instant) {
        self.moved = now;
        self.asked.get_or_insert(now);
    }

    /// Something went out that it need not answer.
    pub(super) fn said(&mut self, now: Instant) {
        self.moved = now;
    }

    /// When the connection counts as dead, if nothing happens before.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match (self.asked, self.keep_alive) {
            (Some(asked), _) => Some((self.heard + NOTICED).max(asked + ANSWER)),
            // By then a ping would have gone out: the connection is stuck in a write.
            (None, Some(keep_alive)) => Some(self.moved + keep_alive + ANSWER),
            (None, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP_ALIVE: Duration = Duration::from_secs(10);

    fn after(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_idle_link_that_dies_is_noticed_within_the_bound_after_its_unanswered_ping() {
        let start = Instant::now();
        let mut pulse = Pulse::new(Some(KEEP_ALIVE), start);
        pulse.heard(start);
        pulse.asked(start + KEEP_ALIVE);
        assert_eq!(pulse.deadline(), Some(start + NOTICED));
        pulse.heard(start + after(11));
        assert_eq!(pulse.deadline(), Some(start + after(11) + KEEP_ALIVE + ANSWER));
    }

    #[test]
    fn a_question_keeps_its_first_time_so_that_more_of_them_do_not_put_the_deadline_off() {
        let start = Instant::now();
        let mut pulse = Pulse::new(Some(KEEP_ALIVE), start);
        for second in 12..17 {
            pulse.asked(start + after(second));
            pulse.said(start + after(second));
        }
        assert_eq!(pulse.deadline(), Some(start + after(12) + ANSWER));
    }

    #[test]
    fn a_broker_that_was_silent_for_long_still_has_its_time_to_answer() {
        let start = Instant::now();
        let mut pulse = Pulse::new(Some(after(3600)), start);
        assert_eq!(pulse.deadline(), Some(start + after(3600) + ANSWER));
        pulse.asked(start + after(3600));
        assert_eq!(pulse.deadline(), Some(start + after(3600) + ANSWER));
    }

    #[test]
    fn a_link_that_is_stuck_in_a_write_is_noticed_though_nothing_could_be_asked() {
        let start = Instant::now();
        let mut pulse = Pulse::new(Some(KEEP_ALIVE), start);
        pulse.said(start + after(3));
        assert_eq!(pulse.deadline(), Some(start + after(3) + KEEP_ALIVE + ANSWER));
    }

    #[test]
    fn without_pings_an_idle_link_is_never_given_up_and_a_question_still_counts() {
        let start = Instant::now();
        let mut pulse = Pulse::new(None, start);
        assert_eq!(pulse.deadline(), None);
        pulse.asked(start);
        assert_eq!(pulse.deadline(), Some(start + NOTICED));
    }
}
