//! `splay.rpcq_core`: calls over one kept TCP connection per peer (semantics of the old library,
//! section 4.4). This is the caller's side; [`super::rpcq_server`] is the other.
//!
//! Calls are numbered. Several are under way on one connection, and what one turn of the worker
//! sends leaves in one write. After a lost connection the unanswered calls are sent again; a
//! frame `{type = "ping", n = 0, was = <our address on the lost connection>}` goes first, so that
//! the server recognises those that ran already.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::call::{Carrier, Common, Outgoing, encode_call, make};
use super::connect::{server_limits, server_port};
use super::link::{self, Incoming, Outbound};
use super::reply::{CORRUPTED, Style, failure, success};
use super::rpcq_server::Server;
use crate::codec::benc::{self, Reader};
use crate::codec::llenc;
use crate::core::function_table;
use crate::driver::{SocketId, SocketOption, Transport, Watch};
use crate::native;
use crate::scheduler::threads::ThreadId;
use crate::vm::{Ctx, Module, Return, Service, Stack, add};

/// The module.
pub const MODULE: Module = Module {
    name: "splay.rpcq_core",
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
                (c"stats", stats),
            ],
        );
    },
};

/// Timeout without argument or setting, seconds.
const DEFAULT_TIMEOUT: f64 = 60.0;
/// Unanswered calls on one connection without a setting. (The old library's 2 was no promise and
/// no limit that a program could see.)
const DEFAULT_WINDOW: f64 = 128.0;
/// Seconds between attempts to connect, without a setting.
const DEFAULT_RECONNECT: f64 = 5.0;
/// Seconds after which an idle connection is closed, without a setting.
const DEFAULT_CLEAN: f64 = 60.0;

#[derive(Default)]
struct Rpcq {
    common: Common,
    next: Cell<u64>,
    peers: RefCell<FxHashMap<SocketAddr, Rc<Peer>>>,
    servers: RefCell<FxHashMap<u16, Rc<Server>>>,
    connects: Cell<u64>,
    cleaned: Cell<u64>,
    evicted: Cell<u64>,
}

struct Call {
    thread: ThreadId,
    style: Style,
    started: Duration,
    frame: Vec<u8>,
    sent: bool,
}

/// One node we call, connected or not.
struct Peer {
    to: SocketAddr,
    me: Weak<Peer>,
    socket: Cell<Option<SocketId>>,
    connected: Cell<bool>,
    calls: RefCell<FxHashMap<u64, Call>>,
    queue: RefCell<VecDeque<u64>>,
    under_way: Cell<usize>,
    out: RefCell<Outbound>,
    incoming: RefCell<Incoming>,
    flush_planned: Cell<bool>,
    reconnect_planned: Cell<bool>,
    clean_planned: Cell<bool>,
    used: Cell<Duration>,
    /// Our address on a connection that was lost with calls unanswered.
    was: Cell<Option<SocketAddr>>,
}

impl Rpcq {
    fn seconds(&self, cx: &Ctx, name: &std::ffi::CStr, default: f64) -> Duration {
        let seconds = self.common.setting(cx.main_stack(), name).unwrap_or(default);
        Duration::from_secs_f64(seconds.clamp(0.01, 1e6))
    }

    fn peer(&self, to: SocketAddr) -> Rc<Peer> {
        self.peers
            .borrow_mut()
            .entry(to)
            .or_insert_with(|| {
                Rc::new_cyclic(|me| Peer {
                    to,
                    me: me.clone(),
                    socket: Cell::default(),
                    connected: Cell::default(),
                    calls: RefCell::default(),
                    queue: RefCell::default(),
                    under_way: Cell::default(),
                    out: RefCell::default(),
                    incoming: RefCell::default(),
                    flush_planned: Cell::default(),
                    reconnect_planned: Cell::default(),
                    clean_planned: Cell::default(),
                    used: Cell::default(),
                    was: Cell::default(),
                })
            })
            .clone()
    }

    /// Closes the connection that has been idle longest; false if none is idle.
    fn evict(&self, cx: &Ctx) -> bool {
        let idle = {
            let peers = self.peers.borrow();
            let idle =
                peers.values().filter(|peer| peer.socket.get().is_some() && peer.calls.borrow().is_empty());
            idle.min_by_key(|peer| peer.used.get()).cloned()
        };
        let Some(peer) = idle else { return false };
        peer.disconnect(cx);
        add(&self.evicted, 1);
        true
    }
}

impl Peer {
    fn shared(&self) -> Rc<Peer> {
        self.me.upgrade().expect("a peer in use is referred to")
    }

    fn connect(&self, cx: &Ctx, rpcq: &Rpcq) -> Result<(), String> {
        link::check_peer(cx, &self.to)?;
        let family = link::family(&self.to.ip());
        let socket = link::open(cx, Transport::Tcp, family).or_else(|error| {
            if rpcq.evict(cx) { link::open(cx, Transport::Tcp, family) } else { Err(error) }
        })?;
        let _ = cx.driver().set_option(socket, &SocketOption::NoDelay(true));
        add(&rpcq.connects, 1);
        let connected = cx.driver().connect(socket, self.to);
        match connected {
            Ok(()) => self.connected.set(true),
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.connected.set(false),
            Err(_) => {
                link::close(cx, Transport::Tcp, socket);
                self.reconnect_later(cx, rpcq);
                return Ok(());
            }
        }
        self.socket.set(Some(socket));
        self.out.replace(Outbound::default());
        self.incoming.replace(Incoming::default());
        if let Some(was) = self.was.take() {
            llenc::write_frame_with::<()>(self.out.borrow_mut().buffer(), |out| {
                out.extend_from_slice(b"d1:ni0e4:type4:ping3:was");
                benc::write_string(out, was.to_string().as_bytes());
                out.push(b'e');
                Ok(())
            })
            .expect("writing to memory cannot fail");
        }
        cx.watch_service(socket, Watch::Edge, self.shared()).map_err(|error| link::text(&error))
    }

    /// Moves queued calls into the window and plans a write.
    fn pump(&self, cx: &Ctx, rpcq: &Rpcq) -> Result<(), String> {
        if self.queue.borrow().is_empty() {
            return Ok(());
        }
        if self.socket.get().is_none() {
            if self.reconnect_planned.get() {
                return Ok(());
            }
            self.connect(cx, rpcq)?;
            if self.socket.get().is_none() {
                return Ok(());
            }
        }
        let window = rpcq.common.setting(cx.main_stack(), c"window_size").unwrap_or(DEFAULT_WINDOW).max(1.0);
        let mut calls = self.calls.borrow_mut();
        let mut queue = self.queue.borrow_mut();
        while (self.under_way.get() as f64) < window {
            let Some(number) = queue.pop_front() else { break };
            // Calls that have expired meanwhile are no longer known.
            let Some(call) = calls.get_mut(&number) else { continue };
            call.sent = true;
            self.under_way.set(self.under_way.get() + 1);
            self.out.borrow_mut().buffer().extend_from_slice(&call.frame);
        }
        drop((calls, queue));
        if !self.flush_planned.replace(true) {
            let peer = self.shared();
            cx.defer(Box::new(move |cx| {
                peer.flush_planned.set(false);
                peer.flush(cx);
            }));
        }
        Ok(())
    }

    fn flush(&self, cx: &Ctx) {
        let Some(socket) = self.socket.get() else { return };
        let sent = self.out.borrow_mut().flush(cx, socket);
        match sent {
            Ok(_) => self.used.set(cx.recent()),
            Err(error) if error.kind() == ErrorKind::NotConnected && !self.connected.get() => {}
            Err(_) => self.lost(cx),
        }
    }

    fn disconnect(&self, cx: &Ctx) {
        if let Some(socket) = self.socket.take() {
            link::close(cx, Transport::Tcp, socket);
        }
        self.connected.set(false);
    }

    /// The connection is gone: unanswered calls go back to the head of the queue.
    fn lost(&self, cx: &Ctx) {
        let Some(socket) = self.socket.get() else { return };
        let was_connected = self.connected.get();
        if self.under_way.get() > 0 && was_connected {
            self.was.set(cx.driver().local_address(socket).ok());
        }
        self.disconnect(cx);
        self.under_way.set(0);
        let rpcq = cx.extension::<Rpcq>();
        let mut again: Vec<u64> = Vec::new();
        for (number, call) in self.calls.borrow_mut().iter_mut() {
            if std::mem::take(&mut call.sent) {
                again.push(*number);
            }
        }
        again.sort_unstable();
        let mut queue = self.queue.borrow_mut();
        for number in again.into_iter().rev() {
            queue.push_front(number);
        }
        let waiting = !queue.is_empty();
        drop(queue);
        if !waiting {
            return;
        }
        if was_connected {
            // A connection that had worked: try again at once.
            let peer = self.shared();
            cx.defer(Box::new(move |cx| {
                let _ = peer.pump(cx, &cx.extension::<Rpcq>());
            }));
        } else {
            self.reconnect_later(cx, &rpcq);
        }
    }

    fn reconnect_later(&self, cx: &Ctx, rpcq: &Rpcq) {
        if self.reconnect_planned.replace(true) {
            return;
        }
        let peer = self.shared();
        let at = cx.now() + rpcq.seconds(cx, c"reconnect_interval", DEFAULT_RECONNECT);
        let action = move |cx: &Ctx| {
            peer.reconnect_planned.set(false);
            let _ = peer.pump(cx, &cx.extension::<Rpcq>());
        };
        cx.at(at, false, Box::new(action));
    }

    fn clean_later(&self, cx: &Ctx, rpcq: &Rpcq) {
        if self.clean_planned.replace(true) {
            return;
        }
        let peer = self.shared();
        let keep = rpcq.seconds(cx, c"clean_timeout", DEFAULT_CLEAN);
        let action = move |cx: &Ctx| {
            peer.clean_planned.set(false);
            let rpcq = cx.extension::<Rpcq>();
            let idle = peer.calls.borrow().is_empty();
            if idle && cx.now() >= peer.used.get() + keep {
                if peer.socket.get().is_some() {
                    add(&rpcq.cleaned, 1);
                }
                peer.disconnect(cx);
            } else {
                peer.clean_later(cx, &rpcq);
            }
        };
        let at = self.used.get().max(cx.now().saturating_sub(keep)) + keep;
        cx.at(at.max(cx.now() + Duration::from_millis(10)), false, Box::new(action));
    }

    fn answered(&self, cx: &Ctx, frame: &[u8]) {
        let Some((number, reply, error)) = read_reply(frame) else { return };
        let Some(call) = self.calls.borrow_mut().remove(&number) else { return };
        self.under_way.set(self.under_way.get().saturating_sub(1));
        cx.complete(call.thread, |stack| match (call.style, error, reply) {
            (Style::Ping, None, _) => {
                let elapsed = cx.now().saturating_sub(call.started);
                stack.push_number(elapsed.as_secs_f64());
                1
            }
            (style, Some(error), _) => failure(stack, style, &String::from_utf8_lossy(error)),
            (style, None, Some(results)) => success(stack, style, results),
            (style, None, None) => failure(stack, style, CORRUPTED),
        });
    }
}

/// Number, reply and error of a reply frame.
fn read_reply(frame: &[u8]) -> Option<(u64, Option<&[u8]>, Option<&[u8]>)> {
    let mut reader = Reader::new(frame).ok()?;
    let (mut number, mut reply, mut error) = (None, None, None);
    while let Some((key, value)) = reader.next_entry().ok()? {
        match key {
            b"n" => number = value.as_number(),
            b"reply" => reply = Some(value.raw()),
            b"error" => error = value.as_bytes(),
            _ => {}
        }
    }
    Some((number? as u64, reply, error))
}

impl Service for Peer {
    fn ready(&self, cx: &Ctx, socket: SocketId, readable: bool, writable: bool) {
        if self.socket.get() != Some(socket) {
            return;
        }
        if writable && !self.connected.get() {
            let connected = cx.driver().connect_result(socket);
            match connected {
                Ok(()) => self.connected.set(true),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => return self.lost(cx),
            }
        }
        if writable {
            self.flush(cx);
        }
        if !readable {
            return;
        }
        let over = link::with_chunk(|chunk| {
            loop {
                match link::recv(cx, socket, chunk) {
                    Ok(0) => return true,
                    Ok(length) => {
                        let mut incoming = self.incoming.take();
                        let fed = incoming.feed(&chunk[..length], |frame| {
                            self.answered(cx, frame);
                            true
                        });
                        self.incoming.replace(incoming);
                        if fed.is_err() || self.socket.get() != Some(socket) {
                            return fed.is_err();
                        }
                        if length < chunk.len() {
                            return false;
                        }
                    }
                    Err(error) => return error.kind() != ErrorKind::WouldBlock,
                }
            }
        });
        if over && self.socket.get() == Some(socket) {
            self.lost(cx);
        }
        let rpcq = cx.extension::<Rpcq>();
        let _ = self.pump(cx, &rpcq);
        if self.calls.borrow().is_empty() {
            self.clean_later(cx, &rpcq);
        }
    }
}

impl Carrier for Rpcq {
    fn common(&self) -> &Common {
        &self.common
    }

    fn encode(&self, stack: Stack, call: Option<i32>, outgoing: &mut Outgoing) -> Result<(), String> {
        let number = self.next.get() + 1;
        self.next.set(number);
        outgoing.number = number;
        outgoing.message.reserve(96);
        llenc::write_frame_with(&mut outgoing.message, |out| {
            match call {
                Some(call) => {
                    out.extend_from_slice(b"d4:call");
                    encode_call(stack, call, out)?;
                    out.extend_from_slice(b"4:type4:call1:n");
                    benc::write_integer(out, number as i64);
                }
                None => {
                    out.extend_from_slice(b"d1:n");
                    benc::write_integer(out, number as i64);
                    out.extend_from_slice(b"4:type4:ping");
                }
            }
            out.push(b'e');
            Ok(())
        })
    }

    fn launch(self: Rc<Self>, cx: &Ctx, thread: ThreadId, outgoing: &mut Outgoing) -> Result<(), String> {
        let to = outgoing.to.expect("launched after the address is known");
        let peer = self.peer(to);
        let call = Call {
            thread,
            style: outgoing.style,
            started: outgoing.started,
            frame: std::mem::take(&mut outgoing.message),
            sent: false,
        };
        peer.calls.borrow_mut().insert(outgoing.number, call);
        peer.queue.borrow_mut().push_back(outgoing.number);
        peer.used.set(outgoing.started);
        peer.pump(cx, &self)
    }

    fn again(&self, _cx: &Ctx, outgoing: &mut Outgoing) {
        outgoing.again = outgoing.deadline;
    }

    fn forget(&self, _cx: &Ctx, outgoing: &Outgoing) {
        let peer = outgoing.to.and_then(|to| self.peers.borrow().get(&to).cloned());
        if let Some(peer) = peer
            && let Some(call) = peer.calls.borrow_mut().remove(&outgoing.number)
            && call.sent
        {
            peer.under_way.set(peer.under_way.get().saturating_sub(1));
        }
    }
}

native! {
    fn acall(cx, stack) { make(cx.extension::<Rpcq>(), cx, stack, Style::Acall, DEFAULT_TIMEOUT) }
    fn call(cx, stack) { make(cx.extension::<Rpcq>(), cx, stack, Style::Call, DEFAULT_TIMEOUT) }
    fn try_(cx, stack) { make(cx.extension::<Rpcq>(), cx, stack, Style::Try, DEFAULT_TIMEOUT) }
    fn ping(cx, stack) { make(cx.extension::<Rpcq>(), cx, stack, Style::Ping, DEFAULT_TIMEOUT) }

    /// `settings(table)`: where settings are read at every call.
    fn settings(cx, stack) {
        stack.set_top(1);
        cx.extension::<Rpcq>().common.settings.set(stack.store());
        Ok(Return::Values(0))
    }

    /// `stats() -> rpcs, known_peers, connected, connects, cleaned, lru_cleaned`
    fn stats(cx, stack) {
        let rpcq = cx.extension::<Rpcq>();
        let peers = rpcq.peers.borrow();
        let connected = peers.values().filter(|peer| peer.connected.get()).count();
        let figures = [
            rpcq.common.calls.get(),
            peers.len() as u64,
            connected as u64,
            rpcq.connects.get(),
            rpcq.cleaned.get(),
            rpcq.evicted.get(),
        ];
        for figure in figures {
            stack.push_number(figure as f64);
        }
        Ok(Return::Values(figures.len() as i32))
    }

    /// `server(port or node[, max[, backlog]]) -> true` or `nil, error`
    fn server(cx, stack) {
        let rpcq = cx.extension::<Rpcq>();
        let (address, port) = match link::listen_address(stack, 1) {
            Ok(found) => found,
            Err(error) => return link::nil_error(stack, &error),
        };
        let (max, backlog) = server_limits(stack, 2);
        match Server::open(cx, SocketAddr::new(address, port), max, backlog) {
            Ok(server) => {
                rpcq.servers.borrow_mut().insert(port, server);
                stack.push_bool(true);
                Ok(Return::Values(1))
            }
            Err(error) => link::nil_error(stack, &error),
        }
    }

    /// `stop_server(port or node)`
    fn stop_server(cx, stack) {
        let rpcq = cx.extension::<Rpcq>();
        let server = server_port(stack, 1).and_then(|port| rpcq.servers.borrow_mut().remove(&port));
        if let Some(server) = server {
            server.stop(cx);
        }
        Ok(Return::Values(0))
    }
}
