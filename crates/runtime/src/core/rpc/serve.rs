//! The server's side that rpc, urpc and rpcq share: from a received call to the encoded results.

use crate::codec::benc;
use crate::vm::{Ctx, End, Kind, Outcome, Stack, add};

/// What a call came to without having to run anything, or that it was started.
pub enum Served {
    /// Encoded results.
    Results(Vec<u8>),
    /// Text for the caller.
    Error(String),
    /// A thread runs it; its [`End`] has the outcome.
    Running,
}

/// Globals that no remote caller may reach: they load code, or touch files and processes.
const CLOSED: [&[u8]; 14] = [
    b"io",
    b"debug",
    b"package",
    b"ffi",
    b"jit",
    b"load",
    b"loadstring",
    b"loadfile",
    b"dofile",
    b"require",
    b"module",
    b"setfenv",
    b"getfenv",
    b"_G",
];

/// Functions of `os` that remote callers may not reach.
const CLOSED_OS: [&[u8]; 6] = [b"execute", b"remove", b"rename", b"tmpname", b"getenv", b"setlocale"];

/// One step of a remote name.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Step<'a> {
    Name(&'a [u8]),
    Index(f64),
}

/// Splits a remote name: `a.b['c'][2]`. `None`: it is not a path.
fn steps(name: &[u8]) -> Option<Vec<Step<'_>>> {
    let mut found = Vec::with_capacity(2);
    let mut rest = name.trim_ascii();
    loop {
        let length = identifier_length(rest);
        if length == 0 {
            return None;
        }
        found.push(Step::Name(&rest[..length]));
        rest = &rest[length..];
        while rest.first() == Some(&b'[') {
            let end = rest.iter().position(|byte| *byte == b']')?;
            let inside = rest[1..end].trim_ascii();
            let quote = *inside.first()?;
            if quote == b'\'' || quote == b'"' {
                let text = inside.get(1..)?.strip_suffix(&[quote])?;
                if text.contains(&b'\\') {
                    return None;
                }
                found.push(Step::Name(text));
            } else {
                found.push(Step::Index(std::str::from_utf8(inside).ok()?.parse().ok()?));
            }
            rest = &rest[end + 1..];
        }
        match rest.split_first() {
            None => return Some(found),
            Some((b'.', after)) => rest = after,
            Some(_) => return None,
        }
    }
}

fn identifier_length(text: &[u8]) -> usize {
    match text.first() {
        Some(byte) if byte.is_ascii_alphabetic() || *byte == b'_' => {
            text.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count()
        }
        _ => 0,
    }
}

fn closed(steps: &[Step<'_>]) -> bool {
    match steps {
        [Step::Name(b"os"), Step::Name(function), ..] => CLOSED_OS.contains(function),
        [Step::Name(root), ..] => CLOSED.contains(root),
        _ => false,
    }
}

/// Pushes what a remote name stands for (nil if nothing).
fn push_named(stack: Stack, name: &[u8]) -> Result<(), String> {
    let plain = !name.is_empty() && identifier_length(name) == name.len();
    let single = [Step::Name(name)];
    let path;
    let steps = if plain {
        &single[..]
    } else {
        path = steps(name)
            .ok_or_else(|| format!("not a name of a function or variable: {}", name.escape_ascii()))?;
        &path[..]
    };
    if closed(steps) {
        return Err(format!("not available to remote callers: {}", name.escape_ascii()));
    }
    stack.push_value(mlua::ffi::LUA_GLOBALSINDEX);
    for step in steps {
        if stack.kind(-1) != Kind::Table {
            stack.pop(1);
            stack.push_nil();
            return Ok(());
        }
        let push_key = || match step {
            Step::Name(name) => stack.push_bytes(name),
            Step::Index(number) => stack.push_number(*number),
        };
        push_key();
        stack.raw_get(-2);
        if stack.is_nil(-1) && stack.metatable(-2) {
            stack.pop(2);
            push_key();
            get_protected(stack)?;
        }
        stack.remove(-2);
    }
    Ok(())
}

unsafe extern "C-unwind" fn get(state: crate::vm::State) -> std::ffi::c_int {
    // SAFETY: called by `get_protected` with a table and a key.
    unsafe { Stack::from_raw(state) }.get(1);
    1
}

/// Replaces the key on top by `table[key]` (table below it), metamethods included.
fn get_protected(stack: Stack) -> Result<(), String> {
    stack.push_native(get);
    stack.push_value(-3);
    stack.push_value(-3);
    let found = stack.protected_call(2, 1, 0);
    let error = (!found).then(|| stack.text(-1).unwrap_or_default());
    stack.remove(-2);
    error.map_or(Ok(()), Err)
}

/// Serves an encoded call: a name, or a list of a name and arguments.
pub fn serve(cx: &Ctx, call: &[u8], end: impl FnOnce() -> Box<dyn End>) -> Served {
    let mut served = Served::Error("corrupted call".to_owned());
    add(&cx.counters.calls_served, 1);
    let started = cx.run_native(end, |stack| match prepare(stack, call) {
        Ok(Prepared::Run(arguments)) => Some(arguments),
        Ok(Prepared::Value(results)) => {
            served = Served::Results(results);
            None
        }
        Err(error) => {
            served = Served::Error(error);
            None
        }
    });
    if started.is_some() { Served::Running } else { served }
}

enum Prepared {
    Run(i32),
    Value(Vec<u8>),
}

fn prepare(stack: Stack, call: &[u8]) -> Result<Prepared, String> {
    let values = match call.first() {
        Some(b'l' | b'd') => {
            // SAFETY: the stack is a fresh thread's.
            unsafe { benc::decode_list_values(stack.raw(), call) }.map_err(|error| error.to_string())?.1
        }
        _ => {
            // SAFETY: as above.
            unsafe { benc::decode(stack.raw(), call) }.map_err(|error| error.to_string())?;
            1
        }
    };
    let name = stack.bytes(1).ok_or("call without a function name")?;
    push_named(stack, name)?;
    if stack.kind(-1) == Kind::Function {
        stack.insert(1);
        stack.remove(2);
        return Ok(Prepared::Run(values - 1));
    }
    if values > 1 {
        return Err(format!("calling a variable with parameters: {}", name.escape_ascii()));
    }
    let mut results = Vec::new();
    let top = stack.top();
    let last = if stack.is_nil(top) { top - 1 } else { top };
    // SAFETY: the slots are the stack's topmost.
    unsafe { benc::encode_range(stack.raw(), top, last, &mut results) }.map_err(|error| error.to_string())?;
    Ok(Prepared::Value(results))
}

/// Appends the encoded results of a thread that has ended, or fails with the text for its caller
/// (and appends nothing).
pub fn outcome(outcome: &Outcome<'_>, out: &mut Vec<u8>) -> Result<(), String> {
    match outcome {
        Outcome::Returned(stack, count) => {
            let top = stack.top();
            // SAFETY: the results are the stack's topmost values.
            unsafe { benc::encode_range(stack.raw(), top - count + 1, top, out) }
                .map_err(|error| error.to_string())
        }
        Outcome::Error(message) => Err((*message).to_owned()),
        Outcome::Killed => Err("killed".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_paths_and_nothing_else() {
        let name = |text: &'static str| Step::Name(text.as_bytes());
        assert_eq!(steps(b"f"), Some(vec![name("f")]));
        assert_eq!(
            steps(b"a.b['c'][2].d"),
            Some(vec![name("a"), name("b"), name("c"), Step::Index(2.0), name("d")])
        );
        assert_eq!(steps(b"a[\"x y\"]"), Some(vec![name("a"), name("x y")]));
        for bad in ["", "1+2", "f()", "os.exit()", "a.", ".a", "a[", "a['x\\n']", "a..b", "a b", "a[f]"] {
            assert_eq!(steps(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn dangerous_globals_are_closed() {
        for bad in ["io.open", "os.execute", "loadstring", "debug.getinfo", "_G['io']"] {
            assert!(closed(&steps(bad.as_bytes()).expect("a path")), "{bad}");
        }
        for good in ["os.time", "os.exit", "f", "t.io"] {
            assert!(!closed(&steps(good.as_bytes()).expect("a path")), "{good}");
        }
    }
}
