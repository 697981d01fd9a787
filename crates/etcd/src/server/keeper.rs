//! The thread that keeps changes: it takes all that have come, writes them to the disk at once, then
//! makes them and answers.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use tokio::sync::oneshot;

use super::Shared;
use crate::disk::Disk;
use crate::error::{Code, KeyError};
use crate::reply::Reply;
use crate::service::Entry;

/// Changes of one batch at most, so that one write does not hold up all that come later.
const MOST: usize = 4096;

struct Asked {
    entry: Entry,
    brief: bool,
    answer: oneshot::Sender<Reply>,
}

#[derive(Default)]
struct Queue {
    waiting: Vec<Asked>,
    finished: bool,
    ended: bool,
}

#[derive(Default)]
struct Desk {
    queue: Mutex<Queue>,
    changed: Condvar,
}

/// Where changes are handed in.
pub struct Keeper(Arc<Desk>);

/// The other side, for the thread.
pub struct Orders {
    desk: Arc<Desk>,
    disk: Disk,
}

pub fn pair(disk: Disk) -> (Keeper, Orders) {
    let desk = Arc::new(Desk::default());
    (Keeper(desk.clone()), Orders { desk, disk })
}

fn failed(reason: &str) -> Reply {
    KeyError::request(Code::RaftInternal, reason.to_owned()).into()
}

impl Desk {
    fn queue(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keeper {
    pub async fn change(&self, entry: Entry, brief: bool) -> Reply {
        let (answer, told) = oneshot::channel();
        {
            let mut queue = self.0.queue();
            if queue.finished {
                return failed("etcdserver: server stopped");
            }
            queue.waiting.push(Asked { entry, brief, answer });
        }
        self.0.changed.notify_all();
        told.await.unwrap_or_else(|_| failed("etcdserver: server stopped"))
    }

    /// Takes no more changes and waits until those that were taken are kept.
    pub fn finish(&self) {
        let mut queue = self.0.queue();
        queue.finished = true;
        self.0.changed.notify_all();
        while !queue.ended {
            queue = self.0.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

pub fn start(orders: Orders, shared: Arc<Shared>) -> std::io::Result<()> {
    std::thread::Builder::new().name("etcd keeper".to_owned()).spawn(move || work(orders, &shared)).map(drop)
}

/// Says that the thread has ended, however it does.
struct Ending(Arc<Desk>);

impl Drop for Ending {
    fn drop(&mut self) {
        let mut queue = self.0.queue();
        (queue.finished, queue.ended) = (true, true);
        queue.waiting.clear();
        drop(queue);
        self.0.changed.notify_all();
    }
}

fn work(orders: Orders, shared: &Shared) {
    let Orders { desk, mut disk } = orders;
    let _ending = Ending(desk.clone());
    let mut snapshot: Option<std::thread::JoinHandle<_>> = None;
    loop {
        let batch = {
            let mut queue = desk.queue();
            while queue.waiting.is_empty() && !queue.finished {
                queue = desk.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
            if queue.waiting.is_empty() {
                break;
            }
            let count = queue.waiting.len().min(MOST);
            queue.waiting.drain(..count).collect::<Vec<_>>()
        };
        let (entries, askers): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|asked| (asked.entry, (asked.brief, asked.answer))).unzip();
        if let Err(error) = disk.append(&entries) {
            for (_, answer) in askers {
                let _ = answer.send(failed(&error.to_string()));
            }
            shared.fail(error);
            return;
        }
        {
            let mut state = shared.state();
            for (entry, (brief, answer)) in entries.into_iter().zip(askers) {
                let reply = state.service.apply(entry, brief);
                let _ = answer.send(reply);
            }
            state.tell();
        }
        // One at a time; the next waits until this one is kept.
        if disk.wants_snapshot() && snapshot.as_ref().is_none_or(std::thread::JoinHandle::is_finished) {
            let state = shared.state().service.save();
            let begun = disk.begin_snapshot(state).map_err(Some).and_then(|begun| {
                let keep = move || begun.keep();
                std::thread::Builder::new().name("etcd snapshot".to_owned()).spawn(keep).map_err(|_| None)
            });
            match begun {
                Ok(thread) => {
                    let before = snapshot.replace(thread);
                    if let Some(Ok(Err(error))) = before.map(std::thread::JoinHandle::join) {
                        shared.fail(error);
                        return;
                    }
                }
                Err(Some(error)) => {
                    shared.fail(error);
                    return;
                }
                // No thread for it now: the next time.
                Err(None) => {}
            }
        }
    }
    if let Some(Ok(Err(error))) = snapshot.map(std::thread::JoinHandle::join) {
        shared.fail(error);
    }
}
