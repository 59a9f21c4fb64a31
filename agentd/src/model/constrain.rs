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
mod tests {
    use std::sync::Arc;

    use llguidance::toktrie::{ApproximateTokEnv, TokTrie, TokenId, TokenizerEnv};
    use serde_json::json;

    use super::super::constraint::MAX_GRAMMAR_BYTES;

    use super::*;

    fn constrainer() -> Constrainer {
        Constrainer::new(&ApproximateTokEnv::single_byte_env())
    }

    #[test]
    fn free_text_is_compiled_anew_once_it_can_be_written_quickly_and_nothing_else_is() {
        let mut constrainer = constrainer();
        let call = Constraint::Own(r#"start: "set(" ("on" | "off") ")""#.to_owned());
        constrainer.matcher(&call).expect("it compiles");
        constrainer.matcher(&Constraint::OneOf(vec!["a".to_owned()])).expect("it compiles");
        assert!(constrainer.compiled.iter().all(|kept| !kept.is_slow), "they have no free text");
        let free = Constraint::Lark("start: /[a-z ]+/".to_owned());
        constrainer.matcher(&free).expect("it compiles");
        let is_slow = |constrainer: &Constrainer| constrainer.compiled.last().unwrap().is_slow;
        assert!(is_slow(&constrainer), "nobody waits for it");
        while !constrainer.factories.want_sliced() {
            std::thread::yield_now();
        }
        for _ in 0..2 {
            let mut matcher = constrainer.matcher(&free).expect("it compiles");
            assert!(accepts(&mut matcher, "ab"));
            assert!(!is_slow(&constrainer));
        }
        assert_eq!(constrainer.compiled.len(), 3);
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
            assert!(accepts(
                &mut constrainer.matcher(&r#"start: "on" | "off""#.into()).unwrap(),
                "off"
            ));
        }
        assert_eq!(constrainer.compiled.len(), 1);
    }

    #[test]
    fn a_grammar_that_does_not_compile_is_an_error_with_its_reason() {
        let mut constrainer = constrainer();
        for bad in ["", "start: )", r#"start: "a"#, "start: undefined_rule", "start: %json {"] {
            let error =
                constrainer.matcher(&bad.into()).err().unwrap_or_else(|| panic!("{bad} compiled"));
            assert!(!error.is_empty(), "{bad}");
        }
        assert!(constrainer.compiled.is_empty(), "what does not compile is not kept");
        assert!(
            constrainer.matcher(&r#"start: "a""#.into()).is_ok(),
            "and the next one is not hurt"
        );
    }

    #[test]
    fn the_bound_on_kept_grammars_holds_at_and_one_over() {
        let mut constrainer = constrainer();
        let grammar = |i: usize| Constraint::from(format!(r#"start: "{i}""#));
        for i in 0..COMPILED {
            constrainer.matcher(&grammar(i)).unwrap();
        }
        constrainer.matcher(&grammar(0)).unwrap();
        assert_eq!(constrainer.compiled.len(), COMPILED);
        constrainer.matcher(&grammar(COMPILED)).unwrap();
        assert_eq!(constrainer.compiled.len(), COMPILED);
        let kept = |i| constrainer.compiled.iter().any(|kept| kept.constraint == grammar(i));
        assert!(kept(0) && kept(COMPILED), "used last");
        assert!(!kept(1), "used longest ago");
    }

    /// The trie of single bytes, said to be canonical, so that bytes are forced as with a real model.
    struct Forcing(TokEnv);

    impl TokenizerEnv for Forcing {
        fn tok_trie(&self) -> &TokTrie {
            self.0.tok_trie()
        }

        fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<TokenId> {
            self.0.tok_trie().greedy_tokenize(bytes)
        }
    }

    /// Writes what a constraint allows, the first of it each time. It takes no longer than the test waits.
    fn write(constraint: &Constraint) -> Result<usize, String> {
        let vocabulary: TokEnv = Arc::new(Forcing(ApproximateTokEnv::single_byte_env()));
        let mut matcher = Constrainer::new(&vocabulary).matcher(constraint)?;
        let mut written = 0;
        while written < 300 && !matcher.is_stopped() {
            written += matcher.consume_ff_tokens().len();
            if matcher.is_stopped() {
                break;
            }
            let allowed = matcher.compute_mask().map_err(|e| e.to_string())?;
            let first = allowed.first_bit_set().ok_or("a dead end")?;
            matcher.consume_token(u32::try_from(first).unwrap()).map_err(|e| e.to_string())?;
            written += 1;
        }
        matcher.get_error().map_or(Ok(written), Err)
    }

    #[test]
    fn bombs_are_refused_or_defused() {
        let lark = |text: String| Constraint::Lark(text);
        let chain = |n: usize, rule: &dyn Fn(usize) -> String| {
            (0..n).map(rule).fold("start: r0\n".to_owned(), |all, rule| all + &rule)
        };
        let bombs = [
            lark("start: /(a{1000}){1000}/".to_owned()),
            lark("start: /(((a{1,30}){1,30}){1,30}){1,30}/".to_owned()),
            lark("start: ((\"a\"{1000}){1000}){1000}".to_owned()),
            lark("start: ((\"a\"?){1000}){1000}".to_owned()),
            lark("start: A\nA: ((\"a\"|\"b\"){1,1000}){1,1000}".to_owned()),
            lark(format!("start: {}", "\"a\"? ".repeat(1300))),
            lark(format!("start: A\nA: {}\nB: \"a\"?", "B ".repeat(4000))),
            lark("start: /[ab]*a[ab]{20}/".to_owned()),
            lark("start: A\nA: /.*a.{14}/ & /.*b.{15}/ & ~/.*c.{13}/".to_owned()),
            lark("start: start start | \"\" | \"a\"".to_owned()),
            lark("start: a\na: b\nb: a".to_owned()),
            lark(chain(40, &|i| format!("r{i}: r{} r{}\n", i + 1, i + 1)) + "r40: \"a\""),
            lark(chain(600, &|i| format!("r{i}: r{}\n", i + 1)) + "r600: \"a\""),
            lark(format!("start: {}\"a\"{}", "(".repeat(4000), ")".repeat(4000))),
            lark(format!("start: %json {}1{}", "[".repeat(4000), "]".repeat(4000))),
            lark("start: <|im_end|>".to_owned()),
            Constraint::Regex("a?".repeat(MAX_GRAMMAR_BYTES / 2)),
            Constraint::Regex("(a{1000}){1000}".to_owned()),
            Constraint::Regex(format!("{}a{}", "(".repeat(4000), ")".repeat(4000))),
            Constraint::Regex("(x+x+)+y".to_owned()),
            Constraint::Gbnf("root ::= ((\"a\"{2000}){2000}){2000}".to_owned()),
            Constraint::Gbnf("root ::= \"(\" root \")\" | (\"a\"{2000}){2000}".to_owned()),
            Constraint::Gbnf(format!("root ::= {}", "\"a\"? ".repeat(1300))),
            Constraint::Gbnf(format!("root ::= \"(\" root \")\" | \"{}\"", "x".repeat(8000))),
            Constraint::Gbnf("root ::= root".to_owned()),
            Constraint::JsonSchema(json!({ "pattern": "^(a{40}){40}$", "type": "string" })),
            Constraint::JsonSchema(json!({ "type": "array", "minItems": 4_000_000_000_u32,
                                           "items": { "const": "aaaa" } })),
            Constraint::JsonSchema(json!({ "enum": (0..10_000).collect::<Vec<_>>() })),
            Constraint::JsonSchema(json!({ "allOf": vec![json!({
                "anyOf": (0..8).map(|i| json!({ "pattern": format!("^.{{{i}}}a") })).collect::<Vec<_>>()
            }); 8] })),
        ];
        for bomb in bombs {
            let shown: String = bomb.text().chars().take(60).collect();
            match write(&bomb) {
                Ok(written) => println!("{shown}: {written} bytes"),
                Err(why) => {
                    println!("{shown}: {why}");
                    assert!(!why.is_empty(), "{shown}");
                }
            }
        }
    }

    #[test]
    fn what_others_wrote_is_not_forced_and_what_is_agentds_own_is() {
        let vocabulary: TokEnv = Arc::new(Forcing(ApproximateTokEnv::single_byte_env()));
        let mut constrainer = Constrainer::new(&vocabulary);
        let mut forced =
            |constraint| constrainer.matcher(&constraint).unwrap().consume_ff_tokens().len();
        assert_eq!(forced(Constraint::from("start: \"abc\"")), 3);
        assert_eq!(forced(Constraint::JsonSchema(json!({ "const": "abc" }))), 5);
        assert_eq!(forced(Constraint::Lark("start: \"abc\"".to_owned())), 0);
        assert_eq!(forced(Constraint::Regex("abc".to_owned())), 0);
        assert_eq!(forced(Constraint::Gbnf("root ::= \"abc\"".to_owned())), 0);
    }

    #[test]
    fn a_regular_expression_matches_the_whole_text_or_is_refused_with_its_reason() {
        let mut constrainer = constrainer();
        let mut takes = |regex: &str, text: &str| {
            let matcher = constrainer.matcher(&Constraint::Regex(regex.to_owned()));
            accepts(&mut matcher.unwrap_or_else(|why| panic!("{regex}: {why}")), text)
        };
        assert!(takes("[0-9]{2}:[0-5][0-9]", "17:45"));
        assert!(takes("^a/b\n#?$", "a/b\n"));
        assert!(!takes("a|b", "ab"));
        for (regex, reason) in [
            ("(a", "unclosed group"),
            ("a**(", "unclosed"),
            (r"\ba", "lookaround"),
            ("(?P<stop>a)b", "stop"),
        ] {
            let why = constrainer.matcher(&Constraint::Regex(regex.to_owned())).err().unwrap();
            assert!(why.contains(reason), "{regex}: {why}");
        }
        let long = format!("({}", "a".repeat(4000));
        let why = constrainer.matcher(&Constraint::Regex(long)).err().unwrap();
        assert!(why.len() < 2 * MAX_REASON_CHARS, "{why}");
    }

    #[test]
    fn two_schemas_that_differ_in_the_order_of_their_keys_are_two() {
        let mut constrainer = constrainer();
        let schema = |names: [&str; 2]| {
            let parts: serde_json::Map<_, _> =
                names.iter().map(|name| ((*name).to_owned(), json!(true))).collect();
            Constraint::JsonSchema(
                json!({ "type": "object", "properties": parts, "required": names,
                                           "additionalProperties": false }),
            )
        };
        for names in [["a", "b"], ["b", "a"]] {
            let text = format!("{{\"{}\":1,\"{}\":2}}", names[0], names[1]);
            assert!(accepts(&mut constrainer.matcher(&schema(names)).unwrap(), &text), "{text}");
        }
    }
}
