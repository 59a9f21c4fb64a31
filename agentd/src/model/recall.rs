//! Answers that were given not long ago, which the next one may repeat: people say the same thing again, and calls of one
//! tool begin alike.
//!
//! What is recalled is only a guess ([`lookup`](super::lookup)): the model has to choose it again. Bounds: [`ANSWERS`] are
//! remembered, each of [`TOKENS`] at most, and the one that was given longest ago goes first. Where states of prompts are kept
//! over a restart, so are they ([`prefix`](super::prefix)); but no answer with a text of a person's, whose words stand in
//! the store alone, where they can be forgotten.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use llama_cpp_2::token::LlamaToken;
use serde::{Deserialize, Serialize};

/// Answers that are remembered.
const ANSWERS: usize = 32;
/// Tokens of an answer that is remembered: two calls with many values.
const TOKENS: usize = 256;

/// The answers of not long ago.
#[derive(Debug, Default)]
pub(super) struct Recall {
    /// The newest one stands last.
    given: VecDeque<Given>,
}

/// To what, and what.
#[derive(Debug)]
struct Given {
    prompt: u64,
    answer: Vec<LlamaToken>,
}

/// Answers as they stand on the disk: the [name](name) of the prompt of each, and its tokens; the newest one stands last.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Kept {
    answers: Vec<(u64, Vec<i32>)>,
}

/// The name of a prompt. Two that had the same one would only lead to wrong guesses.
pub(super) fn name(prompt: &[LlamaToken]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for token in prompt {
        token.0.hash(&mut hasher);
    }
    hasher.finish()
}

impl Recall {
    /// Remembers what was answered to a prompt; nothing is nothing to repeat.
    pub(super) fn note(&mut self, prompt: u64, answer: Vec<LlamaToken>) {
        if answer.is_empty() || answer.len() > TOKENS {
            return;
        }
        self.given.retain(|given| given.prompt != prompt);
        if self.given.len() == ANSWERS {
            self.given.pop_front();
        }
        self.given.push_back(Given { prompt, answer });
    }

    /// What is kept over a restart: the answers that `may_be_kept`.
    pub(super) fn kept(&self, may_be_kept: impl Fn(&[LlamaToken]) -> bool) -> Kept {
        let ids = |given: &Given| given.answer.iter().map(|token| token.0).collect();
        let kept = self.given.iter().filter(|given| may_be_kept(&given.answer));
        Kept { answers: kept.map(|given| (given.prompt, ids(given))).collect() }
    }

    /// What was kept, for a vocabulary of so many tokens.
    pub(super) fn of(kept: Kept, vocabulary: usize) -> Self {
        let mut recall = Self::default();
        let is_token = |id: &i32| usize::try_from(*id).is_ok_and(|id| id < vocabulary);
        for (prompt, ids) in kept.answers {
            if ids.iter().all(is_token) {
                recall.note(prompt, ids.into_iter().map(LlamaToken::new).collect());
            }
        }
        recall
    }

    /// What the answer to this prompt went on with behind `written` when it was given before.
    pub(super) fn same(&self, prompt: u64, written: &[LlamaToken]) -> Option<&[LlamaToken]> {
        let given = self.given.iter().find(|given| given.prompt == prompt)?;
        given.answer.strip_prefix(written)
    }

    /// What answers that began with what is `written` went on with, up to where no more than half of them went the same
    /// way: `most` tokens at most.
    pub(super) fn alike(&self, written: &[LlamaToken], most: usize) -> Vec<LlamaToken> {
        let mut guess = Vec::new();
        let rests = self.given.iter().filter_map(|given| given.answer.strip_prefix(written));
        let mut rests: Vec<&[LlamaToken]> = rests.collect();
        while guess.len() < most {
            let next = |rest: &&[LlamaToken]| rest.get(guess.len()).copied();
            let votes = |token| rests.iter().filter(|rest| next(rest) == Some(token)).count();
            let mut ways = rests.iter().filter_map(next);
            let Some(token) = ways.find(|token| votes(*token) * 2 > rests.len()) else { break };
            rests.retain(|rest| next(rest) == Some(token));
            guess.push(token);
        }
        guess
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Vec<LlamaToken> {
        text.bytes().map(|byte| LlamaToken::new(byte.into())).collect()
    }

    fn text(tokens: &[LlamaToken]) -> String {
        tokens.iter().map(|token| char::from(u8::try_from(token.0).unwrap())).collect()
    }

    fn recall(answers: &[(&str, &str)]) -> Recall {
        let mut recall = Recall::default();
        for (prompt, answer) in answers {
            recall.note(name(&tokens(prompt)), tokens(answer));
        }
        recall
    }

    #[test]
    fn the_same_prompt_recalls_its_last_answer_from_where_it_is() {
        let recall = recall(&[
            ("lamp on", "set(lamp, off)"),
            ("fan", "set(fan)"),
            ("lamp on", "set(lamp, on)"),
        ]);
        let same = |prompt: &str, written: &str| {
            recall.same(name(&tokens(prompt)), &tokens(written)).map(text)
        };
        assert_eq!(same("lamp on", "").as_deref(), Some("set(lamp, on)"));
        assert_eq!(same("lamp on", "set(lamp").as_deref(), Some(", on)"));
        assert_eq!(same("lamp on", "set(lamp, on)").as_deref(), Some(""));
        assert_eq!(same("lamp on", "get"), None, "it went another way");
        assert_eq!(same("lamp off", ""), None);
    }

    #[test]
    fn other_answers_are_recalled_as_far_as_most_of_them_are_alike() {
        let given = [("a", "set(lamp, on)"), ("b", "set(fan, on)"), ("c", "get()"), ("d", "set")];
        let recall = recall(&given);
        let alike = |written: &str, most| text(&recall.alike(&tokens(written), most));
        assert_eq!(alike("set", 9), "(", "two of three, and then one of two");
        assert_eq!(alike("set(l", 99), "amp, on)");
        assert_eq!(alike("set(l", 3), "amp");
        assert_eq!(alike("set(l", 0), "");
        assert_eq!(alike("g", 9), "et()");
        assert_eq!(alike("get()", 9), "");
        assert_eq!(alike("x", 9), "");
        assert_eq!(alike("", 9), "set(", "three of four, two of three, and then one of two");
        assert_eq!(text(&Recall::default().alike(&tokens("a"), 9)), "");
        let more = [given.as_slice(), &[("e", "set(fan, off)")]].concat();
        let recall = self::recall(&more);
        assert_eq!(text(&recall.alike(&tokens("set("), 9)), "fan, o", "two of three go there");
    }

    #[test]
    fn what_is_kept_is_recalled_but_for_what_may_not_be_kept_and_for_tokens_that_are_none() {
        let given = recall(&[("a", "set(lamp)"), ("b", "note(\"my words\")"), ("c", "get()")]);
        let has_no_text = |answer: &[LlamaToken]| !text(answer).contains('"');
        let written = serde_json::to_string(&given.kept(has_no_text)).unwrap();
        let again = |vocabulary| Recall::of(serde_json::from_str(&written).unwrap(), vocabulary);
        let whole = again(256);
        assert_eq!(whole.given.len(), 2);
        assert_eq!(whole.same(name(&tokens("a")), &[]).map(text).as_deref(), Some("set(lamp)"));
        assert_eq!(text(&whole.alike(&tokens("g"), 9)), "et()");
        let most = usize::from(b't');
        assert_eq!(again(most + 1).given.len(), 2, "the last token of the vocabulary is one");
        assert_eq!(again(most).given.len(), 0, "and behind it there is none");
        let odd =
            Kept { answers: vec![(1, vec![-1]), (2, vec![1; TOKENS]), (3, vec![1; TOKENS + 1])] };
        assert_eq!(
            Recall::of(odd, 256).given.iter().map(|given| given.prompt).collect::<Vec<_>>(),
            [2]
        );
        let many = Kept { answers: (0..=ANSWERS as u64).map(|n| (n, vec![1])).collect() };
        let many = Recall::of(many, 256);
        assert_eq!((many.given.len(), many.same(0, &[])), (ANSWERS, None), "the oldest goes");
    }

    #[test]
    fn the_bound_holds_at_and_one_over_and_the_oldest_goes() {
        let mut recall = Recall::default();
        let prompt = |n: usize| name(&[LlamaToken::new(i32::try_from(n).unwrap())]);
        for n in 0..ANSWERS {
            recall.note(prompt(n), tokens("a"));
        }
        assert!(recall.same(prompt(0), &[]).is_some());
        recall.note(prompt(0), tokens("b"));
        recall.note(prompt(ANSWERS), tokens("a"));
        recall.note(prompt(ANSWERS + 1), Vec::new());
        let left = |n| recall.same(prompt(n), &[]).is_some();
        assert_eq!((left(0), left(1), left(2), left(ANSWERS)), (true, false, true, true));
        assert!(!left(ANSWERS + 1) && recall.given.len() == ANSWERS);
    }
}
