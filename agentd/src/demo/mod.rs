//! `agentd demo`: a whole machine on this one, and a story that is checked as it is told.
//!
//! ```text
//!  observer ──MQTT──> broker (mosquitto) <──MQTT── agentd run ──pty──> greenhouse board
//!      └── what the demo says is what the observer and the board saw, not what the daemon claims
//! ```
//!
//! The daemon is a process of its own, started as a person would start it, and is talked to from
//! outside only. Every step is checked; the exit code says whether all of it was as told.

pub mod cable;
pub mod console;
pub mod greenhouse;
pub mod observer;
mod stage;

use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::command::Status;
use console::Console;
use stage::Stage;

/// How long a step may take. Only a board that is far too slow for the model needs so long.
const STEP: Duration = Duration::from_secs(90);

/// What the demo can be told.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct DemoArgs {
    /// Tell the story and end, even on a terminal.
    #[arg(long)]
    pub no_typing: bool,
    /// Keep the daemon's folder (config, database, log) and say where it is.
    #[arg(long)]
    pub keep: bool,
}

/// Tells the story. `false`: something was not as told.
pub async fn run(args: &DemoArgs) -> Result<bool> {
    let console = Console::default();
    console.title(
        "agentd demo",
        "a greenhouse on this machine: real broker, real serial line, real model",
    );
    let (mut stage, watching) = Stage::set(console).await.context("the demo cannot begin")?;
    let told = async {
        let mut all = true;
        all &= known_sentence(&mut stage).await?;
        all &= free_sentence(&mut stage).await?;
        all &= sql_answer(&mut stage).await?;
        all &= out_of_range(&mut stage).await?;
        all &= offline(&mut stage).await?;
        all &= unplugged(&mut stage).await?;
        console.line("");
        console
            .check(all, if all { "All of it was as told." } else { "Not all of it was as told." });
        if !args.no_typing && std::io::IsTerminal::is_terminal(&std::io::stdin()) {
            stage.type_away().await?;
        }
        anyhow::Ok(all)
    };
    let all = tokio::select! {
        all = told => all,
        () = watching => anyhow::bail!("the observer ended"),
    };
    let folder = stage.end(args.keep).await;
    if let Some(folder) = folder {
        console
            .aside(&format!("The daemon's config, database and log are in {}", folder.display()));
    }
    all
}

async fn known_sentence(stage: &mut Stage) -> Result<bool> {
    stage.console.step('a', "A sentence it knows: no model needed");
    let step = stage.over_mqtt("turn on the pump", STEP).await?;
    let on = stage.greenhouse.output("pump").as_deref() == Some("on");
    stage.console.check(on, "the board's pump is on, and it was told so once");
    Ok(step.outcome.status == Status::Done && on && step.wire.len() == 1)
}

async fn free_sentence(stage: &mut Stage) -> Result<bool> {
    stage.console.step('b', "A sentence it does not know: the model on this machine reads it");
    let step =
        stage.over_mqtt("I can't see a thing in here, give me some light please", STEP).await?;
    let done = step.outcome.status == Status::Done && !step.outcome.calls.is_empty();
    stage
        .console
        .check(done, "the model wrote a call, and what the reply says is what the board did");
    Ok(done)
}

async fn sql_answer(stage: &mut Stage) -> Result<bool> {
    stage.console.step('c', "A question about the past: SQL over what was polled meanwhile");
    stage.a_reading(STEP).await?;
    let step = stage.over_mqtt("average temperature over the last 24 hours", STEP).await?;
    let answered = step.outcome.status == Status::Done
        && step.outcome.calls.first().is_some_and(|call| {
            call.result.as_ref().is_some_and(|fields| fields.contains_key("mean"))
        });
    stage.console.check(answered, "the figures come from the database, not from a model");
    Ok(answered)
}

async fn out_of_range(stage: &mut Stage) -> Result<bool> {
    stage.console.step('d', "Arguments out of range: refused, and nothing reaches the port");
    let step = stage.over_mqtt("set the fan speed to 900 percent", STEP).await?;
    let refused = step.outcome.status == Status::Denied && step.wire.is_empty();
    stage.console.check(refused, "nothing crossed the wire");
    Ok(refused)
}

async fn offline(stage: &mut Stage) -> Result<bool> {
    stage.console.step('e', "The broker is gone: commands given on the spot still act");
    stage.stop_broker().await?;
    let mut all = true;
    let mut ids = Vec::new();
    for text in ["turn on the lamp", "set the fan speed to 40 percent", "turn off the pump"] {
        let step = stage.locally(text).await?;
        all &= step.outcome.status == Status::Done && step.wire.len() == 1;
        ids.push(step.outcome.id);
    }
    let waiting = stage.outbox_pending().await?;
    all &= waiting >= ids.len() as u64;
    stage.console.check(all, &format!("{waiting} messages wait in the outbox, on disk"));

    stage.console.step('f', "The broker is back: everything arrives, nothing twice");
    stage.start_broker().await?;
    let arrived = stage.observer.events_of(&ids, STEP).await;
    let drained = stage.outbox_drained(STEP).await?;
    let (doubled, missing) = stage.observer.doubled_and_missing();
    let whole = arrived == ids.len() && drained && doubled == 0 && missing == 0;
    stage.console.check(
        whole,
        &format!(
            "{arrived} of {} actions arrived, {missing} lost, {doubled} twice; the outbox is {}",
            ids.len(),
            if drained { "empty" } else { "not empty" }
        ),
    );
    Ok(all && whole)
}

async fn unplugged(stage: &mut Stage) -> Result<bool> {
    stage.console.step('g', "The cable is pulled: an honest reply, then work again");
    stage.greenhouse.unplug();
    let step = stage.over_mqtt("turn off the lamp", STEP).await?;
    let honest = step.outcome.status == Status::Failed
        && step.wire.is_empty()
        && stage.greenhouse.output("lamp").as_deref() == Some("on");
    stage.console.check(honest, "the lamp is still on, and nobody was told otherwise");
    stage.greenhouse.replug().context("the board cannot be plugged in again")?;
    stage.console.aside("The cable is plugged in again.");
    let step = stage.over_mqtt("turn off the lamp", STEP).await?;
    let off = step.outcome.status == Status::Done
        && stage.greenhouse.output("lamp").as_deref() == Some("off");
    stage.console.check(off, "the lamp is off");
    Ok(honest && off)
}
