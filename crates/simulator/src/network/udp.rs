//! Datagrams of the simulated network: never blocking, lost when nobody has room for them.

use std::io;
use std::net::{IpAddr, SocketAddr};

use splay_runtime::driver::{Family, SocketId, Transport};

use super::lines::Datagram;
use super::socket::{Datagrams, Kind, Ref, error};
use super::tcp::seen_by;
use super::{Event, Host, Network, Record};

/// Most payload of a datagram: 65,535 less the IPv4 and UDP headers.
const MAX_V4_BYTES: usize = 65_507;

/// The same over IPv6, whose own header does not count.
const MAX_V6_BYTES: usize = 65_527;

/// What a queued datagram costs of the receive buffer besides its payload.
const OVERHEAD_BYTES: usize = 256;

impl Network {
    fn datagrams(&mut self, id: SocketId) -> io::Result<&mut Datagrams> {
        match &mut self.entry(id)?.kind {
            Kind::Datagrams(datagrams) => Ok(datagrams),
            _ => Err(error(libc::EOPNOTSUPP)),
        }
    }

    /// Binds a socket that has not been bound to a port of the network's choice.
    fn bind_if_needed(&mut self, id: SocketId) -> io::Result<()> {
        let socket = self.get(id)?;
        match socket.local {
            Some(_) => Ok(()),
            None => self.bind(id, super::unspecified(socket.family)),
        }
    }

    pub(super) fn connect_datagrams(&mut self, id: SocketId, peer: SocketAddr) -> io::Result<()> {
        if self.is_broadcast(id, peer)? {
            return Err(error(libc::EACCES));
        }
        self.bind_if_needed(id)?;
        let owner = self.get(id)?.owner;
        let source = self.source_for(owner, peer.ip());
        // A connected socket shows the address it would send from.
        let socket = self.entry(id)?;
        let Some(mut local) = socket.local else { return Err(error(libc::EINVAL)) };
        if local.ip().is_unspecified() {
            let wide = local;
            local.set_ip(source);
            socket.local = Some(local);
            if socket.claimed {
                let claim = self.claim_of(id)?;
                let side = (self.host_of(owner), Transport::Udp);
                self.ports.release(side, wide, id);
                self.ports.claim(side, local, claim);
            }
        }
        self.datagrams(id)?.peer = Some(peer);
        Ok(())
    }

    /// See [`splay_runtime::driver::Driver::disconnect`].
    pub fn disconnect(&mut self, id: SocketId) -> io::Result<()> {
        self.datagrams(id)?.peer = None;
        Ok(())
    }

    /// Whether sending there needs a permission that the socket was not given.
    fn is_broadcast(&self, id: SocketId, to: SocketAddr) -> io::Result<bool> {
        let allowed = self.get(id)?.options.broadcast;
        Ok(!allowed && matches!(to.ip(), IpAddr::V4(ip) if ip.is_broadcast()))
    }

    pub(super) fn send_to_peer(&mut self, id: SocketId, data: &[u8]) -> io::Result<usize> {
        // As on Linux, even a send that fails has bound the socket.
        self.bind_if_needed(id)?;
        match self.datagrams(id)?.peer {
            Some(peer) => self.send_to(id, data, peer),
            None => Err(error(libc::EDESTADDRREQ)),
        }
    }

    /// See [`splay_runtime::driver::Driver::send_to`].
    pub fn send_to(&mut self, id: SocketId, data: &[u8], address: SocketAddr) -> io::Result<usize> {
        let socket = self.entry(id)?;
        if socket.transport() == Transport::Tcp {
            return self.send(id, data);
        }
        self.bind_if_needed(id)?;
        let socket = self.entry(id)?;
        socket.check()?;
        let (family, owner) = (socket.family, socket.owner);
        let to = self.destination(family, address)?;
        if to.port() == 0 {
            return Err(error(libc::EINVAL));
        }
        if self.is_broadcast(id, to)? {
            return Err(error(libc::EACCES));
        }
        let limit = match family {
            Family::V4 => MAX_V4_BYTES,
            Family::V6 => MAX_V6_BYTES,
        };
        if data.len() > limit {
            return Err(error(libc::EMSGSIZE));
        }
        let mut from = self.local_address(id)?;
        if from.ip().is_unspecified() {
            from.set_ip(self.source_for(owner, to.ip()));
        }
        let sender = self.reference(id)?;
        self.note(Record::Datagram, owner, b"", from, to, data);
        let at = self.host_at(owner, to.ip());
        let bytes = data.into();
        match self.model {
            None => {
                self.agenda.plan(self.now + self.latency, Event::Datagram { sender, from, to, at, bytes })
            }
            Some(_) => self.hand_over_datagram(Datagram { sender, owner, from, to, at, bytes }),
        }
        Ok(data.len())
    }

    /// A datagram arrives.
    pub(super) fn datagram(
        &mut self,
        sender: Ref,
        from: SocketAddr,
        to: SocketAddr,
        at: Option<Host>,
        bytes: Box<[u8]>,
    ) {
        let ip = to.ip();
        if ip.is_multicast() || matches!(ip, IpAddr::V4(ip) if ip.is_broadcast()) {
            for id in self.ports.all(Transport::Udp, to.port()) {
                let member = match self.sockets.get(id.0 as usize).map(|socket| &socket.kind) {
                    Some(Kind::Datagrams(datagrams)) => !ip.is_multicast() || datagrams.groups.contains(&ip),
                    _ => false,
                };
                if member && self.is_open(sender, id) {
                    self.deliver(id, from, bytes.clone());
                }
            }
            return;
        }
        let spread = usize::from(from.port());
        let sockets = &self.sockets;
        // A socket with a fixed peer hears only that one.
        let hears = |id: SocketId| match sockets.get(id.0 as usize).map(|socket| &socket.kind) {
            Some(Kind::Datagrams(datagrams)) => datagrams.peer.is_none_or(|peer| peer == from),
            _ => false,
        };
        // Nobody answers at an address that no host has.
        let Some(host) = at.filter(|&host| !self.is_off(host)) else {
            self.counters.drops += 1;
            return;
        };
        let found = self.ports.find((host, Transport::Udp), to, spread, |claim| hears(claim.socket));
        match found {
            Some(id) => self.deliver(id, from, bytes),
            None => {
                self.counters.drops += 1;
                if let Some(socket) = self.get_mut(sender)
                    && let Kind::Datagrams(datagrams) = &socket.kind
                    && datagrams.peer == Some(to)
                {
                    let owner = socket.owner;
                    let back = self.host_of(owner);
                    if let Some(passage) = self.passage(host, Some(back)) {
                        self.agenda.plan(self.now + passage.delay, Event::Unreachable { to: sender });
                    }
                }
            }
        }
    }

    fn deliver(&mut self, id: SocketId, from: SocketAddr, bytes: Box<[u8]>) {
        let Some(socket) = self.sockets.get_mut(id.0 as usize) else { return };
        let from = seen_by(socket.family, from);
        let (stamp, limit) = (socket.stamp, socket.options.receive_buffer as usize);
        let Kind::Datagrams(datagrams) = &mut socket.kind else { return };
        let cost = bytes.len() + OVERHEAD_BYTES;
        if datagrams.inbox_bytes + cost > limit && !datagrams.inbox.is_empty() {
            self.counters.drops += 1;
            return;
        }
        datagrams.inbox_bytes += cost;
        datagrams.inbox.push_back((from, bytes));
        self.mark(id, stamp, true, false);
    }

    /// See [`splay_runtime::driver::Driver::recv_from`].
    pub fn recv_from(&mut self, id: SocketId, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let socket = self.entry(id)?;
        if socket.transport() == Transport::Udp {
            socket.check()?;
        }
        let Kind::Datagrams(datagrams) = &mut socket.kind else {
            // As on Linux, what a stream gives comes without an address.
            return self.recv(id, buffer).and(Err(error(libc::ENOTCONN)));
        };
        let (from, bytes) = datagrams.inbox.pop_front().ok_or_else(|| error(libc::EAGAIN))?;
        datagrams.inbox_bytes -= bytes.len() + OVERHEAD_BYTES;
        if datagrams.inbox.is_empty() && datagrams.inbox.capacity() > 64 {
            datagrams.inbox = std::collections::VecDeque::new();
        }
        let length = bytes.len().min(buffer.len());
        buffer[..length].copy_from_slice(&bytes[..length]);
        Ok((length, from))
    }
}
