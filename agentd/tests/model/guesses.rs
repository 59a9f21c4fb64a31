//! What is guessed of an answer changes nothing in it, and saves runs of the model.

use agentd::ground::Grounds;
use agentd::model::config::ModelConfig;
use agentd::model::constraint::Constraint;
use agentd::model::{Answer, Ask, Message, grammar};

use super::support::{
    Running, ask, executable, file, greenhouse, keeping, real_model, start, system_prompt, user,
};

/// A worker that guesses up to so many tokens at once.
async fn guessing(guess_tokens: u32) -> Running {
    started(ModelConfig { guess_tokens, ..ModelConfig::default() }).await
}

async fn started(config: ModelConfig) -> Running {
    let config = ModelConfig { threads: 1, ..config };
    let running = start(&config, &file(real_model()), executable());
    running.ready().await;
    running
}

/// The same asks without guesses and with them, one after the other.
async fn both(asks: &[(Vec<Message>, Constraint)]) -> Vec<[Answer; 2]> {
    compared([guessing(0).await, guessing(6).await], asks).await
}

async fn compared(
    [without, with]: [Running; 2],
    asks: &[(Vec<Message>, Constraint)],
) -> Vec<[Answer; 2]> {
    let mut answers = Vec::new();
    for (messages, grammar) in asks {
        let ask = || Ask {
            messages: messages.clone(),
            grammar: grammar.clone(),
            max_tokens: 100,
            ..ask("", "")
        };
        let pair = [without.model.ask(ask()).await, with.model.ask(ask()).await];
        answers.push(pair.map(|answer| answer.expect("an answer")));
    }
    let right = with.metrics.model_tokens_guessed_right_total.get();
    assert_eq!(
        right,
        answers.iter().map(|[_, with]| u64::from(with.usage.guessed_right)).sum::<u64>()
    );
    without.stop().await;
    with.stop().await;
    answers
}

#[tokio::test]
async fn words_of_the_request_are_guessed_and_the_call_is_the_same_in_fewer_runs() {
    let mut tools = greenhouse();
    tools.retain(|tool| tool.name != "average");
    let verbatim = |tool: &mut agentd_tools::ToolSpec| {
        let text = tool.params.get_mut("text").expect("a parameter");
        text.verbatim = true;
    };
    tools.iter_mut().filter(|tool| tool.name == "note").for_each(verbatim);
    let said = [
        "write into the log book that the gutter on the north side leaks again",
        "log that two of the seed trays by the door have mould",
        "turn on the pump",
        "note: the filter was changed and the filter housing has a crack in it",
        "write into the log book that the left door of the shed and the left door of the barn stick",
        "log that pump one hums, pump two hums and pump three rattles",
    ];
    let asks: Vec<_> = said
        .iter()
        .map(|words| {
            let specs: Vec<_> = tools.iter().collect();
            let lark = grammar::calls(&specs, 1, Some(&Grounds::of(words)));
            (vec![system_prompt(&tools), user(words)], lark.as_str().into())
        })
        .collect();
    let answers = both(&asks).await;
    for [without, with] in &answers {
        println!("{}\n  {:?}\n  {:?}", with.text, without.usage, with.usage);
        assert_eq!(with.text, without.text);
        assert!((with.confidence - without.confidence).abs() < 0.01, "{with:?} {without:?}");
        assert_eq!(without.usage.guessed, 0);
        assert!(with.usage.decodes <= without.usage.decodes, "{with:?} {without:?}");
    }
    // A word that was said twice leads to what followed the other one: that is taken back.
    let wrong = |pair: &[Answer; 2]| pair[1].usage.guessed - pair[1].usage.guessed_right;
    assert!(answers.iter().map(wrong).sum::<u32>() > 0, "no guess was wrong");
    let runs = |of: usize| answers.iter().map(|pair| pair[of].usage.decodes).sum::<u32>();
    assert!(runs(1) < runs(0), "{} {}", runs(1), runs(0));
    let is_note = |pair: &&[Answer; 2]| pair[1].text.starts_with("note(");
    assert!(answers.iter().filter(is_note).any(|pair| pair[1].usage.guessed_right > 3));
}

/// What was answered before a restart is guessed behind it, but for what holds a person's own words.
#[tokio::test]
async fn answers_of_before_a_restart_are_guessed_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut tools = greenhouse();
    let note = tools.iter_mut().find(|tool| tool.name == "note").expect("a tool");
    note.params.get_mut("text").expect("a parameter").verbatim = true;
    let specs: Vec<_> = tools.iter().collect();
    let said = ["turn on the pump", "write into the log book that the gutter leaks"];
    let asked = |words: &str| {
        let lark = grammar::calls(&specs, 1, Some(&Grounds::of(words)));
        (vec![system_prompt(&tools), user(words)], lark)
    };
    let mut lives = Vec::new();
    for _ in 0..2 {
        let running = keeping(folder.path()).await;
        let mut answers = Vec::new();
        for words in said {
            let (messages, lark) = asked(words);
            answers.push(running.ask_messages(messages, &lark).await.expect("an answer"));
        }
        running.stop().await;
        lives.push(answers);
    }
    let [first, second] = [&lives[0], &lives[1]];
    for (before, after) in first.iter().zip(second) {
        println!("{}\n  {:?}\n  {:?}", after.text, before.usage, after.usage);
        assert_eq!(before.text, after.text);
        assert!((before.confidence - after.confidence).abs() < 0.01, "{before:?} {after:?}");
    }
    assert!(first[1].text.starts_with("note("), "{first:?}");
    let runs = |answers: &[Answer], of: usize| answers[of].usage.decodes;
    assert!(runs(second, 0) < runs(first, 0), "{first:?} {second:?}");
    assert_eq!(second[0].usage.guessed, second[0].usage.guessed_right, "it is the same answer");
    assert!(runs(second, 1) > 2, "its words were not kept");
    let kept = folder.path().read_dir().unwrap().map(|entry| entry.unwrap().path());
    let kept: Vec<_> =
        kept.filter(|path| path.extension().is_some_and(|kind| kind == "answers")).collect();
    let text = std::fs::read_to_string(&kept[0]).unwrap();
    let kept: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(kept["answers"].as_array().map(Vec::len), Some(1), "{text}");
}

#[tokio::test]
async fn free_text_that_repeats_itself_is_guessed_and_is_the_same() {
    let free = || Constraint::Regex("(.|\n){1,400}".to_owned());
    let asks: Vec<_> = [
        "Repeat this sentence three times: The pump in the left greenhouse drips.",
        "Write the numbers from one to ten as words, and then again.",
        "A rhyme: the cat sat on the mat, the cat sat on the hat, the cat sat on the bat. Go on with the rhyme.",
        "Say ten times: the left pump is on, the right pump is off.",
        "Count: one two three, one two four, one two five. Go on.",
    ]
    .map(|words| (vec![user(words)], free()))
    .to_vec();
    // As it was published: what is tuned for calls writes little else.
    let published = |guess_tokens| {
        let adapter = Some("none".into());
        started(ModelConfig { guess_tokens, adapter, ..ModelConfig::default() })
    };
    let answers = compared([published(0).await, published(6).await], &asks).await;
    for [without, with] in &answers {
        println!("{}\n  {:?}\n  {:?}", with.text, without.usage, with.usage);
        assert_eq!(with.text, without.text);
        assert!(with.usage.decodes <= without.usage.decodes, "{with:?} {without:?}");
    }
    let right: u32 = answers.iter().map(|pair| pair[1].usage.guessed_right).sum();
    assert!(right > 10, "{right}");
}

/// The model that is published guesses for itself, and for what an adapter makes of it: no smaller one of its family is
/// to be had here, so that this shows what is the same and what is saved in runs, and not in time.
#[tokio::test]
async fn what_a_draft_model_guesses_changes_no_answer_and_saves_runs() {
    let asks: Vec<_> = [
        "What is a greenhouse good for?",
        "Tell me how a water pump works.",
        "Why do plants need light?",
    ]
    .map(|words| (vec![user(words)], Constraint::Regex("(.|\n){1,160}".to_owned())))
    .to_vec();
    let draft = Some(real_model().to_string_lossy().into_owned());
    let usual = ModelConfig::default().guess_tokens;
    // The tuned one goes round in circles there, where the words before an answer guess better than a draft: it stands beside
    // no guesses at all.
    for (adapter, guess_tokens) in [(Some("none".into()), usual), (None, 0)] {
        let own = ModelConfig { adapter, guess_tokens, ..ModelConfig::default() };
        let with = ModelConfig { draft: draft.clone(), guess_tokens: usual, ..own.clone() };
        let answers = compared([started(own.clone()).await, started(with).await], &asks).await;
        for [without, with] in &answers {
            println!("{}\n  {:?}\n  {:?}", with.text, without.usage, with.usage);
            assert_eq!(with.text, without.text);
        }
        let sum = |of: fn(&[Answer; 2]) -> u32| answers.iter().map(of).sum::<u32>();
        let runs = [sum(|pair| pair[0].usage.decodes), sum(|pair| pair[1].usage.decodes)];
        let right = sum(|pair| pair[1].usage.guessed_right);
        if own.adapter.is_some() {
            assert!(runs[1] * 3 < runs[0] * 2, "{runs:?}, {right} guesses right");
        } else {
            assert!(runs[1] <= runs[0], "{runs:?}, {right} guesses right");
        }
    }
}

#[tokio::test]
async fn a_draft_of_another_vocabulary_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("other.gguf");
    let mut bytes = std::fs::read(real_model()).expect("the model");
    let word = "\u{120}sunshine".as_bytes();
    let at = bytes.windows(word.len()).position(|window| window == word).expect("a token");
    bytes[at + word.len() - 1] = b'g';
    std::fs::write(&path, bytes).expect("written");
    let draft = Some(path.to_string_lossy().into_owned());
    let config = ModelConfig { draft, ..ModelConfig::default() };
    let running = start(&config, &file(real_model()), executable());
    let why = running.down().await;
    assert!(why.contains("other.gguf cannot guess for this model"), "{why}");
    assert!(why.contains("vocabulary (49152 tokens)"), "{why}");
}
