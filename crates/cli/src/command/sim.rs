//! `splay sim`: runs an application in virtual time, on a simulated network, repeatably.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use splay_runtime::host::{EndReason, Report, Stream};
use splay_runtime::program::Program;
use splay_simulator::recording::Recorder;
use splay_simulator::simulation::{MAX_INSTANCES, Progress};
use splay_simulator::{EPOCH, Simulation, SimulationConfig};

use crate::command::run::ListKind;
use crate::failure::{Failure, STATUS_INSTANCE_FAILED};
use crate::network_options::NetworkOptions;
use crate::quantity::{duration_text, positive_duration};

const EXAMPLES: &str = "\
Examples:
  splay sim chord.lua -n 1000 --seed 7
      a thousand instances; run it again: the same lines, the same recording
  splay sim chord.lua -n 10000 --for 1000s --list-size 1
      stopped after a thousand seconds of virtual time
  splay sim gossip.lua -n 50 --latency 40ms --record gossip.rec
      every packet takes 40 ms; the recording is kept
  splay sim gossip.lua -n 50 --latency 'normal(40ms,10ms)' --loss 1% --bandwidth 10Mbps
      packets take differently long, some are lost, and links have a capacity
  splay sim gossip.lua -n 50 --topology regions
      instances around the world; --topology also reads files (splay topology --help)

Time is virtual: it begins on 2000-01-01 and moves only when nothing is left to do at an instant,
so sleeping costs nothing. Instances have addresses of their own (10.0.0.1, 10.0.0.2 ...). The
recording is all they said to each other and to you; its hash, printed at the end, is the same
whenever application, options, seed and build are.";

/// Run instances of an application in virtual time, repeatably.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct SimArgs {
    /// The application's Lua file.
    #[arg(value_name = "APP.lua")]
    app: PathBuf,
    /// How many instances.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_INSTANCES)))]
    instances: u32,
    /// Port of every instance.
    #[arg(long, value_name = "P", default_value_t = 20_000)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// Which nodes an instance is told of: the first ones, or random others.
    #[arg(long, value_name = "TYPE", default_value = "head")]
    list_type: ListKind,
    /// How many nodes an instance is told of [default: all].
    #[arg(long, value_name = "K")]
    list_size: Option<u32>,
    /// Stop after this much virtual time.
    #[arg(long = "for", value_name = "TIME", value_parser = positive_duration, default_value = "1h")]
    time_limit: Duration,
    /// What all randomness follows from.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    network: NetworkOptions,
    /// Keep the recording in this file.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Show only errors and the end.
    #[arg(short, long)]
    quiet: bool,
    /// What the application finds in `arg`.
    #[arg(last = true, value_name = "ARGS")]
    arguments: Vec<String>,
}

/// Runs the simulation and tells what happened.
pub fn execute(args: SimArgs) -> Result<ExitCode, Failure> {
    let program = Arc::new(Program::load(&args.app)?);
    let recorder = match &args.record {
        Some(path) => {
            let created = File::create(path).and_then(|file| Recorder::to(Box::new(BufWriter::new(file))));
            created.map_err(|source| Failure::Write { path: path.clone(), source })?
        }
        None => Recorder::new(),
    };
    let config = SimulationConfig {
        program,
        arguments: args.arguments.clone(),
        instances: args.instances,
        port: args.port,
        list_type: args.list_type.into(),
        list_size: args.list_size.filter(|&size| size > 0),
        seed: args.seed,
        max_memory_bytes: None,
        network: args.network.config(args.instances, args.seed)?,
    };
    let reports = Rc::new(RefCell::new(VecDeque::new()));
    let heard = reports.clone();
    let begun = Instant::now();
    let mut simulation =
        Simulation::new(config, recorder, move |report| heard.borrow_mut().push_back(report))?;
    let mut told = Told { quiet: args.quiet, ..Told::default() };
    while simulation.unstarted() > 0 {
        simulation.start_next();
    }
    let mut progress = Progress::Going;
    while progress == Progress::Going && simulation.now() < args.time_limit {
        progress = simulation.step(args.time_limit).map_err(Failure::Worker)?;
        told.tell(&mut reports.borrow_mut())?;
    }
    let left = simulation.live();
    simulation.stop();
    told.tell(&mut reports.borrow_mut())?;
    let virtual_time = simulation.now();
    let (entries, hash) = simulation.fingerprint();
    let finished = simulation.finish();
    if let (Err(source), Some(path)) = (finished, args.record) {
        return Err(Failure::Write { path, source });
    }
    let taken = begun.elapsed();
    let mut err = io::stderr().lock();
    let sum = format!(
        "splay: {} instances, {} of virtual time in {:.2} s ({:.1} times as fast as real time)\n\
         splay: {} ended, {} failed, {left} stopped, {} threads died\n\
         splay: recording {hash:032x}, {entries} entries, seed {}\n",
        args.instances,
        duration_text(virtual_time),
        taken.as_secs_f64(),
        virtual_time.as_secs_f64() / taken.as_secs_f64().max(1e-6),
        told.ended - left as u64,
        told.failed,
        told.thread_errors,
        args.seed,
    );
    // Nobody who has closed the stream wants to know.
    let _ = err.write_all(sum.as_bytes());
    let failed = told.failed > 0 || told.thread_errors > 0;
    Ok(if failed { ExitCode::from(STATUS_INSTANCE_FAILED) } else { ExitCode::SUCCESS })
}

/// What has been heard of the instances.
#[derive(Default)]
struct Told {
    quiet: bool,
    ended: u64,
    failed: u64,
    thread_errors: u64,
}

impl Told {
    fn tell(&mut self, reports: &mut VecDeque<Report>) -> Result<(), Failure> {
        let mut out = Vec::new();
        for report in reports.drain(..) {
            match report {
                Report::Started { .. } => {}
                Report::Output { instance, at, stream, line } => {
                    if !self.quiet || stream == Stream::Err {
                        shown(&mut out, instance, at, &line);
                    }
                }
                Report::ThreadDied { instance, at, error, .. } => {
                    self.thread_errors += 1;
                    shown(&mut out, instance, at, format!("thread died: {error}").as_bytes());
                }
                Report::Ended { instance, at, reason, .. } => {
                    self.ended += 1;
                    let trouble = match reason {
                        EndReason::Finished | EndReason::Stopped | EndReason::Exit(0) => continue,
                        EndReason::Exit(code) => format!("exit {code}"),
                        EndReason::Error(error) => error,
                        EndReason::Memory => "memory limit".to_owned(),
                    };
                    self.failed += 1;
                    shown(&mut out, instance, at, trouble.as_bytes());
                }
            }
        }
        if out.is_empty() {
            return Ok(());
        }
        let mut stdout = io::stdout().lock();
        stdout.write_all(&out).and_then(|()| stdout.flush()).map_err(Failure::Output)
    }
}

/// `[ 7]    1.234 text`, the time since the beginning.
fn shown(out: &mut Vec<u8>, instance: u32, at: Duration, text: &[u8]) {
    let seconds = at.saturating_sub(EPOCH).as_secs_f64();
    out.extend_from_slice(format!("[{instance:3}] {seconds:9.3} ").as_bytes());
    out.extend_from_slice(text);
    out.push(b'\n');
}
