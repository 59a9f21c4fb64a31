//! The engine: one loaded model, one context, several asks at once.
//!
//! ```text
//!  messages ─template─> text ─tokenizer─> prompt ─┬─ what a sequence has of it already: shared
//!                                                 └─ the rest: prefill, some tokens in each batch
//!  batch: some tokens of each ask in hand ──decode──> logits for those whose tokens are all decoded
//!         until the grammar is satisfied: choose the best token that it allows, append those that it forces
//! ```
//!
//! This file and [`kept`](super::kept) are what touches the context; [`jobs`](super::jobs) says what happens next. Bounds: prompt and answer fit
//! the context or the ask is refused, never truncated; between two looks at the clock and at what was cancelled
//! lies one batch of at most [`CHUNK`] tokens. llama.cpp may abort the process: only the worker calls this.

use std::num::NonZeroU32;
use std::sync::Arc;

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;
use toktrie::TokEnv;

use super::Message;
use super::constrain::Constrainer;
use super::dialect::Dialect;
use super::draft::Draft;
use super::jobs::Jobs;
use super::loaded::Loaded;
use super::native::Native;
use super::prefix::Prefixes;
use super::prior::Known;
use super::recall::Recall;
use super::sequences::{Place, Sequences};
use super::thinker::Halt;
use super::vocabulary::Vocabulary;
use super::words::Ahead;

/// Tokens of one batch. Larger ones gain nothing on a CPU and make a cancelled ask hold the worker
/// longer: this many take some 0.7 s on a slow board.
pub const CHUNK: usize = 64;

/// The engine over a loaded model.
pub struct Engine<'m> {
    model: &'m LlamaModel,
    pub(super) context: LlamaContext<'m>,
    batch: LlamaBatch<'static>,
    dialect: Dialect,
    pub(super) vocabulary: TokEnv,
    pub(super) constrainer: Constrainer,
    pub(super) sequences: Sequences,
    pub(super) jobs: Jobs,
    /// What is known of the calls behind some static parts, the one that was prepared last at the end; [`MAX_KNOWN`](super::kept::MAX_KNOWN) at most,
    /// and the first one goes.
    pub(super) known: Vec<Known>,
    /// Where the states of prompts are kept over a restart.
    pub(super) prefixes: Option<Prefixes>,
    /// The most tokens of an answer that are guessed at once.
    pub(super) guess_tokens: usize,
    /// What was answered not long ago.
    pub(super) recall: Recall,
    /// What guesses free text, where there is such a model.
    pub(super) draft: Option<Draft<'m>>,
}

/// Some tokens of one sequence in a batch.
pub(super) struct Part {
    pub(super) sequence: usize,
    pub(super) tokens: Vec<LlamaToken>,
    /// Behind which of them the logits are wanted. Each costs as much as a seventh of a token's run of a small model.
    pub(super) wanted: Vec<bool>,
}

impl<'m> Engine<'m> {
    /// An engine over the model. `threads` decode; `n_ctx` is the context's size in tokens, which up to `asks` asks
    /// at once share; `ahead` is the vocabulary, where it was made ready while the model was loaded.
    pub fn new(
        loaded: &'m mut Loaded,
        n_ctx: u32,
        threads: u32,
        asks: u32,
        ahead: Option<Ahead>,
    ) -> Result<Self, String> {
        let model = loaded.model.as_ref();
        let threads = i32::try_from(threads).map_err(|_| "too many threads".to_owned())?;
        let chunk = u32::try_from(CHUNK).unwrap_or(u32::MAX);
        let params = LlamaContextParams::default()
            .with_n_ctx(NonZeroU32::new(n_ctx))
            .with_n_batch(chunk)
            .with_n_ubatch(chunk)
            // One more for the static part; all in the same cells, so that they can share them.
            .with_n_seq_max(asks + 1)
            .with_kv_unified(true)
            .with_n_threads(threads)
            .with_n_threads_batch(threads);
        // Attention stays fused, as is llama.cpp's default: plain attention is 5 % quicker behind 300 tokens, but it looks at
        // all cells of the context for each token, and not at those of its own sequence alone.
        // The vocabulary is read while the context is made: both take a while, and need nothing of one another.
        let shared = Arc::clone(&loaded.model);
        let (context, words) = std::thread::scope(|scope| {
            let words = scope.spawn(|| match ahead {
                Some(ahead) => ahead.of(&shared),
                None => {
                    let vocabulary: TokEnv = Vocabulary::of(shared);
                    let constrainer = Constrainer::new(&vocabulary);
                    (vocabulary, constrainer)
                }
            });
            (model.new_context(&loaded.backend, params), words.join())
        });
        let mut context = context.map_err(|e| {
            format!("there is no room for a context of {n_ctx} tokens ({e}): lower model.context")
        })?;
        let words = words.map_err(|_| "the vocabulary cannot be read".to_owned());
        let (vocabulary, constrainer) = words?;
        if let Some((adapter, told)) = &mut loaded.adapter {
            let set = context.lora_adapter_set(adapter, 1.0);
            set.map_err(|e| format!("the adapter {} cannot be used: {e}", told.path.display()))?;
        }
        let sequences = Sequences::new(context.n_ctx() as usize, asks as usize);
        let draft = loaded.draft.as_ref();
        let draft = draft.map(|draft| Draft::new(&loaded.backend, [draft, model], n_ctx, threads));
        let draft = draft.transpose()?;
        let dialect =
            if loaded.in_turns { Dialect::turns(model)? } else { Dialect::template(model)? };
        Ok(Self {
            model,
            batch: LlamaBatch::new(CHUNK, 1),
            dialect,
            vocabulary,
            constrainer,
            sequences: if goes_back(model) { sequences } else { sequences.never_back() },
            jobs: Jobs::default(),
            context,
            known: Vec::new(),
            prefixes: None,
            guess_tokens: 0,
            recall: Recall::default(),
            draft,
        })
    }

    /// The context's size in tokens, which llama.cpp may have rounded up.
    pub fn n_ctx(&self) -> u32 {
        self.context.n_ctx()
    }

    /// Guesses up to `most` tokens of an answer at once ([`lookup`](super::lookup)), where the model can go back.
    pub fn guess_up_to(&mut self, most: u32) {
        self.guess_tokens = if goes_back(self.model) { most as usize } else { 0 };
    }

    /// How the model wants to be offered tools, where it has a way of its own.
    pub fn native(&self) -> Option<Native> {
        self.dialect.native()
    }

    /// The tokens of messages and tools, up to where an answer begins where one is wanted.
    pub(super) fn prompt(
        &self,
        messages: &[Message],
        tools: Option<&serde_json::Value>,
        answers: bool,
    ) -> Result<Vec<LlamaToken>, Halt> {
        Ok(match tools {
            Some(tools) => self.dialect.offer(self.model, messages, tools, answers)?,
            None => self.dialect.prompt(self.model, messages, answers)?,
        })
    }

    /// Puts a prompt to its place, and says how many of its tokens are there.
    pub(super) fn settle(&mut self, place: &Place, cells: usize) -> usize {
        let &Place { sequence, from, keep, .. } = place;
        if from == sequence {
            // What comes after it belongs to another prompt.
            let end = u32::try_from(keep).ok();
            let _ = self.context.clear_kv_cache_seq(u32::try_from(sequence).ok(), end, None);
        } else {
            self.clear(sequence);
            self.copy(from, sequence, keep);
        }
        // What the context says counts, not what it was told: a recurrent model has no state of the middle of
        // a text, and a sequence that holds more or less than what is noted would answer another prompt.
        let kept = if self.holds(sequence) == keep { keep } else { 0 };
        if kept < keep {
            self.clear(sequence);
        }
        for evicted in &place.evict {
            self.clear(*evicted);
        }
        self.sequences.take(place, kept, cells);
        kept
    }

    /// Takes a sequence back to its first `n` tokens. `false`: the model has no state of the middle of a text.
    pub(super) fn shorten(&mut self, sequence: usize, n: usize) -> bool {
        let (at, end) = (u32::try_from(sequence).ok(), u32::try_from(n).ok());
        let _ = self.context.clear_kv_cache_seq(at, end, None);
        let is_there = self.holds(sequence) == n;
        self.sequences.shorten(sequence, if is_there { n } else { 0 });
        if !is_there {
            self.clear(sequence);
        }
        is_there
    }

    /// Decodes tokens of several sequences in one batch. Returns, for each part, where its last token is.
    pub(super) fn decode(&mut self, parts: &[Part]) -> Result<Vec<i32>, String> {
        self.batch.clear();
        for part in parts {
            let held = self.sequences.tokens(part.sequence).len();
            let sequence = number(part.sequence);
            for (i, (token, wanted)) in part.tokens.iter().zip(&part.wanted).enumerate() {
                self.batch
                    .add(*token, number(held + i), &[sequence], *wanted)
                    .map_err(|e| e.to_string())?;
            }
        }
        self.context
            .decode(&mut self.batch)
            .map_err(|e| format!("llama.cpp cannot decode: {e}"))?;
        let mut end = -1;
        let ends = parts.iter().map(|part| {
            end += number(part.tokens.len());
            end
        });
        let ends = ends.collect();
        for part in parts {
            self.sequences.extend(part.sequence, &part.tokens);
        }
        Ok(ends)
    }

    /// The logits of a place of the last batch behind which they were wanted.
    pub(super) fn logits(&self, at: i32) -> &[f32] {
        self.context.get_logits_ith(at)
    }

    pub(super) fn copy(&mut self, from: usize, to: usize, tokens: usize) {
        if tokens == 0 {
            return;
        }
        // It fails only for positions that no context has.
        let until = u32::try_from(tokens).ok();
        let _ = self.context.copy_kv_cache_seq(number(from), number(to), Some(0), until);
    }

    pub(super) fn clear(&mut self, sequence: usize) {
        // To remove a whole sequence does not fail.
        let _ = self.context.clear_kv_cache_seq(u32::try_from(sequence).ok(), None, None);
    }

    /// How many tokens the context holds of a sequence.
    pub(super) fn holds(&self, sequence: usize) -> usize {
        usize::try_from(self.context.kv_cache_seq_pos_max(number(sequence)) + 1).unwrap_or(0)
    }
}

/// Whether there is a state of each place of a text, and not of its end alone.
fn goes_back(model: &LlamaModel) -> bool {
    !model.is_recurrent() && !model.is_hybrid()
}

/// A count as llama.cpp takes it. None here comes near the bound: a context has some thousand tokens.
pub(super) fn number(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}
