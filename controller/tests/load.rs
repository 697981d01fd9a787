//! How fast the controller is. On demand: figures of a shared machine prove nothing.
//!
//! `SPLAYDS=1000 SEATS=5 cargo nextest run -p splay-controller --test load --run-ignored all --no-capture`

#![allow(clippy::print_stdout)]

mod harness;

use std::time::{Duration, Instant};

use harness::splayd::{Identity, batch, hear, say};
use harness::{Controller, Life, config, job, until};
use serde_json::json;
use splay_protocol::session::*;

fn number(name: &str, default: u32) -> u32 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Processor time of this process, splayds of the test included.
fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = text.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures; see the file's head"]
async fn many_splayds() {
    splay_controller::server::raise_descriptor_limit();
    let (count, seats) = (number("SPLAYDS", 1000), number("SEATS", 5));
    let folder = tempfile::tempdir().unwrap();
    let mut settings = config(folder.path());
    settings.timing = splay_controller::config::Seconds::default();
    let controller = Controller::start(settings).await;
    let begin = Instant::now();
    let splayds = controller.splayds(count, seats, Life::forever()).await;
    println!("{count} splayds enrolled in {:?}", begin.elapsed());
    let before = cpu();
    tokio::time::sleep(Duration::from_secs(10)).await;
    println!("idle: {:.2} % of a core, both sides", (cpu() - before).as_secs_f64() * 10.0);
    let begin = Instant::now();
    let id = controller.client.submit(job(count * seats, json!({ "factor": 1.0 }))).await;
    let all = |name| splayds.iter().all(|splayd| splayd.machine.lock().unwrap().orders.contains(&name));
    until("listed", async || all("nodes")).await;
    println!("{} nodes placed, deployed and listed in {:?}", count * seats, begin.elapsed());
    until("told to start", async || all("start")).await;
    println!("told to start after {:?}", begin.elapsed());
    let job = controller.job_is(&id, "running").await;
    until("running", async || {
        controller.client.get(&format!("/jobs/{id}")).await["running"] == count * seats
    })
    .await;
    println!("all reported running after {:?}; skew {}", begin.elapsed(), job["start_skew"]);
    controller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures; see the file's head"]
async fn many_log_lines() {
    let folder = tempfile::tempdir().unwrap();
    let controller = Controller::start(config(folder.path())).await;
    let _splayds = controller.splayds(1, 0, Life::forever()).await;
    let identity = Identity::new("logs", 1, &controller.join(1).await);
    let (mut socket, nonce) = identity.dial().await.unwrap();
    say(&mut socket, &identity.enrol(identity.hello(&nonce, vec![], "a"))).await.unwrap();
    assert!(matches!(hear(&mut socket).await, Some(ToSplayd::Welcome(_))));
    let id = controller.client.submit(job(1, json!({ "factor": 1.0 }))).await;
    until("deploy", async || matches!(hear(&mut socket).await, Some(ToSplayd::Deploy(_)))).await;
    let batches = number("BATCHES", 1000);
    let block = batch(&id, 1, 1000);
    let (begin, before) = (Instant::now(), cpu());
    for sequence in 1..=u64::from(batches) {
        let report = Report { sequence, at_us: 1, event: Event::Logs(block.clone()) };
        say(&mut socket, &ToController::Report(report)).await.unwrap();
    }
    until("acknowledged", async || {
        matches!(hear(&mut socket).await, Some(ToSplayd::Ack(ack)) if ack.sequence == u64::from(batches))
    })
    .await;
    let lines = f64::from(batches) * 1000.0;
    println!(
        "{lines} lines in {:?}: {:.0} a second, {:.3} us of processor time each, both sides",
        begin.elapsed(),
        lines / begin.elapsed().as_secs_f64(),
        (cpu() - before).as_secs_f64() * 1e6 / lines
    );
    controller.stop().await;
}
