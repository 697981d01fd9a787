//! The libraries an app can require: native modules and embedded Lua files, compiled once per
//! process; and the searchers that `require` uses.

use std::ffi::CString;
use std::path::Path;
use std::sync::OnceLock;

use mlua::ffi;

use super::ctx::Ctx;
use super::stack::{NativeError, Return, Stack};
use crate::host::Mode;
use crate::native;

include!(concat!(env!("OUT_DIR"), "/libraries.rs"));

/// A native module: its name for `require`, and a function that pushes its table.
pub struct Module {
    /// Name, for example `splay.events_core`.
    pub name: &'static str,
    /// Pushes the module's table (called once per instance, at the first `require`).
    pub open: fn(&Ctx, Stack),
}

/// Bytecode of the embedded libraries, with and without line information, each compiled at its
/// first use in the process.
static COMPILED: OnceLock<Vec<[OnceLock<Vec<u8>>; 2]>> = OnceLock::new();

/// Compiles Lua source to LuaJIT bytecode on any state. `strip` leaves out line information.
/// The error is LuaJIT's `file:line: what`.
pub fn compile(stack: Stack, name: &str, source: &[u8], strip: bool) -> Result<Vec<u8>, String> {
    let chunk = CString::new(name).map_err(|_| format!("{name:?} contains a zero byte"))?;
    if !stack.load(source, &chunk) {
        let message = stack.text(-1).unwrap_or_default();
        stack.pop(1);
        return Err(message);
    }
    stack.global(c"string");
    stack.field(-1, c"dump");
    stack.push_value(-3);
    stack.push_bool(strip);
    let dumped = stack.protected_call(2, 1, 0);
    let bytes = stack.bytes(-1).unwrap_or_default().to_vec();
    stack.pop(3);
    if dumped { Ok(bytes) } else { Err(String::from_utf8_lossy(&bytes).into_owned()) }
}

/// Pushes the chunk of an embedded library; false if there is none of that name.
pub(super) fn push_library(stack: Stack, name: &[u8]) -> Result<bool, String> {
    let Ok(index) = SOURCES.binary_search_by(|(have, _)| have.as_bytes().cmp(name)) else {
        return Ok(false);
    };
    let (name, source) = SOURCES[index];
    let compiled = COMPILED.get_or_init(|| SOURCES.iter().map(|_| Default::default()).collect());
    let strip = Ctx::current().is_compact();
    let cache = &compiled[index][usize::from(strip)];
    let chunk = format!("@{}.lua", name.replace('.', "/"));
    let bytecode = match cache.get() {
        Some(bytecode) => bytecode,
        None => {
            let bytecode = compile(stack, &chunk, source, strip)?;
            cache.get_or_init(|| bytecode)
        }
    };
    let chunk = CString::new(chunk).expect("library names have no zero byte");
    if stack.load(bytecode, &chunk) { Ok(true) } else { Err(stack.text(-1).unwrap_or_default()) }
}

/// Reads, prepares and loads a Lua source file; the function is on top.
pub(crate) fn load_file(stack: Stack, path: &Path) -> Result<(), String> {
    let source = std::fs::read(path).map_err(|error| format!("cannot open {}: {error}", path.display()))?;
    load_source(stack, &format!("@{}", path.display()), &source)
}

/// Prepares (see [`crate::compat`]) and loads Lua source; the function is on top. Bytecode is
/// accepted only outside the sandbox.
pub(crate) fn load_source(stack: Stack, name: &str, source: &[u8]) -> Result<(), String> {
    if source.first() == Some(&0x1b) && matches!(Ctx::current().mode(), Mode::Sandboxed(_)) {
        return Err("attempt to load bytecode in the sandbox".to_owned());
    }
    let chunk = CString::new(name.replace('\0', "\\0")).expect("zero bytes were replaced");
    if stack.load(&crate::compat::prepare(source), &chunk) {
        return Ok(());
    }
    let message = stack.text(-1).unwrap_or_default();
    stack.pop(1);
    Err(message)
}

native! {
    /// Opens the native module whose number is the first upvalue.
    fn open_native(cx, stack) {
        let index = stack.number(ffi::lua_upvalueindex(1)).unwrap_or(0.0) as usize;
        (crate::core::MODULES[index].open)(cx, stack);
        Ok(Return::Values(1))
    }

    /// `require` searcher for native modules and embedded libraries.
    fn search_embedded(cx, stack) {
        let name = stack.check_bytes(1)?;
        if let Some(index) = crate::core::MODULES.iter().position(|module| module.name.as_bytes() == name) {
            stack.push_int(index as i64);
            stack.push_closure(open_native, 1);
            return Ok(Return::Values(1));
        }
        match push_library(stack, name) {
            Ok(true) => Ok(Return::Values(1)),
            Ok(false) => {
                stack.push_str(&format!("\n\tno embedded library '{}'", String::from_utf8_lossy(name)));
                Ok(Return::Values(1))
            }
            Err(message) => Err(NativeError::Message(message)),
        }
    }

    /// `require` searcher for Lua files along `package.path`.
    fn search_files(cx, stack) {
        let name = stack.text(1).unwrap_or_default();
        stack.global(c"package");
        stack.field(-1, c"path");
        let path = stack.text(-1).ok_or("'package.path' must be a string")?;
        let mut tried = String::new();
        for template in path.split(';').filter(|template| !template.is_empty()) {
            let file = template.replace('?', &name.replace('.', "/"));
            if Path::new(&file).is_file() {
                load_file(stack, Path::new(&file))
                    .map_err(|error| format!("error loading module '{name}' from file '{file}':\n\t{error}"))?;
                return Ok(Return::Values(1));
            }
            tried.push_str(&format!("\n\tno file '{file}'"));
        }
        stack.push_str(&tried);
        Ok(Return::Values(1))
    }
}

/// Puts our searchers in `package.loaders` (after `preload`) and the app's folder first in
/// `package.path`.
pub(super) fn install(stack: Stack, directory: Option<&Path>) {
    stack.global(c"package");
    stack.field(-1, c"loaders");
    // loaders: preload, Lua file, C module, all-in-one C module
    for n in (3..=4).rev() {
        stack.raw_get_index(-1, n);
        stack.raw_set_index(-2, n + 1);
    }
    stack.push_native(search_embedded);
    stack.raw_set_index(-2, 2);
    stack.push_native(search_files);
    stack.raw_set_index(-2, 3);
    stack.pop(1);
    if let Some(directory) = directory {
        let directory = directory.display();
        stack.field(-1, c"path");
        let path = format!("{directory}/?.lua;{directory}/?/init.lua;{}", stack.text(-1).unwrap_or_default());
        stack.pop(1);
        stack.push_str(&path);
        stack.set_field(-2, c"path");
    }
    stack.pop(1);
}
