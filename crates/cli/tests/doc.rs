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
fn globals_come_before_functions_of_that_name() {
    let out = doc(&["view"]).ended(0).out;
    assert!(out.starts_with("view   (global)\n\n  Set by a program that shows its overlay"), "{out}");
    let fields = out.find("\nFields\n").expect("its fields");
    for field in ["view.id ", "view.size ", "view.bits ", "view.links ", "view.parent ", "view.label "] {
        assert!(out[fields..].contains(field), "{field} in {out}");
    }
    assert!(out.contains("\nsplay.peer_sampling.view"), "{out}");
}

#[test]
fn a_function_is_shown_whole() {
    let out = doc(&["events.wait"]).ended(0).out;
    for told in [
        "splay.events.wait(event, timeout?)\n",
        "  Waits for an event.\n",
        "\nExample\n  events.thread(function() events.fire(\"ready\", 42) end)\n  events.wait(\"ready\", 1)  --> true, 42\n",
        "\nErrors\n  `false, \"timeout\"` after the timeout",
        "\n  since 0.1, manual: 'splay.events'\n",
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
fn globals_are_told_with_their_fields() {
    let job = doc(&["job"]).ended(0).out;
    assert!(job.starts_with("job   (global)\n") && job.contains("\nType\n  splay.Job\n"), "{job}");
    assert!(job.contains("  job.nodes ") && job.contains("  job.get_live_nodes() "), "{job}");
    let nodes = doc(&["job.nodes"]).ended(0).out;
    assert!(nodes.contains("  #job.nodes()       --> 3\n"), "{nodes}");
    assert!(nodes.contains("manual: 'Local execution vs. deployement over a testbed'"), "{nodes}");
    assert!(doc(&["job.node"]).ended(1).err.contains("job.nodes"));
}

#[test]
fn other_names_and_native_functions() {
    let again = doc(&["events.loop"]).ended(0).out;
    assert!(again.contains("Another name of `run`."), "{again}");
    let select = doc(&["socket.select"]).ended(0).out;
    assert!(select.starts_with("splay.socket.select(readers?, writers?, timeout?)\n"), "{select}");
    assert!(doc(&["url.parse"]).ended(0).out.starts_with("socket.url.parse("));
    let reasons = doc(&["ftp.get"]).ended(0).out;
    assert!(!reasons.contains("../errors.md"), "{reasons}");
}

#[test]
fn fields_of_objects_are_found() {
    for name in ["log.debug", "log:debug", "splay.log.Object.debug"] {
        let debug = doc(&[name]).ended(0).out;
        assert!(debug.starts_with("splay.log.Object.debug   (objects of splay.log)\n"), "{debug}");
        assert!(debug.contains("logs at level 1") && debug.contains("l_o:warn(\"low\")"), "{debug}");
    }
    assert!(doc(&["queue.insert"]).ended(0).out.contains("adds at the end"));
    doc(&["queue.inserted"]).ended(1);
}

#[test]
fn everything_is_there_as_json() {
    let all: serde_json::Value = serde_json::from_str(&doc(&["--json"]).ended(0).out).expect("JSON");
    let modules = all["modules"].as_array().expect("a list");
    let queue = modules.iter().find(|module| module["name"] == "splay.queue").expect("is there");
    assert_eq!(queue["entries"][0]["name"], "new");
    assert_eq!(queue["entries"][0]["parameters"], serde_json::json!([]));
}

#[test]
fn documents_are_written_or_the_reason_told() {
    let place = Place::new();
    place.write("file", "");
    let outcome = Outcome::of(place.splay(&["doc", "--stubs", "file/stubs"])).ended(6);
    assert!(outcome.err.contains("file/stubs"), "{outcome:?}");
    Outcome::of(place.splay(&["doc", "--stubs", "a", "--json"])).ended(2);
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
