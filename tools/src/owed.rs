//! The lines that answer a request, and the answer that a device still owes. Pure: time is an argument.
//!
//! ```text
//!  exchange A ──no answer in time──> Owed ──its line comes, or `late_ms` is over──> exchange B
//! ```
//!
//! A line protocol has no numbers: a late `OK` of A looks like the `OK` of B, and B would be told as done
//! although the device has not heard of it. So B is not sent while A's answer may still come. A device
//! that answers later than `late_ms` cannot be told from one that lost the request; that bound is the
//! integrator's to know.

use std::sync::Arc;
use std::time::{Duration, Instant};

use regex::Regex;

use crate::line::Frame;

/// The lines that end an exchange. Others are passed over.
#[derive(Debug)]
pub struct Patterns {
    /// A good answer.
    pub expect: Regex,
    /// A refusal. It is tried first, because `expect` may be a pattern for any line.
    pub fail: Option<Regex>,
}

impl Patterns {
    /// Whether a line is an answer, and then whether it is a refusal.
    pub(crate) fn judge(&self, line: &str) -> Option<bool> {
        if self.fail.as_ref().is_some_and(|fail| fail.is_match(line)) {
            return Some(true);
        }
        self.expect.is_match(line).then_some(false)
    }
}

/// An answer whose time is up, and which may still come.
#[derive(Debug)]
pub(crate) struct Owed {
    patterns: Arc<Patterns>,
    until: Instant,
}

impl Owed {
    /// The answer to a request with these patterns, which may be as late as this.
    pub(crate) fn new(patterns: Arc<Patterns>, now: Instant, late: Duration) -> Self {
        Self { patterns, until: now + late }
    }

    /// From when on it is not waited for.
    pub(crate) fn until(&self) -> Instant {
        self.until
    }

    /// Whether the answer is among these.
    pub(crate) fn is_settled_by(&self, frames: &[Frame]) -> bool {
        frames.iter().any(|frame| match frame {
            Frame::Line { text, .. } => self.patterns.judge(text).is_some(),
            Frame::TooLong => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::LineBuffer;

    fn patterns(expect: &str, fail: &str) -> Arc<Patterns> {
        let regex = |pattern| Regex::new(pattern).expect("a pattern");
        Arc::new(Patterns { expect: regex(expect), fail: Some(regex(fail)) })
    }

    #[test]
    fn a_refusal_is_tried_before_an_answer_that_may_be_any_line() {
        let patterns = patterns(".", "^ERR");
        assert_eq!(patterns.judge("ERR 5"), Some(true));
        assert_eq!(patterns.judge("21.5"), Some(false));
        assert_eq!(patterns.judge(""), None);
    }

    #[test]
    fn what_is_owed_is_settled_by_an_answer_or_a_refusal_and_by_nothing_else() {
        let now = Instant::now();
        let owed = Owed::new(patterns("^OK$", "^ERR"), now, Duration::from_secs(3));
        assert_eq!(owed.until(), now + Duration::from_secs(3));
        let settles = |text: &[u8]| owed.is_settled_by(&LineBuffer::new("\n").push(text));
        assert!(settles(b"TICK\nOK\n") && settles(b"ERR busy\r\n"));
        assert!(!settles(b"") && !settles(b"OK") && !settles(b"TICK\nOKAY\n"));
        assert!(!settles(&[vec![b'x'; 5000], b"\n".to_vec()].concat()), "a line that is too long");
    }
}
