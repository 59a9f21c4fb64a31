//! Makers of automata for one vocabulary: one that is there at once, and one that is quicker in free text.
//!
//! In free text nearly every token is allowed at nearly every place. Slices of the vocabulary, computed once, spare the
//! look at each of them; but to compute them takes a third of a worker's start, and a command has hardly any free text.
//! So they are computed beside the first commands, and only who needs them waits for them.

use std::thread::JoinHandle;

use llguidance::ParserFactory;
use llguidance::api::ParserLimits;
use llguidance::earley::SlicedBiasComputer;
use llguidance::toktrie::{InferenceCapabilities, TokEnv};

/// Below the threads that decode: the first command shall not be slower for it.
const NICE: i32 = 10;

/// The makers.
pub(super) struct Factories {
    plain: ParserFactory,
    sliced: Sliced,
}

enum Sliced {
    Coming(JoinHandle<Result<ParserFactory, String>>),
    There(ParserFactory),
    /// It could not be made, which costs time alone.
    Failed,
}

impl Factories {
    /// Makers whose grammars may cost so much.
    pub(super) fn new(vocabulary: &TokEnv, limits: ParserLimits) -> Result<Self, String> {
        let plain = factory(vocabulary, limits.clone(), &[])?;
        let vocabulary = vocabulary.clone();
        let slice = move || {
            // Best effort, as for the worker itself.
            let _ = rustix::process::nice(NICE);
            factory(&vocabulary, limits, &SlicedBiasComputer::general_slices())
        };
        let thread = std::thread::Builder::new().name("slices".into()).spawn(slice);
        let sliced = thread.map_or(Sliced::Failed, Sliced::Coming);
        Ok(Self { plain, sliced })
    }

    /// The vocabulary.
    pub(super) fn vocabulary(&self) -> &TokEnv {
        self.plain.tok_env()
    }

    /// The best maker that is there.
    pub(super) fn at_once(&mut self) -> &ParserFactory {
        if let Sliced::Coming(thread) = &self.sliced
            && !thread.is_finished()
        {
            return &self.plain;
        }
        self.for_free_text()
    }

    /// The one that is quicker in free text, once it is there.
    pub(super) fn for_free_text(&mut self) -> &ParserFactory {
        if matches!(self.sliced, Sliced::Coming(_))
            && let Sliced::Coming(thread) = std::mem::replace(&mut self.sliced, Sliced::Failed)
        {
            let made = thread.join().unwrap_or_else(|_| Err("its thread broke".into()));
            self.sliced = made.map_or_else(
                |why| {
                    eprintln!("free text is written more slowly: {why}");
                    Sliced::Failed
                },
                Sliced::There,
            );
        }
        match &self.sliced {
            Sliced::There(sliced) => sliced,
            Sliced::Coming(_) | Sliced::Failed => &self.plain,
        }
    }
}

fn factory(
    vocabulary: &TokEnv,
    limits: ParserLimits,
    slices: &[String],
) -> Result<ParserFactory, String> {
    let capabilities = InferenceCapabilities {
        ff_tokens: vocabulary.tokenize_is_canonical(),
        ..InferenceCapabilities::default()
    };
    let factory = ParserFactory::new(vocabulary, capabilities, slices);
    let mut factory = factory.map_err(|e| e.to_string())?;
    factory.quiet();
    *factory.limits_mut() = limits;
    Ok(factory)
}

#[cfg(test)]
mod tests {
    use llguidance::api::TopLevelGrammar;
    use llguidance::toktrie::ApproximateTokEnv;

    use super::*;

    #[test]
    fn both_makers_make_the_same_language() {
        let vocabulary = ApproximateTokEnv::single_byte_env();
        let mut factories = Factories::new(&vocabulary, ParserLimits::default()).expect("makers");
        let accepts = |factory: &ParserFactory, text: &str| {
            let grammar = TopLevelGrammar::from_lark("start: /[a-z ]+/".into());
            let mut matcher = llguidance::Matcher::new(factory.create_parser(grammar));
            let bytes: Vec<u32> = text.bytes().map(u32::from).collect();
            matcher.try_consume_tokens(&bytes).expect("it runs") == bytes.len()
        };
        for text in ["plain words", "Not These"] {
            let at_once = accepts(factories.at_once(), text);
            assert_eq!(accepts(factories.for_free_text(), text), at_once, "{text}");
        }
        assert!(matches!(factories.sliced, Sliced::There(_)), "and it stays");
        assert!(accepts(factories.at_once(), "a"));
    }
}
