//! The memory of a nested state: one range of addresses, the same in every process, which can be
//! put back, byte for byte, into the condition it was frozen in. It also counts what is spent in
//! it: bytes now, and work over time.

use std::cell::{Cell, UnsafeCell};
use std::ffi::c_void;
use std::ptr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

use super::super::arena::{CLASSES, class_of, size_of_class};

/// Where the zones are: below the arenas of instances.
const BASE: usize = 0x0800_0000_0000;

/// Addresses of a zone: four times the most that may be used, since classes of blocks share nothing.
const ZONE_BYTES: usize = 4 * MAX_MEMORY_BYTES;

/// The most memory a budget can give.
pub const MAX_MEMORY_BYTES: usize = 64 << 20;

/// Zones at the same time: threads that run nested code, times kinds of it.
const ZONES: usize = 1024;

/// What is used beyond the frozen part is given back to the system if it was more than this.
const KEPT_BYTES: usize = 1 << 20;

/// A step of work for so many bytes that are asked for at once: clearing or copying them takes about
/// as long as an instruction.
const BYTES_PER_STEP: usize = 64;

/// Blocks smaller than this cost no step of their own.
const FREE_OF_CHARGE_BYTES: usize = 256;

static TAKEN: Mutex<[bool; ZONES]> = Mutex::new([false; ZONES]);

/// What became too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spent {
    /// Instructions and other work.
    Steps,
    /// Time of the clock.
    Time,
    /// Memory.
    Memory,
}

/// What the nested code may use.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// Instructions of the VM, and what natives do counted as such.
    pub steps: u64,
    /// Bytes of memory.
    pub memory_bytes: usize,
    /// When it is cut in any case; `None`: never.
    pub deadline: Option<Instant>,
}

/// What is counted.
pub(super) struct Account {
    base: usize,
    number: usize,
    /// First byte never handed out since the zone was put back, and the highest it was.
    unused: Cell<usize>,
    free: UnsafeCell<[usize; CLASSES]>,
    used: Cell<usize>,
    /// Bytes; 0: no limit.
    pub(super) limit: Cell<usize>,
    /// Steps left; below 0: spent.
    pub(super) steps: Cell<i64>,
    pub(super) deadline: Cell<Option<Instant>>,
    /// Set once something is spent.
    pub(super) spent: Cell<Option<Spent>>,
    frozen: UnsafeCell<Frozen>,
}

/// What a zone is put back to.
struct Frozen {
    image: Vec<u8>,
    free: [usize; CLASSES],
    used: usize,
}

impl Account {
    /// Takes the lowest free zone; `None` if its addresses cannot be had.
    pub(super) fn take() -> Option<Box<Account>> {
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        let number = taken.iter().position(|taken| !taken)?;
        let base = BASE + number * ZONE_BYTES;
        // SAFETY: with NOREPLACE nothing that is mapped is touched.
        let mapped = unsafe {
            mmap_anonymous(
                base as *mut c_void,
                ZONE_BYTES,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED_NOREPLACE,
            )
        };
        if mapped.ok()? as usize != base {
            return None;
        }
        taken[number] = true;
        Some(Box::new(Account {
            base,
            number,
            unused: Cell::new(base),
            free: UnsafeCell::new([0; CLASSES]),
            used: Cell::new(0),
            limit: Cell::new(0),
            steps: Cell::new(i64::MAX),
            deadline: Cell::new(None),
            spent: Cell::new(None),
            frozen: UnsafeCell::new(Frozen { image: Vec::new(), free: [0; CLASSES], used: 0 }),
        }))
    }

    /// Remembers what is in the zone now.
    pub(super) fn freeze(&self) {
        let length = self.unused.get() - self.base;
        // SAFETY: the bytes up to `unused` are mapped and belong to the zone, whose user waits; the
        // cells are used by nobody else meanwhile.
        unsafe {
            let image = std::slice::from_raw_parts(self.base as *const u8, length).to_vec();
            *self.frozen.get() = Frozen { image, free: *self.free.get(), used: self.used.get() };
        }
    }

    /// Puts the zone back into the condition it was frozen in.
    pub(super) fn restore(&self) {
        // SAFETY: as in `freeze`; nothing but the zone's own state refers to what lies in it, and
        // that state is put back with it.
        unsafe {
            let frozen = &*self.frozen.get();
            ptr::copy_nonoverlapping(frozen.image.as_ptr(), self.base as *mut u8, frozen.image.len());
            *self.free.get() = frozen.free;
            let end = self.base + frozen.image.len();
            if self.unused.get() > end + KEPT_BYTES {
                let first = end.next_multiple_of(PAGE_BYTES);
                let length = self.unused.get().next_multiple_of(PAGE_BYTES) - first;
                let _ = madvise(first as *mut c_void, length, Advice::LinuxDontNeed);
            }
            self.unused.set(end);
            self.used.set(frozen.used);
        }
        self.limit.set(0);
        self.steps.set(i64::MAX);
        self.deadline.set(None);
        self.spent.set(None);
    }

    /// Bytes in use.
    pub(super) fn used(&self) -> usize {
        self.used.get()
    }

    fn allocate(&self, bytes: usize) -> usize {
        let class = class_of(bytes);
        // SAFETY: a free block begins with the address of the next one of its class.
        unsafe {
            let free = &mut *self.free.get();
            let Some(head) = free.get_mut(class) else { return 0 };
            if *head != 0 {
                let block = *head;
                *head = *(block as *const usize);
                return block;
            }
        }
        let (at, size) = (self.unused.get(), size_of_class(class));
        if at + size > self.base + ZONE_BYTES {
            return 0;
        }
        self.unused.set(at + size);
        at
    }

    /// # Safety
    /// The block came from [`Account::allocate`] for that size and is not used any more.
    unsafe fn free(&self, block: usize, bytes: usize) {
        // SAFETY: as promised; blocks are at least as large as an address.
        unsafe {
            let free = &mut *self.free.get();
            let class = class_of(bytes);
            *(block as *mut usize) = free[class];
            free[class] = block;
        }
    }

    /// Allocates, frees and resizes as an allocator of Lua; null if the limit does not allow it.
    ///
    /// # Safety
    /// `block` is null, or came from this function for `old` bytes and is not used any more if the
    /// result is another one.
    pub(super) unsafe fn change(&self, block: *mut c_void, old: usize, new: usize) -> *mut c_void {
        let old = if block.is_null() { 0 } else { old };
        if new == 0 {
            if !block.is_null() {
                // SAFETY: as promised by the caller.
                unsafe { self.free(block as usize, old) };
                self.used.set(self.used.get() - old);
            }
            return ptr::null_mut();
        }
        let used = self.used.get() - old + new;
        let limit = self.limit.get();
        if new > old && limit > 0 && used > limit {
            return ptr::null_mut();
        }
        if new >= FREE_OF_CHARGE_BYTES {
            self.steps.set(self.steps.get() - (new / BYTES_PER_STEP) as i64);
        }
        if !block.is_null() && class_of(old) == class_of(new) {
            self.used.set(used);
            return block;
        }
        let moved = self.allocate(new) as *mut c_void;
        if !moved.is_null() {
            self.used.set(used);
            if !block.is_null() {
                // SAFETY: two blocks do not overlap, and hold so many bytes.
                unsafe {
                    ptr::copy_nonoverlapping(block.cast::<u8>(), moved.cast::<u8>(), old.min(new));
                    self.free(block as usize, old);
                }
            }
        }
        moved
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        // SAFETY: the state that lived here is forgotten.
        let _ = unsafe { munmap(self.base as *mut c_void, ZONE_BYTES) };
        TAKEN.lock().unwrap_or_else(PoisonError::into_inner)[self.number] = false;
    }
}

/// Pages of x86-64 and most others.
const PAGE_BYTES: usize = 4096;

/// The allocator of a nested state.
pub(super) unsafe extern "C" fn allocate(
    data: *mut c_void,
    block: *mut c_void,
    old: usize,
    new: usize,
) -> *mut c_void {
    // SAFETY: `data` is the account given to `lua_newstate`, blocks are its own.
    unsafe {
        let account = &*data.cast::<Account>();
        let given = account.change(block, old, new);
        if given.is_null() && new > 0 {
            account.spent.set(account.spent.get().or(Some(Spent::Memory)));
        }
        given
    }
}
