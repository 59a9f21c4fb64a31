//! The tables, and how an older database becomes a newer one. How long rows are kept is
//! [`super::retention`]'s care.

use rusqlite::Connection;

/// Each entry brings a database from the version of its index to the next one.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE meta (key TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;

    CREATE TABLE inbox (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        lane TEXT NOT NULL,
        priority INTEGER NOT NULL,
        source TEXT NOT NULL,
        command TEXT NOT NULL,
        state TEXT NOT NULL,            -- waiting, waiting_approval, or the final status
        received_ms INTEGER NOT NULL,
        finished_ms INTEGER,
        reply_topic TEXT,
        reply_correlation BLOB,
        packet_id INTEGER,              -- of an MQTT delivery, to know its redelivery by
        payload_hash BLOB,
        plan TEXT,                      -- what was routed and is being carried out
        approved_by TEXT,
        outcome TEXT
    ) STRICT;
    CREATE INDEX inbox_open ON inbox (priority DESC, seq) WHERE state = 'waiting';
    CREATE INDEX inbox_delivery ON inbox (packet_id, seq) WHERE packet_id IS NOT NULL;
    CREATE INDEX inbox_finished ON inbox (finished_ms) WHERE finished_ms IS NOT NULL;

    CREATE TABLE calls (
        command_id TEXT NOT NULL,
        step INTEGER NOT NULL,
        tool TEXT NOT NULL,
        args TEXT NOT NULL,
        acts INTEGER NOT NULL,
        idempotent INTEGER NOT NULL,
        begun_ms INTEGER NOT NULL,
        record TEXT,                    -- the CallRecord; NULL while the effect is unknown
        PRIMARY KEY (command_id, step)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE outbox (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        topic TEXT NOT NULL,
        own INTEGER NOT NULL,           -- 1: below agentd/<device>/, 0: the topic as it stands
        payload TEXT NOT NULL,
        correlation BLOB,
        priority INTEGER NOT NULL,
        created_ms INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX outbox_order ON outbox (priority DESC, id);
    CREATE TABLE outbox_totals (rows INTEGER NOT NULL, bytes INTEGER NOT NULL) STRICT;
    INSERT INTO outbox_totals VALUES (0, 0);
    CREATE TRIGGER outbox_in AFTER INSERT ON outbox BEGIN
        UPDATE outbox_totals SET rows = rows + 1, bytes = bytes + length(new.topic) + octet_length(new.payload);
    END;
    CREATE TRIGGER outbox_out AFTER DELETE ON outbox BEGIN
        UPDATE outbox_totals SET rows = rows - 1, bytes = bytes - length(old.topic) - octet_length(old.payload);
    END;

    CREATE TABLE readings (
        at INTEGER NOT NULL,            -- seconds since 1970
        sensor TEXT NOT NULL,
        value REAL NOT NULL
    ) STRICT;
    CREATE INDEX readings_by_sensor ON readings (sensor, at);
    CREATE INDEX readings_by_time ON readings (at);

    CREATE TABLE notes (
        at INTEGER NOT NULL,            -- seconds since 1970
        text TEXT NOT NULL,
        command_id TEXT NOT NULL
    ) STRICT;

    CREATE TABLE audit (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        at_ms INTEGER NOT NULL,
        command_id TEXT NOT NULL,
        record TEXT NOT NULL,
        hash BLOB NOT NULL              -- SHA-256 of the hash before and this record
    ) STRICT;
", "
    -- Rows for the broker on the board, lifetimes, refusals, and what the seq of lost events was.
    ALTER TABLE inbox ADD COLUMN broker INTEGER NOT NULL DEFAULT 0;   -- where it came in
    ALTER TABLE calls ADD COLUMN read_back INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE outbox ADD COLUMN broker INTEGER NOT NULL DEFAULT 0;  -- 0 upstream, 1 on the board
    ALTER TABLE outbox ADD COLUMN seq INTEGER;                        -- of an event
    ALTER TABLE outbox ADD COLUMN expires_ms INTEGER;
    ALTER TABLE outbox ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE outbox ADD COLUMN dead TEXT;                          -- why it is not sent any more
    UPDATE outbox SET seq = payload ->> 'seq' WHERE own = 1 AND topic LIKE 'event/%';
    DROP INDEX outbox_order;
    CREATE INDEX outbox_order ON outbox (broker, priority DESC, id) WHERE dead IS NULL;
    CREATE INDEX outbox_victims ON outbox (priority, id);
    CREATE INDEX outbox_dead ON outbox (id) WHERE dead IS NOT NULL;
    CREATE INDEX outbox_gap ON outbox (id) WHERE topic = 'event/gap';
    CREATE INDEX outbox_expiry ON outbox (expires_ms) WHERE expires_ms IS NOT NULL;

    CREATE TABLE gap (
        first INTEGER PRIMARY KEY,      -- the range of seq numbers that will not arrive
        last INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE gap_counts (cause TEXT PRIMARY KEY, events INTEGER NOT NULL) STRICT, WITHOUT ROWID;

    CREATE TABLE day_marks (
        day INTEGER PRIMARY KEY,        -- counted in the time that the daemon ran
        inbox_seq INTEGER NOT NULL,     -- the newest row of each table when the day began
        outbox_id INTEGER NOT NULL,
        reading_id INTEGER NOT NULL
    ) STRICT;
", "
    -- What people thought of what the model made of their words.
    CREATE TABLE feedback (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        command_id TEXT NOT NULL,
        at_ms INTEGER NOT NULL,
        verdict TEXT NOT NULL,          -- open while a person may still approve it
        say TEXT NOT NULL,
        answer TEXT NOT NULL,
        before_say TEXT,
        before_answer TEXT
    ) STRICT;
    CREATE INDEX feedback_open ON feedback (command_id) WHERE verdict = 'open';
"];

/// The version that this program writes.
pub const VERSION: i64 = MIGRATIONS.len() as i64;

/// Sets the connection up and brings the tables to [`VERSION`]. The caller has checked that the
/// database is not newer.
pub fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    // FULL: a commit is on the disk when it returns, which is what `accept` promises the sender.
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;
         PRAGMA temp_store = MEMORY; PRAGMA cache_size = -512; PRAGMA journal_size_limit = 1048576;",
    )?;
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    for (index, step) in MIGRATIONS.iter().enumerate().skip(usize::try_from(version).unwrap_or(0)) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", index as i64 + 1)?;
        transaction.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_of_the_first_version_keeps_what_waits_and_learns_its_numbers() {
        let mut connection = Connection::open_in_memory().expect("a database");
        connection.execute_batch(MIGRATIONS[0]).expect("the first tables");
        connection.pragma_update(None, "user_version", 1).expect("its version");
        let waiting = "INSERT INTO outbox (topic, own, payload, priority, created_ms) VALUES
            ('event/action', 1, '{\"seq\": 7}', 1, 0), ('result/a', 1, '{\"id\": \"a\"}', 2, 0),
            ('event/foreign', 0, '{\"seq\": 9}', 2, 0)";
        connection.execute(waiting, []).expect("rows");
        migrate(&mut connection).expect("it is brought to this version");
        let read = |sql: &str| -> Vec<Option<i64>> {
            let mut statement = connection.prepare(sql).expect(sql);
            let rows = statement.query_map([], |row| row.get(0)).expect("rows");
            rows.collect::<Result<_, _>>().expect("values")
        };
        let numbers = read("SELECT seq FROM outbox ORDER BY id");
        assert_eq!(numbers, [Some(7), None, None], "only our own events have one");
        assert_eq!(read("SELECT rows FROM outbox_totals"), [Some(3)]);
        assert_eq!(read("PRAGMA user_version"), [Some(VERSION)]);
        migrate(&mut connection).expect("a second time changes nothing");
    }
}
