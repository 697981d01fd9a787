//! The prompt of `splay replay --until`: a simulation that stands still, on an OS thread of its own.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use splay_runtime::host::{Completion, EvaluationOutcome, EvaluationReport, Stream};
use splay_simulator::Simulation;

use super::compare::{STATUS_DIFFERS, tell};
use super::looks;
use super::recording::Header;
use super::replay::{Setup, run_to};
use crate::failure::{Failure, STATUS_BROKEN};
use crate::prompt::{self, Heard, QUEUE, Session};
use crate::quantity::{duration_text, positive_duration};

/// Code that has not come to an end after so many steps of a clock that stands still waits for
/// virtual time.
const PATIENCE: u32 = 2_000;

const HELP: [&str; 9] = [
    ":instance N   look at instance N from now on",
    ":globals      the globals of its application",
    ":threads      its threads, what each waits for, and where",
    ":timers       its timers",
    ":sockets      its sockets",
    ":flight       packets on their way to or from it; `:flight all`: all packets",
    ":go TIME      let so much virtual time pass, such as :go 1s",
    ":time         the virtual time",
    "Anything else is Lua, evaluated in the instance.",
];

enum Ask {
    Line(String),
    Complete { line: String, answer: Sender<Completion> },
}

/// The prompt's end.
struct Console {
    asks: Sender<Ask>,
}

impl Session for Console {
    fn evaluate(&self, code: String) {
        // That the other end is gone has been told.
        let _ = self.asks.send(Ask::Line(code));
    }

    fn cancel(&self) {
        // Nothing here takes long but `:go`, and that is to come to its end.
    }

    fn complete(&self, line: &str) -> Completion {
        let (answer, answered) = crossbeam_channel::bounded(1);
        let _ = self.asks.send(Ask::Complete { line: line.to_owned(), answer });
        answered.recv().unwrap_or_default()
    }
}

/// Runs up to `until` and opens a prompt, or evaluates `code`.
pub fn open(
    setup: Setup,
    until: Duration,
    instance: u32,
    header: &Header,
    code: Vec<String>,
) -> Result<ExitCode, Failure> {
    let (asks, asked) = crossbeam_channel::unbounded();
    let (heard, hears) = crossbeam_channel::bounded(QUEUE);
    let (ready, became_ready) = crossbeam_channel::bounded(1);
    let body = move || {
        let (mut simulation, _scratch) = match setup.begin() {
            Ok(begun) => begun,
            Err(failure) => return drop(ready.send(Err(failure))),
        };
        let ran = run_to(&mut simulation, until);
        let _ = ready.send(ran.map(|()| (simulation.now(), difference(&simulation))));
        let still = Still { simulation, instance, heard, evaluations: 0, limit: until };
        still.serve(&asked);
    };
    std::thread::Builder::new().name("simulation".to_owned()).spawn(body).map_err(Failure::Worker)?;
    let broke = || Failure::Worker(std::io::Error::other("the simulation broke down"));
    let (now, difference) = became_ready.recv().map_err(|_| broke())??;
    if let Some(text) = difference {
        crate::failure::complain(&text);
        return Ok(ExitCode::from(STATUS_DIFFERS));
    }
    if !code.is_empty() {
        return prompt::evaluate_all(&Console { asks }, hears, code);
    }
    let banner = format!(
        "instance {instance} of {} of {} at {} of virtual time; :help lists commands, Ctrl-D leaves",
        header.instances,
        header.name,
        duration_text(now)
    );
    prompt::talk(Arc::new(Console { asks }), hears, &banner)
}

/// In what the run differs from the recording, in words.
fn difference(simulation: &Simulation) -> Option<String> {
    let recorder = simulation.recorder();
    let recorder = recorder.borrow();
    recorder.difference().map(|difference| tell(difference, ["recorded", "now"]))
}

/// A simulation that stands still.
struct Still {
    simulation: Simulation,
    instance: u32,
    heard: Sender<Heard>,
    evaluations: u64,
    /// Where it stands.
    limit: Duration,
}

impl Still {
    fn serve(mut self, asked: &Receiver<Ask>) {
        for ask in asked {
            let served = match ask {
                Ask::Complete { line, answer } => {
                    drop(answer.send(self.simulation.worker().complete(self.instance, &line)));
                    Ok(())
                }
                Ask::Line(line) => match line.trim().strip_prefix(':') {
                    Some(command) => self.obey(command),
                    None => self.evaluate(&line),
                },
            };
            if let Err(failure) = served {
                let message = failure.to_string();
                let _ = self.heard.send(Heard::Gone { message, status: STATUS_BROKEN });
                return;
            }
        }
    }

    fn say(&self, lines: impl IntoIterator<Item = String>) {
        for line in lines {
            let _ = self.heard.send(Heard::Line { stream: Stream::Out, line: line.into_bytes() });
        }
    }

    fn over(&self, outcome: EvaluationOutcome) {
        let _ = self.heard.send(Heard::Over(outcome));
    }

    fn obey(&mut self, command: &str) -> Result<(), Failure> {
        let (name, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
        let rest = rest.trim();
        let instance = self.instance;
        let gone = || Err(format!("instance {instance} has ended"));
        let lines: Result<Vec<String>, String> = match name {
            "help" => Ok(HELP.map(str::to_owned).to_vec()),
            "time" => Ok(vec![duration_text(self.simulation.now())]),
            "instance" => match rest.parse::<u32>() {
                Ok(number) if (1..=self.simulation.instances()).contains(&number) => {
                    self.instance = number;
                    Ok(Vec::new())
                }
                _ => Err(format!("there are instances 1 to {}", self.simulation.instances())),
            },
            "globals" => return self.evaluate(looks::GLOBALS),
            "threads" => looks::threads(&mut self.simulation, instance).map_or_else(gone, Ok),
            "timers" => looks::timers(&mut self.simulation, instance).map_or_else(gone, Ok),
            "sockets" => Ok(looks::sockets(&self.simulation, instance)),
            "flight" if rest == "all" => Ok(looks::flight(&self.simulation, None)),
            "flight" => Ok(looks::flight(&self.simulation, Some(instance))),
            "go" => match positive_duration(rest) {
                Err(error) => Err(format!(":go TIME: {error}")),
                Ok(time) => {
                    self.limit = self.simulation.now() + time;
                    run_to(&mut self.simulation, self.limit)?;
                    difference(&self.simulation).map_or(Ok(()), Err).map(|()| Vec::new())
                }
            },
            _ => Err(format!("no command :{name}; :help lists them")),
        };
        match lines {
            Ok(lines) => {
                self.say(lines);
                self.over(EvaluationOutcome::Values(Vec::new()));
            }
            Err(error) => self.over(EvaluationOutcome::Error(error)),
        }
        Ok(())
    }

    fn evaluate(&mut self, code: &str) -> Result<(), Failure> {
        // What is evaluated was not recorded.
        self.simulation.recorder().borrow_mut().stop_checking();
        self.evaluations += 1;
        let (reports, reported) = crossbeam_channel::unbounded();
        let told = Box::new(move |report| drop(reports.send(report)));
        let (instance, number) = (self.instance, self.evaluations);
        self.simulation.worker().evaluate(instance, number, code, told);
        for _ in 0..PATIENCE {
            for report in reported.try_iter() {
                match report {
                    EvaluationReport::Output { stream, line } => {
                        let _ = self.heard.send(Heard::Line { stream, line });
                    }
                    EvaluationReport::Over(EvaluationOutcome::Ended) => {
                        let error = format!("instance {instance} has ended");
                        self.over(EvaluationOutcome::Error(error));
                        return Ok(());
                    }
                    EvaluationReport::Over(outcome) => {
                        self.over(outcome);
                        return Ok(());
                    }
                }
            }
            // Whoever is ready runs; the clock moves by no more than a microsecond.
            self.simulation.worker().step(Some(Duration::ZERO)).map_err(Failure::Worker)?;
        }
        self.simulation.worker().cancel(instance, number);
        self.simulation.worker().step(Some(Duration::ZERO)).map_err(Failure::Worker)?;
        let text = "this waits, and virtual time stands still: start it with events.thread, then :go TIME";
        self.over(EvaluationOutcome::Error(text.to_owned()));
        Ok(())
    }
}
