//! The store against a simple model of it: a map from paths to what is there.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use splay_etcd::error::Code;
use splay_etcd::store::{Condition, Life, Store, View};

/// What is at a path: a value or a directory, when it ends, its indexes.
#[derive(Debug, Clone, PartialEq)]
struct Thing {
    value: Option<String>,
    until: Option<i64>,
    modified: u64,
    created: u64,
}

#[derive(Debug, Clone)]
enum Step {
    Set(String, Option<String>, Option<i64>),
    Create(String, String, bool),
    Update(String, String, Option<i64>),
    Swap(String, String, String),
    Delete(String, bool, bool),
    CompareAndDelete(String, String),
    Expire(i64),
}

#[derive(Debug, Default)]
struct Model {
    things: BTreeMap<String, Thing>,
    index: u64,
}

fn parents(path: &str) -> Vec<String> {
    path.match_indices('/').skip(1).map(|(at, _)| path[..at].to_owned()).collect()
}

impl Model {
    fn below(&self, path: &str) -> Vec<String> {
        let start = format!("{path}/");
        self.things.keys().filter(|key| key.starts_with(&start)).cloned().collect()
    }

    fn remove(&mut self, path: &str) {
        for key in self.below(path) {
            self.things.remove(&key);
        }
        self.things.remove(path);
    }

    /// The first part of a path that is a file, then the first that is not there.
    fn missing(&self, path: &str) -> Option<Code> {
        for part in parents(path).into_iter().chain([path.to_owned()]) {
            match self.things.get(&part) {
                None => return Some(Code::KeyNotFound),
                Some(thing) if thing.value.is_some() && part != path => return Some(Code::NotDirectory),
                Some(_) => {}
            }
        }
        None
    }

    fn put(&mut self, path: &str, value: Option<String>, until: Option<i64>) -> Result<(), Code> {
        if parents(path).iter().any(|part| self.things.get(part).is_some_and(|thing| thing.value.is_some())) {
            return Err(Code::NotDirectory);
        }
        let index = self.index + 1;
        for part in parents(path) {
            let directory = Thing { value: None, until: None, modified: index, created: index };
            self.things.entry(part).or_insert(directory);
        }
        self.things.insert(path.to_owned(), Thing { value, until, modified: index, created: index });
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<(), Code> {
        match step {
            Step::Set(path, value, until) => match self.things.get(path) {
                Some(thing) if thing.value.is_none() => return Err(Code::NotFile),
                _ => self.put(path, value.clone(), *until)?,
            },
            Step::Create(path, value, false) => match self.things.contains_key(path) {
                true => return Err(Code::NodeExists),
                false => self.put(path, Some(value.clone()), None)?,
            },
            Step::Create(path, value, true) => {
                let path = format!("{path}/{:020}", self.index + 1);
                self.put(&path, Some(value.clone()), None)?;
            }
            Step::Update(path, value, until) => {
                self.missing(path).map_or(Ok(()), Err)?;
                let index = self.index + 1;
                let thing = self.things.get_mut(path).unwrap();
                match &mut thing.value {
                    None if !value.is_empty() => return Err(Code::NotFile),
                    None => {}
                    Some(old) => {
                        value.clone_into(old);
                        thing.modified = index;
                    }
                }
                thing.until = *until;
            }
            Step::Swap(path, before, after) => {
                self.missing(path).map_or(Ok(()), Err)?;
                let index = self.index + 1;
                let thing = self.things.get_mut(path).unwrap();
                match &thing.value {
                    None => return Err(Code::NotFile),
                    Some(value) if value != before => return Err(Code::TestFailed),
                    Some(_) => {}
                }
                (thing.value, thing.modified, thing.until) = (Some(after.clone()), index, None);
            }
            Step::Delete(path, dir, recursive) => {
                self.missing(path).map_or(Ok(()), Err)?;
                if self.things[path].value.is_none() {
                    if !dir && !recursive {
                        return Err(Code::NotFile);
                    }
                    if !recursive && !self.below(path).is_empty() {
                        return Err(Code::DirectoryNotEmpty);
                    }
                }
                self.remove(path);
            }
            Step::CompareAndDelete(path, before) => {
                self.missing(path).map_or(Ok(()), Err)?;
                match &self.things[path].value {
                    None => return Err(Code::NotFile),
                    Some(value) if value != before => return Err(Code::TestFailed),
                    Some(_) => {}
                }
                self.remove(path);
            }
            Step::Expire(now) => {
                while let Some((_, path)) = self
                    .things
                    .iter()
                    .filter_map(|(path, thing)| {
                        Some((thing.until.filter(|until| until <= now)?, path.clone()))
                    })
                    .min()
                {
                    self.remove(&path);
                    self.index += 1;
                }
                return Ok(());
            }
        }
        self.index += 1;
        Ok(())
    }
}

/// All that a store has, in the model's form.
fn flat(view: &View, into: &mut BTreeMap<String, Thing>) {
    let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    if view.key != "/" {
        let thing = Thing {
            value: view.value.as_ref().map(text),
            until: view.expiration,
            modified: view.modified,
            created: view.created,
        };
        into.insert(text(&view.key), thing);
    }
    view.nodes.iter().for_each(|node| flat(node, into));
}

const NOW: i64 = 1_600_000_000_000_000_000;

fn path() -> impl Strategy<Value = String> {
    prop::collection::vec("[abc]", 1..4).prop_map(|parts| format!("/{}", parts.join("/")))
}

fn step() -> impl Strategy<Value = Step> {
    let value = || prop::sample::select(vec!["x", "y", "z"]).prop_map(str::to_owned);
    // Every end at another time: of two at the same time either may come first.
    let until = || prop::option::weighted(0.3, (1..1000i64).prop_map(|after| NOW + after));
    prop_oneof![
        4 => (path(), prop::option::weighted(0.7, value()), until()).prop_map(|(a, b, c)| Step::Set(a, b, c)),
        1 => (path(), value(), any::<bool>()).prop_map(|(a, b, c)| Step::Create(a, b, c)),
        2 => (path(), prop_oneof![value(), Just(String::new())], until()).prop_map(|(a, b, c)| Step::Update(a, b, c)),
        2 => (path(), value(), value()).prop_map(|(a, b, c)| Step::Swap(a, b, c)),
        1 => (path(), any::<bool>(), any::<bool>()).prop_map(|(a, b, c)| Step::Delete(a, b, c)),
        1 => (path(), value()).prop_map(|(a, b)| Step::CompareAndDelete(a, b)),
        1 => (1..1000i64).prop_map(|after| Step::Expire(NOW + after)),
    ]
}

fn apply(store: &mut Store, step: &Step) -> Result<(), Code> {
    let bytes = |text: &String| Bytes::from(text.clone());
    let life = |until| Life { until, refresh: false };
    let condition = |before: &String| Condition { value: bytes(before), index: 0 };
    let done = match step {
        Step::Set(path, value, until) => {
            store.set(&bytes(path), value.as_ref().map(bytes), life(*until), NOW)
        }
        Step::Create(path, value, unique) => {
            store.create(&bytes(path), Some(bytes(value)), *unique, life(None), NOW)
        }
        Step::Update(path, value, until) => store.update(&bytes(path), bytes(value), life(*until), NOW),
        Step::Swap(path, before, after) => {
            store.compare_and_swap(&bytes(path), &condition(before), bytes(after), life(None), NOW)
        }
        Step::Delete(path, dir, recursive) => store.delete(&bytes(path), *dir, *recursive, NOW),
        Step::CompareAndDelete(path, before) => {
            store.compare_and_delete(&bytes(path), &condition(before), NOW)
        }
        Step::Expire(now) => {
            store.expire(*now);
            return Ok(());
        }
    };
    done.map(drop).map_err(|error| error.code)
}

proptest! {
    #[test]
    fn the_store_is_as_its_model(steps in prop::collection::vec(step(), 1..120)) {
        let mut store = Store::default();
        let mut model = Model { index: store.index(), ..Model::default() };
        // A recursive stream is told of every change, in order.
        let (watcher, _) = store.watch(&Bytes::from_static(b"/"), true, true, 0).unwrap();
        let start = store.index();
        let mut told = 0;
        for step in &steps {
            prop_assert_eq!(apply(&mut store, step), model.step(step), "{:?}", step);
            prop_assert_eq!(store.index(), model.index, "{:?}", step);
            let root = store.get(&Bytes::from_static(b"/"), true, NOW).unwrap().node;
            let mut have = BTreeMap::new();
            flat(&root, &mut have);
            prop_assert_eq!(&have, &model.things, "{:?}", step);
            told += store.take_notices().iter().filter(|notice| notice.watcher == watcher).count() as u64;
        }
        prop_assert_eq!(told, store.index() - start);
        // Each change of the past is found again.
        for index in start + 1..=store.index() {
            let (_, past) = store.watch(&Bytes::from_static(b"/"), true, false, index).unwrap();
            let mark = format!("\"modifiedIndex\":{index}");
            prop_assert!(past.is_some_and(|past| String::from_utf8_lossy(&past).contains(&mark)));
        }
        // What was removed is all that memory is counted for.
        for key in ["/a", "/b", "/c"] {
            let _ = store.delete(&Bytes::from(key), true, true, NOW);
        }
        let root = store.get(&Bytes::from_static(b"/"), true, NOW).unwrap().node;
        prop_assert!(root.nodes.is_empty());
        prop_assert_eq!(store.next_end(), None);
    }
}
