//! The SPLAY controller: accepts splayds, deploys jobs over them, keeps their logs and results, and
//! serves users over an HTTP API.

pub mod state;
