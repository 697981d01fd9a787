//! An object store: objects made of data, attributes, an ordered map with a header, and a version;
//! transactions on one object; what a transaction changed, as data that another store can apply; a
//! directory that survives crashes. Knows no Lua, no network and no clock: callers bring the time.

mod changes;
pub mod directory;
mod object;
pub mod request;
mod space;
mod store;
mod transaction;

pub use changes::{Changes, DecodeError, Mutation};
pub use directory::{Directory, DirectoryError, Flush};
pub use object::Object;
pub use space::{Bounded, Space};
pub use splay_protocol::Errno;
pub use store::{Applied, ApplyError, Draft, Limits, Statistics, Store, StoreError};
pub use transaction::Transaction;
