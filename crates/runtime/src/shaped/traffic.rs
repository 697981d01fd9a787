//! What the workers of one process share of a job's traffic: the rates of the job as a whole, and
//! the network that is emulated between its instances.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use splay_protocol::Node;
use splay_protocol::bucket::Bucket;
use splay_protocol::topology::{Topology, Way, Ways};

/// Rates and network of a job on this machine.
#[derive(Debug)]
pub struct Traffic {
    origin: Instant,
    send: Option<Mutex<Bucket>>,
    receive: Option<Mutex<Bucket>>,
    emulation: Option<Emulation>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What a bucket or a table of ways holds is whole between two calls.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Traffic {
    /// Rates in bytes a second for all instances together (0: no limit), and a network.
    pub fn new(send: u64, receive: u64, emulation: Option<Emulation>) -> Traffic {
        let bucket = |rate: u64| (rate > 0).then(|| Mutex::new(Bucket::new(rate)));
        Traffic { origin: Instant::now(), send: bucket(send), receive: bucket(receive), emulation }
    }

    /// Time since this was made, the same for all workers.
    pub(super) fn elapsed(&self) -> Duration {
        self.origin.elapsed()
    }

    pub(super) fn emulation(&self) -> Option<&Emulation> {
        self.emulation.as_ref()
    }

    /// What the place is called that an instance is at; `None`: there is no network, or it is
    /// outside.
    pub fn place(&self, position: u32) -> Option<String> {
        let net = self.emulation.as_ref().filter(|net| net.knows(position))?;
        Some(lock(&net.ways).name(net.places[position as usize - 1] as usize))
    }

    pub(super) fn job(&self, direction: Direction) -> Option<MutexGuard<'_, Bucket>> {
        match direction {
            Direction::Send => self.send.as_ref().map(lock),
            Direction::Receive => self.receive.as_ref().map(lock),
        }
    }
}

/// Which way bytes go, seen from an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Send,
    Receive,
}

impl Direction {
    /// Names of the limits: of an instance, of a job.
    pub(super) fn limits(self) -> [&'static str; 2] {
        match self {
            Direction::Send => ["send_bytes_per_second", "job_send_bytes_per_second"],
            Direction::Receive => ["receive_bytes_per_second", "job_receive_bytes_per_second"],
        }
    }
}

/// A network between the instances of a job.
///
/// An instance is known by its address: that of its node, with any of its ports. So whoever sends
/// to one knows the way; who answers to a port of the system's choice does not, and there the other
/// end, which knows both, does the work for both directions.
#[derive(Debug)]
pub struct Emulation {
    /// Position by address and first port.
    positions: BTreeMap<(IpAddr, u16), u32>,
    addresses: Vec<Option<(IpAddr, u16)>>,
    ports: u16,
    places: Vec<u32>,
    seed: u64,
    ways: Mutex<Ways>,
    /// Links with a capacity: what this process sends over one waits for it together.
    links: Mutex<HashMap<u32, Bucket>>,
}

impl Emulation {
    /// The network that `topology` describes, with the instance of position n at
    /// `places[n - 1]`. Each node has so many consecutive ports. What is drawn follows from the
    /// seed. A node whose address is a name is not known.
    pub fn new(
        topology: Arc<Topology>,
        nodes: &[Node],
        ports: u16,
        places: Vec<u32>,
        seed: u64,
    ) -> Emulation {
        let address = |node: &Node| node.ip.parse().ok().map(|ip: IpAddr| (ip.to_canonical(), node.port));
        let addresses: Vec<_> = nodes.iter().map(address).collect();
        let positions = (1..).zip(&addresses).filter_map(|(position, at)| Some(((*at)?, position))).collect();
        Emulation {
            positions,
            addresses,
            ports: ports.max(1),
            places,
            seed,
            ways: Mutex::new(Ways::new(topology)),
            links: Mutex::default(),
        }
    }

    /// Whether an instance has a place.
    pub(super) fn knows(&self, position: u32) -> bool {
        self.address(position).is_some() && self.places.len() >= position as usize
    }

    fn address(&self, position: u32) -> Option<(IpAddr, u16)> {
        *self.addresses.get((position as usize).checked_sub(1)?)?
    }

    /// The instance at an address, seen from another.
    pub(super) fn position_of(&self, address: SocketAddr, seen_from: u32) -> Option<u32> {
        let mut ip = address.ip().to_canonical();
        if ip.is_loopback() || ip.is_unspecified() {
            ip = self.address(seen_from)?.0;
        }
        let port = address.port();
        let (&(found, first), &position) = self.positions.range(..=(ip, port)).next_back()?;
        let within = found == ip && u32::from(port) < u32::from(first) + u32::from(self.ports);
        within.then_some(position).filter(|&position| self.knows(position))
    }

    /// Whether a port is one by which others know an instance.
    pub(super) fn is_own(&self, position: u32, port: u16) -> bool {
        self.address(position).is_some_and(|(_, first)| {
            port >= first && u32::from(port) < u32::from(first) + u32::from(self.ports)
        })
    }

    /// The way between two instances.
    pub(super) fn way(&self, from: u32, to: u32) -> Way {
        let place = |position: u32| self.places[position as usize - 1] as usize;
        lock(&self.ways).between(place(from), place(to))
    }

    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    /// Queues bytes for the capacity of the links on a way; gives when they have passed.
    pub(super) fn reserve(&self, way: &Way, now: Duration, bytes: usize) -> Duration {
        if way.links.is_empty() {
            return now;
        }
        let mut links = lock(&self.links);
        let mut departs = now;
        for &(link, bits_per_second) in &way.links {
            let bucket =
                links.entry(link).or_insert_with(|| Bucket::with_burst((bits_per_second / 8).max(1), 0));
            bucket.take(now, bytes as u64);
            departs = departs.max(bucket.passed_at());
        }
        departs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(ip: &str, port: u16) -> Node {
        Node { ip: ip.into(), port }
    }

    #[test]
    fn instances_are_known_by_all_their_ports() {
        let topology = Arc::new(Topology::parse("0,5,9\n5,0,7\n9,7,0").unwrap());
        let nodes = [node("192.0.2.1", 100), node("192.0.2.1", 110), node("192.0.2.2", 100), node("name", 1)];
        let net = Emulation::new(topology, &nodes, 3, vec![2, 0, 1, 0], 1);
        let at = |text: &str| net.position_of(text.parse().unwrap(), 1);
        assert_eq!((at("192.0.2.1:100"), at("192.0.2.1:102"), at("192.0.2.1:103")), (Some(1), Some(1), None));
        assert_eq!((at("192.0.2.1:112"), at("192.0.2.2:101"), at("192.0.2.2:99")), (Some(2), Some(3), None));
        assert_eq!((at("127.0.0.1:110"), at("[::ffff:192.0.2.2]:100")), (Some(2), Some(3)));
        assert!(net.is_own(2, 112) && !net.is_own(2, 113) && !net.knows(4) && !net.knows(0));
        assert_eq!(net.way(1, 2).latency, Duration::from_millis(9));
    }

    #[test]
    fn links_are_shared_by_all_that_cross_them() {
        let star = r#"<topology><vertices><vertex int_idx="0" role="gateway"/>
            <vertex int_idx="1" role="virtnode" int_vn="1"/><vertex int_idx="2" role="virtnode" int_vn="2"/>
            <vertex int_idx="3" role="virtnode" int_vn="3"/></vertices><edges>
            <edge int_idx="1" int_src="1" int_dst="0" specs="client-stub"/>
            <edge int_idx="2" int_src="0" int_dst="2" specs="client-stub"/>
            <edge int_idx="3" int_src="0" int_dst="3" specs="client-stub"/></edges>
            <specs><client-stub dbl_plr="0" dbl_kbps="800" int_delayms="1" int_qlen="10"/></specs></topology>"#;
        let nodes = [node("192.0.2.1", 1), node("192.0.2.2", 1), node("192.0.2.3", 1)];
        let topology = Arc::new(Topology::parse(star).unwrap());
        let net = Emulation::new(topology, &nodes, 1, vec![0, 1, 2], 1);
        let (second, third, now) = (net.way(1, 2), net.way(1, 3), Duration::from_secs(1));
        assert_eq!(net.reserve(&second, now, 10_000), now + Duration::from_millis(100));
        // The first link is that of both.
        assert_eq!(net.reserve(&third, now, 5_000), now + Duration::from_millis(150));
        let back = net.way(2, 1);
        assert_eq!(net.reserve(&back, now, 1_000), now + Duration::from_millis(10));
    }
}
