//! Makers of automata for one vocabulary: one that any grammar needs, and one that is quicker in free text.
//!
//! Both copy the vocabulary's tree, and are made by threads. The first one is made beside the rest of a worker's start, and
//! waited for by its first grammar. In free text nearly every token is allowed at nearly every place: slices of the vocabulary
//! spare the look at each of them, but take 12 MiB, and most commands have no free text. So the second one is made once
//! somebody writes such, and nobody waits for it.

use std::thread::JoinHandle;

use llguidance::ParserFactory;
use llguidance::api::ParserLimits;
use llguidance::earley::SlicedBiasComputer;
use llguidance::toktrie::{InferenceCapabilities, TokEnv};

/// Of who makes the second one, below the threads that decode: what is written meanwhile shall not be slower for it.
const NICE: i32 = 10;

/// The makers.
pub(super) struct Factories {
    vocabulary: TokEnv,
    limits: ParserLimits,
    plain: Factory,
    sliced: Factory,
}

enum Factory {
    /// Nobody needs it yet.
    Unwanted,
    Coming(JoinHandle<Result<ParserFactory, String>>),
    There(ParserFactory),
    Failed(String),
}

impl Factories {
    /// Makers whose grammars may cost so much.
    pub(super) fn new(vocabulary: &TokEnv, limits: ParserLimits) -> Self {
        let (own, most) = (vocabulary.clone(), limits.clone());
        let plain = Factory::made("grammars", move || factory(&own, most, &[]));
        Self { vocabulary: vocabulary.clone(), limits, plain, sliced: Factory::Unwanted }
    }

    /// The vocabulary.
    pub(super) fn vocabulary(&self) -> &TokEnv {
        &self.vocabulary
    }

    /// The best maker that is there; the first one is waited for.
    pub(super) fn best(&mut self) -> Result<&ParserFactory, String> {
        self.plain.arrive();
        self.sliced.there().or_else(|_| self.plain.there())
    }

    /// Says that free text is written. `true`: the maker that is quicker in it is there.
    pub(super) fn want_sliced(&mut self) -> bool {
        match &self.sliced {
            Factory::Unwanted => {
                let (vocabulary, limits) = (self.vocabulary.clone(), self.limits.clone());
                self.sliced = Factory::made("slices", move || {
                    // Best effort, as for the worker itself.
                    let _ = rustix::process::nice(NICE);
                    factory(&vocabulary, limits, &SlicedBiasComputer::general_slices())
                });
            }
            Factory::Coming(thread) if thread.is_finished() => {
                self.sliced.arrive();
                if let Factory::Failed(why) = &self.sliced {
                    eprintln!("free text is written more slowly: {why}");
                }
            }
            Factory::Coming(_) | Factory::There(_) | Factory::Failed(_) => {}
        }
        matches!(self.sliced, Factory::There(_))
    }
}

impl Factory {
    /// One that a thread makes.
    fn made(
        name: &str,
        make: impl FnOnce() -> Result<ParserFactory, String> + Send + 'static,
    ) -> Self {
        let thread = std::thread::Builder::new().name(name.into()).spawn(make);
        thread.map_or_else(|e| Self::Failed(format!("no thread can be started: {e}")), Self::Coming)
    }

    /// The maker, or why there is none.
    fn there(&self) -> Result<&ParserFactory, String> {
        match self {
            Self::There(factory) => Ok(factory),
            Self::Failed(why) => Err(why.clone()),
            Self::Unwanted | Self::Coming(_) => Err("it is not made yet".into()),
        }
    }

    /// Waits for one that is coming.
    fn arrive(&mut self) {
        if !matches!(self, Self::Coming(_)) {
            return;
        }
        if let Self::Coming(thread) = std::mem::replace(self, Self::Unwanted) {
            let made = thread.join().unwrap_or_else(|_| Err("its thread broke".into()));
            *self = made.map_or_else(Self::Failed, Self::There);
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
    fn both_makers_make_the_same_language_and_the_quick_one_is_made_when_it_is_wanted() {
        let vocabulary = ApproximateTokEnv::single_byte_env();
        let mut plain = Factories::new(&vocabulary, ParserLimits::default());
        let mut quick = Factories::new(&vocabulary, ParserLimits::default());
        while !quick.want_sliced() {
            assert!(!matches!(quick.sliced, Factory::Failed(_)));
            std::thread::yield_now();
        }
        let accepts = |factories: &mut Factories, text: &str| {
            let factory = factories.best().expect("a maker");
            let grammar = TopLevelGrammar::from_lark("start: /[a-z ]+/".into());
            let mut matcher = llguidance::Matcher::new(factory.create_parser(grammar));
            let bytes: Vec<u32> = text.bytes().map(u32::from).collect();
            matcher.try_consume_tokens(&bytes).expect("it runs") == bytes.len()
        };
        for text in ["plain words", "Not These"] {
            assert_eq!(accepts(&mut quick, text), accepts(&mut plain, text), "{text}");
        }
        assert!(accepts(&mut quick, "a"));
        assert!(matches!(plain.sliced, Factory::Unwanted), "nobody said that it is wanted");
        plain.want_sliced();
        assert!(accepts(&mut plain, "a"), "nobody waits for it");
        assert!(!matches!(plain.sliced, Factory::Unwanted));
    }
}
