//! One tool command with a warm prompt: through our whole daemon, and as an answer of the server in each of three
//! forms.

use anyhow::Result;
use serde_json::{Map, Value, json};

use super::pair::{Pair, Plan, Taken};
use super::ratio::{Aim, Sides, short};
use super::{Bench, CONTEXT, SAY};

/// Sentences of a round, whose mean is the round's figure.
pub(super) const A_ROUND: usize = 4;
/// The tools of the tests, which are the demo's.
pub(super) const TOOLS: usize = 7;

/// What the answers of all rounds took.
#[derive(Debug, Default)]
pub(super) struct Series {
    ours: Vec<Taken>,
    /// For each form that the peer answers in: its name, the times, the answers.
    peer: Vec<(&'static str, Sides, Vec<Taken>)>,
}

/// Has both sides of each pair answer the same sentences by turns, all pairs in each round.
pub(super) async fn by_turns(
    bench: &Bench,
    pairs: &[&Pair],
    sentences: &[&str],
) -> Result<Vec<Series>> {
    let empty = |pair: &&Pair| Series {
        ours: Vec::new(),
        peer: pair.forms.iter().map(|(name, _)| (*name, Sides::default(), Vec::new())).collect(),
    };
    let mut all: Vec<Series> = pairs.iter().map(empty).collect();
    // The first round is not counted: it compiles the grammars and fills the caches.
    for round in 0..=bench.rounds {
        for (pair, series) in pairs.iter().zip(&mut all) {
            let mut ours = Vec::new();
            let mut peer: Vec<Vec<Taken>> = pair.forms.iter().map(|_| Vec::new()).collect();
            for say in sentences {
                ours.push(pair.ours(say).await?);
                for (taken, (_, form)) in peer.iter_mut().zip(&pair.forms) {
                    taken.push(pair.peer(say, form).await?);
                }
            }
            if round > 0 {
                for ((_, sides, all), taken) in series.peer.iter_mut().zip(peer) {
                    sides.add(mean(&ours, |t| t.ms), mean(&taken, |t| t.ms));
                    all.extend(taken);
                }
                series.ours.extend(ours);
            }
        }
    }
    Ok(all)
}

pub(super) async fn measure(bench: &Bench) -> Result<Map<String, Value>> {
    let plan = Plan { tools: TOOLS, context: CONTEXT, slots: 1, turns: None };
    let pair = Pair::start(bench, plan).await?;
    let series = by_turns(bench, &[&pair], &SAY[..A_ROUND]).await?;
    let mut figures = Map::new();
    for series in &series {
        for (form, sides) in series.sides() {
            let aim = match form {
                "json" => Some(Aim::AtMost(0.2)),
                "gbnf" => Some(Aim::AtMost(0.6)),
                _ => None,
            };
            figures.insert(format!("command_to_{form}_ms"), sides.told(aim));
        }
        figures.append(&mut series.counts());
    }
    pair.server.end().await?;
    Ok(figures)
}

impl Series {
    /// The times beside those of each form that the peer answers in.
    pub(super) fn sides(&self) -> impl Iterator<Item = (&'static str, &Sides)> {
        self.peer.iter().map(|(name, sides, _)| (*name, sides))
    }

    /// What does not depend on the machine's speed: tokens, and runs of the model, for each command.
    fn counts(&self) -> Map<String, Value> {
        let decodes = mean(&self.ours, |t| t.decodes as f64);
        let mut rows = Map::from_iter([("tokens_ours".to_owned(), told(&self.ours))]);
        for (name, _, taken) in &self.peer {
            let mut row = told(taken);
            let ratio = short(decodes / mean(taken, |t| t.decodes as f64));
            row["decode_calls_ratio"] = ratio.into();
            if *name == "gbnf" {
                let both = self.ours.iter().zip(taken);
                let same = both.filter(|(ours, peer)| ours.answer == peer.answer).count();
                row["answers_like_ours"] = short(same as f64 / taken.len() as f64).into();
            }
            rows.insert(format!("tokens_peer_{name}"), row);
        }
        rows
    }
}

/// The means of the counts.
fn told(taken: &[Taken]) -> Value {
    json!({
        "prompt": short(mean(taken, |t| t.prompt as f64)),
        "prefilled": short(mean(taken, |t| t.prefilled as f64)),
        "sampled": short(mean(taken, |t| t.sampled as f64)),
        "forced": short(mean(taken, |t| t.forced as f64)),
        "decode_calls": short(mean(taken, |t| t.decodes as f64)),
    })
}

fn mean(taken: &[Taken], of: impl Fn(&Taken) -> f64) -> f64 {
    taken.iter().map(of).sum::<f64>() / taken.len() as f64
}
