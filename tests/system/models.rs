//! The real model in the loop.

use agentd::command::{Route, Status};
use agentd_tests::{Machine, Setting, real_model};

#[tokio::test]
async fn the_real_model_turns_free_words_into_one_checked_call() {
    let machine =
        Machine::start(Setting { mqtt: Some(5), config: real_model(), ..Setting::default() }).await;
    machine.until_model_ready().await;
    let outcome = machine.say("please let some fresh air into the house").await;
    assert_eq!(outcome.route, Route::Model);
    assert!(outcome.model.is_some());
    // The model is small and not yet tuned: whether it is right is examined elsewhere. What it writes is
    // a call of a declared tool or none, and the reply agrees with the board.
    match outcome.status {
        Status::Done => {
            assert_eq!(outcome.calls.len(), 1);
            let acted = outcome.calls[0].tool.starts_with("set_");
            assert_eq!(machine.greenhouse.actions().len(), usize::from(acted), "{}", outcome.text);
        }
        Status::Denied => assert!(machine.greenhouse.actions().is_empty(), "{}", outcome.text),
        other => panic!("{other:?}: {}", outcome.text),
    }
    let first = machine.metric("agentd_model_tokens_prefilled_total").await;
    machine.say("it is far too dark to read in here").await;
    let second = machine.metric("agentd_model_tokens_prefilled_total").await - first;
    assert!(second * 4 < first, "the prompt's static part is kept: {first} tokens, then {second}");
    assert!(machine.metric("agentd_model_tokens_forced_total").await > 0);
}
