use crate::annotations::{Class, Entry, Module, parse};
use crate::catalogue::{GLOBALS, Named, catalogue, entries, full_name};
use crate::reference::{before, same_as, stubs};

/// Calls a check with each entry and collects what it complains about.
fn complaints(check: impl Fn(&Named, &Entry) -> Option<String>) -> String {
    let mut all = Vec::new();
    for named in &catalogue() {
        for entry in named.1.entries.iter().filter(|entry| entry.same_as.is_none()) {
            all.extend(check(named, entry).map(|text| format!("{}: {text}", full_name(named.0, entry))));
        }
    }
    all.join("\n")
}

fn has_functions(class: &Class) -> bool {
    class.fields.iter().any(|field| field.kind.starts_with("fun("))
}

#[test]
fn parameters_are_named_alike() {
    let found = complaints(|_, entry| {
        let declared = entry.parameters.as_ref()?;
        let told: Vec<&str> = entry.params.iter().map(|param| param.name.trim_end_matches('?')).collect();
        (declared != &told).then(|| format!("declares {declared:?}, annotates {told:?}"))
    });
    assert!(found.is_empty(), "{found}");
}

#[test]
fn every_function_has_an_example() {
    let found = complaints(|_, entry| {
        (entry.is_function() && entry.about.examples.is_empty()).then(|| "has no example".to_owned())
    });
    assert!(found.is_empty(), "{found}");
}

#[test]
fn objects_described_by_their_fields_have_an_example() {
    for (name, module) in &catalogue() {
        for kind in &module.types {
            for class in kind.classes.iter().filter(|class| has_functions(class)) {
                // What is given to a function is in the example of that function.
                let given = |entry: &Entry| entry.params.iter().any(|param| param.kind.contains(&class.name));
                assert!(
                    !kind.about.examples.is_empty()
                        || kind.variable.is_some()
                        || module.entries.iter().any(given),
                    "{name}: {} has no example",
                    class.name
                );
            }
        }
    }
}

#[test]
fn what_can_fail_tells_how() {
    let found = complaints(|_, entry| {
        let fails =
            entry.returns.iter().any(|value| value.name == "reason" || value.text.contains("nil, \"reason"));
        (fails && entry.about.errors.is_none()).then(|| "returns a reason, but tells no errors".to_owned())
    });
    assert!(found.is_empty(), "{found}");
}

#[test]
fn everything_has_a_summary_and_a_version() {
    for (name, module) in &catalogue() {
        assert!(!module.about.summary().is_empty(), "{name}");
        assert!(module.about.since.is_some(), "{name}");
    }
    let found = complaints(|_, entry| entry.summary().is_empty().then(|| "has no summary".to_owned()));
    assert!(found.is_empty(), "{found}");
}

#[test]
fn times_and_sizes_tell_their_unit() {
    let words = ["timeout", "seconds", "period", "time"];
    let found = complaints(|_, entry| {
        let bare = entry.params.iter().find(|param| {
            words.contains(&param.name.trim_end_matches('?'))
                && param.kind.starts_with("number")
                && !param.text.contains("second")
        })?;
        Some(format!("no unit of {}", bare.name))
    });
    let found: Vec<&str> = found.lines().filter(|line| !line.contains("no unit of seconds")).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn stubs_tell_all_that_the_catalogue_does() {
    let catalogue = catalogue();
    let files = stubs(&catalogue);
    for (name, module) in catalogue.iter().filter(|(name, _)| *name != GLOBALS && same_as(name).is_none()) {
        let path = format!("library/{}.lua", name.replace('.', "/"));
        let file = files.iter().find(|file| file.path == path).expect("each module has a stub");
        assert!(file.text.starts_with(&format!("---@meta {name}\n")), "{}", file.text);
        let told = parse(&file.text);
        for entry in &module.entries {
            // Methods of native objects are in files of their own.
            let native = entry.class().is_some_and(|class| ["Tcp", "Udp", "Tls"].contains(&class));
            let found = told.entries.iter().find(|have| have.name == entry.name);
            assert!(native || found.is_some(), "{name}: {} is not in its stub", entry.name);
            if let Some(found) = found {
                assert_eq!(found.parameters, entry.parameters, "{name}: {}", entry.name);
            }
        }
    }
}

#[test]
fn the_example_of_a_class_comes_before_those_of_its_methods() {
    let catalogue = catalogue();
    let (_, module) = catalogue.iter().find(|(name, _)| *name == "splay.events").expect("is there");
    let (_, lock) = entries(&catalogue).find(|(_, entry)| entry.name == "Lock:lock").expect("is there");
    assert_eq!(before(module, lock).expect("has one").lines, ["local lock = events.lock()"]);
}

/// What LuaLS knows by itself, and the names of type parameters.
const TYPES: [&str; 19] = [
    "any",
    "boolean",
    "false",
    "file",
    "fun",
    "function",
    "integer",
    "lightuserdata",
    "nil",
    "number",
    "string",
    "table",
    "thread",
    "true",
    "unknown",
    "userdata",
    "async",
    "T",
    "F",
];

/// Names of types in a type: without texts in quotes, and the names of parameters and fields.
fn type_names(kind: &str) -> Vec<String> {
    let unquoted: String = kind.split('"').step_by(2).collect::<Vec<_>>().join(" ");
    let is_name = |c: char| c.is_alphanumeric() || "_.".contains(c);
    let mut names = Vec::new();
    let mut rest = unquoted.as_str();
    while let Some(at) = rest.find(|c: char| c.is_alphabetic()) {
        let name: String = rest[at..].chars().take_while(|c| is_name(*c)).collect();
        rest = &rest[at + name.len()..];
        let is_label = rest.trim_start_matches('?').starts_with(':');
        if !is_label {
            names.push(name.trim_matches('.').to_owned());
        }
    }
    names
}

#[test]
fn names_of_types_are_found() {
    assert_eq!(
        type_names("fun(a: string, b?: splay.Node[]): any ..."),
        ["fun", "string", "splay.Node", "any"]
    );
    assert_eq!(type_names("{s: table}|\"head\"|nil"), ["table", "nil"]);
}

#[test]
fn every_type_is_declared() {
    let catalogue = catalogue();
    let files = stubs(&catalogue);
    let lines = files.iter().flat_map(|file| file.text.lines());
    let declared: Vec<&str> = lines
        .filter_map(|line| {
            line.trim().strip_prefix("---@class ").or_else(|| line.trim().strip_prefix("---@alias "))
        })
        .filter_map(|rest| rest.split([' ', ':']).next())
        .collect();
    for (at, name) in declared.iter().enumerate() {
        assert!(!declared[..at].contains(name), "{name} is declared twice");
    }
    let mut unknown = Vec::new();
    for (module, kinds) in catalogue.iter().map(|(name, module)| (name, kinds(module))) {
        for name in kinds.iter().flat_map(|kind| type_names(kind)) {
            if !TYPES.contains(&name.as_str()) && !declared.contains(&name.as_str()) {
                unknown.push(format!("{module}: {name}"));
            }
        }
    }
    assert!(unknown.is_empty(), "no such type: {}", unknown.join(", "));
}

/// All types that a module's annotations name.
fn kinds(module: &Module) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for entry in &module.entries {
        all.extend(entry.params.iter().chain(&entry.returns).map(|value| value.kind.clone()));
        all.extend(entry.kind.clone());
    }
    for class in module.types.iter().flat_map(|kind| &kind.classes) {
        all.extend(class.fields.iter().map(|field| field.kind.clone()));
    }
    for line in module.types.iter().flat_map(|kind| &kind.source) {
        let parent = line.strip_prefix("---@class ").and_then(|rest| rest.split_once(": "));
        all.extend(parent.map(|(_, parent)| parent.to_owned()));
        let alias = line.strip_prefix("---@alias ").and_then(|rest| rest.split_once(' '));
        all.extend(alias.map(|(_, kind)| kind.to_owned()));
    }
    all
}
