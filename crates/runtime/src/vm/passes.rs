//! The passes of an instance's scheduler: who runs next, and what wakes whom.

use std::time::Duration;

use super::counters::add;
use super::ctx::{Ctx, Interest, Target, Wait};
use super::run::{Next, view};
use crate::driver::Wake;
use crate::host::EndReason;
use crate::scheduler::threads::{Status, ThreadId};
use crate::scheduler::timers::TimerId;

impl Ctx {
    /// Runs what can run now: new threads, fired events, yielded threads, expired timers.
    pub(super) fn turn(&self) -> Next {
        add(&self.counters.passes, 1);
        self.run_deferred();
        self.run_fresh();
        if self.events.borrow().pending() && self.exit.borrow().is_none() {
            self.deliver_events();
        }
        self.run_yielded();
        self.run_timers();
        self.run_deferred();
        if self.checks.get() {
            crate::core::check::evaluate(self);
        }
        self.next()
    }

    fn run_deferred(&self) {
        while let Some(action) = { self.deferred.borrow_mut().pop_front() } {
            action(self);
        }
    }

    fn run_fresh(&self) {
        loop {
            if self.exit.borrow().is_some() {
                return;
            }
            let Some(id) = self.fresh.borrow_mut().pop_front() else { return };
            let arguments = match self.threads.borrow().get(id) {
                // Everything above the function is an argument.
                Some(thread) if thread.escaped => view(thread.coroutine).top().max(1) - 1,
                Some(thread) => view(thread.coroutine).top() - 1,
                None => continue,
            };
            self.resume(id, arguments);
        }
    }

    fn run_yielded(&self) {
        if self.yielded.borrow().is_empty() {
            return;
        }
        let mut batch = self.yielded.take();
        for &id in &batch {
            if self.exit.borrow().is_some() {
                break;
            }
            let coroutine = match self.threads.borrow().get(id) {
                Some(thread) if thread.status == Status::Yielded => thread.coroutine,
                _ => continue,
            };
            let stack = view(coroutine);
            stack.push_bool(true);
            stack.push_nil();
            self.resume(id, 2);
        }
        batch.clear();
        let mut yielded = self.yielded.borrow_mut();
        if yielded.is_empty() {
            *yielded = batch;
        }
    }

    fn run_timers(&self) {
        let now = self.clock.get();
        let due = |deadline: Option<Duration>| deadline.is_some_and(|deadline| deadline <= now);
        if !due(self.timers.borrow().next_deadline()) {
            return;
        }
        // Timers made from here on belong to the next pass, even if they are due at once.
        let boundary = self.timers.borrow().next_id();
        loop {
            if self.exit.borrow().is_some() {
                return;
            }
            let Some((timer, target)) = self.timers.borrow_mut().pop_due_before(now, boundary) else {
                return;
            };
            match target {
                Target::Native(slot) => {
                    let (action, keeps_alive) = self.natives.borrow_mut().remove(slot as usize);
                    if keeps_alive {
                        self.unhold();
                    } else {
                        self.idle_natives.set(self.idle_natives.get() - 1);
                    }
                    action(self);
                }
                Target::Thread(id) => self.timer_fired(id, timer),
            }
        }
    }

    fn timer_fired(&self, id: ThreadId, timer: TimerId) {
        let (status, coroutine) = {
            let mut threads = self.threads.borrow_mut();
            match threads.get_mut(id) {
                Some(thread) if thread.timer == timer => {
                    thread.timer = TimerId::NONE;
                    (thread.status, thread.coroutine)
                }
                _ => {
                    self.timers.borrow_mut().dropped_cancelled();
                    return;
                }
            }
        };
        let stack = view(coroutine);
        match status {
            Status::Sleeping => {
                stack.push_bool(true);
                self.resume(id, 1);
            }
            Status::Event(slot) => {
                self.events.borrow_mut().leave(slot, id);
                stack.push_bool(false);
                stack.push_str("timeout");
                self.resume(id, 2);
            }
            Status::Request => {
                let Some((mut request, coroutine)) = self.take_request(id) else { return };
                match request.expired(self, view(coroutine)) {
                    Wait::Over(results) => self.finish_request(id, request, results),
                    Wait::Until(deadline) => {
                        self.put_request_back(id, request);
                        self.set_deadline(id, Some(deadline));
                    }
                }
            }
            Status::New | Status::Running | Status::Yielded => {}
        }
    }

    fn next(&self) -> Next {
        if let Some(reason) = self.exit.borrow().clone() {
            return Next::Ended(reason);
        }
        let main = self.main_thread.get();
        let main_alive = main.is_some_and(|id| self.threads.borrow().get(id).is_some());
        if !main_alive && !self.kept.get() {
            return Next::Ended(EndReason::Finished);
        }
        if !self.fresh.borrow().is_empty()
            || !self.yielded.borrow().is_empty()
            || !self.deferred.borrow().is_empty()
            || self.events.borrow().pending()
        {
            return Next::Ready;
        }
        // Native timers that do not keep the program alive do not count.
        let timers = self.timers.borrow();
        if timers.live() > self.idle_natives.get() || self.holds.get() > 0 {
            self.settle();
            return timers.next_deadline().map_or(Next::Wake, Next::At);
        }
        drop(timers);
        if self.in_run.replace(false) {
            // Nothing can ever run again: events.run returns to the main chunk.
            let id = main.expect("main_alive implies a main thread");
            self.resume(id, 0);
            return self.next_after_main();
        }
        Next::Ended(EndReason::Finished)
    }

    /// The instance idles for the first time: what starting it left behind is garbage.
    fn settle(&self) {
        if self.compact
            && !self.settled.replace(true)
            && let Some(heap) = &self.heap
        {
            heap.collect();
        }
    }

    fn next_after_main(&self) -> Next {
        match self.exit.borrow().clone() {
            Some(reason) => Next::Ended(reason),
            None => Next::Ready,
        }
    }

    /// Hands a wake to whom it concerns.
    pub(super) fn wake(&self, wake: Wake) {
        match wake {
            Wake::Socket { socket, readable, writable, .. } => {
                let watching = self.watchers_of(socket);
                if let Some(service) = watching.service {
                    service.ready(self, socket, readable, writable);
                }
                for (id, interest) in watching.first.into_iter().chain(watching.others) {
                    let ready = match interest {
                        Interest::Read => readable,
                        Interest::Write => writable,
                    };
                    if ready {
                        self.poll_request(id);
                    }
                }
            }
            Wake::Resolved { query, answer, .. } => {
                if let Some(action) = { self.answers.borrow_mut().remove(&query) } {
                    self.unhold();
                    action(self, answer);
                }
            }
            Wake::Worked { query, .. } => {
                let done = { self.works.borrow_mut().remove(&query) };
                if let Some(action) = done {
                    self.unhold();
                    action(self);
                }
            }
            Wake::Limit { limit, allowed, reached, .. } => self.limit_met(limit, allowed, reached),
            Wake::External => {}
        }
    }
}
