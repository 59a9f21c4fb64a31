//! The accept loop: connections are futures of one task, so that the daemon knows them all.

use axum::Router;
use axum::serve::Listener;
use futures_util::FutureExt as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use log::debug;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;

use super::{GRACE, HEAD_BYTES, HEAD_TIME, MAX_CONNECTIONS};

const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n\
    connection: close\r\nretry-after: 1\r\ncontent-length: 84\r\n\r\n\
    {\"error\":{\"code\":\"busy\",\"message\":\"too many connections are open; try again later\"}}";

/// Serves a listener until `shutdown`, and what is under way then for [`GRACE`].
pub(super) async fn serve<L: Listener>(
    mut listener: L,
    router: Router,
    shutdown: CancellationToken,
) {
    let mut connections = FuturesUnordered::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            (mut io, _) = listener.accept() => {
                if connections.len() < MAX_CONNECTIONS {
                    connections.push(connection(io, router.clone(), shutdown.clone()));
                } else {
                    // A new socket has room for these few bytes; who does not read is not waited for.
                    let _ = io.write_all(FULL).now_or_never();
                }
            }
            Some(()) = connections.next(), if !connections.is_empty() => {}
        }
    }
    drop(listener);
    let rest = async { while connections.next().await.is_some() {} };
    let _ = tokio::time::timeout(GRACE, rest).await;
}

async fn connection<I>(io: I, router: Router, shutdown: CancellationToken)
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    let service = TowerToHyperService::new(router);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(io), service);
    let mut connection = std::pin::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        debug!(error:% = error; "an HTTP connection broke");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_one_connection_too_many_states_its_own_length() {
        let text = std::str::from_utf8(FULL).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("head and body");
        assert!(head.ends_with(&format!("content-length: {}", body.len())), "{}", body.len());
        assert!(serde_json::from_str::<serde_json::Value>(body).is_ok());
    }
}
