//! The Unix socket: made so that nobody finds it half made, and never taken from a daemon that lives.
//!
//! It is bound under a name of its own, gets its mode, and is then renamed over the real name: at no
//! time is there a socket with a wider mode, and the file that a dead daemon left is replaced.

use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use axum::serve::Listener;
use tokio::net::{UnixListener, UnixStream as TokioStream, unix};

use super::HttpError;

/// Whoever is in the daemon's group may command the board.
const MODE: u32 = 0o660;

/// A bound socket; its file goes when this is dropped, unless another daemon has replaced it.
#[derive(Debug)]
pub(super) struct Socket {
    listener: UnixListener,
    path: PathBuf,
    inode: (u64, u64),
}

impl Socket {
    pub(super) fn bind(path: &Path) -> Result<Self, HttpError> {
        let failed = |source| HttpError::Socket { path: path.into(), source };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        make_sure_nobody_listens(path)?;
        let mut own = path.as_os_str().to_owned();
        own.push(format!(".{}", std::process::id()));
        let own = PathBuf::from(own);
        let _ = std::fs::remove_file(&own);
        let listener = UnixListener::bind(&own).map_err(failed)?;
        let finish = || {
            std::fs::set_permissions(&own, std::fs::Permissions::from_mode(MODE))?;
            std::fs::rename(&own, path)?;
            std::fs::symlink_metadata(path)
        };
        match finish() {
            Ok(file) => Ok(Self { listener, path: path.into(), inode: (file.dev(), file.ino()) }),
            Err(source) => {
                let _ = std::fs::remove_file(&own);
                Err(failed(source))
            }
        }
    }
}

impl Listener for Socket {
    type Io = TokioStream;
    type Addr = unix::SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        Listener::accept(&mut self.listener).await
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let ours = std::fs::symlink_metadata(&self.path)
            .is_ok_and(|file| (file.dev(), file.ino()) == self.inode);
        if ours {
            // Where it stays, the next daemon finds that nobody listens and replaces it.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn make_sure_nobody_listens(path: &Path) -> Result<(), HttpError> {
    use std::io::ErrorKind::{ConnectionRefused, NotFound};
    let failed = |source| HttpError::Socket { path: path.into(), source };
    match std::fs::symlink_metadata(path) {
        Ok(file) if !file.file_type().is_socket() => {
            return Err(HttpError::NotASocket { path: path.into() });
        }
        Ok(_) => {}
        Err(e) if e.kind() == NotFound => return Ok(()),
        Err(e) => return Err(failed(e)),
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(HttpError::AnotherRuns { path: path.into() }),
        // Nobody listens: a daemon that was killed left it.
        Err(e) if matches!(e.kind(), ConnectionRefused | NotFound) => Ok(()),
        Err(e) => Err(failed(e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_has_its_mode_and_its_file_goes_with_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("deeper/agentd.sock");
        let socket = Socket::bind(&path).expect("bound");
        let mode = std::fs::metadata(&path).expect("the file").permissions().mode();
        assert_eq!(mode & 0o777, MODE);
        drop(socket);
        assert_eq!(std::fs::read_dir(folder.path().join("deeper")).expect("folder").count(), 0);
    }

    #[tokio::test]
    async fn the_file_of_a_dead_daemon_is_replaced_and_a_live_one_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("agentd.sock");
        // Dropping the system's listener leaves the file, as a killed daemon does.
        drop(std::os::unix::net::UnixListener::bind(&path).expect("bound"));
        let live = Socket::bind(&path).expect("the dead one is replaced");
        let error = Socket::bind(&path).expect_err("the live one stays");
        assert!(error.to_string().contains("another agentd is running"), "{error}");
        assert!(UnixStream::connect(&path).is_ok());
        drop(live);
    }

    #[tokio::test]
    async fn what_is_not_a_socket_is_not_touched() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("precious");
        std::fs::write(&path, "words").expect("written");
        assert!(matches!(Socket::bind(&path), Err(HttpError::NotASocket { .. })));
        assert_eq!(std::fs::read_to_string(&path).expect("still there"), "words");
    }

    #[tokio::test]
    async fn a_socket_that_was_replaced_is_not_removed_by_its_former_owner() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("agentd.sock");
        let former = Socket::bind(&path).expect("bound");
        std::fs::remove_file(&path).expect("removed");
        let heir = Socket::bind(&path).expect("bound again");
        drop(former);
        assert!(UnixStream::connect(&path).is_ok());
        drop(heir);
    }
}
