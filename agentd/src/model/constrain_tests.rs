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
    matcher.try_consume_tokens(&tokens).unwrap() == tokens.len() && matcher.is_accepting().unwrap()
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
    assert!(constrainer.matcher(&r#"start: "a""#.into()).is_ok(), "and the next one is not hurt");
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
        Constraint::JsonSchema(json!({ "type": "object", "properties": parts, "required": names,
                                       "additionalProperties": false }))
    };
    for names in [["a", "b"], ["b", "a"]] {
        let text = format!("{{\"{}\":1,\"{}\":2}}", names[0], names[1]);
        assert!(accepts(&mut constrainer.matcher(&schema(names)).unwrap(), &text), "{text}");
    }
}
