//! Splayds that the network takes away for a while, and gives back: instances go on, the controller
//! knows who is away, and every line comes once, in order.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use splay_protocol::api::{Job, JobState, SplaydState};

use crate::audit;
use crate::proxy::{Network, Proxy};
use crate::testbed::{Plan, Testbed};

const INSTANCES: u32 = 6;
/// Each runs for so long, and writes a hundred lines a second.
const SECONDS: u32 = 16;

fn submit(testbed: &Testbed) -> Job {
    testbed.write("numbered.lua", audit::APP);
    let (instances, lines) = (INSTANCES.to_string(), (SECONDS * 100).to_string());
    let id = testbed.submit(&["numbered.lua", "--detach", "--factor", "1", "-n", &instances, "--", &lines, "9"]);
    let job = testbed.wait_for(&id, JobState::Running);
    assert_eq!(job.summary.state, JobState::Running, "{job:#?}");
    job
}

/// What has to be so after all that a network did.
fn nothing_is_missing(testbed: &mut Testbed, job: &Job) {
    let job = testbed.over(&job.summary.id);
    assert_eq!((job.summary.state, job.summary.finished), (JobState::Ended, INSTANCES), "{job:#?}");
    audit::plain(testbed, &job, &BTreeSet::new(), SECONDS * 100, 9);
    testbed.is_clean();
}

/// Instances of a splayd wrote lines all the time, whatever the network did.
fn went_on(testbed: &Testbed, job: &Job, splayd: &str) {
    let lines = testbed.lines(&job.summary.id);
    let own = job.members.iter().filter(|member| member.splayd_name == splayd);
    let mut looked_at = 0;
    for member in own {
        let times: Vec<u64> =
            lines.iter().filter(|line| line.position == member.position).map(|line| line.at_us).collect();
        let pause = times.windows(2).map(|two| two[1] - two[0]).max().expect("many lines");
        assert!(pause < 3_000_000, "{} paused for {pause} us", member.position);
        looked_at += 1;
    }
    assert!(looked_at > 0, "{splayd} hosts nothing");
}

#[test]
fn a_network_that_fails_loses_nothing() {
    let target = Arc::new(Mutex::new(0));
    let proxy = Proxy::start(target.clone());
    let (port, known) = (proxy.port, target);
    let dialled = move |controller, splayd| {
        *known.lock().unwrap() = controller;
        if splayd == 0 { port } else { controller }
    };
    let plan = Plan { dialled: Box::new(dialled), ..Plan::here(2, 4) };
    let mut testbed = Testbed::start(&plan);
    let job = submit(&testbed);
    let workers = testbed.splayds[0].workers();
    assert_eq!(workers.len(), 1);
    let away = |testbed: &Testbed| testbed.state(0) == SplaydState::Offline;
    let back = |testbed: &Testbed| testbed.state(0) == SplaydState::Online;

    // Held for less than the longest silence: nobody notices.
    proxy.set(Network::Stalled);
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(testbed.state(0), SplaydState::Online);
    proxy.set(Network::Fine);
    // Held for longer: both sides take the session for broken.
    proxy.set(Network::Stalled);
    testbed.wait("the silent splayd is away", away);
    proxy.set(Network::Fine);
    testbed.wait("it is back", back);
    proxy.set(Network::Cut);
    testbed.wait("the cut splayd is away", away);
    proxy.set(Network::Fine);
    testbed.wait("it is back", back);
    // Bytes that are damaged are noticed, not believed.
    proxy.set(Network::Damaged(5000));
    testbed.wait("bytes were damaged", |_| proxy.damaged() > 2);
    proxy.set(Network::Slow(4000));
    std::thread::sleep(Duration::from_secs(2));
    proxy.set(Network::Fine);
    testbed.wait("it is back", back);
    assert_eq!(testbed.splayds[0].workers(), workers, "the worker went on");

    nothing_is_missing(&mut testbed, &job);
    went_on(&testbed, &job, "splayd-1");
}
