//! Lessons: sentences and their calls, as the model meets them in production.
//!
//! ```text
//!  {"tools", "pairs": [{"say", "before", "answer"}], "grounded"}   a toolset with what is said to it
//!  ──> {"prefix": [token], "pairs": [{"prompt", "answer", "choices": [[place, [token] or null]]}]}
//! ```
//!
//! The prompt is written by the daemon's code and cut by the model's own tokenizer; the answer is followed through
//! the grammar that the request would get. Where the grammar leaves one token nothing is to be learnt; where it
//! leaves several, they are written down, and training weighs the right one against those alone. A pair whose
//! answer its own grammar forbids (a value that [`Grounds`] does not find) teaches what cannot happen, and is left
//! out and counted. Bound: a choice of more than [`MAX_LISTED`] tokens is written as null, "any".

use std::path::Path;

use agentd_tools::ToolSpec;
use llama_cpp_2::token::LlamaToken;
use llguidance::Matcher;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use toktrie::TokEnv;

use crate::agent::prompt;
use crate::ground::Grounds;
use crate::model::constrain::Constrainer;
use crate::model::dialect::Dialect;
use crate::model::loaded::Loaded;
use crate::model::spelling::{self, Next};
use crate::model::vocabulary::Vocabulary;
use crate::model::{Message, grammar};

/// The longest list of tokens that a choice is written with.
pub const MAX_LISTED: usize = 1024;

/// A toolset and what is said to it.
#[derive(Debug, Clone, Deserialize)]
pub struct Toolset {
    /// Its tools.
    pub tools: Vec<ToolSpec>,
    /// Sentences and their answers.
    pub pairs: Vec<Pair>,
    /// Whether values are only those that stand in a sentence, as in production.
    #[serde(default = "grounded")]
    pub grounded: bool,
}

const fn grounded() -> bool {
    true
}

impl Toolset {
    /// As a line that is read back: of the tools what a model sees.
    pub fn to_json(&self) -> Value {
        let examples = |tool: &ToolSpec| -> Value {
            tool.examples.iter().map(|e| json!({"say": e.say, "call": e.call})).collect()
        };
        let tools = self.tools.iter().map(|tool| {
            json!({
                "name": tool.name, "description": tool.description, "kind": tool.kind,
                "params": tool.params, "examples": examples(tool),
            })
        });
        let mut line = json!({"tools": tools.collect::<Value>(), "pairs": self.pairs});
        if !self.grounded {
            line["grounded"] = false.into();
        }
        line
    }
}

/// A sentence and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    /// The sentence.
    pub say: String,
    /// What was said and answered before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<Turn>,
    /// The calls, one a line, or `none()`.
    pub answer: String,
}

/// What was said and answered before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// The sentence.
    pub say: String,
    /// The calls, one a line, or `none()`.
    pub answer: String,
}

/// The lesson of a toolset.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Lesson {
    /// The tokens of rules, tools and examples.
    pub prefix: Vec<i32>,
    /// What follows it, each on its own.
    pub pairs: Vec<Tokens>,
}

/// A pair as tokens.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tokens {
    /// From the end of the prefix to where the answer begins.
    pub prompt: Vec<i32>,
    /// The answer, with the token that ends it where that one is chosen.
    pub answer: Vec<u32>,
    /// Places of the answer where the grammar leaves several tokens, and which; none: more than are written.
    pub choices: Vec<(usize, Option<Vec<u32>>)>,
}

/// Why a pair is left out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// The answer is not one that the grammar admits.
    #[error("its grammar does not admit the answer after {0:?}")]
    Forbidden(String),
    /// Prompt or grammar cannot be made.
    #[error("{0}")]
    Impossible(String),
}

/// Makes lessons for one model.
pub struct Teacher {
    loaded: Loaded,
    dialect: Dialect,
    /// Ends an answer, as in the turns before.
    end: u32,
    vocabulary: TokEnv,
    constrainer: Constrainer,
    max_calls: usize,
}

impl Teacher {
    /// For the model of a file, and answers of up to `max_calls` calls.
    pub fn new(model: &Path, max_calls: usize) -> Result<Self, String> {
        let loaded = Loaded::quietly(model)?;
        let vocabulary: TokEnv = Vocabulary::of(loaded.model());
        Ok(Self {
            dialect: Dialect::turns(&loaded.model())?,
            end: loaded.model().vocab().eos().0.cast_unsigned(),
            constrainer: Constrainer::new(&vocabulary),
            vocabulary,
            loaded,
            max_calls,
        })
    }

    /// The lesson of a toolset, with `examples` of its pairs shown in the prompt instead of asked; and the pairs
    /// that were left out.
    pub fn lesson(
        &mut self,
        toolset: &Toolset,
        examples: usize,
    ) -> Result<(Lesson, Vec<(String, Unfit)>), Unfit> {
        let mut preamble = prompt::preamble(&toolset.tools);
        let (shown, asked): (Vec<_>, Vec<_>) = toolset
            .pairs
            .iter()
            .enumerate()
            .partition(|(i, pair)| *i < examples && pair.before.is_empty());
        if !shown.is_empty() {
            // Those of the prompt itself come last, as they do in production.
            let refusal = preamble.split_off(1);
            for (_, pair) in shown {
                preamble.extend(prompt::exchange(&pair.say, &pair.answer));
            }
            preamble.extend(refusal);
        }
        let prefix = self.tokens(&preamble, false)?;
        let (mut pairs, mut left_out) = (Vec::new(), Vec::new());
        for (_, pair) in asked {
            match self.pair(toolset, &preamble, prefix.len(), pair) {
                Ok(tokens) => pairs.push(tokens),
                Err(why) => left_out.push((pair.say.clone(), why)),
            }
        }
        let prefix = prefix.iter().map(|token| token.0).collect();
        Ok((Lesson { prefix, pairs }, left_out))
    }

    fn tokens(&self, messages: &[Message], answers: bool) -> Result<Vec<LlamaToken>, Unfit> {
        let tokens = self.dialect.prompt(&self.loaded.model(), messages, answers);
        tokens.map_err(|error| Unfit::Impossible(error.to_string()))
    }

    fn pair(
        &mut self,
        toolset: &Toolset,
        preamble: &[Message],
        prefix: usize,
        pair: &Pair,
    ) -> Result<Tokens, Unfit> {
        let mut before = preamble.to_vec();
        before.extend(
            pair.before.iter().flat_map(|before| prompt::exchange(&before.say, &before.answer)),
        );
        let prompt = self.tokens(&prompt::messages(&before, &pair.say), true)?;
        let specs: Vec<&ToolSpec> = toolset.tools.iter().collect();
        let earlier = pair.before.last().map_or("", |turn| turn.say.as_str());
        let grounds = Grounds::of(&pair.say).and_before(earlier);
        let grounds = toolset.grounded.then_some(&grounds);
        let lark = grammar::calls(&specs, self.max_calls, grounds);
        let matcher = self.constrainer.matcher(&lark.into()).map_err(Unfit::Impossible)?;
        let (answer, choices) = follow(matcher, &self.vocabulary, &pair.answer, self.end)?;
        Ok(Tokens {
            prompt: prompt[prefix..].iter().map(|token| token.0).collect(),
            answer,
            choices,
        })
    }
}

type Followed = (Vec<u32>, Vec<(usize, Option<Vec<u32>>)>);

/// Follows an answer through its grammar, as it would be written: its tokens, and where there was a choice.
fn follow(
    mut matcher: Matcher,
    vocabulary: &TokEnv,
    answer: &str,
    end: u32,
) -> Result<Followed, Unfit> {
    let impossible = |error: &dyn std::fmt::Display| Unfit::Impossible(error.to_string());
    let trie = vocabulary.tok_trie();
    let (mut written, mut choices, mut rest) = (Vec::new(), Vec::new(), answer.as_bytes());
    let forbidden = |rest: &[u8]| Unfit::Forbidden(answer[..answer.len() - rest.len()].to_owned());
    loop {
        for token in matcher.consume_ff_tokens() {
            rest = rest
                .strip_prefix(trie.decode(&[token]).as_slice())
                .ok_or_else(|| forbidden(rest))?;
            written.push(token);
        }
        if matcher.is_stopped() {
            break;
        }
        let next = match spelling::next(&mut matcher, written.last().copied(), vocabulary) {
            Ok(Next::Forced(token)) => Some(token).filter(|token| {
                rest.starts_with(&trie.decode(&[*token])) || rest.is_empty() && *token == end
            }),
            Ok(Next::Choice(allowed)) => {
                let listed = (allowed.num_set() <= MAX_LISTED).then(|| allowed.iter().collect());
                choices.push((written.len(), listed));
                // With nothing left to say it has to end; else it goes on with the tokenizer's next token.
                let right = match rest {
                    [] => Some(end),
                    _ => vocabulary.tokenize_bytes(rest).first().copied(),
                };
                right.filter(|token| allowed.is_allowed(*token))
            }
            Err(error) => return Err(impossible(&error)),
        };
        let next = next.ok_or_else(|| forbidden(rest))?;
        written.push(next);
        matcher.consume_token(next).map_err(|e| impossible(&e))?;
        if !rest.is_empty() {
            rest = &rest[trie.decode(&[next]).len()..];
        }
    }
    match matcher.get_error() {
        Some(error) => Err(impossible(&error)),
        None if !rest.is_empty() => Err(forbidden(rest)),
        None => Ok((written, choices)),
    }
}
