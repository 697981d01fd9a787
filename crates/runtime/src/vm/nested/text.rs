//! `string.find`, `match`, `gmatch` and `gsub` of nested code, over the counting matcher.

use std::ffi::CStr;

use memchr::memmem;
use mlua::ffi;

use super::super::stack::{Kind, NativeError, NativeResult, Return, Stack};
use super::Meter;
use super::pattern::{Capture, Matcher, PatternError};
use crate::nested;

/// What stands in for LuaJIT's.
pub(super) const FUNCTIONS: [(&CStr, ffi::lua_CFunction); 4] =
    [(c"find", find), (c"match", first_match), (c"gmatch", gmatch), (c"gsub", gsub)];

/// Characters that have a meaning in patterns.
const SPECIAL: &[u8] = b"^$*+?.([%-";

fn failure(meter: &Meter, error: PatternError) -> NativeError {
    match error {
        PatternError::Malformed(what) => what.into(),
        PatternError::Spent => match meter.charge(usize::MAX) {
            Err(error) => error,
            Ok(()) => "too many steps".into(),
        },
    }
}

/// Takes what a matcher has used from the meter.
fn settle(meter: &Meter, counted: &mut u64, matcher: &Matcher<'_>) -> Result<(), NativeError> {
    let steps = matcher.steps() - *counted;
    *counted = matcher.steps();
    meter.charge(steps as usize)
}

/// The first match at or after a place: from where to where.
fn search(
    meter: &Meter,
    matcher: &mut Matcher<'_>,
    text: &[u8],
    from: usize,
    anchored: bool,
) -> Result<Option<(usize, usize)>, NativeError> {
    let mut at = from;
    loop {
        let end = matcher.matches_at(at, anchored).map_err(|error| failure(meter, error))?;
        if let Some(end) = end {
            return Ok(Some((at, end)));
        }
        at += 1;
        if anchored || at > text.len() {
            return Ok(None);
        }
    }
}

fn push_capture(stack: Stack, text: &[u8], capture: Capture) {
    match capture {
        Capture::Range(from, to) => stack.push_bytes(&text[from..to]),
        Capture::Position(at) => stack.push_int(at as i64 + 1),
    }
}

/// Pushes the captures of a match, or all of it if there are none and `whole`.
fn push_captures(
    meter: &Meter,
    stack: Stack,
    matcher: &Matcher<'_>,
    text: &[u8],
    whole: Option<(usize, usize)>,
) -> Result<i32, NativeError> {
    let captures = matcher.captures().map_err(|error| failure(meter, error))?;
    stack.reserve(captures.len() as i32 + 1);
    match whole {
        Some((from, to)) if captures.is_empty() => {
            stack.push_bytes(&text[from..to]);
            Ok(1)
        }
        _ => {
            captures.iter().for_each(|capture| push_capture(stack, text, *capture));
            Ok(captures.len() as i32)
        }
    }
}

/// Where a search begins: the third argument, from the end if negative.
fn start(stack: Stack, length: usize) -> Result<usize, NativeError> {
    let init = if stack.is_nil(3) { 1.0 } else { stack.check_number(3)?.trunc() };
    let at = if init < 0.0 { length as f64 + init } else { init - 1.0 };
    Ok((at.max(0.0) as usize).min(length))
}

fn find_or_match(meter: &Meter, stack: Stack, find: bool) -> NativeResult {
    let (text, pattern) = (stack.check_bytes(1)?, stack.check_bytes(2)?);
    let from = start(stack, text.len())?;
    if find && (stack.truth(4) || !pattern.iter().any(|byte| SPECIAL.contains(byte))) {
        meter.charge((text.len() - from) / 16 + pattern.len() / 16)?;
        return match memmem::find(&text[from..], pattern) {
            Some(at) => {
                stack.push_int((from + at) as i64 + 1);
                stack.push_int((from + at + pattern.len()) as i64);
                Ok(Return::Values(2))
            }
            None => {
                stack.push_nil();
                Ok(Return::Values(1))
            }
        };
    }
    let mut matcher = Matcher::new(text, pattern, meter.steps());
    let found = search(meter, &mut matcher, text, from, pattern.first() == Some(&b'^'))?;
    settle(meter, &mut 0, &matcher)?;
    let Some((first, end)) = found else {
        stack.push_nil();
        return Ok(Return::Values(1));
    };
    if find {
        stack.push_int(first as i64 + 1);
        stack.push_int(end as i64);
        let captures = push_captures(meter, stack, &matcher, text, None)?;
        return Ok(Return::Values(captures + 2));
    }
    Ok(Return::Values(push_captures(meter, stack, &matcher, text, Some((first, end)))?))
}

/// Adds what takes the place of a match. The third argument says what.
fn replacement(
    meter: &Meter,
    stack: Stack,
    matcher: &Matcher<'_>,
    text: &[u8],
    (from, to): (usize, usize),
    made: &mut Vec<u8>,
) -> Result<(), NativeError> {
    match stack.kind(3) {
        Kind::String | Kind::Number => {
            let template = stack.check_bytes(3)?;
            let mut bytes = template.iter();
            while let Some(&byte) = bytes.next() {
                if byte != b'%' {
                    made.push(byte);
                    continue;
                }
                match bytes.next() {
                    Some(b'0') => made.extend_from_slice(&text[from..to]),
                    Some(&digit) if digit.is_ascii_digit() => {
                        let capture = matcher.nth(usize::from(digit - b'1'));
                        match capture.map_err(|error| failure(meter, error))? {
                            Some(Capture::Range(from, to)) => made.extend_from_slice(&text[from..to]),
                            Some(Capture::Position(at)) => {
                                made.extend_from_slice((at + 1).to_string().as_bytes());
                            }
                            None if digit == b'1' => {
                                made.extend_from_slice(&text[from..to]);
                            }
                            None => return Err("invalid capture index".into()),
                        }
                    }
                    Some(&other) => made.push(other),
                    None => return Err("invalid use of '%' in replacement string".into()),
                }
            }
            return Ok(());
        }
        Kind::Table => {
            let count = push_captures(meter, stack, matcher, text, Some((from, to)))?;
            stack.pop(count - 1);
            stack.get(3);
        }
        _ => {
            stack.push_value(3);
            let count = push_captures(meter, stack, matcher, text, Some((from, to)))?;
            stack.call(count, 1);
        }
    }
    if !stack.truth(-1) {
        made.extend_from_slice(&text[from..to]);
    } else {
        let kind = stack.type_name(-1);
        match stack.bytes(-1) {
            Some(bytes) => made.extend_from_slice(bytes),
            None => return Err(format!("invalid replacement value (a {kind})").into()),
        }
    }
    stack.pop(1);
    Ok(())
}

nested! {
    /// `find(s, pattern [, init [, plain]]) -> first, last, captures ...`, or nil.
    fn find(meter, stack) {
        find_or_match(meter, stack, true)
    }

    /// `match(s, pattern [, init]) -> captures ...`, or nil.
    fn first_match(meter, stack) {
        find_or_match(meter, stack, false)
    }

    /// One step of `gmatch`: upvalues are text, pattern and where to go on.
    fn gmatch_next(meter, stack) {
        let (text, pattern, place) =
            (ffi::lua_upvalueindex(1), ffi::lua_upvalueindex(2), ffi::lua_upvalueindex(3));
        let (text, pattern) = (stack.check_bytes(text)?, stack.check_bytes(pattern)?);
        let from = stack.check_number(place)? as usize;
        if from > text.len() {
            return Ok(Return::Values(0));
        }
        let mut matcher = Matcher::new(text, pattern, meter.steps());
        let found = search(meter, &mut matcher, text, from, false)?;
        settle(meter, &mut 0, &matcher)?;
        let Some((first, end)) = found else { return Ok(Return::Values(0)) };
        stack.push_int(if end == first { end as i64 + 1 } else { end as i64 });
        stack.replace(place);
        Ok(Return::Values(push_captures(meter, stack, &matcher, text, Some((first, end)))?))
    }

    /// `gmatch(s, pattern) -> iterator` over all matches.
    fn gmatch(meter, stack) {
        let _ = (stack.check_bytes(1)?, stack.check_bytes(2)?);
        stack.set_top(2);
        stack.push_int(0);
        stack.push_closure(gmatch_next, 3);
        Ok(Return::Values(1))
    }

    /// `gsub(s, pattern, replacement [, n]) -> string, count`
    fn gsub(meter, stack) {
        let (text, pattern) = (stack.check_bytes(1)?, stack.check_bytes(2)?);
        if !matches!(stack.kind(3), Kind::String | Kind::Number | Kind::Table | Kind::Function) {
            return Err(stack.wrong_type(3, "string/function/table"));
        }
        let most = if stack.is_nil(4) { f64::INFINITY } else { stack.check_number(4)? };
        let anchored = pattern.first() == Some(&b'^');
        let (mut made, mut at, mut count) = (Vec::new(), 0, 0_u32);
        let mut counted = 0;
        let mut matcher = Matcher::new(text, pattern, meter.steps());
        while f64::from(count) < most {
            let end = matcher.matches_at(at, anchored).map_err(|error| failure(meter, error))?;
            settle(meter, &mut counted, &matcher)?;
            let before = made.len();
            if let Some(end) = end {
                count += 1;
                replacement(meter, stack, &matcher, text, (at, end), &mut made)?;
            }
            match end {
                Some(end) if end > at => at = end,
                _ if at < text.len() => {
                    made.push(text[at]);
                    at += 1;
                }
                _ => break,
            }
            meter.charge((made.len() - before) / 16)?;
            if meter.memory_bytes() > 0 && made.len() > meter.memory_bytes() {
                return Err(meter.out_of_memory());
            }
            if anchored {
                break;
            }
        }
        made.extend_from_slice(text.get(at..).unwrap_or_default());
        stack.push_bytes(&made);
        stack.push_int(i64::from(count));
        Ok(Return::Values(2))
    }
}
