//! What strace wrote down of the database's files, read back.
//!
//! One file a thread (`-ff`), so that no call is torn in two by another thread's; strings and paths in
//! hexadecimal (`-xx`), so that nothing has to be guessed. A line that is not understood is an error: a
//! write that is overlooked would make every image wrong.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

/// The calls that change a file or make it durable.
const CALLS: &str =
    "lseek,write,pwrite64,writev,pwritev,ftruncate,fallocate,fdatasync,fsync,unlink,rename";

/// A file of the database. The index of its log (`-shm`) is rebuilt and does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Database,
    Log,
    /// The rollback journal, under which a new database becomes one with a log.
    Journal,
    /// The folder of the others: its sync makes their names durable.
    Folder,
}

impl Part {
    /// The parts that are files.
    pub(crate) const FILES: [Self; 3] = [Self::Database, Self::Log, Self::Journal];

    /// Where it lies, beside the database.
    pub(crate) fn path(self, database: &Path) -> PathBuf {
        match self {
            Self::Database => database.to_owned(),
            Self::Log => database.with_extension("db-wal"),
            Self::Journal => database.with_extension("db-journal"),
            Self::Folder => database.with_file_name(""),
        }
    }

    fn of(path: &Path) -> Option<Self> {
        match path.extension().and_then(OsStr::to_str) {
            Some("db") => Some(Self::Database),
            Some("db-wal") => Some(Self::Log),
            Some("db-journal") => Some(Self::Journal),
            // No other folder is traced.
            None => Some(Self::Folder),
            Some(_) => None,
        }
    }
}

/// What was done to a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Deed {
    Write {
        offset: usize,
        bytes: Vec<u8>,
    },
    Truncate {
        length: usize,
    },
    Unlink,
    /// What was done before is on the disk when this has returned.
    Sync,
}

/// A call: when it began, since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) at: Duration,
    pub(crate) part: Part,
    pub(crate) deed: Deed,
}

/// The command line that stands before the daemon's. The trace lies in files that begin with `prefix`.
pub(crate) fn command(prefix: &Path, database: &Path) -> Vec<String> {
    // The tracer is a grandchild (-D), so that the daemon is the process that is waited for.
    let mut command: Vec<String> =
        "strace -D -ff -y -ttt -xx -s 200000 -o".split(' ').map(str::to_owned).collect();
    command.push(prefix.display().to_string());
    command.push(format!("--trace={CALLS}"));
    for part in Part::FILES.into_iter().chain([Part::Folder]) {
        let path = part.path(database);
        let path = path.to_string_lossy();
        command.push(format!("--trace-path={}", path.trim_end_matches('/')));
    }
    command
}

/// Whether the tracer has written all it will.
pub(crate) fn is_complete(folder: &Path, prefix: &str) -> bool {
    let texts = read(folder, prefix).unwrap_or_default();
    !texts.is_empty() && texts.iter().all(|text| text.trim_end().ends_with("+++"))
}

/// All calls in order of time.
pub(crate) fn calls(folder: &Path, prefix: &str) -> Result<Vec<Call>> {
    let mut calls = Vec::new();
    for text in read(folder, prefix)? {
        calls.append(&mut thread(&text)?);
    }
    calls.sort_by_key(|call| call.at);
    Ok(calls)
}

fn read(folder: &Path, prefix: &str) -> Result<Vec<String>> {
    let mut texts = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            texts.push(std::fs::read_to_string(entry.path())?);
        }
    }
    Ok(texts)
}

fn thread(text: &str) -> Result<Vec<Call>> {
    let mut places = HashMap::new();
    let mut calls = Vec::new();
    for line in text.lines() {
        let shown = line.get(..line.len().min(200)).unwrap_or_default();
        let call = parse(line, &mut places);
        calls.extend(call.with_context(|| format!("the trace is not understood: {shown}"))?);
    }
    Ok(calls)
}

/// One line. `places`: where each open file stands, for writes that do not say.
fn parse(line: &str, places: &mut HashMap<String, usize>) -> Result<Option<Call>> {
    let (at, rest) = line.split_once(' ').context("no time")?;
    // Signals, the end, and a thread that ended with its process before its call was even looked at.
    if ["---", "+++", "???("].iter().any(|mark| rest.starts_with(mark)) {
        return Ok(None);
    }
    let (seconds, micros) = at.split_once('.').context("no fraction")?;
    let at = Duration::new(seconds.parse()?, micros.parse::<u32>()? * 1000);
    let (name, rest) = rest.split_once('(').context("no call")?;
    let (arguments, result) = rest.rsplit_once(") = ").context("no result")?;
    // A call that failed has done nothing.
    if result.starts_with('-') {
        return Ok(None);
    }
    let number = |text: &str| text.trim().parse::<usize>().context("no number");
    // The process ended in the middle: a write may have been made, and nothing is known to be synced.
    let cut_off = result.starts_with('?');
    let result = if cut_off { usize::MAX } else { number(result)? };
    let arguments: Vec<&str> = arguments.split(", ").collect();
    let path = match arguments[0].split_once('<') {
        Some((_, path)) => path.trim_end_matches('>'),
        None => arguments[0].trim_matches('"'),
    };
    let path = String::from_utf8(bytes(path)?)?;
    let Some(part) = Part::of(Path::new(&path)) else { return Ok(None) };
    let argument = |at: usize| arguments.get(at).copied().context("an argument is missing");
    let written = |offset| -> Result<Deed> {
        let mut bytes = bytes(argument(1)?.trim_matches('"'))?;
        ensure!(bytes.len() == number(argument(2)?)?, "the bytes are not all there");
        bytes.truncate(result);
        Ok(Deed::Write { offset, bytes })
    };
    let deed = match name {
        "pwrite64" => written(number(argument(3)?)?)?,
        "write" => {
            let place = places.entry(path.clone()).or_default();
            let deed = written(*place)?;
            *place = place.saturating_add(result);
            deed
        }
        "lseek" => {
            places.insert(path.clone(), result);
            return Ok(None);
        }
        "ftruncate" => Deed::Truncate { length: number(argument(1)?)? },
        "unlink" => Deed::Unlink,
        "fsync" | "fdatasync" if cut_off => return Ok(None),
        "fsync" | "fdatasync" => Deed::Sync,
        other => bail!("{other} is new here"),
    };
    Ok(Some(Call { at, part, deed }))
}

/// The bytes of a string as `-xx` shows it.
fn bytes(text: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4);
    for hex in text.as_bytes().chunks(4) {
        ensure!(hex.len() == 4 && hex.starts_with(b"\\x"), "a string is not in hexadecimal");
        bytes.push(u8::from_str_radix(std::str::from_utf8(&hex[2..])?, 16)?);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> String {
        text.bytes().map(|byte| format!("\\x{byte:02x}")).collect()
    }

    #[test]
    fn lines_of_strace_become_calls() {
        let (log, database, folder) = (hex("/d/a.db-wal"), hex("/d/a.db"), hex("/d"));
        let text = format!(
            "17.000001 pwrite64(9<{log}>, \"{}\", 3, 4096) = 3\n\
             17.000002 fdatasync(9<{log}>) = 0\n\
             17.000003 lseek(8<{database}>, 512, SEEK_SET) = 512\n\
             17.000004 write(8<{database}>, \"{}\", 2) = 1\n\
             17.000005 ftruncate(8<{database}>, 0) = 0\n\
             17.000006 pwrite64(9<{log}>, \"{}\", 1, 0) = -1 ENOSPC (No space left on device)\n\
             17.000007 unlink(\"{log}\") = 0\n\
             17.000007 fsync(7<{folder}>) = 0\n\
             17.000008 fdatasync(9<{log}>) = ?\n\
             17.000008 --- SIGTERM {{si_signo=SIGTERM}} ---\n\
             17.000008 ???( <unfinished ...>\n\
             17.000009 +++ exited with 0 +++\n",
            hex("abc"),
            hex("xy"),
            hex("z"),
        );
        let calls = thread(&text).expect("understood");
        let at = |micros: u32| Duration::new(17, micros * 1000);
        let call = |micros, part, deed| Call { at: at(micros), part, deed };
        assert_eq!(
            calls,
            [
                call(1, Part::Log, Deed::Write { offset: 4096, bytes: b"abc".to_vec() }),
                call(2, Part::Log, Deed::Sync),
                call(4, Part::Database, Deed::Write { offset: 512, bytes: b"x".to_vec() }),
                call(5, Part::Database, Deed::Truncate { length: 0 }),
                call(7, Part::Log, Deed::Unlink),
                call(7, Part::Folder, Deed::Sync),
            ]
        );
    }

    #[test]
    fn what_is_not_understood_is_an_error_and_not_passed_over() {
        let log = hex("/d/a.db-wal");
        for line in [
            format!("1.000001 writev(9<{log}>, 3) = 3"),
            format!("1.000001 pwrite64(9<{log}>, \"{}\"..., 3, 0) = 3", hex("ab")),
            format!("1.000001 pwrite64(9<{log}>, \"ab\", 2, 0) = 2"),
            format!("1.000001 fdatasync(9<{log}> <unfinished ...>"),
        ] {
            assert!(thread(&line).is_err(), "{line}");
        }
    }
}
