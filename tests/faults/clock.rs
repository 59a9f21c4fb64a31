//! The wall clock of the daemon, which alone has libfaketime loaded.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// The library, below the folder of the system's libraries. The variant for many threads.
const LIBRARY: &str = "faketime/libfaketimeMT.so.1";

/// A clock that can jump.
#[derive(Debug)]
pub(crate) struct Clock {
    file: PathBuf,
    library: PathBuf,
    offset: i64,
}

impl Clock {
    /// A clock that goes right, kept in this file.
    pub(crate) fn new(file: PathBuf) -> Result<Self> {
        let library = library().context(
            "libfaketime is not installed: scripts/setup test (in Debian, the package faketime)",
        )?;
        let mut clock = Self { file, library, offset: 0 };
        clock.jump(0)?;
        Ok(clock)
    }

    /// Jumps by so many seconds from where it is.
    pub(crate) fn jump(&mut self, seconds: i64) -> Result<()> {
        self.offset += seconds;
        // Renamed into place, so that no reading of the clock finds half a number.
        let new = self.file.with_extension("new");
        std::fs::write(&new, format!("{:+}\n", self.offset))?;
        Ok(std::fs::rename(&new, &self.file)?)
    }

    /// What the daemon's environment needs. Timers go by the monotonic clock, which never jumps.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("LD_PRELOAD", self.library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            // It would leave shared memory behind at each kill.
            ("FAKETIME_DISABLE_SHM", "1".to_owned()),
        ]
    }
}

fn library() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path());
    let mut candidates = folders.chain([Path::new("/usr/lib").into(), "/usr/lib64".into()]);
    candidates.find_map(|folder| Some(folder.join(LIBRARY)).filter(|path| path.is_file()))
}
