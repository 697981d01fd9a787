//! Jobs: lists, one, its files, its events as they happen.

use std::collections::{HashSet, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::response::sse::{Event as Sse, KeepAlive};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Deserialize;
use splay_protocol::api::{ErrorCode, Job, JobEvent, JobEventKind, JobSummary, Kill, Role};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::error::parsed;
use super::{Answer, ApiError, App, Caller, Params};
use crate::hub::Feed;
use crate::state::{Event, JobSpec, Rejected, micros};
use crate::store::Store;

/// Events of a job that its view shows: more are in `/events`.
const HISTORY: u32 = 1000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListParams {
    #[serde(default = "all")]
    limit: u32,
}

fn all() -> u32 {
    100_000
}

pub async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Params(params): Params<ListParams>,
) -> Answer<Json<Vec<JobSummary>>> {
    if !(1..=all()).contains(&params.limit) {
        return Err(ApiError::bad("query: limit: 1 to 100000 jobs are given"));
    }
    let own = (caller.user.role == Role::User).then_some(caller.user.name);
    // In this order: a job that is over meanwhile comes twice rather than not at all.
    let owner = own.clone();
    let look = move |state: &crate::state::State| {
        let mine = |job: &&crate::state::Job| owner.as_ref().is_none_or(|own| *own == job.spec.owner);
        state.jobs().values().filter(mine).map(|job| state.job_summary(job)).collect::<Vec<JobSummary>>()
    };
    let mut jobs = app.hub.ask(look).await?;
    let known: HashSet<String> = jobs.iter().map(|job| job.id.clone()).collect();
    let over = app.store.finished(own.as_deref(), params.limit).await?;
    jobs.extend(over.into_iter().filter(|job| !known.contains(&job.id)));
    jobs.sort_by(|a, b| a.submitted_at.total_cmp(&b.submitted_at).then_with(|| a.id.cmp(&b.id)));
    jobs.drain(..jobs.len().saturating_sub(params.limit as usize));
    Ok(Json(jobs))
}

/// Looks at a job, which is in memory or, if it has been over for a while, in the store.
pub async fn look<T: Send + 'static>(
    app: &App,
    id: &str,
    view: impl FnOnce(&crate::state::State, &crate::state::Job) -> T + Send + 'static,
) -> Answer<Option<T>> {
    let wanted = id.to_owned();
    let here = move |state: &crate::state::State| match state.jobs().get(&wanted) {
        Some(job) => Ok(view(state, job)),
        None => Err(view),
    };
    let view = match app.hub.ask(here).await? {
        Ok(seen) => return Ok(Some(seen)),
        Err(view) => view,
    };
    let Some(job) = app.store.job(id).await? else { return Ok(None) };
    Ok(Some(app.hub.ask(move |state| view(state, &job)).await?))
}

/// Whether a job is over, or there is none.
pub async fn is_over(app: &App, id: &str) -> Answer<bool> {
    Ok(look(app, id, |_, job| job.live.state.is_final()).await?.unwrap_or(true))
}

/// What a job is, if the caller may see it.
pub async fn spec(app: &App, caller: &Caller, id: &str) -> Answer<JobSpec> {
    let found = look(app, id, |_, job| job.spec.clone()).await?;
    let spec = found.ok_or_else(|| ApiError::missing("job", id))?;
    match caller.user.role == Role::User && spec.owner != caller.user.name {
        true => Err(ApiError::new(ErrorCode::Forbidden, format!("job `{id}` belongs to another user"))),
        false => Ok(spec),
    }
}

pub async fn one(State(app): State<Arc<App>>, caller: Caller, Path(id): Path<String>) -> Answer<Json<Job>> {
    spec(&app, &caller, &id).await?;
    let view = look(&app, &id, |state, job| state.job_view(job)).await?;
    let mut job = view.ok_or_else(|| ApiError::missing("job", &id))?;
    job.history = app.store.events(&id, 0, HISTORY).await?;
    Ok(Json(job))
}

pub async fn kill(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    body: Bytes,
) -> Answer<Json<Job>> {
    caller.writer()?;
    spec(&app, &caller, &id).await?;
    let kill: Kill = match body.is_empty() {
        true => Kill::default(),
        false => parsed(&body).map_err(|error| ApiError::bad(format!("body: {error}")))?,
    };
    if kill.grace_time.is_some_and(|grace| !(0.0..=3600.0).contains(&grace)) {
        return Err(ApiError::bad("grace_time: 0 to 3600 seconds are allowed"));
    }
    let grace_us = kill.grace_time.map(micros);
    let why: String = kill.reason.chars().take(500).collect();
    let name = &caller.user.name;
    let reason =
        if why.is_empty() { format!("killed by {name}") } else { format!("killed by {name}: {why}") };
    match app.hub.apply(Event::Kill { job: id.clone(), reason, grace_us }).await? {
        Err(Rejected::NoJob(_)) => {
            // It is there, as was seen above, and so it is over.
            let state = look(&app, &id, |_, job| job.live.state.name()).await?;
            return Err(Rejected::Over(id, state.unwrap_or("over")).into());
        }
        result => result?,
    }
    app.audit(&caller, "job.kill", &id, &why).await?;
    one(State(app), caller, Path(id)).await
}

async fn send_file(app: &App, spec: &JobSpec, path: &str) -> Answer<Response> {
    let file =
        spec.files.iter().find(|file| file.path == path).ok_or_else(|| ApiError::missing("file", path))?;
    let data = app.store.file(&file.sha256).await?.ok_or_else(|| ApiError::missing("file", path))?;
    // Never shown as a page: it is a user's.
    let kind = if path.ends_with(".lua") { "text/plain; charset=utf-8" } else { "application/octet-stream" };
    Ok(([(CONTENT_TYPE, kind), (axum::http::header::X_CONTENT_TYPE_OPTIONS, "nosniff")], data)
        .into_response())
}

pub async fn code(State(app): State<Arc<App>>, caller: Caller, Path(id): Path<String>) -> Answer<Response> {
    let spec = spec(&app, &caller, &id).await?;
    send_file(&app, &spec, &spec.app).await
}

pub async fn file(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((id, path)): Path<(String, String)>,
) -> Answer<Response> {
    let spec = spec(&app, &caller, &id).await?;
    send_file(&app, &spec, &path).await
}

/// A job's events: those stored, then those that happen.
struct Events {
    store: Store,
    job: String,
    /// Number of the last one given.
    after: u64,
    feed: broadcast::Receiver<Feed>,
    ready: VecDeque<JobEvent>,
    /// The store may have some that are not given yet.
    behind: bool,
    /// The job is over: what the store has is all.
    over: bool,
}

fn is_last(event: &JobEvent) -> bool {
    matches!(&event.what, JobEventKind::State { state, .. } if state.is_final())
}

impl Events {
    async fn next(&mut self) -> Option<JobEvent> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.after = event.number;
                self.over |= is_last(&event);
                return Some(event);
            }
            if self.behind {
                let events = self.store.events(&self.job, self.after, 500).await.ok()?;
                self.behind = !events.is_empty();
                self.ready.extend(events);
                continue;
            }
            if self.over {
                return None;
            }
            match self.feed.recv().await {
                Ok(Feed::Event(job, event)) if *job == *self.job && event.number > self.after => {
                    match event.number == self.after + 1 {
                        true => self.ready.push_back(event),
                        false => self.behind = true,
                    }
                }
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => self.behind = true,
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

pub async fn events(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answer<Response> {
    spec(&app, &caller, &id).await?;
    let feed = app.hub.listen();
    let over = is_over(&app, &id).await?;
    let after = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.parse().ok()).unwrap_or(0);
    let events =
        Events { store: app.store.clone(), job: id, after, feed, ready: VecDeque::new(), behind: true, over };
    let stream = stream::unfold(events, |mut events| async move {
        let event = events.next().await?;
        let data = serde_json::to_string(&event).expect("events are plain data");
        Some((Ok::<_, Infallible>(Sse::default().id(event.number.to_string()).data(data)), events))
    });
    Ok(axum::response::Sse::new(stream).keep_alive(KeepAlive::default()).into_response())
}
