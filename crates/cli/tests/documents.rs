//! Help, completions and manual pages.

mod support;

use support::{Outcome, Place};

const COMMANDS: [&str; 9] = ["run", "lua", "repl", "attach", "new", "test", "doc", "completions", "man"];

#[test]
fn every_help_has_examples() {
    let place = Place::new();
    for words in [
        &["--help"] as &[&str],
        &["run", "--help"],
        &["lua", "--help"],
        &["completions", "--help"],
        &["man", "--help"],
        &["test", "--help"],
        &["new", "--help"],
        &["doc", "--help"],
        &["repl", "--help"],
        &["attach", "--help"],
        &["check", "--help"],
        &["churn", "--help"],
        &["churn", "check", "--help"],
        &["churn", "expand", "--help"],
        &["churn", "stats", "--help"],
        &["churn", "plot", "--help"],
        &["churn", "convert", "--help"],
        &["up", "--help"],
        &["login", "--help"],
        &["logout", "--help"],
        &["submit", "--help"],
        &["resubmit", "--help"],
        &["jobs", "--help"],
        &["job", "--help"],
        &["logs", "--help"],
        &["kill", "--help"],
        &["results", "--help"],
        &["nodes", "--help"],
        &["node", "--help"],
        &["users", "--help"],
        &["tokens", "--help"],
        &["join-tokens", "--help"],
        &["audit", "--help"],
        &["blacklist", "--help"],
        &["libs", "--help"],
    ] {
        let outcome = Outcome::of(place.splay(words)).ended(0);
        assert!(outcome.out.contains("Examples:"), "{words:?}: {}", outcome.out);
    }
    let help = Outcome::of(place.splay(&["run", "--help"])).ended(0).out;
    for told in ["Exit status:", "--list-type", "--for", "runs/<app>/", "Ctrl-C"] {
        assert!(help.contains(told), "{told} in {help}");
    }
}

#[test]
fn without_a_command_help_is_shown() {
    let outcome = Outcome::of(Place::new().splay(&[])).ended(2);
    assert!(outcome.err.contains("Usage: splay") || outcome.out.contains("Usage: splay"), "{outcome:?}");
}

#[test]
fn version() {
    let outcome = Outcome::of(Place::new().splay(&["--version"])).ended(0);
    assert_eq!(outcome.out, format!("splay {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn completions_for_each_shell() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish"] {
        let outcome = Outcome::of(place.splay(&["completions", shell])).ended(0);
        assert!(outcome.out.contains("first-port"), "{shell}");
        for command in COMMANDS {
            assert!(outcome.out.contains(command), "{shell} does not know {command}");
        }
    }
    Outcome::of(place.splay(&["completions", "tcl"])).ended(2);
}

#[test]
fn manual_pages() {
    let place = Place::new();
    let page = Outcome::of(place.splay(&["man"])).ended(0).out;
    assert!(page.contains(".TH splay 1"), "{page}");
    Outcome::of(place.splay(&["man", "pages"])).ended(0);
    assert!(place.read("pages/splay-run.1").contains("first\\-port"));
    for command in COMMANDS {
        assert!(place.read(&format!("pages/splay-{command}.1")).contains("EXTRA"), "{command}");
    }
}

#[test]
fn files_are_completed_as_files() {
    let place = Place::new();
    let script = Outcome::of(place.splay(&["completions", "zsh"])).ended(0).out;
    for line in [
        "::app -- An application to run first. Its threads go on at the prompt:_files",
        ":app -- The application'\\''s Lua file:_files",
        ":_files -/",
    ] {
        assert!(script.contains(line), "{line}: {script}");
    }
}
