//! Counters and gauges, read by `/metrics` (Prometheus text) and by `telemetry` (JSON).

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde_json::{Map, Value};

macro_rules! metrics {
    ($($(#[doc = $help:literal])+ $name:ident: $kind:literal,)*) => {
        /// All figures of the daemon. Plain atomics: to count costs one instruction.
        #[derive(Debug, Default)]
        pub struct Metrics { $($(#[doc = $help])+ pub $name: Figure,)* }

        impl Metrics {
            fn figures(&self) -> Vec<(&'static str, &'static str, &'static str, u64)> {
                vec![$((stringify!($name), $kind, concat!($($help),+), self.$name.get()),)*]
            }
        }
    };
}

metrics! {
    /// Commands accepted since the start.
    commands_accepted_total: "counter",
    /// Commands that came a second time and got the stored outcome.
    commands_repeated_total: "counter",
    /// Commands turned away before they were stored.
    commands_refused_total: "counter",
    /// Commands that ended, in whatever way.
    commands_finished_total: "counter",
    /// Commands answered by a known sentence.
    route_reflex_total: "counter",
    /// Commands answered by the model.
    route_model_total: "counter",
    /// Commands that needed the model while it was down.
    model_missed_total: "counter",
    /// Answers that the model was not sure of, and was asked for a second time with the tools in the opposite order.
    model_second_opinions_total: "counter",
    /// Answers that the model was not sure of, and that a larger one gave in its place.
    model_escalations_total: "counter",
    /// Calls begun.
    calls_total: "counter",
    /// Calls that failed.
    calls_failed_total: "counter",
    /// Readings stored by polls.
    readings_total: "counter",
    /// Outbox rows that the broker acknowledged.
    outbox_delivered_total: "counter",
    /// Outbox rows that wait now.
    outbox_pending: "gauge",
    /// Outbox rows that a broker refused for good and that wait for a person.
    outbox_dead: "gauge",
    /// Times the link connected.
    link_connects_total: "counter",
    /// 1 while the link is up.
    link_up: "gauge",
    /// 1 while the link to the broker on the board is up, where there is one beside the fleet's.
    local_up: "gauge",
    /// Model workers started.
    worker_starts_total: "counter",
    /// 1 while a model is loaded and ready.
    model_ready: "gauge",
    /// Prompts whose state came from the disk.
    model_prompts_restored_total: "counter",
    /// Prompt tokens that were taken from the KV cache.
    model_tokens_reused_total: "counter",
    /// Prompt tokens that were decoded.
    model_tokens_prefilled_total: "counter",
    /// Tokens that the grammar forced and that cost no sampling.
    model_tokens_forced_total: "counter",
    /// Tokens that were sampled.
    model_tokens_sampled_total: "counter",
    /// Tokens that were guessed, to be decoded along with others.
    model_tokens_guessed_total: "counter",
    /// Guessed tokens that were right.
    model_tokens_guessed_right_total: "counter",
    /// Batches that answers took part in; several answers may share one.
    model_decodes_total: "counter",
}

/// One figure.
#[derive(Debug, Default)]
pub struct Figure(AtomicU64);

impl Figure {
    /// Counts one.
    pub fn add_one(&self) {
        self.add(1);
    }
    /// Counts `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }
    /// Sets a gauge.
    pub fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }
    /// The value now.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Metrics {
    /// The Prometheus text exposition format, version 0.0.4.
    pub fn prometheus(&self) -> String {
        let mut out = String::new();
        for (name, kind, help, value) in self.figures() {
            // Writing to a String does not fail.
            let _ = writeln!(out, "# HELP agentd_{name} {}", help.trim());
            let _ = writeln!(out, "# TYPE agentd_{name} {kind}\nagentd_{name} {value}");
        }
        let (rss, pss) = memory_bytes("self");
        for (name, help, value) in [
            ("resident_memory_bytes", "Resident memory of the daemon, without workers.", rss),
            ("pss_bytes", "Proportional memory of the daemon, without workers.", pss),
        ] {
            let _ = writeln!(out, "# HELP agentd_{name} {help}");
            let _ = writeln!(out, "# TYPE agentd_{name} gauge\nagentd_{name} {value}");
        }
        out
    }

    /// The same figures as a JSON object.
    pub fn json(&self) -> Map<String, Value> {
        let mut map: Map<String, Value> =
            self.figures().into_iter().map(|(name, _, _, v)| (name.to_owned(), v.into())).collect();
        let (rss, pss) = memory_bytes("self");
        map.insert("resident_memory_bytes".into(), rss.into());
        map.insert("pss_bytes".into(), pss.into());
        map
    }
}

/// Resident and proportional memory of a process (`self`, or its number) in bytes, from `/proc`; 0 where it cannot be
/// read.
pub fn memory_bytes(process: &str) -> (u64, u64) {
    let rollup =
        std::fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap_or_default();
    let field = |name: &str| {
        let line = rollup.lines().find(|line| line.starts_with(name));
        let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        kib.unwrap_or(0) * 1024
    };
    (field("Rss:"), field("Pss:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_stands_in_the_exposition_once() {
        let metrics = Metrics::default();
        metrics.calls_total.add(3);
        let text = metrics.prometheus();
        assert_eq!(text.matches("\nagentd_calls_total 3\n").count(), 1);
        assert!(memory_bytes("self").0 > 0, "Linux tells the memory of a process");
        assert_eq!(memory_bytes("0"), (0, 0), "there is no such process");
        assert_eq!(metrics.json()["calls_total"], 3);
    }
}
