//! What is on its way from and to a UDP socket. Decides; touches no socket.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use splay_protocol::seed::SplitMix64;
use splay_protocol::topology::Way;
use splay_protocol::topology::ways::DEFAULT_QUEUE_PACKETS;

use super::traffic::Emulation;

/// One direction between two instances.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) way: Rc<Way>,
    random: SplitMix64,
    /// When the datagrams that wait for links depart.
    waiting: VecDeque<Duration>,
}

impl Pair {
    pub(super) fn new(net: &Emulation, from: u32, to: u32) -> Pair {
        let random = SplitMix64::stream(net.seed() ^ 0x6c69_6e6b, u64::from(from) << 32 | u64::from(to));
        Pair { way: Rc::new(net.way(from, to)), random, waiting: VecDeque::new() }
    }

    /// A generator for one connection between the two.
    pub(super) fn stream(&mut self) -> SplitMix64 {
        SplitMix64::new(self.random.next_u64())
    }

    /// When a datagram arrives that is sent then; `None`: it is lost, or there is no room for it.
    pub(super) fn pass(&mut self, net: &Emulation, at: Duration, bytes: usize) -> Option<Duration> {
        while self.waiting.front().is_some_and(|departs| *departs <= at) {
            self.waiting.pop_front();
        }
        let most = self.way.queue_packets.unwrap_or(DEFAULT_QUEUE_PACKETS) as usize;
        if self.waiting.len() > most {
            return None;
        }
        let departs = net.reserve(&self.way, at, bytes);
        if departs > at {
            self.waiting.push_back(departs);
        }
        let lost = self.way.loss > 0.0 && self.random.unit() < self.way.loss;
        (!lost).then(|| departs + self.way.latency)
    }
}

/// A datagram on its way, with its peer.
#[derive(Debug)]
pub(super) struct Packet {
    pub(super) peer: SocketAddr,
    pub(super) bytes: Box<[u8]>,
}

/// Datagrams by the time at which they arrive.
#[derive(Debug, Default)]
pub(super) struct Queue {
    packets: BTreeMap<(Duration, u64), Packet>,
    added: u64,
}

impl Queue {
    pub(super) fn add(&mut self, due: Duration, peer: SocketAddr, bytes: &[u8]) {
        self.added += 1;
        self.packets.insert((due, self.added), Packet { peer, bytes: bytes.into() });
    }

    pub(super) fn next_due(&self) -> Option<Duration> {
        self.packets.keys().next().map(|(due, _)| *due)
    }

    /// The next that has arrived.
    pub(super) fn pop(&mut self, now: Duration) -> Option<Packet> {
        let first = self.packets.first_entry().filter(|first| first.key().0 <= now)?;
        Some(first.remove())
    }

    /// All, in order, whenever they are due.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Packet> {
        std::mem::take(&mut self.packets).into_values()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }
}

/// A UDP socket.
#[derive(Debug, Default)]
pub(super) struct Datagrams {
    /// Whom it was connected to.
    pub(super) peer: Option<SocketAddr>,
    /// It has a port that the program asked for.
    pub(super) bound: bool,
    pub(super) out: Queue,
    pub(super) inbox: Queue,
    /// What arrives is looked at before the instance gets it.
    pub(super) watches_inbox: bool,
    /// An error that the system told while nobody asked.
    pub(super) error: Option<i32>,
    /// The instance was told that it can read.
    pub(super) told: bool,
}

impl Datagrams {
    pub(super) fn readable(&self, now: Duration) -> bool {
        self.error.is_some() || self.inbox.next_due().is_some_and(|due| due <= now)
    }

    /// When something happens next that nobody else tells of.
    pub(super) fn next(&self) -> Option<Duration> {
        let inbox = self.inbox.next_due().filter(|_| !self.told);
        [self.out.next_due(), inbox].into_iter().flatten().min()
    }
}
