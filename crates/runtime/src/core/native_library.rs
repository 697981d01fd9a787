//! Native libraries of sandboxed programs: shared objects that the job ships and the host allows,
//! each known by its digest. Judged before the system loads any of them.

use std::ffi::{CStr, CString};
use std::path::Path;

use mlua::ffi::lua_State;
use sha2::{Digest as _, Sha256};

use crate::host::NativeLibrary;

/// A library's opening function, as Lua calls it.
pub type Opener = unsafe extern "C-unwind" fn(*mut lua_State) -> std::ffi::c_int;

/// ELF's number of this machine's architecture.
const MACHINE: u16 = if cfg!(target_arch = "x86_64") {
    62
} else if cfg!(target_arch = "aarch64") {
    183
} else if cfg!(target_arch = "riscv64") {
    243
} else {
    0
};

/// Checks that a file holds a shared object for this platform.
fn check_platform(bytes: &[u8]) -> Result<(), String> {
    if bytes.len() < 20 || !bytes.starts_with(b"\x7fELF") {
        return Err("is no shared library (ELF)".to_owned());
    }
    let class = if cfg!(target_pointer_width = "64") { 2 } else { 1 };
    let order = if cfg!(target_endian = "little") { 1 } else { 2 };
    let machine = [bytes[18], bytes[19]];
    let machine = if bytes[5] == 1 { u16::from_le_bytes(machine) } else { u16::from_be_bytes(machine) };
    if bytes[4] == class && bytes[5] == order && machine == MACHINE {
        return Ok(());
    }
    Err(format!("is built for another platform (ELF machine {machine}, here {MACHINE})"))
}

/// The text of the dynamic linker's last error, without the host's folders.
fn linker_error(path: &Path, name: &str) -> String {
    // SAFETY: `dlerror` gives a string that lives until the next call of this thread, or null.
    let text = unsafe {
        let error = libc::dlerror();
        match error.is_null() {
            true => "cannot be loaded".to_owned(),
            false => CStr::from_ptr(error).to_string_lossy().into_owned(),
        }
    };
    text.replace(&*path.to_string_lossy(), name)
}

/// Loads a library whose content has the digest that the host allows, and finds its opening
/// function `luaopen_NAME` (dots of the name become underscores). It stays loaded.
pub fn open(library: &NativeLibrary) -> Result<Opener, String> {
    let name = &library.name;
    let bytes = std::fs::read(&library.path)
        .map_err(|error| format!("native library `{name}` cannot be read: {error}"))?;
    if hex::encode(Sha256::digest(&bytes)) != library.sha256 {
        return Err(format!("native library `{name}` is not the one that is allowed: its SHA-256 differs"));
    }
    check_platform(&bytes).map_err(|problem| format!("native library `{name}` {problem}"))?;
    let opener = format!("luaopen_{}", name.replace('.', "_"));
    let text = |_| format!("native library `{name}`: its name or path holds a zero byte");
    let path = CString::new(library.path.as_os_str().as_encoded_bytes()).map_err(text)?;
    let symbol = CString::new(opener.as_str()).map_err(text)?;
    // SAFETY: loads the object that was just judged, which runs its constructors: that its digest is
    // on the host's list says that it may run. The path and the symbol are strings that end in zero.
    unsafe {
        let handle = libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL);
        if handle.is_null() {
            return Err(format!("native library `{name}`: {}", linker_error(&library.path, name)));
        }
        let function = libc::dlsym(handle, symbol.as_ptr());
        if function.is_null() {
            return Err(format!("native library `{name}` has no function {opener}"));
        }
        Ok(std::mem::transmute::<*mut libc::c_void, Opener>(function))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn library(folder: &Path, bytes: &[u8], sha256: Option<&str>) -> NativeLibrary {
        let path = folder.join("tiny.so");
        std::fs::write(&path, bytes).unwrap();
        let sha256 = sha256.map_or_else(|| hex::encode(Sha256::digest(bytes)), str::to_owned);
        NativeLibrary { name: "tiny".into(), path, sha256 }
    }

    #[test]
    fn what_cannot_be_loaded_is_told_before_the_system_is_asked() {
        let folder = tempfile::tempdir().unwrap();
        let wrong = |bytes: &[u8], sha256| open(&library(folder.path(), bytes, sha256)).unwrap_err();
        let digest = "0".repeat(64);
        assert!(wrong(b"x", Some(&digest)).ends_with("its SHA-256 differs"));
        assert_eq!(wrong(b"text", None), "native library `tiny` is no shared library (ELF)");
        let mut header = vec![0; 64];
        header[..6].copy_from_slice(b"\x7fELF\x02\x01");
        header[18] = 8;
        assert!(wrong(&header, None).contains("another platform (ELF machine 8, here "));
        header[18..20].copy_from_slice(&MACHINE.to_le_bytes());
        let told = wrong(&header, None);
        assert!(!told.contains(&*folder.path().to_string_lossy()), "no folders of the host: {told}");
    }
}
