//! `splay doc`: the documentation of the embedded libraries in the terminal. How a name is found and
//! how an entry is shown; what there is, is [`crate::catalogue`]'s.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;

use crate::annotations::{Class, Entry, Module, Value};
use crate::catalogue::{Named, catalogue, entries, is_called};
use crate::failure::Failure;
use crate::likeness::distance;

const EXAMPLES: &str = "\
Examples:
  splay doc                all modules
  splay doc events         what a module offers (`splay.events` likewise)
  splay doc events.wait    a function
  splay doc Tcp:receive    a method of a socket
  splay doc random_pick    a function of whatever module

Exit status: 0 found, 1 nothing has this name.";

/// Show what a module or a function of the libraries is for.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct DocArgs {
    /// Module, function or method; none: list the modules.
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

/// Most suggestions for a name that does not exist.
const SUGGESTIONS: usize = 5;

/// Prints what is known about the name.
pub fn execute(args: DocArgs) -> Result<ExitCode, Failure> {
    let catalogue = catalogue();
    let text = match &args.name {
        None => listing(&catalogue),
        Some(name) => shown(&catalogue, name).ok_or_else(|| unknown(&catalogue, name))?,
    };
    io::stdout().write_all(text.as_bytes()).map_err(Failure::Output)?;
    Ok(ExitCode::SUCCESS)
}

fn listing(catalogue: &[Named]) -> String {
    let rows = catalogue.iter().map(|(name, module)| {
        let about = Entry { text: module.text.clone(), ..Entry::default() };
        ((*name).to_owned(), about.summary())
    });
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
        texts = entries(catalogue)
            .filter(|(module, entry)| {
                entry.name == name
                    || name
                        .strip_suffix(entry.name.as_str())
                        .and_then(|rest| rest.strip_suffix('.'))
                        .is_some_and(|rest| is_called(module, rest))
            })
            .map(|(module, entry)| entry_text(module, entry))
            .collect();
    }
    (!texts.is_empty()).then(|| texts.join("\n"))
}

/// `wait(event, timeout?)`.
fn signature(entry: &Entry) -> String {
    let Some(parameters) = &entry.parameters else { return entry.name.clone() };
    let optional = |name: &String| entry.params.iter().any(|param| param.name == format!("{name}?"));
    let shown: Vec<String> = parameters
        .iter()
        .map(|name| if optional(name) { format!("{name}?") } else { name.clone() })
        .collect();
    format!("{}({})", entry.name, shown.join(", "))
}

fn module_text(name: &str, module: &Module) -> String {
    let mut text = format!("{name}\n\n");
    prose(&mut text, &module.text);
    if !module.entries.is_empty() {
        text.push('\n');
        text.push_str(&columns(
            module.entries.iter().map(|entry| (signature(entry), entry.summary())).collect(),
        ));
    }
    // A type without a word about any field is the module's own affair.
    let told = |class: &&Class| class.fields.iter().any(|field| !field.text.is_empty());
    for class in module.classes.iter().filter(told) {
        let fields = columns(class.fields.iter().map(row).collect());
        write!(text, "\nFields of {}\n{fields}", class.name).expect("to a string");
    }
    text
}

fn entry_text(module: &str, entry: &Entry) -> String {
    let mut text = match entry.name.contains(':') {
        true => format!("{}   (objects of {module})\n\n", signature(entry)),
        false => format!("{module}.{}\n\n", signature(entry)),
    };
    prose(&mut text, &entry.text);
    if entry.waits {
        text.push_str("  It may wait: the other threads go on meanwhile.\n");
    }
    for (title, values) in [("Parameters", &entry.params), ("Returns", &entry.returns)] {
        if !values.is_empty() {
            write!(text, "\n{title}\n{}", columns(values.iter().map(row).collect())).expect("to a string");
        }
    }
    text
}

fn row(value: &Value) -> (String, String) {
    let left = [value.name.as_str(), value.kind.as_str()].map(str::trim);
    let left = left.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ");
    (left, value.text.clone())
}

/// Lines as they are written, without the fences of listings.
fn prose(text: &mut String, lines: &[String]) {
    for line in lines.iter().filter(|line| !line.starts_with("```")) {
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
    let full = entries(catalogue).map(|(module, entry)| match entry.name.contains(':') {
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
    fn every_entry_is_found_by_its_full_name_and_says_something() {
        let catalogue = catalogue();
        assert!(entries(&catalogue).count() > 150, "{}", entries(&catalogue).count());
        for (module, entry) in entries(&catalogue) {
            let text = shown(&catalogue, &format!("{module}.{}", entry.name)).expect("found");
            assert!(text.lines().count() > 2, "{module}: {text}");
        }
    }
}
