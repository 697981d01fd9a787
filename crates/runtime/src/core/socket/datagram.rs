//! Datagrams: sending never waits (but for a name), receiving does.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::rc::Rc;

use super::guard;
use super::names::{family_of, permitted, target, usable, with_addresses};
use super::object::{Class, Sock, fail, one, push_host, refuse, text, this};
use super::receive::with_scratch;
use super::stream::{bind_to_first, later, unwatch, wait_for};
use crate::native;
use crate::real::UNKNOWN_HOST;
use crate::scheduler::threads::ThreadId;
use crate::vm::{Ctx, Interest, NativeResult, Request, Return, Stack, Wait};

/// LuaSocket's `_DATAGRAMSIZE`: what a receive without size takes at most.
pub(super) const DATAGRAM_BYTES: usize = 8192;

/// No datagram is larger.
const MAX_BYTES: usize = 65_535;

const UNCONNECTED: &[Class] = &[Class::Unconnected];
const CONNECTED: &[Class] = &[Class::Connected];
const ANY: &[Class] = &[Class::Unconnected, Class::Connected];

/// One receive operation.
struct Receive {
    sock: Rc<Sock>,
    size: usize,
    /// Sender's address among the results.
    with_sender: bool,
}

impl Receive {
    /// `None`: nothing has come. The results are pushed, or the error returned.
    fn step(&self, cx: &Ctx, stack: Stack) -> Option<Result<i32, String>> {
        if guard::may_receive(cx).is_err() {
            return Some(Err(guard::RESTRICTED.to_owned()));
        }
        let size = self.size.min(MAX_BYTES);
        let received = with_scratch(|scratch| {
            let buffer = scratch.get_mut(..size).unwrap_or_default();
            let (count, sender) = self.receive(cx, buffer)?;
            Ok::<_, io::Error>((buffer[..count].to_vec(), sender))
        });
        match received {
            Ok((data, sender)) => {
                self.sock.count_received(cx, data.len());
                stack.push_bytes(&data);
                Some(Ok(match sender {
                    Some(sender) => {
                        push_host(stack, sender.ip());
                        stack.push_int(sender.port().into());
                        3
                    }
                    None => 1,
                }))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => Some(Err(text(&error))),
        }
    }

    fn receive(&self, cx: &Ctx, buffer: &mut [u8]) -> io::Result<(usize, Option<SocketAddr>)> {
        let id = self.sock.open_id()?;
        if self.with_sender {
            let (count, sender) = cx.driver().recv_from(id, buffer)?;
            Ok((count, Some(sender)))
        } else {
            Ok((cx.driver().recv(id, buffer)?, None))
        }
    }
}

impl Request for Receive {
    fn poll(&mut self, cx: &Ctx, stack: Stack) -> Option<i32> {
        match self.step(cx, stack)? {
            Ok(results) => Some(results),
            Err(text) => {
                fail(stack, &text);
                Some(2)
            }
        }
    }

    fn expired(&mut self, _: &Ctx, stack: Stack) -> Wait {
        fail(stack, "timeout");
        Wait::Over(2)
    }

    fn release(&mut self, cx: &Ctx, thread: ThreadId) {
        unwatch(cx, &self.sock, thread);
    }
}

fn begin_receive(cx: &Ctx, stack: Stack, sock: Rc<Sock>, with_sender: bool) -> NativeResult {
    let size = stack.number(2).map_or(DATAGRAM_BYTES, |size| size.clamp(0.0, 1e9) as usize);
    if !sock.closed.get() && sock.id.get().is_none() {
        // Nobody can know its port yet, but it may be told later.
        sock.ensure(cx, sock.usual_family()).map_err(|error| text(&error))?;
    }
    let request = Receive { sock: sock.clone(), size, with_sender };
    match request.step(cx, stack) {
        Some(Ok(results)) => return Ok(Return::Values(results)),
        Some(Err(reason)) => {
            return later(cx, stack, move |stack| {
                fail(stack, &reason);
                2
            });
        }
        None => {}
    }
    if sock.is_impatient() {
        return Ok(fail(stack, "timeout"));
    }
    let deadline = sock.deadline(cx);
    wait_for(cx, stack, &sock, Interest::Read, Box::new(request), deadline)
}

/// Sends one datagram unless a limit forbids it or chance drops it.
fn transmit(cx: &Ctx, sock: &Rc<Sock>, data: &[u8], to: Option<SocketAddr>) -> Result<usize, String> {
    guard::may_send(cx, data.len()).map_err(|refused| refused.to_string())?;
    let family = to.map_or(sock.usual_family(), family_of);
    let id = sock.ensure(cx, family).map_err(|error| text(&error))?;
    if guard::drops_datagram(cx) {
        sock.count_sent(cx, data.len());
        return Ok(data.len());
    }
    let sent = match to {
        Some(to) => cx.driver().send_to(id, data, to),
        None => cx.driver().send(id, data),
    };
    match sent {
        Ok(count) => {
            sock.count_sent(cx, count);
            Ok(count)
        }
        // The system's queue is full: as good as lost on the way.
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(data.len()),
        Err(error) => Err(text(&error)),
    }
}

fn push_sent(stack: Stack, sent: Result<usize, String>) -> i32 {
    match sent {
        Ok(count) => {
            stack.push_int(count as i64);
            1
        }
        Err(text) => {
            fail(stack, &text);
            2
        }
    }
}

native! {
    /// `u:sendto(data, ip, port | node) -> bytes`
    pub(super) fn sendto(cx, stack) {
        let sock = this(stack, UNCONNECTED)?.clone();
        let data = stack.check_bytes(2)?;
        let (to, _) = target(stack, 3)?;
        let Some(port) = to.port else { return Ok(fail(stack, UNKNOWN_HOST)) };
        if let Err(refused) = guard::may_contact(cx, &to.host) {
            return Ok(refuse(stack, refused));
        }
        if let Ok(ip) = to.host.parse() {
            if let Err(refused) = guard::may_reach(cx, ip) {
                return Ok(refuse(stack, refused));
            }
            let address = SocketAddr::new(ip, port);
            return Ok(Return::Values(push_sent(stack, transmit(cx, &sock, data, Some(address)))));
        }
        let data = data.to_vec();
        with_addresses(cx, stack, &to.host, None, move |cx, stack, found| {
            let sent = permitted(cx, found).and_then(|found| {
                let address = usable(&found, port, sock.only_family()).first().copied();
                transmit(cx, &sock, &data, Some(address.ok_or(UNKNOWN_HOST)?))
            });
            push_sent(stack, sent)
        })
    }

    /// `u:send(data) -> bytes`
    pub(super) fn send(cx, stack) {
        let sock = this(stack, CONNECTED)?.clone();
        let data = stack.check_bytes(2)?;
        Ok(Return::Values(push_sent(stack, transmit(cx, &sock, data, None))))
    }

    /// `u:receive([size]) -> data`
    pub(super) fn receive(cx, stack) {
        let sock = this(stack, ANY)?.clone();
        begin_receive(cx, stack, sock, false)
    }

    /// `u:receivefrom([size]) -> data, ip, port`
    pub(super) fn receivefrom(cx, stack) {
        let sock = this(stack, UNCONNECTED)?.clone();
        begin_receive(cx, stack, sock, true)
    }

    /// `u:setpeername(ip, port | node) -> 1`; `"*"` forgets the peer.
    pub(super) fn setpeername(cx, stack) {
        let sock = this(stack, ANY)?.clone();
        if stack.bytes(2) == Some(b"*") {
            if let Some(id) = sock.id.get() {
                let _ = cx.driver().disconnect(id);
            }
            sock.class.set(Class::Unconnected);
            return Ok(one(stack));
        }
        let (to, _) = target(stack, 2)?;
        let Some(port) = to.port else { return Ok(fail(stack, UNKNOWN_HOST)) };
        if let Err(refused) = guard::may_contact(cx, &to.host) {
            return Ok(refuse(stack, refused));
        }
        let deadline = sock.deadline(cx);
        with_addresses(cx, stack, &to.host, deadline, move |cx, stack, found| {
            let connected = permitted(cx, found).and_then(|found| {
                let address = usable(&found, port, sock.only_family()).first().copied();
                let address = address.ok_or(UNKNOWN_HOST)?;
                let id = sock.ensure(cx, family_of(address)).map_err(|error| text(&error))?;
                cx.driver().connect(id, address).map_err(|error| text(&error))
            });
            match connected {
                Ok(()) => {
                    sock.class.set(Class::Connected);
                    stack.push_int(1);
                    1
                }
                Err(text) => {
                    fail(stack, &text);
                    2
                }
            }
        })
    }

    /// `u:setsockname(ip, port | node) -> 1`
    pub(super) fn setsockname(cx, stack) {
        let sock = this(stack, UNCONNECTED)?.clone();
        let (at, _) = target(stack, 2)?;
        let Some(port) = at.port else { return Ok(fail(stack, UNKNOWN_HOST)) };
        let deadline = sock.deadline(cx);
        with_addresses(cx, stack, &at.host, deadline, move |cx, stack, found| {
            match bind_to_first(cx, &sock, found, port) {
                Ok(()) => {
                    stack.push_int(1);
                    1
                }
                Err(text) => {
                    fail(stack, &text);
                    2
                }
            }
        })
    }
}
