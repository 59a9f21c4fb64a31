//! Asks the questions: production's prompt, grammar and worker.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use agentd::agent::prompt;
use agentd::command::Call;
use agentd::feed::Feed;
use agentd::ground::Grounds;
use agentd::health::Health;
use agentd::metrics::Metrics;
use agentd::model::config::{ModelConfig, Source};
use agentd::model::supervisor::Supervisor;
use agentd::model::{Model, ModelError, State, grammar};
use agentd_tools::ToolSpec;
use anyhow::{Context as _, Result, bail};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::Args;
use super::cases::{self, Case, Set};
use super::score::{self, Mark, Tally};

/// The longest that one question may take; the first of a machine pays for its tools.
const PATIENCE: Duration = Duration::from_secs(120);

/// Examines all chosen sets. Returns each set's marks.
pub(crate) async fn all(args: &Args) -> Result<Vec<(String, Tally)>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("exam");
    let (machines, mut sets) = cases::load(&folder)?;
    if let Some(unknown) = args.set.iter().find(|name| sets.iter().all(|set| set.name != **name)) {
        let known: Vec<&str> = sets.iter().map(|set| set.name.as_str()).collect();
        bail!("there is no set `{unknown}`: there are {}", known.join(", "));
    }
    sets.retain(|set| args.set.is_empty() || args.set.contains(&set.name));
    for Set { cases, .. } in &mut sets {
        if args.first > 0 {
            cases.truncate(args.first);
        }
        // One machine after the other: the prompt's static part is then computed once for each.
        cases.sort_by(|a, b| a.machine.cmp(&b.machine));
    }
    let config = ModelConfig {
        threads: args.threads,
        adapter: args.adapter.clone(),
        ..ModelConfig::default()
    };
    let source = Source::File { name: "exam".into(), path: args.model.clone() };
    let (health, metrics) = (Health::new(Feed::default()), Arc::new(Metrics::default()));
    let (model, supervisor) = Supervisor::new(&config, &source, worker()?, health, metrics);
    let stop = CancellationToken::new();
    let examination = async {
        let marks = ask_all(args, &machines, &sets, &model).await;
        stop.cancel();
        marks
    };
    let (marks, ()) = tokio::join!(examination, supervisor.run(stop.clone()));
    marks
}

/// The daemon's program, which stands beside this one.
fn worker() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let worker = own.with_file_name("agentd");
    if !worker.exists() {
        bail!("{} is missing: build the workspace first", worker.display());
    }
    Ok(worker)
}

async fn ask_all(
    args: &Args,
    machines: &cases::Machines,
    sets: &[Set],
    model: &Model,
) -> Result<Vec<(String, Tally)>> {
    ready(model).await?;
    let mut failures = match &args.failures {
        Some(path) => {
            Some(std::fs::File::create(path).with_context(|| path.display().to_string())?)
        }
        None => None,
    };
    let (all, begun) = (sets.iter().map(|set| set.cases.len()).sum::<usize>(), Instant::now());
    let mut done = 0_usize;
    let mut results = Vec::new();
    for set in sets {
        let mut tally = Tally::default();
        for (i, case) in set.cases.iter().enumerate() {
            let other = i.checked_sub(1).map(|other| &set.cases[other]);
            let case =
                &match other.filter(|other| args.after_another && other.machine == case.machine) {
                    Some(other) => case.clone().after(other),
                    None => case.clone(),
                };
            let tools = &machines[&case.machine];
            let (answer, text, confidence, ms) = ask(args, tools, case, model).await?;
            let mark = Mark { ms, confidence, ..score::mark(case, tools, &answer) };
            if let Some(file) = failures.as_mut().filter(|_| !mark.is_exact) {
                let line = json!({
                    "id": case.id, "machine": case.machine, "say": case.say, "expect": case.expect, "answer": text, "confidence": confidence,
                });
                writeln!(file, "{line}")?;
            }
            tally.add(mark);
            done += 1;
            if done.is_multiple_of(25) || done == all {
                let left = begun.elapsed().mul_f64((all - done) as f64 / done as f64);
                eprintln!("{done} of {all} questions, {} s left", left.as_secs());
            }
        }
        results.push((set.name.clone(), tally));
    }
    Ok(results)
}

async fn ready(model: &Model) -> Result<()> {
    let mut state = model.watch();
    let state = state.wait_for(|state| matches!(state, State::Ready { .. } | State::Down { .. }));
    match &*state.await? {
        State::Down { cause, .. } => bail!("the model cannot be used: {cause}"),
        _ => Ok(()),
    }
}

async fn ask(
    args: &Args,
    tools: &[ToolSpec],
    case: &Case,
    model: &Model,
) -> Result<(Vec<Call>, String, f32, u32)> {
    let mut preamble = prompt::preamble(tools);
    for before in &case.before {
        preamble.extend(prompt::exchange(&before.say, &grammar::answer(&before.calls)));
    }
    let grounds = (!args.ungrounded).then(|| {
        let earlier = case.before.last().map_or("", |before| before.say.as_str());
        Grounds::of(&case.say).and_before(earlier)
    });
    let specs: Vec<&ToolSpec> = tools.iter().collect();
    let grammar = grammar::calls(&specs, args.max_calls, grounds.as_ref());
    let (messages, deadline) = (prompt::messages(&preamble, &case.say), Instant::now() + PATIENCE);
    let max_tokens = ModelConfig::default().max_tokens;
    let asked = Instant::now();
    let answer = model.ask(messages, grammar.into(), max_tokens, deadline, None).await;
    let ms = u32::try_from(asked.elapsed().as_millis()).unwrap_or(u32::MAX);
    let (text, confidence) = match answer {
        Ok(answer) => (answer.text, answer.confidence),
        // It wrote and wrote: in production the command fails.
        Err(ModelError::Refused(why)) => (why, 0.0),
        Err(error) => return Err(error).with_context(|| format!("{}: {}", case.id, case.say)),
    };
    let failed = || vec![Call { tool: "(failed)".into(), args: agentd_tools::Args::new() }];
    Ok((grammar::parse_calls(&text).unwrap_or_else(|_| failed()), text, confidence, ms))
}
