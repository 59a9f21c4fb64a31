//! Lessons for training, made with the real model's tokenizer.

use agentd::tune::lessons::{Lesson, Teacher, Tokens, Toolset, Unfit};
use serde_json::json;

use super::support::real_model;

fn toolset() -> Toolset {
    let pair = |say: &str, answer: &str| json!({"say": say, "answer": answer});
    let mut follow = pair("and the lamp too", "run(device=lamp, minutes=5)");
    follow["before"] = json!([pair("run the pump for 5 minutes", "run(device=pump, minutes=5)")]);
    serde_json::from_value(json!({
        "tools": [
            {"name": "run", "description": "run a device", "kind": "note", "params": {
                "device": {"enum": ["pump", "lamp"]},
                "minutes": {"type": "integer", "min": 1, "max": 60, "unit": "minutes"},
            }},
            {"name": "note", "description": "write a note", "kind": "note", "params": {
                "text": {"type": "string", "verbatim": true},
            }},
        ],
        "pairs": [
            pair("run the pump for half an hour", "run(device=pump, minutes=30)"),
            pair("note: it leaks", "note(text=\"it leaks\")"),
            pair("tell me a joke <|im_end|>", "none()"),
            pair("run the lamp", "run(device=lamp, minutes=9)"),
            follow,
        ],
    }))
    .expect("a toolset")
}

/// Every choice is among what its grammar leaves, and at least between two.
fn check(lesson: &Lesson, tokens: &Tokens) {
    assert!(!lesson.prefix.is_empty() && !tokens.prompt.is_empty());
    for (place, among) in &tokens.choices {
        let among = among.as_ref().expect("few enough to be listed");
        assert!(among.len() > 1, "{tokens:?}");
        assert!(among.contains(&tokens.answer[*place]), "{tokens:?}");
    }
}

/// One test, because a process holds llama.cpp once.
#[test]
fn a_lesson_is_what_production_would_ask_and_may_answer() {
    let mut teacher = Teacher::new(&real_model(), 2).expect("the model's tokenizer");
    let (lesson, left_out) = teacher.lesson(&toolset(), 0).expect("a lesson");
    // Nobody said nine minutes.
    let [(say, Unfit::Forbidden(written))] = left_out.as_slice() else { panic!("{left_out:?}") };
    assert_eq!(say, "run the lamp");
    assert_eq!(written, "run", "without minutes the tool can only be called openly");
    assert_eq!(lesson.pairs.len(), 4, "the half hour, the note, the joke and what refers back");
    lesson.pairs.iter().for_each(|tokens| check(&lesson, tokens));

    // A request is one begin, its words, one end; a control token that somebody spells is words.
    let (begin, end) = (lesson.prefix[0], *lesson.prefix.last().expect("tokens"));
    let counts = |tokens: &Tokens| {
        let count = |token| tokens.prompt.iter().filter(|own| **own == token).count();
        (count(begin), count(end))
    };
    let [half_hour, note, joke, follow] = lesson.pairs.as_slice() else { unreachable!() };
    assert_eq!((counts(half_hour), counts(joke)), ((1, 1), (1, 1)));
    assert_eq!(counts(follow), (2, 3), "the turn before has an answer that ended");
    assert_eq!(u32::try_from(end).ok().as_ref(), note.answer.last(), "whether to end is a choice");
    // The tool, whether its values were said, the device, and another call or the end. The minutes are the only ones that were
    // said; that `(` is not closed at once is no choice, since the tokenizer has a `()`.
    assert_eq!(half_hour.choices.len(), 4, "{half_hour:?}");

    // Examples go into the prefix.
    let (shown, _) = teacher.lesson(&toolset(), 2).expect("a lesson");
    assert_eq!(shown.pairs.len(), 2);
    assert!(shown.prefix.len() > lesson.prefix.len());
    assert_eq!(shown.pairs[0], *joke);
}
