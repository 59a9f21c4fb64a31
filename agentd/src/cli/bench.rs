//! `agentd model bench`: how fast a model is on this board, and what it takes.
//!
//! Each line is measured through the worker that the daemon would start: the prompt's speed with words that are new
//! each time, the answer's with a text without end, a command with the tools of a config whose static part is there. Nothing
//! is guessed: what was answered before would flatter it.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use agentd_tools::ToolSpec;
use agentd_tools::spec::Priority;
use serde::Serialize;

use super::{BAD_CONFIG, NO_INPUT, UNAVAILABLE, chain, config_error, fail};
use crate::config::Config;
use crate::metrics::memory_bytes;
use crate::model::config::{ModelConfig, Source};
use crate::model::constraint::Constraint;
use crate::model::{Ask, Message, Model, ModelError, grammar};
use crate::tune::exam::{self, Question, with_model};

/// The tools of the demo, where no config is given.
const DEMO: &str = include_str!("../../../configs/demo.toml");
/// Tokens of the answer that is timed.
const ANSWER: u32 = 64;
/// Words of the prompt that is timed; each has a token or two.
const WORDS: usize = 200;
/// The longest that one step may take on the slowest board.
const PATIENCE: Duration = Duration::from_secs(300);

#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Examples:\n  agentd model bench\n  agentd model bench --threads 1,2,3,4\n  \
                        agentd model bench ./other.gguf --config /etc/agentd/agentd.toml --json"
)]
pub(super) struct BenchArgs {
    /// A model of the catalogue or a GGUF file; default: the one that the daemon would use
    model: Option<String>,
    /// The config whose tools and settings are used; default: the demo's tools
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How many threads, one line each; 0 is what the daemon would choose
    #[arg(long, value_delimiter = ',', default_value = "0")]
    threads: Vec<u32>,
    /// How often each figure is measured; the median is told
    #[arg(long, default_value = "5", value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// The folder of the models
    #[arg(long, value_name = "DIR", env = "AGENTD__MODEL__DIR")]
    dir: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What one number of threads gives.
#[derive(Debug, Serialize)]
struct Row {
    /// As asked for.
    threads: u32,
    /// From the start of the worker until it can be asked, in milliseconds.
    load_ms: u32,
    /// Tokens of a prompt in a second.
    prompt_tokens_per_second: f64,
    /// Tokens of a free answer in a second.
    answer_tokens_per_second: f64,
    /// A command, from the words to the call, in milliseconds.
    command_ms: u32,
    /// The worker's proportional memory after all this, in MiB.
    memory_mib: u64,
}

pub(super) async fn run(args: &BenchArgs) -> ExitCode {
    let (config, tools) = match setting(args) {
        Ok(setting) => setting,
        Err(code) => return code,
    };
    let source = match config.source() {
        Ok(Some(source)) => source,
        Ok(None) => return fail(NO_INPUT, "no model is installed: `agentd model pull` gets one"),
        Err(error) => return fail(NO_INPUT, &chain(&error)),
    };
    if !args.json {
        println!("{}", heading(&source, &tools));
    }
    let mut rows = Vec::new();
    for threads in &args.threads {
        let config = ModelConfig { threads: *threads, ..config.clone() };
        match row(&config, &source, &tools, args.rounds).await {
            Ok(row) => {
                if !args.json {
                    println!("{}", line(&row));
                }
                rows.push(row);
            }
            Err(why) => return fail(UNAVAILABLE, &why),
        }
    }
    if args.json {
        let told = serde_json::json!({"model": source.name(), "tools": tools.len(), "rows": rows});
        println!("{told}");
    }
    ExitCode::SUCCESS
}

/// The settings of the model and the tools that it is asked for.
fn setting(args: &BenchArgs) -> Result<(ModelConfig, Vec<ToolSpec>), ExitCode> {
    let config = match &args.config {
        Some(path) => Config::load(path),
        None => Config::parse(DEMO, "demo.toml".as_ref()),
    };
    let config = config.map_err(|error| config_error(&error))?;
    if config.tool.is_empty() {
        return Err(fail(BAD_CONFIG, "the config has no [[tool]] to make a command of"));
    }
    // Guesses would count what an endless text repeats, and what was asked the round before.
    let mut model = ModelConfig { scripted: None, guess_tokens: 0, ..config.model };
    if let Some(dir) = &args.dir {
        model.dir.clone_from(dir);
    }
    if let Some(named) = &args.model {
        model = model.with(named);
    }
    Ok((model, config.tool))
}

async fn row(
    config: &ModelConfig,
    source: &Source,
    tools: &[ToolSpec],
    rounds: u32,
) -> Result<Row, String> {
    let program =
        std::env::current_exe().map_err(|e| format!("this program cannot be found: {e}"))?;
    let begun = Instant::now();
    let measured = with_model(config, source, program, |model| async move {
        let load_ms = milliseconds(begun.elapsed());
        let figures = Figures::measure(&model, config, tools, rounds).await?;
        let bytes: u64 = model.pids().iter().map(|pid| memory_bytes(&pid.to_string()).1).sum();
        Ok::<_, ModelError>(Row {
            threads: config.threads,
            load_ms,
            prompt_tokens_per_second: median(figures.prompt),
            answer_tokens_per_second: median(figures.answer),
            command_ms: milliseconds(Duration::from_secs_f64(median(figures.command))),
            memory_mib: bytes.div_ceil(1024 * 1024),
        })
    });
    measured.await?.map_err(|error| error.to_string())
}

/// The figures of all rounds.
#[derive(Default)]
struct Figures {
    /// Tokens a second.
    prompt: Vec<f64>,
    answer: Vec<f64>,
    /// Seconds.
    command: Vec<f64>,
}

impl Figures {
    async fn measure(
        model: &Model,
        config: &ModelConfig,
        tools: &[ToolSpec],
        rounds: u32,
    ) -> Result<Self, ModelError> {
        let mut figures = Self::default();
        for round in 0..rounds {
            // Each prompt is new from its first word on, so that nothing of it is there.
            let words = vec![message(&format!("{round} {}", "mild rain ".repeat(WORDS / 2)))];
            let usage = model
                .prepare(words, Vec::new(), None, Priority::High, Instant::now() + PATIENCE)
                .await?;
            let seconds = f64::from(usage.total_ms.max(1)) / 1000.0;
            figures.prompt.push(f64::from(usage.prefilled) / seconds);
        }
        let story = || endless(model, ANSWER);
        // The first time it computes the prompt and compiles the grammar.
        story().await?;
        for _ in 0..rounds {
            let begun = Instant::now();
            story().await?;
            // One batch for the last token of the prompt, and one for each of the answer.
            figures.answer.push(f64::from(ANSWER + 1) / begun.elapsed().as_secs_f64());
        }
        let views = exam::shown(model, config, tools).await?;
        let sentences = sentences(tools);
        for round in 0..rounds as usize {
            let say = &sentences[round % sentences.len()];
            let begun = Instant::now();
            exam::ask(model, &views, &Question { before: &[], say }).await?;
            figures.command.push(begun.elapsed().as_secs_f64());
        }
        Ok(figures)
    }
}

/// Has a text of so many tokens written. Its end is the refusal of one more.
async fn endless(model: &Model, tokens: u32) -> Result<(), ModelError> {
    let ask = Ask {
        messages: vec![message("Tell me a long story about a greenhouse.")],
        grammar: Constraint::Lark(grammar::ENDLESS.to_owned()),
        offer: None,
        max_tokens: tokens,
        priority: Priority::Normal,
        deadline: Instant::now() + PATIENCE,
        pieces: None,
    };
    match model.ask(ask).await {
        Ok(_) | Err(ModelError::Refused(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

fn message(words: &str) -> Message {
    Message { role: "user".into(), content: words.to_owned() }
}

/// What is said to the tools: their examples, or what they are for.
fn sentences(tools: &[ToolSpec]) -> Vec<String> {
    let examples: Vec<String> = tools
        .iter()
        .flat_map(|tool| tool.examples.iter().map(|example| format!("please {}", example.say)))
        .collect();
    let described = || tools.iter().map(|tool| tool.description.clone()).collect();
    if examples.is_empty() { described() } else { examples }
}

fn heading(source: &Source, tools: &[ToolSpec]) -> String {
    let mut text = format!("{} ({})\n", source.name(), source.path().display());
    let commands = format!("a command ({} tools)", tools.len());
    let _ = write!(
        text,
        "{:>7}  {:>8}  {:>12}  {:>12}  {commands:>20}  {:>8}",
        "threads", "load", "prompt", "answer", "memory"
    );
    text
}

fn line(row: &Row) -> String {
    let threads = if row.threads == 0 { "default".to_owned() } else { row.threads.to_string() };
    format!(
        "{threads:>7}  {:>5} ms  {:>8.0} t/s  {:>8.1} t/s  {:>17} ms  {:>4} MiB",
        row.load_ms,
        row.prompt_tokens_per_second,
        row.answer_tokens_per_second,
        row.command_ms,
        row.memory_mib
    )
}

fn milliseconds(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

/// The middle one; of an even number the lower one of the two.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_stand_under_the_heading() {
        let source = Source::File { name: "m".into(), path: "/m.gguf".into() };
        let row = Row {
            threads: 2,
            load_ms: 412,
            prompt_tokens_per_second: 331.4,
            answer_tokens_per_second: 91.26,
            command_ms: 112,
            memory_mib: 211,
        };
        let (heading, line) = (heading(&source, &[]), line(&row));
        let heading = heading.lines().last().expect("it has two lines");
        assert_eq!(
            line,
            "      2    412 ms       331 t/s      91.3 t/s                112 ms   211 MiB"
        );
        assert_eq!(heading.chars().count(), line.chars().count(), "{heading}");
    }

    #[test]
    fn the_middle_value_is_told() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0]), 1.0);
        assert_eq!(median(Vec::new()), 0.0);
    }
}
