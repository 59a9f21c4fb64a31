//! What is lost at the moment, since when, and why.
//!
//! Each component enters and leaves once; both are logged once and told on the feed. Whoever brings a
//! component back says what was missed meanwhile, where somebody counted it. Bound: one entry for each
//! component's name, and the names come from the config.

use std::sync::{Arc, Mutex, PoisonError};

use indexmap::IndexMap;
use jiff::Timestamp;
use log::{info, warn};
use serde::Serialize;
use tokio::sync::watch;

use crate::command::{self, elapsed_ms};
use crate::feed::{Feed, Notice};

/// One lost component, as in `status` and `/health`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Degraded {
    /// `link`, `link:preferred`, `model`, `port:<name>`, `store`, ...
    pub component: String,
    /// Why, and what to do.
    pub cause: String,
    /// Since when.
    pub since: Timestamp,
}

/// The handle.
#[derive(Debug, Clone)]
pub struct Health {
    lost: Arc<Mutex<IndexMap<String, Degraded>>>,
    changed: watch::Sender<u64>,
    feed: Feed,
}

impl Health {
    /// All is well.
    pub fn new(feed: Feed) -> Self {
        Self { lost: Arc::default(), changed: watch::Sender::new(0), feed }
    }

    /// Says that a component is lost. A repeat with the same cause is silent.
    pub fn lose(&self, component: &str, cause: impl Into<String>) {
        let cause = cause.into();
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        let since = match lost.get(component) {
            Some(known) if known.cause == cause => return,
            Some(known) => known.since,
            None => command::now(),
        };
        warn!(component = component, cause:% = cause; "degraded");
        let entry = Degraded { component: component.to_owned(), cause: cause.clone(), since };
        lost.insert(component.to_owned(), entry);
        drop(lost);
        self.tell(component, Some(cause), None);
    }

    /// Says that a component is back, and what was missed without it, such as `41 messages waited and are
    /// being sent`. Silent where it was never lost.
    pub fn regain(&self, component: &str, missed: Option<String>) {
        let entry = {
            let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
            lost.shift_remove(component)
        };
        if let Some(entry) = entry {
            let lost_ms = elapsed_ms(entry.since, command::now());
            let told = missed.as_deref().unwrap_or("nothing that is counted");
            info!(component = component, lost_ms = lost_ms, missed = told; "restored");
            self.tell(component, None, missed);
        }
    }

    /// Whether a component is lost, for those to whom it costs something to say what was missed.
    pub fn is_lost(&self, component: &str) -> bool {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).contains_key(component)
    }

    /// All that is lost, in the order in which it was lost.
    pub fn degraded(&self) -> Vec<Degraded> {
        let lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        lost.values().cloned().collect()
    }

    /// Wakes at each change.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn tell(&self, component: &str, cause: Option<String>, missed: Option<String>) {
        self.changed.send_modify(|n| *n += 1);
        self.feed.tell(Notice::Health { component: component.to_owned(), cause, missed });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_component_is_told_once_and_keeps_its_since() {
        let feed = Feed::default();
        let mut watcher = feed.watch();
        let health = Health::new(feed);
        health.lose("link", "no route");
        health.lose("link", "no route");
        let since = health.degraded()[0].since;
        health.lose("link", "refused");
        assert_eq!((health.degraded().len(), health.degraded()[0].since), (1, since));
        assert!(health.is_lost("link") && !health.is_lost("model"));
        health.regain("link", Some("41 messages waited".into()));
        health.regain("link", Some("none waited".into()));
        assert!(health.degraded().is_empty());
        let mut told = Vec::new();
        while let Ok(notice) = watcher.try_recv() {
            told.push(serde_json::to_value(&*notice).expect("JSON"));
        }
        assert_eq!(told.len(), 3, "lost, another cause, restored");
        assert_eq!(told[1]["missed"], serde_json::Value::Null);
        assert_eq!(told[2]["missed"], "41 messages waited");
    }
}
