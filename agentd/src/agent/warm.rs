//! Computes the prompt's static part as soon as a model is ready, so that the first person who speaks does
//! not wait for it.

use std::time::{Duration, Instant};

use log::{info, warn};

use super::{Agent, prompt};
use crate::model::State;

/// How long it may take: a prompt of a thousand tokens on the slowest board.
const PATIENCE: Duration = Duration::from_secs(300);
/// Stands for the request. What it is does not matter: it comes after all that is kept.
const REQUEST: &str = "hello";

impl Agent {
    /// Warms each worker that becomes ready. Never ends.
    pub(super) async fn keep_warm(&self) {
        let mut state = self.model.watch();
        loop {
            let ready = matches!(&*state.borrow_and_update(), State::Ready { .. });
            if ready {
                self.warm().await;
            }
            if state.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    async fn warm(&self) {
        let begun = Instant::now();
        let messages = prompt::messages(&self.preamble, REQUEST);
        let deadline = begun + PATIENCE;
        let answer =
            self.model.ask(messages, self.grammar.clone(), self.max_tokens, deadline, None).await;
        match answer {
            Ok(answer) => {
                let (tokens, ms) = (answer.usage.prefilled, answer.usage.total_ms);
                info!(tokens = tokens, ms = ms; "the prompt's static part is computed");
            }
            // A prompt that does not fit is told here, before a person finds out.
            Err(error) => {
                warn!(error:% = error; "the model cannot be asked");
                if let crate::model::ModelError::Refused(why) = error {
                    self.health.lose("model", format!("it cannot be asked: {why}"));
                }
            }
        }
    }
}
