//! What of that which a grammar allows is a choice at all: production chooses there alone, and training learns to.

use llguidance::Matcher;
use toktrie::{SimpleVob, TokEnv};

/// Where more tokens are allowed, none is looked at.
pub(super) const FEW: usize = 32;

/// What `matcher` may go on with behind `last`.
pub(crate) enum Next {
    /// One token, or one text: there is nothing to choose.
    Forced(u32),
    /// Several, or none where the grammar leads into a dead end.
    Choice(SimpleVob),
}

/// What a matcher may go on with behind the token `last`, once nothing is forced that it knows of.
pub(crate) fn next(
    matcher: &mut Matcher,
    last: Option<u32>,
    words: &TokEnv,
) -> anyhow::Result<Next> {
    let mut allowed = matcher.compute_mask()?;
    if let Some(last) = last.filter(|_| words.tokenize_is_canonical()) {
        spell_as_learnt(last, &mut allowed, words);
        if let Some(token) = of_one_text(matcher, last, &allowed, words) {
            return Ok(Next::Forced(token));
        }
    }
    let only = (allowed.num_set() == 1).then(|| allowed.iter().next()).flatten();
    Ok(only.map_or(Next::Choice(allowed), Next::Forced))
}

/// Takes from what is allowed the tokens that the tokenizer would not make of the text, as a `)` behind a `(` where there
/// is a `()`: the model has never seen them stand so. Where none would be left, all are.
fn spell_as_learnt(last: u32, allowed: &mut SimpleVob, words: &TokEnv) {
    if !(2..=FEW).contains(&allowed.num_set()) {
        return;
    }
    let trie = words.tok_trie();
    let is_learnt = |token: &u32| {
        let both = trie.decode_raw(&[last, *token]);
        std::str::from_utf8(&both).is_err()
            || trie.eos_tokens().contains(token)
            || words.tokenize_bytes(&both) == [last, *token]
    };
    let (learnt, others): (Vec<u32>, Vec<u32>) = allowed.iter().partition(is_learnt);
    if !learnt.is_empty() {
        others.into_iter().for_each(|token| allowed.disallow_token(token));
    }
}

/// The token that the tokenizer makes of the text, where all that is allowed begins one and the same, as `d`, `de` and
/// `device` where only a parameter of that name may come. The grammar alone does not know that it is forced there, since it
/// counts what [`spell_as_learnt`] took away.
fn of_one_text(matcher: &Matcher, last: u32, allowed: &SimpleVob, words: &TokEnv) -> Option<u32> {
    if !(2..=FEW).contains(&allowed.num_set()) {
        return None;
    }
    let trie = words.tok_trie();
    let text = |token: u32| trie.decode_raw(&[token]);
    let shortest = allowed.iter().min_by_key(|token| text(*token).len())?;
    let longest = allowed.iter().map(text).max_by_key(Vec::len)?;
    let ends = |token: u32| trie.eos_tokens().contains(&token);
    if allowed.iter().any(|token| ends(token) || !longest.starts_with(&text(token))) {
        return None;
    }
    let mut behind = matcher.deep_clone();
    behind.consume_token(shortest).ok()?;
    let whole = [text(shortest), behind.compute_ff_bytes()].concat();
    if !whole.starts_with(&longest) {
        return None;
    }
    // What is behind the token has to be known too, or they might be joined.
    match words.tokenize_bytes(&[text(last), whole].concat())[..] {
        [first, token, _, ..] if first == last && allowed.is_allowed(token) => Some(token),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use toktrie::{TokRxInfo, TokTrie, TokenId, TokenizerEnv};

    use super::*;
    use crate::model::constrain::Constrainer;
    use crate::model::constraint::Constraint;

    const LONGER: [&str; 4] = ["()", "de", "device", "lamp"];
    const END: u32 = 256 + LONGER.len() as u32;

    /// A vocabulary of bytes and some longer tokens, whose tokenizer takes the longest.
    struct Greedy(TokTrie);

    impl Greedy {
        fn env() -> TokEnv {
            let mut words: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
            words.extend(LONGER.map(|word| word.as_bytes().to_vec()));
            words.push(b"\xff<|end|>".to_vec());
            Arc::new(Self(TokTrie::from(&TokRxInfo::new(END + 1, END), &words)))
        }
    }

    impl TokenizerEnv for Greedy {
        fn tok_trie(&self) -> &TokTrie {
            &self.0
        }

        fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<TokenId> {
            self.0.greedy_tokenize(bytes)
        }
    }

    /// What a grammar goes on with behind "go(", which was chosen: one token, or the texts of some.
    fn behind_the_bracket(grammar: &str) -> Result<String, Vec<String>> {
        let words = Greedy::env();
        let own = Constraint::Own(grammar.to_owned());
        let mut matcher = Constrainer::new(&words).matcher(&own).unwrap();
        matcher.consume_tokens(&b"go(".map(u32::from)).unwrap();
        assert!(matcher.consume_ff_tokens().is_empty(), "the bracket may be closed at once");
        let text = |token| words.tok_trie().decode_str(&[token]);
        match next(&mut matcher, Some(u32::from(b'(')), &words).unwrap() {
            Next::Forced(token) => Ok(text(token)),
            Next::Choice(allowed) => Err(allowed.iter().map(text).collect()),
        }
    }

    fn texts(all: &[&str]) -> Vec<String> {
        all.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn what_the_tokenizer_would_have_joined_is_no_choice_among_few() {
        let one_of = |letters: &str| {
            behind_the_bracket(&format!(r#"start: "go()" | "go(" /[{letters}]/ ")""#))
        };
        assert_eq!(one_of("A"), Ok("A".into()));
        assert_eq!(one_of("A-C"), Err(texts(&["A", "B", "C"])));
        let closes = |found: Result<_, Vec<String>>| found.unwrap_err().contains(&")".to_owned());
        assert!(!closes(one_of("A-Za-e")), "31 letters, and the bracket that is taken away");
        assert!(closes(one_of("A-Za-f")), "among more it is not looked for");
    }

    #[test]
    fn one_text_is_no_choice_however_many_tokens_begin_it() {
        let device = r#"start: "go()" | "go(" "device=" /[ab]/ ")""#;
        assert_eq!(behind_the_bracket(device), Ok("device".into()));
        // The tokens are the same, and the texts are two.
        let depth = r#"start: "go()" | "go(" ("device=" | "depth=") /[ab]/ ")""#;
        assert_eq!(behind_the_bracket(depth), Err(texts(&["d", "de", "device"])));
        // What may come behind it could be joined with it.
        let open = r#"start: "go()" | "go(" "lamp" /[s)]/"#;
        assert_eq!(behind_the_bracket(open), Err(texts(&["l", "lamp"])));
    }
}
