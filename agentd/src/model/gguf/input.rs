//! The bytes of a GGUF file, read in order; no length is believed that goes beyond the file's end.

use std::io::{Read, Seek};

use super::kinds::block;
use super::{GgufError, MAX_DIMENSIONS, MAX_TEXT_BYTES, Tensor};

/// A metadata value, as far as it matters here.
pub(super) enum Value {
    Whole(u64),
    Text(String),
    Float(f32),
    Other,
}

pub(super) struct Input<S> {
    pub(super) stream: S,
    pub(super) length: u64,
    pub(super) at: u64,
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

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], GgufError> {
        self.claim(N as u64)?;
        let mut bytes = [0; N];
        self.stream.read_exact(&mut bytes).map_err(GgufError::Unreadable)?;
        Ok(bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, GgufError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, GgufError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn count(&mut self, most: u64, why: &'static str) -> Result<u64, GgufError> {
        let count = self.u64()?;
        if count > most { Err(GgufError::Damaged(why)) } else { Ok(count) }
    }

    fn skip(&mut self, bytes: u64) -> Result<(), GgufError> {
        self.claim(bytes)?;
        let bytes = i64::try_from(bytes).map_err(|_| GgufError::Damaged("a length has no end"))?;
        self.stream.seek_relative(bytes).map_err(GgufError::Unreadable)
    }

    /// A text; nothing where it is too long to be one that is looked for, or no UTF-8.
    pub(super) fn text(&mut self) -> Result<Option<String>, GgufError> {
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

    pub(super) fn value(&mut self, depth: u8) -> Result<Value, GgufError> {
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
            6 => Value::Float(f32::from_le_bytes(self.array()?)),
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

    /// Reads a tensor's info.
    pub(super) fn tensor(&mut self) -> Result<Tensor, GgufError> {
        let name = self.text()?.unwrap_or_default();
        let dimensions = self.u32()?;
        if dimensions > MAX_DIMENSIONS {
            return Err(GgufError::Damaged("a tensor of too many dimensions"));
        }
        let mut shape = Vec::new();
        let mut elements = 1_u64;
        for _ in 0..dimensions {
            let size = self.u64()?;
            elements =
                elements.checked_mul(size).ok_or(GgufError::Damaged("a tensor has no end"))?;
            shape.push(size);
        }
        let kind = self.u32()?;
        let offset = self.u64()?;
        // Of a type that is not known here at least the beginning must lie within the file.
        let (per_block, block_bytes) = block(kind).unwrap_or((1, 0));
        let bytes = elements.div_ceil(per_block).checked_mul(block_bytes);
        let bytes = bytes.ok_or(GgufError::Damaged("a tensor has no end"))?;
        Ok(Tensor { name, shape, kind, offset, bytes })
    }
}
