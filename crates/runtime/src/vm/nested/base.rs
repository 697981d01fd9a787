//! The globals of nested code: what of Lua's libraries is harmless, and what stands in for the rest.

use std::ffi::{CStr, CString, c_int};
use std::sync::OnceLock;

use mlua::ffi;

use super::super::stack::{Kind, NativeError, Return, Stack, State};
use super::text;
use crate::nested;
use crate::vm::BYTECODE;

const LIBRARIES: [(&CStr, ffi::lua_CFunction); 5] = [
    (c"", ffi::luaopen_base),
    (c"table", ffi::luaopen_table),
    (c"string", ffi::luaopen_string),
    (c"math", ffi::luaopen_math),
    (c"bit", ffi::luaopen_bit),
];

/// Globals of LuaJIT that nested code does not have.
const REMOVED: [&CStr; 12] = [
    c"xpcall",
    c"loadfile",
    c"dofile",
    c"loadstring",
    c"getfenv",
    c"setfenv",
    c"newproxy",
    c"gcinfo",
    c"coroutine",
    c"module",
    c"require",
    c"package",
];

/// What an error that is caught counts for: finding its way takes about so long.
const CAUGHT_STEPS: usize = 300;

/// Functions of LuaJIT that take long for long tables, or call Lua; each with what stands in.
const COSTLY: [(&CStr, &CStr, ffi::lua_CFunction); 4] = [
    (c"table", c"insert", costly::<0>),
    (c"table", c"concat", costly::<1>),
    (c"table", c"sort", sort),
    (c"string", c"format", costly::<3>),
];

static ORIGINALS: [OnceLock<ffi::lua_CFunction>; COSTLY.len()] = [const { OnceLock::new() }; COSTLY.len()];

/// LuaJIT's function, after its work has been counted.
unsafe extern "C-unwind" fn costly<const N: usize>(state: State) -> c_int {
    // SAFETY: called by Lua; the original expects nothing but the state it is given.
    unsafe {
        let counted = super::enter_nested(state, |meter, stack| {
            meter.charge(stack.raw_len(1))?;
            Ok(Return::Values(0))
        });
        debug_assert_eq!(counted, 0);
        ORIGINALS[N].get().expect("set before this is called")(state)
    }
}

nested! {
    /// `a < b`, counted: what `table.sort` compares with otherwise cannot be cut.
    fn less(meter, stack) {
        meter.charge(4)?;
        // SAFETY: both values are on the stack.
        let less = unsafe { ffi::lua_lessthan(stack.raw(), 1, 2) } != 0;
        stack.push_bool(less);
        Ok(Return::Values(1))
    }

    /// `table.sort(t [, less])`
    fn sort(meter, stack) {
        stack.check_table(1)?;
        stack.set_top(2);
        if stack.is_nil(2) {
            stack.push_native(less);
            stack.replace(2);
        }
        stack.push_native(*ORIGINALS[2].get().expect("set before this is called"));
        stack.insert(1);
        stack.call(2, 0);
        Ok(Return::Values(0))
    }

    /// `pcall(f, ...)`: as Lua's, but an error of the host's functions gives `false`, a negative
    /// number and the message; and what is spent is not caught.
    fn pcall(meter, stack) {
        if stack.top() == 0 {
            return Err(NativeError::Argument(1, "value expected".to_owned()));
        }
        meter.take_coded();
        let worked = stack.protected_call(stack.top() - 1, ffi::LUA_MULTRET, 0);
        if meter.spent().is_some() {
            return Err(if worked { meter.check().expect_err("spent") } else { NativeError::OnStack });
        }
        if worked {
            stack.reserve(1);
            stack.push_bool(true);
            stack.insert(1);
            return Ok(Return::Values(stack.top()));
        }
        meter.charge(CAUGHT_STEPS)?;
        stack.push_bool(false);
        match meter.take_coded() {
            Some(coded) => {
                stack.push_int(-i64::from(coded.number));
                stack.push_str(&coded.message);
                Ok(Return::Values(3))
            }
            None => {
                stack.insert(-2);
                Ok(Return::Values(2))
            }
        }
    }

    /// `load(chunk [, name [, mode [, env]]]) -> function`, or nil and a message. Text only.
    fn load(meter, stack) {
        let mut pieces;
        let source: &[u8] = match stack.kind(1) {
            Kind::String => stack.check_bytes(1)?,
            _ => {
                stack.check_function(1)?;
                pieces = Vec::new();
                loop {
                    stack.push_value(1);
                    if !stack.protected_call(0, 1, 0) {
                        if meter.spent().is_some() {
                            return Err(NativeError::OnStack);
                        }
                        meter.take_coded();
                        stack.push_nil();
                        stack.insert(-2);
                        return Ok(Return::Values(2));
                    }
                    if !matches!(stack.kind(-1), Kind::String | Kind::Nil) {
                        return Err("reader function must return a string".into());
                    }
                    let piece = stack.bytes(-1).unwrap_or_default();
                    if piece.is_empty() {
                        break;
                    }
                    meter.charge(piece.len())?;
                    pieces.extend_from_slice(piece);
                    if pieces.len() > meter.memory_bytes() {
                        return Err(meter.out_of_memory());
                    }
                    stack.pop(1);
                }
                &pieces
            }
        };
        let name = match stack.kind(2) {
            Kind::None | Kind::Nil if stack.kind(1) == Kind::String => source.to_vec(),
            Kind::None | Kind::Nil => b"=(load)".to_vec(),
            _ => stack.check_bytes(2)?.to_vec(),
        };
        let mode = stack.bytes(3).unwrap_or(b"bt");
        let refused = if source.first() == Some(&BYTECODE) {
            Some("attempt to load a binary chunk")
        } else if !mode.contains(&b't') {
            Some("attempt to load a text chunk")
        } else {
            None
        };
        if let Some(refused) = refused {
            stack.push_nil();
            stack.push_str(refused);
            return Ok(Return::Values(2));
        }
        meter.charge(source.len())?;
        let name: Vec<u8> = name.into_iter().take_while(|byte| *byte != 0).collect();
        let name = CString::new(name).expect("cut before the first zero byte");
        if !stack.load(&crate::compat::prepare(source), &name) {
            meter.check()?;
            stack.push_nil();
            stack.insert(-2);
            return Ok(Return::Values(2));
        }
        if stack.kind(4) == Kind::Table {
            stack.push_value(4);
            stack.set_environment(-2);
        }
        Ok(Return::Values(1))
    }

    /// `collectgarbage(what)`: "collect" (also "step") and "count"; anything else does nothing.
    fn collect(meter, stack) {
        let used = meter.account().used();
        let what = if stack.is_nil(1) { &b"collect"[..] } else { stack.check_bytes(1)? };
        match what {
            b"count" => stack.push_number(used as f64 / 1024.0),
            b"collect" | b"step" => {
                // Looking at everything takes about as long as so many instructions.
                meter.charge(used / 16)?;
                stack.collect_garbage();
                stack.push_int(0);
            }
            b"stop" | b"restart" | b"setpause" | b"setstepmul" | b"incremental" | b"generational" => {
                stack.push_int(0);
            }
            _ => return Err(NativeError::Argument(1, "invalid option".to_owned())),
        }
        Ok(Return::Values(1))
    }

    /// `print(...)`: to the host, a line with tabs between.
    fn print(meter, stack) {
        let mut line = Vec::new();
        for index in 1..=stack.top() {
            if index > 1 {
                line.push(b'\t');
            }
            stack.push_display(index);
            let shown = stack.bytes(-1).ok_or("'tostring' must return a string to 'print'")?;
            meter.charge(shown.len() / 16)?;
            line.extend_from_slice(shown);
            stack.pop(1);
        }
        (meter.print.get())(meter, &line);
        Ok(Return::Values(0))
    }
}

/// Opens the libraries and changes them.
pub(super) fn open(stack: Stack) {
    for (name, open) in LIBRARIES {
        stack.push_native(open);
        stack.push_str(&name.to_string_lossy());
        stack.call(1, 0);
    }
    for name in REMOVED {
        stack.push_nil();
        stack.set_global(name);
    }
    for (n, (library, name, replacement)) in COSTLY.iter().enumerate() {
        stack.global(library);
        stack.field(-1, name);
        // SAFETY: reads a value of a live state.
        let original = unsafe { ffi::lua_tocfunction(stack.raw(), -1) };
        ORIGINALS[n].get_or_init(|| original.expect("LuaJIT has that function"));
        stack.pop(1);
        stack.push_native(*replacement);
        stack.set_field(-2, name);
        stack.pop(1);
    }
    stack.global(c"string");
    stack.add_functions(&text::FUNCTIONS);
    for name in [c"dump", c"gfind"] {
        stack.push_nil();
        stack.set_field(-2, name);
    }
    stack.pop(1);
    let globals: [(&CStr, ffi::lua_CFunction); 4] =
        [(c"pcall", pcall), (c"load", load), (c"collectgarbage", collect), (c"print", print)];
    for (name, function) in globals {
        stack.push_native(function);
        stack.set_global(name);
    }
    assert!(stack.load(include_bytes!("prelude.lua"), c"=prelude"), "the prelude is Lua");
    stack.call(0, 0);
}
