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
        let effect = Effect::Event {
            kind: self.event.clone(),
            payload: args.clone(),
            priority: self.spec.priority.unwrap_or_default(),
            ttl_seconds: self.spec.ttl_seconds,
        };
        Ok(Output { effects: vec![effect], ..Output::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Priority;
    use serde_json::json;

    #[tokio::test]
    async fn the_arguments_become_the_payload_of_the_declared_event() {
        let spec = json!({"name": "call", "description": "d", "kind": "publish", "event": "help",
                          "priority": "high", "ttl_seconds": 60});
        let publish = Publish::new(ToolSpec::from_json(spec)).unwrap();
        let args = json!({"reason": "smoke"}).as_object().unwrap().clone();
        let output = publish.run(&args, Instant::now()).await.unwrap();
        let (kind, payload) = ("help".into(), args);
        let (priority, ttl_seconds) = (Priority::High, Some(60));
        assert_eq!(output.effects, [Effect::Event { kind, payload, priority, ttl_seconds }]);
        assert!(output.fields.is_empty() && output.wire.is_empty());
    }
}
