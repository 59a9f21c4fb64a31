//! `/api/outbox`: what waits for the network, and what a broker refuses for good.

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::command::body_of;
use super::routes::{Problem, Shared};
use crate::command::Denial;
use crate::store::StoreError;
use crate::store::dead::{Listed, MAX_LISTED, Which};

/// The largest body: some thousand ids.
const MAX_BODY_BYTES: usize = 32 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Window {
    #[serde(default = "most")]
    limit: usize,
}

fn most() -> usize {
    MAX_LISTED
}

/// Which rows are to be sent again, or removed: `{"which": "dead" | "all" | {"ids": [1, 2]}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selection {
    /// The rows.
    pub which: Which,
}

/// `GET /api/outbox`: the rows, the dead ones first.
pub(super) async fn list(
    State(shared): State<Shared>,
    window: Result<Query<Window>, QueryRejection>,
) -> Result<Json<Vec<Listed>>, Problem> {
    let Query(Window { limit }) = window.map_err(|e| bad(e.body_text()))?;
    let rows = shared.app.front.store().list_outbox(limit).await;
    rows.map(Json).map_err(|e| Problem::store(&e))
}

/// `POST /api/outbox/retry`: dead rows are sent again.
pub(super) async fn retry(
    State(shared): State<Shared>,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let Selection { which } = selection(body).await?;
    counted(shared.app.front.store().retry_outbox(which).await)
}

/// `POST /api/outbox/purge`: rows are removed for good.
pub(super) async fn purge(
    State(shared): State<Shared>,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let Selection { which } = selection(body).await?;
    counted(shared.app.front.store().purge_outbox(which).await)
}

fn bad(message: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "bad_arguments", message)
}

async fn selection(body: Body) -> Result<Selection, Problem> {
    let refuse = |denial| Problem { status: StatusCode::BAD_REQUEST, denial };
    let body = body_of(body, MAX_BODY_BYTES).await.map_err(refuse)?;
    serde_json::from_slice(&body).map_err(|e| {
        let message = format!(r#"send {{"which": "dead", "all" or {{"ids": [1, 2]}}}}: {e}"#);
        refuse(Denial::new("bad_field", message))
    })
}

fn counted(rows: Result<usize, StoreError>) -> Result<Json<Value>, Problem> {
    rows.map(|rows| Json(json!({"rows": rows}))).map_err(|e| Problem::store(&e))
}
