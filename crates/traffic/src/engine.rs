//! One test from beginning to end: control connection, worker threads, the time between, and what
//! the threads bring home.

use std::sync::mpsc::{self, Receiver};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::control::{self, Woken};
use crate::error::Error;
use crate::figures::Latencies;
use crate::hooks::HookFactory;
use crate::options::Options;
use crate::outcome::{Harvest, Outcome};
use crate::samples::{self, Usage};
use crate::signal::{Signal, Stop};
use crate::worker;

/// Threads that were told to end do so by then, or run a hook that does not.
const OBEDIENCE: Duration = Duration::from_secs(2);

/// When the worker threads may begin.
#[derive(Default)]
pub(crate) struct Gate {
    state: Mutex<Option<bool>>,
    changed: Condvar,
}

impl Gate {
    fn set(&self, open: bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.get_or_insert(open);
        self.changed.notify_all();
    }

    /// Waits; false if there will be no test.
    pub(crate) fn pass(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_while(state, |state| state.is_none());
        waited.unwrap_or_else(PoisonError::into_inner).unwrap_or(false)
    }
}

/// What a worker thread tells.
pub(crate) enum Told {
    /// Its sockets are open.
    Ready,
    /// It has ended.
    Ended(Result<Box<Harvest>, Error>),
}

/// What the workers of a test share.
pub(crate) struct Common<'a> {
    pub(crate) options: &'a Options,
    pub(crate) hooks: &'a dyn HookFactory,
    /// Raised: workers end.
    pub(crate) halt: Signal,
    /// Raised by workers that have told something.
    pub(crate) attention: Signal,
    pub(crate) gate: Gate,
}

/// The main thread's view of its workers.
struct Crew<'a> {
    common: &'a Common<'a>,
    stop: &'a Stop,
    told: Receiver<Told>,
    ready: usize,
    running: usize,
    harvests: Vec<Harvest>,
    failure: Option<Error>,
}

impl Crew<'_> {
    /// Takes in what the workers have told; the first failure is the test's.
    fn hear(&mut self) -> Result<(), ()> {
        for told in self.told.try_iter() {
            match told {
                Told::Ready => self.ready += 1,
                Told::Ended(result) => {
                    self.running -= 1;
                    match result {
                        Ok(harvest) => self.harvests.push(*harvest),
                        Err(error) => {
                            self.failure.get_or_insert(error);
                        }
                    }
                }
            }
        }
        if self.failure.is_some() { Err(()) } else { Ok(()) }
    }

    fn fail(&mut self, error: Error) {
        self.failure.get_or_insert(error);
    }

    /// Until `until`, or until `done`; errors are noted.
    fn wait(&mut self, until: Option<Instant>, done: fn(&Self) -> bool) -> Result<(), ()> {
        loop {
            self.hear()?;
            if done(self) {
                return Ok(());
            }
            match control::wait(&[], self.stop, &self.common.attention, until) {
                Ok(Woken::Time) => return Ok(()),
                Ok(Woken::Stopped) => {
                    self.fail(Error::Stopped);
                    return Err(());
                }
                Ok(Woken::Worker | Woken::Ready) => {}
                Err(error) => {
                    self.fail(error);
                    return Err(());
                }
            }
        }
    }

    /// The time in which the flows run.
    fn measure(&mut self, server: Option<&mut control::Server>) -> Result<(), ()> {
        let options = self.common.options;
        let Some(server) = server else {
            let length = Duration::from_secs(options.test_length.into());
            return self.wait(Some(Instant::now() + length), |_| false);
        };
        let until = options.patience.map(|patience| Instant::now() + patience);
        loop {
            self.hear()?;
            match server.serve(self.stop, &self.common.attention, until) {
                Ok(None) => return Ok(()),
                Ok(Some(Woken::Stopped)) => self.fail(Error::Stopped),
                Ok(Some(Woken::Time)) => {
                    let peer = format!("{} client(s)", options.num_clients);
                    self.fail(Error::Control { peer, reason: "not there in time".to_owned() });
                }
                Ok(Some(_)) => continue,
                Err(error) => self.fail(error),
            }
            return Err(());
        }
    }

    /// Has all workers end and waits for them.
    fn dismiss(&mut self) {
        self.common.gate.set(false);
        self.common.halt.raise();
        while self.running > 0 {
            // Whether somebody stopped the test no longer matters.
            match self.told.recv_timeout(OBEDIENCE) {
                Ok(Told::Ready) => {}
                Ok(Told::Ended(Ok(harvest))) => {
                    self.running -= 1;
                    self.harvests.push(*harvest);
                }
                Ok(Told::Ended(Err(error))) => {
                    self.running -= 1;
                    self.fail(error);
                }
                Err(mpsc::RecvTimeoutError::Timeout) => self.common.hooks.interrupt(),
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
            }
        }
    }
}

/// Does one test and returns what it has found; blocks until it is over.
///
/// A client connects to the server's control port, trying for half a minute, runs for
/// `test_length` seconds and tells the server. A server serves until `num_clients` clients have
/// finished.
///
/// # Errors
/// See [`Error`]. When it returns all threads have ended and all sockets are closed.
pub fn run(options: &Options, hooks: &dyn HookFactory, stop: &Stop) -> Result<Outcome, Error> {
    options.check()?;
    let signal = || Signal::new().map_err(|error| Error::system("eventfd", "of the test", error));
    let (mut client, mut server) = (None, None);
    match options.client {
        true => client = Some(control::Client::connect(options, stop)?),
        false => server = Some(control::Server::listen(options)?),
    }
    let common = Common { options, hooks, halt: signal()?, attention: signal()?, gate: Gate::default() };
    let (sender, told) = mpsc::channel();
    let mut crew =
        Crew { common: &common, stop, told, ready: 0, running: 0, harvests: Vec::new(), failure: None };
    let (mut time_start, mut usage_start) = (worker::now(), Usage::of_process());
    thread::scope(|scope| {
        for index in 0..options.num_threads {
            let (sender, common) = (sender.clone(), &common);
            let work = move || {
                let ready = || {
                    let _ = sender.send(Told::Ready);
                    common.attention.raise();
                };
                let result = worker::run(common, index, &ready);
                let _ = sender.send(Told::Ended(result.map(Box::new)));
                common.attention.raise();
            };
            match thread::Builder::new().name(format!("traffic-{index}")).spawn_scoped(scope, work) {
                Ok(_) => crew.running += 1,
                Err(error) => {
                    crew.fail(Error::system("start thread", index, error));
                    break;
                }
            }
            // Servers open their sockets one after the other: the first of those that share a port
            // is the first thread's.
            if !options.client && crew.wait(None, |crew| crew.ready == crew.running).is_err() {
                break;
            }
        }
        drop(sender);
        let ready = crew.failure.is_none()
            && crew.wait(None, |crew| crew.ready == crew.common.options.num_threads).is_ok();
        if ready {
            (time_start, usage_start) = (worker::now(), Usage::of_process());
            common.gate.set(true);
            // What goes wrong is kept as the crew's failure.
            let _ = crew.measure(server.as_mut());
        }
        crew.dismiss();
    });
    let usage_end = Usage::of_process();
    if let Some(client) = client {
        client.finish();
    }
    if let Some(error) = crew.failure {
        return Err(error);
    }
    let harvest = gather(crew.harvests);
    let outcome = Outcome {
        invalid_secret_count: server.map_or(0, |server| server.invalid),
        time_start,
        time_end: harvest.samples.last().map_or_else(worker::now, |sample| sample.time),
        usage_start,
        usage_end,
        figures: harvest.figures(options),
        sent_bytes: harvest.sent_bytes,
        received_bytes: harvest.received_bytes,
        timeouts: harvest.timeouts,
        samples: harvest.samples,
    };
    if let Some(path) = &options.all_samples {
        let failed = |source| Error::Samples { path: path.clone(), source };
        let mut file = std::io::BufWriter::new(std::fs::File::create(path).map_err(failed)?);
        samples::write(&mut file, &outcome.samples, &options.percentiles).map_err(failed)?;
        std::io::Write::flush(&mut file).map_err(failed)?;
    }
    Ok(outcome)
}

fn gather(harvests: Vec<Harvest>) -> Harvest {
    let mut all = Harvest {
        samples: Vec::new(),
        beginnings: Vec::new(),
        latencies: Latencies::new(),
        transactions: 0,
        sent_bytes: 0,
        received_bytes: 0,
        timeouts: 0,
    };
    for one in harvests {
        all.samples.extend(one.samples);
        all.beginnings.extend(one.beginnings);
        all.latencies.add(&one.latencies);
        all.transactions += one.transactions;
        all.sent_bytes += one.sent_bytes;
        all.received_bytes += one.received_bytes;
        all.timeouts += one.timeouts;
    }
    all.samples.sort_by_key(|sample| sample.time);
    all
}
