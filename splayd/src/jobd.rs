//! `splayd jobd`: the process that hosts one job's instances on this machine. Reads orders from its
//! standard input, writes what happens to its standard output, and ends when its input does. Knows
//! no controller.

mod desk;
mod output;
mod thread;
mod watch;

use std::collections::HashMap;
use std::io;
use std::path::{Component, Path};
use std::process::ExitCode;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use splay_protocol::session::{JobNodes, ShippedFile};
use splay_protocol::topology::{Topology, placement};
use splay_protocol::{ListError, Lists};
use splay_runtime::host::{InstanceConfig, Mode, NativeLibrary, WorkerConfig};
use splay_runtime::program::Program;
use splay_runtime::real::RealDriver;
use splay_runtime::shaped::{Emulation, Traffic};
use splay_runtime::worker::Worker;

use crate::confine;
use crate::pipe::{self, Failed, FromJobd, Ready, Setup, ToJobd};
use thread::{Handle, Order};

/// Messages that may wait for splayd to read them; beyond that, instances that write wait.
const OUTGOING: usize = 64;

/// How long the end of the process waits for host threads to end theirs.
const FAREWELL: Duration = Duration::from_secs(2);

/// What all host threads share.
#[derive(Debug)]
pub(crate) struct Hosting {
    pub setup: Setup,
    pub program: Arc<Program>,
    lists: RwLock<Arc<Lists>>,
    /// Hosts instances may not contact.
    pub blacklist: RwLock<Vec<String>>,
    pub seed: u64,
    /// Native libraries the program may require.
    pub native: Arc<[NativeLibrary]>,
    /// Rates of the job and its network, if there is any.
    pub traffic: Option<Arc<Traffic>>,
    /// Threads that still load instances.
    pub loading: AtomicUsize,
    /// Told with [`FromJobd::Ready`].
    pub degraded: Vec<String>,
}

impl Hosting {
    /// Who is in the job, as far as is known.
    pub fn lists(&self) -> Arc<Lists> {
        self.lists.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The nodes have changed: some have other addresses.
    fn set_nodes(&self, nodes: &JobNodes) -> Result<(), String> {
        let lists = lists(&self.setup, nodes, self.seed)?;
        *self.lists.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(lists);
        Ok(())
    }
}

/// To the thread that writes.
#[derive(Debug)]
pub(crate) enum Outgoing {
    Message(FromJobd),
    /// Nothing more comes: say when all is written.
    Last(Sender<()>),
}

/// Runs the worker process.
pub fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "worker ends");
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<()> {
    let mut input = io::stdin().lock();
    let Some(first) = pipe::read(&mut input)? else { return Ok(()) };
    let ToJobd::Setup(setup) = first else { return Err(unexpected("a setup")) };
    // Before there are other threads: they inherit it.
    let degraded = confine::enter(&setup.confinement)?;
    let Some(second) = pipe::read(&mut input)? else { return Ok(()) };
    let ToJobd::Nodes(nodes) = second else { return Err(unexpected("the nodes")) };

    warm_up()?;
    let (outgoing, messages) = bounded(OUTGOING);
    std::thread::Builder::new().name("writer".to_owned()).spawn(move || write_all(&messages))?;
    let mut hosting = None;
    let handles = match prepare(*setup, &nodes, degraded) {
        Ok(prepared) => start(hosting.insert(Arc::new(prepared)).clone(), &nodes, &outgoing)?,
        Err(message) => {
            let _ = outgoing.send(Outgoing::Message(FromJobd::Failed(Failed { message })));
            Vec::new()
        }
    };
    let mut homes: HashMap<u32, usize> = HashMap::new();
    settle(&mut homes, &nodes, handles.len());
    while let Some(order) = pipe::read(&mut input)? {
        let all = |order: Order| handles.iter().for_each(|handle| handle.tell(order.clone()));
        let one = |position: u32, order: Order| {
            if let Some(&home) = homes.get(&position) {
                handles[home].tell(order);
            }
        };
        match order {
            ToJobd::Start(start) => all(Order::Start(Arc::new(start))),
            ToJobd::Begin(begin) => {
                let begin = Arc::new(begin);
                let home = homes.get(&begin.position);
                for (index, handle) in handles.iter().enumerate() {
                    let own = home == Some(&index);
                    handle.tell(if own { Order::Begin(begin.clone()) } else { Order::Live(begin.clone()) });
                }
            }
            ToJobd::End(end) => one(end.position, Order::End(end)),
            ToJobd::Stop(stop) => all(Order::Stop(Arc::new(stop))),
            ToJobd::Live(live) => all(Order::Up(Arc::new(live))),
            ToJobd::Blacklist(list) => {
                let Some(hosting) = &hosting else { continue };
                *hosting.blacklist.write().unwrap_or_else(PoisonError::into_inner) = list.hosts;
                all(Order::Blacklist);
            }
            ToJobd::Nodes(nodes) => {
                let Some(hosting) = &hosting else { continue };
                hosting.set_nodes(&nodes).map_err(io::Error::other)?;
                settle(&mut homes, &nodes, handles.len());
            }
            ToJobd::Setup(_) => return Err(unexpected("an order")),
        }
    }
    // Splayd has closed the pipe, or died.
    handles.iter().for_each(|handle| handle.tell(Order::Quit));
    handles.iter().for_each(|handle| handle.wait(FAREWELL));
    let (written, last) = bounded(1);
    if outgoing.send_timeout(Outgoing::Last(written), FAREWELL).is_ok() {
        let _ = last.recv_timeout(FAREWELL);
    }
    std::process::exit(0)
}

/// Gives positions that have no thread yet one, in turn.
fn settle(homes: &mut HashMap<u32, usize>, nodes: &JobNodes, threads: usize) {
    for position in seats(nodes).filter(|_| threads > 0) {
        let next = homes.len() % threads;
        homes.entry(position).or_insert(next);
    }
}

fn unexpected(wanted: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("splayd said something else than {wanted}"))
}

/// Positions that have a seat here, in the order of the seats.
fn seats(nodes: &JobNodes) -> impl Iterator<Item = u32> + '_ {
    nodes.positions.iter().map(|(_, position)| *position)
}

fn prepare(setup: Setup, nodes: &JobNodes, degraded: Vec<String>) -> Result<Hosting, String> {
    let app = Path::new(&setup.app);
    if !app.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(format!("app `{}`: not a path in the job's folder", setup.app));
    }
    let file = setup.files.join(app);
    let source = std::fs::read(&file).map_err(|error| format!("read app `{}`: {error}", setup.app))?;
    let directory = file.parent().map(Path::to_owned);
    let program = Program::from_source(&setup.app, &source, directory).map_err(|error| error.to_string())?;
    let seed = setup.seed.parse().map_err(|_| format!("seed `{}`: not a number", setup.seed))?;
    let lists = RwLock::new(Arc::new(lists(&setup, nodes, seed)?));
    let blacklist = RwLock::new(setup.blacklist.clone());
    let traffic = traffic(&setup, nodes, seed)?;
    let library = |file: &ShippedFile| {
        let name = file.native.clone()?;
        Some(NativeLibrary { name, path: setup.files.join(&file.path), sha256: file.sha256.clone() })
    };
    let native = setup.native.iter().filter_map(library).collect();
    let (program, loading) = (Arc::new(program), AtomicUsize::new(0));
    Ok(Hosting { setup, program, lists, blacklist, seed, native, traffic, loading, degraded })
}

fn lists(setup: &Setup, nodes: &JobNodes, seed: u64) -> Result<Lists, String> {
    let size = (nodes.list_size > 0).then_some(nodes.list_size);
    let lists = Lists::new(setup.job.as_str(), nodes.nodes.clone(), nodes.list_type, size, seed)
        .map_err(|error: ListError| error.to_string())?
        .with_name(&setup.name, setup.environment.clone());
    match seats(nodes).find(|at| *at == 0 || *at > lists.total()) {
        Some(position) => Err(format!("position {position}: the job has {} nodes", lists.total())),
        None => Ok(lists),
    }
}

/// What is to be kept to: rates, and the network between the instances.
fn traffic(setup: &Setup, nodes: &JobNodes, seed: u64) -> Result<Option<Arc<Traffic>>, String> {
    let limits = &setup.limits;
    let emulation = match &setup.topology {
        None => None,
        Some(order) => {
            let wrong = |error: &dyn std::fmt::Display| format!("topology `{}`: {error}", order.path);
            let text =
                std::fs::read_to_string(setup.files.join(&order.path)).map_err(|error| wrong(&error))?;
            let topology = Topology::parse(&text).map_err(|error| wrong(&error))?;
            let shuffled = (order.shuffled == 1).then_some(seed);
            let places = placement(nodes.nodes.len(), topology.places(), shuffled);
            Some(Emulation::new(Arc::new(topology), &nodes.nodes, limits.ports, places, seed))
        }
    };
    let rates = [
        limits.send_bytes_per_second,
        limits.receive_bytes_per_second,
        limits.job_send_bytes_per_second,
        limits.job_receive_bytes_per_second,
    ];
    let shaped = emulation.is_some() || rates.iter().any(|rate| *rate > 0);
    Ok(shaped.then(|| {
        let (send, receive) = (limits.job_send_bytes_per_second, limits.job_receive_bytes_per_second);
        Arc::new(Traffic::new(send, receive, emulation))
    }))
}

/// Has the libraries nearly every program uses compiled, which is done once per process: the first
/// instances to run would do it between the instant of their start and their first line.
fn warm_up() -> io::Result<()> {
    const PROGRAM: &[u8] = b"require 'splay.base' require 'splay.log_main' require 'splay.socket_main'";
    let program = Program::from_source("warm-up", PROGRAM, None).map_err(io::Error::other)?;
    let mut worker = Worker::new(Box::new(RealDriver::new()?), WorkerConfig { slice: None }, Box::new(drop));
    let config = InstanceConfig {
        program: Arc::new(program),
        arguments: Vec::new(),
        job: None,
        mode: Mode::Hosted,
        jit: false,
        compact: true,
        seed: Some(0),
        max_memory_bytes: None,
    };
    worker.start(1, config);
    worker.run().map(drop)
}

fn start(hosting: Arc<Hosting>, nodes: &JobNodes, outgoing: &Sender<Outgoing>) -> io::Result<Vec<Handle>> {
    let positions: Vec<u32> = seats(nodes).collect();
    // Seats in reserve count: an instance may move here.
    let seats = (hosting.setup.seats as usize).max(positions.len());
    let count = (hosting.setup.threads.max(1) as usize).min(seats);
    if count == 0 {
        let ready = Ready { degraded: hosting.degraded.clone() };
        let _ = outgoing.send(Outgoing::Message(FromJobd::Ready(ready)));
        return Ok(Vec::new());
    }
    hosting.loading.store(count, std::sync::atomic::Ordering::SeqCst);
    let handles = (0..count)
        .map(|index| {
            let mine = positions.iter().skip(index).step_by(count).copied().collect();
            thread::start(index, hosting.clone(), mine, outgoing.clone())
        })
        .collect::<io::Result<Vec<_>>>()?;
    watch::start(&hosting, &handles, outgoing.clone())?;
    Ok(handles)
}

/// The thread that writes to splayd. Without splayd there is nothing to live for.
fn write_all(messages: &Receiver<Outgoing>) {
    let mut out = io::BufWriter::with_capacity(256 << 10, io::stdout().lock());
    for message in messages {
        let written = match message {
            Outgoing::Message(message) => pipe::write(&mut out, &message),
            Outgoing::Last(done) => {
                let flushed = io::Write::flush(&mut out);
                let _ = done.send(());
                flushed
            }
        };
        let idle = messages.is_empty();
        if written.and_then(|()| if idle { io::Write::flush(&mut out) } else { Ok(()) }).is_err() {
            std::process::exit(1);
        }
    }
}
