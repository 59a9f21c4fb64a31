//! Computes the prompt's static part as soon as a model is ready, so that the first person who speaks does
//! not wait for it.

use std::time::{Duration, Instant};

use agentd_tools::spec::Priority;
use log::{info, warn};

use super::Agent;
use super::mind::Mind;
use super::view::Request;
use crate::model::{ModelError, State, Usage};

/// How long it may take: a prompt of a thousand tokens on the slowest board.
const PATIENCE: Duration = Duration::from_secs(300);
/// How soon it is tried again where the worker had other things to do.
const AGAIN: Duration = Duration::from_secs(30);
/// What is degraded where the prompt cannot be asked, whatever the models themselves are like; that of another agent than
/// the default one has its name behind it.
const COMPONENT: &str = "prompt";
/// Stands for the request. What it is does not matter: it comes after all that is kept.
const REQUEST: &str = "hello";

/// What came of an attempt.
enum Warmth {
    /// The static part is there, and the worker can be asked.
    There,
    /// It has other things to do.
    NotYet,
    /// It is of no use until something changes.
    Refused,
}

impl Agent {
    /// Warms each worker as it loads, so that it computes or restores the static part before it hears a person who
    /// waits for it already. Never ends.
    pub(super) async fn keep_warm(&self, mind: &Mind) {
        let mut state = mind.model.watch();
        let (mut warmed, mut again) = (None, false);
        loop {
            let now = state.borrow_and_update().clone();
            match now {
                State::Ready { name, .. } if warmed.as_ref() == Some(&name) => {}
                State::Loading { name } | State::Ready { name, .. } => {
                    mind.views.forget_second();
                    let mut warmth = self.warm(mind).await;
                    if matches!(warmth, Warmth::There) {
                        warmth = self.warm_second(mind).await;
                    }
                    again = matches!(warmth, Warmth::NotYet);
                    warmed = matches!(warmth, Warmth::There).then_some(name);
                }
                State::Off | State::Asleep { .. } | State::Down { .. } => {
                    mind.views.forget_second();
                    warmed = None;
                }
            }
            tokio::select! {
                changed = state.changed() => if changed.is_err() {
                    return std::future::pending().await;
                },
                () = tokio::time::sleep(AGAIN), if std::mem::take(&mut again) => {}
            }
        }
    }

    /// The second view, after the first ones of all agents that wait for their turn.
    async fn warm_second(&self, mind: &Mind) -> Warmth {
        let _turn = self.warming.lock().await;
        match mind.views.prepare_second(&mind.model, Instant::now() + PATIENCE).await {
            Ok(Some(Usage { reused, prefilled, total_ms, .. })) => {
                info!(agent = mind.name(), restored = reused, computed = prefilled, ms = total_ms;
                      "the tools in the opposite order are there too");
                Warmth::There
            }
            Ok(None) => Warmth::There,
            // Until then the model is asked once, sure or not.
            Err(error) => {
                info!(agent = mind.name(), error:% = error; "there is no second opinion yet");
                match error {
                    ModelError::TooLate | ModelError::Busy => Warmth::NotYet,
                    _ => Warmth::There,
                }
            }
        }
    }

    async fn warm(&self, mind: &Mind) -> Warmth {
        // One after the other, the default agent's first: together each would wait for all.
        let _turn = self.warming.lock().await;
        let deadline = Instant::now() + PATIENCE;
        let component = mind.config.component(COMPONENT);
        let error = match try_warm(mind, deadline).await {
            Ok(Usage { reused, prefilled, total_ms, .. }) => {
                self.metrics.model_prompts_restored_total.add(u64::from(reused > 0));
                info!(agent = mind.name(), restored = reused, computed = prefilled, ms = total_ms;
                      "the prompt's static part is there");
                self.health.regain(&component, None);
                return Warmth::There;
            }
            Err(error) => error,
        };
        match error {
            // A prompt that does not fit is told here, before a person finds out.
            ModelError::Refused(why) => {
                warn!(agent = mind.name(), why:% = why; "the model cannot be asked");
                self.health.lose(&component, format!("the model cannot be asked: {why}"));
                Warmth::Refused
            }
            // The supervisor has told what it is.
            ModelError::Unavailable(_) | ModelError::Crashed(_) => Warmth::Refused,
            ModelError::TooLate | ModelError::Busy => {
                warn!(error:% = error; "the prompt's static part is not there yet");
                Warmth::NotYet
            }
        }
    }
}

async fn try_warm(mind: &Mind, deadline: Instant) -> Result<Usage, ModelError> {
    let Mind { views, model, .. } = mind;
    let usage = views.prepare(model, deadline).await?;
    // Who spoke while it loaded would have a part of each batch taken away.
    let free = tokio::time::timeout_at(deadline.into(), model.until_unasked()).await;
    free.map_err(|_| ModelError::TooLate)?;
    // Whether there is room for a request and an answer, and the grammar compiles.
    let say = REQUEST.to_owned();
    let request = Request { say, before: Vec::new(), priority: Priority::Low, deadline };
    views.ask(model, &request, None).await?;
    Ok(usage)
}
