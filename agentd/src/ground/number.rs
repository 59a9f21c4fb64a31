//! Numbers in digits and in words: `250`, `two hundred and fifty`, `two and a half thousand`, `a dozen`, `minus five`,
//! `three quarters`, `point five`, and what recognisers make of them (`20 five percent`).

use super::lexer::Word;
use super::quantity::unit;

/// Parts by what the whole is cut into, from three on.
const PARTS: &[&str] =
    &["third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"];
/// A number that begins at a word, in digits or in words, and where it ends.
pub(super) fn number(words: &[Word], at: usize) -> Option<(f64, usize)> {
    match words.get(at)? {
        Word::Text(word) if word == "minus" || word == "negative" => {
            number(words, at + 1).map(|(value, next)| (-value, next))
        }
        Word::Number(value) => {
            // "2 1/2", "2 and a half", "3 hundred", "2 million" is none here.
            let (value, next) = match words.get(at + 1) {
                Some(Word::Number(part)) if value.fract() == 0.0 && *part > 0.0 && *part < 1.0 => {
                    (value + part, at + 2)
                }
                Some(word) if word.is("hundred") => (value * 100.0, at + 2),
                Some(word) if word.is("thousand") => (value * 1000.0, at + 2),
                Some(word) if word.is("dozen") => (value * 12.0, at + 2),
                _ => (*value, at + 1),
            };
            let (value, next) = match small(words.get(next).map_or("", Word::text)) {
                // "20 five percent", as some recognisers write.
                Some(units)
                    if next == at + 1 && is_tens(value) && is_unit(words, at + 2, units) =>
                {
                    (value + units, at + 2)
                }
                _ => (value, next),
            };
            Some(thousands(words, and_a_half(words, next, value)))
        }
        Word::Text(_) => {
            let (value, next) = part(words, at).or_else(|| spelled(words, at))?;
            let (value, next) = match words.get(next) {
                Some(Word::Number(units)) if is_tens(value) && is_unit(words, next + 1, *units) => {
                    (value + units, next + 1)
                }
                _ => (value, next),
            };
            Some(thousands(words, and_a_half(words, next, value)))
        }
        Word::Clock(..) => None,
    }
}

fn is_tens(value: f64) -> bool {
    (20.0..100.0).contains(&value) && value % 10.0 == 0.0
}

/// Whether units from one to nine stand before the unit of what they count.
fn is_unit(words: &[Word], at: usize, units: f64) -> bool {
    units.fract() == 0.0 && (1.0..10.0).contains(&units) && unit(words, at).is_some()
}

/// "two and a half thousand".
fn thousands(words: &[Word], (value, next): (f64, usize)) -> (f64, usize) {
    match words.get(next).map_or("", Word::text) {
        "hundred" if value.fract() != 0.0 => (value * 100.0, next + 1),
        "thousand" if value.fract() != 0.0 => (value * 1000.0, next + 1),
        _ => (value, next),
    }
}

/// `half`, `halfway`, `a quarter`, `three quarters`, `a fifth`, `half a dozen`.
fn part(words: &[Word], at: usize) -> Option<(f64, usize)> {
    let word = words.get(at)?.text();
    let following = |ahead: usize| words.get(at + ahead).map_or("", Word::text);
    let parts = |word: &str| PARTS.iter().position(|known| word.trim_end_matches('s') == *known);
    match word {
        "half" if following(1) == "a" && following(2) == "dozen" => return Some((6.0, at + 3)),
        "half" | "halfway" => return Some((0.5, at + 1)),
        "quarter" => return Some((0.25, at + 1)),
        _ => {}
    }
    let count = if word == "a" { Some(1.0) } else { small(word) };
    let (count, kind) = (count.filter(|count| *count < 10.0)?, following(1));
    let under = match kind {
        "half" => 2.0,
        "quarter" | "quarters" => 4.0,
        kind => parts(kind)? as f64 + 3.0,
    };
    Some((count / under, at + 2))
}

/// A number in words: `two hundred and fifty`, `one point five`, `a dozen`, `a couple of`.
fn spelled(words: &[Word], at: usize) -> Option<(f64, usize)> {
    let word = |at: usize| words.get(at).map_or("", Word::text);
    if matches!(word(at), "a" | "one") {
        let of = |at: usize| at + usize::from(word(at) == "of");
        match word(at + 1) {
            "dozen" => return Some((12.0, of(at + 2))),
            "couple" | "pair" => return Some((2.0, of(at + 2))),
            "hundred" | "thousand" => {}
            _ if word(at) == "a" => return None,
            _ => {}
        }
    }
    if let Some(value) = match word(at) {
        "couple" => Some(2.0),
        "dozen" => Some(12.0),
        _ => None,
    } {
        return Some((value, at + 1 + usize::from(word(at + 1) == "of")));
    }
    let (mut total, mut group, mut next, mut any) = (0.0, 0.0, at, false);
    let is_digit = |at: usize| digit(words.get(at)).is_some();
    match word(at) {
        "a" => (group, next) = (1.0, at + 1),
        // "hundred percent", "point five", "oh point five".
        "hundred" => group = 1.0,
        "point" if is_digit(at + 1) => any = true,
        "oh" if word(at + 1) == "point" && is_digit(at + 2) => (any, next) = (true, at + 1),
        _ => {}
    }
    loop {
        let step = match word(next) {
            "and"
                // "two hundred and fifty", "one thousand and fifteen".
                if any
                    && group % 100.0 == 0.0
                    && group + total > 0.0
                    && small(word(next + 1)).is_some() =>
            {
                1
            }
            "hundred" if group > 0.0 && group < 100.0 => {
                group *= 100.0;
                1
            }
            "thousand" if group > 0.0 => {
                (total, group) = (total + group * 1000.0, 0.0);
                1
            }
            "dozen" if any && group > 0.0 => {
                group *= 12.0;
                1
            }
            text => match small(text) {
                // "one twenty" is 120, "two fifty" 250, "seven five" is two numbers.
                Some(value) if any && (1.0..10.0).contains(&group) && value >= 20.0 => {
                    group = group * 100.0 + value;
                    1
                }
                Some(value) if group == 0.0 || follows(group, value) => {
                    group += value;
                    1
                }
                _ => 0,
            },
        };
        if step == 0 {
            break;
        }
        (any, next) = (true, next + step);
    }
    if !any {
        return None;
    }
    let mut value = total + group;
    if word(next) == "point" {
        let mut scale = 0.1;
        let mut after = next + 1;
        while let Some(digit) = digit(words.get(after)) {
            value += digit * scale;
            (scale, after) = (scale / 10.0, after + 1);
        }
        if after > next + 1 {
            next = after;
        }
    }
    Some((value, next))
}

/// Whether a small number goes on with what was said: `twenty` `five`, `hundred` `twelve`.
fn follows(group: f64, value: f64) -> bool {
    (group % 100.0 == 0.0 && value < 100.0)
        || (group % 100.0 >= 20.0 && group % 10.0 == 0.0 && value < 10.0)
}

fn digit(word: Option<&Word>) -> Option<f64> {
    match word? {
        Word::Number(value) => Some(*value).filter(|value| (0.0..10.0).contains(value)),
        Word::Text(text) if text == "oh" => Some(0.0),
        Word::Text(text) => small(text).filter(|value| *value < 10.0),
        Word::Clock(..) => None,
    }
}

/// From twenty to ninety.
pub(crate) const TENS: [&str; 8] =
    ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];

/// From zero to nineteen.
pub(crate) const UNITS: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];

pub(super) fn small(word: &str) -> Option<f64> {
    let word = if matches!(word, "nought" | "naught") { "zero" } else { word };
    let index = |words: &[&str]| words.iter().position(|known| *known == word);
    #[expect(clippy::cast_precision_loss, reason = "it is below 100")]
    match (index(&UNITS), index(&TENS)) {
        (Some(units), _) => Some(units as f64),
        (_, Some(tens)) => Some((tens as f64 + 2.0) * 10.0),
        _ => None,
    }
}

/// "an hour *and a half*".
pub(super) fn and_a_half(words: &[Word], at: usize, value: f64) -> (f64, usize) {
    if words.get(at).is_some_and(|word| word.is("and"))
        && let Some((part, next)) = part(words, at + 1)
    {
        return (value + part, next);
    }
    (value, at)
}
