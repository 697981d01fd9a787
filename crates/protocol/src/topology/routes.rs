//! Paths of least delay through a graph: computed per source when first asked for, a bounded
//! number of sources remembered. All pairs are never held.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::time::Duration;

use super::Graph;

/// Links remembered over all sources: at four bytes each, 128 MiB.
const MOST_REMEMBERED: usize = 32 << 20;

/// Marks a vertex that no link leads to.
const NONE: u32 = u32::MAX;

/// What a packet meets on its way.
#[derive(Debug, Clone, PartialEq)]
pub struct Path {
    /// Numbers of its links, from the source on.
    pub links: Vec<u32>,
    /// Sum of the delays.
    pub latency: Duration,
    /// Least capacity on the way in bits per second; `None`: no link is limited.
    pub bandwidth_bps: Option<u64>,
    /// Probability from 0 to 1 that a packet is lost on the way.
    pub loss: f64,
    /// Packets that may wait for the link of least capacity, if it says so.
    pub queue_packets: Option<u32>,
}

/// Shortest paths, remembered within bounds.
#[derive(Debug)]
pub struct Routes {
    graph: Graph,
    /// By source: the link over which each vertex is reached.
    trees: BTreeMap<u32, Box<[u32]>>,
    order: VecDeque<u32>,
    most: usize,
    computed: u64,
}

impl Routes {
    /// No path is computed yet.
    pub fn new(graph: Graph) -> Routes {
        let most = (MOST_REMEMBERED / graph.vertices().len().max(1)).max(16);
        Routes { graph, trees: BTreeMap::new(), order: VecDeque::new(), most, computed: 0 }
    }

    /// The same with room for paths from so many sources, at least one.
    pub fn with_sources(graph: Graph, most: usize) -> Routes {
        Routes { most: most.max(1), ..Routes::new(graph) }
    }

    /// The graph they are paths of.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// How often paths from a source have been computed.
    pub fn computed(&self) -> u64 {
        self.computed
    }

    /// Sources whose paths are remembered.
    pub fn remembered(&self) -> usize {
        self.trees.len()
    }

    /// The path from one vertex to another; of equally fast ones always the same. `None`: there
    /// is none. From a vertex to itself it is empty.
    pub fn path(&mut self, from: u32, to: u32) -> Option<Path> {
        if !self.trees.contains_key(&from) {
            if self.trees.len() >= self.most
                && let Some(oldest) = self.order.pop_front()
            {
                self.trees.remove(&oldest);
            }
            let tree = shortest(&self.graph, from);
            self.computed += 1;
            self.trees.insert(from, tree);
            self.order.push_back(from);
        }
        let tree = &self.trees[&from];
        let mut links = Vec::new();
        let mut at = to;
        while at != from {
            let via = tree[at as usize];
            if via == NONE {
                return None;
            }
            links.push(via);
            at = self.graph.links()[via as usize].from;
        }
        links.reverse();
        Some(summary(&self.graph, links))
    }
}

fn summary(graph: &Graph, links: Vec<u32>) -> Path {
    let on_way = || links.iter().map(|&link| &graph.links()[link as usize]);
    let slowest = on_way().filter(|link| link.bandwidth_bps.is_some()).min_by_key(|link| link.bandwidth_bps);
    Path {
        latency: on_way().map(|link| link.latency).sum(),
        bandwidth_bps: slowest.and_then(|link| link.bandwidth_bps),
        // A packet arrives if every link lets it pass.
        loss: 1.0 - on_way().map(|link| 1.0 - link.loss).product::<f64>(),
        queue_packets: slowest.and_then(|link| link.queue_packets),
        links,
    }
}

/// Dijkstra's algorithm; among equal delays fewer links, then the lower vertex, win.
fn shortest(graph: &Graph, from: u32) -> Box<[u32]> {
    let count = graph.vertices().len();
    let mut best = vec![(u128::MAX, u32::MAX); count];
    let mut via = vec![NONE; count].into_boxed_slice();
    let mut heap = BinaryHeap::from([Reverse((0u128, 0u32, from))]);
    best[from as usize] = (0, 0);
    while let Some(Reverse((delay, hops, vertex))) = heap.pop() {
        if (delay, hops) > best[vertex as usize] {
            continue;
        }
        for &number in graph.leaving(vertex) {
            let link = &graph.links()[number as usize];
            let reached = (delay + link.latency.as_nanos(), hops + 1);
            if reached < best[link.to as usize] {
                best[link.to as usize] = reached;
                via[link.to as usize] = number;
                heap.push(Reverse((reached.0, reached.1, link.to)));
            }
        }
    }
    via
}
