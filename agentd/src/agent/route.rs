//! Who turns a command's words into calls: its sender, a known sentence, or the model; or what is said where nobody can.

use agentd_tools::Args;

use super::Agent;
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
        let text = waiting.command.text.as_deref().unwrap_or_default();
        if let Some(call) = self.reflex.find(text) {
            self.metrics.route_reflex_total.add_one();
            return known(Route::Reflex, call);
        }
        match self.model.state() {
            State::Ready { name, .. } | State::Loading { name } | State::Asleep { name } => {
                self.metrics.route_model_total.add_one();
                Turn::ask(Some(name), steps, self.min_confidence)
            }
            State::Off => self.at_a_loss("no model is installed"),
            State::Down { cause, .. } => {
                self.metrics.model_missed_total.add_one();
                self.at_a_loss(&format!("the model is down: {cause}"))
            }
        }
    }

    fn at_a_loss(&self, why: &str) -> Turn {
        let hint = match &self.hint {
            Some(hint) => format!(". Without it only known sentences work, such as: {hint}"),
            None => String::new(),
        };
        let message = format!("that is not a known sentence, and {why}{hint}");
        let denial = Denial::new("model_unavailable", message);
        Turn::refuse(Route::Direct, Status::Failed, denial)
    }
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
