//! The work with the store: commands in, rows out, and the goodbye.
//!
//! Bounds: the window's; a goodbye takes at most [`GOODBYE`].

use std::time::{Duration, Instant};

use futures_util::{FutureExt as _, StreamExt as _};
use log::warn;

use super::answers::Asked;
use super::connection::{Event, Message, NotSent};
use super::fault::Fault;
use super::incoming;
use super::session::{Session, given_up};
use super::wire::Presence;
use crate::store::{Destination, OutboxRow, StoreError};

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
        while let Some(delivery) = self.held.front() {
            incoming::take(&self.link.door, delivery).await?;
            // The row is committed: from here on the broker may forget the message.
            let packet_id = delivery.packet_id;
            self.held.pop_front();
            if packet_id != 0 {
                let handed = self.client.acknowledge(packet_id);
                handed.map_err(|why| Trouble::Connection(given_up(why)))?;
            }
        }
        // All answers that are there already, so that their rows leave in one transaction.
        while let Some(Some((asked, answer))) = self.answers.next().now_or_never() {
            self.answered(asked, answer).await.map_err(Trouble::Connection)?;
        }
        let taken = self.link.window.acknowledged();
        if !taken.is_empty() {
            let gone = self.link.door.store.delivered(taken.clone()).await?;
            self.link.window.removed(&taken);
            self.link.door.metrics.outbox_delivered_total.add(gone as u64);
        }
        let moved = self.rows_wait || !taken.is_empty();
        self.fill().await?;
        if moved {
            let pending = self.link.door.store.outbox_stats().await?.pending;
            self.link.door.metrics.outbox_pending.set(pending);
            if self.publisher.said_pending().is_some_and(|said| said != (pending > 0)) {
                self.publisher.changed(Instant::now());
            }
        }
        Ok(())
    }

    /// Sends rows while the window has room.
    async fn fill(&mut self) -> Result<(), Trouble> {
        let now = Instant::now();
        let window = &self.link.window;
        let room = self.link.pause.room(window.room(now), window.under_way(), now);
        if !self.rows_wait || room == 0 {
            return Ok(());
        }
        let skip = window.skip(now);
        let mut rows = self.link.door.store.pending(self.avoiding(skip.clone()), room).await?;
        if rows.is_empty() && self.link.pause.blamed().is_some() {
            rows = self.link.door.store.pending(skip, room).await?;
        }
        self.rows_wait = rows.len() == room;
        for row in rows {
            self.send(row, now).map_err(Trouble::Connection)?;
        }
        Ok(())
    }

    /// With the row that is tried only if there is no other.
    fn avoiding(&self, mut skip: Vec<i64>) -> Vec<i64> {
        skip.extend(self.link.pause.blamed());
        skip
    }

    fn send(&mut self, row: OutboxRow, now: Instant) -> Result<(), String> {
        let OutboxRow { id, destination, payload } = row;
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
            self.put_back(id, Fault::Never, &why, now);
            return Ok(());
        }
        match self.client.publish(Message { topic, payload, retain: false, correlation }) {
            Ok(answer) => {
                self.link.window.sent(id, now);
                self.ask(Asked::Row(id), answer);
                Ok(())
            }
            Err(NotSent::Invalid(why)) => {
                self.put_back(id, Fault::Never, &why, now);
                Ok(())
            }
            Err(full) => Err(given_up(full)),
        }
    }

    pub(super) fn put_back(&mut self, id: i64, fault: Fault, why: &str, now: Instant) {
        let again_s = self.link.window.refused(id, now).as_secs();
        warn!(row = id, fault:? = fault, why = why, again_s = again_s; "an outbox row was not taken; it is kept and sent again");
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
        self.rows_wait = true;
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
            if self.link.window.under_way() == 0 && !self.rows_wait {
                return true;
            }
            tokio::select! {
                Some((asked, answer)) = self.answers.next() => {
                    if self.answered(asked, answer).await.is_err() {
                        return false;
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
