//! The replicated object store under faults of the network: no acknowledged count is lost and none is
//! made up, whatever is partitioned, lost or paused meanwhile; and a run repeats itself.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use splay_protocol::churn::Script;
use splay_protocol::faults::Plan;
use splay_runtime::host::{EndReason, Report};
use splay_runtime::program::Program;
use splay_simulator::NetworkConfig;
use splay_simulator::recording::Recorder;
use splay_simulator::scenario::ScenarioConfig;
use splay_simulator::simulation::{Simulation, SimulationConfig};

const INSTANCES: u32 = 9;

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// Runs the app with faults that are over at 20 s, before it is judged; lines and the recording's hash.
fn run(faults: &str, seed: u64) -> (Vec<String>, Vec<EndReason>, u128) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../apps/objstore.lua");
    let program = Arc::new(Program::load(&file).expect("program loads"));
    let lines = Rc::new(RefCell::new(Vec::new()));
    let ends = Rc::new(RefCell::new(Vec::new()));
    let (heard, ended) = (lines.clone(), ends.clone());
    let sink = move |report: Report| match report {
        Report::Output { line, .. } => heard.borrow_mut().push(String::from_utf8_lossy(&line).into_owned()),
        Report::ThreadDied { error, .. } => heard.borrow_mut().push(format!("thread died: {error}")),
        Report::Ended { reason, .. } => ended.borrow_mut().push(reason),
        _ => {}
    };
    let network = NetworkConfig { latency: Duration::from_millis(10), ..NetworkConfig::default() };
    let script = Script::parse(faults).expect("a script");
    let plan = Plan::new(&script, INSTANCES, Some(seed)).expect("a plan");
    let scenario = ScenarioConfig { faults: Some(plan), ..ScenarioConfig::default() };
    let arguments = ["rounds=20", "pause=1", "timeout=1"].map(str::to_owned).to_vec();
    let base = SimulationConfig::new(program);
    let config = SimulationConfig { arguments, instances: INSTANCES, seed, network, scenario, ..base };
    let mut simulation = Simulation::new(config, Recorder::new(), sink).expect("instances");
    simulation.run(seconds(600.0)).expect("runs");
    let (_, hash) = simulation.fingerprint();
    drop(simulation);
    (lines.take(), ends.take(), hash)
}

fn prove(what: &str, faults: impl Fn(u64) -> String) {
    for seed in 1..=3 {
        let (lines, ends, _) = run(&faults(seed), seed);
        let text = lines.join("\n");
        assert!(
            lines.iter().any(|line| line.starts_with("objects correct: 9 nodes, 13 objects")),
            "{what}, {seed}: {text}"
        );
        assert!(!text.contains("thread died"), "{what}, {seed}: {text}");
        assert_eq!(ends, vec![EndReason::Exit(0); INSTANCES as usize], "{what}, {seed}: {text}");
    }
}

#[test]
fn partitions_lose_nothing() {
    prove("partition", |seed| {
        format!(
            "from 2s to 6s partition {{1..{}}} from rest\n\
             from 8s to 12s partition {{1..3}} from {{4..6}} from {{7..9}}\n\
             from 14s to 18s partition {{{}}} from rest",
            2 + seed,
            seed + 1
        )
    });
}

#[test]
fn losses_and_delays_lose_nothing() {
    prove("losses", |_| {
        "from 2s to 6s loss 30%\nat 8s reset connections\nfrom 14s to 18s jitter 300ms".into()
    });
}

#[test]
fn nodes_that_stand_still_lose_nothing() {
    prove("pause", |seed| {
        let (first, second, third) = (seed + 1, seed + 2, seed + 4);
        format!(
            "from 2s to 6s pause {{{first}, {third}}}\nfrom 8s to 12s drop from {{{first}}} to all\n\
             from 14s to 18s pause {{{second}}}"
        )
    });
}

#[test]
fn a_run_with_handlers_repeats_itself() {
    let faults = "from 2s to 6s loss 10%";
    let (first, second) = (run(faults, 7), run(faults, 7));
    assert_eq!(first.0, second.0);
    assert_eq!(first.2, second.2);
}
