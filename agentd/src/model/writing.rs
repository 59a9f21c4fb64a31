//! One answer as it is written: forced tokens are appended, the others chosen.

use llama_cpp_2::token::LlamaToken;
use llguidance::Matcher;

use super::llama::Engine;
use super::pieces::Pieces;
use super::thinker::{Halt, Request};
use super::{Answer, ModelError, Usage};

/// An answer that is being written.
pub(super) struct Writing {
    pub(super) matcher: Matcher,
    /// Tokens that are decided and not decoded yet.
    pub(super) pending: Vec<LlamaToken>,
    pub(super) pieces: Pieces,
    pub(super) usage: Usage,
    /// The sum of the logarithms of its choices' probabilities.
    pub(super) log_probability: f32,
}

impl Writing {
    /// Writes it to its end.
    pub(super) fn write(
        mut self,
        engine: &mut Engine<'_>,
        request: &Request<'_>,
        say: &mut dyn FnMut(&str),
    ) -> Result<Answer, Halt> {
        loop {
            for token in self.matcher.consume_ff_tokens() {
                self.append(token, engine, request, say)?;
                self.usage.forced += 1;
            }
            if self.matcher.is_stopped() {
                break;
            }
            let allowed = self.matcher.compute_mask().map_err(refused)?;
            if allowed.num_set() == 1 {
                // There is nothing to choose, so there is no need to think.
                let only = allowed.first_bit_set().and_then(|token| u32::try_from(token).ok());
                self.take(only, engine, request, say)?;
                self.usage.forced += 1;
                continue;
            }
            if self.tokens() >= request.max_tokens
                && self.matcher.is_accepting().map_err(refused)?
            {
                break;
            }
            let pending = std::mem::take(&mut self.pending);
            engine.decode(&pending, request)?;
            request.check()?;
            let best = engine.best(&allowed);
            self.log_probability += best.map_or(0.0, |(_, log_probability)| log_probability);
            self.take(best.map(|(token, _)| token), engine, request, say)?;
            self.usage.sampled += 1;
        }
        // A matcher that erred is stopped too, and what it let through is no answer.
        if let Some(error) = self.matcher.get_error() {
            return Err(refused(error));
        }
        self.usage.total_ms = request.elapsed_ms();
        let confidence = self.log_probability.exp();
        // JSON has no NaN, and what is no number is nothing to rely on.
        let confidence = if confidence.is_finite() { confidence } else { 0.0 };
        Ok(Answer { text: self.pieces.into_text(), confidence, usage: self.usage })
    }

    fn tokens(&self) -> u32 {
        self.usage.forced + self.usage.sampled
    }

    /// Tells the matcher of a token, and appends it.
    fn take(
        &mut self,
        token: Option<u32>,
        engine: &Engine<'_>,
        request: &Request<'_>,
        say: &mut dyn FnMut(&str),
    ) -> Result<(), Halt> {
        let token = token.ok_or_else(|| refused("its grammar leads into a dead end"))?;
        self.matcher.consume_token(token).map_err(refused)?;
        self.append(token, engine, request, say)
    }

    fn append(
        &mut self,
        token: u32,
        engine: &Engine<'_>,
        request: &Request<'_>,
        say: &mut dyn FnMut(&str),
    ) -> Result<(), Halt> {
        let trie = engine.vocabulary.tok_trie();
        if self.tokens() == 0 {
            self.usage.first_token_ms = request.elapsed_ms();
        }
        // The token that ends the answer is not part of it.
        if trie.eos_tokens().contains(&token) {
            return Ok(());
        }
        if self.tokens() >= request.max_tokens {
            return Err(ModelError::Refused(format!(
                "its answer was not complete after {} tokens: raise model.max_tokens",
                request.max_tokens
            ))
            .into());
        }
        let piece = self.pieces.push(&trie.decode(&[token]));
        if !piece.is_empty() {
            say(piece);
        }
        self.pending.push(LlamaToken::new(token.cast_signed()));
        Ok(())
    }
}

fn refused(why: impl std::fmt::Display) -> Halt {
    ModelError::Refused(why.to_string()).into()
}
