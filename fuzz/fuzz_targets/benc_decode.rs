//! Decodes any bytes: never a crash, the stack stays balanced, and what was decoded is encoded
//! to bytes that decode to the same bytes again.
#![no_main]

use std::cell::Cell;

use libfuzzer_sys::fuzz_target;
use mlua::ffi::{self, lua_State};
use splay_runtime::codec::benc;

thread_local! {
    static STATE: Cell<*mut lua_State> = const { Cell::new(std::ptr::null_mut()) };
}

/// One state for all runs.
fn state() -> *mut lua_State {
    if STATE.get().is_null() {
        // SAFETY: opens a state, never closed.
        STATE.set(unsafe { ffi::luaL_newstate() });
    }
    STATE.get()
}

fuzz_target!(|data: &[u8]| {
    let l = state();
    // SAFETY: the state is live; the top is restored at the end.
    unsafe {
        let top = ffi::lua_gettop(l);
        if benc::decode(l, data).is_ok() {
            assert_eq!(ffi::lua_gettop(l), top + 1);
            let (mut first, mut second) = (Vec::new(), Vec::new());
            benc::encode(l, -1, &mut first).expect("decoded values can be encoded");
            assert_eq!(benc::skip(&first), Ok(first.len()));
            assert_eq!(benc::decode(l, &first), Ok(first.len()));
            benc::encode(l, -1, &mut second).expect("decoded values can be encoded");
            assert_eq!(first, second);
            ffi::lua_settop(l, top);
        }
        assert_eq!(ffi::lua_gettop(l), top);
        let count = benc::decode_list_values(l, data).map_or(0, |(_, count)| count);
        assert_eq!(ffi::lua_gettop(l), top + count);
        ffi::lua_settop(l, top);
    }
    if let Ok(mut reader) = benc::Reader::new(data) {
        while let Ok(Some((_, value))) = reader.next_entry() {
            assert_eq!(benc::skip(value.raw()), Ok(value.raw().len()));
        }
    }
});
