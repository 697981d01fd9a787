//! Hooks in worker threads: each worker has a state of its own, made of the image of what was
//! registered.

use std::ffi::c_int;
use std::io;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, PoisonError};

use mlua::ffi::{self, lua_State};

use super::image::{Image, Places};
use super::native;
use super::state::{Reach, State, error_text};
use crate::error::Error;
use crate::hooks::{AddrInfo, Hook, HookFactory, Hooks, Message};

/// A state that is told from outside to end what it runs.
#[derive(Clone, Copy)]
struct StatePointer(*mut lua_State);

// SAFETY: used to set a hook alone, under the mutex that closing the state also takes; LuaJIT
// documents `lua_sethook` as callable asynchronously.
unsafe impl Send for StatePointer {}

/// Lua hooks of one side of a test, copied to every worker.
pub struct LuaHooks {
    image: Arc<Image>,
    /// Which root of the image is which hook.
    hooks: Vec<Hook>,
    role: &'static str,
    reach: Reach,
    running: Mutex<Vec<Option<StatePointer>>>,
    gathered: Mutex<Vec<Option<Image>>>,
}

impl LuaHooks {
    /// Hooks of a side (`client` or `server`); the image's roots are the functions, in the order of
    /// `hooks`.
    pub fn new(image: Image, hooks: Vec<Hook>, role: &'static str, reach: Reach, workers: usize) -> LuaHooks {
        LuaHooks {
            image: Arc::new(image),
            hooks,
            role,
            reach,
            running: Mutex::new(vec![None; workers]),
            gathered: Mutex::new((0..workers).map(|_| None).collect()),
        }
    }

    /// After the test: for each worker an image whose roots are its collected values; `None` for
    /// one that did not come to its end.
    pub fn gathered(self) -> Vec<Option<Image>> {
        self.gathered.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HookFactory for LuaHooks {
    fn open(&self, worker: usize) -> Result<Option<Box<dyn Hooks + '_>>, Error> {
        if self.hooks.is_empty() {
            return Ok(None);
        }
        let state = State::open(self.reach).map_err(Error::Hook)?;
        let raw = state.raw;
        // SAFETY: the state is this thread's own.
        let (places, roots, anchors) = unsafe {
            ffi::lua_pushnumber(raw, (worker + 1) as f64);
            ffi::lua_setfield(raw, ffi::LUA_GLOBALSINDEX, c"thread_id".as_ptr());
            let places = self.image.build(raw).map_err(Error::Hook)?;
            let anchors = ffi::luaL_ref(raw, ffi::LUA_REGISTRYINDEX);
            let mut roots = [None; Hook::ALL.len()];
            for (n, hook) in self.hooks.iter().enumerate() {
                ffi::lua_rawgeti_(raw, -1, n as c_int + 1);
                roots[*hook as usize] = Some(ffi::luaL_ref(raw, ffi::LUA_REGISTRYINDEX));
            }
            ffi::lua_settop(raw, -2);
            (places, roots, anchors)
        };
        if self.reach == Reach::Confined {
            state.limit(true).map_err(Error::Hook)?;
        }
        self.running.lock().unwrap_or_else(PoisonError::into_inner)[worker] = Some(StatePointer(raw));
        Ok(Some(Box::new(WorkerHooks { common: self, worker, state, places, roots, anchors })))
    }

    fn interrupt(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        for StatePointer(state) in running.iter().flatten() {
            // SAFETY: the state is open: the mutex is held.
            unsafe { ffi::lua_sethook(*state, Some(cut), ffi::LUA_MASKCOUNT, 1) };
        }
    }
}

/// Raises an error in whatever runs.
unsafe extern "C-unwind" fn cut(state: *mut lua_State, _: *mut ffi::lua_Debug) {
    // SAFETY: called by LuaJIT in the state's own thread.
    unsafe { ffi::luaL_error(state, c"the hook does not return".as_ptr()) };
}

struct WorkerHooks<'a> {
    common: &'a LuaHooks,
    worker: usize,
    state: State,
    places: Places,
    roots: [Option<c_int>; Hook::ALL.len()],
    anchors: c_int,
}

impl WorkerHooks<'_> {
    fn failed(&self, hook: Hook, text: &str) -> Error {
        Error::Hook(format!("{}_{}: {text}", self.common.role, hook.name()))
    }

    /// What a hook answered, as the number on the stack or the error beside it.
    ///
    /// Two values are on the stack; they are popped.
    unsafe fn answer(&self) -> Answer {
        let raw = self.state.raw;
        // SAFETY: the caller's promise.
        unsafe {
            let answer = match ffi::lua_type(raw, -2) {
                ffi::LUA_TNUMBER => Answer::Number(ffi::lua_tonumber(raw, -2)),
                ffi::LUA_TNIL if ffi::lua_type(raw, -1) == ffi::LUA_TTABLE => {
                    ffi::lua_getfield_(raw, -1, c"errno".as_ptr());
                    let errno = ffi::lua_tonumber(raw, -1) as i32;
                    ffi::lua_settop(raw, -2);
                    if errno > 0 { Answer::Errno(errno) } else { Answer::Nothing }
                }
                ffi::LUA_TNIL if ffi::lua_type(raw, -1) == ffi::LUA_TNUMBER => {
                    Answer::Errno(ffi::lua_tonumber(raw, -1) as i32)
                }
                _ => Answer::Nothing,
            };
            ffi::lua_settop(raw, -3);
            answer
        }
    }
}

enum Answer {
    Number(f64),
    Errno(i32),
    Nothing,
}

impl Hooks for WorkerHooks<'_> {
    fn has(&self, hook: Hook) -> bool {
        self.roots[hook as usize].is_some()
    }

    fn socket(&mut self, hook: Hook, fd: RawFd, address: &AddrInfo) -> Result<(), Error> {
        let Some(function) = self.roots[hook as usize] else { return Ok(()) };
        let raw = self.state.raw;
        // SAFETY: the state is this thread's own; what the protected call leaves is popped.
        let result = unsafe {
            ffi::lua_rawgeti_(raw, ffi::LUA_REGISTRYINDEX, function);
            ffi::lua_pushnumber(raw, f64::from(fd));
            ffi::lua_rawgeti_(raw, ffi::LUA_REGISTRYINDEX, self.state.addrinfo);
            push_address(raw, address);
            native::within(fd, None, || {
                if ffi::lua_pcall(raw, 7, 1, 0) != ffi::LUA_OK || ffi::lua_pcall(raw, 2, 2, 0) != ffi::LUA_OK
                {
                    return Err(error_text(raw));
                }
                Ok(self.answer())
            })
        };
        match result {
            Ok(Answer::Number(number)) if number < 0.0 => {
                let error = io::Error::from_raw_os_error(-number as i32);
                Err(self.failed(hook, &plain(&error)))
            }
            Ok(Answer::Errno(errno)) => Err(self.failed(hook, &plain(&io::Error::from_raw_os_error(errno)))),
            Ok(_) => Ok(()),
            Err(text) => Err(self.failed(hook, &format!("lua_pcall: {text}"))),
        }
    }

    #[inline]
    fn packet(
        &mut self,
        hook: Hook,
        fd: RawFd,
        message: &mut Message,
        flags: i32,
    ) -> Result<io::Result<usize>, Error> {
        let Some(function) = self.roots[hook as usize] else {
            return Err(self.failed(hook, "there is no such hook"));
        };
        let raw = self.state.raw;
        let length = message.length;
        // SAFETY: as above.
        let result = unsafe {
            ffi::lua_rawgeti_(raw, ffi::LUA_REGISTRYINDEX, function);
            ffi::lua_pushnumber(raw, f64::from(fd));
            ffi::lua_rawgeti_(raw, ffi::LUA_REGISTRYINDEX, self.state.message);
            ffi::lua_pushnumber(raw, f64::from(flags));
            native::within(fd, Some(message), || match ffi::lua_pcall(raw, 3, 2, 0) {
                ffi::LUA_OK => Ok(self.answer()),
                _ => Err(error_text(raw)),
            })
        };
        match result {
            Ok(Answer::Number(count)) if count >= 0.0 && count <= length as f64 => Ok(Ok(count as usize)),
            Ok(Answer::Number(count)) if count < 0.0 => {
                // -1 alone says nothing of the reason: it is met as "not now".
                let errno = if count == -1.0 { libc::EAGAIN } else { -count as i32 };
                Ok(Err(io::Error::from_raw_os_error(errno)))
            }
            Ok(Answer::Number(count)) => {
                Err(self.failed(hook, &format!("{count} bytes are more than the {length} there are")))
            }
            Ok(Answer::Errno(errno)) => Ok(Err(io::Error::from_raw_os_error(errno))),
            Ok(Answer::Nothing) => Err(self.failed(hook, "No return value from hook")),
            Err(text) => Err(self.failed(hook, &format!("lua_pcall: {text}"))),
        }
    }

    fn finish(&mut self) -> Result<(), Error> {
        let raw = self.state.raw;
        if self.common.reach == Reach::Confined {
            self.state.limit(false).map_err(Error::Hook)?;
        }
        // SAFETY: the state is this thread's own; the stack is cut to where it was.
        let image = unsafe {
            let top = ffi::lua_gettop(raw);
            ffi::lua_rawgeti_(raw, ffi::LUA_REGISTRYINDEX, self.anchors);
            ffi::lua_rawgeti_(raw, ffi::LUA_REGISTRYINDEX, self.state.names);
            ffi::lua_checkstack(raw, self.places.of.len() as c_int + 20);
            let mut roots = Vec::new();
            let mut result = Ok(());
            for place in &self.places.of {
                result = result.and(self.common.image.push_place(raw, top + 1, place));
                roots.push(ffi::lua_gettop(raw));
            }
            let image = result.and_then(|()| Image::capture(raw, &roots, top + 2, 0));
            ffi::lua_settop(raw, top);
            image
        };
        let image = image.map_err(|text| Error::Hook(format!("collect: {text}")))?;
        let mut gathered = self.common.gathered.lock().unwrap_or_else(PoisonError::into_inner);
        gathered[self.worker] = Some(image);
        Ok(())
    }
}

impl Drop for WorkerHooks<'_> {
    fn drop(&mut self) {
        let mut running = self.common.running.lock().unwrap_or_else(PoisonError::into_inner);
        running[self.worker] = None;
    }
}

/// An error's text without its number.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// Pushes the seven arguments of what makes an `addrinfo`.
unsafe fn push_address(state: *mut lua_State, info: &AddrInfo) {
    let octets: Vec<u8> = match info.address {
        SocketAddr::V4(address) => address.ip().octets().to_vec(),
        SocketAddr::V6(address) => address.ip().octets().to_vec(),
    };
    // SAFETY: called with a live state that has room for seven values.
    unsafe {
        for number in [info.flags, info.family(), info.socktype, info.protocol] {
            ffi::lua_pushnumber(state, f64::from(number));
        }
        ffi::lua_pushlstring_(state, octets.as_ptr().cast(), octets.len());
        ffi::lua_pushnumber(state, f64::from(info.address.port()));
        match &info.canonical_name {
            Some(name) => ffi::lua_pushlstring_(state, name.as_ptr().cast(), name.len()),
            None => ffi::lua_pushnil(state),
        }
    }
}
