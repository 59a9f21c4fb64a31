//! One request to a server on this machine, and its whole answer.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures_util::future::{Either, select};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// The longest that an answer may take: a cold prompt of 64 tools on a busy machine.
const LIMIT: Duration = Duration::from_secs(600);

/// Gets JSON.
pub(super) async fn get(port: u16, path: &str) -> Result<Value> {
    exchange(port, Method::GET, path, String::new()).await
}

/// Posts JSON and gets JSON.
pub(super) async fn post(port: u16, path: &str, body: &Value) -> Result<Value> {
    exchange(port, Method::POST, path, body.to_string()).await
}

async fn exchange(port: u16, method: Method, path: &str, body: String) -> Result<Value> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, "127.0.0.1")
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))?;
    let answer = async move {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        let said = || String::from_utf8_lossy(&body).into_owned();
        ensure!(status.is_success(), "{path}: {status}: {}", said());
        serde_json::from_slice(&body).with_context(|| format!("{path} is no JSON: {}", said()))
    };
    let whole = async {
        // The connection ends where the server closes it, with the answer already here.
        match select(Box::pin(answer), Box::pin(connection)).await {
            Either::Left((answer, _)) => answer,
            Either::Right((_, answer)) => answer.await,
        }
    };
    tokio::time::timeout(LIMIT, whole).await.with_context(|| format!("{path}: no answer"))?
}
