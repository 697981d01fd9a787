//! Nothing is lost and nothing happens twice: cut sessions, splayds that start anew, a controller
//! that is killed.

mod harness;

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use harness::process::{TIMES, spawn};
use harness::{Client, Controller, FakeSplayd, Life, config, job, until};
use hyper::Method;
use serde_json::json;

async fn wait_for(client: &Client, id: &str, state: &str) -> serde_json::Value {
    let path = format!("/jobs/{id}");
    until(state, async || client.get(&path).await["state"] == state).await;
    client.get(&path).await
}

/// A controller is killed at ever later moments of a job's life; the job always comes to the same
/// end: every instance started once, every line and result there once.
#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = spawn(folder.path(), 0, TIMES).await;
    let port = process.client.address.port();
    let output = Command::new(env!("CARGO_BIN_EXE_splay-controller"))
        .args(["token", "create", "--uses", "3", "--data"])
        .arg(folder.path())
        .output()
        .unwrap();
    let join = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    assert!(join.starts_with("splay-join:v1:"), "{}", String::from_utf8_lossy(&output.stderr));
    let life = Life { run: Some(Duration::from_millis(400)), lines: 3, result_bytes: 3000 };
    let splayds: Vec<FakeSplayd> =
        (1..=3).map(|n| FakeSplayd::start(&format!("n{n}"), 4, &join, life.clone())).collect();
    for round in 0..6u64 {
        let online = process.client.clone();
        until("splayds online", async || online.get("/health").await["splayds_online"] == 3).await;
        let id = process.client.submit(job(9, json!({ "factor": 1.0 }))).await;
        tokio::time::sleep(Duration::from_millis(round * 170)).await;
        process.child.kill().unwrap();
        process.child.wait().unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        process = spawn(folder.path(), port, TIMES).await;
        let done = wait_for(&process.client, &id, "ended").await;
        assert_eq!(
            (&done["finished"], &done["logs"]["lines"]),
            (&json!(9), &json!(27)),
            "round {round}: {done}"
        );
        let mut started: Vec<u32> = splayds
            .iter()
            .flat_map(|splayd| splayd.machine.lock().unwrap().started.clone())
            .filter(|(job, _)| *job == id)
            .map(|(_, position)| position)
            .collect();
        started.sort_unstable();
        assert_eq!(started, (1..=9).collect::<Vec<u32>>(), "round {round}");
        let log = process.client.send(Method::GET, &format!("/jobs/{id}/logs"), None).await.text();
        let texts: BTreeSet<&str> = log.lines().map(|line| &line[28..]).collect();
        assert_eq!((log.lines().count(), texts.len()), (27, 27), "round {round}: {log}");
        let results = process.client.get(&format!("/jobs/{id}/results")).await;
        let whole =
            results.as_array().unwrap().iter().filter(|file| file["bytes"] == file["received_bytes"]).count();
        assert_eq!(whole, 9, "round {round}");
        let numbers: Vec<u64> = done["history"]
            .as_array()
            .unwrap()
            .iter()
            .map(|event| event["number"].as_u64().unwrap())
            .collect();
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<u64>>());
    }
    // In order, by SIGTERM.
    let pid = process.child.id().to_string();
    assert!(Command::new("kill").arg(&pid).status().unwrap().success());
    assert!(process.child.wait().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_cut_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let controller = Controller::start(config(folder.path())).await;
    let splayds = controller.splayds(3, 2, Life::of(Duration::from_millis(1500))).await;
    let id = controller.client.submit(job(6, json!({ "factor": 1.0 }))).await;
    for _ in 0..6 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        splayds.iter().for_each(|splayd| splayd.cut(Duration::from_millis(50)));
    }
    let done = controller.job_is(&id, "ended").await;
    assert_eq!((&done["finished"], &done["logs"]["lines"]), (&json!(6), &json!(18)));
    let started: usize = splayds.iter().map(|splayd| splayd.machine.lock().unwrap().started.len()).sum();
    assert_eq!(started, 6);
    controller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_splayd_lost_by_starting_anew_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let controller = Controller::start(config(folder.path())).await;
    let splayds = controller.splayds(3, 1, Life::of(Duration::from_secs(2))).await;
    let id = controller.client.submit(job(3, json!({}))).await;
    controller.job_is(&id, "running").await;
    until("all run", async || controller.client.get(&format!("/jobs/{id}")).await["running"] == 3).await;
    splayds[0].crash(Duration::from_millis(100));
    let done = controller.job_is(&id, "ended").await;
    assert_eq!(done["why"], "3 instances: 2 finished, 1 lost");
    controller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_splayd_that_stays_away_is_lost_and_the_job_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let controller = Controller::start(config(folder.path())).await;
    let splayds = controller.splayds(3, 1, Life::of(Duration::from_secs(6))).await;
    let id = controller.client.submit(job(3, json!({}))).await;
    controller.job_is(&id, "running").await;
    splayds[1].kill();
    let done = controller.job_is(&id, "ended").await;
    assert_eq!(done["why"], "3 instances: 2 finished, 1 lost");
    let note = done["history"].as_array().unwrap().iter().find(|event| event["kind"] == "note").unwrap();
    assert_eq!(note["text"], "node-2: it was offline for more than 3 s");
    controller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn churn_is_replayed_and_survives_a_lost_splayd_and_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let settings = config(folder.path());
    let controller = Controller::start(settings.clone()).await;
    let splayds = controller.splayds(6, 1, Life::forever()).await;
    let churn = "0 4 6\n0\n3 7\n0 5\n";
    let id = controller.client.submit(job(1, json!({ "churn": churn, "factor": 1.5, "max_time": 11 }))).await;
    let job = controller.job_is(&id, "running").await;
    assert_eq!((&job["instances"], &job["churn"]["spares"]), (&json!(4), &json!(2)));
    until("the first three", async || controller.client.get(&format!("/jobs/{id}")).await["running"] == 3)
        .await;
    // Who hosts position 2 goes for good: a spare takes over, and its instance runs again.
    let lost = controller.client.get(&format!("/jobs/{id}")).await["members"][1]["splayd_name"].clone();
    let number: usize = lost.as_str().unwrap().strip_prefix("node-").unwrap().parse().unwrap();
    splayds[number - 1].kill();
    until("moved", async || controller.client.get(&format!("/jobs/{id}")).await["churn"]["moved"] == 1).await;
    let address = controller.client.address;
    controller.stop().await;
    let mut settings = settings;
    settings.listen = address;
    let controller = Controller::start(settings).await;
    let done = controller.job_is(&id, "killed").await;
    assert_eq!(done["why"], "its longest time of 11 s was over");
    // 3 initial starts and the 5 later steps of the schedule; the moved one's start is none of them.
    assert_eq!(
        (&done["churn"]["moved"], &done["churn"]["steps"], &done["churn"]["done"]),
        (&json!(1), &json!(8), &json!(8))
    );
    assert_eq!(done["churn"]["replacements"]["count"], 1);
    assert_ne!(done["members"][1]["splayd_name"], lost);
    assert!(done["churn"]["lateness"]["min_ms"].as_f64().unwrap() >= 0.0);
    controller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_splayd_killed_while_the_job_loads_is_replaced_and_who_is_there_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let controller = Controller::start(config(folder.path())).await;
    let splayds = controller.splayds(4, 1, Life::of(Duration::from_secs(8))).await;
    splayds.iter().for_each(|splayd| splayd.machine.lock().unwrap().no_load = true);
    let id = controller.client.submit(job(3, json!({ "factor": 1.0 }))).await;
    let loading = controller.job_is(&id, "loading").await;
    let name = loading["members"][1]["splayd_name"].as_str().unwrap().to_owned();
    let number: usize = name.strip_prefix("node-").unwrap().parse().unwrap();
    splayds[number - 1].kill();
    splayds.iter().for_each(|splayd| splayd.machine.lock().unwrap().no_load = false);
    splayds.iter().for_each(|splayd| splayd.cut(Duration::ZERO));
    let running = controller.job_is(&id, "running").await;
    assert_ne!(running["members"][1]["splayd_name"], name.as_str());
    let third = running["members"][2]["splayd_name"].as_str().unwrap();
    let other = running["members"][0]["splayd_name"].as_str().unwrap();
    let index = |name: &str| name.strip_prefix("node-").unwrap().parse::<usize>().unwrap() - 1;
    splayds[index(third)].kill();
    let told = || {
        let machine = splayds[index(other)].machine.lock().unwrap();
        machine.jobs.get(&id).and_then(|hosted| hosted.live.last().map(|live| live.up.clone()))
    };
    until("who is there is told", async || told() == Some(vec![(1, 2)])).await;
    let done = controller.job_is(&id, "ended").await;
    assert_eq!(done["why"], "3 instances: 2 finished, 1 lost");
    controller.stop().await;
}
