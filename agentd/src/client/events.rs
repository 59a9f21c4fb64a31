//! The body of an answer as it arrives: a stream of events, or all of it.

use bytes::Bytes;
use futures_util::future::{Either, select};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;

use super::{ClientError, Driver, Event, MAX_ANSWER_BYTES, Target, sse};

/// What happens, one event after the other. Dropping it closes the connection.
pub struct Events {
    pub(super) target: Target,
    pub(super) body: Incoming,
    pub(super) driver: Option<Driver>,
    pub(super) parser: sse::Parser,
}

impl Events {
    /// The next event; none when the daemon has ended the stream. It may be dropped and called again
    /// without losing anything.
    pub async fn next(&mut self) -> Result<Option<Event>, ClientError> {
        loop {
            let event = self.parser.take().map_err(|e| self.broken(e.into()))?;
            if event.is_some() {
                return Ok(event);
            }
            match self.frame().await? {
                Some(bytes) => self.parser.push(&bytes),
                None => return Ok(None),
            }
        }
    }

    /// The whole body.
    pub(super) async fn rest(&mut self) -> Result<Bytes, ClientError> {
        let whole = async {
            let limited = Limited::new(&mut self.body, MAX_ANSWER_BYTES);
            limited.collect().await.map(|body| body.to_bytes())
        };
        let whole = match &mut self.driver {
            None => whole.await,
            Some(driver) => match select(Box::pin(whole), driver).await {
                Either::Left((whole, _)) => whole,
                Either::Right((_, whole)) => whole.await,
            },
        };
        whole.map_err(|e| self.broken(e))
    }

    async fn frame(&mut self) -> Result<Option<Bytes>, ClientError> {
        let frame = match &mut self.driver {
            None => self.body.frame().await,
            Some(driver) => match select(self.body.frame(), driver).await {
                Either::Left((frame, _)) => frame,
                Either::Right((_, frame)) => {
                    // It has handed over all that it had; the body tells the rest.
                    let frame = frame.await;
                    self.driver = None;
                    frame
                }
            },
        };
        match frame {
            None => Ok(None),
            Some(Ok(frame)) => Ok(Some(frame.into_data().unwrap_or_default())),
            Some(Err(error)) => Err(self.broken(error.into())),
        }
    }

    fn broken(&self, source: Box<dyn std::error::Error + Send + Sync>) -> ClientError {
        ClientError::Broken { target: self.target.clone(), source }
    }
}
