//! Connections: connecting, listening, accepting, sending and receiving. Every operation is
//! tried at once; one that cannot go on suspends its thread.

use std::io::{self, ErrorKind};
use std::net::{Shutdown, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use super::guard::{self, RESTRICTED};
use super::names::{Answer, Target, ask, family_of, literal, permitted, target, usable, with_addresses};
use super::object::{Attempt, Class, Sock, create, fail, one, refuse, text, this};
use super::receive;
use crate::driver::{Query, Transport};
use crate::native;
use crate::real::UNKNOWN_HOST;
use crate::scheduler::threads::ThreadId;
use crate::vm::{Ctx, Interest, NativeResult, Request, Return, Stack, Wait};

/// Connections that may wait to be accepted if the program does not say: more than LuaSocket's
/// 32, which a ring of 50 nodes overflows, stalling the next ones for a second.
const BACKLOG: f64 = 4096.0;

/// Suspends a thread until `interest` in the socket is met; `request` is polled then.
pub(super) fn wait_for(
    cx: &Ctx,
    stack: Stack,
    sock: &Sock,
    interest: Interest,
    request: Box<dyn Request>,
    deadline: Option<Duration>,
) -> NativeResult {
    let thread = cx.waiter()?;
    let watched = sock.open_id().and_then(|id| cx.watch_thread(id, interest, thread));
    match watched {
        Ok(()) => cx.suspend(request, deadline),
        Err(error) => Ok(fail(stack, &text(&error))),
    }
}

/// Ends what [`wait_for`] has begun.
pub(super) fn unwatch(cx: &Ctx, sock: &Sock, thread: ThreadId) {
    if let Some(id) = sock.id.get() {
        cx.unwatch_thread(id, thread);
    }
}

/// An error that a thread gets in the next pass: a program that asks again and again does not
/// keep the others from running.
struct Later {
    push: Option<Box<dyn FnOnce(Stack) -> i32>>,
}

impl Request for Later {
    fn poll(&mut self, _: &Ctx, _: Stack) -> Option<i32> {
        None
    }

    fn expired(&mut self, _: &Ctx, stack: Stack) -> Wait {
        Wait::Over(self.push.take().map_or(0, |push| push(stack)))
    }

    fn release(&mut self, _: &Ctx, _: ThreadId) {}
}

/// Returns what `push` pushes, after a pass of the scheduler if there is a thread to suspend.
pub(super) fn later(cx: &Ctx, stack: Stack, push: impl FnOnce(Stack) -> i32 + 'static) -> NativeResult {
    if cx.waiter().is_err() {
        return Ok(Return::Values(push(stack)));
    }
    cx.suspend(Box::new(Later { push: Some(Box::new(push)) }), Some(cx.now()))
}

/// A connection attempt: the name, then one address after the other.
struct Connect {
    sock: Rc<Sock>,
    port: u16,
    /// The name's addresses, still to come.
    answer: Option<Answer>,
    addresses: std::vec::IntoIter<SocketAddr>,
    thread: Option<ThreadId>,
}

impl Connect {
    /// Goes on as far as possible: `None` is "wait until writable".
    fn step(&mut self, cx: &Ctx) -> Option<Result<(), String>> {
        if self.sock.closed.get() {
            return Some(Err("closed".to_owned()));
        }
        if let Some(answer) = &self.answer {
            let found = answer.borrow_mut().take()?.map(|resolved| resolved.addresses);
            self.answer = None;
            match permitted(cx, found) {
                Ok(found) => {
                    self.addresses = usable(&found, self.port, self.sock.only_family()).into_iter();
                }
                Err(text) => return Some(Err(text)),
            }
        }
        let mut last = UNKNOWN_HOST.to_owned();
        if self.sock.attempt.get() == Attempt::Going {
            match self.result(cx) {
                Ok(()) => return Some(self.connected()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                Err(error) => last = text(&error),
            }
        }
        while let Some(address) = self.addresses.next() {
            match self.begin(cx, address) {
                Ok(()) => return Some(self.connected()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.sock.attempt.set(Attempt::Going);
                    match self.watch(cx) {
                        Ok(()) => return None,
                        Err(error) => last = text(&error),
                    }
                }
                Err(error) => last = text(&error),
            }
        }
        Some(Err(last))
    }

    fn connected(&self) -> Result<(), String> {
        self.sock.attempt.set(Attempt::Done);
        Ok(())
    }

    fn result(&self, cx: &Ctx) -> io::Result<()> {
        let id = self.sock.open_id()?;
        let result = cx.driver().connect_result(id);
        match &result {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            _ => self.sock.attempt.set(Attempt::None),
        }
        result
    }

    fn begin(&self, cx: &Ctx, address: SocketAddr) -> io::Result<()> {
        let id = self.sock.ensure(cx, family_of(address))?;
        cx.driver().connect(id, address)
    }

    fn watch(&self, cx: &Ctx) -> io::Result<()> {
        match self.thread {
            Some(thread) => cx.watch_thread(self.sock.open_id()?, Interest::Write, thread),
            None => Ok(()),
        }
    }
}

impl Request for Connect {
    fn poll(&mut self, cx: &Ctx, stack: Stack) -> Option<i32> {
        let result = self.step(cx)?;
        Some(push_result(stack, result))
    }

    fn expired(&mut self, _: &Ctx, stack: Stack) -> Wait {
        fail(stack, "timeout");
        Wait::Over(2)
    }

    fn release(&mut self, cx: &Ctx, thread: ThreadId) {
        unwatch(cx, &self.sock, thread);
    }
}

fn push_result(stack: Stack, result: Result<(), String>) -> i32 {
    match result {
        Ok(()) => {
            stack.push_int(1);
            1
        }
        Err(text) => {
            fail(stack, &text);
            2
        }
    }
}

fn connect_to(cx: &Ctx, stack: Stack, sock: &Rc<Sock>, to: Target) -> NativeResult {
    if sock.closed.get() {
        return Ok(fail(stack, "closed"));
    }
    let Some(port) = to.port else { return Ok(fail(stack, UNKNOWN_HOST)) };
    if let Err(refused) = guard::may_contact(cx, &to.host) {
        return Ok(refuse(stack, refused));
    }
    let going = match sock.attempt.get() {
        Attempt::None => false,
        Attempt::Going => true,
        Attempt::Done => return Ok(fail(stack, "already connected")),
    };
    sock.class.set(Class::Client);
    let thread = cx.waiter().ok();
    let mut request =
        Connect { sock: sock.clone(), port, answer: None, addresses: Vec::new().into_iter(), thread };
    if !going {
        match literal(&to.host) {
            Some(found) => match permitted(cx, Ok(found)) {
                Ok(found) => request.addresses = usable(&found, port, sock.only_family()).into_iter(),
                Err(text) => return Ok(fail(stack, &text)),
            },
            None => request.answer = Some(ask(cx, Query::Addresses(to.host), cx.waiter()?)),
        }
    }
    if let Some(result) = request.step(cx) {
        return Ok(Return::Values(push_result(stack, result)));
    }
    if sock.is_impatient() && request.answer.is_none() {
        if let Some(thread) = thread {
            unwatch(cx, sock, thread);
        }
        return Ok(fail(stack, "timeout"));
    }
    let deadline = sock.deadline(cx);
    if request.answer.is_none() {
        cx.waiter()?;
        request.watch(cx).map_err(|error| text(&error))?;
    }
    cx.suspend(Box::new(request), deadline)
}

/// Binds a socket to the first address of a host that is ours to bind.
pub(super) fn bind_to_first(
    cx: &Ctx,
    sock: &Rc<Sock>,
    found: Result<Vec<std::net::IpAddr>, String>,
    port: u16,
) -> Result<(), String> {
    if sock.closed.get() {
        return Err("closed".to_owned());
    }
    let found = match guard::local_ip(cx) {
        Some(address) => vec![address],
        None => found?,
    };
    let mut last = UNKNOWN_HOST.to_owned();
    for address in usable(&found, port, sock.only_family()) {
        let opened = sock.id.get().is_none();
        let bound = sock.ensure(cx, family_of(address)).and_then(|id| cx.driver().bind(id, address));
        match bound {
            Ok(()) => {
                sock.bound.set(true);
                return Ok(());
            }
            Err(error) => {
                last = text(&error);
                let elsewhere = matches!(
                    error.raw_os_error(),
                    Some(libc::EADDRNOTAVAIL | libc::EAFNOSUPPORT | libc::EINVAL)
                );
                // A port in use is in use: the same port of another family is not what was
                // asked for.
                if !(elsewhere && opened) {
                    break;
                }
                sock.forget_socket(cx);
            }
        }
    }
    Err(last)
}

/// Accepting: one more connection of a listening socket.
struct Accept {
    sock: Rc<Sock>,
}

/// `None`: nobody has connected yet.
fn try_accept(cx: &Ctx, stack: Stack, sock: &Sock) -> Option<i32> {
    let accepted = sock.open_id().and_then(|id| cx.driver().accept(id));
    match accepted {
        Ok((id, peer)) => {
            if let Err(refused) = guard::open(cx, Transport::Tcp) {
                cx.driver().close(id);
                refuse(stack, refused);
                return Some(2);
            }
            create(cx, stack, Class::Client, Some(family_of(peer)), Some(id));
            Some(1)
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => None,
        Err(error) => {
            fail(stack, &text(&error));
            Some(2)
        }
    }
}

impl Request for Accept {
    fn poll(&mut self, cx: &Ctx, stack: Stack) -> Option<i32> {
        try_accept(cx, stack, &self.sock)
    }

    fn expired(&mut self, _: &Ctx, stack: Stack) -> Wait {
        fail(stack, "timeout");
        Wait::Over(2)
    }

    fn release(&mut self, cx: &Ctx, thread: ThreadId) {
        unwatch(cx, &self.sock, thread);
    }
}

/// Sending: what has not been taken yet, and the position of its first byte.
struct Send {
    sock: Rc<Sock>,
    data: Vec<u8>,
    done: usize,
    /// Position in the program's string before the first byte to send.
    offset: usize,
}

/// Sends until all is taken; `None`: no room. Counts what was taken in `done`.
fn try_send(cx: &Ctx, sock: &Sock, data: &[u8], done: &mut usize) -> Option<Result<(), String>> {
    let mut send = || {
        while *done < data.len() {
            *done += sock.send_some(cx, &data[*done..])?;
        }
        sock.flush(cx)
    };
    match send() {
        Ok(()) => Some(Ok(())),
        Err(error) if error.kind() == ErrorKind::WouldBlock => None,
        Err(error) => Some(Err(text(&error))),
    }
}

fn push_sent(stack: Stack, result: Result<(), &str>, last: usize) -> i32 {
    match result {
        Ok(()) => {
            stack.push_int(last as i64);
            1
        }
        Err(text) => {
            fail(stack, text);
            stack.push_int(last as i64);
            3
        }
    }
}

impl Request for Send {
    fn poll(&mut self, cx: &Ctx, stack: Stack) -> Option<i32> {
        let result = try_send(cx, &self.sock, &self.data, &mut self.done)?;
        Some(push_sent(stack, result.as_ref().map(|_| ()).map_err(String::as_str), self.offset + self.done))
    }

    fn expired(&mut self, _: &Ctx, stack: Stack) -> Wait {
        Wait::Over(push_sent(stack, Err("timeout"), self.offset + self.done))
    }

    fn release(&mut self, cx: &Ctx, thread: ThreadId) {
        unwatch(cx, &self.sock, thread);
    }
}

/// The bytes `i` to `j` of a string of `length`, as offset and end.
fn range(stack: Stack, length: usize) -> (usize, usize) {
    let size = length as f64;
    let mut first = stack.number(3).unwrap_or(1.0);
    let mut last = stack.number(4).unwrap_or(-1.0);
    if first < 0.0 {
        first = size + first + 1.0;
    }
    if last < 0.0 {
        last = size + last + 1.0;
    }
    // Past the end nothing is sent, and LuaSocket answers the position before the first byte.
    let first = first.clamp(1.0, 9e15) as usize;
    let last = last.clamp(0.0, size) as usize;
    (first - 1, last)
}

native! {
    /// `s:connect(ip, port | node) -> 1`
    pub(super) fn connect(cx, stack) {
        let sock = this(stack, &[Class::Master, Class::Client])?.clone();
        let (to, _) = target(stack, 2)?;
        connect_to(cx, stack, &sock, to)
    }

    /// `s:bind(ip, port | node) -> 1`
    pub(super) fn bind(cx, stack) {
        let sock = this(stack, &[Class::Master])?.clone();
        let (at, _) = target(stack, 2)?;
        let Some(port) = at.port else { return Ok(fail(stack, UNKNOWN_HOST)) };
        if let Err(refused) = guard::may_bind(cx, port) {
            return Ok(refuse(stack, refused));
        }
        let deadline = sock.deadline(cx);
        with_addresses(cx, stack, &at.host, deadline, move |cx, stack, found| {
            push_result(stack, bind_to_first(cx, &sock, found, port))
        })
    }

    /// `s:listen([backlog]) -> 1`
    pub(super) fn listen(cx, stack) {
        let sock = this(stack, &[Class::Master, Class::Server])?;
        let backlog = stack.number(2).unwrap_or(BACKLOG).clamp(0.0, f64::from(i32::MAX)) as u32;
        if !sock.bound.get()
            && let Err(refused) = guard::may_bind(cx, 0)
        {
            return Ok(refuse(stack, refused));
        }
        let listening = sock.ensure(cx, sock.usual_family()).and_then(|id| cx.driver().listen(id, backlog));
        Ok(match listening {
            Ok(()) => {
                sock.class.set(Class::Server);
                one(stack)
            }
            Err(error) => fail(stack, &text(&error)),
        })
    }

    /// `s:accept() -> socket`
    pub(super) fn accept(cx, stack) {
        let sock = this(stack, &[Class::Server])?.clone();
        if let Some(results) = try_accept(cx, stack, &sock) {
            return Ok(Return::Values(results));
        }
        if sock.is_impatient() {
            return Ok(fail(stack, "timeout"));
        }
        let deadline = sock.deadline(cx);
        let request = Box::new(Accept { sock: sock.clone() });
        wait_for(cx, stack, &sock, Interest::Read, request, deadline)
    }

    /// `s:send(data[, i[, j]]) -> last index`
    pub(super) fn send(cx, stack) {
        let sock = this(stack, &[Class::Client])?.clone();
        let data = stack.check_bytes(2)?;
        let (offset, end) = range(stack, data.len());
        let data = data.get(offset..end).unwrap_or_default();
        if guard::may_send(cx, data.len()).is_err() {
            return Ok(Return::Values(push_sent(stack, Err(RESTRICTED), 0)));
        }
        let mut done = 0;
        if sock.attempt.get() == Attempt::Going && sock.open_id().is_ok() {
            // A connection that was begun without waiting: it may be there by now.
            let id = sock.open_id().map_err(|error| text(&error))?;
            if cx.driver().connect_result(id).is_ok() {
                sock.attempt.set(Attempt::Done);
            }
        }
        match try_send(cx, &sock, data, &mut done) {
            Some(Ok(())) => return Ok(Return::Values(push_sent(stack, Ok(()), offset + done))),
            Some(Err(text)) => {
                return later(cx, stack, move |stack| push_sent(stack, Err(&text), offset + done));
            }
            None => {}
        }
        if sock.is_impatient() {
            return Ok(Return::Values(push_sent(stack, Err("timeout"), offset + done)));
        }
        let deadline = sock.deadline(cx);
        let rest = data[done..].to_vec();
        let request = Send { sock: sock.clone(), data: rest, done: 0, offset: offset + done };
        wait_for(cx, stack, &sock, Interest::Write, Box::new(request), deadline)
    }

    /// `s:receive([pattern[, prefix]]) -> data`
    pub(super) fn receive_(cx, stack) {
        let sock = this(stack, &[Class::Client])?.clone();
        receive::begin(cx, stack, sock)
    }

    /// `s:shutdown([how]) -> 1`: "receive", "send" or "both".
    pub(super) fn shutdown(cx, stack) {
        let sock = this(stack, &[Class::Client])?;
        let how = match stack.bytes(2) {
            None | Some(b"both") => Shutdown::Both,
            Some(b"receive") => Shutdown::Read,
            Some(b"send") => Shutdown::Write,
            Some(_) => return Err(crate::vm::NativeError::Argument(2, "invalid shutdown method".into())),
        };
        // As with LuaSocket, what is closed already is no error.
        let _ = sock.open_id().and_then(|id| cx.driver().shutdown(id, how));
        Ok(one(stack))
    }
}
