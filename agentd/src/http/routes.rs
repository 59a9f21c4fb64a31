//! The routes, and those that only look: health, metrics, capabilities, readings.

use std::sync::Arc;

use axum::extract::{Query, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::guard::{Guard, TurnedAway};
use super::{AppState, MAX_WATCHERS, command, events, feedback, outbox, page};
use crate::command::Denial;
use crate::store::readings::MAX_HOURS;

/// What every route gets.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) app: AppState,
    /// The front-end's name in the records.
    pub(super) source: &'static str,
    pub(super) shutdown: CancellationToken,
    pub(super) watchers: Arc<Semaphore>,
}

/// All routes, for the front-end of this name.
pub(super) fn router(app: AppState, source: &'static str, shutdown: CancellationToken) -> Router {
    let shared = Shared { app, source, shutdown, watchers: Arc::new(Semaphore::new(MAX_WATCHERS)) };
    let nosniff = (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Router::new()
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .route("/api/capabilities", get(capabilities))
        .route("/api/readings", get(readings))
        .route("/api/commands", get(command::recent))
        .route("/api/feedback", get(feedback::list))
        .route("/api/feedback/forget", post(feedback::forget))
        .route("/api/outbox", get(outbox::list))
        .route("/api/outbox/retry", post(outbox::retry))
        .route("/api/outbox/purge", post(outbox::purge))
        .route("/api/events", get(events::events))
        .route("/api/command", post(command::command))
        .route("/api/command/{id}", get(command::outcome).delete(command::cancel))
        .route("/api/command/{id}/approve", post(command::approve))
        .merge(page::router())
        .fallback(async || {
            Problem::new(StatusCode::NOT_FOUND, "not_found", "there is no such page")
        })
        .layer(middleware::map_response(move |mut response: Response| {
            response.headers_mut().insert(nosniff.0.clone(), nosniff.1.clone());
            std::future::ready(response)
        }))
        .with_state(shared)
}

/// The same routes behind the guard.
pub(super) fn guarded(router: Router, guard: Guard) -> Router {
    router.layer(middleware::from_fn_with_state(Arc::new(guard), admit))
}

async fn admit(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let page = page::is_page(request.uri().path());
    match guard.admit(request.method(), request.headers(), page) {
        Ok(()) => next.run(request).await,
        Err(TurnedAway { status, denial }) => Problem { status, denial }.into_response(),
    }
}

/// An error that is not the outcome of a command: `{"error": {"code", "message"}}`.
pub(super) struct Problem {
    pub(super) status: StatusCode,
    pub(super) denial: Denial,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        Self { status, denial: Denial::new(code, message) }
    }

    /// The store does not answer.
    pub(super) fn store(error: &crate::store::StoreError) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "store", error.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(json!({"error": self.denial}))).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

/// 200 also while degraded: the daemon is there and says what it lacks.
async fn health(State(shared): State<Shared>) -> Json<Value> {
    let app = &shared.app;
    let mut degraded = json!(app.health.degraded());
    let outbox = match app.front.store().outbox_stats().await {
        Ok(stats) => json!(stats),
        Err(error) => {
            if let Some(list) = degraded.as_array_mut() {
                let cause = error.to_string();
                let since = crate::command::now();
                list.push(json!({"component": "store", "cause": cause, "since": since}));
            }
            Value::Null
        }
    };
    let well = degraded.as_array().is_none_or(Vec::is_empty);
    Json(json!({
        "status": if well { "ok" } else { "degraded" },
        "version": app.version,
        "device": app.device,
        "since": app.started_at,
        "model": (app.model)(),
        "outbox": outbox,
        "degraded": degraded,
    }))
}

async fn metrics(State(shared): State<Shared>) -> impl IntoResponse {
    if let Ok(stats) = shared.app.front.store().outbox_stats().await {
        shared.app.metrics.outbox_pending.set(stats.pending);
    }
    let kind = (header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8");
    ([kind], shared.app.metrics.prometheus())
}

async fn capabilities(State(shared): State<Shared>) -> Json<Arc<Value>> {
    Json(Arc::clone(&shared.app.capabilities))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Window {
    #[serde(default = "one_day")]
    hours: u32,
    sensor: Option<String>,
}

fn one_day() -> u32 {
    24
}

async fn readings(
    State(shared): State<Shared>,
    window: Result<Query<Window>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let bad = |message: String| Problem::new(StatusCode::BAD_REQUEST, "bad_arguments", message);
    let Query(Window { hours, sensor }) = window.map_err(|e| bad(e.body_text()))?;
    if !(1..=MAX_HOURS).contains(&hours) {
        return Err(bad(format!("`hours` is {hours}; it can be 1 to {MAX_HOURS}")));
    }
    let series = shared.app.front.store().latest_readings(hours, sensor).await;
    let series = series.map_err(|e| Problem::store(&e))?;
    Ok(Json(json!({"hours": hours, "sensors": series})))
}
