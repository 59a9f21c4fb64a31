//! The `[[agent]]` sections: who may be asked on this machine, for which tools, with which model.

use std::path::PathBuf;

use agentd_tools::ToolSpec;
use agentd_tools::near::nearest;
use serde::Deserialize;

use crate::model::catalog::CatalogError;
use crate::model::config::{ModelConfig, Source};

/// The agent that is asked where a command names none.
pub const DEFAULT: &str = "default";
/// The most agents: each has a prompt of its own, which is computed, held in the context and kept on the disk.
pub const MAX_AGENTS: usize = 8;

/// One `[[agent]]` section. Without one there is the agent [`DEFAULT`], with all tools and the model of `[model]`; one of
/// that name says what it is to be like.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentConfig {
    /// What commands call it (`agent`).
    pub name: String,
    /// What it is for, for whoever has to choose one.
    #[serde(default)]
    pub description: String,
    /// The tools that it may use. Name few where it has one job: the fewer there are, the surer and faster its model is.
    /// Default: all.
    pub tools: Option<Vec<String>>,
    /// Its model: a name of the catalogue, or a GGUF file. Default: that of `[model]`. Behind it stand the same as there
    /// (`model.fallback`).
    pub model: Option<String>,
    /// A LoRA adapter (GGUF) for its model, or `none`. Set it where it was tuned for these tools. Default: that of
    /// `[model]`, where it has the same model.
    pub adapter: Option<PathBuf>,
    /// What it is less sure of than this, 0 to 1, is asked back. Default: `model.min_confidence`.
    pub min_confidence: Option<f32>,
    /// What it is less sure of than this, 0 to 1, its model is asked twice; 0: never. Default: `model.second_opinion`.
    pub second_opinion: Option<f32>,
}

impl AgentConfig {
    /// The agent where no section says what it is like.
    pub fn default_one() -> Self {
        Self {
            name: DEFAULT.into(),
            description: String::new(),
            tools: None,
            model: None,
            adapter: None,
            min_confidence: None,
            second_opinion: None,
        }
    }

    /// Its model, where the `[model]` section is `model`.
    pub fn model(&self, model: &ModelConfig) -> ModelConfig {
        let mut own = match &self.model {
            Some(named) => model.with(named),
            None => model.clone(),
        };
        let name = |config: &ModelConfig| {
            let source = config.source().ok().flatten();
            source.map(|source| source.name().to_owned())
        };
        if own.adapter != model.adapter && name(&own) == name(model) {
            own.adapter.clone_from(&model.adapter);
        }
        if let Some(adapter) = &self.adapter {
            own.adapter = Some(adapter.clone());
        }
        own.min_confidence = self.min_confidence.unwrap_or(own.min_confidence);
        own.second_opinion = self.second_opinion.unwrap_or(own.second_opinion);
        own
    }

    /// Its models, the best one first, where the `[model]` section is `model`. One with an adapter of its own is another
    /// model to whoever reads records.
    pub fn sources(&self, model: &ModelConfig) -> Result<Vec<Source>, CatalogError> {
        let mut sources = self.model(model).sources()?;
        let own = self.adapter.as_ref().filter(|own| model.adapter.as_ref() != Some(own));
        if let (Some(adapter), Some(Source::File { name, .. })) = (own, sources.first_mut()) {
            let stem = adapter.file_stem().unwrap_or_default().to_string_lossy();
            *name = format!("{name}+{stem}");
        }
        Ok(sources)
    }

    /// What is degraded where something of it is: a component's own name for the default agent, else one of its own.
    pub fn component(&self, component: &str) -> String {
        match self.name.as_str() {
            DEFAULT => component.to_owned(),
            name => format!("agent:{name}:{component}"),
        }
    }

    /// Whether it may use a tool.
    pub fn may_use(&self, tool: &str) -> bool {
        self.tools.as_ref().is_none_or(|tools| tools.iter().any(|own| own == tool))
    }
}

/// All agents of some sections, the default one first.
pub fn all(sections: &[AgentConfig]) -> Vec<AgentConfig> {
    let (mut first, others): (Vec<_>, Vec<_>) =
        sections.iter().cloned().partition(|agent| agent.name == DEFAULT);
    if first.is_empty() {
        first.push(AgentConfig::default_one());
    }
    first.extend(others);
    first
}

/// What is wrong with some sections, each with its number.
pub fn check(sections: &[AgentConfig], tools: &[ToolSpec]) -> Vec<(usize, String)> {
    let mut wrong = Vec::new();
    for (at, agent) in sections.iter().enumerate() {
        let mut say = |what: String| wrong.push((at, format!("agent `{}`: {what}", agent.name)));
        if !crate::command::valid_id(&agent.name) {
            say("its `name` must be one topic level: no `/`, `+`, `#`".into());
        }
        if sections[..at].iter().any(|other| other.name == agent.name) {
            say("there is another one of that name".into());
        }
        let shares =
            [("min_confidence", agent.min_confidence), ("second_opinion", agent.second_opinion)];
        for (key, share) in shares {
            if share.is_some_and(|share| !(0.0..=1.0).contains(&share)) {
                say(format!("`{key}` must be 0 to 1"));
            }
        }
        if agent.tools.as_ref().is_some_and(Vec::is_empty) {
            say("it has no tools: leave `tools` out for all of them".into());
        }
        for tool in agent.tools.iter().flatten() {
            if tools.iter().all(|spec| spec.name != *tool) {
                let names = tools.iter().map(|spec| spec.name.as_str());
                let hint = nearest(tool, names).map(|name| format!("; did you mean `{name}`?"));
                say(format!("there is no tool `{tool}`{}", hint.unwrap_or_default()));
            }
        }
    }
    if all(sections).len() > MAX_AGENTS {
        wrong.push((sections.len() - 1, format!("there are more than {MAX_AGENTS} agents")));
    }
    wrong
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn agent(of: serde_json::Value) -> AgentConfig {
        serde_json::from_value(of).expect("an agent")
    }

    fn tools() -> Vec<ToolSpec> {
        let tool = |name: &str| json!({"name": name, "description": "d", "kind": "note"});
        serde_json::from_value(json!([tool("heat"), tool("light")])).expect("tools")
    }

    #[test]
    fn there_is_always_a_default_agent_and_it_comes_first() {
        assert_eq!(all(&[]), [AgentConfig::default_one()]);
        let names = |sections: &[AgentConfig]| -> Vec<String> {
            all(sections).into_iter().map(|agent| agent.name).collect()
        };
        let night = agent(json!({"name": "night"}));
        assert_eq!(names(std::slice::from_ref(&night)), ["default", "night"]);
        let own = agent(json!({"name": "default", "tools": ["heat"]}));
        assert_eq!(names(&[night.clone(), own.clone()]), ["default", "night"]);
        assert!(!all(&[night, own])[0].may_use("light"));
    }

    #[test]
    fn it_has_the_model_of_the_machine_unless_it_says_otherwise() {
        let machine = ModelConfig { adapter: Some("m.gguf".into()), ..ModelConfig::default() };
        let of = |section| agent(section).model(&machine);
        assert_eq!(of(json!({"name": "a"})), machine);
        let tuned = of(
            json!({"name": "a", "adapter": "a.gguf", "min_confidence": 0.9, "second_opinion": 0}),
        );
        assert_eq!(tuned.adapter.as_deref(), Some("a.gguf".as_ref()));
        assert!((tuned.min_confidence - 0.9).abs() < 1e-6 && tuned.second_opinion == 0.0);
        let same = ModelConfig { path: Some("/m/own.gguf".into()), ..machine.clone() };
        let same = agent(json!({"name": "a", "model": "/m/own.gguf"})).model(&same);
        assert_eq!(same.adapter.as_deref(), Some("m.gguf".as_ref()), "it is the same model");
        let other = of(json!({"name": "a", "model": "/m/other.gguf"}));
        assert_eq!((other.path.as_deref(), other.adapter), (Some("/m/other.gguf".as_ref()), None));
    }

    #[test]
    fn what_is_wrong_is_told_with_the_nearest_name_and_the_bound_holds_at_and_one_over() {
        let wrong = check(
            &[
                agent(json!({"name": "a", "tools": ["hete"], "min_confidence": 1.01})),
                agent(json!({"name": "a", "tools": []})),
                agent(json!({"name": "a/b", "tools": ["light"]})),
            ],
            &tools(),
        );
        let told: Vec<String> = wrong.iter().map(|(at, what)| format!("{at} {what}")).collect();
        assert_eq!(told.len(), 5, "{told:?}");
        assert!(told[0].contains("0 to 1") && told[1].contains("did you mean `heat`?"), "{told:?}");
        assert!(told[2].contains("another one") && told[3].contains("no tools"), "{told:?}");
        assert!(told[4].starts_with("2 ") && told[4].contains("name"), "{told:?}");
        // The default one counts.
        let many = |n: usize| -> Vec<_> {
            (0..n).map(|n| agent(json!({"name": format!("a{n}")}))).collect()
        };
        assert_eq!(check(&many(MAX_AGENTS - 1), &tools()), []);
        assert_eq!(check(&many(MAX_AGENTS), &tools()).len(), 1);
    }
}
