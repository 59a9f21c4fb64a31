//! What one agent knows: its tools, the sentences that it understands by itself, its prompt, and its model.

use std::sync::Arc;

use agentd_tools::{ToolSpec, Toolbox};

use super::config::AgentConfig;
use super::reflex::{Reflex, SentenceError};
use super::view::Views;
use crate::model::Model;
use crate::model::config::ModelConfig;

/// One agent.
#[derive(Debug)]
pub struct Mind {
    /// Its section.
    pub(super) config: AgentConfig,
    /// Its tools, as its model is shown them.
    pub(super) views: Views,
    pub(super) reflex: Reflex,
    /// A sentence that is understood without a model, to tell a person who is at a loss.
    pub(super) hint: Option<String>,
    pub(super) model: Model,
    /// What the model is less sure of is asked back, 0 to 1.
    pub(super) min_confidence: f32,
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
            views: Views::new(specs, &own),
            model,
            min_confidence: own.min_confidence,
            config,
        })
    }

    /// What commands call it.
    pub(super) fn name(&self) -> &str {
        &self.config.name
    }

    /// Its tools, in the order of the machine's.
    pub(super) fn specs(&self) -> &Arc<[ToolSpec]> {
        self.views.specs()
    }
}
