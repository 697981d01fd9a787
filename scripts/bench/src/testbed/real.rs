//! Ten splayds with their workers, started by `splay up`.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use super::{Rows, cpu};
use crate::report::Target::{AtLeast, AtMost, None};

const SPLAYDS: u64 = 10;
const INSTANCES: u64 = 1000;
const CHURNED: u64 = 500;
/// Lines that each of the splayds' instances writes, and for how long.
const LINES_PER_SECOND: u64 = 10_000;
const SECONDS: u64 = 20;
/// Away from the ports of other testbeds.
const FIRST_PORT: &str = "12000";
const PATIENCE: Duration = Duration::from_secs(180);

const IDLE: &str = "require 'splay.base'\nevents.run(function() events.sleep(1e6) end)\n";
/// A line of a hundred bytes; each burst is due at a time of its own, so that a slow one is made up.
const CHATTER: &str = r#"require "splay.base"
local misc = require "splay.misc"
local rate, seconds = tonumber(arg[1]), tonumber(arg[2])
events.run(function()
  local begun = misc.time()
  for burst = 1, seconds * 50 do
    for n = 1, rate / 50 do print(("%08d %08d "):format(burst, n) .. ("x"):rep(81)) end
    local wait = begun + burst / 50 - misc.time()
    if wait > 0 then events.sleep(wait) else events.yield() end
  end
end)
"#;

struct Testbed {
    up: Child,
    splay: PathBuf,
    folder: PathBuf,
}

impl Testbed {
    fn start(splay: &Path) -> anyhow::Result<Testbed> {
        let folder = std::env::temp_dir().join(format!("splay-bench-up-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        for (name, text) in [("idle.lua", IDLE), ("chatter.lua", CHATTER)] {
            fs::write(folder.join(name), text)?;
        }
        let (splayds, seats) = (SPLAYDS.to_string(), (INSTANCES / SPLAYDS).to_string());
        let kept = folder.join("up");
        let words = ["up", "-n", &splayds, "--seats", &seats, "--first-port", FIRST_PORT, "--keep"];
        let up = Command::new(splay)
            .args(words)
            .arg(&kept)
            .env("XDG_CONFIG_HOME", &folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("start `{}`", splay.display()))?;
        let mut testbed = Testbed { up, splay: splay.to_owned(), folder };
        let mut url = String::new();
        let told = testbed.up.stdout.take().context("it was piped")?;
        BufReader::new(told).read_line(&mut url)?;
        ensure!(url.starts_with("https://"), "`splay up` does not come up");
        Ok(testbed)
    }

    fn splay(&self, words: &[&str]) -> anyhow::Result<String> {
        let output = Command::new(&self.splay)
            .args(words)
            .current_dir(&self.folder)
            .env("XDG_CONFIG_HOME", &self.folder)
            .stdin(Stdio::null())
            .output()?;
        let told = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "splay {words:?}: {}", told.trim());
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    fn json(&self, words: &[&str]) -> anyhow::Result<Value> {
        Ok(serde_json::from_str(&self.splay(&[words, &["--json"]].concat())?)?)
    }

    /// Waits until the newest job is as it should be; looked at seldom, since that costs too.
    fn wait(&self, holds: impl Fn(&Value) -> bool) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            let jobs = self.json(&["jobs", "--last", "1"])?;
            if holds(&jobs[0]) {
                return Ok(());
            }
            ensure!(jobs[0]["ended_at"].is_null() && begun.elapsed() < PATIENCE, "{}", jobs[0]);
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    fn controller(&self) -> anyhow::Result<u32> {
        let text = fs::read_to_string(self.folder.join("up/controller.pid"))?;
        Ok(text.trim().parse()?)
    }

    fn kill(&self, id: &str) -> anyhow::Result<()> {
        self.splay(&["kill", id])?;
        self.wait(|job| !job["ended_at"].is_null())
    }
}

impl Drop for Testbed {
    fn drop(&mut self) {
        // In order, so that the splayds end their workers.
        if let Some(pid) = rustix::process::Pid::from_raw(self.up.id() as i32) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.up.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn number(value: &Value) -> anyhow::Result<f64> {
    value.as_f64().with_context(|| format!("`{value}` is no number"))
}

/// Takes the figures.
pub fn measure(splay: &Path, rows: &mut Rows) -> anyhow::Result<()> {
    let testbed = Testbed::start(splay)?;
    starts(&testbed, rows)?;
    churn(&testbed, rows)?;
    logs(&testbed, rows)
}

fn starts(testbed: &Testbed, rows: &mut Rows) -> anyhow::Result<()> {
    let count = INSTANCES.to_string();
    let id = testbed.splay(&["submit", "idle.lua", "-n", &count, "--factor", "1", "--detach"])?;
    testbed.wait(|job| job["running"] == INSTANCES)?;
    let job = testbed.json(&["job", &id])?;
    let members = job["members"].as_array().context("a job has members")?;
    let last = members.iter().filter_map(|member| member["started_at"].as_f64()).fold(0.0, f64::max);
    let took = last - number(&job["submitted_at"])?;
    rows.add(
        format!("{INSTANCES} instances on {SPLAYDS} splayds, from the submission until all run"),
        took,
        "s",
        AtMost(15.0),
    );
    let skew = number(&job["start_skew"]["p99_ms"])?;
    rows.add("their starts after the common instant, p99", skew, "ms", AtMost(50.0));
    testbed.kill(&id)
}

/// Half of the nodes are replaced, one after the other, over half a minute.
fn churn(testbed: &Testbed, rows: &mut Rows) -> anyhow::Result<()> {
    let line = |node: u64| {
        let at = 2.0 + 26.0 * node as f64 / CHURNED as f64;
        if node.is_multiple_of(2) { format!("0 {at:.3} {:.3}\n", at + 1.5) } else { "0\n".to_owned() }
    };
    let trace: String = (0..CHURNED).map(line).collect();
    fs::write(testbed.folder.join("churn.trace"), trace)?;
    let words = ["submit", "idle.lua", "--churn", "churn.trace", "--factor", "1", "--detach"];
    let id = testbed.splay(&words)?;
    testbed.wait(|job| job["state"] == "running")?;
    std::thread::sleep(Duration::from_secs(32));
    let job = testbed.json(&["job", &id])?;
    let churn = &job["churn"];
    let (steps, done) = (number(&churn["steps"])?, number(&churn["done"])?);
    ensure!(steps == done, "{done} of {steps} steps of churn were reported");
    let what = format!(
        "steps of churn after their time, p99, {CHURNED} instances, {} steps",
        steps - CHURNED as f64
    );
    rows.add(what, number(&churn["lateness"]["p99_ms"])?, "ms", AtMost(100.0));
    testbed.kill(&id)
}

fn logs(testbed: &Testbed, rows: &mut Rows) -> anyhow::Result<()> {
    let (count, rate, seconds) = (SPLAYDS.to_string(), LINES_PER_SECOND.to_string(), SECONDS.to_string());
    let words = ["submit", "chatter.lua", "-n", &count, "--factor", "1", "--max-log", "500MiB", "--detach"];
    let controller = testbed.controller()?;
    let before = cpu(controller)?;
    let id = testbed.splay(&[&words[..], &["--", &rate, &seconds]].concat())?;
    let wanted = SPLAYDS * LINES_PER_SECOND * SECONDS;
    testbed.wait(|job| job["state"] == "ended")?;
    let used = cpu(controller)? - before;
    let job = testbed.json(&["job", &id])?;
    let lines = number(&job["logs"]["lines"])?;
    if lines != wanted as f64 {
        bail!("{lines} of {wanted} lines are there: {}", job["logs"]);
    }
    let ends = job["members"].as_array().context("a job has members")?.iter();
    let last = ends.filter_map(|member| member["ended_at"].as_f64()).fold(0.0, f64::max);
    let took = last - number(&job["started_at"])?;
    let what = format!("log lines of 100 bytes from {SPLAYDS} splayds, {wanted} in all, none lost");
    rows.add(
        what,
        lines / took / 1000.0,
        "thousand a second",
        AtLeast(0.95 * (SPLAYDS * LINES_PER_SECOND) as f64 / 1000.0),
    );
    rows.add(
        "processor time of the controller for a line",
        used.as_secs_f64() * 1e6 / lines,
        "us",
        AtMost(10.0),
    );
    let bytes = number(&job["logs"]["stored_bytes"])? / lines;
    rows.add("a line as the controller stores it", bytes, "bytes", None);
    Ok(())
}
