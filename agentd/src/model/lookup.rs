//! What an answer may go on with, guessed from what stands before it: an answer often copies words of its request.
//!
//! A guess costs no model. It is decoded in the same batch as what is decided already, and what of it the model would
//! not have chosen is taken back (`advance`): the answer is the same as without, in fewer runs of the model, but for a
//! tie of two tokens that the rounding of a batch decides. A second token in a batch costs as much as a run of its own
//! where the model is small, so that a guess must be right more often than not: where the grammar leaves little
//! but to copy, and in free text after three tokens that stood together before, the more the better it went; after twice
//! as many where it went on otherwise.
//!
//! Bounds: a guess has as many tokens as `model.guess_tokens`, and one batch; it is made for who is alone at work, since
//! others would have to wait for it. To look whether a grammar admits it costs a few states of its lexer.

use llama_cpp_2::token::LlamaToken;

/// No more tokens at the end of a text are looked for, unless more are asked for: of places where so many are the same the
/// last one will do.
const LONGEST: usize = 4;

/// What followed the last time that the end of `text` stood in it before: `most` tokens at most, none where fewer than
/// `shortest` tokens of the end did.
pub(super) fn guess(text: &[LlamaToken], shortest: usize, most: usize) -> Vec<LlamaToken> {
    for n in (shortest.max(1)..=LONGEST.max(shortest)).rev() {
        let Some(before) = text.len().checked_sub(n) else { continue };
        let end = &text[before..];
        // The last place: an answer comes back to its own request rather than to one long before it.
        if let Some(at) = text[..text.len() - 1].windows(n).rposition(|window| window == end) {
            // What comes round to the end of the text goes round again.
            return text[at + n..].iter().copied().cycle().take(most).collect();
        }
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(words: &str) -> Vec<LlamaToken> {
        words.bytes().map(|byte| LlamaToken::new(byte.into())).collect()
    }

    fn guessed(text: &str, shortest: usize, most: usize) -> String {
        let guess = guess(&tokens(text), shortest, most);
        guess.iter().map(|token| char::from(u8::try_from(token.0).unwrap())).collect()
    }

    #[test]
    fn what_followed_the_longest_and_the_last_of_equal_ends_is_guessed() {
        assert_eq!(guessed("check the pump. check the", 2, 5), " pump");
        assert_eq!(guessed("xab1 yab2 xab", 2, 1), "1", "three tokens before two");
        assert_eq!(guessed("ab1 ab2 ab", 2, 1), "2");
    }

    #[test]
    fn the_bounds_hold_at_and_one_off() {
        assert_eq!(guessed("ab1 zab", 2, 9), "1 zab1 za", "round and round");
        assert_eq!(guessed("ab1 zab", 2, 4), "1 za");
        assert_eq!(guessed("ab1 zab", 3, 9), "", "only two are the same");
        assert_eq!(guessed("ab1 zab", 2, 0), "");
        assert_eq!(guessed("abcdexabcde", 5, 1), "x", "longer ends, where they are asked for");
        assert_eq!(guessed("abcdexabcde", 6, 1), "");
        for text in ["", "a", "aa"] {
            assert_eq!(guessed(text, 2, 9), "", "{text}");
        }
        assert_eq!(guessed("aaa", 2, 3), "aaa", "it may overlap");
        assert_eq!(guessed("aa", 1, 1), "a");
        assert_eq!(guessed("aa", 0, 1), "a", "nothing follows from nothing");
    }
}
