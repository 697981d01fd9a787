//! Cuts threads that run too long without yielding. A watchdog (one OS thread per process) sets
//! a debug hook on a state whose slice is overrun; while slices are short nothing is paid but
//! two stores per resume.

use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use mlua::ffi;

use super::stack::State;
use crate::host::{EvaluationNumber, InstanceNumber};

/// A slice that was cut ends within this, on however busy a machine; one that does not never will.
const OBEDIENCE: Duration = Duration::from_secs(1);

/// Instructions between two runs of the hook once it is set: with every one, a loop around
/// `pcall` meets it too, and not only the function that `pcall` protects.
const HOOK_COUNT: c_int = 1;

/// What the watchdog and one instance share.
#[derive(Debug)]
pub struct Watch {
    /// Odd while Lua code runs; grows with every resume.
    slice: AtomicU64,
    /// The slice that is to be cut; 0: none.
    cut: AtomicU64,
    /// Main state of the instance, while it is open.
    state: Mutex<Option<StatePointer>>,
    /// The cut was asked for by an [`Interrupter`].
    asked: AtomicBool,
    /// Of which evaluation alone; [`ANY`]: of whatever runs.
    asked_of: AtomicU64,
    limit: Duration,
}

/// No evaluation has this number.
const ANY: EvaluationNumber = EvaluationNumber::MAX;

#[derive(Debug, Clone, Copy)]
struct StatePointer(State);

// SAFETY: the pointer is used by the watchdog only to set a hook, under the mutex that closing
// the state also takes; LuaJIT documents `lua_sethook` as callable asynchronously.
unsafe impl Send for StatePointer {}

impl Watch {
    pub(super) fn new(state: State, limit: Duration) -> Arc<Watch> {
        Arc::new(Watch {
            slice: AtomicU64::new(0),
            cut: AtomicU64::new(0),
            state: Mutex::new(Some(StatePointer(state))),
            asked: AtomicBool::new(false),
            asked_of: AtomicU64::new(ANY),
            limit,
        })
    }

    /// A slice begins.
    #[inline]
    pub(super) fn begin(&self) {
        self.slice.store(self.slice.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// The slice has ended; true if it was cut. Removes the hook.
    #[inline]
    pub(super) fn end(&self, main: State) -> bool {
        let slice = self.slice.load(Ordering::Relaxed);
        self.slice.store(slice + 1, Ordering::Relaxed);
        self.cut.load(Ordering::Relaxed) != 0 && self.lift(main, slice)
    }

    #[cold]
    fn lift(&self, main: State, slice: u64) -> bool {
        let guard = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // SAFETY: called by the instance's own worker between two resumes.
        unsafe { ffi::lua_sethook(main, None, 0, 0) };
        let cut = self.cut.swap(0, Ordering::Relaxed) == slice;
        self.asked.store(false, Ordering::Relaxed);
        drop(guard);
        cut
    }

    /// The cut was meant for a thread that is not the running one, which goes on.
    #[cold]
    fn decline(&self, running: State) {
        let guard = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // SAFETY: called by the hook, on the instance's own worker.
        unsafe { ffi::lua_sethook(running, None, 0, 0) };
        self.cut.store(0, Ordering::Relaxed);
        self.asked.store(false, Ordering::Relaxed);
        drop(guard);
    }

    /// The state is about to be closed: the watchdog must not touch it any more.
    pub(super) fn close(&self) {
        *self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = None;
    }

    fn interrupt(&self, slice: u64) {
        let guard = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(StatePointer(state)) = *guard
            && self.slice.load(Ordering::Relaxed) == slice
        {
            self.cut.store(slice, Ordering::Relaxed);
            // SAFETY: the state is open (the mutex is held); see `StatePointer`.
            unsafe { ffi::lua_sethook(state, Some(stop_slice), ffi::LUA_MASKCOUNT, HOOK_COUNT) };
        }
    }
}

/// Cuts, from any thread, what an instance runs.
#[derive(Debug, Clone)]
pub struct Interrupter(Weak<Watch>);

impl Interrupter {
    pub(super) fn new(watch: &Arc<Watch>) -> Interrupter {
        Interrupter(Arc::downgrade(watch))
    }

    /// Cuts the thread that runs now, if it still runs after `patience` without having yielded.
    /// The caller waits for so long.
    pub fn interrupt(&self, patience: Duration) {
        self.cut(ANY, patience);
    }

    /// The same, if what runs is the thread of this evaluation; others go on.
    pub fn interrupt_evaluation(&self, number: EvaluationNumber, patience: Duration) {
        self.cut(number, patience);
    }

    fn cut(&self, number: EvaluationNumber, patience: Duration) {
        let running = || self.0.upgrade().map(|watch| watch.slice.load(Ordering::Relaxed));
        let Some(slice) = running().filter(|slice| slice % 2 == 1) else { return };
        std::thread::sleep(patience);
        if let Some(watch) = self.0.upgrade() {
            watch.asked_of.store(number, Ordering::Relaxed);
            watch.asked.store(watch.slice.load(Ordering::Relaxed) == slice, Ordering::Relaxed);
            watch.interrupt(slice);
        }
    }
}

/// The hook: raises an error in whatever runs.
unsafe extern "C-unwind" fn stop_slice(state: State, _: *mut ffi::lua_Debug) {
    // SAFETY: called by LuaJIT on the worker's thread, inside the running coroutine.
    unsafe {
        let context = super::Ctx::current();
        let Some(watch) = &context.watch else { return };
        if watch.cut.load(Ordering::Relaxed) != watch.slice.load(Ordering::Relaxed) {
            ffi::lua_sethook(state, None, 0, 0);
            return;
        }
        let asked_of = watch.asked_of.load(Ordering::Relaxed);
        if watch.asked.load(Ordering::Relaxed) && asked_of != ANY && !context.evaluates(asked_of) {
            return watch.decline(state);
        }
        raise_overrun(state, (!watch.asked.load(Ordering::Relaxed)).then_some(watch.limit));
    }
}

unsafe fn raise_overrun(state: State, limit: Option<Duration>) {
    // SAFETY: as the caller; the text is dropped before the error is raised.
    unsafe {
        ffi::luaL_where(state, 0);
        {
            let text = match limit {
                Some(limit) => format!("ran longer than {limit:?} without yielding (endless loop?)"),
                None => "interrupted".to_owned(),
            };
            ffi::lua_pushlstring_(state, text.as_ptr().cast(), text.len());
        }
        ffi::lua_concat(state, 2);
        ffi::lua_error(state)
    }
}

/// What a worker is at, for other threads to watch. A worker is stuck when its instance was told to
/// stop, by the hook, and does not: a pattern match and a native loop never reach the hook.
#[derive(Debug, Default)]
pub struct Pulse {
    /// Grows whenever an instance is turned to and whenever it is left: odd while one runs.
    turns: AtomicU64,
    /// Which one runs, or ran last.
    instance: AtomicU32,
    /// It is being closed: its finalisers run, which no slice bounds.
    closing: AtomicBool,
    /// A slice goes on although it was cut.
    stuck: AtomicBool,
}

/// A look at a [`Pulse`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beat {
    /// Number of the turn.
    pub turn: u64,
    /// Which instance has it, if one has.
    pub instance: Option<InstanceNumber>,
    /// The instance is being closed.
    pub closing: bool,
    /// The instance was cut some time ago, and goes on.
    pub stuck: bool,
}

impl Pulse {
    /// What the worker is at now.
    pub fn read(&self) -> Beat {
        let turn = self.turns.load(Ordering::Acquire);
        let instance = (turn % 2 == 1).then(|| self.instance.load(Ordering::Relaxed));
        let closing = self.closing.load(Ordering::Relaxed);
        let stuck = instance.is_some() && self.stuck.load(Ordering::Relaxed);
        Beat { turn, instance, closing, stuck }
    }

    #[inline]
    pub(crate) fn begin(&self, instance: InstanceNumber) {
        self.instance.store(instance, Ordering::Relaxed);
        self.turns.store(self.turns.load(Ordering::Relaxed) + 1, Ordering::Release);
    }

    pub(crate) fn begin_close(&self, instance: InstanceNumber) {
        self.closing.store(true, Ordering::Relaxed);
        self.begin(instance);
    }

    #[inline]
    pub(crate) fn end(&self) {
        self.closing.store(false, Ordering::Relaxed);
        self.turns.store(self.turns.load(Ordering::Relaxed) + 1, Ordering::Release);
    }
}

struct Seen {
    watch: Weak<Watch>,
    slice: u64,
    since: Instant,
}

/// The process's watchdog thread; ends when dropped.
#[derive(Debug)]
pub struct Watchdog {
    queue: Arc<Mutex<Vec<Weak<Watch>>>>,
    stop: Arc<AtomicBool>,
    limit: Duration,
}

impl Watchdog {
    /// Starts a watchdog for slices of `limit`.
    pub fn start(limit: Duration, pulse: Arc<Pulse>) -> std::io::Result<Watchdog> {
        let queue: Arc<Mutex<Vec<Weak<Watch>>>> = Arc::default();
        let stop = Arc::new(AtomicBool::new(false));
        let (added, stopped) = (queue.clone(), stop.clone());
        std::thread::Builder::new().name("watchdog".to_owned()).spawn(move || {
            patrol(&added, &stopped, limit, &pulse);
        })?;
        Ok(Watchdog { queue, stop, limit })
    }

    /// Makes the watch of a new instance.
    pub(super) fn watch(&self, state: State) -> Arc<Watch> {
        let watch = Watch::new(state, self.limit);
        self.queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(Arc::downgrade(&watch));
        watch
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn patrol(added: &Mutex<Vec<Weak<Watch>>>, stopped: &AtomicBool, limit: Duration, pulse: &Pulse) {
    let mut seen: Vec<Seen> = Vec::new();
    let pause = (limit / 8).clamp(Duration::from_millis(5), Duration::from_secs(1));
    while !stopped.load(Ordering::Relaxed) {
        std::thread::sleep(pause);
        let now = Instant::now();
        let fresh = std::mem::take(&mut *added.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        let mut stuck = false;
        seen.extend(fresh.into_iter().map(|watch| Seen { watch, slice: 0, since: now }));
        seen.retain_mut(|entry| {
            let Some(watch) = entry.watch.upgrade() else { return false };
            let slice = watch.slice.load(Ordering::Relaxed);
            if slice != entry.slice {
                entry.slice = slice;
                entry.since = now;
            } else if slice % 2 == 1 && now.duration_since(entry.since) >= limit {
                watch.interrupt(slice);
                stuck |= now.duration_since(entry.since) >= limit + OBEDIENCE;
            }
            true
        });
        pulse.stuck.store(stuck, Ordering::Relaxed);
    }
}
