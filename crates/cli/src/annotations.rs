//! Reads the documentation in a Lua library's source: the `---` comments before what the module
//! offers, with their LuaLS annotations. Pure: text in, entries out.

mod line;
mod text;

pub use text::{Example, Text};

/// What a source says of its module.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Module {
    /// About the module as a whole.
    pub about: Text,
    /// What it offers, in the order of the source.
    pub entries: Vec<Entry>,
    /// Types it tells of, in the order of the source.
    pub types: Vec<Type>,
}

/// A comment about types: classes with their fields, or other names of types.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Type {
    /// What it says; its examples come before those of the methods.
    pub about: Text,
    /// The classes it declares.
    pub classes: Vec<Class>,
    /// The variable that stands for it in the source: `Lock`, or `M` for the module itself.
    pub variable: Option<String>,
    /// The comment as it is written.
    pub source: Vec<String>,
}

/// A class and its fields.
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
    /// Description, examples, errors.
    pub about: Text,
    /// Name, type and meaning of each parameter.
    pub params: Vec<Value>,
    /// Name (may be empty), type and meaning of each result.
    pub returns: Vec<Value>,
    /// It may suspend the calling thread.
    pub waits: bool,
    /// It is another name of this entry.
    pub same_as: Option<String>,
    /// The type of a value, as annotated.
    pub kind: Option<String>,
    /// The value itself, where it is a number, a text, true or false.
    pub literal: Option<String>,
    /// The comment as it is written.
    pub source: Vec<String>,
}

/// A parameter, a result or a field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Value {
    /// Its name; that of an optional parameter ends in `?`.
    pub name: String,
    /// Its type, as annotated.
    pub kind: String,
    /// What it means.
    pub text: String,
}

impl Text {
    /// The first sentence, without its full stop.
    pub fn summary(&self) -> String {
        let lines: Vec<&str> =
            self.prose.iter().map(String::as_str).take_while(|line| !line.is_empty()).collect();
        let joined = lines.join(" ");
        let end = joined.match_indices(". ").next().map_or(joined.len(), |(at, _)| at + 1);
        let end = joined[..end].find(": `").map_or(end, |at| at + 1);
        joined[..end].trim_end_matches(['.', ':']).to_owned()
    }
}

impl Entry {
    /// What it is for, in one sentence.
    pub fn summary(&self) -> String {
        match &self.same_as {
            Some(name) => format!("another name of `{name}`"),
            None => self.about.summary(),
        }
    }

    /// Whether it is known to be a function.
    pub fn is_function(&self) -> bool {
        self.parameters.is_some()
    }

    /// The class of a method.
    pub fn class(&self) -> Option<&str> {
        self.name.split_once(':').map(|(class, _)| class)
    }
}

/// A comment block while it is read.
#[derive(Debug, Default)]
struct Block {
    entry: Entry,
    /// Its text, line by line, without what belongs to annotations.
    text: Vec<String>,
    /// `---@class` or another annotation that makes the block describe a type.
    is_type: bool,
    classes: Vec<Class>,
    /// What may go on in the next line.
    open: Option<Open>,
    in_listing: bool,
    source: Vec<String>,
}

#[derive(Debug, Clone, Copy)]
enum Open {
    Param,
    Return,
    Field,
}

/// Reads a source.
pub fn parse(source: &str) -> Module {
    let mut module = Module::default();
    let mut block: Option<Block> = None;
    let mut first = true;
    for line in source.lines() {
        let code = line.trim_start();
        if let Some(comment) = code.strip_prefix("---") {
            block.get_or_insert_default().comment(comment);
            continue;
        }
        let block = block.take();
        let described = block.as_ref().is_some_and(|block| !block.is_type || !block.classes.is_empty());
        match block {
            // A comment at the very top is about the module, whatever comes next.
            Some(block) if first && !block.is_type => module.about = text::parts(&block.text),
            Some(block) if block.is_type => module.add_type(block, code),
            Some(block) => module.add(block, code),
            None => {}
        }
        first = first && !described && (code.is_empty() || code.starts_with("--"));
        module.add_same(code);
    }
    // Types may end a source.
    if let Some(block) = block.filter(|block| block.is_type) {
        module.add_type(block, "");
    }
    module
}

impl Module {
    fn add(&mut self, block: Block, code: &str) {
        let Some(declared) = line::declaration(code) else { return };
        let mut entry = block.entry;
        entry.about = text::parts(&block.text);
        let annotated = !(entry.params.is_empty() && entry.returns.is_empty());
        if entry.about == Text::default() && !annotated && entry.kind.is_none() {
            return;
        }
        // Of a native function, and of one that hands on whatever it is given, what is annotated is
        // all there is to know.
        let declared_here = declared.parameters.filter(|names| !annotated || names != &["..."]);
        entry.parameters = declared_here.or_else(|| {
            let bare = |value: &Value| value.name.trim_end_matches('?').to_owned();
            annotated.then(|| entry.params.iter().map(bare).collect())
        });
        entry.name = declared.name;
        entry.literal = declared.literal;
        entry.source = block.source;
        self.entries.push(entry);
    }

    fn add_type(&mut self, block: Block, code: &str) {
        let kind = Type {
            about: text::parts(&block.text),
            classes: block.classes,
            variable: line::local_variable(code).map(str::to_owned),
            source: block.source,
        };
        // A class that is a global variable: this is described too.
        let global = line::declaration(code).filter(|declared| !declared.name.contains(['.', ':', ' ']));
        if let (Some(declared), Some(class)) = (global, kind.classes.first()) {
            let (about, source) = (kind.about.clone(), kind.source.clone());
            let class = Some(class.name.clone());
            self.entries.push(Entry { name: declared.name, about, kind: class, source, ..Entry::default() });
        }
        self.types.push(kind);
    }

    /// Other names that a line gives to what is described.
    fn add_same(&mut self, code: &str) {
        for (name, other) in line::same_names(code) {
            if self.entries.iter().any(|entry| entry.name == name) {
                continue;
            }
            let Some(original) = self.entries.iter().find(|entry| entry.name == other) else { continue };
            let entry = Entry { name, same_as: Some(other), source: Vec::new(), ..original.clone() };
            self.entries.push(entry);
        }
    }
}

impl Block {
    fn comment(&mut self, comment: &str) {
        self.source.push(format!("---{comment}"));
        if let Some(annotation) = comment.strip_prefix('@').filter(|_| !self.in_listing) {
            self.annotation(annotation);
            return;
        }
        // One blank separates the dashes from the text; more of them are the text's.
        let text = comment.strip_prefix(' ').unwrap_or(comment).trim_end();
        if text.starts_with("```") {
            self.in_listing = !self.in_listing;
        }
        let last = match self.open {
            Some(Open::Param) => self.entry.params.last_mut(),
            Some(Open::Return) => self.entry.returns.last_mut(),
            Some(Open::Field) => self.classes.last_mut().and_then(|class| class.fields.last_mut()),
            None => None,
        };
        match last.filter(|_| !text::stands_alone(text)) {
            Some(value) => value.text = format!("{} {text}", value.text).trim().to_owned(),
            None => {
                self.open = None;
                self.text.push(text.to_owned());
            }
        }
    }

    fn annotation(&mut self, annotation: &str) {
        let (word, rest) = annotation.split_once(' ').unwrap_or((annotation, ""));
        let rest = rest.trim();
        self.open = None;
        match word {
            "param" => {
                self.entry.params.push(line::named_value(rest));
                self.open = Some(Open::Param);
            }
            "return" => {
                self.entry.returns.push(line::result_value(rest));
                self.open = Some(Open::Return);
            }
            "class" => {
                self.is_type = true;
                let name = rest.split([' ', ':']).next().unwrap_or_default().to_owned();
                self.classes.push(Class { name, fields: Vec::new() });
            }
            "field" => {
                self.is_type = true;
                if let Some(class) = self.classes.last_mut() {
                    class.fields.push(line::named_value(rest));
                }
                self.open = Some(Open::Field);
            }
            "async" => self.entry.waits = true,
            "type" => self.entry.kind = Some(rest.to_owned()),
            "alias" | "meta" | "enum" => self.is_type = true,
            _ => {}
        }
    }
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
        assert_eq!(parse(SOURCE).about.prose, ["Queues and such.", "Times are in seconds."]);
        assert_eq!(parse("local M = {}\n--- Of f.\nfunction M.f() end").about, Text::default());
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
        assert_eq!(wait.about.prose, ["Waits for something. Does not hurry."]);
        let lines: Vec<&String> = wait.about.examples.iter().flat_map(|example| &example.lines).collect();
        assert_eq!(lines, ["M.wait(\"a\")  --> true", "M.wait(\"b\", 1)  --> false, \"timeout\""]);
        assert_eq!(wait.source.len(), 11, "{:?}", wait.source);
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
    fn types_are_told_with_what_stands_for_them() {
        let told = parse(
            "local x\n--- One.\n---@class queue.Thing: other\n---@field size integer? in bytes,\n--- or so\nlocal Thing = {}",
        );
        let [thing] = &told.types[..] else { panic!("{told:?}") };
        let fields = vec![value("size?", "integer", "in bytes, or so")];
        assert_eq!(thing.classes, [Class { name: "queue.Thing".into(), fields }]);
        assert_eq!((thing.variable.as_deref(), thing.about.prose.len()), (Some("Thing"), 1));
    }

    #[test]
    fn other_names_of_the_same() {
        let module =
            parse("local M = {}\n--- Runs.\nfunction M.run(f) end\n\nM.loop = M.run\nM.gone = M.unknown\n");
        let [run, again] = &module.entries[..] else { panic!("{module:?}") };
        assert_eq!(again.name, "loop");
        assert_eq!(again.same_as.as_deref(), Some("run"));
        assert_eq!((again.summary(), &again.parameters), ("another name of `run`".into(), &run.parameters));
    }
}
