//! Files that systemd hands to the service, for secrets that are to lie nowhere in the clear.
//!
//! A config names one as `credential:NAME` where it would name a file. systemd puts it, as
//! `LoadCredential=NAME:PATH` or `LoadCredentialEncrypted=NAME:PATH` say, into a folder that only the
//! service can read and that never reaches a disk.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// What a path begins with that names a credential.
pub const PREFIX: &str = "credential:";
/// Where systemd says that the folder is.
const DIRECTORY: &str = "CREDENTIALS_DIRECTORY";

/// Why a credential cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// A name that systemd would not take either.
    #[error("`{PREFIX}{0}` names no credential: a name has 1 to 255 characters and no `/`")]
    Name(String),
    /// The daemon does not run as a service that is given any.
    #[error(
        "the credential `{0}` is there only for a service: add `LoadCredential={0}:FILE` with \
         `systemctl edit agentd` and start it with systemctl, or name a file instead"
    )]
    NoService(String),
    /// The service is given others.
    #[error(
        "the service is not given the credential `{0}`: add `LoadCredential={0}:FILE` with \
         `systemctl edit agentd`"
    )]
    NotGiven(String),
}

/// The file behind a path of the config: the path itself, or the credential that it names.
pub fn resolve(path: &Path) -> Result<PathBuf, CredentialError> {
    resolve_in(path, std::env::var_os(DIRECTORY).as_deref())
}

fn resolve_in(path: &Path, directory: Option<&OsStr>) -> Result<PathBuf, CredentialError> {
    let Some(name) = path.to_str().and_then(|path| path.strip_prefix(PREFIX)) else {
        return Ok(path.to_owned());
    };
    let owned = || name.to_owned();
    if name.is_empty() || name.len() > 255 || name.contains('/') || matches!(name, "." | "..") {
        return Err(CredentialError::Name(owned()));
    }
    let Some(directory) = directory.filter(|directory| !directory.is_empty()) else {
        return Err(CredentialError::NoService(owned()));
    };
    let file = Path::new(directory).join(name);
    if !file.is_file() {
        return Err(CredentialError::NotGiven(owned()));
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(path: &str, directory: Option<&Path>) -> Result<PathBuf, CredentialError> {
        resolve_in(Path::new(path), directory.map(Path::as_os_str))
    }

    #[test]
    fn a_path_is_itself_and_a_credential_is_a_file_of_the_services_folder() {
        let folder = tempfile::tempdir().expect("tempdir");
        std::fs::write(folder.path().join("mqtt-key"), "secret").expect("write");
        assert_eq!(resolved("/etc/key.pem", None), Ok("/etc/key.pem".into()));
        let given = resolved("credential:mqtt-key", Some(folder.path()));
        assert_eq!(given, Ok(folder.path().join("mqtt-key")));
    }

    #[test]
    fn what_is_not_given_says_what_to_add_to_the_unit() {
        let folder = tempfile::tempdir().expect("tempdir");
        for (directory, error) in [
            (None, CredentialError::NoService("key".into())),
            (Some(Path::new("")), CredentialError::NoService("key".into())),
            (Some(folder.path()), CredentialError::NotGiven("key".into())),
        ] {
            let refused = resolved("credential:key", directory).expect_err("not there");
            assert_eq!(refused, error);
            assert!(refused.to_string().contains("LoadCredential=key:FILE"), "{refused}");
        }
    }

    #[test]
    fn a_name_stays_in_the_folder_and_within_its_bound() {
        let folder = tempfile::tempdir().expect("tempdir");
        for name in ["", ".", "..", "../key", "a/b", &"x".repeat(256)] {
            let refused = resolved(&format!("credential:{name}"), Some(folder.path()));
            assert_eq!(refused, Err(CredentialError::Name(name.into())));
        }
        let longest = "x".repeat(255);
        std::fs::write(folder.path().join(&longest), "").expect("write");
        assert!(resolved(&format!("credential:{longest}"), Some(folder.path())).is_ok());
    }
}
