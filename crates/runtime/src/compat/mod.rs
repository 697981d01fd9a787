//! Makes Lua 5.1 source acceptable to LuaJIT, byte for byte where nothing needs changing and
//! always with the same line numbers.
//!
//! - The text of a `#!` first line is dropped.
//! - A backslash before a character that starts no escape is dropped (`"\."` is `"."` in 5.1).
//! - A function with `...` that names `arg` and never `...` gets 5.1's implicit table:
//!   `local arg={n=select('#',...),...};`, with a `select` saved in a local at the start of a program
//!   that declares another one. The main chunk never does: `arg` is the command line.
//!
//! What cannot be parsed is left for LuaJIT to complain about.

mod lexer;
pub(crate) mod lua53;
mod scope;

use std::borrow::Cow;

use memchr::memmem;

/// One replacement: `removed` bytes at `at` become `inserted`.
#[derive(Debug, PartialEq, Eq)]
struct Edit {
    at: usize,
    removed: usize,
    inserted: &'static str,
}

/// The source LuaJIT should compile in place of `source`.
pub fn prepare(source: &[u8]) -> Cow<'_, [u8]> {
    if source.first() == Some(&0x1b) {
        return Cow::Borrowed(source);
    }
    let first_line = match source.first() {
        Some(b'#') => memchr::memchr2(b'\n', b'\r', source).unwrap_or(source.len()),
        _ => 0,
    };
    let code = &source[first_line..];
    let may_escape = memchr::memchr(b'\\', code).is_some();
    let may_need_arg = memmem::find(code, b"...").is_some() && memmem::find(code, b"arg").is_some();
    if !may_escape && !may_need_arg {
        return Cow::Borrowed(code);
    }

    let mut edits = Vec::new();
    if may_escape {
        edits = lexer::stray_backslashes(code);
    }
    if may_need_arg {
        edits.extend(scope::implicit_arg(code));
    }
    if edits.is_empty() {
        return Cow::Borrowed(code);
    }
    edits.sort_unstable_by_key(|edit| edit.at);
    let mut prepared = Vec::with_capacity(code.len() + edits.len() * 40);
    let mut copied = 0;
    for edit in edits {
        prepared.extend_from_slice(&code[copied..edit.at]);
        prepared.extend_from_slice(edit.inserted.as_bytes());
        copied = edit.at + edit.removed;
    }
    prepared.extend_from_slice(&code[copied..]);
    Cow::Owned(prepared)
}

#[cfg(test)]
mod tests;
