use agentd_tools::unit::Unit;

use super::*;

fn number(kind: ParamKind, unit: &str) -> Param {
    let unit = (!unit.is_empty()).then(|| Unit::of(unit).expect("a unit"));
    Param { kind, unit, ..Param::default() }
}

#[track_caller]
fn check(kind: ParamKind, request: &str, unit: &str, expected: &[f64]) {
    let found = Grounds::of(request).numbers(&number(kind, unit));
    assert_eq!(found, expected, "{request:?} in {unit:?}");
}

#[test]
fn numbers_are_read_as_people_say_them() {
    for (request, expected) in [
        ("set it to 22", &[22.0][..]),
        ("set it to twenty-two please", &[22.0][..]),
        ("two hundred and fifty", &[250.0][..]),
        ("two fifty", &[250.0][..]),
        ("one hundred twenty five", &[125.0][..]),
        ("a hundred", &[100.0][..]),
        ("one thousand and fifteen", &[1015.0][..]),
        ("a thousand and fifty", &[1050.0][..]),
        ("two and a half thousand", &[2500.0][..]),
        ("point five", &[0.5][..]),
        ("nought point five", &[0.5][..]),
        ("oh point two five", &[0.25][..]),
        ("the point is clear", &[][..]),
        ("two thousand and fifty five", &[2055.0][..]),
        ("one thousand erm four hundred and ten", &[1410.0][..]),
        ("a thousand two hundred", &[1200.0][..]),
        ("1,500 of them", &[1500.0][..]),
        ("0,5", &[0.5][..]),
        ("one point five", &[1.5][..]),
        ("twenty one point oh five", &[21.05][..]),
        ("minus five", &[-5.0][..]),
        ("-3.5", &[-3.5][..]),
        ("two and a half", &[2.5][..]),
        ("2 1/2", &[2.5][..]),
        ("three quarters", &[0.75][..]),
        ("half a dozen", &[6.0][..]),
        ("a dozen", &[12.0][..]),
        ("a couple of them", &[2.0][..]),
        ("from 3 to 7", &[3.0, 7.0][..]),
        ("seven five", &[7.0, 5.0][..]),
        ("valve 2, 20 of it", &[2.0, 20.0][..]),
        ("turn it off", &[][..]),
        ("twelve hundred", &[1200.0][..]),
        ("twelve below zero", &[-12.0][..]),
        ("a fifth", &[0.2][..]),
        ("two fifths", &[0.4][..]),
        ("the second valve", &[2.0][..]),
        ("on the eighth", &[8.0][..]),
        ("twice", &[2.0][..]),
        ("no more than $120", &[120.0][..]),
        ("-$5", &[-5.0][..]),
        ("x=5 and y=-7.5", &[5.0, -7.5][..]),
        ("the points (3,-4) and [5, 12]", &[3.0, -4.0, 5.0, 12.0][..]),
    ] {
        check(ParamKind::Number, request, "", expected);
    }
}

#[test]
fn what_is_surely_a_time_of_day_measures_nothing_and_what_may_be_a_value_stays_one() {
    for (request, unit, expected) in [
        ("feed the bull daily at six p m, eight kilos", "kilograms", &[8.0][..]),
        ("from ten p m no eleven p.m. the bedroom goes to sixteen", "celsius", &[16.0][..]),
        ("at half past six in the evening run it for 10", "minutes", &[10.0][..]),
        ("twenty minutes past nine, for an hour", "minutes", &[60.0][..]),
        ("half past six, ten litres", "litres", &[10.0][..]),
        ("at six o'clock, eight kilos", "kilograms", &[8.0][..]),
        ("at 630 pm", "litres", &[][..]),
        // With another number it is taken for a time, and alone for what is wanted.
        ("at seven in the morning, kitchen to 20.5", "celsius", &[20.5][..]),
        ("quarter to seven tomorrow morning, kitchen to 20.5", "celsius", &[20.5][..]),
        ("7 in the morning is better", "minutes", &[7.0][..]),
        ("heat to 10 in the morning", "celsius", &[10.0][..]),
        ("lower it by five tonight", "celsius", &[5.0][..]),
        ("feed them 500 in the morning", "grams", &[500.0][..]),
        ("make it 7.5 tonight", "celsius", &[7.5][..]),
        // It may be either.
        ("at six, ten kilos", "kilograms", &[6.0, 10.0][..]),
        ("from 18 to 22", "celsius", &[18.0, 22.0][..]),
        ("open the vents a quarter before ten", "percent", &[25.0, 75.0, 10.0][..]),
        // A parameter without a unit may be the hour itself.
        ("at six p m", "", &[6.0][..]),
    ] {
        check(ParamKind::Number, request, unit, expected);
    }
}

#[test]
fn a_quantity_is_given_in_the_unit_that_the_parameter_has() {
    for (request, unit, expected) in [
        ("for half an hour", "minutes", &[30.0][..]),
        ("two minutes", "seconds", &[120.0][..]),
        ("90 seconds", "seconds", &[90.0][..]),
        ("an hour and twenty minutes", "minutes", &[80.0][..]),
        ("1 hour 20 minutes", "minutes", &[80.0][..]),
        ("1h 20min", "minutes", &[80.0][..]),
        ("an hour and a half", "minutes", &[90.0][..]),
        ("two and a half hours", "minutes", &[150.0][..]),
        ("three quarters of an hour", "minutes", &[45.0][..]),
        ("a quarter of an hour", "minutes", &[15.0][..]),
        ("a couple of minutes", "seconds", &[120.0][..]),
        ("the average over the past week", "hours", &[168.0][..]),
        ("since yesterday", "hours", &[24.0][..]),
        ("in the last 3 days", "hours", &[72.0][..]),
        ("give it a minute", "seconds", &[60.0][..]),
        ("1.5kg", "grams", &[1500.0][..]),
        ("20 degrees celsius", "celsius", &[20.0][..]),
        ("68°F", "celsius", &[20.0][..]),
        ("21 degrees", "celsius", &[21.0][..]),
        ("50%", "percent", &[50.0][..]),
        ("sixty per cent", "percent", &[60.0][..]),
        ("half full", "percent", &[50.0][..]),
        ("a quarter of it", "percent", &[25.0, 75.0][..]),
        ("over the whole previous week", "hours", &[168.0][..]),
        ("this past week's average", "hours", &[168.0][..]),
        ("a full minute", "seconds", &[60.0][..]),
        ("one and a half cubic metres", "litres", &[1500.0][..]),
        ("for one minute, no, make that two", "seconds", &[60.0, 2.0, 120.0][..]),
        ("ate bar", "bar", &[8.0][..]),
        ("fifty to degrees", "celsius", &[52.0][..]),
        ("to twenty won", "celsius", &[21.0][..]),
        ("for tea percent", "percent", &[40.0][..]),
        ("for for minutes", "seconds", &[240.0][..]),
        ("for kilos", "kilograms", &[4.0][..]),
        ("the last for hours", "hours", &[4.0][..]),
        ("leave it on for hours", "minutes", &[][..]),
        ("half an our", "minutes", &[30.0][..]),
        ("four sixty seconds", "seconds", &[460.0, 60.0][..]),
        ("ten um minutes", "seconds", &[600.0][..]),
        ("five degrees below zero", "celsius", &[-5.0][..]),
        ("four degrees under freezing", "celsius", &[-4.0][..]),
        ("an hour ten", "minutes", &[70.0][..]),
        ("an hour and ten", "minutes", &[70.0][..]),
        ("one hour fifteen", "minutes", &[75.0][..]),
        ("1h 30", "minutes", &[90.0][..]),
        ("1 hr 20", "minutes", &[80.0][..]),
        ("an hour and two lamps", "minutes", &[60.0, 2.0, 120.0][..]),
        ("a kilo two hundred", "grams", &[1200.0][..]),
        ("two an a half hours", "minutes", &[150.0][..]),
        ("hour and a half", "minutes", &[90.0][..]),
        ("two ours", "minutes", &[120.0][..]),
        ("four half an hour", "minutes", &[30.0][..]),
        ("20 five percent", "percent", &[25.0][..]),
        ("twenty 5 percent", "percent", &[25.0][..]),
        ("twenty 5 valves", "percent", &[20.0, 5.0][..]),
        ("six tea percent", "percent", &[60.0][..]),
        ("hundred percent", "percent", &[100.0][..]),
        ("twentyfive minutes", "minutes", &[25.0][..]),
        ("fourty minutes", "minutes", &[40.0][..]),
        ("output four an hour and fifteen minutes", "minutes", &[4.0, 240.0, 75.0][..]),
        ("22 degrees for 10 minutes", "minutes", &[10.0][..]),
        ("22 degrees for 10 minutes", "celsius", &[22.0][..]),
        ("the two of us are cold, 22 degrees", "celsius", &[2.0, 22.0][..]),
        ("two dollars fifty", "cents", &[250.0][..]),
        ("put $250 aside", "dollars", &[250.0][..]),
        ("a budget of $1,500", "dollars", &[1500.0][..]),
        ("€3 each", "cents", &[300.0][..]),
        ("put $5 thousand aside", "dollars", &[5000.0][..]),
        ("$3 hundred", "dollars", &[300.0][..]),
        ("about $5k", "dollars", &[][..]),
        ("95 cents", "cents", &[95.0][..]),
        ("one metre eighty", "centimetres", &[180.0][..]),
        ("for twenty", "minutes", &[20.0][..]),
        ("for twenty", "", &[20.0][..]),
    ] {
        check(ParamKind::Integer, request, unit, expected);
    }
}

#[test]
fn a_value_outside_the_bounds_or_not_whole_is_none() {
    let bounded = |kind| Param { min: Some(5.0), max: Some(30.0), ..number(kind, "") };
    let grounds = Grounds::of("4 5 30 31 7.5");
    assert_eq!(grounds.numbers(&bounded(ParamKind::Integer)), [5.0, 30.0]);
    assert_eq!(grounds.numbers(&bounded(ParamKind::Number)), [5.0, 30.0, 7.5]);
    assert_eq!(Grounds::of("at full speed").numbers(&bounded(ParamKind::Integer)), [30.0]);
    let hour = Param { min: Some(0.0), max: Some(23.0), ..number(ParamKind::Integer, "") };
    assert_eq!(Grounds::of("at half past four in the morning").numbers(&hour), [4.0]);
    let open = Param { min: Some(0.0), max: Some(100.0), ..number(ParamKind::Integer, "percent") };
    assert_eq!(Grounds::of("shut it").numbers(&open), [100.0, 0.0], "whatever the share is of");
    assert_eq!(Grounds::of("down to the minimum").numbers(&bounded(ParamKind::Integer)), [5.0]);
}

#[test]
fn times_of_day_are_read_and_both_halves_are_given_where_none_is_said() {
    for (request, expected) in [
        ("at 18:30", &["18:30"][..]),
        ("at 6:30", &["06:30", "18:30"]),
        ("at 06:30", &["06:30"]),
        ("6pm", &["18:00"]),
        ("6.45 p.m.", &["18:45"]),
        ("12am", &["00:00"]),
        ("half past six", &["06:30", "18:30"]),
        ("half six", &["06:30", "18:30"]),
        ("a quarter to seven in the evening", &["18:45"]),
        ("quarter to one", &["00:45", "12:45"]),
        ("ten past eight", &["08:10", "20:10"]),
        ("twenty to nine tonight", &["20:40"]),
        ("by seven in the morning", &["07:00"]),
        ("at six", &["06:00", "18:00"]),
        ("at six thirty", &["06:30", "18:30"]),
        ("eight o'clock", &["08:00", "20:00"]),
        ("curtain three to one in the afternoon", &["13:00"]),
        ("three minutes to one", &["00:57", "12:57"]),
        ("at 2 10 am", &["02:00", "14:00", "10:00", "02:10"]),
        ("from 10 to 6", &["10:00", "22:00", "06:00", "18:00"]),
        ("five past 9 pm", &["21:05"]),
        ("ten to midnight", &["23:50"]),
        ("half past noon", &["12:30"]),
        ("half passed six", &["06:30", "18:30"]),
        ("six oh five pm", &["18:05"]),
        ("at 630 pm", &["18:30"]),
        ("at 1830", &["18:30"]),
        ("at 0630", &["06:30", "18:30"]),
        ("at 6.30", &["06:30", "18:30"]),
        ("at eighteen hundred", &["18:00"]),
        ("at 1875", &[]),
        ("six o clock", &["06:00", "18:00"]),
        ("six this evening", &["18:00"]),
        ("8 every evening", &["20:00"]),
        ("six in the early evening", &["18:00"]),
        ("from 9 to 6", &["09:00", "21:00", "06:00", "18:00"]),
        ("turn it from 30 to 60", &[]),
        ("noon", &["12:00"]),
        ("at midnight", &["00:00"]),
        ("from 22 until 6", &["22:00", "06:00", "18:00"]),
        ("2 at night", &["02:00"]),
        ("from ten p m", &["22:00"]),
        ("at ate in the morning", &["08:00"]),
        ("six valves", &[]),
        ("half an hour", &[]),
        ("set it to 22", &[]),
    ] {
        assert_eq!(Grounds::of(request).times(), expected, "{request:?}");
    }
}

#[test]
fn the_pieces_of_a_request_make_it_again_but_for_its_spaces() {
    let chunks = lexer::chunks(" Note: it's  \"done\",\n grüß dich. ");
    assert_eq!(chunks.concat(), "Note: it's \"done\", grüß dich.");
    assert_eq!(&chunks[..4], ["Note", ":", " ", "it's"]);
}

#[test]
fn the_bounds_hold_at_and_one_over() {
    let counted = |n: usize| (0..n).map(|n| format!("{n}.")).collect::<Vec<_>>().join(" and ");
    let found = |n| Grounds::of(&counted(n)).numbers(&number(ParamKind::Integer, "")).len();
    assert_eq!(found(MAX_VALUES), MAX_VALUES);
    assert_eq!(found(MAX_VALUES + 1), MAX_VALUES);
    let late = |before: usize| format!("{}7", "so ".repeat(before));
    let finds =
        |text: String| !Grounds::of(&text).numbers(&number(ParamKind::Integer, "")).is_empty();
    assert!(finds(late(MAX_WORDS - 1)));
    assert!(!finds(late(MAX_WORDS)));
}

proptest::proptest! {
    #[test]
    fn no_request_is_too_strange(request in "\\PC*", words in proptest::collection::vec("(half|a|an|and|six|twenty|to|past|point|minus|hour|the|[0-9:.,/-]{1,5})", 0..12)) {
        let _ = Grounds::of(&request);
        let _ = Grounds::of(&words.join(" "));
    }
}

#[test]
fn what_was_said_before_gives_its_values_and_not_its_words() {
    let minutes = number(ParamKind::Integer, "minutes");
    let grounds = Grounds::of("and the left pump for ten minutes")
        .and_before("run the right pump half an hour at 6 pm");
    assert_eq!(grounds.numbers(&minutes), [10.0, 30.0]);
    assert_eq!(grounds.times(), ["18:00"]);
    assert_eq!(grounds.chunks(), Grounds::of("and the left pump for ten minutes").chunks());
    assert_eq!(Grounds::of("again").and_before(""), Grounds::of("again"));
}
