//! Hooks written in Lua. A script is run in a state of its own by [`Script`]; the hooks it
//! registers are copied, with what they refer to, into a state of each worker thread
//! ([`LuaHooks`]).

mod constants;
mod hooks;
mod image;
mod native;
mod script;
mod state;

pub use hooks::LuaHooks;
pub use image::Image;
pub use script::Script;
pub use state::Reach;

/// Loads the names that hooks know (`S`, constants, calls) into the table at a stack index of
/// another program's state, where the calls answer that they are not permitted. Pushes the table
/// of the names of what every hook's state has, for [`Image::capture`].
///
/// # Safety
/// The state is open and belongs to this thread, and the index is absolute and valid.
///
/// # Errors
/// When memory is short.
pub unsafe fn push_names(state: *mut mlua::ffi::lua_State, globals: i32) -> Result<(), String> {
    // SAFETY: the caller's promise; of four values the third is left.
    unsafe {
        state::load(state, globals)?;
        mlua::ffi::lua_settop(state, -2);
        mlua::ffi::lua_insert(state, -3);
        mlua::ffi::lua_settop(state, -3);
    }
    Ok(())
}
