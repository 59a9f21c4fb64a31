//! The header of a GGUF file, read and checked before llama.cpp sees it: llama.cpp says of a bad file
//! only that there is no model, or aborts.
//!
//! ```text
//!  "GGUF" | version u32 | tensors u64 | metadata u64 | metadata pairs | tensor infos | pad | tensors
//! ```
//!
//! From the format's description in ggml's `docs/gguf.md`; block sizes from ggml's type table. Bounds:
//! [`MAX_TENSORS`], [`MAX_PAIRS`], and no length is believed that goes beyond the end of the file; of the
//! metadata only what [`Header`] holds is kept.

mod input;
mod kinds;

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;

use input::{Input, Value};
use kinds::{file_type, looks_like};

/// The most tensors. The largest models have a few thousand.
pub const MAX_TENSORS: u64 = 65_536;
/// The most metadata pairs. Models have some tens.
pub const MAX_PAIRS: u64 = 65_536;
/// The longest name or text that is kept.
const MAX_TEXT_BYTES: u64 = 64 * 1024;
const MAX_DIMENSIONS: u32 = 4;

/// What the header tells.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Header {
    /// 2 or 3.
    pub version: u32,
    /// `general.architecture`: `llama`, `gemma3`, ...
    pub architecture: Option<String>,
    /// `general.type`: `model`, `adapter`, ...
    pub kind: Option<String>,
    /// `agentd.dialect`: how the prompts of an adapter's training were written.
    pub dialect: Option<String>,
    /// `agentd.base_sha256`: the hash of the model that an adapter was trained on.
    pub base_sha256: Option<String>,
    /// `agentd.adapter_sha256`: the hash of the adapter whose changes a model's weights hold.
    pub adapter_sha256: Option<String>,
    /// `adapter.lora.alpha`: by how much a LoRA adapter counts, times its rank; 0 where it is none.
    pub lora_alpha: f32,
    /// `general.name`.
    pub name: Option<String>,
    /// `general.file_type` by its usual name: `Q4_1`, `F16`, ...
    pub quantisation: Option<String>,
    /// `<architecture>.context_length`, in tokens.
    pub context_length: Option<u64>,
    /// The sizes that say how much memory a context takes.
    pub shape: Shape,
    /// How many tensors the file holds.
    pub tensors: u64,
    /// How many bytes the file must have.
    pub needs_bytes: u64,
}

/// The sizes of a model; 0 where the file does not tell one, or tells a list of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shape {
    /// `<architecture>.block_count`.
    pub layers: u64,
    /// `<architecture>.embedding_length`.
    pub width: u64,
    /// `<architecture>.attention.head_count`: heads that ask.
    pub heads: u64,
    /// `<architecture>.attention.head_count_kv`: heads that are asked, whose keys and values are kept.
    pub kv_heads: u64,
    /// `<architecture>.attention.key_length`, numbers of a key; without it, the width over the heads.
    pub key: u64,
    /// `<architecture>.attention.value_length`, likewise.
    pub value: u64,
}

impl Shape {
    /// The size that a key of the metadata tells, where it is one of these. It stands behind the architecture's name.
    fn size(&mut self, key: &str) -> Option<&mut u64> {
        Some(match key.split_once('.')?.1 {
            "block_count" => &mut self.layers,
            "embedding_length" => &mut self.width,
            "attention.head_count" => &mut self.heads,
            "attention.head_count_kv" => &mut self.kv_heads,
            "attention.key_length" => &mut self.key,
            "attention.value_length" => &mut self.value,
            _ => return None,
        })
    }
}

/// A tensor, as the header tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// Its name; empty where it is too long to be one.
    pub name: String,
    /// Its sizes; the first one is that of a row.
    pub shape: Vec<u64>,
    /// Its type, by the format's number.
    pub kind: u32,
    /// Where its data begin, from the start of all data.
    pub offset: u64,
    /// How many bytes they have; 0 where its type is not known.
    pub bytes: u64,
}

/// Where the parts of a file lie, in bytes from its start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// How many metadata pairs it has.
    pub pairs: u64,
    /// Where they begin.
    pub pairs_at: u64,
    /// Where the tensors' infos begin.
    pub infos_at: u64,
    /// Where those end.
    pub infos_end: u64,
    /// Where the data begin.
    pub data_at: u64,
    /// What all data are aligned to.
    pub alignment: u64,
    /// The tensors.
    pub tensors: Vec<Tensor>,
}

/// Why a file is no model.
#[derive(Debug, thiserror::Error)]
pub enum GgufError {
    /// It is not there or cannot be read.
    #[error("it cannot be read ({0}): check that it is there and that the daemon may read it")]
    Unreadable(io::Error),
    /// It is something else.
    #[error(
        "it is not a GGUF file but {looks_like}: get the model again, as with `agentd model pull`"
    )]
    NotGguf {
        /// What it looks like.
        looks_like: &'static str,
    },
    /// Its version is not known here.
    #[error("it is a GGUF file of version {version}; versions 2 and 3 are read")]
    Version {
        /// Its version.
        version: u32,
    },
    /// It ends too early.
    #[error("it is truncated: the file has {has} bytes and its tensors need {needs}; get it again")]
    Truncated {
        /// What it has.
        has: u64,
        /// What it needs, or more than it has where the header itself is cut.
        needs: u64,
    },
    /// It contradicts itself.
    #[error("it is damaged ({0}); get it again")]
    Damaged(&'static str),
}

impl Header {
    /// Reads and checks the header of a file.
    pub fn read(path: &Path) -> Result<Self, GgufError> {
        let file = File::open(path).map_err(GgufError::Unreadable)?;
        let meta = file.metadata().map_err(GgufError::Unreadable)?;
        if meta.is_dir() {
            return Err(GgufError::NotGguf { looks_like: "a directory" });
        }
        Self::parse(BufReader::new(file), meta.len())
    }

    /// Reads and checks a header from a stream that has `length` bytes.
    pub fn parse(stream: impl Read + Seek, length: u64) -> Result<Self, GgufError> {
        Ok(Self::parse_all(stream, length)?.0)
    }

    /// The same, with where everything lies.
    pub fn parse_all(stream: impl Read + Seek, length: u64) -> Result<(Self, Layout), GgufError> {
        let mut input = Input { stream, length, at: 0 };
        let mut magic = [0; 4];
        let got = read_up_to(&mut input.stream, &mut magic).map_err(GgufError::Unreadable)?;
        input.at = 4;
        if &magic != b"GGUF" {
            let mut more = [0; 60];
            let after = read_up_to(&mut input.stream, &mut more).map_err(GgufError::Unreadable)?;
            let head = [&magic[..got], &more[..after]].concat();
            return Err(GgufError::NotGguf { looks_like: looks_like(&head) });
        }
        let version = input.u32()?;
        if !(2..=3).contains(&version) {
            return Err(GgufError::Version { version });
        }
        let tensors = input.count(MAX_TENSORS, "it claims too many tensors")?;
        let pairs = input.count(MAX_PAIRS, "it claims too much metadata")?;
        let mut header = Self { version, tensors, ..Self::default() };
        let mut alignment = 32;
        let pairs_at = input.at;
        for _ in 0..pairs {
            let key = input.text()?;
            let value = input.value(0)?;
            match (key.as_deref(), value) {
                (Some("general.architecture"), Value::Text(text)) => {
                    header.architecture = Some(text)
                }
                (Some("general.name"), Value::Text(text)) => header.name = Some(text),
                (Some("general.type"), Value::Text(text)) => header.kind = Some(text),
                (Some("agentd.dialect"), Value::Text(text)) => header.dialect = Some(text),
                (Some("agentd.base_sha256"), Value::Text(text)) => header.base_sha256 = Some(text),
                (Some("agentd.adapter_sha256"), Value::Text(text)) => {
                    header.adapter_sha256 = Some(text)
                }
                (Some("adapter.lora.alpha"), Value::Float(alpha)) => header.lora_alpha = alpha,
                (Some("general.file_type"), Value::Whole(n)) => {
                    header.quantisation = Some(file_type(n))
                }
                (Some("general.alignment"), Value::Whole(n)) => alignment = n,
                (Some(key), Value::Whole(n)) if key.ends_with(".context_length") => {
                    header.context_length = Some(n);
                }
                (Some(key), Value::Whole(n)) => {
                    if let Some(size) = header.shape.size(key) {
                        *size = n;
                    }
                }
                _ => {}
            }
        }
        if !alignment.is_power_of_two() {
            return Err(GgufError::Damaged("its alignment is no power of two"));
        }
        let mut data_bytes = 0_u64;
        let infos_at = input.at;
        let mut all = Vec::new();
        for _ in 0..tensors {
            let tensor = input.tensor()?;
            let end = tensor.offset.checked_add(tensor.bytes);
            data_bytes = data_bytes.max(end.ok_or(GgufError::Damaged("a tensor has no end"))?);
            all.push(tensor);
        }
        let data_at = input.at.checked_next_multiple_of(alignment);
        let needs = data_at.and_then(|at| at.checked_add(data_bytes));
        header.needs_bytes = needs.ok_or(GgufError::Damaged("its tensors have no end"))?;
        if length < header.needs_bytes {
            return Err(GgufError::Truncated { has: length, needs: header.needs_bytes });
        }
        let layout = Layout {
            pairs,
            pairs_at,
            infos_at,
            infos_end: input.at,
            data_at: data_at.unwrap_or(length),
            alignment,
            tensors: all,
        };
        Ok((header, layout))
    }
}

fn read_up_to(stream: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match stream.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests;
