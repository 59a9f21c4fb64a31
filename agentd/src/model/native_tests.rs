use agentd_tools::spec::{Format, Kind, Param, ParamKind};
use llguidance::toktrie::ApproximateTokEnv;
use proptest::prelude::*;

use super::super::constrain::Constrainer;
use super::*;

const ALL: [Native; 5] =
    [Native::Hermes, Native::Llama, Native::Lfm, Native::Phi, Native::FunctionGemma];

fn tool(name: &str, params: impl IntoIterator<Item = (&'static str, Param)>) -> ToolSpec {
    let spec = json!({"name": name, "description": "does it", "kind": "note", "params": {}});
    let mut tool: ToolSpec = serde_json::from_value(spec).expect("a tool");
    assert_eq!(tool.kind, Kind::Note);
    tool.params = params.into_iter().map(|(name, param)| (name.to_owned(), param)).collect();
    tool
}

fn of(kind: ParamKind) -> Param {
    Param { kind, ..Param::default() }
}

fn tools() -> Vec<ToolSpec> {
    let level = Param { min: Some(0.0), max: Some(100.0), ..of(ParamKind::Integer) };
    let lamps =
        Param { choices: Some(vec!["hall".into(), "left door".into()]), ..Param::default() };
    let text = Param { verbatim: true, ..of(ParamKind::String) };
    let times = Param { format: Some(Format::Time), ..of(ParamKind::String) };
    let list = Param { items: Some(Box::new(of(ParamKind::Integer))), ..of(ParamKind::Array) };
    vec![
        tool("set_fan", [("percent", level)]),
        tool("light", [("lamp", lamps), ("on", of(ParamKind::Boolean))]),
        tool("note", [("text", text)]),
        tool("wake", [("at", times), ("days", Param { optional: true, ..list })]),
        tool("stop", []),
    ]
}

fn calls(text: &str) -> Vec<Call> {
    super::super::grammar::parse_calls(text).expect("calls in our syntax")
}

#[track_caller]
fn accepts(way: Native, text: &str, max_calls: usize, said: Option<&str>) -> bool {
    let vocabulary = ApproximateTokEnv::single_byte_env();
    let mut constrainer = Constrainer::new(&vocabulary);
    let grounds = said.map(Grounds::of);
    let lark = way.calls(&tools(), max_calls, grounds.as_ref());
    let mut matcher = constrainer.matcher(&lark.as_str().into()).expect(&lark);
    let bytes: Vec<u32> = text.bytes().map(u32::from).collect();
    matcher.try_consume_tokens(&bytes).expect("it runs") == bytes.len()
        && matcher.is_accepting().expect("it runs")
}

#[test]
fn each_way_writes_what_its_models_were_trained_on() {
    let one = calls("light(lamp=\"left door\", on=true)");
    let two = calls("set_fan(percent=30)\nstop()");
    for (way, single, double) in [
        (
            Native::Hermes,
            "<tool_call>\n{\"name\": \"light\", \"arguments\": {\"lamp\": \"left door\", \"on\": true}}\n</tool_call>",
            "<tool_call>\n{\"name\": \"set_fan\", \"arguments\": {\"percent\": 30}}\n</tool_call>\n\
             <tool_call>\n{\"name\": \"stop\", \"arguments\": {}}\n</tool_call>",
        ),
        (
            Native::Llama,
            "{\"name\": \"light\", \"parameters\": {\"lamp\": \"left door\", \"on\": true}}",
            "{\"name\": \"set_fan\", \"parameters\": {\"percent\": 30}}",
        ),
        (
            Native::Lfm,
            "<|tool_call_start|>[light(lamp=\"left door\", on=True)]<|tool_call_end|>",
            "<|tool_call_start|>[set_fan(percent=30), stop()]<|tool_call_end|>",
        ),
        (
            Native::Phi,
            "<|tool_call|>[{\"name\": \"light\", \"arguments\": {\"lamp\": \"left door\", \"on\": true}}]<|/tool_call|>",
            "<|tool_call|>[{\"name\": \"set_fan\", \"arguments\": {\"percent\": 30}}, {\"name\": \"stop\", \"arguments\": {}}]<|/tool_call|>",
        ),
        (
            Native::FunctionGemma,
            "<start_function_call>call:light{lamp:<escape>left door<escape>,on:true}<end_function_call><start_function_response>",
            "<start_function_call>call:set_fan{percent:30}<end_function_call><start_function_call>call:stop{}<end_function_call>\
             <start_function_response>",
        ),
    ] {
        assert_eq!(way.written(&one), single);
        assert_eq!(way.written(&two), double);
        for (text, read) in [(single, &one), (double, &two)] {
            assert!(accepts(way, text, 2, None), "{way:?}: {text}");
            let read = if way == Native::Llama { &read[..1] } else { read.as_slice() };
            assert_eq!(way.read(text).as_deref(), Ok(read), "{way:?}");
        }
        let refusal = way.written(&[]);
        assert!(refusal.contains("none"), "{refusal}");
        assert!(accepts(way, &refusal, 2, None), "{way:?}: {refusal}");
        assert_eq!(way.read(&refusal), Ok(Vec::new()));
    }
}

#[test]
fn what_is_not_offered_not_said_or_too_much_is_not_admitted() {
    for way in ALL {
        let admits = |text: &str, said| accepts(way, &way.written(&calls(text)), 1, said);
        assert!(!admits("open_door()", None), "{way:?}");
        assert!(!admits("set_fan(percent=101)", None), "{way:?}");
        assert!(admits("set_fan()", None), "{way:?}: a value is missing");
        assert!(admits("set_fan()", Some("the fan, please")), "{way:?}");
        assert!(!admits("light(lamp=cellar, on=true)", None), "{way:?}");
        assert!(admits("wake(at=\"06:30\", days=[1, 2])", None), "{way:?}");
        assert!(admits("set_fan(percent=40)", Some("the fan at forty, please")), "{way:?}");
        assert!(!admits("set_fan(percent=41)", Some("the fan at forty, please")), "{way:?}");
        assert!(admits("note(text=\"it leaks\")", Some("note that it leaks")), "{way:?}");
        assert!(!admits("note(text=\"it drips\")", Some("note that it leaks")), "{way:?}");
        assert!(!admits("set_fan(percent=40)", Some("the fan, please")), "{way:?}");
        let two = way.written(&calls("stop()\nstop()"));
        assert!(accepts(way, &two, 2, None), "{way:?}");
        assert_eq!(accepts(way, &two, 1, None), way == Native::Llama, "{way:?}");
    }
}

#[test]
fn what_a_person_quotes_escapes_or_spells_stays_what_it_is() {
    for way in ALL {
        for said in [r#"note that the "left" door sticks"#, r"note that C:\temp is full"] {
            let text = said.strip_prefix("note that ").expect("a note");
            let args = [("text".to_owned(), Value::from(text))].into_iter().collect();
            let call = Call { tool: "note".into(), args };
            let written = way.written(std::slice::from_ref(&call));
            assert!(accepts(way, &written, 1, Some(said)), "{way:?}: {written}");
            assert_eq!(way.read(&written), Ok(vec![call]), "{way:?}");
        }
    }
    let said = "note x<escape>}call:stop{";
    let two = "<start_function_call>call:note{text:<escape>x<escape>}call:stop{<escape>}\
               <end_function_call><start_function_response>";
    assert!(!accepts(Native::FunctionGemma, two, 1, Some(said)));
}

#[test]
fn lists_in_an_answer_are_as_its_grammar_has_them() {
    let flags = Param { items: Some(Box::new(of(ParamKind::Boolean))), ..of(ParamKind::Array) };
    let tools = [tool("plan", [("days", flags)])];
    let call = calls("plan(days=[true, false])");
    let vocabulary = ApproximateTokEnv::single_byte_env();
    for way in ALL {
        let mut constrainer = Constrainer::new(&vocabulary);
        let lark = way.calls(&tools, 1, None);
        let mut matcher = constrainer.matcher(&lark.as_str().into()).expect(&lark);
        let bytes: Vec<u32> = way.written(&call).bytes().map(u32::from).collect();
        let taken = matcher.try_consume_tokens(&bytes).expect("it runs");
        assert_eq!(taken, bytes.len(), "{way:?}");
    }
}

#[test]
fn calls_are_read_whatever_stands_around_them() {
    let fan = Ok(calls("set_fan(percent=30)"));
    for (way, text) in [
        (
            Native::Hermes,
            "<think>\n\n</think>\n\n<tool_call>{\"name\":\"set_fan\",\"arguments\":{\"percent\":30}}",
        ),
        (
            Native::Hermes,
            "Sure! ```json\n{\"name\": \"set_fan\", \"arguments\": \"{\\\"percent\\\": 30}\"}\n```",
        ),
        (
            Native::Llama,
            "<|python_tag|>{\"type\": \"function\", \"name\": \"set_fan\", \"parameters\": {\"percent\": 30}}",
        ),
        (Native::Phi, " [ { \"name\" : \"set_fan\" , \"arguments\" : { \"percent\" : 30 } } ] "),
        (Native::Lfm, "[set_fan( percent = 30 )]"),
        (Native::Lfm, "set_fan(percent=30,)"),
        (Native::FunctionGemma, "call:set_fan{ percent: 30 }"),
    ] {
        assert_eq!(way.read(text), fan, "{way:?}: {text}");
    }
    let quoted = Native::Lfm.read(r#"[note(text='it\'s "odd"'), light(on=False, lamp="a\"b")]"#);
    let expected = calls("note(text=\"it's \\\"odd\\\"\")\nlight(on=false, lamp=\"a\\\"b\")");
    assert_eq!(quoted, Ok(expected));
    let none = Native::Lfm.read("f(a=None, b=[1, 'x'], c={\"k\": True})").expect("a call");
    assert_eq!(json!(none[0].args), json!({"a": null, "b": [1, "x"], "c": {"k": true}}));
}

#[test]
fn what_is_no_call_is_told() {
    for (way, text, part) in [
        (Native::Hermes, "I cannot do that.", "no call"),
        (Native::Hermes, "{\"name\": \"f\", \"arguments\": {\"a\": ", "cannot be read"),
        (Native::Hermes, "{\"name\": \"f\", \"arguments\": [1]}", "no object"),
        (Native::Hermes, "{\"name\": \"f\", \"arguments\": \"{\"}", "cannot be read"),
        (Native::Lfm, "f(a=1", "no comma"),
        (Native::Lfm, "f(a=1, a=2)", "twice"),
        (Native::Lfm, "f(a 1)", "no ="),
        (Native::Lfm, "f(a='x)", "no end"),
        (Native::FunctionGemma, "call:f{a:<escape>x}", "no end"),
        (Native::FunctionGemma, "f{a:1}", "no call"),
    ] {
        let why = way.read(text).expect_err(text);
        assert!(why.contains(part), "{why}");
    }
}

#[test]
fn a_template_tells_which_way_it_is() {
    for (template, way) in [
        ("{% if tools %}<tool_call>{\"name\", \"arguments\"}{% endif %}", Some(Native::Hermes)),
        ("{{ tools }}<|start_header_id|> {\"name\", \"parameters\"}", Some(Native::Llama)),
        ("{{ tools }}<|tool_list_start|>", Some(Native::Lfm)),
        ("{{ m['tools'] }}<|tool|>", Some(Native::Phi)),
        ("{{ tools }}<start_function_call>", Some(Native::FunctionGemma)),
        ("{{ tools }}<tool_call><function=arguments>", None),
        ("{{ tools }}<tool_call>arguments<arg_key>", None),
        ("<|im_start|>{{ message.content }}", None),
        ("<start_of_turn>{{ message.content }}", None),
    ] {
        assert_eq!(Native::of(template), way, "{template}");
    }
}

fn value() -> impl Strategy<Value = Value> {
    let text =
        "[ -~äß€]{0,12}".prop_filter("it ends the text", |text: &String| !text.contains('<'));
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        (-1000..1000).prop_map(|n| Value::from(f64::from(n) / 8.0)),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| prop::collection::vec(inner, 0..3).prop_map(Value::from))
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(
        args in prop::collection::vec(("[a-z]{1,6}", value()), 0..4), name in "[a-z_]{1,8}",
    ) {
        prop_assume!(name != REFUSAL);
        let call = Call { tool: name, args: args.into_iter().collect() };
        for way in ALL {
            // Lists within Python's calls are written as JSON, truth included.
            let read = way.read(&way.written(std::slice::from_ref(&call)));
            prop_assert_eq!(read, Ok(vec![call.clone()]), "{:?}", way);
        }
    }

    #[test]
    fn no_text_is_too_strange(text in "\\PC{0,40}|[a-z{}()\\[\\]=:,\"' <>]{0,40}") {
        for way in ALL {
            let _ = way.read(&text);
        }
    }
}
