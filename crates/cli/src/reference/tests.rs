use crate::annotations::{Class, Entry, parse};
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
