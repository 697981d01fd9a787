//! What a handler calls: the table `objclass`, also called `cls`, whose functions work on the
//! object of the running transaction. All errors but misuse carry a number.

use std::ffi::CStr;

use mlua::ffi;
use splay_objstore::Errno;

use super::bufferlist;
use super::handler::{Line, Run};
use crate::nested;
use crate::vm::nested::Meter;
use crate::vm::{Kind, NativeError, Return, Stack};

/// Level of what is logged without one.
const DEFAULT_LEVEL: i64 = 10;

/// Registry field with the functions that were registered.
pub(super) const REGISTERED: &CStr = c"splay.registered";

/// Numbers that the table has. The last three are not RADOS's.
const ERRORS: [&str; 37] = [
    "EPERM",
    "ENOENT",
    "ESRCH",
    "EINTR",
    "EIO",
    "ENXIO",
    "E2BIG",
    "ENOEXEC",
    "EBADF",
    "ECHILD",
    "EAGAIN",
    "ENOMEM",
    "EACCES",
    "EFAULT",
    "ENOTBLK",
    "EBUSY",
    "EEXIST",
    "EXDEV",
    "ENODEV",
    "ENOTDIR",
    "EISDIR",
    "EINVAL",
    "ENFILE",
    "EMFILE",
    "ENOTTY",
    "ETXTBSY",
    "EFBIG",
    "ENOSPC",
    "ESPIPE",
    "EROFS",
    "EMLINK",
    "EPIPE",
    "EDOM",
    "ERANGE",
    "ENODATA",
    "EOPNOTSUPP",
    "ENOTSUPP",
];

fn run(meter: &Meter) -> &Run<'_> {
    // SAFETY: objclass is part of states that run for a `Run` alone.
    unsafe { meter.host::<Run<'_>>() }
}

/// Raises an error of the store.
fn fail(meter: &Meter, stack: Stack, errno: Errno) -> NativeError {
    meter.coded(stack, errno.0, &errno.message())
}

/// The results of a call, or its error raised.
fn outcome<T>(meter: &Meter, stack: Stack, result: Result<T, Errno>) -> Result<T, NativeError> {
    result.map_err(|errno| fail(meter, stack, errno))
}

fn check_integer(stack: Stack, index: i32) -> Result<i64, NativeError> {
    let number = stack.check_number(index)?;
    if number.fract() != 0.0 || number.abs() >= 2_f64.powi(63) || number.is_nan() {
        return Err(NativeError::Argument(index, "number has no integer representation".to_owned()));
    }
    Ok(number as i64)
}

/// How many entries are asked for; a negative number asks for all, as in RADOS.
fn check_count(stack: Stack, index: i32) -> Result<usize, NativeError> {
    Ok(usize::try_from(check_integer(stack, index)?).unwrap_or(usize::MAX))
}

/// Counts what is copied.
fn copied(meter: &Meter, bytes: usize) -> Result<(), NativeError> {
    meter.charge(bytes / 16)
}

nested! {
    /// `register(f)`: clients may call it.
    fn register(meter, stack) {
        stack.check_function(1)?;
        stack.field(ffi::LUA_REGISTRYINDEX, REGISTERED);
        stack.push_value(1);
        stack.raw_get(-2);
        if stack.truth(-1) {
            return Err("Cannot register handler more than once".into());
        }
        stack.pop(1);
        stack.push_value(1);
        stack.push_bool(true);
        stack.raw_set(-3);
        Ok(Return::Values(0))
    }

    /// `log([level,] ...) -> line`
    fn log(meter, stack) {
        let count = stack.top();
        if count == 0 {
            return Ok(Return::Values(0));
        }
        let level = match stack.number(1) {
            Some(level) if count > 1 && level >= 0.0 => Some(level as i64),
            _ => None,
        };
        let mut text = Vec::new();
        let first = if level.is_some() { 2 } else { 1 };
        for index in first..=count {
            if index > first {
                text.push(b' ');
            }
            match stack.kind(index) {
                Kind::Boolean => text.extend_from_slice(if stack.truth(index) { b"true" } else { b"false" }),
                _ => match stack.bytes(index) {
                    Some(bytes) => {
                        copied(meter, bytes.len())?;
                        text.extend_from_slice(bytes);
                    }
                    None => text.extend_from_slice(stack.type_name(index).as_bytes()),
                },
            }
        }
        stack.push_bytes(&text);
        run(meter).log(meter, Line { level: level.unwrap_or(DEFAULT_LEVEL), text })?;
        Ok(Return::Values(1))
    }

    /// `create([exclusive])`
    fn create(meter, stack) {
        let result = run(meter).transaction().create(stack.truth(1));
        outcome(meter, stack, result)?;
        Ok(Return::Values(0))
    }

    /// `remove()`
    fn remove(meter, stack) {
        let result = run(meter).transaction().remove();
        outcome(meter, stack, result)?;
        Ok(Return::Values(0))
    }

    /// `stat() -> size, mtime`
    fn stat(meter, stack) {
        let result = run(meter).transaction().stat();
        let (size, mtime) = outcome(meter, stack, result)?;
        stack.push_int(size as i64);
        stack.push_int(mtime.as_secs() as i64);
        Ok(Return::Values(2))
    }

    /// `read(offset, length) -> bufferlist`
    fn read(meter, stack) {
        let (offset, length) = (check_integer(stack, 1)?, check_integer(stack, 2)?);
        let transaction = run(meter).transaction();
        let size = transaction.stat().map_or(0, |(size, _)| size);
        let left = size.saturating_sub(u64::try_from(offset).unwrap_or(0)) as usize;
        let expected = if length == 0 { left } else { left.min(usize::try_from(length).unwrap_or(0)) };
        if expected > meter.memory_bytes() {
            return Err(meter.out_of_memory());
        }
        copied(meter, expected)?;
        let result = transaction.read(offset, length);
        drop(transaction);
        let bytes = outcome(meter, stack, result)?;
        bufferlist::push(meter, stack, &bytes, &[])?;
        Ok(Return::Values(1))
    }

    /// `write(offset, length, bufferlist)`
    fn write(meter, stack) {
        let (offset, length) = (check_integer(stack, 1)?, check_integer(stack, 2)?);
        let bytes = bufferlist::check_bytes(stack, 3)?;
        if length != bytes.len() as i64 {
            return Err(fail(meter, stack, Errno::EINVAL));
        }
        copied(meter, bytes.len())?;
        let result = run(meter).transaction().write(offset, bytes);
        outcome(meter, stack, result)?;
        Ok(Return::Values(0))
    }

    /// `write_full(bufferlist)`
    fn write_full(meter, stack) {
        let bytes = bufferlist::check_bytes(stack, 1)?;
        copied(meter, bytes.len())?;
        let result = run(meter).transaction().write_full(bytes);
        outcome(meter, stack, result)?;
        Ok(Return::Values(0))
    }

    /// `getxattr(name) -> bufferlist`
    fn getxattr(meter, stack) {
        let name = stack.check_bytes(1)?;
        let transaction = run(meter).transaction();
        let value = outcome(meter, stack, transaction.xattr(name))?;
        bufferlist::push(meter, stack, value, &[])?;
        Ok(Return::Values(1))
    }

    /// `getxattrs() -> { name = bufferlist }`
    fn getxattrs(meter, stack) {
        let transaction = run(meter).transaction();
        let all = outcome(meter, stack, transaction.xattrs())?;
        push_entries(meter, stack, &all)?;
        Ok(Return::Values(1))
    }

    /// `setxattr(name, bufferlist) -> bufferlist`: its last argument, as RADOS has it.
    fn setxattr(meter, stack) {
        let (name, value) = (stack.check_bytes(1)?, bufferlist::check_bytes(stack, 2)?);
        copied(meter, value.len())?;
        let result = run(meter).transaction().set_xattr(name, value);
        outcome(meter, stack, result)?;
        stack.push_value(stack.top());
        Ok(Return::Values(1))
    }

    /// `map_get_val(key) -> bufferlist`
    fn map_get_val(meter, stack) {
        let key = stack.check_bytes(1)?;
        let transaction = run(meter).transaction();
        let value = outcome(meter, stack, transaction.value(key))?;
        bufferlist::push(meter, stack, value, &[])?;
        Ok(Return::Values(1))
    }

    /// `map_set_val(key, bufferlist)`
    fn map_set_val(meter, stack) {
        let (key, value) = (stack.check_bytes(1)?, bufferlist::check_bytes(stack, 2)?);
        copied(meter, value.len())?;
        let result = run(meter).transaction().set_value(key, value);
        outcome(meter, stack, result)?;
        Ok(Return::Values(0))
    }

    /// `map_set_vals({ key = string })`
    fn map_set_vals(meter, stack) {
        stack.check_table(1)?;
        let mut entries = Vec::new();
        stack.push_nil();
        while stack.next(1) {
            // Not the key itself: `next` needs it as it is.
            stack.push_value(-2);
            let key = match stack.kind(-1) {
                Kind::String | Kind::Number => stack.check_bytes(-1)?.to_vec(),
                _ => {
                    let kind = stack.type_name(-1);
                    let text = format!("map_set_vals: invalid key type ({kind})");
                    return Err(meter.coded(stack, Errno::EINVAL.0, &text));
                }
            };
            if stack.kind(-2) != Kind::String {
                let (kind, key) = (stack.type_name(-2), String::from_utf8_lossy(&key).into_owned());
                let text = format!("map_set_vals: invalid val type ({kind}) for key ({key})");
                return Err(meter.coded(stack, Errno::EINVAL.0, &text));
            }
            let value = stack.check_bytes(-2)?;
            copied(meter, 16 + key.len() + value.len())?;
            entries.push((key, value));
            stack.pop(2);
        }
        // The strings are in the table, which is on the stack.
        for (key, value) in entries {
            let result = run(meter).transaction().set_value(&key, value);
            outcome(meter, stack, result)?;
        }
        Ok(Return::Values(0))
    }

    /// `map_get_keys(after, max) -> { key = true }`
    fn map_get_keys(meter, stack) {
        let (after, max) = (stack.check_bytes(1)?, check_count(stack, 2)?);
        let transaction = run(meter).transaction();
        let found = transaction.entries(after, b"", max);
        stack.new_table(0, found.len().min(1000) as i32);
        for (key, _) in found {
            copied(meter, 16 + key.len())?;
            stack.push_bytes(key);
            stack.push_bool(true);
            stack.raw_set(-3);
        }
        Ok(Return::Values(1))
    }

    /// `map_get_vals(after, prefix, max) -> { key = bufferlist }`
    fn map_get_vals(meter, stack) {
        let (after, prefix, max) = (stack.check_bytes(1)?, stack.check_bytes(2)?, check_count(stack, 3)?);
        let transaction = run(meter).transaction();
        let found = transaction.entries(after, prefix, max);
        push_entries(meter, stack, &found)?;
        Ok(Return::Values(1))
    }

    /// `map_remove_key(key)`
    fn map_remove_key(meter, stack) {
        let result = run(meter).transaction().remove_key(stack.check_bytes(1)?);
        outcome(meter, stack, result)?;
        Ok(Return::Values(0))
    }

    /// `map_clear()`
    fn map_clear(meter, stack) {
        let result = run(meter).transaction().clear_map();
        outcome(meter, stack, result)?;
        Ok(Return::Values(0))
    }

    /// `map_read_header() -> bufferlist`
    fn map_read_header(meter, stack) {
        let transaction = run(meter).transaction();
        bufferlist::push(meter, stack, transaction.header(), &[])?;
        Ok(Return::Values(1))
    }

    /// `map_write_header(bufferlist)`
    fn map_write_header(meter, stack) {
        let header = bufferlist::check_bytes(stack, 1)?;
        copied(meter, header.len())?;
        let result = run(meter).transaction().set_header(header);
        outcome(meter, stack, result)?;
        Ok(Return::Values(0))
    }

    /// `current_version() -> integer`: that of the object when the handler began.
    fn current_version(meter, stack) {
        stack.push_int(run(meter).transaction().version() as i64);
        Ok(Return::Values(1))
    }

    /// `current_subop_num() -> 0`: a request has one operation.
    fn current_subop_num(meter, stack) {
        stack.push_int(0);
        Ok(Return::Values(1))
    }

    /// `current_subop_version() -> "VERSION.0"`
    fn current_subop_version(meter, stack) {
        let version = run(meter).transaction().version();
        stack.push_str(&format!("{version}.0"));
        Ok(Return::Values(1))
    }
}

fn push_entries(meter: &Meter, stack: Stack, entries: &[(&[u8], &[u8])]) -> Result<(), NativeError> {
    stack.new_table(0, entries.len().min(1000) as i32);
    for (key, value) in entries {
        copied(meter, 16 + key.len() + value.len())?;
        stack.push_bytes(key);
        bufferlist::push(meter, stack, value, &[])?;
        stack.raw_set(-3);
    }
    Ok(())
}

const FUNCTIONS: [(&CStr, ffi::lua_CFunction); 22] = [
    (c"register", register),
    (c"log", log),
    (c"create", create),
    (c"remove", remove),
    (c"stat", stat),
    (c"read", read),
    (c"write", write),
    (c"write_full", write_full),
    (c"getxattr", getxattr),
    (c"getxattrs", getxattrs),
    (c"setxattr", setxattr),
    (c"map_get_val", map_get_val),
    (c"map_set_val", map_set_val),
    (c"map_set_vals", map_set_vals),
    (c"map_get_keys", map_get_keys),
    (c"map_get_vals", map_get_vals),
    (c"map_remove_key", map_remove_key),
    (c"map_clear", map_clear),
    (c"map_read_header", map_read_header),
    (c"map_write_header", map_write_header),
    (c"current_version", current_version),
    (c"current_subop_num", current_subop_num),
];

/// Adds the globals of an object class.
pub(super) fn add(stack: Stack) {
    bufferlist::add(stack);
    stack.new_table(0, 0);
    stack.set_field(ffi::LUA_REGISTRYINDEX, REGISTERED);
    stack.new_table(0, (FUNCTIONS.len() + ERRORS.len() + 1) as i32);
    stack.add_functions(&FUNCTIONS);
    stack.add_functions(&[(c"current_subop_version", current_subop_version)]);
    for name in ERRORS {
        // What the first description calls ENOTSUPP is the number of an operation that is not supported.
        let wanted = if name == "ENOTSUPP" { "EOPNOTSUPP" } else { name };
        stack.push_str(name);
        stack.push_int(Errno::from_name(wanted).expect("Linux has that error").0.into());
        stack.raw_set(-3);
    }
    stack.push_value(-1);
    stack.set_global(c"objclass");
    stack.set_global(c"cls");
}
