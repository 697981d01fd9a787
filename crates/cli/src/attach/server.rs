//! The run's side: answers the prompts that are attached to its instances. A prompt that does not
//! read is hung up; no worker and no part of the run ever waits for one.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufReader, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use splay_runtime::host::{EvaluationNumber, EvaluationOutcome, EvaluationReport, InstanceNumber, Stream};

use super::place::Place;
use super::wire::{self, Ask, Tell, VERSION};
use crate::engine::{Cutter, Prompts};
use crate::failure::Failure;

/// Prompts at a time.
const MAX_CLIENTS: usize = 32;

/// What may wait to be read by a prompt: more than a person reads, little for a machine.
const MAX_WAITING_BYTES: usize = 32 << 20;

/// How long the end of a run waits for prompts to read of it.
const FAREWELL: Duration = Duration::from_millis(300);

/// For so long a thread that was given up is looked after: it may be about to run.
const CUT_PATIENCE: Duration = Duration::from_secs(2);

/// It is cut when it has run on for this long.
const CUT_PAUSE: Duration = Duration::from_millis(50);

/// What a prompt has evaluated, by the prompt's numbers: the run's number of it, and what cuts it.
type GoingOn = Mutex<HashMap<u64, (EvaluationNumber, Cutter)>>;

/// The prompts of a run, while it goes on.
pub struct Server {
    shared: Arc<Shared>,
    _place: Place,
}

struct Shared {
    prompts: Prompts,
    app: String,
    instances: u32,
    evaluations: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next: u64,
    clients: BTreeMap<u64, Client>,
    /// How instances ended.
    ended: BTreeMap<InstanceNumber, String>,
}

struct Client {
    instance: InstanceNumber,
    outbox: Outbox,
}

/// What waits to be read by a prompt.
#[derive(Clone)]
struct Outbox {
    lines: Sender<Vec<u8>>,
    waiting_bytes: Arc<AtomicUsize>,
    socket: Arc<UnixStream>,
}

impl Outbox {
    fn put(&self, tell: &Tell) {
        let line = wire::line(tell);
        if self.waiting_bytes.fetch_add(line.len(), Ordering::Relaxed) + line.len() > MAX_WAITING_BYTES {
            let _ = self.socket.shutdown(Shutdown::Both);
        } else {
            let _ = self.lines.send(line);
        }
    }

    /// Sends what waits, until nobody can put anything there any more or the prompt is gone.
    fn carry(lines: &Receiver<Vec<u8>>, waiting_bytes: &AtomicUsize, socket: &UnixStream) {
        for line in lines {
            if (&*socket).write_all(&line).is_err() {
                break;
            }
            waiting_bytes.fetch_sub(line.len(), Ordering::Relaxed);
        }
        let _ = socket.shutdown(Shutdown::Both);
    }
}

impl Server {
    /// Listens in the folder of a run's results.
    pub fn start(results: &Path, prompts: Prompts, app: &str, instances: u32) -> Result<Server, Failure> {
        let (place, listener) = Place::listen(results)?;
        let shared = Arc::new(Shared {
            prompts,
            app: app.to_owned(),
            instances,
            evaluations: AtomicU64::new(0),
            state: Mutex::default(),
        });
        let listening = shared.clone();
        spawn("attach", move || listening.accept(&listener)).map_err(Failure::Worker)?;
        Ok(Server { shared, _place: place })
    }

    /// An instance has ended: its prompts are told.
    pub fn ended(&self, instance: InstanceNumber, reason: &str) {
        let mut state = self.shared.state();
        state.ended.insert(instance, reason.to_owned());
        for client in state.clients.values().filter(|client| client.instance == instance) {
            client.outbox.put(&Tell::Ended { reason: reason.to_owned() });
        }
    }

    /// The run is over: gives prompts a moment to read so.
    pub fn finish(&self) {
        let give_up = Instant::now() + FAREWELL;
        let busy = || {
            let state = self.shared.state();
            state.clients.values().any(|client| client.outbox.waiting_bytes.load(Ordering::Relaxed) > 0)
        };
        while busy() && Instant::now() < give_up {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    std::thread::Builder::new().name(name.to_owned()).spawn(body).map(drop)
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(self: Arc<Self>, listener: &UnixListener) {
        for stream in listener.incoming() {
            let Ok(stream) = stream else {
                // Out of descriptors, most likely: instances come first.
                std::thread::sleep(Duration::from_millis(100));
                continue;
            };
            let shared = self.clone();
            if let Err(error) = spawn("prompt", move || shared.serve(stream)) {
                tracing::warn!(%error, "a prompt cannot be served");
            }
        }
    }

    /// One prompt, from its hello to its end. What it had evaluated then is given up.
    fn serve(&self, stream: UnixStream) {
        let socket = Arc::new(stream);
        let mut from = BufReader::new(&*socket);
        let Ok(Some(Ask::Hello { version, instance })) = wire::read(&mut from) else { return };
        let (number, outbox) = match self.admit(version, instance, &socket) {
            Ok(admitted) => admitted,
            Err(reason) => return drop((&*socket).write_all(&wire::line(&Tell::Refused { reason }))),
        };
        let going_on: Arc<GoingOn> = Arc::default();
        while let Ok(Some(ask)) = wire::read(&mut from) {
            match ask {
                Ask::Hello { .. } => break,
                Ask::Evaluate { id, code } => self.evaluate(instance, id, code, &outbox, &going_on),
                Ask::Cancel { id } => {
                    self.give_up(instance, id, &going_on);
                }
                Ask::Complete { id, line } => {
                    let completion = self.prompts.complete(instance, &line);
                    let (start, candidates) = (completion.start, completion.candidates);
                    outbox.put(&Tell::Completed { id, start, candidates });
                }
            }
        }
        self.state().clients.remove(&number);
        let left: Vec<u64> = locked(&going_on).keys().copied().collect();
        left.into_iter().for_each(|id| self.give_up(instance, id, &going_on));
    }

    /// Kills the thread of what goes on; one that never waits is cut.
    fn give_up(&self, instance: InstanceNumber, id: u64, going_on: &GoingOn) {
        let Some((evaluation, cutter)) = locked(going_on).get(&id).cloned() else { return };
        self.prompts.cancel(instance, evaluation);
        let give_up = Instant::now() + CUT_PATIENCE;
        while locked(going_on).contains_key(&id) && Instant::now() < give_up {
            std::thread::sleep(CUT_PAUSE);
            cutter.cut(evaluation, CUT_PAUSE);
        }
    }

    /// Lets a prompt in, or says why not.
    fn admit(
        &self,
        version: u32,
        instance: InstanceNumber,
        socket: &Arc<UnixStream>,
    ) -> Result<(u64, Outbox), String> {
        if version != VERSION {
            return Err("the run is by another version of splay".to_owned());
        }
        if !(1..=self.instances).contains(&instance) {
            return Err(format!("no instance {instance}: {} has 1 to {}", self.app, self.instances));
        }
        let mut state = self.state();
        if let Some(reason) = state.ended.get(&instance) {
            return Err(format!("instance {instance} has ended: {reason}"));
        }
        if state.clients.len() >= MAX_CLIENTS {
            return Err(format!("{MAX_CLIENTS} prompts are attached already"));
        }
        let (lines, carried) = crossbeam_channel::unbounded();
        let waiting_bytes = Arc::new(AtomicUsize::new(0));
        let outbox = Outbox { lines, waiting_bytes: waiting_bytes.clone(), socket: socket.clone() };
        let to = socket.clone();
        spawn("prompt-out", move || Outbox::carry(&carried, &waiting_bytes, &to))
            .map_err(|error| error.to_string())?;
        let number = state.next;
        state.next += 1;
        outbox.put(&Tell::Welcome { app: self.app.clone(), instances: self.instances });
        state.clients.insert(number, Client { instance, outbox: outbox.clone() });
        Ok((number, outbox))
    }

    fn evaluate(
        &self,
        instance: InstanceNumber,
        id: u64,
        code: String,
        outbox: &Outbox,
        going_on: &Arc<GoingOn>,
    ) {
        let evaluation = self.evaluations.fetch_add(1, Ordering::Relaxed);
        let cutter = Cutter::default();
        locked(going_on).insert(id, (evaluation, cutter.clone()));
        let (outbox, going_on) = (outbox.clone(), going_on.clone());
        self.prompts.evaluate(instance, evaluation, code, cutter, move |report| {
            let tell = match report {
                EvaluationReport::Output { stream, line } => {
                    let line = String::from_utf8_lossy(&line).into_owned();
                    Tell::Output { id, error: stream == Stream::Err, line }
                }
                EvaluationReport::Over(outcome) => {
                    locked(&going_on).remove(&id);
                    match outcome {
                        EvaluationOutcome::Values(values) => Tell::Values { id, values },
                        EvaluationOutcome::Error(message) => Tell::Error { id, message },
                        EvaluationOutcome::Cancelled => Tell::Cancelled { id },
                        EvaluationOutcome::Ended => Tell::Over { id },
                    }
                }
            };
            outbox.put(&tell);
        });
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
