//! Runs every test of lualib/tests on the real driver. `LUALIB_TEST=misc` runs `misc_test.lua` only.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use splay_runtime::host::{EndReason, InstanceConfig, Mode, Report, WorkerConfig};
use splay_runtime::program::Program;
use splay_runtime::real::RealDriver;
use splay_runtime::worker::{Step, Worker};

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

/// Runs a file; returns what it printed and how it ended.
fn run(file: &Path) -> (String, Option<EndReason>) {
    let program = match Program::load(file) {
        Ok(program) => Arc::new(program),
        Err(error) => return (error.to_string(), None),
    };
    let output = Rc::new(RefCell::new(String::new()));
    let ended = Rc::new(RefCell::new(None));
    let sink = {
        let (output, ended) = (output.clone(), ended.clone());
        Box::new(move |report: Report| match report {
            Report::Output { line, .. } => {
                output.borrow_mut().push_str(&String::from_utf8_lossy(&line));
                output.borrow_mut().push('\n');
            }
            Report::ThreadDied { error, .. } => {
                output.borrow_mut().push_str(&format!("thread died: {error}\n"));
            }
            Report::Ended { reason, .. } => *ended.borrow_mut() = Some(reason),
            Report::Started { .. } => {}
        })
    };
    let driver = RealDriver::new().expect("real driver");
    let mut worker = Worker::new(Box::new(driver), WorkerConfig::default(), sink);
    let config = InstanceConfig {
        program,
        arguments: Vec::new(),
        job: None,
        mode: Mode::Hosted,
        jit: false,
        seed: Some(1),
        max_memory_bytes: None,
    };
    worker.start(1, config);
    let start = Instant::now();
    while start.elapsed() < LIMIT {
        let until = worker.now() + Duration::from_millis(200);
        match worker.step(Some(until)).expect("worker step") {
            Step::Empty => break,
            Step::Progress | Step::Woken | Step::Idle => {}
        }
    }
    drop(worker);
    let reason = ended.borrow_mut().take();
    let text = output.borrow().clone();
    (text, reason)
}

#[test]
fn library_tests_pass() {
    let files = test_files();
    assert!(!files.is_empty(), "no test file");
    let mut failed = Vec::new();
    for file in files {
        let (output, reason) = run(&file);
        let passed = reason == Some(EndReason::Exit(0))
            && output.lines().last().is_some_and(|line| line.ends_with(" passed, 0 failed"));
        println!("{}: {}", file.display(), output.lines().last().unwrap_or("no output"));
        if !passed {
            println!("{output}ended: {reason:?}");
            failed.push(file);
        }
    }
    assert!(failed.is_empty(), "failed: {failed:?}");
}
