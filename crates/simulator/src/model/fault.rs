//! Faults as the network sees them: its instances are the nodes of the script.

use splay_protocol::faults::{Between, Nodes};
use splay_runtime::driver::Owner;

/// A fault inside the network.
pub type Fault = splay_protocol::faults::Fault<Nodes>;

/// A fault that has been applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FaultId(pub u32);

/// The node that an instance is: position 1 is the first owner. An instance that has no host of its
/// own is none.
pub(crate) fn node(owner: Owner) -> u32 {
    owner.0.wrapping_add(1)
}

/// Whether packets from one instance to another are among these.
pub(crate) fn covers(between: &Between<Nodes>, from: Owner, to: Owner) -> bool {
    between.covers(node(from), node(to))
}
