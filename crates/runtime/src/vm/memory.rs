//! The allocator of one instance's Lua heap: counts, and refuses what exceeds a limit.
//!
//! The limit holds only while the program's own code runs. What the host does on the heap
//! between resumes (new coroutines, tracebacks) is never refused: an error there would have
//! nobody to catch it.

use std::alloc::{Layout, alloc, dealloc, realloc};
use std::cell::Cell;
use std::ffi::c_void;
use std::ptr::{self, NonNull};

use mlua::ffi;

use super::arena::{ARENA_BYTES, Arena};
use super::stack::State;

/// LuaJIT expects no more than this of an allocator.
const ALIGNMENT: usize = ffi::SYS_MIN_ALIGN;

/// What the allocator knows. Shared with LuaJIT by address, so all of it is in cells.
#[derive(Debug, Default)]
struct Account {
    used: Cell<usize>,
    /// Bytes; 0: no limit.
    limit: Cell<usize>,
    enforced: Cell<bool>,
    /// Where blocks come from; `None`: the global allocator.
    arena: Option<Arena>,
}

/// A heap in an arena ends with a catchable error well before the arena is full: blocks of odd
/// sizes leave gaps.
const ARENA_LIMIT_BYTES: usize = ARENA_BYTES / 2;

/// An open Lua state and its allocator. Dropping it closes the state.
#[derive(Debug)]
pub struct Heap {
    account: NonNull<Account>,
    state: State,
    /// Bytes in use after the last collection that [`Heap::begin`] made.
    collected: Cell<usize>,
}

impl Heap {
    /// Opens a bare state; `None` if there is no memory for it. In an arena its addresses are the
    /// same in every process.
    pub fn open(arena: Option<Arena>) -> Option<Heap> {
        let limit = Cell::new(if arena.is_some() { ARENA_LIMIT_BYTES } else { 0 });
        let account = Account { limit, arena, ..Account::default() };
        let account = NonNull::from(Box::leak(Box::new(account)));
        // SAFETY: the account outlives the state: `drop` closes the state first.
        let state = unsafe { ffi::lua_newstate(allocate, account.as_ptr().cast()) };
        if state.is_null() {
            // SAFETY: made above, and no state refers to it.
            drop(unsafe { Box::from_raw(account.as_ptr()) });
            return None;
        }
        Some(Heap { account, state, collected: Cell::new(0) })
    }

    /// The main state.
    pub fn state(&self) -> State {
        self.state
    }

    fn account(&self) -> &Account {
        // SAFETY: made by `open`, freed by `drop`.
        unsafe { self.account.as_ref() }
    }

    /// Sets the limit in bytes.
    pub fn limit(&self, bytes: usize) {
        let most = if self.account().arena.is_some() { ARENA_LIMIT_BYTES } else { usize::MAX };
        self.account().limit.set(bytes.min(most));
        // LuaJIT does not collect when an allocation is refused, so garbage is kept low instead.
        self.collect_eagerly();
    }

    /// Collects when a tenth of the heap is garbage rather than half.
    pub fn collect_eagerly(&self) {
        // SAFETY: the state is open.
        unsafe {
            ffi::lua_gc(self.state, ffi::LUA_GCSETPAUSE, 110);
            ffi::lua_gc(self.state, ffi::LUA_GCSETSTEPMUL, 400);
        }
    }

    /// Bytes in use, garbage included.
    pub fn used(&self) -> usize {
        self.account().used.get()
    }

    /// Frees all garbage.
    pub fn collect(&self) {
        // SAFETY: the state is open and between two resumes.
        unsafe { ffi::lua_gc(self.state, ffi::LUA_GCCOLLECT, 0) };
    }

    /// The program's code is about to run: the limit holds. Collects first where little is left
    /// and much may be garbage.
    #[inline]
    pub fn begin(&self) {
        let account = self.account();
        let limit = account.limit.get();
        if limit > 0 {
            let used = account.used.get();
            if used > limit / 4 * 3 && used > self.collected.get() + limit / 16 {
                self.collect();
                self.collected.set(account.used.get());
            }
            account.enforced.set(true);
        }
    }

    /// Lets an instance have an eighth more than its limit for what `body` does: one that has ended for
    /// want of memory can still tell what it was.
    pub fn with_room<T>(&self, body: impl FnOnce() -> T) -> T {
        let account = self.account();
        let limit = account.limit.get();
        account.limit.set(limit + limit / 8);
        let result = body();
        account.limit.set(limit);
        result
    }

    /// The program's code has yielded.
    #[inline]
    pub fn end(&self) {
        self.account().enforced.set(false);
    }
}

impl Drop for Heap {
    fn drop(&mut self) {
        // SAFETY: the state is open; after it is closed nothing refers to the account.
        unsafe {
            ffi::lua_close(self.state);
            drop(Box::from_raw(self.account.as_ptr()));
        }
    }
}

unsafe extern "C" fn allocate(data: *mut c_void, block: *mut c_void, old: usize, new: usize) -> *mut c_void {
    // SAFETY: `data` is the account given to `lua_newstate`. Blocks come from its arena, or from the
    // global allocator with these layouts.
    unsafe {
        let account = &*data.cast::<Account>();
        let used = account.used.get();
        if new == 0 {
            if !block.is_null() {
                match &account.arena {
                    Some(arena) => arena.free(block, old),
                    None => dealloc(block.cast(), Layout::from_size_align_unchecked(old, ALIGNMENT)),
                }
                account.used.set(used - old);
            }
            return ptr::null_mut();
        }
        let old = if block.is_null() { 0 } else { old };
        if new > old && account.enforced.get() && used + (new - old) > account.limit.get() {
            return ptr::null_mut();
        }
        let Ok(layout) = Layout::from_size_align(new, ALIGNMENT) else { return ptr::null_mut() };
        let moved: *mut c_void = match &account.arena {
            Some(arena) if block.is_null() => arena.allocate(new),
            Some(arena) => arena.resize(block, old, new),
            None if block.is_null() => alloc(layout).cast(),
            None => realloc(block.cast(), Layout::from_size_align_unchecked(old, ALIGNMENT), new).cast(),
        };
        if !moved.is_null() {
            account.used.set(used - old + new);
        }
        moved
    }
}
