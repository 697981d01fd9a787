//! A store and what is around it, answering calls. Pure: a call and the time come in, the answer
//! and what watchers are to be told go out.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::json;
use crate::member::{AdminConfig, Member};
use crate::reply::{Content, Reply};
use crate::request::{Call, Request, Write};
use crate::store::{Notice, Saved, Store, WatcherId};

/// What etcd's log has in it before the first request.
const FIRST_RAFT_INDEX: u64 = 4;

/// A change and when it was asked for, in nanoseconds since 1970: applied in the same order, it
/// gives the same state anywhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    pub now: i64,
    /// What.
    pub write: Write,
}

/// What comes of a call.
#[derive(Debug)]
pub enum Outcome {
    /// An answer.
    Reply(Reply),
    /// An answer that is to be kept: the change is to be logged, then [`Service::apply`] is to be
    /// called with it.
    Write {
        /// The change.
        entry: Entry,
        /// For [`Service::apply`].
        brief: bool,
    },
    /// The head of an answer whose body comes with the watcher's notices.
    Watch {
        /// Without a body.
        head: Reply,
        /// Whom notices name.
        watcher: WatcherId,
        /// There will be any number of notices.
        stream: bool,
        /// The first notice, if it is there already; then the watcher is not registered.
        first: Option<Bytes>,
    },
}

/// Everything that is kept of a service.
#[derive(Debug, Serialize, Deserialize)]
pub struct State {
    raft: u64,
    config: AdminConfig,
    store: Saved,
}

/// A cluster of one member.
#[derive(Debug)]
pub struct Service {
    member: Member,
    started: i64,
    raft: u64,
    config: AdminConfig,
    store: Store,
}

impl Service {
    /// An empty store, started at `now`.
    pub fn new(member: Member, now: i64) -> Service {
        let (config, store) = (AdminConfig::default(), Store::default());
        Service { member, started: now, raft: FIRST_RAFT_INDEX, config, store }
    }

    /// One as it was. `None`: what was kept is no state.
    pub fn load(member: Member, state: State, now: i64) -> Option<Service> {
        let store = Store::load(state.store)?;
        Some(Service { member, started: now, raft: state.raft, config: state.config, store })
    }

    /// Everything there is to keep.
    pub fn save(&self) -> State {
        State { raft: self.raft, config: self.config, store: self.store.save() }
    }

    /// Who it says it is.
    pub fn member(&self) -> &Member {
        &self.member
    }

    /// Number of changes applied, failed ones included.
    pub fn applied(&self) -> u64 {
        self.raft - FIRST_RAFT_INDEX
    }

    /// When [`Write::Expire`] has something to do, in nanoseconds since 1970.
    pub fn next_end(&self) -> Option<i64> {
        self.store.next_end()
    }

    /// Memory of what is in the store, about.
    pub fn bytes(&self) -> usize {
        self.store.bytes()
    }

    /// What watchers are to be told since this was last called.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        self.store.take_notices()
    }

    /// Nobody listens to a watcher any more.
    pub fn unwatch(&mut self, id: WatcherId) {
        self.store.unwatch(id);
    }

    /// Reads a request and does what it asks, changes included: for a state that is not kept.
    pub fn handle(&mut self, request: &Request<'_>, now: i64) -> Outcome {
        match self.call(Call::read(request, now), now) {
            Outcome::Write { entry, brief } => Outcome::Reply(self.apply(entry, brief)),
            outcome => outcome,
        }
    }

    /// Does what is asked, except for changes.
    pub fn call(&mut self, call: Call, now: i64) -> Outcome {
        let reply = match call {
            Call::Answer(reply) => reply,
            Call::Get { path, recursive } => match self.store.get(&path, recursive, now) {
                Ok(event) => self.answer(200, event.json(true)),
                Err(error) => error.into(),
            },
            Call::Watch { path, recursive, stream, since } => {
                return match self.store.watch(&path, recursive, stream, since) {
                    Ok((watcher, first)) => {
                        Outcome::Watch { head: self.answer(200, Bytes::new()), watcher, stream, first }
                    }
                    Err(error) => Outcome::Reply(error.into()),
                };
            }
            Call::Write { write, brief } => return Outcome::Write { entry: Entry { now, write }, brief },
            Call::StoreStats => Reply::json(self.store.stats().json()),
            Call::SelfStats => Reply::json(self.self_stats(now)),
            Call::LeaderStats => {
                Reply::json(format!("{{\"leader\":\"{:x}\",\"followers\":{{}}}}", self.member.id))
            }
            Call::Members => {
                Reply::json(format!("{{\"members\":[{}]}}\n", self.member.json())).with_cluster()
            }
            Call::LeadingMember => Reply::json(format!("{}\n", self.member.json())).with_cluster(),
            Call::ChangeMember(id) => self.change_member(id),
            Call::Machines => Reply::new(200, Content::Text, self.member.client_urls.join(", ")),
            Call::Leader => Reply::new(200, Content::Text, self.member.peer_urls.join(", ")),
            Call::AdminMachines => Reply::json(format!("[{}]", self.member.machine())),
            Call::AdminMachine(name) if name == self.member.name => Reply::json(self.member.machine()),
            Call::AdminMachine(_) => Reply::json("null"),
            Call::RemoveMachine(name) if name == self.member.name => {
                Reply::message(403, "the only member cannot be removed")
            }
            Call::RemoveMachine(_) => Reply::new(200, Content::None, ""),
            Call::AdminConfig => Reply::json(self.config.json()),
            Call::Configure(changes) => match self.config.with(&changes) {
                Ok(config) => {
                    let write = Write::Configure(config);
                    return Outcome::Write { entry: Entry { now, write }, brief: false };
                }
                Err(reason) => Reply::message(400, &reason),
            },
        };
        Outcome::Reply(reply)
    }

    /// Makes a change. `brief`: an answer that says no more than that it was done.
    pub fn apply(&mut self, entry: Entry, brief: bool) -> Reply {
        let Entry { now, write } = entry;
        self.raft += 1;
        let store = &mut self.store;
        let done = match write {
            Write::Set { path, value, life } => store.set(&path, value, life, now),
            Write::Create { path, value, unique, life } => store.create(&path, value, unique, life, now),
            Write::Update { path, value, life } => store.update(&path, value, life, now),
            Write::CompareAndSwap { path, condition, value, life } => {
                store.compare_and_swap(&path, &condition, value, life, now)
            }
            Write::Delete { path, dir, recursive } => store.delete(&path, dir, recursive, now),
            Write::CompareAndDelete { path, condition } => store.compare_and_delete(&path, &condition, now),
            Write::Expire => {
                store.expire(now);
                return Reply::new(200, Content::None, "");
            }
            Write::Configure(config) => {
                self.config = config;
                return Reply::json(config.json());
            }
        };
        match done {
            Ok(event) => {
                use crate::store::Action::{CompareAndSwap, Create, Set, Update};
                let brief = brief && matches!(event.action, Set | CompareAndSwap | Create | Update);
                self.answer(if event.is_created() { 201 } else { 200 }, event.json(!brief))
            }
            Err(error) => error.into(),
        }
    }

    fn answer(&self, status: u16, body: Bytes) -> Reply {
        let reply = Reply::new(status, Content::Json, body).with_cluster();
        Reply { index: Some(self.store.index()), raft: Some(self.raft), ..reply }
    }

    fn change_member(&self, id: Option<String>) -> Reply {
        let own = |id: &str| u64::from_str_radix(id, 16).is_ok_and(|id| id == self.member.id);
        match id {
            Some(id) if !own(&id) => Reply::message(404, &format!("No such member: {id}")),
            _ => Reply::message(501, "this store is a cluster of one member"),
        }
        .with_cluster()
    }

    fn self_stats(&self, now: i64) -> String {
        let mut name = Vec::new();
        json::string(&mut name, self.member.name.as_bytes());
        let started = json::timestamp(self.started);
        format!(
            "{{\"name\":{},\"id\":\"{id:x}\",\"state\":\"StateLeader\",\"startTime\":\"{started}\",\
             \"leaderInfo\":{{\"leader\":\"{id:x}\",\"uptime\":\"{}\",\"startTime\":\"{started}\"}},\
             \"recvAppendRequestCnt\":0,\"sendAppendRequestCnt\":0}}",
            String::from_utf8_lossy(&name),
            go_duration(now.saturating_sub(self.started).max(0)),
            id = self.member.id,
        )
    }
}

/// Nanoseconds as Go writes durations of a second and more; shorter ones as part of a second.
fn go_duration(nanoseconds: i64) -> String {
    let (seconds, rest) = (nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let fraction = match rest {
        0 => String::new(),
        rest => format!(".{}", format!("{rest:09}").trim_end_matches('0')),
    };
    match (hours, minutes) {
        (0, 0) => format!("{seconds}{fraction}s"),
        (0, _) => format!("{minutes}m{seconds}{fraction}s"),
        _ => format!("{hours}h{minutes}m{seconds}{fraction}s"),
    }
}
