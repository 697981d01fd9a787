//! `splay.mime_core`: MIME's low-level filters with LuaSocket's conventions. A filter gets what the
//! call before left over and a chunk, returns its output and what it leaves over; without a chunk
//! it finishes, and an output that is empty then is nil.

mod quoted_printable;

use base64::Engine as _;

use super::base64::ENGINE;
use super::function_table;
use crate::native;
use crate::vm::{Module, NativeError, NativeResult, Return, Stack};

/// The module.
pub const MODULE: Module = Module {
    name: "splay.mime_core",
    open: |_, stack| {
        function_table(
            stack,
            &[
                (c"b64", b64),
                (c"unb64", unb64),
                (c"qp", qp),
                (c"unqp", unqp),
                (c"qpwrp", qpwrp),
                (c"wrp", wrp),
                (c"eol", eol),
                (c"dot", dot),
            ],
        );
    },
};

/// MIME's end of a line.
const CRLF: &[u8] = b"\r\n";

/// Characters of a line if the program does not say.
const LINE: f64 = 76.0;

/// Most bytes that a marker of the program's may make of a chunk: Lua does not count them before
/// they are a string.
const LONGEST: usize = 64 << 20;

/// Refuses markers that would make too much of a chunk.
fn check_marker(chunk: &[u8], marker: &[u8]) -> Result<(), NativeError> {
    if marker.len() <= 4 {
        return Ok(());
    }
    let ends = memchr::memchr2_iter(b'\r', b'\n', chunk).count();
    match ends.saturating_mul(marker.len()) > LONGEST {
        true => Err(NativeError::Argument(3, "marker too long".to_owned())),
        false => Ok(()),
    }
}

/// An optional string argument.
fn optional<'a>(stack: Stack, index: i32) -> Result<Option<&'a [u8]>, NativeError> {
    if stack.is_nil(index) { Ok(None) } else { stack.check_bytes(index).map(Some) }
}

/// An optional number argument.
fn number(stack: Stack, index: i32, default: f64) -> Result<i64, NativeError> {
    if stack.is_nil(index) { Ok(default as i64) } else { Ok(stack.check_number(index)? as i64) }
}

fn two_nils(stack: Stack) -> NativeResult {
    stack.push_nil();
    stack.push_nil();
    Ok(Return::Values(2))
}

/// What a filter of bytes does: `convert(input, last)` returns output and what is left over.
fn filter(stack: Stack, convert: impl Fn(&[u8], bool) -> (Vec<u8>, Vec<u8>)) -> NativeResult {
    let Some(left) = optional(stack, 1)? else { return two_nils(stack) };
    let Some(chunk) = optional(stack, 2)? else {
        let (output, _) = convert(left, true);
        if output.is_empty() {
            return two_nils(stack);
        }
        stack.push_bytes(&output);
        stack.push_nil();
        return Ok(Return::Values(2));
    };
    let (output, left) =
        if left.is_empty() { convert(chunk, false) } else { convert(&[left, chunk].concat(), false) };
    stack.push_bytes(&output);
    stack.push_bytes(&left);
    Ok(Return::Values(2))
}

/// Triples of bytes become four characters; the last ones are padded.
fn encode_base64(input: &[u8], last: bool) -> (Vec<u8>, Vec<u8>) {
    let whole = if last { input.len() } else { input.len() - input.len() % 3 };
    (ENGINE.encode(&input[..whole]).into_bytes(), input[whole..].to_vec())
}

/// Characters outside the alphabet do not count; padding ends a group of four, and more may follow.
fn decode_base64(input: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut text: Vec<u8> = input
        .iter()
        .copied()
        .filter(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='))
        .collect();
    let left = text.split_off(text.len() - text.len() % 4);
    let mut output = Vec::with_capacity(text.len() / 4 * 3);
    if !text.contains(&b'=') {
        let _ = ENGINE.decode_vec(&text, &mut output);
        return (output, left);
    }
    for group in text.chunks(4) {
        let bytes = match group {
            [_, _, b'=', _] => 1,
            [_, _, _, b'='] => 2,
            _ => 3,
        };
        // Where padding has no sense it counts as no bits, as in LuaSocket.
        let digits = [0, 1, 2, 3].map(|at| if group[at] == b'=' { b'A' } else { group[at] });
        let _ = ENGINE.decode_vec(digits, &mut output);
        output.truncate(output.len() - (3 - bytes));
    }
    (output, left)
}

/// Breaks lines: `soft` is put at the end of a line that is broken, and `room(byte)` is what a
/// character needs to be put on the line.
fn wrap(stack: Stack, soft: &[u8], room: impl Fn(u8) -> i64) -> NativeResult {
    let mut left = stack.check_number(1)? as i64;
    let chunk = optional(stack, 2)?;
    let length = number(stack, 3, LINE)?;
    let Some(chunk) = chunk else {
        if left < length {
            stack.push_bytes(soft)
        } else {
            stack.push_nil()
        }
        stack.push_int(length);
        return Ok(Return::Values(2));
    };
    let mut output = Vec::with_capacity(chunk.len() + chunk.len() / 32 + 4);
    for &byte in chunk {
        match byte {
            b'\r' => {}
            b'\n' => {
                output.extend_from_slice(CRLF);
                left = length;
            }
            _ => {
                if left < room(byte) {
                    output.extend_from_slice(soft);
                    left = length;
                }
                output.push(byte);
                left -= 1;
            }
        }
    }
    stack.push_bytes(&output);
    stack.push_int(left);
    Ok(Return::Values(2))
}

native! {
    /// `b64(left[, chunk]) -> text, left`
    fn b64(cx, stack) {
        filter(stack, encode_base64)
    }

    /// `unb64(left[, chunk]) -> bytes, left`
    fn unb64(cx, stack) {
        filter(stack, |input, _| decode_base64(input))
    }

    /// `qp(left[, chunk[, marker]]) -> text, left`: line ends become `marker`.
    fn qp(cx, stack) {
        let marker = optional(stack, 3)?.unwrap_or(CRLF);
        for part in [optional(stack, 1)?, optional(stack, 2)?].into_iter().flatten() {
            check_marker(part, marker)?;
        }
        filter(stack, |input, last| quoted_printable::encode(input, last, marker))
    }

    /// `unqp(left[, chunk]) -> bytes, left`
    fn unqp(cx, stack) {
        filter(stack, |input, _| quoted_printable::decode(input))
    }

    /// `wrp(left[, chunk[, length]]) -> text, left`: lines of `length`; `left` characters fit on
    /// the one at hand.
    fn wrp(cx, stack) {
        wrap(stack, CRLF, |_| 1)
    }

    /// `qpwrp(left[, chunk[, length]]) -> text, left`: `wrp` for quoted-printable. The `=` of a
    /// broken line fits on it, and an escape is not torn apart.
    fn qpwrp(cx, stack) {
        wrap(stack, quoted_printable::SOFT_BREAK, |byte| if byte == b'=' { 4 } else { 2 })
    }

    /// `eol(last[, chunk[, marker]]) -> text, last`: every line end becomes `marker`. `last` is the
    /// last byte of the chunk if it may be half a line end, else 0.
    fn eol(cx, stack) {
        let mut last = stack.check_number(1)? as i64;
        let chunk = optional(stack, 2)?;
        let marker = optional(stack, 3)?.unwrap_or(CRLF);
        let Some(chunk) = chunk else {
            stack.push_nil();
            stack.push_int(0);
            return Ok(Return::Values(2));
        };
        check_marker(chunk, marker)?;
        let mut output = Vec::with_capacity(chunk.len());
        for &byte in chunk {
            let is_end = |byte: i64| byte == i64::from(b'\r') || byte == i64::from(b'\n');
            let this = i64::from(byte);
            if !is_end(this) {
                output.push(byte);
                last = 0;
            } else if is_end(last) && this != last {
                // The second half of what was one already.
                last = 0;
            } else {
                output.extend_from_slice(marker);
                last = if is_end(last) { 0 } else { this };
            }
        }
        stack.push_bytes(&output);
        stack.push_int(last);
        Ok(Return::Values(2))
    }

    /// `dot(seen[, chunk]) -> text, seen`: doubles the dots that begin a line. `seen` is how many
    /// characters of CRLF the text so far ends with.
    fn dot(cx, stack) {
        let mut seen = stack.check_number(1)? as i64;
        let Some(chunk) = optional(stack, 2)? else {
            stack.push_nil();
            stack.push_int(2);
            return Ok(Return::Values(2));
        };
        let mut output = Vec::with_capacity(chunk.len() + 8);
        for &byte in chunk {
            output.push(byte);
            seen = match byte {
                b'\r' => 1,
                b'\n' if seen == 1 => 2,
                b'.' if seen == 2 => {
                    output.push(b'.');
                    0
                }
                _ => 0,
            };
        }
        stack.push_bytes(&output);
        stack.push_int(seen);
        Ok(Return::Values(2))
    }
}
