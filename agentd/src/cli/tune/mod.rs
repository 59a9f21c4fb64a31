//! `agentd tune`: an adapter for one machine, and what training needs of this program.

mod lessons;
mod make;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;

/// Steps where none are given: some half an hour on four cores.
const STEPS: u32 = 300;
/// Toolsets of one's own sentences where none are given, and as many of other machines.
const TOOLSETS: usize = 150;

#[derive(Debug, Clone, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Makes sentences of the config's tools (names, enums, sentences, examples), keeps some of them back, \
                  trains the built-in adapter further on the others and on as many of other machines, and asks the \
                  model what was kept back, before and after. The adapter is installed only if it answers more of \
                  that rightly and has not forgotten the other machines. No GPU is needed; a run that was stopped \
                  goes on where it was.\n\nExit code 0 only if an adapter was installed; 65 if it was no \
                  better.\n\nExamples:\n  agentd tune --config greenhouse.toml\n  agentd tune --config \
                  greenhouse.toml --out greenhouse.adapter.gguf --steps 600\n  agentd tune --config \
                  greenhouse.toml --from-history=feedback.jsonl\n  agentd tune --config greenhouse.toml \
                  --data-only | head -1\n  agentd tune lessons --model model.gguf < data.jsonl > lessons.jsonl"
)]
pub(super) struct TuneArgs {
    #[command(subcommand)]
    command: Option<TuneCommand>,
    /// The config of the machine
    #[arg(long, short, value_name = "FILE", required = true)]
    config: Option<PathBuf>,
    /// Where the adapter is put; default: DEVICE.adapter.gguf in the folder of the models
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Steps of training; more of them go on from where fewer ended
    #[arg(long, default_value_t = STEPS, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    steps: u32,
    /// Decides what is kept back and all that is drawn
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(..=999_999))]
    seed: u64,
    /// How many prompts of the machine's own are learnt, of 24 sentences each, and as many of other machines
    #[arg(long, default_value_t = TOOLSETS, value_parser = toolsets)]
    toolsets: usize,
    /// A Python that has PyTorch and gguf; default: one that was made for this, else python3
    #[arg(long, value_name = "FILE")]
    python: Option<PathBuf>,
    /// The folder of train.py; default: tools/tune of a checkout, else /usr/share/agentd/tune
    #[arg(long, value_name = "DIR")]
    trainer: Option<PathBuf>,
    /// The folder in which it works, one below it a run; default: ~/.cache/agentd/tune
    #[arg(long, value_name = "DIR")]
    work: Option<PathBuf>,
    /// Also learn from what people approved and corrected: from the config's database, or from a FILE that `agentd
    /// feedback list --json` wrote on the machine
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    from_history: Option<Option<PathBuf>>,
    /// Only print what would be learnt of the machine, as `agentd tune lessons` reads it
    #[arg(long)]
    data_only: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, clap::Subcommand)]
enum TuneCommand {
    /// Turn toolsets with sentences and calls (JSONL on standard input) into lessons for training
    #[command(
        after_help = "Each line in: {\"tools\": [...], \"pairs\": [{\"say\", \"answer\"}]}. Each line out: the tokens \
                      of prompt and answer, and where the grammar leaves a choice.\n\nExample:\n  agentd tune lessons \
                      --model model.gguf < data.jsonl > lessons.jsonl"
    )]
    Lessons(lessons::LessonsArgs),
}

fn toolsets(text: &str) -> Result<usize, String> {
    let count = text.parse().map_err(|_| "not a number".to_owned())?;
    if (1..=10_000).contains(&count) { Ok(count) } else { Err("must be 1 to 10000".into()) }
}

pub(super) async fn run(args: &TuneArgs) -> ExitCode {
    match &args.command {
        Some(TuneCommand::Lessons(args)) => lessons::run(args),
        None => make::run(args).await,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        tune: TuneArgs,
    }

    #[test]
    fn a_config_is_needed_and_lessons_is_a_command_of_its_own() {
        let parse = |line: &str| Cli::try_parse_from(line.split(' '));
        let own = parse("tune --config a.toml --steps 7").expect("a machine").tune;
        assert_eq!((own.config, own.steps), (Some("a.toml".into()), 7));
        assert!(parse("tune lessons --model m.gguf").expect("lessons").tune.command.is_some());
        for wrong in [
            "tune",
            "tune --config a.toml lessons --model m.gguf",
            "tune --config a.toml --steps 0",
            "tune --config a.toml --toolsets 0",
            "tune --config a.toml --toolsets 10001",
            "tune --config a.toml --steps 100001",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        parse("tune --config a.toml --toolsets 10000 --steps 100000").expect("at the bounds");
    }
}
