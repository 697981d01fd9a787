//! The HTTP API: who may ask what, and what is answered. Types of requests and answers are those of
//! `splay_protocol::api`.

mod accounts;
mod error;
mod jobs;
mod logs;
mod openapi;
mod splayds;
mod submit;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub use accounts::{check_join_token, check_name, check_password, make_join_token};
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{DefaultBodyLimit, FromRequestParts, Request, State};
use axum::http::HeaderValue;
use axum::http::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
pub use error::{ApiError, In, Params};
use splay_protocol::api::{AuditEntry, ErrorCode, Health, JobState, Role, SplaydState, User};
use splay_protocol::session::{MAX_MESSAGE_BYTES, PATH, Settings};
use tokio::sync::Semaphore;

use crate::front::{Peer, Shown};
use crate::hub::{Hub, now_us};
use crate::keeping::ResultRules;
use crate::secrets::random_id;
use crate::session::Sessions;
use crate::store::{Store, hash_secret};

/// Results of handlers.
pub type Answer<T> = Result<T, ApiError>;

/// What the API is configured with.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Most bytes of a submission.
    pub upload_bytes: usize,
    /// Where result files are.
    pub results: ResultRules,
    /// How splayds reach the controller.
    pub url: String,
    /// SHA-256 of the certificate, for join tokens; empty: by the system's roots.
    pub fingerprint: String,
    /// Splayds' settings but for the blacklist.
    pub settings: Settings,
}

/// What handlers share.
pub struct App {
    hub: Hub,
    store: Store,
    sessions: Sessions,
    limits: Limits,
    started_us: u64,
    /// Failed logins by user and by address: how many, and when the last.
    failures: Mutex<HashMap<String, (u32, Instant)>>,
    /// Passwords hashed at the same time: each takes a core and 19 MB.
    hashing: Semaphore,
}

impl App {
    /// With what it works on.
    pub fn new(hub: Hub, store: Store, sessions: Sessions, limits: Limits) -> App {
        let failures = Mutex::new(HashMap::new());
        App { hub, store, sessions, limits, started_us: now_us(), failures, hashing: Semaphore::new(2) }
    }

    /// Adds to the audit log.
    async fn audit(&self, caller: &Caller, action: &str, target: &str, detail: &str) -> Answer<()> {
        self.audit_as(&caller.user.name, &caller.address, action, target, detail).await
    }

    async fn audit_as(
        &self,
        user: &str,
        address: &str,
        action: &str,
        target: &str,
        detail: &str,
    ) -> Answer<()> {
        let entry = AuditEntry {
            at: now_us() as f64 / 1e6,
            user: user.to_owned(),
            address: address.to_owned(),
            action: action.to_owned(),
            target: target.to_owned(),
            detail: detail.to_owned(),
        };
        Ok(self.store.audit(&random_id("a"), &entry).await?)
    }
}

/// Who asks.
pub struct Caller {
    /// The user.
    pub user: User,
    /// Identifier of the token.
    pub token: String,
    /// From where.
    pub address: String,
}

impl Caller {
    fn admin(&self) -> Answer<()> {
        match self.user.role {
            Role::Admin => Ok(()),
            _ => Err(ApiError::new(ErrorCode::Forbidden, "only an admin may do this")),
        }
    }

    fn writer(&self) -> Answer<()> {
        match self.user.role {
            Role::ReadOnly => Err(ApiError::new(ErrorCode::Forbidden, "a read-only user may not do this")),
            _ => Ok(()),
        }
    }
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Answer<Caller> {
        let address = parts.extensions.get::<Peer>().map(|peer| peer.0.to_string()).unwrap_or_default();
        let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let missing = || {
            ApiError::new(ErrorCode::Unauthorized, "no token: log in, or send Authorization: Bearer TOKEN")
        };
        let (scheme, token) = header.and_then(|header| header.split_once(' ')).ok_or_else(missing)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(missing());
        }
        let found = app.store.token_user(&hash_secret(token.trim()), now_us()).await?;
        let unknown =
            || ApiError::new(ErrorCode::Unauthorized, "the token is not known or has expired: log in again");
        let (user, token) = found.ok_or_else(unknown)?;
        Ok(Caller { user, token, address })
    }
}

/// Bodies without files: anybody may send some, and they are held in memory.
const SMALL_BODY_BYTES: usize = 1 << 20;

/// Ends a request that does not come to its end: what is asked for, with its body, has to be there
/// and be answered in time. What an answer streams, it streams for as long as it likes.
async fn in_time(limit: Duration, request: Request, next: Next) -> Response {
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let text = format!("the request was not complete within {} s", limit.as_secs());
            let mut response = ApiError::new(ErrorCode::BadRequest, text).into_response();
            // The rest of it may still come: nothing after it would be understood.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            response
        }
    }
}

/// All routes. A request may take `limit`.
pub fn router(app: App, limit: Duration) -> Router {
    let large = DefaultBodyLimit::max(app.limits.upload_bytes / 3 * 4 + SMALL_BODY_BYTES);
    let app = Arc::new(app);
    let v1 = Router::new()
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .route("/openapi.json", get(openapi::document))
        .route("/login", post(accounts::login))
        .route("/logout", post(accounts::logout))
        .route("/users", get(accounts::users).post(accounts::add_user))
        .route("/users/me", get(accounts::me))
        .route("/users/{name}", axum::routing::patch(accounts::change_user).delete(accounts::remove_user))
        .route("/tokens", get(accounts::tokens).post(accounts::add_token))
        .route("/tokens/{id}", axum::routing::delete(accounts::remove_token))
        .route("/join-tokens", get(accounts::join_tokens).post(accounts::add_join_token))
        .route("/join-tokens/{id}", axum::routing::delete(accounts::revoke_join_token))
        .route("/audit", get(accounts::audit))
        .route("/splayds", get(splayds::list))
        .route("/splayds/{id}", get(splayds::one).patch(splayds::change))
        .route("/splayds/{id}/availability", get(splayds::availability))
        .route("/splayds/{id}/revoke", post(splayds::revoke))
        .route("/blacklist", get(splayds::blacklist).put(splayds::set_blacklist))
        .route("/native", get(splayds::native).post(splayds::add_native).layer(large))
        .route("/native/{sha256}", axum::routing::delete(splayds::remove_native))
        .route("/jobs", get(jobs::list).post(submit::submit).layer(large))
        .route("/jobs/{id}", get(jobs::one))
        .route("/jobs/{id}/kill", post(jobs::kill))
        .route("/jobs/{id}/resubmit", post(submit::resubmit))
        .route("/jobs/{id}/code", get(jobs::code))
        .route("/jobs/{id}/files/{*path}", get(jobs::file))
        .route("/jobs/{id}/events", get(jobs::events))
        .route("/jobs/{id}/logs", get(logs::logs))
        .route("/jobs/{id}/logs/follow", get(logs::follow))
        .route("/jobs/{id}/results", get(logs::results))
        .route("/jobs/{id}/results/{position}/{*path}", get(logs::result));
    Router::new()
        .nest(splay_protocol::api::BASE, v1)
        .route(PATH, get(session))
        .fallback(async || ApiError::new(ErrorCode::NotFound, "there is nothing at this path"))
        .method_not_allowed_fallback(async || {
            ApiError::new(ErrorCode::MethodNotAllowed, "this path does not take this method")
        })
        .layer(DefaultBodyLimit::max(SMALL_BODY_BYTES))
        .layer(axum::middleware::from_fn(move |request: Request, next: Next| in_time(limit, request, next)))
        .with_state(app)
}

/// A session has this buffer all the time, and there are thousands of sessions.
const READ_BUFFER_BYTES: usize = 8 << 10;

async fn session(
    State(app): State<Arc<App>>,
    Extension(Peer(peer)): Extension<Peer>,
    shown: Option<Extension<Shown>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let sessions = app.sessions.clone();
    upgrade
        .max_message_size(MAX_MESSAGE_BYTES)
        .max_frame_size(MAX_MESSAGE_BYTES)
        .read_buffer_size(READ_BUFFER_BYTES)
        .on_upgrade(move |socket| sessions.serve(socket, peer, shown.map(|Extension(Shown(digest))| digest)))
}

/// Figures for `/health` and `/metrics`.
#[derive(Debug, Default)]
struct Figures {
    splayds: HashMap<SplaydState, u32>,
    seats: u64,
    used: u64,
    jobs: HashMap<JobState, u32>,
    log_lines: u64,
    log_bytes: u64,
}

async fn figures(app: &App) -> Answer<Figures> {
    let look = |state: &crate::state::State| {
        let mut figures = Figures::default();
        for splayd in state.splayds().values() {
            *figures.splayds.entry(splayd.state).or_default() += 1;
            if splayd.state == SplaydState::Online {
                figures.seats += u64::from(splayd.record.info.max_instances);
            }
            figures.used += u64::from(splayd.used);
        }
        // One whose logs were removed is counted among those that are over.
        for job in state.jobs().values().filter(|job| job.live.removed_us.is_none()) {
            *figures.jobs.entry(job.live.state).or_default() += 1;
            figures.log_lines += job.live.logs.lines;
            figures.log_bytes += job.live.logs.stored_bytes;
        }
        figures
    };
    let mut figures = app.hub.ask(look).await?;
    let over = app.store.finished_figures().await?;
    figures.log_lines += over.log_lines;
    figures.log_bytes += over.log_bytes;
    over.states.into_iter().for_each(|(state, count)| *figures.jobs.entry(state).or_default() += count);
    Ok(figures)
}

async fn health(State(app): State<Arc<App>>) -> Answer<Json<Health>> {
    app.store.ping().await?;
    let figures = figures(&app).await?;
    let active = figures.jobs.iter().filter(|(state, _)| !state.is_final()).map(|(_, count)| count).sum();
    Ok(Json(Health {
        status: "ok".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        time: now_us() as f64 / 1e6,
        started_at: app.started_us as f64 / 1e6,
        splayds_online: figures.splayds.get(&SplaydState::Online).copied().unwrap_or(0),
        jobs_active: active,
    }))
}

async fn metrics(State(app): State<Arc<App>>, _caller: Caller) -> Answer<Response> {
    let figures = figures(&app).await?;
    let mut text = String::new();
    let mut gauge = |name: &str, help: &str, rows: Vec<(String, u64)>| {
        text.push_str(&format!("# HELP splay_{name} {help}\n# TYPE splay_{name} gauge\n"));
        rows.iter().for_each(|(labels, value)| text.push_str(&format!("splay_{name}{labels} {value}\n")));
    };
    let plain = |value: u64| vec![(String::new(), value)];
    use SplaydState::{Lost, Offline, Online, Revoked};
    let states = [(Online, "online"), (Offline, "offline"), (Lost, "lost"), (Revoked, "revoked")];
    let count = |state| figures.splayds.get(&state).copied().unwrap_or(0).into();
    gauge(
        "splayds",
        "Splayds by state.",
        states.map(|(state, name)| (format!("{{state=\"{name}\"}}"), count(state))).to_vec(),
    );
    gauge("seats", "Seats of the splayds that are online.", plain(figures.seats));
    gauge("seats_used", "Seats that jobs hold.", plain(figures.used));
    let mut jobs: Vec<_> = figures.jobs.iter().collect();
    jobs.sort();
    let rows = jobs
        .iter()
        .map(|(state, count)| (format!("{{state=\"{}\"}}", state.name()), u64::from(**count)))
        .collect();
    gauge("jobs", "Jobs by state.", rows);
    gauge("log_lines", "Log lines stored.", plain(figures.log_lines));
    gauge("log_bytes", "Bytes of stored log lines, compressed.", plain(figures.log_bytes));
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response())
}
