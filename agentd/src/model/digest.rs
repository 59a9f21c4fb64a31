//! SHA-256 of files, and where it is kept beside an installed model.
//!
//! A record (`FILE.sha256`, as `sha256sum` writes it) is made when a model is installed, after the hash
//! was checked. It saves a start minutes on large models. It holds while the file is not younger.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

/// The hash of a file, in hex.
pub fn of_file(path: &Path) -> io::Result<String> {
    of_reader(File::open(path)?, |_| {})
}

/// The hash of a stream, in hex. `progress` gets the bytes read so far.
pub fn of_reader(mut stream: impl Read, mut progress: impl FnMut(u64)) -> io::Result<String> {
    let (mut hasher, mut done) = (Sha256::new(), 0);
    let mut chunk = vec![0; 256 * 1024];
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => return Ok(hex(&hasher.finalize())),
            Ok(n) => {
                hasher.update(&chunk[..n]);
                done += n as u64;
                progress(done);
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// Where the record of a file is.
pub fn record_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".sha256");
    name.into()
}

/// The recorded hash of a file, where there is one and the file has not changed since.
pub fn recorded(path: &Path) -> Option<String> {
    let record = record_path(path);
    let changed = |path: &Path| path.metadata().and_then(|meta| meta.modified()).ok();
    if changed(path)? > changed(&record)? {
        return None;
    }
    let text = std::fs::read_to_string(record).ok()?;
    let hash = text.split_whitespace().next()?;
    (hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit())).then(|| hash.to_owned())
}

/// Records a hash that was checked.
pub fn record(path: &Path, sha256: &str) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    std::fs::write(record_path(path), format!("{sha256}  {name}\n"))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    /// SHA-256 of "abc", from FIPS 180-4's examples.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn a_file_has_the_hash_of_the_standards_example() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("abc");
        std::fs::write(&path, "abc").unwrap();
        assert_eq!(of_file(&path).unwrap(), ABC);
    }

    #[test]
    fn a_record_holds_until_the_file_changes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("abc");
        std::fs::write(&path, "abc").unwrap();
        assert_eq!(recorded(&path), None);
        record(&path, ABC).unwrap();
        assert_eq!(recorded(&path).as_deref(), Some(ABC));
        let later = SystemTime::now() + Duration::from_secs(5);
        File::options().write(true).open(&path).unwrap().set_modified(later).unwrap();
        assert_eq!(recorded(&path), None, "the file is younger than its record");
        std::fs::write(record_path(&path), "no hash\n").unwrap();
        assert_eq!(recorded(&path), None);
    }
}
