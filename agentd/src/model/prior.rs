//! What a model would choose if nothing were asked, so that its likings are not taken for what was said.
//!
//! A small model likes some tools better than others: the first one, one with a common name. What it likes is seen from
//! what it answers to an empty request, and half of it (as logarithms) is taken back from each choice of a name. Only
//! tools are compared with one another. That none fits is said the more readily instead ([`REFUSAL`]): to ask back costs
//! less than to act wrongly.
//!
//! ```text
//!  score(tool) = ln p(tool | request) - WEIGHT * ln(N * p(tool | empty request, one of the N tools))
//!  score(none) = ln p(none | request) + REFUSAL
//! ```
//!
//! Where a tool is called openly, without a value that it needs, less of its probability counts ([`OPEN`]): what is meant
//! may be a tool that can do it as it is said.
//!
//! A name is written in several tokens, so that the second part is shared out among them: a token gets that of the names
//! that it can still lead to, less that of those that were possible before it.

use std::collections::BTreeMap;
use std::sync::Arc;

use llama_cpp_2::token::LlamaToken;
use serde::{Deserialize, Serialize};
use toktrie::{SimpleVob, TokTrie};

use super::grammar::NONE;
use super::thinker::Request;
use super::{Alternative, Message};

/// How much of the likings is taken back.
const WEIGHT: f32 = 0.5;
/// By how much a refusal is preferred, as a logarithm. Of machines that training held back (446 pairs) the adapter before the
/// built-in one then got 95 instead of 88 % of refusals and 65.3 instead of 66.6 % of commands: as much in all, and fewer
/// wrong actions.
const REFUSAL: f32 = 1.0;
/// How much of the probability of an open call counts. On machines that training held back (600 questions) it makes no
/// difference that could be measured (79.7 instead of 80.0 % exact, 49 instead of 51 wrong actions that are at least half
/// sure); where one of two tools that may be meant needs no value, it decides.
const OPEN: f32 = 0.4;
/// What is liked less is taken to be liked so much: how little exactly is noise.
const FLOOR: f32 = 1e-4;

/// The openings of calls, such as `set_fan(`, each with its probability where nothing is asked. They add up to 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Prior {
    openings: BTreeMap<String, f32>,
}

/// What is known of the calls that may stand behind one static part.
#[derive(Debug, Clone)]
pub(super) struct Known {
    /// The tokens of the static part.
    pub(super) prefix: Vec<LlamaToken>,
    /// What it likes behind it; none where nobody wants that corrected.
    pub(super) prior: Option<Arc<Prior>>,
}

/// The most tokens of an opening, whose name has at most 64 letters.
const MAX_TOKENS: u32 = 64;

/// The question of a static part with no request behind it, for whoever asked that it be prepared.
pub(super) fn question(mut prepare: Request) -> Request {
    prepare.messages.push(Message { role: "user".into(), content: String::new() });
    prepare.max_tokens = MAX_TOKENS;
    prepare
}

impl Prior {
    /// Of openings that were scored. What was not found is as improbable as can be.
    pub(super) fn of(openings: &[String], scored: &[Alternative]) -> Self {
        let mut found: BTreeMap<String, f32> =
            openings.iter().map(|opening| (opening.clone(), 0.0)).collect();
        for Alternative { text, confidence } in scored {
            if let Some(probability) = found.get_mut(text) {
                *probability = *confidence;
            }
        }
        for probability in found.values_mut() {
            *probability = probability.max(FLOOR);
        }
        let all: f32 = found.values().sum();
        for probability in found.values_mut() {
            *probability /= all;
        }
        Self { openings: found }
    }

    /// Whether it is of these openings, and whole: a disk may have damaged it.
    pub(super) fn is_of(&self, openings: &[String]) -> bool {
        let all: f32 = self.openings.values().sum();
        self.openings.len() == openings.len()
            && openings.iter().all(|opening| self.openings.contains_key(opening))
            && self.openings.values().all(|probability| *probability > FLOOR / 2.0)
            && (all - 1.0).abs() < 0.01
    }

    /// How much of the probability of an answer counts.
    pub(super) fn share_of(&self, answer: &str) -> f32 {
        // A tool without parameters has its whole call as its opening.
        let is_open = |call: &str| {
            call.strip_suffix(')').is_some_and(|opening| self.openings.contains_key(opening))
        };
        if answer.lines().any(is_open) { OPEN } else { 1.0 }
    }

    /// The logits of the tokens that may come after `written`, with the likings taken back.
    pub(super) fn corrected(
        &self,
        logits: &[f32],
        allowed: &SimpleVob,
        written: &str,
        trie: &TokTrie,
    ) -> Vec<f32> {
        let mut corrected = logits.to_vec();
        let before = self.standing(written.as_bytes());
        let mut text = written.as_bytes().to_vec();
        allowed.iter_set_entries(|token| {
            text.truncate(written.len());
            let token = u32::try_from(token).unwrap_or(u32::MAX);
            text.extend_from_slice(trie.token(token));
            let at = usize::try_from(token).unwrap_or(usize::MAX);
            if let Some(logit) = corrected.get_mut(at) {
                *logit += self.standing(&text) - before;
            }
        });
        corrected
    }

    /// What is added to the score of all that can come of a text.
    fn standing(&self, text: &[u8]) -> f32 {
        let can_come = |opening: &str| {
            let opening = opening.as_bytes();
            opening.starts_with(text) || text.starts_with(opening)
        };
        let (mut count, mut probability) = (0_u16, 0.0);
        for (_, liked) in self.openings.iter().filter(|(opening, _)| can_come(opening)) {
            count += 1;
            probability += liked;
        }
        match count {
            0 if can_come(NONE) => REFUSAL,
            0 => 0.0,
            // Against what it would be if all were liked alike.
            _ => -WEIGHT * (probability / f32::from(count)).ln() - WEIGHT * self.evenly(),
        }
    }

    /// The logarithm of how many openings there are.
    fn evenly(&self) -> f32 {
        u16::try_from(self.openings.len()).map_or(0.0, |count| f32::from(count).ln())
    }
}

#[cfg(test)]
mod tests {
    use llguidance::toktrie::ApproximateTokEnv;

    use super::*;

    fn scored(pairs: &[(&str, f32)]) -> Vec<Alternative> {
        let alternative = |(text, confidence): &(&str, f32)| Alternative {
            text: (*text).to_owned(),
            confidence: *confidence,
        };
        pairs.iter().map(alternative).collect()
    }

    fn openings(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    /// By how much a whole opening gains, all of its bytes together.
    fn gain(prior: &Prior, opening: &str) -> f32 {
        let vocabulary = ApproximateTokEnv::single_byte_env();
        let trie = vocabulary.tok_trie();
        let mut gain = 0.0;
        for (at, byte) in opening.bytes().enumerate() {
            let mut allowed = trie.alloc_token_set();
            allowed.allow_token(u32::from(byte));
            let logits = vec![0.0; trie.vocab_size()];
            gain += prior.corrected(&logits, &allowed, &opening[..at], trie)[usize::from(byte)];
        }
        gain
    }

    #[test]
    fn what_is_liked_is_taken_back_by_half_whatever_the_tokens() {
        let names = openings(&["read(", "reset()", "stop()"]);
        let prior =
            Prior::of(&names, &scored(&[("read(", 0.6), ("reset()", 0.3), ("stop()", 0.1)]));
        for (name, liked) in [("read(", 0.6_f32), ("reset()", 0.3), ("stop()", 0.1)] {
            let expected = -0.5 * (3.0 * liked).ln();
            assert!((gain(&prior, name) - expected).abs() < 1e-4, "{name}");
        }
    }

    #[test]
    fn a_refusal_gains_once_and_what_comes_behind_an_opening_stays_as_it_is() {
        let prior = Prior::of(&openings(&["read(", "stop()"]), &scored(&[("read(", 1.0)]));
        assert!((gain(&prior, "none()") - REFUSAL).abs() < 1e-5);
        let like_it = Prior::of(&openings(&["none_of_all(", "note("]), &scored(&[("note(", 1.0)]));
        assert!((gain(&like_it, "none()") - REFUSAL).abs() < 1e-5, "whatever begins like it");
        assert!(gain(&prior, "other(").abs() < 1e-5);
        let behind = gain(&prior, "read(sensor=1") - gain(&prior, "read(");
        assert!(behind.abs() < 1e-6, "{behind}");
    }

    #[test]
    fn of_an_answer_with_an_open_call_less_counts() {
        let prior = Prior::of(&openings(&["set(", "stop()"]), &scored(&[("set(", 1.0)]));
        for (answer, share) in [
            ("set()", OPEN),
            ("stop()\nset()", OPEN),
            ("stop()", 1.0),
            ("set(n=1)", 1.0),
            ("none()", 1.0),
            ("other()", 1.0),
        ] {
            assert!((prior.share_of(answer) - share).abs() < 1e-6, "{answer}");
        }
    }

    #[test]
    fn an_opening_is_never_impossible_and_all_together_are_certain() {
        let names = openings(&["a(", "b(", "c("]);
        let prior = Prior::of(&names, &scored(&[("a(", 0.6), ("b(", 0.4)]));
        let liked: Vec<f32> = prior.openings.values().copied().collect();
        assert!((liked[0] - 0.6).abs() < 1e-3 && (liked[1] - 0.4).abs() < 1e-3, "{liked:?}");
        assert!(liked[2] > 0.9 * FLOOR && liked[2] < 1.1 * FLOOR, "{liked:?}");
        assert!((liked.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert!(prior.is_of(&names) && !prior.is_of(&names[..2]));
        assert!(!prior.is_of(&openings(&["a(", "b(", "d("])));
        for damaged in [0.0, -0.4, 0.9] {
            let mut prior = prior.clone();
            prior.openings.insert("b(".to_owned(), damaged);
            assert!(!prior.is_of(&names), "{damaged}");
        }
        let one = Prior::of(&names[..1], &scored(&[("a(", 1.0)]));
        assert!(one.is_of(&names[..1]) && gain(&one, "a(").abs() < 1e-6);
        assert!((gain(&one, "none()") - REFUSAL).abs() < 1e-5, "of one tool as of many");
    }
}
