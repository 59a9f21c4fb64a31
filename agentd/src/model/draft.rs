//! A smaller model of the same vocabulary that guesses what a larger one writes next of a free text.
//!
//! Where nothing that stands before can be copied ([`lookup`](super::lookup)), the small model writes some tokens, each of
//! which costs a fraction of the large one's, and the large one looks at all of them in one batch. What it would not have
//! written is taken back: the answer is the same as without, in fewer runs of the large model.
//!
//! Bounds: as many tokens as the caller has room for, and only as long as the small model is sure; between two looks at
//! the clock lies one batch of [`CHUNK`] tokens, so that a long prompt is read over several guesses that come to nothing.

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

/// The small model with the state of the text that it was last asked about.
pub(super) struct Draft<'m> {
    context: LlamaContext<'m>,
    batch: LlamaBatch<'static>,
    held: Vec<LlamaToken>,
}

impl<'m> Draft<'m> {
    /// Over a loaded model, with a context of `n_ctx` tokens.
    pub(super) fn new(
        backend: &LlamaBackend,
        model: &'m LlamaModel,
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
        let context = model.new_context(backend, params).map_err(|e| {
            format!("there is no room for the draft model's context of {n_ctx} tokens ({e}): lower model.context")
        })?;
        Ok(Self { context, batch: LlamaBatch::new(CHUNK, 1), held: Vec::new() })
    }

    /// What the text may go on with: `most` tokens at most. Nothing where the small model is not sure, has not read all
    /// of the text yet, or cannot be run: a guess that fails costs time alone.
    pub(super) fn guess(&mut self, text: &[LlamaToken], most: usize) -> Vec<LlamaToken> {
        if most == 0 || text.len() + most >= self.context.n_ctx() as usize {
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
        (1.0 / all >= LEAST).then(|| LlamaToken::new(best))
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

/// Why a model cannot guess for another one, if it cannot.
pub(super) fn fault(model: &LlamaModel, draft: &LlamaModel) -> Option<String> {
    if draft.is_recurrent() || draft.is_hybrid() {
        return Some("it has no state of the middle of a text".into());
    }
    let (own, other) = (draft.vocab(), model.vocab());
    let same = own.n_tokens() == other.n_tokens()
        && own.tokens().all(|token| own.text(token) == other.text(token));
    (!same).then(|| "its vocabulary is another one: take a model of the same family".into())
}
