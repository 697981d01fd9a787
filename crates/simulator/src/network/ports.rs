//! Owns who is bound to which address and port, and which of them a packet reaches.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use rustc_hash::FxHashMap;
use splay_runtime::driver::{SocketId, Transport};

/// Ports given to sockets that did not choose one, as Linux does by default.
const EPHEMERAL: std::ops::RangeInclusive<u16> = 32768..=60999;

/// One socket's claim on a port.
#[derive(Debug, Clone, Copy)]
pub(super) struct Binding {
    pub(super) socket: SocketId,
    /// May share the port with others that may, as long as none listens.
    pub(super) reuse_address: bool,
    /// May share the port, even listening, with others that may.
    pub(super) reuse_port: bool,
    /// Only for `[::]`: leaves IPv4 alone.
    pub(super) v6_only: bool,
    pub(super) listening: bool,
}

/// A machine of the simulated network: its ports are its own. Owners without an address of their
/// own share number 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Host(pub(super) u32);

/// A host's side of a transport.
pub(super) type Side = (Host, Transport);

/// Host, whether it is TCP, port.
type Key = (Host, bool, u16);

#[derive(Debug, Default)]
pub(super) struct Ports {
    /// Claims in the order in which they were made. Nothing is ever done in this map's own order.
    bindings: FxHashMap<Key, Vec<(IpAddr, Binding)>>,
    /// By host: how many ports have been chosen for sockets that did not.
    chosen: Vec<u16>,
}

fn key((host, transport): Side, port: u16) -> Key {
    (host, transport == Transport::Tcp, port)
}

/// Whether the two addresses would take packets from each other.
fn overlap(a: IpAddr, a_v6_only: bool, b: IpAddr, b_v6_only: bool) -> bool {
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => a == b || a.is_unspecified() || b.is_unspecified(),
        (IpAddr::V6(a), IpAddr::V6(b)) => a == b || a.is_unspecified() || b.is_unspecified(),
        (IpAddr::V6(six), IpAddr::V4(_)) => six.is_unspecified() && !a_v6_only,
        (IpAddr::V4(_), IpAddr::V6(six)) => six.is_unspecified() && !b_v6_only,
    }
}

impl Ports {
    /// Every claim on a port, of any address.
    fn claims(&self, side: Side, port: u16) -> impl Iterator<Item = (IpAddr, &Binding)> {
        let held = self.bindings.get(&key(side, port)).map_or(&[][..], Vec::as_slice);
        held.iter().map(|(ip, claim)| (*ip, claim))
    }

    /// Whether `new` may have `address` beside those who hold it already.
    pub(super) fn is_free(&self, side: Side, address: SocketAddr, new: &Binding) -> bool {
        self.claims(side, address.port())
            .filter(|(ip, held)| {
                held.socket != new.socket && overlap(*ip, held.v6_only, address.ip(), new.v6_only)
            })
            .all(|(_, held)| {
                let listens = side.1 == Transport::Tcp && held.listening;
                (held.reuse_port && new.reuse_port) || (held.reuse_address && new.reuse_address && !listens)
            })
    }

    /// A port nobody claims on that address.
    pub(super) fn choose(&mut self, side: Side, ip: IpAddr) -> Option<u16> {
        let host = side.0.0 as usize;
        if self.chosen.len() <= host {
            self.chosen.resize(host + 1, 0);
        }
        let amount = EPHEMERAL.end() - EPHEMERAL.start() + 1;
        for _ in EPHEMERAL {
            let port = EPHEMERAL.start() + self.chosen[host];
            self.chosen[host] = (self.chosen[host] + 1) % amount;
            if self.claims(side, port).all(|(held, _)| !overlap(held, false, ip, false)) {
                return Some(port);
            }
        }
        None
    }

    pub(super) fn claim(&mut self, side: Side, address: SocketAddr, binding: Binding) {
        let held = self.bindings.entry(key(side, address.port())).or_default();
        held.push((address.ip(), binding));
    }

    pub(super) fn set_listening(&mut self, host: Host, address: SocketAddr, socket: SocketId) {
        let held = self.bindings.entry(key((host, Transport::Tcp), address.port())).or_default();
        if let Some((_, claim)) = held.iter_mut().find(|(_, claim)| claim.socket == socket) {
            claim.listening = true;
        }
    }

    pub(super) fn release(&mut self, side: Side, address: SocketAddr, socket: SocketId) {
        let key = key(side, address.port());
        if let Some(held) = self.bindings.get_mut(&key) {
            held.retain(|(ip, claim)| *ip != address.ip() || claim.socket != socket);
            if held.is_empty() {
                self.bindings.remove(&key);
            }
        }
    }

    /// The socket that a packet for `address` reaches: the most exactly bound one that `wants`
    /// it; among equals that share the port, `spread` chooses.
    pub(super) fn find(
        &self,
        side: Side,
        address: SocketAddr,
        spread: usize,
        wants: impl Fn(&Binding) -> bool,
    ) -> Option<SocketId> {
        let ip = address.ip().to_canonical();
        let held = self.bindings.get(&key(side, address.port()))?;
        let pick = |bound: IpAddr, v4_only: bool| {
            let fits = |(at, claim): &&(IpAddr, Binding)| {
                *at == bound && wants(claim) && !(v4_only && claim.v6_only)
            };
            let count = held.iter().filter(fits).count();
            match count {
                0 => None,
                _ => held.iter().filter(fits).nth(spread % count).map(|(_, claim)| claim.socket),
            }
        };
        let (any4, any6) = (Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into());
        let exact = pick(ip, false);
        match ip {
            IpAddr::V4(_) => exact.or_else(|| pick(any4, false)).or_else(|| pick(any6, true)),
            IpAddr::V6(_) => exact.or_else(|| pick(any6, false)),
        }
    }

    /// Everybody on any host who claims the port on any address: receivers of a broadcast.
    pub(super) fn all(&self, transport: Transport, port: u16) -> Vec<SocketId> {
        let tcp = transport == Transport::Tcp;
        let held = self.bindings.iter().filter(|((_, held, at), _)| *held == tcp && *at == port);
        let mut held: Vec<_> = held
            .flat_map(|((host, ..), claims)| claims.iter().map(|(ip, claim)| (*host, *ip, claim.socket)))
            .collect();
        held.sort_by_key(|(host, ip, _)| (*host, *ip));
        held.into_iter().map(|(.., socket)| socket).collect()
    }
}
