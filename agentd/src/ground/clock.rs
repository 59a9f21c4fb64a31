//! Times of day: `18:30`, `6pm`, `half past six`, `quarter to seven`, `noon`, `seven in the morning`.

use std::ops::Range;

use super::lexer::Word;
use super::number;

/// Words before an hour that make it one: "at six".
const BEFORE: &[&str] = &["at", "by", "until", "till", "from", "before", "after", "around"];
const O_CLOCK: &[&str] = &["o'clock", "o’clock", "oclock"];
/// What may stand between the hour and what tells the half of the day.
const FILLERS: &[&str] = &[
    "o'clock",
    "o’clock",
    "oclock",
    "sharp",
    "in",
    "the",
    "at",
    "this",
    "every",
    "each",
    "early",
    "late",
    "tomorrow",
];

/// How sure it is that a number is part of a time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clock {
    /// It is none.
    No,
    /// It may be: "seven in the morning", and "lower it by five tonight".
    Likely,
    /// It can be nothing else: "six p m", "half past six", "six o'clock".
    Surely,
}

/// Where the words of a time stand, and how sure it is that it is one.
pub(super) type Told = (Range<usize>, Clock);

/// The times, as `HH:MM`, in the order of the words, and where those stand that may be nothing else.
pub(super) fn find(words: &[Word]) -> (Vec<String>, Vec<Told>) {
    let (mut found, mut told) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < words.len() {
        match read(words, at) {
            Some((times, next)) => {
                told.push((at..next, sureness(words, at, next)));
                for (hour, minute) in times {
                    let time = format!("{hour:02}:{minute:02}");
                    if !found.contains(&time) {
                        found.push(time);
                    }
                }
                at = next.max(at + 1);
            }
            None => at += 1,
        }
    }
    (found, told)
}

/// How sure it is that what was read as a time is one.
fn sureness(words: &[Word], at: usize, next: usize) -> Clock {
    let own = &words[at..next];
    // "a quarter before ten" may be a share, and then a time.
    let is_fraction = own.iter().any(|word| word.is("past"))
        || own.windows(2).any(|pair| pair[0].is("quarter") && pair[1].is("to"));
    let follows = words.get(next).map_or("", Word::text);
    match own.last().map_or("", Word::text) {
        "am" | "a.m" | "pm" | "p.m" => Clock::Surely,
        _ if is_fraction
            || O_CLOCK.contains(&follows)
            || own.iter().any(|word| O_CLOCK.contains(&word.text())) =>
        {
            Clock::Surely
        }
        "morning" | "afternoon" | "evening" | "night" | "tonight" => Clock::Likely,
        _ => Clock::No,
    }
}

/// A time that begins at a word: its readings, and where it ends.
fn read(words: &[Word], at: usize) -> Option<(Vec<(u32, u32)>, usize)> {
    match words.get(at)? {
        Word::Clock(hour, minute, true) => return Some((vec![(*hour, *minute)], at + 1)),
        Word::Clock(hour, minute, false) => return Some(halves(words, at + 1, *hour, *minute)),
        Word::Text(text) if text == "noon" || text == "midday" => {
            return Some((vec![(12, 0)], at + 1));
        }
        Word::Text(text) if text == "midnight" => return Some((vec![(0, 0)], at + 1)),
        _ => {}
    }
    let word = |at: Option<usize>| at.and_then(|at| words.get(at)).map_or("", Word::text);
    let before = word(at.checked_sub(1));
    // "from ten to six" are two times.
    if let Some((minutes, next)) = fraction(words, at).filter(|_| before != "from") {
        // "half six" is half past six; "quarter six" is nothing.
        let (direction, from) = match words.get(next).map(Word::text) {
            Some("past" | "after") => (1, next + 1),
            Some("to" | "before" | "of" | "till") if minutes != 30 => (-1, next + 1),
            _ if words[at].is("half") => (1, next),
            _ => return None,
        };
        // "five past 9 pm", "ten to midnight": there is no doubt of the half.
        if let Some(hour) = sure_hour(words.get(from)) {
            let time =
                if direction == 1 { (hour, minutes) } else { ((hour + 23) % 24, 60 - minutes) };
            return Some((vec![time], from + 1));
        }
        let (hour, next) = hour(words, from)?;
        let (hour, minute) = match direction {
            1 => (hour, minutes),
            _ if hour > 12 => (hour - 1, 60 - minutes),
            _ => ((hour + 10) % 12 + 1, 60 - minutes),
        };
        return Some(halves(words, next, hour, minute));
    }
    // "from 9 to 6".
    let said = BEFORE.contains(&before) || (before == "to" && word(at.checked_sub(3)) == "from");
    if let Some(found) = in_digits(words, at, said) {
        return Some(found);
    }
    let (hour, next) = hour(words, at)?;
    // "six oh five pm".
    if word(Some(next)) == "oh"
        && let Some((minute, next)) = number::number(words, next + 1)
        && minute.fract() == 0.0
        && (1.0..10.0).contains(&minute)
    {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is 1 to 9"
        )]
        return Some(halves(words, next, hour, minute as u32));
    }
    let o_clock = words.get(next).is_some_and(|word| O_CLOCK.contains(&word.text()));
    let half = half(words, next, hour);
    if let Some((minute, next)) = number::number(words, next)
        && (said || self::half(words, next, hour).is_some())
        && minute.fract() == 0.0
        && (1.0..60.0).contains(&minute)
    {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is 1 to 59"
        )]
        return Some(halves(words, next, hour, minute as u32));
    }
    (said || o_clock || half.is_some()).then(|| halves(words, next, hour, 0))
}

/// An hour that leaves no doubt of the half of the day.
fn sure_hour(word: Option<&Word>) -> Option<u32> {
    match word? {
        Word::Clock(hour, 0, true) => Some(*hour),
        Word::Text(text) if text == "midnight" => Some(0),
        Word::Text(text) if text == "noon" || text == "midday" => Some(12),
        _ => None,
    }
}

/// Hours and minutes as one number: "at 1830", "630 pm", "at 6.30", "at eighteen hundred".
fn in_digits(words: &[Word], at: usize, said: bool) -> Option<(Vec<(u32, u32)>, usize)> {
    let (value, next) = number::number(words, at)?;
    // Of "6.30" the last digit got lost.
    let value = if value.fract() == 0.0 { value } else { (value * 100.0).round() };
    if !(100.0..2400.0).contains(&value) || value % 100.0 >= 60.0 {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is below 2400")]
    let (hour, minute) = (value as u32 / 100, value as u32 % 100);
    (said || half(words, next, hour).is_some()).then(|| halves(words, next, hour, minute))
}

/// `half`, `[a] quarter`, `ten [minutes]`.
fn fraction(words: &[Word], at: usize) -> Option<(u32, usize)> {
    let from = at + usize::from(words.get(at)?.is("a"));
    match words.get(from)?.text() {
        "half" if from == at => Some((30, at + 1)),
        "quarter" => Some((15, from + 1)),
        _ => {
            let (minutes, next) = number::number(words, at)?;
            let is_said = words.get(next).is_some_and(|word| word.is("minutes"));
            let next = next + usize::from(is_said);
            // "Curtain three to one in the afternoon" is no time; "five to one" and "three minutes to one" are.
            let is_round = minutes % 5.0 == 0.0;
            let follows = matches!(words.get(next).map(Word::text), Some("past" | "to"));
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "it is 1 to 59"
            )]
            (follows
                && (is_said || is_round)
                && minutes.fract() == 0.0
                && (1.0..60.0).contains(&minutes))
            .then_some((minutes as u32, next))
        }
    }
}

fn hour(words: &[Word], at: usize) -> Option<(u32, usize)> {
    let (value, next) = match words.get(at)? {
        Word::Number(value) => (*value, at + 1),
        // One word: "six thirty" is an hour and minutes.
        Word::Text(_) => (number::number(&words[..=at], at)?.0, at + 1),
        Word::Clock(..) => return None,
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is 0 to 23")]
    (value.fract() == 0.0 && (0.0..24.0).contains(&value)).then_some((value as u32, next))
}

/// Both halves of the day, unless the hour or the words after it leave no doubt.
fn halves(words: &[Word], next: usize, hour: u32, minute: u32) -> (Vec<(u32, u32)>, usize) {
    match half(words, next, hour) {
        Some((offset, next)) if hour <= 12 => (vec![(hour % 12 + offset, minute)], next),
        _ if hour == 0 || hour > 12 => (vec![(hour, minute)], next),
        _ => (vec![(hour % 12, minute), (hour % 12 + 12, minute)], next),
    }
}

/// What tells the half of the day: the hours that it adds, and where it ends.
fn half(words: &[Word], at: usize, hour: u32) -> Option<(u32, usize)> {
    let mut at = at;
    while words.get(at).is_some_and(|word| FILLERS.contains(&word.text())) {
        at += 1;
    }
    match words.get(at)?.text() {
        "am" | "a.m" | "morning" => Some((0, at + 1)),
        "pm" | "p.m" | "afternoon" | "evening" => Some((12, at + 1)),
        "night" | "tonight" => Some((if hour % 12 < 6 { 0 } else { 12 }, at + 1)),
        _ => None,
    }
}
