//! What the operating system denies a worker, tried by a process that is confined like one.

use std::collections::BTreeMap;
use std::process::Command;

fn probe(user: Option<&str>) -> BTreeMap<String, String> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for name in ["files", "lives"] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
    }
    std::fs::write(folder.path().join("files/a"), "x").unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = Command::new(env!("CARGO_BIN_EXE_splayd"));
    command.arg("confine-probe").arg(folder.path()).arg(port.to_string()).args(user);
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said.lines().filter_map(|line| line.split_once(' ')).map(|(a, b)| (a.to_owned(), b.to_owned())).collect()
}

#[test]
fn a_worker_does_its_work_and_nothing_else() {
    let found = probe(None);
    let answers = |names: &[&str]| -> Vec<String> {
        names
            .iter()
            .map(|name| format!("{name} {}", found.get(*name).map_or("untried", String::as_str)))
            .collect()
    };
    let may = ["read-files", "make-file", "thread", "bind-own-port", "udp", "resolve"];
    assert_eq!(answers(&may), may.map(|name| format!("{name} yes")));
    // By seccomp and limits, which every kernel that is supported has.
    let always = [
        "large-file",
        "run-program",
        "fork",
        "trace",
        "raw-socket",
        "namespace",
        "much-memory",
        "many-descriptors",
    ];
    assert_eq!(answers(&always), always.map(|name| format!("{name} no")));
    let by_landlock = ["change-files", "make-link", "read-elsewhere", "write-elsewhere", "list-processes"];
    if found.get("lacking").is_none_or(|what| !what.starts_with("Landlock")) {
        assert_eq!(answers(&by_landlock), by_landlock.map(|name| format!("{name} no")));
        assert_eq!(answers(&["bind-other-port"]), ["bind-other-port no"]);
    }
}
