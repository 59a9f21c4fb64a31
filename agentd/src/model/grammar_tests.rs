use agentd_tools::spec::Kind;
use agentd_tools::unit::Unit;
use indexmap::IndexMap;
use llguidance::toktrie::ApproximateTokEnv;
use proptest::prelude::*;

use super::super::constrain::Constrainer;
use super::super::members::{has_free_text, written};
use super::super::native::Native;
use super::*;
use agentd_tools::spec::{Format, Param, ParamKind};
use serde_json::json;

#[path = "grammar_nested_tests.rs"]
mod nested;

fn tool(name: &str, params: impl IntoIterator<Item = (String, Param)>) -> ToolSpec {
    ToolSpec {
        name: name.to_owned(),
        description: String::new(),
        kind: Kind::Serial,
        effect: None,
        idempotent: false,
        confirm: false,
        params: params.into_iter().collect::<IndexMap<_, _>>(),
        port: None,
        send: None,
        expect: None,
        fail: None,
        verify: None,
        sql: None,
        event: None,
        priority: None,
        ttl_seconds: None,
        reply: None,
        reply_none: None,
        sentences: Vec::new(),
        examples: Vec::new(),
        timeout_ms: None,
    }
}

fn words(choices: &[&str]) -> Param {
    let choices = choices.iter().map(|&word| word.to_owned()).collect();
    Param { choices: Some(choices), ..Param::default() }
}

fn number(kind: ParamKind, min: f64, max: f64) -> Param {
    Param { kind, min: Some(min), max: Some(max), ..Param::default() }
}

fn optional(param: Param, default: impl Into<Value>) -> Param {
    Param { default: Some(default.into()), ..param }
}

/// How many bytes of `text` the grammar takes, and whether it may end there.
fn taken(grammar: &str, text: &str) -> (usize, bool) {
    let mut constrainer = Constrainer::new(&ApproximateTokEnv::single_byte_env());
    let mut matcher =
        constrainer.matcher(&grammar.into()).unwrap_or_else(|e| panic!("{e} in\n{grammar}"));
    let bytes: Vec<u32> = text.bytes().map(u32::from).collect();
    let taken = matcher.try_consume_tokens(&bytes).unwrap();
    (taken, matcher.is_stopped() || matcher.is_accepting().unwrap())
}

#[track_caller]
fn accepts(grammar: &str, text: &str) {
    assert_eq!(taken(grammar, text), (text.len(), true), "{text:?} in\n{grammar}");
}

/// Asserts that `good` is the longest beginning of `good` and `bad` that the grammar takes.
#[track_caller]
fn rejects(grammar: &str, good: &str, bad: &str) {
    assert_eq!(taken(grammar, &format!("{good}{bad}")).0, good.len(), "{good}|{bad} in\n{grammar}");
}

fn greenhouse() -> Vec<ToolSpec> {
    vec![
        tool(
            "set_output",
            [
                ("device".to_owned(), words(&["pump", "fan", "grow light", "true"])),
                ("state".to_owned(), words(&["on", "off"])),
            ],
        ),
        tool(
            "average",
            [
                ("sensor".to_owned(), words(&["temperature"])),
                ("hours".to_owned(), optional(number(ParamKind::Integer, 1.0, 168.0), 24)),
            ],
        ),
        tool("status", []),
        tool("note", [("text".to_owned(), Param { max_length: Some(5), ..Param::default() })]),
    ]
}

#[test]
fn the_declared_calls_are_taken_and_others_are_rejected_at_the_byte_that_is_wrong() {
    let specs = greenhouse();
    let grammar = calls(&specs.iter().collect::<Vec<_>>(), 2, None);
    accepts(&grammar, "none()");
    accepts(&grammar, "set_output(device=pump, state=on)");
    accepts(&grammar, "set_output(device=\"grow light\", state=off)");
    accepts(&grammar, "set_output(device=\"true\", state=off)");
    accepts(&grammar, "average(sensor=temperature)");
    accepts(&grammar, "average(sensor=temperature, hours=168)");
    accepts(&grammar, "status()\nnote(text=\"a\\n\\\"é\")");
    rejects(&grammar, "set_output(device=", "heater");
    rejects(&grammar, "set_output(device=", "true");
    rejects(&grammar, "set_output(device=pump", ")");
    rejects(&grammar, "set_output(", "state=on");
    accepts(&grammar, "set_output()");
    accepts(&grammar, "status()\naverage()");
    rejects(&grammar, "average(sensor=temperature, hours=16", "9");
    rejects(&grammar, "average(sensor=temperature, hours=", "0");
    rejects(&grammar, "average(sensor=temperature, hours=1", ".5");
    rejects(&grammar, "status(", "x=1");
    rejects(&grammar, "none()", "\n");
    rejects(&grammar, "", "explode()");
    rejects(&grammar, "status()", " ");
}

#[test]
fn a_text_in_ones_own_words_is_told_from_one_that_is_copied_or_chosen() {
    let free = Param::default();
    let copied = Param { verbatim: true, ..Param::default() };
    for (param, is_free) in [(free, true), (copied, false), (words(&["on", "off"]), false)] {
        let specs = [tool("note", [("text".to_owned(), param)])];
        let grounds = Grounds::of("note that the pump leaks");
        let ours = calls(&specs.each_ref(), 1, Some(&grounds));
        assert_eq!(has_free_text(&ours), is_free, "{ours}");
        for native in [Native::Hermes, Native::FunctionGemma] {
            let lark = native.calls(&specs, 1, Some(&grounds));
            assert_eq!(has_free_text(&lark), is_free, "{lark}");
        }
    }
}

#[test]
fn what_is_grounded_can_only_be_what_the_request_says() {
    let minutes = Param { unit: Unit::of("minutes"), ..number(ParamKind::Integer, 1.0, 240.0) };
    let time = Param { format: Some(Format::Time), ..Param::default() };
    let text = Param { verbatim: true, ..Param::default() };
    let specs = [
        tool(
            "run",
            [
                ("device".to_owned(), words(&["pump", "fan"])),
                ("minutes".to_owned(), minutes.clone()),
            ],
        ),
        tool(
            "open",
            [("minutes".to_owned(), optional(minutes, 5)), ("force".to_owned(), words(&["yes"]))],
        ),
        tool("wake", [("time".to_owned(), time)]),
        tool("note", [("text".to_owned(), text)]),
    ];
    let specs: Vec<_> = specs.iter().collect();
    let grammar = |request: &str| calls(&specs, 1, Some(&Grounds::of(request)));
    let said = grammar("run the  \"big\" pump for half an hour, at 6pm");
    accepts(&said, "run(device=pump, minutes=30)");
    accepts(&said, "run(device=fan, minutes=30)");
    rejects(&said, "run(device=pump, minutes=", "15");
    accepts(&said, "open(minutes=30, force=yes)");
    accepts(&said, "open(force=yes)");
    accepts(&said, "wake(time=\"18:00\")");
    rejects(&said, "wake(time=\"18:", "30");
    accepts(&said, r#"note(text="the \"big\" pump")"#);
    accepts(&said, r#"note(text="half an hour, at 6pm")"#);
    rejects(&said, "note(text=\"the ", "small");
    rejects(&said, "note(text=\"", "\"");
    rejects(&said, "note(text=\"pump ", "\")");
    rejects(&said, "note(text=\"", "ump");
    // What is not said can only be asked for.
    let less = grammar("run the pump");
    accepts(&less, "run()");
    rejects(&less, "run(", "device");
    accepts(&less, "wake()");
    rejects(&less, "wake(", "time");
    rejects(&less, "open(", "minutes=5");
    accepts(&less, "open(force=yes)");
    accepts(&less, "none()");
    let nothing = grammar("  ");
    rejects(&nothing, "note(", "text");
    accepts(&nothing, "note()");
    accepts(&nothing, "none()");
}

fn list(item: Param, most: Option<usize>) -> Param {
    let items = Some(Box::new(item));
    Param { kind: ParamKind::Array, items, max_items: most, ..Param::default() }
}

fn object<const N: usize>(members: [(&str, Param); N]) -> Param {
    let properties = members.into_iter().map(|(name, param)| (name.to_owned(), param)).collect();
    Param { kind: ParamKind::Object, properties, ..Param::default() }
}

fn may_be_left_out(param: Param) -> Param {
    Param { optional: true, ..param }
}

#[test]
fn the_bounds_on_calls_and_on_text_hold_at_and_one_over() {
    let specs = greenhouse();
    let specs: Vec<_> = specs.iter().collect();
    accepts(&calls(&specs, 2, None), "status()\nstatus()");
    rejects(&calls(&specs, 2, None), "status()\nstatus()", "\n");
    rejects(&calls(&specs, 1, None), "status()", "\n");
    rejects(&calls(&specs, 0, None), "status()", "\n");
    accepts(&calls(&specs, 1, None), "note(text=\"12345\")");
    rejects(&calls(&specs, 1, None), "note(text=\"12345", "6");
    let unbounded = tool("note", [("text".to_owned(), Param::default())]);
    let longest = format!("note(text=\"{}", "é".repeat(MAX_TEXT_CHARS));
    accepts(&calls(&[&unbounded], 1, None), &format!("{longest}\")"));
    rejects(&calls(&[&unbounded], 1, None), &longest, "é");
}

#[test]
fn commas_are_right_whichever_optional_parameters_are_left_out() {
    let flag = |default: bool| {
        let param = Param { kind: ParamKind::Boolean, ..Param::default() };
        if default { optional(param, false) } else { param }
    };
    for optionals in 0..8_u32 {
        let is_optional = |p: u32| optionals & (1 << p) != 0;
        let params = (0..3).map(|p| (format!("p{p}"), flag(is_optional(p))));
        let spec = tool("f", params);
        let grammar = calls(&[&spec], 1, None);
        for given in 0..8_u32 {
            let args: Vec<_> = (0..3).filter(|p| given & (1 << p) != 0).collect();
            let text: Vec<_> = args.iter().map(|p| format!("p{p}=true")).collect();
            let text = format!("f({})", text.join(", "));
            let complete = (0..3).all(|p| is_optional(p) || args.contains(&p)) || args.is_empty();
            let (length, may_end) = taken(&grammar, &text);
            assert_eq!(length == text.len() && may_end, complete, "{text} in\n{grammar}");
        }
    }
}

#[test]
fn without_tools_there_is_only_none_and_free_text_is_any_text() {
    accepts(&calls(&[], 3, None), "none()");
    rejects(&calls(&[], 3, None), "none()", "x");
    accepts(FREE_TEXT, "Any words,\neven \"these\" €.");
}

#[test]
fn what_is_not_in_the_syntax_is_not_read() {
    assert_eq!(parse_calls("none()"), Ok(Vec::new()));
    for bad in [
        "",
        "f",
        "f(",
        "f)",
        "f()x",
        "f() ",
        " f()",
        "f(a)",
        "f(a=)",
        "f(a=1,b=2)",
        "f(a=1, )",
        "f(a=1, a=2)",
        "f(a= 1)",
        "f(a=1 )",
        "f(a=\"x)",
        "f(a=x y)",
        "f(1a=2)",
        "f(a=01)",
        "f()\n",
        "f()\n\ng()",
        "f(a=[1)",
        "(a=1)",
        "f(a=tru e)",
        "f(=1)",
    ] {
        assert!(parse_calls(bad).is_err(), "{bad:?} was read as {:?}", parse_calls(bad));
    }
}

fn name() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9_]{0,9}"
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        // Eighths: every step from text to number and back is exact for them.
        any::<i32>().prop_map(|n| Value::from(f64::from(n) / 8.0)),
        ".*".prop_map(Value::from),
        "[a-z_.-]{1,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(".*", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn call() -> impl Strategy<Value = Call> {
    (name(), prop::collection::btree_map(name(), json_value(), 0..5))
        .prop_filter("none() says that there is no call", |(tool, _)| tool != "none")
        .prop_map(|(tool, args)| Call { tool, args: args.into_iter().collect() })
}

/// A parameter, and a value that it allows.
fn param() -> impl Strategy<Value = (Param, Value)> {
    let choices = prop::collection::vec(prop_oneof!["[a-z]{1,6}", "\\PC{1,8}", ".{0,4}"], 1..4);
    let param = prop_oneof![
        (choices, any::<prop::sample::Index>()).prop_map(|(choices, i)| {
            let value = Value::from(i.get(&choices).clone());
            (Param { choices: Some(choices), ..Param::default() }, value)
        }),
        // llguidance wants DEL escaped within a string, and serde_json does not escape it.
        "[^\\x7f]{0,12}".prop_map(|text| {
            let max_length = Some(text.chars().count());
            (Param { max_length, ..Param::default() }, text.into())
        }),
        (-1000_i32..1000, 0_i32..1000, 0_i32..1000).prop_map(|(n, below, above)| {
            let (min, max) = (f64::from(n - below), f64::from(n + above));
            (number(ParamKind::Integer, min, max), n.into())
        }),
        (-8000_i32..8000, 0_i32..1000, 0_i32..1000).prop_map(|(n, below, above)| {
            let eighths = |n: i32| f64::from(n) / 8.0;
            (number(ParamKind::Number, eighths(n - below), eighths(n + above)), eighths(n).into())
        }),
        any::<bool>()
            .prop_map(|b| (Param { kind: ParamKind::Boolean, ..Param::default() }, b.into())),
    ];
    (param, 0..4_u8, any::<bool>()).prop_map(
        |((param, value), nested, is_optional): ((Param, Value), u8, bool)| {
            let (param, value) = match nested {
                0 => (list(param, Some(2)), json!([value.clone(), value])),
                1 => (
                    object([("a\"", param.clone()), ("b", may_be_left_out(param))]),
                    json!({"a\"": value}),
                ),
                _ => (param, value),
            };
            (if is_optional { optional(param, Value::Null) } else { param }, value)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_printed_call_is_read_back(sent in prop::collection::vec(call(), 1..4)) {
        let text = sent.iter().map(Call::to_string).collect::<Vec<_>>().join("\n");
        prop_assert_eq!(parse_calls(&text), Ok(sent), "{}", text);
    }

    #[test]
    fn any_text_is_read_or_refused_and_never_panics(text in "\\PC*|[a-z(=,\"\\\\)\\[\\] \n]*") {
        if let Ok(read) = parse_calls(&text) {
            let printed = read.iter().map(Call::to_string).collect::<Vec<_>>().join("\n");
            let printed = if read.is_empty() { NONE.to_owned() } else { printed };
            prop_assert_eq!(parse_calls(&printed), Ok(read));
        }
    }

    #[test]
    fn the_grammar_of_any_tools_takes_their_calls_and_the_parser_reads_them(
        params in prop::collection::vec((name(), param(), any::<bool>()), 0..5), cut in any::<prop::sample::Index>()
    ) {
        let params: IndexMap<_, _> =
            params.into_iter().map(|(name, param, given)| (name, (param, given))).collect();
        let specs = [
            tool("other", []),
            tool("f", params.iter().map(|(name, ((param, _), _))| (name.clone(), param.clone()))),
        ];
        let given = params.iter().filter(|(_, ((param, _), given))| *given || param.default.is_none());
        let args = given.map(|(name, ((_, value), _))| (name.clone(), value.clone())).collect();
        let call = Call { tool: "f".to_owned(), args };
        // As the grammar wants it: free strings are always quoted.
        let text: Vec<_> = call.args.iter().map(|(key, value)| match (&params[key].0.0, value) {
            (Param { choices: Some(_), .. }, Value::String(word)) => format!("{key}={}", written(word)),
            (Param { kind: ParamKind::String, .. }, value) => format!("{key}={value}"),
            (_, value) => {
                let call = Call { tool: String::new(), args: [(key.clone(), value.clone())].into_iter().collect() };
                call.to_string().trim_start_matches('(').trim_end_matches(')').to_owned()
            }
        }).collect();
        let text = format!("f({})", text.join(", "));
        let grammar = calls(&specs.iter().collect::<Vec<_>>(), 1, None);
        prop_assert_eq!(taken(&grammar, &text), (text.len(), true), "{}\n{}", text, grammar);
        prop_assert_eq!(parse_calls(&text), Ok(vec![call]));
        // A beginning is taken too, but the answer cannot end there.
        let cut = cut.index(text.len());
        prop_assert_eq!(taken(&grammar, &String::from_utf8_lossy(&text.as_bytes()[..text.floor_char_boundary(cut)])),
            (text.floor_char_boundary(cut), false));
    }
}
