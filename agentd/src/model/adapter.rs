//! A LoRA adapter: what tuning taught the model, in a GGUF file beside it.
//!
//! Its header is checked before llama.cpp sees it, as the model's is. Its metadata say how the prompts were written
//! that it was trained on (`agentd.dialect`), and on which weights (`agentd.base_sha256`).

use std::path::{Path, PathBuf};

use super::dialect::TURNS;
use super::gguf::{GgufError, Header};

/// An adapter that can be loaded onto a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adapter {
    /// Its file.
    pub path: PathBuf,
    /// Whether its prompts are terse turns; else the model's chat template writes them.
    pub in_turns: bool,
    /// SHA-256 of the model that it was trained on, in hex, where it says so.
    pub base_sha256: Option<String>,
}

/// Why a file is no adapter for a model.
#[derive(Debug, thiserror::Error)]
pub enum AdapterError {
    /// The file is not in order.
    #[error(transparent)]
    File(#[from] GgufError),
    /// It is a model, or something else.
    #[error("it is not an adapter but a {0}: give a LoRA adapter in GGUF")]
    NotAnAdapter(String),
    /// It fits other models.
    #[error("it is for a model of the architecture {adapter}, and this one is {model}")]
    OtherArchitecture {
        /// The adapter's.
        adapter: String,
        /// The model's.
        model: String,
    },
    /// It wants prompts that are not known here.
    #[error(
        "it was trained on prompts of the format {0:?}, which this version does not write: tune it again"
    )]
    UnknownDialect(String),
}

impl Adapter {
    /// Checks a file against the model whose header this is.
    pub fn read(path: &Path, model: &Header) -> Result<Self, AdapterError> {
        let header = Header::read(path)?;
        if header.kind.as_deref() != Some("adapter") {
            return Err(AdapterError::NotAnAdapter(header.kind.unwrap_or_else(|| "model".into())));
        }
        let name = |header: &Header| header.architecture.clone().unwrap_or_default();
        if header.architecture != model.architecture {
            let (adapter, model) = (name(&header), name(model));
            return Err(AdapterError::OtherArchitecture { adapter, model });
        }
        let in_turns = match header.dialect.as_deref() {
            None => false,
            Some(TURNS) => true,
            Some(other) => return Err(AdapterError::UnknownDialect(other.to_owned())),
        };
        Ok(Self { path: path.to_owned(), in_turns, base_sha256: header.base_sha256 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes of a GGUF header with these texts and no tensors.
    fn file(folder: &tempfile::TempDir, pairs: &[(&str, &str)]) -> PathBuf {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(3_u32.to_le_bytes());
        bytes.extend(0_u64.to_le_bytes());
        bytes.extend((pairs.len() as u64).to_le_bytes());
        let text = |bytes: &mut Vec<u8>, text: &str| {
            bytes.extend((text.len() as u64).to_le_bytes());
            bytes.extend(text.as_bytes());
        };
        for (key, value) in pairs {
            text(&mut bytes, key);
            bytes.extend(8_u32.to_le_bytes());
            text(&mut bytes, value);
        }
        bytes.resize(bytes.len().next_multiple_of(32), 0);
        let path = folder.path().join("adapter.gguf");
        std::fs::write(&path, bytes).expect("written");
        path
    }

    const LORA: [(&str, &str); 2] =
        [("general.type", "adapter"), ("general.architecture", "llama")];

    #[test]
    fn an_adapter_tells_its_prompts_and_what_it_was_trained_on() {
        let folder = tempfile::tempdir().expect("a folder");
        let model = Header { architecture: Some("llama".into()), ..Header::default() };
        let plain = Adapter::read(&file(&folder, &LORA), &model).expect("an adapter");
        assert!(!plain.in_turns);
        let ours = [&LORA[..], &[("agentd.dialect", TURNS), ("agentd.base_sha256", "ab")]].concat();
        let ours = Adapter::read(&file(&folder, &ours), &model).expect("an adapter");
        assert!(ours.in_turns);
        assert_eq!(ours.base_sha256.as_deref(), Some("ab"));
    }

    #[test]
    fn what_does_not_fit_is_refused_and_the_reason_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let model = Header { architecture: Some("llama".into()), ..Header::default() };
        let other = Header { architecture: Some("gemma3".into()), ..Header::default() };
        let unknown = [&LORA[..], &[("agentd.dialect", "turns-9")]].concat();
        for (pairs, model, reason) in [
            (&LORA[1..], &model, "it is not an adapter but a model"),
            (&LORA[..], &other, "the architecture llama, and this one is gemma3"),
            (&unknown[..], &model, "\"turns-9\""),
        ] {
            let error = Adapter::read(&file(&folder, pairs), model).expect_err(reason);
            assert!(error.to_string().contains(reason), "{error}");
        }
        let error = Adapter::read(&folder.path().join("none"), &model).expect_err("no file");
        assert!(matches!(error, AdapterError::File(GgufError::Unreadable(_))), "{error}");
    }
}
