//! What was said and done just before in a session, so that the model understands "and the other one too".
//!
//! It is kept in memory alone: after a restart a person says the whole sentence again. Bounds: [`SESSIONS`]
//! sessions, of which the one that was silent longest is forgotten first; one exchange each, for
//! [`KEPT_FOR`]; a sentence of more than [`MAX_CHARS`] is not kept, because the prompt has to have room for it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::command::Call;

/// Sessions that are remembered.
pub const SESSIONS: usize = 32;
/// How long an exchange is remembered.
pub const KEPT_FOR: Duration = Duration::from_secs(300);
/// The longest sentence that is remembered, in characters.
pub const MAX_CHARS: usize = 300;

/// First words of a sentence that goes on with the one before.
const FIRST: &[&str] = &[
    "and", "also", "now", "no", "nope", "wrong", "then", "same", "again", "actually", "but", "or",
];
/// The same, of two words.
const FIRST_TWO: &[&str] = &[
    "what about",
    "how about",
    "make that",
    "do that",
    "not that",
    "not the",
    "i meant",
    "i said",
    "change that",
    "change it",
    "turn it",
    "switch it",
    "put it",
    "once more",
];
/// Words before the first one that say nothing.
const FILLERS: &[&str] = &["sorry", "hm", "oh", "ah", "well", "please"];
/// Words that refer back wherever they stand.
const ANYWHERE: &[&str] = &["too", "same", "again", "instead", "other", "another", "likewise"];

/// Whether a sentence may refer to the one before. One that stands alone is asked alone: what was said before would
/// only lead a small model astray (of the examination's unseen machines it gets 47 instead of 61 % right then).
pub fn refers_back(say: &str) -> bool {
    let lower = say.to_lowercase();
    let words: Vec<&str> =
        lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let begin = words.iter().position(|word| !FILLERS.contains(word)).unwrap_or(words.len());
    let words = &words[begin..];
    let [first, rest @ ..] = words else { return false };
    let two = format!("{first} {}", rest.first().copied().unwrap_or_default());
    FIRST.contains(first)
        || FIRST_TWO.contains(&two.as_str())
        || words.iter().any(|word| ANYWHERE.contains(word))
        || words.windows(2).any(|pair| pair == ["as", "well"])
}

/// A sentence, and the calls that it was turned into.
#[derive(Debug, Clone, PartialEq)]
pub struct Exchange {
    /// The sentence.
    pub say: String,
    /// The calls, in order.
    pub calls: Vec<Call>,
}

/// The last exchange of each session.
#[derive(Debug, Default)]
pub struct Memory {
    /// The session that spoke last stands last.
    sessions: VecDeque<(String, Instant, Exchange)>,
}

impl Memory {
    /// Remembers an exchange in the place of the one before.
    pub fn remember(&mut self, session: &str, exchange: Exchange, now: Instant) {
        self.sessions.retain(|(name, ..)| name != session);
        if exchange.say.chars().count() > MAX_CHARS {
            return;
        }
        if self.sessions.len() == SESSIONS {
            self.sessions.pop_front();
        }
        self.sessions.push_back((session.to_owned(), now, exchange));
    }

    /// Forgets what a session said and did before, where it is so.
    pub fn forget_if(&mut self, session: &str, is_so: impl Fn(&Exchange) -> bool) {
        self.sessions.retain(|(name, _, exchange)| name != session || !is_so(exchange));
    }

    /// What a session said and did before.
    pub fn recall(&self, session: &str, now: Instant) -> Option<&Exchange> {
        let own = self.sessions.iter().find(|(name, ..)| name == session);
        let fresh = own.filter(|(_, at, _)| now.saturating_duration_since(*at) < KEPT_FOR);
        fresh.map(|(.., exchange)| exchange)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(say: &str) -> Exchange {
        Exchange { say: say.into(), calls: Vec::new() }
    }

    #[test]
    fn only_a_sentence_that_may_go_on_with_another_one_refers_back() {
        for say in [
            "And the lamp too.",
            "no, the left one",
            "What about the fan?",
            "the lamp as well",
            "I meant the fan",
            "Sorry, I meant the fan",
            "turn it off",
            "hm, change that to five",
        ] {
            assert!(refers_back(say), "{say}");
        }
        for say in [
            "turn on the pump",
            "is it well?",
            "note: nothing",
            "sorry",
            "turn the lamp on",
            "",
            "?!",
        ] {
            assert!(!refers_back(say), "{say}");
        }
    }

    #[test]
    fn a_session_has_its_last_exchange_and_no_other_ones() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        memory.remember("kitchen", exchange("lamp on"), now);
        memory.remember("hall", exchange("door shut"), now);
        memory.remember("kitchen", exchange("lamp off"), now);
        assert_eq!(memory.recall("kitchen", now), Some(&exchange("lamp off")));
        assert_eq!(memory.recall("hall", now), Some(&exchange("door shut")));
        assert_eq!(memory.recall("garage", now), None);
    }

    #[test]
    fn the_bounds_hold_at_and_one_over() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        for n in 0..SESSIONS {
            memory.remember(&n.to_string(), exchange("go"), now);
        }
        assert!(memory.recall("0", now).is_some());
        memory.remember("one more", exchange("go"), now);
        assert!(memory.recall("0", now).is_none(), "silent longest");
        assert!(memory.recall("1", now).is_some());

        assert!(memory.recall("1", now + KEPT_FOR - Duration::from_millis(1)).is_some());
        assert!(memory.recall("1", now + KEPT_FOR).is_none());

        memory.remember("1", exchange(&"é".repeat(MAX_CHARS)), now);
        assert!(memory.recall("1", now).is_some());
        memory.remember("1", exchange(&"é".repeat(MAX_CHARS + 1)), now);
        assert!(memory.recall("1", now).is_none(), "and nothing older is taken for the last one");
    }
}
