//! The command line. Exit codes follow sysexits.

mod ask;
mod audit;
mod bench;
mod feedback;
pub mod models;
mod outbox;
mod socket;
mod tune;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use log::LevelFilter;

use crate::config::{Config, ConfigError};
use crate::{check, daemon, demo, journal, model};

/// The command line was wrong.
pub const USAGE: u8 = 64;
/// The input was wrong: a damaged model, an outcome that is not `done`.
pub const BAD_DATA: u8 = 65;
/// A file is missing.
pub const NO_INPUT: u8 = 66;
/// Something that is needed does not answer.
pub const UNAVAILABLE: u8 = 69;
/// The config is wrong.
pub const BAD_CONFIG: u8 = 78;

#[derive(Debug, Parser)]
#[command(
    name = "agentd",
    version,
    about = "Turns a person's words into one safe, durable action on real hardware.",
    after_help = "Examples:\n  agentd demo\n  agentd check --config /etc/agentd/agentd.toml\n  \
                  agentd run --config /etc/agentd/agentd.toml\n  agentd ask \"turn on the pump\"\n  \
                  agentd model pull"
)]
struct Cli {
    #[command(subcommand)]
    command: Commands,
}

#[derive(Debug, Subcommand)]
enum Commands {
    /// Run the daemon
    #[command(
        after_help = "Example:\n  agentd run --config /etc/agentd/agentd.toml\n\nAny key can be \
                            set from the environment: AGENTD__MQTT__URL=mqtt://localhost agentd run ..."
    )]
    Run(ConfigArgs),
    /// Give the running daemon a command and show its outcome
    Ask(ask::AskArgs),
    /// Say what is wrong with a config, its devices, model and broker, and how to mend it
    #[command(
        after_help = "Exit code 0 only if the daemon could run.\n\nExample:\n  agentd check --config \
                            /etc/agentd/agentd.toml --json"
    )]
    Check(check::CheckArgs),
    /// Show a whole machine at work: broker, serial device, model, on this one
    Demo(demo::DemoArgs),
    /// Show what waits for the network, and send again or remove what a broker refuses
    #[command(subcommand)]
    Outbox(outbox::OutboxCommand),
    /// Show, export and forget what people thought of what the model made of their words
    #[command(subcommand)]
    Feedback(feedback::FeedbackCommand),
    /// Verify the log of what was done
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Install and list models
    #[command(subcommand)]
    Model(models::ModelCommand),
    /// Tune the model for a machine: its tools and examples in, an adapter out
    Tune(tune::TuneArgs),
    /// Hold a model for the daemon (started by it)
    #[command(hide = true)]
    Worker(model::worker::WorkerArgs),
}

/// Which config.
#[derive(Debug, Clone, clap::Args)]
pub struct ConfigArgs {
    /// The config file
    #[arg(long, short, default_value = "/etc/agentd/agentd.toml", value_name = "FILE")]
    pub config: PathBuf,
}

/// Runs the program.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors, and go to standard output.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { USAGE } else { 0 });
        }
    };
    if let Commands::Worker(args) = &cli.command {
        return model::worker::main(args);
    }
    let quiet = !matches!(cli.command, Commands::Run(_));
    let level = if quiet { LevelFilter::Error } else { LevelFilter::Info };
    if let Err(error) = journal::init("agentd", level) {
        eprintln!("agentd: logging cannot be set up: {error}");
    }
    // Two threads: one may be in a slow system call while the other answers. More would only add stacks.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("agentd: the runtime cannot be started: {error}");
            return ExitCode::from(UNAVAILABLE);
        }
    };
    let code = match cli.command {
        Commands::Run(args) => runtime.block_on(run(&args)),
        Commands::Ask(args) => runtime.block_on(ask::run(&args)),
        Commands::Check(args) => runtime.block_on(check::run(&args)),
        Commands::Demo(args) => runtime.block_on(demonstrate(&args)),
        Commands::Outbox(command) => runtime.block_on(outbox::run(&command)),
        Commands::Feedback(command) => runtime.block_on(feedback::run(&command)),
        Commands::Audit(command) => audit::run(&command),
        Commands::Model(command) => models::run(&command, &runtime),
        Commands::Tune(args) => runtime.block_on(tune::run(&args)),
        Commands::Worker(_) => ExitCode::from(USAGE),
    };
    // A reader of standard input may still wait for a line; nothing waits for it.
    runtime.shutdown_background();
    code
}

async fn run(args: &ConfigArgs) -> ExitCode {
    let config = match Config::load(&args.config) {
        Ok(config) => config,
        Err(error) => return config_error(&error),
    };
    match daemon::run(config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(UNAVAILABLE, &format!("{error:#}")),
    }
}

async fn demonstrate(args: &demo::DemoArgs) -> ExitCode {
    match demo::run(args).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => fail(UNAVAILABLE, &format!("{error:#}")),
    }
}

/// Says what is wrong with a config, once, and gives its exit code.
fn config_error(error: &ConfigError) -> ExitCode {
    let code = match error {
        ConfigError::Read { .. } => NO_INPUT,
        ConfigError::Bad { .. } | ConfigError::Parts(_) => BAD_CONFIG,
    };
    fail(code, &chain(error))
}

/// An error with all its causes, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

fn fail(code: u8, message: &str) -> ExitCode {
    eprintln!("agentd: {message}");
    ExitCode::from(code)
}
