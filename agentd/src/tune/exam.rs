//! Asks questions as production does: its prompt, its grammar, its worker. Only policy and devices are left out.
//!
//! Bound: a question takes [`PATIENCE`] at most.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agentd_tools::spec::Priority;
use agentd_tools::{Args, ToolSpec};
use tokio_util::sync::CancellationToken;

use super::lessons::Toolset;
use super::mark;
use crate::agent::view::{Request, Views};
use crate::command::Call;
use crate::feed::Feed;
use crate::health::Health;
use crate::metrics::Metrics;
use crate::model::config::{ModelConfig, Source};
use crate::model::supervisor::Supervisor;
use crate::model::{Alternative, Answer, Model, ModelError, State, grammar};

/// The longest that one question may take; the first of a machine pays for its tools.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A question.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// What was said and answered before.
    pub before: &'a [(String, String)],
    /// The sentence.
    pub say: &'a str,
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Given {
    /// The calls that would be made; one of a tool that is none where the answer is no call.
    pub calls: Vec<Call>,
    /// What was written, or why nothing was.
    pub text: String,
    /// How sure it is, 0 to 1.
    pub confidence: f32,
    /// What else it may be, the likeliest first.
    pub others: Vec<Vec<Call>>,
    /// The same as it was written, and how sure of each it is.
    pub alternatives: Vec<Alternative>,
    /// What it took, in milliseconds.
    pub ms: u32,
}

/// Starts the worker of `executable`, does `work` with its model, and stops it. The error says why the model cannot
/// be used.
pub async fn with_model<T, F: Future<Output = T>>(
    config: &ModelConfig,
    source: &Source,
    executable: PathBuf,
    work: impl FnOnce(Model) -> F,
) -> Result<T, String> {
    let (health, metrics) = (Health::new(Feed::default()), Arc::new(Metrics::default()));
    // The two views of a machine's tools take one another's place, and come back from here.
    let kept = tempfile::tempdir().map_err(|e| format!("a folder for prompts: {e}"))?;
    let config = &ModelConfig { prefixes: Some(kept.path().to_owned()), ..config.clone() };
    let (model, supervisor) = Supervisor::new(config, source, executable, health, metrics);
    let stop = CancellationToken::new();
    let working = async {
        let done = match ready(&model).await {
            Ok(()) => Ok(work(model).await),
            Err(cause) => Err(cause),
        };
        stop.cancel();
        done
    };
    let (done, ()) = tokio::join!(working, supervisor.run(stop.clone()));
    done
}

async fn ready(model: &Model) -> Result<(), String> {
    let mut state = model.watch();
    let state = state.wait_for(|state| matches!(state, State::Ready { .. } | State::Down { .. }));
    match state.await.map(|state| state.clone()) {
        Ok(State::Down { cause, .. }) => Err(format!("the model cannot be used: {cause}")),
        Ok(_) => Ok(()),
        Err(_) => Err("the model was stopped".into()),
    }
}

/// Shows the model some tools, with the limits of `config`.
pub async fn shown(
    model: &Model,
    config: &ModelConfig,
    tools: &[ToolSpec],
) -> Result<Views, ModelError> {
    let views = Views::new(tools.into(), config);
    let deadline = Instant::now() + PATIENCE;
    let prepared = async {
        views.prepare(model, deadline).await?;
        views.prepare_second(model, deadline).await
    };
    // A prompt that has no room is refused with each question, and told as the answer.
    match prepared.await {
        Ok(_) | Err(ModelError::Refused(_)) => Ok(views),
        Err(error) => Err(error),
    }
}

/// Asks one question about tools that are [`shown`].
pub async fn ask(
    model: &Model,
    views: &Views,
    question: &Question<'_>,
) -> Result<Given, ModelError> {
    let before = question.before.iter();
    let before =
        before.map(|(say, answer)| (say.clone(), grammar::parse_calls(answer).unwrap_or_default()));
    let asked = Instant::now();
    let request = Request {
        say: question.say.to_owned(),
        before: before.collect(),
        priority: Priority::Normal,
        deadline: asked + PATIENCE,
    };
    let answer = views.ask(model, &request, None).await.map(|(answer, _)| answer);
    let ms = u32::try_from(asked.elapsed().as_millis()).unwrap_or(u32::MAX);
    let Answer { text, confidence, alternatives, .. } = match answer {
        Ok(answer) => answer,
        // It wrote and wrote: in production the command fails.
        Err(ModelError::Refused(why)) => Answer { text: why, ..Answer::default() },
        Err(error) => return Err(error),
    };
    let made = |calls| made(calls, views.specs());
    let others =
        alternatives.iter().filter_map(|other| grammar::parse_calls(&other.text).ok().map(made));
    let failed = || vec![Call { tool: "(failed)".into(), args: Args::new() }];
    Ok(Given {
        calls: grammar::parse_calls(&text).map_or_else(|_| failed(), made),
        others: others.collect(),
        alternatives,
        text,
        confidence,
        ms,
    })
}

/// Whether an answer leads to calls: none of it is open, and there are some.
pub fn is_done(calls: &[Call], tools: &[ToolSpec]) -> bool {
    !calls.is_empty() && asked_for(calls, tools).is_none()
}

/// The tool for which the person is asked for a value.
fn asked_for<'a>(calls: &'a [Call], tools: &[ToolSpec]) -> Option<&'a str> {
    let open = calls.iter().find(|call| grammar::is_open(call, tools));
    open.map(|call| call.tool.as_str())
}

/// What would be made of these calls: nothing where one of them is open, and the person is asked for a value.
fn made(calls: Vec<Call>, tools: &[ToolSpec]) -> Vec<Call> {
    if asked_for(&calls, tools).is_some() { Vec::new() } else { calls }
}

/// Whether an answer is as right as the one that was wanted: the same calls, or the same tool asked for its value.
fn is_right(wanted: &[Call], given: &[Call], tools: &[ToolSpec]) -> bool {
    match asked_for(wanted, tools) {
        Some(tool) => asked_for(given, tools) == Some(tool),
        None => mark::is_same(wanted, &made(given.to_vec(), tools), tools),
    }
}

/// Asks all that is said to some machines; for each sentence, whether it was answered exactly. `done` is told how
/// many questions are answered.
pub async fn exact(
    model: &Model,
    config: &ModelConfig,
    toolsets: &[Toolset],
    mut done: impl FnMut(usize),
) -> Result<Vec<bool>, ModelError> {
    let mut exact = Vec::new();
    for Toolset { tools, pairs, .. } in toolsets {
        let views = shown(model, config, tools).await?;
        for pair in pairs {
            let before = pair.before.iter().map(|turn| (turn.say.clone(), turn.answer.clone()));
            let before: Vec<_> = before.collect();
            let question = Question { before: &before, say: &pair.say };
            let given = ask(model, &views, &question).await?;
            let answers = (grammar::parse_calls(&pair.answer), grammar::parse_calls(&given.text));
            exact.push(match answers {
                (Ok(wanted), Ok(given)) => is_right(&wanted, &given, tools),
                _ => false,
            });
            done(exact.len());
        }
    }
    Ok(exact)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn a_model_that_cannot_be_started_is_said_so_and_nothing_is_asked() {
        let source = Source::File { name: "none".into(), path: "/nowhere/model.gguf".into() };
        let worker = Path::new("/nowhere/agentd").to_owned();
        let asked = with_model(&ModelConfig::default(), &source, worker, |_| async { 1 }).await;
        let cause = asked.expect_err("there is no worker");
        assert!(cause.contains("/nowhere/agentd"), "{cause}");
    }

    #[test]
    fn a_value_that_is_asked_for_is_no_call_and_is_right_for_its_own_tool_alone() {
        let number = json!({"n": {"type": "integer"}});
        let tools: Vec<ToolSpec> = serde_json::from_value(json!([
            {"name": "go", "description": "d", "kind": "note", "params": number},
            {"name": "stop", "description": "d", "kind": "note", "params": number},
            {"name": "look", "description": "d", "kind": "sql", "sql": "SELECT 1"},
        ]))
        .expect("tools");
        let calls = |text: &str| grammar::parse_calls(text).expect("calls");
        let right = |wanted, given| is_right(&calls(wanted), &calls(given), &tools);
        assert!(right("go()", "go()") && right("none()", "go()") && right("none()", "none()"));
        assert!(!right("go()", "stop()") && !right("go()", "none()") && !right("go()", "go(n=1)"));
        assert!(right("look()", "look()") && !right("look()\ngo(n=1)", "look()\ngo()"));
        assert_eq!(made(calls("look()\ngo()"), &tools), []);
        assert!(is_done(&calls("look()"), &tools) && !is_done(&calls("none()"), &tools));
    }

    #[test]
    fn a_pair_of_training_data_is_a_question() {
        let toolset: Toolset = serde_json::from_value(json!({
            "tools": [{"name": "go", "description": "go", "kind": "note"}],
            "prompt": "unused",
            "pairs": [{"say": "again", "before": [{"say": "go", "answer": "go()"}], "answer": "go()"}],
        }))
        .expect("a toolset");
        assert_eq!(toolset.pairs[0].before[0].answer, "go()");
    }
}
