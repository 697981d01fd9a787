//! Bounds how deep native functions that call Lua may nest. LuaJIT bounds the Lua stack alone; a
//! program that recurses through `string.gsub` would run past the end of its worker's stack.
//! Nested coroutines are counted in `splay.prelude`.

use std::cell::Cell;
use std::ffi::{CStr, c_int};
use std::sync::OnceLock;

use mlua::ffi;

use super::stack::{Stack, State};

/// Stack that an instance may use before native calls are refused. Threads have 2 MiB unless told
/// otherwise: what is left holds the deepest call that calls no Lua (JSON of a thousand levels).
const BUDGET_BYTES: usize = 1 << 20;

/// Text of the error.
const EXHAUSTED: &CStr = c"C stack overflow";

thread_local! {
    static FLOOR: Cell<usize> = const { Cell::new(0) };
}

#[inline(always)]
fn here() -> usize {
    let marker = 0_u8;
    (&raw const marker).addr()
}

/// The code of an instance begins to run, from here on.
pub(super) fn begin() {
    FLOOR.set(here().saturating_sub(BUDGET_BYTES));
}

/// Raises an error if a native function is called too deep.
///
/// # Safety
/// Called first in a native function, with its state.
#[inline(always)]
pub(super) unsafe fn check(state: State) {
    if here() < FLOOR.get() {
        // SAFETY: the state is the caller's own.
        unsafe { overflow(state) }
    }
}

#[cold]
unsafe fn overflow(state: State) {
    // SAFETY: as in `check`; the format has no directives.
    unsafe { ffi::luaL_error(state, EXHAUSTED.as_ptr()) };
}

/// LuaJIT's functions that call Lua: libraries, names, and what stands in for them.
const CALLING: [(&CStr, &CStr, ffi::lua_CFunction); 4] = [
    (c"string", c"gsub", checked::<0>),
    (c"table", c"sort", checked::<1>),
    (c"os", c"time", checked::<2>),
    // Last: the compiler knows this one, but no function that stands in for it.
    (c"string", c"format", checked::<3>),
];

/// LuaJIT's own functions: the same in all states.
static ORIGINALS: [OnceLock<ffi::lua_CFunction>; CALLING.len()] = [const { OnceLock::new() }; CALLING.len()];

unsafe extern "C-unwind" fn checked<const N: usize>(state: State) -> c_int {
    // SAFETY: called by Lua; the original expects nothing but the state it is given.
    unsafe {
        check(state);
        ORIGINALS[N].get().expect("set before this is called")(state)
    }
}

/// Replaces LuaJIT's functions by checked ones. With the compiler on, `string.format` stays.
pub(super) fn install(stack: Stack, jit: bool) {
    for (n, (library, name, replacement)) in CALLING.iter().enumerate() {
        if jit && n == CALLING.len() - 1 {
            continue;
        }
        stack.global(library);
        stack.field(-1, name);
        // SAFETY: reads a value of a live state. The functions have no upvalues.
        let original = unsafe { ffi::lua_tocfunction(stack.raw(), -1) };
        stack.pop(1);
        if let Some(original) = original {
            let kept = *ORIGINALS[n].get_or_init(|| original);
            debug_assert!(std::ptr::fn_addr_eq(kept, original), "one LuaJIT in the process");
            stack.push_native(*replacement);
            stack.set_field(-2, name);
        }
        stack.pop(1);
    }
}
