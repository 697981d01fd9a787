//! The state of a run, as far as its events tell. Pure: events in, figures out.

use std::collections::BTreeMap;
use std::time::Duration;

use splay_protocol::churn::stats::Distribution;
use splay_runtime::host::{Check, InstanceNumber, Usage};

use crate::event::{Ending, Event, StopCause, What};
use crate::failure::{STATUS_BROKEN, STATUS_INSTANCE_FAILED, STATUS_INTERRUPTED, STATUS_UNWRITTEN};
use crate::verdicts::{Verdicts, Violation};

/// What is known about one instance.
#[derive(Debug, Clone, Default)]
pub struct Entry {
    /// When it started, the last time.
    pub started: Option<Duration>,
    /// When it ended, and how; `None` again when it starts anew.
    pub ended: Option<(Duration, Ending)>,
    /// How often it started.
    pub starts: u32,
    /// How it failed, the first time.
    pub failure: Option<Ending>,
    /// What it had used at its ends, all together; memory: at the last.
    pub usage: Usage,
    /// Lines it wrote.
    pub lines: u64,
    /// Threads that died of an uncaught error.
    pub thread_errors: u64,
    /// The first of these errors: its first line.
    pub first_thread_error: Option<String>,
    /// It lived on without the thread that `events.run` was given.
    pub lived_on: bool,
}

/// The state of a run.
#[derive(Debug)]
pub struct Ledger {
    entries: Vec<Entry>,
    up: u32,
    exited: u32,
    failed: u32,
    lines: u64,
    thread_errors: u64,
    cause: Option<StopCause>,
    broken: bool,
    latest: Duration,
    late: Vec<f64>,
    verdicts: Verdicts,
}

impl Ledger {
    /// A run of that many instances, none started.
    pub fn new(instances: u32) -> Ledger {
        Ledger {
            entries: vec![Entry::default(); instances as usize],
            up: 0,
            exited: 0,
            failed: 0,
            lines: 0,
            thread_errors: 0,
            cause: None,
            broken: false,
            latest: Duration::ZERO,
            late: Vec::new(),
            verdicts: Verdicts::default(),
        }
    }

    /// Takes an event into account.
    pub fn apply(&mut self, event: &Event) {
        self.latest = self.latest.max(event.at);
        match &event.what {
            What::Started { instance } => {
                let entry = self.entry(*instance);
                entry.started = Some(event.at);
                entry.starts += 1;
                let ended_well = entry.ended.take().is_some() && entry.failure.is_none();
                self.exited -= u32::from(ended_well);
                self.up += 1;
            }
            What::Output { instance, .. } => {
                self.entry(*instance).lines += 1;
                self.lines += 1;
            }
            What::ThreadDied { instance, error, lives_on, .. } => {
                self.thread_errors += 1;
                let entry = self.entry(*instance);
                entry.thread_errors += 1;
                entry.lived_on |= lives_on;
                entry.first_thread_error.get_or_insert_with(|| reason(error).to_owned());
            }
            What::Ended { instance, ending, usage } => {
                let entry = self.entry(*instance);
                let was_up = entry.started.is_some();
                entry.usage = Usage { memory_bytes: usage.memory_bytes, ..sum(&entry.usage, usage) };
                if entry.ended.replace((event.at, ending.clone())).is_none() {
                    let failed_before = entry.failure.is_some();
                    if ending.failed() {
                        entry.failure.get_or_insert_with(|| ending.clone());
                    }
                    let failed = entry.failure.is_some();
                    self.up -= u32::from(was_up);
                    self.failed += u32::from(failed && !failed_before);
                    self.exited += u32::from(!failed);
                }
            }
            What::Stopping { cause } => {
                self.cause.get_or_insert(*cause);
            }
            What::Churn { late, .. } => self.late.push(late.as_secs_f64()),
            What::WorkerBroke { .. } => self.broken = true,
            What::Violated { instance: Some(instance), name, message } => {
                let check = Check::Violated { name: name.clone(), message: message.clone() };
                self.verdicts.apply(event.at, *instance, &check);
            }
            What::Checked { instance, check } => self.verdicts.apply(event.at, *instance, check),
            What::Violated { instance: None, .. } | What::Viewed { .. } | What::Fault { .. } => {}
        }
    }

    /// The run is over: judges what can only be judged then. Gives what does not hold.
    pub fn conclude(&mut self) -> &[Violation] {
        // Where checks have ended the run, what was to come has not.
        let told = self.verdicts.violations().len();
        if told == 0 && !matches!(self.cause, Some(StopCause::Interrupted | StopCause::OutputClosed)) {
            self.verdicts.conclude(self.latest);
        }
        &self.verdicts.violations()[told..]
    }

    /// What checks have found.
    pub fn verdicts(&self) -> &Verdicts {
        &self.verdicts
    }

    fn entry(&mut self, instance: InstanceNumber) -> &mut Entry {
        &mut self.entries[instance as usize - 1]
    }

    /// Every instance with its number.
    pub fn instances(&self) -> impl Iterator<Item = (InstanceNumber, &Entry)> {
        (1..).zip(&self.entries)
    }

    /// Instances that started and have not ended.
    pub fn unfinished(&self) -> Vec<InstanceNumber> {
        let going_on = |entry: &Entry| entry.started.is_some() && entry.ended.is_none();
        self.instances().filter(|(_, entry)| going_on(entry)).map(|(number, _)| number).collect()
    }

    /// How many instances the run has.
    pub fn total(&self) -> u32 {
        self.entries.len() as u32
    }

    /// Instances running now.
    pub fn up(&self) -> u32 {
        self.up
    }

    /// Instances that ended well.
    pub fn exited(&self) -> u32 {
        self.exited
    }

    /// Instances that have not started.
    pub fn never_started(&self) -> u32 {
        let never = |entry: &&Entry| entry.starts == 0 && entry.ended.is_none();
        self.entries.iter().filter(never).count() as u32
    }

    /// How late events of churn were, in seconds; `None`: there were none.
    pub fn lateness(&self) -> Option<Distribution> {
        Distribution::of(self.late.clone())
    }

    /// Instances that failed, at least once.
    pub fn failed(&self) -> u32 {
        self.failed
    }

    /// Lines written by all instances.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// Why everything was stopped, if it was.
    pub fn cause(&self) -> Option<StopCause> {
        self.cause
    }

    /// When the last event happened: at the end, how long the run took.
    pub fn latest(&self) -> Duration {
        self.latest
    }

    /// How many instances ended in which way, by label.
    pub fn endings(&self) -> BTreeMap<String, u32> {
        let mut counts = BTreeMap::new();
        for entry in &self.entries {
            let label = match &entry.ended {
                Some((_, ending)) => ending.label(),
                None => "never started".to_owned(),
            };
            *counts.entry(label).or_insert(0) += 1;
        }
        counts
    }

    /// What all instances used together.
    pub fn usage(&self) -> Usage {
        self.entries.iter().fold(Usage::default(), |total, entry| sum(&total, &entry.usage))
    }

    /// The command's exit status. A thread that died of an uncaught error counts: an instance whose
    /// server could not be started may well end as if nothing had happened.
    pub fn status(&self) -> u8 {
        match self.cause {
            _ if self.broken => STATUS_BROKEN,
            Some(StopCause::Interrupted) => STATUS_INTERRUPTED,
            Some(StopCause::OutputClosed) => STATUS_UNWRITTEN,
            _ if !self.verdicts.violations().is_empty() => STATUS_INSTANCE_FAILED,
            _ if self.failed > 0 || self.thread_errors > 0 => STATUS_INSTANCE_FAILED,
            _ => 0,
        }
    }
}

fn sum(a: &Usage, b: &Usage) -> Usage {
    Usage {
        cpu: a.cpu + b.cpu,
        memory_bytes: a.memory_bytes + b.memory_bytes,
        sent_bytes: a.sent_bytes + b.sent_bytes,
        received_bytes: a.received_bytes + b.received_bytes,
        calls_made: a.calls_made + b.calls_made,
        calls_served: a.calls_served + b.calls_served,
        thread_errors: a.thread_errors + b.thread_errors,
    }
}

/// Why a thread died: the part of `[splay.events] E: thread: 0x... DIE (error: why)` that differs.
fn reason(error: &str) -> &str {
    let line = first_line(error);
    line.split_once("(error: ").and_then(|(_, why)| why.strip_suffix(')')).unwrap_or(line)
}

/// The part of an error that is not its traceback.
pub fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(ledger: &mut Ledger, what: What) {
        ledger.apply(&Event { at: Duration::from_secs(1), what });
    }

    fn end(ledger: &mut Ledger, instance: u32, ending: Ending) {
        let usage = Usage { sent_bytes: 10, ..Usage::default() };
        apply(ledger, What::Ended { instance, ending, usage });
    }

    #[test]
    fn counts_what_happens() {
        let mut ledger = Ledger::new(4);
        (1..=3).for_each(|instance| apply(&mut ledger, What::Started { instance }));
        assert_eq!((ledger.up(), ledger.unfinished()), (3, vec![1, 2, 3]));
        end(&mut ledger, 1, Ending::Finished);
        assert_eq!(ledger.status(), 0);
        end(&mut ledger, 2, Ending::Exit { status: 9 });
        // Could not even be started: it never was up.
        end(&mut ledger, 4, Ending::Error { message: "no".into() });
        assert_eq!((ledger.up(), ledger.exited(), ledger.failed()), (1, 1, 2));
        assert_eq!(ledger.status(), STATUS_INSTANCE_FAILED);
        assert_eq!(ledger.usage().sent_bytes, 30);
        let endings: Vec<_> = ledger.endings().into_iter().collect();
        let expected = [("error", 1), ("exit 9", 1), ("finished", 1), ("never started", 1)];
        assert_eq!(endings, expected.map(|(label, count)| (label.to_owned(), count)));
    }

    #[test]
    fn instances_that_come_back_count_once() {
        let mut ledger = Ledger::new(2);
        let start = |ledger: &mut Ledger| apply(ledger, What::Started { instance: 1 });
        start(&mut ledger);
        end(&mut ledger, 1, Ending::Stopped);
        start(&mut ledger);
        assert_eq!((ledger.up(), ledger.exited(), ledger.failed()), (1, 0, 0));
        end(&mut ledger, 1, Ending::Memory);
        start(&mut ledger);
        end(&mut ledger, 1, Ending::Stopped);
        // It is up no more, and failed it has.
        assert_eq!((ledger.up(), ledger.exited(), ledger.failed(), ledger.never_started()), (0, 0, 1, 1));
        assert_eq!((ledger.status(), ledger.usage().sent_bytes), (STATUS_INSTANCE_FAILED, 30));
        assert!(ledger.unfinished().is_empty() && ledger.lateness().is_none());
    }

    #[test]
    fn first_cause_stays() {
        let mut ledger = Ledger::new(1);
        apply(&mut ledger, What::Stopping { cause: StopCause::TimeLimit });
        assert_eq!(ledger.status(), 0);
        apply(&mut ledger, What::Stopping { cause: StopCause::Interrupted });
        assert_eq!(ledger.cause(), Some(StopCause::TimeLimit));
    }

    #[test]
    fn remembers_the_first_thread_error() {
        let mut ledger = Ledger::new(1);
        for error in ["[splay.events] E: thread: 0x1 DIE (error: a.lua:1: one)\nstack ...", "two"] {
            apply(
                &mut ledger,
                What::ThreadDied { instance: 1, error: error.into(), cut: false, lives_on: true },
            );
        }
        let (_, entry) = ledger.instances().next().unwrap();
        assert_eq!(entry.first_thread_error.as_deref(), Some("a.lua:1: one"));
        assert_eq!((entry.thread_errors, entry.lived_on), (2, true));
        assert_eq!(ledger.status(), STATUS_INSTANCE_FAILED);
    }
}
