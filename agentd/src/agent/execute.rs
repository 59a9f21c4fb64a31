//! One command from the inbox to its outcome: the I/O around [`Turn`].

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use agentd_tools::{Args, Output};
use futures_util::FutureExt as _;
use log::{error, info, warn};
use tokio::sync::mpsc;
use tokio::time::timeout_at;

use super::memory::Exchange;
use super::turn::{Event, Proposal, Ran, Step, Turn};
use super::view::Request;
use super::{Agent, STORE_RETRY, missing, reply};
use crate::command::{self, CallRecord, Denial, Outcome, Priority, Route, Status, elapsed_ms};
use crate::feed::Notice;
use crate::model::{ModelError, grammar};
use crate::policy::{self, ApprovedCall, Asker, Role};
use crate::store::feedback::Feedback;
use crate::store::{Ending, Intent, Waiting};

/// Pieces of an answer that may wait for the feed; more are dropped, since the feed is only for watching.
const PIECES: usize = 64;

impl Agent {
    /// Brings a command to its outcome and gives its lane back.
    pub(super) async fn execute(&self, waiting: Waiting) -> String {
        let id = waiting.command.id.clone();
        let begun = Instant::now();
        let admitted = {
            let mut policy = self.policy.lock().unwrap_or_else(PoisonError::into_inner);
            let admitted = policy.admit(&waiting.command, command::now());
            let timeout_ms = waiting.command.timeout_ms.unwrap_or(policy.config().timeout_ms);
            // No sender may hold a lane longer than a day.
            let timeout = Duration::from_millis(timeout_ms.min(86_400_000));
            admitted.map(|role| (role, begun + timeout, policy.config().steps))
        };
        let turn = match admitted {
            // What had begun before the daemon stopped is told, whatever is allowed now.
            Err(denial) if waiting.cut_off.is_some() => {
                let mut turn = self.route(&waiting, 0);
                turn.give_up(denial);
                turn
            }
            Err(denial) => {
                let expired = denial.code == "expired";
                let status = if expired { Status::Expired } else { Status::Denied };
                Turn::refuse(Route::Direct, status, denial)
            }
            Ok((role, deadline, steps)) => {
                let mut turn = self.route(&waiting, steps);
                self.feed(Notice::Routed { id: id.clone(), route: turn.plan().route });
                self.drive(&mut turn, &waiting, role, deadline).await;
                turn
            }
        };
        let feedback = self.feedback(&waiting, &turn);
        self.remember(&waiting, &turn);
        self.finish(&waiting, &turn, feedback).await;
        waiting.lane
    }

    async fn drive(&self, turn: &mut Turn, waiting: &Waiting, role: Role, deadline: Instant) {
        loop {
            if Instant::now() >= deadline {
                turn.on(Event::OutOfTime);
            }
            match turn.next() {
                Step::Finish => return,
                Step::Ask => {
                    let event = match self.ask(waiting, deadline).await {
                        Ok(proposal) => Event::Proposed(proposal),
                        Err(error) => {
                            if matches!(error, ModelError::Unavailable(_) | ModelError::Crashed(_))
                            {
                                self.metrics.model_missed_total.add_one();
                            }
                            Event::NoProposal(error)
                        }
                    };
                    turn.on(event);
                }
                Step::Approve(calls) => {
                    let asker = Asker {
                        role,
                        tools: self.mind(&waiting.command).config.tools.as_deref(),
                        approved_by: waiting.approved_by.as_deref(),
                    };
                    let judge = |call| policy::approve(call, &asker, &self.toolbox);
                    turn.on(Event::Judged(calls.iter().map(judge).collect()));
                }
                Step::Run(step, call) => {
                    if let Err(denial) = self.may_run(turn, waiting, step, &call).await {
                        turn.on(Event::NotRecorded(denial));
                        continue;
                    }
                    let ran = self.call(&waiting.command.id, &call, deadline).await;
                    turn.on(Event::Ran(Box::new(ran)));
                }
                Step::ReadBack(call) => {
                    let told = self.read_back(&waiting.command.id, &call, deadline).await;
                    turn.on(Event::Told(told));
                }
            }
        }
    }

    async fn ask(&self, waiting: &Waiting, deadline: Instant) -> Result<Proposal, ModelError> {
        let (mind, before) = (self.mind(&waiting.command), self.before(waiting));
        let text = self.said(waiting, Route::Model).unwrap_or_default();
        let request = Request {
            before: before.into_iter().map(|Exchange { say, calls }| (say, calls)).collect(),
            say: text,
            priority: waiting.command.priority,
            deadline,
        };
        let (pieces, mut heard) = mpsc::channel(PIECES);
        let _place = match waiting.command.priority {
            Priority::High => None,
            _ => Some(timeout_at(deadline.into(), self.thinking.acquire()).await),
        };
        let answer = mind.views.ask(&mind.model, &request, Some(pieces)).fuse();
        tokio::pin!(answer);
        let (answer, was_asked_twice) = loop {
            tokio::select! {
                biased;
                Some(text) = heard.recv() => {
                    self.feed(Notice::Token { id: waiting.command.id.clone(), text });
                }
                answer = &mut answer => break answer?,
            }
        };
        info!(
            command_id:% = waiting.command.id, said:% = request.say, answer:% = answer.text, confidence = answer.confidence,
            asked_twice = was_asked_twice;
            "model answered"
        );
        self.metrics.model_second_opinions_total.add(u64::from(was_asked_twice));
        let answer = match mind.views.escalate(&mind.model, &request, &answer).await {
            None => answer,
            Some(larger) => {
                info!(
                    command_id:% = waiting.command.id, model:% = larger.model, answer:% = larger.text,
                    confidence = larger.confidence;
                    "a larger model answered"
                );
                self.metrics.model_escalations_total.add_one();
                larger
            }
        };
        let calls = grammar::parse_calls(&answer.text)
            .map_err(|why| ModelError::Refused(format!("its answer is not a call: {why}")))?;
        let others = answer.alternatives.iter();
        // What cannot be read is nothing to ask back about.
        let others = others.filter_map(|other| grammar::parse_calls(&other.text).ok()).collect();
        let missing = missing::question(&calls, mind.specs(), &request.say);
        let (confidence, model) = (answer.confidence, Some(answer.model));
        Ok(Proposal { calls, confidence, others, missing, model })
    }

    /// Whether a call may run now: one that acts only where it can be recorded.
    async fn may_run(
        &self,
        turn: &Turn,
        waiting: &Waiting,
        step: usize,
        call: &ApprovedCall,
    ) -> Result<(), Denial> {
        match &waiting.unrecorded {
            Some(why) if call.acts() => Err(Denial::new("not_recorded", why.to_string())),
            None if call.needs_intent() => self.intend(turn, waiting, step, call).await,
            _ => Ok(()),
        }
    }

    /// Commits the intent of a call. Where that fails, the call must not run.
    async fn intend(
        &self,
        turn: &Turn,
        waiting: &Waiting,
        step: usize,
        call: &ApprovedCall,
    ) -> Result<(), Denial> {
        let id = &waiting.command.id;
        let intent = Intent {
            id: id.clone(),
            plan: turn.plan().clone(),
            step,
            recovery: call.recovery(),
            before: turn.ran.iter().map(|ran| (ran.record.clone(), ran.trace())).collect(),
        };
        match self.store.begin_call(intent).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Denial::new("cancelled", "it was cancelled")),
            Err(error) => {
                error!(command_id:% = id, error:% = error; "a call cannot be recorded and is not made");
                Err(Denial::new("not_recorded", error.to_string()))
            }
        }
    }

    async fn call(&self, id: &str, approved: &ApprovedCall, deadline: Instant) -> Ran {
        let call = approved.to_call();
        self.feed(Notice::CallStarted { id: id.to_owned(), call: call.to_string() });
        self.metrics.calls_total.add_one();
        let begun = Instant::now();
        let result = self.toolbox.run(approved.tool(), approved.args(), deadline).await;
        let mut record = CallRecord {
            tool: call.tool.clone(),
            args: call.args.clone(),
            ok: result.is_ok(),
            result: None,
            error: None,
            settled: None,
            ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        };
        let (wire, ran) = match result {
            Ok(output) => {
                record.result = Some(output.fields.clone());
                let reply = self.toolbox.reply(approved.tool(), approved.args(), &output.fields);
                let Output { wire, effects, .. } = output;
                let acted = approved.acts();
                (wire, Ran { record, acted, reply, error: None, effects })
            }
            Err(failure) => {
                self.metrics.calls_failed_total.add_one();
                let told = failure.error.to_string();
                record.error = Some(told.clone());
                let reply = reply::failure(&failure.error, &call, approved.acts());
                // A call of which it is certain that nothing happened is not an action.
                let acted = approved.acts() && failure.error.effect_unknown();
                let error = Some(Denial::new(failure.error.code(), told));
                (failure.wire, Ran { record, acted, reply, error, effects: Vec::new() })
            }
        };
        let record = ran.record.clone();
        self.feed(Notice::CallEnded { id: id.to_owned(), record, wire });
        ran
    }

    /// Asks the device whether a call that was cut off took effect, and gives the reply for that.
    async fn read_back(
        &self,
        id: &str,
        approved: &ApprovedCall,
        deadline: Instant,
    ) -> Result<(bool, String), String> {
        let (tool, args) = (approved.tool(), approved.args());
        let told = self.toolbox.read_back(tool, args, deadline).await;
        let call = approved.to_call();
        match told {
            Ok(told) => {
                info!(command_id:% = id, took_effect = told.took_effect, answer:% = told.answer;
                      "a call that was cut off was read back");
                let reply = match told.took_effect {
                    true => reply::confirmed(&self.toolbox.reply(tool, args, &Args::new())),
                    false => reply::without_effect(&call),
                };
                Ok((told.took_effect, reply))
            }
            Err(failure) => {
                warn!(command_id:% = id, error:% = failure.error;
                      "a call that was cut off cannot be read back");
                Err(failure.error.to_string())
            }
        }
    }

    /// Commits the outcome. While the store fails it is tried again and the lane stays taken: a command
    /// whose effect happened must not be begun a second time.
    async fn finish(&self, waiting: &Waiting, turn: &Turn, feedback: Option<Feedback>) {
        let (status, denial) = turn.ending();
        let finished_at = command::now();
        let mut text = reply::text(turn);
        if waiting.unrecorded.is_some() && status == Status::Done {
            text.push_str(" This could not be recorded.");
        }
        let outcome = Outcome {
            id: waiting.command.id.clone(),
            status,
            text,
            route: turn.plan().route,
            model: turn.plan().model.clone(),
            confidence: turn.plan().confidence,
            calls: turn.ran.iter().map(|ran| ran.record.clone()).collect(),
            error: denial.cloned(),
            ms: elapsed_ms(waiting.received_at, finished_at),
            received_at: waiting.received_at,
            finished_at,
        };
        if waiting.unrecorded.is_some() {
            return self.store.finish_unrecorded(outcome);
        }
        let ending = Ending {
            outcome,
            traces: turn.ran.iter().map(Ran::trace).collect(),
            plan: (!status.is_final()).then(|| turn.plan().clone()),
            feedback,
        };
        loop {
            match self.store.finish(ending.clone()).await {
                Ok(_) => break,
                Err(error) => {
                    warn!(command_id:% = waiting.command.id, error:% = error; "an outcome waits for the store");
                    tokio::time::sleep(STORE_RETRY).await;
                }
            }
        }
        self.metrics.commands_finished_total.add_one();
        info!(
            command_id:% = waiting.command.id, status = status.as_str(),
            route = turn.plan().route.as_str(), ms = ending.outcome.ms;
            "command ended"
        );
    }

    fn feed(&self, notice: Notice) {
        self.store.feed().tell(notice);
    }
}
