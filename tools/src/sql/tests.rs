use super::*;
use serde_json::json;

/// A database as the store leaves it, with readings.
struct Fixture {
    dir: tempfile::TempDir,
    writer: Connection,
}

impl Fixture {
    #[expect(clippy::disallowed_methods, reason = "the test plays the store")]
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let writer = Connection::open(dir.path().join("agentd.db")).unwrap();
        writer
            .execute_batch(
                "PRAGMA journal_mode = WAL;
                 CREATE TABLE readings (sensor TEXT, value REAL, at INTEGER);",
            )
            .unwrap();
        Self { dir, writer }
    }

    fn read(&self, sensor: &str, value: f64) {
        self.writer
            .execute("INSERT INTO readings VALUES (?1, ?2, unixepoch())", (sensor, value))
            .unwrap();
    }

    fn open(&self, sql: &str) -> Result<Sql, String> {
        self.open_with(sql, json!({}))
    }

    fn open_with(&self, sql: &str, more: Value) -> Result<Sql, String> {
        let mut spec = json!({
            "name": "average", "description": "d", "kind": "sql", "sql": sql,
            "params": {"sensor": {}, "hours": {"type": "integer", "default": 1}},
        });
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let path = self.dir.path().join("agentd.db");
        Sql::open(ToolSpec::from_json(spec), &path).map_err(|e| e.to_string())
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

async fn run(sql: &Sql, args: Value) -> Result<Value, ToolError> {
    let output = sql.run(args.as_object().unwrap(), soon()).await;
    output.map(|output| Value::Object(output.fields)).map_err(|failure| failure.error)
}

const AVERAGE: &str = "SELECT avg(value) AS mean, count(*) AS n FROM readings \
                       WHERE sensor = :sensor AND at >= unixepoch() - :hours * 3600";

#[tokio::test]
async fn the_first_rows_columns_are_the_fields_and_values_are_bound() {
    let db = Fixture::new();
    let sql = db.open_with(AVERAGE, json!({"reply": "{sensor}: {mean:.1} ({n})"})).unwrap();
    db.read("t", 20.0);
    db.read("t", 23.0);
    let fields = run(&sql, json!({"sensor": "t", "hours": 1})).await;
    assert_eq!(fields, Ok(json!({"mean": 21.5, "n": 2})));
    let injected = run(&sql, json!({"sensor": "t' OR 1=1 --", "hours": 1})).await;
    assert_eq!(injected, Ok(json!({"mean": null, "n": 0})));
}

#[tokio::test]
async fn no_row_and_a_row_of_nulls_give_no_fields() {
    let db = Fixture::new();
    for sql in ["SELECT value FROM readings", "SELECT max(value) AS most FROM readings"] {
        let sql = db.open(sql).unwrap();
        assert_eq!(run(&sql, json!({})).await, Ok(json!({})));
    }
}

#[tokio::test]
async fn several_rows_stand_in_rows_up_to_the_bound_and_one_over_is_told() {
    let db = Fixture::new();
    let sql = db.open("SELECT sensor, value FROM readings ORDER BY value").unwrap();
    db.read("t", 0.0);
    assert_eq!(run(&sql, json!({})).await, Ok(json!({"sensor": "t", "value": 0.0})));
    for n in 1..MAX_ROWS {
        db.read("t", n as f64);
    }
    let fields = run(&sql, json!({})).await.unwrap();
    assert_eq!(fields["value"], json!(0.0));
    assert_eq!(fields["rows"].as_array().map(Vec::len), Some(MAX_ROWS));
    assert_eq!(fields.get("truncated"), None);
    db.read("t", 999.0);
    let fields = run(&sql, json!({})).await.unwrap();
    assert_eq!(fields["rows"].as_array().map(Vec::len), Some(MAX_ROWS));
    assert_eq!(fields["truncated"], json!(true));
}

#[tokio::test]
async fn an_answer_at_the_bound_of_bytes_passes_and_one_over_does_not() {
    let db = Fixture::new();
    let sql = db.open("SELECT printf('%.*c', :hours, 'x') AS text").unwrap();
    let fields = run(&sql, json!({"hours": MAX_ANSWER_BYTES})).await.unwrap();
    assert_eq!(fields["text"].as_str().map(str::len), Some(MAX_ANSWER_BYTES));
    let error = run(&sql, json!({"hours": MAX_ANSWER_BYTES + 1})).await.unwrap_err();
    assert!(error.to_string().contains("more than 65536 bytes"), "{error}");
}

#[tokio::test]
async fn a_statement_that_does_not_end_is_interrupted_and_the_next_call_works() {
    let db = Fixture::new();
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) \
                   SELECT count(*) AS c FROM n WHERE :hours = 1 OR i < 0 LIMIT 1";
    let sql = db.open(endless).unwrap();
    let began = Instant::now();
    let args = json!({"hours": 1}).as_object().unwrap().clone();
    let failure = sql.run(&args, began + Duration::from_millis(50)).await.unwrap_err();
    assert!(failure.to_string().contains("raise `timeout_ms`"), "{failure}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let free = timeout_at(soon().into(), sql.connection.lock()).await;
    assert!(free.is_ok(), "the connection is free again");
}

#[tokio::test]
async fn a_call_that_is_given_up_frees_the_connection() {
    let db = Fixture::new();
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) \
                   SELECT count(*) AS c FROM n";
    let sql = db.open(endless).unwrap();
    let args = Map::new();
    let running = sql.run(&args, soon() + Duration::from_secs(60));
    let until = Instant::now() + Duration::from_millis(100);
    assert!(timeout_at(until.into(), running).await.is_err(), "it runs on");
    assert!(timeout_at(soon().into(), sql.connection.lock()).await.is_ok());
}

#[test]
fn what_does_not_only_read_is_refused() {
    let db = Fixture::new();
    for (sql, message) in [
        ("DELETE FROM readings", "does not only read"),
        ("INSERT INTO readings VALUES ('t', 1, 1) RETURNING value", "does not only read"),
        ("ATTACH '/tmp/other.db' AS other", "does not only read"),
        ("BEGIN", "does not only read"),
        ("PRAGMA query_only = 0", "does not only read"),
        ("-- nothing", "does not only read"),
        ("SELECT 1 AS a; DELETE FROM readings", "more than one statement"),
        ("SELECT 1 AS a; ; SELECT 2", "more than one statement"),
        ("SELEC 1", "not a statement that the database takes"),
        ("SELECT x FROM readings", "not a statement that the database takes: no such column: x"),
        ("SELECT ?1 AS a", "a place without a name"),
        ("SELECT @sensor AS a", "a place without a name"),
        ("SELECT :sensr AS a", "names `:sensr`, which `params` does not declare (did you mean"),
        ("SELECT 1 AS a, 2 AS a", "the column `a` twice"),
        ("SELECT 1 AS rows", "the column `rows` twice, or a name that is taken"),
    ] {
        let error = db.open(sql).err().unwrap_or_else(|| panic!("{sql} was taken"));
        assert!(error.starts_with("`sql` ") && error.contains(message), "{sql}: {error}");
    }
}

#[test]
fn a_reply_is_checked_against_the_columns() {
    let db = Fixture::new();
    let error = db.open_with(AVERAGE, json!({"reply": "{mena}"})).err().unwrap();
    assert!(error.contains("unknown place `{mena}` (did you mean `mean`?)"), "{error}");
}

#[test]
fn a_database_that_is_not_there_is_told_and_not_made() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("none.db");
    let spec = json!({"name": "a", "description": "d", "kind": "sql", "sql": "SELECT 1 AS x"});
    let error = Sql::open(ToolSpec::from_json(spec), &path).err().unwrap();
    assert!(error.to_string().contains("none.db does not open"), "{error}");
    assert!(!path.exists());
}
