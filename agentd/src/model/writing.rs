//! One answer as it is written: the likeliest of all that its grammar admits, and what else it may be.
//!
//! The likeliest token at each choice does not make the likeliest answer: what begins well may have to go on badly. So
//! the ways that were not taken are kept where they may still lead to more, and the best of them is taken once the first
//! one has come to its end less probable than they are. This finds the same answer as if all that are worth it were
//! scored, and mostly it costs nothing: where the model is sure there is no other way. Only our own grammars are
//! treated so. Free text is as good in many wordings, of which the shortest is the likeliest. Where one of some texts is
//! chosen, every way to each of them is gone that is not improbable altogether.
//!
//! Bounds: [`PATHS`] ways are gone in all, and [`WHOLE_PATHS`] where texts are scored, each with at most the tokens of the ask, by one sequence, one after the other.

use llguidance::Matcher;

use super::constraint::{Constraint, MAX_TEXTS};
use super::path::{Desk, Fork, Path};
use super::prior::Prior;
use super::thinker::{Halt, Request};
use super::{Alternative, Answer, Usage};

/// The most ways that are gone.
pub(super) const PATHS: usize = 4;
/// The most ways that are gone where each of some texts is scored, which may be spelt in several ways.
pub(super) const WHOLE_PATHS: usize = 2 * MAX_TEXTS;
/// A way is kept where it is at least so probable, as a whole.
const WORTH: f32 = 0.1;
/// The same where texts are scored.
const WHOLE_WORTH: f32 = 1e-4;
/// An answer that is less probable than this is told with what else it may be.
const DOUBTFUL: f32 = 0.5;

/// How far other answers are looked for than the one that begins best.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Search {
    /// The likeliest token is taken at each choice.
    None,
    /// Where another answer may be likelier.
    Likeliest,
    /// All that are not improbable.
    Whole,
}

impl Search {
    /// What a constraint asks for.
    pub(super) fn of(constraint: &Constraint) -> Self {
        match constraint {
            Constraint::Own(_) => Self::Likeliest,
            Constraint::OneOf(_) => Self::Whole,
            _ => Self::None,
        }
    }

    /// The most ways that are gone.
    fn paths(self) -> usize {
        match self {
            Self::None => 1,
            Self::Likeliest => PATHS,
            Self::Whole => WHOLE_PATHS,
        }
    }

    /// How probable a way has to be to be kept, as a logarithm.
    pub(super) fn worth(self) -> Option<f32> {
        match self {
            Self::None => None,
            Self::Likeliest => Some(WORTH.ln()),
            Self::Whole => Some(WHOLE_WORTH.ln()),
        }
    }

    /// The most ways that are kept at one choice.
    pub(super) fn others(self) -> usize {
        if self == Self::Whole { WHOLE_PATHS } else { PATHS - 1 }
    }
}

/// An answer that is being written.
pub(super) struct Writing {
    /// The way that is gone now; none between two of them.
    path: Option<Path>,
    forks: Vec<Fork>,
    ended: Vec<Alternative>,
    /// How many ways were begun.
    begun: usize,
    search: Search,
    pub(super) usage: Usage,
}

impl Writing {
    /// An answer of which nothing is written yet.
    pub(super) fn new(matcher: Matcher, usage: Usage, search: Search) -> Self {
        let path = Some(Path::new(matcher));
        Self { path, forks: Vec::new(), ended: Vec::new(), begun: 1, search, usage }
    }

    /// Whether this is the first way, which is shown while it is gone.
    pub(super) fn is_first(&self) -> bool {
        self.begun == 1
    }

    /// Writes what is forced. `true`: there is a choice, which needs the logits after what is pending; `false`: the way
    /// has come to its end.
    pub(super) fn go_on(&mut self, request: &Request, desk: &mut Desk<'_>) -> Result<bool, Halt> {
        let Some(mut path) = self.path.take() else { return Ok(false) };
        let goes_on = path.go_on(desk);
        self.keep(path, goes_on, request, desk)
    }

    /// Chooses the best token, and writes what it forces. Returns as [`go_on`](Self::go_on) does.
    pub(super) fn choose(
        &mut self,
        logits: &[f32],
        prior: Option<&Prior>,
        request: &Request,
        desk: &mut Desk<'_>,
    ) -> Result<bool, Halt> {
        let Some(mut path) = self.path.take() else { return Ok(false) };
        let goes_on = path.choose(logits, self.search, prior, &mut self.forks, desk);
        self.keep(path, goes_on, request, desk)
    }

    /// The way that is to be gone next, if there is one that is worth it.
    pub(super) fn next_fork(&mut self) -> Option<Fork> {
        if self.begun >= self.search.paths() {
            return None;
        }
        let best = self.ended.iter().map(|one| one.confidence).reduce(f32::max);
        let least = match best {
            _ if self.search == Search::Whole => 0.0,
            // One that can only be told beside the answer need not be likelier than it.
            Some(best) if best < DOUBTFUL => best / 2.0,
            Some(best) => best,
            None => return None,
        };
        let likelier = |a: &usize, b: &usize| {
            self.forks[*a].log_probability().total_cmp(&self.forks[*b].log_probability())
        };
        let next = (0..self.forks.len()).max_by(likelier)?;
        let fork = self.forks.swap_remove(next);
        (fork.log_probability().exp() > least).then_some(fork)
    }

    /// Goes another way. Returns as [`go_on`](Self::go_on) does.
    pub(super) fn take(
        &mut self,
        fork: Fork,
        request: &Request,
        desk: &mut Desk<'_>,
    ) -> Result<bool, Halt> {
        self.begun += 1;
        match fork.take(desk) {
            Ok((path, goes_on)) => self.keep(path, Ok(goes_on), request, desk),
            Err(halt) => self.lose(halt),
        }
    }

    /// The answer, once no way is left that is worth it.
    pub(super) fn finish(&mut self, request: &Request) -> Answer {
        self.usage.total_ms = request.elapsed_ms();
        self.ended.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
        let mut ended = std::mem::take(&mut self.ended).into_iter();
        let Alternative { text, confidence } = ended.next().unwrap_or_default();
        // One of two that are spelt in other tokens is the same answer.
        let alternatives = ended.filter(|other| other.text != text).collect();
        Answer { text, confidence, alternatives, usage: self.usage.clone(), ..Answer::default() }
    }

    /// Keeps a way that goes on, and the answer of one that has ended.
    fn keep(
        &mut self,
        path: Path,
        goes_on: Result<bool, Halt>,
        request: &Request,
        desk: &Desk<'_>,
    ) -> Result<bool, Halt> {
        self.usage.forced += desk.forced;
        self.usage.sampled += desk.sampled;
        if self.usage.first_token_ms == 0 && path.tokens > 0 {
            self.usage.first_token_ms = request.elapsed_ms();
        }
        match goes_on {
            Ok(true) => {
                self.path = Some(path);
                Ok(true)
            }
            Ok(false) => {
                let confidence = path.log_probability.exp();
                // JSON has no NaN, and what is no number is nothing to rely on.
                let confidence = if confidence.is_finite() { confidence } else { 0.0 };
                match path.finish() {
                    Ok(text) => self.ended.push(Alternative { text, confidence }),
                    Err(halt) => return self.lose(halt),
                }
                Ok(false)
            }
            Err(halt) => self.lose(halt),
        }
    }

    /// A way led nowhere: no harm where another one has led to an answer.
    fn lose(&self, halt: Halt) -> Result<bool, Halt> {
        if self.ended.is_empty() { Err(halt) } else { Ok(false) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use agentd_tools::spec::Priority;
    use llama_cpp_2::token::LlamaToken;
    use llguidance::toktrie::{ApproximateTokEnv, TokEnv};

    use super::super::ModelError;
    use super::super::constrain::Constrainer;
    use super::super::constraint::Constraint;
    use super::*;

    /// A language of single bytes, and how probable each next byte is after a text; what is not told is improbable.
    struct World {
        vocabulary: TokEnv,
        next: fn(&str) -> Vec<(u8, f32)>,
    }

    fn request(max_tokens: u32) -> Request {
        let received = Instant::now();
        Request {
            id: 1,
            messages: Vec::new(),
            grammar: Constraint::default(),
            max_tokens,
            priority: Priority::Normal,
            shows: false,
            received,
            deadline: received + Duration::from_secs(60),
        }
    }

    impl World {
        fn new(next: fn(&str) -> Vec<(u8, f32)>) -> Self {
            Self { vocabulary: Arc::clone(&ApproximateTokEnv::single_byte_env()), next }
        }

        /// Writes an answer as the engine does, and gives it with the texts whose next byte was asked for.
        fn write(
            &self,
            grammar: &str,
            max_tokens: u32,
            searches: bool,
        ) -> (Result<Answer, Halt>, Vec<String>) {
            let grammar = grammar.to_owned();
            let own = if searches { Constraint::Own(grammar) } else { Constraint::Lark(grammar) };
            self.write_as(&own, max_tokens, None)
        }

        fn write_as(
            &self,
            constraint: &Constraint,
            max_tokens: u32,
            prior: Option<&Prior>,
        ) -> (Result<Answer, Halt>, Vec<String>) {
            let mut constrainer = Constrainer::new(&self.vocabulary).expect("a constrainer");
            let matcher = constrainer.matcher(constraint).expect("it compiles");
            let request = request(max_tokens);
            let mut writing = Writing::new(matcher, Usage::default(), Search::of(constraint));
            let (mut held, mut asked) = (Vec::new(), Vec::new());
            let mut pending: Vec<LlamaToken> = Vec::new();
            let mut goes_on =
                writing.go_on(&request, &mut self.desk(&held, max_tokens, &mut pending));
            loop {
                match goes_on {
                    Ok(true) => {
                        held.append(&mut pending);
                        let text = text(&held);
                        let logits = self.logits(&text);
                        asked.push(text);
                        let mut desk = self.desk(&held, max_tokens, &mut pending);
                        goes_on = writing.choose(&logits, prior, &request, &mut desk);
                    }
                    Ok(false) => match writing.next_fork() {
                        Some(fork) => {
                            pending.clear();
                            held.truncate(fork.at);
                            let mut desk = self.desk(&held, max_tokens, &mut pending);
                            goes_on = writing.take(fork, &request, &mut desk);
                        }
                        None => return (Ok(writing.finish(&request)), asked),
                    },
                    Err(halt) => return (Err(halt), asked),
                }
            }
        }

        fn desk<'a>(
            &'a self,
            held: &[LlamaToken],
            max_tokens: u32,
            pending: &'a mut Vec<LlamaToken>,
        ) -> Desk<'a> {
            Desk::new(self.vocabulary.tok_trie(), max_tokens, held.len(), pending)
        }

        fn logits(&self, text: &str) -> Vec<f32> {
            let mut logits = vec![1e-6_f32.ln(); 256];
            for (byte, probability) in (self.next)(text) {
                logits[usize::from(byte)] = probability.ln();
            }
            logits
        }
    }

    fn text(held: &[LlamaToken]) -> String {
        held.iter().map(|token| char::from(u8::try_from(token.0).expect("a byte"))).collect()
    }

    const TWO: &str = "start: /[ab][cde]/";

    /// `a` begins better, and then nothing is likely; `b` goes on with certainty.
    fn garden_path(text: &str) -> Vec<(u8, f32)> {
        match text {
            "" => vec![(b'a', 0.55), (b'b', 0.45)],
            "a" => vec![(b'c', 0.4), (b'd', 0.3), (b'e', 0.3)],
            _ => vec![(b'e', 1.0)],
        }
    }

    #[test]
    fn the_likeliest_answer_is_found_though_another_one_begins_better() {
        let world = World::new(garden_path);
        let (answer, asked) = world.write(TWO, 8, true);
        let answer = answer.expect("an answer");
        assert_eq!(answer.text, "be");
        assert!((answer.confidence - 0.45).abs() < 1e-3, "{answer:?}");
        assert_eq!(asked, ["", "a", "b"], "one choice more than without a look for it");
        assert_eq!(answer.alternatives[0].text, "ac");
        assert_eq!((answer.usage.sampled, answer.usage.forced), (3, 0));
        let (greedy, _) = world.write(TWO, 8, false);
        let greedy = greedy.expect("an answer");
        assert_eq!((greedy.text.as_str(), greedy.alternatives.len()), ("ac", 0));
    }

    #[test]
    fn of_texts_each_is_scored_that_is_not_improbable() {
        let texts = ["ac", "ad", "be", "bc"].map(str::to_owned).to_vec();
        let (answer, _) = World::new(garden_path).write_as(&Constraint::OneOf(texts), 8, None);
        let answer = answer.expect("an answer");
        let mut scored = answer.alternatives;
        scored.push(Alternative { text: answer.text, confidence: answer.confidence });
        scored.sort_by(|a, b| a.text.cmp(&b.text));
        let scored: Vec<_> = scored.iter().map(|one| (one.text.as_str(), one.confidence)).collect();
        // Of `ac` and `ad` alone the first has 0.4 of 0.7; `bc` is left out.
        let expected = [("ac", 0.55 * 0.4 / 0.7), ("ad", 0.55 * 0.3 / 0.7), ("be", 0.45)];
        assert_eq!(scored.len(), expected.len(), "{scored:?}");
        for ((text, probability), (other, exact)) in scored.iter().zip(expected) {
            assert_eq!(*text, other);
            assert!((probability - exact).abs() < 1e-3, "{scored:?}");
        }
    }

    #[test]
    fn what_is_liked_without_a_request_needs_more_to_be_chosen() {
        // The name that is liked begins a little better, and is the better one by far where nothing is asked.
        let world = World::new(|text: &str| match text {
            "" => vec![(b'a', 0.55), (b'b', 0.45)],
            _ => vec![(b'(', 1.0)],
        });
        let grammar = Constraint::from(r#"start: "a(" | "b(""#);
        let openings = ["a(", "b("].map(str::to_owned);
        let scored = |text: &str, confidence| Alternative { text: text.to_owned(), confidence };
        let liked = Prior::of(&openings, &[scored("a(", 0.9), scored("b(", 0.1)]);
        let even = Prior::of(&openings, &[scored("a(", 0.5), scored("b(", 0.5)]);
        let write = |prior| world.write_as(&grammar, 8, prior).0.expect("an answer");
        assert_eq!(write(None).text, "a(");
        let unchanged = write(Some(&even));
        assert_eq!((unchanged.text.as_str(), unchanged.confidence), ("a(", write(None).confidence));
        let corrected = write(Some(&liked));
        assert_eq!(corrected.text, "b(");
        // 0.45 / sqrt(0.1) against 0.55 / sqrt(0.9).
        let (a, b) = (0.55 / 0.9_f32.sqrt(), 0.45 / 0.1_f32.sqrt());
        assert!((corrected.confidence - b / (a + b)).abs() < 1e-3, "{corrected:?}");
    }

    #[test]
    fn where_the_model_is_sure_nothing_else_is_tried() {
        let sure = |text: &str| match text {
            "" => vec![(b'a', 0.7), (b'b', 0.3)],
            _ => vec![(b'c', 0.9), (b'd', 0.1)],
        };
        let (answer, asked) = World::new(sure).write(TWO, 8, true);
        let answer = answer.expect("an answer");
        assert_eq!((answer.text.as_str(), asked.len()), ("ac", 2), "0.63 against 0.3 at most");
        assert!(answer.alternatives.is_empty());
    }

    #[test]
    fn the_ways_are_bounded_and_one_that_leads_nowhere_takes_nothing_from_the_others() {
        let even = |_: &str| vec![(b'a', 0.25), (b'b', 0.25), (b'c', 0.25), (b'd', 0.25)];
        let (answer, _) = World::new(even).write("start: /[abcd]{2}/", 8, true);
        assert!(answer.expect("an answer").alternatives.len() < PATHS);
        // Behind `b` there is no end within three tokens.
        let (answer, _) = World::new(garden_path).write("start: /a[cde]|be{9}/", 3, true);
        assert_eq!(answer.expect("an answer").text, "ac");
        let (none, _) = World::new(garden_path).write("start: /be{9}/", 3, true);
        let why = none.expect_err("it is too long");
        assert!(
            matches!(&why, Halt::Failed(ModelError::Refused(why)) if why.contains("after 3 tokens"))
        );
    }
}
