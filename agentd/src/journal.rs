//! Where log lines go: to the systemd journal with their fields, or to standard error as text.
//!
//! ```text
//!  info!(command_id:% = id; "command admitted")
//!     ├─ under systemd ──> journal:  MESSAGE=command admitted  COMMAND_ID=...   journalctl COMMAND_ID=...
//!     └─ elsewhere ──────> stderr:   [time INFO  agentd::policy] command admitted command_id=...
//! ```
//!
//! Constraints: it is set up once, by `main`, before any other thread; a line is written by the thread
//! that logs it, so nothing is queued here and nothing is lost when the process dies. journald bounds
//! what it takes from one service (`RateLimitBurst`) and holds a writer back while it is behind.
//!
//! A key of a record becomes a field in upper case. Keys therefore never repeat one of the logger's own
//! (`message`, `priority`, `target`, `code_file`, `code_line`, `code_module`, `syslog_identifier`,
//! `syslog_pid`): journald would keep both values and show the first.

use std::io::{self, Write as _};

use env_logger::{Builder, Logger, fmt::Formatter};
use log::kv::{self, Key, Value, VisitSource};
use log::{LevelFilter, Log, Metadata, Record, SetLoggerError, warn};
use systemd_journal_logger::{JournalLog, connected_to_journal};

/// The environment variable that says what is logged: a level, or `module=level` separated by commas,
/// as in `info,agentd::link=debug`.
pub const LOG_VARIABLE: &str = "AGENTD_LOG";

/// Where the lines go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// To the journal, each key of a record as a field.
    Journal,
    /// To standard error, keys behind the message.
    Stderr,
}

/// Sets up logging for this process, and says where the lines go.
///
/// `identifier` is what `journalctl -t` selects by. `level` holds where [`LOG_VARIABLE`] is unset or
/// empty. The journal is used only if standard error is connected to it, so that a daemon started by
/// hand on a board with systemd still talks to the terminal. It fails where a logger is set already.
pub fn init(identifier: &str, level: LevelFilter) -> Result<Destination, SetLoggerError> {
    let directives = std::env::var(LOG_VARIABLE).ok();
    let mut builder = builder(directives.as_deref(), level);
    if !connected_to_journal() {
        builder.try_init()?;
        return Ok(Destination::Stderr);
    }
    match JournalLog::empty() {
        Ok(journal) => {
            let filter = builder.build();
            log::set_max_level(filter.filter());
            let journal = journal.with_syslog_identifier(identifier.to_owned());
            log::set_boxed_logger(Box::new(JournalLogger { filter, journal }))?;
            Ok(Destination::Journal)
        }
        Err(error) => {
            // The lines still reach the journal through the stream, as text: less is better than none.
            builder.try_init()?;
            warn!(
                error:% = error;
                "the journal's socket does not answer; log lines have no fields: is \
                 /run/systemd/journal visible to this service?"
            );
            Ok(Destination::Stderr)
        }
    }
}

fn builder(directives: Option<&str>, level: LevelFilter) -> Builder {
    let mut builder = Builder::new();
    match directives {
        Some(directives) if !directives.trim().is_empty() => builder.parse_filters(directives),
        _ => builder.filter_level(level),
    };
    builder.format_key_values(|line, keys| keys.visit(&mut Keys(line)).map_err(io::Error::other));
    builder
}

/// Writes the keys of a record behind its message. Values come from people, devices and brokers: their
/// control characters are escaped, so that none of them can forge a line or drive the terminal. The
/// journal needs no such care, because it takes each value with its length.
struct Keys<'a>(&'a mut Formatter);

impl<'kvs> VisitSource<'kvs> for Keys<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
        let mut text = String::new();
        for character in value.to_string().chars() {
            if character.is_control() {
                text.extend(character.escape_default());
            } else {
                text.push(character);
            }
        }
        write!(self.0, " {key}={text}")?;
        Ok(())
    }
}

/// The journal behind env_logger's filter: the journal's own logger takes every record that
/// [`log::max_level`] lets through, which cannot tell one module from another.
struct JournalLogger {
    filter: Logger,
    journal: JournalLog,
}

impl Log for JournalLogger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.filter.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if self.filter.matches(record) {
            self.journal.log(record);
        }
    }

    fn flush(&self) {
        self.journal.flush();
    }
}

#[cfg(test)]
mod tests {
    use log::Level::{Debug, Info, Warn};

    use super::*;

    #[track_caller]
    fn assert_logged(directives: Option<&str>, target: &str, level: log::Level, logged: bool) {
        let filter = builder(directives, LevelFilter::Info).build();
        let record = Record::builder().target(target).level(level).build();
        assert_eq!(filter.matches(&record), logged, "{directives:?} {target} {level}");
    }

    #[test]
    fn without_the_variable_the_given_level_holds() {
        for directives in [None, Some(""), Some(" ")] {
            assert_logged(directives, "agentd::link", Info, true);
            assert_logged(directives, "agentd::link", Debug, false);
        }
    }

    #[test]
    fn the_variable_sets_the_level_of_all_or_of_one_module() {
        assert_logged(Some("warn"), "agentd::link", Warn, true);
        assert_logged(Some("warn"), "agentd::link", Info, false);
        assert_logged(Some("info,agentd::link=debug"), "agentd::link::window", Debug, true);
        assert_logged(Some("info,agentd::link=debug"), "agentd::store", Debug, false);
        assert_logged(Some("info,rumqttc=off"), "rumqttc::state", Warn, false);
    }
}
