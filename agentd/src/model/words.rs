//! A model's vocabulary on the disk, so that a worker makes it ready while it loads the model, and not behind that.
//!
//! ```text
//!  <folder>/<model>.words    a checksum, a line of JSON, and the bytes of all tokens
//! ```
//!
//! Bound: those of as many models as [`prefix`](super::prefix) says, of [`MAX_BYTES`] each. What is damaged, or of another
//! model, is not used: without it a start only takes longer.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use llama_cpp_2::model::LlamaModel;
use serde::{Deserialize, Serialize};
use toktrie::{TokEnv, TokenId};

use super::constrain::Constrainer;
use super::digest;
use super::prefix::Prefixes;
use super::vocabulary::Vocabulary;

/// Longer files are neither written nor read: the largest vocabularies, of 260 000 tokens, have a tenth of it.
const MAX_BYTES: u64 = 32 << 20;
const EXTENSION: &str = "words";

/// What there is to know of a vocabulary without its model.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Words {
    /// The bytes of each token, as [`TokTrie`](toktrie::TokTrie) wants them.
    pub(super) words: Vec<Vec<u8>>,
    pub(super) told: Told,
}

/// What is known beside the tokens' bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Told {
    /// The tokens that may end an answer; one at least, of which the first one is what a trie calls its end.
    pub(super) ends: Vec<TokenId>,
    /// The marker's tokens, where texts must be tokenized behind it.
    pub(super) marker: Option<Vec<TokenId>>,
    /// Whether the model's own tokenizer may force tokens.
    pub(super) canonical: bool,
}

/// The line of JSON.
#[derive(Serialize, Deserialize)]
struct Head {
    told: Told,
    lengths: Vec<usize>,
}

impl Words {
    fn to_bytes(&self) -> io::Result<Vec<u8>> {
        let lengths = self.words.iter().map(Vec::len).collect();
        let mut content = serde_json::to_vec(&Head { told: self.told.clone(), lengths })?;
        content.push(b'\n');
        content.extend(self.words.iter().flatten());
        Ok([digest::checksum_of(&content).as_bytes(), &content].concat())
    }

    /// Nothing where they are not whole.
    fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let (checksum, content) = bytes.split_at_checked(digest::CHECKSUM_CHARS)?;
        if digest::checksum_of(content).as_bytes() != checksum {
            return None;
        }
        let end = content.iter().position(|byte| *byte == b'\n')?;
        let head: Head = serde_json::from_slice(&content[..end]).ok()?;
        let mut rest = &content[end + 1..];
        let mut words = Vec::with_capacity(head.lengths.len());
        for length in head.lengths {
            let (word, others) = rest.split_at_checked(length)?;
            words.push(word.to_vec());
            rest = others;
        }
        let is_whole = rest.is_empty() && !head.told.ends.is_empty();
        is_whole.then_some(Self { words, told: head.told })
    }
}

impl Prefixes {
    /// The model's vocabulary, if it is known and whole.
    pub(super) fn words(&self) -> Option<Words> {
        Words::of_bytes(&self.of_model(EXTENSION, MAX_BYTES)?)
    }

    /// Keeps the model's vocabulary.
    pub(super) fn keep_words(&self, words: &Words) -> io::Result<()> {
        let bytes = words.to_bytes()?;
        if bytes.len() as u64 > MAX_BYTES {
            return Ok(());
        }
        self.keep_of_model(EXTENSION, &bytes)
    }
}

/// A vocabulary and its grammars, which a thread makes ready while the model is loaded.
pub struct Ahead {
    kept: Prefixes,
    thread: JoinHandle<Option<(Arc<Vocabulary>, Constrainer)>>,
}

impl Ahead {
    /// Begins with those of a model whose hash is recorded beside it: to compute it takes longer than all this saves.
    pub fn begin(folder: &Path, model: &Path) -> Option<Self> {
        let sha256 = digest::recorded(model)?;
        let of = || Prefixes::new(folder.to_owned(), &sha256);
        let prefixes = of();
        let make = move || {
            let vocabulary = Arc::new(Vocabulary::without_model(&prefixes.words()?));
            let constrainer = Constrainer::new(&(Arc::clone(&vocabulary) as TokEnv));
            Some((vocabulary, constrainer))
        };
        let thread = std::thread::Builder::new().name("words".into()).spawn(make).ok()?;
        Some(Self { kept: of(), thread })
    }

    /// Waits for them. Where there were none, or those of another model, they are read from the model and kept.
    pub(super) fn of(self, model: &Arc<LlamaModel>) -> (TokEnv, Constrainer) {
        // Of a panic it has said itself what it was.
        match self.thread.join().ok().flatten() {
            Some((vocabulary, constrainer)) if vocabulary.belongs_to(model) => {
                (vocabulary, constrainer)
            }
            _ => {
                let vocabulary = Vocabulary::of(Arc::clone(model));
                if let Err(why) = self.kept.keep_words(&vocabulary.words()) {
                    eprintln!("the vocabulary cannot be kept: {why}");
                }
                let constrainer = Constrainer::new(&(Arc::clone(&vocabulary) as TokEnv));
                (vocabulary, constrainer)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(of: &[&[u8]]) -> Words {
        let told = Told { ends: vec![1, 0], marker: Some(vec![7]), canonical: true };
        Words { words: of.iter().map(|word| word.to_vec()).collect(), told }
    }

    fn prefixes(folder: &tempfile::TempDir) -> Prefixes {
        Prefixes::new(folder.path().join("prefixes"), "abc")
    }

    #[test]
    fn a_vocabulary_is_read_as_it_was_kept_and_none_of_another_model() {
        let folder = tempfile::tempdir().expect("a folder");
        let of = prefixes(&folder);
        assert_eq!(of.words(), None);
        let kept = words(&[b"a", b"\xff<end>", b"", b"\n\xc3", b"\""]);
        of.keep_words(&kept).expect("kept");
        assert_eq!(of.words(), Some(kept));
        assert_eq!(Prefixes::new(folder.path().join("prefixes"), "abd").words(), None);
    }

    #[test]
    fn the_bound_holds_at_and_one_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let of = prefixes(&folder);
        let word = |bytes: u64| words(&[&vec![b'a'; bytes as usize]]);
        // Its length has as many digits.
        let beside =
            word(MAX_BYTES - 1000).to_bytes().expect("bytes").len() as u64 - (MAX_BYTES - 1000);
        of.keep_words(&word(MAX_BYTES - beside + 1)).expect("left alone");
        assert_eq!(of.words(), None);
        of.keep_words(&word(MAX_BYTES - beside)).expect("kept");
        assert!(of.words().is_some());
    }

    #[test]
    fn what_is_damaged_cut_off_or_lengthened_is_not_used() {
        let whole = words(&[b"ab", b"c"]).to_bytes().expect("bytes");
        assert!(Words::of_bytes(&whole).is_some());
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            assert_eq!(Words::of_bytes(&damaged), None, "{at}");
            assert_eq!(Words::of_bytes(&whole[..at]), None, "{at}");
        }
        assert_eq!(Words::of_bytes(&[whole, b"d".to_vec()].concat()), None);
    }

    #[test]
    fn what_is_whole_but_does_not_add_up_is_not_used() {
        let of = |content: &str| {
            let checksum = digest::checksum_of(content.as_bytes());
            Words::of_bytes(format!("{checksum}{content}").as_bytes())
        };
        let head = |ends: &str, lengths: &str| {
            format!(
                r#"{{"told":{{"ends":{ends},"marker":null,"canonical":true}},"lengths":{lengths}}}"#
            )
        };
        assert!(of(&(head("[0]", "[1,2]") + "\nabc")).is_some());
        for content in [
            head("[0]", "[1,2]"),
            head("[0]", "[1,2]") + "\nab",
            head("[0]", "[1,2]") + "\nabcd",
            head("[0]", "[1,18446744073709551615]") + "\nabc",
            head("[]", "[1,2]") + "\nabc",
            head("[0]", "[-1,4]") + "\nabc",
            "{}\nabc".to_owned(),
            String::new(),
        ] {
            assert_eq!(of(&content), None, "{content}");
        }
    }
}
