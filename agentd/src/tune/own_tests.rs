use agentd_tools::args::check_args;
use serde_json::json;

use super::*;
use crate::model::grammar::{is_open, parse_calls};
use crate::store::feedback::{Said, Verdict};

fn demo() -> Vec<ToolSpec> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/demo.toml");
    crate::config::Config::load(&path).expect("the demo's config").tool
}

fn json_of(toolsets: &[Toolset]) -> Vec<String> {
    toolsets.iter().map(|toolset| toolset.to_json().to_string()).collect()
}

#[test]
fn a_seed_decides_everything_and_another_seed_decides_otherwise() {
    let tools = demo();
    let made = |seed| {
        let own = Own::new(&tools, 2, seed).expect("good sentences");
        let held_out = own.held_out().toolset;
        let learnt = own.toolsets(Purpose::Lessons, 4, 24, &sentences(&held_out.pairs));
        (json_of(&[held_out]), json_of(&learnt))
    };
    assert_eq!(made(1), made(1));
    let (one, two) = (made(1), made(2));
    assert!(one.0 != two.0 && one.1 != two.1);
}

#[test]
fn what_is_asked_in_the_examination_is_in_no_lesson() {
    let tools = demo();
    for seed in 0..4 {
        let own = Own::new(&tools, 2, seed).expect("good sentences");
        let held_out = own.held_out();
        assert!(held_out.sentences + held_out.examples >= 6, "one of each tool but one");
        let asked = sentences(&held_out.toolset.pairs);
        assert!(asked.len() >= 20, "{asked:?}");
        for (tool, shown) in tools.iter().zip(&held_out.toolset.tools) {
            let hidden = tool.examples.iter().filter(|example| !shown.examples.contains(example));
            for example in hidden {
                assert!(
                    !json_of(&own.toolsets(Purpose::Lessons, 10, 24, &asked))
                        .join("")
                        .contains(&example.say)
                );
            }
        }
        for toolset in own.toolsets(Purpose::Lessons, 20, 24, &asked) {
            for pair in &toolset.pairs {
                assert!(!asked.contains(&normalise(&pair.say)), "{}", pair.say);
            }
        }
        // None of a held-out pattern's plain sentences is a lesson's either, whatever is drawn.
        let alone: Vec<ToolSpec> = tools
            .iter()
            .enumerate()
            .map(|(at, tool)| {
                let is_held_out = |text: &&String| {
                    let what = What::Sentence(pattern::parse(text).expect("a pattern"));
                    own.held_out.contains(&Source { tool: at, what })
                };
                let sentences = tool.sentences.iter().filter(is_held_out).cloned().collect();
                ToolSpec { sentences, examples: Vec::new(), ..tool.clone() }
            })
            .collect();
        assert_eq!(
            alone.iter().map(|tool| tool.sentences.len()).sum::<usize>(),
            held_out.sentences
        );
    }
}

#[test]
fn every_lesson_is_an_answer_that_its_tools_can_give() {
    let tools = demo();
    let own = Own::new(&tools, 2, 3).expect("good sentences");
    let toolsets = own.toolsets(Purpose::Lessons, 30, 24, &HashSet::new());
    let (mut pairs, mut refused, mut open, mut twice) = (0, 0, 0, 0);
    for toolset in &toolsets {
        assert!(toolset.pairs.len() >= 20, "{} pairs", toolset.pairs.len());
        let judge = Judge::new(&toolset.tools).expect("good sentences");
        for pair in &toolset.pairs {
            let calls = parse_calls(&pair.answer).expect("calls");
            pairs += 1;
            if calls.iter().any(|call| is_open(call, &toolset.tools)) {
                assert!(calls.len() == 1 && judge.admits(&pair.say, &[]), "{}", pair.say);
                (refused, open) = (refused + 1, open + 1);
                continue;
            }
            for call in &calls {
                let tool = toolset.tools.iter().find(|tool| tool.name == call.tool);
                check_args(tool.expect("a tool of the prompt"), &call.args)
                    .expect("good arguments");
            }
            assert!(judge.admits(&pair.say, &calls), "{}: {}", pair.say, pair.answer);
            refused += usize::from(calls.is_empty());
            twice += usize::from(calls.len() == 2);
        }
    }
    let percent = |n: usize| 100 * n / pairs;
    assert!((10..35).contains(&percent(refused)), "{refused} of {pairs} are refused");
    assert!(percent(open) >= 1, "{open} of {pairs} ask for a value");
    assert!(percent(twice) >= 3, "{twice} of {pairs} are two calls");
    let counts = counts(&toolsets);
    for tool in &tools {
        assert!(percent(counts[&tool.name]) >= 5, "{counts:?}");
    }
}

#[test]
fn tools_are_shown_in_several_orders_and_numbers() {
    let tools = demo();
    let own = Own::new(&tools, 2, 3).expect("good sentences");
    let shown: HashSet<Vec<String>> = own
        .toolsets(Purpose::Lessons, 120, 2, &HashSet::new())
        .iter()
        .map(|toolset| toolset.tools.iter().map(|tool| tool.name.clone()).collect())
        .collect();
    let lengths: HashSet<usize> = shown.iter().map(Vec::len).collect();
    assert!(shown.len() > 8 && lengths.len() > 2, "{shown:?}");
    assert!(lengths.iter().all(|length| *length >= 4), "half of the tools at least: {lengths:?}");
}

fn small(sentences: &[&str], examples: usize) -> Vec<ToolSpec> {
    let examples: Vec<_> =
        (0..examples).map(|n| json!({"say": format!("wish {n}"), "call": {}})).collect();
    serde_json::from_value(json!([{
        "name": "go", "description": "go", "kind": "note", "sentences": sentences, "examples": examples,
    }]))
    .expect("a tool")
}

#[test]
fn a_tool_gives_one_in_four_of_its_sources_and_none_where_it_has_too_few() {
    for (sources, given) in [(0, 0), (1, 0), (2, 1), (3, 1), (7, 1), (8, 2)] {
        let tools = small(&[], sources);
        let own = Own::new(&tools, 1, 1).expect("good sentences");
        assert_eq!(own.held_out.len(), given, "of {sources}");
        assert_eq!(own.held_out.len() + own.learnt.len(), sources);
        assert_eq!(own.held_out().toolset.pairs.is_empty(), given == 0);
    }
    // Where another tool has three, the one with two keeps both.
    let tools = [small(&[], 2), small(&["a b", "c d", "e f"], 0)].concat();
    let own = Own::new(&tools, 1, 1).expect("good sentences");
    assert_eq!(own.held_out.iter().map(|source| source.tool).collect::<Vec<_>>(), [1]);
}

#[test]
fn questions_are_bounded() {
    let many: Vec<String> = (0..400).map(|n| format!("wish number {n} of them")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let tools: Vec<ToolSpec> = small(&many, 0);
    let held_out = Own::new(&tools, 1, 1).expect("good sentences").held_out();
    assert_eq!(held_out.sentences, 100);
    assert!(held_out.toolset.pairs.len() <= MAX_QUESTIONS, "{}", held_out.toolset.pairs.len());
}

#[test]
fn lessons_are_written_as_agentd_tune_lessons_reads_them() {
    let tools = demo();
    let own = Own::new(&tools, 2, 1).expect("good sentences");
    let toolset = own.toolsets(Purpose::Lessons, 1, 8, &HashSet::new()).remove(0);
    let read: Toolset = serde_json::from_str(&toolset.to_json().to_string()).expect("a toolset");
    assert_eq!(read.pairs, toolset.pairs);
    for (read, own) in read.tools.iter().zip(&toolset.tools) {
        assert_eq!((&read.name, &read.description), (&own.name, &own.description));
        assert_eq!((&read.params, &read.examples), (&own.params, &own.examples));
    }
}

/// What people said to the demo in words of their own, all of it approved.
fn approved(count: usize) -> Vec<Feedback> {
    let said = |n| Said {
        say: format!("wake worker {n} of the stable"),
        answer: "set_output(device=fan, state=on)".into(),
    };
    (0..count)
        .map(|n| Feedback { verdict: Verdict::Approved, said: said(n), before: None })
        .collect()
}

#[test]
fn what_people_taught_is_learnt_whatever_the_best_state_is_chosen_by() {
    let tools = demo();
    let own = Own::new(&tools, 2, 1).expect("good sentences").and_history(&approved(16));
    let asked = sentences(&own.held_out().toolset.pairs);
    let chosen_by = json_of(&own.toolsets(Purpose::Check, 8, 24, &asked)).join("");
    assert!(!chosen_by.to_lowercase().contains("worker"), "{chosen_by}");
    let learnt = json_of(&own.toolsets(Purpose::Lessons, 40, 24, &asked)).join("");
    let taught = own.taught();
    assert_eq!(taught.pairs.len(), 12, "but for one in four");
    for pair in &taught.pairs {
        assert!(
            learnt.contains(&pair.say) && !asked.contains(&normalise(&pair.say)),
            "{}",
            pair.say
        );
    }
}

#[test]
fn what_people_taught_is_asked_up_to_a_bound_the_newest_first() {
    let tools = demo();
    let taught = |count| {
        let own = Own::new(&tools, 2, 1).expect("good sentences").and_history(&approved(count));
        own.taught().pairs
    };
    // Of four that were said three are learnt.
    assert_eq!(taught(MAX_HISTORY / 3 * 4).len(), MAX_HISTORY / 3 * 3);
    let most = taught(2 * MAX_HISTORY);
    assert_eq!(most.len(), MAX_HISTORY);
    assert_eq!(most[0].say, format!("wake worker {} of the stable", 2 * MAX_HISTORY - 2));
    assert!(taught(0).is_empty());
}
