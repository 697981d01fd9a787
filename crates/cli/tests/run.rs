//! `splay run`, by what it prints, leaves behind and ends with.

mod support;

use std::time::{Duration, Instant};

use rustix::process::Signal;
use support::{Outcome, Place, eventually, free_ports, without_prefix};

#[test]
fn hello_world() {
    let place = Place::with("print('hello', 1, nil)\nio.write('no newline')");
    let outcome = place.run(1, &["-q"]).ended(0);
    assert_eq!(outcome.out, "");
    let outcome = place.run(1, &[]).ended(0);
    assert_eq!(outcome.lines(), ["hello\t1\tnil", "no newline"]);
    assert!(outcome.out.starts_with("[1] "), "{outcome:?}");
    assert!(
        outcome.err.contains("splay: 1 instance in ") && outcome.err.contains("1 finished"),
        "{outcome:?}"
    );
    assert!(outcome.err.contains("splay: results in runs/app/"), "{outcome:?}");
    assert!(!outcome.out.contains('\x1b') && !outcome.err.contains('\x1b'), "colour in a pipe: {outcome:?}");
}

#[test]
fn instances_know_their_job() {
    let place = Place::with(
        "local n = job.nodes()\n\
         print(job.position, job.me.ip, job.me.port, #job.nodes, n[1].port, job.list_type, arg[1], #arg)",
    );
    let first = free_ports(12);
    let port = first.to_string();
    let words = ["run", "app.lua", "-n", "12", "--first-port", &port, "--list-size", "3", "--", "one", "-q"];
    let outcome = Outcome::of(place.splay(&words)).ended(0);
    assert_eq!(outcome.out.lines().count(), 12);
    for line in outcome.out.lines() {
        let (instance, text) = without_prefix(line);
        let own = u32::from(first) + instance - 1;
        assert_eq!(text, format!("{instance}\t127.0.0.1\t{own}\t3\t{first}\thead\tone\t2"));
        assert!(line.starts_with(&format!("[{instance:2}] ")), "not aligned: {line}");
    }
    for instance in 1..=12 {
        let log = place.result(&format!("instances/{instance}.log"));
        assert!(log.contains(&format!(" {instance}\t127.0.0.1\t")), "{log}");
        assert!(log.ends_with("= finished\n"), "{log}");
    }
    let options: serde_json::Value = serde_json::from_str(&place.result("options.json")).unwrap();
    assert_eq!(options["instances"], 12);
    assert_eq!(options["list_size"], 3);
    assert_eq!(options["arguments"], serde_json::json!(["one", "-q"]));
    let summary = place.summary();
    assert_eq!(summary["ended_well"], 12);
    assert_eq!(summary["per_instance"].as_array().unwrap().len(), 12);
}

#[test]
fn random_lists_leave_oneself_out() {
    let place = Place::with(
        "for _, n in ipairs(job.nodes) do assert(n.port ~= job.me.port) end print(#job.nodes, job.list_type)",
    );
    let outcome = place.run(8, &["--list-type", "random"]).ended(0);
    assert_eq!(outcome.lines(), ["7\trandom"; 8]);
}

#[test]
fn the_same_seed_draws_the_same() {
    let place = Place::with(
        "local n = {} for i, v in ipairs(job.nodes) do n[i] = v.port - job.me.port end\n\
         print(job.position, math.random(1e6), table.concat(n, ' '))",
    );
    let run = |seed| {
        let outcome = place.run(4, &["--seed", seed, "--list-type", "random"]).ended(0);
        let mut lines: Vec<String> = outcome.lines().iter().map(|&line| line.to_owned()).collect();
        lines.sort();
        lines
    };
    assert_eq!(run("1"), run("1"));
    assert_ne!(run("1"), run("2"));
}

#[test]
fn only_shows_some_and_keeps_all() {
    let place = Place::with("print('line of ' .. job.position)");
    let outcome = place.run(5, &["--only", "2,4-5"]).ended(0);
    let mut lines = outcome.lines();
    lines.sort_unstable();
    assert_eq!(lines, ["line of 2", "line of 4", "line of 5"]);
    assert!(place.result("instances/3.log").contains("line of 3"));
}

#[test]
fn a_failing_instance_is_told_and_others_go_on() {
    let place = Place::with(
        "if job.position == 2 then\n  local t = nil\n  print(t.x)\nend\n\
         events = require('splay.events')\nevents.run(function() events.sleep(0.2) print('fine') end)",
    );
    let outcome = place.run(3, &[]).ended(1);
    assert_eq!(outcome.lines(), ["fine", "fine"]);
    assert!(outcome.err.contains("app.lua:3:"), "{outcome:?}");
    assert!(outcome.err.contains("2 finished, 1 error"), "{outcome:?}");
    assert!(place.result("instances/2.log").contains("app.lua:3:"));
    assert!(place.result("summary.txt").contains("app.lua:3:"));
    assert_eq!(place.summary()["failed"], 1);
    assert_eq!(place.summary()["per_instance"][1]["ending"]["reason"], "error");
    assert_eq!(place.summary()["status"], 1);
}

#[test]
fn exit_statuses_count() {
    let place = Place::with("os.exit(job.position == 1 and 3 or 0)");
    let outcome = place.run(2, &[]).ended(1);
    assert!(outcome.err.contains("[1] exited with status 3"), "{outcome:?}");
    place.write("app.lua", "os.exit(0)");
    place.run(2, &[]).ended(0);
}

#[test]
fn events_exit_is_a_normal_end() {
    let place = Place::with(
        "events = require('splay.events')\nevents.run(function() events.sleep(0.05) events.exit() events.sleep(100) end)",
    );
    place.run(2, &[]).ended(0);
    assert_eq!(place.summary()["ended_well"], 2);
}

#[test]
fn a_thread_that_dies_lets_its_instance_go_on_and_shows_in_the_status() {
    let place = Place::with(
        "events = require('splay.events')\n\
         events.run(function()\n\
           events.thread(function()\n  error('oops')\n end)\n\
           events.sleep(0.05) print('still here')\n\
         end)",
    );
    let outcome = place.run(1, &[]).ended(1);
    assert_eq!(outcome.lines(), ["still here"]);
    assert!(outcome.err.contains("DIE (error: app.lua:4: oops)"), "{outcome:?}");
    assert_eq!(place.summary()["per_instance"][0]["threads_died"], 1);
    assert_eq!((&place.summary()["failed"], &place.summary()["status"]), (&0.into(), &1.into()));
}

#[test]
fn a_server_that_cannot_start_in_a_thread_shows_in_the_status() {
    let place = Place::with(
        "require('splay.base')\nlocal rpc = require('splay.rpc')\n\
         events.run(function()\n  assert(rpc.server(job.me))\n\
           events.thread(function() assert(rpc.server(job.me)) end)\n\
           events.sleep(0.05)\n  events.exit()\nend)",
    );
    let outcome = place.run(1, &[]).ended(1);
    assert!(outcome.err.contains("address already in use"), "{outcome:?}");
    assert!(outcome.err.contains("1 exit 0"), "{outcome:?}");
}

/// The lines of standard error that are about instances, without their prefixes.
fn told(outcome: &Outcome) -> Vec<&str> {
    outcome.err.lines().filter(|line| line.starts_with('[')).map(|line| without_prefix(line).1).collect()
}

#[test]
fn errors_point_into_the_program() {
    let place = Place::with(
        "require 'splay.base'\nlocal lib = require 'lib'\nevents.run(function()\n\
           events.thread(function() lib.need(nil) end)\n\
           events.sleep(0.05)\n  misc.split(nil, 3)\nend)\nerror('at the end')",
    );
    place.write(
        "lib.lua",
        "local M = {}\nfunction M.need(x)\n  if not x then error('no x', 2) end\nend\nreturn M\n",
    );
    let outcome = place.run(1, &[]).ended(1);
    let told: Vec<&str> = told(&outcome).into_iter().map(|line| line.trim_end()).collect();
    let name = told[0].split(" DIE ").next().unwrap();
    assert_eq!(told[0], format!("{name} DIE (error: app.lua:4: no x)"));
    assert_eq!(
        told[1..12],
        [
            " --> app.lua:4",
            "   |",
            " 4 | events.thread(function() lib.need(nil) end)",
            "   |",
            " raised at ./lib.lua:3",
            "   |",
            " 3 |   if not x then error('no x', 2) end",
            "   |",
            "stack traceback:",
            "\t./lib.lua:3: in field 'need'",
            "\tapp.lua:4: in function <app.lua:4>",
        ]
    );
    // Raised inside a library: the line that called it, and none of the library's.
    assert!(told[12].contains(" DIE (error: splay/misc.lua:"), "{told:#?}");
    assert_eq!(
        told[13..19],
        [
            " --> app.lua:6",
            "   |",
            " 6 |   misc.split(nil, 3)",
            "   |",
            "stack traceback:",
            "\tapp.lua:6: in function <app.lua:3>"
        ]
    );
    // The main chunk.
    assert_eq!(
        told[19..],
        [
            "failed: app.lua:8: at the end",
            " --> app.lua:8",
            "   |",
            " 8 | error('at the end')",
            "   |",
            "stack traceback:",
            "\tapp.lua:8: in main chunk"
        ]
    );
    assert!(place.result("instances/1.log").contains(" 6 |   misc.split(nil, 3)"));
}

#[test]
fn an_endless_loop_is_cut_and_others_go_on() {
    let place = Place::with(
        "events = require('splay.events')\n\
         if job.position == 1 then while true do end end\n\
         events.run(function() events.sleep(0.1) print('fine') end)",
    );
    let outcome = place.run(4, &["--slice", "300ms", "--workers", "1"]).ended(1);
    assert_eq!(outcome.lines(), ["fine"; 3]);
    assert!(outcome.err.contains("app.lua:2:"), "{outcome:?}");
    assert!(outcome.err.contains(" 2 | if job.position == 1 then while true do end end\n"), "{outcome:?}");
    assert!(place.result("instances/1.log").contains("app.lua:2:"));
}

const FOR_EVER: &str =
    "events = require('splay.events')\nprint('up')\nevents.run(function() events.sleep(1000) end)";

#[test]
fn time_limit_ends_well() {
    let place = Place::with(FOR_EVER);
    let begun = Instant::now();
    let outcome = place.run(3, &["--for", "300ms"]).ended(0);
    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert!(outcome.err.contains("time limit reached") && outcome.err.contains("3 stopped"), "{outcome:?}");
    assert_eq!(place.summary()["stopped_by"], "time_limit");
}

#[test]
fn interrupt_ends_cleanly() {
    let place = Place::with(FOR_EVER);
    for signal in [Signal::INT, Signal::TERM] {
        let port = free_ports(2).to_string();
        let running =
            place.start(&["run", "app.lua", "-n", "2", "--first-port", &port, "--runs", signal_name(signal)]);
        let log = format!("{}/app/latest/instances/2.log", signal_name(signal));
        eventually("both are up", || place.path().join(&log).exists());
        running.signal(signal);
        let outcome = running.wait().ended(130);
        assert!(outcome.err.contains("2 stopped"), "{outcome:?}");
        let summary = place.read(&format!("{}/app/latest/summary.json", signal_name(signal)));
        assert!(summary.contains("\"stopped_by\": \"interrupted\""), "{summary}");
    }
}

fn signal_name(signal: Signal) -> &'static str {
    if signal == Signal::INT { "int" } else { "term" }
}

#[test]
fn a_second_interrupt_does_not_wait() {
    // The pattern never ends, and no watchdog can reach into it.
    let place = Place::with(
        "print('busy') events = require('splay.events') events.run(function() events.sleep(0.1)\n\
         string.find(string.rep('a', 60), string.rep('a*', 60) .. 'b') end)",
    );
    let port = free_ports(1).to_string();
    let running = place.start(&["run", "app.lua", "--first-port", &port, "--slice", "off"]);
    eventually("it is busy", || place.path().join("runs/app/latest/instances/1.log").exists());
    std::thread::sleep(Duration::from_millis(200));
    running.signal(Signal::INT);
    std::thread::sleep(Duration::from_millis(300));
    running.signal(Signal::INT);
    let outcome = running.wait().ended(130);
    assert!(outcome.err.contains("1 lost"), "{outcome:?}");
    assert_eq!(place.summary()["per_instance"][0]["ending"]["reason"], "lost");
}

#[test]
fn events_file_tells_everything() {
    let place = Place::with("print('one') io.stderr:write('two\\n') error('three', 0)");
    place.run(1, &["-q"]).ended(1);
    let text = place.result("events.jsonl");
    let events: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["started", "output", "output", "ended"], "{text}");
    assert_eq!((&events[1]["stream"], &events[1]["line"]), (&"out".into(), &"one".into()));
    assert_eq!((&events[2]["stream"], &events[2]["line"]), (&"err".into(), &"two".into()));
    let message = events[3]["ending"]["message"].as_str().unwrap();
    assert!(message.starts_with("three"), "{message}");
    assert!(events.iter().all(|event| event["at"].as_f64().is_some_and(|at| (0.0..60.0).contains(&at))));
}

#[test]
fn verbose_tells_starts_and_ends() {
    let place = Place::with("");
    let outcome = place.run(2, &["-v"]).ended(0);
    assert_eq!(outcome.err.matches(" started\n").count(), 2, "{outcome:?}");
    assert_eq!(outcome.err.matches("] ").count(), 4, "{outcome:?}");
    assert!(outcome.err.contains("seed "), "{outcome:?}");
}

#[test]
fn errors_name_what_is_wrong() {
    let place = Place::with("local x = 1\nlocal = 2\n");
    let cases: [(&[&str], i32, &str); 9] = [
        (&["run", "missing.lua"], 3, "splay: no such file: missing.lua\n"),
        (&["run", "app"], 3, "splay: no such file: app; did you mean app.lua?\n"),
        (&["run", "."], 3, "splay: is a folder, not a Lua file: .\n"),
        (&["run", "app.lua"], 4, "splay: app.lua:2: "),
        (&["run", "app.lua", "--nn", "3"], 2, "splay: unexpected argument '--nn' found"),
        (&["run", "app.lua", "--for", "soon"], 2, "not a duration such as 60"),
        (&["run", "app.lua", "-n", "0"], 2, "splay: invalid value '0' for '--instances <N>'"),
        (&["run", "app.lua", "-n", "3", "--only", "4"], 2, "splay: --only names instance 4"),
        (&["walk"], 2, "splay: there is no command `walk`"),
    ];
    for (words, status, text) in cases {
        let outcome = Outcome::of(place.splay(words)).ended(status);
        assert!(outcome.err.contains(text), "{words:?}: {outcome:?}");
        assert!(outcome.err.lines().count() == 1 || status == 4, "{words:?}: {outcome:?}");
    }
    let outcome = Outcome::of(place.splay(&["run", "app.lua"]));
    assert!(outcome.err.contains("\n 2 | local = 2\n"), "{outcome:?}");
    assert!(!place.path().join("runs").exists(), "results of a run that never was");
}

#[test]
fn taken_ports_and_impossible_numbers() {
    let place = Place::with("print('never')");
    let first = free_ports(3);
    let taken = first + 1;
    let _listener = std::net::TcpListener::bind(("127.0.0.1", taken)).unwrap();
    let words = ["run", "app.lua", "-n", "3", "--first-port", &first.to_string()];
    let outcome = Outcome::of(place.splay(&words)).ended(5);
    assert!(
        outcome.err.contains(&format!("port {taken} is taken (tcp, wanted by instance 2)")),
        "{outcome:?}"
    );
    let words = ["run", "app.lua", "-n", "3", "--first-port", "65534"];
    let outcome = Outcome::of(place.splay(&words)).ended(2);
    assert!(outcome.err.contains("need ports up to 65536"), "{outcome:?}");
}

#[test]
fn runs_at_the_same_moment_have_ports_of_their_own() {
    let place = Place::with(
        "require 'splay.base'\nlocal rpc = require 'splay.rpc'\nfunction hello() return job.me.port end\n\
         events.run(function()\n  assert(rpc.server(job.me))\n  events.sleep(0.5)\n  \
         for _, node in ipairs(job.nodes) do print(assert(rpc.call(node, 'hello', 5)) - node.port) end\n  \
         events.sleep(1)\n  os.exit(0)\nend)",
    );
    for round in 1..=3 {
        let runs: Vec<_> = (0..4)
            .map(|run| place.start(&["run", "app.lua", "-n", "4", "--runs", &format!("runs-{round}-{run}")]))
            .collect();
        for run in runs {
            let outcome = run.wait().ended(0);
            assert_eq!(outcome.lines(), ["0"; 16], "{outcome:?}");
        }
    }
}

#[test]
fn ports_of_another_run_are_told() {
    let place = Place::with("require 'splay.base' events.run(function() print('here') events.sleep(60) end)");
    let first = free_ports(4);
    let port = (first + 1).to_string();
    let other = place.start(&["run", "app.lua", "-n", "3", "--first-port", &port, "--runs", "others"]);
    eventually("the other run is there", || place.path().join("others/app/latest").exists());
    let words = ["run", "app.lua", "-n", "2", "--first-port", &first.to_string()];
    let outcome = Outcome::of(place.splay(&words)).ended(5);
    let told = format!("ports {first} to {} are wanted, and {port} to {} are those of", first + 1, first + 3);
    assert!(outcome.err.contains(&told), "{outcome:?}");
    assert!(outcome.err.contains("choose other ports with --first-port"), "{outcome:?}");
    assert!(outcome.err.contains(&format!("process {}", other.child.id())), "{outcome:?}");
    // However it ends, its ports are free then.
    other.signal(Signal::KILL);
    other.wait();
    Outcome::of(place.splay(&[&words[..], &["--for", "100ms"]].concat())).ended(0);
}

#[test]
fn too_few_descriptors() {
    let place = Place::with("print('never')");
    let splay = assert_cmd::cargo::cargo_bin("splay");
    let line = format!("ulimit -n 100; '{}' run app.lua -n 200", splay.display());
    let output =
        std::process::Command::new("sh").args(["-c", &line]).current_dir(place.path()).output().unwrap();
    let outcome = Outcome::from(output).ended(5);
    assert!(
        outcome.err.contains("need at least 264 file descriptors and the hard limit is 100"),
        "{outcome:?}"
    );
    assert!(outcome.err.contains("ulimit -Hn 264"), "{outcome:?}");
}

#[test]
fn a_closed_output_ends_the_run() {
    let place = Place::with(
        "events = require('splay.events')\nevents.run(function() while true do print('x') events.sleep(0.01) end end)",
    );
    let port = free_ports(1).to_string();
    let mut running = place.start(&["run", "app.lua", "--first-port", &port]);
    drop(running.child.stdout.take());
    let outcome = running.wait().ended(6);
    // The summary alone: nothing has gone wrong.
    assert!(outcome.err.starts_with("splay: 1 instance in "), "{outcome:?}");
    assert!(outcome.err.contains("(output closed): 1 stopped") && outcome.err.lines().count() == 2);
    assert_eq!(place.summary()["status"], 6);
}

#[test]
fn a_memory_limit_ends_an_instance() {
    let place = Place::with("local t = {} for i = 1, 1e8 do t[i] = {i} end");
    let outcome = place.run(1, &["--memory", "8MB"]).ended(1);
    assert!(outcome.err.contains("memory"), "{outcome:?}");
}

#[test]
fn options_replay() {
    let place = Place::with("print(math.random(1e9))");
    let first = place.run(1, &[]).ended(0).lines()[0].to_owned();
    let options: serde_json::Value = serde_json::from_str(&place.result("options.json")).unwrap();
    let words: Vec<&str> =
        options["command_line"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
    let again = Outcome::of(place.splay(&words[1..])).ended(0);
    assert_eq!(again.lines(), [first]);
}

#[test]
fn what_all_instances_say_at_their_start_is_told_once() {
    let place = Place::with("require('splay.cli').parameters { fanout = 2 }\nprint('never')");
    let outcome = place.run(5, &["--", "fanot=1"]).ended(1);
    let lines: Vec<&str> = outcome.err.lines().collect();
    let told = "splay: unknown parameter `fanot`; did you mean `fanout`? there are: fanout (2)";
    assert_eq!(lines[0], format!("{told} (said by all 5 instances)"));
    assert!(lines[1].starts_with("splay: 5 instances in ") && lines[1].ends_with(": 5 error"), "{outcome:?}");
    assert!(lines.len() == 3 && lines[2].starts_with("splay: results in "), "{outcome:?}");
    // The files have all of it.
    assert!(place.result("instances/5.log").contains("unknown parameter"), "{outcome:?}");
    assert_eq!(place.summary()["failed"], 5);
    let alone = place.run(1, &["--", "fanot=1"]).ended(1);
    assert_eq!(alone.err.lines().next(), Some(told));

    // A mistake of the program is shown where it is.
    place.write("app.lua", "local t = nil\nt.x = 1");
    let outcome = place.run(3, &[]).ended(1);
    assert!(outcome.err.contains("[1]") && !outcome.err.contains("[2]"), "{outcome:?}");
    assert!(outcome.err.contains("app.lua:2: attempt to index"), "{outcome:?}");
    assert!(outcome.err.contains("\nsplay: said by all 3 instances\n"), "{outcome:?}");

    // What only some say, or after something else, is told by each.
    place.write("app.lua", "if job.position == 2 then print('x') end error('no', 0)");
    let outcome = place.run(3, &[]).ended(1);
    for instance in ["[1]", "[2]", "[3]"] {
        let lines =
            outcome.err.lines().filter(|line| line.starts_with(instance) && line.ends_with(" failed: no"));
        assert_eq!(lines.count(), 1, "{instance}: {outcome:?}");
    }
}

#[test]
fn an_instance_that_lives_on_without_its_first_thread_is_told() {
    let place = Place::with(
        "require 'splay.base'\nevents.run(function()\n  assert(require('splay.rpc').server(job.me))\n  \
         events.sleep(0.1)\n  error('gone')\nend)",
    );
    let outcome = place.run(2, &["--for", "1s"]).ended(1);
    let told = "that was the thread events.run began with: a server or other threads go on, and so does the \
                instance (exit status 1 at the end)";
    for instance in [1, 2] {
        assert!(
            outcome.err.lines().any(|line| without_instance(line, instance) == Some(told)),
            "{outcome:?}"
        );
    }
    assert!(outcome.err.contains("  [1] its first thread died and it lived on: "), "{outcome:?}");
    assert!(place.result("instances/2.log").contains("! that was the thread events.run began with"));
    assert!(place.result("events.jsonl").contains("\"lives_on\":true"));

    // The same where the main chunk makes the thread and runs without one.
    place.write(
        "app.lua",
        "require 'splay.base'\nevents.thread(function()\n  assert(require('splay.rpc').server(job.me))\n  \
         events.sleep(0.1)\n  error('gone')\nend)\nevents.run()",
    );
    let outcome = place.run(1, &["--for", "1s"]).ended(1);
    assert!(outcome.err.contains("  [1] its first thread died and it lived on: "), "{outcome:?}");

    // Nothing is left: the instance ends, and there is no need to say so.
    place.write("app.lua", "require 'splay.base' events.run(function() error('gone') end)");
    let outcome = place.run(1, &[]).ended(1);
    assert!(!outcome.err.contains("go on") && outcome.err.contains("a thread died: "), "{outcome:?}");
}

/// The text of a line of this instance.
fn without_instance(line: &str, instance: u32) -> Option<&str> {
    line.starts_with(&format!("[{instance}]")).then(|| without_prefix(line).1)
}
