//! Numbers with or without a unit: `90 seconds`, `half an hour`, `an hour and twenty minutes`, `minus five`,
//! `two and a half kilos`, `since yesterday`.

use agentd_tools::unit::{Dimension, Unit};

use super::lexer::Word;

/// A number as it was said.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Quantity {
    value: f64,
    unit: Option<Unit>,
    /// It was said as a part, as `half`: of a percentage it is so much of the whole.
    is_part: bool,
}

impl Quantity {
    /// What it may be in a parameter's unit; nothing where it measures something else. A number without a
    /// unit may count what is wanted, or what another one of the request counts: "one minute, no, two".
    pub(super) fn in_unit(&self, wanted: Option<Unit>, others: &[Self]) -> Vec<f64> {
        let Some(wanted) = wanted else { return vec![self.value] };
        match self.unit {
            Some(unit) => unit.convert(self.value, wanted).into_iter().collect(),
            None if self.is_part && wanted.dimension() == Dimension::Share => {
                // A quarter open is three quarters closed.
                vec![self.value * 100.0, 100.0 - self.value * 100.0]
            }
            None => {
                let units = others.iter().filter_map(|other| other.unit);
                let carried = units.filter_map(|unit| unit.convert(self.value, wanted));
                std::iter::once(self.value).chain(carried).collect()
            }
        }
    }
}

/// Parts by what the whole is cut into, from three on.
const PARTS: &[&str] =
    &["third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"];
/// Ordinals from one on: "the third valve" names number 3.
const ORDINALS: &[&str] = &[
    "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth",
    "eleventh", "twelfth",
];
/// How often.
const TIMES: &[&str] = &["once", "twice", "thrice"];
/// What may stand before a unit in the place of a number.
const ONE: &[&str] =
    &["a", "an", "one", "last", "past", "next", "this", "per", "each", "every", "another"];

/// All quantities, in the order of the words.
pub(super) fn find(words: &[Word]) -> Vec<Quantity> {
    let mut found: Vec<Quantity> = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let Some((quantity, mut next)) = read(words, at) else {
            at += 1;
            continue;
        };
        let mut whole = quantity;
        // "an hour and twenty minutes" is one time.
        while let Some((more, after)) = continued(words, next, &whole) {
            whole.value += more;
            next = after;
        }
        // "four sixty seconds" may have been "for sixty seconds".
        let tail = small(words[at].text()).filter(|value| (1.0..10.0).contains(value));
        let is_tens = words.get(at + 1).is_some_and(|word| TENS.contains(&word.text()));
        let tail = tail
            .filter(|_| is_tens)
            .and_then(|_| read(words, at + 1))
            .map(|(tail, _)| tail)
            .filter(|tail| tail.unit.is_some());
        for quantity in std::iter::once(whole).chain(tail) {
            if !found.contains(&quantity) {
                found.push(quantity);
            }
        }
        at = next;
    }
    found
}

fn read(words: &[Word], at: usize) -> Option<(Quantity, usize)> {
    if let Some(value) = counted(words, at) {
        return Some((Quantity { value, unit: None, is_part: false }, at + 1));
    }
    if words[at].is("yesterday") || words[at].is("today") {
        return Some((Quantity { value: 1.0, unit: Unit::of("day"), is_part: false }, at + 1));
    }
    if let Some((value, next)) = number(words, at) {
        // "twelve below zero", "eighteen below".
        let follows = |at: usize, text: &str| words.get(at).is_some_and(|word| word.is(text));
        let is_below = follows(next, "below")
            && (follows(next + 1, "zero") || next + 1 >= words.len() || follows(next + 1, ""));
        let (value, next) = match is_below {
            true => (-value, next + 1 + usize::from(follows(next + 1, "zero"))),
            false => (value, next),
        };
        // "half an hour", "three quarters of an hour", "a couple of minutes".
        let of = next + usize::from(words.get(next).is_some_and(|word| word.is("of")));
        let article = words.get(of).is_some_and(|word| matches!(word.text(), "a" | "an" | "the"));
        let is_part = value.fract() != 0.0 && value.abs() < 1.0;
        let (unit, next) = match unit(words, of + usize::from(article)) {
            Some((unit, next)) => (Some(unit), next),
            None => (None, next),
        };
        return Some((Quantity { value, unit, is_part }, next));
    }
    let word = words[at].text();
    if !word.is_empty() && (ONE.contains(&word) || word == "the") {
        let (unit, next) = unit(words, at + 1)?;
        // "the second valve", "the foot of the bed": an article counts only a time that has passed.
        let counts =
            word != "the" || unit.dimension() == Dimension::Time && words[at + 1].text().len() > 1;
        let ordinal =
            words[at + 1].is("second") && words.get(next).is_some_and(|w| !w.text().is_empty());
        let before = at.checked_sub(1).map_or("", |before| words[before].text());
        let since = matches!(before, "in" | "over" | "of" | "for" | "during" | "within");
        if counts && (word != "the" || since) && !ordinal {
            let (value, next) = and_a_half(words, next, 1.0);
            return Some((Quantity { value, unit: Some(unit), is_part: false }, next));
        }
    }
    None
}

/// An ordinal, or how often.
#[expect(clippy::cast_precision_loss, reason = "they are few")]
fn counted(words: &[Word], at: usize) -> Option<f64> {
    let word = words[at].text();
    let before = at.checked_sub(1).map_or("", |before| words[before].text());
    let index = |of: &[&str]| of.iter().position(|known| *known == word).map(|at| at as f64 + 1.0);
    // "a fifth" is a part, "one second" a time; "the second valve" is neither.
    let is_ordinal = matches!(before, "the" | "on" | "number" | "my" | "your" | "our");
    let names = word != "second" || words.get(at + 1).is_some_and(|word| !word.text().is_empty());
    index(ORDINALS).filter(|_| is_ordinal && names).or_else(|| index(TIMES))
}

/// "an hour *and a half*".
fn and_a_half(words: &[Word], at: usize, value: f64) -> (f64, usize) {
    if words.get(at).is_some_and(|word| word.is("and"))
        && let Some((part, next)) = part(words, at + 1)
    {
        return (value + part, next);
    }
    (value, at)
}

/// A smaller unit of the same kind that goes on, in the unit of what stands before it.
fn continued(words: &[Word], at: usize, before: &Quantity) -> Option<(f64, usize)> {
    let own = before.unit?;
    let from = at + usize::from(words.get(at)?.is("and"));
    let (value, next) = number(words, from)?;
    let Some((unit, next)) = unit(words, next) else {
        // "two euros fifty", "one metre eighty".
        let has_hundredths =
            own == Unit::of("metres")? || own.convert(1.0, Unit::of("cents")?) == Some(100.0);
        let is_hundredths = from == at && value.fract() == 0.0 && (10.0..100.0).contains(&value);
        return (has_hundredths && is_hundredths).then_some((value / 100.0, next));
    };
    let value = unit.convert(value, own)?;
    let is_smaller = unit != own && unit.convert(1.0, own).is_some_and(|one| one < 1.0);
    (is_smaller && own.dimension() != Dimension::Temperature).then_some((value, next))
}

/// A unit that begins at a word.
fn unit(words: &[Word], at: usize) -> Option<(Unit, usize)> {
    let is_filler =
        |word: &&Word| matches!(word.text(), "whole" | "full" | "previous" | "last" | "past");
    let at = at + words.iter().skip(at).take_while(is_filler).count();
    let word = words.get(at)?.text();
    let following = words.get(at + 1).map_or("", Word::text);
    if word == "cubic" && matches!(following, "metre" | "metres" | "meter" | "meters") {
        return Unit::of("m3").map(|unit| (unit, at + 2));
    }
    if word == "per" && following == "cent" {
        return Unit::of("percent").map(|unit| (unit, at + 2));
    }
    let unit = Unit::of(word)?;
    // "20 degrees celsius".
    if unit.dimension() == Dimension::Angle
        && let Some(scale) =
            Unit::of(following).filter(|unit| unit.dimension() == Dimension::Temperature)
    {
        return Some((scale, at + 2));
    }
    Some((unit, at + 1))
}

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
            Some(and_a_half(words, next, value))
        }
        Word::Text(_) => {
            let (value, next) = part(words, at).or_else(|| spelled(words, at))?;
            Some(and_a_half(words, next, value))
        }
        Word::Clock(..) => None,
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
    if word(at) == "a" {
        (group, next) = (1.0, at + 1);
    }
    loop {
        let step = match word(next) {
            "and"
                if any
                    && group % 100.0 == 0.0
                    && group > 0.0
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
pub(super) const TENS: [&str; 8] =
    ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];

fn small(word: &str) -> Option<f64> {
    const UNITS: [&str; 20] = [
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
    let index = |words: &[&str]| words.iter().position(|known| *known == word);
    #[expect(clippy::cast_precision_loss, reason = "it is below 100")]
    match (index(&UNITS), index(&TENS)) {
        (Some(units), _) => Some(units as f64),
        (_, Some(tens)) => Some((tens as f64 + 2.0) * 10.0),
        _ => None,
    }
}
