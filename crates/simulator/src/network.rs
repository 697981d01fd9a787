//! The simulated network as a pure state machine: calls and the passing of time go in, changes
//! of readiness come out. Owns every socket, port and packet in flight; knows no clock of its
//! own and no program. What becomes of a packet is the [model](crate::model)'s to say, if there is
//! one; without one every packet takes the same time.

mod agenda;
mod bytes;
mod faults;
pub mod inspect;
mod lines;
mod packed;
mod ports;
mod socket;
mod tcp;
mod udp;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use rustc_hash::FxHashMap;
use slab::Slab;
use splay_runtime::driver::{
    Family, OptionName, Owner, Query, Readiness, Resolved, SocketId, SocketOption, Transport, Wake, Watch,
};
use splay_runtime::real::UNKNOWN_HOST;

use agenda::Agenda;
pub use agenda::Time;
use packed::Packed;
use ports::{Binding, Host, Ports, Side};

use crate::model::pipes::{Due, Pipes};
use crate::model::{Model, ModelConfig};
use crate::recording::{Kind as Record, Recorder};

use lines::{Flow, Line, Parcel};

use socket::{Kind, Options, Ref, Report, Socket, error};

/// What the simulated network is like.
#[derive(Debug, Clone)]
pub struct NetworkConfig {
    /// One-way delay of every packet; with a model, of those that stay on their host.
    pub latency: Duration,
    /// What the network between hosts is like, if it is more than a delay.
    pub model: Option<ModelConfig>,
    /// Time the name service takes to answer.
    pub name_latency: Duration,
    /// Addresses, besides the loopback ones, that sockets may bind and that answer.
    pub addresses: Vec<IpAddr>,
    /// Names that resolve, besides `localhost`.
    pub names: Vec<(String, Vec<IpAddr>)>,
}

impl Default for NetworkConfig {
    fn default() -> Self {
        NetworkConfig {
            latency: Duration::from_micros(100),
            model: None,
            name_latency: Duration::from_millis(1),
            addresses: Vec::new(),
            names: Vec::new(),
        }
    }
}

/// Something that happens later.
#[derive(Debug)]
enum Event {
    /// A connection request leaves.
    Dial { client: Ref, from: SocketAddr, to: SocketAddr, at: Option<Host>, attempt: u32 },
    /// A connection request reaches `to`.
    Request { client: Ref, from: SocketAddr, to: SocketAddr, at: Option<Host>, attempt: u32 },
    /// The answer to a request reaches the client: its server end, or why there is none.
    Answer { client: Ref, result: Result<Ref, i32> },
    /// Bytes of a stream.
    Data { to: Ref, from: Ref, bytes: Box<[u8]> },
    /// End of a stream.
    End { to: Ref },
    /// The connection is broken.
    Reset { to: Ref },
    /// The receiver has made room for a sender that waited for it.
    Room { to: Ref },
    /// A datagram reaches `to`.
    Datagram { sender: Ref, from: SocketAddr, to: SocketAddr, at: Option<Host>, bytes: Box<[u8]> },
    /// Nobody was there to take a datagram of a socket with a fixed peer.
    Unreachable { to: Ref },
    /// The name service has answered.
    Named(Wake),
    /// Something leaves after waiting for a paused host.
    Depart { from: Ref, parcel: Parcel },
    /// A datagram leaves.
    DepartDatagram(Box<lines::Datagram>),
    /// What is not acknowledged on a stream is sent again.
    Resend { from: Ref, timer: u32 },
    /// A flow has sent its first parcel over its narrowest link.
    Served(Due<Flow>),
}

/// All simulated sockets and what is under way between them.
#[derive(Debug)]
pub struct Network {
    now: Time,
    sockets: Slab<Socket>,
    /// By owner: its sockets, as places in the slab.
    owned: Vec<BTreeSet<u32>>,
    stamps: u32,
    ports: Ports,
    agenda: Agenda<Event>,
    reports: VecDeque<Ref>,
    answers: Vec<Wake>,
    latency: Time,
    name_latency: Time,
    /// Who answers at an address, besides the loopback ones. Only ever looked up.
    addresses: FxHashMap<IpAddr, Host>,
    /// By owner: its host and that host's address.
    homes: Vec<Option<(Host, IpAddr)>>,
    names: BTreeMap<String, Vec<IpAddr>>,
    counters: Counters,
    /// Takes down what is sent, if anyone wants to know.
    recorder: Option<SharedRecorder>,
    seed: u64,
    model: Option<Box<Model>>,
    /// By host: the owner of its first instance, who is the host to the model.
    residents: Vec<Owner>,
    /// With a model: every stream's sending end that has sent something.
    lines: BTreeMap<Ref, Line>,
    /// With a model: what waits for links of limited capacity.
    pipes: Pipes<Flow, Parcel>,
    /// What reached paused hosts, or was to leave them.
    paused: Vec<(Owner, Event)>,
}

/// What has happened on a network since its beginning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams, and pieces of streams, that were sent.
    pub messages: u64,
    /// Their payload.
    pub bytes: u64,
    /// Datagrams that were lost: nobody there, no room, or the network's doing.
    pub drops: u64,
}

/// A recorder that the driver and the host of a simulation share.
pub type SharedRecorder = Rc<RefCell<Recorder>>;

/// Who lives on the host of owners without an address.
const NOBODY: Owner = Owner(u32::MAX);

/// Nanoseconds of a duration; 584 years fit.
fn nanoseconds(duration: Duration) -> Time {
    Time::try_from(duration.as_nanos()).unwrap_or(Time::MAX)
}

fn unspecified(family: Family) -> SocketAddr {
    match family {
        Family::V4 => SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0),
        Family::V6 => SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0),
    }
}

impl Network {
    /// An empty network at time zero, whose randomness follows from `seed`.
    pub fn new(config: &NetworkConfig, seed: u64) -> Network {
        let loopback = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
        let mut names = BTreeMap::from([("localhost".to_owned(), loopback)]);
        names.extend(config.names.iter().map(|(name, list)| (name.to_ascii_lowercase(), list.clone())));
        Network {
            now: 0,
            sockets: Slab::new(),
            owned: Vec::new(),
            counters: Counters::default(),
            stamps: 0,
            ports: Ports::default(),
            agenda: Agenda::default(),
            reports: VecDeque::new(),
            answers: Vec::new(),
            latency: nanoseconds(config.latency),
            name_latency: nanoseconds(config.name_latency),
            addresses: config.addresses.iter().map(|address| (*address, Host::default())).collect(),
            homes: Vec::new(),
            names,
            recorder: None,
            seed,
            model: config.model.clone().map(|model| Box::new(Model::new(seed, model))),
            residents: Vec::new(),
            lines: BTreeMap::new(),
            pipes: Pipes::default(),
            paused: Vec::new(),
        }
    }

    /// From now on what is sent is taken down.
    pub fn record(&mut self, recorder: SharedRecorder) {
        self.recorder = Some(recorder);
    }

    /// Takes down that a packet of an owner's socket leaves.
    fn note(
        &mut self,
        kind: Record,
        owner: Owner,
        what: &[u8],
        from: SocketAddr,
        to: SocketAddr,
        payload: &[u8],
    ) {
        if matches!(kind, Record::Datagram | Record::Stream) {
            self.counters.messages += 1;
            self.counters.bytes += payload.len() as u64;
        }
        if let Some(recorder) = &self.recorder {
            let (from, to) = (Packed::new(from), Packed::new(to));
            let parts = [what, from.bytes(), to.bytes(), payload];
            recorder.borrow_mut().note(self.now, kind, owner.0 + 1, &parts);
        }
    }

    /// Gives `owner` an address on a machine of its own (its own ports, its own loopback): what its
    /// sockets that bind to none send from. Owners with the same address share the machine.
    pub fn set_home(&mut self, owner: Owner, address: IpAddr) {
        let new = Host(u32::try_from(self.addresses.len()).expect("fewer than 2^32 addresses") + 1);
        let host = *self.addresses.entry(address).or_insert(new);
        let index = owner.0 as usize;
        if self.homes.len() <= index {
            self.homes.resize(index + 1, None);
        }
        self.homes[index] = Some((host, address));
        let resident = host.0 as usize;
        if self.residents.len() <= resident {
            self.residents.resize(resident + 1, owner);
        }
        if host == new {
            self.residents[resident] = owner;
        }
    }

    /// The instance by which the model knows a host that an instance lives on.
    fn resident(&self, host: Host) -> Owner {
        // Hosts without instances are none that faults or places could name.
        self.residents.get(host.0 as usize).copied().filter(|_| host != Host::default()).unwrap_or(NOBODY)
    }

    fn home(&self, owner: Owner) -> Option<(Host, IpAddr)> {
        self.homes.get(owner.0 as usize).copied().flatten()
    }

    fn host_of(&self, owner: Owner) -> Host {
        self.home(owner).map_or(Host::default(), |(host, _)| host)
    }

    /// The host that a packet of `owner` for this address reaches.
    fn host_at(&self, owner: Owner, address: IpAddr) -> Option<Host> {
        let address = address.to_canonical();
        match address.is_loopback() {
            true => Some(self.host_of(owner)),
            false => self.addresses.get(&address).copied(),
        }
    }

    /// The side of a transport that a socket's ports are on.
    fn side(&self, socket: &Socket) -> Side {
        (self.host_of(socket.owner), socket.transport())
    }

    /// When the next packet arrives, if one is under way.
    pub fn next_event(&self) -> Option<Time> {
        self.agenda.next()
    }

    /// Lets time pass to `now`, with everything that happens until then.
    pub fn advance(&mut self, now: Time) {
        while let Some((at, event)) = self.agenda.take(now) {
            self.now = self.now.max(at);
            self.happen(event);
        }
        self.now = self.now.max(now);
    }

    /// Appends what watchers have to be told since the last call. Owners that are busy (until
    /// when, by owner) are told later.
    pub fn report(&mut self, wakes: &mut Vec<Wake>, busy: &[Time]) {
        let now = self.now;
        wakes.append(&mut self.answers);
        for _ in 0..self.reports.len() {
            let Some(which) = self.reports.pop_front() else { break };
            let Some(socket) = self.get_mut(which) else { continue };
            let (owner, id) = (socket.owner, which.id);
            if busy.get(owner.0 as usize).is_some_and(|&until| until > now) {
                self.reports.push_back(which);
                continue;
            }
            match socket.watch {
                Some(Watch::Readable) if socket.readable() => {
                    wakes.push(Wake::Socket { owner, socket: id, readable: true, writable: false });
                    self.reports.push_back(which);
                    continue;
                }
                Some(Watch::Edge) => {
                    let Report { readable, writable, .. } = socket.report;
                    wakes.push(Wake::Socket { owner, socket: id, readable, writable });
                }
                _ => {}
            }
            socket.report = Report::default();
        }
    }

    /// What has happened so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Open sockets, with connections not accepted yet.
    pub fn socket_count(&self) -> usize {
        self.sockets.len()
    }

    fn happen(&mut self, event: Event) {
        let Some(event) = self.unless_paused(event) else { return };
        match event {
            Event::Dial { client, from, to, at, attempt } => self.dial(client, from, to, at, attempt),
            Event::Request { client, from, to, at, attempt } => self.request(client, from, to, at, attempt),
            Event::Answer { client, result } => self.answer(client, result),
            Event::Data { to, from, bytes } => self.data(to, from, bytes),
            Event::End { to } => self.end(to),
            Event::Reset { to } => self.reset(to),
            Event::Room { to } => self.mark(to.id, to.stamp, false, true),
            Event::Datagram { sender, from, to, at, bytes } => self.datagram(sender, from, to, at, bytes),
            Event::Unreachable { to } => {
                if let Some(socket) = self.get_mut(to) {
                    socket.pending = Some(libc::ECONNREFUSED);
                    self.mark(to.id, to.stamp, true, true);
                }
            }
            Event::Named(wake) => self.answers.push(wake),
            Event::Depart { from, parcel } => self.depart(from, parcel),
            Event::DepartDatagram(datagram) => self.depart_datagram(*datagram),
            Event::Resend { from, timer } => self.resend(from, timer),
            Event::Served(due) => self.served(due),
        }
    }

    fn get(&self, id: SocketId) -> io::Result<&Socket> {
        self.sockets.get(id.0 as usize).ok_or_else(|| error(libc::EBADF))
    }

    fn entry(&mut self, id: SocketId) -> io::Result<&mut Socket> {
        self.sockets.get_mut(id.0 as usize).ok_or_else(|| error(libc::EBADF))
    }

    fn get_mut(&mut self, which: Ref) -> Option<&mut Socket> {
        self.sockets.get_mut(which.id.0 as usize).filter(|socket| socket.stamp == which.stamp)
    }

    fn reference(&self, id: SocketId) -> io::Result<Ref> {
        Ok(Ref { id, stamp: self.get(id)?.stamp })
    }

    fn insert(&mut self, owner: Owner, family: Family, kind: Kind) -> Ref {
        self.stamps = self.stamps.wrapping_add(1);
        let stamp = self.stamps;
        let key = self.sockets.insert(Socket {
            stamp,
            owner,
            family,
            local: None,
            claimed: false,
            watch: None,
            report: Report::default(),
            failed: false,
            pending: None,
            options: Options::default(),
            kind,
        });
        let id = SocketId(u32::try_from(key).expect("fewer than 2^32 simulated sockets"));
        let index = owner.0 as usize;
        if self.owned.len() <= index {
            self.owned.resize_with(index + 1, BTreeSet::new);
        }
        self.owned[index].insert(id.0);
        Ref { id, stamp }
    }

    /// Takes a socket out of all that knows of it but the port table.
    fn take_out(&mut self, id: SocketId) -> Option<Socket> {
        let socket = self.sockets.try_remove(id.0 as usize)?;
        self.owned[socket.owner.0 as usize].remove(&id.0);
        Some(socket)
    }

    /// Notes for `report` that a socket has become ready.
    fn mark(&mut self, id: SocketId, stamp: u32, readable: bool, writable: bool) {
        let Some(socket) = self.get_mut(Ref { id, stamp }) else { return };
        let wanted = match socket.watch {
            None => false,
            Some(Watch::Edge) => true,
            Some(Watch::Readable) => readable,
        };
        if !wanted {
            return;
        }
        socket.report.readable |= readable;
        socket.report.writable |= writable;
        if !socket.report.queued {
            socket.report.queued = true;
            self.reports.push_back(Ref { id, stamp });
        }
    }

    /// See [`splay_runtime::driver::Driver::open`].
    pub fn open(&mut self, owner: Owner, transport: Transport, family: Family) -> io::Result<SocketId> {
        if self.has_no_sockets(owner) {
            return Err(error(libc::EMFILE));
        }
        let kind = match transport {
            Transport::Tcp => Kind::Fresh,
            Transport::Udp => Kind::Datagrams(Box::default()),
        };
        Ok(self.insert(owner, family, kind).id)
    }

    fn claim_of(&self, id: SocketId) -> io::Result<Binding> {
        let socket = self.get(id)?;
        Ok(Binding {
            socket: id,
            reuse_address: socket.options.reuse_address,
            reuse_port: socket.options.reuse_port,
            v6_only: socket.options.v6_only,
            listening: false,
        })
    }

    /// Whether an address is one of the owner's host.
    fn may_bind(&self, owner: Owner, ip: IpAddr) -> bool {
        self.host_at(owner, ip) == Some(self.host_of(owner))
    }

    /// See [`splay_runtime::driver::Driver::bind`].
    pub fn bind(&mut self, id: SocketId, mut address: SocketAddr) -> io::Result<()> {
        let socket = self.get(id)?;
        if socket.local.is_some() {
            return Err(error(libc::EINVAL));
        }
        match (socket.family, address) {
            (Family::V4, SocketAddr::V4(_)) | (Family::V6, SocketAddr::V6(_)) => {}
            (Family::V4, SocketAddr::V6(_)) => return Err(error(libc::EAFNOSUPPORT)),
            (Family::V6, SocketAddr::V4(_)) => return Err(error(libc::EINVAL)),
        }
        let ip = address.ip();
        let takes_groups = socket.transport() == Transport::Udp && ip.is_multicast();
        if !ip.is_unspecified() && !takes_groups && !self.may_bind(socket.owner, ip) {
            return Err(error(libc::EADDRNOTAVAIL));
        }
        let side = self.side(socket);
        let binding = self.claim_of(id)?;
        if address.port() == 0 {
            let port = self.ports.choose(side, ip).ok_or_else(|| error(libc::EADDRINUSE))?;
            address.set_port(port);
        } else if !self.ports.is_free(side, address, &binding) {
            return Err(error(libc::EADDRINUSE));
        }
        self.ports.claim(side, address, binding);
        let socket = self.entry(id)?;
        socket.local = Some(address);
        socket.claimed = true;
        Ok(())
    }

    /// The address from which a packet to `to` leaves.
    fn source_for(&self, owner: Owner, to: IpAddr) -> IpAddr {
        if to.is_loopback() {
            return match to {
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            };
        }
        match self.home(owner) {
            Some((_, home)) if home.is_ipv4() == to.is_ipv4() => home,
            _ => to,
        }
    }

    /// A packet for the unspecified address goes to this machine, as on Linux.
    fn destination(&self, family: Family, to: SocketAddr) -> io::Result<SocketAddr> {
        let fits = (family == Family::V4) == to.is_ipv4();
        if !fits {
            return Err(error(libc::EAFNOSUPPORT));
        }
        let mut to = to;
        if to.ip().is_unspecified() {
            match to {
                SocketAddr::V4(_) => to.set_ip(Ipv4Addr::LOCALHOST.into()),
                SocketAddr::V6(_) => to.set_ip(Ipv6Addr::LOCALHOST.into()),
            }
        }
        Ok(to)
    }

    /// See [`splay_runtime::driver::Driver::close`].
    pub fn close(&mut self, id: SocketId) {
        let Some(socket) = self.take_out(id) else { return };
        if let Some(local) = socket.local.filter(|_| socket.claimed) {
            self.ports.release(self.side(&socket), local, id);
        }
        let from = Ref { id, stamp: socket.stamp };
        match socket.kind {
            Kind::Stream(stream) => self.close_stream(from, socket.owner, &socket.options, *stream),
            Kind::Listening(listener) => {
                for waiting in listener.waiting {
                    self.abort(waiting);
                }
            }
            _ => {}
        }
    }

    /// See [`splay_runtime::driver::Driver::close_all`].
    pub fn close_all(&mut self, owner: Owner) {
        let Some(owned) = self.owned.get(owner.0 as usize) else { return };
        // Connections that wait to be accepted go with their listener.
        for key in owned.clone() {
            self.close(SocketId(key));
        }
    }

    /// See [`splay_runtime::driver::Driver::local_address`].
    pub fn local_address(&self, id: SocketId) -> io::Result<SocketAddr> {
        let socket = self.get(id)?;
        Ok(socket.local.unwrap_or_else(|| unspecified(socket.family)))
    }

    /// See [`splay_runtime::driver::Driver::peer_address`].
    pub fn peer_address(&self, id: SocketId) -> io::Result<SocketAddr> {
        match &self.get(id)?.kind {
            Kind::Stream(stream) if !stream.over() => Ok(stream.peer_address),
            Kind::Datagrams(datagrams) => datagrams.peer.ok_or_else(|| error(libc::ENOTCONN)),
            _ => Err(error(libc::ENOTCONN)),
        }
    }

    /// See [`splay_runtime::driver::Driver::set_option`].
    pub fn set_option(&mut self, id: SocketId, option: &SocketOption) -> io::Result<()> {
        self.entry(id)?.set_option(option)
    }

    /// See [`splay_runtime::driver::Driver::option`].
    pub fn option(&mut self, id: SocketId, name: OptionName) -> io::Result<SocketOption> {
        self.entry(id)?.option(name)
    }

    /// See [`splay_runtime::driver::Driver::readiness`].
    pub fn readiness(&self, id: SocketId) -> io::Result<Readiness> {
        let socket = self.get(id)?;
        // Where there is no connection, nothing would block: it would fail.
        let fails = matches!(socket.kind, Kind::Fresh);
        Ok(Readiness { readable: fails || socket.readable(), writable: fails || socket.writable() })
    }

    /// See [`splay_runtime::driver::Driver::watch`].
    pub fn watch(&mut self, id: SocketId, mode: Watch) -> io::Result<()> {
        let socket = self.entry(id)?;
        if socket.watch == Some(mode) {
            return Ok(());
        }
        socket.watch = Some(mode);
        let (stamp, readable, writable) = (socket.stamp, socket.readable(), socket.writable());
        if readable || writable {
            self.mark(id, stamp, readable, writable);
        }
        Ok(())
    }

    /// See [`splay_runtime::driver::Driver::resolve`].
    pub fn resolve(&mut self, owner: Owner, query: u64, question: Query) {
        if let Some(recorder) = &self.recorder {
            let asked = match &question {
                Query::Addresses(name) => name.clone(),
                Query::Name(address) => address.to_string(),
            };
            recorder.borrow_mut().note(self.now, Record::Name, owner.0 + 1, &[asked.as_bytes()]);
        }
        let answer = match question {
            Query::Addresses(name) => self.addresses_of(&name),
            Query::Name(address) => self.name_of(address),
        };
        let (late, known) = self.name_faults(owner);
        let answer = answer.filter(|_| known).ok_or_else(|| UNKNOWN_HOST.to_owned());
        let wake = Wake::Resolved { owner, query, answer };
        self.agenda.plan(self.now + self.name_latency + late, Event::Named(wake));
    }

    fn addresses_of(&self, name: &str) -> Option<Resolved> {
        let addresses = match name.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => self.names.get(&name.to_ascii_lowercase())?.clone(),
        };
        Some(Resolved { name: name.to_owned(), aliases: Vec::new(), addresses })
    }

    fn name_of(&self, address: IpAddr) -> Option<Resolved> {
        let address = address.to_canonical();
        let named = self.names.iter().find(|(_, list)| list.contains(&address));
        let name = match named {
            Some((name, _)) => name.clone(),
            None if address.is_loopback() => "localhost".to_owned(),
            None => return None,
        };
        Some(Resolved { name, aliases: Vec::new(), addresses: vec![address] })
    }
}
