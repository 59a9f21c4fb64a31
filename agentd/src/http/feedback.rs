//! `/api/feedback`: what people thought of what the model made of their words.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::command::body_of;
use super::routes::{Problem, Shared};
use crate::command::Denial;
use crate::store::feedback::{Kept, Which};

/// The largest body: some thousand ids.
const MAX_BODY_BYTES: usize = 32 * 1024;

/// Which feedback is to be forgotten: `{"which": "all" | {"ids": [1, 2]}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selection {
    /// The rows.
    pub which: Which,
}

/// `GET /api/feedback`: all of it, the oldest first.
pub(super) async fn list(State(shared): State<Shared>) -> Result<Json<Vec<Kept>>, Problem> {
    let rows = shared.app.front.store().feedback().await;
    rows.map(Json).map_err(|e| Problem::store(&e))
}

/// `POST /api/feedback/forget`: rows are removed for good.
pub(super) async fn forget(
    State(shared): State<Shared>,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let refuse = |denial| Problem { status: StatusCode::BAD_REQUEST, denial };
    let body = body_of(body, MAX_BODY_BYTES).await.map_err(refuse)?;
    let Selection { which } = serde_json::from_slice(&body).map_err(|e| {
        let message = format!(r#"send {{"which": "all" or {{"ids": [1, 2]}}}}: {e}"#);
        refuse(Denial::new("bad_field", message))
    })?;
    let rows = shared.app.front.store().forget_feedback(which).await;
    rows.map(|rows| Json(json!({"rows": rows}))).map_err(|e| Problem::store(&e))
}
