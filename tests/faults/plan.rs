//! What happens in one case, in which order: a pure function of the campaign's seed and the case's
//! number. Only how long each thing takes is left to the machine.
//!
//! ```text
//!  Send ... Begin(fault) Send ... [Begin(another) ...] End(fault) Send ...     ten faults a case
//! ```
//!
//! Every case refuses one connection and one publish. The reason codes go round with the case's number,
//! so that any [`CONNACK_CODES`]`.len()` cases in a row have covered all of them.

use crate::fault::{CONNACK_CODES, Fault, Moment, PUBACK_CODES};
use crate::random::Random;

/// Faults of a case: enough to meet one another, few enough that a failing case can be read.
pub(crate) const FAULTS: usize = 10;
/// The longest line that crosses the wire to the broker is longer; a cut falls into it or at its end.
const CUT_WITHIN: u64 = 600;
/// How far the clock jumps at most: more than a year, as when a board without a battery finds its time server.
const JUMP_SECONDS: u64 = 400 * 86_400;

/// A case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) steps: Vec<Step>,
}

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// A command is given.
    Send(Order),
    /// The command of this number is given once more, under the same id.
    Again(u32),
    /// The command of this number is taken back.
    Cancel(u32),
    /// A fault begins, or lies in wait for the traffic that it needs.
    Begin(usize, Fault),
    /// It ends. Where it lay in wait, it has happened by now or is called off.
    End(usize),
    /// Nothing happens for so many milliseconds.
    Pause(u64),
}

/// A command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Order {
    /// It stands in the words, on the wire and in the record: by it everything is counted.
    pub(crate) number: u32,
    pub(crate) what: What,
    pub(crate) way: Way,
    /// Commands of one session keep their order; others may overtake.
    pub(crate) session: Option<u64>,
}

/// What a command asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// An action that must not be repeated.
    Mark,
    /// One that may.
    Level,
    /// One that must not, but of which the board can be asked whether it was done.
    Press,
    /// One that a person has to approve.
    Stamp,
    /// A look at the board.
    Read,
    /// A line in the log book, and its event.
    Note,
    /// An event.
    Alert,
    /// A `Mark` in words that only the model knows, which takes so long over it.
    Think { ms: u64 },
}

/// How a command comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// As JSON over MQTT.
    Mqtt,
    /// As plain words over MQTT: the sender has given no id.
    Words,
    /// Over the daemon's socket.
    Socket,
}

impl Order {
    /// The command's words.
    pub(crate) fn text(self) -> String {
        let number = self.number;
        match self.what {
            What::Mark => format!("mark {number}"),
            What::Level => format!("level {number}"),
            What::Press => format!("press {number}"),
            What::Stamp => format!("stamp {number}"),
            What::Read => format!("read {number}"),
            What::Note => format!("note number {number}"),
            What::Alert => format!("call because number {number}"),
            What::Think { .. } => format!("think of {number}"),
        }
    }

    /// The id that its sender gives it.
    pub(crate) fn id(self) -> Option<String> {
        (self.way != Way::Words).then(|| format!("c{}", self.number))
    }
}

impl Plan {
    /// The plan of this case.
    pub(crate) fn new(seed: u64, case: u64) -> Self {
        let mut writer = Writer {
            random: Random::new(seed, case),
            steps: Vec::new(),
            next: 1,
            open: Vec::new(),
        };
        let faults = faults(&mut writer.random, case);
        for (index, fault) in faults.into_iter().enumerate() {
            writer.fault(index, fault);
        }
        writer.end_all(|_| true);
        writer.orders(1, 2);
        Self { steps: writer.steps }
    }

    /// All commands.
    pub(crate) fn orders(&self) -> impl Iterator<Item = Order> {
        self.steps.iter().filter_map(|step| match step {
            Step::Send(order) => Some(*order),
            _ => None,
        })
    }
}

/// The two that every case has, and eight that chance chooses, in an order of chance.
fn faults(random: &mut Random, case: u64) -> Vec<Fault> {
    let round = usize::try_from(case).unwrap_or(0);
    let taken = (round / PUBACK_CODES.len()).is_multiple_of(2);
    let mut faults = vec![
        Fault::RefuseConnect { code: CONNACK_CODES[round % CONNACK_CODES.len()] },
        Fault::RefusePublish { code: PUBACK_CODES[round % PUBACK_CODES.len()], taken },
    ];
    while faults.len() < FAULTS {
        let at = random.between(0, faults.len() as u64) as usize;
        let fault = any(random);
        faults.insert(at, fault);
    }
    faults
}

fn any(random: &mut Random) -> Fault {
    let at = random.between(1, CUT_WITHIN) as usize;
    let jump = random.between(1, JUMP_SECONDS) as i64;
    let left = random.between(0, 64 * 1024);
    let ms = random.between(5, 80);
    let slow = random.between(100, 1500);
    let passed = random.one_in(2);
    let seconds = if random.one_in(2) { jump } else { -jump };
    random.weighted(&[
        (2, Fault::KillDaemon(Moment::Now)),
        (4, Fault::KillDaemon(Moment::Acting)),
        (3, Fault::KillDaemon(Moment::Publishing { passed })),
        (2, Fault::KillDaemon(Moment::Acknowledged)),
        (3, Fault::KillDaemon(Moment::Accepting { passed })),
        (2, Fault::StopDaemon),
        (3, Fault::KillWorker),
        (3, Fault::StopBroker),
        (2, Fault::CutUp { at }),
        (2, Fault::CutDown { at }),
        (2, Fault::Delay { ms }),
        (1, Fault::Silence),
        (4, Fault::Duplicate),
        (3, Fault::ReorderUp),
        (3, Fault::ReorderDown),
        (3, Fault::FillDisk { left }),
        (2, Fault::ReadOnlyDisk),
        (3, Fault::Unplug),
        (2, Fault::Slow { ms: slow }),
        (2, Fault::Mute),
        (2, Fault::Garbage),
        (4, Fault::Clock { seconds }),
    ])
}

struct Writer {
    random: Random,
    steps: Vec<Step>,
    next: u32,
    /// Faults that have begun and not ended.
    open: Vec<(usize, Fault)>,
}

impl Writer {
    fn fault(&mut self, index: usize, fault: Fault) {
        self.orders(0, 2);
        if fault == Fault::KillWorker {
            let ms = self.random.between(200, 600);
            self.order(What::Think { ms }, Way::Mqtt);
        }
        self.end_all(|(_, open)| {
            // A disk that is read-only cannot be emptied either.
            let alone = fault.needs_traffic() || fault == Fault::ReadOnlyDisk;
            open.kind() == fault.kind() || alone && open.stops_traffic()
        });
        self.steps.push(Step::Begin(index, fault));
        self.open.push((index, fault));
        if fault.needs_traffic() {
            // The sender's own id is what most repeats are known by; without one, only the delivery is.
            let words = fault == Fault::Duplicate && self.random.one_in(2);
            self.order(What::Mark, if words { Way::Words } else { Way::Mqtt });
        }
        if fault == Fault::ReorderDown {
            self.order(What::Mark, Way::Mqtt);
        }
        self.orders(1, 2);
        let pause = self.random.between(0, 300);
        self.steps.push(Step::Pause(pause));
        let stays = fault.may_overlap() && self.random.one_in(2);
        self.end_all(|(open, _)| open != index || !stays);
    }

    fn end_all(&mut self, ends: impl Fn((usize, Fault)) -> bool) {
        let (over, open): (Vec<_>, Vec<_>) = self.open.drain(..).partition(|open| ends(*open));
        self.open = open;
        self.steps.extend(over.into_iter().map(|(index, _)| Step::End(index)));
    }

    fn orders(&mut self, from: u64, to: u64) {
        for _ in 0..self.random.between(from, to) {
            let ms = self.random.between(0, 400);
            let what = self.random.weighted(&[
                (8, What::Mark),
                (3, What::Level),
                (3, What::Press),
                (1, What::Stamp),
                (1, What::Read),
                (2, What::Note),
                (1, What::Alert),
                (2, What::Think { ms }),
            ]);
            let way = self.random.weighted(&[(4, Way::Mqtt), (1, Way::Words), (2, Way::Socket)]);
            self.order(what, way);
            let number = self.next - 1;
            if way != Way::Words && self.random.one_in(8) {
                self.steps.push(Step::Again(number));
            }
            if way != Way::Words && self.random.one_in(20) {
                self.steps.push(Step::Cancel(number));
            }
        }
    }

    fn order(&mut self, what: What, way: Way) {
        // Plain words name no session.
        let named = way != Way::Words && self.random.one_in(2);
        let session = named.then(|| self.random.between(1, 3));
        self.steps.push(Step::Send(Order { number: self.next, what, way, session }));
        self.next += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_same_seed_and_case_give_the_same_plan_and_others_give_another() {
        assert_eq!(Plan::new(7, 3), Plan::new(7, 3));
        assert_ne!(Plan::new(7, 3), Plan::new(7, 4));
        assert_ne!(Plan::new(7, 3), Plan::new(8, 3));
    }

    #[test]
    fn every_fault_begins_and_ends_once_and_every_command_has_a_number_of_its_own() {
        for case in 0..200 {
            let plan = Plan::new(1, case);
            let mut open = BTreeSet::new();
            let (mut begun, mut ended) = (0, 0);
            for step in &plan.steps {
                match step {
                    Step::Begin(index, fault) => {
                        begun += usize::from(open.insert(*index));
                        assert!(open.len() == 1 || open.len() == 2, "{plan:?}");
                        assert!(fault.kind().len() > 3);
                    }
                    Step::End(index) => ended += usize::from(open.remove(index)),
                    _ => {}
                }
            }
            assert_eq!((begun, ended, open.len()), (FAULTS, FAULTS, 0));
            let numbers: Vec<u32> = plan.orders().map(|order| order.number).collect();
            assert_eq!(numbers, (1..=numbers.len() as u32).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_fault_that_needs_traffic_gets_a_command_while_nothing_stops_it() {
        for case in 0..200 {
            let plan = Plan::new(2, case);
            let mut open: Vec<(usize, Fault)> = Vec::new();
            for (at, step) in plan.steps.iter().enumerate() {
                match *step {
                    Step::Begin(index, fault) => {
                        if fault.needs_traffic() {
                            assert!(!open.iter().any(|(_, open)| open.stops_traffic()));
                            let next = plan.steps[at + 1];
                            assert!(matches!(next, Step::Send(Order { what: What::Mark, .. })));
                        }
                        open.push((index, fault));
                    }
                    Step::End(index) => open.retain(|(other, _)| *other != index),
                    _ => {}
                }
            }
        }
    }

    #[test]
    fn as_many_cases_as_there_are_codes_cover_every_code_and_both_ways_of_refusing_a_publish() {
        let mut codes = BTreeSet::new();
        for case in 5..5 + CONNACK_CODES.len() as u64 {
            for step in Plan::new(3, case).steps {
                match step {
                    Step::Begin(_, Fault::RefuseConnect { code }) => codes.insert((code, None)),
                    Step::Begin(_, Fault::RefusePublish { code, taken }) => {
                        codes.insert((code, Some(taken)))
                    }
                    _ => true,
                };
            }
        }
        assert_eq!(codes.len(), CONNACK_CODES.len() + 2 * PUBACK_CODES.len());
    }

    #[test]
    fn chance_chooses_every_kind() {
        let mut kinds = BTreeSet::new();
        for case in 0..100 {
            for step in Plan::new(4, case).steps {
                if let Step::Begin(_, fault) = step {
                    kinds.insert(fault.kind());
                }
            }
        }
        assert_eq!(kinds.len(), crate::fault::KINDS.len());
    }
}
