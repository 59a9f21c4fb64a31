//! Whether files are others than they were.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use tokio::time::sleep;

/// How often they are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// Some files as they were at one time.
#[derive(Debug, Clone, Default)]
pub(super) struct Stamps(Vec<(PathBuf, Option<Stamp>)>);

/// A file's number, length and time of change; none where there is no file.
type Stamp = (u64, u64, SystemTime);

impl Stamps {
    /// Of these files as they are now.
    pub(super) fn of(files: &[PathBuf]) -> Self {
        Self(files.iter().map(|file| (file.clone(), stamp(file))).collect())
    }

    /// Waits until one of them is another one.
    pub(super) async fn changed(self) {
        while !self.have_changed() {
            sleep(LOOK).await;
        }
    }

    /// Whether one of them is another one now.
    pub(super) fn have_changed(&self) -> bool {
        self.0.iter().any(|(file, before)| stamp(file) != *before)
    }
}

fn stamp(file: &PathBuf) -> Option<Stamp> {
    let meta = std::fs::metadata(file).ok()?;
    Some((meta.ino(), meta.len(), meta.modified().ok()?))
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_file_that_came_went_or_was_replaced_is_another_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let [old, new, none] = ["old", "new", "none"].map(|name| folder.path().join(name));
        std::fs::write(&old, "a").expect("written");
        std::fs::write(&new, "a").expect("written");
        let files = [old.clone(), none.clone()];
        let same = Stamps::of(&files);
        assert!(same.changed().now_or_never().is_none(), "nothing has changed");
        let replaced = Stamps::of(&files);
        std::fs::rename(&new, &old).expect("renamed");
        replaced.changed().await;
        let came = Stamps::of(&files);
        std::fs::write(&none, "").expect("written");
        came.changed().await;
        let went = Stamps::of(&files);
        std::fs::remove_file(&old).expect("removed");
        went.changed().await;
    }
}
