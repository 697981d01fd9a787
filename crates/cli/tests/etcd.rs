//! `splay etcd`: what it prints and how it ends, what it keeps when it is killed, and the patterns of
//! `splay.etcd` against it and against Debian's etcd.

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use support::{Outcome, Place};

/// A server, killed at the end if nobody else did it.
struct Server {
    child: Child,
    address: String,
    out: BufReader<ChildStdout>,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start(place: &Place, words: &[&str]) -> Server {
        let mut child = Command::new(assert_cmd::cargo::cargo_bin("splay"))
            .current_dir(place.path())
            .args(["etcd", "--listen", "127.0.0.1:0"])
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("built by cargo");
        let mut out = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        out.read_line(&mut line).expect("the ready line");
        let address = line.trim().strip_prefix("http://").expect("a URL").to_owned();
        Server { child, address, out }
    }

    fn signal(&mut self, signal: Signal) -> Option<i32> {
        kill_process(Pid::from_child(&self.child), signal).expect("it is alive");
        self.child.wait().expect("it ends").code()
    }
}

/// A connection that is kept; `None` once the server has gone.
struct Client(BufReader<TcpStream>);

impl Client {
    fn connect(address: &str) -> Client {
        let stream = TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a socket");
        Client(BufReader::new(stream))
    }

    fn ask(&mut self, method: &str, target: &str, form: &str) -> Option<(u16, String)> {
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {}\r\n\r\n{form}",
            form.len()
        );
        self.0.get_ref().write_all(head.as_bytes()).ok()?;
        let mut line = String::new();
        self.0.read_line(&mut line).ok().filter(|&length| length > 0)?;
        let status = line.split(' ').nth(1)?.parse().ok()?;
        let mut length = 0;
        loop {
            line.clear();
            self.0.read_line(&mut line).ok().filter(|&length| length > 0)?;
            if line == "\r\n" {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).ok()?;
        Some((status, String::from_utf8(body).ok()?))
    }
}

fn get(address: &str, target: &str) -> (u16, String) {
    Client::connect(address).ask("GET", target, "").expect("an answer")
}

#[test]
fn it_says_where_it_is_and_ends_when_told() {
    let place = Place::new();
    let mut server = Server::start(&place, &["--memory", "--name", "a", "--peer", "127.0.0.1:0"]);
    let (status, body) = get(&server.address, "/v2/members");
    assert_eq!(status, 200);
    assert!(body.contains("\"name\":\"a\",\"peerURLs\":[\"http://127.0.0.1:"), "{body}");
    assert!(body.contains(&format!("\"clientURLs\":[\"http://{}\"]", server.address)), "{body}");
    assert_eq!(server.signal(Signal::INT), Some(0));
    let mut rest = String::new();
    server.out.read_to_string(&mut rest).expect("a pipe");
    assert_eq!(rest, "");
    assert!(!place.path().join("a.etcd").exists());
}

#[test]
fn what_is_wrong_has_a_line_and_a_status() {
    let place = Place::new();
    let server = Server::start(&place, &["--data-dir", "data"]);
    let fails = |words: &[&str], status: i32, text: &str| {
        let words = [&["etcd"], words].concat();
        let outcome = Outcome::of(place.splay(&words)).ended(status);
        let last = outcome.err.lines().last().unwrap_or_default();
        assert!(last.starts_with("splay: ") && last.contains(text), "{outcome:?}");
    };
    fails(&["--listen", "127.0.0.1:0", "--data-dir", "data"], 5, "`data` is used by another process");
    fails(&["--listen", &server.address, "--memory"], 5, &format!("listen on {}: ", server.address));
    fails(&["--listen", "nowhere"], 2, "--listen");
    fails(&["--advertise", "x"], 2, "it must begin with http://");
    fails(&["--memory", "--data-dir", "data"], 2, "cannot be used with");
    place.write("file", "");
    fails(&["--listen", "127.0.0.1:0", "--data-dir", "file/below"], 6, "make the folder `file/below`");
    drop(server);
    let log = std::fs::read_dir(place.path().join("data"))
        .expect("a folder")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .find(|name| name.starts_with("log-"))
        .expect("a log");
    place.write(&format!("data/{log}"), "something else altogether");
    fails(&["--listen", "127.0.0.1:0", "--data-dir", "data"], 4, "is damaged at byte 0: it does not begin");
}

/// Writers on connections of their own note what was acknowledged; the server is killed at any
/// moment, again and again, with snapshots all the time.
#[test]
fn killed_it_loses_nothing_it_acknowledged() {
    const WRITERS: usize = 8;
    const ROUNDS: usize = 4;
    let place = Place::new();
    let acknowledged = Arc::new(Mutex::new(BTreeMap::<String, u64>::new()));
    let mut total = 0;
    for round in 0..ROUNDS {
        let mut server = Server::start(&place, &["--data-dir", "data", "--snapshot-count", "200"]);
        check(&server.address, &acknowledged.lock().expect("no panic"));
        let over = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (acknowledged, over) = (acknowledged.clone(), over.clone());
                let mut client = Client::connect(&server.address);
                std::thread::spawn(move || {
                    for n in 0u64.. {
                        if over.load(Ordering::SeqCst) {
                            return n;
                        }
                        let value = round as u64 * 1_000_000 + n;
                        let key = format!("/w{writer}/k{}", n % 50);
                        let told = client.ask("PUT", &format!("/v2/keys{key}"), &format!("value={value}"));
                        match told {
                            Some((200 | 201, _)) => {
                                acknowledged.lock().expect("no panic").insert(key, value);
                            }
                            None => return n,
                            Some(other) => panic!("{other:?}"),
                        }
                    }
                    0
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(700 + 130 * round as u64));
        assert_eq!(server.signal(Signal::KILL), None);
        over.store(true, Ordering::SeqCst);
        total += writers.into_iter().map(|writer| writer.join().expect("no panic")).sum::<u64>();
    }
    let server = Server::start(&place, &["--data-dir", "data"]);
    check(&server.address, &acknowledged.lock().expect("no panic"));
    assert!(total > 200, "{total} writes");
    let names: Vec<String> = std::fs::read_dir(place.path().join("data"))
        .expect("a folder")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    assert!(names.iter().any(|name| name.starts_with("snapshot-")), "{names:?}");
}

/// Every key has the value that was acknowledged last, or a later one that was under way.
fn check(address: &str, acknowledged: &BTreeMap<String, u64>) {
    let mut client = Client::connect(address);
    for (key, value) in acknowledged {
        let (status, body) = client.ask("GET", &format!("/v2/keys{key}"), "").expect("an answer");
        assert_eq!(status, 200, "{key} = {value}: {body}");
        let json: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        let have: u64 =
            json["node"]["value"].as_str().and_then(|value| value.parse().ok()).expect("a number");
        assert!(have >= *value, "{key} = {value}: {body}");
    }
}

/// The patterns' own tests, with a server that is no part of the program.
fn patterns_work(address: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../lualib/tests/etcd_patterns_test.lua");
    let mut command = Place::new().splay(&["lua", file.to_str().expect("a path")]);
    let outcome = Outcome::of({
        command.env("ETCD", format!("http://{address}")).current_dir(file.parent().expect("a folder"));
        command.timeout(Duration::from_secs(120));
        command
    });
    assert!(outcome.out.ends_with("10 passed, 0 failed\n"), "{outcome:?}");
    outcome.ended(0);
}

#[test]
fn the_patterns_work_with_it() {
    let place = Place::new();
    let server = Server::start(&place, &[]);
    patterns_work(&server.address);
}

#[test]
fn the_patterns_work_with_etcd() {
    if !Path::new("/usr/bin/etcd").exists() {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "etcd-server is not installed");
        return;
    }
    let place = Place::new();
    let ports = support::free_ports(2);
    let [client, peer] = [ports, ports + 1].map(|port| format!("http://127.0.0.1:{port}"));
    let child = Command::new("/usr/bin/etcd")
        .current_dir(place.path())
        .args(["--enable-v2", "--data-dir", "data", "--listen-client-urls", &client])
        .args(["--advertise-client-urls", &client, "--listen-peer-urls", &peer])
        .args(["--initial-advertise-peer-urls", &peer, "--initial-cluster", &format!("default={peer}")])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it is installed");
    struct Guard(Child);
    impl Drop for Guard {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
    let _guard = Guard(child);
    let address = client.strip_prefix("http://").expect("a URL");
    let deadline = Instant::now() + Duration::from_secs(60);
    while TcpStream::connect(address).is_err() || get(address, "/health").0 != 200 {
        assert!(Instant::now() < deadline, "etcd does not start");
        std::thread::sleep(Duration::from_millis(100));
    }
    patterns_work(address);
}
