//! Bytes of tokens to whole characters.
//!
//! A token may end within a character; what is shown or stored never does. Bound: three bytes are held
//! back at most, the longest beginning of a character that is not whole.

/// Collects the text of an answer.
#[derive(Debug, Clone, Default)]
pub struct Pieces {
    text: String,
    /// The beginning of a character.
    begun: Vec<u8>,
}

impl Pieces {
    /// Takes a token's bytes and gives the characters that they complete, which may be none.
    pub fn push(&mut self, bytes: &[u8]) -> &str {
        let from = self.text.len();
        self.begun.extend_from_slice(bytes);
        let mut rest = self.begun.as_slice();
        loop {
            match std::str::from_utf8(rest) {
                Ok(whole) => {
                    self.text.push_str(whole);
                    rest = &[];
                }
                Err(e) => {
                    let (whole, after) = rest.split_at(e.valid_up_to());
                    self.text.push_str(&String::from_utf8_lossy(whole));
                    rest = after;
                    // No length: the character may still become whole. A length: it never will.
                    if let Some(bad) = e.error_len() {
                        self.text.push(char::REPLACEMENT_CHARACTER);
                        rest = &after[bad..];
                        continue;
                    }
                }
            }
            break;
        }
        self.begun = rest.to_vec();
        &self.text[from..]
    }

    /// The whole characters that there are by now.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The whole text; the beginning of a character that never became whole is dropped.
    pub fn into_text(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn text_comes_out_whole_however_its_bytes_are_cut(
            text in ".*", sizes in prop::collection::vec(1usize..5, 1..6)
        ) {
            let (mut pieces, mut shown, mut rest) = (Pieces::default(), String::new(), text.as_bytes());
            for size in sizes.into_iter().cycle() {
                let (head, tail) = rest.split_at(size.min(rest.len()));
                shown.push_str(pieces.push(head));
                prop_assert!(pieces.begun.len() <= 3);
                rest = tail;
                if rest.is_empty() { break; }
            }
            prop_assert_eq!(&shown, &text);
            prop_assert_eq!(pieces.into_text(), text);
        }
    }

    #[test]
    fn bytes_that_can_never_become_a_character_are_replaced_and_half_a_character_waits() {
        let mut pieces = Pieces::default();
        assert_eq!(pieces.push(b"a\xffb"), "a\u{fffd}b");
        assert_eq!(pieces.push(&"é".as_bytes()[..1]), "");
        assert_eq!(pieces.push(&"é".as_bytes()[1..]), "é");
        pieces.push(&"€".as_bytes()[..2]);
        assert_eq!(pieces.into_text(), "a\u{fffd}bé");
    }
}
