//! `splay.cjson_core`: JSON with the interface, settings and error texts of lua-cjson 2.1.

mod decode;
mod encode;

use std::cell::Cell;
use std::ffi::{CStr, c_int};

use mlua::ffi;

use super::function_table;
use crate::native;
use crate::vm::{Module, NativeError, NativeResult, Return, Stack};

/// The module: `new(safe)` makes a `cjson` table with settings of its own.
pub const MODULE: Module = Module {
    name: "splay.cjson_core",
    open: |_, stack| function_table(stack, &[(c"new", new), (c"decode_at", decode_at)]),
};

/// What to do with numbers that JSON has no text for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InvalidNumbers {
    Refuse,
    Null,
    Write,
}

/// Settings of one `cjson` table.
#[derive(Debug, Clone, Copy)]
struct Settings {
    /// Write excessively sparse arrays as objects instead of refusing them.
    sparse_convert: bool,
    /// An array is excessively sparse when its highest index exceeds this many times its
    /// elements; 0: never.
    sparse_ratio: f64,
    /// Indices up to this are never excessive.
    sparse_safe: f64,
    encode_max_depth: usize,
    decode_max_depth: usize,
    /// Significant digits of numbers.
    precision: usize,
    /// Kept for its setter only: the buffer is always reused.
    keep_buffer: bool,
    encode_invalid_numbers: InvalidNumbers,
    decode_invalid_numbers: bool,
    /// `nil, message` instead of errors.
    safe: bool,
}

impl Settings {
    const fn new(safe: bool) -> Settings {
        Settings {
            sparse_convert: false,
            sparse_ratio: 2.0,
            sparse_safe: 10.0,
            encode_max_depth: 1000,
            decode_max_depth: 1000,
            precision: 14,
            keep_buffer: true,
            encode_invalid_numbers: InvalidNumbers::Refuse,
            decode_invalid_numbers: true,
            safe,
        }
    }
}

/// Deepest nesting whatever the settings say: both directions recurse on the native stack.
const DEEPEST: usize = 2000;

/// A buffer kept for the next call is at most this large, in bytes.
const KEPT: usize = 64 * 1024;

thread_local! {
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The settings a function of a `cjson` table has as its upvalue.
fn settings<'a>(stack: Stack) -> &'a mut Settings {
    let memory = stack.userdata(ffi::lua_upvalueindex(1)).cast::<Settings>();
    // SAFETY: `new` gave the function this userdata as upvalue, initialised; one native
    // function uses it at a time.
    unsafe { &mut *memory }
}

fn push_module(stack: Stack, safe: bool) {
    const FUNCTIONS: &[(&CStr, ffi::lua_CFunction)] = &[
        (c"encode", encode),
        (c"decode", decode),
        (c"encode_sparse_array", encode_sparse_array),
        (c"encode_max_depth", encode_max_depth),
        (c"decode_max_depth", decode_max_depth),
        (c"encode_number_precision", encode_number_precision),
        (c"encode_keep_buffer", encode_keep_buffer),
        (c"encode_invalid_numbers", encode_invalid_numbers),
        (c"decode_invalid_numbers", decode_invalid_numbers),
        (c"new", new_alike),
    ];
    stack.new_table(0, FUNCTIONS.len() as i32 + 3);
    let memory = stack.new_userdata(size_of::<Settings>()).cast::<Settings>();
    // SAFETY: fresh memory of that size; Lua aligns it to 8 bytes.
    unsafe {
        const { assert!(align_of::<Settings>() <= 8) };
        memory.write(Settings::new(safe));
    }
    for (name, function) in FUNCTIONS {
        stack.push_value(-1);
        stack.push_closure(*function, 1);
        stack.set_field(-3, name);
    }
    stack.pop(1);
    stack.push_light(std::ptr::null_mut());
    stack.set_field(-2, c"null");
    stack.push_str(if safe { "cjson.safe" } else { "cjson" });
    stack.set_field(-2, c"_NAME");
    stack.push_str("2.1devel");
    stack.set_field(-2, c"_VERSION");
}

/// Ends a call with an error, or with `nil, message` if the table is a safe one.
fn fail(stack: Stack, safe: bool, message: String) -> NativeResult {
    if !safe {
        return Err(NativeError::Message(message));
    }
    stack.set_top(0);
    stack.push_nil();
    stack.push_str(&message);
    Ok(Return::Values(2))
}

fn one_argument(stack: Stack) -> Result<(), NativeError> {
    if stack.top() == 1 { Ok(()) } else { Err(NativeError::Argument(1, "expected 1 argument".to_owned())) }
}

/// Reads and gives back an optional whole number setting.
fn number_setting(stack: Stack, index: i32, least: f64, most: f64, now: f64) -> Result<f64, NativeError> {
    let mut value = now;
    if !stack.is_nil(index) {
        value = stack.check_number(index)?.trunc();
        if !(least..=most).contains(&value) {
            let range = format!("expected integer between {least} and {most}");
            return Err(NativeError::Argument(index, range));
        }
    }
    Ok(value)
}

/// Reads an optional boolean setting, for which `"on"` and `"off"` may stand.
fn boolean_setting(stack: Stack, index: i32, now: bool) -> Result<bool, NativeError> {
    Ok(match stack.bytes(index) {
        _ if stack.is_nil(index) => now,
        Some(b"on") => true,
        Some(b"off") => false,
        Some(other) => return Err(invalid_option(index, other)),
        None => stack.truth(index),
    })
}

fn invalid_option(index: i32, option: &[u8]) -> NativeError {
    NativeError::Argument(index, format!("invalid option '{}'", String::from_utf8_lossy(option)))
}

fn at_most(stack: Stack, count: c_int) -> Result<(), NativeError> {
    if stack.top() > count {
        return Err(NativeError::Argument(count + 1, "found too many arguments".to_owned()));
    }
    stack.set_top(count);
    Ok(())
}

/// Largest value of settings that are C integers.
const INT_MAX: f64 = 2_147_483_647.0;

native! {
    /// `new(safe) -> cjson table`
    fn new(cx, stack) {
        let safe = stack.truth(1) && stack.top() > 0;
        push_module(stack, safe);
        Ok(Return::Values(1))
    }

    /// `cjson.new() -> cjson table` of the same kind with default settings
    fn new_alike(cx, stack) {
        push_module(stack, settings(stack).safe);
        Ok(Return::Values(1))
    }

    /// `encode(value) -> text`
    fn encode(cx, stack) {
        let settings = *settings(stack);
        one_argument(stack)?;
        let mut buffer = BUFFER.take();
        let result = encode::Encoder { stack, settings: &settings, out: &mut buffer }.value(1, 0);
        if result.is_ok() {
            stack.push_bytes(&buffer);
        }
        if buffer.capacity() <= KEPT {
            buffer.clear();
            BUFFER.set(buffer);
        }
        match result {
            Ok(()) => Ok(Return::Values(1)),
            Err(message) => fail(stack, settings.safe, message),
        }
    }

    /// `decode(text) -> value`
    fn decode(cx, stack) {
        let settings = *settings(stack);
        one_argument(stack)?;
        let mut decoder = decode::Decoder::new(stack, stack.check_bytes(1)?, &settings, true);
        match decoder.document() {
            Ok(()) => Ok(Return::Values(1)),
            Err(message) => fail(stack, settings.safe, message),
        }
    }

    /// `decode_at(text, start) -> value, end`: one value somewhere in a text, null as nil.
    fn decode_at(cx, stack) {
        let text = stack.check_bytes(1)?;
        let start = stack.number(2).unwrap_or(1.0).max(1.0) as usize - 1;
        let settings = Settings::new(false);
        let mut decoder = decode::Decoder::new(stack, text, &settings, false);
        match decoder.value_at(start) {
            Ok(end) => {
                stack.push_int(end as i64 + 1);
                Ok(Return::Values(2))
            }
            Err(message) => fail(stack, false, message),
        }
    }

    /// `encode_sparse_array([convert[, ratio[, safe]]]) -> the three settings`
    fn encode_sparse_array(cx, stack) {
        let settings = settings(stack);
        at_most(stack, 3)?;
        settings.sparse_convert = boolean_setting(stack, 1, settings.sparse_convert)?;
        settings.sparse_ratio = number_setting(stack, 2, 0.0, INT_MAX, settings.sparse_ratio)?;
        settings.sparse_safe = number_setting(stack, 3, 0.0, INT_MAX, settings.sparse_safe)?;
        stack.push_bool(settings.sparse_convert);
        stack.push_number(settings.sparse_ratio);
        stack.push_number(settings.sparse_safe);
        Ok(Return::Values(3))
    }

    /// `encode_max_depth([depth]) -> depth`
    fn encode_max_depth(cx, stack) {
        let settings = settings(stack);
        at_most(stack, 1)?;
        let depth = number_setting(stack, 1, 1.0, INT_MAX, settings.encode_max_depth as f64)?;
        settings.encode_max_depth = depth as usize;
        stack.push_number(depth);
        Ok(Return::Values(1))
    }

    /// `decode_max_depth([depth]) -> depth`
    fn decode_max_depth(cx, stack) {
        let settings = settings(stack);
        at_most(stack, 1)?;
        let depth = number_setting(stack, 1, 1.0, INT_MAX, settings.decode_max_depth as f64)?;
        settings.decode_max_depth = depth as usize;
        stack.push_number(depth);
        Ok(Return::Values(1))
    }

    /// `encode_number_precision([digits]) -> digits`
    fn encode_number_precision(cx, stack) {
        let settings = settings(stack);
        at_most(stack, 1)?;
        let digits = number_setting(stack, 1, 1.0, 17.0, settings.precision as f64)?;
        settings.precision = digits as usize;
        stack.push_number(digits);
        Ok(Return::Values(1))
    }

    /// `encode_keep_buffer([keep]) -> keep`
    fn encode_keep_buffer(cx, stack) {
        let settings = settings(stack);
        at_most(stack, 1)?;
        settings.keep_buffer = boolean_setting(stack, 1, settings.keep_buffer)?;
        stack.push_bool(settings.keep_buffer);
        Ok(Return::Values(1))
    }

    /// `encode_invalid_numbers([true|false|"null"]) -> setting`
    fn encode_invalid_numbers(cx, stack) {
        let settings = settings(stack);
        at_most(stack, 1)?;
        if stack.bytes(1) == Some(b"null") {
            settings.encode_invalid_numbers = InvalidNumbers::Null;
        } else if !stack.is_nil(1) {
            settings.encode_invalid_numbers = match boolean_setting(stack, 1, false)? {
                true => InvalidNumbers::Write,
                false => InvalidNumbers::Refuse,
            };
        }
        match settings.encode_invalid_numbers {
            InvalidNumbers::Null => stack.push_str("null"),
            other => stack.push_bool(other == InvalidNumbers::Write),
        }
        Ok(Return::Values(1))
    }

    /// `decode_invalid_numbers([accept]) -> accept`
    fn decode_invalid_numbers(cx, stack) {
        let settings = settings(stack);
        at_most(stack, 1)?;
        settings.decode_invalid_numbers = boolean_setting(stack, 1, settings.decode_invalid_numbers)?;
        stack.push_bool(settings.decode_invalid_numbers);
        Ok(Return::Values(1))
    }
}
