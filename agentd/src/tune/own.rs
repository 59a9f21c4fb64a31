//! What an integrator's own tools teach: sentences with their calls for training, and others to examine it with.
//!
//! ```text
//!  sentences, examples ──split by seed──> learnt ──expand, reword──> toolsets for training
//!                                   └───> held out ──expand, reword──> questions, which no training sees
//! ```
//!
//! A sentence pattern or example is learnt or held out as a whole, so that the examination asks for what was said
//! in a way that training never met. Whatever is made is checked by the code that runs in production: its values
//! must stand in the words, and no known sentence may mean another call.
//!
//! Bounds: [`MAX_QUESTIONS`] questions; a toolset has as many pairs as were asked for, or fewer where the tools do
//! not give as many different ones.

use std::collections::{BTreeMap, HashSet};

use agentd_tools::{Args, ToolSpec};

use super::expand::{Phrase, Piece, Texts, expand};
use super::history::History;
use super::lessons::{Pair, Toolset};
use super::named::named;
use super::random::Random;
use super::refuse::{self, Part, Vocabulary};
use super::reword::{is_text, reword, reword_text};
use super::sayable::Judge;
use super::split::{Source, Split, What, known_texts};
use crate::agent::pattern;
use crate::agent::reflex::{SentenceError, normalise};
use crate::command::Call;
use crate::model::grammar;
use crate::store::feedback::Feedback;

/// The most questions about one's own tools.
pub const MAX_QUESTIONS: usize = 200;
/// The most of them that people have approved or corrected; and as many of those that are learnt are asked.
const MAX_HISTORY: usize = 80;
/// How many of a hundred sentences are such, where there are any.
const RECALLED: u64 = 15;
/// Fewer sources than this that are held out say little.
pub const A_HANDFUL: usize = 5;
/// How many draws are tried for each sentence that is wanted.
const TRIES: usize = 12;

/// One's own tools, parted into what is learnt and what is held out.
pub struct Own<'a> {
    tools: &'a [ToolSpec],
    seed: u64,
    max_calls: usize,
    learnt: Vec<Source>,
    held_out: Vec<Source>,
    history: History,
    texts: Texts,
    vocabulary: Vocabulary,
    judge: Judge<'a>,
}

/// What toolsets are drawn for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// They are learnt.
    Lessons,
    /// The best state of a training is chosen by them. What people have said is not among them: it is too little to be
    /// spared, and whatever is chosen by is not learnt.
    Check,
}

/// Questions about one's own tools that no training has seen.
#[derive(Debug, Clone)]
pub struct HeldOut {
    /// The tools as they are shown then, and what is asked.
    pub toolset: Toolset,
    /// How many sentence patterns they are made of.
    pub sentences: usize,
    /// How many examples they are made of.
    pub examples: usize,
    /// How many of them people have approved or corrected.
    pub history: usize,
}

impl<'a> Own<'a> {
    /// Parts what the tools declare. The seed decides; up to `max_calls` calls are asked for in a sentence.
    pub fn new(
        tools: &'a [ToolSpec],
        max_calls: usize,
        seed: u64,
    ) -> Result<Self, Vec<SentenceError>> {
        let judge = Judge::new(tools)?;
        let Split { learnt, held_out } = Split::of(tools, seed);
        let texts = known_texts(&learnt, tools);
        let vocabulary = Vocabulary::of(tools);
        let history = History::default();
        Ok(Self { tools, seed, max_calls, learnt, held_out, history, texts, vocabulary, judge })
    }

    /// The same with what people approved and corrected, the oldest first.
    pub fn and_history(self, feedback: &[Feedback]) -> Self {
        let history = History::of(feedback, self.tools, &self.judge);
        Self { history, ..self }
    }

    /// The questions, commands first. There are none where nothing can be held out.
    pub fn held_out(&self) -> HeldOut {
        let mut pairs: Vec<Pair> = Vec::new();
        let mut asked = HashSet::new();
        let each = (MAX_QUESTIONS * 4 / 5 / self.held_out.len().max(1)).clamp(1, 6);
        for (at, source) in self.held_out.iter().enumerate() {
            let mut random = Random::new(self.seed, 1000 + at as u64);
            // A known sentence does not reach the model in production: it is the last resort.
            let drawn = (0..each * TRIES).filter_map(|_| self.command(source, &mut random));
            let (known, unknown): (Vec<Pair>, Vec<Pair>) =
                drawn.partition(|pair| self.judge.knows(&pair.say));
            let fresh = unknown.into_iter().chain(known);
            let fresh = fresh.filter(|pair| asked.insert(normalise(&pair.say)));
            pairs.extend(fresh.take(each));
        }
        let recalled = self.history.held_out.iter();
        let recalled: Vec<_> =
            recalled.filter(|pair| asked.insert(normalise(&pair.say))).cloned().collect();
        let history = recalled.len().min(MAX_HISTORY);
        pairs.truncate(MAX_QUESTIONS * 4 / 5 - history);
        // The newest ones are of today's machine.
        pairs.extend(recalled.into_iter().rev().take(history));
        if !pairs.is_empty() {
            let mut random = Random::new(self.seed, 2000);
            let wanted = pairs.len() + (pairs.len() / 4).max(4);
            for _ in 0..wanted * TRIES {
                let pair = self.refusal(&self.held_out, Part::HeldOut, &mut random);
                if let Some(pair) = pair.filter(|pair| asked.insert(normalise(&pair.say))) {
                    pairs.push(pair);
                }
                if pairs.len() == wanted {
                    break;
                }
            }
        }
        let is_example = |source: &&Source| matches!(source.what, What::Example(_));
        let examples = self.held_out.iter().filter(is_example).count();
        let sentences = self.held_out.len() - examples;
        let toolset = Toolset { tools: self.all_shown(), pairs, grounded: true };
        HeldOut { toolset, sentences, examples, history }
    }

    /// What people approved or corrected and what is learnt, the newest first. That it is answered rightly afterwards
    /// says that it was learnt, and nothing of other sentences.
    pub fn taught(&self) -> Toolset {
        let pairs = self.history.learnt.iter().rev().take(MAX_HISTORY).cloned().collect();
        Toolset { tools: self.all_shown(), pairs, grounded: true }
    }

    /// The tools as production shows them, without what is held out.
    fn all_shown(&self) -> Vec<ToolSpec> {
        (0..self.tools.len()).map(|at| self.shown(at, |_| true)).collect()
    }

    /// Toolsets for training, of `pairs` sentences each, without the sentences of `not`.
    pub fn toolsets(
        &self,
        purpose: Purpose,
        count: usize,
        pairs: usize,
        not: &HashSet<String>,
    ) -> Vec<Toolset> {
        let seeded = |at| Random::new(self.seed, purpose as u64 * 1_000_000 + 10_000 + at as u64);
        let toolsets = (0..count).map(|at| self.toolset(purpose, pairs, not, &mut seeded(at)));
        toolsets.filter(|toolset| !toolset.pairs.is_empty()).collect()
    }

    fn toolset(
        &self,
        purpose: Purpose,
        pairs: usize,
        not: &HashSet<String>,
        random: &mut Random,
    ) -> Toolset {
        let mut order: Vec<usize> = (0..self.tools.len()).collect();
        // Mostly as in production; now and then otherwise, so that places are not learnt for names.
        let as_in_production = random.percent(60);
        if !as_in_production {
            random.shuffle(&mut order);
            let least = self.tools.len().div_ceil(2).max(2).min(self.tools.len()) as u64;
            if random.one_in(2) {
                order.truncate(random.between(least, self.tools.len() as u64) as usize);
            }
        }
        let tools: Vec<ToolSpec> = order
            .iter()
            .map(|at| self.shown(*at, |_| as_in_production || random.one_in(2)))
            .collect();
        let examples = tools.iter().flat_map(|tool| &tool.examples);
        // What the prompt shows is only copied from it.
        let mut said: HashSet<String> = examples.map(|example| normalise(&example.say)).collect();
        let mut drawn = Vec::new();
        for _ in 0..pairs * TRIES {
            if drawn.len() == pairs {
                break;
            }
            let pair = self.lesson(purpose, &order, random);
            let is_new = |pair: &Pair| {
                let said_now = normalise(&pair.say);
                !not.contains(&said_now) && said.insert(said_now)
            };
            drawn.extend(pair.filter(is_new));
        }
        Toolset { tools, pairs: drawn, grounded: true }
    }

    /// One sentence for training, about the tools of a prompt.
    fn lesson(&self, purpose: Purpose, order: &[usize], random: &mut Random) -> Option<Pair> {
        let of = |tool: usize| self.learnt.iter().filter(move |source| source.tool == tool);
        let pick = |random: &mut Random| {
            let all: Vec<&Source> = of(*random.pick(order)).collect();
            (!all.is_empty()).then(|| *random.pick(&all))
        };
        let recalls = purpose == Purpose::Lessons && !self.history.learnt.is_empty();
        if recalls && random.percent(RECALLED) {
            return self.recalled(order, random);
        }
        match random.between(1, 100) {
            1..=19 => {
                let shown: Vec<Source> = order.iter().flat_map(|tool| of(*tool)).cloned().collect();
                self.refusal(&shown, Part::Learnt, random)
            }
            20..=29 if self.max_calls > 1 => {
                let (first, second) = (pick(random)?, pick(random)?);
                self.two(first, second, random)
            }
            roll => match pick(random).filter(|_| roll < 90) {
                Some(source) => self.command(source, random),
                None => {
                    let tool = &self.tools[*random.pick(order)];
                    self.worded(&named(tool, &self.texts, random), tool, random)
                }
            },
        }
    }

    /// What a person said and approved, where the prompt has the tools for it: as it was, or in a rougher form.
    fn recalled(&self, order: &[usize], random: &mut Random) -> Option<Pair> {
        let pair = random.pick(&self.history.learnt);
        let calls = grammar::parse_calls(&pair.answer).ok()?;
        let is_shown = |call: &Call| order.iter().any(|at| self.tools[*at].name == call.tool);
        let say = if random.one_in(2) { pair.say.clone() } else { reword_text(&pair.say, random) };
        let can_be = !pair.before.is_empty() || self.judge.admits(&say, &calls);
        (can_be && calls.iter().all(is_shown)).then(|| Pair { say, ..pair.clone() })
    }

    /// A tool as a prompt shows it: with those of its learnt examples that `keep` keeps.
    fn shown(&self, at: usize, mut keep: impl FnMut(usize) -> bool) -> ToolSpec {
        let tool = &self.tools[at];
        let is_held_out =
            |example| self.held_out.contains(&Source { tool: at, what: What::Example(example) });
        let examples = tool.examples.iter().enumerate();
        let examples = examples.filter(|(example, _)| !is_held_out(*example) && keep(*example));
        ToolSpec {
            examples: examples.map(|(_, example)| example.clone()).collect(),
            ..tool.clone()
        }
    }

    fn phrase(&self, source: &Source, random: &mut Random) -> Phrase {
        let tool = &self.tools[source.tool];
        match &source.what {
            What::Sentence(parts) => expand(parts, tool, &self.texts, random),
            What::Example(at) => {
                let example = &tool.examples[*at];
                Phrase {
                    pieces: vec![Piece::Words(example.say.clone())],
                    args: example.call.clone(),
                }
            }
        }
    }

    fn command(&self, source: &Source, random: &mut Random) -> Option<Pair> {
        let tool = &self.tools[source.tool];
        let phrase = self.phrase(source, random);
        if matches!(source.what, What::Sentence(_)) && !self.judge.is_read_back(&phrase, tool) {
            return None;
        }
        self.worded(&phrase, tool, random)
    }

    fn worded(&self, phrase: &Phrase, tool: &ToolSpec, random: &mut Random) -> Option<Pair> {
        let (say, args) = reword(phrase, tool, random);
        let call = Phrase { pieces: Vec::new(), args }.call(tool);
        self.judge.admits(&say, std::slice::from_ref(&call)).then(|| pair(say, &[call]))
    }

    /// Two wishes in one sentence.
    fn two(&self, first: &Source, second: &Source, random: &mut Random) -> Option<Pair> {
        let phrases =
            [first, second].map(|source| (self.phrase(source, random), &self.tools[source.tool]));
        let has_text = phrases.iter().any(|(phrase, tool)| {
            phrase.args.keys().any(|name| tool.params.get(name).is_some_and(is_text))
        });
        let calls = phrases.each_ref().map(|(phrase, tool)| phrase.call(tool));
        if has_text || calls[0] == calls[1] {
            return None;
        }
        let [a, b] =
            phrases.map(|(phrase, _)| lower_first(pattern::without_end_marks(&phrase.say())));
        let joint = *random.pick(&[" and ", " and ", " and then ", ", then ", " and also "]);
        let say = reword_text(&format!("{a}{joint}{b}"), random);
        self.judge.admits(&say, &calls).then(|| pair(say, &calls))
    }

    /// Whether no other tool is asked for with all of these words ("turn on").
    fn means_only(&self, tool: &ToolSpec, words: &str) -> bool {
        let words = normalise(words);
        let has_all = |sentence: &String| {
            let said = normalise(sentence);
            let said: HashSet<&str> = said.split(|c: char| !c.is_alphanumeric()).collect();
            words.split_whitespace().all(|word| said.contains(word))
        };
        let mut others = self.tools.iter().filter(|other| other.name != tool.name);
        !others.any(|other| other.sentences.iter().any(has_all))
    }

    fn refusal(&self, sources: &[Source], part: Part, random: &mut Random) -> Option<Pair> {
        let patterns: Vec<&Source> =
            sources.iter().filter(|source| matches!(source.what, What::Sentence(_))).collect();
        let mut calls = Vec::new();
        let say = match random.between(1, 10) {
            roll @ 4..=10 if !patterns.is_empty() => {
                let source = *random.pick(&patterns);
                let (phrase, tool) = (self.phrase(source, random), &self.tools[source.tool]);
                if roll < 7 {
                    refuse::neighbour(&phrase, tool, &self.vocabulary, part, random)
                } else {
                    let rest = refuse::lacking(&phrase, tool, self.tools, random);
                    if rest.as_deref().is_some_and(|rest| self.means_only(tool, rest)) {
                        // It is called without arguments: the value is asked for.
                        calls.push(Call { tool: tool.name.clone(), args: Args::new() });
                    }
                    rest
                }
            }
            _ => Some(refuse::other_subject(part, random)),
        };
        let say = reword_text(&say?, random);
        self.judge.admits(&say, &[]).then(|| pair(say, &calls))
    }
}

fn pair(say: String, calls: &[Call]) -> Pair {
    Pair { say, before: Vec::new(), answer: grammar::answer(calls) }
}

fn lower_first(text: &str) -> String {
    let first = text.split_whitespace().next().unwrap_or_default();
    // "I" and names in capitals stay as they are.
    if first.chars().filter(|c| c.is_uppercase()).count() == 1
        && first.len() > 1
        && !first.contains('\'')
    {
        let (head, tail) = text.split_at(text.chars().next().map_or(0, char::len_utf8));
        return format!("{}{tail}", head.to_lowercase());
    }
    text.to_owned()
}

/// The sentences of pairs as they are compared, so that none is learnt that is asked.
pub fn sentences(pairs: &[Pair]) -> HashSet<String> {
    pairs.iter().map(|pair| normalise(&pair.say)).collect()
}

/// How many pairs there are for each tool, refusals under `none`, for whoever looks at the data.
pub fn counts(toolsets: &[Toolset]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for pair in toolsets.iter().flat_map(|toolset| &toolset.pairs) {
        for line in pair.answer.lines() {
            let tool = line.split('(').next().unwrap_or_default().to_owned();
            *counts.entry(tool).or_default() += 1;
        }
    }
    counts
}

#[cfg(test)]
#[path = "own_tests.rs"]
mod tests;
