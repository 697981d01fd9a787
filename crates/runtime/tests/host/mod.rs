//! Hosts instances of one program on the real driver and collects what they report.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use splay_protocol::Job;
use splay_protocol::seed::instance_seed;
use splay_runtime::host::{EndReason, InstanceConfig, Mode, Report, WorkerConfig};
use splay_runtime::program::Program;
use splay_runtime::real::RealDriver;
use splay_runtime::worker::{Step, Worker};

/// What a run left behind.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Lines of all instances, in order; errors of threads as `thread died: ...`.
    pub lines: Vec<String>,
    /// How the instances ended, in order of ending.
    pub ends: Vec<EndReason>,
}

/// Runs a program, one instance for each job, until all have ended or `limit` has passed.
pub fn run(file: &Path, arguments: &[&str], jobs: Vec<Option<Job>>, limit: Duration) -> Outcome {
    let program = Arc::new(Program::load(file).expect("program loads"));
    let outcome = Rc::new(RefCell::new(Outcome::default()));
    let collected = outcome.clone();
    let sink = Box::new(move |report: Report| {
        let mut outcome = collected.borrow_mut();
        match report {
            Report::Output { line, .. } => {
                outcome.lines.push(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            Report::ThreadDied { error, .. } => outcome.lines.push(format!("thread died: {error}")),
            Report::Ended { reason, .. } => outcome.ends.push(reason),
            Report::Started { .. } | Report::Limit { .. } | Report::Viewed { .. } | Report::Check { .. } => {}
        }
    });
    let driver = RealDriver::new().expect("real driver");
    let mut worker = Worker::new(Box::new(driver), WorkerConfig::default(), sink);
    for (number, job) in (1..).zip(jobs) {
        let config = InstanceConfig {
            program: program.clone(),
            arguments: arguments.iter().map(ToString::to_string).collect(),
            job,
            mode: Mode::Hosted,
            jit: false,
            compact: false,
            seed: Some(instance_seed(1, number)),
            max_memory_bytes: None,
        };
        worker.start(number, config);
    }
    let start = Instant::now();
    while start.elapsed() < limit {
        let until = worker.now() + Duration::from_millis(200);
        if worker.step(Some(until)).expect("worker step") == Step::Empty {
            break;
        }
    }
    drop(worker);
    outcome.take()
}
