//! Splayds and users that mean harm: they lie, flood, stall and dribble. They get nowhere, and the
//! others' jobs do not notice.

mod harness;

use std::time::{Duration, Instant};

use futures_util::SinkExt as _;
use harness::client::connect;
use harness::identity::{Identity, Socket, hear, say};
use harness::splayd::batch;
use harness::{Controller, FakeSplayd, Life, config, job, until};
use hyper::Method;
use serde_bytes::ByteBuf;
use serde_json::{Value, json};
use splay_protocol::session::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_tungstenite::tungstenite::Message;

/// A splayd that does what a test says.
struct Puppet {
    identity: Identity,
    socket: Socket,
    sequence: u64,
    acknowledged: u64,
}

impl Puppet {
    async fn enrol(controller: &Controller, name: &str, seats: u32) -> Puppet {
        let identity = Identity::new(name, seats, &controller.join(1).await);
        let (mut socket, nonce) = identity.dial().await.unwrap();
        say(&mut socket, &identity.enrol(identity.hello(&nonce, vec![], "a"))).await.unwrap();
        assert!(matches!(hear(&mut socket).await, Some(ToSplayd::Welcome(_))));
        Puppet { identity, socket, sequence: 0, acknowledged: 0 }
    }

    async fn report(&mut self, event: Event) {
        self.sequence += 1;
        self.send(self.sequence, 1, event).await;
    }

    async fn send(&mut self, sequence: u64, at_us: u64, event: Event) {
        let _ = say(&mut self.socket, &ToController::Report(Report { sequence, at_us, event })).await;
    }

    /// The next message that is no acknowledgement.
    async fn hear(&mut self) -> Option<ToSplayd> {
        loop {
            match hear(&mut self.socket).await {
                Some(ToSplayd::Ack(ack)) => self.acknowledged = ack.sequence,
                other => return other,
            }
        }
    }

    /// Waits until all it has said is stored.
    async fn stored(&mut self) {
        while self.acknowledged < self.sequence {
            if let ToSplayd::Ack(ack) = hear(&mut self.socket).await.expect("the session goes on") {
                self.acknowledged = ack.sequence;
            }
        }
    }

    /// Answers as an honest one would until the job is to load; gives the order and its positions.
    async fn host(&mut self) -> (JobOrder, JobNodes) {
        let order = loop {
            if let ToSplayd::Deploy(order) = self.hear().await.expect("an order") {
                break order;
            }
        };
        let port = |seat: &Seat| SeatPorts { seat: seat.seat, port: 23_000 + seat.seat as u16 };
        let seats = order.seats.iter().map(port).collect();
        self.report(Event::Deployed(Deployed { job: order.job.clone(), seats })).await;
        let nodes = loop {
            if let ToSplayd::Nodes(nodes) = self.hear().await.expect("an order") {
                break nodes;
            }
        };
        (order, nodes)
    }

    async fn refused(&mut self) -> RefusedCode {
        loop {
            match self.hear().await {
                Some(ToSplayd::Refused(refused)) => return refused.code,
                Some(_) => {}
                None => panic!("cut without a word"),
            }
        }
    }
}

fn ended(job: &str, position: u32, ending: Ending) -> Event {
    let usage = UsageTotals::default();
    let (job, detail) = (job.to_owned(), "x".repeat(1 << 20));
    Event::Ended(InstanceEnded { job, position, ending, detail, usage, step: 0, planned_us: 0, acted_us: 0 })
}

fn result(job: &str, position: u32, path: &str) -> Event {
    let data = ByteBuf::from(b"forged".to_vec());
    let (job, path) = (job.to_owned(), path.to_owned());
    Event::Result(ResultPart { job, position, path, offset: 0, total_bytes: 6, data })
}

/// A splayd that hosts one instance of a job tells lies about the other, and about other jobs.
#[tokio::test(flavor = "multi_thread")]
async fn lies_about_others_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let controller = Controller::start(config(folder.path())).await;
    let mut liar = Puppet::enrol(&controller, "liar", 1).await;
    let life = Life { run: Some(Duration::from_secs(2)), lines: 3, result_bytes: 2500 };
    let _good = controller_splayds(&controller, 2, 1, life).await;
    let bystander = controller.client.submit(job(1, json!({ "filters": { "hosts": ["good-1"] } }))).await;
    controller.job_is(&bystander, "running").await;
    let id = controller.client.submit(job(2, json!({ "factor": 1.0, "mandatory": ["liar"] }))).await;
    let (order, nodes) = liar.host().await;
    assert_eq!(order.job, id);
    let own = nodes.positions[0].1;
    let other = 3 - own;
    // Before its time, for others, for jobs it has no part in, for seats nobody asked for.
    for (job, position) in [(id.as_str(), other), (&bystander, 1), ("no-such-job", 1), (&id, 99), (&id, 0)] {
        let (job, text) = (job.to_owned(), job);
        let started = InstanceStarted { job: job.clone(), position, planned_us: i64::MAX as u64, step: 7 };
        liar.report(Event::Started(started)).await;
        liar.report(ended(text, position, Ending::Error)).await;
        liar.report(result(text, position, "out/data.csv")).await;
        if text != id {
            liar.report(Event::Deployed(Deployed { job: job.clone(), seats: vec![] })).await;
            liar.report(Event::Ready(JobReady { job: job.clone() })).await;
            liar.report(Event::WorkerLost(WorkerLost { job: job.clone(), how: "x".into() })).await;
            liar.report(Event::Logs(batch(text, position, 5))).await;
            liar.report(Event::Done(JobReady { job })).await;
        }
    }
    let seats = vec![SeatPorts { seat: 77, port: 1 }];
    liar.report(Event::Deployed(Deployed { job: id.clone(), seats })).await;
    // Times that no clock shows.
    for at_us in [0, i64::MAX as u64] {
        liar.sequence += 1;
        let limit = LimitHit {
            job: id.clone(),
            position: own,
            limit: "y".repeat(100_000),
            allowed: i64::MAX as u64,
            reached: 0,
            ended: 0,
        };
        liar.send(liar.sequence, at_us, Event::Limit(limit)).await;
    }
    // Paths that lead elsewhere, a piece beyond the end.
    for path in ["../../escape", "/etc/escape", "a/../../escape", ""] {
        liar.report(result(&id, own, path)).await;
    }
    liar.report(Event::Ready(JobReady { job: id.clone() })).await;
    controller.job_is(&id, "running").await;
    let started = InstanceStarted { job: id.clone(), position: own, planned_us: 0, step: 0 };
    liar.report(Event::Started(started)).await;
    liar.report(ended(&id, own, Ending::Finished)).await;
    liar.report(Event::Done(JobReady { job: id.clone() })).await;
    let done = controller.job_is(&id, "ended").await;
    assert_eq!(done["why"], "2 instances: 2 finished", "{done:#}");
    assert_eq!(controller.job_is(&bystander, "ended").await["logs"]["lines"], 3);
    for (id, position) in [(&id, other), (&bystander, 1)] {
        let path = format!("/jobs/{id}/results/{position}/out/data.csv");
        let file = controller.client.send(Method::GET, &path, None).await;
        assert_eq!(file.body.len(), 2500, "{}", file.text());
    }
    let files = controller.client.get(&format!("/jobs/{id}/results")).await;
    assert_eq!(files.as_array().unwrap().len(), 1, "{files}");
    assert!(!folder.path().join("escape").exists() && !folder.path().join("results/escape").exists());
    // What it said is kept short.
    let history = controller.client.get(&format!("/jobs/{id}")).await["history"].to_string();
    assert!(history.len() < 200_000, "{}", history.len());
    controller.stop().await;
}

async fn controller_splayds(controller: &Controller, count: u32, seats: u32, life: Life) -> Vec<FakeSplayd> {
    let join = controller.join(count).await;
    let start = |number| FakeSplayd::start(&format!("good-{number}"), seats, &join, life.clone());
    let all: Vec<FakeSplayd> = (1..=count).map(start).collect();
    until("good splayds online", async || {
        let splayds = controller.client.get("/splayds").await;
        let good = |splayd: &&Value| {
            splayd["name"].as_str().unwrap().starts_with("good") && splayd["state"] == "online"
        };
        splayds.as_array().unwrap().iter().filter(good).count() as u32 == count
    })
    .await;
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn replayed_reports_count_once() {
    let folder = tempfile::tempdir().unwrap();
    let controller = Controller::start(config(folder.path())).await;
    let mut puppet = Puppet::enrol(&controller, "parrot", 1).await;
    let id = controller.client.submit(job(1, json!({ "factor": 1.0 }))).await;
    let (_, _) = puppet.host().await;
    puppet.report(Event::Ready(JobReady { job: id.clone() })).await;
    controller.job_is(&id, "running").await;
    puppet
        .report(Event::Started(InstanceStarted { job: id.clone(), position: 1, planned_us: 1, step: 0 }))
        .await;
    let block = Event::Logs(batch(&id, 1, 5));
    puppet.report(block.clone()).await;
    // The same and other things under old numbers, in this session and in the next.
    for _ in 0..2 {
        for sequence in (1..=puppet.sequence).rev() {
            puppet.send(sequence, 5, block.clone()).await;
            puppet.send(sequence, 5, ended(&id, 1, Ending::Lost)).await;
        }
        let hosted = HostedJob { job: id.clone(), phase: Phase::Running, last_step: 0 };
        let (mut socket, nonce) = puppet.identity.dial().await.unwrap();
        let hello = puppet.identity.hello(&nonce, vec![hosted], "a");
        say(&mut socket, &ToController::Hello(hello)).await.unwrap();
        match hear(&mut socket).await {
            Some(ToSplayd::Welcome(welcome)) => assert_eq!(welcome.acknowledged, puppet.sequence),
            other => panic!("{other:?}"),
        }
        puppet.socket = socket;
    }
    puppet.report(ended(&id, 1, Ending::Finished)).await;
    puppet.report(Event::Done(JobReady { job: id.clone() })).await;
    let done = controller.job_is(&id, "ended").await;
    assert_eq!((&done["finished"], &done["logs"]["lines"]), (&json!(1), &json!(5)), "{done:#}");
    let log = controller.client.send(Method::GET, &format!("/jobs/{id}/logs"), None).await.text();
    assert_eq!(log.lines().count(), 5, "{log}");
    controller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_and_loops_do_not_hold_up_others() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = config(folder.path());
    settings.max_log_bytes = 1 << 20;
    let controller = Controller::start(settings).await;
    let _good = controller_splayds(&controller, 3, 2, Life::of(Duration::from_secs(3))).await;
    let mut flood = Puppet::enrol(&controller, "flood", 1).await;
    let mut thief = Puppet::enrol(&controller, "thief", 1).await;
    let looping = Identity::new("loop", 1, &controller.join(1).await);
    let wanted =
        json!({ "mandatory": ["flood", "thief"], "factor": 1.0, "filters": { "hosts": ["flood", "thief"] } });
    let theirs = controller.client.submit(job(2, wanted)).await;
    let ((order, _), _) = tokio::join!(flood.host(), thief.host());
    for puppet in [&mut flood, &mut thief] {
        puppet.report(Event::Ready(JobReady { job: theirs.clone() })).await;
    }
    controller.job_is(&theirs, "running").await;
    let ours =
        controller.client.submit(job(6, json!({ "factor": 1.0, "filters": { "hosts": ["good-*"] } }))).await;
    // Lines without end, beyond what a job may have.
    let logs = async {
        let block = batch(&theirs, 1, 20_000);
        for _ in 0..200 {
            flood.report(Event::Logs(block.clone())).await;
        }
        flood.stored().await;
    };
    // Asks for a file a hundred thousand times, and reads nothing: cut, once too much waits.
    let files = async {
        let need = NeedFiles { job: theirs.clone(), sha256: vec![order.files[0].sha256.clone()] };
        for _ in 0..100_000 {
            if say(&mut thief.socket, &ToController::NeedFiles(need.clone())).await.is_none() {
                break;
            }
        }
    };
    let reconnects = async {
        let mut enrolled = false;
        for _ in 0..150 {
            let (mut socket, nonce) = looping.dial().await.unwrap();
            let hello = looping.hello(&nonce, vec![], &rand::random::<u64>().to_string());
            let word = if enrolled { ToController::Hello(hello) } else { looping.enrol(hello) };
            say(&mut socket, &word).await.unwrap();
            let heard = hear(&mut socket).await;
            assert!(matches!(heard, Some(ToSplayd::Welcome(_))), "{heard:?}");
            enrolled = true;
        }
    };
    let (done, ..) = tokio::join!(controller.job_is(&ours, "ended"), logs, files, reconnects);
    assert_eq!((&done["finished"], &done["logs"]["lines"]), (&json!(6), &json!(18)), "{done:#}");
    let late = done["start_skew"]["p99_ms"].as_f64().unwrap();
    assert!(late < 5000.0, "{late}");
    let theirs = controller.client.get(&format!("/jobs/{theirs}")).await;
    assert!(theirs["logs"]["cut_lines"].as_u64().unwrap() > 0, "{}", theirs["logs"]);
    assert!(theirs["logs"]["stored_bytes"].as_u64().unwrap() <= 1 << 20);
    controller.stop().await;
}

/// Bytes that unpack to far more than they are, and claims of how much is coming.
#[tokio::test(flavor = "multi_thread")]
async fn bombs_do_not_go_off() {
    let folder = tempfile::tempdir().unwrap();
    let controller = Controller::start(config(folder.path())).await;
    let mut puppet = Puppet::enrol(&controller, "bomber", 1).await;
    let id = controller.client.submit(job(1, json!({ "factor": 1.0 }))).await;
    puppet.host().await;
    let bomb = zstd::bulk::compress(&vec![0; 300 << 20], 1).unwrap();
    assert!(bomb.len() < 100_000);
    for data in [bomb, b"not compressed".to_vec()] {
        let data = ByteBuf::from(data);
        let block = LogBatch { job: id.clone(), lines: u32::MAX, first_us: 9, last_us: 1, data };
        puppet.report(Event::Logs(block)).await;
    }
    puppet.stored().await;
    let log = controller.client.send(Method::GET, &format!("/jobs/{id}/logs"), None).await;
    assert_eq!(log.status, 200);
    assert_eq!(log.text().matches("cannot be unpacked").count(), 2, "{}", log.text());
    // A frame that is to have 2^62 bytes.
    let (mut socket, _) = puppet.identity.dial().await.unwrap();
    let mut frame = vec![0x82, 0xff];
    frame.extend((1u64 << 62).to_be_bytes());
    frame.extend([1, 2, 3, 4, 5]);
    socket.get_mut().write_all(&frame).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_secs(20), hear(&mut socket)).await.is_ok());
    // Text where messages are binary.
    let mut texter = Puppet::enrol(&controller, "texter", 1).await;
    texter.socket.send(Message::text("hello")).await.unwrap();
    assert_eq!(texter.refused().await, RefusedCode::Protocol);
    // Words about oneself that nobody could read.
    for field in 0..3 {
        let mut vain = Identity::new("vain", 1, &controller.join(1).await);
        match field {
            0 => vain.info.address = "a".repeat(1 << 20),
            1 => drop(vain.info.labels.insert("x".repeat(1 << 20), String::new())),
            _ => vain.info.degraded = vec!["d".repeat(1 << 20)],
        }
        let (mut socket, nonce) = vain.dial().await.unwrap();
        say(&mut socket, &vain.enrol(vain.hello(&nonce, vec![], "a"))).await.unwrap();
        let heard = hear(&mut socket).await;
        assert!(matches!(&heard, Some(ToSplayd::Refused(refused)) if refused.code == RefusedCode::Protocol));
    }
    controller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn splayds_that_never_answer_are_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = config(folder.path());
    settings.silence_seconds = 2;
    settings.timing.load = 2.0;
    let controller = Controller::start(settings).await;
    let mut mute = Puppet::enrol(&controller, "mute", 1).await;
    let _good = controller_splayds(&controller, 1, 1, Life::of(Duration::from_millis(300))).await;
    // It deploys and then never loads; meanwhile it is heard, since its socket answers pings.
    let id = controller.client.submit(job(2, json!({ "factor": 1.0, "mandatory": ["mute"] }))).await;
    mute.host().await;
    let deaf = tokio::spawn(async move { while mute.hear().await.is_some() {} });
    let done = controller.job_is(&id, "failed").await;
    assert_eq!(done["why"], "`mute`, which must take part, did not load it within 2 s");
    deaf.abort();
    // One that does not even answer pings is away, and said to be.
    let silent = Puppet::enrol(&controller, "silent", 1).await;
    until("the silent one is away", async || {
        let splayds = controller.client.get("/splayds").await;
        let of = |splayd: &&Value| splayd["name"] == "silent";
        splayds.as_array().unwrap().iter().find(of).unwrap()["state"] == "offline"
    })
    .await;
    drop(silent);
    let id = controller.client.submit(job(1, json!({}))).await;
    controller.job_is(&id, "ended").await;
    controller.stop().await;
}

/// An answer's status line, or nothing if the connection was closed without one.
async fn status(mut stream: impl tokio::io::AsyncRead + Unpin) -> String {
    let mut text = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut text)).await;
    assert!(read.is_ok(), "the connection stays open: {}", String::from_utf8_lossy(&text));
    String::from_utf8_lossy(&text).lines().next().unwrap_or("").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_and_oversized_requests() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = config(folder.path());
    settings.request_seconds = 2;
    settings.max_upload_bytes = 1 << 20;
    let controller = Controller::start(settings).await;
    let client = &controller.client;
    let dial = async || connect(client.address, client.fingerprint).await.unwrap();
    let mut idle = Vec::new();
    // Some say nothing, some begin and do not go on, some are not even TLS.
    for number in 0..150 {
        let mut stream = dial().await;
        if number % 2 == 0 {
            stream.write_all(b"POST /api/v1/login HTTP/1.1\r\nhost: x\r\nx-a: ").await.unwrap();
        }
        idle.push(stream);
    }
    let mut raw = Vec::new();
    for _ in 0..50 {
        let mut stream = tokio::net::TcpStream::connect(client.address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        raw.push(stream);
    }
    let begun = Instant::now();
    assert_eq!(client.get("/health").await["status"], "ok");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    // A body that comes a byte at a time is cut off in time.
    let head = "POST /api/v1/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n";
    let mut stream = dial().await;
    stream.write_all(head.as_bytes()).await.unwrap();
    let (reader, mut writer) = tokio::io::split(stream);
    let dribble = tokio::spawn(async move {
        while writer.write_all(b" ").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let begun = Instant::now();
    assert_eq!(status(reader).await, "HTTP/1.1 400 Bad Request");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    dribble.abort();
    // Those who began and did not go on are gone by now, or soon.
    for stream in idle.into_iter().step_by(2) {
        let line = status(stream).await;
        assert!(line.is_empty() || line.contains("408"), "{line}");
    }
    // Larger than is taken: without a token little, with one what the administrator allows.
    let large = json!({ "user": "u".repeat(2 << 20), "password": "p" });
    for (who, path, code) in [(client.with(""), "/login", 413), (client.clone(), "/jobs", 413)] {
        let body = if path == "/login" { large.clone() } else { json!({ "app": "x".repeat(4 << 20) }) };
        let reply = who.send(Method::POST, path, Some(body)).await;
        assert_eq!(reply.status, code, "{path}: {}", reply.text());
        assert_eq!(reply.json()["error"]["code"], "too_large");
    }
    let long = client
        .with("")
        .send(Method::POST, "/login", Some(json!({ "user": "u".repeat(100), "password": "p" })))
        .await;
    assert_eq!(
        (long.status.as_u16(), long.json()["error"]["message"].as_str()),
        (400, Some("user: at most 64 characters"))
    );
    // JSON that is deeper than anybody writes.
    let deep = format!("{{\"app\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let headers = [("content-type", "application/json")];
    let reply = client.send_bytes(Method::POST, "/jobs", &headers, deep.into_bytes()).await;
    assert_eq!(reply.status, 400, "{}", reply.text());
    controller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_are_no_longer_good() {
    let folder = tempfile::tempdir().unwrap();
    let controller = Controller::start(config(folder.path())).await;
    let client = &controller.client;
    let made =
        async |expires: f64| client.post("/join-tokens", json!({ "uses": 5, "expires_in": expires })).await;
    let (short, revoked) = (made(1.0).await, made(60.0).await);
    let id = revoked["about"]["id"].as_str().unwrap();
    let gone = client.send(Method::DELETE, &format!("/join-tokens/{id}"), None).await;
    assert!(gone.status.is_success(), "{}", gone.text());
    tokio::time::sleep(Duration::from_millis(1200)).await;
    for token in [short, revoked] {
        let identity = Identity::new("late", 1, token["join"].as_str().unwrap());
        let (mut socket, nonce) = identity.dial().await.unwrap();
        say(&mut socket, &identity.enrol(identity.hello(&nonce, vec![], "a"))).await.unwrap();
        let heard = hear(&mut socket).await;
        assert!(
            matches!(&heard, Some(ToSplayd::Refused(refused)) if refused.code == RefusedCode::Token),
            "{heard:?}"
        );
    }
    // A user who is removed, and a session that was ended, get nowhere either.
    client.post("/users", json!({ "name": "ann", "password": "ann-password", "role": "admin" })).await;
    let mut ann = client.with("");
    ann.login("ann", "ann-password").await;
    assert!(client.send(Method::DELETE, "/users/ann", None).await.status.is_success());
    assert_eq!(ann.send(Method::GET, "/jobs", None).await.status, 401);
    assert!(client.get("/splayds").await.as_array().unwrap().is_empty());
    controller.stop().await;
}
