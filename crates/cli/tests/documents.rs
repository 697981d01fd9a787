//! Help, completions and manual pages.

mod support;

use support::{Outcome, Place};

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
}
