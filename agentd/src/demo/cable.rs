//! A pseudo-terminal in the place of a serial cable, with somebody at its far end who answers lines.
//!
//! Bounds: the thread notices within [`LOOK`] that the cable was pulled, or that its last user is gone; bytes
//! wake it at once.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::pty::OpenptFlags;
use rustix::termios::OptionalActions;

/// How often the thread looks whether it is to end.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };

/// What the far end says to a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// How long it takes.
    pub after: Duration,
    /// The bytes, with the line's ending.
    pub bytes: Vec<u8>,
}

/// A cable that is plugged in. Dropping it pulls it: the terminal hangs up, and its link is gone.
#[derive(Debug)]
pub struct Cable {
    link: PathBuf,
    // Both are taken when it is dropped: the channel's end is what ends the thread.
    plugged: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Cable {
    /// Plugs in. `link` becomes a symbolic link to the terminal, as udev would make one; `answer` is
    /// given each line without its ending, and says nothing where it returns none.
    pub fn plug_in(
        link: &Path,
        answer: impl FnMut(&str) -> Option<Answer> + Send + 'static,
    ) -> std::io::Result<Self> {
        let (master, other_side) = terminal(link)?;
        let (plugged, pulled) = channel();
        let thread = std::thread::Builder::new()
            .name("cable".into())
            .spawn(move || serve(master, other_side, &pulled, answer))?;
        Ok(Self { link: link.into(), plugged: Some(plugged), thread: Some(thread) })
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.plugged.take();
        let _ = std::fs::remove_file(&self.link);
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been printed; nothing more can be done about it here.
            let _ = thread.join();
        }
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
fn serve(
    mut master: File,
    other_side: OwnedFd,
    pulled: &Receiver<()>,
    mut answer: impl FnMut(&str) -> Option<Answer>,
) {
    let mut buffer = [0u8; 512];
    let mut waiting = Vec::new();
    while pulled.try_recv() != Err(TryRecvError::Disconnected) {
        // A device is free again when its last user is gone. This one always has a user, who holds it open
        // here: without this, a daemon that was killed would keep its successor out.
        let _ = rustix::termios::ioctl_tiocnxcl(&other_side);
        let ready = poll(&mut [PollFd::new(&master, PollFlags::IN)], Some(&LOOK));
        if !matches!(ready, Ok(n) if n > 0) {
            continue;
        }
        let Ok(count) = master.read(&mut buffer) else { break };
        waiting.extend_from_slice(&buffer[..count]);
        while let Some(end) = waiting.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = waiting.drain(..=end).collect();
            let Some(Answer { after, bytes }) = answer(String::from_utf8_lossy(&line).trim())
            else {
                continue;
            };
            if pulled.recv_timeout(after) == Err(RecvTimeoutError::Disconnected) {
                return;
            }
            let _ = master.write_all(&bytes);
        }
    }
}
