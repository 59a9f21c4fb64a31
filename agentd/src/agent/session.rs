//! What a session said and did before, as the next sentence needs it: to be understood by it, and to say of it what was
//! meant. The [memory](super::memory) keeps it.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::memory::{self, Exchange, Memory};
use super::turn::{NO_TOOL, Turn, UNSURE, VALUE_MISSING};
use super::{Agent, feedback, missing};
use crate::command::{Denial, Route, Status};
use crate::model::grammar;
use crate::store::Waiting;
use crate::store::feedback::Feedback;

impl Agent {
    /// What the session said and did before, where the sentence refers to it.
    pub(super) fn before(&self, waiting: &Waiting) -> Option<Exchange> {
        let text = waiting.command.text.as_deref()?;
        let specs = self.mind(&waiting.command).specs();
        // What was not done is nothing to refer to.
        let is_done = |before: &Exchange| {
            before.calls.iter().all(|call| !grammar::is_open(call, specs.iter()))
        };
        self.recall(waiting).filter(|before| memory::refers_back(text) && is_done(before))
    }

    /// What is said to the model: the command's words, behind those that they complete.
    pub(super) fn said(&self, waiting: &Waiting, route: Route) -> Option<String> {
        let (text, mind) = (waiting.command.text.as_deref()?, self.mind(&waiting.command));
        let is_new = route == Route::Model && waiting.plan.is_none();
        let before = self.recall(waiting).filter(|_| is_new);
        let completed = before.and_then(|before| missing::completed(&before, mind.specs(), text));
        Some(completed.unwrap_or_else(|| text.to_owned()))
    }

    fn recall(&self, waiting: &Waiting) -> Option<Exchange> {
        self.recall_from(&self.memory, waiting)
    }

    fn recall_from(&self, memory: &Mutex<Memory>, waiting: &Waiting) -> Option<Exchange> {
        let session = waiting.command.session.as_deref()?;
        let memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.recall(&self.conversation(waiting, session), Instant::now()).cloned()
    }

    /// What is to be kept of it to learn from.
    pub(super) fn feedback(&self, waiting: &Waiting, turn: &Turn) -> Option<Feedback> {
        let say = self.said(waiting, turn.plan().route)?;
        // What a person approved goes on here, and what they thought of it is kept.
        let is_new = waiting.approved_by.is_none();
        let status = turn.ending().0;
        // It is forgotten as soon as something is done: what was done before it is not what is corrected.
        let not_understood = match status {
            Status::Done => self.recall_from(&self.not_understood, waiting),
            _ => None,
        };
        let before = not_understood.or_else(|| self.before(waiting)).filter(|_| is_new);
        feedback::of(status, turn.plan(), &say, before.as_ref())
    }

    /// Keeps in mind what a session had done, for the sentence that refers to it, or what it was asked a value for.
    pub(super) fn remember(&self, waiting: &Waiting, turn: &Turn) {
        let said = self.said(waiting, turn.plan().route);
        let (Some(session), Some(say)) = (&waiting.command.session, said) else { return };
        let (status, denial) = turn.ending();
        let is_asked = denial.is_some_and(|denial| denial.code == VALUE_MISSING);
        let conversation = self.conversation(waiting, session);
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        if status == Status::Done || is_asked {
            let exchange = Exchange { say, calls: turn.plan().calls.clone() };
            memory.remember(&conversation, exchange, Instant::now());
        } else if status.is_final() {
            // Whoever says something else is not answering any more.
            let specs = self.mind(&waiting.command).specs();
            memory.forget_if(&conversation, |before| {
                before.calls.iter().any(|call| grammar::is_open(call, specs.iter()))
            });
        }
        drop(memory);
        self.note_misunderstanding(waiting, turn, &conversation);
    }

    /// Keeps in mind what the model could do nothing with, until something is done: whoever then says "no, turn it off"
    /// tells what was meant.
    fn note_misunderstanding(&self, waiting: &Waiting, turn: &Turn, conversation: &str) {
        let (status, denial) = turn.ending();
        let Some(say) = waiting.command.text.clone().filter(|_| status.is_final()) else { return };
        let mut not_understood = self.not_understood.lock().unwrap_or_else(PoisonError::into_inner);
        let is_one =
            |denial: &Denial| [NO_TOOL, UNSURE, VALUE_MISSING].contains(&denial.code.as_str());
        if turn.plan().route == Route::Model && denial.is_some_and(is_one) {
            // Where the correction is not understood either, the next one is still about the same.
            let is_again = feedback::corrects(&say)
                && not_understood.recall(conversation, Instant::now()).is_some();
            if !is_again {
                let exchange = Exchange { say, calls: Vec::new() };
                not_understood.remember(conversation, exchange, Instant::now());
            }
        } else {
            not_understood.forget_if(conversation, |_| true);
        }
    }

    /// What a session says to one agent: another one has other tools.
    fn conversation(&self, waiting: &Waiting, session: &str) -> String {
        format!("{}/{session}", self.mind(&waiting.command).name())
    }
}
