//! The engine: one loaded model, one context, one ask at a time.
//!
//! ```text
//!  messages ─template─> text ─tokenizer─> prompt ─┬─ common prefix: already in the KV cache
//!                                                 └─ the rest: prefill, [`CHUNK`] tokens at a time
//!  then until the grammar is satisfied:
//!    tokens that the grammar forces ──> appended, no sampling
//!    else decode what was appended, and take the best token that the grammar allows
//! ```
//!
//! Bounds: prompt and answer fit the context or the ask is refused, never truncated; between two looks
//! at the clock and at the cancel flag lies at most one chunk. llama.cpp may abort the process: only the
//! worker calls this.

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::model::{LlamaLoraAdapter, LlamaModel};
use llama_cpp_2::token::LlamaToken;
use toktrie::{SimpleVob, TokEnv};

use super::adapter::Adapter;
use super::constrain::Constrainer;
use super::dialect::Dialect;
use super::pieces::Pieces;
use super::prefix::Prefixes;
use super::thinker::{Halt, Request, Thinker};
use super::vocabulary::Vocabulary;
use super::writing::Writing;
use super::{Answer, ModelError, Usage};

/// Prompt tokens decoded between two looks at the clock. Larger chunks gain nothing on a CPU and make a
/// cancelled ask hold the worker longer: this many take some 0.7 s on a slow board.
pub const CHUNK: usize = 64;

/// The one sequence of the context.
const SEQUENCE: i32 = 0;

/// A model that is in memory.
pub struct Loaded {
    // Fields drop in order: the model goes before the backend.
    model: Arc<LlamaModel>,
    adapter: Option<(LlamaLoraAdapter, Adapter)>,
    in_turns: bool,
    backend: LlamaBackend,
}

impl Loaded {
    /// Maps the file and builds the model. `progress` gets 0 to 1 and gives `false` to leave off.
    pub fn from_file(
        path: &Path,
        progress: impl FnMut(f32) -> bool + 'static,
    ) -> Result<Self, String> {
        Self::load(LlamaBackend::init().map_err(|e| e.to_string())?, path, progress)
    }

    /// The same, without llama.cpp's log, which only a supervisor reads.
    pub(crate) fn quietly(path: &Path) -> Result<Self, String> {
        let mut backend = LlamaBackend::init().map_err(|e| e.to_string())?;
        backend.void_logs();
        Self::load(backend, path, |_| true)
    }

    fn load(
        backend: LlamaBackend,
        path: &Path,
        progress: impl FnMut(f32) -> bool + 'static,
    ) -> Result<Self, String> {
        let params =
            LlamaModelParams::default().with_use_mmap(true).with_progress_callback(progress);
        let model = LlamaModel::load_from_file(&backend, path, &params)
            .map_err(|e| format!("llama.cpp cannot load {}: {e}", path.display()))?;
        Ok(Self { adapter: None, in_turns: false, model: Arc::new(model), backend })
    }

    /// Puts an adapter onto the model, before there is an engine over it.
    pub fn adapt(&mut self, adapter: Adapter) -> Result<(), String> {
        let model = Arc::get_mut(&mut self.model).ok_or("the model is in use")?;
        let loaded = model.lora_adapter_init(&adapter.path).map_err(|e| {
            format!("llama.cpp cannot load the adapter {}: {e}", adapter.path.display())
        })?;
        self.in_turns |= adapter.in_turns;
        self.adapter = Some((loaded, adapter));
        Ok(())
    }

    /// Says that the model's own weights were tuned on terse turns.
    pub fn speaks_turns(&mut self) {
        self.in_turns = true;
    }

    /// The model itself.
    pub(crate) fn model(&self) -> Arc<LlamaModel> {
        Arc::clone(&self.model)
    }

    /// An engine over the model. `threads` decode; `n_ctx` is the context's size in tokens.
    pub fn engine(&mut self, n_ctx: u32, threads: u32) -> Result<Engine<'_>, String> {
        Engine::new(self, n_ctx, threads)
    }
}

/// The engine over a loaded model.
pub struct Engine<'m> {
    model: &'m LlamaModel,
    context: LlamaContext<'m>,
    batch: LlamaBatch<'static>,
    dialect: Dialect,
    pub(super) vocabulary: TokEnv,
    constrainer: Constrainer,
    /// The tokens whose KV state the context holds, in order.
    cached: Vec<LlamaToken>,
    /// Where the states of prompts are kept over a restart.
    prefixes: Option<Prefixes>,
}

impl<'m> Engine<'m> {
    fn new(loaded: &'m mut Loaded, n_ctx: u32, threads: u32) -> Result<Self, String> {
        let model = loaded.model.as_ref();
        let threads = i32::try_from(threads).map_err(|_| "too many threads".to_owned())?;
        let chunk = u32::try_from(CHUNK).unwrap_or(u32::MAX);
        let params = LlamaContextParams::default()
            .with_n_ctx(NonZeroU32::new(n_ctx))
            .with_n_batch(chunk)
            .with_n_ubatch(chunk)
            .with_n_seq_max(1)
            .with_n_threads(threads)
            .with_n_threads_batch(threads);
        let mut context = model.new_context(&loaded.backend, params).map_err(|e| {
            format!("there is no room for a context of {n_ctx} tokens ({e}): lower model.context")
        })?;
        if let Some((adapter, told)) = &mut loaded.adapter {
            let set = context.lora_adapter_set(adapter, 1.0);
            set.map_err(|e| format!("the adapter {} cannot be used: {e}", told.path.display()))?;
        }
        let dialect =
            if loaded.in_turns { Dialect::turns(model)? } else { Dialect::template(model)? };
        let vocabulary = Vocabulary::of(Arc::clone(&loaded.model));
        let constrainer = Constrainer::new(&vocabulary)?;
        Ok(Self {
            model,
            context,
            batch: LlamaBatch::new(CHUNK, 1),
            dialect,
            vocabulary,
            constrainer,
            cached: Vec::new(),
            prefixes: None,
        })
    }

    /// The context's size in tokens, which llama.cpp may have rounded up.
    pub fn n_ctx(&self) -> u32 {
        self.context.n_ctx()
    }

    /// Keeps the states of prompts over a restart.
    pub fn keep_prefixes(&mut self, prefixes: Prefixes) {
        self.prefixes = Some(prefixes);
    }

    /// Leaves in the KV cache what it has in common with the prompt, and says how many tokens that is.
    fn reuse(&mut self, prompt: &[LlamaToken]) -> Result<usize, String> {
        let common = self.cached.iter().zip(prompt).take_while(|(a, b)| a == b).count();
        // The last prompt token is decoded in any case: its logits choose the first token.
        let keep = common.min(prompt.len() - 1);
        if keep == self.cached.len() {
            return Ok(keep);
        }
        self.cached.truncate(keep);
        let from = u32::try_from(keep).map_err(|e| e.to_string())?;
        let removed = self.context.clear_kv_cache_seq(Some(0), Some(from), None);
        // What the cache says counts, not what it was told: a recurrent model cannot go back, and a
        // cache that holds more or less than `cached` would answer another prompt.
        let held = usize::try_from(self.context.kv_cache_seq_pos_max(SEQUENCE) + 1).unwrap_or(0);
        if !removed.unwrap_or(false) || held != keep {
            self.forget();
        }
        Ok(self.cached.len())
    }

    fn forget(&mut self) {
        self.context.clear_kv_cache();
        self.cached.clear();
    }

    /// Decodes tokens after those in the cache. The last one's logits are there afterwards.
    pub(super) fn decode(
        &mut self,
        tokens: &[LlamaToken],
        request: &Request<'_>,
    ) -> Result<(), Halt> {
        for (i, chunk) in tokens.chunks(CHUNK).enumerate() {
            request.check()?;
            let is_last = (i + 1) * CHUNK >= tokens.len();
            self.decode_chunk(chunk, is_last).map_err(|why| {
                self.forget();
                Halt::Broken(why)
            })?;
        }
        Ok(())
    }

    fn decode_chunk(&mut self, chunk: &[LlamaToken], is_last: bool) -> Result<(), String> {
        self.batch.clear();
        for (i, token) in chunk.iter().enumerate() {
            let position = i32::try_from(self.cached.len() + i).map_err(|e| e.to_string())?;
            let logits = is_last && i + 1 == chunk.len();
            self.batch.add(*token, position, &[SEQUENCE], logits).map_err(|e| e.to_string())?;
        }
        self.context
            .decode(&mut self.batch)
            .map_err(|e| format!("llama.cpp cannot decode: {e}"))?;
        self.cached.extend_from_slice(chunk);
        Ok(())
    }

    /// The best token of those that are allowed, and the logarithm of its probability among them.
    pub(super) fn best(&self, allowed: &SimpleVob) -> Option<(u32, f32)> {
        let logits = self.context.get_logits_ith(self.batch.n_tokens() - 1);
        // A logit that is no number loses against any other.
        let logit = |token: u32| logits.get(token as usize).copied().unwrap_or(f32::NAN);
        let mut best: Option<(u32, f32)> = None;
        for token in allowed.iter() {
            if best.is_none_or(|(_, top)| logit(token) > top || top.is_nan()) {
                best = Some((token, logit(token)));
            }
        }
        let (token, top) = best?;
        let all: f32 = allowed.iter().map(|token| (logit(token) - top).exp()).sum();
        Some((token, -all.ln()))
    }
}

impl Engine<'_> {
    /// Puts a kept state in the place of what the context holds. `false`: there is none that can be used.
    fn restore(&mut self, path: &Path, tokens: &[LlamaToken]) -> bool {
        self.forget();
        let loaded = self.context.state_seq_load_file(path, SEQUENCE, tokens.len());
        let held = usize::try_from(self.context.kv_cache_seq_pos_max(SEQUENCE) + 1).unwrap_or(0);
        // A restore can report success and have put nothing there.
        if loaded.is_ok_and(|(loaded, _)| loaded == tokens) && held == tokens.len() {
            self.cached = tokens.to_vec();
            return true;
        }
        self.forget();
        false
    }
}

impl Thinker for Engine<'_> {
    fn prepare(&mut self, request: &Request<'_>) -> Result<Usage, Halt> {
        let tokens = self.dialect.prompt(self.model, request.messages, false)?;
        let (n_tokens, n_ctx) = (tokens.len(), self.n_ctx());
        if n_tokens >= n_ctx as usize {
            let why = format!(
                "it has {n_tokens} tokens, which leaves no room in the {n_ctx} of model.context"
            );
            return Err(ModelError::Refused(why).into());
        }
        let all = u32::try_from(n_tokens).unwrap_or(u32::MAX);
        let ids: Vec<i32> = tokens.iter().map(|token| token.0).collect();
        let key = self.prefixes.as_ref().map(|prefixes| prefixes.key(n_ctx, &ids));
        let find = |prefixes: &Prefixes| prefixes.find(key.as_deref()?);
        if let Some(path) = self.prefixes.as_ref().and_then(find)
            && self.restore(&path, &tokens)
        {
            return Ok(Usage { reused: all, total_ms: request.elapsed_ms(), ..Usage::default() });
        }
        let reused = self.reuse(&tokens).map_err(Halt::Broken)?;
        self.decode(&tokens[reused..], request)?;
        if let (Some(prefixes), Some(key)) = (&self.prefixes, &key) {
            let write = |path: &Path| {
                let written = self.context.state_seq_save_file(path, SEQUENCE, &tokens);
                written.map(drop).map_err(|e| e.to_string())
            };
            // Without it the next start only takes longer.
            if let Err(why) = prefixes.keep(key, write) {
                eprintln!("the prompt's state cannot be kept: {why}");
            }
        }
        let reused = u32::try_from(reused).unwrap_or(u32::MAX);
        Ok(Usage {
            reused,
            prefilled: all - reused,
            total_ms: request.elapsed_ms(),
            ..Usage::default()
        })
    }

    fn answer(&mut self, request: &Request<'_>, say: &mut dyn FnMut(&str)) -> Result<Answer, Halt> {
        // The grammar first: to refuse it costs no prefill.
        let begun = Instant::now();
        let matcher = self
            .constrainer
            .matcher(request.grammar)
            .map_err(|why| ModelError::Refused(format!("its grammar does not compile: {why}")))?;
        let grammar_us = u32::try_from(begun.elapsed().as_micros()).unwrap_or(u32::MAX);
        let prompt = self.dialect.prompt(self.model, request.messages, true)?;
        let (n_prompt, n_answer) = (prompt.len(), request.max_tokens as usize);
        let n_ctx = self.n_ctx() as usize;
        if n_prompt + n_answer > n_ctx {
            return Err(ModelError::Refused(format!(
                "its prompt has {n_prompt} tokens and its answer may have {n_answer}, which is more \
                 than the {n_ctx} of model.context"
            ))
            .into());
        }
        let reused = self.reuse(&prompt).map_err(Halt::Broken)?;
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let usage = Usage {
            reused: count(reused),
            prefilled: count(n_prompt - reused),
            grammar_us,
            ..Usage::default()
        };
        let writing = Writing {
            matcher,
            pending: prompt[reused..].to_vec(),
            pieces: Pieces::default(),
            usage,
            log_probability: 0.0,
        };
        writing.write(self, request, say)
    }
}
