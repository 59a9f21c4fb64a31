//! The `[model]` section.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::catalog::{Catalog, CatalogError};
use super::tuned;

/// Tokens of an answer that are guessed at once.
pub const DEFAULT_GUESS: u32 = 6;

/// The `[model]` section. Without it the catalogue's default model is used if it is installed.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelConfig {
    /// A model of the catalogue (`agentd model list`). Set it to use another than the default one. Of a model that has
    /// several quantisations it is the one that is installed, or the one for this board.
    pub name: Option<String>,
    /// A GGUF file. Set it to use a model that is not in the catalogue; it goes before `name`.
    pub path: Option<PathBuf>,
    /// Models that are asked where the one before them cannot be, from the best to the cheapest: names of the
    /// catalogue, or GGUF files. Set it where a larger model may not fit at all times, or makes the board too hot.
    pub fallback: Vec<String>,
    /// A larger model, a name of the catalogue or a GGUF file, that is asked what this one is less sure of than
    /// `min_confidence`, before a person is asked back. Set it where the board has time and memory for both: what is easy stays
    /// quick. It is loaded once it is asked.
    pub escalate_to: Option<String>,
    /// From how many degrees Celsius on the board counts as hot, and the last one of `fallback` is asked. Lower it where
    /// the board is slowed down before it gets there.
    pub hot_celsius: f32,
    /// A LoRA adapter (GGUF) for the model, or `none`. Set it to use one that was tuned for this machine
    /// (`agentd tune --config FILE`). Default: the built-in one, where it is for the model.
    pub adapter: Option<PathBuf>,
    /// Where pulled models are. Set it where they should lie on another disk. Default:
    /// `/var/lib/agentd/models` for root and where it exists, else `~/.local/share/agentd/models`.
    pub dir: PathBuf,
    /// The context's size in tokens. Raise it where a prompt is refused as too long, or where many who are unsure wait for
    /// one another: a second opinion needs room for the tools once more. It costs memory
    /// (45 MiB for 2048 tokens of the default model) whether it is used or not.
    pub context: u32,
    /// Threads that decode. Set it where the model must leave more of the board to its owner. Default
    /// 0: all cores but one on boards with four and more, else all.
    pub threads: u32,
    /// The most layers of the model that are computed on a GPU, where this program was built for one. Set it to 0 where
    /// the GPU has other work. Default: as many as fit into its memory.
    pub gpu_layers: Option<u32>,
    /// The most memory that the model may take, in MiB: one that needs more is not loaded. Set it where the board has
    /// other work to do. Default 0: as much as is free.
    pub memory_mib: u32,
    /// After so many seconds in which nobody asked it, the model is unloaded, and loaded again for the next one who
    /// does. Set it where the memory is wanted by others. Default 0: it stays.
    pub idle_seconds: u32,
    /// Answers that are written at once, 1 to 16. They share the context: raise it where many people speak at
    /// once, and `context` with it where commands then wait for one another.
    pub parallel: Parallel,
    /// The most tokens of an answer that are guessed from words that stand before it or from answers of before, and thrown
    /// away where the model would not have chosen them: the answer is the same. A sentence that was said before is
    /// guessed to have its whole answer again. Set it to 0 where nothing is copied or said twice.
    pub guess_tokens: u32,
    /// A much smaller model of the same family, a name of the catalogue or a GGUF file, that guesses free text which
    /// copies nothing: texts within calls that need not be words of the request. Set it beside a model that is several times
    /// as large and writes such texts: the answer is the same, sooner.
    pub draft: Option<String>,
    /// The most tokens of an answer. Raise it where answers are refused as not complete.
    pub max_tokens: u32,
    /// The most calls of one answer: a sentence may do so many things. Lower it to 1 where none should do two.
    pub max_calls: usize,
    /// What the model is less sure of than this, 0 to 1, is asked back instead of done. Raise it where a wrong
    /// action is worse than a question; set it to 0, which never asks, for a model that was not tuned for calls.
    pub min_confidence: f32,
    /// What the model is less sure of than this, 0 to 1, it is asked a second time, with the tools in the opposite order, and
    /// the mean of both answers counts. Lower it where the second one takes too long; 0 never asks twice.
    pub second_opinion: f32,
    /// Whether numbers, times and verbatim texts may only be what stands in the request. Unset it for a
    /// large model, or for requests in another language than English.
    pub grounded: bool,
    /// Where the states of prompts are kept over a restart: beside the database. Not a key of the file.
    #[serde(skip)]
    pub prefixes: Option<PathBuf>,
    /// A script that answers in the model's place. Set it in tests only.
    pub scripted: Option<PathBuf>,
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self {
            name: None,
            path: None,
            fallback: Vec::new(),
            escalate_to: None,
            hot_celsius: 80.0,
            adapter: None,
            dir: default_dir(),
            context: 2048,
            threads: 0,
            gpu_layers: None,
            memory_mib: 0,
            idle_seconds: 0,
            parallel: Parallel(4),
            guess_tokens: DEFAULT_GUESS,
            draft: None,
            max_tokens: 256,
            max_calls: 2,
            min_confidence: 0.5,
            second_opinion: 0.8,
            grounded: true,
            prefixes: None,
            scripted: None,
        }
    }
}

/// How many answers are written at once: 1 to [`Parallel::MOST`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u32")]
pub struct Parallel(u32);

impl Parallel {
    /// More of them only wait for each other on the cores that a board has.
    pub const MOST: u32 = 16;

    /// The number.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for Parallel {
    type Error = String;

    fn try_from(n: u32) -> Result<Self, Self::Error> {
        let fits = (1..=Self::MOST).contains(&n);
        fits.then_some(Self(n)).ok_or_else(|| format!("{n} is not between 1 and {}", Self::MOST))
    }
}

impl std::str::FromStr for Parallel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<u32>().map_err(|e| e.to_string())?.try_into()
    }
}

impl std::fmt::Display for Parallel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What the worker is to load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A GGUF file.
    File {
        /// What the model is called in records and states.
        name: String,
        /// Where it is.
        path: PathBuf,
    },
    /// A script in the model's place.
    Script(PathBuf),
}

impl Source {
    /// What the model is called in records and states.
    pub fn name(&self) -> &str {
        match self {
            Self::File { name, .. } => name,
            Self::Script(_) => "scripted",
        }
    }

    /// The file that is read.
    pub fn path(&self) -> &Path {
        match self {
            Self::File { path, .. } | Self::Script(path) => path,
        }
    }
}

impl ModelConfig {
    /// The hash that the catalogue gives for the model, where it is one of the catalogue.
    pub fn sha256(&self) -> Option<String> {
        if self.path.is_some() || self.scripted.is_some() {
            return None;
        }
        let catalog = Catalog::load(&self.dir).ok()?;
        let entry = match &self.name {
            Some(name) => catalog.entry(name, &self.dir).ok()?,
            None => catalog.default_entry(),
        };
        Some(entry.sha256.clone())
    }

    /// What to load: nothing where no model is named and the default one is not installed. A named
    /// model that is not installed is given all the same, so that the worker says what is missing.
    pub fn source(&self) -> Result<Option<Source>, CatalogError> {
        if let Some(script) = &self.scripted {
            return Ok(Some(Source::Script(script.clone())));
        }
        if let Some(path) = &self.path {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            return Ok(Some(Source::File { name, path: path.clone() }));
        }
        let catalog = Catalog::load(&self.dir)?;
        let entry = match &self.name {
            Some(name) => catalog.entry(name, &self.dir)?,
            None => catalog.default_entry(),
        };
        let path = self.dir.join(&entry.file);
        let tuned = tuned::find(&self.dir, entry).filter(|_| self.adapter.is_none());
        let path = tuned.unwrap_or(path);
        let wanted = self.name.is_some() || path.exists();
        Ok(wanted.then(|| Source::File { name: entry.name.clone(), path }))
    }

    /// The same for another model: a name of the catalogue, or a GGUF file.
    pub fn with(&self, named: &str) -> Self {
        let is_file = named.contains('/') || named.ends_with(".gguf");
        let (name, path) = match is_file {
            true => (None, Some(named.into())),
            false => (Some(named.to_owned()), None),
        };
        Self { name, path, scripted: None, ..self.with_nothing_of_its_own() }
    }

    /// The same without what is for the one model alone: its adapter, which was trained on it, and its draft, which is smaller.
    pub(super) fn with_nothing_of_its_own(&self) -> Self {
        Self { adapter: None, draft: None, ..self.clone() }
    }

    /// The file of the model that guesses, where there is one: the model as it was published, since an adapter's calls
    /// are no free text.
    pub fn draft_path(&self) -> Result<Option<PathBuf>, CatalogError> {
        let Some(draft) = self.draft.as_deref().map(|named| self.with(named)) else {
            return Ok(None);
        };
        match (&draft.path, &draft.name) {
            (Some(path), _) => Ok(Some(path.clone())),
            (None, Some(name)) => {
                let catalog = Catalog::load(&self.dir)?;
                Ok(Some(self.dir.join(&catalog.entry(name, &self.dir)?.file)))
            }
            (None, None) => Ok(None),
        }
    }

    /// The larger model for what this one is not sure of, where there is one.
    pub fn larger(&self) -> Result<Option<Source>, CatalogError> {
        let larger = self.escalate_to.as_deref().map(|named| self.with(named).source());
        Ok(larger.transpose()?.flatten())
    }

    /// All models, the best one first. A draft or a larger model that the catalogue does not know is an error here too.
    pub fn sources(&self) -> Result<Vec<Source>, CatalogError> {
        self.draft_path()?;
        self.larger()?;
        let behind = self.fallback.iter().map(|named| self.with(named).source());
        let all = std::iter::once(self.source()).chain(behind);
        Ok(all.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }
}

/// Where pulled models are when the config does not say: with the system's state for root and for the
/// service, with the person's own data for a person.
pub fn default_dir() -> PathBuf {
    let system = PathBuf::from("/var/lib/agentd/models");
    if rustix::process::geteuid().is_root() || system.is_dir() {
        return system;
    }
    let data = std::env::var_os("XDG_DATA_HOME").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/share"));
    data.or_else(home).map_or(system, |data| data.join("agentd/models"))
}

#[cfg(test)]
mod tests {
    use config::{Config, File, FileFormat};

    use super::*;

    fn read(text: &str) -> Result<ModelConfig, config::ConfigError> {
        let source = File::from_str(text, FileFormat::Toml);
        Config::builder().add_source(source).build()?.try_deserialize()
    }

    #[test]
    fn an_empty_section_has_the_defaults_and_an_unknown_key_is_refused_by_name() {
        assert_eq!(read("").unwrap(), ModelConfig::default());
        let error = read("contxt = 4096").unwrap_err().to_string();
        assert!(error.contains("contxt"), "{error}");
    }

    #[test]
    fn the_bounds_of_parallel_hold_at_and_one_over() {
        for (n, fits) in
            [(0, false), (1, true), (Parallel::MOST, true), (Parallel::MOST + 1, false)]
        {
            assert_eq!(read(&format!("parallel = {n}")).is_ok(), fits, "{n}");
        }
    }

    #[test]
    fn a_script_goes_before_a_path_and_a_path_before_a_name() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = ModelConfig { dir: dir.path().to_owned(), ..ModelConfig::default() };
        assert_eq!(config.source().unwrap(), None, "the default model is not installed");
        config.name = Some("smollm2-135m-instruct".into());
        let named = config.source().unwrap().unwrap();
        assert_eq!(named.name(), "smollm2-135m-instruct");
        config.path = Some("/models/mine.gguf".into());
        assert_eq!(config.source().unwrap().unwrap().name(), "mine");
        config.scripted = Some("/tmp/script.toml".into());
        assert_eq!(config.source().unwrap().unwrap(), Source::Script("/tmp/script.toml".into()));
    }

    #[test]
    fn the_default_model_is_used_once_it_is_installed() {
        let dir = tempfile::tempdir().unwrap();
        let config = ModelConfig { dir: dir.path().to_owned(), ..ModelConfig::default() };
        let file = Catalog::load(dir.path()).unwrap().default_entry().file.clone();
        std::fs::write(dir.path().join(&file), "GGUF").unwrap();
        let source = config.source().unwrap().unwrap();
        assert_eq!(
            source,
            Source::File { name: source.name().to_owned(), path: dir.path().join(file) }
        );
    }

    #[test]
    fn a_fallback_is_a_file_or_a_name_and_has_no_adapter_of_another_model() {
        let config = read(
            "path = '/m/large.gguf'\nadapter = '/m/a.gguf'\nfallback = ['/m/small.gguf', 'smollm2-135m-instruct']",
        );
        let config = config.unwrap();
        let names: Vec<_> =
            config.sources().unwrap().iter().map(|source| source.name().to_owned()).collect();
        assert_eq!(names, ["large", "small", "smollm2-135m-instruct"]);
        assert_eq!(config.with("/m/small.gguf").adapter, None);
        let text = "path = '/m/small.gguf'\nadapter = '/m/a.gguf'\nescalate_to = '/m/large.gguf'";
        let larger = read(text).unwrap().larger().unwrap().unwrap();
        assert_eq!((larger.name(), larger.path()), ("large", Path::new("/m/large.gguf")));
        assert_eq!(config.larger().unwrap(), None);
        let unknown = ModelConfig { escalate_to: Some("gpt".into()), ..config.clone() };
        assert!(unknown.sources().is_err() && unknown.larger().is_err());
        let unknown = ModelConfig { fallback: vec!["gpt".into()], ..config };
        assert!(unknown.sources().unwrap_err().to_string().contains("gpt"));
    }

    #[test]
    fn a_draft_is_a_file_or_a_name_and_is_for_the_first_model_alone() {
        let config = read("path = '/m/large.gguf'\ndir = '/m'\ndraft = '/m/tiny.gguf'").unwrap();
        assert_eq!(config.draft_path().unwrap(), Some("/m/tiny.gguf".into()));
        assert_eq!(config.with("/m/small.gguf").draft_path().unwrap(), None);
        let named = ModelConfig { draft: Some("smollm2-135m-instruct".into()), ..config.clone() };
        let file = Catalog::load(&named.dir).unwrap().default_entry().file.clone();
        assert_eq!(named.draft_path().unwrap(), Some(named.dir.join(file)));
        let unknown = ModelConfig { draft: Some("gpt".into()), ..config };
        assert!(unknown.sources().unwrap_err().to_string().contains("gpt"));
    }

    #[test]
    fn a_name_that_is_not_in_the_catalogue_is_an_error() {
        let config = ModelConfig { name: Some("gpt".into()), ..ModelConfig::default() };
        assert!(config.source().unwrap_err().to_string().contains("gpt"));
    }
}
