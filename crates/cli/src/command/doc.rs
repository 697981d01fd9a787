//! `splay doc`: the documentation of the embedded libraries in the terminal. How a name is found and
//! how an entry is shown; what there is, is [`crate::catalogue`]'s.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::annotations::{Class, Entry, Example, Module, Text, Value};
use crate::catalogue::{GLOBALS, Named, catalogue, entries, full_name, is_called};
use crate::failure::Failure;
use crate::likeness::distance;
use crate::reference::{File, examples, pages, signature, stubs};

const EXAMPLES: &str = "\
Examples:
  splay doc                     all modules
  splay doc events              what a module offers (`splay.events` likewise)
  splay doc events.wait         a function
  splay doc Tcp:receive         a method of a socket
  splay doc job.nodes           a global
  splay doc random_pick         a function of whatever module
  splay doc --stubs .splay      stubs for editors with a Lua language server (`splay new` writes them)
  splay doc --json              all of it as JSON

Exit status: 0 found or written, 1 nothing has this name, 2 wrong command line, 6 a file cannot be
written.";

/// Show what a module or a function of the libraries is for.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct DocArgs {
    /// Module, function, method or global; none: list the modules.
    #[arg(value_name = "NAME", conflicts_with_all = ["json", "stubs", "markdown", "examples"])]
    name: Option<String>,
    /// Print what all modules offer as JSON.
    #[arg(long, conflicts_with_all = ["stubs", "markdown", "examples"])]
    json: bool,
    /// Write stubs for editors into this folder; files of that name are replaced.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["markdown", "examples"])]
    stubs: Option<PathBuf>,
    /// Write the reference as Markdown into this folder.
    #[arg(long, value_name = "DIR", hide = true, conflicts_with = "examples")]
    markdown: Option<PathBuf>,
    /// Write the examples as tests into this folder.
    #[arg(long, value_name = "DIR", hide = true)]
    examples: Option<PathBuf>,
}

/// Most suggestions for a name that does not exist.
const SUGGESTIONS: usize = 5;

/// Prints what is known about the name, or writes documents.
pub fn execute(args: DocArgs) -> Result<ExitCode, Failure> {
    let catalogue = catalogue();
    if let Some(folder) = &args.stubs {
        write(folder, stubs(&catalogue))?;
    } else if let Some(folder) = &args.markdown {
        write(folder, pages(&catalogue))?;
    } else if let Some(folder) = &args.examples {
        write(folder, examples(&catalogue))?;
    } else {
        let text = match &args.name {
            None if args.json => format!("{:#}\n", as_json(&catalogue)),
            None => listing(&catalogue),
            Some(name) => shown(&catalogue, name).ok_or_else(|| unknown(&catalogue, name))?,
        };
        io::stdout().write_all(text.as_bytes()).map_err(Failure::Output)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes the stubs for editors; the folder is made if it is missing.
pub fn write_stubs(folder: &Path) -> Result<(), Failure> {
    write(folder, stubs(&catalogue()))
}

fn write(folder: &Path, files: Vec<File>) -> Result<(), Failure> {
    for file in files {
        let path = folder.join(&file.path);
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent)
            .map_err(|source| Failure::Write { path: parent.to_owned(), source })
            .and_then(|()| {
                fs::write(&path, &file.text).map_err(|source| Failure::Write { path: path.clone(), source })
            })?;
    }
    Ok(())
}

fn as_json(catalogue: &[Named]) -> serde_json::Value {
    let value = |value: &Value| json!({ "name": value.name, "type": value.kind, "text": value.text });
    let values = |all: &[Value]| all.iter().map(value).collect::<Vec<_>>();
    let example = |example: &Example| json!({ "code": example.lines.join("\n"), "not_run": example.not_run });
    let about = |text: &Text| {
        json!({
            "text": text.prose.join("\n"), "errors": text.errors, "since": text.since, "manual": text.manual,
            "examples": text.examples.iter().map(example).collect::<Vec<_>>(),
        })
    };
    let modules = catalogue.iter().map(|(name, module)| {
        let entry = |entry: &Entry| {
            json!({
                "name": entry.name, "about": about(&entry.about), "function": entry.is_function(),
                "parameters": entry.parameters, "params": values(&entry.params),
                "returns": values(&entry.returns), "waits": entry.waits, "same_as": entry.same_as,
                "type": entry.kind,
            })
        };
        let class = |class: &Class| json!({ "name": class.name, "fields": values(&class.fields) });
        let types = module.types.iter().map(|kind| {
            let classes: Vec<_> = kind.classes.iter().map(class).collect();
            json!({ "about": about(&kind.about), "classes": classes, "variable": kind.variable })
        });
        json!({
            "name": name, "about": about(&module.about), "types": types.collect::<Vec<_>>(),
            "entries": module.entries.iter().map(entry).collect::<Vec<_>>(),
        })
    });
    json!({ "modules": modules.collect::<Vec<_>>() })
}

fn listing(catalogue: &[Named]) -> String {
    let rows = catalogue.iter().map(|(name, module)| ((*name).to_owned(), module.about.summary()));
    let mut text = columns(rows.collect());
    text.push_str("\nsplay doc NAME shows a module, or a function: splay doc events.wait\n");
    text
}

/// Two columns, the first as wide as it needs to be.
fn columns(rows: Vec<(String, String)>) -> String {
    let width = rows.iter().map(|(left, _)| left.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for (left, right) in rows {
        text.push_str(format!("  {left:width$}  {right}").trim_end());
        text.push('\n');
    }
    text
}

/// Everything that has the name: a module, or entries.
fn shown(catalogue: &[Named], name: &str) -> Option<String> {
    let module = catalogue.iter().filter(|(module, _)| is_called(module, name));
    let mut texts: Vec<String> = module.map(|(name, module)| module_text(name, module)).collect();
    if texts.is_empty() {
        let is_meant = |module: &str, entry: &Entry| {
            entry.name == name
                || name
                    .strip_suffix(entry.name.as_str())
                    .and_then(|rest| rest.strip_suffix('.'))
                    .is_some_and(|rest| is_called(module, rest))
                || full_name(module, entry) == name
        };
        // What needs no `require` comes first.
        let (globals, modules): (Vec<_>, Vec<_>) = catalogue.iter().partition(|(name, _)| *name == GLOBALS);
        let entries = |of: &[&Named]| -> Vec<String> {
            let of_module = |(name, module): &&Named| {
                let meant = module.entries.iter().filter(|entry| is_meant(name, entry));
                meant.map(|entry| entry_text(name, module, entry)).collect::<Vec<_>>()
            };
            of.iter().flat_map(of_module).collect()
        };
        let mut others = entries(&modules);
        if others.is_empty() {
            others = fields(catalogue, name);
        }
        texts = entries(&globals);
        texts.extend(others);
    }
    (!texts.is_empty()).then(|| texts.join("\n"))
}

/// Fields of objects that have the name: `log.debug`, `log:debug`, `splay.queue.insert`, `insert`.
fn fields(catalogue: &[Named], name: &str) -> Vec<String> {
    let (of, last) = name.rsplit_once([':', '.']).unwrap_or(("", name));
    let mut texts = Vec::new();
    for (module_name, module) in catalogue {
        for kind in &module.types {
            for class in kind
                .classes
                .iter()
                .filter(|class| of.is_empty() || class.name == of || is_called(module_name, of))
            {
                let field = class.fields.iter().find(|field| field.name.trim_end_matches('?') == last);
                texts.extend(field.map(|field| {
                    let mut text = format!("{}.{}   (objects of {module_name})\n\n", class.name, field.name);
                    prose(&mut text, std::slice::from_ref(&field.text));
                    let value = Value { kind: field.kind.clone(), ..Value::default() };
                    write!(text, "\nType\n{}", columns(vec![row(&value)])).expect("to a string");
                    told(&mut text, &kind.about, module.about.since.as_deref());
                    text
                }));
            }
        }
    }
    texts
}

fn module_text(name: &str, module: &Module) -> String {
    let mut text = format!("{name}\n\n");
    prose(&mut text, &module.about.prose);
    told(&mut text, &module.about, module.about.since.as_deref());
    if !module.entries.is_empty() {
        text.push('\n');
        text.push_str(&columns(
            module.entries.iter().map(|entry| (signature(&entry.name, entry), entry.summary())).collect(),
        ));
    }
    // A type without a word about any field is the module's own affair.
    let told = |class: &&Class| class.fields.iter().any(|field| !field.text.is_empty());
    for class in module.types.iter().flat_map(|kind| &kind.classes).filter(told) {
        let fields = columns(class.fields.iter().map(row).collect());
        write!(text, "\nFields of {}\n{fields}", class.name).expect("to a string");
    }
    text
}

fn entry_text(name: &str, module: &Module, entry: &Entry) -> String {
    let shown = signature(&entry.name, entry);
    let mut text = match entry.class() {
        _ if name == GLOBALS => format!("{shown}   (global)\n\n"),
        Some(_) => format!("{shown}   (objects of {name})\n\n"),
        None => format!("{name}.{shown}\n\n"),
    };
    if let Some(other) = &entry.same_as {
        writeln!(text, "  Another name of `{other}`.").expect("to a string");
    }
    prose(&mut text, &entry.about.prose);
    if entry.waits {
        text.push_str("  It may wait: the other threads go on meanwhile.\n");
    }
    let fields: Vec<&Entry> = module
        .entries
        .iter()
        .filter(|other| other.name.strip_prefix(&entry.name).is_some_and(|rest| rest.starts_with('.')))
        .collect();
    if !fields.is_empty() {
        let rows = fields.iter().map(|field| (signature(&field.name, field), field.summary()));
        write!(text, "\nFields\n{}", columns(rows.collect())).expect("to a string");
    }
    let kind = entry.kind.iter().filter(|_| !entry.is_function());
    let kind: Vec<Value> = kind.map(|kind| Value { kind: kind.clone(), ..Value::default() }).collect();
    for (title, values) in [("Type", &kind), ("Parameters", &entry.params), ("Returns", &entry.returns)] {
        if !values.is_empty() {
            write!(text, "\n{title}\n{}", columns(values.iter().map(row).collect())).expect("to a string");
        }
    }
    told(&mut text, &entry.about, entry.about.since.as_deref().or(module.about.since.as_deref()));
    text
}

/// Errors, examples and where it comes from.
fn told(text: &mut String, about: &Text, since: Option<&str>) {
    if let Some(errors) = &about.errors {
        // The pages link to a table of all texts.
        let errors = errors.replace("; see [errors](../errors.md)", "");
        write!(text, "\nErrors\n  {errors}\n").expect("to a string");
    }
    for example in &about.examples {
        let reason = example.not_run.iter().map(|reason| format!(" ({reason})"));
        writeln!(text, "\nExample{}", reason.collect::<String>()).expect("to a string");
        prose(text, &example.lines);
    }
    let since = since.map(|since| format!("since {since}"));
    let origin = since.into_iter().chain(about.manual.iter().map(|manual| format!("manual: {manual}")));
    let origin: Vec<String> = origin.collect();
    if !origin.is_empty() {
        write!(text, "\n  {}\n", origin.join(", ")).expect("to a string");
    }
}

fn row(value: &Value) -> (String, String) {
    let left = [value.name.as_str(), value.kind.as_str()].map(str::trim);
    let left = left.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ");
    (left, value.text.clone())
}

/// Lines as they are written.
fn prose(text: &mut String, lines: &[String]) {
    for line in lines {
        text.push_str(format!("  {line}").trim_end());
        text.push('\n');
    }
}

fn unknown(catalogue: &[Named], name: &str) -> Failure {
    let near = near(catalogue, name);
    let hint = match near.is_empty() {
        true => "`splay doc` lists the modules".to_owned(),
        false => format!("near it: {}", near.join(", ")),
    };
    Failure::NotFound(format!("nothing is called `{name}`; {hint}"))
}

/// Names like this one, the likest first.
fn near(catalogue: &[Named], name: &str) -> Vec<String> {
    let short = |module: &'static str| module.strip_prefix("splay.").unwrap_or(module);
    let bare = name.strip_prefix("splay.").unwrap_or(name).to_lowercase();
    let modules = catalogue.iter().map(|(module, _)| short(module).to_owned());
    let full =
        entries(catalogue).map(|(module, entry)| match entry.name.contains(':') || module == GLOBALS {
            true => entry.name.clone(),
            false => format!("{}.{}", short(module), entry.name),
        });
    let mut found: Vec<(usize, String)> = modules
        .chain(full)
        .filter_map(|candidate| {
            // The last part alone counts too: `wiat` is like `events.wait`.
            let last = candidate.rsplit(['.', ':']).next().unwrap_or(&candidate);
            let whole = distance(&bare, &candidate.to_lowercase());
            let least = whole.min(distance(&bare, &last.to_lowercase()));
            (least <= (bare.chars().count() / 3).max(1)).then_some((least, candidate))
        })
        .collect();
    found.sort();
    found.dedup();
    found.into_iter().map(|(_, candidate)| candidate).take(SUGGESTIONS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, expected) in
            [("wait", "wait", 0), ("wiat", "wait", 1), ("", "abc", 3), ("slep", "sleep", 1), ("ab", "xy", 2)]
        {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn every_entry_is_found_by_its_full_name_and_says_something() {
        let catalogue = catalogue();
        assert!(entries(&catalogue).count() > 150, "{}", entries(&catalogue).count());
        for (module, entry) in entries(&catalogue) {
            let text = shown(&catalogue, &format!("{module}.{}", entry.name)).expect("found");
            assert!(text.lines().count() > 2, "{module}: {text}");
        }
    }
}
