//! Line framing: bytes in, whole lines out. Pure: it reads nothing itself.
//!
//! A line ends at the port's ending; a carriage return before it is dropped. Bytes that are not UTF-8
//! become U+FFFD in the text, and `\xNN` in the record of the wire.
//!
//! Bound: [`MAX_LINE_BYTES`] before the ending. A longer line is dropped whole and reported once, at
//! its end, and the next line is good again: the start of a line says nothing about its rest.

/// The longest line, in bytes, without its ending. It is far above what a board says in one line,
/// and small enough to hold for each port.
pub const MAX_LINE_BYTES: usize = 4096;

/// The bytes of a line that is not whole yet.
#[derive(Debug)]
pub struct LineBuffer {
    ending: Vec<u8>,
    bytes: Vec<u8>,
    /// Set while the rest of a line that was too long goes by.
    skipping: bool,
}

/// What a [`LineBuffer`] gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A whole line.
    Line {
        /// Its text, without the ending.
        text: String,
        /// The line with its ending, escaped by [`escape`].
        wire: String,
    },
    /// A line of more than [`MAX_LINE_BYTES`] ended here, and was dropped.
    TooLong,
}

impl LineBuffer {
    /// An empty buffer for lines that end in `ending`, which must not be empty.
    pub fn new(ending: &str) -> Self {
        // A device that is told to write `\r\n` and writes `\n` is understood all the same.
        let ending = if ending == "\r\n" { "\n" } else { ending };
        Self { ending: ending.as_bytes().to_vec(), bytes: Vec::new(), skipping: false }
    }

    /// Takes bytes as they came, and gives the lines that they complete.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Frame> {
        let mut frames = Vec::new();
        for byte in bytes {
            self.bytes.push(*byte);
            if self.bytes.ends_with(&self.ending) {
                frames.push(if self.skipping { Frame::TooLong } else { self.line() });
                self.clear();
            } else if self.skipping || self.bytes.len() >= MAX_LINE_BYTES + self.ending.len() {
                self.skipping = true;
                // The ending may be cut in two by this very place, so its length less one is kept.
                let excess = self.bytes.len().saturating_sub(self.ending.len() - 1);
                self.bytes.drain(..excess);
            }
        }
        frames
    }

    /// Forgets a line that is not whole.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.skipping = false;
    }

    fn line(&self) -> Frame {
        let text = self.bytes.strip_suffix(self.ending.as_slice()).unwrap_or(&self.bytes);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let text = String::from_utf8_lossy(text).into_owned();
        Frame::Line { text, wire: escape(&self.bytes) }
    }
}

/// Bytes as text, escaped as in a Rust string literal: `"`, `\`, control characters, and as `\xNN`
/// what is not UTF-8.
pub fn escape(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 2);
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() || matches!(c, '"' | '\\') {
                out.extend(c.escape_default());
            } else {
                out.push(c);
            }
        }
        out.push_str(&chunk.invalid().escape_ascii().to_string());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts(frames: &[Frame]) -> Vec<Option<&str>> {
        let mut texts = Vec::new();
        for frame in frames {
            texts.push(match frame {
                Frame::Line { text, .. } => Some(text.as_str()),
                Frame::TooLong => None,
            });
        }
        texts
    }

    #[test]
    fn a_carriage_return_before_the_ending_is_dropped_and_stands_on_the_wire() {
        let mut buffer = LineBuffer::new("\n");
        let frames = buffer.push(b"OK\r\nT 21\n");
        assert_eq!(texts(&frames), [Some("OK"), Some("T 21")]);
        assert_eq!(frames[0], Frame::Line { text: "OK".into(), wire: "OK\\r\\n".into() });
    }

    #[test]
    fn a_device_that_leaves_out_the_carriage_return_is_understood() {
        let mut buffer = LineBuffer::new("\r\n");
        assert_eq!(texts(&buffer.push(b"OK\nOK\r\n")), [Some("OK"), Some("OK")]);
    }

    #[test]
    fn what_is_not_utf8_is_replaced_in_the_text_and_exact_on_the_wire() {
        let frames = LineBuffer::new("\n").push(b"21 \xb0C \"a\\\n");
        let text = "21 \u{fffd}C \"a\\".to_owned();
        let wire = r#"21 \xb0C \"a\\\n"#.to_owned();
        assert_eq!(frames, [Frame::Line { text, wire }]);
    }

    #[test]
    fn a_line_at_the_bound_is_whole_and_one_over_is_dropped_once() {
        for ending in ["\n", "\r\n", ";\r", "aab"] {
            let mut buffer = LineBuffer::new(ending);
            let line = "x".repeat(MAX_LINE_BYTES - 1);
            let at_bound = format!("{line}y{ending}");
            let kept = format!("{line}y");
            // For `\r\n` the carriage return is counted too, because it may be the line's own.
            let fits = ending != "\r\n";
            let expected = if fits { Some(kept.as_str()) } else { None };
            assert_eq!(texts(&buffer.push(at_bound.as_bytes())), [expected], "{ending:?}");
            let over = format!("{line}yz{ending}OK{ending}");
            assert_eq!(texts(&buffer.push(over.as_bytes())), [None, Some("OK")], "{ending:?}");
        }
    }

    #[test]
    fn an_endless_line_is_held_in_bounded_memory() {
        let mut buffer = LineBuffer::new("\n");
        for _ in 0..100 {
            assert_eq!(buffer.push(&[b'x'; MAX_LINE_BYTES]), []);
            assert!(buffer.bytes.len() <= MAX_LINE_BYTES + 1);
        }
        assert_eq!(texts(&buffer.push(b"\nOK\n")), [None, Some("OK")]);
    }

    /// The plain model: split everything at once.
    fn model(bytes: &[u8], ending: &[u8]) -> Vec<Option<String>> {
        let mut lines = Vec::new();
        let mut rest = bytes;
        while let Some(at) = rest.windows(ending.len()).position(|w| w == ending) {
            let line = &rest[..at];
            let text = line.strip_suffix(b"\r").unwrap_or(line);
            let text = String::from_utf8_lossy(text).into_owned();
            lines.push((line.len() <= MAX_LINE_BYTES).then_some(text));
            rest = &rest[at + ending.len()..];
        }
        lines
    }

    fn piece() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            4 => prop::collection::vec(prop::sample::select(b"ab\r\n;\xb0".to_vec()), 0..20),
            1 => (MAX_LINE_BYTES - 3..MAX_LINE_BYTES + 4).prop_map(|n| vec![b'x'; n]),
        ]
    }

    proptest! {
        #[test]
        fn however_the_bytes_are_cut_the_lines_are_those_of_the_whole(
            pieces in prop::collection::vec(piece(), 0..12),
            cuts in prop::collection::vec(1usize..3000, 1..8),
            ending in prop::sample::select(vec!["\n", ";", "ab", "aab", ";\r"]),
        ) {
            let bytes = pieces.concat();
            let mut buffer = LineBuffer::new(ending);
            let mut frames = Vec::new();
            let mut rest = bytes.as_slice();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (head, tail) = rest.split_at(rest.len().min(*cut));
                frames.extend(buffer.push(head));
                rest = tail;
            }
            let lines: Vec<Option<String>> =
                texts(&frames).into_iter().map(|text| text.map(str::to_owned)).collect();
            prop_assert_eq!(lines, model(&bytes, ending.as_bytes()));
        }
    }
}
