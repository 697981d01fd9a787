//! The same over PostgreSQL.

mod harness;

use std::path::Path;
use std::time::Duration;

use harness::postgres::{Postgres, server};
use harness::{Controller, FakeSplayd, Life, config, job};
use hyper::Method;
use serde_json::json;

fn over(server: &Postgres, data: &Path) -> splay_controller::config::Config {
    splay_controller::config::Config { database: Some(server.url()), ..config(data) }
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_users_and_logs_over_postgresql() {
    let Some(server) = server() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut settings = over(&server, folder.path());
    let controller = Controller::start(settings.clone()).await;
    let life = Life { run: Some(Duration::from_secs(2)), lines: 3, result_bytes: 2000 };
    let splayds: Vec<FakeSplayd> = controller.splayds(3, 3, life).await;
    controller
        .client
        .post("/users", json!({ "name": "ann", "password": "ann-password", "role": "user" }))
        .await;
    controller.client.send(Method::PUT, "/blacklist", Some(json!({ "hosts": ["10.*"] }))).await;
    let id = controller.client.submit(job(6, json!({}))).await;
    controller.job_is(&id, "running").await;
    // It is taken up by the next one where this one left it.
    settings.listen = controller.client.address;
    controller.stop().await;
    let controller = Controller::start(settings).await;
    let done = controller.job_is(&id, "ended").await;
    assert_eq!((&done["finished"], &done["logs"]["lines"]), (&json!(6), &json!(18)), "{done}");
    let log = controller.client.send(Method::GET, &format!("/jobs/{id}/logs"), None).await;
    assert_eq!(log.text().lines().count(), 18);
    assert_eq!(controller.client.get(&format!("/jobs/{id}/results")).await.as_array().unwrap().len(), 6);
    assert_eq!(controller.client.get("/blacklist").await["hosts"][0], "10.*");
    assert_eq!(controller.client.get("/users").await[1]["name"], "ann");
    let started: usize = splayds.iter().map(|splayd| splayd.machine.lock().unwrap().started.len()).sum();
    assert_eq!(started, 6);
    let wrong = controller.client.send(Method::DELETE, "/users/nobody", None).await;
    assert_eq!(wrong.status, 404);
    controller.stop().await;
}
