//! Logs and results of jobs.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_DISPOSITION, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::response::sse::{Event as Sse, KeepAlive};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use splay_protocol::api::{JobEventKind, LogLine, LogsInfo, ResultFile};
use splay_protocol::log_lines::LineKind;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::{Answer, ApiError, App, Caller};
use crate::hub::{Feed, safe_path};
use crate::log_reader::{Filter, LogReader, OwnedLine, unpack};
use crate::store::Store;

/// Bytes of a log answered at a time.
const CHUNK: usize = 64 << 10;

/// Most lines that `tail` keeps in memory.
const MOST_TAIL: usize = 100_000;

#[derive(Debug, Default)]
struct Wanted {
    filter: Filter,
    json: Option<bool>,
    tail: Option<usize>,
    download: bool,
}

/// Parameters may repeat, so they are read by hand.
fn wanted(query: Option<String>) -> Answer<Wanted> {
    let mut wanted = Wanted::default();
    for (name, value) in pairs(query.as_deref().unwrap_or("")) {
        let wrong = |what: &str| ApiError::bad(format!("query: {name}: `{value}` is not {what}"));
        let time = || {
            let seconds: f64 = value.parse().map_err(|_| wrong("a number of seconds"))?;
            if (0.0..1e11).contains(&seconds) {
                Ok((seconds * 1e6).round() as u64)
            } else {
                Err(wrong("a time"))
            }
        };
        match name.as_str() {
            "position" => wanted.filter.positions.push(value.parse().map_err(|_| wrong("a position"))?),
            "kind" => {
                let known = (0..7).filter_map(kind).any(|kind| kind.name() == value);
                if !known {
                    return Err(wrong("out, err, debug, notice, warning, error or system"));
                }
                wanted.filter.kinds.push(value);
            }
            "from" => wanted.filter.from_us = Some(time()?),
            "to" => wanted.filter.to_us = Some(time()?),
            "text" => wanted.filter.text = Some(value).filter(|text| !text.is_empty()),
            "tail" => {
                let lines: usize = value.parse().map_err(|_| wrong("a number of lines"))?;
                if lines > MOST_TAIL {
                    return Err(wrong("at most 100000 lines"));
                }
                wanted.tail = Some(lines);
            }
            "format" => {
                wanted.json = Some(match value.as_str() {
                    "json" => true,
                    "text" => false,
                    _ => return Err(wrong("json or text")),
                })
            }
            "download" => wanted.download = value == "1" || value == "true",
            _ => return Err(ApiError::bad(format!("query: unknown parameter `{name}`"))),
        }
    }
    Ok(wanted)
}

fn kind(number: u8) -> Option<LineKind> {
    use LineKind::{Debug, Err, Error, Notice, Out, System, Warning};
    [Out, Err, Debug, Notice, Warning, Error, System].get(usize::from(number)).copied()
}

fn pairs(query: &str) -> Vec<(String, String)> {
    let decoded = |text: &str| {
        let mut bytes = Vec::new();
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            match byte {
                b'+' => bytes.push(b' '),
                b'%' => {
                    let digits = [rest.next().unwrap_or(b'0'), rest.next().unwrap_or(b'0')];
                    let value = std::str::from_utf8(&digits)
                        .ok()
                        .and_then(|digits| u8::from_str_radix(digits, 16).ok());
                    bytes.push(value.unwrap_or(b'%'));
                }
                byte => bytes.push(byte),
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(name), decoded(value))
    };
    query.split('&').filter(|part| !part.is_empty()).map(pair).collect()
}

fn told(line: OwnedLine) -> LogLine {
    LogLine {
        at_us: line.at_us,
        position: line.position,
        number: line.number,
        kind: line.kind.name().to_owned(),
        text: String::from_utf8_lossy(&line.text).into_owned(),
    }
}

/// A line for people: time, instance, kind where it is not plain output, text.
fn written(line: &OwnedLine, json: bool, into: &mut Vec<u8>) {
    if json {
        serde_json::to_writer(&mut *into, &told(line.clone())).expect("lines are plain data");
    } else {
        let at = jiff::Timestamp::from_microsecond(line.at_us as i64).unwrap_or_default();
        into.extend_from_slice(format!("{at:.6} [{:>3}] ", line.position).as_bytes());
        if line.kind != LineKind::Out {
            into.extend_from_slice(format!("{}: ", line.kind.name()).as_bytes());
        }
        into.extend_from_slice(&line.text);
    }
    into.push(b'\n');
}

/// What the end of a log says where not all lines were kept.
fn closing(logs: &LogsInfo, removed_us: Option<u64>) -> Option<OwnedLine> {
    let mut parts = Vec::new();
    if let Some(at) = removed_us {
        let at = jiff::Timestamp::from_microsecond(at as i64).unwrap_or_default();
        parts.push(format!("{} lines were kept until {at:.0} and then removed", logs.lines));
    }
    if logs.cut_lines > 0 {
        parts.push(format!("{} lines were not kept: the job's logs had reached their bound", logs.cut_lines));
    }
    if logs.dropped_lines > 0 {
        parts
            .push(format!("{} lines were lost on splayds while the controller was away", logs.dropped_lines));
    }
    let text = parts.join("; ").into_bytes();
    (!text.is_empty()).then_some(OwnedLine { at_us: 0, position: 0, number: 0, kind: LineKind::System, text })
}

struct Writing {
    reader: LogReader,
    closing: Option<OwnedLine>,
    json: bool,
    done: bool,
}

impl Writing {
    async fn chunk(&mut self) -> Option<io::Result<Vec<u8>>> {
        if self.done {
            return None;
        }
        let mut bytes = Vec::with_capacity(CHUNK + 1024);
        while bytes.len() < CHUNK {
            match self.reader.next().await {
                Ok(Some(line)) => {
                    if let Some(closing) = &mut self.closing {
                        closing.at_us = line.at_us;
                    }
                    written(&line, self.json, &mut bytes);
                }
                Ok(None) => {
                    self.done = true;
                    if let Some(line) = self.closing.take() {
                        written(&line, self.json, &mut bytes);
                    }
                    break;
                }
                Err(error) => {
                    self.done = true;
                    return Some(Err(io::Error::other(error.to_string())));
                }
            }
        }
        (!bytes.is_empty()).then_some(Ok(bytes))
    }
}

pub async fn logs(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Answer<Response> {
    super::jobs::spec(&app, &caller, &id).await?;
    let Wanted { filter, json, tail, download } = wanted(query)?;
    let asked = |value: &axum::http::HeaderValue| {
        value.to_str().is_ok_and(|text| text.contains("application/x-ndjson"))
    };
    let json = json.unwrap_or_else(|| headers.get(ACCEPT).is_some_and(asked));
    let about =
        |_: &crate::state::State, job: &crate::state::Job| closing(&job.live.logs, job.live.removed_us);
    let closing = super::jobs::look(&app, &id, about).await?.flatten();
    let mut reader = LogReader::open(app.store.clone(), id.clone(), filter).await?;
    let body = match tail {
        Some(most) => {
            let mut last: VecDeque<OwnedLine> = VecDeque::new();
            while let Some(line) = reader.next().await? {
                if last.len() == most {
                    last.pop_front();
                }
                if most > 0 {
                    last.push_back(line);
                }
            }
            let mut bytes = Vec::new();
            last.iter().chain(&closing).for_each(|line| written(line, json, &mut bytes));
            Body::from(bytes)
        }
        None => {
            let writing = Writing { reader, closing, json, done: false };
            Body::from_stream(stream::unfold(writing, |mut writing| async move {
                Some((writing.chunk().await?, writing))
            }))
        }
    };
    let kind = if json { "application/x-ndjson" } else { "text/plain; charset=utf-8" };
    let mut response = ([(CONTENT_TYPE, kind), (X_CONTENT_TYPE_OPTIONS, "nosniff")], body).into_response();
    if download {
        let name = format!("attachment; filename=\"{id}.{}\"", if json { "jsonl" } else { "log" });
        if let Ok(value) = name.parse() {
            response.headers_mut().insert(CONTENT_DISPOSITION, value);
        }
    }
    Ok(response)
}

/// Lines that are stored, then those that come.
struct Following {
    store: Store,
    job: String,
    filter: Filter,
    reader: Option<LogReader>,
    /// Number of the last report of each splayd whose lines were given.
    seen: BTreeMap<String, u64>,
    feed: broadcast::Receiver<Feed>,
    ready: VecDeque<OwnedLine>,
    over: bool,
}

impl Following {
    async fn next(&mut self) -> Option<OwnedLine> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Some(line);
            }
            if let Some(reader) = &mut self.reader {
                if let Some(line) = reader.next().await.ok()? {
                    return Some(line);
                }
                self.reader = None;
            }
            if self.over {
                return None;
            }
            match self.feed.recv().await {
                Ok(Feed::Logs(job, splayd, sequence, data)) if *job == *self.job => {
                    let seen = self.seen.entry(splayd.to_string()).or_default();
                    if sequence > *seen {
                        *seen = sequence;
                        self.ready.extend(unpack(&data, &self.filter));
                    }
                }
                Ok(Feed::Event(job, event)) if *job == *self.job => {
                    self.over = matches!(&event.what, JobEventKind::State { state, .. } if state.is_final());
                }
                Ok(_) => {}
                // Too slow for what came: the store has it.
                Err(RecvError::Lagged(_)) => self.catch_up().await?,
                Err(RecvError::Closed) => return None,
            }
        }
    }

    async fn catch_up(&mut self) -> Option<()> {
        for block in self.store.log_blocks(&self.job).await.ok()? {
            let seen = self.seen.entry(block.splayd.clone()).or_default();
            if block.sequence > *seen {
                *seen = block.sequence;
                let data = self.store.log_block(&self.job, &block.splayd, block.sequence).await.ok()??;
                self.ready.extend(unpack(&data, &self.filter));
            }
        }
        Some(())
    }
}

pub async fn follow(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Answer<Response> {
    super::jobs::spec(&app, &caller, &id).await?;
    let Wanted { filter, .. } = wanted(query)?;
    let feed = app.hub.listen();
    let over = super::jobs::is_over(&app, &id).await?;
    let reader = LogReader::open(app.store.clone(), id.clone(), filter.clone()).await?;
    let seen = reader.last().clone();
    let store = app.store.clone();
    let following =
        Following { store, job: id, filter, reader: Some(reader), seen, feed, ready: VecDeque::new(), over };
    let stream = stream::unfold(following, |mut following| async move {
        let line = told(following.next().await?);
        let data = serde_json::to_string(&line).expect("lines are plain data");
        Some((Ok::<_, Infallible>(Sse::default().data(data)), following))
    });
    Ok(axum::response::Sse::new(stream).keep_alive(KeepAlive::default()).into_response())
}

pub async fn results(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Answer<Json<Vec<ResultFile>>> {
    super::jobs::spec(&app, &caller, &id).await?;
    Ok(Json(app.store.results(&id).await?))
}

struct Reading {
    app: Arc<App>,
    job: String,
    position: u32,
    path: String,
    offset: u64,
}

pub async fn result(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((id, position, path)): Path<(String, String, String)>,
) -> Answer<Response> {
    super::jobs::spec(&app, &caller, &id).await?;
    let missing = || ApiError::missing("result", &format!("{position}/{path}"));
    let number: u32 = position.parse().map_err(|_| missing())?;
    if !safe_path(&path) {
        return Err(missing());
    }
    let files = app.store.results(&id).await?;
    if !files.iter().any(|file| file.position == number && file.path == path) {
        return Err(missing());
    }
    let reading = Reading { app, job: id, position: number, path, offset: 0 };
    let body = Body::from_stream(stream::unfold(Some(reading), |reading| async move {
        let mut reading = reading?;
        let Reading { app, job, position, path, offset } = &mut reading;
        match app.limits.results.read(&app.store, job, *position, path, *offset).await {
            Ok(bytes) if bytes.is_empty() => None,
            Ok(bytes) => {
                *offset += bytes.len() as u64;
                Some((Ok(bytes), Some(reading)))
            }
            Err(error) => Some((Err(error), None)),
        }
    }));
    Ok(([(CONTENT_TYPE, "application/octet-stream"), (X_CONTENT_TYPE_OPTIONS, "nosniff")], body)
        .into_response())
}
