//! Servers to talk to, and an HTTP client that shows what came.
#![allow(dead_code)] // each test uses a part of it

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use splay_etcd::Member;
use splay_etcd::server::{self, Running};
use splay_etcd::service::Service;

/// A server of ours, in this process, that keeps nothing.
pub struct Ours {
    pub address: String,
    pub _running: Running,
}

pub fn ours() -> Ours {
    let listener = server::listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let url = format!("http://{address}");
    let member = Member::new("default", vec![url.clone()], vec![url]);
    let running = server::start(vec![listener], Service::new(member, server::now()), None, 2).unwrap();
    Ours { address, _running: running }
}

/// Debian's etcd, if it is installed.
pub struct Real {
    pub address: String,
    child: Child,
    _folder: tempfile::TempDir,
}

impl Drop for Real {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts it; `None` where it is not installed, which is a failure where `CI` is set.
pub fn real() -> Option<Real> {
    let program = ["/usr/bin/etcd", "/usr/local/bin/etcd"].into_iter().find(|path| Path::new(path).exists());
    let Some(program) = program else {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "etcd-server is not installed");
        #[expect(clippy::print_stderr, reason = "who runs the tests should know")]
        {
            eprintln!("skipped: etcd-server is not installed");
        }
        return None;
    };
    let folder = tempfile::tempdir().unwrap();
    let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (client, peer) = (free(), free());
    let [client_url, peer_url] = [client, peer].map(|address| format!("http://{address}"));
    let child = Command::new(program)
        .args(["--enable-v2", "--data-dir"])
        .arg(folder.path())
        .args(["--listen-client-urls", &client_url, "--advertise-client-urls", &client_url])
        .args(["--listen-peer-urls", &peer_url, "--initial-advertise-peer-urls", &peer_url])
        .args(["--initial-cluster", &format!("default={peer_url}")])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let real = Real { address: client.to_string(), child, _folder: folder };
    let deadline = Instant::now() + Duration::from_secs(60);
    // It answers before it has written its version, which is a change.
    while !ready(&real.address) {
        assert!(Instant::now() < deadline, "etcd does not start");
        std::thread::sleep(Duration::from_millis(100));
    }
    Some(real)
}

fn ready(address: &str) -> bool {
    TcpStream::connect(address).is_ok() && {
        let reply = ask(address, "GET", "/version", None);
        reply.body.contains("\"etcdcluster\":\"3.4.0\"")
            && ask(address, "GET", "/v2/keys", None)
                .fields
                .get("x-etcd-index")
                .is_some_and(|index| index == "3")
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    /// By names in small letters.
    pub fields: BTreeMap<String, String>,
    pub body: String,
}

/// An answer that has begun.
pub struct Pending {
    pub status: u16,
    pub fields: BTreeMap<String, String>,
    reader: BufReader<TcpStream>,
}

impl Pending {
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// The next piece of a body in chunks; `None` at its end.
    pub fn chunk(&mut self) -> Option<String> {
        let size = usize::from_str_radix(&self.line(), 16).expect("a chunk's size");
        let mut bytes = vec![0; size];
        self.reader.read_exact(&mut bytes).unwrap();
        self.line();
        (size > 0).then(|| String::from_utf8(bytes).unwrap())
    }

    /// Nothing comes within a while.
    pub fn is_silent(&mut self) -> bool {
        self.reader.get_ref().set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let silent = self.reader.fill_buf().is_err();
        self.reader.get_ref().set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        silent
    }

    pub fn finish(mut self, head_only: bool) -> Reply {
        let mut body = String::new();
        if self.fields.get("transfer-encoding").is_some_and(|encoding| encoding == "chunked") {
            while let Some(chunk) = self.chunk() {
                body.push_str(&chunk);
            }
        } else if !head_only {
            self.reader.read_to_string(&mut body).unwrap();
        }
        Reply { status: self.status, fields: self.fields, body }
    }
}

/// Sends a request and reads the head of the answer. A body is a form unless it names its type
/// before a bar: `application/json|{}`.
pub fn begin(address: &str, method: &str, target: &str, body: Option<&str>) -> Pending {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    let (kind, body) = match body.map(|body| body.split_once('|')) {
        Some(Some((kind, body))) => (kind, body),
        _ => ("application/x-www-form-urlencoded", body.unwrap_or_default()),
    };
    if !body.is_empty() {
        head += &format!("Content-Type: {kind}\r\nContent-Length: {}\r\n", body.len());
    }
    (&stream).write_all((head + "\r\n" + body).as_bytes()).unwrap();
    let mut pending = Pending { status: 0, fields: BTreeMap::new(), reader: BufReader::new(stream) };
    let status = pending.line();
    pending.status = status.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status line");
    loop {
        let line = pending.line();
        let Some((name, value)) = line.split_once(':') else { break };
        pending.fields.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    pending
}

pub fn ask(address: &str, method: &str, target: &str, body: Option<&str>) -> Reply {
    begin(address, method, target, body).finish(method == "HEAD")
}
