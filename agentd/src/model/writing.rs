//! One answer as it is written: forced tokens are appended, the others chosen.

use llama_cpp_2::token::LlamaToken;
use llguidance::Matcher;
use toktrie::{SimpleVob, TokTrie};

use super::pieces::Pieces;
use super::thinker::{Halt, Request};
use super::{Answer, ModelError, Usage};

/// An answer that is being written.
pub(super) struct Writing {
    matcher: Matcher,
    /// What it may go on with, where there is a choice.
    allowed: Option<SimpleVob>,
    pieces: Pieces,
    pub(super) usage: Usage,
    /// The sum of the logarithms of its choices' probabilities.
    log_probability: f32,
}

/// What an answer is written with.
pub(super) struct Desk<'a> {
    pub(super) request: &'a Request,
    pub(super) trie: &'a TokTrie,
    /// Gets the tokens that are decided and not decoded yet.
    pub(super) pending: &'a mut Vec<LlamaToken>,
    /// Gets whole characters as they are written.
    pub(super) say: &'a mut dyn FnMut(&str),
}

impl Writing {
    /// An answer of which nothing is written yet.
    pub(super) fn new(matcher: Matcher, usage: Usage) -> Self {
        Self { matcher, allowed: None, pieces: Pieces::default(), usage, log_probability: 0.0 }
    }

    /// Writes what is forced. `true`: there is a choice, which needs the logits after what is pending; `false`: it
    /// has come to its end.
    pub(super) fn go_on(&mut self, desk: &mut Desk<'_>) -> Result<bool, Halt> {
        loop {
            for token in self.matcher.consume_ff_tokens() {
                self.append(token, desk)?;
                self.usage.forced += 1;
            }
            if self.matcher.is_stopped() {
                return Ok(false);
            }
            let allowed = self.matcher.compute_mask().map_err(refused)?;
            if allowed.num_set() == 1 {
                // There is nothing to choose, so there is no need to think.
                let only = allowed.first_bit_set().and_then(|token| u32::try_from(token).ok());
                self.take(only, desk)?;
                self.usage.forced += 1;
                continue;
            }
            let is_full = self.tokens() >= desk.request.max_tokens;
            if is_full && self.matcher.is_accepting().map_err(refused)? {
                return Ok(false);
            }
            self.allowed = Some(allowed);
            return Ok(true);
        }
    }

    /// Chooses the best token, and writes what it forces. Returns as [`go_on`](Self::go_on) does.
    pub(super) fn choose(&mut self, logits: &[f32], desk: &mut Desk<'_>) -> Result<bool, Halt> {
        let best = self.allowed.take().and_then(|allowed| best(logits, &allowed));
        self.log_probability += best.map_or(0.0, |(_, log_probability)| log_probability);
        self.take(best.map(|(token, _)| token), desk)?;
        self.usage.sampled += 1;
        self.go_on(desk)
    }

    /// The answer, once it has come to its end.
    pub(super) fn finish(&mut self, request: &Request) -> Result<Answer, Halt> {
        // A matcher that erred is stopped too, and what it let through is no answer.
        if let Some(error) = self.matcher.get_error() {
            return Err(refused(error));
        }
        self.usage.total_ms = request.elapsed_ms();
        let confidence = self.log_probability.exp();
        // JSON has no NaN, and what is no number is nothing to rely on.
        let confidence = if confidence.is_finite() { confidence } else { 0.0 };
        let text = std::mem::take(&mut self.pieces).into_text();
        Ok(Answer { text, confidence, usage: self.usage.clone() })
    }

    fn tokens(&self) -> u32 {
        self.usage.forced + self.usage.sampled
    }

    /// Tells the matcher of a token, and appends it.
    fn take(&mut self, token: Option<u32>, desk: &mut Desk<'_>) -> Result<(), Halt> {
        let token = token.ok_or_else(|| refused("its grammar leads into a dead end"))?;
        self.matcher.consume_token(token).map_err(refused)?;
        self.append(token, desk)
    }

    fn append(&mut self, token: u32, desk: &mut Desk<'_>) -> Result<(), Halt> {
        if self.tokens() == 0 {
            self.usage.first_token_ms = desk.request.elapsed_ms();
        }
        // The token that ends the answer is not part of it.
        if desk.trie.eos_tokens().contains(&token) {
            return Ok(());
        }
        if self.tokens() >= desk.request.max_tokens {
            return Err(ModelError::Refused(format!(
                "its answer was not complete after {} tokens: raise model.max_tokens",
                desk.request.max_tokens
            ))
            .into());
        }
        let piece = self.pieces.push(&desk.trie.decode(&[token]));
        if !piece.is_empty() {
            (desk.say)(piece);
        }
        desk.pending.push(LlamaToken::new(token.cast_signed()));
        Ok(())
    }
}

/// The best token of those that are allowed, and the logarithm of its probability among them.
fn best(logits: &[f32], allowed: &SimpleVob) -> Option<(u32, f32)> {
    // A logit that is no number loses against any other.
    let logit = |token: u32| logits.get(token as usize).copied().unwrap_or(f32::NAN);
    let mut best: Option<(u32, f32)> = None;
    for token in allowed.iter() {
        if best.is_none_or(|(_, top)| logit(token) > top || top.is_nan()) {
            best = Some((token, logit(token)));
        }
    }
    let (token, top) = best?;
    let all: f32 = allowed.iter().map(|token| (logit(token) - top).exp()).sum();
    Some((token, -all.ln()))
}

fn refused(why: impl std::fmt::Display) -> Halt {
    ModelError::Refused(why.to_string()).into()
}
