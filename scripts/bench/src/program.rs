//! Runs a Lua program of this folder through the `splay` command and reads its `BENCH` lines.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// Away from the default of `splay run`, so that a run beside this one does not take the ports.
const FIRST_PORT: &str = "10000";

/// The `splay` binary and where runs leave their results.
#[derive(Debug)]
pub struct Splay {
    /// The binary.
    binary: PathBuf,
    /// Folder of the Lua programs.
    programs: PathBuf,
    /// Thrown away at the end.
    runs: PathBuf,
}

/// One line `BENCH name value unit`.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// What was measured.
    pub name: String,
    /// How much.
    pub value: f64,
    /// In what.
    pub unit: String,
}

/// What became of a simulation.
#[derive(Debug, Clone, Copy)]
pub struct Simulated {
    /// Messages sent.
    pub messages: f64,
    /// Virtual time.
    pub virtual_seconds: f64,
    /// Real time until all instances were started.
    pub start_seconds: f64,
    /// Real time of the whole.
    pub real_seconds: f64,
    /// The most memory that was resident.
    pub resident_bytes: u64,
}

impl Simulated {
    /// Real time from the start of all instances on.
    pub fn running_seconds(&self) -> f64 {
        self.real_seconds - self.start_seconds
    }
}

impl Figure {
    /// Finds the figure in a line of output, whatever stands before it.
    fn parse(line: &str) -> Option<Figure> {
        let (_, rest) = line.split_once("BENCH ")?;
        let mut words = rest.split_whitespace();
        let name = words.next()?.to_owned();
        Some(Figure { name, value: words.next()?.parse().ok()?, unit: words.next()?.to_owned() })
    }
}

impl Splay {
    /// Uses this binary.
    pub fn new(binary: PathBuf) -> anyhow::Result<Splay> {
        let runs = std::env::temp_dir().join(format!("splay-bench-{}", std::process::id()));
        fs::create_dir_all(&runs).with_context(|| format!("create `{}`", runs.display()))?;
        let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("lua");
        Ok(Splay { binary, programs, runs })
    }

    /// The binary itself.
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// A Lua file of this folder.
    pub fn program_file(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    /// The command that runs a program of this folder, or of the checkout if it is a path.
    fn command(&self, program: &str, options: &[&str], arguments: &[&str]) -> Command {
        let file = match program.contains('/') {
            true => self.programs.join("../../..").join(program),
            false => self.programs.join(program),
        };
        let mut command = Command::new(&self.binary);
        command
            .arg("run")
            .arg(file)
            .args(["--first-port", FIRST_PORT])
            .args(options)
            .arg("--runs")
            .arg(&self.runs)
            .arg("--no-progress");
        if !arguments.is_empty() {
            command.arg("--").args(arguments);
        }
        command.stdin(Stdio::null());
        command
    }

    /// Runs a program to its end and returns its figures.
    pub fn figures(
        &self,
        program: &str,
        options: &[&str],
        arguments: &[&str],
    ) -> anyhow::Result<Vec<Figure>> {
        let output = self.command(program, options, arguments).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let figures: Vec<Figure> = text.lines().filter_map(Figure::parse).collect();
        if figures.is_empty() {
            let errors = String::from_utf8_lossy(&output.stderr);
            bail!(
                "`{program}` {arguments:?} ended with {} and told no figures\n{text}{errors}",
                output.status
            );
        }
        Ok(figures)
    }

    /// Simulates a program and returns what became of it.
    pub fn simulate(&self, program: &str, options: &[&str]) -> anyhow::Result<Simulated> {
        let file = self.programs.join(program);
        let mut child = Command::new(&self.binary)
            .arg("sim")
            .arg(&file)
            .args(options)
            .arg("--runs")
            .arg(&self.runs)
            .args(["--no-progress", "--quiet"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut resident_bytes = 0;
        let status = loop {
            if let Ok(bytes) = memory(child.id(), "VmHWM:") {
                resident_bytes = bytes;
            }
            match child.try_wait()? {
                Some(status) => break status,
                None => std::thread::sleep(Duration::from_millis(50)),
            }
        };
        let name = file.file_stem().context("a program has a name")?;
        let path = self.runs.join(name).join("latest/simulation.json");
        let text = fs::read(&path).with_context(|| format!("`{program}` ended with {status}"))?;
        let figures: serde_json::Value = serde_json::from_slice(&text)?;
        let figure = |name: &str| figures[name].as_f64().with_context(|| format!("no figure `{name}`"));
        Ok(Simulated {
            messages: figure("messages")?,
            virtual_seconds: figure("virtual_seconds")?,
            start_seconds: figure("start_seconds")?,
            real_seconds: figure("real_seconds")?,
            resident_bytes,
        })
    }

    /// Starts a program that goes on until it is dropped.
    pub fn start(&self, program: &str, options: &[&str], arguments: &[&str]) -> anyhow::Result<Running> {
        let started = Instant::now();
        let mut child =
            self.command(program, options, arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let stdout = child.stdout.take().expect("it was piped");
        Ok(Running { child, lines: read_lines(stdout), started })
    }
}

impl Drop for Splay {
    fn drop(&mut self) {
        // Nothing depends on the folder being gone.
        let _ = fs::remove_dir_all(&self.runs);
    }
}

/// A program that has been started.
#[derive(Debug)]
pub struct Running {
    child: Child,
    lines: mpsc::Receiver<(Instant, String)>,
    started: Instant,
}

impl Running {
    /// Waits until `count` lines contain `text`; returns how long after the start the last came.
    pub fn wait_for(&mut self, text: &str, count: u32, patience: Duration) -> anyhow::Result<Duration> {
        let give_up = Instant::now() + patience;
        let mut found = 0;
        while let Some(rest) = give_up.checked_duration_since(Instant::now()) {
            match self.lines.recv_timeout(rest) {
                Ok((at, line)) if line.contains(text) => {
                    found += 1;
                    if found == count {
                        return Ok(at - self.started);
                    }
                }
                Ok(_) => {}
                Err(mpsc::RecvTimeoutError::Timeout) => break,
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    bail!("the program ended after {found} of {count} lines with `{text}`")
                }
            }
        }
        bail!("only {found} of {count} lines with `{text}` after {} s", patience.as_secs())
    }

    /// Resident memory of the process, bytes.
    pub fn resident_bytes(&self) -> anyhow::Result<u64> {
        memory(self.child.id(), "VmRSS:")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A figure of a process's memory, bytes.
pub fn memory(process: u32, name: &str) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line =
        status.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib * 1024)
}

fn read_lines(stdout: ChildStdout) -> mpsc::Receiver<(Instant, String)> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if sender.send((Instant::now(), line)).is_err() {
                break;
            }
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_found_behind_a_prefix() {
        let figure = Figure::parse("00.012 2| BENCH cpu 3.25 us").unwrap();
        assert_eq!(figure, Figure { name: "cpu".to_owned(), value: 3.25, unit: "us".to_owned() });
        assert_eq!(Figure::parse("BENCH cpu many us"), None);
        assert_eq!(Figure::parse("hello world"), None);
    }
}
