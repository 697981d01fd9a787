//! A folder with a service in it: a log of changes, each batch on disk before anyone hears of it,
//! and from time to time a snapshot of everything, after which the older log goes.
//!
//! `log-N` has the changes after the first N, in records of one batch each; `snapshot-N` the state
//! after N. A record that the end of the machine has torn can only be the last: nothing in it was
//! acknowledged, and it is cut off. Anything else that is wrong is told, never repaired.

mod record;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::member::Member;
use crate::service::{Entry, Service, State};
use record::{Batch, Found};

/// Changes after which a snapshot is made, unless told otherwise: reading them again takes less
/// than a second.
pub const SNAPSHOT_EVERY: u64 = 50_000;

/// What can go wrong with a folder.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum DiskError {
    #[error("{action} `{}`: {source}", path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },
    #[error("`{}` is used by another process", .0.display())]
    Taken(PathBuf),
    #[error("`{}` is damaged at byte {offset}: {reason}", path.display())]
    Damaged { path: PathBuf, offset: u64, reason: String },
    #[error("`{}` has no log of the changes after number {after}", path.display())]
    Gap { path: PathBuf, after: u64 },
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DiskError {
    let path = path.to_owned();
    move |source| DiskError::File { action, path, source }
}

/// The folder of a running service.
#[derive(Debug)]
pub struct Disk {
    folder: PathBuf,
    /// Locked as long as it is open.
    _lock: File,
    log: File,
    log_path: PathBuf,
    /// Changes written.
    written: u64,
    /// How many there were at the last snapshot.
    kept: u64,
    every: u64,
    buffer: Vec<u8>,
}

/// Names that begin so, by their numbers.
fn numbered(folder: &Path, prefix: &str) -> Result<Vec<(u64, PathBuf)>, DiskError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed("read the folder", folder))? {
        let path = entry.map_err(failed("read the folder", folder))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix(prefix));
        if let Some(number) = name.and_then(|name| name.parse().ok()) {
            found.push((number, path));
        }
    }
    found.sort_unstable();
    Ok(found)
}

fn sync_folder(folder: &Path) -> Result<(), DiskError> {
    File::open(folder).and_then(|file| file.sync_all()).map_err(failed("write the folder", folder))
}

fn read(path: &Path) -> Result<Vec<u8>, DiskError> {
    let mut bytes = Vec::new();
    File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)).map_err(failed("read", path))?;
    Ok(bytes)
}

impl Disk {
    /// Opens a folder, or makes it, and gives the service that was in it, as of `now` (nanoseconds
    /// since 1970). `every`: changes after which a snapshot is made.
    pub fn open(folder: &Path, member: Member, now: i64, every: u64) -> Result<(Disk, Service), DiskError> {
        fs::create_dir_all(folder).map_err(failed("make the folder", folder))?;
        let lock_path = folder.join("lock");
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&lock_path);
        let lock = lock.map_err(failed("open", &lock_path))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| DiskError::Taken(folder.to_owned()))?;

        let mut service = match numbered(folder, "snapshot-")?.pop() {
            Some((_, path)) => {
                let state = record::snapshot(&read(&path)?).and_then(|state| {
                    Service::load(member, state, now).ok_or((0, "it is no tree of keys".to_owned()))
                });
                state.map_err(|(offset, reason)| DiskError::Damaged { path, offset, reason })?
            }
            None => Service::new(member, now),
        };
        let kept = service.applied();
        let logs = numbered(folder, "log-")?;
        let last = logs.len().saturating_sub(1);
        for (at, (_, path)) in logs.iter().enumerate() {
            replay(&mut service, path, at == last)?;
        }
        service.take_notices();
        let written = service.applied();
        let (log, log_path) = match logs.into_iter().next_back() {
            Some((_, path)) => {
                let log = OpenOptions::new().append(true).open(&path).map_err(failed("open", &path))?;
                (log, path)
            }
            None => new_log(folder, written)?,
        };
        let (folder, buffer) = (folder.to_owned(), Vec::new());
        Ok((Disk { folder, _lock: lock, log, log_path, written, kept, every, buffer }, service))
    }

    /// Writes changes, in one batch; when it returns they are on the disk. After an error nothing
    /// is certain any more: the folder must be opened again.
    pub fn append(&mut self, entries: &[Entry]) -> Result<(), DiskError> {
        self.buffer.clear();
        record::write(&mut self.buffer, &Batch { first: self.written + 1, entries: entries.into() });
        let written = self.log.write_all(&self.buffer).and_then(|()| self.log.sync_data());
        written.map_err(failed("write", &self.log_path))?;
        self.written += entries.len() as u64;
        Ok(())
    }

    /// It is time for a snapshot.
    pub fn wants_snapshot(&self) -> bool {
        self.written - self.kept >= self.every
    }

    /// Begins a new log; the snapshot of `state`, which has all that was written, is then to be
    /// kept. That may be done by another thread.
    pub fn begin_snapshot(&mut self, state: State) -> Result<Snapshot, DiskError> {
        (self.log, self.log_path) = new_log(&self.folder, self.written)?;
        self.kept = self.written;
        Ok(Snapshot { folder: self.folder.clone(), number: self.written, state })
    }
}

/// A snapshot that is to be kept.
#[derive(Debug)]
pub struct Snapshot {
    folder: PathBuf,
    number: u64,
    state: State,
}

impl Snapshot {
    /// Writes it, then removes what is older.
    pub fn keep(self) -> Result<(), DiskError> {
        let Snapshot { folder, number, state } = self;
        let (path, new) = (folder.join(format!("snapshot-{number:020}")), folder.join("new-snapshot"));
        let bytes = record::snapshot_bytes(&state);
        let write = || {
            let mut file = File::create(&new)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&new, &path)
        };
        write().map_err(failed("write", &new))?;
        sync_folder(&folder)?;
        for prefix in ["snapshot-", "log-"] {
            for (_, path) in numbered(&folder, prefix)?.into_iter().filter(|(older, _)| *older < number) {
                fs::remove_file(&path).map_err(failed("remove", &path))?;
            }
        }
        Ok(())
    }
}

fn new_log(folder: &Path, written: u64) -> Result<(File, PathBuf), DiskError> {
    let path = folder.join(format!("log-{written:020}"));
    let make = || {
        let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
        file.set_len(0)?;
        file.write_all(record::LOG)?;
        file.sync_all()?;
        Ok(file)
    };
    let file = make().map_err(failed("write", &path))?;
    sync_folder(folder)?;
    Ok((file, path))
}

/// Does again what a log says.
fn replay(service: &mut Service, path: &Path, last: bool) -> Result<(), DiskError> {
    let bytes = read(path)?;
    let damaged = |offset: usize, reason: &str| DiskError::Damaged {
        path: path.to_owned(),
        offset: offset as u64,
        reason: reason.to_owned(),
    };
    let mut at = 0;
    loop {
        let batch = match record::next(&bytes, at) {
            Found::Batch(batch, next) => {
                at = next;
                batch
            }
            Found::End => return Ok(()),
            Found::Torn if last => return cut(path, at),
            Found::Torn => {
                return Err(damaged(at, "the log ends within a record, and goes on in another file"));
            }
            Found::Damaged(at, reason) => return Err(damaged(at, reason)),
        };
        if batch.first > service.applied() + 1 {
            return Err(DiskError::Gap { path: path.to_owned(), after: service.applied() });
        }
        let done = (service.applied() + 1 - batch.first) as usize;
        for entry in batch.entries.into_owned().into_iter().skip(done) {
            service.apply(entry, true);
        }
    }
}

/// Removes a torn record, or writes the beginning of a log that was not even begun.
fn cut(path: &Path, at: usize) -> Result<(), DiskError> {
    let cut = || {
        let mut file = OpenOptions::new().write(true).open(path)?;
        file.set_len(at as u64)?;
        if at == 0 {
            file.write_all(record::LOG)?;
        }
        file.sync_all()
    };
    cut().map_err(failed("write", path))
}
