//! Every app of apps/ proves its property over real loopback sockets: at 5 nodes always, at 50
//! where it is quick. The long runs at 50 nodes, and those with crashes, take a quarter of an hour
//! of real time, so they run when SPLAY_LONG_TESTS is set; the simulator's tests have the same
//! ones in virtual time, always.

mod host;

use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use splay_protocol::{Job, ListType, Node};
use splay_runtime::host::EndReason;

/// An app gives up by itself long before.
const LIMIT: Duration = Duration::from_secs(150);

/// The first of so many free ports in a row, from the preferred one upwards: another run of these
/// tests, or whatever else the machine does, may have taken some.
fn free_ports(total: u32, preferred: u16) -> u16 {
    let free = |port: u16| {
        TcpListener::bind(("127.0.0.1", port)).is_ok() && UdpSocket::bind(("127.0.0.1", port)).is_ok()
    };
    let mut first = preferred;
    let mut next = first;
    while u32::from(next - first) < total {
        assert!(next < u16::MAX, "{total} free ports in a row");
        if !free(next) {
            first = next + 1;
        }
        next += 1;
    }
    first
}

fn jobs(total: u32, first_port: u16) -> Vec<Option<Job>> {
    let nodes: Vec<Node> = (0..total)
        .map(|n| Node { ip: "127.0.0.1".into(), port: first_port + u16::try_from(n).expect("few nodes") })
        .collect();
    let job = |position: u32| Job {
        reference: "test".into(),
        me: nodes[position as usize - 1].clone(),
        position,
        total,
        list_type: ListType::Head,
        nodes: nodes.clone().into(),
        name: "".into(),
        environment: std::sync::Arc::default(),
    };
    (1..=total).map(|position| Some(job(position))).collect()
}

/// Runs an app at a size and expects one line that starts like this, and only good ends.
fn prove(app: &str, total: u32, first_port: u16, proof: &str) {
    prove_with(app, &[], total, first_port, proof);
}

/// Apps that need seconds for 50 nodes.
const QUICK: [&str; 3] = ["chord.lua", "cyclon.lua", "epidemic.lua"];

/// Apps in real time take turns.
static TURN: Mutex<()> = Mutex::new(());

/// The same with arguments.
fn prove_with(app: &str, arguments: &[&str], total: u32, first_port: u16, proof: &str) {
    if total > 5 && !QUICK.contains(&app) && std::env::var_os("SPLAY_LONG_TESTS").is_none() {
        return;
    }
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../apps").join(app);
    let outcome = host::run(&file, arguments, jobs(total, free_ports(total, first_port)), LIMIT);
    let text = outcome.lines.join("\n");
    let proofs = outcome.lines.iter().filter(|line| line.starts_with(proof)).count();
    assert_eq!(proofs, 1, "`{proof}` in:\n{text}");
    assert_eq!(outcome.ends, vec![EndReason::Exit(0); total as usize], "{text}");
    assert!(!text.contains("thread died"), "{text}");
}

#[test]
fn chord_closes_its_ring() {
    prove("chord.lua", 5, 26000, "ring correct: 5 nodes");
    prove("chord.lua", 50, 26010, "ring correct: 50 nodes");
}

#[test]
fn cyclon_mixes_its_views() {
    prove("cyclon.lua", 5, 26100, "overlay correct: 5 nodes");
    prove("cyclon.lua", 50, 26110, "overlay correct: 50 nodes");
    prove_with("cyclon.lua", &["crash=0.1"], 50, 26160, "overlay correct: ");
}

#[test]
fn an_epidemic_reaches_everyone() {
    prove("epidemic.lua", 5, 26200, "all infected: 5 nodes");
    prove("epidemic.lua", 50, 26210, "all infected: 50 nodes");
}

#[test]
fn kademlia_finds_what_was_stored() {
    prove("kademlia.lua", 5, 27000, "table correct: 5 nodes");
    prove("kademlia.lua", 50, 27010, "table correct: 50 nodes");
    prove_with("kademlia.lua", &["crash=0.1"], 50, 27060, "table correct: ");
}

#[test]
fn peer_sampling_mixes_its_views() {
    prove("peersampling.lua", 5, 27200, "views correct: 5 nodes");
    prove("peersampling.lua", 50, 27210, "views correct: 50 nodes");
    prove_with("peersampling.lua", &["crash=0.1"], 50, 27260, "views correct: ");
}

#[test]
fn t_man_sorts_nodes_into_a_shape() {
    prove("tman.lua", 5, 27400, "ring correct: 5 nodes");
    prove("tman.lua", 50, 27410, "ring correct: 50 nodes");
    prove_with("tman.lua", &["crash=0.1"], 50, 27460, "ring correct: ");
    prove_with("tman.lua", &["shape=torus"], 50, 27510, "torus correct: 50 nodes");
}

#[test]
fn rumors_reach_nearly_everyone() {
    prove("rumor.lua", 5, 27600, "rumors correct: 5 nodes");
    prove("rumor.lua", 50, 27610, "rumors correct: 50 nodes");
    prove_with("rumor.lua", &["crash=0.1"], 50, 27660, "rumors correct: ");
    prove_with("rumor.lua", &["mode=both", "k=2"], 50, 27710, "rumors correct: 50 nodes");
    prove_with(
        "rumor.lua",
        &["mode=pull", "feedback=false", "counter=false"],
        50,
        27760,
        "rumors correct: 50 nodes",
    );
}

#[test]
fn anti_entropy_makes_copies_equal() {
    prove("antientropy.lua", 5, 27900, "copies correct: 5 nodes");
    prove("antientropy.lua", 50, 27910, "copies correct: 50 nodes");
    prove_with("antientropy.lua", &["crash=0.1"], 50, 27960, "copies correct: ");
    prove_with("antientropy.lua", &["keep=2"], 50, 28010, "copies correct: 50 nodes");
}

#[test]
fn vivaldi_predicts_distances() {
    prove("vivaldi.lua", 5, 28200, "coordinates correct: 5 nodes");
    prove("vivaldi.lua", 50, 28210, "coordinates correct: 50 nodes");
    prove_with("vivaldi.lua", &["crash=0.1"], 50, 28260, "coordinates correct: ");
}

#[test]
fn hyparview_and_plumtree_reach_everyone() {
    prove("hyparview.lua", 5, 28400, "broadcast correct: 5 nodes");
    prove("hyparview.lua", 50, 28410, "broadcast correct: 50 nodes");
    prove_with("hyparview.lua", &["crash=0.1"], 50, 28460, "broadcast correct: ");
}

#[test]
fn pastry_routes_to_the_closest() {
    prove("pastry.lua", 5, 26300, "ring correct: 5 nodes");
    prove("pastry.lua", 50, 26310, "ring correct: 50 nodes");
    prove_with("pastry.lua", &["crash=0.1"], 50, 26360, "ring correct: ");
}

#[test]
fn scribe_reaches_the_members_of_its_groups() {
    prove("scribe.lua", 5, 26500, "groups correct: 5 nodes");
    prove("scribe.lua", 50, 26510, "groups correct: 50 nodes");
    prove_with("scribe.lua", &["crash=0.1"], 50, 26560, "groups correct: ");
}

#[test]
fn splitstream_copies_a_file_to_all() {
    prove("splitstream.lua", 5, 26700, "file correct: 5 nodes, 524288 bytes");
    let file = concat!("file=", env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock");
    prove_with("splitstream.lua", &[file], 50, 26710, "file correct: 50 nodes");
    prove_with("splitstream.lua", &["rate=64", "crash=0.1"], 50, 26760, "file correct: ");
}

#[test]
fn a_web_cache_gives_what_the_origin_has() {
    prove("webcache.lua", 5, 27000, "cache correct: 5 nodes");
    prove("webcache.lua", 50, 27010, "cache correct: 50 nodes");
    prove_with("webcache.lua", &["crash=0.1"], 50, 27060, "cache correct: ");
}

#[test]
fn raft_agrees_on_a_log() {
    prove("raft.lua", 5, 27300, "log correct: 5 nodes, 100 requests");
    prove("raft.lua", 50, 27310, "log correct: 50 nodes, 1000 requests");
    prove_with("raft.lua", &["crash=0.1"], 50, 27360, "log correct: ");
}

#[test]
fn a_key_value_store_keeps_what_it_acknowledged() {
    prove("kvstore.lua", 5, 27420, "store correct: 5 nodes, 6 keys, 50 writes");
    prove("kvstore.lua", 50, 27430, "store correct: 50 nodes, 60 keys, 500 writes");
    prove_with("kvstore.lua", &["crash=0.1"], 50, 27490, "store correct: ");
}

#[test]
fn a_block_device_outlives_its_replicas() {
    prove("nbd_replicas.lua", 5, 28600, "disk correct: 5 replicas, 5 of them alive");
    prove_with("nbd_replicas.lua", &["kill=2"], 5, 28620, "disk correct: 5 replicas, 3 of them alive");
}

#[test]
fn an_object_store_keeps_every_count() {
    prove("objstore.lua", 5, 27820, "objects correct: 5 nodes, 9 objects");
    prove("objstore.lua", 50, 27830, "objects correct: 50 nodes, 54 objects");
    prove_with("objstore.lua", &["crash=0.1"], 50, 28260, "objects correct: ");
}

#[test]
fn a_swarm_shares_a_file() {
    prove("swarm.lua", 5, 26750, "file correct: 5 nodes, 16 pieces");
    prove("swarm.lua", 50, 26760, "file correct: 50 nodes, 16 pieces");
    prove_with("swarm.lua", &["crash=0.1"], 50, 26820, "file correct: ");
}

#[test]
fn keys_in_etcd_make_a_registry_and_a_leader() {
    prove("etcd_registry.lua", 5, 22000, "service correct: 5 nodes");
    prove_with("etcd_registry.lua", &["crash=0.3"], 50, 22010, "service correct: ");
}
