//! The byte formats of SPLAY messages: bencode between Lua values and bytes, and length-prefixed
//! frames. Pure functions of their input: no sockets, no scheduling.

pub mod benc;
pub mod llenc;
