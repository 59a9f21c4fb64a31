//! Polls: a tool that only reads is called on a period, and fields of its result become readings.
//!
//! A poll that fails says so in health once, and goes on; once it works again it says how often it failed. A poll that takes longer than its period skips
//! the beats that it missed: what is wanted is the state now, not a queue of old ones.

use std::sync::Arc;
use std::time::{Duration, Instant};

use agentd_tools::Toolbox;
use serde_json::Value;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::config::PollConfig;
use crate::health::Health;
use crate::metrics::Metrics;
use crate::policy::{self, Asker, Role, Verdict};
use crate::store::Store;

/// The longest that one call of a poll may take.
const CALL: Duration = Duration::from_secs(10);

/// One `[[poll]]`.
pub struct Poll {
    /// What is called, and what becomes of its result.
    pub config: PollConfig,
    /// Where the tool is.
    pub toolbox: Toolbox,
    /// Where readings go.
    pub store: Store,
    /// Whom to tell that it fails.
    pub health: Health,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

impl Poll {
    /// Calls the tool on its period until `stop` says so.
    pub async fn run(self, stop: CancellationToken) {
        let component = format!("poll:{}", self.config.tool);
        let mut beat = tokio::time::interval(Duration::from_secs_f64(self.config.every_seconds));
        beat.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut failed = 0_u64;
        while !stop.is_cancelled() {
            tokio::select! {
                _ = beat.tick() => match self.once().await {
                    Ok(()) => {
                        self.health.regain(&component, Some(format!("polls that failed: {failed}")));
                        failed = 0;
                    }
                    Err(cause) => {
                        failed += 1;
                        self.health.lose(&component, cause);
                    }
                },
                () = stop.cancelled() => {}
            }
        }
    }

    async fn once(&self) -> Result<(), String> {
        let call =
            crate::command::Call { tool: self.config.tool.clone(), args: self.config.args.clone() };
        let asker = Asker { role: Role::Viewer, tools: None, approved_by: None };
        // A viewer: a poll may read and nothing else, whatever its tool says of itself.
        let call = match policy::approve(&call, &asker, &self.toolbox) {
            Verdict::Approved(call) => call,
            Verdict::Denied(denial) => return Err(denial.message),
            Verdict::NeedsPerson => return Err("its tool needs a person's approval".into()),
        };
        let deadline = Instant::now() + CALL;
        let output = self.toolbox.run(call.tool(), call.args(), deadline).await;
        let fields = output.map_err(|failure| failure.error.to_string())?.fields;
        let mut readings = Vec::new();
        for (sensor, field) in &self.config.readings {
            let value = fields.get(field).and_then(Value::as_f64);
            let value = value.ok_or_else(|| format!("its result has no number `{field}`"))?;
            readings.push((sensor.clone(), value));
        }
        let count = readings.len() as u64;
        self.store.readings(readings).await.map_err(|e| e.to_string())?;
        self.metrics.readings_total.add(count);
        Ok(())
    }
}
