//! Cases beside one another, until as many faults have happened as were asked for.
//!
//! Bound: twice as many cases as there should be, so that cases that cannot be carried out come to an end.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use tokio::task::JoinSet;

use crate::case::{self, CaseReport};
use crate::oracle::{Kind, Violation};
use crate::plan;
use crate::power::{self, PowerReport};
use crate::report::{Progress, Report};
use crate::{Args, spawn};

/// Runs the campaign and prints what came of it. `false`: something went wrong.
pub(crate) async fn run(args: &Args) -> Result<bool> {
    let seed = args.seed.unwrap_or_else(seed_of_the_clock);
    let progress = Progress::new(seed);
    let mut report = Report::new(seed);
    if let Some(case) = args.case {
        report.add(one(seed, case, args.keep).await);
    } else {
        all(args, seed, &progress, &mut report).await?;
        if args.power > 0 {
            progress.say("power cuts: the workload runs under strace");
            report.power = Some(cut_power(seed, args.power).await?);
        }
    }
    progress.end();
    report.print(args.json);
    Ok(report.is_clean())
}

async fn all(args: &Args, seed: u64, progress: &Progress, report: &mut Report) -> Result<()> {
    let mut running = JoinSet::new();
    let mut next = 0;
    let most = 2 * args.faults.div_ceil(plan::FAULTS) as u64;
    loop {
        // Faults that were called off are made up for by another case.
        let under_way = report.faults() + running.len() * plan::FAULTS;
        let wanted = under_way < args.faults && next < most;
        if wanted && running.len() < args.jobs.max(1) {
            let case = next;
            start(&mut running, seed, case, args.keep);
            next += 1;
            continue;
        }
        let Some(ended) = running.join_next().await else { return Ok(()) };
        let case = ended.context("a case panicked")?;
        progress.case(&case, report.faults() + case.report.faults.len(), args.faults);
        report.add(case);
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the campaign is what is around the daemon, not part of it"
)]
fn start(running: &mut JoinSet<Judged>, seed: u64, case: u64, keep: bool) {
    running.spawn(one(seed, case, keep));
}

/// A case that has been judged, and the folder that is kept where it is worth a look.
pub(crate) struct Judged {
    pub(crate) report: CaseReport,
    pub(crate) kept: Option<PathBuf>,
}

impl Judged {
    pub(crate) fn is_bad(&self) -> bool {
        !self.report.violations.is_empty()
    }
}

/// Runs one case in a folder that is kept where it fails or all are.
async fn one(seed: u64, case: u64, keep: bool) -> Judged {
    let folder = match tempfile::Builder::new().prefix("agentd-faults-").tempdir() {
        Ok(folder) => folder,
        Err(error) => {
            return Judged { report: broken(case, &error.into()), kept: None };
        }
    };
    let path = folder.path().to_owned();
    let ran = spawn(async move { case::run(seed, case, &path).await });
    let report = match ran.await {
        Ok(Ok(report)) => report,
        Ok(Err(error)) => broken(case, &error),
        Err(error) => broken(case, &error.into()),
    };
    let kept = (keep || !report.violations.is_empty()).then(|| folder.keep());
    Judged { report, kept }
}

/// A case that could not be brought to its end is a case that is stuck.
fn broken(case: u64, error: &anyhow::Error) -> CaseReport {
    let what = format!("the case could not be carried out: {error:#}");
    let violations = vec![Violation { kind: Kind::Stuck, what }];
    CaseReport { case, violations, ..CaseReport::default() }
}

async fn cut_power(seed: u64, commands: usize) -> Result<PowerReport> {
    let folder = tempfile::Builder::new().prefix("agentd-power-").tempdir()?;
    match power::run(seed, commands, folder.path()).await {
        Ok(report) if report.violations.is_empty() => Ok(report),
        Ok(report) => Ok(PowerReport { kept: Some(folder.keep()), ..report }),
        Err(error) => Err(error.context(format!("power cuts; kept: {}", folder.keep().display()))),
    }
}

fn seed_of_the_clock() -> u64 {
    // Milliseconds are as good a beginning as any, and short enough to be typed again.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(0) % 1_000_000_000
}
