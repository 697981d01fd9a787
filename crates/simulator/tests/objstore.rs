//! The replicated object store under faults of the network: no acknowledged count is lost and none is
//! made up, whatever is partitioned, lost or paused meanwhile; and a run repeats itself.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use splay_runtime::driver::Owner;
use splay_runtime::host::{EndReason, Report};
use splay_runtime::program::Program;
use splay_simulator::NetworkConfig;
use splay_simulator::model::{Between, Fault, Nodes};
use splay_simulator::network::PlannedFault;
use splay_simulator::recording::Recorder;
use splay_simulator::simulation::{Simulation, SimulationConfig};

const INSTANCES: u32 = 9;

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// A fault from so many seconds on, for four.
fn planned(at: f64, fault: Fault) -> PlannedFault {
    PlannedFault::new(seconds(at), Some(seconds(4.0)), fault).expect("a fault that can be")
}

fn group(owners: std::ops::Range<u32>) -> BTreeSet<Owner> {
    owners.map(Owner).collect()
}

/// Runs the app with faults that are over at 20 s, before it is judged; lines and the recording's hash.
fn run(faults: Vec<PlannedFault>, seed: u64) -> (Vec<String>, Vec<EndReason>, u128) {
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
    let network = NetworkConfig { latency: Duration::from_millis(10), faults, ..NetworkConfig::default() };
    let arguments = ["rounds=20", "pause=1", "timeout=1"].map(str::to_owned).to_vec();
    let config =
        SimulationConfig { arguments, instances: INSTANCES, seed, network, ..SimulationConfig::new(program) };
    let mut simulation = Simulation::new(config, Recorder::new(), sink).expect("instances");
    simulation.run(seconds(600.0)).expect("runs");
    let (_, hash) = simulation.fingerprint();
    drop(simulation);
    (lines.take(), ends.take(), hash)
}

fn prove(what: &str, fault: impl Fn(u64) -> Vec<Fault>) {
    for seed in 1..=3 {
        let planned = fault(seed)
            .into_iter()
            .zip(0_u32..)
            .map(|(fault, n)| planned(2.0 + 6.0 * f64::from(n), fault))
            .collect();
        let (lines, ends, _) = run(planned, seed);
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
        let cut = 2 + seed as u32;
        vec![
            Fault::Partition(vec![group(0..cut), group(cut..INSTANCES)]),
            Fault::Partition(vec![group(0..3), group(3..6), group(6..9)]),
            Fault::Partition(vec![group(seed as u32..seed as u32 + 1)]),
        ]
    });
}

#[test]
fn losses_and_delays_lose_nothing() {
    prove("losses", |_| {
        vec![
            Fault::Loss(Between::all(), 0.3),
            Fault::Reset(Between::all()),
            Fault::Jitter(Between::all(), Duration::from_millis(300)),
        ]
    });
}

#[test]
fn nodes_that_stand_still_lose_nothing() {
    prove("pause", |seed| {
        let first = seed as u32;
        vec![
            Fault::Pause(Nodes::these([first, first + 3])),
            Fault::Blackhole(Between::one_way(Nodes::these([first]), Nodes::All)),
            Fault::Pause(Nodes::these([first + 1])),
        ]
    });
}

#[test]
fn a_run_with_handlers_repeats_itself() {
    let faults = || vec![planned(2.0, Fault::Loss(Between::all(), 0.1))];
    let (first, second) = (run(faults(), 7), run(faults(), 7));
    assert_eq!(first.0, second.0);
    assert_eq!(first.2, second.2);
}
