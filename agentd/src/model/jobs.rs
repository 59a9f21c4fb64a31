//! The asks in hand: each waits for a place, has its prompt decoded and its answer written, all beside one another.
//!
//! ```text
//!  arrived ─read─> waiting ─find a place─> at work ──decode together──> done
//!     └─ refused      in the order of their rank      [`share`] of each batch
//!                                     static part ready: what it would answer to nothing is scored ([`prior`])
//! ```
//!
//! Bound: the supervisor gives no more asks than there are sequences; one that finds no place behind the others waits,
//! and nobody of a lower rank goes before it.

use std::time::Instant;

use llama_cpp_2::token::LlamaToken;
use llguidance::Matcher;

use super::constraint::Constraint;
use super::frame::FromWorker;
use super::job::{Doing, Guess, Job, Scores};
use super::llama::{CHUNK, Engine, Part};
use super::search::Search;
use super::sequences::WARM;
use super::share::{Need, share};
use super::thinker::{Broken, Halt, Request, Thinker, Watch};
use super::writing::Writing;
use super::{Answer, ModelError, Usage, prior, recall};

/// The asks in hand.
#[derive(Default)]
pub(super) struct Jobs {
    arrived: Vec<Request>,
    waiting: Vec<Waiting>,
    at_work: Vec<Job>,
}

/// An ask that was read.
struct Waiting {
    request: Request,
    prompt: Vec<LlamaToken>,
    /// None where only the prompt's state is wanted.
    matcher: Option<Matcher>,
    grammar_us: u32,
    scores: Option<Scores>,
}

pub(super) type Say<'a> = &'a mut dyn FnMut(FromWorker);

impl Thinker for Engine<'_> {
    fn take(&mut self, request: Request) {
        self.jobs.arrived.push(request);
    }

    fn step(&mut self, watch: &Watch<'_>, say: Say<'_>) -> Result<(), Broken> {
        for request in std::mem::take(&mut self.jobs.arrived) {
            let id = request.id;
            match self.read(request) {
                // The state of a static part that is there, or was kept on the disk, needs no place.
                Ok(Waiting { request, prompt, matcher: None, .. }) if self.is_warm(&prompt) => {
                    let usage = Usage { reused: count(prompt.len()), ..Usage::default() };
                    self.score_or_say(request, prompt, usage, say);
                }
                Ok(waiting) => self.jobs.waiting.push(waiting),
                Err(halt) => say(halt.into_frame(id)),
            }
        }
        self.leave_off(watch, say);
        self.find_places(say);
        self.work(say).map_err(Broken)
    }

    fn is_idle(&self) -> bool {
        let Jobs { arrived, waiting, at_work } = &self.jobs;
        arrived.is_empty() && waiting.is_empty() && at_work.is_empty()
    }
}

impl Engine<'_> {
    /// Makes tokens of a prompt, and an automaton of its grammar.
    fn read(&mut self, request: Request) -> Result<Waiting, Halt> {
        let begun = Instant::now();
        let answers = request.max_tokens > 0;
        // The grammar first: to refuse it costs no prefill.
        let matcher = answers.then(|| self.constrainer.matcher(&request.grammar)).transpose();
        let matcher = matcher
            .map_err(|why| ModelError::Refused(format!("its grammar does not compile: {why}")))?;
        let grammar_us = u32::try_from(begun.elapsed().as_micros()).unwrap_or(u32::MAX);
        let prompt = self.prompt(&request.messages, request.tools.as_ref(), answers)?;
        let (n_prompt, n_answer, n_ctx) = (prompt.len(), request.max_tokens, self.n_ctx());
        let refused = |why: String| Err(ModelError::Refused(why).into());
        if !answers && n_prompt >= n_ctx as usize {
            return refused(format!(
                "it has {n_prompt} tokens, which leaves no room in the {n_ctx} of model.context"
            ));
        }
        if n_prompt + n_answer as usize > n_ctx as usize {
            return refused(format!(
                "its prompt has {n_prompt} tokens and its answer may have {n_answer}, which is more \
                 than the {n_ctx} of model.context"
            ));
        }
        Ok(Waiting { request, prompt, matcher, grammar_us, scores: None })
    }

    /// After a static part is there: has the openings scored that may come behind it, unless that is known, or says that
    /// all is done.
    pub(super) fn score_or_say(
        &mut self,
        request: Request,
        prefix: Vec<LlamaToken>,
        prepared: Usage,
        say: Say<'_>,
    ) {
        let is_known = match &request.grammar {
            Constraint::OneOf(openings) => self.knows(&prefix, openings),
            _ => {
                self.note_bare(&prefix);
                true
            }
        };
        if is_known {
            return say(self::prepared(&request, prepared));
        }
        let id = request.id;
        match self.read(prior::question(request)) {
            Ok(waiting) => {
                let scores = Some(Scores { prefix, prepared });
                self.jobs.waiting.push(Waiting { scores, ..waiting });
            }
            Err(halt) => say(halt.into_frame(id)),
        }
    }

    /// Leaves what is cancelled or too late.
    fn leave_off(&mut self, watch: &Watch<'_>, say: Say<'_>) {
        let mut goes_on = |request: &Request| match request.check(watch) {
            Ok(()) => true,
            Err(halt) => {
                say(halt.into_frame(request.id));
                false
            }
        };
        self.jobs.waiting.retain(|waiting| goes_on(&waiting.request));
        let sequences = &mut self.sequences;
        self.jobs.at_work.retain(|job| {
            let stays = goes_on(&job.request);
            if !stays {
                sequences.free(job.sequence);
            }
            stays
        });
    }

    /// Gives places to those who wait, as far as there is room.
    fn find_places(&mut self, say: Say<'_>) {
        // A static part before all: others would compute it a second time, and choose by what the model likes.
        let rank = |waiting: &Waiting| (!waiting.prepares(), waiting.request.rank());
        self.jobs.waiting.sort_by_key(rank);
        while let Some(first) = self.jobs.waiting.first() {
            let (cells, prompt) =
                (first.prompt.len() + first.request.max_tokens as usize, first.prompt.clone());
            let is_own = matches!(first.request.grammar, Constraint::Own(_));
            if is_own && self.is_preparing(&prompt) {
                return;
            }
            self.warm_for(&prompt);
            let Some(place) = self.sequences.find(&prompt, cells) else { return };
            let waiting = self.jobs.waiting.remove(0);
            let kept = self.settle(&place, cells);
            self.begin(waiting, place.sequence, kept, say);
        }
    }

    /// Whether the static part that a prompt begins with is on its way, or what would be answered to nothing behind it.
    fn is_preparing(&self, prompt: &[LlamaToken]) -> bool {
        self.jobs.at_work.iter().any(|job| match (&job.scores, &job.doing) {
            (Some(scores), _) => prompt.starts_with(&scores.prefix),
            (None, Doing::Preparing(_)) => {
                let held = self.sequences.tokens(job.sequence);
                prompt.starts_with(held) && prompt[held.len()..].starts_with(&job.pending)
            }
            (None, Doing::Writing(_)) => false,
        })
    }

    /// Whether a static part is there, or was kept on the disk.
    fn is_warm(&mut self, tokens: &[LlamaToken]) -> bool {
        // Where there is no room for it beside what is under way, it waits for a place.
        self.sequences.tokens(WARM) == tokens || self.restore(tokens)
    }

    fn begin(&mut self, waiting: Waiting, sequence: usize, kept: usize, say: Say<'_>) {
        let Waiting { request, prompt, matcher, grammar_us, scores } = waiting;
        let usage = Usage {
            reused: count(kept),
            prefilled: count(prompt.len() - kept),
            grammar_us,
            ..Usage::default()
        };
        let known = self.known(&prompt).filter(|_| matches!(request.grammar, Constraint::Own(_)));
        let prior = known.and_then(|known| known.prior.clone());
        let doing = match matcher {
            None => Doing::Preparing(usage),
            Some(matcher) => {
                let search = Search::of(&request.grammar);
                Doing::Writing(Box::new(Writing::new(matcher, usage, search, prior.clone())))
            }
        };
        let pending = prompt[kept..].to_vec();
        let writes = false;
        let guess = Guess::default();
        let asked = recall::name(&prompt);
        let job = Job { request, sequence, asked, pending, guess, writes, prior, scores, doing };
        // What the grammar forces at once is decoded along with the prompt.
        if let Some(job) = self.advance(job, None, say) {
            self.jobs.at_work.push(job);
        }
    }

    /// Decodes a batch, and lets those whose tokens are all decoded go on.
    fn work(&mut self, say: Say<'_>) -> Result<(), String> {
        let mut jobs = std::mem::take(&mut self.jobs.at_work);
        jobs.sort_by_key(|job| job.request.rank());
        jobs.iter_mut().for_each(|job| job.guess = Guess::default());
        if let [alone] = jobs.as_mut_slice() {
            let held = self.sequences.tokens(alone.sequence);
            let draft = self.draft.as_mut();
            alone.guess(held, self.guess_tokens, &self.recall, draft, &self.vocabulary);
        }
        let needs: Vec<Need> = jobs.iter().map(Job::need).collect();
        let shares = share(&needs, CHUNK);
        let parts = jobs.iter().zip(&shares).filter(|(_, share)| **share > 0);
        let parts: Vec<Part> = parts.map(|(job, share)| job.part(*share)).collect();
        if parts.is_empty() {
            self.jobs.at_work = jobs;
            return Ok(());
        }
        let mut ends = self.decode(&parts)?.into_iter();
        for (mut job, share) in jobs.into_iter().zip(shares) {
            let end = if share > 0 { ends.next() } else { None };
            job.pending.drain(..share.min(job.pending.len()));
            if share > 0 {
                job.usage().decodes += 1;
            }
            let job = match end.filter(|_| job.pending.is_empty()) {
                Some(end) => self.advance(job, Some(end), say),
                None => Some(job),
            };
            self.jobs.at_work.extend(job);
        }
        Ok(())
    }
}

impl Waiting {
    /// Whether it is about a static part, or what would be answered to nothing behind it.
    fn prepares(&self) -> bool {
        self.matcher.is_none() || self.scores.is_some()
    }
}

/// What is said of a state that is there.
pub(super) fn prepared(request: &Request, usage: Usage) -> FromWorker {
    let usage = Usage { total_ms: request.elapsed_ms(), ..usage };
    FromWorker::Done { id: request.id, answer: Answer { usage, ..Answer::default() } }
}

pub(super) fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
