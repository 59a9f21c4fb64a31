use std::path::Path;

use agentd::model::grammar;

use super::*;

/// An answer and whether the leaderboard's checker takes it.
#[derive(Deserialize)]
struct Marked {
    id: String,
    answer: Vec<Call>,
    right: bool,
    #[serde(default)]
    why: String,
    /// These stand with the answer where it is of the leaderboard's own questions.
    #[serde(default)]
    tools: Vec<ToolSpec>,
    possible: Option<Possible>,
}

#[derive(Deserialize)]
struct Machine {
    name: String,
    tool: Vec<ToolSpec>,
}

#[derive(Deserialize)]
struct Question {
    id: String,
    possible: Possible,
}

fn lines<T: serde::de::DeserializeOwned>(text: &str) -> impl Iterator<Item = T> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
}

/// The checker itself has marked them so: `bfcl_marks.py` compares.
#[test]
fn made_up_answers_are_marked_as_the_leaderboard_marks_them() {
    let machines: Vec<Machine> = lines(include_str!("bfcl/machines.jsonl")).collect();
    let questions: Vec<Question> = lines(include_str!("bfcl/made_up.jsonl")).collect();
    let (mut right, mut wrong) = (0, 0);
    for marked in lines::<Marked>(include_str!("bfcl/answers.jsonl")) {
        let tools = &machines.iter().find(|machine| machine.name == marked.id).expect("it").tool;
        let question = questions.iter().find(|question| question.id == marked.id).expect("it");
        let is_met = question.possible.is_met_by(&marked.answer, tools);
        assert_eq!(is_met, marked.right, "{}: {}", marked.why, grammar::answer(&marked.answer));
        *(if is_met { &mut right } else { &mut wrong }) += 1;
    }
    assert!(right >= 10 && wrong >= 20, "{right} are right and {wrong} are wrong");
}

/// A whole number of a float's list, which our call syntax writes without its `.0`.
#[test]
fn a_number_of_a_list_is_a_float_however_it_is_written() {
    let machines: Vec<Machine> = lines(include_str!("bfcl/machines.jsonl")).collect();
    let questions: Vec<Question> = lines(include_str!("bfcl/made_up.jsonl")).collect();
    let written =
        r#"plan_trip(stops=["Oslo", "Bergen, Norway"], hours=[1, 2.5], day={"name": "Monday"})"#;
    let answer = grammar::parse_calls(written).expect("a call");
    assert!(questions[1].possible.is_met_by(&answer, &machines[1].tool));
}

/// Runs where `AGENTD_BFCL_MARKS` names what `bfcl_marks.py` wrote of all the leaderboard's questions.
#[test]
fn marks_of_the_leaderboards_own_checker_are_ours() {
    let Some(path) = std::env::var_os("AGENTD_BFCL_MARKS") else { return };
    let text = std::fs::read_to_string(Path::new(&path)).expect("the marks are read");
    let (mut all, mut others) = (0, Vec::new());
    for marked in lines::<Marked>(&text) {
        let possible = marked.possible.expect("possible values");
        all += 1;
        if possible.is_met_by(&marked.answer, &marked.tools) != marked.right {
            let answer = grammar::answer(&marked.answer);
            others.push(format!("{}: {answer} is right: {}", marked.id, marked.right));
        }
    }
    println!("{all} marks were compared");
    let few = others.iter().take(20).map(String::as_str).collect::<Vec<_>>().join("\n");
    assert!(others.is_empty(), "{} of {all} marks are others:\n{few}", others.len());
}
