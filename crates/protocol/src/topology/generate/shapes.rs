//! How each kind of generated topology is laid out.

use std::collections::BTreeSet;
use std::f64::consts::TAU;
use std::time::Duration;

use super::{Generator, Link as Quality, Shape};
use crate::seed::SplitMix64;
use crate::topology::{Graph, Link, Role, TopologyError, Vertex};

/// Regions that instances are dealt out to, one after the other: name, longitude, latitude.
pub const REGIONS: [(&str, f64, f64); 8] = [
    ("us-east", -77.5, 39.0),
    ("us-west", -121.3, 45.8),
    ("eu-west", -6.3, 53.3),
    ("eu-central", 8.7, 50.1),
    ("ap-southeast", 103.8, 1.35),
    ("ap-northeast", 139.7, 35.7),
    ("ap-sydney", 151.2, -33.9),
    ("sa-east", -46.6, -23.5),
];

/// Round trips in milliseconds between [`REGIONS`], below the diagonal: of the size commonly
/// measured between the public clouds' data centres there, rounded, and lowered by at most 12 %
/// where a detour over a third region would have been faster.
const RTT_MS: [&[u32]; 8] = [
    &[],
    &[66],
    &[68, 118],
    &[90, 142, 25],
    &[214, 162, 174, 156],
    &[146, 97, 202, 225, 69],
    &[198, 139, 256, 248, 92, 104],
    &[114, 176, 178, 203, 325, 256, 312],
];

/// Round trip between two of the [`REGIONS`] in milliseconds; 0 from one to itself.
pub fn region_rtt_ms(a: usize, b: usize) -> u32 {
    match a.cmp(&b) {
        std::cmp::Ordering::Greater => RTT_MS[a][b],
        std::cmp::Ordering::Less => RTT_MS[b][a],
        std::cmp::Ordering::Equal => 0,
    }
}

/// Delay of links between routers of one stub domain, between a stub domain and its transit router,
/// within a transit domain and between transit domains.
const STUB: Duration = Duration::from_millis(2);
const STUB_TRANSIT: Duration = Duration::from_millis(5);
const TRANSIT: Duration = Duration::from_millis(10);
const TRANSIT_DOMAINS: Duration = Duration::from_millis(30);

/// Delays of links between routers of a scale-free graph, each equally likely.
const SCALE_FREE_MS: std::ops::RangeInclusive<u32> = 5..=25;

struct Draft {
    vertices: Vec<Vertex>,
    links: Vec<Link>,
    joined: BTreeSet<(u32, u32)>,
    places: Vec<u32>,
}

/// Limits nothing and loses nothing.
fn backbone(latency: Duration) -> Quality {
    Quality { latency, bandwidth_bps: None, loss: 0.0, queue_packets: None }
}

impl Draft {
    fn vertex(&mut self, name: String, role: Role, at: (f64, f64)) -> u32 {
        let index = self.vertices.len() as u32;
        self.vertices.push(Vertex { name, role, at: Some(at) });
        index
    }

    /// Joins two vertices both ways, unless they are.
    fn join(&mut self, a: u32, b: u32, quality: Quality) {
        if a == b || !self.joined.insert((a.min(b), a.max(b))) {
            return;
        }
        for (from, to) in [(a, b), (b, a)] {
            let Quality { latency, bandwidth_bps, loss, queue_packets } = quality;
            self.links.push(Link { from, to, latency, bandwidth_bps, loss, queue_packets });
        }
    }

    /// A place on a router.
    fn place(&mut self, router: u32, at: (f64, f64), access: Quality) {
        let name = format!("p{}", self.places.len() + 1);
        let place = self.vertex(name, Role::Place, at);
        self.places.push(place);
        self.join(place, router, access);
    }

    /// Joins routers in a ring with some chords, so that no single link carries all.
    fn domain(&mut self, routers: &[u32], quality: Quality, random: &mut SplitMix64) {
        for (index, &router) in routers.iter().enumerate() {
            self.join(router, routers[(index + 1) % routers.len()], quality);
            if routers.len() > 3 && random.below(2) == 0 {
                self.join(router, routers[random.below(routers.len() as u32) as usize], quality);
            }
        }
    }
}

/// The `index`-th of `count` points on a circle.
fn around(center: (f64, f64), radius: f64, index: u32, count: u32) -> (f64, f64) {
    let angle = TAU * f64::from(index) / f64::from(count.max(1));
    (center.0 + radius * angle.cos(), center.1 + radius * angle.sin())
}

pub(super) fn make(wanted: &Generator, places: u32, seed: u64) -> Result<Graph, TopologyError> {
    let mut draft =
        Draft { vertices: Vec::new(), links: Vec::new(), joined: BTreeSet::new(), places: Vec::new() };
    let mut random = SplitMix64::stream(seed, 0x746f_706f);
    match wanted.shape {
        Shape::Star => star(&mut draft, wanted, places),
        Shape::Dumbbell => dumbbell(&mut draft, wanted, places),
        Shape::TransitStub => transit_stub(&mut draft, wanted, places, &mut random),
        Shape::ScaleFree => scale_free(&mut draft, wanted, places, &mut random),
        Shape::Regions => regions(&mut draft, wanted, places),
    }
    Graph::new(draft.vertices, draft.links, draft.places)
}

fn star(draft: &mut Draft, wanted: &Generator, places: u32) {
    let hub = draft.vertex("hub".to_owned(), Role::Router, (0.0, 0.0));
    for index in 0..places {
        draft.place(hub, around((0.0, 0.0), 100.0, index, places), wanted.access);
    }
}

fn dumbbell(draft: &mut Draft, wanted: &Generator, places: u32) {
    let sides = [-60.0, 60.0].map(|x| (draft.vertex(format!("r{x:+}"), Role::Router, (x, 0.0)), x));
    draft.join(sides[0].0, sides[1].0, wanted.bottleneck);
    let half = places.div_ceil(2);
    for index in 0..places {
        let (router, x) = sides[(index >= half) as usize];
        let count = if index < half { half } else { places - half };
        let row = f64::from(index % half) - f64::from(count - 1) / 2.0;
        draft.place(router, (x * 2.0, row * 20.0), wanted.access);
    }
}

fn transit_stub(draft: &mut Draft, wanted: &Generator, places: u32, random: &mut SplitMix64) {
    let mut domains: Vec<Vec<u32>> = Vec::new();
    let mut stub_routers = Vec::new();
    for domain in 0..wanted.transits {
        let center =
            around((0.0, 0.0), if wanted.transits > 1 { 200.0 } else { 0.0 }, domain, wanted.transits);
        let mut transit = Vec::new();
        for number in 0..wanted.transit_size {
            let at = around(center, 60.0, number, wanted.transit_size);
            let router = draft.vertex(format!("t{}.{}", domain + 1, number + 1), Role::Router, at);
            transit.push(router);
            for stub in 0..wanted.stubs {
                let middle = around(at, 45.0, stub, wanted.stubs);
                let mut routers = Vec::new();
                for index in 0..wanted.stub_size {
                    let at = around(middle, 14.0, index, wanted.stub_size);
                    let name = format!("s{}.{}.{}.{}", domain + 1, number + 1, stub + 1, index + 1);
                    let stub_router = draft.vertex(name, Role::Router, at);
                    routers.push(stub_router);
                    stub_routers.push((stub_router, at));
                }
                draft.domain(&routers, backbone(STUB), random);
                draft.join(router, routers[0], backbone(STUB_TRANSIT));
            }
        }
        draft.domain(&transit, backbone(TRANSIT), random);
        domains.push(transit);
    }
    // Domains in a ring, over random routers of each.
    for index in 0..domains.len() {
        let pick = |of: &Vec<u32>, random: &mut SplitMix64| of[random.below(of.len() as u32) as usize];
        let here = pick(&domains[index], random);
        let there = pick(&domains[(index + 1) % domains.len()], random);
        draft.join(here, there, backbone(TRANSIT_DOMAINS));
    }
    for index in 0..places {
        let (router, at) = stub_routers[random.below(stub_routers.len() as u32) as usize];
        draft.place(router, around(at, 6.0, index, 7), wanted.access);
    }
}

fn scale_free(draft: &mut Draft, wanted: &Generator, places: u32, random: &mut SplitMix64) {
    // A router stands here once for each of its links: a draw prefers those with many.
    let mut ends: Vec<u32> = Vec::new();
    let mut routers = Vec::new();
    let delay = |random: &mut SplitMix64| {
        let span = SCALE_FREE_MS.end() - SCALE_FREE_MS.start() + 1;
        backbone(Duration::from_millis(u64::from(SCALE_FREE_MS.start() + random.below(span))))
    };
    for index in 0..places {
        // A sunflower: the oldest, with the most links, in the middle.
        let at = (12.0 * f64::from(index).sqrt(), f64::from(index) * 2.399_963);
        let at = (at.0 * at.1.cos(), at.0 * at.1.sin());
        let router = draft.vertex(format!("r{}", index + 1), Role::Router, at);
        let mut chosen = BTreeSet::new();
        let wished = wanted.links_each.min(index) as usize;
        if index <= wanted.links_each {
            // The first ones are all joined to each other.
            chosen.extend(routers.iter().copied());
        }
        while chosen.len() < wished {
            chosen.insert(ends[random.below(ends.len() as u32) as usize]);
        }
        for other in chosen {
            let quality = delay(random);
            draft.join(router, other, quality);
            ends.extend([router, other]);
        }
        routers.push(router);
    }
    for router in routers {
        let at = draft.vertices[router as usize].at.unwrap_or_default();
        draft.place(router, (at.0 + 4.0, at.1 + 4.0), wanted.access);
    }
}

fn regions(draft: &mut Draft, wanted: &Generator, places: u32) {
    let count = wanted.regions as usize;
    let named = REGIONS[..count].iter();
    let hubs: Vec<u32> =
        named.map(|(name, x, y)| draft.vertex((*name).to_owned(), Role::Router, (*x, *y))).collect();
    for a in 0..count {
        for b in 0..a {
            // Half of a round trip.
            let one_way = Duration::from_micros(u64::from(region_rtt_ms(a, b)) * 500);
            draft.join(hubs[a], hubs[b], backbone(one_way));
        }
    }
    for index in 0..places {
        let region = index as usize % count;
        let (_, x, y) = REGIONS[region];
        let turn = index / wanted.regions;
        draft.place(hubs[region], around((x, y), 6.0 + f64::from(turn / 12), turn, 12), wanted.access);
    }
}
