//! How the room of one batch is shared among those who have tokens to decode.
//!
//! An answer that is being written needs a token or a few at a time, and stalls for as long as the batch takes; a
//! prompt has hundreds. So beside an answer prompts get only [`BESIDE_AN_ANSWER`] tokens of a batch, and among
//! prompts of the same priority each gets the same, so that a long one does not hold up a short one.

use agentd_tools::spec::Priority;

/// Tokens of prompts in one batch while an answer is being written. So many cost about as much time as six of an
/// answer, and a prompt is decoded at four fifths of its speed.
pub const BESIDE_AN_ANSWER: usize = 16;

/// Who has tokens to decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    /// How many.
    pub tokens: usize,
    /// Which one goes first.
    pub priority: Priority,
    /// Whether its prompt is there, and it is writing.
    pub writes: bool,
}

/// How many tokens each one gets of a batch of `room`, the needs standing in the order of their rank.
pub fn share(needs: &[Need], room: usize) -> Vec<usize> {
    let mut shares = vec![0; needs.len()];
    let mut left = room;
    for (i, need) in needs.iter().enumerate().filter(|(_, need)| need.writes) {
        shares[i] = need.tokens.min(left);
        left -= shares[i];
    }
    if left < room {
        left = left.min(BESIDE_AN_ANSWER);
    }
    for priority in [Priority::High, Priority::Normal, Priority::Low] {
        let is_one = |i: &usize| !needs[*i].writes && needs[*i].priority == priority;
        let mut prompts: Vec<usize> = (0..needs.len()).filter(is_one).collect();
        // Those who need least first, so that what they leave goes to the others.
        prompts.sort_by_key(|i| needs[*i].tokens);
        let mut others = prompts.len();
        for i in prompts {
            let fair = left.div_ceil(others);
            shares[i] = needs[i].tokens.min(fair);
            left -= shares[i];
            others -= 1;
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prompt(tokens: usize) -> Need {
        Need { tokens, priority: Priority::Normal, writes: false }
    }

    fn answer(tokens: usize) -> Need {
        Need { writes: true, ..prompt(tokens) }
    }

    #[test]
    fn one_alone_gets_all_and_a_short_one_all_that_it_needs() {
        assert_eq!(share(&[prompt(100)], 64), [64]);
        assert_eq!(share(&[prompt(500), prompt(12)], 64), [52, 12]);
        assert_eq!(share(&[prompt(500), prompt(400), prompt(30)], 64), [21, 21, 22]);
    }

    #[test]
    fn an_answer_is_not_held_up_by_a_long_prompt() {
        assert_eq!(share(&[prompt(500), answer(1), answer(3)], 64), [BESIDE_AN_ANSWER, 1, 3]);
        assert_eq!(share(&[answer(1)], 64), [1]);
    }

    #[test]
    fn an_urgent_prompt_goes_before_the_others() {
        let urgent = Need { priority: Priority::High, ..prompt(60) };
        let low = Need { priority: Priority::Low, ..prompt(60) };
        assert_eq!(share(&[urgent, prompt(60), low], 64), [60, 4, 0]);
        assert_eq!(share(&[prompt(60), low], 64), [60, 4]);
    }

    proptest! {
        #[test]
        fn the_room_is_kept_and_used_and_nobody_of_the_first_rank_starves(
            needs in prop::collection::vec((1..200_usize, any::<bool>()), 1..8), room in 8..65_usize
        ) {
            let needs: Vec<Need> =
                needs.into_iter().map(|(tokens, writes)| Need { writes, ..prompt(tokens) }).collect();
            let shares = share(&needs, room);
            let (given, wanted) = (shares.iter().sum::<usize>(), needs.iter().map(|n| n.tokens).sum::<usize>());
            prop_assert!(given <= room);
            prop_assert!(shares.iter().zip(&needs).all(|(share, need)| *share <= need.tokens));
            if needs.iter().all(|need| !need.writes) {
                prop_assert_eq!(given, wanted.min(room));
                prop_assert!(shares.iter().all(|share| *share > 0));
            }
        }
    }
}
