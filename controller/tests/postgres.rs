//! The same over PostgreSQL: a server of its own, in a temporary folder, on loopback. Without
//! Debian's package `postgresql` this is skipped, unless `CI=true`.

#![allow(clippy::print_stdout)]

mod harness;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use harness::{Controller, FakeSplayd, Life, config, job, until};
use hyper::Method;
use serde_json::json;

/// A server; ends with the value.
struct Postgres {
    folder: tempfile::TempDir,
    bin: PathBuf,
    port: u16,
}

impl Postgres {
    /// `None`: it is not installed.
    fn start() -> Option<Postgres> {
        let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
            .ok()?
            .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
            .collect();
        versions.retain(|bin| bin.join("initdb").exists());
        versions.sort();
        let bin = versions.pop()?;
        let folder = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Postgres { folder, bin, port };
        if as_root() {
            assert!(
                Command::new("chown").arg("postgres").arg(server.folder.path()).status().unwrap().success()
            );
        }
        server.run("initdb", &["-A", "trust", "-U", "splay", "-E", "UTF8", "--no-sync", "-D"], &[]);
        let options =
            format!("-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off");
        server.run("pg_ctl", &["-w", "-o", &options, "-l", &server.path("log"), "-D"], &["start"]);
        Some(server)
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// A program of the server; it refuses to be run by root.
    fn run(&self, program: &str, arguments: &[&str], after: &[&str]) {
        let program = self.bin.join(program);
        let mut command = match as_root() {
            true => {
                let mut command = Command::new("setpriv");
                command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
                command
            }
            false => Command::new(program),
        };
        let data = self.path("data");
        command.args(arguments).arg(&data).args(after).current_dir(self.folder.path());
        let status = command.stdout(Stdio::null()).status().unwrap();
        assert!(status.success(), "{command:?}");
    }

    fn url(&self) -> String {
        format!("postgres://splay@127.0.0.1:{}/postgres", self.port)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.run("pg_ctl", &["-m", "immediate", "-D"], &["stop"]);
    }
}

fn as_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn server() -> Option<Postgres> {
    let server = Postgres::start();
    if server.is_none() {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "PostgreSQL is missing: install Debian's package postgresql"
        );
        println!("skipped: PostgreSQL is not installed");
    }
    server
}

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

#[tokio::test(flavor = "multi_thread")]
async fn one_controller_leads_and_another_takes_over() {
    let Some(server) = server() else { return };
    let (first_folder, second_folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = Controller::start(over(&server, first_folder.path())).await;
    let id = first.client.submit(job(1, json!({}))).await;
    first.job_is(&id, "refused").await;
    // The second one does not even listen while the first leads.
    let settings = over(&server, second_folder.path());
    std::fs::copy(first_folder.path().join("test-password"), second_folder.path().join("test-password"))
        .unwrap();
    let second = tokio::spawn(Controller::start(settings));
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(!second.is_finished());
    first.stop().await;
    until("taken over", async || second.is_finished()).await;
    let second = second.await.unwrap();
    assert_eq!(second.client.get(&format!("/jobs/{id}")).await["state"], "refused");
    second.stop().await;
}
