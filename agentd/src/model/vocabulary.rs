//! The model's own vocabulary and tokenizer, as llguidance wants to see them.
//!
//! Forced tokens are appended to the context without the model's consent, so they must be the ones that
//! the model's own tokenizer would have made: only a *canonical* tokenizer may force. Whether this
//! model's is one is not assumed but probed when it is loaded, and where it is not, nothing is forced.
//!
//! Bound: the trie holds each token's bytes once, a few MiB for 50 000 tokens; it is built once.

use std::sync::{Arc, OnceLock};

use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;
use toktrie::{TokRxInfo, TokTrie, TokenId, TokenizerEnv};

use super::words::{Told, Words};

/// A character that no word begins with. Put before a text, it takes the space that SentencePiece
/// models put before every text, and is cut off again.
const MARKER: &str = "\u{2}";

/// Texts whose tokens must spell them again, byte by byte.
const PROBES: &[&str] =
    &["a", " a", "set_output(device=", "=on, n=-12.5)", "\n", "\"grüße \\u0007 \u{1f327}\""];

/// A model's vocabulary.
pub struct Vocabulary {
    /// Who tokenizes. What is made ready ahead of its model gets it before there is a text.
    model: OnceLock<Arc<LlamaModel>>,
    trie: TokTrie,
    told: Told,
}

impl Vocabulary {
    /// Reads the vocabulary and probes the tokenizer.
    pub fn of(model: Arc<LlamaModel>) -> Arc<Self> {
        let mut vocabulary = Self::without_model(&words_of(&model));
        vocabulary.model = OnceLock::from(Arc::clone(&model));
        if !vocabulary.spells_probes() {
            let marker = model.vocab().tokenize(MARKER.as_bytes(), false, false);
            vocabulary.told.marker = Some(ids(&marker));
            vocabulary.told.canonical = vocabulary.spells_probes();
        }
        Arc::new(vocabulary)
    }

    /// What was read and probed before, of a model that is not there yet.
    pub(super) fn without_model(Words { words, told }: &Words) -> Self {
        let count = u32::try_from(words.len()).unwrap_or(u32::MAX);
        let trie = TokTrie::from(&TokRxInfo::new(count, told.ends[0]), words);
        let trie = trie.with_eos_tokens(&told.ends);
        Self { model: OnceLock::new(), trie, told: told.clone() }
    }

    /// Gives it the model that it was read from. `false`: it is of another one.
    pub(super) fn belongs_to(&self, model: &Arc<LlamaModel>) -> bool {
        let count = usize::try_from(model.vocab().n_tokens()).ok();
        count == Some(self.trie.vocab_size()) && self.model.set(Arc::clone(model)).is_ok()
    }

    /// What there is to know of it without its model.
    pub(super) fn words(&self) -> Words {
        let tokens = 0..u32::try_from(self.trie.vocab_size()).unwrap_or(u32::MAX);
        let words = tokens.map(|token| self.trie.token(token).to_vec()).collect();
        Words { words, told: self.told.clone() }
    }

    fn spells_probes(&self) -> bool {
        PROBES.iter().all(|text| self.trie.decode(&self.tokenize(text)) == text.as_bytes())
    }

    fn tokenize_text(&self, text: &str) -> Vec<TokenId> {
        let Some(model) = self.model.get() else {
            return self.trie.greedy_tokenize(text.as_bytes());
        };
        let vocab = model.vocab();
        let Some(marker) = &self.told.marker else {
            return ids(&vocab.tokenize(text.as_bytes(), false, false));
        };
        let tokens = ids(&vocab.tokenize(format!("{MARKER}{text}").as_bytes(), false, false));
        match tokens.strip_prefix(marker.as_slice()) {
            Some(tokens) => tokens.to_vec(),
            // The marker melted into the text: spell it by the longest tokens, as the trie sees them.
            None => self.trie.greedy_tokenize(text.as_bytes()),
        }
    }
}

impl TokenizerEnv for Vocabulary {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }

    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<TokenId> {
        // llama.cpp would replace bytes that are not UTF-8; half a character is spelled by the trie.
        self.trie.tokenize_with_greedy_fallback(bytes, |text| self.tokenize_text(text))
    }

    fn tokenize_is_canonical(&self) -> bool {
        self.told.canonical
    }
}

fn ids(tokens: &[LlamaToken]) -> Vec<TokenId> {
    tokens.iter().map(|token| token.0.cast_unsigned()).collect()
}

/// The vocabulary as a model that was just loaded tells it, before its tokenizer was probed.
fn words_of(model: &LlamaModel) -> Words {
    let vocab = model.vocab();
    let end = if vocab.eot().0 < 0 { vocab.eos() } else { vocab.eot() };
    // A model may end an answer with any of several tokens, and the first one is what the trie calls
    // its end.
    let mut ends = vec![end.0.cast_unsigned()];
    let mut words = Vec::new();
    for token in vocab.tokens() {
        if vocab.is_eog(token) && token != end {
            ends.push(token.0.cast_unsigned());
        }
        let mut bytes = vocab.token_to_piece(token, false, None);
        if bytes.is_empty() {
            // Control tokens have no text of their own. Behind the marker that no UTF-8 text holds,
            // the trie keeps them apart from the text that spells their name.
            bytes = vocab.token_to_piece(token, true, None);
            if !bytes.is_empty() {
                bytes.insert(0, TokTrie::SPECIAL_TOKEN_MARKER);
            }
        }
        words.push(bytes);
    }
    Words { words, told: Told { ends, marker: None, canonical: true } }
}
