//! Prompts on the instances of a run by another process: the run listens on a Unix socket
//! ([`server`]), `splay attach` speaks to it ([`client`]) in lines of JSON ([`wire`]).

pub mod client;
pub mod place;
pub mod server;
mod wire;
