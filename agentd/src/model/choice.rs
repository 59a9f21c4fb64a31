//! The choice of one token among those that a grammar allows.
//!
//! Where a text is free, nearly all of a vocabulary of some fifty thousand is allowed, and the choice is made for each
//! token. So allowed tokens are looked at 32 at a time, as the mask holds them, in loops that the compiler makes
//! vector instructions of; a walk from bit to bit took a twentieth of the time of a token, and so did the exponentials of the
//! standard library, one by one.

use toktrie::SimpleVob;

/// Tokens of one word of the mask.
const WORD: usize = 32;
/// Logits that are looked at together.
const LANES: usize = 8;
/// Tokens that are less probable than the best one by more than this, in nats, are not counted: all of a vocabulary
/// of 50 000 together would change a probability by a ten thousandth of it.
const NEGLIGIBLE: f32 = 20.0;
/// The lowest exponent of e whose power is not rounded in another way than others.
const LOWEST: f32 = -80.0;

/// A token that may be chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Choice {
    pub(super) token: u32,
    /// The logarithm of its probability among all that are allowed.
    pub(super) log_probability: f32,
}

/// The best token of those that are allowed, the first one among equals, and behind it those whose `log_probability` is
/// `least` or more, the likeliest first, and `others` of them at most. Nothing where nothing is allowed.
pub(super) fn choices(
    logits: &[f32],
    allowed: &SimpleVob,
    least: f32,
    others: usize,
) -> Vec<Choice> {
    let words = || allowed.as_slice().iter().copied().zip(logits.chunks(WORD));
    let tops: Vec<f32> = words().map(|(mask, chunk)| highest(mask, chunk)).collect();
    let top = tops.iter().copied().fold(f32::NEG_INFINITY, greater);
    if top == f32::NEG_INFINITY {
        // None of them is a number to compare.
        let first = allowed.first_bit_set().and_then(|token| u32::try_from(token).ok());
        let only = first.map(|token| Choice { token, log_probability: f32::NAN });
        return only.into_iter().collect();
    }
    // The logarithm of a probability is at most how far it is below the best one.
    let counted = top - NEGLIGIBLE;
    let worth = counted.max(top + least.min(0.0));
    let (mut all, mut found) = (0.0, Vec::new());
    for (at, (mask, chunk)) in words().enumerate().filter(|(at, _)| tops[*at] >= counted) {
        all += powers(mask, chunk, top);
        if tops[at] >= worth {
            let worthy = members(mask, chunk).filter(|(_, logit)| *logit >= worth);
            found.extend(worthy.map(|(place, logit)| (at * WORD + place, logit)));
        }
    }
    let lost = top + all.ln();
    found.retain(|(_, logit)| *logit == top || logit - lost >= least);
    // It is stable: the first of the best ones stays before its equals.
    found.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    found.truncate(1 + others);
    let choice = |(token, logit): (usize, f32)| {
        Some(Choice { token: u32::try_from(token).ok()?, log_probability: logit - lost })
    };
    found.into_iter().filter_map(choice).collect()
}

fn greater(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

/// The highest logit of a word's tokens; what is no number loses against any other.
fn highest(mask: u32, chunk: &[f32]) -> f32 {
    if mask == 0 {
        return f32::NEG_INFINITY;
    }
    if mask != u32::MAX {
        return members(mask, chunk).map(|(_, logit)| logit).fold(f32::NEG_INFINITY, greater);
    }
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (whole, rest) = chunk.as_chunks::<LANES>();
    for logits in whole {
        for (lane, logit) in lanes.iter_mut().zip(logits) {
            *lane = greater(*lane, *logit);
        }
    }
    lanes.into_iter().chain(rest.iter().copied()).fold(f32::NEG_INFINITY, greater)
}

/// The sum of e to the power of how far a word's tokens are below the best one.
fn powers(mask: u32, chunk: &[f32], top: f32) -> f32 {
    // Without a branch, which vector instructions have not; what is no number is as good as nothing too.
    let counted = |logit: f32| power(greater(LOWEST, logit - top));
    if mask != u32::MAX {
        return members(mask, chunk).map(|(_, logit)| counted(logit)).sum();
    }
    let mut lanes = [0.0; LANES];
    let (whole, rest) = chunk.as_chunks::<LANES>();
    for logits in whole {
        for (lane, logit) in lanes.iter_mut().zip(logits) {
            *lane += counted(*logit);
        }
    }
    lanes.into_iter().chain(rest.iter().copied().map(counted)).sum()
}

/// e to the power of `x`, from [`LOWEST`] to 0, to a hundred-thousandth of it, in a form that vector instructions have.
fn power(x: f32) -> f32 {
    /// Added to a small number it leaves no bits for what is behind the point, and the whole part in the lowest bits.
    const ROUNDS: f32 = 12_582_912.0;
    const MANTISSA_BITS: u32 = f32::MANTISSA_DIGITS - 1;
    let exponent = x * std::f32::consts::LOG2_E;
    let shifted = exponent + ROUNDS;
    // Half at most, of which five terms of the series of Taylor are enough.
    let rest = (exponent - (shifted - ROUNDS)) * std::f32::consts::LN_2;
    let series =
        1.0 + rest * (1.0 + rest * (0.5 + rest * (1.0 / 6.0 + rest * (1.0 / 24.0 + rest / 120.0))));
    // The whole part goes into the number's own exponent.
    f32::from_bits(series.to_bits().wrapping_add(shifted.to_bits() << MANTISSA_BITS))
}

/// The tokens of a word that are allowed, by their place in it, and their logits.
fn members(mask: u32, chunk: &[f32]) -> impl Iterator<Item = (usize, f32)> {
    let logits = chunk.iter().copied().take(WORD).enumerate();
    logits.filter(move |(place, _)| mask >> place & 1 == 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same by the definition, in doubles.
    fn by_definition(logits: &[f32], allowed: &[bool]) -> Option<(usize, f64)> {
        let of: Vec<_> = (0..logits.len()).filter(|i| allowed[*i]).collect();
        let better = |a: usize, b: usize| if logits[b] > logits[a] { b } else { a };
        let best = of.iter().copied().reduce(better)?;
        let power = |i: &usize| (f64::from(logits[*i]) - f64::from(logits[best])).exp();
        Some((best, -of.iter().map(power).sum::<f64>().ln()))
    }

    proptest! {
        #[test]
        fn the_choice_is_the_best_of_what_is_allowed_and_so_is_its_probability(
            tokens in prop::collection::vec((-30.0_f32..30.0, 0..4_u8), 1..200),
            whole in any::<bool>(),
        ) {
            // Words of which all is allowed go another way.
            let allowed: Vec<bool> = tokens.iter().map(|(_, kind)| whole || *kind == 0).collect();
            let logits: Vec<f32> = tokens.iter().map(|(logit, _)| *logit).collect();
            let ours = best(&logits, &SimpleVob::from_slice(&allowed));
            let definition = by_definition(&logits, &allowed);
            prop_assert_eq!(ours.map(|ours| ours.token as usize), definition.map(|(best, _)| best));
            if let (Some(ours), Some((_, exact))) = (ours, definition) {
                let difference = (f64::from(ours.log_probability) - exact).abs();
                prop_assert!(difference < 1e-4, "{ours:?} is not {exact}");
            }
        }
    }

    #[test]
    fn powers_are_those_of_the_standard_library() {
        for step in 0..=8000 {
            let x = LOWEST * (step as f32 / 8000.0);
            let (ours, exact) = (power(x), x.exp());
            assert!((ours - exact).abs() <= exact * 1e-5, "{x}: {ours} is not {exact}");
        }
        for nothing in [LOWEST - 0.01, f32::NEG_INFINITY, f32::NAN] {
            assert!(powers(1, &[nothing], 0.0) < 1e-30, "{nothing}");
        }
    }

    fn best(logits: &[f32], allowed: &SimpleVob) -> Option<Choice> {
        let found = choices(logits, allowed, 0.0, 3);
        // Where equals are the best ones, they stand behind the first of them.
        found.into_iter().next()
    }

    #[test]
    fn of_equals_the_first_one_is_chosen_and_what_is_no_number_only_where_nothing_else_is() {
        let all = |n: usize| SimpleVob::from_slice(&vec![true; n]);
        let mut logits = vec![1.0; 70];
        assert_eq!(best(&logits, &all(70)).map(|best| best.token), Some(0));
        logits[0] = f32::NAN;
        assert_eq!(best(&logits, &all(70)).map(|best| best.token), Some(1));
        let odd = best(&[f32::NAN; 3], &all(3)).expect("one is allowed");
        assert_eq!(odd.token, 0);
        assert!(odd.log_probability.is_nan());
        assert_eq!(best(&[1.0; 3], &SimpleVob::alloc(3)), None);
    }

    #[test]
    fn those_behind_the_best_one_are_told_from_their_bound_on_and_not_more_than_there_is_room() {
        let logits: Vec<f32> = [0.5_f32, 0.25, 0.15, 0.1].map(f32::ln).to_vec();
        let tokens = |least: f32| -> Vec<u32> {
            let found = choices(&logits, &SimpleVob::from_slice(&[true; 4]), least.ln(), 3);
            found.iter().map(|choice| choice.token).collect()
        };
        assert_eq!(tokens(0.2499), [0, 1]);
        assert_eq!(tokens(0.2501), [0]);
        assert_eq!(tokens(0.0999), [0, 1, 2, 3]);
        for others in [0, 3, 8, 9] {
            let even = choices(&[0.0; 9], &SimpleVob::from_slice(&[true; 9]), -100.0, others);
            assert_eq!(even.len(), (1 + others).min(9));
        }
        // Half of them are forbidden: what is left is twice as probable.
        let half = choices(&logits, &SimpleVob::from_slice(&[true, false, false, true]), -100.0, 3);
        assert!((half[0].log_probability.exp() - 0.5 / 0.6).abs() < 1e-5, "{half:?}");
    }

    #[test]
    fn what_is_allowed_beyond_the_logits_is_never_chosen() {
        let allowed = SimpleVob::from_slice(&[true; 100]);
        assert_eq!(best(&[0.0, 2.0], &allowed).map(|best| best.token), Some(1));
    }
}
