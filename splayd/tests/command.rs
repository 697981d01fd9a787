//! The `splayd` command, by what it prints.

use assert_cmd::cargo::cargo_bin_cmd;
use predicates::prelude::*;

#[test]
fn help_says_that_deployment_comes_later() {
    cargo_bin_cmd!("splayd")
        .arg("--help")
        .assert()
        .success()
        .stdout(predicate::str::contains("comes in a later version").and(predicate::str::contains("check")));
}

#[test]
fn version_is_the_package_version() {
    cargo_bin_cmd!("splayd")
        .arg("--version")
        .assert()
        .success()
        .stdout(format!("splayd {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn json_agrees_with_the_exit_status() {
    let output = cargo_bin_cmd!("splayd").args(["check", "--json", "--instances", "1"]).output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["fit"].as_bool(), Some(output.status.success()));
    assert_eq!(report["workload"]["instances"], 1);
    let names: Vec<_> = report["findings"].as_array().unwrap().iter().map(|f| &f["name"]).collect();
    assert_eq!(names, ["kernel", "cores", "memory", "descriptors", "landlock", "cgroup v2"]);
}

#[test]
fn a_workload_no_machine_can_carry_is_refused() {
    cargo_bin_cmd!("splayd")
        .args(["check", "--instances", "4000000000"])
        .assert()
        .code(1)
        .stdout(predicate::str::contains("MISSING").and(predicate::str::contains("cannot host 4000000000")));
}

#[test]
fn zero_instances_is_a_usage_error() {
    cargo_bin_cmd!("splayd").args(["check", "--instances", "0"]).assert().code(2);
}
