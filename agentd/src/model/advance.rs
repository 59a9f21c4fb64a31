//! How one of the [jobs](super::jobs) goes on once its tokens are decoded: what is chosen, what of a guess was right, which
//! way is gone next, and what is said of it.

use llama_cpp_2::token::LlamaToken;

use super::frame::FromWorker;
use super::job::{Doing, Job, Scores};
use super::jobs::{Say, prepared};
use super::llama::Engine;
use super::path::Desk;
use super::sequences::common;
use super::thinker::{Halt, Request};
use super::writing::Writing;

impl Engine<'_> {
    /// Goes on with a job: from its beginning, or with the logits at `end` of the last batch. None: it has ended.
    pub(super) fn advance(&mut self, mut job: Job, end: Option<i32>, say: Say<'_>) -> Option<Job> {
        if let Doing::Preparing(usage) = &job.doing {
            if end.is_none() {
                return Some(job);
            }
            let (usage, prefix) = (usage.clone(), self.sequences.tokens(job.sequence).to_vec());
            self.warm_from(job.sequence);
            self.score_or_say(job.request, prefix, usage, say);
            return None;
        }
        job.writes = end.is_some();
        let goes_on = match end {
            None => self.open(&mut job, say),
            Some(end) => self.choose(&mut job, end, say),
        };
        let Job { request, sequence, asked, pending, scores, doing, .. } = &mut job;
        let (id, sequence) = (request.id, *sequence);
        let Doing::Writing(writing) = doing else { return Some(job) };
        let ended = match goes_on {
            Ok(true) => return Some(job),
            Ok(false) => self.go_elsewhere(request, sequence, pending, writing),
            Err(halt) => Err(halt),
        };
        let ended = match ended {
            Ok(true) => return Some(job),
            Ok(false) => match scores.take() {
                Some(Scores { prefix, prepared: usage }) => {
                    self.learn(prefix, &request.grammar, writing.finish(request));
                    prepared(request, usage)
                }
                None => {
                    let answer = writing.finish(request);
                    self.recall.note(*asked, std::mem::take(&mut writing.best));
                    FromWorker::Done { id, answer }
                }
            },
            Err(halt) => halt.into_frame(id),
        };
        self.sequences.free(sequence);
        say(ended);
        None
    }

    /// Writes what the grammar forces at once. `true`: it needs the logits after what is pending.
    fn open(&mut self, job: &mut Job, say: Say<'_>) -> Result<bool, Halt> {
        let Job { request, sequence, pending, doing, .. } = job;
        let Doing::Writing(writing) = doing else { return Ok(true) };
        let held = self.sequences.tokens(*sequence).len();
        let mut desk = Desk::new(&self.vocabulary, request.max_tokens, held, pending);
        let goes_on = writing.go_on(request, &mut desk);
        show(request, writing, desk.shown, say);
        goes_on
    }

    /// Chooses by the logits at `end` of the last batch, or, where it ended in a guess, by those before it and for as long
    /// as the guess is right. Returns as [`open`](Self::open) does.
    fn choose(&mut self, job: &mut Job, end: i32, say: Say<'_>) -> Result<bool, Halt> {
        let Job { request, sequence, pending, guess, prior, doing, .. } = job;
        let Doing::Writing(writing) = doing else { return Ok(true) };
        let mut right = 0;
        let goes_on = loop {
            let left = guess.tokens.len() - right;
            let held = self.sequences.tokens(*sequence).len() - left;
            let logits = self.logits(end - i32::try_from(left).unwrap_or_default());
            let mut desk = Desk::new(&self.vocabulary, request.max_tokens, held, pending);
            let goes_on = writing.choose(logits, prior.as_deref(), request, &mut desk);
            show(request, writing, desk.shown, say);
            let decoded = common(pending, &guess.tokens[right..]);
            pending.drain(..decoded);
            right += decoded;
            if !pending.is_empty() || decoded == 0 || !matches!(goes_on, Ok(true)) {
                break goes_on;
            }
        };
        writing.was_guessed(guess.tokens.len(), right);
        let wrong = guess.tokens.len() - right;
        if wrong > 0 {
            let (sequence, tokens) = (*sequence, self.sequences.tokens(*sequence));
            let held = tokens[..tokens.len() - wrong].to_vec();
            if !self.shorten(sequence, held.len()) && matches!(goes_on, Ok(true)) {
                // A model that cannot go back has to begin again.
                pending.splice(..0, held);
            }
        }
        goes_on
    }

    /// After a way of an answer has come to its end: whether there is another one to be gone.
    fn go_elsewhere(
        &mut self,
        request: &Request,
        sequence: usize,
        pending: &mut Vec<LlamaToken>,
        writing: &mut Writing,
    ) -> Result<bool, Halt> {
        while let Some(fork) = writing.next_fork() {
            // What is left of the way before is decided and wanted by nobody.
            pending.clear();
            let (held, again) = fork.back(self.sequences.tokens(sequence));
            pending.extend_from_slice(again);
            if !self.shorten(sequence, held) {
                return Ok(false);
            }
            let mut desk = Desk::new(&self.vocabulary, request.max_tokens, held, pending);
            if writing.take(fork, request, &mut desk)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Says what was written, where it is wanted: one piece for all that a choice brings with it.
fn show(request: &Request, writing: &Writing, text: String, say: Say<'_>) {
    if request.shows && writing.is_first() && !text.is_empty() {
        say(FromWorker::Piece { id: request.id, text });
    }
}
