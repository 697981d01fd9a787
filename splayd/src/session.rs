//! The connection to the controller: dials, proves who this splayd is, and keeps messages flowing
//! until it breaks; then again. Reports come from the spool, in order, and stay there until they are
//! acknowledged. Decides nothing about jobs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use rand::RngExt as _;
use rustls::pki_types::ServerName;
use serde_bytes::ByteBuf;
use splay_protocol::JoinToken;
use splay_protocol::session::{
    Challenge, Enrol, Hello, HostedJob, JobNodes, MAX_MESSAGE_BYTES, PATH, Probe, Refused, RefusedCode,
    SplaydInfo, ToController, ToSplayd, VERSION, Welcome, decode, encode, signed_text,
};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, interval, sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::clock::{Offset, local_us};
use crate::identity::Key;
use crate::spool::{Cursor, Spool};

/// Longest wait for a connection and for each answer while a session is opened.
const PATIENCE: Duration = Duration::from_secs(15);

/// First and longest pause between two attempts.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));

/// A session in which nothing is heard for so long is broken, unless the controller says otherwise.
const SILENCE: Duration = Duration::from_secs(60);

/// So many pings within that time keep a quiet session alive.
const PINGS: u32 = 4;

/// The first probes of a session follow each other quickly, the others do not.
const PROBES: (u32, Duration, Duration) = (8, Duration::from_millis(250), Duration::from_secs(15));

/// Most messages are short.
const READ_BUFFER_BYTES: usize = 16 << 10;

/// Bytes of reports handed to the socket at a time.
const BATCH_BYTES: usize = 512 << 10;

type Socket = WebSocketStream<TlsStream<TcpStream>>;

/// What the session and the rest of the daemon share.
#[derive(Debug)]
pub struct Shared {
    /// Reports that wait.
    pub spool: Mutex<Spool>,
    /// Told when there are new ones, or when some were acknowledged.
    pub spooled: Notify,
    /// Told when some were acknowledged.
    pub acknowledged: Notify,
    /// The controller's clock.
    pub clock: Mutex<Offset>,
}

impl Shared {
    /// The spool.
    pub fn spool(&self) -> MutexGuard<'_, Spool> {
        self.spool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The clock.
    pub fn clock(&self) -> MutexGuard<'_, Offset> {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whom to dial and as whom.
#[derive(Debug)]
pub struct Peer {
    /// `https://host:port`.
    pub url: String,
    /// Of its certificate; empty: the system's roots.
    pub fingerprint: String,
    /// Who this splayd is.
    pub key: Key,
    /// For the first time.
    pub token: Option<JoinToken>,
    /// What this splayd offers.
    pub info: SplaydInfo,
    /// Random, of this process.
    pub incarnation: String,
}

/// What the session tells the daemon.
#[derive(Debug)]
pub enum Heard {
    /// It is open.
    Open(Box<Welcome>),
    /// It is cut.
    Cut,
    /// An order.
    Order(Box<ToSplayd>),
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// No connection.
    #[error("connect to {url}: {message}")]
    Connect {
        /// Whom.
        url: String,
        /// Why.
        message: String,
    },
    /// The controller says no.
    #[error("the controller refuses this splayd: {0}")]
    Refused(String, RefusedCode),
    /// It speaks another version.
    #[error("the controller speaks version {0} of the session protocol, this splayd version {VERSION}")]
    Version(u32),
    /// It breaks off or says nothing sensible.
    #[error("session with {url}: {message}")]
    Broken {
        /// With whom.
        url: String,
        /// How.
        message: String,
    },
}

impl SessionError {
    /// Trying again will not help.
    pub fn is_final(&self) -> bool {
        use RefusedCode::{Key, Token, Version};
        matches!(self, SessionError::Version(_) | SessionError::Refused(_, Token | Key | Version))
    }
}

/// Opens a session: the connection and the controller's welcome. `reports` is the number of the last
/// report that was made.
pub async fn open(
    peer: &Peer,
    jobs: Vec<HostedJob>,
    reports: u64,
) -> Result<(Socket, Welcome), SessionError> {
    let broken = |message: String| SessionError::Broken { url: peer.url.clone(), message };
    let (mut socket, certificate) = dial(peer).await?;
    let Challenge { version, nonce } = match receive(&mut socket).await.map_err(broken)? {
        ToSplayd::Challenge(challenge) => challenge,
        ToSplayd::Refused(Refused { code, reason }) => return Err(SessionError::Refused(reason, code)),
        _ => return Err(broken("no challenge came first".to_owned())),
    };
    if version != VERSION {
        return Err(SessionError::Version(version));
    }
    let hello = Hello {
        version: VERSION,
        key: ByteBuf::from(peer.key.public()),
        signature: ByteBuf::from(peer.key.sign(&signed_text(&nonce, &certificate))),
        info: peer.info.clone(),
        jobs,
        incarnation: peer.incarnation.clone(),
        reports,
    };
    let message = match &peer.token {
        Some(token) => {
            let (token, secret) = (token.token.clone(), token.secret.clone());
            ToController::Enrol(Enrol { token, secret, hello })
        }
        None => ToController::Hello(hello),
    };
    socket.send(binary(encode(&message))).await.map_err(|error| broken(error.to_string()))?;
    match receive(&mut socket).await.map_err(broken)? {
        ToSplayd::Welcome(welcome) => Ok((socket, welcome)),
        ToSplayd::Refused(Refused { code, reason }) => Err(SessionError::Refused(reason, code)),
        _ => Err(broken("no welcome followed".to_owned())),
    }
}

/// Connects, and tells the digest of the certificate to be signed: empty where the system's roots
/// are trusted.
async fn dial(peer: &Peer) -> Result<(Socket, Vec<u8>), SessionError> {
    let failed = |message: String| SessionError::Connect { url: peer.url.clone(), message };
    let (host, port) = splay_protocol::join::controller_address(&peer.url)
        .ok_or_else(|| failed("not a controller's address".to_owned()))?;
    let config = splay_trust::client_config(&peer.fingerprint).map_err(|why| failed(why.to_string()))?;
    let name = ServerName::try_from(host.to_owned()).map_err(|error| failed(error.to_string()))?;
    let connect = async {
        let stream = TcpStream::connect((host, port)).await.map_err(|error| error.to_string())?;
        let _ = stream.set_nodelay(true);
        let stream = TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
            .map_err(|error| splay_trust::explain(&error))?;
        let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let certificate = match shown {
            Some(shown) if !peer.fingerprint.is_empty() => splay_trust::fingerprint(shown).to_vec(),
            _ => Vec::new(),
        };
        let bracketed = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let limits = WebSocketConfig::default()
            .max_message_size(Some(MAX_MESSAGE_BYTES))
            .max_frame_size(Some(MAX_MESSAGE_BYTES))
            .read_buffer_size(READ_BUFFER_BYTES)
            .max_write_buffer_size(4 * MAX_MESSAGE_BYTES);
        let request = format!("wss://{bracketed}:{port}{PATH}");
        let (socket, _) = tokio_tungstenite::client_async_with_config(request, stream, Some(limits))
            .await
            .map_err(|error| format!("no session is served there: {error}"))?;
        Ok((socket, certificate))
    };
    match timeout(PATIENCE, connect).await {
        Ok(outcome) => outcome.map_err(failed),
        Err(_) => Err(failed(format!("no answer within {} s", PATIENCE.as_secs()))),
    }
}

fn binary(bytes: Vec<u8>) -> Message {
    Message::Binary(bytes.into())
}

async fn receive(socket: &mut Socket) -> Result<ToSplayd, String> {
    let next = async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Binary(bytes))) => {
                    return decode(&bytes).map_err(|error| error.to_string());
                }
                Some(Ok(Message::Close(_))) | None => return Err("closed by the controller".to_owned()),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.to_string()),
            }
        }
    };
    timeout(PATIENCE, next).await.unwrap_or_else(|_| Err(format!("silent for {} s", PATIENCE.as_secs())))
}

/// The session's end of the daemon.
#[derive(Debug)]
pub struct Link {
    /// Whom to dial.
    pub peer: Peer,
    /// What is shared.
    pub shared: Arc<Shared>,
    /// What this splayd hosts now.
    pub hosted: watch::Receiver<Vec<HostedJob>>,
    /// Unnumbered messages; lost while there is no session.
    pub messages: mpsc::Receiver<ToController>,
    /// To the daemon.
    pub heard: mpsc::Sender<Heard>,
}

impl Link {
    /// Keeps a session open for ever; gives why that is impossible.
    pub async fn run(mut self) -> SessionError {
        let mut pause = BACKOFF.0;
        loop {
            let error = match self.once(&mut pause).await {
                Err(error) if error.is_final() => return error,
                Err(error) => error,
                Ok(()) if self.messages.is_closed() => {
                    let message = "splayd has ended it".to_owned();
                    return SessionError::Broken { url: self.peer.url.clone(), message };
                }
                Ok(()) => SessionError::Broken { url: self.peer.url.clone(), message: "closed".to_owned() },
            };
            // Between half and all of it, so that splayds cut together do not return together.
            let wait = pause.mul_f64(rand::rng().random_range(0.5..1.0));
            tracing::warn!(%error, "no session; trying again in {:.1} s", wait.as_secs_f64());
            sleep(wait).await;
            pause = (pause * 2).min(BACKOFF.1);
        }
    }

    async fn once(&mut self, pause: &mut Duration) -> Result<(), SessionError> {
        let jobs = self.hosted.borrow_and_update().clone();
        let reports = self.shared.spool().next() - 1;
        let (socket, welcome) = open(&self.peer, jobs, reports).await?;
        self.peer.token = None;
        *pause = BACKOFF.0;
        tracing::info!(url = self.peer.url, splayd = welcome.splayd, "session open");
        let broken = |message: String| SessionError::Broken { url: self.peer.url.clone(), message };
        self.shared.clock().told(welcome.time_us);
        self.shared.spool().skip_to(welcome.acknowledged).map_err(|error| broken(error.to_string()))?;
        let cursor = Cursor::at(welcome.acknowledged + 1);
        let silence = match welcome.settings.silence_seconds {
            0 => SILENCE,
            seconds => Duration::from_secs(seconds.into()),
        };
        // What was said before belongs to an earlier session.
        while self.messages.try_recv().is_ok() {}
        let _ = self.heard.send(Heard::Open(Box::new(welcome))).await;
        let (sink, stream) = socket.split();
        let outcome = tokio::select! {
            outcome = read(stream, silence, &self.shared, &self.heard) => outcome,
            outcome = write(sink, cursor, silence / PINGS, &self.shared, &mut self.messages) => outcome.map_err(Cut::Broken),
        };
        let _ = self.heard.send(Heard::Cut).await;
        match outcome {
            Ok(()) => Ok(()),
            Err(Cut::Broken(message)) => Err(broken(message)),
            Err(Cut::Refused(Refused { code, reason })) => Err(SessionError::Refused(reason, code)),
        }
    }
}

/// Puts a list that came compressed in its place.
fn unpack(nodes: &mut JobNodes) -> Result<(), String> {
    if !nodes.packed.is_empty() {
        let bytes =
            zstd::bulk::decompress(&nodes.packed, MAX_MESSAGE_BYTES).map_err(|error| error.to_string())?;
        nodes.nodes = decode(&bytes).map_err(|error| error.to_string())?;
        nodes.packed.clear();
    }
    Ok(())
}

enum Cut {
    Broken(String),
    Refused(Refused),
}

async fn read(
    mut stream: SplitStream<Socket>,
    silence: Duration,
    shared: &Shared,
    heard: &mpsc::Sender<Heard>,
) -> Result<(), Cut> {
    loop {
        let next = timeout(silence, stream.next()).await;
        let bytes = match next {
            Err(_) => return Err(Cut::Broken(format!("silent for {} s", silence.as_secs()))),
            Ok(None | Some(Ok(Message::Close(_)))) => return Ok(()),
            Ok(Some(Ok(Message::Binary(bytes)))) => bytes,
            Ok(Some(Ok(_))) => continue,
            Ok(Some(Err(error))) => return Err(Cut::Broken(error.to_string())),
        };
        match decode(&bytes) {
            Ok(ToSplayd::Ack(ack)) => {
                let stored = shared.spool().acknowledge(ack.sequence);
                stored.map_err(|error| Cut::Broken(format!("spool: {error}")))?;
                shared.acknowledged.notify_waiters();
            }
            Ok(ToSplayd::ProbeReply(reply)) => shared.clock().answered(reply, local_us()),
            Ok(ToSplayd::Refused(refused)) => return Err(Cut::Refused(refused)),
            Ok(mut order) => {
                if let ToSplayd::Nodes(nodes) = &mut order
                    && let Err(error) = unpack(nodes)
                {
                    tracing::warn!(%error, "a list of nodes of the controller is passed over");
                    continue;
                }
                if heard.send(Heard::Order(Box::new(order))).await.is_err() {
                    return Ok(());
                }
            }
            Err(error) => tracing::warn!(%error, "a message of the controller is passed over"),
        }
    }
}

async fn write(
    mut sink: SplitSink<Socket, Message>,
    mut cursor: Cursor,
    ping: Duration,
    shared: &Shared,
    messages: &mut mpsc::Receiver<ToController>,
) -> Result<(), String> {
    let text = |error: tungstenite::Error| error.to_string();
    let mut pings = interval(ping);
    let mut probes = 0;
    let mut next_probe = Instant::now();
    loop {
        // Registered before the spool is read: nothing added in between is missed.
        let spooled = shared.spooled.notified();
        let reports = shared.spool().read(&mut cursor, BATCH_BYTES).map_err(|error| error.to_string())?;
        if !reports.is_empty() {
            for report in reports {
                sink.feed(binary(report)).await.map_err(text)?;
            }
            sink.flush().await.map_err(text)?;
        }
        let more = shared.spool().next() > cursor.next();
        tokio::select! {
            biased;
            message = messages.recv() => match message {
                Some(message) => sink.send(binary(encode(&message))).await.map_err(text)?,
                None => {
                    // The daemon says goodbye.
                    let _ = sink.close().await;
                    return Ok(());
                }
            },
            () = tokio::time::sleep_until(next_probe) => {
                probes += 1;
                next_probe = Instant::now() + if probes < PROBES.0 { PROBES.1 } else { PROBES.2 };
                let probe = ToController::Probe(Probe { sent_us: local_us() });
                sink.send(binary(encode(&probe))).await.map_err(text)?;
            }
            _ = pings.tick() => sink.send(Message::Ping(Vec::new().into())).await.map_err(text)?,
            () = async {}, if more => {}
            () = spooled => {}
        }
    }
}
