//! Every app of apps/ proves its property at 5 and at 50 nodes, over real loopback sockets.

mod host;

use std::path::Path;
use std::time::Duration;

use splay_protocol::{Job, ListType, Node};
use splay_runtime::host::EndReason;

/// An app gives up by itself long before.
const LIMIT: Duration = Duration::from_secs(150);

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
    };
    (1..=total).map(|position| Some(job(position))).collect()
}

/// Runs an app at a size and expects one line that starts like this, and only good ends.
fn prove(app: &str, total: u32, first_port: u16, proof: &str) {
    prove_with(app, &[], total, first_port, proof);
}

/// The same with arguments.
fn prove_with(app: &str, arguments: &[&str], total: u32, first_port: u16, proof: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../apps").join(app);
    let outcome = host::run(&file, arguments, jobs(total, first_port), LIMIT);
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
}

#[test]
fn an_epidemic_reaches_everyone() {
    prove("epidemic.lua", 5, 26200, "all infected: 5 nodes");
    prove("epidemic.lua", 50, 26210, "all infected: 50 nodes");
}

#[test]
fn pastry_routes_to_the_closest() {
    prove("pastry.lua", 5, 26300, "ring correct: 5 nodes");
    prove("pastry.lua", 50, 26310, "ring correct: 50 nodes");
    prove_with("pastry.lua", &["crash=0.1"], 50, 26360, "ring correct: ");
}

#[test]
fn raft_agrees_on_a_log() {
    prove("raft.lua", 5, 26500, "log correct: 5 nodes, 100 requests");
    prove("raft.lua", 50, 26510, "log correct: 50 nodes, 1000 requests");
    prove_with("raft.lua", &["crash=0.1"], 50, 26560, "log correct: ");
}

#[test]
fn a_key_value_store_keeps_what_it_acknowledged() {
    prove("kvstore.lua", 5, 26620, "store correct: 5 nodes, 6 keys, 50 writes");
    prove("kvstore.lua", 50, 26630, "store correct: 50 nodes, 60 keys, 500 writes");
    prove_with("kvstore.lua", &["crash=0.1"], 50, 26690, "store correct: ");
}
