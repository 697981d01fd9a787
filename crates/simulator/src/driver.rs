//! The virtual clock and the seeded randomness of a simulated worker, in front of its network.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};
use splay_runtime::driver::{
    Driver, Family, OptionName, Owner, Query, Readiness, SocketId, SocketOption, Transport, Wake, Watch,
};

use crate::network::{Network, NetworkConfig, SharedRecorder, Time};
use crate::recording::Kind;

/// Every simulated world begins on 2000-01-01T00:00:00Z.
pub const EPOCH: Duration = Duration::from_secs(946_684_800);

/// What a pass of a program that only yields takes: without it a loop that waits for the clock
/// by yielding would never end.
const PASS: Time = 1_000;

/// Makes the `poll` of a [`VirtualDriver`] report [`Wake::External`], from any thread.
#[derive(Debug, Clone, Default)]
pub struct VirtualWaker(Arc<AtomicBool>);

impl VirtualWaker {
    /// Asks the worker to look at its commands at its next `poll`.
    pub fn wake(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// The driver of a simulated worker. All instances of the worker share one network.
///
/// `poll` never waits: it moves the clock to whatever comes first, a packet or `until`. Asked to
/// wait for ever (`until` is `None`) with no packet under way, it returns at once with no wakes:
/// nothing can ever happen again unless the host does something.
pub struct VirtualDriver {
    now: Time,
    network: Network,
    random: Xoshiro256PlusPlus,
    waker: VirtualWaker,
    /// The last `poll` found something without moving the clock.
    stood_still: bool,
    /// By owner: until when it is told nothing.
    busy: Vec<Time>,
    /// When those become free again, and are told.
    free: BinaryHeap<Reverse<Time>>,
    recorder: Option<SharedRecorder>,
}

impl VirtualDriver {
    /// A world at its beginning. Two with the same seed and the same calls behave the same.
    pub fn new(seed: u64, config: &NetworkConfig) -> VirtualDriver {
        VirtualDriver {
            now: 0,
            network: Network::new(config, seed),
            random: Xoshiro256PlusPlus::seed_from_u64(seed),
            waker: VirtualWaker::default(),
            stood_still: false,
            busy: Vec::new(),
            free: BinaryHeap::new(),
            recorder: None,
        }
    }

    /// A handle with which any thread makes `poll` report [`Wake::External`].
    pub fn waker(&self) -> VirtualWaker {
        self.waker.clone()
    }

    /// Gives `owner` an address of its own on the simulated network.
    pub fn set_home(&mut self, owner: Owner, address: IpAddr) {
        self.network.set_home(owner, address);
    }

    /// From now on what instances send and draw is taken down.
    pub fn record(&mut self, recorder: SharedRecorder) {
        self.network.record(recorder.clone());
        self.recorder = Some(recorder);
    }

    /// The network, to be changed: see [`Network::apply`].
    pub fn network_mut(&mut self) -> &mut Network {
        &mut self.network
    }

    /// Whether nothing is under way: only a timer or the host can make something happen.
    pub fn is_idle(&self) -> bool {
        self.network.next_event().is_none()
    }

    /// Open sockets of all owners.
    pub fn socket_count(&self) -> usize {
        self.network.socket_count()
    }

    /// What moves the clock by itself.
    fn next_event(&self) -> Option<Time> {
        let free = self.free.peek().map(|Reverse(at)| *at);
        match (self.network.next_event(), free) {
            (Some(event), Some(free)) => Some(event.min(free)),
            (event, free) => event.or(free),
        }
    }

    /// The network, to be looked at.
    pub fn network(&self) -> &Network {
        &self.network
    }

    fn pass_to(&mut self, now: Time, wakes: &mut Vec<Wake>) -> bool {
        self.now = self.now.max(now);
        self.network.advance(self.now);
        let before = wakes.len();
        while self.free.peek().is_some_and(|Reverse(at)| *at <= self.now) {
            self.free.pop();
        }
        self.network.report(wakes, &self.busy);
        wakes.len() > before
    }
}

impl Driver for VirtualDriver {
    fn now(&self) -> Duration {
        Duration::from_nanos(self.now)
    }

    fn wall(&self) -> Duration {
        EPOCH + self.now()
    }

    fn fill_random(&mut self, out: &mut [u8]) {
        self.random.fill_bytes(out);
        if let Some(recorder) = &self.recorder {
            recorder.borrow_mut().note(self.now, Kind::Random, 0, &[out]);
        }
    }

    fn host_name(&self) -> String {
        "localhost".to_owned()
    }

    fn is_virtual(&self) -> bool {
        true
    }

    fn pause(&mut self, owner: Owner, until: Duration) {
        let index = owner.0 as usize;
        if self.busy.len() <= index {
            self.busy.resize(index + 1, 0);
        }
        let until = Time::try_from(until.as_nanos()).unwrap_or(Time::MAX);
        if until > self.now.max(self.busy[index]) {
            self.busy[index] = until;
            self.free.push(Reverse(until));
        }
    }

    fn inspect(&self) -> Option<&dyn std::any::Any> {
        Some(self)
    }

    fn inspect_mut(&mut self) -> Option<&mut dyn std::any::Any> {
        Some(self)
    }

    fn open(&mut self, owner: Owner, transport: Transport, family: Family) -> io::Result<SocketId> {
        self.network.open(owner, transport, family)
    }

    fn bind(&mut self, socket: SocketId, address: SocketAddr) -> io::Result<()> {
        self.network.bind(socket, address)
    }

    fn listen(&mut self, socket: SocketId, backlog: u32) -> io::Result<()> {
        self.network.listen(socket, backlog)
    }

    fn connect(&mut self, socket: SocketId, address: SocketAddr) -> io::Result<()> {
        self.network.connect(socket, address)
    }

    fn connect_result(&mut self, socket: SocketId) -> io::Result<()> {
        self.network.connect_result(socket)
    }

    fn disconnect(&mut self, socket: SocketId) -> io::Result<()> {
        self.network.disconnect(socket)
    }

    fn accept(&mut self, socket: SocketId) -> io::Result<(SocketId, SocketAddr)> {
        self.network.accept(socket)
    }

    fn send(&mut self, socket: SocketId, data: &[u8]) -> io::Result<usize> {
        self.network.send(socket, data)
    }

    fn recv(&mut self, socket: SocketId, buffer: &mut [u8]) -> io::Result<usize> {
        self.network.recv(socket, buffer)
    }

    fn send_to(&mut self, socket: SocketId, data: &[u8], address: SocketAddr) -> io::Result<usize> {
        self.network.send_to(socket, data, address)
    }

    fn recv_from(&mut self, socket: SocketId, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.network.recv_from(socket, buffer)
    }

    fn shutdown(&mut self, socket: SocketId, how: Shutdown) -> io::Result<()> {
        self.network.shutdown(socket, how)
    }

    fn close(&mut self, socket: SocketId) {
        self.network.close(socket);
    }

    fn close_all(&mut self, owner: Owner) {
        self.network.close_all(owner);
    }

    fn local_address(&self, socket: SocketId) -> io::Result<SocketAddr> {
        self.network.local_address(socket)
    }

    fn peer_address(&self, socket: SocketId) -> io::Result<SocketAddr> {
        self.network.peer_address(socket)
    }

    fn set_option(&mut self, socket: SocketId, option: &SocketOption) -> io::Result<()> {
        self.network.set_option(socket, option)
    }

    fn option(&mut self, socket: SocketId, name: OptionName) -> io::Result<SocketOption> {
        self.network.option(socket, name)
    }

    fn descriptor(&self, _socket: SocketId) -> Option<RawFd> {
        None
    }

    fn readiness(&mut self, socket: SocketId) -> io::Result<Readiness> {
        self.network.readiness(socket)
    }

    fn watch(&mut self, socket: SocketId, mode: Watch) -> io::Result<()> {
        self.network.watch(socket, mode)
    }

    fn resolve(&mut self, owner: Owner, query: u64, question: Query) {
        self.network.resolve(owner, query, question);
    }

    fn poll(&mut self, until: Option<Duration>, wakes: &mut Vec<Wake>) -> io::Result<()> {
        if self.waker.0.swap(false, Ordering::AcqRel) {
            wakes.push(Wake::External);
        }
        let limit = until.map_or(Time::MAX, |until| Time::try_from(until.as_nanos()).unwrap_or(Time::MAX));
        if limit <= self.now {
            self.pass_to(self.now + PASS, wakes);
            return Ok(());
        }
        // A program that leaves a watched socket unread may not stop the clock for the others.
        let at_once = if self.stood_still { self.now + PASS } else { self.now };
        let mut woken = self.pass_to(at_once.min(limit), wakes) || !wakes.is_empty();
        self.stood_still = woken;
        while !woken {
            match self.next_event() {
                Some(at) if at <= limit => woken = self.pass_to(at, wakes),
                _ => {
                    if until.is_some() {
                        self.pass_to(limit, wakes);
                    }
                    break;
                }
            }
        }
        Ok(())
    }
}
