//! A small controller, enough to command one splayd over real sockets; and the splayd itself.
#![allow(dead_code)] // each test binary uses its part

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::{SinkExt as _, StreamExt as _};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_bytes::ByteBuf;
use sha2::{Digest as _, Sha256};
use splay_protocol::log_lines::{self, LineKind};
use splay_protocol::session::*;
use splay_protocol::{JoinToken, Limits, ListType, Node};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

/// Nothing here takes that long on a machine that works.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub fn now_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64
}

/// A controller with its certificate, listening.
pub struct Controller {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    fingerprint: [u8; 32],
    /// What it has stored: all reports, in order, each once.
    pub reports: Vec<Report>,
    /// Its clock is so far ahead.
    pub ahead_us: i64,
    /// It acknowledges reports.
    pub acknowledges: bool,
    /// Files that jobs have besides their programs, each in one piece.
    pub more_files: Vec<FilePart>,
}

impl Controller {
    pub async fn new() -> Controller {
        Controller::with_validity(-1, 1).await
    }

    /// With a certificate valid from and until so many days from now.
    pub async fn with_validity(from: i64, until: i64) -> Controller {
        let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let days = |days: i64| SystemTime::now() + Duration::from_secs(86_400 * days.unsigned_abs());
        let back = |days: i64| SystemTime::now() - Duration::from_secs(86_400 * days.unsigned_abs());
        let at = |n: i64| if n < 0 { back(n) } else { days(n) };
        params.not_before = at(from).into();
        params.not_after = at(until).into();
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let der = certificate.der().clone();
        let fingerprint = Sha256::digest(&der).into();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![der], key)
            .unwrap();
        Controller {
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            acceptor: TlsAcceptor::from(Arc::new(config)),
            fingerprint,
            reports: Vec::new(),
            ahead_us: 0,
            acknowledges: true,
            more_files: Vec::new(),
        }
    }

    pub fn token(&self) -> JoinToken {
        JoinToken {
            url: format!("https://127.0.0.1:{}", self.listener.local_addr().unwrap().port()),
            token: "t1".into(),
            secret: "open-sesame".into(),
            fingerprint: hex::encode(self.fingerprint),
        }
    }

    fn time_us(&self) -> u64 {
        now_us().saturating_add_signed(self.ahead_us)
    }

    /// Waits for the splayd to dial, shakes hands up to its first word, which is checked.
    pub async fn accept(&self) -> Session {
        let (stream, _) = timeout(PATIENCE, self.listener.accept()).await.expect("somebody dials").unwrap();
        let stream = self.acceptor.accept(stream).await.expect("TLS");
        let mut socket = tokio_tungstenite::accept_async(stream).await.expect("a WebSocket");
        let nonce = vec![7; 32];
        let challenge =
            ToSplayd::Challenge(Challenge { version: VERSION, nonce: ByteBuf::from(nonce.clone()) });
        socket.send(Message::Binary(encode(&challenge).into())).await.unwrap();
        let mut session = Session { socket, hello: None, token: None, said_goodbye: false };
        let (hello, token) = match session.receive().await.expect("a first word") {
            ToController::Enrol(enrol) => (enrol.hello, Some((enrol.token, enrol.secret))),
            ToController::Hello(hello) => (hello, None),
            other => panic!("{other:?}"),
        };
        let key = ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, hello.key.to_vec());
        key.verify(&signed_text(&nonce, &self.fingerprint), &hello.signature).expect("a good signature");
        session.hello = Some(hello);
        session.token = token;
        session
    }

    /// Lets a splayd dial and refuses it; one that does not trust this controller may hang up.
    pub async fn refuse(&self, code: RefusedCode, reason: &str) {
        let (stream, _) = self.listener.accept().await.unwrap();
        let Ok(stream) = self.acceptor.accept(stream).await else { return };
        let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { return };
        let challenge = Challenge { version: VERSION, nonce: ByteBuf::from(vec![1; 32]) };
        let refused = Refused { code, reason: reason.into() };
        for message in [ToSplayd::Challenge(challenge), ToSplayd::Refused(refused)] {
            let _ = socket.send(Message::Binary(encode(&message).into())).await;
        }
        while let Some(Ok(_)) = socket.next().await {}
    }

    /// Opens a session.
    pub async fn welcome(&mut self) -> Session {
        let mut session = self.accept().await;
        let welcome = Welcome {
            splayd: "s1".into(),
            acknowledged: self.reports.last().map_or(0, |report| report.sequence),
            time_us: self.time_us(),
            settings: Settings::default(),
        };
        session.send(ToSplayd::Welcome(welcome)).await;
        session
    }

    /// Reads until something other than a probe or a known report comes; stores reports.
    pub async fn hear(&mut self, session: &mut Session) -> ToController {
        loop {
            let message = session.receive().await.expect("the session goes on");
            match message {
                ToController::Probe(probe) => {
                    let now = self.time_us();
                    let reply = ProbeReply { sent_us: probe.sent_us, received_us: now, replied_us: now };
                    session.send(ToSplayd::ProbeReply(reply)).await;
                }
                ToController::Report(report) => {
                    let stored = self.reports.last().map_or(0, |last| last.sequence);
                    if report.sequence <= stored {
                        continue;
                    }
                    assert_eq!(report.sequence, stored + 1, "no report is left out");
                    if self.acknowledges {
                        session.send(ToSplayd::Ack(Ack { sequence: report.sequence })).await;
                    }
                    self.reports.push(report.clone());
                    return ToController::Report(report);
                }
                other => return other,
            }
        }
    }

    /// Reads until an event that `wanted` accepts.
    pub async fn event<T>(&mut self, session: &mut Session, wanted: impl Fn(&Event) -> Option<T>) -> T {
        let look = async {
            loop {
                if let ToController::Report(report) = self.hear(session).await
                    && let Some(found) = wanted(&report.event)
                {
                    return found;
                }
            }
        };
        let found = timeout(PATIENCE, look).await;
        found.unwrap_or_else(|_| panic!("nothing of that kind came; reports: {:#?}", self.reports))
    }

    /// Deploys a job whose program is `source`, up to its start, and gives the nodes.
    pub async fn deploy(&mut self, session: &mut Session, job: &JobOrder, source: &str) -> Vec<SeatPorts> {
        session.send(ToSplayd::Deploy(job.clone())).await;
        let need = loop {
            match self.hear(session).await {
                ToController::NeedFiles(need) => break need,
                ToController::Report(Report { event: Event::Deployed(deployed), .. }) => {
                    return deployed.seats;
                }
                ToController::Report(report) => panic!("{report:?}"),
                _ => {}
            }
        };
        let mut expected = vec![digest(source)];
        expected.extend(self.more_files.iter().map(|part| part.sha256.clone()));
        expected.sort();
        assert_eq!((need.job, need.sha256), (job.job.clone(), expected));
        for part in &self.more_files {
            session.send(ToSplayd::File(part.clone())).await;
        }
        for (n, piece) in source.as_bytes().chunks(20).enumerate() {
            let data = ByteBuf::from(piece);
            let part = FilePart { sha256: digest(source), offset: 20 * n as u64, data };
            session.send(ToSplayd::File(part)).await;
        }
        let deployed = |event: &Event| match event {
            Event::Deployed(deployed) => Some(deployed.seats.clone()),
            Event::DeployRefused(refused) => panic!("{refused:?}"),
            _ => None,
        };
        self.event(session, deployed).await
    }

    /// All up to the start, `ahead` from now; gives the instant.
    pub async fn start(
        &mut self,
        session: &mut Session,
        job: &JobOrder,
        source: &str,
        ahead: Duration,
    ) -> u64 {
        self.load(session, job, source).await;
        let at_us = self.time_us() + ahead.as_micros() as u64;
        session.send(ToSplayd::Start(StartOrder { job: job.job.clone(), at_us, positions: vec![] })).await;
        at_us
    }

    /// All up to the loaded instances.
    pub async fn load(&mut self, session: &mut Session, job: &JobOrder, source: &str) {
        let seats = self.deploy(session, job, source).await;
        let node = |seat: &SeatPorts| Node { ip: "127.0.0.1".into(), port: seat.port };
        let list: Vec<Node> = seats.iter().map(node).collect();
        // As a controller sends a long one.
        let nodes = JobNodes {
            job: job.job.clone(),
            nodes: Vec::new(),
            packed: ByteBuf::from(zstd::bulk::compress(&encode(&list), 3).unwrap()),
            positions: seats.iter().zip(1..).map(|(seat, position)| (seat.seat, position)).collect(),
            list_type: ListType::Head,
            list_size: 0,
        };
        session.send(ToSplayd::Nodes(nodes)).await;
        session.send(ToSplayd::Load(JobRef { job: job.job.clone() })).await;
        let ready = |event: &Event| match event {
            Event::Ready(_) => Some(()),
            Event::Ended(ended) => panic!("{ended:?}"),
            _ => None,
        };
        self.event(session, ready).await;
    }

    /// Waits for the end of a job.
    pub async fn done(&mut self, session: &mut Session, job: &str) {
        let done = |event: &Event| matches!(event, Event::Done(done) if done.job == job).then_some(());
        self.event(session, done).await;
    }

    /// Lines stored so far: position, kind, text.
    pub fn lines(&self) -> Vec<(u32, LineKind, String)> {
        let mut all = Vec::new();
        for report in &self.reports {
            let Event::Logs(batch) = &report.event else { continue };
            let block = zstd::decode_all(&batch.data[..]).unwrap();
            let before = all.len();
            for line in log_lines::lines(&block) {
                let line = line.unwrap();
                assert!((batch.first_us..=batch.last_us.max(batch.first_us)).contains(&line.at_us));
                all.push((line.position, line.kind, String::from_utf8_lossy(line.text).into_owned()));
            }
            assert_eq!(all.len() - before, batch.lines as usize);
        }
        all
    }

    /// Ends by position.
    pub fn ends(&self) -> BTreeMap<u32, InstanceEnded> {
        let ended = |report: &Report| match &report.event {
            Event::Ended(ended) => Some((ended.position, ended.clone())),
            _ => None,
        };
        let all: Vec<_> = self.reports.iter().filter_map(ended).collect();
        let ends: BTreeMap<_, _> = all.iter().cloned().collect();
        assert_eq!(ends.len(), all.len(), "an instance ends once: {all:#?}");
        ends
    }
}

pub fn digest(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

/// A job with so many seats whose program is `source`.
pub fn job(id: &str, seats: u32, source: &str) -> JobOrder {
    let app = ShippedFile {
        path: "app.lua".into(),
        sha256: digest(source),
        bytes: source.len() as u64,
        native: None,
    };
    JobOrder {
        job: id.into(),
        name: "test".into(),
        seats: (1..=seats).map(|seat| Seat { seat }).collect(),
        app: "app.lua".into(),
        files: vec![app],
        arguments: vec![],
        environment: BTreeMap::new(),
        limits: Limits::default(),
        seed: "1".into(),
        max_seconds: 600,
        grace_ms: 5000,
        churn: 0,
        topology: None,
    }
}

/// A session, seen from the controller.
pub struct Session {
    socket: WebSocketStream<TlsStream<TcpStream>>,
    hello: Option<Hello>,
    /// The join token's identifier and secret, if it enrolled.
    pub token: Option<(String, String)>,
    /// The splayd has closed it in due form.
    pub said_goodbye: bool,
}

impl Session {
    pub fn hello(&self) -> &Hello {
        self.hello.as_ref().expect("it was said")
    }

    pub async fn send(&mut self, message: ToSplayd) {
        // A splayd that has gone is noticed when it is to be heard.
        let _ = self.socket.send(Message::Binary(encode(&message).into())).await;
    }

    /// The next message; `None` when the session has ended.
    pub async fn receive(&mut self) -> Option<ToController> {
        loop {
            match timeout(PATIENCE, self.socket.next()).await.expect("something is said in time") {
                Some(Ok(Message::Binary(bytes))) => return Some(decode(&bytes).expect("a message")),
                Some(Ok(Message::Close(_))) => {
                    self.said_goodbye = true;
                    return None;
                }
                Some(Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }
}

/// A running splayd, killed when dropped.
pub struct Splayd {
    child: Child,
    pub folder: PathBuf,
}

impl Splayd {
    /// Starts it with a configuration and a join token.
    pub fn start(folder: &Path, config: &str, token: Option<&JoinToken>) -> Splayd {
        let file = folder.join("splayd.toml");
        std::fs::write(&file, config).unwrap();
        let mut command = command(&file, folder);
        if let Some(token) = token {
            command.args(["--join", &token.to_string()]);
        }
        Splayd { child: command.spawn().unwrap(), folder: folder.to_owned() }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Identifiers of its worker processes.
    pub fn workers(&self) -> Vec<u32> {
        children(self.pid())
    }

    pub fn signal(&self, signal: i32) {
        // SAFETY: signals a process this test has started and not waited for.
        assert_eq!(unsafe { libc::kill(self.pid() as i32, signal) }, 0);
    }

    /// Waits for its end.
    pub async fn wait(&mut self) -> std::process::ExitStatus {
        let end = async {
            loop {
                if let Some(status) = self.child.try_wait().unwrap() {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, end).await.expect("splayd ends")
    }
}

impl Drop for Splayd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn command(config: &Path, folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_splayd"));
    command.arg("run").arg("--config").arg(config);
    command.arg("--data-directory").arg(folder.join("data"));
    command.stdin(Stdio::null()).env("SPLAY_LOG", "debug,mio=info,rustls=info,tungstenite=info");
    command
}

/// Processes whose parent is `pid`.
pub fn children(pid: u32) -> Vec<u32> {
    let parent = |entry: std::fs::DirEntry| {
        let child: u32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        let rest = stat.rsplit_once(')')?.1;
        let mut words = rest.split_whitespace();
        let (state, parent) = (words.next()?, words.next()?);
        (parent == pid.to_string() && state != "Z").then_some(child)
    };
    std::fs::read_dir("/proc").unwrap().flatten().filter_map(parent).collect()
}

/// Whether a process is there.
pub fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}
