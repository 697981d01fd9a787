//! Owns the truth about a run: takes what workers and signals say, one at a time, decides when
//! everything is to stop and when it is over, and tells the reporters.

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, TryRecvError};
use splay_runtime::host::{Report, Usage};

use crate::engine::{Churned, Engine};
use crate::event::{Ending, Event, StopCause, What};
use crate::failure::Failure;
use crate::ledger::Ledger;
use crate::reporter::{Reporters, Trouble};
use crate::trace::Sources;
use crate::verdicts::Violation;

/// How often the progress line moves and logs reach their files.
const TICK: Duration = Duration::from_millis(100);

/// Besides the slice, how long instances may take to stop when told to.
const GRACE: Duration = Duration::from_secs(5);

/// Something the dispatcher is told.
#[derive(Debug)]
pub enum Input {
    /// A worker's report.
    Report(Report),
    /// An event of churn was carried out.
    Churned(Churned),
    /// A worker has ended, because it has no instance left or because it broke down.
    WorkerDone {
        /// Its error or panic.
        outcome: Result<(), String>,
    },
    /// Ctrl-C or SIGTERM.
    Interrupt,
}

impl Input {
    /// How many may wait: beyond it, instances that write faster than a terminal or disk can
    /// take are held back.
    pub const QUEUE: usize = 16 * 1024;
}

/// What the dispatcher is to see to.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Start of the run, since 1970.
    pub start: Duration,
    /// When all is stopped.
    pub time_limit: Option<Duration>,
    /// How long a thread may run without yielding, and so without stopping.
    pub slice: Option<Duration>,
    /// How many workers will say that they are done.
    pub workers: u32,
    /// How many instances there are.
    pub instances: u32,
    /// The program's files, for its errors.
    pub sources: Sources,
}

/// What is to be done after an input.
#[derive(Debug, Clone, PartialEq)]
enum Action {
    /// Tell all reporters.
    Publish(Event),
    /// Tell the workers to stop their instances.
    Stop,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    Stopping { give_up_at: Duration },
    Over,
}

/// The state of a run and its phases.
#[derive(Debug)]
pub struct Dispatcher {
    plan: Plan,
    begun: Instant,
    phase: Phase,
    workers_left: u32,
    ledger: Ledger,
}

impl Dispatcher {
    /// A run about to start.
    pub fn new(plan: Plan) -> Dispatcher {
        let ledger = Ledger::new(plan.instances);
        Dispatcher { begun: Instant::now(), phase: Phase::Running, workers_left: plan.workers, ledger, plan }
    }

    /// Sees the run through to its end.
    pub fn run(
        mut self,
        inputs: &Receiver<Input>,
        engine: &Engine,
        reporters: &mut Reporters,
    ) -> Result<Ledger, Failure> {
        let mut results_failure = None;
        let mut next_tick = TICK;
        while self.phase != Phase::Over {
            let now = self.now();
            let actions = match inputs.try_recv() {
                Ok(input) => self.on_input(input, now),
                Err(TryRecvError::Empty) => {
                    let trouble = reporters.caught_up().err();
                    self.note(trouble, now, engine, reporters, &mut results_failure);
                    let wait = self.deadline().map_or(next_tick, |at| at.min(next_tick)).saturating_sub(now);
                    match inputs.recv_timeout(wait) {
                        Ok(input) => self.on_input(input, self.now()),
                        Err(_) => self.on_time(self.now()),
                    }
                }
                Err(TryRecvError::Disconnected) => unreachable!("the signal watcher keeps a sender"),
            };
            self.carry_out(actions, engine, reporters, &mut results_failure);
            let now = self.now();
            if now >= next_tick {
                next_tick = now + TICK;
                let actions = self.on_time(now);
                self.carry_out(actions, engine, reporters, &mut results_failure);
                let trouble = reporters.tick(now, &self.ledger).err();
                self.note(trouble, now, engine, reporters, &mut results_failure);
            }
        }
        let found = self.ledger.conclude().to_vec();
        for Violation { at, instance, name, message } in found {
            let event = self.publish(Event { at, what: What::Violated { instance, name, message } });
            self.carry_out(vec![event], engine, reporters, &mut results_failure);
        }
        match results_failure {
            Some(failure) => Err(failure),
            None => Ok(self.ledger),
        }
    }

    fn carry_out(
        &mut self,
        actions: Vec<Action>,
        engine: &Engine,
        reporters: &mut Reporters,
        results_failure: &mut Option<Failure>,
    ) {
        for action in actions {
            match action {
                Action::Publish(event) => {
                    let at = event.at;
                    let trouble = reporters.on_event(&event).err();
                    self.note(trouble, at, engine, reporters, results_failure);
                }
                Action::Stop => engine.stop(),
            }
        }
    }

    /// A reporter cannot go on: the run ends, as nobody would learn of it.
    fn note(
        &mut self,
        trouble: Option<Trouble>,
        now: Duration,
        engine: &Engine,
        reporters: &mut Reporters,
        results_failure: &mut Option<Failure>,
    ) {
        let cause = match trouble {
            None => return,
            Some(Trouble::OutputClosed) => StopCause::OutputClosed,
            Some(Trouble::Results(failure)) => {
                results_failure.get_or_insert(failure);
                StopCause::ResultsFailed
            }
        };
        let actions = self.stop(cause, now);
        self.carry_out(actions, engine, reporters, results_failure);
    }

    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// When something happens by itself.
    fn deadline(&self) -> Option<Duration> {
        match self.phase {
            Phase::Running => self.plan.time_limit,
            Phase::Stopping { give_up_at } => Some(give_up_at),
            Phase::Over => None,
        }
    }

    fn on_input(&mut self, input: Input, now: Duration) -> Vec<Action> {
        match input {
            Input::Report(report) => {
                let event = Event::from_report(report, self.plan.start, &self.plan.sources);
                let violated = matches!(event.what, What::Violated { .. });
                let mut actions = vec![self.publish(event)];
                if violated {
                    actions.extend(self.stop(StopCause::Violated, now));
                }
                actions
            }
            Input::Churned(Churned { event, at, applied }) => {
                let late = at.saturating_sub(event.at);
                let what =
                    What::Churn { instance: event.node, action: event.action, due: event.at, late, applied };
                vec![self.publish(Event { at, what })]
            }
            Input::Interrupt => match self.phase {
                Phase::Running => self.stop(StopCause::Interrupted, now),
                // A second signal, or one after the time limit: do not wait for anyone.
                Phase::Stopping { .. } | Phase::Over => self.give_up(now),
            },
            Input::WorkerDone { outcome } => {
                self.workers_left -= 1;
                let mut actions = Vec::new();
                if let Err(error) = outcome {
                    actions.push(self.publish(Event { at: now, what: What::WorkerBroke { error } }));
                }
                if self.workers_left == 0 {
                    actions.extend(self.give_up(now));
                }
                actions
            }
        }
    }

    fn on_time(&mut self, now: Duration) -> Vec<Action> {
        match self.phase {
            Phase::Running if self.plan.time_limit.is_some_and(|limit| now >= limit) => {
                self.stop(StopCause::TimeLimit, now)
            }
            Phase::Stopping { give_up_at } if now >= give_up_at => self.give_up(now),
            _ => Vec::new(),
        }
    }

    fn publish(&mut self, event: Event) -> Action {
        self.ledger.apply(&event);
        Action::Publish(event)
    }

    fn stop(&mut self, cause: StopCause, now: Duration) -> Vec<Action> {
        if self.phase != Phase::Running {
            return Vec::new();
        }
        self.phase = Phase::Stopping { give_up_at: now + GRACE + self.plan.slice.unwrap_or_default() };
        vec![self.publish(Event { at: now, what: What::Stopping { cause } }), Action::Stop]
    }

    /// The end: whoever is still there is lost.
    fn give_up(&mut self, now: Duration) -> Vec<Action> {
        self.phase = Phase::Over;
        let lost = |instance| What::Ended { instance, ending: Ending::Lost, usage: Usage::default() };
        let unfinished = self.ledger.unfinished();
        unfinished.into_iter().map(|instance| self.publish(Event { at: now, what: lost(instance) })).collect()
    }
}

#[cfg(test)]
mod tests {
    use splay_runtime::host::EndReason;

    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    fn dispatcher(time_limit: Option<Duration>) -> Dispatcher {
        let (slice, sources) = (Some(S(2)), Sources::default());
        Dispatcher::new(Plan { start: S(1000), time_limit, slice, workers: 2, instances: 2, sources })
    }

    fn start_both(run: &mut Dispatcher) {
        for instance in [1, 2] {
            run.on_input(Input::Report(Report::Started { instance, at: S(1000) }), S(0));
        }
    }

    fn end(instance: u32) -> Input {
        let (reason, usage) = (EndReason::Finished, Usage::default());
        Input::Report(Report::Ended { instance, at: S(1001), reason, usage })
    }

    #[test]
    fn over_when_all_workers_are_done() {
        let mut run = dispatcher(None);
        start_both(&mut run);
        for instance in [1, 2] {
            run.on_input(end(instance), S(1));
            assert_eq!(run.phase, Phase::Running);
            run.on_input(Input::WorkerDone { outcome: Ok(()) }, S(1));
        }
        assert_eq!(run.phase, Phase::Over);
        assert_eq!((run.ledger.exited(), run.ledger.status()), (2, 0));
    }

    #[test]
    fn time_limit_stops_once() {
        let mut run = dispatcher(Some(S(10)));
        assert!(run.on_time(S(9)).is_empty());
        let actions = run.on_time(S(10));
        assert!(matches!(&actions[..], [Action::Publish(_), Action::Stop]), "{actions:?}");
        assert!(run.on_time(S(11)).is_empty());
        assert_eq!(run.deadline(), Some(S(17)));
    }

    #[test]
    fn who_does_not_stop_is_lost() {
        let mut run = dispatcher(Some(S(10)));
        start_both(&mut run);
        run.on_time(S(10));
        run.on_input(end(1), S(11));
        let actions = run.on_time(S(17));
        let [Action::Publish(event)] = &actions[..] else { panic!("{actions:?}") };
        assert!(matches!(event.what, What::Ended { instance: 2, ending: Ending::Lost, .. }));
        assert_eq!((run.phase, run.ledger.status()), (Phase::Over, 1));
    }

    #[test]
    fn second_interrupt_does_not_wait() {
        let mut run = dispatcher(None);
        start_both(&mut run);
        run.on_input(Input::Interrupt, S(1));
        assert!(matches!(run.phase, Phase::Stopping { .. }));
        run.on_input(Input::Interrupt, S(2));
        assert_eq!((run.phase, run.ledger.status()), (Phase::Over, 130));
    }

    #[test]
    fn instances_of_a_broken_worker_are_lost() {
        let mut run = dispatcher(None);
        start_both(&mut run);
        run.on_input(Input::WorkerDone { outcome: Err("boom".into()) }, S(1));
        run.on_input(end(2), S(2));
        run.on_input(Input::WorkerDone { outcome: Ok(()) }, S(2));
        assert_eq!((run.phase, run.ledger.failed(), run.ledger.status()), (Phase::Over, 1, 70));
    }
}
