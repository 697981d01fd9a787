//! Runs an instance's threads: creating, resuming, ending and killing coroutines.

use std::ffi::CStr;
use std::time::Duration;

use mlua::ffi;

use super::counters::add;
use super::ctx::{Ctx, End, Outcome, Target};
use super::stack::{Kind, Stack, State, request_mark};
use crate::host::{EndReason, Mode, Report};
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

pub(super) fn view(state: State) -> Stack {
    // SAFETY: coroutines in the thread table are anchored in the registry, so they are alive.
    unsafe { Stack::from_raw(state) }
}

impl Ctx {
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
        add(&self.counters.resumes, 1);
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
        let mut message = self.describe_error(stack);
        if matches!(self.mode, Mode::Sandboxed(_))
            && let Some(name) = crate::core::sandbox::denied_by(&message)
        {
            message.push_str(&format!(": {name} is not available in the sandbox"));
        }
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
        if self.main_thread.get() == Some(id) && !self.kept.get() {
            let memory = message == "not enough memory";
            *self.exit.borrow_mut() =
                Some(if memory { EndReason::Memory } else { EndReason::Error(traceback) });
            return;
        }
        if !self.evaluation_failed(id, &traceback) {
            add(&self.counters.thread_errors, 1);
            if let Some(end) = end {
                end.ended(self, Outcome::Error(&message));
            }
            self.report_death(id, &message, &traceback, cut);
        }
        if holds_lock {
            self.tell_lock_holder_ended(id, c"error");
        }
    }

    /// Reports a thread's death of an uncaught error.
    pub fn report_death(&self, id: ThreadId, message: &str, traceback: &str, cut: bool) {
        let detail = traceback.strip_prefix(message).unwrap_or(traceback);
        let error = format!("[splay.events] E: {} DIE (error: {message}){detail}", name_of(id));
        let at = self.driver().wall();
        // Besides the main chunk, which waits for the others.
        let others = self.threads.borrow().live() > 1 || self.holds.get() > 0;
        let lives_on = self.first_thread.get() == Some(id) && others;
        self.report(Report::ThreadDied { instance: self.number, at, error, cut, lives_on });
    }

    /// Text of the error object on top of a dead coroutine, on which nothing can be called.
    fn describe_error(&self, stack: Stack) -> String {
        match stack.kind(-1) {
            Kind::String | Kind::Number => stack.text(-1).unwrap_or_default(),
            Kind::Nil | Kind::None => "nil".to_owned(),
            Kind::Table | Kind::Userdata if push_display_handler(stack) => {
                let main = self.main_stack();
                stack.push_value(-2);
                stack.move_to(main, 2);
                let shown = main.protected_call(1, 1, 0);
                let text = main.text(-1).filter(|_| shown).unwrap_or_default();
                main.pop(1);
                text
            }
            _ => format!("(error object is a {} value)", stack.type_name(-1)),
        }
    }

    pub(super) fn traceback(&self, coroutine: State, message: &str) -> String {
        let main = self.main_stack();
        let text = std::ffi::CString::new(message.replace('\0', "\\0")).unwrap_or_default();
        // SAFETY: both states are alive; one string is pushed and popped.
        unsafe { ffi::luaL_traceback(self.main, coroutine, text.as_ptr(), 0) };
        let traceback = main.text(-1).unwrap_or_default();
        main.pop(1);
        with_line_of(message, traceback)
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
}

/// LuaJIT no longer knows the line at which a dead coroutine's innermost function stopped; the
/// message names it.
fn with_line_of(message: &str, traceback: String) -> String {
    let position = message.match_indices(':').find_map(|(colon, _)| {
        let digits = message[colon + 1..].bytes().take_while(u8::is_ascii_digit).count();
        (digits > 0).then(|| (&message[..colon], &message[..colon + 1 + digits]))
    });
    match position {
        Some((file, file_and_line)) => {
            let innermost = format!("stack traceback:\n\t{file}: in ");
            traceback.replacen(&innermost, &format!("stack traceback:\n\t{file_and_line}: in "), 1)
        }
        None => traceback,
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

/// Pushes the `__tostring` of the value on top, if it has one. Looks at no global: nothing
/// protects from errors here.
pub(super) fn push_display_handler(stack: Stack) -> bool {
    if !stack.metatable(-1) {
        return false;
    }
    stack.push_str("__tostring");
    stack.raw_get(-2);
    stack.remove(-2);
    if stack.is_nil(-1) {
        stack.pop(1);
        return false;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::with_line_of;

    #[test]
    fn the_innermost_line_comes_from_the_message() {
        let traceback = "app.lua:3: bad\nstack traceback:\n\tapp.lua: in function <app.lua:2>".to_owned();
        let mended = "app.lua:3: bad\nstack traceback:\n\tapp.lua:3: in function <app.lua:2>";
        assert_eq!(with_line_of("app.lua:3: bad", traceback), mended);
        assert_eq!(with_line_of("no position", "x".to_owned()), "x");
    }
}
