//! Patterns of JSON Schema, which are ECMAScript's, in the syntax of the crate `regex`.
//!
//! The two mean different things by the same text (`.`, `\s`, `\d`, `[`); what is translated here means
//! the same to both, and what has no counterpart is an error. A group only groups: nothing refers back.
//! Bounds: [`MAX_PATTERN_BYTES`]; [`MAX_ITEMS`] when its counted repetitions are written out.

use std::fmt::Write as _;
use std::iter::Peekable;
use std::str::Chars;

/// The longest pattern.
pub const MAX_PATTERN_BYTES: usize = 1024;
/// Items of a pattern, each as often as braces say. A text that is forced is written in one go, so that
/// `(a{1000}){1000}` would hold the worker for hours.
pub const MAX_ITEMS: u64 = 2000;

/// ECMAScript's white space and ends of lines, within a class.
const SPACES: &str = r"\x{9}-\x{d}\x{20}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}\x{feff}";
/// What `.` does not match.
const LINE_ENDS: &str = r"\x{a}\x{d}\x{2028}\x{2029}";

/// Translates a pattern, or says what of it has no counterpart.
pub fn to_rust(pattern: &str) -> Result<String, String> {
    if pattern.len() > MAX_PATTERN_BYTES {
        return Err(format!("a pattern has at most {MAX_PATTERN_BYTES} bytes"));
    }
    let mut out = String::with_capacity(pattern.len());
    // The items of each open group, and those of the last item.
    let (mut items, mut last) = (vec![0_u64], 1);
    let mut chars = pattern.chars().peekable();
    // Whether an operator may follow.
    let mut repeatable = false;
    while let Some(c) = chars.next() {
        let mut is_item = true;
        match c {
            '\\' => escape(&mut chars, &mut out, false)?,
            '[' => class(&mut chars, &mut out)?,
            '.' => out.push_str(&format!("[^{LINE_ENDS}]")),
            '(' => {
                open(&mut chars, &mut out)?;
                items.push(0);
                is_item = false;
            }
            '^' | '$' | '|' => {
                out.push(c);
                is_item = false;
            }
            ')' if items.len() == 1 => return Err(") was not opened".to_owned()),
            ')' => out.push(c),
            '*' | '+' | '?' | '{' => {
                if !repeatable {
                    return Err(format!("there is nothing that {c} repeats"));
                }
                out.push(c);
                if c == '{' {
                    let more = counts(&mut chars, &mut out)?.saturating_sub(1).saturating_mul(last);
                    *items.last_mut().ok_or("no group is open")? += more;
                }
                // Taking as little as possible is the same as taking as much as possible: the whole counts.
                chars.next_if_eq(&'?');
                is_item = false;
            }
            ']' | '}' => return Err(format!("{c} stands alone")),
            c => push(c, &mut out),
        }
        repeatable = is_item;
        if is_item {
            last = if c == ')' { items.pop().unwrap_or_default() } else { 1 };
            *items.last_mut().ok_or("no group is open")? += last;
        }
        if items.iter().any(|items| *items > MAX_ITEMS) {
            return Err(format!("it repeats more than {MAX_ITEMS} items"));
        }
    }
    match items.len() {
        1 => Ok(out),
        _ => Err("( is not closed".to_owned()),
    }
}

/// What follows an opening bracket.
fn open(chars: &mut Peekable<Chars<'_>>, out: &mut String) -> Result<(), String> {
    out.push_str("(?:");
    if chars.next_if_eq(&'?').is_none() {
        return Ok(());
    }
    match (chars.next(), chars.peek()) {
        (Some(':'), _) => Ok(()),
        (Some('='), _) | (Some('!'), _) | (Some('<'), Some('=' | '!')) => {
            Err("looking ahead or back is not supported".to_owned())
        }
        (Some('<'), _) => {
            for c in chars.by_ref() {
                match c {
                    '>' => return Ok(()),
                    c if c.is_alphanumeric() || c == '_' => {}
                    _ => break,
                }
            }
            Err("a group's name is wrong".to_owned())
        }
        _ => Err("(? is followed by what is not known".to_owned()),
    }
}

/// The numbers of a repetition and its end. Returns the larger one.
fn counts(chars: &mut Peekable<Chars<'_>>, out: &mut String) -> Result<u64, String> {
    let from = out.len();
    for c in chars.by_ref() {
        out.push(c);
        match c {
            '0'..='9' | ',' => {}
            '}' => break,
            _ => return Err("{ begins no repetition".to_owned()),
        }
    }
    let numbers = out[from..].strip_suffix('}').unwrap_or_default();
    let (least, most) = numbers.split_once(',').unwrap_or((numbers, ""));
    match (least.parse::<u32>(), most) {
        (Ok(least), "") => Ok(least.into()),
        (Ok(least), most) => match most.parse::<u32>() {
            Ok(most) if least <= most => Ok(most.into()),
            _ => Err("{ begins no repetition".to_owned()),
        },
        _ => Err("{ begins no repetition".to_owned()),
    }
}

fn class(chars: &mut Peekable<Chars<'_>>, out: &mut String) -> Result<(), String> {
    out.push('[');
    if chars.next_if_eq(&'^').is_some() {
        out.push('^');
    }
    if chars.peek() == Some(&']') {
        return Err("a class is empty".to_owned());
    }
    let mut before = None;
    while let Some(c) = chars.next() {
        match c {
            ']' => {
                out.push(']');
                return Ok(());
            }
            '\\' => escape(chars, out, true)?,
            // A range, or itself at an end of the class.
            '-' if before.is_some() && before != Some('-') && chars.peek() != Some(&']') => {
                if chars.peek() == Some(&'-') {
                    return Err("write - as \\- within a class".to_owned());
                }
                out.push('-');
            }
            c => push(c, out),
        }
        before = Some(c);
    }
    Err("a class is not closed".to_owned())
}

/// What follows a backslash.
fn escape(chars: &mut Peekable<Chars<'_>>, out: &mut String, in_class: bool) -> Result<(), String> {
    let c = chars.next().ok_or("\\ stands at the end")?;
    let mut set = |name: char, inner: &str| {
        let not = if name.is_uppercase() { "^" } else { "" };
        // A class within a class adds to it.
        let _ = write!(out, "[{not}{inner}]");
    };
    match c {
        'd' | 'D' => set(c, "0-9"),
        'w' | 'W' => set(c, "0-9A-Za-z_"),
        's' | 'S' => set(c, SPACES),
        'n' => push('\n', out),
        'r' => push('\r', out),
        't' => push('\t', out),
        'f' => push('\u{c}', out),
        'v' => push('\u{b}', out),
        'b' if in_class => push('\u{8}', out),
        'b' | 'B' => return Err(format!("\\{c} is not supported")),
        '0' if !chars.peek().is_some_and(char::is_ascii_digit) => push('\0', out),
        'x' => push(code(chars, 2)?, out),
        'u' => push(code(chars, 4)?, out),
        c if c.is_ascii() && !c.is_ascii_alphanumeric() => push(c, out),
        c => return Err(format!("\\{c} is not supported")),
    }
    Ok(())
}

fn code(chars: &mut Peekable<Chars<'_>>, digits: usize) -> Result<char, String> {
    let hex: String =
        std::iter::from_fn(|| chars.next_if(char::is_ascii_hexdigit)).take(digits).collect();
    let code = u32::from_str_radix(&hex, 16).ok().filter(|_| hex.len() == digits);
    code.and_then(char::from_u32)
        .ok_or_else(|| format!("\\ with {hex:?} is the code of no character"))
}

/// A character that means itself, whatever it is.
fn push(c: char, out: &mut String) {
    if c.is_ascii_alphanumeric() || !c.is_ascii() && !c.is_whitespace() {
        out.push(c);
    } else {
        let _ = write!(out, "\\x{{{:x}}}", u32::from(c));
    }
}

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::*;

    #[track_caller]
    fn matches(pattern: &str, yes: &[&str], no: &[&str]) {
        let translated = to_rust(pattern).unwrap_or_else(|why| panic!("{pattern}: {why}"));
        let regex = Regex::new(&translated).unwrap_or_else(|why| panic!("{pattern}: {why}"));
        for text in yes {
            assert!(regex.is_match(text), "{pattern} as {translated} on {text:?}");
        }
        for text in no {
            assert!(!regex.is_match(text), "{pattern} as {translated} on {text:?}");
        }
    }

    #[test]
    fn a_pattern_means_what_it_means_in_ecmascript() {
        matches(r"^\d+$", &["07"], &["", "٣", "7a"]);
        matches(r"^\w\W$", &["a-", "_é"], &["ab", "é-"]);
        matches(r"^\s$", &["\u{feff}", "\u{a0}", "\n"], &["\u{85}", "a"]);
        matches("^.$", &["é", "\u{85}"], &["\n", "\r", "\u{2028}", "ab"]);
        matches("^[[a]$", &["[", "a"], &["b"]);
        matches("^[a&&b~~]$", &["&", "~", "a", "b"], &["c"]);
        matches(r"^[^\s\d-]$", &["a"], &["1", " ", "-"]);
        matches(r"^[\w.-]+$", &["a.b-c"], &["a b"]);
        matches(r"^(?<year>\d{2,4}?)/\u0041\x42\/$", &["12/AB/"], &["1/AB/"]);
        matches("^a-b c#d$", &["a-b c#d"], &["a-bc"]);
        matches("^(a|bc)?$", &["", "a", "bc"], &["b"]);
    }

    #[test]
    fn what_has_no_counterpart_is_an_error() {
        for pattern in [
            "(?=a)", "(?!a)", "(?<=a)", "(?i)a", r"(a)\1", r"\bword", r"\cA", r"\p{L}", r"\ud800",
            "[]", "[^]", "[a", "a{", "a{2,1}", "a{x}", "*", "a**", "}", "]", "\\", r"\k<a>",
            "[+--]", "(*a)",
        ] {
            assert!(to_rust(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn the_bounds_hold_at_and_one_over() {
        assert!(to_rust(&"a".repeat(MAX_PATTERN_BYTES)).is_ok());
        assert!(to_rust(&"a".repeat(MAX_PATTERN_BYTES + 1)).is_err());
        assert!(to_rust(&format!("a{{{MAX_ITEMS}}}")).is_ok());
        assert!(to_rust(&format!("a{{{}}}", MAX_ITEMS + 1)).is_err());
        assert!(to_rust(&format!("(bc|[d]){{2,{}}}", MAX_ITEMS / 3)).is_ok());
        assert!(to_rust(&format!("(bc|[d]){{{},}}", MAX_ITEMS / 3 + 1)).is_err());
        assert!(to_rust("((a{40}){40})").is_ok());
        assert!(to_rust("((a{50}){50})").is_err());
    }
}
