//! Commands that cannot be recorded, because the disk fails: what only reads is served all the same.
//!
//! They are in memory and nowhere else, so they are for senders who wait at the other end, and the agent makes
//! no call of theirs that acts. Bound: [`MOST`]; one more is told why the store fails.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use super::inbox::{self, Accepted, Origin, Waiting};
use super::{Store, StoreError};
use crate::command::{self, Command, Outcome};
use crate::feed::Notice;

/// Commands that wait so: each has somebody who waits for it.
pub const MOST: usize = 16;

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Unrecorded(Mutex<VecDeque<Waiting>>);

impl Unrecorded {
    fn push(&self, waiting: Waiting) -> bool {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = queue.len() < MOST;
        if room {
            queue.push_back(waiting);
        }
        room
    }

    /// The first whose lane is free.
    pub(super) fn take(&self, busy_lanes: &[String]) -> Option<Waiting> {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let free = queue.iter().position(|waiting| !busy_lanes.contains(&waiting.lane))?;
        queue.remove(free)
    }
}

impl Store {
    /// Takes a command that could not be stored for `why`. Its outcome is only told on the feed. One that was
    /// stored before is a repeat all the same.
    pub async fn accept_unrecorded(
        &self,
        command: Command,
        origin: &Origin,
        why: StoreError,
    ) -> Result<Accepted, StoreError> {
        let id = command.id.clone();
        let key = id.clone();
        if let Some(outcome) = self.run(move |db| inbox::known_outcome(db, &key)).await? {
            return Ok(Accepted::Repeat { id, outcome: outcome.map(Box::new) });
        }
        let notice = Notice::Accepted {
            id: id.clone(),
            text: command.summary(),
            source: origin.source.clone(),
        };
        let waiting = Waiting {
            lane: origin.lane(&command),
            source: origin.source.clone(),
            command,
            received_at: command::now(),
            plan: None,
            records: Vec::new(),
            cut_off: None,
            approved_by: None,
            unrecorded: Some(why.clone()),
        };
        if why == StoreError::Closed || !self.unrecorded.push(waiting) {
            return Err(why);
        }
        self.feed.tell(notice);
        self.inbox_changed.send_modify(|n| *n += 1);
        Ok(Accepted::New(id))
    }

    /// Ends a command that was never stored.
    pub fn finish_unrecorded(&self, outcome: Outcome) {
        self.inbox_changed.send_modify(|n| *n += 1);
        self.feed.tell(Notice::Finished { outcome });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(lane: &str) -> Waiting {
        Waiting {
            command: Command::from_text("how warm is it"),
            source: "http".into(),
            lane: lane.into(),
            received_at: command::now(),
            plan: None,
            records: Vec::new(),
            cut_off: None,
            approved_by: None,
            unrecorded: Some(StoreError::Full),
        }
    }

    #[test]
    fn the_bound_holds_at_and_one_over_and_a_busy_lane_is_passed_over() {
        let queue = Unrecorded::default();
        for n in 0..MOST {
            assert!(queue.push(waiting(if n == 0 { "busy" } else { "free" })));
        }
        assert!(!queue.push(waiting("free")));
        let next = queue.take(&["busy".into()]).expect("one is free");
        assert_eq!(next.lane, "free");
        assert!(queue.push(waiting("free")), "there is room again");
        assert_eq!(queue.take(&[]).expect("the first").lane, "busy");
    }
}
