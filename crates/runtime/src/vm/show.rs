//! Values as text for people to read: tables with what is in them, to a bounded depth and length.
//! Looks into tables without metamethods; only `__tostring` is called.

use std::cmp::Ordering;
use std::ffi::c_void;

use super::run::push_display_handler;
use super::stack::{Kind, Stack};

/// Tables within tables that are shown.
const DEPTH: usize = 5;

/// Array elements, and separately fields, of a table that are shown.
const ENTRIES: usize = 100;

/// Text after which everything is left out: what a terminal's scrollback still holds.
const MAX_BYTES: usize = 64 * 1024;

/// Text of a string inside a table after which the rest is left out.
const MAX_INNER_BYTES: usize = 400;

/// A table is on one line if it fits into so many columns.
const WIDTH: usize = 88;

/// What stands for something left out.
const LEFT_OUT: &str = "...";

enum Node {
    Leaf(String),
    Table { entries: Vec<(Option<String>, Node)>, more: usize },
}

struct Painter {
    stack: Stack,
    left_bytes: usize,
    /// Tables around the one being shown.
    path: Vec<*const c_void>,
}

/// The value at `index` as text. Strings are quoted. Called inside a running thread: a
/// `__tostring` may run for long or raise an error.
pub(super) fn show(stack: Stack, index: i32) -> String {
    let mut painter = Painter { stack, left_bytes: MAX_BYTES, path: Vec::new() };
    let node = painter.node(stack.absolute(index), MAX_BYTES);
    let mut text = String::new();
    lay_out(&node, 0, 0, &mut text);
    text
}

impl Painter {
    fn leaf(&mut self, text: String) -> Node {
        self.left_bytes = self.left_bytes.saturating_sub(text.len() + 2);
        Node::Leaf(text)
    }

    fn node(&mut self, index: i32, max_string_bytes: usize) -> Node {
        if self.left_bytes == 0 || !self.stack.reserve(8) {
            return Node::Leaf(LEFT_OUT.to_owned());
        }
        let text = match self.stack.kind(index) {
            Kind::None | Kind::Nil => "nil".to_owned(),
            Kind::Boolean => self.stack.truth(index).to_string(),
            Kind::Number => self.number(index),
            Kind::String => quoted(self.stack.bytes(index).unwrap_or_default(), max_string_bytes),
            Kind::Function => match self.stack.definition(index) {
                Some((source, line)) => format!("function <{source}:{line}>"),
                None => format!("function: {:p}", self.stack.pointer(index)),
            },
            Kind::LightUserdata => format!("userdata: {:p}", self.stack.userdata(index)),
            Kind::Userdata | Kind::Thread => self.display(index).unwrap_or_else(|| {
                format!("{}: {:p}", self.stack.type_name(index), self.stack.pointer(index))
            }),
            Kind::Table => match self.display(index) {
                Some(text) => text,
                None => return self.table(index),
            },
        };
        self.leaf(text)
    }

    /// A number as `tostring` gives it. The value itself stays a number.
    fn number(&self, index: i32) -> String {
        self.stack.push_value(index);
        let text = self.stack.text(-1).unwrap_or_default();
        self.stack.pop(1);
        text
    }

    /// What its `__tostring` makes of a value, if it has one that works.
    fn display(&self, index: i32) -> Option<String> {
        let stack = self.stack;
        let before = stack.top();
        stack.push_value(index);
        let mut text = None;
        if push_display_handler(stack) {
            stack.push_value(-2);
            if stack.protected_call(1, 1, 0) && stack.kind(-1) == Kind::String {
                text = stack.text(-1);
            }
        }
        stack.set_top(before);
        text
    }

    fn table(&mut self, index: i32) -> Node {
        let stack = self.stack;
        let identity = stack.pointer(index);
        if self.path.contains(&identity) {
            return self.leaf("<cycle>".to_owned());
        }
        if self.path.len() >= DEPTH {
            stack.push_nil();
            let filled = stack.next(index);
            if filled {
                stack.pop(2);
            }
            return self.leaf(if filled { "{...}" } else { "{}" }.to_owned());
        }
        self.path.push(identity);
        let length = stack.raw_len(index);
        let mut entries = Vec::new();
        for n in 1..=length.min(ENTRIES) {
            if self.left_bytes == 0 {
                break;
            }
            stack.raw_get_index(index, n as i32);
            entries.push((None, self.node(stack.top(), MAX_INNER_BYTES)));
            stack.pop(1);
        }
        let mut more = length - entries.len();
        more += self.fields(index, length, &mut entries);
        self.path.pop();
        self.left_bytes = self.left_bytes.saturating_sub(2);
        Node::Table { entries, more }
    }

    /// Adds what is not in the array part, in the order of the keys; returns how many are left out.
    fn fields(&mut self, index: i32, length: usize, entries: &mut Vec<(Option<String>, Node)>) -> usize {
        let stack = self.stack;
        let mut fields: Vec<(Option<f64>, String, Node)> = Vec::new();
        let mut more = 0;
        stack.push_nil();
        while stack.next(index) {
            let key = stack.top() - 1;
            let number = (stack.kind(key) == Kind::Number).then(|| stack.number(key)).flatten();
            let in_array = number.is_some_and(|n| n.fract() == 0.0 && n >= 1.0 && n <= length as f64);
            if !in_array {
                if fields.len() < ENTRIES && self.left_bytes > 0 {
                    let name = self.key(key);
                    self.left_bytes = self.left_bytes.saturating_sub(name.len() + 3);
                    fields.push((number, name, self.node(stack.top(), MAX_INNER_BYTES)));
                } else {
                    more += 1;
                }
            }
            stack.pop(1);
        }
        // Numbers in their order, then names in theirs.
        fields.sort_by(|(a, a_name, _), (b, b_name, _)| match (a, b) {
            (Some(a), Some(b)) => a.total_cmp(b),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => a_name.cmp(b_name),
        });
        entries.extend(fields.into_iter().map(|(_, name, node)| (Some(name), node)));
        more
    }

    fn key(&mut self, index: i32) -> String {
        match self.stack.kind(index) {
            Kind::String => {
                let bytes = self.stack.bytes(index).unwrap_or_default();
                match std::str::from_utf8(bytes) {
                    Ok(name) if is_name(name) => name.to_owned(),
                    _ => format!("[{}]", quoted(bytes, MAX_INNER_BYTES)),
                }
            }
            Kind::Table if self.display(index).is_none() => {
                format!("[table: {:p}]", self.stack.pointer(index))
            }
            _ => match self.node(index, MAX_INNER_BYTES) {
                Node::Leaf(text) => format!("[{text}]"),
                Node::Table { .. } => unreachable!("tables are treated above"),
            },
        }
    }
}

/// Writes a node that begins at `column` and whose lines are indented by `indent`.
fn lay_out(node: &Node, indent: usize, column: usize, text: &mut String) {
    let Node::Table { entries, more } = node else {
        return flat(node, text);
    };
    let before = text.len();
    flat(node, text);
    let line = &text[before..];
    if !line.contains('\n') && column + line.chars().count() <= WIDTH {
        return;
    }
    text.truncate(before);
    text.push_str("{\n");
    for (name, value) in entries {
        let inner = indent + 2;
        let start = text.len();
        text.extend(std::iter::repeat_n(' ', inner));
        if let Some(name) = name {
            text.push_str(name);
            text.push_str(" = ");
        }
        let column = text[start..].chars().count() + 1;
        lay_out(value, inner, column, text);
        text.push_str(",\n");
    }
    if *more > 0 {
        text.push_str(&format!("{:1$}{LEFT_OUT} {more} more\n", "", indent + 2));
    }
    text.extend(std::iter::repeat_n(' ', indent));
    text.push('}');
}

/// Writes a node on one line.
fn flat(node: &Node, text: &mut String) {
    match node {
        Node::Leaf(leaf) => text.push_str(leaf),
        Node::Table { entries, more } => {
            text.push('{');
            for (n, (name, value)) in entries.iter().enumerate() {
                if n > 0 {
                    text.push_str(", ");
                }
                if let Some(name) = name {
                    text.push_str(name);
                    text.push_str(" = ");
                }
                flat(value, text);
            }
            if *more > 0 {
                let comma = if entries.is_empty() { "" } else { ", " };
                text.push_str(&format!("{comma}{LEFT_OUT} {more} more"));
            }
            text.push('}');
        }
    }
}

/// A string as Lua reads it; text stays text, other bytes become escapes.
fn quoted(bytes: &[u8], max_bytes: usize) -> String {
    let shown = &bytes[..bytes.len().min(max_bytes)];
    let mut text = String::with_capacity(shown.len() + 2);
    text.push('"');
    for chunk in shown.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' => text.push_str("\\\""),
                '\\' => text.push_str("\\\\"),
                '\n' => text.push_str("\\n"),
                '\r' => text.push_str("\\r"),
                '\t' => text.push_str("\\t"),
                c if c.is_control() => {
                    c.encode_utf8(&mut [0; 4])
                        .bytes()
                        .for_each(|byte| text.push_str(&format!("\\{byte:03}")));
                }
                c => text.push(c),
            }
        }
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("\\{byte:03}")));
    }
    text.push('"');
    if bytes.len() > shown.len() {
        text.push_str(&format!("{LEFT_OUT} ({} bytes)", bytes.len()));
    }
    text
}

/// Lua's keywords.
pub(super) const KEYWORDS: [&str; 21] = [
    "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "if", "in", "local", "nil",
    "not", "or", "repeat", "return", "then", "true", "until", "while",
];

/// Whether a string can be written as a field, `t.name`.
pub(super) fn is_name(text: &str) -> bool {
    let first = text.bytes().next();
    first.is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !KEYWORDS.contains(&text)
}

#[cfg(test)]
mod tests {
    use super::super::state::open_heap;
    use super::*;

    fn shown(expression: &str) -> String {
        let heap = open_heap(false, false).unwrap();
        // SAFETY: the state lives until the end of this function.
        let stack = unsafe { Stack::from_raw(heap.state()) };
        assert!(stack.load(expression.as_bytes(), c"=test") && stack.protected_call(0, 1, 0), "{expression}");
        show(stack, -1)
    }

    #[test]
    fn values_are_readable() {
        for (expression, text) in [
            ("nil", "nil"),
            ("2^53", "9.007199254741e+15"),
            ("0.1", "0.1"),
            (r#""a\n\"b\" \0 \255 é""#, r#""a\n\"b\" \000 \255 é""#),
            ("{}", "{}"),
            ("{1, 'two', {3}}", r#"{1, "two", {3}}"#),
            (
                "{b = 1, a = 2, [0] = 3, ['x y'] = 4, ['end'] = 5}",
                r#"{[0] = 3, ["end"] = 5, ["x y"] = 4, a = 2, b = 1}"#,
            ),
            ("{{{{{{1}}}}}}", "{{{{{{...}}}}}}"),
            ("{{{{{{}}}}}}", "{{{{{{}}}}}}"),
            ("setmetatable({}, {__tostring = function() return 'me' end})", "me"),
            ("setmetatable({1}, {__tostring = function() error('no') end})", "{1}"),
            ("setmetatable({1}, {__index = error, __len = error, __metatable = false})", "{1}"),
            ("function() end", "function <test:1>"),
        ] {
            assert_eq!(shown(&format!("return {expression}")), text, "{expression}");
        }
        assert!(shown("return print").starts_with("function: "));
    }

    #[test]
    fn cycles_end() {
        assert_eq!(shown("local t = {1} t[2] = t t.me = {t} return t"), "{1, <cycle>, me = {<cycle>}}");
        assert_eq!(shown("local a = {} return {a, a}"), "{{}, {}}");
    }

    #[test]
    fn long_tables_take_lines() {
        let text = shown("return {name = ('x'):rep(60), list = {1, 2, 3}, inner = {text = ('y'):rep(90)}}");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0..3], ["{", "  inner = {", &format!("    text = \"{}\",", "y".repeat(90))]);
        assert_eq!(
            lines[3..6],
            ["  },", "  list = {1, 2, 3},", &format!("  name = \"{}\",", "x".repeat(60))]
        );
        assert_eq!(lines[6], "}");
    }

    #[test]
    fn what_is_shown_is_bounded() {
        let text = shown("local t = {} for i = 1, 1e5 do t[i] = i end return t");
        assert!(text.ends_with("  100,\n  ... 99900 more\n}"), "{text}");
        let text = shown("local t = {} for i = 1, 300 do t['k' .. i] = ('z'):rep(1e5) end return t");
        assert!(text.contains("... (100000 bytes)") && text.contains("200 more"), "{text}");
        assert!(text.len() < 2 * MAX_BYTES, "{}", text.len());
        let wide = "local t = {} for i = 1, 99 do local u = {} for j = 1, 99 do u[j] = {1, {2, {3}}} end \
                    t[i] = u end return t";
        assert!(shown(wide).len() < 8 * MAX_BYTES);
    }
}
