//! How results and failures of a remote call are given to the caller.

use crate::codec::benc;
use crate::vm::Stack;

/// Which function was called, and so what it returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// `true, {results}` or `false, error`.
    Acall,
    /// results or `nil, error`.
    Call,
    /// `true, results` or `false, error`: what ecall and proxies are made of.
    Try,
    /// seconds or `nil, error`.
    Ping,
}

/// Text for bytes that are not what they should be.
pub const CORRUPTED: &str = "corrupted message";

/// Pushes what a call that failed returns; the number of values.
pub fn failure(stack: Stack, style: Style, error: &str) -> i32 {
    match style {
        Style::Acall | Style::Try => stack.push_bool(false),
        Style::Call | Style::Ping => stack.push_nil(),
    }
    stack.push_str(error);
    2
}

/// Pushes the results (an encoded list, or a dictionary from position to value); the number of
/// values.
pub fn success(stack: Stack, style: Style, results: &[u8]) -> i32 {
    let first = stack.top() + 1;
    if style != Style::Call {
        stack.push_bool(true);
    }
    // SAFETY: the stack is a live thread's; on an error nothing stays pushed.
    let decoded = unsafe {
        match style {
            Style::Acall => benc::decode(stack.raw(), results).map(|_| ()),
            _ => benc::decode_list_values(stack.raw(), results).map(|_| ()),
        }
    };
    let table = style != Style::Acall || stack.kind(-1) == crate::vm::Kind::Table;
    if decoded.is_err() || !table {
        stack.set_top(first - 1);
        return failure(stack, style, CORRUPTED);
    }
    stack.top() - first + 1
}
