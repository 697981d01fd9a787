//! `splay run`: hosts all instances of an application in this process.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use clap::{Args, ValueEnum, ValueHint};
use jiff::Timestamp;
use splay_protocol::seed::instance_seed;
use splay_protocol::submission::PlaceOrder;
use splay_protocol::topology::placement;
use splay_protocol::{Job, ListType, Lists, Node, loopback_nodes};
use splay_runtime::host::{InstanceConfig, Mode, Sandbox, WorkerConfig};
use splay_runtime::program::Program;
use splay_runtime::shaped::{Emulation, Traffic};

use super::plot;
use crate::attach::server::Server;
use crate::churn::Loaded;
use crate::dispatcher::{Dispatcher, Input, Plan};
use crate::engine::{Churn, Engine, EngineConfig};
use crate::failure::{Failure, STATUSES, complain};
use crate::network_options::{check_places, load_topology};
use crate::options::{MANY_INSTANCES, Options};
use crate::plot::Kind;
use crate::quantity::{InstanceSet, TimeLimit, positive_duration, size};
use crate::reporter::attached::Attached;
use crate::reporter::terminal::Verbosity;
use crate::reporter::{Reporters, Style};
use crate::results::Results;
use crate::scenario::{ChurnArgs, Scenario};
use crate::trace::Sources;
use crate::{interrupt, preflight};

const EXAMPLES: &str = "\
Examples:
  splay run hello.lua
      one instance
  splay run chord.lua -n 50 --for 60s
      fifty instances on ports 20000 to 20049, stopped after a minute
  splay run cyclon.lua -n 100 --list-type random --list-size 10
      each instance knows ten random others (job.nodes)
  splay run chord.lua -n 50 --only 1,7-9
      show the lines of four instances (all are kept in the results)
  splay run gossip.lua -n 20 -q -- 5 fast
      show the summary alone; arg[1] is \"5\", arg[2] is \"fast\"
  splay run chord.lua -n 50 --plot ring
      draw the ring at the end, as ring.svg in the results
  splay run app.lua -n 10 --sandbox --memory 8MB
      as restricted as on a testbed
  splay run chord.lua -n 50 --attach
      and, in another terminal, `splay attach chord 7`
  splay run gossip.lua -n 20 --topology star:latency=20ms,bandwidth=1mbps
      20 ms from each instance to the router between them (or a file: see `splay topology`)
  splay run chord.lua --churn day.churn
      instances come and go as the trace or script says (splay help churn)

Results are kept in runs/<app>/<time>-<id>/, and runs/<app>/latest points to the last:
  options.json       all options with their defaults, and a command line that repeats the run
  churn.trace        with --churn: the times of each instance
  topology.txt, places.csv  with --topology: the network, and which instance is where
  instances/<n>.log  lines of each instance, with seconds since the start
  events.jsonl       everything that happened, one JSON object a line
  summary.json, summary.txt  how each instance ended: CPU, memory, bytes, remote calls
  view.json          what instances showed of themselves (see `splay plot --help`), if they did

Ctrl-C stops all instances and writes the summary; a second Ctrl-C does not wait for them.
";

/// Run instances of an application on this machine, all in this process.
///
/// Each instance gets the global `job` as utils.generate_job makes it: job.me is
/// 127.0.0.1:(first port + position - 1), job.position is its number from 1, job.nodes its list.
#[derive(Debug, Args)]
#[command(after_long_help = after_help())]
pub struct RunArgs {
    /// The application's Lua file.
    #[arg(value_name = "APP.lua", value_hint = ValueHint::FilePath)]
    pub app: PathBuf,
    /// How many instances.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 1, conflicts_with = "churn")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=65535))]
    pub instances: u32,
    /// Port of the first instance; the others follow [default: 20000, or the next free ones].
    #[arg(long, value_name = "P")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    pub first_port: Option<u16>,
    /// Which nodes an instance is told of: the first ones, or random others.
    #[arg(long, value_name = "TYPE", default_value = "head")]
    pub list_type: ListKind,
    /// How many nodes an instance is told of [default: all].
    #[arg(long, value_name = "K")]
    pub list_size: Option<u32>,
    #[command(flatten)]
    pub churn: ChurnArgs,
    /// Stop everything after this time: 60, 500ms, 60s, 1m30s, 2h.
    #[arg(long = "for", value_name = "TIME", value_parser = positive_duration)]
    pub time_limit: Option<Duration>,
    /// What math.random and random lists follow from [default: a random one, told in options.json].
    #[arg(long, value_name = "S")]
    pub seed: Option<u64>,
    /// Run in the sandbox of a testbed: restricted io and sockets, dangerous functions denied.
    #[arg(long)]
    pub sandbox: bool,
    /// Event loops [default: one per processor core].
    #[arg(long, value_name = "W", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub workers: Option<u32>,
    /// Emulate this network between the instances: a file (ModelNet XML, GraphML, latency matrix) or
    /// a generated topology, for example `star:latency=20ms`; see `splay topology --help`.
    #[arg(long, value_name = "FILE|SPEC")]
    pub topology: Option<String>,
    /// Which place of the topology an instance is at: its position's, or shuffled by the seed.
    #[arg(long, value_name = "ORDER", default_value = "ordered", requires = "topology")]
    pub topology_places: PlaceKind,
    /// LuaJIT's compiler; auto: on for few instances.
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub jit: Jit,
    /// Cut a thread that runs this long without yielding (`off`: never).
    #[arg(long, value_name = "TIME", default_value = "10s")]
    pub slice: TimeLimit,
    /// Lua memory of each instance: 64MB, 1GiB ... [default: no limit; with --sandbox 20MiB].
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub memory: Option<u64>,
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
    /// Let `splay attach` open prompts on the instances while they run.
    #[arg(long)]
    pub attach: bool,
    /// No progress line (there is none anyway unless standard error is a terminal).
    #[arg(long)]
    pub no_progress: bool,
    /// What the application finds in `arg`.
    #[arg(last = true, value_name = "ARGS")]
    pub arguments: Vec<String>,
}

fn after_help() -> String {
    format!("{EXAMPLES}\n{STATUSES}")
}

/// `--list-type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ListKind {
    /// The first nodes of the job, the same for all.
    Head,
    /// Random other nodes.
    Random,
}

impl From<ListKind> for ListType {
    fn from(kind: ListKind) -> Self {
        match kind {
            ListKind::Head => ListType::Head,
            ListKind::Random => ListType::Random,
        }
    }
}

/// `--topology-places`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PlaceKind {
    /// Position n is at place n, as in a simulation.
    Ordered,
    /// The places are shuffled by the seed first.
    Shuffled,
}

impl From<PlaceKind> for PlaceOrder {
    fn from(kind: PlaceKind) -> Self {
        match kind {
            PlaceKind::Ordered => PlaceOrder::Ordered,
            PlaceKind::Shuffled => PlaceOrder::Shuffled,
        }
    }
}

/// `--jit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Jit {
    /// On for few instances, off for many.
    Auto,
    /// On.
    On,
    /// Off.
    Off,
}

/// Runs the application and reports on it.
pub fn execute(args: RunArgs) -> Result<ExitCode, Failure> {
    let ChurnArgs { churn, churn_seed, .. } = &args.churn;
    let scenario = Scenario::load(churn.as_deref(), *churn_seed, None)?;
    scenario.warn();
    scenario.without_faults("faults are for `splay sim`")?;
    let churn = scenario.churn.as_ref();
    check_size(churn)?;
    let mut options = Options::resolve(&args, churn)?;
    let program = Arc::new(Program::load(&options.app)?);
    let descriptors = preflight::raise_descriptor_limit(options.instances)?;
    let mut nodes = loopback_nodes(options.instances, options.first_port)?;
    // Until the run is over.
    let _ports = if args.first_port.is_some() {
        preflight::reserve(options.first_port, options.instances, "another `splay run`")?
    } else {
        let (first, ports) =
            preflight::reserve_free(options.first_port, options.instances, "another `splay run`")?;
        options.move_to(first);
        nodes = loopback_nodes(options.instances, options.first_port)?;
        ports
    };

    let started = Timestamp::now();
    let id = format!("{:04x}", rand::random::<u16>());
    let results = Results::create(&args.runs, &options.name, started, &id)?;
    results.write_json("options.json", &options)?;
    if let Some(churn) = churn {
        results.write("churn.trace", churn.trace.to_string().as_bytes())?;
    }
    let traffic = traffic(&options, &nodes, &results)?;
    tracing::debug!(?descriptors, folder = %results.folder().display(), "ready");

    let lists = Lists::new(id, nodes, options.list_type, options.list_size, options.seed)?;
    let style = Style {
        verbosity: Verbosity::from_flags(args.quiet, args.verbose),
        only: args.only,
        progress: !args.no_progress,
    };
    let mut reporters = Reporters::new(style, &options, started, &results)?;

    let (inputs, received) = crossbeam_channel::bounded(Input::QUEUE);
    let plan = Plan {
        start: since_1970(),
        time_limit: options.time_limit,
        slice: options.slice,
        workers: options.workers,
        instances: options.instances,
        sources: Sources::of(&program),
    };
    let interrupts = inputs.clone();
    interrupt::watch(move || drop(interrupts.send(Input::Interrupt))).map_err(Failure::Worker)?;
    let plots = options.plot.clone();
    let config = EngineConfig {
        workers: options.workers,
        instances: options.instances,
        worker: WorkerConfig { slice: options.slice },
        lists,
        churn: churn.map(|churn| Churn {
            schedule: Arc::new(churn.trace.schedule()),
            origin: Instant::now(),
            grace: options.grace,
        }),
        keep: false,
        traffic,
    };
    let configure = configuration(options.clone(), program, &results)?;
    // Once the dispatcher is gone, the process is about to end: nobody needs the report.
    let engine = Engine::start(config, configure, move |input| drop(inputs.send(input)))?;
    if args.attach {
        let server = Server::start(results.folder(), engine.prompts(), &options.name, options.instances)?;
        reporters.add_attached(Attached::new(server));
    }
    let ledger = Dispatcher::new(plan).run(&received, &engine, &mut reporters)?;
    reporters.finish(&ledger)?;
    let drawn = draw(results.folder(), &plots);
    Ok(ExitCode::from(if ledger.status() == 0 { drawn } else { ledger.status() }))
}

/// The network that is emulated between the instances, which is kept with the results.
fn traffic(options: &Options, nodes: &[Node], results: &Results) -> Result<Option<Arc<Traffic>>, Failure> {
    let Some(name) = &options.topology else { return Ok(None) };
    let loaded = load_topology(name, options.instances, options.seed)?;
    check_places(name, &loaded.topology, options.instances)?;
    results.write("topology.txt", loaded.text.as_bytes())?;
    let shuffled = (options.topology_places == PlaceOrder::Shuffled).then_some(options.seed);
    let places = placement(nodes.len(), loaded.topology.places(), shuffled);
    let net = Emulation::new(Arc::new(loaded.topology), nodes, 1, places, options.seed);
    let traffic = Traffic::new(0, 0, Some(net));
    let mut table = String::from("position,place\n");
    for position in 1..=options.instances {
        let place = traffic.place(position).unwrap_or_default();
        table.push_str(&format!("{position},\"{}\"\n", place.replace('"', "\"\"")));
    }
    results.write("places.csv", table.as_bytes())?;
    Ok(Some(Arc::new(traffic)))
}

/// Draws what was asked for and tells where it is; the status if the run itself ended well.
pub fn draw(folder: &Path, kinds: &[Kind]) -> u8 {
    let mut status = 0;
    for drawn in plot::draw_all(folder, kinds) {
        match drawn {
            Ok((kind, path)) => complain(&format!("{} drawn in {}", kind.name(), path.display())),
            Err(failure) => {
                status = failure.status();
                complain(&failure.to_string());
            }
        }
    }
    status
}

/// Refuses more nodes than there are ports.
fn check_size(churn: Option<&Loaded>) -> Result<(), Failure> {
    match churn.map(|churn| churn.trace.nodes()).filter(|&nodes| nodes > u32::from(u16::MAX)) {
        Some(nodes) => Err(Failure::Usage(format!("--churn: {nodes} nodes, and a run has at most 65535"))),
        None => Ok(()),
    }
}

/// How each instance is set up. Called by the workers, so that the lists of thousands of
/// instances never exist all at once.
fn configuration(
    options: Options,
    program: Arc<Program>,
    results: &Results,
) -> Result<impl Fn(Job, u32) -> InstanceConfig + Send + Sync + 'static, Failure> {
    let mut directories = Vec::new();
    if options.sandbox {
        directories = (1..=options.instances).map(|n| results.sandbox(n)).collect::<Result<_, _>>()?;
    }
    Ok(move |job: Job, starts_before: u32| {
        let instance = job.position;
        let mode = match directories.get(instance as usize - 1) {
            Some(directory) => Mode::Sandboxed(sandbox(directory.clone(), job.me.port)),
            None => Mode::Hosted,
        };
        InstanceConfig {
            program: program.clone(),
            arguments: options.arguments.clone(),
            job: Some(job),
            mode,
            jit: options.jit,
            compact: options.instances > MANY_INSTANCES,
            // One that comes back draws other numbers than before.
            seed: Some(instance_seed(options.seed.wrapping_add(u64::from(starts_before) << 32), instance)),
            max_memory_bytes: options.max_memory_bytes.map(|bytes| bytes as usize),
        }
    })
}

/// The limits a job gets on a testbed when it asks for nothing else; its one port is `port`.
pub fn sandbox(directory: PathBuf, port: u16) -> Sandbox {
    Sandbox { ports: Some((port, port)), ..Sandbox::new(directory) }
}

fn since_1970() -> Duration {
    SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default()
}
