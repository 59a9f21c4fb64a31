//! How a request is put to a model: the rules and tools before it, and the grammar of what may be answered.
//!
//! A view shows the tools in one order. What the model is not sure of behind the first view is asked behind a second one
//! too, with the tools the other way round, and the [mean](crate::model::second) of both answers counts.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use agentd_tools::ToolSpec;
use agentd_tools::spec::Priority;
use log::info;
use tokio::sync::mpsc;

use super::prompt;
use crate::command::Call;
use crate::ground::Grounds;
use crate::model::config::ModelConfig;
use crate::model::offer::Offer;
use crate::model::{Answer, Ask, Message, Model, ModelError, State, Usage, grammar, second};

/// The least time that a second opinion gets: beside others it may take longer than the first answer did.
const PATIENCE: Duration = Duration::from_millis(500);

/// A request, and what was said and done before that it may refer to.
#[derive(Debug, Clone)]
pub struct Request {
    /// The sentence.
    pub say: String,
    /// Sentences before it, each with its calls.
    pub before: Vec<(String, Vec<Call>)>,
    /// Who goes first.
    pub priority: Priority,
    /// The answer is not wanted after this.
    pub deadline: Instant,
}

/// The ways in which some tools are shown to a model.
#[derive(Debug)]
pub struct Views {
    first: View,
    /// None where it would be the same, or is not wanted.
    second: Option<View>,
    /// The model for which the second one was prepared last: to compute it would keep a person waiting.
    prepared_for: Mutex<Option<String>>,
    /// What the model is less sure of, 0 to 1, is asked a second time.
    least_sure: f32,
    /// What it is less sure of, 0 to 1, a larger model is asked.
    escalated_below: f32,
}

/// One way in which some tools are shown.
#[derive(Debug)]
struct View {
    specs: Arc<[ToolSpec]>,
    preamble: Vec<Message>,
    max_tokens: u32,
    max_calls: usize,
    grounded: bool,
}

impl Views {
    /// Of some tools, with the limits of a `[model]` section.
    pub fn new(specs: Arc<[ToolSpec]>, limits: &ModelConfig) -> Self {
        let has_order = specs.len() > 1 && limits.second_opinion > 0.0;
        let reversed = || specs.iter().rev().cloned().collect();
        Self {
            second: has_order.then(|| View::new(reversed(), limits)),
            first: View::new(specs, limits),
            prepared_for: Mutex::default(),
            least_sure: limits.second_opinion,
            escalated_below: limits.min_confidence,
        }
    }

    /// The tools, in their order.
    pub fn specs(&self) -> &Arc<[ToolSpec]> {
        &self.first.specs
    }

    /// Has the model compute or restore what comes before every request, and says what that took.
    pub async fn prepare(&self, model: &Model, deadline: Instant) -> Result<Usage, ModelError> {
        self.first.prepare(model, Priority::High, deadline).await
    }

    /// The same for the second view, with little of what others are answered with meanwhile; then the first one is put back
    /// in its place. None: there is no second one.
    pub async fn prepare_second(
        &self,
        model: &Model,
        deadline: Instant,
    ) -> Result<Option<Usage>, ModelError> {
        let Some(second) = &self.second else { return Ok(None) };
        let (State::Ready { name, .. } | State::Loading { name }) = model.state() else {
            return Err(ModelError::Unavailable("it is not loaded".into()));
        };
        let usage = second.prepare(model, Priority::Low, deadline).await?;
        *self.prepared_for() = Some(name);
        // Without it the next request only takes longer.
        let _ = self.first.prepare(model, Priority::Low, deadline).await;
        Ok(Some(usage))
    }

    /// A model is loaded again, or gone: what was prepared for it is not there any more.
    pub fn forget_second(&self) {
        *self.prepared_for() = None;
    }

    fn prepared_for(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.prepared_for.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks, and where the answer is not sure once more; the flag says whether it was. `pieces` gets the first answer while
    /// it is written. Where a second one cannot be had from the same model, in about the time that the first one took, the
    /// first one stands.
    pub async fn ask(
        &self,
        model: &Model,
        request: &Request,
        pieces: Option<mpsc::Sender<String>>,
    ) -> Result<(Answer, bool), ModelError> {
        let begun = Instant::now();
        let answer = model.ask(self.first.ask(request, pieces)).await?;
        let left = request.deadline.saturating_duration_since(Instant::now());
        let is_prepared = self.prepared_for().as_ref() == Some(&answer.model);
        let patience = patience(answer.confidence, self.least_sure, begun.elapsed(), left);
        let (Some(second), Some(patience)) =
            (self.second.as_ref().filter(|_| is_prepared), patience)
        else {
            return Ok((answer, false));
        };
        let request = Request { deadline: Instant::now() + patience, ..request.clone() };
        match model.ask_again(&answer.model, second.ask(&request, None)).await {
            Ok(other) => Ok((second::mean(answer, other), true)),
            Err(error) => {
                info!(error:% = error; "the model gave no second opinion");
                Ok((answer, false))
            }
        }
    }

    /// What a larger model says where `answer` is less sure than what is done without asking back. None: it is sure enough, there
    /// is no larger one, or it does not answer in half of the time that is left, so that what is then done has some.
    pub async fn escalate(
        &self,
        model: &Model,
        request: &Request,
        answer: &Answer,
    ) -> Option<Answer> {
        if answer.confidence >= self.escalated_below || !model.has_larger_than(&answer.model) {
            return None;
        }
        let now = Instant::now();
        let deadline = now + request.deadline.saturating_duration_since(now) / 2;
        let request = Request { deadline, ..request.clone() };
        let asked = model.ask_larger(self.first.ask(&request, None)).await;
        asked.inspect_err(|error| info!(error:% = error; "the larger model gave no answer")).ok()
    }
}

/// How long to wait for a second opinion: twice as long as the first answer `took`, and at most half of what is `left`, so
/// that what is then done has time. None: the first one is as sure as `least`, or there is no time.
fn patience(confidence: f32, least: f32, took: Duration, left: Duration) -> Option<Duration> {
    let is_wanted = confidence < least && left >= took * 3;
    is_wanted.then(|| (took * 2).max(PATIENCE).min(left / 2))
}

impl View {
    fn new(specs: Arc<[ToolSpec]>, limits: &ModelConfig) -> Self {
        Self {
            preamble: prompt::preamble(&specs),
            specs,
            max_tokens: limits.max_tokens,
            max_calls: limits.max_calls,
            grounded: limits.grounded,
        }
    }

    async fn prepare(
        &self,
        model: &Model,
        priority: Priority,
        deadline: Instant,
    ) -> Result<Usage, ModelError> {
        let openings = grammar::openings(self.specs.iter());
        let offer = Some(Arc::new(self.offer()));
        model.prepare(self.preamble.clone(), openings, offer, priority, deadline).await
    }

    /// The tools, of which nothing is asked yet.
    fn offer(&self) -> Offer {
        Offer::of(Arc::clone(&self.specs), self.max_calls)
    }

    fn ask(&self, request: &Request, pieces: Option<mpsc::Sender<String>>) -> Ask {
        let Request { say, before, priority, deadline } = request;
        let mut messages = self.preamble.clone();
        for (say, calls) in before {
            messages.extend(prompt::exchange(say, &grammar::answer(calls)));
        }
        let earlier = before.last().map_or("", |(say, _)| say.as_str());
        let grounds = self.grounded.then(|| Grounds::of(say).and_before(earlier));
        let specs: Vec<_> = self.specs.iter().collect();
        let grammar = grammar::calls(&specs, self.max_calls, grounds.as_ref());
        let (say, before) = (Some(say.clone()), before.clone());
        Ask {
            messages: prompt::messages(&messages, say.as_deref().unwrap_or_default()),
            grammar: grammar.into(),
            offer: Some(Arc::new(Offer { grounds, before, say, ..self.offer() })),
            max_tokens: self.max_tokens,
            priority: *priority,
            deadline: *deadline,
            pieces,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tools(names: &[&str]) -> Arc<[ToolSpec]> {
        let tool = |name| json!({"name": name, "description": "d", "kind": "note"});
        names.iter().map(|name| serde_json::from_value(tool(name)).expect("a tool")).collect()
    }

    #[test]
    fn a_second_opinion_is_waited_for_below_its_bound_and_where_there_is_time() {
        let ms = Duration::from_millis;
        let (took, left) = (ms(400), ms(9000));
        assert_eq!(patience(0.79, 0.8, took, left), Some(ms(800)));
        assert_eq!(patience(0.8, 0.8, took, left), None, "it is sure enough");
        assert_eq!(patience(0.0, 0.0, took, left), None, "never");
        assert_eq!(patience(0.79, 0.8, took, ms(1200)), Some(ms(600)), "half of what is left");
        assert_eq!(patience(0.79, 0.8, took, ms(1199)), None, "there is no time");
        assert_eq!(patience(0.79, 0.8, ms(20), left), Some(PATIENCE));
    }

    #[test]
    fn one_tool_has_one_order_and_what_is_never_asked_needs_no_second_view() {
        let limits = ModelConfig::default();
        assert!(Views::new(tools(&["one"]), &limits).second.is_none());
        let never = ModelConfig { second_opinion: 0.0, ..limits.clone() };
        assert!(Views::new(tools(&["one", "two"]), &never).second.is_none());
        let views = Views::new(tools(&["one", "two", "three"]), &limits);
        let names = |view: &View| -> Vec<_> {
            view.specs.iter().map(|tool| tool.name.to_string()).collect()
        };
        assert_eq!(names(&views.first), ["one", "two", "three"]);
        assert_eq!(names(views.second.as_ref().unwrap()), ["three", "two", "one"]);
        assert_eq!(views.specs().len(), 3);
    }
}
