use llguidance::toktrie::ApproximateTokEnv;

use super::super::Constraint;
use super::super::gbnf_parser::{MAX_GROUPS, MAX_OPERATORS, MAX_REPEAT};
use super::*;
use crate::model::constrain::Constrainer;

fn taken(gbnf: &str, text: &str) -> (usize, bool) {
    let mut constrainer = Constrainer::new(&ApproximateTokEnv::single_byte_env());
    let constraint = Constraint::Gbnf(gbnf.to_owned());
    let lark = to_lark(gbnf);
    let mut matcher =
        constrainer.matcher(&constraint).unwrap_or_else(|e| panic!("{e} in {gbnf}: {lark:?}"));
    let bytes: Vec<u32> = text.bytes().map(u32::from).collect();
    let taken = matcher.try_consume_tokens(&bytes).unwrap();
    (taken, matcher.is_stopped() || matcher.is_accepting().unwrap())
}

#[track_caller]
fn takes(gbnf: &str, good: &[&str], bad: &[&str]) {
    for text in good {
        assert_eq!(
            taken(gbnf, text),
            (text.len(), true),
            "{text:?} under {gbnf}: {}",
            to_lark(gbnf).unwrap()
        );
    }
    for text in bad {
        assert_ne!(
            taken(gbnf, text),
            (text.len(), true),
            "{text:?} under {gbnf}: {}",
            to_lark(gbnf).unwrap()
        );
    }
}

#[track_caller]
fn refused_at(gbnf: &str, line: usize, column: usize) {
    match to_lark(gbnf) {
        Err(Refusal::Gbnf { line: l, column: c, why }) => {
            assert_eq!((l, c), (line, column), "{why} in {gbnf}")
        }
        other => panic!("{other:?} for {gbnf}"),
    }
}

#[test]
fn the_notation_means_what_it_means_in_llama_cpp() {
    takes(r#"root ::= "a" | "bc" "d""#, &["a", "bcd"], &["b", "ad", ""]);
    takes("root ::= [a-cx-z_]", &["b", "x", "_"], &["d", "-"]);
    takes("root ::= [^a-c\\n]", &["d", "é", "^"], &["a", "\n", ""]);
    takes("root ::= [a\\-z-]", &["a", "-"], &["b"]);
    takes("root ::= [\\]\\[\\\\^]", &["]", "[", "\\", "^"], &["a"]);
    takes("root ::= . .", &["a\n", "éé"], &["a", "abc"]);
    takes(r#"root ::= "\x41\u00e9\U0001F327\t\"\\""#, &["Aé\u{1f327}\t\"\\"], &["A"]);
    takes(r#"root ::= "a"* "b"+ "c"?"#, &["b", "aabbc"], &["a", "bcc"]);
    takes(
        r#"root ::= "a"{2} "b"{1,} "c"{0,2} "d"{0}"#,
        &["aab", "aabbcc"],
        &["ab", "aabccc", "aabd"],
    );
    takes(r#"root ::= ("a" | "b"){2,3}?"#, &["", "ab", "bab"], &["a", "abab"]);
    takes(
        "root ::=\n  \"a\" | # or\n  \"b\" (\n \"c\"\n | \"d\" )\n\n# the end\n",
        &["a", "bd"],
        &["b"],
    );
    takes("root ::= one-a two2\none-a ::= \"1\"\r\ntwo2 ::= \"2\"", &["12"], &["1"]);
    takes(r#"root ::= "a" | "#, &["", "a"], &["b"]);
    takes("root ::= \"\"", &[""], &["a"]);
    takes("root ::= \"\u{7f}/\" [/#]", &["\u{7f}//", "\u{7f}/#"], &["/"]);
}

/// A lexer that takes the longest terminal would lose some of these.
#[test]
fn what_begins_alike_is_told_apart() {
    takes(r#"root ::= [a-z]* "b""#, &["b", "abb"], &["a"]);
    takes(r#"root ::= ("ab" | [a-z]) "b""#, &["abb", "ab", "zb"], &["b"]);
    takes(
        "root ::= \"(\" inner \")\"\ninner ::= (\"ab\" | [a-z]) \"b\" | root",
        &["(ab)", "((abb))"],
        &["(b)", "(ab"],
    );
}

#[test]
fn grammars_as_people_write_them_work() {
    let json = r#"
        # JSON, with spaces in a few places
        root   ::= object
        value  ::= object | array | string | number | ("true" | "false" | "null") ws
        object ::= "{" ws ( string ":" ws value ("," ws string ":" ws value)* )? "}" ws
        array  ::= "[" ws ( value ("," ws value)* )? "]" ws
        string ::= "\"" ( [^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) )* "\"" ws
        number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9]+)? ws
        ws     ::= | " " | "\n" [ \t]{0,20}
    "#;
    let json = json.replace("\n        ", "\n");
    takes(
        &json,
        &["{}", r#"{"a": [1, -2.5e3, "x\n\u00e9", null], "b":{"c":true}}"#],
        &["{", "[1]", r#"{"a":01}"#],
    );
    let sums = "root ::= (expr \"=\" ws term \"\\n\")+\nexpr ::= term ([-+*/] term)*\n\
                term ::= ident | num | \"(\" ws expr \")\" ws\nident ::= [a-z] [a-z0-9_]* ws\n\
                num ::= [0-9]+ ws\nws ::= [ \\t\\n]*";
    takes(sums, &["a1+(2*b)= 7\n", "1=x\n2=y\n"], &["a1+=7\n", "(1=2\n"]);
    let moves = "root ::= \"1. \" move \" \" move \"\\n\" ([1-9] [0-9]? \". \" move \" \" move \"\\n\")*\n\
                 move ::= (pawn | piece | \"O-O\" \"-O\"?) [+#]?\npiece ::= [NBKQR] [a-h]? [1-8]? \"x\"? [a-h] [1-8]\n\
                 pawn ::= ([a-h] \"x\")? [a-h] [1-8] (\"=\" [NBKQR])?";
    takes(moves, &["1. e4 e5\n", "1. e4 e5\n2. Nf3 Nc6\n"], &["1. e9 e5\n", "e4 e5\n"]);
    let list = "root ::= item+\nitem ::= \"- \" [^\\r\\n\\x0b\\x0c\\x85\\u2028\\u2029]+ \"\\n\"";
    takes(list, &["- one\n- zwei\n"], &["one\n", "- \n"]);
    let japanese = "root ::= jp+ ([ \\t\\n] jp+)*\njp ::= hiragana | punct\nhiragana ::= [ぁ-ゟ]\npunct ::= [、-〾]";
    takes(japanese, &["ひらがな、", "ひ ら"], &["kana"]);
    let left = "root ::= root \"+\" [0-9] | [0-9]";
    takes(left, &["1", "1+2+3"], &["+1", "1+"]);
}

#[test]
fn what_is_wrong_is_refused_where_it_stands() {
    refused_at("a ::= \"b\"", 1, 1);
    refused_at("root ::= a\nb ::= \"c\"", 1, 10);
    refused_at("root ::= \"a\"\nroot ::= \"b\"", 2, 1);
    refused_at("root = \"a\"", 1, 6);
    refused_at("root ::= \"a\" )", 1, 14);
    refused_at("root ::= (\"a\"", 1, 10);
    refused_at("root ::= \"a", 1, 10);
    refused_at("root ::= [a", 1, 10);
    refused_at("root ::= [a-", 1, 10);
    refused_at("root ::= []", 1, 10);
    refused_at("root ::= [z-a]", 1, 11);
    refused_at("root ::= \"é\\q\"", 1, 12);
    refused_at("root ::= \"\\x4\"", 1, 11);
    refused_at("root ::= \"\\ud800\"", 1, 11);
    refused_at("root ::= \"\\U00110000\"", 1, 11);
    refused_at("root ::= * \"a\"", 1, 10);
    refused_at("root ::= \"a\"{}", 1, 14);
    refused_at("root ::= \"a\"{2,1}", 1, 17);
    refused_at("root ::= \"a\"{2", 1, 15);
    refused_at("root ::= <think>", 1, 10);
    refused_at("root ::= ![1]", 1, 10);
    refused_at("root ::= \"a\"\n  \"b\"", 2, 3);
}

#[test]
fn the_bounds_hold_at_and_one_over() {
    assert!(to_lark(&format!("root ::= \"a\"{{{MAX_REPEAT}}}")).is_ok());
    refused_at(&format!("root ::= \"a\"{{{}}}", MAX_REPEAT + 1), 1, 14);
    assert!(to_lark(&format!("root ::= \"a\"{}", "*".repeat(MAX_OPERATORS))).is_ok());
    refused_at(
        &format!("root ::= \"a\"{}", "*".repeat(MAX_OPERATORS + 1)),
        1,
        12 + MAX_OPERATORS + 2,
    );
    let deep = |depth| {
        let (open, close) = ("(".repeat(depth), ")+?".repeat(depth));
        format!("root ::= {open}\"a\"+?{close}")
    };
    takes(&deep(MAX_GROUPS), &["", "aa"], &["b"]);
    refused_at(&deep(MAX_GROUPS + 1), 1, 10 + MAX_GROUPS);
}
