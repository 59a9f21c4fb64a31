//! `agentd outbox`: what waits for the network, for a person to look at and to mend.

use std::process::ExitCode;

use super::socket::SocketArgs;
use super::{UNAVAILABLE, chain, fail};
use crate::client::ClientError;
use crate::store::dead::{Listed, Which};

/// Rows that are shown where nobody says how many.
const SHOWN: usize = 50;
/// How much of a topic the table shows, in characters.
const TOPIC_CHARS: usize = 40;

#[derive(Debug, Clone, clap::Subcommand)]
pub(super) enum OutboxCommand {
    /// List the messages: those that the broker refuses first, with why
    #[command(
        after_help = "Examples:\n  agentd outbox list\n  agentd outbox list --json --limit 1000"
    )]
    List {
        #[command(flatten)]
        socket: SocketArgs,
        /// Rows to show, at most 1000
        #[arg(long, default_value_t = SHOWN)]
        limit: usize,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Send messages again that the broker refused for good
    #[command(
        after_help = "Mend the broker's access rules first, or they are refused again.\n\nExamples:\n  \
                      agentd outbox retry\n  agentd outbox retry 17 18"
    )]
    Retry {
        #[command(flatten)]
        socket: SocketArgs,
        /// The messages' ids (`agentd outbox list`); default: all that are refused
        #[arg(value_name = "ID")]
        ids: Vec<i64>,
    },
    /// Remove messages for good; the fleet is told which are missing
    #[command(
        after_help = "Examples:\n  agentd outbox purge --refused\n  agentd outbox purge 17 18"
    )]
    Purge {
        #[command(flatten)]
        socket: SocketArgs,
        /// The messages' ids (`agentd outbox list`)
        #[arg(value_name = "ID", required_unless_present_any = ["refused", "all"])]
        ids: Vec<i64>,
        /// All that the broker refuses
        #[arg(long, conflicts_with_all = ["ids", "all"])]
        refused: bool,
        /// All, also those that only wait
        #[arg(long, conflicts_with = "ids")]
        all: bool,
    },
}

pub(super) async fn run(command: &OutboxCommand) -> ExitCode {
    let socket = match command {
        OutboxCommand::List { socket, .. }
        | OutboxCommand::Retry { socket, .. }
        | OutboxCommand::Purge { socket, .. } => socket,
    };
    let client = match socket.client() {
        Ok(client) => client,
        Err(code) => return code,
    };
    let done: Result<(), ClientError> = match command {
        OutboxCommand::List { limit, json, .. } => {
            client.outbox(*limit).await.map(|rows| show(&rows, *json))
        }
        OutboxCommand::Retry { ids, .. } => {
            let which = if ids.is_empty() { Which::Dead } else { Which::Ids(ids.clone()) };
            let changed = client.change_outbox(false, which).await;
            changed.map(|rows| println!("{} sent again", messages(rows)))
        }
        OutboxCommand::Purge { ids, refused, all, .. } => {
            let which = match (refused, all) {
                (true, _) => Which::Dead,
                (_, true) => Which::All,
                _ => Which::Ids(ids.clone()),
            };
            let changed = client.change_outbox(true, which).await;
            changed.map(|rows| println!("{} removed", messages(rows)))
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(UNAVAILABLE, &chain(&error)),
    }
}

fn messages(rows: usize) -> String {
    match rows {
        0 => "no message is".into(),
        1 => "1 message is".into(),
        rows => format!("{rows} messages are"),
    }
}

fn show(rows: &[Listed], json: bool) {
    if json {
        println!("{}", serde_json::json!(rows));
        return;
    }
    if rows.is_empty() {
        println!("nothing waits");
        return;
    }
    let header = ("ID", "SINCE", "PRIORITY", "BYTES", "TRIES");
    println!(
        "{:>8}  {:<20}  {:<8}  {:>7}  {:>5}  TOPIC",
        header.0, header.1, header.2, header.3, header.4
    );
    for row in rows {
        let priority = serde_json::json!(row.priority);
        let topic: String = row.topic.chars().take(TOPIC_CHARS).collect();
        println!(
            "{:>8}  {:<20}  {:<8}  {:>7}  {:>5}  {topic}",
            row.id,
            row.created_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            priority.as_str().unwrap_or_default(),
            row.bytes,
            row.attempts,
        );
        if let Some(why) = &row.dead {
            println!("{:>8}  refused for good: {why}", "");
        }
    }
}
