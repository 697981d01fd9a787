//! Two controllers on one database: either serves, and when the one that leads is killed, the other
//! goes on.

mod harness;

use std::path::Path;
use std::time::Duration;

use harness::process::{TIMES, spawn};
use harness::{Client, FakeSplayd, Life, job, postgres, until};
use hyper::Method;
use serde_json::{Value, json};

fn copy(from: &Path, to: &Path, names: &[&str]) {
    for name in names {
        std::fs::create_dir_all(to.join(name).parent().unwrap()).unwrap();
        std::fs::copy(from.join(name), to.join(name)).unwrap();
    }
}

/// An answer that is good, once there is one: between leaders there is none.
async fn get(client: &Client, path: &str) -> Option<Value> {
    let reply = client.send(Method::GET, path, None).await;
    match reply.status.as_u16() {
        503 => {
            assert_eq!(reply.json()["error"]["code"], "unavailable");
            assert_eq!(reply.headers["retry-after"], "1");
            None
        }
        _ => {
            assert!(reply.status.is_success(), "{path}: {}", reply.text());
            Some(reply.json())
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_is_killed_and_the_job_ends_through_the_other() {
    let Some(server) = postgres::server() else { return };
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let settings = format!("database = \"{}\"\n{TIMES}", server.url());
    let mut leader = spawn(first.path(), 0, &settings).await;
    // The same certificate, as behind one address; nothing else is shared but the database.
    copy(first.path(), second.path(), &["tls/cert.pem", "tls/key.pem", "tls/expires", "password"]);
    let other = spawn(second.path(), 0, &settings).await;
    assert!(!leader.stands_by && other.stands_by);

    // Everything through the one that does not lead: users, join tokens, sessions of splayds.
    let client = other.client.clone();
    assert_eq!(client.get("/users/me").await["name"], "admin");
    let url = format!("https://{}", client.address);
    let join = client.post("/join-tokens", json!({ "uses": 3, "url": url })).await["join"].clone();
    let life = Life { run: Some(Duration::from_secs(4)), lines: 3, result_bytes: 2500 };
    let splayds: Vec<FakeSplayd> = (1..=3)
        .map(|number| FakeSplayd::start(&format!("node-{number}"), 3, join.as_str().unwrap(), life.clone()))
        .collect();
    until("splayds online", async || client.get("/health").await["splayds_online"] == 3).await;
    let audit = client.get("/audit").await.to_string();
    assert!(audit.contains("join-token.add") && audit.contains("127.0.0.1"), "{audit}");

    // A job that has ended, with streams and downloads.
    let short = client.submit(job(2, json!({ "factor": 1.0 }))).await;
    let events = client.send(Method::GET, &format!("/jobs/{short}/events"), None).await.text();
    assert!(events.contains("\"state\":\"ended\""), "the stream goes on to the end: {events}");
    let lines = client.send(Method::GET, &format!("/jobs/{short}/logs/follow"), None).await.text();
    assert_eq!(lines.matches("data: ").count(), 6, "{lines}");
    let result = format!("/jobs/{short}/results/1/out/data.csv");
    assert_eq!(client.send(Method::GET, &result, None).await.body, [b'b'; 2500]);

    // One that runs while its leader is killed.
    let id = client.submit(job(6, json!({ "factor": 1.0 }))).await;
    until("running", async || client.get(&format!("/jobs/{id}")).await["running"] == 6).await;
    let follow = {
        let (client, path) = (client.clone(), format!("/jobs/{id}/logs/follow"));
        tokio::spawn(async move { client.stream(&path).await })
    };
    leader.kill();
    until("the other leads", async || get(&client, "/health").await.is_some()).await;
    until("ended", async || {
        get(&client, &format!("/jobs/{id}")).await.is_some_and(|job| job["state"] == "ended")
    })
    .await;
    let done = client.get(&format!("/jobs/{id}")).await;
    assert_eq!((&done["finished"], &done["logs"]["lines"]), (&json!(6), &json!(18)), "{done}");
    // A stream that was cut has ended, rather than hang.
    let _ = tokio::time::timeout(Duration::from_secs(30), follow).await.expect("the stream ends").unwrap();
    for (id, instances) in [(&short, 2), (&id, 6)] {
        for position in 1..=instances {
            let path = format!("/jobs/{id}/results/{position}/out/data.csv");
            let body = client.send(Method::GET, &path, None).await.body;
            assert_eq!(body, vec![b'a' + position as u8; 2500], "{path}");
        }
        let log = client.send(Method::GET, &format!("/jobs/{id}/logs"), None).await.text();
        assert_eq!(log.lines().count(), 3 * instances);
    }
    let mut started: Vec<u32> = splayds
        .iter()
        .flat_map(|splayd| splayd.machine.lock().unwrap().started.clone())
        .filter(|(job, _)| *job == id)
        .map(|(_, position)| position)
        .collect();
    started.sort_unstable();
    assert_eq!(started, [1, 2, 3, 4, 5, 6], "each once");

    // The first comes back, and stands by now; what it is asked, the other answers.
    let back = spawn(first.path(), leader.client.address.port(), &settings).await;
    assert!(back.stands_by);
    assert_eq!(back.client.get(&format!("/jobs/{id}")).await["state"], "ended");
    // Who claims to have been passed on, and is not, is nobody special.
    let forged: &[(&str, &str)] = &[("x-splay-passed-on", "guess"), ("x-splay-for", "192.0.2.1")];
    let body = json!({ "user": "nobody", "password": "wrong-password" }).to_string().into_bytes();
    let headers = [&[("content-type", "application/json")], forged].concat();
    assert_eq!(client.send_bytes(Method::POST, "/login", &headers, body).await.status, 401);
    let audit = client.get("/audit").await.to_string();
    assert!(audit.contains("refused") && !audit.contains("192.0.2.1"), "{audit}");
}
