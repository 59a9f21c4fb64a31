//! One answer as it is written: the likeliest of all that its grammar admits, and what else it may be.
//!
//! The likeliest token at each choice does not make the likeliest answer: what begins well may have to go on badly. So
//! the ways that were not taken are kept where they may still lead to more, and the best of them is taken once the first
//! one has come to its end less probable than they are. This finds the same answer as if all that are worth it were
//! scored, and mostly it costs nothing: where the model is sure there is no other way. Only our own grammars are
//! treated so. Free text is as good in many wordings, of which the shortest is the likeliest. Where one of some texts is
//! chosen, every way to each of them is gone that is not improbable altogether.
//!
//! Bounds: as many ways are gone as the [search](Search) says, each with at most the tokens of the ask, by one sequence,
//! one after the other.

use std::sync::Arc;

use llama_cpp_2::token::LlamaToken;
use llguidance::Matcher;
use toktrie::TokEnv;

use super::jobs::count;
use super::lookup;
use super::path::{Desk, Fork, Path};
use super::prior::Prior;
use super::recall::Recall;
use super::search::Search;
use super::thinker::{Halt, Request};
use super::{Alternative, Answer, Usage};

/// A text has to be copied where its grammar admits so few tokens: the parts of the next word, in all ways to cut it.
const NARROW: usize = 32;
/// The most tokens of free text that are guessed the first time. Where there is room no fewer are copied: three cost hardly
/// more than one where the model is small.
const FIRST_TRUST: usize = 3;
/// Free text is copied where so many of its last tokens stood together before; where it went on otherwise, twice as many.
const FIRST_ALIKE: usize = 3;
/// No more are asked for.
const MOST_ALIKE: usize = 24;
/// An answer that is less probable than this is told with what else it may be.
const DOUBTFUL: f32 = 0.5;

/// An answer that is being written.
pub(super) struct Writing {
    /// The way that is gone now; none between two of them.
    path: Option<Path>,
    forks: Vec<Fork>,
    ended: Vec<Ended>,
    /// How many ways were begun.
    begun: usize,
    search: Search,
    /// Whose share of an answer's probability counts.
    prior: Option<Arc<Prior>>,
    /// The probability that does not count.
    lost: f32,
    /// The most tokens of free text that are guessed next time.
    trust: usize,
    /// How many tokens of free text have to have stood together before.
    alike: usize,
    /// Whether the last guess of free text was copied.
    copied: bool,
    pub(super) usage: Usage,
    /// The tokens of an answer in a grammar of ours, once it is finished.
    pub(super) best: Vec<LlamaToken>,
}

/// A way that has come to its end.
struct Ended {
    answer: Alternative,
    tokens: Vec<LlamaToken>,
}

impl Writing {
    /// An answer of which nothing is written yet.
    pub(super) fn new(
        matcher: Matcher,
        usage: Usage,
        search: Search,
        prior: Option<Arc<Prior>>,
    ) -> Self {
        let path = Some(Path::new(matcher));
        Self {
            path,
            forks: Vec::new(),
            ended: Vec::new(),
            begun: 1,
            search,
            prior,
            lost: 0.0,
            trust: FIRST_TRUST,
            alike: FIRST_ALIKE,
            copied: false,
            usage,
            best: Vec::new(),
        }
    }

    /// Whether this is the first way, which is shown while it is gone.
    pub(super) fn is_first(&self) -> bool {
        self.begun == 1
    }

    /// Whether it is written by a grammar of ours.
    pub(super) fn is_call(&self) -> bool {
        self.search == Search::Likeliest
    }

    /// Writes what is forced. `true`: there is a choice, which needs the logits after what is pending; `false`: the way
    /// has come to its end.
    pub(super) fn go_on(&mut self, request: &Request, desk: &mut Desk<'_>) -> Result<bool, Halt> {
        let Some(mut path) = self.path.take() else { return Ok(false) };
        let goes_on = path.go_on(desk);
        self.keep(path, goes_on, request, desk)
    }

    /// Chooses the best token, and writes what it forces. Returns as [`go_on`](Self::go_on) does.
    pub(super) fn choose(
        &mut self,
        logits: &[f32],
        prior: Option<&Prior>,
        request: &Request,
        desk: &mut Desk<'_>,
    ) -> Result<bool, Halt> {
        let Some(mut path) = self.path.take() else { return Ok(false) };
        let goes_on = path.choose(logits, self.search, prior, &mut self.forks, desk);
        self.keep(path, goes_on, request, desk)
    }

    /// What the answer to the same prompt went on with, if it was [`asked`](super::recall::name) before: `most` tokens at
    /// most, which the grammar admits and for which there is room in an answer of `max_tokens`.
    pub(super) fn guess_again(
        &mut self,
        asked: u64,
        recall: &Recall,
        most: usize,
        max_tokens: u32,
    ) -> Vec<LlamaToken> {
        let Some(path) = self.path.as_mut().filter(|_| self.search == Search::Likeliest) else {
            return Vec::new();
        };
        let room = max_tokens.saturating_sub(path.tokens) as usize;
        let same = recall.same(asked, path.written()).unwrap_or_default();
        path.admitted(same[..same.len().min(most).min(room)].to_vec())
    }

    /// What it may go on with behind `text`, which it has come to: `most` tokens at most, which its grammar admits and
    /// for which there is room in an answer of `max_tokens`. Free text that copies nothing goes on with what `draft`
    /// gives for so many tokens.
    pub(super) fn guess(
        &mut self,
        text: &[LlamaToken],
        most: usize,
        max_tokens: u32,
        recall: &Recall,
        draft: impl FnOnce(usize) -> Vec<LlamaToken>,
    ) -> Vec<LlamaToken> {
        let Some(path) = &mut self.path else { return Vec::new() };
        let room = max_tokens.saturating_sub(path.tokens) as usize;
        let (shortest, trust, is_free) = match self.search {
            // It would be gone back from nearly all that is guessed.
            Search::Whole => return Vec::new(),
            // Names and values are chosen, and what stands around them is always the same; texts are copied.
            Search::Likeliest if !is_within_string(path.text()) => {
                let most = most.min(room);
                let mut guess = recall.alike(path.written(), most);
                if guess.is_empty() {
                    // Another way of the same answer may go on as the one before.
                    let before = self.ended.iter().flat_map(|way| way.tokens.iter());
                    let all: Vec<_> = before.chain(path.written()).copied().collect();
                    guess = lookup::guess(&all, 2, most);
                }
                return path.admitted(guess);
            }
            // Where it must be words of the request, each leads to the next one.
            Search::Likeliest if path.width() <= NARROW => (1, most, false),
            Search::Likeliest | Search::None => (self.alike, self.trust.max(FIRST_TRUST), true),
        };
        let room = most.min(room);
        let mut guess = lookup::guess(text, shortest, room.min(trust));
        self.copied = is_free && !guess.is_empty();
        if guess.is_empty() && is_free {
            guess = draft(room.min(self.trust));
        }
        path.admitted(guess)
    }

    /// Which tokens of a guess will be forced if those before them are right; as far as it agrees with what is forced.
    pub(super) fn foresee(&self, guess: &[LlamaToken], words: &TokEnv) -> Vec<bool> {
        match &self.path {
            Some(path) if self.is_call() && !guess.is_empty() => path.foresee(guess, words),
            // Hardly anything is forced in free text.
            _ => vec![false; guess.len()],
        }
    }

    /// How many tokens of a guess were right: free text that copies is trusted to go on with it.
    pub(super) fn was_guessed(&mut self, guessed: usize, right: usize) {
        self.usage.guessed += count(guessed);
        self.usage.guessed_right += count(right);
        if guessed > 0 {
            self.trust = if right == guessed { 2 * guessed } else { right.max(1) };
        }
        if std::mem::take(&mut self.copied) && guessed > 0 {
            self.alike = if right > 0 { FIRST_ALIKE } else { MOST_ALIKE.min(2 * self.alike) };
        }
    }

    /// The way that is to be gone next, if there is one that is worth it.
    pub(super) fn next_fork(&mut self) -> Option<Fork> {
        if self.begun >= self.search.paths() {
            return None;
        }
        let best = self.ended.iter().map(|way| way.answer.confidence).reduce(f32::max);
        let least = match best {
            _ if self.search == Search::Whole => 0.0,
            // One that can only be told beside the answer need not be likelier than it.
            Some(best) if best < DOUBTFUL => best / 2.0,
            Some(best) => best,
            None => return None,
        };
        let likelier = |a: &usize, b: &usize| {
            self.forks[*a].log_probability().total_cmp(&self.forks[*b].log_probability())
        };
        let next = (0..self.forks.len()).max_by(likelier)?;
        let fork = self.forks.swap_remove(next);
        (fork.log_probability().exp() > least).then_some(fork)
    }

    /// Goes another way. Returns as [`go_on`](Self::go_on) does.
    pub(super) fn take(
        &mut self,
        fork: Fork,
        request: &Request,
        desk: &mut Desk<'_>,
    ) -> Result<bool, Halt> {
        self.begun += 1;
        match fork.take(desk) {
            Ok((path, goes_on)) => self.keep(path, Ok(goes_on), request, desk),
            Err(halt) => self.lose(halt),
        }
    }

    /// The answer, once no way is left that is worth it.
    pub(super) fn finish(&mut self, request: &Request) -> Answer {
        self.usage.total_ms = request.elapsed_ms();
        let mut ways: Vec<Ended> = Vec::new();
        for way in std::mem::take(&mut self.ended) {
            // What is spelt in other tokens is the same answer, and the more probable.
            match ways.iter_mut().find(|other| other.answer.text == way.answer.text) {
                Some(same) => same.answer.confidence += way.answer.confidence,
                None => ways.push(way),
            }
        }
        // What does not count is shared out among all that may be meant.
        for way in &mut ways {
            way.answer.confidence /= (1.0 - self.lost).max(f32::EPSILON);
        }
        ways.sort_by(|a, b| b.answer.confidence.total_cmp(&a.answer.confidence));
        if self.search == Search::Likeliest {
            self.best = ways.first().map(|way| way.tokens.clone()).unwrap_or_default();
        }
        let mut answers = ways.into_iter().map(|way| way.answer);
        let Alternative { text, confidence } = answers.next().unwrap_or_default();
        let alternatives = answers.collect();
        Answer { text, confidence, alternatives, usage: self.usage.clone(), ..Answer::default() }
    }

    /// Keeps a way that goes on, and the answer of one that has ended.
    fn keep(
        &mut self,
        path: Path,
        goes_on: Result<bool, Halt>,
        request: &Request,
        desk: &Desk<'_>,
    ) -> Result<bool, Halt> {
        self.usage.forced += desk.forced;
        self.usage.sampled += desk.sampled;
        if self.usage.first_token_ms == 0 && path.tokens > 0 {
            self.usage.first_token_ms = request.elapsed_ms();
        }
        match goes_on {
            Ok(true) => {
                self.path = Some(path);
                Ok(true)
            }
            Ok(false) => {
                let confidence = path.log_probability.exp();
                // JSON has no NaN, and what is no number is nothing to rely on.
                let confidence = if confidence.is_finite() { confidence } else { 0.0 };
                let tokens = path.written().to_vec();
                match path.finish() {
                    Ok(text) => {
                        let share = self.prior.as_ref().map_or(1.0, |prior| prior.share_of(&text));
                        self.lost += confidence * (1.0 - share);
                        let answer = Alternative { text, confidence: confidence * share };
                        self.ended.push(Ended { answer, tokens });
                    }
                    Err(halt) => return self.lose(halt),
                }
                Ok(false)
            }
            Err(halt) => self.lose(halt),
        }
    }

    /// A way led nowhere: no harm where another one has led to an answer.
    fn lose(&self, halt: Halt) -> Result<bool, Halt> {
        if self.ended.is_empty() { Err(halt) } else { Ok(false) }
    }
}

/// Whether a call has come to the middle of a text.
fn is_within_string(call: &str) -> bool {
    let quote = |(within, escaped): (bool, bool), byte| match byte {
        _ if escaped => (within, false),
        b'\\' => (within, within),
        b'"' => (!within, false),
        _ => (within, false),
    };
    call.bytes().fold((false, false), quote).0
}

#[cfg(test)]
#[path = "writing_tests.rs"]
mod tests;
