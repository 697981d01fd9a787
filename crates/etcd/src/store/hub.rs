//! Who waits for which event, and the events of late. Whoever is to be told is returned.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use super::event::{Action, Event};
use crate::error::{Code, KeyError};

/// So many events can be waited for after they happened, as in etcd.
pub const HISTORY: usize = 1000;

/// Tells one watcher from others; never used again.
pub type WatcherId = u64;

/// What a watcher is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Whom.
    pub watcher: WatcherId,
    /// A line of JSON.
    pub body: Bytes,
    /// The watcher is gone after it.
    pub last: bool,
}

#[derive(Debug)]
struct Watcher {
    recursive: bool,
    stream: bool,
    since: u64,
}

/// An event on its way to watchers: its JSON is made once, and only if somebody is told.
pub struct Telling {
    event: Arc<Event>,
    body: Option<Bytes>,
}

impl Telling {
    pub fn new(event: Event) -> Telling {
        Telling { event: Arc::new(event), body: None }
    }

    pub fn event(&self) -> &Arc<Event> {
        &self.event
    }

    pub fn into_event(self) -> Arc<Event> {
        self.event
    }

    fn body(&mut self) -> Bytes {
        self.body.get_or_insert_with(|| self.event.json(true)).clone()
    }
}

/// The waiting and the past.
#[derive(Debug, Default)]
pub struct Hub {
    history: VecDeque<Arc<Event>>,
    history_bytes: usize,
    watchers: HashMap<Bytes, BTreeMap<WatcherId, Watcher>>,
    paths: HashMap<WatcherId, Bytes>,
    last_id: WatcherId,
}

impl Hub {
    pub fn with_history(history: impl IntoIterator<Item = Event>) -> Hub {
        let mut hub = Hub::default();
        history.into_iter().for_each(|event| hub.record(Arc::new(event)));
        hub
    }

    /// Memory of the history, about.
    pub fn bytes(&self) -> usize {
        self.history_bytes
    }

    pub fn history(&self) -> impl ExactSizeIterator<Item = &Event> {
        self.history.iter().map(|event| &**event)
    }

    pub fn watchers(&self) -> usize {
        self.paths.len()
    }

    /// The first past event from `since` on that such a watcher is told; else registers it.
    pub fn watch(
        &mut self,
        key: Bytes,
        recursive: bool,
        stream: bool,
        since: u64,
        index: u64,
    ) -> Result<(WatcherId, Option<Arc<Event>>), KeyError> {
        let past = self.scan(&key, recursive, since).map_err(|oldest| KeyError {
            code: Code::EventIndexCleared,
            cause: format!("the requested history has been cleared [{oldest}/{since}]").into(),
            index,
        })?;
        self.last_id += 1;
        if past.is_none() {
            self.paths.insert(self.last_id, key.clone());
            self.watchers.entry(key).or_default().insert(self.last_id, Watcher { recursive, stream, since });
        }
        Ok((self.last_id, past))
    }

    fn scan(&self, key: &[u8], recursive: bool, since: u64) -> Result<Option<Arc<Event>>, u64> {
        let Some(oldest) = self.history.front().map(|event| event.index()) else { return Ok(None) };
        if since < oldest {
            return Err(oldest);
        }
        let recent = self.history.iter().skip((since - oldest) as usize);
        let below =
            |path: &[u8]| key == b"/" || path.strip_prefix(key).is_some_and(|rest| rest.starts_with(b"/"));
        let matches = |event: &Event| {
            let gone = matches!(event.action, Action::Delete | Action::Expire);
            let directory = event.previous.as_ref().filter(|previous| gone && previous.dir);
            event.node.key == key
                || recursive && below(&event.node.key)
                // A plain prefix, as in etcd.
                || directory.is_some_and(|directory| key.starts_with(&directory.key))
        };
        Ok(recent.filter(|event| !event.refresh).find(|event| matches(event)).cloned())
    }

    /// Forgets a watcher that nobody listens to any more.
    pub fn unwatch(&mut self, id: WatcherId) {
        let Some(path) = self.paths.remove(&id) else { return };
        if let Some(there) = self.watchers.get_mut(&path) {
            there.remove(&id);
            if there.is_empty() {
                self.watchers.remove(&path);
            }
        }
    }

    /// Takes an event into the history without telling anyone.
    pub fn record(&mut self, event: Arc<Event>) {
        if self.history.len() == HISTORY {
            self.history_bytes -= self.history.pop_front().map_or(0, |event| event.bytes());
        }
        self.history_bytes += event.bytes();
        self.history.push_back(event);
    }

    /// Takes an event into the history and tells watchers of its key and of the directories above.
    pub fn tell(&mut self, telling: &mut Telling, notices: &mut Vec<Notice>) {
        let event = telling.event.clone();
        let key = &event.node.key;
        self.record(event.clone());
        if self.watchers.is_empty() {
            return;
        }
        self.tell_at(telling, b"/", false, notices);
        for end in memchr::memchr_iter(b'/', key).skip(1).chain([key.len()]) {
            self.tell_at(telling, &key[..end], false, notices);
        }
    }

    /// Tells watchers of one path; `deleted`: it is gone with what the event is about.
    pub fn tell_at(&mut self, telling: &mut Telling, path: &[u8], deleted: bool, notices: &mut Vec<Notice>) {
        let Some(there) = self.watchers.get_mut(path) else { return };
        let key = &telling.event.node.key;
        let original = key == path;
        if !original && is_hidden(path, key) {
            return;
        }
        let index = telling.event.index();
        there.retain(|&id, watcher| {
            if !((watcher.recursive || original || deleted) && index >= watcher.since) {
                return true;
            }
            notices.push(Notice { watcher: id, body: telling.body(), last: !watcher.stream });
            if !watcher.stream {
                self.paths.remove(&id);
            }
            watcher.stream
        });
        if there.is_empty() {
            self.watchers.remove(path);
        }
    }
}

/// Whether a key is hidden to a watcher of `path`: a part of its name below begins with `_`.
fn is_hidden(path: &[u8], key: &[u8]) -> bool {
    // Watchers below a directory that goes are always told.
    if path.len() > key.len() {
        return false;
    }
    let below = if path == b"/" { key } else { &key[path.len()..] };
    memchr::memmem::find(below, b"/_").is_some()
}
