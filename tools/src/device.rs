//! Opens a serial device, and says in words why one does not open and what to do about it.
//!
//! Opening is quick: the device is opened without waiting for a carrier, and its settings are applied
//! without waiting for output. It may reset a board, as an Arduino is reset by its DTR line.
//!
//! Bound: at most [`MAX_CANDIDATES`] other devices are named.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use tokio_serial::{ErrorKind, SerialPortBuilder, SerialStream};

use crate::{SerialSpec, ToolError};

/// How many other devices a message names.
pub const MAX_CANDIDATES: usize = 5;
/// How the devices of USB boards and adapters are named.
const PREFIXES: [&str; 2] = ["ttyACM", "ttyUSB"];

/// Opens the device once and closes it again: the check of `agentd check`.
pub fn probe(spec: &SerialSpec) -> Result<(), ToolError> {
    match builder(spec).open() {
        Ok(_) => Ok(()),
        Err(e) => Err(unavailable(spec, diagnose(Path::new(&spec.path), &e))),
    }
}

/// Opens the device for one owner, on the runtime's reactor. The path is resolved anew each time, so
/// that a symbolic link of udev leads to the device that is there now.
pub(crate) fn open(spec: &SerialSpec) -> Result<SerialStream, String> {
    SerialStream::open(&builder(spec)).map_err(|e| diagnose(Path::new(&spec.path), &e))
}

/// The error of a port that cannot be used, by its name and path.
pub(crate) fn unavailable(spec: &SerialSpec, why: String) -> ToolError {
    ToolError::Unavailable { what: format!("{} ({})", spec.name, spec.path), why }
}

fn builder(spec: &SerialSpec) -> SerialPortBuilder {
    tokio_serial::new(spec.path.as_str(), spec.baud).exclusive(true)
}

/// The cause and the cure. The library's error has no error number left, so the cause is looked for.
fn diagnose(path: &Path, error: &tokio_serial::Error) -> String {
    let shown = path.display();
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return missing(path),
        Err(e) => return format!("{shown} cannot be looked at: {e}"),
    };
    if !metadata.file_type().is_char_device() {
        return format!("{shown} is not a serial device: check `path`");
    }
    let busy =
        || format!("another program holds {shown}: close it (`sudo fuser -v {shown}` names it)");
    if let ErrorKind::NoDevice = error.kind() {
        return busy();
    }
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(fd) if !rustix::termios::isatty(&fd) => {
            format!("{shown} is not a serial device: check `path`")
        }
        Err(Errno::ACCESS | Errno::PERM) => denied(path, metadata.gid(), metadata.permissions()),
        Err(Errno::BUSY) => busy(),
        Err(Errno::NXIO | Errno::NODEV | Errno::IO) => {
            format!("{shown} is there, and no device answers behind it: plug the board in again")
        }
        _ => format!("{shown} cannot be set up: {error}"),
    }
}

fn missing(path: &Path) -> String {
    let shown = path.display();
    let mut why = match fs::read_link(path) {
        Ok(target) => format!("{shown} leads to {}, which is not there", target.display()),
        Err(_) => format!("{shown} is not there"),
    };
    why.push_str(": is the board plugged in?");
    // Links such as /dev/serial/by-id go together with the last board, their targets stand in /dev.
    let dev = Path::new("/dev");
    let parent = path.parent().filter(|parent| *parent != dev);
    let found: Vec<String> =
        parent.into_iter().chain([dev]).flat_map(candidates).take(MAX_CANDIDATES).collect();
    if !found.is_empty() {
        why.push_str(&format!(" There is {}", found.join(", ")));
    }
    why
}

fn candidates(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut found: Vec<String> = entries
        .flatten()
        .filter(|entry| {
            let name = entry.file_name();
            PREFIXES.iter().any(|prefix| name.to_string_lossy().starts_with(prefix))
        })
        .map(|entry| entry.path().display().to_string())
        .collect();
    found.sort();
    found
}

fn denied(path: &Path, gid: u32, permissions: fs::Permissions) -> String {
    let shown = path.display();
    let table = |file| fs::read_to_string(file).unwrap_or_default();
    let (groups, users) = (table("/etc/group"), table("/etc/passwd"));
    let uid = rustix::process::geteuid().as_raw();
    let user = name_of(&users, uid).map_or_else(|| uid.to_string(), str::to_owned);
    if permissions.mode() & 0o060 != 0o060 {
        return format!(
            "the user `{user}` may not use {shown}, nor may its group: add a udev rule"
        );
    }
    match name_of(&groups, gid) {
        Some(group) => format!(
            "the user `{user}` may not use {shown}: add the user `{user}` to the group `{group}`: \
             `sudo usermod -aG {group} {user}`, and start agentd anew"
        ),
        None => format!("the user `{user}` may not use {shown}, which group {gid} may"),
    }
}

/// The name of an id in the text of `/etc/group` or `/etc/passwd`, whose third field it is.
fn name_of(table: &str, id: u32) -> Option<&str> {
    table.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(id)).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(path: &Path) -> String {
        let spec = SerialSpec::for_test("board", path);
        match probe(&spec).expect_err("it does not open") {
            ToolError::Unavailable { what, why } => {
                assert_eq!(what, format!("board ({})", path.display()));
                why
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_missing_device_is_told_with_those_that_are_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ttyACM9");
        assert!(
            why(&path)
                .starts_with(&format!("{} is not there: is the board plugged in?", path.display()))
        );
        for n in 0..MAX_CANDIDATES + 1 {
            fs::write(dir.path().join(format!("ttyUSB{n}")), "").unwrap();
        }
        let why = why(&path);
        let last = format!("ttyUSB{}", MAX_CANDIDATES - 1);
        assert!(why.contains("ttyUSB0, ") && why.ends_with(&last), "{why}");
    }

    #[test]
    fn a_link_that_leads_nowhere_says_where_it_leads() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("board");
        std::os::unix::fs::symlink("/nowhere/ttyACM0", &link).unwrap();
        assert!(why(&link).contains("leads to /nowhere/ttyACM0, which is not there"));
    }

    #[test]
    fn what_is_not_a_terminal_is_told() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(why(file.path()).contains("is not a serial device"));
        assert!(why(Path::new("/dev/null")).contains("is not a serial device"));
    }

    #[test]
    fn a_denied_device_is_told_with_the_command_that_helps() {
        let user = |permissions| denied(Path::new("/dev/ttyACM0"), 0, permissions);
        let why = user(fs::Permissions::from_mode(0o660));
        assert!(why.contains("to the group `root`: `sudo usermod -aG root "), "{why}");
        assert!(user(fs::Permissions::from_mode(0o600)).contains("udev rule"));
    }

    #[test]
    fn names_are_found_by_their_id() {
        let table = "root:x:0:\nbroken\ndialout:x:20:pi,agentd\n";
        assert_eq!((name_of(table, 20), name_of(table, 2)), (Some("dialout"), None));
    }
}
