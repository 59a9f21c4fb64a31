//! The figures: what a person or a program waits for, and what the daemon takes from the board.
//!
//! Each figure is taken from outside, on the machine that the system tests use. Times depend on the
//! machine and on what else it does: they are printed, never asserted. Where there is a peer, it does the
//! same work in the same run, and the ratio is what counts.

mod drain;
mod engine;
mod latency;
mod outage;
mod wear;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use serde_json::{Map, Value, json};

#[derive(Debug, Parser)]
#[command(
    about = "Measures the daemon from outside",
    after_help = "Examples:\n  make bench BENCH_ARGS=--json\n  make bench BENCH_ARGS='--only drain --rows 1000000'"
)]
struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Only these groups of figures
    #[arg(long, value_enum)]
    only: Vec<Group>,
    /// Reflex commands to send
    #[arg(long, default_value_t = 300)]
    commands: usize,
    /// Model commands to send
    #[arg(long, default_value_t = 20)]
    model_commands: usize,
    /// Starts to measure
    #[arg(long, default_value_t = 10)]
    starts: usize,
    /// Commands to store, for the rate of durable accepts
    #[arg(long, default_value_t = 5000)]
    accepts: usize,
    /// Messages that wait in the outbox, and at mosquitto's bridge
    #[arg(long, default_value_t = 20_000)]
    rows: usize,
    /// Broker restarts to measure
    #[arg(long, default_value_t = 5)]
    restarts: usize,
    /// Commands, and as many polls, for what is written to the disk
    #[arg(long, default_value_t = 200)]
    wear_commands: usize,
    /// Rounds side by side with llama.cpp's own programs; the median counts
    #[arg(long, default_value_t = 10)]
    rounds: usize,
    /// Threads of both engines; 0 is what the daemon would take
    #[arg(long, default_value_t = 0)]
    threads: u32,
    /// Tools of the largest set, for how an answer's time grows with them
    #[arg(long, default_value_t = 64)]
    tools: usize,
    /// Only these parts of the group `engine`
    #[arg(long, value_enum)]
    part: Vec<engine::Part>,
}

/// What belongs together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Group {
    /// Latency, memory and start
    Latency,
    /// How many commands a second are stored
    Accepts,
    /// How fast a long outbox drains, beside mosquitto's bridge
    Drain,
    /// How soon a lost broker is noticed, and found again
    Outage,
    /// What a typical load writes to the disk
    Wear,
    /// The model's engine beside llama.cpp's own programs
    Engine,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let wanted = |group| args.only.is_empty() || args.only.contains(&group);
    // Before all else: whoever lacks the peer is told at once, and has the other figures all the same.
    let engine = match wanted(Group::Engine).then(|| engine::Bench::find(&args)).transpose() {
        Ok(engine) => engine,
        Err(error) if args.only.is_empty() => {
            eprintln!("bench: the engine is left out: {error:#}");
            None
        }
        Err(error) => return fail(&error),
    };
    let mut figures = Map::new();
    if wanted(Group::Latency) {
        figures.append(&mut latency::measure(&args).await);
    }
    if wanted(Group::Accepts) {
        figures.append(&mut drain::accepts(args.accepts).await);
    }
    if wanted(Group::Drain) {
        figures.append(&mut drain::measure(args.rows).await);
    }
    if wanted(Group::Outage) {
        figures.append(&mut outage::measure(args.restarts).await);
    }
    if wanted(Group::Wear) {
        figures.append(&mut wear::measure(args.wear_commands).await);
    }
    let measured = match &engine {
        Some(bench) => engine::measure(bench, &mut figures).await,
        None => Ok(()),
    };
    print(&figures, args.json);
    measured.map_or_else(|error| fail(&error), |()| ExitCode::SUCCESS)
}

fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("bench: {error:#}");
    ExitCode::FAILURE
}

fn spread(times: &mut [Duration]) -> Value {
    times.sort_unstable();
    let at = |share: f64| {
        let index = ((times.len() as f64 - 1.0) * share).round() as usize;
        (times[index].as_secs_f64() * 1e5).round() / 100.0
    };
    json!({"n": times.len(), "p50": at(0.5), "p99": at(0.99), "max": at(1.0)})
}

fn print(figures: &Map<String, Value>, as_json: bool) {
    if as_json {
        println!("{}", json!(figures));
        return;
    }
    for (name, figure) in figures {
        let parts: Vec<String> = figure
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, value)| format!("{key} {value}"))
            .collect();
        println!("{name:<26} {}", parts.join("   "));
    }
}
