//! Hosting on the real driver: output, threads, and instances that do not disturb each other.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use splay_runtime::host::{InstanceConfig, Mode, Report, WorkerConfig};
use splay_runtime::program::Program;
use splay_runtime::real::RealDriver;
use splay_runtime::worker::Worker;

/// Runs programs, one instance each, and returns lines of output, deaths and ends, each with
/// the instance's number.
fn run(programs: &[&str]) -> Vec<String> {
    let lines = Rc::new(RefCell::new(Vec::new()));
    let heard = lines.clone();
    let sink = move |report: Report| {
        let line = match report {
            Report::Output { instance, line, .. } => format!("{instance} {}", String::from_utf8_lossy(&line)),
            Report::ThreadDied { instance, error, cut, .. } => format!("{instance} DIED cut={cut} {error}"),
            Report::Ended { instance, reason, .. } => format!("{instance} END {reason:?}"),
            Report::Started { .. } => return,
        };
        heard.borrow_mut().push(line);
    };
    let driver = Box::new(RealDriver::new().expect("driver"));
    let config = WorkerConfig { slice: Some(Duration::from_millis(200)) };
    let mut worker = Worker::new(driver, config, Box::new(sink));
    for (number, source) in programs.iter().enumerate() {
        let program = Program::from_source("app.lua", source.as_bytes(), None).expect("compiles");
        let config = InstanceConfig {
            program: Arc::new(program),
            arguments: Vec::new(),
            job: None,
            mode: Mode::Hosted,
            jit: false,
            seed: Some(1),
            max_memory_bytes: None,
        };
        worker.start(number as u32 + 1, config);
    }
    worker.run().expect("runs");
    drop(worker);
    Rc::try_unwrap(lines).expect("the worker is gone").into_inner()
}

#[test]
fn threads_events_and_nested_coroutines() {
    let lines = run(&[r#"
        local events = require "splay.events"
        print("main", coroutine.running())
        events.run(function()
            events.thread(function() print("got", events.wait("ev")) end)
            events.sleep(0.01)
            print(events.fire("ev", 1, nil, 3), events.fire("ev"))
            print(events.wait("never", 0.01))
            local co = coroutine.wrap(function() events.sleep(0.01) coroutine.yield("inner") end)
            print(co())
            print(pcall(function() events.sleep(0.01) error("boom", 0) end))
        end)
        print("after")
    "#]);
    assert_eq!(
        lines,
        [
            "1 main\tnil",
            "1 true\tfalse",
            "1 got\t1\tnil\t3",
            "1 false\ttimeout",
            "1 inner",
            "1 false\tboom",
            "1 after",
            "1 END Finished"
        ]
    );
}

#[test]
fn one_instance_does_not_stop_the_others() {
    let lines = run(&[
        "local events = require 'splay.events' events.run(function() while true do end end)",
        "local events = require 'splay.events' events.run(function() events.sleep(0.6) print('alive') end)",
        "error('bad start')",
        "os.exit(3)",
        "local events = require 'splay.events'
         events.run(function() while true do pcall(function() while true do end end) end end)",
    ]);
    let text = lines.join("\n");
    assert!(text.contains("1 DIED cut=true [splay.events] E: thread: 0x"), "{text}");
    assert!(text.contains("app.lua:1: ran longer than 200ms"), "{text}");
    assert!(text.contains("2 alive"), "{text}");
    assert!(text.contains("3 END Error(\"app.lua:1: bad start"), "{text}");
    assert!(text.contains("4 END Exit(3)"), "{text}");
    assert!(text.contains("5 DIED cut=true"), "{text}");
}
