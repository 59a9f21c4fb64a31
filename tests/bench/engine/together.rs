//! Commands that come at once, each in a session of its own: how many a second are done, ours by the whole daemon, the
//! peer's by as many slots.

use std::time::Instant;

use agentd::command::{Command, fresh_id};
use anyhow::{Context as _, Result, ensure};
use futures_util::future::try_join_all;
use serde_json::{Map, Value};

use super::command::TOOLS;
use super::form::Form;
use super::pair::{Pair, Plan, by_model};
use super::ratio::{Aim, Sides};
use super::{Bench, CONTEXT, SAY, worded};

/// Commands at once, and slots of the peer's.
const AT_ONCE: usize = SAY.len();

pub(super) async fn measure(bench: &Bench) -> Result<Map<String, Value>> {
    let slots = u32::try_from(AT_ONCE)?;
    let plan = Plan { tools: TOOLS, context: CONTEXT, slots, turns: None };
    let pair = Pair::start(bench, plan).await?;
    let mut all = [Sides::default(), Sides::default(), Sides::default()];
    // The first round is not counted: it brings the prompt into each slot.
    for round in 0..=bench.rounds {
        let own = ours(&pair, round).await?;
        for (sides, (_, form)) in all.iter_mut().zip(&pair.forms) {
            let peer = peer(&pair, form, round).await?;
            if round > 0 {
                sides.add(own, peer);
            }
        }
    }
    let row = |(sides, (name, _)): (&Sides, &(&str, Form))| {
        let row = sides.told(Some(Aim::AtLeast(1.0)));
        (format!("at_once_{AT_ONCE}_to_{name}_per_second"), row)
    };
    let figures = all.iter().zip(&pair.forms).map(row).collect();
    pair.server.end().await?;
    Ok(figures)
}

/// Commands a second.
async fn ours(pair: &Pair, round: usize) -> Result<f64> {
    let begun = Instant::now();
    let commands = SAY.map(async |say| {
        let text = worded(say, round);
        let command = Command { session: Some(fresh_id()), ..Command::from_text(&text) };
        let outcome = pair.machine.client.command(&command).await.context(say)?;
        ensure!(by_model(&outcome), "“{say}” was not answered by the model: {outcome:?}");
        Ok(())
    });
    try_join_all(commands).await?;
    Ok(AT_ONCE as f64 / begun.elapsed().as_secs_f64())
}

/// Answers a second.
async fn peer(pair: &Pair, form: &Form, round: usize) -> Result<f64> {
    let prompts = SAY.map(|say| pair.prompt(&worded(say, round)));
    let begun = Instant::now();
    try_join_all(prompts.iter().map(|prompt| pair.server.complete(prompt, form))).await?;
    Ok(AT_ONCE as f64 / begun.elapsed().as_secs_f64())
}
