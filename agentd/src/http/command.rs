//! `/api/command`: a command comes in, its outcome goes out.
//!
//! A body is the payload of the MQTT topic `command`. It must arrive within [`BODY_TIME`].

use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use http_body_util::LengthLimitError;
use serde::Deserialize;
use serde_json::json;

use super::routes::{Problem, Shared};
use crate::command::{self, Command, Denial, MAX_PAYLOAD_BYTES, Outcome, Refused};
use crate::front::{Answer, Until};
use crate::store::recent::Recent;

/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(10);
/// The largest body of `approve`.
const MAX_APPROVAL_BYTES: usize = 4096;
/// The longest name of who approves, in characters.
const MAX_NAME_CHARS: usize = 200;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Options {
    /// `0`: the sender does not wait for the outcome.
    #[serde(default = "one")]
    wait: u8,
}

fn one() -> u8 {
    1
}

/// `POST /api/command`: 200 with the outcome; 202 where it is not waited for any longer; else an
/// outcome that says why nothing was done.
pub(super) async fn command(
    State(shared): State<Shared>,
    options: Result<Query<Options>, QueryRejection>,
    body: Body,
) -> Response {
    let front = &shared.app.front;
    let parsed = match body_of(body, MAX_PAYLOAD_BYTES).await {
        Ok(body) => Command::parse(&body),
        Err(denial) => Err(Refused { id: command::fresh_id(), denial }),
    };
    let wait = match options {
        Ok(Query(Options { wait: wait @ (0 | 1) })) => wait == 1,
        _ => {
            let denial = Denial::new("bad_arguments", "the only option is `wait`, 0 or 1");
            return refused(&shared, &command::fresh_id(), denial);
        }
    };
    let command = match parsed {
        Ok(command) => command,
        Err(Refused { id, denial }) => return refused(&shared, &id, denial),
    };
    let id = command.id.clone();
    let answer = if wait {
        tokio::select! {
            answer = front.ask(command, shared.source, Until::Final) => answer,
            // It may or may not be stored yet, so nothing is claimed.
            () = shared.shutdown.cancelled() => {
                let message = format!("the daemon is stopping; ask for `{id}` when it runs again");
                let status = StatusCode::SERVICE_UNAVAILABLE;
                return Problem::new(status, "stopping", message).into_response();
            }
        }
    } else {
        front.submit(command, shared.source).await
    };
    match answer {
        Ok(Answer::Outcome(outcome)) => Json(outcome).into_response(),
        Ok(Answer::Later { id, so_far: None }) => {
            (StatusCode::ACCEPTED, Json(json!({"id": id}))).into_response()
        }
        Ok(Answer::Later { id, so_far }) => {
            (StatusCode::ACCEPTED, Json(json!({"id": id, "outcome": so_far}))).into_response()
        }
        // `front` has counted these two.
        Ok(Answer::Busy(denial)) => denied(&id, denial),
        Err(error) => denied(&id, Denial::new("store", error.to_string())),
    }
}

fn refused(shared: &Shared, id: &str, denial: Denial) -> Response {
    shared.app.metrics.commands_refused_total.add_one();
    denied(id, denial)
}

fn denied(id: &str, denial: Denial) -> Response {
    let status = match denial.code.as_str() {
        "too_large" => StatusCode::PAYLOAD_TOO_LARGE,
        "too_slow" => StatusCode::REQUEST_TIMEOUT,
        "busy" => StatusCode::TOO_MANY_REQUESTS,
        "store" => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_REQUEST,
    };
    let now = command::now();
    (status, Json(Outcome::denied(id, denial, now, now))).into_response()
}

/// `GET /api/command/{id}`: the outcome so far.
pub(super) async fn outcome(
    State(shared): State<Shared>,
    Path(id): Path<String>,
) -> Result<Json<Outcome>, Problem> {
    let outcome = shared.app.front.store().outcome(&id).await;
    outcome.map_err(|e| Problem::store(&e))?.map(Json).ok_or_else(|| {
        let message = format!("`{id}` is not known, or nothing has become of it yet");
        Problem::new(StatusCode::NOT_FOUND, "no_outcome", message)
    })
}

/// `GET /api/commands`: the last ones, the newest first.
pub(super) async fn recent(State(shared): State<Shared>) -> Result<Json<Vec<Recent>>, Problem> {
    let recent = shared.app.front.store().recent().await;
    recent.map(Json).map_err(|e| Problem::store(&e))
}

/// `DELETE /api/command/{id}`: takes it back, where it has begun nothing.
pub(super) async fn cancel(
    State(shared): State<Shared>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let store = shared.app.front.store();
    if store.cancel(&id).await.map_err(|e| Problem::store(&e))? {
        return Ok(Json(store.outcome(&id).await.map_err(|e| Problem::store(&e))?).into_response());
    }
    let message = format!("`{id}` is not known, has ended, or has begun to act");
    Err(Problem::new(StatusCode::CONFLICT, "too_late", message))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Approval {
    approve: bool,
    by: Option<String>,
}

/// `POST /api/command/{id}/approve`: a person's word on a command that waits for it.
pub(super) async fn approve(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    body: Body,
) -> Result<Response, Problem> {
    let bad = |denial| Problem { status: StatusCode::BAD_REQUEST, denial };
    let body = body_of(body, MAX_APPROVAL_BYTES).await.map_err(bad)?;
    let approval: Approval = serde_json::from_slice(&body).map_err(|e| {
        let message = format!("send {{\"approve\": true or false, \"by\": \"a name\"}}: {e}");
        bad(Denial::new("bad_field", message))
    })?;
    let by = approval.by.unwrap_or_else(|| shared.source.to_owned());
    // As over MQTT: a control character would draw over the terminal of who reads the log.
    let named = !by.trim().is_empty() && !by.contains(char::is_control);
    if !named || by.chars().count() > MAX_NAME_CHARS {
        let message = format!(
            "`by` names a person in 1 to {MAX_NAME_CHARS} characters, none of them a control character"
        );
        return Err(bad(Denial::new("bad_field", message)));
    }
    let store = shared.app.front.store();
    if store.approve(&id, approval.approve, &by).await.map_err(|e| Problem::store(&e))? {
        return Ok(Json(json!({"id": id, "approve": approval.approve})).into_response());
    }
    let message = format!("`{id}` does not wait for approval");
    Err(Problem::new(StatusCode::CONFLICT, "not_waiting", message))
}

pub(super) async fn body_of(body: Body, most: usize) -> Result<Bytes, Denial> {
    let read = tokio::time::timeout(BODY_TIME, to_bytes(body, most)).await;
    let too_slow = |_| Denial::new("too_slow", "the body did not arrive in time");
    read.map_err(too_slow)?.map_err(|e| {
        let too_large = std::error::Error::source(&e).is_some_and(|e| e.is::<LengthLimitError>());
        if too_large {
            Denial::new("too_large", format!("the body has more than {most} bytes"))
        } else {
            Denial::new("bad_request", format!("the body cannot be read: {e}"))
        }
    })
}
