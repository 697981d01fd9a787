//! The libraries an app can require: native modules and embedded Lua files, compiled once per
//! process; and the searchers that `require` uses.

use std::ffi::{CStr, CString, c_int, c_void};
use std::path::Path;
use std::sync::OnceLock;

use mlua::ffi;

use super::ctx::Ctx;
use super::stack::{NativeError, Return, Stack, State};
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

/// Bytecode of the embedded libraries, each compiled at its first use in the process. With line
/// information: without it a state is only 4 KB smaller.
static COMPILED: OnceLock<Vec<OnceLock<Vec<u8>>>> = OnceLock::new();

/// Put before the source of every library, on its first line. Libraries `require` what they need
/// through a function of their own that is passed to their chunk: what a program makes of the
/// global `require` does not concern them, and a sandboxed program cannot reach theirs.
const PREFIX: &[u8] = b"local require=...;";

/// Registry field with the `require` of the libraries.
const REQUIRE: &CStr = c"splay.require";

unsafe extern "C-unwind" fn collect(
    _state: State,
    bytes: *const c_void,
    length: usize,
    collected: *mut c_void,
) -> c_int {
    // SAFETY: called by `lua_dump` with the vector that `compile` gave it and a piece of bytecode.
    unsafe {
        let piece = std::slice::from_raw_parts(bytes.cast::<u8>(), length);
        (*collected.cast::<Vec<u8>>()).extend_from_slice(piece);
    }
    0
}

/// Compiles Lua source to LuaJIT bytecode with line information, on any state: nothing the state's
/// program has done to its globals matters. The error is LuaJIT's `file:line: what`.
pub fn compile(stack: Stack, name: &str, source: &[u8]) -> Result<Vec<u8>, String> {
    let chunk = CString::new(name).map_err(|_| format!("{name:?} contains a zero byte"))?;
    if !stack.load(source, &chunk) {
        let message = stack.text(-1).unwrap_or_default();
        stack.pop(1);
        return Err(message);
    }
    let mut bytes: Vec<u8> = Vec::with_capacity(source.len());
    // SAFETY: a Lua function is on top; the vector outlives the call.
    let code = unsafe { ffi::lua_dump_(stack.raw(), collect, (&raw mut bytes).cast()) };
    stack.pop(1);
    if code == 0 { Ok(bytes) } else { Err(format!("{name}: cannot be dumped")) }
}

fn library(name: &[u8]) -> Option<usize> {
    SOURCES.binary_search_by(|(have, _)| have.as_bytes().cmp(name)).ok()
}

/// Name and Lua source of every embedded library, in the order of their names.
pub fn sources() -> &'static [(&'static str, &'static [u8])] {
    SOURCES
}

/// Whether there is an embedded library of that name.
pub(crate) fn is_library(name: &[u8]) -> bool {
    library(name).is_some()
}

/// Pushes the chunk of an embedded library, which expects the libraries' `require` as its
/// argument; false if there is none of that name.
pub(crate) fn push_library(stack: Stack, name: &[u8]) -> Result<bool, String> {
    let Some(index) = library(name) else { return Ok(false) };
    let (name, source) = SOURCES[index];
    let compiled = COMPILED.get_or_init(|| SOURCES.iter().map(|_| OnceLock::new()).collect());
    let chunk = format!("@{}.lua", name.replace('.', "/"));
    let bytecode = match compiled[index].get() {
        Some(bytecode) => bytecode,
        None => {
            // On a state of its own: whoever comes first must find the same heap as the others.
            let bytecode = super::state::compile_alone(&chunk, &[PREFIX, source].concat())?;
            compiled[index].get_or_init(|| bytecode)
        }
    };
    let chunk = CString::new(chunk).expect("library names have no zero byte");
    if stack.load(bytecode, &chunk) { Ok(true) } else { Err(stack.text(-1).unwrap_or_default()) }
}

/// Runs an embedded library for its effect.
pub(super) fn run_library(stack: Stack, name: &str) -> Result<(), String> {
    let found = push_library(stack, name.as_bytes())?;
    assert!(found, "{name} is embedded");
    push_require(stack);
    if stack.protected_call(1, 0, 0) {
        return Ok(());
    }
    Err(format!("{name}: {}", stack.text(-1).unwrap_or_default()))
}

/// Pushes the `require` of the libraries.
fn push_require(stack: Stack) {
    stack.field(ffi::LUA_REGISTRYINDEX, REQUIRE);
}

/// Reads, prepares and loads a Lua source file; the function is on top.
pub(crate) fn load_file(stack: Stack, path: &Path) -> Result<(), String> {
    let source = std::fs::read(path).map_err(|error| format!("cannot open {}: {error}", path.display()))?;
    load_source(stack, &format!("@{}", path.display()), &source)
}

/// Prepares (see [`crate::compat`]) and loads Lua source; the function is on top. Bytecode is
/// accepted only outside the sandbox.
pub(crate) fn load_source(stack: Stack, name: &str, source: &[u8]) -> Result<(), String> {
    let prepared = crate::compat::prepare(source);
    if prepared.first() == Some(&BYTECODE) && matches!(Ctx::current().mode(), Mode::Sandboxed(_)) {
        return Err("bytecode cannot be loaded in the sandbox".to_owned());
    }
    let chunk = CString::new(name.replace('\0', "\\0")).expect("zero bytes were replaced");
    if stack.load(&prepared, &chunk) {
        return Ok(());
    }
    let message = stack.text(-1).unwrap_or_default();
    stack.pop(1);
    Err(message)
}

/// First byte of LuaJIT bytecode.
pub(crate) const BYTECODE: u8 = 0x1b;

native! {
    /// Runs the chunk of a library, the first upvalue, with the libraries' `require`.
    fn open_library(cx, stack) {
        stack.push_value(ffi::lua_upvalueindex(1));
        push_require(stack);
        stack.call(1, 1);
        Ok(Return::Values(1))
    }

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
            Ok(true) => {
                stack.push_closure(open_library, 1);
                Ok(Return::Values(1))
            }
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
/// `package.path`. In the sandbox there are embedded libraries and nothing else: what programs
/// may `require` is decided in `splay.sandbox`.
pub(super) fn install(stack: Stack, directory: Option<&Path>, sandboxed: bool) {
    stack.global(c"require");
    stack.set_field(ffi::LUA_REGISTRYINDEX, REQUIRE);
    stack.global(c"package");
    if sandboxed {
        stack.new_table(1, 0);
        stack.push_native(search_embedded);
        stack.raw_set_index(-2, 1);
        stack.set_field(-2, c"loaders");
        stack.pop(1);
        return;
    }
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
