//! The same program, options and seed give the same recording in every process. Sources of
//! difference, one by one, are in `determinism_sources.rs`.
//!
//! `SPLAY_LONG_TESTS=1` runs each application a hundred times instead of three.

mod repeat;

use splay_runtime::program::Program;

/// Not a test: what a child process runs.
#[test]
fn child() {
    repeat::be_child();
}

/// Applications of all kinds: calls by datagrams and by streams, views, files, trees, locks.
const APPS: [&str; 13] = [
    "chord",
    "cyclon",
    "epidemic",
    "kademlia",
    "pastry",
    "rumor",
    "antientropy",
    "hyparview",
    "vivaldi",
    "raft",
    "kvstore",
    "etcd_registry",
    "swarm",
];

#[test]
fn applications_repeat_themselves() {
    let times = if repeat::long() { 100 } else { 3 };
    for app in APPS {
        let told = repeat::repeat(&repeat::apps().join(format!("{app}.lua")), 12, times);
        let entries = told.rsplit("fingerprint ").next().and_then(|rest| rest.split(' ').next());
        assert!(entries.is_some_and(|entries| entries.parse::<u64>().unwrap() > 100), "{app}: {told}");
    }
}

#[test]
fn one_process_repeats_itself() {
    let program = || Program::load(&repeat::apps().join("cyclon.lua")).expect("loads");
    let first = repeat::simulate(program(), 7, 12);
    assert!(!first.1.is_empty());
    assert_eq!(repeat::simulate(program(), 7, 12), first);
    assert_ne!(repeat::simulate(program(), 8, 12).0, first.0);
}
