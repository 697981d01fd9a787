//! A testbed of real processes for a test.

use std::path::PathBuf;
use std::time::Duration;

use super::{Outcome, Place};

/// `splay up` needs the other programs beside it: they are built with the workspace.
pub fn programs() -> PathBuf {
    let splay = assert_cmd::cargo::cargo_bin("splay");
    for name in ["splayd", "splay-controller"] {
        let beside = splay.with_file_name(name);
        assert!(beside.is_file(), "{} is not built: build the workspace", beside.display());
    }
    splay
}

/// Runs a script of bash in a testbed.
pub fn inside(place: &Place, splayds: u32, script: &str) -> Outcome {
    programs();
    let count = splayds.to_string();
    let words = ["up", "-n", &count, "--seats", "30", "--exec", "bash", "-euc", script];
    let mut command = place.splay(&words);
    command.env("XDG_CONFIG_HOME", place.path()).timeout(Duration::from_secs(120));
    Outcome::of(command)
}

pub fn app(name: &str) -> String {
    format!("{}/../../{name}", env!("CARGO_MANIFEST_DIR"))
}
