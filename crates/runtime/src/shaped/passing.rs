//! What instances send and receive on shaped sockets.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::stream::{Dial, Line};
use super::{Entry, Kind, SCRATCH_BYTES, ShapedDriver, os, would_block};
use crate::driver::{Family, SocketId};

/// The largest datagram of IPv4; what is larger the system refuses itself.
const LARGEST_DATAGRAM: usize = 65_507;

fn family_of(address: &SocketAddr) -> Family {
    if address.is_ipv4() { Family::V4 } else { Family::V6 }
}

impl ShapedDriver {
    /// A datagram has come: it waits for rates, and for the network where its sender could not
    /// know whom it went to.
    pub(super) fn take_in(&mut self, socket: SocketId, now: Duration, from: SocketAddr, bytes: &[u8]) {
        let Some(owner) = self.entry(socket).map(|entry| entry.owner) else { return };
        let Some(resident) = self.residents.get_mut(&owner) else { return };
        let (at, held) = match resident.receive.datagram(&self.traffic, now, bytes.len()) {
            Ok((at, held)) => (Some(at), held),
            Err(held) => (None, Some(held)),
        };
        if let Some(held) = held {
            self.hold(owner, &held, bytes.len());
        }
        let Some(mut due) = at else { return };
        if let Some((here, there)) = self.peer_of(owner, from) {
            let traffic = self.traffic.clone();
            let net = traffic.emulation().expect("peers have places in a network");
            let port = self.inner.local_address(socket).map_or(0, |local| local.port());
            if !net.is_own(here, port) {
                let Some(passed) = self.pair(there, here).pass(net, due, bytes.len()) else { return };
                due = passed;
            }
        }
        if let Some(Entry { kind: Kind::Datagrams(datagrams), .. }) = self.entry(socket) {
            datagrams.inbox.add(due, from, bytes);
        }
    }

    // ---- the instances send -------------------------------------------------------------

    pub(super) fn send_datagram(
        &mut self,
        socket: SocketId,
        data: &[u8],
        to: SocketAddr,
    ) -> io::Result<usize> {
        let now = self.time();
        let Some((owner, family)) = self.entry(socket).map(|entry| (entry.owner, entry.family)) else {
            return self.inner.send_to(socket, data, to);
        };
        let Some(resident) = self.residents.get_mut(&owner) else {
            return self.inner.send_to(socket, data, to);
        };
        let (at, held) = match resident.send.datagram(&self.traffic, now, data.len()) {
            Ok((at, held)) => (Some(at), held),
            Err(held) => (None, Some(held)),
        };
        if let Some(held) = held {
            self.hold(owner, &held, data.len());
        }
        let Some(mut due) = at else { return Ok(data.len()) };
        if let Some((here, there)) = self.peer_of(owner, to) {
            let traffic = self.traffic.clone();
            let net = traffic.emulation().expect("peers have places in a network");
            let Some(passed) = self.pair(here, there).pass(net, due, data.len()) else {
                return Ok(data.len());
            };
            due = passed;
        }
        // What the system would refuse it refuses at once.
        if due <= now || data.len() > LARGEST_DATAGRAM || family != family_of(&to) {
            return self.inner.send_to(socket, data, to);
        }
        // The system gives a port with the first datagram; who sent it knows it from then on.
        if self.inner.local_address(socket).is_ok_and(|local| local.port() == 0) {
            let any: IpAddr = match family {
                Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
                Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
            };
            self.inner.bind(socket, SocketAddr::new(any, 0))?;
        }
        if let Some(Entry { kind: Kind::Datagrams(datagrams), .. }) = self.entry(socket) {
            datagrams.out.add(due, to, data);
        }
        self.plan(socket);
        Ok(data.len())
    }

    pub(super) fn send_stream(&mut self, socket: SocketId, data: &[u8]) -> io::Result<usize> {
        let now = self.time();
        let traffic = self.traffic.clone();
        let Some(owner) = self.entry(socket).map(|entry| entry.owner) else {
            return self.inner.send(socket, data);
        };
        let Some(resident) = self.residents.get_mut(&owner) else { return self.inner.send(socket, data) };
        let allowed = match resident.send.pass(&traffic, now, data.len()) {
            Ok(allowed) => allowed,
            Err(held) => {
                if let Some(entry) = self.entry(socket) {
                    entry.send_at = Some(held.until);
                }
                self.hold(owner, &held, data.len());
                self.plan(socket);
                return would_block();
            }
        };
        let entry = self.entries[socket.0 as usize].as_mut().expect("it was there above");
        let sent = match &mut entry.kind {
            Kind::Line(line) => {
                let net = traffic.emulation().expect("lines are between places of a network");
                match (line.dial, line.broken) {
                    (Dial::Open, Some(code)) => {
                        line.broken = Some(libc::EPIPE);
                        return Err(os(code));
                    }
                    (Dial::Open, None) if line.farewell.is_some() => return Err(os(libc::EPIPE)),
                    (Dial::Open, None) => {}
                    (Dial::Requested(_) | Dial::Asked | Dial::Answered(..), _) => return would_block(),
                    (Dial::Failed(_) | Dial::Over, _) => return self.inner.send(socket, data),
                }
                let taken = line.out.room(now).min(allowed);
                if taken == 0 && allowed > 0 {
                    match line.out.room_at() {
                        Some(at) => entry.send_at = Some(at),
                        None => entry.wants_room = true,
                    }
                    self.plan(socket);
                    return would_block();
                }
                line.out.push(net, now, &data[..taken]);
                taken
            }
            Kind::Plain | Kind::Datagrams(_) => self.inner.send(socket, &data[..allowed])?,
        };
        if let Some(resident) = self.residents.get_mut(&owner) {
            resident.send.take(&traffic, now, sent);
        }
        self.plan(socket);
        Ok(sent)
    }

    // ---- and receive --------------------------------------------------------------------

    pub(super) fn receive_stream(&mut self, socket: SocketId, buffer: &mut [u8]) -> io::Result<usize> {
        let now = self.time();
        let traffic = self.traffic.clone();
        let Some(owner) = self.entry(socket).map(|entry| entry.owner) else {
            return self.inner.recv(socket, buffer);
        };
        let Some(resident) = self.residents.get_mut(&owner) else { return self.inner.recv(socket, buffer) };
        let allowed = match resident.receive.pass(&traffic, now, buffer.len()) {
            Ok(allowed) => allowed,
            Err(held) => {
                self.entry(socket).expect("it was there above").receive_at = Some(held.until);
                self.hold(owner, &held, buffer.len());
                self.plan(socket);
                return would_block();
            }
        };
        let (whole, buffer) = (allowed == buffer.len(), &mut buffer[..allowed]);
        let mut entry = self.take(socket).expect("it was there above");
        let received = match &mut entry.kind {
            Kind::Line(line) => self.receive_line(socket, line, now, buffer),
            Kind::Plain | Kind::Datagrams(_) => self.inner.recv(socket, buffer),
        };
        if let (Ok(received), Some(resident)) = (&received, self.residents.get_mut(&owner)) {
            resident.receive.take(&traffic, now, *received);
            // There may be more, of which nobody will tell.
            if !whole && *received == allowed {
                entry.receive_at = Some(match resident.receive.pass(&traffic, now, SCRATCH_BYTES) {
                    Ok(_) => now,
                    Err(held) => held.until,
                });
            }
        }
        self.put(socket, entry);
        received
    }

    fn receive_line(
        &mut self,
        socket: SocketId,
        line: &mut Line,
        now: Duration,
        buffer: &mut [u8],
    ) -> io::Result<usize> {
        if line.dial != Dial::Open {
            return match line.dial {
                Dial::Failed(_) | Dial::Over => self.inner.recv(socket, buffer),
                _ => would_block(),
            };
        }
        line.told = false;
        let mut taken = 0;
        while taken < buffer.len()
            && let Some(bytes) = line.back.arrived(now)
        {
            let count = bytes.len().min(buffer.len() - taken);
            buffer[taken..taken + count].copy_from_slice(&bytes[..count]);
            line.back.consume(count);
            taken += count;
        }
        if line.stalled {
            self.fill(socket, line, now);
        }
        match line.end {
            _ if taken > 0 || buffer.is_empty() => Ok(taken),
            Some((due, error)) if due <= now && line.back.is_empty() => {
                let Some(code) = error else { return Ok(0) };
                // Told once.
                line.end = Some((due, None));
                line.broken = Some(libc::EPIPE);
                Err(os(code))
            }
            _ => would_block(),
        }
    }

    pub(super) fn receive_datagram(
        &mut self,
        socket: SocketId,
        buffer: &mut [u8],
    ) -> io::Result<(usize, SocketAddr)> {
        let now = self.time();
        self.pump(socket, now);
        let Some(Entry { kind: Kind::Datagrams(datagrams), .. }) = self.entry(socket) else {
            return self.inner.recv_from(socket, buffer);
        };
        datagrams.told = false;
        let received = match (datagrams.inbox.pop(now), datagrams.error.take()) {
            (Some(packet), error) => {
                datagrams.error = error;
                let count = packet.bytes.len().min(buffer.len());
                buffer[..count].copy_from_slice(&packet.bytes[..count]);
                Ok((count, packet.peer))
            }
            (None, Some(code)) => Err(os(code)),
            (None, None) => would_block(),
        };
        self.plan(socket);
        received
    }
}
