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

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::pty::OpenptFlags;
use rustix::termios::OptionalActions;

/// How often the thread looks whether it is to end. Bytes wake it at once.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

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

#[derive(Debug)]
struct Cable {
    unplugged: Arc<AtomicBool>,
    thread: JoinHandle<()>,
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
        let (master, other_side) = terminal(&self.link)?;
        let unplugged = Arc::new(AtomicBool::new(false));
        let (stop, board) = (Arc::clone(&unplugged), Arc::clone(&self.board));
        let thread = std::thread::Builder::new()
            .name("greenhouse".into())
            .spawn(move || serve(master, other_side, &stop, &board))?;
        self.cable = Some(Cable { unplugged, thread });
        Ok(())
    }

    /// Pulls the cable: the terminal hangs up, and the link is gone.
    pub fn unplug(&mut self) {
        if let Some(cable) = self.cable.take() {
            cable.unplugged.store(true, Ordering::Relaxed);
            let _ = std::fs::remove_file(&self.link);
            // A panic of the thread has been printed; nothing more can be done about it here.
            let _ = cable.thread.join();
        }
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

impl Drop for Greenhouse {
    fn drop(&mut self) {
        self.unplug();
    }
}

/// A new terminal: the board's end of it, and the other, which `link` leads to. While nobody has the other
/// end open, reading the board's fails: so the board holds it too. Dropping both hangs the terminal up.
pub fn terminal(link: &Path) -> std::io::Result<(File, OwnedFd)> {
    let master =
        rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    rustix::pty::grantpt(&master)?;
    rustix::pty::unlockpt(&master)?;
    let path = rustix::pty::ptsname(&master, Vec::new())?;
    let mut termios = rustix::termios::tcgetattr(&master)?;
    termios.make_raw();
    rustix::termios::tcsetattr(&master, OptionalActions::Now, &termios)?;
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let other_side = rustix::fs::open(path.as_c_str(), flags, Mode::empty())?;
    match std::fs::remove_file(link) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    std::os::unix::fs::symlink(path.to_string_lossy().as_ref(), link)?;
    Ok((File::from(master), other_side))
}

/// Answers lines until the cable is pulled. Dropping both sides is what hangs the terminal up.
fn serve(mut master: File, other_side: OwnedFd, stop: &AtomicBool, board: &Mutex<Board>) {
    let mut buffer = [0u8; 512];
    let mut waiting = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let ready = poll(&mut [PollFd::new(&master, PollFlags::IN)], Some(&LOOK));
        if !matches!(ready, Ok(n) if n > 0) {
            continue;
        }
        let Ok(count) = master.read(&mut buffer) else { break };
        waiting.extend_from_slice(&buffer[..count]);
        while let Some(end) = waiting.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = waiting.drain(..=end).collect();
            let (at, request) = (Instant::now(), String::from_utf8_lossy(&line).trim().to_owned());
            let mut board = board.lock().unwrap_or_else(PoisonError::into_inner);
            let answer = board.answer(&request);
            let answer = Some(answer).filter(|_| !board.silent || only_reads(&request));
            if let Some(answer) = &answer {
                let _ = master.write_all(format!("{answer}\n").as_bytes());
            }
            board.lines.push(Line { request, answer, at });
        }
    }
    drop(other_side);
}

fn only_reads(request: &str) -> bool {
    request == "READ" || request.starts_with("GET ")
}

impl Board {
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
