//! `splay new`: each template runs, passes its test and has no finding as it is written.

mod support;

use std::path::Path;

use support::{Outcome, Place, free_ports};

fn new(place: &Place, words: &[&str]) -> Outcome {
    let mut all = vec!["new"];
    all.extend(words);
    Outcome::of(place.splay(&all))
}

/// Writes, tests and runs one; gives what its five instances have printed.
fn generated(template: &str) -> Vec<String> {
    let place = Place::new();
    let outcome = new(&place, &["fresh", "--template", template]).ended(0);
    assert!(outcome.out.contains("splay run fresh.lua -n 5\n"), "{outcome:?}");
    assert!(outcome.out.contains("splay check fresh.lua\n"), "{outcome:?}");
    // The test requires the application: both are checked as they run together.
    Outcome::of(place.splay(&["check"])).ended(0);
    let tested = Outcome::of(place.splay(&["test"])).ended(0);
    assert!(tested.out.ends_with(" passed, 0 failed\n") && tested.out.contains("fresh_test.lua"));
    assert!(!tested.out.contains("\n0 passed"), "{tested:?}");
    let first = free_ports(5).to_string();
    let ran = Outcome::of(place.splay(&["run", "fresh.lua", "-n", "5", "--first-port", &first])).ended(0);
    let mut lines: Vec<String> = ran.lines().into_iter().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn hello() {
    let lines = generated("hello");
    for instance in 1..=5 {
        assert!(lines.contains(&format!("hello, I am instance {instance} of 5")), "{lines:?}");
    }
    assert_eq!(lines.iter().filter(|line| *line == "tick 3").count(), 5, "{lines:?}");
}

#[test]
fn rpc() {
    let lines = generated("rpc");
    assert_eq!(lines.len(), 5, "{lines:?}");
    assert!(lines.iter().all(|line| line.contains(" has counted ")), "{lines:?}");
}

#[test]
fn gossip() {
    let lines = generated("gossip");
    assert_eq!(lines.len(), 5, "{lines:?}");
    assert!(lines.iter().all(|line| line.starts_with("heard \"hello\" in round ")), "{lines:?}");
}

#[test]
fn dht() {
    assert_eq!(generated("dht"), ["10 of 10 values found"; 5]);
}

#[test]
fn consensus() {
    let mut lines = generated("consensus");
    assert_eq!(lines.len(), 5, "{lines:?}");
    lines.dedup();
    assert_eq!(lines.len(), 1, "they disagree: {lines:?}");
    assert!(lines[0].starts_with("decided: value of "), "{lines:?}");
}

#[test]
fn nothing_is_written_over() {
    let place = Place::new();
    place.write("ring_test.lua", "mine");
    let outcome = new(&place, &["ring"]).ended(6);
    assert!(outcome.err.contains("ring_test.lua") && outcome.err.contains("there already"), "{outcome:?}");
    assert_eq!(place.read("ring_test.lua"), "mine");
    assert!(!place.path().join("ring.lua").exists() && !place.path().join(".luarc.json").exists());

    place.write(".luarc.json", "{}");
    new(&place, &["other"]).ended(0);
    assert_eq!(place.read(".luarc.json"), "{}");
    new(&place, &["other"]).ended(6);
}

#[test]
fn a_folder_is_made_with_settings_for_editors() {
    let place = Place::new();
    let outcome = new(&place, &["apps/deep/ring.lua", "-t", "rpc"]).ended(0);
    assert!(outcome.out.contains("splay test apps/deep/ring_test.lua"), "{outcome:?}");
    let settings = place.read("apps/deep/.luarc.json");
    let settings: serde_json::Value = serde_json::from_str(&settings).unwrap();
    assert_eq!(settings["runtime.version"], "LuaJIT");
    assert!(place.read("apps/deep/ring.lua").contains("splay test ring_test.lua"));
}

#[test]
fn unusable_names() {
    let place = Place::new();
    assert!(new(&place, &["json"]).ended(2).err.contains("a library has this name"));
    new(&place, &["no.dots"]).ended(2);
    new(&place, &["ring", "-t", "none"]).ended(2);
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
}

#[test]
fn editors_find_a_stub_of_each_module_that_a_template_requires() {
    for template in ["hello", "rpc", "gossip", "dht", "consensus"] {
        let place = Place::new();
        new(&place, &["fresh", "-t", template]).ended(0);
        let settings: serde_json::Value = serde_json::from_str(&place.read(".luarc.json")).unwrap();
        let library = settings["workspace.library"][0].as_str().expect("a folder");
        assert!(!Path::new(library).is_absolute(), "{library}");
        assert!(place.read(&format!("{library}/globals.lua")).contains("\njob.nodes = nil"));
        for source in [place.read("fresh.lua"), place.read("fresh_test.lua")] {
            let required = source.split("require").skip(1).filter_map(|rest| rest.split('"').nth(1));
            for module in required.filter(|module| *module != "fresh") {
                let stub = place.read(&format!("{library}/library/{}.lua", module.replace('.', "/")));
                assert!(stub.starts_with(&format!("---@meta {module}\n")), "{stub}");
            }
        }
    }
}

#[test]
fn stubs_are_renewed_and_settings_kept() {
    let place = Place::new();
    new(&place, &["ring"]).ended(0);
    place.write(".splay/stubs/globals.lua", "-- old");
    place.write(".luarc.json", "{}");
    new(&place, &["other"]).ended(0);
    assert_eq!(place.read(".luarc.json"), "{}");
    assert!(place.read(".splay/stubs/globals.lua").contains("splay.Job"));
}
