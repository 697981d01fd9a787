//! `splay.events_core`: what `splay.events` is made of. Threads are named by strings
//! (`thread: 0x...`); see [`crate::scheduler`] for the rules of delivery.

use std::time::Duration;

use crate::native;
use crate::scheduler::events::Key;
use crate::vm::{Ctx, Kind, Module, NativeError, Return, Stack};

use super::function_table;
use crate::vm::{name_of, thread_named};

/// The module.
pub const MODULE: Module = Module {
    name: "splay.events_core",
    open: |_, stack| {
        function_table(
            stack,
            &[
                (c"thread", thread),
                (c"yield", yield_),
                (c"sleep", sleep),
                (c"wait", wait),
                (c"fire", fire),
                (c"kill", kill),
                (c"status", status),
                (c"dead", dead),
                (c"run", run),
                (c"running", running),
                (c"holds_lock", holds_lock),
                (c"on_ended", on_ended),
                (c"counts", counts),
            ],
        );
    },
};

/// Longest delay taken literally; more is "for ever" (a century).
const LONGEST: f64 = 3.2e9;

/// Turns seconds into a deadline. NaN counts as no delay.
pub(crate) fn deadline_in(cx: &Ctx, seconds: f64) -> Duration {
    deadline_from(cx.now(), seconds)
}

/// As [`deadline_in`], from a given time.
pub(crate) fn deadline_from(now: Duration, seconds: f64) -> Duration {
    now + Duration::from_secs_f64(if seconds > 0.0 { seconds.min(LONGEST) } else { 0.0 })
}

fn event_key(stack: Stack, index: i32) -> Option<Key> {
    match stack.kind(index) {
        Kind::None | Kind::Nil => None,
        Kind::Boolean => stack.truth(index).then_some(Key(1, 1)),
        Kind::Number => Some(Key(2, (stack.number(index).unwrap_or(0.0) + 0.0).to_bits())),
        Kind::LightUserdata => Some(Key(3, stack.userdata(index) as u64)),
        Kind::String => Some(Key(4, stack.pointer(index) as u64)),
        _ => Some(Key(5, stack.pointer(index) as u64)),
    }
}

native! {
    /// `thread(function or coroutine) -> name`
    fn thread(cx, stack) {
        stack.set_top(1);
        let id = match stack.kind(1) {
            Kind::Function => Some(cx.spawn(stack)),
            Kind::Thread => cx.adopt(stack),
            _ => None,
        };
        let id = id.ok_or_else(|| stack.wrong_type(1, "function"))?;
        stack.push_str(&name_of(id));
        Ok(Return::Values(1))
    }

    /// `yield() -> true, nil` after one pass.
    fn yield_(cx, stack) {
        let id = cx.thread()?;
        cx.sleep(id, None);
        Ok(Return::Suspend)
    }

    /// `sleep(seconds) -> true`; nil or negative: as `yield`.
    fn sleep(cx, stack) {
        let id = cx.thread()?;
        match stack.number(1) {
            Some(seconds) if seconds >= 0.0 => cx.sleep(id, Some(deadline_in(cx, seconds))),
            None if !stack.is_nil(1) => return Err(stack.wrong_type(1, "number")),
            _ => cx.sleep(id, None),
        }
        Ok(Return::Suspend)
    }

    /// `wait(event[, timeout]) -> arguments` or `true, arguments` / `false, "timeout"`.
    fn wait(cx, stack) {
        let id = cx.thread()?;
        let Some(key) = event_key(stack, 1) else {
            cx.sleep(id, None);
            return Ok(Return::Suspend);
        };
        let deadline = match stack.number(2) {
            Some(seconds) => Some(deadline_in(cx, seconds)),
            None if stack.is_nil(2) || !stack.truth(2) => None,
            None => return Err(stack.wrong_type(2, "number")),
        };
        cx.wait_event(id, stack, 1, key, deadline);
        Ok(Return::Suspend)
    }

    /// `fire(event, ...) -> true`, or false if it is already pending.
    fn fire(cx, stack) {
        let key = event_key(stack, 1)
            .ok_or_else(|| NativeError::Argument(1, "event name expected, got nil".to_owned()))?;
        let fired = stack.reserve(4) && cx.fire_event(stack, 1, key);
        stack.push_bool(fired);
        Ok(Return::Values(1))
    }

    /// `kill(name) -> true` or `nil, "not found"`. Killing oneself does not return.
    fn kill(cx, stack) {
        let id = stack.bytes(1).and_then(thread_named);
        if id.is_some() && cx.thread().ok() == id {
            cx.kill(id.expect("checked"));
            return Ok(Return::Suspend);
        }
        if id.is_some_and(|id| cx.kill(id)) {
            stack.push_bool(true);
            return Ok(Return::Values(1));
        }
        stack.push_nil();
        stack.push_str("not found");
        Ok(Return::Values(2))
    }

    /// `status(name) -> "suspended" | "running" | "normal" | "dead"`
    fn status(cx, stack) {
        let status = stack.bytes(1).and_then(thread_named).map_or("dead", |id| cx.status(id));
        stack.push_str(status);
        Ok(Return::Values(1))
    }

    /// `dead(name) -> boolean`
    fn dead(cx, stack) {
        let status = stack.bytes(1).and_then(thread_named).map_or("dead", |id| cx.status(id));
        stack.push_bool(status == "dead");
        Ok(Return::Values(1))
    }

    /// `run()`: the main chunk waits until nothing can run any more.
    fn run(cx, stack) {
        if let Some(first) = stack.bytes(1).and_then(thread_named) {
            cx.begins_with(first);
        }
        if cx.begin_run() { Ok(Return::Suspend) } else { Ok(Return::Values(0)) }
    }

    /// `running() -> name` of the current thread, or nil.
    fn running(cx, stack) {
        match cx.thread() {
            Ok(id) => stack.push_str(&name_of(id)),
            Err(_) => stack.push_nil(),
        }
        Ok(Return::Values(1))
    }

    /// `holds_lock()`: the function given to `on_ended` is called when this thread ends.
    fn holds_lock(cx, stack) {
        cx.mark_lock_holder();
        Ok(Return::Values(0))
    }

    /// `on_ended(function(name, how))`: how is "end", "error" or "kill".
    fn on_ended(cx, stack) {
        stack.check_function(1)?;
        stack.set_top(1);
        cx.set_ended_hook(stack.store());
        Ok(Return::Values(0))
    }

    /// `counts() -> threads, runnable, created, ended, killed, passes, fires, names, waiting, timers`
    fn counts(cx, stack) {
        let counts = cx.counts();
        for n in counts {
            stack.push_int(n as i64);
        }
        Ok(Return::Values(counts.len() as i32))
    }
}
