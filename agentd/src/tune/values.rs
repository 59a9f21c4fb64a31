//! Values that a parameter may have, and how people say them.
//!
//! Bounds: numbers are at most [`LARGEST`] and have at most two decimals.

use agentd_tools::spec::{Format, Param, ParamKind};
use agentd_tools::unit::Dimension;
use serde_json::{Value, json};

use super::random::Random;
use crate::agent::reflex;
use crate::ground::number::{TENS, UNITS};

/// The largest number that is drawn where a parameter has no bound, or a larger one.
pub(super) const LARGEST: f64 = 1_000_000.0;
/// How far a number goes where only one of its bounds is declared.
const SPAN: f64 = 100.0;

/// What people report, in their own words.
const TEXTS: &[&str] = &[
    "the left hinge is loose",
    "there is water on the floor",
    "the motor makes a grinding noise",
    "somebody left the window open",
    "the new filter is in",
    "the key is under the mat",
    "the cable looks worn",
    "it smells burnt in here",
    "we ran out of tape",
    "the display stays dark",
    "a screw is missing on the cover",
    "the night shift starts earlier",
    "the delivery came on Monday",
    "the second bottle is empty",
    "the belt slips now and then",
    "nobody checked the seals",
    "the paint is still wet",
    "mice got into the shed",
    "the handle came off",
    "it has been dripping all night",
    "Anna has the spare key",
    "the sign fell down",
];

/// A value that `param` may have, drawn, and the words for it that a sentence is matched with. `texts` are runs of
/// words that were given for it elsewhere.
pub(super) fn draw(param: &Param, texts: &[String], random: &mut Random) -> (Value, String) {
    if let Some(choices) = param.choices.as_deref().filter(|choices| !choices.is_empty()) {
        let choice = random.pick(choices);
        return (json!(choice), reflex::spoken(choice));
    }
    match param.kind {
        ParamKind::Integer | ParamKind::Number => {
            let value = number(param, random);
            let written = written(value);
            (serde_json::from_str(&written).unwrap_or(json!(value)), written)
        }
        ParamKind::Boolean => {
            let value = random.one_in(2);
            (json!(value), if value { "on" } else { "off" }.to_owned())
        }
        ParamKind::String if param.format == Some(Format::Time) => {
            let minute = *random.pick(&[0, 0, 5, 10, 15, 15, 20, 30, 30, 40, 45, 50]);
            let time = format!("{:02}:{minute:02}", random.between(0, 23));
            (json!(time), time)
        }
        ParamKind::String => {
            let fits =
                |text: &&str| param.max_length.is_none_or(|most| text.chars().count() <= most);
            let own = texts.iter().map(String::as_str).filter(fits);
            // Those that the machine's owner gave are worth more than ours.
            let all: Vec<&str> =
                own.flat_map(|text| [text; 4]).chain(TEXTS.iter().copied().filter(fits)).collect();
            let text = if all.is_empty() { "x" } else { random.pick(&all) };
            (json!(text), text.to_owned())
        }
        ParamKind::Array => {
            let item = param.items.as_deref().map(|item| draw(item, texts, random));
            let (item, said) = item.unwrap_or_default();
            (json!([item]), said)
        }
        ParamKind::Object => {
            let needed = param.properties.iter().filter(|(_, member)| member.is_required());
            let drawn: Vec<_> =
                needed.map(|(name, member)| (name.clone(), draw(member, texts, random))).collect();
            let said: Vec<_> = drawn.iter().map(|(_, (_, said))| said.as_str()).collect();
            let said = said.join(" ");
            (drawn.into_iter().map(|(name, (value, _))| (name, value)).collect(), said)
        }
    }
}

/// A number within bounds, the rounder the likelier.
fn number(param: &Param, random: &mut Random) -> f64 {
    let low = param.min.unwrap_or_else(|| param.max.map_or(0.0, |max| max.min(SPAN) - SPAN));
    let low = low.clamp(-LARGEST, LARGEST);
    let high = param.max.unwrap_or(low + SPAN).clamp(low, LARGEST.max(low));
    let whole = param.kind == ParamKind::Integer;
    let steps: &[f64] = match high - low {
        span if whole && span < 20.0 => &[1.0],
        span if whole && span < 200.0 => &[1.0, 5.0, 5.0, 10.0],
        _ if whole => &[1.0, 10.0, 50.0, 100.0],
        span if span < 5.0 => &[0.05, 0.1, 0.5],
        span if span < 200.0 => &[0.5, 1.0, 1.0, 5.0],
        _ => &[0.5, 1.0, 10.0, 50.0],
    };
    let step = *random.pick(steps);
    let (first, last) = ((low / step).ceil(), (high / step).floor());
    if first > last {
        return if whole { low.ceil() } else { low };
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is small")]
    let index = random.between(0, (last - first) as u64);
    #[expect(clippy::cast_precision_loss, reason = "it is small")]
    let value = (first + index as f64) * step;
    // Without a minus before a zero, and without what is left of the arithmetic.
    (value * 100.0).round() / 100.0 + 0.0
}

/// A number in digits.
fn written(value: f64) -> String {
    let text = value.to_string();
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

/// Other words for a value, and how many words behind it they stand for as well ("30 minutes": "half an hour").
/// `after` are the words that follow it in the sentence.
pub(super) fn otherwise(
    param: &Param,
    value: &Value,
    after: &[&str],
    random: &mut Random,
) -> Option<(String, usize)> {
    if param.format == Some(Format::Time) {
        return value.as_str().and_then(|time| clock(time, random)).map(|said| (said, 0));
    }
    let value = value.as_f64()?;
    if let (Some(unit), Some(next)) = (param.unit, after.first())
        && unit.dimension() == Dimension::Time
        && agentd_tools::unit::Unit::of(&next.to_lowercase()) == Some(unit)
        && random.percent(40)
        && let Some(span) = span(value, unit.name())
    {
        return Some((span.to_owned(), 1));
    }
    words(value).map(|said| (said, 0))
}

/// A span of time as people round it.
fn span(value: f64, unit: &str) -> Option<&'static str> {
    let said: &[(f64, &str, &str)] = &[
        (30.0, "minutes", "half an hour"),
        (60.0, "minutes", "an hour"),
        (90.0, "minutes", "an hour and a half"),
        (15.0, "minutes", "a quarter of an hour"),
        (45.0, "minutes", "three quarters of an hour"),
        (120.0, "minutes", "two hours"),
        (60.0, "seconds", "a minute"),
        (30.0, "seconds", "half a minute"),
        (90.0, "seconds", "a minute and a half"),
        (120.0, "seconds", "two minutes"),
        (24.0, "hours", "day"),
        (168.0, "hours", "week"),
        (48.0, "hours", "two days"),
        (72.0, "hours", "three days"),
    ];
    said.iter().find(|(of, own, _)| *of == value && *own == unit).map(|(_, _, said)| *said)
}

/// A number from -999 to 999 in words, with one decimal at most.
fn words(value: f64) -> Option<String> {
    let tenths = (value.abs() * 10.0).round();
    if value.abs() >= 1000.0 || (tenths / 10.0 - value.abs()).abs() > 1e-9 {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is small")]
    let tenths = tenths as usize;
    let sign = if value < 0.0 { "minus " } else { "" };
    let point = match tenths % 10 {
        0 => String::new(),
        tenth => format!(" point {}", UNITS[tenth]),
    };
    Some(format!("{sign}{}{point}", whole(tenths / 10)))
}

fn whole(n: usize) -> String {
    match (n / 100, n % 100) {
        (0, n) if n < 20 => UNITS[n].to_owned(),
        (0, n) if n % 10 == 0 => TENS[n / 10 - 2].to_owned(),
        (0, n) => format!("{} {}", TENS[n / 10 - 2], UNITS[n % 10]),
        (hundreds, 0) => format!("{} hundred", UNITS[hundreds]),
        (hundreds, rest) => format!("{} hundred and {}", UNITS[hundreds], whole(rest)),
    }
}

/// A time of day, given as `18:30`, in words.
fn clock(time: &str, random: &mut Random) -> Option<String> {
    let (hour, minute) = time.split_once(':')?;
    let (hour, minute): (usize, usize) = (hour.parse().ok()?, minute.parse().ok()?);
    let part = match hour {
        0..12 => "in the morning",
        12..18 => "in the afternoon",
        _ => "in the evening",
    };
    let half = if hour < 12 { "am" } else { "pm" };
    let twelve = |hour: usize| (hour + 11) % 12 + 1;
    let named = |hour: usize| whole(twelve(hour));
    Some(match (minute, random.between(0, 2)) {
        (0, 0) => format!("{} {half}", twelve(hour)),
        (0, _) => format!("{} {part}", named(hour)),
        (30, 0) => format!("half past {} {part}", named(hour)),
        (15, 0) => format!("quarter past {} {part}", named(hour)),
        (45, 0) if hour != 11 && hour != 17 && hour != 23 => {
            format!("quarter to {} {part}", named(hour + 1))
        }
        (minute, 1) if minute >= 10 => format!("{} {} {half}", named(hour), whole(minute)),
        _ => format!("{}:{minute:02} {half}", twelve(hour)),
    })
}

#[cfg(test)]
mod tests {
    use agentd_tools::unit::Unit;

    use super::*;
    use crate::ground::Grounds;

    fn param(text: Value) -> Param {
        serde_json::from_value(text).expect("a parameter")
    }

    #[test]
    fn numbers_keep_their_bounds_and_both_ends_can_come_up() {
        for (declared, low, high) in [
            (json!({"type": "integer", "min": 3, "max": 5}), 3.0, 5.0),
            (json!({"type": "integer", "min": -5, "max": 5}), -5.0, 5.0),
            (json!({"type": "integer", "max": 5}), -95.0, 5.0),
            (json!({"type": "integer"}), 0.0, 100.0),
            (json!({"type": "number", "min": 0.2, "max": 0.4}), 0.2, 0.4),
            (json!({"type": "number", "min": 0.123, "max": 0.124}), 0.123, 0.124),
            (json!({"type": "integer", "min": 7, "max": 7}), 7.0, 7.0),
        ] {
            let param = param(declared.clone());
            let mut random = Random::new(1, 0);
            let drawn: Vec<f64> = (0..2000)
                .map(|_| draw(&param, &[], &mut random).0.as_f64().expect("a number"))
                .collect();
            assert!(drawn.iter().all(|n| (low..=high).contains(n)), "{declared}: {drawn:?}");
            assert!(drawn.contains(&low), "{declared}");
            assert!(drawn.contains(&high) || low == 0.123, "{declared}");
        }
    }

    #[test]
    fn what_is_said_otherwise_is_read_as_the_same_value() {
        let mut random = Random::new(2, 0);
        let unit = |unit: &str| Param {
            kind: ParamKind::Number,
            unit: Unit::of(unit),
            min: Some(-99.0),
            max: Some(500.0),
            ..Param::default()
        };
        let mut spans = 0;
        for (name, after) in [("minutes", "minutes"), ("hours", "hours"), ("percent", "percent")] {
            let param = unit(name);
            for _ in 0..2000 {
                let (value, _) = draw(&param, &[], &mut random);
                let Some((said, eaten)) = otherwise(&param, &value, &[after], &mut random) else {
                    continue;
                };
                spans += eaten;
                let said =
                    if eaten == 0 { format!("{said} {after}") } else { format!("the last {said}") };
                let found = Grounds::of(&said).numbers(&param);
                assert!(found.contains(&value.as_f64().expect("a number")), "{said}: {found:?}");
            }
        }
        assert!(spans > 10, "{spans}");
        let time = param(json!({"format": "time"}));
        for _ in 0..2000 {
            let (value, _) = draw(&time, &[], &mut random);
            let (said, _) = otherwise(&time, &value, &[], &mut random).expect("words");
            let found = Grounds::of(&format!("at {said}")).times().to_vec();
            assert!(
                found.contains(&value.as_str().expect("a time").to_owned()),
                "{said} {value}: {found:?}"
            );
        }
    }

    #[test]
    fn texts_keep_their_length() {
        let param = param(json!({"max_length": 15, "verbatim": true}));
        let mut random = Random::new(3, 0);
        for _ in 0..200 {
            let (value, _) =
                draw(&param, &["just as long ok".into(), "one over by this".into()], &mut random);
            assert!(value.as_str().expect("text").chars().count() <= 15, "{value}");
        }
    }
}
