//! A second opinion: what a model says of the same request behind the same tools in another order.
//!
//! A small model leans towards a tool for where it stands, and errs differently where it stands elsewhere. So the mean of
//! both answers is right more often than either, and less sure where they differ:
//!
//! ```text
//!  p(answer) = (p(answer | tools in order) + p(answer | tools the other way round)) / 2
//! ```

use super::search::PATHS;
use super::{Alternative, Answer, Usage};

/// The likeliest answer of two that were given to one request, each with what else it may be; and what both took.
pub fn mean(first: Answer, second: Answer) -> Answer {
    let usage = first.usage.clone().and(&second.usage);
    let model = first.model.clone();
    let mut all = ways(first);
    for way in ways(second) {
        match all.iter_mut().find(|other| other.text == way.text) {
            Some(same) => same.confidence += way.confidence,
            None => all.push(way),
        }
    }
    all.iter_mut().for_each(|way| way.confidence /= 2.0);
    // Stable: of two that are as likely, the one that was said first.
    all.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
    // As many as one answer has.
    all.truncate(PATHS);
    let Alternative { text, confidence } = all.remove(0);
    Answer { text, confidence, alternatives: all, model, usage }
}

/// An answer and what else it may be.
fn ways(answer: Answer) -> Vec<Alternative> {
    let Answer { text, confidence, alternatives, .. } = answer;
    [vec![Alternative { text, confidence }], alternatives].concat()
}

impl Usage {
    /// What this took, and that after it. Until the first token it took what the first one did.
    fn and(mut self, other: &Self) -> Self {
        self.reused += other.reused;
        self.prefilled += other.prefilled;
        self.forced += other.forced;
        self.sampled += other.sampled;
        self.guessed += other.guessed;
        self.guessed_right += other.guessed_right;
        self.decodes += other.decodes;
        self.grammar_us += other.grammar_us;
        self.total_ms += other.total_ms;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(ways: &[(&str, f32)]) -> Answer {
        let mut ways = ways.iter().map(|(text, confidence)| Alternative {
            text: (*text).to_owned(),
            confidence: *confidence,
        });
        let Alternative { text, confidence } = ways.next().expect("an answer");
        let usage = Usage { decodes: 3, total_ms: 90, first_token_ms: 40, ..Usage::default() };
        Answer { text, confidence, alternatives: ways.collect(), model: "m".into(), usage }
    }

    fn told(answer: &Answer) -> Vec<(&str, f32)> {
        let others = answer.alternatives.iter().map(|way| (way.text.as_str(), way.confidence));
        std::iter::once((answer.text.as_str(), answer.confidence)).chain(others).collect()
    }

    #[test]
    fn what_both_hold_likely_wins_over_what_one_is_surer_of() {
        let first = answer(&[("on()", 0.6), ("off()", 0.4)]);
        let second = answer(&[("none()", 0.5), ("off()", 0.45)]);
        let both = mean(first, second);
        assert_eq!(told(&both), [("off()", 0.425), ("on()", 0.3), ("none()", 0.25)]);
        assert_eq!((both.model.as_str(), both.usage.decodes), ("m", 6));
        assert_eq!((both.usage.total_ms, both.usage.first_token_ms), (180, 40));
    }

    #[test]
    fn as_many_ways_are_told_as_of_one_answer() {
        let first = answer(&[("a()", 0.4), ("b()", 0.3), ("c()", 0.2), ("d()", 0.1)]);
        let second = answer(&[("e()", 0.35), ("f()", 0.25), ("g()", 0.2), ("h()", 0.2)]);
        let both = mean(first, second);
        assert_eq!(
            told(&both).iter().map(|way| way.0).collect::<Vec<_>>(),
            ["a()", "e()", "b()", "f()"]
        );
    }

    #[test]
    fn where_both_say_the_same_it_stays_and_of_equals_the_first_wins() {
        let same = mean(answer(&[("on()", 0.7)]), answer(&[("on()", 0.5)]));
        assert_eq!(told(&same), [("on()", 0.6)]);
        let even = mean(answer(&[("on()", 0.5)]), answer(&[("off()", 0.5)]));
        assert_eq!(told(&even), [("on()", 0.25), ("off()", 0.25)]);
    }
}
