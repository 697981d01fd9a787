//! Programs that speak NBD, and a server for them.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::support::{Outcome, Place, Running, eventually};

/// The interpreter that finds the modules of Debian's packages.
const PYTHON: &str = "/usr/bin/python3";

/// Where Debian has programs for its administrators.
fn path() -> String {
    format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default())
}

/// A program that speaks NBD, not given longer than a minute.
pub fn client(program: &str) -> Command {
    let mut command = Command::new("timeout");
    command.args(["60", program]).env("PATH", path()).stdin(Stdio::null());
    command
}

#[allow(clippy::disallowed_methods, clippy::print_stderr)]
fn found(there: bool, what: &str, package: &str) -> bool {
    assert!(there || std::env::var_os("CI").is_none(), "{what} is missing (package {package})");
    if !there {
        eprintln!("skipped: {what} is missing (package {package})");
    }
    there
}

/// Whether a program is there.
pub fn has(program: &str, package: &str) -> bool {
    let there =
        Command::new("sh").args(["-c", &format!("command -v {program}")]).env("PATH", path()).output();
    found(there.is_ok_and(|output| output.status.success()), program, package)
}

/// Python, if it has libnbd.
pub fn python() -> Option<&'static str> {
    let there = Command::new(PYTHON).args(["-c", "import nbd"]).output();
    found(there.is_ok_and(|output| output.status.success()), "nbd for Python", "python3-libnbd")
        .then_some(PYTHON)
}

/// What a program prints, which has to end well.
#[track_caller]
pub fn succeed(command: &mut Command) -> String {
    let outcome = Outcome::from(command.output().expect("it runs"));
    assert_eq!(outcome.status, Some(0), "{command:?}\n{outcome:#?}");
    outcome.out
}

/// `splay nbd` at a Unix socket.
pub struct Served {
    pub place: Place,
    running: Running,
}

impl Served {
    pub fn new(words: &[&str]) -> Served {
        let place = Place::new();
        let running = place.start(&[&["nbd", "-U", "socket"], words].concat());
        let served = Served { place, running };
        eventually("it listens", || std::os::unix::net::UnixStream::connect(served.socket()).is_ok());
        served
    }

    pub fn socket(&self) -> PathBuf {
        self.place.path().join("socket")
    }

    pub fn uri(&self) -> String {
        format!("nbd+unix:///?socket={}", self.socket().display())
    }

    /// Stops it: that it ends well, and has logged nothing.
    #[track_caller]
    pub fn ended(self, status: i32) {
        self.running.signal(Signal::INT);
        let outcome = self.running.wait().ended(status);
        assert_eq!(outcome.err, "", "{outcome:#?}");
        assert!(!self.place.path().join("socket").exists(), "the socket is left");
    }
}
