//! What a host thread knows of the lives it hosts, and how the runtime's reports become messages
//! to splayd. Starts and stops nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crossbeam_channel::Sender;
use splay_protocol::Limits;
use splay_protocol::log_lines::LineKind;
use splay_protocol::session::{Ending, UsageTotals};
use splay_runtime::host::{Check, EndReason, LIVES_ON, Report, Stream, Usage};

use super::Outgoing;
use super::output::{Kept, Output};
use crate::pipe::{Ended, FromJobd, Limit, Started};

/// How an instance is about to be stopped.
#[derive(Debug, Clone)]
pub struct Cause {
    pub ending: Ending,
    pub detail: String,
    pub step: u64,
    pub planned_us: u64,
    /// When it was carried out.
    pub acted_us: u64,
}

/// One life of an instance.
#[derive(Debug, Clone)]
pub struct Life {
    pub number: u64,
    /// It has been let run.
    pub released: bool,
    /// Its start was told.
    pub started: bool,
    pub step: u64,
    pub planned_us: u64,
    pub cause: Option<Cause>,
}

/// Lives of one host thread.
#[derive(Debug)]
pub struct Desk {
    pub lives: HashMap<u32, Life>,
    pub output: Output,
    outgoing: Sender<Outgoing>,
    /// The thread waits for splayd to read: the watchdog must not blame an instance.
    waits: Arc<AtomicBool>,
    limits: Limits,
    /// The lives once more, for the watchdog, which empties it when it gives the thread up.
    known: Arc<Mutex<BTreeMap<u32, u64>>>,
}

impl Desk {
    pub fn new(
        limits: &Limits,
        outgoing: Sender<Outgoing>,
        waits: Arc<AtomicBool>,
        known: Arc<Mutex<BTreeMap<u32, u64>>>,
    ) -> Desk {
        Desk {
            known,
            lives: HashMap::new(),
            output: Output::new(limits.max_log_bytes),
            outgoing,
            waits,
            limits: limits.clone(),
        }
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<u32, u64>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The watchdog has told of the ends of all lives here.
    pub fn is_given_up(&self) -> bool {
        !self.lives.is_empty() && self.known().is_empty()
    }

    /// Takes up a new life.
    pub fn insert(&mut self, position: u32, life: Life) {
        self.known().insert(position, life.number);
        self.lives.insert(position, life);
    }

    /// Passes a message on.
    pub fn send(&self, message: FromJobd) {
        let Err(error) = self.outgoing.try_send(Outgoing::Message(message)) else { return };
        self.waits.store(true, Ordering::Relaxed);
        // Without a writer the process is about to end.
        let _ = self.outgoing.send(error.into_inner());
        self.waits.store(false, Ordering::Relaxed);
    }

    /// Passes the lines on.
    pub fn flush(&mut self) {
        if let Some(lines) = self.output.take() {
            self.send(FromJobd::Lines(lines));
        }
    }

    fn line(&mut self, at_us: u64, position: u32, kind: LineKind, text: &[u8]) {
        if let Kept::FirstOver(reached) = self.output.line(at_us, position, kind, text) {
            let allowed = self.limits.max_log_bytes;
            self.limit(position, at_us, "max_log_bytes", (allowed, reached), false);
        }
        if self.output.full() {
            self.flush();
        }
    }

    fn limit(&self, position: u32, at_us: u64, limit: &str, figures: (u64, u64), ended: bool) {
        let (allowed, reached) = figures;
        let limit = limit.to_owned();
        self.send(FromJobd::Limit(Limit { position, at_us, limit, allowed, reached, ended: ended.into() }));
    }

    /// Hears the runtime.
    pub fn report(&mut self, report: Report) {
        match report {
            Report::Started { instance, at } => self.started(instance, micros(at)),
            Report::Output { instance, at, stream, level, line } => {
                let kind = match (stream, level) {
                    (Stream::Err, _) => LineKind::Err,
                    (Stream::Out, 1) => LineKind::Debug,
                    (Stream::Out, 2) => LineKind::Notice,
                    (Stream::Out, 3) => LineKind::Warning,
                    (Stream::Out, 4) => LineKind::Error,
                    (Stream::Out, _) => LineKind::Out,
                };
                self.line(micros(at), instance, kind, &line);
            }
            Report::ThreadDied { instance, at, error, cut, lives_on } => {
                let at = micros(at);
                self.text(at, instance, &error);
                if lives_on {
                    self.text(at, instance, LIVES_ON);
                }
                if cut {
                    let allowed = u64::from(self.limits.slice_milliseconds);
                    self.limit(instance, at, "slice_milliseconds", (allowed, allowed), false);
                }
            }
            // Pictures are made of local runs.
            Report::Viewed { .. } => {}
            Report::Check { instance, at, check } => {
                if let Check::Violated { name, message } = *check {
                    self.text(micros(at), instance, &format!("violated: {name}: {message}"));
                }
            }
            Report::Limit { instance, at, limit, allowed, reached } => {
                let at = micros(at);
                let said = format!("[splayd] {limit}: {allowed} allowed, {reached} refused");
                self.output.system(at, instance, &said);
                self.limit(instance, at, limit, (allowed, reached), false);
            }
            Report::Ended { instance, at, reason, usage } => {
                self.ended(instance, micros(at), reason, &usage);
            }
        }
    }

    /// Tells of a life that was ordered and will not be.
    pub fn never_opened(&self, position: u32) {
        self.send(FromJobd::Ended(Ended {
            position,
            at_us: 0,
            ending: Ending::Stopped,
            detail: String::new(),
            usage: UsageTotals::default(),
            step: 0,
            planned_us: 0,
            acted_us: 0,
            life: 0,
            unstarted: 1,
        }));
    }

    /// An error with its traceback, a line each.
    fn text(&mut self, at_us: u64, position: u32, text: &str) {
        for line in text.lines() {
            self.line(at_us, position, LineKind::Err, line.as_bytes());
        }
    }

    fn started(&mut self, position: u32, at_us: u64) {
        let Some(life) = self.lives.get_mut(&position) else { return };
        life.started = true;
        let (planned_us, step, life) = (life.planned_us, life.step, life.number);
        self.send(FromJobd::Started(Started { position, at_us, planned_us, step, life }));
    }

    fn ended(&mut self, position: u32, at_us: u64, reason: EndReason, usage: &Usage) {
        // Steps of its start and its end that were both late: it had no time to run, and yet both
        // have happened.
        if self.lives.get(&position).is_some_and(|life| life.released && !life.started) {
            self.started(position, at_us);
        }
        let Some(life) = self.lives.remove(&position) else { return };
        if self.known().remove(&position).is_none() {
            // The watchdog has told of its end.
            return;
        }
        let unstarted = !life.released && reason == EndReason::Stopped;
        let plain = |ending, detail: &str| Cause {
            ending,
            detail: detail.to_owned(),
            step: 0,
            planned_us: 0,
            acted_us: 0,
        };
        let Cause { ending, detail, step, planned_us, acted_us } = match reason {
            EndReason::Finished | EndReason::Exit(0) => plain(Ending::Finished, ""),
            EndReason::Exit(code) => plain(Ending::ExitCode, &format!("exit code {code}")),
            EndReason::Error(error) => {
                self.text(at_us, position, &error);
                plain(Ending::Error, &error)
            }
            EndReason::Memory => {
                let allowed = self.limits.max_memory_bytes;
                let figures = (allowed, usage.memory_bytes);
                self.limit(position, at_us, "max_memory_bytes", figures, true);
                plain(Ending::Limit, &format!("max_memory_bytes {allowed}: all used"))
            }
            EndReason::Stopped => match life.cause {
                Some(cause) => cause,
                None => plain(Ending::Stopped, ""),
            },
        };
        self.flush();
        self.send(FromJobd::Ended(Ended {
            position,
            at_us,
            ending,
            detail: shortened(detail),
            usage: totals(usage),
            step,
            planned_us,
            acted_us,
            life: life.number,
            unstarted: unstarted.into(),
        }));
    }
}

/// What reaches the controller of an error: its whole text is among the lines.
fn shortened(mut text: String) -> String {
    const MOST: usize = 16 << 10;
    if text.len() > MOST {
        let end = (0..=MOST).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
        text.truncate(end);
        text.push_str("...");
    }
    text
}

/// Microseconds of the runtime's times.
pub fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn totals(usage: &Usage) -> UsageTotals {
    UsageTotals {
        cpu_us: micros(usage.cpu),
        memory_bytes: usage.memory_bytes,
        sent_bytes: usage.sent_bytes,
        received_bytes: usage.received_bytes,
        calls_made: usage.calls_made,
        calls_served: usage.calls_served,
        thread_errors: usage.thread_errors,
    }
}
