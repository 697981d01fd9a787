//! What the embedded libraries offer, by module: which sources make up a module, and what they say
//! of it. Reading a source is [`crate::annotations`]'s.

use splay_runtime::vm::sources;

use crate::annotations::{Entry, Module, parse};

/// A source that belongs to another module than its name says.
struct Part {
    source: &'static str,
    /// Where its entries are reached.
    modules: &'static [&'static str],
    /// Whether only its methods are, and its functions are the libraries' own affair.
    methods_only: bool,
}

const fn part(source: &'static str, modules: &'static [&'static str]) -> Part {
    Part { source, modules, methods_only: false }
}

const PARTS: &[Part] = &[
    part("splay.rpc_common", &["splay.rpc", "splay.urpc", "splay.rpcq"]),
    part("splay.misc_more", &["splay.misc"]),
    Part { source: "splay.nbd_client", modules: &["splay.nbd"], methods_only: true },
    part("splay.locks", &["splay.events"]),
    part("splay.log_main", &["splay.log"]),
    part("splay.socket_main", &["splay.socket"]),
    part("splay.socket_more", &["splay.socket"]),
    Part { source: "socket.http_connection", modules: &["socket.http"], methods_only: true },
    Part { source: "splay.etcd.admin", modules: &["splay.etcd"], methods_only: true },
    Part { source: "splay.etcd.server", modules: &["splay.etcd"], methods_only: true },
    Part { source: "splay.etcd.registry", modules: &["splay.etcd.patterns"], methods_only: true },
];

/// Sources that no application requires.
const INTERNAL: &[&str] = &[
    "socket.smtp_message",
    "splay.compat51",
    "splay.etcd.lease",
    "splay.etcd.transport",
    "splay.lazy",
    "splay.nbd_command",
    "splay.nbd_connection",
    "splay.nbd_memory",
    "splay.nbd_pack",
    "splay.nbd_script",
    "splay.prelude",
    "splay.sandbox",
    "splay.traffic_flows",
    "splay.virtual",
    "splay.wrapped",
];

/// Modules that are the table of another one, or a table inside of it.
pub const SAME: &[(&str, &str)] = &[
    ("cjson.safe", "cjson"),
    ("crypto.evp", "crypto"),
    ("crypto.hmac", "crypto"),
    ("crypto.rand", "crypto"),
    ("etcd.luasocket", "splay.etcd"),
    ("mime.core", "mime"),
    ("socket", "splay.socket"),
    ("socket.core", "splay.socket"),
];

/// What is native, described for editors: the file, and the module that makes such objects.
pub const NATIVE: &[(&str, &str, &str)] = &[
    ("globals", GLOBALS, include_str!("../../../lualib/meta/globals.lua")),
    ("sockets", "splay.socket", include_str!("../../../lualib/meta/sockets.lua")),
    ("tls", "ssl", include_str!("../../../lualib/meta/tls.lua")),
];

/// What stands for a module's name where globals are described.
pub const GLOBALS: &str = "globals";

/// A module's name and what its sources say.
pub type Named = (&'static str, Module);

/// All modules an application may require, by name, then the globals.
pub fn catalogue() -> Vec<Named> {
    let read = |source: &[u8]| parse(&String::from_utf8_lossy(source));
    let part = |name: &str| PARTS.iter().find(|part| part.source == name);
    let mut modules: Vec<Named> = sources()
        .iter()
        .filter(|(name, _)| part(name).is_none() && !INTERNAL.contains(name))
        .map(|(name, source)| (*name, read(source)))
        .collect();
    modules.push((GLOBALS, Module::default()));
    let mut add = |name: &str, part: Module, main: bool| {
        let (_, module) =
            modules.iter_mut().find(|(have, _)| *have == name).expect("parts are of modules that exist");
        for entry in part.entries {
            if module.entries.iter().all(|have| have.name != entry.name) {
                module.entries.push(entry);
            }
        }
        module.types.extend(part.types);
        if main {
            let since = module.about.since.take();
            module.about = part.about;
            module.about.since = module.about.since.take().or(since);
        }
    };
    for part in PARTS {
        let (_, source) = sources().iter().find(|(name, _)| *name == part.source).expect("parts are sources");
        for (position, module) in part.modules.iter().enumerate() {
            let mut parsed = read(source);
            if part.methods_only {
                parsed.entries.retain(|entry| entry.class().is_some());
            }
            if position > 0 {
                // Types have one place; examples are of the module they are shown for.
                parsed.types.clear();
                rename(&mut parsed.entries, variable(part.modules[0]), variable(module));
            }
            let main = part.source.strip_suffix("_main") == Some(module);
            add(module, parsed, main);
        }
    }
    for (_, module, source) in NATIVE {
        add(module, parse(source), *module == GLOBALS);
    }
    modules
}

/// Makes the examples use another variable for their module.
fn rename(entries: &mut [Entry], from: &str, to: &str) {
    let (from, to) = (format!("{from}."), format!("{to}."));
    for example in entries.iter_mut().flat_map(|entry| &mut entry.about.examples) {
        for line in &mut example.lines {
            *line = line.replace(&from, &to);
        }
    }
}

/// Everything that modules offer, each with its module's name.
pub fn entries(catalogue: &[Named]) -> impl Iterator<Item = (&'static str, &Entry)> {
    catalogue.iter().flat_map(|(name, module)| module.entries.iter().map(|entry| (*name, entry)))
}

/// Whether a module may be called this: by its name, or without `splay.`.
pub fn is_called(module: &str, name: &str) -> bool {
    module == name || module.strip_prefix("splay.") == Some(name)
}

/// The variable that programs give a module: the last part of its name.
pub fn variable(module: &str) -> &str {
    module.rsplit('.').next().unwrap_or(module)
}

/// How an entry is written where it is used: `events.wait`, `Tcp:receive`, `job.me`.
pub fn full_name(module: &str, entry: &Entry) -> String {
    match module == GLOBALS || entry.class().is_some() {
        true => entry.name.clone(),
        false => format!("{}.{}", variable(module), entry.name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_sources_exist() {
        let names: Vec<&str> = sources().iter().map(|(name, _)| *name).collect();
        let parts = PARTS.iter().flat_map(|part| part.modules.iter().chain([&part.source]));
        let same = SAME.iter().flat_map(|(module, other)| [module, other]);
        for name in parts.chain(INTERNAL).chain(same) {
            assert!(names.contains(name), "{name}");
        }
    }

    #[test]
    fn parts_are_in_their_modules() {
        let catalogue = catalogue();
        let has = |module: &str, name: &str| {
            entries(&catalogue).any(|(have, entry)| have == module && entry.name == name)
        };
        for (module, name) in [
            ("splay.rpcq", "ecall"),
            ("splay.misc", "random_string"),
            ("splay.events", "Lock:unlock"),
            ("splay.log", "new"),
            ("splay.socket", "Udp:settimeout"),
            ("socket.http", "Connection:sendheaders"),
            (GLOBALS, "job.me"),
        ] {
            assert!(has(module, name), "{module} {name}");
        }
        assert!(!has("socket.http", "put"));
    }
}
