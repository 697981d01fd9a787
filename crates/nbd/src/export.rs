//! What a server offers: its exports by name, and what an opened one can do.

use crate::wire::ability;

/// What holds for a connection from its beginning.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// Which exports there are.
    pub names: Names,
    /// Whether connections are, or must be, encrypted.
    pub tls: Tls,
}

/// Which exports there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Names {
    /// One, which answers to every name and is listed as "".
    #[default]
    Any,
    /// These.
    Only(Vec<Listed>),
}

/// An export in the list that clients can ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listed {
    /// Its name, at most 4096 bytes.
    pub name: Vec<u8>,
    /// A text for people.
    pub description: Vec<u8>,
}

impl Names {
    /// Whether there is an export of that name.
    pub(crate) fn contains(&self, name: &[u8]) -> bool {
        match self {
            Names::Any => true,
            Names::Only(list) => list.iter().any(|listed| listed.name == name),
        }
    }
}

/// Whether connections are encrypted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tls {
    /// A client that asks for it is refused.
    #[default]
    Off,
    /// As the client likes.
    Allowed,
    /// Nothing else is done before it is on.
    Required,
}

/// What an export can do, as its host says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Abilities {
    /// It can be written to.
    pub write: bool,
    /// Writes can be made durable.
    pub flush: bool,
    /// Ranges can be given up.
    pub trim: bool,
    /// Seeking costs time.
    pub rotational: bool,
    /// Several connections see the same contents: one's flush covers the writes of all.
    pub multi_conn: bool,
    /// Ranges can be read ahead.
    pub cache: bool,
    /// The host knows which ranges are allocated: it is asked for extents.
    pub extents: bool,
    /// The host may be asked for zeroes on condition that they are fast. Where it may not, such
    /// requests are advertised and answered with ENOTSUP, as by nbdkit.
    pub fast_zero: bool,
}

/// Sizes of requests that an export likes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockSizes {
    /// Smallest, bytes.
    pub minimum: u32,
    /// Best, bytes.
    pub preferred: u32,
    /// Largest, bytes.
    pub maximum: u32,
}

/// An export that a host has opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Export {
    /// Bytes.
    pub size: u64,
    /// What it can do.
    pub abilities: Abilities,
    /// A text for people.
    pub description: Option<Vec<u8>>,
    /// Told to clients that ask.
    pub block_sizes: Option<BlockSizes>,
}

impl Export {
    /// The transmission flags.
    pub(crate) fn flags(&self, structured: bool) -> u16 {
        let can = &self.abilities;
        let writing =
            [(true, ability::FUA | ability::WRITE_ZEROES | ability::FAST_ZERO), (can.trim, ability::TRIM)];
        let always = [
            (can.flush, ability::FLUSH),
            (can.rotational, ability::ROTATIONAL),
            (can.multi_conn, ability::MULTI_CONN),
            (can.cache, ability::CACHE),
            (structured, ability::DF),
            (!can.write, ability::READ_ONLY),
        ];
        let writing = writing.iter().filter(|_| can.write);
        let set = |flags, &(on, bits): &(bool, u16)| if on { flags | bits } else { flags };
        always.iter().chain(writing).fold(ability::HAS_FLAGS, set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_those_of_nbdkit() {
        let export = |abilities| Export { abilities, ..Export::default() };
        let minimal = export(Abilities { write: true, ..Abilities::default() });
        let full = export(Abilities { write: true, flush: true, trim: true, ..Abilities::default() });
        assert_eq!(full.flags(true), 0x8ed);
        assert_eq!(minimal.flags(true), 0x8c9);
        assert_eq!(export(Abilities::default()).flags(true), 0x83);
        assert_eq!(export(Abilities::default()).flags(false), 0x03);
        let shared = Abilities { multi_conn: true, rotational: true, cache: true, ..Abilities::default() };
        assert_eq!(export(shared).flags(false), 0x513);
    }
}
