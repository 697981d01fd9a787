//! A driver in front of another one that makes what instances send and receive keep to rates, and
//! to the network of a topology: it delays, limits and drops. Everything an instance does with a
//! socket passes here, whichever library it uses.
//!
//! * **Streams** wait: a write takes what may pass, and then would block until more may. What is
//!   received is left with the system, whose window holds the sender back.
//! * **Datagrams** are delayed; those for which there is no room are dropped, as in a router.
//! * A connection that an instance **dials** to another one is emulated by the dialling end, for
//!   both directions: the accepting end cannot tell who a port of the system's choice belongs to.
//!   For the same reason datagrams to an instance's own ports are emulated by their sender, and
//!   answers to other ports by their receiver.
//!
//! What is on its way when an instance ends arrives all the same: sockets linger for it.

mod datagrams;
mod driver;
mod gate;
mod passing;
mod stream;
mod traffic;

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::io::{self, ErrorKind};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;

use crate::driver::{Driver, Family, Owner, SocketId, Transport, Wake, Watch};
use datagrams::{Datagrams, Pair};
use gate::{Gate, Held};
use stream::{Dial, Farewell, Line};
pub use traffic::{Emulation, Traffic};

/// Bytes asked of the system at once: the largest datagram.
const SCRATCH_BYTES: usize = 64 << 10;

/// Datagrams taken from a socket before others are looked at.
const MOST_AT_ONCE: usize = 256;

/// How long a closed socket may need to get rid of what was sent on it.
const LINGER: Duration = Duration::from_secs(60);

/// How long the end of a worker may wait for that.
const FAREWELL: Duration = Duration::from_secs(2);

/// An instance whose traffic is shaped.
#[derive(Debug)]
struct Resident {
    /// Where it is in the emulated network; 0: outside.
    position: u32,
    send: Gate,
    receive: Gate,
    /// Limits it was told of.
    told: Vec<&'static str>,
}

#[derive(Debug)]
enum Kind {
    /// A connection, or what may become one, that rates alone concern.
    Plain,
    /// A dialled connection to another instance.
    Line(Box<Line>),
    Datagrams(Box<Datagrams>),
}

#[derive(Debug)]
struct Entry {
    owner: Owner,
    family: Family,
    stamp: u64,
    watch: Option<Watch>,
    timer: Option<Duration>,
    /// When a writer that was held back is told to try again.
    send_at: Option<Duration>,
    /// The same for a reader.
    receive_at: Option<Duration>,
    /// A writer waits until something arrives.
    wants_room: bool,
    /// The instance has closed it; the time by which it goes in any case.
    lingers: Option<Duration>,
    kind: Kind,
}

/// Shapes what the instances of one worker send and receive.
pub struct ShapedDriver {
    inner: Box<dyn Driver>,
    traffic: Arc<Traffic>,
    /// What the traffic's time is ahead of the inner driver's.
    offset: Duration,
    residents: FxHashMap<Owner, Resident>,
    entries: Vec<Option<Box<Entry>>>,
    pairs: FxHashMap<(u32, u32), Pair>,
    timers: BinaryHeap<Reverse<(Duration, u32, u64)>>,
    stamps: u64,
    /// UDP sockets that are reported as long as there is something to read.
    readable: BTreeSet<SocketId>,
    lingering: usize,
    pending: Vec<Wake>,
    heard: Vec<Wake>,
    scratch: Vec<u8>,
}

fn code(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EIO)
}

fn os(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
}

fn would_block<T>() -> io::Result<T> {
    Err(os(libc::EAGAIN))
}

impl ShapedDriver {
    /// Shapes what passes through `inner`. Workers of one job share the traffic.
    pub fn new(inner: Box<dyn Driver>, traffic: Arc<Traffic>) -> ShapedDriver {
        let offset = traffic.elapsed().saturating_sub(inner.now());
        ShapedDriver {
            inner,
            traffic,
            offset,
            residents: FxHashMap::default(),
            entries: Vec::new(),
            pairs: FxHashMap::default(),
            timers: BinaryHeap::new(),
            stamps: 0,
            readable: BTreeSet::new(),
            lingering: 0,
            pending: Vec::new(),
            heard: Vec::new(),
            scratch: vec![0; SCRATCH_BYTES],
        }
    }

    /// The traffic's time.
    fn time(&self) -> Duration {
        self.inner.now() + self.offset
    }

    fn entry(&mut self, socket: SocketId) -> Option<&mut Entry> {
        self.entries.get_mut(socket.0 as usize)?.as_deref_mut().filter(|entry| entry.lingers.is_none())
    }

    fn take(&mut self, socket: SocketId) -> Option<Box<Entry>> {
        self.entries.get_mut(socket.0 as usize)?.take()
    }

    fn put(&mut self, socket: SocketId, entry: Box<Entry>) {
        let index = socket.0 as usize;
        if self.entries.len() <= index {
            self.entries.resize_with(index + 1, || None);
        }
        self.entries[index] = Some(entry);
        self.plan(socket);
    }

    fn insert(&mut self, socket: SocketId, owner: Owner, transport: Transport, family: Family) {
        let Some(resident) = self.residents.get(&owner) else { return };
        let kind = match transport {
            Transport::Tcp => Kind::Plain,
            Transport::Udp => {
                let watches_inbox = resident.position > 0 || !resident.receive.is_open(&self.traffic);
                Kind::Datagrams(Box::new(Datagrams { watches_inbox, ..Datagrams::default() }))
            }
        };
        self.stamps += 1;
        let entry = Entry {
            owner,
            family,
            stamp: self.stamps,
            watch: None,
            timer: None,
            send_at: None,
            receive_at: None,
            wants_room: false,
            lingers: None,
            kind,
        };
        self.put(socket, Box::new(entry));
    }

    /// Plans the next look at a socket.
    fn plan(&mut self, socket: SocketId) {
        let Some(entry) = self.entries[socket.0 as usize].as_mut() else { return };
        let own = match &entry.kind {
            Kind::Plain => None,
            Kind::Line(line) => line.next(),
            Kind::Datagrams(datagrams) => datagrams.next(),
        };
        let next = [own, entry.send_at, entry.receive_at, entry.lingers].into_iter().flatten().min();
        if let Some(next) = next.filter(|next| entry.timer.is_none_or(|timer| *next < timer)) {
            entry.timer = Some(next);
            self.timers.push(Reverse((next, socket.0, entry.stamp)));
        }
    }

    /// The first limit that holds an instance back is told.
    fn hold(&mut self, owner: Owner, held: &Held, bytes: usize) {
        let Some(resident) = self.residents.get_mut(&owner) else { return };
        if !resident.told.contains(&held.limit) {
            resident.told.push(held.limit);
            let (limit, allowed, reached) = (held.limit, held.rate, held.rate + bytes as u64);
            self.pending.push(Wake::Limit { owner, limit, allowed, reached });
        }
    }

    fn pair(&mut self, from: u32, to: u32) -> &mut Pair {
        let net = self.traffic.emulation().expect("positions are known where there is a network");
        self.pairs.entry((from, to)).or_insert_with(|| Pair::new(net, from, to))
    }

    /// The emulated peer at an address, if there is one.
    fn peer_of(&self, owner: Owner, address: SocketAddr) -> Option<(u32, u32)> {
        let here = self.residents.get(&owner)?.position;
        let there = self.traffic.emulation().filter(|_| here > 0)?.position_of(address, here)?;
        (there != here).then_some((here, there))
    }

    /// Reports what can be read on sockets that are watched for as long as it can.
    fn report_readable(&mut self, now: Duration) {
        let (entries, pending) = (&self.entries, &mut self.pending);
        self.readable.retain(|socket| {
            let entry = entries.get(socket.0 as usize).and_then(Option::as_deref);
            let Some(Entry { owner, lingers: None, kind: Kind::Datagrams(datagrams), .. }) = entry else {
                return false;
            };
            let readable = datagrams.readable(now);
            if readable {
                let (owner, socket) = (*owner, *socket);
                pending.push(Wake::Socket { owner, socket, readable, writable: false });
            }
            readable
        });
    }

    // ---- time passes --------------------------------------------------------------------

    fn run_timers(&mut self, now: Duration) {
        while let Some(&Reverse((at, socket, stamp))) = self.timers.peek() {
            if at > now {
                return;
            }
            self.timers.pop();
            let Some(Some(entry)) = self.entries.get_mut(socket as usize) else { continue };
            if entry.stamp == stamp && entry.timer == Some(at) {
                entry.timer = None;
                self.attend(SocketId(socket), now);
            }
        }
    }

    /// Does what is due on a socket.
    fn attend(&mut self, socket: SocketId, now: Duration) {
        let Some(mut entry) = self.take(socket) else { return };
        let mut readable = entry.receive_at.take_if(|at| *at <= now).is_some();
        let mut writable = entry.send_at.take_if(|at| *at <= now).is_some();
        let mut gone = entry.lingers.is_some_and(|at| at <= now);
        let lingers = entry.lingers.is_some();
        match &mut entry.kind {
            Kind::Plain => {}
            Kind::Line(line) => {
                match line.dial {
                    Dial::Requested(at) if at <= now => self.ask(socket, line, now),
                    Dial::Answered(at, error) if at <= now => {
                        line.dial = error.map_or(Dial::Open, Dial::Failed);
                        line.stalled = true;
                        writable = true;
                    }
                    _ => {}
                }
                if line.dial == Dial::Open {
                    gone |= self.flush(socket, line, now);
                    gone |= lingers && line.broken.is_some();
                    if line.stalled && !lingers {
                        self.fill(socket, line, now);
                    }
                    if entry.wants_room && line.out.room(now) > 0 {
                        entry.wants_room = false;
                        writable = true;
                    }
                    if !line.told && line.readable(now) {
                        line.told = true;
                        readable = true;
                    }
                }
            }
            Kind::Datagrams(datagrams) => {
                while let Some(packet) = datagrams.out.pop(now) {
                    let refused = self.emit(socket, packet.peer, &packet.bytes);
                    // The fate of an earlier one, which only a fixed peer tells.
                    datagrams.error = refused.filter(|_| datagrams.peer.is_some()).or(datagrams.error);
                }
                gone |= lingers && datagrams.out.is_empty();
                if !datagrams.told && datagrams.readable(now) {
                    datagrams.told = true;
                    readable = true;
                    if entry.watch == Some(Watch::Readable) {
                        self.readable.insert(socket);
                    }
                }
            }
        }
        if gone && lingers {
            self.lingering -= 1;
            return self.inner.close(socket);
        }
        writable &= entry.watch != Some(Watch::Readable);
        if (readable || writable) && !lingers && entry.watch.is_some() {
            self.pending.push(Wake::Socket { owner: entry.owner, socket, readable, writable });
        }
        self.put(socket, entry);
    }

    /// A datagram leaves for good. One that the system does not take is lost; gives its code.
    fn emit(&mut self, socket: SocketId, peer: SocketAddr, bytes: &[u8]) -> Option<i32> {
        let error = self.inner.send_to(socket, bytes, peer).err()?;
        tracing::debug!(%peer, %error, "datagram lost");
        (error.kind() == ErrorKind::ConnectionRefused).then(|| code(&error))
    }

    /// A connection request arrives: the system is asked.
    fn ask(&mut self, socket: SocketId, line: &mut Line, now: Duration) {
        match self.inner.connect(socket, line.address) {
            Ok(()) => line.answered(now, None),
            Err(error) if error.kind() == ErrorKind::WouldBlock => line.dial = Dial::Asked,
            Err(error) => line.answered(now, Some(code(&error))),
        }
        if let Err(error) = self.inner.watch(socket, Watch::Edge) {
            line.answered(now, Some(code(&error)));
        }
    }

    /// Hands what has arrived to the system; true if the connection is to be closed.
    fn flush(&mut self, socket: SocketId, line: &mut Line, now: Duration) -> bool {
        while !line.blocked
            && let Some(bytes) = line.out.arrived(now)
        {
            match self.inner.send(socket, bytes) {
                Ok(sent) => line.out.consume(sent),
                Err(error) if error.kind() == ErrorKind::WouldBlock => line.blocked = true,
                Err(error) => {
                    line.broken = Some(code(&error));
                    line.out.clear();
                }
            }
        }
        let due = line.farewell.is_some_and(|(at, _)| at <= now) && line.out.is_empty();
        match line.farewell.take_if(|_| due) {
            Some((_, Farewell::Close)) => true,
            Some((_, Farewell::Shutdown)) => {
                let _ = self.inner.shutdown(socket, Shutdown::Write);
                false
            }
            None => false,
        }
    }

    /// Takes what the system has received, as far as there is room.
    fn fill(&mut self, socket: SocketId, line: &mut Line, now: Duration) {
        let traffic = self.traffic.clone();
        let net = traffic.emulation().expect("lines are between places of a network");
        line.stalled = false;
        while line.end.is_none() {
            let room = line.back.room(now).min(self.scratch.len());
            if room == 0 {
                line.stalled = true;
                return;
            }
            match self.inner.recv(socket, &mut self.scratch[..room]) {
                Ok(0) => line.end = Some((line.back.end(now), None)),
                Ok(received) => line.back.push(net, now, &self.scratch[..received]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => line.end = Some((line.back.end(now), Some(code(&error)))),
            }
        }
    }

    /// Takes the datagrams that the system has received.
    fn pump(&mut self, socket: SocketId, now: Duration) {
        for _ in 0..MOST_AT_ONCE {
            let mut scratch = std::mem::take(&mut self.scratch);
            let received = self.inner.recv_from(socket, &mut scratch);
            let more = match received {
                Ok((bytes, from)) => {
                    self.take_in(socket, now, from, &scratch[..bytes]);
                    true
                }
                Err(error) => {
                    if error.kind() != ErrorKind::WouldBlock
                        && let Some(Entry { kind: Kind::Datagrams(datagrams), .. }) = self.entry(socket)
                    {
                        datagrams.error = Some(code(&error));
                    }
                    false
                }
            };
            self.scratch = scratch;
            if !more {
                return;
            }
        }
        // The system will not tell of the rest again.
        if let Some(entry) = self.entry(socket) {
            entry.receive_at = Some(now);
        }
    }
}
