//! Owns what an instance's sockets may do and how much they have done: the limits of
//! `restricted_socket`, kept for every socket of the instance, whoever opened it.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;

use crate::driver::Transport;
use crate::host::Mode;
use crate::vm::Ctx;

/// The text of everything that a limit forbids.
pub const RESTRICTED: &str = "restricted";

/// Something a limit forbids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("restricted")]
pub struct Restricted;

/// The limits; what is `None` or empty does not limit.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Limits {
    /// Bytes sent over the instance's life.
    pub max_send: Option<u64>,
    /// Bytes received over the instance's life.
    pub max_receive: Option<u64>,
    /// Open TCP sockets, and as many UDP sockets.
    pub max_sockets: Option<u32>,
    /// First port that TCP may bind.
    pub start_port: Option<u16>,
    /// Last port that TCP may bind.
    pub end_port: Option<u16>,
    /// Hosts that may not be contacted; `*` stands for anything.
    pub blacklist: Vec<String>,
    /// Replaces every address given to bind.
    pub local_ip: Option<IpAddr>,
    /// Fraction of outgoing datagrams dropped, 0 to 1.
    pub udp_drop_ratio: f64,
}

/// The limits of one instance. Its functions take the context; an instance without limits pays
/// for no more than a look at a flag.
#[derive(Debug, Default)]
pub struct Guard {
    limits: RefCell<Limits>,
    restricted: Cell<bool>,
    prepared: Cell<bool>,
}

/// The guard of an instance.
pub fn guard(cx: &Ctx) -> Rc<Guard> {
    let guard = cx.extension::<Guard>();
    if !guard.prepared.replace(true)
        && let Mode::Sandboxed(sandbox) = cx.mode()
    {
        guard.restrict(Limits {
            max_send: Some(sandbox.max_send_bytes),
            max_receive: Some(sandbox.max_receive_bytes),
            max_sockets: Some(sandbox.max_sockets),
            start_port: sandbox.ports.map(|ports| ports.0),
            end_port: sandbox.ports.map(|ports| ports.1),
            blacklist: sandbox.blacklist.clone(),
            local_ip: None,
            udp_drop_ratio: sandbox.udp_drop_ratio,
        });
    }
    guard
}

/// Sets whom a sandboxed instance may not contact from now on. The sandbox's limits are the first
/// that are set, and limits are set once: there are none of the program's own to keep.
pub fn set_blacklist(cx: &Ctx, hosts: Vec<String>) {
    if matches!(cx.mode(), Mode::Sandboxed(_)) {
        guard(cx).limits.borrow_mut().blacklist = hosts;
    }
}

/// Asks the guard of an instance that has limits; the others may do everything.
#[inline]
fn check(cx: &Ctx, ask: impl FnOnce(&Guard) -> Result<(), Restricted>) -> Result<(), Restricted> {
    if cx.limited.get() { ask(&guard(cx)) } else { Ok(()) }
}

fn open_count(cx: &Ctx, transport: Transport) -> &Cell<u32> {
    match transport {
        Transport::Tcp => &cx.counters.tcp_sockets,
        Transport::Udp => &cx.counters.udp_sockets,
    }
}

/// Counts a socket that is about to be opened or has been accepted; [`closed`] must follow when
/// it is gone.
pub fn open(cx: &Ctx, transport: Transport) -> Result<(), Restricted> {
    let count = open_count(cx, transport);
    let refused = check(cx, |guard| guard.may_open(count.get()));
    if refused.is_err() {
        let max = guard(cx).limits.borrow().max_sockets.unwrap_or_default();
        cx.limit_met("max_sockets", max.into(), u64::from(count.get()) + 1);
    }
    refused?;
    count.set(count.get() + 1);
    Ok(())
}

/// A counted socket is gone.
pub fn closed(cx: &Ctx, transport: Transport) {
    let count = open_count(cx, transport);
    count.set(count.get().saturating_sub(1));
}

/// Whether TCP may bind a port.
pub fn may_bind(cx: &Ctx, port: u16) -> Result<(), Restricted> {
    check(cx, |guard| guard.may_bind(port))
}

/// The address to bind in place of the one a program asked for.
pub fn local_ip(cx: &Ctx) -> Option<IpAddr> {
    if cx.limited.get() { guard(cx).limits.borrow().local_ip } else { None }
}

/// Whether a host, as the program names it, may be contacted.
pub fn may_contact(cx: &Ctx, host: &str) -> Result<(), Restricted> {
    check(cx, |guard| guard.may_contact(host))
}

/// Whether an address may be contacted.
pub fn may_reach(cx: &Ctx, address: IpAddr) -> Result<(), Restricted> {
    check(cx, |guard| {
        let address = address.to_canonical();
        if address.is_unspecified() {
            // The system takes it for the machine itself.
            guard.may_contact("127.0.0.1")?;
            guard.may_contact("::1")?;
        }
        guard.may_contact(&address.to_string())
    })
}

/// Whether so many more bytes may be sent.
#[inline]
pub fn may_send(cx: &Ctx, bytes: usize) -> Result<(), Restricted> {
    check(cx, |guard| match guard.limits.borrow().max_send {
        Some(max) if cx.counters.sent_bytes.get().saturating_add(bytes as u64) > max => {
            let reached = cx.counters.sent_bytes.get().saturating_add(bytes as u64);
            cx.limit_met("max_send_bytes", max, reached);
            Err(Restricted)
        }
        _ => Ok(()),
    })
}

/// Whether anything more may be received (a last piece may overshoot).
#[inline]
pub fn may_receive(cx: &Ctx) -> Result<(), Restricted> {
    check(cx, |guard| match guard.limits.borrow().max_receive {
        Some(max) if cx.counters.received_bytes.get() > max => {
            cx.limit_met("max_receive_bytes", max, cx.counters.received_bytes.get());
            Err(Restricted)
        }
        _ => Ok(()),
    })
}

/// Whether the next outgoing datagram is to be dropped.
#[inline]
pub fn drops_datagram(cx: &Ctx) -> bool {
    if !cx.limited.get() {
        return false;
    }
    let ratio = guard(cx).limits.borrow().udp_drop_ratio;
    if ratio <= 0.0 {
        return false;
    }
    let mut bytes = [0; 4];
    cx.driver().fill_random(&mut bytes);
    f64::from(u32::from_le_bytes(bytes)) / 4_294_967_296.0 < ratio
}

impl Guard {
    fn restrict(&self, limits: Limits) -> bool {
        if self.restricted.replace(true) {
            return false;
        }
        *self.limits.borrow_mut() = limits;
        true
    }

    /// Sets the limits, once; false if they were set before.
    pub fn set(&self, cx: &Ctx, limits: Limits) -> bool {
        cx.limited.set(true);
        self.restrict(limits)
    }

    /// Whether limits were set.
    pub fn is_restricted(&self) -> bool {
        self.restricted.get()
    }

    /// The limits in force.
    pub fn limits(&self) -> Limits {
        self.limits.borrow().clone()
    }

    fn may_open(&self, open: u32) -> Result<(), Restricted> {
        match self.limits.borrow().max_sockets {
            Some(max) if open >= max => Err(Restricted),
            _ => Ok(()),
        }
    }

    fn may_bind(&self, port: u16) -> Result<(), Restricted> {
        let limits = self.limits.borrow();
        let below = limits.start_port.is_some_and(|first| port < first);
        let above = limits.end_port.is_some_and(|last| port > last);
        if below || above { Err(Restricted) } else { Ok(()) }
    }

    fn may_contact(&self, host: &str) -> Result<(), Restricted> {
        let limits = self.limits.borrow();
        let host = host.to_ascii_lowercase();
        let listed = limits.blacklist.iter().any(|pattern| matches(&pattern.to_ascii_lowercase(), &host));
        if listed { Err(Restricted) } else { Ok(()) }
    }
}

/// Whether `host` is what `pattern` means, `*` standing for any run of characters.
fn matches(pattern: &str, host: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == host };
    let Some(mut host) = host.strip_prefix(first) else { return false };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return host.ends_with(part);
        }
        match host.find(part) {
            Some(at) => host = &host[at + part.len()..],
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards() {
        for (pattern, host, expected) in [
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.11", false),
            ("10.*", "10.1.2.3", true),
            ("10.*", "110.1.2.3", false),
            ("*.example.org", "a.b.example.org", true),
            ("*.example.org", "example.org", false),
            ("*", "anything", true),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "aXcYb", false),
            ("a*a", "a", false),
        ] {
            assert_eq!(matches(pattern, host), expected, "{pattern} {host}");
        }
    }

    #[test]
    fn limits_are_set_once() {
        let guard = Guard::default();
        assert!(!guard.is_restricted());
        assert_eq!(guard.may_open(1000), Ok(()));
        assert!(guard.restrict(Limits { max_sockets: Some(2), ..Limits::default() }));
        assert!(!guard.restrict(Limits::default()));
        assert_eq!((guard.may_open(1), guard.may_open(2)), (Ok(()), Err(Restricted)));
    }

    #[test]
    fn ports_have_two_ends() {
        let guard = Guard::default();
        assert_eq!(guard.may_bind(0), Ok(()));
        guard.restrict(Limits { start_port: Some(10), end_port: Some(20), ..Limits::default() });
        assert_eq!([0, 9, 21].map(|port| guard.may_bind(port)), [Err(Restricted); 3]);
        assert_eq!([10, 20].map(|port| guard.may_bind(port)), [Ok(()); 2]);
    }
}
