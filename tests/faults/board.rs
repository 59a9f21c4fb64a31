//! The board of the campaign: it counts what it is told to do, by the number that each line carries.
//!
//! ```text
//!  MARK n   LEVEL n   PRESS n   STAMP n   -> OK
//!  READ n -> T=21.5       DID n -> DID n 1 where it did n, else DID n 0
//! ```
//!
//! Whatever mood it is in, it does what it is told: only its answer is late, missing or nonsense. So what
//! it counts is what the daemon caused, and the daemon's record has to agree with it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use agentd::demo::cable::{Answer, Cable};
use tokio::sync::watch;

/// How it answers what is to act, the next time it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Late(Duration),
    Mute,
    Garbage,
}

/// Something that it did.
#[derive(Debug, Clone)]
pub(crate) struct Action {
    /// `MARK`, `LEVEL`, `PRESS` or `STAMP`.
    pub(crate) word: String,
    pub(crate) number: u32,
    pub(crate) at: Instant,
    /// The same by the wall clock, which the trace of a daemon is told in.
    pub(crate) wall: SystemTime,
}

#[derive(Debug, Default)]
struct State {
    actions: Vec<Action>,
    mood: Option<Mood>,
}

/// The board, plugged in or not.
#[derive(Debug)]
pub(crate) struct Board {
    link: PathBuf,
    state: Arc<Mutex<State>>,
    /// How many actions there were, for those who wait for one.
    count: Arc<watch::Sender<usize>>,
    cable: Option<Cable>,
}

impl Board {
    pub(crate) fn plug_in(link: &Path) -> std::io::Result<Self> {
        let count = Arc::new(watch::Sender::new(0));
        let mut board = Self { link: link.into(), state: Arc::default(), count, cable: None };
        board.replug()?;
        Ok(board)
    }

    pub(crate) fn replug(&mut self) -> std::io::Result<()> {
        self.unplug();
        let (state, count) = (Arc::clone(&self.state), Arc::clone(&self.count));
        let answer = move |line: &str| {
            let answer = lock(&state).hear(line);
            count.send_replace(lock(&state).actions.len());
            answer
        };
        self.cable = Some(Cable::plug_in(&self.link, answer)?);
        Ok(())
    }

    pub(crate) fn unplug(&mut self) {
        self.cable = None;
    }

    /// Puts it into a mood for one answer. It has happened when [`Board::mood`] is none again.
    pub(crate) fn set_mood(&self, mood: Option<Mood>) {
        lock(&self.state).mood = mood;
    }

    pub(crate) fn mood(&self) -> Option<Mood> {
        lock(&self.state).mood
    }

    /// Wakes at each action.
    pub(crate) fn count(&self) -> watch::Receiver<usize> {
        self.count.subscribe()
    }

    pub(crate) fn actions(&self) -> Vec<Action> {
        lock(&self.state).actions.clone()
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn hear(&mut self, line: &str) -> Option<Answer> {
        let answer = |after, text: &[u8]| Some(Answer { after, bytes: text.to_vec() });
        let (word, number) = line.split_once(' ').unwrap_or((line, ""));
        match (word, number.parse()) {
            ("READ", Ok::<u32, _>(_)) => answer(Duration::ZERO, b"T=21.5\n"),
            ("DID", Ok(number)) => {
                let did = u8::from(self.actions.iter().any(|action| action.number == number));
                answer(Duration::ZERO, format!("DID {number} {did}\n").as_bytes())
            }
            ("MARK" | "LEVEL" | "PRESS" | "STAMP", Ok(number)) => {
                let (at, wall) = (Instant::now(), SystemTime::now());
                self.actions.push(Action { word: word.to_owned(), number, at, wall });
                match self.mood.take() {
                    None => answer(Duration::ZERO, b"OK\n"),
                    Some(Mood::Late(after)) => answer(after, b"OK\n"),
                    Some(Mood::Mute) => None,
                    Some(Mood::Garbage) => answer(Duration::ZERO, b"\x00\xff?K0\x7f\r\nO\n\nKO\n"),
                }
            }
            _ => answer(Duration::ZERO, b"ERR unknown command\n"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_by_number_in_any_mood_and_a_mood_holds_for_one_action() {
        let mut state = State::default();
        for (mood, expected) in [
            (Some(Mood::Mute), None),
            (None, Some("OK\n")),
            (Some(Mood::Late(Duration::from_secs(1))), Some("OK\n")),
        ] {
            state.mood = mood;
            let answer = state.hear("MARK 7").map(|answer| answer.bytes);
            assert_eq!(answer.as_deref(), expected.map(str::as_bytes));
            assert_eq!(state.mood, None);
        }
        state.mood = Some(Mood::Mute);
        assert!(state.hear("READ 8").is_some(), "a look is no action");
        for (line, expected) in [("DID 7", "DID 7 1\n"), ("DID 8", "DID 8 0\n")] {
            assert_eq!(state.hear(line).map(|it| it.bytes).as_deref(), Some(expected.as_bytes()));
        }
        assert_eq!(state.mood, Some(Mood::Mute));
        assert_eq!(state.actions.len(), 3);
        assert!(state.hear("MARK").is_some_and(|answer| answer.bytes.starts_with(b"ERR")));
        assert!(state.actions.iter().all(|action| action.number == 7 && action.word == "MARK"));
    }
}
