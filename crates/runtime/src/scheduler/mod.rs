//! The pure parts of the coroutine scheduler: threads, timers, events. No Lua, no I/O, no clock;
//! [`crate::vm`] drives them.

pub mod events;
pub mod threads;
pub mod timers;
