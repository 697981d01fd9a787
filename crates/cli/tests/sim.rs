//! `splay sim` and `splay replay`, by what they print, leave behind and end with.

mod support;

use support::{Outcome, Place};

/// Instances that call each other, log and wait.
const TALK: &str = r#"
require "splay.base"
local rpc = require "splay.urpc"
heard = 0
function hear(from) heard = heard + 1 return from end
events.run(function()
  rpc.server(job.me)
  events.periodic(0.5, function() rpc.call(misc.random_pick(job.nodes()), { "hear", job.position }) end)
  for second = 1, 4 do
    events.sleep(1)
    print("second " .. second, heard)
  end
  os.exit(0)
end)
"#;

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).expect("JSON")
}

#[test]
fn results_are_those_of_a_run_in_virtual_time() {
    let place = Place::with(TALK);
    let outcome = Outcome::of(place.splay(&["sim", "app.lua", "-n", "4", "--only", "2"])).ended(0);
    assert_eq!(outcome.out.lines().count(), 4, "{outcome:?}");
    assert!(outcome.out.starts_with("[2]    1.000 second 1\t"), "{outcome:?}");
    assert!(outcome.err.contains("of virtual time in "), "{outcome:?}");
    assert!(place.result("instances/3.log").ends_with("= exited with status 0\n"));
    let options = json(&place.result("options.json"));
    assert_eq!((&options["network"]["latency"], &options["seed"]), (&"20ms".into(), &1.into()));
    let summary = place.summary();
    assert_eq!((&summary["ended_well"], &summary["duration_seconds"]), (&4.into(), &4.0.into()));
    let simulation = json(&place.result("simulation.json"));
    assert!(outcome.err.contains(simulation["recording"].as_str().unwrap()), "{outcome:?}");
    assert_eq!(simulation["virtual_seconds"], 4.0);

    // A line a second; together they are what the whole run did.
    let counters = place.result("counters.csv");
    let mut lines = counters.lines();
    assert_eq!(lines.next(), Some("seconds,live,messages,bytes,calls,drops"));
    let rows: Vec<Vec<f64>> =
        lines.map(|line| line.split(',').map(|field| field.parse().unwrap()).collect()).collect();
    assert_eq!(rows.iter().map(|row| row[0]).take(3).collect::<Vec<_>>(), [1.0, 2.0, 3.0]);
    assert_eq!(rows[0][1], 4.0);
    let sum = |column: usize| rows.iter().map(|row| row[column]).sum::<f64>();
    assert_eq!(simulation["messages"].as_f64().unwrap(), sum(2));
    assert_eq!(simulation["calls"].as_f64().unwrap(), sum(4));
    assert!(sum(4) >= 4.0 * 7.0, "{counters}");

    // Its own command line repeats it.
    let words: Vec<String> = options["command_line"]
        .as_array()
        .unwrap()
        .iter()
        .map(|word| word.as_str().unwrap().to_owned())
        .collect();
    let words: Vec<&str> = words[1..].iter().map(String::as_str).collect();
    Outcome::of(place.splay(&words)).ended(0);
    assert_eq!(json(&place.result("simulation.json"))["recording"], simulation["recording"]);
}

#[test]
fn a_stopped_run_and_a_failed_one_say_so() {
    let place = Place::with("require 'splay.base' events.run(function() events.sleep(1e6) end)");
    let outcome = Outcome::of(place.splay(&["sim", "app.lua", "-n", "2", "--for", "90s"])).ended(0);
    assert!(outcome.err.contains("time limit reached"), "{outcome:?}");
    assert_eq!(place.summary()["duration_seconds"], 90.0);
    place.write("app.lua", "require 'splay.base' events.run(function() error('oh no') end)");
    let outcome = Outcome::of(place.splay(&["sim", "app.lua", "-n", "2"])).ended(1);
    assert!(outcome.err.contains("oh no"), "{outcome:?}");
    Outcome::of(place.splay(&["sim", "none.lua"])).ended(3);
    Outcome::of(place.splay(&["sim", "app.lua", "--cpu-model", "fast"])).ended(2);
    Outcome::of(place.splay(&["sim", "app.lua", "--only", "9"])).ended(2);
}

#[test]
fn the_sandbox_has_files_of_its_own() {
    let place = Place::with(
        "local f = assert(io.open('note', 'w')) f:write(job.position) f:close() print(io.open('/etc/passwd'))",
    );
    let outcome = Outcome::of(place.splay(&["sim", "app.lua", "-n", "2", "--sandbox"])).ended(0);
    assert!(!outcome.out.contains("file ("), "{outcome:?}");
    let files = place.path().join("runs/app/latest/files/2");
    assert_eq!(std::fs::read_dir(files).unwrap().count(), 1);
}

#[test]
fn verify_finds_the_first_difference() {
    let place = Place::with(TALK);
    let outcome = Outcome::of(place.splay(&["sim", "app.lua", "-n", "4", "--verify"])).ended(0);
    assert!(outcome.err.starts_with("splay: twice the same: "), "{outcome:?}");
    place.write(
        "app.lua",
        "require 'splay.base' events.run(function() events.sleep(job.position) \
         print('same') print(io.popen('date +%N'):read('*l')) end)",
    );
    let outcome = Outcome::of(place.splay(&["sim", "app.lua", "-n", "3", "--verify"])).ended(9);
    // Three starts and a line that is the same come before.
    assert!(outcome.err.contains("from entry 5 on at 1.000000 s, instance 1"), "{outcome:?}");
    assert!(outcome.err.contains("first run ") && outcome.err.contains("second run "), "{outcome:?}");
}

#[test]
fn seeds_make_a_table() {
    let place = Place::with(TALK);
    let outcome = Outcome::of(place.splay(&["sim", "app.lua", "-n", "4", "--seeds", "1-3,7"])).ended(0);
    assert_eq!(outcome.out.lines().count(), 5, "{outcome:?}");
    let rows = json(&place.result("seeds.json"));
    let seeds: Vec<u64> = rows.as_array().unwrap().iter().map(|row| row["seed"].as_u64().unwrap()).collect();
    assert_eq!(seeds, [1, 2, 3, 7]);
    assert_ne!(rows[0]["recording"], rows[1]["recording"]);
    assert!(rows[0]["last_line"].as_str().unwrap().starts_with("second 4"), "{rows}");
    Outcome::of(place.splay(&["sim", "app.lua", "-n", "4", "--seed", "7"])).ended(0);
    assert_eq!(json(&place.result("simulation.json"))["recording"], rows[3]["recording"]);
}

#[test]
fn a_recording_is_replayed_and_looked_into() {
    let place = Place::with(TALK);
    Outcome::of(place.splay(&["sim", "app.lua", "-n", "4", "--record", "app.rec", "-q"])).ended(0);
    let outcome = Outcome::of(place.splay(&["replay", "app.rec"])).ended(0);
    assert!(outcome.err.starts_with("splay: as recorded: "), "{outcome:?}");

    let words = ["replay", "app.rec", "--list", "--instance", "2", "--from", "1s", "--to", "2s"];
    let listed = Outcome::of(place.splay(&words)).ended(0).out;
    assert!(listed.lines().all(|line| line.contains("[  2]")), "{listed}");
    assert!(listed.contains("     1.000000 [  2] out      second 1\t"), "{listed}");
    assert!(listed.contains(r#"{call = {"hear", 2}, type = "call", key = ""#), "{listed}");

    let code = [":time", "job.position", ":threads", ":timers", ":sockets", ":flight all", ":globals"];
    let mut words = vec!["replay", "app.rec", "--until", "2.51s", "--instance", "3"];
    words.extend(code.iter().flat_map(|code| ["-e", code]));
    let seen = Outcome::of(place.splay(&words)).ended(0).out;
    let lines: Vec<&str> = seen.lines().collect();
    assert_eq!(lines[..2], ["2.51s", "3"], "{seen}");
    assert!(seen.contains("(main chunk): waits in events.run"), "{seen}");
    assert!(seen.contains("sleeps, at most until 3.000000 s") && seen.contains("app.lua:10"), "{seen}");
    assert!(seen.contains("udp            10.0.0.3:20000"), "{seen}");
    assert!(seen.contains("2.520000 s datagram") && seen.contains(r#"{"hear", "#), "{seen}");
    assert!(seen.contains("hear                 function") && seen.contains("heard "), "{seen}");
    assert!(!seen.contains("coxpcall"), "{seen}");

    // Time goes on when told to, and only then.
    let words = ["replay", "app.rec", "--until", "1.5s", "-e", "events.sleep(1)"];
    let outcome = Outcome::of(place.splay(&words)).ended(1);
    assert!(outcome.err.contains("virtual time stands still"), "{outcome:?}");
    let words = ["replay", "app.rec", "--until", "1.5s", "-e", ":go 2s", "-e", ":time", "-e", ":nonsense"];
    let outcome = Outcome::of(place.splay(&words)).ended(1);
    assert!(outcome.out.contains("3.5s") && outcome.err.contains("no command :nonsense"), "{outcome:?}");
}

#[test]
fn a_replay_notices_what_has_changed() {
    let place = Place::with(TALK);
    Outcome::of(place.splay(&["sim", "app.lua", "-n", "4", "--record", "app.rec", "-q"])).ended(0);
    place.write("app.lua", &TALK.replace("second \" .. second", "secund \" .. second"));
    let outcome = Outcome::of(place.splay(&["replay", "app.rec"])).ended(9);
    assert!(outcome.err.contains("app.lua has changed since it was recorded"), "{outcome:?}");
    assert!(outcome.err.contains("recorded ") && outcome.err.contains("secund 1"), "{outcome:?}");
    place.write("broken.rec", "something else");
    let outcome = Outcome::of(place.splay(&["replay", "broken.rec"])).ended(3);
    assert_eq!(outcome.err, "splay: read the recording `broken.rec`: not a recording\n");
    Outcome::of(place.splay(&["replay", "none.rec"])).ended(3);
    Outcome::of(place.splay(&["replay", "app.rec", "--until", "1s", "--instance", "5"])).ended(2);
}

#[test]
fn computing_costs_virtual_time_if_asked() {
    let place = Place::with(
        "require 'splay.base' events.run(function() \
         for n = 1, 100 do events.thread(function() events.yield() end) end \
         events.yield() events.yield() events.sleep(0.001) print(misc.time() % 1) end)",
    );
    let time = |words: &[&str]| -> f64 {
        let outcome = Outcome::of(place.splay(&[&["sim", "app.lua"], words].concat())).ended(0);
        outcome.lines()[0].parse().unwrap()
    };
    let free = time(&[]);
    let costly = time(&["--cpu-model", "resume=1ms"]);
    assert!(free < 0.01, "{free}");
    // A hundred threads, each resumed twice.
    assert!(costly > 0.15 && costly < 0.4, "{costly}");
    assert_eq!(time(&["--cpu-model", "resume=1ms"]), costly);
    let cpu = place.summary()["usage"]["cpu_seconds"].as_f64().unwrap();
    assert!(cpu > 0.2 && cpu < 0.4, "{cpu}");
}

#[test]
fn faults_strike_as_the_script_says_and_are_replayed() {
    let place = Place::with(TALK);
    place.write("trouble.txt", "from 1s to 2s partition {1} from rest\nat 2.5s crash {4} for 1s\n");
    let words = ["sim", "app.lua", "-n", "4", "--faults", "trouble.txt", "--record", "app.rec"];
    let outcome = Outcome::of(place.splay(&words)).ended(0);
    let told: Vec<&str> = outcome.err.lines().filter(|line| line.starts_with("splay: ")).collect();
    for line in [
        "splay: 1.000s partition {1} from {2..4}",
        "splay: 2.000s over: partition {1} from {2..4}",
        "splay: 2.500s crash {4}",
        "splay: 3.500s over: crash {4}",
    ] {
        assert!(told.contains(&line), "{line}: {outcome:?}");
    }
    let events = place.result("events.jsonl");
    assert!(events.contains(r#""event":"fault","fault":"crash {4}","over":true"#), "{events}");
    assert_eq!(events.matches(r#""event":"started","instance":4"#).count(), 2, "{events}");
    let replayed = Outcome::of(place.splay(&["replay", "app.rec"])).ended(0);
    assert!(replayed.err.starts_with("splay: as recorded: "), "{replayed:?}");

    place.write("trouble.txt", "at 1s pause {9}\n");
    let outcome = Outcome::of(place.splay(&words)).ended(4);
    assert!(outcome.err.contains("trouble.txt:1:7: there is no node 9: the run has 4"), "{outcome:?}");
    // They need a simulation, and are refused elsewhere.
    place.write("trouble.txt", "at 0s join 9\nat 1s pause {9}\n");
    let outcome = Outcome::of(place.splay(&["run", "app.lua", "--churn", "trouble.txt"])).ended(4);
    assert!(outcome.err.contains("pause: faults are for `splay sim`"), "{outcome:?}");
}

/// A register that forgets what it was told: clients read old values.
const FORGETFUL: &str = r#"
require "splay.base"
local rpc, check = require "splay.rpc", require "splay.check"
local value, old
function write(v) old, value = value, v return true end
function read() if math.random(3) == 1 then return old end return value end
events.run(function()
  if job.position == 1 then return rpc.server(job.me) end
  events.sleep(0.5)
  local history = check.history("store", "register")
  for round = 1, 30 do
    local op, ok, got
    if job.position == 2 then
      -- Meanwhile the others read what has long been written.
      events.sleep(0.1)
      op = history:invoke("write", round)
      ok = rpc.acall(job.nodes[1], { "write", round })
      if ok then op:ok() else op:info() end
    else
      events.sleep(0.07)
      op = history:invoke("read")
      ok, got = rpc.acall(job.nodes[1], { "read" })
      if ok then op:ok(got[1]) else op:fail() end
    end
  end
  os.exit(0)
end)
"#;

#[test]
fn checks_end_a_run_and_tell_how_to_see_it_again() {
    let place = Place::with(
        "require 'splay.base' local check = require 'splay.check'\n\
         local count = 0\n\
         check.always('few', function() return count < 5, count .. ' are too many' end)\n\
         events.run(function() events.periodic(1, function() count = count + 1 print(count) end) end)",
    );
    let outcome = Outcome::of(place.splay(&["sim", "app.lua", "-n", "2", "--for", "60s"])).ended(1);
    assert!(outcome.err.contains("splay: 5.000s violated in [1]: few: 5 are too many"), "{outcome:?}");
    assert!(outcome.err.contains("a check was violated: stopping 2 instances"), "{outcome:?}");
    assert!(outcome.err.contains("splay: what came last:\n"), "{outcome:?}");
    assert!(
        outcome.err.contains("splay: violated at 5s with seed 1; to see it again: splay sim app.lua -n 2")
    );
    let outcome = place.run(1, &["--for", "60s"]).ended(1);
    assert!(outcome.err.contains("violated in [1]: few: 5 are too many"), "{outcome:?}");

    // In time, everywhere, never.
    place.write(
        "app.lua",
        "require 'splay.base' local check = require 'splay.check'\n\
         check.expose(function() return { leader = job.position < 3 } end)\n\
         local function leaders(nodes)\n\
           local n = 0 for _, node in ipairs(nodes) do n = n + (node.state.leader and 1 or 0) end\n\
           return n <= 1, n .. ' leaders among ' .. #nodes\n\
         end\n\
         local which = arg[1]\n\
         if which == 'global' then check.global('one leader', leaders) end\n\
         if which == 'eventually' then check.eventually('done', function() return false end, 3) end\n\
         if which == 'reachable' then check.reachable('the other side') end\n\
         events.run(function() events.sleep(5) if which == 'unreachable' then check.unreachable('here', 7) end\n\
           events.sleep(5) end)",
    );
    for (which, told) in [
        ("global", "1.000s violated in [1]: one leader: 2 leaders among 4"),
        ("eventually", "3.000s violated in [1]: done: not within 3 s"),
        ("unreachable", "5.000s violated in [1]: here: 7"),
        ("reachable", "violated: the other side: no instance reached it"),
    ] {
        let outcome = Outcome::of(place.splay(&["sim", "app.lua", "-n", "4", "--", which])).ended(1);
        assert!(outcome.err.contains(told), "{which}: {outcome:?}");
    }
    Outcome::of(place.splay(&["sim", "app.lua", "-n", "4", "--", "nothing"])).ended(0);
}

#[test]
fn histories_of_all_instances_are_judged_at_the_end() {
    let place = Place::with(FORGETFUL);
    let outcome = Outcome::of(place.splay(&["sim", "app.lua", "-n", "4", "--for", "60s"])).ended(1);
    assert!(outcome.err.contains("violated: store: the register is not linearizable ("), "{outcome:?}");
    assert!(
        outcome.err.contains("none of these fits:\n    [") && outcome.err.contains("read() -> "),
        "{outcome:?}"
    );
    let honest = FORGETFUL.replace("math.random(3) == 1", "false");
    place.write("app.lua", &honest);
    Outcome::of(place.splay(&["sim", "app.lua", "-n", "4", "--for", "60s"])).ended(0);
    place.run(4, &["--for", "6s"]).ended(0);
    place.write("app.lua", FORGETFUL);
    place.run(4, &["--for", "6s"]).ended(1);
}
