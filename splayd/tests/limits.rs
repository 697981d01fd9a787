//! What instances may use, what happens when they want more, and what they leave behind.

mod fake;

use std::time::Duration;

use fake::{Controller, Splayd, job};
use splay_protocol::log_lines::LineKind;
use splay_protocol::session::*;

const CONFIG: &str = "ports = \"31200-31399\"\n";

const GREEDY: &str = r#"require "splay.base"
local want = job.position
if want == 1 then
  for n = 1, 200 do print(("x"):rep(100)) end
elseif want == 2 then
  local all = {}
  for n = 1, 1e7 do all[n] = ("y"):rep(1000) .. n end
elseif want == 3 then
  local a, b, c = io.open("a", "w"), io.open("b", "w"), io.open("c", "w")
  print(tostring(c))
  a:write(("z"):rep(5000))
elseif want == 4 then
  while true do end
elseif want == 5 then
  local socket = require "socket"
  local all = {}
  for n = 1, 9 do all[n] = socket.udp() end
end
"#;

#[tokio::test]
async fn every_limit_that_fires_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut controller = Controller::new().await;
    let _splayd = Splayd::start(folder.path(), CONFIG, Some(&controller.token()));
    let mut session = controller.welcome().await;
    let mut order = job("j1", 5, GREEDY);
    order.limits.max_log_bytes = 5000;
    order.limits.max_memory_bytes = 8 << 20;
    order.limits.max_files = 2;
    order.limits.max_disk_bytes = 4096;
    order.limits.slice_milliseconds = 500;
    order.limits.max_sockets = 3;
    controller.start(&mut session, &order, GREEDY, Duration::ZERO).await;
    controller.done(&mut session, "j1").await;
    let limit = |report: &Report| match &report.event {
        Event::Limit(limit) => {
            Some((limit.position, limit.limit.clone(), limit.allowed, limit.reached > limit.allowed))
        }
        _ => None,
    };
    let mut met: Vec<_> = controller.reports.iter().filter_map(limit).collect();
    met.sort();
    let figures: Vec<_> = met.iter().map(|(at, name, allowed, _)| (*at, name.as_str(), *allowed)).collect();
    let expected = [
        (1, "max_log_bytes", 5000),
        (2, "max_memory_bytes", 8 << 20),
        (3, "max_disk_bytes", 4096),
        (3, "max_files", 2),
        (5, "max_sockets", 3),
    ];
    assert_eq!(figures, expected, "{met:?}");
    let ends = controller.ends();
    let endings: Vec<Ending> = ends.values().map(|end| end.ending).collect();
    use Ending::{Error, Finished, Limit};
    assert_eq!(endings, [Finished, Limit, Finished, Error, Finished]);
    assert!(ends[&4].detail.contains("ran longer than 500ms"), "{}", ends[&4].detail);
    let lines = controller.lines();
    let of_first = lines.iter().filter(|line| line.0 == 1);
    let (said, kept): (Vec<_>, Vec<_>) = of_first.partition(|line| line.1 == LineKind::System);
    assert_eq!((said.len(), kept.len()), (1, 49), "49 lines of 101 bytes, and a word on the rest");
}

const RESULTS: &str = r#"require "splay.base"
io.open("results/deep/data.csv", "w"):write(("0123456789"):rep(60000))
io.open("results/none", "w"):close()
io.open("results/gone", "w"):write("x")
io.remove("results/gone")
io.open("private", "w"):write("x")
io.open("draft", "w"):write("late name")
io.rename("draft", "results/final.txt")
io.open("results/../../escape", "w"):write("x")
"#;

#[tokio::test]
async fn files_under_results_are_sent() {
    let folder = tempfile::tempdir().unwrap();
    let mut controller = Controller::new().await;
    let _splayd = Splayd::start(folder.path(), CONFIG, Some(&controller.token()));
    let mut session = controller.welcome().await;
    controller.start(&mut session, &job("j1", 1, RESULTS), RESULTS, Duration::ZERO).await;
    controller.done(&mut session, "j1").await;
    let mut files = std::collections::BTreeMap::<String, (Vec<u8>, u64)>::new();
    for report in &controller.reports {
        let Event::Result(part) = &report.event else { continue };
        let (data, total) = files.entry(part.path.clone()).or_default();
        assert_eq!(part.offset, data.len() as u64);
        data.extend_from_slice(&part.data);
        *total = part.total_bytes;
    }
    assert!(files.values().all(|(data, total)| data.len() as u64 == *total));
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    assert_eq!(names, ["deep/data.csv", "final.txt", "none"]);
    assert_eq!(files["deep/data.csv"].0, "0123456789".repeat(60_000).into_bytes());
    assert_eq!(files["final.txt"].0, b"late name");
}

const BOMB: &str = r#"require "splay.base"
if job.position == 1 then
  -- The pattern's time grows with the ninth power of the text: nothing inside the VM can cut it.
  events.thread(function() events.sleep(0.2) ;("a"):rep(5000):find(("a-"):rep(9) .. "b") end)
end
events.run(function() events.sleep(4) print "survived" end)
"#;

#[tokio::test]
async fn an_instance_that_cannot_be_cut_harms_few() {
    let folder = tempfile::tempdir().unwrap();
    let mut controller = Controller::new().await;
    let splayd = Splayd::start(folder.path(), CONFIG, Some(&controller.token()));
    let mut session = controller.welcome().await;
    // Eight threads at least: instance 9 may share that of the first.
    let mut order = job("j1", 9, BOMB);
    order.limits.slice_milliseconds = 500;
    controller.start(&mut session, &order, BOMB, Duration::ZERO).await;
    controller.done(&mut session, "j1").await;
    let ends = controller.ends();
    assert_eq!(ends[&1].ending, Ending::Limit, "{:?}", ends[&1]);
    assert!((2..=8).all(|position| ends[&position].ending == Ending::Finished), "{ends:#?}");
    assert!(matches!(ends[&9].ending, Ending::Finished | Ending::Lost));
    let limit = |report: &Report| matches!(&report.event, Event::Limit(limit) if limit.position == 1 && limit.ended == 1);
    assert!(controller.reports.iter().any(limit));
    assert!(splayd.workers().is_empty(), "the thread that spins is gone with its process");
}

const CHATTER: &str = r#"require "splay.base"
events.run(function()
  for burst = 1, 20 do
    for n = 1, 250 do print("line " .. n .. " of burst " .. burst) end
    events.yield()
  end
end)
"#;

#[tokio::test]
async fn many_lines_arrive_each_once_and_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let mut controller = Controller::new().await;
    let _splayd = Splayd::start(folder.path(), CONFIG, Some(&controller.token()));
    let mut session = controller.welcome().await;
    controller.start(&mut session, &job("j1", 10, CHATTER), CHATTER, Duration::ZERO).await;
    controller.done(&mut session, "j1").await;
    let lines = controller.lines();
    assert_eq!(lines.len(), 50_000);
    for position in 1..=10 {
        let of = lines.iter().filter(|line| line.0 == position).map(|line| line.2.as_str());
        let expected =
            (1..=20).flat_map(|burst| (1..=250).map(move |n| format!("line {n} of burst {burst}")));
        assert!(of.eq(expected), "lines of {position}");
    }
}

/// Only root can become another user, and only where the user can reach the folder.
#[tokio::test]
async fn workers_run_as_the_user_that_is_configured() {
    // SAFETY: asks for a number.
    if unsafe { libc::geteuid() } != 0 {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711)).unwrap();
    let mut controller = Controller::new().await;
    let config = format!("{CONFIG}worker_user = \"nobody\"\n");
    let splayd = Splayd::start(folder.path(), &config, Some(&controller.token()));
    let mut session = controller.welcome().await;
    assert!(!session.hello().info.degraded.iter().any(|lacking| lacking.contains("root")));
    let source = RESULTS
        .replace("io.open(\"private\"", "events.run(function() events.sleep(1) end) io.open(\"private\"");
    controller.start(&mut session, &job("j1", 1, &source), &source, Duration::ZERO).await;
    let worker = splayd.workers()[0];
    let status = std::fs::read_to_string(format!("/proc/{worker}/status")).unwrap();
    let user = |line: &&str| line.starts_with("Uid:");
    let user = status.lines().find(user).unwrap();
    assert!(!user.split_whitespace().any(|id| id == "0"), "{user}");
    controller.done(&mut session, "j1").await;
    assert!(controller.reports.iter().any(|report| matches!(report.event, Event::Result(_))));
    assert_eq!(controller.ends()[&1].ending, Ending::Finished);
}
