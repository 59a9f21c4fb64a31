//! Parts sentence patterns and examples into those that are learnt and those that are held out.

use agentd_tools::ToolSpec;

use super::expand::Texts;
use super::random::Random;
use super::reword::is_text;
use crate::agent::pattern;

/// A sentence pattern or an example of a tool.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Source {
    /// The tool's place.
    pub(super) tool: usize,
    /// What it is.
    pub(super) what: What,
}

/// A pattern, or the place of an example among those of its tool.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum What {
    Sentence(Vec<pattern::Part>),
    Example(usize),
}

/// All sources.
#[derive(Debug, Clone, Default)]
pub(super) struct Split {
    pub(super) learnt: Vec<Source>,
    pub(super) held_out: Vec<Source>,
}

impl Split {
    /// Each tool gives one in four of its sources, one at least where it has three. Only where no tool has three do
    /// those with two give one.
    pub(super) fn of(tools: &[ToolSpec], seed: u64) -> Self {
        let mut split = Self::default();
        for least in [3, 2] {
            split.learnt.clear();
            for at in 0..tools.len() {
                let mut sources = sources(tools, at);
                Random::new(seed, at as u64).shuffle(&mut sources);
                let share = if sources.len() < least { 0 } else { (sources.len() / 4).max(1) };
                split.learnt.extend(sources.split_off(share));
                split.held_out.extend(sources);
            }
            if !split.held_out.is_empty() {
                break;
            }
        }
        split
    }
}

/// All sources of a tool. A sentence that does not compile was refused with the config.
fn sources(tools: &[ToolSpec], tool: usize) -> Vec<Source> {
    let sentences = tools[tool].sentences.iter().filter_map(|text| pattern::parse(text).ok());
    let sentences = sentences.map(What::Sentence);
    let examples = (0..tools[tool].examples.len()).map(What::Example);
    sentences.chain(examples).map(|what| Source { tool, what }).collect()
}

/// Runs of words that examples give for the parameters of their tools.
pub(super) fn known_texts(sources: &[Source], tools: &[ToolSpec]) -> Texts {
    let mut texts = Texts::new();
    for source in sources {
        let What::Example(at) = source.what else { continue };
        let tool = &tools[source.tool];
        for (name, value) in &tool.examples[at].call {
            let is_text = tool.params.get(name).is_some_and(is_text);
            if let Some(text) = value.as_str().filter(|_| is_text) {
                texts.entry((tool.name.clone(), name.clone())).or_default().push(text.into());
            }
        }
    }
    texts
}
