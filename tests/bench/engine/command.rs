//! One tool command with a warm prompt: through our whole daemon, and as an answer of the server in each of three
//! forms.

use anyhow::Result;
use serde_json::{Map, Value, json};

use super::form::Form;
use super::pair::{Pair, Plan, Taken};
use super::ratio::{Aim, Sides, short};
use super::{Bench, CONTEXT, SAY, worded};

/// Sentences of a round, whose mean is the round's figure.
pub(super) const A_ROUND: usize = 4;
/// The tools of the tests, which are the demo's.
pub(super) const TOOLS: usize = 7;

/// What the answers of all rounds took, for each form that the peer answers in.
#[derive(Debug)]
pub(super) struct Series(Vec<Beside>);

/// Our answers beside the peer's in one form.
#[derive(Debug)]
struct Beside {
    form: &'static str,
    /// The mean times of the rounds.
    sides: Sides,
    ours: Vec<Taken>,
    peer: Vec<Taken>,
}

/// Has both sides of each pair answer the same sentences by turns, all pairs in each round. Each side comes right behind
/// the other, whose weights are then in the processor's cache, and no sentence was said before.
pub(super) async fn by_turns(
    bench: &Bench,
    pairs: &[&Pair],
    sentences: &[&str],
) -> Result<Vec<Series>> {
    let beside = |(form, _): &(&'static str, Form)| Beside {
        form,
        sides: Sides::default(),
        ours: Vec::new(),
        peer: Vec::new(),
    };
    let mut all: Vec<Series> =
        pairs.iter().map(|pair| Series(pair.forms.iter().map(beside).collect())).collect();
    // The first round is not counted: it compiles the grammars and fills the caches.
    for round in 0..=bench.rounds {
        for (pair, series) in pairs.iter().zip(&mut all) {
            let forms = pair.forms.len();
            for (i, (beside, (_, form))) in series.0.iter_mut().zip(&pair.forms).enumerate() {
                let (mut ours, mut peer) = (Vec::new(), Vec::new());
                for say in sentences {
                    let say = worded(say, round * forms + i);
                    ours.push(pair.ours(&say).await?);
                    peer.push(pair.peer(&say, form).await?);
                }
                if round > 0 {
                    beside.sides.add(mean(&ours, |t| t.ms), mean(&peer, |t| t.ms));
                    beside.ours.extend(ours);
                    beside.peer.extend(peer);
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
    figures.append(&mut again(bench, &pair).await?);
    pair.server.end().await?;
    Ok(figures)
}

/// The same sentence once more, beside the first time that it is said.
async fn again(bench: &Bench, pair: &Pair) -> Result<Map<String, Value>> {
    let (mut sides, mut runs) = (Sides::default(), [0.0, 0.0]);
    for round in 0..bench.rounds {
        // None that was said before.
        let say = SAY[A_ROUND..].iter().map(|say| worded(say, round));
        let mut taken = [Vec::new(), Vec::new()];
        for say in say {
            for taken in &mut taken {
                taken.push(pair.ours(&say).await?);
            }
        }
        let [first, again] = taken.each_ref().map(|taken| mean(taken, |t| t.ms));
        sides.add(again, first);
        let decodes = taken.each_ref().map(|taken| mean(taken, |t| t.decodes as f64));
        runs = [runs[0] + decodes[0], runs[1] + decodes[1]];
    }
    let [first, again] = runs.map(|runs| short(runs / bench.rounds as f64));
    let mut row = sides.told(None);
    row["decode_calls"] = json!({"first": first, "again": again});
    Ok(Map::from_iter([("command_again_to_first_ms".to_owned(), row)]))
}

impl Series {
    /// The times beside those of each form that the peer answers in.
    pub(super) fn sides(&self) -> impl Iterator<Item = (&'static str, &Sides)> {
        self.0.iter().map(|beside| (beside.form, &beside.sides))
    }

    /// What does not depend on the machine's speed: tokens, and runs of the model, for each command.
    fn counts(&self) -> Map<String, Value> {
        let ours: Vec<Taken> = self.0.iter().flat_map(|beside| beside.ours.clone()).collect();
        let mut rows = Map::from_iter([("tokens_ours".to_owned(), told(&ours))]);
        for Beside { form, ours, peer, .. } in &self.0 {
            let mut row = told(peer);
            let decodes = [ours, peer].map(|taken| mean(taken, |t| t.decodes as f64));
            row["decode_calls_ratio"] = short(decodes[0] / decodes[1]).into();
            if *form == "gbnf" {
                let both = ours.iter().zip(peer);
                let same = both.filter(|(ours, peer)| ours.answer == peer.answer).count();
                row["answers_like_ours"] = short(same as f64 / peer.len() as f64).into();
            }
            rows.insert(format!("tokens_peer_{form}"), row);
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
