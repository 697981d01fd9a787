//! Embeds every Lua library of lualib/ (but its tests and editor stubs): a file
//! `lualib/a/b.lua` becomes the module `a.b`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn collect(folder: &Path, prefix: &str, found: &mut Vec<(String, PathBuf)>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("read {}: {error}", folder.display()));
    for entry in entries {
        let path = entry.expect("directory entry").path();
        let name = path.file_stem().expect("has a name").to_string_lossy().into_owned();
        if path.is_dir() {
            if !(prefix.is_empty() && (name == "tests" || name == "meta")) {
                collect(&path, &format!("{prefix}{name}."), found);
            }
        } else if path.extension().is_some_and(|extension| extension == "lua") {
            found.push((format!("{prefix}{name}"), path));
        }
    }
    println!("cargo:rerun-if-changed={}", folder.display());
}

fn main() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("set by cargo")).join("../../lualib");
    let root = root.canonicalize().expect("lualib folder");
    let mut found = Vec::new();
    collect(&root, "", &mut found);
    found.sort();
    let mut code = String::from("static SOURCES: &[(&str, &[u8])] = &[\n");
    for (name, path) in found {
        println!("cargo:rerun-if-changed={}", path.display());
        writeln!(code, "    ({name:?}, include_bytes!({:?})),", path.display().to_string())
            .expect("to a string");
    }
    code.push_str("];\n");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("set by cargo")).join("libraries.rs");
    fs::write(out, code).expect("write generated list");
}
