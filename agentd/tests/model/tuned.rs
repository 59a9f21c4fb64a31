//! The built-in adapter, beside the real model's weights and in them.

use agentd::model::catalog::Catalog;
use agentd::model::config::ModelConfig;
use agentd::model::{State, grammar, tuned};

use super::support::{
    Running, executable, file, greenhouse, real_model, start, system_prompt, user,
};

#[tokio::test]
async fn a_tuned_file_answers_as_the_adapter_does() {
    let dir = tempfile::tempdir().unwrap();
    let catalog = Catalog::load(dir.path()).unwrap();
    let entry = catalog.default_entry();
    assert!(tuned::make(dir.path(), entry, &()).is_err(), "the model is not installed");
    std::os::unix::fs::symlink(real_model(), dir.path().join(&entry.file)).unwrap();
    assert_eq!(tuned::find(dir.path(), entry), None);
    let path = tuned::make(dir.path(), entry, &()).unwrap().expect("the adapter is for this model");
    assert_eq!(tuned::find(dir.path(), entry), Some(path.clone()));
    let config = ModelConfig { dir: dir.path().to_owned(), ..ModelConfig::default() };
    assert_eq!(
        config.source().unwrap().map(|source| source.name().to_owned()).as_deref(),
        Some(entry.name.as_str())
    );

    let tools = greenhouse();
    let lark = grammar::calls(&tools.iter().collect::<Vec<_>>(), 1, None);
    let config = ModelConfig { threads: 1, ..ModelConfig::default() };
    let with_file = start(&config, &file(path), executable());
    with_file.wait_for("Ready", |state| matches!(state, State::Ready { .. })).await;
    let with_adapter = Running::real().await;
    for words in ["turn on the fan", "switch the lamp off please"] {
        let messages = || vec![system_prompt(&tools), user(words)];
        let from_file = with_file.ask_messages(messages(), &lark).await.unwrap();
        let from_adapter = with_adapter.ask_messages(messages(), &lark).await.unwrap();
        assert_eq!(from_file.text, from_adapter.text, "{words}");
        assert!((from_file.confidence - from_adapter.confidence).abs() < 0.2, "{words}");
    }
    with_file.stop().await;
    with_adapter.stop().await;

    tuned::remove(dir.path(), entry).unwrap();
    assert_eq!(tuned::find(dir.path(), entry), None);
    tuned::remove(dir.path(), entry).unwrap();
}
