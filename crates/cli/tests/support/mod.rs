//! A folder with programs in it, and the `splay` command run there.

#![allow(dead_code)]

pub mod terminal;
pub mod testbed;

use std::fs::File;
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use assert_cmd::Command;
use tempfile::TempDir;

/// A folder of its own for a test.
pub struct Place {
    folder: TempDir,
}

impl Place {
    pub fn new() -> Place {
        Place { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    /// With one program in it, `app.lua`.
    pub fn with(source: &str) -> Place {
        let place = Place::new();
        place.write("app.lua", source);
        place
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn write(&self, name: &str, contents: &str) {
        std::fs::write(self.path().join(name), contents).expect("the temporary folder is writable");
    }

    pub fn read(&self, name: &str) -> String {
        let path = self.path().join(name);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// The results of the last run of `app.lua`.
    pub fn result(&self, name: &str) -> String {
        self.read(&format!("runs/app/latest/{name}"))
    }

    pub fn summary(&self) -> serde_json::Value {
        serde_json::from_str(&self.result("summary.json")).expect("JSON")
    }

    /// `splay WORDS` in this folder.
    pub fn splay(&self, words: &[&str]) -> Command {
        let mut command = Command::cargo_bin("splay").expect("built by cargo");
        command.current_dir(self.path()).args(words).env_remove("NO_COLOR").timeout(Duration::from_secs(60));
        command
    }

    /// `splay run app.lua -n INSTANCES WORDS`, on free ports.
    pub fn run(&self, instances: u16, words: &[&str]) -> Outcome {
        let first = free_ports(instances).to_string();
        let count = instances.to_string();
        let mut all = vec!["run", "app.lua", "-n", &count, "--first-port", &first];
        all.extend(words);
        Outcome::of(self.splay(&all))
    }

    /// `splay lua WORDS`, with this on standard input.
    pub fn lua(&self, words: &[&str], input: &str) -> Outcome {
        let mut command = self.splay(&["lua"]);
        command.args(words).write_stdin(input);
        Outcome::of(command)
    }

    /// The command going on beside the test.
    pub fn start(&self, words: &[&str]) -> Running {
        let child = std::process::Command::new(assert_cmd::cargo::cargo_bin("splay"))
            .current_dir(self.path())
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("built by cargo");
        Running { child }
    }

    pub fn folder_of_results(&self) -> PathBuf {
        self.path().join("runs/app/latest")
    }
}

/// What a command did.
#[derive(Debug)]
pub struct Outcome {
    pub status: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Outcome {
    pub fn of(mut command: Command) -> Outcome {
        command.output().expect("the command runs").into()
    }

    #[track_caller]
    pub fn ended(self, status: i32) -> Outcome {
        assert_eq!(self.status, Some(status), "{self:#?}");
        self
    }

    /// Lines of the output without their prefix `[ 1]    0.003 `.
    pub fn lines(&self) -> Vec<&str> {
        self.out.lines().map(|line| without_prefix(line).1).collect()
    }
}

/// Instance and text of a line `[ 1]    0.003 text`.
#[track_caller]
pub fn without_prefix(line: &str) -> (u32, &str) {
    let (instance, rest) = line.strip_prefix('[').and_then(|line| line.split_once(']')).expect(line);
    let (time, text) = rest.trim_start().split_once(' ').expect(line);
    time.parse::<f64>().expect(line);
    (instance.trim().parse().expect(line), text)
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        Outcome {
            status: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// A command that has not ended.
pub struct Running {
    pub child: Child,
}

impl Running {
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("it runs");
    }

    pub fn wait(self) -> Outcome {
        self.child.wait_with_output().expect("it ends").into()
    }
}

/// Waits until something holds.
#[track_caller]
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let give_up = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < give_up, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The first of so many free ports in a row. Tests run side by side, in several processes: each
/// process has a range of its own, below the ports that commands find by themselves.
pub fn free_ports(count: u16) -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    static RANGE: OnceLock<(u16, File)> = OnceLock::new();
    let (base, _locked) = RANGE.get_or_init(range_of_ports);
    loop {
        let first = base + NEXT.fetch_add(count, Ordering::Relaxed) % (PORTS_PER_PROCESS - count);
        let free = |port| {
            TcpListener::bind(("127.0.0.1", port)).is_ok() && UdpSocket::bind(("127.0.0.1", port)).is_ok()
        };
        if (first..first + count).all(free) {
            return first;
        }
    }
}

const PORTS_PER_PROCESS: u16 = 200;

/// A range that no other test has, until the file is closed.
fn range_of_ports() -> (u16, File) {
    let user = rustix::process::getuid().as_raw();
    let folder = std::env::temp_dir().join(format!("splay-test-ports-{user}"));
    std::fs::create_dir_all(&folder).expect("temporary folders can be made");
    let mut ranges = (10_000..20_000).step_by(PORTS_PER_PROCESS.into());
    let locked = ranges.find_map(|base| {
        let file = File::create(folder.join(base.to_string())).expect("a file of ours");
        file.try_lock().is_ok().then_some((base, file))
    });
    locked.expect("fewer than fifty tests at a time")
}
