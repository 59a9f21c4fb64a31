//! Which tokens each sequence of the context holds, and which one a new prompt goes to.
//!
//! ```text
//!  sequence 0      the static part of the prompts; another one may take its place
//!  sequences 1..   an ask each; what an ask leaves behind stays until its place is needed
//! ```
//!
//! A prompt takes over what it has in common with any sequence: the cells are shared, not copied. This decides and
//! does no I/O; the [engine](super::llama) carries it out. Bound: all sequences together have as many cells as
//! the context has; what is counted here is never less than what llama.cpp takes. The victim is the sequence
//! whose ask ended longest ago, and the static part where nothing else would make room.

use llama_cpp_2::token::LlamaToken;

/// The sequence of the static part.
pub const WARM: usize = 0;

/// The sequences of a context.
#[derive(Debug)]
pub struct Sequences {
    n_cells: usize,
    /// Whether a sequence can be taken back to its beginning, and another one take over the beginning of it.
    goes_back: bool,
    held: Vec<Held>,
    /// Counts placements, to tell which one was long ago.
    now: u64,
}

/// What a sequence holds.
#[derive(Debug, Default)]
struct Held {
    tokens: Vec<LlamaToken>,
    /// How many of them lie in cells of the static part.
    shared: usize,
    /// How many tokens it may come to hold while an ask is at work on it; 0: none is.
    reserved: usize,
    used: u64,
}

impl Held {
    /// The cells that are its own, at most.
    fn cells(&self) -> usize {
        self.tokens.len().max(self.reserved) - self.shared
    }
}

/// Where a prompt goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its sequence.
    pub sequence: usize,
    /// The sequence whose beginning it takes over. Its own: what comes after that is removed.
    pub from: usize,
    /// How many tokens it takes over.
    pub keep: usize,
    /// The sequences that lose what they hold, once it has been taken over.
    pub evict: Vec<usize>,
}

impl Sequences {
    /// Of a context of `n_cells` tokens, for `asks` asks at once.
    pub fn new(n_cells: usize, asks: usize) -> Self {
        let held = std::iter::repeat_with(Held::default).take(asks + 1).collect();
        Self { n_cells, goes_back: true, held, now: 0 }
    }

    /// Of a model that has no state of the middle of a text: only what a sequence holds as a whole is taken over.
    pub fn never_back(self) -> Self {
        Self { goes_back: false, ..self }
    }

    /// The tokens of a sequence.
    pub fn tokens(&self, sequence: usize) -> &[LlamaToken] {
        &self.held[sequence].tokens
    }

    /// Finds a place for a prompt that may grow to `cells` tokens, which the context must hold. None: it has to wait
    /// until an ask has ended.
    pub fn find(&self, prompt: &[LlamaToken], cells: usize) -> Option<Place> {
        // The last token is decoded in any case: its logits choose the first one of the answer.
        let common = |held: &Held| {
            let same = common(&held.tokens, prompt).min(prompt.len() - 1);
            if self.goes_back || same == held.tokens.len() { same } else { 0 }
        };
        let is_free = |sequence: &usize| self.held[*sequence].reserved == 0;
        let free: Vec<usize> = (1..self.held.len()).filter(is_free).collect();
        // Of the same length the first one: the static part.
        let from = (0..self.held.len()).rev().max_by_key(|s| common(&self.held[*s]))?;
        let keep = common(&self.held[from]);
        let continues = free.contains(&from) && keep == self.held[from].tokens.len();
        let oldest = free.iter().copied().min_by_key(|s| self.held[*s].used)?;
        let sequence = if continues { from } else { oldest };
        let shared = keep.min(self.shared_of(from));
        let mut others: Vec<usize> = free.into_iter().filter(|s| *s != sequence).collect();
        others.sort_by_key(|s| self.held[*s].used);
        let taken = |evicted: &[usize]| -> usize {
            let stays = |s: &usize| *s != sequence && !evicted.contains(s);
            (0..self.held.len()).filter(stays).map(|s| self.held[s].cells()).sum()
        };
        let fits = |evicted: &[usize], shared: usize| {
            taken(evicted) + cells.max(prompt.len()) - shared <= self.n_cells
        };
        let enough = (0..=others.len()).find(|n| fits(&others[..*n], shared));
        let mut evict = match enough {
            Some(n) => others[..n].to_vec(),
            // The cells of the static part that are taken over stay, and are then the sequence's own.
            None => {
                others.push(WARM);
                let nobody_works = self.held.iter().all(|held| held.reserved == 0);
                (nobody_works && fits(&others, 0)).then_some(others)?
            }
        };
        evict.retain(|s| !self.held[*s].tokens.is_empty());
        Some(Place { sequence, from, keep, evict })
    }

    /// Which sequences have to go so that another static part of `n` tokens fits in the place of the one that is there:
    /// of what ended asks left behind, the oldest first. None: it does not fit beside what is under way.
    pub fn room_to_warm(&self, n: usize) -> Option<Vec<usize>> {
        // What others share with the one that is there becomes their own.
        let cells = |s: usize| self.held[s].cells() + self.held[s].shared;
        let mut taken = (1..self.held.len()).map(cells).sum::<usize>() + n;
        let is_left = |s: &usize| self.held[*s].reserved == 0 && cells(*s) > 0;
        let mut left: Vec<usize> = (1..self.held.len()).filter(is_left).collect();
        left.sort_by_key(|s| self.held[*s].used);
        let mut going = Vec::new();
        for sequence in left {
            if taken <= self.n_cells {
                break;
            }
            taken -= cells(sequence);
            going.push(sequence);
        }
        (taken <= self.n_cells).then_some(going)
    }

    /// The most tokens of a prompt that some sequence begins with, and that can be taken over.
    pub fn longest(&self, prompt: &[LlamaToken]) -> usize {
        let begins = |held: &Held| match common(&held.tokens, prompt) {
            same if self.goes_back || same == held.tokens.len() => same,
            _ => 0,
        };
        self.held.iter().map(begins).max().unwrap_or(0)
    }

    /// How many of a sequence's first tokens lie in cells of the static part.
    fn shared_of(&self, sequence: usize) -> usize {
        let held = &self.held[sequence];
        if sequence == WARM { held.tokens.len() } else { held.shared }
    }

    /// An ask takes its place. `kept` is how many tokens it really took over.
    pub fn take(&mut self, place: &Place, kept: usize, cells: usize) {
        self.now += 1;
        let shared = kept.min(self.shared_of(place.from));
        let tokens = self.held[place.from].tokens[..kept].to_vec();
        self.held[place.sequence] = Held { tokens, shared, reserved: cells, used: self.now };
        for sequence in &place.evict {
            self.forget(*sequence);
        }
    }

    /// A sequence holds some more tokens.
    pub fn extend(&mut self, sequence: usize, tokens: &[LlamaToken]) {
        self.held[sequence].tokens.extend_from_slice(tokens);
    }

    /// A sequence holds only its first `n` tokens from now on.
    pub fn shorten(&mut self, sequence: usize, n: usize) {
        let held = &mut self.held[sequence];
        held.tokens.truncate(n);
        held.shared = held.shared.min(n);
    }

    /// The ask at a sequence has ended; what it holds stays.
    pub fn free(&mut self, sequence: usize) {
        self.held[sequence].reserved = 0;
    }

    /// A sequence holds nothing any more.
    pub fn forget(&mut self, sequence: usize) {
        self.held[sequence] = Held::default();
        if sequence == WARM {
            // What others took over is theirs now.
            self.held.iter_mut().for_each(|held| held.shared = 0);
        }
    }

    /// What a sequence holds is the static part from now on; none: it was put there from outside.
    pub fn warm(&mut self, tokens: &[LlamaToken], from: Option<usize>) {
        self.forget(WARM);
        self.held[WARM].tokens = tokens.to_vec();
        if let Some(from) = from {
            self.held[from].shared = tokens.len();
        }
    }
}

/// How many tokens two texts have in common at their beginning.
pub fn common(a: &[LlamaToken], b: &[LlamaToken]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tokens(ids: impl IntoIterator<Item = i32>) -> Vec<LlamaToken> {
        ids.into_iter().map(LlamaToken::new).collect()
    }

    /// A static part of ten tokens, in a context of a hundred with two places.
    fn warm() -> Sequences {
        let mut sequences = Sequences::new(100, 2);
        sequences.warm(&tokens(0..10), None);
        sequences
    }

    fn ask(sequences: &mut Sequences, ids: &[i32], cells: usize) -> Option<Place> {
        let prompt = tokens((0..10).chain(ids.iter().copied()));
        let place = sequences.find(&prompt, cells)?;
        sequences.take(&place, place.keep, cells);
        sequences.extend(place.sequence, &prompt[place.keep..]);
        Some(place)
    }

    #[test]
    fn asks_take_over_the_static_part_and_its_cells_count_once() {
        let mut sequences = warm();
        // 10 cells of the static part, and 45 of each ask: exactly all.
        let first = ask(&mut sequences, &[20, 21], 55).unwrap();
        assert_eq!(first, Place { sequence: 1, from: WARM, keep: 10, evict: vec![] });
        let second = ask(&mut sequences, &[30], 55).unwrap();
        assert_eq!((second.sequence, second.from, second.keep), (2, WARM, 10));
        assert_eq!(ask(&mut sequences, &[40], 20), None, "both places are taken");
        sequences.free(first.sequence);
        assert_eq!(ask(&mut sequences, &[40], 56), None, "one cell too many");
        assert_eq!(ask(&mut sequences, &[40], 55).unwrap().sequence, first.sequence);
    }

    #[test]
    fn a_turn_goes_on_where_the_one_before_it_ended() {
        let mut sequences = warm();
        let first = ask(&mut sequences, &[20, 21], 30).unwrap();
        sequences.extend(first.sequence, &tokens([22]));
        sequences.free(first.sequence);
        let other = ask(&mut sequences, &[50], 30).unwrap();
        assert_ne!(other.sequence, first.sequence, "what the first one left stays");
        sequences.free(other.sequence);
        let next = ask(&mut sequences, &[20, 21, 22, 23], 30).unwrap();
        assert_eq!((next.sequence, next.from, next.keep), (first.sequence, first.sequence, 13));
        // Another turn after the same sentence takes over what the two have in common, even from one at work.
        let beside = ask(&mut sequences, &[20, 21, 60], 30).unwrap();
        assert_eq!(
            (beside.sequence, beside.from, beside.keep),
            (other.sequence, next.sequence, 12)
        );
    }

    #[test]
    fn the_same_prompt_again_leaves_its_last_token_to_be_decoded() {
        let mut sequences = warm();
        let first = ask(&mut sequences, &[20], 30).unwrap();
        sequences.free(first.sequence);
        let again = ask(&mut sequences, &[20], 30).unwrap();
        assert_eq!((again.from, again.keep), (WARM, 10));
    }

    #[test]
    fn a_place_that_is_used_again_keeps_what_it_has_in_common_itself() {
        let mut sequences = Sequences::new(100, 1);
        let first = ask(&mut sequences, &[20, 21], 20).unwrap();
        sequences.free(first.sequence);
        let second = ask(&mut sequences, &[30], 20).unwrap();
        assert_eq!((second.sequence, second.from, second.keep), (1, 1, 10));
        assert_eq!(sequences.tokens(1).len(), 11);
    }

    #[test]
    fn what_ended_longest_ago_makes_room_and_the_static_part_last_of_all() {
        let mut sequences = warm();
        for ids in [[20], [30]] {
            let place = ask(&mut sequences, &ids, 11).unwrap();
            sequences.free(place.sequence);
        }
        let place = ask(&mut sequences, &[40], 99).unwrap();
        assert_eq!((place.sequence, place.evict), (1, vec![]), "10 + 89 + 1 of the other");
        sequences.free(1);
        let place = sequences.find(&tokens(70..80), 90).unwrap();
        assert_eq!((place.sequence, place.keep, place.evict), (2, 0, vec![1]));
        let place = sequences.find(&tokens(70..80), 91).unwrap();
        assert_eq!((place.sequence, place.evict), (2, vec![1, WARM]));
        let place = sequences.find(&tokens(0..10), 100).unwrap();
        assert_eq!((place.keep, place.evict), (9, vec![1, WARM]), "taken over, and then forgotten");
        assert!(sequences.find(&tokens(70..80), 101).is_none(), "more than there is");
    }

    #[test]
    fn a_model_that_cannot_go_back_takes_over_what_a_sequence_holds_as_a_whole_or_nothing() {
        let mut sequences = warm().never_back();
        let first = ask(&mut sequences, &[20, 21], 30).unwrap();
        sequences.extend(first.sequence, &tokens([22]));
        sequences.free(first.sequence);
        // They have the first word in common, and the state of what came then is no state of this.
        let other = ask(&mut sequences, &[20, 50], 30).unwrap();
        assert_eq!((other.from, other.keep), (WARM, 10));
        sequences.free(other.sequence);
        let prompt = tokens((0..10).chain([20, 21, 60]));
        assert_eq!(
            sequences.longest(&prompt),
            10,
            "the static part, and not what was said behind it"
        );
        let next = ask(&mut sequences, &[20, 21, 22, 23], 30).unwrap();
        assert_eq!((next.sequence, next.from, next.keep), (1, 1, 13), "all of it");
        sequences.free(next.sequence);
        let again = sequences.find(&tokens(0..10), 30).unwrap();
        assert_eq!(again.keep, 0, "there is no state without the last token");
    }

    #[test]
    fn another_static_part_has_room_up_to_what_is_under_way() {
        let mut sequences = warm();
        assert_eq!(
            (sequences.room_to_warm(100), sequences.room_to_warm(101)),
            (Some(vec![]), None)
        );
        // 40 cells, of which it shares 10 with the static part of now.
        ask(&mut sequences, &[20], 40).unwrap();
        assert_eq!((sequences.room_to_warm(60), sequences.room_to_warm(61)), (Some(vec![]), None));
    }

    #[test]
    fn what_ended_asks_left_behind_makes_room_for_another_static_part() {
        let mut sequences = warm();
        let ended = ask(&mut sequences, &[20, 21], 30).unwrap();
        sequences.free(ended.sequence);
        // 12 tokens, which are all its own once the static part of now is gone.
        assert_eq!(sequences.room_to_warm(88), Some(vec![]));
        assert_eq!(sequences.room_to_warm(89), Some(vec![ended.sequence]));
        assert_eq!(sequences.room_to_warm(101), None);
    }

    #[test]
    fn a_new_static_part_takes_no_cells_from_those_who_had_the_old_one() {
        let mut sequences = warm();
        ask(&mut sequences, &[20], 40).unwrap();
        sequences.warm(&tokens(50..60), None);
        // 10 of the static part and 40 of the first, which shares nothing any more.
        assert!(sequences.find(&tokens(70..75), 51).is_none());
        assert!(sequences.find(&tokens(70..75), 50).is_some());
    }

    proptest! {
        /// Whatever is asked in whatever order: what is in use fits, and what is taken over is really there.
        #[test]
        fn cells_are_never_given_twice(
            asks in prop::collection::vec((0..4_i32, 1..30_usize, 1..40_usize, any::<bool>()), 1..60)
        ) {
            let mut sequences = Sequences::new(80, 3);
            sequences.warm(&tokens(0..10), None);
            let mut running: Vec<usize> = Vec::new();
            for (kind, length, more, ends) in asks {
                if ends && !running.is_empty() {
                    sequences.free(running.remove(0));
                }
                let prompt = tokens((0..5).chain((1..=i32::try_from(length).unwrap()).map(|i| i * 7 + kind)));
                let cells = prompt.len() + more;
                let Some(place) = sequences.find(&prompt, cells) else {
                    prop_assert!(!running.is_empty(), "alone everything that fits has a place");
                    continue;
                };
                prop_assert_eq!(&sequences.tokens(place.from)[..place.keep], &prompt[..place.keep]);
                prop_assert!(!running.contains(&place.sequence) && place.sequence != WARM);
                prop_assert!(place.evict.iter().all(|s| !running.contains(s)));
                sequences.take(&place, place.keep, cells);
                sequences.extend(place.sequence, &prompt[place.keep..]);
                running.push(place.sequence);
                let in_use: usize = sequences.held.iter().map(Held::cells).sum();
                prop_assert!(in_use <= 80, "{in_use}: {:?}", sequences);
            }
        }
    }
}
