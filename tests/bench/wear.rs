//! What the daemon writes to the disk, as the kernel accounts for it, and what that makes of a typical day.

use agentd_tests::{Machine, NO_MODEL, Setting};
use serde_json::{Map, Value, json};

/// A typical day: two sensors are read each minute, and a household gives as many commands.
const READINGS_A_DAY: f64 = 1440.0;
const COMMANDS_A_DAY: f64 = 200.0;

/// Bytes for each poll and for each command that acts, over a broker.
pub(super) async fn measure(commands: usize) -> Map<String, Value> {
    let setting = Setting { mqtt: Some(5), config: NO_MODEL.into(), ..Setting::default() };
    let machine = Machine::start(setting).await;
    // The first commits write the tables' pages for the first time.
    for _ in 0..10 {
        machine.say("turn on the pump").await;
    }
    let per = async |what: &str, count: usize| {
        let polls = machine.metric("agentd_readings_total").await;
        let before = written(machine.daemon_pid());
        if what == "poll" {
            let enough = polls + 2 * count as u64;
            let until = async |m: &Machine| m.metric("agentd_readings_total").await >= enough;
            machine.until("the sensors are polled", until).await;
        } else {
            for n in 0..count {
                machine
                    .say(if n % 2 == 0 { "turn on the pump" } else { "turn off the pump" })
                    .await;
            }
        }
        let polled = (machine.metric("agentd_readings_total").await - polls) as f64 / 2.0;
        (written(machine.daemon_pid()).saturating_sub(before) as f64, polled)
    };
    let (bytes, polled) = per("poll", commands.min(100)).await;
    let poll = bytes / polled;
    let (bytes, polled) = per("command", commands).await;
    let command = (bytes - polled * poll).max(0.0) / commands as f64;
    let day = (READINGS_A_DAY * poll + COMMANDS_A_DAY * command) / 1024.0 / 1024.0;
    let kib = |bytes: f64| (bytes / 102.4).round() / 10.0;
    Map::from_iter([(
        "disk_writes".to_owned(),
        json!({"kib_per_poll": kib(poll), "kib_per_command": kib(command), "mib_per_typical_day": day.round()}),
    )])
}

/// Bytes that a process has caused to be written, from its start.
fn written(pid: i32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|bytes| bytes.parse().ok()).unwrap_or(0)
}
