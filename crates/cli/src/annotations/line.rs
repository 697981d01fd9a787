//! One line of Lua or of an annotation: names, parameters and types.

use super::Value;

/// What a line of code gives a module or a type.
#[derive(Debug, PartialEq, Eq)]
pub struct Declaration {
    /// Without the table of the module: `sleep`, `source.string`; a method is `Class:name`.
    pub name: String,
    /// Names of the parameters; `None`: not known to be a function.
    pub parameters: Option<Vec<String>>,
    /// The value, where it is a number, a text, true or false.
    pub literal: Option<String>,
}

/// `function M.name(a, b)`, `M.name = ...`, or `name = ...,` in a table.
pub fn declaration(line: &str) -> Option<Declaration> {
    if let Some(rest) = line.strip_prefix("function ") {
        let (path, rest) = rest.split_once('(')?;
        let (parameters, _) = rest.split_once(')')?;
        return Some(Declaration {
            name: local_name(path),
            parameters: Some(list(parameters)),
            literal: None,
        });
    }
    let (name, value) = line.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    if !is_path(name) || value.starts_with('=') {
        return None;
    }
    let parameters = value.strip_prefix("function").and_then(|rest| {
        let (parameters, _) = rest.trim_start().strip_prefix('(')?.split_once(')')?;
        Some(list(parameters))
    });
    Some(Declaration { name: local_name(name), parameters, literal: literal(value) })
}

/// Names that a line makes the same as others: `M.a, M.b = M.c, M.d` gives (a, c) and (b, d).
pub fn same_names(line: &str) -> Vec<(String, String)> {
    let Some((names, values)) = line.split_once(" = ") else { return Vec::new() };
    let values = values.split(" -- ").next().unwrap_or_default();
    let parts = |text: &str| text.split(',').map(|part| part.trim().to_owned()).collect::<Vec<_>>();
    let (names, values) = (parts(names), parts(values));
    let of_table = |path: &String| {
        is_path(path) && path.contains('.') && path.starts_with(|c: char| c.is_ascii_uppercase())
    };
    if names.len() != values.len() || !names.iter().chain(&values).all(of_table) {
        return Vec::new();
    }
    let pairs = names.iter().zip(&values).map(|(name, value)| (local_name(name), local_name(value)));
    pairs.filter(|(name, value)| name != value).collect()
}

/// The variable of `local NAME = ...` and `local NAME, OTHER = ...`.
pub fn local_variable(line: &str) -> Option<&str> {
    let (names, _) = line.strip_prefix("local ")?.split_once('=')?;
    names.split(',').next().map(str::trim).filter(|name| is_path(name))
}

fn is_path(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_.".contains(c))
}

fn literal(value: &str) -> Option<String> {
    let value = value.trim_end_matches(',');
    let plain = value.parse::<f64>().is_ok()
        || ["true", "false"].contains(&value)
        || (value.len() > 1 && value.starts_with('"') && value.ends_with('"'));
    plain.then(|| value.to_owned())
}

/// Without the module's own table, `M`; what belongs to another table with a capital is a method.
fn local_name(path: &str) -> String {
    match path.split_once('.') {
        Some(("M", name)) => name.to_owned(),
        Some((class, name)) if class.starts_with(|c: char| c.is_ascii_uppercase()) => {
            format!("{class}:{name}")
        }
        _ => path.to_owned(),
    }
}

fn list(parameters: &str) -> Vec<String> {
    parameters.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// `NAME TYPE MEANING`, where NAME or TYPE ends in `?` if the value may be absent.
pub fn named_value(text: &str) -> Value {
    let (name, rest) = text.split_once(' ').unwrap_or((text, ""));
    let (kind, text) = split_type(rest.trim_start());
    let optional = name.ends_with('?') || kind.ends_with('?');
    let name = format!("{}{}", name.trim_end_matches('?'), if optional { "?" } else { "" });
    Value { name, kind: kind.trim_end_matches('?').to_owned(), text: meaning(text) }
}

/// `TYPE NAME MEANING`, or `TYPE # MEANING` without a name.
pub fn result_value(text: &str) -> Value {
    let (kind, rest) = split_type(text);
    let (name, text) = match rest.strip_prefix('#') {
        Some(text) => ("", text),
        None => rest.split_once(' ').unwrap_or((rest, "")),
    };
    Value { name: name.to_owned(), kind: kind.to_owned(), text: meaning(text) }
}

fn meaning(text: &str) -> String {
    text.trim().trim_start_matches('#').trim().to_owned()
}

/// Splits `TYPE rest` where the type ends: at a blank outside of brackets and quotes, which is
/// not beside a `|`, a `,` inside of `fun(...)` or the `:` before a function's result.
fn split_type(text: &str) -> (&str, &str) {
    let bytes = text.as_bytes();
    let (mut depth, mut quote) = (0_i32, None);
    for (at, &byte) in bytes.iter().enumerate() {
        match (quote, byte) {
            (Some(open), _) if byte == open => quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'\'' | b'`') => quote = Some(byte),
            (None, b'(' | b'{' | b'[' | b'<') => depth += 1,
            (None, b')' | b'}' | b']' | b'>') => depth -= 1,
            (None, b' ') if depth == 0 => {
                let before = text[..at].trim_end();
                let after = text[at..].trim_start();
                if !before.ends_with(['|', ':']) && !after.starts_with('|') {
                    return (before, after);
                }
            }
            (None, _) => {}
        }
    }
    (text, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_end_where_they_should() {
        assert_eq!(split_type("table<string, integer> the counts"), ("table<string, integer>", "the counts"));
        assert_eq!(split_type("\"a b\" | \"c\" which"), ("\"a b\" | \"c\"", "which"));
        assert_eq!(split_type("number"), ("number", ""));
    }

    #[test]
    fn declarations() {
        let name = |line| declaration(line).map(|declared| declared.name);
        assert_eq!(name("function M.wait(a, b)").unwrap(), "wait");
        assert_eq!(name("function Lock:lock(timeout)").unwrap(), "Lock:lock");
        assert_eq!(name("function source.string(text)").unwrap(), "source.string");
        assert_eq!(name("M.time = core.time").unwrap(), "time");
        assert_eq!(name("Tcp.get = f").unwrap(), "Tcp:get");
        assert_eq!(name("if a == b then"), None);
        let size = declaration("  SIZE = 2048,").unwrap();
        assert_eq!((size.name.as_str(), size.literal.as_deref()), ("SIZE", Some("2048")));
        assert_eq!(declaration("M.f = function(x, ...)").unwrap().parameters.unwrap(), ["x", "..."]);
    }

    #[test]
    fn names_of_the_same() {
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(same_names("M.loop = M.run"), [pair("loop", "run")]);
        let both = [pair("Lock:get", "Lock:lock"), pair("Lock:release", "Lock:unlock")];
        assert_eq!(same_names("Lock.get, Lock.release = Lock.lock, Lock.unlock"), both);
        for line in ["M.encode = M.encode", "M.time = core.time", "local a = M.b", "x.y = M.z"] {
            assert_eq!(same_names(line), [], "{line}");
        }
    }

    #[test]
    fn variables() {
        assert_eq!(local_variable("local M, core = require \"x\""), Some("M"));
        assert_eq!(local_variable("M.x = 1"), None);
    }
}
