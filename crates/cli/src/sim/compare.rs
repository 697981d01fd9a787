//! `splay sim --verify`: runs the same twice and tells where the two first differ.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use splay_runtime::program::Program;
use splay_simulator::recording::difference::{Difference, between};

use super::listing::shown;
use super::recording;
use crate::command::sim::SimArgs;
use crate::failure::{Failure, STATUS_INTERRUPTED, complain};
use crate::options::Options;

/// Two runs of what should be one differ.
pub const STATUS_DIFFERS: u8 = 9;

/// The environment of the second run has so much more in it, so that what depends on where a
/// process finds its stack shows.
const PADDING_BYTES: usize = 4321;

/// A folder that goes with what is in it.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn create(what: &str) -> Result<Scratch, Failure> {
        let name = format!("splay-{what}-{}-{:08x}", std::process::id(), rand::random::<u32>());
        let path = std::env::temp_dir().join(name);
        match std::fs::create_dir_all(&path) {
            Ok(()) => Ok(Scratch(path)),
            Err(source) => Err(Failure::Write { path, source }),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing depends on the folder being gone.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The command that runs one simulation with these options in a process of its own.
pub(super) fn command(options: &Options, runs: &Path) -> Result<Command, Failure> {
    let own = std::env::current_exe().map_err(Failure::Worker)?;
    let mut command = Command::new(own);
    let words = &options.command_line[1..];
    // Options go before the application's arguments.
    let split = words.iter().position(|word| word == "--").unwrap_or(words.len());
    command.args(&words[..split]).arg("--runs").arg(runs).args(["--quiet", "--no-progress"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(command)
}

/// Adds the application's arguments to a command that has all its options.
pub(super) fn with_arguments(mut command: Command, options: &Options) -> Command {
    if !options.arguments.is_empty() {
        command.arg("--").args(&options.arguments);
    }
    command
}

/// Runs twice and compares.
pub fn verify(args: &SimArgs) -> Result<ExitCode, Failure> {
    let options = Options::simulated(args)?;
    // What is wrong with the application or the network is told here, once.
    Program::load(&options.app)?;
    super::options::network(&options)?;
    let scratch = Scratch::create("verify")?;
    let file = |name: &str| scratch.path().join(format!("{name}.rec"));
    let start = |name: &str| {
        let mut command = command(&options, &scratch.path().join(name))?;
        command.arg("--record").arg(file(name));
        if name == "second" {
            command.env("SPLAY_PADDING", "x".repeat(PADDING_BYTES)).env("TZ", "Asia/Tokyo");
        }
        with_arguments(command, &options).spawn().map_err(Failure::Worker)
    };
    let mut first = start("first")?;
    let mut second = start("second")?;
    let ends = [first.wait(), second.wait()];
    let mut statuses = Vec::new();
    for end in ends {
        statuses.push(end.map_err(Failure::Worker)?.code().unwrap_or(STATUS_INTERRUPTED.into()));
    }
    if statuses.contains(&i32::from(STATUS_INTERRUPTED)) {
        return Ok(ExitCode::from(STATUS_INTERRUPTED));
    }
    let (earlier, _) = recording::open(&file("first"))?;
    let (later, _) = recording::open(&file("second"))?;
    let unreadable = |source| Failure::Recording { path: file("second"), source };
    let (common, difference) = between(earlier, later).map_err(unreadable)?;
    match difference {
        None if statuses[0] != statuses[1] => {
            complain(&format!("the same {common} entries, but exit statuses {statuses:?}"));
            Ok(ExitCode::from(STATUS_DIFFERS))
        }
        None => {
            complain(&format!("twice the same: {common} entries, seed {}", options.seed));
            Ok(ExitCode::from(statuses[0] as u8))
        }
        Some(difference) => {
            complain(&tell(&difference, ["first run", "second run"]));
            Ok(ExitCode::from(STATUS_DIFFERS))
        }
    }
}

/// A difference in words.
pub(super) fn tell(difference: &Difference, who: [&str; 2]) -> String {
    let sides = [(&difference.earlier, who[0]), (&difference.later, who[1])];
    let first = sides.iter().filter_map(|(entry, _)| entry.as_ref()).min_by_key(|entry| entry.at);
    let place = match first {
        Some(entry) if entry.instance > 0 => {
            format!(" at {:.6} s, instance {}", entry.at as f64 / 1e9, entry.instance)
        }
        Some(entry) => format!(" at {:.6} s", entry.at as f64 / 1e9),
        None => String::new(),
    };
    let mut text = format!("they differ from entry {} on{place}", difference.number);
    for (entry, who) in sides {
        let entry = entry.as_ref().map_or("nothing any more".to_owned(), shown);
        text.push_str(&format!("\n  {who:<11} {entry}"));
    }
    if let Some(error) = &difference.unreadable {
        text.push_str(&format!("\n  ({} cannot be read any further: {error})", who[0]));
    }
    text
}
