//! When a worker that died is started again: after a pause that doubles, or not for long where it crashes again and
//! again. This decides and does no I/O.
//!
//! A crash is what the model did to its process: an abort, a fault, a kill for memory, or that it had to be killed
//! because it did not come back. A file that cannot be used is none: somebody may put it right at any time. Crashes are
//! counted while the worker loaded or had an ask in hand, and an answer in between says that it works.

use std::time::Duration;

/// So many crashes without an answer in between, and it is left alone.
pub const CRASHES: u32 = 3;
/// For so long, or until its file is another one: what a crash costs a board is then nothing to speak of.
pub const QUARANTINE: Duration = Duration::from_secs(60 * 60);

/// How a worker's life ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Death {
    /// Of what, after "it".
    pub cause: String,
    /// Whether the model did it to its process, and not the daemon or a file that cannot be used.
    pub is_crash: bool,
}

/// What is to be done after a death.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Start it again after a pause.
    Pause(Duration),
    /// Leave it alone for [`QUARANTINE`].
    Quarantine,
}

/// What is remembered of a model's earlier lives.
#[derive(Debug)]
pub struct Restart {
    pause: Duration,
    crashes: u32,
}

impl Restart {
    const LEAST: Duration = Duration::from_millis(500);
    const MOST: Duration = Duration::from_secs(30);
    /// Whoever was well for so long did not die of how it was started.
    const WELL: Duration = Duration::from_secs(60);

    /// It answered: it works.
    pub fn answered(&mut self) {
        self.crashes = 0;
    }

    /// What follows a death, after having been ready for `well_for`, if it ever was. `at_work`: it was loading, or had an
    /// ask in hand.
    pub fn after(&mut self, death: &Death, well_for: Option<Duration>, at_work: bool) -> Next {
        if well_for.is_some_and(|well| well >= Self::WELL) {
            self.pause = Self::LEAST;
        }
        if death.is_crash && at_work {
            self.crashes += 1;
        }
        if self.crashes >= CRASHES {
            // One more after the quarantine, and it goes back.
            self.crashes = CRASHES - 1;
            self.pause = Self::LEAST;
            return Next::Quarantine;
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(Self::MOST);
        Next::Pause(pause)
    }
}

impl Default for Restart {
    fn default() -> Self {
        Self { pause: Self::LEAST, crashes: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn death(is_crash: bool) -> Death {
        Death { cause: "died".into(), is_crash }
    }

    #[test]
    fn pauses_double_up_to_half_a_minute_and_begin_again_after_a_minute_of_being_well() {
        let mut restart = Restart::default();
        let unusable = death(false);
        let pauses: Vec<Next> = (0..8).map(|_| restart.after(&unusable, None, true)).collect();
        let expected = [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000];
        assert_eq!(pauses, expected.map(|ms| Next::Pause(Duration::from_millis(ms))));
        let just_not = Restart::WELL - Duration::from_millis(1);
        assert_eq!(restart.after(&unusable, Some(just_not), true), Next::Pause(Restart::MOST));
        let well = Some(Restart::WELL);
        assert_eq!(restart.after(&unusable, well, true), Next::Pause(Restart::LEAST));
        assert_eq!(restart.after(&unusable, None, true), Next::Pause(Restart::LEAST * 2));
    }

    #[test]
    fn the_third_crash_without_an_answer_is_the_last_one_for_a_while() {
        let mut restart = Restart::default();
        let crash = death(true);
        let goes_on = |restart: &mut Restart, death: &Death, at_work: bool| {
            matches!(restart.after(death, None, at_work), Next::Pause(_))
        };
        for _ in 0..CRASHES - 1 {
            assert!(goes_on(&mut restart, &crash, true));
        }
        assert!(goes_on(&mut restart, &crash, false), "nobody had asked it anything");
        assert!(goes_on(&mut restart, &death(false), true), "it did not crash");
        restart.answered();
        for _ in 0..CRASHES - 1 {
            assert!(goes_on(&mut restart, &crash, true));
        }
        assert_eq!(restart.after(&crash, None, true), Next::Quarantine);
        assert_eq!(restart.after(&crash, None, true), Next::Quarantine, "tried again, in vain");
        restart.answered();
        assert!(goes_on(&mut restart, &crash, true), "tried again, and it works");
    }
}
