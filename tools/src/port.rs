//! One serial port: a handle for those who ask, and the one task that owns the device.
//!
//! ```text
//!  tools ──Request──> queue ──> PortTask ──line──> device
//!        <──Answer───oneshot──           <─lines──
//!  health <──────────watch────── PortState
//! ```
//!
//! The device is opened when it is first needed, and again after it went away: unplugging and plugging
//! in needs nobody. A request is written at most once; what was perhaps written is never repeated. While
//! the device owes an answer whose time is up, requests wait: see [`Owed`].
//!
//! Bounds: [`QUEUE`] requests wait; a request is at most [`line::MAX_LINE_BYTES`]; each exchange ends
//! at its deadline; an answer is owed for `late_ms`; [`MAX_WIRE_FRAMES`] frames of it are recorded.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use log::{info, warn};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout_at;

use crate::connection::Connection;
use crate::line::{self, Frame};
use crate::owed::Owed;
pub use crate::owed::Patterns;
use crate::{Failure, SerialSpec, ToolError, WireFrame, device};

/// Requests that may wait for the port. A serial exchange takes up to 2 s by default, so the last of
/// them would wait for half a minute; one more is told `busy`.
pub const QUEUE: usize = 16;
/// Frames that are recorded of one exchange. A device that chatters fills it; the frame that decided
/// the exchange always takes the last place.
pub const MAX_WIRE_FRAMES: usize = 64;
/// How much of an answer that is not understood goes into the error, in characters.
const SHOWN_CHARS: usize = 200;

/// What is known of a port's device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum PortState {
    /// It was not needed yet.
    #[default]
    Unknown,
    /// It is open.
    Open,
    /// It cannot be opened, or it went away.
    Unavailable {
        /// The cause and what to do about it.
        why: String,
        /// How many calls failed for it since it went away.
        calls: u64,
    },
}

/// One request line and what may answer it.
#[derive(Debug)]
pub struct Exchange {
    /// The request, without its ending.
    pub line: String,
    /// The lines that end the exchange.
    pub patterns: Arc<Patterns>,
    /// How long the device may take, from the exchange's turn. The time in the queue does not count, or a
    /// request would be sent with no time left to hear its answer.
    pub timeout: Duration,
    /// When to stop waiting, wherever the exchange is.
    pub deadline: Instant,
}

/// The line that ended an exchange.
#[derive(Debug)]
pub struct Answer {
    /// The line, without its ending.
    pub line: String,
    /// Whether it matched `fail`.
    pub refused: bool,
    /// All that crossed the wire.
    pub wire: Vec<WireFrame>,
}

/// The handle: cheap to clone.
#[derive(Debug, Clone)]
pub struct PortHandle {
    spec: Arc<SerialSpec>,
    requests: mpsc::Sender<Request>,
    state: watch::Receiver<PortState>,
}

/// The owner of the device. The daemon spawns [`PortTask::run`].
#[derive(Debug)]
pub struct PortTask {
    spec: Arc<SerialSpec>,
    requests: mpsc::Receiver<Request>,
    state: watch::Sender<PortState>,
    connection: Option<Connection>,
    /// What an exchange before left open. No request is begun while there is one.
    owed: Option<Owed>,
}

#[derive(Debug)]
struct Request {
    exchange: Exchange,
    reply: oneshot::Sender<Result<Answer, Failure>>,
    /// Set by the first of two: the task that begins, or the caller that gives up. So a caller that
    /// says "nothing was sent" is right.
    taken: Arc<AtomicBool>,
}

/// All that can wake the task.
enum Wake {
    Stop,
    Forgiven,
    Asked(Request),
    Heard(Vec<Frame>),
    Gone(io::Error),
}

impl PortHandle {
    /// Sends a line and waits for its answer, no longer than the deadline. If the future is dropped
    /// before its turn nothing is sent; after that the exchange goes on to its end, unheard.
    pub async fn exchange(&self, exchange: Exchange) -> Result<Answer, Failure> {
        check_line(&exchange.line, &self.spec.line_ending)?;
        let deadline = exchange.deadline;
        let busy = || ToolError::Busy { what: self.spec.name.clone() };
        let stopped = || device::unavailable(&self.spec, "the daemon is stopping".to_owned());
        let (reply, mut answer) = oneshot::channel();
        let taken = Arc::new(AtomicBool::new(false));
        let request = Request { exchange, reply, taken: taken.clone() };
        self.requests.try_send(request).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => busy(),
            mpsc::error::TrySendError::Closed(_) => stopped(),
        })?;
        let answered = match timeout_at(deadline.into(), &mut answer).await {
            Ok(answered) => answered,
            Err(_) if !taken.swap(true, Ordering::AcqRel) => return Err(busy().into()),
            // The exchange is under way and ends at the same deadline, so this wait is short.
            Err(_) => answer.await,
        };
        answered.unwrap_or_else(|_| {
            let begun = taken.load(Ordering::Acquire);
            let why = "the daemon is stopping".to_owned();
            let broken = ToolError::Broken { what: self.spec.name.clone(), why };
            Err(if begun { broken } else { stopped() }.into())
        })
    }

    /// Watches the port's state.
    pub fn state(&self) -> watch::Receiver<PortState> {
        self.state.clone()
    }

    /// The port's declaration.
    pub fn spec(&self) -> &SerialSpec {
        &self.spec
    }
}

/// A request is one line. Were there an ending in it, an argument could smuggle in a second request.
fn check_line(line: &str, ending: &str) -> Result<(), ToolError> {
    let refuse = |why: String| Err(ToolError::BadRequest { why });
    if line.len() > line::MAX_LINE_BYTES {
        return refuse(format!(
            "it has {} bytes; at most {} are sent in one line",
            line.len(),
            line::MAX_LINE_BYTES
        ));
    }
    if line.contains(ending) || line.chars().any(char::is_control) {
        return refuse("it has a line ending or another control character in it".to_owned());
    }
    Ok(())
}

impl PortTask {
    /// A port that is not open yet, and the handle to it.
    pub fn new(spec: SerialSpec) -> (Self, PortHandle) {
        let spec = Arc::new(spec);
        let (sender, requests) = mpsc::channel(QUEUE);
        let (state, watcher) = watch::channel(PortState::Unknown);
        let handle = PortHandle { spec: spec.clone(), requests: sender, state: watcher };
        (Self { spec, requests, state, connection: None, owed: None }, handle)
    }

    /// The configured name of the port.
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// Serves requests until `shutdown` ends, or all handles are gone. The exchange in hand is
    /// finished first, so that the record of it is true; those that wait are told that nothing was
    /// sent.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = pin!(shutdown);
        loop {
            let owed_until = self.owed.as_ref().map(Owed::until);
            let wake = tokio::select! {
                // What a device says comes last: one that never stops talking is always ready.
                biased;
                () = &mut shutdown => Wake::Stop,
                () = sleep_until(owed_until) => Wake::Forgiven,
                asked = self.requests.recv(), if owed_until.is_none() => {
                    asked.map_or(Wake::Stop, Wake::Asked)
                }
                heard = hear(self.connection.as_mut()) => heard.map_or_else(Wake::Gone, Wake::Heard),
            };
            match wake {
                Wake::Stop => return,
                Wake::Forgiven => self.owed = None,
                Wake::Asked(request) => self.serve(request).await,
                Wake::Heard(frames) => self.heard(&frames),
                Wake::Gone(error) => self.close(&error, 0),
            }
        }
    }

    async fn serve(&mut self, request: Request) {
        let Request { mut exchange, reply, taken } = request;
        if reply.is_closed() || taken.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut wire = Vec::new();
        exchange.deadline = exchange.deadline.min(Instant::now() + exchange.timeout);
        let result = match self.send(&exchange, &mut wire).await {
            Ok(()) => self.receive(&exchange, &mut wire).await,
            Err(error) => Err(error),
        };
        if result.as_ref().is_err_and(ToolError::effect_unknown) {
            let late = self.spec.late_ms.map_or(exchange.timeout, Duration::from_millis);
            self.owed = Some(Owed::new(exchange.patterns, Instant::now(), late));
        }
        // An error only says that the caller did not wait for the end.
        let _ = reply.send(match result {
            Ok((line, refused)) => Ok(Answer { line, refused, wire }),
            Err(error) => Err(Failure { error, wire }),
        });
    }

    async fn send(
        &mut self,
        exchange: &Exchange,
        wire: &mut Vec<WireFrame>,
    ) -> Result<(), ToolError> {
        let frame = format!("{}{}", exchange.line, self.spec.line_ending);
        loop {
            let reused = self.connection.is_some();
            let connection = self.connected()?;
            // A write that is ready at once would go out even after the deadline.
            if Instant::now() >= exchange.deadline {
                return Err(ToolError::Busy { what: self.spec.name.clone() });
            }
            let mut written = 0;
            let sent = match connection.drop_stale() {
                Ok(()) => {
                    let write = connection.write(frame.as_bytes(), &mut written);
                    timeout_at(exchange.deadline.into(), write).await
                }
                Err(error) => Ok(Err(error)),
            };
            if written > 0 {
                let text = line::escape(&frame.as_bytes()[..written]);
                wire.push(WireFrame { sent: true, text });
            }
            match sent {
                Ok(Ok(())) => return Ok(()),
                // The device went away while nobody looked and nothing was sent: a fresh connection
                // may be all that is missing. One that was just opened gets no second try.
                Ok(Err(error)) if written == 0 => {
                    self.close(&error, u64::from(!reused));
                    if !reused {
                        return Err(device::unavailable(&self.spec, error.to_string()));
                    }
                }
                Ok(Err(error)) => return Err(self.broken(&error)),
                Err(_) => {
                    let why = "the device does not take the request: check its cable and baud rate";
                    let error = io::Error::new(io::ErrorKind::TimedOut, why);
                    // Closing drops what is still to be sent.
                    if written > 0 {
                        return Err(self.broken(&error));
                    }
                    self.close(&error, 1);
                    return Err(device::unavailable(&self.spec, why.to_owned()));
                }
            }
        }
    }

    async fn receive(
        &mut self,
        exchange: &Exchange,
        wire: &mut Vec<WireFrame>,
    ) -> Result<(String, bool), ToolError> {
        let since = Instant::now();
        let mut unexpected = None;
        let error = loop {
            let Some(connection) = self.connection.as_mut() else {
                break io::ErrorKind::NotConnected.into();
            };
            // A device that never stops talking is always ready, and would outrun the timer.
            if Instant::now() >= exchange.deadline {
                return Err(self.unanswered(unexpected, since.elapsed()));
            }
            let frames = match timeout_at(exchange.deadline.into(), connection.read()).await {
                Ok(Ok(frames)) => frames,
                Ok(Err(error)) => break error,
                Err(_) => return Err(self.unanswered(unexpected, since.elapsed())),
            };
            for frame in frames {
                let (text, escaped) = match frame {
                    Frame::Line { text, wire } => (text, wire),
                    Frame::TooLong => {
                        let bound = line::MAX_LINE_BYTES;
                        let text = format!("(a line of more than {bound} bytes)");
                        record(wire, text.clone());
                        unexpected.get_or_insert(text);
                        continue;
                    }
                };
                record(wire, escaped);
                if let Some(refused) = exchange.patterns.judge(&text) {
                    return Ok((text, refused));
                }
                unexpected.get_or_insert(text);
            }
        };
        Err(self.broken(&error))
    }

    /// Passes over what was not asked for; of an answer that was owed it takes notice.
    fn heard(&mut self, frames: &[Frame]) {
        if self.owed.as_ref().is_some_and(|owed| owed.is_settled_by(frames)) {
            self.owed = None;
            let port = self.spec.name.as_str();
            warn!(port = port; "an answer came after its time was up: raise the tool's `timeout_ms`");
        }
    }

    fn unanswered(&self, unexpected: Option<String>, waited: Duration) -> ToolError {
        let what = self.spec.name.clone();
        match unexpected {
            Some(line) => {
                ToolError::Unexpected { what, answer: line.chars().take(SHOWN_CHARS).collect() }
            }
            None => ToolError::NoAnswer {
                what,
                ms: u64::try_from(waited.as_millis()).unwrap_or(u64::MAX),
            },
        }
    }

    fn connected(&mut self) -> Result<&mut Connection, ToolError> {
        if self.connection.is_none() {
            match Connection::open(&self.spec) {
                Ok(connection) => {
                    info!(port = self.spec.name.as_str(), path = self.spec.path.as_str(); "serial port opened");
                    self.state.send_replace(PortState::Open);
                    self.connection = Some(connection);
                }
                Err(why) => {
                    self.tell_unavailable(why.clone(), 1);
                    return Err(device::unavailable(&self.spec, why));
                }
            }
        }
        self.connection.as_mut().ok_or_else(|| device::unavailable(&self.spec, "closed".into()))
    }

    fn broken(&mut self, error: &io::Error) -> ToolError {
        self.close(error, 1);
        ToolError::Broken { what: self.spec.name.clone(), why: error.to_string() }
    }

    /// Closes the device, for which so many calls failed just now.
    fn close(&mut self, error: &io::Error, failed: u64) {
        self.connection = None;
        warn!(port = self.spec.name.as_str(), error:% = error; "serial port lost");
        let path = &self.spec.path;
        self.tell_unavailable(
            format!("{path} went away ({error}): plug the board in again"),
            failed,
        );
    }

    /// A repeat with the same cause and no failed call wakes nobody.
    fn tell_unavailable(&self, why: String, failed: u64) {
        self.state.send_if_modified(|known| {
            let before = match known {
                PortState::Unavailable { calls, .. } => *calls,
                _ => 0,
            };
            let state = PortState::Unavailable { why, calls: before + failed };
            let changed = *known != state;
            *known = state;
            changed
        });
    }
}

/// Waits for lines, or until the device is gone; for ever where none is open.
async fn hear(connection: Option<&mut Connection>) -> io::Result<Vec<Frame>> {
    match connection {
        Some(connection) => connection.read().await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Records a frame that was received.
fn record(wire: &mut Vec<WireFrame>, text: String) {
    wire.truncate(MAX_WIRE_FRAMES - 1);
    wire.push(WireFrame { sent: false, text });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_one_line_within_the_bound() {
        assert_eq!(check_line("SET fan on", "\n"), Ok(()));
        assert_eq!(check_line(&"a".repeat(line::MAX_LINE_BYTES), "\n"), Ok(()));
        for (line, ending) in [
            ("a".repeat(line::MAX_LINE_BYTES + 1), "\n"),
            ("SET fan\nSET pump on".into(), "\n"),
            ("SET fan\r".into(), "\n"),
            ("SET fan;SET pump on".into(), ";"),
            ("SET\u{1b}fan".into(), ";"),
        ] {
            let error = check_line(&line, ending).expect_err(&line);
            assert_eq!((error.code(), error.effect_unknown()), ("bad_request", false));
        }
    }

    #[test]
    fn the_record_of_an_exchange_is_bounded_and_keeps_its_last_frame() {
        let mut wire = Vec::new();
        for n in 1..=MAX_WIRE_FRAMES {
            record(&mut wire, n.to_string());
        }
        assert_eq!((wire.len(), wire[62].text.as_str()), (MAX_WIRE_FRAMES, "63"));
        record(&mut wire, "last".into());
        assert_eq!((wire.len(), wire[62].text.as_str()), (MAX_WIRE_FRAMES, "63"));
        assert_eq!(wire[MAX_WIRE_FRAMES - 1].text, "last");
    }
}
