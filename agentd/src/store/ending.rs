//! How commands end: the intent of each acting call, the one final transaction, and what a restart
//! makes of a call that was cut off.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};
use serde_json::{Map, Value, json};

use agentd_tools::{Effect, Recovery};

use super::feedback::{self, Feedback};
use super::inbox::{Plan, from_json, timestamp};
use super::outbox::{self, Broker, Destination, Event, Limits};
use super::{StoreError, audit};
use crate::command::{
    Call, CallRecord, Denial, INTERRUPTED_WHY, Outcome, Route, Status, elapsed_ms,
};

/// How a command ends, or why it pauses.
#[derive(Debug, Clone, PartialEq)]
pub struct Ending {
    /// The outcome.
    pub outcome: Outcome,
    /// What each call of the outcome has done, in order.
    pub traces: Vec<Trace>,
    /// The plan, where the outcome is not final.
    pub plan: Option<Plan>,
    /// What it says of an answer of the model.
    pub feedback: Option<Feedback>,
}

/// What a call has done besides its record.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Trace {
    /// Whether it acted, or may have.
    pub acted: bool,
    /// What it leaves behind.
    pub effects: Vec<Effect>,
}

/// A call that has ended.
pub type Ended<'a> = (&'a CallRecord, &'a Trace);

/// The intent of a call that acts.
#[derive(Debug, Clone, PartialEq)]
pub struct Intent {
    /// The command's id.
    pub id: String,
    /// What is being carried out.
    pub plan: Plan,
    /// Which call of the plan.
    pub step: usize,
    /// What may be made of it where it is cut off.
    pub recovery: Recovery,
    /// The calls before it, which have ended.
    pub before: Vec<(CallRecord, Trace)>,
}

/// Writes an intent, and all of the calls before it: once the next one has begun, what they did must not
/// depend on whether it ends. The caller runs the call only after this has committed.
/// `false`: the command has been ended meanwhile, and the call must not run.
pub(super) fn begin_call(
    connection: &Connection,
    intent: &Intent,
    limits: Limits,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let Intent { id, plan, step, recovery, before } = intent;
    let open = connection
        .prepare_cached("UPDATE inbox SET plan = ?2 WHERE id = ?1 AND state = 'waiting'")?
        .execute(params![id, json!(plan).to_string()])?;
    if open == 0 {
        return Ok(false);
    }
    let command = Told { id, status: None, route: plan.route };
    for (step, (record, trace)) in before.iter().enumerate() {
        write_call(connection, limits, &command, step, (record, trace), now)?;
    }
    if let Some(call) = plan.calls.get(*step) {
        connection
            .prepare_cached(
                "INSERT OR REPLACE INTO calls
                   (command_id, step, tool, args, acts, idempotent, read_back, begun_ms)
                 VALUES (?1, ?2, ?3, ?4, 1, ?5, ?6, ?7)",
            )?
            .execute(params![
                id,
                *step as i64,
                call.tool,
                json!(call.args).to_string(),
                *recovery == Recovery::Repeat,
                *recovery == Recovery::ReadBack,
                now.as_millisecond()
            ])?;
    }
    Ok(true)
}

/// What the event of an action says of its command.
struct Told<'a> {
    id: &'a str,
    /// None before it has ended.
    status: Option<Status>,
    route: Route,
}

/// Writes the record of a call, and once with it the events of what it did.
fn write_call(
    connection: &Connection,
    limits: Limits,
    command: &Told<'_>,
    step: usize,
    (record, trace): Ended<'_>,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let fresh = connection
        .prepare_cached(
            "INSERT INTO calls (command_id, step, tool, args, acts, idempotent, begun_ms, record)
             VALUES (?1, ?2, ?3, ?4, 0, 0, ?5, ?6)
             ON CONFLICT (command_id, step) DO UPDATE SET record = excluded.record
             WHERE record IS NULL",
        )?
        .execute(params![
            command.id,
            step as i64,
            record.tool,
            json!(record.args).to_string(),
            now.as_millisecond(),
            json!(record).to_string()
        ])?;
    if fresh == 0 {
        return Ok(());
    }
    if trace.acted {
        let event = Event::new("action", action(command, record));
        outbox::put_event(connection, limits, event, now)?;
    }
    for effect in &trace.effects {
        put_effect(connection, limits, command.id, effect, now)?;
    }
    Ok(())
}

/// Ends or pauses a command: outcome, calls, events, outbox rows and audit record in one transaction.
/// A command that has ended already is left as it is; `false` says so.
pub(super) fn finish(
    connection: &Connection,
    ending: &Ending,
    limits: Limits,
) -> Result<bool, StoreError> {
    let outcome = &ending.outcome;
    let now = outcome.finished_at;
    let row: Option<(Option<String>, Option<Vec<u8>>, bool)> = connection
        .prepare_cached(
            "UPDATE inbox SET state = ?2, outcome = ?3, plan = ?4,
                    finished_ms = CASE WHEN ?5 THEN ?6 END
             WHERE id = ?1 AND state IN ('waiting', 'waiting_approval', 'deferred')
             RETURNING reply_topic, reply_correlation, broker",
        )?
        .query_row(
            params![
                outcome.id,
                outcome.status.as_str(),
                json!(outcome).to_string(),
                ending.plan.as_ref().map(|plan| json!(plan).to_string()),
                outcome.status.is_final(),
                now.as_millisecond(),
            ],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .optional()?;
    let Some((topic, correlation, on_board)) = row else { return Ok(false) };
    let command = Told { id: &outcome.id, status: Some(outcome.status), route: outcome.route };
    for (step, call) in outcome.calls.iter().zip(&ending.traces).enumerate() {
        write_call(connection, limits, &command, step, call, now)?;
    }
    let reply = topic.map(|topic| Destination::Reply { topic, correlation });
    let broker = if on_board { Broker::OnBoard } else { Broker::Upstream };
    outbox::put_outcome(connection, limits, outcome, broker, reply, now)?;
    audit::append(connection, &outcome.id, &json!(outcome), now)?;
    if let Some(feedback) = &ending.feedback {
        feedback::put(connection, &outcome.id, feedback, limits.feedback, now)?;
    }
    Ok(true)
}

fn action(command: &Told<'_>, record: &CallRecord) -> Map<String, Value> {
    let mut fields = Map::new();
    fields.insert("command_id".into(), command.id.into());
    if let Some(status) = command.status {
        fields.insert("status".into(), status.as_str().into());
    }
    fields.insert("route".into(), command.route.as_str().into());
    if let Value::Object(mut call) = json!(record) {
        fields.append(&mut call);
    }
    fields
}

fn put_effect(
    connection: &Connection,
    limits: Limits,
    id: &str,
    effect: &Effect,
    now: Timestamp,
) -> rusqlite::Result<()> {
    match effect {
        Effect::Event { kind, payload, priority, ttl_seconds } => {
            let mut fields = payload.clone();
            fields.insert("command_id".into(), id.into());
            let event = Event { kind, fields, priority: *priority, ttl_seconds: *ttl_seconds };
            outbox::put_event(connection, limits, event, now)
        }
        Effect::Note { text } => {
            connection.execute(
                "INSERT INTO notes (at, text, command_id) VALUES (?1, ?2, ?3)",
                params![now.as_second(), text, id],
            )?;
            let mut fields = Map::new();
            fields.insert("command_id".into(), id.into());
            fields.insert("text".into(), text.clone().into());
            outbox::put_event(connection, limits, Event::new("note", fields), now)
        }
    }
}

/// Ends every command whose acting call had begun when the daemon stopped, unless it may be repeated or
/// the device can be asked: those stay waiting, with their plan, for the agent. Returns the outcomes written.
pub(super) fn reconcile(
    connection: &mut Connection,
    limits: Limits,
    now: Timestamp,
) -> Result<Vec<Outcome>, StoreError> {
    let transaction = connection.transaction()?;
    let cut_off: Vec<(String, i64, String, String, i64, Option<String>)> = transaction
        .prepare(
            "SELECT i.id, i.received_ms, c.tool, c.args, c.begun_ms, i.plan
             FROM calls c JOIN inbox i ON i.id = c.command_id
             WHERE c.record IS NULL AND c.idempotent = 0 AND c.read_back = 0
               AND i.finished_ms IS NULL",
        )?
        .query_map([], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let mut outcomes = Vec::new();
    for (id, received_ms, tool, args, begun_ms, plan) in cut_off {
        let call = Call { tool, args: from_json(&args)? };
        let plan: Option<Plan> = plan.as_deref().map(from_json).transpose()?;
        let (mut calls, mut traces) = (Vec::new(), Vec::new());
        let mut statement = transaction.prepare_cached(
            "SELECT record, acts FROM calls WHERE command_id = ?1 AND record IS NOT NULL ORDER BY step",
        )?;
        let mut rows = statement.query([&id])?;
        while let Some(row) = rows.next()? {
            calls.push(from_json::<CallRecord>(&row.get::<_, String>(0)?)?);
            traces.push(Trace { acted: row.get(1)?, effects: Vec::new() });
        }
        drop(rows);
        drop(statement);
        traces.push(Trace { acted: true, effects: Vec::new() });
        let text = format!("{} It is not repeated.", call.interrupted());
        calls.push(CallRecord {
            tool: call.tool,
            args: call.args,
            ok: false,
            result: None,
            error: Some(INTERRUPTED_WHY.into()),
            settled: None,
            ms: elapsed_ms(timestamp(begun_ms), now),
        });
        let received_at = timestamp(received_ms);
        let outcome = Outcome {
            id,
            status: Status::Interrupted,
            text,
            route: plan.as_ref().map_or(Route::Direct, |plan| plan.route),
            confidence: plan.as_ref().and_then(|plan| plan.confidence),
            model: plan.and_then(|plan| plan.model),
            calls,
            error: Some(Denial::new("interrupted", INTERRUPTED_WHY)),
            ms: elapsed_ms(received_at, now),
            received_at,
            finished_at: now,
        };
        let ending = Ending { outcome, traces, plan: None, feedback: None };
        if finish(&transaction, &ending, limits)? {
            outcomes.push(ending.outcome);
        }
    }
    transaction.commit()?;
    Ok(outcomes)
}
