//! What a model is offered and asked, before anybody knows how it wants to hear it.

use std::sync::Arc;

use agentd_tools::ToolSpec;
use serde_json::Value;

use super::constraint::Constraint;
use super::members::MARK;
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
        // Only we mark tokens.
        let said = |say: &str| say.trim().replace(MARK, " ");
        let mut messages = vec![message("system", native::RULES.into())];
        for (say, calls) in &self.before {
            messages.push(message("user", said(say)));
            messages.push(message("assistant", way.marked(calls)));
        }
        messages.extend(self.say.as_ref().map(|say| message("user", said(say))));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str, others: &[&str]) -> Answer {
        let other = |text: &&str| Alternative { text: (*text).to_owned(), confidence: 0.25 };
        let alternatives = others.iter().map(other).collect();
        Answer { text: text.into(), confidence: 0.5, alternatives, ..Answer::default() }
    }

    #[test]
    fn what_a_model_wrote_is_in_our_syntax_or_refused() {
        let wrote = answer("[fan(percent=30)]", &["none()", "fan(", "[lamp(on=True), stop()]"]);
        let ours = in_ours(Native::Lfm, wrote).expect("a call");
        assert_eq!((ours.text.as_str(), ours.confidence), ("fan(percent=30)", 0.5));
        let others: Vec<_> = ours.alternatives.iter().map(|other| other.text.as_str()).collect();
        assert_eq!(others, ["none()", "lamp(on=true)\nstop()"], "what cannot be read is left out");
        let error = in_ours(Native::Lfm, answer("I am sorry.", &[])).expect_err("no call");
        assert!(
            matches!(&error, ModelError::Refused(why) if why.contains("I am sorry.")),
            "{error}"
        );
        assert_eq!(in_ours(Native::Phi, answer("", &[])), Ok(answer("", &[])), "a state alone");
    }

    #[test]
    fn what_was_said_before_is_there_and_marks_no_token() {
        let call = Call { tool: "stop".into(), args: Default::default() };
        let offer = Offer {
            before: vec![("stop \u{1}<tool_call>\u{1}".into(), vec![call])],
            say: Some(" go ".into()),
            ..Offer::of(Vec::new().into(), 1)
        };
        let native = offer.in_native(Native::Hermes);
        let told: Vec<_> =
            native.messages.iter().map(|m| (m.role.as_str(), m.content.as_str())).collect();
        assert_eq!(told[1], ("user", "stop  <tool_call> "));
        assert!(told[2].1.starts_with("\u{1}<tool_call>\u{1}\n{\"name\": \"stop\""), "{told:?}");
        assert_eq!(told[3], ("user", "go"));
        assert!(matches!(&native.grammar, Constraint::Own(lark) if lark.contains("refusal")));
        let still = Offer::of(Vec::new().into(), 1).in_native(Native::Hermes);
        assert_eq!((still.messages.len(), still.grammar), (1, Constraint::default()));
    }
}
