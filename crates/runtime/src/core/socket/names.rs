//! Hosts, ports and nodes as arguments, and look-ups that suspend the calling thread instead of
//! blocking the worker. Also the functions of `socket.dns`.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use super::guard::{self, RESTRICTED};
use super::object::fail;
use crate::driver::{Family, Query, Resolved};
use crate::native;
use crate::real::UNKNOWN_HOST;
use crate::scheduler::threads::ThreadId;
use crate::vm::{Ctx, Kind, NativeError, NativeResult, Request, Return, Stack, Wait};

/// LuaSocket's text where its `gethostbyname` finds nothing.
const HOST_NOT_FOUND: &str = "host not found";

/// A host and port as a program gave them.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) host: String,
    /// `None`: not a number between 0 and 65535.
    pub(super) port: Option<u16>,
}

/// Reads `ip, port` or a node at `index`; returns also the index of the argument after them.
pub(super) fn target(stack: Stack, index: i32) -> Result<(Target, i32), NativeError> {
    if stack.kind(index) == Kind::Table {
        stack.field(index, c"ip");
        let host = stack.text(-1).ok_or_else(|| NativeError::Argument(index, "node without ip".into()))?;
        stack.field(index, c"port");
        let port =
            port(stack, -1).map_err(|_| NativeError::Argument(index, "node without port".to_owned()))?;
        stack.pop(2);
        return Ok((Target { host, port }, index + 1));
    }
    let host = stack.text(index).ok_or_else(|| stack.wrong_type(index, "string"))?;
    let port = port(stack, index + 1)?;
    Ok((Target { host, port }, index + 2))
}

/// A port: a number, or a string that reads as one.
fn port(stack: Stack, index: i32) -> Result<Option<u16>, NativeError> {
    match stack.number(index) {
        Some(number) if (0.0..=65535.0).contains(&number) => Ok(Some(number as u16)),
        Some(_) => Ok(None),
        None if stack.kind(index) == Kind::String => Ok(None),
        None => Err(stack.wrong_type(index, "number")),
    }
}

/// Addresses of a host that need no name service.
pub(super) fn literal(host: &str) -> Option<Vec<IpAddr>> {
    const ANY: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
    const LOCAL: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    match host {
        "*" => Some(ANY.to_vec()),
        "localhost" => Some(LOCAL.to_vec()),
        _ => host.parse().ok().map(|address| vec![address]),
    }
}

/// Those of a host's addresses that a socket of `family` can use, with the port.
pub(super) fn usable(addresses: &[IpAddr], port: u16, family: Option<Family>) -> Vec<SocketAddr> {
    let fits = |address: &&IpAddr| match family {
        None => true,
        Some(Family::V4) => address.is_ipv4(),
        Some(Family::V6) => address.is_ipv6(),
    };
    addresses.iter().filter(fits).map(|&address| SocketAddr::new(address, port)).collect()
}

/// Family of an address.
pub(super) fn family_of(address: SocketAddr) -> Family {
    if address.is_ipv4() { Family::V4 } else { Family::V6 }
}

/// An answer that is still to come.
pub(super) type Answer = Rc<RefCell<Option<Result<Resolved, String>>>>;

/// Asks the name service for a thread; its request is polled when the answer is there.
pub(super) fn ask(cx: &Ctx, question: Query, thread: ThreadId) -> Answer {
    let answer = Answer::default();
    let slot = answer.clone();
    cx.resolve(question, move |cx, result| {
        *slot.borrow_mut() = Some(result);
        // If the thread waits for something else by now, that is merely tried again.
        cx.poll_request(thread);
    });
    answer
}

/// Why a host cannot be contacted, or its addresses.
pub(super) fn permitted(cx: &Ctx, found: Result<Vec<IpAddr>, String>) -> Result<Vec<IpAddr>, String> {
    let addresses = found?;
    match addresses.iter().any(|address| guard::may_reach(cx, *address).is_err()) {
        true => Err(RESTRICTED.to_owned()),
        false => Ok(addresses),
    }
}

type Then = Box<dyn FnOnce(&Ctx, Stack, Result<Resolved, String>) -> i32>;

/// Waits for the name service, then does the rest of an operation that does not wait.
struct Lookup {
    answer: Answer,
    then: Option<Then>,
}

impl Request for Lookup {
    fn poll(&mut self, cx: &Ctx, stack: Stack) -> Option<i32> {
        let answer = self.answer.borrow_mut().take()?;
        Some(self.then.take()?(cx, stack, answer))
    }

    fn expired(&mut self, _: &Ctx, stack: Stack) -> Wait {
        fail(stack, "timeout");
        Wait::Over(2)
    }

    fn release(&mut self, _: &Ctx, _: ThreadId) {}
}

/// Suspends the thread until `question` is answered; `then` pushes the results.
pub(super) fn look_up(
    cx: &Ctx,
    question: Query,
    deadline: Option<Duration>,
    then: impl FnOnce(&Ctx, Stack, Result<Resolved, String>) -> i32 + 'static,
) -> NativeResult {
    let thread = cx.waiter()?;
    let answer = ask(cx, question, thread);
    cx.suspend(Box::new(Lookup { answer, then: Some(Box::new(then)) }), deadline)
}

/// Does `then` with the addresses of `host`: at once if it needs no name service, else after
/// suspending the thread. `then` pushes the results and returns their number.
pub(super) fn with_addresses(
    cx: &Ctx,
    stack: Stack,
    host: &str,
    deadline: Option<Duration>,
    then: impl FnOnce(&Ctx, Stack, Result<Vec<IpAddr>, String>) -> i32 + 'static,
) -> NativeResult {
    match literal(host) {
        Some(addresses) => Ok(Return::Values(then(cx, stack, Ok(addresses)))),
        None => look_up(cx, Query::Addresses(host.to_owned()), deadline, |cx, stack, answer| {
            then(cx, stack, answer.map(|resolved| resolved.addresses))
        }),
    }
}

fn push_list(stack: Stack, items: impl Iterator<Item = String>) {
    stack.new_table(0, 0);
    for (n, item) in items.enumerate() {
        stack.push_str(&item);
        stack.raw_set_index(-2, n as i32 + 1);
    }
}

/// Pushes LuaSocket's table `{name=, alias={}, ip={}}`.
fn push_resolved(stack: Stack, resolved: &Resolved) {
    stack.new_table(0, 3);
    stack.push_str(&resolved.name);
    stack.set_field(-2, c"name");
    push_list(stack, resolved.aliases.iter().cloned());
    stack.set_field(-2, c"alias");
    push_list(stack, resolved.addresses.iter().map(IpAddr::to_string));
    stack.set_field(-2, c"ip");
}

/// `gethostbyname` says the same thing in other words than `getaddrinfo`.
fn host_error(text: String) -> String {
    if text == UNKNOWN_HOST { HOST_NOT_FOUND.to_owned() } else { text }
}

/// Results of `toip` and `tohostname`.
fn push_host(stack: Stack, answer: Result<Resolved, String>, pick: fn(&Resolved) -> String) -> i32 {
    match answer {
        Ok(resolved) => {
            stack.push_str(&pick(&resolved));
            push_resolved(stack, &resolved);
        }
        Err(text) => {
            fail(stack, &host_error(text));
        }
    }
    2
}

/// `gethostbyname` knows IPv4 alone.
fn only_v4(answer: Result<Resolved, String>) -> Result<Resolved, String> {
    let mut resolved = answer?;
    resolved.addresses.retain(IpAddr::is_ipv4);
    if resolved.addresses.is_empty() { Err(UNKNOWN_HOST.to_owned()) } else { Ok(resolved) }
}

fn first_address(resolved: &Resolved) -> String {
    resolved.addresses.first().map(IpAddr::to_string).unwrap_or_default()
}

fn known(host: &str) -> Option<Resolved> {
    let addresses = literal(host).filter(|_| host != "*")?;
    Some(Resolved { name: host.to_owned(), aliases: Vec::new(), addresses })
}

native! {
    /// `toip(host) -> ip, {name=, alias=, ip=}`
    fn toip(cx, stack) {
        let host = stack.text(1).ok_or_else(|| stack.wrong_type(1, "string"))?;
        if let Some(resolved) = known(&host) {
            return Ok(Return::Values(push_host(stack, only_v4(Ok(resolved)), first_address)));
        }
        look_up(cx, Query::Addresses(host), None, |_, stack, answer| {
            push_host(stack, only_v4(answer), first_address)
        })
    }

    /// `tohostname(ip or host) -> name, {name=, alias=, ip=}`
    fn tohostname(cx, stack) {
        let host = stack.text(1).ok_or_else(|| stack.wrong_type(1, "string"))?;
        let question = match host.parse() {
            Ok(address) => Query::Name(address),
            Err(_) => Query::Addresses(host),
        };
        look_up(cx, question, None, |_, stack, answer| {
            push_host(stack, answer, |resolved| resolved.name.clone())
        })
    }

    /// `gethostname() -> name`
    fn gethostname(cx, stack) {
        let name = cx.driver().host_name();
        stack.push_str(&name);
        Ok(Return::Values(1))
    }

    /// `getaddrinfo(host) -> {{family=, addr=}, ...}`
    fn getaddrinfo(cx, stack) {
        let host = stack.text(1).ok_or_else(|| stack.wrong_type(1, "string"))?;
        with_addresses(cx, stack, &host, None, |_, stack, found| match found {
            Ok(addresses) => {
                stack.new_table(addresses.len() as i32, 0);
                for (n, address) in addresses.iter().enumerate() {
                    stack.new_table(0, 2);
                    stack.push_str(if address.is_ipv4() { "inet" } else { "inet6" });
                    stack.set_field(-2, c"family");
                    stack.push_str(&address.to_string());
                    stack.set_field(-2, c"addr");
                    stack.raw_set_index(-2, n as i32 + 1);
                }
                1
            }
            Err(text) => {
                fail(stack, &text);
                2
            }
        })
    }

    /// `getnameinfo(ip[, service]) -> {name, ...}[, service]`
    fn getnameinfo(cx, stack) {
        let service = stack.text(2);
        let Some(host) = stack.text(1) else {
            return match service {
                None => Err("host and serv cannot be both nil".into()),
                Some(service) => {
                    stack.push_nil();
                    stack.push_str(&service);
                    Ok(Return::Values(2))
                }
            };
        };
        let Ok(address) = host.parse() else { return Ok(fail(stack, UNKNOWN_HOST)) };
        look_up(cx, Query::Name(address), None, move |_, stack, answer| match answer {
            Ok(resolved) => {
                push_list(stack, std::iter::once(resolved.name).chain(resolved.aliases));
                match &service {
                    Some(service) => {
                        stack.push_str(service);
                        2
                    }
                    None => 1,
                }
            }
            Err(text) => {
                fail(stack, &text);
                2
            }
        })
    }
}

/// Pushes the table of `socket.dns`.
pub(super) fn push_dns(stack: Stack) {
    crate::core::function_table(
        stack,
        &[
            (c"toip", toip),
            (c"tohostname", tohostname),
            (c"gethostname", gethostname),
            (c"getaddrinfo", getaddrinfo),
            (c"getnameinfo", getnameinfo),
        ],
    );
}
