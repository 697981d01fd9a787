//! Runs every test of lualib/tests in the simulation: virtual time, in-memory network.
//! `LUALIB_TEST=misc` runs `misc_test.lua` only.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use splay_runtime::host::{EndReason, Report};
use splay_runtime::program::Program;
use splay_simulator::NetworkConfig;
use splay_simulator::recording::Recorder;
use splay_simulator::simulation::{Simulation, SimulationConfig};

/// Longest virtual time a test file may take.
const LIMIT: Duration = Duration::from_secs(3600);

fn test_files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../lualib/tests");
    let wanted = selected("LUALIB_TEST");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder.canonicalize().expect("lualib/tests exists"))
        .expect("readable folder")
        .map(|entry| entry.expect("directory entry").path())
        .filter(|path| {
            let name = path.file_name().expect("has a name").to_string_lossy();
            match &wanted {
                Some(wanted) => *name == format!("{wanted}_test.lua"),
                None => name.ends_with("_test.lua"),
            }
        })
        .collect();
    files.sort();
    files
}

/// The environment chooses which tests run, not how they do.
#[allow(clippy::disallowed_methods)]
fn selected(variable: &str) -> Option<String> {
    std::env::var(variable).ok()
}

/// Lines of output, how the instance ended, the virtual time it took, and its recording's hash.
fn run(file: &Path, seed: u64) -> (Vec<String>, Vec<EndReason>, Duration, u128) {
    let program = Arc::new(Program::load(file).expect("program loads"));
    let lines = Rc::new(RefCell::new(Vec::new()));
    let ends = Rc::new(RefCell::new(Vec::new()));
    let (heard, ended) = (lines.clone(), ends.clone());
    let sink = move |report: Report| match report {
        Report::Output { line, .. } => {
            heard.borrow_mut().push(String::from_utf8_lossy(&line).trim_end().to_owned());
        }
        Report::ThreadDied { error, .. } => heard.borrow_mut().push(format!("thread died: {error}")),
        Report::Ended { reason, .. } => ended.borrow_mut().push(reason),
        _ => {}
    };
    // A library test is alone: no job, and the network of one machine.
    let config = SimulationConfig {
        seed,
        alone: true,
        network: NetworkConfig::default(),
        ..SimulationConfig::new(program)
    };
    let mut simulation = Simulation::new(config, Recorder::new(), sink).expect("an instance");
    simulation.run(LIMIT).expect("runs");
    let (now, (_, hash)) = (simulation.now(), simulation.fingerprint());
    drop(simulation);
    (lines.take(), ends.take(), now, hash)
}

#[test]
fn library_tests_pass() {
    let files = test_files();
    assert!(!files.is_empty(), "no test file");
    let mut failed = Vec::new();
    for file in files {
        let (lines, ends, time, _) = run(&file, 1);
        let summary = lines.last().map_or("no output", String::as_str);
        println!("{}: {summary} ({time:?})", file.display());
        if ends != [EndReason::Exit(0)] || !summary.ends_with(" passed, 0 failed") {
            println!("{}\nended: {ends:?}", lines.join("\n"));
            failed.push(file);
        }
    }
    assert!(failed.is_empty(), "failed: {failed:?}");
}

#[test]
fn a_run_repeats_itself() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../lualib/tests");
    let file = folder.join("socket_test.lua").canonicalize().expect("the test exists");
    assert_eq!(run(&file, 5), run(&file, 5));
}
