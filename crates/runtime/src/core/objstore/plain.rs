//! Operations on objects without a handler: each is a transaction of its own. Data are strings.

use std::ffi::CStr;

use mlua::ffi;
use splay_objstore::{Errno, Transaction};

use super::{commit, refuse, shelf};
use crate::native;
use crate::vm::{Ctx, NativeError, NativeResult, Return, Stack};

/// Functions of the module.
pub(super) const FUNCTIONS: [(&CStr, ffi::lua_CFunction); 20] = [
    (c"create", create),
    (c"remove", remove),
    (c"stat", stat),
    (c"read", read),
    (c"write", write),
    (c"write_full", write_full),
    (c"append", append),
    (c"truncate", truncate),
    (c"getxattr", getxattr),
    (c"getxattrs", getxattrs),
    (c"setxattr", setxattr),
    (c"rmxattr", rmxattr),
    (c"map_get_val", map_get_val),
    (c"map_set_val", map_set_val),
    (c"map_get_keys", map_get_keys),
    (c"map_get_vals", map_get_vals),
    (c"map_remove_key", map_remove_key),
    (c"map_clear", map_clear),
    (c"map_read_header", map_read_header),
    (c"map_write_header", map_write_header),
];

/// What an operation fails with.
enum Problem {
    /// The store refuses.
    Errno(Errno),
    /// It was called in a wrong way.
    Misuse(NativeError),
}

impl From<Errno> for Problem {
    fn from(errno: Errno) -> Self {
        Problem::Errno(errno)
    }
}

impl From<NativeError> for Problem {
    fn from(error: NativeError) -> Self {
        Problem::Misuse(error)
    }
}

/// Values that were pushed, for a question; for a change, 0: true is pushed, and the changes as
/// the second result if the last argument says so.
type Answer = Result<i32, Problem>;

fn operate(
    cx: &Ctx,
    stack: Stack,
    ship: i32,
    body: impl FnOnce(&mut Transaction<'_>) -> Answer,
) -> NativeResult {
    let shelf = shelf(stack)?;
    let mut opened = shelf.opened()?;
    let oid = stack.check_bytes(2)?;
    let wall = cx.driver().wall();
    let mut transaction = opened.store.begin(oid, wall);
    let answer = body(&mut transaction);
    let draft = transaction.finish();
    let values = match answer {
        Ok(values) => values,
        Err(Problem::Misuse(error)) => return Err(error),
        Err(Problem::Errno(errno)) => {
            if errno == Errno::ENOSPC {
                opened.ledger.tell(cx);
            }
            return refuse(stack, &errno.message(), errno);
        }
    };
    if values > 0 {
        return Ok(Return::Values(values));
    }
    let ship = ship > 0 && stack.truth(ship);
    stack.push_bool(true);
    let Some(draft) = draft else { return Ok(Return::Values(1)) };
    match commit(cx, &mut opened, draft, ship) {
        Ok((_, Some(changes))) => stack.push_bytes(&changes),
        Ok((_, None)) => return Ok(Return::Values(1)),
        Err((errno, message)) => return refuse(stack, &message, errno),
    }
    Ok(Return::Values(2))
}

fn integer(stack: Stack, index: i32) -> Result<i64, NativeError> {
    let number = stack.check_number(index)?;
    if number.fract() != 0.0 || number.abs() >= 2_f64.powi(53) || number.is_nan() {
        return Err(NativeError::Argument(index, "number has no integer representation".to_owned()));
    }
    Ok(number as i64)
}

fn count(stack: Stack, index: i32) -> Result<usize, NativeError> {
    if stack.is_nil(index) {
        return Ok(usize::MAX);
    }
    Ok(usize::try_from(integer(stack, index)?).unwrap_or(0))
}

fn push_map(stack: Stack, entries: &[(&[u8], &[u8])]) -> Answer {
    stack.new_table(0, entries.len() as i32);
    for (key, value) in entries {
        stack.push_bytes(key);
        stack.push_bytes(value);
        stack.raw_set(-3);
    }
    Ok(1)
}

fn push(stack: Stack, bytes: &[u8]) -> Answer {
    stack.push_bytes(bytes);
    Ok(1)
}

fn done(result: Result<(), Errno>) -> Answer {
    result.map(|()| 0).map_err(Problem::from)
}

native! {
    /// `create(store, oid, exclusive [, ship])`
    fn create(cx, stack) {
        operate(cx, stack, 4, |transaction| done(transaction.create(stack.truth(3))))
    }

    /// `remove(store, oid [, ship])`
    fn remove(cx, stack) {
        operate(cx, stack, 3, |transaction| done(transaction.remove()))
    }

    /// `stat(store, oid) -> size, mtime`
    fn stat(cx, stack) {
        operate(cx, stack, 0, |transaction| {
            let (size, mtime) = transaction.stat()?;
            stack.push_int(size as i64);
            stack.push_int(mtime.as_secs() as i64);
            Ok(2)
        })
    }

    /// `read(store, oid, offset, length) -> string`
    fn read(cx, stack) {
        operate(cx, stack, 0, |transaction| {
            // A missing object is an error here, whatever is asked for.
            transaction.stat()?;
            push(stack, &transaction.read(integer(stack, 3)?, integer(stack, 4)?)?)
        })
    }

    /// `write(store, oid, offset, data [, ship])`
    fn write(cx, stack) {
        operate(cx, stack, 5, |transaction| {
            done(transaction.write(integer(stack, 3)?, stack.check_bytes(4)?))
        })
    }

    /// `write_full(store, oid, data [, ship])`
    fn write_full(cx, stack) {
        operate(cx, stack, 4, |transaction| done(transaction.write_full(stack.check_bytes(3)?)))
    }

    /// `append(store, oid, data [, ship])`
    fn append(cx, stack) {
        operate(cx, stack, 4, |transaction| done(transaction.append(stack.check_bytes(3)?)))
    }

    /// `truncate(store, oid, size [, ship])`
    fn truncate(cx, stack) {
        operate(cx, stack, 4, |transaction| done(transaction.truncate(integer(stack, 3)?)))
    }

    /// `getxattr(store, oid, name) -> string`
    fn getxattr(cx, stack) {
        operate(cx, stack, 0, |transaction| push(stack, transaction.xattr(stack.check_bytes(3)?)?))
    }

    /// `getxattrs(store, oid) -> { name = string }`
    fn getxattrs(cx, stack) {
        operate(cx, stack, 0, |transaction| push_map(stack, &transaction.xattrs()?))
    }

    /// `setxattr(store, oid, name, value [, ship])`
    fn setxattr(cx, stack) {
        operate(cx, stack, 5, |transaction| {
            done(transaction.set_xattr(stack.check_bytes(3)?, stack.check_bytes(4)?))
        })
    }

    /// `rmxattr(store, oid, name [, ship])`
    fn rmxattr(cx, stack) {
        operate(cx, stack, 4, |transaction| done(transaction.remove_xattr(stack.check_bytes(3)?)))
    }

    /// `map_get_val(store, oid, key) -> string`
    fn map_get_val(cx, stack) {
        operate(cx, stack, 0, |transaction| push(stack, transaction.value(stack.check_bytes(3)?)?))
    }

    /// `map_set_val(store, oid, key, value [, ship])`
    fn map_set_val(cx, stack) {
        operate(cx, stack, 5, |transaction| {
            done(transaction.set_value(stack.check_bytes(3)?, stack.check_bytes(4)?))
        })
    }

    /// `map_get_keys(store, oid, after, max) -> { key ... }` in order
    fn map_get_keys(cx, stack) {
        operate(cx, stack, 0, |transaction| {
            let found = transaction.entries(stack.check_bytes(3)?, b"", count(stack, 4)?);
            stack.new_table(found.len() as i32, 0);
            for (index, (key, _)) in (1..).zip(found) {
                stack.push_bytes(key);
                stack.raw_set_index(-2, index);
            }
            Ok(1)
        })
    }

    /// `map_get_vals(store, oid, after, prefix, max) -> { key = string }`
    fn map_get_vals(cx, stack) {
        operate(cx, stack, 0, |transaction| {
            let (after, prefix) = (stack.check_bytes(3)?, stack.check_bytes(4)?);
            push_map(stack, &transaction.entries(after, prefix, count(stack, 5)?))
        })
    }

    /// `map_remove_key(store, oid, key [, ship])`
    fn map_remove_key(cx, stack) {
        operate(cx, stack, 4, |transaction| done(transaction.remove_key(stack.check_bytes(3)?)))
    }

    /// `map_clear(store, oid [, ship])`
    fn map_clear(cx, stack) {
        operate(cx, stack, 3, |transaction| done(transaction.clear_map()))
    }

    /// `map_read_header(store, oid) -> string`
    fn map_read_header(cx, stack) {
        operate(cx, stack, 0, |transaction| push(stack, transaction.header()))
    }

    /// `map_write_header(store, oid, header [, ship])`
    fn map_write_header(cx, stack) {
        operate(cx, stack, 4, |transaction| done(transaction.set_header(stack.check_bytes(3)?)))
    }
}
