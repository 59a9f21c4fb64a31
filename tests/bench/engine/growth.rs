//! How the time of a command grows with the number of tools, and with the turns that its session has behind it.
//!
//! A session's history is in the peer's prompt, all of it, and stays in its cache; ours shows the model the exchange
//! before, where a sentence refers to it.

use anyhow::Result;
use serde_json::{Map, Value};

use super::command::{A_ROUND, Series, TOOLS, by_turns};
use super::pair::{Pair, Plan};
use super::ratio::Sides;
use super::{Bench, CONTEXT, SAY};

/// The fewest tools.
const FEW: usize = 4;
/// The context of a prompt with many tools, in tokens.
const LARGE_CONTEXT: u32 = 4096;
/// The turns of a long session.
const TURNS: usize = 20;

/// What refers to the sentence before.
const REFERRING: [&str; A_ROUND] =
    ["and the lamp too", "now the heater as well", "also the fan please", "and the pump again"];

pub(super) async fn measure(bench: &Bench) -> Result<Map<String, Value>> {
    let plan = Plan { tools: FEW, context: LARGE_CONTEXT, slots: 1, turns: None };
    let few = Pair::start(bench, plan).await?;
    let many = Pair::start(bench, Plan { tools: bench.tools, ..plan }).await?;
    let series = by_turns(bench, &[&few, &many], &SAY[..A_ROUND]).await?;
    let [few_name, many_name] = [FEW, bench.tools].map(|count| format!("tools_{count}"));
    let mut figures = rows(&series, [&few_name, &many_name], "tools");
    few.server.end().await?;
    many.server.end().await?;
    drop((few.machine, many.machine));

    let plan = Plan { tools: TOOLS, context: CONTEXT, slots: 1, turns: Some(0) };
    let fresh = Pair::start(bench, plan).await?;
    let long = Pair::start(bench, Plan { turns: Some(TURNS), ..plan }).await?;
    let series = by_turns(bench, &[&fresh, &long], &REFERRING).await?;
    figures.append(&mut rows(&series, ["turns_0", &format!("turns_{TURNS}")], "turns"));
    fresh.server.end().await?;
    long.server.end().await?;
    Ok(figures)
}

/// The times at both ends, and by what factor each side grew from the one to the other.
fn rows(series: &[Series], names: [&str; 2], what: &str) -> Map<String, Value> {
    let mut rows = Map::new();
    for (series, name) in series.iter().zip(names) {
        for (form, sides) in series.sides() {
            rows.insert(format!("{name}_to_{form}_ms"), sides.told(None));
        }
    }
    if let [small, large] = series {
        for ((form, small), (_, large)) in small.sides().zip(large.sides()) {
            rows.insert(format!("{what}_growth_to_{form}"), growth(small, large).told(None));
        }
    }
    rows
}

fn growth(small: &Sides, large: &Sides) -> Sides {
    let factors = |small: &[f64], large: &[f64]| {
        large.iter().zip(small).map(|(large, small)| large / small).collect()
    };
    Sides { ours: factors(&small.ours, &large.ours), peer: factors(&small.peer, &large.peer) }
}
