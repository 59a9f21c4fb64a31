//! Readings for the eye: how each sensor went over the last hours.
//!
//! Bounds: at most [`MAX_HOURS`] back and [`MAX_POINTS`] points; the victims are the oldest. Readings
//! are averaged over equal spans of time, so that a week costs a page no more than an hour.

use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

use super::{Store, StoreError};
use crate::command;

/// The furthest back that is looked. A longer span would hold up the store's thread on a small board.
pub const MAX_HOURS: u32 = 168;
/// The most points that come back, over all sensors.
pub const MAX_POINTS: usize = 2000;
/// Into how many spans the time is divided: about what a small drawing can show.
const SPANS: u32 = 120;

/// How one sensor went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// The sensor's name.
    pub sensor: String,
    /// The newest reading: seconds since 1970, and the value in the unit that its poll declares.
    pub last: (i64, f64),
    /// The mean of each span that has readings, with the time of its last one; ascending in time.
    pub points: Vec<(i64, f64)>,
}

impl Store {
    /// How each sensor, or only the named one, went over the last hours (1 to [`MAX_HOURS`]), by name.
    pub async fn latest_readings(
        &self,
        hours: u32,
        sensor: Option<String>,
    ) -> Result<Vec<Series>, StoreError> {
        let now = command::now().as_second();
        let hours = hours.clamp(1, MAX_HOURS);
        self.run(move |db| Ok(read(db, hours, sensor.as_deref(), now)?)).await
    }
}

fn read(
    connection: &Connection,
    hours: u32,
    sensor: Option<&str>,
    now: i64,
) -> rusqlite::Result<Vec<Series>> {
    let seconds = i64::from(hours) * 3600;
    let span = seconds / i64::from(SPANS);
    // With one `max`, SQLite takes the bare column from the row that has it: the newest value.
    let mut statement = connection.prepare_cached(
        "SELECT sensor, max(at), value, avg(value) FROM readings
         WHERE at > ?1 AND at <= ?4 AND (?2 IS NULL OR sensor = ?2)
         GROUP BY sensor, at / ?3 ORDER BY max(at) DESC, sensor LIMIT ?5",
    )?;
    let mut rows = statement.query(params![now - seconds, sensor, span, now, MAX_POINTS as i64])?;
    let mut all: Vec<Series> = Vec::new();
    while let Some(row) = rows.next()? {
        let (name, at): (String, i64) = (row.get(0)?, row.get(1)?);
        let series = match all.iter().position(|series| series.sensor == name) {
            Some(index) => &mut all[index],
            None => {
                // The rows come newest first.
                all.push(Series { sensor: name, last: (at, row.get(2)?), points: Vec::new() });
                let end = all.len() - 1;
                &mut all[end]
            }
        };
        series.points.push((at, row.get(3)?));
    }
    for series in &mut all {
        series.points.reverse();
    }
    all.sort_by(|a, b| a.sensor.cmp(&b.sensor));
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::schema;

    const NOW: i64 = 1_800_000_000;

    fn database(rows: impl IntoIterator<Item = (i64, String, f64)>) -> Connection {
        let mut connection = Connection::open_in_memory().expect("a database");
        schema::migrate(&mut connection).expect("tables");
        let transaction = connection.transaction().expect("a transaction");
        for row in rows {
            transaction
                .execute("INSERT INTO readings (at, sensor, value) VALUES (?1, ?2, ?3)", row)
                .expect("a row");
        }
        transaction.commit().expect("committed");
        connection
    }

    #[test]
    fn spans_are_averaged_and_the_last_reading_stays_as_it_was() {
        // One hour has spans of 30 seconds; NOW stands at the head of one.
        let db = database([
            (NOW - 30, "t".into(), 1.0),
            (NOW - 20, "t".into(), 2.0),
            (NOW, "t".into(), 9.0),
            (NOW - 3600, "t".into(), 50.0),
            (NOW + 60, "t".into(), 70.0),
            (NOW - 5, "humidity".into(), 40.0),
        ]);
        let all = read(&db, 1, None, NOW).expect("read");
        let names: Vec<_> = all.iter().map(|series| series.sensor.as_str()).collect();
        assert_eq!(names, ["humidity", "t"]);
        assert_eq!(all[1].last, (NOW, 9.0));
        assert_eq!(all[1].points, [(NOW - 20, 1.5), (NOW, 9.0)], "neither too old nor of tomorrow");
        assert_eq!(read(&db, 1, Some("t"), NOW).expect("read").len(), 1);
        assert!(read(&db, 1, Some("none"), NOW).expect("read").is_empty());
    }

    #[test]
    fn the_bound_on_points_holds_at_and_one_over_and_the_oldest_fall() {
        let sensors = |n: usize| (0..n).map(|i| (NOW - i as i64 % 20, format!("s{i:04}"), 1.0));
        let count = |n| {
            let all = read(&database(sensors(n)), 1, None, NOW).expect("read");
            all.iter().map(|series| series.points.len()).sum::<usize>()
        };
        assert_eq!(count(MAX_POINTS), MAX_POINTS);
        assert_eq!(count(MAX_POINTS + 1), MAX_POINTS);
        let old = [(NOW - 3000, "old".to_owned(), 1.0)];
        let all = read(&database(sensors(MAX_POINTS).chain(old)), 1, None, NOW).expect("read");
        assert!(all.iter().all(|series| series.sensor != "old"));
    }
}
