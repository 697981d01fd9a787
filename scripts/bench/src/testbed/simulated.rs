//! Sessions by thousands: the controller is a process of its own, the splayds are tasks here that
//! keep to the protocol and whose instances do nothing.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::json;

use super::fake::client::Client;
use super::fake::splayd::{FakeSplayd, Life};
use super::{Rows, cpu};
use crate::program::memory;
use crate::report::Target::{AtMost, None};

const PATIENCE: Duration = Duration::from_secs(180);
/// For so long it is looked what idle sessions cost.
const IDLE: Duration = Duration::from_secs(20);

struct Controller {
    child: Child,
    program: PathBuf,
    folder: PathBuf,
    client: Client,
}

impl Controller {
    async fn start(program: &Path) -> anyhow::Result<Controller> {
        let folder = std::env::temp_dir().join(format!("splay-bench-controller-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let mut child = Command::new(program)
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(&folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("start `{}`", program.display()))?;
        let mut lines = BufReader::new(child.stdout.take().context("it was piped")?).lines();
        let mut line = || lines.next().context("the controller ended")?.context("read what it says");
        let listening = line()?;
        let address = listening.strip_prefix("listening on ").and_then(|rest| rest.split(',').next());
        let address = address.context("it tells where it listens")?.parse()?;
        let password = line()?.split_whitespace().nth(3).context("it tells a password")?.to_owned();
        let fingerprint = splay_controller::tls::fingerprint_of(&folder.join("tls/cert.pem"))?;
        let mut client = Client { address, fingerprint, token: String::new() };
        client.login("admin", &password).await;
        Ok(Controller { child, program: program.to_owned(), folder, client })
    }

    /// So many splayds, from no connection to all online.
    async fn splayds(&self, count: u32, seats: u32) -> anyhow::Result<(Vec<FakeSplayd>, Duration)> {
        let output = Command::new(&self.program)
            .args(["token", "create", "--uses", &count.to_string(), "--data"])
            .arg(&self.folder)
            .output()?;
        let join = String::from_utf8(output.stdout)?.trim().to_owned();
        let begun = Instant::now();
        let start = |number| FakeSplayd::start(&format!("node-{number}"), seats, &join, Life::forever());
        let all: Vec<FakeSplayd> = (1..=count).map(start).collect();
        self.until(async || Ok(self.client.get("/health").await["splayds_online"] == count)).await?;
        Ok((all, begun.elapsed()))
    }

    async fn until(&self, so: impl AsyncFn() -> anyhow::Result<bool>) -> anyhow::Result<()> {
        let begun = Instant::now();
        while !so().await? {
            ensure!(begun.elapsed() < PATIENCE, "nothing happens for {} s", PATIENCE.as_secs());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    fn cpu(&self) -> anyhow::Result<Duration> {
        cpu(self.child.id())
    }

    fn resident_megabytes(&self) -> anyhow::Result<f64> {
        Ok(memory(self.child.id(), "VmRSS:")? as f64 / 1e6)
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Takes the figures. `sessions` is how many sessions there are at most, and how many nodes a job has.
pub fn measure(program: &Path, sessions: u32, rows: &mut Rows) -> anyhow::Result<()> {
    splay_controller::server::raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let few = 200.min(sessions);
    runtime.block_on(async {
        idle(program, few, rows).await?;
        placed(program, few, sessions.div_ceil(few), rows).await?;
        placed(program, sessions, 1, rows).await
    })
}

async fn idle(program: &Path, count: u32, rows: &mut Rows) -> anyhow::Result<()> {
    let controller = Controller::start(program).await?;
    let (_splayds, _) = controller.splayds(count, 1).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = controller.cpu()?;
    tokio::time::sleep(IDLE).await;
    let share = (controller.cpu()? - before).as_secs_f64() / IDLE.as_secs_f64() * 100.0;
    rows.add(
        format!("{count} idle sessions, processor time of the controller"),
        share,
        "% of a core",
        AtMost(5.0),
    );
    let resident = controller.resident_megabytes()?;
    rows.add("the same, memory of the controller", resident, "MB", AtMost(100.0));
    Ok(())
}

/// A job over all seats of all splayds: from its submission until each has its list of nodes.
async fn placed(program: &Path, splayds: u32, seats: u32, rows: &mut Rows) -> anyhow::Result<()> {
    let controller = Controller::start(program).await?;
    let (all, enrolled) = controller.splayds(splayds, seats).await?;
    let nodes = splayds * seats;
    if seats == 1 {
        rows.add(
            format!("{splayds} splayds enrolled, both sides on this machine"),
            enrolled.as_secs_f64(),
            "s",
            None,
        );
        rows.add("the same, memory of the controller", controller.resident_megabytes()?, "MB", None);
    }
    let submit = json!({
        "submission": { "instances": nodes, "factor": 1.0 },
        "app": "a.lua",
        "files": [{ "path": "a.lua", "base64": "cHJpbnQoMSkK" }],
    });
    let (begun, before) = (Instant::now(), controller.cpu()?);
    let id = controller.client.submit(submit).await;
    let told = |order| {
        all.iter().all(|splayd| splayd.machine.lock().is_ok_and(|machine| machine.orders.contains(&order)))
    };
    controller.until(async || Ok(told("nodes"))).await?;
    let (took, used) = (begun.elapsed(), controller.cpu()? - before);
    let what =
        format!("a job of {nodes} nodes on {splayds} splayds, from the submission until all have its list");
    rows.add(what, took.as_secs_f64(), "s", AtMost(5.0));
    rows.add("the same, processor time of the controller", used.as_secs_f64(), "s", None);
    let path = format!("/jobs/{id}");
    controller.until(async || Ok(controller.client.get(&path).await["running"] == nodes)).await?;
    rows.add("the same, until all run", begun.elapsed().as_secs_f64(), "s", None);
    Ok(())
}
