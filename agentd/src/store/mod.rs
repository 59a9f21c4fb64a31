//! The store: the only place where links, front-ends and the agent meet.
//!
//! One thread owns the one writing SQLite connection ([`thread`]); [`Store`] is the handle to it. Whatever a
//! method that writes returns has been committed with `synchronous = FULL`, but for what says otherwise, and
//! only then is the feed told.
//!
//! Bounds: those of the tables are in [`retention`] and [`outbox`].

pub mod audit;
pub mod config;
pub mod dead;
pub mod ending;
pub mod feedback;
pub mod gap;
pub mod inbox;
pub mod open;
pub mod outbox;
pub mod readings;
pub mod recent;
pub mod retention;
pub mod schema;
mod thread;
pub mod unrecorded;

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use rusqlite::Connection;
use serde_json::{Map, Value};
use tokio::sync::watch;

use crate::command::{self, Command, Denial, Outcome, Status, elapsed_ms};
use crate::feed::{Feed, Notice};
pub use config::StoreConfig;
pub use dead::{Refusal, Refused};
pub use ending::{Ending, Intent, Trace};
use feedback::Verdict;
pub use inbox::{Accepted, Delivery, Origin, Plan, Waiting};
pub use open::{OpenError, Opened};
pub use outbox::{Broker, Destination, Event, OutboxRow, OutboxStats};
use thread::{Need, Writer};
use unrecorded::Unrecorded;

/// Why the store could not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The disk has no room.
    #[error("the disk is full; nothing can be recorded, so nothing is done")]
    Full,
    /// The file or its file system cannot be written.
    #[error("the database cannot be written ({0}); nothing can be recorded, so nothing is done")]
    Unwritable(String),
    /// The file is damaged.
    #[error(
        "the database is damaged ({0}); at the next start it is moved aside and a new one begun"
    )]
    Corrupt(String),
    /// A row does not read back.
    #[error("a row of the database cannot be read: {0}")]
    Row(String),
    /// The store has been shut down.
    #[error("the store is closed")]
    Closed,
    /// Anything else that SQLite says.
    #[error("the database failed: {0}")]
    Sqlite(String),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode as Code;
        let text = error.to_string();
        match error.sqlite_error_code() {
            Some(Code::DiskFull) => Self::Full,
            Some(
                Code::ReadOnly | Code::CannotOpen | Code::PermissionDenied | Code::SystemIoFailure,
            ) => Self::Unwritable(text),
            Some(Code::DatabaseCorrupt | Code::NotADatabase) => Self::Corrupt(text),
            _ => Self::Sqlite(text),
        }
    }
}

/// The handle. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    writer: Writer,
    inbox_changed: Arc<watch::Sender<u64>>,
    outbox_changed: Arc<watch::Sender<u64>>,
    trouble: Arc<watch::Sender<Option<StoreError>>>,
    feed: Feed,
    most_waiting: i64,
    limits: outbox::Limits,
    unrecorded: Arc<Unrecorded>,
    started: Instant,
    ran_before: i64,
}

impl Store {
    /// Opens the database, ends what a crash cut off, and starts the thread, which ends when the last
    /// handle is dropped.
    pub fn open(config: &StoreConfig, most_waiting: u32, feed: Feed) -> Result<Opened, OpenError> {
        open::folder(&config.path)?;
        let lock = open::lock(&config.path)?;
        let (mut connection, moved_aside) = open::connection(&config.path, command::now())?;
        let limits = config.limits();
        let interrupted = ending::reconcile(&mut connection, limits, command::now())
            .map_err(|source| OpenError::Reconcile { path: config.path.clone(), source })?;
        let ran_before = retention::ran_before(&connection).map_err(|source| {
            OpenError::Reconcile { path: config.path.clone(), source: source.into() }
        })?;
        let (writer, thread) = Writer::start(connection, lock).map_err(OpenError::Thread)?;
        let store = Self {
            writer,
            inbox_changed: Arc::new(watch::Sender::new(0)),
            outbox_changed: Arc::new(watch::Sender::new(0)),
            trouble: Arc::new(watch::Sender::new(None)),
            feed,
            most_waiting: most_waiting.into(),
            limits,
            unrecorded: Arc::default(),
            started: Instant::now(),
            ran_before,
        };
        Ok(Opened { store, thread, interrupted, moved_aside })
    }

    /// Runs a job that writes, and keeps [`Store::trouble`] true.
    async fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.write_with(Need::Disk, job).await
    }

    /// As [`Store::write`], for what a power cut may undo: see [`Need::Order`].
    async fn write_in_order<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.write_with(Need::Order, job).await
    }

    async fn write_with<T: Send + 'static>(
        &self,
        need: Need,
        job: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let result = self.writer.run(need, job).await;
        let trouble = result.as_ref().err().filter(|error| **error != StoreError::Closed).cloned();
        self.note_trouble(trouble);
        result
    }

    /// Damage stays until the next start, whatever else still works.
    fn note_trouble(&self, trouble: Option<StoreError>) {
        self.trouble.send_if_modified(|known| {
            let changed = *known != trouble && !matches!(known, Some(StoreError::Corrupt(_)));
            if changed {
                *known = trouble;
            }
            changed
        });
    }

    async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let result = self.writer.run(Need::Nothing, job).await;
        if let Err(error @ StoreError::Corrupt(_)) = &result {
            self.note_trouble(Some(error.clone()));
        }
        result
    }

    /// Stores a command. When this returns, the sender may be told.
    pub async fn accept(&self, command: Command, origin: Origin) -> Result<Accepted, StoreError> {
        let (bounds, now) = ((self.most_waiting, self.limits), command::now());
        let (text, source) = (command.summary(), origin.source.clone());
        let accepted =
            self.write(move |db| inbox::accept(db, &command, &origin, bounds, now)).await?;
        match &accepted {
            Accepted::New(id) => {
                self.feed.tell(Notice::Accepted { id: id.clone(), text, source });
                self.inbox_changed.send_modify(|n| *n += 1);
            }
            Accepted::Repeat { .. } => self.outbox_changed.send_modify(|n| *n += 1),
            Accepted::Busy(_) => {}
        }
        Ok(accepted)
    }

    /// Queues the refusal of something that was never stored, for its sender.
    pub async fn refuse(
        &self,
        id: &str,
        denial: Denial,
        broker: Broker,
        reply: Option<Destination>,
    ) -> Result<Outcome, StoreError> {
        let now = command::now();
        let outcome = Outcome::denied(id, denial, now, now);
        let (limits, stored) = (self.limits, outcome.clone());
        self.write(move |db| Ok(outbox::put_outcome(db, limits, &stored, broker, reply, now)?))
            .await?;
        self.outbox_changed.send_modify(|n| *n += 1);
        self.feed.tell(Notice::Finished { outcome: outcome.clone() });
        Ok(outcome)
    }

    /// The first waiting command whose lane is not busy.
    pub async fn next(&self, busy_lanes: Vec<String>) -> Result<Option<Waiting>, StoreError> {
        if let Some(waiting) = self.unrecorded.take(&busy_lanes) {
            return Ok(Some(waiting));
        }
        self.run(move |db| inbox::next(db, &busy_lanes)).await
    }

    /// Commits the intent of an acting call, and what those before it did.
    /// `false`: the command was cancelled meanwhile, and the call must not run.
    pub async fn begin_call(&self, intent: Intent) -> Result<bool, StoreError> {
        let (limits, now) = (self.limits, command::now());
        self.write(move |db| ending::begin_call(db, &intent, limits, now)).await
    }

    /// Ends or pauses a command in one transaction. `false`: it had ended already.
    pub async fn finish(&self, ending: Ending) -> Result<bool, StoreError> {
        let (limits, outcome) = (self.limits, ending.outcome.clone());
        let finished = self.write(move |db| ending::finish(db, &ending, limits)).await?;
        if finished {
            self.outbox_changed.send_modify(|n| *n += 1);
            self.inbox_changed.send_modify(|n| *n += 1);
            self.feed.tell(Notice::Finished { outcome });
        }
        Ok(finished)
    }

    /// The outcome so far of a command.
    pub async fn outcome(&self, id: &str) -> Result<Option<Outcome>, StoreError> {
        let id = id.to_owned();
        self.run(move |db| inbox::outcome(db, &id)).await
    }

    /// Lets a command that waits for approval go on, or ends it as denied. `false`: none waits.
    pub async fn approve(&self, id: &str, yes: bool, by: &str) -> Result<bool, StoreError> {
        if yes {
            let (id, by) = (id.to_owned(), by.to_owned());
            let approve = move |db: &Connection| {
                let changed = inbox::approve(db, &id, &by)?;
                if changed {
                    feedback::settle(db, &id, Some(Verdict::Approved))?;
                }
                Ok(changed)
            };
            let changed = self.write(approve).await?;
            self.inbox_changed.send_modify(|n| *n += 1);
            return Ok(changed);
        }
        let waiting = self.outcome(id).await?;
        if !waiting.is_some_and(|outcome| outcome.status == Status::WaitingApproval) {
            return Ok(false);
        }
        let denial = Denial::new("not_approved", format!("{by} did not approve it"));
        self.end_untouched(id, Status::Denied, denial).await
    }

    /// Takes back a command that has begun no call. `false`: there is none, or it is too late.
    pub async fn cancel(&self, id: &str) -> Result<bool, StoreError> {
        let denial = Denial::new("cancelled", "it was cancelled");
        self.end_untouched(id, Status::Cancelled, denial).await
    }

    async fn end_untouched(
        &self,
        id: &str,
        status: Status,
        denial: Denial,
    ) -> Result<bool, StoreError> {
        let (key, limits, now) = (id.to_owned(), self.limits, command::now());
        let outcome = self
            .write(move |db| {
                // Looked up and ended in one transaction, so that no call can begin in between.
                let Some(received_at) = inbox::untouched(db, &key)? else {
                    return Ok(None);
                };
                let mut outcome = Outcome::denied(&key, denial, received_at, now);
                outcome.status = status;
                outcome.ms = elapsed_ms(received_at, now);
                let ending = Ending { outcome, traces: Vec::new(), plan: None, feedback: None };
                let ended = ending::finish(db, &ending, limits)?;
                // To take a command back says nothing of what the model made of it.
                let verdict = (status == Status::Denied).then_some(Verdict::Denied);
                feedback::settle(db, &key, verdict)?;
                Ok(ended.then_some(ending.outcome))
            })
            .await?;
        let Some(outcome) = outcome else { return Ok(false) };
        self.outbox_changed.send_modify(|n| *n += 1);
        self.inbox_changed.send_modify(|n| *n += 1);
        self.feed.tell(Notice::Finished { outcome });
        Ok(true)
    }

    /// Queues an event that no command caused.
    pub async fn event(&self, kind: &str, fields: Map<String, Value>) -> Result<(), StoreError> {
        let (kind, limits, now) = (kind.to_owned(), self.limits, command::now());
        self.write(move |db| Ok(outbox::put_event(db, limits, Event::new(&kind, fields), now)?))
            .await?;
        self.outbox_changed.send_modify(|n| *n += 1);
        Ok(())
    }

    /// Stores readings that one poll took at one time. A power cut may take the newest back.
    pub async fn readings(&self, readings: Vec<(String, f64)>) -> Result<(), StoreError> {
        let at = command::now().as_second();
        let told = readings.clone();
        self.write_in_order(move |db| {
            for (sensor, value) in &readings {
                db.prepare_cached("INSERT INTO readings (at, sensor, value) VALUES (?1, ?2, ?3)")?
                    .execute((at, sensor, value))?;
            }
            Ok(())
        })
        .await?;
        for (sensor, value) in told {
            self.feed.tell(Notice::Reading { sensor, value });
        }
        Ok(())
    }

    /// The next outbox rows for a broker besides those under way: by priority, then by age.
    pub async fn pending(
        &self,
        broker: Broker,
        under_way: Vec<i64>,
        limit: usize,
    ) -> Result<Vec<OutboxRow>, StoreError> {
        let now = command::now();
        let under_way = Arc::new(under_way.into_iter().collect());
        let (skip, limits) = (Arc::clone(&under_way), self.limits);
        let (rows, untidy) = self
            .run(move |db| {
                let rows = outbox::pending(db, broker, &skip, limit)?;
                let expired = |row: &OutboxRow| row.expires_at.is_some_and(|at| at <= now);
                let untidy = rows.iter().any(expired)
                    || (broker == Broker::Upstream && gap::is_to_be_told(db)?);
                Ok((rows, untidy))
            })
            .await?;
        if !untidy {
            return Ok(rows);
        }
        self.write_in_order(move |db| {
            retention::expire(db, now)?;
            if gap::is_to_be_told(db)? {
                gap::tell(db, limits, now)?;
            }
            Ok(outbox::pending(db, broker, &under_way, limit)?)
        })
        .await
    }

    /// Removes outbox rows that the broker has acknowledged. A power cut may bring the last ones back, and
    /// they are sent again.
    pub async fn delivered(&self, ids: Vec<i64>) -> Result<usize, StoreError> {
        self.write_in_order(move |db| Ok(outbox::delivered(db, &ids)?)).await
    }

    /// Counts a broker's refusal of a row. `None`: there is no such row any more.
    pub async fn refused(
        &self,
        id: i64,
        why: String,
        refusal: Refusal,
    ) -> Result<Option<Refused>, StoreError> {
        let limits = self.limits;
        self.write_in_order(move |db| Ok(dead::refused(db, limits, id, &why, refusal)?)).await
    }

    /// The outbox as a person sees it, the dead rows first; at most [`dead::MAX_LISTED`].
    pub async fn list_outbox(&self, limit: usize) -> Result<Vec<dead::Listed>, StoreError> {
        self.run(move |db| Ok(dead::list(db, limit)?)).await
    }

    /// Has dead rows sent again. Returns how many there were.
    pub async fn retry_outbox(&self, which: dead::Which) -> Result<usize, StoreError> {
        let changed = self.write(move |db| Ok(dead::retry(db, &which)?)).await?;
        self.outbox_changed.send_modify(|n| *n += 1);
        Ok(changed)
    }

    /// Removes rows for good. Returns how many there were.
    pub async fn purge_outbox(&self, which: dead::Which) -> Result<usize, StoreError> {
        let changed = self.write(move |db| Ok(dead::purge(db, &which)?)).await?;
        self.outbox_changed.send_modify(|n| *n += 1);
        Ok(changed)
    }

    /// The outbox at a glance.
    pub async fn outbox_stats(&self) -> Result<OutboxStats, StoreError> {
        let now = command::now();
        self.run(move |db| Ok(outbox::stats(db, now)?)).await
    }

    /// The end of the audit log's chain.
    pub async fn audit_head(&self) -> Result<audit::Head, StoreError> {
        self.run(|db| Ok(audit::head(db)?)).await
    }

    /// Removes what is past its bound, a round at a time. Returns how many rows went.
    pub async fn housekeep(&self, now: Timestamp) -> Result<usize, StoreError> {
        let (mut gone, limits) = (0, self.limits);
        loop {
            let run_seconds = retention::run_seconds(self.ran_before, self.started.elapsed());
            let round = self
                .write_in_order(move |db| Ok(retention::housekeep(db, limits, run_seconds, now)?))
                .await?;
            gone += round;
            if round > 0 {
                self.outbox_changed.send_modify(|n| *n += 1);
            } else {
                return Ok(gone);
            }
        }
    }

    /// Wakes when a command may be waiting, or one has ended.
    pub fn inbox_changed(&self) -> watch::Receiver<u64> {
        self.inbox_changed.subscribe()
    }

    /// Wakes when an outbox row may be waiting.
    pub fn outbox_changed(&self) -> watch::Receiver<u64> {
        self.outbox_changed.subscribe()
    }

    /// Why the last write failed; none while writing works.
    pub fn trouble(&self) -> watch::Receiver<Option<StoreError>> {
        self.trouble.subscribe()
    }

    /// What is happening, for those who watch.
    pub fn feed(&self) -> &Feed {
        &self.feed
    }
}
