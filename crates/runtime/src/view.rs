//! What a program shows of itself: its global table `view`, as plain data.
//!
//! ```lua
//! view = {
//!   id = function() return n.id end,       -- place on a ring: a number, or digits as a text
//!   size = 2 ^ m,                          -- identifiers are below it (or `bits = m`)
//!   links = function() return { successor, { to = finger[2], kind = "finger" } } end,
//!   parent = function() return parent end, -- in a tree; nil at the root, false outside
//!   label = function() return state end,   -- a few words
//! }
//! ```
//!
//! Each field is a value or a function that gives it. They are read when the instance ends, for
//! whatever reason, before its state is closed; so a function may not wait.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

/// A place on a ring, as the program has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Place {
    /// A finite number, not negative.
    Number(f64),
    /// Decimal or hexadecimal digits, perhaps after `0x`.
    Digits(String),
}

/// Another node, as a program names it: a table with `ip` and `port`, or the text `ip:port`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Peer {
    /// Its address.
    pub ip: String,
    /// Its port.
    pub port: u16,
    /// Its place on the ring, where the table has it as `id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Place>,
}

/// A link to another node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Link {
    /// Where it leads.
    pub to: Peer,
    /// What the program writes on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Which of several sorts it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

/// A field that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// `id`, `size`, `bits`, `links`, `parent` or `label`.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "view.{}: {}", self.field, self.message)
    }
}

/// What one instance shows of itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct View {
    /// Its place on the ring.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Place>,
    /// Identifiers are below this number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<f64>,
    /// Identifiers have so many bits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bits: Option<u32>,
    /// Its links; `None`: it declares none, which is not the same as having none now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub links: Option<Vec<Link>>,
    /// Its parent; `Some(None)`: it is a root; `None`: it is in no tree.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "declared")]
    pub parent: Option<Option<Peer>>,
    /// A few words about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Fields that could not be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub troubles: Vec<Trouble>,
}

/// A field that is there, be it null.
fn declared<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<Peer>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}
