//! Pages for readers: one per module, and an index.

use std::fmt::Write as _;

use crate::annotations::{Class, Entry, Example, Module, Text, Type, Value};
use crate::catalogue::{GLOBALS, Named, full_name, variable};
use crate::reference::{File, before, origin, same_as, signature};

const NOTE: &str = "<!-- Made by `splay doc --markdown` from the comments in lualib/; `scripts/check reference` compares. -->\n";

/// The pages, the index first.
pub fn pages(catalogue: &[Named]) -> Vec<File> {
    let mut files = vec![File { path: "README.md".to_owned(), text: index(catalogue) }];
    for (name, module) in catalogue {
        files.push(File { path: format!("{name}.md"), text: page(name, module) });
    }
    files
}

fn index(catalogue: &[Named]) -> String {
    let mut text = format!(
        "{NOTE}# Libraries\n\n\
         What an application can `require`, and the globals it finds. Times are in seconds, sizes in bytes. A node is a\n\
         table `{{ip = \"127.0.0.1\", port = 20000}}`; functions that take an address and a port take a node in their place.\n\
         Unless a page says otherwise, a function that fails returns `nil, \"reason\"`; what the texts mean is in\n\
         [errors](../errors.md). Results stand behind `-->` in the examples, which are run as tests; `such as` stands\n\
         before a result that differs from run to run, `prints` before what appears on the terminal, `error` before what is\n\
         raised, `...` for the rest of a result.\n\n| module | for |\n|---|---|\n"
    );
    for (name, module) in catalogue {
        writeln!(text, "| [`{name}`]({name}.md) | {} |", cell(&module.about.summary())).expect("to a string");
    }
    text
}

fn page(name: &str, module: &Module) -> String {
    let mut text = format!("{NOTE}# {name}\n\n");
    prose(&mut text, &module.about.prose);
    match same_as(name) {
        Some(other) => writeln!(text, "See [`{other}`]({other}.md).\n").expect("to a string"),
        None if name == GLOBALS => {}
        None => {
            writeln!(text, "```lua\nlocal {} = require \"{name}\"\n```\n", variable(name))
                .expect("to a string");
        }
    }
    for example in &module.about.examples {
        listing(&mut text, example);
    }
    origin_line(&mut text, module.about.since.as_deref(), module.about.manual.as_deref());
    if same_as(name).is_some() {
        return trimmed(text);
    }
    if !module.entries.is_empty() {
        text.push_str("| name | for |\n|---|---|\n");
        for entry in &module.entries {
            let shown = signature(&full_name(name, entry), entry);
            let anchor = anchor(&full_name(name, entry));
            writeln!(text, "| [`{shown}`](#{anchor}) | {} |", cell(&entry.summary())).expect("to a string");
        }
        text.push('\n');
    }
    for entry in module.entries.iter().filter(|entry| entry.class().is_none()) {
        section(&mut text, name, module, entry);
    }
    types(&mut text, name, module);
    trimmed(text)
}

/// Types, each with its methods.
fn types(text: &mut String, name: &str, module: &Module) {
    let told = |class: &&Class| !class.fields.is_empty();
    for kind in &module.types {
        let own = |entry: &&Entry| entry.class().is_some() && entry.class() == kind.variable.as_deref();
        let methods: Vec<&Entry> = module.entries.iter().filter(own).collect();
        if methods.is_empty() && !kind.classes.iter().any(|class| told(&class)) || name == GLOBALS {
            continue;
        }
        let title = match kind.classes.first() {
            Some(class) => class.name.clone(),
            None => continue,
        };
        writeln!(text, "## Type `{title}`\n").expect("to a string");
        prose(text, &kind.about.prose);
        for class in kind.classes.iter().filter(told) {
            if class.name != title {
                writeln!(text, "`{}`\n", class.name).expect("to a string");
            }
            values(text, "field", &class.fields);
        }
        type_examples(text, kind, !methods.is_empty());
        for method in methods {
            section(text, name, module, method);
        }
    }
}

fn type_examples(text: &mut String, kind: &Type, has_methods: bool) {
    if has_methods && !kind.about.examples.is_empty() {
        text.push_str("The examples below begin with\n\n");
    }
    for example in &kind.about.examples {
        listing(text, example);
    }
}

/// One function or value.
fn section(text: &mut String, module_name: &str, module: &Module, entry: &Entry) {
    let full = full_name(module_name, entry);
    let level = if entry.class().is_some() { "###" } else { "##" };
    writeln!(text, "{level} {full}\n").expect("to a string");
    if let Some(other) = &entry.same_as {
        let other = Entry { name: other.clone(), ..Entry::default() };
        let other = full_name(module_name, &other);
        writeln!(text, "Another name of [`{other}`](#{}).\n", anchor(&other)).expect("to a string");
        return;
    }
    if entry.is_function() {
        writeln!(text, "```lua\n{}\n```\n", shape(&full, entry)).expect("to a string");
    } else if let Some(kind) = &entry.kind {
        writeln!(text, "```lua\n{full}: {kind}\n```\n").expect("to a string");
    } else if let Some(literal) = &entry.literal {
        writeln!(text, "```lua\n{full} = {literal}\n```\n").expect("to a string");
    }
    prose(text, &entry.about.prose);
    if entry.waits {
        text.push_str("It may wait: the other threads go on meanwhile.\n\n");
    }
    values(text, "parameter", &entry.params);
    values(text, "result", &entry.returns);
    fails(text, &entry.about);
    if before(module, entry).is_some() && !entry.about.examples.is_empty() {
        text.push_str("Example, after what all of this type begin with:\n\n");
    }
    for example in &entry.about.examples {
        listing(text, example);
    }
    let (since, manual) = origin(module, entry);
    origin_line(text, since.as_deref(), manual.as_deref());
}

/// `wait(event: any, timeout?: number): any ...`.
fn shape(name: &str, entry: &Entry) -> String {
    let parameters = entry.parameters.iter().flatten().map(|parameter| {
        let param = entry.params.iter().find(|param| param.name.trim_end_matches('?') == parameter);
        param.map_or_else(|| parameter.clone(), |param| format!("{}: {}", param.name, param.kind))
    });
    let parameters: Vec<String> = parameters.collect();
    let returns: Vec<String> = entry
        .returns
        .iter()
        .map(|value| match value.name.is_empty() {
            true => value.kind.clone(),
            false => format!("{}: {}", value.name, value.kind),
        })
        .collect();
    let results = if returns.is_empty() { String::new() } else { format!(" -> {}", returns.join(", ")) };
    format!("{name}({}){results}", parameters.join(", "))
}

fn fails(text: &mut String, about: &Text) {
    if let Some(errors) = &about.errors {
        writeln!(text, "Errors: {errors}\n").expect("to a string");
    }
}

fn origin_line(text: &mut String, since: Option<&str>, manual: Option<&str>) {
    let since = since.map(|since| format!("Since {since}"));
    let manual = manual.map(|manual| format!("manual: {manual}"));
    let parts: Vec<String> = since.into_iter().chain(manual).collect();
    if !parts.is_empty() {
        writeln!(text, "_{}_\n", parts.join(", ")).expect("to a string");
    }
}

/// A table of names, types and meanings.
fn values(text: &mut String, title: &str, values: &[Value]) {
    if values.is_empty() {
        return;
    }
    writeln!(text, "| {title} | type | |\n|---|---|---|").expect("to a string");
    for value in values {
        let code = |part: &str| if part.is_empty() { String::new() } else { format!("`{}`", cell(part)) };
        writeln!(text, "| {} | {} | {} |", code(&value.name), code(&value.kind), cell(&value.text))
            .expect("to a string");
    }
    text.push('\n');
}

fn listing(text: &mut String, example: &Example) {
    if let Some(reason) = &example.not_run {
        writeln!(text, "Not run by the tests: {reason}.\n").expect("to a string");
    }
    writeln!(text, "```lua\n{}\n```\n", example.lines.join("\n")).expect("to a string");
}

fn prose(text: &mut String, lines: &[String]) {
    if !lines.is_empty() {
        writeln!(text, "{}\n", lines.join("\n")).expect("to a string");
    }
}

/// What a cell of a table may contain.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// The anchor that Markdown gives a heading.
fn anchor(heading: &str) -> String {
    heading.chars().filter(|c| c.is_alphanumeric() || "_-".contains(*c)).collect::<String>().to_lowercase()
}

fn trimmed(text: String) -> String {
    format!("{}\n", text.trim_end())
}
