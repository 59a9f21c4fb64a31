//! How a front-end on the board hands a command in and waits for what becomes of it: HTTP and Wyoming
//! both do it here.
//!
//! ```text
//!  feed.watch ──> store.accept ──commit──> Finished{outcome} on the feed ──> the sender
//!                      │ repeat: the stored outcome    │ missed some: store.outcome
//! ```
//!
//! Bounds: a sender waits for the command's time-out and [`SLACK`], never longer than [`LONGEST_WAIT`];
//! the command goes on without it. What was refused here has left nothing behind.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::time::{Instant, timeout_at};

use crate::command::{Command, Denial, Outcome};
use crate::feed::Notice;
use crate::metrics::Metrics;
use crate::store::{Accepted, Destination, Origin, Store, StoreError};

/// A command's time-out counts from when it is begun, and another may be under way before it.
pub const SLACK: Duration = Duration::from_secs(5);
/// No connection is held longer for one command, whatever time-out its sender asked for.
pub const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// The way in for the front-ends on the board. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Front {
    store: Store,
    metrics: Arc<Metrics>,
    default_timeout: Duration,
    slack: Duration,
}

/// Which outcome is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// The one that no other follows.
    Final,
    /// The first, also where it only says that a person must approve: who listens wants to hear that.
    Any,
}

/// What became of a command while its sender waited.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// The outcome that was waited for.
    Outcome(Box<Outcome>),
    /// It is stored and goes on, but the wait is over.
    Later {
        /// The id to ask for it by.
        id: String,
        /// The outcome so far.
        so_far: Option<Box<Outcome>>,
    },
    /// Too many wait already. Nothing is stored.
    Busy(Denial),
}

impl Front {
    /// A way in. `default_timeout` is `policy.timeout_ms`, for commands that name none.
    pub fn new(store: Store, metrics: Arc<Metrics>, default_timeout: Duration) -> Self {
        Self { store, metrics, default_timeout, slack: SLACK }
    }

    /// With another slack than [`SLACK`].
    #[must_use]
    pub fn with_slack(self, slack: Duration) -> Self {
        Self { slack, ..self }
    }

    /// The store behind it.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// How long the sender of this command is kept waiting.
    pub fn wait_for(&self, command: &Command) -> Duration {
        let own = command.timeout_ms.map(Duration::from_millis);
        own.unwrap_or(self.default_timeout).saturating_add(self.slack).min(LONGEST_WAIT)
    }

    /// Stores a command for a sender who does not wait.
    pub async fn submit(&self, command: Command, source: &str) -> Result<Answer, StoreError> {
        Ok(match self.accept(command, source, false).await? {
            Accepted::New(id) => Answer::Later { id, so_far: None },
            Accepted::Repeat { outcome: Some(outcome), .. } if outcome.status.is_final() => {
                Answer::Outcome(outcome)
            }
            Accepted::Repeat { id, outcome } => Answer::Later { id, so_far: outcome },
            Accepted::Busy(denial) => Answer::Busy(denial),
        })
    }

    /// Stores a command and waits for its outcome. Dropping the future ends the wait, not the command.
    /// An error says that the command could not be stored.
    pub async fn ask(
        &self,
        command: Command,
        source: &str,
        until: Until,
    ) -> Result<Answer, StoreError> {
        let deadline = Instant::now() + self.wait_for(&command);
        // Watched before it is accepted: a quick agent ends it before `accept` has returned here.
        let mut notices = self.store.feed().watch();
        let enough = |outcome: &Outcome| until == Until::Any || outcome.status.is_final();
        let id = match self.accept(command, source, true).await? {
            Accepted::New(id) => id,
            Accepted::Repeat { outcome: Some(outcome), .. } if enough(&outcome) => {
                return Ok(Answer::Outcome(outcome));
            }
            Accepted::Repeat { id, .. } => id,
            Accepted::Busy(denial) => return Ok(Answer::Busy(denial)),
        };
        // From here on the command is stored: an error must not be told as "nothing is done".
        if let Ok(Ok(outcome)) =
            timeout_at(deadline, self.finished(&id, &mut notices, enough)).await
        {
            return Ok(Answer::Outcome(outcome));
        }
        let so_far = self.store.outcome(&id).await.ok().flatten().map(Box::new);
        Ok(match so_far {
            Some(outcome) if enough(&outcome) => Answer::Outcome(outcome),
            so_far => Answer::Later { id, so_far },
        })
    }

    async fn accept(
        &self,
        command: Command,
        source: &str,
        stays: bool,
    ) -> Result<Accepted, StoreError> {
        let reply = command.reply_to.clone().map(|topic| Destination::Reply {
            topic,
            correlation: command.correlation_id.clone().map(String::into_bytes),
        });
        let origin = Origin { source: source.to_owned(), reply, ..Origin::default() };
        let accepted = self.store.accept(command.clone(), origin.clone()).await;
        let accepted = match accepted {
            // Whoever waits for it is told what can be read, though nothing can be recorded.
            Err(why) if stays => self.store.accept_unrecorded(command, &origin, why).await,
            accepted => accepted,
        };
        match &accepted {
            Ok(Accepted::New(_)) => self.metrics.commands_accepted_total.add_one(),
            Ok(Accepted::Repeat { .. }) => self.metrics.commands_repeated_total.add_one(),
            Ok(Accepted::Busy(_)) | Err(_) => self.metrics.commands_refused_total.add_one(),
        }
        accepted
    }

    async fn finished(
        &self,
        id: &str,
        notices: &mut Receiver<Arc<Notice>>,
        enough: impl Fn(&Outcome) -> bool,
    ) -> Result<Box<Outcome>, StoreError> {
        loop {
            match notices.recv().await {
                Ok(notice) => {
                    if let Notice::Finished { outcome } = &*notice
                        && outcome.id == id
                        && enough(outcome)
                    {
                        return Ok(Box::new(outcome.clone()));
                    }
                }
                // The store has what the feed could not keep for a slow watcher.
                Err(RecvError::Lagged(_)) => {
                    if let Some(outcome) = self.store.outcome(id).await?
                        && enough(&outcome)
                    {
                        return Ok(Box::new(outcome));
                    }
                }
                Err(RecvError::Closed) => return Err(StoreError::Closed),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::Feed;
    use crate::store::StoreConfig;

    fn front(folder: &tempfile::TempDir, most_waiting: u32) -> Front {
        let config = StoreConfig { path: folder.path().join("a.db"), ..StoreConfig::default() };
        let opened = Store::open(&config, most_waiting, Feed::default()).expect("a store");
        Front::new(opened.store, Arc::default(), Duration::from_secs(60))
    }

    #[tokio::test]
    async fn the_wait_is_the_commands_time_and_slack_and_never_past_the_longest() {
        let folder = tempfile::tempdir().expect("a folder");
        let front = front(&folder, 8);
        let mut command = Command::from_text("hi");
        assert_eq!(front.wait_for(&command), Duration::from_secs(65));
        command.timeout_ms = Some(594_999);
        assert_eq!(front.wait_for(&command), LONGEST_WAIT - Duration::from_millis(1));
        for timeout_ms in [595_000, 595_001, u64::MAX] {
            command.timeout_ms = Some(timeout_ms);
            assert_eq!(front.wait_for(&command), LONGEST_WAIT);
        }
    }

    #[tokio::test]
    async fn an_outcome_that_the_feed_dropped_is_read_from_the_store() {
        let folder = tempfile::tempdir().expect("a folder");
        let front = front(&folder, 8);
        let command = Command::from_text("hi");
        let id = command.id.clone();
        let mut notices = front.store.feed().watch();
        front.submit(command, "test").await.expect("accepted");
        assert!(front.store.cancel(&id).await.expect("cancelled"));
        for _ in 0..2000 {
            front.store.feed().tell(Notice::Token { id: "other".into(), text: "x".into() });
        }
        let outcome = front.finished(&id, &mut notices, |o| o.status.is_final());
        assert_eq!(outcome.await.expect("outcome").id, id);
    }

    #[tokio::test]
    async fn one_command_over_the_bound_is_busy_and_counted_as_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let front = front(&folder, 1);
        let first = front.submit(Command::from_text("one"), "test").await.expect("stored");
        assert!(matches!(first, Answer::Later { so_far: None, .. }));
        let second = front.submit(Command::from_text("two"), "test").await.expect("answered");
        assert!(matches!(second, Answer::Busy(denial) if denial.code == "busy"));
        assert_eq!(front.metrics.commands_accepted_total.get(), 1);
        assert_eq!(front.metrics.commands_refused_total.get(), 1);
    }
}
