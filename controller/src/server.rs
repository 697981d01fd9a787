//! A controller as a whole: opens the store, leads or stands by, rebuilds the state, accepts
//! connections, ends in order.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use splay_protocol::api::{Blacklist, Role, User};
use splay_protocol::session::Settings;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::api::{self, App, Limits};
use crate::config::Config;
use crate::front::{Front, Peer};
use crate::hub::{Hub, now_us};
use crate::keeping::{ResultRules, sweep};
use crate::secrets::{hash_password, random_password, random_secret};
use crate::session::Sessions;
use crate::state::State;
use crate::store::{Keep, LOOK, Leader, Leadership, Store, StoreError, UserRow};
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
    /// Another controller leads: this one passes requests on, and takes over when that one ends.
    pub stands_by: bool,
    stop: watch::Sender<bool>,
    leading: tokio::task::JoinHandle<Result<(), ServeError>>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Running {
    /// Waits until it ends by itself, which only a fault makes it do, or `stop` does; then ends it.
    pub async fn until(mut self, stop: impl Future<Output = ()>) -> Result<(), ServeError> {
        tokio::select! {
            () = stop => {}
            ended = &mut self.leading => {
                // Another controller may lead already: nothing may be said or stored any more.
                self.accepting.abort();
                return ended.unwrap_or(Ok(()));
            }
        }
        let _ = self.stop.send(true);
        let result = self.leading.await.unwrap_or(Ok(()));
        let _ = tokio::time::timeout(LAST_WORDS, self.accepting).await;
        result
    }
}

/// Starts a controller.
pub async fn start(config: Config) -> Result<Running, ServeError> {
    std::fs::create_dir_all(&config.data).map_err(|error| ServeError::Data(config.data.clone(), error))?;
    private(&config.data).map_err(|error| ServeError::Data(config.data.clone(), error))?;
    let identity = tls::identity(&config)?;
    let store = Store::open(&config.database_url()).await?;
    let first_password = first_user(&store).await?;
    let listener =
        TcpListener::bind(config.listen).await.map_err(|error| ServeError::Listen(config.listen, error))?;
    let address = listener.local_addr().map_err(|error| ServeError::Listen(config.listen, error))?;
    let url = config.public_url(address);
    // For `token create` beside the running controller.
    let path = config.data.join("url");
    std::fs::write(&path, &url).map_err(|error| ServeError::Data(path, error))?;
    let (stop, stopping) = watch::channel(false);
    let request = Duration::from_secs(config.request_seconds.into());
    let fingerprint = identity.fingerprint;
    let front = Arc::new(Front::new(store.clone(), hex::encode(fingerprint)));
    let body = Body { front: front.clone(), store, address, url: url.clone(), fingerprint, config };
    let first = body.try_lead().await?;
    let stands_by = first.is_none();
    if stands_by {
        body.greet_leader().await?;
    }
    let led = match first {
        Some(leadership) => Some(body.lead(leadership, stopping.clone()).await?),
        None => None,
    };
    let leading = tokio::spawn(body.run(led, stopping.clone()));
    let acceptor = TlsAcceptor::from(identity.server);
    let door = Door { acceptor, front, headers: HEADERS.min(request) };
    let accepting = tokio::spawn(accept(listener, door, stopping));
    Ok(Running { address, url, fingerprint, first_password, stands_by, stop, leading, accepting })
}

/// What a controller needs to lead.
struct Body {
    front: Arc<Front>,
    store: Store,
    address: SocketAddr,
    url: String,
    fingerprint: [u8; 32],
    config: Config,
}

/// Kept while it leads. `None`: alone, over a file.
type Lock = Option<Leadership>;

/// Tasks of one that leads.
struct Led {
    lock: Lock,
    owner: tokio::task::JoinHandle<Result<(), StoreError>>,
    sweeping: tokio::task::JoinHandle<()>,
}

impl Body {
    async fn try_lead(&self) -> Result<Option<Lock>, StoreError> {
        if !self.store.is_shared() {
            return Ok(Some(None));
        }
        Ok(self.store.try_lead(&self.config.database_url()).await?.map(Some))
    }

    /// Tells what would keep splayds from going over from the leader to this one.
    async fn greet_leader(&self) -> Result<(), StoreError> {
        let leader = self.store.leader().await?;
        let url = leader.as_ref().map_or("another controller", |leader| leader.url.as_str());
        tracing::info!("{url} leads on this database: requests are passed on until it ends");
        let own = hex::encode(self.fingerprint);
        if self.config.cert.is_none() && leader.as_ref().is_some_and(|leader| leader.fingerprint != own) {
            tracing::warn!(
                "this controller's certificate is another than that of {url}: splayds and users who trust that one \
                 refuse this one; give both the same `cert` and `key`, or copy the folder `tls`"
            );
        }
        Ok(())
    }

    /// Leads until it is to end, or stands by until it leads.
    async fn run(self, mut led: Option<Led>, mut stopping: watch::Receiver<bool>) -> Result<(), ServeError> {
        while led.is_none() {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = told(&mut stopping) => return Ok(()),
            }
            match self.try_lead().await {
                Ok(Some(lock)) => {
                    tracing::info!("takes over");
                    led = Some(self.lead(lock, stopping.clone()).await?);
                }
                Ok(None) => {}
                Err(error) => tracing::warn!("{error}"),
            }
        }
        let Led { lock, mut owner, sweeping } = led.expect("the loop above ends with it");
        let lost = async {
            match lock {
                Some(leadership) => leadership.lost().await,
                None => std::future::pending().await,
            }
        };
        let result = tokio::select! {
            error = lost => {
                owner.abort();
                Err(error)
            }
            ended = &mut owner => ended.unwrap_or(Ok(())),
        };
        sweeping.abort();
        Ok(result?)
    }

    /// Rebuilds the state and serves the API.
    async fn lead(&self, lock: Lock, stopping: watch::Receiver<bool>) -> Result<Led, ServeError> {
        let (config, store) = (&self.config, &self.store);
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
        let in_data = || (!store.is_shared()).then(|| config.data.join("results"));
        let results = ResultRules {
            folder: config.results.clone().or_else(in_data),
            max_file_bytes: config.max_result_bytes,
        };
        let (hub, owner) = Hub::start(state, store.clone(), settings.clone(), results.clone(), stopping);
        let by_roots = config.cert.is_some();
        let sessions = Sessions {
            hub: hub.clone(),
            store: store.clone(),
            certificate: self.fingerprint.to_vec().into(),
            by_roots,
            silence: Duration::from_secs(config.silence_seconds.into()),
        };
        let request = Duration::from_secs(config.request_seconds.into());
        let limits = Limits {
            upload_bytes: config.max_upload_bytes,
            results,
            url: self.url.clone(),
            fingerprint: if by_roots { String::new() } else { hex::encode(self.fingerprint) },
            settings: Settings { blacklist: Vec::new(), ..settings },
        };
        let keep = Keep { jobs: config.retention.jobs, days: config.retention.days };
        let sweeping = tokio::spawn(sweep(hub.clone(), store.clone(), keep));
        let leader = Leader {
            url: config.own_url(self.address),
            fingerprint: hex::encode(self.fingerprint),
            secret: random_secret(),
        };
        // Whoever asks is answered before the others send anybody here.
        self.front.lead(
            api::router(App::new(hub, store.clone(), sessions, limits), request),
            request,
            leader.secret.clone(),
        );
        store.set_leader(&leader).await?;
        Ok(Led { lock, owner, sweeping })
    }
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

/// What a connection meets.
#[derive(Clone)]
struct Door {
    acceptor: TlsAcceptor,
    front: Arc<Front>,
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
    let service = service_fn(move |request| {
        let front = door.front.clone();
        async move { Ok::<_, Infallible>(front.serve(request, peer).await) }
    });
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
