//! A supervisor on its way, and what is asked of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use agentd::feed::Feed;
use agentd::health::Health;
use agentd::metrics::Metrics;
use agentd::model::config::{ModelConfig, Source};
use agentd::model::manager::{Ladder, Manager};
use agentd::model::supervisor::Supervisor;
use agentd::model::{Answer, Ask, Message, Model, ModelError, State};
use agentd_tools::ToolSpec;
use agentd_tools::spec::Priority;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Nothing here takes as long on a machine that is not stuck.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The worker's program: this crate's.
pub(crate) fn executable() -> PathBuf {
    env!("CARGO_BIN_EXE_agentd").into()
}

/// The real model's file.
pub(crate) fn real_model() -> PathBuf {
    let path = std::env::var_os("AGENTD_TEST_MODEL").expect(
        "AGENTD_TEST_MODEL must name SmolLM2-135M-Instruct.Q4_1.gguf (`agentd model pull` gets it)",
    );
    path.into()
}

pub(crate) fn file(path: impl Into<PathBuf>) -> Source {
    Source::File { name: "test-model".into(), path: path.into() }
}

/// A supervisor that runs, and the handles to all that it touches.
pub(crate) struct Running {
    pub(crate) model: Model,
    pub(crate) health: Health,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) shutdown: CancellationToken,
    task: JoinHandle<()>,
}

pub(crate) fn start(config: &ModelConfig, source: &Source, executable: PathBuf) -> Running {
    Running::of(|health, metrics, shutdown| {
        let (model, supervisor) = Supervisor::new(config, source, executable, health, metrics);
        (model, supervisor.run(shutdown))
    })
}

/// Several models, the best one first.
pub(crate) fn start_manager(config: &ModelConfig, sources: &[Source]) -> Running {
    Running::of(|health, metrics, shutdown| {
        let ladder = Ladder { config: config.clone(), sources: sources.to_vec(), larger: None };
        let (mut models, manager) = Manager::new(&[ladder], &executable(), &health, &metrics);
        (models.remove(0), manager.run(shutdown))
    })
}

/// The models of several agents: a handle for each; the first agent's is that of `Running`.
pub(crate) fn start_agents(ladders: &[Ladder]) -> (Running, Vec<Model>) {
    let mut handles = Vec::new();
    let running = Running::of(|health, metrics, shutdown| {
        let (models, manager) = Manager::new(ladders, &executable(), &health, &metrics);
        handles.clone_from(&models);
        (handles[0].clone(), manager.run(shutdown))
    });
    (running, handles)
}

impl Running {
    #[expect(clippy::disallowed_methods, reason = "in a test, the test is what spawns")]
    fn of<F: Future<Output = ()> + Send + 'static>(
        begin: impl FnOnce(Health, Arc<Metrics>, CancellationToken) -> (Model, F),
    ) -> Self {
        let (health, metrics) = (Health::new(Feed::default()), Arc::new(Metrics::default()));
        let shutdown = CancellationToken::new();
        let (model, task) = begin(health.clone(), Arc::clone(&metrics), shutdown.clone());
        Self { model, health, metrics, shutdown, task: tokio::spawn(task) }
    }

    pub(crate) async fn real() -> Self {
        // llama.cpp's threads spin while they wait for one another: two workers with two threads each
        // on two cores, as when two of these tests run, are a hundred times slower than with one.
        let threads =
            std::env::var("AGENTD_TEST_THREADS").map_or(1, |n| n.parse().expect("a number"));
        let config = ModelConfig { threads, ..ModelConfig::default() };
        let running = start(&config, &file(real_model()), executable());
        running.wait_for("Ready", |state| matches!(state, State::Ready { .. })).await;
        running
    }

    pub(crate) async fn scripted(script: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("script.toml");
        std::fs::write(&path, script).unwrap();
        let running = start(&ModelConfig::default(), &Source::Script(path), executable());
        // The worker has read the script once it is ready; a second worker needs it again.
        running.wait_for("Ready", |state| matches!(state, State::Ready { .. })).await;
        let _kept = dir.keep();
        running
    }

    #[track_caller]
    pub(crate) fn wait_for(
        &self,
        what: &str,
        is_it: impl Fn(&State) -> bool,
    ) -> impl Future<Output = State> {
        let (mut states, what) = (self.model.watch(), what.to_owned());
        async move {
            let state = tokio::time::timeout(PATIENCE, states.wait_for(is_it)).await;
            let state = state.unwrap_or_else(|_| panic!("never {what}"));
            state.expect("the supervisor lives").clone()
        }
    }

    pub(crate) async fn ready(&self) -> State {
        self.wait_for("Ready", |state| matches!(state, State::Ready { .. })).await
    }

    pub(crate) async fn down(&self) -> String {
        match self.wait_for("Down", |state| matches!(state, State::Down { .. })).await {
            State::Down { cause, .. } => cause,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn ask(&self, words: &str, grammar: &str) -> Result<Answer, ModelError> {
        self.ask_messages(vec![user(words)], grammar).await
    }

    pub(crate) async fn ask_messages(
        &self,
        messages: Vec<Message>,
        grammar: &str,
    ) -> Result<Answer, ModelError> {
        self.model.ask(Ask { messages, max_tokens: 128, ..ask("", grammar) }).await
    }

    /// Asks with a sink for the pieces.
    pub(crate) async fn ask_aloud(
        &self,
        words: &str,
        grammar: &str,
        max_tokens: u32,
        pieces: mpsc::Sender<String>,
    ) -> Result<Answer, ModelError> {
        let pieces = Some(pieces);
        self.model.ask(Ask { max_tokens, pieces, ..ask(words, grammar) }).await
    }

    /// Stops it and waits until it is gone.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        tokio::time::timeout(PATIENCE, self.task)
            .await
            .expect("it stops")
            .expect("without a panic");
    }
}

/// An ask of normal priority that a test waits for, with an answer of up to 16 tokens.
pub(crate) fn ask(words: &str, grammar: &str) -> Ask {
    Ask {
        messages: vec![user(words)],
        grammar: grammar.into(),
        offer: None,
        max_tokens: 16,
        priority: Priority::Normal,
        deadline: Instant::now() + PATIENCE,
        pieces: None,
    }
}

pub(crate) fn message(role: &str, content: &str) -> Message {
    Message { role: role.into(), content: content.into() }
}

pub(crate) fn user(content: &str) -> Message {
    message("user", content)
}

/// The pids of this process's children whose command line holds `needle`.
pub(crate) fn workers(needle: &str) -> Vec<i32> {
    let mut found = Vec::new();
    for task in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        found.extend(children.split_whitespace().map(|pid| pid.parse::<i32>().unwrap()));
    }
    found.retain(|pid| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(needle)
    });
    found
}

pub(crate) fn signal(pid: i32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid).expect("a pid");
    rustix::process::kill_process(pid, signal).expect("our own child");
}

/// A greenhouse with five tools: about 300 tokens of prompt.
pub(crate) fn greenhouse() -> Vec<ToolSpec> {
    serde_json::from_value(serde_json::json!([
        { "name": "set_output", "description": "switch a device on or off", "kind": "serial",
          "params": { "device": { "enum": ["pump", "fan", "heater", "lamp"] },
                      "state": { "enum": ["on", "off"] } } },
        { "name": "read_sensor", "description": "read a sensor now", "kind": "serial",
          "params": { "sensor": { "enum": ["temperature", "humidity", "soil_moisture"] } } },
        { "name": "set_target", "description": "set the wanted temperature in degrees Celsius",
          "kind": "serial", "params": { "celsius": { "type": "number", "min": 5, "max": 35 } } },
        { "name": "average", "description": "average of a sensor over the last hours",
          "kind": "sql", "params": { "sensor": { "enum": ["temperature", "humidity"] },
                      "hours": { "type": "integer", "min": 1, "max": 168, "default": 24 } } },
        { "name": "note", "description": "write a line into the log book", "kind": "note",
          "params": { "text": { "type": "string", "max_length": 60 } } }
    ]))
    .expect("tools")
}

/// The prompt's part that never changes.
pub(crate) fn system_prompt(tools: &[ToolSpec]) -> Message {
    let mut text = String::from(
        "You turn a person's words into one call of a tool. Answer with the call and nothing else. \
         Where no tool fits, answer none().\nTools:\n",
    );
    for tool in tools {
        let params: Vec<_> = tool
            .params
            .iter()
            .map(|(key, param)| -> String {
                let values =
                    param.choices.as_ref().map_or("a value".into(), |words| words.join("|"));
                format!("{key}={values}")
            })
            .collect();
        text.push_str(&format!("- {}({}): {}\n", tool.name, params.join(", "), tool.description));
    }
    for (say, call) in [
        ("turn on the pump", "set_output(device=pump, state=on)"),
        ("how warm is it", "read_sensor(sensor=temperature)"),
        ("make it 21 degrees", "set_target(celsius=21)"),
        ("mean humidity of the last 6 hours", "average(sensor=humidity, hours=6)"),
        ("tell me a joke", "none()"),
    ] {
        text.push_str(&format!("Request: {say}\nCall: {call}\n"));
    }
    message("system", &text)
}

/// A worker of the real model that keeps its states in `folder`.
pub(crate) async fn keeping(folder: &Path) -> Running {
    let config =
        ModelConfig { threads: 1, prefixes: Some(folder.into()), ..ModelConfig::default() };
    let running = start(&config, &file(real_model()), executable());
    running.ready().await;
    running
}
