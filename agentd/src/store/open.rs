//! Opening the database file, whatever state it is in.
//!
//! A file that is damaged or from a newer version is never deleted: it is moved aside under a name that
//! says when, and a new one is begun. A file that cannot be written is an error: a daemon that cannot
//! record what it does must not act. So is one that another daemon has: both would do what waits in it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::{Store, StoreError, schema};
use crate::command::Outcome;

/// A database larger than this is not read whole at the start, which would make a small board wait.
const FULL_CHECK_BYTES: u64 = 16 * 1024 * 1024;

/// A store that has been opened.
#[derive(Debug)]
pub struct Opened {
    /// The handle.
    pub store: Store,
    /// The store's thread; it ends when the last handle is dropped.
    pub thread: JoinHandle<()>,
    /// Commands that a crash had cut off and that have been ended now.
    pub interrupted: Vec<Outcome>,
    /// A database that could not be used, and why.
    pub moved_aside: Option<MovedAside>,
}

/// A database that could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedAside {
    /// Where it is now.
    pub to: PathBuf,
    /// Why.
    pub why: String,
}

/// Why there is no store.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder cannot be made.
    #[error(
        "the folder of the database {path} cannot be made: set `store.path` to a place that can be written"
    )]
    Folder {
        /// `store.path`.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file cannot be written.
    #[error(
        "the database {path} cannot be written ({why}): check its owner, and that the file system is not mounted read-only or full"
    )]
    NotWritable {
        /// `store.path`.
        path: PathBuf,
        /// SQLite's or the system's error.
        why: String,
    },
    /// Another process has it.
    #[error(
        "another agentd is using the database {path}: stop it (`systemctl stop agentd`), or set \
         `store.path` to a file of its own for each"
    )]
    InUse {
        /// `store.path`.
        path: PathBuf,
    },
    /// A file that cannot be used cannot be moved aside either.
    #[error("the database {path} cannot be used ({why}), nor moved aside")]
    MoveAside {
        /// `store.path`.
        path: PathBuf,
        /// Why it cannot be used.
        why: String,
        /// The system's error.
        source: std::io::Error,
    },
    /// What a crash cut off could not be ended.
    #[error("the commands that were under way in {path} cannot be ended")]
    Reconcile {
        /// `store.path`.
        path: PathBuf,
        /// The store's error.
        source: StoreError,
    },
    /// The thread cannot be started.
    #[error("the store's thread cannot be started")]
    Thread(#[source] std::io::Error),
}

/// What is wrong with an existing file.
enum Unusable {
    /// It is moved aside.
    Content(String),
    /// It stays.
    Access(String),
}

/// Opens the file for writing and brings it to this version.
pub(super) fn connection(
    path: &Path,
    now: Timestamp,
) -> Result<(Connection, Option<MovedAside>), OpenError> {
    folder(path)?;
    let not_writable = |why| OpenError::NotWritable { path: path.into(), why };
    match try_open(path) {
        Ok(connection) => Ok((connection, None)),
        Err(Unusable::Access(why)) => Err(not_writable(why)),
        Err(Unusable::Content(why)) => {
            let to = move_aside(path, now).map_err(|source| OpenError::MoveAside {
                path: path.into(),
                why: why.clone(),
                source,
            })?;
            let connection = try_open(path).map_err(|e| match e {
                Unusable::Content(why) | Unusable::Access(why) => not_writable(why),
            })?;
            Ok((connection, Some(MovedAside { to, why })))
        }
    }
}

/// Takes the database for this process, until the file is dropped. The lock is on a file of its own, because
/// SQLite locks the database's own file by its rules, and because that file may be moved aside.
pub(super) fn lock(path: &Path) -> Result<File, OpenError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let not_writable = |why: String| OpenError::NotWritable { path: path.into(), why };
    let file = File::options().create(true).truncate(false).write(true).open(&name);
    let file = file.map_err(|e| not_writable(format!("{}: {e}", Path::new(&name).display())))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(Errno::WOULDBLOCK) => Err(OpenError::InUse { path: path.into() }),
        Err(error) => Err(not_writable(error.to_string())),
    }
}

/// Makes the folder of the database.
pub(super) fn folder(path: &Path) -> Result<(), OpenError> {
    match path.parent() {
        Some(folder) => std::fs::create_dir_all(folder)
            .map_err(|source| OpenError::Folder { path: path.into(), source }),
        None => Ok(()),
    }
}

/// Makes a new, empty database of this version.
pub fn create(path: &Path) -> Result<(), OpenError> {
    connection(path, Timestamp::UNIX_EPOCH).map(|_| ())
}

/// Says what opening would find, and changes nothing. `Ok(Some(why))`: the file would be moved aside.
pub fn probe(path: &Path) -> Result<Option<String>, OpenError> {
    let not_writable = |why: String| OpenError::NotWritable { path: path.into(), why };
    if !path.exists() {
        let mut folder =
            path.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."));
        while !folder.exists() {
            folder = folder.parent().unwrap_or(Path::new("/"));
        }
        return rustix::fs::access(folder, rustix::fs::Access::WRITE_OK)
            .map(|()| None)
            .map_err(|e| not_writable(format!("{}: {e}", folder.display())));
    }
    rustix::fs::access(path, rustix::fs::Access::WRITE_OK)
        .map_err(|e| not_writable(e.to_string()))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let checked = Connection::open_with_flags(path, flags)
        .map_err(|e| classify(&e))
        .and_then(|connection| check(&connection, path));
    match checked {
        Ok(()) => Ok(None),
        Err(Unusable::Content(why)) => Ok(Some(why)),
        Err(Unusable::Access(why)) => Err(not_writable(why)),
    }
}

fn try_open(path: &Path) -> Result<Connection, Unusable> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(|e| classify(&e))?;
    connection.busy_timeout(std::time::Duration::from_secs(2)).map_err(|e| classify(&e))?;
    check(&connection, path)?;
    schema::migrate(&mut connection).map_err(|e| classify(&e))?;
    // SQLite opens a file that it may only read without a word; a write tells.
    connection
        .execute(
            "INSERT OR REPLACE INTO meta VALUES ('opened_by', ?1)",
            [env!("CARGO_PKG_VERSION")],
        )
        .map_err(|e| classify(&e))?;
    Ok(connection)
}

fn check(connection: &Connection, path: &Path) -> Result<(), Unusable> {
    let version: i64 = connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(|e| classify(&e))?;
    if version > schema::VERSION {
        return Err(Unusable::Content(format!(
            "it was written by a newer version of agentd (format {version}; this one knows {})",
            schema::VERSION
        )));
    }
    let bytes = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    if bytes <= FULL_CHECK_BYTES {
        let verdict: String = connection
            .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
            .map_err(|e| classify(&e))?;
        if verdict != "ok" {
            return Err(Unusable::Content(format!("it is damaged: {verdict}")));
        }
    }
    Ok(())
}

fn classify(error: &rusqlite::Error) -> Unusable {
    use rusqlite::ErrorCode as Code;
    match error.sqlite_error_code() {
        Some(Code::DatabaseCorrupt | Code::NotADatabase) => {
            Unusable::Content(format!("it is damaged: {error}"))
        }
        _ => Unusable::Access(error.to_string()),
    }
}

/// Renames the database and what belongs to it. The new name says when.
fn move_aside(path: &Path, now: Timestamp) -> std::io::Result<PathBuf> {
    let stamp = now.strftime("%Y%m%dT%H%M%SZ");
    let renamed = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".unusable-{stamp}{suffix}"));
        PathBuf::from(name)
    };
    for suffix in ["-wal", "-shm"] {
        let mut part = path.as_os_str().to_owned();
        part.push(suffix);
        match std::fs::rename(&part, renamed(suffix)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    std::fs::rename(path, renamed(""))?;
    Ok(renamed(""))
}
