//! What the embedded libraries offer, by module: which sources make up a module, and what they say
//! of it. Reading a source is [`crate::annotations`]'s.

use splay_runtime::vm::sources;

use crate::annotations::{Entry, Module, parse};

/// Sources that belong to another module than their name says: where their entries are reached.
const PARTS: &[(&str, &[&str])] = &[
    ("splay.rpc_common", &["splay.rpc", "splay.urpc", "splay.rpcq"]),
    ("splay.misc_more", &["splay.misc"]),
    ("splay.locks", &["splay.events"]),
    ("splay.socket_more", &["splay.socket"]),
];

/// Sources that no application requires.
const INTERNAL: &[&str] =
    &["splay.compat51", "splay.prelude", "splay.sandbox", "splay.wrapped", "socket.core"];

/// Methods of sockets: they are native, and described for editors.
const SOCKET_OBJECTS: &str = include_str!("../../../lualib/meta/socket.lua");

/// A module's name and what its sources say.
pub type Named = (&'static str, Module);

/// All modules an application may require, by name.
pub fn catalogue() -> Vec<Named> {
    let read = |source: &[u8]| parse(&String::from_utf8_lossy(source));
    let part = |name: &str| PARTS.iter().find(|(part, _)| *part == name);
    let mut modules: Vec<Named> = sources()
        .iter()
        .filter(|(name, _)| part(name).is_none() && !INTERNAL.contains(name))
        .map(|(name, source)| (*name, read(source)))
        .collect();
    let mut add = |name: &str, entries: Vec<Entry>| {
        let (_, module) =
            modules.iter_mut().find(|(have, _)| *have == name).expect("parts are of modules that exist");
        for entry in entries {
            if module.entries.iter().all(|have| have.name != entry.name) {
                module.entries.push(entry);
            }
        }
    };
    for (name, source) in sources() {
        for whole in part(name).map_or(&[][..], |(_, wholes)| wholes) {
            add(whole, read(source).entries);
        }
    }
    add("splay.socket", parse(SOCKET_OBJECTS).entries);
    modules
}

/// Everything that modules offer, each with its module's name.
pub fn entries(catalogue: &[Named]) -> impl Iterator<Item = (&'static str, &Entry)> {
    catalogue.iter().flat_map(|(name, module)| module.entries.iter().map(|entry| (*name, entry)))
}

/// Whether a module may be called this: by its name, or without `splay.`.
pub fn is_called(module: &str, name: &str) -> bool {
    module == name || module.strip_prefix("splay.") == Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_sources_exist() {
        let names: Vec<&str> = sources().iter().map(|(name, _)| *name).collect();
        let parts = PARTS.iter().flat_map(|(part, wholes)| wholes.iter().chain([part]));
        for name in parts.chain(INTERNAL) {
            assert!(names.contains(name), "{name}");
        }
    }
}
