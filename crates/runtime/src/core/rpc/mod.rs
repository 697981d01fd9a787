//! Remote calls: the native part of `splay.rpc`, `splay.urpc` and `splay.rpcq`.
//!
//! Arguments are encoded from the caller's stack straight into the outgoing buffer; a reply is
//! matched by its number and decoded straight onto the waiting thread's stack; handlers run on
//! recycled coroutines. [`call`] is what the three have in common on the caller's side, [`serve`]
//! on the server's; [`urpc`], [`connect`] and [`rpcq`] are the carriers.

mod call;
mod connect;
mod link;
mod reply;
mod rpcq;
mod rpcq_server;
mod serve;
mod urpc;

pub use connect::MODULE as RPC;
pub use rpcq::MODULE as RPCQ;
pub use urpc::MODULE as URPC;
