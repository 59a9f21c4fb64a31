//! What comes from a serial device, what goes to it, and the arguments in between.

use std::collections::BTreeSet;

use agentd_tools::line::{Frame, LineBuffer, MAX_LINE_BYTES, escape};
use agentd_tools::template::{MAX_BYTES, Template};
use agentd_tools::{Args, ToolSpec, args};
use serde_json::{Map, Value, json};

use super::driver::{Target, Verdict, bounded, pieces, plain, texts};

#[test]
fn lines_are_the_same_however_the_bytes_are_cut_into_reads() {
    let target = Target {
        name: "serial line",
        corpus: vec![
            b"OK\r\nT=21.5 H=62\r\n".to_vec(),
            b"ERR door is open;\rOK;\r".to_vec(),
            b"\xb0C\nTICK\nTICK\n".to_vec(),
            [&vec![b'x'; MAX_LINE_BYTES][..], b"\nOK\n"].concat(),
        ],
        words: &["\n", "\r\n", "\r", ";\r", "aab", "aaab"],
        one_in: 2,
    };
    target.run(|bytes| {
        for ending in ["\n", "\r\n", ";\r", "aab"] {
            let whole = LineBuffer::new(ending).push(bytes);
            let mut buffer = LineBuffer::new(ending);
            let parts: Vec<Frame> =
                pieces(bytes).into_iter().flat_map(|piece| buffer.push(piece)).collect();
            assert_eq!(parts, whole, "{ending:?}");
            for frame in &whole {
                let Frame::Line { text, wire } = frame else { continue };
                assert!(!text.contains(ending), "{text:?}");
                bounded(text, MAX_LINE_BYTES);
                plain(wire);
            }
        }
        plain(&escape(bytes));
        Verdict::Accepted
    });
}

#[test]
fn a_template_shows_each_of_its_places_and_is_never_sent_with_a_hole() {
    let target = Target {
        name: "template",
        corpus: texts(&["SET {device} {state}", "It is {t:.1} degrees {{at}} {h:.0} %.", "OK"]),
        words: &["{", "}", "{{", "}}", "{device}", "{t:.15}", "{t:.16}", ":", "{a:b}", "{größe}"],
        one_in: 1,
    };
    target.run(|text| {
        let text = String::from_utf8_lossy(text);
        let parsed = Template::parse(&text);
        match &parsed {
            Ok(template) => {
                assert!(text.len() <= MAX_BYTES);
                let names: BTreeSet<&str> = template.places().collect();
                let values: Map<String, Value> =
                    names.iter().map(|name| ((*name).to_owned(), json!(21))).collect();
                let shown = template.render(&values).expect("all places have their values");
                assert!(shown.matches("21").count() >= template.places().count(), "{shown}");
                for name in names {
                    let mut fewer = values.clone();
                    fewer.remove(name);
                    assert!(template.render(&fewer).is_err(), "{name} is missing");
                }
            }
            Err(error) => bounded(&error.to_string(), MAX_BYTES + 200),
        }
        Verdict::of(&parsed)
    });
}

fn tool() -> ToolSpec {
    serde_json::from_value(json!({
        "name": "fan", "description": "d", "kind": "serial",
        "params": {
            "device": {"enum": ["Fan", "pump", "fan_two"]},
            "speed": {"type": "integer", "min": 0, "max": 100},
            "level": {"type": "number", "min": 0.5, "max": 1e9, "default": 1},
            "gentle": {"type": "boolean", "default": false},
            "why": {"max_length": 40, "default": ""},
        },
    }))
    .expect("a tool")
}

#[test]
fn arguments_that_pass_pass_again_unchanged_and_cannot_break_out_of_a_line() {
    let target = Target {
        name: "arguments",
        corpus: texts(&[
            r#"{"device":"fan","speed":30}"#,
            r#"{"device":"PUMP","speed":" 7 ","level":"2.5","gentle":"TRUE","why":7}"#,
            r#"{"device":"fan_two","speed":1e2,"level":null,"why":"ä"}"#,
        ]),
        words: &[
            "\"speed\":",
            "\"device\":",
            "\"sped\":1,",
            "\"a\":1,",
            "\\n",
            "\\u0085",
            "NaN",
            "inf",
        ],
        one_in: 1,
    };
    let tool = tool();
    target.run(|text| {
        let Ok(given) = serde_json::from_slice::<Args>(text) else { return Verdict::Refused };
        let checked = args::check_args(&tool, &given);
        match &checked {
            Ok(args) => {
                assert_eq!(args::check_args(&tool, args).as_ref(), Ok(args));
                assert!(args.keys().eq(tool.params.keys()), "all of them, in declared order");
                args.values().filter_map(Value::as_str).for_each(plain);
            }
            Err(errors) => {
                bounded(&errors.to_string(), 1000);
                plain(&errors.to_string());
            }
        }
        Verdict::of(&checked)
    });
}
