//! The `splay-controller` command, by what it prints.

use assert_cmd::cargo::cargo_bin_cmd;
use predicates::prelude::*;
use serde_json::Value;

fn lists(arguments: &[&str]) -> Vec<Value> {
    let output = cargo_bin_cmd!("splay-controller").arg("lists").args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).expect("one JSON object a line"))
        .collect()
}

#[test]
fn head_lists_are_the_same_for_all() {
    let tables = lists(&["-n", "4", "--list-size", "2", "--first-port", "3000"]);
    assert_eq!(tables.len(), 4);
    for (index, table) in tables.iter().enumerate() {
        assert_eq!(table["position"], index + 1);
        assert_eq!(table["me"]["port"], 3000 + index);
        assert_eq!(table["list_type"], "head");
        assert_eq!(table["nodes"], tables[0]["nodes"]);
        assert_eq!(table["nodes"].as_array().unwrap().len(), 2);
    }
}

#[test]
fn random_lists_follow_the_seed_and_leave_oneself_out() {
    let of = |seed: &str| lists(&["-n", "20", "--list-type", "random", "--list-size", "5", "--seed", seed]);
    assert_eq!(of("7"), of("7"));
    assert_ne!(of("7"), of("8"));
    for table in of("7") {
        let nodes = table["nodes"].as_array().unwrap();
        assert_eq!(nodes.len(), 5);
        assert!(!nodes.contains(&table["me"]));
    }
}

#[test]
fn one_position_is_the_same_line() {
    let options = ["-n", "6", "--list-type", "random", "--seed", "3"];
    let one = lists(&[&options[..], &["--position", "4"]].concat());
    assert_eq!(one, lists(&options)[3..4]);
}

#[test]
fn ports_beyond_the_last_are_refused() {
    cargo_bin_cmd!("splay-controller")
        .args(["lists", "-n", "10", "--first-port", "65530"])
        .assert()
        .code(1)
        .stderr(predicate::str::contains("65535"));
    cargo_bin_cmd!("splay-controller")
        .args(["lists", "-n", "3", "--position", "4"])
        .assert()
        .code(1)
        .stderr(predicate::str::contains("no position 4"));
}
