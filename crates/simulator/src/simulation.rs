//! A whole simulated run: instances of one program on one worker in virtual time, recorded.

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use splay_protocol::seed::instance_seed;
use splay_protocol::{ListError, ListType, Lists, Node};
use splay_runtime::driver::Owner;
use splay_runtime::host::{EndReason, InstanceConfig, Mode, Report, Stream, WorkerConfig};
use splay_runtime::program::Program;
use splay_runtime::worker::{Step, Worker};

use crate::driver::{EPOCH, VirtualDriver};
use crate::network::{Counters, Network, NetworkConfig, SharedRecorder, Time};
use crate::recording::{Kind, Recorder};

/// A virtual second may not cost more than this of real time without a thread yielding: then the
/// thread would never yield, and the run is not one that repeats.
pub const SLICE: Duration = Duration::from_secs(30);

/// How much of the machine the instance at a position sees.
#[derive(Clone)]
pub struct Modes(pub Arc<dyn Fn(u32) -> Mode + Send + Sync>);

impl Default for Modes {
    fn default() -> Self {
        Modes(Arc::new(|_| Mode::Hosted))
    }
}

impl std::fmt::Debug for Modes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Modes")
    }
}

/// What is to be simulated.
#[derive(Debug, Clone)]
pub struct SimulationConfig {
    /// The program.
    pub program: Arc<Program>,
    /// `arg[1]`, `arg[2]`, ...
    pub arguments: Vec<String>,
    /// How many instances, from position 1 on.
    pub instances: u32,
    /// Port of every instance (`job.me.port`): each has an address of its own, see [`address`].
    pub port: u16,
    /// How node lists are chosen.
    pub list_type: ListType,
    /// Longest list; `None`: all.
    pub list_size: Option<u32>,
    /// What all randomness follows from.
    pub seed: u64,
    /// Lua heap limit of an instance in bytes.
    pub max_memory_bytes: Option<usize>,
    /// Plain or in the sandbox.
    pub modes: Modes,
    /// The instances are alone: no global `job`, and all on one machine without an address of its
    /// own, as `splay lua` runs one.
    pub alone: bool,
    /// For how long a coroutine that is resumed keeps the processor of its instance busy: see
    /// [`Worker::charge_resumes`].
    pub resume_cost: Duration,
    /// The network.
    pub network: NetworkConfig,
}

impl SimulationConfig {
    /// One instance of a program, with all else as `splay sim` has it.
    pub fn new(program: Arc<Program>) -> SimulationConfig {
        SimulationConfig {
            program,
            arguments: Vec::new(),
            instances: 1,
            port: 20_000,
            list_type: ListType::Head,
            list_size: None,
            seed: 1,
            max_memory_bytes: None,
            modes: Modes::default(),
            alone: false,
            resume_cost: Duration::ZERO,
            network: NetworkConfig { latency: Duration::from_millis(20), ..NetworkConfig::default() },
        }
    }
}

/// What happened up to a moment. All but the time and the live instances are counted from the
/// beginning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sample {
    /// Virtual time.
    pub at: Duration,
    /// Instances that have not ended.
    pub live: usize,
    /// What the network did.
    pub network: Counters,
    /// Remote calls made (rpc, urpc, rpcq).
    pub calls: u64,
}

/// Virtual time between two samples.
pub const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// Address of the instance at a position: 10.0.0.1 and so on.
pub fn address(position: u32) -> Ipv4Addr {
    Ipv4Addr::from(0x0a00_0000 + position)
}

/// Where all instances are, by position.
pub fn nodes(instances: u32, port: u16) -> Vec<Node> {
    (1..=instances).map(|position| Node { ip: address(position).to_string(), port }).collect()
}

/// Most instances: the addresses of 10.0.0.0/8.
pub const MAX_INSTANCES: u32 = (1 << 24) - 2;

/// How far a simulation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// There is more to come.
    Going,
    /// Every instance has ended.
    Ended,
    /// Instances wait for what can never come.
    Idle,
}

/// A simulated run.
pub struct Simulation {
    worker: Worker,
    recorder: SharedRecorder,
    config: SimulationConfig,
    lists: Lists,
    started: u32,
    /// When the next sample is due.
    sample_at: Duration,
    samples: Vec<Sample>,
}

impl Simulation {
    /// Prepares a run at virtual time zero; no instance is started yet. `sink` hears all reports,
    /// whose times are since 1970 (virtual: see [`EPOCH`]). `recorder` takes everything down.
    pub fn new(
        config: SimulationConfig,
        recorder: Recorder,
        mut sink: impl FnMut(Report) + 'static,
    ) -> Result<Simulation, ListError> {
        let nodes = nodes(config.instances, config.port);
        let reference = format!("sim-{}", config.seed);
        let lists = Lists::new(reference, nodes, config.list_type, config.list_size, config.seed)?;
        let recorder = Rc::new(RefCell::new(recorder));
        let mut driver = VirtualDriver::new(config.seed, &config.network);
        for position in (1..=config.instances).take_while(|_| !config.alone) {
            driver.set_home(Owner(position - 1), IpAddr::V4(address(position)));
        }
        driver.record(recorder.clone());
        let noted = recorder.clone();
        let told = Box::new(move |report: Report| {
            note(&mut noted.borrow_mut(), &report);
            sink(report);
        });
        let worker_config = WorkerConfig { slice: Some(SLICE) };
        let mut worker = Worker::new(Box::new(driver), worker_config, told);
        worker.charge_resumes(config.resume_cost);
        let (started, sample_at, samples) = (0, SAMPLE_EVERY, Vec::new());
        Ok(Simulation { worker, recorder, config, lists, started, sample_at, samples })
    }

    /// Instances not started yet. A caller that wants to show progress starts them one by one with
    /// [`Simulation::start_next`]; virtual time stands still meanwhile.
    pub fn unstarted(&self) -> u32 {
        self.config.instances - self.started
    }

    /// How many instances it has, ended or not.
    pub fn instances(&self) -> u32 {
        self.config.instances
    }

    /// Starts the next instance.
    pub fn start_next(&mut self) {
        self.started += 1;
        let position = self.started;
        let config = InstanceConfig {
            program: self.config.program.clone(),
            arguments: self.config.arguments.clone(),
            job: (!self.config.alone).then(|| self.lists.job(position)),
            mode: (self.config.modes.0)(position),
            // When the compiler turns to a loop depends on addresses of code.
            jit: false,
            compact: self.config.instances > 64,
            seed: Some(instance_seed(self.config.seed, position)),
            max_memory_bytes: self.config.max_memory_bytes,
        };
        self.worker.start(position, config);
    }

    /// Goes on, a little way, at most to virtual time `until`.
    pub fn step(&mut self, until: Duration) -> io::Result<Progress> {
        while self.unstarted() > 0 {
            self.start_next();
        }
        while self.sample_at <= self.now() {
            let sample = Sample { at: self.sample_at, ..self.sample() };
            self.samples.push(sample);
            self.sample_at += SAMPLE_EVERY;
        }
        Ok(match self.worker.step(Some(until.min(self.sample_at)))? {
            Step::Empty => Progress::Ended,
            Step::Idle => Progress::Idle,
            Step::Progress | Step::Woken => Progress::Going,
        })
    }

    /// As [`Simulation::step`], so many times unless there is no more to come.
    pub fn steps(&mut self, until: Duration, most: u32) -> io::Result<Progress> {
        for _ in 0..most {
            let progress = self.step(until)?;
            if progress != Progress::Going || self.now() >= until {
                return Ok(progress);
            }
        }
        Ok(Progress::Going)
    }

    /// Goes on to virtual time `until`, or until there is no more to come.
    pub fn run(&mut self, until: Duration) -> io::Result<Progress> {
        let mut progress = Progress::Going;
        while progress == Progress::Going && self.now() < until {
            progress = self.steps(until, u32::MAX)?;
        }
        Ok(progress)
    }

    /// What has happened so far.
    pub fn sample(&self) -> Sample {
        let counters = self.network(Network::counters);
        Sample {
            at: self.now(),
            live: self.live(),
            network: counters,
            calls: self.worker.totals().calls_made.get(),
        }
    }

    /// Samples of every [`SAMPLE_EVERY`] of virtual time that nobody has taken yet.
    pub fn take_samples(&mut self) -> Vec<Sample> {
        std::mem::take(&mut self.samples)
    }

    /// Looks at the network.
    pub fn network<T>(&self, look: impl FnOnce(&Network) -> T) -> T {
        let looked = self.worker.inspect_driver(|driver: &VirtualDriver| look(driver.network()));
        looked.expect("the driver is a virtual one")
    }

    /// The worker, for prompts: what it is asked happens at the present virtual time.
    pub fn worker(&mut self) -> &mut Worker {
        &mut self.worker
    }

    /// Where the run first differed from the one it is compared with
    /// ([`Recorder::checking`]), as far as it has come.
    pub fn differs(&self) -> bool {
        self.recorder.borrow().difference().is_some()
    }

    /// The recorder.
    pub fn recorder(&self) -> SharedRecorder {
        self.recorder.clone()
    }

    /// Virtual time since the beginning.
    pub fn now(&self) -> Duration {
        self.worker.now()
    }

    /// Instances that have not ended.
    pub fn live(&self) -> usize {
        self.worker.live()
    }

    /// Ends all instances that are left.
    pub fn stop(&mut self) {
        for position in 1..=self.started {
            self.worker.stop(position);
        }
    }

    /// Entries recorded so far, and the hash of them.
    pub fn fingerprint(&self) -> (u64, u128) {
        let recorder = self.recorder.borrow();
        (recorder.entries(), recorder.hash())
    }

    /// Writes out the recording.
    pub fn finish(&mut self) -> io::Result<()> {
        self.recorder.borrow_mut().finish()
    }
}

/// Takes down a report.
fn note(recorder: &mut Recorder, report: &Report) {
    let since = |at: Duration| Time::try_from(at.saturating_sub(EPOCH).as_nanos()).unwrap_or(Time::MAX);
    match report {
        Report::Started { instance, at } => recorder.note(since(*at), Kind::Started, *instance, &[]),
        Report::Output { instance, at, stream, line, .. } => {
            let stream = [match stream {
                Stream::Out => 1,
                Stream::Err => 2,
            }];
            recorder.note(since(*at), Kind::Output, *instance, &[&stream, line]);
        }
        Report::ThreadDied { instance, at, error, .. } => {
            recorder.note(since(*at), Kind::ThreadDied, *instance, &[error.as_bytes()]);
        }
        // No word between the instance and its world; what follows from a limit is recorded.
        Report::Limit { .. } | Report::Viewed { .. } => {}
        Report::Ended { instance, at, reason, .. } => {
            let text = match reason {
                EndReason::Finished => "finished".to_owned(),
                EndReason::Exit(code) => format!("exit {code}"),
                EndReason::Error(error) => format!("error {error}"),
                EndReason::Stopped => "stopped".to_owned(),
                EndReason::Memory => "memory".to_owned(),
            };
            recorder.note(since(*at), Kind::Ended, *instance, &[text.as_bytes()]);
        }
    }
}
