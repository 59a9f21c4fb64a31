//! Compiled grammars: what the answer may be, token by token.
//!
//! It fails closed: a constraint that does not compile is an error, and there is no way to get a matcher
//! that allows everything. Bounds: [`COMPILED`] constraints are kept, and the one that was used longest ago
//! goes first; what is compiled and what a token may cost is bounded by [`limits`], and a grammar is built on a
//! stack of [`STACK_BYTES`].

use std::panic::AssertUnwindSafe;

use llguidance::api::{GrammarInit, ParserLimits, TopLevelGrammar};
use llguidance::panic_utils::catch_unwind;
use llguidance::toktrie::TokEnv;
use llguidance::{Matcher, regex_to_lark};

use super::constraint::{Constraint, Refusal, gbnf, schema};
use super::factories::Factories;
use super::members::{self, MARK};

/// Constraints that are kept compiled. A daemon has one for each agent and one for each number of calls.
pub const COMPILED: usize = 8;

/// The stack on which a grammar is built. Rules that each lead to the next one are followed by recursion, and
/// the longest constraints have room for some thousands. What is not used costs no memory.
const STACK_BYTES: usize = 256 * 1024 * 1024;
/// How much of what the compiler says is told, in characters: it repeats the constraint.
const MAX_REASON_CHARS: usize = 300;
/// Put behind a grammar that others wrote. What is forced is written in one go, without a look at the clock,
/// and `/(a{1000}){1000}/` forces a million letters.
const NO_FORCING: &str = "\n%llguidance {\"no_forcing\": true}\n";

/// The compiler and what it compiled, for one vocabulary.
pub struct Constrainer {
    factories: Factories,
    /// The one used last stands last.
    compiled: Vec<Compiled>,
}

struct Compiled {
    constraint: Constraint,
    matcher: Matcher,
    /// It has free text, and is not as quick in it as it may be.
    is_slow: bool,
}

impl Constrainer {
    /// A compiler for a vocabulary. Done once a worker.
    pub fn new(vocabulary: &TokEnv) -> Self {
        Self { factories: Factories::new(vocabulary, limits()), compiled: Vec::new() }
    }

    /// A fresh matcher for a constraint, or why and where it does not compile.
    pub fn matcher(&mut self, constraint: &Constraint) -> Result<Matcher, String> {
        // Two schemas that differ in the order of their keys are equal, and their instances are not.
        let is_it = |kept: &Compiled| {
            kept.constraint == *constraint && kept.constraint.text() == constraint.text()
        };
        let is_slow = has_free_text(constraint) && !self.factories.want_sliced();
        let kept = self.compiled.iter().position(is_it).map(|i| self.compiled.remove(i));
        let used = match kept.filter(|kept| is_slow || !kept.is_slow) {
            Some(used) => used,
            None => {
                let matcher = self.compile(constraint).map_err(|refusal| refusal.to_string())?;
                Compiled { constraint: constraint.clone(), matcher, is_slow }
            }
        };
        if self.compiled.len() == COMPILED {
            self.compiled.remove(0);
        }
        // The kept one is never used up: each ask gets a copy with its own lexer caches.
        let copy = used.matcher.deep_clone();
        self.compiled.push(used);
        Ok(copy)
    }

    /// Compiles a schema and keeps nothing; else the pointer and the reason.
    #[cfg(test)]
    pub(super) fn compiled_or_refused(
        &mut self,
        schema: &serde_json::Value,
    ) -> Result<Matcher, (String, String)> {
        self.compile(&Constraint::JsonSchema(schema.clone())).map_err(|refusal| match refusal {
            Refusal::Schema { pointer, why } => (pointer, why),
            other => panic!("{other}, without a pointer, for {schema}"),
        })
    }

    fn compile(&mut self, constraint: &Constraint) -> Result<Matcher, Refusal> {
        constraint.admit()?;
        let is_schema = matches!(constraint, Constraint::JsonSchema(_));
        // A token may be named, so that the vocabulary is needed.
        let vocabulary = || Some(self.factories.vocabulary().clone());
        let lark = |text: &str| build(TopLevelGrammar::from_lark(text.to_owned()), vocabulary());
        let built = match constraint {
            Constraint::JsonSchema(schema) => schema::built(schema)?,
            // Its rules are flat, and each request has one of its own: it needs no stack to itself.
            Constraint::Own(text) => {
                let text = with_tokens(text, self.factories.vocabulary());
                build_here(TopLevelGrammar::from_lark(text), vocabulary())?
            }
            Constraint::OneOf(texts) => {
                build_here(TopLevelGrammar::from_lark(one_of(texts)), vocabulary())?
            }
            Constraint::Lark(text) => lark(&format!("{text}{NO_FORCING}"))?,
            Constraint::Gbnf(text) => lark(&format!("{}{NO_FORCING}", gbnf::to_lark(text)?))?,
            // llguidance gives a group of this name a meaning of its own.
            Constraint::Regex(regex) if regex.contains("<stop>") => {
                return Err(Refusal::Compiler("a group cannot be named stop".to_owned()));
            }
            Constraint::Regex(regex) => {
                lark(&format!("start: /{}/{NO_FORCING}", regex_to_lark(regex, "")))?
            }
        };
        let factory = self.factories.best().map_err(Refusal::Compiler)?;
        let parser =
            catch_unwind(AssertUnwindSafe(|| factory.create_parser_from_init_default(built)));
        let matcher = Matcher::new(parser);
        match matcher.get_error().as_deref().map(reason) {
            Some(why) if is_schema => Err(Refusal::Schema { pointer: String::new(), why }),
            Some(why) => Err(Refusal::Compiler(why)),
            None => Ok(matcher),
        }
    }
}

/// Whether it may have text in which nearly every token may come.
fn has_free_text(constraint: &Constraint) -> bool {
    match constraint {
        Constraint::Own(lark) => members::has_free_text(lark),
        Constraint::OneOf(_) => false,
        _ => true,
    }
}

/// A grammar of ours with what is [marked](MARK) in it as control tokens, where the vocabulary has such, and else as text.
fn with_tokens(lark: &str, vocabulary: &TokEnv) -> String {
    let token = |name: &str| match vocabulary.tok_trie().get_special_token(name) {
        Some(token) => format!("<[{token}]>"),
        None => serde_json::Value::from(name).to_string(),
    };
    let parts = lark.split(MARK).enumerate();
    parts.map(|(i, part)| if i % 2 == 1 { token(part) } else { part.to_owned() }).collect()
}

/// A grammar of some texts.
fn one_of(texts: &[String]) -> String {
    let quoted = texts.iter().map(|text| serde_json::Value::from(text.as_str()).to_string());
    format!("start: {}\n", quoted.collect::<Vec<_>>().join(" | "))
}

/// What a grammar may cost to compile, and a token to choose. They are llguidance's own but for the states of
/// the lexer, which have up to 2 KiB each: its 250 000 would fill a board.
fn limits() -> ParserLimits {
    ParserLimits {
        max_lexer_states: 25_000,
        // Errors go to a person, who does not want the whole grammar repeated.
        verbose_errors: false,
        ..ParserLimits::default()
    }
}

/// Builds a grammar as far as it goes without the states of its lexer, on a stack that is deep enough for any that is
/// admitted.
pub(super) fn build(
    grammar: TopLevelGrammar,
    vocabulary: Option<TokEnv>,
) -> Result<GrammarInit, Refusal> {
    let build = move || build_here(grammar, vocabulary);
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(build);
    let thread = thread.map_err(|e| Refusal::Compiler(format!("no thread can be started: {e}")))?;
    thread.join().unwrap_or_else(|_| Err(Refusal::Compiler("the compiler broke".to_owned())))
}

fn build_here(
    grammar: TopLevelGrammar,
    vocabulary: Option<TokEnv>,
) -> Result<GrammarInit, Refusal> {
    // A panic in the compiler is a bad grammar too, and must not end the worker.
    catch_unwind(AssertUnwindSafe(|| {
        let grammar = GrammarInit::Serialized(grammar);
        let (grammar, lexer) = grammar.to_internal(vocabulary, limits())?;
        Ok(GrammarInit::Internal(grammar, lexer))
    }))
    .map_err(|error| Refusal::Compiler(reason(&error.to_string())))
}

/// What of an error tells a person something: its first line, and why a regular expression is none.
fn reason(error: &str) -> String {
    let mut lines = error.lines();
    let first = match lines.next().unwrap_or_default() {
        first if first.starts_with("panic") => "the compiler broke on it",
        first => first,
    };
    let first: String = first.chars().take(MAX_REASON_CHARS).collect();
    let why = lines.find_map(|line| line.strip_prefix("error: "));
    why.map_or(first.clone(), |why| format!("{first} {why}"))
}

#[cfg(test)]
#[path = "constrain_tests.rs"]
mod tests;
