//! The tree of keys: what reads and writes do to it, and whom they concern. Pure state: the time
//! comes with each call, nothing is read or written elsewhere.

mod event;
mod hub;
mod stats;
mod tree;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use event::{Action, Event, View};
pub use hub::{HISTORY, Notice, WatcherId};
use hub::{Hub, Telling};
pub use stats::Stats;
use tree::{Kind, Node, Tree};

use crate::error::{Code, KeyError};

/// Directories and keys written before the first of a user: etcd's cluster, member and version.
const FIRST_INDEX: u64 = 3;

/// Ends of life before 2000 mean none, in nanoseconds since 1970.
const NEVER_BEFORE: i64 = 946_684_800 * 1_000_000_000;

/// How a key's life ends after a write.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Life {
    /// When, in nanoseconds since 1970; `None`: never.
    pub until: Option<i64>,
    /// The value stays, and watchers are not told.
    pub refresh: bool,
}

/// What must be so for a write to happen. Empty and 0 ask nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// The value before.
    pub value: Bytes,
    /// The index of the last change.
    pub index: u64,
}

impl Condition {
    /// Nothing is asked.
    pub fn is_none(&self) -> bool {
        self.value.is_empty() && self.index == 0
    }
}

/// The state, as it is kept.
#[derive(Debug, Serialize, Deserialize)]
pub struct Saved {
    index: u64,
    /// Directories before what is in them.
    nodes: Vec<Node>,
    history: Vec<Event>,
    stats: Stats,
}

/// A store. See the module.
#[derive(Debug)]
pub struct Store {
    index: u64,
    tree: Tree,
    hub: Hub,
    stats: Stats,
    notices: Vec<Notice>,
}

type Answer = Result<std::sync::Arc<Event>, KeyError>;

/// etcd counts some failures as successes.
fn told_as_success<T>(result: &Result<T, KeyError>, counted: &[Code]) -> bool {
    result.as_ref().err().is_none_or(|error| counted.contains(&error.code))
}

impl Default for Store {
    fn default() -> Store {
        // The first events are of paths that no client can name.
        let first = (1..=FIRST_INDEX).map(|index| {
            let node = View { key: Bytes::new(), modified: index, created: index, ..View::default() };
            Event { action: Action::Set, node, previous: None, refresh: true }
        });
        Store {
            index: FIRST_INDEX,
            tree: Tree::default(),
            hub: Hub::with_history(first),
            stats: Stats::default(),
            notices: Vec::new(),
        }
    }
}

impl Store {
    /// Number of the last change.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Memory of keys, values and the history, about.
    pub fn bytes(&self) -> usize {
        self.tree.bytes() + self.hub.bytes()
    }

    /// Counters.
    pub fn stats(&self) -> Stats {
        Stats { watchers: self.hub.watchers() as u64, ..self.stats }
    }

    /// What watchers are to be told since this was last called.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// All there is to keep.
    pub fn save(&self) -> Saved {
        Saved {
            index: self.index,
            nodes: self.tree.save(),
            history: self.hub.history().cloned().collect(),
            stats: self.stats,
        }
    }

    /// A store as it was. `None`: what was kept is no tree.
    pub fn load(saved: Saved) -> Option<Store> {
        Some(Store {
            index: saved.index,
            tree: Tree::load(saved.nodes)?,
            hub: Hub::with_history(saved.history),
            stats: saved.stats,
            notices: Vec::new(),
        })
    }

    fn fail(&self, code: Code, cause: &[u8]) -> KeyError {
        // The root has no name.
        let cause = if cause == b"/" { Bytes::new() } else { Bytes::copy_from_slice(cause) };
        KeyError { code, cause, index: self.index }
    }

    fn read_only(&self) -> KeyError {
        KeyError { code: Code::RootReadOnly, cause: Bytes::from_static(b"/"), index: self.index }
    }

    /// The node of a path.
    fn find(&self, path: &[u8]) -> Result<usize, KeyError> {
        self.tree.find(path).map_err(|missing| match missing {
            tree::Missing::Key(path) => self.fail(Code::KeyNotFound, path),
            tree::Missing::Directory(path) => self.fail(Code::NotDirectory, path),
        })
    }

    /// The file of a path.
    fn find_file(&self, path: &[u8]) -> Result<(usize, Bytes), KeyError> {
        let id = self.find(path)?;
        match &self.tree.node(id).kind {
            Kind::File(value) => Ok((id, value.clone())),
            Kind::Directory(_) => Err(self.fail(Code::NotFile, path)),
        }
    }

    fn event(&self, action: Action, path: &Bytes, created: u64) -> Event {
        let node = View { key: path.clone(), modified: self.index + 1, created, ..View::default() };
        Event { action, node, previous: None, refresh: false }
    }

    /// The next number is used, watchers are told.
    fn happened(&mut self, mut event: Event, refresh: bool) -> std::sync::Arc<Event> {
        self.index += 1;
        event.refresh = refresh;
        let mut telling = Telling::new(event);
        match refresh {
            true => self.hub.record(telling.event().clone()),
            false => self.hub.tell(&mut telling, &mut self.notices),
        }
        telling.into_event()
    }

    /// A key, or a directory with what is in it; with everything below if `recursive`.
    pub fn get(&mut self, path: &Bytes, recursive: bool, now: i64) -> Result<Event, KeyError> {
        let found = self.find(path);
        self.stats.gets.count(found.is_ok());
        let id = found?;
        let node = self.tree.view(id, Some(recursive), now);
        Ok(Event { action: Action::Get, node, previous: None, refresh: false })
    }

    /// Makes a key or directory that is not there yet; `unique`: under a name of its own in `path`.
    pub fn create(
        &mut self,
        path: &Bytes,
        value: Option<Bytes>,
        unique: bool,
        life: Life,
        now: i64,
    ) -> Answer {
        let mut path = path.clone();
        if unique {
            let name = format!("/{:020}", self.index + 1);
            let directory = path.strip_suffix(b"/").unwrap_or(&path);
            path = [directory, name.as_bytes()].concat().into();
        }
        let created = self.make(Action::Create, &path, value, false, life, now);
        self.stats.creates.count(created.is_ok());
        Ok(self.happened(created?, false))
    }

    /// Makes or replaces a key; makes a directory, also in the place of a key.
    pub fn set(&mut self, path: &Bytes, value: Option<Bytes>, life: Life, now: i64) -> Answer {
        let written = self.replace(path, value, life, now);
        self.stats.sets.count(written.is_ok());
        Ok(self.happened(written?, life.refresh))
    }

    fn replace(
        &mut self,
        path: &Bytes,
        mut value: Option<Bytes>,
        life: Life,
        now: i64,
    ) -> Result<Event, KeyError> {
        let previous = match self.find(path) {
            Ok(id) => {
                if life.refresh && value.is_some() {
                    value = self.tree.node(id).value();
                }
                Some(self.tree.view(id, Some(false), now))
            }
            Err(error) if error.code == Code::KeyNotFound && !life.refresh => None,
            Err(error) => return Err(error),
        };
        let mut event = self.make(Action::Set, path, value, true, life, now)?;
        event.previous = previous;
        Ok(event)
    }

    /// Adds a node, and the directories above it.
    fn make(
        &mut self,
        action: Action,
        path: &Bytes,
        value: Option<Bytes>,
        replace: bool,
        life: Life,
        now: i64,
    ) -> Result<Event, KeyError> {
        if path == "/" {
            return Err(self.read_only());
        }
        let next = self.index + 1;
        let until = life.until.filter(|until| *until >= NEVER_BEFORE);
        let parent = match self.tree.directory_for(path, next) {
            Ok(parent) => parent,
            Err(file) => {
                let error = self.fail(Code::NotDirectory, &file);
                self.stats.sets.count(false);
                return Err(error);
            }
        };
        if let Some(old) = self.tree.child(parent, path) {
            if !replace {
                return Err(self.fail(Code::NodeExists, path));
            }
            if self.tree.node(old).is_directory() {
                return Err(self.fail(Code::NotFile, path));
            }
            self.tree.remove(old);
        }
        let kind = value.map_or_else(|| Kind::Directory(Default::default()), Kind::File);
        let id =
            self.tree.add(parent, Node { path: path.clone(), created: next, modified: next, until, kind });
        let mut event = self.event(action, path, next);
        let node = self.tree.view(id, None, now);
        event.node = View { modified: next, created: next, ..node };
        Ok(event)
    }

    /// Changes a key's value and life, or a directory's life alone.
    pub fn update(&mut self, path: &Bytes, value: Bytes, life: Life, now: i64) -> Answer {
        let updated = self.change(path, value, life, now);
        self.stats.updates.count(told_as_success(&updated, &[Code::RootReadOnly, Code::NotFile]));
        Ok(self.happened(updated?, life.refresh))
    }

    fn change(&mut self, path: &Bytes, value: Bytes, life: Life, now: i64) -> Result<Event, KeyError> {
        if path == "/" {
            return Err(self.read_only());
        }
        let id = self.find(path)?;
        if self.tree.node(id).is_directory() && !value.is_empty() {
            return Err(self.fail(Code::NotFile, path));
        }
        Ok(self.write(Action::Update, id, value, life, now))
    }

    /// Writes a file; a directory's life is all that changes, not even its index.
    fn write(&mut self, action: Action, id: usize, value: Bytes, life: Life, now: i64) -> Event {
        let next = self.index + 1;
        let previous = self.tree.view(id, None, now);
        let created = self.tree.node(id).created;
        self.tree.write(id, (!life.refresh).then_some(value), next);
        self.tree.set_until(id, life.until);
        let node = View { modified: next, created, ..self.tree.view(id, None, now) };
        Event { action, node, previous: Some(previous), refresh: false }
    }

    fn check(&self, id: usize, value: &Bytes, condition: &Condition) -> Result<(), KeyError> {
        let modified = self.tree.node(id).modified;
        let by_value = || [b"[", &condition.value[..], b" != ", value, b"]"].concat();
        let by_index = || format!("[{} != {modified}]", condition.index).into_bytes();
        let value_ok = condition.value.is_empty() || condition.value == value;
        let index_ok = condition.index == 0 || condition.index == modified;
        let cause = match (value_ok, index_ok) {
            (true, true) => return Ok(()),
            (false, true) => by_value(),
            (true, false) => by_index(),
            (false, false) => [&by_value()[..], b" ", &by_index()].concat(),
        };
        Err(KeyError { code: Code::TestFailed, cause: cause.into(), index: self.index })
    }

    /// Writes a key if it is as the condition says.
    pub fn compare_and_swap(
        &mut self,
        path: &Bytes,
        condition: &Condition,
        value: Bytes,
        life: Life,
        now: i64,
    ) -> Answer {
        let target = if path == "/" { Err(self.read_only()) } else { self.find_file(path) };
        let checked = target.and_then(|(id, old)| self.check(id, &old, condition).map(|()| id));
        self.stats.swaps.count(told_as_success(&checked, &[Code::RootReadOnly]));
        let event = self.write(Action::CompareAndSwap, checked?, value, life, now);
        Ok(self.happened(event, life.refresh))
    }

    /// Removes a key if it is as the condition says.
    pub fn compare_and_delete(&mut self, path: &Bytes, condition: &Condition, now: i64) -> Answer {
        let target = self.find_file(path);
        let checked = target.and_then(|(id, old)| self.check(id, &old, condition).map(|()| id));
        self.stats.compared_deletes.count(told_as_success(&checked, &[Code::NotFile, Code::TestFailed]));
        Ok(self.remove(Action::CompareAndDelete, checked?, now))
    }

    /// Removes a key; a directory if `dir`, with what is in it if `recursive`.
    pub fn delete(&mut self, path: &Bytes, dir: bool, recursive: bool, now: i64) -> Answer {
        let target = if path == "/" { Err(self.read_only()) } else { self.find(path) };
        let checked = target.and_then(|id| match &self.tree.node(id).kind {
            Kind::Directory(_) if !(dir || recursive) => Err(self.fail(Code::NotFile, path)),
            Kind::Directory(children) if !(recursive || children.is_empty()) => {
                Err(self.fail(Code::DirectoryNotEmpty, path))
            }
            _ => Ok(id),
        });
        self.stats.deletes.count(told_as_success(&checked, &[Code::RootReadOnly]));
        Ok(self.remove(Action::Delete, checked?, now))
    }

    /// Removes a node with all below it; watchers of each are told of the one event.
    fn remove(&mut self, action: Action, id: usize, now: i64) -> std::sync::Arc<Event> {
        let node = self.tree.node(id);
        let mut event = self.event(action, &node.path.clone(), node.created);
        event.node.dir = node.is_directory();
        event.previous = Some(self.tree.view(id, None, now));
        let mut telling = Telling::new(event);
        for path in self.tree.remove(id) {
            self.hub.tell_at(&mut telling, &path, true, &mut self.notices);
        }
        self.index += 1;
        self.hub.tell(&mut telling, &mut self.notices);
        telling.into_event()
    }

    /// When the next key's life ends, in nanoseconds since 1970.
    pub fn next_end(&self) -> Option<i64> {
        self.tree.next_end()
    }

    /// Removes what has come to its end.
    pub fn expire(&mut self, now: i64) {
        while let Some(id) = self.tree.ended(now) {
            self.stats.expired += 1;
            self.remove(Action::Expire, id, now);
        }
    }

    /// Waits for an event of a key (and below it if `recursive`), at index `since` or later; 0: the
    /// next one. One that is in the history is given at once, and then nothing is registered.
    pub fn watch(
        &mut self,
        path: &Bytes,
        recursive: bool,
        stream: bool,
        since: u64,
    ) -> Result<(WatcherId, Option<Bytes>), KeyError> {
        let since = if since == 0 { self.index + 1 } else { since };
        let (id, past) = self.hub.watch(path.clone(), recursive, stream, since, self.index)?;
        Ok((id, past.map(|event| event.json(true))))
    }

    /// Nobody listens to a watcher any more.
    pub fn unwatch(&mut self, id: WatcherId) {
        self.hub.unwatch(id);
    }
}
