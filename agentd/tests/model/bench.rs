//! Figures of the real model. Not a test: run it with `--run-ignored only` and read what it prints.

use std::time::Instant;

use agentd::model::grammar;

use super::support::{Running, greenhouse, system_prompt, user};

#[tokio::test]
#[ignore = "prints figures; run it alone on a quiet machine"]
async fn figures() {
    let started = Instant::now();
    let running = Running::real().await;
    println!("start to ready: {} ms", started.elapsed().as_millis());
    let tools = greenhouse();
    let lark = grammar::calls(&tools.iter().collect::<Vec<_>>(), 1);
    for words in [
        "turn on the pump",
        "is it humid in here",
        "average temperature of the last 12 hours",
        "set it to 18.5 degrees",
        "switch the lamp off please",
        "turn on the pump",
    ] {
        let answer =
            running.ask_messages(vec![system_prompt(&tools), user(words)], &lark).await.unwrap();
        println!("{words:45} {:45} {:?}", answer.text, answer.usage);
    }
    running.stop().await;
}
