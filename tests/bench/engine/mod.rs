//! Our engine side by side with llama.cpp's own programs: the same machine, the same run, the same model file, the
//! same threads, and prompts that are the same token for token.
//!
//! ```text
//!  one round:  ours, peer, ours, peer, ...     at least 10 rounds; what counts is the median of their ratios
//! ```
//!
//! The peers are llama-bench, for decoding alone, and llama-server with its prompt cache, as its own defaults have
//! it. `scripts/peer-llama` builds both with the options that our crate gives to cmake. Ours is always the whole
//! daemon, with store, link and tool, and the peer's only its answer over HTTP. Nothing is asserted: a busy machine
//! makes both slower, and not always by the same factor.

mod command;
mod decode;
mod form;
mod growth;
mod guess;
mod http;
mod pair;
mod peer;
mod ratio;
mod start;
mod together;
mod toolset;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;
use serde_json::{Map, Value, json};

use super::Args;

/// The context of both where nothing else is said, in tokens: our default.
const CONTEXT: u32 = 2048;

/// What free sentences are measured with. None is a known sentence, and none holds a value that would have to be
/// found in it.
const SAY: [&str; 8] = [
    "please let some fresh air into the house",
    "it is far too dark to read in here",
    "the tomatoes look thirsty to me",
    "i would like it a little less stuffy",
    "could you get the ventilation going",
    "the seedlings are cold tonight",
    "nobody needs the light in there anymore",
    "the plants have had enough water",
];

/// What is put behind a sentence, in each round something else: what was asked before is guessed to be answered as it was
/// then, and is measured on its own.
const ENDS: [&str; 11] = [
    "",
    " please",
    " thanks",
    " now",
    " if you can",
    " my friend",
    " if you please",
    " i think",
    " right now",
    " you know",
    " today",
];

/// What is put behind it once all those were.
const LATE: [&str; 4] = ["", " then", " at last", " for once"];

/// A sentence as it is said for the `n`th time. The first 44 of them differ.
fn worded(say: &str, n: usize) -> String {
    format!("{say}{}{}", ENDS[n % ENDS.len()], LATE[n / ENDS.len() % LATE.len()])
}

/// What is measured with: the programs, the model, and how both are to run.
pub(super) struct Bench {
    /// The folder of llama-server and llama-bench.
    peer: PathBuf,
    /// The GGUF file of both: the tuned one, which needs no adapter beside it.
    model: PathBuf,
    threads: u32,
    rounds: usize,
    /// Tools of the largest set.
    tools: usize,
    /// Which parts; all where none is named.
    parts: Vec<Part>,
}

impl Bench {
    /// Looks for all that is needed. The error says what is missing, and the make target that brings it.
    pub(super) fn find(args: &Args) -> Result<Self> {
        let advice = "run `make bench-engine`, which makes it, or choose other figures with --only";
        let peer = match std::env::var_os("AGENTD_PEER") {
            Some(folder) => folder.into(),
            None => beside_this_program()?,
        };
        for program in ["llama-server", "llama-bench"] {
            let path = peer.join(program);
            ensure!(path.exists(), "the peer {} is missing: {advice}", path.display());
        }
        let base = std::env::var("AGENTD_TEST_MODEL")
            .ok()
            .with_context(|| format!("AGENTD_TEST_MODEL does not name the model: {advice}"))?;
        let model = PathBuf::from(format!("{}.tuned.gguf", base.trim_end_matches(".gguf")));
        ensure!(model.exists(), "the tuned model {} is missing: {advice}", model.display());
        ensure!(args.rounds > 0, "at least one round is needed");
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let cores = u32::try_from(cores)?;
        // What the worker takes where it is not told.
        let threads = if cores >= 4 { cores - 1 } else { cores };
        let threads = if args.threads == 0 { threads } else { args.threads };
        let (rounds, tools, parts) = (args.rounds, args.tools, args.part.clone());
        Ok(Self { peer, model, threads, rounds, tools, parts })
    }

    fn model(&self) -> &Path {
        &self.model
    }
}

/// Where `scripts/peer-llama` puts them, seen from the folder of this program.
fn beside_this_program() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program.parent().and_then(Path::parent).context("this program has a folder")?;
    Ok(target.join("agentd-cache/peer"))
}

/// What is measured, in this order: memory before several processes have the same file, whose pages would then count
/// as half in each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Part {
    /// Decoding alone
    Decode,
    /// Start to first command, and memory
    Start,
    /// One command with a warm prompt
    Command,
    /// Commands that copy words of their request
    Guess,
    /// Commands at once
    Together,
    /// More tools, and longer sessions
    Growth,
}

/// Adds all figures, which takes minutes. Each is a row with ours, the peer's, their ratio, and the aim where there is
/// one. Where a part fails, the figures of those before it are there.
pub(super) async fn measure(bench: &Bench, figures: &mut Map<String, Value>) -> Result<()> {
    figures.insert("engine".into(), told(bench).await?);
    for part in Part::value_variants() {
        if !bench.parts.is_empty() && !bench.parts.contains(part) {
            continue;
        }
        eprintln!("engine: {part:?}");
        let more = match part {
            Part::Decode => decode::measure(bench).await,
            Part::Start => start::measure(bench).await,
            Part::Command => command::measure(bench).await,
            Part::Guess => guess::measure(bench).await,
            Part::Together => together::measure(bench).await,
            Part::Growth => growth::measure(bench).await,
        };
        figures.append(&mut more.with_context(|| format!("{part:?}"))?);
    }
    Ok(())
}

/// What was measured: both revisions, and how both ran.
async fn told(bench: &Bench) -> Result<Value> {
    let lock = include_str!("../../../Cargo.lock");
    let ours = lock
        .split("[[package]]")
        .find(|package| package.contains("name = \"llama-cpp-sys-2\""))
        .and_then(|package| package.split("version = \"").nth(1)?.split('"').next())
        .context("llama-cpp-sys-2 stands in Cargo.lock")?;
    let file = bench.model().file_name().unwrap_or_default().to_string_lossy();
    Ok(json!({
        "ours": format!("llama-cpp-sys-2 {ours}"), "peer": peer::version(bench).await?,
        "model": file, "threads": bench.threads, "rounds": bench.rounds,
    }))
}
