//! What people thought of what the model made of their words: approved, denied, corrected. `agentd tune --from-history`
//! learns from it.
//!
//! ```text
//!  the model's plan waits for a person ──open──> approve: approved │ deny: denied │ taken back: forgotten
//!  "no, the other valve" after what the model did, or could do nothing with ──> corrected
//! ```
//!
//! It never leaves the board by itself. Bound: [`Limits::feedback`](super::outbox::Limits) rows; the victims are the
//! oldest.

use std::path::Path;

use jiff::Timestamp;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ValueRef};
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

use super::inbox::timestamp;
use super::{Store, StoreError, audit};

/// What a person thought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing yet: the plan waits for approval. Such a row is listed nowhere.
    Open,
    /// The answer is right.
    Approved,
    /// The answer was not wanted.
    Denied,
    /// The sentence corrects the one before it, and the answer is what was meant.
    Corrected,
}

impl Verdict {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Corrected => "corrected",
        }
    }
}

impl FromSql for Verdict {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let text = value.as_str()?;
        [Self::Open, Self::Approved, Self::Denied, Self::Corrected]
            .into_iter()
            .find(|one| one.as_str() == text)
            .ok_or(FromSqlError::InvalidType)
    }
}

/// A sentence and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// The sentence.
    pub say: String,
    /// The calls, as `name(key=value, ...)`, one a line.
    pub answer: String,
}

/// One person's thought of one answer of the model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feedback {
    /// What was thought.
    pub verdict: Verdict,
    /// What was said, and what the model made of it.
    #[serde(flatten)]
    pub said: Said,
    /// What it refers to, where it refers to something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Said>,
}

/// Feedback as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Its number, to forget it by.
    pub id: i64,
    /// When.
    pub at: Timestamp,
    /// The feedback.
    #[serde(flatten)]
    pub feedback: Feedback,
}

/// Which feedback is to be forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Which {
    /// All of it.
    All,
    /// Some.
    Ids(Vec<i64>),
}

impl Store {
    /// All feedback, the oldest first.
    pub async fn feedback(&self) -> Result<Vec<Kept>, StoreError> {
        self.run(|db| Ok(list(db)?)).await
    }

    /// Forgets feedback for good. Returns how much there was.
    pub async fn forget_feedback(&self, which: Which) -> Result<usize, StoreError> {
        self.write(move |db| Ok(forget(db, &which)?)).await
    }
}

/// All feedback of a database that a daemon may have open, the oldest first. Nothing is changed.
pub fn read(path: &Path) -> Result<Vec<Kept>, StoreError> {
    Ok(list(&audit::open(path)?)?)
}

/// Keeps feedback on a command's answer, and `most` rows in all.
pub(super) fn put(
    connection: &Connection,
    command_id: &str,
    feedback: &Feedback,
    most: i64,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let Feedback { verdict, said, before } = feedback;
    let (before_say, before_answer) =
        before.as_ref().map(|before| (&before.say, &before.answer)).unzip();
    connection
        .prepare_cached(
            "INSERT INTO feedback (command_id, at_ms, verdict, say, answer, before_say, before_answer)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            command_id,
            now.as_millisecond(),
            verdict.as_str(),
            said.say,
            said.answer,
            before_say,
            before_answer,
        ])?;
    connection
        .prepare_cached("DELETE FROM feedback WHERE id <= (SELECT max(id) FROM feedback) - ?1")?
        .execute([most])?;
    Ok(())
}

/// A person has decided on a command that waited for them; nothing: nobody will.
pub(super) fn settle(
    connection: &Connection,
    command_id: &str,
    verdict: Option<Verdict>,
) -> rusqlite::Result<()> {
    match verdict {
        Some(verdict) => connection.execute(
            "UPDATE feedback SET verdict = ?2 WHERE command_id = ?1 AND verdict = 'open'",
            params![command_id, verdict.as_str()],
        )?,
        None => connection.execute(
            "DELETE FROM feedback WHERE command_id = ?1 AND verdict = 'open'",
            [command_id],
        )?,
    };
    Ok(())
}

fn list(connection: &Connection) -> rusqlite::Result<Vec<Kept>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, at_ms, verdict, say, answer, before_say, before_answer FROM feedback
         WHERE verdict IN ('approved', 'denied', 'corrected') ORDER BY id",
    )?;
    let rows = statement.query_map([], |row| {
        let said = Said { say: row.get(3)?, answer: row.get(4)? };
        let before: (Option<String>, Option<String>) = (row.get(5)?, row.get(6)?);
        let before = before.0.zip(before.1).map(|(say, answer)| Said { say, answer });
        let feedback = Feedback { verdict: row.get(2)?, said, before };
        Ok(Kept { id: row.get(0)?, at: timestamp(row.get(1)?), feedback })
    })?;
    rows.collect()
}

fn forget(connection: &Connection, which: &Which) -> rusqlite::Result<usize> {
    match which {
        Which::All => connection.execute("DELETE FROM feedback", []),
        Which::Ids(ids) => {
            let mut statement = connection.prepare_cached("DELETE FROM feedback WHERE id = ?1")?;
            ids.iter().try_fold(0, |gone, id| Ok(gone + statement.execute([id])?))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::schema;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn database() -> Connection {
        let mut connection = Connection::open_in_memory().expect("a database");
        schema::migrate(&mut connection).expect("tables");
        connection
    }

    fn feedback(verdict: Verdict, say: &str) -> Feedback {
        let said = Said { say: say.into(), answer: "go()".into() };
        Feedback { verdict, said, before: None }
    }

    fn sentences(db: &Connection) -> Vec<(Verdict, String)> {
        let all = list(db).expect("read").into_iter();
        all.map(|kept| (kept.feedback.verdict, kept.feedback.said.say)).collect()
    }

    #[test]
    fn what_waits_is_listed_once_a_person_has_decided_and_never_where_nobody_did() {
        let db = database();
        for id in ["a", "b", "c"] {
            put(&db, id, &feedback(Verdict::Open, id), 10, NOW).expect("kept");
        }
        let before = Some(Said { say: "one".into(), answer: "two()".into() });
        let corrected = Feedback { before, ..feedback(Verdict::Corrected, "no, that one") };
        put(&db, "d", &corrected, 10, NOW).expect("kept");
        assert_eq!(sentences(&db).len(), 1);
        settle(&db, "a", Some(Verdict::Approved)).expect("settled");
        settle(&db, "b", Some(Verdict::Denied)).expect("settled");
        settle(&db, "c", None).expect("settled");
        // What is decided stays as it is.
        settle(&db, "a", Some(Verdict::Denied)).expect("settled");
        let told = [
            (Verdict::Approved, "a"),
            (Verdict::Denied, "b"),
            (Verdict::Corrected, "no, that one"),
        ];
        assert_eq!(sentences(&db), told.map(|(verdict, say)| (verdict, say.to_owned())));
        assert_eq!(list(&db).expect("read")[2].feedback, corrected);
    }

    #[test]
    fn the_bound_holds_at_and_one_over_and_what_is_forgotten_is_gone() {
        let db = database();
        for n in 1..=3 {
            put(&db, "x", &feedback(Verdict::Approved, &n.to_string()), 3, NOW).expect("kept");
        }
        assert_eq!(sentences(&db).len(), 3);
        put(&db, "x", &feedback(Verdict::Approved, "4"), 3, NOW).expect("kept");
        assert_eq!(sentences(&db)[0].1, "2", "the oldest fell");
        assert_eq!(forget(&db, &Which::Ids(vec![2, 99])).expect("forgotten"), 1);
        assert_eq!(forget(&db, &Which::All).expect("forgotten"), 2);
        put(&db, "x", &feedback(Verdict::Approved, "5"), 0, NOW).expect("kept for no time");
        assert!(sentences(&db).is_empty());
    }

    #[test]
    fn feedback_is_one_flat_object_for_whoever_exports_it() {
        let kept = Kept { id: 7, at: NOW, feedback: feedback(Verdict::Denied, "go") };
        let json = serde_json::json!({"id": 7, "at": "1970-01-01T00:00:00Z", "verdict": "denied",
                                      "say": "go", "answer": "go()"});
        assert_eq!(serde_json::to_value(&kept).expect("JSON"), json);
        assert_eq!(serde_json::from_value::<Kept>(json).expect("read"), kept);
    }
}
