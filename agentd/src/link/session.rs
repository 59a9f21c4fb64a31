//! The life of one connection: from CONNACK to its loss, or to the goodbye.
//!
//! One loop; [`Wake`] is all that can wake it. After each wake comes the work with the store
//! ([`super::drain`]).
//!
//! Bounds: [`MOST_HELD`] messages wait while the store fails, then the connection is given up and the
//! broker keeps them; a store that failed is asked again every [`STORE_RETRY`]; the subscription is
//! answered within [`SUBSCRIBE`], or the link would look well and hear nothing.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use log::{info, warn};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::Link;
use super::ahead::Ahead;
use super::answers::Asked;
use super::connection::{Answer, Client, Delivery, EVENTS, Event, Limits, NotSent};
use super::drain::Trouble;
use super::errand::{self, Brought, Errand};
use super::status::Publisher;
use crate::store::{Broker, StoreError};

/// Messages that wait while the store fails.
const MOST_HELD: usize = EVENTS;
/// How long after a failure the store is asked again.
const STORE_RETRY: Duration = Duration::from_secs(5);
/// How long a broker may take to answer the subscription.
const SUBSCRIBE: Duration = Duration::from_secs(15);

/// How a session ends.
#[derive(Debug)]
pub(super) enum End {
    /// The daemon shuts down.
    Goodbye,
    /// A better broker has accepted a connection.
    Moved,
    /// The connection is gone, for this reason.
    Lost(String),
}

/// All that can wake the loop.
enum Wake {
    Broker(Option<Event>),
    Answer(Asked, Answer),
    Store(Brought, bool),
    OutboxChanged,
    StatusChanged,
    Due,
    Moves,
    Shutdown,
}

/// A message that came in and is not acknowledged.
pub(super) struct Held {
    pub(super) delivery: Delivery,
    /// It is committed, and waits for one before it. It must not be taken in twice: a command without an
    /// id would act twice.
    pub(super) is_stored: bool,
}

/// One connection.
pub(super) struct Session<'a> {
    pub(super) link: &'a mut Link,
    pub(super) client: Client,
    pub(super) events: mpsc::Receiver<Event>,
    /// An event that came before the session began.
    first: Option<Event>,
    pub(super) answers: FuturesUnordered<BoxFuture<'static, (Asked, Answer)>>,
    pub(super) limits: Option<Limits>,
    pub(super) held: VecDeque<Held>,
    pub(super) publisher: Publisher,
    telemetry_at: Option<Instant>,
    /// The subscription must be answered by then.
    pub(super) subscribed_by: Option<Instant>,
    /// How many rows waited when the link was back.
    pub(super) waited: Option<u64>,
    /// The store failed; it is not asked before this.
    store_retry_at: Option<Instant>,
    /// The store may have rows that are not under way.
    pub(super) rows_wait: bool,
    pub(super) ahead: Ahead,
    pub(super) errand: Option<Errand>,
    /// A row was put aside instead of being sent, so that there is room for another one at once.
    pub(super) goes_on: bool,
    outbox: watch::Receiver<u64>,
    health: watch::Receiver<u64>,
    model: Option<watch::Receiver<Option<String>>>,
}

impl<'a> Session<'a> {
    /// `first` is an event that was taken from `events` before.
    pub(super) fn new(
        link: &'a mut Link,
        client: Client,
        events: mpsc::Receiver<Event>,
        first: Option<Event>,
    ) -> Self {
        Self {
            client,
            events,
            first,
            answers: FuturesUnordered::new(),
            limits: None,
            held: VecDeque::new(),
            publisher: Publisher::default(),
            telemetry_at: None,
            subscribed_by: None,
            waited: None,
            store_retry_at: None,
            rows_wait: false,
            ahead: Ahead::default(),
            errand: None,
            goes_on: false,
            outbox: link.door.store.outbox_changed(),
            health: link.health.watch(),
            model: Some(link.device.model.clone()),
            link,
        }
    }

    /// Serves the connection until it ends. `connected_at` is set at the CONNACK; `moves` says that a
    /// better broker has accepted a connection.
    pub(super) async fn run(
        mut self,
        shutdown: &CancellationToken,
        moves: &CancellationToken,
        connected_at: &mut Option<Instant>,
    ) -> End {
        loop {
            let wake = match self.first.take() {
                Some(event) => Wake::Broker(Some(event)),
                None => self.wake(shutdown, moves).await,
            };
            if matches!(wake, Wake::Shutdown) {
                self.goodbye().await;
                return End::Goodbye;
            }
            if matches!(wake, Wake::Moves) {
                // As at a shutdown: rows under way are finished, and the last will is not published.
                self.goodbye().await;
                return End::Moved;
            }
            if matches!(wake, Wake::Broker(Some(Event::Connected(_)))) {
                *connected_at = Some(Instant::now());
            }
            if let Err(cause) = self.handle(wake).await {
                return End::Lost(cause);
            }
        }
    }

    async fn wake(&mut self, shutdown: &CancellationToken, moves: &CancellationToken) -> Wake {
        let due = self.due();
        tokio::select! {
            // Shutdown first, then what frees the window, then what fills it.
            biased;
            () = shutdown.cancelled() => Wake::Shutdown,
            () = moves.cancelled() => Wake::Moves,
            Some((asked, answer)) = self.answers.next() => Wake::Answer(asked, answer),
            (brought, is_stale) = errand::back(&mut self.errand) => Wake::Store(brought, is_stale),
            event = self.events.recv() => Wake::Broker(event),
            Ok(()) = self.outbox.changed() => Wake::OutboxChanged,
            Ok(()) = self.health.changed() => Wake::StatusChanged,
            changed = changed(&mut self.model) => {
                if !changed {
                    self.model = None;
                }
                Wake::StatusChanged
            }
            () = sleep_until(due) => Wake::Due,
        }
    }

    /// When there is something to do, if nothing happens before.
    fn due(&self) -> Option<Instant> {
        self.limits?;
        let now = Instant::now();
        let (window, pause) = (self.link.window.next_due(now), self.link.pause.due(now));
        let others = [window, pause, self.publisher.due(), self.subscribed_by, self.telemetry_at];
        let first = others.into_iter().flatten().min();
        next_wake(self.goes_on.then_some(now), self.store_retry_at, first)
    }

    /// Handles one wake. An error is why the connection is given up.
    async fn handle(&mut self, wake: Wake) -> Result<(), String> {
        let now = Instant::now();
        match wake {
            Wake::Broker(None) => return Err("it was closed".into()),
            Wake::Broker(Some(Event::Lost(cause))) => return Err(cause),
            Wake::Broker(Some(Event::Connected(limits))) => self.connected(limits, now).await?,
            Wake::Broker(Some(Event::Delivery(delivery))) => {
                if self.held.len() >= MOST_HELD {
                    return Err("more commands came than can wait for the store".into());
                }
                self.held.push_back(Held { delivery, is_stored: false });
            }
            Wake::Answer(asked, answer) => match self.answered(asked, answer).await {
                Ok(()) => {}
                Err(Trouble::Store(error)) => self.store_failed(&error, now),
                Err(Trouble::Connection(cause)) => return Err(cause),
            },
            Wake::Store(brought, is_stale) => match self.brought(brought, is_stale) {
                Ok(()) => {}
                Err(Trouble::Store(error)) => self.store_failed(&error, now),
                Err(Trouble::Connection(cause)) => return Err(cause),
            },
            Wake::OutboxChanged => self.look_again(),
            Wake::StatusChanged => self.publisher.changed(now),
            Wake::Due => self.due_now(now).await?,
            Wake::Moves | Wake::Shutdown => {}
        }
        if self.limits.is_none() || self.store_retry_at.is_some_and(|at| now < at) {
            return Ok(());
        }
        self.store_retry_at = None;
        match self.work().await {
            Ok(()) => {}
            Err(Trouble::Store(error)) => self.store_failed(&error, now),
            Err(Trouble::Connection(cause)) => return Err(cause),
        }
        Ok(())
    }

    async fn connected(&mut self, limits: Limits, now: Instant) -> Result<(), String> {
        info!(broker:% = self.link.settings.server, session_present = limits.session_present; "connected");
        self.link.window.connected(limits.receive_maximum);
        self.link.servers.works();
        let upstream = self.link.door.broker == Broker::Upstream;
        if upstream {
            self.link.door.metrics.link_connects_total.add_one();
        }
        if upstream && self.link.health.is_lost(self.link.names.link) {
            // Before the first of them leaves.
            self.waited = self.link.door.store.outbox_stats().await.ok().map(|stats| stats.pending);
        }
        self.limits = Some(limits);
        self.rows_wait = true;
        self.subscribed_by = Some(now + SUBSCRIBE);
        self.telemetry_at = self.link.telemetry_every.map(|every| now + every);
        let topics = self.link.door.topics.subscriptions();
        let answer = self.client.subscribe(&topics).map_err(given_up)?;
        self.ask(Asked::Subscription, answer);
        Ok(())
    }

    async fn due_now(&mut self, now: Instant) -> Result<(), String> {
        if self.link.window.is_suspect(now) {
            return Err("the broker has acknowledged nothing for 20 s".into());
        }
        if self.subscribed_by.is_some_and(|by| now >= by) {
            return Err("the broker does not answer the subscription".into());
        }
        // A row that had been put back may be sent again.
        self.look_again();
        if self.publisher.due().is_some_and(|at| now >= at) {
            self.look_at_status().await?;
        }
        if let Some(every) = self.link.telemetry_every
            && self.telemetry_at.is_some_and(|at| now >= at)
        {
            self.telemetry_at = Some(now + every);
            let mut figures = self.link.door.metrics.json();
            if let Ok(head) = self.link.door.store.audit_head().await {
                figures.insert("audit".into(), serde_json::json!(head));
            }
            let figures = serde_json::Value::Object(figures).to_string();
            self.publish("telemetry", self.link.door.topics.telemetry(), figures, false)?;
        }
        Ok(())
    }

    /// The store may have other rows than it had.
    pub(super) fn look_again(&mut self) {
        self.ahead.changed();
        if let Some(errand) = &mut self.errand {
            errand.outdated();
        }
        self.rows_wait = true;
    }

    pub(super) fn store_failed(&mut self, error: &StoreError, now: Instant) {
        warn!(error:% = error; "the store failed; the link tries again");
        self.store_retry_at = Some(now + STORE_RETRY);
    }
}

/// When the loop wakes by itself. While the store is left alone there is nothing to go on with: it would wake
/// again and again and do nothing.
fn next_wake(
    goes_on: Option<Instant>,
    store_retry_at: Option<Instant>,
    first: Option<Instant>,
) -> Option<Instant> {
    let work = store_retry_at.or(goes_on);
    first.into_iter().chain(work).min()
}

/// Why a request that was not handed over ends the connection.
pub(super) fn given_up(why: NotSent) -> String {
    match why {
        NotSent::Full => "the connection is stuck: too many requests wait for it".into(),
        NotSent::Gone => "the broker closed the connection".into(),
        NotSent::Invalid(why) => why,
    }
}

/// Waits for a change. `false`: there will be none.
async fn changed(watched: &mut Option<watch::Receiver<Option<String>>>) -> bool {
    match watched {
        Some(watched) => watched.changed().await.is_ok(),
        None => std::future::pending().await,
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_is_left_alone_is_not_gone_on_with_before_its_time() {
        let now = Instant::now();
        let (retry, soon) = (Some(now + STORE_RETRY), Some(now + Duration::from_secs(1)));
        assert_eq!(next_wake(Some(now), None, soon), Some(now), "there is room for another row");
        assert_eq!(next_wake(Some(now), retry, None), retry);
        assert_eq!(next_wake(Some(now), retry, soon), soon, "the rest of the link goes on");
        assert_eq!(next_wake(None, retry, None), retry);
        assert_eq!(next_wake(None, None, None), None);
    }
}
