//! The type `bufferlist` of object classes: bytes that grow. They lie in the nested state's own
//! memory, so they count there and go with it.

use std::ffi::CStr;

use mlua::ffi;

use crate::nested;
use crate::vm::nested::Meter;
use crate::vm::{Kind, NativeError, Return, Stack};

/// Name of the metatable in the registry.
const TYPE: &CStr = c"ClsLua.Bufferlist";

/// Address that marks a bufferlist.
static MARK: u8 = 0;

struct BufferList {
    mark: *const u8,
    block: *mut u8,
    length: usize,
    capacity: usize,
}

impl BufferList {
    fn bytes(&self) -> &[u8] {
        match self.length {
            0 => &[],
            // SAFETY: the block holds so many bytes that were written.
            length => unsafe { std::slice::from_raw_parts(self.block, length) },
        }
    }
}

fn at<'a>(stack: Stack, index: i32) -> Option<&'a mut BufferList> {
    if stack.kind(index) != Kind::Userdata || stack.raw_len(index) != size_of::<BufferList>() {
        return None;
    }
    let list = stack.userdata(index).cast::<BufferList>();
    // SAFETY: a full userdata of this size; the mark says whether it is one of ours. It is used only
    // while the value is on the stack, and by one native at a time.
    unsafe { ((*list).mark == &raw const MARK).then(|| &mut *list) }
}

fn check<'a>(stack: Stack, index: i32) -> Result<&'a mut BufferList, NativeError> {
    at(stack, index).ok_or_else(|| stack.wrong_type(index, "ClsLua.Bufferlist"))
}

/// The bytes of a bufferlist argument. Valid while the value stays on the stack and is not changed.
pub(super) fn check_bytes<'a>(stack: Stack, index: i32) -> Result<&'a [u8], NativeError> {
    let list = check(stack, index)?;
    Ok(list.bytes())
}

/// The bytes of a bufferlist, if the value is one.
pub(super) fn bytes<'a>(stack: Stack, index: i32) -> Option<&'a [u8]> {
    let list = at(stack, index)?;
    Some(list.bytes())
}

/// Pushes a new bufferlist with these bytes, and with these behind.
pub(super) fn push(meter: &Meter, stack: Stack, first: &[u8], second: &[u8]) -> Result<(), NativeError> {
    let list = stack.new_userdata(size_of::<BufferList>()).cast::<BufferList>();
    let empty = BufferList { mark: &raw const MARK, block: std::ptr::null_mut(), length: 0, capacity: 0 };
    // SAFETY: a fresh userdata of this size; nothing reads it before it is filled.
    unsafe { list.write(empty) };
    stack.field(ffi::LUA_REGISTRYINDEX, TYPE);
    stack.set_metatable(-2);
    // SAFETY: just made.
    let list = unsafe { &mut *list };
    append(meter, stack, list, first, first.len() + second.len())?;
    append(meter, stack, list, second, second.len())
}

/// Appends bytes, with room for as many as are expected.
fn append(
    meter: &Meter,
    stack: Stack,
    list: &mut BufferList,
    bytes: &[u8],
    expected: usize,
) -> Result<(), NativeError> {
    let needed = list.length + expected.max(bytes.len());
    if needed > list.capacity {
        let capacity = if list.capacity == 0 { needed } else { needed.max(2 * list.capacity) };
        // SAFETY: the block is the list's own, of that capacity.
        list.block = unsafe { meter.reallocate(stack, list.block, list.capacity, capacity)? };
        list.capacity = capacity;
    }
    if !bytes.is_empty() {
        // SAFETY: there is room; `bytes` is no part of this list's block, which has just been moved or
        // is written behind its end.
        unsafe { std::ptr::copy(bytes.as_ptr(), list.block.add(list.length), bytes.len()) };
        list.length += bytes.len();
    }
    Ok(())
}

nested! {
    /// `bufferlist.new() -> bufferlist`, empty.
    fn new(meter, stack) {
        push(meter, stack, &[], &[])?;
        Ok(Return::Values(1))
    }

    /// `list:str() -> string`
    fn str(meter, stack) {
        stack.push_bytes(check_bytes(stack, 1)?);
        Ok(Return::Values(1))
    }

    /// `list:append(string)`
    fn append_string(meter, stack) {
        let list = check(stack, 1)?;
        if stack.kind(2) != Kind::String {
            return Err(stack.wrong_type(2, "string"));
        }
        let bytes = stack.check_bytes(2)?;
        append(meter, stack, list, bytes, bytes.len())?;
        Ok(Return::Values(0))
    }

    /// `#list`, `list:length()`
    fn length(meter, stack) {
        stack.push_int(check(stack, 1)?.length as i64);
        Ok(Return::Values(1))
    }

    fn equal(meter, stack) {
        let (a, b) = (check_bytes(stack, 1)?, check_bytes(stack, 2)?);
        meter.charge(a.len().min(b.len()) / 64)?;
        stack.push_bool(a == b);
        Ok(Return::Values(1))
    }

    fn less(meter, stack) {
        let (a, b) = (check_bytes(stack, 1)?, check_bytes(stack, 2)?);
        meter.charge(a.len().min(b.len()) / 64)?;
        stack.push_bool(a < b);
        Ok(Return::Values(1))
    }

    fn less_or_equal(meter, stack) {
        let (a, b) = (check_bytes(stack, 1)?, check_bytes(stack, 2)?);
        meter.charge(a.len().min(b.len()) / 64)?;
        stack.push_bool(a <= b);
        Ok(Return::Values(1))
    }

    /// `a .. b`: a list of its own.
    fn concatenate(meter, stack) {
        let (a, b) = (check_bytes(stack, 1)?, check_bytes(stack, 2)?);
        push(meter, stack, a, b)?;
        Ok(Return::Values(1))
    }

    fn show(meter, stack) {
        let list = check(stack, 1)?;
        stack.push_str(&format!("ClsLua.Bufferlist: {:p}", list));
        Ok(Return::Values(1))
    }

    fn collect(meter, stack) {
        let list = check(stack, 1)?;
        let (block, capacity) = (list.block, list.capacity);
        (list.block, list.length, list.capacity) = (std::ptr::null_mut(), 0, 0);
        if !block.is_null() {
            // SAFETY: the block was the list's own, and the list has forgotten it.
            unsafe { meter.reallocate(stack, block, capacity, 0)? };
        }
        Ok(Return::Values(0))
    }
}

/// Adds the global `bufferlist`.
pub(super) fn add(stack: Stack) {
    stack.new_table(0, 9);
    stack.add_functions(&[
        (c"__len", length),
        (c"__eq", equal),
        (c"__lt", less),
        (c"__le", less_or_equal),
        (c"__concat", concatenate),
        (c"__tostring", show),
        (c"__gc", collect),
    ]);
    stack.new_table(0, 3);
    stack.add_functions(&[(c"str", str), (c"append", append_string), (c"length", length)]);
    stack.set_field(-2, c"__index");
    stack.set_field(ffi::LUA_REGISTRYINDEX, TYPE);
    stack.new_table(0, 1);
    stack.add_functions(&[(c"new", new)]);
    stack.set_global(c"bufferlist");
}
