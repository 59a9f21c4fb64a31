//! What one agent knows: its tools, the sentences that it understands by itself, its prompt, and its model.

use std::sync::Arc;

use agentd_tools::{ToolSpec, Toolbox};

use super::config::AgentConfig;
use super::memory::Exchange;
use super::prompt;
use super::reflex::{Reflex, SentenceError};
use crate::ground::Grounds;
use crate::model::config::ModelConfig;
use crate::model::offer::Offer;
use crate::model::{Message, Model, grammar};

/// One agent.
#[derive(Debug)]
pub struct Mind {
    /// Its section.
    pub(super) config: AgentConfig,
    /// Its tools, in the order of the machine's.
    pub(super) specs: Arc<[ToolSpec]>,
    pub(super) reflex: Reflex,
    pub(super) preamble: Vec<Message>,
    /// A sentence that is understood without a model, to tell a person who is at a loss.
    pub(super) hint: Option<String>,
    pub(super) model: Model,
    /// The most tokens of one answer of the model.
    pub(super) max_tokens: u32,
    /// What the model is less sure of is asked back, 0 to 1.
    pub(super) min_confidence: f32,
    /// The most calls of one answer of the model.
    max_calls: usize,
    /// Whether the model may give only values that stand in the request.
    grounded: bool,
}

impl Mind {
    /// Compiles sentences and prompt of an agent that asks `model`; `machine` is the `[model]` section.
    pub fn new(
        config: AgentConfig,
        toolbox: &Toolbox,
        model: Model,
        machine: &ModelConfig,
    ) -> Result<Self, Vec<SentenceError>> {
        let own = config.model(machine);
        let specs: Arc<[ToolSpec]> =
            toolbox.specs().filter(|spec| config.may_use(&spec.name)).cloned().collect();
        let examples = specs.iter().flat_map(|spec| &spec.examples);
        Ok(Self {
            hint: examples.map(|example| example.say.clone()).next(),
            reflex: Reflex::new(&specs)?,
            preamble: prompt::preamble(&specs),
            model,
            max_tokens: own.max_tokens,
            min_confidence: own.min_confidence,
            max_calls: own.max_calls,
            grounded: own.grounded,
            specs,
            config,
        })
    }

    /// What commands call it.
    pub(super) fn name(&self) -> &str {
        &self.config.name
    }

    /// What is asked of the model for a request, which may refer to what was said before: grammar and offer.
    pub(super) fn offer(&self, request: &str, before: Option<&Exchange>) -> (String, Arc<Offer>) {
        let earlier = before.map_or("", |exchange| exchange.say.as_str());
        let grounds = self.grounded.then(|| Grounds::of(request).and_before(earlier));
        let specs: Vec<_> = self.specs.iter().collect();
        let grammar = grammar::calls(&specs, self.max_calls, grounds.as_ref());
        let before = before.map(|exchange| (exchange.say.clone(), exchange.calls.clone()));
        let offer = Offer {
            grounds,
            before: before.into_iter().collect(),
            say: Some(request.to_owned()),
            ..self.static_offer()
        };
        (grammar, Arc::new(offer))
    }

    /// The tools, of which nothing is asked yet.
    pub(super) fn static_offer(&self) -> Offer {
        Offer::of(Arc::clone(&self.specs), self.max_calls)
    }
}
