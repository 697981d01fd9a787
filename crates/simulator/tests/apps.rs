//! Every app of apps/ proves its property at 5 and at 50 nodes in virtual time.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use splay_runtime::host::{EndReason, Report};
use splay_runtime::program::Program;
use splay_simulator::recording::Recorder;
use splay_simulator::simulation::{Simulation, SimulationConfig};

/// Longest virtual time; an app gives up by itself before.
const LIMIT: Duration = Duration::from_secs(600);

/// Runs an app at a size and expects one line that starts like this, and only good ends. Packets
/// take 20 ms, as in a wide area: apps must not count on answers within the millisecond.
#[allow(clippy::print_stdout)] // the line and its time, for who asks with --nocapture
fn prove(app: &str, arguments: &[&str], total: u32, proof: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../apps").join(app);
    let program = Arc::new(Program::load(&file).expect("program loads"));
    let lines = Rc::new(RefCell::new(Vec::new()));
    let ends = Rc::new(RefCell::new(Vec::new()));
    let (heard, ended) = (lines.clone(), ends.clone());
    let sink = move |report: Report| match report {
        Report::Output { line, .. } => {
            heard.borrow_mut().push(String::from_utf8_lossy(&line).trim_end().to_owned());
        }
        Report::ThreadDied { error, .. } => heard.borrow_mut().push(format!("thread died: {error}")),
        Report::Ended { reason, .. } => ended.borrow_mut().push(reason),
        _ => {}
    };
    let config = SimulationConfig {
        arguments: arguments.iter().map(ToString::to_string).collect(),
        instances: total,
        ..SimulationConfig::new(program)
    };
    let mut simulation = Simulation::new(config, Recorder::new(), sink).expect("instances");
    simulation.run(LIMIT).expect("runs");
    let now = simulation.now();
    drop(simulation);
    let text = lines.borrow().join("\n");
    let proofs: Vec<String> = lines.take().into_iter().filter(|line| line.starts_with(proof)).collect();
    assert_eq!(proofs.len(), 1, "{app} with {total}: `{proof}` in:\n{text}");
    assert_eq!(ends.take(), vec![EndReason::Exit(0); total as usize], "{text}");
    assert!(!text.contains("thread died"), "{text}");
    assert!(now < LIMIT, "{} only at the limit", proofs[0]);
}

/// Apps that judge themselves also where there is nobody else, or one other.
const FEW: [(&str, &str); 17] = [
    ("antientropy.lua", "copies correct: "),
    ("chord.lua", "ring correct: "),
    ("cyclon.lua", "overlay correct: "),
    ("epidemic.lua", "all infected: "),
    ("hyparview.lua", "broadcast correct: "),
    ("kademlia.lua", "table correct: "),
    ("kvstore.lua", "store correct: "),
    ("nbd_replicas.lua", "disk correct: "),
    ("objstore.lua", "objects correct: "),
    ("pastry.lua", "ring correct: "),
    ("peersampling.lua", "views correct: "),
    ("raft.lua", "log correct: "),
    ("scribe.lua", "groups correct: "),
    ("splitstream.lua", "file correct: "),
    ("swarm.lua", "file correct: "),
    ("tman.lua", "ring correct: "),
    ("webcache.lua", "cache correct: "),
];

#[test]
fn one_node_or_two_are_enough() {
    for (app, proof) in FEW {
        prove(app, &[], 1, proof);
        prove(app, &[], 2, proof);
    }
    prove("rumor.lua", &[], 2, "rumors correct: 2 nodes");
    prove("vivaldi.lua", &[], 2, "coordinates correct: 2 nodes");
}

#[test]
fn chord_closes_its_ring() {
    prove("chord.lua", &[], 5, "ring correct: 5 nodes");
    prove("chord.lua", &[], 50, "ring correct: 50 nodes");
}

#[test]
fn cyclon_mixes_its_views() {
    prove("cyclon.lua", &[], 5, "overlay correct: 5 nodes");
    prove("cyclon.lua", &[], 50, "overlay correct: 50 nodes");
    prove("cyclon.lua", &["crash=0.1"], 50, "overlay correct: ");
}

#[test]
fn an_epidemic_reaches_everyone() {
    prove("epidemic.lua", &[], 5, "all infected: 5 nodes");
    prove("epidemic.lua", &[], 50, "all infected: 50 nodes");
}

#[test]
fn a_matrix_tells_what_the_network_is_like() {
    // 20 ms there, as many back.
    prove("traffic_matrix.lua", &["latency=0.04"], 1, "matrix correct: 1 nodes, 0 pairs");
    prove("traffic_matrix.lua", &["latency=0.04"], 2, "matrix correct: 2 nodes, 2 pairs");
    prove("traffic_matrix.lua", &["latency=0.04", "length=0.2"], 8, "matrix correct: 8 nodes, 56 pairs");
}

#[test]
fn kademlia_finds_what_was_stored() {
    prove("kademlia.lua", &[], 5, "table correct: 5 nodes");
    prove("kademlia.lua", &[], 50, "table correct: 50 nodes");
    prove("kademlia.lua", &["crash=0.1"], 50, "table correct: ");
}

#[test]
fn peer_sampling_mixes_its_views() {
    prove("peersampling.lua", &[], 5, "views correct: 5 nodes");
    prove("peersampling.lua", &[], 50, "views correct: 50 nodes");
    prove("peersampling.lua", &["crash=0.1"], 50, "views correct: ");
}

#[test]
fn t_man_sorts_nodes_into_a_shape() {
    prove("tman.lua", &[], 5, "ring correct: 5 nodes");
    prove("tman.lua", &[], 50, "ring correct: 50 nodes");
    prove("tman.lua", &["crash=0.1"], 50, "ring correct: ");
    prove("tman.lua", &["shape=torus"], 50, "torus correct: 50 nodes");
}

#[test]
fn rumors_reach_nearly_everyone() {
    prove("rumor.lua", &[], 5, "rumors correct: 5 nodes");
    prove("rumor.lua", &[], 50, "rumors correct: 50 nodes");
    prove("rumor.lua", &["crash=0.1"], 50, "rumors correct: ");
    prove("rumor.lua", &["mode=both", "k=2"], 50, "rumors correct: 50 nodes");
    prove("rumor.lua", &["mode=pull", "feedback=false", "counter=false"], 50, "rumors correct: 50 nodes");
}

#[test]
fn anti_entropy_makes_copies_equal() {
    prove("antientropy.lua", &[], 5, "copies correct: 5 nodes");
    prove("antientropy.lua", &[], 50, "copies correct: 50 nodes");
    prove("antientropy.lua", &["crash=0.1"], 50, "copies correct: ");
    prove("antientropy.lua", &["keep=2"], 50, "copies correct: 50 nodes");
}

#[test]
fn vivaldi_predicts_distances() {
    prove("vivaldi.lua", &[], 5, "coordinates correct: 5 nodes");
    prove("vivaldi.lua", &[], 50, "coordinates correct: 50 nodes");
    prove("vivaldi.lua", &["crash=0.1"], 50, "coordinates correct: ");
}

#[test]
fn hyparview_and_plumtree_reach_everyone() {
    prove("hyparview.lua", &[], 5, "broadcast correct: 5 nodes");
    prove("hyparview.lua", &[], 50, "broadcast correct: 50 nodes");
    prove("hyparview.lua", &["crash=0.1"], 50, "broadcast correct: ");
}

#[test]
fn pastry_routes_to_the_closest() {
    prove("pastry.lua", &[], 5, "ring correct: 5 nodes");
    prove("pastry.lua", &[], 50, "ring correct: 50 nodes");
    prove("pastry.lua", &["crash=0.1"], 50, "ring correct: ");
}

#[test]
fn scribe_reaches_the_members_of_its_groups() {
    prove("scribe.lua", &[], 5, "groups correct: 5 nodes");
    prove("scribe.lua", &[], 50, "groups correct: 50 nodes");
    prove("scribe.lua", &["crash=0.1"], 50, "groups correct: ");
}

#[test]
fn splitstream_copies_a_file_to_all() {
    prove("splitstream.lua", &[], 5, "file correct: 5 nodes, 524288 bytes");
    let file = concat!("file=", env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock");
    prove("splitstream.lua", &[file], 50, "file correct: 50 nodes");
    prove("splitstream.lua", &["rate=64", "crash=0.1"], 50, "file correct: ");
}

#[test]
fn a_web_cache_gives_what_the_origin_has() {
    prove("webcache.lua", &[], 5, "cache correct: 5 nodes");
    prove("webcache.lua", &[], 50, "cache correct: 50 nodes");
    prove("webcache.lua", &["crash=0.1", "entries=10"], 50, "cache correct: ");
}

#[test]
fn raft_agrees_on_a_log() {
    prove("raft.lua", &[], 5, "log correct: 5 nodes, 100 requests");
    prove("raft.lua", &[], 50, "log correct: 50 nodes, 1000 requests");
    prove("raft.lua", &["crash=0.1"], 50, "log correct: ");
}

#[test]
fn a_key_value_store_keeps_what_it_acknowledged() {
    prove("kvstore.lua", &[], 5, "store correct: 5 nodes, 6 keys, 50 writes");
    prove("kvstore.lua", &[], 50, "store correct: 50 nodes, 60 keys, 500 writes");
    prove("kvstore.lua", &["crash=0.1"], 50, "store correct: ");
}

#[test]
fn a_block_device_outlives_its_replicas() {
    prove("nbd_replicas.lua", &[], 5, "disk correct: 5 replicas, 5 of them alive, 60 writes");
    prove("nbd_replicas.lua", &["kill=2"], 5, "disk correct: 5 replicas, 3 of them alive, 60 writes");
    prove("nbd_replicas.lua", &["crash=0.3"], 9, "disk correct: 9 replicas, ");
}

#[test]
fn an_object_store_keeps_every_count() {
    prove("objstore.lua", &[], 5, "objects correct: 5 nodes, 9 objects, 100 counts");
    prove("objstore.lua", &[], 50, "objects correct: 50 nodes, 54 objects, 1000 counts");
    prove("objstore.lua", &["crash=0.1"], 50, "objects correct: ");
    prove("objstore.lua", &["crash=0.3", "n=5"], 50, "objects correct: ");
}

#[test]
fn a_swarm_shares_a_file() {
    prove("swarm.lua", &[], 5, "file correct: 5 nodes, 16 pieces");
    prove("swarm.lua", &[], 50, "file correct: 50 nodes, 16 pieces");
    prove("swarm.lua", &["crash=0.1"], 50, "file correct: ");
}

#[test]
fn keys_in_etcd_make_a_registry_and_a_leader() {
    prove("etcd_registry.lua", &[], 5, "service correct: 5 nodes");
    prove("etcd_registry.lua", &["crash=0.5"], 30, "service correct: ");
}
