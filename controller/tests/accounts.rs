//! Who may do what.

mod harness;

use std::time::Duration;

use harness::{Controller, Life, config, job};
use hyper::Method;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn users_see_and_change_what_is_theirs() {
    let folder = tempfile::tempdir().unwrap();
    let controller = Controller::start(config(folder.path())).await;
    let admin = &controller.client;
    let _splayds = controller.splayds(1, 4, Life::of(Duration::from_millis(50))).await;
    for (name, role) in [("ann", "user"), ("bob", "user"), ("eve", "read-only")] {
        admin
            .post("/users", json!({ "name": name, "password": format!("{name}-password"), "role": role }))
            .await;
    }
    let mut users = Vec::new();
    for name in ["ann", "bob", "eve"] {
        let mut client = admin.with("");
        client.login(name, &format!("{name}-password")).await;
        users.push(client);
    }
    let [ann, bob, eve] = &users[..] else { unreachable!() };
    let id = ann.submit(job(1, json!({}))).await;
    controller.job_is(&id, "ended").await;

    let status = async |client: &harness::Client, method: Method, path: &str, body: Option<Value>| {
        let reply = client.send(method, path, body).await;
        let code =
            if reply.status.is_success() { Value::Null } else { reply.json()["error"]["code"].clone() };
        (reply.status.as_u16(), code.as_str().unwrap_or("").to_owned())
    };
    let forbidden = (403, "forbidden".to_owned());
    for path in [
        format!("/jobs/{id}"),
        format!("/jobs/{id}/logs"),
        format!("/jobs/{id}/code"),
        format!("/jobs/{id}/results"),
        format!("/jobs/{id}/events"),
        format!("/jobs/{id}/logs/follow"),
        format!("/jobs/{id}/files/a.lua"),
        format!("/jobs/{id}/results/1/x"),
    ] {
        assert_eq!(status(bob, Method::GET, &path, None).await, forbidden, "{path}");
        assert_eq!(status(&admin.with(""), Method::GET, &path, None).await.0, 401, "{path}");
        assert_eq!(status(&admin.with("guess"), Method::GET, &path, None).await.0, 401, "{path}");
        if !path.ends_with("/x") {
            assert_eq!(status(eve, Method::GET, &path, None).await.0, 200, "{path}");
        }
    }
    for client in [bob, eve] {
        assert_eq!(status(client, Method::POST, &format!("/jobs/{id}/kill"), None).await, forbidden);
        assert_eq!(status(client, Method::POST, &format!("/jobs/{id}/resubmit"), None).await, forbidden);
    }
    assert_eq!(status(eve, Method::POST, "/jobs", Some(job(1, json!({})))).await, forbidden);
    assert_eq!(bob.get("/jobs").await, json!([]));
    assert_eq!(eve.get("/jobs").await.as_array().unwrap().len(), 1);
    assert_eq!(
        status(ann, Method::POST, &format!("/jobs/{id}/kill"), None).await,
        (409, "conflict".to_owned())
    );
    for (method, path, body) in [
        (Method::GET, "/users", None),
        (Method::POST, "/users", Some(json!({ "name": "x", "password": "12345678", "role": "admin" }))),
        (Method::PATCH, "/users/bob", Some(json!({ "password": "12345678" }))),
        (Method::PATCH, "/users/ann", Some(json!({ "role": "admin" }))),
        (Method::DELETE, "/users/bob", None),
        (Method::GET, "/join-tokens", None),
        (Method::POST, "/join-tokens", Some(json!({}))),
        (Method::DELETE, "/join-tokens/x", None),
        (Method::PUT, "/blacklist", Some(json!({ "hosts": [] }))),
        (
            Method::POST,
            "/native",
            Some(json!({ "name": "x", "os": "linux", "architecture": "x86_64", "base64": "" })),
        ),
        (Method::GET, "/audit", None),
        (Method::POST, "/splayds/x/revoke", None),
        (Method::PATCH, "/splayds/x", Some(json!({ "labels": {} }))),
    ] {
        assert_eq!(status(ann, method, path, body).await, forbidden, "{path}");
    }
    // The key is nobody's to see.
    let shown = ann.get("/splayds").await.to_string();
    assert!(shown.contains("node-1") && !shown.contains("key"), "{shown}");

    let audit = admin.get("/audit").await.to_string();
    assert!(audit.contains("job.submit") && audit.contains("user.add"), "{audit}");
    controller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_and_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let controller = Controller::start(config(folder.path())).await;
    let admin = &controller.client;
    admin.post("/users", json!({ "name": "ann", "password": "ann-password", "role": "user" })).await;
    let again = admin
        .send(
            Method::POST,
            "/users",
            Some(json!({ "name": "ann", "password": "ann-password", "role": "user" })),
        )
        .await;
    assert_eq!(again.status, 409);
    let short = admin
        .send(Method::POST, "/users", Some(json!({ "name": "bob", "password": "short", "role": "user" })))
        .await;
    assert!(short.text().contains("password: at least 8 characters"), "{}", short.text());
    let mut ann = admin.with("");
    ann.login("ann", "ann-password").await;
    let made = ann.post("/tokens", json!({ "name": "ci", "expires_in": 60 })).await;
    let program = ann.with(made["token"].as_str().unwrap());
    assert_eq!(program.get("/users/me").await["name"], "ann");
    // Listed without the secret; expired ones are none.
    let listed = ann.get("/tokens").await;
    assert!(listed[0]["name"] == "ci" && !listed.to_string().contains(made["token"].as_str().unwrap()));
    let short = ann.post("/tokens", json!({ "name": "short", "expires_in": 1 })).await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let late = ann.with(short["token"].as_str().unwrap()).send(Method::GET, "/users/me", None).await;
    assert_eq!(late.status, 401);
    // A new password needs the old one and ends everything.
    let wrong = ann
        .send(Method::PATCH, "/users/ann", Some(json!({ "old_password": "x", "password": "new-password" })))
        .await;
    assert_eq!(wrong.status, 403);
    let right = ann
        .send(
            Method::PATCH,
            "/users/ann",
            Some(json!({ "old_password": "ann-password", "password": "new-password" })),
        )
        .await;
    assert_eq!(right.status, 200, "{}", right.text());
    for client in [&ann, &program] {
        assert_eq!(client.send(Method::GET, "/users/me", None).await.status, 401);
    }
    ann.login("ann", "new-password").await;
    assert_eq!(ann.send(Method::POST, "/logout", None).await.status, 204);
    assert_eq!(ann.send(Method::GET, "/users/me", None).await.status, 401);
    assert_eq!(admin.send(Method::DELETE, "/users/admin", None).await.status, 409);
    // Guessing is slowed down, for this user alone.
    let mut last = 0;
    for _ in 0..7 {
        let login = json!({ "user": "ann", "password": "guess-again" });
        last = ann.send(Method::POST, "/login", Some(login)).await.status.as_u16();
    }
    assert_eq!(last, 429);
    let stored = std::fs::read(folder.path().join("controller.db")).unwrap();
    let holds = |text: &str| memchr::memmem::find(&stored, text.as_bytes()).is_some();
    assert!(!holds("new-password") && !holds(made["token"].as_str().unwrap()));
    controller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_make_no_sense() {
    let folder = tempfile::tempdir().unwrap();
    let controller = Controller::start(config(folder.path())).await;
    let client = &controller.client;
    let refused = async |body: Value| {
        let reply = client.send(Method::POST, "/jobs", Some(body)).await;
        assert_eq!(reply.status, 400, "{}", reply.text());
        reply.json()["error"]["message"].as_str().unwrap().to_owned()
    };
    assert_eq!(refused(json!({ "app": "a.lua" })).await, "app: `a.lua` is not among the files");
    assert!(refused(json!({ "ap": "a.lua" })).await.contains("unknown field `ap`"));
    let mut evil = job(1, json!({}));
    evil["files"][0]["path"] = json!("../a.lua");
    assert_eq!(refused(evil).await, "files: `../a.lua` is not a relative path within the job's folder");
    assert_eq!(refused(job(1, json!({ "factor": 0.5 }))).await, "submission.factor: 0.5 is not from 1 to 10");
    assert!(refused(job(1, json!({ "churn": "at 5s jion 3" }))).await.starts_with("churn 1:7: "));
    let many = refused(job(1, json!({ "churn": "at 0s join 100001" }))).await;
    assert_eq!(many, "churn: needs 100001 instances; 100000 are allowed");
    assert_eq!(client.send(Method::GET, "/nothing", None).await.json()["error"]["code"], "not_found");
    assert_eq!(
        client.send(Method::DELETE, "/jobs", None).await.json()["error"]["code"],
        "method_not_allowed"
    );
    let id = client.submit(job(2, json!({}))).await;
    assert_eq!(controller.job_is(&id, "refused").await["why"], "there are no splayds");
    // As a form.
    let form = "--x\r\nContent-Disposition: form-data; name=\"job\"\r\n\r\n{\"app\":\"b/a.lua\"}\r\n--x\r\n\
                Content-Disposition: form-data; name=\"file\"; filename=\"b/a.lua\"\r\n\r\nprint(2)\r\n--x--\r\n";
    let headers = [("content-type", "multipart/form-data; boundary=x")];
    let reply = client.send_bytes(Method::POST, "/jobs", &headers, form.into()).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    let id = reply.json()["id"].as_str().unwrap().to_owned();
    let code = client.send(Method::GET, &format!("/jobs/{id}/files/b/a.lua"), None).await;
    assert_eq!(code.text(), "print(2)");
    let again = client.post(&format!("/jobs/{id}/resubmit"), json!({})).await;
    assert_ne!(again["id"], json!(id));
    let open = client.get("/openapi.json").await;
    assert!(open["paths"]["/api/v1/jobs/{id}/kill"]["post"].is_object());
    let metrics = client.send(Method::GET, "/metrics", None).await.text();
    assert!(metrics.contains("splay_jobs{state=\"refused\"} 3"), "{metrics}");
    controller.stop().await;
}
