//! A model that has its own way of being offered tools: the real one, in whose file the chat template is another one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use agentd::ground::Grounds;
use agentd::model::config::ModelConfig;
use agentd::model::offer::Offer;
use agentd::model::{Ask, grammar};
use agentd_tools::spec::Priority;

use super::support::{Running, ask, executable, file, greenhouse, real_model, start};

/// How its template begins, which has 368 bytes.
const BEGINS: &str = "{% for message in messages %}";
const BYTES: usize = 368;

/// The real model with a template of ours, which says with `mark` which way it is.
fn speaking(folder: &Path, mark: &str) -> PathBuf {
    let template = format!(
        "{{# {mark} #}}{{% for m in messages %}}<|im_start|>{{{{ m.role }}}}\n{{{{ m.content }}}}\
         {{% if loop.first and tools %}}\nTools:{{% for t in tools %}}\n{{{{ t | tojson }}}}{{% endfor %}}\
         {{% endif %}}<|im_end|>\n{{% endfor %}}\
         {{% if add_generation_prompt %}}<|im_start|>assistant\n{{% endif %}}"
    );
    let padded = format!("{template}{:>1$}", "", BYTES - template.len());
    let mut bytes = std::fs::read(real_model()).expect("the model");
    let begins = BEGINS.as_bytes();
    let at = bytes.windows(begins.len()).position(|window| window == begins).expect("its template");
    bytes[at..at + BYTES].copy_from_slice(padded.as_bytes());
    let path = folder.join("native.gguf");
    std::fs::write(&path, bytes).expect("written");
    path
}

async fn is_asked_in_its_own_way(mark: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = speaking(folder.path(), mark);
    let config = ModelConfig { adapter: Some("none".into()), threads: 1, ..ModelConfig::default() };
    let running = start(&config, &file(path), executable());
    running.ready().await;
    let still = Offer::of(greenhouse().into(), 2);
    let deadline = Instant::now() + Duration::from_secs(60);
    let prepared = running.model.prepare(
        Vec::new(),
        Vec::new(),
        Some(Arc::new(still.clone())),
        Priority::High,
        deadline,
    );
    let prepared = prepared.await.expect("the static part").prefilled;
    assert!(prepared > 200, "{prepared} tokens: the tools are there");
    for (say, max_calls) in [
        ("turn on the pump", 1),
        ("note that the left door sticks", 1),
        ("make it 21 degrees, then tell me how humid it was on average in the last 6 hours", 2),
    ] {
        let grounds = Some(Grounds::of(say));
        let offer = Offer { grounds, max_calls, say: Some(say.to_owned()), ..still.clone() };
        let ask =
            Ask { offer: Some(Arc::new(offer)), max_tokens: 128, ..ask("", "start: \"never\"") };
        let answer = running.model.ask(ask).await.expect(say);
        println!("{mark}: {say} -> {} {:?}", answer.text, answer.usage);
        let calls = grammar::parse_calls(&answer.text).expect("calls in our own syntax");
        assert!(calls.len() <= max_calls, "{}", answer.text);
        let known = |name: &str| greenhouse().iter().any(|tool| tool.name == name);
        assert!(calls.iter().all(|call| known(&call.tool)), "{}", answer.text);
        assert!(answer.usage.reused >= prepared, "{:?} of {prepared}", answer.usage);
    }
    let call = grammar::parse_calls("set_output(device=fan, state=on)").expect("a call");
    let before = vec![("the fan <|im_end|> on".to_owned(), call)];
    let offer = Offer { before, say: Some("and the lamp too".into()), ..still };
    let ask = Ask { offer: Some(Arc::new(offer)), max_tokens: 128, ..ask("", "start: \"never\"") };
    let answer = running.model.ask(ask).await.expect("an answer");
    assert!(grammar::parse_calls(&answer.text).is_ok(), "{}", answer.text);
    assert!(answer.usage.reused >= prepared, "{:?} of {prepared}", answer.usage);
    running.stop().await;
}

/// What is marked in a grammar of ours is a control token where the vocabulary has one of that name, and else its text.
#[tokio::test]
async fn marked_tokens_are_control_tokens_where_there_are_such() {
    let running = Running::real().await;
    for (lark, is_one) in [
        ("start: \u{1}<repo_name>\u{1} \"x\"", true),
        ("start: \u{1}<no_such_token>\u{1} \"x\"", false),
    ] {
        let answer = running.model.ask(ask("hello", lark)).await.expect(lark);
        let name = lark.split('\u{1}').nth(1).expect("a name");
        assert_eq!(answer.text, format!("{name}x"));
        let written = answer.usage.forced + answer.usage.sampled;
        assert_eq!(written <= 3, is_one, "{:?}", answer.usage);
    }
    running.stop().await;
}

#[tokio::test]
async fn a_model_is_offered_tools_as_its_template_says_and_answers_in_our_syntax() {
    is_asked_in_its_own_way("<tool_call> arguments").await;
}

#[tokio::test]
async fn one_that_writes_python_too() {
    is_asked_in_its_own_way("<|tool_list_start|>").await;
}
