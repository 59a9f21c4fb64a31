//! The model in the loop: the real one, and a script where it has to be unsure.

use agentd::command::{Route, Status};
use agentd_tests::{Machine, Setting, real_model, scripted_model};

#[tokio::test]
async fn the_real_model_turns_free_words_into_one_checked_call() {
    // It is never quite sure.
    let config = format!("{}second_opinion = 1.0\n", real_model());
    let machine = Machine::start(Setting { mqtt: Some(5), config, ..Setting::default() }).await;
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
    let is_warm = async |m: &Machine| m.log().contains("in the opposite order are there too");
    machine.until("both static parts are there", is_warm).await;
    let first = machine.metric("agentd_model_tokens_prefilled_total").await;
    machine.say("it is far too dark to read in here").await;
    let second = machine.metric("agentd_model_tokens_prefilled_total").await - first;
    assert!(second * 4 < first, "both static parts are kept: {first} tokens, then {second}");
    assert!(machine.metric("agentd_model_second_opinions_total").await > 0);
    assert!(machine.metric("agentd_model_tokens_forced_total").await > 0);
}

#[tokio::test]
async fn what_refers_to_the_sentence_before_is_understood_within_its_session() {
    let machine = Machine::start(Setting { config: real_model(), ..Setting::default() }).await;
    machine.until_model_ready().await;
    machine.ask_in("kitchen", "turn on the pump").await;
    let outcome = machine.ask_in("kitchen", "and the lamp too").await;
    assert_eq!((outcome.route, outcome.status), (Route::Model, Status::Done), "{}", outcome.text);
    assert_eq!(outcome.text, "The lamp is now on.");
    assert!(outcome.confidence.is_some_and(|sure| sure > 0.0 && sure <= 1.0));
}

#[tokio::test]
async fn what_the_model_is_not_sure_of_is_asked_back_and_not_done() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = r#"
[[reply]]
when = "gloomy"
say = "set_output(device=lamp, state=on)"
confidence = 0.4
or = [{ text = "set_output(device=heater, state=on)", confidence = 0.3 }]

[[reply]]
when = "dark"
say = "set_output(device=lamp, state=on)"
confidence = 0.5
"#;
    let config = format!("{}min_confidence = 0.5\n", scripted_model(folder.path(), script));
    let machine = Machine::start(Setting { config, ..Setting::default() }).await;
    machine.until_model_ready().await;
    let unsure = machine.ask("it is gloomy in here").await;
    assert_eq!(unsure.status, Status::Denied);
    assert_eq!(unsure.error.map(|denial| denial.code).as_deref(), Some("unsure"));
    assert_eq!(
        unsure.text,
        "I am not sure what is meant; it may be set_output(device=lamp, state=on), or \
         set_output(device=heater, state=on). Please say it in other words. Nothing was done."
    );
    assert_eq!(unsure.confidence, Some(0.4));
    assert!(machine.greenhouse.actions().is_empty());
    let sure = machine.ask("it is dark in here").await;
    assert_eq!((sure.status, sure.confidence), (Status::Done, Some(0.5)), "{}", sure.text);
    assert_eq!(machine.greenhouse.actions().len(), 1);
}

/// A script that is unsure of one sentence, and a model that really thinks behind it.
#[tokio::test]
async fn what_the_model_is_not_sure_of_a_larger_one_is_asked_which_is_loaded_for_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = r#"
[[reply]]
when = "lamp"
say = "set_output(device=heater, state=on)"
confidence = 0.49

[[reply]]
when = "pump"
say = "set_output(device=pump, state=on)"
confidence = 0.5
"#;
    let real = std::env::var("AGENTD_TEST_MODEL").expect("the model's file");
    let config = scripted_model(folder.path(), script);
    let config = format!("{config}escalate_to = \"{real}\"\nmin_confidence = 0.5\n");
    let machine = Machine::start(Setting { config, ..Setting::default() }).await;
    machine.until_model_ready().await;
    let sure = machine.ask("would you put the pump on").await;
    assert_eq!((sure.status, sure.model.as_deref()), (Status::Done, Some("scripted")));
    assert_eq!(machine.worker_pids().len(), 1, "the larger one is not loaded yet");
    let unsure = machine.ask("would you put the lamp on").await;
    assert_eq!(unsure.model.as_deref(), Some("SmolLM2-135M-Instruct.Q4_1"), "{}", unsure.text);
    assert_eq!((unsure.status, unsure.text.as_str()), (Status::Done, "The lamp is now on."));
    assert_eq!(machine.worker_pids().len(), 2);
    assert_eq!(machine.metric("agentd_model_escalations_total").await, 1);
    let check = machine.run(&["check"]).await;
    let told = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(told.contains("escalate_to SmolLM2-135M-Instruct.Q4_1"), "{told}");
}

#[tokio::test]
async fn where_the_larger_model_cannot_be_loaded_a_person_is_asked_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let script =
        "[[reply]]\nwhen = \".*\"\nsay = \"set_output(device=lamp, state=on)\"\nconfidence = 0.4\n";
    let config = scripted_model(folder.path(), script);
    let config = format!("{config}escalate_to = \"/nowhere/large.gguf\"\nmin_confidence = 0.5\n");
    let machine = Machine::start(Setting { config, ..Setting::default() }).await;
    machine.until_model_ready().await;
    // The first one finds out, and the second one knows.
    for _ in 0..2 {
        let unsure = machine.ask("it is gloomy in here").await;
        assert_eq!(unsure.error.map(|denial| denial.code).as_deref(), Some("unsure"));
        assert_eq!((unsure.model.as_deref(), unsure.confidence), (Some("scripted"), Some(0.4)));
    }
    assert!(machine.greenhouse.actions().is_empty());
    let why = machine.degraded("model:large").await.expect("health says why");
    assert!(why.contains("/nowhere/large.gguf"), "{why}");
    assert_eq!(machine.metric("agentd_model_escalations_total").await, 0);
}

#[tokio::test]
async fn a_value_that_is_missing_is_asked_for_and_the_next_words_complete_the_request() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = r#"
[[reply]]
when = "^make the fan slower$"
say = "set_speed()"

[[reply]]
when = "^make the fan slower, to 40, please$"
say = "set_speed(percent=40)"

[[reply]]
when = ".*"
say = "none()"
"#;
    let config = scripted_model(folder.path(), script);
    let machine = Machine::start(Setting { config, ..Setting::default() }).await;
    machine.until_model_ready().await;
    let asked = machine.ask_in("kitchen", "make the fan slower").await;
    assert_eq!(asked.status, Status::Denied);
    assert_eq!(asked.error.map(|denial| denial.code).as_deref(), Some("value_missing"));
    let told = "Please say which value is meant: set_speed needs percent (a whole number, 0 to 100). Nothing was done.";
    assert_eq!(asked.text, told);
    let elsewhere = machine.ask_in("hall", "to 40, please").await;
    assert_eq!(elsewhere.status, Status::Denied, "nobody was asked there: {}", elsewhere.text);
    assert!(machine.greenhouse.actions().is_empty());
    let done = machine.ask_in("kitchen", "to 40, please").await;
    assert_eq!((done.status, done.text.as_str()), (Status::Done, "The fan runs at 40 %."));
    assert_eq!(machine.greenhouse.actions().len(), 1);
    let again = machine.ask_in("kitchen", "to 50, please").await;
    assert_eq!(again.status, Status::Denied, "it was answered: {}", again.text);
}

#[tokio::test]
async fn where_the_first_model_cannot_be_loaded_the_fallback_answers_and_health_says_why() {
    let real = std::env::var("AGENTD_TEST_MODEL").expect("the model's file");
    let config = format!("[model]\npath = \"/nowhere/large.gguf\"\nfallback = [\"{real}\"]\n");
    let machine = Machine::start(Setting { config, ..Setting::default() }).await;
    let is_lost = async |m: &Machine| m.degraded("model").await.is_some();
    machine.until("the first one is lost", is_lost).await;
    assert!(machine.worker_pids().is_empty(), "the other one is loaded once it is asked");
    let outcome = machine.ask("please let some fresh air into the house").await;
    assert_eq!(outcome.route, Route::Model, "{}", outcome.text);
    assert_eq!(outcome.model.as_deref(), Some("SmolLM2-135M-Instruct.Q4_1"));
    let why = machine.degraded("model").await.expect("the first one is still lost");
    assert!(why.contains("/nowhere/large.gguf"), "{why}");
    let check = machine.run(&["check"]).await;
    let told = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(told.contains("fallback SmolLM2-135M-Instruct.Q4_1"), "{told}");
}

#[tokio::test]
async fn a_known_sentence_is_done_while_many_others_wait_for_the_model() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = "[[reply]]\nwhen = \".*\"\nsay = \"none()\"\ndelay_ms = 20000\n";
    let config = scripted_model(folder.path(), script);
    let machine = Machine::start(Setting { config, ..Setting::default() }).await;
    machine.until_model_ready().await;
    let sessions: Vec<String> = (0..12).map(|n| format!("person {n}")).collect();
    let thinking = sessions.iter().map(|session| machine.ask_in(session, "make it nice in here"));
    let known = async {
        machine
            .until("they wait", async |m| m.metric("agentd_route_model_total").await == 12)
            .await;
        machine.ask("turn on the pump").await
    };
    tokio::select! {
        biased;
        _ = futures_util::future::join_all(thinking) => panic!("the known sentence waited for them"),
        outcome = known => assert_eq!(outcome.status, Status::Done, "{}", outcome.text),
    }
}
