//! A controller, users and splayds for tests. The splayds speak the real protocol over real
//! connections and keep to its rules, reports are kept until they are acknowledged; their instances
//! are a few lines here.
#![allow(dead_code)]

pub mod client;
pub mod identity;
pub mod postgres;
pub mod process;
pub mod splayd;

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use splay_controller::config::{Config, Seconds};
use splay_controller::server;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub use self::client::Client;
pub use self::splayd::{FakeSplayd, Life};

/// A controller in this process.
pub struct Controller {
    pub config: Config,
    pub url: String,
    pub client: Client,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

/// Short times, so that tests are short.
pub fn config(data: &Path) -> Config {
    Config {
        data: data.to_owned(),
        listen: "127.0.0.1:0".parse().unwrap(),
        timing: Seconds {
            offline_grace: 3.0,
            deploy: 5.0,
            load: 10.0,
            start_margin: 0.3,
            drain: 5.0,
            ahead: 1.0,
            lead: 1.0,
            absent: 1.0,
            keep: 600.0,
        },
        ..Config::default()
    }
}

impl Controller {
    /// Starts one; its administrator is logged in, with a password that tests know.
    pub async fn start(config: Config) -> Controller {
        let running = server::start(config.clone()).await.unwrap();
        let (url, address, fingerprint) = (running.url.clone(), running.address, running.fingerprint);
        let first = running.first_password.clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            running.until(async { drop(stopped.await) }).await.unwrap();
        });
        let mut client = Client { address, fingerprint, token: String::new() };
        let file = config.data.join("test-password");
        if let Some(password) = first {
            std::fs::write(&file, password).unwrap();
        }
        client.login("admin", &std::fs::read_to_string(&file).unwrap()).await;
        Controller { config, url, client, stop: Some(stop), task }
    }

    /// Ends it in order.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        self.task.await.unwrap();
    }

    /// A join token for so many splayds.
    pub async fn join(&self, uses: u32) -> String {
        let made = self.client.post("/join-tokens", json!({ "uses": uses })).await;
        made["join"].as_str().unwrap().to_owned()
    }

    /// Splayds that are online.
    pub async fn splayds(&self, count: u32, seats: u32, life: Life) -> Vec<FakeSplayd> {
        let join = self.join(count).await;
        let mut all = Vec::new();
        for number in 1..=count {
            all.push(FakeSplayd::start(&format!("node-{number}"), seats, &join, life.clone()));
        }
        let client = &self.client;
        until("splayds online", async || client.get("/health").await["splayds_online"] == count).await;
        all
    }

    /// Waits for a job's state.
    pub async fn job_is(&self, id: &str, state: &str) -> Value {
        let path = format!("/jobs/{id}");
        let client = &self.client;
        until(&format!("job {state}"), async || {
            let job = client.get(&path).await;
            assert!(
                job["state"] == state || job["ended_at"].is_null(),
                "{} and not {state}: {}",
                job["state"],
                job["why"]
            );
            job["state"] == state
        })
        .await;
        self.client.get(&path).await
    }
}

/// A small job.
pub fn job(instances: u32, more: Value) -> Value {
    let mut submission = json!({ "instances": instances });
    more.as_object().unwrap().iter().for_each(|(name, value)| submission[name] = value.clone());
    // "print(1)\n"
    json!({ "submission": submission, "app": "a.lua", "files": [{ "path": "a.lua", "base64": "cHJpbnQoMSkK" }] })
}

/// Waits for something to be so.
pub async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let begin = Instant::now();
    while !so().await {
        assert!(begin.elapsed() < Duration::from_secs(60), "waited for a minute: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
