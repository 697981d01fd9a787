//! [`Driver`] for [`ShapedDriver`]: what concerns no rate and no way goes on to the inner driver.

use std::any::Any;
use std::io::{self, ErrorKind};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::RawFd;
use std::time::Duration;

use super::datagrams::Datagrams;
use super::gate::Gate;
use super::stream::{Dial, Farewell, Half, Line};
use super::traffic::Direction;
use super::{FAREWELL, Kind, LINGER, Resident, ShapedDriver, code, os, would_block};
use crate::driver::{
    Driver, Family, OptionName, Owner, Query, Readiness, SocketId, SocketOption, Tenant, Transport, Wake,
    Watch,
};

impl ShapedDriver {
    fn datagrams(&mut self, socket: SocketId) -> Option<&mut Datagrams> {
        match self.entry(socket).map(|entry| &mut entry.kind) {
            Some(Kind::Datagrams(datagrams)) => Some(datagrams),
            _ => None,
        }
    }

    fn line(&mut self, socket: SocketId) -> Option<&mut Line> {
        match self.entry(socket).map(|entry| &mut entry.kind) {
            Some(Kind::Line(line)) => Some(line),
            _ => None,
        }
    }

    /// Dials another instance; `None`: it is none, or there is nothing between the two.
    fn dial(&mut self, socket: SocketId, address: SocketAddr) -> Option<io::Result<()>> {
        let owner = self.entry(socket)?.owner;
        match self.line(socket).map(|line| line.dial) {
            Some(Dial::Requested(_) | Dial::Asked | Dial::Answered(..)) => {
                return Some(Err(os(libc::EALREADY)));
            }
            Some(Dial::Open) => return Some(Err(os(libc::EISCONN))),
            Some(Dial::Failed(_) | Dial::Over) | None => {}
        }
        let (here, there) = self.peer_of(owner, address)?;
        let forth = self.pair(here, there).way.clone();
        let back = self.pair(there, here).way.clone();
        if forth.is_free() && back.is_free() {
            return None;
        }
        let round_trip = forth.latency + back.latency;
        let out = Half::new(forth, round_trip, self.pair(here, there).stream());
        let back = Half::new(back, round_trip, self.pair(there, here).stream());
        let now = self.time();
        self.entry(socket)?.kind = Kind::Line(Box::new(Line::dial(address, now, out, back)));
        self.plan(socket);
        Some(would_block())
    }

    /// The inner driver tells of a socket.
    fn signalled(&mut self, wake: Wake, now: Duration, wakes: &mut Vec<Wake>) {
        let Wake::Socket { owner, socket, readable, writable } = wake else { return wakes.push(wake) };
        let Some(Some(entry)) = self.entries.get_mut(socket.0 as usize) else { return wakes.push(wake) };
        let (lingers, entry_mode) = (entry.lingers.is_some(), entry.watch);
        match &mut entry.kind {
            Kind::Line(line) => {
                if line.dial == Dial::Asked {
                    match self.inner.connect_result(socket) {
                        Ok(()) => line.answered(now, None),
                        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                        Err(error) => line.answered(now, Some(code(&error))),
                    }
                }
                line.blocked &= !writable;
                line.stalled |= readable;
                // Beyond the end of what it sent the peer may say that it hears nothing any more.
                if line.end.is_some()
                    && line.broken.is_none()
                    && self.inner.option(socket, OptionName::Error).is_err()
                {
                    line.broken = Some(libc::EPIPE);
                }
                self.attend(socket, now);
            }
            Kind::Datagrams(datagrams) if datagrams.watches_inbox && !lingers => {
                if readable {
                    self.pump(socket, now);
                }
                self.attend(socket, now);
                if writable && entry_mode != Some(Watch::Readable) {
                    wakes.push(Wake::Socket { owner, socket, readable: false, writable });
                }
            }
            Kind::Plain | Kind::Datagrams(_) if !lingers => wakes.push(wake),
            Kind::Plain | Kind::Datagrams(_) => {}
        }
    }

    /// Lets a closed socket linger for what was sent on it; false: nothing was.
    fn linger(&mut self, socket: SocketId) -> bool {
        let now = self.time();
        let Some(entry) = self.entry(socket) else { return false };
        let lingers = match &mut entry.kind {
            Kind::Plain => false,
            Kind::Line(line) => {
                line.back.clear();
                (line.told, line.stalled, line.end) = (true, false, None);
                let at = line.out.end(now);
                line.farewell = Some((at, Farewell::Close));
                line.dial == Dial::Open && line.broken.is_none() && (at > now || !line.out.is_empty())
            }
            Kind::Datagrams(datagrams) => {
                datagrams.told = true;
                // Whoever asked for the port may want it again at once.
                !datagrams.out.is_empty() && !datagrams.bound
            }
        };
        if lingers {
            (entry.send_at, entry.receive_at) = (None, None);
            entry.lingers = Some(now + LINGER);
            self.lingering += 1;
            self.plan(socket);
        }
        lingers
    }
}

impl Driver for ShapedDriver {
    fn now(&self) -> Duration {
        self.inner.now()
    }

    fn wall(&self) -> Duration {
        self.inner.wall()
    }

    fn fill_random(&mut self, out: &mut [u8]) {
        self.inner.fill_random(out);
    }

    fn host_name(&self) -> String {
        self.inner.host_name()
    }

    fn is_virtual(&self) -> bool {
        self.inner.is_virtual()
    }

    fn processor_time(&self) -> Duration {
        self.inner.processor_time()
    }

    fn admit(&mut self, owner: Owner, tenant: &Tenant) {
        let position = match self.traffic.emulation() {
            Some(net) if net.knows(tenant.position) => tenant.position,
            _ => 0,
        };
        let send = Gate::new(Direction::Send, tenant.send_bytes_per_second);
        let receive = Gate::new(Direction::Receive, tenant.receive_bytes_per_second);
        if position > 0 || !send.is_open(&self.traffic) || !receive.is_open(&self.traffic) {
            self.residents.insert(owner, Resident { position, send, receive, told: Vec::new() });
        }
    }

    fn owes(&self) -> bool {
        self.lingering > 0
    }

    fn pause(&mut self, owner: Owner, until: Duration) {
        self.inner.pause(owner, until);
        let until = until + self.offset;
        // What can be read is told again when it can be heard.
        let mut own: Vec<SocketId> = Vec::new();
        for socket in &self.readable {
            let entry = self.entries.get(socket.0 as usize).and_then(Option::as_deref);
            own.extend(entry.filter(|entry| entry.owner == owner).map(|_| *socket));
        }
        for socket in own {
            self.readable.remove(&socket);
            if let Some(entry) = self.entry(socket) {
                entry.receive_at = Some(until);
                self.plan(socket);
            }
        }
    }

    fn inspect(&self) -> Option<&dyn Any> {
        self.inner.inspect()
    }

    fn open(&mut self, owner: Owner, transport: Transport, family: Family) -> io::Result<SocketId> {
        let socket = self.inner.open(owner, transport, family)?;
        self.insert(socket, owner, transport, family);
        Ok(socket)
    }

    fn bind(&mut self, socket: SocketId, address: SocketAddr) -> io::Result<()> {
        self.inner.bind(socket, address)?;
        if let Some(datagrams) = self.datagrams(socket) {
            datagrams.bound = address.port() > 0;
        }
        Ok(())
    }

    fn listen(&mut self, socket: SocketId, backlog: u32) -> io::Result<()> {
        self.inner.listen(socket, backlog)
    }

    fn connect(&mut self, socket: SocketId, address: SocketAddr) -> io::Result<()> {
        if let Some(datagrams) = self.datagrams(socket) {
            datagrams.peer = Some(address);
        } else if let Some(dialled) = self.dial(socket, address) {
            return dialled;
        }
        self.inner.connect(socket, address)
    }

    fn connect_result(&mut self, socket: SocketId) -> io::Result<()> {
        if let Some(line) = self.line(socket) {
            match line.dial {
                Dial::Requested(_) | Dial::Asked | Dial::Answered(..) => return would_block(),
                Dial::Open => return Ok(()),
                Dial::Failed(code) => {
                    line.dial = Dial::Over;
                    return Err(os(code));
                }
                Dial::Over => {}
            }
        }
        self.inner.connect_result(socket)
    }

    fn disconnect(&mut self, socket: SocketId) -> io::Result<()> {
        if let Some(datagrams) = self.datagrams(socket) {
            datagrams.peer = None;
        }
        self.inner.disconnect(socket)
    }

    fn accept(&mut self, socket: SocketId) -> io::Result<(SocketId, SocketAddr)> {
        let (accepted, from) = self.inner.accept(socket)?;
        if let Some((owner, family)) = self.entry(socket).map(|entry| (entry.owner, entry.family)) {
            self.insert(accepted, owner, Transport::Tcp, family);
        }
        Ok((accepted, from))
    }

    fn send(&mut self, socket: SocketId, data: &[u8]) -> io::Result<usize> {
        match self.datagrams(socket).map(|datagrams| datagrams.peer) {
            Some(Some(peer)) => self.send_datagram(socket, data, peer),
            Some(None) => self.inner.send(socket, data),
            None => self.send_stream(socket, data),
        }
    }

    fn recv(&mut self, socket: SocketId, buffer: &mut [u8]) -> io::Result<usize> {
        match self.datagrams(socket).map(|datagrams| datagrams.watches_inbox) {
            Some(true) => self.receive_datagram(socket, buffer).map(|(received, _)| received),
            Some(false) => self.inner.recv(socket, buffer),
            None => self.receive_stream(socket, buffer),
        }
    }

    fn send_to(&mut self, socket: SocketId, data: &[u8], address: SocketAddr) -> io::Result<usize> {
        self.send_datagram(socket, data, address)
    }

    fn recv_from(&mut self, socket: SocketId, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        match self.datagrams(socket).is_some_and(|datagrams| datagrams.watches_inbox) {
            true => self.receive_datagram(socket, buffer),
            false => self.inner.recv_from(socket, buffer),
        }
    }

    fn shutdown(&mut self, socket: SocketId, how: Shutdown) -> io::Result<()> {
        let now = self.time();
        let Some(line) = self.line(socket).filter(|line| line.dial == Dial::Open) else {
            return self.inner.shutdown(socket, how);
        };
        if how != Shutdown::Read && line.farewell.is_none() {
            line.farewell = Some((line.out.end(now), Farewell::Shutdown));
        }
        if how != Shutdown::Write {
            line.back.clear();
            line.end = Some((now, None));
            self.inner.shutdown(socket, Shutdown::Read)?;
        }
        self.plan(socket);
        Ok(())
    }

    fn close(&mut self, socket: SocketId) {
        if self.linger(socket) {
            return;
        }
        if let Some(datagrams) = self.datagrams(socket) {
            let left: Vec<_> = datagrams.out.drain().collect();
            for packet in left {
                self.emit(socket, packet.peer, &packet.bytes);
            }
        }
        // What lingers has been closed before.
        if self
            .entries
            .get(socket.0 as usize)
            .is_none_or(|entry| entry.as_ref().is_none_or(|e| e.lingers.is_none()))
        {
            self.take(socket);
            self.inner.close(socket);
        }
    }

    fn close_all(&mut self, owner: Owner) {
        if self.residents.remove(&owner).is_none() {
            return self.inner.close_all(owner);
        }
        for index in 0..self.entries.len() {
            let own = |entry: &super::Entry| entry.owner == owner && entry.lingers.is_none();
            if self.entries[index].as_deref().is_some_and(own) {
                self.close(SocketId(index as u32));
            }
        }
    }

    fn local_address(&self, socket: SocketId) -> io::Result<SocketAddr> {
        match self.entries.get(socket.0 as usize).and_then(Option::as_deref) {
            Some(entry) if entry.lingers.is_some() => Err(os(libc::EBADF)),
            _ => self.inner.local_address(socket),
        }
    }

    fn peer_address(&self, socket: SocketId) -> io::Result<SocketAddr> {
        let entry = self.entries.get(socket.0 as usize).and_then(Option::as_deref);
        match entry.map(|entry| &entry.kind) {
            Some(Kind::Line(line)) if line.dial != Dial::Open => Err(os(libc::ENOTCONN)),
            _ => self.inner.peer_address(socket),
        }
    }

    fn set_option(&mut self, socket: SocketId, option: &SocketOption) -> io::Result<()> {
        self.inner.set_option(socket, option)
    }

    fn option(&mut self, socket: SocketId, name: OptionName) -> io::Result<SocketOption> {
        self.inner.option(socket, name)
    }

    fn descriptor(&self, socket: SocketId) -> Option<RawFd> {
        self.inner.descriptor(socket)
    }

    fn readiness(&mut self, socket: SocketId) -> io::Result<Readiness> {
        let now = self.time();
        if self.datagrams(socket).is_some_and(|datagrams| datagrams.watches_inbox) {
            self.pump(socket, now);
        }
        let traffic = self.traffic.clone();
        let Some(owner) = self.entry(socket).map(|entry| entry.owner) else {
            return self.inner.readiness(socket);
        };
        let held = |gate: &Gate| gate.pass(&traffic, now, 1).err().map(|held| held.until);
        let (send, receive) = match self.residents.get(&owner) {
            Some(resident) => (held(&resident.send), held(&resident.receive)),
            None => (None, None),
        };
        let mut ready = match &mut self.entry(socket).expect("it was there above").kind {
            Kind::Line(line) => {
                let failed = matches!(line.dial, Dial::Failed(_) | Dial::Over);
                let writable = line.dial == Dial::Open && line.out.room(now) > 0;
                Readiness { readable: failed || line.readable(now), writable: failed || writable }
            }
            Kind::Datagrams(datagrams) if datagrams.watches_inbox => {
                Readiness { readable: datagrams.readable(now), writable: true }
            }
            Kind::Datagrams(_) => return self.inner.readiness(socket),
            Kind::Plain => self.inner.readiness(socket)?,
        };
        let entry = self.entry(socket).expect("it was there above");
        if !matches!(entry.kind, Kind::Datagrams(_)) {
            // Whoever waits because of this is told when there is no reason any more.
            entry.send_at = send.or(entry.send_at);
            entry.receive_at = receive.or(entry.receive_at);
            ready.writable &= send.is_none();
            ready.readable &= receive.is_none();
        }
        if let Kind::Datagrams(datagrams) = &mut entry.kind {
            datagrams.told = false;
        }
        self.plan(socket);
        Ok(ready)
    }

    fn watch(&mut self, socket: SocketId, mode: Watch) -> io::Result<()> {
        let now = self.time();
        let Some(entry) = self.entry(socket) else { return self.inner.watch(socket, mode) };
        let first = entry.watch.replace(mode).is_none();
        match &mut entry.kind {
            // The system knows nothing of it yet; see `ShapedDriver::ask`.
            Kind::Line(line) if matches!(line.dial, Dial::Requested(_)) => Ok(()),
            Kind::Line(line) => {
                // It is watched already: what it is ready for is told here.
                if first && line.dial == Dial::Open {
                    line.told = false;
                    entry.send_at = Some(now);
                    self.plan(socket);
                }
                self.inner.watch(socket, Watch::Edge)
            }
            Kind::Datagrams(datagrams) if datagrams.watches_inbox => self.inner.watch(socket, Watch::Edge),
            Kind::Plain | Kind::Datagrams(_) => self.inner.watch(socket, mode),
        }
    }

    fn resolve(&mut self, owner: Owner, query: u64, question: Query) {
        self.inner.resolve(owner, query, question);
    }

    fn poll(&mut self, until: Option<Duration>, wakes: &mut Vec<Wake>) -> io::Result<()> {
        let (owed, before) = (self.owes(), wakes.len());
        loop {
            let now = self.time();
            self.run_timers(now);
            self.report_readable(now);
            wakes.append(&mut self.pending);
            let next = self.timers.peek().map(|timer| timer.0.0.saturating_sub(self.offset));
            let limit = match (wakes.len() == before, next, until) {
                (false, ..) => Some(Duration::ZERO),
                (true, Some(next), Some(until)) => Some(next.min(until)),
                (true, next, until) => next.or(until),
            };
            let mut heard = std::mem::take(&mut self.heard);
            self.inner.poll(limit, &mut heard)?;
            // Nothing can ever happen unless something has just begun.
            let nothing = limit.is_none() && heard.is_empty();
            let now = self.time();
            for wake in heard.drain(..) {
                self.signalled(wake, now, wakes);
            }
            self.heard = heard;
            self.run_timers(now);
            wakes.append(&mut self.pending);
            let over = until.is_some_and(|until| self.inner.now() >= until) || owed && !self.owes();
            if wakes.len() > before || over || nothing {
                return Ok(());
            }
        }
    }
}

impl Drop for ShapedDriver {
    /// What was sent has left for those who sent it.
    fn drop(&mut self) {
        let until = self.inner.now() + FAREWELL;
        let mut wakes = Vec::new();
        while self.lingering > 0 && self.inner.now() < until && !self.inner.is_virtual() {
            if self.poll(Some(until), &mut wakes).is_err() {
                return;
            }
            wakes.clear();
        }
    }
}
