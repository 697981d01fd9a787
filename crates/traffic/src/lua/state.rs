//! Lua states for scripts and hooks: which libraries they have, and the prelude.

use mlua::ffi::{self, lua_State};
use mlua::{Lua, LuaOptions, StdLib};

use super::{constants, native};

/// What hooks may reach beside their socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// All of Lua's library but `ffi` and `debug`: the script is the user's own command.
    Whole,
    /// Nothing outside the state: neither files nor the process, and no code from strings.
    Confined,
}

/// What a confined state lacks.
const DENIED: [&str; 12] = [
    "collectgarbage",
    "dofile",
    "getfenv",
    "load",
    "loadfile",
    "loadstring",
    "module",
    "newproxy",
    "print",
    "require",
    "setfenv",
    "jit",
];

/// Memory of a confined state, bytes.
const CONFINED_BYTES: usize = 64 << 20;

/// A state with the prelude loaded.
pub(super) struct State {
    pub(super) lua: Lua,
    pub(super) raw: *mut lua_State,
    /// Registry keys of the message, of what makes an `addrinfo`, and of the names of what every
    /// state has.
    pub(super) message: i32,
    pub(super) addrinfo: i32,
    pub(super) names: i32,
}

impl State {
    pub(super) fn open(reach: Reach) -> Result<State, String> {
        let libraries = match reach {
            Reach::Whole => StdLib::ALL_SAFE,
            Reach::Confined => StdLib::TABLE | StdLib::STRING | StdLib::MATH | StdLib::BIT,
        };
        let options = LuaOptions::new().catch_rust_panics(false);
        let lua = Lua::new_with(libraries, options).map_err(|error| error.to_string())?;
        let mut raw = std::ptr::null_mut();
        // SAFETY: nothing is done with the stack; the main state lives as long as `lua`.
        unsafe { lua.exec_raw::<()>((), |state| raw = state) }.map_err(|error| error.to_string())?;
        let mut state = State { lua, raw, message: 0, addrinfo: 0, names: 0 };
        if reach == Reach::Confined {
            let globals = state.lua.globals();
            for name in DENIED {
                globals.raw_remove(name).map_err(|error| error.to_string())?;
            }
            if let Ok(string) = globals.raw_get::<mlua::Table>("string") {
                string.raw_remove("dump").map_err(|error| error.to_string())?;
            }
        }
        // SAFETY: the state is open and belongs to this thread.
        unsafe {
            ffi::lua_pushvalue(raw, ffi::LUA_GLOBALSINDEX);
            let globals = ffi::lua_gettop(raw);
            load(raw, globals)?;
            ffi::lua_settop(raw, globals + 3);
            state.names = ffi::luaL_ref(raw, ffi::LUA_REGISTRYINDEX);
            state.addrinfo = ffi::luaL_ref(raw, ffi::LUA_REGISTRYINDEX);
            state.message = ffi::luaL_ref(raw, ffi::LUA_REGISTRYINDEX);
            ffi::lua_settop(raw, globals - 1);
        }
        Ok(state)
    }

    /// Has a confined state's memory limited while hooks run, and not while the host works on it:
    /// an error there would have nobody to catch it.
    pub(super) fn limit(&self, limited: bool) -> Result<(), String> {
        let bytes = if limited { CONFINED_BYTES } else { 0 };
        self.lua.set_memory_limit(bytes).map(drop).map_err(|error| error.to_string())
    }
}

/// Loads the prelude: names go into the table at a stack index. Pushes the message, what makes an
/// `addrinfo`, the names of what every state has, and that table.
///
/// # Safety
/// The state is open and belongs to this thread, and the index is valid.
///
/// # Errors
/// When memory is short.
pub(super) unsafe fn load(state: *mut lua_State, globals: i32) -> Result<(), String> {
    let source = include_bytes!("prelude.lua");
    // SAFETY: the caller's promise; arguments of the call are those pushed before.
    unsafe {
        ffi::lua_checkstack(state, 20);
        let name = c"=syscall".as_ptr();
        let mut status = ffi::luaL_loadbuffer(state, source.as_ptr().cast(), source.len(), name);
        if status == ffi::LUA_OK {
            native::push(state);
            let count = constants::LIBRARY.len() + constants::KERNEL.len();
            ffi::lua_createtable(state, 0, count as i32);
            for (name, value) in constants::LIBRARY.iter().chain(constants::KERNEL) {
                ffi::lua_pushlstring_(state, name.as_ptr().cast(), name.len());
                ffi::lua_pushnumber(state, *value as f64);
                ffi::lua_rawset(state, -3);
            }
            ffi::lua_pushvalue(state, globals);
            status = ffi::lua_pcall(state, 3, 4, 0);
        }
        match status {
            ffi::LUA_OK => Ok(()),
            _ => Err(error_text(state)),
        }
    }
}

/// Pops the error on top and tells it.
///
/// # Safety
/// There is a value on top of the state's stack.
pub(super) unsafe fn error_text(state: *mut lua_State) -> String {
    /// `tostring` as a protected call: a metamethod may raise an error itself.
    unsafe extern "C-unwind" fn display(state: *mut lua_State) -> std::ffi::c_int {
        // SAFETY: called by Lua with one argument.
        unsafe { ffi::luaL_tolstring(state, 1, std::ptr::null_mut()) };
        1
    }
    // SAFETY: the caller's promise; what is pushed is popped.
    unsafe {
        if ffi::lua_type(state, -1) != ffi::LUA_TSTRING {
            ffi::lua_pushcclosure(state, display, 0);
            ffi::lua_insert(state, -2);
            ffi::lua_pcall(state, 1, 1, 0);
        }
        let mut length = 0;
        let text = ffi::lua_tolstring(state, -1, &raw mut length);
        let text = match text.is_null() {
            true => "an error without a text".to_owned(),
            false => {
                let bytes = std::slice::from_raw_parts(text.cast::<u8>(), length);
                String::from_utf8_lossy(bytes).into_owned()
            }
        };
        ffi::lua_settop(state, -2);
        text
    }
}
