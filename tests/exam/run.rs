//! Asks the questions: production's prompt, grammar and worker.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use agentd::agent::view::Views;
use agentd::model::config::{ModelConfig, Source};
use agentd::model::{Model, grammar};
use agentd::tune::exam;
use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::json;

use super::Args;
use super::cases::{self, Case, Set};
use super::score::{self, Mark, Tally};

/// Examines all chosen sets. Returns each set's marks.
pub(crate) async fn all(args: &Args) -> Result<Vec<(String, Tally)>> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("exam");
    let (machines, mut sets) = cases::load(args.cases.as_ref().unwrap_or(&own))?;
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
    let production = ModelConfig::default();
    let config = ModelConfig {
        second_opinion: args.second_opinion.unwrap_or(production.second_opinion),
        threads: args.threads,
        adapter: args.adapter.clone(),
        grounded: !args.ungrounded,
        max_calls: args.max_calls,
        ..production
    };
    let source = Source::File { name: "exam".into(), path: args.model.clone() };
    let marks = exam::with_model(&config, &source, worker()?, async |model| {
        ask_all(args, &config, &machines, &sets, &model).await
    });
    marks.await.map_err(|cause| anyhow!(cause))?
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
    config: &ModelConfig,
    machines: &cases::Machines,
    sets: &[Set],
    model: &Model,
) -> Result<Vec<(String, Tally)>> {
    let create =
        |path: &PathBuf| std::fs::File::create(path).with_context(|| path.display().to_string());
    let mut failures = args.failures.as_ref().map(create).transpose()?;
    let mut answers = args.answers.as_ref().map(create).transpose()?;
    let (all, begun) = (sets.iter().map(|set| set.cases.len()).sum::<usize>(), Instant::now());
    let mut done = 0_usize;
    let mut results = Vec::new();
    let mut shown = None;
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
            if shown.as_ref().is_none_or(|(machine, _)| *machine != case.machine) {
                let views = exam::shown(model, config, tools).await;
                shown = Some((case.machine.clone(), views.context(case.machine.clone())?));
            }
            let Some((_, views)) = &shown else { continue };
            let exam::Given { calls, others, alternatives, text, confidence, ms } =
                ask(model, views, case).await?;
            let is_named = others.iter().any(|other| score::mark(case, tools, other).is_exact);
            let mark = Mark { ms, confidence, is_named, ..score::mark(case, tools, &calls) };
            let line = json!({
                "id": case.id, "machine": case.machine, "say": case.say, "expect": case.expect, "answer": text, "confidence": confidence,
                "alternatives": alternatives, "exact": mark.is_exact,
            });
            for file in answers.iter_mut().chain(failures.as_mut().filter(|_| !mark.is_exact)) {
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

async fn ask(model: &Model, views: &Views, case: &Case) -> Result<exam::Given> {
    let turn = |before: &cases::Before| (before.say.clone(), grammar::answer(&before.calls));
    let before: Vec<_> = case.before.iter().map(turn).collect();
    let question = exam::Question { before: &before, say: &case.say };
    let given = exam::ask(model, views, &question).await;
    given.with_context(|| format!("{}: {}", case.id, case.say))
}
