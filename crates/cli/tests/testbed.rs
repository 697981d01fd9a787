//! A testbed of real processes, and the commands that use it. Each test has one of its own.

mod support;

use std::time::{Duration, Instant};

use support::Place;
use support::testbed::{app, inside, programs};

const TALKER: &str = r#"
require "splay.base"
local first = ...
events.run(function()
  print("plain " .. job.position .. " " .. (job.env.MODE or "none") .. " " .. tostring(first))
  log:warning("careful " .. job.position)
  log:debug("hidden " .. job.position)
  if job.position == 1 then
    local file = assert(io.open("results/found.txt", "w"))
    file:write("treasure")
    file:close()
  end
  events.sleep(0.3)
end)
"#;

#[test]
fn hello_and_a_ring() {
    let script = format!(
        "splay submit {} -n 5 --wait\nsplay submit {} -n 20 --wait\nsplay jobs --json",
        app("docs/guide/code/hello/hello.lua"),
        app("apps/chord.lua")
    );
    let outcome = inside(&Place::new(), 3, &script).ended(0);
    assert!(outcome.out.contains("this is instance"), "{outcome:#?}");
    assert!(outcome.out.contains("ring correct: 20 nodes"), "{outcome:#?}");
    let jobs = &outcome.out[outcome.out.find("[\n").expect("JSON")..];
    let jobs: serde_json::Value = serde_json::from_str(jobs).expect("JSON");
    let ended =
        |job: &serde_json::Value| (job["state"].as_str().map(str::to_owned), job["finished"].as_u64());
    let ended: Vec<_> = jobs.as_array().expect("a list").iter().map(ended).collect();
    assert_eq!(ended, [(Some("ended".into()), Some(5)), (Some("ended".into()), Some(20))]);
}

#[test]
fn lines_are_filtered_options_arrive_results_come_back() {
    let place = Place::new();
    place.write("talker.lua", TALKER);
    let script = "\
        id=$(splay submit talker.lua -n 3 --env MODE=fast --detach -- first)\n\
        splay logs $id -f > followed\n\
        splay logs $id --instance 2 --kind out > two\n\
        splay logs $id --level warning > warnings\n\
        splay logs $id --grep hidden -o found.log\n\
        splay logs $id --tail 1 --json > last\n\
        splay results $id -o out\n\
        splay resubmit $id --wait --quiet\n\
        splay job $id > about\n";
    inside(&place, 2, script).ended(0);
    let texts = |name: &str| {
        let mut lines: Vec<String> = place
            .read(name)
            .lines()
            .map(|line| support::without_prefix(line).1.trim_start().to_owned())
            .collect();
        lines.sort();
        lines
    };
    assert!(place.read("followed").contains("plain 1 fast first"), "{}", place.read("followed"));
    assert_eq!(texts("two"), ["plain 2 fast first"]);
    let warnings = texts("warnings");
    assert_eq!(warnings.len(), 3, "{warnings:?}");
    assert!(warnings.iter().all(|line| line.contains("careful")), "{warnings:?}");
    assert!(place.read("found.log").lines().all(|line| line.contains("hidden")));
    assert_eq!(place.read("last").lines().count(), 1);
    assert_eq!(place.read("out/1/found.txt"), "treasure");
    assert!(place.read("about").contains("3 finished"), "{}", place.read("about"));
}

#[test]
fn refusals_are_one_line_and_a_status() {
    let place = Place::new();
    place.write("idle.lua", "require 'splay.base' events.run(function() events.sleep(60) end)");
    place.write(
        "header.lua",
        "--[[\nBEGIN SPLAY RESSOURCES RESERVATION\nnb_spalyds 3\nEND SPLAY RESSOURCES RESERVATION\n]]",
    );
    place.write("fails.lua", "error('on purpose')");
    let script = "\
        try() { local want=$1; shift; local got=0; \"$@\" >out 2>err || got=$?; \
          if [ $got != $want ]; then echo \"$*: $got, not $want\"; cat err; exit 99; fi; tail -n 1 err; }\n\
        try 4 splay submit header.lua\n\
        try 2 splay submit idle.lua -n 0\n\
        try 9 splay job nothing\n\
        try 1 splay submit fails.lua --wait\n\
        try 12 splay submit idle.lua -n 500 --strict --wait\n\
        SPLAY_TOKEN=wrong try 8 splay jobs\n\
        try 7 env SPLAY_CONTROLLER=https://127.0.0.1:1 splay jobs\n\
        echo long-enough | try 0 splay users add ann\n\
        export XDG_CONFIG_HOME=$PWD/ann\n\
        echo wrong-password | try 8 splay login $SPLAY_CONTROLLER -u ann --fingerprint $SPLAY_FINGERPRINT\n\
        echo long-enough | try 7 splay login $SPLAY_CONTROLLER -u ann --fingerprint $(printf 'ab%.0s' {1..32})\n\
        echo long-enough | try 7 splay login $SPLAY_CONTROLLER -u ann\n\
        echo long-enough | try 0 splay login $SPLAY_CONTROLLER -u ann --name lab --fingerprint $SPLAY_FINGERPRINT\n\
        stat -c %a ann/splay/controllers.json\n\
        id=$(splay submit idle.lua --detach)\n\
        asann() { env -u SPLAY_CONTROLLER -u SPLAY_TOKEN \"$@\"; }\n\
        try 8 asann splay kill $id\n\
        try 8 asann splay users add eve --role admin < /dev/stdin <<< long-enough\n\
        splay kill $id --reason 'enough of it'\n\
        try 10 bash -c \"until splay job $id | grep -q killed; do sleep 0.2; done; exit 10\"\n\
        splay job $id\n\
        try 0 asann splay logout\n\
        try 8 asann splay jobs\n";
    let outcome = inside(&place, 1, script).ended(0);
    let out = &outcome.out;
    for told in [
        "splay: header.lua:3: unknown key `nb_spalyds` (did you mean `nb_splayds`?)",
        "splay: --instances: must be at least 1",
        "splay: refused: ",
        "failed",
        "nothing listens there",
        "than the one that was trusted",
        "say --fingerprint ",
        "enough of it",
    ] {
        assert!(out.contains(told), "{told}: {outcome:#?}");
    }
    assert!(out.contains("\n600\n"), "{outcome:#?}");
    assert!(!out.contains("wrong-password") && !outcome.err.contains("wrong-password"));
}

#[test]
fn churn_is_replayed_and_a_killed_controller_comes_back() {
    let place = Place::new();
    place.write("alive.lua", "require 'splay.base' events.run(function() print('up') events.sleep(60) end)");
    place.write("day.trace", "0 6\n0 2 4 6\n1 3\n0 6\n");
    let script = "\
        id=$(splay submit alive.lua --churn day.trace --detach)\n\
        until splay job $id | grep -q running; do sleep 0.1; done\n\
        kill -9 $(cat $SPLAY_UP/controller.pid)\n\
        until splay jobs > jobs; do sleep 0.1; done\n\
        splay logs $id -f > lines\n\
        splay job $id --json > job.json\n";
    let outcome = inside(&place, 2, script).ended(0);
    assert!(outcome.err.contains("controller was killed by signal 9; starting it again"), "{outcome:#?}");
    assert_eq!(
        place.read("lines").lines().filter(|line| line.ends_with(" up")).count(),
        5,
        "{}",
        place.read("lines")
    );
    let job: serde_json::Value = serde_json::from_str(&place.read("job.json")).expect("JSON");
    assert_eq!(job["state"], "ended");
    assert_eq!((&job["churn"]["steps"], &job["churn"]["done"]), (&10.into(), &10.into()), "{job:#}");
}

#[test]
fn nothing_is_left() {
    use rustix::process::Signal;
    let place = Place::new();
    programs();
    for signal in [Signal::TERM, Signal::HUP, Signal::KILL] {
        let folder = place.path().join(format!("kept-{}", signal.as_raw()));
        let kept = folder.to_string_lossy().into_owned();
        let mut command = std::process::Command::new(programs());
        command.args(["up", "-n", "1", "--keep", &kept]);
        command.env("XDG_CONFIG_HOME", place.path()).stdin(std::process::Stdio::null());
        let child = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn();
        let mut running = support::Running { child: child.expect("it starts") };
        let mut url = String::new();
        let out = running.child.stdout.as_mut().expect("a pipe");
        std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut url).expect("a line");
        assert!(url.starts_with("https://127.0.0.1:"), "{url}");
        let sessions =
            || std::fs::read_to_string(place.path().join("splay/controllers.json")).expect("sessions");
        assert!(sessions().contains(url.trim()));
        let pids = ["controller.pid", "splayd-1.pid"].map(|name| {
            let text = std::fs::read_to_string(folder.join(name)).expect("a pid");
            text.trim().to_owned()
        });
        running.signal(signal);
        let outcome = running.wait();
        if signal != Signal::KILL {
            assert_eq!(outcome.status, Some(0), "{outcome:#?}");
            assert!(!sessions().contains(url.trim()));
        }
        let begun = Instant::now();
        for pid in pids {
            // A process that is gone may still be waited for by whoever adopted it.
            let runs = || {
                std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
            };
            while runs() {
                assert!(begun.elapsed() < Duration::from_secs(30), "{pid} still runs after {signal:?}");
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }
}

#[test]
fn the_guide_is_true() {
    let jq = std::process::Command::new("jq").arg("--version").output().is_ok();
    if !jq && std::env::var("CI").as_deref() != Ok("true") {
        return; // The page uses it; on the build machine it has to be there.
    }
    let guide = include_str!("../../../docs/guide/testbed.md");
    let mut script = format!("ln -s {:?} docs; ln -s {:?} apps\n", app("docs"), app("apps"));
    let mut blocks = 0;
    for block in guide.split("```sh\n").skip(1) {
        script.push_str(block.split("```").next().expect("a block ends"));
        blocks += 1;
    }
    let place = Place::new();
    let outcome = inside(&place, 3, &script).ended(0);
    assert!(blocks >= 4 && outcome.out.contains("ring correct: 20 nodes"), "{outcome:#?}");
    assert!(
        outcome.out.contains("here for science") && outcome.out.ends_with(" are there\n"),
        "{outcome:#?}"
    );
    assert_eq!(place.read("found/1/seen.txt"), "4");
}

#[test]
fn the_reference_names_every_key() {
    let reference = include_str!("../../../docs/reference/submission.md");
    for key in splay_protocol::submission::KEYS {
        let row = format!("| `{}` | `--{}", key.name, key.flag);
        assert!(reference.contains(&row), "{row}");
        assert!(reference.contains(key.help.replace('|', "/").as_str()), "{}", key.help);
    }
}

/// The second instance measures its way to the first.
const DISTANCE: &str = r#"
require "splay.base"
local rpc = require "splay.rpc"
events.run(function()
  rpc.server(job.me)
  events.sleep(0.5)
  if job.position == 2 then
    local best = 100
    for n = 1, 6 do
      local before = misc.time()
      assert(rpc.ping(job.nodes[1], 20))
      best = math.min(best, misc.time() - before)
    end
    -- A round trip for the connection, one for the call.
    print("distance " .. (best >= 0.1199 and best < 0.18 and "fine" or best))
    os.exit(0)
  end
  events.sleep(4)
  os.exit(0)
end)
"#;

#[test]
fn a_topology_lies_between_the_splayds() {
    let place = Place::with(DISTANCE);
    let script = "splay submit app.lua -n 2 --per-splayd 1 --topology star:latency=15ms --wait\n\
                  splay submit app.lua -n 5 --topology star:n=2 && exit 1 || test $? = 2";
    let outcome = inside(&place, 2, script);
    assert!(outcome.out.contains("distance fine"), "{outcome:?}");
    assert!(outcome.out.contains("of the topology"), "each is told its place: {outcome:?}");
}
