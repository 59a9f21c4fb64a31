//! Feeds a parser and judges what each owes: no panic, no hang, and the properties that it promises.
//!
//! The input of number `i` is made from the seed `SEED + i` and nothing else, so that the input that broke
//! a parser is repeated alone by `make fuzz N=1 SEED=<its seed>`.
//!
//! Bounds: an input has [`MAX_INPUT_BYTES`]; it may take [`SLOW`], and after [`HANG`] the process is ended
//! with the input printed, since nothing else ends a loop.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::mutate::{Rng, mutate};

/// Above the bounds of most parsers, so that both sides of them are met; small enough for thousands.
pub(super) const MAX_INPUT_BYTES: usize = 256 * 1024;
/// Far more than the slowest takes on a slow machine, far less than what is quadratic takes.
const SLOW: Duration = Duration::from_secs(1);
const HANG: Duration = Duration::from_secs(60);
/// Inputs of each target in `make test`.
const DEFAULT_INPUTS: u64 = 4000;
/// How many bytes of a bad input are printed.
const SHOWN_BYTES: usize = 8192;

/// What a parser made of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Accepted,
    Refused,
}

impl Verdict {
    pub(super) fn of<T, E>(result: &Result<T, E>) -> Self {
        if result.is_ok() { Self::Accepted } else { Self::Refused }
    }
}

/// One parser.
pub(super) struct Target<'a> {
    pub(super) name: &'static str,
    /// Good inputs. Each must be accepted, or the corpus has gone stale.
    pub(super) corpus: Vec<Vec<u8>>,
    /// What matters to this parser.
    pub(super) words: &'a [&'a str],
    /// One of so many inputs is made: for a parser that is dear to call.
    pub(super) one_in: u64,
}

impl Target<'_> {
    /// Feeds the corpus and then damaged copies of it. `check` panics where a promise is broken.
    #[track_caller]
    pub(super) fn run(&self, check: impl Fn(&[u8]) -> Verdict) {
        for good in &self.corpus {
            let verdict = check(good);
            assert_eq!(verdict, Verdict::Accepted, "{}", String::from_utf8_lossy(good));
        }
        let asked = number("AGENTD_FUZZ_N");
        let seed = number("AGENTD_FUZZ_SEED").unwrap_or(1);
        let inputs = asked.unwrap_or(DEFAULT_INPUTS).div_ceil(self.one_in);
        let (mut accepted, mut slowest) = (0, Duration::ZERO);
        let in_hand = Mutex::new((0, Vec::new()));
        let (done, is_done) = channel::<()>();
        std::thread::scope(|scope| {
            let in_hand = &in_hand;
            scope.spawn(move || self.watch(&is_done, in_hand));
            // Dropped at the end of this closure, also where it panics: that ends the watch.
            let _done = done;
            for of in (0..inputs).map(|i| seed.wrapping_add(i)) {
                let input = mutate(&mut Rng::new(of), &self.corpus, self.words);
                *in_hand.lock().unwrap_or_else(PoisonError::into_inner) = (of, input.clone());
                let Ok((verdict, took)) = catch_unwind(AssertUnwindSafe(|| timed(&check, &input)))
                else {
                    panic!("{}", self.shown("fails", of, &input));
                };
                assert!(took < SLOW, "{}", self.shown(&format!("takes {took:?}"), of, &input));
                accepted += u64::from(verdict == Verdict::Accepted);
                slowest = slowest.max(took);
            }
        });
        println!(
            "{:<18}{inputs:>9} inputs{accepted:>9} accepted{:>9} refused, slowest {:.1} ms",
            self.name,
            inputs - accepted,
            slowest.as_secs_f64() * 1000.0
        );
    }

    /// Ends the process where one input is in hand for too long: a loop cannot be ended from outside.
    fn watch(&self, is_done: &Receiver<()>, in_hand: &Mutex<(u64, Vec<u8>)>) {
        let mut seen = None;
        while is_done.recv_timeout(HANG) == Err(RecvTimeoutError::Timeout) {
            let (of, input) = &*in_hand.lock().unwrap_or_else(PoisonError::into_inner);
            if seen.replace(*of) == Some(*of) {
                eprintln!("{}", self.shown("hangs", *of, input));
                std::process::abort();
            }
        }
    }

    fn shown(&self, what: &str, seed: u64, input: &[u8]) -> String {
        let head = &input[..input.len().min(SHOWN_BYTES)];
        let hex: String = head.iter().map(|byte| format!("{byte:02x}")).collect();
        format!(
            "{} {what}; repeat it with `make fuzz N=1 SEED={seed}`; {} bytes: {hex}\n{}",
            self.name,
            input.len(),
            String::from_utf8_lossy(head)
        )
    }
}

/// How long a check takes: the least of three runs where it is slow, because another process may have had
/// the processor meanwhile.
fn timed(check: impl Fn(&[u8]) -> Verdict, input: &[u8]) -> (Verdict, Duration) {
    let run = || {
        let begun = Instant::now();
        (check(input), begun.elapsed())
    };
    let first = run();
    if first.1 < SLOW {
        first
    } else {
        [first, run(), run()].into_iter().min_by_key(|r| r.1).unwrap_or(first)
    }
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a whole number")))
}

/// A text that a parser made of an input and that goes further: to a sender, a log, the store.
#[track_caller]
pub(super) fn bounded(text: &str, most_chars: usize) {
    let chars = text.chars().count();
    assert!(chars <= most_chars, "{chars} characters: {}", &text[..text.floor_char_boundary(400)]);
}

/// A text that one line of a log or a terminal can show.
#[track_caller]
pub(super) fn plain(text: &str) {
    assert!(!text.chars().any(char::is_control), "a control character in {text:?}");
}

/// The corpus of a parser that takes text.
pub(super) fn texts(corpus: &[&str]) -> Vec<Vec<u8>> {
    corpus.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// Cuts the input as reads from a stream would, differently for each input and the same at each run.
pub(super) fn pieces(input: &[u8]) -> Vec<&[u8]> {
    let mut rng = Rng::new(input.len() as u64);
    let most = *rng.pick(&[1, 2, 7, 100, 4096, 20_000]);
    let (mut pieces, mut rest) = (Vec::new(), input);
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rng.below(most + 1).clamp(1, rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces
}
