//! `splay.data_bits_core`: sets of bits kept in strings. Bits count from 0, the lowest bit of a
//! byte first.

use crate::native;
use crate::vm::{Module, NativeError, NativeResult, Return, Stack};

use super::function_table;

/// The module.
pub const MODULE: Module = Module {
    name: "splay.data_bits_core",
    open: |_, stack| {
        function_table(
            stack,
            &[
                (c"dnot", dnot),
                (c"dor", dor),
                (c"dand", dand),
                (c"cardinality", cardinality),
                (c"pack", pack),
                (c"unpack", unpack),
                (c"set_bit", set_bit),
                (c"unset_bit", unset_bit),
                (c"get_bit", get_bit),
                (c"from_string", from_string),
            ],
        );
    },
};

/// Longest string made from a number an app gives, in bytes.
const LONGEST: usize = 64 << 20;

const INVALID_POSITION: &str = "invalid position";

fn refuse(stack: Stack, reason: &str) -> NativeResult {
    stack.push_nil();
    stack.push_str(reason);
    Ok(Return::Values(2))
}

fn give(stack: Stack, bytes: &[u8]) -> NativeResult {
    stack.push_bytes(bytes);
    Ok(Return::Values(1))
}

/// The number at `index` if it is whole and not negative.
fn whole(stack: Stack, index: i32) -> Result<Option<usize>, NativeError> {
    let number = stack.check_number(index)?;
    Ok((number >= 0.0 && number.fract() == 0.0 && number < 1e15).then_some(number as usize))
}

fn combine(stack: Stack, operation: fn(u8, u8) -> u8) -> NativeResult {
    let (a, b) = (stack.check_bytes(1)?, stack.check_bytes(2)?);
    if a.len() != b.len() {
        return refuse(stack, "length of strings is not equal");
    }
    let combined: Vec<u8> = a.iter().zip(b).map(|(a, b)| operation(*a, *b)).collect();
    give(stack, &combined)
}

fn change_bit(stack: Stack, change: fn(u8, u8) -> u8) -> NativeResult {
    let mut bytes = stack.check_bytes(1)?.to_vec();
    let position = whole(stack, 2)?;
    match position.and_then(|position| Some((bytes.get_mut(position / 8)?, 1 << (position % 8)))) {
        Some((byte, mask)) => *byte = change(*byte, mask),
        None => return refuse(stack, INVALID_POSITION),
    }
    give(stack, &bytes)
}

native! {
    /// `dnot(s) -> s`: every bit inverted.
    fn dnot(cx, stack) {
        let inverted: Vec<u8> = stack.check_bytes(1)?.iter().map(|byte| !byte).collect();
        give(stack, &inverted)
    }

    /// `dor(a, b) -> s` or nil and a reason.
    fn dor(cx, stack) {
        combine(stack, |a, b| a | b)
    }

    /// `dand(a, b) -> s` or nil and a reason.
    fn dand(cx, stack) {
        combine(stack, |a, b| a & b)
    }

    /// `cardinality(s) -> count` of bits that are set.
    fn cardinality(cx, stack) {
        let count: u64 = stack.check_bytes(1)?.iter().map(|byte| u64::from(byte.count_ones())).sum();
        stack.push_number(count as f64);
        Ok(Return::Values(1))
    }

    /// `pack(s) -> packed`: without the zero bytes at its end.
    fn pack(cx, stack) {
        let bytes = stack.check_bytes(1)?;
        let length = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        give(stack, &bytes[..length])
    }

    /// `unpack(packed, bytes) -> s` of so many bytes, or nil and a reason.
    fn unpack(cx, stack) {
        let mut bytes = stack.check_bytes(1)?.to_vec();
        match whole(stack, 2)? {
            Some(length) if length >= bytes.len() && length <= LONGEST => bytes.resize(length, 0),
            _ => return refuse(stack, "invalid length"),
        }
        give(stack, &bytes)
    }

    /// `set_bit(s, position) -> s` or nil and a reason.
    fn set_bit(cx, stack) {
        change_bit(stack, |byte, mask| byte | mask)
    }

    /// `unset_bit(s, position) -> s` or nil and a reason.
    fn unset_bit(cx, stack) {
        change_bit(stack, |byte, mask| byte & !mask)
    }

    /// `get_bit(s, position) -> 0 or 1`, or nil and a reason.
    fn get_bit(cx, stack) {
        let bytes = stack.check_bytes(1)?;
        let position = whole(stack, 2)?;
        match position.and_then(|position| Some(bytes.get(position / 8)? >> (position % 8) & 1)) {
            Some(bit) => stack.push_int(i64::from(bit)),
            None => return refuse(stack, INVALID_POSITION),
        }
        Ok(Return::Values(1))
    }

    /// `from_string("bits position position ...") -> s` or nil and a reason.
    fn from_string(cx, stack) {
        let text = stack.text(1).ok_or_else(|| stack.wrong_type(1, "string"))?;
        let mut numbers = text.split_ascii_whitespace().map(str::parse::<usize>);
        let bits = match numbers.next() {
            Some(Ok(bits)) if bits <= LONGEST * 8 => bits,
            _ => return refuse(stack, "invalid number of bits"),
        };
        let mut bytes = vec![0; bits.div_ceil(8)];
        for position in numbers {
            match position {
                Ok(position) if position < bits => bytes[position / 8] |= 1 << (position % 8),
                _ => return refuse(stack, INVALID_POSITION),
            }
        }
        give(stack, &bytes)
    }
}
