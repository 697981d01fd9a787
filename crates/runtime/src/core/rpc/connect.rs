//! `splay.rpc_core`: calls over TCP, one connection each (semantics of the old library, 4.2).

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::call::{Carrier, Common, Outgoing, encode_call, make, port_at};
use super::link::{self, Burst, Incoming, Outbound};
use super::reply::{CORRUPTED, Style, failure, success};
use super::serve::{Served, outcome, serve};
use crate::codec::benc::{self, Reader};
use crate::codec::llenc;
use crate::core::function_table;
use crate::driver::{SocketId, SocketOption, Transport, Watch};
use crate::native;
use crate::scheduler::threads::ThreadId;
use crate::vm::{Ctx, End, Kind, Module, Outcome, Return, Service};

/// The module.
pub const MODULE: Module = Module {
    name: "splay.rpc_core",
    open: |_, stack| {
        function_table(
            stack,
            &[
                (c"acall", acall),
                (c"call", call),
                (c"try", try_),
                (c"ping", ping),
                (c"server", server),
                (c"stop_server", stop_server),
                (c"settings", settings),
                (c"calls", calls),
            ],
        );
    },
};

/// Timeout without argument or setting, seconds.
const DEFAULT_TIMEOUT: f64 = 60.0;
/// Connections accepted in one go.
pub const ACCEPT_BURST: usize = 64;
/// Listen backlog unless the program names one: connections are accepted at once, so this only
/// has to outlast one turn of the worker (the system's own limit applies).
pub const DEFAULT_BACKLOG: f64 = 4096.0;

#[derive(Default)]
struct Rpc {
    common: Common,
    next: Cell<u64>,
    calls: RefCell<FxHashMap<u64, Rc<Caller>>>,
    servers: RefCell<FxHashMap<u16, Rc<Server>>>,
}

/// A call's connection, on the caller's side.
struct Caller {
    socket: SocketId,
    thread: ThreadId,
    style: Style,
    started: Duration,
    out: RefCell<Outbound>,
    incoming: RefCell<Incoming>,
}

impl Caller {
    /// Sends what is left; an error's text.
    fn flush(&self, cx: &Ctx) -> Result<(), String> {
        match self.out.borrow_mut().flush(cx, self.socket) {
            Ok(_) => Ok(()),
            // The connection is still being made.
            Err(error) if error.kind() == ErrorKind::NotConnected => Ok(()),
            Err(error) => Err(link::text(&error)),
        }
    }

    fn fail(&self, cx: &Ctx, error: &str) {
        cx.complete(self.thread, |stack| failure(stack, self.style, error));
    }

    fn answered(&self, cx: &Ctx, reply: &[u8]) {
        let elapsed = cx.now().saturating_sub(self.started);
        cx.complete(self.thread, |stack| {
            if self.style == Style::Ping {
                stack.push_number(elapsed.as_secs_f64());
                return 1;
            }
            match remote_error(reply) {
                Some(error) => failure(stack, self.style, &error),
                None => success(stack, self.style, reply),
            }
        });
    }
}

/// The text of a reply `{error = text}`, which nodes of the old library take for no results.
fn remote_error(reply: &[u8]) -> Option<String> {
    if !reply.starts_with(b"d5:error") {
        return None;
    }
    let error = Reader::new(reply).ok()?.find(b"error").ok()??;
    Some(String::from_utf8_lossy(error.as_bytes()?).into_owned())
}

/// An attempt to connect that has failed; still going on is no failure.
fn connect_result(cx: &Ctx, socket: SocketId) -> Result<(), String> {
    match cx.driver().connect_result(socket) {
        Err(error) if error.kind() != ErrorKind::WouldBlock => Err(link::text(&error)),
        _ => Ok(()),
    }
}

impl Service for Caller {
    fn ready(&self, cx: &Ctx, socket: SocketId, readable: bool, writable: bool) {
        if writable
            && !self.out.borrow().is_empty()
            && let Err(error) = connect_result(cx, socket)
        {
            return self.fail(cx, &error);
        }
        if writable && let Err(error) = self.flush(cx) {
            return self.fail(cx, &error);
        }
        if !readable {
            return;
        }
        let mut reply = None;
        let state = link::with_chunk(|chunk| {
            loop {
                match link::recv(cx, socket, chunk) {
                    Ok(0) => return Err("closed".to_owned()),
                    Ok(length) => {
                        let fed = self.incoming.borrow_mut().feed(&chunk[..length], |frame| {
                            reply = Some(frame.to_vec());
                            false
                        });
                        if fed.is_err() {
                            return Err(CORRUPTED.to_owned());
                        }
                        if reply.is_some() {
                            return Ok(());
                        }
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                    Err(error) => return Err(link::text(&error)),
                }
            }
        });
        match (reply, state) {
            (Some(reply), _) => self.answered(cx, &reply),
            (None, Err(error)) => self.fail(cx, &error),
            (None, Ok(())) => {}
        }
    }
}

impl Carrier for Rpc {
    fn common(&self) -> &Common {
        &self.common
    }

    fn encode(
        &self,
        stack: crate::vm::Stack,
        call: Option<i32>,
        outgoing: &mut Outgoing,
    ) -> Result<(), String> {
        outgoing.number = self.next.get() + 1;
        self.next.set(outgoing.number);
        match call {
            None => {
                llenc::write_frame(&mut outgoing.message, b"d4:type4:pinge");
                Ok(())
            }
            Some(call) => llenc::write_frame_with(&mut outgoing.message, |out| {
                out.extend_from_slice(b"d4:call");
                encode_call(stack, call, out)?;
                out.extend_from_slice(b"4:type4:calle");
                Ok(())
            }),
        }
    }

    fn launch(self: Rc<Self>, cx: &Ctx, thread: ThreadId, outgoing: &mut Outgoing) -> Result<(), String> {
        let to = outgoing.to.expect("launched after the address is known");
        link::check_peer(cx, &to)?;
        let socket = link::open(cx, Transport::Tcp, link::family(&to.ip()))?;
        let caller = Rc::new(Caller {
            socket,
            thread,
            style: outgoing.style,
            started: outgoing.started,
            out: RefCell::default(),
            incoming: RefCell::default(),
        });
        std::mem::swap(caller.out.borrow_mut().buffer(), &mut outgoing.message);
        self.calls.borrow_mut().insert(outgoing.number, caller.clone());
        if self.common.setting(cx.main_stack(), c"nodelay").is_some() {
            let _ = cx.driver().set_option(socket, &SocketOption::NoDelay(true));
        }
        let connected = cx.driver().connect(socket, to);
        match connected {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(link::text(&error)),
        }
        // On loopback the connection is usually made by now: the request leaves without a wake.
        caller.flush(cx)?;
        cx.watch_service(socket, Watch::Edge, caller).map_err(|error| link::text(&error))
    }

    fn again(&self, _cx: &Ctx, outgoing: &mut Outgoing) {
        outgoing.again = outgoing.deadline;
    }

    fn forget(&self, cx: &Ctx, outgoing: &Outgoing) {
        if let Some(caller) = self.calls.borrow_mut().remove(&outgoing.number) {
            link::close(cx, Transport::Tcp, caller.socket);
        }
    }
}

// ---- server -----------------------------------------------------------------------------

/// What listens on a port.
struct Server {
    socket: SocketId,
    max: usize,
    serving: Cell<usize>,
    /// Accepted, but beyond `max`: served when others have ended. Accepting them keeps the
    /// system's backlog from filling up, which would stall callers for a second.
    parked: RefCell<VecDeque<SocketId>>,
    connections: RefCell<FxHashMap<SocketId, Rc<Connection>>>,
    burst: Burst,
    me: RefCell<std::rc::Weak<Server>>,
}

/// One call's connection, on the server's side.
struct Connection {
    server: std::rc::Weak<Server>,
    socket: SocketId,
    out: RefCell<Outbound>,
    incoming: RefCell<Incoming>,
    watched: Cell<bool>,
    /// The request has been read.
    busy: Cell<bool>,
    /// The reply has been written: close when it has left.
    replied: Cell<bool>,
}

impl Service for Server {
    fn ready(&self, cx: &Ctx, socket: SocketId, _readable: bool, _writable: bool) {
        for n in 0..ACCEPT_BURST {
            if n == 1 && !self.burst.try_more() {
                return;
            }
            let accepted = link::accept(cx, socket);
            if n == 1 {
                self.burst.found(accepted.is_ok());
            }
            match accepted {
                Ok((socket, _)) if self.serving.get() < self.max => self.begin(cx, socket),
                Ok((socket, _)) => self.parked.borrow_mut().push_back(socket),
                Err(_) => return,
            }
        }
    }
}

impl Server {
    fn begin(&self, cx: &Ctx, socket: SocketId) {
        self.serving.set(self.serving.get() + 1);
        let connection = Rc::new(Connection {
            server: self.me.borrow().clone(),
            socket,
            out: RefCell::default(),
            incoming: RefCell::default(),
            watched: Cell::new(false),
            busy: Cell::new(false),
            replied: Cell::new(false),
        });
        self.connections.borrow_mut().insert(socket, connection.clone());
        connection.receive(cx);
    }

    fn end(&self, cx: &Ctx, socket: SocketId) {
        if self.connections.borrow_mut().remove(&socket).is_none() {
            return;
        }
        link::close(cx, Transport::Tcp, socket);
        self.serving.set(self.serving.get() - 1);
        let next = self.parked.borrow_mut().pop_front();
        if let (Some(next), Some(server)) = (next, self.me.borrow().upgrade()) {
            cx.defer(Box::new(move |cx| server.begin(cx, next)));
        }
    }

    fn stop(&self, cx: &Ctx) {
        link::close(cx, Transport::Tcp, self.socket);
        let open: Vec<SocketId> = self.connections.borrow_mut().drain().map(|(socket, _)| socket).collect();
        for socket in open.into_iter().chain(self.parked.borrow_mut().drain(..)) {
            link::close(cx, Transport::Tcp, socket);
        }
        cx.unhold();
    }
}

impl Connection {
    /// A stopped server has closed its connections, and their socket ids may be others' by now.
    fn is_open(&self) -> bool {
        self.server.upgrade().is_some_and(|server| {
            server.connections.borrow().get(&self.socket).is_some_and(|open| std::ptr::eq(&**open, self))
        })
    }

    fn close(&self, cx: &Ctx) {
        if let Some(server) = self.server.upgrade() {
            server.end(cx, self.socket);
        }
    }

    fn watch(self: &Rc<Self>, cx: &Ctx) {
        if !self.watched.replace(true) && cx.watch_service(self.socket, Watch::Edge, self.clone()).is_err() {
            self.close(cx);
        }
    }

    /// Reads the request; a connection on which nothing has arrived yet is watched.
    fn receive(self: &Rc<Self>, cx: &Ctx) {
        let mut request = None;
        let state = link::with_chunk(|chunk| {
            loop {
                match link::recv(cx, self.socket, chunk) {
                    Ok(0) => return Err(()),
                    Ok(length) => {
                        self.incoming.borrow_mut().feed(&chunk[..length], |frame| {
                            request = Some(frame.to_vec());
                            false
                        })?;
                        if request.is_some() {
                            return Ok(true);
                        }
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                    Err(_) => return Err(()),
                }
            }
        });
        match (request, state) {
            (Some(request), _) => {
                self.busy.set(true);
                self.serve(cx, &request);
            }
            (None, Ok(_)) => self.watch(cx),
            (None, Err(())) => self.close(cx),
        }
    }

    fn serve(self: &Rc<Self>, cx: &Ctx, request: &[u8]) {
        let fields =
            Reader::new(request).and_then(|reader| Ok((reader.find(b"type")?, reader.find(b"call")?)));
        match fields {
            Ok((Some(kind), _)) if kind.as_bytes() == Some(b"ping") => self.reply(cx, b"t"),
            Ok((Some(kind), Some(call))) if kind.as_bytes() == Some(b"call") => {
                match serve(cx, call.raw(), || Box::new(Answer(self.clone()))) {
                    Served::Running => {}
                    Served::Results(results) => self.reply(cx, &results),
                    Served::Error(error) => self.reply(cx, &error_reply(&error)),
                }
            }
            _ => self.close(cx),
        }
    }

    fn reply(self: &Rc<Self>, cx: &Ctx, reply: &[u8]) {
        if self.replied.replace(true) || !self.is_open() {
            return;
        }
        llenc::write_frame(self.out.borrow_mut().buffer(), reply);
        self.flush(cx);
    }

    fn flush(self: &Rc<Self>, cx: &Ctx) {
        let sent = self.out.borrow_mut().flush(cx, self.socket);
        match sent {
            Ok(false) => self.watch(cx),
            Ok(true) | Err(_) => self.close(cx),
        }
    }
}

impl Service for Connection {
    fn ready(&self, cx: &Ctx, _socket: SocketId, readable: bool, writable: bool) {
        let me =
            self.server.upgrade().and_then(|server| server.connections.borrow().get(&self.socket).cloned());
        let Some(me) = me else { return };
        if readable && !self.busy.get() {
            me.receive(cx);
        }
        if writable && self.replied.get() {
            me.flush(cx);
        }
    }
}

fn error_reply(error: &str) -> Vec<u8> {
    let mut reply = b"d5:error".to_vec();
    benc::write_string(&mut reply, error.as_bytes());
    reply.push(b'e');
    reply
}

struct Answer(Rc<Connection>);

impl End for Answer {
    fn ended(self: Box<Self>, cx: &Ctx, ended: Outcome<'_>) {
        let mut results = Vec::with_capacity(64);
        match outcome(&ended, &mut results) {
            Ok(()) => self.0.reply(cx, &results),
            Err(error) => self.0.reply(cx, &error_reply(&error)),
        }
    }
}

/// Reads `max` and `backlog` of a server's arguments at `index`.
pub fn server_limits(stack: crate::vm::Stack, index: i32) -> (usize, u32) {
    let max = stack.number(index).filter(|max| *max >= 1.0).map_or(usize::MAX, |max| max as usize);
    let backlog = stack.number(index + 1).unwrap_or(DEFAULT_BACKLOG).clamp(1.0, 65_535.0) as u32;
    (max, backlog)
}

/// The port of a `port or node` argument.
pub fn server_port(stack: crate::vm::Stack, index: i32) -> Option<u16> {
    if stack.kind(index) != Kind::Table {
        return port_at(stack, index);
    }
    stack.field(index, c"port");
    let port = port_at(stack, -1);
    stack.pop(1);
    port
}

native! {
    fn acall(cx, stack) { make(cx.extension::<Rpc>(), cx, stack, Style::Acall, DEFAULT_TIMEOUT) }
    fn call(cx, stack) { make(cx.extension::<Rpc>(), cx, stack, Style::Call, DEFAULT_TIMEOUT) }
    fn try_(cx, stack) { make(cx.extension::<Rpc>(), cx, stack, Style::Try, DEFAULT_TIMEOUT) }
    fn ping(cx, stack) { make(cx.extension::<Rpc>(), cx, stack, Style::Ping, DEFAULT_TIMEOUT) }

    /// `settings(table)`: where settings are read at every call.
    fn settings(cx, stack) {
        stack.set_top(1);
        cx.extension::<Rpc>().common.settings.set(stack.store());
        Ok(Return::Values(0))
    }

    /// `calls() -> number of calls made`
    fn calls(cx, stack) {
        stack.push_number(cx.extension::<Rpc>().common.calls.get() as f64);
        Ok(Return::Values(1))
    }

    /// `server(port or node[, max[, backlog]]) -> true` or `nil, error`
    fn server(cx, stack) {
        let rpc = cx.extension::<Rpc>();
        let (address, port) = match link::listen_address(stack, 1) {
            Ok(found) => found,
            Err(error) => return link::nil_error(stack, &error),
        };
        let (max, backlog) = server_limits(stack, 2);
        let socket = match link::listen(cx, SocketAddr::new(address, port), backlog) {
            Ok(socket) => socket,
            Err(error) => return link::nil_error(stack, &error),
        };
        let server = Rc::new(Server {
            socket,
            max,
            serving: Cell::new(0),
            parked: RefCell::default(),
            connections: RefCell::default(),
            burst: Burst::default(),
            me: RefCell::default(),
        });
        *server.me.borrow_mut() = Rc::downgrade(&server);
        cx.watch_service(socket, Watch::Readable, server.clone()).map_err(|error| error.to_string())?;
        cx.hold();
        rpc.servers.borrow_mut().insert(port, server);
        stack.push_bool(true);
        Ok(Return::Values(1))
    }

    /// `stop_server(port or node)`
    fn stop_server(cx, stack) {
        let rpc = cx.extension::<Rpc>();
        let server = server_port(stack, 1).and_then(|port| rpc.servers.borrow_mut().remove(&port));
        if let Some(server) = server {
            server.stop(cx);
        }
        Ok(Return::Values(0))
    }
}
