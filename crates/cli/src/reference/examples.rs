//! The examples as tests: one file per module for `splay test`. What an example says it gives is
//! compared by `examples.lua`, which each file begins with.

use std::fmt::Write as _;

use crate::annotations::{Entry, Example, Module};
use crate::catalogue::{GLOBALS, Named, full_name, variable};
use crate::reference::{File, before};

const HARNESS: &str = include_str!("examples.lua");

/// The files; a module without an example has none.
pub fn examples(catalogue: &[Named]) -> Vec<File> {
    let mut names = String::from("local names = {\n");
    for (name, _) in catalogue.iter().filter(|(name, module)| *name != GLOBALS && !module.entries.is_empty())
    {
        // What has a longer name is meant where both have the same: `splay.json`, not `json`.
        writeln!(names, "  [{:?}] = {name:?},", variable(name)).expect("to a string");
    }
    names.push_str("}\n");
    let file = |name: &str, module: &Module| -> Option<File> {
        let tests = tests(name, module);
        let text = format!("{names}names[{:?}] = {name:?}\n{HARNESS}\n{tests}\ntest.run()\n", variable(name));
        (!tests.is_empty()).then(|| File { path: format!("{name}_test.lua"), text })
    };
    catalogue.iter().filter_map(|(name, module)| file(name, module)).collect()
}

fn tests(name: &str, module: &Module) -> String {
    let mut text = String::new();
    let mut add = |title: &str, begin: Option<&Example>, example: &Example| {
        let runs = |example: &Example| example.not_run.is_none();
        if runs(example) && begin.is_none_or(runs) {
            let begin = begin.map_or("nil".to_owned(), |begin| quoted(&begin.lines));
            writeln!(text, "example({title:?}, {begin}, {})", quoted(&example.lines)).expect("to a string");
        }
    };
    for example in &module.about.examples {
        add(name, None, example);
    }
    for kind in &module.types {
        for example in &kind.about.examples {
            add(kind.classes.first().map_or(name, |class| &class.name), None, example);
        }
    }
    let own = |entry: &&Entry| entry.same_as.is_none();
    for entry in module.entries.iter().filter(own) {
        for example in &entry.about.examples {
            add(&full_name(name, entry), before(module, entry), example);
        }
    }
    text
}

/// Lines as a Lua text, whatever is in them.
fn quoted(lines: &[String]) -> String {
    let text = lines.join("\n");
    let level = (0..).map(|n| "=".repeat(n)).find(|level| !text.contains(&format!("]{level}]")));
    let level = level.expect("some level is not in the text");
    format!("[{level}[\n{text}]{level}]")
}
