//! The calls behind `S`: each works on the socket and the message of the hook that runs in this
//! thread. Where none runs, or another descriptor is named, they answer that it is not permitted.

use std::cell::Cell;
use std::ffi::{CStr, c_int};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::RawFd;
use std::{ptr, slice};

use mlua::ffi::{self, lua_State};

use crate::hooks::Message;
use crate::net::RawAddress;

/// Longest option value that can be read, bytes.
const MAX_OPTION_BYTES: usize = 4096;

/// What the running hook may touch.
#[derive(Clone, Copy)]
struct Scene {
    fd: RawFd,
    message: *mut Message,
}

const NOBODY: Scene = Scene { fd: -1, message: ptr::null_mut() };

thread_local! {
    static SCENE: Cell<Scene> = const { Cell::new(NOBODY) };
}

/// Runs `hook` with its socket and message within reach.
pub(super) fn within<T>(fd: RawFd, message: Option<&mut Message>, hook: impl FnOnce() -> T) -> T {
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            SCENE.set(NOBODY);
        }
    }
    SCENE.set(Scene { fd, message: message.map_or(ptr::null_mut(), ptr::from_mut) });
    let _leave = Leave;
    hook()
}

/// The message of the running hook.
fn message<'a>() -> Option<&'a mut Message> {
    // SAFETY: `within` holds the only reference while the hook runs, and calls come from the hook,
    // one after the other; none keeps it.
    unsafe { SCENE.get().message.as_mut() }
}

/// The descriptor at an argument, if it is the hook's own.
unsafe fn own(state: *mut lua_State, index: c_int) -> Option<RawFd> {
    // SAFETY: called with a live state.
    let fd = unsafe { ffi::luaL_checknumber(state, index) };
    let scene = SCENE.get();
    (scene.fd >= 0 && fd == f64::from(scene.fd)).then_some(scene.fd)
}

unsafe fn fail(state: *mut lua_State, errno: i32) -> c_int {
    // SAFETY: a native function may push twenty values.
    unsafe {
        ffi::lua_pushnil(state);
        ffi::lua_pushnumber(state, f64::from(errno));
    }
    2
}

fn errno(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EIO)
}

unsafe fn answer(state: *mut lua_State, result: io::Result<usize>) -> c_int {
    // SAFETY: as above.
    unsafe {
        match result {
            Ok(count) => {
                ffi::lua_pushnumber(state, count as f64);
                1
            }
            Err(error) => fail(state, errno(&error)),
        }
    }
}

/// Bytes of a string at an argument.
unsafe fn bytes<'a>(state: *mut lua_State, index: c_int) -> &'a [u8] {
    // SAFETY: the string stays on the stack through the call.
    unsafe {
        let mut length = 0;
        let text = ffi::luaL_checklstring(state, index, &raw mut length);
        slice::from_raw_parts(text.cast::<u8>(), length)
    }
}

unsafe fn push_bytes(state: *mut lua_State, value: &[u8]) {
    // SAFETY: pointer and length belong together.
    unsafe { ffi::lua_pushlstring_(state, value.as_ptr().cast(), value.len()) }
}

/// A whole number at an argument, wrapped as C would.
unsafe fn whole(state: *mut lua_State, index: c_int) -> i64 {
    // SAFETY: called with a live state.
    unsafe { ffi::luaL_checknumber(state, index) as i64 }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn from_octets(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(four).into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|sixteen| Ipv6Addr::from(sixteen).into())
}

/// `recvmsg(fd, msg, flags)` and `sendmsg`: the fast way, taken at every packet. The upvalues are
/// the message and the table of errors.
unsafe fn transfer(state: *mut lua_State, send: bool) -> c_int {
    // SAFETY: called by Lua with a live state and two upvalues.
    unsafe {
        if ffi::lua_rawequal(state, 2, ffi::lua_upvalueindex(1)) == 0 {
            return ffi::luaL_error(state, c"bad argument #2 (struct msghdr expected)".as_ptr());
        }
        let flags = ffi::luaL_optnumber(state, 3, 0.0) as i64 as i32;
        let result = match (own(state, 1), message()) {
            (Some(fd), Some(message)) if send => message.send(fd, flags).map_err(|error| errno(&error)),
            (Some(fd), Some(message)) => message.receive(fd, flags).map_err(|error| errno(&error)),
            _ => Err(libc::EPERM),
        };
        match result {
            Ok(count) => {
                ffi::lua_pushnumber(state, count as f64);
                1
            }
            Err(errno) => {
                ffi::lua_pushnil(state);
                ffi::lua_pushnumber(state, f64::from(errno));
                ffi::lua_gettable_(state, ffi::lua_upvalueindex(2));
                2
            }
        }
    }
}

unsafe extern "C-unwind" fn receive_message(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe { transfer(state, false) }
}

unsafe extern "C-unwind" fn send_message(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe { transfer(state, true) }
}

/// `native.recvmsg(msg, errors) -> function`.
unsafe extern "C-unwind" fn make_recvmsg(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua with two arguments.
    unsafe {
        ffi::lua_settop(state, 2);
        ffi::lua_pushcclosure(state, receive_message, 2);
    }
    1
}

/// `native.sendmsg(msg, errors) -> function`.
unsafe extern "C-unwind" fn make_sendmsg(state: *mut lua_State) -> c_int {
    // SAFETY: as above.
    unsafe {
        ffi::lua_settop(state, 2);
        ffi::lua_pushcclosure(state, send_message, 2);
    }
    1
}

/// `native.message() -> length, controllen, flags, address, port`; nothing outside a hook.
unsafe extern "C-unwind" fn show_message(state: *mut lua_State) -> c_int {
    let Some(message) = message() else { return 0 };
    // SAFETY: called by Lua.
    unsafe {
        ffi::lua_pushnumber(state, message.length as f64);
        ffi::lua_pushnumber(state, message.control_length as f64);
        ffi::lua_pushnumber(state, f64::from(message.flags));
        let Some(name) = message.name else { return 3 };
        push_bytes(state, &octets(name.ip()));
        ffi::lua_pushnumber(state, f64::from(name.port()));
    }
    5
}

/// `native.control() -> bytes` of the control messages.
unsafe extern "C-unwind" fn control(state: *mut lua_State) -> c_int {
    let Some(message) = message() else { return 0 };
    // SAFETY: called by Lua.
    unsafe { push_bytes(state, message.control()) };
    1
}

/// `native.cmsg(at) -> cmsg_len, cmsg_level, cmsg_type, data` of the control message at an offset.
unsafe extern "C-unwind" fn control_message(state: *mut lua_State) -> c_int {
    const HEADER: usize = size_of::<libc::cmsghdr>();
    // SAFETY: called by Lua.
    let at = unsafe { whole(state, 1) } as usize;
    let Some(rest) = message().and_then(|message| message.control().get(at..)) else { return 0 };
    if rest.len() < HEADER {
        return 0;
    }
    // SAFETY: a header's worth of bytes is there; any bytes are a header.
    let header: libc::cmsghdr = unsafe { ptr::read_unaligned(rest.as_ptr().cast()) };
    if header.cmsg_len < HEADER || header.cmsg_len > rest.len() {
        return 0;
    }
    // SAFETY: called by Lua.
    unsafe {
        for value in [header.cmsg_len as f64, header.cmsg_level.into(), header.cmsg_type.into()] {
            ffi::lua_pushnumber(state, value);
        }
        push_bytes(state, &rest[HEADER..header.cmsg_len]);
    }
    4
}

/// `native.receive(fd, count, flags) -> count`: into the message's buffer.
unsafe extern "C-unwind" fn receive(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let (count, flags) = (whole(state, 2).max(0) as usize, whole(state, 3) as i32);
        let (Some(fd), Some(message)) = (own(state, 1), message()) else { return fail(state, libc::EPERM) };
        message.length = message.length.min(count);
        message.control_length = 0;
        answer(state, message.receive(fd, flags))
    }
}

/// `native.send(fd, count or bytes, flags, address, port) -> count`.
unsafe extern "C-unwind" fn send(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let flags = whole(state, 3) as i32;
        let (Some(fd), Some(message)) = (own(state, 1), message()) else { return fail(state, libc::EPERM) };
        if ffi::lua_type(state, 4) == ffi::LUA_TSTRING {
            let Some(address) = from_octets(bytes(state, 4)) else { return fail(state, libc::EAFNOSUPPORT) };
            message.name = Some(SocketAddr::new(address, whole(state, 5) as u16));
        }
        if ffi::lua_type(state, 2) == ffi::LUA_TNUMBER {
            message.length = message.length.min(whole(state, 2).max(0) as usize);
            return answer(state, message.send(fd, flags));
        }
        let data = bytes(state, 2);
        let name = message.name.map(socket2::SockAddr::from);
        let (address, length) =
            name.as_ref().map_or((ptr::null(), 0), |name| (name.as_ptr().cast(), name.len()));
        let flags = flags | libc::MSG_NOSIGNAL;
        let count = libc::sendto(fd, data.as_ptr().cast(), data.len(), flags, address, length);
        let result = if count < 0 { Err(io::Error::last_os_error()) } else { Ok(count as usize) };
        answer(state, result)
    }
}

/// `native.setsockopt(fd, level, option, number or bytes, is_program) -> true`.
unsafe extern "C-unwind" fn set_option(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; every pointer given to the kernel comes with its length.
    unsafe {
        let (level, option) = (whole(state, 2) as i32, whole(state, 3) as i32);
        let Some(fd) = own(state, 1) else { return fail(state, libc::EPERM) };
        let result = if ffi::lua_type(state, 4) == ffi::LUA_TNUMBER {
            let value = whole(state, 4) as i32;
            libc::setsockopt(fd, level, option, (&raw const value).cast(), 4)
        } else if ffi::lua_toboolean(state, 5) != 0 {
            let data = bytes(state, 4);
            let mut filters: Vec<libc::sock_filter> = data
                .chunks_exact(size_of::<libc::sock_filter>())
                .map(|filter| ptr::read_unaligned(filter.as_ptr().cast()))
                .collect();
            let program = libc::sock_fprog { len: filters.len() as u16, filter: filters.as_mut_ptr() };
            let size = size_of::<libc::sock_fprog>() as u32;
            libc::setsockopt(fd, level, option, (&raw const program).cast(), size)
        } else {
            let data = bytes(state, 4);
            libc::setsockopt(fd, level, option, data.as_ptr().cast(), data.len() as u32)
        };
        if result != 0 {
            return fail(state, errno(&io::Error::last_os_error()));
        }
        ffi::lua_pushboolean(state, 1);
    }
    1
}

/// `native.getsockopt(fd, level, option, size) -> bytes`.
unsafe extern "C-unwind" fn get_option(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; the buffer has the length that the kernel is told.
    unsafe {
        let (level, option) = (whole(state, 2) as i32, whole(state, 3) as i32);
        let size = (whole(state, 4).max(0) as usize).min(MAX_OPTION_BYTES);
        let Some(fd) = own(state, 1) else { return fail(state, libc::EPERM) };
        let mut value = [0u8; MAX_OPTION_BYTES];
        let mut length = size as libc::socklen_t;
        let result = libc::getsockopt(fd, level, option, value.as_mut_ptr().cast(), &raw mut length);
        if result != 0 {
            return fail(state, errno(&io::Error::last_os_error()));
        }
        push_bytes(state, &value[..(length as usize).min(size)]);
    }
    1
}

/// `native.name(fd, peer) -> address, port`.
unsafe extern "C-unwind" fn name(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; the address has the room that the kernel is told.
    unsafe {
        let Some(fd) = own(state, 1) else { return fail(state, libc::EPERM) };
        let mut address = RawAddress::empty();
        let mut length = address.room();
        let pointer = address.as_mut_ptr().cast();
        let result = match ffi::lua_toboolean(state, 2) != 0 {
            true => libc::getpeername(fd, pointer, &raw mut length),
            false => libc::getsockname(fd, pointer, &raw mut length),
        };
        if result != 0 {
            return fail(state, errno(&io::Error::last_os_error()));
        }
        let Some(address) = address.get(length) else { return fail(state, libc::EAFNOSUPPORT) };
        push_bytes(state, &octets(address.ip()));
        ffi::lua_pushnumber(state, f64::from(address.port()));
    }
    2
}

/// Bytes and sign of a kind of number: `int8` ... `uint64`, with or without `_t`.
fn kind(name: &[u8]) -> Option<(usize, bool)> {
    let name = name.strip_suffix(b"_t").unwrap_or(name);
    let (signed, bits) = match name.strip_prefix(b"u") {
        Some(rest) => (false, rest),
        None => (true, name),
    };
    let bytes = match bits {
        b"int8" | b"char" => 1,
        b"int16" => 2,
        b"int32" | b"int" => 4,
        b"int64" => 8,
        _ => return None,
    };
    Some((bytes, signed))
}

/// `native.number(bytes, at, kind) -> number`, nil where the bytes end.
unsafe extern "C-unwind" fn number(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let (data, at) = (bytes(state, 1), whole(state, 2));
        let Some((size, signed)) = kind(bytes(state, 3)) else { return 0 };
        let Ok(at) = usize::try_from(at) else { return 0 };
        let Some(part) = at.checked_add(size).and_then(|end| data.get(at..end)) else { return 0 };
        let mut wide = [0u8; 8];
        wide[..size].copy_from_slice(part);
        let unused = 64 - 8 * size as u32;
        let value = u64::from_le_bytes(wide);
        ffi::lua_pushnumber(
            state,
            match signed {
                true => ((value << unused) as i64 >> unused) as f64,
                false => value as f64,
            },
        );
    }
    1
}

/// `native.pack(kind, number) -> bytes`.
unsafe extern "C-unwind" fn pack(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let Some((size, _)) = kind(bytes(state, 1)) else { return 0 };
        let value = whole(state, 2).to_le_bytes();
        push_bytes(state, &value[..size]);
    }
    1
}

/// `native.strerror(errno) -> text`.
unsafe extern "C-unwind" fn error_name(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; the buffer has the length that is told, and ends with a zero byte.
    unsafe {
        let mut text = [0; 256];
        libc::strerror_r(whole(state, 1) as i32, text.as_mut_ptr(), text.len() - 1);
        push_bytes(state, CStr::from_ptr(text.as_ptr()).to_bytes());
    }
    1
}

/// `native.address(text) -> bytes`, nil if it is none.
unsafe extern "C-unwind" fn address(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let text = std::str::from_utf8(bytes(state, 1)).unwrap_or_default();
        let Ok(address) = text.parse::<IpAddr>() else { return 0 };
        push_bytes(state, &octets(address));
    }
    1
}

/// `native.address_text(bytes) -> text`.
unsafe extern "C-unwind" fn address_text(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let Some(address) = from_octets(bytes(state, 1)) else { return 0 };
        push_bytes(state, address.to_string().as_bytes());
    }
    1
}

/// Pushes the table of these functions.
///
/// # Safety
/// The state is live.
pub(super) unsafe fn push(state: *mut lua_State) {
    let functions: [(&CStr, ffi::lua_CFunction); 15] = [
        (c"recvmsg", make_recvmsg),
        (c"sendmsg", make_sendmsg),
        (c"message", show_message),
        (c"control", control),
        (c"cmsg", control_message),
        (c"receive", receive),
        (c"send", send),
        (c"setsockopt", set_option),
        (c"getsockopt", get_option),
        (c"name", name),
        (c"number", number),
        (c"pack", pack),
        (c"strerror", error_name),
        (c"address", address),
        (c"address_text", address_text),
    ];
    // SAFETY: the caller's promise.
    unsafe {
        ffi::lua_createtable(state, 0, functions.len() as c_int);
        for (name, function) in functions {
            ffi::lua_pushcclosure(state, function, 0);
            ffi::lua_setfield(state, -2, name.as_ptr());
        }
    }
}
