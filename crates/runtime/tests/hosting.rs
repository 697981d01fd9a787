//! Hosting on the real driver: output, threads, and instances that do not disturb each other.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use splay_protocol::{Job, ListType, Lists, Node};
use splay_runtime::host::{InstanceConfig, Mode, Report, WorkerConfig};
use splay_runtime::program::Program;
use splay_runtime::real::RealDriver;
use splay_runtime::worker::Worker;

/// Runs programs, one instance each, and returns lines of output, deaths and ends, each with
/// the instance's number.
fn run(programs: &[&str]) -> Vec<String> {
    run_limited(programs, None)
}

fn run_limited(programs: &[&str], max_memory_bytes: Option<usize>) -> Vec<String> {
    run_with(programs, None, max_memory_bytes)
}

/// Runs a program as the first instance of a job of so many.
fn run_job(total: u16, program: &str) -> Vec<String> {
    let nodes = (0..total).map(|n| Node { ip: "127.0.0.1".to_owned(), port: 20_000 + n }).collect();
    let lists = Lists::new("test", nodes, ListType::Head, None, 1).expect("not empty");
    run_with(&[program], Some(lists.job(1)), None)
}

fn run_with(programs: &[&str], job: Option<Job>, max_memory_bytes: Option<usize>) -> Vec<String> {
    let lines = Rc::new(RefCell::new(Vec::new()));
    let heard = lines.clone();
    let sink = move |report: Report| {
        let line = match report {
            Report::Output { instance, line, .. } => format!("{instance} {}", String::from_utf8_lossy(&line)),
            Report::ThreadDied { instance, error, cut, .. } => format!("{instance} DIED cut={cut} {error}"),
            Report::Ended { instance, reason, .. } => format!("{instance} END {reason:?}"),
            Report::Started { .. } | Report::Limit { .. } | Report::Viewed { .. } | Report::Check { .. } => {
                return;
            }
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
            job: job.clone(),
            mode: Mode::Hosted,
            jit: false,
            compact: false,
            seed: Some(number as u64 + 1),
            max_memory_bytes,
        };
        worker.start(number as u32 + 1, config);
    }
    worker.run().expect("runs");
    drop(worker);
    Rc::try_unwrap(lines).expect("the worker is gone").into_inner()
}

/// Seeds 1 to 200. LuaJIT's own generator, given these, begins with numbers that are hardly apart.
#[test]
fn seeds_that_are_alike_begin_with_numbers_that_are_not() {
    let lines = run(&["print(math.random())"; 200]);
    let mut first: Vec<(u32, f64)> = lines
        .iter()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(instance, number)| Some((instance.parse().ok()?, number.parse().ok()?)))
        .collect();
    first.sort_by_key(|(instance, _)| *instance);
    assert_eq!(first.len(), 200);
    for tenth in 0..10 {
        let inside = first.iter().filter(|(_, number)| (number * 10.0) as u32 == tenth).count();
        assert!((6..=40).contains(&inside), "{inside} of 200 in tenth {tenth}");
    }
    let rising = first.windows(2).filter(|pair| pair[0].1 < pair[1].1).count();
    assert!((70..=130).contains(&rising), "{rising} of 199 neighbours rise");
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

#[test]
fn long_lists_are_made_when_asked_for() {
    for total in [3_u16, 200] {
        let lines = run_job(
            total,
            r#"
            local before = rawget(job, "nodes") ~= nil
            print(job.nothing, job.position, before)
            print(#job.nodes, job.nodes[2].port, job.nodes()[2] == job.nodes[2])
            print(job.get_live_nodes() == job.nodes, rawget(job, "nodes") == job.nodes)
            job.nodes = nil
            print(job.nodes)
        "#,
        );
        let first = format!("1 nil\t1\t{}", total == 3);
        let second = format!("1 {total}\t20001\ttrue");
        assert_eq!(lines, [&first, &second, "1 true\ttrue", "1 nil", "1 END Finished"], "{total} nodes");
    }
}

#[test]
fn a_memory_limit_is_an_error_that_can_be_caught() {
    let lines = run_limited(
        &[
            "local events = require 'splay.events'
             events.run(function()
               local ok, err = pcall(function() local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(1000) .. i end end)
               collectgarbage()
               print(ok, err, collectgarbage('count') < 4000)
               events.thread(function() local t = {} for i = 1, 1e9 do t[i] = { i } end end)
               events.sleep(0.01)
               print('goes on')
             end)",
            "local t = {} while true do t[#t + 1] = { #t } end",
            "local events = require 'splay.events'
             events.run(function()
               for i = 1, 300 do local s = ('y'):rep(100000) .. i if i % 50 == 0 then events.yield() end end
               print('garbage is no use of memory')
             end)",
        ],
        Some(4 << 20),
    );
    let text = lines.join("\n");
    assert!(text.contains("1 false\tnot enough memory\ttrue"), "{text}");
    assert!(text.contains("1 DIED cut=false"), "{text}");
    assert!(text.contains("1 goes on"), "{text}");
    assert!(text.contains("2 END Memory"), "{text}");
    assert!(text.contains("3 garbage is no use of memory"), "{text}");
}

/// A worker with one instance of a job of three, and what it reports.
fn one_of_three(source: &str) -> (Worker, Rc<RefCell<Vec<String>>>) {
    let nodes = (0..3).map(|n| Node { ip: "127.0.0.1".to_owned(), port: 20_000 + n }).collect();
    let lists = Lists::new("test", nodes, ListType::Head, None, 1).expect("not empty");
    let lines = Rc::new(RefCell::new(Vec::new()));
    let heard = lines.clone();
    let sink = move |report: Report| match report {
        Report::Output { line, .. } => {
            heard.borrow_mut().push(String::from_utf8_lossy(&line).into_owned());
        }
        Report::ThreadDied { error, .. } => heard.borrow_mut().push(format!("DIED {error}")),
        Report::Ended { reason, .. } => heard.borrow_mut().push(format!("END {reason:?}")),
        Report::Started { .. } | Report::Limit { .. } | Report::Viewed { .. } | Report::Check { .. } => {}
    };
    let driver = Box::new(RealDriver::new().expect("driver"));
    let mut worker = Worker::new(driver, WorkerConfig::default(), Box::new(sink));
    let config = InstanceConfig {
        program: Arc::new(Program::from_source("app.lua", source.as_bytes(), None).expect("compiles")),
        arguments: Vec::new(),
        job: Some(lists.job(1)),
        mode: Mode::Hosted,
        jit: false,
        compact: false,
        seed: Some(1),
        max_memory_bytes: None,
    };
    worker.start(1, config);
    (worker, lines)
}

fn steps(worker: &mut Worker, duration: Duration) {
    let until = worker.now() + duration;
    while worker.now() < until && worker.live() > 0 {
        worker.step(Some(until)).expect("steps");
    }
}

#[test]
fn live_nodes_are_told_while_an_instance_runs() {
    let (mut worker, lines) = one_of_three(
        "require 'splay.base' local n = job.nodes
         events.run(function()
           print(#job.nodes(), job.nodes() == n)
           while job.nodes() == n do events.sleep(0.01) end
           print(#job.nodes(), job.nodes() == job.get_live_nodes(), #job.nodes, job.nodes()[1].port)
           while #job.nodes() < 2 do events.sleep(0.01) end
           print(#job.get_live_nodes())
         end)",
    );
    steps(&mut worker, Duration::from_millis(50));
    let node = |port| Node { ip: "127.0.0.1".to_owned(), port };
    worker.set_live_nodes(1, [node(20_002)].into());
    worker.set_live_nodes(7, [].into());
    steps(&mut worker, Duration::from_millis(200));
    worker.set_live_nodes(1, [node(20_002), node(20_001)].into());
    steps(&mut worker, Duration::from_secs(10));
    assert_eq!(*lines.borrow(), ["3\ttrue", "1\ttrue\t3\t20002", "2", "END Finished"]);
}

#[test]
fn leaving_calls_the_program_and_gives_it_time() {
    for (hook, grace, expected) in [
        (
            "job.on_stop = function() print('bye') events.sleep(0.05) print('gone') end",
            10,
            &["bye", "gone"] as &[_],
        ),
        ("job.on_stop = function() print('bye') events.sleep(100) end", 0, &["bye"]),
        ("job.on_stop = function() print('bye') os.exit(3) end", 10, &["bye"]),
        ("", 10, &[]),
        ("job.on_stop = 5", 10, &[]),
    ] {
        let (mut worker, lines) = one_of_three(&format!(
            "require 'splay.base' {hook} events.run(function() print('up') events.sleep(1000) end)"
        ));
        steps(&mut worker, Duration::from_millis(50));
        let grace = Duration::from_secs(grace) + Duration::from_millis(100);
        worker.leave(1, grace);
        // Told a second time, it does not begin again.
        worker.leave(1, grace);
        steps(&mut worker, Duration::from_secs(20));
        let end = if hook.contains("exit") { "END Exit(3)" } else { "END Stopped" };
        let all: Vec<&str> = [&["up"], expected, &[end]].concat();
        assert_eq!(*lines.borrow(), all, "{hook}");
        assert!(!worker.is_live(1));
    }
    let (mut worker, lines) = one_of_three(
        "require 'splay.base' job.on_stop = function() error('no') end events.run(function() events.sleep(99) end)",
    );
    steps(&mut worker, Duration::from_millis(50));
    worker.leave(1, Duration::from_secs(30));
    steps(&mut worker, Duration::from_secs(20));
    let told = lines.borrow().join("\n");
    assert!(told.contains("app.lua:1: no") && told.ends_with("END Stopped"), "{told}");
}

#[test]
fn a_loaded_instance_runs_when_it_is_released() {
    let heard: Rc<RefCell<Vec<String>>> = Rc::default();
    let sink = heard.clone();
    let sink = move |report: Report| {
        sink.borrow_mut().push(match report {
            Report::Started { instance, .. } => format!("{instance} STARTED"),
            Report::Output { instance, line, level, .. } => {
                format!("{instance} {level} {}", String::from_utf8_lossy(&line))
            }
            Report::Ended { instance, reason, .. } => format!("{instance} END {reason:?}"),
            other => format!("{other:?}"),
        });
    };
    let driver = Box::new(RealDriver::new().expect("driver"));
    let mut worker = Worker::new(driver, WorkerConfig::default(), Box::new(sink));
    let source = b"require 'splay.base' log:error('x') print('y')";
    let program = Arc::new(Program::from_source("app.lua", source, None).expect("compiles"));
    for number in 1..=3 {
        worker.load(
            number,
            InstanceConfig {
                program: program.clone(),
                arguments: Vec::new(),
                job: None,
                mode: Mode::Hosted,
                jit: false,
                compact: true,
                seed: Some(1),
                max_memory_bytes: None,
            },
        );
    }
    worker.step(Some(Duration::ZERO)).expect("steps");
    assert!(heard.borrow().is_empty(), "nothing runs: {heard:?}");
    worker.stop(3);
    worker.release(2);
    while worker.live() > 1 {
        // Not for ever: the first instance waits for its release, which nothing else ends.
        let until = worker.now() + Duration::from_millis(10);
        worker.step(Some(until)).expect("steps");
    }
    let told = ["3 END Stopped", "2 STARTED", "2 4 E: x", "2 0 y", "2 END Finished"];
    assert_eq!(*heard.borrow(), told);
    assert_eq!(worker.pulse().read().instance, None);
}
