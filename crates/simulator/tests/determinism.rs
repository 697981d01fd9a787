//! The same program, options and seed give the same recording in every process.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use splay_runtime::program::Program;
use splay_simulator::recording::Recorder;
use splay_simulator::simulation::{Simulation, SimulationConfig};

/// Set in a child process: which program to run.
const PROGRAM: &str = "SPLAY_TEST_PROGRAM";

/// Looks at everything that differs from process to process where nothing is done about it.
const CURIOUS: &str = r##"
require "splay.base"
local rpc = require "splay.urpc"
function hear(...) return select("#", ...) end
events.run(function()
  rpc.server(job.me)
  local seen = { tostring({}), tostring(print), tostring(coroutine.create(print)), tostring(io.stdout) }
  for round = 1, 20 do
    local keys = {}
    for n = 1, 30 do
      keys[{}] = n
      keys[function() return n end] = n
      keys[coroutine.create(print)] = n
      keys["name" .. n] = n
      keys[math.random()] = n
    end
    local order = {}
    for _, n in pairs(keys) do order[#order + 1] = n end
    seen[#seen + 1] = table.concat(order, " ")
    local weak = setmetatable({}, { __mode = "k" })
    for n = 1, 300 do weak[{}] = n end
    local left = 0
    for _ in pairs(weak) do left = left + 1 end
    seen[#seen + 1] = left
    local proxy = newproxy(true)
    getmetatable(proxy).__gc = function() print("collected in round " .. round) end
    rpc.acall(misc.random_pick(job.nodes()), { "hear", round, seen })
    seen[#seen + 1] = collectgarbage("count")
    seen[#seen + 1] = string.format("%.17g %s", misc.time(), os.date("%c %z"))
    seen[#seen + 1] = os.time() .. os.clock() .. tostring(os.getenv("HOME")) .. tostring(os.getenv("TZ"))
    events.sleep(math.random() * 3)
  end
  print(require("crypto.evp").digest("md5", table.concat(seen, "\n")))
end)
"##;

fn simulate(program: Program, seed: u64, instances: u32, limit: Duration) -> (u64, u128, Vec<String>) {
    let lines = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let heard = lines.clone();
    let config = SimulationConfig { instances, seed, ..SimulationConfig::new(Arc::new(program)) };
    let mut simulation = Simulation::new(config, Recorder::new(), move |report| {
        if let splay_runtime::host::Report::Output { line, .. } = report {
            heard.borrow_mut().push(String::from_utf8_lossy(&line).into_owned());
        }
    })
    .expect("instances");
    simulation.run(limit).expect("runs");
    simulation.stop();
    let (entries, hash) = simulation.fingerprint();
    drop(simulation);
    (entries, hash, lines.take())
}

/// Not a test: what a child process runs, which its environment tells.
#[allow(clippy::disallowed_methods)]
#[test]
fn child() {
    let Ok(program) = std::env::var(PROGRAM) else { return };
    let program = match program.as_str() {
        "curious" => Program::from_source("curious.lua", CURIOUS.as_bytes(), None).expect("compiles"),
        path => Program::load(Path::new(path)).expect("loads"),
    };
    let (entries, hash, lines) = simulate(program, 7, 12, Duration::from_secs(120));
    println!("fingerprint {entries} {hash:032x} {}", lines.len());
}

fn fingerprint(program: &str, padding: usize, folder: &Path) -> String {
    let output = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "child", "--nocapture"])
        .env(PROGRAM, program)
        .env("PADDING", "x".repeat(padding))
        .env("TZ", if padding.is_multiple_of(2) { "Asia/Tokyo" } else { "UTC" })
        .current_dir(folder)
        .output()
        .expect("runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find(|line| line.contains("fingerprint")).map(str::to_owned);
    line.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn processes_agree() {
    let apps = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../apps").canonicalize().expect("apps");
    let chord = apps.join("chord.lua").display().to_string();
    let cyclon = apps.join("cyclon.lua").display().to_string();
    for program in ["curious", &chord, &cyclon] {
        let first = fingerprint(program, 0, Path::new("/"));
        assert!(
            first.split(' ').nth(1).is_some_and(|entries| entries.parse::<u64>().unwrap() > 100),
            "{first}"
        );
        for (padding, folder) in [(1, "/"), (4001, "/tmp"), (70_000, "/")] {
            assert_eq!(fingerprint(program, padding, Path::new(folder)), first, "{program}");
        }
    }
}

#[test]
fn one_process_repeats_itself() {
    let program = || Program::from_source("curious.lua", CURIOUS.as_bytes(), None).expect("compiles");
    let limit = Duration::from_secs(120);
    let first = simulate(program(), 7, 12, limit);
    assert!(first.2.len() > 12, "{:?}", first.2);
    assert_eq!(simulate(program(), 7, 12, limit), first);
    assert_ne!(simulate(program(), 8, 12, limit).1, first.1);
}
