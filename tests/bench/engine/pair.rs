//! A machine of ours and a server of the peer's that have the same tools and are both warm.

use std::time::{Duration, Instant};

use agentd::command::{Call, Outcome, Route, fresh_id};
use agentd::model::grammar;
use agentd_tests::{Machine, PATIENCE, Setting};
use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::Bench;
use super::form::Form;
use super::peer::Server;
use super::toolset::{Exchange, Toolset, history};

/// Prompt tokens that the peer decodes at once: its default `--ubatch-size`.
const PEER_CHUNK: u64 = 512;
/// The most calls of an answer: our default.
const MAX_CALLS: usize = 2;
/// Where the runs of the model stand in what is [`counted`].
pub(super) const DECODES: usize = 4;
/// Who has spoken before, where there is a history.
const SESSION: &str = "long";

/// What a pair is to have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) tools: usize,
    /// Tokens of the context, for each slot of the peer's.
    pub(super) context: u32,
    /// Slots of the peer's.
    pub(super) slots: u32,
    /// Turns that the session has behind it; none where there is no session.
    pub(super) turns: Option<usize>,
}

/// Both sides.
pub(super) struct Pair {
    pub(super) machine: Machine,
    pub(super) server: Server,
    tools: Toolset,
    plan: Plan,
    before: Vec<Exchange>,
    /// In what forms the peer answers, with their names.
    pub(super) forms: [(&'static str, Form); 3],
}

/// What one answer took.
#[derive(Debug, Clone, Default)]
pub(super) struct Taken {
    pub(super) ms: f64,
    /// Tokens of the whole prompt.
    pub(super) prompt: u64,
    /// Those of them that had to be decoded.
    pub(super) prefilled: u64,
    /// Tokens that were chosen.
    pub(super) sampled: u64,
    /// Tokens that the grammar forced, which cost no decoding of their own.
    pub(super) forced: u64,
    /// How often the model was run.
    pub(super) decodes: u64,
    /// The calls as the model wrote them.
    pub(super) answer: String,
}

impl Pair {
    /// Starts both and has both compute the static part of the prompt.
    pub(super) async fn start(bench: &Bench, plan: Plan) -> Result<Self> {
        let tools = Toolset::of(plan.tools)?;
        let before = history(plan.turns.unwrap_or(0))?;
        let machine = Machine::start(setting(bench, &tools, plan.context)).await;
        until_warm(&machine).await;
        for Exchange { say, .. } in &before {
            machine.ask_in(SESSION, say).await;
        }
        let mut server = Server::start(bench, plan.context, plan.slots).await?;
        server.learn_marks().await?;
        let forms = Form::all(&tools.specs, MAX_CALLS);
        let pair = Self { machine, server, tools, plan, before, forms };
        pair.peer("hello", &pair.forms[0].1).await?;
        Ok(pair)
    }

    /// The text of the prompt that both sides get.
    pub(super) fn prompt(&self, say: &str) -> String {
        self.tools.prompt(&self.server.marks, &self.before, say)
    }

    /// One command through the whole daemon: from its publish to its result, over MQTT.
    pub(super) async fn ours(&self, say: &str) -> Result<Taken> {
        let observer = self.machine.observer.as_ref().context("the machine has a broker")?;
        let id = fresh_id();
        let mut command = json!({"id": id, "text": say});
        match self.plan.turns {
            None => {}
            // One that nobody has spoken in.
            Some(0) => command["session"] = fresh_id().into(),
            Some(_) => command["session"] = SESSION.into(),
        }
        let payload = command.to_string();
        let before = counted(&self.machine).await;
        let begun = Instant::now();
        observer.publish("command", payload.as_bytes(), false).await?;
        let outcome = observer.outcome(&id, PATIENCE).await.context("an outcome")?;
        let ms = milliseconds(begun.elapsed());
        let after = counted(&self.machine).await;
        let [reused, prefilled, forced, sampled, decodes] =
            std::array::from_fn(|i| after[i].saturating_sub(before[i]));
        ensure!(by_model(&outcome), "“{say}” was not answered by the model: {outcome:?}");
        let prompt = reused + prefilled;
        Ok(Taken { ms, prompt, prefilled, sampled, forced, decodes, answer: answer(&outcome) })
    }

    /// The same prompt, continued by the peer.
    pub(super) async fn peer(&self, say: &str, form: &Form) -> Result<Taken> {
        let prompt = self.prompt(say);
        let begun = Instant::now();
        let completion = self.server.complete(&prompt, form).await?;
        let ms = milliseconds(begun.elapsed());
        let chunks = completion.prefilled.div_ceil(PEER_CHUNK);
        Ok(Taken {
            ms,
            prompt: completion.prompt,
            prefilled: completion.prefilled,
            sampled: completion.predicted,
            forced: 0,
            decodes: (completion.predicted + chunks).saturating_sub(1),
            answer: completion.text,
        })
    }
}

/// A machine with these tools and the model of the peer's. What the model is not sure of is done all the same, so
/// that every command goes its whole way, and it is asked once, as the peer is.
pub(super) fn setting(bench: &Bench, tools: &Toolset, context: u32) -> Setting {
    let config = format!(
        "[policy]\nrate_per_minute = 100000\n[model]\npath = \"{}\"\nthreads = {}\n\
         context = {context}\nmax_calls = {MAX_CALLS}\nmin_confidence = 0.0\nsecond_opinion = 0.0\n",
        bench.model().display(),
        bench.threads,
    );
    Setting { mqtt: Some(5), config, tools: Some(tools.toml.clone()), ..Setting::default() }
}

/// Waits until the static part of the prompt is computed or restored.
pub(super) async fn until_warm(machine: &Machine) {
    machine.until_model_ready().await;
    let is_warm = async |m: &Machine| m.log().contains("static part is there");
    machine.until("the prompt is warm", is_warm).await;
}

/// Whether it was the model that turned the words into calls, or said that none fits.
pub(super) fn by_model(outcome: &Outcome) -> bool {
    outcome.route == Route::Model && outcome.confidence.is_some()
}

fn answer(outcome: &Outcome) -> String {
    let calls = outcome.calls.iter();
    let calls = calls.map(|call| Call { tool: call.tool.clone(), args: call.args.clone() });
    grammar::answer(&calls.collect::<Vec<_>>())
}

/// The daemon's counts: tokens that were reused, prefilled, forced and sampled, and runs of the model.
pub(super) async fn counted(machine: &Machine) -> [u64; 5] {
    let names = [
        "model_tokens_reused_total",
        "model_tokens_prefilled_total",
        "model_tokens_forced_total",
        "model_tokens_sampled_total",
        "model_decodes_total",
    ];
    let text = machine.client.metrics().await.unwrap_or_default();
    let value = |name: &str| {
        let rest = text.lines().find_map(|line| line.strip_prefix("agentd_")?.strip_prefix(name));
        rest.and_then(|rest| rest.trim().parse().ok()).unwrap_or(0)
    };
    names.map(value)
}

pub(super) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
