//! Evaluates Lua code in a running instance, each time in a thread of its own, and tells its host
//! what the thread wrote and returned. How values look is [`super::show`]'s.

use std::ffi::CStr;

use super::ctx::{Ctx, End, Outcome};
use super::libraries::load_source;
use super::output::MAX_LINE_BYTES;
use super::stack::{Return, Stack};
use super::state::{Instance, open_heap};
use super::watch::Interrupter;
use super::{complete, show};
use crate::host::{Completion, EvaluationNumber, EvaluationOutcome, EvaluationReport, Stream, Told};
use crate::native;
use crate::scheduler::threads::ThreadId;

/// Name of evaluated chunks in messages.
const CHUNK: &str = "=prompt";

/// The function of an evaluation's thread. It is Lua because a chunk that waits yields through it,
/// which it could not through a native function.
const FRAME: &[u8] = b"local chunk, show = ... return function() return show(chunk()) end";

/// Its name in tracebacks, from which it is taken out.
const FRAME_NAME: &CStr = c"=[prompt frame]";

/// What carries requests through nested coroutines; of no interest in a traceback.
const PRELUDE: &str = "\tsplay/prelude.lua:";

/// More values are counted and not shown.
const MAX_VALUES: i32 = 100;

/// One evaluation that goes on.
pub(super) struct Evaluation {
    number: EvaluationNumber,
    thread: ThreadId,
    told: Told,
    /// What was written without a newline so far, by stream.
    partial: [Vec<u8>; 2],
}

impl Evaluation {
    fn write(&mut self, stream: Stream, bytes: &[u8]) {
        let buffer = &mut self.partial[usize::from(stream == Stream::Err)];
        let mut rest = bytes;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            buffer.extend_from_slice(&rest[..end]);
            (self.told)(EvaluationReport::Output { stream, line: std::mem::take(buffer) });
            rest = &rest[end + 1..];
        }
        buffer.extend_from_slice(rest);
        if buffer.len() > MAX_LINE_BYTES {
            (self.told)(EvaluationReport::Output { stream, line: std::mem::take(buffer) });
        }
    }

    fn over(mut self, outcome: EvaluationOutcome) {
        for (index, stream) in [Stream::Out, Stream::Err].into_iter().enumerate() {
            if !self.partial[index].is_empty() {
                self.write(stream, b"\n");
            }
        }
        (self.told)(EvaluationReport::Over(outcome));
    }
}

/// Hears of the end of an evaluation's thread, but of an error (see [`Ctx::evaluation_failed`]).
struct Hearer(ThreadId);

impl End for Hearer {
    fn ended(self: Box<Self>, cx: &Ctx, outcome: Outcome<'_>) {
        let outcome = match outcome {
            Outcome::Returned(stack, count) => {
                let texts = (1..=count).map(|index| stack.text(index).unwrap_or_default());
                EvaluationOutcome::Values(texts.collect())
            }
            Outcome::Error(message) => EvaluationOutcome::Error(message.to_owned()),
            Outcome::Killed => EvaluationOutcome::Cancelled,
        };
        if let Some(evaluation) = cx.take_evaluation(self.0) {
            evaluation.over(outcome);
        }
    }
}

impl Ctx {
    fn evaluate(&self, number: EvaluationNumber, code: &str, mut told: Told) {
        let stack = self.main_stack();
        let before = stack.top();
        let pushed = push_frame(stack, code);
        if let Err(message) = pushed {
            stack.set_top(before);
            return told(EvaluationReport::Over(EvaluationOutcome::Error(message)));
        }
        let id = self.spawn(stack);
        stack.set_top(before);
        if let Some(thread) = self.threads.borrow_mut().get_mut(id) {
            thread.end = Some(Box::new(Hearer(id)));
        }
        let evaluation = Evaluation { number, thread: id, told, partial: Default::default() };
        self.evaluations.borrow_mut().push(evaluation);
    }

    fn take_evaluation(&self, id: ThreadId) -> Option<Evaluation> {
        let mut evaluations = self.evaluations.borrow_mut();
        let index = evaluations.iter().position(|evaluation| evaluation.thread == id)?;
        Some(evaluations.swap_remove(index))
    }

    /// The running thread writes; false if it is not that of an evaluation.
    pub(super) fn evaluation_writes(&self, stream: Stream, bytes: &[u8]) -> bool {
        let Some(id) = self.current.get() else { return false };
        let mut evaluations = self.evaluations.borrow_mut();
        match evaluations.iter_mut().find(|evaluation| evaluation.thread == id) {
            Some(evaluation) => evaluation.write(stream, bytes),
            None => return false,
        }
        true
    }

    /// Whether the running thread is that of an evaluation.
    pub(super) fn evaluates(&self, number: EvaluationNumber) -> bool {
        let current = self.current.get();
        let evaluations = self.evaluations.borrow();
        evaluations.iter().any(|one| one.number == number && Some(one.thread) == current)
    }

    /// A thread died of an error; false if it is not that of an evaluation.
    pub(super) fn evaluation_failed(&self, id: ThreadId, traceback: &str) -> bool {
        match self.take_evaluation(id) {
            Some(evaluation) => evaluation.over(EvaluationOutcome::Error(without_frame(traceback))),
            None => return false,
        }
        true
    }

    /// The instance ends.
    pub(super) fn end_evaluations(&self) {
        for evaluation in self.evaluations.take() {
            evaluation.over(EvaluationOutcome::Ended);
        }
    }
}

impl Instance {
    /// Queues an evaluation. [`Instance::turn`] must follow.
    pub(crate) fn evaluate(&self, number: EvaluationNumber, code: &str, told: Told) {
        let cx = self.context();
        let _entered = cx.enter();
        cx.evaluate(number, code, told);
    }

    /// Kills the thread of an evaluation. [`Instance::turn`] must follow.
    pub(crate) fn cancel(&self, number: EvaluationNumber) {
        let cx = self.context();
        let _entered = cx.enter();
        let thread = {
            let evaluations = cx.evaluations.borrow();
            evaluations.iter().find(|evaluation| evaluation.number == number).map(|found| found.thread)
        };
        if let Some(thread) = thread {
            cx.kill(thread);
        }
    }

    /// How a line may go on.
    pub(crate) fn complete(&self, line: &str) -> Completion {
        let cx = self.context();
        let _entered = cx.enter();
        complete::complete(cx, line)
    }

    /// From now on it lives when nothing is left to run.
    pub(crate) fn keep(&self) {
        let cx = self.context();
        if !cx.kept.replace(true) {
            cx.hold();
        }
    }

    pub(crate) fn interrupter(&self) -> Option<Interrupter> {
        self.context().watch.as_ref().map(Interrupter::new)
    }
}

/// Pushes the function of an evaluation's thread, or gives the message of a syntax error.
fn push_frame(stack: Stack, code: &str) -> Result<(), String> {
    if !stack.reserve(8) {
        return Err("stack overflow".to_owned());
    }
    let loaded = stack.load(FRAME, FRAME_NAME);
    assert!(loaded, "the frame is valid Lua");
    push_chunk(stack, code)?;
    stack.push_native(show_values);
    if stack.protected_call(2, 1, 0) { Ok(()) } else { Err(stack.text(-1).unwrap_or_default()) }
}

/// Pushes an expression, or else a chunk.
fn push_chunk(stack: Stack, code: &str) -> Result<(), String> {
    let (expression, only) = as_expression(code);
    match load_source(stack, CHUNK, expression.as_bytes()) {
        Err(message) if only => Err(message),
        Err(_) => load_source(stack, CHUNK, code.as_bytes()),
        Ok(()) => Ok(()),
    }
}

/// The code as a chunk that returns its value, and whether it can be nothing else (`= 1 + 1`).
fn as_expression(code: &str) -> (String, bool) {
    let stripped = code.trim_start().strip_prefix('=').filter(|rest| !rest.starts_with('='));
    (format!("return {}", stripped.unwrap_or(code)), stripped.is_some())
}

/// Whether code is a whole chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completeness {
    /// It can be evaluated, be it to an error.
    Complete,
    /// It ends too early: more lines are needed.
    Incomplete,
}

/// Whether code can be evaluated as it is, or only begins something. `Err`: no Lua state can be
/// opened to find out.
pub fn completeness(code: &str) -> Result<Completeness, String> {
    let heap = open_heap(false, false)?;
    // SAFETY: the state lives until the end of this function.
    let stack = unsafe { Stack::from_raw(heap.state()) };
    let (expression, only) = as_expression(code);
    let mut verdict = Completeness::Complete;
    for source in [Some(expression.as_str()), (!only).then_some(code)].into_iter().flatten() {
        if stack.load(&crate::compat::prepare(source.as_bytes()), c"=prompt") {
            return Ok(Completeness::Complete);
        }
        // A short string ends on its line, or not at all.
        let begins =
            |message: &str| message.ends_with("near '<eof>'") && !message.contains("unfinished string");
        if stack.text(-1).is_some_and(|message| begins(&message)) {
            verdict = Completeness::Incomplete;
        }
        stack.pop(1);
    }
    Ok(verdict)
}

/// Takes out of a traceback what evaluating adds to it: the frame and all below, and the prelude.
fn without_frame(traceback: &str) -> String {
    let name = FRAME_NAME.to_str().unwrap_or_default().trim_start_matches('=');
    let frame = format!("\t{name}:");
    let lines = traceback.lines().take_while(|line| !line.starts_with(&frame));
    let mut kept: Vec<&str> = lines.filter(|line| !line.starts_with(PRELUDE)).collect();
    if kept.last() == Some(&"stack traceback:") {
        kept.pop();
    }
    let text = kept.join("\n");
    // The chunk of an expression is left by a tail call: its error is taken for the frame's.
    match text.strip_prefix(name) {
        Some(rest) => format!("{}{rest}", CHUNK.trim_start_matches('=')),
        None => text,
    }
}

native! {
    /// `show(...)`: each value as a text.
    fn show_values(cx, stack) {
        let count = stack.top();
        let shown = count.min(MAX_VALUES);
        if !stack.reserve(shown + 8) {
            return Err("too many values".into());
        }
        for index in 1..=shown {
            stack.push_str(&show::show(stack, index));
        }
        if count > shown {
            stack.push_str(&format!("... {} more", count - shown));
            return Ok(Return::Values(shown + 1));
        }
        Ok(Return::Values(shown))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_something_is_incomplete() {
        for code in [
            "if x then",
            "function f()",
            "{1,",
            "f(",
            "x =",
            "s = [[",
            "--[[ a",
            "= {",
            "for i = 1, 3 do\nprint(i)",
        ] {
            assert_eq!(completeness(code), Ok(Completeness::Incomplete), "{code}");
        }
        for code in
            ["", "1 + 1", "= 1", "x = 1", "print(1)", "a b", "end", "'abc", "{1,\n2}", "-- a", "\"\\.\""]
        {
            assert_eq!(completeness(code), Ok(Completeness::Complete), "{code}");
        }
    }

    #[test]
    fn internals_are_not_in_tracebacks() {
        let whole = "prompt:1: bad\nstack traceback:\n\t[C]: in function 'error'\n\tprompt:1: in function 'chunk'\n\
                     \tsplay/prelude.lua:28: in function 'carry'\n\t[prompt frame]:1: in function <[prompt frame]:1>";
        let kept =
            "prompt:1: bad\nstack traceback:\n\t[C]: in function 'error'\n\tprompt:1: in function 'chunk'";
        assert_eq!(without_frame(whole), kept);
        assert_eq!(without_frame("[prompt frame]:1: bad"), "prompt:1: bad");
        assert_eq!(without_frame("bad\nstack traceback:\n\t[prompt frame]:1: in x"), "bad");
    }
}
