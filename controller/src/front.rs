//! What stands before the API: the controller that leads serves requests itself, one that stands by
//! passes them on to the one that leads, sessions of splayds and streams included.

mod rest;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::header::{CONNECTION, HOST, HeaderName, RETRY_AFTER, UPGRADE};
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use axum::response::IntoResponse as _;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use rustls::pki_types::ServerName;
use splay_protocol::api::ErrorCode;
use splay_protocol::join::controller_address;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::api::ApiError;
use crate::store::{Leader, Store};

/// Where a request comes from.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

/// SHA-256 of the certificate that who asks has seen, where that is another controller's.
#[derive(Debug, Clone)]
pub struct Shown(pub Vec<u8>);

/// The leader's secret: a request that carries it was passed on by another controller.
const PASSED_ON: HeaderName = HeaderName::from_static("x-splay-passed-on");
/// Who really asks.
const FOR: HeaderName = HeaderName::from_static("x-splay-for");
/// What certificate they have seen.
const SHOWN: HeaderName = HeaderName::from_static("x-splay-shown");

/// The leader has to answer the call for a connection within this.
const CONNECT: Duration = Duration::from_secs(5);

/// And to begin an answer within this: placement of a large job may take a while.
const ANSWER: Duration = Duration::from_secs(60);

/// Who leads is looked up no more often than this.
const REMEMBERED: Duration = Duration::from_millis(500);

/// What a leading controller serves.
struct Leading {
    router: Router,
    /// A request with its body has to be there within so long.
    limit: Duration,
    secret: String,
}

/// Shared by all connections.
pub struct Front {
    store: Store,
    /// SHA-256 of the certificate that this controller shows, hexadecimal.
    fingerprint: String,
    leading: RwLock<Option<Arc<Leading>>>,
    leader: Mutex<Option<(Instant, Leader)>>,
}

impl Front {
    /// Of a controller that does not lead yet.
    pub fn new(store: Store, fingerprint: String) -> Front {
        Front { store, fingerprint, leading: RwLock::default(), leader: Mutex::default() }
    }

    /// From now on this controller leads.
    ///
    /// Requests that take longer than `limit` are answered by the router with an error: what is left
    /// of their bodies is not waited for either.
    pub fn lead(&self, router: Router, limit: Duration, secret: String) {
        let leading = Arc::new(Leading { router, limit, secret });
        *self.leading.write().unwrap_or_else(PoisonError::into_inner) = Some(leading);
    }

    /// Answers a request.
    pub async fn serve(&self, request: Request<Incoming>, peer: Peer) -> Response<Body> {
        let begun = Instant::now();
        let mut request = request.map(Body::new);
        let passed_on = take(request.headers_mut());
        let leading = self.leading.read().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(leading) = leading else {
            return match passed_on.secret {
                // Whoever passed it on takes this one for the leader: it may be about to lead.
                Some(_) => nobody("no controller leads just now"),
                None => self.pass_on(request, peer).await.unwrap_or_else(|why| nobody(&why)),
            };
        };
        let trusted =
            passed_on.secret.is_some_and(|secret| same(secret.as_bytes(), leading.secret.as_bytes()));
        let peer = passed_on.from.filter(|_| trusted).map_or(peer, Peer);
        request.extensions_mut().insert(peer);
        if let Some(shown) = passed_on.shown.filter(|_| trusted) {
            request.extensions_mut().insert(Shown(shown));
        }
        let (request, rest) = rest::share(request);
        let service = TowerToHyperService::new(leading.router.clone());
        let response = match hyper::service::Service::call(&service, request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        rest.read(leading.limit.saturating_sub(begun.elapsed())).await;
        response
    }

    /// Who leads, as the database has it.
    async fn leader(&self) -> Result<Leader, String> {
        let remembered = self.leader.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, leader)) = remembered.filter(|(since, _)| since.elapsed() < REMEMBERED) {
            return Ok(leader);
        }
        let found = self.store.leader().await.map_err(|error| {
            tracing::error!("{error}");
            "the controller's database fails; its log has more".to_owned()
        })?;
        let leader = found.ok_or("no controller has led yet")?;
        *self.leader.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), leader.clone()));
        Ok(leader)
    }

    async fn pass_on(&self, mut request: Request<Body>, peer: Peer) -> Result<Response<Body>, String> {
        let leader = self.leader().await?;
        let away = |what: String| {
            tracing::warn!(leader = leader.url, "a request cannot be passed on: {what}");
            "the leading controller does not answer: another takes over in a moment".to_owned()
        };
        let connecting = tokio::time::timeout(CONNECT, connect(&leader)).await;
        let mut sender = connecting.unwrap_or(Err("no connection in time".to_owned())).map_err(away)?;
        let upgraded = request.headers().contains_key(UPGRADE).then(|| hyper::upgrade::on(&mut request));
        let (parts, body) = request.into_parts();
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        let mut onward = Request::builder().method(parts.method).uri(target);
        if let Some(headers) = onward.headers_mut() {
            *headers = parts.headers;
            if upgraded.is_none() {
                headers.remove(CONNECTION);
            }
            headers.entry(HOST).or_insert(HeaderValue::from_static("controller"));
            for (name, value) in [
                (PASSED_ON, leader.secret.clone()),
                (FOR, peer.0.to_string()),
                (SHOWN, self.fingerprint.clone()),
            ] {
                headers.insert(name, HeaderValue::from_str(&value).map_err(|error| away(error.to_string()))?);
            }
        }
        let onward = onward.body(body).map_err(|error| away(error.to_string()))?;
        let answer = tokio::time::timeout(ANSWER, sender.send_request(onward)).await;
        let answer = answer.map_err(|_| away("no answer in time".to_owned()))?;
        let mut answer = answer.map_err(|error| away(error.to_string()))?;
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS
            && let Some(near) = upgraded
        {
            let far = hyper::upgrade::on(&mut answer);
            tokio::spawn(async move {
                if let (Ok(near), Ok(far)) = tokio::join!(near, far) {
                    let (mut near, mut far) = (TokioIo::new(near), TokioIo::new(far));
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                }
            });
        } else {
            answer.headers_mut().remove(CONNECTION);
        }
        Ok(answer.map(Body::new))
    }
}

async fn connect(leader: &Leader) -> Result<http1::SendRequest<Body>, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let (host, port) = controller_address(&leader.url).ok_or("its address makes no sense")?;
    let stream = TcpStream::connect((host, port)).await.map_err(|error| text(&error))?;
    let _ = stream.set_nodelay(true);
    let config = splay_trust::client_config(&leader.fingerprint).map_err(|error| text(&error))?;
    let name = ServerName::try_from(host.to_owned()).map_err(|error| text(&error))?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    let stream = stream.map_err(|error| splay_trust::explain(&error))?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| text(&error))?;
    tokio::spawn(connection.with_upgrades());
    Ok(sender)
}

/// What another controller adds to a request.
struct PassedOn {
    secret: Option<String>,
    from: Option<IpAddr>,
    shown: Option<Vec<u8>>,
}

/// Takes it out of the headers, whoever has put it there.
fn take(headers: &mut HeaderMap) -> PassedOn {
    let mut text = |name| headers.remove(name).and_then(|value| value.to_str().ok().map(str::to_owned));
    PassedOn {
        secret: text(PASSED_ON),
        from: text(FOR).and_then(|address| address.parse().ok()),
        shown: text(SHOWN).and_then(|digest| hex::decode(digest).ok()),
    }
}

/// Compares secrets without telling by the time it takes where they differ.
fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

fn nobody(why: &str) -> Response<Body> {
    let mut answer = ApiError::new(ErrorCode::Unavailable, why).into_response();
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    answer
}
