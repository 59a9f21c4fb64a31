//! What a prompt's static part left in the model's memory, kept on the disk, so that a restart does not
//! compute it again, nor a change to another one and back.
//!
//! ```text
//!  <folder>/<key>-<checksum of the content>.kv    the state
//!  <folder>/<key>.prior                           which calls the model likes behind it, as JSON
//!  <folder>/<model>.answers, <model>.words        what is kept of the model itself
//!  key: model file, adapter, llama.cpp, context size, tokens
//! ```
//!
//! A file is written under another name and renamed, so that it is there whole or not at all; what the disk has
//! damaged since does not match its name, and is removed instead of loaded: a damaged state could end the
//! process. Bound: [`KEPT`] states; the oldest goes first, and takes with it what is liked behind it; of [`MODELS`] models what is
//! kept of them itself.
//!
//! A card takes up to a second to write a state down, in which nobody would be answered: a thread waits for it.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};

use super::digest;
use super::prior::Prior;

/// Files that are kept: two prompts of as many agents as there may be, and some of the config before.
pub const KEPT: usize = 20;
/// The version of llama.cpp's crate, of which another one may compute another state.
const LLAMA: &str = "llama-cpp-sys-2 0.1.161";
/// Hex digits of a key.
const KEY_CHARS: usize = 32;
/// Models of which more is kept than states.
pub(super) const MODELS: usize = 4;
const EXTENSION: &str = "kv";
const PRIOR: &str = "prior";
/// Begins the name of a file that is being written; the number of the process follows.
const UNFINISHED: &str = "new-";

/// The kept states of one model.
#[derive(Debug)]
pub struct Prefixes {
    folder: PathBuf,
    model: String,
    /// The key of the state that is on its way to the disk, and who waits for that; one at most.
    settling: Option<(String, JoinHandle<()>)>,
}

impl Prefixes {
    /// Those of the model and adapter with these hashes, one after the other, in a folder that need not exist.
    pub fn new(folder: PathBuf, model_sha256: &str) -> Self {
        Self { folder, model: model_sha256.to_owned(), settling: None }
    }

    /// The name of a state.
    pub fn key(&self, n_ctx: u32, tokens: &[i32]) -> String {
        let mut hasher = Sha256::new();
        // What was kept under SHA-256 is not found, and no damage.
        hasher.update("xxh3");
        hasher.update(LLAMA);
        hasher.update(&self.model);
        hasher.update(n_ctx.to_le_bytes());
        for token in tokens {
            hasher.update(token.to_le_bytes());
        }
        let mut key = digest::hex(&hasher.finalize());
        key.truncate(KEY_CHARS);
        key
    }

    /// The file of a state that is whole. One that is not is removed.
    pub fn find(&mut self, key: &str) -> Option<PathBuf> {
        if self.settling.as_ref().is_some_and(|(settling, _)| settling == key) {
            self.settle();
        }
        let mut found = None;
        for (path, name) in files(&self.folder, EXTENSION) {
            let Some(hash) = name.strip_prefix(key).and_then(|rest| rest.strip_prefix('-')) else {
                continue;
            };
            if digest::checksum(&path).is_ok_and(|own| own == hash) {
                found = Some(path);
            } else {
                eprintln!("the kept state {} is damaged and is computed again", path.display());
                let _ = std::fs::remove_file(path);
            }
        }
        found
    }

    /// Keeps a state that `write` writes to the path that it is given. It is on the disk when it has
    /// [settled](Self::settle); what then goes wrong is told on standard error, for without it the next start only takes
    /// longer.
    pub fn keep(
        &mut self,
        key: &str,
        write: impl FnOnce(&Path) -> Result<(), String>,
    ) -> Result<(), String> {
        let say = |e: io::Error| format!("{}: {e}", self.folder.display());
        std::fs::create_dir_all(&self.folder).map_err(say)?;
        self.forget_unfinished();
        let new = self.unfinished().map_err(say)?;
        write(new.path())?;
        self.settle();
        let (folder, own) = (self.folder.clone(), key.to_owned());
        let settle = move || {
            if let Err(e) = persist(&folder, &own, new) {
                eprintln!("the prompt's state cannot be kept: {}: {e}", folder.display());
            }
        };
        let thread = std::thread::Builder::new().name("prefixes".into()).spawn(settle);
        self.settling = Some((key.to_owned(), thread.map_err(|e| e.to_string())?));
        Ok(())
    }

    /// Waits until what is kept is on the disk.
    pub fn settle(&mut self) {
        if let Some((_, thread)) = self.settling.take() {
            // Of a panic it has said itself what it was.
            let _ = thread.join();
        }
    }

    /// What is liked behind a state, if it is known and can be read.
    pub(super) fn prior(&self, key: &str) -> Option<Prior> {
        let text = std::fs::read(prior_path(&self.folder, key)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Keeps what is liked behind a state.
    pub(super) fn keep_prior(&self, key: &str, prior: &Prior) -> io::Result<()> {
        std::fs::create_dir_all(&self.folder)?;
        let mut new = self.unfinished()?;
        serde_json::to_writer(&mut new, prior)?;
        new.as_file().sync_all()?;
        new.persist(prior_path(&self.folder, key))?;
        Ok(())
    }

    /// What was kept of the model itself, of a kind, if it has so many bytes at most and can be read.
    pub(super) fn of_model(&self, kind: &str, most: u64) -> Option<Vec<u8>> {
        let path = self.path_of_model(kind);
        path.metadata().ok().filter(|meta| meta.len() <= most)?;
        std::fs::read(path).ok()
    }

    /// Keeps something of the model itself, which a power cut may take: that costs time alone.
    pub(super) fn keep_of_model(&self, kind: &str, content: &[u8]) -> io::Result<()> {
        std::fs::create_dir_all(&self.folder)?;
        let mut new = self.unfinished()?;
        new.write_all(content)?;
        let path = self.path_of_model(kind);
        new.persist(&path)?;
        for oldest in newest_first(&self.folder, kind, &path).iter().skip(MODELS) {
            let _ = std::fs::remove_file(oldest);
        }
        Ok(())
    }

    pub(super) fn path_of_model(&self, kind: &str) -> PathBuf {
        let mut name = digest::hex(&Sha256::digest(format!("{LLAMA}{}", self.model)));
        name.truncate(KEY_CHARS);
        self.folder.join(name).with_extension(kind)
    }

    /// A file that is not there yet. Its name says whose it is: two workers may share the folder.
    fn unfinished(&self) -> io::Result<tempfile::NamedTempFile> {
        let prefix = format!("{UNFINISHED}{}-", std::process::id());
        tempfile::Builder::new().prefix(&prefix).tempfile_in(&self.folder)
    }

    /// Removes what workers left that were killed while they wrote.
    fn forget_unfinished(&self) {
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let Some(rest) = name.to_str().and_then(|name| name.strip_prefix(UNFINISHED)) else {
                continue;
            };
            let owner = rest.split_once('-').map_or(rest, |(pid, _)| pid);
            let is_alive = |pid: u32| Path::new("/proc").join(pid.to_string()).exists();
            if !owner.parse().is_ok_and(is_alive) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
}

impl Drop for Prefixes {
    fn drop(&mut self) {
        self.settle();
    }
}

/// Brings a state that was written to the disk, under its name.
fn persist(folder: &Path, key: &str, new: tempfile::NamedTempFile) -> io::Result<()> {
    // llama.cpp opened it by its name, so that this handle knows nothing of what it wrote.
    File::open(new.path())?.sync_all()?;
    let hash = digest::checksum(new.path())?;
    let path = folder.join(format!("{key}-{hash}.{EXTENSION}"));
    new.persist(&path).map_err(|e| e.error)?;
    forget_oldest(folder, &path);
    Ok(())
}

/// The files of a kind, the newest one first: `new` was just kept, whatever the clock says, which a board without a battery
/// may have set back.
fn newest_first(folder: &Path, extension: &str, new: &Path) -> Vec<PathBuf> {
    let age = |path: &PathBuf| {
        path.metadata().and_then(|meta| meta.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
    };
    let mut files: Vec<PathBuf> = files(folder, extension).map(|(path, _)| path).collect();
    files.sort_by_key(|path| (path != new, std::cmp::Reverse(age(path))));
    files
}

fn forget_oldest(folder: &Path, new: &Path) {
    for path in newest_first(folder, EXTENSION, new).iter().skip(KEPT) {
        let _ = std::fs::remove_file(path);
        let name = path.file_stem().and_then(|name| name.to_str());
        if let Some((key, _)) = name.and_then(|name| name.split_once('-')) {
            let _ = std::fs::remove_file(prior_path(folder, key));
        }
    }
}

fn prior_path(folder: &Path, key: &str) -> PathBuf {
    folder.join(key).with_extension(PRIOR)
}

/// The files of a kind that are there, each with its name.
fn files<'a>(
    folder: &Path,
    extension: &'a str,
) -> impl Iterator<Item = (PathBuf, String)> + use<'a> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter_map(move |path| {
        let name = path.file_stem()?.to_str()?.to_owned();
        (path.extension()? == extension).then_some((path, name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefixes(folder: &tempfile::TempDir) -> Prefixes {
        Prefixes::new(folder.path().join("prefixes"), "abc")
    }

    fn keep(prefixes: &mut Prefixes, key: &str, content: &str) {
        let write = |path: &Path| std::fs::write(path, content).map_err(|e| e.to_string());
        prefixes.keep(key, write).expect("kept");
        prefixes.settle();
    }

    #[test]
    fn a_kept_state_is_found_by_its_key_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut prefixes = prefixes(&folder);
        let key = prefixes.key(2048, &[1, 2, 3]);
        assert_eq!(prefixes.find(&key), None);
        keep(&mut prefixes, &key, "state");
        let path = prefixes.find(&key).expect("it is there");
        assert_eq!(std::fs::read_to_string(path).expect("read"), "state");
        for other in [
            prefixes.key(2048, &[1, 2, 4]),
            prefixes.key(1024, &[1, 2, 3]),
            Prefixes::new(prefixes.folder.clone(), "abd").key(2048, &[1, 2, 3]),
        ] {
            assert_eq!(prefixes.find(&other), None);
        }
    }

    #[test]
    fn a_state_that_is_on_its_way_to_the_disk_is_waited_for_and_so_is_it_at_the_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut prefixes = prefixes(&folder);
        let keys = [1, 2].map(|n| prefixes.key(n, &[]));
        for key in &keys {
            let write =
                |path: &Path| std::fs::write(path, vec![7; 4 << 20]).map_err(|e| e.to_string());
            prefixes.keep(key, write).expect("written");
        }
        assert!(prefixes.find(&keys[1]).is_some());
        prefixes.keep(&keys[0], |_| Ok(())).expect("written");
        let path = prefixes.folder.clone();
        drop(prefixes);
        assert_eq!(files(&path, EXTENSION).count(), 3);
    }

    #[test]
    fn a_damaged_state_is_removed_and_one_that_cannot_be_written_leaves_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut prefixes = prefixes(&folder);
        let key = prefixes.key(1, &[1]);
        keep(&mut prefixes, &key, "state");
        let path = prefixes.find(&key).expect("it is there");
        std::fs::write(&path, "stat").expect("cut off");
        assert_eq!(prefixes.find(&key), None);
        assert!(!path.exists());
        let error = prefixes.keep(&key, |_| Err("the disk is full".into()));
        assert_eq!(error, Err("the disk is full".into()));
        assert_eq!(std::fs::read_dir(&prefixes.folder).expect("the folder").count(), 0);
    }

    #[test]
    fn the_bound_holds_at_and_one_over_and_the_oldest_goes() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut prefixes = prefixes(&folder);
        let keys: Vec<String> = (0..=KEPT).map(|n| prefixes.key(n as u32, &[])).collect();
        for (age, key) in keys[..KEPT].iter().rev().enumerate() {
            keep(&mut prefixes, key, key);
            let time = SystemTime::now() - std::time::Duration::from_secs(age as u64 + 1);
            let file = File::open(prefixes.find(key).expect("kept")).expect("it opens");
            file.set_modified(time).expect("its age");
        }
        assert!(keys[..KEPT].iter().all(|key| prefixes.find(key).is_some()));
        keep(&mut prefixes, &keys[KEPT], "new");
        let left: Vec<bool> = keys.iter().map(|key| prefixes.find(key).is_some()).collect();
        assert_eq!(left.iter().filter(|left| **left).count(), KEPT);
        assert!(!left[0] && left[KEPT], "{left:?}");
    }

    #[test]
    fn the_newest_stays_where_the_clock_was_set_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut prefixes = prefixes(&folder);
        let keys: Vec<String> = (0..=KEPT).map(|n| prefixes.key(n as u32, &[])).collect();
        for key in &keys[..KEPT] {
            keep(&mut prefixes, key, key);
            let file = File::open(prefixes.find(key).expect("kept")).expect("it opens");
            let later = SystemTime::now() + std::time::Duration::from_secs(24 * 3600);
            file.set_modified(later).expect("its age");
        }
        keep(&mut prefixes, &keys[KEPT], "new");
        assert!(prefixes.find(&keys[KEPT]).is_some());
        assert_eq!(files(&prefixes.folder, EXTENSION).count(), KEPT);
    }

    #[test]
    fn what_a_killed_worker_left_half_written_is_removed_and_what_a_living_one_writes_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut prefixes = prefixes(&folder);
        std::fs::create_dir_all(&prefixes.folder).expect("the folder");
        let path = |name: String| prefixes.folder.join(name);
        // No process has this number: it is above the kernel's largest.
        let (dead, old) = (path(format!("{UNFINISHED}4194305-a")), path("new-abc".into()));
        let alive = path(format!("{UNFINISHED}{}-a", std::process::id()));
        for path in [&dead, &old, &alive] {
            std::fs::write(path, "half").expect("written");
        }
        let key = prefixes.key(1, &[1]);
        keep(&mut prefixes, &key, "state");
        assert!(!dead.exists() && !old.exists() && alive.exists());
    }

    #[test]
    fn what_is_liked_is_kept_beside_its_state_and_goes_with_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut prefixes = prefixes(&folder);
        let keys: Vec<String> = (0..=KEPT).map(|n| prefixes.key(n as u32, &[])).collect();
        let prior = Prior::of(&["a(".to_owned(), "b(".to_owned()], &[]);
        assert_eq!(prefixes.prior(&keys[0]), None);
        prefixes.keep_prior(&keys[0], &prior).expect("kept");
        assert_eq!(prefixes.prior(&keys[0]), Some(prior.clone()));
        std::fs::write(prior_path(&prefixes.folder, &keys[0]), "{").expect("cut off");
        assert_eq!(prefixes.prior(&keys[0]), None, "it is learnt again");
        for (age, key) in keys.iter().enumerate() {
            prefixes.keep_prior(key, &prior).expect("kept");
            keep(&mut prefixes, key, key);
            let time = SystemTime::now() - std::time::Duration::from_secs(60 - age as u64);
            let file = File::open(prefixes.find(key).expect("kept")).expect("it opens");
            file.set_modified(time).expect("its age");
        }
        // One state too many is noticed with the next one.
        let left: Vec<bool> = keys.iter().map(|key| prefixes.prior(key).is_some()).collect();
        assert_eq!(left.iter().filter(|left| **left).count(), KEPT, "{left:?}");
        assert!(!left[0] && left[KEPT], "{left:?}");
    }

    #[test]
    fn the_version_of_llama_cpp_is_the_one_that_is_built() {
        let lock = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock");
        let lock = std::fs::read_to_string(lock).expect("Cargo.lock");
        let (name, version) = LLAMA.split_once(' ').expect("a name and a version");
        let entry = format!("name = \"{name}\"\nversion = \"{version}\"");
        assert!(lock.contains(&entry), "write the version of Cargo.lock into LLAMA");
    }
}
