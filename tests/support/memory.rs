//! What a process holds, as the kernel counts it.

use crate::Machine;

/// Resident memory, in KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Now.
    pub now_kib: u64,
    /// The most since the process began, so that what was given back meanwhile counts too.
    pub peak_kib: u64,
}

impl Machine {
    /// The memory of the daemon, without its workers.
    pub fn memory(&self) -> Memory {
        let pid = self.daemon_pid();
        let field = |file: &str, name: &str| {
            let text = std::fs::read_to_string(format!("/proc/{pid}/{file}"));
            let text = text.expect("the daemon lives");
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
            kib.unwrap_or_else(|| panic!("{file} has no {name}"))
        };
        Memory { now_kib: field("smaps_rollup", "Rss:"), peak_kib: field("status", "VmHWM:") }
    }
}
