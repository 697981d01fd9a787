//! Which files go with a job: the program, the modules it requires from beside it, and what the
//! user names.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use splay_protocol::api::SubmitFile;

use crate::failure::Failure;

/// The files of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shipment {
    /// Path of the program among them.
    pub app: String,
    /// All, by path.
    pub files: Vec<SubmitFile>,
}

/// Collects the files. `extra` are files or folders; each keeps its path relative to the program's
/// folder where it is below it, else its last name.
pub fn collect(app: &Path, source: Vec<u8>, extra: &[PathBuf]) -> Result<Shipment, Failure> {
    let folder = app.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = app.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = name.ok_or_else(|| Failure::Usage(format!("`{}` names no file", app.display())))?;
    let mut found: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut to_read = vec![source.clone()];
    found.insert(name.clone(), source);
    while let Some(text) = to_read.pop() {
        for module in required(&text) {
            let path = module.replace('.', "/");
            for candidate in [format!("{path}.lua"), format!("{path}/init.lua")] {
                let file = folder.join(&candidate);
                if found.contains_key(&candidate) {
                    break;
                }
                if file.is_file() {
                    let bytes = bytes_of(&file)?;
                    to_read.push(bytes.clone());
                    found.insert(candidate, bytes);
                    break;
                }
            }
        }
    }
    for path in extra {
        add(path, folder, &mut found)?;
    }
    let encoded = |(path, bytes): (String, Vec<u8>)| SubmitFile { path, base64: STANDARD.encode(bytes) };
    Ok(Shipment { app: name, files: found.into_iter().map(encoded).collect() })
}

fn bytes_of(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|source| Failure::Read { path: path.to_owned(), source })
}

/// A file, or all below a folder.
fn add(path: &Path, folder: &Path, found: &mut BTreeMap<String, Vec<u8>>) -> Result<(), Failure> {
    if path.is_dir() {
        let entries = std::fs::read_dir(path).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
        let entries = entries.map_err(|source| Failure::Folder { path: path.to_owned(), source })?;
        return entries.iter().try_for_each(|entry| add(&entry.path(), folder, found));
    }
    let bytes = bytes_of(path)?;
    let name = relative(path, folder).ok_or_else(|| {
        Failure::Usage(format!("--file {}: the path is not UTF-8 or leads upwards", path.display()))
    })?;
    match found.get(&name) {
        Some(other) if *other != bytes => {
            Err(Failure::Usage(format!("--file {}: another file goes as `{name}` already", path.display())))
        }
        _ => {
            found.insert(name, bytes);
            Ok(())
        }
    }
}

/// Where a file goes in the job's folder.
fn relative(path: &Path, folder: &Path) -> Option<String> {
    let absolute = |path: &Path| std::fs::canonicalize(path).ok();
    let within =
        absolute(path).and_then(|path| path.strip_prefix(absolute(folder)?).ok().map(Path::to_owned));
    let path = match within {
        Some(path) => path,
        None if path.is_absolute() || path.components().any(|part| part == Component::ParentDir) => {
            PathBuf::from(path.file_name()?)
        }
        None => path.to_owned(),
    };
    let parts = path.components().filter(|part| *part != Component::CurDir);
    let parts: Option<Vec<&str>> = parts.map(|part| part.as_os_str().to_str()).collect();
    parts.map(|parts| parts.join("/"))
}

/// The names of modules that a program requires with a plain text: `require "a.b"`,
/// `require("a.b")`. Comments and other strings are passed over.
fn required(source: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(source);
    let mut names = Vec::new();
    let mut rest: &str = &text;
    // Whether the last word was `require`.
    let mut asked = false;
    while let Some(c) = rest.chars().next() {
        if rest.starts_with("--") {
            rest = &rest[2..];
            rest = match long(rest) {
                Some((_, after)) => after,
                None => rest.find('\n').map_or("", |end| &rest[end..]),
            };
        } else if let Some((inside, after)) = if c == '[' { long(rest) } else { None } {
            if std::mem::take(&mut asked) {
                names.push(inside.to_owned());
            }
            rest = after;
        } else if c == '"' || c == '\'' {
            let (inside, after) = quoted(rest, c);
            if std::mem::take(&mut asked) {
                names.push(inside.to_owned());
            }
            rest = after;
        } else if c.is_alphanumeric() || c == '_' {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            asked = &rest[..end] == "require";
            rest = &rest[end..];
        } else {
            asked &= c.is_whitespace() || c == '(';
            rest = &rest[c.len_utf8()..];
        }
    }
    let plain = |name: &String| {
        let letter = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        !name.is_empty() && name.chars().all(letter) && name.split('.').all(|part| !part.is_empty())
    };
    names.retain(plain);
    names
}

/// What a long bracket at the beginning holds, and what follows it.
fn long(text: &str) -> Option<(&str, &str)> {
    let rest = text.strip_prefix('[')?;
    let level = rest.len() - rest.trim_start_matches('=').len();
    let rest = rest[level..].strip_prefix('[')?;
    let close = format!("]{}]", "=".repeat(level));
    let end = rest.find(&close);
    Some(end.map_or((rest, ""), |end| (&rest[..end], &rest[end + close.len()..])))
}

/// What a quoted string at the beginning holds, and what follows it.
fn quoted(text: &str, quote: char) -> (&str, &str) {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '\n' => return (&text[1..at], &text[at..]),
            _ if c == quote => return (&text[1..at], &text[at + 1..]),
            _ => {}
        }
    }
    (&text[1..], "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_are_found() {
        let source = b"require 'a' local x = require(\"b.c\")\n-- require 'd'\n--[[ require 'e' ]]\n\
                       print('require \"f\"') require [[g]] require('h' .. i) require(j) \"k\" s.required 'l'\n\
                       require \"../m\"\n";
        assert_eq!(required(source), ["a", "b.c", "g", "h"]);
    }

    #[test]
    fn modules_beside_the_program_go_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("lib/ring.lua", "require 'lib.deep'");
        write("lib/deep/init.lua", "require 'lib.ring'");
        write("data/keys.txt", "1");
        let source = b"require 'splay.base' require 'lib.ring'".to_vec();
        let extra = [folder.path().join("data")];
        let shipment = collect(&folder.path().join("app.lua"), source, &extra).unwrap();
        let paths: Vec<&str> = shipment.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["app.lua", "data/keys.txt", "lib/deep/init.lua", "lib/ring.lua"]);
        assert_eq!(shipment.app, "app.lua");
        let error = collect(&folder.path().join("app.lua"), Vec::new(), &["nowhere".into()]).unwrap_err();
        assert_eq!(error.to_string(), "no such file: nowhere");
    }
}
