//! Runs an instance's threads: resuming, ending and killing coroutines, the passes of the
//! scheduler, delivery of wakes.

use std::ffi::CStr;
use std::time::Duration;

use mlua::ffi;

use super::ctx::{Ctx, End, Interest, Outcome, Request, Target, Wait, add};
use super::stack::{Kind, Stack, State, request_mark};
use crate::driver::Wake;
use crate::host::{EndReason, Report};
use crate::scheduler::events::{Arguments, Key};
use crate::scheduler::threads::{Status, ThreadId};
use crate::scheduler::timers::TimerId;

/// When an instance wants to run again.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// At once.
    Ready,
    /// At a time, or when something wakes it.
    At(Duration),
    /// When something wakes it.
    Wake,
    /// Never: it has ended.
    Ended(EndReason),
}

fn view(state: State) -> Stack {
    // SAFETY: coroutines in the thread table are anchored in the registry, so they are alive.
    unsafe { Stack::from_raw(state) }
}

impl Ctx {
    // ---- threads ------------------------------------------------------------------------

    /// Creates a thread whose function (with `arguments` arguments above it) is on top of `from`.
    /// `begin` decides when it runs: `false` queues it, `true` leaves that to the caller.
    pub(super) fn create(&self, from: Stack, arguments: i32) -> (ThreadId, State) {
        let mut threads = self.threads.borrow_mut();
        let (slot, reusable) = threads.vacant();
        let coroutine = match reusable {
            Some(coroutine) => coroutine,
            None => {
                let main = self.main_stack();
                main.stored(self.anchors.get().threads);
                // SAFETY: pushes the new coroutine, which is anchored by the next statement.
                let coroutine = unsafe { ffi::lua_newthread(self.main) };
                main.raw_set_index(-2, slot as i32 + 1);
                main.pop(1);
                coroutine
            }
        };
        from.move_to(view(coroutine), arguments + 1);
        (threads.add(coroutine), coroutine)
    }

    /// Queues a new thread for the function on top of `from` (popped).
    pub fn spawn(&self, from: Stack) -> ThreadId {
        let (id, _) = self.create(from, 0);
        self.fresh.borrow_mut().push_back(id);
        id
    }

    /// Queues a coroutine object (on top of `from`, popped) as a thread.
    pub fn adopt(&self, from: Stack) -> Option<ThreadId> {
        let coroutine = from.thread(-1)?;
        let mut threads = self.threads.borrow_mut();
        let (slot, _) = threads.vacant();
        let main = self.main_stack();
        from.move_to(main, 1);
        main.stored(self.anchors.get().threads);
        main.insert(-2);
        main.raw_set_index(-2, slot as i32 + 1);
        main.pop(1);
        let id = threads.add(coroutine);
        if let Some(thread) = threads.get_mut(id) {
            thread.escaped = true;
        }
        drop(threads);
        self.fresh.borrow_mut().push_back(id);
        Some(id)
    }

    /// Runs a function in a new thread at once, outside any running Lua code. `push` puts the
    /// function and its arguments on the thread's stack and returns the number of arguments;
    /// `None`: nothing was pushed and no thread is made.
    pub fn run_native(
        &self,
        end: impl FnOnce() -> Box<dyn End>,
        push: impl FnOnce(Stack) -> Option<i32>,
    ) -> Option<ThreadId> {
        let (id, coroutine) = self.create(self.main_stack(), -1);
        let stack = view(coroutine);
        match push(stack) {
            Some(arguments) => {
                if let Some(thread) = self.threads.borrow_mut().get_mut(id) {
                    thread.end = Some(end());
                }
                self.resume(id, arguments);
                Some(id)
            }
            None => {
                stack.set_top(0);
                self.threads.borrow_mut().remove(id, true);
                None
            }
        }
    }

    /// Resumes a thread with the topmost values of its stack.
    pub(super) fn resume(&self, id: ThreadId, arguments: i32) {
        let coroutine = {
            let mut threads = self.threads.borrow_mut();
            let Some(thread) = threads.get_mut(id) else { return };
            thread.status = Status::Running;
            thread.coroutine
        };
        let previous = self.current.replace(Some(id));
        if let Some(watch) = &self.watch {
            watch.begin();
        }
        if let Some(heap) = &self.heap {
            heap.begin();
        }
        // SAFETY: the coroutine is anchored and not running; its arguments are on top.
        let code = unsafe { ffi::lua_resume_(coroutine, arguments) };
        if let Some(heap) = &self.heap {
            heap.end();
        }
        let cut = self.watch.as_ref().is_some_and(|watch| watch.end(self.main));
        self.current.set(previous);
        match code {
            ffi::LUA_YIELD => self.suspended(id, coroutine),
            ffi::LUA_OK => self.returned(id, coroutine),
            _ => self.failed(id, coroutine, cut),
        }
    }

    fn suspended(&self, id: ThreadId, coroutine: State) {
        let stack = view(coroutine);
        let mut threads = self.threads.borrow_mut();
        if let Some(thread) = threads.get_mut(id) {
            let requested = stack.kind(1) == Kind::LightUserdata && stack.userdata(1) == request_mark();
            stack.set_top(0);
            if thread.status == Status::Running && !(requested && self.exit.borrow().is_some()) {
                // The program's own `coroutine.yield` at the top of a thread: as events.yield.
                thread.status = Status::Yielded;
                self.yielded.borrow_mut().push(id);
            }
        }
    }

    fn returned(&self, id: ThreadId, coroutine: State) {
        let stack = view(coroutine);
        let (end, holds_lock) = match self.threads.borrow_mut().get_mut(id) {
            Some(thread) => (thread.end.take(), thread.holds_lock),
            None => (None, false),
        };
        if let Some(end) = end {
            end.ended(self, Outcome::Returned(stack, stack.top()));
        }
        stack.set_top(0);
        add(&self.counters.ended, 1);
        self.threads.borrow_mut().remove(id, true);
        if holds_lock {
            self.tell_lock_holder_ended(id, c"end");
        }
    }

    fn failed(&self, id: ThreadId, coroutine: State, cut: bool) {
        let stack = view(coroutine);
        let message = describe_error(stack);
        let exiting = self.exit.borrow().is_some();
        let traceback = self.traceback(coroutine, &message);
        let (end, holds_lock) = match self.threads.borrow_mut().get_mut(id) {
            Some(thread) => (thread.end.take(), thread.holds_lock),
            None => (None, false),
        };
        self.threads.borrow_mut().remove(id, false);
        if exiting {
            return;
        }
        if self.main_thread.get() == Some(id) {
            let memory = message == "not enough memory";
            *self.exit.borrow_mut() =
                Some(if memory { EndReason::Memory } else { EndReason::Error(traceback) });
            return;
        }
        add(&self.counters.thread_errors, 1);
        if let Some(end) = end {
            end.ended(self, Outcome::Error(&message));
        }
        self.report_death(id, &message, &traceback, cut);
        if holds_lock {
            self.tell_lock_holder_ended(id, c"error");
        }
    }

    /// Reports a thread's death of an uncaught error.
    pub fn report_death(&self, id: ThreadId, message: &str, traceback: &str, cut: bool) {
        let detail = traceback.strip_prefix(message).unwrap_or(traceback);
        let error = format!("[splay.events] E: {} DIE (error: {message}){detail}", name_of(id));
        let at = self.driver().wall();
        self.report(Report::ThreadDied { instance: self.number, at, error, cut });
    }

    fn traceback(&self, coroutine: State, message: &str) -> String {
        let main = self.main_stack();
        let text = std::ffi::CString::new(message.replace('\0', "\\0")).unwrap_or_default();
        // SAFETY: both states are alive; one string is pushed and popped.
        unsafe { ffi::luaL_traceback(self.main, coroutine, text.as_ptr(), 0) };
        let traceback = main.text(-1).unwrap_or_default();
        main.pop(1);
        traceback
    }

    fn tell_lock_holder_ended(&self, id: ThreadId, how: &CStr) {
        let hook = self.anchors.get().ended;
        if hook == 0 {
            return;
        }
        let main = self.main_stack();
        main.stored(hook);
        main.push_str(&name_of(id));
        main.push_str(&how.to_string_lossy());
        if !main.protected_call(2, 0, 0) {
            tracing::error!(error = main.text(-1), "release of secure locks failed");
            main.pop(1);
        }
    }

    /// Kills a thread; false if it is dead already.
    pub fn kill(&self, id: ThreadId) -> bool {
        let (status, request, end, holds_lock) = {
            let mut threads = self.threads.borrow_mut();
            let Some(thread) = threads.get_mut(id) else { return false };
            (thread.status, thread.request.take(), thread.end.take(), thread.holds_lock)
        };
        self.clear_timer(id);
        if let Status::Event(slot) = status {
            self.events.borrow_mut().leave(slot, id);
        }
        if let Some(mut request) = request {
            request.release(self, id);
        }
        if status == Status::Request {
            self.unhold();
        }
        if let Some(end) = end {
            end.ended(self, Outcome::Killed);
        }
        add(&self.counters.killed, 1);
        self.threads.borrow_mut().remove(id, false);
        if holds_lock {
            self.tell_lock_holder_ended(id, c"kill");
        }
        true
    }

    pub(super) fn clear_timer(&self, id: ThreadId) {
        let mut threads = self.threads.borrow_mut();
        let Some(thread) = threads.get_mut(id) else { return };
        if thread.timer == TimerId::NONE {
            return;
        }
        thread.timer = TimerId::NONE;
        self.timers.borrow_mut().cancel_one(|timer, target| match target {
            Target::Thread(id) => threads.get(id).is_some_and(|thread| thread.timer == timer),
            Target::Native(_) => true,
        });
    }

    /// Status of a thread as `events.status` names it.
    pub fn status(&self, id: ThreadId) -> &'static str {
        match self.threads.borrow().get(id).map(|thread| thread.status) {
            None => "dead",
            Some(Status::Running) if self.current.get() == Some(id) => "running",
            Some(Status::Running) => "normal",
            Some(_) => "suspended",
        }
    }

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

    fn take_request(&self, id: ThreadId) -> Option<(Box<dyn Request>, State)> {
        let mut threads = self.threads.borrow_mut();
        let thread = threads.get_mut(id)?;
        Some((thread.request.take()?, thread.coroutine))
    }

    fn put_request_back(&self, id: ThreadId, request: Box<dyn Request>) {
        if let Some(thread) = self.threads.borrow_mut().get_mut(id) {
            thread.request = Some(request);
        }
    }

    fn finish_request(&self, id: ThreadId, mut request: Box<dyn Request>, results: i32) {
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

    fn deliver_events(&self) {
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

    // ---- passes -------------------------------------------------------------------------

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
        if !main_alive {
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
        let idle_natives = self.natives.borrow().iter().filter(|(_, (_, keeps))| !keeps).count();
        let timers = self.timers.borrow();
        if timers.live() > idle_natives || self.holds.get() > 0 {
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
                let (service, threads) = self.watchers_of(socket);
                if let Some(service) = service {
                    service.ready(self, socket, readable, writable);
                }
                for (id, interest) in threads {
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
            Wake::External => {}
        }
    }
}

/// The name of a thread as Lua sees it.
pub fn name_of(id: ThreadId) -> String {
    format!("thread: 0x{:x}", id.to_bits())
}

/// The thread a name stands for.
pub fn thread_named(name: &[u8]) -> Option<ThreadId> {
    let digits = std::str::from_utf8(name.strip_prefix(b"thread: 0x")?).ok()?;
    ThreadId::from_bits(u64::from_str_radix(digits, 16).ok()?)
}

/// Text of the error object on top of a dead coroutine.
fn describe_error(stack: Stack) -> String {
    match stack.kind(-1) {
        Kind::String | Kind::Number => stack.text(-1).unwrap_or_default(),
        Kind::Nil | Kind::None => "nil".to_owned(),
        Kind::Table | Kind::Userdata if has_display(stack) => {
            stack.global(c"tostring");
            stack.push_value(-2);
            if stack.protected_call(1, 1, 0) { stack.text(-1).unwrap_or_default() } else { String::new() }
        }
        _ => format!("(error object is a {} value)", stack.type_name(-1)),
    }
}

fn has_display(stack: Stack) -> bool {
    if !stack.metatable(-1) {
        return false;
    }
    stack.push_str("__tostring");
    stack.raw_get(-2);
    let found = !stack.is_nil(-1);
    stack.pop(2);
    found
}

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
