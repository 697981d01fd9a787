//! `splay traffic` beside a loop in plain Rust, and beside iperf3 and qperf where they are
//! installed: two processes (or threads) over loopback, the same sizes, the same run.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rustix::event::epoll::{self, EventData, EventFlags};

use crate::program::Splay;
use crate::report::{Table, Target, figure};

/// Ports that nothing else of the benchmark uses.
const CONTROL_PORT: &str = "9866";
const PORT: &str = "9867";

/// Seconds of one measurement.
const SECONDS: u32 = 2;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    /// One connection, a byte there and a byte back.
    Requests,
    /// One connection, writes of 16 KiB.
    Stream,
}

impl Work {
    fn workload(self) -> &'static str {
        match self {
            Work::Requests => "tcp_rr",
            Work::Stream => "tcp_stream",
        }
    }

    /// The unit of a figure.
    fn unit(self) -> &'static str {
        match self {
            Work::Requests => "/s",
            Work::Stream => "Gbit/s",
        }
    }
}

/// The best of some rounds of each, in turn.
pub fn traffic(splay: &Splay, rounds: u32) -> anyhow::Result<String> {
    let mut text = String::from("## Traffic\n\n");
    let mut table = Table::new(&[
        "workload",
        "plain Rust",
        "`splay traffic`",
        "ratio",
        "target",
        "with hooks",
        "of it",
        "target",
        "iperf3",
        "qperf",
    ]);
    let script = splay.program_file("pass.lua");
    for work in [Work::Requests, Work::Stream] {
        let (mut plain, mut native, mut hooked) = (0.0_f64, 0.0_f64, 0.0_f64);
        let (mut iperf3, mut qperf) = (None, None);
        for _ in 0..rounds {
            plain = plain.max(baseline(work)?);
            native = native.max(measured(splay, work, None)?);
            hooked = hooked.max(measured(splay, work, Some(&script))?);
            iperf3 = best(iperf3, by_iperf3(work)?);
            qperf = best(qperf, by_qperf(work)?);
        }
        let (enough, nearly) = (Target::AtLeast(0.95), Target::AtLeast(0.85));
        let told = |value: Option<f64>| value.map_or("not measured".to_owned(), |v| figure(v, work.unit()));
        table.row([
            work.workload().to_owned(),
            figure(plain, work.unit()),
            figure(native, work.unit()),
            format!("{}{}", figure(native / plain, ""), enough.mark(native / plain)),
            enough.text(""),
            figure(hooked, work.unit()),
            format!("{}{}", figure(hooked / native, ""), nearly.mark(hooked / native)),
            nearly.text(""),
            told(iperf3),
            told(qperf),
        ]);
    }
    text.push_str(table.text());
    Ok(text)
}

fn best(known: Option<f64>, found: Option<f64>) -> Option<f64> {
    match (known, found) {
        (Some(known), Some(found)) => Some(known.max(found)),
        (known, found) => known.or(found),
    }
}

/// Server and client of `splay traffic`, each a process.
fn measured(splay: &Splay, work: Work, script: Option<&Path>) -> anyhow::Result<f64> {
    let side = |client: bool| {
        let mut command = Command::new(splay.binary());
        command.args(["traffic", work.workload(), "-C", CONTROL_PORT, "-P", PORT]);
        if client {
            command.args(["-c", "-H", "127.0.0.1", "-I", "0.25", "-l", &SECONDS.to_string()]);
        }
        if let Some(script) = script {
            command.arg("--script").arg(script);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command
    };
    let server = side(false).spawn().context("start a server")?;
    let client = side(true).output().context("run a client")?;
    let server = server.wait_with_output()?;
    ensure!(server.status.success() && client.status.success(), "splay traffic failed");
    let (output, name, scale) = match work {
        Work::Requests => (client.stdout, "throughput=", 1.0),
        Work::Stream => (server.stdout, "throughput_Mbps=", 1e-3),
    };
    let text = String::from_utf8_lossy(&output);
    let value = text.lines().find_map(|line| line.strip_prefix(name)).context("no throughput")?;
    Ok(value.parse::<f64>()? * scale)
}

/// Waits until a connection can be read, as every side does before it reads.
struct Wait(std::os::fd::OwnedFd);

impl Wait {
    fn of(stream: &TcpStream) -> anyhow::Result<Wait> {
        stream.set_nodelay(true)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, stream.as_fd(), EventData::new_u64(0), EventFlags::IN)?;
        Ok(Wait(epoll))
    }

    fn wait(&self) -> anyhow::Result<()> {
        let mut events = Vec::with_capacity(16);
        loop {
            match epoll::wait(&self.0, rustix::buffer::spare_capacity(&mut events), None) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// The same in plain Rust: two threads, an epoll each, nothing else.
fn baseline(work: Work) -> anyhow::Result<f64> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let server = thread::spawn(move || -> anyhow::Result<f64> {
        let (mut stream, _) = listener.accept()?;
        let wait = Wait::of(&stream)?;
        let mut buffer = vec![0; 16_384];
        let (mut bytes, begun) = (0_u64, Instant::now());
        loop {
            wait.wait()?;
            let count = match work {
                Work::Requests => stream.read(&mut buffer[..1])?,
                Work::Stream => stream.read(&mut buffer)?,
            };
            if count == 0 {
                return Ok(bytes as f64 * 8.0 / 1e9 / begun.elapsed().as_secs_f64());
            }
            bytes += count as u64;
            if work == Work::Requests {
                stream.write_all(&buffer[..1])?;
            }
        }
    });
    let mut stream = TcpStream::connect(address)?;
    let wait = Wait::of(&stream)?;
    let length = Duration::from_secs(SECONDS.into());
    let data = vec![0; 16_384];
    let mut byte = [0];
    let (mut count, begun) = (0_u64, Instant::now());
    while begun.elapsed() < length {
        match work {
            Work::Stream => stream.write_all(&data)?,
            Work::Requests => {
                stream.write_all(&byte)?;
                wait.wait()?;
                stream.read_exact(&mut byte)?;
                count += 1;
            }
        }
    }
    let rate = count as f64 / begun.elapsed().as_secs_f64();
    drop(wait);
    drop(stream);
    let received = server.join().expect("no panic in the baseline")?;
    Ok(if work == Work::Requests { rate } else { received })
}

/// A server of another program beside its client, whose output is returned; `None`: it is not
/// installed.
fn other(server: (&str, &[&str]), client: (&str, &[&str])) -> anyhow::Result<Option<String>> {
    let start = |(program, words): (&str, &[&str])| {
        let mut command = Command::new(program);
        command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        command.spawn()
    };
    let Ok(mut serving) = start(server) else { return Ok(None) };
    thread::sleep(Duration::from_millis(300));
    let output = start(client).and_then(std::process::Child::wait_with_output);
    serving.kill()?;
    serving.wait()?;
    Ok(Some(String::from_utf8_lossy(&output?.stdout).into_owned()))
}

/// A stream by iperf3, 16 KiB a write.
fn by_iperf3(work: Work) -> anyhow::Result<Option<f64>> {
    if work != Work::Stream {
        return Ok(None);
    }
    let seconds = SECONDS.to_string();
    let client = ["-c", "127.0.0.1", "-p", PORT, "-t", &seconds, "-l", "16K", "-J"];
    let Some(text) = other(("iperf3", &["-s", "-1", "-p", PORT]), ("iperf3", &client))? else {
        return Ok(None);
    };
    let told: serde_json::Value = serde_json::from_str(&text).context("what iperf3 tells")?;
    Ok(told["end"]["sum_received"]["bits_per_second"].as_f64().map(|bits| bits / 1e9))
}

/// The same by qperf, which tells latencies one way.
fn by_qperf(work: Work) -> anyhow::Result<Option<f64>> {
    let (test, size) = match work {
        Work::Requests => ("tcp_lat", "1"),
        Work::Stream => ("tcp_bw", "16K"),
    };
    let seconds = SECONDS.to_string();
    let client = ["-lp", PORT, "-t", &seconds, "-m", size, "-u", "127.0.0.1", test];
    let Some(text) = other(("qperf", &["-lp", PORT]), ("qperf", &client))? else { return Ok(None) };
    let value = |name: &str| {
        let line = text.lines().find(|line| line.trim_start().starts_with(name))?;
        let mut words = line.split('=').nth(1)?.split_whitespace();
        let number: f64 = words.next()?.parse().ok()?;
        Some((number, words.next()?.to_owned()))
    };
    Ok(match work {
        Work::Requests => value("latency").map(|(time, unit)| {
            let parts = match unit.as_str() {
                "ns" => 1e9,
                "us" => 1e6,
                "ms" => 1e3,
                _ => 1.0,
            };
            parts / (2.0 * time)
        }),
        Work::Stream => value("bw").map(|(rate, unit)| {
            let scale = match unit.as_str() {
                "GB/sec" => 1.0,
                "MB/sec" => 1e-3,
                _ => 1e-9,
            };
            rate * scale * 8.0
        }),
    })
}
