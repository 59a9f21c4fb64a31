//! A simulated greenhouse board behind a real pseudo-terminal, speaking a line protocol.
//!
//! ```text
//!  SET <pump|fan|heater|lamp> <on|off> -> OK       SPEED <0..100>   -> OK
//!  TARGET <celsius>                    -> OK       READ             -> T=21.4 H=62
//!  GET <output>            -> <output> <state>     anything else    -> ERR unknown command
//! ```
//!
//! What it counts is what really crossed the wire, so that the demo and the tests need not believe the
//! daemon. Bound: the log keeps every line; it is for runs of minutes.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::cable::{Answer, Cable};

/// One line on the wire, as the board saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What the board received.
    pub request: String,
    /// What it answered; none where it kept silent.
    pub answer: Option<String>,
    /// When its last byte came.
    pub at: Instant,
}

/// What the board remembers, whether it is plugged in or not.
#[derive(Debug, Default)]
struct Board {
    lines: Vec<Line>,
    outputs: Vec<(String, String)>,
    readings: u32,
    silent: bool,
}

/// The board and its cable.
#[derive(Debug)]
pub struct Greenhouse {
    link: PathBuf,
    board: Arc<Mutex<Board>>,
    cable: Option<Cable>,
}

impl Greenhouse {
    /// Plugs a new board in. `link` becomes a symbolic link to its terminal, as udev would make one.
    pub fn plug_in(link: &Path) -> std::io::Result<Self> {
        let mut greenhouse = Self { link: link.into(), board: Arc::default(), cable: None };
        greenhouse.replug()?;
        Ok(greenhouse)
    }

    /// Plugs the board in again. It gets a new terminal under the same link.
    pub fn replug(&mut self) -> std::io::Result<()> {
        self.unplug();
        let board = Arc::clone(&self.board);
        let answer = move |request: &str| {
            let mut board = board.lock().unwrap_or_else(PoisonError::into_inner);
            board.hear(request)
        };
        self.cable = Some(Cable::plug_in(&self.link, answer)?);
        Ok(())
    }

    /// Pulls the cable: the terminal hangs up, and the link is gone.
    pub fn unplug(&mut self) {
        self.cable = None;
    }

    /// Whether the board does what is to act but does not answer; it still tells what it is asked.
    pub fn set_silent(&self, silent: bool) {
        self.board().silent = silent;
    }

    /// All lines since it was made, but for those that only read.
    pub fn actions(&self) -> Vec<Line> {
        self.board().lines.iter().filter(|line| !only_reads(&line.request)).cloned().collect()
    }

    /// How many lines crossed the wire.
    pub fn lines(&self) -> usize {
        self.board().lines.len()
    }

    /// The last state that each output was set to.
    pub fn output(&self, device: &str) -> Option<String> {
        let board = self.board();
        board.outputs.iter().rev().find(|(name, _)| name == device).map(|(_, s)| s.clone())
    }

    /// Sets an output by hand, past the daemon.
    pub fn set_output(&self, output: &str, state: &str) {
        self.board().outputs.push((output.into(), state.into()));
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn only_reads(request: &str) -> bool {
    request == "READ" || request.starts_with("GET ")
}

impl Board {
    /// Takes a line in, and says what goes back.
    fn hear(&mut self, request: &str) -> Option<Answer> {
        let at = Instant::now();
        let answer = self.answer(request);
        let answer = Some(answer).filter(|_| !self.silent || only_reads(request));
        let bytes = answer.as_ref().map(|answer| format!("{answer}\n").into_bytes());
        self.lines.push(Line { request: request.to_owned(), answer, at });
        bytes.map(|bytes| Answer { after: Duration::ZERO, bytes })
    }

    fn answer(&mut self, request: &str) -> String {
        let words: Vec<&str> = request.split(' ').collect();
        match words[..] {
            ["SET", device @ ("pump" | "fan" | "heater" | "lamp"), state @ ("on" | "off")] => {
                self.outputs.push((device.into(), state.into()));
                "OK".into()
            }
            ["SET", ..] => "ERR no such output".into(),
            ["SPEED", percent] if percent.parse().is_ok_and(|p: u32| p <= 100) => {
                self.outputs.push(("speed".into(), percent.into()));
                "OK".into()
            }
            ["TARGET", celsius] if celsius.parse::<f64>().is_ok() => {
                self.outputs.push(("target".into(), celsius.into()));
                "OK".into()
            }
            ["GET", output] => {
                let states = self.outputs.iter().rev();
                let state =
                    states.clone().find(|(name, _)| name == output).map(|(_, s)| s.as_str());
                format!("{output} {}", state.unwrap_or("never"))
            }
            ["READ"] => {
                self.readings += 1;
                // A slow wave around 21.5 degrees and 62 per cent.
                let phase = f64::from(self.readings) / 8.0;
                format!("T={:.1} H={:.0}", 21.5 + phase.sin(), 62.0 + 4.0 * phase.cos())
            }
            _ => "ERR unknown command".into(),
        }
    }
}
