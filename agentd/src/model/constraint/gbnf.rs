//! llama.cpp's grammar notation, translated to Lark.
//!
//! ```text
//!  root ::= greeting (", " name){0,3} "!"     # a comment
//!  name ::= [A-Z] [a-z]*
//! ```
//!
//! llguidance cuts a text into the longest terminals before it parses, which GBNF does not. So that exactly
//! the same texts are taken, a grammar without recursion becomes one terminal, and one with recursion has
//! only terminals of one character. Bounds: [`MAX_REPEAT`](super::gbnf_parser::MAX_REPEAT) in
//! braces; [`MAX_GROUPS`](super::gbnf_parser::MAX_GROUPS) within one another.

use std::fmt::Write as _;

use super::Refusal;
use super::gbnf_parser::Parser;

/// A grammar in Lark that takes what the GBNF grammar takes, or the place of what is wrong.
pub fn to_lark(gbnf: &str) -> Result<String, Refusal> {
    let mut parser = Parser::of(gbnf);
    parser.grammar()?;
    let root =
        *parser.numbers.get("root").ok_or_else(|| parser.wrong(0, "no rule is named root"))?;
    let missing = parser.numbers.iter().filter(|(_, number)| parser.rules[**number].is_none());
    if let Some((at, name)) = missing.map(|(name, number)| (parser.uses[number], name)).min() {
        return Err(parser.wrong(at, &format!("no rule is named {name}")));
    }
    let rules: Vec<Vec<Node>> = parser.rules.into_iter().flatten().collect();
    let flat = !is_recursive(&rules, root);
    let name = |rule: usize| if flat { format!("R{rule}") } else { format!("r{rule}") };
    let mut lark = format!("start: {}\n", name(root));
    for (number, rule) in rules.iter().enumerate() {
        let _ = write!(lark, "{}: ", name(number));
        for node in rule {
            write_node(&mut lark, node, flat, &name);
        }
        lark.push('\n');
    }
    Ok(lark)
}

/// What a rule consists of, in the order in which Lark writes it too.
pub(super) enum Node {
    Rule(usize),
    Literal(String),
    /// A class, as a regular expression writes it.
    Class(String),
    /// Groups, bars, operators and spaces, which are the same in Lark.
    Plain(String),
}

fn write_node(lark: &mut String, node: &Node, flat: bool, name: &impl Fn(usize) -> String) {
    let quoted =
        |text: &str| serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f");
    // Writing to a String does not fail.
    let _ = match node {
        Node::Rule(rule) => write!(lark, "{} ", name(*rule)),
        Node::Literal(text) if flat || text.chars().nth(1).is_none() => {
            write!(lark, "{} ", quoted(text))
        }
        Node::Literal(text) => {
            let each: Vec<String> =
                text.chars().map(|c| quoted(c.encode_utf8(&mut [0; 4]))).collect();
            write!(lark, "({}) ", each.join(" "))
        }
        Node::Class(class) => write!(lark, "/{class}/ "),
        Node::Plain(text) => write!(lark, "{text} "),
    };
}

/// Whether a rule that `root` leads to leads to itself. It goes down with a stack of its own, since a chain of
/// rules may be long.
fn is_recursive(rules: &[Vec<Node>], root: usize) -> bool {
    let next = |rule: usize| {
        rules[rule].iter().filter_map(|node| match node {
            Node::Rule(rule) => Some(*rule),
            _ => None,
        })
    };
    let (mut open, mut done) = (vec![false; rules.len()], vec![false; rules.len()]);
    let mut path = vec![(root, next(root))];
    open[root] = true;
    while let Some((rule, rest)) = path.last_mut() {
        match rest.next() {
            Some(inner) if open[inner] => return true,
            Some(inner) if done[inner] => {}
            Some(inner) => {
                open[inner] = true;
                path.push((inner, next(inner)));
            }
            None => {
                (open[*rule], done[*rule]) = (false, true);
                path.pop();
            }
        }
    }
    false
}

#[cfg(test)]
#[path = "gbnf_tests.rs"]
mod tests;
