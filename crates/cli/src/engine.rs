//! The workers of a run: threads with an event loop each. Instances are dealt to them in turn
//! and never move. Commands go to a worker through a channel and a wake-up; reports of all come
//! back through one channel. The only place that knows the runtime's worker.

mod follow;
mod prompts;

use std::any::Any;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use splay_protocol::{Job, Lists};
use splay_runtime::driver::Driver;
use splay_runtime::host::{EndReason, InstanceConfig, InstanceNumber, Report, Stream, WorkerConfig};
use splay_runtime::real::{RealDriver, Waker};
use splay_runtime::shaped::{ShapedDriver, Traffic};
use splay_runtime::vm::Interrupter;
use splay_runtime::worker::{Step, Worker};
use splay_simulator::{NetworkConfig, VirtualDriver};

use crate::dispatcher::Input;
use crate::failure::{Failure, STATUS_INTERRUPTED};
use crate::interrupt;
pub use prompts::{Command, Cutter, Prompts};

pub use follow::{Churn, Churned};
use follow::{Share, follow};

/// What the workers are to do.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// How many workers.
    pub workers: u32,
    /// How many instances, numbered from 1.
    pub instances: u32,
    /// What holds for all instances of a worker.
    pub worker: WorkerConfig,
    /// What each instance is told of the others.
    pub lists: Lists,
    /// When instances start and stop; `None`: all start at once and stay.
    pub churn: Option<Churn>,
    /// Instances live on when they have nothing to run: their user is at a prompt.
    pub keep: bool,
    /// The network that is emulated between the instances.
    pub traffic: Option<Arc<Traffic>>,
}

/// Tells how an instance is set up: of its job, and of how often it has started before.
type Configure = dyn Fn(Job, u32) -> InstanceConfig + Send + Sync;

/// Hears what workers report, on their threads.
type Tell = dyn Fn(Input) + Send + Sync;

/// The running workers. They end by themselves when their instances have; dropping this
/// leaves them alone.
#[derive(Debug)]
pub struct Engine {
    workers: Arc<[Handle]>,
}

#[derive(Debug)]
struct Handle {
    commands: Sender<Command>,
    waker: Waker,
    /// Set once the worker's first instance is there, if instances are kept.
    interrupter: Arc<OnceLock<Interrupter>>,
}

impl Engine {
    /// Starts the workers, which start their instances.
    pub fn start(
        config: EngineConfig,
        configure: impl Fn(Job, u32) -> InstanceConfig + Send + Sync + 'static,
        tell: impl Fn(Input) + Send + Sync + 'static,
    ) -> Result<Engine, Failure> {
        let configure: Arc<Configure> = Arc::new(configure);
        let tell: Arc<Tell> = Arc::new(tell);
        let start = |index: u32| {
            let (commands, commanded) = crossbeam_channel::unbounded();
            let interrupter = Arc::new(OnceLock::new());
            let keep = config.keep.then(|| interrupter.clone());
            let (ready, became_ready) = crossbeam_channel::bounded(1);
            let configure = configure.clone();
            let tell = tell.clone();
            let config = config.clone();
            let body = move || {
                let driver = match RealDriver::new() {
                    Ok(driver) => driver,
                    Err(error) => return drop(ready.send(Err(error))),
                };
                let _ = ready.send(Ok(driver.waker()));
                let driver: Box<dyn Driver> = match config.traffic {
                    Some(traffic) => Box::new(ShapedDriver::new(Box::new(driver), traffic)),
                    None => Box::new(driver),
                };
                let worker = Worker::new(driver, config.worker, reports_to(tell.clone()));
                let (share, lists) = (Share { index, workers: config.workers }, &config.lists);
                let work = AssertUnwindSafe(|| match &config.churn {
                    Some(churn) => follow(worker, share, churn, lists, &*configure, &commanded, &*tell),
                    None => {
                        let mine = (index + 1..=config.instances).step_by(config.workers as usize);
                        work(worker, mine, |number| configure(lists.job(number), 0), keep, &commanded)
                    }
                });
                let outcome = match catch_unwind(work) {
                    Ok(outcome) => outcome.map_err(|error| error.to_string()),
                    Err(panic) => Err(panic_text(&*panic)),
                };
                tell(Input::WorkerDone { outcome });
            };
            let name = format!("worker-{}", index + 1);
            thread::Builder::new().name(name).spawn(body).map_err(Failure::Worker)?;
            let waker = became_ready.recv().expect("a worker answers first").map_err(Failure::Worker)?;
            Ok(Handle { commands, waker, interrupter })
        };
        let workers = (0..config.workers).map(start).collect::<Result<_, Failure>>()?;
        Ok(Engine { workers })
    }

    /// Tells every worker to stop its instances, and to start no more. Does not wait.
    pub fn stop(&self) {
        for worker in self.workers.iter() {
            // A worker that has ended does not listen.
            let _ = worker.commands.send(Command::Stop);
            worker.waker.wake();
        }
    }

    /// What prompts ask the workers through.
    pub fn prompts(&self) -> Prompts {
        Prompts::new(self.workers.clone())
    }
}

fn reports_to(tell: Arc<Tell>) -> Box<dyn FnMut(Report)> {
    Box::new(move |report| tell(Input::Report(report)))
}

/// One worker's life.
fn work(
    mut worker: Worker,
    mine: impl Iterator<Item = InstanceNumber>,
    configure: impl Fn(InstanceNumber) -> InstanceConfig,
    keep: Option<Arc<OnceLock<Interrupter>>>,
    commands: &Receiver<Command>,
) -> std::io::Result<()> {
    let mut started = Vec::new();
    // Prompts may ask of instances that are not there yet.
    let mut early: Vec<Command> = Vec::new();
    for number in mine {
        early.extend(commands.try_iter());
        if early.iter().any(|command| matches!(command, Command::Stop)) {
            return wind_up(worker, &started);
        }
        worker.start(number, configure(number));
        if let Some(interrupter) = &keep {
            worker.keep(number);
            worker.interrupter(number).map(|first| interrupter.set(first));
        }
        started.push(number);
        // The first instances get on while the last are still being set up.
        worker.step(Some(Duration::ZERO))?;
    }
    // What was said while the last one started may have woken nobody.
    if prompts::obey(&mut worker, early.into_iter().chain(commands.try_iter())) {
        return wind_up(worker, &started);
    }
    while worker.live() > 0 {
        let step = worker.step(None)?;
        let told = match step {
            Step::Empty => break,
            // Nothing but a command can ever happen to these instances.
            Step::Idle => prompts::wait_and_obey(&mut worker, commands),
            Step::Progress | Step::Woken => prompts::obey(&mut worker, commands.try_iter()),
        };
        if told {
            return wind_up(worker, &started);
        }
    }
    Ok(())
}

fn wind_up(mut worker: Worker, started: &[InstanceNumber]) -> std::io::Result<()> {
    started.iter().for_each(|&number| worker.stop(number));
    while worker.live() > 0 && worker.step(None)? != Step::Empty {}
    Ok(())
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("a worker panicked: {}", text.unwrap_or("without a message"))
}

/// Who is told about a program that runs alone.
pub struct Alone<'a> {
    /// A line it wrote, where the interpreter does not write it itself.
    pub line: &'a mut dyn FnMut(Stream, &[u8]),
    /// A thread died of an uncaught error.
    pub thread_died: &'a mut dyn FnMut(&str),
}

/// Stops a program that runs alone, from any thread.
#[derive(Debug, Clone)]
pub struct Stopper {
    stopped: Arc<AtomicBool>,
    waker: Waker,
}

impl Stopper {
    /// The program stops as soon as it does not compute.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.waker.wake();
    }
}

/// Runs one program on this very thread to its end, or until a signal.
pub fn run_alone(config: InstanceConfig, told: Alone<'_>) -> Result<EndReason, Failure> {
    run_alone_until(config, told, drop)
}

/// The same; before it starts, `given` gets what stops it.
pub fn run_alone_until(
    config: InstanceConfig,
    told: Alone<'_>,
    given: impl FnOnce(Stopper),
) -> Result<EndReason, Failure> {
    let driver = RealDriver::new().map_err(Failure::Worker)?;
    let stopper = Stopper { stopped: Arc::default(), waker: driver.waker() };
    let interrupted = stopper.stopped.clone();
    // What is reported is told before the worker waits again.
    let waker = stopper.waker.clone();
    given(stopper.clone());
    interrupt::watch(move || {
        stopper.stop();
        // A program that only computes does not notice.
        thread::sleep(PATIENCE);
        std::process::exit(STATUS_INTERRUPTED.into());
    })
    .map_err(Failure::Worker)?;
    let reports = Rc::new(RefCell::new(VecDeque::new()));
    let queue = reports.clone();
    let sink = Box::new(move |report| {
        queue.borrow_mut().push_back(report);
        waker.wake();
    });
    // A plain interpreter may compute for as long as it likes.
    let mut worker = Worker::new(Box::new(driver), WorkerConfig { slice: None }, sink);
    worker.start(ALONE, config);
    loop {
        let report = reports.borrow_mut().pop_front();
        match report {
            Some(Report::Ended { reason, .. }) => return Ok(reason),
            Some(Report::Output { stream, line, .. }) => (told.line)(stream, &line),
            Some(Report::ThreadDied { error, .. }) => (told.thread_died)(&error),
            Some(
                Report::Started { .. } | Report::Limit { .. } | Report::Viewed { .. } | Report::Check { .. },
            ) => {}
            None if interrupted.load(Ordering::Relaxed) => worker.stop(ALONE),
            None => {
                worker.step(None).map_err(Failure::Worker)?;
            }
        }
    }
}

/// Runs one program in virtual time, on a simulated network of its own, to its end or for so
/// long. Gives why it ended (`None`: it did not) and how much virtual time has passed.
pub fn run_virtual(
    config: InstanceConfig,
    seed: u64,
    limit: Duration,
    told: Alone<'_>,
) -> Result<(Option<EndReason>, Duration), Failure> {
    let reports = Rc::new(RefCell::new(VecDeque::new()));
    let queue = reports.clone();
    let sink = Box::new(move |report| queue.borrow_mut().push_back(report));
    let driver = VirtualDriver::new(seed, &NetworkConfig::default());
    let mut worker = Worker::new(Box::new(driver), WorkerConfig::default(), sink);
    worker.start(ALONE, config);
    loop {
        let report = reports.borrow_mut().pop_front();
        match report {
            Some(Report::Ended { reason, .. }) => return Ok((Some(reason), worker.now())),
            Some(Report::Output { stream, line, .. }) => (told.line)(stream, &line),
            Some(Report::ThreadDied { error, .. }) => (told.thread_died)(&error),
            Some(
                Report::Started { .. } | Report::Limit { .. } | Report::Viewed { .. } | Report::Check { .. },
            ) => {}
            None if worker.now() >= limit => return Ok((None, limit)),
            None => {
                worker.step(Some(limit)).map_err(Failure::Worker)?;
            }
        }
    }
}

/// How long a program that runs alone may take to notice a signal.
const PATIENCE: Duration = Duration::from_millis(300);

/// The number of a program that runs alone.
const ALONE: InstanceNumber = 1;
