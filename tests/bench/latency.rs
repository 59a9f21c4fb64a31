//! What a person waits for: from a publish to the byte on the port, and to the result.

use std::time::{Duration, Instant};

use agentd::command::fresh_id;
use agentd_tests::{Machine, PATIENCE, Setting, real_model};
use rustix::process::Signal;
use serde_json::{Map, Value, json};

use super::{Args, spread};

const FREE: [&str; 4] = [
    "please let some fresh air into the house",
    "it is far too dark to read in here",
    "the tomatoes look thirsty to me",
    "i would like it a little less stuffy",
];

/// Latency of both routes, memory of both processes, and the time of a start.
pub(super) async fn measure(args: &Args) -> Map<String, Value> {
    let setting = Setting { mqtt: Some(5), config: real_model(), ..Setting::default() };
    let mut machine = Machine::start(setting).await;
    machine.until_model_ready().await;
    // The static part of the prompt is computed once at the start; people do not wait for it.
    let is_warm = async |m: &Machine| m.log().contains("in the opposite order are there too");
    machine.until("the prompt is warm", is_warm).await;

    let mut to_port = Vec::new();
    let mut to_result = Vec::new();
    for n in 0..args.commands {
        let (port, result) = reflex(&machine, if n % 2 == 0 { "on" } else { "off" }).await;
        to_port.push(port);
        to_result.push(result);
    }
    let (rss, pss) = memory(machine.daemon_pid());
    let worker = machine.worker_pids().first().map_or((0.0, 0.0), |pid| memory(*pid));
    let (mut first_token, mut model) = (Vec::new(), Vec::new());
    for n in 0..args.model_commands {
        let (first, total) = by_model(&machine, FREE[n % FREE.len()]).await;
        first_token.push(first);
        model.push(total);
    }
    let mut starts = vec![machine.ready_after];
    for _ in 1..args.starts {
        machine.end_daemon(Signal::TERM).await;
        machine.start_daemon().await;
        starts.push(machine.ready_after);
    }
    let figures = json!({
        "reflex_mqtt_to_port_ms": spread(&mut to_port),
        "reflex_mqtt_to_result_ms": spread(&mut to_result),
        "model_first_token_ms": spread(&mut first_token),
        "model_command_ms": spread(&mut model),
        "start_to_ready_ms": spread(&mut starts),
        "daemon_mib": {"rss": rss, "pss": pss},
        "worker_mib": {"rss": worker.0, "pss": worker.1},
    });
    match figures {
        Value::Object(figures) => figures,
        _ => Map::new(),
    }
}

/// One command: publish to byte on the port, and publish to result.
async fn reflex(machine: &Machine, state: &str) -> (Duration, Duration) {
    let observer = machine.observer.as_ref().expect("the machine has a broker");
    let before = machine.greenhouse.actions().len();
    let id = fresh_id();
    let begun = Instant::now();
    observer.command(&id, &format!("turn {state} the pump")).await.expect("it is sent");
    let outcome = observer.outcome(&id, PATIENCE).await.expect("an outcome");
    let result = begun.elapsed();
    let line = machine.greenhouse.actions().get(before).cloned().expect("the board was told");
    assert_eq!(outcome.text, format!("The pump is now {state}."));
    (line.at.saturating_duration_since(begun), result)
}

/// One command for the model: publish to its first token, and publish to its end.
async fn by_model(machine: &Machine, text: &str) -> (Duration, Duration) {
    let observer = machine.observer.as_ref().expect("the machine has a broker");
    let mut events = machine.client.events().await.expect("the events are watched");
    let id = fresh_id();
    let begun = Instant::now();
    observer.command(&id, text).await.expect("it is sent");
    let mut first = None;
    loop {
        let event = events.next().await.expect("the events go on").expect("they do not end");
        let data: Value = serde_json::from_str(&event.data).unwrap_or_default();
        match event.name.as_str() {
            "token" if data["id"] == id.as_str() => {
                first.get_or_insert_with(|| begun.elapsed());
            }
            "finished" if data["outcome"]["id"] == id.as_str() => {
                let total = begun.elapsed();
                return (first.unwrap_or(total), total);
            }
            _ => {}
        }
    }
}

/// Resident and proportional memory of a process, in MiB.
pub(super) fn memory(pid: i32) -> (f64, f64) {
    let mib = |bytes: u64| (bytes as f64 / f64::from(1024 * 1024) * 10.0).round() / 10.0;
    let (rss, pss) = agentd::metrics::memory_bytes(&pid.to_string());
    (mib(rss), mib(pss))
}
