//! What the broker is asked, and what follows from its answers.

use std::time::Instant;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use log::warn;

use super::connection::{Answer, Message};
use super::drain::Trouble;
use super::fault::Fault;
use super::session::{Session, given_up};

/// What the broker was asked.
#[derive(Debug, Clone, Copy)]
pub(super) enum Asked {
    Row(i64),
    Subscription,
    Publish(&'static str),
}

impl Session<'_> {
    pub(super) fn publish(
        &mut self,
        what: &'static str,
        topic: String,
        payload: String,
        retain: bool,
    ) -> Result<(), String> {
        let message = Message { topic, payload, retain, correlation: None, expires_at: None };
        let answer = self.client.publish(message).map_err(given_up)?;
        self.ask(Asked::Publish(what), answer);
        Ok(())
    }

    pub(super) fn ask(&mut self, asked: Asked, answer: BoxFuture<'static, Answer>) {
        self.answers.push(answer.map(move |answer| (asked, answer)).boxed());
    }

    pub(super) async fn answered(&mut self, asked: Asked, answer: Answer) -> Result<(), Trouble> {
        let now = Instant::now();
        match (asked, answer) {
            // What was not answered is over with the connection, which is about to be heard of.
            (_, Answer::None) => {}
            (Asked::Row(id), Answer::Taken) => {
                self.link.window.acked(id);
                if let Some(blamed) = self.link.pause.taken(id) {
                    let why = "the broker blamed itself, but takes others".into();
                    self.put_back(blamed, Fault::Broker, why, now).await?;
                }
                self.link.health.regain(self.link.names.rows, None);
            }
            (Asked::Row(id), Answer::Refused { fault: Fault::Broker, why }) => {
                self.link.window.released(id);
                self.link.pause.refused(id, now);
                self.look_again();
                let server = &self.link.settings.server;
                let cause = format!("{server} takes no rows for now ({why}); they wait");
                self.link.health.lose(self.link.names.rows, cause);
            }
            (Asked::Row(id), Answer::Refused { fault, why }) => {
                self.put_back(id, fault, why, now).await?;
            }
            (Asked::Publish(_), Answer::Taken) => {}
            (Asked::Publish(what), Answer::Refused { why, .. }) => {
                warn!(topic = what, why:% = why; "the broker refuses a message: check its access rules");
            }
            (Asked::Subscription, answer) => {
                self.subscribed_by = None;
                // Not before: what is sent to a device that does not listen yet is lost.
                self.link.up().set(1);
                match answer {
                    Answer::Refused { why, .. } => {
                        let topic = self.link.door.topics.command();
                        let cause = format!(
                            "{}: the broker does not let this device listen to {topic} ({why}): \
                             check its access rules",
                            self.link.settings.server
                        );
                        self.link.health.lose(self.link.names.link, cause);
                    }
                    _ => self.well(),
                }
                // After `link` is back, so that the first status does not say that it is lost.
                self.look_at_status().await.map_err(Trouble::Connection)?;
                let capabilities = self.link.device.capabilities.to_string();
                let topic = self.link.door.topics.capabilities();
                let said = self.publish("capabilities", topic, capabilities, true);
                said.map_err(Trouble::Connection)?;
            }
        }
        Ok(())
    }

    /// The link is back. Says what waited for it, and whether a better broker is still missing.
    fn well(&mut self) {
        let missed = self.waited.take().map(|waited| match waited {
            0 => "no message waited".into(),
            1 => "1 message waited and is being sent".into(),
            waited => format!("{waited} messages waited and are being sent"),
        });
        let names = self.link.names;
        self.link.health.regain(names.link, missed);
        match self.link.servers.why_not_preferred() {
            Some(cause) => self.link.health.lose(names.preferred, cause),
            None => self.link.health.regain(names.preferred, None),
        }
    }
}
