//! Gives back what only the start used: most of the program's code.
//!
//! The kernel maps code around each place that runs, and a start runs through much of it once: the config, the
//! schemas, TLS. Mapped pages count as the daemon's and are the last that the kernel takes when memory is
//! short. Unmapped, they stay in the page cache for as long as there is room; what runs again is mapped again
//! without being read.

use std::ffi::c_void;

use log::debug;
use rustix::mm::{Advice, madvise};

/// Unmaps the program's code. Returns how many KiB were given up.
#[expect(
    unsafe_code,
    reason = "madvise is told of addresses; why it is sound stands beside the call"
)]
pub fn trim() -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let program = std::fs::read_link("/proc/self/exe").unwrap_or_default();
    let mut given = 0;
    for range in maps.lines().filter_map(|line| code(line, &program.to_string_lossy())) {
        let (begin, length) = (range.start as *mut c_void, range.end - range.start);
        // SAFETY: the range is a private mapping of a file that may be run and not written, so that no page of
        // it differs from the file. The kernel drops the mapping's pages and reads the same ones from the
        // file when they are touched, as it did the first time.
        if unsafe { madvise(begin, length, Advice::LinuxDontNeed) }.is_ok() {
            given += length / 1024;
        }
    }
    debug!(kib = given; "code that only the start used is given back");
    given
}

/// The addresses of a line of `/proc/self/maps` that maps code of the program.
fn code(line: &str, program: &str) -> Option<std::ops::Range<usize>> {
    let mut fields = line.split_whitespace();
    let (range, mode) = (fields.next()?, fields.next()?);
    let file = fields.nth(3)?;
    if mode != "r-xp" || file != program {
        return None;
    }
    let (begin, end) = range.split_once('-')?;
    let address = |text| usize::from_str_radix(text, 16).ok();
    Some(address(begin)?..address(end)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_of_the_program_itself_is_given_back() {
        let line = |mode: &str, file: &str| format!("5500-5600 {mode} 0000 fd:00 12  {file}");
        assert_eq!(code(&line("r-xp", "/bin/agentd"), "/bin/agentd"), Some(0x5500..0x5600));
        for (mode, file) in [
            ("r--p", "/bin/agentd"), // relocated constants, which differ from the file
            ("rw-p", "/bin/agentd"),
            ("r-xp", "/lib/libc.so.6"),
            ("r-xp", ""),
        ] {
            assert_eq!(code(&line(mode, file), "/bin/agentd"), None, "{mode} {file}");
        }
    }

    #[test]
    fn a_program_goes_on_after_its_code_was_given_back() {
        assert!(trim() > 0, "this test's code is mapped");
        assert!(code("", "").is_none(), "and it still runs");
    }
}
