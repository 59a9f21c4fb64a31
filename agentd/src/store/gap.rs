//! The gap: which events a consumer will never get, so that it can still prove that it has all others.
//!
//! Each event has a `seq`. Where a row with one falls to a bound, its number goes here, and the next time the
//! outbox is drained one `event/gap` names all ranges at once. A consumer that misses a number in none
//! of the ranges has lost something; inside them `events` are missing at most (a row that was under way when
//! it fell may have arrived).
//!
//! Bound: [`MAX_RANGES`] ranges. Where one more would be needed, the two that lie closest become one, which
//! then covers numbers of events that do arrive; `events` stays exact.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};
use serde_json::{Map, Value, json};

use super::outbox::{self, Event, Limits};
use crate::command::Priority;

/// The most ranges of one gap: some 4 KiB of JSON.
pub const MAX_RANGES: usize = 256;
/// The kind of the event that tells.
pub const KIND: &str = "gap";

/// Why an event will not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// It fell to the bound on rows or bytes.
    Full,
    /// It was kept for as long as it may be.
    Old,
    /// Its own lifetime was over.
    Expired,
    /// The broker refused it too often. It arrives after all if somebody has it sent again.
    Refused,
    /// A person removed it.
    Purged,
}

impl Cause {
    fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Old => "old",
            Self::Expired => "expired",
            Self::Refused => "refused",
            Self::Purged => "purged",
        }
    }
}

/// Notes the number of an event that will not arrive.
pub(super) fn add(connection: &Connection, seq: i64, cause: Cause) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO gap_counts VALUES (?1, 1)
             ON CONFLICT (cause) DO UPDATE SET events = events + 1",
        )?
        .execute([cause.as_str()])?;
    let before: Option<i64> = connection
        .prepare_cached("SELECT first FROM gap WHERE first <= ?1 AND last >= ?1 - 1 LIMIT 1")?
        .query_row([seq], |row| row.get(0))
        .optional()?;
    let after: Option<i64> = connection
        .prepare_cached("DELETE FROM gap WHERE first = ?1 + 1 RETURNING last")?
        .query_row([seq], |row| row.get(0))
        .optional()?;
    let last = after.unwrap_or(seq);
    match before {
        Some(first) => {
            connection
                .prepare_cached("UPDATE gap SET last = max(last, ?2) WHERE first = ?1")?
                .execute(params![first, last])?;
        }
        None => {
            connection
                .prepare_cached("INSERT INTO gap VALUES (?1, ?2)")?
                .execute(params![seq, last])?;
            join_closest(connection)?;
        }
    }
    Ok(())
}

fn join_closest(connection: &Connection) -> rusqlite::Result<()> {
    let ranges = ranges(connection)?;
    if ranges.len() <= MAX_RANGES {
        return Ok(());
    }
    let closest = ranges.windows(2).min_by_key(|pair| pair[1].0 - pair[0].1);
    if let Some([(first, _), (second, last)]) = closest {
        connection.execute("DELETE FROM gap WHERE first = ?1", [second])?;
        connection.execute("UPDATE gap SET last = ?2 WHERE first = ?1", [first, last])?;
    }
    Ok(())
}

fn ranges(connection: &Connection) -> rusqlite::Result<Vec<(i64, i64)>> {
    let mut statement = connection.prepare_cached("SELECT first, last FROM gap ORDER BY first")?;
    statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

/// Whether something is to be told, and nothing that tells is waiting already.
pub(super) fn is_to_be_told(connection: &Connection) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM gap)
                AND NOT EXISTS (SELECT 1 FROM outbox WHERE topic = 'event/gap')",
        )?
        .query_row([], |row| row.get(0))
}

/// Puts the event that tells into the outbox, and begins a new gap.
pub(super) fn tell(
    connection: &Connection,
    limits: Limits,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let ranges = ranges(connection)?;
    let mut statement = connection.prepare("SELECT cause, events FROM gap_counts")?;
    let causes = statement
        .query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?)))?
        .collect::<rusqlite::Result<Vec<(String, i64)>>>()?;
    drop(statement);
    let mut fields = Map::new();
    fields.insert("ranges".into(), json!(ranges));
    let events: i64 = causes.iter().map(|(_, events)| events).sum();
    fields.insert("events".into(), events.into());
    let causes: Map<String, Value> = causes.into_iter().map(|(c, n)| (c, n.into())).collect();
    fields.insert("causes".into(), causes.into());
    connection.execute_batch("DELETE FROM gap; DELETE FROM gap_counts;")?;
    let event = Event { kind: KIND, fields, priority: Priority::High, ttl_seconds: None };
    outbox::put_event(connection, limits, event, now)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::store::schema;

    fn database() -> Connection {
        let mut connection = Connection::open_in_memory().expect("a database");
        schema::migrate(&mut connection).expect("tables");
        connection
    }

    #[test]
    fn neighbours_become_one_range_from_both_sides() {
        let db = database();
        for seq in [5, 7, 6, 1, 4, 9] {
            add(&db, seq, Cause::Full).expect("noted");
        }
        assert_eq!(ranges(&db).expect("read"), [(1, 1), (4, 7), (9, 9)]);
    }

    #[test]
    fn the_bound_on_ranges_holds_at_and_one_over_and_the_closest_are_joined() {
        let db = database();
        let most = MAX_RANGES as i64;
        for n in 0..most {
            add(&db, n * 10, Cause::Full).expect("noted");
        }
        assert_eq!(ranges(&db).expect("read").len(), MAX_RANGES);
        add(&db, 13, Cause::Full).expect("noted");
        let after = ranges(&db).expect("read");
        assert_eq!((after.len(), after[1]), (MAX_RANGES, (10, 13)));
    }

    proptest! {
        #[test]
        fn every_number_lies_in_a_range_and_while_there_is_room_no_other_does(
            seqs in prop::collection::btree_set(0_i64..400, 0..200),
            order in any::<u64>(),
        ) {
            let db = database();
            let mut shuffled: Vec<i64> = seqs.iter().copied().collect();
            shuffled.sort_by_key(|seq| (*seq as u64).wrapping_mul(order | 1));
            for seq in shuffled {
                add(&db, seq, Cause::Old).expect("noted");
            }
            let covered: BTreeSet<i64> =
                ranges(&db).expect("read").into_iter().flat_map(|(a, b)| a..=b).collect();
            prop_assert_eq!(covered, seqs);
        }
    }
}
