//! The work with the store: commands in, rows out, and the goodbye.
//!
//! Bounds: the window's; a goodbye takes at most [`GOODBYE`].

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use futures_util::{FutureExt as _, StreamExt as _};
use log::warn;

use super::answers::Asked;
use super::connection::{Event, Message, NotSent};
use super::errand;
use super::fault::Fault;
use super::incoming;
use super::session::{Session, given_up};
use super::wire::Presence;
use crate::command;
use crate::store::{Destination, OutboxRow, OutboxStats, Refusal, Refused, StoreError};

/// How long a shutdown waits for the broker, in all.
const GOODBYE: Duration = Duration::from_secs(2);
/// The part of [`GOODBYE`] in which rows are still sent; the rest is for the retained status.
const LAST_ROWS: Duration = Duration::from_millis(1500);
/// What a packet has besides topic, payload and correlation data, at most.
const PACKET_OVERHEAD: usize = 64;

/// What went wrong.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The store failed; the connection is fine.
    Store(StoreError),
    /// The connection is given up, for this reason.
    Connection(String),
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Session<'_> {
    /// Takes in what came, removes what was acknowledged and sends what waits.
    pub(super) async fn work(&mut self) -> Result<(), Trouble> {
        self.take_in().await?;
        // All answers that are there already, so that their rows leave in one transaction.
        while let Some(Some((asked, answer))) = self.answers.next().now_or_never() {
            self.answered(asked, answer).await?;
        }
        let now = Instant::now();
        let room = self.room(now);
        self.goes_on = false;
        for _ in 0..room {
            let Some(row) = self.ahead.next() else { break };
            self.goes_on |= !self.send(row, now).await?;
        }
        self.go_on_errand(self.room(now), now);
        Ok(())
    }

    /// How many rows may be sent now.
    fn room(&self, now: Instant) -> usize {
        let (window, pause) = (&self.link.window, &self.link.pause);
        pause.room(window.room(now), window.under_way(), now)
    }

    pub(super) fn tell_outbox(&mut self, stats: &OutboxStats) {
        self.link.door.metrics.outbox_pending.set(stats.pending);
        self.link.door.metrics.outbox_dead.set(stats.dead);
        self.tell_dead(stats.dead);
        if self.publisher.said_pending().is_some_and(|said| said != (stats.pending > 0)) {
            self.publisher.changed(Instant::now());
        }
    }

    /// Takes in what came. All at once, so that it is committed together; acknowledged in order.
    async fn take_in(&mut self) -> Result<(), Trouble> {
        let door = &self.link.door;
        let fresh = self.held.iter_mut().filter(|held| !held.is_stored);
        let taken = join_all(fresh.map(async |held| {
            let taken = incoming::take(door, &held.delivery).await;
            held.is_stored = taken.is_ok();
            taken
        }));
        let failed = taken.await.into_iter().find_map(Result::err);
        while let Some(held) = self.held.pop_front_if(|held| held.is_stored) {
            // The row is committed: from here on the broker may forget the message.
            if held.delivery.packet_id != 0 {
                let handed = self.client.acknowledge(held.delivery.packet_id);
                handed.map_err(|why| Trouble::Connection(given_up(why)))?;
            }
        }
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    fn tell_dead(&self, dead: u64) {
        match dead {
            0 => self.link.health.regain("outbox", None),
            dead => self.link.health.lose(
                "outbox",
                format!(
                    "the broker refuses {dead} messages, which are kept: `agentd outbox list` says why, \
                     `agentd outbox retry` sends them again"
                ),
            ),
        }
    }

    /// `false`: it is not under way, and its place in the window is free.
    async fn send(&mut self, row: OutboxRow, now: Instant) -> Result<bool, Trouble> {
        let OutboxRow { id, destination, payload, expires_at } = row;
        if expires_at.is_some_and(|at| at <= command::now()) {
            // It was read ahead. The store finds it when it is asked again.
            return Ok(false);
        }
        let (topic, correlation) = match destination {
            Destination::Own(below) => (self.link.door.topics.own(&below), None),
            Destination::Reply { topic, correlation } => (topic, correlation),
        };
        let bytes = PACKET_OVERHEAD
            + topic.len()
            + payload.len()
            + correlation.as_ref().map_or(0, |correlation| correlation.len());
        let most = self.limits.map_or(usize::MAX, |limits| limits.max_packet_bytes);
        if bytes > most {
            // Sent, it would break the connection, and at each new one again.
            let why = format!("it has {bytes} bytes; the broker takes {most}");
            self.put_back(id, Fault::Never, why, now).await?;
            return Ok(false);
        }
        let message = Message { topic, payload, retain: false, correlation, expires_at };
        match self.client.publish(message) {
            Ok(answer) => {
                self.link.window.sent(id, now);
                self.ask(Asked::Row(id), answer);
                Ok(true)
            }
            Err(NotSent::Invalid(why)) => {
                self.put_back(id, Fault::Never, why, now).await?;
                Ok(false)
            }
            Err(full) => Err(Trouble::Connection(given_up(full))),
        }
    }

    /// Takes a row that was refused out of the window: to be sent again later, or to wait for a person.
    pub(super) async fn put_back(
        &mut self,
        id: i64,
        fault: Fault,
        why: String,
        now: Instant,
    ) -> Result<(), Trouble> {
        // In the window first: where the store fails, the row must not be sent again at once all the same.
        let again_s = self.link.window.refused(id, now).as_secs();
        // A row that has been put aside makes room in the window, and has to be told in health.
        self.rows_wait = true;
        let refusal = match fault {
            Fault::Row => Refusal::Counted,
            Fault::Never => Refusal::Final,
            Fault::Broker => {
                warn!(row = id, why:% = why, again_s = again_s;
                      "an outbox row was not taken, through no fault of its own; it is sent again");
                return Ok(());
            }
        };
        match self.link.door.store.refused(id, why.clone(), refusal).await? {
            Some(Refused { dead: true, attempts }) => {
                self.link.window.forget(id);
                warn!(row = id, why:% = why, attempts = attempts;
                      "an outbox row is refused for good and put aside: see `agentd outbox list`");
            }
            Some(Refused { attempts, .. }) => {
                warn!(row = id, why:% = why, attempts = attempts, again_s = again_s;
                      "an outbox row was not taken; it is kept and sent again");
            }
            None => self.link.window.forget(id),
        }
        Ok(())
    }

    /// Sends what can be sent in time, says that the device is offline, and disconnects. What is not
    /// acknowledged by then stays in the store; commands that were not taken in stay with the broker.
    pub(super) async fn goodbye(&mut self) {
        if self.limits.is_none() {
            return;
        }
        let begun = Instant::now();
        self.held.clear();
        // The shutdown may have been heard of before the last change of the outbox.
        self.look_again();
        let rows = tokio::time::timeout(LAST_ROWS, self.last_rows());
        if let Ok(false) = rows.await {
            return;
        }
        let topic = self.link.door.topics.status();
        let said = self.publish("status", topic, Presence::Offline {}.payload(), true);
        if said.is_err() || self.client.disconnect().is_err() {
            return;
        }
        let left = GOODBYE.saturating_sub(begun.elapsed());
        // Past the deadline the connection just drops, and the broker publishes the last will.
        let _ = tokio::time::timeout(left, async {
            while !matches!(self.events.recv().await, None | Some(Event::Lost(_))) {}
        })
        .await;
    }

    /// `false`: the connection is gone.
    async fn last_rows(&mut self) -> bool {
        loop {
            match self.work().await {
                Ok(()) => {}
                Err(Trouble::Store(_)) => return true,
                Err(Trouble::Connection(_)) => return false,
            }
            let waits = self.rows_wait || self.errand.is_some() || !self.ahead.is_empty();
            if self.link.window.under_way() == 0 && !waits {
                return true;
            }
            tokio::select! {
                (brought, is_stale) = errand::back(&mut self.errand) => {
                    if self.brought(brought, is_stale).is_err() {
                        return true;
                    }
                }
                Some((asked, answer)) = self.answers.next() => {
                    match self.answered(asked, answer).await {
                        Ok(()) => {}
                        Err(Trouble::Store(_)) => return true,
                        Err(Trouble::Connection(_)) => return false,
                    }
                }
                event = self.events.recv() => match event {
                    None | Some(Event::Lost(_)) => return false,
                    Some(_) => {}
                },
            }
        }
    }
}
