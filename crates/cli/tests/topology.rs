//! `splay topology`, and the network options of `splay sim` and `splay run`, judged by what they print.

mod support;

use std::path::Path;

use assert_cmd::Command;
use predicates::str::{contains, starts_with};
use support::{Place, without_prefix};

fn splay(folder: &Path, arguments: &[&str]) -> assert_cmd::assert::Assert {
    Command::cargo_bin("splay").unwrap().current_dir(folder).args(arguments).assert()
}

#[test]
fn what_is_generated_can_be_checked_shown_and_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let spec = "dumbbell:n=6,bottleneck=2Mbps,loss=1%";
    splay(folder, &["topology", "generate", spec, "-o", "bell.xml"]).success();
    splay(folder, &["topology", "check", "bell.xml"])
        .success()
        .stdout("bell.xml: valid, 6 places, 8 vertices, 14 links\n");
    // 1 + 20 + 1 ms; 1 - 0.99^2 of loss.
    splay(folder, &["topology", "show", "bell.xml", "1", "6"])
        .success()
        .stdout(contains("1 to 6: latency 22ms, bandwidth 2Mbps, loss 1.99%: 3 > 1 > 2 > 8"))
        .stdout(contains("round trip 44.000 ms"));
    let shown = splay(folder, &["topology", "show", "bell.xml", "1", "6", "--json"]).success();
    let shown: serde_json::Value = serde_json::from_slice(&shown.get_output().stdout).unwrap();
    assert_eq!(
        (&shown["there"]["bandwidth_bps"], &shown["round_trip_ms"]),
        (&2_000_000.into(), &44.0.into())
    );
    splay(folder, &["topology", "plot", "bell.xml", "1", "6", "-o", "bell.svg"]).success();
    let svg = std::fs::read_to_string(folder.join("bell.svg")).unwrap();
    assert_eq!((svg.matches("<circle").count(), svg.matches("#d62728").count()), (8, 3));
    splay(folder, &["topology", "generate", spec, "--seed", "2"]).success().stdout(starts_with("<?xml"));
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let text = "<topology>\n<vertices>\n<vertex int_idx=\"1\" role=\"virtnode\" int_vn=\"1\"/>\n</vertices>\n\
                <edges>\n<edge int_idx=\"1\" int_src=\"1\" int_dst=\"5\"/>\n</edges>\n</topology>\n";
    std::fs::write(folder.join("bad.xml"), text).unwrap();
    splay(folder, &["topology", "check", "bad.xml"])
        .code(4)
        .stderr("splay: bad.xml:6: <edge int_idx=\"1\">: `int_dst` is 5, which is no vertex's int_idx\n");
    std::fs::write(folder.join("bad.csv"), "0,1\n1,x\n").unwrap();
    splay(folder, &["topology", "show", "bad.csv"])
        .code(4)
        .stderr("splay: bad.csv:2: row 2, column 2: `x` is not a number of milliseconds\n");
    splay(folder, &["topology", "check", "none.xml"]).code(3);
    splay(folder, &["topology", "show", "star:m=3"])
        .code(2)
        .stderr(contains("star: m: is not one of n, latency"));
    splay(folder, &["topology", "show", "star", "1", "11"])
        .code(2)
        .stderr(contains("has places 1 to 10, not 11"));
}

/// The second of two instances tells after what virtual time it heard from the first.
const PING: &str = r#"
require "splay.base"
local socket = require "splay.socket"
events.run(function()
  local udp = socket.udp()
  udp:setsockname("*", job.me.port)
  if job.position == 1 then
    udp:sendto("x", job.nodes[2].ip, job.nodes[2].port)
  else
    udp:receivefrom()
    print(string.format("after %.3f", misc.time() - 946684800))
  end
  events.exit()
end)
"#;

#[test]
fn simulations_run_on_topologies() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("ping.lua"), PING).unwrap();
    std::fs::write(folder.join("two.csv"), "0,70\n90,0\n").unwrap();
    let sim = |more: &[&str]| splay(folder, &[&["sim", "ping.lua", "-n", "2"], more].concat());
    for (options, told) in [
        (&[][..], "after 0.020"),
        (&["--latency", "35ms"], "after 0.035"),
        (&["--topology", "two.csv"], "after 0.070"),
        (&["--topology", "star:latency=40ms"], "after 0.080"),
        (&["--latency", "uniform(50ms,50ms)"], "after 0.050"),
        // One byte at 100 bits per second takes 80 ms.
        (&["--bandwidth", "100bps"], "after 0.100"),
    ] {
        sim(options).success().stdout(contains(told));
    }
    let lost = ["--loss", "100%", "--for", "5s"];
    let output = sim(&lost).success().get_output().stdout.clone();
    assert!(output.is_empty(), "{output:?}");
    splay(folder, &["sim", "ping.lua", "-n", "3", "--topology", "two.csv"])
        .code(2)
        .stderr("splay: two.csv has places for 2 instances, not for 3\n");
    splay(folder, &["sim", "ping.lua", "--latency", "pareto(1ms,1)"])
        .code(2)
        .stderr(contains("is not a shape"));
}

/// What the second instance measures of the way to the first, by whichever library.
const DISTANCE: &str = r#"
require "splay.base"
local rpc = require "splay.rpc"
local urpc = require "splay.urpc"
events.run(function()
  if job.position == 1 then
    rpc.server(job.me)
    urpc.server(job.me)
    events.sleep(60)
  end
  events.sleep(0.3)
  for name, how in pairs({ stream = rpc, datagram = urpc }) do
    local best = 100
    for n = 1, 6 do
      local before = misc.time()
      assert(how.ping(job.nodes[1], 20))
      best = math.min(best, misc.time() - before)
    end
    print(name .. " " .. best)
  end
  os.exit(0)
end)
"#;

#[test]
fn instances_are_as_far_apart_as_a_topology_says() {
    let place = Place::with(DISTANCE);
    for workers in ["1", "2"] {
        let words = ["--topology", "star:latency=15ms", "--workers", workers, "--for", "6s"];
        let outcome = place.run(2, &words);
        let lines: Vec<String> = outcome.out.lines().map(|line| without_prefix(line).1.to_owned()).collect();
        // Two links of 15 ms each, there and back; `rpc` connects for each call. A busy machine is
        // late, never early.
        for (name, least) in [("stream ", 0.1199), ("datagram ", 0.0599)] {
            let found = lines.iter().find_map(|line| line.strip_prefix(name)).expect(name);
            let best: f64 = found.parse().unwrap();
            assert!((least..least + 0.06).contains(&best), "{name}{best}: {outcome:?}");
        }
    }
    assert_eq!(place.result("places.csv"), "position,place\n1,\"p1\"\n2,\"p2\"\n");
    assert!(place.result("topology.txt").contains("virtnode"));
    let options: serde_json::Value = serde_json::from_str(&place.result("options.json")).unwrap();
    assert_eq!(options["emulated_topology"], "star:latency=15ms");
}

#[test]
fn a_topology_that_is_none_is_told_with_its_line() {
    let place = Place::with("print 'never'");
    std::fs::write(place.path().join("bad.csv"), "0,5\n5,x\n").unwrap();
    let outcome = place.run(2, &["--topology", "bad.csv"]).ended(4);
    assert!(outcome.err.contains("bad.csv:2: "), "{outcome:?}");
    place.run(2, &["--topology", "nowhere.xml"]).ended(3);
    let outcome = place.run(3, &["--topology", "star:n=2"]).ended(2);
    assert!(outcome.err.contains("star:n=2 has places for 2 instances, not for 3"), "{outcome:?}");
}
