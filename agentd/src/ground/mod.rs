//! What values stand in a request, so that a model can choose among them and invent none.
//!
//! ```text
//!  "warm the left bed for half an hour" ─lexer─> words ─┬─ quantity ─> 0.5 hours
//!                                                       └─ clock ────> (no time of day)
//!  minutes: int 1..240 minutes  ──numbers──> 30
//! ```
//!
//! Deterministic, and English only. What it does not understand is no value: then the call that would need
//! it cannot be written, and the person is asked instead of guessed at. A word such as `full` stands for the
//! greatest value that the parameter may have.
//!
//! Bounds: [`MAX_WORDS`] words are looked at; [`MAX_VALUES`] values are found.

mod clock;
mod lexer;
pub(crate) mod number;
mod quantity;

use agentd_tools::spec::{Param, ParamKind};
use agentd_tools::unit::Dimension;

use lexer::Word;
use quantity::Quantity;

/// How many words of a request are looked at.
pub const MAX_WORDS: usize = 128;
/// How many values of one kind are found in a request.
pub const MAX_VALUES: usize = 16;
/// Values are rounded to so many decimals, so that a conversion leaves no trace of its arithmetic.
const DECIMALS: f64 = 10_000.0;

const MOST: &[&str] = &["full", "fully", "max", "maximum", "highest"];
const LEAST: &[&str] = &["min", "minimum", "lowest"];
/// Words that put a share to one of its ends; which one depends on what the share is of.
const ENDS: &[&str] = &[
    "off",
    "out",
    "on",
    "stop",
    "open",
    "close",
    "closed",
    "shut",
    "up",
    "down",
    "raise",
    "lower",
    "flat",
    "completely",
    "entirely",
    "dark",
    "darkness",
];

/// The values that stand in a request.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Grounds {
    quantities: Vec<Quantity>,
    times: Vec<String>,
    says_most: bool,
    says_least: bool,
    says_end: bool,
    /// The request, cut into words, spaces and signs.
    chunks: Vec<String>,
}

impl Grounds {
    /// Finds them.
    pub fn of(request: &str) -> Self {
        let words = lexer::words(request, MAX_WORDS);
        let says = |of: &[&str]| {
            words.iter().any(|word| matches!(word, Word::Text(text) if of.contains(&text.as_str())))
        };
        let (mut times, told) = clock::find(&words);
        let mut quantities = quantity::find(&words, &told);
        quantities.truncate(MAX_VALUES);
        times.truncate(MAX_VALUES);
        Self {
            says_most: says(MOST),
            says_least: says(LEAST),
            says_end: says(ENDS),
            quantities,
            times,
            chunks: lexer::chunks(request),
        }
    }

    /// Adds the values of what was said before, to which a request such as "and the other one too" refers. Texts
    /// are not added: a verbatim one is of the request itself.
    pub fn and_before(mut self, earlier: &str) -> Self {
        let earlier = Self::of(earlier);
        self.quantities.extend(earlier.quantities);
        self.quantities.truncate(MAX_VALUES);
        let news = |time: &String| !self.times.contains(time);
        let times: Vec<String> = earlier.times.into_iter().filter(news).collect();
        self.times.extend(times);
        self.times.truncate(MAX_VALUES);
        self
    }

    /// The values that a number of the request may be for a parameter: converted to its unit, within its
    /// bounds, in the order of the request, each once.
    pub fn numbers(&self, param: &Param) -> Vec<f64> {
        let fits = |value: &f64| {
            param.min.is_none_or(|min| *value >= min)
                && param.max.is_none_or(|max| *value <= max)
                && (param.kind != ParamKind::Integer || value.fract() == 0.0)
        };
        let is_share = param.unit.is_some_and(|unit| unit.dimension() == Dimension::Share);
        let (most, least) = (self.says_most, self.says_least);
        let ends = is_share && self.says_end;
        let extremes = [(most || ends, param.max), (least || ends, param.min)];
        let extremes = extremes.into_iter().filter_map(|(says, value)| value.filter(|_| says));
        let settled = |found: &mut dyn Iterator<Item = f64>| {
            let mut values = Vec::new();
            for value in found.map(|value| (value * DECIMALS).round() / DECIMALS) {
                if fits(&value) && !values.contains(&value) {
                    values.push(value);
                }
            }
            values
        };
        let measured = |q: &Quantity| q.in_unit(param.unit, &self.quantities);
        if param.unit.is_none() {
            // It may be the hour itself that is wanted.
            let all = self.quantities.iter().flat_map(measured);
            return settled(&mut all.chain(extremes).chain(self.of_times(param)));
        }
        let (doubtful, sure): (Vec<_>, Vec<_>) =
            self.quantities.iter().partition(|q| q.may_be_time());
        match settled(&mut sure.into_iter().flat_map(measured).chain(extremes)) {
            // "Lower it by five tonight": where there is no other number, it is no time.
            none if none.is_empty() => settled(&mut doubtful.into_iter().flat_map(measured)),
            values => values,
        }
    }

    /// The hours or minutes of the times of day, for a parameter that counts just those.
    fn of_times(&self, param: &Param) -> Vec<f64> {
        let part = match (param.min, param.max, param.unit) {
            (Some(0.0), Some(23.0), None) => 0,
            (Some(0.0), Some(59.0), None) => 1,
            _ => return Vec::new(),
        };
        let parts = self.times.iter().filter_map(|time| time.split(':').nth(part));
        parts.filter_map(|part| part.parse().ok()).collect()
    }

    /// Times of day, as `18:30`. Where neither half of the day is said, both are given.
    pub fn times(&self) -> &[String] {
        &self.times
    }

    /// The request in pieces: words, spaces and signs.
    pub fn chunks(&self) -> &[String] {
        &self.chunks
    }
}

#[cfg(test)]
mod tests;
