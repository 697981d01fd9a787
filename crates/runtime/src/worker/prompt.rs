//! What a prompt asks of a worker: to evaluate Lua code in an instance, to complete a line.

use std::time::Duration;

use super::Worker;
use crate::host::{Completion, EvaluationNumber, EvaluationOutcome, EvaluationReport, InstanceNumber, Told};
use crate::vm::{Instance, Interrupter, ThreadLook};

impl Worker {
    /// Evaluates Lua code, an expression or a chunk, in a new thread of an instance. The thread
    /// may wait like any other, and like any other is cut when it overruns its slice. `told`
    /// hears what it writes and, once, how it ended; errors are not reported elsewhere.
    pub fn evaluate(
        &mut self,
        number: InstanceNumber,
        evaluation: EvaluationNumber,
        code: &str,
        mut told: Told,
    ) {
        match self.seat_of(number) {
            Some((seat, instance)) => {
                instance.evaluate(evaluation, code, told);
                self.queue(seat);
            }
            None => told(EvaluationReport::Over(EvaluationOutcome::Ended)),
        }
    }

    /// Kills the thread of an evaluation, if it still goes on. Threads it has started go on.
    pub fn cancel(&mut self, number: InstanceNumber, evaluation: EvaluationNumber) {
        if let Some((seat, instance)) = self.seat_of(number) {
            instance.cancel(evaluation);
            self.queue(seat);
        }
    }

    /// How a line of Lua, up to the cursor, may go on: names of globals, of fields and methods
    /// of what exists in the instance, of modules inside `require "`. Runs no code of the program.
    pub fn complete(&self, number: InstanceNumber, line: &str) -> Completion {
        self.seat_of(number).map(|(_, instance)| instance.complete(line)).unwrap_or_default()
    }

    /// The threads of an instance; `None`: it has ended.
    pub fn threads(&self, number: InstanceNumber) -> Option<Vec<ThreadLook>> {
        self.seat_of(number).map(|(_, instance)| instance.threads())
    }

    /// The timers of an instance, the next one first; `None`: it has ended.
    pub fn timers(&self, number: InstanceNumber) -> Option<Vec<(Duration, String)>> {
        self.seat_of(number).map(|(_, instance)| instance.timers())
    }

    /// Has an instance live on when its main chunk has ended or failed and when nothing is left
    /// to run: evaluations may still come.
    pub fn keep(&self, number: InstanceNumber) {
        if let Some((_, instance)) = self.seat_of(number) {
            instance.keep();
        }
    }

    /// What cuts the running thread of an instance from another OS thread; `None` without slices
    /// ([`crate::host::WorkerConfig::slice`]).
    pub fn interrupter(&self, number: InstanceNumber) -> Option<Interrupter> {
        self.seat_of(number).and_then(|(_, instance)| instance.interrupter())
    }

    fn seat_of(&self, number: InstanceNumber) -> Option<(u32, &Instance)> {
        let seat = *self.by_number.get(&number)?;
        Some((seat, self.seats[seat as usize].instance.as_ref()?))
    }
}
