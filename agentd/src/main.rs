//! The program. Only the worker can be run yet.

use std::process::ExitCode;

use agentd::model::worker::{self, WorkerArgs};
use clap::Parser;

#[derive(Parser)]
enum Cli {
    /// Holds the model; started by the daemon.
    #[command(hide = true)]
    Worker(WorkerArgs),
}

fn main() -> ExitCode {
    match Cli::parse() {
        Cli::Worker(args) => worker::main(&args),
    }
}
