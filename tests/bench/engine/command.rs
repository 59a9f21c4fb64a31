//! One tool command with a warm prompt: through our whole daemon, and as an answer of the server, once in the form of
//! a JSON schema and once in our own compact form.

use anyhow::Result;
use serde_json::{Map, Value, json};

use super::pair::{Pair, Plan, Taken};
use super::ratio::{Aim, Sides, median, short};
use super::{Bench, CONTEXT, SAY};

/// Sentences of a round, whose mean is the round's figure.
pub(super) const A_ROUND: usize = 4;
/// The tools of the tests, which are the demo's.
pub(super) const TOOLS: usize = 7;

/// What the answers of all rounds took.
#[derive(Debug, Default)]
pub(super) struct Series {
    pub(super) schema: Sides,
    pub(super) gbnf: Sides,
    /// Answers, by who gave them: ours, the peer's by schema, the peer's by GBNF.
    answers: [Vec<Taken>; 3],
}

/// Has both sides of each pair answer the same sentences by turns, all pairs in each round.
pub(super) async fn by_turns(
    bench: &Bench,
    pairs: &[&Pair],
    sentences: &[&str],
) -> Result<Vec<Series>> {
    let mut all: Vec<Series> = pairs.iter().map(|_| Series::default()).collect();
    // The first round is not counted: it compiles the grammars and fills the caches.
    for round in 0..=bench.rounds {
        for (pair, series) in pairs.iter().zip(&mut all) {
            let mut taken: [Vec<Taken>; 3] = Default::default();
            for say in sentences {
                taken[0].push(pair.ours(say).await?);
                taken[1].push(pair.peer(say, &pair.schema).await?);
                taken[2].push(pair.peer(say, &pair.gbnf).await?);
            }
            if round > 0 {
                let [ours, schema, gbnf] = [0, 1, 2].map(|who| mean(&taken[who], |t| t.ms));
                series.schema.add(ours, schema);
                series.gbnf.add(ours, gbnf);
                for (all, more) in series.answers.iter_mut().zip(taken) {
                    all.extend(more);
                }
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
        figures.insert("command_to_json_ms".into(), series.schema.told(Some(Aim::AtMost(0.2))));
        figures.insert("command_to_gbnf_ms".into(), series.gbnf.told(Some(Aim::AtMost(0.6))));
        figures.append(&mut series.counts());
    }
    pair.server.end().await?;
    Ok(figures)
}

impl Series {
    /// What does not depend on the machine's speed: tokens, and runs of the model, for each command.
    fn counts(&self) -> Map<String, Value> {
        let [ours, schema, gbnf] = &self.answers;
        let same = ours.iter().zip(gbnf).filter(|(ours, gbnf)| ours.answer == gbnf.answer).count();
        let row = |taken: &[Taken]| {
            json!({
                "prompt": short(mean(taken, |t| t.prompt as f64)),
                "prefilled": short(mean(taken, |t| t.prefilled as f64)),
                "sampled": short(mean(taken, |t| t.sampled as f64)),
                "forced": short(mean(taken, |t| t.forced as f64)),
                "decode_calls": short(mean(taken, |t| t.decodes as f64)),
            })
        };
        let of =
            |taken: &[Taken]| median(&taken.iter().map(|t| t.decodes as f64).collect::<Vec<_>>());
        let ratio = |peer: &[Taken]| short(of(ours) / of(peer));
        Map::from_iter([
            ("tokens_ours".to_owned(), row(ours)),
            ("tokens_peer_json".to_owned(), row(schema)),
            ("tokens_peer_gbnf".to_owned(), row(gbnf)),
            (
                "decode_calls_ratio".to_owned(),
                json!({"to_json": ratio(schema), "to_gbnf": ratio(gbnf)}),
            ),
            (
                "same_answer_as_gbnf".to_owned(),
                json!({"share": short(same as f64 / ours.len() as f64)}),
            ),
        ])
    }
}

fn mean(taken: &[Taken], of: impl Fn(&Taken) -> f64) -> f64 {
    taken.iter().map(of).sum::<f64>() / taken.len() as f64
}
