//! What is said to a worker while it runs: to stop, and what prompts ask of its instances.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use splay_runtime::host::{
    Completion, EvaluationNumber, EvaluationOutcome, EvaluationReport, InstanceNumber, Told,
};
use splay_runtime::vm::Interrupter;
use splay_runtime::worker::Worker;

use super::Handle;

/// A person who typed a tab does not wait longer than this for a worker that is busy.
const COMPLETION_PATIENCE: Duration = Duration::from_millis(500);

/// Something a worker is told.
pub enum Command {
    /// Stop all instances and start no more.
    Stop,
    /// Evaluate code in an instance.
    Evaluate {
        instance: InstanceNumber,
        evaluation: EvaluationNumber,
        code: String,
        cutter: Cutter,
        told: Told,
    },
    /// Give an evaluation up.
    Cancel { instance: InstanceNumber, evaluation: EvaluationNumber },
    /// Say how a line may go on.
    Complete { instance: InstanceNumber, line: String, answer: Sender<Completion> },
}

/// Does what the worker was told; true if it is to stop.
pub(super) fn obey(worker: &mut Worker, commands: impl IntoIterator<Item = Command>) -> bool {
    commands.into_iter().any(|command| carry_out(worker, command))
}

/// The same, after having waited for a command.
pub(super) fn wait_and_obey(worker: &mut Worker, commands: &Receiver<Command>) -> bool {
    // Without anyone who could ever say something the wait would have no end.
    commands.recv().map_or(true, |command| carry_out(worker, command)) || obey(worker, commands.try_iter())
}

fn carry_out(worker: &mut Worker, command: Command) -> bool {
    match command {
        Command::Stop => return true,
        Command::Evaluate { instance, evaluation, code, cutter, told } => {
            worker.interrupter(instance).map(|interrupter| cutter.0.set(interrupter));
            worker.evaluate(instance, evaluation, &code, told);
        }
        Command::Cancel { instance, evaluation } => worker.cancel(instance, evaluation),
        // Who asked may have lost patience.
        Command::Complete { instance, line, answer } => drop(answer.send(worker.complete(instance, &line))),
    }
    false
}

/// Cuts an evaluation that computes and never waits, during which its worker obeys nobody.
#[derive(Debug, Clone, Default)]
pub struct Cutter(Arc<OnceLock<Interrupter>>);

impl Cutter {
    /// Cuts the evaluation if it still runs after `patience`, for which the caller waits, without
    /// having let others run. Does nothing before it has begun, and without slices.
    pub fn cut(&self, evaluation: EvaluationNumber, patience: Duration) {
        match self.0.get() {
            Some(interrupter) => interrupter.interrupt_evaluation(evaluation, patience),
            None => std::thread::sleep(patience),
        }
    }
}

/// Asks workers on behalf of prompts. Copies ask the same workers.
#[derive(Debug, Clone)]
pub struct Prompts {
    workers: Arc<[Handle]>,
}

impl Prompts {
    pub(super) fn new(workers: Arc<[Handle]>) -> Prompts {
        Prompts { workers }
    }

    fn tell(&self, instance: InstanceNumber, command: Command) {
        // Instances are dealt in turn, from 1.
        let worker = &self.workers[(instance as usize - 1) % self.workers.len()];
        // A worker whose instances have all ended does not listen.
        let _ = worker.commands.send(command);
        worker.waker.wake();
    }

    /// Evaluates code in an instance (see [`Worker::evaluate`]). `told` always hears of an end;
    /// from its beginning on, `cutter` can cut it.
    pub fn evaluate(
        &self,
        instance: InstanceNumber,
        evaluation: EvaluationNumber,
        code: String,
        cutter: Cutter,
        told: impl FnMut(EvaluationReport) + Send + 'static,
    ) {
        let mut last = LastWord { told, over: false };
        let told = Box::new(move |report| last.tell(report));
        self.tell(instance, Command::Evaluate { instance, evaluation, code, cutter, told });
    }

    /// Gives an evaluation up: its thread is killed as soon as the worker gets to it.
    pub fn cancel(&self, instance: InstanceNumber, evaluation: EvaluationNumber) {
        self.tell(instance, Command::Cancel { instance, evaluation });
    }

    /// How a line may go on; nothing if the worker is busy.
    pub fn complete(&self, instance: InstanceNumber, line: &str) -> Completion {
        let (answer, answered) = crossbeam_channel::bounded(1);
        self.tell(instance, Command::Complete { instance, line: line.to_owned(), answer });
        answered.recv_timeout(COMPLETION_PATIENCE).unwrap_or_default()
    }

    /// Cuts what runs in the first instance, if it still does after `patience`. For the prompt
    /// of its own ([`super::EngineConfig::keep`]); does nothing in a run.
    pub fn interrupt(&self, patience: Duration) {
        if let Some(interrupter) = self.workers[0].interrupter.get() {
            interrupter.interrupt(patience);
        }
    }
}

/// Says that the instance has ended where a worker forgets an evaluation, having ended itself.
struct LastWord<F: FnMut(EvaluationReport)> {
    told: F,
    over: bool,
}

impl<F: FnMut(EvaluationReport)> LastWord<F> {
    fn tell(&mut self, report: EvaluationReport) {
        self.over |= matches!(report, EvaluationReport::Over(_));
        (self.told)(report);
    }
}

impl<F: FnMut(EvaluationReport)> Drop for LastWord<F> {
    fn drop(&mut self) {
        if !self.over {
            self.tell(EvaluationReport::Over(EvaluationOutcome::Ended));
        }
    }
}
