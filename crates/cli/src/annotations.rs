//! Reads the documentation in a Lua library's source: the `---` comments before what the module
//! offers, with their LuaLS annotations. Pure: text in, entries out.

/// What a source says of its module.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Module {
    /// Lines about the module as a whole.
    pub text: Vec<String>,
    /// What it offers, in the order of the source.
    pub entries: Vec<Entry>,
    /// Types it tells of that have fields, in the order of the source.
    pub classes: Vec<Class>,
}

/// A type and its fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Class {
    /// Its name, as annotated.
    pub name: String,
    /// Name, type and meaning of each field.
    pub fields: Vec<Value>,
}

/// One function or value that a module offers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// Its name without the module's: `sleep`; a method is `Class:name`.
    pub name: String,
    /// Names of the parameters; `None`: not known to be a function.
    pub parameters: Option<Vec<String>>,
    /// Description and examples, line by line.
    pub text: Vec<String>,
    /// Name, type and meaning of each parameter.
    pub params: Vec<Value>,
    /// Name (may be empty), type and meaning of each result.
    pub returns: Vec<Value>,
    /// It may suspend the calling thread.
    pub waits: bool,
}

/// A parameter or a result.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Value {
    /// Its name; that of an optional parameter ends in `?`.
    pub name: String,
    /// Its type, as annotated.
    pub kind: String,
    /// What it means.
    pub text: String,
}

impl Entry {
    /// The first line of the description, whole if it is one sentence on several lines.
    pub fn summary(&self) -> String {
        let lines: Vec<&str> =
            self.text.iter().map(String::as_str).take_while(|line| !line.is_empty()).collect();
        let joined = lines.join(" ");
        let end = joined.match_indices(". ").next().map_or(joined.len(), |(at, _)| at + 1);
        let end = joined[..end].find(": `").map_or(end, |at| at + 1);
        joined[..end].trim_end_matches(['.', ':']).to_owned()
    }
}

/// A comment block while it is read.
#[derive(Debug, Default)]
struct Block {
    entry: Entry,
    /// `---@class` or another annotation that makes the block describe a type.
    is_type: bool,
    classes: Vec<Class>,
    /// The result whose meaning may go on in the next line.
    open: Option<Open>,
}

#[derive(Debug, Clone, Copy)]
enum Open {
    Param,
    Return,
}

/// Reads a source.
pub fn parse(source: &str) -> Module {
    let mut module = Module::default();
    let mut block: Option<Block> = None;
    let mut first = true;
    for line in source.lines() {
        let trimmed = line.trim_start();
        if let Some(comment) = trimmed.strip_prefix("---") {
            block.get_or_insert_default().comment(comment);
            continue;
        }
        let Some(Block { entry, is_type, classes, .. }) = block.take() else {
            first = first && trimmed.is_empty();
            continue;
        };
        module.classes.extend(classes.into_iter().filter(|class| !class.fields.is_empty()));
        let declared = declaration(trimmed);
        if first {
            // A comment at the very top is about the module, whatever comes next.
            module.text = without_blank_ends(entry.text);
            first = false;
        } else if let Some((name, parameters)) = declared.filter(|_| !is_type) {
            module.add(entry, name, parameters);
        }
    }
    module
}

impl Module {
    fn add(&mut self, mut entry: Entry, name: &str, parameters: Option<Vec<String>>) {
        entry.text = without_blank_ends(entry.text);
        if entry.text.is_empty() && entry.params.is_empty() && entry.returns.is_empty() {
            return;
        }
        let annotated = !(entry.params.is_empty() && entry.returns.is_empty());
        entry.parameters = parameters.or_else(|| {
            // A native function: what is annotated is all there is to know.
            let bare = |value: &Value| value.name.trim_end_matches('?').to_owned();
            annotated.then(|| entry.params.iter().map(bare).collect())
        });
        entry.name = name.to_owned();
        self.entries.push(entry);
    }
}

impl Block {
    fn comment(&mut self, comment: &str) {
        if let Some(annotation) = comment.strip_prefix('@') {
            self.annotation(annotation);
            return;
        }
        // One blank separates the dashes from the text; more of them are the text's.
        let text = comment.strip_prefix(' ').unwrap_or(comment).trim_end();
        let last = match self.open {
            Some(Open::Param) => self.entry.params.last_mut(),
            Some(Open::Return) => self.entry.returns.last_mut(),
            None => None,
        };
        match last {
            Some(value) if !text.is_empty() && !text.starts_with("Example") => {
                value.text = format!("{} {text}", value.text).trim().to_owned();
            }
            _ => {
                self.open = None;
                self.entry.text.push(text.to_owned());
            }
        }
    }

    fn annotation(&mut self, annotation: &str) {
        let (word, rest) = annotation.split_once(' ').unwrap_or((annotation, ""));
        let rest = rest.trim();
        self.open = None;
        match word {
            "param" => {
                self.entry.params.push(named_value(rest));
                self.open = Some(Open::Param);
            }
            "class" => {
                self.is_type = true;
                let name = rest.split([' ', ':']).next().unwrap_or_default().to_owned();
                self.classes.push(Class { name, fields: Vec::new() });
            }
            "field" => {
                self.is_type = true;
                if let Some(class) = self.classes.last_mut() {
                    class.fields.push(named_value(rest));
                }
            }
            "return" => {
                let (kind, rest) = split_type(rest);
                // `---@return TYPE NAME MEANING`, or `# MEANING` without a name.
                let (name, text) = match rest.strip_prefix('#') {
                    Some(text) => ("", text),
                    None => rest.split_once(' ').unwrap_or((rest, "")),
                };
                self.entry.returns.push(Value {
                    name: name.to_owned(),
                    kind: kind.to_owned(),
                    text: meaning(text),
                });
                self.open = Some(Open::Return);
            }
            "async" => self.entry.waits = true,
            "alias" | "meta" | "enum" => self.is_type = true,
            _ => {}
        }
    }
}

/// `NAME TYPE MEANING`, where NAME or TYPE ends in `?` if the value may be absent.
fn named_value(text: &str) -> Value {
    let (name, rest) = text.split_once(' ').unwrap_or((text, ""));
    let (kind, text) = split_type(rest.trim_start());
    let optional = name.ends_with('?') || kind.ends_with('?');
    let name = format!("{}{}", name.trim_end_matches('?'), if optional { "?" } else { "" });
    Value { name, kind: kind.trim_end_matches('?').to_owned(), text: meaning(text) }
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

/// Name and parameters that a line of code gives a module's function or value:
/// `function M.name(a, b)`, `M.name = ...`, or `name = ...,` in a table.
fn declaration(line: &str) -> Option<(&str, Option<Vec<String>>)> {
    if let Some(rest) = line.strip_prefix("function ") {
        let (path, rest) = rest.split_once('(')?;
        let (parameters, _) = rest.split_once(')')?;
        return Some((local_name(path), Some(list(parameters))));
    }
    let (name, value) = line.split_once('=')?;
    let name = name.trim();
    let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_.".contains(c));
    if !plain || value.starts_with('=') {
        return None;
    }
    let parameters = value.trim().strip_prefix("function").and_then(|rest| {
        let (parameters, _) = rest.trim_start().strip_prefix('(')?.split_once(')')?;
        Some(list(parameters))
    });
    Some((local_name(name), parameters))
}

/// Without the name of the module's own table, which is one letter (`M`) or in small letters;
/// the name of a class stays.
fn local_name(path: &str) -> &str {
    match path.split_once('.') {
        Some((_, name)) => name,
        None => path,
    }
}

fn list(parameters: &str) -> Vec<String> {
    parameters.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn without_blank_ends(mut lines: Vec<String>) -> Vec<String> {
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    let blank = lines.iter().take_while(|line| line.is_empty()).count();
    lines.drain(..blank);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = r#"--- Queues and such.
--- Times are in seconds.
local M = {}

---@class queue.Thing
---@field size integer

local function hidden() end

--- Waits for something. Does not hurry.
---
--- `M.wait("a")  --> true`
---@async
---@param event string|nil what to wait for,
--- of any kind
---@param timeout number? seconds
---@param on fun(a: string, b: integer): boolean called then
---@return boolean ok
---@return "timeout"|nil reason why not
--- Example: `M.wait("b", 1)` --> false, "timeout"
function M.wait(event, timeout, on)
end

--- Tells the time.
---@return number seconds
M.time = core.time

local N = {
  --- Name of this kind.
  mode = mode,
  --- Rings: `ring(node)` -> true
  ring = core.ring,
}

-- Not documented for users.
function M.internal() end
return M
"#;

    fn value(name: &str, kind: &str, text: &str) -> Value {
        Value { name: name.into(), kind: kind.into(), text: text.into() }
    }

    #[test]
    fn the_top_comment_is_the_modules() {
        assert_eq!(parse(SOURCE).text, ["Queues and such.", "Times are in seconds."]);
        assert_eq!(parse("local M = {}\n--- Of f.\nfunction M.f() end").text, [""; 0]);
        assert_eq!(parse(""), Module::default());
    }

    #[test]
    fn documented_names_alone_are_listed() {
        let module = parse(SOURCE);
        let names: Vec<&str> = module.entries.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names, ["wait", "time", "mode", "ring"]);
    }

    #[test]
    fn a_function_is_read_whole() {
        let wait = parse(SOURCE).entries.remove(0);
        assert_eq!(wait.parameters.clone().unwrap(), ["event", "timeout", "on"]);
        assert!(wait.waits);
        let expected = [
            value("event", "string|nil", "what to wait for, of any kind"),
            value("timeout?", "number", "seconds"),
            value("on", "fun(a: string, b: integer): boolean", "called then"),
        ];
        assert_eq!(wait.params, expected);
        assert_eq!(wait.returns, [value("ok", "boolean", ""), value("reason", "\"timeout\"|nil", "why not")]);
        assert_eq!(wait.text[0], "Waits for something. Does not hurry.");
        assert_eq!(wait.text.last().unwrap(), "Example: `M.wait(\"b\", 1)` --> false, \"timeout\"");
        assert_eq!(wait.summary(), "Waits for something");
    }

    #[test]
    fn native_functions_and_values() {
        let module = parse(SOURCE);
        let [_, time, mode, ring] = &module.entries[..] else { panic!("{module:?}") };
        assert_eq!(time.parameters, Some(vec![]));
        assert_eq!(mode.parameters, None);
        assert_eq!(ring.summary(), "Rings");
    }

    #[test]
    fn types_with_fields_are_told() {
        let thing = Class { name: "queue.Thing".into(), fields: vec![value("size", "integer", "")] };
        assert_eq!(parse(SOURCE).classes, [thing]);
    }

    #[test]
    fn types_end_where_they_should() {
        assert_eq!(split_type("table<string, integer> the counts"), ("table<string, integer>", "the counts"));
        assert_eq!(split_type("\"a b\" | \"c\" which"), ("\"a b\" | \"c\"", "which"));
        assert_eq!(split_type("number"), ("number", ""));
    }
}
