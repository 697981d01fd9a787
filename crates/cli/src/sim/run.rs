//! One simulated run, told to the reporters of `splay run`.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Write};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Serialize;
use splay_runtime::host::Report;
use splay_runtime::program::Program;
use splay_simulator::recording::{Entry, Recorder};
use splay_simulator::scenario::{Happened, Happening};
use splay_simulator::simulation::Progress;
use splay_simulator::{EPOCH, Simulation};

use super::counters::Counters;
use super::listing::shown;
use super::{options, recording};
use crate::command::run::draw;
use crate::command::sim::SimArgs;
use crate::event::{Event, StopCause, What, rounded_seconds};
use crate::failure::Failure;
use crate::interrupt;
use crate::ledger::Ledger;
use crate::options::{Options, shell_line};
use crate::quantity::duration_text;
use crate::reporter::terminal::Verbosity;
use crate::reporter::{Reporters, Style, Trouble};
use crate::results::Results;
use crate::trace::Sources;
use crate::verdicts::Violation;

/// How often the progress line moves and logs reach their files.
const TICK: Duration = Duration::from_millis(100);

/// Entries of the recording that are shown after a violation.
const TAIL: usize = 20;

/// Steps between two looks at the real clock.
const STEPS: u32 = 64;

/// What is kept of the run as a whole, in simulation.json.
#[derive(Debug, Serialize)]
struct Figures {
    seed: u64,
    recording: String,
    entries: u64,
    virtual_seconds: f64,
    start_seconds: f64,
    real_seconds: f64,
    messages: u64,
    message_bytes: u64,
    drops: u64,
    calls: u64,
}

/// Runs what the command line asks for.
pub fn run(args: &SimArgs) -> Result<ExitCode, Failure> {
    let options = Options::simulated(args)?;
    let program = Arc::new(Program::load(&options.app)?);
    let network = options::network(&options)?;
    let scenario = options::scenario(&options)?;
    scenario.warn();
    let recorder = match &args.record {
        Some(path) => recording::create(path, &options, &program)?,
        None => Recorder::new(),
    };
    let started = Timestamp::now();
    let id = format!("{:04x}", rand::random::<u16>());
    let results = Results::create(&args.runs, &options.name, started, &id)?;
    results.write_json("options.json", &options)?;
    let style = Style {
        verbosity: Verbosity::from_flags(args.quiet, args.verbose),
        only: args.only.clone(),
        progress: !args.no_progress,
    };
    let mut run = Run {
        sources: Sources::of(&program),
        ledger: Ledger::new(options.instances),
        reporters: Reporters::new(style, &options, started, &results)?,
        counters: Counters::create(&results)?,
        reports: Rc::default(),
        begun: Instant::now(),
        next_tick: TICK,
        failure: None,
    };
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = interrupted.clone();
    interrupt::watch(move || flag.store(true, Ordering::Relaxed)).map_err(Failure::Worker)?;
    let config =
        options::configuration(&options, &scenario, program, network, |instance| results.sandbox(instance))?;
    let heard = run.reports.clone();
    let sink = move |report| heard.borrow_mut().push_back(report);
    let mut simulation = Simulation::new(config, recorder, sink)?;

    let mut cause = run.start(&mut simulation, &interrupted);
    let start_time = run.begun.elapsed();
    let limit = args.time_limit;
    while cause.is_none() {
        let progress = simulation.steps(limit, STEPS).map_err(Failure::Worker)?;
        cause = run.hear(&mut simulation, &interrupted);
        match progress {
            Progress::Going if simulation.now() >= limit => cause = cause.or(Some(StopCause::TimeLimit)),
            Progress::Going => {}
            Progress::Ended | Progress::Idle => break,
        }
    }
    let tail = match cause {
        Some(StopCause::Violated) => simulation.recorder().borrow().tail(TAIL),
        _ => Vec::new(),
    };
    if let Some(cause) = cause.filter(|_| simulation.live() > 0) {
        run.publish(Event { at: simulation.now(), what: What::Stopping { cause } });
    }
    simulation.stop();
    run.hear(&mut simulation, &interrupted);
    run.conclude();
    run.counters.add(&simulation.take_samples())?;
    run.counters.add(&[simulation.sample()])?;
    run.counters.finish()?;
    run.reporters.finish(&run.ledger)?;
    if let Some(failure) = run.failure {
        return Err(failure);
    }

    if let (Err(source), Some(path)) = (simulation.finish(), &args.record) {
        return Err(Failure::Write { path: path.clone(), source });
    }
    if let Some(first) = run.ledger.verdicts().violations().first() {
        let _ = io::stderr().write_all(again(&options, first.at, &tail).as_bytes());
    }
    let (entries, hash) = simulation.fingerprint();
    let (sample, taken) = (simulation.sample(), run.begun.elapsed());
    let figures = Figures {
        seed: options.seed,
        recording: format!("{hash:032x}"),
        entries,
        virtual_seconds: rounded_seconds(sample.at),
        start_seconds: rounded_seconds(start_time),
        real_seconds: rounded_seconds(taken),
        messages: sample.network.messages,
        message_bytes: sample.network.bytes,
        drops: sample.network.drops,
        calls: sample.calls,
    };
    results.write_json("simulation.json", &figures)?;
    let sum = format!(
        "splay: {} of virtual time in {:.2} s, {:.2} s of it to start ({:.1} times as fast as real time)\n\
         splay: recording {hash:032x}, {entries} entries, {} messages, seed {}\n",
        duration_text(sample.at),
        taken.as_secs_f64(),
        start_time.as_secs_f64(),
        speed_up(sample.at, taken.saturating_sub(start_time)),
        sample.network.messages,
        options.seed,
    );
    // Nobody who has closed the stream wants to know.
    let _ = io::stderr().write_all(sum.as_bytes());
    let (status, drawn) = (run.ledger.status(), draw(results.folder(), &options.plot));
    Ok(ExitCode::from(if status == 0 { drawn } else { status }))
}

/// What came before a violation, and how to see it again.
fn again(options: &Options, stopped: Duration, tail: &[Entry]) -> String {
    let mut text = String::new();
    if !tail.is_empty() {
        text.push_str("splay: what came last:\n");
        tail.iter().for_each(|entry| text.push_str(&format!("{}\n", shown(entry))));
    }
    let mut words = options.command_line.clone();
    let recorded = ["--record".to_owned(), format!("{}.rec", options.name)];
    let end = words.iter().position(|word| word == "--").unwrap_or(words.len());
    words.splice(end..end, recorded);
    text.push_str(&format!(
        "splay: violated at {} with seed {}; to see it again: {} && splay replay {}.rec --until {}\n",
        duration_text(stopped),
        options.seed,
        shell_line(&words),
        options.name,
        duration_text(stopped),
    ));
    text
}

fn speed_up(virtual_time: Duration, real: Duration) -> f64 {
    virtual_time.as_secs_f64() / real.as_secs_f64().max(1e-6)
}

/// What was done from outside, as an event.
fn event(Happening { at, what }: Happening) -> Event {
    let what = match what {
        Happened::Churn(event, applied) => {
            let late = at.saturating_sub(event.at);
            What::Churn { instance: event.node, action: event.action, due: event.at, late, applied }
        }
        Happened::Begun(fault) => What::Fault { fault: fault.to_string(), over: false },
        Happened::Ended(fault) => What::Fault { fault: fault.to_string(), over: true },
    };
    Event { at, what }
}

/// A run that goes on, and who is told of it.
struct Run {
    sources: Sources,
    ledger: Ledger,
    reporters: Reporters,
    counters: Counters,
    reports: Rc<RefCell<VecDeque<Report>>>,
    begun: Instant,
    next_tick: Duration,
    /// The results cannot be written.
    failure: Option<Failure>,
}

impl Run {
    /// Starts all instances; says why if it was given up.
    fn start(&mut self, simulation: &mut Simulation, interrupted: &AtomicBool) -> Option<StopCause> {
        while simulation.unstarted() > 0 {
            simulation.start_next();
            let cause = self.hear(simulation, interrupted);
            if cause.is_some() {
                return cause;
            }
        }
        None
    }

    /// Tells the reporters what the instances told; says if, and why, all is to end.
    fn hear(&mut self, simulation: &mut Simulation, interrupted: &AtomicBool) -> Option<StopCause> {
        let mut cause = None;
        let mut happenings = simulation.take_happenings().into_iter().peekable();
        loop {
            let report = self.reports.borrow_mut().pop_front();
            let told = report.map(|report| Event::from_report(report, EPOCH, &self.sources));
            // What was done from outside comes before what follows from it.
            let until = told.as_ref().map_or(Duration::MAX, |told| told.at);
            while let Some(happening) = happenings.next_if(|happening| happening.at <= until) {
                cause = self.publish(event(happening)).or(cause);
            }
            let Some(told) = told else { break };
            cause = self.publish(told).or(cause);
        }
        let now = self.begun.elapsed();
        if now >= self.next_tick {
            self.next_tick = now + TICK;
            let caught_up = self.reporters.caught_up();
            let ticked = self.reporters.tick(now, &self.ledger);
            cause = self.note(caught_up).or_else(|| self.note(ticked)).or(cause);
            let counted = self.counters.add(&simulation.take_samples());
            cause = self.note(counted.map_err(Trouble::from)).or(cause);
            self.show(simulation, now);
        }
        if interrupted.load(Ordering::Relaxed) {
            cause = Some(StopCause::Interrupted);
        }
        cause
    }

    fn show(&self, simulation: &Simulation, real: Duration) {
        let Some(bar) = self.reporters.bar() else { return };
        let (at, up) = (simulation.now(), self.ledger.up());
        bar.set_message(match simulation.unstarted() {
            0 => format!(
                "{:.1} s of virtual time, {:.1} times real time, {:.0} entries/s, {up} up, {} failed",
                at.as_secs_f64(),
                speed_up(at, real),
                simulation.fingerprint().0 as f64 / real.as_secs_f64().max(1e-6),
                self.ledger.failed(),
            ),
            _ => format!("{up} of {} started", self.ledger.total()),
        });
        bar.tick();
    }

    fn publish(&mut self, event: Event) -> Option<StopCause> {
        self.ledger.apply(&event);
        let violated = matches!(event.what, What::Violated { .. }).then_some(StopCause::Violated);
        let told = self.reporters.on_event(&event);
        self.note(told).or(violated)
    }

    /// Judges what can only be judged at the end.
    fn conclude(&mut self) {
        let found = self.ledger.conclude().to_vec();
        for Violation { at, instance, name, message } in found {
            self.publish(Event { at, what: What::Violated { instance, name, message } });
        }
    }

    /// A reporter cannot go on: the run ends, as nobody would learn of it.
    fn note(&mut self, told: Result<(), Trouble>) -> Option<StopCause> {
        match told {
            Ok(()) => None,
            Err(Trouble::OutputClosed) => Some(StopCause::OutputClosed),
            Err(Trouble::Results(failure)) => {
                self.failure.get_or_insert(failure);
                Some(StopCause::ResultsFailed)
            }
        }
    }
}
