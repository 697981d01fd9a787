//! The socket objects Lua holds: small userdata, each sharing one [`Sock`] with the requests of
//! the threads that wait on it. Knows how to make, recognise, name, index and close them.

use std::cell::{Cell, RefCell};
use std::io::{self, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::rc::{Rc, Weak};
use std::time::Duration;

use mlua::ffi;
use rustc_hash::FxHashMap;

use super::guard::{self, Restricted};
use super::tls::layer::Layer;
use crate::driver::{Family, SocketId, SocketOption, Transport};
use crate::native;
use crate::vm::{Ctx, NativeError, Return, Stack, State, enter_always};

/// What a socket object can do; LuaSocket's classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Master,
    Client,
    Server,
    Unconnected,
    Connected,
}

impl Class {
    pub(super) fn name(self) -> &'static str {
        match self {
            Class::Master => "tcp{master}",
            Class::Client => "tcp{client}",
            Class::Server => "tcp{server}",
            Class::Unconnected => "udp{unconnected}",
            Class::Connected => "udp{connected}",
        }
    }
}

/// State of a connection attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attempt {
    None,
    Going,
    Done,
}

/// One socket of a program.
pub(in crate::core) struct Sock {
    pub(super) class: Cell<Class>,
    /// The driver's socket; `None` before it is needed and after it is closed.
    pub(super) id: Cell<Option<SocketId>>,
    /// Fixed by the constructor.
    family: Option<Family>,
    /// Family of the driver's socket.
    opened: Cell<Option<Family>>,
    pub(super) closed: Cell<bool>,
    pub(super) bound: Cell<bool>,
    pub(super) attempt: Cell<Attempt>,
    /// Limit of one operation; `None`: for ever.
    pub(super) timeout: Cell<Option<Duration>>,
    /// Received and not yet asked for; allocated only while there is something.
    buffer: RefCell<Vec<u8>>,
    head: Cell<u32>,
    pub(super) sent: Cell<u64>,
    pub(super) received: Cell<u64>,
    /// Seconds of the driver's time; `setstats` may put it before the beginning.
    pub(super) birth: Cell<f64>,
    /// Lua has stored fields of its own in the object.
    has_fields: Cell<bool>,
    /// Options set before there was a socket.
    #[allow(clippy::box_collection)]
    early_options: RefCell<Option<Box<Vec<SocketOption>>>>,
    /// What encrypts, if anything does.
    layer: RefCell<Option<Rc<Layer>>>,
}

/// What a userdata of ours contains. The mark tells it from any other userdata.
#[repr(C)]
struct Handle {
    mark: *const u8,
    /// `None` once collected.
    sock: Option<Rc<Sock>>,
}

static MARK: u8 = 0;

/// Registry references of the two metatables, and the open sockets by number.
#[derive(Default)]
pub(super) struct Library {
    pub(super) metatables: Cell<[i32; 2]>,
    /// Of connections under TLS, once there may be any.
    pub(super) secure_metatable: Cell<i32>,
    pub(super) open: RefCell<FxHashMap<SocketId, Weak<Sock>>>,
}

impl Sock {
    fn new(class: Class, family: Option<Family>, id: Option<SocketId>, birth: f64) -> Sock {
        Sock {
            class: Cell::new(class),
            id: Cell::new(id),
            family,
            opened: Cell::new(family.filter(|_| id.is_some())),
            closed: Cell::new(false),
            bound: Cell::new(false),
            attempt: Cell::new(Attempt::None),
            timeout: Cell::new(None),
            buffer: RefCell::default(),
            head: Cell::new(0),
            sent: Cell::new(0),
            received: Cell::new(0),
            birth: Cell::new(birth),
            has_fields: Cell::new(false),
            early_options: RefCell::default(),
            layer: RefCell::default(),
        }
    }

    pub(super) fn transport(&self) -> Transport {
        match self.class.get() {
            Class::Master | Class::Client | Class::Server => Transport::Tcp,
            Class::Unconnected | Class::Connected => Transport::Udp,
        }
    }

    /// The only family whose addresses it can use, if there is one.
    pub(super) fn only_family(&self) -> Option<Family> {
        if self.bound.get() { self.opened.get() } else { self.family }
    }

    /// When an operation that begins now has to be over.
    pub(super) fn deadline(&self, cx: &Ctx) -> Option<Duration> {
        self.timeout.get().map(|timeout| cx.now() + timeout)
    }

    /// An operation may not wait at all.
    pub(super) fn is_impatient(&self) -> bool {
        self.timeout.get() == Some(Duration::ZERO)
    }

    /// The driver's socket, or the error of a closed one.
    pub(in crate::core) fn open_id(&self) -> io::Result<SocketId> {
        self.id.get().ok_or_else(closed)
    }

    /// The driver's socket, opened now for `family` if there is none yet. One of the other
    /// family that is not bound gives way.
    pub(super) fn ensure(self: &Rc<Self>, cx: &Ctx, family: Family) -> io::Result<SocketId> {
        if self.closed.get() {
            return Err(closed());
        }
        if let Some(id) = self.id.get() {
            if self.opened.get() == Some(family) || self.bound.get() {
                return Ok(id);
            }
            self.forget_socket(cx);
        }
        let id = cx.driver().open(cx.owner(), self.transport(), family)?;
        self.id.set(Some(id));
        self.opened.set(Some(family));
        cx.extension::<Library>().open.borrow_mut().insert(id, Rc::downgrade(self));
        if family == Family::V6 {
            // As LuaSocket: an IPv6 socket leaves IPv4 to others.
            let _ = cx.driver().set_option(id, &SocketOption::V6Only(true));
        }
        if let Some(options) = self.early_options.borrow_mut().take() {
            for option in options.iter() {
                let _ = cx.driver().set_option(id, option);
            }
        }
        Ok(id)
    }

    /// Gives up the driver's socket but not the object: another family is to be tried.
    pub(super) fn forget_socket(&self, cx: &Ctx) {
        if let Some(id) = self.id.take() {
            cx.extension::<Library>().open.borrow_mut().remove(&id);
            cx.close_socket(id);
        }
        self.opened.set(None);
        self.attempt.set(Attempt::None);
    }

    /// Remembers an option for the socket to come.
    pub(super) fn set_early(&self, option: SocketOption) {
        self.early_options.borrow_mut().get_or_insert_default().push(option);
    }

    /// The last option set before there was a socket for which `wanted` is true.
    pub(super) fn early_option(&self, wanted: impl Fn(&SocketOption) -> bool) -> Option<SocketOption> {
        let options = self.early_options.borrow();
        options.as_ref()?.iter().rev().find(|option| wanted(option)).cloned()
    }

    /// Closes the socket. Threads that wait on it are told.
    pub(in crate::core) fn close(&self, cx: &Ctx) {
        if self.closed.replace(true) {
            return;
        }
        if let Some(layer) = self.layer.take() {
            layer.finish(cx, self);
        }
        self.buffer.take();
        self.head.set(0);
        guard::closed(cx, self.transport());
        self.forget_socket(cx);
    }

    /// Family to open for where no address says.
    pub(super) fn usual_family(&self) -> Family {
        self.opened.get().or(self.family).unwrap_or(Family::V4)
    }

    /// Whether bytes are buffered.
    pub(super) fn is_dirty(&self) -> bool {
        !self.buffer.borrow().is_empty() || self.layer().is_some_and(|layer| layer.is_dirty())
    }

    /// What encrypts, if anything does.
    pub(super) fn layer(&self) -> Option<Rc<Layer>> {
        self.layer.borrow().clone()
    }

    /// Receives as the driver does: 0 is the end.
    pub(in crate::core) fn receive_some(&self, cx: &Ctx, buffer: &mut [u8]) -> io::Result<usize> {
        match self.layer() {
            Some(layer) => layer.receive(cx, self, buffer),
            None => self.receive_raw(cx, buffer),
        }
    }

    /// Sends as the driver does: a part of `data`.
    pub(in crate::core) fn send_some(&self, cx: &Ctx, data: &[u8]) -> io::Result<usize> {
        match self.layer() {
            Some(layer) => layer.send(cx, self, data),
            None => self.send_raw(cx, data),
        }
    }

    /// Sends what was taken from the program and is not with the driver yet.
    pub(in crate::core) fn flush(&self, cx: &Ctx) -> io::Result<()> {
        match self.layer() {
            Some(layer) if layer.has_unsent() => layer.flush(cx, self),
            _ => Ok(()),
        }
    }

    /// Receives what is on the wire, and counts it.
    pub(super) fn receive_raw(&self, cx: &Ctx, buffer: &mut [u8]) -> io::Result<usize> {
        let count = cx.driver().recv(self.open_id()?, buffer)?;
        self.count_received(cx, count);
        Ok(count)
    }

    /// Puts bytes on the wire, and counts them.
    pub(super) fn send_raw(&self, cx: &Ctx, data: &[u8]) -> io::Result<usize> {
        let count = cx.driver().send(self.open_id()?, data)?;
        self.count_sent(cx, count);
        Ok(count)
    }

    /// Takes the buffered bytes out; [`Sock::put_back`] returns what is not used.
    pub(super) fn take_buffer(&self) -> (Vec<u8>, usize) {
        (self.buffer.take(), self.head.replace(0) as usize)
    }

    /// Buffers `bytes[head..]`, giving the memory back when there is nothing.
    pub(super) fn put_back(&self, bytes: Vec<u8>, head: usize) {
        if head < bytes.len() {
            *self.buffer.borrow_mut() = bytes;
            self.head.set(head as u32);
        }
    }

    /// Puts bytes before those that are buffered.
    pub(in crate::core) fn unread(&self, mut bytes: Vec<u8>) {
        let (rest, head) = self.take_buffer();
        bytes.extend_from_slice(&rest[head..]);
        self.put_back(bytes, 0);
    }

    /// Notes received bytes.
    pub(super) fn count_received(&self, cx: &Ctx, bytes: usize) {
        self.received.set(self.received.get() + bytes as u64);
        add(&cx.counters.received_bytes, bytes);
    }

    /// Notes sent bytes.
    pub(super) fn count_sent(&self, cx: &Ctx, bytes: usize) {
        self.sent.set(self.sent.get() + bytes as u64);
        add(&cx.counters.sent_bytes, bytes);
    }
}

fn add(counter: &Cell<u64>, bytes: usize) {
    counter.set(counter.get() + bytes as u64);
}

/// The error of an operation on a socket that is closed.
pub(super) fn closed() -> io::Error {
    io::Error::from_raw_os_error(libc::EBADF)
}

/// LuaSocket's text for an error; what it has no text for is said in the system's words.
pub fn text(error: &io::Error) -> String {
    let known = match error.raw_os_error() {
        Some(libc::EADDRINUSE) => "address already in use",
        Some(libc::EISCONN) => "already connected",
        Some(libc::EACCES | libc::EPERM) => "permission denied",
        Some(libc::ECONNREFUSED) => "connection refused",
        Some(libc::EPIPE | libc::ECONNRESET | libc::ECONNABORTED | libc::EBADF) => "closed",
        Some(libc::ETIMEDOUT | libc::EAGAIN) => "timeout",
        _ => {
            let text = error.to_string();
            return match text.rfind(" (os error") {
                Some(end) => text[..end].to_owned(),
                None => text,
            };
        }
    };
    known.to_owned()
}

/// Pushes `nil, text`.
pub(in crate::core) fn fail(stack: Stack, text: &str) -> Return {
    stack.push_nil();
    stack.push_str(text);
    Return::Values(2)
}

/// Pushes `nil, "restricted"`.
pub(super) fn refuse(stack: Stack, _: Restricted) -> Return {
    fail(stack, guard::RESTRICTED)
}

/// Pushes 1, LuaSocket's success.
pub(super) fn one(stack: Stack) -> Return {
    stack.push_int(1);
    Return::Values(1)
}

/// Makes an object for a new socket of the instance, which has been counted.
pub(super) fn create(
    cx: &Ctx,
    stack: Stack,
    class: Class,
    family: Option<Family>,
    id: Option<SocketId>,
) -> Rc<Sock> {
    let sock = Rc::new(Sock::new(class, family, id, cx.now().as_secs_f64()));
    let library = cx.extension::<Library>();
    if let Some(id) = id {
        library.open.borrow_mut().insert(id, Rc::downgrade(&sock));
    }
    let metatable = library.metatables.get()[usize::from(sock.transport() == Transport::Udp)];
    push_object(stack, sock.clone(), metatable);
    sock
}

fn push_object(stack: Stack, sock: Rc<Sock>, metatable: i32) {
    let memory = stack.new_userdata(size_of::<Handle>()).cast::<Handle>();
    let handle = Handle { mark: &raw const MARK, sock: Some(sock) };
    // SAFETY: a fresh userdata of this size, 8-aligned; nothing reads it before it is filled.
    unsafe { memory.write(handle) };
    stack.stored(metatable);
    stack.set_metatable(-2);
}

/// Makes an object that takes over a connection and encrypts it; the old object is closed.
pub(super) fn create_secure(cx: &Ctx, stack: Stack, plain: &Sock, layer: Layer) {
    let library = cx.extension::<Library>();
    let sock = Rc::new(Sock::new(Class::Client, plain.opened.get(), plain.id.take(), plain.birth.get()));
    plain.closed.set(true);
    sock.bound.set(plain.bound.get());
    sock.attempt.set(Attempt::Done);
    sock.timeout.set(plain.timeout.get());
    sock.sent.set(plain.sent.get());
    sock.received.set(plain.received.get());
    sock.layer.replace(Some(Rc::new(layer)));
    if let Some(id) = sock.id.get() {
        library.open.borrow_mut().insert(id, Rc::downgrade(&sock));
    }
    push_object(stack, sock, library.secure_metatable.get());
}

fn handle(stack: Stack, index: i32) -> Option<*mut Handle> {
    if stack.kind(index) != crate::vm::Kind::Userdata || stack.raw_len(index) != size_of::<Handle>() {
        return None;
    }
    let memory = stack.userdata(index).cast::<Handle>();
    // SAFETY: a full userdata of at least this size; the mark says whether it is one of ours.
    (unsafe { (*memory).mark } == &raw const MARK).then_some(memory)
}

/// The socket of an object, if the value is one.
pub(in crate::core) fn sock_at<'a>(stack: Stack, index: i32) -> Option<&'a Rc<Sock>> {
    let memory = handle(stack, index)?;
    // SAFETY: one of our userdata, initialised by `create`. The reference is used only while
    // the value is on the stack of the native call at hand, so it is not collected meanwhile.
    unsafe { (*memory).sock.as_ref() }
}

/// The socket `self` of a method that only objects of certain classes have.
pub(super) fn this<'a>(stack: Stack, classes: &[Class]) -> Result<&'a Rc<Sock>, NativeError> {
    let Some(sock) = sock_at(stack, 1) else { return Err(stack.wrong_type(1, "socket")) };
    let class = sock.class.get();
    if classes.is_empty() || classes.contains(&class) {
        return Ok(sock);
    }
    let wanted = classes.first().map_or("socket", |class| class.name());
    Err(NativeError::Argument(1, format!("{wanted} expected, got {}", class.name())))
}

/// `__gc`: an object nobody holds any more closes its socket.
unsafe extern "C-unwind" fn collect(state: State) -> std::ffi::c_int {
    let body = |stack| {
        if let Some(memory) = handle(stack, 1) {
            // SAFETY: one of our userdata, initialised by `create`; no reference into it is
            // alive while it is collected.
            let sock = unsafe { (*memory).sock.take() };
            if let Some(sock) = sock {
                sock.close(Ctx::current());
            }
        }
        Ok(Return::Values(0))
    };
    // SAFETY: called by Lua.
    unsafe { enter_always(state, body) }
}

native! {
    /// `__tostring`
    fn display(cx, stack) {
        let name = match sock_at(stack, 1).map(|sock| (sock.transport(), sock.layer().is_some())) {
            Some((Transport::Tcp, false)) => "TCP",
            Some((Transport::Tcp, true)) => "TLS",
            Some((Transport::Udp, _)) => "UDP",
            None => "closed",
        };
        stack.push_str(&format!("#SE ({name}): {:p}", stack.userdata(1)));
        Ok(Return::Values(1))
    }

    /// `__index`: a field that Lua has stored in the object, or a method (the upvalue's table).
    fn index(cx, stack) {
        if let Some(sock) = sock_at(stack, 1)
            && sock.has_fields.get()
        {
            stack.environment(1);
            stack.push_value(2);
            stack.raw_get(-2);
            if !stack.is_nil(-1) {
                return Ok(Return::Values(1));
            }
        }
        stack.push_value(2);
        stack.raw_get(ffi::lua_upvalueindex(1));
        Ok(Return::Values(1))
    }

    /// `__newindex`: programs wrap methods and keep values in their sockets.
    fn new_index(cx, stack) {
        let Some(sock) = sock_at(stack, 1) else { return Err(stack.wrong_type(1, "socket")) };
        stack.set_top(3);
        if !sock.has_fields.replace(true) {
            stack.new_table(0, 1);
            stack.set_environment(1);
        }
        stack.environment(1);
        stack.insert(2);
        stack.raw_set(2);
        Ok(Return::Values(0))
    }
}

/// Makes the metatable of a transport's objects and stores it.
pub(super) fn make_metatable(
    stack: Stack,
    name: &str,
    methods: &[(&std::ffi::CStr, ffi::lua_CFunction)],
) -> i32 {
    stack.new_table(0, 5);
    stack.push_native(collect);
    stack.set_field(-2, c"__gc");
    stack.push_native(display);
    stack.set_field(-2, c"__tostring");
    stack.push_native(new_index);
    stack.set_field(-2, c"__newindex");
    stack.new_table(0, methods.len() as i32);
    stack.add_functions(methods);
    stack.push_closure(index, 1);
    stack.set_field(-2, c"__index");
    stack.push_str(name);
    stack.set_field(-2, c"__metatable");
    stack.store()
}

/// Pushes an IP address as text.
pub(super) fn push_host(stack: Stack, ip: IpAddr) {
    // The longest is an IPv6 address with a zone, which these have not: 45 bytes.
    let mut text = [0_u8; 64];
    let mut rest = &mut text[..];
    write!(rest, "{ip}").expect("an address is at most 45 bytes long");
    let length = 64 - rest.len();
    stack.push_bytes(&text[..length]);
}

/// Pushes `ip, port, family` of an address.
pub(super) fn push_address(stack: Stack, address: SocketAddr) -> i32 {
    push_host(stack, address.ip());
    stack.push_int(address.port().into());
    stack.push_str(if address.is_ipv4() { "inet" } else { "inet6" });
    3
}
