//! Jobs over fake splayds, from submission to logs and results.

mod harness;

use std::time::Duration;

use harness::{Controller, Life, config, job, until};
use hyper::Method;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_deployed_started_together_and_ends() {
    let folder = tempfile::tempdir().unwrap();
    let controller = Controller::start(config(folder.path())).await;
    let life = Life { result_bytes: 2500, ..Life::of(Duration::from_millis(200)) };
    let splayds = controller.splayds(4, 5, life).await;
    let id = controller.client.submit(job(10, json!({ "name": "ring" }))).await;
    let done = controller.job_is(&id, "ended").await;
    assert_eq!(
        (&done["name"], &done["finished"], &done["why"]),
        (&json!("ring"), &json!(10), &json!("10 instances: 10 finished"))
    );
    assert_eq!(done["members"].as_array().unwrap().len(), 10);
    assert_eq!((&done["start_skew"]["count"], &done["logs"]["lines"]), (&json!(10), &json!(30)));
    let states: Vec<&str> =
        done["history"].as_array().unwrap().iter().filter_map(|event| event["state"].as_str()).collect();
    assert_eq!(states, ["deploying", "loading", "starting", "running", "ended"]);
    // Each instance was started once, by the splayd that its position says.
    let started: usize = splayds.iter().map(|splayd| splayd.machine.lock().unwrap().started.len()).sum();
    assert_eq!(started, 10);

    // Logs by time, filtered, as lines of JSON.
    let log = controller.client.send(Method::GET, &format!("/jobs/{id}/logs"), None).await;
    assert_eq!(log.text().lines().count(), 30);
    let times: Vec<&str> = std::str::from_utf8(&log.body).unwrap().lines().map(|line| &line[..27]).collect();
    assert!(times.is_sorted(), "{times:?}");
    let path = format!("/jobs/{id}/logs?position=3&kind=warning&format=json");
    let line = controller.client.get(&path).await;
    assert_eq!(
        (&line["position"], &line["text"], &line["kind"]),
        (&json!(3), &json!("line 2 of 3"), &json!("warning"))
    );
    let tail = controller.client.send(Method::GET, &format!("/jobs/{id}/logs?tail=2&text=line"), None).await;
    assert_eq!(tail.text().lines().count(), 2);
    let wrong = controller.client.send(Method::GET, &format!("/jobs/{id}/logs?kind=loud"), None).await;
    assert_eq!(wrong.status, 400);
    assert!(wrong.text().contains("query: kind: `loud` is not out"), "{}", wrong.text());

    // Results are whole.
    let results = controller.client.get(&format!("/jobs/{id}/results")).await;
    assert_eq!(results.as_array().unwrap().len(), 10);
    assert_eq!(
        results[0],
        json!({ "position": 1, "path": "out/data.csv", "bytes": 2500, "received_bytes": 2500 })
    );
    let file = controller.client.send(Method::GET, &format!("/jobs/{id}/results/1/out/data.csv"), None).await;
    assert_eq!(file.body, vec![b'b'; 2500]);
    let code = controller.client.send(Method::GET, &format!("/jobs/{id}/code"), None).await;
    assert_eq!(code.text(), "print(1)\n");

    // Nothing is left on the splayds.
    until("jobs forgotten", async || {
        splayds.iter().all(|splayd| splayd.machine.lock().unwrap().jobs.is_empty())
    })
    .await;
    controller.stop().await;
}
