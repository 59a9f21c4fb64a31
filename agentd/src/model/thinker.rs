//! Whoever answers in the worker, what it is asked, and how it hears that it is to leave off.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::constraint::Constraint;
use super::{Answer, Message, ModelError, Usage};

/// Whoever answers: llama.cpp, or a script in its place.
pub trait Thinker {
    /// Answers one request. `say` gets whole characters as they are written.
    fn answer(&mut self, request: &Request<'_>, say: &mut dyn FnMut(&str)) -> Result<Answer, Halt>;

    /// Computes or restores what the messages of a request leave, and writes nothing.
    fn prepare(&mut self, request: &Request<'_>) -> Result<Usage, Halt>;
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Halt {
    /// It was cancelled, or the worker is to stop.
    Cancelled,
    /// The ask failed; the next one may succeed.
    Failed(ModelError),
    /// The engine is broken: the process must end.
    Broken(String),
}

impl From<ModelError> for Halt {
    fn from(error: ModelError) -> Self {
        Self::Failed(error)
    }
}

/// One ask as the thinker sees it.
pub struct Request<'a> {
    /// The prompt.
    pub messages: &'a [Message],
    /// What the answer may be.
    pub grammar: &'a Constraint,
    /// The most tokens that the answer may have.
    pub max_tokens: u32,
    pub(super) id: u64,
    pub(super) received: Instant,
    pub(super) deadline: Instant,
    pub(super) signals: &'a Signals,
}

impl Request<'_> {
    /// Whether to go on: asked before each token and each chunk of the prompt.
    pub fn check(&self) -> Result<(), Halt> {
        if self.signals.called_off(self.id) {
            return Err(Halt::Cancelled);
        }
        if Instant::now() >= self.deadline {
            return Err(ModelError::TooLate.into());
        }
        Ok(())
    }

    /// Waits, unless the ask is called off or its deadline comes first.
    pub fn pause(&self, time: Duration) -> Result<(), Halt> {
        let until = (Instant::now() + time).min(self.deadline);
        self.signals.wait(self.id, until);
        self.check()
    }

    /// Milliseconds since the worker received the ask.
    pub fn elapsed_ms(&self) -> u32 {
        u32::try_from(self.received.elapsed().as_millis()).unwrap_or(u32::MAX)
    }
}

/// What the reader thread tells the main thread in the middle of its work.
#[derive(Debug, Default)]
pub(super) struct Signals {
    /// The highest id that was cancelled. Ids rise, so that one number is enough.
    cancelled: AtomicU64,
    stopped: AtomicBool,
    changed: (Mutex<()>, Condvar),
}

impl Signals {
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(SeqCst)
    }

    pub(super) fn called_off(&self, id: u64) -> bool {
        self.is_stopped() || self.cancelled.load(SeqCst) >= id
    }

    pub(super) fn cancel(&self, id: u64) {
        self.cancelled.fetch_max(id, SeqCst);
        self.wake();
    }

    pub(super) fn stop(&self) {
        self.stopped.store(true, SeqCst);
        self.wake();
    }

    fn wake(&self) {
        // Under the lock, so that it cannot fall between a waiter's look and its sleep.
        let _held = self.changed.0.lock().unwrap_or_else(PoisonError::into_inner);
        self.changed.1.notify_all();
    }

    fn wait(&self, id: u64, until: Instant) {
        let mut held = self.changed.0.lock().unwrap_or_else(PoisonError::into_inner);
        while !self.called_off(id) {
            let Some(left) = until.checked_duration_since(Instant::now()) else { return };
            let woken = self.changed.1.wait_timeout(held, left);
            held = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_cancel_ends_the_ask_it_names_and_not_the_next_one() {
        let signals = Signals::default();
        signals.cancel(3);
        assert!(signals.called_off(3));
        assert!(!signals.called_off(4));
        signals.stop();
        assert!(signals.called_off(4));
    }

    #[test]
    fn a_pause_ends_when_its_ask_is_cancelled() {
        let signals = Arc::new(Signals::default());
        let canceller = Arc::clone(&signals);
        let thread = std::thread::spawn(move || canceller.cancel(1));
        signals.wait(1, Instant::now() + Duration::from_secs(60));
        assert!(signals.called_off(1), "and not because the minute was over");
        thread.join().unwrap();
    }
}
