use std::sync::Arc;
use std::time::{Duration, Instant};

use agentd_tools::spec::Priority;
use llama_cpp_2::token::LlamaToken;
use llguidance::toktrie::{ApproximateTokEnv, TokEnv};

use super::super::ModelError;
use super::super::constrain::Constrainer;
use super::super::constraint::Constraint;
use super::super::search::PATHS;
use super::*;

#[path = "writing_guess_tests.rs"]
mod guesses;

/// A language of single bytes, and how probable each next byte is after a text; what is not told is improbable.
struct World {
    vocabulary: TokEnv,
    next: fn(&str) -> Vec<(u8, f32)>,
}

fn request(max_tokens: u32) -> Request {
    let received = Instant::now();
    Request {
        id: 1,
        messages: Vec::new(),
        tools: None,
        grammar: Constraint::default(),
        max_tokens,
        priority: Priority::Normal,
        shows: false,
        received,
        deadline: received + Duration::from_secs(60),
    }
}

impl World {
    fn new(next: fn(&str) -> Vec<(u8, f32)>) -> Self {
        Self { vocabulary: Arc::clone(&ApproximateTokEnv::single_byte_env()), next }
    }

    /// Writes an answer as the engine does, and gives it with the texts whose next byte was asked for.
    fn write(
        &self,
        grammar: &str,
        max_tokens: u32,
        searches: bool,
    ) -> (Result<Answer, Halt>, Vec<String>) {
        let grammar = grammar.to_owned();
        let own = if searches { Constraint::Own(grammar) } else { Constraint::Lark(grammar) };
        self.write_as(&own, max_tokens, None)
    }

    fn write_as(
        &self,
        constraint: &Constraint,
        max_tokens: u32,
        prior: Option<&Prior>,
    ) -> (Result<Answer, Halt>, Vec<String>) {
        let mut constrainer = Constrainer::new(&self.vocabulary);
        let matcher = constrainer.matcher(constraint).expect("it compiles");
        let request = request(max_tokens);
        let known = prior.map(|prior| Arc::new(prior.clone()));
        let mut writing = Writing::new(matcher, Usage::default(), Search::of(constraint), known);
        let (mut held, mut asked) = (Vec::new(), Vec::new());
        let mut pending: Vec<LlamaToken> = Vec::new();
        let mut goes_on = writing.go_on(&request, &mut self.desk(&held, max_tokens, &mut pending));
        loop {
            match goes_on {
                Ok(true) => {
                    held.append(&mut pending);
                    let text = text(&held);
                    let logits = self.logits(&text);
                    asked.push(text);
                    let mut desk = self.desk(&held, max_tokens, &mut pending);
                    goes_on = writing.choose(&logits, prior, &request, &mut desk);
                }
                Ok(false) => match writing.next_fork() {
                    Some(fork) => {
                        let (at, again) = fork.back(&held);
                        pending = again.to_vec();
                        held.truncate(at);
                        let mut desk = self.desk(&held, max_tokens, &mut pending);
                        goes_on = writing.take(fork, &request, &mut desk);
                    }
                    None => return (Ok(writing.finish(&request)), asked),
                },
                Err(halt) => return (Err(halt), asked),
            }
        }
    }

    /// An answer that has come to `text`.
    fn begun(&self, constraint: &Constraint, text: &str) -> Writing {
        let mut constrainer = Constrainer::new(&self.vocabulary);
        let matcher = constrainer.matcher(constraint).expect("it compiles");
        let mut writing = Writing::new(matcher, Usage::default(), Search::of(constraint), None);
        let (request, mut held, mut pending) = (request(64), Vec::new(), Vec::new());
        let mut goes_on = writing.go_on(&request, &mut self.desk(&held, 64, &mut pending));
        loop {
            assert_eq!(goes_on, Ok(true), "{text}");
            held.append(&mut pending);
            if held.len() == text.len() {
                return writing;
            }
            let mut logits = vec![-9.0; 256];
            logits[usize::from(text.as_bytes()[held.len()])] = 9.0;
            let mut desk = self.desk(&held, 64, &mut pending);
            goes_on = writing.choose(&logits, None, &request, &mut desk);
        }
    }

    fn desk<'a>(
        &'a self,
        held: &[LlamaToken],
        max_tokens: u32,
        pending: &'a mut Vec<LlamaToken>,
    ) -> Desk<'a> {
        Desk::new(&self.vocabulary, max_tokens, held.len(), pending)
    }

    fn logits(&self, text: &str) -> Vec<f32> {
        let mut logits = vec![1e-6_f32.ln(); 256];
        for (byte, probability) in (self.next)(text) {
            logits[usize::from(byte)] = probability.ln();
        }
        logits
    }
}

fn tokens(text: &str) -> Vec<LlamaToken> {
    text.bytes().map(|byte| LlamaToken::new(byte.into())).collect()
}

fn text(held: &[LlamaToken]) -> String {
    held.iter().map(|token| char::from(u8::try_from(token.0).expect("a byte"))).collect()
}

const TWO: &str = "start: /[ab][cde]/";

/// `a` begins better, and then nothing is likely; `b` goes on with certainty.
fn garden_path(text: &str) -> Vec<(u8, f32)> {
    match text {
        "" => vec![(b'a', 0.55), (b'b', 0.45)],
        "a" => vec![(b'c', 0.4), (b'd', 0.3), (b'e', 0.3)],
        _ => vec![(b'e', 1.0)],
    }
}

#[test]
fn the_likeliest_answer_is_found_though_another_one_begins_better() {
    let world = World::new(garden_path);
    let (answer, asked) = world.write(TWO, 8, true);
    let answer = answer.expect("an answer");
    assert_eq!(answer.text, "be");
    assert!((answer.confidence - 0.45).abs() < 1e-3, "{answer:?}");
    assert_eq!(asked, ["", "a", "b"], "one choice more than without a look for it");
    assert_eq!(answer.alternatives[0].text, "ac");
    assert_eq!((answer.usage.sampled, answer.usage.forced), (3, 0));
    let (greedy, _) = world.write(TWO, 8, false);
    let greedy = greedy.expect("an answer");
    assert_eq!((greedy.text.as_str(), greedy.alternatives.len()), ("ac", 0));
}

#[test]
fn a_way_left_late_is_gone_on_with_behind_its_own_beginning_though_another_one_came_between() {
    let world = World::new(|text: &str| match text {
        "" => vec![(b'a', 0.52), (b'b', 0.48)],
        "a" => vec![(b'c', 0.6), (b'd', 0.4)],
        "ad" => vec![(b'e', 0.9), (b'f', 0.1)],
        _ => vec![(b'e', 0.5), (b'f', 0.5), (b'c', 0.5), (b'd', 0.5)],
    });
    let (answer, asked) = world.write("start: /[ab][cd][ef]/", 8, true);
    assert_eq!(asked, ["", "a", "ac", "b", "bc", "bd", "ad"]);
    let answer = answer.expect("an answer");
    assert_eq!(answer.text, "ade");
    assert!((answer.confidence - 0.52 * 0.4 * 0.9).abs() < 1e-3, "{answer:?}");
}

#[test]
fn of_texts_each_is_scored_that_is_not_improbable() {
    let texts = ["ac", "ad", "be", "bc"].map(str::to_owned).to_vec();
    let (answer, _) = World::new(garden_path).write_as(&Constraint::OneOf(texts), 8, None);
    let answer = answer.expect("an answer");
    let mut scored = answer.alternatives;
    scored.push(Alternative { text: answer.text, confidence: answer.confidence });
    scored.sort_by(|a, b| a.text.cmp(&b.text));
    let scored: Vec<_> = scored.iter().map(|one| (one.text.as_str(), one.confidence)).collect();
    // Of `ac` and `ad` alone the first has 0.4 of 0.7; `bc` is left out.
    let expected = [("ac", 0.55 * 0.4 / 0.7), ("ad", 0.55 * 0.3 / 0.7), ("be", 0.45)];
    assert_eq!(scored.len(), expected.len(), "{scored:?}");
    for ((text, probability), (other, exact)) in scored.iter().zip(expected) {
        assert_eq!(*text, other);
        assert!((probability - exact).abs() < 1e-3, "{scored:?}");
    }
}

#[test]
fn what_is_liked_without_a_request_needs_more_to_be_chosen() {
    // The name that is liked begins a little better, and is the better one by far where nothing is asked.
    let world = World::new(|text: &str| match text {
        "" => vec![(b'a', 0.55), (b'b', 0.45)],
        _ => vec![(b'(', 1.0)],
    });
    let grammar = Constraint::from(r#"start: "a(" | "b(""#);
    let openings = ["a(", "b("].map(str::to_owned);
    let scored = |text: &str, confidence| Alternative { text: text.to_owned(), confidence };
    let liked = Prior::of(&openings, &[scored("a(", 0.9), scored("b(", 0.1)]);
    let even = Prior::of(&openings, &[scored("a(", 0.5), scored("b(", 0.5)]);
    let write = |prior| world.write_as(&grammar, 8, prior).0.expect("an answer");
    assert_eq!(write(None).text, "a(");
    let unchanged = write(Some(&even));
    assert_eq!((unchanged.text.as_str(), unchanged.confidence), ("a(", write(None).confidence));
    let corrected = write(Some(&liked));
    assert_eq!(corrected.text, "b(");
    // 0.45 / sqrt(0.1) against 0.55 / sqrt(0.9).
    let (a, b) = (0.55 / 0.9_f32.sqrt(), 0.45 / 0.1_f32.sqrt());
    assert!((corrected.confidence - b / (a + b)).abs() < 1e-3, "{corrected:?}");
}

#[test]
fn where_the_model_is_sure_nothing_else_is_tried() {
    let sure = |text: &str| match text {
        "" => vec![(b'a', 0.7), (b'b', 0.3)],
        _ => vec![(b'c', 0.9), (b'd', 0.1)],
    };
    let (answer, asked) = World::new(sure).write(TWO, 8, true);
    let answer = answer.expect("an answer");
    assert_eq!((answer.text.as_str(), asked.len()), ("ac", 2), "0.63 against 0.3 at most");
    assert!(answer.alternatives.is_empty());
}

#[test]
fn the_ways_are_bounded_and_one_that_leads_nowhere_takes_nothing_from_the_others() {
    let even = |_: &str| vec![(b'a', 0.25), (b'b', 0.25), (b'c', 0.25), (b'd', 0.25)];
    let (answer, _) = World::new(even).write("start: /[abcd]{2}/", 8, true);
    assert!(answer.expect("an answer").alternatives.len() < PATHS);
    // Behind `b` there is no end within three tokens.
    let (answer, _) = World::new(garden_path).write("start: /a[cde]|be{9}/", 3, true);
    assert_eq!(answer.expect("an answer").text, "ac");
    let (none, _) = World::new(garden_path).write("start: /be{9}/", 3, true);
    let why = none.expect_err("it is too long");
    assert!(
        matches!(&why, Halt::Failed(ModelError::Refused(why)) if why.contains("after 3 tokens"))
    );
}

/// A tool that can do it as it is said goes before one that lacks a value, unless that one is far likelier.
#[test]
fn of_an_open_call_less_counts_and_the_rest_is_shared_out() {
    const CALLS: &str = "start: \"s()\" | \"t()\"";
    let openings = ["s(".to_owned(), "t()".to_owned()];
    let liked = openings.each_ref().map(|text| Alternative { text: text.clone(), confidence: 0.5 });
    let prior = Prior::of(&openings, &liked);
    let own = Constraint::Own(CALLS.to_owned());
    let likely: fn(&str) -> Vec<(u8, f32)> = |_| vec![(b's', 0.6), (b't', 0.4)];
    let answer = World::new(likely).write_as(&own, 9, Some(&prior)).0.unwrap();
    assert_eq!((answer.text.as_str(), answer.alternatives[0].text.as_str()), ("t()", "s()"));
    // 0.4 of 0.6 counts, which leaves 0.64 in all.
    assert!((answer.confidence - 0.4 / 0.64).abs() < 1e-3, "{}", answer.confidence);
    assert!((answer.alternatives[0].confidence - 0.24 / 0.64).abs() < 1e-3);
    let likelier: fn(&str) -> Vec<(u8, f32)> = |_| vec![(b's', 0.9), (b't', 0.1)];
    let answer = World::new(likelier).write_as(&own, 9, Some(&prior)).0.unwrap();
    assert_eq!(answer.text, "s()");
}
