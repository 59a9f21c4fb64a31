//! Who turns a command's words into calls: its sender, a known sentence, or the model; or what is said where nobody can.

use agentd_tools::Args;

use super::Agent;
use super::mind::Mind;
use super::turn::{INTERRUPTED, Ran, Turn};
use crate::command::{Call, CallRecord, Denial, INTERRUPTED_WHY, Route, Status};
use crate::model::State;
use crate::store::{Plan, Waiting};

impl Agent {
    /// Who turns the words into calls: the sender, a known sentence, or the model.
    pub(super) fn route(&self, waiting: &Waiting, steps: usize) -> Turn {
        if let Some(plan) = &waiting.plan {
            let before = waiting.records.iter().map(|record| Ran {
                reply: format!("{} was done before the daemon stopped.", named(record)),
                record: record.clone(),
                acted: true,
                error: None,
                effects: Vec::new(),
            });
            let cut_off = waiting.cut_off.and_then(|step| plan.calls.get(step)).map(cut_off);
            return Turn::resume(plan.clone(), before.collect(), cut_off, steps);
        }
        let known = |route, call: Call| {
            Turn::carry_out(Plan { route, model: None, confidence: None, calls: vec![call] }, steps)
        };
        if let Some(call) = &waiting.command.call {
            return known(Route::Direct, call.clone());
        }
        let (mind, text) = (self.mind(&waiting.command), waiting.command.text.as_deref());
        if let Some(call) = mind.reflex.find(text.unwrap_or_default()) {
            self.metrics.route_reflex_total.add_one();
            return known(Route::Reflex, call);
        }
        match mind.model.state() {
            State::Ready { name, .. } | State::Loading { name } | State::Asleep { name } => {
                self.metrics.route_model_total.add_one();
                Turn::ask(Some(name), steps, mind.min_confidence)
            }
            State::Off => at_a_loss(mind, "no model is installed"),
            State::Down { cause, .. } => {
                self.metrics.model_missed_total.add_one();
                at_a_loss(mind, &format!("the model is down: {cause}"))
            }
        }
    }
}

fn at_a_loss(mind: &Mind, why: &str) -> Turn {
    let hint = match &mind.hint {
        Some(hint) => format!(". Without it only known sentences work, such as: {hint}"),
        None => String::new(),
    };
    let message = format!("that is not a known sentence, and {why}{hint}");
    let denial = Denial::new("model_unavailable", message);
    Turn::refuse(Route::Direct, Status::Failed, denial)
}

/// The call in the middle of which the daemon stopped.
fn cut_off(call: &Call) -> Ran {
    let record = CallRecord {
        tool: call.tool.clone(),
        args: call.args.clone(),
        ok: false,
        result: None,
        error: Some(INTERRUPTED_WHY.into()),
        settled: None,
        ms: 0,
    };
    let error = Some(Denial::new(INTERRUPTED, INTERRUPTED_WHY));
    Ran { record, acted: true, reply: call.interrupted(), error, effects: Vec::new() }
}

fn named(record: &CallRecord) -> String {
    Call { tool: record.tool.clone(), args: Args::clone(&record.args) }.to_string()
}
