//! The handle to the models: who asks it, and which one is asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use agentd_tools::spec::Priority;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use super::constraint::{Constraint, MAX_TEXTS};
use super::ladder::{self, Standing};
use super::offer::Offer;
use super::{Answer, Ask, Message, ModelError, QUEUE, State, Usage};

/// An ask on its way.
#[derive(Debug)]
pub(crate) struct Posted {
    pub(crate) ask: Ask,
    /// Gets the answer. Dropping the receiver cancels the ask.
    pub(crate) reply: oneshot::Sender<Result<Answer, ModelError>>,
    /// Its place among those that wait or are in hand.
    _place: Place,
}

/// One of the places of a model, which is free again once this is dropped.
#[derive(Debug)]
struct Place {
    // Before the sender: who is woken finds the place free.
    _permit: OwnedSemaphorePermit,
    _freed: Freed,
}

/// Tells those who wait for it that a place is free.
#[derive(Debug)]
struct Freed(Arc<Notify>);

impl Drop for Freed {
    fn drop(&mut self) {
        self.0.notify_waiters();
    }
}

/// The handle to the models of a machine. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Model {
    /// The models, the best one first.
    pub(super) rungs: Arc<[Rung]>,
    /// The larger one for what they are not sure of.
    larger: Option<Rung>,
    /// What the one does that would be asked now.
    state: watch::Receiver<State>,
    /// Whether the board is so hot that the cheapest model is asked.
    hot: watch::Receiver<bool>,
}

/// One model.
#[derive(Debug, Clone)]
pub(super) struct Rung {
    /// The model's name.
    name: Arc<str>,
    /// To its supervisor.
    asks: mpsc::UnboundedSender<Posted>,
    /// Bounds the asks that wait or are in hand.
    places: Arc<Semaphore>,
    /// How many there are.
    most: usize,
    /// One of them is free again.
    freed: Arc<Notify>,
    /// From its supervisor.
    pub(super) state: watch::Receiver<State>,
    pub(super) tenant: Arc<Tenant>,
}

/// What a supervisor and those who watch over the board's memory know of one another.
#[derive(Debug, Default)]
pub(super) struct Tenant {
    /// The worker's process; 0: there is none.
    pub(super) pid: AtomicU32,
    /// Counts asks over all models: the one with the lowest number was used longest ago.
    pub(super) used: AtomicU64,
    /// It is to unload its model once nobody waits for an answer.
    pub(super) leave: Notify,
}

static ASKS: AtomicU64 = AtomicU64::new(0);

impl Rung {
    /// A model for `parallel` asks in hand, and where they come out.
    pub(super) fn new(
        name: &str,
        parallel: usize,
        state: watch::Receiver<State>,
    ) -> (Self, mpsc::UnboundedReceiver<Posted>) {
        // The semaphore is what bounds it.
        let (asks, posted) = mpsc::unbounded_channel();
        let most = parallel + QUEUE;
        let rung = Self {
            name: name.into(),
            asks,
            places: Arc::new(Semaphore::new(most)),
            most,
            freed: Arc::default(),
            state,
            tenant: Arc::default(),
        };
        (rung, posted)
    }

    fn standing(&self) -> Standing {
        Standing::of(&self.state.borrow())
    }

    async fn ask(&self, ask: Ask) -> Result<Answer, ModelError> {
        if let State::Off = *self.state.borrow() {
            return Err(ModelError::Unavailable("it has been shut down".into()));
        }
        if let State::Down { cause, .. } = &*self.state.borrow() {
            return Err(ModelError::Unavailable(cause.clone()));
        }
        let is_json = matches!(ask.grammar, Constraint::JsonSchema(_)) && ask.max_tokens > 0;
        let (reply, answer) = oneshot::channel();
        let deadline = ask.deadline;
        let permit = Arc::clone(&self.places).try_acquire_owned().map_err(|_| ModelError::Busy)?;
        let place = Place { _permit: permit, _freed: Freed(Arc::clone(&self.freed)) };
        let posted = Posted { ask, reply, _place: place };
        self.tenant.used.store(ASKS.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        self.asks
            .send(posted)
            .map_err(|_| ModelError::Unavailable("it has been shut down".into()))?;
        match tokio::time::timeout_at(deadline.into(), answer).await {
            Ok(Ok(Ok(answer))) if is_json => readable(answer),
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(ModelError::Crashed("the supervisor dropped the ask".into())),
            Err(_) => Err(ModelError::TooLate),
        }
    }

    /// Waits until nobody has asked anything that is not answered.
    async fn until_unasked(&self) {
        loop {
            let freed = self.freed.notified();
            if self.places.available_permits() == self.most {
                return;
            }
            freed.await;
        }
    }
}

impl Model {
    /// The handle where no model is configured: every ask is refused.
    pub fn off() -> Self {
        Self::of([], None, watch::channel(State::Off).1, watch::channel(false).1)
    }

    /// The handle to one model.
    pub(super) fn one(rung: Rung) -> Self {
        let state = rung.state.clone();
        Self::of([rung], None, state, watch::channel(false).1)
    }

    /// The handle to several models, the best one first, and to a larger one for what they are not sure of.
    pub(super) fn of(
        rungs: impl Into<Arc<[Rung]>>,
        larger: Option<Rung>,
        state: watch::Receiver<State>,
        hot: watch::Receiver<bool>,
    ) -> Self {
        Self { rungs: rungs.into(), larger, state, hot }
    }

    /// What the model does that would be asked now.
    pub fn state(&self) -> State {
        // Not the watched state, which follows a moment later.
        let told = |rung: usize| self.rungs[rung].state.borrow().clone();
        self.next(None).map_or_else(|| self.state.borrow().clone(), told)
    }

    /// Whether there is a choice to make while the board is hot.
    pub(super) fn is_one_of_several(&self) -> bool {
        self.rungs.len() > 1 || self.larger.is_some()
    }

    /// Watches what the model does that would be asked.
    pub fn watch(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// The workers' processes.
    pub fn pids(&self) -> Vec<u32> {
        let pids = self
            .rungs
            .iter()
            .chain(&self.larger)
            .map(|rung| rung.tenant.pid.load(Ordering::Relaxed));
        pids.filter(|pid| *pid > 0).collect()
    }

    /// Which one is asked now; after one that failed, one of those behind it.
    pub(super) fn next(&self, after: Option<usize>) -> Option<usize> {
        let standings: Vec<Standing> = self.rungs.iter().map(Rung::standing).collect();
        ladder::choose(&standings, after, *self.hot.borrow())
    }

    /// Has the worker of the model that would be asked now compute or restore what these messages leave in its memory,
    /// and which of some openings of calls it likes behind them where nothing is asked, which corrects its answers
    /// from then on; none: they stay as they are. A model that has a way of its own gets the `offer` in place of the messages.
    /// Returns what the messages took. Where that model fails no other one is loaded for it.
    pub async fn prepare(
        &self,
        messages: Vec<Message>,
        openings: Vec<String>,
        offer: Option<Arc<Offer>>,
        priority: Priority,
        deadline: Instant,
    ) -> Result<Usage, ModelError> {
        let grammar = match openings.len() {
            1..=MAX_TEXTS => Constraint::OneOf(openings),
            _ => Constraint::default(),
        };
        let ask = Ask { messages, grammar, offer, max_tokens: 0, priority, deadline, pieces: None };
        let rung = self.next(None).map(|at| &self.rungs[at]);
        let rung = rung.ok_or_else(|| ModelError::Unavailable("none is configured".into()))?;
        Ok(rung.ask(ask).await?.usage)
    }

    /// Waits until nobody waits for an answer of the model that would be asked now: what nobody waits for would keep them.
    pub async fn until_unasked(&self) {
        if let Some(at) = self.next(None) {
            self.rungs[at].until_unasked().await;
        }
    }

    /// Asks the model of this name once more, which has answered before. No other one stands in for it, it is not loaded for
    /// this, and a board that is hot is spared.
    pub async fn ask_again(&self, name: &str, ask: Ask) -> Result<Answer, ModelError> {
        let is_loaded = |rung: &&Rung| {
            *rung.name == *name && matches!(*rung.state.borrow(), State::Ready { .. })
        };
        let rung = self.rungs.iter().find(is_loaded).filter(|_| !*self.hot.borrow());
        let rung = rung.ok_or_else(|| {
            ModelError::Unavailable("it was unloaded, or the board is hot".into())
        })?;
        Ok(Answer { model: name.to_owned(), ..rung.ask(ask).await? })
    }

    /// Whether there is a larger model for what the one of this name is not sure of.
    pub fn has_larger_than(&self, name: &str) -> bool {
        self.larger.as_ref().is_some_and(|larger| *larger.name != *name)
    }

    /// Asks the larger model, which is loaded for this. No other one stands in for it, and a board that is hot is spared.
    pub async fn ask_larger(&self, ask: Ask) -> Result<Answer, ModelError> {
        let rung = self.larger.as_ref().filter(|_| !*self.hot.borrow());
        let rung = rung.ok_or_else(|| {
            ModelError::Unavailable("there is no larger one, or the board is hot".into())
        })?;
        Ok(Answer { model: rung.name.to_string(), ..rung.ask(ask).await? })
    }

    /// Asks, and waits for the answer. Where the model cannot answer that was asked, the next one is. Dropping the future
    /// cancels the ask.
    pub async fn ask(&self, mut ask: Ask) -> Result<Answer, ModelError> {
        // Before it takes a place in the queue, and before it reaches a worker that might not survive it.
        let admitted = ask.grammar.admit();
        admitted.map_err(|why| ModelError::Refused(format!("its grammar is not taken: {why}")))?;
        let Some(mut at) = self.next(None) else {
            return Err(ModelError::Unavailable("none is configured".into()));
        };
        loop {
            // To think does nothing to the world, so that another may think it again.
            let again = self.next(Some(at)).map(|next| (next, ask.clone()));
            let answer = self.rungs[at].ask(ask).await;
            match (answer, again) {
                (Err(ModelError::Crashed(_) | ModelError::Unavailable(_)), Some((next, same))) => {
                    (at, ask) = (next, same);
                }
                (answer, _) => {
                    let model = self.rungs[at].name.to_string();
                    return answer.map(|answer| Answer { model, ..answer });
                }
            }
        }
    }
}

/// An answer that is JSON, as far as it can be read. A schema that says nothing of a number admits every
/// exponent, and no reader holds 1e999.
fn readable(answer: Answer) -> Result<Answer, ModelError> {
    match serde_json::from_str::<serde_json::Value>(&answer.text) {
        Ok(_) => Ok(answer),
        Err(e) => Err(ModelError::Refused(format!("its answer cannot be read as JSON: {e}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn what_nobody_waits_for_begins_once_all_are_answered() {
        let (_state, watched) = watch::channel(State::Loading { name: "m".into() });
        let (rung, mut posted) = Rung::new("m", 1, watched);
        let model = Model::one(rung);
        assert!(model.until_unasked().now_or_never().is_some(), "nobody asks");
        let deadline = Instant::now() + Duration::from_secs(60);
        let prepared = || model.prepare(Vec::new(), Vec::new(), None, Priority::Normal, deadline);
        let (first, second) = (prepared(), prepared());
        let mut asked = Box::pin(async { tokio::join!(first, second) });
        assert!(asked.as_mut().now_or_never().is_none(), "they wait for answers");
        let mut unasked = Box::pin(model.until_unasked());
        for _ in 0..2 {
            assert!(unasked.as_mut().now_or_never().is_none());
            let one = posted.recv().await.expect("an ask");
            one.reply.send(Ok(Answer::default())).expect("somebody waits");
        }
        assert!(unasked.as_mut().now_or_never().is_some());
        let (first, second) = asked.await;
        assert!(first.is_ok() && second.is_ok());
        assert!(Model::off().until_unasked().now_or_never().is_some(), "there is none to be asked");
    }
}
