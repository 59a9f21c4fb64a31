//! The daemon's own disk: a tmpfs of the campaign's mount namespace, so that it outlives `kill -9`.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

/// Room for the database and four MiB of its log, and soon full.
const KIB: u32 = 16 * 1024;

/// The disk. Dropping it unmounts it.
#[derive(Debug)]
pub(crate) struct Disk {
    path: PathBuf,
}

impl Disk {
    /// Mounts a new disk on a folder that it makes.
    pub(crate) fn mount(path: PathBuf) -> Result<Self> {
        std::fs::create_dir_all(&path)?;
        let size = format!("size={KIB}k");
        run("mount", &["-t", "tmpfs", "-o", &size, "none"], &path)?;
        Ok(Self { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Fills it, but for so many bytes.
    pub(crate) fn fill(&self, left: u64) -> Result<()> {
        let mut file = File::create(self.filler())?;
        let block = [0; 64 * 1024];
        loop {
            match file.write(&block) {
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::StorageFull => break,
                Err(e) => return Err(e).context("the disk cannot be filled"),
            }
        }
        let length = file.metadata()?.len();
        Ok(file.set_len(length.saturating_sub(left))?)
    }

    /// Makes room again.
    pub(crate) fn free(&self) -> Result<()> {
        Ok(std::fs::remove_file(self.filler())?)
    }

    /// Whether the files on it can be written. It turns read-only only while nobody has one open.
    pub(crate) fn set_read_only(&self, read_only: bool) -> Result<()> {
        let how = if read_only { "remount,ro" } else { "remount,rw" };
        run("mount", &["-o", how], &self.path)
    }

    fn filler(&self) -> PathBuf {
        self.path.join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // What is still open on it goes when it is closed; the namespace ends with the campaign anyway.
        let _ = run("umount", &["--lazy"], &self.path);
    }
}

fn run(program: &str, arguments: &[&str], path: &Path) -> Result<()> {
    let output = std::process::Command::new(program).args(arguments).arg(path).output();
    let output = output.with_context(|| format!("{program} cannot be run"))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{program} {}: {}", path.display(), said.trim());
    Ok(())
}
