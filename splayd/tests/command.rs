//! The `splayd` command, by what it prints.

use assert_cmd::cargo::cargo_bin_cmd;
use predicates::prelude::*;

#[test]
fn help_names_the_commands_and_hides_the_worker() {
    let has = |text: &'static str| predicate::str::contains(text);
    let names = has("check").and(has("join")).and(has("run")).and(has("Exit status"));
    cargo_bin_cmd!("splayd").arg("--help").assert().success().stdout(names.and(has("jobd").not()));
}

#[test]
fn what_is_wrong_is_told_in_a_line_with_its_own_status() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("s.toml");
    std::fs::write(&file, "name = \"n\"\nprots = \"1-2\"\n").unwrap();
    let line =
        |text: &'static str| predicate::str::contains(text).and(predicate::str::contains('\n').count(1));
    let run = || {
        let mut command = cargo_bin_cmd!("splayd");
        command.arg("run").arg("--data-directory").arg(folder.path().join("data"));
        command
    };
    run().arg("--config").arg(&file).assert().code(3).stderr(line("s.toml:2: unknown field `prots`"));
    cargo_bin_cmd!("splayd").args(["check", "--config"]).arg(&file).assert().code(3);
    run().args(["--config", "/nowhere"]).assert().code(3).stderr(line("read configuration `/nowhere`"));
    run().args(["--ports", "9-1"]).assert().code(3).stderr(line("--ports: `9-1` is not FIRST-LAST"));
    run().args(["--join", "hello"]).assert().code(3).stderr(line("a join token begins with"));
    run().assert().code(1).stderr(line("has not joined a controller"));
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
