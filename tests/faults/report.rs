//! What a person and a program are told: progress while it runs, then the table.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{IsTerminal as _, Write as _};
use std::time::Instant;

use serde_json::{Value, json};

use crate::campaign::Judged;
use crate::fault::{CONNACK_CODES, Fault, KINDS, PUBACK_CODES};
use crate::oracle::Kind;
use crate::power::PowerReport;

/// Tells how far it is: one line that changes on a terminal, else a line for each case.
pub(crate) struct Progress {
    changing: bool,
    begun: Instant,
}

impl Progress {
    pub(crate) fn new(seed: u64) -> Self {
        eprintln!("faults: seed {seed}");
        Self { changing: std::io::stderr().is_terminal(), begun: Instant::now() }
    }

    /// A case has ended.
    pub(crate) fn case(&self, judged: &Judged, faults: usize, of: usize) {
        let report = &judged.report;
        let verdict = match report.violations.len() {
            0 => "well".to_owned(),
            n => format!("{n} VIOLATIONS"),
        };
        self.say(&format!(
            "{faults} of {of} faults, {} s; case {}: {} commands, {} actions, {} events, {} s, {verdict}",
            self.begun.elapsed().as_secs(),
            report.case,
            report.commands,
            report.actions,
            report.events,
            report.took.as_secs(),
        ));
    }

    pub(crate) fn say(&self, line: &str) {
        if self.changing {
            eprint!("\r\x1b[K{line}");
            // Progress that cannot be shown is no reason to stop.
            let _ = std::io::stderr().flush();
        } else {
            eprintln!("{line}");
        }
    }

    pub(crate) fn end(&self) {
        if self.changing {
            eprint!("\r\x1b[K");
        }
    }
}

/// All that came of a campaign.
pub(crate) struct Report {
    seed: u64,
    cases: Vec<Judged>,
    pub(crate) power: Option<PowerReport>,
    begun: Instant,
}

impl Report {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, cases: Vec::new(), power: None, begun: Instant::now() }
    }

    pub(crate) fn add(&mut self, case: Judged) {
        self.cases.push(case);
    }

    /// How many faults have happened.
    pub(crate) fn faults(&self) -> usize {
        self.cases.iter().map(|case| case.report.faults.len()).sum()
    }

    /// Whether nothing went wrong, and every reason code had its turn where there was room for all.
    pub(crate) fn is_clean(&self) -> bool {
        let power = self.power.as_ref().is_none_or(|power| power.violations.is_empty());
        let cases = !self.cases.iter().any(Judged::is_bad);
        power && cases && self.uncovered().is_empty()
    }

    fn count(&self, kind: Kind) -> usize {
        let all = self.cases.iter().flat_map(|case| &case.report.violations);
        all.filter(|violation| violation.kind == kind).count()
    }

    fn happened(&self) -> impl Iterator<Item = Fault> {
        self.cases.iter().flat_map(|case| case.report.faults.iter().copied())
    }

    /// Refusals that should have happened by now and have not.
    fn uncovered(&self) -> Vec<String> {
        if self.cases.len() < CONNACK_CODES.len() {
            return Vec::new();
        }
        let seen: BTreeSet<String> = self.happened().map(|fault| fault.to_string()).collect();
        let connects = CONNACK_CODES.map(|code| Fault::RefuseConnect { code });
        let publishes = [true, false]
            .map(|taken| PUBACK_CODES.map(|code| Fault::RefusePublish { code, taken }));
        let all = connects.into_iter().chain(publishes.into_iter().flatten());
        all.map(|fault| fault.to_string()).filter(|fault| !seen.contains(fault)).collect()
    }

    fn sums(&self) -> Value {
        let mut faults: BTreeMap<&str, usize> = KINDS.iter().map(|kind| (*kind, 0)).collect();
        for fault in self.happened() {
            *faults.entry(fault.kind()).or_default() += 1;
        }
        let faults: Vec<(&str, usize)> = KINDS.iter().map(|kind| (*kind, faults[kind])).collect();
        let sum = |of: fn(&Judged) -> usize| self.cases.iter().map(of).sum::<usize>();
        let mut sums = json!({
            "seed": self.seed,
            "cases": self.cases.len(),
            "seconds": self.begun.elapsed().as_secs(),
            "faults": faults.into_iter().map(|(kind, n)| (kind.to_owned(), n.into())).collect::<serde_json::Map<_, _>>(),
            "faults_total": self.faults(),
            "commands": sum(|case| case.report.commands),
            "actions": sum(|case| case.report.actions),
            "events": sum(|case| case.report.events),
            "repeated": sum(|case| case.report.repeated),
        });
        for kind in Kind::ALL {
            sums[kind.name()] = self.count(kind).into();
        }
        sums["codes_not_covered"] = self.uncovered().into();
        sums["violations"] = self.violations().into_iter().map(Value::from).collect();
        if let Some(power) = &self.power {
            sums["power"] = power.json();
        }
        sums
    }

    fn violations(&self) -> Vec<String> {
        let of_case = |case: &Judged| {
            let number = case.report.case;
            let told = case.report.violations.iter().map(move |v| format!("case {number}: {v}"));
            told.collect::<Vec<_>>()
        };
        self.cases.iter().flat_map(of_case).collect()
    }

    /// Prints the table, or the same as JSON, to standard output.
    pub(crate) fn print(&self, as_json: bool) {
        let sums = self.sums();
        if as_json {
            println!("{sums}");
            return;
        }
        println!("{:<20} {:>8}", "fault", "injected");
        for kind in KINDS {
            println!("{kind:<20} {:>8}", sums["faults"][kind]);
        }
        println!("{:<20} {:>8}\n", "all", self.faults());
        let columns = ["cases", "commands", "actions", "events", "repeated"];
        let columns: Vec<&str> = columns.into_iter().chain(Kind::ALL.map(Kind::name)).collect();
        for column in &columns {
            print!("{column:>9}");
        }
        println!();
        for column in &columns {
            print!("{:>9}", sums[*column].to_string());
        }
        println!();
        if let Some(power) = &self.power {
            println!("\n{power}");
        }
        for fault in self.uncovered() {
            println!("never happened: {fault}");
        }
        for case in self.cases.iter().filter(|case| case.kept.is_some() || case.is_bad()) {
            println!("\ncase {}", case.report.case);
            for violation in &case.report.violations {
                println!("{violation}");
            }
            println!("  again: make faults SEED={} CASE={}", self.seed, case.report.case);
            if let Some(kept) = &case.kept {
                println!("  kept: {}", kept.display());
            }
        }
        println!("\nseed {}, {} s", self.seed, self.begun.elapsed().as_secs());
    }
}
