//! Runs every test of lualib/tests on the real driver. `LUALIB_TEST=misc` runs `misc_test.lua` only.

mod host;

use std::path::{Path, PathBuf};
use std::time::Duration;

use splay_runtime::host::EndReason;

/// Longest a test file may take.
const LIMIT: Duration = Duration::from_secs(120);

fn test_files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../lualib/tests");
    let folder = folder.canonicalize().expect("lualib/tests exists");
    let wanted = std::env::var("LUALIB_TEST").ok().map(|name| format!("{name}_test.lua"));
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .expect("readable folder")
        .map(|entry| entry.expect("directory entry").path())
        .filter(|path| {
            let name = path.file_name().expect("has a name").to_string_lossy();
            match &wanted {
                Some(wanted) => name == wanted.as_str(),
                None => name.ends_with("_test.lua"),
            }
        })
        .collect();
    files.sort();
    files
}

#[test]
fn library_tests_pass() {
    let files = test_files();
    assert!(!files.is_empty(), "no test file");
    let mut failed = Vec::new();
    for file in files {
        let outcome = host::run(&file, &[], vec![None], LIMIT);
        let summary = outcome.lines.last().map_or("no output", String::as_str);
        println!("{}: {summary}", file.display());
        if outcome.ends != [EndReason::Exit(0)] || !summary.ends_with(" passed, 0 failed") {
            println!("{}\nended: {:?}", outcome.lines.join("\n"), outcome.ends);
            failed.push(file);
        }
    }
    assert!(failed.is_empty(), "failed: {failed:?}");
}
