//! `agentd audit verify`: whether the log of what was done is whole. It reads the database itself, so that it
//! works without the daemon and does not have to believe it.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;

use super::{BAD_DATA, ConfigArgs, NO_INPUT, USAGE, chain, config_error, fail};
use crate::config::Config;
use crate::store::audit::{self, Head};

#[derive(Debug, Clone, clap::Subcommand)]
pub(super) enum AuditCommand {
    /// Check the chain of hashes, and that it still holds a record that the device published
    #[command(
        after_help = "The device publishes the end of the chain as `audit` in its retained status and in its \
                      telemetry.\nExit code: 0 whole, 65 broken.\n\nExamples:\n  agentd audit verify\n  \
                      agentd audit verify --head 1234:9f86d081884c7d65... --json"
    )]
    Verify {
        #[command(flatten)]
        config: ConfigArgs,
        /// The database; default: the config's
        #[arg(long, value_name = "FILE")]
        database: Option<PathBuf>,
        /// A published end of the chain, as SEQ:HASH
        #[arg(long, value_name = "SEQ:HASH")]
        head: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(command: &AuditCommand) -> ExitCode {
    let AuditCommand::Verify { config, database, head, json } = command;
    let published = match head.as_deref().map(parse_head) {
        Some(None) => return fail(USAGE, "--head is SEQ:HASH, as 1234:9f86d081..."),
        Some(head) => head,
        None => None,
    };
    let path = match database {
        Some(path) => path.clone(),
        None => match Config::load(&config.config) {
            Ok(config) => config.store.path,
            Err(error) => return config_error(&error),
        },
    };
    let unreadable = |error| fail(NO_INPUT, &format!("{}: {}", path.display(), chain(&error)));
    let mut verdict = match audit::verify(&path) {
        Ok(verdict) => verdict,
        Err(error) => return unreadable(error),
    };
    if let (Some(published), None) = (published, &verdict.broken) {
        match audit::contains(&path, &published) {
            Ok(true) => {}
            Ok(false) => {
                verdict.broken =
                    Some(format!("it does not hold record {} as it was published", published.seq));
            }
            Err(error) => return unreadable(error),
        }
    }
    if *json {
        println!("{}", json!(verdict));
    } else {
        let Head { seq, hash } = &verdict.head;
        match &verdict.broken {
            None => println!("whole: {} records, the last is {seq}:{hash}", verdict.records),
            Some(why) => {
                println!("broken: {why} ({} records before that are right)", verdict.records)
            }
        }
    }
    if verdict.broken.is_some() { ExitCode::from(BAD_DATA) } else { ExitCode::SUCCESS }
}

fn parse_head(text: &str) -> Option<Head> {
    let (seq, hash) = text.split_once(':')?;
    let hex = hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit());
    Some(Head { seq: seq.parse().ok()?, hash: hash.to_owned() }).filter(|_| hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_published_head_is_a_number_and_a_whole_hash() {
        let hash = "0a".repeat(32);
        assert_eq!(parse_head(&format!("7:{hash}")), Some(Head { seq: 7, hash: hash.clone() }));
        for bad in [hash.clone(), format!("x:{hash}"), "7:0a".into(), format!("7:{hash}0")] {
            assert_eq!(parse_head(&bad), None, "{bad}");
        }
    }
}
