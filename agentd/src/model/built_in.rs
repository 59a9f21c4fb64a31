//! The adapter that is built into the program: what tuning taught the default model (`tools/tune`).
//!
//! llama.cpp reads adapters from files only, so it is given one that lies in memory for as long as it is read.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;

use rustix::fs::{MemfdFlags, memfd_create};

use super::adapter::{Adapter, AdapterError};
use super::gguf::{GgufError, Header};

const BYTES: &[u8] = include_bytes!("../../adapters/smollm2-135m-instruct.gguf");

/// SHA-256 of its file, in hex.
pub const SHA256: &str = "dec697fe8c523d45928960ee96bbd46d608607e3d64b0b395033a6472f23892b";

/// The adapter in memory, which is there until this is dropped.
#[derive(Debug)]
pub struct BuiltIn {
    /// What the worker loads.
    pub adapter: Adapter,
    _memory: File,
}

/// The built-in adapter, where it was trained on the model with this hash.
pub fn adapter_for(model: &Header, model_sha256: &str) -> Result<Option<BuiltIn>, AdapterError> {
    let told = Header::parse(io::Cursor::new(BYTES), BYTES.len() as u64)?;
    if told.base_sha256.as_deref() != Some(model_sha256) {
        return Ok(None);
    }
    let (path, memory) = in_memory().map_err(|e| AdapterError::File(GgufError::Unreadable(e)))?;
    Ok(Some(BuiltIn { adapter: Adapter::read(&path, model)?, _memory: memory }))
}

fn in_memory() -> io::Result<(PathBuf, File)> {
    let mut file = File::from(memfd_create("agentd-adapter", MemfdFlags::CLOEXEC)?);
    file.write_all(BYTES)?;
    Ok((PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd())), file))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::catalog::Catalog;
    use crate::model::digest;

    #[test]
    fn its_hash_is_the_one_that_is_written_down() {
        let hash = digest::of_reader(BYTES, |_| {}).expect("it is in memory");
        assert_eq!(hash, SHA256, "write the hash of a new adapter into SHA256");
    }

    #[test]
    fn the_built_in_adapter_is_for_the_default_model_and_for_no_other() {
        let catalog = Catalog::load(std::path::Path::new("/nowhere")).expect("the built-in one");
        let model = Header { architecture: Some("llama".into()), ..Header::default() };
        let found = adapter_for(&model, &catalog.default_entry().sha256).expect("it is in order");
        assert!(found.expect("it fits").adapter.in_turns);
        assert!(adapter_for(&model, "00").expect("it is in order").is_none());
    }
}
