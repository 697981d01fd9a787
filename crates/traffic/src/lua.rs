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
