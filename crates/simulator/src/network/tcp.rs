//! Streams of the simulated network: connecting, accepting, sending, closing.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr};

use splay_protocol::topology::ways::{self, MAX_ATTEMPTS};
use splay_runtime::driver::{Family, Owner, SocketId, Transport};

use super::agenda::Time;
use super::socket::{Kind, Listener, Options, Ref, Stream, error};
use super::{Event, Host, Network, Parcel, Record};

/// Wait before a connection request is repeated; doubles each time, as on Linux.
const FIRST_RETRY: Time = ways::FIRST_RETRY.as_nanos() as Time;

/// As Linux's `net.core.somaxconn`.
const MAX_BACKLOG: u32 = 4096;

impl Network {
    /// See [`splay_runtime::driver::Driver::listen`].
    pub fn listen(&mut self, id: SocketId, backlog: u32) -> io::Result<()> {
        let backlog = backlog.min(MAX_BACKLOG) as usize + 1;
        match &mut self.entry(id)?.kind {
            Kind::Fresh => {}
            Kind::Listening(listener) => {
                listener.backlog = backlog;
                return Ok(());
            }
            Kind::Datagrams(_) => return Err(error(libc::EOPNOTSUPP)),
            Kind::Connecting { .. } | Kind::Stream(_) => return Err(error(libc::EINVAL)),
        }
        if self.get(id)?.local.is_none() {
            self.bind(id, super::unspecified(self.get(id)?.family))?;
        }
        let local = self.local_address(id)?;
        let claim = self.claim_of(id)?;
        let host = self.host_of(self.get(id)?.owner);
        if !self.ports.is_free((host, Transport::Tcp), local, &claim) {
            return Err(error(libc::EADDRINUSE));
        }
        self.ports.set_listening(host, local, id);
        let listener = Listener { backlog, waiting: VecDeque::new() };
        self.entry(id)?.kind = Kind::Listening(Box::new(listener));
        Ok(())
    }

    /// See [`splay_runtime::driver::Driver::connect`].
    pub fn connect(&mut self, id: SocketId, address: SocketAddr) -> io::Result<()> {
        let socket = self.get(id)?;
        let to = self.destination(socket.family, address)?;
        match &socket.kind {
            Kind::Fresh => {}
            Kind::Connecting { .. } => return Err(error(libc::EALREADY)),
            // As on Linux, the first who asks again learns that it is connected now.
            Kind::Stream(stream) if stream.unconfirmed && !stream.reset => {
                if let Kind::Stream(stream) = &mut self.entry(id)?.kind {
                    stream.unconfirmed = false;
                }
                return Ok(());
            }
            Kind::Listening(_) | Kind::Stream(_) => return Err(error(libc::EISCONN)),
            Kind::Datagrams(_) => return self.connect_datagrams(id, to),
        }
        let owner = socket.owner;
        let ip = match socket.local {
            Some(local) if !local.ip().is_unspecified() => local.ip(),
            _ => self.source_for(owner, to.ip()),
        };
        let port = match socket.local {
            Some(local) => local.port(),
            None => {
                let side = (self.host_of(owner), Transport::Tcp);
                self.ports.choose(side, ip).ok_or_else(|| error(libc::EADDRNOTAVAIL))?
            }
        };
        let from = SocketAddr::new(ip, port);
        let client = self.reference(id)?;
        let socket = self.entry(id)?;
        socket.pending = None;
        socket.failed = false;
        if !socket.claimed {
            socket.local = Some(from);
        }
        socket.kind = Kind::Connecting { peer: to };
        self.note(Record::Connection, owner, b"c", from, to, b"");
        let at = self.host_at(owner, to.ip());
        self.dial(client, from, to, at, 1);
        Err(error(libc::EAGAIN))
    }

    /// A connection request leaves.
    pub(super) fn dial(
        &mut self,
        client: Ref,
        from: SocketAddr,
        to: SocketAddr,
        at: Option<Host>,
        attempt: u32,
    ) {
        let Some(socket) = self.get_mut(client) else { return };
        let here = socket.owner;
        let Some(passage) = self.passage(self.host_of(here), at) else {
            return self.ask_again(client, from, to, at, attempt);
        };
        self.agenda.plan(self.now + passage.delay, Event::Request { client, from, to, at, attempt });
    }

    /// A connection request arrives.
    pub(super) fn request(
        &mut self,
        client: Ref,
        from: SocketAddr,
        to: SocketAddr,
        at: Option<Host>,
        attempt: u32,
    ) {
        let Some(asking) = self.get_mut(client) else { return };
        let asking = asking.owner;
        let spread = usize::from(from.port());
        // Nobody answers at an address that no host has.
        let Some(host) = at else { return self.ask_again(client, from, to, at, attempt) };
        let here = self.host_of(asking);
        // An answer that will be lost is as good as none.
        let Some(passage) = self.passage(host, Some(here)).filter(|_| !self.is_off(host)) else {
            return self.ask_again(client, from, to, at, attempt);
        };
        let back = self.now + passage.delay;
        if self.refuses(here, host) {
            let refused = Event::Answer { client, result: Err(libc::ECONNREFUSED) };
            return self.agenda.plan(back, refused);
        }
        let found = self.ports.find((host, Transport::Tcp), to, spread, |claim| claim.listening);
        let Some(found) = found else {
            let refused = Event::Answer { client, result: Err(libc::ECONNREFUSED) };
            return self.agenda.plan(back, refused);
        };
        let window = self.window(client.id, found);
        let Some(server) = self.sockets.get(found.0 as usize) else { return };
        let (owner, family, stamp) = (server.owner, server.family, server.stamp);
        let options = server.options.clone();
        let Kind::Listening(listener) = &server.kind else { return };
        if listener.waiting.len() >= listener.backlog || self.is_flooded(host) {
            return self.ask_again(client, from, to, at, attempt);
        }
        let stream = Stream::new(client, seen_by(family, from), window);
        let accepted = self.insert(owner, family, Kind::Stream(Box::new(stream)));
        let socket = &mut self.sockets[accepted.id.0 as usize];
        socket.local = Some(seen_by(family, to));
        socket.options = options;
        if let Kind::Listening(listener) = &mut self.sockets[found.0 as usize].kind {
            listener.waiting.push_back(accepted.id);
        }
        self.mark(found, stamp, true, false);
        self.agenda.plan(back, Event::Answer { client, result: Ok(accepted) });
    }

    /// Nobody answered: the request is repeated after a while, or given up.
    fn ask_again(&mut self, client: Ref, from: SocketAddr, to: SocketAddr, at: Option<Host>, attempt: u32) {
        let again = self.now + (FIRST_RETRY << (attempt - 1));
        let event = if attempt == MAX_ATTEMPTS {
            Event::Answer { client, result: Err(libc::ETIMEDOUT) }
        } else {
            Event::Dial { client, from, to, at, attempt: attempt + 1 }
        };
        self.agenda.plan(again, event);
    }

    /// Most bytes under way between two sockets.
    fn window(&self, client: SocketId, server: SocketId) -> usize {
        let bytes = |id: SocketId| {
            self.sockets.get(id.0 as usize).map_or(0, |socket| {
                ((socket.options.send_buffer + socket.options.receive_buffer) / 2) as usize
            })
        };
        bytes(client) + bytes(server)
    }

    /// The answer to a connection request arrives.
    pub(super) fn answer(&mut self, client: Ref, result: Result<Ref, i32>) {
        let asks = |kind: &Kind| match kind {
            Kind::Connecting { peer } => Some(*peer),
            _ => None,
        };
        let peer = self.get_mut(client).and_then(|socket| asks(&socket.kind));
        match (peer, result) {
            (Some(peer), Ok(server)) => {
                let window = self.window(client.id, server.id);
                if let Some(socket) = self.get_mut(client) {
                    let stream = Stream { unconfirmed: true, ..Stream::new(server, peer, window) };
                    socket.kind = Kind::Stream(Box::new(stream));
                }
                self.mark(client.id, client.stamp, false, true);
            }
            (Some(_), Err(code)) => {
                if let Some(socket) = self.get_mut(client) {
                    socket.kind = Kind::Fresh;
                    socket.pending = Some(code);
                    socket.failed = true;
                    if !socket.claimed {
                        socket.local = None;
                    }
                }
                self.mark(client.id, client.stamp, true, true);
            }
            // The client has given up meanwhile: the server's end learns it.
            (None, Ok(server)) => self.refute(server),
            (None, Err(_)) => {}
        }
    }

    /// See [`splay_runtime::driver::Driver::connect_result`].
    pub fn connect_result(&mut self, id: SocketId) -> io::Result<()> {
        let socket = self.entry(id)?;
        socket.check()?;
        match &socket.kind {
            Kind::Stream(stream) if !stream.over() => Ok(()),
            Kind::Datagrams(datagrams) if datagrams.peer.is_some() => Ok(()),
            _ => Err(error(libc::EAGAIN)),
        }
    }

    /// See [`splay_runtime::driver::Driver::accept`].
    pub fn accept(&mut self, id: SocketId) -> io::Result<(SocketId, SocketAddr)> {
        match &mut self.entry(id)?.kind {
            Kind::Listening(listener) => {
                let accepted = listener.waiting.pop_front().ok_or_else(|| error(libc::EAGAIN))?;
                match &self.get(accepted)?.kind {
                    Kind::Stream(stream) => Ok((accepted, stream.peer_address)),
                    _ => unreachable!("only streams wait to be accepted"),
                }
            }
            Kind::Datagrams(_) => Err(error(libc::EOPNOTSUPP)),
            _ => Err(error(libc::EINVAL)),
        }
    }

    /// When something that `from` sends now on its stream arrives, after all it sent before.
    fn arrival(now: Time, delay: Time, stream: &mut Stream) -> Time {
        stream.last_arrival = stream.last_arrival.max(now + delay);
        stream.last_arrival
    }

    /// See [`splay_runtime::driver::Driver::send`].
    pub fn send(&mut self, id: SocketId, data: &[u8]) -> io::Result<usize> {
        let (now, delay, modelled) = (self.now, self.latency, self.model.is_some());
        let from = self.reference(id)?;
        let socket = self.entry(id)?;
        socket.check()?;
        let stream = match &mut socket.kind {
            Kind::Stream(stream) => stream,
            Kind::Datagrams(_) => return self.send_to_peer(id, data),
            Kind::Connecting { .. } => return Err(error(libc::EAGAIN)),
            Kind::Fresh | Kind::Listening(_) => return Err(error(libc::EPIPE)),
        };
        if stream.write_closed || stream.reset {
            return Err(error(libc::EPIPE));
        }
        let count = data.len().min(stream.room());
        stream.blocked |= count < data.len();
        if count == 0 && !data.is_empty() {
            return Err(error(libc::EAGAIN));
        }
        if count > 0 {
            stream.outstanding += count;
            let bytes: Box<[u8]> = data[..count].into();
            let (to, there) = (stream.peer, stream.peer_address);
            let (owner, here) = (socket.owner, socket.local);
            if modelled {
                self.hand_over(from, Parcel::Bytes(bytes));
            } else {
                let at = Self::arrival(now, delay, stream);
                self.agenda.plan(at, Event::Data { to, from, bytes });
            }
            let here = here.unwrap_or_else(|| super::unspecified(Family::V4));
            self.note(Record::Stream, owner, b"", here, there, &data[..count]);
        }
        Ok(count)
    }

    /// Bytes arrive.
    pub(super) fn data(&mut self, to: Ref, from: Ref, bytes: Box<[u8]>) {
        if let Some(socket) = self.get_mut(to)
            && let Kind::Stream(stream) = &mut socket.kind
            && !stream.reset
        {
            // As on Linux, bytes for an end that has shut down both directions break the connection.
            if stream.read_closed && stream.write_closed {
                self.reset(to);
                return self.refute(from);
            }
            stream.inbox.push(bytes);
            self.mark(to.id, to.stamp, true, false);
        } else {
            self.refute(from);
        }
    }

    /// The other direction of a stream ends.
    pub(super) fn end(&mut self, to: Ref) {
        if let Some(socket) = self.get_mut(to)
            && let Kind::Stream(stream) = &mut socket.kind
        {
            stream.ended = true;
            self.mark(to.id, to.stamp, true, false);
        }
    }

    /// The connection of `to` breaks.
    pub(super) fn reset(&mut self, to: Ref) {
        if let Some(socket) = self.get_mut(to)
            && let Kind::Stream(stream) = &mut socket.kind
            && !stream.reset
        {
            stream.reset = true;
            socket.pending = Some(if stream.ended { libc::EPIPE } else { libc::ECONNRESET });
            self.mark(to.id, to.stamp, true, true);
        }
        self.cut_off(to);
    }

    /// See [`splay_runtime::driver::Driver::recv`].
    pub fn recv(&mut self, id: SocketId, buffer: &mut [u8]) -> io::Result<usize> {
        let delay = self.latency;
        let socket = self.entry(id)?;
        let stream = match &mut socket.kind {
            Kind::Stream(stream) => stream,
            Kind::Datagrams(_) => return self.recv_from(id, buffer).map(|(length, _)| length),
            Kind::Connecting { .. } => return Err(error(libc::EAGAIN)),
            Kind::Fresh | Kind::Listening(_) => {
                socket.check()?;
                return if socket.failed { Ok(0) } else { Err(error(libc::ENOTCONN)) };
            }
        };
        let count = stream.inbox.read(buffer);
        if count == 0 {
            if !stream.inbox.is_empty() {
                return Ok(0);
            }
            let over = stream.ended || stream.read_closed || stream.reset;
            if stream.ended {
                return Ok(0);
            }
            socket.check()?;
            return if over { Ok(0) } else { Err(error(libc::EAGAIN)) };
        }
        let peer = stream.peer;
        if let Some(socket) = self.get_mut(peer)
            && let Kind::Stream(sender) = &mut socket.kind
        {
            sender.outstanding = sender.outstanding.saturating_sub(count);
            // As on Linux, a sender is told when a third is free, not at every byte.
            if sender.blocked && sender.room() >= sender.window / 3 {
                sender.blocked = false;
                let delay = self.acknowledgement(id, delay);
                self.agenda.plan(self.now + delay, Event::Room { to: peer });
            }
        }
        Ok(count)
    }

    /// See [`splay_runtime::driver::Driver::shutdown`].
    pub fn shutdown(&mut self, id: SocketId, how: Shutdown) -> io::Result<()> {
        let (now, delay, modelled) = (self.now, self.latency, self.model.is_some());
        let socket = self.entry(id)?;
        let stamp = socket.stamp;
        let stream = match &mut socket.kind {
            Kind::Listening(_) if how == Shutdown::Write => return Ok(()),
            Kind::Listening(_) => return self.stop_listening(id),
            Kind::Stream(stream) if !stream.over() => stream,
            Kind::Datagrams(datagrams) if datagrams.peer.is_some() => return Ok(()),
            _ => return Err(error(libc::ENOTCONN)),
        };
        if how != Shutdown::Read && !stream.write_closed {
            stream.write_closed = true;
            let (to, there) = (stream.peer, stream.peer_address);
            let (owner, here) = (socket.owner, socket.local);
            if modelled {
                self.hand_over(Ref { id, stamp }, Parcel::End);
            } else {
                let at = Self::arrival(now, delay, stream);
                self.agenda.plan(at, Event::End { to });
            }
            let here = here.unwrap_or_else(|| super::unspecified(Family::V4));
            self.note(Record::Connection, owner, b"e", here, there, b"");
            self.mark(id, stamp, false, true);
        }
        let Kind::Stream(stream) = &mut self.entry(id)?.kind else { return Ok(()) };
        if how != Shutdown::Write && !stream.read_closed {
            stream.read_closed = true;
            self.mark(id, stamp, true, false);
        }
        Ok(())
    }

    /// As on Linux: those who wait are reset, and the socket is bound as it was.
    fn stop_listening(&mut self, id: SocketId) -> io::Result<()> {
        let claim = self.claim_of(id)?;
        let socket = self.entry(id)?;
        let kind = std::mem::replace(&mut socket.kind, Kind::Fresh);
        let (local, owner) = (socket.local, socket.owner);
        if let Some(local) = local {
            let side = (self.host_of(owner), Transport::Tcp);
            self.ports.release(side, local, id);
            self.ports.claim(side, local, claim);
        }
        if let Kind::Listening(listener) = kind {
            listener.waiting.into_iter().for_each(|waiting| self.abort(waiting));
        }
        Ok(())
    }

    /// Tells the peer that an end is gone: the stream ends, or breaks if bytes are lost by it.
    pub(super) fn close_stream(&mut self, from: Ref, owner: Owner, options: &Options, mut stream: Stream) {
        debug_assert!(self.get_mut(from).is_none(), "the socket has been taken out");
        if stream.reset {
            return self.cut_off(from);
        }
        let to = stream.peer;
        let broken = !stream.inbox.is_empty() || options.linger == Some(0);
        if self.model.is_some() {
            return match broken {
                true => self.break_off(from, owner, &stream),
                false => self.finish(from, owner, &stream),
            };
        }
        let at = Self::arrival(self.now, self.latency, &mut stream);
        if broken {
            self.agenda.plan(at, Event::Reset { to });
        } else if !stream.write_closed {
            self.agenda.plan(at, Event::End { to });
        }
    }

    /// Drops a connection that was never accepted.
    pub(super) fn abort(&mut self, id: SocketId) {
        let Some(socket) = self.take_out(id) else { return };
        if let Kind::Stream(stream) = socket.kind
            && !stream.reset
        {
            match self.model {
                None => self.agenda.plan(self.now + self.latency, Event::Reset { to: stream.peer }),
                Some(_) => self.break_off(Ref { id, stamp: socket.stamp }, socket.owner, &stream),
            }
        }
    }
}

/// An IPv4 address as a socket of `family` shows it.
pub(super) fn seen_by(family: Family, address: SocketAddr) -> SocketAddr {
    match (family, address.ip()) {
        (Family::V6, IpAddr::V4(ip)) => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
        _ => address,
    }
}
