//! The prompt's side: a session that is evaluated in an instance of another process's run.

use std::io::{BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use splay_runtime::host::{Completion, EvaluationOutcome, InstanceNumber, Stream};

use super::place;
use super::wire::{self, Ask, Tell, VERSION};
use crate::failure::Failure;
use crate::prompt::{Heard, QUEUE, Session};

/// A person who typed a tab does not wait longer.
const COMPLETION_PATIENCE: Duration = Duration::from_millis(800);

/// A connection to an instance.
pub struct Remote {
    stream: Mutex<UnixStream>,
    last: AtomicU64,
    completed: Receiver<(u64, Completion)>,
}

/// What the run said of itself.
#[derive(Debug)]
pub struct Welcome {
    /// Name of its application.
    pub app: String,
    /// How many instances it has.
    pub instances: u32,
}

impl Remote {
    /// Attaches to an instance of a run. What it tells is then heard on the channel.
    pub fn attach(
        run: &Path,
        instance: InstanceNumber,
    ) -> Result<(Remote, Receiver<Heard>, Welcome), Failure> {
        let failed = |error: std::io::Error| {
            Failure::Unreachable(format!("{} does not answer: {error}", run.display()))
        };
        let stream = place::connect(run)?;
        let mut from = BufReader::new(stream.try_clone().map_err(failed)?);
        (&stream).write_all(&wire::line(&Ask::Hello { version: VERSION, instance })).map_err(failed)?;
        let welcome = match wire::read(&mut from).map_err(failed)? {
            Some(Tell::Welcome { app, instances }) => Welcome { app, instances },
            Some(Tell::Refused { reason }) => return Err(Failure::Unreachable(reason)),
            _ => return Err(Failure::Unreachable(format!("{} is over", run.display()))),
        };
        let (heard, hears) = crossbeam_channel::bounded(QUEUE);
        let (completes, completed) = crossbeam_channel::unbounded();
        let body = move || listen(from, instance, &heard, &completes);
        std::thread::Builder::new().name("listener".to_owned()).spawn(body).map_err(Failure::Worker)?;
        let remote = Remote { stream: Mutex::new(stream), last: AtomicU64::new(0), completed };
        Ok((remote, hears, welcome))
    }

    fn ask(&self, ask: &Ask) {
        let mut stream = self.stream.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // That the run is gone is heard by the listener.
        let _ = stream.write_all(&wire::line(ask));
    }

    fn next(&self) -> u64 {
        self.last.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// Passes on what the run tells, until it or the instance is gone.
fn listen(
    mut from: BufReader<UnixStream>,
    instance: InstanceNumber,
    heard: &Sender<Heard>,
    completes: &Sender<(u64, Completion)>,
) {
    let mut farewell = "the run is over".to_owned();
    while let Ok(Some(tell)) = wire::read(&mut from) {
        let one = match tell {
            Tell::Output { error, line, .. } => {
                let stream = if error { Stream::Err } else { Stream::Out };
                Heard::Line { stream, line: line.into_bytes() }
            }
            Tell::Values { values, .. } => Heard::Over(EvaluationOutcome::Values(values)),
            Tell::Error { message, .. } => Heard::Over(EvaluationOutcome::Error(message)),
            Tell::Cancelled { .. } => Heard::Over(EvaluationOutcome::Cancelled),
            Tell::Over { .. } => Heard::Over(EvaluationOutcome::Ended),
            Tell::Completed { id, start, candidates } => {
                let _ = completes.send((id, Completion { start, candidates }));
                continue;
            }
            Tell::Ended { reason } => {
                farewell = format!("instance {instance} has ended: {reason}");
                break;
            }
            Tell::Welcome { .. } | Tell::Refused { .. } => break,
        };
        if heard.send(one).is_err() {
            return;
        }
    }
    let _ = heard.send(Heard::Gone { message: farewell, status: 0 });
}

impl Session for Remote {
    fn evaluate(&self, code: String) {
        let id = self.next();
        self.ask(&Ask::Evaluate { id, code });
    }

    fn cancel(&self) {
        // Completions have numbers too, but none is asked for while something is evaluated.
        self.ask(&Ask::Cancel { id: self.last.load(Ordering::Relaxed) });
    }

    fn complete(&self, line: &str) -> Completion {
        let id = self.next();
        self.ask(&Ask::Complete { id, line: line.to_owned() });
        let give_up = Instant::now() + COMPLETION_PATIENCE;
        // An answer that came too late for its question is passed over.
        while let Ok((answered, completion)) = self.completed.recv_deadline(give_up) {
            if answered == id {
                return completion;
            }
        }
        Completion::default()
    }
}
