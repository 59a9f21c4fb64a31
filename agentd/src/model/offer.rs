//! What a model is offered and asked, before anybody knows how it wants to hear it.

use std::sync::Arc;

use agentd_tools::ToolSpec;
use serde_json::Value;

use super::constraint::Constraint;
use super::native::{self, Native};
use super::{Alternative, Answer, Message, ModelError, grammar};
use crate::command::Call;
use crate::ground::Grounds;

/// Tools, and what is said to them.
#[derive(Debug, Clone)]
pub struct Offer {
    /// The tools.
    pub tools: Arc<[ToolSpec]>,
    /// The most calls of an answer.
    pub max_calls: usize,
    /// What the values of the calls may be, where not anything.
    pub grounds: Option<Grounds>,
    /// What was said before, with the calls that it became.
    pub before: Vec<(String, Vec<Call>)>,
    /// The request; none where only the static part is wanted.
    pub say: Option<String>,
}

/// An offer in a model's own way.
#[derive(Debug, Clone)]
pub(super) struct InNative {
    pub(super) messages: Vec<Message>,
    /// The tools, as a template takes them.
    pub(super) tools: Value,
    pub(super) grammar: Constraint,
}

impl Offer {
    /// Of some tools, of which nothing is asked yet.
    pub fn of(tools: Arc<[ToolSpec]>, max_calls: usize) -> Self {
        Self { tools, max_calls, grounds: None, before: Vec::new(), say: None }
    }

    pub(super) fn in_native(&self, way: Native) -> InNative {
        let message = |role: &str, content: String| Message { role: role.into(), content };
        let mut messages = vec![message("system", native::RULES.into())];
        for (say, calls) in &self.before {
            messages.push(message("user", say.trim().into()));
            messages.push(message("assistant", way.written(calls)));
        }
        messages.extend(self.say.as_ref().map(|say| message("user", say.trim().into())));
        let grammar = match &self.say {
            Some(_) => way.calls(&self.tools, self.max_calls, self.grounds.as_ref()).into(),
            // What it likes without a request is not corrected: it was not measured for such models.
            None => Constraint::default(),
        };
        InNative { messages, tools: native::declared(&self.tools), grammar }
    }
}

/// What a model wrote in its own way, in ours.
pub(super) fn in_ours(way: Native, answer: Answer) -> Result<Answer, ModelError> {
    // Where only a state was wanted there is no text.
    if answer.text.is_empty() {
        return Ok(answer);
    }
    let ours = |text: &str| way.read(text).map(|calls| grammar::answer(&calls));
    let text = ours(&answer.text)
        .map_err(|why| ModelError::Refused(format!("what it wrote is no call: {why}")))?;
    let alternative = |other: &Alternative| {
        Some(Alternative { text: ours(&other.text).ok()?, confidence: other.confidence })
    };
    let alternatives = answer.alternatives.iter().filter_map(alternative).collect();
    Ok(Answer { text, alternatives, ..answer })
}
