//! What a packet meets between two places of a topology, and the rules of streams over lossy ways.
//! Pure; the simulator and the emulation on real sockets decide by it.

use std::sync::Arc;
use std::time::Duration;

use super::{Routes, Topology};
use crate::seed::SplitMix64;

/// Bytes of a stream's segment: Ethernet's 1500 less the IPv4 and TCP headers.
pub const SEGMENT_BYTES: usize = 1460;

/// Bytes of a stream that wait for a link as one, so that some arrive before all are sent.
pub const PIECE_BYTES: usize = 8 * SEGMENT_BYTES;

/// What a repetition's timeout has above a round trip: Linux's least.
pub const LEAST_TIMEOUT: Duration = Duration::from_millis(200);

/// As Linux's longest time between repetitions.
pub const LONGEST_TIMEOUT: Duration = Duration::from_secs(120);

/// Later segments that must arrive for one to be held lost before its timeout.
pub const EVIDENCE: u32 = 3;

/// How long a stream repeats what is not acknowledged before its connection is given up: what
/// Linux's 15 repetitions take.
pub const GIVE_UP: Duration = Duration::from_millis(924_600);

/// Wait before a connection request is repeated; doubles each time, as on Linux.
pub const FIRST_RETRY: Duration = Duration::from_secs(1);

/// Requests sent before giving up, after 127 seconds.
pub const MAX_ATTEMPTS: u32 = 7;

/// Datagrams that may wait for a limited link where nothing tells how many.
pub const DEFAULT_QUEUE_PACKETS: u32 = 100;

/// One direction between two places.
#[derive(Debug, Clone, PartialEq)]
pub struct Way {
    /// How long a packet takes.
    pub latency: Duration,
    /// Probability from 0 to 1 that a packet is lost.
    pub loss: f64,
    /// Links with a capacity, by their number in the graph, with it in bits per second.
    pub links: Vec<(u32, u64)>,
    /// Datagrams that may wait for the link of least capacity, if it says so.
    pub queue_packets: Option<u32>,
}

impl Way {
    /// What cannot be reached: everything is lost.
    pub const NOWHERE: Way =
        Way { latency: Duration::ZERO, loss: 1.0, links: Vec::new(), queue_packets: None };

    /// Whether a packet passes at once, whatever else passes.
    pub fn is_free(&self) -> bool {
        self.latency.is_zero() && self.loss <= 0.0 && self.links.is_empty()
    }
}

/// The ways between the places of a topology.
#[derive(Debug)]
pub struct Ways {
    topology: Arc<Topology>,
    routes: Option<Routes>,
}

impl Ways {
    /// Nothing is computed yet.
    pub fn new(topology: Arc<Topology>) -> Ways {
        let routes = match &*topology {
            Topology::Graph(graph) => Some(Routes::new(graph.clone())),
            Topology::Matrix(_) => None,
        };
        Ways { topology, routes }
    }

    /// How many places there are.
    pub fn places(&self) -> usize {
        self.topology.places()
    }

    /// What a place is called in its file: its vertex, or its number from 1.
    pub fn name(&self, place: usize) -> String {
        match &*self.topology {
            Topology::Graph(graph) => graph.vertices()[graph.places()[place] as usize].name.clone(),
            Topology::Matrix(_) => (place + 1).to_string(),
        }
    }

    /// The way from one place to another, numbered from 0.
    pub fn between(&mut self, from: usize, to: usize) -> Way {
        let Some(routes) = &mut self.routes else {
            let Topology::Matrix(matrix) = &*self.topology else { unreachable!("graphs have routes") };
            let latency = matrix.latency(from, to);
            return Way { latency, loss: 0.0, links: Vec::new(), queue_packets: None };
        };
        let places = routes.graph().places();
        let (from, to) = (places[from], places[to]);
        let Some(path) = routes.path(from, to) else { return Way::NOWHERE };
        let rate = |link: &u32| routes.graph().links()[*link as usize].bandwidth_bps;
        let links = path.links.iter().filter_map(|link| Some((*link, rate(link)?))).collect();
        Way { latency: path.latency, loss: path.loss, links, queue_packets: path.queue_packets }
    }
}

/// The place, from 0, of each position from 1 on. In order: position n is at place n, and there
/// are several instances at a place where places do not suffice, as in a simulation. Shuffled:
/// the same after the places were shuffled by the seed.
pub fn placement(instances: usize, places: usize, shuffled_by: Option<u64>) -> Vec<u32> {
    let mut order: Vec<u32> = (0..places as u32).collect();
    if let Some(seed) = shuffled_by {
        let mut random = SplitMix64::stream(seed, 0x706c_6163_6573);
        for index in (1..order.len()).rev() {
            order.swap(index, random.below(index as u32 + 1) as usize);
        }
    }
    order.iter().copied().cycle().take(if places == 0 { 0 } else { instances }).collect()
}

/// How much later than an undisturbed one a stream's segment arrives that is lost with probability
/// `loss` at each try. `followed`: enough segments come behind it that the first repetition needs
/// no timeout. `None`: the connection is given up.
pub fn repetition(
    loss: f64,
    round_trip: Duration,
    followed: bool,
    random: &mut SplitMix64,
) -> Option<Duration> {
    let mut late = Duration::ZERO;
    let mut timeout = round_trip + LEAST_TIMEOUT;
    let mut first = followed;
    while loss > 0.0 && random.unit() < loss {
        late += if std::mem::take(&mut first) { round_trip } else { timeout.min(LONGEST_TIMEOUT) };
        timeout = (timeout * 2).min(LONGEST_TIMEOUT);
        if late >= GIVE_UP {
            return None;
        }
    }
    Some(late)
}

/// How long it takes until the connection request is sent that gets through and is answered.
/// `None`: none is.
pub fn request(there: f64, back: f64, random: &mut SplitMix64) -> Option<Duration> {
    let mut late = Duration::ZERO;
    for attempt in 0..MAX_ATTEMPTS {
        if random.unit() >= there && random.unit() >= back {
            return Some(late);
        }
        late += FIRST_RETRY * (1 << attempt);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMBBELL: &str = r#"<topology>
        <vertices><vertex int_idx="0" role="gateway"/><vertex int_idx="1" role="virtnode" int_vn="1"/>
        <vertex int_idx="2" role="virtnode" int_vn="2"/></vertices>
        <edges><edge int_idx="1" int_src="1" int_dst="0" specs="client-stub" int_delayms="5"/>
        <edge int_idx="2" int_src="0" int_dst="2" specs="client-stub" int_delayms="20" dbl_kbps="512"/></edges>
        <specs><client-stub dbl_plr="0.1" dbl_kbps="1024" int_delayms="50" int_qlen="10"/></specs>
        </topology>"#;

    #[test]
    fn ways_are_summed_up() {
        let mut ways = Ways::new(Arc::new(Topology::parse(DUMBBELL).unwrap()));
        let way = ways.between(0, 1);
        assert_eq!(way.latency, Duration::from_millis(25));
        assert!((way.loss - 0.19).abs() < 1e-9, "{}", way.loss);
        let rates: Vec<u64> = way.links.iter().map(|(_, rate)| *rate).collect();
        assert_eq!((rates, way.queue_packets), (vec![1_024_000, 512_000], Some(10)));
        assert!(ways.between(1, 1).is_free());
        assert_eq!(ways.between(1, 0).latency, way.latency);
        let mut ways = Ways::new(Arc::new(Topology::parse("0,7\n9,0").unwrap()));
        assert_eq!(ways.between(1, 0).latency, Duration::from_millis(9));
        assert_eq!((ways.places(), ways.name(1)), (2, "2".to_owned()));
    }

    #[test]
    fn places_are_dealt_in_order_or_by_the_seed() {
        assert_eq!(placement(5, 3, None), [0, 1, 2, 0, 1]);
        assert_eq!(placement(5, 0, None), [0u32; 0]);
        let shuffled = placement(20, 40, Some(7));
        assert_eq!(shuffled, placement(20, 40, Some(7)));
        assert_ne!(shuffled, placement(20, 40, Some(8)));
        let mut distinct = shuffled.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), 20);
    }

    #[test]
    fn repetitions_take_round_trips_and_timeouts() {
        let mut random = SplitMix64::new(3);
        let round_trip = Duration::from_millis(50);
        let late = |loss, followed, random: &mut SplitMix64| repetition(loss, round_trip, followed, random);
        assert_eq!(late(0.0, true, &mut random), Some(Duration::ZERO));
        assert_eq!(late(1.0, true, &mut random), None);
        let all: Vec<_> = (0..10_000).map(|_| late(0.2, true, &mut random).unwrap()).collect();
        let lost = all.iter().filter(|late| !late.is_zero()).count();
        assert!((1_800..2_200).contains(&lost), "{lost}");
        assert_eq!(*all.iter().filter(|late| !late.is_zero()).min().unwrap(), round_trip);
        let slow = (0..1000).map(|_| late(0.2, false, &mut random).unwrap());
        assert_eq!(slow.filter(|late| !late.is_zero()).min().unwrap(), round_trip + LEAST_TIMEOUT);
    }

    #[test]
    fn requests_are_repeated() {
        let mut random = SplitMix64::new(5);
        assert_eq!(request(0.0, 0.0, &mut random), Some(Duration::ZERO));
        assert_eq!(request(1.0, 0.0, &mut random), None);
        assert_eq!(request(0.0, 1.0, &mut random), None);
        let lates: Vec<_> = (0..1000).filter_map(|_| request(0.5, 0.0, &mut random)).collect();
        assert!(lates.contains(&Duration::from_secs(1)) && lates.contains(&Duration::from_secs(3)));
    }
}
