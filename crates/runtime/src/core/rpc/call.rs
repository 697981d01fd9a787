//! The caller's side that rpc, urpc and rpcq share: arguments, name look-up, the limit on calls
//! under way, timeouts.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::reply::{Style, failure};
use crate::codec::benc;
use crate::core::events::deadline_from;
use crate::core::socket::guard;
use crate::driver::Query;
use crate::scheduler::threads::ThreadId;
use crate::vm::{Ctx, Kind, NativeError, NativeResult, Request, Return, Stack, Wait, add};

/// What every carrier keeps for its callers.
#[derive(Default)]
pub struct Common {
    /// Registry reference of the module's `settings` table.
    pub settings: Cell<i32>,
    /// Calls made so far.
    pub calls: Cell<u64>,
    under_way: Cell<usize>,
    waiting: RefCell<VecDeque<ThreadId>>,
    names: RefCell<FxHashMap<String, IpAddr>>,
}

impl Common {
    /// A number of the settings table; `None` if it is not one.
    pub fn setting(&self, stack: Stack, name: &std::ffi::CStr) -> Option<f64> {
        if self.settings.get() == 0 {
            return None;
        }
        stack.stored(self.settings.get());
        stack.field(-1, name);
        let value = stack.number(-1);
        stack.pop(2);
        value
    }
}

/// One call that is being made.
pub struct Outgoing {
    /// What the caller gets.
    pub style: Style,
    /// Number that matches the reply.
    pub number: u64,
    /// The encoded request.
    pub message: Vec<u8>,
    /// When the call was made.
    pub started: Duration,
    /// When it fails with "timeout".
    pub deadline: Duration,
    /// When the carrier wants to send again, at the latest `deadline`.
    pub again: Duration,
    /// Where it was sent to.
    pub to: Option<SocketAddr>,
}

/// A way to carry calls.
pub trait Carrier: 'static {
    /// What is shared.
    fn common(&self) -> &Common;
    /// Encodes the request: the function's name and arguments from `call` (a string or a table on
    /// the stack), or a ping. The error is what the call returns, as is.
    fn encode(&self, stack: Stack, call: Option<i32>, outgoing: &mut Outgoing) -> Result<(), String>;
    /// Sends the request; the reply completes the thread's request.
    fn launch(self: Rc<Self>, cx: &Ctx, thread: ThreadId, outgoing: &mut Outgoing) -> Result<(), String>;
    /// `outgoing.again` has passed.
    fn again(&self, cx: &Ctx, outgoing: &mut Outgoing);
    /// The call is over for its caller.
    fn forget(&self, cx: &Ctx, outgoing: &Outgoing);
}

enum Stage {
    /// Waits for the name service.
    Resolving(String, u16),
    /// Waits for another call to end.
    Queued,
    /// Waits for the reply.
    Sent,
}

struct Pending<C: Carrier> {
    carrier: Rc<C>,
    stage: Stage,
    outgoing: Outgoing,
    /// The name service's answer, while that is waited for.
    answer: Option<Answer>,
    thread: ThreadId,
}

type Answer = Rc<RefCell<Option<Result<IpAddr, String>>>>;

impl<C: Carrier> Pending<C> {
    /// Goes on from the present stage as far as possible; the error ends the call.
    fn advance(&mut self, cx: &Ctx) -> Result<(), String> {
        if let Stage::Resolving(name, port) = &self.stage {
            let answer = self.answer.as_ref().and_then(|answer| answer.borrow_mut().take());
            let Some(answer) = answer else { return Ok(()) };
            let address = answer?;
            self.carrier.common().names.borrow_mut().insert(name.clone(), address);
            self.outgoing.to = Some(SocketAddr::new(address, *port));
            self.stage = Stage::Queued;
        }
        if matches!(self.stage, Stage::Queued) {
            let common = self.carrier.common();
            let max = common.setting(cx.main_stack(), c"max");
            if max.is_some_and(|max| common.under_way.get() as f64 >= max) {
                common.waiting.borrow_mut().push_back(self.thread);
                return Ok(());
            }
            common.under_way.set(common.under_way.get() + 1);
            self.stage = Stage::Sent;
            self.carrier.clone().launch(cx, self.thread, &mut self.outgoing)?;
        }
        Ok(())
    }

    fn next_deadline(&self) -> Duration {
        self.outgoing.again.min(self.outgoing.deadline)
    }

    fn fail(&self, stack: Stack, error: &str) -> i32 {
        failure(stack, self.outgoing.style, error)
    }
}

impl<C: Carrier> Request for Pending<C> {
    fn poll(&mut self, cx: &Ctx, stack: Stack) -> Option<i32> {
        let before = matches!(self.stage, Stage::Sent);
        match self.advance(cx) {
            Ok(()) => {
                if !before && matches!(self.stage, Stage::Sent) {
                    cx.set_deadline(self.thread, Some(self.next_deadline()));
                }
                None
            }
            Err(error) => Some(self.fail(stack, &error)),
        }
    }

    fn expired(&mut self, cx: &Ctx, stack: Stack) -> Wait {
        if cx.now() >= self.outgoing.deadline {
            let queued = matches!(self.stage, Stage::Queued);
            return Wait::Over(self.fail(stack, if queued { "local timeout" } else { "timeout" }));
        }
        self.carrier.again(cx, &mut self.outgoing);
        Wait::Until(self.next_deadline())
    }

    fn release(&mut self, cx: &Ctx, _thread: ThreadId) {
        let common = self.carrier.common();
        match self.stage {
            Stage::Sent => {
                common.under_way.set(common.under_way.get().saturating_sub(1));
                self.carrier.forget(cx, &self.outgoing);
                let next = common.waiting.borrow_mut().pop_front();
                if let Some(id) = next {
                    cx.defer(Box::new(move |cx| cx.poll_request(id)));
                }
            }
            Stage::Queued => common.waiting.borrow_mut().retain(|id| *id != self.thread),
            Stage::Resolving(..) => {}
        }
    }
}

/// Reads an address written as text; `localhost` counts.
pub fn literal(host: &[u8]) -> Option<IpAddr> {
    if host == b"localhost" {
        return Some(Ipv4Addr::LOCALHOST.into());
    }
    std::str::from_utf8(host).ok()?.parse().ok()
}

/// A port given as a number or a numeric string.
pub fn port_at(stack: Stack, index: i32) -> Option<u16> {
    let number = stack.number(index)?;
    (number.fract() == 0.0 && (0.0..=65535.0).contains(&number)).then_some(number as u16)
}

/// Reads `node` or `ip, port` at `index`: the host's text, the port, the index that follows.
pub fn host_at<'a>(stack: Stack, index: i32) -> Result<(&'a [u8], u16, i32), &'static str> {
    const INCOMPLETE: &str = "parameter array without ip or port";
    if stack.kind(index) != Kind::Table {
        let host = stack.bytes(index).ok_or(INCOMPLETE)?;
        return Ok((host, port_at(stack, index + 1).ok_or(INCOMPLETE)?, index + 2));
    }
    stack.field(index, c"ip");
    stack.field(index, c"port");
    let port = port_at(stack, -1);
    // The node keeps the string alive.
    let host = if stack.kind(-2) == Kind::String { stack.bytes(-2) } else { None };
    stack.pop(2);
    Ok((host.ok_or(INCOMPLETE)?, port.ok_or(INCOMPLETE)?, index + 1))
}

/// Makes a call: `node, call[, timeout]` or `ip, port, call[, timeout]`; a ping has no `call`.
/// `default_timeout` is for callers that name none and settings that do not either.
pub fn make<C: Carrier>(
    carrier: Rc<C>,
    cx: &Ctx,
    stack: Stack,
    style: Style,
    default_timeout: f64,
) -> NativeResult {
    let thread = cx.waiter()?;
    let early = |error: &str| Ok(Return::Values(failure(stack, style, error)));
    let (host, port, mut next) = match host_at(stack, 1) {
        Ok(found) => found,
        Err(error) => return early(error),
    };
    let call = if style == Style::Ping {
        None
    } else {
        let index = next;
        next += 1;
        if !matches!(stack.kind(index), Kind::Table | Kind::String) {
            return Err(NativeError::Argument(
                index,
                format!("function name or array expected, got {}", stack.type_name(index)),
            ));
        }
        Some(index)
    };
    let common = carrier.common();
    let timeout = match stack.number(next) {
        Some(seconds) => seconds,
        None if stack.is_nil(next) => common.setting(stack, c"default_timeout").unwrap_or(default_timeout),
        None => {
            stack.push_display(next);
            let error = format!("invalid timeout value: {}", stack.text(-1).unwrap_or_default());
            return early(&error);
        }
    };
    let started = cx.now();
    let deadline = deadline_from(started, timeout);
    let mut outgoing =
        Outgoing { style, number: 0, message: Vec::new(), started, deadline, again: deadline, to: None };
    if let Err(error) = carrier.encode(stack, call, &mut outgoing) {
        if error.starts_with("call length") {
            // The old library's answer to a call that is too long, whatever the style.
            stack.push_nil();
            stack.push_str(&error);
            return Ok(Return::Values(2));
        }
        return early(&error);
    }
    add(&common.calls, 1);
    add(&cx.counters.calls_made, 1);
    add(&cx.totals.calls_made, 1);
    let known = literal(host)
        .or_else(|| common.names.borrow().get(std::str::from_utf8(host).unwrap_or_default()).copied());
    let mut answer = None;
    let stage = match known {
        Some(address) => {
            outgoing.to = Some(SocketAddr::new(address, port));
            Stage::Queued
        }
        None => {
            let name = String::from_utf8_lossy(host).into_owned();
            resolve(cx, thread, &name, Rc::clone(answer.insert(Rc::default())));
            Stage::Resolving(name, port)
        }
    };
    let mut pending = Pending { carrier, stage, outgoing, answer, thread };
    match pending.advance(cx) {
        Ok(()) => {
            let deadline = pending.next_deadline();
            cx.suspend(Box::new(pending), Some(deadline))
        }
        Err(error) => {
            let results = pending.fail(stack, &error);
            pending.release(cx, thread);
            Ok(Return::Values(results))
        }
    }
}

fn resolve(cx: &Ctx, thread: ThreadId, name: &str, answer: Answer) {
    let permitted = guard::may_contact(cx, name).map_err(|refused| refused.to_string());
    cx.resolve(Query::Addresses(name.to_owned()), move |cx, resolved| {
        let first = permitted.and(resolved).and_then(|found| {
            let v4 = found.addresses.iter().find(|address| address.is_ipv4());
            v4.or(found.addresses.first())
                .copied()
                .ok_or_else(|| "host or service not provided, or not known".to_owned())
        });
        *answer.borrow_mut() = Some(first);
        cx.poll_request(thread);
    });
}

/// Encodes the `call` argument as the list the wire wants.
pub fn encode_call(stack: Stack, call: i32, out: &mut Vec<u8>) -> Result<(), String> {
    if stack.kind(call) == Kind::String {
        out.push(b'l');
        benc::write_string(out, stack.bytes(call).unwrap_or_default());
        out.push(b'e');
        return Ok(());
    }
    // SAFETY: the index is a table on a live stack.
    unsafe { benc::encode(stack.raw(), call, out) }.map_err(|error| error.to_string())
}
