//! How far a pull is, for a person at a terminal: a bar there, and one line a phase anywhere else, so
//! that a journal or a log of an image's build is not filled with it. All of it goes to stderr.

use std::io::IsTerminal as _;
use std::sync::{Mutex, PoisonError};

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

use super::pull::{Phase, Progress};

const SIZED: &str = "{msg:12} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
const UNSIZED: &str = "{msg:12} {spinner} {elapsed}";

/// A bar on stderr.
#[derive(Debug, Default)]
pub struct Bar(Mutex<Option<ProgressBar>>);

impl Progress for Bar {
    fn begin(&self, phase: Phase, total: Option<u64>) {
        let what = match phase {
            Phase::Download => "Downloading",
            Phase::Unpack => "Unpacking",
            Phase::Verify => "Verifying",
            Phase::Merge => "Tuning",
        };
        self.finish();
        if !std::io::stderr().is_terminal() {
            let size = total.map_or_else(String::new, |bytes| format!(" {}", HumanBytes(bytes)));
            eprintln!("{what}{size}");
            return;
        }
        let (bar, template) = match total {
            Some(bytes) => (ProgressBar::new(bytes), SIZED),
            None => (ProgressBar::new_spinner(), UNSIZED),
        };
        // A template that does not parse would only cost its looks.
        let style = ProgressStyle::with_template(template);
        let bar = bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message(what);
        if total.is_none() {
            bar.enable_steady_tick(std::time::Duration::from_millis(120));
        }
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar);
    }

    fn at(&self, done: u64) {
        if let Some(bar) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            bar.set_position(done);
        }
    }
}

impl Bar {
    fn finish(&self) {
        if let Some(bar) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_templates_parse() {
        for template in [SIZED, UNSIZED] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
