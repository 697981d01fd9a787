//! Opens and closes one instance's Lua state.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use mlua::ffi;

use super::arena::Arena;
use super::counters::Totals;
use super::ctx::{Anchors, Ctx};
use super::memory::Heap;
use super::run::Next;
use super::stack::{Stack, State};
use super::{depth, libraries, watch};
use crate::core::check;
use crate::driver::{Driver, Owner, Wake};
use crate::host::{Conditions, EndReason, InstanceConfig, InstanceNumber, Mode, Report, Usage};

unsafe extern "C" {
    /// LuaJIT's switch for its compiler (luajit.h).
    fn luaJIT_setmode(state: State, index: std::ffi::c_int, mode: std::ffi::c_int) -> std::ffi::c_int;
}

/// LUAJIT_MODE_ENGINE with LUAJIT_MODE_OFF or LUAJIT_MODE_ON.
const ENGINE_OFF: std::ffi::c_int = 0;
const ENGINE_ON: std::ffi::c_int = 0x0100;

/// The standard libraries. ffi is opened when a program requires it: its tables are large.
const STANDARD: [(&std::ffi::CStr, ffi::lua_CFunction); 10] = [
    (c"", ffi::luaopen_base),
    (c"table", ffi::luaopen_table),
    (c"io", ffi::luaopen_io),
    (c"os", ffi::luaopen_os),
    (c"string", ffi::luaopen_string),
    (c"math", ffi::luaopen_math),
    (c"package", ffi::luaopen_package),
    (c"bit", ffi::luaopen_bit),
    (c"jit", ffi::luaopen_jit),
    (c"debug", ffi::luaopen_debug),
];

/// A running copy of a program: its Lua state and context.
pub struct Instance {
    context: Box<Ctx>,
}

unsafe extern "C-unwind" fn open_standard(state: State) -> std::ffi::c_int {
    // SAFETY: called protected by `open_heap`; each opener takes the module's name.
    let stack = unsafe { Stack::from_raw(state) };
    for (name, open) in STANDARD {
        stack.push_native(open);
        stack.push_str(&name.to_string_lossy());
        stack.call(1, 0);
    }
    stack.global(c"package");
    stack.field(-1, c"preload");
    stack.push_native(ffi::luaopen_ffi);
    stack.set_field(-2, c"ffi");
    0
}

/// Opens a state with the standard libraries, its memory at addresses that every process repeats if
/// `repeatable`.
pub(crate) fn open_heap(jit: bool, repeatable: bool) -> Result<Heap, String> {
    let arena = match repeatable {
        true => Some(Arena::take().ok_or("no addresses left for another repeatable instance")?),
        false => None,
    };
    let heap = Heap::open(arena).ok_or("no memory for another Lua state")?;
    // SAFETY: the state is open and belongs to this thread.
    let stack = unsafe { Stack::from_raw(heap.state()) };
    stack.push_native(open_standard);
    if !stack.protected_call(0, 0, 0) {
        return Err(stack.text(-1).unwrap_or_default());
    }
    // SAFETY: the state is open.
    unsafe { luaJIT_setmode(heap.state(), 0, if jit { ENGINE_ON } else { ENGINE_OFF }) };
    Ok(heap)
}

impl Instance {
    /// Opens an instance and queues its main chunk.
    pub fn open(
        number: InstanceNumber,
        owner: Owner,
        config: &InstanceConfig,
        driver: Rc<RefCell<Box<dyn Driver>>>,
        sink: Rc<RefCell<dyn FnMut(Report)>>,
        watchdog: Option<&watch::Watchdog>,
        totals: Rc<Totals>,
    ) -> Result<Instance, String> {
        let heap = open_heap(config.jit, driver.borrow().is_virtual())?;
        let watch = watchdog.map(|watchdog| watchdog.watch(heap.state()));
        let context = Box::new(Ctx::new(heap, number, owner, config, driver, sink, watch, totals));
        let instance = Instance { context };
        instance.prepare(config)?;
        if let (Some(limit), Some(heap)) = (config.max_memory_bytes, &instance.context.heap) {
            heap.limit(limit);
        }
        if let (true, Some(heap)) = (config.compact, &instance.context.heap) {
            heap.collect_eagerly();
        }
        Ok(instance)
    }

    fn prepare(&self, config: &InstanceConfig) -> Result<(), String> {
        let cx = &*self.context;
        let _entered = cx.enter();
        let stack = cx.main_stack();
        let anchor = || {
            stack.new_table(0, 0);
            stack.store()
        };
        let anchors =
            Anchors { threads: anchor(), events: anchor(), arguments: [anchor(), anchor()], ended: 0 };
        cx.anchors.set(anchors);
        let sandboxed = matches!(config.mode, Mode::Sandboxed(_));
        if sandboxed && config.program.precompiled {
            return Err(format!("{}: bytecode cannot be run in the sandbox", config.program.name));
        }
        libraries::install(stack, config.program.directory.as_deref(), sandboxed);
        if !matches!(config.mode, Mode::Interpreter) {
            depth::install(stack, config.jit);
        }
        crate::core::install(cx, stack, config);
        // Before the others, which keep what they find of `os` and `io`.
        if cx.driver().is_virtual() {
            libraries::run_library(stack, "splay.virtual")?;
        }
        // The prelude completes the globals in Lua.
        libraries::run_library(stack, "splay.prelude")?;
        if sandboxed {
            libraries::run_library(stack, "splay.sandbox")?;
        }
        let seed = config.seed.unwrap_or_else(|| {
            let mut bytes = [0; 8];
            cx.driver().fill_random(&mut bytes);
            u64::from_le_bytes(bytes)
        });
        crate::core::seed_random(stack, seed);
        let name = format!("@{}", config.program.name);
        let chunk = std::ffi::CString::new(name).map_err(|error| error.to_string())?;
        if !stack.load(&config.program.bytecode, &chunk) {
            return Err(stack.text(-1).unwrap_or_default());
        }
        for argument in &config.arguments {
            stack.reserve(2);
            stack.push_str(argument);
        }
        let main = cx.spawn_main(stack, config.arguments.len() as i32);
        cx.main_thread.set(Some(main));
        stack.set_top(0);
        Ok(())
    }

    pub(super) fn context(&self) -> &Ctx {
        &self.context
    }

    /// Runs what can run at `now`.
    pub fn turn(&self, now: Duration) -> Next {
        let _entered = self.context.enter();
        self.context.clock.set(now);
        self.context.turn()
    }

    /// Delivers a wake. [`Instance::turn`] must follow.
    pub fn wake(&self, now: Duration, wake: Wake) {
        let _entered = self.context.enter();
        self.context.clock.set(now);
        self.context.wake(wake);
    }

    /// Reports that a limit has struck it, the first time.
    pub fn limit_met(&self, limit: &'static str, allowed: u64, reached: u64) {
        self.context.limit_met(limit, allowed, reached);
    }

    /// Adds to the time it has used.
    pub fn charge(&self, spent: Duration) {
        self.context.cpu.set(self.context.cpu.get() + spent);
    }

    /// How many coroutines were resumed since this was last asked.
    pub fn take_resumes(&self) -> u64 {
        self.context.counters.resumes.replace(0)
    }

    /// What its disk took since this was last asked.
    pub fn take_owed(&self) -> Duration {
        self.context.take_owed()
    }

    /// See [`crate::worker::Worker::set_conditions`].
    pub fn set_conditions(&self, conditions: Conditions) {
        self.context.set_conditions(conditions);
    }

    /// What is wrong with its machine.
    pub fn conditions(&self) -> Conditions {
        self.context.conditions()
    }

    /// What it shows to those who look at all instances (`check.expose`).
    pub fn exposed(&self) -> Option<Vec<u8>> {
        let _entered = self.context.enter();
        check::expose(&self.context)
    }

    /// Whether it looks at all instances (`check.global`).
    pub fn looks(&self) -> bool {
        self.context.checks.get() && check::looks(&self.context)
    }

    /// Has it look at what all show.
    pub fn judge(&self, shown: &[(u32, Option<Vec<u8>>)]) {
        let _entered = self.context.enter();
        check::judge(&self.context, shown);
    }

    /// What it has used so far.
    pub fn usage(&self) -> Usage {
        self.context.usage()
    }

    /// Closes the instance and reports its end.
    pub fn close(self, reason: EndReason) {
        let cx = &*self.context;
        let view = {
            let _entered = cx.enter();
            cx.view()
        };
        cx.end_evaluations();
        let usage = cx.usage();
        cx.flush();
        let at = cx.driver().wall();
        if let Some(view) = view {
            cx.report(Report::Viewed { instance: cx.number, at, view: Box::new(view) });
        }
        let report = Report::Ended { instance: cx.number, at, reason, usage };
        let sink = cx.sink.clone();
        drop(self);
        (sink.borrow_mut())(report);
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _entered = self.context.enter();
        if let Some(watch) = &self.context.watch {
            watch.close();
        }
        // Finalisers run while the rest of the context is still there.
        let heap = self.context.heap.take();
        drop(heap);
        self.context.close_all_sockets();
    }
}

impl Ctx {
    fn spawn_main(&self, stack: Stack, arguments: i32) -> crate::scheduler::threads::ThreadId {
        let (id, _) = self.create(stack, arguments);
        self.fresh.borrow_mut().push_back(id);
        id
    }
}

/// Compiles a chunk on a state of its own.
pub(crate) fn compile_alone(name: &str, source: &[u8]) -> Result<Vec<u8>, String> {
    let heap = Heap::open(None).ok_or("no memory for another Lua state")?;
    // SAFETY: the state lives until the end of this function.
    let stack = unsafe { Stack::from_raw(heap.state()) };
    libraries::compile(stack, name, source)
}
