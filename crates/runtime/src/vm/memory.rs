//! The allocator of one instance's Lua heap: counts, and refuses what exceeds the limit.
//!
//! The limit holds only while the program's own code runs. What the host does on the heap
//! between resumes (new coroutines, tracebacks) is never refused: an error there would have
//! nobody to catch it.

use std::alloc::{Layout, alloc, dealloc, realloc};
use std::cell::Cell;
use std::ffi::c_void;
use std::ptr::{self, NonNull};

use mlua::ffi;

use super::stack::State;

/// LuaJIT expects no more than this of an allocator, and mlua's, which it replaces, gives it.
const ALIGNMENT: usize = ffi::SYS_MIN_ALIGN;

/// What the allocator knows. Shared with LuaJIT by address, so all of it is in cells.
#[derive(Debug)]
struct Account {
    used: Cell<usize>,
    limit: usize,
    enforced: Cell<bool>,
}

/// A state's allocator, while it is installed.
#[derive(Debug)]
pub struct Memory {
    account: NonNull<Account>,
    /// The allocator the state was made with: put back before the state is closed.
    original: (ffi::lua_Alloc, *mut c_void),
    state: State,
    /// Bytes in use after the last collection that [`Memory::begin`] made.
    collected: Cell<usize>,
}

impl Memory {
    /// Takes over a state's allocations with a limit in bytes.
    ///
    /// # Safety
    /// The state is open and idle, and stays open until the value is dropped.
    pub unsafe fn install(state: State, limit: usize) -> Memory {
        // SAFETY: as promised by the caller. Both allocators use the global one with the same
        // layouts, so blocks may pass from one to the other.
        unsafe {
            let used = ffi::lua_gc(state, ffi::LUA_GCCOUNT, 0) as usize * 1024;
            let account = Account { used: Cell::new(used), limit, enforced: Cell::new(false) };
            let account = NonNull::from(Box::leak(Box::new(account)));
            let mut data: *mut c_void = ptr::null_mut();
            let original = ffi::lua_getallocf(state, &raw mut data);
            ffi::lua_setallocf(state, allocate, account.as_ptr().cast());
            // LuaJIT does not collect when an allocation is refused: keep garbage low instead.
            ffi::lua_gc(state, ffi::LUA_GCSETPAUSE, 110);
            ffi::lua_gc(state, ffi::LUA_GCSETSTEPMUL, 400);
            Memory { account, original: (original, data), state, collected: Cell::new(0) }
        }
    }

    fn account(&self) -> &Account {
        // SAFETY: made by `install`, freed by `drop`.
        unsafe { self.account.as_ref() }
    }

    /// The program's code is about to run: the limit holds. Collects first where little is left
    /// and much may be garbage.
    pub fn begin(&self) {
        let account = self.account();
        let (used, limit) = (account.used.get(), account.limit);
        if used > limit / 4 * 3 && used > self.collected.get() + limit / 16 {
            // SAFETY: the state is open; finalisers run outside the limit.
            unsafe { ffi::lua_gc(self.state, ffi::LUA_GCCOLLECT, 0) };
            self.collected.set(account.used.get());
        }
        account.enforced.set(true);
    }

    /// The program's code has yielded.
    pub fn end(&self) {
        self.account().enforced.set(false);
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the state is still open (see `install`); nothing allocates through the account
        // once the first allocator is back.
        unsafe {
            ffi::lua_setallocf(self.state, self.original.0, self.original.1);
            drop(Box::from_raw(self.account.as_ptr()));
        }
    }
}

unsafe extern "C" fn allocate(data: *mut c_void, block: *mut c_void, old: usize, new: usize) -> *mut c_void {
    // SAFETY: `data` is the account given to `lua_setallocf`. Blocks come from the global
    // allocator with these layouts.
    unsafe {
        let account = &*data.cast::<Account>();
        let used = account.used.get();
        if new == 0 {
            if !block.is_null() {
                dealloc(block.cast(), Layout::from_size_align_unchecked(old, ALIGNMENT));
                account.used.set(used.saturating_sub(old));
            }
            return ptr::null_mut();
        }
        let old = if block.is_null() { 0 } else { old };
        if new > old && account.enforced.get() && used + (new - old) > account.limit {
            return ptr::null_mut();
        }
        let Ok(layout) = Layout::from_size_align(new, ALIGNMENT) else { return ptr::null_mut() };
        let moved = if block.is_null() {
            alloc(layout)
        } else {
            realloc(block.cast(), Layout::from_size_align_unchecked(old, ALIGNMENT), new)
        };
        if !moved.is_null() {
            account.used.set(used.saturating_sub(old) + new);
        }
        moved.cast()
    }
}
