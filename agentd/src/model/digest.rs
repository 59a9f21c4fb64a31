//! SHA-256 of files, and where it is kept beside an installed model.
//!
//! A record (`FILE.sha256`, as `sha256sum` writes it) is made when a model is installed, after the hash
//! was checked. It saves a start minutes on large models. It holds while the file is not younger.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use twox_hash::xxhash3_128;

/// The hash of a file, in hex.
pub fn of_file(path: &Path) -> io::Result<String> {
    of_reader(File::open(path)?, |_| {})
}

/// The hash of a stream, in hex. `progress` gets the bytes read so far.
pub fn of_reader(stream: impl Read, mut progress: impl FnMut(u64)) -> io::Result<String> {
    let (mut hasher, mut done) = (Sha256::new(), 0);
    for_each_chunk(stream, |chunk| {
        hasher.update(chunk);
        done += chunk.len() as u64;
        progress(done);
    })?;
    Ok(hex(&hasher.finalize()))
}

/// Hex digits of a checksum.
pub(super) const CHECKSUM_CHARS: usize = 32;

/// A checksum of a file, in hex, which tells damage and nothing else: it is ten times as quick as SHA-256, or a hundred times
/// where the processor has no instructions for that (XXH3, 128 bits).
pub fn checksum(path: &Path) -> io::Result<String> {
    let mut hasher = xxhash3_128::Hasher::new();
    for_each_chunk(File::open(path)?, |chunk| hasher.write(chunk))?;
    Ok(checksum_in_hex(hasher.finish_128()))
}

/// The same of some bytes.
pub(super) fn checksum_of(bytes: &[u8]) -> String {
    checksum_in_hex(xxhash3_128::Hasher::oneshot(bytes))
}

fn checksum_in_hex(checksum: u128) -> String {
    format!("{checksum:0CHECKSUM_CHARS$x}")
}

fn for_each_chunk(mut stream: impl Read, mut read: impl FnMut(&[u8])) -> io::Result<()> {
    let mut chunk = vec![0; 256 * 1024];
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(n) => read(&chunk[..n]),
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
    fn a_checksum_is_that_of_the_algorithms_example_and_tells_any_change() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let of = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            let checksum = checksum(&path).unwrap();
            assert_eq!(checksum_of(bytes), checksum);
            checksum
        };
        assert_eq!(of(b""), "99aa06d3014798d86001c324468d497f", "as xxHash's authors give it");
        // Longer than a chunk, so that it is read in parts.
        let mut bytes = vec![7; 300 * 1024];
        let whole = of(&bytes);
        for at in [0, 256 * 1024 - 1, 256 * 1024, 300 * 1024 - 1] {
            bytes[at] ^= 1;
            assert_ne!(of(&bytes), whole, "{at}");
            bytes[at] ^= 1;
        }
        assert_eq!(of(&bytes), whole);
        assert_ne!(of(&bytes[1..]), whole);
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
