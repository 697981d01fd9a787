//! A whole simulated run: instances of one program on one worker in virtual time, recorded.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use splay_protocol::churn::{Action, Event};
use splay_protocol::faults::{Fault, Manner, Strike, StrikeId};
use splay_protocol::seed::instance_seed;
use splay_protocol::{ListError, ListType, Lists, Node};
use splay_runtime::driver::Owner;
use splay_runtime::host::{Check, EndReason, InstanceConfig, Mode, Report, Stream, WorkerConfig};
use splay_runtime::program::Program;
use splay_runtime::worker::{Step, Worker};

use crate::driver::{EPOCH, VirtualDriver};
use crate::network::{Counters, Network, NetworkConfig, SharedRecorder, Time};
use crate::recording::{Kind, Recorder};
use crate::scenario::{Due, Happened, Happening, Place, Scenario, ScenarioConfig, place, struck};

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
    /// Who comes and goes, and what goes wrong.
    pub scenario: ScenarioConfig,
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
            scenario: ScenarioConfig::default(),
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

/// How much later than it has left a node starts again, at most.
const RETURN: Duration = Duration::from_millis(1);

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
    /// By position: how often it has been started.
    starts: Vec<u32>,
    scenario: Scenario,
    happenings: Vec<Happening>,
    /// Something that was to hold does not, and nobody has been told yet.
    violated: Rc<Cell<bool>>,
    /// When the next sample is due.
    sample_at: Duration,
    samples: Vec<Sample>,
}

impl Simulation {
    /// Prepares a run at virtual time zero; no instance is started yet. `sink` hears all reports,
    /// whose times are since 1970 (virtual: see [`EPOCH`]). `recorder` takes everything down.
    pub fn new(
        mut config: SimulationConfig,
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
        let violated = Rc::new(Cell::new(false));
        let violating = violated.clone();
        let told = Box::new(move |report: Report| {
            if let Report::Check { check, .. } = &report
                && matches!(**check, Check::Violated { .. })
            {
                violating.set(true);
            }
            note(&mut noted.borrow_mut(), &report);
            sink(report);
        });
        let worker_config = WorkerConfig { slice: Some(SLICE) };
        let mut worker = Worker::new(Box::new(driver), worker_config, told);
        worker.charge_resumes(config.resume_cost);
        let scenario = Scenario::new(std::mem::take(&mut config.scenario));
        Ok(Simulation {
            worker,
            recorder,
            starts: vec![0; config.instances as usize],
            config,
            lists,
            started: 0,
            scenario,
            happenings: Vec::new(),
            violated,
            sample_at: SAMPLE_EVERY,
            samples: Vec::new(),
        })
    }

    /// Instances not started yet of those there from the beginning; none under churn. A caller that wants to show progress starts them one by one with
    /// [`Simulation::start_next`]; virtual time stands still meanwhile.
    pub fn unstarted(&self) -> u32 {
        if self.scenario.has_churn() { 0 } else { self.config.instances - self.started }
    }

    /// How many instances it has, ended or not.
    pub fn instances(&self) -> u32 {
        self.config.instances
    }

    /// Starts the next instance.
    pub fn start_next(&mut self) {
        self.started += 1;
        self.start(self.started);
    }

    /// Starts an instance, perhaps not for the first time.
    fn start(&mut self, position: u32) {
        let before = &mut self.starts[position as usize - 1];
        let seed = self.config.seed.wrapping_add(u64::from(*before) << 32);
        *before += 1;
        let job = match self.scenario.up() {
            Some((up, instant)) => self.lists.among(up, instant).job(position),
            None => self.lists.job(position),
        };
        let config = InstanceConfig {
            program: self.config.program.clone(),
            arguments: self.config.arguments.clone(),
            job: (!self.config.alone).then_some(job),
            mode: (self.config.modes.0)(position),
            // When the compiler turns to a loop depends on addresses of code.
            jit: false,
            compact: self.config.instances > 64,
            seed: Some(instance_seed(seed, position)),
            max_memory_bytes: self.config.max_memory_bytes,
        };
        let owner = self.worker.next_owner();
        if !self.config.alone {
            let home = IpAddr::V4(address(position));
            self.driver(|driver| driver.set_home(owner, home));
        }
        self.worker.start(position, config);
        self.ail(position);
        if self.scenario.is_paused(position) {
            self.worker.suspend(position);
        }
    }

    fn driver<T>(&mut self, change: impl FnOnce(&mut VirtualDriver) -> T) -> T {
        self.worker.change_driver(change).expect("the driver is a virtual one")
    }

    /// Goes on, a little way, at most to virtual time `until`.
    pub fn step(&mut self, until: Duration) -> io::Result<Progress> {
        while self.unstarted() > 0 {
            self.start_next();
        }
        self.carry_out();
        while self.sample_at <= self.now() {
            let sample = Sample { at: self.sample_at, ..self.sample() };
            self.samples.push(sample);
            self.sample_at += SAMPLE_EVERY;
            self.worker.look_around();
        }
        let next = self.scenario.next_at().unwrap_or(Duration::MAX);
        let mut until = until.min(self.sample_at).min(next);
        if !self.scenario.returning.is_empty() {
            // Who starts again once it has left is looked for often.
            until = until.min(self.now() + RETURN);
        }
        Ok(match self.worker.step(Some(until))? {
            Step::Empty if self.scenario.will_start() => {
                self.worker.pass(until)?;
                Progress::Going
            }
            Step::Empty => Progress::Ended,
            Step::Idle => Progress::Idle,
            Step::Progress | Step::Woken => Progress::Going,
        })
    }

    /// Does what is due from outside.
    fn carry_out(&mut self) {
        if !self.scenario.returning.is_empty() {
            self.come_back();
        }
        if self.scenario.next_at().is_none_or(|at| at > self.now()) {
            return;
        }
        let (now, instances) = (self.now(), self.config.instances);
        loop {
            let worker = &self.worker;
            let live = || (1..=instances).filter(|&node| worker.is_live(node)).collect();
            match self.scenario.due(now, live) {
                None => return,
                Some(Due::Churn { events, up, instant }) => {
                    for event in events {
                        self.come_or_go(event);
                    }
                    let among = self.lists.among(up, instant);
                    for node in (1..=instances).filter(|&node| self.worker.is_live(node)) {
                        self.worker.set_live_nodes(node, among.nodes(node));
                    }
                }
                Some(Due::Strike(Strike::Begin(id, fault))) => {
                    self.tell(Happened::Begun(fault.clone()));
                    self.strike(id, &fault);
                }
                Some(Due::Strike(Strike::End(id, fault))) => {
                    self.tell(Happened::Ended(fault.clone()));
                    self.lift(id, &fault);
                }
            }
        }
    }

    /// Starts those that were to restart and have left.
    fn come_back(&mut self) {
        let worker = &self.worker;
        let gone =
            self.scenario.returning.extract_if(.., |node, _| !worker.is_live(*node)).collect::<Vec<_>>();
        for (node, keeps_files) in gone {
            self.start_again(node, keeps_files);
        }
    }

    fn tell(&mut self, what: Happened) {
        let at = self.now();
        let (instance, text) = match &what {
            Happened::Churn(event, _) => (event.node, format!("{:?}", event.action).to_lowercase()),
            Happened::Begun(fault) => (0, fault.to_string()),
            Happened::Ended(fault) => (0, format!("end of {fault}")),
        };
        let nanoseconds = Time::try_from(at.as_nanos()).unwrap_or(Time::MAX);
        self.recorder.borrow_mut().note(nanoseconds, Kind::Fault, instance, &[text.as_bytes()]);
        self.happenings.push(Happening { at, what });
    }

    /// An event of churn.
    fn come_or_go(&mut self, event: Event) {
        let live = self.worker.is_live(event.node);
        self.tell(Happened::Churn(event, live || event.action == Action::Start));
        match event.action {
            Action::Stop => self.worker.stop(event.node),
            Action::Leave => self.worker.leave(event.node, self.scenario.grace),
            Action::Start => {
                // Perhaps it has not yet left from before.
                self.worker.stop(event.node);
                if !self.scenario.is_down(event.node) {
                    self.start(event.node);
                }
            }
        }
    }

    /// A fault begins.
    fn strike(&mut self, id: StrikeId, fault: &Fault<splay_protocol::faults::Nodes>) {
        let nodes = struck(fault, self.config.instances);
        let place = place(fault);
        if place != Place::Machine {
            let applied = self.driver(|driver| driver.network_mut().apply(fault.clone()));
            let applied = applied.expect("faults of a plan have been checked");
            if !fault.is_momentary() {
                self.scenario.applied.insert(id, applied);
            }
        }
        match place {
            Place::Network => {}
            Place::Machine => nodes.into_iter().for_each(|node| self.ail(node)),
            Place::Pause => nodes.into_iter().for_each(|node| self.worker.suspend(node)),
            Place::Down(manner) => {
                let live: Vec<u32> = nodes.into_iter().filter(|&node| self.worker.is_live(node)).collect();
                for &node in &live {
                    match manner {
                        Manner::Gracefully => self.worker.leave(node, self.scenario.grace),
                        Manner::Killed | Manner::Silently => self.worker.stop(node),
                    }
                }
                if let Fault::Restart { keeps_files, .. } = fault {
                    self.scenario.returning.extend(live.into_iter().map(|node| (node, *keeps_files)));
                    // Those that are gone already start at once.
                    self.come_back();
                } else {
                    self.scenario.crashed(id, live);
                }
            }
        }
    }

    /// A fault ends.
    fn lift(&mut self, id: StrikeId, fault: &Fault<splay_protocol::faults::Nodes>) {
        if let Some(applied) = self.scenario.applied.remove(&id) {
            self.driver(|driver| driver.network_mut().lift(applied));
        }
        let nodes = struck(fault, self.config.instances);
        match place(fault) {
            Place::Network => {}
            Place::Machine => nodes.into_iter().for_each(|node| self.ail(node)),
            Place::Pause => {
                for node in nodes {
                    if !self.scenario.is_paused(node) {
                        self.worker.resume(node);
                    }
                }
            }
            Place::Down(_) => {
                let keeps = !matches!(fault, Fault::Crash { keeps_files: false, .. });
                for node in self.scenario.recovered(id) {
                    self.worker.stop(node);
                    self.start_again(node, keeps);
                }
            }
        }
    }

    /// A node's machine is as the faults of the moment have it.
    fn ail(&mut self, node: u32) {
        self.worker.set_conditions(node, self.scenario.conditions(node));
    }

    fn start_again(&mut self, node: u32, keeps_files: bool) {
        if !self.scenario.is_up(node) || self.scenario.is_down(node) {
            return;
        }
        if let (false, Mode::Sandboxed(sandbox)) = (keeps_files, (self.config.modes.0)(node)) {
            // What cannot be removed is seen by the program, which tells more than a message here.
            let _ = std::fs::remove_dir_all(&sandbox.directory);
        }
        self.start(node);
    }

    /// As [`Simulation::step`], so many times unless there is no more to come, or a check is violated.
    pub fn steps(&mut self, until: Duration, most: u32) -> io::Result<Progress> {
        for _ in 0..most {
            let progress = self.step(until)?;
            if progress != Progress::Going || self.now() >= until || self.violated.take() {
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

    /// What was done from outside that nobody has taken yet.
    pub fn take_happenings(&mut self) -> Vec<Happening> {
        std::mem::take(&mut self.happenings)
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
        for position in 1..=self.config.instances {
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
        Report::Limit { .. } | Report::Viewed { .. } | Report::Check { .. } => {}
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
