//! Who runs a file. Most are applications; some are scripts for another command, which know names
//! that no instance does.

use std::borrow::Cow;

use splay_traffic::hooks::Hook;
use splay_traffic::lua::Script;
use splay_traffic::{Error, Options, Stop, Workload};

use super::facts::Facts;
use crate::failure::Failure;

/// Who runs it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    /// An instance.
    #[default]
    Instance,
    /// `splay traffic --script`.
    Traffic,
    /// A store, as the script of an object class.
    Store,
}

/// What classes register their handlers with.
const CLASS: [&str; 2] = ["cls", "objclass"];

/// What hooks know beside the script's own globals: each worker sets it.
const OF_WORKERS: [&str; 1] = ["thread_id"];

impl Host {
    /// Told by what the file registers with.
    pub fn of(facts: &Facts) -> Host {
        let reads = |name: &str| facts.reads.iter().any(|(read, _)| read == name) && !facts.assigns(name);
        let hook =
            |hook: &Hook| ["client", "server"].iter().any(|role| reads(&format!("{role}_{}", hook.name())));
        match () {
            () if Hook::ALL.iter().any(hook) => Host::Traffic,
            () if CLASS.into_iter().any(reads) => Host::Store,
            () => Host::Instance,
        }
    }
}

/// Tells the globals of a script before any test begins.
const NAMES: &[u8] = b"local names = {}
for name in pairs(_G) do names[#names + 1] = name end
error(table.concat(names, '\\n'), 0)";

/// Globals of a script of `splay traffic`.
pub fn traffic_globals() -> Result<Vec<String>, Failure> {
    let stop = Stop::new().map_err(Failure::Worker)?;
    let names = match (Script { name: "names", source: NAMES }).run(&Options::new(Workload::TcpRr), &stop) {
        Err(Error::Hook(names)) => names,
        _ => String::new(),
    };
    Ok(names.lines().chain(OF_WORKERS).map(str::to_owned).collect())
}

/// The source of a script of nbdkit, by its first line: those are written for Lua 5.3.
pub fn is_nbdkit(text: &str) -> bool {
    text.starts_with("#!") && text.lines().next().is_some_and(|line| line.contains("nbdkit"))
}

/// Lua 5.3 as LuaJIT reads it: other operators, as long and with as many operands, stand for those
/// that it has not. What a script calculates is of no concern here, where it does so is.
pub fn as_lua51(text: &str) -> Cow<'_, str> {
    let Some(rest) = text.strip_prefix('#') else { return Cow::Borrowed(text) };
    let (first, code) = rest.split_at(rest.find('\n').unwrap_or(rest.len()));
    let mut made = format!("--{}", first.strip_prefix('!').unwrap_or(first));
    let mut left = code;
    let mut operand = false; // an operand ends before
    while let Some(next) = left.chars().next() {
        let (taken, written) = match next {
            _ if comment_or_text(left) > 0 => {
                let length = comment_or_text(left);
                operand |= !left.starts_with("--");
                (length, None)
            }
            ' ' | '\t' | '\r' | '\n' => (1, None),
            _ if left.starts_with("//") => (2, Some(" /")),
            _ if left.starts_with("<<") || left.starts_with(">>") => (2, Some(" +")),
            _ if left.starts_with("~=") => (2, Some("~=")),
            '&' | '|' => (1, Some("+")),
            '~' if operand => (1, Some("+")),
            '~' => (1, Some("-")),
            _ if next.is_alphanumeric() || next == '_' => {
                let length = left.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(left.len());
                operand =
                    !matches!(&left[..length], "and" | "or" | "not" | "return" | "if" | "while" | "until");
                (length, None)
            }
            _ => {
                operand = matches!(next, ')' | ']' | '}');
                (next.len_utf8(), None)
            }
        };
        if written.is_some() {
            operand = false;
        }
        made.push_str(written.unwrap_or(&left[..taken]));
        left = &left[taken..];
    }
    Cow::Owned(made)
}

/// How long the comment or the text is that begins here, if one does.
fn comment_or_text(code: &str) -> usize {
    let (mark, body) = match code.strip_prefix("--") {
        Some(body) => (2, body),
        None => (0, code),
    };
    if let Some(inner) = body.strip_prefix('[') {
        let level = inner.len() - inner.trim_start_matches('=').len();
        if inner[level..].starts_with('[') {
            let end = format!("]{}]", "=".repeat(level));
            return body.find(&end).map_or(code.len(), |at| mark + at + end.len());
        }
    }
    if mark > 0 {
        return code.find('\n').unwrap_or(code.len());
    }
    let Some(quote @ ('"' | '\'')) = code.chars().next() else { return 0 };
    let mut escaped = false;
    for (at, c) in code.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    code.len()
}
