//! What comes from a worker, from a model's file and from a model.

use std::cell::RefCell;
use std::io::Cursor;

use agentd::model::constrain::Constrainer;
use agentd::model::constraint::Constraint;
use agentd::model::frame::{
    FrameDecoder, FrameReader, FromWorker, MAX_FRAME_BYTES, ToWorker, encode,
};
use agentd::model::gguf::Header;
use agentd::model::grammar::{NONE, parse_calls};
use bytes::BytesMut;
use llguidance::toktrie::ApproximateTokEnv;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio_util::codec::Decoder as _;

use super::driver::{Target, Verdict, bounded, pieces, texts};

fn frame(json: &serde_json::Value) -> Vec<u8> {
    let mut wire = BytesMut::new();
    encode(json, &mut wire).expect("a frame");
    wire.to_vec()
}

/// The frames of a stream as the daemon reads them, whatever it is cut into; none where it is refused.
fn decoded<T: DeserializeOwned>(bytes: &[u8]) -> Option<Vec<T>> {
    let (mut decoder, mut buffer) = (FrameDecoder::<T>::default(), BytesMut::new());
    let mut frames = Vec::new();
    for piece in pieces(bytes) {
        buffer.extend_from_slice(piece);
        while let Some(frame) = decoder.decode(&mut buffer).ok()? {
            frames.push(frame);
        }
        let most = 2 * (MAX_FRAME_BYTES + bytes.len());
        assert!(buffer.capacity() <= most, "{} bytes are held", buffer.capacity());
    }
    decoder.decode_eof(&mut buffer).ok()?.is_none().then_some(frames)
}

/// Both readers of a stream agree, and what they read is read again from what is written of it.
fn frames_agree<T>(bytes: &[u8]) -> Verdict
where
    T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug,
{
    let mut reader = FrameReader::new(bytes);
    let blocking: Result<Vec<T>, _> = std::iter::from_fn(|| reader.read().transpose()).collect();
    let through_codec = decoded::<T>(bytes);
    assert_eq!(through_codec.as_ref(), blocking.as_ref().ok());
    if let Some(frames) = &through_codec {
        let mut wire = BytesMut::new();
        // A frame may be longer when it is written: `\u0001` for what was one byte is refused on both sides.
        if frames.iter().all(|frame| encode(frame, &mut wire).is_ok()) {
            assert_eq!(decoded::<T>(&wire).as_ref(), Some(frames));
        }
    }
    Verdict::of(&blocking)
}

#[test]
fn frames_of_a_worker_are_the_same_for_both_readers_and_take_bounded_memory() {
    let answer = json!({"text": "fan()", "usage": {"reused": 1, "prefilled": 2, "forced": 3,
        "sampled": 4, "grammar_us": 7, "first_token_ms": 5, "total_ms": 6}});
    let from = [
        frame(&json!({"frame": "loading", "percent": 50})),
        frame(
            &json!({"frame": "ready", "name": "m", "sha256": "00", "n_ctx": 8, "threads": 2, "device": "CPU", "load_ms": 9}),
        ),
        frame(&json!({"frame": "piece", "id": 1, "text": "é"})),
        frame(&json!({"frame": "done", "id": 1, "answer": answer})),
        frame(&json!({"frame": "fatal", "message": "no"})),
    ];
    let words = ["{\"frame\":\"stop\"}", "\"frame\":", "\"id\":", "\"piece\"", "\x10\0\0\0"];
    let corpus = from.iter().cloned().chain([from.concat(), Vec::new()]).collect();
    let target = Target { name: "worker's frame", corpus, words: &words, one_in: 1 };
    target.run(frames_agree::<FromWorker>);
    let to = [
        frame(&json!({"frame": "ask", "id": 1, "messages": [{"role": "user", "content": "hi"}],
            "grammar": {"kind": "lark", "text": "start: \"x\""}, "max_tokens": 9, "priority": "low",
            "shows": true, "deadline_ms": 100})),
        frame(&json!({"frame": "cancel", "id": 1})),
        frame(&json!({"frame": "stop"})),
    ];
    let corpus = to.iter().cloned().chain([to.concat()]).collect();
    let target = Target { name: "daemon's frame", corpus, words: &words, one_in: 2 };
    target.run(frames_agree::<ToWorker>);
}

/// A small file: a text, two numbers, a list of texts, a list of lists, one tensor of Q4_1 in 40 bytes.
fn gguf() -> Vec<u8> {
    let text = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    let number = |n: u32| n.to_le_bytes().to_vec();
    let long = |n: u64| n.to_le_bytes().to_vec();
    let mut file = [
        b"GGUF".to_vec(),
        [number(3), long(1), long(5)].concat(),
        [text("general.architecture"), number(8), text("llama")].concat(),
        [text("general.alignment"), number(4), number(32)].concat(),
        [text("llama.context_length"), number(4), number(8192)].concat(),
        [text("tokens"), number(9), number(8), long(2), text("a"), text("bc")].concat(),
        [text("lists"), number(9), number(9), long(1), number(5), long(2), long(7)].concat(),
        [text("token_embd.weight"), number(2), long(32), long(2), number(3), long(0)].concat(),
    ]
    .concat();
    file.resize(file.len().next_multiple_of(32) + 40, 0);
    file
}

#[test]
fn a_header_of_a_model_never_claims_more_than_the_file_has() {
    let target = Target {
        name: "gguf",
        corpus: vec![gguf()],
        words: &["GGUF", "general.alignment", "\x09\0\0\0\x09\0\0\0", "\x08\0\0\0", "\x0c\0\0\0"],
        one_in: 1,
    };
    target.run(|bytes| {
        let parsed = Header::parse(Cursor::new(bytes), bytes.len() as u64);
        if let Ok(header) = &parsed {
            assert!(header.needs_bytes <= bytes.len() as u64);
            assert!((2..=3).contains(&header.version));
        }
        Verdict::of(&parsed)
    });
}

#[test]
fn calls_of_a_model_are_the_same_when_they_are_written_and_read_again() {
    let target = Target {
        name: "calls",
        corpus: texts(&[
            NONE,
            "set_output(device=pump, state=on)",
            "set_speed(percent=50)\nnote(text=\"a, \\\"b\\\" = (c)\", tags=[1, {\"k\": \"v\"}], ok=true)",
            "f(x=-1.25e-7, y=null, z=18446744073709551615)",
        ]),
        words: &["(", ")", ", ", "=", "\"", "\\\"", "none()", "\n", "a=b", "true", "[[", "}"],
        one_in: 1,
    };
    target.run(|text| {
        let text = String::from_utf8_lossy(text);
        let parsed = parse_calls(&text);
        if let Ok(calls) = &parsed {
            let written: Vec<String> = calls.iter().map(ToString::to_string).collect();
            let written = if calls.is_empty() { NONE.to_owned() } else { written.join("\n") };
            assert_eq!(parse_calls(&written).as_ref(), Ok(calls), "{written}");
        }
        Verdict::of(&parsed)
    });
}

/// Any constraint is compiled or refused with a reason, and what is translated says no more than it was told.
#[test]
fn constraints_are_compiled_or_refused_and_never_break_the_compiler() {
    let judge = |of: fn(String) -> Option<Constraint>| {
        let vocabulary = ApproximateTokEnv::single_byte_env();
        let constrainer = RefCell::new(Constrainer::new(&vocabulary));
        move |text: &[u8]| {
            let Some(constraint) = of(String::from_utf8_lossy(text).into_owned()) else {
                return Verdict::Refused;
            };
            let compiled = constrainer.borrow_mut().matcher(&constraint);
            if let Err(why) = &compiled {
                assert!(!why.is_empty());
                bounded(why, 2000);
            }
            Verdict::of(&compiled)
        }
    };
    let gbnf = texts(&[
        "root ::= greeting (\", \" name){0,3} \"!\" # a comment\ngreeting ::= \"hi\" | \"hello\"\nname ::= [A-Z] [^a-z\\n]*",
        "root ::= \"(\" (root | [0-9]+)? \")\"\n",
    ]);
    let words = [
        "::=", "root", "|", "(", ")", "[", "]", "[^", "\\x41", "{2,3}", "{2000}", "*", "\"", "\n",
        ".",
    ];
    let target = Target { name: "gbnf", corpus: gbnf, words: &words, one_in: 4 };
    target.run(judge(|text| Some(Constraint::Gbnf(text))));
    let regex = texts(&["[a-z]+(, [A-Z]{2,3})*\\.?", "(?i:on|off)|\\d{1,3}%"]);
    let words = ["(?:", "(?P<a>", ")", "|", "{3}", "*?", "[^", "\\p{L}", "\\b", "^", "$", "/"];
    let target = Target { name: "regex", corpus: regex, words: &words, one_in: 4 };
    target.run(judge(|text| Some(Constraint::Regex(text))));
    let lark =
        texts(&["start: \"a\" b{1,3} | C\nb: /[x-z]+/ C?\nC: \"c\"..\"e\" & ~\"d\"\n%ignore / +/"]);
    let words = [
        "start: ",
        "|",
        "(",
        ")",
        "%json {}",
        "%regex {}",
        "%ignore",
        "A",
        "b",
        "~",
        "&",
        "{1,9}",
        "\n",
    ];
    let target = Target { name: "lark", corpus: lark, words: &words, one_in: 4 };
    target.run(judge(|text| Some(Constraint::Lark(text))));
    let schema = texts(&[
        r##"{"type":"object","properties":{"a":{"type":"string","pattern":"^a|b+$","maxLength":9},"b":{"$ref":"#/$defs/c"}},
            "required":["a"],"additionalProperties":false,"$defs":{"c":{"enum":[1,"x",null]}}}"##,
        r#"{"anyOf":[{"type":"integer","minimum":-5,"multipleOf":2},{"type":"array","items":{"format":"date"},"minItems":1}]}"#,
    ]);
    let words = [
        "\"not\":{}",
        "\"$ref\":\"#\"",
        "\"type\":",
        "{}",
        "true",
        "\"allOf\":[",
        "1e300",
        "\"minItems\":",
    ];
    let target = Target { name: "schema", corpus: schema, words: &words, one_in: 4 };
    target.run(judge(|text| Some(Constraint::JsonSchema(serde_json::from_str(&text).ok()?))));
}
