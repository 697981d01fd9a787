//! `splay lua`, by what it prints and ends with.

mod support;

use support::{Place, eventually, free_ports};

#[test]
fn arguments_are_set() {
    let place = Place::with("print(arg[0], arg[1], arg[2], #arg, ...)");
    let outcome = place.lua(&["app.lua", "3", "-x"], "").ended(0);
    assert_eq!(outcome.out, "app.lua\t3\t-x\t2\t3\t-x\n");
    assert_eq!(outcome.err, "");
}

#[test]
fn code_on_the_command_line() {
    let place = Place::with("#!/usr/bin/env lua\nprint(x, arg[1])\nerror('here')");
    assert_eq!(place.lua(&["-e", "print(2^10, 10/2)"], "").ended(0).out, "1024\t5\n");
    assert_eq!(place.lua(&["-e", "x = 1", "-e", "print(x)"], "").ended(0).out, "1\n");
    let outcome = place.lua(&["-e", "x = 'set' -- note", "app.lua", "a"], "").ended(1);
    assert_eq!(outcome.out, "set\ta\n");
    assert!(outcome.err.contains("app.lua:3: here"), "{outcome:?}");
}

#[test]
fn program_on_standard_input() {
    let place = Place::new();
    assert_eq!(place.lua(&["-", "a"], "print(arg[1], ...)").ended(0).out, "a\ta\n");
    assert_eq!(place.lua(&[], "print('piped')").ended(0).out, "piped\n");
}

#[test]
fn whole_io_and_os() {
    let place = Place::with(
        "local f = assert(io.open('x.txt', 'w')) f:write('data') f:close()\n\
         print(io.open('x.txt'):read('*a'), os.getenv('SPLAY_TEST'), job)\n\
         io.stderr:write('to stderr\\n') io.write('no newline')",
    );
    let mut command = place.splay(&["lua", "app.lua"]);
    command.env("SPLAY_TEST", "yes");
    let outcome = support::Outcome::of(command).ended(0);
    assert_eq!(outcome.out, "data\tyes\tnil\nno newline");
    assert_eq!(outcome.err, "to stderr\n");
}

#[test]
fn reads_its_standard_input() {
    let place = Place::with("print(io.read('*l') .. '!')");
    assert_eq!(place.lua(&["app.lua"], "typed\n").ended(0).out, "typed!\n");
}

#[test]
fn exit_statuses() {
    let place = Place::with("print('before') os.exit(7)");
    let outcome = place.lua(&["app.lua"], "").ended(7);
    assert_eq!(outcome.out, "before\n");
    let outcome = place.lua(&["-e", "error('oops')"], "").ended(1);
    assert!(outcome.err.contains("oops") && outcome.err.contains("stack traceback"), "{outcome:?}");
    let outcome = place.lua(&["none.lua"], "").ended(3);
    assert_eq!(outcome.err, "splay: no such file: none.lua\n");
    let outcome = place.lua(&["-e", "x ="], "").ended(4);
    assert!(outcome.err.starts_with("splay: (command line):1: "), "{outcome:?}");
}

#[test]
fn finds_modules_beside_the_file() {
    let place = Place::with("print(require('beside').name)");
    place.write("beside.lua", "return {name = 'found'}");
    assert_eq!(place.lua(&["app.lua"], "").ended(0).out, "found\n");
}

#[test]
fn runs_events() {
    let place = Place::with(
        "events = require('splay.events')\n\
         events.run(function() events.sleep(0.05) print('slept') os.exit(4) end)",
    );
    assert_eq!(place.lua(&["app.lua"], "").ended(4).out, "slept\n");
}

#[test]
fn a_thread_that_dies_is_told() {
    let place = Place::with(
        "events = require('splay.events')\n\
         events.thread(function() error('in a thread') end)\n\
         events.run(function() events.sleep(0.05) print('on') end)",
    );
    let outcome = place.lua(&["app.lua"], "").ended(1);
    assert_eq!(outcome.out, "on\n");
    assert_eq!(outcome.err.matches("app.lua:2: in a thread").count(), 1, "{outcome:?}");
    assert!(
        outcome.err.contains("\n 2 | events.thread(function() error('in a thread') end)\n"),
        "{outcome:?}"
    );
    // A program that gives a status of its own has the last word.
    place.write(
        "app.lua",
        "events = require('splay.events') events.thread(error)\n\
        events.run(function() events.sleep(0.05) os.exit(0) end)",
    );
    place.lua(&["app.lua"], "").ended(0);
    place.write("app.lua", "local t\n\nprint(t.x)\n");
    let outcome = place.lua(&["app.lua"], "").ended(1);
    assert!(outcome.err.contains(" --> app.lua:3\n   |\n 3 | print(t.x)\n   |\n"), "{outcome:?}");
}

#[test]
fn interrupt_ends_it_also_while_it_computes() {
    let place = Place::new();
    place.write("wait.lua", "print('ready') io.stdout:flush() events = require('splay.events') events.run(function() events.sleep(1000) end)");
    place.write("busy.lua", "print('ready') io.stdout:flush() while true do end");
    for script in ["wait.lua", "busy.lua"] {
        let mut running = place.start(&["lua", script]);
        let mut first = [0; 6];
        let out = running.child.stdout.as_mut().expect("piped");
        std::io::Read::read_exact(out, &mut first).expect("it says ready");
        running.signal(rustix::process::Signal::INT);
        running.wait().ended(130);
    }
}

#[test]
fn the_manuals_way_of_running_many() {
    let place = Place::with(
        "require('splay.base')\n\
         local utils = require('splay.utils')\n\
         job = utils.generate_job(tonumber(arg[1]), tonumber(arg[2]), tonumber(arg[3]))\n\
         local rpc = require('splay.rpc')\n\
         function whoami() return job.position end\n\
         events.run(function()\n\
           rpc.server(job.me.port)\n\
           local next_one = job.nodes[job.position % #job.nodes + 1]\n\
           local answer\n\
           for try = 1, 100 do\n\
             answer = rpc.call(next_one, 'whoami')\n\
             if answer then break end\n\
             events.sleep(0.1)\n\
           end\n\
           print(answer)\n\
           events.sleep(1.5)\n\
           os.exit(0)\n\
         end)",
    );
    let first = free_ports(4).to_string();
    let running: Vec<_> =
        (1..=4).map(|n| place.start(&["lua", "app.lua", &n.to_string(), "4", &first])).collect();
    for (index, one) in running.into_iter().enumerate() {
        let outcome = one.wait().ended(0);
        assert_eq!(outcome.out, format!("{}\n", (index + 1) % 4 + 1), "{outcome:?}");
    }
    eventually("ports are free again", || free_ports(1) > 0);
}

#[test]
fn a_chord_ring_of_processes() {
    let place = Place::new();
    let first = free_ports(8);
    let chord = include_str!("../../../apps/chord.lua").replace("20001", &first.to_string());
    place.write("chord.lua", &chord);
    let mut running: Vec<_> =
        (1..=6).map(|n| place.start(&["lua", "chord.lua", &n.to_string(), "6"])).collect();
    let outcome = running.remove(0).wait().ended(0);
    assert!(outcome.out.contains("ring correct: 6 nodes"), "{outcome:?}");
    for one in running {
        one.wait().ended(0);
    }
}
