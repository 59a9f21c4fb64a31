//! Whether an adapter is installed. Pure: it sees only which questions were answered rightly before and after.
//!
//! Before and after are asked the same questions, so that only those count of which one was right and the other
//! wrong. On the machine's own questions there must be more won than lost; or as many, and more won than lost of what
//! people corrected and what was learnt: who corrects a sentence will say it again, and it has to be right then. In
//! general it is enough that what is lost could be chance: the one-sided sign test (McNemar's, exact) at [`SIGNIFICANT`].

use serde_json::{Value, json};

use super::mark::Share;

/// A loss that chance would bring less often than this is one.
pub const SIGNIFICANT: f64 = 0.05;

/// What became of the same questions before and after.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Paired {
    /// Right both times.
    pub both: usize,
    /// Right before only: lost.
    pub lost: usize,
    /// Right after only: won.
    pub won: usize,
    /// Right neither time.
    pub neither: usize,
}

impl Paired {
    /// Of whether each question was answered rightly, before and after.
    pub fn of(before: &[bool], after: &[bool]) -> Self {
        let mut paired = Self::default();
        for pair in before.iter().zip(after) {
            *match pair {
                (true, true) => &mut paired.both,
                (true, false) => &mut paired.lost,
                (false, true) => &mut paired.won,
                (false, false) => &mut paired.neither,
            } += 1;
        }
        paired
    }

    /// The share that was right before.
    pub fn before(self) -> Share {
        Share { hits: self.both + self.lost, of: self.all() }
    }

    /// The share that was right after.
    pub fn after(self) -> Share {
        Share { hits: self.both + self.won, of: self.all() }
    }

    fn all(self) -> usize {
        self.both + self.lost + self.won + self.neither
    }

    /// How probable so many lost questions, or more, are by chance alone.
    pub fn chance_of_loss(self) -> f64 {
        let decided = self.lost + self.won;
        // The probability of each count of losses, from none on, by its logarithm: 2^-n is soon no number.
        let mut log = -(decided as f64) * std::f64::consts::LN_2;
        let mut chance = 0.0;
        for losses in 0..=decided {
            if losses >= self.lost {
                chance += log.exp();
            }
            log += ((decided - losses) as f64).ln() - (losses as f64 + 1.0).ln();
        }
        chance.min(1.0)
    }

    /// As `{"before", "after", "won", "lost"}`.
    pub fn json(self) -> Value {
        json!({
            "before": self.before().json(), "after": self.after().json(),
            "won": self.won, "lost": self.lost,
        })
    }
}

/// What is done with an adapter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    /// It is installed.
    Better,
    /// It answers no more of the machine's own questions and of what it was taught rightly than before.
    NoBetter,
    /// It lost more in general than chance explains: so probable is that loss without a cause.
    Forgot(f64),
}

/// Judges by the machine's own questions, by what people said that was `taught`, and by questions about other machines.
pub fn judge(own: Paired, taught: Paired, general: Paired) -> Verdict {
    let chance = general.chance_of_loss();
    let is_better = own.won > own.lost || own.won == own.lost && taught.won > taught.lost;
    if !is_better {
        Verdict::NoBetter
    } else if general.lost > general.won && chance < SIGNIFICANT {
        Verdict::Forgot(chance)
    } else {
        Verdict::Better
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paired(won: usize, lost: usize) -> Paired {
        Paired { both: 20, lost, won, neither: 5 }
    }

    #[test]
    fn the_same_questions_are_counted_before_and_after() {
        let paired =
            Paired::of(&[true, true, false, false, false], &[true, false, true, true, false]);
        assert_eq!(paired, Paired { both: 1, lost: 1, won: 2, neither: 1 });
        assert_eq!(paired.before(), Share { hits: 2, of: 5 });
        assert_eq!(paired.after(), Share { hits: 3, of: 5 });
    }

    #[test]
    fn chance_is_the_sign_tests() {
        // Sums of the binomial distribution of ten throws: R's pbinom.
        for (won, lost, chance) in
            [(0, 0, 1.0), (5, 5, 0.623_047), (2, 8, 0.054_688), (1, 9, 0.010_742), (10, 0, 1.0)]
        {
            let found = paired(won, lost).chance_of_loss();
            assert!((found - chance).abs() < 1e-6, "{won} {lost}: {found}");
        }
        let many = paired(2000, 2200).chance_of_loss();
        assert!((0.0005..0.005).contains(&many), "{many}");
    }

    #[test]
    fn only_what_is_better_here_and_has_not_forgotten_is_installed() {
        let same = paired(0, 0);
        let judged = |own, general| judge(own, same, general);
        assert_eq!(judged(paired(1, 0), same), Verdict::Better);
        assert_eq!(judged(same, paired(9, 0)), Verdict::NoBetter, "better elsewhere only");
        assert_eq!(judged(paired(3, 3), same), Verdict::NoBetter);
        assert_eq!(judged(paired(2, 3), same), Verdict::NoBetter);
        assert_eq!(judged(Paired::default(), same), Verdict::NoBetter, "nothing was asked");
        // At the bound of significance and one over it.
        assert_eq!(judged(paired(9, 0), paired(2, 8)), Verdict::Better);
        assert!(
            matches!(judged(paired(9, 0), paired(1, 9)), Verdict::Forgot(chance) if chance < 0.05)
        );
        assert_eq!(judged(paired(9, 0), paired(0, 4)), Verdict::Better, "0.0625");
        assert!(matches!(judged(paired(9, 0), paired(0, 5)), Verdict::Forgot(_)), "0.03125");
    }

    #[test]
    fn what_people_taught_decides_where_nothing_else_is_won_or_lost() {
        let same = paired(0, 0);
        assert_eq!(judge(same, paired(1, 0), same), Verdict::Better);
        assert_eq!(judge(paired(2, 2), paired(3, 2), same), Verdict::Better);
        assert_eq!(judge(same, paired(2, 2), same), Verdict::NoBetter);
        assert_eq!(judge(paired(1, 2), paired(9, 0), same), Verdict::NoBetter, "something is lost");
        assert!(matches!(judge(same, paired(9, 0), paired(0, 5)), Verdict::Forgot(_)));
    }
}
