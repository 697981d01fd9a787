//! `splay.socket_core`: LuaSocket's objects and functions, made cooperative: a thread that has
//! to wait is suspended, never the worker. Every socket of the instance is under its
//! [`guard::Guard`].

mod datagram;
pub mod guard;
mod local;
mod names;
mod object;
mod options;
mod receive;
mod select;
mod stream;
pub mod tls;

use std::ffi::CStr;
use std::time::Duration;

use mlua::ffi;

use super::events::deadline_in;
use super::function_table;
use crate::driver::{Family, Transport};
use crate::native;
use crate::vm::{Ctx, Kind, Module, NativeError, NativeResult, Request, Return, Stack, Wait};
use guard::{Limits, guard};
pub use object::text;
use object::{Class, Library, one, push_address, refuse, this};
pub(super) use object::{Sock, fail, sock_at};

/// The module.
pub const MODULE: Module = Module { name: "splay.socket_core", open };

/// Methods of connections.
const TCP_METHODS: &[(&CStr, ffi::lua_CFunction)] = &[
    (c"connect", stream::connect),
    (c"bind", stream::bind),
    (c"listen", stream::listen),
    (c"accept", stream::accept),
    (c"send", stream::send),
    (c"receive", stream::receive_),
    (c"shutdown", stream::shutdown),
    (c"close", close),
    (c"settimeout", settimeout),
    (c"gettimeout", gettimeout),
    (c"getsockname", getsockname),
    (c"getpeername", getpeername),
    (c"setoption", options::setoption),
    (c"getoption", options::getoption),
    (c"getstats", getstats),
    (c"setstats", setstats),
    (c"getfamily", getfamily),
    (c"getfd", getfd),
    (c"setfd", setfd),
    (c"dirty", dirty),
];

fn open(cx: &Ctx, stack: Stack) {
    let library = cx.extension::<Library>();
    let tcp = object::make_metatable(stack, "tcp", TCP_METHODS);
    let udp = object::make_metatable(
        stack,
        "udp",
        &[
            (c"send", datagram::send),
            (c"sendto", datagram::sendto),
            (c"receive", datagram::receive),
            (c"receivefrom", datagram::receivefrom),
            (c"setpeername", datagram::setpeername),
            (c"setsockname", datagram::setsockname),
            (c"close", close),
            (c"settimeout", settimeout),
            (c"gettimeout", gettimeout),
            (c"getsockname", getsockname),
            (c"getpeername", getpeername),
            (c"setoption", options::setoption),
            (c"getoption", options::getoption),
            (c"getstats", getstats),
            (c"setstats", setstats),
            (c"getfamily", getfamily),
            (c"getfd", getfd),
            (c"setfd", setfd),
            (c"dirty", dirty),
        ],
    );
    library.metatables.set([tcp, udp]);
    function_table(
        stack,
        &[
            (c"tcp", tcp_any),
            (c"tcp4", tcp4),
            (c"tcp6", tcp6),
            (c"udp", udp_any),
            (c"udp4", udp4),
            (c"udp6", udp6),
            (c"select", select::select),
            (c"sleep", sleep),
            (c"gettime", gettime),
            (c"skip", skip),
            (c"restrict", restrict),
            (c"restricted", restricted),
            (c"limits", limits),
            (c"stats", stats),
            (c"unix_listen", local::unix_listen),
            (c"unix_connect", local::unix_connect),
        ],
    );
    names::push_dns(stack);
    stack.set_field(-2, c"dns");
}

fn new_object(cx: &Ctx, stack: Stack, class: Class, family: Option<Family>) -> NativeResult {
    let transport = if class == Class::Master { Transport::Tcp } else { Transport::Udp };
    if let Err(refused) = guard::open(cx, transport) {
        return Ok(refuse(stack, refused));
    }
    object::create(cx, stack, class, family, None);
    Ok(Return::Values(1))
}

/// `socket.sleep`: nothing but a deadline.
struct Sleep;

impl Request for Sleep {
    fn poll(&mut self, _: &Ctx, _: Stack) -> Option<i32> {
        None
    }

    fn expired(&mut self, _: &Ctx, _: Stack) -> Wait {
        Wait::Over(0)
    }

    fn release(&mut self, _: &Ctx, _: crate::scheduler::threads::ThreadId) {}
}

fn optional_u64(stack: Stack, key: &CStr) -> Option<u64> {
    stack.field(1, key);
    let number = stack.number(-1).filter(|number| *number >= 0.0);
    stack.pop(1);
    number.map(|number| number as u64)
}

fn read_limits(stack: Stack) -> Limits {
    let port = |key| optional_u64(stack, key).map(|port| port.min(65535) as u16);
    let mut limits = Limits {
        max_send: optional_u64(stack, c"max_send"),
        max_receive: optional_u64(stack, c"max_receive"),
        max_sockets: optional_u64(stack, c"max_sockets").map(|max| max.min(u64::from(u32::MAX)) as u32),
        start_port: port(c"start_port"),
        end_port: port(c"end_port"),
        ..Limits::default()
    };
    stack.field(1, c"local_ip");
    limits.local_ip = stack.text(-1).and_then(|text| text.parse().ok());
    stack.field(1, c"udp_drop_ratio");
    limits.udp_drop_ratio = stack.number(-1).unwrap_or(0.0);
    stack.field(1, c"blacklist");
    if stack.kind(-1) == Kind::Table {
        for n in 1.. {
            stack.raw_get_index(-1, n);
            let host = stack.text(-1);
            stack.pop(1);
            match host {
                Some(host) => limits.blacklist.push(host),
                None => break,
            }
        }
    }
    stack.pop(3);
    limits
}

fn push_optional(stack: Stack, number: Option<u64>) {
    match number {
        Some(number) => stack.push_int(number as i64),
        None => stack.push_nil(),
    }
}

native! {
    /// `tcp() -> socket` of the family that its first address has.
    fn tcp_any(cx, stack) {
        new_object(cx, stack, Class::Master, None)
    }

    /// `tcp4() -> socket`
    fn tcp4(cx, stack) {
        new_object(cx, stack, Class::Master, Some(Family::V4))
    }

    /// `tcp6() -> socket`
    fn tcp6(cx, stack) {
        new_object(cx, stack, Class::Master, Some(Family::V6))
    }

    /// `udp() -> socket` of the family that its first address has.
    fn udp_any(cx, stack) {
        new_object(cx, stack, Class::Unconnected, None)
    }

    /// `udp4() -> socket`
    fn udp4(cx, stack) {
        new_object(cx, stack, Class::Unconnected, Some(Family::V4))
    }

    /// `udp6() -> socket`
    fn udp6(cx, stack) {
        new_object(cx, stack, Class::Unconnected, Some(Family::V6))
    }

    /// `sleep(seconds)`
    fn sleep(cx, stack) {
        let seconds = stack.check_number(1)?;
        cx.suspend(Box::new(Sleep), Some(deadline_in(cx, seconds)))
    }

    /// `gettime() -> seconds since 1970`
    fn gettime(cx, stack) {
        let wall = cx.wall();
        stack.push_number(wall.as_secs_f64());
        Ok(Return::Values(1))
    }

    /// `skip(n, ...) -> what follows the first n of ...`
    fn skip(cx, stack) {
        let count = stack.check_number(1)?.clamp(0.0, 1e6) as i32;
        Ok(Return::Values((stack.top() - 1 - count).max(0)))
    }

    /// `restrict(settings) -> true`, or `false, "init() already called"`.
    fn restrict(cx, stack) {
        if stack.kind(1) != Kind::Table {
            stack.push_bool(false);
            stack.push_str("no settings");
            return Ok(Return::Values(2));
        }
        if guard(cx).set(cx, read_limits(stack)) {
            stack.push_bool(true);
            return Ok(Return::Values(1));
        }
        stack.push_bool(false);
        stack.push_str("init() already called");
        Ok(Return::Values(2))
    }

    /// `restricted() -> boolean`: limits were set.
    fn restricted(cx, stack) {
        stack.push_bool(guard(cx).is_restricted());
        Ok(Return::Values(1))
    }

    /// `limits() -> max_send, max_receive, max_sockets, start_port, end_port, local_ip`
    fn limits(cx, stack) {
        let limits = guard(cx).limits();
        push_optional(stack, limits.max_send);
        push_optional(stack, limits.max_receive);
        push_optional(stack, limits.max_sockets.map(u64::from));
        push_optional(stack, limits.start_port.map(u64::from));
        push_optional(stack, limits.end_port.map(u64::from));
        match limits.local_ip {
            Some(ip) => stack.push_str(&ip.to_string()),
            None => stack.push_nil(),
        }
        Ok(Return::Values(6))
    }

    /// `stats() -> total_sent, total_received, total_tcp_sockets, total_udp_sockets`
    fn stats(cx, stack) {
        stack.push_int(cx.counters.sent_bytes.get() as i64);
        stack.push_int(cx.counters.received_bytes.get() as i64);
        stack.push_int(cx.counters.tcp_sockets.get().into());
        stack.push_int(cx.counters.udp_sockets.get().into());
        Ok(Return::Values(4))
    }

    /// `s:close() -> 1`
    fn close(cx, stack) {
        let sock = this(stack, &[])?.clone();
        sock.close(cx);
        Ok(one(stack))
    }

    /// `s:settimeout(seconds) -> true`: of each operation as a whole; nil, false and negative
    /// numbers set none.
    fn settimeout(cx, stack) {
        let sock = this(stack, &[])?;
        let seconds = match stack.kind(2) {
            Kind::None | Kind::Nil | Kind::Boolean => None,
            _ => Some(stack.check_number(2)?).filter(|seconds| *seconds >= 0.0),
        };
        // Beyond a century there is no limit either.
        let timeout = seconds.filter(|seconds| *seconds < 3.2e9).map(Duration::from_secs_f64);
        sock.timeout.set(timeout);
        stack.push_bool(true);
        Ok(Return::Values(1))
    }

    /// `s:gettimeout() -> seconds or -1, -1`
    fn gettimeout(cx, stack) {
        let sock = this(stack, &[])?;
        stack.push_number(sock.timeout.get().map_or(-1.0, |timeout| timeout.as_secs_f64()));
        stack.push_int(-1);
        Ok(Return::Values(2))
    }

    /// `s:getsockname() -> ip, port, family`
    fn getsockname(cx, stack) {
        let sock = this(stack, &[])?;
        let address = sock.open_id().and_then(|id| cx.driver().local_address(id));
        Ok(match address {
            Ok(address) => Return::Values(push_address(stack, address)),
            Err(error) => fail(stack, &text(&error)),
        })
    }

    /// `s:getpeername() -> ip, port, family`
    fn getpeername(cx, stack) {
        let sock = this(stack, &[])?;
        let address = sock.open_id().and_then(|id| cx.driver().peer_address(id));
        Ok(match address {
            Ok(address) => Return::Values(push_address(stack, address)),
            Err(error) => fail(stack, &text(&error)),
        })
    }

    /// `s:getstats() -> received, sent, age`
    fn getstats(cx, stack) {
        let sock = this(stack, &[])?;
        stack.push_int(sock.received.get() as i64);
        stack.push_int(sock.sent.get() as i64);
        stack.push_number(cx.now().as_secs_f64() - sock.birth.get());
        Ok(Return::Values(3))
    }

    /// `s:setstats([received[, sent[, age]]]) -> 1`
    fn setstats(cx, stack) {
        let sock = this(stack, &[])?;
        let bytes = |index| stack.number(index).map(|bytes| bytes.max(0.0) as u64);
        if let Some(received) = bytes(2) {
            sock.received.set(received);
        }
        if let Some(sent) = bytes(3) {
            sock.sent.set(sent);
        }
        if let Some(age) = stack.number(4) {
            sock.birth.set(cx.now().as_secs_f64() - age);
        }
        Ok(one(stack))
    }

    /// `s:getfamily() -> "inet" or "inet6"`
    fn getfamily(cx, stack) {
        let sock = this(stack, &[])?;
        stack.push_str(match sock.usual_family() {
            Family::V4 => "inet",
            Family::V6 => "inet6",
        });
        Ok(Return::Values(1))
    }

    /// `s:getfd() -> number`, -1 where there is no socket (yet).
    fn getfd(cx, stack) {
        let sock = this(stack, &[])?;
        stack.push_int(sock.id.get().map_or(-1, |id| select::number_of(cx, id).into()));
        Ok(Return::Values(1))
    }

    /// `s:setfd(-1)`: gives the socket up. Other descriptors cannot be adopted.
    fn setfd(cx, stack) {
        let sock = this(stack, &[])?.clone();
        if stack.check_number(2)? >= 0.0 {
            return Err(NativeError::Argument(2, "only -1 can be set".to_owned()));
        }
        sock.close(cx);
        Ok(Return::Values(0))
    }

    /// `s:dirty() -> boolean`: bytes are buffered in the object.
    fn dirty(cx, stack) {
        let sock = this(stack, &[])?;
        stack.push_bool(sock.is_dirty());
        Ok(Return::Values(1))
    }
}
