//! A script in the model's place, for tests: the same process, the same frames, answers from a file.
//!
//! ```toml
//! [[reply]]
//! when = "pump"                               # a regular expression over the last user message
//! say = "set_output(device=pump, state=on)"
//! confidence = 0.4                            # how sure it is; 1 where it is not said
//! delay_ms = 200                              # before it answers; a cancelled ask does not wait
//! then = "answer"                             # answer | crash | hang | exit
//! ```
//!
//! The first reply whose `when` matches is given. Its text is checked against the ask's grammar as a
//! model's would be, so that a script cannot say what no model could.

use std::path::Path;
use std::time::{Duration, Instant};

use config::{Config, File, FileFormat};
use llguidance::toktrie::ApproximateTokEnv;
use regex::Regex;
use serde::Deserialize;

use super::constrain::Constrainer;
use super::frame::FromWorker;
use super::thinker::{Broken, Halt, Request, Thinker, Watch};
use super::{Alternative, Answer, ModelError, Usage};

/// A script that was read.
pub struct Script {
    replies: Vec<Reply>,
    constrainer: Constrainer,
    /// Asks, and when each is answered.
    in_hand: Vec<(Instant, Request)>,
}

/// Why a script cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// It cannot be read, or is no script.
    #[error("the script {path} cannot be read: {why}")]
    Unreadable {
        /// The file.
        path: String,
        /// Why, with the line.
        why: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScriptFile {
    #[serde(default)]
    reply: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    when: String,
    #[serde(default)]
    say: String,
    confidence: Option<f32>,
    /// What else it may be.
    #[serde(default)]
    or: Vec<Alternative>,
    #[serde(default)]
    delay_ms: u64,
    #[serde(default)]
    then: Then,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Then {
    /// Answer.
    #[default]
    Answer,
    /// Die as from a failed assertion in llama.cpp.
    Crash,
    /// Do nothing any more, not even when cancelled.
    Hang,
    /// End the process with code 3.
    Exit,
}

struct Reply {
    when: Regex,
    entry: Entry,
}

impl Script {
    /// Reads a script.
    pub fn from_file(path: &Path) -> Result<Self, ScriptError> {
        let unreadable =
            |why: String| ScriptError::Unreadable { path: path.display().to_string(), why };
        let text = std::fs::read_to_string(path).map_err(|e| unreadable(e.to_string()))?;
        let file: ScriptFile = Config::builder()
            .add_source(File::from_str(&text, FileFormat::Toml))
            .build()
            .and_then(Config::try_deserialize)
            .map_err(|e| unreadable(e.to_string()))?;
        let compiled = file
            .reply
            .into_iter()
            .map(|entry| Regex::new(&entry.when).map(|when| Reply { when, entry }));
        let replies = compiled.collect::<Result<_, _>>().map_err(|e| unreadable(e.to_string()))?;
        let constrainer = Constrainer::new(&ApproximateTokEnv::single_byte_env());
        Ok(Self { replies, constrainer, in_hand: Vec::new() })
    }
}

impl Thinker for Script {
    fn take(&mut self, request: Request) {
        let reply = self.reply_to(&request);
        let delay = reply.map_or(0, |reply| reply.entry.delay_ms);
        let due = Instant::now() + Duration::from_millis(delay);
        self.in_hand.push((due, request));
    }

    fn step(&mut self, watch: &Watch<'_>, say: &mut dyn FnMut(FromWorker)) -> Result<(), Broken> {
        let in_hand = std::mem::take(&mut self.in_hand);
        let before = in_hand.len();
        for (due, request) in in_hand {
            let id = request.id;
            let answer = match request.check(watch) {
                Ok(()) if Instant::now() < due => {
                    self.in_hand.push((due, request));
                    continue;
                }
                Ok(()) => self.answer(&request, say),
                Err(halt) => Err(halt),
            };
            say(match answer {
                Ok(answer) => FromWorker::Done { id, answer },
                Err(halt) => halt.into_frame(id),
            });
        }
        let next = self.in_hand.iter().map(|(due, request)| (*due).min(request.deadline)).min();
        if let Some(next) = next.filter(|_| self.in_hand.len() == before) {
            watch.wait(next);
        }
        Ok(())
    }

    fn is_idle(&self) -> bool {
        self.in_hand.is_empty()
    }
}

impl Script {
    fn reply_to(&self, request: &Request) -> Option<&Reply> {
        let asked = asked(request);
        self.replies.iter().find(|reply| reply.when.is_match(asked))
    }

    fn answer(
        &mut self,
        request: &Request,
        say: &mut dyn FnMut(FromWorker),
    ) -> Result<Answer, Halt> {
        if request.max_tokens == 0 {
            return Ok(Answer::default());
        }
        let refused = |why: String| Halt::from(ModelError::Refused(why));
        let matcher = self.constrainer.matcher(&request.grammar);
        let mut matcher =
            matcher.map_err(|why| refused(format!("its grammar does not compile: {why}")))?;
        let Some(Reply { entry, .. }) = self.reply_to(request) else {
            return Err(refused(format!("the script has no reply to {:?}", asked(request))));
        };
        match entry.then {
            Then::Answer => {}
            Then::Crash => std::process::abort(),
            Then::Exit => std::process::exit(3),
            Then::Hang => loop {
                std::thread::park();
            },
        }
        let bytes: Vec<u32> = entry.say.bytes().map(u32::from).collect();
        let taken = matcher.try_consume_tokens(&bytes).map_err(|e| refused(e.to_string()))?;
        let whole = matcher.is_stopped() || matcher.is_accepting().unwrap_or(false);
        if taken < bytes.len() || !whole {
            return Err(refused(format!(
                "the script's answer {:?} breaks the grammar at byte {taken}",
                entry.say
            )));
        }
        for piece in entry.say.split_inclusive(' ').filter(|_| request.shows) {
            say(FromWorker::Piece { id: request.id, text: piece.to_owned() });
        }
        let sampled = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let total_ms = request.elapsed_ms();
        let usage = Usage { sampled, first_token_ms: total_ms, total_ms, ..Usage::default() };
        let (text, confidence) = (entry.say.clone(), entry.confidence.unwrap_or(1.0));
        Ok(Answer { text, confidence, alternatives: entry.or.clone(), usage, ..Answer::default() })
    }
}

/// The last words of the user.
fn asked(request: &Request) -> &str {
    let last = request.messages.iter().rfind(|message| message.role == "user");
    last.map_or("", |message| message.content.as_str())
}
