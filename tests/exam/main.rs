//! The examination: what the model makes of sentences that nobody trained it on.
//!
//! ```text
//!  machines/*.toml, sets/*.jsonl ──> prompt, grammar ──> the real worker ──> calls ──> marks
//! ```
//!
//! Prompt, grammar, worker and reading of the answer are production's own; only policy and the devices are
//! left out. README.md has the format.

mod bfcl;
mod cases;
mod run;
mod score;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use serde_json::{Map, json};

use score::Tally;

/// How many mistakes of one kind are listed.
const SHOWN_CONFUSIONS: usize = 12;

#[derive(Debug, Parser)]
#[command(
    about = "Examines the model",
    after_help = "Examples:\n  make exam\n  make exam EXAM_ARGS='--set unseen --failures wrong.jsonl'\n  \
                  make exam EXAM_ARGS='--ungrounded --json'"
)]
struct Args {
    /// The GGUF file
    #[arg(long, env = "AGENTD_TEST_MODEL")]
    model: PathBuf,
    /// A LoRA adapter for it, or `none`; default: the built-in one
    #[arg(long)]
    adapter: Option<PathBuf>,
    /// The folder of machines and sets, where they are not ours (`bfcl.py` writes one)
    #[arg(long)]
    cases: Option<PathBuf>,
    /// Only these sets
    #[arg(long)]
    set: Vec<String>,
    /// Only the first so many questions of each set; 0 for all
    #[arg(long, default_value_t = 0)]
    first: usize,
    /// Ask each question that stands alone in a session in which another one came before
    #[arg(long)]
    after_another: bool,
    /// Let the model give values that do not stand in the request
    #[arg(long)]
    ungrounded: bool,
    /// What the model is less sure of it is asked twice; 0: never; default: production's choice
    #[arg(long)]
    second_opinion: Option<f32>,
    /// The most calls of one answer
    #[arg(long, default_value_t = 2)]
    max_calls: usize,
    /// Threads that decode; 0 for production's choice
    #[arg(long, default_value_t = 0)]
    threads: u32,
    /// Write each question that was answered wrongly to this file, as JSON lines
    #[arg(long)]
    failures: Option<PathBuf>,
    /// Write each question and what was answered to this file, as JSON lines
    #[arg(long)]
    answers: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match examine(&Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("exam: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn examine(args: &Args) -> Result<()> {
    let results = run::all(args).await?;
    let mut total = Tally::default();
    if args.json {
        let sets: Map<_, _> =
            results.iter().map(|(name, tally)| (name.clone(), tally.json())).collect();
        let grounded = !args.ungrounded;
        let settings = json!({"grounded": grounded, "max_calls": args.max_calls, "after_another": args.after_another});
        println!("{:#}", json!({"settings": settings, "sets": sets}));
        return Ok(());
    }
    for (name, tally) in &results {
        total.extend(tally);
        print(name, tally);
    }
    if results.len() > 1 {
        print("all", &total);
    }
    println!("\nwrong tools (right -> given):");
    for (pair, count) in total.confusions(SHOWN_CONFUSIONS) {
        println!("  {count:4}  {pair}");
    }
    Ok(())
}

fn print(name: &str, tally: &Tally) {
    let (p50, p90) = tally.times();
    println!("{name}: {p50} ms a question, one in ten more than {p90}");
    for (what, share) in tally.shares() {
        println!("  {what:32} {}", share.text());
    }
    println!(
        "  where it is at least so sure      it answers                          and is right"
    );
    for (least, answered, right) in tally.calibration() {
        println!("  {least:32} {:36} {}", answered.text(), right.text());
    }
}
