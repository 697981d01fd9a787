//! Churn and faults of programs, clocks, processors and disks, as instances of an application meet
//! them. What strikes the network alone is measured in `network/faults.rs`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use splay_protocol::churn::{Script, Trace};
use splay_protocol::faults::Plan;
use splay_runtime::host::{Mode, Report, Sandbox};
use splay_runtime::program::Program;
use splay_simulator::EPOCH;
use splay_simulator::recording::Recorder;
use splay_simulator::scenario::ScenarioConfig;
use splay_simulator::simulation::{Modes, Simulation, SimulationConfig};

const S: fn(u64) -> Duration = Duration::from_secs;

/// What instances wrote and became: virtual seconds, position, text.
type Told = Vec<(f64, u32, String)>;

struct Setting<'a> {
    program: &'a str,
    instances: u32,
    script: &'a str,
    churn: Option<&'a str>,
    /// Where files of instances in the sandbox are.
    folder: Option<PathBuf>,
    until: u64,
}

impl Default for Setting<'_> {
    fn default() -> Self {
        Setting {
            program: "",
            instances: 2,
            script: "at 1000000s drop",
            churn: None,
            folder: None,
            until: 60,
        }
    }
}

fn run(setting: &Setting<'_>) -> (Told, u128) {
    let program = format!(
        "events = require 'splay.events' urpc = require 'splay.urpc' socket = require 'socket'\n\
         misc = require 'splay.misc' log = print {}",
        setting.program
    );
    let program = Arc::new(Program::from_source("app.lua", program.as_bytes(), None).expect("compiles"));
    let script = Script::parse(setting.script).expect("a script");
    let schedule = setting.churn.map(|churn| Trace::parse(churn).expect("a trace").schedule());
    let instances = schedule.as_ref().map_or(setting.instances, |schedule| schedule.nodes());
    let plan = Plan::new(&script, instances, Some(5)).expect("a plan");
    let modes = match setting.folder.clone() {
        None => Modes::default(),
        Some(folder) => {
            Modes(Arc::new(move |position| Mode::Sandboxed(Sandbox::new(folder.join(position.to_string())))))
        }
    };
    let config = SimulationConfig {
        instances,
        modes,
        scenario: ScenarioConfig { schedule, faults: Some(plan), grace: S(5) },
        ..SimulationConfig::new(program)
    };
    let told = Rc::new(RefCell::new(Vec::new()));
    let heard = told.clone();
    let sink = move |report| {
        let (instance, at, text) = match report {
            Report::Output { instance, at, line, .. } => {
                (instance, at, String::from_utf8_lossy(&line).into_owned())
            }
            Report::Started { instance, at } => (instance, at, "started".to_owned()),
            Report::Ended { instance, at, .. } => (instance, at, "ended".to_owned()),
            Report::ThreadDied { instance, at, error, .. } => (instance, at, error),
            _ => return,
        };
        let at = (at - EPOCH).as_secs_f64();
        heard.borrow_mut().push(((at * 1e6).round() / 1e6, instance, text));
    };
    let mut simulation = Simulation::new(config, Recorder::new(), sink).expect("instances");
    simulation.run(S(setting.until)).expect("runs");
    let (_, hash) = simulation.fingerprint();
    drop(simulation);
    (told.take(), hash)
}

/// Times at which an instance wrote something.
fn times(told: &Told, instance: u32, text: &str) -> Vec<f64> {
    told.iter().filter(|(_, who, what)| *who == instance && what == text).map(|(at, ..)| *at).collect()
}

const BEATS: &str = "events.run(function() events.periodic(1, function() log('beat') end) end)";

#[test]
fn a_crashed_node_starts_again_when_its_fault_ends() {
    for manner in ["", " silently"] {
        let script = format!("at 10.5s crash {{2}}{manner} for 5s");
        let (told, _) = run(&Setting { program: BEATS, script: &script, until: 20, ..Setting::default() });
        assert_eq!(times(&told, 2, "started"), [0.0, 15.5]);
        assert_eq!(times(&told, 2, "ended")[0], 10.5);
        assert_eq!(times(&told, 1, "started"), [0.0]);
        let beats = times(&told, 2, "beat");
        assert!(beats.iter().all(|at| !(10.5..16.5).contains(at)), "{beats:?}");
        assert_eq!(beats.len(), 10 + 4);
    }
}

#[test]
fn a_crash_without_an_end_is_for_ever() {
    let script = "at 3s crash all";
    let (told, _) = run(&Setting { program: BEATS, script, until: 1_000_000, ..Setting::default() });
    assert_eq!(told.last().map(|(at, ..)| *at), Some(3.0));
}

#[test]
fn who_leaves_gracefully_says_goodbye() {
    let program = "job.on_stop = function() events.sleep(2) log('goodbye') end
                   events.run(function() events.periodic(1, function() end) end)";
    let script = "at 5s restart {1} gracefully\nat 5s crash {2} gracefully";
    let (told, _) = run(&Setting { program, script, until: 20, ..Setting::default() });
    assert_eq!(times(&told, 1, "goodbye"), [7.0]);
    assert_eq!(times(&told, 2, "goodbye"), [7.0]);
    let started = times(&told, 1, "started");
    assert!(started[0] == 0.0 && (7.0..=7.001).contains(&started[1]), "{started:?}");
    assert_eq!(times(&told, 2, "started"), [0.0]);
}

#[test]
fn a_paused_node_stands_still_and_goes_on() {
    let (told, _) = run(&Setting {
        program: BEATS,
        script: "at 4.5s pause {2} for 10s",
        until: 20,
        ..Setting::default()
    });
    let beats = times(&told, 2, "beat");
    assert!(beats.iter().all(|at| !(4.5..14.5).contains(at)), "{beats:?}");
    assert!(beats.contains(&4.0) && beats.contains(&14.5) && beats.contains(&19.5), "{beats:?}");
    assert_eq!(times(&told, 1, "beat").len(), 19);
}

#[test]
fn clocks_are_wrong() {
    let program = "events.run(function() events.periodic(10, function()
        log(string.format('%.3f %.3f', misc.time() - 946684800, socket.gettime() - 946684800)) end) end)";
    let script = "from 15s to 25s clock of {1} ahead 1500ms\nfrom 5s to 35s clock of {2} slow 10%";
    let (told, _) = run(&Setting { program, script, until: 45, ..Setting::default() });
    let shown = |instance| {
        let lines = told.iter().filter(|(_, who, what)| *who == instance && what.contains(' '));
        lines.map(|(.., what)| what.split(' ').next().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(shown(1), ["10.000", "21.500", "30.000", "40.000"]);
    // 10 % of 5, 15 and 25 seconds.
    assert_eq!(shown(2), ["9.500", "18.500", "27.500", "40.000"]);
    assert!(told.iter().filter(|(.., what)| what.contains(' ')).all(|(.., what)| {
        let (left, right) = what.split_once(' ').expect("two clocks");
        left == right
    }));
}

#[test]
fn a_slow_node_computes_slowly() {
    // A thousand turns of 10 us, times a hundred.
    let program = "events.run(function()
        events.sleep(5)
        for _ = 1, 1000 do events.yield() end
        log('done')
    end)";
    let script = "at 1s slow {2} by 100 times";
    let (told, _) = run(&Setting { program, script, until: 60, ..Setting::default() });
    assert!(times(&told, 1, "done")[0] < 5.01);
    let slow = times(&told, 2, "done")[0];
    assert!((5.9..6.2).contains(&slow), "{slow}");
}

/// Runs a program in the sandbox, with files.
fn with_files(program: &str, script: &str, until: u64) -> Told {
    let folder = tempfile::tempdir().expect("a folder");
    let setting = Setting {
        program,
        script,
        until,
        instances: 1,
        folder: Some(folder.path().to_owned()),
        ..Setting::default()
    };
    run(&setting).0
}

const ATTEMPTS: &str = "
    local file = io.open('data', 'w+') file:write(('x'):rep(100))
    local function attempt(name, act)
        local failed, text = 0
        for _ = 1, 2000 do
            local ok, reason = act()
            if not ok then failed, text = failed + 1, reason end
        end
        log(('%s %d %s'):format(name, failed, tostring(text)))
    end
    events.run(function()
        events.sleep(5)
        attempt('write', function() file:seek('set') return file:write('y') end)
        attempt('grow', function() file:seek('end') return file:write('z') end)
        attempt('read', function() file:seek('set') return file:read(10) end)
    end)";

fn failures(told: &Told) -> BTreeMap<String, (u32, String)> {
    let parse = |line: &str| {
        let mut words = line.splitn(3, ' ');
        let (name, count) = (words.next()?, words.next()?.parse().ok()?);
        Some((name.to_owned(), (count, words.next()?.to_owned())))
    };
    told.iter().filter_map(|(.., line)| parse(line)).collect()
}

#[test]
fn disks_fail_at_the_rate_asked_for() {
    let sound = failures(&with_files(ATTEMPTS, "at 100s drop", 20));
    assert!(sound.len() == 3 && sound.values().all(|(count, _)| *count == 0), "{sound:?}");
    let full = failures(&with_files(ATTEMPTS, "at 1s full disk of all", 20));
    assert_eq!(full["grow"], (2000, "No space left on device".to_owned()));
    assert_eq!((full["write"].0, full["read"].0), (0, 0));
    let near = |count: u32, share: f64| (f64::from(count) / 2000.0 - share).abs() < 0.025;
    let reads = failures(&with_files(ATTEMPTS, "at 1s read errors 20% of {1}", 20));
    assert!(near(reads["read"].0, 0.2) && reads["write"].0 == 0, "{reads:?}");
    assert_eq!(reads["read"].1, "Input/output error");
    let writes = failures(&with_files(ATTEMPTS, "at 1s write errors 5% of {1}", 20));
    assert!(near(writes["write"].0, 0.05) && near(writes["grow"].0, 0.05), "{writes:?}");
    assert_eq!(writes["read"].0, 0);
}

#[test]
fn a_slow_disk_takes_its_time() {
    let program = "events.run(function()
        events.sleep(5)
        local file = io.open('data', 'w')
        for _ = 1, 99 do file:write('x') end
        events.yield()
        log('done')
    end)";
    let told = with_files(program, "at 1s slow disk by 10ms of all", 20);
    assert_eq!(times(&told, 1, "done"), [6.0], "a hundred accesses of 10 ms");
}

#[test]
fn files_outlive_a_restart_unless_they_are_lost() {
    let program = "log(io.open('data') and 'found' or 'missing') io.open('data', 'w'):close()
                   events.run(function() events.periodic(1, function() end) end)";
    let told = with_files(program, "at 3s restart {1}\nat 6s restart {1} without files", 10);
    let seen: Vec<&str> = told
        .iter()
        .map(|(.., what)| what.as_str())
        .filter(|what| ["found", "missing"].contains(what))
        .collect();
    assert_eq!(seen, ["missing", "found", "missing"]);
}

#[test]
fn nodes_come_and_go_by_a_trace() {
    let program = "log('sees ' .. #job.nodes()) events.run(function()
        events.periodic(1, function() log('live ' .. #job.get_live_nodes()) end) end)";
    let churn = "0 20.5\n0\n5 10 15\n";
    let (told, _) = run(&Setting { program, churn: Some(churn), until: 30, ..Setting::default() });
    assert_eq!(times(&told, 3, "started"), [5.0, 15.0]);
    assert_eq!(times(&told, 3, "sees 3"), [5.0, 15.0]);
    assert_eq!(times(&told, 1, "ended"), [20.5]);
    assert_eq!(times(&told, 2, "live 2").len() + times(&told, 2, "live 3").len(), 29);
    assert!(
        times(&told, 2, "live 3").iter().all(|at| (5.0..=10.0).contains(at) || (15.0..21.0).contains(at))
    );
}

#[test]
fn a_node_that_comes_back_has_its_place_in_the_network() {
    // The third asks the first, which restarts and is another instance at the same address.
    let program = "function ping() return job.position end
    events.run(function()
        urpc.server(job.me)
        if job.position == 3 then
            events.periodic(1, function()
                local ok, who = urpc.acall(job.nodes[1], { 'ping' }, 0.5)
                log(ok and 'from ' .. who[1] or who)
            end)
        end
    end)";
    let script = "at 5.5s crash {1} for 5s\nfrom 15.2s to 20.2s partition {1} from rest";
    let (told, _) = run(&Setting { program, script, instances: 3, until: 25, ..Setting::default() });
    let answered = times(&told, 3, "from 1");
    assert!(
        answered.iter().all(|at| !(5.5..10.5).contains(at) && !(15.2..20.2).contains(at)),
        "{answered:?}"
    );
    // What is repeated gets through once the partition is over.
    assert!((14..=15).contains(&answered.len()), "{answered:?}");
}

#[test]
fn a_scenario_repeats_itself() {
    let script = "at 2s crash 50% for 3s\nfrom 4s to 9s every 2s for 1s loss 30%\nat 6s pause 1 for 2s\n\
                  at 7s slow 2 by 50 times\nat 8s restart 1";
    let program = "function ping(n) return n end
    events.run(function()
        urpc.server(job.me)
        events.periodic(0.3, function()
            local ok, r = urpc.acall(misc.random_pick(job.nodes), { 'ping', 1 }, 0.2)
            log(tostring(ok))
        end)
    end)";
    let setting = Setting { program, script, instances: 8, until: 20, ..Setting::default() };
    let (first, second) = (run(&setting), run(&setting));
    assert!(first.0.len() > 300);
    assert_eq!(first, second);
}

#[test]
fn every_rule_of_the_reference_is_read() {
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/faults.md");
    let text = std::fs::read_to_string(reference).expect("the reference of faults");
    let mut rules = 0;
    for block in text.split("```faults\n").skip(1) {
        let block = block.split("```").next().unwrap_or_default();
        let script = Script::parse(block).unwrap_or_else(|error| panic!("{error}\n{}", error.excerpt()));
        rules += script.faults.len();
        Plan::new(&script, 50, None).expect("a plan");
    }
    assert!(rules >= 28, "{rules}");
}
