//! One command on its way, as a state machine without I/O.
//!
//! ```text
//!  Ask ──calls──> Approve ──all approved──> Call 0 ──ok──> Call 1 ... ──────> Finish
//!   │ no calls        │ denied, or a person is needed   │ failed                ^ ^
//!   └─────────────────┴────────────────────────────────┴───────────────────────┘ │
//!                                    cut off, and it can be asked └─> ReadBack ──┘
//! ```
//!
//! A call is cut off where the daemon stopped in the middle of it, or where its device did not say what
//! became of it. It is then settled: made again where its tool is idempotent and the daemon stopped, asked
//! for where its tool says how, else reported as not known.
//!
//! Bounds: at most `steps` calls; the model is asked for one plan. It is approved as a whole before its
//! first call, so that half of a refused plan never runs.

use agentd_tools::{Effect, Recovery};

use crate::command::{Call, CallRecord, Denial, Route, Settled, Status};
use crate::model::ModelError;
use crate::policy::{ApprovedCall, Verdict};
use crate::store::{Plan, Trace};

/// The code of a call that was cut off by a stop of the daemon.
pub const INTERRUPTED: &str = "interrupted";

/// The code of a request that no tool is for, as far as the model understood it.
pub const NO_TOOL: &str = "no_tool";

/// The code of a proposal that the model is not sure enough of.
pub const UNSURE: &str = "unsure";

/// The code of a request that does not say a value which its tool needs.
pub const VALUE_MISSING: &str = "value_missing";

/// What is to be done next.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// Ask the model for calls.
    Ask,
    /// Have policy look at these calls.
    Approve(Vec<Call>),
    /// Run the call of this index.
    Run(usize, ApprovedCall),
    /// Ask the device whether this call took effect.
    ReadBack(ApprovedCall),
    /// Nothing more: tell the person.
    Finish,
}

/// What the model makes of a request.
#[derive(Debug, Default)]
pub struct Proposal {
    /// The calls; none means that no tool fits.
    pub calls: Vec<Call>,
    /// How sure it is of them, 0 to 1.
    pub confidence: f32,
    /// What else it may be, the likeliest first.
    pub others: Vec<Vec<Call>>,
    /// What the person has to be asked, where a tool is clear and a value that it needs is not.
    pub missing: Option<String>,
    /// Which model it is of, where it may be another one than was to be asked.
    pub model: Option<String>,
}

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// The model proposed something.
    Proposed(Proposal),
    /// There is no proposal.
    NoProposal(ModelError),
    /// What policy says of each call of the plan, in order.
    Judged(Vec<Verdict>),
    /// A call came back.
    Ran(Box<Ran>),
    /// What the device says of a call that was cut off: whether it took effect, and the reply then.
    Told(Result<(bool, String), String>),
    /// The intent of the call could not be recorded, so it was not made.
    NotRecorded(Denial),
    /// The command's time is up.
    OutOfTime,
}

/// A call that came back.
#[derive(Debug, Clone, PartialEq)]
pub struct Ran {
    /// What ran and what came of it.
    pub record: CallRecord,
    /// Whether its tool acts.
    pub acted: bool,
    /// The reply rendered from its result, or what went wrong in words.
    pub reply: String,
    /// The code of its error.
    pub error: Option<Denial>,
    /// What it leaves behind.
    pub effects: Vec<Effect>,
}

impl Ran {
    /// What the store writes of it besides its record.
    pub fn trace(&self) -> Trace {
        Trace { acted: self.acted, effects: self.effects.clone() }
    }
}

#[derive(Debug, PartialEq)]
enum State {
    Asking,
    Judging,
    Running(usize),
    /// The call of this index was cut off, and its device is asked.
    ReadingBack(usize),
    Ended(Status, Option<Denial>),
}

/// The machine.
#[derive(Debug)]
pub struct Turn {
    state: State,
    steps: usize,
    least_confidence: f32,
    plan: Plan,
    approved: Vec<ApprovedCall>,
    /// What ran, in order; calls from before an interruption have no reply.
    pub ran: Vec<Ran>,
    /// A call of which it is not known whether it took effect.
    cut_off: Option<Ran>,
}

impl Turn {
    /// A command that only the model can turn into calls.
    ///
    /// `least_confidence`: what it proposes and is less sure of is asked back instead of done.
    pub fn ask(model: Option<String>, steps: usize, least_confidence: f32) -> Self {
        let plan = Plan { route: Route::Model, model, confidence: None, calls: Vec::new() };
        Self { least_confidence, ..Self::new(State::Asking, steps, plan) }
    }

    fn new(state: State, steps: usize, plan: Plan) -> Self {
        Self {
            state,
            steps,
            least_confidence: 0.0,
            plan,
            approved: Vec::new(),
            ran: Vec::new(),
            cut_off: None,
        }
    }

    /// A command whose calls are known.
    pub fn carry_out(plan: Plan, steps: usize) -> Self {
        Self::new(State::Judging, steps, plan)
    }

    /// A command that was interrupted after these calls had ended, in the middle of the one that is cut off.
    pub fn resume(plan: Plan, ran: Vec<Ran>, cut_off: Option<Ran>, steps: usize) -> Self {
        Self { ran, cut_off, ..Self::new(State::Judging, steps, plan) }
    }

    /// A command that ends before anything is tried.
    pub fn refuse(route: Route, status: Status, denial: Denial) -> Self {
        let plan = Plan { route, model: None, confidence: None, calls: Vec::new() };
        Self::new(State::Ended(status, Some(denial)), 0, plan)
    }

    /// What is to be done next. Asking again gives the same answer until an event comes in.
    pub fn next(&self) -> Step {
        match self.state {
            State::Asking => Step::Ask,
            State::Judging => Step::Approve(self.plan.calls.clone()),
            State::Running(index) => match self.approved.get(index) {
                Some(call) => Step::Run(index, call.clone()),
                None => Step::Finish,
            },
            State::ReadingBack(index) => match self.approved.get(index) {
                Some(call) => Step::ReadBack(call.clone()),
                None => Step::Finish,
            },
            State::Ended(..) => Step::Finish,
        }
    }

    /// Takes in what happened. An event that does not belong to the state is ignored.
    pub fn on(&mut self, event: Event) {
        match (&self.state, event) {
            (State::Asking, Event::Proposed(proposal)) => self.propose(proposal),
            (State::Asking, Event::NoProposal(error)) => {
                let code = match error {
                    ModelError::TooLate => "too_late",
                    ModelError::Busy => "busy",
                    _ => "model_unavailable",
                };
                self.end(Status::Failed, code, error.to_string());
            }
            (State::Judging, Event::Judged(verdicts)) => self.judge(verdicts),
            (State::Running(index), Event::Ran(ran)) => {
                let index = *index;
                self.ran(index, *ran);
            }
            (State::ReadingBack(index), Event::Told(told)) => {
                let index = *index;
                self.told(index, told);
            }
            (State::Running(_), Event::NotRecorded(denial)) => self.give_up(denial),
            (State::Ended(..), Event::OutOfTime) => {}
            (_, Event::OutOfTime) => {
                self.give_up(Denial::new("too_late", "the command's time is up"));
            }
            _ => {}
        }
    }

    /// Ends a command that cannot go on. Where a call of it was cut off, that is what has to be told.
    pub fn give_up(&mut self, denial: Denial) {
        match self.cut_off.take() {
            Some(ran) => self.interrupt(ran, "It is not repeated."),
            None => self.state = State::Ended(Status::Failed, Some(denial)),
        }
    }

    /// Ends a command of a call of which it stays unknown whether it took effect, whatever was tried then.
    fn interrupt(&mut self, mut ran: Ran, then: &str) {
        ran.reply = format!("{} {then}", ran.reply);
        let denial = ran.error.clone();
        // A device that did not answer has failed; a daemon that stopped has interrupted.
        let stopped = denial.as_ref().is_some_and(|denial| denial.code == INTERRUPTED);
        self.ran.push(ran);
        let status = if stopped { Status::Interrupted } else { Status::Failed };
        self.state = State::Ended(status, denial);
    }

    fn ran(&mut self, index: usize, mut ran: Ran) {
        if let Some(first) = self.cut_off.take() {
            ran.record.settled = Some(Settled::Repeated);
            if let Some(why) = &ran.record.error {
                // That the second attempt did nothing says nothing of the first.
                let then = format!("It was tried again, and that failed: {why}.");
                let first = Ran { record: CallRecord { ok: false, ..ran.record }, ..first };
                return self.interrupt(first, &then);
            }
        }
        let can_be_asked =
            self.approved.get(index).is_some_and(|call| call.recovery() == Recovery::ReadBack);
        if !ran.record.ok && ran.acted && can_be_asked {
            self.cut_off = Some(ran);
            self.state = State::ReadingBack(index);
            return;
        }
        let (ok, error) = (ran.record.ok, ran.error.clone());
        self.ran.push(ran);
        self.state = if ok { self.after(index) } else { State::Ended(Status::Failed, error) };
    }

    fn told(&mut self, index: usize, told: Result<(bool, String), String>) {
        let Some(mut ran) = self.cut_off.take() else { return };
        match told {
            Ok((took_effect, reply)) => {
                ran.record.settled = Some(Settled::ReadBack);
                (ran.record.ok, ran.acted, ran.reply) = (took_effect, took_effect, reply);
                if took_effect {
                    (ran.record.error, ran.error) = (None, None);
                    self.state = self.after(index);
                } else {
                    let denial = Denial::new("no_effect", "the device says that it took no effect");
                    (ran.record.error, ran.error) = (Some(denial.message.clone()), Some(denial));
                    self.state = State::Ended(Status::Failed, ran.error.clone());
                }
                self.ran.push(ran);
            }
            Err(why) => {
                self.interrupt(ran, &format!("The device was asked, and that failed: {why}."));
            }
        }
    }

    /// The state after a call that did what it was asked.
    fn after(&self, index: usize) -> State {
        if index + 1 < self.approved.len() {
            State::Running(index + 1)
        } else {
            State::Ended(Status::Done, None)
        }
    }

    fn propose(&mut self, proposal: Proposal) {
        let Proposal { calls, confidence, others, missing, model } = proposal;
        self.plan.model = model.or(self.plan.model.take());
        // Three digits are as much as it means.
        self.plan.confidence = Some((confidence * 1000.0).round() / 1000.0);
        // Where only the values of one tool are in doubt, to ask for them asks better than to name all that it may be.
        let tool = calls.first().map(|call| &call.tool);
        let is_one_tool = others.iter().flatten().all(|call| Some(&call.tool) == tool);
        let is_unsure = confidence < self.least_confidence && !(missing.is_some() && is_one_tool);
        let told: Vec<String> = std::iter::once(&calls)
            .chain(others.iter().filter(|_| is_unsure))
            .filter(|calls| !calls.is_empty())
            .map(|calls| calls.iter().map(Call::to_string).collect::<Vec<_>>().join(" and then "))
            .collect();
        if told.is_empty() {
            self.end(Status::Denied, NO_TOOL, "no tool here does that".to_owned());
        } else if is_unsure {
            let message = format!(
                "I am not sure what is meant; it may be {}. Please say it in other words",
                told.join(", or ")
            );
            self.end(Status::Denied, UNSURE, message);
        } else if let Some(missing) = missing {
            // What was understood stays in mind, so that the next words can complete it.
            self.plan.calls = calls;
            self.end(Status::Denied, VALUE_MISSING, missing);
        } else if calls.len() > self.steps {
            let message =
                format!("it takes {} calls; at most {} are made", calls.len(), self.steps);
            self.end(Status::Denied, "too_many_steps", message);
        } else {
            self.plan.calls = calls;
            self.state = State::Judging;
        }
    }

    fn judge(&mut self, verdicts: Vec<Verdict>) {
        let mut needs_person = false;
        for verdict in verdicts {
            match verdict {
                Verdict::Approved(call) => self.approved.push(call),
                Verdict::NeedsPerson => needs_person = true,
                Verdict::Denied(denial) => {
                    match self.cut_off.take() {
                        // It has begun, whatever is allowed now.
                        Some(ran) => self.interrupt(ran, "It is not repeated."),
                        None => self.state = State::Ended(Status::Denied, Some(denial)),
                    }
                    return;
                }
            }
        }
        if let Some(ran) = self.cut_off.take_if(|_| needs_person) {
            return self.interrupt(ran, "It is not repeated.");
        }
        if needs_person {
            self.end(
                Status::WaitingApproval,
                "waiting_approval",
                "a person must approve it".into(),
            );
            return;
        }
        self.plan.calls = self.approved.iter().map(ApprovedCall::to_call).collect();
        let next = self.ran.len();
        let recovery = self.approved.get(next).map(ApprovedCall::recovery);
        self.state = match (self.cut_off.take(), recovery) {
            (None, _) => State::Running(next),
            (cut_off, Some(Recovery::Repeat)) => {
                self.cut_off = cut_off;
                State::Running(next)
            }
            (cut_off, Some(Recovery::ReadBack)) => {
                self.cut_off = cut_off;
                State::ReadingBack(next)
            }
            (Some(ran), _) => return self.interrupt(ran, "It is not repeated."),
        };
    }

    fn end(&mut self, status: Status, code: &str, message: String) {
        self.state = State::Ended(status, Some(Denial::new(code, message)));
    }

    /// What is being carried out.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// How it ended. Before its end: as failed, which is what a stop in the middle is.
    pub fn ending(&self) -> (Status, Option<&Denial>) {
        match &self.state {
            State::Ended(status, denial) => (*status, denial.as_ref()),
            _ => (Status::Failed, None),
        }
    }
}

#[cfg(test)]
#[path = "turn_tests.rs"]
mod tests;
