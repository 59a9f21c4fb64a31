//! A smaller model of the same vocabulary that guesses what a larger one writes next of a free text.
//!
//! Where nothing that stands before can be copied ([`lookup`](super::lookup)), the small model writes some tokens, each of
//! which costs a fraction of the large one's, and the large one looks at all of them in one batch. What it would not have
//! written is taken back: the answer is the same as without, in fewer runs of the large model.
//!
//! Bounds: as many tokens as the caller has room for, and only as long as the small model is sure. A guess is one batch of up
//! to [`CHUNK`] tokens of the text, so that a long prompt is read over several guesses that come to nothing, and a run for each
//! token that is guessed.

use std::num::NonZeroU32;

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;

use super::llama::CHUNK;
use super::sequences::common;

/// A token that the small model itself gives less than this is no guess: half of such would be taken back.
const LEAST: f32 = 0.5;

/// How many tokens more one of a family may have than another.
const MAX_MORE: u32 = 128;

/// The small model with the state of the text that it was last asked about.
pub(super) struct Draft<'m> {
    context: LlamaContext<'m>,
    batch: LlamaBatch<'static>,
    held: Vec<LlamaToken>,
    /// Tokens that both models have.
    shared: i32,
}

impl<'m> Draft<'m> {
    /// Over a loaded model that guesses for another one, with a context of `n_ctx` tokens.
    pub(super) fn new(
        backend: &LlamaBackend,
        [draft, model]: [&'m LlamaModel; 2],
        n_ctx: u32,
        threads: i32,
    ) -> Result<Self, String> {
        let chunk = u32::try_from(CHUNK).unwrap_or(u32::MAX);
        let params = LlamaContextParams::default()
            .with_n_ctx(NonZeroU32::new(n_ctx))
            .with_n_batch(chunk)
            .with_n_ubatch(chunk)
            .with_n_threads(threads)
            .with_n_threads_batch(threads);
        let context = draft.new_context(backend, params).map_err(|e| {
            format!("there is no room for the draft model's context of {n_ctx} tokens ({e}): lower model.context")
        })?;
        let shared = draft.vocab().n_tokens().min(model.vocab().n_tokens());
        Ok(Self { context, batch: LlamaBatch::new(CHUNK, 1), held: Vec::new(), shared })
    }

    /// What the text may go on with: `most` tokens at most. Nothing where the small model is not sure, has not read all
    /// of the text yet, or cannot be run: a guess that fails costs time alone.
    pub(super) fn guess(&mut self, text: &[LlamaToken], most: usize) -> Vec<LlamaToken> {
        if most == 0 || text.len() + most >= self.context.n_ctx() as usize {
            return Vec::new();
        }
        if text.iter().any(|token| token.0 >= self.shared) {
            return Vec::new();
        }
        // The last token is decoded in any case: its logits are wanted.
        let same = common(&self.held, text).min(text.len().saturating_sub(1));
        self.forget_from(same);
        let next = &text[same..];
        let next = &next[..next.len().min(CHUNK)];
        let mut guess = Vec::new();
        let mut decoded = self.decode(next);
        if same + next.len() < text.len() {
            return guess;
        }
        while decoded && guess.len() < most {
            let Some(token) = self.sure_of() else { break };
            guess.push(token);
            // The last one is not run: nothing is wanted behind it.
            decoded = guess.len() < most && self.decode(&[token]);
        }
        guess
    }

    /// The token that comes next, where the model is sure enough of it.
    fn sure_of(&self) -> Option<LlamaToken> {
        let logits = self.context.get_logits_ith(self.batch.n_tokens() - 1);
        let (best, top) = (0..).zip(logits).max_by(|(_, a), (_, b)| a.total_cmp(b))?;
        let all: f32 = logits.iter().map(|logit| (logit - top).exp()).sum();
        (1.0 / all >= LEAST && best < self.shared).then(|| LlamaToken::new(best))
    }

    fn decode(&mut self, tokens: &[LlamaToken]) -> bool {
        self.batch.clear();
        for (i, token) in tokens.iter().enumerate() {
            let at = i32::try_from(self.held.len() + i).unwrap_or(i32::MAX);
            if self.batch.add(*token, at, &[0], i + 1 == tokens.len()).is_err() {
                return false;
            }
        }
        if self.context.decode(&mut self.batch).is_err() {
            self.forget_from(0);
            return false;
        }
        self.held.extend_from_slice(tokens);
        true
    }

    /// Holds only the first `n` tokens from now on.
    fn forget_from(&mut self, n: usize) {
        self.held.truncate(n);
        // A model that cannot go back is not taken as a draft ([`fault`]).
        let _ = self.context.clear_kv_cache_seq(Some(0), u32::try_from(n).ok(), None);
    }
}

/// Why a model cannot guess for another one, if it cannot. Members of a family may have some tokens more at the end, which
/// nobody writes.
pub(super) fn fault(model: &LlamaModel, draft: &LlamaModel) -> Option<String> {
    if draft.is_recurrent() || draft.is_hybrid() {
        return Some("it has no state of the middle of a text".into());
    }
    let (own, other) = (draft.vocab(), model.vocab());
    let (n, n_other) = (own.n_tokens(), other.n_tokens());
    let mut both = own.tokens().take_while(|token| token.0 < n_other);
    let same =
        n.abs_diff(n_other) <= MAX_MORE && both.all(|token| own.text(token) == other.text(token));
    (!same).then(|| format!("its vocabulary ({n} tokens) is not that of the model ({n_other})"))
}
