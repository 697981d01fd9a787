//! `splay replay`: sets up the run that a recording tells of and runs it against the recording.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use splay_runtime::program::Program;
use splay_simulator::Simulation;
use splay_simulator::recording::difference::Difference;
use splay_simulator::recording::{Kind, Reader, Recorder};
use splay_simulator::simulation::Progress;

use super::compare::{STATUS_DIFFERS, Scratch, tell};
use super::recording::Header;
use super::{console, listing, options, recording};
use crate::command::replay::ReplayArgs;
use crate::command::sim::SimArgs;
use crate::failure::{Failure, complain};
use crate::options::Options;
use crate::quantity::duration_text;

/// Steps between two looks at whether the run still is what was recorded.
const STEPS: u32 = 64;

/// A command line of `splay sim` without the command.
#[derive(Debug, Parser)]
#[command(no_binary_name = true)]
struct Line {
    #[command(flatten)]
    sim: SimArgs,
}

/// Prints entries.
pub fn list(args: &ReplayArgs) -> Result<ExitCode, Failure> {
    let (reader, _) = recording::open(&args.file)?;
    let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let from = args.from.map_or(0, nanoseconds);
    let to = args.to.map_or(u64::MAX, nanoseconds);
    let mut out = io::BufWriter::new(io::stdout().lock());
    for entry in reader {
        let entry = entry.map_err(|source| Failure::Recording { path: args.file.clone(), source })?;
        if entry.at > to {
            break;
        }
        let wanted = args.instance.as_ref().is_none_or(|set| set.contains(entry.instance));
        if wanted && entry.at >= from {
            writeln!(out, "{}", listing::shown(&entry)).map_err(Failure::Output)?;
        }
    }
    out.flush().map_err(Failure::Output)?;
    Ok(ExitCode::SUCCESS)
}

/// What it takes to begin a recorded run anew, in any thread.
pub(super) struct Setup {
    reader: Reader,
    options: Options,
    program: Arc<Program>,
    /// Files of instances in the sandbox: as few as there were at the beginning of the run.
    scratch: Scratch,
    /// When the recorded run was stopped.
    limit: Duration,
}

impl Setup {
    #[allow(clippy::disallowed_methods)] // nothing else is done in this process, and no thread runs yet
    fn of(args: &ReplayArgs) -> Result<(Setup, Header), Failure> {
        let (reader, header) = recording::open(&args.file)?;
        let broken = |text: &str| Failure::Recording {
            path: args.file.clone(),
            source: io::Error::new(io::ErrorKind::InvalidData, text.to_owned()),
        };
        let words = header.command_line.get(2..).unwrap_or_default();
        let line =
            Line::try_parse_from(words).map_err(|_| broken("its command line is not one of splay sim"))?;
        // Messages name the application as it was named then, and it may read files beside it.
        if let Some(folder) = &header.working_directory
            && let Err(source) = std::env::set_current_dir(folder)
        {
            return Err(Failure::Folder { path: folder.clone(), source });
        }
        let program = Arc::new(Program::load(&line.sim.app)?);
        if recording::fingerprint(&program) != header.application {
            complain(&format!("{} has changed since it was recorded", line.sim.app.display()));
        }
        if recording::build() != header.build {
            complain("it was recorded by another build of splay");
        }
        let (options, limit) = (Options::simulated(&line.sim)?, line.sim.time_limit);
        let scratch = Scratch::create("replay")?;
        Ok((Setup { reader, options, program, scratch, limit }, header))
    }

    /// When the recorded run was stopped.
    pub(super) fn limit(&self) -> Duration {
        self.limit
    }

    /// The run at its beginning.
    pub(super) fn begin(self) -> Result<(Simulation, Scratch), Failure> {
        let files = |instance: u32| -> Result<PathBuf, Failure> {
            let path = self.scratch.path().join(instance.to_string());
            match std::fs::create_dir_all(&path) {
                Ok(()) => Ok(path),
                Err(source) => Err(Failure::Write { path, source }),
            }
        };
        let network = options::network(&self.options)?;
        let scenario = options::scenario(&self.options)?;
        let config = options::configuration(&self.options, &scenario, self.program, network, files)?;
        let simulation = Simulation::new(config, Recorder::checking(self.reader), |_| {})?;
        Ok((simulation, self.scratch))
    }
}

/// Runs a simulation up to a time, as long as it is as recorded.
pub(super) fn run_to(simulation: &mut Simulation, until: Duration) -> Result<(), Failure> {
    let mut progress = Progress::Going;
    while progress == Progress::Going && simulation.now() < until && !simulation.differs() {
        progress = simulation.steps(until, STEPS).map_err(Failure::Worker)?;
    }
    Ok(())
}

/// Runs the recorded run again.
pub fn replay(args: &ReplayArgs) -> Result<ExitCode, Failure> {
    let instance = args.instance.as_ref().map_or(1, |set| set.last());
    let (setup, header) = Setup::of(args)?;
    if instance > header.instances {
        let text = format!("--instance names instance {instance}, and there are {}", header.instances);
        return Err(Failure::Usage(text));
    }
    if let Some(until) = args.until {
        return console::open(setup, until, instance, &header, args.code.clone());
    }
    let limit = setup.limit();
    let (mut simulation, _scratch) = setup.begin()?;
    run_to(&mut simulation, limit)?;
    simulation.stop();
    let recorder = simulation.recorder();
    let mut recorder = recorder.borrow_mut();
    let entries = recorder.entries();
    let at = duration_text(simulation.now());
    Ok(match recorder.end_of_check() {
        None => {
            complain(&format!("as recorded: {entries} entries, {at} of virtual time, seed {}", header.seed));
            ExitCode::SUCCESS
        }
        Some(difference) if stopped_early(difference) => {
            complain(&format!(
                "as recorded up to where the run was stopped: {} entries",
                difference.number - 1
            ));
            ExitCode::SUCCESS
        }
        Some(difference) => {
            complain(&tell(difference, ["recorded", "now"]));
            ExitCode::from(STATUS_DIFFERS)
        }
    })
}

/// The recorded run was ended by its user.
fn stopped_early(difference: &Difference) -> bool {
    let stopped = |entry: &splay_simulator::recording::Entry| {
        entry.kind == Kind::Ended as u8 && entry.bytes == b"stopped"
    };
    difference.earlier.as_ref().is_some_and(stopped)
}
