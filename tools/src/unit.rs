//! Units of measurement, as a declaration names them and as people say them.
//!
//! A unit is a straight line to the first unit of its dimension: `base = value * factor + offset`. Only what
//! has one meaning is here: a gallon, which is two different volumes, is not, and neither is `in`, which
//! is a word.

use serde::{Deserialize, Serialize};

use crate::near::did_you_mean;

/// What a unit measures. Values convert within one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dimension {
    /// Seconds.
    Time,
    /// Degrees Celsius.
    Temperature,
    /// Degrees.
    Angle,
    /// Percent.
    Share,
    /// Grams.
    Mass,
    /// Millilitres.
    Volume,
    /// Millimetres.
    Length,
    /// Revolutions a minute.
    Rotation,
    /// Millibar.
    Pressure,
    /// Watts.
    Power,
    /// Watt hours.
    Energy,
    /// Millivolts.
    Voltage,
    /// Milliamperes.
    Current,
    /// Hertz.
    Frequency,
    /// Lux.
    Illuminance,
    /// Parts per million.
    Concentration,
    /// Decibels.
    Level,
    /// Metres a second.
    Speed,
    /// Cents, of the one currency that a machine takes.
    Money,
}

/// One unit.
#[derive(Debug, PartialEq)]
struct Entry {
    dimension: Dimension,
    factor: f64,
    offset: f64,
    /// How it is written and said; the first one is its name.
    words: &'static [&'static str],
}

const fn unit(dimension: Dimension, factor: f64, words: &'static [&'static str]) -> Entry {
    Entry { dimension, factor, offset: 0.0, words }
}

use Dimension as D;

static UNITS: &[Entry] = &[
    unit(D::Time, 0.001, &["milliseconds", "millisecond", "ms"]),
    unit(D::Time, 1.0, &["seconds", "second", "secs", "sec", "s"]),
    unit(D::Time, 60.0, &["minutes", "minute", "mins", "min"]),
    unit(D::Time, 3600.0, &["hours", "hour", "hrs", "hr", "h"]),
    unit(D::Time, 86_400.0, &["days", "day", "d"]),
    unit(D::Time, 604_800.0, &["weeks", "week"]),
    unit(D::Time, 1_209_600.0, &["fortnights", "fortnight"]),
    // As people count them where a day more or less does not matter.
    unit(D::Time, 2_592_000.0, &["months", "month"]),
    unit(D::Time, 31_536_000.0, &["years", "year"]),
    unit(D::Temperature, 1.0, &["celsius", "c", "°c", "centigrade"]),
    Entry {
        dimension: D::Temperature,
        factor: 5.0 / 9.0,
        offset: -160.0 / 9.0,
        words: &["fahrenheit", "f", "°f"],
    },
    Entry {
        dimension: D::Temperature,
        factor: 1.0,
        offset: -273.15,
        words: &["kelvin", "kelvins", "k"],
    },
    unit(D::Angle, 1.0, &["degrees", "degree", "deg", "°"]),
    unit(D::Share, 1.0, &["percent", "%", "pct", "percents"]),
    unit(D::Mass, 0.001, &["milligrams", "milligram", "mg"]),
    unit(D::Mass, 1.0, &["grams", "gram", "g", "grammes", "gramme"]),
    unit(D::Mass, 1000.0, &["kilograms", "kilogram", "kg", "kgs", "kilos", "kilo"]),
    unit(D::Mass, 1_000_000.0, &["tonnes", "tonne", "t"]),
    unit(D::Mass, 453.592_37, &["pounds", "pound", "lbs", "lb"]),
    unit(D::Mass, 28.349_523_125, &["ounces", "ounce", "oz"]),
    unit(D::Volume, 1.0, &["millilitres", "millilitre", "ml", "milliliters", "milliliter", "mils"]),
    unit(D::Volume, 10.0, &["centilitres", "centilitre", "cl", "centiliters", "centiliter"]),
    unit(D::Volume, 1000.0, &["litres", "litre", "l", "liters", "liter"]),
    unit(D::Volume, 100_000.0, &["hectolitres", "hectolitre", "hl", "hectoliters", "hectoliter"]),
    unit(D::Volume, 1_000_000.0, &["cubic_metres", "m3"]),
    unit(D::Length, 1.0, &["millimetres", "millimetre", "mm", "millimeters", "millimeter"]),
    unit(D::Length, 10.0, &["centimetres", "centimetre", "cm", "centimeters", "centimeter"]),
    unit(D::Length, 1000.0, &["metres", "metre", "m", "meters", "meter"]),
    unit(D::Length, 1_000_000.0, &["kilometres", "kilometre", "km", "kilometers", "kilometer"]),
    unit(D::Length, 25.4, &["inches", "inch"]),
    unit(D::Length, 304.8, &["feet", "foot", "ft"]),
    unit(D::Rotation, 1.0, &["rpm", "revs", "revolutions"]),
    unit(D::Pressure, 1.0, &["millibar", "millibars", "mbar", "hectopascals", "hpa"]),
    unit(D::Pressure, 1000.0, &["bar", "bars"]),
    unit(D::Pressure, 0.01, &["pascals", "pascal", "pa"]),
    unit(D::Pressure, 10.0, &["kilopascals", "kilopascal", "kpa"]),
    unit(D::Pressure, 68.947_572_93, &["psi"]),
    unit(D::Power, 1.0, &["watts", "watt", "w"]),
    unit(D::Power, 1000.0, &["kilowatts", "kilowatt", "kw"]),
    unit(D::Energy, 1.0, &["watt_hours", "wh"]),
    unit(D::Energy, 1000.0, &["kilowatt_hours", "kwh"]),
    unit(D::Voltage, 1.0, &["millivolts", "millivolt", "mv"]),
    unit(D::Voltage, 1000.0, &["volts", "volt", "v"]),
    unit(D::Current, 1.0, &["milliamps", "milliamp", "ma", "milliamperes"]),
    unit(D::Current, 1000.0, &["amps", "amp", "amperes", "ampere"]),
    unit(D::Frequency, 1.0, &["hertz", "hz"]),
    unit(D::Frequency, 1000.0, &["kilohertz", "khz"]),
    unit(D::Illuminance, 1.0, &["lux", "lx"]),
    unit(D::Concentration, 1.0, &["ppm"]),
    unit(D::Level, 1.0, &["decibels", "decibel", "db"]),
    unit(D::Speed, 1.0, &["metres_per_second", "m/s"]),
    unit(D::Speed, 1.0 / 3.6, &["kilometres_per_hour", "km/h", "kph"]),
    unit(D::Speed, 0.514_444_444, &["knots", "knot"]),
    unit(D::Money, 1.0, &["cents", "cent"]),
    unit(D::Money, 100.0, &["euros", "euro", "€"]),
    unit(D::Money, 100.0, &["dollars", "dollar", "bucks", "$"]),
];

/// A unit of measurement. In a declaration it is a word, as `minutes`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Unit(&'static Entry);

/// There is no such unit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no unit `{given}`{hint}")]
pub struct UnknownUnit {
    given: String,
    /// The one that was perhaps meant, in words.
    hint: String,
}

impl Unit {
    /// The unit that a lower-case word means.
    pub fn of(word: &str) -> Option<Self> {
        UNITS.iter().find(|unit| unit.words.contains(&word)).map(Self)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.0.words.first().copied().unwrap_or_default()
    }

    /// What it measures.
    pub fn dimension(self) -> Dimension {
        self.0.dimension
    }

    /// A value of this unit in another one; none where they measure different things.
    pub fn convert(self, value: f64, to: Self) -> Option<f64> {
        // "20 degrees" are whatever the scale at hand counts.
        let is_scale = |unit: Self| matches!(unit.dimension(), D::Temperature | D::Angle);
        if self == to || (self.dimension() == D::Angle && is_scale(to)) {
            return Some(value);
        }
        (self.dimension() == to.dimension())
            .then(|| (value * self.0.factor + self.0.offset - to.0.offset) / to.0.factor)
    }
}

impl TryFrom<String> for Unit {
    type Error = UnknownUnit;

    fn try_from(given: String) -> Result<Self, UnknownUnit> {
        Self::of(&given.to_lowercase()).ok_or_else(|| {
            let names = UNITS.iter().filter_map(|unit| unit.words.first().copied());
            let hint = did_you_mean(&given, names);
            UnknownUnit { given, hint }
        })
    }
}

impl From<Unit> for String {
    fn from(unit: Unit) -> Self {
        unit.name().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(word: &str) -> Unit {
        Unit::of(word).unwrap_or_else(|| panic!("no unit {word}"))
    }

    #[test]
    fn values_convert_within_their_dimension_and_nowhere_else() {
        for (value, from, to, expected) in [
            (2.0, "minutes", "seconds", 120.0),
            (90.0, "seconds", "minutes", 1.5),
            (1.0, "week", "hours", 168.0),
            (1.5, "kg", "grams", 1500.0),
            (0.25, "litres", "ml", 250.0),
            (68.0, "fahrenheit", "celsius", 20.0),
            (20.0, "celsius", "fahrenheit", 68.0),
            (0.0, "celsius", "kelvin", 273.15),
            (2.0, "bar", "kilopascals", 200.0),
        ] {
            let converted = unit(from).convert(value, unit(to)).expect("the same dimension");
            assert!((converted - expected).abs() < 1e-9, "{value} {from} are {converted} {to}");
        }
        assert_eq!(unit("minutes").convert(2.0, unit("celsius")), None);
        assert_eq!(unit("degrees").convert(21.0, unit("fahrenheit")), Some(21.0));
        assert_eq!(unit("celsius").convert(21.0, unit("degrees")), None);
    }

    #[test]
    fn no_word_means_two_units() {
        let mut words: Vec<&str> = UNITS.iter().flat_map(|unit| unit.words).copied().collect();
        let all = words.len();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), all);
    }

    #[test]
    fn a_unit_that_is_none_is_refused_with_the_one_that_was_meant() {
        let error = serde_json::from_str::<Unit>("\"minuts\"").expect_err("no unit").to_string();
        assert!(error.contains("there is no unit `minuts` (did you mean `minutes`?)"), "{error}");
        let unit: Unit = serde_json::from_str("\"Minutes\"").expect("a unit");
        assert_eq!(serde_json::to_string(&unit).expect("a name"), "\"minutes\"");
    }
}
