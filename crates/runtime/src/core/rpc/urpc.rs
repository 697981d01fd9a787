//! `splay.urpc_core`: calls over UDP (semantics of the old library, section 4.3).
//!
//! A datagram is a bencoded dictionary. A call runs at most once: its key is remembered from its
//! arrival, while it runs and after it has been answered, until the caller frees it or
//! `cleaning_after` has passed.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::call::{Carrier, Common, Outgoing, encode_call, literal, make, port_at};
use super::link;
use super::reply::{CORRUPTED, Style, failure, success};
use super::serve::{Served, outcome, serve};
use crate::codec::benc::{self, Reader};
use crate::core::function_table;
use crate::driver::{Family, SocketId, Transport, Watch};
use crate::native;
use crate::scheduler::threads::ThreadId;
use crate::vm::{Ctx, End, Kind, Module, Outcome, Return, Service, Stack};

/// The module.
pub const MODULE: Module = Module {
    name: "splay.urpc_core",
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
                (c"get_key", get_key),
            ],
        );
    },
};

/// Largest encoded request or reply (manual: "smaller than 8kB").
const MAX_BYTES: usize = 8192;
/// Datagrams read in one go before others get their turn.
const BURST: usize = 64;
/// Answered calls are freed in batches: one datagram for so many ...
const FREE_BATCH: usize = 32;
/// ... or for those of so long: what servers remember is their memory.
const FREE_DELAY: Duration = Duration::from_millis(500);
/// Timeout without argument or setting, seconds.
const DEFAULT_TIMEOUT: f64 = 40.0;
/// Retransmissions without a setting.
const DEFAULT_RETRIES: f64 = 2.0;
/// Seconds for which an answered call is remembered, without a setting.
const DEFAULT_CLEANING: f64 = 120.0;
/// Longest timeout, as a share of `cleaning_after`: a retransmission must still find the answer.
const LONGEST_SHARE: f64 = 0.9;

struct Waiting {
    thread: ThreadId,
    style: Style,
    started: Duration,
}

enum Remembered {
    Running,
    Answered(Vec<u8>),
}

#[derive(Default)]
struct Urpc {
    common: Common,
    clients: [Cell<Option<SocketId>>; 2],
    servers: RefCell<FxHashMap<u16, SocketId>>,
    prefix: RefCell<Vec<u8>>,
    next: Cell<u64>,
    waiting: RefCell<FxHashMap<u64, Waiting>>,
    remembered: RefCell<FxHashMap<Box<[u8]>, Remembered>>,
    expiry: RefCell<VecDeque<(Duration, Box<[u8]>)>>,
    frees: RefCell<FxHashMap<SocketAddr, Vec<u64>>>,
    free_planned: Cell<bool>,
    burst: link::Burst,
}

struct Socket(Rc<Urpc>);

impl Service for Socket {
    fn ready(&self, cx: &Ctx, socket: SocketId, readable: bool, _writable: bool) {
        if readable {
            self.0.receive(cx, socket);
        }
    }
}

impl Urpc {
    /// Reads the datagrams that are there.
    fn receive(self: &Rc<Self>, cx: &Ctx, socket: SocketId) {
        link::with_chunk(|buffer| {
            for n in 0..BURST {
                if n == 1 && !self.burst.try_more() {
                    return;
                }
                let received = link::recv_from(cx, socket, buffer);
                if n == 1 {
                    self.burst.found(received.is_ok());
                }
                match received {
                    Ok((length, from)) => {
                        self.datagram(cx, socket, &buffer[..length], from);
                    }
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                    // ICMP errors of earlier datagrams: those calls time out.
                    Err(_) => {}
                }
            }
        });
    }

    fn datagram(self: &Rc<Self>, cx: &Ctx, socket: SocketId, data: &[u8], from: SocketAddr) {
        let Some(message) = Message::read(data) else {
            tracing::debug!(%from, "urpc: {CORRUPTED}");
            return;
        };
        if message.free {
            let mut remembered = self.remembered.borrow_mut();
            remembered.remove(message.key);
            let mut more = message.keys.and_then(|keys| benc::Items::new(keys).ok());
            while let Some(Ok(Some(key))) = more.as_mut().map(benc::Items::next_item) {
                key.as_bytes().and_then(|key| remembered.remove(key));
            }
        } else if message.reply {
            self.reply(cx, &message);
        } else {
            let to = message.source.unwrap_or(from);
            self.request(cx, socket, &message, to);
        }
    }

    fn reply(&self, cx: &Ctx, message: &Message<'_>) {
        let number = {
            let prefix = self.prefix.borrow();
            message.key.strip_prefix(&prefix[..]).and_then(|digits| {
                digits.iter().try_fold(0_u64, |number, digit| {
                    digit.is_ascii_digit().then(|| number.wrapping_mul(10) + u64::from(digit - b'0'))
                })
            })
        };
        let Some(waiting) = number.and_then(|number| self.waiting.borrow_mut().remove(&number)) else {
            return;
        };
        cx.complete(waiting.thread, |stack| match (waiting.style, message.error, message.call) {
            (Style::Ping, ..) => {
                let elapsed = cx.now().saturating_sub(waiting.started);
                stack.push_number(elapsed.as_secs_f64());
                1
            }
            (style, Some(error), _) => failure(stack, style, &String::from_utf8_lossy(error)),
            (style, None, Some(results)) => success(stack, style, results),
            (style, None, None) => failure(stack, style, CORRUPTED),
        });
    }

    fn request(self: &Rc<Self>, cx: &Ctx, socket: SocketId, message: &Message<'_>, to: SocketAddr) {
        if message.ping {
            let mut reply = b"d4:type4:ping3:key".to_vec();
            benc::write_string(&mut reply, message.key);
            reply.extend_from_slice(b"5:replyte");
            link::send_to(cx, socket, &reply, to);
            return;
        }
        let Some(call) = message.call else { return };
        match self.remembered.borrow().get(message.key) {
            Some(Remembered::Running) => return,
            Some(Remembered::Answered(reply)) => {
                link::send_to(cx, socket, reply, to);
                return;
            }
            None => {}
        }
        let key: Box<[u8]> = message.key.into();
        self.remembered.borrow_mut().insert(key.clone(), Remembered::Running);
        let key = Cell::new(Some(key));
        let answer = || {
            let key = key.take().expect("one answer is made");
            Answer { urpc: self.clone(), socket, to, key }
        };
        match serve(cx, call, || Box::new(answer())) {
            Served::Running => {}
            Served::Results(results) => answer().send(cx, |out| {
                out.extend_from_slice(&results);
                Ok(())
            }),
            Served::Error(error) => answer().send(cx, |_| Err(error)),
        }
    }

    fn remember(&self, cx: &Ctx, key: Box<[u8]>, reply: Vec<u8>) {
        let now = cx.recent();
        let keep = self.cleaning_after(cx.main_stack());
        let mut remembered = self.remembered.borrow_mut();
        let mut expiry = self.expiry.borrow_mut();
        while expiry.front().is_some_and(|(until, _)| *until <= now) {
            if let Some((_, old)) = expiry.pop_front() {
                remembered.remove(&old);
            }
        }
        // A key that was freed while its call ran is not put back.
        if let Some(entry) = remembered.get_mut(&key) {
            *entry = Remembered::Answered(reply);
            expiry.push_back((now + Duration::from_secs_f64(keep), key));
        }
        // Freed keys leave their entry in the queue: drop them when they are the majority.
        if expiry.len() > 16 && expiry.len() > 2 * remembered.len() {
            expiry.retain(|(_, key)| remembered.contains_key(key));
        }
    }

    /// Whether a socket is still one of these; after `stop_server` its id may be another's.
    fn has(&self, socket: SocketId) -> bool {
        self.clients.iter().any(|client| client.get() == Some(socket))
            || self.servers.borrow().values().any(|server| *server == socket)
    }

    /// The socket calls leave from: one per address family, opened at the first call.
    fn client(self: &Rc<Self>, cx: &Ctx, to: &SocketAddr) -> Result<SocketId, String> {
        let (slot, family, any): (_, _, IpAddr) = match to {
            SocketAddr::V4(_) => (&self.clients[0], Family::V4, Ipv4Addr::UNSPECIFIED.into()),
            SocketAddr::V6(_) => (&self.clients[1], Family::V6, Ipv6Addr::UNSPECIFIED.into()),
        };
        if let Some(socket) = slot.get() {
            return Ok(socket);
        }
        let socket = link::open(cx, Transport::Udp, family)?;
        link::bind(cx, socket, SocketAddr::new(any, 0))?;
        cx.watch_service(socket, Watch::Readable, Rc::new(Socket(self.clone())))
            .map_err(|error| link::text(&error))?;
        slot.set(Some(socket));
        Ok(socket)
    }

    fn key(&self, number: u64, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.prefix.borrow());
        out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        let length = out.len() - start;
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(length).as_bytes();
        out.splice(start..start, digits.iter().copied().chain([b':']));
    }

    /// Tells servers in batches which answers they may forget.
    fn free_later(self: &Rc<Self>, cx: &Ctx, to: SocketAddr, number: u64) {
        let full = {
            let mut frees = self.frees.borrow_mut();
            let batch = frees.entry(to).or_default();
            batch.push(number);
            if batch.len() < FREE_BATCH { None } else { frees.remove(&to) }
        };
        if let Some(batch) = full {
            self.free(cx, to, &batch);
        } else if !self.free_planned.replace(true) {
            let urpc = self.clone();
            let action = move |cx: &Ctx| {
                urpc.free_planned.set(false);
                for (to, batch) in urpc.frees.take() {
                    urpc.free(cx, to, &batch);
                }
            };
            cx.at(cx.recent() + FREE_DELAY, false, Box::new(action));
        }
    }

    fn free(self: &Rc<Self>, cx: &Ctx, to: SocketAddr, batch: &[u64]) {
        let mut message = b"d4:freet3:key".to_vec();
        self.key(batch[0], &mut message);
        if batch.len() > 1 {
            message.extend_from_slice(b"4:keysl");
            for number in &batch[1..] {
                self.key(*number, &mut message);
            }
            message.push(b'e');
        }
        message.push(b'e');
        if let Ok(socket) = self.client(cx, &to) {
            link::send_to(cx, socket, &message, to);
        }
    }
}

impl Carrier for Urpc {
    fn common(&self) -> &Common {
        &self.common
    }

    fn encode(&self, stack: Stack, call: Option<i32>, outgoing: &mut Outgoing) -> Result<(), String> {
        if self.prefix.borrow().is_empty() {
            let mut random = [0; 20];
            Ctx::current().driver().fill_random(&mut random);
            *self.prefix.borrow_mut() = hex::encode(random).into_bytes();
        }
        outgoing.number = self.next.get() + 1;
        self.next.set(outgoing.number);
        let keep = Duration::from_secs_f64(self.cleaning_after(stack) * LONGEST_SHARE);
        if outgoing.deadline.saturating_sub(outgoing.started) > keep {
            tracing::warn!(seconds = keep.as_secs_f64(), "urpc: timeout shortened");
            outgoing.deadline = outgoing.started + keep;
        }
        let out = &mut outgoing.message;
        out.reserve(128);
        match call {
            Some(call) => {
                out.extend_from_slice(b"d4:call");
                encode_call(stack, call, out)?;
                out.extend_from_slice(b"4:type4:call3:key");
                self.key(outgoing.number, out);
            }
            None => {
                out.extend_from_slice(b"d3:key");
                self.key(outgoing.number, out);
                out.extend_from_slice(b"4:type4:ping");
            }
        }
        out.push(b'e');
        if out.len() > MAX_BYTES {
            return Err(format!("call length ({})", out.len()));
        }
        Ok(())
    }

    fn launch(self: Rc<Self>, cx: &Ctx, thread: ThreadId, outgoing: &mut Outgoing) -> Result<(), String> {
        let to = outgoing.to.expect("launched after the address is known");
        let socket = self.client(cx, &to)?;
        let waiting = Waiting { thread, style: outgoing.style, started: outgoing.started };
        self.waiting.borrow_mut().insert(outgoing.number, waiting);
        link::check_peer(cx, &to)?;
        link::send_to(cx, socket, &outgoing.message, to);
        self.again_at(cx, outgoing);
        Ok(())
    }

    fn again(&self, cx: &Ctx, outgoing: &mut Outgoing) {
        if let Some(to) = outgoing.to
            && let Some(socket) = self.clients[usize::from(to.is_ipv6())].get()
        {
            link::send_to(cx, socket, &outgoing.message, to);
        }
        self.again_at(cx, outgoing);
    }

    fn forget(&self, cx: &Ctx, outgoing: &Outgoing) {
        let unanswered = self.waiting.borrow_mut().remove(&outgoing.number).is_some();
        if let Some(to) = outgoing.to
            && !unanswered
            && outgoing.style != Style::Ping
        {
            let urpc = cx.extension::<Urpc>();
            urpc.free_later(cx, to, outgoing.number);
        }
    }
}

impl Urpc {
    /// Seconds for which answers are kept.
    fn cleaning_after(&self, stack: Stack) -> f64 {
        self.common.setting(stack, c"cleaning_after").unwrap_or(DEFAULT_CLEANING).clamp(1.0, 1e6)
    }

    /// Plans the next transmission: `retry_number` of them, evenly over the timeout.
    fn again_at(&self, cx: &Ctx, outgoing: &mut Outgoing) {
        let retries = self
            .common
            .setting(cx.main_stack(), c"retry_number")
            .unwrap_or(DEFAULT_RETRIES)
            .clamp(0.0, 100.0);
        let whole = outgoing.deadline.saturating_sub(outgoing.started);
        let interval = whole.div_f64(retries.trunc() + 1.0).max(Duration::from_millis(1));
        let passed = cx.recent().saturating_sub(outgoing.started);
        let turns = passed.as_nanos() / interval.as_nanos() + 1;
        outgoing.again = outgoing.started + interval.mul_f64(turns as f64);
    }
}

/// Sends the outcome of a call to its caller.
struct Answer {
    urpc: Rc<Urpc>,
    socket: SocketId,
    to: SocketAddr,
    key: Box<[u8]>,
}

impl Answer {
    /// `write` appends the results or gives the error's text.
    fn send(self, cx: &Ctx, write: impl FnOnce(&mut Vec<u8>) -> Result<(), String>) {
        let mut reply = Vec::with_capacity(128);
        reply.extend_from_slice(b"d4:call");
        match write(&mut reply) {
            Ok(()) => self.finish(&mut reply),
            Err(error) => {
                reply.clear();
                self.error(&mut reply, &error);
            }
        }
        if reply.len() > MAX_BYTES {
            let error = format!("reply length ({})", reply.len());
            reply.clear();
            self.error(&mut reply, &error);
        }
        if self.urpc.has(self.socket) {
            link::send_to(cx, self.socket, &reply, self.to);
        }
        self.urpc.remember(cx, self.key, reply);
    }

    fn error(&self, reply: &mut Vec<u8>, error: &str) {
        let mut error = error.as_bytes();
        // Room for the rest of the message.
        error = &error[..error.len().min(MAX_BYTES - 512)];
        reply.extend_from_slice(b"d5:error");
        benc::write_string(reply, error);
        self.finish(reply);
    }

    fn finish(&self, reply: &mut Vec<u8>) {
        reply.extend_from_slice(b"4:type4:call3:key");
        benc::write_string(reply, &self.key);
        reply.extend_from_slice(b"5:replyte");
    }
}

impl End for Answer {
    fn ended(self: Box<Self>, cx: &Ctx, ended: Outcome<'_>) {
        self.send(cx, |out| outcome(&ended, out));
    }
}

/// A received datagram's fields.
#[derive(Default)]
struct Message<'a> {
    key: &'a [u8],
    call: Option<&'a [u8]>,
    keys: Option<&'a [u8]>,
    error: Option<&'a [u8]>,
    source: Option<SocketAddr>,
    reply: bool,
    free: bool,
    ping: bool,
}

impl<'a> Message<'a> {
    fn read(data: &'a [u8]) -> Option<Message<'a>> {
        let mut message = Message::default();
        let mut source = (None, None);
        let mut reader = Reader::new(data).ok()?;
        while let Some((key, value)) = reader.next_entry().ok()? {
            match key {
                b"key" => message.key = value.as_bytes()?,
                b"call" => message.call = Some(value.raw()),
                b"keys" => message.keys = Some(value.raw()),
                b"error" => message.error = value.as_bytes(),
                b"reply" => message.reply = value.as_bool() == Some(true),
                b"free" => message.free = value.as_bool() == Some(true),
                b"type" => message.ping = value.as_bytes() == Some(b"ping"),
                b"source_ip" => source.0 = value.as_bytes().and_then(literal),
                b"source_port" => source.1 = value.as_number(),
                _ => {}
            }
        }
        if let (Some(ip), Some(port)) = source {
            message.source = Some(SocketAddr::new(ip, port as u16));
        }
        (!message.key.is_empty()).then_some(message)
    }
}

native! {
    fn acall(cx, stack) { make(cx.extension::<Urpc>(), cx, stack, Style::Acall, DEFAULT_TIMEOUT) }
    fn call(cx, stack) { make(cx.extension::<Urpc>(), cx, stack, Style::Call, DEFAULT_TIMEOUT) }
    fn try_(cx, stack) { make(cx.extension::<Urpc>(), cx, stack, Style::Try, DEFAULT_TIMEOUT) }
    fn ping(cx, stack) { make(cx.extension::<Urpc>(), cx, stack, Style::Ping, DEFAULT_TIMEOUT) }

    /// `settings(table)`: where settings are read at every call.
    fn settings(cx, stack) {
        stack.set_top(1);
        cx.extension::<Urpc>().common.settings.set(stack.store());
        Ok(Return::Values(0))
    }

    /// `calls() -> number of calls made`
    fn calls(cx, stack) {
        stack.push_number(cx.extension::<Urpc>().common.calls.get() as f64);
        Ok(Return::Values(1))
    }

    /// `get_key() -> a key no other call has`
    fn get_key(cx, stack) {
        let mut random = [0; 20];
        cx.driver().fill_random(&mut random);
        stack.push_str(&hex::encode(random));
        Ok(Return::Values(1))
    }

    /// `server(port or node) -> true` or `nil, error`
    fn server(cx, stack) {
        let urpc = cx.extension::<Urpc>();
        let (address, port) = match link::listen_address(stack, 1) {
            Ok(found) => found,
            Err(error) => return link::nil_error(stack, &error),
        };
        let opened = link::open(cx, Transport::Udp, link::family(&address)).and_then(|socket| {
            link::bind(cx, socket, SocketAddr::new(address, port))
                .inspect_err(|_| link::close(cx, Transport::Udp, socket))
                .map(|()| socket)
        });
        let socket = match opened {
            Ok(socket) => socket,
            Err(error) => return link::nil_error(stack, &error),
        };
        cx.watch_service(socket, Watch::Readable, Rc::new(Socket(urpc.clone())))
            .map_err(|error| error.to_string())?;
        urpc.servers.borrow_mut().insert(port, socket);
        cx.hold();
        stack.push_bool(true);
        Ok(Return::Values(1))
    }

    /// `stop_server(port or node)`
    fn stop_server(cx, stack) {
        let port = if stack.kind(1) == Kind::Table {
            stack.field(1, c"port");
            port_at(stack, -1)
        } else {
            port_at(stack, 1)
        };
        let urpc = cx.extension::<Urpc>();
        if let Some(socket) = port.and_then(|port| urpc.servers.borrow_mut().remove(&port)) {
            link::close(cx, Transport::Udp, socket);
            cx.unhold();
        }
        Ok(Return::Values(0))
    }
}
