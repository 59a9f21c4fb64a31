//! What the [engine](super::llama) keeps beyond one ask: static parts in the model's memory and on the disk, what is known of
//! the calls behind them, and what was answered last.

use std::path::Path;
use std::sync::Arc;

use llama_cpp_2::token::LlamaToken;

use super::constraint::Constraint;
use super::llama::{Engine, number};
use super::prefix::Prefixes;
use super::prior::{Known, Prior};
use super::recall::Recall;
use super::sequences::WARM;
use super::{Alternative, Answer};

/// Static parts of which it is known what is liked behind them: two for each agent.
pub(super) const MAX_KNOWN: usize = 16;

impl Engine<'_> {
    /// Keeps the states of prompts over a restart, and what was answered last.
    pub fn keep_prefixes(&mut self, prefixes: Prefixes) {
        let tokens = self.vocabulary.tok_trie().vocab_size();
        self.recall = prefixes.answers().map(|kept| Recall::of(kept, tokens)).unwrap_or_default();
        self.prefixes = Some(prefixes);
    }

    /// Brings to the disk what is kept over a restart and is not there yet.
    pub fn keep_answers(&self) {
        let Some(prefixes) = &self.prefixes else { return };
        let words = self.vocabulary.tok_trie();
        // Texts stand between one of these, whatever the model's way to write a call.
        let has_no_text = |answer: &[LlamaToken]| {
            let mut tokens = answer.iter().map(|token| words.token(token.0.cast_unsigned()));
            tokens.all(|bytes| !bytes.iter().any(|byte| b"\"'<".contains(byte)))
        };
        if let Err(why) = prefixes.keep_answers(&self.recall.kept(has_no_text)) {
            eprintln!("what was answered last cannot be kept: {why}");
        }
    }

    /// Makes what a sequence holds the static part, frees the sequence, and keeps the state on the disk.
    pub(super) fn warm_from(&mut self, sequence: usize) {
        let tokens = self.sequences.tokens(sequence).to_vec();
        self.clear(WARM);
        self.copy(sequence, WARM, tokens.len());
        if self.holds(WARM) == tokens.len() {
            self.sequences.warm(&tokens, Some(sequence));
            self.keep(&tokens);
        } else {
            self.clear(WARM);
            self.sequences.forget(WARM);
        }
        self.clear(sequence);
        self.sequences.forget(sequence);
    }

    /// Puts a state that was kept on the disk in the place of the static part. `false`: there is none that can be used, or
    /// no room for it beside what is under way.
    pub(super) fn restore(&mut self, tokens: &[LlamaToken]) -> bool {
        let Some(going) = self.sequences.room_to_warm(tokens.len()) else { return false };
        let Some(key) = self.key(tokens) else { return false };
        let found = self.prefixes.as_mut().and_then(|prefixes| prefixes.find(&key));
        let Some(path) = found else { return false };
        for sequence in going {
            self.clear(sequence);
            self.sequences.forget(sequence);
        }
        self.clear(WARM);
        self.sequences.forget(WARM);
        let loaded = self.context.state_seq_load_file(&path, number(WARM), tokens.len());
        // A restore can report success and have put nothing there.
        if loaded.is_ok_and(|(loaded, _)| loaded == tokens) && self.holds(WARM) == tokens.len() {
            self.sequences.warm(tokens, None);
            return true;
        }
        self.clear(WARM);
        false
    }

    fn keep(&mut self, tokens: &[LlamaToken]) {
        let Some(key) = self.key(tokens) else { return };
        let Some(prefixes) = &mut self.prefixes else { return };
        let context = &self.context;
        let write = |path: &Path| {
            let written = context.state_seq_save_file(path, number(WARM), tokens);
            written.map(drop).map_err(|e| e.to_string())
        };
        // Without it the next start only takes longer.
        if let Err(why) = prefixes.keep(&key, write) {
            eprintln!("the prompt's state cannot be kept: {why}");
        }
    }

    /// Whether it is known, or was kept on the disk, which openings the model likes behind a static part.
    pub(super) fn knows(&mut self, prefix: &[LlamaToken], openings: &[String]) -> bool {
        let is_it = |known: &&Known| {
            known.prefix == prefix
                && known.prior.as_ref().is_some_and(|prior| prior.is_of(openings))
        };
        let known = self.known.iter().find(is_it).cloned().or_else(|| {
            let kept = self.prefixes.as_ref().zip(self.key(prefix));
            let kept = kept.and_then(|(prefixes, key)| prefixes.prior(&key));
            let kept = kept.filter(|prior| prior.is_of(openings));
            kept.map(|prior| Known { prefix: prefix.to_vec(), prior: Some(Arc::new(prior)) })
        });
        let is_known = known.is_some();
        known.into_iter().for_each(|known| self.note(known));
        is_known
    }

    /// Remembers a static part behind which nothing is corrected, so that it is put back when it is wanted.
    pub(super) fn note_bare(&mut self, prefix: &[LlamaToken]) {
        if !self.known.iter().any(|known| known.prefix == prefix) {
            self.note(Known { prefix: prefix.to_vec(), prior: None });
        }
    }

    fn note(&mut self, known: Known) {
        self.known.retain(|other| other.prefix != known.prefix);
        if self.known.len() >= MAX_KNOWN {
            self.known.remove(0);
        }
        self.known.push(known);
    }

    /// What is known of the calls behind the static part that a prompt begins with.
    pub(super) fn known(&self, prompt: &[LlamaToken]) -> Option<&Known> {
        let begins = self.known.iter().filter(|known| prompt.starts_with(&known.prefix));
        begins.max_by_key(|known| known.prefix.len())
    }

    /// Puts the static part that a prompt begins with in its place, where another agent's stands there now and no
    /// conversation has it: from the disk, which is quicker than to compute it again.
    pub(super) fn warm_for(&mut self, prompt: &[LlamaToken]) {
        let Some(known) = self.known(prompt) else { return };
        let n = known.prefix.len();
        if self.sequences.longest(prompt) < n.min(prompt.len() - 1) {
            self.restore(&prompt[..n]);
        }
    }

    /// Learns which openings the model likes from its answer to an empty request, and keeps that on the disk.
    pub(super) fn learn(&mut self, prefix: Vec<LlamaToken>, openings: &Constraint, answer: Answer) {
        let Constraint::OneOf(openings) = openings else { return };
        let Answer { text, confidence, alternatives, .. } = answer;
        let scored = [alternatives, vec![Alternative { text, confidence }]].concat();
        let prior = Prior::of(openings, &scored);
        if let Some((prefixes, key)) = self.prefixes.as_ref().zip(self.key(&prefix))
            && let Err(why) = prefixes.keep_prior(&key, &prior)
        {
            eprintln!("what is liked without a request cannot be kept: {why}");
        }
        self.note(Known { prefix, prior: Some(Arc::new(prior)) });
    }

    /// The name of the state of some tokens, where states are kept.
    fn key(&self, tokens: &[LlamaToken]) -> Option<String> {
        let prefixes = self.prefixes.as_ref()?;
        let ids: Vec<i32> = tokens.iter().map(|token| token.0).collect();
        Some(prefixes.key(self.n_ctx(), &ids))
    }
}
