//! A store: its objects, their versions, what they count for; memory alone, or with a directory
//! that has every change before it is there for others.

use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use splay_protocol::Errno;

use crate::changes::{Changes, DecodeError, Mutation};
use crate::directory::{Directory, DirectoryError, Flush};
use crate::object::{Object, apply};
use crate::space::Space;
use crate::transaction::Transaction;

/// What an object counts for beside its name and what it holds.
const SLOT_BYTES: u64 = 64;

/// A log is rewritten when it is so much larger than twice what the store holds: seldom enough that
/// each byte is rewritten about once.
const TIDY_BYTES: u64 = 1 << 20;

/// Bounds on one object and one transaction.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Largest data of an object.
    pub max_object_bytes: u64,
    /// What the changes of one transaction may hold.
    pub max_transaction_bytes: u64,
}

impl Default for Limits {
    /// 128 MiB, as RADOS has it, for both.
    fn default() -> Self {
        Limits { max_object_bytes: 128 << 20, max_transaction_bytes: 128 << 20 }
    }
}

/// What a transaction has become, to be committed to the store it was begun on.
#[derive(Debug)]
pub struct Draft {
    pub(crate) oid: Vec<u8>,
    pub(crate) base: u64,
    pub(crate) at: Duration,
    pub(crate) bytes: u64,
    pub(crate) mutations: Vec<Mutation>,
}

/// Why something is not stored.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no room for it.
    #[error("no room in the store")]
    Full,
    /// The object has changed since the transaction began.
    #[error("the object has changed since the transaction began")]
    Stale,
    /// The directory does not take it.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
}

impl StoreError {
    /// The number a client is told.
    pub fn errno(&self) -> Errno {
        match self {
            StoreError::Full => Errno::ENOSPC,
            StoreError::Stale => Errno::ESTALE,
            StoreError::Directory(error) => error.errno(),
        }
    }
}

/// What became of changes from another store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// They are here now.
    Done,
    /// They were here before: the object has this version or a later one.
    Known,
}

/// Why changes from another store are not applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// They are none.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// Changes between this store's version of the object and theirs are missing.
    #[error("changes of the object from version {have} to {base} are missing")]
    Gap {
        /// Version here.
        have: u64,
        /// Version that they change.
        base: u64,
    },
    /// They do not fit the object.
    #[error("changes that do not fit: {0}")]
    Misfit(Errno),
    /// They cannot be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statistics {
    /// Objects that are there.
    pub objects: u64,
    /// What all counts for: [`Object::bytes`], names, removed objects that are remembered.
    pub bytes: u64,
    /// Bytes of the files of its directory; 0 without one.
    pub disk_bytes: u64,
    /// Highest version given so far.
    pub version: u64,
}

/// An object that is there or was, and its last version.
#[derive(Debug, Default)]
struct Slot {
    object: Option<Object>,
    version: u64,
    /// What it counts for, its name included.
    bytes: u64,
}

/// An object store.
pub struct Store {
    slots: BTreeMap<Vec<u8>, Slot>,
    objects: u64,
    bytes: u64,
    version: u64,
    limits: Limits,
    space: Rc<dyn Space>,
    directory: Option<Directory>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Store").field("statistics", &self.statistics()).finish_non_exhaustive()
    }
}

fn name_bytes(oid: &[u8]) -> u64 {
    oid.len() as u64 + SLOT_BYTES
}

impl Store {
    /// A store in memory, whose bytes are taken from `space`.
    pub fn memory(limits: Limits, space: Rc<dyn Space>) -> Store {
        Store { slots: BTreeMap::new(), objects: 0, bytes: 0, version: 0, limits, space, directory: None }
    }

    /// A store in memory and in a directory, which is made if need be. What the directory's files
    /// have is taken from `space`, objects count for nothing beside.
    pub fn open(
        path: &Path,
        flush: Flush,
        limits: Limits,
        space: Rc<dyn Space>,
    ) -> Result<Store, StoreError> {
        let mut store = Store::memory(limits, space.clone());
        let directory = Directory::open(path, flush, space, |changes| {
            store.take(changes);
        })?;
        for (oid, slot) in &mut store.slots {
            slot.bytes = name_bytes(oid) + slot.object.as_ref().map_or(0, Object::bytes);
            store.bytes += slot.bytes;
        }
        store.directory = Some(directory);
        Ok(store)
    }

    /// Makes changes that fit part of the objects.
    fn take(&mut self, changes: Changes) -> &mut Slot {
        let slot = self.slots.entry(changes.oid).or_default();
        let before = slot.object.is_some();
        if changes.whole {
            slot.object = None;
        }
        for mutation in changes.mutations {
            apply(&mut slot.object, mutation);
        }
        if let Some(object) = &mut slot.object {
            object.mtime = changes.at;
        }
        slot.version = changes.version;
        self.version = self.version.max(changes.version);
        self.objects = self.objects + u64::from(slot.object.is_some()) - u64::from(before);
        slot
    }

    /// What it holds.
    pub fn statistics(&self) -> Statistics {
        let disk_bytes = self.directory.as_ref().map_or(0, Directory::bytes);
        Statistics { objects: self.objects, bytes: self.bytes, disk_bytes, version: self.version }
    }

    /// An object as it is.
    pub fn object(&self, oid: &[u8]) -> Option<&Object> {
        self.slots.get(oid)?.object.as_ref()
    }

    /// Version of an object, also of one that was removed; 0: there never was one.
    pub fn version(&self, oid: &[u8]) -> u64 {
        self.slots.get(oid).map_or(0, |slot| slot.version)
    }

    /// Names, versions and presence of all objects that are there or were, in the order of names.
    pub fn versions(&self) -> impl Iterator<Item = (&[u8], u64, bool)> {
        self.slots.iter().map(|(oid, slot)| (oid.as_slice(), slot.version, slot.object.is_some()))
    }

    /// At most `max` names of objects that are there, after a name, in order.
    pub fn names(&self, after: &[u8], max: usize) -> Vec<&[u8]> {
        let range = (std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded);
        let there = self.slots.range::<[u8], _>(range).filter(|(_, slot)| slot.object.is_some());
        there.map(|(oid, _)| oid.as_slice()).take(max).collect()
    }

    /// Begins a transaction on one object. Nothing is locked: when it is committed the object must
    /// be as it is now.
    pub fn begin<'a>(&'a self, oid: &'a [u8], now: Duration) -> Transaction<'a> {
        let slot = self.slots.get(oid);
        let base = slot.and_then(|slot| slot.object.as_ref());
        let (bytes, version) = slot.map_or((0, 0), |slot| (slot.bytes, slot.version));
        Transaction::new(oid, base, bytes, name_bytes(oid), version, now, self.limits, self.space.room())
    }

    /// Commits what a transaction has become: in the directory first, then in memory. The changes
    /// are returned as data if `ship`, for other stores.
    pub fn commit(&mut self, draft: Draft, ship: bool) -> Result<(u64, Option<Vec<u8>>), StoreError> {
        if self.version(&draft.oid) != draft.base {
            return Err(StoreError::Stale);
        }
        let version = self.version + 1;
        let changes = Changes {
            oid: draft.oid,
            base: draft.base,
            version,
            at: draft.at,
            whole: false,
            mutations: draft.mutations,
        };
        let encoded = (ship || self.directory.is_some()).then(|| changes.encode());
        self.enact(changes, draft.bytes, encoded.as_deref())?;
        Ok((version, encoded.filter(|_| ship)))
    }

    /// Makes changes part of the store. `bytes`: what the object counts for afterwards.
    fn enact(&mut self, changes: Changes, bytes: u64, encoded: Option<&[u8]>) -> Result<(), StoreError> {
        // A removed object is remembered by its name and version.
        let bytes = bytes.max(name_bytes(&changes.oid));
        let before = self.slots.get(&changes.oid).map_or(0, |slot| slot.bytes);
        if self.directory.is_some() {
            self.write(encoded.expect("encoded for the directory"), changes.at)?;
        } else if bytes > before && !self.space.reserve(bytes - before) {
            return Err(StoreError::Full);
        } else if bytes < before {
            self.space.release(before - bytes);
        }
        self.bytes = self.bytes + bytes - before;
        self.take(changes).bytes = bytes;
        self.tidy();
        Ok(())
    }

    /// Appends to the directory's log, which is first rewritten if there is no room otherwise.
    fn write(&mut self, encoded: &[u8], at: Duration) -> Result<(), StoreError> {
        let directory = self.directory.as_mut().expect("a store with a directory");
        match directory.append(encoded, at) {
            Err(DirectoryError::Full) if directory.bytes() > self.bytes + self.bytes / 2 => {}
            other => return Ok(other?),
        }
        self.rewrite()?;
        Ok(self.directory.as_mut().expect("a store with a directory").append(encoded, at)?)
    }

    /// Rewrites the log where most of it is of no use any more.
    fn tidy(&mut self) {
        let Some(directory) = &self.directory else { return };
        // The new log needs room beside the old one, so it is made while there is some.
        let garbage = directory.bytes().saturating_sub(2 * self.bytes);
        if garbage > TIDY_BYTES || garbage > 0 && self.space.room() < directory.bytes() {
            // The log is whole as it is; a rewriting that fails is tried again after the next commit.
            let _ = self.rewrite();
        }
    }

    /// Makes the directory's log say what there is, and no more.
    fn rewrite(&mut self) -> Result<(), DirectoryError> {
        let Some(directory) = &mut self.directory else { return Ok(()) };
        let whole = |(oid, slot): (&Vec<u8>, &Slot)| whole(oid, slot).encode();
        directory.rewrite(self.slots.iter().map(whole))
    }

    /// Makes sure that all commits survive the end of the machine.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        match &mut self.directory {
            Some(directory) => Ok(directory.flush()?),
            None => Ok(()),
        }
    }

    /// Forgets the names and versions of removed objects, which count for bytes; returns how many
    /// there were. Another store that still has such an object can then bring it back.
    pub fn forget_removed(&mut self) -> Result<u64, StoreError> {
        let (mut count, mut bytes) = (0, 0);
        self.slots.retain(|_, slot| {
            if slot.object.is_none() {
                count += 1;
                bytes += slot.bytes;
            }
            slot.object.is_some()
        });
        self.bytes -= bytes;
        match self.directory {
            Some(_) => self.rewrite()?,
            None => self.space.release(bytes),
        }
        Ok(count)
    }

    // ---- other stores ------------------------------------------------------------------------

    /// Applies changes that another store made (see [`Store::commit`] and [`Store::whole`]). With
    /// `force` a whole object replaces the one here even if that has the same or a later version:
    /// where two stores have gone different ways, and the caller knows which one counts.
    pub fn apply(&mut self, encoded: &[u8], force: bool) -> Result<Applied, ApplyError> {
        let changes = Changes::decode(encoded)?;
        let slot = self.slots.get(&changes.oid);
        let have = slot.map_or(0, |slot| slot.version);
        if changes.version <= have && !(force && changes.whole) {
            return Ok(Applied::Known);
        }
        if !changes.whole && changes.base != have {
            return Err(ApplyError::Gap { have, base: changes.base });
        }
        let bytes = {
            let held = slot.map_or(0, |slot| slot.bytes);
            let object = slot.and_then(|slot| slot.object.as_ref()).filter(|_| !changes.whole);
            let (oid, room) = (changes.oid.as_slice(), self.space.room());
            let limits = Limits { max_transaction_bytes: u64::MAX, ..self.limits };
            let name = name_bytes(oid);
            let mut trial = Transaction::new(oid, object, held, name, have, changes.at, limits, room);
            for mutation in &changes.mutations {
                trial.repeat(mutation).map_err(|error| match error {
                    Errno::ENOSPC => ApplyError::Store(StoreError::Full),
                    error => ApplyError::Misfit(error),
                })?;
            }
            trial.bytes()
        };
        self.enact(changes, bytes, Some(encoded))?;
        Ok(Applied::Done)
    }

    /// All there is of an object, removed ones too, as changes for another store; `None` if there
    /// never was one.
    pub fn whole(&self, oid: &[u8]) -> Option<Vec<u8>> {
        self.slots.get_key_value(oid).map(|(oid, slot)| whole(oid, slot).encode())
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if self.directory.is_none() {
            self.space.release(self.bytes);
        }
    }
}

fn whole(oid: &[u8], slot: &Slot) -> Changes {
    let (at, mutations) = match &slot.object {
        Some(object) => (object.mtime, object.mutations()),
        None => (Duration::ZERO, Vec::new()),
    };
    Changes { oid: oid.to_vec(), base: 0, version: slot.version, at, whole: true, mutations }
}
