//! `splay.nbd_core`: the server's end of NBD connections over sockets of `splay.socket_core`. The
//! protocol is [`splay_nbd`]'s; payloads go from the connection's buffer to Lua strings and back
//! without a function of Lua in between. Knows no export and no callback: those are `splay.nbd`'s.

use std::cell::{Cell, RefCell};
use std::ffi::{CStr, c_int};
use std::io::ErrorKind;
use std::rc::Rc;

use slab::Slab;
use splay_nbd::{
    Abilities, BlockSizes, Command, Config, Errno, Event, Export, Extent, Listed, Names, Request as Asked,
    Session, Ticket, Tls,
};

use super::function_table;
use super::socket::guard::{self, RESTRICTED};
use super::socket::{Sock, fail, sock_at, text};
use crate::driver::{SocketId, SocketOption, Watch};
use crate::native;
use crate::scheduler::threads::ThreadId;
use crate::vm::{
    Ctx, Kind, Module, NativeError, NativeResult, Request, Return, Service, Stack, State, Wait, enter_always,
};

/// The module.
pub const MODULE: Module = Module { name: "splay.nbd_core", open };

/// A client that does not read its replies gets no more of them: beyond so many bytes, requests wait.
const MOST_UNSENT_BYTES: usize = 8 << 20;

fn open(cx: &Ctx, stack: Stack) {
    stack.new_table(0, 4);
    stack.push_native(collect);
    stack.set_field(-2, c"__gc");
    stack.push_str("nbd session");
    stack.set_field(-2, c"__metatable");
    function_table(
        stack,
        &[
            (c"next", next),
            (c"opened", opened),
            (c"refused", refused),
            (c"read", read),
            (c"done", done),
            (c"fail", fail_request),
            (c"extents", extents),
            (c"plain", plain),
            (c"secured", secured),
            (c"finish", finish),
            (c"close", close),
        ],
    );
    stack.set_field(-2, c"__index");
    cx.extension::<Library>().metatable.set(stack.store());
    function_table(stack, &[(c"session", session), (c"lua53", lua53)]);
}

/// Registry reference of the metatable.
#[derive(Default)]
struct Library {
    metatable: Cell<i32>,
}

/// One connection.
struct Connection {
    sock: RefCell<Rc<Sock>>,
    session: RefCell<Session>,
    /// Requests that Lua has not answered.
    tickets: RefCell<Slab<Ticket>>,
    /// The thread in `next` or `finish`.
    waiting: Cell<Option<ThreadId>>,
    /// Readiness is told once and not as long as it lasts: see [`Connection::ready`].
    edge: Cell<bool>,
    /// The last receive took all there was.
    drained: Cell<bool>,
    /// What was answered while nobody was in `next` is about to be sent.
    flushing: Cell<bool>,
    /// Why nothing goes any more.
    failed: RefCell<Option<String>>,
}

impl Connection {
    fn fail(&self, why: &str) {
        self.failed.borrow_mut().get_or_insert_with(|| why.to_owned());
    }

    /// Sends what is unsent, as far as there is room.
    fn flush(&self, cx: &Ctx) {
        let sock = self.sock.borrow().clone();
        let mut session = self.session.borrow_mut();
        let mut send = || {
            while !session.unsent().is_empty() {
                if guard::may_send(cx, session.unsent().len()).is_err() {
                    self.fail(RESTRICTED);
                    return Ok(());
                }
                let count = sock.send_some(cx, session.unsent())?;
                session.sent(count);
            }
            sock.flush(cx)
        };
        match send() {
            Ok(()) => {}
            // That there is room again is told to those alone that are told once.
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.tell_once(cx),
            Err(error) => self.fail(&text(&error)),
        }
    }

    fn tell_once(&self, cx: &Ctx) {
        if !self.edge.replace(true)
            && let Ok(id) = self.sock.borrow().open_id()
            && let Err(error) = cx.driver().watch(id, Watch::Edge)
        {
            self.fail(&text(&error));
        }
    }

    /// Receives once; false if nothing has come.
    fn receive(&self, cx: &Ctx) -> bool {
        if self.drained.get() && !self.edge.get() {
            // Had more come since, the driver would tell.
            self.drained.set(false);
            return false;
        }
        if guard::may_receive(cx).is_err() {
            self.fail(RESTRICTED);
            return true;
        }
        let sock = self.sock.borrow().clone();
        let mut session = self.session.borrow_mut();
        let room = session.room();
        match sock.receive_some(cx, room) {
            Ok(0) => self.fail("closed"),
            Ok(count) => {
                self.drained.set(count < room.len());
                session.received(count);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(error) => self.fail(&text(&error)),
        }
        true
    }

    /// Goes on to the next event, whose results are pushed; `None`: nothing can be done now.
    fn advance(&self, cx: &Ctx, stack: Stack) -> Option<i32> {
        loop {
            if self.sock.borrow().open_id().is_err() {
                self.fail("closed");
            }
            if let Some(why) = &*self.failed.borrow() {
                fail(stack, why);
                return Some(2);
            }
            if self.session.borrow().unsent().len() > MOST_UNSENT_BYTES {
                self.flush(cx);
                if self.session.borrow().unsent().len() > MOST_UNSENT_BYTES {
                    return None;
                }
            }
            let event = self.session.borrow_mut().next_event();
            match event {
                Ok(Some(event)) => return Some(self.push_event(stack, event)),
                Ok(None) => {}
                Err(fault) => {
                    self.flush(cx);
                    self.fail(&fault.to_string());
                    continue;
                }
            }
            self.flush(cx);
            if self.failed.borrow().is_none() && !self.receive(cx) {
                return None;
            }
        }
    }

    fn push_event(&self, stack: Stack, event: Event) -> i32 {
        match event {
            Event::Open { name, only_info } => {
                stack.push_str("open");
                stack.push_bytes(&name);
                stack.push_bool(only_info);
                3
            }
            Event::Close => {
                stack.push_str("close");
                1
            }
            Event::StartTls => {
                stack.push_str("tls");
                1
            }
            Event::End => {
                stack.push_str("end");
                1
            }
            Event::Request(request) => self.push_request(stack, &request),
        }
    }

    fn push_request(&self, stack: Stack, asked: &Asked) -> i32 {
        stack.push_str(match asked.command {
            Command::Read => "read",
            Command::Write => "write",
            Command::Flush => "flush",
            Command::Trim => "trim",
            Command::Cache => "cache",
            Command::WriteZeroes { .. } => "zero",
            Command::Extents { .. } => "extents",
        });
        let ticket = self.tickets.borrow_mut().insert(asked.ticket);
        stack.push_int(ticket as i64);
        // Within the export, whose size is one that a double holds.
        stack.push_int(asked.offset as i64);
        match asked.command {
            Command::Write => stack.push_bytes(self.session.borrow().payload(asked)),
            _ => stack.push_int(asked.length.into()),
        }
        stack.push_bool(asked.fua);
        match asked.command {
            Command::WriteZeroes { may_trim, fast } => {
                stack.push_bool(may_trim);
                stack.push_bool(fast);
                7
            }
            Command::Extents { one } => {
                stack.push_bool(one);
                6
            }
            _ => 5,
        }
    }

    fn ticket(&self, stack: Stack, index: i32) -> Result<Ticket, NativeError> {
        let number = stack.check_number(index)? as usize;
        let ticket = self.tickets.borrow_mut().try_remove(number);
        ticket.ok_or_else(|| NativeError::Argument(index, "no such request".to_owned()))
    }

    fn wake(self: &Rc<Self>, cx: &Ctx) {
        if let Some(thread) = self.waiting.get() {
            cx.poll_request(thread);
        }
    }

    /// Has what was answered sent, together with what else is answered in this turn. The thread in
    /// `next` sends by itself what was answered before it waits.
    fn answered(self: &Rc<Self>, cx: &Ctx) {
        if self.waiting.get().is_some() && !self.flushing.replace(true) {
            let connection = self.clone();
            cx.defer(Box::new(move |cx| {
                connection.flushing.set(false);
                connection.flush(cx);
                if connection.failed.borrow().is_some() {
                    connection.wake(cx);
                }
            }));
        }
    }

    fn close(self: &Rc<Self>, cx: &Ctx) {
        self.fail("closed");
        let sock = self.sock.borrow().clone();
        sock.close(cx);
        let connection = self.clone();
        if self.waiting.get().is_some() {
            cx.defer(Box::new(move |cx| connection.wake(cx)));
        }
    }

    fn suspend(self: &Rc<Self>, cx: &Ctx, last: bool) -> NativeResult {
        let thread = cx.waiter()?;
        if self.waiting.get().is_some() {
            return Err("another thread waits for this client".into());
        }
        self.waiting.set(Some(thread));
        cx.suspend(Box::new(Waiting { connection: self.clone(), last }), None)
    }

    /// Sends the last bytes; `None`: there is no room for them yet.
    fn last_words(&self, cx: &Ctx, stack: Stack) -> Option<i32> {
        if self.sock.borrow().open_id().is_ok() && self.failed.borrow().is_none() {
            self.flush(cx);
            if self.failed.borrow().is_none() && !self.session.borrow().unsent().is_empty() {
                return None;
            }
        }
        stack.push_bool(self.failed.borrow().is_none());
        Some(1)
    }
}

impl Service for Connection {
    /// The driver tells of readable bytes as long as there are some, which spares the attempt to
    /// receive more after each request. If nobody wants them now (a callback waits for something
    /// else), that would be told over and over: from then on, once is enough.
    fn ready(&self, cx: &Ctx, _: SocketId, _: bool, writable: bool) {
        if writable && !self.session.borrow().unsent().is_empty() {
            self.flush(cx);
        }
        match self.waiting.get() {
            Some(thread) => cx.poll_request(thread),
            None => self.tell_once(cx),
        }
    }
}

/// A thread in `next`, or in `finish`.
struct Waiting {
    connection: Rc<Connection>,
    last: bool,
}

impl Request for Waiting {
    fn poll(&mut self, cx: &Ctx, stack: Stack) -> Option<i32> {
        match self.last {
            true => self.connection.last_words(cx, stack),
            false => self.connection.advance(cx, stack),
        }
    }

    fn expired(&mut self, _: &Ctx, stack: Stack) -> Wait {
        fail(stack, "timeout");
        Wait::Over(2)
    }

    fn release(&mut self, _: &Ctx, _: ThreadId) {
        self.connection.waiting.set(None);
    }
}

/// What a session's userdata contains. The mark tells it from any other userdata.
#[repr(C)]
struct Handle {
    mark: *const u8,
    /// `None` once collected.
    connection: Option<Rc<Connection>>,
}

static MARK: u8 = 0;

fn handle(stack: Stack, index: i32) -> Option<*mut Handle> {
    if stack.kind(index) != Kind::Userdata || stack.raw_len(index) != size_of::<Handle>() {
        return None;
    }
    let memory = stack.userdata(index).cast::<Handle>();
    // SAFETY: a full userdata of at least this size; the mark says whether it is one of ours.
    (unsafe { (*memory).mark } == &raw const MARK).then_some(memory)
}

fn this<'a>(stack: Stack) -> Result<&'a Rc<Connection>, NativeError> {
    // SAFETY: one of our userdata, initialised by `session`. The reference is used only while the
    // value is on the stack of the native call at hand, so it is not collected meanwhile.
    let found = handle(stack, 1).and_then(|memory| unsafe { (*memory).connection.as_ref() });
    found.ok_or_else(|| stack.wrong_type(1, "nbd session"))
}

unsafe extern "C-unwind" fn collect(state: State) -> c_int {
    let body = |stack| {
        if let Some(memory) = handle(stack, 1) {
            // SAFETY: one of our userdata; no reference into it is alive while it is collected.
            if let Some(connection) = unsafe { (*memory).connection.take() } {
                connection.close(Ctx::current());
            }
        }
        Ok(Return::Values(0))
    };
    // SAFETY: called by Lua.
    unsafe { enter_always(state, body) }
}

fn flag(stack: Stack, index: i32, key: &CStr) -> bool {
    stack.field(index, key);
    let set = stack.truth(-1);
    stack.pop(1);
    set
}

fn bytes_field(stack: Stack, index: i32, key: &CStr) -> Option<Vec<u8>> {
    stack.field(index, key);
    let bytes = stack.bytes(-1).map(<[u8]>::to_vec);
    stack.pop(1);
    bytes
}

fn number_field(stack: Stack, index: i32, key: &CStr) -> Option<f64> {
    stack.field(index, key);
    let number = stack.number(-1);
    stack.pop(1);
    number
}

/// The list of `{name=, description=}` at `index`; nil is one export of any name.
fn names(stack: Stack, index: i32) -> Names {
    if stack.kind(index) != Kind::Table {
        return Names::Any;
    }
    let mut list = Vec::new();
    for n in 1.. {
        stack.raw_get_index(index, n);
        if stack.kind(-1) != Kind::Table {
            stack.pop(1);
            break;
        }
        let top = stack.top();
        let name = bytes_field(stack, top, c"name").unwrap_or_default();
        let description = bytes_field(stack, top, c"description").unwrap_or_default();
        stack.pop(1);
        list.push(Listed { name, description });
    }
    Names::Only(list)
}

/// Largest size whose offsets are all exact numbers in Lua.
const MAX_SIZE: f64 = 9_007_199_254_740_992.0;

native! {
    /// `session(socket, names, tls) -> session`: speaks NBD with a client that has connected. `names`:
    /// list of `{name, description}`, or nil for one export of any name; `tls`: "allowed", "required"
    /// or nil. The socket is the session's from now on.
    fn session(cx, stack) {
        let sock = sock_at(stack, 1).cloned().ok_or_else(|| stack.wrong_type(1, "socket"))?;
        let tls = match stack.bytes(3) {
            Some(b"allowed") => Tls::Allowed,
            Some(b"required") => Tls::Required,
            _ => Tls::Off,
        };
        let config = Config { names: names(stack, 2), tls };
        let id = match sock.open_id() {
            Ok(id) => id,
            Err(error) => return Ok(fail(stack, &text(&error))),
        };
        // A Unix socket has no such option, and needs none.
        let _ = cx.driver().set_option(id, &SocketOption::NoDelay(true));
        let connection = Rc::new(Connection {
            sock: RefCell::new(sock),
            session: RefCell::new(Session::new(config)),
            tickets: RefCell::default(),
            waiting: Cell::new(None),
            edge: Cell::new(false),
            drained: Cell::new(false),
            flushing: Cell::new(false),
            failed: RefCell::default(),
        });
        if let Err(error) = cx.watch_service(id, Watch::Readable, connection.clone()) {
            return Ok(fail(stack, &text(&error)));
        }
        let memory = stack.new_userdata(size_of::<Handle>()).cast::<Handle>();
        let handle = Handle { mark: &raw const MARK, connection: Some(connection) };
        // SAFETY: a fresh userdata of this size, 8-aligned; nothing reads it before it is filled.
        unsafe { memory.write(handle) };
        stack.stored(cx.extension::<Library>().metatable.get());
        stack.set_metatable(-2);
        Ok(Return::Values(1))
    }

    /// `s:next()` -> what the client wants: `"open", name, only_info`; `"close"`; `"tls"`; `"end"`; a
    /// request: `kind, ticket, offset, length or data, fua, ...`; or nil and why there is no more.
    fn next(cx, stack) {
        let connection = this(stack)?;
        match connection.advance(cx, stack) {
            Some(results) => Ok(Return::Values(results)),
            None => connection.suspend(cx, false),
        }
    }

    /// `s:opened{size=, write=, flush=, trim=, rotational=, multi_conn=, cache=, extents=, fast_zero=,
    /// description=, minimum=, preferred=, maximum=}`
    fn opened(cx, stack) {
        let connection = this(stack)?;
        stack.check_table(2)?;
        let size = number_field(stack, 2, c"size").unwrap_or(-1.0);
        if !(0.0..=MAX_SIZE).contains(&size) {
            return Err(NativeError::Argument(2, "invalid size".to_owned()));
        }
        let sizes = [c"minimum", c"preferred", c"maximum"]
            .map(|key| number_field(stack, 2, key).map(|bytes| bytes.clamp(0.0, f64::from(u32::MAX)) as u32));
        let block_sizes = match sizes {
            [Some(minimum), Some(preferred), Some(maximum)] => Some(BlockSizes { minimum, preferred, maximum }),
            _ => None,
        };
        let export = Export {
            size: size as u64,
            abilities: Abilities {
                write: flag(stack, 2, c"write"),
                flush: flag(stack, 2, c"flush"),
                trim: flag(stack, 2, c"trim"),
                rotational: flag(stack, 2, c"rotational"),
                multi_conn: flag(stack, 2, c"multi_conn"),
                cache: flag(stack, 2, c"cache"),
                extents: flag(stack, 2, c"extents"),
                fast_zero: flag(stack, 2, c"fast_zero"),
            },
            description: bytes_field(stack, 2, c"description"),
            block_sizes,
        };
        connection.session.borrow_mut().opened(export);
        Ok(Return::Values(0))
    }

    /// `s:refused(why)`: the export that the client wants cannot be had.
    fn refused(cx, stack) {
        let connection = this(stack)?;
        let why = stack.text(2).unwrap_or_default();
        let refused = connection.session.borrow_mut().refused(&why);
        if let Err(fault) = refused {
            connection.fail(&fault.to_string());
        }
        Ok(Return::Values(0))
    }

    /// `s:read(ticket, data) -> true`, or false and what is wrong with the data.
    fn read(cx, stack) {
        let connection = this(stack)?;
        let Some(data) = stack.bytes(3) else {
            stack.push_bool(false);
            stack.push_str("return value is not a string");
            return Ok(Return::Values(2));
        };
        let number = stack.check_number(2)? as usize;
        let ticket = connection.tickets.borrow().get(number).copied();
        let ticket = ticket.ok_or_else(|| NativeError::Argument(2, "no such request".to_owned()))?;
        if !connection.session.borrow_mut().reply_read(ticket, data) {
            stack.push_bool(false);
            stack.push_str("returned string length < count bytes");
            return Ok(Return::Values(2));
        }
        connection.tickets.borrow_mut().remove(number);
        connection.answered(cx);
        stack.push_bool(true);
        Ok(Return::Values(1))
    }

    /// `s:done(ticket)`: whatever is neither a read nor about extents is done.
    fn done(cx, stack) {
        let connection = this(stack)?;
        let ticket = connection.ticket(stack, 2)?;
        connection.session.borrow_mut().reply_done(ticket);
        connection.answered(cx);
        Ok(Return::Values(0))
    }

    /// `s:fail(ticket[, errno])`: a request has failed, with EIO if the name is none of an error.
    fn fail_request(cx, stack) {
        let connection = this(stack)?;
        let ticket = connection.ticket(stack, 2)?;
        let errno = stack.text(3).and_then(|name| Errno::named(&name)).unwrap_or(Errno::Eio);
        connection.session.borrow_mut().reply_error(ticket, errno);
        connection.answered(cx);
        Ok(Return::Values(0))
    }

    /// `s:extents(ticket, list)` of `{length, hole, zero}`, from the request's first byte on.
    fn extents(cx, stack) {
        let connection = this(stack)?;
        stack.check_table(3)?;
        let ticket = connection.ticket(stack, 2)?;
        let mut list = Vec::new();
        for n in 1.. {
            stack.raw_get_index(3, n);
            if stack.kind(-1) != Kind::Table {
                stack.pop(1);
                break;
            }
            let fields = stack.top();
            (1..=3).for_each(|field| stack.raw_get_index(fields, field));
            let length = stack.number(fields + 1).unwrap_or(0.0).clamp(0.0, MAX_SIZE) as u64;
            list.push(Extent { length, hole: stack.truth(fields + 2), zero: stack.truth(fields + 3) });
            stack.set_top(fields - 1);
        }
        connection.session.borrow_mut().reply_extents(ticket, &list);
        connection.answered(cx);
        Ok(Return::Values(0))
    }

    /// `s:plain() -> socket's bytes are ready for TLS`: what was answered is sent, and what came behind
    /// the client's wish goes back to the socket, whose handshake begins with it.
    fn plain(cx, stack) {
        let connection = this(stack)?;
        connection.flush(cx);
        let rest = connection.session.borrow_mut().take_rest();
        connection.sock.borrow().unread(rest);
        Ok(Return::Values(0))
    }

    /// `s:secured(socket)`: goes on over the socket that TLS has made of the first one.
    fn secured(cx, stack) {
        let connection = this(stack)?;
        let sock = sock_at(stack, 2).cloned().ok_or_else(|| stack.wrong_type(2, "socket"))?;
        connection.sock.replace(sock);
        connection.session.borrow_mut().secured();
        // Bytes may be in the layer of which the driver knows nothing.
        connection.tell_once(cx);
        Ok(Return::Values(0))
    }

    /// `s:finish() -> boolean`: what was answered has been sent.
    fn finish(cx, stack) {
        let connection = this(stack)?;
        match connection.last_words(cx, stack) {
            Some(results) => Ok(Return::Values(results)),
            None => connection.suspend(cx, true),
        }
    }

    /// `s:close()`: the connection is gone; whoever is in `next` is told.
    fn close(cx, stack) {
        this(stack)?.close(cx);
        Ok(Return::Values(0))
    }

    /// `lua53(source) -> source` in which Lua 5.3's operators are calls of functions named in
    /// [`crate::compat::lua53`], and whether there are any.
    fn lua53(cx, stack) {
        let source = stack.check_bytes(1)?;
        let prepared = crate::compat::lua53::rewrite(source);
        stack.push_bytes(&prepared);
        stack.push_bool(matches!(prepared, std::borrow::Cow::Owned(_)));
        Ok(Return::Values(2))
    }
}
