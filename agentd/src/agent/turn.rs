//! One command on its way, as a state machine without I/O.
//!
//! ```text
//!  Ask ──calls──> Approve ──all approved──> Call 0 ──ok──> Call 1 ... ──> Finish
//!   │ no calls        │ denied, or a person is needed   │ failed            ^
//!   └─────────────────┴────────────────────────────────┴───────────────────┘
//! ```
//!
//! Bounds: at most `steps` calls; the model is asked once. The plan is approved as a whole before its
//! first call, so that half of a refused plan never runs.

use agentd_tools::Effect;

use crate::command::{Call, CallRecord, Denial, Route, Status};
use crate::model::ModelError;
use crate::policy::{ApprovedCall, Verdict};
use crate::store::Plan;

/// What is to be done next.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// Ask the model for calls.
    Ask,
    /// Have policy look at these calls.
    Approve(Vec<Call>),
    /// Run the call of this index.
    Run(usize, ApprovedCall),
    /// Nothing more: tell the person.
    Finish,
}

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// The model proposed calls; none means that no tool fits.
    Proposed(Vec<Call>),
    /// There is no proposal.
    NoProposal(ModelError),
    /// What policy says of each call of the plan, in order.
    Judged(Vec<Verdict>),
    /// A call came back.
    Ran(Box<Ran>),
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

#[derive(Debug, PartialEq)]
enum State {
    Asking,
    Judging,
    Running(usize),
    Ended(Status, Option<Denial>),
}

/// The machine.
#[derive(Debug)]
pub struct Turn {
    state: State,
    steps: usize,
    plan: Plan,
    approved: Vec<ApprovedCall>,
    /// What ran, in order; calls from before an interruption have no reply.
    pub ran: Vec<Ran>,
}

impl Turn {
    /// A command that only the model can turn into calls.
    pub fn ask(model: Option<String>, steps: usize) -> Self {
        let plan = Plan { route: Route::Model, model, calls: Vec::new() };
        Self { state: State::Asking, steps, plan, approved: Vec::new(), ran: Vec::new() }
    }

    /// A command whose calls are known.
    pub fn carry_out(plan: Plan, steps: usize) -> Self {
        Self { state: State::Judging, steps, plan, approved: Vec::new(), ran: Vec::new() }
    }

    /// A command that was interrupted after these calls had ended.
    pub fn resume(plan: Plan, ran: Vec<Ran>, steps: usize) -> Self {
        Self { state: State::Judging, steps, plan, approved: Vec::new(), ran }
    }

    /// A command that ends before anything is tried.
    pub fn refuse(route: Route, status: Status, denial: Denial) -> Self {
        let plan = Plan { route, model: None, calls: Vec::new() };
        let state = State::Ended(status, Some(denial));
        Self { state, steps: 0, plan, approved: Vec::new(), ran: Vec::new() }
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
            State::Ended(..) => Step::Finish,
        }
    }

    /// Takes in what happened. An event that does not belong to the state is ignored.
    pub fn on(&mut self, event: Event) {
        match (&self.state, event) {
            (State::Asking, Event::Proposed(calls)) => self.propose(calls),
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
                let ran = *ran;
                let index = *index;
                let error = ran.error.clone();
                let ok = ran.record.ok;
                self.ran.push(ran);
                self.state = if !ok {
                    State::Ended(Status::Failed, error)
                } else if index + 1 < self.approved.len() {
                    State::Running(index + 1)
                } else {
                    State::Ended(Status::Done, None)
                };
            }
            (State::Running(_), Event::NotRecorded(denial)) => {
                self.state = State::Ended(Status::Failed, Some(denial));
            }
            (State::Asking | State::Judging | State::Running(_), Event::OutOfTime) => {
                self.end(Status::Failed, "too_late", "the command's time is up".to_owned());
            }
            _ => {}
        }
    }

    fn propose(&mut self, calls: Vec<Call>) {
        if calls.is_empty() {
            self.end(Status::Denied, "no_tool", "no tool here does that".to_owned());
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
                    self.state = State::Ended(Status::Denied, Some(denial));
                    return;
                }
            }
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
        self.state = State::Running(self.ran.len());
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
mod tests {
    use super::*;

    fn call(n: usize) -> Call {
        Call { tool: format!("tool{n}"), args: serde_json::Map::new() }
    }

    fn denied() -> Verdict {
        Verdict::Denied(Denial::new("bad_arguments", "out of range"))
    }

    fn turn(calls: usize) -> Turn {
        let mut turn = Turn::ask(Some("m".into()), 4);
        turn.on(Event::Proposed((0..calls).map(call).collect()));
        turn
    }

    #[test]
    fn the_bound_on_steps_holds_at_and_one_over() {
        assert!(matches!(turn(4).next(), Step::Approve(calls) if calls.len() == 4));
        let over = turn(5);
        assert_eq!(over.next(), Step::Finish);
        assert_eq!(over.ending().1.map(|d| d.code.as_str()), Some("too_many_steps"));
    }

    #[test]
    fn no_tool_is_a_denial_and_no_model_is_a_failure() {
        assert_eq!(turn(0).ending().0, Status::Denied);
        let mut turn = Turn::ask(None, 4);
        turn.on(Event::NoProposal(ModelError::Crashed("signal 9".into())));
        let (status, denial) = turn.ending();
        assert_eq!(status, Status::Failed);
        assert!(denial.is_some_and(|d| d.message.contains("signal 9")));
    }

    #[test]
    fn one_denied_call_of_a_plan_stops_all_of_it() {
        let mut turn = turn(2);
        turn.on(Event::Judged(vec![Verdict::NeedsPerson, denied()]));
        assert_eq!((turn.next(), turn.ending().0), (Step::Finish, Status::Denied));
    }

    #[test]
    fn a_call_that_needs_a_person_pauses_the_plan() {
        let mut turn = turn(1);
        turn.on(Event::Judged(vec![Verdict::NeedsPerson]));
        assert_eq!(turn.ending().0, Status::WaitingApproval);
        assert_eq!(turn.plan().calls, vec![call(0)]);
    }

    #[test]
    fn time_that_is_up_ends_it_once() {
        let mut turn = turn(1);
        turn.on(Event::OutOfTime);
        turn.on(Event::Judged(vec![denied()]));
        assert_eq!(turn.ending().1.map(|d| d.code.as_str()), Some("too_late"));
    }
}
