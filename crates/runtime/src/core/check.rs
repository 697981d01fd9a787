//! `splay.check_core`: tells the host what `splay.check` finds, and lets the host look in.

use std::cell::Cell;
use std::time::Duration;

use splay_history::{Model, Phase, Value};

use super::function_table;
use crate::codec::benc;
use crate::host::{Check, Report};
use crate::native;
use crate::vm::{Ctx, Kind, Module, NativeError, Return, Stack};

/// The module.
pub const MODULE: Module = Module {
    name: "splay.check_core",
    open: |_, stack| {
        function_table(
            stack,
            &[
                (c"install", install),
                (c"look", look),
                (c"violated", violated),
                (c"declare", declare),
                (c"reached", reached),
                (c"accepts", accepts),
                (c"invoke", invoke),
                (c"ended", ended),
                (c"wake", wake),
                (c"simulated", simulated),
            ],
        );
    },
};

/// Functions of `splay.check`, as references of the registry; 0: none.
#[derive(Default)]
struct Installed {
    evaluate: Cell<i32>,
    expose: Cell<i32>,
    judge: Cell<i32>,
}

/// What the instance is asked after each of its turns, if it checks anything.
pub(crate) fn evaluate(cx: &Ctx) {
    let reference = cx.extension::<Installed>().evaluate.get();
    ask(cx, reference, |_| 0, |_| ());
}

/// What the instance shows to those who look at all instances.
pub(crate) fn expose(cx: &Ctx) -> Option<Vec<u8>> {
    let reference = cx.extension::<Installed>().expose.get();
    ask(cx, reference, |_| 0, |stack| stack.bytes(-1).map(<[u8]>::to_vec)).flatten()
}

/// Whether the instance looks at all instances.
pub(crate) fn looks(cx: &Ctx) -> bool {
    cx.extension::<Installed>().judge.get() != 0
}

/// Has the instance look at what all show: position and bytes of each.
pub(crate) fn judge(cx: &Ctx, shown: &[(u32, Option<Vec<u8>>)]) {
    let reference = cx.extension::<Installed>().judge.get();
    let push = |stack: Stack| {
        stack.new_table(shown.len() as i32, 0);
        for (place, (position, bytes)) in (1..).zip(shown) {
            stack.new_table(2, 0);
            stack.push_int(i64::from(*position));
            stack.raw_set_index(-2, 1);
            match bytes {
                Some(bytes) => stack.push_bytes(bytes),
                None => stack.push_bool(false),
            }
            stack.raw_set_index(-2, 2);
            stack.raw_set_index(-2, place);
        }
        1
    };
    ask(cx, reference, push, |_| ());
}

/// Calls one of the functions on the main state; what it raises is a violation.
fn ask<T>(
    cx: &Ctx,
    reference: i32,
    push: impl FnOnce(Stack) -> i32,
    take: impl FnOnce(Stack) -> T,
) -> Option<T> {
    if reference == 0 || std::thread::panicking() {
        return None;
    }
    let stack = cx.main_stack();
    let top = stack.top();
    stack.reserve(8);
    stack.stored(reference);
    let arguments = push(stack);
    let (answered, _) = cx.limited_call(stack, arguments, 1);
    let answer = if answered {
        Some(take(stack))
    } else {
        let message = stack.text(-1).unwrap_or_default();
        tell(cx, Check::Violated { name: "splay.check".to_owned(), message });
        None
    };
    stack.set_top(top);
    answer
}

fn tell(cx: &Ctx, check: Check) {
    let (instance, at) = (cx.number(), cx.driver().wall());
    cx.report(Report::Check { instance, at, check: Box::new(check) });
}

fn text(stack: Stack, index: i32) -> Result<String, NativeError> {
    stack.check_bytes(index).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

/// The values from an index on: nil is nothing, texts and numbers are themselves, tables as
/// bencode writes them.
fn values(stack: Stack, from: i32) -> Result<Vec<Value>, NativeError> {
    (from..=stack.top()).map(|index| value(stack, index)).collect()
}

fn value(stack: Stack, index: i32) -> Result<Value, NativeError> {
    Ok(match stack.kind(index) {
        Kind::Nil => Value::from(&b""[..]),
        Kind::Boolean if stack.truth(index) => Value::from(&b"true"[..]),
        Kind::Boolean => Value::from(&b"false"[..]),
        Kind::String if stack.bytes(index).is_some_and(<[u8]>::is_empty) => Value::from(&b"\"\""[..]),
        Kind::String | Kind::Number => {
            stack.push_value(index);
            let bytes = stack.bytes(-1).map(<[u8]>::to_vec).unwrap_or_default();
            stack.pop(1);
            bytes.into()
        }
        Kind::Table => {
            let mut out = Vec::new();
            // SAFETY: the index is a value on a live stack.
            unsafe { benc::encode(stack.raw(), index, &mut out) }.map_err(|error| error.to_string())?;
            out.into()
        }
        _ => return Err(format!("a {} cannot be kept in a history", stack.type_name(index)).into()),
    })
}

fn model(stack: Stack, index: i32) -> Result<Model, NativeError> {
    let name = text(stack, index)?;
    let wrong = || format!("no model is called `{name}`: register, map, set, queue");
    Model::named(&name).ok_or_else(|| wrong().into())
}

native! {
    /// `install(evaluate, expose)`: functions that the host calls.
    fn install(cx, stack) {
        let installed = cx.extension::<Installed>();
        stack.push_value(1);
        installed.evaluate.set(stack.store());
        stack.push_value(2);
        installed.expose.set(stack.store());
        cx.checks.set(true);
        Ok(Return::Values(0))
    }

    /// `look(judge)`: the instance looks at all.
    fn look(cx, stack) {
        stack.push_value(1);
        cx.extension::<Installed>().judge.set(stack.store());
        cx.totals.looks.set(true);
        Ok(Return::Values(0))
    }

    /// `violated(name, message)`
    fn violated(cx, stack) {
        let check = Check::Violated { name: text(stack, 1)?, message: text(stack, 2)? };
        tell(cx, check);
        Ok(Return::Values(0))
    }

    /// `declare(name)`: some instance is to reach it.
    fn declare(cx, stack) {
        let name = text(stack, 1)?;
        tell(cx, Check::Declared { name });
        Ok(Return::Values(0))
    }

    /// `reached(name)`
    fn reached(cx, stack) {
        let name = text(stack, 1)?;
        tell(cx, Check::Reached { name });
        Ok(Return::Values(0))
    }

    /// `accepts(model) -> true`, or an error.
    fn accepts(_cx, stack) {
        model(stack, 1)?;
        stack.push_bool(true);
        Ok(Return::Values(1))
    }

    /// `invoke(history, model, number, name, ...)`: an operation is called.
    fn invoke(cx, stack) {
        let (history, model, number) = (text(stack, 1)?, model(stack, 2)?, stack.check_number(3)? as u64);
        let (name, arguments) = (text(stack, 4)?, values(stack, 5)?);
        model.accepts(&name, arguments.len()).map_err(|error| error.to_string())?;
        let phase = Phase::Invoke { name, arguments };
        tell(cx, Check::Operation { history, model, number, phase });
        Ok(Return::Values(0))
    }

    /// `ended(history, model, number, "ok", ...)`, or `"fail"`, or `"info"`.
    fn ended(cx, stack) {
        let (history, model, number) = (text(stack, 1)?, model(stack, 2)?, stack.check_number(3)? as u64);
        let phase = match stack.check_bytes(4)? {
            b"ok" => Phase::Ok(values(stack, 5)?),
            b"fail" => Phase::Fail,
            _ => Phase::Info,
        };
        tell(cx, Check::Operation { history, model, number, phase });
        Ok(Return::Values(0))
    }

    /// `wake(seconds)`: there is a turn at that time, if the program lives.
    fn wake(cx, stack) {
        let seconds = stack.check_number(1)?.clamp(0.0, 1e9);
        cx.at(cx.now() + Duration::from_secs_f64(seconds), false, Box::new(|_| ()));
        Ok(Return::Values(0))
    }

    /// `simulated() -> boolean`
    fn simulated(cx, stack) {
        let simulated = cx.driver().is_virtual();
        stack.push_bool(simulated);
        Ok(Return::Values(1))
    }
}
