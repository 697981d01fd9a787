//! The running daemon: puts session, host and signals together, on one thread.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use splay_protocol::JoinToken;
use splay_protocol::session::SplaydInfo;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::clock::Offset;
use crate::config::Config;
use crate::confine;
use crate::host::{Channels, Host};
use crate::identity::{Controller, DataFolder, IdentityError};
use crate::session::{self, Heard, Link, Peer, SessionError, Shared};
use crate::spool::Spool;

/// How often deadlines are looked at.
const TICK: Duration = Duration::from_millis(100);

/// How long the goodbye waits for the controller to store the last reports.
const FAREWELL: Duration = Duration::from_secs(5);

/// Messages between the parts that may wait.
const QUEUE: usize = 256;

/// Why the daemon cannot run or go on.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// Its data folder.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// It belongs to no controller.
    #[error("this splayd has not joined a controller: run `splayd join TOKEN` with a token made there")]
    NotJoined,
    /// It belongs to another one.
    #[error("this splayd has joined {0}; remove controller.json in its data folder to join another")]
    Joined(String),
    /// No session.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// A file or signal handler.
    #[error("{0}: {1}")]
    Io(&'static str, io::Error),
}

fn incarnation() -> String {
    hex::encode(rand::random::<[u8; 16]>())
}

/// What the controller is told of this splayd.
fn info(config: &Config) -> SplaydInfo {
    let system = rustix::system::uname();
    SplaydInfo {
        name: config.name.clone(),
        labels: config.labels.clone(),
        address: config.address.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        os: std::env::consts::OS.to_owned(),
        architecture: std::env::consts::ARCH.to_owned(),
        kernel: system.release().to_string_lossy().into_owned(),
        max_instances: config.max_instances,
        ports: config.ports,
        maxima: config.maxima.clone(),
        country: config.country.clone(),
        place: config.place,
        native: config.native_libraries.clone(),
        degraded: confine::degraded(config),
    }
}

/// Whom to dial: the token's controller, or the one that was joined.
fn peer(config: &Config, data: &DataFolder, token: Option<JoinToken>) -> Result<Peer, DaemonError> {
    let joined = data.controller()?;
    let (url, fingerprint, token) = match (joined, token) {
        (Some(joined), Some(token)) if joined.url != token.url => {
            return Err(DaemonError::Joined(joined.url));
        }
        (Some(joined), _) => (joined.url, joined.fingerprint, None),
        (None, Some(token)) => (token.url.clone(), token.fingerprint.clone(), Some(token)),
        (None, None) => return Err(DaemonError::NotJoined),
    };
    let (key, info) = (data.key()?, info(config));
    Ok(Peer { url, fingerprint, key, token, info, incarnation: incarnation() })
}

fn remember(data: &DataFolder, peer: &Peer, splayd: &str) -> Result<(), DaemonError> {
    let (url, fingerprint) = (peer.url.clone(), peer.fingerprint.clone());
    Ok(data.set_controller(&Controller { url, fingerprint, splayd: splayd.to_owned() })?)
}

/// Joins a controller; gives what it calls this splayd.
pub async fn join(config: &Config, token: JoinToken) -> Result<String, DaemonError> {
    let data = DataFolder::open(&config.data_directory)?;
    let peer = peer(config, &data, Some(token))?;
    let (mut socket, welcome) = session::open(&peer, Vec::new(), 0).await?;
    remember(&data, &peer, &welcome.splayd)?;
    let _ = timeout(FAREWELL, socket.close(None)).await;
    Ok(welcome.splayd)
}

/// Runs until told to end by a signal, or until the controller refuses this splayd for good.
pub async fn run(config: Config, token: Option<JoinToken>) -> Result<(), DaemonError> {
    let data = DataFolder::open(&config.data_directory)?;
    let peer = peer(&config, &data, token)?;
    for lacking in &peer.info.degraded {
        tracing::warn!("confinement: {lacking}");
    }
    let spool = Spool::open(&data.path().join("spool"), config.spool_bytes)
        .map_err(|error| DaemonError::Io("spool", error))?;
    let shared = Arc::new(Shared {
        spool: Mutex::new(spool),
        spooled: Notify::new(),
        acknowledged: Notify::new(),
        clock: Mutex::new(Offset::new()),
    });
    let (messages, outgoing) = mpsc::channel(QUEUE);
    let (hosted_told, hosted) = watch::channel(Vec::new());
    let (workers, mut from_workers) = mpsc::channel(QUEUE);
    let (collected, mut from_collectors) = mpsc::channel(QUEUE);
    let (heard, mut from_session) = mpsc::channel(QUEUE);
    let channels = Channels { messages, hosted: hosted_told, workers, collected };
    let mut host = Host::new(Arc::new(config), shared.clone(), channels)
        .map_err(|error| DaemonError::Io("jobs", error))?;
    let mut enrolling = peer.token.as_ref().map(|_| (peer.url.clone(), peer.fingerprint.clone()));
    let link = Link { peer, shared: shared.clone(), hosted, messages: outgoing, heard };
    let mut session = tokio::spawn(link.run());

    let signals = |kind| signal(kind).map_err(|error| DaemonError::Io("signals", error));
    let mut terminate = signals(SignalKind::terminate())?;
    let mut interrupt = signals(SignalKind::interrupt())?;
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut ending: Option<Instant> = None;
    loop {
        tokio::select! {
            Some(from) = from_workers.recv() => host.heard(from),
            Some(done) = from_collectors.recv() => host.collected(&done),
            Some(heard) = from_session.recv() => match heard {
                Heard::Open(welcome) => {
                    if let Some((url, fingerprint)) = enrolling.take() {
                        let splayd = welcome.splayd.clone();
                        data.set_controller(&Controller { url, fingerprint, splayd })?;
                    }
                    host.welcome(*welcome);
                }
                Heard::Cut => {}
                Heard::Order(order) => host.order(*order),
            },
            _ = ticks.tick() => host.tick(),
            error = &mut session => {
                host.stop_all();
                return Err(error.map_or_else(|error| DaemonError::Io("session", io::Error::other(error)), Into::into));
            }
            () = told(&mut terminate, &mut interrupt) => {
                if ending.is_some() {
                    tracing::warn!("told to end again: ending at once");
                    break;
                }
                tracing::info!("ending: jobs are stopped");
                host.stop_all();
                ending = Some(Instant::now());
            }
        }
        if let Some(since) = ending {
            let delivered = shared.spool().is_delivered();
            let quiet = host.is_quiet();
            let patience = host.longest_end() + FAREWELL;
            if quiet && delivered || since.elapsed() > patience {
                break;
            }
        }
    }
    host.close();
    drop(host);
    // Without the host the session has nothing more to say, and closes.
    let _ = timeout(Duration::from_secs(1), &mut session).await;
    Ok(())
}

async fn told(terminate: &mut tokio::signal::unix::Signal, interrupt: &mut tokio::signal::unix::Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
