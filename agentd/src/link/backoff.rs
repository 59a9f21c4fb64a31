//! How long to wait before the next attempt to connect.
//!
//! Bounds: [`FIRST`] to [`LAST`], each time a random part of it, so that the devices of a fleet do not
//! all come back in the same moment when their broker does.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

/// The longest wait after the first failure.
pub(super) const FIRST: Duration = Duration::from_millis(500);
/// The longest wait.
pub(super) const LAST: Duration = Duration::from_secs(30);
/// A connection that held for so long was a good one: the next wait is short again. A broker that accepts
/// and hangs up, or two devices that push each other off with one client id, do not count as good.
pub(super) const STEADY: Duration = Duration::from_secs(10);

/// Counts failures.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// A connection ended, or was not made, after `held`. Returns how long to wait; `random` is from 0
    /// to 1.
    pub(super) fn failed(&mut self, held: Duration, random: f64) -> Duration {
        if held >= STEADY {
            self.failures = 0;
        }
        let most = FIRST.saturating_mul(1 << self.failures.min(16)).min(LAST);
        self.failures = self.failures.saturating_add(1);
        jitter(most, random)
    }
}

/// From half of a time to all of it.
pub(super) fn jitter(most: Duration, random: f64) -> Duration {
    most.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0)
}

/// A number from 0 to 1 that nobody can foresee.
pub(super) fn random() -> f64 {
    // A fresh hasher is keyed from the system's randomness.
    RandomState::new().hash_one(0_u8) as f64 / u64::MAX as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_from_half_a_second_to_thirty_and_is_never_less_than_half_of_that() {
        let (mut longest, mut shortest) = (Backoff::default(), Backoff::default());
        let mut most = FIRST;
        for _ in 0..50 {
            assert_eq!(longest.failed(Duration::ZERO, 1.0), most);
            assert_eq!(shortest.failed(Duration::ZERO, 0.0), most / 2);
            most = (most * 2).min(LAST);
        }
        assert_eq!(most, LAST);
    }

    #[test]
    fn only_a_connection_that_held_shortens_the_wait() {
        let mut backoff = Backoff::default();
        for _ in 0..10 {
            backoff.failed(STEADY - Duration::from_millis(1), 1.0);
        }
        assert_eq!(backoff.failed(Duration::ZERO, 1.0), LAST);
        assert_eq!(backoff.failed(STEADY, 1.0), FIRST);
    }

    #[test]
    fn random_numbers_differ_and_stay_in_range() {
        let numbers: Vec<f64> = (0..8).map(|_| random()).collect();
        assert!(numbers.iter().all(|number| (0.0..=1.0).contains(number)));
        assert!(numbers.iter().any(|number| *number != numbers[0]));
    }
}
