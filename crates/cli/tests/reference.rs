//! The reference of the libraries against the libraries: what a live instance exports is annotated
//! and nothing else is, the examples give what they say, and what is made of the annotations is up
//! to date.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use support::{Outcome, Place};

/// Modules that are another's table, or a table in it: described there.
const SAME: [&str; 8] = [
    "cjson.safe",
    "crypto.evp",
    "crypto.hmac",
    "crypto.rand",
    "etcd.luasocket",
    "mime.core",
    "socket",
    "socket.core",
];

/// Globals of Lua itself.
const LUA: &str = "\
    arg assert bit collectgarbage coroutine debug dofile error gcinfo getfenv getmetatable io ipairs jit \
    load loadfile loadstring math module newproxy next os package pairs pcall print rawequal rawget \
    rawset require select setfenv setmetatable string table tonumber tostring type unpack xpcall";

/// What is described with another type: a connection under TLS has all methods of a TCP socket, the
/// module `splay.log` is a log object, another node's store does what one's own does.
const INHERITED: [(&str, &str, &str, &str); 3] = [
    ("ssl", "Tls:", "splay.socket", "Tcp:"),
    ("splay.log", "", "splay.log", "splay.log.Object."),
    ("splay.objstore", "Remote:", "splay.objstore", "Store:"),
];

/// Classes whose functions are described as fields.
const OBJECTS: [&str; 3] = ["splay.queue", "crypto.digest", "splay.log.Object"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the checkout")
}

fn catalogue(place: &Place) -> Value {
    let text = Outcome::of(place.splay(&["doc", "--json"])).ended(0).out;
    serde_json::from_str(&text).expect("JSON")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Something exported: whether it is a function, and the parameters it declares.
#[derive(Debug)]
struct Export {
    function: bool,
    parameters: Option<Vec<String>>,
}

/// What the annotations tell, by module and name.
fn annotated(catalogue: &Value) -> BTreeMap<(String, String), Export> {
    let mut all = BTreeMap::new();
    for module in list(&catalogue["modules"]) {
        let name = text(&module["name"]).to_owned();
        for entry in list(&module["entries"]) {
            let names = |values: &Value| list(values).iter().map(|value| text(value).to_owned()).collect();
            let export = Export {
                // A value whose type is that of a function.
                function: entry["function"] == true || text(&entry["type"]).starts_with("fun("),
                parameters: entry["parameters"].is_array().then(|| names(&entry["parameters"])),
            };
            all.insert((name.clone(), text(&entry["name"]).to_owned()), export);
        }
        // Fields of a class: what the objects of some are made of, and what a module has.
        for kind in list(&module["types"]) {
            for class in list(&kind["classes"]) {
                let class_name = text(&class["name"]);
                let own = class_name == name && text(&kind["variable"]) == "M";
                for field in list(&class["fields"]) {
                    let function = text(&field["type"]).starts_with("fun(");
                    let field = text(&field["name"]);
                    let export = Export { function, parameters: None };
                    if OBJECTS.contains(&class_name) && function {
                        all.insert((name.clone(), format!("{class_name}.{field}")), export);
                    } else if own && !field.ends_with('?') {
                        all.insert((name.clone(), field.to_owned()), export);
                    }
                }
            }
        }
    }
    all
}

/// What an instance exports: kind and number of parameters, by module and name.
fn live(
    place: &Place,
    annotated: &BTreeMap<(String, String), Export>,
) -> BTreeMap<(String, String), (String, String)> {
    let modules: BTreeSet<&String> = annotated.keys().map(|(module, _)| module).collect();
    let mut wanted = String::from("return {\n");
    for module in modules.iter().filter(|module| module.as_str() != "globals") {
        let names =
            annotated.keys().filter(|(have, _)| *have == **module).map(|(_, name)| format!("{name:?}, "));
        writeln!(wanted, "  [{module:?}] = {{ {} }},", names.collect::<String>()).expect("to a string");
    }
    wanted.push_str("}\n");
    place.write("wanted.lua", &wanted);
    place.write("walk.lua", include_str!("reference/walk.lua"));
    // One instance of a job, so that there is a global `job`.
    let words = [
        "run",
        "walk.lua",
        "-n",
        "1",
        "--first-port",
        &support::free_ports(1).to_string(),
        "--",
        "wanted.lua",
    ];
    let outcome = Outcome::of(place.splay(&words)).ended(0);
    let mut all = BTreeMap::new();
    for line in outcome.lines() {
        let parts: Vec<&str> = line.split('\t').collect();
        let [module, name, kind, parameters] = parts[..] else { panic!("{line}") };
        all.insert((module.to_owned(), name.to_owned()), (kind.to_owned(), parameters.to_owned()));
    }
    all
}

/// What an instance of a local run does not find: a testbed sets it, or the program itself.
const ELSEWHERE: [&str; 2] = ["job.name", "job.on_stop"];

#[test]
fn annotations_and_a_live_instance_agree() {
    let place = Place::new();
    let annotated = annotated(&catalogue(&place));
    let live = live(&place, &annotated);
    assert!(live.len() > 300, "{}", live.len());
    let mut wrong = Vec::new();
    for ((module, name), (kind, parameters)) in &live {
        let has = |module: &str, name: String| annotated.contains_key(&(module.to_owned(), name));
        let inherited = INHERITED.iter().any(|(of, own, other_module, other)| {
            let method = name.strip_prefix(own).filter(|_| of == module);
            method.is_some_and(|method| has(other_module, format!("{other}{method}")))
        });
        if inherited || (module == "globals" && LUA.split(' ').any(|own| own == name)) {
            continue;
        }
        let Some(export) = annotated.get(&(module.clone(), name.clone())) else {
            wrong.push(format!("not annotated: {module} {name}, a {kind}"));
            continue;
        };
        if export.function != (kind == "function") {
            wrong.push(format!("{module} {name} is a {kind}"));
        }
        let declared = parameters.parse::<usize>().ok();
        let told = export.parameters.as_ref().map(|names| {
            names.iter().filter(|name| *name != "...").count() + usize::from(name.contains(':'))
        });
        // A function made by another may declare more than is of use; names are compared where the
        // source declares them, by a test of the command's own.
        if let (Some(declared), Some(told)) = (declared, told)
            && declared < told
        {
            wrong.push(format!("{module} {name} has {declared} parameters, not {:?}", export.parameters));
        }
    }
    for (module, name) in annotated.keys() {
        let elsewhere = ELSEWHERE.contains(&name.as_str()) || name.split('.').next() == Some("view");
        if module == "globals" && elsewhere {
            continue;
        }
        if !live.contains_key(&(module.clone(), name.clone())) && !SAME.contains(&module.as_str()) {
            wrong.push(format!("annotated, but not there: {module} {name}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Files below a folder, by their paths in it.
fn files(folder: &Path) -> BTreeMap<PathBuf, String> {
    fn collect(folder: &Path, root: &Path, found: &mut BTreeMap<PathBuf, String>) {
        for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("directory entry").path();
            match path.is_dir() {
                true => collect(&path, root, found),
                false => {
                    let text = fs::read_to_string(&path).expect("readable");
                    found.insert(path.strip_prefix(root).expect("below").to_owned(), text);
                }
            }
        }
    }
    let mut found = BTreeMap::new();
    collect(folder, folder, &mut found);
    found
}

fn compare(made: &Path, kept: &Path) {
    let (made, kept) = (files(made), files(kept));
    let paths: BTreeSet<&PathBuf> = made.keys().chain(kept.keys()).collect();
    let differ: Vec<&PathBuf> = paths.into_iter().filter(|path| made.get(*path) != kept.get(*path)).collect();
    assert!(differ.is_empty(), "not up to date; see `scripts/check reference`: {differ:?}");
    assert!(made.len() > 40, "{}", made.len());
}

#[test]
fn pages_and_stubs_are_up_to_date() {
    let place = Place::new();
    Outcome::of(place.splay(&["doc", "--markdown", "pages"])).ended(0);
    compare(&place.path().join("pages"), &root().join("docs/reference/libraries"));
    Outcome::of(place.splay(&["doc", "--stubs", "stubs"])).ended(0);
    compare(&place.path().join("stubs"), &root().join("lualib/meta"));
}

#[test]
fn stubs_are_lua() {
    let place = Place::new();
    Outcome::of(place.splay(&["doc", "--stubs", "stubs"])).ended(0);
    let mut program = String::new();
    for path in files(&place.path().join("stubs")).keys() {
        writeln!(program, "assert(loadfile(\"stubs/{}\"))", path.display()).expect("to a string");
    }
    place.write("load.lua", &format!("{program}print('all')\n"));
    assert_eq!(Outcome::of(place.splay(&["lua", "load.lua"])).ended(0).out, "all\n");
}

#[test]
fn examples_give_what_they_say() {
    let place = Place::new();
    Outcome::of(place.splay(&["doc", "--examples", "examples"])).ended(0);
    // Another seed each time would fail now and then for a reason nobody could repeat.
    let outcome = Outcome::of(place.splay(&["test", "examples", "--seed", "1"])).ended(0);
    let summary = outcome.out.lines().last().unwrap_or_default();
    let passed: u32 = summary.split(' ').next().and_then(|count| count.parse().ok()).unwrap_or(0);
    assert!(passed > 300 && summary.ends_with(" 0 failed"), "{summary}");
}

#[test]
fn an_example_that_is_wrong_fails() {
    let place = Place::new();
    Outcome::of(place.splay(&["doc", "--examples", "examples"])).ended(0);
    let path = "examples/splay.queue_test.lua";
    let wrong = place.read(path).replace("--> \"a\"", "--> \"b\"");
    assert_ne!(wrong, place.read(path));
    place.write(path, &wrong);
    let outcome = Outcome::of(place.splay(&["test", path, "--seed", "1"])).ended(1);
    assert!(outcome.out.contains("promises \"b\", gives \"a\""), "{outcome:?}");
}
