//! What becomes of a message that came in. When [`take`] returns, it is durable or needs not be, and the
//! broker may be told; when it fails, the store has failed and the broker keeps the message.

use std::sync::Arc;

use log::{info, warn};

use super::connection::Delivery;
use super::wire::{Approval, Incoming, Topics};
use crate::command::{Command, Denial, Refused};
use crate::metrics::Metrics;
use crate::store::{self, Accepted, Broker, Destination, Origin, Store, StoreError};

/// What is needed to take a message in.
#[derive(Debug, Clone)]
pub(super) struct Door {
    pub(super) topics: Topics,
    /// Where it comes from, and where answers go.
    pub(super) broker: Broker,
    pub(super) store: Store,
    pub(super) metrics: Arc<Metrics>,
}

/// Takes a message in.
pub(super) async fn take(door: &Door, delivery: &Delivery) -> Result<(), StoreError> {
    match door.topics.parse(&delivery.topic) {
        Some(Incoming::Command) => command(door, delivery).await,
        Some(_) if delivery.retain => {
            // It would be carried out again at each connection, whoever waits then.
            warn!(topic:% = delivery.topic; "a retained message is ignored; publish it without the retain flag");
            Ok(())
        }
        Some(Incoming::Approve(id)) => approve(door, &id, delivery).await,
        Some(Incoming::Cancel(id)) => {
            if !door.store.cancel(&id).await? {
                info!(command_id:% = id; "nothing to cancel: there is no such command, or it has begun");
            }
            Ok(())
        }
        None => {
            warn!(topic:% = delivery.topic; "a message on a topic that is none of ours is ignored");
            Ok(())
        }
    }
}

async fn command(door: &Door, delivery: &Delivery) -> Result<(), StoreError> {
    let parsed = Command::parse(&delivery.payload);
    let asked = parsed.as_ref().ok();
    let correlation = delivery.correlation.clone().or_else(|| {
        asked.and_then(|command| command.correlation_id.as_ref()).map(|id| id.as_bytes().to_vec())
    });
    let topic = delivery.response_topic.clone();
    let topic = topic.or_else(|| asked.and_then(|command| command.reply_to.clone()));
    let valid = topic.as_deref().map_or(Ok(()), Topics::check_reply);
    let reply = match (&valid, topic) {
        (Ok(()), Some(topic)) => Some(Destination::Reply { topic, correlation }),
        _ => None,
    };
    let command = match parsed {
        Ok(command) => command,
        Err(Refused { id, denial }) => return refuse(door, &id, denial, reply).await,
    };
    if let Err(denial) = valid {
        return refuse(door, &command.id, denial, None).await;
    }
    if delivery.retain {
        let denial = Denial::new(
            "retained",
            "the command has the retain flag, so that it would be given again at each connection; \
             publish it without",
        );
        return refuse(door, &command.id, denial, reply).await;
    }
    let id = command.id.clone();
    let known = (delivery.packet_id != 0).then_some(store::Delivery {
        packet_id: delivery.packet_id,
        duplicate: delivery.duplicate,
    });
    let origin = Origin {
        source: match door.broker {
            Broker::Upstream => "mqtt".into(),
            Broker::OnBoard => "mqtt-local".into(),
        },
        broker: door.broker,
        reply: reply.clone(),
        delivery: known,
    };
    match door.store.accept(command, origin).await? {
        Accepted::New(id) => {
            door.metrics.commands_accepted_total.add_one();
            info!(command_id:% = id; "command accepted");
        }
        Accepted::Repeat { id, .. } => {
            door.metrics.commands_repeated_total.add_one();
            info!(command_id:% = id; "command repeated; nothing acts again");
        }
        Accepted::Busy(denial) => return refuse(door, &id, denial, reply).await,
    }
    Ok(())
}

async fn refuse(
    door: &Door,
    id: &str,
    denial: Denial,
    reply: Option<Destination>,
) -> Result<(), StoreError> {
    door.metrics.commands_refused_total.add_one();
    warn!(command_id:% = id, code:% = denial.code, why:% = denial.message; "command refused");
    door.store.refuse(id, denial, door.broker, reply).await.map(|_| ())
}

async fn approve(door: &Door, id: &str, delivery: &Delivery) -> Result<(), StoreError> {
    let Approval { approve, by } = match Approval::parse(&delivery.payload) {
        Ok(approval) => approval,
        Err(denial) => {
            warn!(command_id:% = id, why:% = denial.message; "an approval cannot be read and is ignored");
            return Ok(());
        }
    };
    if door.store.approve(id, approve, &by).await? {
        info!(command_id:% = id, approved = approve, by:% = by; "approval taken");
    } else {
        info!(command_id:% = id, by:% = by; "no command of that id waits for approval");
    }
    Ok(())
}
