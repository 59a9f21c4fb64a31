//! Commands that copy words of their request, with guesses and without: the same daemon twice, which differs in
//! `model.guess_tokens` alone.

use std::time::Instant;

use agentd::command::Outcome;
use agentd_tests::Machine;
use anyhow::{Result, ensure};
use serde_json::{Map, Value, json};

use super::command::TOOLS;
use super::pair::{DECODES, by_model, counted, milliseconds, setting, until_warm};
use super::ratio::{Sides, short};
use super::toolset::Toolset;
use super::{Bench, CONTEXT};

/// What a round consists of. Each leads to a text of the person's own words.
const SAY: [&str; 4] = [
    "put down in the log book that the gutter on the north side leaks again",
    "write in the log that two of the seed trays by the door have mould",
    "the log book should say that the left pump was rattling all morning",
    "ask a technician to come, the heater smells of burnt plastic since last night",
];

/// What is put before them, in each round something else, so that no answer is known yet.
const BEGINS: [&str; 11] = [
    "", "please ", "now ", "kindly ", "quickly ", "hello, ", "hey, ", "okay, ", "well, ", "so, ",
    "right, ",
];

pub(super) async fn measure(bench: &Bench) -> Result<Map<String, Value>> {
    let tools = Toolset::of(TOOLS)?.copying()?;
    let (with, without) = (start(bench, &tools, "").await, off(bench, &tools).await);
    let (mut sides, mut runs, mut same) = (Sides::default(), [0, 0], 0);
    // The first round is not counted: it compiles the grammars and fills the caches.
    for round in 0..=bench.rounds {
        let mut taken = [0.0, 0.0];
        for say in SAY {
            let say = format!("{}{say}", BEGINS[round % BEGINS.len()]);
            let (ms, decodes, ours) = ask(&with, &say).await?;
            let (ms_without, decodes_without, theirs) = ask(&without, &say).await?;
            if round > 0 {
                taken = [taken[0] + ms, taken[1] + ms_without];
                runs = [runs[0] + decodes, runs[1] + decodes_without];
                same += usize::from(args(&ours) == args(&theirs));
            }
        }
        if round > 0 {
            sides.add(taken[0] / SAY.len() as f64, taken[1] / SAY.len() as f64);
        }
    }
    let commands = (bench.rounds * SAY.len()) as f64;
    let [with, without] = runs.map(|runs| short(runs as f64 / commands));
    let mut row = sides.told(None);
    row["decode_calls"] = json!({"with": with, "without": without});
    row["same_answers"] = short(same as f64 / commands).into();
    Ok(Map::from_iter([("copied_text_with_guesses_to_without_ms".to_owned(), row)]))
}

async fn off(bench: &Bench, tools: &Toolset) -> Machine {
    start(bench, tools, "guess_tokens = 0\n").await
}

async fn start(bench: &Bench, tools: &Toolset, more: &str) -> Machine {
    let mut setting = setting(bench, tools, CONTEXT);
    setting.config.push_str(more);
    let machine = Machine::start(setting).await;
    until_warm(&machine).await;
    machine
}

/// One command: its milliseconds, the runs of the model, and what came of it.
async fn ask(machine: &Machine, say: &str) -> Result<(f64, u64, Outcome)> {
    let before = counted(machine).await[DECODES];
    let begun = Instant::now();
    let outcome = machine.ask(say).await;
    let ms = milliseconds(begun.elapsed());
    ensure!(by_model(&outcome), "“{say}” was not answered by the model: {outcome:?}");
    Ok((ms, counted(machine).await[DECODES] - before, outcome))
}

fn args(outcome: &Outcome) -> Vec<(&str, &Map<String, Value>)> {
    outcome.calls.iter().map(|call| (call.tool.as_str(), &call.args)).collect()
}
