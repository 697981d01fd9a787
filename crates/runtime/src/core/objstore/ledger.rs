//! What the stores of a sandboxed instance take of its disk quota, together with its files: those of
//! `splay.restricted_io` are told of by that library, and it asks for what is here.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use splay_objstore::{Bounded, Space};

use crate::host::{Mode, Sandbox};
use crate::vm::Ctx;

/// Names of the folders of stores begin with this; no file of the program can be called so.
const PREFIX: &str = "objstore_";

/// Files, and open ones, of an open store with a directory: its log and its lock.
pub(crate) const STORE_FILES: u32 = 2;

/// Use of the quota.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    read: Cell<bool>,
    /// Bytes, files and open files of `splay.restricted_io`.
    pub(crate) io: Cell<(u64, u32, u32)>,
    /// Bytes of open stores, in memory or not.
    bytes: Cell<u64>,
    /// Open stores with a directory.
    open: Cell<u32>,
    /// Bytes of stores that are not open, by folder.
    closed: RefCell<BTreeMap<String, u64>>,
}

fn folder_bytes(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|data| data.len()).sum()
}

impl Disk {
    /// That of the instance. Stores of earlier runs count from the first use on.
    pub(crate) fn of(cx: &Ctx) -> Rc<Disk> {
        let disk = cx.extension::<Disk>();
        if let Mode::Sandboxed(sandbox) = cx.mode()
            && !disk.read.replace(true)
        {
            let entries = std::fs::read_dir(&sandbox.directory).into_iter().flatten().flatten();
            for entry in entries {
                let name = entry.file_name().to_string_lossy().into_owned();
                if name.starts_with(PREFIX) {
                    disk.closed.borrow_mut().insert(name, folder_bytes(&entry.path()));
                }
            }
        }
        disk
    }

    /// Bytes, files and open files of stores.
    pub(crate) fn stores(&self) -> (u64, u32, u32) {
        let closed = self.closed.borrow();
        let bytes = self.bytes.get() + closed.values().sum::<u64>();
        let files = STORE_FILES * (self.open.get() + closed.len() as u32);
        (bytes, files, STORE_FILES * self.open.get())
    }

    fn used(&self) -> u64 {
        self.stores().0 + self.io.get().0
    }
}

/// The space of one store: its own bound, and the instance's quota if there is one.
#[derive(Debug)]
pub(crate) struct Ledger {
    own: Bounded,
    quota: Option<(Rc<Disk>, u64)>,
    /// What was asked for in vain, for the host to be told.
    pub(crate) refused: Cell<u64>,
}

impl Ledger {
    /// Of a store that may have so many bytes.
    pub(crate) fn new(cx: &Ctx, max_bytes: u64) -> Rc<Ledger> {
        let quota = match cx.mode() {
            Mode::Sandboxed(sandbox) => Some((Disk::of(cx), sandbox.max_disk_bytes)),
            _ => None,
        };
        Rc::new(Ledger { own: Bounded::new(max_bytes), quota, refused: Cell::new(0) })
    }

    /// Tells the host if the instance's quota refused something.
    pub(crate) fn tell(&self, cx: &Ctx) {
        let refused = self.refused.take();
        if let (true, Some((_, allowed))) = (refused > 0, &self.quota) {
            cx.limit_met("max_disk_bytes", *allowed, refused);
        }
    }
}

impl Space for Ledger {
    fn room(&self) -> u64 {
        let quota = self.quota.as_ref().map_or(u64::MAX, |(disk, most)| most.saturating_sub(disk.used()));
        let own = self.own.room();
        if quota < own {
            // A transaction that needs more is refused before anything is reserved.
            self.refused.set(self.quota.as_ref().map_or(0, |(_, most)| most + 1));
        }
        own.min(quota)
    }

    fn reserve(&self, bytes: u64) -> bool {
        if let Some((disk, most)) = &self.quota {
            let reached = disk.used() + bytes;
            if reached > *most {
                self.refused.set(reached);
                return false;
            }
        }
        let reserved = self.own.reserve(bytes);
        if let (true, Some((disk, _))) = (reserved, &self.quota) {
            disk.bytes.set(disk.bytes.get() + bytes);
        }
        reserved
    }

    fn release(&self, bytes: u64) {
        self.own.release(bytes);
        if let Some((disk, _)) = &self.quota {
            disk.bytes.set(disk.bytes.get().saturating_sub(bytes));
        }
    }
}

/// Where a store's directory is. In the sandbox any name is a folder of the instance's own, which
/// counts as open until this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    /// The folder.
    pub(crate) path: PathBuf,
    counted: Option<(Rc<Disk>, String)>,
}

impl Place {
    /// Finds the folder of a name; the error is a limit that does not allow another open store.
    pub(crate) fn take(cx: &Ctx, name: &str) -> Result<Place, String> {
        let Mode::Sandboxed(sandbox) = cx.mode() else {
            return Ok(Place { path: PathBuf::from(name), counted: None });
        };
        let disk = Disk::of(cx);
        let folder = format!("{PREFIX}{}", crate::core::crypto::md5_of(name.as_bytes()));
        check_limits(cx, sandbox, &disk, &folder)?;
        disk.closed.borrow_mut().remove(&folder);
        disk.open.set(disk.open.get() + 1);
        Ok(Place { path: sandbox.directory.join(&folder), counted: Some((disk, folder)) })
    }
}

fn check_limits(cx: &Ctx, sandbox: &Sandbox, disk: &Disk, folder: &str) -> Result<(), String> {
    let (_, io_files, io_open) = disk.io.get();
    let (_, files, open) = disk.stores();
    let known = disk.closed.borrow().contains_key(folder);
    let files = files + io_files + if known { 0 } else { STORE_FILES };
    if files > sandbox.max_files {
        cx.limit_met("max_files", sandbox.max_files.into(), files.into());
        return Err("Maximum number of files reached.".to_owned());
    }
    let open = open + io_open + STORE_FILES;
    if open > sandbox.max_file_descriptors {
        cx.limit_met("max_file_descriptors", sandbox.max_file_descriptors.into(), open.into());
        return Err("Maximum file descriptors reached".to_owned());
    }
    Ok(())
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some((disk, folder)) = self.counted.take() {
            disk.open.set(disk.open.get() - 1);
            disk.closed.borrow_mut().insert(folder, folder_bytes(&self.path));
        }
    }
}
