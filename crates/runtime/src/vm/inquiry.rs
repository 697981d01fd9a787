//! What libraries ask and tell about threads: names, counts, the main chunk's waiting.

use super::ctx::Ctx;
use super::stack::{Stack, State};
use crate::host::EndReason;
use crate::scheduler::threads::{Status, ThreadId};

/// Threads, runnable, created, ended, killed, passes, fires, event names, waiting, timers.
type Counts = [usize; 10];

impl Ctx {
    /// The live thread of a coroutine.
    pub(crate) fn thread_of(&self, coroutine: State) -> Option<ThreadId> {
        let threads = self.threads.borrow();
        if let Some(id) = self.current.get()
            && threads.get(id).is_some_and(|thread| thread.coroutine == coroutine)
        {
            return Some(id);
        }
        threads.find(|candidate| candidate == coroutine)
    }

    /// Notes that Lua gets hold of the running coroutine's object; false in the main chunk.
    pub(crate) fn mark_escaped(&self, stack: Stack) -> bool {
        let Some(id) = self.current.get() else { return false };
        if let Some(thread) = self.threads.borrow_mut().get_mut(id) {
            if thread.coroutine != stack.raw() {
                return true;
            }
            thread.escaped = true;
        }
        self.main_thread.get() != Some(id)
    }

    /// The thread that `events.run` was given.
    pub(crate) fn begins_with(&self, id: ThreadId) {
        self.first_thread.set(Some(id));
    }

    /// The main chunk begins to wait in `events.run`; false if that is not where it is called.
    pub(crate) fn begin_run(&self) -> bool {
        let main = self.main_thread.get();
        let mut threads = self.threads.borrow_mut();
        if main.is_none() || self.current.get() != main {
            return false;
        }
        if let Some(thread) = main.and_then(|id| threads.get_mut(id)) {
            thread.status = Status::Sleeping;
        }
        self.in_run.set(true);
        true
    }

    /// The instance is to end.
    pub(crate) fn end(&self, reason: EndReason) {
        self.exit.borrow_mut().get_or_insert(reason);
    }

    /// `splay.events` wants to know when the running thread ends.
    pub(crate) fn mark_lock_holder(&self) {
        if let Some(id) = self.current.get()
            && let Some(thread) = self.threads.borrow_mut().get_mut(id)
        {
            thread.holds_lock = true;
        }
    }

    /// Sets the registry reference of the function told of lock holders' ends.
    pub(crate) fn set_ended_hook(&self, reference: i32) {
        let mut anchors = self.anchors.get();
        anchors.ended = reference;
        self.anchors.set(anchors);
    }

    /// Figures for `events.infos`.
    pub(crate) fn counts(&self) -> Counts {
        let threads = self.threads.borrow();
        let events = self.events.borrow();
        let (fires, names, waiting) = events.counts();
        let ended = self.counters.ended.get() as usize;
        let killed = self.counters.killed.get() as usize;
        let errors = self.counters.thread_errors.get() as usize;
        let runnable = self.fresh.borrow().len() + events.claimed();
        [
            threads.live(),
            runnable,
            threads.live() + ended + killed + errors,
            ended + errors,
            killed,
            self.counters.passes.get() as usize,
            fires as usize,
            names,
            waiting,
            self.timers.borrow().live(),
        ]
    }
}
