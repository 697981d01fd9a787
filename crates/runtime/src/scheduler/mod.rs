//! The pure parts of the scheduler: threads, timers, events, shares of the processor. No Lua, no I/O, no clock;
//! [`crate::vm`] drives them.

pub mod events;
pub mod share;
pub mod threads;
pub mod timers;
