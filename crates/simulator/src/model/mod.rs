//! What the network between hosts is like: delays, losses, capacities and the faults that strike
//! it. Decides the fate of each packet; knows no socket and plans no event.
//!
//! Every ordered pair of hosts draws from a generator of its own, made from the run's seed and
//! their numbers: what one pair sends does not change what another draws.

mod fault;
mod fluid;
mod latency;
pub(crate) mod pipes;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use splay_protocol::seed::SplitMix64;
use splay_protocol::topology::{Topology, Way, Ways};
use splay_runtime::driver::Owner;

pub use fault::{Fault, FaultId};
pub(crate) use fault::{covers, node};
pub use fluid::{FlowId, Fluid, LinkId};
pub use latency::Latency;
use latency::{normal, unit};

use crate::network::Time;

pub use splay_protocol::topology::ways::{DEFAULT_QUEUE_PACKETS, GIVE_UP};

/// Where delays come from.
#[derive(Debug, Clone)]
pub enum Base {
    /// The same distribution for every pair.
    Everyone(Latency),
    /// Paths through a topology; the instance of owner number n is at place n.
    Topology(Arc<Topology>),
}

/// What the network is like.
#[derive(Debug, Clone)]
pub struct ModelConfig {
    /// Where delays come from.
    pub base: Base,
    /// Deviation of a bell curve that is added to every packet's delay.
    pub jitter: Duration,
    /// Probability that a packet is lost, besides what the topology says.
    pub loss: f64,
    /// Probability that a datagram arrives twice.
    pub duplicate: f64,
    /// Probability that a packet is held back, and for how long.
    pub reorder: (f64, Duration),
    /// Capacity of every host's way out and of its way in, in bits per second, besides what the
    /// topology says.
    pub bandwidth_bps: Option<u64>,
    /// Datagrams that may wait for a limited link, where the topology says nothing.
    pub queue_packets: u32,
    /// How long a stream repeats what is not acknowledged before its connection is given up.
    pub give_up: Duration,
}

impl ModelConfig {
    /// Delays from `base`, and nothing else.
    pub fn new(base: Base) -> ModelConfig {
        ModelConfig {
            base,
            jitter: Duration::ZERO,
            loss: 0.0,
            duplicate: 0.0,
            reorder: (0.0, Duration::ZERO),
            bandwidth_bps: None,
            queue_packets: DEFAULT_QUEUE_PACKETS,
            give_up: GIVE_UP,
        }
    }
}

/// How a packet passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Passage {
    pub(crate) delay: Time,
    /// Delay of a second copy.
    pub(crate) copy: Option<Time>,
}

/// One direction between two hosts that have talked.
#[derive(Debug)]
struct Pair {
    random: SplitMix64,
    latency: Latency,
    loss: f64,
    /// Some link on the way has a capacity.
    limited: bool,
}

/// The state of the network between hosts. Hosts are named by the owner of the first instance on
/// them.
#[derive(Debug)]
pub(crate) struct Model {
    seed: u64,
    config: ModelConfig,
    ways: Option<Ways>,
    pairs: BTreeMap<(Owner, Owner), Pair>,
    faults: BTreeMap<FaultId, Fault>,
    applied: u32,
}

/// What a fault adds to a delay. A constant draws nothing.
fn more(least: Duration, most: Duration) -> Latency {
    if least == most { Latency::Constant(least) } else { Latency::Uniform(least, most) }
}

fn nanoseconds(time: Duration) -> Time {
    Time::try_from(time.as_nanos()).unwrap_or(Time::MAX)
}

impl Model {
    pub(crate) fn new(seed: u64, config: ModelConfig) -> Model {
        let ways = match &config.base {
            Base::Topology(topology) => Some(Ways::new(topology.clone())),
            Base::Everyone(_) => None,
        };
        Model { seed, config, ways, pairs: BTreeMap::new(), faults: BTreeMap::new(), applied: 0 }
    }

    pub(crate) fn give_up(&self) -> Time {
        nanoseconds(self.config.give_up)
    }

    /// The way between the places two instances are at.
    fn way(ways: &mut Ways, from: Owner, to: Owner) -> Way {
        let place = |owner: Owner| owner.0 as usize % ways.places();
        let (from, to) = (place(from), place(to));
        ways.between(from, to)
    }

    fn pair(&mut self, from: Owner, to: Owner) -> &mut Pair {
        // Two look-ups only the first time.
        if !self.pairs.contains_key(&(from, to)) {
            let pair = self.make_pair(from, to);
            self.pairs.insert((from, to), pair);
        }
        self.pairs.get_mut(&(from, to)).expect("it has just been made")
    }

    fn make_pair(&mut self, from: Owner, to: Owner) -> Pair {
        let random = SplitMix64::stream(self.seed ^ 0x6c69_6e6b, u64::from(from.0) << 32 | u64::from(to.0));
        let config = &self.config;
        let (latency, loss, limited) = match (&config.base, &mut self.ways) {
            (Base::Topology(_), Some(ways)) => {
                let way = Model::way(ways, from, to);
                (Latency::Constant(way.latency), way.loss, !way.links.is_empty())
            }
            (Base::Everyone(latency), _) => (*latency, 0.0, false),
            (Base::Topology(_), None) => unreachable!("a topology has ways"),
        };
        let loss = 1.0 - (1.0 - loss) * (1.0 - config.loss);
        Pair { random, latency, loss, limited: limited || config.bandwidth_bps.is_some() }
    }

    /// Whether nothing passes from the one to the other.
    pub(crate) fn is_cut(&self, from: Owner, to: Owner) -> bool {
        let (from, to) = (node(from), node(to));
        self.faults.values().any(|fault| fault.cuts(from, to))
    }

    /// Probability that a packet is lost.
    pub(crate) fn loss(&mut self, from: Owner, to: Owner) -> f64 {
        if self.is_cut(from, to) {
            return 1.0;
        }
        let mut passes = 1.0 - self.pair(from, to).loss;
        for fault in self.faults.values() {
            if let Fault::Loss(between, loss) = fault
                && covers(between, from, to)
            {
                passes *= 1.0 - loss;
            }
        }
        1.0 - passes
    }

    /// What becomes of a packet that leaves now: `None`, it is lost.
    pub(crate) fn pass(&mut self, from: Owner, to: Owner) -> Option<Passage> {
        let loss = self.loss(from, to);
        if loss >= 1.0 || (loss > 0.0 && unit(&mut self.pair(from, to).random) < loss) {
            return None;
        }
        let delay = self.delay(from, to);
        let doubled = self.doubled(from, to);
        let twice = doubled > 0.0 && unit(&mut self.pair(from, to).random) < doubled;
        let copy = twice.then(|| self.delay(from, to));
        Some(Passage { delay, copy })
    }

    /// Changes a byte of a datagram, where a fault does so.
    pub(crate) fn corrupt(&mut self, from: Owner, to: Owner, bytes: &mut [u8]) {
        if bytes.is_empty() {
            return;
        }
        let mut sound = 1.0;
        for fault in self.faults.values() {
            if let Fault::Corrupt(between, share) = fault
                && covers(between, from, to)
            {
                sound *= 1.0 - share;
            }
        }
        if sound < 1.0 {
            let random = &mut self.pair(from, to).random;
            if unit(random) >= sound {
                let place = random.below_u64(bytes.len() as u64) as usize;
                // Never the byte it was.
                bytes[place] ^= 1 + random.below(255) as u8;
            }
        }
    }

    fn doubled(&self, from: Owner, to: Owner) -> f64 {
        let mut single = 1.0 - self.config.duplicate;
        for fault in self.faults.values() {
            if let Fault::Duplicate(between, share) = fault
                && covers(between, from, to)
            {
                single *= 1.0 - share;
            }
        }
        1.0 - single
    }

    fn delay(&mut self, from: Owner, to: Owner) -> Time {
        self.pair(from, to);
        let pair = self.pairs.get_mut(&(from, to)).expect("it has just been looked up");
        let random = &mut pair.random;
        let mut delay = pair.latency.draw(random) as i128;
        let vary = |random: &mut SplitMix64, deviation: Duration| {
            (deviation.as_nanos() as f64 * normal(random)) as i128
        };
        let hold = |random: &mut SplitMix64, share: f64, time: Duration| match unit(random) < share {
            true => time.as_nanos() as i128,
            false => 0,
        };
        if self.config.jitter > Duration::ZERO {
            delay += vary(random, self.config.jitter);
        }
        if self.config.reorder.0 > 0.0 {
            delay += hold(random, self.config.reorder.0, self.config.reorder.1);
        }
        for fault in self.faults.values() {
            match fault {
                Fault::Delay(between, least, most) if covers(between, from, to) => {
                    delay += i128::from(more(*least, *most).draw(random))
                }
                Fault::Jitter(between, deviation) if covers(between, from, to) => {
                    delay += vary(random, *deviation);
                }
                Fault::Reorder(between, share, time) if covers(between, from, to) => {
                    delay += hold(random, *share, *time);
                }
                _ => {}
            }
        }
        // A delay that varies below nothing is none.
        Time::try_from(delay.max(0)).unwrap_or(Time::MAX)
    }

    /// There and back, on average.
    pub(crate) fn round_trip(&mut self, a: Owner, b: Owner) -> Time {
        let mut sum = self.pair(a, b).latency.mean() + self.pair(b, a).latency.mean();
        for fault in self.faults.values() {
            if let Fault::Delay(between, least, most) = fault {
                for covered in [covers(between, a, b), covers(between, b, a)] {
                    sum += if covered { more(*least, *most).mean() } else { Duration::ZERO };
                }
            }
        }
        nanoseconds(sum)
    }

    /// Whether what passes is limited by some capacity.
    pub(crate) fn is_limited(&mut self, from: Owner, to: Owner) -> bool {
        let limits =
            |fault: &Fault| matches!(fault, Fault::Bandwidth(between, _) if covers(between, from, to));
        self.pair(from, to).limited || self.faults.values().any(limits)
    }

    /// The links with a capacity on the way, and how many datagrams may wait.
    pub(crate) fn route(&mut self, from: Owner, to: Owner) -> (Vec<(LinkId, u64)>, u32) {
        let mut links = Vec::new();
        let mut queue = self.config.queue_packets;
        if let Some(rate) = self.config.bandwidth_bps {
            links.extend([(LinkId::Up(from.0), rate), (LinkId::Down(to.0), rate)]);
        }
        if let Some(ways) = &mut self.ways {
            let way = Model::way(ways, from, to);
            queue = way.queue_packets.unwrap_or(queue);
            links.extend(way.links.iter().map(|&(link, rate)| (LinkId::Link(link), rate)));
        }
        for (id, fault) in &self.faults {
            match fault {
                Fault::Bandwidth(between, rate) if covers(between, from, to) => {
                    links.push((LinkId::Fault(id.0, from.0, to.0), *rate));
                }
                _ => {}
            }
        }
        (links, queue)
    }

    /// Remembers a fault.
    pub(crate) fn apply(&mut self, fault: Fault) -> FaultId {
        self.applied += 1;
        let id = FaultId(self.applied);
        if !fault.is_momentary() {
            self.faults.insert(id, fault);
        }
        id
    }

    /// Forgets a fault; tells what it was.
    pub(crate) fn lift(&mut self, id: FaultId) -> Option<Fault> {
        self.faults.remove(&id)
    }

    pub(crate) fn faults(&self) -> impl Iterator<Item = &Fault> {
        self.faults.values()
    }

    /// Whether some fault makes packets wait.
    pub(crate) fn has_pauses(&self) -> bool {
        self.faults.values().any(|fault| matches!(fault, Fault::Pause(_)))
    }

    /// Whether an instance's packets wait.
    pub(crate) fn is_paused(&self, owner: Owner) -> bool {
        self.faults.values().any(|fault| matches!(fault, Fault::Pause(nodes) if nodes.contains(node(owner))))
    }
}
