//! One way to write an answer: forced tokens are appended, the others chosen.

use llama_cpp_2::token::LlamaToken;
use llguidance::Matcher;
use toktrie::{SimpleVob, TokEnv};

use super::ModelError;
use super::choice::{Choice, choices};
use super::pieces::Pieces;
use super::prior::Prior;
use super::search::Search;
use super::sequences::common;
use super::spelling::{self, Next};
use super::thinker::Halt;

/// An answer as far as it is written.
pub(super) struct Path {
    matcher: Matcher,
    /// What it may go on with, where there is a choice.
    allowed: Option<SimpleVob>,
    pieces: Pieces,
    /// What it has in its sequence, behind the prompt.
    written: Vec<LlamaToken>,
    /// Tokens that it has, with the one that ends it.
    pub(super) tokens: u32,
    /// The sum of the logarithms of its choices' probabilities.
    pub(super) log_probability: f32,
}

/// What a way leads over that was not taken.
pub(super) struct Fork {
    /// Where it was left.
    path: Path,
    /// The token that was not chosen.
    token: u32,
    /// How many tokens its sequence had there.
    at: usize,
}

/// What a path is written with.
pub(super) struct Desk<'a> {
    /// The vocabulary and its tokenizer.
    pub(super) words: &'a TokEnv,
    /// The most tokens of an answer.
    pub(super) max_tokens: u32,
    /// How many tokens the sequence has that are decided.
    pub(super) held: usize,
    /// Gets the tokens that are decided and not decoded yet.
    pub(super) pending: &'a mut Vec<LlamaToken>,
    /// Gets whole characters as they are written.
    pub(super) shown: String,
    /// Counts tokens that were forced and sampled.
    pub(super) forced: u32,
    pub(super) sampled: u32,
}

impl<'a> Desk<'a> {
    /// For a sequence of `held` tokens.
    pub(super) fn new(
        words: &'a TokEnv,
        max_tokens: u32,
        held: usize,
        pending: &'a mut Vec<LlamaToken>,
    ) -> Self {
        Self { words, max_tokens, held, pending, shown: String::new(), forced: 0, sampled: 0 }
    }
}

impl Path {
    /// A path on which nothing is written yet.
    pub(super) fn new(matcher: Matcher) -> Self {
        let pieces = Pieces::default();
        let written = Vec::new();
        Self { matcher, allowed: None, pieces, written, tokens: 0, log_probability: 0.0 }
    }

    /// Writes what is forced. `true`: there is a choice, which needs the logits after what is pending; `false`: it
    /// has come to its end.
    pub(super) fn go_on(&mut self, desk: &mut Desk<'_>) -> Result<bool, Halt> {
        loop {
            for token in self.matcher.consume_ff_tokens() {
                self.append(token, desk)?;
                desk.forced += 1;
            }
            if self.matcher.is_stopped() {
                return Ok(false);
            }
            let last = self.written.last().map(|token| token.0.cast_unsigned());
            let allowed = match spelling::next(&mut self.matcher, last, desk.words) {
                Ok(Next::Choice(allowed)) => allowed,
                Ok(Next::Forced(token)) => {
                    // There is nothing to choose, so there is no need to think.
                    self.take(Some(token), desk)?;
                    desk.forced += 1;
                    continue;
                }
                Err(error) => return Err(refused(error)),
            };
            let is_full = self.tokens >= desk.max_tokens;
            if is_full && self.matcher.is_accepting().map_err(refused)? {
                return Ok(false);
            }
            self.allowed = Some(allowed);
            return Ok(true);
        }
    }

    /// Chooses the best token, and writes what it forces. Returns as [`go_on`](Self::go_on) does. `forks` gets the ways
    /// that are not taken, and may be worth it. `prior` is what the name of a first call is not to be chosen by.
    pub(super) fn choose(
        &mut self,
        logits: &[f32],
        search: Search,
        prior: Option<&Prior>,
        forks: &mut Vec<Fork>,
        desk: &mut Desk<'_>,
    ) -> Result<bool, Halt> {
        let allowed = self.allowed.take();
        let written = self.pieces.text();
        let prior = prior.filter(|_| !written.contains('('));
        // What one may be at least as probable as to be worth a way of its own.
        let least = search.worth().map_or(0.0, |worth| worth - self.log_probability);
        let among = |allowed: SimpleVob| match prior {
            Some(prior) => {
                let logits = prior.corrected(logits, &allowed, written, desk.words.tok_trie());
                choices(&logits, &allowed, least, search.others())
            }
            None => choices(logits, &allowed, least, search.others()),
        };
        let found = allowed.map(among).unwrap_or_default();
        for Choice { token, log_probability } in found.iter().skip(1) {
            let path = self.fork(*log_probability);
            forks.push(Fork { path, token: *token, at: desk.held });
        }
        let best = found.first();
        self.log_probability += best.map_or(0.0, |best| best.log_probability);
        self.take(best.map(|best| best.token), desk)?;
        desk.sampled += 1;
        self.go_on(desk)
    }

    /// The same as far as it is written, to be gone on with in another way.
    fn fork(&self, log_probability: f32) -> Self {
        Self {
            matcher: self.matcher.deep_clone(),
            allowed: None,
            pieces: self.pieces.clone(),
            written: self.written.clone(),
            tokens: self.tokens,
            log_probability: self.log_probability + log_probability,
        }
    }

    /// As much of a guess as the grammar admits from here on.
    pub(super) fn admitted(&mut self, mut guess: Vec<LlamaToken>) -> Vec<LlamaToken> {
        let tokens: Vec<u32> = guess.iter().map(|token| token.0.cast_unsigned()).collect();
        guess.truncate(self.matcher.validate_tokens(&tokens).unwrap_or(0));
        guess
    }

    /// Which tokens of a guess that the grammar admits will be forced, if those before them are right: as
    /// [`go_on`](Self::go_on) will find it. It ends where another token would be forced than the guess has. From where
    /// much is allowed, as in a free text, it is not looked any further, and nothing is said to be forced.
    pub(super) fn foresee(&self, guess: &[LlamaToken], words: &TokEnv) -> Vec<bool> {
        let mut matcher = self.matcher.deep_clone();
        let ids: Vec<u32> = guess.iter().map(|token| token.0.cast_unsigned()).collect();
        let mut forced = Vec::new();
        while let Some(token) = ids.get(forced.len()) {
            // Nothing is forced where it is now.
            if matcher.consume_token(*token).is_err() {
                return forced;
            }
            forced.push(false);
            let mut behind = matcher.consume_ff_tokens();
            loop {
                let agrees = behind.iter().zip(&ids[forced.len()..]).take_while(|(a, b)| a == b);
                let same = agrees.count();
                forced.extend(std::iter::repeat_n(true, same));
                if same < behind.len() || forced.len() == ids.len() || matcher.is_stopped() {
                    return forced;
                }
                let last = Some(ids[forced.len() - 1]);
                match spelling::next(&mut matcher, last, words) {
                    Ok(Next::Forced(token)) if matcher.consume_token(token).is_ok() => {
                        behind = vec![token];
                        behind.extend(matcher.consume_ff_tokens());
                    }
                    Ok(Next::Choice(allowed)) if allowed.num_set() <= spelling::FEW => break,
                    Ok(Next::Choice(_)) => {
                        forced.resize(ids.len(), false);
                        return forced;
                    }
                    _ => return forced,
                }
            }
        }
        forced
    }

    /// How many tokens it may go on with.
    pub(super) fn width(&self) -> usize {
        self.allowed.as_ref().map_or(0, SimpleVob::num_set)
    }

    /// The tokens that are written of it.
    pub(super) fn written(&self) -> &[LlamaToken] {
        &self.written
    }

    /// What is written of it.
    pub(super) fn text(&self) -> &str {
        self.pieces.text()
    }

    /// The text, once it has come to its end.
    pub(super) fn finish(self) -> Result<String, Halt> {
        // A matcher that erred is stopped too, and what it let through is no answer.
        match self.matcher.get_error() {
            Some(error) => Err(refused(error)),
            None => Ok(self.pieces.into_text()),
        }
    }

    /// Tells the matcher of a token, and appends it.
    fn take(&mut self, token: Option<u32>, desk: &mut Desk<'_>) -> Result<(), Halt> {
        let token = token.ok_or_else(|| refused("its grammar leads into a dead end"))?;
        self.matcher.consume_token(token).map_err(refused)?;
        self.append(token, desk)
    }

    fn append(&mut self, token: u32, desk: &mut Desk<'_>) -> Result<(), Halt> {
        // The token that ends the answer is not part of it.
        if desk.words.tok_trie().eos_tokens().contains(&token) {
            self.tokens += 1;
            return Ok(());
        }
        if self.tokens >= desk.max_tokens {
            return Err(ModelError::Refused(format!(
                "its answer was not complete after {} tokens: raise model.max_tokens",
                desk.max_tokens
            ))
            .into());
        }
        self.tokens += 1;
        desk.shown.push_str(self.pieces.push(&desk.words.tok_trie().decode(&[token])));
        let token = LlamaToken::new(token.cast_signed());
        self.written.push(token);
        desk.pending.push(token);
        Ok(())
    }
}

impl Fork {
    /// How probable the way is so far, as a logarithm.
    pub(super) fn log_probability(&self) -> f32 {
        self.path.log_probability
    }

    /// Where its sequence, which may have gone other ways since, has to go back to, and what is to be decoded again behind
    /// that.
    pub(super) fn back(&self, held: &[LlamaToken]) -> (usize, &[LlamaToken]) {
        let written = self.path.written.as_slice();
        let begin = self.at - written.len();
        let same = common(held.get(begin..).unwrap_or_default(), written);
        (begin + same, &written[same..])
    }

    /// Takes the way. Returns it with what [`Path::go_on`] does.
    pub(super) fn take(self, desk: &mut Desk<'_>) -> Result<(Path, bool), Halt> {
        let mut path = self.path;
        path.take(Some(self.token), desk)?;
        let goes_on = path.go_on(desk)?;
        Ok((path, goes_on))
    }
}

fn refused(why: impl std::fmt::Display) -> Halt {
    ModelError::Refused(why.to_string()).into()
}
