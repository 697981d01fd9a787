//! Nodes that leave a testbed, by churn, by a kill or with their splayd: what those that stay are told,
//! and what those that leave may still do.

mod support;

use support::Place;
use support::testbed::inside;

/// Says whenever the number of nodes that are there is another one; says goodbye when it may.
const WATCHER: &str = r#"
require "splay.base"
function job.on_stop()
  print("goodbye from " .. job.position)
  events.sleep(0.2)
  print("gone is " .. job.position)
end
events.run(function()
  local seen
  while true do
    local live = job.get_live_nodes()
    if #live ~= seen then
      seen = #live
      local own = false
      for _, node in ipairs(live) do own = own or node.port == job.me.port end
      print("sees " .. seen .. " with itself " .. tostring(own))
    end
    events.sleep(0.1)
  end
end)
"#;

/// Waits until the log of the job has a line.
const WAIT: &str = "\
    waits() { local n=0; until splay logs $id --grep \"$1\" | grep -q .; do sleep 0.2; n=$((n+1)); \
      if [ $n -gt 250 ]; then echo \"never: $1\"; splay logs $id; splay job $id; exit 99; fi; done; }\n";

#[test]
fn those_that_stay_are_told_of_a_killed_splayd() {
    let place = Place::new();
    place.write("watch.lua", WATCHER);
    let script = format!(
        "{WAIT}\
        id=$(splay submit watch.lua -n 6 --detach)\n\
        waits 'sees 6 with itself true'\n\
        kill -9 $(cat $SPLAY_UP/splayd-2.pid)\n\
        waits 'sees 4 with itself true'\n\
        splay logs $id --grep 'sees 4' > four\n\
        splay kill $id\n\
        splay job $id --code > code\n\
        until splay nodes | grep -c online | grep -q 3; do sleep 0.1; done\n\
        splay node splayd-2 --history --json > history\n\
        splay node splayd-2 --history > table\n"
    );
    inside(&place, 3, &script).ended(0);
    let history: serde_json::Value = serde_json::from_str(&place.read("history")).expect("JSON");
    let states: Vec<&str> =
        history.as_array().expect("a list").iter().filter_map(|change| change["state"].as_str()).collect();
    assert_eq!(states, ["online", "offline", "online"]);
    assert_eq!(place.read("table").lines().count(), 4, "{}", place.read("table"));
    assert_eq!(place.read("code"), WATCHER);
    assert!(place.read("four").lines().count() >= 1, "{}", place.read("four"));
}

#[test]
fn churn_tells_those_that_stay_and_lets_those_that_leave_say_goodbye() {
    let place = Place::new();
    place.write("watch.lua", WATCHER);
    // The second crashes, the third leaves gracefully, the fourth comes later.
    place.write("day.trace", "0\n0 3\n0 5g\n7\n");
    let script = format!(
        "{WAIT}\
        id=$(splay submit watch.lua --churn day.trace --grace-time 5 --detach)\n\
        waits 'sees 3 with itself true'\n\
        waits 'sees 2 with itself true'\n\
        waits 'sees 1 with itself true'\n\
        waits 'gone is 3'\n\
        splay logs $id --instance 1 --grep sees > first\n\
        until splay job $id --json | jq -e '.churn.done == 6' > churn; do sleep 0.2; done\n\
        splay kill $id --grace 20s\n\
        until splay job $id --json | tr -d ' \\n' | grep -q '\"state\":\"killed\",\"why'; do sleep 0.2; done\n\
        splay logs $id --grep 'gone is' > gone\n\
        splay job $id --json > job.json\n"
    )
    .replace("| jq -e '.churn.done == 6' > churn", "| tr -d ' \\n' | grep -q '\"done\":6'");
    inside(&place, 2, &script).ended(0);
    let gone = place.read("gone");
    let mut gone: Vec<&str> = gone.lines().filter_map(|line| line.rsplit(' ').next()).collect();
    gone.sort_unstable();
    assert_eq!(gone, ["1", "3", "4"], "the third by churn, the others when the job was killed");
    let first = place.read("first");
    let seen: Vec<&str> = first.lines().map(|line| support::without_prefix(line).1.trim()).collect();
    assert_eq!(seen[..3], ["sees 3 with itself true", "sees 2 with itself true", "sees 1 with itself true"]);
    let job: serde_json::Value = serde_json::from_str(&place.read("job.json")).expect("JSON");
    let churn = &job["churn"];
    assert_eq!(
        (&churn["steps"], &churn["sent"], &churn["done"]),
        (&6.into(), &6.into(), &6.into()),
        "{job:#}"
    );
    // A leave counts when it begins, not when the hook has taken its time: three steps that were sent.
    assert_eq!((&churn["lateness"]["count"], &job["start_skew"]["count"]), (&3.into(), &3.into()), "{job:#}");
    assert!(
        job["history"].as_array().expect("a list").iter().any(|event| event["kind"] == "instance_ended"
            && event["position"] == 3
            && event["late_ms"].as_f64().is_some_and(|late| late < 200.0)),
        "{job:#}"
    );
}

#[test]
fn under_churn_a_killed_splayds_instances_move_and_are_found() {
    let place = Place::new();
    place.write("watch.lua", WATCHER);
    // Something is still to come, so that the job lasts.
    place.write("day.trace", "0\n0\n0\n0\n600\n");
    let script = format!(
        "{WAIT}\
        id=$(splay submit watch.lua --churn day.trace --factor 2 --detach)\n\
        waits 'sees 4 with itself true'\n\
        name=$(splay job $id --json | tr -d ' \\n' | sed 's/\"position\":2,.*//; s/.*\"splayd_name\":\"//; s/\".*//')\n\
        number=${{name##*-}}\n\
        kill -9 $(cat $SPLAY_UP/splayd-$number.pid)\n\
        until splay job $id --json | tr -d ' \\n' | grep -q '\"moved\":[1-9]'; do sleep 0.2; done\n\
        until [ $(splay jobs --json | tr -d ' \\n' | sed 's/.*\"running\"://; s/,.*//') = 4 ]; do sleep 0.2; done\n\
        sleep 3\n\
        splay logs $id --tail 12 > tail\n\
        splay kill $id\n\
        splay job $id --json > job.json\n"
    );
    inside(&place, 3, &script).ended(0);
    let job: serde_json::Value = serde_json::from_str(&place.read("job.json")).expect("JSON");
    let moved = job["churn"]["moved"].as_u64().expect("a number");
    assert_eq!(job["churn"]["replacements"]["count"], moved, "{job:#}");
    assert_eq!(job["churn"]["done"], 4, "{job:#}");
    assert!(place.read("tail").contains("sees 4 with itself true"), "{}", place.read("tail"));
}

#[test]
fn a_splayd_killed_while_a_job_loads_does_not_stop_it() {
    let place = Place::new();
    // Takes a while to load.
    let mut program = String::from("require 'splay.base'\n");
    for number in 0..60_000 {
        program.push_str(&format!("do local function f() return {number} + {number} * 2 end end\n"));
    }
    program.push_str("print('here ' .. job.position .. ' of ' .. #job.nodes)\n");
    place.write("large.lua", &program);
    // The kill is to fall between the first and the last splayd that has loaded: later each time, until it
    // does.
    let script = "\
        for pause in 0 0.1 0.2 0.3 0.4 0.5 0.6 0.8 1 1.2 1.5 2 2.5 3 0.05 0.15 0.25 0.35 0.45 0.55; do\n\
          id=$(splay submit large.lua -n 60 --detach)\n\
          sleep $pause\n\
          kill -9 $(cat $SPLAY_UP/splayd-1.pid)\n\
          splay logs $id -f > lines\n\
          splay job $id --json > job.json\n\
          tr -d ' \\n' < job.json > flat\n\
          grep -q '\"state\":\"loading\".*\"state\":\"deploying\"' flat && exit 0\n\
          until splay nodes | grep -c online | grep -q 3; do sleep 0.1; done\n\
        done\n\
        exit 99\n";
    inside(&place, 3, script).ended(0);
    let job: serde_json::Value = serde_json::from_str(&place.read("job.json")).expect("JSON");
    assert_eq!((&job["state"], &job["finished"]), (&"ended".into(), &60.into()), "{job:#}");
    let mut states: Vec<&str> = job["history"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|event| event["state"].as_str())
        .collect();
    states.dedup();
    assert_eq!(states, ["deploying", "loading", "deploying", "loading", "starting", "running", "ended"]);
    assert_eq!(place.read("lines").lines().filter(|line| line.ends_with(" of 60")).count(), 60);
}

#[test]
fn a_blacklist_holds_at_once() {
    let place = Place::new();
    place.write(
        "reach.lua",
        r#"
require "splay.base"
local net = require "splay.net"
if job.position == 1 then net.server(job.me, function() end) end
events.run(function()
  local said
  while job.position == 2 do
    local socket = require("socket.core").tcp()
    socket:settimeout(2)
    local connected, why = socket:connect(job.nodes[1].ip, job.nodes[1].port)
    socket:close()
    local says = connected and "reached" or why
    if says ~= said then said = says print("first is " .. says) end
    events.sleep(0.2)
  end
  events.sleep(600)
end)
"#,
    );
    let script = format!(
        "{WAIT}\
        id=$(splay submit reach.lua -n 2 --detach)\n\
        waits 'first is reached'\n\
        splay blacklist add 127.0.0.1\n\
        waits 'first is restricted'\n\
        splay blacklist clear\n\
        until [ $(splay logs $id --grep 'first is reached' | wc -l) = 2 ]; do sleep 0.2; done\n\
        splay kill $id\n"
    );
    inside(&place, 1, &script).ended(0);
}

#[test]
fn a_line_does_not_wait_for_the_next_one() {
    let place = Place::new();
    place
        .write("once.lua", "require 'splay.base' events.run(function() print('once') events.sleep(600) end)");
    let script = format!(
        "{WAIT}\
        id=$(splay submit once.lua -n 2 --detach)\n\
        waits once\n\
        splay kill $id\n"
    );
    inside(&place, 1, &script).ended(0);
}
