//! `splay.benc_core`: the codec of [`crate::codec::benc`] for Lua.

use std::cell::Cell;

use crate::codec::benc;
use crate::native;
use crate::vm::{Module, NativeError, Return};

use super::function_table;

/// The module.
pub const MODULE: Module = Module {
    name: "splay.benc_core",
    open: |_, stack| function_table(stack, &[(c"encode", encode), (c"decode", decode)]),
};

/// A buffer kept for the next call is at most this large, in bytes.
const KEPT: usize = 64 * 1024;

thread_local! {
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

native! {
    /// `encode(value) -> bytes`; raises for what has no encoding.
    fn encode(cx, stack) {
        if stack.top() == 0 {
            return Err(NativeError::Argument(1, "value expected".to_owned()));
        }
        let mut buffer = BUFFER.take();
        // SAFETY: the state is live and there is a value at 1.
        let result = unsafe { benc::encode(stack.raw(), 1, &mut buffer) };
        stack.push_bytes(&buffer);
        if buffer.capacity() <= KEPT {
            buffer.clear();
            BUFFER.set(buffer);
        }
        match result {
            Ok(()) => Ok(Return::Values(1)),
            Err(error) => Err(NativeError::Message(error.to_string())),
        }
    }

    /// `decode(bytes) -> value, length`; raises for what is no value.
    fn decode(cx, stack) {
        let data = stack.check_bytes(1)?;
        // SAFETY: the state is live; the bytes stay at 1.
        let used = unsafe { benc::decode(stack.raw(), data) };
        let used = used.map_err(|error| NativeError::Message(format!("corrupted data: {error}")))?;
        stack.push_int(used as i64);
        Ok(Return::Values(2))
    }
}
