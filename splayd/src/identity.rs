//! Who this splayd is and whom it belongs to: its Ed25519 key and the controller it has joined,
//! in the data folder, readable by its user alone.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde::{Deserialize, Serialize};

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file or folder cannot be used.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The key file holds no key.
    #[error("{0}: not an Ed25519 key; remove it and join again")]
    Key(PathBuf),
    /// The controller file is damaged.
    #[error("{path}: {message}; remove it and join again")]
    Controller {
        /// Which.
        path: PathBuf,
        /// How.
        message: String,
    },
    /// Another splayd uses the folder.
    #[error("{0}: in use by another splayd")]
    InUse(PathBuf),
}

/// The controller this splayd has joined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Controller {
    /// `https://host:port`.
    pub url: String,
    /// SHA-256 of its certificate, or empty.
    pub fingerprint: String,
    /// What the controller calls this splayd.
    pub splayd: String,
}

/// The data folder, held by this process.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    _lock: File,
}

impl DataFolder {
    /// Makes the folder if need be and takes hold of it: one splayd at a time.
    pub fn open(path: &Path) -> Result<DataFolder, IdentityError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| IdentityError::File { path, source }
        };
        // Others may pass through, as worker processes of another user do, but see nothing.
        std::fs::DirBuilder::new().recursive(true).mode(0o711).create(path).map_err(failed(path))?;
        let lock_path = path.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&lock_path)
            .map_err(failed(&lock_path))?;
        lock.try_lock().map_err(|error| match error {
            std::fs::TryLockError::WouldBlock => IdentityError::InUse(path.to_owned()),
            std::fs::TryLockError::Error(source) => IdentityError::File { path: lock_path, source },
        })?;
        Ok(DataFolder { path: path.to_owned(), _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The key, made at the first call.
    pub fn key(&self) -> Result<Key, IdentityError> {
        let path = self.path.join("key.pk8");
        let pair = match std::fs::read(&path) {
            Ok(bytes) => Ed25519KeyPair::from_pkcs8(&bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let bytes = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
                    .map_err(|_| IdentityError::Key(path.clone()))?;
                write_private(&path, bytes.as_ref())?;
                Ed25519KeyPair::from_pkcs8(bytes.as_ref())
            }
            Err(source) => return Err(IdentityError::File { path, source }),
        };
        pair.map(Key).map_err(|_| IdentityError::Key(path))
    }

    /// The controller, if one was joined.
    pub fn controller(&self) -> Result<Option<Controller>, IdentityError> {
        let path = self.path.join("controller.json");
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|error| IdentityError::Controller { path, message: error.to_string() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(IdentityError::File { path, source }),
        }
    }

    /// Remembers the controller.
    pub fn set_controller(&self, controller: &Controller) -> Result<(), IdentityError> {
        let bytes = serde_json::to_vec_pretty(controller).expect("three strings are JSON");
        write_private(&self.path.join("controller.json"), &bytes)
    }
}

/// Writes a file that only its owner may read, whole or not at all.
fn write_private(path: &Path, bytes: &[u8]) -> Result<(), IdentityError> {
    let new = path.with_extension("new");
    let write = || {
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&new, path)
    };
    write().map_err(|source| IdentityError::File { path: path.to_owned(), source })
}

/// The splayd's key.
pub struct Key(Ed25519KeyPair);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({})", hex::encode(self.public()))
    }
}

impl Key {
    /// The public half, 32 bytes.
    pub fn public(&self) -> &[u8] {
        self.0.public_key().as_ref()
    }

    /// Signs.
    pub fn sign(&self, text: &[u8]) -> Vec<u8> {
        self.0.sign(text).as_ref().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_kept_private() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataFolder::open(folder.path()).unwrap();
        let first = data.key().unwrap();
        assert_eq!(first.public(), data.key().unwrap().public());
        let mode = std::fs::metadata(folder.path().join("key.pk8")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(matches!(DataFolder::open(folder.path()), Err(IdentityError::InUse(_))));
    }

    #[test]
    fn a_damaged_key_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataFolder::open(folder.path()).unwrap();
        std::fs::write(folder.path().join("key.pk8"), "x").unwrap();
        assert!(
            data.key().unwrap_err().to_string().ends_with("not an Ed25519 key; remove it and join again")
        );
    }

    #[test]
    fn the_controller_is_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataFolder::open(folder.path()).unwrap();
        assert_eq!(data.controller().unwrap(), None);
        let controller =
            Controller { url: "https://a".into(), fingerprint: String::new(), splayd: "s1".into() };
        data.set_controller(&controller).unwrap();
        assert_eq!(data.controller().unwrap(), Some(controller));
    }
}
