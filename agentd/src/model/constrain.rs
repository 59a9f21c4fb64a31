//! Compiled grammars: what the answer may be, token by token.
//!
//! It fails closed: a grammar that does not compile is an error, and there is no way to get a matcher
//! that allows everything. Bound: [`COMPILED`] grammars are kept; the one that was used longest ago
//! goes first.

use std::panic::AssertUnwindSafe;

use llguidance::api::TopLevelGrammar;
use llguidance::toktrie::{InferenceCapabilities, TokEnv};
use llguidance::{Matcher, ParserFactory};

/// Grammars that are kept compiled. A daemon has one for each agent and one for each number of calls.
pub const COMPILED: usize = 8;

/// The compiler and what it compiled, for one vocabulary.
pub struct Constrainer {
    factory: ParserFactory,
    /// The one used last stands last.
    compiled: Vec<(String, Matcher)>,
}

impl Constrainer {
    /// A compiler for a vocabulary. Done once a worker: it walks the whole vocabulary.
    pub fn new(vocabulary: &TokEnv) -> Result<Self, String> {
        let capabilities = InferenceCapabilities {
            ff_tokens: vocabulary.tokenize_is_canonical(),
            ..InferenceCapabilities::default()
        };
        let slices = llguidance::earley::SlicedBiasComputer::general_slices();
        let mut factory =
            ParserFactory::new(vocabulary, capabilities, &slices).map_err(|e| e.to_string())?;
        factory.quiet();
        // Errors go to a person, who does not want the whole grammar repeated.
        factory.limits_mut().verbose_errors = false;
        Ok(Self { factory, compiled: Vec::new() })
    }

    /// A fresh matcher for a Lark grammar, or why the grammar does not compile.
    pub fn matcher(&mut self, grammar: &str) -> Result<Matcher, String> {
        if let Some(i) = self.compiled.iter().position(|(text, _)| text == grammar) {
            let used = self.compiled.remove(i);
            self.compiled.push(used);
        } else {
            let compiled = self.compile(grammar)?;
            if self.compiled.len() == COMPILED {
                self.compiled.remove(0);
            }
            self.compiled.push((grammar.to_owned(), compiled));
        }
        // The kept one is never used up: each ask gets a copy with its own lexer caches.
        let (_, kept) = self.compiled.last().ok_or("no grammar was kept")?;
        Ok(kept.deep_clone())
    }

    fn compile(&self, grammar: &str) -> Result<Matcher, String> {
        let grammar = TopLevelGrammar::from_lark(grammar.to_owned());
        // A panic in the compiler is a bad grammar too, and must not end the worker.
        let parser = llguidance::panic_utils::catch_unwind(AssertUnwindSafe(|| {
            self.factory.create_parser(grammar)
        }));
        let matcher = Matcher::new(parser);
        match matcher.get_error() {
            Some(error) => Err(error.lines().next().unwrap_or_default().to_owned()),
            None => Ok(matcher),
        }
    }
}

#[cfg(test)]
mod tests {
    use llguidance::toktrie::ApproximateTokEnv;

    use super::*;

    fn constrainer() -> Constrainer {
        Constrainer::new(&ApproximateTokEnv::single_byte_env()).unwrap()
    }

    fn accepts(matcher: &mut Matcher, text: &str) -> bool {
        let tokens: Vec<u32> = text.bytes().map(u32::from).collect();
        matcher.try_consume_tokens(&tokens).unwrap() == tokens.len()
            && matcher.is_accepting().unwrap()
    }

    #[test]
    fn a_grammar_is_used_any_number_of_times_and_each_time_afresh() {
        let mut constrainer = constrainer();
        for _ in 0..3 {
            assert!(accepts(&mut constrainer.matcher(r#"start: "on" | "off""#).unwrap(), "off"));
        }
        assert_eq!(constrainer.compiled.len(), 1);
    }

    #[test]
    fn a_grammar_that_does_not_compile_is_an_error_with_its_reason() {
        let mut constrainer = constrainer();
        for bad in ["", "start: )", r#"start: "a"#, "start: undefined_rule", "start: %json {"] {
            let error = constrainer.matcher(bad).err().unwrap_or_else(|| panic!("{bad} compiled"));
            assert!(!error.is_empty(), "{bad}");
        }
        assert!(constrainer.compiled.is_empty(), "what does not compile is not kept");
        assert!(constrainer.matcher(r#"start: "a""#).is_ok(), "and the next one is not hurt");
    }

    #[test]
    fn the_bound_on_kept_grammars_holds_at_and_one_over() {
        let mut constrainer = constrainer();
        let grammar = |i: usize| format!(r#"start: "{i}""#);
        for i in 0..COMPILED {
            constrainer.matcher(&grammar(i)).unwrap();
        }
        constrainer.matcher(&grammar(0)).unwrap();
        assert_eq!(constrainer.compiled.len(), COMPILED);
        constrainer.matcher(&grammar(COMPILED)).unwrap();
        assert_eq!(constrainer.compiled.len(), COMPILED);
        let kept = |i| constrainer.compiled.iter().any(|(text, _)| *text == grammar(i));
        assert!(kept(0) && kept(COMPILED), "used last");
        assert!(!kept(1), "used longest ago");
    }
}
