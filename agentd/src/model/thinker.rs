//! Whoever answers in the worker, what it is asked, and how it hears that it is to leave off.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use agentd_tools::spec::Priority;

use super::constraint::Constraint;
use super::frame::FromWorker;
use super::{Message, ModelError};

/// Whoever answers: llama.cpp, or a script in its place. It has several asks in hand at once.
pub trait Thinker {
    /// Takes an ask in hand. What comes of it is said by [`step`](Self::step).
    fn take(&mut self, request: Request);

    /// Works on what is in hand, for about as long as one batch takes, and says what came of it. The error is of
    /// an engine that is broken: the process must end.
    fn step(&mut self, watch: &Watch<'_>, say: &mut dyn FnMut(FromWorker)) -> Result<(), Broken>;

    /// Whether nothing is in hand.
    fn is_idle(&self) -> bool;
}

/// Why the engine cannot go on.
#[derive(Debug)]
pub struct Broken(pub String);

/// Why there is no answer.
#[derive(Debug, PartialEq)]
pub enum Halt {
    /// It was cancelled, or the worker is to stop.
    Cancelled,
    /// The ask failed; the next one may succeed.
    Failed(ModelError),
}

impl Halt {
    /// As the supervisor is told of it.
    pub fn into_frame(self, id: u64) -> FromWorker {
        match self {
            Self::Cancelled => FromWorker::Cancelled { id },
            Self::Failed(error) => FromWorker::Failed { id, error },
        }
    }
}

impl From<ModelError> for Halt {
    fn from(error: ModelError) -> Self {
        Self::Failed(error)
    }
}

/// One ask as the thinker sees it.
#[derive(Debug)]
pub struct Request {
    /// Names it in what is said of it. Ids rise.
    pub id: u64,
    /// The prompt.
    pub messages: Vec<Message>,
    /// The tools that the model's own template renders along with them.
    pub tools: Option<serde_json::Value>,
    /// The grammar that the answer obeys.
    pub grammar: Constraint,
    /// The most tokens that the answer may have; 0 where only the state that the messages leave is wanted.
    pub max_tokens: u32,
    /// Which one goes first.
    pub priority: Priority,
    /// Whether pieces of the answer are wanted while it is written.
    pub shows: bool,
    /// When it came.
    pub received: Instant,
    /// It is not wanted after this.
    pub deadline: Instant,
}

impl Request {
    /// Whether to go on with it: looked at before each batch.
    pub fn check(&self, watch: &Watch<'_>) -> Result<(), Halt> {
        if watch.called_off(self.id) {
            return Err(Halt::Cancelled);
        }
        if Instant::now() >= self.deadline {
            return Err(ModelError::TooLate.into());
        }
        Ok(())
    }

    /// What decides who goes first: priority, then who must be done first, then who came first.
    pub fn rank(&self) -> (std::cmp::Reverse<Priority>, Instant, u64) {
        (std::cmp::Reverse(self.priority), self.deadline, self.id)
    }

    /// Milliseconds since the worker received it.
    pub fn elapsed_ms(&self) -> u32 {
        u32::try_from(self.received.elapsed().as_millis()).unwrap_or(u32::MAX)
    }
}

/// What the reader thread tells the main thread in the middle of its work.
#[derive(Debug, Default)]
pub struct Signals {
    told: Mutex<Told>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Told {
    cancelled: BTreeSet<u64>,
    stopped: bool,
    /// Counts what was told, so that nothing that comes between a look and a sleep is slept over.
    version: u64,
}

impl Signals {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, what: impl FnOnce(&mut Told)) {
        let mut told = self.told();
        what(&mut told);
        told.version += 1;
        self.changed.notify_all();
    }

    /// An ask is not wanted any more.
    pub(super) fn cancel(&self, id: u64) {
        self.tell(|told| {
            told.cancelled.insert(id);
        });
    }

    /// The worker is to stop.
    pub(super) fn stop(&self) {
        self.tell(|told| told.stopped = true);
    }

    /// There is a new ask.
    pub(super) fn arrived(&self) {
        self.tell(|_| {});
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.told().stopped
    }

    /// Forgets which asks were called off, up to this one: none of them is in hand any more.
    pub(super) fn forget_until(&self, id: u64) {
        self.told().cancelled.retain(|cancelled| *cancelled > id);
    }

    /// Watches from now on.
    pub(super) fn watch(&self) -> Watch<'_> {
        Watch { signals: self, seen: self.told().version }
    }
}

/// The signals, as they are from some moment on.
#[derive(Debug)]
pub struct Watch<'a> {
    signals: &'a Signals,
    seen: u64,
}

impl Watch<'_> {
    /// Whether an ask is to be left.
    pub fn called_off(&self, id: u64) -> bool {
        let told = self.signals.told();
        told.stopped || told.cancelled.contains(&id)
    }

    /// Waits until something has been told since the moment that is watched from, or until a time.
    pub fn wait(&self, until: Instant) {
        let mut told = self.signals.told();
        while told.version == self.seen {
            let Some(left) = until.checked_duration_since(Instant::now()) else { return };
            let woken = self.signals.changed.wait_timeout(told, left);
            told = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    fn request(id: u64, priority: Priority, seconds: u64) -> Request {
        let received = Instant::now();
        Request {
            id,
            messages: Vec::new(),
            tools: None,
            grammar: Constraint::default(),
            max_tokens: 1,
            priority,
            shows: false,
            received,
            deadline: received + Duration::from_secs(seconds),
        }
    }

    #[test]
    fn a_cancel_ends_the_ask_it_names_and_no_other_one() {
        let signals = Signals::default();
        signals.cancel(3);
        let watch = signals.watch();
        assert_eq!([2, 3, 4].map(|id| watch.called_off(id)), [false, true, false]);
        signals.cancel(9);
        signals.forget_until(4);
        assert_eq!([3, 9].map(|id| watch.called_off(id)), [false, true], "9 is yet to come");
        signals.stop();
        assert!(watch.called_off(4));
    }

    #[test]
    fn a_wait_ends_with_what_is_told_even_just_before_it() {
        let signals = Arc::new(Signals::default());
        let watch = signals.watch();
        let far = Instant::now() + Duration::from_secs(60);
        signals.arrived();
        watch.wait(far);
        let watch = signals.watch();
        let canceller = Arc::clone(&signals);
        let thread = std::thread::spawn(move || canceller.cancel(1));
        watch.wait(far);
        assert!(watch.called_off(1), "and not because the minute was over");
        thread.join().unwrap();
    }

    #[test]
    fn the_urgent_go_first_then_those_whose_time_is_short_then_the_first() {
        let mut requests = [
            request(1, Priority::Low, 1),
            request(2, Priority::Normal, 60),
            request(3, Priority::Normal, 5),
            request(4, Priority::High, 60),
        ];
        requests.sort_by_key(Request::rank);
        assert_eq!(requests.map(|request| request.id), [4, 3, 2, 1]);
    }
}
