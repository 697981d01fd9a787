//! A controller as a whole: opens the store, rebuilds the state, accepts connections, ends in order.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use splay_protocol::api::{Blacklist, Role, User};
use splay_protocol::session::Settings;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::api::{self, App, Limits};
use crate::config::Config;
use crate::hub::{Hub, ResultRules, now_us};
use crate::secrets::{hash_password, random_password};
use crate::session::Sessions;
use crate::state::State;
use crate::store::{Leadership, Store, StoreError, UserRow};
use crate::tls::{self, TlsError};

/// A peer that has not finished its TLS handshake in time is let go.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Nor may request headers take longer, whatever requests may.
const HEADERS: Duration = Duration::from_secs(30);

/// Connections that are open have so long to end when the controller ends.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Why a controller does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The data folder.
    #[error("data folder {0}: {1}")]
    Data(std::path::PathBuf, #[source] std::io::Error),
    /// The address.
    #[error("listen on {0}: {1}")]
    Listen(SocketAddr, #[source] std::io::Error),
    /// The certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A controller that runs.
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// How others reach it.
    pub url: String,
    /// SHA-256 of its certificate.
    pub fingerprint: [u8; 32],
    /// The password of the first administrator, made just now.
    pub first_password: Option<String>,
    stop: watch::Sender<bool>,
    owner: tokio::task::JoinHandle<Result<(), StoreError>>,
    accepting: tokio::task::JoinHandle<()>,
    leadership: Option<Leadership>,
}

impl Running {
    /// Waits until it ends by itself, which only a fault makes it do, or `stop` does; then ends it.
    pub async fn until(mut self, stop: impl Future<Output = ()>) -> Result<(), ServeError> {
        let leadership = self.leadership.take();
        let lost = async {
            match leadership {
                Some(leadership) => leadership.lost().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop => {}
            // Another controller may lead already: nothing may be stored any more.
            error = lost => {
                self.owner.abort();
                self.accepting.abort();
                return Err(error.into());
            }
            ended = &mut self.owner => {
                self.accepting.abort();
                return Ok(ended.unwrap_or(Ok(()))?);
            }
        }
        let _ = self.stop.send(true);
        let result = self.owner.await.unwrap_or(Ok(()));
        let _ = tokio::time::timeout(LAST_WORDS, self.accepting).await;
        Ok(result?)
    }
}

/// Starts a controller.
pub async fn start(config: Config) -> Result<Running, ServeError> {
    std::fs::create_dir_all(&config.data).map_err(|error| ServeError::Data(config.data.clone(), error))?;
    private(&config.data).map_err(|error| ServeError::Data(config.data.clone(), error))?;
    let identity = tls::identity(&config)?;
    let store = Store::open(&config.database_url()).await?;
    let leadership = store.lead(&config.database_url()).await?;
    let first_password = first_user(&store).await?;
    let now = now_us();
    store.sweep_tokens(now).await?;
    let (splayds, jobs) = (store.splayds().await?, store.jobs().await?);
    tracing::info!(splayds = splayds.len(), jobs = jobs.len(), "state read");
    let state = State::new(config.timing(), config.max_log_bytes, splayds, jobs, now);
    let blacklist: Blacklist = store.setting("blacklist").await?.unwrap_or_default();
    let settings = Settings {
        blacklist: blacklist.hosts,
        status_seconds: config.status_seconds,
        silence_seconds: config.silence_seconds,
    };
    let listener =
        TcpListener::bind(config.listen).await.map_err(|error| ServeError::Listen(config.listen, error))?;
    let address = listener.local_addr().map_err(|error| ServeError::Listen(config.listen, error))?;
    let url = config.public_url(address);
    // For `token create` beside the running controller.
    let path = config.data.join("url");
    std::fs::write(&path, &url).map_err(|error| ServeError::Data(path, error))?;
    let (stop, stopping) = watch::channel(false);
    let results =
        ResultRules { folder: config.data.join("results"), max_file_bytes: config.max_result_bytes };
    let (hub, owner) = Hub::start(state, store.clone(), settings.clone(), results.clone(), stopping.clone());
    let by_roots = config.cert.is_some();
    let sessions = Sessions {
        hub: hub.clone(),
        store: store.clone(),
        certificate: identity.fingerprint.to_vec().into(),
        by_roots,
        silence: Duration::from_secs(config.silence_seconds.into()),
    };
    let app = App::new(
        hub,
        store,
        sessions,
        Limits {
            upload_bytes: config.max_upload_bytes,
            results: results.folder,
            url: url.clone(),
            fingerprint: if by_roots { String::new() } else { hex::encode(identity.fingerprint) },
            settings: Settings { blacklist: Vec::new(), ..settings },
        },
    );
    let acceptor = TlsAcceptor::from(identity.server);
    let request = Duration::from_secs(config.request_seconds.into());
    let door = Door { acceptor, router: api::router(app, request), headers: HEADERS.min(request) };
    let accepting = tokio::spawn(accept(listener, door, stopping));
    let fingerprint = identity.fingerprint;
    Ok(Running { address, url, fingerprint, first_password, stop, owner, accepting, leadership })
}

fn private(folder: &std::path::Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))
}

/// The first administrator, where there is no user yet.
async fn first_user(store: &Store) -> Result<Option<String>, StoreError> {
    if !store.users().await?.is_empty() {
        return Ok(None);
    }
    let password = random_password();
    let user = User { name: "admin".to_owned(), role: Role::Admin, created_at: now_us() as f64 / 1e6 };
    let added = store.add_user(&UserRow { user, password: hash_password(&password) }).await?;
    Ok(added.then_some(password))
}

/// Where a request comes from.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

/// What a connection meets.
#[derive(Clone)]
struct Door {
    acceptor: TlsAcceptor,
    router: Router,
    headers: Duration,
}

async fn accept(listener: TcpListener, door: Door, mut stopping: watch::Receiver<bool>) {
    let stopped = stopping.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = told(&mut stopping) => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                tokio::spawn(connection(stream, peer, door.clone(), stopped.clone()));
            }
            Err(error) => {
                // Out of descriptors, for example: others may end.
                tracing::warn!("accept: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop(listener);
    // Splayds hear why before their connections go.
    tokio::time::sleep(Duration::from_millis(200)).await;
}

/// Waits until the controller is to end.
async fn told(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stop| *stop).await;
}

async fn connection(stream: TcpStream, peer: SocketAddr, door: Door, mut stopping: watch::Receiver<bool>) {
    let _ = stream.set_nodelay(true);
    let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, door.acceptor.accept(stream)).await else { return };
    let peer = Peer(peer.ip().to_canonical());
    let service = TowerToHyperService::new(door.router.layer(axum::Extension(peer)));
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(door.headers)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = told(&mut stopping) => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(LAST_WORDS, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = result {
        tracing::debug!(?peer, "connection: {error}");
    }
}

/// Lets the process open as many sockets as it may.
pub fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let now = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: now.maximum, maximum: now.maximum });
}

/// Shared with the API.
pub type Shared = Arc<App>;
