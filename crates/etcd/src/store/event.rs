//! What happened to a key, as clients are told.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::json;

/// Nanoseconds in a second.
const SECOND: i64 = 1_000_000_000;

/// Kinds of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Action {
    Get,
    Create,
    Set,
    Update,
    Delete,
    CompareAndSwap,
    CompareAndDelete,
    Expire,
}

impl Action {
    /// etcd's name.
    pub fn name(self) -> &'static str {
        match self {
            Action::Get => "get",
            Action::Create => "create",
            Action::Set => "set",
            Action::Update => "update",
            Action::Delete => "delete",
            Action::CompareAndSwap => "compareAndSwap",
            Action::CompareAndDelete => "compareAndDelete",
            Action::Expire => "expire",
        }
    }
}

/// A key or directory at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// Path; `/` is the root, which has no name in the answer.
    pub key: Bytes,
    /// Of a file.
    pub value: Option<Bytes>,
    /// It is a directory.
    pub dir: bool,
    /// When it ends, in nanoseconds since 1970.
    pub expiration: Option<i64>,
    /// Seconds left then, rounded up.
    pub ttl: i64,
    /// What is in the directory, if that was asked.
    pub nodes: Vec<View>,
    /// Index of the last change.
    pub modified: u64,
    /// Index of the creation.
    pub created: u64,
}

impl View {
    /// Notes the end of its life as seen at `now`.
    pub fn set_expiration(&mut self, expiration: Option<i64>, now: i64) {
        self.expiration = expiration;
        if let Some(at) = expiration {
            let left = at.wrapping_sub(now);
            self.ttl = left / SECOND + i64::from(left % SECOND > 0);
        }
    }

    fn bytes(&self) -> usize {
        size_of::<View>() + self.key.len() + self.value.as_ref().map_or(0, Bytes::len)
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        let first = out.len();
        let name = |out: &mut Vec<u8>, name: &str| {
            if out.len() > first {
                out.push(b',');
            }
            out.push(b'"');
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\":");
        };
        if self.key != "/" {
            name(out, "key");
            json::string(out, &self.key);
        }
        if let Some(value) = &self.value {
            name(out, "value");
            json::string(out, value);
        }
        if self.dir {
            name(out, "dir");
            out.extend_from_slice(b"true");
        }
        if let Some(at) = self.expiration {
            name(out, "expiration");
            json::string(out, json::timestamp(at).as_bytes());
        }
        if self.ttl != 0 {
            name(out, "ttl");
            json::number(out, self.ttl);
        }
        if !self.nodes.is_empty() {
            name(out, "nodes");
            for (at, node) in self.nodes.iter().enumerate() {
                out.push(if at == 0 { b'[' } else { b',' });
                node.write(out);
            }
            out.push(b']');
        }
        if self.modified != 0 {
            name(out, "modifiedIndex");
            json::number(out, self.modified);
        }
        if self.created != 0 {
            name(out, "createdIndex");
            json::number(out, self.created);
        }
        out.push(b'}');
    }
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// What was done.
    pub action: Action,
    /// The key after it.
    pub node: View,
    /// The key before it.
    pub previous: Option<View>,
    /// Only the time to live was renewed: watchers are not told.
    pub refresh: bool,
}

impl Event {
    /// The store's index at which it happened.
    pub fn index(&self) -> u64 {
        self.node.modified
    }

    /// Memory, about.
    pub fn bytes(&self) -> usize {
        self.node.bytes() + self.previous.as_ref().map_or(0, View::bytes)
    }

    /// The key is new.
    pub fn is_created(&self) -> bool {
        self.action == Action::Create || self.action == Action::Set && self.previous.is_none()
    }

    /// As a line of JSON.
    pub fn json(&self, with_nodes: bool) -> Bytes {
        let mut out = Vec::with_capacity(192);
        out.extend_from_slice(b"{\"action\":\"");
        out.extend_from_slice(self.action.name().as_bytes());
        out.push(b'"');
        if with_nodes {
            out.extend_from_slice(b",\"node\":");
            self.node.write(&mut out);
            if let Some(previous) = &self.previous {
                out.extend_from_slice(b",\"prevNode\":");
                previous.write(&mut out);
            }
        }
        out.extend_from_slice(b"}\n");
        out.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_in_etcds_order() {
        let mut node =
            View { key: "/a".into(), value: Some(Bytes::new()), modified: 5, created: 4, ..View::default() };
        node.set_expiration(Some(2_500_000_000), 1_000_000_000);
        let event = Event { action: Action::Set, node, previous: None, refresh: false };
        assert_eq!(
            event.json(true),
            "{\"action\":\"set\",\"node\":{\"key\":\"/a\",\"value\":\"\",\"expiration\":\"1970-01-01T00:00:02.5Z\",\
             \"ttl\":2,\"modifiedIndex\":5,\"createdIndex\":4}}\n"
        );
        assert_eq!(event.json(false), "{\"action\":\"set\"}\n");
    }
}
