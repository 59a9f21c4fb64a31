//! A request as words: numbers in digits, times in digits, and texts in lower case.

use agentd_tools::unit::{Dimension, Unit};

use super::number::{TENS, UNITS, number};

/// What people say while they think: "ten um minutes".
const HESITATIONS: &[&str] = &["um", "uhm", "umm", "uh", "er", "erm", "hm", "hmm"];

/// One word.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Word {
    /// A number in digits. `10kg` is one before a text.
    Number(f64),
    /// Hours and minutes in digits, as `18:30`, and whether the hour leaves no doubt of the half of the day.
    Clock(u32, u32, bool),
    /// Anything else, without the signs around it.
    Text(String),
}

impl Word {
    pub(super) fn is(&self, text: &str) -> bool {
        matches!(self, Self::Text(own) if own == text)
    }

    pub(super) fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            _ => "",
        }
    }
}

/// The first `most` words.
pub(super) fn words(request: &str, most: usize) -> Vec<Word> {
    let lower = request
        .to_lowercase()
        .replace('½', " 1/2")
        .replace('¼', " 1/4")
        .replace('¾', " 3/4")
        // "x=5", "f(3)".
        .replace(['=', '(', '['], " ");
    let (mut words, mut before) = (Vec::new(), "");
    for raw in lower.split_whitespace() {
        let word = raw.trim_matches(|c: char| !is_part(c)).trim_end_matches(['.', ':', '/']);
        let word = word.strip_suffix("'s").or_else(|| word.strip_suffix("’s")).unwrap_or(word);
        // "6.45 pm": what looked like a number is a time.
        let half = matches!(word, "am" | "pm" | "a.m" | "p.m").then(|| format!("{before}{word}"));
        match half.and_then(|joined| clock(&joined)) {
            Some(clock) => {
                words.pop();
                // "2 10 am" may be ten past two, or bed 2 at ten.
                let early = with_minutes(words.last(), &clock);
                words.push(clock);
                words.extend(early);
            }
            None if HESITATIONS.contains(&word) => {}
            None => split(word, &mut words),
        }
        before = word;
        // A comma or a full stop parts what would else read as one number.
        if raw.ends_with([',', '.', ';', '!', '?']) {
            words.push(Word::Text(String::new()));
        }
        if words.len() >= most {
            break;
        }
    }
    words.truncate(most);
    let is_many = |word: &Word| {
        ["hundred", "thousand", "million", "billion"].iter().any(|many| word.is(many))
    };
    // "$5 thousand": the sign is said behind all of it.
    for at in 2..words.len() {
        if matches!(words[at - 2], Word::Number(_))
            && (words[at - 1].is("$") || words[at - 1].is("€"))
            && is_many(&words[at])
        {
            words.swap(at - 1, at);
        }
    }
    heard(&mut words);
    words
}

/// The time of an hour and of what looked like one behind it: "2 10 am".
fn with_minutes(hour: Option<&Word>, clock: &Word) -> Option<Word> {
    let (Some(Word::Number(hour)), Word::Clock(minutes, 0, _)) = (hour, clock) else { return None };
    let is_hour = hour.fract() == 0.0 && (1.0..=12.0).contains(hour);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is 1 to 12")]
    let hour = *hour as u32 % 12;
    // The clock has its half of the day already: 10 pm is 22.
    is_hour.then_some(Word::Clock(hour + minutes / 12 * 12, (minutes + 11) % 12 + 1, true))
}

/// Puts right what a speech recogniser writes for numbers, where the words around it leave no doubt: "ate
/// bar", "twenty won", "for tea percent", "half an our", "ten p m".
fn heard(words: &mut Vec<Word>) {
    let mut at = 0;
    while at < words.len() {
        let text = |at: usize| words.get(at).map_or("", Word::text);
        let is_unit = |word: &str| word.len() > 1 && Unit::of(word).is_some() || word == "per";
        let is_time =
            |word: &str| Unit::of(word).is_some_and(|unit| unit.dimension() == Dimension::Time);
        let (before, next) = (at.checked_sub(1).map_or("", text), text(at + 1));
        let after_tens = TENS.contains(&before);
        let ends =
            at + 1 >= words.len() || matches!(&words[at + 1], Word::Text(text) if text.is_empty());
        let in_number = is_unit(next) || (after_tens && ends);
        let replaced = match (text(at), next) {
            ("for" | "four", "tea") => Some(("forty", 2)),
            ("six", "tea") => Some(("sixty", 2)),
            ("seven", "tea") => Some(("seventy", 2)),
            ("fourty", _) => Some(("forty", 1)),
            ("o", "clock") => Some(("o'clock", 2)),
            ("passed", _) if matches!(before, "half" | "quarter" | "minutes") => Some(("past", 1)),
            ("an", "a") if matches!(text(at + 2), "half" | "quarter") => Some(("and", 1)),
            ("four", "half") => Some(("for", 1)),
            ("p", "m") => Some(("pm", 2)),
            ("a", "m") => Some(("am", 2)),
            ("our" | "ours", _)
                if matches!(before, "an" | "half" | "last" | "past" | "one")
                    || (text(at) == "ours" && at > 0 && number(&words[at - 1..], 0).is_some()) =>
            {
                Some(("hour", 1))
            }
            ("weak", _) if matches!(before, "last" | "past" | "a" | "one") => Some(("week", 1)),
            ("ate", _)
                if in_number || after_tens || matches!(next, "in" | "o'clock" | "am" | "pm") =>
            {
                Some(("eight", 1))
            }
            ("won", _) if in_number || after_tens => Some(("one", 1)),
            // "For hours" is a figure of speech; "for kilos" and "the last for hours" are not.
            ("for" | "fore", _)
                if in_number
                    && (!is_time(next)
                        || after_tens
                        || matches!(before, "for" | "last" | "past" | "next")) =>
            {
                Some(("four", 1))
            }
            ("to" | "too", _) if in_number => Some(("two", 1)),
            _ => None,
        };
        if let Some((word, count)) = replaced {
            words.splice(at..at + count, [Word::Text(word.into())]);
        }
        at += 1;
    }
}

fn is_part(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '-' | '−' | '+' | '%' | '°' | '.' | '/' | ':' | '€' | '$')
}

fn split(word: &str, words: &mut Vec<Word>) {
    if word.is_empty() {
        return;
    }
    if let Some(clock) = clock(word) {
        words.push(clock);
        return;
    }
    let negative = word.starts_with(['-', '−']);
    let digits = word.trim_start_matches(['-', '−', '+']);
    // "$250": what is written before is said behind.
    let (digits, currency) = match digits.strip_prefix(['$', '€']) {
        Some(rest) => (rest, Some(&digits[..digits.len() - rest.len()])),
        None => (digits, None),
    };
    if digits.starts_with(|c: char| c.is_ascii_digit()) {
        let end = digits.find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | ',' | '/'));
        let (number, rest) = digits.split_at(end.unwrap_or(digits.len()));
        // "$5k" is a value that is not read here, and not five.
        let is_short = currency.is_some() && rest.starts_with(char::is_alphabetic);
        if let Some(value) = number_of(number).filter(|_| !is_short) {
            words.push(Word::Number(if negative { -value } else { value }));
            words.extend(currency.map(|sign| Word::Text(sign.to_owned())));
            // "3-5" are two numbers, and so are "3,-5", of which the second is below zero.
            let is_listed = number.ends_with(',');
            split(if is_listed { rest } else { rest.trim_start_matches('-') }, words);
            return;
        }
    }
    if word.contains('-') && word.chars().all(|c| c.is_alphabetic() || c == '-') {
        words.extend(word.split('-').filter(|part| !part.is_empty()).map(|p| Word::Text(p.into())));
        return;
    }
    // "twentyfive".
    let tens = TENS.iter().find_map(|tens| Some((tens, word.strip_prefix(tens)?)));
    if let Some((tens, units)) = tens.filter(|(_, units)| UNITS[1..10].contains(units)) {
        words.extend([*tens, units].map(|part| Word::Text(part.into())));
        return;
    }
    words.push(Word::Text(word.to_owned()));
}

/// `3`, `2.5`, `1,000`, `2,5`, `1/2`.
fn number_of(text: &str) -> Option<f64> {
    let text = text.trim_end_matches(['.', ',', '/']);
    if let Some((over, under)) = text.split_once('/') {
        let (over, under): (f64, f64) = (over.parse().ok()?, under.parse().ok()?);
        return (under != 0.0).then(|| over / under);
    }
    let text = match text.split_once(',') {
        // Three digits after each comma are thousands; a decimal comma has one or two.
        Some((_, rest))
            if rest.split(',').all(|part| part.split('.').next().is_some_and(|p| p.len() == 3)) =>
        {
            text.replace(',', "")
        }
        Some(_) => text.replacen(',', ".", 1),
        None => text.to_owned(),
    };
    text.parse().ok()
}

/// `18:30`, `6:30`, `6:30pm`, `6.30pm`, `6pm`, `1830h` is none.
fn clock(word: &str) -> Option<Word> {
    let bare = word.replace('.', ":");
    let (digits, half) = match bare.trim_end_matches(':') {
        text if text.ends_with("pm") => (text.trim_end_matches("pm"), Some(12)),
        text if text.ends_with("am") => (text.trim_end_matches("am"), Some(0)),
        text if text.ends_with("p:m") => (text.trim_end_matches("p:m"), Some(12)),
        text if text.ends_with("a:m") => (text.trim_end_matches("a:m"), Some(0)),
        text => (text, None),
    };
    // Without one of these it is a number.
    if half.is_none() && !word.contains(':') {
        return None;
    }
    let (hours, minutes) = digits.split_once(':').unwrap_or((digits, "0"));
    let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !all_digits(hours) || !all_digits(minutes) || hours.len() > 2 || minutes.len() > 2 {
        return None;
    }
    let (hour, minute): (u32, u32) = (hours.parse().ok()?, minutes.parse().ok()?);
    match half {
        Some(half) if (1..=12).contains(&hour) && minute < 60 => {
            Some(Word::Clock(hour % 12 + half, minute, true))
        }
        None if hour < 24 && minute < 60 => {
            Some(Word::Clock(hour, minute, hour == 0 || hour > 12 || hours.starts_with('0')))
        }
        _ => None,
    }
}

/// The request cut into words, spaces and single signs. Each run of spaces is one space.
pub(super) fn chunks(request: &str) -> Vec<String> {
    let mut chunks: Vec<String> = Vec::new();
    let mut in_word = false;
    for c in request.trim().chars() {
        let goes_on = c.is_alphanumeric() || matches!(c, '\'' | '’');
        match chunks.last_mut() {
            Some(last) if goes_on && in_word => last.push(c),
            Some(last) if c.is_whitespace() && last == " " => {}
            _ if c.is_whitespace() => chunks.push(" ".into()),
            _ => chunks.push(c.into()),
        }
        in_word = goes_on;
    }
    chunks
}
