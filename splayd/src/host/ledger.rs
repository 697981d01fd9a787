//! What a job has running, on disk: a splayd that was killed reports from it, when it starts again,
//! what died with it. Each line names the report that tells the same to the controller; a report
//! that did not reach the spool counts as not made.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use splay_protocol::session::{Ending, Event, InstanceEnded, JobReady, UsageTotals, WorkerLost};

/// The file of one job.
#[derive(Debug)]
pub struct Ledger(File);

impl Ledger {
    /// Makes the file in a job's folder.
    pub fn create(folder: &Path) -> io::Result<Ledger> {
        OpenOptions::new().create(true).append(true).open(folder.join("ledger")).map(Ledger)
    }

    fn line(&mut self, text: &str) {
        if let Err(error) = self.0.write_all(text.as_bytes()) {
            tracing::error!(%error, "a job's ledger cannot be written");
        }
    }

    /// It has a worker.
    pub fn worker(&mut self) {
        self.line("worker\n");
    }

    /// An instance runs; report `sequence` is about to say so.
    pub fn started(&mut self, position: u32, sequence: u64) {
        self.line(&format!("start {position} {sequence}\n"));
    }

    /// An instance has ended.
    pub fn ended(&mut self, position: u32, sequence: u64) {
        self.line(&format!("end {position} {sequence}\n"));
    }

    /// Nothing more will come.
    pub fn done(&mut self, sequence: u64) {
        self.line(&format!("done 0 {sequence}\n"));
    }
}

/// What is to be reported of a job that an earlier splayd has left; reports below `next` were made.
pub fn lost(folder: &Path, job: &str, next: u64) -> io::Result<Vec<Event>> {
    let text = match std::fs::read_to_string(folder.join("ledger")) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    let mut worked = false;
    let mut live = BTreeSet::new();
    // A last line without its end was cut short.
    for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
        if line == "worker" {
            worked = true;
            continue;
        }
        let mut words = line.split(' ');
        let kind = words.next().unwrap_or_default();
        let mut number = || words.next().and_then(|word| word.parse::<u64>().ok());
        let (Some(position), Some(sequence)) = (number(), number()) else { continue };
        let position = position as u32;
        match kind {
            _ if sequence >= next => {}
            "start" => drop(live.insert(position)),
            "end" => drop(live.remove(&position)),
            "done" => return Ok(Vec::new()),
            _ => {}
        }
    }
    if !worked {
        return Ok(Vec::new());
    }
    let how = "splayd was killed";
    let mut events = vec![Event::WorkerLost(WorkerLost { job: job.to_owned(), how: how.to_owned() })];
    events.extend(live.into_iter().map(|position| ended_lost(job, position, how)));
    events.push(Event::Done(JobReady { job: job.to_owned() }));
    Ok(events)
}

/// The end of an instance nobody saw.
pub fn ended_lost(job: &str, position: u32, how: &str) -> Event {
    Event::Ended(InstanceEnded {
        job: job.to_owned(),
        position,
        ending: Ending::Lost,
        detail: how.to_owned(),
        usage: UsageTotals::default(),
        step: 0,
        planned_us: 0,
        acted_us: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ran_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(lost(folder.path(), "j", 100).unwrap(), []);
        let mut ledger = Ledger::create(folder.path()).unwrap();
        assert_eq!(lost(folder.path(), "j", 100).unwrap(), [], "nothing ran yet");
        ledger.worker();
        ledger.started(1, 5);
        ledger.started(2, 6);
        ledger.ended(1, 7);
        ledger.started(3, 8);
        ledger.line("end 2");
        let positions = |next| -> Vec<u32> {
            let events = lost(folder.path(), "j", next).unwrap();
            assert!(matches!(events.first(), Some(Event::WorkerLost(_))));
            assert!(matches!(events.last(), Some(Event::Done(_))));
            let ended = |event: &Event| match event {
                Event::Ended(ended) => Some(ended.position),
                _ => None,
            };
            events.iter().filter_map(ended).collect()
        };
        assert_eq!(positions(9), [2, 3]);
        assert_eq!(positions(8), [2], "the start of 3 was not reported");
        assert_eq!(positions(7), [1, 2], "nor the end of 1");
        ledger.line("\n");
        ledger.done(9);
        assert_eq!(positions(9), [2, 3]);
        assert_eq!(lost(folder.path(), "j", 10).unwrap(), []);
    }
}
