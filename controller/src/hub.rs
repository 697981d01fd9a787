//! The one task that owns the state: takes events from sessions and users, stores what has changed
//! in one transaction, and only then carries out what is to be done. Never waits for a session: one
//! whose queue is full is cut.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use splay_protocol::api::JobEvent;
use splay_protocol::session::{LogBatch, Refused, RefusedCode, Settings, ToSplayd, Welcome};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::keeping::{ResultRules, keep_result};
use crate::state::{Action, Event, Micros, NodesHead, Rejected, State};
use crate::store::{Commit, Store, StoreError};

/// The controller's clock.
pub fn now_us() -> Micros {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_micros() as Micros)
}

/// What a session is given to send.
#[derive(Debug)]
pub enum Outgoing {
    /// A message.
    Message(Box<ToSplayd>),
    /// Who is in a job: encoded when its turn comes, so that long lists wait only once.
    Nodes(Arc<NodesHead>, Vec<(u32, u32)>),
    /// A message that is encoded already.
    Encoded(Arc<[u8]>),
    /// Files by their digests.
    Files(Vec<String>),
    /// The last word.
    Close(RefusedCode, String),
}

/// Messages that wait for one splayd. One that does not read for so long is cut.
pub const SESSION_QUEUE: usize = 4096;

/// Events that are stored in one transaction at most.
const BATCH: usize = 2000;

/// What listeners hear.
#[derive(Debug, Clone)]
pub enum Feed {
    /// Something happened to a job.
    Event(Arc<str>, JobEvent),
    /// Log lines came: job, splayd, number of the report, compressed block.
    Logs(Arc<str>, Arc<str>, u64, Arc<[u8]>),
}

type Question = Box<dyn FnOnce(&State) + Send>;
type Answer = oneshot::Sender<Result<(), Rejected>>;

enum Input {
    Event(Event, Option<Answer>),
    Ask(Question),
    Open {
        event: Box<Event>,
        splayd: String,
        queue: mpsc::Sender<Outgoing>,
        answer: oneshot::Sender<Result<u64, Rejected>>,
    },
    Closed(String, u64),
    Settings(Settings),
}

/// The way to the task. Cheap to clone.
#[derive(Clone)]
pub struct Hub {
    inputs: mpsc::Sender<Input>,
    feed: broadcast::Sender<Feed>,
}

/// The task has ended: the controller is about to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the controller is about to end")]
pub struct Ended;

/// A session the task knows.
struct Session {
    number: u64,
    queue: mpsc::Sender<Outgoing>,
}

/// Everything the task owns.
struct Owner {
    state: State,
    store: Store,
    sessions: HashMap<String, Session>,
    next_session: u64,
    settings: Settings,
    results: ResultRules,
    feed: broadcast::Sender<Feed>,
    /// Jobs that splayds speak of and that never were.
    unknown: HashSet<String>,
}

/// So many of them are remembered.
const UNKNOWN: usize = 1000;

impl Hub {
    /// Starts the task. It ends when `stop` says so, or with the error that keeps it from storing.
    pub fn start(
        state: State,
        store: Store,
        settings: Settings,
        results: ResultRules,
        stop: watch::Receiver<bool>,
    ) -> (Hub, tokio::task::JoinHandle<Result<(), StoreError>>) {
        let (inputs, received) = mpsc::channel(1024);
        let (feed, _) = broadcast::channel(4096);
        let sessions = HashMap::new();
        let owner = Owner {
            state,
            store,
            sessions,
            next_session: 0,
            settings,
            results,
            feed: feed.clone(),
            unknown: HashSet::new(),
        };
        let task = tokio::spawn(owner.run(received, stop));
        (Hub { inputs, feed }, task)
    }

    /// Has an event applied; comes back when it is stored.
    pub async fn apply(&self, event: Event) -> Result<Result<(), Rejected>, Ended> {
        let (answer, answered) = oneshot::channel();
        self.inputs.send(Input::Event(event, Some(answer))).await.map_err(|_| Ended)?;
        answered.await.map_err(|_| Ended)
    }

    /// Hands an event over; what is wrong with it is told by the answer.
    pub async fn post(&self, event: Event, answer: Option<Answer>) -> Result<(), Ended> {
        self.inputs.send(Input::Event(event, answer)).await.map_err(|_| Ended)
    }

    /// Looks at the state.
    pub async fn ask<T: Send + 'static>(
        &self,
        look: impl FnOnce(&State) -> T + Send + 'static,
    ) -> Result<T, Ended> {
        let (answer, answered) = oneshot::channel();
        let question: Question = Box::new(move |state| {
            let _ = answer.send(look(state));
        });
        self.inputs.send(Input::Ask(question)).await.map_err(|_| Ended)?;
        answered.await.map_err(|_| Ended)
    }

    /// A splayd has proved who it is. Gives the session's number; the queue begins with `Welcome`.
    pub async fn open(
        &self,
        splayd: String,
        event: Event,
        queue: mpsc::Sender<Outgoing>,
    ) -> Result<Result<u64, Rejected>, Ended> {
        let (answer, answered) = oneshot::channel();
        let open = Input::Open { event: Box::new(event), splayd, queue, answer };
        self.inputs.send(open).await.map_err(|_| Ended)?;
        answered.await.map_err(|_| Ended)
    }

    /// A session is over.
    pub async fn closed(&self, splayd: String, number: u64) {
        let _ = self.inputs.send(Input::Closed(splayd, number)).await;
    }

    /// Tells all splayds new settings.
    pub async fn set_settings(&self, settings: Settings) -> Result<(), Ended> {
        self.inputs.send(Input::Settings(settings)).await.map_err(|_| Ended)
    }

    /// What happens from now on.
    pub fn listen(&self) -> broadcast::Receiver<Feed> {
        self.feed.subscribe()
    }
}

impl Owner {
    async fn run(
        mut self,
        mut inputs: mpsc::Receiver<Input>,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), StoreError> {
        loop {
            let wait =
                self.state.next_deadline().map(|at| Duration::from_micros(at.saturating_sub(now_us())));
            let tick = async {
                match wait {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            let mut answers = Vec::new();
            let first = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                input = inputs.recv() => match input {
                    Some(input) => Some(input),
                    None => break,
                },
                () = tick => None,
            };
            if let Some(input) = first {
                self.take(input, &mut answers).await?;
            }
            for _ in 1..BATCH {
                match inputs.try_recv() {
                    Ok(input) => self.take(input, &mut answers).await?,
                    Err(_) => break,
                }
            }
            let _ = self.state.apply(now_us(), Event::Tick);
            self.carry_out().await?;
            for (answer, result) in answers {
                let _ = answer.send(result);
            }
        }
        for session in self.sessions.values() {
            let _ = session
                .queue
                .try_send(Outgoing::Close(RefusedCode::Busy, "the controller is about to end".into()));
        }
        Ok(())
    }

    async fn take(
        &mut self,
        input: Input,
        answers: &mut Vec<(Answer, Result<(), Rejected>)>,
    ) -> Result<(), StoreError> {
        let now = now_us();
        match input {
            Input::Event(event, answer) => {
                self.recall(now, &event).await?;
                let result = self.state.apply(now, event);
                if let Some(answer) = answer {
                    answers.push((answer, result));
                }
            }
            Input::Ask(question) => question(&self.state),
            Input::Open { event, splayd, queue, answer } => {
                self.next_session += 1;
                let number = self.next_session;
                let old = self.sessions.insert(splayd.clone(), Session { number, queue });
                if let Some(old) = old {
                    let reason = "another session of this splayd was opened".to_owned();
                    let _ = old.queue.try_send(Outgoing::Close(RefusedCode::Replaced, reason));
                }
                // The welcome goes first: what the event gives rise to is queued after it.
                let before = self.state.splayds().get(&splayd).map_or(0, |splayd| splayd.sequence);
                let welcome = Welcome {
                    splayd: splayd.clone(),
                    acknowledged: before,
                    time_us: now,
                    settings: self.settings.clone(),
                };
                self.say(&splayd, Outgoing::Message(Box::new(ToSplayd::Welcome(welcome))));
                let result = self.state.apply(now, *event);
                if result.is_err() {
                    self.sessions.remove(&splayd);
                }
                let _ = answer.send(result.map(|()| number));
            }
            Input::Closed(splayd, number) => {
                if self.sessions.get(&splayd).is_some_and(|session| session.number == number) {
                    self.sessions.remove(&splayd);
                    let _ = self.state.apply(now, Event::Disconnected(splayd));
                }
            }
            Input::Settings(settings) => {
                self.settings = settings;
                let all: Vec<String> = self.sessions.keys().cloned().collect();
                for splayd in all {
                    self.say(&splayd, Outgoing::Message(Box::new(ToSplayd::Settings(self.settings.clone()))));
                }
            }
        }
        Ok(())
    }

    /// Fetches a job that is over and not in memory, where an event is about one.
    async fn recall(&mut self, now: Micros, event: &Event) -> Result<(), StoreError> {
        let id = match event {
            Event::Report(_, report) => report.event.job(),
            Event::Remove { job, .. } => job,
            _ => return Ok(()),
        };
        if self.state.jobs().contains_key(id) || self.unknown.contains(id) {
            return Ok(());
        }
        match self.store.job(id).await? {
            Some(job) => self.state.recall(now, job),
            None => {
                if self.unknown.len() >= UNKNOWN {
                    self.unknown.clear();
                }
                self.unknown.insert(id.to_owned());
            }
        }
        Ok(())
    }

    /// Stores what has changed, then does what is to be done.
    async fn carry_out(&mut self) -> Result<(), StoreError> {
        let actions = self.state.take_actions();
        let mut commit = Commit { changes: self.state.take_changes(), ..Commit::default() };
        for action in &actions {
            match action {
                Action::Event(job, event) => commit.events.push((job.clone(), event.clone())),
                Action::Logs(splayd, sequence, batch) => {
                    commit.logs.push((splayd.clone(), *sequence, batch.clone()))
                }
                Action::Result(part) => {
                    keep_result(&self.results, &self.store, part, &mut commit).await?;
                }
                Action::Finished(job) => {
                    commit.finished.retain(|known| known.summary.id != job.summary.id);
                    commit.finished.push((**job).clone());
                }
                Action::RemoveKept(job) => commit.removed.push(job.clone()),
                Action::Availability(splayd, at, state) => {
                    commit.availability.retain(|known| (&known.0, known.1) != (splayd, *at));
                    commit.availability.push((splayd.clone(), *at, *state));
                }
                _ => {}
            }
        }
        if !commit.is_empty() {
            self.store.commit(&commit).await?;
        }
        let mut acknowledged: HashMap<String, u64> = HashMap::new();
        for action in actions {
            match action {
                Action::Send(splayd, message) => self.say(&splayd, Outgoing::Message(message)),
                Action::SendNodes(splayd, head, positions) => {
                    self.say(&splayd, Outgoing::Nodes(head, positions))
                }
                Action::SendEncoded(splayd, bytes) => self.say(&splayd, Outgoing::Encoded(bytes)),
                Action::SendFiles(splayd, digests) => self.say(&splayd, Outgoing::Files(digests)),
                Action::Close(splayd, code, reason) => self.say(&splayd, Outgoing::Close(code, reason)),
                Action::Ack(splayd, sequence) => drop(acknowledged.insert(splayd, sequence)),
                Action::Event(job, event) => drop(self.feed.send(Feed::Event(job.into(), event))),
                Action::Logs(splayd, sequence, LogBatch { job, data, .. }) => {
                    if self.feed.receiver_count() > 0 {
                        let data = data.into_vec().into();
                        let _ = self.feed.send(Feed::Logs(job.into(), splayd.into(), sequence, data));
                    }
                }
                Action::Result(_) | Action::Finished(_) | Action::Availability(..) => {}
                Action::RemoveKept(job) => self.results.remove(&job).await,
            }
        }
        for (splayd, sequence) in acknowledged {
            let ack = ToSplayd::Ack(splay_protocol::session::Ack { sequence });
            self.say(&splayd, Outgoing::Message(Box::new(ack)));
        }
        Ok(())
    }

    fn say(&mut self, splayd: &str, what: Outgoing) {
        let Some(session) = self.sessions.get(splayd) else { return };
        if session.queue.try_send(what).is_err() {
            // It does not read, or is gone: without its queue the session's task ends.
            tracing::warn!(splayd, "session cut: {SESSION_QUEUE} messages wait for it");
            self.sessions.remove(splayd);
            let _ = self.state.apply(now_us(), Event::Disconnected(splayd.to_owned()));
        }
    }
}

/// Whether a path stays in its folder: relative, of plain names.
pub fn safe_path(path: &str) -> bool {
    let name = |part: &str| !part.is_empty() && part != "." && part != ".." && part.len() <= 255;
    path.len() <= 1024 && !path.contains(['\0', '\\']) && path.split('/').all(name)
}

/// The last word of a session.
pub fn refusal(code: RefusedCode, reason: impl Into<String>) -> ToSplayd {
    ToSplayd::Refused(Refused { code, reason: reason.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        for path in ["a", "a/b.txt", "ä b/..c"] {
            assert!(safe_path(path), "{path}");
        }
        for path in ["", "/a", "a//b", "../a", "a/..", "a/./b", "a\0", "a\\b", "a/"] {
            assert!(!safe_path(path), "{path}");
        }
    }
}
