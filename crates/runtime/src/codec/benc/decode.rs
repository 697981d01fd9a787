//! Bencode to Lua values. Holds nothing but slices across calls that may raise a Lua error.

use std::os::raw::c_int;

use mlua::ffi::{self, lua_State};

use super::reader::Cursor;
use super::{DecodeError, MAX_DEPTH, MAX_VALUES};

/// Decodes the value `data` starts with, pushes it and returns its length in bytes; on error
/// the stack is as before. Bytes behind the value are ignored.
///
/// # Safety
/// `l` is a live Lua state; out of memory raises a Lua error.
pub unsafe fn decode(l: *mut lua_State, data: &[u8]) -> Result<usize, DecodeError> {
    // SAFETY: `l` is live; the top only shrinks back to what it was.
    unsafe {
        let top = ffi::lua_gettop(l);
        let mut cursor = Cursor { data, offset: 0 };
        if ffi::lua_checkstack(l, 4) == 0 {
            return Err(DecodeError::TooManyValues);
        }
        match value(l, &mut cursor, 0) {
            Ok(()) => Ok(cursor.offset),
            Err(error) => {
                ffi::lua_settop(l, top);
                Err(error)
            }
        }
    }
}

/// Decodes the table written by [`super::encode_range`] and pushes its elements one by one, nils
/// included. Returns the length in bytes and how many values were pushed.
///
/// # Safety
/// As [`decode`].
pub unsafe fn decode_list_values(l: *mut lua_State, data: &[u8]) -> Result<(usize, c_int), DecodeError> {
    // SAFETY: forwarded.
    unsafe { decode_list_values_from(l, data, 0) }
}

/// As [`decode_list_values`] without the first `passed` elements.
///
/// # Safety
/// As [`decode`].
pub unsafe fn decode_list_values_from(
    l: *mut lua_State,
    data: &[u8],
    passed: usize,
) -> Result<(usize, c_int), DecodeError> {
    // SAFETY: `l` is live; the top only shrinks back to what it was.
    unsafe {
        let top = ffi::lua_gettop(l);
        let mut cursor = Cursor { data, offset: 1 };
        let pushed = match data.first() {
            Some(b'l') => list_values(l, &mut cursor, passed),
            Some(b'd') => sparse_values(l, &mut cursor, passed),
            _ => Err(Cursor { data, offset: 0 }.unexpected()),
        };
        match pushed {
            Ok(()) => Ok((cursor.offset, ffi::lua_gettop(l) - top)),
            Err(error) => {
                ffi::lua_settop(l, top);
                Err(error)
            }
        }
    }
}

/// # Safety
/// As [`decode`]; the cursor is behind the `l`.
unsafe fn list_values(l: *mut lua_State, cursor: &mut Cursor, passed: usize) -> Result<(), DecodeError> {
    let mut index = 0;
    while cursor.peek()? != b'e' {
        if index < passed {
            cursor.skip_value()?;
        } else {
            // SAFETY: every eighth value makes room for eight and the four slots `value` needs.
            unsafe {
                if (index - passed).is_multiple_of(8)
                    && (index - passed >= MAX_VALUES || ffi::lua_checkstack(l, 12) == 0)
                {
                    return Err(DecodeError::TooManyValues);
                }
                value(l, cursor, 1)?;
            }
        }
        index += 1;
    }
    cursor.offset += 1;
    Ok(())
}

/// # Safety
/// As [`decode`]; the cursor is behind the `d`.
unsafe fn sparse_values(l: *mut lua_State, cursor: &mut Cursor, passed: usize) -> Result<(), DecodeError> {
    let mut count = 0;
    let mut scout = cursor.clone();
    while scout.peek()? != b'e' {
        count = count.max(position(&mut scout)?);
        scout.skip_value()?;
    }
    let count = c_int::try_from(count.saturating_sub(passed)).expect("positions are bounded");
    // SAFETY: room for all values and the four slots `value` needs is made first.
    unsafe {
        if ffi::lua_checkstack(l, count + 4) == 0 {
            return Err(DecodeError::TooManyValues);
        }
        let top = ffi::lua_gettop(l);
        ffi::lua_settop(l, top + count);
        while cursor.peek()? != b'e' {
            let index = position(cursor)?;
            if index > passed {
                value(l, cursor, 1)?;
                ffi::lua_replace(l, top + c_int::try_from(index - passed).expect("positions are bounded"));
            } else {
                cursor.skip_value()?;
            }
        }
    }
    cursor.offset += 1;
    Ok(())
}

/// Reads a key that is a position: 1 to [`MAX_VALUES`].
fn position(cursor: &mut Cursor) -> Result<usize, DecodeError> {
    let offset = cursor.offset;
    if cursor.peek()? != b'i' {
        return Err(DecodeError::BadKey { offset });
    }
    let number = cursor.number()?;
    if number.fract() != 0.0 || number < 1.0 {
        return Err(DecodeError::BadKey { offset });
    }
    if number > MAX_VALUES as f64 {
        return Err(DecodeError::TooManyValues);
    }
    Ok(number as usize)
}

/// Pushes the value at the cursor.
///
/// # Safety
/// As [`decode`], and the stack has room for four more values.
unsafe fn value(l: *mut lua_State, cursor: &mut Cursor, depth: usize) -> Result<(), DecodeError> {
    // SAFETY: one value is pushed; tables make room for what is pushed above them.
    unsafe {
        match cursor.peek()? {
            b'0'..=b'9' => {
                let text = cursor.string()?;
                ffi::lua_pushlstring_(l, text.as_ptr().cast(), text.len());
            }
            b'i' => ffi::lua_pushnumber(l, cursor.number()?),
            open @ (b'l' | b'd') => {
                if depth >= MAX_DEPTH {
                    return Err(DecodeError::TooDeep);
                }
                if depth % 4 <= 1 && ffi::lua_checkstack(l, 16) == 0 {
                    return Err(DecodeError::TooManyValues);
                }
                cursor.offset += 1;
                return if open == b'l' { list(l, cursor, depth) } else { dictionary(l, cursor, depth) };
            }
            byte @ (b't' | b'f') => {
                ffi::lua_pushboolean(l, c_int::from(byte == b't'));
                cursor.offset += 1;
            }
            b'n' => {
                ffi::lua_pushnil(l);
                cursor.offset += 1;
            }
            _ => return Err(cursor.unexpected()),
        }
    }
    Ok(())
}

/// # Safety
/// As [`value`]; the cursor is behind the `l`.
unsafe fn list(l: *mut lua_State, cursor: &mut Cursor, depth: usize) -> Result<(), DecodeError> {
    // SAFETY: the table is at -1, then at -2 below an item.
    unsafe {
        ffi::lua_createtable(l, items_ahead(cursor), 0);
        let mut index = 0;
        loop {
            match cursor.peek()? {
                b'e' => break,
                b'n' => cursor.offset += 1,
                _ => {
                    value(l, cursor, depth + 1)?;
                    index += 1;
                    ffi::lua_rawseti_(l, -2, index);
                }
            }
        }
    }
    cursor.offset += 1;
    Ok(())
}

/// # Safety
/// As [`value`]; the cursor is behind the `d`.
unsafe fn dictionary(l: *mut lua_State, cursor: &mut Cursor, depth: usize) -> Result<(), DecodeError> {
    // SAFETY: the table is at -1, then at -3 below a key and its value.
    unsafe {
        // Positions belong into a table's array part, which grows by itself.
        let presize = if cursor.peek()? == b'i' { 0 } else { items_ahead(cursor) / 2 };
        ffi::lua_createtable(l, 0, presize);
        loop {
            let offset = cursor.offset;
            match cursor.peek()? {
                b'e' => break,
                b'n' => return Err(DecodeError::BadKey { offset }),
                b'i' => {
                    let number = cursor.number()?;
                    if number.is_nan() {
                        return Err(DecodeError::BadKey { offset });
                    }
                    ffi::lua_pushnumber(l, number);
                }
                _ => value(l, cursor, depth + 1)?,
            }
            match cursor.peek()? {
                b'e' => return Err(cursor.unexpected()),
                b'n' => {
                    cursor.offset += 1;
                    ffi::lua_settop(l, -2);
                }
                _ => {
                    value(l, cursor, depth + 1)?;
                    ffi::lua_rawset(l, -3);
                }
            }
        }
    }
    cursor.offset += 1;
    Ok(())
}

/// How many items are ahead in the table at the cursor: a size to create it with. Counts what is
/// there, never what a length claims; looks only a little way into nested tables.
fn items_ahead(cursor: &Cursor) -> c_int {
    /// Bytes of nested tables that may be looked at.
    const NESTED: usize = 256;
    /// Larger tables grow by themselves.
    const MOST: c_int = 1 << 16;
    let mut ahead = cursor.clone();
    let mut budget = NESTED;
    let mut count = 0;
    while count < MOST {
        let skipped = match ahead.peek() {
            Ok(b'0'..=b'9') => ahead.string().map(drop),
            Ok(b'i') => ahead.number().map(drop),
            Ok(b't' | b'f' | b'n') => {
                ahead.offset += 1;
                Ok(())
            }
            Ok(b'l' | b'd') => {
                let start = ahead.offset;
                let end = ahead.data.len().min(start + budget);
                let mut nested = Cursor { data: &ahead.data[..end], offset: start };
                nested.skip_value().map(|()| {
                    budget -= nested.offset - start;
                    ahead.offset = nested.offset;
                })
            }
            _ => break,
        };
        if skipped.is_err() {
            break;
        }
        count += 1;
    }
    count
}
