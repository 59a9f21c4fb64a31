//! The folder in which an adapter is made: named after all that decides it, so that a run which was killed goes on
//! and one of other tools begins anew.
//!
//! What is made is written whole or not at all. One process works in it at a time.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde_json::Value;

use crate::model::digest;

/// How much of the hash of what decides a run stands in the folder's name, in hex digits.
const NAMED: usize = 12;

/// A folder in which an adapter is made.
#[derive(Debug)]
pub struct Work {
    folder: PathBuf,
    _lock: File,
}

/// What this command keeps for a person: `$XDG_CACHE_HOME/agentd/tune`, else `~/.cache/agentd/tune`.
pub fn cache() -> PathBuf {
    let given = std::env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    given.or_else(home).unwrap_or_else(|| "/var/cache".into()).join("agentd/tune")
}

impl Work {
    /// The folder below `parent` for a machine and all that decides what is learnt.
    pub fn open(parent: &Path, device: &str, decides: &Value) -> io::Result<Self> {
        let hash = digest::of_reader(decides.to_string().as_bytes(), |_| {})?;
        let folder = parent.join(format!("{device}-{}", &hash[..NAMED]));
        std::fs::create_dir_all(&folder)?;
        let lock = File::create(folder.join("lock"))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|error| {
            let busy = format!("{} is worked in by another agentd tune", folder.display());
            if error == rustix::io::Errno::WOULDBLOCK {
                io::Error::other(busy)
            } else {
                error.into()
            }
        })?;
        Ok(Self { folder, _lock: lock })
    }

    /// A file or folder of it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The file of this name, which is made unless it is there.
    pub fn once(
        &self,
        name: &str,
        make: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<PathBuf> {
        let (path, new) = (self.path(name), self.path(&format!("{name}.new")));
        if !path.exists() {
            let mut file = BufWriter::new(File::create(&new)?);
            make(&mut file)?;
            file.into_inner()?.sync_all()?;
            std::fs::rename(new, &path)?;
        }
        Ok(path)
    }
}

/// Puts a copy of `file` to `out`, whole or not at all, for whoever runs the daemon to read.
pub fn install(file: &Path, out: &Path) -> io::Result<()> {
    let folder = match out.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(folder)?;
    let mut new = tempfile::Builder::new().prefix(".adapter-").tempfile_in(folder)?;
    io::copy(&mut File::open(file)?, new.as_file_mut())?;
    new.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
    new.as_file().sync_all()?;
    new.persist(out).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_same_run_finds_its_folder_again_and_another_one_does_not() {
        let parent = tempfile::tempdir().expect("a folder");
        let open = |decides| Work::open(parent.path(), "m", &decides).map(|work| work.path("x"));
        let first = open(json!({"seed": 1})).expect("a folder");
        assert_eq!(open(json!({"seed": 1})).expect("a folder"), first);
        assert_ne!(open(json!({"seed": 2})).expect("a folder"), first);
    }

    #[test]
    fn two_do_not_work_in_one_folder() {
        let parent = tempfile::tempdir().expect("a folder");
        let first = Work::open(parent.path(), "m", &Value::Null).expect("a folder");
        let error = Work::open(parent.path(), "m", &Value::Null).expect_err("it is taken");
        assert!(error.to_string().contains("another agentd tune"), "{error}");
        drop(first);
        assert!(Work::open(parent.path(), "m", &Value::Null).is_ok());
    }

    #[test]
    fn what_is_made_is_made_once_and_whole() {
        let parent = tempfile::tempdir().expect("a folder");
        let work = Work::open(parent.path(), "m", &Value::Null).expect("a folder");
        let failed = work.once("a", |out| {
            out.write_all(b"half")?;
            Err(io::Error::other("killed"))
        });
        assert!(failed.is_err() && !work.path("a").exists());
        work.once("a", |out| out.write_all(b"whole")).expect("made");
        let path = work.once("a", |_| unreachable!("it is there")).expect("found");
        assert_eq!(std::fs::read(path).expect("read"), b"whole");
    }

    #[test]
    fn an_adapter_is_installed_over_the_one_before_and_can_be_read_by_all() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, out) = (folder.path().join("new"), folder.path().join("deep/m.adapter.gguf"));
        for content in ["one", "two"] {
            std::fs::write(&file, content).expect("written");
            install(&file, &out).expect("installed");
            assert_eq!(std::fs::read_to_string(&out).expect("read"), content);
        }
        let mode = out.metadata().expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o644);
        assert_eq!(std::fs::read_dir(out.parent().expect("deep")).expect("read").count(), 1);
    }
}
