//! From the start of a process to the end of its first command, and the memory that it takes: ours restores what it
//! has kept of the prompt, the peer computes it.
//!
//! Each side is alone while it is measured: pages of the model that both have in memory would count as half in each.

use std::time::{Duration, Instant};

use agentd_tests::Machine;
use anyhow::{Result, ensure};
use rustix::process::Signal;
use serde_json::{Map, Value, json};

use super::super::latency::memory;
use super::command::TOOLS;
use super::form::Form;
use super::pair::{by_model, milliseconds, setting, until_warm};
use super::peer::Server;
use super::ratio::{Aim, Sides, short};
use super::toolset::{Marks, Toolset};
use super::{Bench, CONTEXT, SAY, worded};

/// How often memory is looked at, for which the kernel walks all pages of a process.
const LOOK: Duration = Duration::from_millis(50);

pub(super) async fn measure(bench: &Bench) -> Result<Map<String, Value>> {
    // Texts are copied in all configs that come with the daemon.
    let tools = Toolset::of(TOOLS)?.copying()?;
    let mut machine = Machine::start(setting(bench, &tools, CONTEXT)).await;
    // From here on the prompt's state is on the disk.
    until_warm(&machine).await;
    machine.end_daemon(Signal::TERM).await;
    let mut marks = Marks::default();
    let (mut times, mut peaks) = (Sides::default(), Sides::default());
    let mut parts = (0.0, 0.0);
    // The first round is not counted: it brings the peer's program and its marks.
    for round in 0..=bench.rounds {
        // None that was said before a restart: the answer would be guessed whole.
        let say = worded(SAY[0], round);
        let (ours, our_peak) = ours(&mut machine, &say, &mut parts).await?;
        let (peer, peer_peak) = peer(bench, &tools, &say, &mut marks).await?;
        if round > 0 {
            times.add(ours, peer);
            peaks.add(our_peak, peer_peak);
        }
    }
    let parts = json!({"daemon": short(parts.0), "worker": short(parts.1)});
    Ok(Map::from_iter([
        ("start_to_first_command_ms".to_owned(), times.told(Some(Aim::AtMost(0.2)))),
        ("peak_pss_mib".to_owned(), peaks.told(Some(Aim::AtMost(1.0)))),
        ("peak_pss_mib_ours".to_owned(), parts),
    ]))
}

/// Milliseconds to the end of the first command, and the most memory in MiB while more of them were carried out.
async fn ours(machine: &mut Machine, say: &str, parts: &mut (f64, f64)) -> Result<(f64, f64)> {
    let begun = Instant::now();
    machine.start_daemon().await;
    let outcome = machine.ask(say).await;
    let first = milliseconds(begun.elapsed());
    ensure!(by_model(&outcome), "the first command was not answered by the model: {outcome:?}");
    // It is told once the worker has gone through a whole ask of its own, which may be after the first command.
    let is_restored =
        async |m: &Machine| m.metric("agentd_model_prompts_restored_total").await == 1;
    machine.until("the prompt's state is restored", is_restored).await;
    let mut pids = vec![machine.daemon_pid()];
    pids.extend(machine.worker_pids());
    let more = async {
        for say in SAY {
            machine.ask(say).await;
        }
        Ok(())
    };
    let peak = peak_pss(&pids, more).await?;
    parts.0 = parts.0.max(peak.first().copied().unwrap_or(0.0));
    parts.1 = parts.1.max(peak.iter().skip(1).sum());
    machine.end_daemon(Signal::TERM).await;
    Ok((first, peak.iter().sum()))
}

/// The same of the peer, which answers in JSON, without spaces: what is compared is the start.
async fn peer(bench: &Bench, tools: &Toolset, say: &str, marks: &mut Marks) -> Result<(f64, f64)> {
    let form = Form::tight_json(&tools.specs);
    let begun = Instant::now();
    let mut server = Server::start(bench, CONTEXT, 1).await?;
    if marks.begin.is_empty() {
        server.learn_marks().await?;
        *marks = server.marks.clone();
    }
    server.complete(&tools.prompt(marks, &[], say), &form).await?;
    let first = milliseconds(begun.elapsed());
    let more = async {
        for say in SAY {
            server.complete(&tools.prompt(marks, &[], say), &form).await?;
        }
        Ok(())
    };
    let peak = peak_pss(&[server.pid()?], more).await?;
    server.end().await?;
    Ok((first, peak.iter().sum()))
}

/// The most proportional memory of each process while something is done, in MiB.
async fn peak_pss(pids: &[i32], work: impl Future<Output = Result<()>>) -> Result<Vec<f64>> {
    let mut most = vec![0.0_f64; pids.len()];
    let look = |most: &mut Vec<f64>| {
        for (most, pid) in most.iter_mut().zip(pids) {
            *most = most.max(memory(*pid).1);
        }
    };
    let mut work = Box::pin(work);
    loop {
        look(&mut most);
        tokio::select! {
            done = &mut work => {
                look(&mut most);
                return done.map(|()| most);
            }
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}
