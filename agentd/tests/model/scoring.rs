//! What the real model makes of texts to choose from, and of a static part with no request behind it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use agentd::model::config::ModelConfig;
use agentd::model::constraint::{Constraint, MAX_TEXTS};
use agentd::model::{Ask, ModelError, grammar};
use agentd_tools::ToolSpec;
use agentd_tools::spec::Priority;

use super::support::{
    Running, ask, executable, file, greenhouse, keeping, real_model, start, system_prompt, user,
};

/// What is liked behind a static part corrects answers, is kept over a restart, and is learnt again where it is damaged.
#[tokio::test]
async fn what_the_model_likes_without_a_request_is_learnt_once_and_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let tools = greenhouse();
    let lark = grammar::calls(&tools.iter().collect::<Vec<_>>(), 1, None);
    let openings = grammar::openings(&tools);
    let prompt = vec![system_prompt(&tools)];
    let question = [system_prompt(&tools), user("turn on the pump")];
    let kept = || {
        let files = folder.path().read_dir().unwrap().map(|entry| entry.unwrap().path());
        files
            .filter(|path| path.extension().is_some_and(|kind| kind == "prior"))
            .collect::<Vec<_>>()
    };
    let (mut answers, mut liked) = (Vec::new(), String::new());
    for life in ["without", "first", "second", "damaged"] {
        let running = keeping(folder.path()).await;
        let deadline = Instant::now() + Duration::from_secs(60);
        let told = if life == "without" { Vec::new() } else { openings.clone() };
        if life == "damaged" {
            std::fs::write(&kept()[0], "{").unwrap();
        }
        let usage = running
            .model
            .prepare(prompt.clone(), told.clone(), None, Priority::High, deadline)
            .await
            .unwrap();
        assert_eq!(usage.reused > 0, life != "without", "{life}: the state is kept");
        if life == "first" {
            liked = std::fs::read_to_string(&kept()[0]).unwrap();
        }
        answers.push(running.ask_messages(question.to_vec(), &lark).await.unwrap());
        // Nothing is computed for what is known.
        let again = running
            .model
            .prepare(prompt.clone(), told, None, Priority::High, deadline)
            .await
            .unwrap();
        assert_eq!((again.prefilled, again.decodes), (0, 0), "{life}");
        running.stop().await;
        assert_eq!(kept().len(), usize::from(life != "without"), "{life}");
    }
    let probabilities: BTreeMap<String, f32> = serde_json::from_value(
        serde_json::from_str::<serde_json::Value>(&liked).unwrap()["openings"].take(),
    )
    .unwrap();
    assert_eq!(probabilities.keys().collect::<BTreeSet<_>>(), openings.iter().collect());
    assert!((probabilities.values().sum::<f32>() - 1.0).abs() < 1e-4, "{probabilities:?}");
    assert_eq!(
        std::fs::read_to_string(&kept()[0]).unwrap(),
        liked,
        "it is learnt again, and is the same"
    );
    let told: Vec<_> =
        answers.iter().map(|answer| (answer.text.as_str(), answer.confidence)).collect();
    assert_eq!(told[1], told[2]);
    assert_eq!(told[1], told[3]);
    assert_eq!(told[0].0, told[1].0, "it is a plain command");
    assert!((told[0].1 - told[1].1).abs() > 1e-4, "it is corrected: {told:?}");
}

/// Two agents with one worker: each keeps its static part, and what corrects its answers, whoever was asked in between.
#[tokio::test]
async fn agents_that_share_a_worker_are_asked_by_turns_and_answer_as_if_alone() {
    let folder = tempfile::tempdir().unwrap();
    let running = keeping(folder.path()).await;
    let all = greenhouse();
    let few = all[..2].to_vec();
    let deadline = Instant::now() + Duration::from_secs(60);
    let (mut uncorrected, mut alone) = (Vec::new(), Vec::new());
    for tools in [&all, &few] {
        uncorrected.push(asked(&running, tools).await.1);
        let (prompt, openings) = (vec![system_prompt(tools)], grammar::openings(tools));
        running.model.prepare(prompt, openings, None, Priority::High, deadline).await.unwrap();
        alone.push(asked(&running, tools).await);
    }
    assert!(alone.iter().all(|(_, _, reused)| *reused > 100), "{alone:?}");
    for _ in 0..2 {
        for ((tools, alone), uncorrected) in [&all, &few].into_iter().zip(&alone).zip(&uncorrected)
        {
            let (text, confidence, reused) = asked(&running, tools).await;
            assert_eq!(text, alone.0);
            // Another split of the same tokens into batches rounds differently, which is little beside the correction.
            let (rounding, correction) = (confidence - alone.1, uncorrected - alone.1);
            assert!(
                rounding.abs() < correction.abs() / 4.0,
                "{confidence} {uncorrected} {alone:?}"
            );
            assert!(reused >= alone.2, "{reused} {alone:?}");
        }
    }
    running.stop().await;
}

/// An answer, how sure it is, and how much of its prompt was there.
async fn asked(running: &Running, tools: &[ToolSpec]) -> (String, f32, u32) {
    let lark = grammar::calls(&tools.iter().collect::<Vec<_>>(), 1, None);
    // What it is not sure of, so that the correction can be seen.
    let question = vec![system_prompt(tools), user("do something about the air in there")];
    let answer = running.ask_messages(question, &lark).await.expect("an answer");
    (answer.text, answer.confidence, answer.usage.reused)
}

#[tokio::test]
async fn each_of_some_texts_is_scored() {
    let running = Running::real().await;
    let texts = ["yes", "no", "perhaps"].map(str::to_owned).to_vec();
    let ask = |texts| Ask {
        grammar: Constraint::OneOf(texts),
        ..ask("Is water wet? Say yes or no.", "")
    };
    let answer = running.model.ask(ask(texts.clone())).await.unwrap();
    let mut scored: Vec<_> = answer.alternatives.iter().map(|other| other.text.clone()).collect();
    scored.push(answer.text.clone());
    assert!(scored.iter().all(|text| texts.contains(text)), "{scored:?}");
    let all: f32 =
        answer.alternatives.iter().map(|other| other.confidence).sum::<f32>() + answer.confidence;
    assert!((0.99..1.001).contains(&all), "{answer:?}");
    scored.sort();
    scored.dedup();
    assert_eq!(scored.len(), 1 + answer.alternatives.len(), "however it is spelt, one answer");
    for count in [0, MAX_TEXTS + 1] {
        let texts = (0..count).map(|n| n.to_string()).collect();
        let error = running.model.ask(ask(texts)).await.unwrap_err();
        assert!(
            matches!(&error, ModelError::Refused(why) if why.contains("1 to 128 are taken")),
            "{error}"
        );
    }
    let most = (0..MAX_TEXTS).map(|n| format!("{n:03}")).collect();
    assert!(running.model.ask(ask(most)).await.is_ok());
    running.stop().await;
}

/// Who asks urgently while the model loads does not overtake what all are answered behind.
#[tokio::test]
async fn an_urgent_ask_is_corrected_like_all_others_though_it_came_before_the_static_part() {
    let folder = tempfile::tempdir().unwrap();
    let tools = greenhouse();
    let lark = grammar::calls(&tools.iter().collect::<Vec<_>>(), 1, None);
    let openings = grammar::openings(&tools);
    let prompt = vec![system_prompt(&tools)];
    let config =
        ModelConfig { threads: 1, prefixes: Some(folder.path().into()), ..ModelConfig::default() };
    let running = start(&config, &file(real_model()), executable());
    let deadline = Instant::now() + Duration::from_secs(60);
    let question = || Ask {
        messages: vec![system_prompt(&tools), user("turn on the pump")],
        grammar: lark.as_str().into(),
        offer: None,
        max_tokens: 64,
        priority: Priority::High,
        deadline: Instant::now() + Duration::from_secs(30),
        pieces: None,
    };
    let (early, usage) = tokio::join!(
        running.model.ask(question()),
        running.model.prepare(prompt.clone(), openings, None, Priority::High, deadline)
    );
    let (early, usage) = (early.unwrap(), usage.unwrap());
    assert_eq!(usage.reused, 0, "it was computed for the first time");
    let late = running.model.ask(question()).await.unwrap();
    assert_eq!(early.text, late.text);
    assert!((early.confidence - late.confidence).abs() < 1e-3, "{early:?} {late:?}");
    running.stop().await;
}
