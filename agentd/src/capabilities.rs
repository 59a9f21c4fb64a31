//! What a device says of itself: its agents, tools and model.

use agentd_tools::Toolbox;
use serde_json::{Value, json};

use crate::agent::config::AgentConfig;
use crate::config::Config;
use crate::model::config::Source;

/// What the device can do, as on the retained topic.
pub fn capabilities(toolbox: &Toolbox, config: &Config, agents: &[AgentConfig]) -> Value {
    let tools: Vec<Value> = toolbox
        .specs()
        .map(|spec| {
            json!({
                "name": spec.name,
                "description": spec.description,
                "effect": spec.effect(),
                "parameters": agentd_tools::schema::json_schema(spec),
            })
        })
        .collect();
    // What anybody can say: the default agent stands first.
    let default = agents.first();
    let examples: Vec<&str> = toolbox
        .specs()
        .filter(|spec| default.is_none_or(|agent| agent.may_use(&spec.name)))
        .filter_map(|spec| spec.examples.first())
        .map(|example| example.say.as_str())
        .collect();
    let own = default.map_or_else(|| config.model.clone(), |agent| agent.model(&config.model));
    let source = own.source().ok().flatten();
    let model = source.map(|source| json!({"name": source.name(), "sha256": own.sha256()}));
    let agents: Vec<Value> = agents
        .iter()
        .map(|agent| {
            let tools = toolbox.specs().map(|spec| &spec.name).filter(|name| agent.may_use(name));
            let model = agent.sources(&config.model).unwrap_or_default();
            json!({
                "name": agent.name,
                "description": agent.description,
                "tools": tools.collect::<Vec<_>>(),
                "model": model.first().map(Source::name),
            })
        })
        .collect();
    json!({"agents": agents, "tools": tools, "examples": examples, "model": model})
}
