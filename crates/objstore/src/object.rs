//! One object, and what it counts for.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::changes::Mutation;

/// What an attribute or a key of the map counts for beside its bytes.
const ENTRY_BYTES: u64 = 32;

/// An object's contents.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Object {
    /// The byte array.
    pub data: Vec<u8>,
    /// Attributes by name.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The ordered map.
    pub omap: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Header of the map.
    pub header: Vec<u8>,
    /// When it was last changed, since 1970.
    pub mtime: Duration,
}

/// What an entry of a map counts for, in bytes.
pub(crate) fn entry_bytes(key: &[u8], value: &[u8]) -> u64 {
    (key.len() + value.len()) as u64 + ENTRY_BYTES
}

impl Object {
    /// What it counts for, in bytes: all it holds, and a little for each attribute and key.
    pub fn bytes(&self) -> u64 {
        let entries = self.xattrs.iter().chain(&self.omap);
        let entries: u64 = entries.map(|(key, value)| entry_bytes(key, value)).sum();
        (self.data.len() + self.header.len()) as u64 + entries
    }

    /// The mutations that make it from nothing.
    pub(crate) fn mutations(&self) -> Vec<Mutation> {
        let mut all = vec![Mutation::Create];
        if !self.data.is_empty() {
            all.push(Mutation::WriteFull { data: self.data.clone() });
        }
        let attribute = |(name, value): (&Vec<u8>, &Vec<u8>)| Mutation::SetXattr {
            name: name.clone(),
            value: value.clone(),
        };
        all.extend(self.xattrs.iter().map(attribute));
        let entry =
            |(key, value): (&Vec<u8>, &Vec<u8>)| Mutation::SetKey { key: key.clone(), value: value.clone() };
        all.extend(self.omap.iter().map(entry));
        if !self.header.is_empty() {
            all.push(Mutation::SetHeader { header: self.header.clone() });
        }
        all
    }
}

/// Applies a mutation that was found to fit. All but `Remove` make the object if there is none.
pub(crate) fn apply(object: &mut Option<Object>, mutation: Mutation) {
    if matches!(mutation, Mutation::Remove) {
        *object = None;
        return;
    }
    let object = object.get_or_insert_default();
    match mutation {
        Mutation::Create | Mutation::Remove => {}
        Mutation::Write { offset, data } => {
            let (from, to) = (offset as usize, offset as usize + data.len());
            if object.data.len() < to && !data.is_empty() {
                object.data.resize(to, 0);
            }
            if !data.is_empty() {
                object.data[from..to].copy_from_slice(&data);
            }
        }
        Mutation::WriteFull { data } => object.data = data,
        Mutation::Truncate { size } => object.data.resize(size as usize, 0),
        Mutation::SetXattr { name, value } => {
            object.xattrs.insert(name, value);
        }
        Mutation::RemoveXattr { name } => {
            object.xattrs.remove(&name);
        }
        Mutation::SetKey { key, value } => {
            object.omap.insert(key, value);
        }
        Mutation::RemoveKey { key } => {
            object.omap.remove(&key);
        }
        Mutation::ClearMap => object.omap.clear(),
        Mutation::SetHeader { header } => object.header = header,
    }
}
