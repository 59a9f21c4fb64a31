//! One worker process, from the daemon's side: its socket, its log, its end.
//!
//! Bounds: a line of its log is cut at [`LINE_BYTES`]; the last [`LINES`] of them are kept to say what
//! it died of. The process is killed when this is dropped.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use bytes::BytesMut;
use futures_util::StreamExt as _;
use log::{debug, info};
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;
use tokio_util::codec::{Decoder, FramedRead};

use super::frame::{self, FrameDecoder, FrameError, FromWorker, ToWorker};
use super::native::Native;
use super::restart::Death;
use super::worker::UNUSABLE;

/// Where a line of the worker's log is cut.
pub const LINE_BYTES: usize = 4096;
/// Lines of the log that are kept.
pub const LINES: usize = 20;
/// How long the rest of the log of a dead worker is waited for.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// A worker that was started.
pub struct Process {
    child: Child,
    frames: FramedRead<OwnedReadHalf, FrameDecoder<FromWorker>>,
    socket: OwnedWriteHalf,
    log: FramedRead<ChildStderr, LineDecoder>,
    log_ended: bool,
    last_lines: VecDeque<String>,
    /// What it said of its own end.
    fatal: Option<String>,
}

/// What comes from a worker.
#[derive(Debug)]
pub enum Said {
    /// A frame.
    Frame(FromWorker),
    /// It is gone, and this is why.
    Gone(Death),
}

/// Why a frame did not reach the worker.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// It cannot be written.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The worker does not read.
    #[error("the worker does not read what it is sent")]
    Stuck,
}

impl SendError {
    /// Whether the frame was refused for its size, so that nothing was sent.
    pub fn is_too_large(&self) -> bool {
        matches!(self, Self::Frame(FrameError::TooLarge { .. }))
    }
}

/// How often an OpenMP thread looks before it goes to sleep at a barrier. libgomp's default is milliseconds of
/// looking, while a preempted thread holds up the others: on two cores of which others took a share a
/// command took 2.2 s with it, 0.35 s with this, and 0.5 s with one thread. Whoever sets it is heard.
fn spin_count() -> std::ffi::OsString {
    std::env::var_os("GOMP_SPINCOUNT").unwrap_or_else(|| "3000".into())
}

impl Process {
    /// Starts `executable` with a socket as its stdin.
    pub fn start(executable: &Path, arguments: &[String]) -> io::Result<Self> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let mut child = Command::new(executable)
            .args(arguments)
            .env("GOMP_SPINCOUNT", spin_count())
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stderr = child.stderr.take().ok_or_else(|| io::Error::other("it has no stderr"))?;
        let (read, socket) = UnixStream::from_std(ours)?.into_split();
        Ok(Self {
            child,
            frames: FramedRead::new(read, FrameDecoder::default()),
            socket,
            log: FramedRead::new(stderr, LineDecoder),
            log_ended: false,
            last_lines: VecDeque::new(),
            fatal: None,
        })
    }

    /// The process's id; nothing once its end was seen.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits for the next frame, or for the end. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Said {
        loop {
            tokio::select! {
                frame = self.frames.next() => match frame {
                    Some(Ok(FromWorker::Fatal { message })) => self.fatal = Some(message),
                    Some(Ok(frame)) => return Said::Frame(frame),
                    Some(Err(e)) => {
                        let why = format!("it sent what cannot be read: {e}");
                        return Said::Gone(self.post_mortem(&why).await);
                    }
                    None => return Said::Gone(self.post_mortem("its socket closed").await),
                },
                line = self.log.next(), if !self.log_ended => self.keep_line(line),
            }
        }
    }

    /// Waits until the worker has loaded its model, and gives the file's hash, and how it wants to be offered tools.
    pub async fn loaded(&mut self) -> Result<(String, Option<Native>), Death> {
        loop {
            match self.next().await {
                Said::Frame(FromWorker::Loading { percent }) => {
                    debug!(percent = percent; "model loads")
                }
                Said::Frame(FromWorker::Ready {
                    name,
                    sha256,
                    n_ctx,
                    threads,
                    device,
                    load_ms,
                    native,
                }) => {
                    info!(model = name.as_str(), n_ctx = n_ctx, threads = threads,
                          device = device.as_str(), load_ms = load_ms, native:? = native; "model ready");
                    return Ok((sha256, native));
                }
                Said::Frame(frame) => {
                    return Err(self.kill(&format!("it said {frame:?} before it was ready")).await);
                }
                Said::Gone(death) => return Err(death),
            }
        }
    }

    /// Sends a frame; a worker that does not read it within `patience` is stuck.
    pub async fn send(&mut self, frame: &ToWorker, patience: Duration) -> Result<(), SendError> {
        let mut bytes = BytesMut::new();
        frame::encode(frame, &mut bytes)?;
        match timeout(patience, self.socket.write_all(&bytes)).await {
            Ok(written) => Ok(written.map_err(FrameError::from)?),
            Err(_) => Err(SendError::Stuck),
        }
    }

    /// Asks the worker to stop, and kills it where it has not within `patience`.
    pub async fn stop(&mut self, patience: Duration) {
        // Where it is gone already this fails at once, and so does the wait.
        let _ = self.send(&ToWorker::Stop, patience).await;
        if timeout(patience, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }

    /// Kills the worker for a reason, and gives the whole cause.
    pub async fn kill(&mut self, why: &str) -> Death {
        let _ = self.child.kill().await;
        let last = self.last_words().await;
        Death { cause: format!("{why} and was killed{last}"), is_crash: true }
    }

    /// Makes sure that the worker is gone, and says what it died of.
    pub async fn post_mortem(&mut self, seen: &str) -> Death {
        // Its socket is closed or useless, so that it is about to end or never will.
        let status = match timeout(LAST_WORDS, self.child.wait()).await {
            Ok(status) => status,
            Err(_) => return self.kill(seen).await,
        };
        let last = self.last_words().await;
        let code = status.as_ref().ok().and_then(|status| status.code());
        let cause = match (&self.fatal, status) {
            // It knew why; what llama.cpp said before tells more where that is not the same.
            (Some(fatal), _) if last.contains(fatal.as_str()) => fatal.clone(),
            (Some(fatal), _) => format!("{fatal}{last}"),
            (None, Ok(status)) => format!("it {}{last}", ending(status)),
            (None, Err(e)) => format!("{seen}, and its exit status cannot be had ({e}){last}"),
        };
        Death { cause, is_crash: code != Some(i32::from(UNUSABLE)) }
    }

    /// Reads the log to its end, and gives its last telling line with a colon before it.
    async fn last_words(&mut self) -> String {
        let rest = async {
            while !self.log_ended {
                let line = self.log.next().await;
                self.keep_line(line);
            }
        };
        // A grandchild that holds the pipe open must not hold this up.
        let _ = timeout(LAST_WORDS, rest).await;
        last_telling(&self.last_lines).map_or_else(String::new, |line| format!(": {line}"))
    }

    fn keep_line(&mut self, line: Option<io::Result<String>>) {
        match line {
            Some(Ok(line)) if line.trim().is_empty() => {}
            Some(Ok(line)) => {
                debug!(line = line.as_str(); "worker");
                if self.last_lines.len() == LINES {
                    self.last_lines.pop_front();
                }
                self.last_lines.push_back(line);
            }
            Some(Err(_)) | None => self.log_ended = true,
        }
    }
}

/// How a process ended, after "it".
fn ending(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => {
            let name = match signal {
                4 => " (SIGILL: the program was built for another processor)",
                6 => " (SIGABRT)",
                7 => " (SIGBUS: the file changed or its disk failed)",
                9 => " (SIGKILL: perhaps there was no memory left)",
                11 => " (SIGSEGV)",
                15 => " (SIGTERM)",
                _ => "",
            };
            format!("was ended by signal {signal}{name}")
        }
        (None, Some(code)) => format!("exited with code {code}"),
        (None, None) => format!("ended with {status}"),
    }
}

/// The last line that tells why, else nothing: llama.cpp's chatter tells a person nothing. The line
/// with the cause comes first and is followed by others that only say that something failed.
fn last_telling(lines: &VecDeque<String>) -> Option<&str> {
    const CAUSES: &[&str] = &["error", "assert", "panicked", "out of memory"];
    const EFFECTS: &[&str] = &["failed", "cannot", "unable", "abort"];
    let last_with = |words: &[&str]| {
        let tells = |line: &&String| {
            let line = line.to_lowercase();
            words.iter().any(|word| line.contains(word))
        };
        lines.iter().rev().find(tells)
    };
    last_with(CAUSES).or_else(|| last_with(EFFECTS)).map(|line| line.trim())
}

/// Lines of a log: whatever bytes they hold and however long they are.
#[derive(Debug)]
struct LineDecoder;

impl Decoder for LineDecoder {
    type Item = String;
    type Error = io::Error;

    fn decode(&mut self, buffer: &mut BytesMut) -> io::Result<Option<String>> {
        let end = buffer.iter().take(LINE_BYTES).position(|byte| *byte == b'\n');
        let length = match end {
            Some(end) => end + 1,
            None if buffer.len() >= LINE_BYTES => LINE_BYTES,
            None => return Ok(None),
        };
        let line = buffer.split_to(length);
        Ok(Some(String::from_utf8_lossy(&line).trim_end().to_owned()))
    }

    fn decode_eof(&mut self, buffer: &mut BytesMut) -> io::Result<Option<String>> {
        match self.decode(buffer)? {
            None if !buffer.is_empty() => {
                let line = buffer.split();
                Ok(Some(String::from_utf8_lossy(&line).trim_end().to_owned()))
            }
            line => Ok(line),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_at_its_bound_and_not_before() {
        let mut at = BytesMut::from(format!("{}\n", "a".repeat(LINE_BYTES - 1)).as_bytes());
        assert_eq!(LineDecoder.decode(&mut at).unwrap().unwrap().len(), LINE_BYTES - 1);
        let mut over = BytesMut::from("a".repeat(LINE_BYTES + 1).as_bytes());
        assert_eq!(LineDecoder.decode(&mut over).unwrap().unwrap().len(), LINE_BYTES);
        assert_eq!(LineDecoder.decode(&mut over).unwrap(), None);
        assert_eq!(LineDecoder.decode_eof(&mut over).unwrap().as_deref(), Some("a"));
    }

    #[test]
    fn the_last_line_that_tells_something_is_found_among_chatter() {
        let lines = ["begin", "load: error loading model: why", "it failed to load", "x = 1"];
        let lines: VecDeque<_> = lines.into_iter().map(str::to_owned).collect();
        assert_eq!(last_telling(&lines), Some("load: error loading model: why"));
        let effect = VecDeque::from(["it failed to load".to_owned(), "x = 1".to_owned()]);
        assert_eq!(last_telling(&effect), Some("it failed to load"));
        assert_eq!(last_telling(&VecDeque::from(["chatter".to_owned()])), None);
    }

    #[test]
    fn a_signal_is_named() {
        assert!(ending(ExitStatus::from_raw(9)).contains("SIGKILL"));
        assert_eq!(ending(ExitStatus::from_raw(3 << 8)), "exited with code 3");
    }
}
