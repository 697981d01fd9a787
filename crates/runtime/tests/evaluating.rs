//! Code evaluated in running instances: what is told, and what it does to them.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use splay_runtime::host::{
    EndReason, EvaluationOutcome, EvaluationReport, InstanceConfig, Mode, Report, Sandbox, WorkerConfig,
};
use splay_runtime::program::Program;
use splay_runtime::real::RealDriver;
use splay_runtime::worker::{Step, Worker};

const IDLE: &str = "events = require 'splay.events' events.run(function() events.sleep(3600) end)";

struct Host {
    worker: Worker,
    reports: Receiver<Report>,
    next: u64,
}

impl Host {
    fn new(program: &str) -> Host {
        Host::with(program, Mode::Hosted, None)
    }

    fn with(program: &str, mode: Mode, max_memory_bytes: Option<usize>) -> Host {
        let (sink, reports) = channel();
        let config = WorkerConfig { slice: Some(Duration::from_millis(200)) };
        let driver = Box::new(RealDriver::new().unwrap());
        let mut worker = Worker::new(driver, config, Box::new(move |report| drop(sink.send(report))));
        let config = InstanceConfig {
            program: Arc::new(Program::from_source("app.lua", program.as_bytes(), None).unwrap()),
            arguments: Vec::new(),
            job: None,
            mode,
            jit: true,
            compact: false,
            seed: Some(1),
            max_memory_bytes,
        };
        worker.start(1, config);
        let mut host = Host { worker, reports, next: 0 };
        host.run_for(Duration::ZERO);
        host
    }

    fn run_for(&mut self, time: Duration) {
        let until = self.worker.now() + time;
        while self.worker.step(Some(until)).unwrap() == Step::Progress && self.worker.now() < until {}
    }

    fn begin(&mut self, code: &str) -> (u64, Receiver<EvaluationReport>) {
        let (told, heard) = channel();
        self.next += 1;
        self.worker.evaluate(1, self.next, code, Box::new(move |report| drop(told.send(report))));
        (self.next, heard)
    }

    /// Lines and outcome, when it is over.
    fn finish(&mut self, heard: &Receiver<EvaluationReport>) -> (Vec<String>, EvaluationOutcome) {
        let give_up = Instant::now() + Duration::from_secs(30);
        let mut lines = Vec::new();
        while Instant::now() < give_up {
            match heard.try_recv() {
                Ok(EvaluationReport::Output { line, .. }) => lines.push(String::from_utf8(line).unwrap()),
                Ok(EvaluationReport::Over(outcome)) => return (lines, outcome),
                Err(_) => self.run_for(Duration::from_millis(10)),
            }
        }
        panic!("it never ended; it wrote {lines:?}");
    }

    fn evaluate(&mut self, code: &str) -> (Vec<String>, EvaluationOutcome) {
        let (_, heard) = self.begin(code);
        self.finish(&heard)
    }

    #[track_caller]
    fn gives(&mut self, code: &str, values: &[&str]) {
        let expected = EvaluationOutcome::Values(values.iter().map(ToString::to_string).collect());
        assert_eq!(self.evaluate(code).1, expected, "{code}");
    }

    #[track_caller]
    fn fails(&mut self, code: &str) -> String {
        match self.evaluate(code).1 {
            EvaluationOutcome::Error(message) => message,
            other => panic!("{code}: {other:?}"),
        }
    }

    /// What the worker reported so far, but starts.
    fn reported(&self) -> Vec<Report> {
        self.reports.try_iter().filter(|report| !matches!(report, Report::Started { .. })).collect()
    }
}

#[test]
fn expressions_and_chunks() {
    let mut host = Host::new(IDLE);
    host.gives("1 + 1", &["2"]);
    host.gives("= 'a', nil, {1, x = 2}", &["\"a\"", "nil", "{1, x = 2}"]);
    host.gives("x = 5", &[]);
    host.gives("return x, x + 1", &["5", "6"]);
    host.gives("-- nothing", &[]);
    host.gives("events.sleep(0.01)", &["true"]);
    host.gives("coroutine.wrap(function() events.sleep(0.01) coroutine.yield(7) end)()", &["7"]);
    let (lines, outcome) = host.evaluate("print('a', 1) io.write('b\\nc') io.stderr:write('d\\n') return 3");
    assert_eq!(
        (lines, outcome),
        (
            vec!["a\t1".into(), "b".into(), "d".into(), "c".into()],
            EvaluationOutcome::Values(vec!["3".into()])
        )
    );
    assert_eq!(host.reported(), [], "what an evaluation writes is told there alone");
}

#[test]
fn threads_go_on_and_write_as_ever() {
    let mut host = Host::new(IDLE);
    host.gives("n = 0", &[]);
    host.evaluate(
        "events.thread(function() for i = 1, 3 do events.sleep(0.01) n = n + 1 end print('n', n) end)",
    );
    host.gives("events.sleep(0.2)", &["true"]);
    host.gives("n", &["3"]);
    let reports = host.reported();
    assert!(matches!(&reports[..], [Report::Output { line, .. }] if line == b"n\t3"), "{reports:?}");
}

#[test]
fn errors_are_told_without_internals() {
    let mut host = Host::new(&format!("function fail() error('bad') end {IDLE}"));
    let message = host.fails("x = 1\nfail()");
    assert!(message.starts_with("app.lua:1: bad\nstack traceback:\n"), "{message}");
    assert!(message.contains("prompt:2: in"), "{message}");
    assert!(!message.contains("frame") && !message.contains("splay/"), "{message}");
    assert!(host.fails("error('here')").starts_with("prompt:1: here\nstack traceback:"));
    assert!(host.fails("x = = 1").starts_with("prompt:1: "), "syntax");
    assert!(host.fails("error({})").starts_with("(error object is a table value)"));
    assert!(host.fails("coroutine.wrap(function() events.sleep(0) error('inner') end)()").contains("inner"));
    assert_eq!(host.worker.usage(1).unwrap().thread_errors, 0);
    assert_eq!(host.reported(), []);
    host.gives("x", &["1"]);
}

#[test]
fn endless_ones_are_cut_and_waiting_ones_cancelled() {
    let mut host = Host::new(IDLE);
    assert!(host.fails("while true do end").contains("ran longer than"));
    assert!(
        host.fails("setmetatable({}, {__tostring = function() while true do end end}) .. ''")
            .contains("concatenate")
    );
    let (number, heard) = host.begin("events.sleep(1000)");
    host.run_for(Duration::from_millis(20));
    host.worker.cancel(1, number + 1);
    host.worker.cancel(1, number);
    assert_eq!(host.finish(&heard).1, EvaluationOutcome::Cancelled);
    let (number, heard) = host.begin("print('never')");
    host.worker.cancel(1, number);
    assert_eq!(host.finish(&heard), (vec![], EvaluationOutcome::Cancelled));
    host.gives("1", &["1"]);
}

#[test]
fn running_code_is_interrupted_from_outside() {
    let mut host = Host::new(IDLE);
    let interrupter = host.worker.interrupter(1).unwrap();
    interrupter.interrupt(Duration::ZERO);
    host.gives("1", &["1"]);
    let side = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(60));
        interrupter.interrupt(Duration::from_millis(5));
    });
    let message = host.fails("local t = os.clock() while os.clock() - t < 20 do end");
    side.join().unwrap();
    assert!(message.contains("interrupted") || message.contains("ran longer"), "{message}");
}

#[test]
fn the_end_of_the_instance_ends_evaluations() {
    let mut host = Host::new(IDLE);
    let (_, waiting) = host.begin("events.sleep(1000)");
    assert_eq!(host.evaluate("os.exit(3)").1, EvaluationOutcome::Ended);
    assert_eq!(host.finish(&waiting).1, EvaluationOutcome::Ended);
    assert_eq!(host.evaluate("1").1, EvaluationOutcome::Ended);
    let reports = host.reported();
    assert!(matches!(&reports[..], [Report::Ended { reason: EndReason::Exit(3), .. }]), "{reports:?}");
    assert_eq!(host.worker.complete(1, "pri").candidates, Vec::<String>::new());
}

#[test]
fn kept_instances_outlive_their_program() {
    let (sink, reports) = channel();
    let driver = Box::new(RealDriver::new().unwrap());
    let config = WorkerConfig { slice: Some(Duration::from_millis(200)) };
    let mut worker = Worker::new(driver, config, Box::new(move |report| drop(sink.send(report))));
    let config = InstanceConfig {
        program: Arc::new(Program::from_source("app.lua", b"x = 1 error('main')", None).unwrap()),
        arguments: Vec::new(),
        job: None,
        mode: Mode::Hosted,
        jit: false,
        compact: false,
        seed: Some(1),
        max_memory_bytes: None,
    };
    worker.start(1, config);
    worker.keep(1);
    let mut host = Host { worker, reports, next: 0 };
    host.run_for(Duration::from_millis(20));
    let reported = host.reported();
    assert!(
        matches!(&reported[..], [Report::ThreadDied { error, .. }] if error.contains("main")),
        "{reported:?}"
    );
    host.gives("x", &["1"]);
    host.evaluate("require('splay.events').exit()");
    host.run_for(Duration::from_millis(300));
    assert!(matches!(host.reported()[..], [Report::Ended { reason: EndReason::Exit(0), .. }]));
}

#[test]
fn lines_are_completed_by_what_exists() {
    let mut host = Host::new(IDLE);
    host.evaluate(
        "Ring = {} Ring.__index = Ring function Ring.join() end Ring.size = 1 \
         ring = setmetatable({id = 3, inner = {{deep = 1}}}, Ring) s = 'x' \
         bad = setmetatable({}, {__index = function() error('called') end})",
    );
    let completed = |line: &str| {
        let completion = host.worker.complete(1, line);
        (completion.start, completion.candidates.join(" "))
    };
    assert_eq!(completed("x = eve"), (4, "events".into()));
    assert_eq!(completed("whi"), (0, "while".into()));
    assert_eq!(completed("events.sle"), (7, "sleep".into()));
    assert_eq!(completed("ring."), (5, "__index id inner join size".into()));
    assert_eq!(completed("f(ring:"), (7, "join".into()));
    assert_eq!(completed("ring.inner[1].d"), (14, "deep".into()));
    assert_eq!(completed("s:re"), (2, "rep reverse".into()));
    assert_eq!(completed("require \"splay.rp"), (9, "splay.rpc splay.rpcq".into()));
    assert_eq!(completed("bad.thing.x"), (10, String::new()));
    assert_eq!(completed("nothing.x"), (8, String::new()));
}

#[test]
fn the_sandbox_holds() {
    let folder = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::new(folder.path().to_owned());
    let mut host = Host::with(IDLE, Mode::Sandboxed(sandbox), Some(20 << 20));
    host.gives("os.execute, io.popen, ffi, loadfile, string.dump", &["nil"; 5]);
    host.gives("getfenv(1) == _G", &["true"]);
    assert!(host.fails("\u{1b}LJ\u{2}").contains("bytecode"));
    assert!(host.fails("os.execute('true')").contains("os.execute is not available in the sandbox"));
    host.gives("require('ffi')", &["nil", "\"not permitted\""]);
    assert!(host.fails("t = {} for i = 1, 1e9 do t[i] = ('x'):rep(1000) .. i end").contains("memory"));
    host.evaluate("t = nil collectgarbage()");
    host.gives("1", &["1"]);
    let completion = host.worker.complete(1, "require 'splay.u");
    assert_eq!(completion.candidates, ["splay.urpc"]);
    // What a program made of its globals does not reach the one who asks.
    host.evaluate("tostring, type, pairs, print = nil, nil, nil, nil");
    host.gives("{1, a = {2}}", &["{1, a = {2}}"]);
}
