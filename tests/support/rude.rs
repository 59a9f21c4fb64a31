//! A serial board that answers as a test tells it to, however rude that is.
//!
//! Bound: it keeps every line that it hears, and what it has not said yet; it is for one test.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use agentd::demo::cable::terminal;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How often the thread looks whether there is something to say. Bytes that come wake it at once.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };

/// The board and its cable.
pub struct RudeBoard {
    shared: Arc<Mutex<Shared>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    heard: Vec<String>,
    unsaid: Vec<u8>,
    unplugged: bool,
}

impl RudeBoard {
    /// Plugs a board in under a link. `answer` gives the bytes for each line that it hears.
    pub fn plug_in(
        link: &Path,
        mut answer: impl FnMut(&str) -> Vec<u8> + Send + 'static,
    ) -> std::io::Result<Self> {
        let (master, other_side) = terminal(link)?;
        rustix::io::ioctl_fionbio(&master, true)?;
        let shared = Arc::<Mutex<Shared>>::default();
        let of_thread = shared.clone();
        let serve = move || serve(master, other_side, &of_thread, &mut answer);
        let thread = std::thread::Builder::new().name("rude-board".into()).spawn(serve)?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// The lines that it has heard, without their endings.
    pub fn heard(&self) -> Vec<String> {
        lock(&self.shared).heard.clone()
    }

    /// Says something that it was not asked for at this moment.
    pub fn says(&self, bytes: &[u8]) {
        lock(&self.shared).unsaid.extend_from_slice(bytes);
    }

    /// Whether all that it had to say has gone out.
    pub fn has_said_all(&self) -> bool {
        lock(&self.shared).unsaid.is_empty()
    }
}

impl Drop for RudeBoard {
    fn drop(&mut self) {
        lock(&self.shared).unplugged = true;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been printed; nothing more can be done about it here.
            let _ = thread.join();
        }
    }
}

/// Hears and speaks at once: a daemon that does not read must not make the board deaf.
fn serve(
    mut master: File,
    other_side: OwnedFd,
    shared: &Mutex<Shared>,
    answer: &mut dyn FnMut(&str) -> Vec<u8>,
) {
    let (mut chunk, mut line) = ([0; 4096], Vec::new());
    loop {
        let wanted = match &*lock(shared) {
            Shared { unplugged: true, .. } => break,
            Shared { unsaid, .. } if unsaid.is_empty() => PollFlags::IN,
            _ => PollFlags::IN | PollFlags::OUT,
        };
        if poll(&mut [PollFd::new(&master, wanted)], Some(&LOOK)).is_err() {
            continue;
        }
        let heard = match master.read(&mut chunk) {
            Ok(count) => &chunk[..count],
            Err(e) if e.kind() == ErrorKind::WouldBlock => &[],
            Err(_) => break,
        };
        let mut shared = lock(shared);
        for byte in heard {
            if *byte != b'\n' {
                line.push(*byte);
                continue;
            }
            let request = String::from_utf8_lossy(&std::mem::take(&mut line)).into_owned();
            shared.unsaid.extend(answer(&request));
            shared.heard.push(request);
        }
        let most = shared.unsaid.len().min(chunk.len());
        if let Ok(said) = master.write(&shared.unsaid[..most]) {
            shared.unsaid.drain(..said);
        }
    }
    drop(other_side);
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
