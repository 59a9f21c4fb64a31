//! How commands end: the intent of each acting call, the one final transaction, and what a restart
//! makes of a call that was cut off.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use serde_json::{Map, Value, json};

use agentd_tools::Effect;

use super::inbox::{Plan, from_json, timestamp};
use super::outbox::{self, Destination, Limits};
use super::{StoreError, audit};
use crate::command::{Call, CallRecord, Denial, Outcome, Route, Status, elapsed_ms};

/// How a command ends, or why it pauses.
#[derive(Debug, Clone, PartialEq)]
pub struct Ending {
    /// The outcome.
    pub outcome: Outcome,
    /// What the calls leave behind.
    pub effects: Vec<Effect>,
    /// For each call of the outcome, whether it acted.
    pub acted: Vec<bool>,
    /// The plan, where the outcome is not final.
    pub plan: Option<Plan>,
}

/// Writes the intent of a call that acts, with the record of the call before it. Durable before the
/// effect: the caller runs the call only after this has committed.
/// `false`: the command has been ended meanwhile, and the call must not run.
pub(super) fn begin_call(
    connection: &mut Connection,
    id: &str,
    plan: &Plan,
    step: usize,
    idempotent: bool,
    records: &[CallRecord],
    now: Timestamp,
) -> Result<bool, StoreError> {
    let transaction = connection.transaction()?;
    let step = step as i64;
    let open = transaction
        .prepare_cached("UPDATE inbox SET plan = ?2 WHERE id = ?1 AND state = 'waiting'")?
        .execute(params![id, json!(plan).to_string()])?;
    if open == 0 {
        return Ok(false);
    }
    write_records(&transaction, id, records, now)?;
    if let Some(call) = plan.calls.get(step as usize) {
        transaction
            .prepare_cached(
                "INSERT OR REPLACE INTO calls
                   (command_id, step, tool, args, acts, idempotent, begun_ms)
                 VALUES (?1, ?2, ?3, ?4, 1, ?5, ?6)",
            )?
            .execute(params![
                id,
                step,
                call.tool,
                json!(call.args).to_string(),
                idempotent,
                now.as_millisecond()
            ])?;
    }
    transaction.commit()?;
    Ok(true)
}

fn write_records(
    transaction: &Transaction<'_>,
    id: &str,
    records: &[CallRecord],
    now: Timestamp,
) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached(
        "INSERT INTO calls (command_id, step, tool, args, acts, idempotent, begun_ms, record)
         VALUES (?1, ?2, ?3, ?4, 0, 0, ?5, ?6)
         ON CONFLICT (command_id, step) DO UPDATE SET record = excluded.record",
    )?;
    for (step, record) in records.iter().enumerate() {
        statement.execute(params![
            id,
            step as i64,
            record.tool,
            json!(record.args).to_string(),
            now.as_millisecond(),
            json!(record).to_string()
        ])?;
    }
    Ok(())
}

/// Ends or pauses a command: outcome, calls, events, outbox rows and audit record in one transaction.
/// A command that has ended already is left as it is; `false` says so.
pub(super) fn finish(
    transaction: &Transaction<'_>,
    ending: &Ending,
    limits: Limits,
) -> Result<bool, StoreError> {
    let outcome = &ending.outcome;
    let now = outcome.finished_at;
    let row: Option<(Option<String>, Option<Vec<u8>>)> = transaction
        .prepare_cached(
            "UPDATE inbox SET state = ?2, outcome = ?3, plan = ?4,
                    finished_ms = CASE WHEN ?5 THEN ?6 END
             WHERE id = ?1 AND state IN ('waiting', 'waiting_approval', 'deferred')
             RETURNING reply_topic, reply_correlation",
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
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    let Some((topic, correlation)) = row else { return Ok(false) };
    write_records(transaction, &outcome.id, &outcome.calls, now)?;
    for (record, acted) in outcome.calls.iter().zip(&ending.acted) {
        if *acted {
            outbox::put_event(transaction, limits, "action", action(outcome, record), now)?;
        }
    }
    for effect in &ending.effects {
        put_effect(transaction, limits, &outcome.id, effect, now)?;
    }
    let reply = topic.map(|topic| Destination::Reply { topic, correlation });
    outbox::put_outcome(transaction, limits, outcome, reply, now)?;
    audit::append(transaction, &outcome.id, &json!(outcome), now)?;
    Ok(true)
}

fn action(outcome: &Outcome, record: &CallRecord) -> Map<String, Value> {
    let mut fields = Map::new();
    fields.insert("command_id".into(), outcome.id.clone().into());
    fields.insert("status".into(), outcome.status.as_str().into());
    fields.insert("route".into(), outcome.route.as_str().into());
    if let Value::Object(mut call) = json!(record) {
        fields.append(&mut call);
    }
    fields
}

fn put_effect(
    transaction: &Transaction<'_>,
    limits: Limits,
    id: &str,
    effect: &Effect,
    now: Timestamp,
) -> rusqlite::Result<()> {
    match effect {
        Effect::Event { kind, payload } => {
            let mut fields = payload.clone();
            fields.insert("command_id".into(), id.into());
            outbox::put_event(transaction, limits, kind, fields, now)
        }
        Effect::Note { text } => {
            transaction.execute(
                "INSERT INTO notes (at, text, command_id) VALUES (?1, ?2, ?3)",
                params![now.as_second(), text, id],
            )?;
            let mut fields = Map::new();
            fields.insert("command_id".into(), id.into());
            fields.insert("text".into(), text.clone().into());
            outbox::put_event(transaction, limits, "note", fields, now)
        }
    }
}

/// Ends every command whose acting call had begun when the daemon stopped and may not be repeated.
/// Those whose call is idempotent stay waiting, with their plan. Returns the outcomes written.
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
             WHERE c.record IS NULL AND c.idempotent = 0 AND i.finished_ms IS NULL",
        )?
        .query_map([], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let mut outcomes = Vec::new();
    for (id, received_ms, tool, args, begun_ms, plan) in cut_off {
        let call = Call { tool, args: from_json(&args)? };
        let plan: Option<Plan> = plan.as_deref().map(from_json).transpose()?;
        let why =
            "the daemon stopped while this was under way; whether it took effect is not known";
        let (mut calls, mut acted) = (Vec::new(), Vec::new());
        let mut statement = transaction.prepare_cached(
            "SELECT record, acts FROM calls WHERE command_id = ?1 AND record IS NOT NULL ORDER BY step",
        )?;
        let mut rows = statement.query([&id])?;
        while let Some(row) = rows.next()? {
            calls.push(from_json::<CallRecord>(&row.get::<_, String>(0)?)?);
            acted.push(row.get(1)?);
        }
        drop(rows);
        drop(statement);
        acted.push(true);
        let text = format!(
            "{call} was interrupted: the daemon stopped while it was under way. Whether it took \
             effect is not known, and it is not repeated."
        );
        calls.push(CallRecord {
            tool: call.tool,
            args: call.args,
            ok: false,
            result: None,
            error: Some(why.into()),
            ms: elapsed_ms(timestamp(begun_ms), now),
        });
        let received_at = timestamp(received_ms);
        let outcome = Outcome {
            id,
            status: Status::Interrupted,
            text,
            route: plan.as_ref().map_or(Route::Direct, |plan| plan.route),
            model: plan.and_then(|plan| plan.model),
            calls,
            error: Some(Denial::new("interrupted", why)),
            ms: elapsed_ms(received_at, now),
            received_at,
            finished_at: now,
        };
        let ending = Ending { outcome, effects: Vec::new(), acted, plan: None };
        if finish(&transaction, &ending, limits)? {
            outcomes.push(ending.outcome);
        }
    }
    transaction.commit()?;
    Ok(outcomes)
}
