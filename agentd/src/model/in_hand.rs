//! The asks that one worker has in hand, and those that wait for it.
//!
//! Bounds: as many are in hand as the worker takes at once; whose asker is gone, or whose time is over, is cancelled, and
//! has [`GRACE`] to come back. What waits is bounded by the [handle](super::Model)'s places.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::time::sleep_until;

use super::frame::ToWorker;
use super::native::Native;
use super::offer::{InNative, in_ours};
use super::{Answer, ModelError, Posted};

/// How long a worker may take to come back from a cancelled ask, or to stop.
pub(super) const GRACE: Duration = Duration::from_secs(2);

/// The asks of one worker.
pub(super) struct InHand {
    most: usize,
    waiting: Vec<Posted>,
    held: BTreeMap<u64, Held>,
    last_id: u64,
    /// How the worker's model wants to be offered tools, where it has a way of its own.
    native: Option<Native>,
}

/// An ask that the worker has.
struct Held {
    posted: Posted,
    /// It was asked in this way of the model's.
    native: Option<Native>,
    /// Once its answer is not wanted any more: until when the worker may take to come back.
    cancelled_until: Option<Instant>,
}

/// What is to be done about an ask that is not wanted any more.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Tell the worker to leave it.
    Cancel(u64),
    /// The worker was told, and did not leave it.
    Overdue(u64),
    /// It had not been given out; nothing is to be done.
    Dropped,
}

impl InHand {
    /// For a worker that takes `most` asks at once.
    pub(super) fn new(most: usize) -> Self {
        Self { most, waiting: Vec::new(), held: BTreeMap::new(), last_id: 0, native: None }
    }

    /// Whether nobody has asked anything that is not answered.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.held.is_empty()
    }

    /// Whether the worker has an ask.
    pub(super) fn is_at_work(&self) -> bool {
        !self.held.is_empty()
    }

    /// The worker's model wants to be offered tools in this way.
    pub(super) fn offers(&mut self, native: Option<Native>) {
        self.native = native;
    }

    /// An ask waits for its turn.
    pub(super) fn wait(&mut self, posted: Posted) {
        self.waiting.push(posted);
    }

    /// The next ask that the worker is to have, with its frame; none where it has enough, or none waits.
    pub(super) fn give_out(&mut self) -> Option<(u64, ToWorker)> {
        while self.held.len() < self.most {
            // A static part first: all others are answered behind it.
            let rank = |Posted { ask, .. }: &Posted| {
                (ask.max_tokens > 0, Reverse(ask.priority), ask.deadline)
            };
            // Of the same rank the first one.
            let next = (0..self.waiting.len()).min_by_key(|i| rank(&self.waiting[*i]))?;
            let mut posted = self.waiting.remove(next);
            let Some(left) = posted.ask.deadline.checked_duration_since(Instant::now()) else {
                answer(posted, Err(ModelError::TooLate));
                continue;
            };
            if posted.reply.is_closed() {
                continue;
            }
            self.last_id += 1;
            let ask = &mut posted.ask;
            let (messages, grammar) =
                (std::mem::take(&mut ask.messages), std::mem::take(&mut ask.grammar));
            let native = self.native.filter(|_| ask.offer.is_some());
            let offered = native.zip(ask.offer.take()).map(|(way, offer)| offer.in_native(way));
            let (messages, tools, grammar) = match offered {
                Some(InNative { messages, tools, grammar }) => (messages, Some(tools), grammar),
                None => (messages, None, grammar),
            };
            let frame = ToWorker::Ask {
                id: self.last_id,
                messages,
                tools,
                grammar,
                max_tokens: ask.max_tokens,
                priority: ask.priority,
                // What is written in a way of the model's own is for nobody to read.
                shows: ask.pieces.is_some() && native.is_none(),
                deadline_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
            };
            self.held.insert(self.last_id, Held { posted, native, cancelled_until: None });
            return Some((self.last_id, frame));
        }
        None
    }

    /// Waits until an ask is not wanted any more, or has not been left in time. Dropping the future loses nothing.
    pub(super) async fn due(&mut self) -> Due {
        let earliest = self.earliest();
        let gone = poll_fn(|cx| {
            for (id, held) in &mut self.held {
                if held.cancelled_until.is_none() && held.posted.reply.poll_closed(cx).is_ready() {
                    return Poll::Ready(Due::Cancel(*id));
                }
            }
            // One that nobody waits for gives its place back.
            let is_gone = |posted: &mut Posted| posted.reply.poll_closed(cx).is_ready();
            match self.waiting.iter_mut().position(is_gone) {
                Some(i) => {
                    self.waiting.remove(i);
                    Poll::Ready(Due::Dropped)
                }
                None => Poll::Pending,
            }
        });
        let due = tokio::select! {
            due = gone => due,
            due = async {
                match earliest {
                    Some((at, due)) => { sleep_until(at.into()).await; due }
                    None => std::future::pending().await,
                }
            } => due,
        };
        if let Due::Cancel(id) = due
            && let Some(held) = self.held.get_mut(&id)
        {
            held.cancelled_until = Some(Instant::now() + GRACE);
        }
        due
    }

    /// What becomes due first by the clock. An ask that waits is refused by its asker's own clock.
    fn earliest(&self) -> Option<(Instant, Due)> {
        let dues = self.held.iter().map(|(id, held)| match held.cancelled_until {
            Some(until) => (until, Due::Overdue(*id)),
            None => (held.posted.ask.deadline, Due::Cancel(*id)),
        });
        dues.min_by_key(|(at, _)| *at)
    }

    /// Shows a piece of an answer.
    pub(super) fn show(&self, id: u64, text: String) {
        // Pieces are for show: who is too slow for them misses some, and gets the answer.
        if let Some(pieces) = self.held.get(&id).and_then(|held| held.posted.ask.pieces.as_ref()) {
            let _ = pieces.try_send(text);
        }
    }

    /// An ask has come to its end. `false`: it is not in hand.
    pub(super) fn end(&mut self, id: u64, result: Result<Answer, ModelError>) -> bool {
        let Some(held) = self.held.remove(&id) else { return false };
        let result = match held.native {
            Some(way) => result.and_then(|answer| in_ours(way, answer)),
            None => result,
        };
        answer(held.posted, result);
        true
    }

    /// The worker is gone: what it had in hand is lost, and what waits has nobody to wait for.
    pub(super) fn crash(&mut self, cause: &str) {
        for (_, held) in std::mem::take(&mut self.held) {
            let wanted = held.cancelled_until.is_none();
            let lost = ModelError::Crashed(cause.to_owned());
            answer(held.posted, Err(if wanted { lost } else { ModelError::TooLate }));
        }
        self.refuse(cause);
    }

    /// Refuses all that is in hand or waits.
    pub(super) fn refuse(&mut self, why: &str) {
        let held = std::mem::take(&mut self.held).into_values().map(|held| held.posted);
        for posted in held.chain(std::mem::take(&mut self.waiting)) {
            answer(posted, Err(ModelError::Unavailable(why.to_owned())));
        }
    }
}

/// Answers an ask.
pub(super) fn answer(posted: Posted, result: Result<Answer, ModelError>) {
    // An error only says that nobody waits for it any more.
    let _ = posted.reply.send(result);
}
