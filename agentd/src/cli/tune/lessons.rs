//! `agentd tune lessons`: toolsets as tokens.

use std::io::{self, BufRead as _, BufWriter, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use crate::cli::{BAD_DATA, UNAVAILABLE, fail};
use crate::tune::lessons::{Teacher, Toolset};

#[derive(Debug, Clone, clap::Args)]
pub(super) struct LessonsArgs {
    /// The GGUF file of the model that is trained
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// The most calls of an answer
    #[arg(long, default_value_t = 2)]
    max_calls: usize,
    /// Every so many toolsets get examples in their prompt; 0: none does
    #[arg(long, default_value_t = 4)]
    examples_every: usize,
    /// How many pairs of such a toolset are examples
    #[arg(long, default_value_t = 6)]
    examples: usize,
    /// Tell each pair that is left out, and why
    #[arg(long)]
    verbose: bool,
}

pub(super) fn run(args: &LessonsArgs) -> ExitCode {
    let LessonsArgs { model, max_calls, examples_every, examples, verbose } = args;
    let mut teacher = match Teacher::new(model, *max_calls) {
        Ok(teacher) => teacher,
        Err(why) => return fail(UNAVAILABLE, &why),
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let (mut taught, mut left_out) = (0, 0);
    for (i, line) in io::stdin().lock().lines().enumerate() {
        let parsed = line.map_err(|e| e.to_string());
        let parsed = parsed
            .and_then(|line| serde_json::from_str::<Toolset>(&line).map_err(|e| e.to_string()));
        let toolset = match parsed {
            Ok(toolset) => toolset,
            Err(why) => return fail(BAD_DATA, &format!("line {}: {why}", i + 1)),
        };
        let shown = if *examples_every > 0 && i % examples_every == 0 { *examples } else { 0 };
        let (lesson, unfit) = match teacher.lesson(&toolset, shown) {
            Ok(made) => made,
            Err(why) => return fail(BAD_DATA, &format!("line {}: {why}", i + 1)),
        };
        taught += lesson.pairs.len();
        left_out += unfit.len();
        for (say, why) in unfit.iter().filter(|_| *verbose) {
            eprintln!("line {}: {say:?}: {why}", i + 1);
        }
        let written = serde_json::to_writer(&mut out, &lesson).map_err(|e| e.to_string());
        if let Err(why) = written.and_then(|()| out.write_all(b"\n").map_err(|e| e.to_string())) {
            return fail(UNAVAILABLE, &format!("the lessons cannot be written: {why}"));
        }
    }
    if let Err(why) = out.flush() {
        return fail(UNAVAILABLE, &format!("the lessons cannot be written: {why}"));
    }
    eprintln!(
        "{taught} pairs, and {left_out} left out because their own grammar forbids the answer"
    );
    ExitCode::SUCCESS
}
