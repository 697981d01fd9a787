//! The data of a picture, as view.json keeps them, and what all pictures ask of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use splay_runtime::view::{Peer, View};

/// What the instances of a run showed of themselves.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Overlay {
    /// Name of the application.
    pub app: String,
    /// How many instances the run had.
    pub instances: u32,
    /// Those that showed something, by number.
    pub nodes: Vec<Shown>,
}

/// What one instance showed, and how it ended.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    /// Its number.
    pub instance: u32,
    /// Its address.
    pub ip: String,
    /// Its port.
    pub port: u16,
    /// How it ended: `stopped`, `exit 0` ...
    pub ending: String,
    /// It failed, or ended before the others were stopped: they should know it no longer.
    pub gone: bool,
    /// Its global `view`.
    #[serde(flatten)]
    pub view: View,
}

impl Shown {
    /// `ip:port`.
    pub fn address(&self) -> String {
        format!("{}:{}", self.ip, self.port)
    }

    /// What is said of it beside its number.
    pub fn label(&self) -> Option<&str> {
        self.view.label.as_deref().filter(|label| !label.is_empty())
    }
}

/// `ip:port` of a node that is named by another.
pub fn address(peer: &Peer) -> String {
    format!("{}:{}", peer.ip, peer.port)
}

impl Overlay {
    /// The instances that were there until the end.
    pub fn living(&self) -> Vec<&Shown> {
        self.nodes.iter().filter(|node| !node.gone).collect()
    }

    /// A few words on what is not in the picture.
    pub fn absent(&self) -> Option<String> {
        let silent = (self.instances as usize).saturating_sub(self.nodes.len());
        let gone = self.nodes.iter().filter(|node| node.gone).count();
        let mut words = Vec::new();
        if gone > 0 {
            words.push(format!("{gone} ended early"));
        }
        if silent > 0 {
            words.push(format!("{silent} showed nothing"));
        }
        (!words.is_empty()).then(|| words.join(", "))
    }
}

/// Where each address is in a list.
pub fn places_of(nodes: &[&Shown]) -> BTreeMap<String, usize> {
    nodes.iter().enumerate().map(|(index, node)| (node.address(), index)).collect()
}

/// A whole number and its noun.
pub fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
