//! One ask that has its place: what is to be decoded for it next, and what is done with it then.

use std::sync::Arc;

use llama_cpp_2::token::LlamaToken;
use toktrie::TokEnv;

use super::Usage;
use super::draft::Draft;
use super::llama::{CHUNK, Part};
use super::prior::Prior;
use super::recall::Recall;
use super::share::Need;
use super::thinker::Request;
use super::writing::Writing;

/// An ask that has its place.
pub(super) struct Job {
    pub(super) request: Request,
    pub(super) sequence: usize,
    /// The [name](super::recall::name) of its prompt.
    pub(super) asked: u64,
    /// Tokens that are decided and not decoded yet.
    pub(super) pending: Vec<LlamaToken>,
    /// Tokens that may come behind them, which are decoded along with them.
    pub(super) guess: Guess,
    /// Whether its prompt is decoded.
    pub(super) writes: bool,
    /// What corrects its choices: what is liked behind its static part.
    pub(super) prior: Option<Arc<Prior>>,
    pub(super) scores: Option<Scores>,
    pub(super) doing: Doing,
}

/// Tokens that may come next.
#[derive(Debug, Default)]
pub(super) struct Guess {
    pub(super) tokens: Vec<LlamaToken>,
    /// Which of them the grammar will force, if those before them are right: the model is not asked there.
    pub(super) forced: Vec<bool>,
}

/// That an answer is the scores of the openings behind a static part, and what it took to have that.
pub(super) struct Scores {
    pub(super) prefix: Vec<LlamaToken>,
    pub(super) prepared: Usage,
}

/// What an ask is about.
pub(super) enum Doing {
    /// Computes the state of a static part.
    Preparing(Usage),
    /// Writes an answer.
    Writing(Box<Writing>),
}

impl Job {
    /// Guesses what comes next of an answer, behind the tokens that are `held` and those that are pending: `most` tokens
    /// at most, and not more than there is room for in the answer and in a batch.
    pub(super) fn guess(
        &mut self,
        held: &[LlamaToken],
        most: usize,
        recall: &Recall,
        draft: Option<&mut Draft<'_>>,
        words: &TokEnv,
    ) {
        let Doing::Writing(writing) = &mut self.doing else { return };
        if most == 0 || self.pending.is_empty() {
            return;
        }
        let (room, max_tokens) =
            (CHUNK.saturating_sub(self.pending.len()), self.request.max_tokens);
        let mut tokens = writing.guess_again(self.asked, recall, room, max_tokens);
        // Free text that is yet to begin copies nothing.
        if tokens.is_empty() && (self.writes || writing.is_call()) {
            let text = [held, &self.pending].concat();
            let drafted = |most| draft.map(|draft| draft.guess(&text, most)).unwrap_or_default();
            tokens = writing.guess(&text, room.min(most), max_tokens, recall, drafted);
        }
        let forced = writing.foresee(&tokens, words);
        tokens.truncate(forced.len());
        self.guess = Guess { tokens, forced };
    }

    pub(super) fn need(&self) -> Need {
        let priority = self.request.priority;
        let tokens = self.pending.len() + self.guess.tokens.len();
        Need { tokens, priority, writes: self.writes }
    }

    /// The next `share` tokens of it.
    pub(super) fn part(&self, share: usize) -> Part {
        let (decided, guess) = (&self.pending, &self.guess);
        let tokens = decided.iter().chain(&guess.tokens).take(share).copied().collect();
        let ends = share >= decided.len() && matches!(self.doing, Doing::Writing(_));
        // What comes behind a token is chosen, unless it is guessed and will be forced.
        let last = usize::from(ends);
        let chosen = guess.forced.iter().map(|forced| !forced).chain([true]);
        let wanted = std::iter::repeat_n(false, decided.len().saturating_sub(last))
            .chain(chosen.map(|chosen| chosen && ends))
            .take(share)
            .collect();
        Part { sequence: self.sequence, tokens, wanted }
    }

    pub(super) fn usage(&mut self) -> &mut Usage {
        match &mut self.doing {
            Doing::Preparing(usage) => usage,
            Doing::Writing(writing) => &mut writing.usage,
        }
    }
}
