//! The `sql` tool: one declared statement that reads the daemon's database.
//!
//! The connection is opened read-only and set to `query_only`, and the statement must be one that only
//! reads: three fences, because the statement comes from a file and its values from anyone. Values are
//! bound, never written into the text.
//!
//! Bounds: [`MAX_ROWS`] rows, [`MAX_ANSWER_BYTES`] of values, and the call's deadline, at which the
//! statement is interrupted.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, InterruptHandle, OpenFlags};
use serde_json::{Map, Number, Value};
use tokio::sync::Mutex;
use tokio::time::timeout_at;

use crate::check::check_template;
use crate::near::did_you_mean;
use crate::{Args, Failure, Output, SpecError, Tool, ToolError, ToolSpec};

/// The most rows that an answer has; the field `truncated` says that there were more.
pub const MAX_ROWS: usize = 100;
/// The most bytes of text and blobs in an answer. It goes into records and over MQTT.
pub const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// How long a statement waits for a lock. Readers of a write-ahead log wait for none but recovery.
const BUSY_TIMEOUT: Duration = Duration::from_millis(250);
/// How often an interrupt is repeated: one that comes before the statement begins is lost.
const INTERRUPT_EVERY: Duration = Duration::from_millis(20);
/// Fields that the tool itself makes.
const OWN_FIELDS: [&str; 2] = ["rows", "truncated"];

/// A declared statement with its own connection.
pub struct Sql {
    spec: ToolSpec,
    statement: String,
    /// Taken by one call at a time, so that an interrupt meets the call that it is meant for.
    connection: Arc<Mutex<Connection>>,
}

/// Ends the statement when the call is given up.
struct Interrupt(Arc<InterruptHandle>);

impl Drop for Interrupt {
    fn drop(&mut self) {
        self.0.interrupt();
    }
}

impl Sql {
    /// Opens the database read-only and checks the declared statement against it.
    pub fn open(spec: ToolSpec, database: &Path) -> Result<Self, SpecError> {
        let wrong = |message: String| SpecError::new("sql", message);
        let statement = spec.sql.clone().ok_or_else(|| wrong("is missing".into()))?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened = Connection::open_with_flags(database, flags).and_then(|connection| {
            connection.busy_timeout(BUSY_TIMEOUT)?;
            connection.pragma_update(None, "query_only", true)?;
            Ok(connection)
        });
        let connection = opened.map_err(|e| {
            wrong(format!("cannot be checked: {} does not open: {e}", database.display()))
        })?;
        let columns = check_statement(&connection, &statement, &spec)?;
        check_reply(&spec, &columns)?;
        Ok(Self { spec, statement, connection: Arc::new(Mutex::new(connection)) })
    }
}

#[async_trait]
impl Tool for Sql {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn run(&self, args: &Args, deadline: Instant) -> Result<Output, Failure> {
        let began = Instant::now();
        let late = || {
            let ms = began.elapsed().as_millis();
            let why = format!("it took longer than {ms} ms: ask for less, or raise `timeout_ms`");
            Failure::from(ToolError::Database { why })
        };
        let lock = self.connection.clone().lock_owned();
        let connection = timeout_at(deadline.into(), lock).await.map_err(|_| late())?;
        let interrupt = Interrupt(Arc::new(connection.get_interrupt_handle()));
        let (statement, args) = (self.statement.clone(), args.clone());
        let mut query = tokio::task::spawn_blocking(move || {
            if Instant::now() >= deadline {
                return Err("there was no time left".to_owned());
            }
            query(&connection, &statement, &args)
        });
        let joined = match timeout_at(deadline.into(), &mut query).await {
            Ok(joined) => joined,
            Err(_) => loop {
                interrupt.0.interrupt();
                let next = Instant::now() + INTERRUPT_EVERY;
                if timeout_at(next.into(), &mut query).await.is_ok() {
                    return Err(late());
                }
            },
        };
        let fields = match joined {
            Ok(Ok(fields)) => fields,
            Ok(Err(why)) => return Err(ToolError::Database { why }.into()),
            Err(e) => return Err(ToolError::Database { why: e.to_string() }.into()),
        };
        Ok(Output { fields, ..Output::default() })
    }
}

/// The names of the columns, if the statement may run.
fn check_statement(
    connection: &Connection,
    sql: &str,
    spec: &ToolSpec,
) -> Result<Vec<String>, SpecError> {
    let wrong = |message: String| SpecError::new("sql", message);
    let statement = connection.prepare(sql).map_err(|e| match e {
        rusqlite::Error::MultipleStatement => {
            wrong("has more than one statement: keep the one that reads".into())
        }
        e => wrong(format!("is not a statement that the database takes: {e}")),
    })?;
    // ATTACH and BEGIN count as read-only too, but give no columns.
    if !statement.readonly() || statement.column_count() == 0 {
        return Err(wrong("does not only read: write one SELECT".into()));
    }
    for i in 1..=statement.parameter_count() {
        let name = statement.parameter_name(i).and_then(|name| name.strip_prefix(':'));
        let Some(name) = name else {
            return Err(wrong("has a place without a name: write `:param`".into()));
        };
        if !spec.params.contains_key(name) {
            let near = did_you_mean(name, spec.params.keys().map(String::as_str));
            return Err(wrong(format!("names `:{name}`, which `params` does not declare{near}")));
        }
    }
    let columns: Vec<String> = statement.column_names().into_iter().map(str::to_owned).collect();
    for (i, column) in columns.iter().enumerate() {
        if OWN_FIELDS.contains(&column.as_str()) || columns[..i].contains(column) {
            let message = format!("gives the column `{column}` twice, or a name that is taken");
            return Err(wrong(format!("{message}: name it with AS")));
        }
    }
    Ok(columns)
}

/// A reply may use parameters and columns, which only the prepared statement tells.
fn check_reply(spec: &ToolSpec, columns: &[String]) -> Result<(), SpecError> {
    let Some(reply) = &spec.reply else { return Ok(()) };
    let known = spec.params.keys().chain(columns).map(String::as_str).collect::<Vec<_>>();
    let mut errors = Vec::new();
    check_template("reply", reply, Some(&known), &mut errors);
    errors.into_iter().next().map_or(Ok(()), Err)
}

/// Runs the statement. The first row's columns are the fields; several rows stand in `rows` too. No
/// row, and one row of nulls, give no fields.
fn query(connection: &Connection, sql: &str, args: &Args) -> Result<Map<String, Value>, String> {
    let text = |e: rusqlite::Error| e.to_string();
    let mut statement = connection.prepare_cached(sql).map_err(text)?;
    for i in 1..=statement.parameter_count() {
        let name = statement.parameter_name(i).unwrap_or_default();
        let value = args.get(name.trim_start_matches(':')).unwrap_or(&Value::Null);
        let value = bound(value);
        statement.raw_bind_parameter(i, value).map_err(text)?;
    }
    let columns: Vec<String> = statement.column_names().into_iter().map(str::to_owned).collect();
    let (mut rows, mut bytes, mut truncated) = (Vec::new(), 0, false);
    let mut cursor = statement.raw_query();
    while let Some(row) = cursor.next().map_err(text)? {
        if rows.len() == MAX_ROWS {
            truncated = true;
            break;
        }
        let mut object = Map::new();
        for (i, column) in columns.iter().enumerate() {
            let value = field(row.get_ref(i).map_err(text)?);
            bytes += value.as_str().map_or(0, str::len);
            object.insert(column.clone(), value);
        }
        if bytes > MAX_ANSWER_BYTES {
            return Err(format!("the answer has more than {MAX_ANSWER_BYTES} bytes: select less"));
        }
        rows.push(object);
    }
    let Some(first) = rows.first() else { return Ok(Map::new()) };
    if rows.len() == 1 && first.values().all(Value::is_null) {
        return Ok(Map::new());
    }
    let mut fields = first.clone();
    if rows.len() > 1 {
        fields.insert("rows".into(), rows.into_iter().map(Value::Object).collect());
    }
    if truncated {
        fields.insert("truncated".into(), true.into());
    }
    Ok(fields)
}

fn bound(value: &Value) -> rusqlite::types::Value {
    use rusqlite::types::Value as Bound;
    match value {
        Value::Null => Bound::Null,
        Value::Bool(flag) => Bound::Integer(i64::from(*flag)),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Bound::Integer(whole),
            (None, Some(real)) => Bound::Real(real),
            (None, None) => Bound::Null,
        },
        Value::String(text) => Bound::Text(text.clone()),
        other => Bound::Text(other.to_string()),
    }
}

fn field(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(whole) => whole.into(),
        // JSON has no infinity.
        ValueRef::Real(real) => Number::from_f64(real).map_or(Value::Null, Value::Number),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into(),
        ValueRef::Blob(bytes) => {
            bytes.iter().map(|b| format!("{b:02x}")).collect::<String>().into()
        }
    }
}

#[cfg(test)]
mod tests;
