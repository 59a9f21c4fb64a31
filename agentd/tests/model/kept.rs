//! What is kept of a model over a restart, and what becomes of it where the disk has damaged it.

use std::time::{Duration, Instant, SystemTime};

use agentd::model::grammar;
use agentd_tools::spec::Priority;

use super::support::{greenhouse, keeping, system_prompt, user};

#[tokio::test]
async fn a_worker_that_starts_again_restores_its_prompt_and_gives_the_same_answer() {
    let folder = tempfile::tempdir().unwrap();
    let tools = greenhouse();
    let lark = grammar::calls(&tools.iter().collect::<Vec<_>>(), 1, None);
    let prompt = vec![system_prompt(&tools)];
    let question = [system_prompt(&tools), user("turn on the pump")];
    let states = || {
        let files = folder.path().read_dir().unwrap().map(|entry| entry.unwrap().path());
        files.filter(|path| path.extension().is_some_and(|kind| kind == "kv")).collect::<Vec<_>>()
    };
    let (mut answers, mut tokens) = (Vec::new(), 0);
    for life in ["first", "second", "damaged", "fourth"] {
        if life == "damaged" {
            // One bit of the middle, as a worn flash cell would do it.
            let kept = &states()[0];
            let mut bytes = std::fs::read(kept).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(kept, bytes).unwrap();
        }
        let running = keeping(folder.path()).await;
        let deadline = Instant::now() + Duration::from_secs(60);
        let usage = running
            .model
            .prepare(prompt.clone(), Vec::new(), None, Priority::High, deadline)
            .await
            .unwrap();
        if life == "first" {
            tokens = usage.prefilled;
        }
        let expected = if matches!(life, "second" | "fourth") { (tokens, 0) } else { (0, tokens) };
        assert_eq!((usage.reused, usage.prefilled), expected, "{life}");
        let answer = running.ask_messages(question.to_vec(), &lark).await.unwrap();
        assert!(
            answer.usage.reused >= tokens - 1 && answer.usage.prefilled < 20,
            "{life}: {answer:?}"
        );
        answers.push(answer.text);
        running.stop().await;
    }
    assert!(tokens > 200);
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!(states().len(), 1);
}

#[tokio::test]
async fn the_vocabulary_is_read_from_the_disk_at_the_next_start_unless_it_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let tools = greenhouse();
    let lark = grammar::calls(&tools.iter().collect::<Vec<_>>(), 1, None);
    let kept = || {
        let files = folder.path().read_dir().unwrap().map(|entry| entry.unwrap().path());
        let mut words = files.filter(|path| path.extension().is_some_and(|kind| kind == "words"));
        words.next().expect("the vocabulary")
    };
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
    let (mut answers, mut whole) = (Vec::new(), Vec::new());
    for life in ["first", "second", "damaged", "fourth"] {
        if life == "damaged" {
            let mut bytes = std::fs::read(kept()).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(kept(), bytes).unwrap();
        }
        if life != "first" {
            std::fs::File::open(kept()).unwrap().set_modified(long_ago).unwrap();
        }
        let running = keeping(folder.path()).await;
        let question = vec![system_prompt(&tools), user("turn on the pump")];
        answers.push(running.ask_messages(question, &lark).await.unwrap().text);
        running.stop().await;
        // What was read from the model is written down, and nothing else is.
        let is_written = kept().metadata().unwrap().modified().unwrap() != long_ago;
        assert_eq!(is_written, matches!(life, "first" | "damaged"), "{life}");
        whole.push(std::fs::read(kept()).unwrap());
    }
    for all in [&mut whole, &mut answers.into_iter().map(String::into_bytes).collect()] {
        all.dedup();
        assert_eq!(all.len(), 1);
    }
}
