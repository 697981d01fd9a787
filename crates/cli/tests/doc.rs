//! `splay doc`, by what it prints.

mod support;

use support::{Outcome, Place};

fn doc(words: &[&str]) -> Outcome {
    let mut all = vec!["doc"];
    all.extend(words);
    Outcome::of(Place::new().splay(&all))
}

#[test]
fn modules_are_listed_with_what_they_are_for() {
    let out = doc(&[]).ended(0).out;
    for module in ["splay.events ", "splay.rpc ", "splay.misc ", "crypto ", "splay.test "] {
        let line = out.lines().find(|line| line.trim_start().starts_with(module)).expect(module);
        assert!(line.split_whitespace().count() > 2, "{line}");
    }
    for internal in ["rpc_common", "prelude", "misc_more"] {
        assert!(!out.contains(internal), "{internal} in {out}");
    }
}

#[test]
fn a_module_lists_its_functions() {
    let out = doc(&["events"]).ended(0).out;
    assert!(out.starts_with("splay.events\n\n  Threads, events and timers"), "{out}");
    for line in ["wait(event, timeout?) ", "sleep(seconds?) ", "lock(secure?) ", "thread(f) "] {
        assert!(out.lines().any(|have| have.trim_start().starts_with(line)), "{line} in {out}");
    }
    assert_eq!(doc(&["splay.events"]).ended(0).out, out);
    let misc = doc(&["misc"]).ended(0).out;
    assert!(misc.contains(" random_string(n) ") && misc.contains(" dup(e) "), "{misc}");
}

#[test]
fn objects_are_told_with_their_module() {
    let out = doc(&["queue"]).ended(0).out;
    assert!(out.contains("\nFields of splay.queue\n  insert: fun(o: any)    adds at the end\n"), "{out}");
    let test = doc(&["test"]).ended(0).out;
    assert!(test.contains("errors: fun(pattern: string?)") && !test.contains("test.Suite\n"), "{test}");
}

#[test]
fn a_function_is_shown_whole() {
    let out = doc(&["events.wait"]).ended(0).out;
    for told in [
        "splay.events.wait(event, timeout?)\n",
        "  Waits for an event.\n",
        "Example: `events.wait(\"ready\", 1)` --> true, 42",
        "It may wait",
        "\nParameters\n  event: any",
        "timeout?: number  seconds",
        "\nReturns\n",
        "false, \"timeout\"",
    ] {
        assert!(out.contains(told), "{told} in {out}");
    }
    assert_eq!(doc(&["splay.events.wait"]).ended(0).out, out);
}

#[test]
fn methods_and_bare_names() {
    assert!(doc(&["Tcp:receive"]).ended(0).out.contains("Receives a line"));
    assert!(doc(&["random_pick"]).ended(0).out.starts_with("splay.misc.random_pick("));
    let out = doc(&["ecall"]).ended(0).out;
    for module in ["splay.rpc.ecall", "splay.urpc.ecall", "splay.rpcq.ecall"] {
        assert!(out.contains(module), "{module} in {out}");
    }
}

#[test]
fn unknown_names_get_near_ones() {
    let outcome = doc(&["events.wiat"]).ended(1);
    assert_eq!(outcome.out, "");
    assert!(outcome.err.contains("nothing is called `events.wiat`; near it: events.wait"), "{outcome:?}");
    assert!(doc(&["evnts"]).ended(1).err.contains("events"));
    assert!(doc(&["randompick"]).ended(1).err.contains("misc.random_pick"));
    let nothing = doc(&["qqqqqqqqqqqq"]).ended(1).err;
    assert_eq!(nothing, "splay: nothing is called `qqqqqqqqqqqq`; `splay doc` lists the modules\n");
}
