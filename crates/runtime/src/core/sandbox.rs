//! The native part of the sandbox: which libraries a sandboxed program may require, how its own
//! modules are found, where its files are. The globals are trimmed in `splay.sandbox` (Lua); the
//! limits of sockets are kept in [`super::socket`].

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::host::{InstanceConfig, Mode, Sandbox};
use crate::native;
use crate::vm::{
    Access, Ctx, Kind, Module, NativeError, Return, Stack, is_library, load_source, push_library,
};

use super::function_table;
use super::objstore::ledger::Disk;

/// The module behind `splay.sandbox`.
pub const MODULE: Module = Module {
    name: "splay.sandbox_core",
    open: |_, stack| {
        function_table(
            stack,
            &[
                (c"permits", permits),
                (c"own", own),
                (c"native", native_library),
                (c"chunk", chunk),
                (c"settings", settings),
            ],
        );
    },
};

/// Embedded libraries that a sandboxed program may not require: parts of other libraries and of
/// the runtime, and what is of use by hand alone. Every other embedded library is permitted.
const REFUSED: &[&str] = &[
    "socket.http_connection",
    "socket.smtp_message",
    "splay.compat51",
    // Loads any module for whoever asks.
    "splay.lazy",
    "splay.misc_more",
    "splay.nbd_client",
    "splay.nbd_command",
    "splay.nbd_connection",
    "splay.nbd_memory",
    "splay.nbd_pack",
    "splay.nbd_script",
    "splay.prelude",
    "splay.restricted_io",
    "splay.rpc_common",
    "splay.sandbox",
    "splay.socket_more",
    "splay.traffic_flows",
    "splay.utils",
    "splay.virtual",
    "splay.wrapped",
];

/// Native modules that programs of the original could require; they hold pure functions.
const NATIVE: &[&str] = &["splay.data_bits_core", "splay.misc_core"];

/// What a sandboxed program calls in vain, by the name in Lua's message: `os.execute` and so on.
const DENIED: &[(&str, &str)] = &[
    ("load", "load"),
    ("loadfile", "loadfile"),
    ("dofile", "dofile"),
    ("newproxy", "newproxy"),
    ("execute", "os.execute"),
    ("getenv", "os.getenv"),
    ("setlocale", "os.setlocale"),
    ("popen", "io.popen"),
    ("dump", "string.dump"),
    ("loadlib", "package.loadlib"),
    ("debug", "debug.debug"),
    ("getinfo", "debug.getinfo"),
    ("getlocal", "debug.getlocal"),
    ("setlocal", "debug.setlocal"),
    ("getupvalue", "debug.getupvalue"),
    ("setupvalue", "debug.setupvalue"),
    ("getmetatable", "debug.getmetatable"),
    ("setmetatable", "debug.setmetatable"),
    ("getregistry", "debug.getregistry"),
    ("sethook", "debug.sethook"),
    ("gethook", "debug.gethook"),
    ("getfenv", "debug.getfenv"),
    ("setfenv", "debug.setfenv"),
];

/// Where the program's own modules are.
#[derive(Default)]
struct Own {
    directory: OnceCell<PathBuf>,
}

/// Name, in the instance's folder, of the list of its files under `results/`, a name a line. No
/// file of the program can be called so: theirs begin with `pfs_`.
pub const RESULTS_INDEX: &str = "results_index";

/// A longer name is none of a result.
const MAX_RESULT_NAME_BYTES: usize = 255 + "results/".len();

/// Names in the index, each once.
#[derive(Default)]
struct Results(RefCell<BTreeSet<Vec<u8>>>);

/// Prepares a sandboxed instance; does nothing for the others.
pub(super) fn install(cx: &Ctx, config: &InstanceConfig) {
    if let (Mode::Sandboxed(_), Some(directory)) = (cx.mode(), &config.program.directory) {
        let _ = cx.extension::<Own>().directory.set(directory.clone());
    }
}

/// Whether an embedded library is meant for programs (`confined`: in the sandbox).
pub(crate) fn offers(name: &str, confined: bool) -> bool {
    !REFUSED.contains(&name) || !confined && matches!(name, "splay.restricted_io" | "splay.utils")
}

/// The name of what the sandbox took away, if that is why a call failed with `message`.
pub(crate) fn denied_by(message: &str) -> Option<&'static str> {
    let rest = message.split_once("attempt to call ")?.1;
    let (kind, rest) = rest.split_once(" '")?;
    let name = rest.strip_suffix("' (a nil value)")?;
    let full = DENIED.iter().find(|(short, _)| *short == name)?.1;
    let is_global = !full.contains('.');
    (kind == if is_global { "global" } else { "field" }).then_some(full)
}

/// File of one of the program's own modules: `a.b` is `a/b.lua` or `a/b/init.lua` in its folder.
/// Names are words with dots between, so none leads out of the folder.
fn own_file(directory: &Path, name: &str) -> Option<PathBuf> {
    let is_word = |word: &str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
    };
    if !name.split('.').all(is_word) {
        return None;
    }
    let base = PathBuf::from(name.replace('.', "/"));
    [base.with_extension("lua"), base.join("init.lua")]
        .into_iter()
        .find(|file| directory.join(file).is_file())
}

/// Loads one of the program's own modules; messages name the file without the host's folders.
fn load_own(stack: Stack, directory: &Path, file: &Path) -> Result<(), String> {
    let source = std::fs::read(directory.join(file))
        .map_err(|error| format!("cannot open {}: {error}", file.display()))?;
    load_source(stack, &format!("@{}", file.display()), &source)
}

fn sandbox(cx: &Ctx) -> Result<&Sandbox, NativeError> {
    match cx.mode() {
        Mode::Sandboxed(sandbox) => Ok(sandbox),
        _ => Err("there is no sandbox".into()),
    }
}

/// Pushes an array of the hashes in the names `pfs_<hash>` of a folder's files.
fn push_hashes(stack: Stack, directory: &Path) {
    stack.new_table(0, 0);
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    let mut count = 0;
    for entry in entries.flatten() {
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        if let Some(hash) = entry.file_name().to_string_lossy().strip_prefix("pfs_")
            && is_file
            && hash.len() == 32
            && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
        {
            count += 1;
            stack.push_str(hash);
            stack.raw_set_index(-2, count);
        }
    }
}

native! {
    /// `permits(name) -> boolean`: the program may have that library.
    fn permits(cx, stack) {
        let name = stack.check_bytes(1)?;
        let listed = |list: &[&str]| list.iter().any(|have| have.as_bytes() == name);
        stack.push_bool(listed(NATIVE) || is_library(name) && !listed(REFUSED));
        Ok(Return::Values(1))
    }

    /// `own(name) -> chunk`, nil if the program has no such module, or nil and an error.
    fn own(cx, stack) {
        let name = stack.check_bytes(1)?;
        let files = cx.extension::<Own>();
        let Some(directory) = files.directory.get() else { return Ok(Return::Values(0)) };
        let file = std::str::from_utf8(name).ok().and_then(|name| own_file(directory, name));
        let Some(file) = file else { return Ok(Return::Values(0)) };
        if let Err(message) = load_own(stack, directory, &file) {
            stack.push_nil();
            stack.push_str(&message);
            return Ok(Return::Values(2));
        }
        Ok(Return::Values(1))
    }

    /// `native(name) -> function`, nil if the job has no such library, or nil and an error.
    fn native_library(cx, stack) {
        let name = stack.check_bytes(1)?;
        let libraries = &sandbox(cx)?.native;
        let found = libraries.iter().find(|library| library.name.as_bytes() == name);
        let Some(library) = found else { return Ok(Return::Values(0)) };
        match super::native_library::open(library) {
            Ok(opener) => {
                stack.push_native(opener);
                Ok(Return::Values(1))
            }
            Err(message) => {
                stack.push_nil();
                stack.push_str(&message);
                Ok(Return::Values(2))
            }
        }
    }

    /// `chunk(name) -> function`: an embedded library, not yet run.
    fn chunk(cx, stack) {
        match push_library(stack, stack.check_bytes(1)?)? {
            true => Ok(Return::Values(1)),
            false => Err("no such library".into()),
        }
    }

    /// `limit(name, reached)`: a limit of files refused something.
    fn limit(cx, stack) {
        let sandbox = sandbox(cx)?;
        let reached = stack.check_number(2)? as u64;
        let (limit, allowed) = match stack.check_bytes(1)? {
            b"max_size" => ("max_disk_bytes", sandbox.max_disk_bytes),
            b"max_files" => ("max_files", sandbox.max_files.into()),
            b"max_file_descriptors" => ("max_file_descriptors", sandbox.max_file_descriptors.into()),
            _ => return Err("no such limit".into()),
        };
        cx.limit_met(limit, allowed, reached);
        Ok(Return::Values(0))
    }

    /// `stores(files, bytes, descriptors) -> files, bytes, descriptors`: what the program's files take
    /// of the limits, and what its object stores take.
    fn stores(cx, stack) {
        let disk = Disk::of(cx);
        let told = |index| stack.check_number(index).map(|number| number.max(0.0) as u64);
        let (files, bytes, open) = (told(1)?, told(2)?, told(3)?);
        disk.io.set((bytes, files.min(u32::MAX.into()) as u32, open.min(u32::MAX.into()) as u32));
        let (bytes, files, open) = disk.stores();
        stack.push_number(f64::from(files));
        stack.push_number(bytes as f64);
        stack.push_number(f64::from(open));
        Ok(Return::Values(3))
    }

    /// `result(name)`: the program has made a file under `results/`: its name, which the folder
    /// does not tell, goes to the index that the host reads when the instance has ended.
    fn result(cx, stack) {
        let sandbox = sandbox(cx)?;
        let name = stack.check_bytes(1)?;
        let names = cx.extension::<Results>();
        let mut names = names.0.borrow_mut();
        let plain = name.len() <= MAX_RESULT_NAME_BYTES && !name.iter().any(u8::is_ascii_control);
        if plain && names.len() < sandbox.max_files as usize && names.insert(name.to_vec()) {
            let path = sandbox.directory.join(RESULTS_INDEX);
            let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
            let line = [name, b"\n"].concat();
            if let Err(error) = file.and_then(|mut file| std::io::Write::write_all(&mut file, &line)) {
                tracing::warn!(%error, "a result's name is not kept");
            }
        }
        Ok(Return::Values(0))
    }

    /// `fault(access) -> nil`, or a reason and a code: `access` is "read", "write" or "grow".
    fn fault(cx, stack) {
        let access = match stack.check_bytes(1)? {
            b"read" => Access::Read,
            b"write" => Access::Write,
            _ => Access::Grow,
        };
        let Some(error) = cx.disk_fault(access) else { return Ok(Return::Values(0)) };
        stack.push_str(&super::socket::text(&error));
        stack.push_int(i64::from(error.raw_os_error().unwrap_or_default()));
        Ok(Return::Values(2))
    }

    /// `settings() -> table` for `restricted_io.init`; the folder is there.
    fn settings(cx, stack) {
        let sandbox = sandbox(cx)?;
        let directory = sandbox.directory.to_str().ok_or("the folder's name is not UTF-8")?;
        std::fs::create_dir_all(&sandbox.directory).map_err(|error| format!("{directory}: {error}"))?;
        stack.new_table(0, 9);
        stack.push_native(stores);
        stack.set_field(-2, c"stores");
        stack.push_native(limit);
        stack.set_field(-2, c"limit");
        stack.push_native(result);
        stack.set_field(-2, c"result");
        stack.push_native(fault);
        stack.set_field(-2, c"fault");
        stack.push_str(directory);
        stack.set_field(-2, c"directory");
        push_hashes(stack, &sandbox.directory);
        debug_assert_eq!(stack.kind(-1), Kind::Table);
        stack.set_field(-2, c"hashes");
        for (key, limit) in [
            (c"max_size", sandbox.max_disk_bytes),
            (c"max_files", sandbox.max_files.into()),
            (c"max_file_descriptors", sandbox.max_file_descriptors.into()),
        ] {
            stack.push_number(limit as f64);
            stack.set_field(-2, key);
        }
        Ok(Return::Values(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_libraries_exist() {
        for name in REFUSED {
            assert!(is_library(name.as_bytes()), "{name}");
        }
        for name in NATIVE {
            assert!(super::super::MODULES.iter().any(|module| module.name == *name), "{name}");
        }
    }

    #[test]
    fn own_modules_stay_in_their_folder() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../lualib/splay");
        for name in ["", ".", "..", "../json", "a..b", "/etc/passwd", "meta/globals", ".log", "log.", "log\0"]
        {
            assert_eq!(own_file(&folder, name), None, "{name:?}");
        }
        assert_eq!(own_file(&folder, "log").unwrap(), Path::new("log.lua"));
        assert_eq!(own_file(&folder.join(".."), "splay.log").unwrap(), Path::new("splay/log.lua"));
    }

    #[test]
    fn denied_names() {
        assert_eq!(denied_by("app:1: attempt to call field 'execute' (a nil value)"), Some("os.execute"));
        assert_eq!(denied_by("app:1: attempt to call global 'dofile' (a nil value)"), Some("dofile"));
        assert_eq!(denied_by("app:1: attempt to call method 'load' (a nil value)"), None);
        assert_eq!(denied_by("app:1: attempt to call global 'foo' (a nil value)"), None);
        assert_eq!(denied_by("boom"), None);
    }
}
