//! Numbers with or without a unit: `90 seconds`, `half an hour`, `an hour and twenty minutes`, `minus five`,
//! `two and a half kilos`, `since yesterday`.

use agentd_tools::unit::{Dimension, Unit};

use super::clock::{Clock, Told};
use super::lexer::Word;
use super::number::{TENS, and_a_half, number, small};

/// A number as it was said.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Quantity {
    value: f64,
    unit: Option<Unit>,
    /// It was said as a part, as `half`: of a percentage it is so much of the whole.
    is_part: bool,
    /// Whether it is part of a time of day, and measures nothing.
    clock: Clock,
}

impl Quantity {
    fn of(value: f64, unit: Option<Unit>) -> Self {
        Self { value, unit, is_part: false, clock: Clock::No }
    }

    /// Whether it may as well be a time of day.
    pub(super) fn may_be_time(&self) -> bool {
        self.clock == Clock::Likely
    }

    /// What it may be in a parameter's unit; nothing where it measures something else. A number without a
    /// unit may count what is wanted, or what another one of the request counts: "one minute, no, two".
    pub(super) fn in_unit(&self, wanted: Option<Unit>, others: &[Self]) -> Vec<f64> {
        let Some(wanted) = wanted else { return vec![self.value] };
        if self.clock == Clock::Surely {
            return Vec::new();
        }
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

/// All quantities, in the order of the words; those within `times` may be parts of times of day.
pub(super) fn find(words: &[Word], times: &[Told]) -> Vec<Quantity> {
    let mut found: Vec<Quantity> = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let Some((quantity, mut next)) = read(words, at) else {
            at += 1;
            continue;
        };
        let mut whole = quantity;
        let time = times.iter().find(|(time, _)| time.contains(&at) && time.end >= next);
        whole.clock = time.map_or(Clock::No, |(_, sureness)| *sureness);
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
        return Some((Quantity::of(value, None), at + 1));
    }
    if words[at].is("yesterday") || words[at].is("today") {
        return Some((Quantity::of(1.0, Unit::of("day")), at + 1));
    }
    if let Some((value, next)) = number(words, at) {
        // "twelve below zero", "eighteen below".
        let follows = |at: usize, text: &str| words.get(at).is_some_and(|word| word.is(text));
        let (value, next) = match below_zero(words, next) {
            Some(next) => (-value, next),
            None if follows(next, "below")
                && (next + 1 >= words.len() || follows(next + 1, "")) =>
            {
                (-value, next + 1)
            }
            None => (value, next),
        };
        // "half an hour", "three quarters of an hour", "a couple of minutes".
        let of = next + usize::from(words.get(next).is_some_and(|word| word.is("of")));
        let is_part = value.fract() != 0.0 && value.abs() < 1.0;
        // "Output four an hour" are two numbers.
        let article = (is_part || of > next)
            && words.get(of).is_some_and(|word| matches!(word.text(), "a" | "an" | "the"));
        let (unit, next) = match unit(words, of + usize::from(article)) {
            Some((unit, next)) => (Some(unit), next),
            None => (None, next),
        };
        // "five degrees below zero".
        let is_degrees = unit.is_some_and(|unit| {
            matches!(unit.dimension(), Dimension::Temperature | Dimension::Angle)
        });
        return Some(match below_zero(words, next).filter(|_| is_degrees) {
            Some(next) => (Quantity { is_part, ..Quantity::of(-value, unit) }, next),
            None => (Quantity { is_part, ..Quantity::of(value, unit) }, next),
        });
    }
    let word = words[at].text();
    // "hour and a half": the article got lost.
    if let Some((unit, next)) = unit(words, at).filter(|_| word.len() > 1)
        && let (value, next) = and_a_half(words, next, 1.0)
        && value != 1.0
        && unit.dimension() == Dimension::Time
    {
        return Some((Quantity::of(value, Some(unit)), next));
    }
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
            return Some((Quantity::of(value, Some(unit)), next));
        }
    }
    None
}

/// Where `below zero` or `under freezing` ends.
fn below_zero(words: &[Word], at: usize) -> Option<usize> {
    let says = |at: usize, of: &[&str]| words.get(at).is_some_and(|word| of.contains(&word.text()));
    (says(at, &["below", "under"]) && says(at + 1, &["zero", "freezing"])).then_some(at + 2)
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

/// A smaller unit of the same kind that goes on, in the unit of what stands before it.
fn continued(words: &[Word], at: usize, before: &Quantity) -> Option<(f64, usize)> {
    let own = before.unit?;
    let from = at + usize::from(words.get(at)?.is("and"));
    let (value, next) = number(words, from)?;
    let Some((unit, next)) = unit(words, next) else {
        // "an hour ten", "one hour fifteen", "an hour and ten".
        let is_minutes = value.fract() == 0.0
            && (5.0..60.0).contains(&value)
            && (from == at || value % 5.0 == 0.0);
        if own == Unit::of("hours")? {
            return is_minutes.then_some((value / 60.0, next));
        }
        // "a kilo two hundred".
        let is_hundreds = value % 50.0 == 0.0 && (100.0..1000.0).contains(&value);
        if own == Unit::of("kilograms")? {
            return (from == at && is_hundreds).then_some((value / 1000.0, next));
        }
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
pub(super) fn unit(words: &[Word], at: usize) -> Option<(Unit, usize)> {
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
