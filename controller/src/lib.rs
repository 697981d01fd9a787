//! The SPLAY controller: accepts splayds, deploys jobs over them, keeps their logs and results, and
//! serves users over an HTTP API.

pub mod api;
pub mod config;
pub mod front;
pub mod hub;
pub mod keeping;
pub mod log_reader;
pub mod secrets;
pub mod server;
pub mod session;
pub mod state;
pub mod store;
pub mod tls;
