//! The SPLAY controller: accepts splayds, deploys jobs over them, keeps their logs and results, and
//! serves users over an HTTP API.

pub mod hub;
pub mod secrets;
pub mod session;
pub mod state;
pub mod store;
