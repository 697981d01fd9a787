//! Runs SPLAY applications: one [`mlua`] LuaJIT state per instance, a coroutine scheduler,
//! native libraries, limits. Knows no daemon, no controller and no HTTP.

pub mod codec;
pub mod compat;
pub mod core;
pub mod driver;
pub mod host;
pub mod program;
pub mod real;
pub mod scheduler;
pub mod shaped;
pub mod view;
pub mod vm;
pub mod worker;
