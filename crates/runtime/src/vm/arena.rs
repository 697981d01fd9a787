//! Memory for Lua heaps at addresses that are the same in every process: the order of `pairs` over
//! keys that are tables or functions, and what `tostring` shows of them, follow from addresses.
//!
//! One range of addresses is reserved per process and cut into zones. The heaps opened on one
//! thread share a zone, so that thousands of them lie close together on few large pages: a
//! simulation goes from one to the next at every packet, and would otherwise spend its time
//! finding pages. Heaps take chunks of the zone in the order in which they need them, which the
//! simulation repeats; small blocks come from a heap's chunks, large ones from the zone.

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::ptr;
use std::rc::{Rc, Weak};
use std::sync::{Mutex, OnceLock};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous};

/// Where the range begins: below what Linux gives to programs and libraries on 64-bit machines,
/// and within the 47 bits a LuaJIT pointer has.
const BASE: usize = 0x1000_0000_0000;

/// Size of a zone: more than the memory of the machines of today that run one simulation.
const ZONE_BYTES: usize = 256 << 30;

/// Zones in the range: threads that simulate at the same time.
const ZONES: usize = 256;

/// The most a Lua heap in an arena can hold.
pub const ARENA_BYTES: usize = 512 << 20;

/// What a heap takes of its zone at a time: small against a state's 80 kB, large against the
/// blocks in it.
const CHUNK_BYTES: usize = 8 << 10;

/// Larger blocks come from the zone.
const SMALL_BYTES: usize = 2 << 10;

/// Blocks are multiples of this, which is all the alignment that LuaJIT's own allocator gives; most
/// objects are so small that 16 would cost a tenth of the heap.
const GRAIN: usize = 8;

/// Up to this size there is a class for every multiple of [`GRAIN`]; beyond, four for every
/// doubling.
const FINE_BYTES: usize = 512;

/// log2 of [`FINE_BYTES`].
const FINE_LOG: usize = 9;

const FINE_CLASSES: usize = FINE_BYTES / GRAIN;

/// Four for each doubling from [`FINE_BYTES`] to [`SMALL_BYTES`].
const SMALL_CLASSES: usize = FINE_CLASSES + 4 * (SMALL_BYTES / FINE_BYTES).ilog2() as usize;

/// Four for each doubling from [`FINE_BYTES`] to [`ARENA_BYTES`].
pub(super) const CLASSES: usize = FINE_CLASSES + 4 * (ARENA_BYTES / FINE_BYTES).ilog2() as usize;

/// Free blocks of at least this size give their pages back.
const RETURNED_BYTES: usize = 4 << 20;

/// Heaps that begin at the same place within a page compete for the same cache lines.
const SPREAD_BYTES: usize = 64;
const SPREADS: usize = 31;

/// Which zones are in use.
static TAKEN: Mutex<[bool; ZONES]> = Mutex::new([false; ZONES]);

thread_local! {
    /// The zone of the heaps of this thread, while there are any.
    static ZONE: RefCell<Weak<Zone>> = const { RefCell::new(Weak::new()) };
}

/// Whether the range could be reserved.
fn reserved() -> bool {
    static RESERVED: OnceLock<bool> = OnceLock::new();
    *RESERVED.get_or_init(|| {
        // SAFETY: with NOREPLACE nothing that is mapped is touched; where the kernel cannot give
        // this very address, the mapping elsewhere (very old kernels) stays unused.
        let mapped = unsafe {
            mmap_anonymous(
                BASE as *mut c_void,
                ZONE_BYTES * ZONES,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED_NOREPLACE,
            )
        };
        matches!(mapped, Ok(address) if address as usize == BASE)
    })
}

/// What the heaps of a thread share. Ends with the last of them, and the next one begins anew.
#[derive(Debug)]
struct Zone {
    number: usize,
    base: usize,
    /// First byte never handed out.
    unused: Cell<usize>,
    chunks: RefCell<Vec<usize>>,
    /// Free large blocks by class.
    blocks: RefCell<Vec<Vec<usize>>>,
    /// Arenas taken so far.
    arenas: Cell<usize>,
}

impl Zone {
    /// The lowest zone that is free.
    fn take() -> Option<Zone> {
        if !reserved() {
            return None;
        }
        let mut taken = TAKEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let number = taken.iter().position(|taken| !taken)?;
        taken[number] = true;
        drop(taken);
        let base = BASE + number * ZONE_BYTES;
        // SAFETY: the range is reserved. Where there are no large pages, there are small ones.
        let _ = unsafe { madvise(base as *mut c_void, ZONE_BYTES, Advice::LinuxHugepage) };
        Some(Zone {
            number,
            base,
            unused: Cell::new(base),
            chunks: RefCell::default(),
            blocks: RefCell::new(vec![Vec::new(); CLASSES]),
            arenas: Cell::new(0),
        })
    }

    /// Bytes never handed out before; 0: the zone is full.
    fn fresh(&self, bytes: usize) -> usize {
        let at = self.unused.get();
        if at + bytes > self.base + ZONE_BYTES {
            return 0;
        }
        self.unused.set(at + bytes);
        at
    }

    fn chunk(&self) -> usize {
        self.chunks.borrow_mut().pop().unwrap_or_else(|| self.fresh(CHUNK_BYTES))
    }

    fn block(&self, class: usize) -> usize {
        let free = self.blocks.borrow_mut()[class].pop();
        free.unwrap_or_else(|| self.fresh(size_of_class(class)))
    }

    fn free_block(&self, block: usize, class: usize) {
        let size = size_of_class(class);
        if size >= RETURNED_BYTES {
            let first = block.next_multiple_of(PAGE_BYTES);
            let length = (block + size - first) / PAGE_BYTES * PAGE_BYTES;
            // SAFETY: nobody uses the block, and its next user expects nothing of what is in it.
            let _ = unsafe { madvise(first as *mut c_void, length, Advice::LinuxDontNeed) };
        }
        self.blocks.borrow_mut()[class].push(block);
    }
}

impl Drop for Zone {
    fn drop(&mut self) {
        let used = (self.unused.get() - self.base).next_multiple_of(PAGE_BYTES);
        // SAFETY: the heaps that lived here are closed. The next ones find zeroes, as these did.
        let _ = unsafe { madvise(self.base as *mut c_void, used, Advice::LinuxDontNeed) };
        TAKEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner)[self.number] = false;
    }
}

/// The memory of one heap.
#[derive(Debug)]
pub struct Arena {
    zone: Rc<Zone>,
    chunks: RefCell<Vec<usize>>,
    /// What is left of the newest chunk: from here to there.
    unused: Cell<(usize, usize)>,
    /// Bytes taken from the zone.
    held: Cell<usize>,
    /// Heads of the lists of free blocks; 0: none. A free block begins with the next one's address.
    free: RefCell<[usize; SMALL_CLASSES]>,
}

impl Arena {
    /// An arena in this thread's zone; `None` if addresses cannot be reserved here or all zones are
    /// used.
    pub fn take() -> Option<Arena> {
        let zone = ZONE.with_borrow_mut(|current| {
            let zone = match current.upgrade() {
                Some(zone) => zone,
                None => Rc::new(Zone::take()?),
            };
            *current = Rc::downgrade(&zone);
            Some(zone)
        })?;
        let number = zone.arenas.replace(zone.arenas.get() + 1);
        let arena = Arena {
            zone,
            chunks: RefCell::default(),
            unused: Cell::new((0, 0)),
            held: Cell::new(0),
            free: RefCell::new([0; SMALL_CLASSES]),
        };
        if arena.another_chunk() {
            let (from, to) = arena.unused.get();
            arena.unused.set((from + number % SPREADS * SPREAD_BYTES, to));
        }
        Some(arena)
    }

    /// Begins another chunk; false if there is none.
    fn another_chunk(&self) -> bool {
        if self.held.get() + CHUNK_BYTES > ARENA_BYTES {
            return false;
        }
        let chunk = self.zone.chunk();
        if chunk == 0 {
            return false;
        }
        self.held.set(self.held.get() + CHUNK_BYTES);
        self.chunks.borrow_mut().push(chunk);
        self.unused.set((chunk, chunk + CHUNK_BYTES));
        true
    }

    /// A block of at least `bytes` (not 0); null if the arena is full.
    pub fn allocate(&self, bytes: usize) -> *mut c_void {
        let class = class_of(bytes);
        if class >= SMALL_CLASSES {
            return self.allocate_large(class);
        }
        let mut free = self.free.borrow_mut();
        let head = free[class];
        if head != 0 {
            // SAFETY: a free block of this arena begins with the address of the next one.
            free[class] = unsafe { *(head as *const usize) };
            return head as *mut c_void;
        }
        let size = size_of_class(class);
        let (at, end) = self.unused.get();
        if at + size <= end {
            self.unused.set((at + size, end));
            return at as *mut c_void;
        }
        // What is left of the chunk becomes a free block, as large a one as it can be.
        if let Some(class) = (0..SMALL_CLASSES).rev().find(|&class| at + size_of_class(class) <= end) {
            // SAFETY: the rest of the chunk is used by nobody.
            unsafe { *(at as *mut usize) = free[class] };
            free[class] = at;
        }
        if !self.another_chunk() {
            return ptr::null_mut();
        }
        let (at, end) = self.unused.get();
        self.unused.set((at + size, end));
        at as *mut c_void
    }

    #[cold]
    fn allocate_large(&self, class: usize) -> *mut c_void {
        if class >= CLASSES || self.held.get() + size_of_class(class) > ARENA_BYTES {
            return ptr::null_mut();
        }
        let block = self.zone.block(class);
        if block != 0 {
            self.held.set(self.held.get() + size_of_class(class));
        }
        block as *mut c_void
    }

    /// Takes back a block that was asked for with `bytes`.
    ///
    /// # Safety
    /// The block came from this arena for that size and is not used any more.
    pub unsafe fn free(&self, block: *mut c_void, bytes: usize) {
        let class = class_of(bytes);
        if class >= SMALL_CLASSES {
            self.held.set(self.held.get() - size_of_class(class));
            return self.zone.free_block(block as usize, class);
        }
        let mut free = self.free.borrow_mut();
        // SAFETY: the block is at least as large as an address, and nobody else's.
        unsafe { *block.cast::<usize>() = free[class] };
        free[class] = block as usize;
    }

    /// Makes a block larger or smaller, moving it if need be; null, and nothing done, if there is
    /// no room.
    ///
    /// # Safety
    /// The block came from this arena for `old` bytes. If another address is returned, it is not
    /// used any more.
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
        // The heap is closed: its large blocks have been freed one by one.
        self.zone.chunks.borrow_mut().extend(self.chunks.borrow_mut().drain(..).rev());
    }
}

/// Pages of x86-64 and most others; where they are larger, less is given back.
const PAGE_BYTES: usize = 4096;

pub(super) fn class_of(bytes: usize) -> usize {
    if bytes <= FINE_BYTES {
        return bytes.max(1).div_ceil(GRAIN) - 1;
    }
    // 2^log < bytes <= 2^(log+1), in quarters of 2^log.
    let log = (bytes - 1).ilog2() as usize;
    let quarter = ((bytes - 1) >> (log - 2)) & 3;
    FINE_CLASSES + (log - FINE_LOG) * 4 + quarter
}

pub(super) fn size_of_class(class: usize) -> usize {
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
            let first = arena.unused.get().0;
            let mut told = Vec::new();
            let mut held = Vec::new();
            for step in 0..2000_usize {
                let bytes = 1 + step * 7919 % 9000;
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

    #[test]
    fn what_a_heap_leaves_is_used_again() {
        let begin = |count: usize| (0..count).map(|_| Arena::take().expect("addresses")).collect::<Vec<_>>();
        let fill = |arena: &Arena| (0..500).map(|n| arena.allocate(n * 4 + 1) as usize).collect::<Vec<_>>();
        let arenas = begin(3);
        let seen: Vec<_> = arenas.iter().map(fill).collect();
        let zone = arenas[0].zone.clone();
        let used = zone.unused.get();
        drop(arenas);
        let arena = Arena::take().expect("addresses");
        assert!(Rc::ptr_eq(&zone, &arena.zone));
        fill(&arena);
        assert_eq!(zone.unused.get(), used);
        drop((arena, zone));
        // All gone: the next heaps begin anew, at the same addresses.
        assert_eq!(begin(3).iter().map(fill).collect::<Vec<_>>(), seen);
    }
}
