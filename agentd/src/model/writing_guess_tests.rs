//! What is guessed of an answer before the model has chosen it.

use super::super::super::job::{Doing, Guess, Job};
use super::*;

fn no_draft(_: usize) -> Vec<LlamaToken> {
    Vec::new()
}

#[test]
fn a_draft_is_asked_for_free_text_alone_and_where_nothing_can_be_copied() {
    let world = World::new(|_| Vec::new());
    let draft = |most: usize| tokens("umps|").into_iter().take(most).collect();
    let free = Constraint::Lark("start: /[a-z ]+/".to_owned());
    let drafted = |writing: &mut Writing, before: &str, room| {
        text(&writing.guess(&tokens(before), 6, room, &Recall::default(), draft))
    };
    let mut writing = world.begun(&free, "so the p");
    assert_eq!(drafted(&mut writing, "so the p", 64), "ump", "trusted with three at first");
    writing.was_guessed(2, 2);
    assert_eq!(drafted(&mut writing, "so the p", 64), "umps");
    writing.was_guessed(4, 4);
    assert_eq!(drafted(&mut writing, "so the p", 64), "umps", "the grammar has no bar");
    let written = "so the p".len() as u32;
    assert_eq!(drafted(&mut writing, "so the p", written + 1), "u", "as far as there is room");
    assert_eq!(drafted(&mut writing, "so the p", written), "");
    assert_eq!(drafted(&mut writing, "the pond|so the p", 64), "ond", "what can be copied");
    writing.was_guessed(3, 3);
    assert_eq!(drafted(&mut writing, "so the p", 64), "umps");
    writing.was_guessed(4, 0);
    assert_eq!(
        drafted(&mut writing, "so the p", 64),
        "u",
        "one that was wrong is trusted with one"
    );
    assert_eq!(drafted(&mut writing, "the pond|so the p", 64), "ond", "a draft is no copy");
    let own = Constraint::from(r#"start: "note(\"" /[a-z ]+/ "\")""#.to_owned());
    assert_eq!(drafted(&mut world.begun(&own, "note(\"the p"), "note(\"the p", 64), "");
    let wide = r#"start: ("note" | "node") "(\"" /[a-zA-Z ]+/ "\")""#;
    let wide = Constraint::from(wide.to_owned());
    assert_eq!(drafted(&mut world.begun(&wide, "note(\"the p"), "note(\"the p", 64), "ump");
    assert_eq!(drafted(&mut world.begun(&wide, "no"), "no", 64), "", "a name is chosen");
}

#[test]
fn a_text_of_our_own_grammar_is_guessed_as_far_as_it_may_go_and_a_name_is_not() {
    let world = World::new(|_| Vec::new());
    let own =
        |text: &str| Constraint::from(format!(r#"start: ("note" | "node") "(\"" {text} "\")""#));
    let said = "the pump leaks|node(\"";
    let guess = |grammar: &str, text: &str, most, max_tokens| {
        let before = tokens(&format!("{said}{text}"));
        self::text(&world.begun(&own(grammar), text).guess(
            &before,
            most,
            max_tokens,
            &Recall::default(),
            no_draft,
        ))
    };
    let letters = "/[a-z ]+/";
    assert_eq!(guess(letters, "note(\"the p", 6, 64), "ump le");
    assert_eq!(guess(letters, "note(\"the p", 20, 64), "ump leaks", "the bar is not allowed");
    assert_eq!(guess(letters, "note(\"p", 6, 64), " leaks", "one token is enough, the last");
    assert_eq!(guess(letters, "no", 6, 64), "");
    let wide = "/[a-zA-Z ]+/";
    assert_eq!(guess(wide, "note(\"p", 6, 64), "", "where it need not be copied it is not");
    assert_eq!(guess(wide, "note(\"the p", 6, 64), "ump");
    let long = "note(\"the p".len() as u32;
    assert_eq!(guess(letters, "note(\"the p", 6, long + 2), "um", "as far as there is room");
    assert_eq!(guess(letters, "note(\"the p", 6, long), "");
    let one_of = Constraint::OneOf(["the pump", "the pond"].map(str::to_owned).to_vec());
    let before = tokens(&format!("{said}the p"));
    assert!(
        world
            .begun(&one_of, "the p")
            .guess(&before, 6, 64, &Recall::default(), no_draft)
            .is_empty()
    );
}

#[test]
fn what_was_answered_before_is_guessed_whole_and_what_calls_have_in_common_is() {
    let world = World::new(|_| Vec::new());
    let own = Constraint::from(r#"start: "set(a=" /[a-c]{1,9}/ ", on=" /[yn]/ ")""#.to_owned());
    let mut recall = Recall::default();
    recall.note(1, tokens("set(a=abc, on=y)"));
    recall.note(2, tokens("set(a=ab, on=n)"));
    let mut writing = world.begun(&own, "set(a=a");
    let again = |writing: &mut Writing, asked, most, max_tokens| {
        text(&writing.guess_again(asked, &recall, most, max_tokens))
    };
    assert_eq!(again(&mut writing, 1, 64, 64), "bc, on=y)");
    assert_eq!(again(&mut writing, 1, 3, 64), "bc,", "as far as there is room in a batch");
    let written = "set(a=a".len() as u32;
    assert_eq!(again(&mut writing, 2, 64, written + 1), "b", "and in the answer");
    assert_eq!(again(&mut writing, 2, 64, written), "");
    assert_eq!(again(&mut writing, 3, 64, 64), "", "nobody asked it");
    let alike =
        |writing: &mut Writing, most| text(&writing.guess(&[], most, 64, &recall, no_draft));
    assert_eq!(alike(&mut writing, 6), "b", "where they differ is chosen");
    assert_eq!(alike(&mut world.begun(&own, "set(a=abc"), 6), ", on=y");
    // The grammar of now has no `n` any more.
    let own = Constraint::from(r#"start: "set(a=" /[a-c]{1,9}/ ", on=" /[yz]/ ")""#.to_owned());
    assert_eq!(again(&mut world.begun(&own, "set(a=a"), 2, 64, 64), "b, on=");
}

#[test]
fn another_way_of_an_answer_is_guessed_to_go_on_as_the_one_before() {
    let world = World::new(|text: &str| match text {
        "" => vec![(b'a', 0.55), (b'b', 0.45)],
        _ => vec![(b'x', 0.6), (b'y', 0.4)],
    });
    let own = Constraint::from("start: /[ab], is=[xy]/".to_owned());
    let matcher = Constrainer::new(&world.vocabulary).matcher(&own).unwrap();
    let mut writing = Writing::new(matcher, Usage::default(), Search::Likeliest, None);
    let (request, mut held, mut pending) = (request(64), Vec::new(), Vec::new());
    assert_eq!(writing.go_on(&request, &mut world.desk(&held, 64, &mut pending)), Ok(true));
    for goes_on in [true, false] {
        let logits = world.logits(&text(&held));
        let mut desk = world.desk(&held, 64, &mut pending);
        assert_eq!(writing.choose(&logits, None, &request, &mut desk), Ok(goes_on));
        held.append(&mut pending);
    }
    assert_eq!(text(&held), "a, is=x");
    let fork = writing.next_fork().expect("another way");
    held.truncate(fork.back(&held).0);
    let mut desk = world.desk(&held, 64, &mut pending);
    assert_eq!(writing.take(fork, &request, &mut desk), Ok(true));
    assert_eq!(text(&pending), "b, is=");
    assert_eq!(text(&writing.guess(&[], 6, 64, &Recall::default(), no_draft)), "x");
}

#[test]
fn free_text_is_guessed_after_three_tokens_and_the_further_the_better_it_went() {
    let world = World::new(|_| Vec::new());
    let free = Constraint::Lark("start: /[a-z ]+/".to_owned());
    let mut writing = world.begun(&free, "so the ");
    let mut guess = |before: &str, outcome: Option<(usize, usize)>| {
        if let Some((guessed, right)) = outcome {
            writing.was_guessed(guessed, right);
        }
        text(&writing.guess(&tokens(before), 6, 64, &Recall::default(), no_draft))
    };
    let few = "the pump leaks|so the ";
    assert_eq!(guess(few, None), "pum");
    assert_eq!(guess(few, Some((3, 3))), "pump l", "not more than six");
    assert_eq!(guess(few, Some((6, 2))), "pum", "not fewer than three");
    assert_eq!(guess(few, Some((3, 0))), "", "it went on otherwise: four are too few now");
    assert_eq!(guess(few, Some((0, 0))), "", "nothing was guessed");
    let more = |n: usize| format!("{}pump|{0}", &"wherever you see the "[21 - n..]);
    assert_eq!((guess(&more(5), None), guess(&more(6), None)), (String::new(), "pum".into()));
    for least in [12, 24, 24] {
        let outcome = Some((3, 0));
        let text = |n: usize| format!("{}pump|{0}", &"look wherever you see the "[26 - n..]);
        assert_eq!(guess(&text(least - 1), outcome), "");
        assert_eq!(guess(&text(least), None), "pum");
    }
    assert_eq!(guess(few, Some((3, 1))), "pum", "and three are enough again");
    assert_eq!((writing.usage.guessed, writing.usage.guessed_right), (24, 6));
    let before = tokens("my pump leaks|a y ");
    assert!(
        world.begun(&free, "a y ").guess(&before, 6, 64, &Recall::default(), no_draft).is_empty(),
        "two are too few"
    );
}

#[test]
fn what_will_be_forced_of_a_guess_is_foreseen_as_it_is_written() {
    let world = World::new(|text: &str| match text.as_bytes().last() {
        Some(b'=') => vec![(b'o', 1.0)],
        Some(b'o') => vec![(b'f', 1.0)],
        _ => vec![(b's', 0.9), (b'l', 0.9)],
    });
    let grammar = r#"start: ("set" | "get") "(lamp=" ("on" | "off") ")""#;
    let (answer, asked) = world.write(grammar, 64, true);
    let answer = answer.expect("an answer").text;
    assert_eq!(answer, "set(lamp=off)");
    let own = Constraint::from(grammar.to_owned());
    let matcher = Constrainer::new(&world.vocabulary).matcher(&own).unwrap();
    let mut writing = Writing::new(matcher, Usage::default(), Search::Likeliest, None);
    let mut pending = Vec::new();
    assert_eq!(writing.go_on(&request(64), &mut world.desk(&[], 64, &mut pending)), Ok(true));
    let foreseen = writing.foresee(&tokens(&answer), &world.vocabulary);
    let chosen: Vec<bool> =
        (0..answer.len()).map(|n| asked.contains(&answer[..n].into())).collect();
    assert_eq!(chosen.iter().filter(|chosen| **chosen).count(), 2, "s and f");
    assert_eq!(foreseen, chosen.iter().map(|chosen| !chosen).collect::<Vec<_>>());
    let foresee = |guess: &str| writing.foresee(&tokens(guess), &world.vocabulary);
    assert_eq!(foresee("set(l"), foreseen[..5], "as far as the guess goes");
    assert_eq!(foresee("sit(lamp"), foreseen[..1], "no further than it can be right");
    assert!(foresee("").is_empty());
    let text = Constraint::from(r#"start: "note(\"" /[a-zA-Z ]+/ "\")""#.to_owned());
    let own = world.begun(&text, "note(\"a");
    assert_eq!(own.foresee(&tokens("b\")"), &world.vocabulary), [false; 3], "too much is allowed");
    let free = world.begun(&Constraint::Lark("start: \"ab\" /[a-z]+/".to_owned()), "ab");
    assert_eq!(free.foresee(&tokens("cd"), &world.vocabulary), [false; 2]);
}

#[test]
fn an_answer_is_guessed_along_with_its_prompt_and_only_choices_are_scored() {
    let world = World::new(|_| Vec::new());
    let begun = |grammar: &Constraint, pending: &str| {
        let matcher = Constrainer::new(&world.vocabulary).matcher(grammar).unwrap();
        let mut writing = Writing::new(matcher, Usage::default(), Search::of(grammar), None);
        let mut forced = Vec::new();
        let goes_on = writing.go_on(&request(64), &mut world.desk(&[], 64, &mut forced));
        assert_eq!(goes_on, Ok(true));
        Job {
            request: request(64),
            sequence: 1,
            asked: 9,
            pending: [tokens(pending), forced].concat(),
            guess: Guess::default(),
            writes: false,
            prior: None,
            scores: None,
            doing: Doing::Writing(Box::new(writing)),
        }
    };
    let mut recall = Recall::default();
    recall.note(1, tokens("set(lamp=off)"));
    let guessed = |job: &mut Job, most| {
        job.guess = Guess::default();
        job.guess(&tokens("lamp off|"), most, &recall, None, &world.vocabulary);
        let part = job.part(64);
        let scored = |(text, wanted): (String, bool)| text + if wanted { "?" } else { "" };
        let texts = part.tokens.iter().map(|token| text(&[*token]));
        texts.zip(part.wanted).map(scored).collect::<String>()
    };
    let call = r#"start: ("set" | "get") "(lamp=" ("on" | "off") ")""#;
    let mut job = begun(&call.to_owned().into(), "on|");
    assert_eq!(guessed(&mut job, 6), "on|?set(la?", "as many as may be guessed");
    assert_eq!(guessed(&mut job, 11), "on|?set(lamp=o?f?");
    assert_eq!(guessed(&mut job, 0), "on|?");
    job.asked = 1;
    assert_eq!(
        guessed(&mut job, 6),
        "on|?set(lamp=o?ff)?",
        "the whole of what was answered before"
    );
    let free = Constraint::Lark("start: /[a-z]+/".to_owned());
    assert_eq!(guessed(&mut begun(&free, "off|"), 6), "off|?", "free text is yet to begin");
    job.doing = Doing::Preparing(Usage::default());
    assert_eq!(guessed(&mut job, 6), "on|", "a static part is computed and not gone on with");
}

#[test]
fn a_quote_that_is_escaped_ends_no_text() {
    for (call, within) in [
        ("", false),
        ("note(text=\"", true),
        (r#"note(text="a \" b"#, true),
        (r#"note(text="a \\""#, false),
        (r#"note(text="a", reason="b"#, true),
    ] {
        assert_eq!(is_within_string(call), within, "{call}");
    }
}
