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

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;

/// The most tensors. The largest models have a few thousand.
pub const MAX_TENSORS: u64 = 65_536;
/// The most metadata pairs. Models have some tens.
pub const MAX_PAIRS: u64 = 65_536;
/// The longest name or text that is kept.
const MAX_TEXT_BYTES: u64 = 64 * 1024;
const MAX_DIMENSIONS: u32 = 4;

/// What the header tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Header {
    /// 2 or 3.
    pub version: u32,
    /// `general.architecture`: `llama`, `gemma3`, ...
    pub architecture: Option<String>,
    /// `general.name`.
    pub name: Option<String>,
    /// `general.file_type` by its usual name: `Q4_1`, `F16`, ...
    pub quantisation: Option<String>,
    /// `<architecture>.context_length`, in tokens.
    pub context_length: Option<u64>,
    /// How many tensors the file holds.
    pub tensors: u64,
    /// How many bytes the file must have.
    pub needs_bytes: u64,
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
        for _ in 0..pairs {
            let key = input.text()?;
            let value = input.value(0)?;
            match (key.as_deref(), value) {
                (Some("general.architecture"), Value::Text(text)) => {
                    header.architecture = Some(text)
                }
                (Some("general.name"), Value::Text(text)) => header.name = Some(text),
                (Some("general.file_type"), Value::Whole(n)) => {
                    header.quantisation = Some(file_type(n))
                }
                (Some("general.alignment"), Value::Whole(n)) => alignment = n,
                (Some(key), Value::Whole(n)) if key.ends_with(".context_length") => {
                    header.context_length = Some(n);
                }
                _ => {}
            }
        }
        if !alignment.is_power_of_two() {
            return Err(GgufError::Damaged("its alignment is no power of two"));
        }
        let mut data_bytes = 0;
        for _ in 0..tensors {
            data_bytes = data_bytes.max(input.tensor_end()?);
        }
        let needs =
            input.at.checked_next_multiple_of(alignment).and_then(|at| at.checked_add(data_bytes));
        header.needs_bytes = needs.ok_or(GgufError::Damaged("its tensors have no end"))?;
        if length < header.needs_bytes {
            return Err(GgufError::Truncated { has: length, needs: header.needs_bytes });
        }
        Ok(header)
    }
}

/// A metadata value, as far as it matters here.
enum Value {
    Whole(u64),
    Text(String),
    Other,
}

struct Input<S> {
    stream: S,
    length: u64,
    at: u64,
}

impl<S: Read + Seek> Input<S> {
    /// Claims the next `bytes` of the file.
    fn claim(&mut self, bytes: u64) -> Result<(), GgufError> {
        let end = self.at.checked_add(bytes).ok_or(GgufError::Damaged("a length has no end"))?;
        if end > self.length {
            return Err(GgufError::Truncated { has: self.length, needs: end });
        }
        self.at = end;
        Ok(())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], GgufError> {
        self.claim(N as u64)?;
        let mut bytes = [0; N];
        self.stream.read_exact(&mut bytes).map_err(GgufError::Unreadable)?;
        Ok(bytes)
    }

    fn u32(&mut self) -> Result<u32, GgufError> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, GgufError> {
        self.array().map(u64::from_le_bytes)
    }

    fn count(&mut self, most: u64, why: &'static str) -> Result<u64, GgufError> {
        let count = self.u64()?;
        if count > most { Err(GgufError::Damaged(why)) } else { Ok(count) }
    }

    fn skip(&mut self, bytes: u64) -> Result<(), GgufError> {
        self.claim(bytes)?;
        let bytes = i64::try_from(bytes).map_err(|_| GgufError::Damaged("a length has no end"))?;
        self.stream.seek_relative(bytes).map_err(GgufError::Unreadable)
    }

    /// A text; nothing where it is too long to be one that is looked for, or no UTF-8.
    fn text(&mut self) -> Result<Option<String>, GgufError> {
        let length = self.u64()?;
        if length > MAX_TEXT_BYTES {
            self.skip(length)?;
            return Ok(None);
        }
        self.claim(length)?;
        let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
        self.stream.read_exact(&mut bytes).map_err(GgufError::Unreadable)?;
        Ok(String::from_utf8(bytes).ok())
    }

    fn value(&mut self, depth: u8) -> Result<Value, GgufError> {
        let kind = self.u32()?;
        self.value_of(kind, depth)
    }

    fn value_of(&mut self, kind: u32, depth: u8) -> Result<Value, GgufError> {
        Ok(match kind {
            // Whole numbers: u8, i8, u16, i16, u32, i32, bool, u64, i64.
            0 | 1 | 7 => Value::Whole(self.array::<1>()?[0].into()),
            2 | 3 => Value::Whole(u16::from_le_bytes(self.array()?).into()),
            4 | 5 => Value::Whole(self.u32()?.into()),
            10 | 11 => Value::Whole(self.u64()?),
            6 => self.skip(4).map(|()| Value::Other)?,
            12 => self.skip(8).map(|()| Value::Other)?,
            8 => self.text()?.map_or(Value::Other, Value::Text),
            9 => {
                let kind = self.u32()?;
                let count = self.u64()?;
                self.skip_array(kind, count, depth)?;
                Value::Other
            }
            _ => return Err(GgufError::Damaged("a metadata value of an unknown type")),
        })
    }

    fn skip_array(&mut self, kind: u32, count: u64, depth: u8) -> Result<(), GgufError> {
        let width = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            10..=12 => 8,
            // Texts and arrays have lengths of their own. Each takes bytes of the file, so that a
            // count that is a lie ends at the end of the file.
            8 | 9 if depth < 4 => {
                for _ in 0..count {
                    match kind {
                        8 => {
                            let length = self.u64()?;
                            self.skip(length)?;
                        }
                        _ => drop(self.value_of(kind, depth + 1)?),
                    }
                }
                return Ok(());
            }
            _ => return Err(GgufError::Damaged("an array of an unknown type")),
        };
        let bytes = count.checked_mul(width).ok_or(GgufError::Damaged("an array has no end"))?;
        self.skip(bytes)
    }

    /// Reads a tensor's info, and gives where its data ends, from the start of all data.
    fn tensor_end(&mut self) -> Result<u64, GgufError> {
        self.text()?;
        let dimensions = self.u32()?;
        if dimensions > MAX_DIMENSIONS {
            return Err(GgufError::Damaged("a tensor of too many dimensions"));
        }
        let mut elements = 1_u64;
        for _ in 0..dimensions {
            let size = self.u64()?;
            elements =
                elements.checked_mul(size).ok_or(GgufError::Damaged("a tensor has no end"))?;
        }
        let kind = self.u32()?;
        let offset = self.u64()?;
        // Of a type that is not known here at least the beginning must lie within the file.
        let (per_block, block_bytes) = block(kind).unwrap_or((1, 0));
        let bytes = elements.div_ceil(per_block).checked_mul(block_bytes);
        let end = bytes.and_then(|bytes| offset.checked_add(bytes));
        end.ok_or(GgufError::Damaged("a tensor has no end"))
    }
}

/// Elements and bytes of one block of a tensor type.
fn block(kind: u32) -> Option<(u64, u64)> {
    Some(match kind {
        0 | 26 => (1, 4),
        1 | 25 | 30 => (1, 2),
        24 => (1, 1),
        27 | 28 => (1, 8),
        2 | 20 => (32, 18),
        3 => (32, 20),
        6 => (32, 22),
        7 => (32, 24),
        8 => (32, 34),
        9 => (32, 36),
        10 => (256, 84),
        11 | 21 => (256, 110),
        12 => (256, 144),
        13 => (256, 176),
        14 => (256, 210),
        15 => (256, 292),
        16 | 35 => (256, 66),
        17 => (256, 74),
        18 => (256, 98),
        19 => (256, 50),
        22 => (256, 82),
        23 => (256, 136),
        29 => (256, 56),
        34 => (256, 54),
        39 => (32, 17),
        40 => (64, 36),
        41 => (128, 18),
        42 => (64, 18),
        _ => return None,
    })
}

/// llama.cpp's file types by their usual names.
fn file_type(n: u64) -> String {
    let name = match n {
        0 => "F32",
        1 => "F16",
        2 => "Q4_0",
        3 => "Q4_1",
        7 => "Q8_0",
        8 => "Q5_0",
        9 => "Q5_1",
        10 => "Q2_K",
        11 => "Q3_K_S",
        12 => "Q3_K_M",
        13 => "Q3_K_L",
        14 => "Q4_K_S",
        15 => "Q4_K_M",
        16 => "Q5_K_S",
        17 => "Q5_K_M",
        18 => "Q6_K",
        25 => "IQ4_NL",
        30 => "IQ4_XS",
        32 => "BF16",
        _ => return format!("type {n}"),
    };
    name.to_owned()
}

fn looks_like(head: &[u8]) -> &'static str {
    let text = String::from_utf8_lossy(head).trim_start().to_lowercase();
    if head.is_empty() {
        "empty"
    } else if text.starts_with("<!doctype") || text.starts_with("<html") {
        "an HTML page, perhaps an error of the site it came from"
    } else if text.starts_with("version https://git-lfs") {
        "a git-lfs pointer, which names the file but does not hold it"
    } else if head.starts_with(b"PK\x03\x04") {
        "a zip archive or a wheel, which has to be unpacked"
    } else if head.starts_with(&[0x1f, 0x8b]) {
        "compressed with gzip"
    } else if head.starts_with(b"FUGG") {
        "a GGUF file for big-endian machines"
    } else if head.starts_with(b"ggml") || head.starts_with(b"lmgg") || head.starts_with(b"tjgg") {
        "a file of GGML, which came before GGUF"
    } else if head.iter().all(|byte| *byte == 0) {
        "all zeros, as a download leaves that was broken off"
    } else {
        "something else"
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
#[path = "gguf_tests.rs"]
mod tests;
