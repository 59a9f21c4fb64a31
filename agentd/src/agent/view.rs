//! How a request is put to a model: the rules and tools before it, and the grammar of what may be answered.
//!
//! A view shows the tools in one order. What the model is not sure of behind the first view is asked behind a second one
//! too, with the tools the other way round, and the [mean](crate::model::second) of both answers counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use agentd_tools::ToolSpec;
use agentd_tools::spec::Priority;
use tokio::sync::mpsc;

use super::prompt;
use crate::command::Call;
use crate::ground::Grounds;
use crate::model::config::ModelConfig;
use crate::model::offer::Offer;
use crate::model::{Answer, Ask, Message, Model, ModelError, Usage, grammar, second};

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
    /// Whether the second one lies in the model's memory: to compute it would keep a person waiting.
    has_second: AtomicBool,
    /// What the model is less sure of, 0 to 1, is asked a second time.
    second_opinion: f32,
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
            has_second: AtomicBool::new(false),
            second_opinion: limits.second_opinion,
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

    /// The same for the second view, while nobody waits for anything else. None: there is none.
    pub async fn prepare_second(
        &self,
        model: &Model,
        deadline: Instant,
    ) -> Result<Option<Usage>, ModelError> {
        let Some(second) = &self.second else { return Ok(None) };
        let usage = second.prepare(model, Priority::Low, deadline).await?;
        self.has_second.store(true, Ordering::Relaxed);
        Ok(Some(usage))
    }

    /// The model's memory is gone, and the second view with it.
    pub fn forget_second(&self) {
        self.has_second.store(false, Ordering::Relaxed);
    }

    /// Asks, and where the answer is not sure once more; the flag says whether it was. `pieces` gets the first answer while it
    /// is written. What cannot be asked a second time in time is answered as it was the first time.
    pub async fn ask(
        &self,
        model: &Model,
        request: &Request,
        pieces: Option<mpsc::Sender<String>>,
    ) -> Result<(Answer, bool), ModelError> {
        let begun = Instant::now();
        let answer = model.ask(self.first.ask(request, pieces)).await?;
        let (took, left) =
            (begun.elapsed(), request.deadline.saturating_duration_since(Instant::now()));
        let is_wanted = is_worth_asking(answer.confidence, self.second_opinion, took, left);
        let second = self.second.as_ref().filter(|_| self.has_second.load(Ordering::Relaxed));
        let Some(second) = second.filter(|_| is_wanted) else { return Ok((answer, false)) };
        match model.ask(second.ask(request, None)).await {
            Ok(other) if other.model == answer.model => Ok((second::mean(answer, other), true)),
            Ok(_) | Err(_) => Ok((answer, false)),
        }
    }
}

/// Whether a second opinion is worth its time: the first answer is less sure than `least`, and there is as long again as it
/// took.
fn is_worth_asking(confidence: f32, least: f32, took: Duration, left: Duration) -> bool {
    confidence < least && took <= left
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
    fn a_second_opinion_is_asked_below_its_bound_and_where_there_is_time() {
        let (took, left) = (Duration::from_millis(90), Duration::from_millis(90));
        assert!(is_worth_asking(0.79, 0.8, took, left));
        assert!(!is_worth_asking(0.8, 0.8, took, left), "it is sure enough");
        assert!(!is_worth_asking(0.79, 0.8, took + Duration::from_millis(1), left));
        assert!(!is_worth_asking(0.0, 0.0, took, left), "never");
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
