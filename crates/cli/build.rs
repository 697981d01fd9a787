//! Exports the Lua C API of the linked LuaJIT from the command: C modules that a program loads
//! find it there.

fn main() {
    println!("cargo:rustc-link-arg-bins=-rdynamic");
    println!("cargo:rerun-if-changed=build.rs");
}
