//! A process of a testbed on this machine: started with its output in a file, ended with this
//! process whatever happens to it, started again if it ends by itself.

use std::fs::OpenOptions;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};

use crate::failure::Failure;

/// A process that ends this soon after its start may end so every time.
const AT_LEAST: Duration = Duration::from_secs(2);
/// So often in a row it is started again all the same.
const TRIES: u32 = 3;

/// A process and how it is started.
#[derive(Debug)]
pub struct Process {
    /// What it is called in messages.
    pub name: String,
    program: PathBuf,
    arguments: Vec<String>,
    output: PathBuf,
    child: Child,
    started: Instant,
    short_lives: u32,
}

impl Process {
    /// Starts it; its output goes to `output`, what was there stays.
    pub fn start(
        name: &str,
        program: &Path,
        arguments: Vec<String>,
        output: &Path,
    ) -> Result<Process, Failure> {
        let child = spawn(program, &arguments, output)
            .map_err(|error| Failure::Testbed(format!("start {}: {error}", program.display())))?;
        let process = Process {
            name: name.to_owned(),
            program: program.to_owned(),
            arguments,
            output: output.to_owned(),
            child,
            started: Instant::now(),
            short_lives: 0,
        };
        process.note_pid();
        Ok(process)
    }

    /// For scripts that signal it.
    fn note_pid(&self) {
        // Nothing depends on it: who wants it misses it.
        let _ = std::fs::write(self.output.with_extension("pid"), format!("{}\n", self.child.id()));
    }

    /// Whether it has ended, and how.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Whether starting it again makes sense, now that it has ended.
    pub fn deserves_another(&mut self) -> bool {
        self.short_lives = if self.started.elapsed() > AT_LEAST { 0 } else { self.short_lives + 1 };
        self.short_lives < TRIES
    }

    /// Starts it again, with other arguments if there are any.
    pub fn restart(&mut self, arguments: Option<Vec<String>>) -> Result<(), Failure> {
        if let Some(arguments) = arguments {
            self.arguments = arguments;
        }
        self.child = spawn(&self.program, &self.arguments, &self.output)
            .map_err(|error| Failure::Testbed(format!("start {}: {error}", self.program.display())))?;
        self.started = Instant::now();
        self.note_pid();
        Ok(())
    }

    /// Asks it to end.
    pub fn ask_to_end(&mut self) {
        if self.ended().is_none() {
            let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        }
    }

    /// Waits for its end up to an instant, then ends it by force.
    pub fn wait(&mut self, latest: Instant) {
        while self.ended().is_none() {
            if Instant::now() >= latest {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The last lines it wrote, for messages.
    pub fn last_words(&self) -> String {
        let text = tail(&self.output).unwrap_or_default();
        // The controller tells its first password in what it writes.
        let tell = |line: &&str| !line.trim().is_empty() && !line.contains("password");
        let lines: Vec<&str> = text.lines().filter(tell).collect();
        let last = &lines[lines.len().saturating_sub(3)..];
        match last.is_empty() {
            true => format!("it wrote nothing; see {}", self.output.display()),
            false => format!("{} (more in {})", last.join(" | "), self.output.display()),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn tail(path: &Path) -> io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(2000)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn spawn(program: &Path, arguments: &[String], output: &Path) -> io::Result<Child> {
    let out = OpenOptions::new().create(true).append(true).open(output)?;
    let err = out.try_clone()?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(out).stderr(err);
    // Ctrl-C at the terminal is for this process alone, which ends the others in order.
    command.process_group(0);
    let parent = rustix::process::getpid();
    let die_with_parent = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have gone before that.
        match rustix::process::getppid() == Some(parent) {
            true => Ok(()),
            false => Err(io::ErrorKind::BrokenPipe.into()),
        }
    };
    // SAFETY: between fork and exec it makes two system calls and allocates nothing.
    unsafe { command.pre_exec(die_with_parent) };
    command.spawn()
}
