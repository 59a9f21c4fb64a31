//! How long rows are kept.
//!
//! Days are counted in the time that the daemon ran, not by the clock: a board without a battery wakes in
//! 1970 and jumps to today once it has a network, and one that lay in a drawer for a month has not had
//! its chance to send. Each such day begins with a mark of the newest row of each table; what a mark of long
//! ago covers is old.
//!
//! Bounds: `inbox` keeps [`KEEP_COMMANDS_DAYS`] of ended commands (so long does an id protect against a
//! repeat), `readings` [`KEEP_READINGS_DAYS`], `audit` and `notes` [`KEEP_ROWS`], `outbox` as configured.
//! Victims are the oldest rows. One round removes [`ROUND`] rows of a table, so that a long table does not
//! hold up those who wait for the store.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::audit;
use super::gap::Cause;
use super::outbox::{self, Limits};

/// Ended commands are kept this long.
pub const KEEP_COMMANDS_DAYS: i64 = 30;
/// Readings are kept this long.
pub const KEEP_READINGS_DAYS: i64 = 90;
/// Rows that the audit log and the log book keep.
pub const KEEP_ROWS: i64 = 100_000;
/// The most rows of one table that one round removes.
pub const ROUND: i64 = 2000;

const DAY_SECONDS: i64 = 86_400;

/// How many seconds the daemon had run before this start.
pub(super) fn ran_before(connection: &Connection) -> rusqlite::Result<i64> {
    let seconds = connection
        .prepare_cached("SELECT value FROM meta WHERE key = 'run_seconds'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(seconds.unwrap_or(0))
}

/// One round. `run_seconds` is how long the daemon has run in all. Returns how many rows went; where it
/// is not zero there may be more.
pub(super) fn housekeep(
    connection: &Connection,
    limits: Limits,
    run_seconds: i64,
    now: Timestamp,
) -> rusqlite::Result<usize> {
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('run_seconds', ?1)", [run_seconds])?;
    let day = run_seconds / DAY_SECONDS;
    mark(connection, day)?;
    let commands = covered(connection, day - KEEP_COMMANDS_DAYS, "inbox_seq")?;
    let mut gone = connection.execute(
        "DELETE FROM calls WHERE command_id IN (SELECT id FROM inbox
           WHERE seq <= ?1 AND finished_ms IS NOT NULL ORDER BY seq LIMIT ?2)",
        params![commands, ROUND],
    )?;
    gone += connection.execute(
        "DELETE FROM inbox WHERE seq IN (SELECT seq FROM inbox
           WHERE seq <= ?1 AND finished_ms IS NOT NULL ORDER BY seq LIMIT ?2)",
        params![commands, ROUND],
    )?;
    // The newest stays, so that row ids keep rising and no mark ever covers a later row.
    gone += connection.execute(
        "DELETE FROM readings WHERE rowid IN (SELECT rowid FROM readings
           WHERE rowid <= ?1 AND rowid < (SELECT max(rowid) FROM readings) ORDER BY rowid LIMIT ?2)",
        params![covered(connection, day - KEEP_READINGS_DAYS, "reading_id")?, ROUND],
    )?;
    gone += audit::forget(connection, KEEP_ROWS, ROUND)?;
    gone += connection.execute(
        "DELETE FROM notes WHERE rowid IN (SELECT rowid FROM notes
           WHERE rowid <= (SELECT max(rowid) FROM notes) - ?1 ORDER BY rowid LIMIT ?2)",
        params![KEEP_ROWS, ROUND],
    )?;
    gone += drop_rows(
        connection,
        "SELECT id FROM outbox WHERE id <= ?1 AND topic <> 'event/gap' ORDER BY id LIMIT ?2",
        covered(connection, day - limits.days, "outbox_id")?,
        Cause::Old,
    )?;
    gone += expire(connection, now)?;
    connection.execute(
        "DELETE FROM day_marks WHERE day < ?1",
        [day - KEEP_READINGS_DAYS.max(KEEP_COMMANDS_DAYS).max(limits.days)],
    )?;
    Ok(gone)
}

/// Drops rows whose lifetime is over. Returns how many there were.
pub(super) fn expire(connection: &Connection, now: Timestamp) -> rusqlite::Result<usize> {
    drop_rows(
        connection,
        "SELECT id FROM outbox WHERE expires_ms <= ?1 ORDER BY expires_ms LIMIT ?2",
        now.as_millisecond(),
        Cause::Expired,
    )
}

/// The newest row of `inbox` when yesterday began: what came after it is of yesterday or today.
pub(super) fn yesterday(connection: &Connection) -> rusqlite::Result<i64> {
    let mark = connection
        .prepare_cached("SELECT inbox_seq FROM day_marks ORDER BY day DESC LIMIT 1 OFFSET 1")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(mark.unwrap_or(0))
}

fn mark(connection: &Connection, day: i64) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT OR IGNORE INTO day_marks VALUES (?1,
             (SELECT ifnull(max(seq), 0) FROM inbox),
             (SELECT ifnull(max(id), 0) FROM outbox),
             (SELECT ifnull(max(rowid), 0) FROM readings))",
        [day],
    )?;
    Ok(())
}

/// The newest row that was there when that day began.
fn covered(connection: &Connection, day: i64, column: &str) -> rusqlite::Result<i64> {
    let sql = format!("SELECT {column} FROM day_marks WHERE day <= ?1 ORDER BY day DESC LIMIT 1");
    Ok(connection.query_row(&sql, [day], |row| row.get(0)).optional()?.unwrap_or(0))
}

fn drop_rows(
    connection: &Connection,
    select: &str,
    up_to: i64,
    cause: Cause,
) -> rusqlite::Result<usize> {
    let ids = connection
        .prepare_cached(select)?
        .query_map(params![up_to, ROUND], |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<i64>>>()?;
    for id in &ids {
        outbox::drop_row(connection, *id, cause)?;
    }
    Ok(ids.len())
}

/// How long the daemon has run in all.
pub(super) fn run_seconds(before: i64, since_start: Duration) -> i64 {
    before.saturating_add(i64::try_from(since_start.as_secs()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;
    use crate::store::outbox::Event;
    use crate::store::schema;

    const LIMITS: Limits =
        Limits { rows: 1000, bytes: 1 << 20, days: 30, attempts: 3, feedback: 10 };

    fn database() -> Connection {
        let mut connection = Connection::open_in_memory().expect("a database");
        schema::migrate(&mut connection).expect("tables");
        connection
    }

    fn count(db: &Connection, table: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM {table}");
        db.query_row(&sql, [], |row| row.get(0)).expect("counted")
    }

    fn put(db: &Connection, ttl_seconds: Option<u32>, now: Timestamp) {
        let event = Event { ttl_seconds, ..Event::new("alert", Map::new()) };
        outbox::put_event(db, LIMITS, event, now).expect("put");
    }

    fn ended(db: &Connection, id: &str) {
        let sql = "INSERT INTO inbox (id, lane, priority, source, command, state, received_ms, finished_ms)
                   VALUES (?1, 'l', 1, 's', '{}', 'done', 0, 0)";
        db.execute(sql, [id]).expect("a command");
        db.execute("INSERT INTO calls VALUES (?1, 0, 't', '{}', 0, 0, 0, '{}', 0)", [id])
            .expect("a call");
    }

    fn reading(db: &Connection) {
        db.execute("INSERT INTO readings VALUES (0, 's', 1.0)", []).expect("a reading");
    }

    /// Days that the daemon ran, whatever the clock says.
    fn run_day(db: &Connection, day: i64, now: Timestamp) -> usize {
        housekeep(db, LIMITS, day * DAY_SECONDS, now).expect("kept")
    }

    #[test]
    fn rows_go_when_the_daemon_has_run_their_days_and_not_a_day_before() {
        let (db, now) = (database(), Timestamp::UNIX_EPOCH);
        run_day(&db, 0, now);
        put(&db, None, now);
        ended(&db, "a");
        (0..2).for_each(|_| reading(&db));
        // The mark of day 1 is the first that covers them.
        for day in 1..=KEEP_COMMANDS_DAYS {
            assert_eq!(run_day(&db, day, now), 0, "day {day}");
        }
        assert_eq!(
            run_day(&db, KEEP_COMMANDS_DAYS + 1, now),
            3,
            "the command, its call, the event"
        );
        assert_eq!((count(&db, "inbox"), count(&db, "calls"), count(&db, "readings")), (0, 0, 2));
        let told: i64 = db.query_row("SELECT last FROM gap", [], |row| row.get(0)).expect("a gap");
        assert_eq!(told, 1, "the event's number is told");
        for day in KEEP_COMMANDS_DAYS + 2..=KEEP_READINGS_DAYS {
            run_day(&db, day, now);
        }
        assert_eq!(count(&db, "readings"), 2);
        run_day(&db, KEEP_READINGS_DAYS + 1, now);
        assert_eq!(
            count(&db, "readings"),
            1,
            "the newest stays, so that no later one takes its number"
        );
        assert!(count(&db, "day_marks") <= KEEP_READINGS_DAYS + 1, "marks are bounded, too");
    }

    #[test]
    fn a_clock_that_jumps_by_years_takes_nothing() {
        let db = database();
        run_day(&db, 0, Timestamp::UNIX_EPOCH);
        put(&db, None, Timestamp::UNIX_EPOCH);
        ended(&db, "a");
        let today = Timestamp::from_second(1_800_000_000).expect("a time");
        assert_eq!(run_day(&db, 1, today), 0);
        assert_eq!(run_day(&db, 2, Timestamp::UNIX_EPOCH), 0);
        assert_eq!((count(&db, "outbox"), count(&db, "inbox")), (1, 1));
    }

    #[test]
    fn a_message_with_a_lifetime_goes_at_its_end_and_not_before() {
        let (db, begun) = (database(), Timestamp::from_second(1000).expect("a time"));
        put(&db, Some(60), begun);
        let at = |second| Timestamp::from_second(second).expect("a time");
        assert_eq!(expire(&db, at(1059)).expect("looked"), 0);
        assert_eq!(expire(&db, at(1060)).expect("looked"), 1);
        assert_eq!(count(&db, "outbox"), 0);
    }

    #[test]
    fn a_round_is_bounded_and_the_next_one_goes_on() {
        let (db, now) = (database(), Timestamp::UNIX_EPOCH);
        run_day(&db, 0, now);
        for n in 0..=ROUND {
            ended(&db, &format!("c{n}"));
        }
        run_day(&db, 1, now);
        let day = KEEP_COMMANDS_DAYS + 1;
        assert_eq!(run_day(&db, day, now) as i64, 2 * ROUND, "commands and their calls");
        assert_eq!(run_day(&db, day, now), 2);
        assert_eq!(run_day(&db, day, now), 0);
    }

    #[test]
    fn the_audit_chain_is_whole_after_its_beginning_is_forgotten() {
        let (db, now) = (database(), Timestamp::UNIX_EPOCH);
        for n in 0..10 {
            audit::append(&db, "a", &json!({"n": n}), now).expect("appended");
        }
        assert_eq!(audit::forget(&db, 10, 100).expect("kept"), 0, "at the bound");
        assert_eq!(audit::forget(&db, 7, 2).expect("forgotten"), 2, "a round");
        assert_eq!(audit::forget(&db, 7, 2).expect("forgotten"), 1);
        let verdict = audit::verify_connection(&db).expect("verified");
        assert_eq!((verdict.broken, verdict.records, verdict.first_seq), (None, 7, 4));
    }
}
