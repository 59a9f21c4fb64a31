//! The `publish` tool: an event for the outbox, with the arguments as its payload.
//!
//! It sends nothing itself. That the event goes out, once there is a network, is the outbox's care.

use std::time::Instant;

use async_trait::async_trait;

use crate::{Args, Effect, Failure, Output, SpecError, Tool, ToolSpec};

/// A declared event.
#[derive(Debug)]
pub struct Publish {
    spec: ToolSpec,
    event: String,
}

impl Publish {
    /// An event from a declaration that was checked.
    pub fn new(spec: ToolSpec) -> Result<Self, SpecError> {
        let event = spec.event.clone().ok_or_else(|| SpecError::new("event", "is missing"))?;
        Ok(Self { spec, event })
    }
}

#[async_trait]
impl Tool for Publish {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn run(&self, args: &Args, _deadline: Instant) -> Result<Output, Failure> {
        let effect = Effect::Event { kind: self.event.clone(), payload: args.clone() };
        Ok(Output { effects: vec![effect], ..Output::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[tokio::test]
    async fn the_arguments_become_the_payload_of_the_declared_event() {
        let spec = json!({"name": "call", "description": "d", "kind": "publish", "event": "help"});
        let publish = Publish::new(ToolSpec::from_json(spec)).unwrap();
        let args = json!({"reason": "smoke"}).as_object().unwrap().clone();
        let output = publish.run(&args, Instant::now()).await.unwrap();
        assert_eq!(output.effects, [Effect::Event { kind: "help".into(), payload: args }]);
        assert!(output.fields.is_empty() && output.wire.is_empty());
    }
}
