//! Jobs that are over: they leave memory, are there all the same, and their logs and results are kept
//! for as long as was said.

mod harness;

use std::time::Duration;

use harness::splayd::batch;
use harness::{Controller, Life, config, job, until};
use hyper::Method;
use serde_json::json;
use splay_controller::config::Retention;
use splay_protocol::session::{Event, Report};

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_has_left_memory_is_there_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = config(folder.path());
    (settings.timing.keep, settings.timing.drain) = (0.2, 0.2);
    let controller = Controller::start(settings).await;
    let client = &controller.client;
    let life = Life { run: Some(Duration::from_millis(200)), lines: 3, result_bytes: 1500 };
    let splayds = controller.splayds(2, 4, life).await;
    let id = client.submit(job(4, json!({ "factor": 1.0, "name": "first" }))).await;
    let before = controller.job_is(&id, "ended").await;
    // Another one's life is longer than the first one stays in memory.
    let other = client.submit(job(1, json!({}))).await;
    controller.job_is(&other, "ended").await;
    tokio::time::sleep(Duration::from_millis(600)).await;

    let after = client.get(&format!("/jobs/{id}")).await;
    assert_eq!(after, before);
    let list = client.get("/jobs").await;
    let ids: Vec<&str> = list.as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap()).collect();
    assert_eq!(ids, [id.as_str(), other.as_str()]);
    assert_eq!((&list[0]["name"], &list[0]["finished"]), (&json!("first"), &json!(4)));
    assert_eq!(client.get("/jobs?limit=1").await[0]["id"], other.as_str());
    let text = |path: String| async move { client.send(Method::GET, &path, None).await.text() };
    assert_eq!(text(format!("/jobs/{id}/logs")).await.lines().count(), 12);
    assert_eq!(text(format!("/jobs/{id}/logs/follow")).await.matches("data: ").count(), 12);
    assert!(text(format!("/jobs/{id}/events")).await.contains("ended"));
    assert_eq!(text(format!("/jobs/{id}/code")).await, "print(1)\n");
    assert_eq!(text(format!("/jobs/{id}/results/2/out/data.csv")).await.len(), 1500);
    let metrics = client.send(Method::GET, "/metrics", None).await.text();
    assert!(
        metrics.contains("splay_jobs{state=\"ended\"} 2") && metrics.contains("splay_log_lines 15"),
        "{metrics}"
    );
    let kill = client.send(Method::POST, &format!("/jobs/{id}/kill"), None).await;
    assert_eq!(
        (kill.status.as_u16(), kill.json()["error"]["message"].as_str().unwrap().contains("is over: ended")),
        (409, true)
    );
    assert_eq!(client.send(Method::GET, "/jobs/jnever", None).await.status, 404);

    // Its nodes are found again, and it can be submitted again.
    let same = client.submit(job(4, json!({ "same_nodes_as": id, "factor": 1.0 }))).await;
    let same = controller.job_is(&same, "ended").await;
    let hosts = |job: &serde_json::Value| -> Vec<String> {
        job["members"].as_array().unwrap().iter().map(|one| one["splayd"].to_string()).collect()
    };
    assert_eq!(hosts(&same), hosts(&before));
    let again = client.post(&format!("/jobs/{id}/resubmit"), json!({})).await;
    controller.job_is(again["id"].as_str().unwrap(), "ended").await;

    // A splayd still has lines of it.
    {
        let mut machine = splayds[0].machine.lock().unwrap();
        machine.sequence += 1;
        let sequence = machine.sequence;
        machine.spool.push(Report { sequence, at_us: 5, event: Event::Logs(batch(&id, 1, 7)) });
    }
    splayds[0].cut(Duration::from_millis(50));
    until("late lines", async || client.get(&format!("/jobs/{id}")).await["logs"]["lines"] == 19).await;
    assert_eq!(text(format!("/jobs/{id}/logs")).await.lines().count(), 19);
    controller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_and_results_are_removed_in_their_time_and_that_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = config(folder.path());
    settings.timing.keep = 0.1;
    settings.retention = Retention { jobs: 0, days: 0.0 };
    let controller = Controller::start(settings.clone()).await;
    let life = Life { run: Some(Duration::from_millis(100)), lines: 3, result_bytes: 1500 };
    let _splayds = controller.splayds(2, 4, life).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let id = controller.client.submit(job(2, json!({ "factor": 1.0 }))).await;
        controller.job_is(&id, "ended").await;
        ids.push(id);
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    settings.listen = controller.client.address;
    controller.stop().await;
    settings.retention.jobs = 1;
    let controller = Controller::start(settings.clone()).await;
    let client = &controller.client;
    let removed =
        |id: String| async move { client.get(&format!("/jobs/{id}")).await["removed_at"].is_number() };
    for id in &ids[..2] {
        until("removed", async || removed(id.clone()).await).await;
        let log = client.send(Method::GET, &format!("/jobs/{id}/logs"), None).await.text();
        assert!(log.contains("6 lines were kept until 20") && log.lines().count() == 1, "{log}");
        let tail = client.send(Method::GET, &format!("/jobs/{id}/logs?tail=1"), None).await.text();
        assert!(tail.contains("removed"), "{tail}");
        assert_eq!(client.get(&format!("/jobs/{id}/results")).await, json!([]));
        assert_eq!(
            client.send(Method::GET, &format!("/jobs/{id}/results/1/out/data.csv"), None).await.status,
            404
        );
        assert!(!folder.path().join("results").join(id).exists());
        let job = client.get(&format!("/jobs/{id}")).await;
        let last = job["history"].as_array().unwrap().last().unwrap();
        assert_eq!(last["text"], "its logs and results were removed: those of the last 1 jobs are kept");
        assert_eq!((&job["finished"], &job["state"]), (&json!(2), &json!("ended")));
    }
    assert!(!removed(ids[2].clone()).await);
    let log = client.send(Method::GET, &format!("/jobs/{}/logs", ids[2]), None).await.text();
    assert_eq!(log.lines().count(), 6);
    controller.stop().await;
    // By age.
    settings.retention = Retention { jobs: 0, days: 1e-7 };
    let controller = Controller::start(settings).await;
    let client = &controller.client;
    until("removed by age", async || {
        client.get(&format!("/jobs/{}", ids[2])).await["removed_at"].is_number()
    })
    .await;
    controller.stop().await;
}
