//! Runs one simulation in processes whose surroundings differ, and compares what they did.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use splay_runtime::host::Report;
use splay_runtime::program::Program;
use splay_simulator::recording::Recorder;
use splay_simulator::simulation::{Simulation, SimulationConfig};

/// Set in a child process: the file of the program to run.
const PROGRAM: &str = "SPLAY_TEST_PROGRAM";
/// Set in a child process: how many instances.
const INSTANCES: &str = "SPLAY_TEST_INSTANCES";

/// Longest virtual time.
const LIMIT: Duration = Duration::from_secs(120);

/// Runs a program; what it did, in one line, and the lines it wrote.
pub fn simulate(program: Program, seed: u64, instances: u32) -> (String, Vec<String>) {
    let lines = Rc::new(RefCell::new(Vec::new()));
    let heard = lines.clone();
    let config = SimulationConfig { instances, seed, ..SimulationConfig::new(Arc::new(program)) };
    let mut simulation = Simulation::new(config, Recorder::new(), move |report| match report {
        Report::Output { line, .. } => heard.borrow_mut().push(String::from_utf8_lossy(&line).into_owned()),
        Report::ThreadDied { error, .. } => heard.borrow_mut().push(error),
        _ => {}
    })
    .expect("instances");
    simulation.run(LIMIT).expect("runs");
    simulation.stop();
    let (entries, hash) = simulation.fingerprint();
    drop(simulation);
    (format!("fingerprint {entries} {hash:032x}"), lines.take())
}

/// What a child process does, as its environment tells; nothing in any other process.
#[allow(clippy::disallowed_methods, clippy::print_stdout)] // the parent tells and reads
pub fn be_child() {
    let Ok(program) = std::env::var(PROGRAM) else { return };
    let instances = std::env::var(INSTANCES).ok().and_then(|text| text.parse().ok()).unwrap_or(3);
    let program = Program::load(Path::new(&program)).expect("loads");
    let (fingerprint, lines) = simulate(program, 7, instances);
    for line in lines {
        println!("line {line}");
    }
    println!("{fingerprint}");
}

/// Surroundings of a process; each differs from the others in all that they can differ in.
const SURROUNDINGS: usize = 4;

fn child(program: &Path, instances: u32, surroundings: usize) -> Command {
    let own = std::env::current_exe().expect("this test");
    let mut command = Command::new(&own);
    // Without randomised addresses, where the machine lets a process say so.
    if surroundings == 1
        && Command::new("setarch").args(["-R", "true"]).status().is_ok_and(|end| end.success())
    {
        command = Command::new("setarch");
        command.arg("-R").arg(&own);
    }
    command.args(["--exact", "child", "--nocapture"]);
    command.env(PROGRAM, program).env(INSTANCES, instances.to_string());
    command.env("PADDING", "x".repeat([0, 1, 4001, 70_000][surroundings]));
    command.env("TZ", ["UTC", "Asia/Tokyo", "America/St_Johns", ""][surroundings]);
    command.env("LC_ALL", ["C", "de_DE.UTF-8", "C.UTF-8", "tr_TR.UTF-8"][surroundings]);
    command.env("HOME", ["/", "/tmp", "/root", "/nowhere"][surroundings]);
    command.env("TMPDIR", ["/tmp", "/", "/var/tmp", "/nowhere"][surroundings]);
    command.current_dir(["/", "/tmp", "/usr", "/"][surroundings]);
    command.stdin(Stdio::null()).stderr(Stdio::piped()).stdout(Stdio::piped());
    command
}

fn told(command: &mut Command) -> String {
    let output = command.output().expect("runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let ours = |line: &&str| line.starts_with("line ") || line.contains("fingerprint ");
    let kept: Vec<&str> = text.lines().filter(ours).collect();
    assert!(
        kept.last().is_some_and(|line| line.contains("fingerprint ")),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    kept.join("\n")
}

/// Runs a program's file so many times, in changing surroundings, and expects the same each time.
/// Gives what it told.
pub fn repeat(program: &Path, instances: u32, times: usize) -> String {
    let first = told(&mut child(program, instances, 0));
    for n in 1..times {
        let surroundings = n % SURROUNDINGS;
        // Now and then the machine is busy.
        let busy = (n % 3 == 2).then(|| child(program, instances, 3).spawn().expect("runs"));
        let again = told(&mut child(program, instances, surroundings));
        if let Some(mut busy) = busy {
            // What it does is of no interest; it may be waiting for someone to read.
            let _ = busy.kill();
            let _ = busy.wait();
        }
        assert_eq!(again, first, "{}, run {n}, surroundings {surroundings}", program.display());
    }
    first
}

/// The apps of the checkout.
#[allow(dead_code)] // not every test needs them
pub fn apps() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../apps").canonicalize().expect("apps")
}

/// Whether the long form of the tests was asked for.
#[allow(clippy::disallowed_methods, dead_code)]
pub fn long() -> bool {
    std::env::var("SPLAY_LONG_TESTS").is_ok_and(|value| value == "1")
}
