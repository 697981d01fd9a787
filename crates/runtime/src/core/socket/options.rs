//! Socket options under LuaSocket's names.

use std::net::IpAddr;

use super::object::{Sock, fail, one, text, this};
use crate::driver::{OptionName, SocketOption};
use crate::native;
use crate::vm::{Kind, NativeError, Return, Stack};

/// Every option that is a plain boolean or number, with its reader and maker.
#[derive(Clone, Copy)]
enum Shape {
    Flag(fn(bool) -> SocketOption),
    Count(fn(u32) -> SocketOption),
}

type Row = (&'static [u8], OptionName, Shape);

static PLAIN: &[Row] = &[
    (b"keepalive", OptionName::KeepAlive, Shape::Flag(SocketOption::KeepAlive)),
    (b"reuseaddr", OptionName::ReuseAddr, Shape::Flag(SocketOption::ReuseAddr)),
    (b"reuseport", OptionName::ReusePort, Shape::Flag(SocketOption::ReusePort)),
    (b"tcp-nodelay", OptionName::NoDelay, Shape::Flag(SocketOption::NoDelay)),
    (b"broadcast", OptionName::Broadcast, Shape::Flag(SocketOption::Broadcast)),
    (b"dontroute", OptionName::DontRoute, Shape::Flag(SocketOption::DontRoute)),
    (b"ipv6-v6only", OptionName::V6Only, Shape::Flag(SocketOption::V6Only)),
    (b"ip-multicast-loop", OptionName::MulticastLoop, Shape::Flag(SocketOption::MulticastLoop)),
    (b"ipv6-multicast-loop", OptionName::MulticastLoop, Shape::Flag(SocketOption::MulticastLoop)),
    (
        b"recv-buffer-size",
        OptionName::ReceiveBuffer,
        Shape::Count(|bytes| SocketOption::ReceiveBuffer(bytes as usize)),
    ),
    (
        b"send-buffer-size",
        OptionName::SendBuffer,
        Shape::Count(|bytes| SocketOption::SendBuffer(bytes as usize)),
    ),
    (b"ip-multicast-ttl", OptionName::MulticastTtl, Shape::Count(SocketOption::MulticastTtl)),
    (b"ipv6-unicast-hops", OptionName::UnicastHops, Shape::Count(SocketOption::UnicastHops)),
    (b"ipv6-multicast-hops", OptionName::MulticastHops, Shape::Count(SocketOption::MulticastHops)),
];

fn plain(name: &[u8]) -> Option<&'static Row> {
    PLAIN.iter().find(|row| row.0 == name)
}

fn unsupported(name: &[u8]) -> NativeError {
    let name = String::from_utf8_lossy(name);
    NativeError::Argument(2, format!("unsupported option `{name}'"))
}

fn address_field(stack: Stack, key: &std::ffi::CStr) -> Result<Option<IpAddr>, NativeError> {
    stack.field(3, key);
    let text = stack.text(-1);
    stack.pop(1);
    match text.as_deref() {
        None => Ok(None),
        Some("*") => Ok(Some(IpAddr::from([0, 0, 0, 0]))),
        Some(text) => match text.parse() {
            Ok(address) => Ok(Some(address)),
            Err(_) => Err(NativeError::Argument(3, format!("invalid address '{text}'"))),
        },
    }
}

/// Reads the value (argument 3) of the option `name`.
fn option(stack: Stack, name: &[u8]) -> Result<SocketOption, NativeError> {
    if let Some((_, _, shape)) = plain(name) {
        return Ok(match shape {
            Shape::Flag(make) => match stack.kind(3) {
                Kind::Boolean => make(stack.truth(3)),
                _ => return Err(stack.wrong_type(3, "boolean")),
            },
            Shape::Count(make) => make(stack.check_number(3)?.clamp(0.0, f64::from(u32::MAX)) as u32),
        });
    }
    match name {
        b"linger" => {
            stack.check_table(3)?;
            stack.field(3, c"on");
            stack.field(3, c"timeout");
            let (on, seconds) = (stack.truth(-2), stack.number(-1).unwrap_or(0.0));
            stack.pop(2);
            Ok(SocketOption::Linger(on.then_some(seconds.clamp(0.0, 65535.0) as u16)))
        }
        b"ip-multicast-if" => {
            let text = stack.text(3).ok_or_else(|| stack.wrong_type(3, "string"))?;
            let address = if text == "*" { Some(IpAddr::from([0, 0, 0, 0])) } else { text.parse().ok() };
            let address = address.ok_or_else(|| NativeError::Argument(3, "ip expected".to_owned()))?;
            Ok(SocketOption::MulticastInterface(address))
        }
        b"ip-add-membership" | b"ip-drop-membership" | b"ipv6-add-membership" | b"ipv6-drop-membership" => {
            stack.check_table(3)?;
            let group = address_field(stack, c"multiaddr")?;
            let group = group
                .ok_or_else(|| NativeError::Argument(3, "string 'multiaddr' field expected".to_owned()))?;
            stack.field(3, c"interface");
            let index = stack.number(-1).map(|index| index.clamp(0.0, 1e9) as u32);
            stack.pop(1);
            let interface = if index.is_some() { None } else { address_field(stack, c"interface")? };
            let make = match name {
                b"ip-add-membership" | b"ipv6-add-membership" => SocketOption::AddMembership,
                _ => SocketOption::DropMembership,
            };
            Ok(make(group, interface, index.unwrap_or(0)))
        }
        _ => Err(unsupported(name)),
    }
}

fn push_option(stack: Stack, option: &SocketOption) {
    match *option {
        SocketOption::KeepAlive(on)
        | SocketOption::ReuseAddr(on)
        | SocketOption::ReusePort(on)
        | SocketOption::NoDelay(on)
        | SocketOption::Broadcast(on)
        | SocketOption::DontRoute(on)
        | SocketOption::V6Only(on)
        | SocketOption::MulticastLoop(on) => stack.push_bool(on),
        SocketOption::ReceiveBuffer(bytes) | SocketOption::SendBuffer(bytes) => stack.push_int(bytes as i64),
        SocketOption::MulticastTtl(count)
        | SocketOption::UnicastHops(count)
        | SocketOption::MulticastHops(count) => stack.push_int(count.into()),
        SocketOption::Linger(seconds) => {
            stack.new_table(0, 2);
            stack.push_bool(seconds.is_some());
            stack.set_field(-2, c"on");
            stack.push_int(seconds.unwrap_or(0).into());
            stack.set_field(-2, c"timeout");
        }
        SocketOption::MulticastInterface(_)
        | SocketOption::AddMembership(..)
        | SocketOption::DropMembership(..) => stack.push_nil(),
    }
}

/// The last value an option was given before there was a socket.
fn early(sock: &Sock, stack: Stack, wanted: &[u8]) -> Option<i32> {
    let option = sock.early_option(|option| {
        plain(wanted).is_some_and(|(_, _, shape)| {
            let sample = match shape {
                Shape::Flag(make) => make(false),
                Shape::Count(make) => make(0),
            };
            std::mem::discriminant(&sample) == std::mem::discriminant(option)
        })
    })?;
    push_option(stack, &option);
    Some(1)
}

native! {
    /// `s:setoption(name[, value]) -> 1`
    pub(super) fn setoption(cx, stack) {
        let sock = this(stack, &[])?;
        let name = stack.check_bytes(2)?;
        let option = option(stack, name)?;
        if sock.closed.get() {
            return Ok(fail(stack, "setsockopt failed"));
        }
        let Some(id) = sock.id.get() else {
            sock.set_early(option);
            return Ok(one(stack));
        };
        let result = cx.driver().set_option(id, &option);
        Ok(match result {
            Ok(()) => one(stack),
            Err(_) => fail(stack, "setsockopt failed"),
        })
    }

    /// `s:getoption(name) -> value`
    pub(super) fn getoption(cx, stack) {
        let sock = this(stack, &[])?;
        let name = stack.check_bytes(2)?;
        let option = match (plain(name), name) {
            (Some((_, option, _)), _) => *option,
            (None, b"linger") => OptionName::Linger,
            (None, b"error") => OptionName::Error,
            _ => return Err(unsupported(name)),
        };
        if sock.closed.get() {
            return Ok(fail(stack, "getsockopt failed"));
        }
        if sock.id.get().is_none() && let Some(results) = early(sock, stack, name) {
            return Ok(Return::Values(results));
        }
        let value = match sock.ensure(cx, sock.usual_family()) {
            Ok(id) => cx.driver().option(id, option),
            Err(error) => Err(error),
        };
        match (option, value) {
            (OptionName::Error, Ok(_)) => stack.push_nil(),
            (OptionName::Error, Err(error)) => stack.push_str(&text(&error)),
            (_, Ok(value)) => push_option(stack, &value),
            (_, Err(_)) => return Ok(fail(stack, "getsockopt failed")),
        }
        Ok(Return::Values(1))
    }
}
