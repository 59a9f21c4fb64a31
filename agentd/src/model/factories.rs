//! Makers of automata for one vocabulary: one that is there at once, and one that is quicker in free text.
//!
//! In free text nearly every token is allowed at nearly every place. Slices of the vocabulary, computed once, spare the
//! look at each of them; but to compute them takes a third of a worker's start and to keep them 12 MiB, and most commands
//! have no free text. So they are computed once somebody writes such, beside what is written, and nobody waits for them.

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
    /// Nobody wrote free text yet.
    Unwanted,
    Coming(JoinHandle<Result<ParserFactory, String>>),
    There(ParserFactory),
    /// It could not be made, which costs time alone.
    Failed,
}

impl Factories {
    /// Makers whose grammars may cost so much.
    pub(super) fn new(vocabulary: &TokEnv, limits: ParserLimits) -> Result<Self, String> {
        Ok(Self { plain: factory(vocabulary, limits, &[])?, sliced: Sliced::Unwanted })
    }

    /// The vocabulary.
    pub(super) fn vocabulary(&self) -> &TokEnv {
        self.plain.tok_env()
    }

    /// The best maker that is there.
    pub(super) fn best(&self) -> &ParserFactory {
        match &self.sliced {
            Sliced::There(sliced) => sliced,
            Sliced::Unwanted | Sliced::Coming(_) | Sliced::Failed => &self.plain,
        }
    }

    /// Says that free text is written. `true`: the maker that is quicker in it is there.
    pub(super) fn want_sliced(&mut self) -> bool {
        self.sliced = match std::mem::replace(&mut self.sliced, Sliced::Failed) {
            Sliced::Unwanted => {
                let (vocabulary, limits) = (self.vocabulary().clone(), self.plain.limits().clone());
                let slice = move || {
                    // Best effort, as for the worker itself.
                    let _ = rustix::process::nice(NICE);
                    factory(&vocabulary, limits, &SlicedBiasComputer::general_slices())
                };
                let thread = std::thread::Builder::new().name("slices".into()).spawn(slice);
                thread.map_or(Sliced::Failed, Sliced::Coming)
            }
            Sliced::Coming(thread) if thread.is_finished() => {
                let made = thread.join().unwrap_or_else(|_| Err("its thread broke".into()));
                made.map_or_else(
                    |why| {
                        eprintln!("free text is written more slowly: {why}");
                        Sliced::Failed
                    },
                    Sliced::There,
                )
            }
            other => other,
        };
        matches!(self.sliced, Sliced::There(_))
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
    fn both_makers_make_the_same_language_and_the_quick_one_is_made_when_it_is_wanted() {
        let vocabulary = ApproximateTokEnv::single_byte_env();
        let mut plain = Factories::new(&vocabulary, ParserLimits::default()).expect("makers");
        let mut quick = Factories::new(&vocabulary, ParserLimits::default()).expect("makers");
        while !quick.want_sliced() {
            assert!(!matches!(quick.sliced, Sliced::Failed));
            std::thread::yield_now();
        }
        let accepts = |factory: &ParserFactory, text: &str| {
            let grammar = TopLevelGrammar::from_lark("start: /[a-z ]+/".into());
            let mut matcher = llguidance::Matcher::new(factory.create_parser(grammar));
            let bytes: Vec<u32> = text.bytes().map(u32::from).collect();
            matcher.try_consume_tokens(&bytes).expect("it runs") == bytes.len()
        };
        for text in ["plain words", "Not These"] {
            assert_eq!(accepts(quick.best(), text), accepts(plain.best(), text), "{text}");
        }
        assert!(accepts(quick.best(), "a"));
        assert!(matches!(plain.sliced, Sliced::Unwanted), "nobody said that it is wanted");
        plain.want_sliced();
        assert!(accepts(plain.best(), "a"), "nobody waits for it");
        assert!(!matches!(plain.sliced, Sliced::Unwanted));
    }
}
