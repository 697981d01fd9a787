//! A thin, safe-to-use view of a raw Lua stack, and the way native functions are entered.
//!
//! This is the one place where the raw Lua API is wrapped. Invariants:
//! - A [`Stack`] is made only from a live state, by the scheduler or by [`enter`], and does not
//!   outlive the native call or the resume it was made for.
//! - A native function may push [`MIN_FREE`] values without asking; beyond that it calls
//!   [`Stack::reserve`].
//! - Raw calls may raise a Lua error (memory, metamethods). LuaJIT unwinds with the platform's
//!   unwinder, so Rust destructors on the way run; no `catch_unwind` stands in between.
//! - Errors of our own are returned as [`NativeError`] and raised by [`enter`] after every Rust
//!   value of the function has been dropped.

use std::ffi::{CStr, c_int, c_void};
use std::slice;

use mlua::ffi;

/// A raw Lua state (a coroutine or the main one).
pub type State = *mut ffi::lua_State;

/// Stack slots a native function may use without [`Stack::reserve`] (LUA_MINSTACK).
pub const MIN_FREE: i32 = 20;

/// How a native function ends well.
pub enum Return {
    /// The topmost values are its results.
    Values(i32),
    /// The thread waits; the scheduler resumes it with the results.
    Suspend,
}

/// How a native function fails: raised as a Lua error.
#[derive(Debug)]
pub enum NativeError {
    /// Message prefixed with the position of the caller, as `error(msg)` does.
    Message(String),
    /// Bad argument: its number and what is wrong.
    Argument(i32, String),
    /// The value on top of the stack is the error object.
    OnStack,
}

impl From<String> for NativeError {
    fn from(message: String) -> Self {
        NativeError::Message(message)
    }
}

impl From<&str> for NativeError {
    fn from(message: &str) -> Self {
        NativeError::Message(message.to_owned())
    }
}

/// Result of a native function.
pub type NativeResult = Result<Return, NativeError>;

/// Type of a Lua value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Kind {
    None,
    Nil,
    Boolean,
    LightUserdata,
    Number,
    String,
    Table,
    Function,
    Userdata,
    Thread,
}

/// View of one state's stack. Copyable; see the module's invariants.
#[derive(Debug, Clone, Copy)]
pub struct Stack(State);

/// Address that marks a request to the scheduler when it is yielded.
static REQUEST_MARK: u8 = 0;

/// The light userdata that a suspended native call yields, seen by nested coroutines.
pub fn request_mark() -> *mut c_void {
    (&raw const REQUEST_MARK).cast_mut().cast()
}

// SAFETY (whole block): a `Stack` is only made from a live state (see the module's invariants),
// every index is relative to that state's current frame, and pushes stay within the slots that
// Lua guarantees or that `reserve` asked for.
#[allow(clippy::undocumented_unsafe_blocks, clippy::missing_safety_doc)]
impl Stack {
    /// Wraps a live state.
    ///
    /// # Safety
    /// `state` must be alive as long as the value is used, and used by this OS thread only.
    #[inline]
    pub unsafe fn from_raw(state: State) -> Stack {
        Stack(state)
    }
    /// The raw state.
    #[inline]
    pub fn raw(self) -> State {
        self.0
    }
    /// Number of values in the frame.
    #[inline]
    pub fn top(self) -> i32 {
        unsafe { ffi::lua_gettop(self.0) }
    }
    /// Cuts or extends (with nil) the frame.
    #[inline]
    pub fn set_top(self, top: i32) {
        unsafe { ffi::lua_settop(self.0, top) }
    }
    /// Removes the topmost `n` values.
    #[inline]
    pub fn pop(self, n: i32) {
        unsafe { ffi::lua_settop(self.0, -n - 1) }
    }
    /// Makes room for `n` more values; false when the stack cannot grow.
    #[inline]
    pub fn reserve(self, n: i32) -> bool {
        unsafe { ffi::lua_checkstack(self.0, n) != 0 }
    }
    /// Turns a relative index into an absolute one.
    #[inline]
    pub fn absolute(self, index: i32) -> i32 {
        if index > 0 || index <= ffi::LUA_REGISTRYINDEX { index } else { self.top() + index + 1 }
    }
    /// Pushes a copy of a value.
    #[inline]
    pub fn push_value(self, index: i32) {
        unsafe { ffi::lua_pushvalue(self.0, index) }
    }
    /// Removes the value at `index`.
    #[inline]
    pub fn remove(self, index: i32) {
        unsafe { ffi::lua_remove(self.0, index) }
    }
    /// Moves the top value to `index`.
    #[inline]
    pub fn insert(self, index: i32) {
        unsafe { ffi::lua_insert(self.0, index) }
    }
    /// Replaces the value at `index` by the top one.
    #[inline]
    pub fn replace(self, index: i32) {
        unsafe { ffi::lua_replace(self.0, index) }
    }
    /// Moves the top `n` values to another stack of the same instance.
    #[inline]
    pub fn move_to(self, other: Stack, n: i32) {
        if self.0 != other.0 {
            unsafe { ffi::lua_xmove(self.0, other.0, n) }
        }
    }
    /// Type of a value.
    #[inline]
    pub fn kind(self, index: i32) -> Kind {
        match unsafe { ffi::lua_type(self.0, index) } {
            ffi::LUA_TNIL => Kind::Nil,
            ffi::LUA_TBOOLEAN => Kind::Boolean,
            ffi::LUA_TLIGHTUSERDATA => Kind::LightUserdata,
            ffi::LUA_TNUMBER => Kind::Number,
            ffi::LUA_TSTRING => Kind::String,
            ffi::LUA_TTABLE => Kind::Table,
            ffi::LUA_TFUNCTION => Kind::Function,
            ffi::LUA_TUSERDATA => Kind::Userdata,
            ffi::LUA_TTHREAD => Kind::Thread,
            _ => Kind::None,
        }
    }
    /// Name of a value's type, as `type()` gives it.
    pub fn type_name(self, index: i32) -> &'static str {
        match self.kind(index) {
            Kind::None => "no value",
            Kind::Nil => "nil",
            Kind::Boolean => "boolean",
            Kind::LightUserdata | Kind::Userdata => "userdata",
            Kind::Number => "number",
            Kind::String => "string",
            Kind::Table => "table",
            Kind::Function => "function",
            Kind::Thread => "thread",
        }
    }
    /// Nil or absent.
    #[inline]
    pub fn is_nil(self, index: i32) -> bool {
        matches!(self.kind(index), Kind::None | Kind::Nil)
    }
    /// Truth of a value (nil and false are false).
    #[inline]
    pub fn truth(self, index: i32) -> bool {
        unsafe { ffi::lua_toboolean(self.0, index) != 0 }
    }
    /// A number, or a string that reads as one.
    #[inline]
    pub fn number(self, index: i32) -> Option<f64> {
        unsafe {
            if ffi::lua_isnumber(self.0, index) != 0 { Some(ffi::lua_tonumber(self.0, index)) } else { None }
        }
    }
    /// Bytes of a string, or of a number (which becomes a string in place). Valid while the
    /// value stays on the stack.
    #[inline]
    pub fn bytes<'a>(self, index: i32) -> Option<&'a [u8]> {
        match self.kind(index) {
            Kind::String | Kind::Number => unsafe {
                let mut len = 0;
                let text = ffi::lua_tolstring(self.0, index, &raw mut len);
                Some(slice::from_raw_parts(text.cast::<u8>(), len))
            },
            _ => None,
        }
    }
    /// Text of a string or number, invalid UTF-8 replaced.
    pub fn text(self, index: i32) -> Option<String> {
        self.bytes(index).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }
    /// Source and line of a Lua function's definition; `None` for a native one.
    pub fn definition(self, index: i32) -> Option<(String, i32)> {
        unsafe {
            let mut record = std::mem::zeroed::<ffi::lua_Debug>();
            self.push_value(index);
            ffi::lua_getinfo(self.0, c">S".as_ptr(), &raw mut record);
            let source = CStr::from_ptr(record.short_src.as_ptr()).to_string_lossy().into_owned();
            (record.linedefined >= 0).then_some((source, record.linedefined))
        }
    }
    /// Address that identifies a table, function, string, userdata or thread.
    #[inline]
    pub fn pointer(self, index: i32) -> *const c_void {
        unsafe { ffi::lua_topointer(self.0, index) }
    }
    /// Memory of a full userdata, or a light one's address.
    #[inline]
    pub fn userdata(self, index: i32) -> *mut c_void {
        unsafe { ffi::lua_touserdata(self.0, index) }
    }
    /// State of a coroutine value.
    #[inline]
    pub fn thread(self, index: i32) -> Option<State> {
        let state = unsafe { ffi::lua_tothread(self.0, index) };
        (!state.is_null()).then_some(state)
    }
    /// Pushes nil.
    #[inline]
    pub fn push_nil(self) {
        unsafe { ffi::lua_pushnil(self.0) }
    }
    /// Pushes a boolean.
    #[inline]
    pub fn push_bool(self, value: bool) {
        unsafe { ffi::lua_pushboolean(self.0, c_int::from(value)) }
    }
    /// Pushes a number.
    #[inline]
    pub fn push_number(self, value: f64) {
        unsafe { ffi::lua_pushnumber(self.0, value) }
    }
    /// Pushes a whole number.
    #[inline]
    pub fn push_int(self, value: i64) {
        self.push_number(value as f64)
    }
    /// Pushes a string of bytes.
    #[inline]
    pub fn push_bytes(self, value: &[u8]) {
        unsafe { ffi::lua_pushlstring_(self.0, value.as_ptr().cast(), value.len()) }
    }
    /// Pushes a string.
    #[inline]
    pub fn push_str(self, value: &str) {
        self.push_bytes(value.as_bytes())
    }
    /// Pushes a light userdata.
    #[inline]
    #[expect(clippy::not_unsafe_ptr_arg_deref, reason = "the address is kept, never followed")]
    pub fn push_light(self, value: *mut c_void) {
        unsafe { ffi::lua_pushlightuserdata(self.0, value) }
    }
    /// Pushes a native function without upvalues.
    #[inline]
    pub fn push_native(self, function: ffi::lua_CFunction) {
        unsafe { ffi::lua_pushcclosure(self.0, function, 0) }
    }
    /// Pops `upvalues` values and pushes a native function that has them as upvalues.
    #[inline]
    pub fn push_closure(self, function: ffi::lua_CFunction, upvalues: i32) {
        unsafe { ffi::lua_pushcclosure(self.0, function, upvalues) }
    }
    /// Pushes a table with room for so many elements and fields.
    #[inline]
    pub fn new_table(self, elements: i32, fields: i32) {
        unsafe { ffi::lua_createtable(self.0, elements, fields) }
    }
    /// Pushes a new full userdata of `size` bytes and returns its memory (uninitialised, 8-aligned).
    #[inline]
    pub fn new_userdata(self, size: usize) -> *mut c_void {
        unsafe { ffi::lua_newuserdata(self.0, size) }
    }
    /// Pushes `table[key]`, metamethods included.
    #[inline]
    pub fn field(self, index: i32, key: &CStr) {
        unsafe { ffi::lua_getfield_(self.0, index, key.as_ptr()) }
    }
    /// Pops a value and stores it as `table[key]`, metamethods included.
    #[inline]
    pub fn set_field(self, index: i32, key: &CStr) {
        unsafe { ffi::lua_setfield(self.0, index, key.as_ptr()) }
    }
    /// Pops a key and pushes `table[key]` without metamethods.
    #[inline]
    pub fn raw_get(self, index: i32) {
        unsafe { ffi::lua_rawget_(self.0, index) }
    }
    /// Pops value and key and stores without metamethods.
    #[inline]
    pub fn raw_set(self, index: i32) {
        unsafe { ffi::lua_rawset(self.0, index) }
    }
    /// Pops a key and pushes `table[key]`, metamethods included.
    #[inline]
    pub fn get(self, index: i32) {
        unsafe { ffi::lua_gettable_(self.0, index) }
    }
    /// Pushes `table[n]` without metamethods.
    #[inline]
    pub fn raw_get_index(self, index: i32, n: i32) {
        unsafe { ffi::lua_rawgeti_(self.0, index, n) }
    }
    /// Pops a value and stores it as `table[n]` without metamethods.
    #[inline]
    pub fn raw_set_index(self, index: i32, n: i32) {
        unsafe { ffi::lua_rawseti_(self.0, index, n) }
    }
    /// `#value` without metamethods.
    #[inline]
    pub fn raw_len(self, index: i32) -> usize {
        unsafe { ffi::lua_objlen(self.0, index) }
    }
    /// Pops a key; pushes the next key and value and returns true, or pushes nothing at the end.
    #[inline]
    pub fn next(self, index: i32) -> bool {
        unsafe { ffi::lua_next(self.0, index) != 0 }
    }
    /// Pops a table and makes it the value's metatable.
    #[inline]
    pub fn set_metatable(self, index: i32) {
        unsafe {
            ffi::lua_setmetatable(self.0, index);
        }
    }
    /// Pushes the metatable, if there is one.
    #[inline]
    pub fn metatable(self, index: i32) -> bool {
        unsafe { ffi::lua_getmetatable(self.0, index) != 0 }
    }
    /// Pops a table and makes it the environment of a userdata.
    #[inline]
    pub fn set_environment(self, index: i32) {
        unsafe {
            ffi::lua_setfenv(self.0, index);
        }
    }
    /// Pushes the environment of a userdata.
    #[inline]
    pub fn environment(self, index: i32) {
        unsafe { ffi::lua_getfenv(self.0, index) }
    }
    /// Raw equality.
    #[inline]
    pub fn raw_equal(self, a: i32, b: i32) -> bool {
        unsafe { ffi::lua_rawequal(self.0, a, b) != 0 }
    }
    /// Pushes a global.
    #[inline]
    pub fn global(self, name: &CStr) {
        self.field(ffi::LUA_GLOBALSINDEX, name)
    }
    /// Pops a value into a global.
    #[inline]
    pub fn set_global(self, name: &CStr) {
        self.set_field(ffi::LUA_GLOBALSINDEX, name)
    }
    /// Collects all garbage.
    pub fn collect_garbage(self) {
        unsafe {
            ffi::lua_gc(self.0, ffi::LUA_GCCOLLECT, 0);
        }
    }
    /// Calls unprotected: errors go on to the caller.
    #[inline]
    pub fn call(self, arguments: i32, results: i32) {
        unsafe { ffi::lua_call(self.0, arguments, results) }
    }
    /// Calls protected: on error the message is on top and the result is false.
    #[inline]
    pub fn protected_call(self, arguments: i32, results: i32, handler: i32) -> bool {
        unsafe { ffi::lua_pcall(self.0, arguments, results, handler) == ffi::LUA_OK }
    }
    /// Loads source or bytecode; on success the function is on top, else the message.
    pub fn load(self, chunk: &[u8], name: &CStr) -> bool {
        unsafe {
            ffi::luaL_loadbuffer(self.0, chunk.as_ptr().cast(), chunk.len(), name.as_ptr()) == ffi::LUA_OK
        }
    }
    /// Pops a value into the registry; the number finds it again.
    pub fn store(self) -> i32 {
        unsafe { ffi::luaL_ref(self.0, ffi::LUA_REGISTRYINDEX) }
    }
    /// Pushes a stored value.
    #[inline]
    pub fn stored(self, reference: i32) {
        self.raw_get_index(ffi::LUA_REGISTRYINDEX, reference)
    }
    /// Forgets a stored value.
    pub fn forget(self, reference: i32) {
        unsafe { ffi::luaL_unref(self.0, ffi::LUA_REGISTRYINDEX, reference) }
    }
    /// Pushes `tostring(value)`.
    pub fn push_display(self, index: i32) {
        let index = self.absolute(index);
        match self.kind(index) {
            Kind::String => self.push_value(index),
            Kind::Number => {
                self.push_value(index);
                let _ = self.bytes(-1);
            }
            Kind::Nil | Kind::None => self.push_str("nil"),
            Kind::Boolean => self.push_str(if self.truth(index) { "true" } else { "false" }),
            _ => {
                self.global(c"tostring");
                self.push_value(index);
                self.call(1, 1);
            }
        }
    }
    /// Fails with Lua's usual text for a wrong argument type.
    pub fn wrong_type(self, index: i32, expected: &str) -> NativeError {
        NativeError::Argument(index, format!("{expected} expected, got {}", self.type_name(index)))
    }
    /// String argument (numbers count).
    #[inline]
    pub fn check_bytes<'a>(self, index: i32) -> Result<&'a [u8], NativeError> {
        self.bytes(index).ok_or_else(|| self.wrong_type(index, "string"))
    }
    /// Number argument (numeric strings count).
    #[inline]
    pub fn check_number(self, index: i32) -> Result<f64, NativeError> {
        self.number(index).ok_or_else(|| self.wrong_type(index, "number"))
    }
    /// Table argument.
    #[inline]
    pub fn check_table(self, index: i32) -> Result<(), NativeError> {
        if self.kind(index) == Kind::Table { Ok(()) } else { Err(self.wrong_type(index, "table")) }
    }
    /// Function argument.
    pub fn check_function(self, index: i32) -> Result<(), NativeError> {
        if self.kind(index) == Kind::Function { Ok(()) } else { Err(self.wrong_type(index, "function")) }
    }
    /// Adds native functions to the table on top.
    pub fn add_functions(self, functions: &[(&CStr, ffi::lua_CFunction)]) {
        for (name, function) in functions {
            self.push_native(*function);
            self.set_field(-2, name);
        }
    }
}

/// Runs the body of a native function and raises its error or yields for it.
///
/// # Safety
/// Called by Lua with its own state, as the last action of an `extern "C-unwind"` function.
#[inline(always)]
pub unsafe fn enter(state: State, body: impl FnOnce(Stack) -> NativeResult) -> c_int {
    // SAFETY: as promised by the caller.
    unsafe {
        super::depth::check(state);
        enter_always(state, body)
    }
}

/// [`enter`] however deep the call is: for finalisers, which call no Lua.
///
/// # Safety
/// As for [`enter`].
#[inline(always)]
pub unsafe fn enter_always(state: State, body: impl FnOnce(Stack) -> NativeResult) -> c_int {
    match body(Stack(state)) {
        Ok(Return::Values(n)) => n,
        // SAFETY: a light userdata is pushed into the guaranteed slots; the yield is the
        // function's last action.
        Ok(Return::Suspend) => unsafe {
            ffi::lua_pushlightuserdata(state, request_mark());
            ffi::lua_yield(state, 1)
        },
        // SAFETY: the error was turned into a Lua value and dropped before it is raised.
        Err(error) => unsafe { raise(state, error) },
    }
}

#[cold]
unsafe fn raise(state: State, error: NativeError) -> c_int {
    let argument = push_error(Stack(state), error);
    // SAFETY: the message is on top of the stack; no Rust value is alive in this frame.
    unsafe {
        if argument > 0 {
            return ffi::luaL_argerror(state, argument, ffi::lua_tolstring(state, -1, std::ptr::null_mut()));
        }
        ffi::lua_error(state)
    }
}

/// Pushes the error value; returns the argument's number if it is about one, else 0.
fn push_error(stack: Stack, error: NativeError) -> i32 {
    match error {
        NativeError::Message(message) => {
            // SAFETY: luaL_where pushes one string.
            unsafe { ffi::luaL_where(stack.0, 1) };
            let mut text = stack.bytes(-1).unwrap_or_default().to_vec();
            text.extend_from_slice(message.as_bytes());
            stack.push_bytes(&text);
            0
        }
        NativeError::Argument(number, message) => {
            stack.push_str(&message);
            number
        }
        NativeError::OnStack => 0,
    }
}

/// Declares native functions: `native! { fn name(cx, stack) { body returning NativeResult } }`.
/// `cx` is the running instance's [`crate::vm::Ctx`].
#[macro_export]
macro_rules! native {
    ($( $(#[$meta:meta])* $vis:vis fn $name:ident($cx:ident, $stack:ident) $body:block )*) => {
        $(
            $(#[$meta])*
            $vis unsafe extern "C-unwind" fn $name(state: $crate::vm::State) -> std::ffi::c_int {
                #[allow(unused_variables)]
                fn body($cx: &$crate::vm::Ctx, $stack: $crate::vm::Stack) -> $crate::vm::NativeResult $body
                // SAFETY: called by Lua; the context is set while an instance runs.
                unsafe { $crate::vm::enter(state, |stack| body($crate::vm::Ctx::current(), stack)) }
            }
        )*
    };
}
