//! The service over HTTP/1.1, on threads of its own. Changes of a kept service go to one thread that
//! logs what has come in the meantime with one write to the disk, and only then makes them.

mod body;
mod keeper;

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;

use crate::disk::{Disk, DiskError};
use crate::member::Member;
use crate::reply::Reply;
use crate::request::{Call, MOST_FORM_BYTES, Request, Write};
use crate::service::{Entry, Outcome, Service};
use crate::store::WatcherId;
use body::Body;
use keeper::Keeper;

/// Events that wait for a slow client before its watch ends, as in etcd.
const BACKLOG: usize = 100;

/// How often etcd looks for keys that have come to their end.
const SWEEP: Duration = Duration::from_millis(500);

/// What the end waits for answers under way.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Connections that the system holds waiting: ten thousand clients may come at once.
const WAITING: i32 = 4096;

/// Why a server does not start, or has to stop.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ServerError {
    #[error("listen on {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("start the server's threads: {0}")]
    Threads(#[source] io::Error),
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// Nanoseconds since 1970.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// Listens on an address; port 0 is one that is free.
pub fn listen(address: SocketAddr) -> Result<TcpListener, ServerError> {
    let listen = || {
        let domain = socket2::Domain::for_address(address);
        let socket = socket2::Socket::new(domain, socket2::Type::STREAM, Some(socket2::Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(WAITING)?;
        Ok(TcpListener::from(socket))
    };
    listen().map_err(|source| ServerError::Listen { address, source })
}

struct State {
    service: Service,
    watchers: HashMap<WatcherId, mpsc::Sender<Bytes>>,
}

impl State {
    /// Tells watchers what has happened.
    fn tell(&mut self) {
        for notice in self.service.take_notices() {
            let Some(watcher) = self.watchers.get(&notice.watcher) else { continue };
            let behind = watcher.try_send(notice.body).is_err();
            if notice.last || behind {
                self.watchers.remove(&notice.watcher);
                self.service.unwatch(notice.watcher);
            }
        }
    }
}

struct Shared {
    member: Member,
    state: Mutex<State>,
    keeper: Option<Keeper>,
    failure: Mutex<Option<DiskError>>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds the state")
    }

    fn fail(&self, error: DiskError) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    fn unwatch(&self, id: WatcherId) {
        let mut state = self.state();
        state.watchers.remove(&id);
        state.service.unwatch(id);
    }

    /// Makes a change, once it is kept.
    async fn change(&self, entry: Entry, brief: bool) -> Reply {
        match &self.keeper {
            Some(keeper) => keeper.change(entry, brief).await,
            None => {
                let mut state = self.state();
                let reply = state.service.apply(entry, brief);
                state.tell();
                reply
            }
        }
    }

    async fn answer(self: &Arc<Self>, request: hyper::Request<Incoming>) -> Response<Body> {
        let (parts, incoming) = request.into_parts();
        let sent = collect(incoming).await;
        let now = now();
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        let call = Call::read(
            &Request {
                method: parts.method.as_str(),
                target: target.as_bytes(),
                content_type: parts.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes),
                body: &sent,
            },
            now,
        );
        let (reply, body) = match call {
            Call::Write { write, brief } => (self.change(Entry { now, write }, brief).await, None),
            call => self.look(call, now).await,
        };
        self.respond(reply, body)
    }

    /// What does not change the tree.
    async fn look(self: &Arc<Self>, call: Call, now: i64) -> (Reply, Option<Body>) {
        let (entry, brief) = {
            let mut state = self.state();
            match state.service.call(call, now) {
                Outcome::Reply(reply) => return (reply, None),
                Outcome::Watch { head, watcher, stream, first } => {
                    let receiver = match first {
                        Some(first) => Body::past(first, stream),
                        None => {
                            let (sender, receiver) = mpsc::channel(if stream { BACKLOG } else { 1 });
                            state.watchers.insert(watcher, sender);
                            Body::watch(watcher, receiver, self.clone())
                        }
                    };
                    return (head, Some(receiver));
                }
                Outcome::Write { entry, brief } => (entry, brief),
            }
        };
        (self.change(entry, brief).await, None)
    }

    fn respond(&self, mut reply: Reply, body: Option<Body>) -> Response<Body> {
        let body = body.unwrap_or_else(|| Body::whole(std::mem::take(&mut reply.body)));
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::from_u16(reply.status).expect("our statuses are HTTP's");
        let headers = response.headers_mut();
        reply.fields(&self.member, |name, value| {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("our names are HTTP's");
            // A location may be of any bytes that a path can have; they are escaped.
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.append(name, value);
            }
        });
        response
    }
}

/// A body; what is too much of it is read and dropped.
async fn collect(mut incoming: Incoming) -> Bytes {
    let mut whole = Vec::new();
    while !incoming.is_end_stream() {
        let frame =
            std::future::poll_fn(|context| std::pin::Pin::new(&mut incoming).poll_frame(context)).await;
        let Some(Ok(frame)) = frame else { break };
        if let Some(data) = frame.data_ref().filter(|_| whole.len() <= MOST_FORM_BYTES) {
            whole.extend_from_slice(data);
        }
    }
    whole.into()
}

/// Lets the process have as many connections as the system allows it.
pub fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // What is refused is noticed when a connection is.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// A server that runs; dropping it ends it.
pub struct Running {
    runtime: Option<tokio::runtime::Runtime>,
    shared: Arc<Shared>,
}

/// Starts answering on threads of its own. Without `disk` nothing is kept.
pub fn start(
    listeners: Vec<TcpListener>,
    service: Service,
    disk: Option<Disk>,
    threads: usize,
) -> Result<Running, ServerError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name("etcd")
        .enable_all()
        .build()
        .map_err(ServerError::Threads)?;
    let member = service.member().clone();
    let state = Mutex::new(State { service, watchers: HashMap::new() });
    let (keeper, orders) = disk.map(keeper::pair).unzip();
    let shared = Arc::new(Shared { member, state, keeper, failure: Mutex::new(None) });
    if let Some(orders) = orders {
        keeper::start(orders, shared.clone()).map_err(ServerError::Threads)?;
    }
    let _inside = runtime.enter();
    for listener in listeners {
        let listener = tokio::net::TcpListener::from_std(listener).map_err(ServerError::Threads)?;
        runtime.spawn(accept(listener, shared.clone()));
    }
    runtime.spawn(sweep(shared.clone()));
    Ok(Running { runtime: Some(runtime), shared })
}

impl Running {
    /// Why it cannot go on, if so: what is kept cannot be written.
    pub fn take_failure(&mut self) -> Option<DiskError> {
        self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Changes made, failed ones included.
    pub fn applied(&self) -> u64 {
        self.shared.state().service.applied()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(keeper) = &self.shared.keeper {
            keeper.finish();
        }
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(LAST_WORDS);
        }
    }
}

async fn accept(listener: tokio::net::TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, say: others will be closed.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let shared = shared.clone();
        tokio::spawn(async move {
            let answer = service_fn(|request| {
                let shared = shared.clone();
                async move { Ok::<_, Infallible>(shared.answer(request).await) }
            });
            // What fails is the connection's own matter.
            let _ = hyper::server::conn::http1::Builder::new()
                .title_case_headers(true)
                .serve_connection(TokioIo::new(stream), answer)
                .await;
        });
    }
}

async fn sweep(shared: Arc<Shared>) {
    let mut ticks = tokio::time::interval(SWEEP);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let now = now();
        let due = shared.state().service.next_end().is_some_and(|end| end <= now);
        if due {
            shared.change(Entry { now, write: Write::Expire }, true).await;
        }
    }
}
