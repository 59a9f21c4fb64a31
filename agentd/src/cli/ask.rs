//! `agentd ask`: gives the running daemon a command over its socket.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use serde_json::Value;

use super::socket::SocketArgs;
use super::{BAD_DATA, UNAVAILABLE, USAGE, fail};
use crate::command::{Call, Command, Outcome, Status};

#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Exit code: 0 done, 65 turned away, 69 tried and failed, or no daemon.\n\nExamples:\n  \
                        agentd ask \"turn on the pump\"\n  agentd ask --json how warm is it\n  agentd ask --health"
)]
pub(super) struct AskArgs {
    /// What to ask, in words, or a command object as JSON
    #[arg(value_name = "TEXT", required_unless_present = "health")]
    text: Vec<String>,
    #[command(flatten)]
    socket: SocketArgs,
    /// Who asks
    #[arg(long)]
    user: Option<String>,
    /// Which agent is asked, where the config has several
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// Print the outcome as JSON
    #[arg(long)]
    json: bool,
    /// Show the daemon's health instead
    #[arg(long)]
    health: bool,
}

pub(super) async fn run(args: &AskArgs) -> ExitCode {
    let client = match args.socket.client() {
        Ok(client) => client,
        Err(code) => return code,
    };
    if args.health {
        return match client.health().await {
            Ok(health) => show_health(&health, args.json),
            Err(error) => fail(UNAVAILABLE, &super::chain(&error)),
        };
    }
    let mut command = match Command::parse(args.text.join(" ").as_bytes()) {
        Ok(command) => command,
        Err(refused) => return fail(USAGE, &refused.denial.message),
    };
    command.user = args.user.clone().or(command.user);
    command.agent = args.agent.clone().or(command.agent);
    match client.command(&command).await {
        Ok(outcome) => show(&outcome, args.json),
        Err(error) => fail(UNAVAILABLE, &super::chain(&error)),
    }
}

fn show(outcome: &Outcome, json: bool) -> ExitCode {
    if json {
        println!("{}", serde_json::json!(outcome));
    } else {
        println!("{}", outcome.text);
        // Someone at a terminal wants to see why; a program that reads the reply does not.
        if std::io::stdout().is_terminal() {
            for record in &outcome.calls {
                let call = Call { tool: record.tool.clone(), args: record.args.clone() };
                println!("  {call}  {} ms", record.ms);
            }
            let (status, route) = (outcome.status.as_str(), outcome.route.as_str());
            println!("  {status}, {route}{}, {} ms", outcome.certainty(), outcome.ms);
        }
    }
    match outcome.status {
        Status::Done | Status::WaitingApproval | Status::Deferred => ExitCode::SUCCESS,
        Status::Denied | Status::Expired | Status::Cancelled => ExitCode::from(BAD_DATA),
        Status::Failed | Status::Interrupted => ExitCode::from(UNAVAILABLE),
    }
}

fn show_health(health: &Value, json: bool) -> ExitCode {
    if json {
        println!("{health}");
        return ExitCode::SUCCESS;
    }
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    println!(
        "{} {}: {}",
        text(&health["device"]),
        text(&health["version"]),
        text(&health["status"])
    );
    println!("  model   {} {}", text(&health["model"]["name"]), text(&health["model"]["state"]));
    println!("  outbox  {} waiting", health["outbox"]["pending"]);
    for entry in health["degraded"].as_array().into_iter().flatten() {
        let (component, since) = (text(&entry["component"]), text(&entry["since"]));
        println!("  lost    {component} since {since}: {}", text(&entry["cause"]));
    }
    ExitCode::SUCCESS
}
