//! `splay sim`: runs an application in virtual time, on a simulated network, repeatably.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueHint};
use splay_simulator::simulation::MAX_INSTANCES;

use crate::command::run::ListKind;
use crate::failure::Failure;
use crate::network_options::NetworkOptions;
use crate::plot::Kind;
use crate::quantity::{InstanceSet, positive_duration, size};
use crate::scenario::ScenarioArgs;
use crate::sim::options::CpuModel;
use crate::sim::seeds::Seeds;
use crate::sim::{compare, run, seeds};

const EXAMPLES: &str = "\
Examples:
  splay sim chord.lua -n 1000 --seed 7
      a thousand instances; run it again: the same lines, the same recording
  splay sim chord.lua -n 10000 --for 1000s --list-size 1
      stopped after a thousand seconds of virtual time
  splay sim gossip.lua -n 50 --latency 40ms --record gossip.rec
      every packet takes 40 ms; the recording is kept, for `splay replay`
  splay sim gossip.lua -n 50 --latency 'normal(40ms,10ms)' --loss 1% --bandwidth 10Mbps
      packets take differently long, some are lost, and links have a capacity
  splay sim gossip.lua -n 50 --topology regions
      instances around the world; --topology also reads files (splay topology --help)
  splay sim raft.lua -n 5 --verify
      run twice, in two processes: do they differ, and where first?
  splay sim chord.lua -n 100 --seeds 1-20
      twenty runs with other randomness, and a table of what became of them
  splay sim raft.lua -n 5 --faults trouble.txt
      what the script says goes wrong, such as `from 10s to 20s partition {1, 2} from rest`
  splay sim raft.lua -n 5 --cpu-model resume=20us
      computing takes time: 20 µs each time a thread goes on

Time is virtual: it begins on 2000-01-01 and moves only when nothing is left to do at an instant,
so sleeping costs nothing. Instances have addresses of their own (10.0.0.1, 10.0.0.2 ...). The
recording is all they said to each other and to you; its hash, printed at the end, is the same
whenever application, options, seed and build are.

Results are kept in runs/<app>/<time>-<id>/ as those of `splay run`, with virtual times, and
  counters.csv       messages, bytes, remote calls, drops and live instances by virtual second
  simulation.json    hash and length of the recording, virtual and real time

Exit status:
  0    all instances ended well, or were stopped by --for
  1    an instance failed: error, exit with another status than 0, or memory limit; or a thread
       died of an uncaught error; with --seeds: so it was with one of them
  2    the command line is wrong
  3    the application's file, or a topology's, is missing or unreadable
  4    the application's file is not valid Lua, or a topology's file not a valid topology
  6    results, a picture or output cannot be written
  9    --verify: the two runs differ
  70   a worker broke down (a bug in splay)
  130  interrupted";

/// Run instances of an application in virtual time, repeatably.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct SimArgs {
    /// The application's Lua file.
    #[arg(value_name = "APP.lua", value_hint = ValueHint::FilePath)]
    pub app: PathBuf,
    /// How many instances.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 1, conflicts_with = "churn")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_INSTANCES)))]
    pub instances: u32,
    /// Port of every instance.
    #[arg(long, value_name = "P", default_value_t = 20_000)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    pub port: u16,
    /// Which nodes an instance is told of: the first ones, or random others.
    #[arg(long, value_name = "TYPE", default_value = "head")]
    pub list_type: ListKind,
    /// How many nodes an instance is told of [default: all].
    #[arg(long, value_name = "K")]
    pub list_size: Option<u32>,
    /// Stop after this much virtual time.
    #[arg(long = "for", value_name = "TIME", value_parser = positive_duration, default_value = "1h")]
    pub time_limit: Duration,
    /// What all randomness follows from.
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    #[command(flatten)]
    pub scenario: ScenarioArgs,
    #[command(flatten)]
    pub network: NetworkOptions,
    /// What computing costs in virtual time: `off`, or resume=TIME for each time that a thread
    /// goes on.
    #[arg(long, value_name = "MODEL", default_value = "off")]
    pub cpu_model: Option<CpuModel>,
    /// Run in the sandbox of a testbed: restricted io and sockets, dangerous functions denied. The
    /// files of each instance are in the results.
    #[arg(long)]
    pub sandbox: bool,
    /// Lua memory of each instance: 64MB, 1GiB ... [default: no limit; with --sandbox 20MiB].
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub memory: Option<u64>,
    /// Keep the recording in this file.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    #[arg(conflicts_with_all = ["verify", "seeds"])]
    pub record: Option<PathBuf>,
    /// Run twice, each in a process of its own, and compare the recordings.
    #[arg(long, conflicts_with = "seeds")]
    pub verify: bool,
    /// Run once for each of these seeds, as many at a time as there are processor cores: 1-20 or
    /// 3,7.
    #[arg(long, value_name = "LIST", conflicts_with = "seed")]
    pub seeds: Option<Seeds>,
    /// Show only the lines of these instances: 3,7 or 1-5,9.
    #[arg(long, value_name = "LIST")]
    pub only: Option<InstanceSet>,
    /// Show only errors and the summary.
    #[arg(short, long, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Show also when instances start and how each ends.
    #[arg(short, long)]
    pub verbose: bool,
    /// Draw the overlay that the application shows in its global `view`, in the results (see
    /// `splay plot --help`). May be given several times.
    #[arg(long, value_name = "KIND", value_enum)]
    pub plot: Vec<Kind>,
    /// Folder of all results.
    #[arg(long, value_name = "DIR", default_value = "runs", value_hint = ValueHint::DirPath)]
    pub runs: PathBuf,
    /// No progress line (there is none anyway unless standard error is a terminal).
    #[arg(long)]
    pub no_progress: bool,
    /// What the application finds in `arg`.
    #[arg(last = true, value_name = "ARGS")]
    pub arguments: Vec<String>,
}

/// Runs the simulation, or several, and tells what happened.
pub fn execute(args: SimArgs) -> Result<ExitCode, Failure> {
    if let Some(list) = args.seeds.clone() {
        return seeds::run(&args, &list);
    }
    if args.verify {
        return compare::verify(&args);
    }
    run::run(&args)
}
