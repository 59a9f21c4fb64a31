//! The fault campaign: random commands against the real daemon, the real broker and a board that counts,
//! while everything that can fail does. What must never happen is looked for after each case.
//!
//! ```text
//!  Plan (pure, of the seed) ──> case ──> Machine: watcher, mosquitto, proxy, agentd, board, disk, clock
//!                                 └──> Evidence ──> oracle (pure) ──> violations
//!  power: the same machine under strace ──> every disk that a power cut could leave ──> opened, judged
//! ```
//!
//! The campaign runs in a user and mount namespace of its own, which needs no privilege: there it mounts
//! the disks that it fills.

mod board;
mod books;
mod campaign;
mod case;
mod clock;
mod crash;
mod daemon;
mod disk;
mod fault;
mod inject;
mod machine;
mod mqtt;
mod oracle;
mod plan;
mod power;
mod proxy;
mod report;
mod trace;
mod traffic;
mod watcher;

use std::os::unix::process::CommandExt as _;
use std::process::ExitCode;

use agentd::tune::random;
use clap::Parser;
use tokio::task::JoinHandle;

/// Set in the namespace of the campaign's own.
const INSIDE: &str = "AGENTD_FAULTS_INSIDE";

/// What the campaign can be told.
#[derive(Debug, Clone, Parser)]
#[command(
    about = "Breaks everything around the daemon and counts what is lost, doubled or stuck",
    after_help = "Examples:\n  make faults\n  make faults N=10000\n  make faults SEED=7 CASE=13   (one case \
                  again)\n  make faults N=0              (power cuts only)\n\nExit code 0 only if nothing \
                  went wrong."
)]
pub(crate) struct Args {
    /// Faults to inject, ten in a case
    #[arg(long, default_value_t = 210)]
    faults: usize,
    /// Where chance begins; without it the clock decides, and it is printed
    #[arg(long)]
    seed: Option<u64>,
    /// Run this case of the seed and nothing else
    #[arg(long)]
    case: Option<u64>,
    /// Cases that run at once: they mostly wait
    #[arg(long, default_value_t = 8)]
    jobs: usize,
    /// Commands of the power cuts' workload; 0 for no power cuts
    #[arg(long, default_value_t = 40)]
    power: usize,
    /// Keep the folders of all cases, and say where they are; those that fail are always kept
    #[arg(long)]
    keep: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    if std::env::var_os(INSIDE).is_none() {
        return enter();
    }
    let args = Args::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    match runtime.block_on(campaign::run(&args)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => fail(&error),
    }
}

/// Becomes the same program in a namespace in which it may mount.
fn enter() -> ExitCode {
    // Help and wrong arguments need no namespace.
    Args::parse();
    let error = match std::env::current_exe() {
        Err(error) => error,
        Ok(program) => std::process::Command::new("unshare")
            .args(["--mount", "--map-root-user", "--"])
            .arg(program)
            .args(std::env::args_os().skip(1))
            .env(INSIDE, "1")
            .exec(),
    };
    fail(&anyhow::Error::new(error).context("unshare cannot be run: scripts/setup test"))
}

fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("faults: {error:#}");
    ExitCode::FAILURE
}

#[expect(
    clippy::disallowed_methods,
    reason = "the campaign is what is around the daemon, not part of it"
)]
pub(crate) fn spawn<T: Send + 'static>(
    task: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    tokio::spawn(task)
}
