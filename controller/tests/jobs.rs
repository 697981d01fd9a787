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

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_followed_and_its_bound_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = config(folder.path());
    // Room for three of the six blocks, each of one instance.
    settings.max_log_bytes = 3 * harness::splayd::batch("j", 1, 3).data.len() as u64 + 20;
    let controller = Controller::start(settings).await;
    let _splayds = controller.splayds(2, 3, Life::of(Duration::from_millis(700))).await;
    let id = controller.client.submit(job(6, json!({ "factor": 1.0 }))).await;
    let (follower, path) = (controller.client.clone(), format!("/jobs/{id}/logs/follow?kind=warning"));
    let live = tokio::spawn(async move { follower.send(Method::GET, &path, None).await.text() });
    let done = controller.job_is(&id, "ended").await;
    assert_eq!(
        (&done["logs"]["lines"], &done["logs"]["cut_lines"]),
        (&json!(9), &json!(9)),
        "{}",
        done["logs"]
    );
    let notes: Vec<&str> =
        done["history"].as_array().unwrap().iter().filter_map(|event| event["text"].as_str()).collect();
    assert!(notes.len() == 1 && notes[0].contains("later lines are not kept"), "{notes:?}");
    let log = controller.client.send(Method::GET, &format!("/jobs/{id}/logs"), None).await.text();
    assert_eq!(log.lines().count(), 10);
    assert!(log.lines().last().unwrap().contains("9 lines were not kept"), "{log}");
    // What was followed as it came is what is stored; the stream ended with the job.
    let live = live.await.unwrap();
    let mut followed: Vec<serde_json::Value> = live
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    followed.sort_by_key(|line| (line["at_us"].as_u64(), line["position"].as_u64()));
    let stored = controller
        .client
        .send(Method::GET, &format!("/jobs/{id}/logs?kind=warning&format=json"), None)
        .await
        .text();
    let mut stored: Vec<serde_json::Value> =
        stored.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(stored.pop().unwrap()["kind"], "system");
    stored.sort_by_key(|line| (line["at_us"].as_u64(), line["position"].as_u64()));
    assert_eq!(followed, stored);
    assert_eq!(followed.len(), 3);
    controller.stop().await;
}
