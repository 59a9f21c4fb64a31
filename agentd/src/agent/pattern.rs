//! The pattern of a sentence as a tree, for whoever matches it (`reflex`) and whoever makes sentences of it (`tune`).
//!
//! ```text
//!  pattern = part*
//!  part    = letters | "(" way { "|" way } ")" | "[" way { "|" way } "]" | "{" name "}"
//! ```
//!
//! Every word carries the space before it, so that leaving one out leaves no second space behind. Bound: a
//! pattern has at most [`MAX_CHARS`], so that the tree is no deeper than that.

/// The longest pattern, in characters.
pub const MAX_CHARS: usize = 500;

/// One part of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Fixed letters, as they are written. A space among them is one before a word.
    Letters(String),
    /// `(a|b)`: one of several ways.
    Choice(Vec<Vec<Part>>),
    /// `[a|b]`: one of several ways, or nothing.
    Optional(Vec<Vec<Part>>),
    /// `{name}`: a parameter's value.
    Slot {
        /// The parameter.
        name: String,
        /// Whether a space stands before it.
        spaced: bool,
    },
}

/// Reads a pattern. The error says what is wrong with it, as the end of a sentence that begins with it.
pub fn parse(text: &str) -> Result<Vec<Part>, String> {
    if text.chars().count() > MAX_CHARS {
        return Err(format!("has more than {MAX_CHARS} characters"));
    }
    let mut parser =
        Parser { chars: without_end_marks(text).chars().collect(), at: 0, space: true };
    let mut ways = parser.ways(None)?;
    Ok(ways.pop().unwrap_or_default())
}

/// Without what ends a sentence in writing, which nobody says and a voice assistant may leave out.
pub fn without_end_marks(text: &str) -> &str {
    text.trim_end_matches(|c: char| c.is_whitespace() || matches!(c, '.' | '!' | '?' | ',' | ';'))
}

struct Parser {
    chars: Vec<char>,
    at: usize,
    /// Whether a space stands before the next word.
    space: bool,
}

impl Parser {
    /// The ways up to `end`, which is not consumed. Outside of brackets there is one way.
    fn ways(&mut self, end: Option<char>) -> Result<Vec<Vec<Part>>, String> {
        let (mut ways, mut way) = (Vec::new(), Vec::new());
        while let Some(&c) = self.chars.get(self.at) {
            match c {
                _ if Some(c) == end => {
                    ways.push(way);
                    return Ok(ways);
                }
                '|' if end.is_some() => {
                    ways.push(std::mem::take(&mut way));
                    self.at += 1;
                    self.space = true;
                }
                '(' => way.push(Part::Choice(self.group(')')?)),
                '[' => way.push(Part::Optional(self.group(']')?)),
                '{' => way.push(self.slot()?),
                ')' | ']' | '}' | '|' => return Err(format!("has a `{c}` without its partner")),
                c if c.is_whitespace() => {
                    self.at += 1;
                    self.space = true;
                }
                c => {
                    self.at += 1;
                    self.letter(&mut way, c);
                }
            }
        }
        match end {
            Some(end) => Err(format!("lacks a `{end}`")),
            None => Ok(vec![way]),
        }
    }

    fn letter(&mut self, way: &mut Vec<Part>, c: char) {
        let spaced = std::mem::take(&mut self.space).then_some(' ');
        if !matches!(way.last(), Some(Part::Letters(_))) {
            way.push(Part::Letters(String::new()));
        }
        if let Some(Part::Letters(letters)) = way.last_mut() {
            letters.extend(spaced.into_iter().chain([c]));
        }
    }

    fn group(&mut self, end: char) -> Result<Vec<Vec<Part>>, String> {
        self.at += 1;
        self.space = true;
        let ways = self.ways(Some(end))?;
        self.at += 1;
        self.space = false;
        Ok(ways)
    }

    fn slot(&mut self) -> Result<Part, String> {
        let rest = &self.chars[self.at + 1..];
        let length = rest.iter().position(|c| *c == '}').ok_or("lacks a `}`")?;
        let name = rest[..length].iter().collect();
        self.at += length + 2;
        Ok(Part::Slot { name, spaced: std::mem::take(&mut self.space) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letters(text: &str) -> Part {
        Part::Letters(text.to_owned())
    }

    #[test]
    fn a_pattern_is_read_as_a_tree_whose_words_carry_their_spaces() {
        let slot = |name: &str, spaced| Part::Slot { name: name.to_owned(), spaced };
        assert_eq!(
            parse("(Turn|switch on)  [the ] {device}-{n} now?").expect("a pattern"),
            [
                Part::Choice(vec![vec![letters(" Turn")], vec![letters(" switch on")]]),
                Part::Optional(vec![vec![letters(" the")]]),
                slot("device", true),
                letters("-"),
                slot("n", false),
                letters(" now"),
            ]
        );
        assert_eq!(parse("").expect("an empty one"), []);
        let empty_way = Part::Choice(vec![vec![letters(" a")], vec![]]);
        assert_eq!(parse("(a|)").expect("a pattern"), [empty_way]);
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_its_reason() {
        for (text, why) in [
            ("(a", "lacks a `)`"),
            ("[a", "lacks a `]`"),
            ("a]", "has a `]` without its partner"),
            ("a|b", "has a `|` without its partner"),
            ("{a", "lacks a `}`"),
        ] {
            assert_eq!(parse(text).expect_err(text), why);
        }
        assert!(parse(&"a".repeat(MAX_CHARS)).is_ok());
        assert!(parse(&"a".repeat(MAX_CHARS + 1)).is_err());
    }
}
