//! How a line of Lua may go on, by what exists in an instance. Runs no code of the program: fields
//! are looked up without metamethods, through `__index` tables alone.

use super::ctx::Ctx;
use super::libraries::{is_library, sources};
use super::show::{KEYWORDS, is_name};
use super::stack::{Kind, Stack};
use crate::core::sandbox::offers;
use crate::host::{Completion, Mode};

/// More than this is no help.
const MAX_CANDIDATES: usize = 1000;

/// `__index` tables followed one behind the other.
const MAX_CHAIN: usize = 8;

/// A part of a path before the word that is being typed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Name(String),
    Index(i32),
}

/// What is being typed.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    /// A module's name, inside `require "`.
    Module,
    /// A global name or a keyword.
    Global,
    /// A field of what the steps lead to; a method, after a colon.
    Field { steps: Vec<Step>, method: bool },
}

/// See [`crate::worker::Worker::complete`].
pub(super) fn complete(cx: &Ctx, line: &str) -> Completion {
    let Some((start, target)) = target(line) else { return Completion::default() };
    let prefix = &line[start..];
    let stack = cx.main_stack();
    let before = stack.top();
    let mut found = Vec::new();
    if stack.reserve(16) {
        match &target {
            Target::Module => modules(cx, stack, prefix, &mut found),
            Target::Global => {
                stack.push_value(mlua::ffi::LUA_GLOBALSINDEX);
                fields(stack, prefix, false, &mut found);
                found
                    .extend(KEYWORDS.iter().filter(|word| word.starts_with(prefix)).map(ToString::to_string));
            }
            Target::Field { steps, method } => {
                stack.push_value(mlua::ffi::LUA_GLOBALSINDEX);
                if steps.iter().all(|step| descend(stack, step)) {
                    fields(stack, prefix, *method, &mut found);
                }
            }
        }
    }
    stack.set_top(before);
    found.sort_unstable();
    found.dedup();
    found.truncate(MAX_CANDIDATES);
    Completion { start, candidates: found }
}

fn modules(cx: &Ctx, stack: Stack, prefix: &str, found: &mut Vec<String>) {
    let confined = matches!(cx.mode(), Mode::Sandboxed(_));
    let names = sources().iter().map(|(name, _)| *name);
    let fitting = names.filter(|name| name.starts_with(prefix) && offers(name, confined));
    found.extend(fitting.map(str::to_owned));
    let hidden =
        |name: &str| name.ends_with("_core") || is_library(name.as_bytes()) && !offers(name, confined);
    for table in ["loaded", "preload"] {
        let before = stack.top();
        stack.push_value(mlua::ffi::LUA_GLOBALSINDEX);
        if [name_step("package"), name_step(table)].iter().all(|step| descend(stack, step)) {
            keys(stack, |name, _| {
                if name.starts_with(prefix) && !hidden(name) && found.len() < MAX_CANDIDATES {
                    found.push(name.to_owned());
                }
            });
        }
        stack.set_top(before);
    }
}

fn name_step(name: &str) -> Step {
    Step::Name(name.to_owned())
}

/// Adds the fields of the value on top, and of the tables behind it, that begin so.
fn fields(stack: Stack, prefix: &str, method: bool, found: &mut Vec<String>) {
    for _ in 0..MAX_CHAIN {
        if stack.kind(-1) == Kind::Table {
            keys(stack, |name, kind| {
                let fits = name.starts_with(prefix) && is_name(name) && (!method || kind == Kind::Function);
                if fits && found.len() < MAX_CANDIDATES {
                    found.push(name.to_owned());
                }
            });
        }
        if !index_table(stack) {
            return;
        }
    }
}

/// Tells each string key of the table on top, and the kind of its value.
fn keys(stack: Stack, mut tell: impl FnMut(&str, Kind)) {
    if stack.kind(-1) != Kind::Table {
        return;
    }
    stack.push_nil();
    while stack.next(-2) {
        if stack.kind(-2) == Kind::String
            && let Some(Ok(name)) = stack.bytes(-2).map(std::str::from_utf8)
        {
            tell(name, stack.kind(-1));
        }
        stack.pop(1);
    }
}

/// Puts the `__index` table of the value on top in its place.
fn index_table(stack: Stack) -> bool {
    if !stack.metatable(-1) {
        return false;
    }
    if stack.kind(-1) == Kind::Table {
        stack.push_str("__index");
        stack.raw_get(-2);
        if stack.kind(-1) == Kind::Table {
            stack.remove(-2);
            stack.remove(-2);
            return true;
        }
        stack.pop(1);
    }
    stack.pop(1);
    false
}

/// Puts a field of the value on top in its place; false if there is none.
fn descend(stack: Stack, step: &Step) -> bool {
    for _ in 0..MAX_CHAIN {
        if stack.kind(-1) == Kind::Table {
            match step {
                Step::Name(name) => {
                    stack.push_str(name);
                    stack.raw_get(-2);
                }
                Step::Index(n) => stack.raw_get_index(-1, *n),
            }
            if !stack.is_nil(-1) {
                stack.remove(-2);
                return true;
            }
            stack.pop(1);
        }
        if !index_table(stack) {
            return false;
        }
    }
    false
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// What is being typed at the end of a line, and where its last word begins.
fn target(line: &str) -> Option<(usize, Target)> {
    if let Some(start) = module_name(line) {
        return Some((start, Target::Module));
    }
    let bytes = line.as_bytes();
    let start = word_before(bytes, line.len());
    if bytes.get(start).is_some_and(u8::is_ascii_digit) {
        return None;
    }
    let separator = start.checked_sub(1).map(|at| bytes[at]);
    if !matches!(separator, Some(b'.' | b':')) {
        return Some((start, Target::Global));
    }
    let method = separator == Some(b':');
    let end = start - 1;
    if end > 0 && bytes[end - 1] == bytes[end] {
        // `a .. b`
        return (!method).then_some((start, Target::Global));
    }
    let steps = path_before(line, end)?;
    Some((start, Target::Field { steps, method }))
}

/// Where the word that ends at `end` begins.
fn word_before(bytes: &[u8], end: usize) -> usize {
    end - bytes[..end].iter().rev().take_while(|byte| is_word(**byte)).count()
}

/// The steps of `a.b[1]["c d"]` that end at `end`.
fn path_before(line: &str, mut end: usize) -> Option<Vec<Step>> {
    let bytes = line.as_bytes();
    let mut steps = Vec::new();
    loop {
        if end > 0 && bytes[end - 1] == b']' {
            let open = line[..end].rfind('[')?;
            steps.push(index(line[open + 1..end - 1].trim())?);
            end = open;
            continue;
        }
        let start = word_before(bytes, end);
        if start == end || bytes[start].is_ascii_digit() {
            return None;
        }
        steps.push(Step::Name(line[start..end].to_owned()));
        if start == 0 || bytes[start - 1] != b'.' {
            break;
        }
        if start > 1 && bytes[start - 2] == b'.' {
            break;
        }
        end = start - 1;
    }
    steps.reverse();
    Some(steps)
}

fn index(inner: &str) -> Option<Step> {
    for quote in ['"', '\''] {
        if let Some(key) = inner.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            return (!key.contains([quote, '\\'])).then(|| Step::Name(key.to_owned()));
        }
    }
    inner.parse().ok().map(Step::Index)
}

/// Where the name begins in `require "name`, `require("name` and so on.
fn module_name(line: &str) -> Option<usize> {
    let quote = line.rfind(['"', '\''])?;
    let name = &line[quote + 1..];
    if !name.bytes().all(|byte| is_word(byte) || b".-".contains(&byte)) {
        return None;
    }
    let before = line[..quote].trim_end();
    let before = before.strip_suffix('(').unwrap_or(before).trim_end();
    let rest = before.strip_suffix("require")?;
    (!rest.bytes().next_back().is_some_and(is_word)).then_some(quote + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_being_typed() {
        for (line, start, expected) in [
            ("", 0, Target::Global),
            ("x = pri", 4, Target::Global),
            ("a ..b", 4, Target::Global),
            ("require \"splay.r", 9, Target::Module),
            ("local r = require('", 19, Target::Module),
            ("string.re", 7, Target::Field { steps: vec![name_step("string")], method: false }),
            ("x..a.b", 5, Target::Field { steps: vec![name_step("a")], method: false }),
            ("f(a.b:c", 6, Target::Field { steps: vec![name_step("a"), name_step("b")], method: true }),
            (
                "job.nodes[1][\"x y\"].i",
                20,
                Target::Field {
                    steps: vec![name_step("job"), name_step("nodes"), Step::Index(1), name_step("x y")],
                    method: false,
                },
            ),
        ] {
            assert_eq!(target(line), Some((start, expected)), "{line}");
        }
        for line in ["12", "f().x", "1.5", "(a).b", "a[i].b", "xs::a"] {
            assert_eq!(target(line), None, "{line}");
        }
    }

    #[test]
    fn other_strings_are_no_modules() {
        assert_eq!(module_name("my_require \"a"), None);
        assert_eq!(module_name("require \"a\" .. \"b"), None);
        assert_eq!(module_name("print \"a"), None);
    }
}
