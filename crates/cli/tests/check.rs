//! `splay check`: what it finds in the files of `tests/check/`, each with what is to be printed
//! beside it, and that it finds nothing in the project's own programs.

mod support;

use std::path::{Path, PathBuf};

use support::{Outcome, Place};

fn here(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)
}

/// `splay check WORDS` in a folder of the checkout.
fn check(folder: &Path, words: &[&str]) -> Outcome {
    let mut command = Place::new().splay(&["check"]);
    command.args(words).current_dir(folder);
    Outcome::of(command)
}

#[test]
fn every_file_has_the_findings_written_beside_it() {
    let folder = here("tests/check");
    let mut compared = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let expected = entry.unwrap().path();
        if expected.extension().is_some_and(|extension| extension == "txt") {
            let name = expected.with_extension("lua");
            let outcome = check(&folder, &[name.file_name().unwrap().to_str().unwrap()]);
            let text = std::fs::read_to_string(&expected).unwrap();
            assert_eq!(outcome.out, text, "{}: {}", expected.display(), outcome.err);
            let found = !text.ends_with("nothing found\n");
            outcome.ended(i32::from(found));
            compared += 1;
        }
    }
    assert!(compared >= 12, "{compared} files");
}

#[test]
fn every_kind_of_finding_has_a_file() {
    let help = check(&here("."), &["--help"]).ended(0).out;
    let listed = help.split_once("Findings:\n").unwrap().1.split_once("\n\n").unwrap().0;
    let all: String = std::fs::read_dir(here("tests/check"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    assert_eq!(listed.lines().count(), 13, "{listed}");
    for line in listed.lines() {
        let code = line.split_whitespace().next().unwrap();
        assert!(all.contains(&format!("[{code}]")), "{code}");
    }
}

#[test]
fn nothing_is_found_in_the_projects_own_programs() {
    let words = ["apps", "lualib", "docs", "crates/cli/templates", "scripts"];
    let outcome = check(&here("../.."), &words);
    assert!(outcome.out.ends_with("nothing found\n"), "{}", outcome.out);
    assert_eq!(outcome.err, "", "files that are not followed");
    outcome.ended(0);
}

#[test]
fn findings_as_json() {
    let outcome = check(&here("tests/check"), &["--json", "stale_index.lua", "accepted.lua"]).ended(1);
    let found: serde_json::Value = serde_json::from_str(outcome.out.trim_end()).unwrap();
    assert_eq!(
        found,
        serde_json::json!({
            "file": "stale_index.lua", "line": 3, "column": 7, "level": "warning", "code": "stale-index",
            "message": "the index `#queue` is read before `table.remove` makes the table shorter",
            "hint": "first `local value = table.remove(...)`, then assign it",
            "source": "queue[#queue + 1] = table.remove(queue, 1)",
        })
    );
}

#[test]
fn files_that_run_together_know_each_others_globals() {
    let place = Place::new();
    place.write("app.lua", "require 'splay.base'\nrequire 'part'\nlimit = 3\nevents.run(start)\n");
    place.write("part.lua", "function start() print(limit, nothing) end\nreturn true\n");
    let outcome = Outcome::of(place.splay(&["check"])).ended(1);
    assert!(outcome.out.contains("part.lua:1:31: warning[undefined-global]"), "{outcome:?}");
    assert!(outcome.out.ends_with("1 finding in 1 of 2 files\n"), "{outcome:?}");
    // By itself it is not known to belong to `app.lua`.
    let outcome = Outcome::of(place.splay(&["check", "part.lua"])).ended(1);
    assert!(outcome.out.ends_with("2 findings in 1 of 1 file\n"), "{outcome:?}");
}

#[test]
fn no_file_is_run() {
    let place = Place::with("os.exit(9)\n");
    place.write("part.lua", "io.open('made', 'w')\n");
    place.write("other.lua", "require 'part'\n");
    Outcome::of(place.splay(&["check"])).ended(0);
    assert!(!place.path().join("made").exists());
}

#[test]
fn unusual_sources() {
    let place = Place::new();
    let sum = vec!["1"; 20_000].join(" + ");
    place.write("sum.lua", &format!("print({sum})\n"));
    let deep = format!("print({}{})\n", "{".repeat(150), "}".repeat(150));
    place.write("deep.lua", &deep);
    std::fs::write(place.path().join("latin.lua"), b"-- caf\xe9\nlocal s = \"\xe9\" print(s, slepe)\n")
        .unwrap();
    place.write("empty.lua", "");
    place.write("jit.lua", "local goto = 1\nprint(goto)\n");
    let outcome = Outcome::of(place.splay(&["check"])).ended(1);
    assert!(outcome.out.starts_with("latin.lua:2:24: warning[undefined-global]"), "{outcome:?}");
    assert!(outcome.out.ends_with("1 finding in 1 of 5 files\n"), "{outcome:?}");
    assert_eq!(outcome.err, "splay: jit.lua: only its syntax was checked: it uses LuaJIT's own\n");
}

#[test]
fn wrong_use_is_told() {
    let place = Place::new();
    let outcome = Outcome::of(place.splay(&["check"])).ended(1);
    assert_eq!(outcome.err, "splay: no file named *.lua here or below\n");
    let outcome = Outcome::of(place.splay(&["check", "none.lua"])).ended(3);
    assert_eq!(outcome.err, "splay: no such file: none.lua\n");
    Outcome::of(place.splay(&["check", "--jsonn"])).ended(2);
}
