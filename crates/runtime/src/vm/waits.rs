//! What threads wait for: native requests, events, time.

use std::time::Duration;

use super::ctx::{Ctx, Request};
use super::run::view;
use super::stack::{Stack, State};
use crate::scheduler::events::{Arguments, Key};
use crate::scheduler::threads::{Status, ThreadId};

impl Ctx {
    // ---- requests -----------------------------------------------------------------------

    /// Has a waiting thread's request try again, and resumes the thread if it is over.
    pub fn poll_request(&self, id: ThreadId) {
        let Some((mut request, coroutine)) = self.take_request(id) else { return };
        match request.poll(self, view(coroutine)) {
            Some(results) => self.finish_request(id, request, results),
            None => self.put_request_back(id, request),
        }
    }

    /// Ends a waiting thread's request from outside: `push` puts the results on its stack.
    pub fn complete(&self, id: ThreadId, push: impl FnOnce(Stack) -> i32) -> bool {
        let Some((request, coroutine)) = self.take_request(id) else { return false };
        let results = push(view(coroutine));
        self.finish_request(id, request, results);
        true
    }

    pub(super) fn take_request(&self, id: ThreadId) -> Option<(Box<dyn Request>, State)> {
        let mut threads = self.threads.borrow_mut();
        let thread = threads.get_mut(id)?;
        Some((thread.request.take()?, thread.coroutine))
    }

    pub(super) fn put_request_back(&self, id: ThreadId, request: Box<dyn Request>) {
        if let Some(thread) = self.threads.borrow_mut().get_mut(id) {
            thread.request = Some(request);
        }
    }

    pub(super) fn finish_request(&self, id: ThreadId, mut request: Box<dyn Request>, results: i32) {
        request.release(self, id);
        drop(request);
        self.unhold();
        self.clear_timer(id);
        self.resume(id, results);
    }

    // ---- events -------------------------------------------------------------------------

    /// Suspends the running thread until the event is fired or the deadline passes.
    pub(crate) fn wait_event(
        &self,
        id: ThreadId,
        stack: Stack,
        index: i32,
        key: Key,
        deadline: Option<Duration>,
    ) {
        let slot = self.event_slot(stack, index, key);
        self.events.borrow_mut().wait(slot, id);
        if let Some(thread) = self.threads.borrow_mut().get_mut(id) {
            thread.status = Status::Event(slot);
            thread.timed = deadline.is_some();
        }
        self.set_deadline(id, deadline);
    }

    /// Suspends the running thread until `deadline`, or for one pass.
    pub(crate) fn sleep(&self, id: ThreadId, deadline: Option<Duration>) {
        if let Some(thread) = self.threads.borrow_mut().get_mut(id) {
            thread.status = if deadline.is_some() { Status::Sleeping } else { Status::Yielded };
        }
        match deadline {
            Some(_) => self.set_deadline(id, deadline),
            None => self.yielded.borrow_mut().push(id),
        }
    }

    fn event_slot(&self, stack: Stack, index: i32, key: Key) -> u32 {
        let (slot, new) = self.events.borrow_mut().slot(key);
        if new {
            let index = stack.absolute(index);
            stack.stored(self.anchors.get().events);
            stack.push_value(index);
            stack.raw_set_index(-2, slot as i32 + 1);
            stack.pop(1);
        }
        slot
    }

    /// Fires an event with the values after `index`; false if it is already fired.
    pub(crate) fn fire_event(&self, stack: Stack, index: i32, key: Key) -> bool {
        let slot = self.event_slot(stack, index, key);
        if self.events.borrow().is_fired(slot) {
            return false;
        }
        let count = stack.top() - index;
        let first = self.fire_cursor.get();
        if count > 0 {
            stack.stored(self.anchors.get().arguments[0]);
            for n in 0..count {
                stack.push_value(index + 1 + n);
                stack.raw_set_index(-2, first as i32 + n + 1);
            }
            stack.pop(1);
            self.fire_cursor.set(first + count as u32);
        }
        self.events.borrow_mut().fire(slot, Arguments { first, count: count as u32 });
        true
    }

    pub(super) fn deliver_events(&self) {
        let fired = self.events.borrow_mut().take_fired();
        let mut anchors = self.anchors.get();
        anchors.arguments.swap(0, 1);
        self.anchors.set(anchors);
        let used = self.fire_cursor.replace(0);
        for &slot in &fired {
            let (arguments, waiting) = self.events.borrow_mut().deliver(slot);
            for _ in 0..waiting {
                let Some(id) = self.events.borrow_mut().next_waiter(slot) else { break };
                self.resume_with_event(id, arguments);
                if self.exit.borrow().is_some() {
                    return;
                }
            }
            self.events.borrow_mut().rest(slot);
        }
        self.events.borrow_mut().recycle(fired);
        self.forget_arguments(anchors.arguments[1], used);
        let gone = self.events.borrow_mut().sweep();
        if !gone.is_empty() {
            let main = self.main_stack();
            main.stored(anchors.events);
            for slot in gone {
                main.push_nil();
                main.raw_set_index(-2, slot as i32 + 1);
            }
            main.pop(1);
        }
    }

    fn resume_with_event(&self, id: ThreadId, arguments: Arguments) {
        let (coroutine, timed) = match self.threads.borrow().get(id) {
            Some(thread) => (thread.coroutine, thread.timed),
            None => return,
        };
        self.clear_timer(id);
        let stack = view(coroutine);
        let count = arguments.count as i32;
        stack.reserve(count + 2);
        if timed {
            stack.push_bool(true);
        }
        if count > 0 {
            stack.stored(self.anchors.get().arguments[1]);
            let table = stack.top();
            for n in 0..count {
                stack.raw_get_index(table, arguments.first as i32 + n + 1);
            }
            stack.remove(table);
        }
        self.resume(id, count + i32::from(timed));
    }

    fn forget_arguments(&self, table: i32, used: u32) {
        if used == 0 {
            return;
        }
        let main = self.main_stack();
        main.stored(table);
        for n in 1..=used {
            main.push_nil();
            main.raw_set_index(-2, n as i32);
        }
        main.pop(1);
    }
}
