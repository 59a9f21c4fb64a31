//! `agentd feedback`: what people thought of what the model made of their words, to look at, export and forget.

use std::process::ExitCode;

use super::socket::SocketArgs;
use super::{UNAVAILABLE, chain, fail};
use crate::model::grammar;
use crate::store::feedback::{Kept, Which};

#[derive(Debug, Clone, clap::Subcommand)]
pub(super) enum FeedbackCommand {
    /// List what was approved, denied and corrected; with --json, one object a line
    #[command(
        after_help = "It is kept on this board alone. `agentd tune --from-history` learns from it.\n\nExamples:\n  \
                      agentd feedback list\n  agentd feedback list --json > feedback.jsonl"
    )]
    List {
        #[command(flatten)]
        socket: SocketArgs,
        /// Print JSON, one object a line
        #[arg(long)]
        json: bool,
    },
    /// Forget it for good
    #[command(
        after_help = "Examples:\n  agentd feedback forget 17 18\n  agentd feedback forget --all"
    )]
    Forget {
        #[command(flatten)]
        socket: SocketArgs,
        /// The numbers of what is to be forgotten (`agentd feedback list`)
        #[arg(value_name = "ID", required_unless_present = "all")]
        ids: Vec<i64>,
        /// All of it
        #[arg(long, conflicts_with = "ids")]
        all: bool,
    },
}

pub(super) async fn run(command: &FeedbackCommand) -> ExitCode {
    let (FeedbackCommand::List { socket, .. } | FeedbackCommand::Forget { socket, .. }) = command;
    let client = match socket.client() {
        Ok(client) => client,
        Err(code) => return code,
    };
    let done = match command {
        FeedbackCommand::List { json, .. } => {
            client.feedback().await.map(|rows| show(&rows, *json))
        }
        FeedbackCommand::Forget { ids, all, .. } => {
            let which = if *all { Which::All } else { Which::Ids(ids.clone()) };
            client.forget_feedback(which).await.map(|rows| println!("{rows} forgotten"))
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(UNAVAILABLE, &chain(&error)),
    }
}

fn show(rows: &[Kept], json: bool) {
    if json {
        rows.iter().for_each(|row| println!("{}", serde_json::json!(row)));
        return;
    }
    if rows.is_empty() {
        println!("nobody has approved, denied or corrected anything yet");
    }
    for Kept { id, at, feedback } in rows {
        let verdict = serde_json::json!(feedback.verdict);
        println!(
            "{id:>6}  {}  {:<9}  {:?}",
            at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            verdict.as_str().unwrap_or_default(),
            feedback.said.say,
        );
        if let Some(before) = &feedback.before {
            let made_of_it = match before.answer.as_str() {
                grammar::NONE => "not understood".to_owned(),
                answer => answer.replace('\n', " and then "),
            };
            println!("{:>8}after {:?}: {made_of_it}", "", before.say);
        }
        println!("{:>8}{}", "", feedback.said.answer.replace('\n', " and then "));
    }
}
