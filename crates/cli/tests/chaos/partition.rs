//! Splayds that the network takes away for a while, and gives back: instances go on, the controller
//! knows who is away, and every line comes once, in order.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use splay_protocol::api::{Job, JobState, SplaydState};

use crate::audit;
use crate::netns::Lab;
use crate::proxy::{Network, Proxy};
use crate::testbed::{Plan, Testbed};

const INSTANCES: u32 = 6;

/// Each instance runs for so long, and writes a hundred lines a second.
fn submit(testbed: &Testbed, seconds: u32) -> Job {
    testbed.write("numbered.lua", audit::APP);
    let (instances, lines) = (INSTANCES.to_string(), (seconds * 100).to_string());
    let id =
        testbed.submit(&["numbered.lua", "--detach", "--factor", "1", "-n", &instances, "--", &lines, "9"]);
    let job = testbed.wait_for(&id, JobState::Running);
    assert_eq!(job.summary.state, JobState::Running, "{job:#?}");
    job
}

/// What has to be so after all that a network did.
fn nothing_is_missing(testbed: &mut Testbed, job: &Job, seconds: u32) {
    let job = testbed.over(&job.summary.id);
    assert_eq!((job.summary.state, job.summary.finished), (JobState::Ended, INSTANCES), "{job:#?}");
    audit::plain(testbed, &job, &BTreeSet::new(), seconds * 100, 9);
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

/// On a slow machine the job may be over by now.
fn same_worker(testbed: &Testbed, before: &[u32]) {
    let now = testbed.splayds[0].workers();
    assert!(now.is_empty() || now == before, "{before:?}, then {now:?}");
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
    let seconds = 16;
    let job = submit(&testbed, seconds);
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
    same_worker(&testbed, &workers);

    nothing_is_missing(&mut testbed, &job, seconds);
    went_on(&testbed, &job, "splayd-1");
}

#[test]
fn hosts_that_are_cut_off_come_back() {
    let lab = match Lab::new(3) {
        Ok(lab) => lab,
        Err(why) => {
            eprintln!("skipped: no network namespaces here ({why})");
            return;
        }
    };
    let splayds = vec![lab.machine(2), lab.machine(3)];
    let plan = Plan { controller: lab.machine(1), splayds, ..Plan::here(2, 4) };
    let mut testbed = Testbed::start(&plan);
    let seconds = 24;
    let job = submit(&testbed, seconds);
    let workers = testbed.splayds[0].workers();
    // For a moment, which nobody notices; then for longer than a session may be silent.
    lab.cable(2, false);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(testbed.state(0), SplaydState::Online);
    lab.cable(2, true);
    std::thread::sleep(Duration::from_secs(1));
    lab.cable(2, false);
    testbed.wait("the host without a cable is away", |testbed| testbed.state(0) == SplaydState::Offline);
    assert_eq!(testbed.state(1), SplaydState::Online);
    lab.cable(2, true);
    testbed.wait("it is back", |testbed| testbed.state(0) == SplaydState::Online);
    // One direction alone: it hears the controller, which does not hear it.
    lab.reaches(2, 1, false);
    testbed.wait("who is not heard is away", |testbed| testbed.state(0) == SplaydState::Offline);
    lab.reaches(2, 1, true);
    testbed.wait("it is back", |testbed| testbed.state(0) == SplaydState::Online);
    // Packets that are late, lost, doubled, mixed up and damaged.
    match lab.sends(2, "delay 20ms 10ms loss 5% duplicate 5% reorder 20% corrupt 2%") {
        Ok(()) => {
            std::thread::sleep(Duration::from_secs(2));
            lab.sends(2, "").expect("as before");
        }
        Err(why) => eprintln!("left out: lossy cables ({why})"),
    }
    same_worker(&testbed, &workers);
    nothing_is_missing(&mut testbed, &job, seconds);
    went_on(&testbed, &job, "splayd-1");
}
