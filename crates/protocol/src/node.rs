//! A node: where an instance can be reached.

use serde::{Deserialize, Serialize};

/// Address of an instance: what Lua sees as `{ip = "...", port = n}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Node {
    /// IPv4 or IPv6 address, or a host name.
    pub ip: String,
    /// First port of the instance.
    pub port: u16,
}
