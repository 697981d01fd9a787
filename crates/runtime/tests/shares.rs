//! Shares of the processor: instances of one worker that want more than theirs, beside others.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use splay_runtime::driver::Driver;
use splay_runtime::host::{EndReason, InstanceConfig, Mode, Report, Sandbox, Usage, WorkerConfig};
use splay_runtime::program::Program;
use splay_runtime::real::RealDriver;
use splay_runtime::worker::Worker;

/// What came of the instances.
#[derive(Debug, Default)]
struct Seen {
    limits: Vec<(u32, &'static str, u64)>,
    lines: Vec<String>,
    ends: BTreeMap<u32, (EndReason, Usage)>,
}

/// Runs programs, each with its share in thousandths, on one worker for two seconds.
fn run(programs: &[(&str, u32)]) -> (Seen, Duration) {
    let seen = Rc::new(RefCell::new(Seen::default()));
    let heard = seen.clone();
    let sink = Box::new(move |report: Report| {
        let mut seen = heard.borrow_mut();
        match report {
            Report::Limit { instance, limit, allowed, reached, .. } => {
                assert!(reached > allowed);
                seen.limits.push((instance, limit, allowed));
            }
            Report::Output { line, .. } => seen.lines.push(String::from_utf8_lossy(&line).into_owned()),
            Report::ThreadDied { error, .. } => panic!("{error}"),
            Report::Ended { instance, reason, usage, .. } => {
                seen.ends.insert(instance, (reason, usage));
            }
            _ => {}
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let driver = RealDriver::new().unwrap();
    let mut worker = Worker::new(Box::new(driver), WorkerConfig::default(), sink);
    for (number, (source, cpu_permille)) in (1..).zip(programs) {
        let sandbox =
            Sandbox { cpu_permille: *cpu_permille, ..Sandbox::new(folder.path().join(number.to_string())) };
        let config = InstanceConfig {
            program: Arc::new(Program::from_source("app.lua", source.as_bytes(), None).unwrap()),
            arguments: Vec::new(),
            job: None,
            mode: Mode::Sandboxed(sandbox),
            jit: false,
            compact: false,
            seed: Some(1),
            max_memory_bytes: None,
        };
        worker.start(number, config);
    }
    let clock = RealDriver::new().unwrap();
    let (start, before) = (Instant::now(), clock.processor_time());
    while start.elapsed() < Duration::from_secs(2) {
        let until = worker.now() + Duration::from_millis(100);
        worker.step(Some(until)).unwrap();
    }
    let used = clock.processor_time() - before;
    drop(worker);
    (seen.take(), used)
}

const BUSY: &str = "require 'splay.base' events.run(function() while true do \
                    for n = 1, 5000 do math.sqrt(n) end events.yield() end end)";

#[test]
fn who_computes_keeps_to_its_share_and_neighbours_run() {
    let sleeper = "require 'splay.base' events.run(function() for n = 1, 40 do events.sleep(0.01) end \
                   print 'awake' end)";
    let (seen, used) = run(&[(BUSY, 150), (sleeper, 0)]);
    let (_, usage) = &seen.ends[&1];
    assert!((Duration::from_millis(60)..Duration::from_millis(420)).contains(&usage.cpu), "{usage:?}");
    assert!(used < Duration::from_millis(900), "{used:?} of the processor for all");
    assert_eq!(seen.limits, [(1, "cpu_permille", 150)]);
    assert_eq!((seen.lines, &seen.ends[&2].0), (vec!["awake".to_owned()], &EndReason::Finished));
}

/// A server whose every datagram costs it more than it has; the kernel holds many more.
#[test]
fn what_comes_for_a_resting_instance_waits_without_being_asked_for() {
    let server = "require 'splay.base' local rpc = require 'splay.urpc' \
                  function work() local x = 0 for n = 1, 50000 do x = x + math.sqrt(n) end return x end \
                  events.run(function() rpc.server(34907) end)";
    let flood = "require 'splay.base' local u = require('socket').udp() \
                 local rpc = require 'splay.urpc' \
                 events.run(function() for n = 1, 30 do events.thread(function() while true do \
                 rpc.a_call({ip = '127.0.0.1', port = 34907}, {'work'}, 5) end end) end end)";
    let (seen, used) = run(&[(server, 100), (flood, 0)]);
    let (_, usage) = &seen.ends[&1];
    assert!(usage.calls_served > 0, "{usage:?}");
    assert!(usage.cpu < Duration::from_millis(600), "{usage:?}");
    assert!(used < Duration::from_millis(1200), "{used:?}: the worker does not spin meanwhile");
    assert_eq!(seen.limits, [(1, "cpu_permille", 100)]);
}
