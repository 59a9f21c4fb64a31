//! The tuned file of an installed model: the built-in adapter worked into its weights.
//!
//! It is made when the model is installed, because a board that merges at each start would start slowly. Where it is
//! missing, or of another version's adapter, the adapter is used beside the weights: the same answers, more slowly.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::built_in::{self, BuiltIn};
use super::catalog::Entry;
use super::digest;
use super::gguf::Header;
use super::merge::{MergeError, merge};
use super::pull::Progress;

/// Where the tuned file of a model of the catalogue is, or would be.
pub fn path(dir: &Path, entry: &Entry) -> PathBuf {
    let stem = entry.file.strip_suffix(".gguf").unwrap_or(&entry.file);
    dir.join(format!("{stem}.tuned.gguf"))
}

/// The tuned file, where it is there and holds the changes of the built-in adapter.
pub fn find(dir: &Path, entry: &Entry) -> Option<PathBuf> {
    let path = path(dir, entry);
    let header = Header::read(&path).ok()?;
    (header.adapter_sha256.as_deref() == Some(built_in::SHA256)).then_some(path)
}

/// Makes the tuned file of an installed model, unless it is there. Nothing is made, and nothing given, for a model
/// that the built-in adapter is not for.
pub fn make(
    dir: &Path,
    entry: &Entry,
    progress: &dyn Progress,
) -> Result<Option<PathBuf>, MergeError> {
    if let Some(path) = find(dir, entry) {
        return Ok(Some(path));
    }
    let base = dir.join(&entry.file);
    let model = Header::read(&base)?;
    let Ok(Some(BuiltIn { adapter, .. })) = &built_in::adapter_for(&model, &entry.sha256) else {
        return Ok(None);
    };
    let mut new = tempfile::Builder::new().prefix(".tuned-").tempfile_in(dir)?;
    merge(&base, &adapter.path, built_in::SHA256, new.as_file_mut(), progress)?;
    new.as_file().sync_all()?;
    let (path, hash) = (path(dir, entry), digest::of_file(new.path())?);
    // Like any installed model it may be read by whoever runs the daemon.
    let mut rights = new.as_file().metadata()?.permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut rights, 0o644);
    new.as_file().set_permissions(rights)?;
    new.persist(&path).map_err(|e| e.error)?;
    digest::record(&path, &hash)?;
    File::open(dir)?.sync_all()?;
    Ok(Some(path))
}

/// Removes the tuned file of a model, if there is one.
pub fn remove(dir: &Path, entry: &Entry) -> std::io::Result<()> {
    let path = path(dir, entry);
    for file in [digest::record_path(&path), path] {
        match std::fs::remove_file(file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
