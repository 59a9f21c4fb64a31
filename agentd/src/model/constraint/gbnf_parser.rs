//! Reads llama.cpp's grammar notation, as `llama_grammar_parser` of llama.cpp does, and stricter: a rule is
//! defined once, a class is not empty, and tokens are not named.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::Refusal;
use super::gbnf::Node;

/// The largest number in braces, as in llama.cpp.
pub const MAX_REPEAT: u32 = 2000;
/// Groups within groups. llguidance takes 28 brackets within one another, and an item that two operators follow
/// gets one more.
pub const MAX_GROUPS: usize = 13;
/// How many operators may follow one item: `"a"?*` has two.
pub(super) const MAX_OPERATORS: usize = 2;

#[derive(Default)]
pub(super) struct Parser {
    chars: Vec<char>,
    at: usize,
    /// The rules by number; none where one was only used so far.
    pub(super) rules: Vec<Option<Vec<Node>>>,
    pub(super) numbers: HashMap<String, usize>,
    /// Where each rule was used first.
    pub(super) uses: HashMap<usize, usize>,
}

type Parsed<T> = Result<T, Refusal>;

impl Parser {
    /// A reader of this text.
    pub(super) fn of(gbnf: &str) -> Self {
        Self { chars: gbnf.chars().collect(), ..Self::default() }
    }

    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn looks_at(&self, text: &str) -> bool {
        text.chars().enumerate().all(|(i, c)| self.chars.get(self.at + i) == Some(&c))
    }

    pub(super) fn wrong(&self, at: usize, why: &str) -> Refusal {
        let before = &self.chars[..at.min(self.chars.len())];
        let line = before.iter().filter(|c| **c == '\n').count() + 1;
        let column = before.iter().rev().take_while(|c| **c != '\n').count() + 1;
        Refusal::Gbnf { line, column, why: why.to_owned() }
    }

    fn here<T>(&self, why: &str) -> Parsed<T> {
        Err(self.wrong(self.at, why))
    }

    /// Skips spaces and comments, and the ends of lines where a rule goes on after them.
    fn space(&mut self, over_lines: bool) {
        while let Some(c) = self.peek() {
            match c {
                ' ' | '\t' => self.at += 1,
                '\r' | '\n' if over_lines => self.at += 1,
                '#' => {
                    while self.peek().is_some_and(|c| c != '\n' && c != '\r') {
                        self.at += 1;
                    }
                }
                _ => return,
            }
        }
    }

    pub(super) fn grammar(&mut self) -> Parsed<()> {
        self.space(true);
        while self.peek().is_some() {
            let at = self.at;
            let rule = self.name()?;
            self.space(false);
            if !self.looks_at("::=") {
                return self.here("::= is expected after the name of a rule");
            }
            self.at += 3;
            if self.rules[rule].is_some() {
                return Err(self.wrong(at, "this rule is there already"));
            }
            self.space(true);
            let mut body = Vec::new();
            self.alternatives(&mut body, 0)?;
            self.rules[rule] = Some(body);
            match self.peek() {
                Some('\r' | '\n') | None => self.space(true),
                Some(')') => return self.here("this bracket was not opened"),
                Some(_) => {
                    return self
                        .here("a literal, a class, a group or the name of a rule is expected");
                }
            }
        }
        Ok(())
    }

    fn name(&mut self) -> Parsed<usize> {
        let from = self.at;
        while self.peek().is_some_and(|c| c.is_ascii_alphanumeric() || c == '-') {
            self.at += 1;
        }
        if self.at == from {
            return self.here("the name of a rule is expected");
        }
        let name: String = self.chars[from..self.at].iter().collect();
        let number = *self.numbers.entry(name).or_insert(self.rules.len());
        if number == self.rules.len() {
            self.rules.push(None);
        }
        self.uses.entry(number).or_insert(from);
        Ok(number)
    }

    fn alternatives(&mut self, out: &mut Vec<Node>, depth: usize) -> Parsed<()> {
        self.sequence(out, depth)?;
        while self.peek() == Some('|') {
            self.at += 1;
            self.space(true);
            out.push(Node::Plain("|".to_owned()));
            self.sequence(out, depth)?;
        }
        Ok(())
    }

    fn sequence(&mut self, out: &mut Vec<Node>, depth: usize) -> Parsed<()> {
        let begun = out.len();
        while let Some(c) = self.peek() {
            let item = out.len();
            match c {
                '"' => out.push(self.literal()?),
                '[' => out.push(self.class()?),
                '.' => {
                    self.at += 1;
                    out.push(Node::Class("(?s:.)".to_owned()));
                }
                '(' if depth == MAX_GROUPS => {
                    return self.here(&format!("groups stand more than {MAX_GROUPS} deep"));
                }
                '(' => {
                    let from = self.at;
                    self.at += 1;
                    self.space(true);
                    out.push(Node::Plain("(".to_owned()));
                    self.alternatives(out, depth + 1)?;
                    if self.peek() != Some(')') {
                        return Err(self.wrong(from, "this bracket is not closed"));
                    }
                    self.at += 1;
                    out.push(Node::Plain(")".to_owned()));
                }
                '<' | '!' => return self.here("tokens of a vocabulary cannot be named"),
                c if c.is_ascii_alphanumeric() => out.push(Node::Rule(self.name()?)),
                '*' | '+' | '?' | '{' => return self.here("there is nothing to repeat"),
                _ => break,
            }
            self.space(depth > 0);
            let mut operators = 0;
            while let Some(operator) = self.operator()? {
                operators += 1;
                if operators > MAX_OPERATORS {
                    return self.here("too many operators stand in a row");
                }
                if operator == "{0,0}" {
                    // Lark has no way to say never.
                    out.truncate(item);
                    out.push(Node::Literal(String::new()));
                } else {
                    if operators > 1 {
                        // llama.cpp takes one operator after another, and Lark only one.
                        out.insert(item, Node::Plain("(".to_owned()));
                        out.push(Node::Plain(")".to_owned()));
                    }
                    out.push(Node::Plain(operator));
                }
                self.space(depth > 0);
            }
        }
        if out.len() == begun {
            out.push(Node::Literal(String::new()));
        }
        Ok(())
    }

    fn operator(&mut self) -> Parsed<Option<String>> {
        match self.peek() {
            Some(c @ ('*' | '+' | '?')) => {
                self.at += 1;
                Ok(Some(c.to_string()))
            }
            Some('{') => {
                self.at += 1;
                self.space(false);
                let least = self.number()?;
                self.space(false);
                let most = match self.peek() {
                    Some(',') => {
                        self.at += 1;
                        self.space(false);
                        let is_open = self.peek() == Some('}');
                        if is_open { None } else { Some(self.number()?) }
                    }
                    _ => Some(least),
                };
                self.space(false);
                if self.peek() != Some('}') {
                    return self.here("} is expected");
                }
                if most.is_some_and(|most| most < least) {
                    return self.here("at most this often is less than at least this often");
                }
                self.at += 1;
                let most = most.map_or(String::new(), |most| most.to_string());
                Ok(Some(format!("{{{least},{most}}}")))
            }
            _ => Ok(None),
        }
    }

    fn number(&mut self) -> Parsed<u32> {
        let from = self.at;
        while self.peek().is_some_and(|c| c.is_ascii_digit()) {
            self.at += 1;
        }
        let text: String = self.chars[from..self.at].iter().collect();
        let number = text.parse().ok().filter(|number| *number <= MAX_REPEAT);
        number.ok_or_else(|| self.wrong(from, &format!("a number up to {MAX_REPEAT} is expected")))
    }

    fn literal(&mut self) -> Parsed<Node> {
        let from = self.at;
        self.at += 1;
        let mut text = String::new();
        loop {
            match self.peek() {
                Some('"') => {
                    self.at += 1;
                    return Ok(Node::Literal(text));
                }
                Some(_) => text.push(self.char()?),
                None => return Err(self.wrong(from, "this literal is not closed")),
            }
        }
    }

    fn class(&mut self) -> Parsed<Node> {
        let from = self.at;
        self.at += 1;
        let mut class = String::from("[");
        if self.peek() == Some('^') {
            self.at += 1;
            class.push('^');
        }
        let empty = class.len();
        // Written as numbers, no character means anything to the regular expression.
        let coded = |c: char| format!("\\x{{{:x}}}", u32::from(c));
        loop {
            match self.peek() {
                Some(']') if class.len() == empty => {
                    return Err(self.wrong(from, "this class is empty"));
                }
                Some(']') => {
                    self.at += 1;
                    class.push(']');
                    return Ok(Node::Class(class));
                }
                Some(_) => {
                    let at = self.at;
                    let first = self.char()?;
                    class.push_str(&coded(first));
                    if self.peek() == Some('-') && self.chars.get(self.at + 1) != Some(&']') {
                        self.at += 1;
                        if self.peek().is_none() {
                            return Err(self.wrong(from, "this class is not closed"));
                        }
                        let last = self.char()?;
                        if last < first {
                            return Err(self.wrong(at, "this range is empty"));
                        }
                        let _ = write!(class, "-{}", coded(last));
                    }
                }
                None => return Err(self.wrong(from, "this class is not closed")),
            }
        }
    }

    /// One character of a literal or a class.
    fn char(&mut self) -> Parsed<char> {
        let from = self.at;
        let c = self.peek();
        self.at += 1;
        match c {
            Some('\\') => {}
            Some(c) => return Ok(c),
            None => return Err(self.wrong(from, "a character is expected")),
        }
        let escaped = self.peek();
        self.at += 1;
        let digits = match escaped {
            Some('x') => 2,
            Some('u') => 4,
            Some('U') => 8,
            Some('t') => return Ok('\t'),
            Some('r') => return Ok('\r'),
            Some('n') => return Ok('\n'),
            Some(c @ ('\\' | '"' | '[' | ']' | '-')) => return Ok(c),
            _ => return Err(self.wrong(from, "an escape that is not known")),
        };
        let end = (self.at + digits).min(self.chars.len());
        let code: String = self.chars[self.at..end].iter().collect();
        let hex = code.len() == digits && code.chars().all(|c| c.is_ascii_hexdigit());
        let code = u32::from_str_radix(&code, 16).ok().filter(|_| hex);
        self.at = end;
        code.and_then(char::from_u32)
            .ok_or_else(|| self.wrong(from, "this is the code of no character"))
    }
}
