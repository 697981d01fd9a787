//! Memory for Lua heaps at addresses that are the same in every process: the order of `pairs` over
//! keys that are tables or functions, and what `tostring` shows of them, follow from addresses.
//!
//! One range of addresses is reserved per process and cut into arenas of one size, one for each
//! heap. Inside an arena blocks come from lists of free blocks by size class, or from its unused
//! end: what is handed out depends on the calls alone. Pages are the kernel's until touched.

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::ptr;
use std::sync::{Mutex, OnceLock};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous};

/// Where the range begins: below what Linux gives to programs and libraries on 64-bit machines,
/// and within the 47 bits a LuaJIT pointer has.
const BASE: usize = 0x1000_0000_0000;

/// Size of an arena: the most a Lua heap in it can hold.
pub const ARENA_BYTES: usize = 512 << 20;

/// Arenas in the range: more instances than a simulation holds.
const ARENAS: usize = 1 << 17;

/// Blocks are multiples of this.
const GRAIN: usize = 16;

/// Up to this size there is a class for every multiple of [`GRAIN`]; beyond, four for every
/// doubling.
const FINE_BYTES: usize = 1024;

/// log2 of [`FINE_BYTES`].
const FINE_LOG: usize = 10;

const FINE_CLASSES: usize = FINE_BYTES / GRAIN;

/// Four for each doubling from [`FINE_BYTES`] to [`ARENA_BYTES`].
const CLASSES: usize = FINE_CLASSES + 4 * 19;

/// Free blocks of at least this size give their pages back.
const RETURNED_BYTES: usize = 256 << 10;

/// Arenas that begin at the same place within a page compete for the same cache lines.
const SPREAD_BYTES: usize = 64;
const SPREADS: usize = 61;

/// The numbers of arenas in use; the lowest free one is given next.
#[derive(Debug, Default)]
struct Numbers {
    next: u32,
    free: std::collections::BinaryHeap<std::cmp::Reverse<u32>>,
}

static NUMBERS: Mutex<Numbers> = Mutex::new(Numbers { next: 0, free: std::collections::BinaryHeap::new() });

/// Whether the range could be reserved.
fn reserved() -> bool {
    static RESERVED: OnceLock<bool> = OnceLock::new();
    *RESERVED.get_or_init(|| {
        // SAFETY: with NOREPLACE nothing that is mapped is touched; where the kernel cannot give
        // this very address, the mapping elsewhere (very old kernels) stays unused.
        let mapped = unsafe {
            mmap_anonymous(
                BASE as *mut c_void,
                ARENA_BYTES * ARENAS,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED_NOREPLACE,
            )
        };
        matches!(mapped, Ok(address) if address as usize == BASE)
    })
}

/// One arena.
#[derive(Debug)]
pub struct Arena {
    number: u32,
    base: usize,
    /// First byte never handed out.
    unused: Cell<usize>,
    /// Heads of the lists of free blocks; 0: none. A free block begins with the next one's address.
    free: RefCell<Box<[usize; CLASSES]>>,
}

impl Arena {
    /// The lowest arena that is free; `None` if addresses cannot be reserved here or all are used.
    pub fn take() -> Option<Arena> {
        if !reserved() {
            return None;
        }
        let mut numbers = NUMBERS.lock().expect("no panic while numbers are held");
        let number = match numbers.free.pop() {
            Some(std::cmp::Reverse(number)) => number,
            None if (numbers.next as usize) < ARENAS => {
                numbers.next += 1;
                numbers.next - 1
            }
            None => return None,
        };
        drop(numbers);
        let base = BASE + number as usize * ARENA_BYTES;
        let spread = number as usize % SPREADS * SPREAD_BYTES;
        Some(Arena {
            number,
            base,
            unused: Cell::new(base + spread),
            free: RefCell::new(Box::new([0; CLASSES])),
        })
    }

    /// A block of at least `bytes` (not 0); null if the arena is full.
    pub fn allocate(&self, bytes: usize) -> *mut c_void {
        let class = class_of(bytes);
        if class >= CLASSES {
            return ptr::null_mut();
        }
        let mut free = self.free.borrow_mut();
        let head = free[class];
        if head != 0 {
            // SAFETY: a free block of this arena begins with the address of the next one.
            free[class] = unsafe { *(head as *const usize) };
            return head as *mut c_void;
        }
        let at = self.unused.get();
        let size = size_of_class(class);
        if at + size > self.base + ARENA_BYTES {
            return ptr::null_mut();
        }
        self.unused.set(at + size);
        at as *mut c_void
    }

    /// Takes back a block that was asked for with `bytes`.
    ///
    /// # Safety
    /// The block came from this arena for that size and is not used any more.
    pub unsafe fn free(&self, block: *mut c_void, bytes: usize) {
        let class = class_of(bytes);
        let size = size_of_class(class);
        if size >= RETURNED_BYTES {
            // The first page holds the link; whole pages after it go back.
            let from = (block as usize + PAGE_BYTES).next_multiple_of(PAGE_BYTES);
            let to = (block as usize + size) & !(PAGE_BYTES - 1);
            if to > from {
                // SAFETY: the pages lie inside a block that nobody uses.
                let _ = unsafe { madvise(from as *mut c_void, to - from, Advice::LinuxDontNeed) };
            }
        }
        let mut free = self.free.borrow_mut();
        // SAFETY: blocks are at least GRAIN long and aligned to it.
        unsafe { *block.cast::<usize>() = free[class] };
        free[class] = block as usize;
    }

    /// A block of another size with the same beginning; null if there is no room: the old block
    /// is then as it was.
    ///
    /// # Safety
    /// As for [`Arena::free`].
    pub unsafe fn resize(&self, block: *mut c_void, old: usize, new: usize) -> *mut c_void {
        if class_of(old) == class_of(new) {
            return block;
        }
        let moved = self.allocate(new);
        if !moved.is_null() {
            // SAFETY: two blocks of the arena do not overlap, and hold so many bytes.
            unsafe {
                ptr::copy_nonoverlapping(block.cast::<u8>(), moved.cast::<u8>(), old.min(new));
                self.free(block, old);
            }
        }
        moved
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        let used = (self.unused.get() - self.base).next_multiple_of(PAGE_BYTES);
        // SAFETY: the heap that lived here is closed. The next one finds zeroes, as the first did.
        let _ = unsafe { madvise(self.base as *mut c_void, used, Advice::LinuxDontNeed) };
        let mut numbers = NUMBERS.lock().expect("no panic while numbers are held");
        numbers.free.push(std::cmp::Reverse(self.number));
    }
}

/// Pages of x86-64 and most others; where they are larger, less is given back.
const PAGE_BYTES: usize = 4096;

fn class_of(bytes: usize) -> usize {
    if bytes <= FINE_BYTES {
        return bytes.max(1).div_ceil(GRAIN) - 1;
    }
    // 2^log < bytes <= 2^(log+1), in quarters of 2^log.
    let log = (bytes - 1).ilog2() as usize;
    let quarter = ((bytes - 1) >> (log - 2)) & 3;
    FINE_CLASSES + (log - FINE_LOG) * 4 + quarter
}

fn size_of_class(class: usize) -> usize {
    if class < FINE_CLASSES {
        return (class + 1) * GRAIN;
    }
    let (doubling, quarter) = ((class - FINE_CLASSES) / 4, (class - FINE_CLASSES) % 4);
    (1 << (FINE_LOG + doubling - 2)) * (5 + quarter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_hold_what_is_asked() {
        let mut before = 0;
        for bytes in (1..5000).chain([65_536, 65_537, 1 << 20, (1 << 20) + 1, 300 << 20, ARENA_BYTES]) {
            let class = class_of(bytes);
            assert!(class < CLASSES && class >= before, "{bytes}");
            assert!(size_of_class(class) >= bytes, "{bytes}");
            assert!(bytes < 64 || size_of_class(class) <= bytes + bytes / 4 + GRAIN, "{bytes}");
            assert_eq!(class_of(size_of_class(class)), class);
            before = class;
        }
        assert!(class_of(ARENA_BYTES + 1) >= CLASSES);
    }

    #[test]
    fn the_same_calls_give_the_same_addresses() {
        let run = || {
            let arena = Arena::take().expect("addresses can be reserved");
            let first = arena.unused.get();
            let mut told = Vec::new();
            let mut held = Vec::new();
            for step in 0..2000_usize {
                let bytes = 1 + step * 7919 % 3000;
                let block = arena.allocate(bytes);
                told.push((block as usize).wrapping_sub(first));
                held.push((block, bytes));
                if step % 3 == 0 {
                    let (block, bytes) = held.swap_remove(step % held.len());
                    // SAFETY: allocated above, once.
                    unsafe { arena.free(block, bytes) };
                } else if step % 5 == 0 {
                    let at = step % held.len();
                    let (block, bytes) = held[at];
                    // SAFETY: allocated above; the old address is forgotten.
                    let moved = unsafe { arena.resize(block, bytes, bytes * 2) };
                    told.push((moved as usize).wrapping_sub(first));
                    held[at] = (moved, bytes * 2);
                }
            }
            told
        };
        assert_eq!(run(), run());
    }

    #[test]
    fn a_full_arena_says_so() {
        let arena = Arena::take().expect("addresses can be reserved");
        assert!(!arena.allocate(100).is_null());
        assert!(!arena.allocate(ARENA_BYTES / 2).is_null());
        assert!(arena.allocate(ARENA_BYTES / 2).is_null());
        assert!(!arena.allocate(100).is_null());
    }
}
