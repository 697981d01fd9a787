//! Finds the files that a command is to look at.

use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// The files given, and those in the folders given whose names end in `suffix`, in a fixed order;
/// none given: those of the current folder.
pub fn find(given: &[PathBuf], suffix: &str) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    if given.is_empty() {
        search(Path::new(""), suffix, &mut files)?;
    }
    for path in given {
        match path.is_dir() {
            true => search(path, suffix, &mut files)?,
            false => files.push(path.clone()),
        }
    }
    Ok(files)
}

/// Files in a folder and below. Hidden folders are not looked into, nor the results of runs, nor
/// what is only linked to.
fn search(folder: &Path, suffix: &str, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let shown = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let unreadable = |source| Failure::Folder { path: shown.to_owned(), source };
    let mut entries =
        std::fs::read_dir(shown).and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(unreadable)?;
    entries.sort_by_key(|entry| entry.file_name());
    for entry in entries {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let kind = entry.file_type().map_err(unreadable)?;
        if kind.is_file() && name.ends_with(suffix) {
            files.push(folder.join(entry.file_name()));
        } else if kind.is_dir() && !name.starts_with('.') && name != "runs" {
            search(&folder.join(entry.file_name()), suffix, files)?;
        }
    }
    Ok(())
}
