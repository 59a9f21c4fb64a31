//! `/api/events`: what happens, as server-sent events.
//!
//! An event is named after its notice and carries the notice as JSON. A watcher that fell behind gets
//! one `missed` with the count. Every [`KEEP_ALIVE`] of silence a comment shows that the stream lives.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError::Lagged;

use super::routes::{Problem, Shared};
use crate::feed::Notice;

/// Shorter than what proxies and browsers take for a dead connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

pub(super) async fn events(State(shared): State<Shared>) -> Result<Response, Problem> {
    let Ok(permit) = shared.watchers.clone().try_acquire_owned() else {
        let message = "too many watch already; try again later";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", message));
    };
    // Watched before the head of the answer goes out: who has it misses nothing from then on.
    let notices = BroadcastStream::new(shared.app.front.store().feed().watch());
    let events = notices.map(move |notice| {
        let _held_while_the_stream_lives = &permit;
        Ok::<_, Infallible>(match notice {
            Ok(notice) => event(&notice),
            Err(Lagged(missed)) => {
                Event::default().event("missed").data(json!({"missed": missed}).to_string())
            }
        })
    });
    let events = events.take_until(shared.shutdown.clone().cancelled_owned());
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE).text("still here");
    Ok(Sse::new(events).keep_alive(keep_alive).into_response())
}

fn event(notice: &Notice) -> Event {
    let data = json!(notice);
    let name = data.get("notice").and_then(Value::as_str).unwrap_or("notice");
    Event::default().event(name).data(data.to_string())
}
