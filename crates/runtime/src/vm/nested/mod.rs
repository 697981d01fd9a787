//! Code that runs to completion in a state of its own, with few functions and a budget: handlers of
//! object classes. It cannot wait, and whatever it does, its end puts every byte of the state back:
//! nothing leaks from one run to the next.
//!
//! * What it uses is counted in steps: instructions of the VM, bytes that are allocated at once,
//!   what pattern matching and other natives do. So the same run is cut at the same place
//!   everywhere; the clock cuts only what the count misses.
//! * What is spent cannot be caught: `pcall` passes it on.
//! * The memory is at addresses that every process repeats, as that of instances in a simulation.

mod base;
mod pattern;
mod text;
mod zone;

use std::cell::{Cell, RefCell};
use std::ffi::{c_int, c_void};
use std::ptr;
use std::time::Instant;

use mlua::ffi;

use super::stack::{NativeError, NativeResult, Stack, State, enter};
use zone::Account;
pub use zone::{Budget, MAX_MEMORY_BYTES, Spent};

unsafe extern "C" {
    /// LuaJIT's switch for its compiler (luajit.h).
    fn luaJIT_setmode(state: State, index: c_int, mode: c_int) -> c_int;
}

/// Instructions between two looks at the budget.
const HOOK_COUNT: c_int = 100;

thread_local! {
    /// The meter of the nested code that runs on this thread.
    static METER: Cell<*const Meter> = const { Cell::new(ptr::null()) };
}

/// An error with a number, that a native of the host raised and nobody has caught yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coded {
    /// The number.
    pub number: i32,
    /// What it means.
    pub message: String,
}

/// What natives of the nested state know of the run they belong to.
pub struct Meter {
    account: *const Account,
    coded: RefCell<Option<Coded>>,
    /// What the host gave to the run.
    host: Cell<*const c_void>,
    /// Hears what `print` prints.
    print: Cell<fn(&Meter, &[u8])>,
}

impl Meter {
    /// That of the running code.
    pub fn current<'a>() -> &'a Meter {
        let meter = METER.get();
        assert!(!meter.is_null(), "natives of a nested state run inside it");
        // SAFETY: set by `Sandbox::run` for as long as the code runs.
        unsafe { &*meter }
    }

    fn account(&self) -> &Account {
        // SAFETY: the account outlives the run.
        unsafe { &*self.account }
    }

    /// What the host gave to [`Sandbox::run`].
    ///
    /// # Safety
    /// It was a `T`.
    pub unsafe fn host<T>(&self) -> &T {
        // SAFETY: as promised; it lives as long as the run.
        unsafe { &*self.host.get().cast::<T>() }
    }

    /// Counts work; an error if there was not so much left.
    pub fn charge(&self, steps: usize) -> Result<(), NativeError> {
        let account = self.account();
        account.steps.set(account.steps.get() - i64::try_from(steps).unwrap_or(i64::MAX / 2));
        self.check()
    }

    /// Steps that are left.
    pub fn steps(&self) -> u64 {
        self.account().steps.get().max(0) as u64
    }

    /// Bytes of memory the run may have; 0: any number.
    pub fn memory_bytes(&self) -> usize {
        self.account().limit.get()
    }

    /// An error if something is spent.
    pub fn check(&self) -> Result<(), NativeError> {
        match self.spent() {
            Some(spent) => Err(NativeError::Message(spent.text().to_owned())),
            None => Ok(()),
        }
    }

    /// Memory of the host's is spent that the account does not see.
    pub fn out_of_memory(&self) -> NativeError {
        self.account().spent.set(Some(Spent::Memory));
        NativeError::Message(Spent::Memory.text().to_owned())
    }

    /// What is spent.
    pub fn spent(&self) -> Option<Spent> {
        let account = self.account();
        if account.spent.get().is_none() && account.steps.get() < 0 {
            account.spent.set(Some(Spent::Steps));
        }
        account.spent.get()
    }

    /// Raises an error with a number, which `pcall` gives as its second result.
    pub fn coded(&self, stack: Stack, number: i32, message: &str) -> NativeError {
        *self.coded.borrow_mut() = Some(Coded { number, message: message.to_owned() });
        stack.push_str(message);
        NativeError::OnStack
    }

    /// The number of the error that has just been caught, if it has one.
    pub fn take_coded(&self) -> Option<Coded> {
        self.coded.borrow_mut().take()
    }

    /// Memory of the account for a native's own use, freed with its object or with the run. Garbage
    /// is collected first if need be.
    ///
    /// # Safety
    /// As for `realloc`: the block came from here for `old` bytes, or is null.
    pub unsafe fn reallocate(
        &self,
        stack: Stack,
        block: *mut u8,
        old: usize,
        new: usize,
    ) -> Result<*mut u8, NativeError> {
        // SAFETY: as promised by the caller; the account is the state's.
        unsafe {
            let mut given = self.account().change(block.cast(), old, new);
            if given.is_null() && new > 0 {
                self.charge(self.account().used() / 16)?;
                stack.collect_garbage();
                given = self.account().change(block.cast(), old, new);
            }
            if given.is_null() && new > 0 { Err(self.out_of_memory()) } else { Ok(given.cast()) }
        }
    }
}

impl Spent {
    /// What the code is told, and the caller.
    pub fn text(self) -> &'static str {
        match self {
            Spent::Steps => "too many steps",
            Spent::Time => "took too long",
            Spent::Memory => "not enough memory",
        }
    }
}

/// Raises an error in whatever runs once the budget is spent, at every instruction then: nothing
/// that catches it gets on.
unsafe extern "C-unwind" fn look(state: State, _: *mut ffi::lua_Debug) {
    let meter = Meter::current();
    let account = meter.account();
    account.steps.set(account.steps.get() - i64::from(HOOK_COUNT));
    if let Some(deadline) = account.deadline.get()
        && account.spent.get().is_none()
        && Instant::now() >= deadline
    {
        account.spent.set(Some(Spent::Time));
    }
    if let Some(spent) = meter.spent() {
        // SAFETY: called by LuaJIT inside the running code. The text is static.
        unsafe {
            ffi::lua_sethook(state, Some(look), ffi::LUA_MASKCOUNT, 1);
            ffi::luaL_where(state, 0);
            let text = spent.text();
            ffi::lua_pushlstring_(state, text.as_ptr().cast(), text.len());
            ffi::lua_concat(state, 2);
            ffi::lua_error(state);
        }
    }
}

/// Runs the body of a native function of a nested state: as [`enter`], with the run's meter.
///
/// # Safety
/// As for [`enter`], in a nested state.
#[inline(always)]
pub unsafe fn enter_nested(state: State, body: impl FnOnce(&Meter, Stack) -> NativeResult) -> c_int {
    // SAFETY: as promised by the caller.
    unsafe { enter(state, |stack| body(Meter::current(), stack)) }
}

/// Declares native functions of a nested state: as [`native!`](crate::native), with its meter in
/// place of the instance's context.
#[macro_export]
macro_rules! nested {
    ($( $(#[$meta:meta])* $vis:vis fn $name:ident($meter:ident, $stack:ident) $body:block )*) => {
        $(
            $(#[$meta])*
            $vis unsafe extern "C-unwind" fn $name(state: $crate::vm::State) -> std::ffi::c_int {
                #[allow(unused_variables)]
                fn body($meter: &$crate::vm::nested::Meter, $stack: $crate::vm::Stack) -> $crate::vm::NativeResult $body
                // SAFETY: called by Lua in a nested state; its meter is set while code runs.
                unsafe { $crate::vm::nested::enter_nested(state, body) }
            }
        )*
    };
}

/// A nested state: fresh at the beginning of every run.
pub struct Sandbox {
    account: Box<Account>,
    state: State,
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Sandbox").field("used", &self.account.used()).finish_non_exhaustive()
    }
}

/// Why there is no nested state.
const NO_STATE: &str = "no memory for a nested state";

struct Setup {
    add: fn(Stack),
}

unsafe extern "C-unwind" fn set_up(state: State) -> c_int {
    // SAFETY: called protected by `Sandbox::open` with a `Setup`.
    unsafe {
        let stack = Stack::from_raw(state);
        let setup = &*stack.userdata(1).cast::<Setup>();
        stack.set_top(0);
        base::open(stack);
        (setup.add)(stack);
        stack.set_top(0);
        stack.collect_garbage();
    }
    0
}

impl Sandbox {
    /// Opens a state with the base functions, `string`, `table`, `math`, `bit` and what `add` adds to
    /// the globals.
    pub fn open(add: fn(Stack)) -> Result<Sandbox, String> {
        let account = Account::take().ok_or(NO_STATE)?;
        // SAFETY: the account outlives the state, which is never closed: its memory goes as a whole.
        let state = unsafe { ffi::lua_newstate(zone::allocate, (&raw const *account).cast_mut().cast()) };
        if state.is_null() {
            return Err(NO_STATE.to_owned());
        }
        let sandbox = Sandbox { account, state };
        let setup = Setup { add };
        let mut answer = Ok(());
        sandbox.metered(
            ptr::null(),
            |_, _| {},
            |_| {
                // SAFETY: the state is open and nothing runs in it.
                unsafe {
                    luaJIT_setmode(state, 0, 0);
                    if ffi::lua_cpcall(state, set_up, (&raw const setup).cast_mut().cast()) != ffi::LUA_OK {
                        let stack = Stack::from_raw(state);
                        answer = Err(stack.text(-1).unwrap_or_default());
                        return;
                    }
                    ffi::lua_gc(state, ffi::LUA_GCSETPAUSE, 110);
                    ffi::lua_gc(state, ffi::LUA_GCSETSTEPMUL, 400);
                    ffi::lua_sethook(state, Some(look), ffi::LUA_MASKCOUNT, HOOK_COUNT);
                }
            },
        );
        answer?;
        sandbox.account.freeze();
        Ok(sandbox)
    }

    fn metered(&self, host: *const c_void, print: fn(&Meter, &[u8]), body: impl FnOnce(&Meter)) {
        let meter = Meter {
            account: &raw const *self.account,
            coded: RefCell::new(None),
            host: Cell::new(host),
            print: Cell::new(print),
        };
        let before = METER.replace(&raw const meter);
        body(&meter);
        METER.set(before);
    }

    /// Runs `entry`, protected, with `host` as what [`Meter::host`] gives, then puts all back. What
    /// `entry` finds out it leaves with the host. The error is what it did not catch itself.
    pub fn run<T>(
        &mut self,
        budget: Budget,
        host: &T,
        print: fn(&Meter, &[u8]),
        entry: ffi::lua_CFunction,
    ) -> Result<(), Spent> {
        let account = &*self.account;
        account.limit.set(account.used() + budget.memory_bytes.min(MAX_MEMORY_BYTES));
        account.steps.set(i64::try_from(budget.steps).unwrap_or(i64::MAX));
        account.deadline.set(budget.deadline);
        let mut spent = None;
        self.metered((&raw const *host).cast(), print, |meter| {
            // SAFETY: the state is open and nothing runs in it.
            unsafe { ffi::lua_cpcall(self.state, entry, ptr::null_mut()) };
            spent = meter.spent();
        });
        account.restore();
        spent.map_or(Ok(()), Err)
    }
}
