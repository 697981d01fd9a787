//! What one instance owns besides its Lua heap: threads, timers, events, sockets' waiters,
//! counters; and what native functions may ask of it.

use std::cell::{Cell, RefCell, RefMut};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::counters::{Counters, Totals};
use super::memory::Heap;
use super::stack::{NativeResult, Return, Stack, State};
use super::watch::Watch;
use crate::driver::{Driver, Owner, Query, Resolved, SocketId, Watch as WatchMode};
use crate::host::{EndReason, InstanceConfig, InstanceNumber, Mode, Report, Usage};
use crate::scheduler::events::Events;
use crate::scheduler::threads::{Status, ThreadId, Threads};
use crate::scheduler::timers::Timers;

/// Text of Lua's error when something that waits is called outside a thread (manual, events).
pub const OUTSIDE_THREAD: &str = "attempt to yield across metamethod/C-call boundary";

/// What a request does when its deadline has passed.
pub enum Wait {
    /// It is over: so many results were pushed.
    Over(i32),
    /// It goes on until a new deadline.
    Until(Duration),
}

/// Why a thread is suspended: a native operation in progress.
///
/// `stack` is the waiting thread's own: results are pushed there.
pub trait Request {
    /// Something it watches is ready: try to finish. `Some(n)`: n results were pushed.
    fn poll(&mut self, cx: &Ctx, stack: Stack) -> Option<i32>;
    /// Its deadline has passed.
    fn expired(&mut self, cx: &Ctx, stack: Stack) -> Wait;
    /// It is over, whatever the reason (done, expired, thread killed): undo registrations.
    fn release(&mut self, cx: &Ctx, thread: ThreadId);
}

/// How a thread ended.
pub enum Outcome<'a> {
    /// It returned; so many results are on its stack.
    Returned(Stack, i32),
    /// It raised an error: the message without traceback.
    Error(&'a str),
    /// It was killed.
    Killed,
}

/// Told when a thread ends, for example to send its results to a remote caller.
pub trait End {
    /// The thread has ended.
    fn ended(self: Box<Self>, cx: &Ctx, outcome: Outcome<'_>);
}

/// A native server or client that handles its sockets' readiness itself.
pub trait Service {
    /// One of its sockets can be read or written.
    fn ready(&self, cx: &Ctx, socket: SocketId, readable: bool, writable: bool);
}

/// Which readiness a thread waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// Reading, accepting.
    Read,
    /// Writing, connecting.
    Write,
}

#[derive(Default)]
struct Watchers {
    service: Option<Rc<dyn Service>>,
    threads: Vec<(ThreadId, Interest)>,
}

/// Who is to be told that a socket is ready.
#[derive(Default)]
pub(super) struct Watching {
    pub(super) service: Option<Rc<dyn Service>>,
    pub(super) first: Option<(ThreadId, Interest)>,
    pub(super) others: Vec<(ThreadId, Interest)>,
}

/// A deferred native action.
pub type Action = Box<dyn FnOnce(&Ctx)>;

type Answer = Box<dyn FnOnce(&Ctx, Result<Resolved, String>)>;

/// What a timer resumes or runs.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target {
    Thread(ThreadId),
    Native(u32),
}

/// Registry references of what the scheduler keeps in Lua.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Anchors {
    /// Coroutines by slot + 1.
    pub threads: i32,
    /// Event names by slot + 1.
    pub events: i32,
    /// Two tables of event arguments: being fired, being delivered.
    pub arguments: [i32; 2],
    /// Function of `splay.events` told when a lock holder ends; 0: none.
    pub ended: i32,
}

/// One instance's context. Native functions get it as their first argument.
pub struct Ctx {
    pub(super) main: State,
    pub(super) number: InstanceNumber,
    pub(super) owner: Owner,
    pub(super) mode: Mode,
    pub(super) driver: Rc<RefCell<Box<dyn Driver>>>,
    pub(super) sink: Rc<RefCell<dyn FnMut(Report)>>,
    pub(super) threads: RefCell<Threads<State, Box<dyn Request>, Box<dyn End>>>,
    pub(super) timers: RefCell<Timers<Target>>,
    pub(super) natives: RefCell<slab::Slab<(Action, bool)>>,
    /// Those of them that do not keep the program alive.
    pub(super) idle_natives: Cell<usize>,
    pub(super) events: RefCell<Events>,
    pub(super) fire_cursor: Cell<u32>,
    pub(super) fresh: RefCell<VecDeque<ThreadId>>,
    pub(super) yielded: RefCell<Vec<ThreadId>>,
    pub(super) deferred: RefCell<VecDeque<Action>>,
    watchers: RefCell<FxHashMap<SocketId, Watchers>>,
    pub(super) answers: RefCell<FxHashMap<u64, Answer>>,
    pub(super) works: RefCell<FxHashMap<u64, Action>>,
    next_query: Cell<u64>,
    pub(super) current: Cell<Option<ThreadId>>,
    pub(super) main_thread: Cell<Option<ThreadId>>,
    /// The one that `events.run` was given: what the program does.
    pub(super) first_thread: Cell<Option<ThreadId>>,
    pub(super) in_run: Cell<bool>,
    /// Requests, servers and timers that keep the program alive.
    pub(super) holds: Cell<usize>,
    pub(super) exit: RefCell<Option<EndReason>>,
    /// It lives on when nothing is left to run.
    pub(super) kept: Cell<bool>,
    pub(super) evaluations: RefCell<Vec<super::evaluate::Evaluation>>,
    pub(super) anchors: Cell<Anchors>,
    pub(super) watch: Option<std::sync::Arc<Watch>>,
    /// Closed by the instance's drop, before the rest of the context goes.
    pub(super) heap: Option<Heap>,
    /// Garbage is kept low, and collected when the instance first idles.
    pub(super) compact: bool,
    pub(super) settled: Cell<bool>,
    /// Counters of the summary.
    pub counters: Counters,
    /// Counters of the worker.
    pub totals: Rc<Totals>,
    /// Its sockets have limits: see [`crate::core::socket::guard`].
    pub limited: Cell<bool>,
    pub(super) cpu: Cell<Duration>,
    /// The driver's time when the worker last turned to this instance.
    pub(super) clock: Cell<Duration>,
    pub(super) partial: RefCell<[Vec<u8>; 2]>,
    /// Level of the `splay.log` message that is being written; 0: none.
    pub level: Cell<u8>,
    /// Limits that have been reported.
    pub(super) limits_told: RefCell<Vec<&'static str>>,
    pub(super) machine: super::machine::Machine,
    /// It checks something after each turn: see [`crate::core::check`].
    pub(crate) checks: Cell<bool>,
    /// State of native modules, by type.
    extensions: RefCell<Vec<Rc<dyn std::any::Any>>>,
}

thread_local! {
    static CURRENT: Cell<*const Ctx> = const { Cell::new(std::ptr::null()) };
}

/// Makes an instance the running one until dropped.
pub(super) struct Entered(*const Ctx);

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

impl Ctx {
    #[allow(clippy::too_many_arguments)] // a part each of what an instance consists of
    pub(super) fn new(
        heap: Heap,
        number: InstanceNumber,
        owner: Owner,
        config: &InstanceConfig,
        driver: Rc<RefCell<Box<dyn Driver>>>,
        sink: Rc<RefCell<dyn FnMut(Report)>>,
        watch: Option<std::sync::Arc<Watch>>,
        totals: Rc<Totals>,
    ) -> Ctx {
        let (main, mode, compact) = (heap.state(), config.mode.clone(), config.compact);
        let sandboxed = matches!(mode, Mode::Sandboxed(_));
        Ctx {
            main,
            number,
            owner,
            mode,
            driver,
            sink,
            threads: RefCell::default(),
            timers: RefCell::default(),
            natives: RefCell::default(),
            idle_natives: Cell::new(0),
            events: RefCell::default(),
            fire_cursor: Cell::new(0),
            fresh: RefCell::default(),
            yielded: RefCell::default(),
            deferred: RefCell::default(),
            watchers: RefCell::default(),
            answers: RefCell::default(),
            works: RefCell::default(),
            next_query: Cell::new(1),
            current: Cell::new(None),
            main_thread: Cell::new(None),
            first_thread: Cell::new(None),
            in_run: Cell::new(false),
            holds: Cell::new(0),
            exit: RefCell::new(None),
            kept: Cell::new(false),
            evaluations: RefCell::default(),
            anchors: Cell::default(),
            watch,
            heap: Some(heap),
            compact,
            settled: Cell::new(false),
            counters: Counters::default(),
            totals,
            limited: Cell::new(sandboxed),
            cpu: Cell::default(),
            clock: Cell::default(),
            partial: RefCell::default(),
            level: Cell::new(0),
            limits_told: RefCell::default(),
            machine: super::machine::Machine::new(config.seed.unwrap_or_default()),
            checks: Cell::new(false),
            extensions: RefCell::default(),
        }
    }

    /// The context of the instance that is running on this worker.
    ///
    /// Panics when none is: native functions are only ever called while one runs.
    #[inline]
    pub fn current<'a>() -> &'a Ctx {
        let ctx = CURRENT.get();
        assert!(!ctx.is_null(), "native functions run inside an instance");
        // SAFETY: set by `enter` for as long as the instance runs; an instance outlives its run.
        unsafe { &*ctx }
    }

    pub(super) fn enter(&self) -> Entered {
        super::depth::begin();
        Entered(CURRENT.replace(self))
    }

    /// The instance's main state, for values that belong to no thread.
    pub fn main_stack(&self) -> Stack {
        // SAFETY: the main state lives as long as the instance.
        unsafe { Stack::from_raw(self.main) }
    }

    /// Number the host gave the instance.
    pub fn number(&self) -> InstanceNumber {
        self.number
    }

    /// Plain, hosted or sandboxed.
    pub fn mode(&self) -> &Mode {
        &self.mode
    }

    /// Owner to name when opening sockets.
    pub fn owner(&self) -> Owner {
        self.owner
    }

    /// The worker's driver. Do not hold across anything that runs Lua.
    #[inline]
    pub fn driver(&self) -> RefMut<'_, Box<dyn Driver>> {
        self.driver.borrow_mut()
    }

    /// Monotonic time.
    #[inline]
    pub fn now(&self) -> Duration {
        self.driver.borrow().now()
    }

    /// When the worker last turned to this instance: at most one slice behind [`Ctx::now`], and
    /// free.
    #[inline]
    pub fn recent(&self) -> Duration {
        self.clock.get()
    }

    /// Per-instance state of a native module, made at the first use.
    pub fn extension<T: Default + 'static>(&self) -> Rc<T> {
        if let Some(found) = self.extensions.borrow().iter().find_map(|any| any.clone().downcast::<T>().ok())
        {
            return found;
        }
        let made = Rc::new(T::default());
        self.extensions.borrow_mut().push(made.clone());
        made
    }

    // ---- waiting ------------------------------------------------------------------------

    /// The running thread, or the error Lua programs know when there is none.
    pub fn thread(&self) -> Result<ThreadId, super::stack::NativeError> {
        match self.current.get() {
            Some(id) if self.main_thread.get() != Some(id) => Ok(id),
            _ => Err(OUTSIDE_THREAD.into()),
        }
    }

    /// What runs and may wait for the network: a thread, or the main chunk (so that plain
    /// LuaSocket scripts work).
    pub fn waiter(&self) -> Result<ThreadId, super::stack::NativeError> {
        self.current.get().ok_or_else(|| OUTSIDE_THREAD.into())
    }

    /// Suspends what runs until `request` is over.
    pub fn suspend(&self, request: Box<dyn Request>, deadline: Option<Duration>) -> NativeResult {
        let id = self.waiter()?;
        if let Some(thread) = self.threads.borrow_mut().get_mut(id) {
            thread.status = Status::Request;
            thread.request = Some(request);
        }
        self.hold();
        self.set_deadline(id, deadline);
        Ok(Return::Suspend)
    }

    /// Replaces the deadline of a thread that waits.
    pub fn set_deadline(&self, id: ThreadId, deadline: Option<Duration>) {
        self.clear_timer(id);
        if let Some(deadline) = deadline {
            let timer = self.timers.borrow_mut().add(deadline, Target::Thread(id));
            if let Some(thread) = self.threads.borrow_mut().get_mut(id) {
                thread.timer = timer;
            }
        }
    }

    /// Runs `action` at `deadline`. `keeps_alive`: the program does not end before.
    pub fn at(&self, deadline: Duration, keeps_alive: bool, action: Action) {
        let slot = self.natives.borrow_mut().insert((action, keeps_alive)) as u32;
        if keeps_alive {
            self.hold();
        } else {
            self.idle_natives.set(self.idle_natives.get() + 1);
        }
        self.timers.borrow_mut().add(deadline, Target::Native(slot));
    }

    /// Runs `action` soon, outside any running Lua function.
    pub fn defer(&self, action: Action) {
        self.deferred.borrow_mut().push_back(action);
    }

    /// Something keeps the program alive (a listening server, a call in progress).
    pub fn hold(&self) {
        self.holds.set(self.holds.get() + 1);
    }

    /// Ends a [`Ctx::hold`].
    pub fn unhold(&self) {
        self.holds.set(self.holds.get().saturating_sub(1));
    }

    /// Has the thread's request polled when the socket becomes ready.
    pub fn watch_thread(&self, socket: SocketId, interest: Interest, id: ThreadId) -> std::io::Result<()> {
        self.driver().watch(socket, WatchMode::Edge)?;
        let mut watchers = self.watchers.borrow_mut();
        let threads = &mut watchers.entry(socket).or_default().threads;
        if !threads.contains(&(id, interest)) {
            threads.push((id, interest));
        }
        Ok(())
    }

    /// Ends all of a thread's [`Ctx::watch_thread`] on a socket.
    pub fn unwatch_thread(&self, socket: SocketId, id: ThreadId) {
        if let Some(watchers) = self.watchers.borrow_mut().get_mut(&socket) {
            watchers.threads.retain(|(thread, _)| *thread != id);
        }
    }

    /// Has a service told of a socket's readiness.
    pub fn watch_service(
        &self,
        socket: SocketId,
        mode: WatchMode,
        service: Rc<dyn Service>,
    ) -> std::io::Result<()> {
        self.driver().watch(socket, mode)?;
        self.watchers.borrow_mut().entry(socket).or_default().service = Some(service);
        Ok(())
    }

    /// Closes a socket and forgets who watched it. Threads still waiting on it are woken (their
    /// requests then meet the closed socket).
    pub fn close_socket(&self, socket: SocketId) {
        self.driver().close(socket);
        if let Some(watchers) = self.watchers.borrow_mut().remove(&socket) {
            for (id, _) in watchers.threads {
                self.defer(Box::new(move |cx| cx.poll_request(id)));
            }
        }
    }

    /// Who watches a socket; the first thread apart from the others, since most have but one.
    pub(super) fn watchers_of(&self, socket: SocketId) -> Watching {
        match self.watchers.borrow().get(&socket) {
            Some(watchers) => Watching {
                service: watchers.service.clone(),
                first: watchers.threads.first().copied(),
                others: watchers.threads.get(1..).unwrap_or_default().to_vec(),
            },
            None => Watching::default(),
        }
    }

    /// Asks the name service; `answer` runs when it has replied.
    pub fn resolve(&self, question: Query, answer: impl FnOnce(&Ctx, Result<Resolved, String>) + 'static) {
        let query = self.next_query.get();
        self.next_query.set(query + 1);
        self.answers.borrow_mut().insert(query, Box::new(answer));
        self.hold();
        self.driver().resolve(self.owner, query, question);
    }

    /// Runs something that blocks on a thread of its own; `done` runs here when it has ended.
    pub fn work(
        &self,
        work: impl FnOnce() + Send + 'static,
        done: impl FnOnce(&Ctx) + 'static,
    ) -> std::io::Result<()> {
        let query = self.next_query.get();
        self.next_query.set(query + 1);
        self.driver().work(self.owner, query, Box::new(work))?;
        self.works.borrow_mut().insert(query, Box::new(done));
        self.hold();
        Ok(())
    }

    /// Closes whatever sockets the instance still has.
    pub(super) fn close_all_sockets(&self) {
        self.driver().close_all(self.owner);
    }

    /// What the instance has used so far.
    pub fn usage(&self) -> Usage {
        Usage {
            cpu: self.cpu.get(),
            memory_bytes: self.heap.as_ref().map_or(0, Heap::used) as u64,
            sent_bytes: self.counters.sent_bytes.get(),
            received_bytes: self.counters.received_bytes.get(),
            calls_made: self.counters.calls_made.get(),
            calls_served: self.counters.calls_served.get(),
            thread_errors: self.counters.thread_errors.get(),
        }
    }
}
