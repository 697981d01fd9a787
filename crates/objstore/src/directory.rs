//! A store's directory: one log of changes, each with a checksum. What a crash tore off at its end
//! is dropped when it is opened; damage anywhere else is an error. A log that has grown is written
//! anew beside the old one and takes its place at once.
//!
//! `objects.N` (N: a generation, 16 hexadecimal digits) begins with eight bytes of its own; then records: marker,
//! length, CRC-32 of the length and the payload (each four bytes, little-endian), payload.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::fs::FlockOperation;
use splay_protocol::Errno;

use crate::changes::Changes;
use crate::space::Space;

/// First bytes of a log.
const MAGIC: &[u8; 8] = b"SPLYOBJ1";

/// First bytes of a record: what follows damage is found by them.
const MARKER: &[u8; 4] = b"\xf5OR\n";

const HEAD_BYTES: usize = 12;

/// When the system is told to write the log to the disk. Whatever it is, a commit survives the end
/// of the program, by `kill -9` too: it has left the program when it is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flush {
    /// Before each commit is acknowledged: it survives the end of the machine.
    EachCommit,
    /// At a commit, if the last time is a second ago or more, and in the end.
    EachSecond,
    /// When the system sees fit.
    Never,
}

/// Why a directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// Something the system does not do.
    #[error("{action} `{path}`: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Another store has it open.
    #[error("`{0}` is in use")]
    InUse(PathBuf),
    /// The log is damaged elsewhere than at its end.
    #[error("`{path}` is damaged at byte {offset}: a record that was acknowledged cannot be read")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Where.
        offset: u64,
    },
    /// There is no room for more.
    #[error("no room in the store")]
    Full,
    /// An earlier write failed in a way that leaves open what the disk has.
    #[error("an earlier write to `{0}` failed: open the store anew")]
    Broken(PathBuf),
}

impl DirectoryError {
    /// The number a client is told.
    pub fn errno(&self) -> Errno {
        match self {
            DirectoryError::Full => Errno::ENOSPC,
            DirectoryError::Io { source, .. } => source.raw_os_error().map_or(Errno::EIO, Errno),
            _ => Errno::EIO,
        }
    }
}

type Outcome<T> = Result<T, DirectoryError>;

/// Directories this process has open: the locks of files do not tell a process from itself.
static OPEN: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// Keeps others out of a directory.
#[derive(Debug)]
struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    fn take(folder: &Path) -> Outcome<Lock> {
        let path = folder.canonicalize().map_err(|source| failed("open", folder, source))?;
        if !OPEN.lock().unwrap_or_else(PoisonError::into_inner).insert(path.clone()) {
            return Err(DirectoryError::InUse(folder.to_owned()));
        }
        let name = path.join("lock");
        let taken = OpenOptions::new().create(true).truncate(false).write(true).open(&name);
        let taken =
            taken.map_err(|source| failed("open", &name, source)).and_then(
                |file| match rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
                    Ok(()) => Ok(file),
                    Err(_) => Err(DirectoryError::InUse(folder.to_owned())),
                },
            );
        match taken {
            Ok(file) => Ok(Lock { path, _file: file }),
            Err(error) => {
                OPEN.lock().unwrap_or_else(PoisonError::into_inner).remove(&path);
                Err(error)
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        OPEN.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.path);
    }
}

/// An open directory.
pub struct Directory {
    folder: PathBuf,
    path: PathBuf,
    generation: u64,
    file: File,
    length: u64,
    flush: Flush,
    flushed: Duration,
    dirty: bool,
    broken: bool,
    space: Rc<dyn Space>,
    record: Vec<u8>,
    _lock: Lock,
}

impl std::fmt::Debug for Directory {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Directory").field("path", &self.path).field("length", &self.length).finish()
    }
}

fn failed(action: &'static str, path: &Path, source: std::io::Error) -> DirectoryError {
    DirectoryError::Io { action, path: path.to_owned(), source }
}

fn log_path(folder: &Path, generation: u64) -> PathBuf {
    folder.join(format!("objects.{generation:016x}"))
}

fn checksum(length: &[u8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(length);
    hasher.update(payload);
    hasher.finalize()
}

fn frame(record: &mut Vec<u8>, payload: &[u8]) {
    let length = u32::try_from(payload.len()).expect("changes are smaller than 4 GiB").to_le_bytes();
    record.extend_from_slice(MARKER);
    record.extend_from_slice(&length);
    record.extend_from_slice(&checksum(&length, payload).to_le_bytes());
    record.extend_from_slice(payload);
}

/// The payload of the record at the beginning of some bytes, if it is whole.
fn record_at(bytes: &[u8]) -> Option<&[u8]> {
    let head = bytes.get(..HEAD_BYTES).filter(|head| head.starts_with(MARKER))?;
    let length = u32::from_le_bytes(head[4..8].try_into().expect("four bytes")) as usize;
    let sum = u32::from_le_bytes(head[8..].try_into().expect("four bytes"));
    let payload = bytes.get(HEAD_BYTES..HEAD_BYTES.checked_add(length)?)?;
    (checksum(&head[4..8], payload) == sum).then_some(payload)
}

/// Calls `found` with every record; returns how many bytes are good.
fn scan(path: &Path, bytes: &[u8], mut found: impl FnMut(Changes)) -> Outcome<usize> {
    let mut at = MAGIC.len();
    while at < bytes.len() {
        let changes = record_at(&bytes[at..]).map(|payload| (payload.len(), Changes::decode(payload)));
        let Some((length, changes)) = changes else {
            // Torn at the end, unless something that was written later is whole.
            let later = &bytes[at + 1..];
            let mut markers = later.windows(MARKER.len()).enumerate().filter(|(_, window)| window == MARKER);
            if markers.any(|(from, _)| record_at(&later[from..]).is_some()) {
                return Err(DirectoryError::Damaged { path: path.to_owned(), offset: at as u64 });
            }
            break;
        };
        let damaged = |_| DirectoryError::Damaged { path: path.to_owned(), offset: at as u64 };
        found(changes.map_err(damaged)?);
        at += HEAD_BYTES + length;
    }
    Ok(at)
}

impl Directory {
    /// Opens a directory, or makes one. `found` hears all changes in it, in order.
    pub fn open(
        folder: &Path,
        flush: Flush,
        space: Rc<dyn Space>,
        found: impl FnMut(Changes),
    ) -> Outcome<Directory> {
        std::fs::create_dir_all(folder).map_err(|source| failed("make the folder", folder, source))?;
        let lock = Lock::take(folder)?;
        let mut generations = Vec::new();
        let entries = std::fs::read_dir(folder).map_err(|source| failed("read", folder, source))?;
        for entry in entries {
            let entry = entry.map_err(|source| failed("read", folder, source))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(number) = name.strip_prefix("objects.") else { continue };
            match u64::from_str_radix(number, 16).ok().filter(|_| number.len() == 16) {
                Some(generation) => generations.push(generation),
                // One that was being written when the program ended.
                None if name.ends_with(".new") => drop(std::fs::remove_file(entry.path())),
                None => {}
            }
        }
        generations.sort_unstable();
        let generation = generations.pop().unwrap_or(1);
        // The newest took the place of the others when it was whole.
        for old in generations {
            let _ = std::fs::remove_file(log_path(folder, old));
        }
        let path = log_path(folder, generation);
        let opened = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path);
        let mut file = opened.map_err(|source| failed("open", &path, source))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|source| failed("read", &path, source))?;
        let length = if bytes.starts_with(MAGIC) {
            scan(&path, &bytes, found)? as u64
        } else if MAGIC.starts_with(&bytes) {
            // New, or torn before its first record.
            file.set_len(0)
                .and_then(|()| file.seek(SeekFrom::Start(0)))
                .and_then(|_| file.write_all(MAGIC))
                .map_err(|source| failed("write", &path, source))?;
            MAGIC.len() as u64
        } else {
            return Err(DirectoryError::Damaged { path, offset: 0 });
        };
        if length < bytes.len() as u64 {
            file.set_len(length).map_err(|source| failed("cut", &path, source))?;
        }
        file.seek(SeekFrom::Start(length)).map_err(|source| failed("read", &path, source))?;
        if !space.reserve(length) {
            return Err(DirectoryError::Full);
        }
        let mut directory = Directory {
            folder: folder.to_owned(),
            path,
            generation,
            file,
            length,
            flush,
            flushed: Duration::ZERO,
            dirty: true,
            broken: false,
            space,
            record: Vec::new(),
            _lock: lock,
        };
        if flush != Flush::Never {
            directory.flush()?;
            directory.flush_folder()?;
        }
        Ok(directory)
    }

    /// Bytes of its log.
    pub fn bytes(&self) -> u64 {
        self.length
    }

    /// Appends changes. When it returns, they survive as [`Flush`] says.
    pub fn append(&mut self, payload: &[u8], at: Duration) -> Outcome<()> {
        if self.broken {
            return Err(DirectoryError::Broken(self.path.clone()));
        }
        self.record.clear();
        frame(&mut self.record, payload);
        let length = self.record.len() as u64;
        if !self.space.reserve(length) {
            return Err(DirectoryError::Full);
        }
        if let Err(source) = self.file.write_all(&self.record) {
            self.space.release(length);
            // What was written of it goes; if that fails too, the next opening cuts it.
            let undone = self.file.set_len(self.length);
            let undone = undone.and_then(|()| self.file.seek(SeekFrom::Start(self.length)));
            self.broken = undone.is_err();
            return Err(failed("write", &self.path, source));
        }
        self.length += length;
        self.dirty = true;
        let due = match self.flush {
            Flush::EachCommit => true,
            Flush::EachSecond => at >= self.flushed + Duration::from_secs(1),
            Flush::Never => false,
        };
        if due {
            self.flush()?;
            self.flushed = at;
        }
        Ok(())
    }

    /// Has the system write all to the disk.
    pub fn flush(&mut self) -> Outcome<()> {
        if self.broken {
            return Err(DirectoryError::Broken(self.path.clone()));
        }
        if self.dirty {
            self.file.sync_data().map_err(|source| {
                // Nobody knows what the disk has now.
                self.broken = true;
                failed("flush", &self.path, source)
            })?;
            self.dirty = false;
        }
        Ok(())
    }

    fn flush_folder(&self) -> Outcome<()> {
        let flushed = File::open(&self.folder).and_then(|folder| folder.sync_all());
        flushed.map_err(|source| failed("flush", &self.folder, source))
    }

    /// Replaces the log by one with these records. If that fails, the old one stays.
    pub fn rewrite(&mut self, payloads: impl Iterator<Item = Vec<u8>>) -> Outcome<()> {
        if self.broken {
            return Err(DirectoryError::Broken(self.path.clone()));
        }
        let generation = self.generation + 1;
        let path = log_path(&self.folder, generation);
        let new = path.with_extension(format!("{generation:016x}.new"));
        let mut reserved = 0;
        let written = self.write_log(&new, payloads, &mut reserved).and_then(|written| {
            std::fs::rename(&new, &path).map_err(|source| failed("rename", &new, source))?;
            Ok(written)
        });
        let (file, length) = match written {
            Ok(written) => written,
            Err(error) => {
                let _ = std::fs::remove_file(&new);
                self.space.release(reserved);
                return Err(error);
            }
        };
        let old = std::mem::replace(&mut self.path, path);
        self.space.release(self.length);
        (self.file, self.length, self.generation, self.dirty) = (file, length, generation, false);
        if self.flush != Flush::Never {
            // Without that the machine's end could bring the old log back, without what comes now.
            if let Err(error) = self.flush_folder() {
                self.broken = true;
                return Err(error);
            }
        }
        let _ = std::fs::remove_file(old);
        Ok(())
    }

    fn write_log(
        &self,
        path: &Path,
        payloads: impl Iterator<Item = Vec<u8>>,
        reserved: &mut u64,
    ) -> Outcome<(File, u64)> {
        let opened = OpenOptions::new().create(true).truncate(true).read(true).write(true).open(path);
        let mut file = opened.map_err(|source| failed("open", path, source))?;
        let mut buffer = MAGIC.to_vec();
        let mut put = |buffer: &mut Vec<u8>| {
            if !self.space.reserve(buffer.len() as u64) {
                return Err(DirectoryError::Full);
            }
            *reserved += buffer.len() as u64;
            file.write_all(buffer).map_err(|source| failed("write", path, source))?;
            buffer.clear();
            Ok(())
        };
        for payload in payloads {
            frame(&mut buffer, &payload);
            if buffer.len() >= 1 << 20 {
                put(&mut buffer)?;
            }
        }
        put(&mut buffer)?;
        if self.flush != Flush::Never {
            file.sync_data().map_err(|source| failed("flush", path, source))?;
        }
        let length = *reserved;
        Ok((file, length))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if self.flush == Flush::EachSecond && !self.broken {
            let _ = self.flush();
        }
        self.space.release(self.length);
    }
}
