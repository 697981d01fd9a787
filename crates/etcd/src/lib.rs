//! An etcd v2 store. [`store`] is the tree of keys with its watchers, [`service`] what requests over
//! HTTP do to it: both pure, time comes in and what is to be told goes out. With the feature
//! `server` there are files that survive a crash ([`disk`]) and an HTTP server ([`server`]).
//!
//! It does what etcd 3.4 does with `--enable-v2`, and has the endpoints of 0.4 that were dropped.

#[cfg(feature = "server")]
pub mod disk;
pub mod error;
mod form;
mod json;
mod member;
mod reply;
mod request;
#[cfg(feature = "server")]
pub mod server;
pub mod service;
pub mod store;

pub use member::{AdminConfig, Member};
pub use reply::{Content, Reply};
pub use request::{Call, Request, Write};
