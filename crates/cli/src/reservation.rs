//! Which ports the commands of this user that run now have taken for themselves. Between looking for
//! free ports and binding them time passes; what is reserved, no other command takes meanwhile.
//!
//! A reservation is a locked file `FIRST-LAST` in a folder of the user's. The lock goes with the
//! process, however it ends; a file without a lock means nothing and is removed by who finds it.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::ops::RangeInclusive;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::failure::Failure;

/// The file that is locked while reservations are looked at and made.
const GATE: &str = "gate";

/// How long to wait at the gate. Whoever is inside binds some thousand ports at the most.
const PATIENCE: Duration = Duration::from_secs(20);

/// Ports that are this process's, until it is dropped.
#[derive(Debug)]
pub struct Reservation {
    /// `None`: there is no place to write it down, so that nobody else knows.
    file: Option<(PathBuf, File)>,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        // The lock ends after the file is gone: its name is free for others, who make a new one.
        self.file.as_ref().map(|(path, _)| fs::remove_file(path));
    }
}

/// Ports that another command has reserved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Which.
    pub ports: RangeInclusive<u16>,
    /// Who: `splay run (process 4711)`.
    pub holder: String,
}

/// All reservations, while nobody else makes one.
#[derive(Debug)]
pub struct Reservations {
    /// Where they are, and the locked gate; `None`: nowhere.
    folder: Option<(PathBuf, File)>,
    taken: Vec<Taken>,
}

impl Reservations {
    /// Those of this user.
    pub fn open() -> Reservations {
        Reservations::of(&place())
    }

    /// Those of a folder, which is made if need be. Where that cannot be, there are none.
    fn of(folder: &Path) -> Reservations {
        match Reservations::read(folder) {
            Ok(reservations) => reservations,
            Err(error) => {
                tracing::debug!(%error, folder = %folder.display(), "ports cannot be reserved");
                Reservations { folder: None, taken: Vec::new() }
            }
        }
    }

    fn read(folder: &Path) -> io::Result<Reservations> {
        make_private(folder)?;
        let gate = lock_patiently(&folder.join(GATE))?;
        let mut taken = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let Some(ports) = entry.file_name().to_str().and_then(range) else { continue };
            let mut file = match File::open(entry.path()) {
                Ok(file) => file,
                // Its holder has just ended.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            match file.try_lock() {
                Ok(()) => drop(fs::remove_file(entry.path())),
                Err(TryLockError::WouldBlock) => {
                    let mut holder = String::new();
                    file.read_to_string(&mut holder)?;
                    taken.push(Taken { ports, holder });
                }
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Ok(Reservations { folder: Some((folder.to_owned(), gate)), taken })
    }

    /// Who has one of these ports.
    pub fn holder(&self, ports: &RangeInclusive<u16>) -> Option<&Taken> {
        self.taken
            .iter()
            .find(|taken| taken.ports.start() <= ports.end() && ports.start() <= taken.ports.end())
    }

    /// Takes the ports, which nobody has, and lets the next one in.
    pub fn take(self, ports: &RangeInclusive<u16>, command: &str) -> Result<Reservation, Failure> {
        let Some((folder, _gate)) = self.folder else { return Ok(Reservation { file: None }) };
        let path = folder.join(format!("{}-{}", ports.start(), ports.end()));
        let write = || {
            let mut file = private_file(&path)?;
            file.try_lock().map_err(io::Error::from)?;
            write!(file, "{command} (process {})", std::process::id())?;
            Ok(file)
        };
        let file = write().map_err(|source| Failure::Write { path: path.clone(), source })?;
        Ok(Reservation { file: Some((path, file)) })
    }
}

/// `20000-20004`.
fn range(name: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = name.split_once('-')?;
    Some(first.parse().ok()?..=last.parse().ok()?)
}

/// A folder of the user's that lasts no longer than the machine runs.
fn place() -> PathBuf {
    let user = rustix::process::getuid().as_raw();
    match std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_dir()) {
        Some(folder) => folder.join("splay-ports"),
        None => std::env::temp_dir().join(format!("splay-ports-{user}")),
    }
}

/// Makes the folder unless it is there, and is the user's alone.
fn make_private(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let about = fs::symlink_metadata(folder)?;
    let ours =
        about.is_dir() && about.uid() == rustix::process::getuid().as_raw() && about.mode() & 0o022 == 0;
    if ours { Ok(()) } else { Err(io::Error::other("the folder is someone else's")) }
}

fn private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(path)
}

fn lock_patiently(path: &Path) -> io::Result<File> {
    let file = private_file(path)?;
    let give_up = Instant::now() + PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < give_up => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_seen_until_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("ports");
        let kept = Reservations::of(&place).take(&(20_000..=20_004), "splay run").unwrap();
        let seen = Reservations::of(&place);
        let taken = seen.holder(&(20_004..=20_010)).unwrap();
        assert_eq!(taken.ports, 20_000..=20_004);
        assert_eq!(taken.holder, format!("splay run (process {})", std::process::id()));
        assert_eq!((seen.holder(&(20_005..=20_010)), seen.holder(&(1..=19_999))), (None, None));
        drop((seen, kept));
        assert_eq!(Reservations::of(&place).holder(&(1..=u16::MAX)), None);
        assert_eq!(fs::read_dir(&place).unwrap().count(), 1, "the gate alone");
    }

    #[test]
    fn what_a_dead_process_left_is_swept() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("20000-20004"), "splay run (process 1)").unwrap();
        assert_eq!(Reservations::of(folder.path()).holder(&(20_000..=20_000)), None);
        assert!(!folder.path().join("20000-20004").exists());
    }

    #[test]
    fn a_place_of_others_is_not_used() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let reservation = Reservations::of(folder.path()).take(&(1..=2), "splay run").unwrap();
        assert!(reservation.file.is_none() && fs::read_dir(folder.path()).unwrap().count() == 0);
    }
}
